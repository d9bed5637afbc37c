// SPDX-License-Identifier: MIT
/*
 * What it costs to ask for dirty pages: one sync of the tracker, for areas of several sizes, by a device's own log and
 * by the page table of an IOMMU, with nothing written and with everything. Figures as comments; judged is how they
 * grow.
 */
#include <stdlib.h>
#include <time.h>

#include "../kmod/vfiomig_soft.h"
#include "lab.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define SMALL (32 * MIB)
#define LARGE (4 * SMALL)
#define IOVA 0x10000000ull
#define ROUNDS 9
#define MOST_GROWTH 8.0 /* of four times the area; one that is quadratic takes 16 times as long */

struct cost {
	double clean_us;
	double dirty_us;
};

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), by_value);
	return values[ROUNDS / 2];
}

static int sync_once(struct env *env, struct vfm_tracker *tracker, uint64_t pages, double *ret_us)
{
	VFM_OPTS(vfm_tracker_report, report);
	const double begin = now_us();

	OK(vfm_tracker_sync(tracker, 0, &report, &env->err));
	*ret_us = now_us() - begin;
	REQUIRE(report.dirty == pages);
	return 0;
}

/* @written: the device has written to every page before each round. */
static int measure(struct env *env, struct vfm_tracker *tracker, struct vfm_device *dev, uint64_t *bitmap,
		   uint64_t bytes, bool written, double *ret_us)
{
	const uint64_t pages = bytes / PAGE;
	double took[ROUNDS];

	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (uint64_t at = 0; written && at < bytes; at += VFIOMIG_SOFT_DMA_MAX) {
			if (soft_write(env, dev, IOVA + at, VFIOMIG_SOFT_DMA_MAX, round))
				return -1;
		}
		memset(bitmap, 0, vfm_bitmap_words(pages) * sizeof(*bitmap));
		if (sync_once(env, tracker, written ? pages : 0, &took[round]))
			return -1;
	}
	*ret_us = median(took);
	return 0;
}

static int track(struct env *env, struct vfm_iommu *iommu, struct vfm_device *dev, uint32_t source, uint64_t bytes,
		 struct cost *ret)
{
	VFM_OPTS(vfm_tracker_opts, opts);
	VFM_OPTS(vfm_tracker_device, seen);
	struct vfm_tracker *tracker;
	double unused;
	int r = -1;

	opts.sources = 1u << source;
	opts.bitmap.size = sizeof(opts.bitmap);
	opts.bitmap.page_shift = 12;
	opts.bitmap.pages = bytes / PAGE;
	opts.bitmap.words = calloc(vfm_bitmap_words(opts.bitmap.pages), sizeof(uint64_t));
	REQUIRE(opts.bitmap.words);
	if (vfm_tracker_new(env->ctx, &opts, &tracker, &env->err))
		goto end;
	if (vfm_tracker_map(tracker, iommu, IOVA, bytes, 0, &env->err) == 0 &&
	    vfm_tracker_join(tracker, dev, &env->err) == 0 && vfm_tracker_device(tracker, dev, &seen) == 0 &&
	    seen.source == source && sync_once(env, tracker, opts.bitmap.pages, &unused) == 0 &&
	    measure(env, tracker, dev, opts.bitmap.words, bytes, false, &ret->clean_us) == 0)
		r = measure(env, tracker, dev, opts.bitmap.words, bytes, true, &ret->dirty_us);
	vfm_tracker_free(tracker);
end:
	free(opts.bitmap.words);
	return r;
}

/* The device on an address space of its own with @bytes mapped. */
static int run(struct env *env, uint32_t source, uint64_t bytes, struct cost *ret)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu;
	int r = -1;

	options.backend = VFM_BACKEND_IOMMUFD;
	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	if (env_map(env, iommu, env_memory(env, bytes), bytes, IOVA) == 0 &&
	    vfm_device_open_attached(env->ctx, env->names[FIRST], iommu, &dev, &env->err) == 0 &&
	    soft_clear_knobs(env, dev) == 0)
		r = track(env, iommu, dev, source, bytes, ret);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
	return r;
}

static void show(const char *what, uint64_t bytes, const struct cost *cost)
{
	const double per_gib = (double)GIB / (double)bytes;

	printf("# %s, %llu MiB in pages of 4 KiB: %.0f us clean, %.0f us all dirty; for a GiB %.0f and %.0f us, median "
	       "of %d\n",
	       what, (unsigned long long)(bytes / MIB), cost->clean_us, cost->dirty_us, cost->clean_us * per_gib,
	       cost->dirty_us * per_gib, ROUNDS);
}

static int grows(struct env *env, const char *what, uint32_t source)
{
	struct cost small, large;

	if (run(env, source, SMALL, &small) || run(env, source, LARGE, &large)) {
		printf("# %s\n", env->err.message);
		return -1;
	}
	show(what, SMALL, &small);
	show(what, LARGE, &large);
	REQUIRE(large.clean_us < MOST_GROWTH * small.clean_us);
	REQUIRE(large.dirty_us < MOST_GROWTH * small.dirty_us);
	return 0;
}

static int of_log(struct env *env)
{
	return grows(env, "device log", VFM_DIRTY_DEVICE_LOG);
}

static int of_hwpt(struct env *env)
{
	return grows(env, "page table", VFM_DIRTY_HWPT);
}

const struct lab_test cost_tests[] = {
	{ "cost", "of asking a device's log grows with the area", of_log },
	{ "cost", "of asking a page table grows with the area", of_hwpt },
	{ NULL, NULL, NULL },
};
