/* SPDX-License-Identifier: MIT */
/* The simulated machine: virtio, pds, qat and xe, devices that take time after a reset, hosts with large pages. */
#include "sim_raw.h"

#include "wire.h"

#define STOP VFIO_DEVICE_STATE_STOP
#define RUNNING VFIO_DEVICE_STATE_RUNNING
#define STOP_COPY VFIO_DEVICE_STATE_STOP_COPY
#define RESUMING VFIO_DEVICE_STATE_RESUMING
#define PRE_COPY VFIO_DEVICE_STATE_PRE_COPY

#define CONTENTS 4096u
#define VIRTIO_RECORD (16 + 64 + CONTENTS)
#define QAT_SETUP 52u
#define SECOND 1000000000ull

static struct raw m;
static uint8_t stream[4 << 20];

static void start(const char *profile, const char *keys)
{
	char spec[256];

	snprintf(spec, sizeof(spec), "%s@" EDU_A "%s;%s@" EDU_B "%s", profile, keys, profile, keys);
	raw_start(&m, NULL, spec);
}

static size_t save(int fd)
{
	int data_fd = raw_session(&m, fd, STOP_COPY);
	size_t length = raw_drain(&m, data_fd, stream, sizeof(stream));

	ck_assert_int_eq(raw_set(&m, fd, RUNNING, NULL), 0);
	raw_close(&m, data_fd);
	return length;
}

/* What the write says, and the way out of RESUMING; the device is reset after that. */
static ssize_t load(int fd, size_t length, int *ret_arc)
{
	int data_fd;
	ssize_t n;

	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	data_fd = raw_session(&m, fd, RESUMING);
	n = raw_write(&m, data_fd, stream, length);
	*ret_arc = raw_set(&m, fd, STOP, NULL);
	ck_assert_uint_eq(raw_state(&m, fd), *ret_arc ? RESUMING : STOP);
	raw_close(&m, data_fd);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	return n;
}

static void stop(int a, int b, uint64_t strict)
{
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, strict);
}

/* What a word of BAR 0 says goes along, whatever the driver, and in pieces that fit no border. */
START_TEST(drivers_move)
{
	static const struct {
		const char *profile, *keys;
		size_t length;
	} cases[] = {
		{ "virtio", ",state=4k", VIRTIO_RECORD },
		{ "pds", ",state=4k", CONTENTS },
		{ "qat", "", 4096 },
		{ "xe", ",state=1028k", 5 * 24 + 16 + 64 + (1028 << 10) },
	};
	uint8_t bytes[64], back[64];
	int a, b, data_fd;
	size_t at, n;

	start(cases[_i].profile, cases[_i].keys);
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	if (*cases[_i].keys) {
		memset(bytes, 0x41 + _i, sizeof(bytes));
		ck_assert_int_eq(vfm_sim_contents_write(m.sim, EDU_A, CONTENTS - 64, bytes, sizeof(bytes)), 0);
	}
	ck_assert_int_eq(raw_poke(&m, a, 0, 0x10, 0x1122334455667788, 8), 8);
	ck_assert_uint_eq(save(a), cases[_i].length);
	data_fd = raw_session(&m, b, RESUMING);
	for (at = 0; at < cases[_i].length; at += n) {
		n = cases[_i].length - at < 4093 ? cases[_i].length - at : 4093;
		ck_assert_int_eq(raw_write(&m, data_fd, stream + at, n), (int)n);
	}
	ck_assert_int_eq(raw_set(&m, b, RUNNING, NULL), 0);
	raw_close(&m, data_fd);
	ck_assert_uint_eq(raw_peek(&m, b, 0, 0x10, 8), 0x1122334455667788);
	if (*cases[_i].keys) {
		ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_B, CONTENTS - 64, back, sizeof(back)), 0);
		ck_assert_mem_eq(bytes, back, sizeof(bytes));
	}
	stop(a, b, 0);
}
END_TEST

/* virtio */

START_TEST(virtio_sends_all_again)
{
	struct vfio_precopy_info info;
	int a, b, data_fd, arc;
	size_t length;

	start("virtio", ",state=4k,rate=1g");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	data_fd = raw_session(&m, a, PRE_COPY);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.initial_bytes, VIRTIO_RECORD);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, sizeof(stream)), VIRTIO_RECORD);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 1), -ENOMSG);
	/* asked too soon it does not look */
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.initial_bytes + info.dirty_bytes, 0);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 1), -ENOMSG);
	vfm_sim_advance_ns(m.sim, SECOND);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.dirty_bytes, VIRTIO_RECORD - 16);
	/* what was queued for having been asked comes before the last of it */
	ck_assert_int_eq(raw_poke(&m, a, 0, 8, 0x77, 4), 4);
	ck_assert_int_eq(raw_set(&m, a, STOP_COPY, NULL), 0);
	length = raw_drain(&m, data_fd, stream, sizeof(stream));
	ck_assert_uint_eq(length, 2 * VIRTIO_RECORD);
	raw_close(&m, data_fd);
	ck_assert_uint_eq(vfmi_get_le32(stream + VIRTIO_RECORD + 16 + 8), 0x77);
	ck_assert_int_eq(load(b, length, &arc), (int)length);
	ck_assert_int_eq(arc, 0);
	stop(a, b, 0);
}
END_TEST

static void put_record(uint64_t size, uint32_t flags, uint32_t tag)
{
	memset(stream, 0, 256);
	vfmi_put_le64(stream, size);
	vfmi_put_le32(stream + 8, flags);
	vfmi_put_le32(stream + 12, tag);
}

START_TEST(virtio_judges_records)
{
	static const struct {
		uint64_t size;
		uint32_t flags, tag;
		int written;
	} cases[] = {
		{ 8, 0, 1, -EOPNOTSUPP },	  { 8, 1, 1, 24 }, { UINT64_MAX, 1, 1, -ENOMEM }, { 64, 0, 0, -EINVAL },
		{ VIRTIO_RECORD - 16, 0, 0, 24 },
	};
	int a, b, data_fd, arc;

	start("virtio", ",state=4k");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(cases); i++) {
		put_record(cases[i].size, cases[i].flags, cases[i].tag);
		ck_assert_int_eq(load(b, 24, &arc), cases[i].written);
		ck_assert_int_eq(arc, 0);
	}
	put_record(8, 0, 1);
	data_fd = raw_session(&m, b, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 16), -EOPNOTSUPP);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 16), -ENODEV);
	raw_close(&m, data_fd);
	stop(a, b, 0);
}
END_TEST

/* pds */

START_TEST(pds_takes_what_fits)
{
	struct vfio_precopy_info info;
	int a, b, data_fd;

	start("pds", ",state=4k");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	data_fd = raw_session(&m, a, STOP_COPY);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), -ENOTTY);
	raw_close(&m, data_fd);
	ck_assert_int_eq(raw_set(&m, a, RUNNING, NULL), 0);
	ck_assert_int_eq(raw_set(&m, a, PRE_COPY, NULL), -EINVAL);
	data_fd = raw_session(&m, b, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 65000), 65000);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 1000), 536);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 1), -EINVAL);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 0), 0);
	ck_assert_int_eq(raw_set(&m, b, STOP, NULL), 0);
	raw_close(&m, data_fd);
	stop(a, b, 2);
}
END_TEST

/* qat */

START_TEST(qat_gives_setup_first)
{
	struct vfio_precopy_info info;
	int a, b, data_fd, arc;

	start("qat", "");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	data_fd = raw_session(&m, a, PRE_COPY);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.initial_bytes, QAT_SETUP);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, sizeof(stream)), QAT_SETUP);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 1), 0);
	ck_assert_int_eq(raw_poke(&m, a, 0, 0x7c, 0x99, 4), 4);
	ck_assert_int_eq(raw_set(&m, a, STOP_COPY, NULL), 0);
	ck_assert_uint_eq(raw_drain(&m, data_fd, stream + QAT_SETUP, 5000), 4096 - QAT_SETUP);
	raw_close(&m, data_fd);
	ck_assert_uint_eq(vfmi_get_le32(stream), 0xadf5caea);
	ck_assert_mem_eq(stream + 16, "CONFIG", 7);
	ck_assert_int_eq(load(b, 4096, &arc), 4096);
	ck_assert_int_eq(arc, 0);
	stop(a, b, 0);
}
END_TEST

START_TEST(qat_judges_setup_in_write)
{
	static const struct {
		size_t at;
		uint8_t to;
		int written, arc;
	} cases[] = {
		{ 0, 1, -EINVAL, -EINVAL },		/* magic */
		{ 4, 9, -EINVAL, -EINVAL },		/* version */
		{ 16, 'X', -EINVAL, -EINVAL },		/* CONFIG */
		{ 24, 0xff, -EINVAL, -EINVAL },		/* its size */
		{ QAT_SETUP - 4, 0xff, -EINVAL, 0 },	/* a capability too many: refused, and taken at the arc */
		{ QAT_SETUP, 1, 4096, -EINVAL },	/* magic of the state */
		{ QAT_SETUP + 16, 'X', 4096, -EINVAL }, /* ETRBAR */
	};
	int a, b, data_fd, arc;
	uint8_t kept;

	start("qat", "");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	ck_assert_uint_eq(save(a), 4096);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(cases); i++) {
		kept = stream[cases[i].at];
		stream[cases[i].at] = cases[i].to;
		ck_assert_msg(load(b, 4096, &arc) == cases[i].written, "case %zu", i);
		ck_assert_msg(arc == cases[i].arc, "case %zu: %d", i, arc);
		stream[cases[i].at] = kept;
	}
	stream[0] ^= 1;
	data_fd = raw_session(&m, b, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, QAT_SETUP - 1), QAT_SETUP - 1);
	ck_assert_int_eq(raw_write(&m, data_fd, stream + QAT_SETUP - 1, 1), -EINVAL);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 4096 - QAT_SETUP + 1), -ENOMEM);
	raw_close(&m, data_fd);
	stop(a, b, 0);
}
END_TEST

/* xe */

START_TEST(xe_judges_packets)
{
	static const struct {
		size_t at;
		uint8_t to;
		int written, arc;
	} cases[] = {
		{ 0, 2, -EINVAL, -EIO },      /* version */
		{ 1, 0, -EINVAL, -EIO },      /* type */
		{ 1, 9, -EINVAL, -EIO },      /* type */
		{ 3, 1, -EINVAL, -EIO },      /* gt */
		{ 16, 0xff, -EINVAL, -EIO },  /* size of the descriptor */
		{ 24, 0xff, -EINVAL, -EIO },  /* length of a key */
		{ 28, 0x0c, -ENODEV, -EIO },  /* device */
		{ 36, 0x02, -ENODEV, -EIO },  /* revision */
		{ 48, 0x08, -EINVAL, -EIO },  /* registers where there are none */
		{ 136, 0x01, -EINVAL, -EIO }, /* memory where there is none */
	};
	const size_t length = 4 * 24 + 16 + 64 + CONTENTS;
	int a, b, arc;
	uint8_t kept;

	start("xe", ",state=4k");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	ck_assert_uint_eq(save(a), length);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(cases); i++) {
		kept = stream[cases[i].at];
		stream[cases[i].at] = cases[i].to;
		ck_assert_msg(load(b, length, &arc) == cases[i].written, "case %zu", i);
		ck_assert_msg(arc == cases[i].arc, "case %zu: %d", i, arc);
		stream[cases[i].at] = kept;
	}
	ck_assert_int_eq(load(b, length - 1, &arc), (int)length - 1);
	ck_assert_int_eq(arc, -ETIMEDOUT);
	ck_assert_int_eq(load(b, length + 1, &arc), -EIO);
	ck_assert_int_eq(load(b, length, &arc), (int)length);
	ck_assert_int_eq(arc, 0);
	stop(a, b, 0);
}
END_TEST

START_TEST(xe_fails_after_an_illegal_arc)
{
	uint64_t size = 0;
	int a, b;

	start("xe", ",state=4k");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	ck_assert_int_eq(raw_set(&m, a, PRE_COPY, NULL), -EINVAL);
	ck_assert_int_eq(raw_set(&m, a, STOP, NULL), -EIO);
	ck_assert_uint_eq(raw_state(&m, a), RUNNING);
	ck_assert_int_eq(raw_feature(&m, a, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE | VFIO_DEVICE_FEATURE_GET, &size, 8), 0);
	ck_assert_uint_eq(size, (uint64_t)-EIO);
	ck_assert_int_eq(raw_ioctl(&m, a, VFIO_DEVICE_RESET, NULL), 0);
	ck_assert_int_eq(raw_set(&m, a, STOP, NULL), 0);
	stop(a, b, 1);
}
END_TEST

/* readiness */

START_TEST(ready_takes_its_time)
{
	int fd;

	raw_start(&m, NULL, "mlx5@" EDU_A ",ready=2s");
	fd = raw_device(&m, 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0, 4), UINT32_MAX);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0, 4), UINT32_MAX);
	ck_assert_int_eq(raw_poke(&m, fd, 0, 8, 5, 4), 4);
	vfm_sim_advance_ns(m.sim, 2 * SECOND);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 8, 4), 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0, 4), 0x101e15b3);
	ck_assert_int_eq(raw_poke(&m, fd, 0, 8, 5, 4), 4);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 8, 4), 5);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	/* looking takes time, so whoever polls gets there */
	while (raw_peek(&m, fd, 0, 8, 4) == UINT32_MAX)
		;
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 8, 4), 0);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(ready_by_registers)
{
	int fd;

	raw_start(&m, NULL, "nvgrace-gpu@" EDU_A ",state=192k,ready=2s,unready=registers");
	fd = raw_device(&m, 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0x1498, 4), 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0x200bc, 4), 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0, 4), 0x234210de);
	vfm_sim_advance_ns(m.sim, 2 * SECOND);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0x1498, 4), 0xff);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0x200bc, 4), 0xff);
	/* memory that is less than its BAR */
	ck_assert_int_eq(raw_poke(&m, fd, 4, (192 << 10) - 8, 7, 8), 8);
	ck_assert_uint_eq(raw_peek(&m, fd, 4, (192 << 10) - 8, 8), 7);
	ck_assert_uint_eq(raw_peek(&m, fd, 4, 192 << 10, 8), UINT64_MAX);
	ck_assert_int_eq(raw_poke(&m, fd, 4, 256 << 10, 7, 8), -EINVAL);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* large pages */

START_TEST(large_pages_are_the_librarys)
{
	VFM_OPTS(vfm_error, error);
	struct vfm_iommu *iommu;
	struct vfm_device *source, *target, *gpu;
	uint8_t bytes[256], back[256];
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ };
	void *memory, *ptr;

	raw_attach_to(&m, NULL,
		      "pagesize=64k;edu@" EDU_A ",state=132k;edu@" EDU_B ",state=132k;"
		      "nvgrace-gpu@0000:03:00.0,state=192k");
	ck_assert_uint_eq(vfmi_page_size(m.sys), 65536);
	ck_assert_int_eq(vfm_iommu_open(m.ctx, NULL, &iommu, NULL), 0);
	ck_assert_int_eq(vfm_device_open_attached(m.ctx, EDU_A, iommu, &source, NULL), 0);
	ck_assert_int_eq(vfm_device_open_attached(m.ctx, EDU_B, iommu, &target, NULL), 0);
	ck_assert_int_eq(vfm_device_open_attached(m.ctx, "0000:03:00.0", iommu, &gpu, NULL), 0);
	memory = aligned_alloc(65536, 2 * 65536);
	memset(memory, 1, 2 * 65536);
	map.vaddr = memory;
	map.length = 4096;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, NULL), -EINVAL);
	map.length = 65536;
	ck_assert_int_eq(vfm_iommu_map(iommu, &map, NULL), 0);
	ck_assert_uint_eq(map.iova % 65536, 0);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, map.iova, map.length, NULL), 0);
	ck_assert_int_eq(vfm_device_region_map(gpu, 4, 4096, 65536, &ptr, NULL), -EINVAL);
	ck_assert_int_eq(vfm_device_region_map(gpu, 4, 65536, 65536, &ptr, NULL), 0);
	ck_assert_uint_eq((uintptr_t)ptr % 65536, 0);
	memset(ptr, 0x5a, 65536);
	ck_assert_int_eq(vfm_device_region_read(gpu, 4, 65536, bytes, 1, NULL), 0);
	ck_assert_uint_eq(bytes[0], 0x5a);
	vfm_device_region_unmap(gpu, ptr, 65536);
	memset(bytes, 0x33, sizeof(bytes));
	ck_assert_int_eq(vfm_sim_contents_write(m.sim, EDU_A, 130000, bytes, sizeof(bytes)), 0);
	ck_assert_msg(vfm_copy(source, target, NULL, NULL, &error) == 0, "%s", error.message);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_B, 130000, back, sizeof(back)), 0);
	ck_assert_mem_eq(bytes, back, sizeof(bytes));
	vfm_device_close(gpu);
	vfm_device_close(target);
	vfm_device_close(source);
	vfm_iommu_close(iommu);
	free(memory);
	ck_assert_uint_eq(raw_usage(&m).strict_errors, 0);
	raw_detach_from(&m);
}
END_TEST

START_TEST(descriptions_are_checked)
{
	static const struct {
		const char *spec, *message;
	} cases[] = {
		{ "pagesize=5000;edu", "pagesize" },
		{ "pagesize=1k;edu", "pagesize" },
		{ "pagesize=128k;edu", "pagesize" },
		{ "pagesize=;edu", "pagesize" },
		{ "edu;pagesize=64k", "before" },
		{ "pagesize=64k", "no device" },
		{ "pagesize=64k;nvgrace-gpu,state=4k", "whole pages" },
		{ "pds,state=128k", "state" },
		{ "pds,flags=7", "flags" },
		{ "qat,state=4k", "state" },
		{ "mlx5,unready=registers", "unready" },
		{ "nvgrace-gpu,unready=no", "unready" },
		{ "mtty,ready=1s", "ready" },
	};
	char message[256];
	struct vfm_sim *sim;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(vfm_sim_open(NULL, cases[i].spec, &sim, message, sizeof(message)), -EINVAL);
		ck_assert_msg(strstr(message, cases[i].message) != NULL, "%s: %s", cases[i].spec, message);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_drivers");
	TCase *all = tcase_create("drivers");

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, drivers_move, 0, 4);
	tcase_add_test(all, virtio_sends_all_again);
	tcase_add_test(all, virtio_judges_records);
	tcase_add_test(all, pds_takes_what_fits);
	tcase_add_test(all, qat_gives_setup_first);
	tcase_add_test(all, qat_judges_setup_in_write);
	tcase_add_test(all, xe_judges_packets);
	tcase_add_test(all, xe_fails_after_an_illegal_arc);
	tcase_add_test(all, ready_takes_its_time);
	tcase_add_test(all, ready_by_registers);
	tcase_add_test(all, large_pages_are_the_librarys);
	tcase_add_test(all, descriptions_are_checked);
	return run_suite(suite);
}
