/* SPDX-License-Identifier: MIT */
/* Tracker of dirty pages: areas and devices come and go, what was written is collected in the order that loses none. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "device-internal.h"
#include "iommu-internal.h"
#include "iova-ranges.h"
#include "tracker.h"

#define SMALLEST_SHIFT 12u
#define SMALLEST_PAGE (1ull << SMALLEST_SHIFT)
#define ALL_KINDS (1u << VFM_DIRTY_NONE | 1u << VFM_DIRTY_DEVICE_LOG | 1u << VFM_DIRTY_HWPT | 1u << VFM_DIRTY_TYPE1)
#define VFMI_TRACKER_OPTS_MIN VFMI_SIZE_TO(struct vfm_tracker_opts, bitmap)

static const struct vfmi_tracker_makers kernel_makers = {
	.log = vfmi_dirty_log_new,
	.hwpt = vfmi_dirty_hwpt_new,
	.type1 = vfmi_dirty_type1_new,
};

/* making */

/* @ret_last: address of the last byte; the last page may reach beyond the address space, not begin there. */
static const char *bitmap_flaw(const struct vfm_bitmap_pages *map, uint64_t *ret_last)
{
	uint64_t begin;

	if (map->size < sizeof(*map))
		return "the bitmap's struct has no size";
	if (!map->words || map->pages == 0)
		return "the bitmap has no words or no pages";
	if ((uintptr_t)map->words % sizeof(*map->words))
		return "the bitmap's words are not aligned";
	if (map->page_shift < SMALLEST_SHIFT || map->page_shift > 63)
		return "pages of the bitmap are smaller than 4 KiB or larger than there are";
	if (map->start & (SMALLEST_PAGE - 1))
		return "the bitmap does not start at a multiple of 4 KiB";
	if (map->pages - 1 > UINT64_MAX >> map->page_shift ||
	    vfmi_add_overflows(map->start, (map->pages - 1) << map->page_shift, &begin))
		return "the bitmap reaches beyond the end of the address space";
	if (vfmi_add_overflows(begin, (1ull << map->page_shift) - 1, ret_last))
		*ret_last = UINT64_MAX;
	return NULL;
}

static const char *opts_flaw(const struct vfm_tracker_opts *opts, uint64_t *ret_last)
{
	if (opts->flags & ~(uint32_t)VFM_TRACKER_SHARED || opts->reserved)
		return "unknown flags";
	if (opts->sources & ~ALL_KINDS)
		return "unknown sources";
	return bitmap_flaw(&opts->bitmap, ret_last);
}

int vfmi_tracker_new_with(struct vfm_context *ctx, const struct vfm_tracker_opts *opts,
			  const struct vfmi_tracker_makers *makers, struct vfm_tracker **ret_tracker,
			  struct vfm_error *ret_error)
{
	struct vfm_tracker *tracker;
	struct vfm_tracker_opts own;
	const char *flaw;
	uint64_t last = 0;
	int r;

	if (!ctx || !ret_tracker)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, "new tracker", "a required argument is NULL");
	r = vfmi_sized_in(&own, sizeof(own), opts, VFMI_TRACKER_OPTS_MIN);
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, NULL, "new tracker", "options of a size not known here");
	flaw = opts_flaw(&own, &last);
	if (flaw)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, "new tracker", "%s", flaw);
	tracker = calloc(1, sizeof(*tracker));
	if (!tracker || pthread_mutex_init(&tracker->lock, NULL) != 0) {
		free(tracker);
		return VFMI_FAIL(ctx, ret_error, ENOMEM, NULL, "new tracker", "%s", vfmi_errno_text(ENOMEM));
	}
	tracker->ctx = ctx;
	tracker->makers = makers;
	tracker->allowed = own.sources ? own.sources : ALL_KINDS;
	tracker->last = last;
	tracker->sink = (struct vfmi_dirty_sink){ own.bitmap, own.flags & VFM_TRACKER_SHARED };
	*ret_tracker = tracker;
	return 0;
}

int vfm_tracker_new(struct vfm_context *ctx, const struct vfm_tracker_opts *opts, struct vfm_tracker **ret_tracker,
		    struct vfm_error *ret_error)
{
	return vfmi_tracker_new_with(ctx, opts, &kernel_makers, ret_tracker, ret_error);
}

static void remove_member(struct vfm_tracker *tracker, struct vfmi_member *member)
{
	struct vfmi_member **at = &tracker->members;

	while (*at != member)
		at = &(*at)->next;
	*at = member->next;
	vfmi_member_drop(tracker, member);
	if (member->space)
		member->space->members--;
	vfmi_space_put(tracker, member->space);
	free(member);
}

void vfm_tracker_free(struct vfm_tracker *tracker)
{
	if (!tracker)
		return;
	while (tracker->members)
		remove_member(tracker, tracker->members);
	while (tracker->spaces) {
		struct vfmi_space *space = tracker->spaces;

		while (space->areas.root)
			vfmi_space_remove(space, space->areas.root);
		space->window_count = 0;
		vfmi_space_put(tracker, space);
	}
	pthread_mutex_destroy(&tracker->lock);
	free(tracker);
}

/* areas */

static int fail_area(struct vfm_tracker *tracker, struct vfm_error *err, int code, const char *step,
		     const struct vfmi_dirty_area *area, const char *why)
{
	return VFMI_FAIL(tracker->ctx, err, code, NULL, step,
			 "%" PRIu64 " bytes at IOVA 0x%" PRIx64 ", guest address 0x%" PRIx64 ": %s", area->length,
			 area->iova, area->guest, why);
}

static const char *area_flaw(const struct vfm_tracker *tracker, const struct vfmi_dirty_area *area, int *ret_code)
{
	uint64_t guest_last;
	uint64_t last;

	*ret_code = EINVAL;
	if (area->length == 0)
		return "the length is zero";
	if ((area->iova | area->length | area->guest) & (SMALLEST_PAGE - 1))
		return "addresses and length must be multiples of 4 KiB";
	*ret_code = EOVERFLOW;
	if (vfmi_add_overflows(area->iova, area->length - 1, &last) ||
	    vfmi_add_overflows(area->guest, area->length - 1, &guest_last))
		return "it wraps around the end of the address space";
	*ret_code = ERANGE;
	if (area->guest < tracker->sink.to.start || guest_last > tracker->last)
		return "it is not inside the bitmap";
	return NULL;
}

/* Its sources see the area before it is marked: what was written until then is in the marks. */
static void cover(struct vfm_tracker *tracker, struct vfmi_space *space, const struct vfmi_dirty_area *area)
{
	for (struct vfmi_feed *feed = space->feeds; feed; feed = feed->next)
		if (feed->loss == VFMI_FEED_WHOLE && !feed->source->ops->covers(feed->source, area))
			feed->loss = VFMI_FEED_GROWN;
	vfmi_space_recover(tracker, space);
	vfmi_dirty_all(&tracker->sink, area);
}

static int map_area(struct vfm_tracker *tracker, struct vfm_iommu *iommu, const struct vfmi_dirty_area *area,
		    struct vfm_error *err)
{
	struct vfmi_space *space = vfmi_space_get(tracker, iommu);
	int r = space ? vfmi_space_add(space, area) : -ENOMEM;

	if (r == 0) {
		cover(tracker, space, area);
		return 0;
	}
	vfmi_space_put(tracker, space);
	return fail_area(tracker, err, -r, "track area", area,
			 r == -EEXIST ? "it meets an area of this address space" : vfmi_errno_text(-r));
}

int vfm_tracker_map(struct vfm_tracker *tracker, struct vfm_iommu *iommu, uint64_t iova, uint64_t length,
		    uint64_t guest, struct vfm_error *ret_error)
{
	const struct vfmi_dirty_area area = { .iova = iova, .length = length, .guest = guest };
	const char *flaw = "there is no address space";
	int code = EINVAL;
	int r;

	if (iommu)
		flaw = area_flaw(tracker, &area, &code);
	if (flaw)
		return fail_area(tracker, ret_error, code, "track area", &area, flaw);
	pthread_mutex_lock(&tracker->lock);
	r = map_area(tracker, iommu, &area, ret_error);
	pthread_mutex_unlock(&tracker->lock);
	return r;
}

/* windows */

static int windows_flaw(const struct vfm_iova_range *windows, size_t count, const char **ret_flaw)
{
	*ret_flaw = "windows must be sorted and apart";
	if ((count > 0 && !windows) || !vfmi_ranges_sorted(windows, count))
		return EINVAL;
	*ret_flaw = "windows must begin and end with a page of 4 KiB";
	for (size_t i = 0; i < count; i++)
		if ((windows[i].first | (windows[i].last + 1)) & (SMALLEST_PAGE - 1))
			return EINVAL;
	*ret_flaw = "no device logs the last page of the address space";
	return count > 0 && windows[count - 1].last == UINT64_MAX ? EOVERFLOW : 0;
}

static bool covers_window(const struct vfmi_feed *feed, const struct vfm_iova_range *window)
{
	const struct vfmi_dirty_area area = { .iova = window->first, .length = window->last - window->first + 1 };

	return feed->source->ops->covers(feed->source, &area);
}

/* A log that does not see all of them is started anew: what it missed meanwhile is marked. */
static int set_windows(struct vfm_tracker *tracker, struct vfm_iommu *iommu, const struct vfm_iova_range *windows,
		       size_t count, struct vfm_error *err)
{
	struct vfmi_space *space = vfmi_space_get(tracker, iommu);
	int r = space ? vfmi_space_set_windows(space, windows, count) : -ENOMEM;

	if (r == 0)
		for (struct vfmi_feed *feed = space->feeds; feed; feed = feed->next)
			for (size_t i = 0; i < count && feed->owner && feed->loss == VFMI_FEED_WHOLE; i++)
				if (!covers_window(feed, &windows[i]))
					feed->loss = VFMI_FEED_GROWN;
	if (r == 0)
		vfmi_space_recover(tracker, space);
	vfmi_space_put(tracker, space);
	return r < 0 ? VFMI_FAIL(tracker->ctx, err, ENOMEM, NULL, "set windows", "%s", vfmi_errno_text(ENOMEM)) : 0;
}

int vfm_tracker_windows(struct vfm_tracker *tracker, struct vfm_iommu *iommu, const struct vfm_iova_range *windows,
			size_t count, struct vfm_error *ret_error)
{
	const char *flaw = "there is no address space";
	int code = iommu ? windows_flaw(windows, count, &flaw) : EINVAL;
	int r;

	if (code)
		return VFMI_FAIL(tracker->ctx, ret_error, code, NULL, "set windows", "%s", flaw);
	pthread_mutex_lock(&tracker->lock);
	r = set_windows(tracker, iommu, windows, count, ret_error);
	pthread_mutex_unlock(&tracker->lock);
	return r;
}

/* leaving */

static int refresh_all(struct vfm_tracker *tracker, const char *step, struct vfm_error *err)
{
	int r = 0;

	for (struct vfmi_member *member = tracker->members; member; member = member->next) {
		if (vfmi_member_refresh(tracker, member) == 0)
			continue;
		r = VFMI_FAIL(tracker->ctx, err, ENOMEM, vfm_device_name(member->dev), step,
			      "no memory for the address space it was attached to");
	}
	return r;
}

/* An area on its way out. @all: more may have been written than was reported. */
struct removal {
	struct vfmi_space *space;
	struct vfmi_dirty_area area;
	uint32_t flags;
	struct vfmi_feed *last; /* it unmaps and reports in one step; NULL: nobody does */
	bool all;
};

/* A container calls pages clean that are not mapped any more. */
static bool is_mapped(const struct removal *removal)
{
	const struct vfmi_dirty_area *area = &removal->area;
	struct vfm_iova_range map;

	return vfmi_iommu_map_at(removal->space->iommu, area->iova, &map) && map.first <= area->iova &&
	       map.last - area->iova >= area->length - 1;
}

/* Bits that go away with the map, while it is there. */
static void report_before(struct vfm_tracker *tracker, struct removal *removal)
{
	const bool keep_map = removal->flags & VFM_TRACKER_KEEP_MAP;

	for (struct vfmi_feed *feed = removal->space->feeds; feed; feed = feed->next) {
		const struct vfmi_dirty_ops *ops = feed->source->ops;

		if (!ops->dies_with_map || feed->loss != VFMI_FEED_WHOLE)
			continue;
		if (ops->unmap && !keep_map && !removal->last) {
			removal->last = feed;
			continue;
		}
		(void)vfmi_feed_report(tracker, feed, &removal->area, 1, true, NULL);
		if (!(removal->flags & VFM_TRACKER_QUIET) || !is_mapped(removal))
			removal->all = true;
	}
}

/* What cannot be unmapped with its bits, such as a map too large for the kernel's bitmap, is unmapped without them. */
static int unmap_area(struct vfm_tracker *tracker, struct removal *removal, struct vfm_error *err)
{
	const struct vfmi_dirty_area *area = &removal->area;
	struct vfmi_dirty_source *source = removal->last ? removal->last->source : NULL;
	int r;

	if (removal->flags & VFM_TRACKER_KEEP_MAP)
		return 0;
	if (source) {
		r = source->ops->unmap(source, area, &tracker->sink, err);
		if (r == 0 || !is_mapped(removal))
			return r;
		removal->all = true;
	}
	return vfm_iommu_unmap(removal->space->iommu, area->iova, area->length, err);
}

/* A device's own log: whatever it wrote until the map went. */
static void report_after(struct vfm_tracker *tracker, struct removal *removal)
{
	for (struct vfmi_feed *feed = removal->space->feeds; feed; feed = feed->next)
		if (!feed->source->ops->dies_with_map && feed->loss == VFMI_FEED_WHOLE)
			(void)vfmi_feed_report(tracker, feed, &removal->area, 1, false, NULL);
}

static int remove_area(struct vfm_tracker *tracker, struct removal *removal, struct vfm_error *err)
{
	struct vfmi_space *space = removal->space;
	int r;

	report_before(tracker, removal);
	r = unmap_area(tracker, removal, err);
	if (r == 0)
		report_after(tracker, removal);
	if (r < 0 || removal->all || vfmi_space_has_loss(space) || vfmi_space_has_unseen(tracker, space))
		vfmi_dirty_all(&tracker->sink, &removal->area);
	if (r == 0)
		vfmi_space_remove(space, vfmi_space_area(space, removal->area.iova, removal->area.length));
	vfmi_space_recover(tracker, space);
	vfmi_space_put(tracker, space);
	return r;
}

static int find_and_remove(struct vfm_tracker *tracker, const struct vfm_iommu *iommu, struct removal *removal,
			   struct vfm_error *err)
{
	struct vfmi_dirty_area *area = &removal->area;
	const struct vfmi_area *found;
	int r;

	removal->space = vfmi_space_find(tracker, iommu);
	found = removal->space ? vfmi_space_area(removal->space, area->iova, area->length) : NULL;
	if (!found)
		return VFMI_FAIL(tracker->ctx, err, ENOENT, NULL, "forget area",
				 "no area of %" PRIu64 " bytes at IOVA 0x%" PRIx64 " is tracked", area->length,
				 area->iova);
	area->guest = found->guest_address;
	r = refresh_all(tracker, "forget area", err);
	return r < 0 ? r : remove_area(tracker, removal, err);
}

int vfm_tracker_unmap(struct vfm_tracker *tracker, struct vfm_iommu *iommu, uint64_t iova, uint64_t length,
		      uint32_t flags, struct vfm_error *ret_error)
{
	struct removal removal = { .area = { .iova = iova, .length = length }, .flags = flags };
	int r;

	if (flags & ~(uint32_t)(VFM_TRACKER_QUIET | VFM_TRACKER_KEEP_MAP))
		return VFMI_FAIL(tracker->ctx, ret_error, EINVAL, NULL, "forget area", "unknown flags");
	pthread_mutex_lock(&tracker->lock);
	r = find_and_remove(tracker, iommu, &removal, ret_error);
	pthread_mutex_unlock(&tracker->lock);
	return r;
}

/* devices */

static struct vfmi_member *find_member(const struct vfm_tracker *tracker, const struct vfm_device *dev)
{
	struct vfmi_member *member = tracker->members;

	while (member && member->dev != dev)
		member = member->next;
	return member;
}

static int join(struct vfm_tracker *tracker, struct vfm_device *dev, struct vfm_error *err)
{
	struct vfmi_member *member;

	if (find_member(tracker, dev))
		return VFMI_FAIL(tracker->ctx, err, EALREADY, vfm_device_name(dev), "join", "it is tracked already");
	if (!vfmi_member_attached(dev))
		return VFMI_FAIL(tracker->ctx, err, EINVAL, vfm_device_name(dev), "join",
				 "it is not attached to an address space");
	member = calloc(1, sizeof(*member));
	if (!member)
		goto err_memory;
	member->dev = dev;
	member->pt_id = vfm_device_pt_id(dev);
	member->moves = vfmi_device_moves(dev);
	member->space = vfmi_space_get(tracker, vfm_device_iommu(dev));
	if (!member->space)
		goto err_memory;
	member->space->members++;
	vfmi_member_choose(tracker, member);
	vfmi_space_dirty(tracker, member->space);
	member->next = tracker->members;
	tracker->members = member;
	return 0;

err_memory:
	free(member);
	return VFMI_FAIL(tracker->ctx, err, ENOMEM, vfm_device_name(dev), "join", "%s", vfmi_errno_text(ENOMEM));
}

int vfm_tracker_join(struct vfm_tracker *tracker, struct vfm_device *dev, struct vfm_error *ret_error)
{
	int r;

	if (!dev)
		return VFMI_FAIL(tracker->ctx, ret_error, EINVAL, NULL, "join", "there is no device");
	pthread_mutex_lock(&tracker->lock);
	r = join(tracker, dev, ret_error);
	pthread_mutex_unlock(&tracker->lock);
	return r;
}

/* A driver without migration, a device that was closed or is gone; not one that cannot answer now. */
static bool has_no_states(int r)
{
	return r == -ENOTTY || r == -EOPNOTSUPP || r == -EINVAL || r == -ENODEV;
}

static int check_quiet(const struct vfm_tracker *tracker, struct vfm_device *dev, uint32_t flags, const char *step,
		       struct vfm_error *err)
{
	struct vfmi_where where = {
		.device = vfm_device_name(dev),
		.step = step,
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = VFM_STATE_UNKNOWN,
	};
	int r = vfmi_device_peek_state(dev, &where.state_now);

	if (has_no_states(r) && flags & VFM_TRACKER_QUIET)
		return 0;
	if (r < 0)
		return vfmi_fail(tracker->ctx, err, EBUSY, &where,
				 has_no_states(r)
					 ? "it tells no state (%s), so that the caller must say that it is quiet"
					 : "it may still write: its state cannot be asked (%s)",
				 vfmi_errno_text(-r));
	if (where.state_now == VFM_STATE_STOP || where.state_now == VFM_STATE_STOP_COPY)
		return 0;
	return vfmi_fail(tracker->ctx, err, EBUSY, &where, "it may still write: it is in %s, not in STOP or STOP_COPY",
			 vfm_state_name(where.state_now));
}

static int report_last(struct vfm_tracker *tracker, struct vfmi_member *member, struct vfm_error *err)
{
	struct vfmi_space *space = member->space;
	struct vfmi_feed *feed = member->feed;
	int r = 0;

	if (!space)
		return 0;
	if (feed && feed->loss == VFMI_FEED_WHOLE)
		r = vfmi_feed_report(tracker, feed, vfmi_space_list(space), space->count, false, err);
	if (!feed || feed->loss != VFMI_FEED_WHOLE)
		vfmi_space_dirty(tracker, space);
	return r;
}

static int leave(struct vfm_tracker *tracker, struct vfm_device *dev, uint32_t flags, struct vfm_error *err)
{
	struct vfmi_member *member = find_member(tracker, dev);
	struct vfmi_space *space;
	int r;

	if (!member)
		return VFMI_FAIL(tracker->ctx, err, ENOENT, dev ? vfm_device_name(dev) : NULL, "leave",
				 "it is not tracked");
	r = check_quiet(tracker, dev, flags, "leave", err);
	if (r < 0)
		return r;
	(void)vfmi_member_refresh(tracker, member); /* without memory its new address space is not known here either */
	space = member->space;
	r = report_last(tracker, member, err);
	if (space)
		space->members++; /* it outlives the member until the others are served */
	remove_member(tracker, member);
	if (space) {
		space->members--;
		vfmi_space_recover(tracker, space);
		vfmi_space_put(tracker, space);
	}
	return r;
}

int vfm_tracker_leave(struct vfm_tracker *tracker, struct vfm_device *dev, uint32_t flags, struct vfm_error *ret_error)
{
	int r;

	if (flags & ~(uint32_t)VFM_TRACKER_QUIET)
		return VFMI_FAIL(tracker->ctx, ret_error, EINVAL, NULL, "leave", "unknown flags");
	pthread_mutex_lock(&tracker->lock);
	r = leave(tracker, dev, flags, ret_error);
	pthread_mutex_unlock(&tracker->lock);
	return r;
}

static void append(char *text, size_t room, const char *more)
{
	const size_t used = strlen(text);

	if (snprintf(text + used, room - used, "%s%s", used ? "; " : "", more) >= (int)(room - used))
		memcpy(text + room - sizeof("..."), "...", sizeof("..."));
}

static void describe(const struct vfmi_member *member, struct vfm_tracker_device *ret)
{
	const struct vfmi_dirty_source *source = member->feed ? member->feed->source : NULL;

	ret->source = source ? source->ops->kind : VFM_DIRTY_NONE;
	ret->page_shift = source ? source->page_shift : 0;
	ret->excess = source ? source->excess : 0;
	memcpy(ret->why, member->why, sizeof(ret->why));
	if (source && source->note[0])
		append(ret->why, sizeof(ret->why), source->note);
}

int vfm_tracker_device(struct vfm_tracker *tracker, const struct vfm_device *dev, struct vfm_tracker_device *ret)
{
	VFM_OPTS(vfm_tracker_device, found);
	const struct vfmi_member *member;

	pthread_mutex_lock(&tracker->lock);
	member = find_member(tracker, dev);
	if (member)
		describe(member, &found);
	pthread_mutex_unlock(&tracker->lock);
	return member ? vfmi_sized_out(ret, &found, sizeof(found)) : -ENOENT;
}

/* sync */

static int check_all_quiet(const struct vfm_tracker *tracker, uint32_t flags, struct vfm_error *err)
{
	int r = 0;

	for (struct vfmi_member *member = tracker->members; member && r == 0; member = member->next)
		r = check_quiet(tracker, member->dev, flags, "final sync", err);
	return r;
}

static void sync_space(struct vfm_tracker *tracker, struct vfmi_space *space)
{
	for (struct vfmi_feed *feed = space->feeds; feed; feed = feed->next)
		if (feed->loss == VFMI_FEED_WHOLE)
			(void)vfmi_feed_report(tracker, feed, vfmi_space_list(space), space->count, false, NULL);
	if (vfmi_space_has_unseen(tracker, space))
		vfmi_space_dirty(tracker, space);
	vfmi_space_recover(tracker, space);
}

/* Others may change the words meanwhile. */
static uint64_t count_shared(const uint64_t *words, uint64_t bits)
{
	const uint64_t whole = bits / 64;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < whole; i++)
		sum += (uint64_t)__builtin_popcountll(__atomic_load_n(&words[i], __ATOMIC_RELAXED));
	if (bits % 64)
		sum += (uint64_t)__builtin_popcountll(__atomic_load_n(&words[whole], __ATOMIC_RELAXED) &
						      ((1ull << bits % 64) - 1));
	return sum;
}

static void fill_report(const struct vfm_tracker *tracker, struct vfm_tracker_report *report)
{
	const struct vfm_bitmap_pages *map = &tracker->sink.to;

	report->restarted = tracker->restarted;
	for (const struct vfmi_member *member = tracker->members; member; member = member->next)
		report->unseen += member->feed == NULL;
	report->dirty = tracker->sink.shared ? count_shared(map->words, map->pages)
					     : vfm_bitmap_count(map->words, 0, map->pages);
}

static int sync_all(struct vfm_tracker *tracker, struct vfm_error *err)
{
	int r;

	tracker->restarted = 0;
	r = refresh_all(tracker, "sync", err);
	for (struct vfmi_space *space = tracker->spaces; space; space = space->next)
		sync_space(tracker, space);
	return r;
}

static int check_sync(struct vfm_tracker *tracker, uint32_t flags, struct vfm_tracker_report *ret_report,
		      struct vfm_error *err)
{
	VFM_OPTS(vfm_tracker_report, empty);
	int r;

	if (flags & ~(uint32_t)(VFM_TRACKER_QUIET | VFM_TRACKER_FINAL))
		return VFMI_FAIL(tracker->ctx, err, EINVAL, NULL, "sync", "unknown flags");
	r = ret_report ? vfmi_sized_out(ret_report, &empty, sizeof(empty)) : 0;
	if (r < 0)
		return VFMI_FAIL(tracker->ctx, err, -r, NULL, "sync", "a report of a size not known here");
	return flags & VFM_TRACKER_FINAL ? check_all_quiet(tracker, flags, err) : 0;
}

int vfm_tracker_sync(struct vfm_tracker *tracker, uint32_t flags, struct vfm_tracker_report *ret_report,
		     struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_tracker_report, report);
	int r;

	pthread_mutex_lock(&tracker->lock);
	r = check_sync(tracker, flags, ret_report, ret_error);
	if (r == 0) {
		r = sync_all(tracker, ret_error);
		if (ret_report) {
			fill_report(tracker, &report);
			(void)vfmi_sized_out(ret_report, &report, sizeof(report));
		}
	}
	pthread_mutex_unlock(&tracker->lock);
	return r;
}
