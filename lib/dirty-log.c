/* SPDX-License-Identifier: MIT */
/* Dirty pages out of a device's own log: VFIO_DEVICE_FEATURE_DMA_LOGGING_START, _STOP and _REPORT, Linux 6.1. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bitmap.h"
#include "device-internal.h"
#include "dirty-source.h"
#include "dma-ranges.h"
#include "iova-ranges.h"
#include "quirks.h"
#include "vfio.h"

#define STEP_START "start dirty log"
#define STEP_READ "read dirty log"
#define STEP_STOP "stop dirty log"

/* Areas are whole granules, and no log tells less apart: the kernel reports pages of 4 KiB or more. */
#define GRANULE_SHIFT 12
#define GRANULE (1ull << GRANULE_SHIFT)
#define LARGEST_PAGE (1ull << 30)
/* What a plan may ask for. Coarse pages are better than none: a device's room for its log can be small. */
#define PAGE_SIZES (GRANULE | 1ull << 16 | 1ull << 21)
/* Of one report; the kernel pins no more of the bitmap at a time. */
#define REPORT_BITS (1ull << 24)
/* Reports begin and end at multiples of whole words, so that a log of a bit a page is never asked for a part of one. */
#define WORD_BYTES (VFMI_WORD_BITS * GRANULE)

/* Granules that were reported and cleared before somebody asked for them: 64 from @iova on, a multiple of as many. */
struct pending {
	uint64_t iova;
	uint64_t bits;
};

/*
 * @on:      START has succeeded and STOP has not
 * @ranges:  what is logged; none while the source does not run, or with nothing mapped
 * @bitmap:  a report, on a page of memory of its own: kernels before 6.8 lose bits of one that is not
 * @pending: in order. A report takes more than one area, since it is made of whole words of large pages, and clears
 *           all of it: what belongs to a neighbour waits here
 */
struct dirty_log {
	struct vfmi_dirty_source source;
	struct vfm_device *dev;
	bool on;
	struct vfm_iova_range *ranges;
	size_t count;
	uint64_t unit;
	uint64_t *bitmap;
	struct pending *pending;
	size_t pending_count;
	size_t pending_room;
};

static struct dirty_log *log_of(struct vfmi_dirty_source *source)
{
	return (struct dirty_log *)(void *)source;
}

static int log_fail(struct dirty_log *log, struct vfm_error *err, int code, const char *step, const char *what)
{
	return VFMI_FAIL(log->source.ctx, err, code, vfm_device_name(log->dev), step, "%s: %s", what,
			 vfmi_errno_text(code));
}

/* What was reported too early */

static size_t pending_at_or_above(const struct dirty_log *log, uint64_t iova)
{
	size_t low = 0, high = log->pending_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (log->pending[middle].iova < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int pending_grow(struct dirty_log *log)
{
	size_t room = log->pending_room ? log->pending_room * 2 : 64;
	struct pending *grown;

	if (log->pending_count < log->pending_room)
		return 0;
	grown = room <= SIZE_MAX / sizeof(*grown) ? realloc(log->pending, room * sizeof(*grown)) : NULL;
	if (!grown)
		return -ENOMEM;
	log->pending = grown;
	log->pending_room = room;
	return 0;
}

static int pending_add(struct dirty_log *log, uint64_t iova, uint64_t bits)
{
	size_t at = pending_at_or_above(log, iova);
	int r;

	if (at < log->pending_count && log->pending[at].iova == iova) {
		log->pending[at].bits |= bits;
		return 0;
	}
	r = pending_grow(log);
	if (r < 0)
		return r;
	memmove(&log->pending[at + 1], &log->pending[at], (log->pending_count - at) * sizeof(*log->pending));
	log->pending[at] = (struct pending){ .iova = iova, .bits = bits };
	log->pending_count++;
	return 0;
}

/* Without the empty ones among those from @first to @end. */
static void pending_compact(struct dirty_log *log, size_t first, size_t end)
{
	size_t kept = first;

	if (first == end)
		return;
	for (size_t i = first; i < end; i++)
		if (log->pending[i].bits)
			log->pending[kept++] = log->pending[i];
	memmove(&log->pending[kept], &log->pending[end], (log->pending_count - end) * sizeof(*log->pending));
	log->pending_count -= end - kept;
}

static int pending_take(struct dirty_log *log, const struct vfmi_dirty_area *area, const struct vfmi_dirty_sink *sink,
			bool keep)
{
	uint64_t last = area->iova + (area->length - 1);
	size_t first = pending_at_or_above(log, area->iova & ~(WORD_BYTES - 1)), i;
	int r = 0;

	for (i = first; i < log->pending_count && log->pending[i].iova <= last; i++) {
		struct pending *word = &log->pending[i];
		struct vfmi_dirty_area part;

		if (!vfmi_dirty_part(area, word->iova, word->iova + (WORD_BYTES - 1), &part))
			continue;
		r = vfmi_dirty_merge(sink, &part, &word->bits, word->iova, GRANULE_SHIFT);
		if (r < 0)
			break;
		if (!keep)
			vfm_bitmap_clear(&word->bits, (part.iova - word->iova) >> GRANULE_SHIFT,
					 part.length >> GRANULE_SHIFT);
	}
	pending_compact(log, first, i);
	return r;
}

/* Reports */

/* A piece of a range, as the kernel is asked for it, its answer in the bitmap of the log. */
struct window {
	uint64_t first;
	uint64_t last;
};

static int read_window(struct dirty_log *log, const struct window *window, struct vfm_error *err)
{
	uint64_t length = window->last - window->first + 1;
	int r;

	memset(log->bitmap, 0, (size_t)vfm_bitmap_words(length >> log->source.page_shift) * sizeof(*log->bitmap));
	r = vfmi_vfio_log_report(vfmi_device_sys(log->dev), vfm_device_fd(log->dev), window->first, length,
				 1ull << log->source.page_shift, log->bitmap);
	return r < 0 ? log_fail(log, err, -r, STEP_READ, "the device does not report, its log is lost") : 0;
}

/* Keep what was reported from @first to @last for later. */
static int put_by(struct dirty_log *log, const struct window *window, uint64_t first, uint64_t last)
{
	const struct vfm_bitmap_pages from = {
		.size = sizeof(from),
		.page_shift = log->source.page_shift,
		.words = log->bitmap,
		.start = window->first,
		.pages = (window->last - window->first + 1) >> log->source.page_shift,
	};
	struct vfm_bitmap_pages to = { .size = sizeof(to), .page_shift = GRANULE_SHIFT, .pages = VFMI_WORD_BITS };
	uint64_t piece_last = first;
	int r = 0;

	for (uint64_t at = first; r == 0 && piece_last < last; at = piece_last + 1) {
		uint64_t bits = 0;

		piece_last = vfmi_min_u64(at | (WORD_BYTES - 1), last);
		to.start = at & ~(WORD_BYTES - 1);
		to.words = &bits;
		r = vfm_bitmap_merge_pages(&to, &from, at, piece_last - at + 1, false);
		if (r == 0 && bits)
			r = pending_add(log, to.start, bits);
	}
	return r;
}

/* The answer is @area's but for what sticks out at its ends. */
static int share_out(struct dirty_log *log, const struct window *window, const struct vfmi_dirty_area *area,
		     const struct vfmi_dirty_sink *sink, bool keep)
{
	struct vfmi_dirty_area part;
	uint64_t part_last;
	int r;

	if (keep || !vfmi_dirty_part(area, window->first, window->last, &part))
		return put_by(log, window, window->first, window->last);
	part_last = part.iova + (part.length - 1);
	r = vfmi_dirty_merge(sink, &part, log->bitmap, window->first, log->source.page_shift);
	if (r == 0 && window->first < part.iova)
		r = put_by(log, window, window->first, part.iova - 1);
	if (r == 0 && part_last < window->last)
		r = put_by(log, window, part_last + 1, window->last);
	return r;
}

/* The range that holds all of @area, NULL when none does or it is no area of whole granules. */
static const struct vfm_iova_range *range_of(const struct dirty_log *log, const struct vfmi_dirty_area *area)
{
	uint64_t last;
	size_t at;

	if (area->length == 0 || vfmi_add_overflows(area->iova, area->length - 1, &last) ||
	    (area->iova | area->length) & (GRANULE - 1))
		return NULL;
	at = vfmi_ranges_at_or_above(log->ranges, log->count, area->iova);
	if (at == log->count || log->ranges[at].first > area->iova || log->ranges[at].last < last)
		return NULL;
	return &log->ranges[at];
}

static bool log_covers(const struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area)
{
	return range_of((const struct dirty_log *)(const void *)source, area) != NULL;
}

/* Offsets are into the range, where they cannot wrap; windows never leave it. */
static int report_range(struct dirty_log *log, const struct vfm_iova_range *range, const struct vfmi_dirty_area *area,
			const struct vfmi_dirty_sink *sink, bool keep, struct vfm_error *err)
{
	const uint64_t most = REPORT_BITS << log->source.page_shift;
	uint64_t at = (area->iova - range->first) & ~(log->unit - 1);
	uint64_t last = (area->iova - range->first + (area->length - 1)) | (log->unit - 1);
	int r = 0;

	last = vfmi_min_u64(last, range->last - range->first);
	while (r == 0 && at <= last) {
		uint64_t length = vfmi_min_u64(last - at + 1, most);
		struct window window = { .first = range->first + at, .last = range->first + at + (length - 1) };

		r = read_window(log, &window, err);
		if (r < 0)
			return r;
		r = share_out(log, &window, area, sink, keep);
		at += length;
	}
	if (r == 0)
		r = pending_take(log, area, sink, keep);
	return r < 0 ? log_fail(log, err, -r, STEP_READ, "what was reported finds no place") : 0;
}

static int log_report(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *area,
		      const struct vfmi_dirty_sink *sink, bool keep, struct vfm_error *err)
{
	struct dirty_log *log = log_of(source);
	const struct vfm_iova_range *range = range_of(log, area);

	if (!range)
		return VFMI_FAIL(source->ctx, err, ERANGE, vfm_device_name(log->dev), STEP_READ,
				 "0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 " are not logged", area->length, area->iova);
	return report_range(log, range, area, sink, keep, err);
}

/* Stopping */

static void stop_device(struct dirty_log *log)
{
	int r = vfmi_vfio_log_stop(vfmi_device_sys(log->dev), vfm_device_fd(log->dev));

	if (r < 0)
		vfmi_log(log->source.ctx, VFM_LOG_WARNING, "%s: " STEP_STOP ": %s", vfm_device_name(log->dev),
			 vfmi_errno_text(-r));
	else
		log->on = false;
}

static void log_stop(struct vfmi_dirty_source *source)
{
	struct dirty_log *log = log_of(source);

	if (log->on)
		stop_device(log);
	free(log->ranges);
	free(log->bitmap);
	free(log->pending);
	log->ranges = NULL;
	log->count = 0;
	log->bitmap = NULL;
	log->pending = NULL;
	log->pending_count = log->pending_room = 0;
	source->page_shift = 0;
	source->excess = 0;
	source->note[0] = '\0';
}

static void log_free(struct vfmi_dirty_source *source)
{
	free(source);
}

/* Starting */

static int check_areas(struct dirty_log *log, const struct vfmi_dirty_area *areas, size_t count, struct vfm_error *err)
{
	uint64_t last;

	for (size_t i = 0; i < count; i++)
		if (areas[i].length == 0 || (areas[i].iova | areas[i].length) & (GRANULE - 1) ||
		    vfmi_add_overflows(areas[i].iova, areas[i].length - 1, &last))
			return VFMI_FAIL(log->source.ctx, err, EINVAL, vfm_device_name(log->dev), STEP_START,
					 "0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 " are no area of whole pages",
					 areas[i].length, areas[i].iova);
	return 0;
}

/*
 * What limits mlx5, the sum of all lengths against bits of its firmware, no ioctl tells, so that no table can have it:
 * START answers EOPNOTSUPP or EINVAL, for which the next plan is tried.
 */
static int limits_of(struct dirty_log *log, struct vfmi_dma_limits *ret, struct vfm_error *err)
{
	struct vfm_context *ctx = log->source.ctx;
	VFM_OPTS(vfm_identity, identity);
	uint32_t kind;
	int r = vfm_device_identity(log->dev, &identity, err);

	if (r < 0)
		return r;
	kind = vfmi_quirk(ctx, identity.driver, VFMI_QUIRK_DMA_LOG);
	if (kind != VFMI_DMA_LOG_YES)
		return VFMI_FAIL(ctx, err, EOPNOTSUPP, vfm_device_name(log->dev), STEP_START, "%s",
				 kind == VFMI_DMA_LOG_STUB ? "its driver can start a log and never reports a page"
							   : "its driver is known for having no log");
	*ret = (struct vfmi_dma_limits){
		.max_ranges = vfmi_quirk(ctx, identity.driver, VFMI_QUIRK_DMA_LOG_RANGES),
		.align_pages = vfmi_quirk(ctx, identity.driver, VFMI_QUIRK_DMA_LOG_PAGES),
		.page_sizes = PAGE_SIZES,
	};
	if (ret->align_pages == 0)
		ret->align_pages = 1;
	if (!vfmi_is_power_of_two(ret->align_pages))
		return VFMI_FAIL(ctx, err, EINVAL, vfm_device_name(log->dev), STEP_START,
				 "the quirk dma-log-pages is %" PRIu32 ", no power of two", ret->align_pages);
	return 0;
}

static int probe(struct dirty_log *log, struct vfm_error *err)
{
	static const struct {
		uint32_t feature;
		uint32_t op;
	} parts[] = {
		{ VFIO_DEVICE_FEATURE_DMA_LOGGING_START, VFIO_DEVICE_FEATURE_SET },
		{ VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, VFIO_DEVICE_FEATURE_SET },
		{ VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, VFIO_DEVICE_FEATURE_GET },
	};
	int r = 0;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(parts) && r == 0; i++)
		r = vfmi_vfio_feature(vfmi_device_sys(log->dev), vfm_device_fd(log->dev), parts[i].feature,
				      VFIO_DEVICE_FEATURE_PROBE | parts[i].op, NULL, 0);
	if (r == -ENOTTY || r == -EINVAL || r == -EOPNOTSUPP)
		return log_fail(log, err, EOPNOTSUPP, STEP_START, "the device has no log");
	return r < 0 ? log_fail(log, err, -r, STEP_START, "the device does not tell whether it has a log") : 0;
}

/* Pages that ranges do not begin and end with cannot be asked for by the range. */
static bool plan_fits(const struct vfmi_dma_plan *plan, uint64_t unit)
{
	for (size_t i = 0; i < plan->count; i++)
		if ((plan->ranges[i].first | (plan->ranges[i].last + 1)) & (unit - 1))
			return false;
	return true;
}

/* Room for the largest report, NULL without. */
static uint64_t *bitmap_for(const struct dirty_log *log, const struct vfmi_dma_plan *plan, uint64_t page_size)
{
	const size_t page = (size_t)vfmi_page_size(vfmi_device_sys(log->dev));
	uint64_t bits = 0;
	size_t bytes;

	for (size_t i = 0; i < plan->count; i++) {
		uint64_t pages = (plan->ranges[i].last - plan->ranges[i].first + 1) / page_size;

		bits = pages > bits ? pages : bits;
	}
	bytes = (size_t)vfm_bitmap_words(vfmi_min_u64(bits, REPORT_BITS)) * sizeof(*log->bitmap);
	return aligned_alloc(page, (bytes + page - 1) & ~(page - 1));
}

/* The device logs by @plan, in pages of @page_size bytes. */
static int take_plan(struct dirty_log *log, struct vfmi_dma_plan *plan, uint64_t page_size, uint32_t align_pages)
{
	char text[VFMI_DMA_PLAN_TEXT];

	log->bitmap = bitmap_for(log, plan, page_size);
	if (!log->bitmap)
		return -ENOMEM;
	plan->page_size = page_size;
	log->source.page_shift = (uint32_t)__builtin_ctzll(page_size);
	log->source.excess = plan->excess;
	if (page_size > GRANULE || plan->excess)
		snprintf(log->source.note, sizeof(log->source.note), "logs %s", vfmi_dma_plan_text(plan, text));
	log->unit = page_size * (align_pages > VFMI_WORD_BITS ? align_pages : VFMI_WORD_BITS);
	log->ranges = plan->ranges;
	log->count = plan->count;
	plan->ranges = NULL;
	return 0;
}

static int ask_start(struct dirty_log *log, const struct vfmi_dma_plan *plan, uint64_t *ret_page_size)
{
	struct vfio_device_feature_dma_logging_range ranges[VFMI_DMA_RANGES_MAX];
	int r;

	for (size_t i = 0; i < plan->count; i++) {
		ranges[i].iova = plan->ranges[i].first;
		ranges[i].length = plan->ranges[i].last - plan->ranges[i].first + 1;
	}
	*ret_page_size = plan->page_size;
	r = vfmi_vfio_log_start(vfmi_device_sys(log->dev), vfm_device_fd(log->dev), ranges, (uint32_t)plan->count,
				ret_page_size);
	/* Interrupted, it may be on. */
	if (r == 0 || r == -EINTR)
		log->on = true;
	return r;
}

static bool page_size_possible(uint64_t page_size)
{
	return vfmi_is_power_of_two(page_size) && page_size >= GRANULE && page_size <= LARGEST_PAGE;
}

/*
 * Start by one plan. Return: 0; 1: the driver's pages, *@ret_page_size, are none or do not fit the plan; -errno. The
 * log is off then.
 */
static int try_plan(struct dirty_log *log, struct vfmi_dma_plan *plan, uint32_t align_pages, uint64_t *ret_page_size)
{
	int r = ask_start(log, plan, ret_page_size);

	if (r == 0 && (!page_size_possible(*ret_page_size) || !plan_fits(plan, *ret_page_size * align_pages)))
		r = 1;
	if (r == 0)
		r = take_plan(log, plan, *ret_page_size, align_pages);
	if (r != 0 && log->on)
		stop_device(log);
	return r;
}

static int no_plan(struct dirty_log *log, size_t tried, int last, struct vfm_error *err)
{
	if (tried == 0)
		return VFMI_FAIL(log->source.ctx, err, EOPNOTSUPP, vfm_device_name(log->dev), STEP_START,
				 "what is mapped reaches to the end of the address space, which no log takes");
	return VFMI_FAIL(log->source.ctx, err, EOPNOTSUPP, vfm_device_name(log->dev), STEP_START,
			 "the driver took none of %zu ways to log what is mapped, at last: %s", tried,
			 vfmi_errno_text(-last));
}

/* Try plans in order. Return: 0; 1: plan anew for pages of *@ret_page_size; or -errno, told. */
static int climb(struct dirty_log *log, const struct vfmi_dma_ladder *ladder, uint32_t align_pages,
		 uint64_t *ret_page_size, struct vfm_error *err)
{
	char text[VFMI_DMA_PLAN_TEXT];
	size_t i;
	int r = -EOPNOTSUPP;

	for (i = 0; i < ladder->count && ladder->plans[i].page_size != 0; i++) {
		r = try_plan(log, &ladder->plans[i], align_pages, ret_page_size);
		if (r == 0 || (r > 0 && page_size_possible(*ret_page_size)))
			return r;
		if (r > 0)
			return VFMI_FAIL(log->source.ctx, err, EPROTO, vfm_device_name(log->dev), STEP_START,
					 "the driver says that it logs pages of 0x%" PRIx64 " bytes", *ret_page_size);
		if (!vfmi_dma_worth_another(r))
			return log_fail(log, err, -r, STEP_START, "the device does not start it");
		vfmi_log(log->source.ctx, VFM_LOG_DEBUG, "%s: " STEP_START ": %s: %s", vfm_device_name(log->dev),
			 vfmi_dma_plan_text(&ladder->plans[i], text), vfmi_errno_text(-r));
	}
	return no_plan(log, i, r, err);
}

static int plan_and_climb(struct dirty_log *log, const struct vfm_iova_range *mapped, size_t count,
			  const struct vfmi_dma_limits *limits, uint64_t *ret_page_size, struct vfm_error *err)
{
	struct vfmi_dma_ladder ladder;
	int r = vfmi_dma_ladder_new(mapped, count, limits, &ladder);

	if (r < 0)
		return log_fail(log, err, -r, STEP_START, "no plan of what to log");
	r = climb(log, &ladder, limits->align_pages, ret_page_size, err);
	vfmi_dma_ladder_free(&ladder);
	return r;
}

/* A driver that has its own mind about pages gets a plan for these. */
static int start_device(struct dirty_log *log, const struct vfm_iova_range *mapped, size_t count,
			struct vfmi_dma_limits *limits, struct vfm_error *err)
{
	uint64_t page_size = 0;
	int r = plan_and_climb(log, mapped, count, limits, &page_size, err);

	if (r == 1) {
		limits->page_sizes = page_size;
		r = plan_and_climb(log, mapped, count, limits, &page_size, err);
	}
	if (r == 1)
		return VFMI_FAIL(log->source.ctx, err, EOPNOTSUPP, vfm_device_name(log->dev), STEP_START,
				 "the driver answers other pages each time, now of 0x%" PRIx64 " bytes", page_size);
	return r;
}

/*
 * A kernel without CONFIG_IOMMUFD_DRIVER starts a log and cannot read it: EOPNOTSUPP at the first report. Better known
 * now than at the first sync. What it reports is put by.
 */
static int first_report(struct dirty_log *log, struct vfm_error *err)
{
	const struct vfm_iova_range *range = &log->ranges[0];
	const struct window window = {
		.first = range->first,
		.last = range->first + vfmi_min_u64(log->unit - 1, range->last - range->first),
	};
	int r = read_window(log, &window, err);

	if (r < 0)
		return r;
	r = put_by(log, &window, window.first, window.last);
	return r < 0 ? log_fail(log, err, -r, STEP_START, "what was reported finds no place") : 0;
}

static int start_mapped(struct dirty_log *log, const struct vfmi_dirty_area *areas, size_t count,
			struct vfmi_dma_limits *limits, struct vfm_error *err)
{
	struct vfm_iova_range *mapped = calloc(count, sizeof(*mapped));
	int r;

	if (!mapped)
		return log_fail(log, err, ENOMEM, STEP_START, "no plan of what to log");
	for (size_t i = 0; i < count; i++)
		mapped[i] = (struct vfm_iova_range){ areas[i].iova, areas[i].iova + (areas[i].length - 1) };
	r = start_device(log, mapped, count, limits, err);
	free(mapped);
	if (r == 0)
		r = first_report(log, err);
	if (r < 0)
		log_stop(&log->source);
	return r;
}

static int log_start(struct vfmi_dirty_source *source, const struct vfmi_dirty_area *areas, size_t count,
		     struct vfm_error *err)
{
	struct dirty_log *log = log_of(source);
	struct vfmi_dma_limits limits;
	int r = check_areas(log, areas, count, err);

	if (r == 0)
		r = limits_of(log, &limits, err);
	if (r == 0)
		r = probe(log, err);
	if (r < 0)
		return r;
	/* One that would not stop before; the kernel starts no second. */
	if (log->on)
		stop_device(log);
	log->on = false;
	if (count > 0)
		return start_mapped(log, areas, count, &limits, err);
	source->page_shift = GRANULE_SHIFT;
	return 0;
}

static const struct vfmi_dirty_ops log_ops = {
	.kind = VFM_DIRTY_DEVICE_LOG,
	.start = log_start,
	.covers = log_covers,
	.report = log_report,
	.stop = log_stop,
	.free = log_free,
};

int vfmi_dirty_log_new(struct vfm_device *dev, struct vfmi_dirty_source **ret)
{
	struct dirty_log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->source.ops = &log_ops;
	log->source.ctx = vfm_device_context(dev);
	log->dev = dev;
	*ret = &log->source;
	return 0;
}
