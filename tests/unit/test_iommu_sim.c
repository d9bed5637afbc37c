/* SPDX-License-Identifier: MIT */
/* Back ends and groups on simulated kernels that lack things: which is taken and why, who is refused and why. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vfiomig.h>
#include <vfiomig/sim.h>

#include "suite.h"

#define PAGE 4096u

static struct vfm_sim *sim;
static struct vfm_context *ctx;
static struct vfm_error error;
static _Alignas(PAGE) uint8_t memory[4 * PAGE];

static void start(const char *spec)
{
	char message[256] = "";

	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_msg(vfm_sim_open(NULL, spec, &sim, message, sizeof(message)) == 0, "%s: %s", spec, message);
	ck_assert_int_eq(vfm_sim_context(sim, &ctx), 0);
}

static void stop(void)
{
	struct vfm_sim_usage use = { .size = sizeof(use) };

	vfm_sim_usage(sim, &use);
	ck_assert_uint_eq(use.open_fds, 0);
	ck_assert_uint_eq(use.maps, 0);
	ck_assert_uint_eq(use.devices_open, 0);
	ck_assert_msg(use.strict_errors == 0, "%s", vfm_sim_strict_message(sim));
	vfm_context_free(ctx);
	vfm_sim_close(sim);
}

static struct vfm_iommu *open_as(uint32_t backend)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *iommu = NULL;

	options.backend = backend;
	ck_assert_msg(vfm_iommu_open(ctx, &options, &iommu, &error) == 0, "%s", error.message);
	return iommu;
}

static int map_at(struct vfm_iommu *iommu, uint64_t iova)
{
	struct vfm_map map = {
		.size = sizeof(map),
		.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED,
		.vaddr = memory,
		.length = PAGE,
		.iova = iova,
	};

	return vfm_iommu_map(iommu, &map, &error);
}

/* several of one iommufd */

START_TEST(another_address_space_of_the_same_iommufd)
{
	struct vfm_iommu *first, *second = NULL, *container;
	struct vfm_device *one, *other;

	start("edu@0000:01:00.0,dirty=1;edu@0000:02:00.0,dirty=1");
	first = open_as(VFM_BACKEND_IOMMUFD);
	ck_assert_int_eq(vfm_iommu_open_beside(first, VFM_IOMMU_ACCOUNT_PROCESS, &second, &error), -EINVAL);
	ck_assert_int_eq(
		vfm_iommu_open_beside(first, VFM_IOMMU_DIRTY_TRACKING | VFM_IOMMU_SMALL_PAGES, &second, &error), 0);
	ck_assert_uint_ne(vfm_iommu_ioas_id(first), vfm_iommu_ioas_id(second));
	ck_assert_int_ne(vfm_iommu_fd(first), vfm_iommu_fd(second));
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", first, &one, &error), 0);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:02:00.0", second, &other, &error), 0);
	/* one iommufd, whose ids are never given twice */
	ck_assert_uint_ne(vfm_device_id(one), vfm_device_id(other));
	ck_assert_int_eq(map_at(first, PAGE), 0);
	ck_assert_int_eq(map_at(second, PAGE), 0);
	vfm_device_close(one);
	vfm_iommu_close(first);
	ck_assert_int_eq(map_at(second, 2 * PAGE), 0);
	ck_assert_int_eq(vfm_iommu_hwpt(second, 0, &(struct vfm_hwpt){ .size = sizeof(struct vfm_hwpt) }), 0);
	vfm_device_close(other);
	vfm_iommu_close(second);
	container = open_as(VFM_BACKEND_TYPE1V2);
	ck_assert_int_eq(vfm_iommu_open_beside(container, 0, &second, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, "type1v2 is one address space"));
	vfm_iommu_close(container);
	stop();
}
END_TEST

/* which back end */

static const struct {
	const char *spec;
	uint32_t backend;
	const char *reason;
} kernels[] = {
	{ "edu@0000:01:00.0", VFM_BACKEND_IOMMUFD, "" },
	{ "kernel=6.1;edu@0000:01:00.0", VFM_BACKEND_TYPE1V2, "iommufd: /dev/iommu" },
	{ "kernel=6.2;edu@0000:01:00.0", VFM_BACKEND_TYPE1V2, "no files of their own" },
	{ "cdev=0;edu@0000:01:00.0", VFM_BACKEND_TYPE1V2, "no files of their own" },
	{ "containers=0;cdev=0;edu@0000:01:00.0", VFM_BACKEND_COMPAT_TYPE1V2, "type1v2: /dev/vfio/vfio" },
	{ "iommufd=0;edu@0000:01:00.0", VFM_BACKEND_TYPE1V2, "iommufd: /dev/iommu" },
};

START_TEST(the_first_that_works_is_taken)
{
	VFM_OPTS(vfm_iommu_info, info);
	struct vfm_iommu *iommu = NULL;
	struct vfm_device *dev = NULL;

	start(kernels[_i].spec);
	ck_assert_msg(vfm_iommu_open(ctx, NULL, &iommu, &error) == 0, "%s", error.message);
	ck_assert_int_eq(vfm_iommu_info(iommu, &info, &error), 0);
	ck_assert_uint_eq(info.backend, kernels[_i].backend);
	if (kernels[_i].reason[0])
		ck_assert_msg(strstr(info.fallback, kernels[_i].reason), "%s", info.fallback);
	else
		ck_assert_str_eq(info.fallback, "");
	if (kernels[_i].backend == VFM_BACKEND_COMPAT_TYPE1V2)
		goto end; /* such a machine has no groups either */
	ck_assert_msg(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &dev, &error) == 0, "%s", error.message);
	ck_assert_msg(map_at(iommu, 0x10000) == 0, "%s", error.message);
end:
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

START_TEST(none_is_told_with_all_reasons)
{
	struct vfm_iommu *iommu = NULL;

	start("containers=0;iommufd=0;edu@0000:01:00.0");
	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &iommu, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.message, "/dev/iommu"));
	ck_assert_ptr_nonnull(strstr(error.message, "/dev/vfio/vfio"));
	ck_assert_ptr_nonnull(strstr(error.message, "CONFIG_IOMMUFD"));
	stop();
}
END_TEST

START_TEST(what_is_wanted_is_not_replaced)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *iommu = NULL;

	start("iommufd=0;edu@0000:01:00.0");
	options.backend = VFM_BACKEND_COMPAT_TYPE1;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &iommu, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.message, "compat-type1: "));
	options.backend = VFM_BACKEND_UNKNOWN;
	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &iommu, &error), -ENOENT);
	stop();
}
END_TEST

START_TEST(a_device_without_a_file_of_its_own_goes_by_its_group)
{
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu;
	VFM_OPTS(vfm_open, open);

	start("cdev=0;edu@0000:01:00.0");
	ck_assert_int_eq(vfm_device_open(ctx, "0000:01:00.0", &dev, &error), 0);
	ck_assert_int_ge(vfm_device_group_fd(dev), 0);
	ck_assert_int_eq(vfm_device_fd(dev), -1);
	vfm_device_close(dev);
	open.name = "0000:01:00.0";
	open.flags = VFM_OPEN_CDEV;
	ck_assert_int_eq(vfm_device_open_with(ctx, &open, &dev, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, "CONFIG_VFIO_DEVICE_CDEV"));
	iommu = open_as(VFM_BACKEND_IOMMUFD);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &dev, &error), -EOPNOTSUPP);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

/* groups */

START_TEST(devices_of_a_group_share_its_file)
{
	struct vfm_iommu *iommu, *other;
	struct vfm_device *a = NULL, *b = NULL, *c = NULL;
	VFM_OPTS(vfm_open, open);

	start("edu@0000:01:00.0,group=5;edu@0000:02:00.0,group=5");
	iommu = open_as(VFM_BACKEND_TYPE1V2);
	other = open_as(VFM_BACKEND_TYPE1V2);
	ck_assert_msg(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &a, &error) == 0, "%s", error.message);
	ck_assert_msg(vfm_device_open_attached(ctx, "0000:02:00.0", iommu, &b, &error) == 0, "%s", error.message);
	ck_assert_int_eq(vfm_device_group_fd(a), vfm_device_group_fd(b));
	ck_assert_int_eq(map_at(iommu, 0), 0);
	/* the group is in one container only */
	open.name = "0000:02:00.0";
	open.flags = VFM_OPEN_GROUP;
	ck_assert_int_eq(vfm_device_open_with(ctx, &open, &c, &error), 0);
	ck_assert_int_eq(vfm_device_bind(c, other, &error), -EBUSY);
	ck_assert_ptr_nonnull(strstr(error.message, "another container"));
	vfm_device_close(c);
	vfm_device_close(a);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), 0); /* b is there still */
	vfm_device_close(b);
	ck_assert_int_eq(map_at(iommu, 0), -EAGAIN);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", other, &a, &error), 0);
	vfm_device_close(a);
	vfm_iommu_close(other);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

START_TEST(who_blocks_a_group_is_named)
{
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu;

	start("edu@0000:01:00.0,group=5;nvme@0000:00:07.0,group=5");
	iommu = open_as(VFM_BACKEND_TYPE1V2);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &dev, &error), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.message, "group 5"));
	ck_assert_ptr_nonnull(strstr(error.message, "0000:00:07.0 (driver nvme)"));
	ck_assert_ptr_null(dev);
	vfm_iommu_close(iommu);
	/* the other way has no status to look at, and no word of its own for it */
	iommu = open_as(VFM_BACKEND_IOMMUFD);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &dev, &error), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.message, "0000:00:07.0 (driver nvme)"));
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

START_TEST(without_an_iommu_none_is_used)
{
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu;

	start("noiommu=1;edu@0000:01:00.0,iommu=0");
	iommu = open_as(VFM_BACKEND_TYPE1V2);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &dev, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, "no IOMMU"));
	ck_assert_int_eq(vfm_device_open(ctx, "0000:01:00.0", &dev, &error), -EOPNOTSUPP);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

/* limits, page tables */

START_TEST(entries_are_counted_by_the_kernel)
{
	VFM_OPTS(vfm_limits, limits);
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu;

	start("entries=3;edu@0000:01:00.0");
	iommu = open_as(VFM_BACKEND_TYPE1V2);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &dev, &error), 0);
	for (uint64_t i = 0; i < 3; i++)
		ck_assert_int_eq(map_at(iommu, i * PAGE), 0);
	ck_assert_int_eq(map_at(iommu, 3 * PAGE), -ENOSPC);
	ck_assert_int_eq(vfm_iommu_preflight(iommu, PAGE, 1, &limits, &error), -ENOSPC);
	ck_assert_uint_eq(limits.entries_left, 0);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, PAGE, &error), 0);
	ck_assert_int_eq(vfm_iommu_preflight(iommu, PAGE, 1, &limits, &error), 0);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

START_TEST(one_page_table_for_those_that_track)
{
	VFM_OPTS(vfm_iommu_options, options);
	VFM_OPTS(vfm_iommu_info, info);
	VFM_OPTS(vfm_hwpt, hwpt);
	struct vfm_device *a = NULL, *b = NULL, *c = NULL;
	struct vfm_iommu *iommu = NULL;

	start("edu@0000:01:00.0,dirty=1;edu@0000:02:00.0,dirty=1;edu@0000:03:00.0");
	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &iommu, &error), 0);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &a, &error), 0);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:02:00.0", iommu, &b, &error), 0);
	ck_assert_uint_eq(vfm_device_pt_id(a), vfm_device_pt_id(b));
	ck_assert_int_eq(vfm_iommu_hwpt(iommu, 0, &hwpt), 0);
	ck_assert_uint_eq(hwpt.devices, 2);
	ck_assert_uint_eq(hwpt.id, vfm_device_pt_id(a));
	ck_assert_int_eq(vfm_iommu_info(iommu, &info, &error), 0);
	ck_assert_uint_eq(info.flags, VFM_IOMMU_DIRTY_TRACKING);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:03:00.0", iommu, &c, &error), 0);
	ck_assert_uint_ne(vfm_device_pt_id(c), hwpt.id);
	ck_assert_int_eq(vfm_iommu_info(iommu, &info, &error), 0);
	ck_assert_uint_eq(info.flags, 0);
	ck_assert_int_eq(map_at(iommu, 0x1000), 0);
	ck_assert_int_eq(vfm_device_detach(a, &error), 0);
	vfm_device_close(b);
	ck_assert_int_eq(vfm_iommu_hwpt(iommu, 0, &hwpt), 0);
	ck_assert_uint_eq(hwpt.devices, 0);
	vfm_device_close(c);
	ck_assert_int_eq(vfm_device_attach(a, &error), 0);
	ck_assert_uint_eq(vfm_device_pt_id(a), hwpt.id);
	vfm_device_close(a);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

/* The lowest and the highest address that can be used, and in how many windows. */
static struct vfm_iova_range reach(struct vfm_iommu *iommu, size_t *ret_windows, uint64_t *ret_align)
{
	struct vfm_iova_range ranges[16];

	ck_assert_msg(vfm_iommu_ranges(iommu, ranges, 16, ret_windows, ret_align, &error) == 0, "%s", error.message);
	ck_assert_uint_gt(*ret_windows, 0);
	return (struct vfm_iova_range){ ranges[0].first, ranges[*ret_windows - 1].last };
}

/* A page table that the library made for dirty tracking keeps what it reaches to; others go with the last device. */
START_TEST(the_aperture_stays_with_a_page_table_of_ours)
{
	const bool tracking = _i & 1, detaches = _i & 2;
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iova_range before, with, after;
	size_t before_windows, with_windows, windows;
	struct vfm_device *a = NULL, *b = NULL;
	struct vfm_iommu *iommu = NULL;
	uint64_t align;

	start("edu@0000:01:00.0,dirty=1;edu@0000:02:00.0,dirty=1");
	options.backend = VFM_BACKEND_IOMMUFD;
	options.flags = tracking ? VFM_IOMMU_DIRTY_TRACKING : 0;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &iommu, &error), 0);
	before = reach(iommu, &before_windows, &align);
	ck_assert_uint_eq(before.last, UINT64_MAX);
	ck_assert_uint_eq(align, 1);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &a, &error), 0);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:02:00.0", iommu, &b, &error), 0);
	with = reach(iommu, &with_windows, &align);
	ck_assert_uint_lt(with.last, before.last);
	ck_assert_uint_eq(align, PAGE);
	vfm_device_close(a);
	ck_assert_uint_eq(reach(iommu, &windows, &align).last, with.last); /* one is there still */
	ck_assert_uint_eq(windows, with_windows);
	if (detaches)
		ck_assert_int_eq(vfm_device_detach(b, &error), 0);
	else
		vfm_device_close(b);
	after = reach(iommu, &windows, &align);
	ck_assert_uint_eq(after.first, before.first);
	ck_assert_uint_eq(after.last, tracking ? with.last : before.last);
	ck_assert_uint_eq(align, tracking ? PAGE : 1);
	ck_assert_uint_eq(windows, before_windows); /* what devices reserved, for interrupts, is free again */
	ck_assert_int_eq(map_at(iommu, UINT64_C(1) << 40), tracking ? -EINVAL : 0);
	if (detaches)
		vfm_device_close(b);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

/* What was mapped before is looked at when the first device comes: the device is not to blame. */
static int map_whole_file(struct vfm_iommu *iommu, int fd, uint32_t flags)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_FIXED | flags, .fd = fd };

	map.length = sizeof(memory);
	map.vaddr = flags & VFM_MAP_FILE ? NULL : memory;
	return vfm_iommu_map(iommu, &map, &error);
}

static void refused(struct vfm_iommu *iommu, int result, const char *word)
{
	struct vfm_device *dev = NULL;

	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &dev, &error), result);
	ck_assert_msg(strstr(error.message, word) != NULL, "%s", error.message);
}

START_TEST(maps_that_an_attach_stumbles_over_are_told)
{
	struct vfm_limits limits = { .size = sizeof(limits) };
	struct vfm_iommu *iommu;
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	start("kernel=6.13,memlock=12k;edu@0000:01:00.0");
	iommu = open_as(VFM_BACKEND_IOMMUFD);
	ck_assert_int_eq(map_whole_file(iommu, fd, VFM_MAP_FILE), 0);
	refused(iommu, -EINVAL, "a map is of a file that the kernel does not pin");
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, sizeof(memory), &error), 0);
	close(fd);
	ck_assert_int_eq(vfm_iommu_preflight(iommu, sizeof(memory), 1, &limits, &error), -ENOMEM);
	ck_assert_int_eq(map_whole_file(iommu, -1, 0), 0);
	refused(iommu, -ENOMEM, "16384 bytes of maps are to be locked, the limit is 12288 bytes");
	ck_assert_int_eq(vfm_iommu_preflight(iommu, 0, 0, &limits, &error), -ENOMEM);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, sizeof(memory), &error), 0);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

/* Who joins might need memory pinned at addresses that there are not. */
START_TEST(nobody_joins_while_addresses_are_invalid)
{
	struct vfm_device *first, *second = NULL;
	struct vfm_iommu *iommu;

	start("edu@0000:01:00.0;edu@0000:02:00.0");
	iommu = open_as(VFM_BACKEND_TYPE1V2);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &first, &error), 0);
	ck_assert_int_eq(map_at(iommu, 0), 0);
	ck_assert_int_eq(vfm_iommu_vaddr_invalidate(iommu, &error), 0);
	ck_assert_int_eq(vfm_iommu_vaddr_invalidate(iommu, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:02:00.0", iommu, &second, &error), -EBUSY);
	ck_assert_msg(strstr(error.message, "vfm_iommu_vaddr_invalidate") != NULL, "%s", error.message);
	ck_assert_int_eq(vfm_iommu_vaddr_set(iommu, 0, PAGE, memory, &error), 0);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:02:00.0", iommu, &second, &error), 0);
	vfm_device_close(second);
	vfm_device_close(first);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

START_TEST(a_file_that_is_not_pinned_goes_by_address)
{
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

	start("kernel=6.14;edu@0000:01:00.0");
	iommu = open_as(VFM_BACKEND_IOMMUFD);
	ck_assert_int_eq(map_whole_file(iommu, fd, VFM_MAP_FILE), 0);
	ck_assert_int_eq(vfm_device_open_attached(ctx, "0000:01:00.0", iommu, &dev, &error), 0);
	ck_assert_int_eq(vfm_iommu_change_process(iommu, &error), -EINVAL);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, sizeof(memory), &error), 0);
	ck_assert_int_eq(map_whole_file(iommu, fd, VFM_MAP_FILE), 0);
	close(fd);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu_sim");
	TCase *tests = tcase_create("iommu_sim");

	tcase_add_loop_test(tests, the_first_that_works_is_taken, 0, (int)(sizeof(kernels) / sizeof(kernels[0])));
	tcase_add_test(tests, another_address_space_of_the_same_iommufd);
	tcase_add_test(tests, none_is_told_with_all_reasons);
	tcase_add_test(tests, what_is_wanted_is_not_replaced);
	tcase_add_test(tests, a_device_without_a_file_of_its_own_goes_by_its_group);
	tcase_add_test(tests, devices_of_a_group_share_its_file);
	tcase_add_test(tests, who_blocks_a_group_is_named);
	tcase_add_test(tests, without_an_iommu_none_is_used);
	tcase_add_test(tests, entries_are_counted_by_the_kernel);
	tcase_add_test(tests, one_page_table_for_those_that_track);
	tcase_add_loop_test(tests, the_aperture_stays_with_a_page_table_of_ours, 0, 4);
	tcase_add_test(tests, maps_that_an_attach_stumbles_over_are_told);
	tcase_add_test(tests, a_file_that_is_not_pinned_goes_by_address);
	tcase_add_test(tests, nobody_joins_while_addresses_are_invalid);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
