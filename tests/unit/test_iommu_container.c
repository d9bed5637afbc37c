/* SPDX-License-Identifier: MIT */
/* Containers: a kernel whose answers are not believed, and the books through what a container may say. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "container.h"
#include "iommu-internal.h"
#include "suite.h"

#define PAGE 4096u
#define CONTAINER_FD 70
#define INFO_BYTES 24u

static struct {
	unsigned char info[4096]; /* what IOMMU_GET_INFO has to tell */
	uint32_t info_bytes;
	uint32_t info_grows; /* each answer asks for so much more */
	unsigned int asked;
	bool no_iommu;
	bool no_type1;
	bool is_iommufd;
	uint32_t can_update;
	uint64_t mapped; /* bytes */
	uint64_t unmap_says;
	bool says_short;
	int map_result;
	uint64_t memlock;
	const char *status;
	int open_fds;
	unsigned int paths;
	const char *entry_limit;
	uint32_t vaddr_flags;
} kernel;

static int kernel_info(struct vfio_iommu_type1_info *info)
{
	uint32_t room = info->argsz;

	kernel.asked++;
	if (kernel.no_iommu)
		return -EINVAL;
	memcpy(info, kernel.info, room < kernel.info_bytes ? room : kernel.info_bytes);
	info->argsz = kernel.info_grows ? room + kernel.info_grows : kernel.info_bytes;
	if (room < kernel.info_bytes)
		info->cap_offset = 0;
	return 0;
}

static int kernel_unmap(struct vfio_iommu_type1_dma_unmap *unmap)
{
	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_VADDR) {
		if (kernel.vaddr_flags)
			return -EINVAL;
		kernel.vaddr_flags = unmap->flags;
		return unmap->iova || unmap->size ? -EINVAL : 0;
	}
	if (kernel.says_short)
		unmap->size = kernel.unmap_says;
	else if (kernel.mapped < unmap->size)
		unmap->size = 0;
	kernel.mapped -= unmap->size;
	return 0;
}

static int kernel_map(const struct vfio_iommu_type1_dma_map *map)
{
	if (map->flags & VFIO_DMA_MAP_FLAG_VADDR)
		return kernel.vaddr_flags ? kernel.map_result : -EINVAL;
	if (kernel.map_result < 0)
		return kernel.map_result;
	kernel.mapped += map->size;
	return 0;
}

static int fake_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys;
	ck_assert_int_eq(fd, CONTAINER_FD);
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_UPDATE_VADDR ? (int)kernel.can_update : !kernel.no_type1;
	case VFIO_SET_IOMMU:
		kernel.no_iommu = false;
		return 0;
	case VFIO_IOMMU_GET_INFO:
		return kernel_info(arg);
	case VFIO_IOMMU_MAP_DMA:
		return kernel.no_iommu ? -EINVAL : kernel_map(arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return kernel.no_iommu ? -EINVAL : kernel_unmap(arg);
	default:
		return kernel.is_iommufd ? -ENODEV : -EINVAL;
	}
}

static int fake_open(struct vfmi_sys *sys, const char *path, int flags, mode_t mode)
{
	(void)sys, (void)flags, (void)mode;
	kernel.paths++;
	if (!strcmp(path, "/proc/self/status"))
		return CONTAINER_FD + 1;
	if (kernel.entry_limit && !strcmp(path, "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"))
		return CONTAINER_FD + 2;
	if (strcmp(path, "/dev/vfio/vfio"))
		return -ENOENT;
	kernel.open_fds++;
	return CONTAINER_FD;
}

static ssize_t fake_read(struct vfmi_sys *sys, int fd, void *buf, size_t length)
{
	const char **text = fd == CONTAINER_FD + 1 ? &kernel.status : &kernel.entry_limit;
	size_t n = strlen(*text);

	(void)sys;
	n = n < length ? n : length;
	memcpy(buf, *text, n);
	*text += n;
	return (ssize_t)n;
}

static int fake_close(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	kernel.open_fds -= fd == CONTAINER_FD;
	return 0;
}

static int fake_listdir(struct vfmi_sys *sys, const char *path, vfmi_listdir_fn *fn, void *user)
{
	(void)sys, (void)path, (void)fn, (void)user;
	return -ENOENT;
}

static int fake_getrlimit(struct vfmi_sys *sys, int resource, struct rlimit *limit)
{
	(void)sys;
	ck_assert_int_eq(resource, RLIMIT_MEMLOCK);
	limit->rlim_cur = limit->rlim_max = kernel.memlock;
	return 0;
}

static const struct vfmi_sys_ops fake_ops = {
	.open = fake_open,
	.read = fake_read,
	.close = fake_close,
	.ioctl = fake_ioctl,
	.listdir = fake_listdir,
	.getrlimit = fake_getrlimit,
};
static struct vfmi_sys fake_sys = { .ops = &fake_ops, .page_size = PAGE };
static struct vfm_context *ctx;
static struct vfm_iommu *iommu;
static struct vfm_error error;

/* an answer, put together */

static void put(const void *bytes, size_t length)
{
	memcpy(kernel.info + kernel.info_bytes, bytes, length);
	kernel.info_bytes += (uint32_t)length;
}

static void put_head(uint32_t flags, uint32_t cap_offset)
{
	const struct vfio_iommu_type1_info head = {
		.argsz = INFO_BYTES,
		.flags = flags,
		.iova_pgsizes = 0x40201000,
		.cap_offset = cap_offset,
	};

	kernel.info_bytes = 0;
	put(&head, sizeof(head));
}

static void put_avail(uint32_t next, uint32_t avail)
{
	const struct vfio_iommu_type1_info_dma_avail cap = { { VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1, next }, avail };

	put(&cap, sizeof(cap));
}

static void put_ranges(uint32_t next, uint32_t count, const struct vfio_iova_range *ranges, uint32_t present)
{
	const struct vfio_iommu_type1_info_cap_iova_range cap = { { VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, next },
								  count,
								  0 };

	put(&cap, sizeof(cap));
	put(ranges, present * sizeof(*ranges));
}

static const struct vfio_iova_range windows[] = { { 0, 0xfedfffff }, { 0xfef00000, (UINT64_C(1) << 39) - 1 } };

static void good_answer(void)
{
	put_head(VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS, INFO_BYTES);
	put_avail(INFO_BYTES + 12, 65535); /* not padded, as before Linux 6.6 */
	put_ranges(0, 2, windows, 2);
}

static void setup(void)
{
	VFM_OPTS(vfm_iommu_options, options);

	memset(&kernel, 0, sizeof(kernel));
	kernel.no_iommu = true;
	kernel.memlock = UINT64_MAX;
	kernel.status = "";
	good_answer();
	error = (struct vfm_error){ .size = sizeof(error) };
	options.backend = VFM_BACKEND_TYPE1V2;
	ck_assert_int_eq(vfmi_context_new_on(&fake_sys, &ctx), 0);
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &iommu, &error), 0);
	ck_assert_int_eq(vfmi_iommu_joined(iommu), 0);
}

static void teardown(void)
{
	vfm_iommu_close(iommu);
	ck_assert_int_eq(kernel.open_fds, 0);
	vfm_context_free(ctx);
}

/* information */

START_TEST(answers_are_taken_apart)
{
	struct vfmi_container_info info;
	struct vfm_iova_range ranges[2];
	uint64_t align = 0;
	size_t count = 0;

	kernel.asked = 0;
	ck_assert_int_eq(vfmi_container_info(&fake_sys, CONTAINER_FD, &info), 0);
	ck_assert_uint_eq(kernel.asked, 2);
	ck_assert_uint_eq(info.avail, 65535);
	ck_assert_uint_eq(info.range_count, 2);
	ck_assert(!info.has_migration);
	vfmi_container_info_clear(&info);
	ck_assert_int_eq(vfm_iommu_ranges(iommu, ranges, 1, &count, &align, &error), -EMSGSIZE);
	ck_assert_int_eq(vfm_iommu_ranges(iommu, ranges, 2, &count, &align, &error), 0);
	ck_assert_uint_eq(align, 4096);
	ck_assert_uint_eq(ranges[1].first, 0xfef00000);
	/* without the capability everything is usable */
	put_head(0, 0);
	ck_assert_int_eq(vfm_iommu_ranges(iommu, ranges, 2, &count, &align, &error), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(ranges[0].last, UINT64_MAX);
	ck_assert_uint_eq(align, PAGE);
}
END_TEST

enum lie { CYCLE, OUTSIDE, INTO_HEAD, TRUNCATED, TOO_MANY, UNORDERED, BACKWARDS, TWICE, ENDLESS, HUGE, LIES };

static void tell_lie(enum lie lie)
{
	const struct vfio_iova_range disorder[] = { windows[1], windows[0] };
	const struct vfio_iova_range backwards[] = { { 2, 1 } };

	put_head(VFIO_IOMMU_INFO_CAPS, INFO_BYTES);
	if (lie == CYCLE)
		put_avail(INFO_BYTES, 1);
	else if (lie == OUTSIDE)
		put_avail(5000, 1);
	else if (lie == INTO_HEAD)
		put_avail(4, 1);
	else if (lie == TRUNCATED)
		put(&(const struct vfio_info_cap_header){ VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1, 0 }, 8);
	else if (lie == TOO_MANY)
		put_ranges(0, UINT32_MAX, windows, 2);
	else if (lie == UNORDERED)
		put_ranges(0, 2, disorder, 2);
	else if (lie == BACKWARDS)
		put_ranges(0, 1, backwards, 1);
	if (lie == TWICE) {
		put_ranges(INFO_BYTES + 48, 2, windows, 2);
		put_ranges(0, 2, windows, 2);
	}
	if (lie == ENDLESS)
		kernel.info_grows = 1;
	if (lie == HUGE)
		kernel.info_grows = UINT32_MAX - 100;
}

START_TEST(lies_are_not_believed)
{
	struct vfmi_container_info info;

	tell_lie((enum lie)_i);
	ck_assert_int_eq(vfmi_container_info(&fake_sys, CONTAINER_FD, &info), -EIO);
	ck_assert_uint_lt(kernel.asked, 10);
}
END_TEST

/* maps */

static int map_at(uint64_t iova, uint64_t length)
{
	struct vfm_map map = {
		.size = sizeof(map),
		.flags = VFM_MAP_READ | VFM_MAP_FIXED,
		.vaddr = (void *)(uintptr_t)(1024 * PAGE),
		.length = length,
		.iova = iova,
	};

	return vfm_iommu_map(iommu, &map, &error);
}

START_TEST(what_was_taken_back_is_counted)
{
	ck_assert_int_eq(map_at(0, 2 * PAGE), 0);
	kernel.says_short = true;
	kernel.unmap_says = PAGE;
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 2 * PAGE, &error), -EIO);
	ck_assert_ptr_nonnull(strstr(error.message, "took back 4096 of 8192"));
	ck_assert_int_eq(map_at(PAGE, PAGE), -EEXIST);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 2 * PAGE, &error), -EIO); /* more was there than was thought */
	kernel.unmap_says = 0; /* nothing is left there: now it is known */
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 2 * PAGE, &error), 0);
	ck_assert_int_eq(map_at(PAGE, PAGE), 0);
	kernel.says_short = false;
}
END_TEST

START_TEST(failures_of_maps_help)
{
	kernel.map_result = -ENOSPC;
	ck_assert_int_eq(map_at(0, PAGE), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(error.message, "dma_entry_limit"));
	kernel.map_result = -EINVAL;
	ck_assert_int_eq(map_at(0xfee00000, PAGE), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "windows"));
}
END_TEST

static uint64_t areas(void)
{
	VFM_OPTS(vfm_iommu_info, info);

	ck_assert_int_eq(vfm_iommu_info(iommu, &info, &error), 0);
	return info.areas;
}

/* The last group of all has left. */
static void take_iommu_away(void)
{
	kernel.no_iommu = true;
	kernel.mapped = 0;
}

START_TEST(the_last_group_takes_the_maps_along)
{
	ck_assert_int_eq(map_at(0, PAGE), 0);
	ck_assert_int_eq(vfmi_iommu_joined(iommu), 0);
	vfmi_iommu_left(iommu);
	ck_assert_uint_eq(areas(), 1); /* another is still there */
	take_iommu_away();
	vfmi_iommu_left(iommu);
	ck_assert_uint_eq(areas(), 0);
	ck_assert_int_eq(map_at(0, PAGE), -EAGAIN);
	ck_assert_int_eq(vfmi_iommu_joined(iommu), 0);
	ck_assert_int_eq(map_at(0, PAGE), 0);
}
END_TEST

START_TEST(what_somebody_else_keeps_is_not_lost)
{
	ck_assert_int_eq(map_at(0, PAGE), 0);
	vfmi_iommu_left(iommu);
	ck_assert_uint_eq(areas(), 1);
	ck_assert_int_eq(map_at(PAGE, PAGE), 0);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), 0);
	ck_assert_uint_eq(kernel.mapped, PAGE);
	/* until that one lets it go, unseen */
	take_iommu_away();
	ck_assert_int_eq(vfmi_iommu_joined(iommu), 0);
	ck_assert(!kernel.no_iommu);
	ck_assert_uint_eq(areas(), 0);
	ck_assert_int_eq(map_at(PAGE, PAGE), 0);
	vfmi_iommu_left(iommu);
	vfm_iommu_close(iommu);
	ck_assert_uint_eq(kernel.mapped, 0); /* what is in the books is unmapped */
	iommu = NULL;
}
END_TEST

START_TEST(what_went_unseen_is_noticed)
{
	ck_assert_int_eq(map_at(0, PAGE), 0);
	ck_assert_int_eq(map_at(PAGE, PAGE), 0);
	vfmi_iommu_left(iommu);
	take_iommu_away();
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), 0);
	ck_assert_int_eq(map_at(0, PAGE), -EAGAIN);
	ck_assert_uint_eq(areas(), 0);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, PAGE, PAGE, &error), -ENOENT);
	/* while a group of ours is in, EINVAL means what it says */
	ck_assert_int_eq(vfmi_iommu_joined(iommu), 0);
	kernel.map_result = -EINVAL;
	ck_assert_int_eq(map_at(0, PAGE), -EINVAL);
}
END_TEST

START_TEST(what_cannot_be_asked_is_not_lost)
{
	ck_assert_int_eq(map_at(0, PAGE), 0);
	kernel.info_grows = 1; /* it never ends */
	vfmi_iommu_left(iommu);
	kernel.info_grows = 0;
	ck_assert_uint_eq(areas(), 1);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), 0);
	ck_assert_uint_eq(kernel.mapped, 0);
}
END_TEST

START_TEST(addresses_are_replaced)
{
	ck_assert_int_eq(map_at(0, PAGE), 0);
	ck_assert_int_eq(vfm_iommu_vaddr_set(iommu, 0, PAGE, (void *)(uintptr_t)PAGE, &error), -EINVAL);
	ck_assert_int_eq(vfm_iommu_vaddr_invalidate(iommu, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, "5.12"));
	kernel.can_update = 1;
	ck_assert_int_eq(vfm_iommu_vaddr_invalidate(iommu, &error), 0);
	ck_assert_uint_eq(kernel.vaddr_flags, VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL);
	ck_assert_int_eq(vfm_iommu_vaddr_set(iommu, PAGE, PAGE, NULL, &error), -ENOENT);
	ck_assert_int_eq(vfm_iommu_vaddr_set(iommu, 0, PAGE, (void *)(uintptr_t)(PAGE + 1), &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "no multiple of the page size"));
	ck_assert_ptr_null(strstr(error.message, "still"));
	ck_assert_int_eq(vfm_iommu_vaddr_invalidate(iommu, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "lost its address already"));
	kernel.map_result = -ENOMEM;
	kernel.memlock = 100;
	ck_assert_int_eq(vfm_iommu_vaddr_set(iommu, 0, PAGE, (void *)(uintptr_t)PAGE, &error), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(error.message, "4096 bytes of maps are to be locked, the limit is 100 bytes"));
	kernel.map_result = 0;
	ck_assert_int_eq(vfm_iommu_vaddr_set(iommu, 0, PAGE, (void *)(uintptr_t)PAGE, &error), 0);
	ck_assert_int_eq(vfm_iommu_change_process(iommu, &error), -EOPNOTSUPP);
}
END_TEST

/* opening */

START_TEST(impostors_and_gaps_are_told)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *other = NULL;

	options.backend = VFM_BACKEND_TYPE1;
	kernel.is_iommufd = true;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &other, &error), -ENODEV);
	ck_assert_ptr_nonnull(strstr(error.message, "compat"));
	kernel.is_iommufd = false;
	kernel.no_type1 = true;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &other, &error), -ENODEV);
	ck_assert_ptr_nonnull(strstr(error.message, "modprobe vfio_iommu_type1"));
	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &other, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.message, "iommufd: /dev/iommu"));
	ck_assert_ptr_nonnull(strstr(error.message, "type1v2: the container has no such kind"));
	kernel.no_type1 = false;
	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &other, &error), 0);
	ck_assert_uint_eq(vfm_iommu_backend(other), VFM_BACKEND_TYPE1V2);
	vfm_iommu_close(other);
	ck_assert_int_eq(kernel.open_fds, 1);
}
END_TEST

/* limits */

#define STATUS(lck, cap) "Name:\tvmm\nVmPeak:\t 9 kB\nVmLck:\t " lck " kB\nVmPin:\t 900 kB\nCapEff:\t" cap "\n"

static const struct {
	const char *status;
	uint64_t memlock;
	uint64_t bytes;
	uint64_t areas;
	int result;
	const char *word;
} asked[] = {
	{ STATUS("100", "0000000000000000"), 200 * 1024, 100 * 1024, 1, 0, "" },
	{ STATUS("100", "0000000000000000"), 200 * 1024, 100 * 1024 + 1, 1, -ENOMEM, "102401 bytes" },
	{ STATUS("100", "0000000000004000"), 200 * 1024, 100 * 1024 + 1, 1, 0, "" },
	{ STATUS("100", "0000000000000000"), UINT64_MAX, UINT64_MAX, 1, 0, "" },
	{ STATUS("18446744073709551615", "0"), 200 * 1024, 1, 1, -ENOMEM, "RLIMIT_MEMLOCK" },
	{ STATUS("0", "0"), UINT64_MAX, 1, 65535, 0, "" },
	{ STATUS("0", "0"), UINT64_MAX, 1, 65536, -ENOSPC, "takes 65535 more" },
	{ "Name:\tx", 10, 11, 1, -ENOMEM, "the limit is 10" },
};

START_TEST(limits_are_looked_at_first)
{
	VFM_OPTS(vfm_limits, limits);

	kernel.status = asked[_i].status;
	kernel.memlock = asked[_i].memlock;
	ck_assert_int_eq(vfm_iommu_preflight(iommu, asked[_i].bytes, asked[_i].areas, &limits, &error),
			 asked[_i].result);
	ck_assert_ptr_nonnull(strstr(error.message, asked[_i].word));
	ck_assert_uint_eq(limits.memlock_needed, asked[_i].bytes);
	ck_assert_uint_eq(limits.entries_left, 65535);
	kernel.status = asked[_i].status;
	ck_assert_int_eq(vfm_iommu_preflight(iommu, asked[_i].bytes, asked[_i].areas, NULL, NULL), asked[_i].result);
}
END_TEST

/* Before the first group, and after the last: whoever asks what there is may be in a jail, whoever plans is not. */
START_TEST(without_iommu_only_preflight_looks_up_the_limit)
{
	VFM_OPTS(vfm_iommu_info, info);
	VFM_OPTS(vfm_limits, limits);

	take_iommu_away();
	vfmi_iommu_left(iommu);
	kernel.entry_limit = "1000\n";
	kernel.paths = 0;
	ck_assert_int_eq(vfm_iommu_info(iommu, &info, &error), 0);
	ck_assert_uint_eq(kernel.paths, 0);
	ck_assert_uint_eq(info.page_sizes, 0);
	ck_assert_uint_eq(info.entries_left, UINT64_MAX);
	ck_assert_int_eq(vfm_iommu_preflight(iommu, 0, 1001, &limits, &error), -ENOSPC);
	ck_assert_uint_eq(limits.entries_left, 1000);
	kernel.entry_limit = NULL;
	ck_assert_int_eq(vfm_iommu_preflight(iommu, 0, 1001, &limits, &error), 0);
	ck_assert_uint_eq(limits.entries_left, UINT64_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu_container");
	TCase *tests = tcase_create("iommu_container");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, answers_are_taken_apart);
	tcase_add_loop_test(tests, lies_are_not_believed, 0, LIES);
	tcase_add_test(tests, what_was_taken_back_is_counted);
	tcase_add_test(tests, failures_of_maps_help);
	tcase_add_test(tests, the_last_group_takes_the_maps_along);
	tcase_add_test(tests, what_somebody_else_keeps_is_not_lost);
	tcase_add_test(tests, what_went_unseen_is_noticed);
	tcase_add_test(tests, what_cannot_be_asked_is_not_lost);
	tcase_add_test(tests, addresses_are_replaced);
	tcase_add_test(tests, impostors_and_gaps_are_told);
	tcase_add_loop_test(tests, limits_are_looked_at_first, 0, (int)VFMI_ARRAY_SIZE(asked));
	tcase_add_test(tests, without_iommu_only_preflight_looks_up_the_limit);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
