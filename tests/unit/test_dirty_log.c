/* SPDX-License-Identifier: MIT */
/* A device's own log: plans refused, answers that lie, and a log that clears what it reports, against random writes. */
#include <stdio.h>

#include "dirty-source.h"
#include "fake_device.h"
#include "seeded.h"
#include "suite.h"

#define PAGE 4096ull
#define BASE 0x40000000ull
#define PAGES 8192u
#define GUEST 0x100000000ull
#define MAX_STARTS 64
#define AHEAD 5u /* pages of the bitmap below GUEST, so that its words are not those of the log */

/* The log. @dirty: by page of 4 KiB above BASE; of a larger page of the log all are. */
static struct {
	bool hidden;
	int answers[MAX_STARTS]; /* to START, in turn; the last again and again */
	size_t answer_count;
	uint64_t page_size; /* answered; 0: what is asked for */
	bool other_each_time;
	uint64_t align_pages;
	int report_answer;
	size_t report_fails_at;
	int stop_answer;
	uint64_t written_at_start; /* page; 0: none */

	bool on;
	uint64_t shift;
	struct vfio_device_feature_dma_logging_range ranges[256];
	size_t count;
	bool dirty[PAGES];
	size_t starts;
	size_t most_ranges[MAX_STARTS];
	uint64_t asked[MAX_STARTS];
	size_t stops;
	size_t reports;
	uint64_t most_bits;
} model;

static struct vfmi_dirty_source *source;
static uint64_t words[PAGES / 64 + 1];

/* The kernel's side */

static bool is_logged(uint64_t first, uint64_t length)
{
	for (size_t i = 0; i < model.count; i++)
		if (first >= model.ranges[i].iova && first + length <= model.ranges[i].iova + model.ranges[i].length)
			return true;
	return false;
}

static void check_ranges(uint64_t page_size)
{
	ck_assert_uint_ge(model.count, 1);
	ck_assert_uint_le(model.count, 256);
	for (size_t i = 0; i < model.count; i++) {
		ck_assert_uint_eq(model.ranges[i].iova % page_size, 0);
		ck_assert_uint_eq(model.ranges[i].length % page_size, 0);
		ck_assert_uint_gt(model.ranges[i].length, 0);
		ck_assert_uint_gt(model.ranges[i].iova + model.ranges[i].length, model.ranges[i].iova);
		ck_assert(i == 0 || model.ranges[i].iova > model.ranges[i - 1].iova + model.ranges[i - 1].length);
	}
}

static int model_start(struct vfio_device_feature_dma_logging_control *control)
{
	size_t turn = model.starts < model.answer_count ? model.starts : model.answer_count - 1;
	int r = model.answer_count ? model.answers[turn] : 0;

	ck_assert(!model.on);
	ck_assert_uint_eq(control->reserved, 0);
	ck_assert_uint_lt(model.starts, MAX_STARTS);
	model.count = control->num_ranges;
	memcpy(model.ranges, (const void *)(uintptr_t)control->ranges, model.count * sizeof(model.ranges[0]));
	check_ranges(control->page_size);
	model.most_ranges[model.starts] = model.count;
	model.asked[model.starts++] = control->page_size;
	if (r < 0) {
		model.on = r == -EINTR;
		return r;
	}
	if (model.page_size)
		control->page_size = model.page_size;
	if (model.other_each_time)
		model.page_size *= 2;
	if (control->page_size)
		model.shift = (uint64_t)__builtin_ctzll(control->page_size);
	memset(model.dirty, 0, sizeof(model.dirty));
	model.dirty[model.written_at_start] = model.written_at_start > 0;
	model.on = true;
	return 0;
}

/* Pages outside of what the model holds are never dirty. */
static bool take(uint64_t iova)
{
	bool found = false;

	for (uint64_t at = iova; at < iova + (1ull << model.shift); at += PAGE)
		if (at >= BASE && at < BASE + PAGES * PAGE) {
			found |= model.dirty[(at - BASE) / PAGE];
			model.dirty[(at - BASE) / PAGE] = false;
		}
	return found;
}

static int model_report(const struct vfio_device_feature_dma_logging_report *report)
{
	uint64_t page = 1ull << model.shift, bits = report->length >> model.shift;
	uint64_t *answer = (uint64_t *)(uintptr_t)report->bitmap;

	ck_assert(model.on);
	ck_assert_uint_eq(report->page_size, page);
	ck_assert_uint_eq((report->iova | report->length) % page, 0);
	ck_assert_uint_gt(report->length, 0);
	ck_assert(is_logged(report->iova, report->length));
	if (model.align_pages)
		ck_assert_uint_eq((report->iova | report->length) % (model.align_pages * page), 0);
	ck_assert_uint_eq(report->bitmap % PAGE, 0);
	model.most_bits = bits > model.most_bits ? bits : model.most_bits;
	if (++model.reports == model.report_fails_at)
		return model.report_answer;
	for (uint64_t i = 0; i < (bits + 63) / 64; i++)
		if (answer[i])
			ck_abort_msg("the bitmap of a report is not clear");
	for (uint64_t i = 0; i < bits; i++)
		if (take(report->iova + i * page))
			answer[i / 64] |= 1ull << (i % 64);
	/* What it does to the rest of the last word is nobody's business. */
	if (bits % 64)
		answer[bits / 64] |= ~0ull << (bits % 64);
	return 0;
}

static int model_feature(struct vfio_device_feature *feature)
{
	switch (feature->flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		ck_assert_uint_eq(feature->argsz, sizeof(*feature) + 24);
		return model_start((void *)feature->data);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		ck_assert_uint_eq(feature->argsz, sizeof(*feature));
		model.stops++;
		model.on = model.stop_answer < 0 && model.on;
		return model.stop_answer;
	default:
		ck_assert_uint_eq(feature->argsz, sizeof(*feature) + 32);
		return model_report((void *)feature->data);
	}
}

static bool hook(unsigned long request, void *arg, int *r)
{
	struct vfio_device_feature *feature = arg;
	uint32_t number, wanted;

	if (request != VFIO_DEVICE_FEATURE)
		return false;
	number = feature->flags & VFIO_DEVICE_FEATURE_MASK;
	if (number < VFIO_DEVICE_FEATURE_DMA_LOGGING_START || number > VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)
		return false;
	wanted = number == VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT ? VFIO_DEVICE_FEATURE_GET : VFIO_DEVICE_FEATURE_SET;
	ck_assert(feature->flags & wanted);
	if (model.hidden)
		*r = -ENOTTY;
	else
		*r = feature->flags & VFIO_DEVICE_FEATURE_PROBE ? 0 : model_feature(feature);
	return true;
}

/* Ours */

static void setup(void)
{
	fake_setup();
	fake.hook = hook;
	memset(&model, 0, sizeof(model));
	memset(words, 0, sizeof(words));
	ck_assert_int_eq(vfmi_dirty_log_new(dev, &source), 0);
}

static void teardown(void)
{
	source->ops->stop(source);
	source->ops->free(source);
	fake_teardown();
}

/* The same device, with a driver of that name. */
static void be(const char *driver)
{
	struct vfm_identity identity = { .size = sizeof(identity) };
	struct vfm_adopt adopt = { .size = sizeof(adopt), .device_fd = FAKE_FD, .iommufd = -1, .name = "dev0" };

	snprintf(identity.driver, sizeof(identity.driver), "%s", driver);
	adopt.identity = &identity;
	source->ops->free(source);
	vfm_device_close(dev);
	ck_assert_int_eq(vfm_device_adopt(ctx, &adopt, &dev, NULL), 0);
	ck_assert_int_eq(vfmi_dirty_log_new(dev, &source), 0);
}

static struct vfmi_dirty_area area_at(uint64_t page, uint64_t pages)
{
	return (struct vfmi_dirty_area){ BASE + page * PAGE, pages * PAGE, GUEST + page * PAGE };
}

static int start(const struct vfmi_dirty_area *areas, size_t count)
{
	error = (struct vfm_error){ .size = sizeof(error) };
	return source->ops->start(source, areas, count, &error);
}

static const struct vfmi_dirty_sink sink = {
	.to = { .size = sizeof(sink.to),
		.page_shift = 12,
		.words = words,
		.start = GUEST - AHEAD * PAGE,
		.pages = PAGES + AHEAD },
};

static int report(struct vfmi_dirty_area area, bool keep)
{
	memset(words, 0, sizeof(words));
	return source->ops->report(source, &area, &sink, keep, &error);
}

static bool is_dirty(uint64_t page)
{
	return vfm_bitmap_test(words, AHEAD + page);
}

static uint64_t dirty_pages(uint64_t first, uint64_t count)
{
	return vfm_bitmap_count(words, AHEAD + first, count);
}

static void write_page(uint64_t page)
{
	if (is_logged(BASE + page * PAGE, PAGE))
		model.dirty[page] = true;
}

static void check_refused(int r, int code, const char *words_of_it)
{
	ck_assert_int_eq(r, -code);
	ck_assert_msg(strstr(error.message, words_of_it) != NULL, "%s", error.message);
	ck_assert_str_eq(error.device, "dev0");
	ck_assert(!model.on);
}

static void refuse(size_t count, const int answers[])
{
	memcpy(model.answers, answers, count * sizeof(*answers));
	model.answer_count = count;
}

START_TEST(a_log_reports_what_was_written)
{
	struct vfmi_dirty_area area = area_at(64, 128);

	ck_assert_uint_eq(source->ops->kind, VFM_DIRTY_DEVICE_LOG);
	ck_assert(!source->ops->dies_with_map && !source->ops->unmap);
	ck_assert_int_eq(start(&area, 1), 0);
	ck_assert_uint_eq(source->page_shift, 12);
	ck_assert_uint_eq(source->excess, 0);
	ck_assert_str_eq(source->note, "");
	ck_assert(source->ops->covers(source, &area));
	write_page(64);
	write_page(191);
	ck_assert_int_eq(report(area, false), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 2);
	ck_assert(is_dirty(64) && is_dirty(191));
	ck_assert_int_eq(report(area, false), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 0);
	source->ops->stop(source);
	ck_assert(!model.on);
	ck_assert_uint_eq(model.stops, 1);
	ck_assert(!source->ops->covers(source, &area));
	source->ops->stop(source);
	ck_assert_uint_eq(model.stops, 1);
}
END_TEST

START_TEST(what_the_first_report_tells_is_not_lost)
{
	struct vfmi_dirty_area area = area_at(0, 10);

	model.written_at_start = 3;
	ck_assert_int_eq(start(&area, 1), 0);
	ck_assert_uint_eq(model.reports, 1);
	ck_assert(!model.dirty[3]);
	ck_assert_int_eq(report(area, false), 0);
	ck_assert(is_dirty(3));
	ck_assert_int_eq(report(area, false), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 0);
}
END_TEST

START_TEST(nothing_mapped_starts_nothing)
{
	struct vfmi_dirty_area area = area_at(0, 1);

	ck_assert_int_eq(start(NULL, 0), 0);
	ck_assert_uint_eq(model.starts, 0);
	ck_assert(!source->ops->covers(source, &area));
	check_refused(report(area, false), ERANGE, "read dirty log: 0x1000 bytes at IOVA 0x40000000 are not logged");
	source->ops->stop(source);
	ck_assert_uint_eq(model.stops, 0);
	ck_assert_int_eq(start(&area, 1), 0);
	ck_assert(source->ops->covers(source, &area));
}
END_TEST

START_TEST(only_what_is_logged_is_covered)
{
	struct vfmi_dirty_area areas[] = { area_at(0, 10), area_at(10, 10), area_at(30, 10) };
	struct vfmi_dirty_area odd = areas[0];

	ck_assert_int_eq(start(areas, 3), 0);
	ck_assert_uint_eq(model.count, 2);
	for (size_t i = 0; i < 3; i++)
		ck_assert(source->ops->covers(source, &areas[i]));
	areas[0] = area_at(0, 21);
	areas[1] = area_at(29, 2);
	areas[2] = area_at(20, 1);
	for (size_t i = 0; i < 3; i++)
		ck_assert(!source->ops->covers(source, &areas[i]));
	odd.length -= 1;
	ck_assert(!source->ops->covers(source, &odd));
	odd.length = 0;
	ck_assert(!source->ops->covers(source, &odd));
	odd.length = -PAGE;
	ck_assert(!source->ops->covers(source, &odd));
}
END_TEST

START_TEST(areas_are_checked)
{
	struct vfmi_dirty_area areas[] = {
		{ BASE, 0, 0 }, { BASE + 1, PAGE, 0 }, { BASE, PAGE + 1, 0 }, { -PAGE, 2 * PAGE, 0 }
	};

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(areas); i++)
		check_refused(start(&areas[i], 1), EINVAL, "start dirty log: ");
	ck_assert_uint_eq(model.starts, 0);
	areas[0] = (struct vfmi_dirty_area){ -PAGE, PAGE, 0 };
	check_refused(start(areas, 1), EOPNOTSUPP, "end of the address space");
	areas[1] = area_at(4, 4), areas[2] = area_at(0, 5);
	check_refused(start(&areas[1], 2), EINVAL, "no plan");
	ck_assert_uint_eq(model.starts, 0);
}
END_TEST

/* Drivers */

START_TEST(drivers_without_a_log_are_not_asked)
{
	struct vfmi_dirty_area area = area_at(0, 1);

	be("mtty");
	check_refused(start(&area, 1), EOPNOTSUPP, "never reports a page");
	be("other");
	model.hidden = true;
	check_refused(start(&area, 1), EOPNOTSUPP, "the device has no log");
	check_refused(start(NULL, 0), EOPNOTSUPP, "the device has no log");
	model.hidden = false;
	ck_assert_int_eq(vfm_context_set_quirk(ctx, "other", "dma-log", "no", NULL), 0);
	check_refused(start(&area, 1), EOPNOTSUPP, "known for having no log");
	ck_assert_int_eq(vfm_context_set_quirk(ctx, "other", "dma-log", "yes", NULL), 0);
	ck_assert_int_eq(vfm_context_set_quirk(ctx, "other", "dma-log-pages", "48", NULL), 0);
	check_refused(start(&area, 1), EINVAL, "48");
	ck_assert_uint_eq(model.starts, 0);
	ck_assert_int_eq(vfm_context_set_quirk(ctx, "other", "dma-log-pages", "0", NULL), 0);
	ck_assert_int_eq(start(&area, 1), 0);
}
END_TEST

START_TEST(limits_of_the_driver_are_kept)
{
	struct vfmi_dirty_area areas[] = { area_at(3, 1), area_at(2000, 70) };
	struct vfmi_dirty_sink low = sink;

	be("pds_vfio_pci");
	model.align_pages = 64;
	ck_assert_int_eq(start(areas, 2), 0);
	ck_assert_uint_eq(model.starts, 1);
	ck_assert_uint_eq(model.count, 1);
	ck_assert_uint_eq(model.ranges[0].iova, BASE);
	ck_assert_uint_eq(model.ranges[0].length, 2112 * PAGE);
	ck_assert_uint_eq(source->excess, (2112 - 71) * PAGE);
	ck_assert_msg(strstr(source->note, "1 range of 4 KiB pages") != NULL, "%s", source->note);
	write_page(3);
	write_page(2069);
	ck_assert_int_eq(report(areas[1], false), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 1);
	ck_assert_int_eq(report(areas[0], false), 0);
	ck_assert(is_dirty(3));
	/* What the range begins with lies below all guest addresses. */
	areas[0].guest = 0;
	low.to.start = 0;
	write_page(3);
	memset(words, 0, sizeof(words));
	ck_assert_int_eq(source->ops->report(source, areas, &low, false, &error), 0);
	ck_assert_uint_eq(words[0], 1);
}
END_TEST

/* Plans */

START_TEST(plans_are_tried_in_turn)
{
	static const int answers[] = { -E2BIG, -EOPNOTSUPP, -EINVAL, -ENOSPC, -ENOMEM, -EINVAL, 0 };
	struct vfmi_dirty_area areas[100];

	for (size_t i = 0; i < 100; i++)
		areas[i] = area_at(4 * i, 2);
	refuse(7, answers);
	ck_assert_int_eq(start(areas, 100), 0);
	ck_assert_uint_eq(model.starts, 7);
	ck_assert_uint_eq(model.most_ranges[0], 100);
	for (size_t i = 0; i < 5; i++)
		ck_assert_uint_gt(model.most_ranges[i], model.most_ranges[i + 1]);
	ck_assert_uint_eq(model.asked[5], PAGE);
	ck_assert_uint_eq(model.asked[6], 16 * PAGE);
	ck_assert_uint_eq(source->page_shift, 16);
	ck_assert_msg(strstr(source->note, "64 KiB pages") != NULL, "%s", source->note);
	ck_assert_uint_eq(model.stops, 0);
}
END_TEST

START_TEST(no_plan_is_taken)
{
	static const int answers[] = { -EOPNOTSUPP };
	struct vfmi_dirty_area areas[] = { area_at(0, 1), area_at(100, 1) };

	refuse(1, answers);
	check_refused(start(areas, 2), EOPNOTSUPP, "none of 5 ways");
	ck_assert_uint_eq(model.starts, 5);
	ck_assert_uint_eq(source->page_shift, 0);
	ck_assert(!source->ops->covers(source, &areas[0]));
}
END_TEST

START_TEST(some_errors_end_it)
{
	static const int answers[] = { -ENODEV, -EINTR, -EFAULT, -EOVERFLOW };
	struct vfmi_dirty_area areas[] = { area_at(0, 1), area_at(100, 1) };

	refuse(4, answers);
	for (size_t i = 0; i < 4; i++) {
		check_refused(start(areas, 2), -answers[i], "does not start it");
		ck_assert_uint_eq(model.starts, i + 1);
	}
	/* EINTR does not tell whether it is on. */
	ck_assert_uint_eq(model.stops, 1);
}
END_TEST

/* Page sizes */

START_TEST(a_larger_page_gets_a_plan_of_its_own)
{
	struct vfmi_dirty_area areas[] = { area_at(3, 2), area_at(100, 1) };

	model.page_size = 16 * PAGE;
	ck_assert_int_eq(start(areas, 2), 0);
	ck_assert_uint_eq(model.starts, 2);
	ck_assert_uint_eq(model.stops, 1);
	ck_assert_uint_eq(model.asked[1], 16 * PAGE);
	ck_assert_uint_eq(source->page_shift, 16);
	write_page(4);
	ck_assert_int_eq(report(areas[0], false), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 2);
	ck_assert_int_eq(report(areas[1], false), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 0);
}
END_TEST

START_TEST(a_larger_page_that_fits_is_taken)
{
	struct vfmi_dirty_area area = area_at(16, 32);

	model.page_size = 16 * PAGE;
	ck_assert_int_eq(start(&area, 1), 0);
	ck_assert_uint_eq(model.starts, 1);
	ck_assert_uint_eq(source->page_shift, 16);
	ck_assert_msg(strstr(source->note, "64 KiB pages, no more") != NULL, "%s", source->note);
}
END_TEST

START_TEST(a_driver_that_is_never_content_is_given_up)
{
	struct vfmi_dirty_area area = area_at(3, 2);

	model.page_size = 2 * PAGE;
	model.other_each_time = true;
	check_refused(start(&area, 1), EOPNOTSUPP, "other pages each time");
	ck_assert_uint_eq(model.starts, 2);
	ck_assert_uint_eq(model.stops, 2);
}
END_TEST

START_TEST(impossible_pages_are_refused)
{
	static const uint64_t sizes[] = { 1, 512, 2048, 4097, 12288, 1ull << 31, 1ull << 63, UINT64_MAX };
	struct vfmi_dirty_area area = area_at(0, 512);

	model.page_size = sizes[_i];
	check_refused(start(&area, 1), EPROTO, "pages of 0x");
	ck_assert_uint_eq(model.stops, 1);
	ck_assert_uint_eq(model.reports, 0);
}
END_TEST

/* Reports */

START_TEST(a_kernel_that_cannot_report_is_found_out_at_once)
{
	struct vfmi_dirty_area area = area_at(0, 512);

	model.report_answer = -EOPNOTSUPP;
	model.report_fails_at = 1;
	check_refused(start(&area, 1), EOPNOTSUPP, "read dirty log: ");
	ck_assert_uint_eq(model.starts, 1);
	ck_assert_uint_eq(model.stops, 1);
	ck_assert(!source->ops->covers(source, &area));
}
END_TEST

START_TEST(a_report_that_fails_is_told)
{
	struct vfmi_dirty_area area = area_at(0, 512);

	ck_assert_int_eq(start(&area, 1), 0);
	model.report_answer = _i ? -EIO : -EINTR;
	model.report_fails_at = 2;
	ck_assert_int_eq(report(area, false), model.report_answer);
	ck_assert_ptr_nonnull(strstr(error.message, "dev0: read dirty log: "));
	ck_assert_uint_eq(model.reports, 2);
	ck_assert(model.on);
}
END_TEST

START_TEST(a_log_that_does_not_stop_is_stopped_before_the_next_start)
{
	struct vfmi_dirty_area area = area_at(0, 512);

	ck_assert_int_eq(start(&area, 1), 0);
	model.stop_answer = -EIO;
	source->ops->stop(source);
	ck_assert(!source->ops->covers(source, &area));
	model.stop_answer = 0;
	ck_assert_int_eq(start(&area, 1), 0);
	ck_assert_uint_eq(model.stops, 2);
}
END_TEST

START_TEST(a_neighbour_in_the_same_word_loses_nothing)
{
	struct vfmi_dirty_area areas[] = { area_at(0, 20), area_at(20, 20), area_at(40, 200) };

	ck_assert_int_eq(start(areas, 3), 0);
	for (uint64_t page = 0; page < 240; page += 3)
		write_page(page);
	ck_assert_int_eq(report(areas[1], false), 0);
	ck_assert_uint_eq(dirty_pages(20, 20), 7);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 7);
	ck_assert_int_eq(report(areas[2], true), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 66);
	ck_assert_int_eq(report(areas[2], false), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 66);
	ck_assert_int_eq(report(areas[2], false), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 0);
	ck_assert_int_eq(report(areas[0], false), 0);
	ck_assert_uint_eq(dirty_pages(0, 20), 7);
	source->ops->stop(source);
	/* Nothing is left of the old log in a new one. */
	ck_assert_int_eq(start(areas, 3), 0);
	ck_assert_int_eq(report(areas[1], true), 0);
	ck_assert_uint_eq(dirty_pages(0, PAGES), 0);
}
END_TEST

START_TEST(large_areas_are_asked_for_in_pieces)
{
	struct vfmi_dirty_area areas[] = { { BASE, (3ull << 36) + PAGE, GUEST } };
	struct vfmi_dirty_area small = area_at(0, PAGES);
	static uint64_t room[(3u << 24) / 64 + 1];
	const struct vfmi_dirty_sink large = {
		.to = { .size = sizeof(large.to),
			.page_shift = 12,
			.words = room,
			.start = GUEST,
			.pages = (3u << 24) + 1 },
	};

	ck_assert_int_eq(start(areas, 1), 0);
	model.reports = 0;
	write_page(77);
	ck_assert_int_eq(source->ops->report(source, areas, &large, false, &error), 0);
	ck_assert_uint_eq(model.reports, 4);
	ck_assert_uint_eq(model.most_bits, 1u << 24);
	ck_assert(vfm_bitmap_test(room, 77));
	ck_assert_uint_eq(vfm_bitmap_count(room, 0, (3u << 24) + 1), 1);
	ck_assert_int_eq(report(small, false), 0);
}
END_TEST

/* Against a model that knows which pages were written and not yet reported: of a log's page all are. */

#define AREAS 24

static struct vfmi_dirty_area areas[AREAS];
static size_t area_count;
static bool expected[PAGES];

static void random_areas(void)
{
	uint64_t page = below(200);

	area_count = 1 + below(AREAS);
	for (size_t i = 0; i < area_count; i++) {
		uint64_t pages = below(4) ? 1 + below(40) : 1 + below(300);

		areas[i] = area_at(page, pages);
		page += pages + (below(3) ? 0 : below(below(2) ? 4 : 200));
	}
	ck_assert_uint_lt(page, PAGES);
}

/* Devices write to what is mapped. */
static void random_writes(void)
{
	for (uint64_t writes = below(60); writes > 0; writes--) {
		const struct vfmi_dirty_area *area = &areas[below(area_count)];
		uint64_t iova = area->iova + below(area->length / PAGE) * PAGE;
		uint64_t of_log = 1ull << (model.shift - 12), first;

		write_page((iova - BASE) / PAGE);
		first = (iova - BASE) / PAGE & ~(of_log - 1);
		for (uint64_t page = first; page < first + of_log && page < PAGES; page++)
			expected[page] = true;
	}
}

static void check_report(const struct vfmi_dirty_area *area, bool keep)
{
	uint64_t first = (area->iova - BASE) / PAGE, end = first + area->length / PAGE;

	ck_assert_msg(report(*area, keep) == 0, "%s", error.message);
	for (uint64_t page = 0; page < PAGES; page++) {
		bool wanted = page >= first && page < end && expected[page];

		if (is_dirty(page) != wanted)
			ck_abort_msg("page %llu", (unsigned long long)page);
		if (wanted && !keep)
			expected[page] = false;
	}
}

static const struct {
	const char *driver;
	uint64_t page_size; /* answered */
	uint64_t align_pages;
} logs[] = {
	{ "", 0, 0 },	       { "pds_vfio_pci", 0, 64 }, { "", 16 * PAGE, 0 }, { "pds_vfio_pci", 4 * PAGE, 64 },
	{ "", 512 * PAGE, 0 }, { "wide", 0, 256 },
};

START_TEST(nothing_is_lost_and_nothing_invented)
{
	const size_t kind = (size_t)_i % VFMI_ARRAY_SIZE(logs);

	printf("# seed %d\n", _i);
	random_state = (uint64_t)_i;
	ck_assert_int_eq(vfm_context_set_quirk(ctx, "wide", "dma-log-pages", "256", NULL), 0);
	be(logs[kind].driver);
	model.page_size = logs[kind].page_size;
	model.align_pages = logs[kind].align_pages;
	for (int life = 0; life < 12; life++) {
		random_areas();
		memset(expected, 0, sizeof(expected));
		model.starts = 0;
		ck_assert_msg(start(areas, area_count) == 0, "%s", error.message);
		for (int round = 0; round < 40; round++) {
			random_writes();
			check_report(&areas[below(area_count)], below(4) == 0);
		}
		for (size_t i = 0; i < area_count; i++)
			check_report(&areas[i], false);
		for (size_t i = 0; i < area_count; i++)
			ck_assert_int_eq(memcmp(expected + (areas[i].iova - BASE) / PAGE, (bool[PAGES]){ 0 },
						areas[i].length / PAGE),
					 0);
		source->ops->stop(source);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dirty-log");
	TCase *tcase = tcase_create("dirty-log");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_log_reports_what_was_written);
	tcase_add_test(tcase, what_the_first_report_tells_is_not_lost);
	tcase_add_test(tcase, nothing_mapped_starts_nothing);
	tcase_add_test(tcase, only_what_is_logged_is_covered);
	tcase_add_test(tcase, areas_are_checked);
	tcase_add_test(tcase, drivers_without_a_log_are_not_asked);
	tcase_add_test(tcase, limits_of_the_driver_are_kept);
	tcase_add_test(tcase, plans_are_tried_in_turn);
	tcase_add_test(tcase, no_plan_is_taken);
	tcase_add_test(tcase, some_errors_end_it);
	tcase_add_test(tcase, a_larger_page_gets_a_plan_of_its_own);
	tcase_add_test(tcase, a_larger_page_that_fits_is_taken);
	tcase_add_test(tcase, a_driver_that_is_never_content_is_given_up);
	tcase_add_loop_test(tcase, impossible_pages_are_refused, 0, 8);
	tcase_add_test(tcase, a_kernel_that_cannot_report_is_found_out_at_once);
	tcase_add_loop_test(tcase, a_report_that_fails_is_told, 0, 2);
	tcase_add_test(tcase, a_log_that_does_not_stop_is_stopped_before_the_next_start);
	tcase_add_test(tcase, a_neighbour_in_the_same_word_loses_nothing);
	tcase_add_test(tcase, large_areas_are_asked_for_in_pieces);
	tcase_add_loop_test(tcase, nothing_is_lost_and_nothing_invented, 0, 5 * (int)VFMI_ARRAY_SIZE(logs));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
