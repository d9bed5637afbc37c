/* SPDX-License-Identifier: MIT */
/* Maps: the books agree with a small kernel through every failure it can have. */
#include <time.h>

#include "iommu_fixture.h"
#include "suite.h"

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
	{ 32 | 7, 1, 1, 0, 0, -EINVAL },
	{ 16 | 7, 1, 1, 0, 0, 0 }, /* a place below 4 GiB is wanted, and one is given */
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
	{ -EDEADLK, false, true }, { -EINVAL, false, true }, { -EIO, false, false },
	{ -EIO, true, false },	   { -EINTR, true, false },  { -ENOENT, true, false },
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

/* patience, files, places */

START_TEST(busy_is_waited_for)
{
	kernel.fail_request = IOMMU_IOAS_MAP;
	kernel.busy = 3;
	kernel.fail_result = -EIO;
	ck_assert_int_eq(map_at(0, PAGE), -EIO); /* what came after the third */
	ck_assert_uint_gt(kernel.slept_ns, 0);
	kernel.fail_request = IOMMU_IOAS_MAP;
	kernel.busy = UINT32_MAX;
	ck_assert_int_eq(map_at(0, PAGE), -EBUSY);
	ck_assert_uint_lt(kernel.slept_ns, 1000000000);
	kernel.fail_request = 0;
	ck_assert_int_eq(map_at(0, PAGE), 0);
	kernel.fail_request = IOMMU_IOAS_UNMAP;
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), -EBUSY);
	ck_assert_ptr_nonnull(strstr(error.message, "may be mapped or not"));
	kernel.fail_request = 0;
	kernel.busy = 0;
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), 0);
}
END_TEST

static struct vfm_map file_at(uint64_t iova, int fd, void *vaddr)
{
	struct vfm_map map = area_at(iova, 2 * PAGE);

	map.flags |= VFM_MAP_FILE;
	map.vaddr = vaddr;
	map.fd = fd;
	map.fd_offset = 3 * PAGE;
	return map;
}

START_TEST(files_are_pinned_where_the_kernel_does)
{
	struct vfm_map map = file_at(0, FILE_FD, NULL);

	kernel.has_map_file = true;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(kernel.file_start, 3 * PAGE);
	ck_assert_uint_eq(kernel.mmapped, 0);
	ck_assert_int_eq(vfm_iommu_change_process(iommu, &error), 0);
	map = file_at(8 * PAGE, DMABUF_FD, (void *)(uintptr_t)(64 * PAGE));
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(kernel.asked_file, 2);
	/* the address of a dma-buf cannot be pinned */
	map.iova = 16 * PAGE;
	kernel.file_result = -EOPNOTSUPP;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, "does not pin"));
	ck_assert_uint_eq(kernel.mapped, 2);
}
END_TEST

/* What it does not pin goes by its address, whether the kernel or the file says so. */
static const struct {
	int fd;
	uint64_t vaddr; /* page */
	int file_result;
	int stat_result;
	unsigned int asked_file;
	uint64_t mmapped; /* pages */
} other_files[] = {
	{ DISK_FD, 64, 0, 0, 0, 0 },	     { DISK_FD, 0, 0, 0, 0, 2 },	   { NODE_FD, 0, 0, 0, 0, 2 },
	{ BARE_FD, 64, 0, 0, 0, 0 },	     { BARE_FD, 0, 0, 0, 1, 0 }, /* which is for the kernel to say */
	{ FILE_FD, 64, -EINVAL, 0, 1, 0 },   { FILE_FD, 0, -EOPNOTSUPP, 0, 1, 2 }, { DISK_FD, 64, -EINVAL, -EIO, 1, 0 },
	{ DISK_FD, 0, -EINVAL, -EIO, 1, 2 },
};

START_TEST(files_it_does_not_pin_go_by_address)
{
	struct vfm_map map = file_at(0, other_files[_i].fd, (void *)(uintptr_t)(other_files[_i].vaddr * PAGE));

	kernel.has_map_file = true;
	kernel.file_result = other_files[_i].file_result;
	kernel.stat_result = other_files[_i].stat_result;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(kernel.mapped, 1);
	ck_assert_uint_eq(kernel.asked_file, other_files[_i].asked_file);
	ck_assert_uint_eq(kernel.mmapped, other_files[_i].mmapped * PAGE);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 2 * PAGE, &error), 0);
	ck_assert_uint_eq(kernel.mmapped, 0);
}
END_TEST

START_TEST(neither_way_tells_both_reasons)
{
	struct vfm_map map = file_at(0, FILE_FD, NULL);

	kernel.has_map_file = true;
	kernel.file_result = -EINVAL;
	fail_next(IOMMU_IOAS_MAP, -EFAULT, false);
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "does not pin"));
	ck_assert_ptr_nonnull(strstr(error.message, "by its address it says"));
	ck_assert_ptr_nonnull(strstr(error.message, "EFAULT"));
	ck_assert_uint_eq(kernel.mmapped, 0);
	map.fd = BARE_FD;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "ENODEV"));
	/* a file of a disk that is open for reading only */
	map.fd = DISK_FD;
	kernel.mmap_result = -EACCES;
	kernel.asked_file = 0;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -EACCES);
	ck_assert_uint_eq(kernel.asked_file, 0);
	kernel.mmap_result = 0;
	/* other failures are no matter of the file */
	map.fd = FILE_FD;
	kernel.file_result = -ENOMEM;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -ENOMEM);
	ck_assert_uint_eq(kernel.mapped, 0);
	/* and where there is no such ioctl, the address is all there is */
	kernel.has_map_file = false;
	map.fd = BARE_FD;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -ENODEV);
	ck_assert_ptr_nonnull(strstr(error.message, "guest_memfd"));
}
END_TEST

/* Without page tables the kernel takes any file, and refuses the device that comes then. */
START_TEST(what_an_attach_may_have_stumbled_over)
{
	struct vfm_map map = file_at(0, BARE_FD, NULL);
	char text[256];

	kernel.has_map_file = true;
	kernel.memlock = 3 * PAGE;
	vfmi_iommu_attach_trouble(iommu, EINVAL, text, sizeof(text));
	ck_assert_str_eq(text, "");
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	vfmi_iommu_attach_trouble(iommu, EINVAL, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "does not pin"));
	vfmi_iommu_attach_trouble(iommu, ENOENT, text, sizeof(text));
	ck_assert_str_eq(text, "");
	ck_assert_int_eq(map_at(8 * PAGE, 2 * PAGE), 0);
	vfmi_iommu_attach_trouble(iommu, ENOMEM, text, sizeof(text));
	if (PAGE == 4096)
		ck_assert_ptr_nonnull(strstr(text, "16384 bytes of maps are to be locked, the limit is 12288 bytes"));
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 2 * PAGE, &error), 0);
	vfmi_iommu_attach_trouble(iommu, EINVAL, text, sizeof(text));
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(files_are_mapped_here_where_it_does_not)
{
	struct vfm_map map = file_at(0, FILE_FD, NULL);

	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(kernel.mmapped, 2 * PAGE);
	map.iova = 8 * PAGE;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(kernel.asked_file, 1); /* remembered */
	fail_next(IOMMU_IOAS_MAP, -EFAULT, false);
	map.iova = 16 * PAGE;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -EFAULT);
	ck_assert_uint_eq(kernel.mmapped, 4 * PAGE);
	map = file_at(16 * PAGE, BARE_FD, (void *)(uintptr_t)(64 * PAGE)); /* its address is known */
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	map = file_at(32 * PAGE, BARE_FD, NULL);
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -ENODEV);
	ck_assert_ptr_nonnull(strstr(error.message, "guest_memfd"));
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 2 * PAGE, &error), 0);
	ck_assert_uint_eq(kernel.mmapped, 2 * PAGE);
	ck_assert_int_eq(vfm_iommu_change_process(iommu, &error), -EOPNOTSUPP);
	ck_assert_int_eq(vfm_iommu_vaddr_invalidate(iommu, &error), -EOPNOTSUPP);
}
END_TEST

START_TEST(file_ranges_are_checked)
{
	struct vfm_map map = file_at(0, -1, NULL);

	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -EINVAL);
	map.fd = FILE_FD;
	map.fd_offset = 1;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -EINVAL);
	map.fd_offset = INT64_MAX - PAGE + 1;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -EOVERFLOW);
	ck_assert_uint_eq(kernel.asked_file, 0);
}
END_TEST

START_TEST(low_places_are_found_by_the_library)
{
	struct vfm_map map = area_at(0, PAGE);

	ck_assert_int_eq(map_at(PAGE, PAGE), 0);
	kernel.taken_first = 2 * PAGE;
	kernel.taken_end = 4 * PAGE;
	map.flags = VFM_MAP_READ | VFM_MAP_LOW;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(map.iova, 4 * PAGE);
	ck_assert(kernel.last_flags & IOMMU_IOAS_MAP_FIXED_IOVA);
	kernel.taken_end = 0;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(map.iova, 2 * PAGE); /* who was in the way is asked anew */
	ck_assert_int_eq(vfm_iommu_unmap(iommu, PAGE, PAGE, &error), 0);
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
	ck_assert_uint_eq(map.iova, PAGE);
	map.length = UINT64_C(1) << 32;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), -ENOSPC);
}
END_TEST

START_TEST(areas_are_entered_and_forgotten)
{
	struct vfm_iommu *adopted = NULL;
	struct vfm_map map = area_at(PAGE, PAGE);
	VFM_OPTS(vfm_iommu_info, info);

	ck_assert_int_eq(vfm_iommu_adopt_map(iommu, &map, &error), -EINVAL);
	ck_assert_int_eq(adopt(50, IOAS_ID, &adopted, &error), 0);
	ck_assert_int_eq(vfm_iommu_adopt_map(adopted, &map, &error), 0);
	ck_assert_int_eq(vfm_iommu_adopt_map(adopted, &map, &error), -EEXIST);
	ck_assert_uint_eq(kernel.mapped, 0);
	ck_assert_int_eq(vfm_iommu_info(adopted, &info, &error), 0);
	ck_assert_uint_eq(info.areas, 1);
	ck_assert_uint_eq(info.mapped_bytes, PAGE);
	ck_assert_int_eq(vfm_iommu_forget_map(adopted, PAGE, 2 * PAGE, &error), -ENOENT);
	ck_assert_int_eq(vfm_iommu_forget_map(adopted, PAGE, PAGE, &error), 0);
	ck_assert_int_eq(map_at(8 * PAGE, PAGE), 0); /* the owner's */
	map.iova = 8 * PAGE;
	ck_assert_int_eq(vfm_iommu_adopt_map(adopted, &map, &error), 0);
	vfm_iommu_close(adopted);
	ck_assert_uint_eq(kernel.mapped, 1); /* left as it was */
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

/* The same for places that the library finds, some of them between others. */
static double cost_of_places(uint64_t count)
{
	struct vfm_map map = area_at(0, PAGE);
	uint64_t *iovas = calloc(count, sizeof(*iovas));
	double start = seconds();

	ck_assert_ptr_nonnull(iovas);
	map.flags = VFM_MAP_READ | VFM_MAP_LOW;
	for (uint64_t i = 0; i < count; i++) {
		ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
		iovas[i] = map.iova;
		if (i % 3 == 2)
			ck_assert_int_eq(vfm_iommu_unmap(iommu, iovas[i - 1], PAGE, &error), 0);
		if (i % 3 == 2)
			iovas[i - 1] = UINT64_MAX;
	}
	for (uint64_t i = 0; i < count; i++)
		if (iovas[i] != UINT64_MAX)
			ck_assert_int_eq(vfm_iommu_unmap(iommu, iovas[i], PAGE, &error), 0);
	free(iovas);
	return (seconds() - start) / (double)count;
}

START_TEST(many_places_cost_what_few_do)
{
	double few;

	cost_of_places(1024);
	few = cost_of_places(8192);
	ck_assert_double_lt(cost_of_places(131072), 8 * few);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu_map");
	TCase *tests = tcase_create("iommu_map");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
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
	tcase_add_test(tests, busy_is_waited_for);
	tcase_add_test(tests, files_are_pinned_where_the_kernel_does);
	tcase_add_loop_test(tests, files_it_does_not_pin_go_by_address, 0, (int)VFMI_ARRAY_SIZE(other_files));
	tcase_add_test(tests, neither_way_tells_both_reasons);
	tcase_add_test(tests, what_an_attach_may_have_stumbled_over);
	tcase_add_test(tests, files_are_mapped_here_where_it_does_not);
	tcase_add_test(tests, file_ranges_are_checked);
	tcase_add_test(tests, low_places_are_found_by_the_library);
	tcase_add_test(tests, areas_are_entered_and_forgotten);
	tcase_add_test(tests, many_areas_cost_what_few_do);
	tcase_add_test(tests, many_places_cost_what_few_do);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
