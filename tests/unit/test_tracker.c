/* SPDX-License-Identifier: MIT */
/* The tracker, rule by rule, and what it refuses. */
#include "tracker_fixture.h"
#include "suite.h"

#define MUST(call)                                                                                                     \
	do {                                                                                                           \
		int must_ = (call);                                                                                    \
		ck_assert_msg(must_ == 0, "%s = %d: %s", #call, must_, error.message);                                 \
	} while (0)

static void setup(void)
{
	machine_make();
	world.still = true;
}

static void track(uint32_t sources)
{
	machine_track(12, sources);
}

static struct vfm_device *device(unsigned int i)
{
	return &world.devices[i].body;
}

static void map_pages(unsigned int space, unsigned int iova, unsigned int pages, unsigned int guest)
{
	const uint64_t guest_start = GUEST_START + guest * PAGE;
	struct vfm_map map = {
		.size = sizeof(map),
		.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED,
		.vaddr = host_of(guest_start),
		.length = pages * PAGE,
		.iova = iova * PAGE,
	};

	MUST(vfm_iommu_map(&world.spaces[space], &map, &error));
	MUST(vfm_tracker_map(tracker, &world.spaces[space], map.iova, map.length, guest_start, &error));
}

static void join(unsigned int i)
{
	MUST(vfm_tracker_join(tracker, device(i), &error));
}

static uint64_t sync_and_count(void)
{
	uint64_t count;

	memset(words, 0, sizeof(words));
	MUST(vfm_tracker_sync(tracker, 0, NULL, &error));
	count = vfm_bitmap_count(words, 0, GUEST_PAGES);
	memset(words, 0, sizeof(words));
	return count;
}

static void expect_source(unsigned int i, uint32_t source, const char *why)
{
	VFM_OPTS(vfm_tracker_device, found);

	MUST(vfm_tracker_device(tracker, device(i), &found));
	ck_assert_uint_eq(found.source, source);
	ck_assert_msg(strstr(found.why, why) != NULL, "%s", found.why);
	ck_assert_uint_eq(found.page_shift, source ? 12 : 0);
	ck_assert(source ? found.excess == 7 * PAGE : found.excess == 0);
}

START_TEST(best_source_is_used)
{
	for (unsigned int i = 0; i < DEVICES; i++)
		world.devices[i].has_log = i == 0;
	track(0);
	for (unsigned int i = 0; i < DEVICES; i++)
		join(i);
	expect_source(0, VFM_DIRTY_DEVICE_LOG, "");
	expect_source(1, VFM_DIRTY_HWPT, "device log: source: as it was told");
	expect_source(2, VFM_DIRTY_HWPT, "");
	expect_source(3, VFM_DIRTY_NONE, "IOMMU: its page table has no dirty tracking; container: there is none");
	expect_source(4, VFM_DIRTY_TYPE1, "IOMMU: needs an iommufd");
	expect_source(5, VFM_DIRTY_TYPE1, "");
	/* 1 log, 2 page tables, 1 container */
	ck_assert_int_eq(world.sources, 4);
	machine_end();
}
END_TEST

START_TEST(sources_may_be_forbidden)
{
	world.devices[0].has_log = true;
	track(1u << VFM_DIRTY_HWPT);
	join(0);
	join(4);
	expect_source(0, VFM_DIRTY_HWPT, "device log: not asked for");
	expect_source(4, VFM_DIRTY_NONE, "container: not asked for");
	machine_end();
}
END_TEST

START_TEST(unseen_is_dirty_at_every_sync)
{
	VFM_OPTS(vfm_tracker_report, report);

	track(1u << VFM_DIRTY_NONE);
	map_pages(0, 3, 5, 100);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 5);
	ck_assert_uint_eq(sync_and_count(), 0);
	join(3);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 5);
	for (unsigned int i = 0; i < 3; i++)
		ck_assert_uint_eq(sync_and_count(), 5);
	world.devices[3].state = VFM_STATE_STOP_COPY;
	MUST(vfm_tracker_sync(tracker, VFM_TRACKER_FINAL, &report, &error));
	ck_assert_uint_eq(report.dirty, 5);
	ck_assert_uint_eq(report.unseen, 1);
	ck_assert_uint_eq(report.restarted, 0);
	machine_end();
}
END_TEST

START_TEST(every_page_table_is_read)
{
	track(0);
	map_pages(0, 0, 64, 0);
	map_pages(0, 65, 64, 64);
	join(0);
	join(1);
	join(2);
	sync_and_count();
	write_page(&world.devices[1], 63);
	write_page(&world.devices[2], 128);
	MUST(vfm_tracker_sync(tracker, 0, NULL, &error));
	ck_assert(vfm_bitmap_test(words, 63) && vfm_bitmap_test(words, 127));
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 2);
	ck_assert_uint_eq(sync_and_count(), 2 - 2);
	/* One that leaves does not stop what the other is seen by. */
	world.devices[0].state = VFM_STATE_STOP;
	MUST(vfm_tracker_leave(tracker, device(0), 0, &error));
	write_page(&world.devices[1], 5);
	ck_assert_uint_eq(sync_and_count(), 1);
	machine_end();
}
END_TEST

START_TEST(quiet_unmap_costs_only_what_was_written)
{
	world.devices[0].has_log = true;
	for (unsigned int i = 0; i < 2; i++) {
		track(0);
		map_pages(0, 0, 64, 0);
		join(i);
		sync_and_count();
		write_page(&world.devices[i], 7);
		MUST(vfm_tracker_unmap(tracker, &world.spaces[0], 0, 64 * PAGE, VFM_TRACKER_QUIET, &error));
		ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 1);
		ck_assert(vfm_bitmap_test(words, 7));
		map_pages(0, 0, 64, 0);
		sync_and_count();
		write_page(&world.devices[i], 7);
		MUST(vfm_tracker_unmap(tracker, &world.spaces[0], 0, 64 * PAGE, 0, &error));
		/* A log of its own outlives the map, bits of a page table do not. */
		ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), i == 0 ? 1 : 64);
		vfm_tracker_free(tracker);
	}
	track(0);
	machine_end();
}
END_TEST

START_TEST(failed_unmap_keeps_the_area)
{
	track(0);
	map_pages(1, 0, 8, 0);
	join(4);
	sync_and_count();
	world.fail_unmap = 1;
	ck_assert_int_eq(vfm_tracker_unmap(tracker, &world.spaces[1], 0, 8 * PAGE, VFM_TRACKER_QUIET, &error),
			 -EDEADLK);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 8);
	sync_and_count();
	write_page(&world.devices[4], 2);
	ck_assert_uint_eq(sync_and_count(), 1);
	world.fail_unmap = 0;
	world.unmaps_with_bits = true;
	MUST(vfm_tracker_unmap(tracker, &world.spaces[1], 0, 8 * PAGE, VFM_TRACKER_KEEP_MAP, &error));
	ck_assert_int_eq(vfm_tracker_unmap(tracker, &world.spaces[1], 0, 8 * PAGE, 0, &error), -ENOENT);
	ck_assert_uint_eq(world.spaces[1].area_count, 1);
	machine_end();
}
END_TEST

START_TEST(container_unmaps_and_reports_in_one_step)
{
	world.unmaps_with_bits = true;
	track(0);
	map_pages(1, 0, 8, 0);
	join(4);
	join(5);
	sync_and_count();
	write_page(&world.devices[5], 2);
	MUST(vfm_tracker_unmap(tracker, &world.spaces[1], 0, 8 * PAGE, 0, &error));
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 1);
	ck_assert_uint_eq(world.spaces[1].area_count, 0);
	machine_end();
}
END_TEST

START_TEST(lost_logs_are_all_dirty_once)
{
	VFM_OPTS(vfm_tracker_report, report);

	world.devices[0].has_log = true;
	track(0);
	map_pages(0, 0, 9, 0);
	join(0);
	ck_assert_uint_eq(sync_and_count(), 0);
	memset(&world.devices[0].log, 0, sizeof(struct dirt));
	vfmi_device_lost_log(device(0));
	MUST(vfm_tracker_sync(tracker, 0, &report, &error));
	ck_assert_uint_eq(report.dirty, 9);
	ck_assert_uint_eq(report.restarted, 1);
	ck_assert_uint_eq(sync_and_count(), 0);
	world.devices[0].state = VFM_STATE_ERROR;
	ck_assert_uint_eq(sync_and_count(), 9);
	world.devices[0].state = VFM_STATE_RUNNING;
	ck_assert_uint_eq(sync_and_count(), 9); /* it was seen in ERROR by that look, too */
	ck_assert_uint_eq(sync_and_count(), 0);
	ctx->hot_resets++;
	ck_assert_uint_eq(sync_and_count(), 9);
	expect_source(0, VFM_DIRTY_DEVICE_LOG, "");
	machine_end();
}
END_TEST

START_TEST(resets_by_the_library_are_noticed)
{
	world.devices[0].has_log = true;
	world.devices[1].has_log = true;
	track(0);
	map_pages(0, 0, 9, 0);
	join(0);
	sync_and_count();
	MUST(vfm_device_reset(device(0), &error));
	ck_assert_uint_eq(sync_and_count(), 9);
	ck_assert_uint_eq(sync_and_count(), 0);
	world.reset_result = -EIO; /* half way, perhaps */
	ck_assert_int_eq(vfm_device_reset(device(0), &error), -EIO);
	ck_assert_uint_eq(sync_and_count(), 9);
	world.reset_result = -ENOTTY;
	ck_assert_int_eq(vfm_device_reset(device(0), &error), -EINVAL);
	ck_assert_uint_eq(sync_and_count(), 0);
	world.devices[0].state = VFM_STATE_ERROR;
	ck_assert_uint_eq(vfmi_device_peek_state(device(0), &world.devices[0].state), 0);
	world.devices[0].state = VFM_STATE_RUNNING;
	ck_assert_uint_eq(sync_and_count(), 9);
	machine_end();
}
END_TEST

START_TEST(two_failures_in_a_row_are_enough)
{
	VFM_OPTS(vfm_tracker_report, report);

	world.devices[0].has_log = true;
	track(0);
	map_pages(0, 0, 9, 0);
	join(0);
	ck_assert_uint_eq(sync_and_count(), 0);
	world.fail_report = 1;
	MUST(vfm_tracker_sync(tracker, 0, &report, &error));
	ck_assert_uint_eq(report.restarted, 1);
	expect_source(0, VFM_DIRTY_DEVICE_LOG, "");
	ck_assert_uint_eq(sync_and_count(), 9);
	expect_source(0, VFM_DIRTY_HWPT, "device log: given up after it failed");
	world.fail_report = 0;
	ck_assert_uint_eq(sync_and_count(), 0);
	/* After a reset the better one has another chance. */
	vfmi_device_lost_log(device(0));
	ck_assert_uint_eq(sync_and_count(), 9);
	expect_source(0, VFM_DIRTY_DEVICE_LOG, "");
	machine_end();
}
END_TEST

START_TEST(one_failure_is_not_enough)
{
	world.devices[0].has_log = true;
	track(0);
	map_pages(0, 0, 9, 0);
	join(0);
	world.fail_report = 1; /* the first report there is */
	ck_assert_uint_eq(sync_and_count(), 9);
	world.fail_report = 0;
	ck_assert_uint_eq(sync_and_count(), 0);
	expect_source(0, VFM_DIRTY_DEVICE_LOG, "");
	/* Long after it, one is the first again. */
	world.fail_report = 1;
	ck_assert_uint_eq(sync_and_count(), 9);
	world.fail_report = 0;
	world.start_result = -EINTR;
	map_pages(0, 20, 4, 20);
	expect_source(0, VFM_DIRTY_DEVICE_LOG, "");
	machine_end();
}
END_TEST

START_TEST(reset_while_a_log_starts_is_noticed)
{
	VFM_OPTS(vfm_tracker_report, report);

	world.devices[0].has_log = true;
	track(0);
	map_pages(0, 0, 9, 0);
	world.reset_in_start = true;
	join(0);
	memset(words, 0, sizeof(words));
	MUST(vfm_tracker_sync(tracker, 0, &report, &error));
	ck_assert_uint_eq(report.dirty, 9);
	ck_assert_uint_eq(report.restarted, 1);
	machine_end();
}
END_TEST

static void windows(unsigned int first, unsigned int pages)
{
	const struct vfm_iova_range range = { first * PAGE, (first + pages) * PAGE - 1 };

	MUST(vfm_tracker_windows(tracker, &world.spaces[0], &range, 1, &error));
}

START_TEST(area_in_a_window_starts_nothing)
{
	world.devices[0].has_log = true;
	track(0);
	windows(8, 100);
	map_pages(0, 0, 9, 0); /* in part */
	join(0);
	sync_and_count();
	map_pages(0, 20, 4, 20);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 4);
	sync_and_count();
	write_page(&world.devices[0], 21);
	write_page(&world.devices[0], 3);
	ck_assert_uint_eq(sync_and_count(), 2);
	/* one elsewhere does */
	map_pages(0, 200, 1, 50);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 14);
	sync_and_count();
	windows(8, 300);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 14);
	sync_and_count();
	map_pages(0, 300, 1, 51);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 1);
	MUST(vfm_tracker_windows(tracker, &world.spaces[0], NULL, 0, &error));
	machine_end();
}
END_TEST

START_TEST(windows_too_large_for_a_log_are_left_out)
{
	world.devices[0].has_log = true;
	world.most_pages = 60;
	track(0);
	windows(8, 100);
	map_pages(0, 0, 9, 0);
	join(0);
	expect_source(0, VFM_DIRTY_DEVICE_LOG, "");
	sync_and_count();
	map_pages(0, 20, 4, 20);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 13);
	sync_and_count();
	write_page(&world.devices[0], 21);
	ck_assert_uint_eq(sync_and_count(), 1);
	machine_end();
}
END_TEST

static int try_windows(const struct vfm_iova_range *ranges, size_t count)
{
	return vfm_tracker_windows(tracker, &world.spaces[0], ranges, count, &error);
}

START_TEST(windows_are_checked)
{
	const struct vfm_iova_range good = { PAGE, 2 * PAGE - 1 }, odd = { 1, PAGE - 1 }, cut = { 0, PAGE };
	const struct vfm_iova_range twice[] = { good, good }, end = { 0, UINT64_MAX };

	track(0);
	ck_assert_int_eq(vfm_tracker_windows(tracker, NULL, &good, 1, &error), -EINVAL);
	ck_assert_int_eq(try_windows(NULL, 1), -EINVAL);
	ck_assert_int_eq(try_windows(&odd, 1), -EINVAL);
	ck_assert_int_eq(try_windows(&cut, 1), -EINVAL);
	ck_assert_int_eq(try_windows(twice, 2), -EINVAL);
	ck_assert_int_eq(try_windows(&end, 1), -EOVERFLOW);
	ck_assert_ptr_null(tracker->spaces);
	ck_assert_int_eq(try_windows(&good, 1), 0);
	ck_assert_int_eq(try_windows(NULL, 0), 0);
	ck_assert_ptr_null(tracker->spaces);
	machine_end();
}
END_TEST

START_TEST(area_beyond_a_log_starts_it_anew)
{
	world.devices[0].has_log = true;
	track(0);
	map_pages(0, 0, 9, 0);
	join(0);
	sync_and_count();
	map_pages(0, 20, 4, 20);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 13);
	sync_and_count();
	write_page(&world.devices[0], 21);
	ck_assert_uint_eq(sync_and_count(), 1);
	machine_end();
}
END_TEST

START_TEST(device_that_moved_is_noticed)
{
	track(0);
	map_pages(0, 0, 9, 0);
	map_pages(1, 0, 4, 50);
	join(0);
	sync_and_count();
	attach(&world.devices[0], 0);
	ck_assert_uint_eq(sync_and_count(), 13);
	expect_source(0, VFM_DIRTY_TYPE1, "");
	attach(&world.devices[0], 3);
	ck_assert_uint_eq(sync_and_count(), 13);
	expect_source(0, VFM_DIRTY_NONE, "");
	world.devices[0].body.iommu = NULL;
	ck_assert_uint_eq(sync_and_count(), 9);
	ck_assert_uint_eq(sync_and_count(), 0);
	world.devices[0].state = VFM_STATE_STOP;
	MUST(vfm_tracker_leave(tracker, device(0), 0, &error));
	machine_end();
}
END_TEST

START_TEST(final_sync_wants_stopped_devices)
{
	VFM_OPTS(vfm_tracker_report, report);

	world.devices[1].migrates = false;
	track(0);
	map_pages(0, 0, 9, 0);
	join(0);
	join(1);
	memset(words, 0, sizeof(words));
	write_page(&world.devices[0], 2);
	ck_assert_int_eq(vfm_tracker_sync(tracker, VFM_TRACKER_FINAL | VFM_TRACKER_QUIET, &report, &error), -EBUSY);
	ck_assert_msg(strstr(error.message, "dev0: final sync: ") && strstr(error.message, "RUNNING"), "%s",
		      error.message);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 0);
	world.devices[0].state = VFM_STATE_STOP;
	ck_assert_int_eq(vfm_tracker_sync(tracker, VFM_TRACKER_FINAL, &report, &error), -EBUSY);
	ck_assert_msg(strstr(error.message, "dev1"), "%s", error.message);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 0);
	MUST(vfm_tracker_sync(tracker, VFM_TRACKER_FINAL | VFM_TRACKER_QUIET, &report, &error));
	ck_assert_uint_eq(report.dirty, 1);
	/* leaving wants the same */
	ck_assert_int_eq(vfm_tracker_leave(tracker, device(1), 0, &error), -EBUSY);
	world.devices[0].state = VFM_STATE_RUNNING_P2P;
	ck_assert_int_eq(vfm_tracker_leave(tracker, device(0), VFM_TRACKER_QUIET, &error), -EBUSY);
	MUST(vfm_tracker_leave(tracker, device(1), VFM_TRACKER_QUIET, &error));
	ck_assert_int_eq(vfm_tracker_leave(tracker, device(1), VFM_TRACKER_QUIET, &error), -ENOENT);
	machine_end();
}
END_TEST

/* What cannot answer may be writing; what has no states, or is gone, is the caller's. */
START_TEST(quiet_is_not_for_devices_that_cannot_answer)
{
	static const int no_answer[] = { -EIO, -ENOMEM, -EFAULT, -EBUSY }, no_states[] = { -ENOTTY, -ENODEV };

	track(0);
	map_pages(0, 0, 9, 0);
	join(0);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(no_answer); i++) {
		world.state_result = no_answer[i];
		ck_assert_int_eq(vfm_tracker_sync(tracker, VFM_TRACKER_FINAL | VFM_TRACKER_QUIET, NULL, &error),
				 -EBUSY);
		ck_assert_ptr_nonnull(strstr(error.message, "cannot be asked"));
		ck_assert_int_eq(vfm_tracker_leave(tracker, device(0), VFM_TRACKER_QUIET, &error), -EBUSY);
	}
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(no_states); i++) {
		world.state_result = no_states[i];
		MUST(vfm_tracker_sync(tracker, VFM_TRACKER_FINAL | VFM_TRACKER_QUIET, NULL, &error));
	}
	machine_end();
}
END_TEST

START_TEST(leaving_reports_what_was_written)
{
	track(0);
	map_pages(0, 0, 9, 0);
	join(0);
	sync_and_count();
	write_page(&world.devices[0], 2);
	world.devices[0].state = VFM_STATE_STOP;
	MUST(vfm_tracker_leave(tracker, device(0), 0, &error));
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 1);
	join(0);
	sync_and_count();
	world.fail_report = 1;
	ck_assert_int_eq(vfm_tracker_leave(tracker, device(0), 0, &error), -EIO);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 9);
	ck_assert_int_eq(world.sources, 0);
	machine_end();
}
END_TEST

static int try_new(const struct vfm_tracker_opts *opts)
{
	struct vfm_tracker *made = NULL;
	int r = vfm_tracker_new(ctx, opts, &made, &error);

	ck_assert(r < 0 ? made == NULL : made != NULL);
	vfm_tracker_free(made);
	return r;
}

#define WITH(change)                                                                                                   \
	({                                                                                                             \
		struct vfm_tracker_opts with = opts;                                                                   \
		with.change;                                                                                           \
		try_new(&with);                                                                                        \
	})

START_TEST(options_are_checked)
{
	VFM_OPTS(vfm_tracker_opts, opts);
	struct {
		struct vfm_tracker_opts opts;
		uint64_t more;
	} later;

	opts.bitmap = (struct vfm_bitmap_pages){ sizeof(opts.bitmap), 12, words, GUEST_START, GUEST_PAGES };
	ck_assert_int_eq(try_new(&opts), 0);
	ck_assert_int_eq(try_new(NULL), -EINVAL);
	ck_assert_int_eq(WITH(size = 8), -EINVAL);
	ck_assert_int_eq(WITH(flags = VFM_TRACKER_QUIET), -EINVAL);
	ck_assert_int_eq(WITH(reserved = 1), -EINVAL);
	ck_assert_int_eq(WITH(sources = 16), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.size = 0), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.words = NULL), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.words = (uint64_t *)((uintptr_t)words + 4)), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.pages = 0), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.page_shift = 11), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.page_shift = 64), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.start = 512), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.pages = 1ull << 52), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.start = 0 - PAGE), -EINVAL);
	ck_assert_int_eq(WITH(bitmap.start = 0 - GUEST_PAGES * PAGE), 0);
	ck_assert_int_eq(WITH(flags = VFM_TRACKER_SHARED), 0);
	later.opts = opts;
	later.opts.size = sizeof(later);
	later.more = 1;
	ck_assert_int_eq(try_new(&later.opts), -E2BIG);
	track(0);
	machine_end();
}
END_TEST

/* Others set bits meanwhile: after the last page they belong to nobody. */
START_TEST(a_shared_bitmap_is_counted_to_its_last_page)
{
	VFM_OPTS(vfm_tracker_opts, opts);
	VFM_OPTS(vfm_tracker_report, report);

	opts.flags = VFM_TRACKER_SHARED;
	opts.sources = 1u << VFM_DIRTY_NONE;
	opts.bitmap = (struct vfm_bitmap_pages){ sizeof(opts.bitmap), 12, words, GUEST_START, 70 };
	MUST(vfmi_tracker_new_with(ctx, &opts, &makers, &tracker, &error));
	map_pages(0, 0, 3, 67);
	words[0] = 1;
	words[1] |= UINT64_MAX << 6;
	MUST(vfm_tracker_sync(tracker, 0, &report, &error));
	ck_assert_uint_eq(report.dirty, 1 + 3);
	machine_end();
}
END_TEST

static int try_map(uint64_t iova, uint64_t length, uint64_t guest)
{
	return vfm_tracker_map(tracker, &world.spaces[0], iova, length, guest, &error);
}

START_TEST(areas_are_checked)
{
	const uint64_t end = GUEST_START + GUEST_PAGES * PAGE;

	track(0);
	ck_assert_int_eq(vfm_tracker_map(tracker, NULL, 0, PAGE, GUEST_START, &error), -EINVAL);
	ck_assert_int_eq(try_map(0, 0, GUEST_START), -EINVAL);
	ck_assert_int_eq(try_map(1, PAGE, GUEST_START), -EINVAL);
	ck_assert_int_eq(try_map(0, PAGE + 8, GUEST_START), -EINVAL);
	ck_assert_int_eq(try_map(0, PAGE, GUEST_START + 8), -EINVAL);
	ck_assert_int_eq(try_map(0 - PAGE, 2 * PAGE, GUEST_START), -EOVERFLOW);
	ck_assert_int_eq(try_map(0, 2 * PAGE, 0 - PAGE), -EOVERFLOW);
	ck_assert_int_eq(try_map(0, PAGE, GUEST_START - PAGE), -ERANGE);
	ck_assert_int_eq(try_map(0, PAGE, end), -ERANGE);
	ck_assert_int_eq(try_map(0, 2 * PAGE, end - PAGE), -ERANGE);
	ck_assert_uint_eq(vfm_bitmap_count(words, 0, GUEST_PAGES), 0);
	ck_assert_ptr_null(tracker->spaces);
	ck_assert_int_eq(try_map(0, PAGE, end - PAGE), 0);
	ck_assert_int_eq(try_map(0 - PAGE, PAGE, GUEST_START), 0);
	ck_assert_int_eq(try_map(0, 2 * PAGE, GUEST_START), -EEXIST);
	ck_assert_int_eq(vfm_tracker_unmap(tracker, &world.spaces[0], 0, 2 * PAGE, 0, &error), -ENOENT);
	ck_assert_int_eq(vfm_tracker_unmap(tracker, &world.spaces[1], 0, PAGE, 0, &error), -ENOENT);
	ck_assert_int_eq(vfm_tracker_unmap(tracker, &world.spaces[0], 0, PAGE, VFM_TRACKER_FINAL, &error), -EINVAL);
	ck_assert_int_eq(vfm_tracker_unmap(tracker, &world.spaces[0], 0, PAGE, 0, &error), -ENOENT); /* not mapped */
	ck_assert_uint_eq(tracker->spaces->count, 2);
	machine_end();
}
END_TEST

START_TEST(devices_are_checked)
{
	VFM_OPTS(vfm_tracker_report, report);
	VFM_OPTS(vfm_tracker_device, found);

	track(0);
	ck_assert_int_eq(vfm_tracker_join(tracker, NULL, &error), -EINVAL);
	world.devices[0].body.pt_id = 0;
	ck_assert_int_eq(vfm_tracker_join(tracker, device(0), &error), -EINVAL);
	world.devices[0].body.iommu = NULL;
	ck_assert_int_eq(vfm_tracker_join(tracker, device(0), &error), -EINVAL);
	ck_assert_int_eq(vfm_tracker_leave(tracker, device(0), 0, &error), -ENOENT);
	ck_assert_int_eq(vfm_tracker_device(tracker, device(0), &found), -ENOENT);
	join(1);
	ck_assert_int_eq(vfm_tracker_join(tracker, device(1), &error), -EALREADY);
	ck_assert_int_eq(vfm_tracker_leave(tracker, device(1), VFM_TRACKER_FINAL, &error), -EINVAL);
	found.size = 0;
	ck_assert_int_eq(vfm_tracker_device(tracker, device(1), &found), -EINVAL);
	found.size = 1u << 20;
	ck_assert_int_eq(vfm_tracker_device(tracker, device(1), &found), -E2BIG);
	ck_assert_int_eq(vfm_tracker_sync(tracker, VFM_TRACKER_KEEP_MAP, &report, &error), -EINVAL);
	report.size = 0;
	ck_assert_int_eq(vfm_tracker_sync(tracker, 0, &report, &error), -EINVAL);
	machine_end();
}
END_TEST

/* Areas that come from above are the worst case for a plain array. */
START_TEST(many_areas)
{
	const unsigned int count = 100000;
	struct timespec begin;
	struct timespec end;

	track(0);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = count; i > 0; i--)
		MUST(try_map(2ull * i * PAGE, PAGE, GUEST_START + i % GUEST_PAGES * PAGE));
	ck_assert_uint_eq(sync_and_count(), 0);
	for (unsigned int i = 1; i < count; i++)
		ck_assert_uint_lt(vfmi_space_list(tracker->spaces)[i - 1].iova,
				  vfmi_space_list(tracker->spaces)[i].iova);
	for (unsigned int i = 1; i <= count; i++)
		MUST(vfm_tracker_unmap(tracker, &world.spaces[0], 2ull * i * PAGE, PAGE, VFM_TRACKER_KEEP_MAP, &error));
	clock_gettime(CLOCK_MONOTONIC, &end);
	ck_assert_int_lt(end.tv_sec - begin.tv_sec, 20);
	machine_end();
}
END_TEST

START_TEST(pages_that_lie_across_each_other)
{
	/* Pages of 64 KiB on both sides, 4 KiB apart. */
	const struct vfmi_dirty_area area = { 16 * PAGE, 32 * PAGE, GUEST_START + PAGE };
	const uint64_t bits = 1u << 1;
	struct vfmi_dirty_sink sink = { .to = { sizeof(sink.to), 16, words, GUEST_START, 10 } };

	ck_assert_int_eq(vfmi_dirty_merge(&sink, &area, &bits, 0, 16), 0);
	ck_assert_uint_eq(words[0], 3);
	words[0] = 0;
	ck_assert_int_eq(vfmi_dirty_merge(&sink, &area, (const uint64_t[]){ 4 }, 0, 16), 0);
	ck_assert_uint_eq(words[0], 6);
	words[0] = 0;
	ck_assert_int_eq(vfmi_dirty_merge(&sink, &area, (const uint64_t[]){ 9 }, 0, 16), 0);
	ck_assert_uint_eq(words[0], 0);
	ck_assert_int_eq(vfmi_dirty_merge(&sink, &area, &bits, 17 * PAGE, 16), -EINVAL);
	track(0);
	machine_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tracker");
	TCase *rules = tcase_create("rules");

	tcase_add_checked_fixture(rules, setup, NULL);
	tcase_add_test(rules, best_source_is_used);
	tcase_add_test(rules, sources_may_be_forbidden);
	tcase_add_test(rules, unseen_is_dirty_at_every_sync);
	tcase_add_test(rules, every_page_table_is_read);
	tcase_add_test(rules, quiet_unmap_costs_only_what_was_written);
	tcase_add_test(rules, failed_unmap_keeps_the_area);
	tcase_add_test(rules, container_unmaps_and_reports_in_one_step);
	tcase_add_test(rules, lost_logs_are_all_dirty_once);
	tcase_add_test(rules, resets_by_the_library_are_noticed);
	tcase_add_test(rules, two_failures_in_a_row_are_enough);
	tcase_add_test(rules, one_failure_is_not_enough);
	tcase_add_test(rules, reset_while_a_log_starts_is_noticed);
	tcase_add_test(rules, area_in_a_window_starts_nothing);
	tcase_add_test(rules, windows_too_large_for_a_log_are_left_out);
	tcase_add_test(rules, windows_are_checked);
	tcase_add_test(rules, area_beyond_a_log_starts_it_anew);
	tcase_add_test(rules, device_that_moved_is_noticed);
	tcase_add_test(rules, final_sync_wants_stopped_devices);
	tcase_add_test(rules, quiet_is_not_for_devices_that_cannot_answer);
	tcase_add_test(rules, leaving_reports_what_was_written);
	tcase_add_test(rules, options_are_checked);
	tcase_add_test(rules, a_shared_bitmap_is_counted_to_its_last_page);
	tcase_add_test(rules, areas_are_checked);
	tcase_add_test(rules, devices_are_checked);
	tcase_add_test(rules, many_areas);
	tcase_add_test(rules, pages_that_lie_across_each_other);
	tcase_set_timeout(rules, 60);
	suite_add_tcase(suite, rules);
	return run_suite(suite);
}
