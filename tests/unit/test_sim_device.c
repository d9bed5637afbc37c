/* SPDX-License-Identifier: MIT */
/* Devices of the simulated machine: binding, address spaces, regions, configuration, interrupts, DMA. */
#include <sys/mman.h>

#include "sim_raw.h"

#define SPEC "edu@" EDU_A ",state=256k;edu@" EDU_B ",state=256k;mtty@" MTTY_A ";mtty@" MTTY_B
#define EDU_BAR 0
#define EDU_CONTENTS 9
#define EDU_CONTROL 10

static struct raw m;

static void start(void)
{
	raw_start(&m, NULL, SPEC);
}

/* binding and attaching */

START_TEST(nothing_before_bind)
{
	int fd = raw_open(&m, "/dev/vfio/devices/vfio0");
	struct vfio_device_info info = { .argsz = sizeof(info) };
	char byte;

	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_GET_INFO, &info), -EINVAL);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), -EINVAL);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, &byte, 1, REGION(7, 0)), -EINVAL);
	ck_assert_uint_eq(raw_usage(&m).devices_open, 0);
	ck_assert_uint_eq(raw_usage(&m).resets, 0);
	raw_close(&m, fd);
	raw_stop(&m, 2);
}
END_TEST

START_TEST(bind_rules)
{
	int fd = raw_open(&m, "/dev/vfio/devices/vfio0"), other = raw_open(&m, "/dev/vfio/devices/vfio0");
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = m.iommufd };
	int null = m.sys->ops->open(m.sys, "/dev/null", O_RDWR, 0);

	bind.argsz = 15;
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), -EINVAL);
	/* A kernel without tokens; asking it is no mistake. */
	bind = (struct vfio_device_bind_iommufd){ .argsz = sizeof(bind), .flags = 1, .iommufd = m.iommufd };
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), -EINVAL);
	bind = (struct vfio_device_bind_iommufd){ .argsz = sizeof(bind), .iommufd = -1 };
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), -EINVAL);
	bind.iommufd = 999;
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), -EBADF);
	bind.iommufd = null;
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), -EBADFD);
	bind.iommufd = fd;
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), -EBADFD);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, NULL), -EFAULT);
	bind.iommufd = m.iommufd;
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	ck_assert_uint_eq(bind.out_devid, 2);
	/* Only once, whoever asks. */
	ck_assert_int_eq(raw_bind(&m, fd), -EINVAL);
	ck_assert_int_eq(raw_bind(&m, other), -EINVAL);
	raw_close(&m, other);
	ck_assert_uint_eq(raw_usage(&m).devices_open, 1);
	raw_close(&m, fd);
	raw_close(&m, null);
	raw_stop(&m, 3);
}
END_TEST

START_TEST(pci_is_reset_by_bind_and_last_close)
{
	int fd = raw_device(&m, 0), copy = m.sys->ops->dup(m.sys, fd);
	char byte = 1;

	ck_assert_uint_eq(raw_usage(&m).resets, 1);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTENTS, 5, 0x77, 1), 1);
	raw_close(&m, fd);
	ck_assert_uint_eq(raw_usage(&m).resets, 1);
	ck_assert_uint_eq(raw_peek(&m, copy, EDU_CONTENTS, 5, 1), 0x77);
	raw_close(&m, copy);
	ck_assert_uint_eq(raw_usage(&m).resets, 2);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_A, 5, &byte, 1), 0);
	ck_assert_int_eq(byte, 0);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(mdev_keeps_its_state_over_close)
{
	int fd = raw_device(&m, 2);

	ck_assert_int_eq(raw_poke(&m, fd, 0, 7, 0x5a, 1), 1);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_STOP, NULL), 0);
	raw_close(&m, fd);
	fd = raw_device(&m, 2);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 7, 1), 0x5a);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_STOP);
	ck_assert_uint_eq(raw_usage(&m).resets, 0);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(attach_rules)
{
	int edu = raw_open(&m, "/dev/vfio/devices/vfio0"), mtty = raw_open(&m, "/dev/vfio/devices/vfio2");
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = m.ioas };
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };
	uint32_t pt_id = 77;

	ck_assert_int_eq(raw_bind(&m, edu), 0);
	ck_assert_int_eq(raw_bind(&m, mtty), 0);
	ck_assert_int_eq(raw_attach(&m, edu, &pt_id), -ENOENT);
	pt_id = 2; /* its own device object */
	ck_assert_int_eq(raw_attach(&m, edu, &pt_id), -EINVAL);
	/* A page table is made for physical devices, shared, and gone with the last of them. */
	pt_id = m.ioas;
	ck_assert_int_eq(raw_attach(&m, mtty, &pt_id), 0);
	ck_assert_uint_eq(pt_id, m.ioas);
	ck_assert_int_eq(raw_attach(&m, edu, &pt_id), 0);
	ck_assert_uint_eq(pt_id, 4);
	ck_assert_int_eq(raw_attach(&m, edu, &pt_id), 0);
	ck_assert_int_eq(raw_attach(&m, mtty, &pt_id), -ENOENT);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_DESTROY, &destroy), -EBUSY);
	ck_assert_int_eq(raw_ioctl(&m, edu, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach), 0);
	ck_assert_int_eq(raw_ioctl(&m, edu, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach), 0);
	pt_id = 4;
	ck_assert_int_eq(raw_attach(&m, edu, &pt_id), -ENOENT);
	detach.flags = 1;
	ck_assert_int_eq(raw_ioctl(&m, edu, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach), -EINVAL);
	raw_close(&m, edu);
	raw_close(&m, mtty);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_DESTROY, &destroy), 0);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_DESTROY, &destroy), -ENOENT);
	raw_stop(&m, 4);
}
END_TEST

START_TEST(iommufd_outlives_its_descriptor)
{
	int fd = raw_device(&m, 0);
	uint32_t pt_id = m.ioas;

	raw_close(&m, m.iommufd);
	ck_assert_int_eq(raw_attach(&m, fd, &pt_id), 0);
	raw_close(&m, fd);
	m.iommufd = raw_open(&m, "/dev/iommu");
	raw_stop(&m, 0);
}
END_TEST

/* address spaces */

static int map(uint32_t flags, void *vaddr, uint64_t length, uint64_t *iova)
{
	struct iommu_ioas_map cmd = { .size = sizeof(cmd),
				      .flags = flags,
				      .ioas_id = m.ioas,
				      .user_va = (uintptr_t)vaddr,
				      .length = length,
				      .iova = *iova };
	int r = raw_ioctl(&m, m.iommufd, IOMMU_IOAS_MAP, &cmd);

	*iova = cmd.iova;
	return r;
}

static int unmap(uint64_t iova, uint64_t *length)
{
	struct iommu_ioas_unmap cmd = { .size = sizeof(cmd), .ioas_id = m.ioas, .iova = iova, .length = *length };
	int r = raw_ioctl(&m, m.iommufd, IOMMU_IOAS_UNMAP, &cmd);

	*length = cmd.length;
	return r;
}

#define RW (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)
#define FIXED (RW | IOMMU_IOAS_MAP_FIXED_IOVA)

static void *memory(size_t length)
{
	void *ptr = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(ptr, MAP_FAILED);
	return ptr;
}

START_TEST(map_rules)
{
	uint64_t iova = 0x10000, length, at;
	uint8_t *ptr = memory(8192);
	int fd = raw_device(&m, 0);

	ck_assert_int_eq(map(0, ptr, 4096, &iova), -EINVAL);
	ck_assert_int_eq(map(FIXED | 8, ptr, 4096, &iova), -EOPNOTSUPP);
	ck_assert_int_eq(map(FIXED, ptr, 0, &iova), -EINVAL);
	ck_assert_int_eq(map(FIXED, ptr, UINT64_MAX, &iova), -EOVERFLOW);
	ck_assert_int_eq(map(FIXED, ptr, 4095, &iova), -EINVAL);
	ck_assert_int_eq(map(FIXED, ptr + 1, 4096, &iova), -EINVAL);
	ck_assert_int_eq(map(FIXED, ptr, 4096, &iova), 0);
	ck_assert_int_eq(map(FIXED, ptr, 4096, &iova), -EEXIST);
	at = UINT64_MAX;
	ck_assert_int_eq(map(FIXED, ptr, 4096, &at), -EOVERFLOW);
	at = UINT64_MAX - 4095;
	ck_assert_int_eq(map(FIXED, ptr, 8192, &at), -EOVERFLOW);
	/* the MSI window and both of its edges, the end of the aperture */
	at = 0xfee00000;
	ck_assert_int_eq(map(FIXED, ptr, 4096, &at), -EINVAL);
	at = 0xfeeff000;
	ck_assert_int_eq(map(FIXED, ptr, 4096, &at), -EINVAL);
	at = 0xfedff000;
	ck_assert_int_eq(map(FIXED, ptr, 8192, &at), -EINVAL);
	ck_assert_int_eq(map(FIXED, ptr, 4096, &at), 0);
	at = 0xfef00000;
	ck_assert_int_eq(map(FIXED, ptr, 4096, &at), 0);
	at = 1ull << 39;
	ck_assert_int_eq(map(FIXED, ptr, 4096, &at), -EINVAL);
	at = (1ull << 39) - 4096;
	ck_assert_int_eq(map(FIXED, ptr, 4096, &at), 0);
	munmap(ptr + 4096, 4096);
	at = 0x20000;
	ck_assert_int_eq(map(FIXED, ptr, 8192, &at), -EFAULT);
	length = UINT64_MAX;
	ck_assert_int_eq(unmap(0, &length), 0);
	ck_assert_uint_eq(length, 4 * 4096);
	raw_close(&m, fd);
	munmap(ptr, 4096);
	raw_stop(&m, 4);
}
END_TEST

START_TEST(map_finds_places)
{
	uint64_t a = 99, b = 99, c = 99, length;
	uint8_t *ptr = memory(4 << 20);
	int fd = raw_device(&m, 0);

	ck_assert_int_eq(map(RW, ptr, 4096, &a), 0);
	ck_assert_uint_eq(a, 4096); /* never 0 */
	ck_assert_int_eq(map(RW, ptr, 8192, &b), 0);
	ck_assert_uint_eq(b % 8192, 0);
	ck_assert_uint_ne(b, a);
	ck_assert_int_eq(map(RW, ptr, 1ull << 63, &c), -EOVERFLOW);
	length = 4096;
	ck_assert_int_eq(unmap(a, &length), 0);
	length = 8192;
	ck_assert_int_eq(unmap(b, &length), 0);
	raw_close(&m, fd);
	munmap(ptr, 4 << 20);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(unmap_rules)
{
	uint8_t *ptr = memory(16384);
	uint64_t iova, length;

	for (iova = 0x1000; iova <= 0x3000; iova += 0x1000)
		ck_assert_int_eq(map(FIXED, ptr, 4096, &iova), 0);
	length = 0;
	ck_assert_int_eq(unmap(0x1000, &length), -EINVAL);
	length = 4096;
	ck_assert_int_eq(unmap(0x8000, &length), -ENOENT);
	length = 2048;
	ck_assert_int_eq(unmap(0x1000, &length), -ENOENT);
	/* What lies before the map it cuts is gone. */
	length = 0x1800;
	ck_assert_int_eq(unmap(0x1000, &length), -ENOENT);
	ck_assert_uint_eq(raw_usage(&m).maps, 2);
	/* Holes are passed over, several maps are taken at once. */
	length = 0x5000;
	ck_assert_int_eq(unmap(0, &length), 0);
	ck_assert_uint_eq(length, 8192);
	length = UINT64_MAX;
	ck_assert_int_eq(unmap(0, &length), 0);
	ck_assert_uint_eq(length, 0);
	munmap(ptr, 16384);
	raw_stop(&m, 1);
}
END_TEST

static int ranges(uint32_t room, struct iommu_ioas_iova_ranges *cmd, struct iommu_iova_range *list)
{
	*cmd = (struct iommu_ioas_iova_ranges){
		.size = sizeof(*cmd), .ioas_id = m.ioas, .num_iovas = room, .allowed_iovas = (uintptr_t)list
	};
	return raw_ioctl(&m, m.iommufd, IOMMU_IOAS_IOVA_RANGES, cmd);
}

START_TEST(ranges_follow_attachment)
{
	struct iommu_ioas_iova_ranges cmd;
	struct iommu_iova_range list[2];
	uint8_t *ptr = memory(4096);
	uint64_t iova = 0xfee00000, length = 4096;
	uint32_t pt_id = m.ioas;
	int mtty, edu;

	ck_assert_int_eq(ranges(1, &cmd, list), 0);
	ck_assert_uint_eq(list[0].last, UINT64_MAX);
	ck_assert_uint_eq(cmd.out_iova_alignment, 1);
	mtty = raw_device(&m, 2);
	ck_assert_int_eq(ranges(1, &cmd, list), 0);
	ck_assert_uint_eq(cmd.out_iova_alignment, 4096);
	ck_assert_int_eq(map(FIXED, ptr, 4096, &iova), 0); /* an mdev reserves nothing */
	edu = raw_open(&m, "/dev/vfio/devices/vfio0");
	ck_assert_int_eq(raw_bind(&m, edu), 0);
	ck_assert_int_eq(raw_attach(&m, edu, &pt_id), -EADDRINUSE);
	ck_assert_int_eq(unmap(iova, &length), 0);
	ck_assert_int_eq(raw_attach(&m, edu, &pt_id), 0);
	ck_assert_int_eq(ranges(0, &cmd, NULL), -EMSGSIZE);
	ck_assert_uint_eq(cmd.num_iovas, 2);
	ck_assert_int_eq(ranges(1, &cmd, list), -EMSGSIZE);
	ck_assert_int_eq(ranges(2, &cmd, list), 0);
	ck_assert_uint_eq(list[0].last, 0xfedfffff);
	ck_assert_uint_eq(list[1].start, 0xfef00000);
	ck_assert_uint_eq(list[1].last, 0x7fffffffff);
	raw_close(&m, edu);
	ck_assert_int_eq(ranges(1, &cmd, list), 0);
	raw_close(&m, mtty);
	munmap(ptr, 4096);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(iommufd_sizes)
{
	struct {
		struct iommu_ioas_alloc cmd;
		uint32_t tail;
	} longer = { .cmd = { .size = sizeof(longer) } };

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_ALLOC, &longer), 0);
	longer.tail = 1;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_ALLOC, &longer), -E2BIG);
	longer.cmd.size = sizeof(longer.cmd) - 1;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_ALLOC, &longer), -EINVAL);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOCTL(0x20), &longer), -ENOTTY);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_ALLOC, NULL), -EFAULT);
	raw_stop(&m, 3);
}
END_TEST

/* information, regions, configuration */

START_TEST(capability_chain_protocol)
{
	struct {
		struct vfio_region_info info;
		struct vfio_region_info_cap_type cap;
	} room = { 0 };
	int fd = raw_device(&m, 0);

	room.info = (struct vfio_region_info){ .argsz = sizeof(room.info), .index = EDU_CONTENTS };
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_GET_REGION_INFO, &room), 0);
	ck_assert_uint_eq(room.info.argsz, sizeof(room));
	ck_assert_uint_eq(room.info.cap_offset, 0);
	ck_assert_uint_ne(room.info.flags & VFIO_REGION_INFO_FLAG_CAPS, 0);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_GET_REGION_INFO, &room), 0);
	ck_assert_uint_eq(room.info.cap_offset, sizeof(room.info));
	ck_assert_uint_eq(room.cap.type, 0x80001234);
	ck_assert_uint_eq(room.cap.subtype, 1);
	ck_assert_uint_eq(room.info.size, 256 << 10);
	room.info = (struct vfio_region_info){ .argsz = sizeof(room.info) - 1 };
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_GET_REGION_INFO, &room), -EINVAL);
	room.info = (struct vfio_region_info){ .argsz = sizeof(room.info), .index = 11 };
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_GET_REGION_INFO, &room), -EINVAL);
	room.info.index = VFIO_PCI_VGA_REGION_INDEX;
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_GET_REGION_INFO, &room), -EINVAL);
	room.info.index = 3;
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_GET_REGION_INFO, &room), 0);
	ck_assert_uint_eq(room.info.size, 0);
	raw_close(&m, fd);
	raw_stop(&m, 1);
}
END_TEST

START_TEST(bars_need_memory_decode)
{
	int fd = raw_device(&m, 0);
	char byte;

	ck_assert_uint_eq(raw_peek(&m, fd, EDU_BAR, 0, 4), 0x010000ed);
	ck_assert_uint_eq(raw_peek(&m, fd, EDU_BAR, 0, 8), UINT64_MAX); /* as QEMU's model answers 64 bits there */
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 0, 2), 2);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, &byte, 1, REGION(EDU_BAR, 0)), -EIO);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 2, 2), 2);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, &byte, 1, REGION(EDU_BAR, 1 << 20)), -EINVAL);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, &byte, 0, REGION(EDU_BAR, 1 << 20)), 0);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, &byte, 1, REGION(6, 0)), -EINVAL);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, &byte, 1, REGION(11, 0)), -EINVAL);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_BAR, 4, 0x12345678, 4), 4);
	ck_assert_uint_eq(raw_peek(&m, fd, EDU_BAR, 4, 4), ~0x12345678u);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_BAR, 8, 5, 4), 4);
	ck_assert_uint_eq(raw_peek(&m, fd, EDU_BAR, 8, 4), 120);
	raw_close(&m, fd);
	raw_stop(&m, 1);
}
END_TEST

START_TEST(configuration_is_virtual)
{
	int fd = raw_device(&m, 0);
	uint8_t space[256];

	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0, 4), 0x11e81234);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 0, 0, 4), 4);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0, 4), 0x11e81234);
	/* sizing a BAR */
	ck_assert_int_eq(raw_poke(&m, fd, 7, 0x10, 0xffffffff, 4), 4);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0x10, 4), 0xfff00000);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 0x14, 0xffffffff, 4), 4);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0x14, 4), 0);
	/* MSI cannot be switched on here */
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0x34, 1), 0x40);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0x40, 1), 5);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 0x42, 0xff, 1), 1);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0x42, 1) & 1, 0);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 6, 2), 2);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 4, 2) & 7, 6);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, space, 256, REGION(7, 0)), 256);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, space, 1, REGION(7, 256)), -EFAULT);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, space, 2, REGION(7, 255)), -EFAULT);
	/* a reset leaves it, closing does not */
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 4, 2) & 4, 4);
	raw_close(&m, fd);
	fd = raw_device(&m, 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 4, 2) & 4, 0);
	raw_close(&m, fd);
	raw_stop(&m, 2);
}
END_TEST

START_TEST(only_memory_is_mapped)
{
	struct vfm_sim_usage usage;
	uint8_t *ptr = NULL, byte;
	void *map_ptr;
	int fd;

	raw_start(&m, NULL, "nvgrace-gpu,state=64k;edu");
	fd = raw_device(&m, 1);
	ck_assert_int_eq(m.sys->ops->mmap(m.sys, NULL, 4096, PROT_READ, MAP_SHARED, fd, REGION(0, 0), &map_ptr),
			 -EINVAL);
	raw_close(&m, fd);
	fd = raw_device(&m, 0);
	ck_assert_int_eq(m.sys->ops->mmap(m.sys, NULL, 65536 + 4096, PROT_READ, MAP_SHARED, fd, REGION(4, 0), &map_ptr),
			 -EINVAL);
	ck_assert_int_eq(m.sys->ops->mmap(m.sys, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, REGION(4, 0), &map_ptr),
			 -EINVAL);
	ck_assert_int_eq(
		m.sys->ops->mmap(m.sys, NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, REGION(4, 0), &map_ptr),
		0);
	ptr = map_ptr;
	ptr[100] = 0x42;
	ck_assert_uint_eq(raw_peek(&m, fd, 4, 100, 1), 0x42);
	/* A mapping keeps the device open. */
	raw_close(&m, fd);
	usage = raw_usage(&m);
	ck_assert_uint_eq(usage.devices_open, 1);
	ck_assert_uint_eq(usage.mmaps, 1);
	ck_assert_int_eq(m.sys->ops->munmap(m.sys, ptr, 65536), 0);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, "0000:01:00.0", 100, &byte, 1), 0);
	ck_assert_uint_eq(byte, 0);
	raw_stop(&m, 0);
}
END_TEST

#define SIDE_BY_SIDE 4u

/* Of a file too. Maps as short as a page of the host lie side by side: no luck lets each begin a larger one. */
START_TEST(files_begin_at_pages_of_the_machine)
{
	void *ptrs[SIDE_BY_SIDE] = { 0 };
	int file;

	raw_start(&m, NULL, "pagesize=64k;edu");
	file = memfd_create("ram", MFD_CLOEXEC);
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(ftruncate(file, 4096), 0);
	for (size_t i = 0; i < SIDE_BY_SIDE; i++) {
		ck_assert_int_eq(m.sys->ops->mmap(m.sys, NULL, 4096, PROT_READ, MAP_SHARED, file, 0, &ptrs[i]), 0);
		ck_assert_uint_eq((uintptr_t)ptrs[i] % 65536, 0);
	}
	for (size_t i = 0; i < SIDE_BY_SIDE; i++)
		ck_assert_int_eq(m.sys->ops->munmap(m.sys, ptrs[i], 4096), 0);
	close(file);
	raw_stop(&m, 0);
}
END_TEST

/* interrupts */

static int set_irqs(int fd, uint32_t index, uint32_t flags, uint32_t start_vector, uint32_t count, int eventfd)
{
	uint32_t room[6];
	const uint32_t set[] = { sizeof(room), flags, index, start_vector, count };

	memcpy(room, set, sizeof(set));
	memcpy(&room[5], &eventfd, sizeof(eventfd));
	return raw_ioctl(&m, fd, VFIO_DEVICE_SET_IRQS, room);
}

#define ARM (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define FIRE (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)

static uint64_t taken(int fd)
{
	uint64_t count = 0;

	return raw_read(&m, fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

START_TEST(msi_of_edu)
{
	int fd = raw_device(&m, 0), event = m.sys->ops->eventfd(m.sys, 0, O_NONBLOCK);
	int null = m.sys->ops->open(m.sys, "/dev/null", O_RDWR, 0);

	ck_assert_int_eq(set_irqs(fd, 1, ARM, 1, 1, event), -EINVAL);
	ck_assert_int_eq(set_irqs(fd, 1, ARM, 0, 2, event), -EINVAL);
	ck_assert_int_eq(set_irqs(fd, 1, ARM, 0, 1, 999), -EBADF);
	ck_assert_int_eq(set_irqs(fd, 1, ARM, 0, 1, null), -EINVAL);
	ck_assert_int_eq(set_irqs(fd, 1, ARM, 0, 0, event), -ERANGE);
	ck_assert_int_eq(set_irqs(fd, 1, FIRE, 0, 1, -1), -EINVAL);
	ck_assert_int_eq(set_irqs(fd, 3, ARM, 0, 1, event), -EINVAL); /* ERR is of PCI Express */
	ck_assert_int_eq(set_irqs(fd, 1, ARM, 0, 1, event), 0);
	ck_assert_int_eq(set_irqs(fd, 0, ARM, 0, 1, event), -EINVAL); /* one kind at a time */
	ck_assert_int_eq(set_irqs(fd, 1, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, 0, 1, -1), -ENOTTY);
	ck_assert_int_eq(set_irqs(fd, 1, FIRE, 0, 1, -1), 0);
	ck_assert_uint_eq(taken(event), 1);
	/* The device's own messages need bus master. */
	ck_assert_int_eq(raw_poke(&m, fd, EDU_BAR, 0x60, 1, 4), 4);
	ck_assert_uint_eq(taken(event), 0);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 6, 2), 2);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_BAR, 0x60, 2, 4), 4);
	ck_assert_uint_eq(taken(event), 1);
	ck_assert_uint_eq(raw_peek(&m, fd, EDU_BAR, 0x24, 4), 3);
	/* armed over a reset; gone with the disarming */
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "irq=1:0"), 0);
	ck_assert_uint_eq(taken(event), 1);
	ck_assert_int_eq(set_irqs(fd, 1, FIRE, 0, 0, -1), 0);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "irq=1:0"), -EINVAL);
	raw_close(&m, null);
	raw_close(&m, event);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(pin_masks_itself)
{
	int fd = raw_device(&m, 0), event = m.sys->ops->eventfd(m.sys, 0, O_NONBLOCK);

	ck_assert_int_eq(set_irqs(fd, 0, ARM, 0, 1, event), 0);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_BAR, 0x60, 1, 4), 4);
	ck_assert_uint_eq(taken(event), 1);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_BAR, 0x60, 2, 4), 4);
	ck_assert_uint_eq(taken(event), 0);
	/* still asserted: unmasked it comes again */
	ck_assert_int_eq(set_irqs(fd, 0, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, -1), 0);
	ck_assert_uint_eq(taken(event), 1);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_BAR, 0x64, 3, 4), 4);
	ck_assert_int_eq(set_irqs(fd, 0, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, -1), 0);
	ck_assert_uint_eq(taken(event), 0);
	/* INTx disable in the command register */
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 0x402, 2), 2);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_BAR, 0x60, 1, 4), 4);
	ck_assert_uint_eq(taken(event), 0);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 0x002, 2), 2);
	ck_assert_uint_eq(taken(event), 1);
	raw_close(&m, event);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(mtty_learns_of_interrupts_from_get_info)
{
	int fd = raw_device(&m, 2), event = m.sys->ops->eventfd(m.sys, 0, O_NONBLOCK);
	struct vfio_device_info info = { .argsz = sizeof(info) };

	ck_assert_int_eq(set_irqs(fd, 1, ARM, 0, 1, event), -EINVAL);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_GET_INFO, &info), 0);
	ck_assert_uint_eq(info.flags, VFIO_DEVICE_FLAGS_PCI);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0); /* not announced, done all the same */
	ck_assert_int_eq(set_irqs(fd, 1, ARM, 0, 1, event), 0);
	ck_assert_int_eq(set_irqs(fd, 1, FIRE, 0, 1, -1), 0);
	ck_assert_uint_eq(taken(event), 1);
	ck_assert_int_eq(set_irqs(fd, 2, ARM, 0, 1, event), -ENOTTY);
	raw_close(&m, event);
	raw_close(&m, fd);
	raw_stop(&m, 1);
}
END_TEST

/* DMA */

START_TEST(pump_moves_memory)
{
	uint64_t iova = 0x100000, length = 8192, begin;
	uint8_t *ptr = memory(8192);
	int fd = raw_device(&m, 0);

	memset(ptr, 0x3c, 16);
	ck_assert_int_eq(map(FIXED, ptr, 8192, &iova), 0);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 6, 2), 2);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTROL, 0x00, 1, 8), -EINVAL); /* not set up */
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTROL, 0x08, iova, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTROL, 0x10, iova + 4096, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTROL, 0x18, 16, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTROL, 0x20, 16, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTROL, 0x28, 4, 8), 8);
	begin = vfm_sim_now_ns(m.sim);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTROL, 0x00, 1, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTROL, 0x18, 8, 8), -EBUSY); /* not while it runs */
	vfm_sim_advance_ns(m.sim, 1000000000);
	ck_assert_uint_eq(vfm_sim_now_ns(m.sim), begin + 1000000000);
	ck_assert_uint_ge(raw_peek(&m, fd, EDU_CONTROL, 0x30, 8), 4);
	ck_assert_mem_eq(ptr + 4096, ptr, 16);
	ck_assert_mem_eq(ptr + 4096 + 48, ptr, 16);
	/* stopped: nothing more, and writing is refused */
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_STOP, NULL), 0);
	length = raw_peek(&m, fd, EDU_CONTROL, 0x30, 8);
	vfm_sim_advance_ns(m.sim, 1000000000);
	ck_assert_uint_eq(raw_peek(&m, fd, EDU_CONTROL, 0x30, 8), length);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTROL, 0x00, 0, 8), -EBUSY);
	ck_assert_int_eq(raw_poke(&m, fd, EDU_CONTENTS, 0, 0, 1), -EBUSY);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_RUNNING, NULL), 0);
	vfm_sim_advance_ns(m.sim, 1000000000);
	ck_assert_uint_gt(raw_peek(&m, fd, EDU_CONTROL, 0x30, 8), length);
	/* without bus master it counts in vain */
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 2, 2), 2);
	vfm_sim_advance_ns(m.sim, 1000000000);
	ck_assert_uint_gt(raw_peek(&m, fd, EDU_CONTROL, 0x38, 8), 0);
	length = 8192;
	ck_assert_int_eq(unmap(iova, &length), 0);
	raw_close(&m, fd);
	munmap(ptr, 8192);
	raw_stop(&m, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_device");
	TCase *running = tcase_create("machine"), *own = tcase_create("own");

	suite_add_tcase(suite, running);
	suite_add_tcase(suite, own);
	tcase_add_checked_fixture(running, start, NULL);
	tcase_add_test(running, nothing_before_bind);
	tcase_add_test(running, bind_rules);
	tcase_add_test(running, pci_is_reset_by_bind_and_last_close);
	tcase_add_test(running, mdev_keeps_its_state_over_close);
	tcase_add_test(running, attach_rules);
	tcase_add_test(running, iommufd_outlives_its_descriptor);
	tcase_add_test(running, map_rules);
	tcase_add_test(running, map_finds_places);
	tcase_add_test(running, unmap_rules);
	tcase_add_test(running, ranges_follow_attachment);
	tcase_add_test(running, iommufd_sizes);
	tcase_add_test(running, capability_chain_protocol);
	tcase_add_test(running, bars_need_memory_decode);
	tcase_add_test(running, configuration_is_virtual);
	tcase_add_test(own, only_memory_is_mapped);
	tcase_add_test(own, files_begin_at_pages_of_the_machine);
	tcase_add_test(running, msi_of_edu);
	tcase_add_test(running, pin_masks_itself);
	tcase_add_test(running, mtty_learns_of_interrupts_from_get_info);
	tcase_add_test(running, pump_moves_memory);
	return run_suite(suite);
}
