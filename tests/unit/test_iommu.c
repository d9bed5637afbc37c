/* SPDX-License-Identifier: MIT */
/* Address space: the books agree with a small kernel through every failure it can have, and nothing is left open. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "areas.h"
#include "internal.h"
#include "iommufd.h"

#define PAGE vfmi_page_size()
#define IOAS_ID 7u

/* the kernel: one iommufd, one IOAS */

static struct {
	struct vfmi_areas maps;
	uint32_t mapped;
	uint64_t next_iova;
	int open_fds;
	int open_result;
	bool has_ioas;
	uint32_t last_flags;
	/* the next call of this request fails so */
	unsigned long fail_request;
	int fail_result;
	bool fail_after;
	uint64_t unmap_says; /* above 0: what UNMAP reports instead of the truth */
	uint64_t map_says;   /* above 0: where MAP claims to have put it */
} kernel;

static int fake_open(struct vfmi_sys *sys, const char *path, int flags, mode_t mode)
{
	(void)sys, (void)flags, (void)mode;
	ck_assert_str_eq(path, "/dev/iommu");
	if (kernel.open_result < 0)
		return kernel.open_result;
	kernel.open_fds++;
	return 50;
}

static int fake_dup(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	if (fd < 0)
		return -EBADF;
	kernel.open_fds++;
	return 51;
}

static int fake_close(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	ck_assert(fd == 50 || fd == 51);
	kernel.open_fds--;
	return 0;
}

static int kernel_map(struct iommu_ioas_map *map)
{
	struct vfmi_area *area;

	kernel.last_flags = map->flags;
	if (!(map->flags & IOMMU_IOAS_MAP_FIXED_IOVA)) {
		map->iova = kernel.next_iova;
		kernel.next_iova += map->length;
	}
	if (vfmi_areas_overlap(&kernel.maps, map->iova, map->iova + (map->length - 1)))
		return -EEXIST;
	area = calloc(1, sizeof(*area));
	area->iova = map->iova;
	area->last = map->iova + (map->length - 1);
	vfmi_areas_add(&kernel.maps, area);
	kernel.mapped++;
	if (kernel.map_says)
		map->iova = kernel.map_says;
	return 0;
}

static int kernel_unmap(struct iommu_ioas_unmap *unmap)
{
	struct vfmi_area *area = vfmi_areas_overlap(&kernel.maps, unmap->iova, unmap->iova);

	if (!area || area->iova != unmap->iova || area->last - area->iova != unmap->length - 1)
		return -ENOENT;
	vfmi_areas_remove(&kernel.maps, area);
	free(area);
	kernel.mapped--;
	if (kernel.unmap_says)
		unmap->length = kernel.unmap_says;
	return 0;
}

static int kernel_destroy(const struct iommu_destroy *destroy)
{
	struct vfmi_area *area;

	ck_assert_uint_eq(destroy->id, IOAS_ID);
	while ((area = kernel.maps.root)) {
		vfmi_areas_remove(&kernel.maps, area);
		free(area);
		kernel.mapped--;
	}
	kernel.has_ioas = false;
	return 0;
}

static int kernel_ranges(struct iommu_ioas_iova_ranges *ranges)
{
	const struct iommu_iova_range two[] = { { 0, 0xfedfffff }, { 0xfef00000, (UINT64_C(1) << 39) - 1 } };
	uint32_t room = ranges->num_iovas;

	if (ranges->ioas_id != IOAS_ID)
		return -ENOENT;
	ranges->num_iovas = 2;
	ranges->out_iova_alignment = 4096;
	for (uint32_t i = 0; i < room && i < 2; i++)
		((struct iommu_iova_range *)(uintptr_t)ranges->allowed_iovas)[i] = two[i];
	return room < 2 ? -EMSGSIZE : 0;
}

static int answer(unsigned long request, void *arg)
{
	switch (request) {
	case IOMMU_IOAS_ALLOC:
		((struct iommu_ioas_alloc *)arg)->out_ioas_id = IOAS_ID;
		kernel.has_ioas = true;
		return 0;
	case IOMMU_DESTROY:
		return kernel_destroy(arg);
	case IOMMU_IOAS_MAP:
		return kernel_map(arg);
	case IOMMU_IOAS_UNMAP:
		return kernel_unmap(arg);
	case IOMMU_IOAS_IOVA_RANGES:
		return kernel_ranges(arg);
	default:
		return -ENOTTY;
	}
}

static int fake_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys, (void)fd;
	if (request != kernel.fail_request)
		return answer(request, arg);
	kernel.fail_request = 0;
	if (kernel.fail_after)
		answer(request, arg);
	return kernel.fail_result;
}

static const struct vfmi_sys_ops fake_ops = {
	.open = fake_open,
	.dup = fake_dup,
	.close = fake_close,
	.ioctl = fake_ioctl,
};
static struct vfmi_sys fake_sys = { .ops = &fake_ops };

static struct vfm_context *ctx;
static struct vfm_iommu *iommu;
static struct vfm_error error;

static void setup(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.next_iova = (uint64_t)1 << 32;
	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_int_eq(vfmi_context_new_on(&fake_sys, &ctx), 0);
	ck_assert_int_eq(vfm_iommu_open(ctx, &iommu, &error), 0);
}

static void teardown(void)
{
	vfm_iommu_close(iommu);
	ck_assert_int_eq(kernel.open_fds, 0);
	ck_assert_uint_eq(kernel.mapped, 0);
	ck_assert(!kernel.has_ioas);
	vfm_context_free(ctx);
}

static void fail_next(unsigned long request, int result, bool after)
{
	kernel.fail_request = request;
	kernel.fail_result = result;
	kernel.fail_after = after;
}

static struct vfm_map area_at(uint64_t iova, uint64_t length)
{
	return (struct vfm_map){
		.size = sizeof(struct vfm_map),
		.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED,
		.vaddr = (void *)(uintptr_t)(1024 * PAGE),
		.length = length,
		.iova = iova,
	};
}

static int map_at(uint64_t iova, uint64_t length)
{
	struct vfm_map map = area_at(iova, length);

	return vfm_iommu_map(iommu, &map, &error);
}

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
	ck_assert_int_eq(vfm_iommu_open(ctx, &other, &error), open_failures[_i].result);
	ck_assert_ptr_nonnull(strstr(error.message, open_failures[_i].word));
	ck_assert_ptr_null(other);
	ck_assert_int_eq(kernel.open_fds, 1);
}
END_TEST

START_TEST(failed_allocation_closes)
{
	struct vfm_iommu *other = NULL;

	fail_next(IOMMU_IOAS_ALLOC, -ENOMEM, false);
	ck_assert_int_eq(vfm_iommu_open(ctx, &other, NULL), -ENOMEM);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(kernel.open_fds, 1);
}
END_TEST

START_TEST(adopted_space_survives_close)
{
	struct vfm_iommu *adopted = NULL;
	struct vfm_map map = area_at(0, PAGE);

	ck_assert_int_eq(vfm_iommu_adopt(ctx, 50, IOAS_ID, &adopted, &error), 0);
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

	ck_assert_int_eq(vfm_iommu_adopt(ctx, -1, IOAS_ID, &adopted, &error), -EBADF);
	ck_assert_int_eq(vfm_iommu_adopt(ctx, 50, 0, &adopted, &error), -EINVAL);
	ck_assert_int_eq(vfm_iommu_adopt(ctx, 50, IOAS_ID + 1, &adopted, &error), -EINVAL);
	fail_next(IOMMU_IOAS_IOVA_RANGES, -ENOTTY, false);
	ck_assert_int_eq(vfm_iommu_adopt(ctx, 50, IOAS_ID, &adopted, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "not an iommufd"));
	ck_assert_ptr_null(adopted);
	ck_assert_int_eq(kernel.open_fds, 1);
}
END_TEST

/* what may be asked */

static const struct {
	uint32_t flags;
	uint64_t vaddr; /* in pages, and ... */
	uint64_t length;
	uint64_t iova;
	uint64_t off; /* bytes added to: 1 vaddr, 2 length, 3 iova */
	int result;
} wishes[] = {
	{ 7, 1, 1, 0, 0, 0 },
	{ 5, 1, 1, 0, 0, 0 },
	{ 6, 1, 1, 0, 0, 0 },
	{ 4, 1, 1, 0, 0, -EINVAL },
	{ 0, 1, 1, 0, 0, -EINVAL },
	{ 8 | 7, 1, 1, 0, 0, -EINVAL },
	{ 0x80000007, 1, 1, 0, 0, -EINVAL },
	{ 7, 1, 0, 0, 0, -EINVAL },
	{ 7, 1, 1, 0, 1, -EINVAL },
	{ 7, 1, 1, 0, 2, -EINVAL },
	{ 7, 1, 1, 0, 3, -EINVAL },
	{ 3, 1, 1, 0, 3, 0 },			    /* iova is not looked at */
	{ 7, 1, 1, (UINT64_C(1) << 52) - 1, 0, 0 }, /* the very last page */
	{ 7, 1, 2, (UINT64_C(1) << 52) - 1, 0, -EOVERFLOW },
	{ 7, 1, (UINT64_C(1) << 52) - 1, 1, 0, 0 },
	{ 7, 1, (UINT64_C(1) << 52) - 1, 2, 0, -EOVERFLOW },
	{ 7, 2, (UINT64_C(1) << 52) - 1, 0, 0, -EOVERFLOW },
};

START_TEST(wishes_are_checked)
{
	struct vfm_map map = {
		.size = sizeof(map),
		.flags = wishes[_i].flags,
		.vaddr = (void *)(uintptr_t)(wishes[_i].vaddr * 4096 + (wishes[_i].off == 1)),
		.length = wishes[_i].length * 4096 + (wishes[_i].off == 2),
		.iova = wishes[_i].iova * 4096 + (wishes[_i].off == 3),
	};

	if (PAGE != 4096)
		return;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), wishes[_i].result);
	ck_assert_uint_eq(kernel.mapped, wishes[_i].result == 0);
}
END_TEST

START_TEST(struct_of_unknown_size_is_refused)
{
	struct {
		struct vfm_map map;
		uint64_t newer;
	} larger = { area_at(0, PAGE), 1 };

	larger.map.size = sizeof(larger);
	ck_assert_int_eq(vfm_iommu_map(iommu, &larger.map, &error), -E2BIG);
	larger.map.size = 0;
	ck_assert_int_eq(vfm_iommu_map(iommu, &larger.map, &error), -EINVAL);
	larger.map.size = sizeof(larger);
	larger.newer = 0;
	ck_assert_int_eq(vfm_iommu_map(iommu, &larger.map, &error), 0);
}
END_TEST

START_TEST(access_reaches_the_kernel)
{
	struct vfm_map map = area_at(0, PAGE);

	map.flags = VFM_MAP_READ;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(kernel.last_flags, IOMMU_IOAS_MAP_READABLE);
	ck_assert_uint_eq(map.iova, (uint64_t)1 << 32);
	map.flags = VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.iova = PAGE;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(kernel.last_flags, IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_FIXED_IOVA);
}
END_TEST

START_TEST(overlap_is_refused_before_the_kernel)
{
	ck_assert_int_eq(map_at(4 * PAGE, 4 * PAGE), 0);
	fail_next(IOMMU_IOAS_MAP, -EIO, false); /* would show that it was asked */
	ck_assert_int_eq(map_at(4 * PAGE, 4 * PAGE), -EEXIST);
	ck_assert_int_eq(map_at(0, 5 * PAGE), -EEXIST);
	ck_assert_int_eq(map_at(7 * PAGE, PAGE), -EEXIST);
	kernel.fail_request = 0;
	ck_assert_int_eq(map_at(0, 4 * PAGE), 0);
	ck_assert_int_eq(map_at(8 * PAGE, PAGE), 0);
}
END_TEST

static const struct {
	int result;
	const char *word;
} map_failures[] = {
	{ -ENOMEM, "RLIMIT_MEMLOCK" }, { -EEXIST, "somebody else" }, { -EFAULT, "not there" },
	{ -EINVAL, "windows" },	       { -ENOSPC, "ENOSPC" },
};

START_TEST(map_failures_help_and_leave_no_entry)
{
	fail_next(IOMMU_IOAS_MAP, map_failures[_i].result, false);
	ck_assert_int_eq(map_at(0, PAGE), map_failures[_i].result);
	ck_assert_ptr_nonnull(strstr(error.message, map_failures[_i].word));
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), -ENOENT);
	ck_assert_int_eq(map_at(0, PAGE), 0);
}
END_TEST

START_TEST(lock_limit_is_told_with_what_is_mapped)
{
	char expect[64];

	ck_assert_int_eq(map_at(0, 3 * PAGE), 0);
	ck_assert_int_eq(map_at(8 * PAGE, PAGE), 0);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 8 * PAGE, PAGE, &error), 0);
	fail_next(IOMMU_IOAS_MAP, -ENOMEM, false);
	ck_assert_int_eq(map_at(16 * PAGE, 2 * PAGE), -ENOMEM);
	snprintf(expect, sizeof(expect), "%llu bytes more than the %llu mapped", 2ull * PAGE, 3ull * PAGE);
	ck_assert_ptr_nonnull(strstr(error.message, expect));
}
END_TEST

START_TEST(impossible_placement_is_refused)
{
	const uint64_t claims[] = { UINT64_MAX - PAGE + 1, 9 * PAGE, 32 * PAGE };
	struct vfm_map map = area_at(16 * PAGE, 2 * PAGE);

	ck_assert_int_eq(map_at(8 * PAGE, 2 * PAGE), 0);
	kernel.map_says = claims[_i];
	if (_i < 2) /* wraps, overlaps; the last one is not where it was asked for */
		map.flags &= ~(uint32_t)VFM_MAP_FIXED;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -EIO);
	ck_assert_uint_eq(map.iova, 16 * PAGE);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 8 * PAGE, 2 * PAGE, &error), 0);
}
END_TEST

/* taking back */

START_TEST(only_whole_areas_are_unmapped)
{
	ck_assert_int_eq(map_at(4 * PAGE, 4 * PAGE), 0);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 4 * PAGE, 3 * PAGE, &error), -ENOENT);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 4 * PAGE, 5 * PAGE, &error), -ENOENT);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 5 * PAGE, 3 * PAGE, &error), -ENOENT);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 4 * PAGE, 0, &error), -ENOENT);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, UINT64_MAX, &error), -ENOENT);
	ck_assert_uint_eq(kernel.mapped, 1);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 4 * PAGE, 4 * PAGE, &error), 0);
	ck_assert_uint_eq(kernel.mapped, 0);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 4 * PAGE, 4 * PAGE, &error), -ENOENT);
}
END_TEST

START_TEST(the_last_page_comes_back)
{
	uint64_t last = UINT64_MAX - PAGE + 1;

	ck_assert_int_eq(map_at(last, PAGE), 0);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, last, PAGE, &error), 0);
}
END_TEST

static const struct {
	int result;
	bool after;
	bool known; /* the errno says that nothing was done */
} unmap_failures[] = {
	{ -EBUSY, false, true }, { -EINVAL, false, true }, { -EIO, false, false },
	{ -EIO, true, false },	 { -EINTR, true, false },  { -ENOENT, true, false },
};

START_TEST(failed_unmap_stays_in_the_books)
{
	const char *word = unmap_failures[_i].known ? "still mapped" : "may be mapped or not";

	ck_assert_int_eq(map_at(0, PAGE), 0);
	fail_next(IOMMU_IOAS_UNMAP, unmap_failures[_i].result, unmap_failures[_i].after);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), unmap_failures[_i].result);
	ck_assert_ptr_nonnull(strstr(error.message, word));
	ck_assert_int_eq(map_at(0, PAGE), -EEXIST);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), 0);
	ck_assert_uint_eq(kernel.mapped, 0);
	ck_assert_int_eq(map_at(0, PAGE), 0);
}
END_TEST

START_TEST(short_unmap_is_told)
{
	ck_assert_int_eq(map_at(0, 2 * PAGE), 0);
	kernel.unmap_says = PAGE;
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 2 * PAGE, &error), -EIO);
	ck_assert_int_eq(map_at(PAGE, PAGE), -EEXIST);
	ck_assert_ptr_nonnull(strstr(error.message, "whose unmapping failed"));
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 2 * PAGE, &error), 0);
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

/* speed */

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cost_of(uint64_t count)
{
	double start = seconds();

	for (uint64_t i = 0; i < count; i++)
		ck_assert_int_eq(map_at(i * 40503 % count * PAGE, PAGE), 0);
	for (uint64_t i = 0; i < count; i++)
		ck_assert_int_eq(vfm_iommu_unmap(iommu, i * PAGE, PAGE, &error), 0);
	return (seconds() - start) / (double)count;
}

START_TEST(many_areas_cost_what_few_do)
{
	double few;

	cost_of(1024);
	few = cost_of(8192);
	/* 16 times the areas: 1.3 times by the logarithm, more by the caches; a list would be at 16 */
	ck_assert_double_lt(cost_of(131072), 8 * few);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu");
	TCase *tests = tcase_create("iommu");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, getters_tell);
	tcase_add_loop_test(tests, open_failures_help, 0, (int)VFMI_ARRAY_SIZE(open_failures));
	tcase_add_test(tests, failed_allocation_closes);
	tcase_add_test(tests, adopted_space_survives_close);
	tcase_add_test(tests, strangers_are_not_adopted);
	tcase_add_loop_test(tests, wishes_are_checked, 0, (int)VFMI_ARRAY_SIZE(wishes));
	tcase_add_test(tests, struct_of_unknown_size_is_refused);
	tcase_add_test(tests, access_reaches_the_kernel);
	tcase_add_test(tests, overlap_is_refused_before_the_kernel);
	tcase_add_loop_test(tests, map_failures_help_and_leave_no_entry, 0, (int)VFMI_ARRAY_SIZE(map_failures));
	tcase_add_test(tests, lock_limit_is_told_with_what_is_mapped);
	tcase_add_loop_test(tests, impossible_placement_is_refused, 0, 3);
	tcase_add_test(tests, only_whole_areas_are_unmapped);
	tcase_add_test(tests, the_last_page_comes_back);
	tcase_add_loop_test(tests, failed_unmap_stays_in_the_books, 0, (int)VFMI_ARRAY_SIZE(unmap_failures));
	tcase_add_test(tests, short_unmap_is_told);
	tcase_add_test(tests, ranges_are_passed_on);
	tcase_add_test(tests, many_areas_cost_what_few_do);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
