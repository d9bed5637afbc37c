/* SPDX-License-Identifier: MIT */
/* The simulated machine's groups and containers: who may open what, in which order, and both versions of type1. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "sim_raw.h"

#define PAGE 4096u
#define SIBLING "0000:03:00.0" /* of EDU_B */
#define SHADY "0000:05:00.0"   /* shares its group with a device of the host */
#define DEVICES                                                                                                        \
	"edu@" EDU_A ",state=64k;edu@" EDU_B ",state=64k;mtty@" MTTY_A ";edu@" SIBLING ",state=64k,group=2;"           \
	"edu@" SHADY ",state=64k,group=60;nvme@0000:06:00.0,group=60"

static struct raw m;

static void start(void)
{
	raw_start(&m, NULL, DEVICES);
}

static int set_container(int group, int fd)
{
	int32_t argument = fd;

	return raw_ioctl(&m, group, VFIO_GROUP_SET_CONTAINER, &argument);
}

static int number(int fd, unsigned long request, unsigned long value)
{
	return raw_ioctl(&m, fd, request, (void *)value);
}

static uint32_t status(int group)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_GET_STATUS, &status), 0);
	return status.flags;
}

static int get_device(int group, const char *name)
{
	return raw_ioctl(&m, group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)name);
}

/* A container with a group in it and an IOMMU set. */
static int container_of(const char *group_path, unsigned long type, int *ret_group)
{
	int container = raw_open(&m, "/dev/vfio/vfio");

	ck_assert_int_ge(container, 0);
	*ret_group = raw_open(&m, group_path);
	ck_assert_int_ge(*ret_group, 0);
	ck_assert_int_eq(set_container(*ret_group, container), 0);
	ck_assert_int_eq(number(container, VFIO_SET_IOMMU, type), 0);
	return container;
}

static int map(int container, uint32_t flags, const void *vaddr, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map cmd = {
		.argsz = sizeof(cmd), .flags = flags, .vaddr = (uintptr_t)vaddr, .iova = iova, .size = size
	};

	return raw_ioctl(&m, container, VFIO_IOMMU_MAP_DMA, &cmd);
}

/* @size: in and out */
static int unmap(int container, uint32_t flags, uint64_t iova, uint64_t *size)
{
	struct vfio_iommu_type1_dma_unmap cmd = { .argsz = sizeof(cmd), .flags = flags, .iova = iova, .size = *size };
	int r = raw_ioctl(&m, container, VFIO_IOMMU_UNMAP_DMA, &cmd);

	*size = cmd.size;
	return r;
}

static uint8_t *memory(size_t length)
{
	uint8_t *ptr = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(ptr, MAP_FAILED);
	return ptr;
}

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

/* paths */

static void check_text(const char *path, const char *expected)
{
	char buf[256];

	ck_assert_msg(vfmi_sys_read_file(m.sys, path, buf, sizeof(buf)) >= 0, "%s", path);
	ck_assert_str_eq(buf, expected);
}

START_TEST(groups_have_paths)
{
	struct stat by_path, by_fd;
	int fd;

	check_text("/sys/kernel/iommu_groups/1/type", "DMA");
	check_text("/sys/kernel/iommu_groups/1/reserved_regions", "0x00000000fee00000 0x00000000feefffff msi");
	check_text("/sys/kernel/iommu_groups/2/devices/" SIBLING "/vendor", "0x1234");
	check_text("/sys/kernel/iommu_groups/60/devices/0000:06:00.0/vendor", "0x1b36");
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/dev/vfio/1", &by_path), 0);
	ck_assert(S_ISCHR(by_path.st_mode));
	fd = raw_open(&m, "/dev/vfio/1");
	ck_assert_int_eq(m.sys->ops->fstat(m.sys, fd, &by_fd), 0);
	ck_assert_uint_eq(by_fd.st_rdev, by_path.st_rdev);
	raw_close(&m, fd);
	fd = raw_open(&m, "/dev/vfio/vfio");
	ck_assert_int_eq(m.sys->ops->fstat(m.sys, fd, &by_fd), 0);
	ck_assert(by_fd.st_rdev == makedev(10, 196));
	raw_close(&m, fd);
	/* Without a device on a VFIO driver there is no node. */
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/7"), -ENOENT);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/kernel/iommu_groups/7", &by_path), 0);
	raw_stop(&m, 0);
}
END_TEST

/* opening, and the order of things */

START_TEST(a_group_is_opened_once)
{
	int group = raw_open(&m, "/dev/vfio/2"), cdev = raw_open(&m, "/dev/vfio/devices/vfio1"), other;

	ck_assert_int_eq(raw_open(&m, "/dev/vfio/2"), -EBUSY);
	ck_assert_int_eq(raw_bind(&m, cdev), -EBUSY);
	raw_close(&m, group);
	ck_assert_int_eq(raw_bind(&m, cdev), 0);
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/2"), -EBUSY);
	/* A sibling of the group may be bound to the same iommufd, not to another. */
	other = raw_open(&m, "/dev/vfio/devices/vfio3");
	ck_assert_int_eq(raw_bind(&m, other), 0);
	raw_close(&m, other);
	other = raw_open(&m, "/dev/vfio/devices/vfio3");
	{
		struct vfio_device_bind_iommufd bind = { .argsz = 16, .iommufd = raw_open(&m, "/dev/iommu") };

		ck_assert_int_eq(raw_ioctl(&m, other, VFIO_DEVICE_BIND_IOMMUFD, &bind), -EPERM);
		raw_close(&m, bind.iommufd);
	}
	raw_close(&m, other);
	raw_close(&m, cdev);
	group = raw_open(&m, "/dev/vfio/2");
	ck_assert_int_ge(group, 0);
	raw_close(&m, group);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "unplug"), 0);
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/1"), -ENOENT);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(the_order_of_operations)
{
	int container = raw_open(&m, "/dev/vfio/vfio"), group = raw_open(&m, "/dev/vfio/1"), fd;
	struct vfio_group_status small = { .argsz = 7 };
	int null = m.sys->ops->open(m.sys, "/dev/null", O_RDWR, 0);
	uint64_t size = PAGE;

	ck_assert_int_eq(number(container, VFIO_GET_API_VERSION, 0), VFIO_API_VERSION);
	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_GET_STATUS, &small), -EINVAL);
	ck_assert_uint_eq(status(group), VFIO_GROUP_FLAGS_VIABLE);
	/* Nothing works before it is its turn. */
	ck_assert_int_eq(number(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EINVAL);
	ck_assert_int_eq(map(container, RW, &size, 0, PAGE), -EINVAL);
	ck_assert_int_eq(get_device(group, EDU_A), -EINVAL);
	ck_assert_int_eq(get_device(group, EDU_B), -ENODEV);
	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_UNSET_CONTAINER, NULL), -EINVAL);
	ck_assert_int_eq(set_container(group, 999), -EBADF);
	ck_assert_int_eq(set_container(group, null), -EBADFD);
	ck_assert_int_eq(set_container(group, group), -EBADFD);
	ck_assert_int_eq(set_container(group, container), 0);
	ck_assert_int_eq(set_container(group, container), -EINVAL);
	ck_assert_uint_eq(status(group), VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET);
	ck_assert_int_eq(get_device(group, EDU_A), -EINVAL);
	ck_assert_int_eq(number(container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), -ENODEV);
	ck_assert_int_eq(number(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	ck_assert_int_eq(number(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EINVAL);
	ck_assert_int_eq(number(container, 0x3bff, 0), -ENOTTY);
	ck_assert_int_eq(get_device(group, "0000:01:00"), -ENODEV);
	ck_assert_int_eq(get_device(group, EDU_A "x"), -ENODEV);
	ck_assert_int_eq(get_device(group, EDU_A " vf_token=11111111-1111-4111-8111-111111111111"), -EINVAL);
	ck_assert_int_eq(get_device(group, EDU_A " colour=blue"), -EINVAL);
	fd = get_device(group, EDU_A " ");
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_UNSET_CONTAINER, NULL), -EBUSY);
	/* What a cdev can, this cannot. */
	ck_assert_int_eq(raw_bind(&m, fd), -EINVAL);
	ck_assert_int_eq(raw_attach(&m, fd, &(uint32_t){ m.ioas }), -ENOTTY);
	raw_close(&m, fd);
	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	/* The last group took the IOMMU away. */
	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_ALL, 0, &(uint64_t){ 0 }), -EINVAL);
	raw_close(&m, null);
	raw_close(&m, group);
	raw_close(&m, container);
	raw_stop(&m, 9);
}
END_TEST

START_TEST(a_device_of_the_host_blocks_its_group)
{
	int container = raw_open(&m, "/dev/vfio/vfio"), group = raw_open(&m, "/dev/vfio/60"), cdev, fd;

	ck_assert_uint_eq(status(group), 0);
	ck_assert_int_eq(set_container(group, container), -EPERM);
	/* An iommufd claims nothing until a device is asked for: until then the status says too much. */
	ck_assert_int_eq(set_container(group, m.iommufd), 0);
	ck_assert_uint_eq(status(group), VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET);
	ck_assert_int_eq(get_device(group, SHADY), -EPERM);
	raw_close(&m, group);
	cdev = raw_open(&m, "/dev/vfio/devices/vfio4");
	ck_assert_int_eq(raw_bind(&m, cdev), -EPERM);
	raw_close(&m, cdev);
	raw_close(&m, container);
	fd = raw_device(&m, 0);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(the_group_of_an_iommufd_can_be_had_anew)
{
	int container = raw_open(&m, "/dev/vfio/vfio"), group = raw_open(&m, "/dev/vfio/1"), fd;

	ck_assert_int_eq(set_container(group, m.iommufd), 0);
	fd = get_device(group, EDU_A);
	ck_assert_int_ge(fd, 0);
	raw_close(&m, group);
	/* The device is open still, and so its DMA is the iommufd's. */
	group = raw_open(&m, "/dev/vfio/1");
	ck_assert_int_ge(group, 0);
	ck_assert_uint_eq(status(group), 0);
	ck_assert_int_eq(set_container(group, container), -EPERM);
	raw_close(&m, fd);
	ck_assert_uint_eq(status(group), VFIO_GROUP_FLAGS_VIABLE);
	ck_assert_int_eq(set_container(group, container), 0);
	raw_close(&m, group);
	raw_close(&m, container);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(files_of_one_device_share_it)
{
	int group, container = container_of("/dev/vfio/1", VFIO_TYPE1v2_IOMMU, &group);
	int fd = get_device(group, EDU_A), other = get_device(group, EDU_A), data_fd;
	struct stat st;

	ck_assert_uint_eq(raw_usage(&m).resets, 1);
	ck_assert_int_eq(m.sys->ops->fstat(m.sys, fd, &st), 0);
	ck_assert(!S_ISCHR(st.st_mode));
	data_fd = raw_session(&m, fd, VFIO_DEVICE_STATE_STOP_COPY);
	ck_assert_uint_eq(raw_state(&m, other), VFIO_DEVICE_STATE_STOP_COPY);
	raw_close(&m, fd);
	ck_assert_uint_eq(raw_state(&m, other), VFIO_DEVICE_STATE_STOP_COPY);
	/* The device keeps the group, and the group the container. */
	raw_close(&m, group);
	raw_close(&m, container);
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/1"), -EBUSY);
	ck_assert_int_eq(raw_set(&m, other, VFIO_DEVICE_STATE_RUNNING, NULL), 0);
	raw_close(&m, data_fd);
	raw_close(&m, other);
	ck_assert_uint_eq(raw_usage(&m).resets, 2);
	group = raw_open(&m, "/dev/vfio/1");
	ck_assert_int_ge(group, 0);
	ck_assert_uint_eq(status(group), VFIO_GROUP_FLAGS_VIABLE);
	raw_close(&m, group);
	raw_stop(&m, 0);
}
END_TEST

/* type1 */

START_TEST(extensions)
{
	/* Before VFIO_SET_IOMMU, with a PCI device, with a mediated one, and an iommufd with a PCI device. */
	static const struct {
		unsigned long what;
		int before, pci, mdev, compat;
	} rows[] = {
		{ VFIO_TYPE1_IOMMU, 1, 1, 1, 1 },  { VFIO_TYPE1v2_IOMMU, 1, 1, 1, 1 },
		{ VFIO_UNMAP_ALL, 1, 1, 1, 1 },	   { VFIO_DMA_CC_IOMMU, 0, 1, 1, 1 },
		{ VFIO_UPDATE_VADDR, 0, 1, 0, 0 }, { VFIO_NOIOMMU_IOMMU, 0, 0, 0, 1 },
		{ 6 /* nesting */, 1, 1, 1, 0 },   { 2 /* spapr */, 0, 0, 0, 0 },
	};
	int empty = raw_open(&m, "/dev/vfio/vfio"), edu_group, mtty_group, b = raw_open(&m, "/dev/vfio/2");
	int edu = container_of("/dev/vfio/1", VFIO_TYPE1v2_IOMMU, &edu_group);
	int mtty = container_of("/dev/vfio/3", VFIO_TYPE1v2_IOMMU, &mtty_group);

	ck_assert_int_eq(set_container(b, m.iommufd), 0);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++) {
		ck_assert_int_eq(number(empty, VFIO_CHECK_EXTENSION, rows[i].what), rows[i].before);
		ck_assert_int_eq(number(edu, VFIO_CHECK_EXTENSION, rows[i].what), rows[i].pci);
		ck_assert_int_eq(number(mtty, VFIO_CHECK_EXTENSION, rows[i].what), rows[i].mdev);
		ck_assert_int_eq(number(m.iommufd, VFIO_CHECK_EXTENSION, rows[i].what), rows[i].compat);
	}
	raw_close(&m, b);
	raw_close(&m, edu_group);
	raw_close(&m, mtty_group);
	raw_close(&m, empty);
	raw_close(&m, edu);
	raw_close(&m, mtty);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(map_rules)
{
	int group, container = container_of("/dev/vfio/1", VFIO_TYPE1v2_IOMMU, &group);
	uint8_t *ptr = memory(4 * PAGE);
	const uint64_t msi = 0xfee00000, end = 1ull << 39;
	const struct {
		uint32_t flags;
		uint64_t iova, size;
		int offset, result;
	} rows[] = {
		{ 0, 0, PAGE, 0, -EINVAL },
		{ RW | 8, 0, PAGE, 0, -EINVAL },
		{ RW | VFIO_DMA_MAP_FLAG_VADDR, 0, PAGE, 0, -EINVAL },
		{ RW, 0, 0, 0, -EINVAL },
		{ RW, 0, PAGE - 1, 0, -EINVAL },
		{ RW, 1, PAGE, 0, -EINVAL },
		{ RW, 0, PAGE, 1, -EINVAL },
		{ RW, UINT64_MAX - PAGE + 1, 2 * PAGE, 0, -EINVAL },
		{ RW, 0x10000, 2 * PAGE, 0, 0 },
		{ RW, 0x11000, PAGE, 0, -EEXIST },
		{ RW, 0xf000, 4 * PAGE, 0, -EEXIST },
		{ RW, msi, PAGE, 0, -EINVAL },
		{ RW, msi - PAGE, 2 * PAGE, 0, -EINVAL },
		{ RW, msi - PAGE, PAGE, 0, 0 },
		{ RW, end, PAGE, 0, -EINVAL },
		{ RW, end - PAGE, PAGE, 0, 0 },
		{ VFIO_DMA_MAP_FLAG_READ, 0x20000, 4 * PAGE, 3 * PAGE, -EFAULT },
		{ VFIO_DMA_MAP_FLAG_VADDR, 0x20000, PAGE, 0, -ENOENT },
		{ VFIO_DMA_MAP_FLAG_VADDR, 0x10000, 2 * PAGE, 0, -EINVAL },
	};

	munmap(ptr + 3 * PAGE, PAGE);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++)
		ck_assert_msg(map(container, rows[i].flags, ptr + rows[i].offset, rows[i].iova, rows[i].size) ==
				      rows[i].result,
			      "row %zu", i);
	ck_assert_uint_eq(raw_usage(&m).maps, 3);
	/* They go with the container, which goes with the group. */
	raw_close(&m, container);
	ck_assert_uint_eq(raw_usage(&m).maps, 3);
	raw_close(&m, group);
	munmap(ptr, 3 * PAGE);
	raw_stop(&m, 3);
}
END_TEST

/* Three areas of two pages with a hole of two before the last; what an unmap of both versions makes of them. */
START_TEST(unmap_rules)
{
	static const struct {
		uint64_t iova, size;
		int result;
		uint64_t taken;
		int result_v1;
		uint64_t taken_v1;
	} rows[] = {
		{ 0x1000, 0x2000, 0, 0x2000, 0, 0x2000 },
		{ 0x1000, 0x4000, 0, 0x4000, 0, 0x4000 },
		{ 0x1000, 0x8000, 0, 0x6000, 0, 0x6000 },
		{ 0x5000, 0x2000, 0, 0, 0, 0 },
		{ 0x100000, 0x2000, 0, 0, 0, 0 },
		/* cut at its end: the first version takes it whole */
		{ 0x1000, 0x1000, -EINVAL, 0x1000, 0, 0x2000 },
		{ 0x1000, 0x3000, -EINVAL, 0x3000, 0, 0x4000 },
		/* cut at its start: the first version leaves it, and all behind it */
		{ 0x2000, 0x1000, -EINVAL, 0x1000, 0, 0 },
		{ 0x2000, 0x3000, -EINVAL, 0x3000, 0, 0 },
		{ 0x1001, 0x1000, -EINVAL, 0x1000, -EINVAL, 0x1000 },
		{ 0x1000, 0, -EINVAL, 0, -EINVAL, 0 },
		{ 0x1000, 0x800, -EINVAL, 0x800, -EINVAL, 0x800 },
	};
	uint8_t *ptr = memory(2 * PAGE);

	for (int version = 1; version <= 3; version += 2) {
		int group, container = container_of("/dev/vfio/1", (unsigned long)version, &group);

		for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++) {
			uint64_t size = rows[i].size, all = 0;
			int r;

			ck_assert_int_eq(map(container, RW, ptr, 0x1000, 2 * PAGE), 0);
			ck_assert_int_eq(map(container, RW, ptr, 0x3000, 2 * PAGE), 0);
			ck_assert_int_eq(map(container, RW, ptr, 0x7000, 2 * PAGE), 0);
			r = unmap(container, 0, rows[i].iova, &size);
			ck_assert_msg(r == (version == 1 ? rows[i].result_v1 : rows[i].result), "row %zu: %d", i, r);
			ck_assert_msg(size == (version == 1 ? rows[i].taken_v1 : rows[i].taken), "row %zu: %#lx", i,
				      (unsigned long)size);
			ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_ALL, 0, &all), 0);
			ck_assert_uint_eq(all, 0x6000 - (r ? 0 : size));
		}
		raw_close(&m, group);
		raw_close(&m, container);
	}
	munmap(ptr, 2 * PAGE);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(all_at_once)
{
	int group, container = container_of("/dev/vfio/1", VFIO_TYPE1v2_IOMMU, &group);
	uint64_t size = PAGE;

	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_ALL, 0, &size), -EINVAL);
	size = 0;
	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_ALL, PAGE, &size), -EINVAL);
	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_ALL, 0, &size), 0);
	ck_assert_uint_eq(size, 0);
	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_ALL | 1, 0, &size), -EINVAL);
	ck_assert_int_eq(unmap(container, 8, 0, &size), -EINVAL);
	raw_close(&m, group);
	raw_close(&m, container);
	raw_stop(&m, 2);
}
END_TEST

START_TEST(addresses_can_be_renewed)
{
	int group, container = container_of("/dev/vfio/1", VFIO_TYPE1v2_IOMMU, &group), mtty;
	uint8_t *ptr = memory(4 * PAGE);
	uint64_t size = PAGE;

	ck_assert_int_eq(map(container, RW, ptr, 0, PAGE), 0);
	ck_assert_int_eq(map(container, RW, ptr, 2 * PAGE, 2 * PAGE), 0);
	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_VADDR, 2 * PAGE, &(uint64_t){ 2 * PAGE }), 0);
	/* One of them has been taken: none is. */
	size = 0;
	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL, 0, &size), -EINVAL);
	ck_assert_int_eq(map(container, VFIO_DMA_MAP_FLAG_VADDR, ptr, 0, PAGE), -EINVAL);
	ck_assert_int_eq(map(container, VFIO_DMA_MAP_FLAG_VADDR, ptr, 2 * PAGE, PAGE), -EINVAL);
	ck_assert_int_eq(map(container, VFIO_DMA_MAP_FLAG_VADDR, ptr + PAGE, 2 * PAGE, 2 * PAGE), 0);
	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL, 0, &size), 0);
	ck_assert_uint_eq(size, 3 * PAGE);
	ck_assert_int_eq(map(container, VFIO_DMA_MAP_FLAG_VADDR, ptr, 0, PAGE), 0);
	/* No group comes in before all have their address, and then a mediated device uses them whenever it likes. */
	mtty = raw_open(&m, "/dev/vfio/3");
	ck_assert_int_eq(set_container(mtty, container), -EBUSY);
	ck_assert_int_eq(map(container, VFIO_DMA_MAP_FLAG_VADDR, ptr + PAGE, 2 * PAGE, 2 * PAGE), 0);
	ck_assert_int_eq(set_container(mtty, container), 0);
	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_VADDR, 0, &(uint64_t){ PAGE }), -EBUSY);
	raw_close(&m, mtty);
	raw_close(&m, group);
	raw_close(&m, container);
	munmap(ptr, 4 * PAGE);
	raw_stop(&m, 0);
}
END_TEST

struct answer {
	struct vfio_iommu_type1_info info;
	uint8_t caps[232];
};

static const struct vfio_info_cap_header *cap_at(const struct answer *answer, uint32_t at)
{
	return (const void *)((const char *)answer + at);
}

START_TEST(information_has_a_chain)
{
	struct answer answer = { .info = { .argsz = sizeof(answer) } };
	struct vfio_iommu_type1_info_cap_iova_range range;
	int group, container = container_of("/dev/vfio/1", VFIO_TYPE1v2_IOMMU, &group);
	const struct vfio_info_cap_header *cap;
	uint32_t avail;

	ck_assert_int_eq(raw_ioctl(&m, container, VFIO_IOMMU_GET_INFO, &answer), 0);
	ck_assert_uint_eq(answer.info.flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
	ck_assert_uint_eq(answer.info.iova_pgsizes, 0x40201000);
	ck_assert_uint_eq(answer.info.argsz, sizeof(answer));
	cap = cap_at(&answer, answer.info.cap_offset);
	ck_assert_uint_eq(cap->id, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	cap = cap_at(&answer, cap->next);
	ck_assert_uint_eq(cap->id, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	memcpy(&avail, cap + 1, sizeof(avail));
	ck_assert_uint_eq(avail, 65535);
	cap = cap_at(&answer, cap->next);
	ck_assert_uint_eq(cap->id, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	ck_assert_uint_eq(cap->next, 0);
	memcpy(&range, cap, sizeof(range));
	ck_assert_uint_eq(range.nr_iovas, 2);
	/* Too small a room: what it takes is told, and nothing else is wrong. */
	answer.info.argsz = sizeof(answer.info);
	ck_assert_int_eq(raw_ioctl(&m, container, VFIO_IOMMU_GET_INFO, &answer), 0);
	ck_assert_uint_eq(answer.info.argsz, 24 + 32 + 16 + 16 + 2 * 16);
	ck_assert_uint_eq(answer.info.cap_offset, 0);
	answer.info.argsz = 15;
	ck_assert_int_eq(raw_ioctl(&m, container, VFIO_IOMMU_GET_INFO, &answer), -EINVAL);
	raw_close(&m, group);
	raw_close(&m, container);
	raw_stop(&m, 1);
}
END_TEST

START_TEST(mediated_devices_alone_pin_nothing)
{
	struct answer answer = { .info = { .argsz = sizeof(answer) } };
	int group, container = container_of("/dev/vfio/3", VFIO_TYPE1v2_IOMMU, &group), edu, fd;
	const struct vfio_info_cap_header *cap;
	uint64_t size = 0;

	fd = get_device(group, MTTY_A);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(map(container, RW, NULL, 0xfee00000, PAGE), 0);
	ck_assert_int_eq(raw_ioctl(&m, container, VFIO_IOMMU_GET_INFO, &answer), 0);
	ck_assert_uint_eq(answer.info.iova_pgsizes, ~4095ull);
	cap = cap_at(&answer, cap_at(&answer, answer.info.cap_offset)->next);
	ck_assert_uint_eq(cap->id, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	ck_assert_uint_eq(cap->next, 0);
	/* A device with windows does not go with a map outside them. */
	edu = raw_open(&m, "/dev/vfio/1");
	ck_assert_int_eq(set_container(edu, container), -EINVAL);
	ck_assert_int_eq(unmap(container, VFIO_DMA_UNMAP_FLAG_ALL, 0, &size), 0);
	ck_assert_int_eq(set_container(edu, container), 0);
	ck_assert_int_eq(map(container, RW, NULL, 0xfee00000, PAGE), -EINVAL);
	raw_close(&m, edu);
	ck_assert_int_eq(map(container, RW, NULL, 0xfee00000, PAGE), 0);
	raw_close(&m, fd);
	raw_close(&m, group);
	raw_close(&m, container);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(devices_reach_memory_through_a_container)
{
	int group, container = container_of("/dev/vfio/1", VFIO_TYPE1v2_IOMMU, &group);
	uint8_t *ptr = memory(2 * PAGE);
	int fd = get_device(group, EDU_A);

	memset(ptr, 0x3c, 16);
	ck_assert_int_eq(map(container, RW, ptr, 0x100000, 2 * PAGE), 0);
	raw_pump(&m, fd, 0x100000, 0x100000 + PAGE, 16);
	ck_assert_mem_eq(ptr + PAGE, ptr, 16);
	raw_close(&m, container);
	memset(ptr, 0x5a, 16);
	raw_pump(&m, fd, 0x100000, 0x100000 + PAGE, 16);
	ck_assert_mem_eq(ptr + PAGE, ptr, 16);
	raw_close(&m, group);
	raw_close(&m, fd);
	munmap(ptr, 2 * PAGE);
	raw_stop(&m, 0);
}
END_TEST

/* limits, and hosts that have less */

START_TEST(limits_are_the_hosts)
{
	int group, container;
	uint8_t *ptr = memory(4 * PAGE);

	raw_start(&m, NULL, "entries=3,memlock=16k;edu;edu");
	container = container_of("/dev/vfio/1", VFIO_TYPE1v2_IOMMU, &group);
	ck_assert_int_eq(map(container, RW, ptr, 0, 4 * PAGE), 0);
	ck_assert_int_eq(map(container, RW, ptr, 0x10000, PAGE), -ENOMEM);
	ck_assert_int_eq(unmap(container, 0, 0, &(uint64_t){ 4 * PAGE }), 0);
	for (uint64_t i = 0; i < 3; i++)
		ck_assert_int_eq(map(container, RW, ptr, i * PAGE, PAGE), 0);
	ck_assert_int_eq(map(container, RW, ptr, 3 * PAGE, PAGE), -ENOSPC);
	raw_close(&m, group);
	raw_close(&m, container);
	munmap(ptr, 4 * PAGE);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(kernels_without_iommufd)
{
	struct stat st;
	int group, container, fd;

	raw_attach_to(&m, NULL, "iommufd=0;edu");
	ck_assert_int_eq(raw_open(&m, "/dev/iommu"), -ENOENT);
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/devices/vfio0"), -ENOENT);
	/* The directory is there all the same, with nothing that tells of a cdev. */
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/class/vfio-dev/vfio0", &st), 0);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/class/vfio-dev/vfio0/dev", &st), -ENOENT);
	container = container_of("/dev/vfio/1", VFIO_TYPE1v2_IOMMU, &group);
	fd = get_device(group, EDU_A);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &(struct vfio_device_bind_iommufd){ 0 }), -ENOTTY);
	raw_close(&m, fd);
	raw_close(&m, group);
	raw_close(&m, container);
	ck_assert_uint_eq(raw_usage(&m).strict_errors, 0);
	raw_detach_from(&m);
}
END_TEST

START_TEST(kernels_without_containers)
{
	raw_start(&m, NULL, "containers=0;edu");
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/vfio"), -ENOENT);
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/1"), -ENOENT);
	raw_close(&m, raw_device(&m, 0));
	raw_stop(&m, 0);
}
END_TEST

START_TEST(devices_without_iommu)
{
	int container, group, other, fd;

	raw_start(&m, NULL, "noiommu=1;edu,iommu=0;edu");
	check_text("/sys/kernel/iommu_groups/1/name", "vfio-noiommu");
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/1"), -ENOENT);
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/devices/vfio0"), -ENOENT);
	container = raw_open(&m, "/dev/vfio/vfio");
	group = raw_open(&m, "/dev/vfio/noiommu-1");
	other = raw_open(&m, "/dev/vfio/2");
	ck_assert_int_eq(number(container, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 1);
	ck_assert_int_eq(set_container(group, container), 0);
	ck_assert_int_eq(set_container(other, container), -EPERM);
	ck_assert_int_eq(number(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU), 0);
	ck_assert_int_eq(number(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -ENODEV);
	ck_assert_int_eq(number(container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	fd = get_device(group, EDU_A);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(map(container, RW, &fd, 0, PAGE), -ENOTTY);
	raw_close(&m, fd);
	raw_close(&m, other);
	raw_close(&m, group);
	raw_close(&m, container);
	raw_stop(&m, 1);
}
END_TEST

/* iommufd in place of a container */

START_TEST(an_iommufd_stands_in)
{
	struct iommu_vfio_ioas vfio_ioas = { .size = sizeof(vfio_ioas) };
	struct answer answer = { .info = { .argsz = sizeof(answer) } };
	uint8_t *ptr = memory(4 * PAGE);
	int group = raw_open(&m, "/dev/vfio/1"), fd;
	uint64_t size = 0;
	uint32_t avail;

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_VFIO_IOAS, &vfio_ioas), -ENODEV);
	ck_assert_int_eq(map(m.iommufd, RW, ptr, 0, PAGE), -ENODEV);
	ck_assert_int_eq(number(m.iommufd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -ENODEV);
	ck_assert_int_eq(set_container(group, m.iommufd), 0);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_VFIO_IOAS, &vfio_ioas), 0);
	ck_assert_uint_ne(vfio_ioas.ioas_id, 0);
	ck_assert_uint_ne(vfio_ioas.ioas_id, m.ioas);
	ck_assert_int_eq(number(m.iommufd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), -EINVAL);
	ck_assert_int_eq(number(m.iommufd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	fd = get_device(group, EDU_A);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, VFIO_IOMMU_GET_INFO, &answer), 0);
	ck_assert_uint_eq(answer.info.argsz, 24 + 16 + 16 + 2 * 16);
	ck_assert_uint_eq(cap_at(&answer, 24)->id, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	memcpy(&avail, (const char *)&answer + 32, sizeof(avail));
	ck_assert_uint_eq(avail, UINT32_MAX);
	ck_assert_uint_eq(cap_at(&answer, 40)->id, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	ck_assert_int_eq(map(m.iommufd, RW, ptr, 0xfee00000, PAGE), -EINVAL);
	ck_assert_int_eq(map(m.iommufd, RW, ptr, 0x100000, 4 * PAGE), 0);
	ck_assert_int_eq(map(m.iommufd, RW, ptr, 0x101000, PAGE), -EEXIST);
	raw_pump(&m, fd, 0x100000, 0x101000, 16);
	/* Cutting is ENOENT here, and the size says what is gone; nothing to unmap is fine. */
	size = PAGE;
	ck_assert_int_eq(unmap(m.iommufd, 0, 0x100000, &size), -ENOENT);
	ck_assert_uint_eq(size, 0);
	size = PAGE;
	ck_assert_int_eq(unmap(m.iommufd, 0, 0x800000, &size), 0);
	ck_assert_uint_eq(size, 0);
	ck_assert_int_eq(unmap(m.iommufd, VFIO_DMA_UNMAP_FLAG_VADDR, 0x100000, &size), -EINVAL);
	ck_assert_int_eq(number(m.iommufd, VFIO_IOMMU_DIRTY_PAGES, 0), -ENOTTY);
	/* The iommufd may be taken away under an open device. */
	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	raw_pump(&m, fd, 0x100000, 0x101000, 16);
	size = 0;
	ck_assert_int_eq(unmap(m.iommufd, VFIO_DMA_UNMAP_FLAG_ALL, 0, &size), 0);
	ck_assert_uint_eq(size, 4 * PAGE);
	raw_close(&m, fd);
	raw_close(&m, group);
	munmap(ptr, 4 * PAGE);
	raw_stop(&m, 2);
}
END_TEST

/* Without large pages an area can be cut exactly, which is what the first version's unmap means there. */
START_TEST(an_iommufd_in_the_first_version_cuts)
{
	struct iommu_vfio_ioas vfio_ioas = { .size = sizeof(vfio_ioas), .op = IOMMU_VFIO_IOAS_SET, .ioas_id = m.ioas };
	uint8_t *ptr = memory(4 * PAGE);
	int group = raw_open(&m, "/dev/vfio/1"), fd;
	uint64_t size = PAGE;

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_VFIO_IOAS, &vfio_ioas), 0);
	ck_assert_int_eq(set_container(group, m.iommufd), 0);
	vfio_ioas.op = IOMMU_VFIO_IOAS_GET;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_VFIO_IOAS, &vfio_ioas), 0);
	ck_assert_uint_eq(vfio_ioas.ioas_id, m.ioas);
	ck_assert_int_eq(number(m.iommufd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
	fd = get_device(group, EDU_A);
	ck_assert_int_eq(map(m.iommufd, RW, ptr, 0x100000, 4 * PAGE), 0);
	memset(ptr, 0x77, 16);
	ck_assert_int_eq(unmap(m.iommufd, 0, 0x101000, &size), 0);
	ck_assert_uint_eq(size, PAGE);
	ck_assert_uint_eq(raw_usage(&m).maps, 2);
	raw_pump(&m, fd, 0x100000, 0x102000, 16);
	ck_assert_mem_eq(ptr + 2 * PAGE, ptr, 16);
	vfio_ioas.op = IOMMU_VFIO_IOAS_CLEAR;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_VFIO_IOAS, &vfio_ioas), 0);
	ck_assert_int_eq(map(m.iommufd, RW, ptr, 0, PAGE), -ENODEV);
	vfio_ioas.op = 3;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_VFIO_IOAS, &vfio_ioas), -EOPNOTSUPP);
	raw_close(&m, fd);
	raw_close(&m, group);
	munmap(ptr, 4 * PAGE);
	raw_stop(&m, 1);
}
END_TEST

/* death */

static int hold_container(int pipe_fd, unsigned long type)
{
	int group, container = container_of("/dev/vfio/1", type, &group);

	if (map(container, RW, memory(PAGE), 0, PAGE) || get_device(group, EDU_A) < 0 || write(pipe_fd, "x", 1) != 1)
		return 1;
	for (;;)
		pause();
}

START_TEST(death_closes_groups_and_containers)
{
	int pipe_fds[2], group;
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	pid = fork();
	if (!pid)
		_exit(hold_container(pipe_fds[1], VFIO_TYPE1v2_IOMMU));
	ck_assert_int_eq(read(pipe_fds[0], &byte, 1), 1);
	ck_assert_uint_eq(raw_usage(&m).maps, 1);
	ck_assert_uint_eq(raw_usage(&m).devices_open, 1);
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/1"), -EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ck_assert_uint_eq(raw_usage(&m).maps, 0);
	ck_assert_uint_eq(raw_usage(&m).devices_open, 0);
	group = raw_open(&m, "/dev/vfio/1");
	ck_assert_uint_eq(status(group), VFIO_GROUP_FLAGS_VIABLE);
	raw_close(&m, group);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	raw_stop(&m, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_container");
	TCase *running = tcase_create("groups"), *own = tcase_create("hosts");

	tcase_add_checked_fixture(running, start, NULL);
	tcase_add_test(running, groups_have_paths);
	tcase_add_test(running, a_group_is_opened_once);
	tcase_add_test(running, the_order_of_operations);
	tcase_add_test(running, a_device_of_the_host_blocks_its_group);
	tcase_add_test(running, the_group_of_an_iommufd_can_be_had_anew);
	tcase_add_test(running, files_of_one_device_share_it);
	tcase_add_test(running, extensions);
	tcase_add_test(running, map_rules);
	tcase_add_test(running, unmap_rules);
	tcase_add_test(running, all_at_once);
	tcase_add_test(running, addresses_can_be_renewed);
	tcase_add_test(running, information_has_a_chain);
	tcase_add_test(running, mediated_devices_alone_pin_nothing);
	tcase_add_test(running, devices_reach_memory_through_a_container);
	tcase_add_test(running, an_iommufd_stands_in);
	tcase_add_test(running, an_iommufd_in_the_first_version_cuts);
	tcase_add_test(running, death_closes_groups_and_containers);
	suite_add_tcase(suite, running);
	tcase_add_test(own, limits_are_the_hosts);
	tcase_add_test(own, kernels_without_iommufd);
	tcase_add_test(own, kernels_without_containers);
	tcase_add_test(own, devices_without_iommu);
	suite_add_tcase(suite, own);
	return run_suite(suite);
}
