/* SPDX-License-Identifier: MIT */
/* VFIO_IOMMU_DIRTY_PAGES of the simulated machine: behind an IOMMU everything is dirty, mediated devices are watched.
 */
#include <sys/mman.h>

#include "sim_raw.h"

#define PAGE 4096u
#define PAGES 256u
#define BASE 0x100000u
#define DEVICES "edu@" EDU_A ",state=64k;edu@" EDU_B ",state=64k;mtty@" MTTY_A

static struct raw m;
static uint8_t *ram;
static uint64_t bits[PAGES / 64];
static int group, container;

static void start_with(const char *machine)
{
	raw_start(&m, NULL, machine);
	ram = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ram, MAP_FAILED);
}

static void start(void)
{
	start_with(DEVICES);
}

static void start_newest(void)
{
	start_with("kernel=7.2;" DEVICES);
}

static void write_page(const char *device, uint64_t number)
{
	char action[64];

	snprintf(action, sizeof(action), "write=%#llx:1", (unsigned long long)(BASE + number * PAGE));
	ck_assert_int_eq(vfm_sim_poke(m.sim, device, action), 0);
}

static int set_container(int fd)
{
	int32_t argument = container;

	return raw_ioctl(&m, fd, VFIO_GROUP_SET_CONTAINER, &argument);
}

static int container_with(const char *path, unsigned long type)
{
	container = raw_open(&m, "/dev/vfio/vfio");
	group = raw_open(&m, path);
	ck_assert_int_ge(group, 0);
	ck_assert_int_eq(set_container(group), 0);
	ck_assert_int_eq(raw_ioctl(&m, container, VFIO_SET_IOMMU, (void *)type), 0);
	return container;
}

static int map_dma(uint64_t number, uint64_t pages)
{
	struct vfio_iommu_type1_dma_map cmd = { .argsz = sizeof(cmd),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = (uintptr_t)ram,
						.iova = BASE + number * PAGE,
						.size = pages * PAGE };

	return raw_ioctl(&m, container, VFIO_IOMMU_MAP_DMA, &cmd);
}

static int dirty_pages(uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap cmd = { .argsz = sizeof(cmd), .flags = flags };

	return raw_ioctl(&m, container, VFIO_IOMMU_DIRTY_PAGES, &cmd);
}

static int get_dirty(uint64_t iova, uint64_t size, uint64_t pgsize, uint64_t bytes, void *data)
{
	uint64_t room[6];
	struct vfio_iommu_type1_dirty_bitmap *cmd = (struct vfio_iommu_type1_dirty_bitmap *)room;
	const struct vfio_iommu_type1_dirty_bitmap_get range = {
		.iova = iova, .size = size, .bitmap = { .pgsize = pgsize, .size = bytes, .data = (uintptr_t)data }
	};

	cmd->argsz = sizeof(room);
	cmd->flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
	memcpy(cmd->data, &range, sizeof(range));
	return raw_ioctl(&m, container, VFIO_IOMMU_DIRTY_PAGES, cmd);
}

static int unmap_dirty(uint64_t number, uint64_t *pages, uint64_t bytes, void *data)
{
	uint64_t room[6];
	struct vfio_iommu_type1_dma_unmap *cmd = (struct vfio_iommu_type1_dma_unmap *)room;
	const struct vfio_bitmap bitmap = { .pgsize = PAGE, .size = bytes, .data = (uintptr_t)data };
	int r;

	*cmd = (struct vfio_iommu_type1_dma_unmap){ .argsz = sizeof(room),
						    .flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
						    .iova = BASE + number * PAGE,
						    .size = *pages * PAGE };
	memcpy(cmd->data, &bitmap, sizeof(bitmap));
	r = raw_ioctl(&m, container, VFIO_IOMMU_UNMAP_DMA, cmd);
	*pages = cmd->size / PAGE;
	return r;
}

static void stop_container(uint64_t strict)
{
	raw_close(&m, group);
	raw_close(&m, container);
	munmap(ram, (size_t)PAGES * PAGE);
	raw_stop(&m, strict);
}

START_TEST(type1_rules)
{
	static const struct {
		uint64_t iova, size, pgsize, bytes;
		int result;
	} rows[] = {
		{ BASE, 64 * PAGE, PAGE, 8, 0 },
		{ BASE, 64 * PAGE, PAGE, 7, -EINVAL },
		{ BASE, 65 * PAGE, PAGE, 8, -EINVAL },
		{ BASE, 64 * PAGE, PAGE, 32, 0 },
		{ BASE, 64 * PAGE, PAGE, (1ull << 28) + 1, -EINVAL },
		{ BASE, 64 * PAGE, 2 * PAGE, 8, -EINVAL },
		{ BASE, 0, PAGE, 8, -EINVAL },
		{ BASE + 1, PAGE, PAGE, 8, -EINVAL },
		{ BASE, PAGE + 1, PAGE, 8, -EINVAL },
		{ BASE, 32 * PAGE, PAGE, 8, -EINVAL },
		{ BASE + PAGE, 63 * PAGE, PAGE, 8, -EINVAL },
		{ BASE - 64 * PAGE, 256 * PAGE, PAGE, 32, 0 },
		{ UINT64_MAX - PAGE + 1, PAGE, PAGE, 8, -EINVAL },
	};
	uint64_t pages = 64;

	container_with("/dev/vfio/1", VFIO_TYPE1v2_IOMMU);
	ck_assert_int_eq(map_dma(0, 64), 0);
	ck_assert_int_eq(get_dirty(BASE, 64 * PAGE, PAGE, 8, bits), -EINVAL);
	ck_assert_int_eq(unmap_dirty(0, &pages, 8, bits), -EINVAL);
	ck_assert_uint_eq(pages, 64);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	ck_assert_int_eq(dirty_pages(3), -EINVAL);
	ck_assert_int_eq(dirty_pages(8), -EINVAL);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP), -EINVAL);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++)
		ck_assert_msg(get_dirty(rows[i].iova, rows[i].size, rows[i].pgsize, rows[i].bytes, bits) ==
				      rows[i].result,
			      "row %zu", i);
	ck_assert_int_eq(get_dirty(BASE, 64 * PAGE, PAGE, 8, NULL), -EFAULT);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0);
	ck_assert_int_eq(get_dirty(BASE, 64 * PAGE, PAGE, 8, bits), -EINVAL);
	stop_container(3);
}
END_TEST

/* Since Linux 6.18; before, both are a wrap, and that is EINVAL. */
START_TEST(type1_knows_the_last_address)
{
	container_with("/dev/vfio/1", VFIO_TYPE1v2_IOMMU);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	ck_assert_int_eq(get_dirty(UINT64_MAX - PAGE + 1, PAGE, PAGE, 8, bits), 0);
	ck_assert_int_eq(get_dirty(UINT64_MAX - PAGE + 1, 2 * PAGE, PAGE, 8, bits), -EOVERFLOW);
	ck_assert_int_eq(get_dirty(UINT64_MAX - PAGE + 1, 0, PAGE, 8, bits), -EINVAL);
	stop_container(0);
}
END_TEST

START_TEST(type1_first_version_has_none)
{
	container_with("/dev/vfio/1", VFIO_TYPE1_IOMMU);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), -EACCES);
	stop_container(0);
}
END_TEST

/*
 * Behind an IOMMU everything is dirty whenever one asks; words of a map are written whole, holes are not touched. What
 * stood in a map's last word above as many bits as it has pages comes again, shifted once more, behind its end.
 */
START_TEST(type1_of_a_physical_device)
{
	uint64_t pages = 8;

	container_with("/dev/vfio/1", VFIO_TYPE1v2_IOMMU);
	ck_assert_int_eq(map_dma(4, 8), 0);
	ck_assert_int_eq(map_dma(130, 2), 0);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	for (int i = 0; i < 2; i++) {
		bits[0] = 1;
		bits[1] = 1;
		ck_assert_int_eq(get_dirty(BASE, PAGES * PAGE, PAGE, sizeof(bits), bits), 0);
		ck_assert_uint_eq(bits[0], i ? 0xfff1 : 0xff1);
		ck_assert_uint_eq(bits[1], 1);
		ck_assert_uint_eq(bits[2], i ? 0x3c : 0xc);
		bits[2] = 0;
	}
	/* A new start is a new log. */
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	/* Where no bitmap of a user can be. */
	ck_assert_int_eq(get_dirty(BASE, PAGES * PAGE, PAGE, sizeof(bits), (void *)~(uintptr_t)4095), -EINVAL);
	bits[0] = UINT64_MAX;
	ck_assert_int_eq(unmap_dirty(5, &pages, 8, bits), -EINVAL);
	pages = 8;
	ck_assert_int_eq(unmap_dirty(4, &pages, 8, NULL), -EFAULT);
	ck_assert_int_eq(unmap_dirty(4, &pages, 8, bits), 0);
	ck_assert_uint_eq(pages, 8);
	ck_assert_uint_eq(bits[0], 0xff);
	ck_assert_int_eq(get_dirty(BASE, 64 * PAGE, PAGE, 8, bits), 0);
	stop_container(0);
}
END_TEST

START_TEST(type1_of_a_mediated_device)
{
	uint64_t pages = 8;
	int fd, other_group;

	container_with("/dev/vfio/3", VFIO_TYPE1v2_IOMMU);
	fd = raw_ioctl(&m, group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)MTTY_A);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(map_dma(0, 8), 0);
	ck_assert_int_eq(map_dma(8, 8), 0);
	write_page(MTTY_A, 1);
	ck_assert_int_eq(dirty_pages(VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	ck_assert_int_eq(get_dirty(BASE, 16 * PAGE, PAGE, 8, bits), 0);
	ck_assert_uint_eq(bits[0], 0);
	write_page(MTTY_A, 2);
	write_page(MTTY_A, 9);
	ck_assert_int_eq(get_dirty(BASE, 16 * PAGE, PAGE, 8, bits), 0);
	ck_assert_uint_eq(bits[0], 0x204);
	bits[0] = 0;
	ck_assert_int_eq(get_dirty(BASE, 16 * PAGE, PAGE, 8, bits), 0);
	ck_assert_uint_eq(bits[0], 0x20000); /* behind the end */
	write_page(MTTY_A, 3);
	write_page(MTTY_A, 8);
	ck_assert_int_eq(unmap_dirty(0, &pages, 8, bits), 0);
	ck_assert_uint_eq(bits[0], 8);
	/* A physical one comes and goes: once more everything is dirty. */
	other_group = raw_open(&m, "/dev/vfio/1");
	ck_assert_int_eq(set_container(other_group), 0);
	raw_close(&m, other_group);
	bits[0] = 0;
	ck_assert_int_eq(get_dirty(BASE, 16 * PAGE, PAGE, 8, bits), 0);
	ck_assert_uint_eq(bits[0] & 0xffff, 0xff00);
	bits[0] = 0;
	ck_assert_int_eq(get_dirty(BASE, 16 * PAGE, PAGE, 8, bits), 0);
	ck_assert_uint_eq(bits[0] & 0xffff, 0);
	raw_close(&m, fd);
	stop_container(0);
}
END_TEST

/* What a device was opened under is what it holds: a container its group went to later lets go of that group. */
START_TEST(from_an_iommufd_to_a_container)
{
	int32_t iommufd = m.iommufd;
	int fd;

	container_with("/dev/vfio/3", VFIO_TYPE1v2_IOMMU);
	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_SET_CONTAINER, &iommufd), 0);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU), 0);
	fd = raw_ioctl(&m, group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)MTTY_A);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	ck_assert_int_eq(set_container(group), 0);
	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_UNSET_CONTAINER, NULL), 0);
	raw_close(&m, fd);
	stop_container(0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_dirty_container");
	TCase *all = tcase_create("all"), *newest = tcase_create("newest");

	tcase_add_checked_fixture(all, start, NULL);
	tcase_add_test(all, type1_rules);
	tcase_add_test(all, type1_first_version_has_none);
	tcase_add_test(all, type1_of_a_physical_device);
	tcase_add_test(all, type1_of_a_mediated_device);
	tcase_add_test(all, from_an_iommufd_to_a_container);
	suite_add_tcase(suite, all);
	tcase_add_checked_fixture(newest, start_newest, NULL);
	tcase_add_test(newest, type1_knows_the_last_address);
	suite_add_tcase(suite, newest);
	return run_suite(suite);
}
