// SPDX-License-Identifier: MIT
/*
 * Growth: 10^2 to 10^5 areas mapped and unmapped out of order, in an IOAS and in a container. Each area takes two calls
 * of the kernel however many there are, and about as much time. TAP on stdout.
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
/* A logarithm goes unnoticed beside the machine's own work; a walk over all areas would be five times that. */
#define SLOWER 3.0

struct bench {
	struct vfm_sim *sim;
	struct vfm_context *ctx;
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	struct vfm_error err;
	void *memory;
};

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
		struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_FIXED };

		map.vaddr = b->memory;
		map.length = PAGE;
		map.iova = iova_of(i, count, 7919);
		r = vfm_iommu_map(b->iommu, &map, &b->err);
	}
	for (uint32_t i = 0; i < count && !r; i++)
		r = vfm_iommu_unmap(b->iommu, iova_of(i, count, 104729), PAGE, &b->err);
	return r;
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
		if (use.calls != 2ull * count || use.maps) {
			printf("# %llu calls, %u maps left\n", (unsigned long long)use.calls, use.maps);
			return -1;
		}
	}
	return best;
}

static int open_bench(struct bench *b, uint32_t backend)
{
	VFM_OPTS(vfm_iommu_options, options);
	char message[256] = "";
	int r;

	*b = (struct bench){ .err = { .size = sizeof(b->err) } };
	options.backend = backend;
	b->memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r = vfm_sim_open(NULL, "entries=131072;edu@" DEVICE, &b->sim, message, sizeof(message));
	if (!r)
		r = vfm_sim_context(b->sim, &b->ctx);
	if (!r)
		r = vfm_iommu_open(b->ctx, &options, &b->iommu, &b->err);
	if (!r)
		r = vfm_device_open_attached(b->ctx, DEVICE, b->iommu, &b->dev, &b->err);
	if (r)
		printf("# cannot set up: %d %s %s\n", r, message, b->err.message);
	return r;
}

static void close_bench(struct bench *b)
{
	vfm_device_close(b->dev);
	vfm_iommu_close(b->iommu);
	vfm_context_free(b->ctx);
	vfm_sim_close(b->sim);
	munmap(b->memory, PAGE);
}

static int grow(uint32_t backend)
{
	struct bench b;
	double first = 0;
	int r = open_bench(&b, backend);

	for (uint32_t count = LEAST; count <= MOST && !r; count *= 10) {
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
	static const uint32_t backends[] = { VFM_BACKEND_IOMMUFD, VFM_BACKEND_TYPE1V2, VFM_BACKEND_COMPAT_TYPE1V2 };
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..3\n");
	for (int i = 0; i < 3; i++) {
		int r = grow(backends[i]);

		failed |= r;
		printf("%s %d - an area of %s costs the same among many\n", r ? "not ok" : "ok", i + 1,
		       vfm_backend_name(backends[i]));
	}
	return failed ? 1 : 0;
}
