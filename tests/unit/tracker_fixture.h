/* SPDX-License-Identifier: MIT */
/*
 * A small kernel for the tracker's tests: page tables, a container and device logs that forget what the real ones
 * forget, and devices that write at every moment they can.
 */
#ifndef VFIOMIG_TEST_TRACKER_FIXTURE_H
#define VFIOMIG_TEST_TRACKER_FIXTURE_H

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "device-body.h"
#include "iommu-backend.h"
#include "tracker.h"
#include "seeded.h"

#define PAGE 4096ull
#define IOVA_PAGES 512u /* of each address space */
#define GUEST_PAGES 700u
#define GUEST_START (1ull << 32)
#define HOST_START (1ull << 36)
#define DEVICES 6u
#define SPACES 2u
#define TABLES 4u /* 101, 102: with dirty tracking; 103: without; the container's is 0 */
#define FIRST_TABLE 100u
#define AREAS 24u
#define LONGEST 70u

static bool one_in(uint64_t n)
{
	return below(n) == 0;
}

/* the kernel */

/* Dirty bits of a page table or of a device's log. */
struct dirt {
	bool running;
	bool covered[IOVA_PAGES]; /* a log: ranges it was started with */
	bool bits[IOVA_PAGES];
};

struct machine_device {
	struct vfm_device body;
	bool has_log;
	bool wide; /* its log takes all IOVAs at once */
	bool migrates;
	bool writes;
	bool loud; /* a lost log says so */
	unsigned int page_shift;
	uint32_t state;
	struct dirt log;
};

static struct {
	struct machine_device devices[DEVICES];
	struct vfm_iommu spaces[SPACES];
	struct vfmi_hwpt hwpts[3];
	int32_t guest_of[SPACES][IOVA_PAGES]; /* page, -1: not mapped */
	bool silent[SPACES][IOVA_PAGES];      /* nobody writes there any more */
	struct dirt tables[TABLES];
	uint32_t original[GUEST_PAGES];
	uint32_t mirror[GUEST_PAGES];
	uint32_t writes;
	/* Failures to come: of the next calls, each this likely; 0: none. */
	unsigned int fail_start, fail_report, fail_unmap;
	bool fails_late; /* unmap: when the map is gone */
	bool unmaps_with_bits;
	bool still;	      /* no writes from inside calls */
	void (*sender)(void); /* as a thread beside: takes what is dirty; may be NULL */
	int reset_result;
	int state_result;	 /* of asking for a state */
	int start_result;	 /* of the next start */
	bool reset_in_start;	 /* a device is reset while its log starts */
	unsigned int most_pages; /* that a log takes; 0: all */
	int sources;
} world;

static unsigned int space_of(const struct vfm_iommu *iommu)
{
	return (unsigned int)(iommu - world.spaces);
}

static struct machine_device *machine_of(const struct vfm_device *dev)
{
	return (struct machine_device *)(uintptr_t)dev;
}

static void write_page(struct machine_device *dev, unsigned int page)
{
	const unsigned int space = space_of(dev->body.iommu);
	struct dirt *table = &world.tables[dev->body.pt_id ? dev->body.pt_id - FIRST_TABLE : 0];

	if (world.guest_of[space][page] < 0 || world.silent[space][page])
		return;
	world.original[world.guest_of[space][page]] = ++world.writes;
	if (dev->log.running && dev->log.covered[page])
		dev->log.bits[page] = true;
	if (table->running)
		table->bits[page] = true;
}

/* Devices write whenever somebody looks away. */
static void storm(unsigned int count)
{
	if (world.sender && one_in(4))
		world.sender();
	for (unsigned int i = 0; i < count && !world.still; i++) {
		struct machine_device *dev = &world.devices[below(DEVICES)];

		if (dev->writes && dev->body.iommu && dev->state != VFM_STATE_STOP)
			write_page(dev, (unsigned int)below(IOVA_PAGES));
	}
}

/* Where a guest address is in memory: the kernel knows no other. */
static inline void *host_of(uint64_t guest)
{
	return (void *)(uintptr_t)(HOST_START + guest);
}

static int kernel_map(struct vfm_iommu *iommu, const struct vfm_map *map, uint64_t *iova)
{
	for (uint64_t i = 0; i < map->length / PAGE; i++)
		world.guest_of[space_of(iommu)][*iova / PAGE + i] =
			(int32_t)(((uintptr_t)map->vaddr - HOST_START - GUEST_START) / PAGE + i);
	return 0;
}

static bool is_table_of(unsigned int table, unsigned int space)
{
	return (table == 0) == (space == 1);
}

static int kernel_unmap(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, uint64_t *ret_unmapped)
{
	const unsigned int space = space_of(iommu);
	bool failing;

	storm(8);
	failing = world.fail_unmap && one_in(world.fail_unmap);
	if (failing && !(world.fails_late && one_in(2)))
		return -EDEADLK;
	for (uint64_t page = iova / PAGE; page < (iova + length) / PAGE; page++) {
		world.guest_of[space][page] = -1;
		for (unsigned int i = 0; i < TABLES; i++)
			if (is_table_of(i, space))
				world.tables[i].bits[page] = false;
	}
	*ret_unmapped = length;
	storm(8);
	return failing ? -EIO : 0;
}

static const struct vfmi_iommu_ops space_ops = { .map = kernel_map, .unmap = kernel_unmap };

static int kernel_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	struct vfio_device_feature *feature = arg;
	struct vfio_device_feature_mig_state state = { world.devices[fd].state, -1 };

	(void)sys;
	if (request == VFIO_DEVICE_GET_INFO) { /* no PCI device */
		memset(arg, 0, sizeof(struct vfio_device_info));
		return 0;
	}
	if (request == VFIO_DEVICE_RESET)
		return world.reset_result;
	if (request != VFIO_DEVICE_FEATURE || !world.devices[fd].migrates)
		return -ENOTTY;
	if (world.state_result < 0)
		return world.state_result;
	memcpy(feature->data, &state, sizeof(state));
	return 0;
}

static uint64_t kernel_now(struct vfmi_sys *sys)
{
	(void)sys;
	return 0;
}

static const struct vfmi_sys_ops sys_ops = { .ioctl = kernel_ioctl, .now_ns = kernel_now };
static struct vfmi_sys fake_sys = { .ops = &sys_ops };

/* sources */

struct fake_source {
	struct vfmi_dirty_source source;
	struct machine_device *dev;
	unsigned int table;
	unsigned int space;
	bool started;
};

static struct fake_source *fake_of(const struct vfmi_dirty_source *source)
{
	return (struct fake_source *)(uintptr_t)source;
}

static struct dirt *dirt_of(const struct fake_source *fake)
{
	return fake->dev ? &fake->dev->log : &world.tables[fake->table];
}

static int refuse(struct vfmi_dirty_source *source, struct vfm_error *err, int code)
{
	const struct machine_device *dev = fake_of(source)->dev;

	return VFMI_FAIL(source->ctx, err, code, dev ? dev->body.name : "fake", "source", "as it was told");
}

static uint64_t pages_in(const struct vfmi_dirty_area *areas, size_t count)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < count; i++)
		pages += areas[i].length / PAGE;
	return pages;
}

/* Why the source does not start, 0: it does. */
static int flaw_of_start(const struct fake_source *fake, const struct vfmi_dirty_area *areas, size_t count)
{
	const int once = world.start_result;

	world.start_result = 0;
	if (once < 0)
		return -once;
	if (fake->dev && (!fake->dev->has_log || (world.most_pages && pages_in(areas, count) > world.most_pages)))
		return EOPNOTSUPP;
	return world.fail_start && one_in(world.fail_start) ? EIO : 0;
}

static void cover_pages(struct dirt *dirt, uint64_t iova, uint64_t length)
{
	for (uint64_t page = iova / PAGE; page < (iova + length) / PAGE; page++)
		dirt->covered[page] = true;
}

static int fake_start(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *areas, size_t count,
		      struct vfm_error *err)
{
	struct fake_source *fake = fake_of(source);
	struct dirt *dirt = dirt_of(fake);
	int code;

	ck_assert(!fake->started);
	storm(4);
	code = flaw_of_start(fake, areas, count);
	if (code)
		return refuse(source, err, code);
	for (size_t i = 1; i < count; i++)
		ck_assert_uint_gt(areas[i].iova, areas[i - 1].iova + (areas[i - 1].length - 1));
	memset(dirt, 0, sizeof(*dirt));
	for (size_t i = 0; i < count; i++)
		cover_pages(dirt, areas[i].iova, areas[i].length);
	if (fake->dev && fake->dev->wide)
		cover_pages(dirt, 0, IOVA_PAGES * PAGE / 2);
	dirt->running = fake->started = true;
	source->page_shift = fake->dev ? fake->dev->page_shift : 12;
	source->excess = 7 * PAGE;
	if (world.reset_in_start && fake->dev) {
		world.reset_in_start = false;
		vfmi_device_lost_log(&fake->dev->body);
	}
	storm(4);
	return 0;
}

static bool fake_covers(const struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area)
{
	const struct fake_source *fake = fake_of(source);
	bool all = true;

	ck_assert(fake->started);
	for (uint64_t page = area->iova / PAGE; fake->dev && page < (area->iova + area->length) / PAGE; page++)
		all = all && dirt_of(fake)->covered[page];
	return all;
}

static int collect(struct fake_source *fake, const struct vfmi_dirty_area *area, const struct vfmi_dirty_sink *sink,
		   bool keep, bool lose)
{
	const unsigned int shift = fake->source.page_shift - 12;
	const uint64_t first = area->iova / PAGE & ~63ull;
	uint64_t words[IOVA_PAGES / 64 + 1] = { 0 };
	struct dirt *dirt = dirt_of(fake);

	for (uint64_t page = area->iova / PAGE; page < (area->iova + area->length) / PAGE; page++) {
		const uint64_t bit = (page - first) >> shift;

		if (dirt->bits[page])
			words[bit / 64] |= 1ull << bit % 64;
		dirt->bits[page] = keep && dirt->bits[page];
	}
	return lose ? 0 : vfmi_dirty_merge(sink, area, words, first * PAGE, fake->source.page_shift);
}

static bool has_hole(const struct fake_source *fake, const struct vfmi_dirty_area *area)
{
	bool hole = false;

	for (uint64_t page = area->iova / PAGE; page < (area->iova + area->length) / PAGE; page++)
		hole = hole || world.guest_of[fake->space][page] < 0;
	return hole;
}

static int fake_report(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area,
		       const struct vfmi_dirty_sink *sink, bool keep, struct vfm_error *err)
{
	struct fake_source *fake = fake_of(source);
	bool failing = world.fail_report && one_in(world.fail_report);

	ck_assert(fake->started);
	storm(3);
	/* A container calls clean what is not mapped. */
	if (source->ops->kind == VFM_DIRTY_HWPT && has_hole(fake, area))
		return refuse(source, err, EINVAL);
	if (!dirt_of(fake)->running)
		return fake->dev && !fake->dev->loud ? 0 : refuse(source, err, EINVAL);
	ck_assert_int_eq(collect(fake, area, sink, keep, failing), 0);
	storm(3);
	return failing ? refuse(source, err, EIO) : 0;
}

static int fake_unmap(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area,
		      const struct vfmi_dirty_sink *sink, struct vfm_error *err)
{
	struct fake_source *fake = fake_of(source);
	struct vfm_iommu *iommu = &world.spaces[fake->space];
	uint64_t unmapped;
	bool lost;

	storm(3);
	if (world.fail_unmap && one_in(world.fail_unmap))
		return refuse(source, err, EDEADLK);
	lost = world.fail_unmap && world.fails_late && one_in(2);
	ck_assert_int_eq(collect(fake, area, sink, true, lost), 0);
	world.still = true;
	world.fail_unmap = 0;
	if (lost) {
		ck_assert_int_eq(kernel_unmap(iommu, area->iova, area->length, &unmapped), 0);
		world.still = false;
		return refuse(source, err, EIO);
	}
	ck_assert_int_eq(vfm_iommu_unmap(iommu, area->iova, area->length, err), 0);
	world.still = false;
	return 0;
}

static void fake_stop(struct vfmi_dirty_source *source)
{
	storm(2);
	if (fake_of(source)->started)
		memset(dirt_of(fake_of(source)), 0, sizeof(struct dirt));
	fake_of(source)->started = false;
}

static void fake_free(struct vfmi_dirty_source *source)
{
	ck_assert(!fake_of(source)->started);
	world.sources--;
	free(source);
}

#define FAKE_OPS(number, dies, unmapper)                                                                               \
	{                                                                                                              \
		.kind = number, .start = fake_start, .covers = fake_covers, .report = fake_report, .unmap = unmapper,  \
		.dies_with_map = dies, .stop = fake_stop, .free = fake_free,                                           \
	}
static const struct vfmi_dirty_ops log_ops = FAKE_OPS(VFM_DIRTY_DEVICE_LOG, false, NULL);
static const struct vfmi_dirty_ops hwpt_ops = FAKE_OPS(VFM_DIRTY_HWPT, true, NULL);
static const struct vfmi_dirty_ops type1_ops = FAKE_OPS(VFM_DIRTY_TYPE1, true, fake_unmap);
static const struct vfmi_dirty_ops type1_bare_ops = FAKE_OPS(VFM_DIRTY_TYPE1, true, NULL);

static struct fake_source *new_fake(const struct vfmi_dirty_ops *ops, struct vfmi_dirty_source **ret)
{
	struct fake_source *fake = calloc(1, sizeof(*fake));

	fake->source.ops = ops;
	fake->source.ctx = world.spaces[0].ctx;
	world.sources++;
	*ret = &fake->source;
	return fake;
}

static int new_log(struct vfm_device *dev, struct vfmi_dirty_source **ret)
{
	new_fake(&log_ops, ret)->dev = machine_of(dev);
	return 0;
}

static int new_hwpt(struct vfm_iommu *iommu, uint32_t hwpt_id, struct vfmi_dirty_source **ret)
{
	struct fake_source *fake = new_fake(&hwpt_ops, ret);

	fake->table = hwpt_id - FIRST_TABLE;
	fake->space = space_of(iommu);
	ck_assert(!world.tables[fake->table].running);
	return 0;
}

static int new_type1(struct vfm_iommu *iommu, struct vfmi_dirty_source **ret)
{
	struct fake_source *fake = new_fake(world.unmaps_with_bits ? &type1_ops : &type1_bare_ops, ret);

	fake->space = space_of(iommu);
	return 0;
}

static const struct vfmi_tracker_makers makers = { new_log, new_hwpt, new_type1 };

/* the machine */

static struct vfm_context *ctx;
static struct vfm_tracker *tracker;
static struct vfm_error error;
static uint64_t words[GUEST_PAGES / 64 + 1];

static void attach(struct machine_device *dev, unsigned int table)
{
	dev->body.iommu = &world.spaces[table == 0];
	dev->body.pt_id = table ? FIRST_TABLE + table : 0;
}

static void make_spaces(void)
{
	for (unsigned int i = 0; i < SPACES; i++) {
		struct vfm_iommu *iommu = &world.spaces[i];

		iommu->ctx = ctx;
		iommu->sys = &fake_sys;
		iommu->ops = &space_ops;
		iommu->backend = i == 0 ? VFM_BACKEND_IOMMUFD : VFM_BACKEND_TYPE1V2;
		iommu->has_iommu = true;
		pthread_mutex_init(&iommu->lock, NULL);
		pthread_mutex_init(&iommu->hwpt_lock, NULL);
		memset(world.guest_of[i], 0xff, sizeof(world.guest_of[i]));
	}
	for (unsigned int i = 0; i < 3; i++)
		world.hwpts[i] = (struct vfmi_hwpt){
			.id = FIRST_TABLE + 1 + i,
			.flags = i < 2 ? VFM_IOMMU_DIRTY_TRACKING : 0,
		};
	world.spaces[0].hwpts = world.hwpts;
	world.spaces[0].hwpt_count = 3;
}

static void machine_make(void)
{
	static const unsigned int tables[DEVICES] = { 1, 1, 2, 3, 0, 0 };

	memset(&world, 0, sizeof(world));
	memset(words, 0, sizeof(words));
	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_int_eq(vfmi_context_new_on(&fake_sys, &ctx), 0);
	make_spaces();
	for (unsigned int i = 0; i < DEVICES; i++) {
		struct machine_device *dev = &world.devices[i];

		dev->body.ctx = ctx;
		dev->body.sys = &fake_sys;
		dev->body.fd = (int)i;
		dev->body.bound = true;
		dev->migrates = true;
		dev->state = VFM_STATE_RUNNING;
		dev->page_shift = 12;
		snprintf(dev->body.name, sizeof(dev->body.name), "dev%u", i);
		pthread_mutex_init(&dev->body.lock, NULL);
		attach(dev, tables[i]);
	}
}

static void machine_track(unsigned int page_shift, uint32_t sources)
{
	VFM_OPTS(vfm_tracker_opts, opts);

	opts.sources = sources;
	opts.bitmap = (struct vfm_bitmap_pages){
		.size = sizeof(opts.bitmap),
		.page_shift = page_shift,
		.words = words,
		.start = GUEST_START,
		.pages = (GUEST_PAGES * PAGE + (1ull << page_shift) - 1) >> page_shift,
	};
	ck_assert_int_eq(vfmi_tracker_new_with(ctx, &opts, &makers, &tracker, &error), 0);
}

static void machine_end(void)
{
	vfm_tracker_free(tracker);
	ck_assert_int_eq(world.sources, 0);
	for (unsigned int i = 0; i < SPACES; i++) {
		struct vfmi_area *area;

		while ((area = vfmi_areas_overlap(&world.spaces[i].areas, 0, UINT64_MAX)))
			ck_assert_int_eq(
				vfm_iommu_forget_map(&world.spaces[i], area->iova, area->last - area->iova + 1, NULL),
				0);
	}
	vfm_context_free(ctx);
}

#endif
