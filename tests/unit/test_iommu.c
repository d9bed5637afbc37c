/* SPDX-License-Identifier: MIT */
/* Address space: opened, adopted and closed, what it tells, and nothing is left open. */
#include "iommu_fixture.h"
#include "suite.h"

/* life */

START_TEST(getters_tell)
{
	ck_assert_uint_eq(vfm_iommu_backend(iommu), VFM_BACKEND_IOMMUFD);
	ck_assert_uint_eq(vfm_iommu_ioas_id(iommu), IOAS_ID);
	ck_assert_int_eq(vfm_iommu_fd(iommu), 50);
	ck_assert_uint_eq(vfm_iommu_backend(NULL), VFM_BACKEND_UNKNOWN);
	ck_assert_int_eq(vfm_iommu_fd(NULL), -1);
	vfm_iommu_close(NULL);
}
END_TEST

static const struct {
	int result;
	const char *word;
} open_failures[] = {
	{ -ENOENT, "CONFIG_IOMMUFD" },
	{ -ENODEV, "CONFIG_IOMMUFD" },
	{ -EACCES, "udev" },
	{ -EMFILE, "EMFILE" },
};

START_TEST(open_failures_help)
{
	struct vfm_iommu *other = NULL;

	kernel.open_result = open_failures[_i].result;
	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &other, &error), open_failures[_i].result);
	ck_assert_ptr_nonnull(strstr(error.message, open_failures[_i].word));
	ck_assert_ptr_null(other);
	ck_assert_int_eq(kernel.open_fds, 1);
}
END_TEST

START_TEST(failed_allocation_closes)
{
	struct vfm_iommu *other = NULL;

	fail_next(IOMMU_IOAS_ALLOC, -ENOMEM, false);
	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &other, NULL), -ENOMEM);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(kernel.open_fds, 1);
}
END_TEST

START_TEST(adopted_space_survives_close)
{
	struct vfm_iommu *adopted = NULL;
	struct vfm_map map = area_at(0, PAGE);

	ck_assert_int_eq(adopt(50, IOAS_ID, &adopted, &error), 0);
	ck_assert_int_eq(vfm_iommu_fd(adopted), 51);
	ck_assert_int_eq(vfm_iommu_map(adopted, &map, &error), 0);
	vfm_iommu_close(adopted);
	ck_assert(kernel.has_ioas);
	ck_assert_uint_eq(kernel.mapped, 0);
	ck_assert_int_eq(kernel.open_fds, 1);
}
END_TEST

START_TEST(strangers_are_not_adopted)
{
	struct vfm_iommu *adopted = NULL;

	ck_assert_int_eq(adopt(-1, IOAS_ID, &adopted, &error), -EBADF);
	ck_assert_int_eq(adopt(50, 0, &adopted, &error), -EINVAL);
	ck_assert_int_eq(adopt(50, IOAS_ID + 1, &adopted, &error), -EINVAL);
	fail_next(IOMMU_IOAS_IOVA_RANGES, -ENOTTY, false);
	ck_assert_int_eq(adopt(50, IOAS_ID, &adopted, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "not an iommufd"));
	ck_assert_ptr_null(adopted);
	ck_assert_int_eq(kernel.open_fds, 1);
}
END_TEST

/* options */

START_TEST(options_reach_the_kernel)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *other = NULL;

	options.flags = VFM_IOMMU_ACCOUNT_PROCESS | VFM_IOMMU_SMALL_PAGES;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &other, &error), 0);
	ck_assert_uint_eq(kernel.option_set[IOMMU_OPTION_RLIMIT_MODE], 2);
	ck_assert_uint_eq(kernel.option_set[IOMMU_OPTION_HUGE_PAGES], 1);
	vfm_iommu_close(other);
	kernel.has_ioas = true;
	options.backend = VFM_BACKEND_TYPE1V2;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &other, &error), -EOPNOTSUPP);
	options.backend = VFM_BACKEND_IOMMUFD;
	options.flags = VFM_IOMMU_ACCOUNT_PROCESS;
	fail_next(IOMMU_OPTION, -EPERM, false);
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &other, &error), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.message, "CAP_SYS_RESOURCE"));
	options.flags = 64;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &other, &error), -EINVAL);
	options.flags = 0;
	options.backend = 6;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &other, &error), -EINVAL);
	ck_assert_int_eq(kernel.open_fds, 1);
}
END_TEST

START_TEST(back_ends_have_names)
{
	uint32_t backend = 0;

	for (uint32_t i = VFM_BACKEND_IOMMUFD; i <= VFM_BACKEND_COMPAT_TYPE1V2; i++) {
		ck_assert_int_eq(vfm_backend_from_name(vfm_backend_name(i), &backend), 0);
		ck_assert_uint_eq(backend, i);
	}
	ck_assert_str_eq(vfm_backend_name(0), "unknown");
	ck_assert_str_eq(vfm_backend_name(6), "unknown");
	ck_assert_int_eq(vfm_backend_from_name("unknown", &backend), -EINVAL);
	ck_assert_int_eq(vfm_backend_from_name("type1v", &backend), -EINVAL);
}
END_TEST

/* windows */

START_TEST(ranges_are_passed_on)
{
	struct vfm_iova_range ranges[2];
	size_t count = 77;
	uint64_t align = 0;

	ck_assert_int_eq(vfm_iommu_ranges(iommu, NULL, 0, &count, NULL, &error), -EMSGSIZE);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(vfm_iommu_ranges(iommu, ranges, 1, &count, NULL, &error), -EMSGSIZE);
	ck_assert_int_eq(vfm_iommu_ranges(iommu, ranges, 2, &count, &align, &error), 0);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(align, 4096);
	ck_assert_uint_eq(ranges[0].last, 0xfedfffff);
	ck_assert_uint_eq(ranges[1].first, 0xfef00000);
}
END_TEST

START_TEST(promises_are_checked)
{
	const struct vfm_iova_range good[] = { { 0x1000, 0x1fff }, { 0x4000, 0x7fff } };
	const struct vfm_iova_range meeting[] = { { 0x1000, 0x4000 }, { 0x4000, 0x7fff } };
	const struct vfm_iova_range unordered[] = { { 0x4000, 0x7fff }, { 0x1000, 0x1fff } };
	const struct vfm_iova_range backwards = { 0x2000, 0x1000 }, byte = { 0x1000, 0x1000 };

	ck_assert_int_eq(vfm_iommu_allow(iommu, meeting, 2, &error), -EINVAL);
	ck_assert_int_eq(vfm_iommu_allow(iommu, unordered, 2, &error), -EINVAL);
	ck_assert_int_eq(vfm_iommu_allow(iommu, &backwards, 1, &error), -EINVAL);
	ck_assert_int_eq(vfm_iommu_allow(iommu, &byte, 1, &error), -EINVAL);
	ck_assert_int_eq(vfm_iommu_allow(iommu, NULL, 1, &error), -EINVAL);
	ck_assert_int_eq(vfm_iommu_allow(iommu, good, 65537, &error), -E2BIG);
	ck_assert_ptr_nonnull(strstr(error.message, "allow IOVAs"));
	ck_assert_uint_eq(kernel.allowed, 0);
	ck_assert_int_eq(vfm_iommu_allow(iommu, good, 2, &error), 0);
	ck_assert_uint_eq(kernel.allowed, 2);
	ck_assert_int_eq(vfm_iommu_allow(iommu, NULL, 0, &error), 0);
}
END_TEST

static int map_low(uint64_t *ret_iova)
{
	struct vfm_map map = area_at(0, PAGE);
	int r;

	map.flags = VFM_MAP_READ | VFM_MAP_LOW;
	r = vfm_iommu_map(iommu, &map, &error);
	*ret_iova = map.iova;
	return r;
}

START_TEST(places_of_the_library_keep_the_promise)
{
	const struct vfm_iova_range some[] = { { 0x40000000, 0x40000000 + PAGE - 1 }, { 0x50000000, 0x5fffffff } };
	const struct vfm_iova_range others = { 0x1000000, 0x1ffffff };
	const struct vfm_iova_range interrupts = { 0xfee00000, 0xfeefffff };
	uint64_t iova;

	ck_assert_int_eq(map_low(&iova), 0);
	ck_assert_uint_eq(iova, PAGE);
	ck_assert_int_eq(vfm_iommu_allow(iommu, some, 2, &error), 0);
	ck_assert_int_eq(map_low(&iova), 0);
	ck_assert_uint_eq(iova, 0x40000000);
	ck_assert_int_eq(map_low(&iova), 0);
	ck_assert_uint_eq(iova, 0x50000000);
	ck_assert_int_eq(vfm_iommu_allow(iommu, &others, 1, &error), 0);
	ck_assert_int_eq(map_low(&iova), 0);
	ck_assert_uint_eq(iova, 0x1000000);
	/* what the kernel refuses changes nothing */
	fail_next(IOMMU_IOAS_ALLOW_IOVAS, -EADDRINUSE, false);
	ck_assert_int_eq(vfm_iommu_allow(iommu, some, 2, &error), -EADDRINUSE);
	ck_assert_int_eq(map_low(&iova), 0);
	ck_assert_uint_eq(iova, 0x1000000 + PAGE);
	/* allowed is not yet usable */
	ck_assert_int_eq(vfm_iommu_allow(iommu, &interrupts, 1, &error), 0);
	ck_assert_int_eq(map_low(&iova), -ENOSPC);
}
END_TEST

START_TEST(areas_outside_the_promise_are_not_forgotten)
{
	const struct vfm_iova_range some = { 0x40000000, 0x4fffffff };
	uint64_t iova;

	ck_assert_int_eq(vfm_iommu_allow(iommu, &some, 1, &error), 0);
	ck_assert_int_eq(map_low(&iova), 0);
	for (uint64_t i = 1; i <= 100; i++)
		ck_assert_int_eq(map_at(i * PAGE, PAGE), 0);
	ck_assert_int_eq(vfm_iommu_allow(iommu, NULL, 0, &error), 0);
	ck_assert_int_eq(map_low(&iova), 0);
	ck_assert_uint_eq(iova, 101 * PAGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu");
	TCase *tests = tcase_create("iommu");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, getters_tell);
	tcase_add_loop_test(tests, open_failures_help, 0, (int)VFMI_ARRAY_SIZE(open_failures));
	tcase_add_test(tests, failed_allocation_closes);
	tcase_add_test(tests, adopted_space_survives_close);
	tcase_add_test(tests, strangers_are_not_adopted);
	tcase_add_test(tests, options_reach_the_kernel);
	tcase_add_test(tests, back_ends_have_names);
	tcase_add_test(tests, ranges_are_passed_on);
	tcase_add_test(tests, promises_are_checked);
	tcase_add_test(tests, places_of_the_library_keep_the_promise);
	tcase_add_test(tests, areas_outside_the_promise_are_not_forgotten);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
