// SPDX-License-Identifier: MIT
/* Operations of the tracker of dirty pages: whatever fails, a page that the device has written is told. */
#include <stdio.h>

#include "sweep.h"

#define PAGES 16u
#define IOVA 0x100000u

static uint8_t memory[PAGES * PAGE] __attribute__((aligned(65536)));

static int prepare(struct bench *b)
{
	VFM_OPTS(vfm_map, map);
	int r = vfm_device_bus_master(b->source, true, &b->err);

	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.vaddr = memory;
	map.length = sizeof(memory);
	map.iova = IOVA;
	return r < 0 ? r : vfm_iommu_map(b->iommu, &map, &b->err);
}

/* From outside: no call of the library's. */
static void device_writes(struct bench *b, unsigned int page)
{
	char action[32];

	snprintf(action, sizeof(action), "write=%#x:8", IOVA + page * PAGE);
	if (vfm_sim_poke(b->sim, SOURCE, action) < 0)
		sweep_wrong(b, "the device does not write");
}

static void is_told(struct bench *b, uint64_t *bits, unsigned int page)
{
	if (!(*bits >> page & 1))
		sweep_wrong(b, "a page that was written is not told");
	*bits = 0;
}

static int track(struct bench *b, struct vfm_tracker *tracker, uint64_t *bits)
{
	const struct vfm_iova_range window = { IOVA, IOVA + 4 * sizeof(memory) - 1 };
	int r = vfm_tracker_map(tracker, b->iommu, IOVA, sizeof(memory), 0, &b->err);

	/* A log that cannot be started with it is started without. */
	if (r == 0)
		r = vfm_tracker_windows(tracker, b->iommu, &window, 1, &b->err);
	if (r == 0)
		r = vfm_tracker_join(tracker, b->source, &b->err);
	if (r < 0)
		return r;
	is_told(b, bits, PAGES - 1);
	for (unsigned int round = 0; r == 0 && round < 3; round++) {
		device_writes(b, round);
		r = vfm_tracker_sync(tracker, 0, NULL, &b->err);
		if (r == 0)
			is_told(b, bits, round);
	}
	if (r < 0)
		return r;
	device_writes(b, 5);
	r = vfm_tracker_unmap(tracker, b->iommu, IOVA, sizeof(memory), VFM_TRACKER_QUIET, &b->err);
	is_told(b, bits, 5);
	return r;
}

static int op_track(struct bench *b)
{
	VFM_OPTS(vfm_tracker_opts, opts);
	struct vfm_tracker *tracker;
	uint64_t bits = 0;
	int r;

	opts.bitmap = (struct vfm_bitmap_pages){
		.size = sizeof(opts.bitmap), .page_shift = 12, .words = &bits, .pages = PAGES
	};
	r = vfm_tracker_new(b->ctx, &opts, &tracker, &b->err);
	if (r < 0)
		return r;
	r = track(b, tracker, &bits);
	vfm_tracker_free(tracker);
	return r;
}

#define LOGS "edu@" SOURCE ",state=64k,log=1;edu@" TARGET ",state=64k"
#define TRACKS "edu@" SOURCE ",state=64k,dirty=1;edu@" TARGET ",state=64k,dirty=1"
#define BOTH "edu@" SOURCE ",state=64k,log=1,dirty=1;edu@" TARGET ",state=64k,dirty=1"
#define NATIVE .backend = VFM_BACKEND_IOMMUFD
#define OPEN .devices = true, .small = true, .both = true

static const struct operation list[] = {
	{ "track-log", op_track, prepare, LOGS, NATIVE, OPEN },
	{ "track-hwpt", op_track, prepare, TRACKS, NATIVE, .flags = VFM_IOMMU_DIRTY_TRACKING, OPEN },
	{ "track-either", op_track, prepare, BOTH, NATIVE, .flags = VFM_IOMMU_DIRTY_TRACKING, OPEN },
	{ "track-type1", op_track, prepare, LOGS, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "track-container", op_track, prepare, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "track-nothing", op_track, prepare, NATIVE, OPEN },
};

const struct operations ops_dirty = { "dirty", OPERATIONS(list) };
