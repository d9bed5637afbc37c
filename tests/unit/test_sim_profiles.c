/* SPDX-License-Identifier: MIT */
/* The simulated machine's drivers: states, streams and quirks of each profile. */
#include <sys/resource.h>

#include "sim_raw.h"

#include "sim/machine.h"
#include "wire.h"

#define STOP VFIO_DEVICE_STATE_STOP
#define RUNNING VFIO_DEVICE_STATE_RUNNING
#define STOP_COPY VFIO_DEVICE_STATE_STOP_COPY
#define RESUMING VFIO_DEVICE_STATE_RESUMING
#define RUNNING_P2P VFIO_DEVICE_STATE_RUNNING_P2P
#define PRE_COPY VFIO_DEVICE_STATE_PRE_COPY
#define PRE_COPY_P2P VFIO_DEVICE_STATE_PRE_COPY_P2P

#define EDU_CONTENTS 9
#define BLOCK 65536u
#define EDU_BLOCKS 3u
#define EDU_STATE (2 * BLOCK + 4096)
#define EDU_STREAM (32 + EDU_STATE + EDU_BLOCKS * 16 + 16 + 112 + 16)

static struct raw m;
static uint8_t stream[2 << 20];

/* states */

/* Two implementations, written apart. */
START_TEST(states_agree_with_the_library)
{
	static const uint32_t sets[] = { 1, 3, 5, 7 };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(sets); i++)
		for (uint32_t from = 0; from <= 9; from++)
			for (uint32_t to = 0; to <= 9; to++)
				ck_assert_msg(vfmi_sim_next_state(sets[i], from, to) == vfm_fsm_next(sets[i], from, to),
					      "flags %u, %u to %u: %d and %d", sets[i], from, to,
					      vfmi_sim_next_state(sets[i], from, to), vfm_fsm_next(sets[i], from, to));
	ck_assert_int_eq(vfmi_sim_next_state(7, UINT32_MAX, STOP), -EINVAL);
	ck_assert_int_eq(vfmi_sim_next_state(7, STOP, UINT32_MAX), -EINVAL);
}
END_TEST

START_TEST(states_walk)
{
	int fd, data_fd;

	raw_start(&m, NULL, "edu,state=4k");
	fd = raw_device(&m, 0);
	ck_assert_int_eq(raw_set(&m, fd, RUNNING, NULL), 0); /* already there */
	ck_assert_int_eq(raw_set(&m, fd, 0, NULL), -EINVAL);
	ck_assert_int_eq(raw_set(&m, fd, 8, NULL), -EINVAL);
	data_fd = raw_session(&m, fd, STOP_COPY); /* three hops */
	ck_assert_int_eq(raw_set(&m, fd, PRE_COPY, NULL), -EINVAL);
	ck_assert_uint_eq(raw_state(&m, fd), STOP_COPY);
	ck_assert_int_eq(raw_set(&m, fd, RUNNING, NULL), 0);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 8), -ENODEV);
	raw_close(&m, data_fd);
	/* PRE_COPY goes on in STOP_COPY on the same file; a file closed early takes nothing with it. */
	data_fd = raw_session(&m, fd, PRE_COPY);
	ck_assert_int_eq(raw_set(&m, fd, PRE_COPY, NULL), 0);
	ck_assert_int_eq(raw_set(&m, fd, PRE_COPY_P2P, NULL), 0);
	ck_assert_int_eq(raw_set(&m, fd, STOP_COPY, NULL), 0);
	raw_close(&m, data_fd);
	ck_assert_int_eq(raw_set(&m, fd, STOP, NULL), 0);
	raw_close(&m, fd);
	raw_stop(&m, 3);
}
END_TEST

START_TEST(descriptors_run_out_after_the_arc)
{
	struct rlimit limit;
	int fd, last, data_fd;

	raw_start(&m, NULL, "edu,state=4k");
	fd = raw_device(&m, 0);
	last = dup(fd);
	close(last);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = (rlim_t)last;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(raw_set(&m, fd, STOP_COPY, &data_fd), -EMFILE);
	ck_assert_int_eq(data_fd, -2);
	ck_assert_uint_eq(raw_state(&m, fd), STOP_COPY);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Nothing is lost: back, and once more. */
	ck_assert_int_eq(raw_set(&m, fd, STOP, NULL), 0);
	raw_close(&m, raw_session(&m, fd, STOP_COPY));
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(direction_and_position)
{
	int fd, save, load;

	raw_start(&m, NULL, "edu,state=4k;edu,state=4k");
	fd = raw_device(&m, 0);
	save = raw_session(&m, fd, STOP_COPY);
	ck_assert_int_eq(raw_write(&m, save, stream, 1), -EBADF);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, save, stream, 1, 0), -ESPIPE);
	ck_assert_int_eq(m.sys->ops->get_flags(m.sys, save) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(raw_read(&m, save, stream, 0), 0);
	ck_assert_int_eq(raw_read(&m, save, NULL, 8), -EFAULT);
	raw_close(&m, save);
	load = raw_session(&m, fd, RESUMING);
	ck_assert_int_eq(raw_read(&m, load, stream, 1), -EBADF);
	ck_assert_int_eq(m.sys->ops->pwrite(m.sys, load, stream, 1, 0), -ESPIPE);
	ck_assert_int_eq(m.sys->ops->get_flags(m.sys, load) & O_ACCMODE, O_WRONLY);
	ck_assert_int_eq(raw_ioctl(&m, load, VFIO_MIG_GET_PRECOPY_INFO, stream), -ENOTTY);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	ck_assert_int_eq(raw_write(&m, load, stream, 1), -ENODEV);
	raw_close(&m, load);
	raw_close(&m, fd);
	raw_stop(&m, 3);
}
END_TEST

/* edu */

static void edu_start(void)
{
	raw_start(&m, NULL, "edu@" EDU_A ",state=132k;edu@" EDU_B ",state=132k");
}

/* Contents that differ in every block, registers, a pump that stands. */
static void edu_fill(int fd)
{
	uint8_t *bytes = malloc(EDU_STATE);

	for (size_t i = 0; i < EDU_STATE; i++)
		bytes[i] = (uint8_t)(i * 11 + i / BLOCK);
	ck_assert_int_eq(vfm_sim_contents_write(m.sim, EDU_A, 0, bytes, EDU_STATE), 0);
	free(bytes);
	ck_assert_int_eq(raw_poke(&m, fd, 0, 0x04, 0xcafe, 4), 4);
	ck_assert_int_eq(raw_poke(&m, fd, 0, 0x08, 6, 4), 4);
	ck_assert_int_eq(raw_poke(&m, fd, 0, 0x20, 0x80, 4), 4);
	ck_assert_int_eq(raw_poke(&m, fd, 0, 0x60, 0x12, 4), 4);
	ck_assert_int_eq(raw_poke(&m, fd, 0, 0x80, 0x1122334455667788, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, 10, 0x10, 0x5000, 8), 8);
}

static void edu_check(int fd)
{
	uint8_t *a = malloc(EDU_STATE), *b = malloc(EDU_STATE);

	ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_A, 0, a, EDU_STATE), 0);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_B, 0, b, EDU_STATE), 0);
	ck_assert(!memcmp(a, b, EDU_STATE));
	free(a);
	free(b);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0x04, 4), ~0xcafeu);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0x08, 4), 720);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0x20, 4), 0x80);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0x24, 4), 0x12);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 0x80, 8), 0x1122334455667788);
	ck_assert_uint_eq(raw_peek(&m, fd, 10, 0x10, 8), 0x5000);
}

static size_t edu_save(int fd)
{
	int data_fd;
	size_t length;

	data_fd = raw_session(&m, fd, STOP_COPY);
	length = raw_drain(&m, data_fd, stream, sizeof(stream));
	raw_close(&m, data_fd);
	return length;
}

static void edu_check_stream(size_t length)
{
	const uint8_t *at = stream + 32;

	ck_assert_uint_eq(length, EDU_STREAM);
	ck_assert_mem_eq(stream, "vmig-edu", 8);
	ck_assert_uint_eq(vfmi_get_le32(stream + 12), 32);
	ck_assert_uint_eq(vfmi_get_le64(stream + 24), EDU_STATE);
	for (uint32_t block = 0; block < EDU_BLOCKS; block++) {
		ck_assert_uint_eq(vfmi_get_le64(at), block * BLOCK);
		ck_assert_uint_eq(vfmi_get_le32(at + 8), block + 1 < EDU_BLOCKS ? BLOCK : 4096);
		ck_assert_uint_eq(vfmi_get_le32(at + 12), 1);
		ck_assert_uint_eq(at[16 + 5], (uint8_t)((block * BLOCK + 5) * 11 + block));
		at += 16 + vfmi_get_le32(at + 8);
	}
	ck_assert_uint_eq(vfmi_get_le32(at + 12), 2);
	ck_assert_uint_eq(vfmi_get_le32(at + 8), 112);
	at += 16 + 112;
	ck_assert_uint_eq(vfmi_get_le32(at + 12), 3);
	ck_assert_uint_eq(vfmi_get_le64(at), EDU_BLOCKS + 1);
}

START_TEST(edu_moves)
{
	int a, b, data_fd;
	size_t length, at;

	edu_start();
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	edu_fill(a);
	length = edu_save(a);
	edu_check_stream(length);
	data_fd = raw_session(&m, b, RESUMING);
	/* in pieces that fit no border */
	for (at = 0; at < length; at += 4093)
		ck_assert_int_gt(raw_write(&m, data_fd, stream + at, at + 4093 < length ? 4093 : length - at), 0);
	ck_assert_uint_eq(raw_usage(&m).loads, 0);
	ck_assert_int_eq(raw_set(&m, b, RUNNING, NULL), 0);
	ck_assert_uint_eq(raw_usage(&m).loads, 1);
	edu_check(b);
	raw_close(&m, data_fd);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(edu_sends_changes_again)
{
	struct vfio_precopy_info info;
	int a, b, data_fd;
	size_t length = 0;
	ssize_t n;

	edu_start();
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	edu_fill(a);
	data_fd = raw_session(&m, a, PRE_COPY);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.initial_bytes, 32 + EDU_STATE + EDU_BLOCKS * 16);
	ck_assert_uint_eq(info.dirty_bytes, 0);
	/* Half of the first block is out when it changes: the rest comes as it was, and all of it once more. */
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 32 + 16 + BLOCK / 2), 32 + 16 + BLOCK / 2);
	length = 32 + 16 + BLOCK / 2;
	ck_assert_int_eq(raw_poke(&m, a, EDU_CONTENTS, BLOCK - 1, 0xee, 1), 1);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.initial_bytes, BLOCK / 2 + EDU_STATE - BLOCK + 2 * 16);
	ck_assert_uint_eq(info.dirty_bytes, 16 + BLOCK);
	ck_assert_uint_eq(raw_peek(&m, a, 10, 0x50, 8), 1);
	while ((n = raw_read(&m, data_fd, stream + length, 100000)) > 0)
		length += (size_t)n;
	ck_assert_int_eq(n, -ENOMSG);
	ck_assert_uint_eq(length, 32 + EDU_STATE + EDU_BLOCKS * 16 + 16 + BLOCK);
	ck_assert_uint_eq(stream[32 + 16 + BLOCK - 1], (uint8_t)((BLOCK - 1) * 11));
	/* The last block is short. */
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "dirty=135168"), 0);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.dirty_bytes, EDU_STATE + 3 * 16);
	ck_assert_int_eq(raw_set(&m, a, STOP_COPY, NULL), 0);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), -EINVAL);
	length += raw_drain(&m, data_fd, stream + length, sizeof(stream) - length);
	raw_close(&m, data_fd);
	data_fd = raw_session(&m, b, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, length), (int)length);
	ck_assert_int_eq(raw_set(&m, b, RUNNING, NULL), 0);
	edu_check(b);
	raw_close(&m, data_fd);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, 0);
}
END_TEST

/* @length bytes of stream[] into the second device; what the last write and the way out of RESUMING say. */
static int edu_load(int fd, size_t length, ssize_t *ret_written)
{
	int data_fd = raw_session(&m, fd, RESUMING), r;

	*ret_written = raw_write(&m, data_fd, stream, length);
	r = raw_set(&m, fd, STOP, NULL);
	if (r)
		ck_assert_uint_eq(raw_state(&m, fd), RESUMING);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	raw_close(&m, data_fd);
	return r;
}

START_TEST(edu_judges)
{
	static const struct {
		size_t at;
		int error;
	} cases[] = {
		{ 0, EINVAL },				/* magic */
		{ 8, EINVAL },				/* version */
		{ 25, EINVAL },				/* size */
		{ 32 + 4, ENOMEM },			/* offset of a block far out */
		{ 32 + 12, EINVAL },			/* unknown record */
		{ EDU_STREAM - 16, EINVAL },		/* count of records */
		{ EDU_STREAM - 16 - 112 + 36, EINVAL }, /* no factorial */
	};
	int a, b;
	ssize_t n;

	edu_start();
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	edu_fill(a);
	ck_assert_uint_eq(edu_save(a), EDU_STREAM);
	ck_assert_int_eq(edu_load(b, EDU_STREAM, &n), 0);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(cases); i++) {
		stream[cases[i].at] ^= 0x55;
		ck_assert_int_eq(edu_load(b, EDU_STREAM, &n), -EINVAL);
		ck_assert_msg(n == -cases[i].error, "byte %u: %d", (unsigned int)cases[i].at, (int)n);
		stream[cases[i].at] ^= 0x55;
	}
	ck_assert_int_eq(edu_load(b, EDU_STREAM - 1, &n), -EINVAL);
	ck_assert_int_eq(n, EDU_STREAM - 1);
	ck_assert_int_eq(edu_load(b, 0, &n), -EINVAL);
	ck_assert_int_eq(edu_load(b, EDU_STREAM + 1, &n), -EINVAL);
	ck_assert_int_eq(n, -ENOMEM);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(edu_keys)
{
	int fd, data_fd;

	raw_start(&m, NULL, "edu,state=4k,chunk=100,precopy=0,flags=5,arc=2ms,rate=1m");
	fd = raw_device(&m, 0);
	ck_assert_int_eq(raw_set(&m, fd, RUNNING_P2P, NULL), -EINVAL);
	data_fd = raw_session(&m, fd, PRE_COPY);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 4096), 100);
	while (raw_read(&m, data_fd, stream, 4096) > 0)
		;
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 4096), 0);
	/* one arc, and 4 KiB at 1 MiB a second */
	ck_assert_uint_ge(vfm_sim_now_ns(m.sim), 1000000000 + 2000000 + 3900000);
	raw_close(&m, data_fd);
	raw_close(&m, fd);
	raw_stop(&m, 1);
}
END_TEST

START_TEST(edu_takes_sixteen_gib)
{
	uint64_t total = 0, written = 0;
	int a, b, save, load;
	ssize_t n;

	raw_start(&m, NULL, "edu@" EDU_A ",state=16g;edu@" EDU_B ",state=16g");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	ck_assert_int_eq(raw_poke(&m, a, EDU_CONTENTS, (16ull << 30) - 8, 0x1234, 8), 8);
	save = raw_session(&m, a, STOP_COPY);
	load = raw_session(&m, b, RESUMING);
	/* The first and the last mebibyte of it: the way between is the same all along. */
	while ((n = raw_read(&m, save, stream, 1 << 20)) > 0 && total < 4 << 20) {
		ck_assert_int_eq(raw_write(&m, load, stream, (size_t)n), n);
		total += (uint64_t)n;
		written += (uint64_t)n;
	}
	ck_assert_uint_eq(written, total);
	ck_assert_int_eq(raw_set(&m, b, STOP, NULL), -EINVAL);
	raw_close(&m, save);
	raw_close(&m, load);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, 0);
}
END_TEST

/* mtty */

static void mtty_start(void)
{
	raw_start(&m, NULL, "mtty@" MTTY_A ";mtty@" MTTY_B);
}

START_TEST(mtty_moves)
{
	struct vfio_precopy_info info;
	int a, b, data_fd;

	mtty_start();
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	for (uint64_t c = 'A'; c < 'A' + 5; c++)
		ck_assert_int_eq(raw_poke(&m, a, 1, 0, c, 1), 1);
	data_fd = raw_session(&m, a, PRE_COPY);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.initial_bytes, 24);
	info = (struct vfio_precopy_info){ .argsz = sizeof(info), .flags = 0x5a };
	ck_assert_int_eq(raw_ioctl(&m, data_fd, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	ck_assert_uint_eq(info.flags, 0x5a); /* no output yet */
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 4096), 24);
	ck_assert_int_eq(raw_read(&m, data_fd, stream + 24, 4096), 0);
	ck_assert_int_eq(raw_set(&m, a, STOP_COPY, NULL), 0);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), -EINVAL);
	ck_assert_int_eq(raw_read(&m, data_fd, stream + 24, 4096), 72);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 1), 0);
	ck_assert_uint_eq(vfmi_get_le64(stream), 0x7e9d09898c3e2c4e);
	ck_assert_uint_eq(vfmi_get_le32(stream + 16), 2);
	ck_assert_mem_eq(stream + 24 + 36 + 8, "ABCDE", 5);
	ck_assert_uint_eq(stream[24 + 36 + 26], 5);
	raw_close(&m, data_fd);
	data_fd = raw_session(&m, b, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 96), 96);
	ck_assert_int_eq(raw_set(&m, b, RUNNING, NULL), 0);
	for (uint64_t c = 'A'; c < 'A' + 5; c++)
		ck_assert_uint_eq(raw_peek(&m, b, 1, 0, 1), c);
	ck_assert_uint_eq(raw_peek(&m, b, 1, 5, 1), 0x60);
	raw_close(&m, data_fd);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, 1);
}
END_TEST

/* The header is refused when it is written, and loaded all the same. */
START_TEST(mtty_loads_what_it_refused)
{
	int fd, data_fd;

	mtty_start();
	fd = raw_device(&m, 0);
	data_fd = raw_session(&m, fd, STOP_COPY);
	ck_assert_uint_eq(raw_drain(&m, data_fd, stream, sizeof(stream)), 96);
	raw_close(&m, data_fd);
	stream[24 + 7] = 0x99; /* scratch register */
	stream[3] ^= 1;
	data_fd = raw_session(&m, fd, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 23), 23);
	ck_assert_int_eq(raw_write(&m, data_fd, stream + 23, 1), -EFAULT);
	ck_assert_int_eq(raw_write(&m, data_fd, stream + 24, 72), 72);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 1), -ENOMEM);
	ck_assert_int_eq(raw_set(&m, fd, STOP, NULL), 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 7, 1), 0x99);
	raw_close(&m, data_fd);
	data_fd = raw_session(&m, fd, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 97), -ENOMEM);
	ck_assert_int_eq(raw_set(&m, fd, STOP, NULL), -EINVAL);
	ck_assert_uint_eq(raw_state(&m, fd), RESUMING);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 0, 7, 1), 0x99);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 97), -ENOMEM); /* it looks at the length first */
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 96), -ENODEV);
	raw_close(&m, data_fd);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(mtty_survives_any_state)
{
	int fd, data_fd;

	mtty_start();
	fd = raw_device(&m, 0);
	data_fd = raw_session(&m, fd, STOP_COPY);
	raw_drain(&m, data_fd, stream, sizeof(stream));
	raw_close(&m, data_fd);
	memset(stream + 24, 0xff, 72);
	data_fd = raw_session(&m, fd, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 96), 96);
	ck_assert_int_eq(raw_set(&m, fd, RUNNING, NULL), 0);
	for (uint32_t at = 0; at < 8; at++) {
		raw_peek(&m, fd, 0, at, 1);
		raw_poke(&m, fd, 1, at, 0xff, 1);
	}
	raw_close(&m, data_fd);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(mtty_in_a_session_state_after_close)
{
	int fd, data_fd;

	mtty_start();
	fd = raw_device(&m, 0);
	raw_close(&m, raw_session(&m, fd, PRE_COPY));
	raw_close(&m, fd);
	fd = raw_device(&m, 0);
	ck_assert_uint_eq(raw_state(&m, fd), PRE_COPY);
	data_fd = raw_session(&m, fd, STOP_COPY); /* its file went with the close, so another one comes */
	ck_assert_uint_eq(raw_drain(&m, data_fd, stream, sizeof(stream)), 96);
	raw_close(&m, data_fd);
	ck_assert_int_eq(raw_set(&m, fd, RUNNING, NULL), 0);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(mtty_configuration)
{
	uint8_t bytes[8];
	int fd;

	mtty_start();
	fd = raw_device(&m, 0);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0, 4), 0x32534348);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 0x10, 0xffffffff, 4), 4);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 0x10, 4), 0xfffffff9);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 0xffff, 2), 2);
	ck_assert_uint_eq(raw_peek(&m, fd, 7, 4, 2), 1);
	ck_assert_int_eq(m.sys->ops->pread(m.sys, fd, bytes, 8, REGION(8, 0)), -EFAULT);
	raw_close(&m, fd);
	raw_stop(&m, 1);
}
END_TEST

/* mlx5 */

START_TEST(mlx5_moves)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct vfio_precopy_info info;
	uint8_t a_bytes[256], b_bytes[256];
	size_t length = 0;
	int a, b, data_fd;
	ssize_t n;

	raw_start(&m, NULL, "mlx5@" EDU_A ",state=256k;mlx5@" EDU_B ",state=256k");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	memset(a_bytes, 0x41, sizeof(a_bytes));
	ck_assert_int_eq(vfm_sim_contents_write(m.sim, EDU_A, 70000, a_bytes, sizeof(a_bytes)), 0);
	ck_assert_int_eq(raw_poke(&m, a, 0, 48, 0xabcdef, 8), 8);
	data_fd = raw_session(&m, a, PRE_COPY);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.initial_bytes, 24);
	while ((n = raw_read(&m, data_fd, stream + length, 50000)) > 0)
		length += (size_t)n;
	ck_assert_int_eq(n, -ENOMSG);
	ck_assert_uint_eq(length, 24 + 16 + 16 + (256 << 10) + 64);
	poll_fd.fd = data_fd;
	ck_assert_int_eq(m.sys->ops->poll(m.sys, &poll_fd, 1, 0), 0);
	/* Without asking nothing more ever comes. */
	ck_assert_int_eq(vfm_sim_contents_write(m.sim, EDU_A, 70000, a_bytes, sizeof(a_bytes)), 0);
	ck_assert_int_eq(raw_read(&m, data_fd, stream + length, 4096), -ENOMSG);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.dirty_bytes, 16 + 16 + BLOCK + 64);
	ck_assert_int_eq(m.sys->ops->poll(m.sys, &poll_fd, 1, 0), 1);
	while ((n = raw_read(&m, data_fd, stream + length, 50000)) > 0)
		length += (size_t)n;
	ck_assert_int_eq(raw_poke(&m, a, 0, 56, 0x777, 8), 8);
	ck_assert_int_eq(raw_set(&m, a, STOP_COPY, NULL), 0);
	length += raw_drain(&m, data_fd, stream + length, sizeof(stream) - length);
	raw_close(&m, data_fd);
	data_fd = raw_session(&m, b, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, length), (int)length);
	ck_assert_int_eq(raw_set(&m, b, RUNNING, NULL), 0);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_B, 70000, b_bytes, sizeof(b_bytes)), 0);
	ck_assert_mem_eq(a_bytes, b_bytes, sizeof(a_bytes));
	ck_assert_uint_eq(raw_peek(&m, b, 0, 48, 8), 0xabcdef);
	ck_assert_uint_eq(raw_peek(&m, b, 0, 56, 8), 0x777);
	raw_close(&m, data_fd);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, 0);
}
END_TEST

static size_t put_record(uint8_t *at, uint64_t size, uint32_t flags, uint32_t tag)
{
	vfmi_put_le64(at, size);
	vfmi_put_le32(at + 8, flags);
	vfmi_put_le32(at + 12, tag);
	memset(at + 16, 0, size < 64 ? size : 64);
	return 16 + (size < 64 ? size : 64);
}

START_TEST(mlx5_records)
{
	int fd, data_fd;
	size_t n;

	raw_start(&m, NULL, "mlx5,state=64k");
	fd = raw_device(&m, 0);
	/* nothing at all, and a stream cut in a record: both are taken */
	raw_close(&m, raw_session(&m, fd, RESUMING));
	ck_assert_int_eq(raw_set(&m, fd, STOP, NULL), 0);
	data_fd = raw_session(&m, fd, RESUMING);
	n = put_record(stream, 30, 1, 77); /* optional and unknown: skipped */
	ck_assert_int_eq(raw_write(&m, data_fd, stream, n), (int)n);
	n = put_record(stream, 0, 1, 78);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, n), (int)n);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 7), 7);
	ck_assert_int_eq(raw_set(&m, fd, STOP, NULL), 0);
	raw_close(&m, data_fd);
	data_fd = raw_session(&m, fd, RESUMING);
	n = put_record(stream, 8, 0, 77);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, n), -EOPNOTSUPP);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, n), -ENODEV); /* an error is the end of it */
	raw_close(&m, data_fd);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	data_fd = raw_session(&m, fd, RESUMING);
	n = put_record(stream, UINT64_MAX, 0, 0);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 16), -ENOMEM);
	raw_close(&m, data_fd);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* hisi_acc */

static void hisi_start(const char *source, const char *target)
{
	char spec[128];

	snprintf(spec, sizeof(spec), "hisi_acc@" EDU_A ",version=%s;hisi_acc@" EDU_B ",version=%s", source, target);
	raw_start(&m, NULL, spec);
}

static void hisi_fill(int fd)
{
	for (uint64_t i = 0; i < 4; i++)
		ck_assert_int_eq(raw_poke(&m, fd, 2, 104 + 8 * i, 0x1000 * (i + 1), 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, 2, 24, 0xbeef, 4), 4);
}

START_TEST(hisi_moves)
{
	struct vfio_precopy_info info;
	int a, b, data_fd;

	hisi_start("2", "2");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	hisi_fill(a);
	ck_assert_int_eq(raw_set(&m, a, RUNNING_P2P, NULL), -EINVAL); /* flags 5 */
	data_fd = raw_session(&m, a, PRE_COPY);
	ck_assert_int_eq(raw_precopy(&m, data_fd, &info), 0);
	ck_assert_uint_eq(info.initial_bytes, 40);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 4096), 40);
	ck_assert_int_eq(raw_read(&m, data_fd, stream, 4096), 0);
	ck_assert_int_eq(raw_set(&m, a, STOP_COPY, NULL), 0);
	ck_assert_uint_eq(raw_drain(&m, data_fd, stream + 40, sizeof(stream) - 40), 136);
	ck_assert_uint_eq(vfmi_get_le64(stream), 0xaaccfeeddecadede);
	raw_close(&m, data_fd);
	data_fd = raw_session(&m, b, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 177), -ENOMEM);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 176), 176);
	ck_assert_int_eq(raw_set(&m, b, RUNNING, NULL), 0);
	ck_assert_uint_eq(raw_peek(&m, b, 2, 24, 4), 0xbeef);
	raw_close(&m, data_fd);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, 1);
}
END_TEST

START_TEST(hisi_without_a_driver_is_its_match_part)
{
	int a, b, data_fd;

	hisi_start("2", "2");
	a = raw_device(&m, 0);
	b = raw_device(&m, 1);
	data_fd = raw_session(&m, a, STOP_COPY);
	ck_assert_uint_eq(raw_drain(&m, data_fd, stream, sizeof(stream)), 40);
	raw_close(&m, data_fd);
	data_fd = raw_session(&m, b, RESUMING);
	ck_assert_int_eq(raw_write(&m, data_fd, stream, 39), 39);
	ck_assert_int_eq(raw_set(&m, b, STOP, NULL), -EINVAL);
	ck_assert_int_eq(raw_write(&m, data_fd, stream + 39, 1), 1);
	ck_assert_int_eq(raw_set(&m, b, STOP, NULL), 0);
	raw_close(&m, data_fd);
	raw_close(&m, a);
	raw_close(&m, b);
	raw_stop(&m, 0);
}
END_TEST

/* New to old is refused in the write; old to new is taken. */
START_TEST(hisi_versions)
{
	static const struct {
		const char *source, *target;
		int written;
	} cases[] = { { "1", "1", 40 }, { "1", "2", 40 }, { "2", "1", -EFAULT }, { "2", "2", 40 } };
	int a, b, data_fd;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(cases); i++) {
		hisi_start(cases[i].source, cases[i].target);
		a = raw_device(&m, 0);
		b = raw_device(&m, 1);
		data_fd = raw_session(&m, a, STOP_COPY);
		ck_assert_uint_eq(raw_drain(&m, data_fd, stream, sizeof(stream)), 40);
		raw_close(&m, data_fd);
		data_fd = raw_session(&m, b, RESUMING);
		ck_assert_int_eq(raw_write(&m, data_fd, stream, 40), cases[i].written);
		raw_close(&m, data_fd);
		raw_close(&m, a);
		raw_close(&m, b);
		raw_stop(&m, 0);
	}
}
END_TEST

/* nvgrace-gpu */

START_TEST(nvgrace_does_not_migrate)
{
	uint64_t data = 0;
	struct stat st;
	int fd;

	raw_start(&m, NULL, "nvgrace-gpu@" EDU_A);
	fd = raw_device(&m, 0);
	for (uint32_t feature = 0; feature <= 13; feature++) {
		if (feature >= 3 && feature <= 5)
			continue; /* low power is vfio-pci's */
		ck_assert_int_eq(raw_feature(&m, fd, feature | VFIO_DEVICE_FEATURE_PROBE, &data, 8), -ENOTTY);
		ck_assert_int_eq(raw_feature(&m, fd, feature | VFIO_DEVICE_FEATURE_GET, &data, 8), -ENOTTY);
		ck_assert_int_eq(raw_feature(&m, fd, feature | VFIO_DEVICE_FEATURE_SET, &data, 8), -ENOTTY);
	}
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/kernel/debug/vfio/" EDU_A "/migration", &st), -ENOENT);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "error"), -EINVAL);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_profiles");
	TCase *all = tcase_create("profiles");

	suite_add_tcase(suite, all);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, states_agree_with_the_library);
	tcase_add_test(all, states_walk);
	tcase_add_test(all, descriptors_run_out_after_the_arc);
	tcase_add_test(all, direction_and_position);
	tcase_add_test(all, edu_moves);
	tcase_add_test(all, edu_sends_changes_again);
	tcase_add_test(all, edu_judges);
	tcase_add_test(all, edu_keys);
	tcase_add_test(all, edu_takes_sixteen_gib);
	tcase_add_test(all, mtty_moves);
	tcase_add_test(all, mtty_loads_what_it_refused);
	tcase_add_test(all, mtty_survives_any_state);
	tcase_add_test(all, mtty_in_a_session_state_after_close);
	tcase_add_test(all, mtty_configuration);
	tcase_add_test(all, mlx5_moves);
	tcase_add_test(all, mlx5_records);
	tcase_add_test(all, hisi_moves);
	tcase_add_test(all, hisi_without_a_driver_is_its_match_part);
	tcase_add_test(all, hisi_versions);
	tcase_add_test(all, nvgrace_does_not_migrate);
	return run_suite(suite);
}
