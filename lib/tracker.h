/* SPDX-License-Identifier: MIT */
/* Body of a tracker, for the tracker*.c files and their test: address spaces with areas, devices, and who sees them. */
#ifndef VFIOMIG_TRACKER_H
#define VFIOMIG_TRACKER_H

#include <pthread.h>

#include "areas.h"
#include "dirty-source.h"

/* Where sources come from; a test brings its own. */
struct vfmi_tracker_makers {
	int (*log)(struct vfm_device *dev, struct vfmi_dirty_source **ret);
	int (*hwpt)(struct vfm_iommu *iommu, uint32_t hwpt_id, struct vfmi_dirty_source **ret);
	int (*type1)(struct vfm_iommu *iommu, struct vfmi_dirty_source **ret);
};

/* Why what a source has seen is not all there is. */
enum vfmi_feed_loss {
	VFMI_FEED_WHOLE = 0,
	VFMI_FEED_GROWN,  /* an area came that it does not see */
	VFMI_FEED_RESET,  /* its device was reset or is in ERROR */
	VFMI_FEED_FAILED, /* a report failed */
};

struct vfmi_member;

/* A running source and how many devices it sees. */
struct vfmi_feed {
	struct vfmi_feed *next;
	struct vfmi_dirty_source *source;
	struct vfmi_member *owner; /* of a device's own log; else NULL */
	uint32_t hwpt_id;	   /* of VFM_DIRTY_HWPT; else 0 */
	uint32_t users;
	enum vfmi_feed_loss loss;
	bool suspect; /* it was started anew after a report that failed, and has reported nothing since */
};

/*
 * An address space with the areas the tracker was told of. @list: the same areas in order, made when it is asked for;
 * its room is had when an area is added, so that no sync fails for it. @windows: sorted and apart, where areas come and
 * go; @plan: room for them and the areas.
 */
struct vfmi_space {
	struct vfmi_space *next;
	struct vfm_iommu *iommu;
	struct vfmi_areas areas;
	size_t count;
	struct vfmi_dirty_area *list;
	size_t room;
	bool listed;
	struct vfm_iova_range *windows;
	size_t window_count;
	struct vfmi_dirty_area *plan;
	struct vfmi_feed *feeds;
	uint32_t members;
};

/* A device that has joined. */
struct vfmi_member {
	struct vfmi_member *next;
	struct vfm_device *dev;
	struct vfmi_space *space; /* NULL: it is attached to none by now */
	uint32_t pt_id;
	uint64_t moves;		/* vfmi_device_moves() when it came here */
	uint64_t losses;	/* vfmi_device_log_losses() when its source was started */
	uint32_t barred;	/* bits 1 << enum vfm_dirty_source that were given up */
	struct vfmi_feed *feed; /* NULL: VFM_DIRTY_NONE */
	char why[sizeof(((struct vfm_tracker_device *)0)->why)];
};

struct vfm_tracker {
	struct vfm_context *ctx;
	const struct vfmi_tracker_makers *makers;
	uint32_t allowed; /* bits 1 << enum vfm_dirty_source */
	uint64_t last;	  /* address of the last byte of the bitmap */
	struct vfmi_dirty_sink sink;

	pthread_mutex_t lock; /* over all below, also while the kernel is asked */
	struct vfmi_space *spaces;
	struct vfmi_member *members;
	uint32_t restarted; /* since the last sync began */
};

/* As vfm_tracker_new(). */
int vfmi_tracker_new_with(struct vfm_context *ctx, const struct vfm_tracker_opts *opts,
			  const struct vfmi_tracker_makers *makers, struct vfm_tracker **ret_tracker,
			  struct vfm_error *ret_error);

/* Spaces and their areas (tracker-areas.c). */

struct vfmi_space *vfmi_space_find(const struct vfm_tracker *tracker, const struct vfm_iommu *iommu);
/* The one there is, or a new one; NULL without memory. */
struct vfmi_space *vfmi_space_get(struct vfm_tracker *tracker, struct vfm_iommu *iommu);
/* Gone when neither an area nor a device needs it. NULL is fine. */
void vfmi_space_put(struct vfm_tracker *tracker, struct vfmi_space *space);
/* -EEXIST, -ENOMEM */
int vfmi_space_add(struct vfmi_space *space, const struct vfmi_dirty_area *area);
/* The area of exactly that place, NULL when there is none. */
struct vfmi_area *vfmi_space_area(const struct vfmi_space *space, uint64_t iova, uint64_t length);
void vfmi_space_remove(struct vfmi_space *space, struct vfmi_area *area);
/* All areas in order, space->count of them; until one is added or removed. */
const struct vfmi_dirty_area *vfmi_space_list(struct vfmi_space *space);
/* Windows in the place of those it had: -ENOMEM, and it has those. */
int vfmi_space_set_windows(struct vfmi_space *space, const struct vfm_iova_range *windows, size_t count);
/* What a device's log is to see: windows, and areas outside them, in order; until one of either changes. */
const struct vfmi_dirty_area *vfmi_space_plan(struct vfmi_space *space, size_t *ret_count);
void vfmi_space_dirty(const struct vfm_tracker *tracker, struct vfmi_space *space);

/* Who sees a device (tracker-sources.c). */

bool vfmi_member_attached(const struct vfm_device *dev);
/* Start the best source there is; it becomes the member's, or none does. Marks nothing. */
void vfmi_member_choose(struct vfm_tracker *tracker, struct vfmi_member *member);
void vfmi_member_drop(const struct vfm_tracker *tracker, struct vfmi_member *member);
/*
 * Look where the device is attached now and whether it has lost its log since; what that costs is marked. -ENOMEM: it
 * is not seen in its new address space, and the next look tries again.
 */
int vfmi_member_refresh(struct vfm_tracker *tracker, struct vfmi_member *member);

/* What was written to areas of its space, until one report fails, which is noted in the feed. 0 or that failure. */
int vfmi_feed_report(struct vfm_tracker *tracker, struct vfmi_feed *feed, const struct vfmi_dirty_area *areas,
		     size_t count, bool keep, struct vfm_error *err);
/* A device that lost its log while it was read. */
void vfmi_feed_notice(struct vfmi_feed *feed);
/* Sources of the space that lost something are started anew, or others in their place; then all its areas are dirty. */
void vfmi_space_recover(struct vfm_tracker *tracker, struct vfmi_space *space);
bool vfmi_space_has_loss(const struct vfmi_space *space);
/* A device of the space that no source sees. */
bool vfmi_space_has_unseen(const struct vfm_tracker *tracker, const struct vfmi_space *space);

#endif
