// SPDX-License-Identifier: MIT
/*
 * Growth: 10^2 to 10^5 areas mapped and unmapped out of order, by all back ends, in an address space of one's own and
 * in an adopted one, where the caller wants them and where the library finds a place. Each area takes the same few
 * calls of the kernel however many there are, and about as much time. TAP on stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <vfiomig.h>
#include <vfiomig/sim.h>

#define DEVICE "0000:01:00.0"
#define PAGE 4096u
#define LEAST 100u
#define MOST 100000u
#define ENOUGH 10000u /* areas that show a walk over all of them */
/* A logarithm goes unnoticed beside the machine's own work; a walk over all areas would be five times that. */
#define SLOWER 3.0

enum way {
	PLACED = 1, /* by the library: an IOAS places by itself what need not be low */
	ADOPTED = 2,
};

struct bench {
	struct vfm_sim *sim;
	struct vfm_context *ctx;
	struct vfm_iommu *owner;
	struct vfm_iommu *iommu; /* the same, or adopted from it */
	struct vfm_device *dev;
	struct vfm_error err;
	void *memory;
	unsigned int way;
};

static uint64_t iovas[MOST]; /* of the areas that are mapped */

static uint64_t spent_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Every one once, neighbours far from each other; @step has no factor in common with 10^n. */
static uint64_t iova_of(uint32_t i, uint32_t count, uint32_t step)
{
	return 2ull * PAGE * (1 + (uint64_t)i * step % count);
}

static int map_and_unmap(struct bench *b, uint32_t count)
{
	int r = 0;

	for (uint32_t i = 0; i < count && !r; i++) {
		struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ };

		map.flags |= b->way & PLACED ? VFM_MAP_LOW : VFM_MAP_FIXED;
		map.vaddr = b->memory;
		map.length = PAGE;
		map.iova = iova_of(i, count, 7919);
		r = vfm_iommu_map(b->iommu, &map, &b->err);
		iovas[i] = map.iova;
	}
	for (uint32_t i = 0; i < count && !r; i++)
		r = vfm_iommu_unmap(b->iommu, iovas[(uint64_t)i * 104729 % count], PAGE, &b->err);
	return r;
}

/* Each is mapped and unmapped; for a place the windows are asked for, each time where somebody else may change them. */
static bool too_many_calls(const struct bench *b, uint64_t calls, uint64_t count)
{
	const uint64_t asked = !(b->way & PLACED) ? 0 : 2 * (b->way & ADOPTED ? count : 1);

	return calls < 2 * count || calls > 2 * count + asked;
}

/* Nanoseconds for an area, the best of a few rounds where that is quick; below 0 when something was wrong. */
static double measure(struct bench *b, uint32_t count)
{
	struct vfm_sim_usage use = { .size = sizeof(use) };
	double best = -1;

	for (uint32_t round = 0; round < (count < MOST ? 3 : 1); round++) {
		uint64_t begin = spent_ns();
		double each;

		if (vfm_sim_set_faults(b->sim, NULL, 0) || map_and_unmap(b, count)) {
			printf("# %s\n", b->err.message);
			return -1;
		}
		each = (double)(spent_ns() - begin) / count;
		best = best < 0 || each < best ? each : best;
		vfm_sim_usage(b->sim, &use);
		if (too_many_calls(b, use.calls, count) || use.maps) {
			printf("# %llu calls, %u maps left\n", (unsigned long long)use.calls, use.maps);
			return -1;
		}
	}
	return best;
}

static int adopt(struct bench *b)
{
	VFM_OPTS(vfm_iommu_adopt, from);

	from.backend = vfm_iommu_backend(b->owner);
	from.fd = vfm_iommu_fd(b->owner);
	from.ioas_id = vfm_iommu_ioas_id(b->owner);
	return vfm_iommu_adopt(b->ctx, &from, &b->iommu, &b->err);
}

static int open_bench(struct bench *b, uint32_t backend, unsigned int way)
{
	VFM_OPTS(vfm_iommu_options, options);
	char message[256] = "";
	int r;

	*b = (struct bench){ .err = { .size = sizeof(b->err) }, .way = way };
	options.backend = backend;
	b->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r = vfm_sim_open(NULL, "entries=131072;edu@" DEVICE, &b->sim, message, sizeof(message));
	if (!r)
		r = vfm_sim_context(b->sim, &b->ctx);
	if (!r)
		r = vfm_iommu_open(b->ctx, &options, &b->owner, &b->err);
	if (!r)
		r = vfm_device_open_attached(b->ctx, DEVICE, b->owner, &b->dev, &b->err);
	b->iommu = b->owner;
	if (!r && way & ADOPTED)
		r = adopt(b);
	if (r)
		printf("# cannot set up: %d %s %s\n", r, message, b->err.message);
	return r;
}

static void close_bench(struct bench *b)
{
	if (b->iommu != b->owner)
		vfm_iommu_close(b->iommu);
	vfm_device_close(b->dev);
	vfm_iommu_close(b->owner);
	vfm_context_free(b->ctx);
	vfm_sim_close(b->sim);
	munmap(b->memory, PAGE);
}

static int grow(uint32_t backend, unsigned int way, uint32_t most)
{
	struct bench b;
	double first = 0;
	int r = open_bench(&b, backend, way);

	for (uint32_t count = LEAST; count <= most && !r; count *= 10) {
		double each = measure(&b, count);

		printf("# %s: %u areas, %.0f ns each\n", vfm_backend_name(backend), count, each);
		first = count == LEAST ? each : first;
		r = each < 0 || each > SLOWER * first;
	}
	close_bench(&b);
	return r;
}

int main(void)
{
	static const char *const ways[] = { "", ", placed", ", adopted", ", placed and adopted" };
	int failed = 0;
	int number = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..20\n");
	for (uint32_t backend = VFM_BACKEND_IOMMUFD; backend <= VFM_BACKEND_COMPAT_TYPE1V2; backend++) {
		for (unsigned int way = 0; way <= (PLACED | ADOPTED); way++) {
			int r = grow(backend, way, way ? ENOUGH : MOST);

			failed |= r;
			printf("%s %d - an area of %s%s costs the same among many\n", r ? "not ok" : "ok", ++number,
			       vfm_backend_name(backend), ways[way]);
		}
	}
	return failed ? 1 : 0;
}
