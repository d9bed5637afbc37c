/* SPDX-License-Identifier: MIT */
/* Page tables: made where none fits, shared where one does, counted, and gone at the end. */
#include "iommu_fixture.h"
#include "suite.h"

/* page tables */

static struct vfm_iommu *open_tracking(void)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *tracking = NULL;

	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	kernel.hw_caps = IOMMU_HW_CAP_DIRTY_TRACKING;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &tracking, &error), 0);
	ck_assert_uint_eq(vfm_iommu_backend(tracking), VFM_BACKEND_IOMMUFD);
	return tracking;
}

static uint32_t attach(struct vfm_iommu *to)
{
	uint32_t pt_id = 0;

	ck_assert_int_eq(vfmi_iommu_attach(to, DEVICE_FD, 1, &pt_id), 0);
	return pt_id;
}

static bool tracks(struct vfm_iommu *space)
{
	VFM_OPTS(vfm_iommu_info, info);

	ck_assert_int_eq(vfm_iommu_info(space, &info, &error), 0);
	return info.flags & VFM_IOMMU_DIRTY_TRACKING;
}

START_TEST(page_tables_are_shared_where_they_fit)
{
	struct vfm_iommu *tracking = open_tracking();
	VFM_OPTS(vfm_hwpt, hwpt);
	uint32_t pt_id;

	ck_assert(!tracks(tracking));
	ck_assert_uint_eq(attach(tracking), HWPT_BASE);
	ck_assert_uint_eq(attach(tracking), HWPT_BASE);
	kernel.hwpt_refused = HWPT_BASE;
	pt_id = attach(tracking);
	ck_assert_uint_eq(pt_id, HWPT_BASE + 1);
	ck_assert_uint_eq(kernel.hwpts, 2);
	ck_assert(tracks(tracking));
	ck_assert_int_eq(vfm_iommu_hwpt(tracking, 0, &hwpt), 0);
	ck_assert_uint_eq(hwpt.devices, 2);
	ck_assert_uint_eq(hwpt.flags, VFM_IOMMU_DIRTY_TRACKING);
	ck_assert_int_eq(vfmi_iommu_detach(tracking, DEVICE_FD, &pt_id), 0);
	ck_assert_uint_eq(pt_id, 0);
	ck_assert_int_eq(vfm_iommu_hwpt(tracking, 1, &hwpt), 0);
	ck_assert_uint_eq(hwpt.devices, 0); /* and it stays */
	ck_assert_int_eq(vfm_iommu_hwpt(tracking, 2, &hwpt), -ENODATA);
	vfm_iommu_close(tracking);
	ck_assert_uint_eq(kernel.hwpt_destroyed, 2);
	kernel.has_ioas = true; /* the fake kernel has one only, and the fixture closes it again */
}
END_TEST

static const struct {
	int hw_result;
	uint64_t caps;
	int alloc_result;
} untracked[] = {
	{ -ENOENT, 0, 0 },     /* emulated */
	{ -EOPNOTSUPP, 0, 0 }, /* an IOMMU that does not tell */
	{ 0, 0, 0 },	       /* one without dirty tracking */
	{ 0, IOMMU_HW_CAP_DIRTY_TRACKING, -EOPNOTSUPP },
};

START_TEST(others_go_to_the_ioas)
{
	struct vfm_iommu *tracking = open_tracking();

	kernel.hw_result = untracked[_i].hw_result;
	kernel.hw_caps = untracked[_i].caps;
	kernel.alloc_result = untracked[_i].alloc_result;
	ck_assert_uint_eq(attach(tracking), IOAS_ID);
	ck_assert_uint_eq(kernel.hwpts, 0);
	ck_assert(!tracks(tracking));
	vfm_iommu_close(tracking);
	kernel.has_ioas = true;
}
END_TEST

START_TEST(an_iommu_that_does_not_answer_is_not_done_without)
{
	struct vfm_iommu *tracking = open_tracking();
	uint32_t pt_id = 0;

	kernel.hw_result = -ENOMEM;
	ck_assert_int_eq(vfmi_iommu_attach(tracking, DEVICE_FD, 1, &pt_id), -ENOMEM);
	ck_assert_uint_eq(pt_id, 0);
	vfm_iommu_close(tracking);
	kernel.has_ioas = true;
}
END_TEST

START_TEST(what_cannot_be_attached_leaves_no_page_table)
{
	struct vfm_iommu *tracking = open_tracking();
	VFM_OPTS(vfm_hwpt, hwpt);
	uint32_t pt_id = 0;

	fail_next(VFIO_DEVICE_ATTACH_IOMMUFD_PT, -EADDRINUSE, false);
	ck_assert_int_eq(vfmi_iommu_attach(tracking, DEVICE_FD, 1, &pt_id), -EADDRINUSE);
	ck_assert_uint_eq(kernel.hwpt_destroyed, 1);
	ck_assert_int_eq(vfm_iommu_hwpt(tracking, 0, &hwpt), -ENODATA);
	vfm_iommu_close(tracking);
	kernel.has_ioas = true;
}
END_TEST

START_TEST(adopted_page_tables_are_used_and_left)
{
	VFM_OPTS(vfm_iommu_adopt, from);
	const uint32_t ids[] = { HWPT_BASE + 7, HWPT_BASE + 8 };
	struct vfm_iommu *adopted = NULL;

	from.backend = VFM_BACKEND_IOMMUFD;
	from.fd = 50;
	from.ioas_id = IOAS_ID;
	from.hwpt_ids = ids;
	from.hwpt_count = 2;
	ck_assert_int_eq(vfm_iommu_adopt(ctx, &from, &adopted, &error), 0);
	kernel.hwpt_refused = HWPT_BASE + 7;
	ck_assert_uint_eq(attach(adopted), HWPT_BASE + 8);
	vfm_iommu_close(adopted);
	ck_assert_uint_eq(kernel.hwpt_destroyed, 0);
}
END_TEST

/* Nobody tells what a device is whose id is not known: the page tables there are may suit it. */
START_TEST(a_device_without_id_is_tried)
{
	struct vfm_iommu *tracking = open_tracking();
	uint32_t pt_id = 0;

	ck_assert_uint_eq(attach(tracking), HWPT_BASE);
	kernel.hwpt_refused = HWPT_BASE;
	ck_assert_uint_eq(attach(tracking), HWPT_BASE + 1);
	ck_assert_int_eq(vfmi_iommu_attach(tracking, DEVICE_FD, 0, &pt_id), 0);
	ck_assert_uint_eq(pt_id, HWPT_BASE + 1);
	kernel.emulated = true;
	ck_assert_int_eq(vfmi_iommu_attach(tracking, DEVICE_FD, 0, &pt_id), 0);
	ck_assert_uint_eq(pt_id, IOAS_ID);
	ck_assert_uint_eq(kernel.hwpts, 2); /* and none is made for it */
	vfm_iommu_close(tracking);
	kernel.has_ioas = true;
}
END_TEST

static uint64_t locked_by_the_next(struct vfm_iommu *space)
{
	VFM_OPTS(vfm_limits, limits);

	kernel.memlock = 64 * PAGE;
	kernel.status = "CapEff:\t0000000000000000\nVmLck:\t0 kB\n";
	ck_assert_int_eq(vfm_iommu_preflight(space, 0, 0, &limits, &error), 0);
	return limits.memlock_needed;
}

START_TEST(attached_twice_it_is_counted_once)
{
	struct vfm_iommu *tracking = open_tracking();
	VFM_OPTS(vfm_hwpt, hwpt);
	uint32_t pt_id = 0;

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(vfmi_iommu_attach(tracking, DEVICE_FD, 1, &pt_id), 0);
	ck_assert_int_eq(vfm_iommu_hwpt(tracking, 0, &hwpt), 0);
	ck_assert_uint_eq(hwpt.devices, 1);
	ck_assert(tracks(tracking));
	ck_assert_int_eq(vfmi_iommu_detach(tracking, DEVICE_FD, &pt_id), 0);
	ck_assert_int_eq(vfm_iommu_hwpt(tracking, 0, &hwpt), 0);
	ck_assert_uint_eq(hwpt.devices, 0);
	ck_assert(!tracks(tracking));
	vfm_iommu_close(tracking);
	kernel.has_ioas = true;
}
END_TEST

/* With the kernel's own page tables what is mapped is locked by the first device, each time. */
START_TEST(after_the_last_the_next_locks_again)
{
	uint32_t pt_id = 0;

	ck_assert_int_eq(map_at(0, 10 * PAGE), 0);
	ck_assert_uint_eq(locked_by_the_next(iommu), 10 * PAGE);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(vfmi_iommu_attach(iommu, DEVICE_FD, 1, &pt_id), 0);
	ck_assert_uint_eq(locked_by_the_next(iommu), 0);
	ck_assert_int_eq(vfmi_iommu_detach(iommu, DEVICE_FD, &pt_id), 0);
	ck_assert_uint_eq(locked_by_the_next(iommu), 10 * PAGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu_hwpt");
	TCase *tests = tcase_create("iommu_hwpt");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, page_tables_are_shared_where_they_fit);
	tcase_add_loop_test(tests, others_go_to_the_ioas, 0, (int)VFMI_ARRAY_SIZE(untracked));
	tcase_add_test(tests, an_iommu_that_does_not_answer_is_not_done_without);
	tcase_add_test(tests, what_cannot_be_attached_leaves_no_page_table);
	tcase_add_test(tests, adopted_page_tables_are_used_and_left);
	tcase_add_test(tests, a_device_without_id_is_tried);
	tcase_add_test(tests, attached_twice_it_is_counted_once);
	tcase_add_test(tests, after_the_last_the_next_locks_again);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
