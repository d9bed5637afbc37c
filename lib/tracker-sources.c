/* SPDX-License-Identifier: MIT */
/* Who sees what a device writes: the best source that starts, the next one where it fails, and no page lost between. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "device-internal.h"
#include "iommu-internal.h"
#include "tracker.h"

static const char *const kind_names[] = {
	[VFM_DIRTY_DEVICE_LOG] = "device log",
	[VFM_DIRTY_HWPT] = "IOMMU",
	[VFM_DIRTY_TYPE1] = "container",
};

bool vfmi_member_attached(const struct vfm_device *dev)
{
	const struct vfm_iommu *iommu = vfm_device_iommu(dev);

	return iommu && (vfm_device_pt_id(dev) != 0 || vfmi_backend_is_container(vfm_iommu_backend(iommu)));
}

/* why not a better one */

static void add_reason(struct vfmi_member *member, uint32_t kind, const char *text)
{
	const size_t used = strlen(member->why);

	snprintf(member->why + used, sizeof(member->why) - used, "%s%s: %s", used ? "; " : "", kind_names[kind], text);
}

/* The name of the device is known to who reads this. */
static const char *without_name(const struct vfmi_member *member, const char *message)
{
	const char *name = vfm_device_name(member->dev);
	const size_t length = strlen(name);

	return strncmp(message, name, length) == 0 && strncmp(message + length, ": ", 2) == 0 ? message + length + 2
											      : message;
}

static bool is_wanted(const struct vfm_tracker *tracker, struct vfmi_member *member, uint32_t kind)
{
	const uint32_t backend = vfm_iommu_backend(member->space->iommu);
	const char *reason = NULL;

	if (!(tracker->allowed & 1u << kind))
		reason = "not asked for";
	else if (member->barred & 1u << kind)
		reason = "given up after it failed";
	else if (kind == VFM_DIRTY_HWPT && backend != VFM_BACKEND_IOMMUFD)
		reason = "needs an iommufd";
	else if (kind == VFM_DIRTY_HWPT && !vfmi_iommu_hwpt_tracks(member->space->iommu, member->pt_id))
		reason = "its page table has no dirty tracking";
	else if (kind == VFM_DIRTY_TYPE1 && !vfmi_backend_is_container(backend))
		reason = "there is none";
	if (reason)
		add_reason(member, kind, reason);
	return !reason;
}

/* feeds */

static struct vfmi_feed *find_feed(const struct vfmi_space *space, uint32_t kind, uint32_t hwpt_id)
{
	struct vfmi_feed *feed = kind == VFM_DIRTY_DEVICE_LOG ? NULL : space->feeds;

	while (feed && (feed->source->ops->kind != kind || feed->hwpt_id != hwpt_id))
		feed = feed->next;
	return feed;
}

/*
 * Devices that were adopted each by itself have address spaces of their own here, which may be one in the kernel, with
 * one page table. Ids alone may also be equal in two iommufds: to take those for the same costs, and loses nothing.
 */
static bool reads_the_same(const struct vfmi_space *space, const struct vfmi_feed *feed,
			   const struct vfmi_space *other_space, const struct vfmi_feed *other)
{
	return feed != other && feed->hwpt_id != 0 && feed->hwpt_id == other->hwpt_id &&
	       (vfmi_iommu_is_adopted(space->iommu) || vfmi_iommu_is_adopted(other_space->iommu));
}

/* Spaces after @after (NULL: all) with a source that reads what @feed of @space reads. */
static struct vfmi_space *next_sharer(const struct vfm_tracker *tracker, const struct vfmi_space *space,
				      const struct vfmi_feed *feed, const struct vfmi_space *after)
{
	struct vfmi_space *other = after ? after->next : tracker->spaces;

	for (; other; other = other->next)
		for (const struct vfmi_feed *at = other->feeds; at; at = at->next)
			if (reads_the_same(space, feed, other, at))
				return other;
	return NULL;
}

/* The start has cleared bits that others have not read. */
static void dirty_sharers(const struct vfm_tracker *tracker, const struct vfmi_space *space,
			  const struct vfmi_feed *feed)
{
	struct vfmi_space *other = NULL;

	while ((other = next_sharer(tracker, space, feed, other)))
		vfmi_space_dirty(tracker, other);
}

static void stop_feed(const struct vfm_tracker *tracker, const struct vfmi_space *space, struct vfmi_feed *feed)
{
	feed->source->shared = next_sharer(tracker, space, feed, NULL) != NULL;
	feed->source->ops->stop(feed->source);
}

static int make_source(const struct vfm_tracker *tracker, const struct vfmi_member *member, uint32_t kind,
		       struct vfmi_dirty_source **ret)
{
	switch (kind) {
	case VFM_DIRTY_DEVICE_LOG:
		return tracker->makers->log(member->dev, ret);
	case VFM_DIRTY_HWPT:
		return tracker->makers->hwpt(member->space->iommu, member->pt_id, ret);
	default:
		return tracker->makers->type1(member->space->iommu, ret);
	}
}

static bool is_in_error(struct vfm_device *dev)
{
	uint32_t state;

	return vfmi_device_peek_state(dev, &state) == 0 && state == VFM_STATE_ERROR;
}

/* What a driver was interrupted in, it has not begun. */
static int start_with(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *areas, size_t count,
		      struct vfm_error *err)
{
	int r = source->ops->start(source, areas, count, err);

	return r == -EINTR ? source->ops->start(source, areas, count, err) : r;
}

/* A device that is in ERROR loses the log again with the reset that must come: asking it is counted. */
static int start_log(struct vfmi_space *space, struct vfmi_dirty_source *source, struct vfm_device *dev,
		     struct vfm_error *err)
{
	int r = -EINVAL;
	size_t count;

	/* Windows are a wish: a driver that cannot log so much may log what is mapped. */
	if (space->window_count > 0) {
		const struct vfmi_dirty_area *plan = vfmi_space_plan(space, &count);

		r = start_with(source, plan, count, err);
		if (r < 0)
			vfmi_log(source->ctx, VFM_LOG_INFO,
				 "%s: cannot log the windows (%s), so each area that comes costs "
				 "a start",
				 vfm_device_name(dev), vfmi_errno_text(-r));
	}
	if (r < 0)
		r = start_with(source, vfmi_space_list(space), space->count, err);
	if (r == 0)
		(void)is_in_error(dev);
	return r;
}

static int start_source(const struct vfm_tracker *tracker, struct vfmi_space *space, struct vfmi_feed *feed,
			struct vfm_error *err)
{
	int r;

	if (feed->owner)
		return start_log(space, feed->source, feed->owner->dev, err);
	r = start_with(feed->source, vfmi_space_list(space), space->count, err);
	if (r == 0)
		dirty_sharers(tracker, space, feed);
	return r;
}

static struct vfmi_feed *start_feed(struct vfm_tracker *tracker, struct vfmi_member *member, uint32_t kind)
{
	struct vfmi_feed *feed = calloc(1, sizeof(*feed));
	VFM_OPTS(vfm_error, err);
	int r;

	if (!feed)
		goto err_memory;
	r = make_source(tracker, member, kind, &feed->source);
	if (r < 0)
		goto err_free;
	feed->owner = kind == VFM_DIRTY_DEVICE_LOG ? member : NULL;
	feed->hwpt_id = kind == VFM_DIRTY_HWPT ? member->pt_id : 0;
	r = start_source(tracker, member->space, feed, &err);
	if (r < 0)
		goto err_source;
	feed->next = member->space->feeds;
	member->space->feeds = feed;
	return feed;

err_source:
	feed->source->ops->free(feed->source);
	free(feed);
	add_reason(member, kind, err.message[0] ? without_name(member, err.message) : vfmi_errno_text(-r));
	return NULL;
err_free:
	free(feed);
err_memory:
	add_reason(member, kind, vfmi_errno_text(ENOMEM));
	return NULL;
}

void vfmi_member_choose(struct vfm_tracker *tracker, struct vfmi_member *member)
{
	member->why[0] = '\0';
	/* Before the start: what is lost from then on is noticed. */
	member->losses = vfmi_device_log_losses(member->dev);
	for (uint32_t kind = VFM_DIRTY_DEVICE_LOG; kind <= VFM_DIRTY_TYPE1 && !member->feed; kind++) {
		if (!is_wanted(tracker, member, kind))
			continue;
		member->feed = find_feed(member->space, kind, kind == VFM_DIRTY_HWPT ? member->pt_id : 0);
		if (!member->feed)
			member->feed = start_feed(tracker, member, kind);
	}
	if (member->feed)
		member->feed->users++;
	else
		vfmi_log(tracker->ctx, VFM_LOG_WARNING, "%s: nothing sees what it writes: %s",
			 vfm_device_name(member->dev), member->why);
}

void vfmi_member_drop(const struct vfm_tracker *tracker, struct vfmi_member *member)
{
	struct vfmi_feed *feed = member->feed;
	struct vfmi_feed **at;

	member->feed = NULL;
	if (!feed || --feed->users > 0)
		return;
	for (at = &member->space->feeds; *at != feed; at = &(*at)->next)
		;
	*at = feed->next;
	stop_feed(tracker, member->space, feed);
	feed->source->ops->free(feed->source);
	free(feed);
}

/* reports */

void vfmi_feed_notice(struct vfmi_feed *feed)
{
	if (!feed->owner || feed->loss >= VFMI_FEED_RESET)
		return;
	if (feed->owner->losses != vfmi_device_log_losses(feed->owner->dev))
		feed->loss = VFMI_FEED_RESET;
}

int vfmi_feed_report(struct vfm_tracker *tracker, struct vfmi_feed *feed, const struct vfmi_dirty_area *areas,
		     size_t count, bool keep, struct vfm_error *err)
{
	VFM_OPTS(vfm_error, why);
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = feed->source->ops->report(feed->source, &areas[i], &tracker->sink, keep, err ? err : &why);
	vfmi_feed_notice(feed);
	if (r == 0) {
		feed->suspect = feed->suspect && count == 0;
		return 0;
	}
	if (feed->loss != VFMI_FEED_RESET)
		feed->loss = VFMI_FEED_FAILED;
	vfmi_log(tracker->ctx, VFM_LOG_WARNING, "%s: all it sees is dirty: %s", kind_names[feed->source->ops->kind],
		 err ? "its last report failed" : why.message);
	return r;
}

/* losses */

static struct vfmi_feed *find_loss(const struct vfmi_space *space)
{
	struct vfmi_feed *feed = space->feeds;

	while (feed && feed->loss == VFMI_FEED_WHOLE)
		feed = feed->next;
	return feed;
}

bool vfmi_space_has_loss(const struct vfmi_space *space)
{
	return find_loss(space) != NULL;
}

/* One that has failed twice in a row would fail for ever: it is not started again for a failure, but for a reset. */
static int restart(struct vfm_tracker *tracker, struct vfmi_space *space, struct vfmi_feed *feed)
{
	const enum vfmi_feed_loss loss = feed->loss;
	int r;

	stop_feed(tracker, space, feed);
	if (loss == VFMI_FEED_FAILED && feed->suspect)
		return -EIO;
	if (feed->owner)
		feed->owner->losses = vfmi_device_log_losses(feed->owner->dev);
	r = start_source(tracker, space, feed, NULL);
	if (r < 0)
		return r;
	feed->loss = VFMI_FEED_WHOLE;
	feed->suspect = feed->suspect || loss == VFMI_FEED_FAILED;
	tracker->restarted += loss != VFMI_FEED_GROWN;
	return 0;
}

/* The last user takes the feed with it. */
static void give_up(struct vfm_tracker *tracker, const struct vfmi_feed *feed)
{
	const uint32_t kind = feed->source->ops->kind;
	uint32_t users = feed->users;

	for (struct vfmi_member *member = tracker->members; users > 0; member = member->next) {
		if (member->feed != feed)
			continue;
		users--;
		vfmi_member_drop(tracker, member);
		member->barred |= 1u << kind;
		vfmi_member_choose(tracker, member);
	}
}

void vfmi_space_recover(struct vfm_tracker *tracker, struct vfmi_space *space)
{
	struct vfmi_feed *feed = find_loss(space);

	if (!feed)
		return;
	for (; feed; feed = find_loss(space))
		if (restart(tracker, space, feed) < 0)
			give_up(tracker, feed);
	vfmi_space_dirty(tracker, space);
}

bool vfmi_space_has_unseen(const struct vfm_tracker *tracker, const struct vfmi_space *space)
{
	const struct vfmi_member *member = tracker->members;

	while (member && (member->space != space || member->feed))
		member = member->next;
	return member != NULL;
}

/* changes behind the tracker's back */

/* A device that moved more than once may have been in any of them. */
static void dirty_all_spaces(const struct vfm_tracker *tracker)
{
	for (struct vfmi_space *space = tracker->spaces; space; space = space->next)
		vfmi_space_dirty(tracker, space);
}

static int move(struct vfm_tracker *tracker, struct vfmi_member *member)
{
	const bool attached = vfmi_member_attached(member->dev);
	struct vfmi_space *from = member->space;
	struct vfmi_space *to = NULL;

	if (vfmi_device_moves(member->dev) - member->moves > 1)
		dirty_all_spaces(tracker);
	if (attached)
		to = vfmi_space_get(tracker, vfm_device_iommu(member->dev));
	if (from) {
		vfmi_space_dirty(tracker, from);
		vfmi_member_drop(tracker, member);
		from->members--;
	}
	member->space = to;
	member->pt_id = vfm_device_pt_id(member->dev);
	member->moves = vfmi_device_moves(member->dev);
	member->barred = 0;
	if (to) {
		to->members++;
		vfmi_member_choose(tracker, member);
		vfmi_space_dirty(tracker, to);
	}
	vfmi_space_put(tracker, from);
	return attached && !to ? -ENOMEM : 0;
}

static bool has_moved(const struct vfmi_member *member)
{
	const struct vfm_iommu *before = member->space ? member->space->iommu : NULL;
	const struct vfm_iommu *now = vfmi_member_attached(member->dev) ? vfm_device_iommu(member->dev) : NULL;

	return before != now || member->moves != vfmi_device_moves(member->dev) ||
	       (now && vfm_device_pt_id(member->dev) != member->pt_id);
}

int vfmi_member_refresh(struct vfm_tracker *tracker, struct vfmi_member *member)
{
	if (has_moved(member))
		return move(tracker, member);
	if (!member->space)
		return 0;
	if (member->feed && member->feed->owner) {
		if (member->feed->loss < VFMI_FEED_RESET && is_in_error(member->dev))
			member->feed->loss = VFMI_FEED_RESET;
		vfmi_feed_notice(member->feed);
	} else if (member->barred && member->losses != vfmi_device_log_losses(member->dev)) {
		/* What failed before the reset may work after it. */
		member->barred = 0;
		vfmi_member_drop(tracker, member);
		vfmi_member_choose(tracker, member);
		vfmi_space_dirty(tracker, member->space);
	}
	return 0;
}
