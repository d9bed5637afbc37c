// SPDX-License-Identifier: MIT
/* The tracker on every kind of source, alone and together, see s_dirty.c. */
#include "dirty.h"

#define LOG (1u << VFM_DIRTY_DEVICE_LOG)
#define HWPT (1u << VFM_DIRTY_HWPT)
#define TYPE1 (1u << VFM_DIRTY_TYPE1)

static int by_log(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.sources = LOG,
		.rounds = 200,
		.steal = soft_steal_log,
		.seat_count = 3,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_DEVICE_LOG, .knobs = { { KNOB(log_reset), 1 } } },
			{ .which = SECOND, .source = VFM_DIRTY_DEVICE_LOG, .visitor = true,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE },
			{ .which = THIRD, .source = VFM_DIRTY_DEVICE_LOG, .run = VFIOMIG_SOFT_RUN_READS },
		},
	};

	return dirty_everything(env, &layout);
}

/* A driver with one range, and one that answers for 64 pages at a time and tells no less than 16 KiB apart. */
static int by_poor_log(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.sources = LOG,
		.log_pages = "64",
		.rounds = 200,
		.steal = soft_steal_log,
		.seat_count = 2,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_DEVICE_LOG, .knobs = { { KNOB(log_max_ranges), 1 } } },
			{ .which = THIRD, .source = VFM_DIRTY_DEVICE_LOG, .visitor = true,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE,
			  .knobs = { { KNOB(log_align), 64 }, { KNOB(log_page), 16384 } } },
		},
	};

	return dirty_everything(env, &layout);
}

static int by_hwpt(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.iommu_flags = VFM_IOMMU_DIRTY_TRACKING,
		.sources = HWPT,
		.rounds = 200,
		.seat_count = 2,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_HWPT },
			{ .which = SECOND, .source = VFM_DIRTY_HWPT, .visitor = true,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE },
		},
	};

	return dirty_everything(env, &layout);
}

static int by_two_hwpts(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.iommu_flags = VFM_IOMMU_DIRTY_TRACKING,
		.sources = HWPT,
		.rounds = 100,
		.hwpts = 2,
		.seat_count = 2,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_HWPT },
			{ .which = SECOND, .source = VFM_DIRTY_HWPT, .knobs = { { KNOB(attach_own), 1 } } },
		},
	};

	return dirty_everything(env, &layout);
}

static int by_hwpt_in_parts(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.iommu_flags = VFM_IOMMU_DIRTY_TRACKING,
		.sources = HWPT,
		.rounds = 100,
		.parts = true,
		.hwpts = 2,
		.seat_count = 2,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_HWPT },
			{ .which = SECOND, .source = VFM_DIRTY_HWPT, .visitor = true,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE, .knobs = { { KNOB(attach_own), 1 } } },
		},
	};

	return dirty_everything(env, &layout);
}

static int by_hwpt_over_a_hole(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.iommu_flags = VFM_IOMMU_DIRTY_TRACKING,
		.sources = HWPT,
		.rounds = 8,
		.seat_count = 1,
		.seats = { { .which = FIRST, .source = VFM_DIRTY_HWPT } },
	};

	return dirty_hole(env, &layout);
}

static int by_type1(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_TYPE1V2 },
		.sources = TYPE1,
		.rounds = 200,
		.steal = soft_steal_type1,
		.seat_count = 2,
		.seats = {
			{ .which = THIRD, .source = VFM_DIRTY_TYPE1 },
			{ .which = FOURTH, .source = VFM_DIRTY_TYPE1, .visitor = true, .mode = VFIOMIG_SOFT_PIN,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE },
		},
	};

	return dirty_everything(env, &layout);
}

static int by_type1_in_parts(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_TYPE1V2 },
		.sources = TYPE1,
		.rounds = 100,
		.steal = soft_steal_type1,
		.parts = true,
		.seat_count = 2,
		.seats = {
			{ .which = THIRD, .source = VFM_DIRTY_TYPE1 },
			{ .which = FOURTH, .source = VFM_DIRTY_TYPE1, .visitor = true, .mode = VFIOMIG_SOFT_ONCE,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE },
		},
	};

	return dirty_everything(env, &layout);
}

/* Its pages are pinned all the time, so all are dirty all the time. */
static int by_type1_all(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_TYPE1V2 },
		.sources = TYPE1,
		.rounds = 64,
		.all = true,
		.seat_count = 2,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_TYPE1 },
			{ .which = THIRD, .source = VFM_DIRTY_TYPE1, .visitor = true },
		},
	};

	return dirty_everything(env, &layout);
}

static int by_all_at_once(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD, VFM_BACKEND_TYPE1V2 },
		.iommu_flags = VFM_IOMMU_DIRTY_TRACKING,
		.flags = VFM_TRACKER_SHARED,
		.rounds = 200,
		.seat_count = 4,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_HWPT, .knobs = { { KNOB(log_max_bytes), 4096 } } },
			{ .which = SECOND, .source = VFM_DIRTY_DEVICE_LOG, .visitor = true },
			{ .which = THIRD, .space = 1, .source = VFM_DIRTY_TYPE1,
			  .knobs = { { KNOB(log_max_bytes), 4096 } } },
			{ .which = FOURTH, .space = 0, .source = VFM_DIRTY_DEVICE_LOG,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE },
		},
	};

	return dirty_everything(env, &layout);
}

static int by_nothing(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.rounds = 64,
		.all = true,
		.seat_count = 2,
		.seats = {
			{ .which = THIRD, .source = VFM_DIRTY_NONE, .knobs = { { KNOB(log_max_bytes), 4096 } } },
			{ .which = FIRST, .source = VFM_DIRTY_DEVICE_LOG, .visitor = true },
		},
	};

	return dirty_everything(env, &layout);
}

static int log_lies(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.sources = LOG,
		.rounds = 16,
		.seat_count = 1,
		.seats = { { .which = THIRD, .source = VFM_DIRTY_DEVICE_LOG } },
	};

	return dirty_unnoticed(env, &layout);
}

static int hwpt_lies(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.iommu_flags = VFM_IOMMU_DIRTY_TRACKING,
		.sources = HWPT,
		.rounds = 16,
		.seat_count = 1,
		.seats = { { .which = FIRST, .source = VFM_DIRTY_HWPT } },
	};

	return dirty_unnoticed(env, &layout);
}

const struct lab_test dirty_tests[] = {
	{ "dirty", "device logs", by_log },
	{ "dirty", "device logs of drivers that can do little", by_poor_log },
	{ "dirty", "page tables of the IOMMU", by_hwpt },
	{ "dirty", "two page tables of one address space", by_two_hwpts },
	{ "dirty", "two page tables, areas that are parts of maps", by_hwpt_in_parts },
	{ "dirty", "a page table, an area with a hole", by_hwpt_over_a_hole },
	{ "dirty", "type1, devices that pin and that copy", by_type1 },
	{ "dirty", "type1, areas that are parts of maps", by_type1_in_parts },
	{ "dirty", "type1, a device behind an IOMMU", by_type1_all },
	{ "dirty", "all sources at once", by_all_at_once },
	{ "dirty", "a device that nobody sees", by_nothing },
	{ "dirty", "a log that misses writes is found out", log_lies },
	{ "dirty", "an IOMMU that misses writes is found out", hwpt_lies },
	{ NULL, NULL, NULL },
};
