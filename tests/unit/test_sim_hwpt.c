/* SPDX-License-Identifier: MIT */
/* The simulated machine's iommufd beyond plain maps: page tables, options, copies, files, and what came with which
 * kernel. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "sim_raw.h"

#define PAGE 4096u
#define SIBLING "0000:04:00.0" /* of EDU_B */
#define TRACKS 0u	       /* cdevs */
#define PLAIN 1u
#define MTTY 2u
#define BESIDE 3u
#define DEVICES                                                                                                        \
	"edu@" EDU_A ",state=64k,dirty=1,pasid=4;edu@" EDU_B ",state=64k;mtty@" MTTY_A ";edu@" SIBLING                 \
	",state=64k,group=2"
#define NEWEST "kernel=7.1;" DEVICES
#define APERTURE_LAST ((1ull << 39) - 1)
#define RW (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)
#define FIXED (IOMMU_IOAS_MAP_FIXED_IOVA | RW)

static struct raw m;

static void start(void)
{
	raw_start(&m, NULL, DEVICES);
}

static void start_newest(void)
{
	raw_start(&m, NULL, NEWEST);
}

static uint8_t *memory(size_t length)
{
	uint8_t *ptr = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(ptr, MAP_FAILED);
	return ptr;
}

/* Open and bound; its id to *ret_id. */
static int bound(uint32_t cdev, uint32_t *ret_id)
{
	struct vfio_device_bind_iommufd bind = { .argsz = 16, .iommufd = m.iommufd };
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", cdev);
	fd = raw_open(&m, path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	*ret_id = bind.out_devid;
	return fd;
}

static int hwpt_alloc(uint32_t dev_id, uint32_t pt_id, uint32_t flags, uint32_t *ret_id)
{
	struct iommu_hwpt_alloc cmd = { .size = sizeof(cmd), .flags = flags, .dev_id = dev_id, .pt_id = pt_id };
	int r = raw_ioctl(&m, m.iommufd, IOMMU_HWPT_ALLOC, &cmd);

	if (ret_id)
		*ret_id = cmd.out_hwpt_id;
	return r;
}

static int attach(int fd, uint32_t pt_id)
{
	return raw_attach(&m, fd, &pt_id);
}

static int attach_pasid(int fd, uint32_t pasid, uint32_t pt_id)
{
	struct vfio_device_attach_iommufd_pt cmd = {
		.argsz = sizeof(cmd), .flags = VFIO_DEVICE_ATTACH_PASID, .pt_id = pt_id, .pasid = pasid
	};

	return raw_ioctl(&m, fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd);
}

static int detach(int fd)
{
	struct vfio_device_detach_iommufd_pt cmd = { .argsz = 8 };

	return raw_ioctl(&m, fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd);
}

static int destroy(uint32_t id)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

	return raw_ioctl(&m, m.iommufd, IOMMU_DESTROY, &cmd);
}

static uint32_t new_ioas(void)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_ALLOC, &cmd), 0);
	return cmd.out_ioas_id;
}

static int map_in(uint32_t ioas, uint32_t flags, const void *vaddr, uint64_t length, uint64_t *iova)
{
	struct iommu_ioas_map cmd = { .size = sizeof(cmd),
				      .flags = flags,
				      .ioas_id = ioas,
				      .user_va = (uintptr_t)vaddr,
				      .length = length,
				      .iova = *iova };
	int r = raw_ioctl(&m, m.iommufd, IOMMU_IOAS_MAP, &cmd);

	*iova = cmd.iova;
	return r;
}

static int map(const void *vaddr, uint64_t length, uint64_t iova)
{
	return map_in(m.ioas, FIXED, vaddr, length, &iova);
}

static int unmap_in(uint32_t ioas, uint64_t iova, uint64_t length)
{
	struct iommu_ioas_unmap cmd = { .size = sizeof(cmd), .ioas_id = ioas, .iova = iova, .length = length };

	return raw_ioctl(&m, m.iommufd, IOMMU_IOAS_UNMAP, &cmd);
}

/* The end of the last window, and how many there are. */
static uint64_t windows(uint32_t *ret_count, uint64_t *ret_align)
{
	struct iommu_iova_range list[4];
	struct iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd), .ioas_id = m.ioas, .num_iovas = 4, .allowed_iovas = (uintptr_t)list
	};

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_IOVA_RANGES, &cmd), 0);
	*ret_count = cmd.num_iovas;
	*ret_align = cmd.out_iova_alignment;
	return list[cmd.num_iovas - 1].last;
}

/* page tables */

START_TEST(alloc_rules)
{
	uint32_t tracks, plain, mtty, hwpt, missing = 99;
	int a = bound(TRACKS, &tracks), b = bound(PLAIN, &plain), c = bound(MTTY, &mtty);
	struct iommu_hwpt_alloc odd = { .size = sizeof(odd), .dev_id = tracks, .pt_id = m.ioas };

	ck_assert_int_eq(hwpt_alloc(tracks, m.ioas, 0, &hwpt), 0);
	{
		const struct {
			uint32_t dev, pt, flags;
			int result;
		} rows[] = {
			{ missing, m.ioas, 0, -ENOENT },
			{ mtty, m.ioas, 0, -ENOENT },
			{ m.ioas, m.ioas, 0, -ENOENT },
			{ tracks, missing, 0, -EINVAL },
			{ tracks, tracks, 0, -EINVAL },
			{ tracks, hwpt, 0, -EOPNOTSUPP },
			{ tracks, m.ioas, 1, -EOPNOTSUPP },
			{ tracks, m.ioas, 16, -EOPNOTSUPP },
			{ tracks, m.ioas, IOMMU_HWPT_ALLOC_PASID, -EOPNOTSUPP },
			{ plain, m.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, -EOPNOTSUPP },
			{ plain, m.ioas, 0, 0 },
			{ tracks, m.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0 },
		};

		for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++)
			ck_assert_msg(hwpt_alloc(rows[i].dev, rows[i].pt, rows[i].flags, NULL) == rows[i].result,
				      "row %zu", i);
	}
	odd.reserved = 1;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_ALLOC, &odd), -EOPNOTSUPP);
	odd.reserved = 0;
	odd.data_len = 8;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_ALLOC, &odd), -EINVAL);
	odd.data_len = 0;
	odd.size = 23;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_ALLOC, &odd), -EINVAL);
	odd.size = 24;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_ALLOC, &odd), 0);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_close(&m, c);
	raw_stop(&m, 2);
}
END_TEST

START_TEST(hardware_is_described)
{
	uint8_t data[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	uint32_t tracks, plain, mtty;
	int a = bound(TRACKS, &tracks), b = bound(PLAIN, &plain), c = bound(MTTY, &mtty);
	struct iommu_hw_info info = {
		.size = sizeof(info), .dev_id = tracks, .data_len = sizeof(data), .data_uptr = (uintptr_t)data
	};

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_GET_HW_INFO, &info), 0);
	ck_assert_uint_eq(info.out_capabilities, IOMMU_HW_CAP_DIRTY_TRACKING);
	ck_assert_uint_eq(info.data_len, 0);
	ck_assert_uint_eq(data[0] | data[7], 0);
	info.dev_id = plain;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_GET_HW_INFO, &info), 0);
	ck_assert_uint_eq(info.out_capabilities, 0);
	info.dev_id = mtty;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_GET_HW_INFO, &info), -ENOENT);
	info.flags = 2;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_GET_HW_INFO, &info), -EOPNOTSUPP);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_close(&m, c);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(attaching_by_hand)
{
	uint32_t tracks, plain, mtty, dirty, common, other;
	int a = bound(TRACKS, &tracks), b = bound(PLAIN, &plain), c = bound(MTTY, &mtty);
	uint32_t ioas = new_ioas(), pt_id;

	ck_assert_int_eq(hwpt_alloc(tracks, m.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &dirty), 0);
	ck_assert_int_eq(hwpt_alloc(plain, m.ioas, 0, &common), 0);
	ck_assert_int_eq(hwpt_alloc(plain, ioas, 0, &other), 0);
	ck_assert_int_eq(attach(c, common), -ENOENT);
	ck_assert_int_eq(attach(b, dirty), -EINVAL);
	ck_assert_int_eq(attach(a, dirty), 0);
	ck_assert_int_eq(attach(a, dirty), 0);
	ck_assert_int_eq(attach(b, common), 0);
	/* What is used is busy, in whatever way. */
	ck_assert_int_eq(destroy(dirty), -EBUSY);
	ck_assert_int_eq(destroy(m.ioas), -EBUSY);
	ck_assert_int_eq(destroy(ioas), -EBUSY);
	ck_assert_int_eq(destroy(tracks), -EBUSY);
	/* Replaced in one step: by hand, by an IOAS, by another IOAS. */
	ck_assert_int_eq(attach(a, common), 0);
	ck_assert_int_eq(destroy(dirty), 0);
	pt_id = m.ioas;
	ck_assert_int_eq(raw_attach(&m, a, &pt_id), 0);
	ck_assert_uint_ne(pt_id, m.ioas);
	ck_assert_uint_ne(pt_id, common);
	ck_assert_int_eq(attach(b, pt_id), 0);
	ck_assert_int_eq(detach(a), 0);
	ck_assert_int_eq(destroy(pt_id), -EBUSY);
	ck_assert_int_eq(attach(b, other), 0);
	ck_assert_int_eq(destroy(pt_id), -ENOENT);
	ck_assert_int_eq(destroy(common), 0);
	ck_assert_int_eq(destroy(m.ioas), 0);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_close(&m, c);
	ck_assert_int_eq(destroy(other), 0);
	ck_assert_int_eq(destroy(ioas), 0);
	raw_stop(&m, 2);
}
END_TEST

START_TEST(a_group_has_one_page_table)
{
	uint32_t first, second, one, two;
	int a = bound(PLAIN, &first), b = bound(BESIDE, &second);

	ck_assert_int_eq(hwpt_alloc(first, m.ioas, 0, &one), 0);
	ck_assert_int_eq(hwpt_alloc(second, m.ioas, 0, &two), 0);
	ck_assert_int_eq(attach(a, one), 0);
	ck_assert_int_eq(attach(b, two), -EINVAL);
	ck_assert_int_eq(attach(b, m.ioas), -EINVAL);
	ck_assert_int_eq(attach(b, one), 0);
	/* Replacing takes the other along. */
	ck_assert_int_eq(attach(b, two), 0);
	ck_assert_int_eq(destroy(one), 0);
	ck_assert_int_eq(detach(b), 0);
	ck_assert_int_eq(destroy(two), -EBUSY);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(what_is_made_by_hand_narrows_until_it_is_destroyed)
{
	uint32_t id, hwpt, count;
	uint64_t align;
	int fd = bound(TRACKS, &id);
	uint8_t *ptr = memory(PAGE);

	ck_assert_uint_eq(windows(&count, &align), UINT64_MAX);
	ck_assert_uint_eq(align, 1);
	ck_assert_int_eq(map(ptr, PAGE, 1ull << 40), 0);
	ck_assert_int_eq(hwpt_alloc(id, m.ioas, 0, &hwpt), -EADDRINUSE);
	ck_assert_int_eq(unmap_in(m.ioas, 1ull << 40, PAGE), 0);
	ck_assert_int_eq(map(ptr, 100, 0x1000), 0);
	ck_assert_int_eq(hwpt_alloc(id, m.ioas, 0, &hwpt), -EADDRINUSE);
	ck_assert_int_eq(unmap_in(m.ioas, 0x1000, 100), 0);
	/* In the window of message interrupts, which only an attach takes away. */
	ck_assert_int_eq(map(ptr, PAGE, 0xfee00000), 0);
	ck_assert_int_eq(hwpt_alloc(id, m.ioas, 0, &hwpt), 0);
	ck_assert_int_eq(attach(fd, hwpt), -EADDRINUSE);
	ck_assert_int_eq(unmap_in(m.ioas, 0xfee00000, PAGE), 0);
	ck_assert_int_eq(map(NULL, PAGE, 0), -EFAULT);
	ck_assert_int_eq(attach(fd, hwpt), 0);
	ck_assert_uint_eq(windows(&count, &align), APERTURE_LAST);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(detach(fd), 0);
	ck_assert_uint_eq(windows(&count, &align), APERTURE_LAST);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(align, PAGE);
	ck_assert_int_eq(destroy(hwpt), 0);
	ck_assert_uint_eq(windows(&count, &align), UINT64_MAX);
	ck_assert_uint_eq(align, 1);
	raw_close(&m, fd);
	munmap(ptr, PAGE);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(tracking_rules)
{
	uint32_t id, dirty, common, automatic = m.ioas;
	int fd = bound(TRACKS, &id);
	struct iommu_hwpt_set_dirty_tracking set = { .size = sizeof(set), .flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE };
	struct iommu_hwpt_get_dirty_bitmap get = { .size = sizeof(get) };
	uint64_t bits[8] = { 0 };
	static const struct {
		uint64_t iova, length, page_size;
		int result;
	} rows[] = {
		{ 0, PAGE, PAGE, 0 },
		{ 0, 8 * PAGE, 4 * PAGE, 0 },
		{ 0, 0, PAGE, -EINVAL },
		{ 0, PAGE, 0, -EINVAL },
		{ 1, PAGE, PAGE, -EINVAL },
		{ 0, PAGE + 1, PAGE, -EINVAL },
		{ PAGE, 2 * PAGE, 2 * PAGE, -EINVAL },
		{ UINT64_MAX - PAGE + 1, 2 * PAGE, PAGE, -EOVERFLOW },
	};

	ck_assert_int_eq(hwpt_alloc(id, m.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &dirty), 0);
	ck_assert_int_eq(hwpt_alloc(id, m.ioas, 0, &common), 0);
	ck_assert_int_eq(raw_attach(&m, fd, &automatic), 0);
	set.hwpt_id = common;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set), -EOPNOTSUPP);
	set.hwpt_id = automatic;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set), -EOPNOTSUPP);
	set.hwpt_id = 99;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set), -ENOENT);
	set.hwpt_id = dirty;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set), 0);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set), 0);
	set.flags = 2;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set), -EOPNOTSUPP);
	get.hwpt_id = dirty;
	get.data = (uintptr_t)bits;
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++) {
		get.iova = rows[i].iova;
		get.length = rows[i].length;
		get.page_size = rows[i].page_size;
		ck_assert_msg(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get) == rows[i].result, "row %zu",
			      i);
	}
	get.flags = 2;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get), -EOPNOTSUPP);
	raw_close(&m, fd);
	raw_stop(&m, 1);
}
END_TEST

/* Nothing less one is the last address there is. */
START_TEST(tracking_of_no_length)
{
	uint32_t id, hwpt;
	int fd = bound(TRACKS, &id);
	uint64_t bits[8] = { 0 };
	struct iommu_hwpt_get_dirty_bitmap get = { .size = sizeof(get), .page_size = PAGE, .data = (uintptr_t)bits };

	ck_assert_int_eq(hwpt_alloc(id, m.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt), 0);
	get.hwpt_id = hwpt;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get), 0);
	get.iova = PAGE;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get), -EOVERFLOW);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* address spaces */

static int allow(struct iommu_iova_range *list, uint32_t count)
{
	struct iommu_ioas_allow_iovas cmd = {
		.size = sizeof(cmd), .ioas_id = m.ioas, .num_iovas = count, .allowed_iovas = (uintptr_t)list
	};

	return raw_ioctl(&m, m.iommufd, IOMMU_IOAS_ALLOW_IOVAS, &cmd);
}

START_TEST(allowed_windows)
{
	struct iommu_iova_range list[2] = { { 0x100000, 0x1fffff }, { 0x800000, 0xffffff } };
	uint8_t *ptr = memory(PAGE);
	uint64_t iova = 0;
	uint32_t id;
	int fd = bound(TRACKS, &id);

	ck_assert_int_eq(allow(list, 2), 0);
	ck_assert_int_eq(map_in(m.ioas, RW, ptr, PAGE, &iova), 0);
	ck_assert_uint_eq(iova, 0x100000);
	/* Only what is placed keeps to them. */
	ck_assert_int_eq(map(ptr, PAGE, 0x10000), 0);
	list[1].start = 0x1fffff;
	ck_assert_int_eq(allow(list, 2), -EINVAL);
	list[1].start = list[1].last;
	ck_assert_int_eq(allow(list, 2), -EINVAL);
	list[1] = (struct iommu_iova_range){ 0xfee00000, 0xfeffffff };
	ck_assert_int_eq(allow(list, 2), 0);
	ck_assert_int_eq(attach(fd, m.ioas), -EADDRINUSE);
	ck_assert_int_eq(allow(NULL, 0), 0);
	ck_assert_int_eq(attach(fd, m.ioas), 0);
	ck_assert_int_eq(allow(list, 2), -EADDRINUSE);
	raw_close(&m, fd);
	munmap(ptr, PAGE);
	raw_stop(&m, 1);
}
END_TEST

static int option(uint32_t id, uint16_t op, uint32_t object, uint64_t *value)
{
	struct iommu_option cmd = {
		.size = sizeof(cmd), .option_id = id, .op = op, .object_id = object, .val64 = *value
	};
	int r = raw_ioctl(&m, m.iommufd, IOMMU_OPTION, &cmd);

	*value = cmd.val64;
	return r;
}

START_TEST(options)
{
	uint8_t *ptr = memory(PAGE);
	uint64_t value = 1, align;
	uint32_t id, count;
	int fd = bound(TRACKS, &id);

	ck_assert_int_eq(option(IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value), -EBUSY);
	ck_assert_int_eq(option(IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 0, &value), 0);
	ck_assert_uint_eq(value, 0);
	ck_assert_int_eq(option(IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 1, &value), -EOPNOTSUPP);
	ck_assert_int_eq(option(2, IOMMU_OPTION_OP_GET, 0, &value), -EOPNOTSUPP);
	ck_assert_int_eq(option(IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, m.ioas, &value), 0);
	ck_assert_uint_eq(value, 1);
	ck_assert_int_eq(option(IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, 77, &value), -ENOENT);
	value = 2;
	ck_assert_int_eq(option(IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, m.ioas, &value), -EINVAL);
	/* With page tables full of large pages it is too late, and with areas that are no whole pages. */
	value = 0;
	ck_assert_int_eq(map(ptr, 100, 0), 0);
	ck_assert_int_eq(option(IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, m.ioas, &value), -EADDRINUSE);
	ck_assert_int_eq(unmap_in(m.ioas, 0, 100), 0);
	ck_assert_int_eq(map(ptr, PAGE, 0), 0);
	ck_assert_int_eq(attach(fd, m.ioas), 0);
	ck_assert_int_eq(option(IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, m.ioas, &value), -EINVAL);
	ck_assert_int_eq(detach(fd), 0);
	ck_assert_int_eq(option(IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, m.ioas, &value), 0);
	windows(&count, &align);
	ck_assert_uint_eq(align, PAGE);
	raw_close(&m, fd);
	munmap(ptr, PAGE);
	raw_stop(&m, 2);
}
END_TEST

START_TEST(accounting_is_chosen_first)
{
	uint64_t value = 1;

	raw_attach_to(&m, NULL, DEVICES);
	m.iommufd = raw_open(&m, "/dev/iommu");
	ck_assert_int_eq(option(IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value), 0);
	value = 0;
	ck_assert_int_eq(option(IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 0, &value), 0);
	ck_assert_uint_eq(value, 1);
	value = 2;
	ck_assert_int_eq(option(IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value), -EINVAL);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(copy_rules)
{
	uint32_t id, ioas = new_ioas();
	int fd = bound(TRACKS, &id);
	uint8_t *ptr = memory(4 * PAGE);
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy), .flags = FIXED, .dst_ioas_id = ioas, .src_ioas_id = m.ioas, .dst_iova = 0x800000
	};
	uint64_t iova = 0x10000;
	static const struct {
		uint64_t iova, length;
		uint32_t flags;
		int result;
	} rows[] = {
		{ 0x10000, 0, FIXED, -EINVAL },
		{ 0x10000, PAGE, 0, -EINVAL },
		{ 0x10000, PAGE, FIXED | 8, -EOPNOTSUPP },
		{ 0x10000, UINT64_MAX, FIXED, -EOVERFLOW },
		{ 0xf000, 2 * PAGE, FIXED, -ENOENT },
		{ 0x10000, 5 * PAGE, FIXED & ~IOMMU_IOAS_MAP_WRITEABLE, -ENOENT },
		{ 0x10000, 4 * PAGE, FIXED, -EPERM },
		{ 0x11000, 2 * PAGE, FIXED & ~IOMMU_IOAS_MAP_WRITEABLE, 0 },
	};

	ck_assert_int_eq(map_in(m.ioas, FIXED, ptr, 2 * PAGE, &iova), 0);
	iova = 0x12000;
	ck_assert_int_eq(map_in(m.ioas, FIXED & ~IOMMU_IOAS_MAP_WRITEABLE, ptr + 2 * PAGE, 2 * PAGE, &iova), 0);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++) {
		copy.src_iova = rows[i].iova;
		copy.length = rows[i].length;
		copy.flags = rows[i].flags;
		ck_assert_msg(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_COPY, &copy) == rows[i].result, "row %zu", i);
	}
	/* What was copied stays when the original goes. */
	ck_assert_int_eq(destroy(m.ioas), 0);
	memset(ptr + PAGE, 0x66, 16);
	iova = 0x900000;
	ck_assert_int_eq(map_in(ioas, FIXED, ptr, PAGE, &iova), 0);
	ck_assert_int_eq(attach(fd, ioas), 0);
	raw_pump(&m, fd, 0x800000, 0x900000, 16);
	ck_assert_mem_eq(ptr, ptr + PAGE, 16);
	raw_close(&m, fd);
	munmap(ptr, 4 * PAGE);
	raw_stop(&m, 2);
}
END_TEST

/* what came later */

START_TEST(an_older_kernel_lacks_it)
{
	struct iommu_ioas_map_file file = { .size = sizeof(file), .flags = FIXED, .ioas_id = m.ioas, .length = PAGE };
	struct iommu_ioas_change_process change = { .size = sizeof(change) };
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .flags = VFIO_DEVICE_BIND_FLAG_TOKEN };
	struct utsname name;
	uint32_t id, hwpt;
	int fd = bound(TRACKS, &id), other = raw_open(&m, "/dev/vfio/devices/vfio1");

	bind.iommufd = m.iommufd;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_MAP_FILE, &file), -ENOTTY);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), -ENOTTY);
	ck_assert_int_eq(raw_ioctl(&m, other, VFIO_DEVICE_BIND_IOMMUFD, &bind), -EINVAL);
	ck_assert_int_eq(hwpt_alloc(id, m.ioas, IOMMU_HWPT_ALLOC_PASID, &hwpt), -EOPNOTSUPP);
	ck_assert_int_eq(attach_pasid(fd, 1, m.ioas), -EINVAL);
	ck_assert_int_ge(m.sys->ops->uname(m.sys, &name), 0);
	ck_assert_int_eq(strncmp(name.release, "6.12.", 5), 0);
	raw_close(&m, other);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(versions_bring_what_they_brought)
{
	static const struct {
		const char *spec, *release;
		bool iommufd, cdev;
	} rows[] = {
		{ "kernel=6.1;edu", "6.1.", false, false },
		{ "kernel=6.5;edu", "6.5.", true, false },
		{ "kernel=6.6;edu", "6.6.", true, true },
		{ "kernel=6.12,cdev=0;edu", "6.12.", true, false },
		{ "kernel=7.1,iommufd=0;edu", "7.1.", false, false },
	};
	struct utsname name;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++) {
		int fd;

		raw_attach_to(&m, NULL, rows[i].spec);
		ck_assert_int_ge(m.sys->ops->uname(m.sys, &name), 0);
		ck_assert_msg(!strncmp(name.release, rows[i].release, strlen(rows[i].release)), "%s", name.release);
		fd = raw_open(&m, "/dev/iommu");
		ck_assert_int_eq(fd >= 0, rows[i].iommufd);
		if (fd >= 0)
			raw_close(&m, fd);
		fd = raw_open(&m, "/dev/vfio/devices/vfio0");
		ck_assert_int_eq(fd >= 0, rows[i].cdev);
		if (fd >= 0)
			raw_close(&m, fd);
		raw_detach_from(&m);
	}
}
END_TEST

START_TEST(files_are_mapped_without_an_address)
{
	int file = memfd_create("ram", MFD_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC),
	    fd = raw_device(&m, 0);
	uint8_t bytes[16] = { 1, 2, 3, 4 }, back[16];

	ck_assert_int_eq(ftruncate(file, 4 * PAGE), 0);
	ck_assert_int_eq(pwrite(file, bytes, 16, PAGE), 16);
	ck_assert_int_eq(raw_map_file(&m, -1, 0, PAGE, 0), -EBADF);
	ck_assert_int_eq(raw_map_file(&m, null, 0, PAGE, 0), -EINVAL);
	ck_assert_int_eq(raw_map_file(&m, file, 1, PAGE, 0), -EINVAL);
	ck_assert_int_eq(raw_map_file(&m, file, 0, 0, 0), -EINVAL);
	ck_assert_int_eq(raw_map_file(&m, file, PAGE, 3 * PAGE, 0x100000), 0);
	ck_assert_int_eq(raw_map_file(&m, file, 0, PAGE, 0x101000), -EEXIST);
	raw_pump(&m, fd, 0x100000, 0x102000, 16);
	ck_assert_int_eq(pread(file, back, 16, 3 * PAGE), 16);
	ck_assert_mem_eq(back, bytes, 16);
	/* The file may be closed. */
	close(file);
	raw_pump(&m, fd, 0x100000, 0x101000, 16);
	ck_assert_int_eq(unmap_in(m.ioas, 0x100000, 3 * PAGE), 0);
	close(null);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

static int take_over(int file)
{
	struct iommu_ioas_change_process change = { .size = sizeof(change) };

	(void)file; /* known by being open here */
	return raw_ioctl(&m, m.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change) ? 1 : 0;
}

START_TEST(another_process_takes_over)
{
	struct iommu_ioas_change_process change = { .size = sizeof(change) };
	int file = memfd_create("ram", MFD_CLOEXEC), fd = raw_device(&m, 0), state;
	uint8_t *ptr = memory(PAGE);
	pid_t pid;

	ck_assert_int_eq(ftruncate(file, 2 * PAGE), 0);
	ck_assert_int_eq(raw_map_file(&m, file, 0, 2 * PAGE, 0x100000), 0);
	ck_assert_int_eq(map(ptr, PAGE, 0x200000), 0);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), -EINVAL);
	ck_assert_int_eq(unmap_in(m.ioas, 0x200000, PAGE), 0);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), 0);
	pid = fork();
	if (!pid)
		_exit(take_over(file));
	ck_assert_int_eq(waitpid(pid, &state, 0), pid);
	ck_assert_int_eq(state, 0);
	/* Its owner has ended: nothing to be reached there any more, until this process takes it back. */
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), 0);
	raw_pump(&m, fd, 0x100000, 0x101000, 16);
	close(file);
	raw_close(&m, fd);
	munmap(ptr, PAGE);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(pasids)
{
	uint32_t id, plain, mtty_id, common, hwpt, idle;
	int fd = bound(TRACKS, &id), other = bound(PLAIN, &plain), mtty = bound(MTTY, &mtty_id);
	struct iommu_hw_info info = { .size = sizeof(info), .dev_id = id };
	struct vfio_device_detach_iommufd_pt cmd = { .argsz = sizeof(cmd),
						     .flags = VFIO_DEVICE_DETACH_PASID,
						     .pasid = 3 };

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_GET_HW_INFO, &info), 0);
	ck_assert_uint_eq(info.out_max_pasid_log2, 4);
	ck_assert_int_eq(hwpt_alloc(id, m.ioas, IOMMU_HWPT_ALLOC_PASID, &hwpt), 0);
	ck_assert_int_eq(hwpt_alloc(id, m.ioas, 0, &common), 0);
	/* A device without PASIDs is attached for one nevertheless. */
	ck_assert_int_eq(hwpt_alloc(plain, m.ioas, IOMMU_HWPT_ALLOC_PASID, &idle), 0);
	ck_assert_int_eq(attach(other, idle), 0);
	ck_assert_int_eq(attach_pasid(other, 3, idle), 0);
	ck_assert_int_eq(attach_pasid(mtty, 1, m.ioas), -EOPNOTSUPP);
	ck_assert_int_eq(attach_pasid(fd, 3, common), -EINVAL);
	ck_assert_int_eq(attach_pasid(fd, 3, m.ioas), -EINVAL);
	ck_assert_int_eq(attach_pasid(fd, 16, hwpt), -EINVAL);
	ck_assert_int_eq(attach(fd, common), 0);
	ck_assert_int_eq(attach_pasid(fd, 3, hwpt), -EINVAL);
	ck_assert_int_eq(attach(fd, hwpt), 0);
	ck_assert_int_eq(attach_pasid(fd, 3, hwpt), 0);
	ck_assert_int_eq(attach_pasid(fd, 3, hwpt), 0);
	ck_assert_int_eq(attach(fd, common), -EINVAL);
	ck_assert_int_eq(detach(fd), 0);
	ck_assert_int_eq(destroy(hwpt), -EBUSY);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd), 0);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd), 0);
	ck_assert_int_eq(destroy(hwpt), 0);
	raw_close(&m, mtty);
	raw_close(&m, other);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_hwpt");
	TCase *lab = tcase_create("6.12"), *newest = tcase_create("newest"), *own = tcase_create("hosts");

	tcase_add_checked_fixture(lab, start, NULL);
	tcase_add_test(lab, alloc_rules);
	tcase_add_test(lab, hardware_is_described);
	tcase_add_test(lab, attaching_by_hand);
	tcase_add_test(lab, a_group_has_one_page_table);
	tcase_add_test(lab, what_is_made_by_hand_narrows_until_it_is_destroyed);
	tcase_add_test(lab, tracking_rules);
	tcase_add_test(lab, allowed_windows);
	tcase_add_test(lab, options);
	tcase_add_test(lab, copy_rules);
	tcase_add_test(lab, an_older_kernel_lacks_it);
	suite_add_tcase(suite, lab);
	tcase_add_checked_fixture(newest, start_newest, NULL);
	tcase_add_test(newest, files_are_mapped_without_an_address);
	tcase_add_test(newest, another_process_takes_over);
	tcase_add_test(newest, pasids);
	tcase_add_test(newest, tracking_of_no_length);
	suite_add_tcase(suite, newest);
	tcase_add_test(own, accounting_is_chosen_first);
	tcase_add_test(own, versions_bring_what_they_brought);
	suite_add_tcase(suite, own);
	return run_suite(suite);
}
