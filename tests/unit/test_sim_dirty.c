/* SPDX-License-Identifier: MIT */
/* What the simulated machine remembers of the writes of its devices: the IOMMU's bits, the device's log, type1's pages.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "sim_raw.h"
#include "sim/pages.h"

#define PAGE 4096u
#define PAGES 256u
#define BASE 0x100000u
#define MLX5 "0000:03:00.0"
#define PDS "0000:04:00.0"
#define XE "0000:05:00.0"
/* cdevs */
#define TRACKS 0u
#define LOGS 1u
#define MTTY 2u
#define MLX5_CDEV 3u
#define PDS_CDEV 4u
#define XE_CDEV 5u
#define DEVICES                                                                                                        \
	"edu@" EDU_A ",state=64k,dirty=1;edu@" EDU_B ",state=64k,log=1;mtty@" MTTY_A ";mlx5@" MLX5                     \
	",state=64k;pds@" PDS ";xe@" XE ",state=64k"
#define FIXED (IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

static struct raw m;
static uint8_t *ram;
static uint64_t bits[PAGES / 64];

static uint8_t *memory(size_t length)
{
	uint8_t *ptr = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(ptr, MAP_FAILED);
	return ptr;
}

static void start_with(const char *spec)
{
	raw_start(&m, NULL, spec);
	ram = memory((size_t)PAGES * PAGE);
	memset(bits, 0, sizeof(bits));
}

static void start(void)
{
	start_with(DEVICES);
}

static void stop(uint64_t strict)
{
	munmap(ram, (size_t)PAGES * PAGE);
	raw_stop(&m, strict);
}

static int map(uint64_t iova, uint64_t pages)
{
	struct iommu_ioas_map cmd = { .size = sizeof(cmd),
				      .flags = FIXED,
				      .ioas_id = m.ioas,
				      .user_va = (uintptr_t)ram,
				      .length = pages * PAGE,
				      .iova = iova };

	return raw_ioctl(&m, m.iommufd, IOMMU_IOAS_MAP, &cmd);
}

static void unmap(uint64_t iova, uint64_t pages)
{
	struct iommu_ioas_unmap cmd = { .size = sizeof(cmd), .ioas_id = m.ioas, .iova = iova, .length = pages * PAGE };

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_UNMAP, &cmd), 0);
}

/* A device may be a master of the bus only when its command register says so. */
static void master(int fd)
{
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 6, 2), 2);
}

static int write_at(const char *device, uint64_t iova, uint64_t length)
{
	char action[64];

	snprintf(action, sizeof(action), "write=%#llx:%llu", (unsigned long long)iova, (unsigned long long)length);
	return vfm_sim_poke(m.sim, device, action);
}

static void write_page(const char *device, uint64_t number)
{
	ck_assert_int_eq(write_at(device, BASE + number * PAGE, 1), 0);
}

static bool bit(uint64_t number)
{
	return bits[number / 64] >> number % 64 & 1;
}

static unsigned int count(void)
{
	unsigned int n = 0;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(bits); i++)
		n += (unsigned int)__builtin_popcountll(bits[i]);
	return n;
}

/* the IOMMU */

static uint32_t tracked;

/* An edu on a page table that tracks, and memory behind it. */
static int tracking_device(void)
{
	struct vfio_device_bind_iommufd bind = { .argsz = 16, .iommufd = m.iommufd };
	struct iommu_hwpt_alloc alloc = { .size = sizeof(alloc),
					  .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
					  .pt_id = m.ioas };
	int fd = raw_open(&m, "/dev/vfio/devices/vfio0");

	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	alloc.dev_id = bind.out_devid;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_ALLOC, &alloc), 0);
	tracked = alloc.out_hwpt_id;
	ck_assert_int_eq(raw_attach(&m, fd, &alloc.out_hwpt_id), 0);
	master(fd);
	return fd;
}

static void track(bool on)
{
	struct iommu_hwpt_set_dirty_tracking cmd = { .size = sizeof(cmd),
						     .flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
						     .hwpt_id = tracked };

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd), 0);
}

static int get_into(void *data, uint64_t iova, uint64_t pages, uint64_t page_size, uint32_t flags)
{
	struct iommu_hwpt_get_dirty_bitmap cmd = { .size = sizeof(cmd),
						   .hwpt_id = tracked,
						   .flags = flags,
						   .iova = iova,
						   .length = pages * PAGE,
						   .page_size = page_size,
						   .data = (uintptr_t)data };

	return raw_ioctl(&m, m.iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
}

/* How many are dirty, read anew. */
static unsigned int get(uint64_t number, uint64_t pages, uint32_t flags)
{
	memset(bits, 0, sizeof(bits));
	ck_assert_int_eq(get_into(bits, BASE + number * PAGE, pages, PAGE, flags), 0);
	return count();
}

START_TEST(iommu_bits)
{
	int fd = tracking_device();

	ck_assert_int_eq(map(BASE, PAGES), 0);
	write_page(EDU_A, 1); /* before it is on */
	track(true);
	ck_assert_uint_eq(get(0, PAGES, 0), 0);
	write_page(EDU_A, 0);
	ck_assert_int_eq(write_at(EDU_A, BASE + 64 * PAGE - 1, 2), 0);
	write_page(EDU_A, PAGES - 1);
	ck_assert_uint_eq(get(0, PAGES, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR), 4);
	ck_assert(bit(0) && bit(63) && bit(64) && bit(PAGES - 1));
	/* Bit 0 is the first page asked for; what is asked for alone is taken. */
	ck_assert_uint_eq(get(64, 64, 0), 1);
	ck_assert(bit(0));
	ck_assert_uint_eq(get(0, PAGES, 0), 3);
	ck_assert_uint_eq(get(0, PAGES, 0), 0);
	/* Bits are only set. */
	bits[0] = 6;
	write_page(EDU_A, 0);
	ck_assert_int_eq(get_into(bits, BASE, PAGES, PAGE, 0), 0);
	ck_assert_uint_eq(bits[0], 7);
	/* Turning it on anew forgets, off as well, in its way. */
	write_page(EDU_A, 5);
	track(true);
	ck_assert_uint_eq(get(0, PAGES, 0), 0);
	write_page(EDU_A, 5);
	track(false);
	write_page(EDU_A, 6);
	ck_assert_uint_eq(get(0, PAGES, 0), 0);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

START_TEST(iommu_page_sizes)
{
	int fd = tracking_device();

	ck_assert_int_eq(map(BASE, PAGES), 0);
	track(true);
	write_page(EDU_A, 7);
	write_page(EDU_A, 8);
	write_page(EDU_A, 255);
	ck_assert_int_eq(get_into(bits, BASE, PAGES, 8 * PAGE, 0), 0);
	ck_assert_uint_eq(bits[0], 1u << 31 | 3);
	ck_assert_uint_eq(count(), 3);
	/* Smaller than the IOMMU's: all it may stand for. */
	memset(bits, 0, sizeof(bits));
	write_page(EDU_A, 1);
	ck_assert_int_eq(get_into(bits, BASE, 2, PAGE / 4, 0), 0);
	ck_assert_uint_eq(bits[0], 0xf0);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

START_TEST(iommu_bits_go_with_the_map)
{
	int fd = tracking_device();

	ck_assert_int_eq(map(BASE, 4), 0);
	ck_assert_int_eq(map(BASE + 4 * PAGE, 4), 0);
	track(true);
	ck_assert_int_eq(write_at(EDU_A, BASE + 2 * PAGE, 4 * PAGE), 0);
	unmap(BASE, 4);
	ck_assert_int_eq(map(BASE, 4), 0);
	ck_assert_uint_eq(get(0, 8, 0), 2);
	ck_assert(bit(4) && bit(5));
	raw_close(&m, fd);
	stop(0);
}
END_TEST

/* Linux 6.12 reads up to the hole and says that all went well. */
START_TEST(iommu_holes_hide)
{
	int fd = tracking_device();

	ck_assert_int_eq(map(BASE, 4), 0);
	ck_assert_int_eq(map(BASE + 4 * PAGE, 4), 0);
	ck_assert_int_eq(map(BASE + 16 * PAGE, 4), 0);
	track(true);
	write_page(EDU_A, 3);
	write_page(EDU_A, 4);
	write_page(EDU_A, 16);
	ck_assert_uint_eq(get(12, 8, 0), 0);
	ck_assert_uint_eq(get(0, 20, 0), 2);
	ck_assert(bit(3) && bit(4));
	ck_assert_uint_eq(get(16, 4, 0), 1);
	/* So it does when the bits went nowhere. */
	write_page(EDU_A, 3);
	ck_assert_int_eq(get_into(NULL, BASE, 4, PAGE, 0), 0);
	ck_assert_uint_eq(get(0, 4, 0), 0);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

START_TEST(iommu_large_host_pages)
{
	const uint64_t large = 65536;
	uint8_t *ptr = memory(4 * large), *aligned = ptr + (large - (uintptr_t)ptr % large) % large;
	struct iommu_ioas_map cmd = { .size = sizeof(cmd),
				      .flags = FIXED,
				      .user_va = (uintptr_t)aligned,
				      .length = 2 * large,
				      .iova = 0x100000 };
	int fd;

	start_with("pagesize=64k;edu@" EDU_A ",state=64k,dirty=1");
	fd = tracking_device();
	cmd.ioas_id = m.ioas;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_MAP, &cmd), 0);
	track(true);
	ck_assert_int_eq(write_at(EDU_A, 0x100000 + large + 5 * PAGE, 8), 0);
	ck_assert_int_eq(get_into(bits, 0x100000, 32, PAGE, 0), 0);
	ck_assert_uint_eq(bits[0], 0xffff0000u);
	munmap(ptr, 4 * large);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

/* More runs than a set has room for: too much is told, never too little. */
START_TEST(nothing_is_lost_when_a_set_is_full)
{
	const uint64_t pages = 16384;
	uint64_t *all = calloc(pages / 64, sizeof(*all)), i;
	uint8_t *ptr = memory(pages * PAGE);
	int fd = tracking_device();
	struct iommu_ioas_map cmd = { .size = sizeof(cmd),
				      .flags = FIXED,
				      .ioas_id = m.ioas,
				      .user_va = (uintptr_t)ptr,
				      .length = pages * PAGE,
				      .iova = BASE };

	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_MAP, &cmd), 0);
	track(true);
	for (i = 0; i < pages; i += 2)
		write_page(EDU_A, i);
	ck_assert_int_eq(get_into(all, BASE, pages / 2, PAGE, 0), 0);
	ck_assert_int_eq(get_into(all + pages / 128, BASE + pages / 2 * PAGE, pages / 2, PAGE, 0), 0);
	for (i = 0; i < pages; i += 2)
		ck_assert_msg(all[i / 64] >> i % 64 & 1, "page %u is lost", (unsigned int)i);
	/* Once read it begins anew. */
	memset(all, 0, pages / 8);
	write_page(EDU_A, 3);
	ck_assert_int_eq(get_into(all, BASE, pages, PAGE, 0), 0);
	for (i = 0; i < pages / 64; i++)
		ck_assert_uint_eq(all[i], i ? 0 : 8);
	free(all);
	munmap(ptr, pages * PAGE);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

/* devices' own logs */

static int log_start(int fd, uint64_t *page_size, const struct vfio_device_feature_dma_logging_range *ranges,
		     uint32_t n)
{
	struct vfio_device_feature_dma_logging_control cmd = { .page_size = *page_size,
							       .num_ranges = n,
							       .ranges = (uintptr_t)ranges };
	int r = raw_feature(&m, fd, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &cmd, sizeof(cmd));

	*page_size = cmd.page_size;
	return r;
}

static int log_one(int fd, uint64_t iova, uint64_t pages)
{
	const struct vfio_device_feature_dma_logging_range range = { iova, pages * PAGE };
	uint64_t page_size = PAGE;

	return log_start(fd, &page_size, &range, 1);
}

static int log_stop(int fd)
{
	uint8_t nothing = 0;

	return raw_feature(&m, fd, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, &nothing, 0);
}

static int report_into(int fd, void *data, uint64_t iova, uint64_t length, uint64_t page_size)
{
	struct vfio_device_feature_dma_logging_report cmd = {
		.iova = iova, .length = length, .page_size = page_size, .bitmap = (uintptr_t)data
	};

	return raw_feature(&m, fd, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &cmd, sizeof(cmd));
}

static int report(int fd, uint64_t number, uint64_t pages)
{
	memset(bits, 0, sizeof(bits));
	return report_into(fd, bits, BASE + number * PAGE, pages * PAGE, PAGE);
}

START_TEST(log_rules)
{
	static const struct {
		uint64_t page_size;
		struct vfio_device_feature_dma_logging_range ranges[2];
		uint32_t n;
		int result;
	} rows[] = {
		{ PAGE, { { BASE, PAGE } }, 0, -EINVAL },
		{ PAGE, { { BASE, PAGE } }, 257, -E2BIG },
		{ PAGE, { { BASE + 1, PAGE } }, 1, -EINVAL },
		{ PAGE, { { BASE, PAGE + 1 } }, 1, -EINVAL },
		{ 0, { { BASE, PAGE } }, 1, -EINVAL },
		{ PAGE, { { BASE, 2 * PAGE }, { BASE + PAGE, PAGE } }, 2, -EINVAL },
		{ PAGE, { { UINT64_MAX - PAGE + 1, PAGE } }, 1, -EOVERFLOW },
		{ PAGE, { { BASE, 2 * PAGE }, { BASE + 2 * PAGE, PAGE } }, 2, 0 },
		{ PAGE, { { BASE, 2 * PAGE } }, 1, -EINVAL },
	};
	uint64_t page_size = PAGE;
	int fd = raw_device(&m, LOGS);

	ck_assert_int_eq(log_start(fd, &page_size, NULL, 1), -EFAULT);
	ck_assert_int_eq(report(fd, 0, 1), -EINVAL);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++) {
		page_size = rows[i].page_size;
		ck_assert_msg(log_start(fd, &page_size, rows[i].ranges, rows[i].n) == rows[i].result, "row %zu", i);
	}
	ck_assert_int_eq(report(fd, 0, 3), 0);
	ck_assert_int_eq(report(fd, 0, 4), -EINVAL);
	ck_assert_int_eq(report(fd, 0, 0), -EINVAL);
	ck_assert_int_eq(report_into(fd, bits, BASE, PAGE, PAGE / 2), -EINVAL);
	ck_assert_int_eq(report_into(fd, bits, BASE, PAGE, 3 * PAGE), -EINVAL);
	ck_assert_int_eq(report_into(fd, bits, UINT64_MAX, 1, PAGE), -EOVERFLOW);
	ck_assert_int_eq(report_into(fd, bits, BASE + 512, PAGE, PAGE), -EINVAL);
	ck_assert_int_eq(report_into(fd, bits, BASE, PAGE - 1, PAGE), -EINVAL);
	ck_assert_int_eq(log_stop(fd), 0);
	ck_assert_int_eq(log_stop(fd), 0);
	/* The page asked for is a wish. */
	page_size = 1ull << 30;
	ck_assert_int_eq(log_start(fd, &page_size, &(struct vfio_device_feature_dma_logging_range){ 0, 1ull << 30 }, 1),
			 0);
	ck_assert_uint_eq(page_size, 1u << 21);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

/* The core of the kernel lets it pass, and a driver may. */
START_TEST(log_of_no_length)
{
	const struct vfio_device_feature_dma_logging_range one = { BASE, 0 }, all = { 0, 0 };
	uint64_t page_size = 0;
	int fd = raw_device(&m, LOGS);

	ck_assert_int_eq(log_start(fd, &page_size, &one, 1), -EINVAL); /* nothing is a multiple of 0 but 0 */
	page_size = PAGE;
	ck_assert_int_eq(log_start(fd, &page_size, &one, 1), 0);
	ck_assert_int_eq(report(fd, 0, 1), -EINVAL);
	ck_assert_int_eq(log_stop(fd), 0);
	page_size = 0;
	ck_assert_int_eq(log_start(fd, &page_size, &all, 1), 0);
	ck_assert_uint_eq(page_size, PAGE);
	ck_assert_int_eq(report(fd, 0, 1), 0);
	raw_close(&m, fd);
	stop(2);
}
END_TEST

/* A log of large pages has one bit for each: who is told a part has been told all. */
START_TEST(log_of_large_pages)
{
	const struct vfio_device_feature_dma_logging_range range = { BASE, 32 * PAGE };
	uint64_t page_size = 16 * PAGE;
	int fd = raw_device(&m, LOGS);

	master(fd);
	ck_assert_int_eq(map(BASE, PAGES), 0);
	ck_assert_int_eq(log_start(fd, &page_size, &range, 1), 0);
	ck_assert_uint_eq(page_size, 16 * PAGE);
	write_page(EDU_B, 3);
	write_page(EDU_B, 20);
	ck_assert_int_eq(report(fd, 4, 2), 0);
	ck_assert_uint_eq(bits[0], 3);
	ck_assert_int_eq(report(fd, 0, 32), 0);
	ck_assert_uint_eq(bits[0], 0xffff0000);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

START_TEST(log_bits)
{
	int fd = raw_device(&m, LOGS);

	master(fd);
	ck_assert_int_eq(map(BASE, PAGES), 0);
	write_page(EDU_B, 1);
	ck_assert_int_eq(log_one(fd, BASE, 128), 0);
	ck_assert_int_eq(report(fd, 0, 128), 0);
	ck_assert_uint_eq(count(), 0);
	write_page(EDU_B, 0);
	write_page(EDU_B, 127);
	write_page(EDU_B, 128); /* not logged */
	bits[1] = 1;
	ck_assert_int_eq(report_into(fd, bits, BASE, 128 * PAGE, PAGE), 0);
	ck_assert_uint_eq(bits[0], 1);
	ck_assert_uint_eq(bits[1], 1ull << 63 | 1);
	ck_assert_uint_eq(bits[2], 0);
	ck_assert_int_eq(report(fd, 0, 128), 0);
	ck_assert_uint_eq(count(), 0);
	/* Only what is asked for is cleared. The map may go meanwhile, the log stays. */
	write_page(EDU_B, 3);
	write_page(EDU_B, 70);
	ck_assert_int_eq(report(fd, 64, 64), 0);
	ck_assert(bit(6) && count() == 1);
	unmap(BASE, PAGES);
	memset(bits, 0, sizeof(bits));
	ck_assert_int_eq(report_into(fd, bits, BASE, 128 * PAGE, 2 * PAGE), 0);
	ck_assert(bit(1) && count() == 1);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

START_TEST(log_is_lost)
{
	int fd = raw_device(&m, LOGS);

	ck_assert_int_eq(log_one(fd, BASE, 8), 0);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	ck_assert_int_eq(report(fd, 0, 8), -EINVAL);
	ck_assert_int_eq(log_one(fd, BASE, 8), 0);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_B, "error"), 0);
	ck_assert_int_eq(report(fd, 0, 8), -EINVAL);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	ck_assert_int_eq(log_one(fd, BASE, 8), 0);
	raw_close(&m, fd);
	fd = raw_device(&m, LOGS);
	ck_assert_int_eq(report(fd, 0, 8), -EINVAL);
	ck_assert_int_eq(log_one(fd, BASE, 8), 0);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

START_TEST(who_has_a_log)
{
	static const struct {
		unsigned int cdev;
		int probe, start;
	} rows[] = {
		{ TRACKS, -ENOTTY, -ENOTTY }, { LOGS, 0, 0 },	  { MTTY, 0, 0 },
		{ MLX5_CDEV, 0, 0 },	      { PDS_CDEV, 0, 0 }, { XE_CDEV, -ENOTTY, -ENOTTY },
	};
	uint8_t nothing = 0;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(rows); i++) {
		int fd = raw_device(&m, rows[i].cdev);

		for (uint32_t n = 6; n <= 8; n++)
			ck_assert_int_eq(raw_feature(&m, fd, VFIO_DEVICE_FEATURE_PROBE | n, &nothing, 0),
					 rows[i].probe);
		ck_assert_int_eq(log_one(fd, BASE, 64), rows[i].start);
		if (rows[i].cdev == MTTY) {
			ck_assert_int_eq(log_one(fd, BASE, 64), 0);
			ck_assert_int_eq(report(fd, 0, 1024), 0);
		}
		raw_close(&m, fd);
	}
	stop(0);
}
END_TEST

START_TEST(mlx5_log)
{
	struct vfio_device_feature_dma_logging_range ranges[9];
	uint64_t page_size = PAGE;
	int fd = raw_device(&m, MLX5_CDEV);

	master(fd);
	ck_assert_int_eq(map(BASE, PAGES), 0);
	/* Of nine ranges the two with the least between them become one, of what is between as well. */
	for (uint32_t i = 0; i < 9; i++)
		ranges[i] = (struct vfio_device_feature_dma_logging_range){ BASE + i * 16ull * PAGE, 4 * PAGE };
	ranges[4].length = 8 * PAGE;
	ck_assert_int_eq(log_start(fd, &page_size, ranges, 9), 0);
	ck_assert_int_eq(report(fd, 0, 5), -EINVAL);
	write_page(MLX5, 64);
	write_page(MLX5, 75);
	ck_assert_int_eq(report(fd, 64, 20), 0);
	ck_assert(bit(0) && bit(11) && count() == 2);
	ck_assert_int_eq(log_stop(fd), 0);
	/* Its bits of address, all ranges taken together. */
	ranges[0] = (struct vfio_device_feature_dma_logging_range){ 0, (1ull << 42) + PAGE };
	ck_assert_int_eq(log_start(fd, &page_size, ranges, 1), -EOPNOTSUPP);
	ranges[0].length = 1ull << 42;
	ck_assert_int_eq(log_start(fd, &page_size, ranges, 1), 0);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

START_TEST(pds_log)
{
	const struct vfio_device_feature_dma_logging_range ranges[] = { { BASE + 192 * PAGE, 64 * PAGE },
									{ BASE, 64 * PAGE } };
	uint64_t page_size = PAGE;
	int fd = raw_device(&m, PDS_CDEV);

	master(fd);
	ck_assert_int_eq(map(BASE, PAGES), 0);
	page_size = 3 * PAGE;
	ck_assert_int_eq(
		log_start(fd, &page_size, (struct vfio_device_feature_dma_logging_range[]){ { 0, page_size } }, 1),
		-EINVAL);
	page_size = PAGE;
	ck_assert_int_eq(log_start(fd, &page_size, ranges, 2), 0);
	write_page(PDS, 5);
	write_page(PDS, 100);
	write_page(PDS, 255);
	ck_assert_int_eq(report(fd, 64, 128), 0);
	ck_assert(bit(36) && count() == 1);
	ck_assert_int_eq(report(fd, 0, 256), 0);
	ck_assert(bit(5) && bit(255) && count() == 2);
	ck_assert_int_eq(report(fd, 0, 257), -EINVAL);
	/* Not in step with its words: pages beside the asked ones are gone. */
	write_page(PDS, 5);
	write_page(PDS, 6);
	ck_assert_int_eq(report(fd, 6, 2), 0);
	ck_assert_int_eq(report(fd, 0, 64), 0);
	ck_assert(bit(5) && bit(6));
	write_page(PDS, 5);
	write_page(PDS, 80);
	ck_assert_int_eq(report(fd, 16, 2), 0);
	ck_assert_int_eq(report(fd, 64, 64), 0);
	ck_assert(bit(16) && count() == 1);
	write_page(PDS, 70);
	ck_assert_int_eq(report(fd, 16, 2), 0);
	ck_assert_int_eq(report(fd, 64, 64), 0);
	ck_assert_uint_eq(count(), 0);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

/* What it would find when that happens in the middle of a change. */
START_TEST(half_a_change_is_everything)
{
	int fd = tracking_device();
	struct sim_pages *set;

	ck_assert_int_eq(map(BASE, PAGES), 0);
	track(true);
	write_page(EDU_A, 9);
	ck_assert_int_eq(vfmi_sim_enter(m.sim), 0);
	set = vfmi_sim_pages(m.sim, SIM_PAGES_HWPT, m.sim->machine->device[TRACKS].hwpt - 1);
	ck_assert_uint_eq(set->count, 1);
	set->changing = 1;
	set->run[0].first = set->run[0].last;
	m.sim->machine->busy |= SIM_BUSY_PAGES;
	vfmi_sim_leave(m.sim);
	ck_assert_uint_eq(get(0, PAGES, 0), PAGES);
	ck_assert_uint_eq(get(0, PAGES, 0), 0);
	write_page(EDU_A, 9);
	ck_assert_uint_eq(get(0, PAGES, 0), 1);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

/* A process is killed over and over while a device of its writes: whatever is left, no page it saw written is missing.
 */
START_TEST(a_death_loses_no_page)
{
	int fd = tracking_device(), state;
	volatile uint8_t *done = memory(PAGE);

	ck_assert_int_eq(map(BASE, PAGES), 0);
	track(true);
	for (unsigned int round = 0; round < 20; round++) {
		pid_t pid;

		get(0, PAGES, 0);
		memset((void *)(uintptr_t)done, 0, PAGE);
		pid = fork();
		if (!pid)
			for (uint32_t i = 0;; i = (i + 2) % PAGES) {
				if (write_at(EDU_A, BASE + i * PAGE, 1))
					_exit(1);
				done[i] = 1;
			}
		usleep(1000 + 517 * round);
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, &state, 0), pid);
		ck_assert(WIFSIGNALED(state));
		get(0, PAGES, 0);
		for (uint32_t i = 0; i < PAGES; i++)
			ck_assert_msg(!done[i] || bit(i), "page %u is lost", i);
	}
	munmap((void *)(uintptr_t)done, PAGE);
	raw_close(&m, fd);
	stop(0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_dirty");
	TCase *all = tcase_create("all"), *own = tcase_create("hosts");

	tcase_set_timeout(all, 60);
	tcase_add_checked_fixture(all, start, NULL);
	tcase_add_test(all, iommu_bits);
	tcase_add_test(all, iommu_page_sizes);
	tcase_add_test(all, iommu_bits_go_with_the_map);
	tcase_add_test(all, iommu_holes_hide);
	tcase_add_test(all, nothing_is_lost_when_a_set_is_full);
	tcase_add_test(all, a_death_loses_no_page);
	tcase_add_test(all, half_a_change_is_everything);
	tcase_add_test(all, log_rules);
	tcase_add_test(all, log_of_no_length);
	tcase_add_test(all, log_of_large_pages);
	tcase_add_test(all, log_bits);
	tcase_add_test(all, log_is_lost);
	tcase_add_test(all, who_has_a_log);
	tcase_add_test(all, mlx5_log);
	tcase_add_test(all, pds_log);
	suite_add_tcase(suite, all);
	tcase_add_test(own, iommu_large_host_pages);
	suite_add_tcase(suite, own);
	return run_suite(suite);
}
