/* SPDX-License-Identifier: MIT */
/*
 * The order in which devices are moved, at the source and at the destination: nobody stops before all are in P2P,
 * nobody runs before all are again, and no source gives up before its destination's verdict.
 */
#include <stdio.h>

#include "channel_fixture.h"
#include "fake_device.h"
#include "suite.h"

#define DEVICES 3u
#define STATE_LENGTH 5u

static struct {
	uint32_t state[DEVICES];
	uint64_t flags[DEVICES];
	uint64_t left[DEVICES]; /* bytes the data file still gives before its next pause */
	uint64_t more;		/* what STOP_COPY adds */
	uint64_t initial;	/* never goes below this */
	uint64_t now_ns;
	char trace[1024];
	unsigned int fail_set; /* the SET that fails, counted from 1 */
	unsigned int sets;
	bool fails_late; /* after its effect, and its way back with it */
	unsigned int failing_resets;
	uint32_t after_reset; /* state a reset leads to */
} world;

static struct vfm_device *devs[DEVICES];

/* The adopted descriptors come first, then whatever is opened: device i has 100 + i, its data file 200 + i. */
static unsigned int device_of(int fd)
{
	ck_assert_int_ge(fd, 100);
	return (unsigned int)fd % 100;
}

static bool is_data_state(uint32_t state)
{
	return state == VFM_STATE_STOP_COPY || state == VFM_STATE_RESUMING || state == VFM_STATE_PRE_COPY ||
	       state == VFM_STATE_PRE_COPY_P2P;
}

static void note_word(unsigned int i, const char *word)
{
	size_t at = strlen(world.trace);

	snprintf(world.trace + at, sizeof(world.trace) - at, "%s%c:%s", at ? " " : "", 'A' + (char)i, word);
}

static void note(unsigned int i, uint32_t state)
{
	static const char *const names[] = { "ERR", "stop", "run", "copy", "load", "p2p", "pre", "prep2p" };

	note_word(i, names[state]);
}

static int set_state(unsigned int i, struct vfio_device_feature_mig_state *mig)
{
	bool starts = is_data_state(mig->device_state) && !is_data_state(world.state[i]);

	if (++world.sets == world.fail_set && !world.fails_late)
		return -EIO;
	note(i, mig->device_state);
	if (mig->device_state == VFM_STATE_STOP_COPY)
		world.left[i] += world.more;
	world.state[i] = mig->device_state;
	mig->data_fd = starts ? 200 + (int)i : -1;
	return world.sets == world.fail_set ? -EIO : 0;
}

static int answer_feature(unsigned int i, struct vfio_device_feature *feature)
{
	struct vfio_device_feature_mig_state mig;
	int r = 0;

	switch (feature->flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		memcpy(feature->data, &world.flags[i], sizeof(world.flags[i]));
		return 0;
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		memcpy(&mig, feature->data, sizeof(mig));
		if (feature->flags & VFIO_DEVICE_FEATURE_SET)
			r = set_state(i, &mig);
		else
			mig = (struct vfio_device_feature_mig_state){ world.state[i], -1 };
		memcpy(feature->data, &mig, sizeof(mig));
		return r;
	default:
		return -ENOTTY;
	}
}

static int world_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	unsigned int i = device_of(fd);

	if (request == VFIO_MIG_GET_PRECOPY_INFO) {
		struct vfio_precopy_info *info = arg;

		info->initial_bytes = world.left[i] > world.initial ? world.left[i] : world.initial;
		info->dirty_bytes = 0;
		return 0;
	}
	if (request == VFIO_DEVICE_FEATURE)
		return answer_feature(i, arg);
	if (request == VFIO_DEVICE_RESET) {
		note_word(i, world.failing_resets ? "noreset" : "reset");
		if (world.failing_resets) {
			world.failing_resets--;
			return -EIO;
		}
		world.state[i] = world.after_reset;
	}
	return fake_ioctl(sys, fd, request, arg);
}

static ssize_t world_read(struct vfmi_sys *sys, int fd, void *buf, size_t length)
{
	unsigned int i = device_of(fd);

	(void)sys;
	ck_assert_int_ge(fd, 200);
	length = (size_t)vfmi_min_u64(length, world.left[i]);
	memset(buf, (int)i, length);
	world.left[i] -= length;
	return length || world.state[i] == VFM_STATE_STOP_COPY ? (ssize_t)length : -ENOMSG;
}

static ssize_t world_write(struct vfmi_sys *sys, int fd, const void *buf, size_t length)
{
	(void)sys, (void)buf;
	ck_assert_uint_eq(world.state[device_of(fd)], VFM_STATE_RESUMING);
	return (ssize_t)length;
}

static int world_close(struct vfmi_sys *sys, int fd)
{
	(void)sys, (void)fd;
	return 0;
}

static int world_eventfd(struct vfmi_sys *sys, unsigned int initial, int flags)
{
	(void)sys, (void)initial, (void)flags;
	return 300;
}

static int world_fstat(struct vfmi_sys *sys, int fd, struct stat *st)
{
	(void)sys, (void)fd, (void)st;
	return -EBADF;
}

static uint64_t world_now_ns(struct vfmi_sys *sys)
{
	(void)sys;
	return world.now_ns += 1000;
}

static uint64_t world_wall_s(struct vfmi_sys *sys)
{
	(void)sys;
	return 1;
}

static void world_sleep_ns(struct vfmi_sys *sys, uint64_t ns)
{
	(void)sys;
	world.now_ns += ns;
}

static int world_getrandom(struct vfmi_sys *sys, void *buf, size_t length)
{
	(void)sys;
	memset(buf, 0x42, length);
	return 0;
}

static struct vfmi_sys_ops world_ops;
static struct memory memory;
static struct vfm_transfer_opts opts;
static struct vfm_transfer_result result;

static void setup(void)
{
	struct vfm_adopt adopt = { .size = sizeof(adopt), .device_fd = FAKE_FD, .iommufd = -1 };
	char name[8] = "dev-";

	world_ops = fake_ops;
	world_ops.ioctl = world_ioctl;
	world_ops.read = world_read;
	world_ops.write = world_write;
	world_ops.close = world_close;
	world_ops.eventfd = world_eventfd;
	world_ops.fstat = world_fstat;
	world_ops.now_ns = world_now_ns;
	world_ops.wall_s = world_wall_s;
	world_ops.sleep_ns = world_sleep_ns;
	world_ops.getrandom = world_getrandom;
	fake_sys = (struct vfmi_sys){ .ops = &world_ops };
	memset(&fake, 0, sizeof(fake));
	fake.next_fd = 100;
	fake.piece = SIZE_MAX;
	fake.device_flags = VFIO_DEVICE_FLAGS_RESET;
	memset(&world, 0, sizeof(world));
	world.more = STATE_LENGTH;
	world.after_reset = VFM_STATE_RUNNING;
	ck_assert_int_eq(vfmi_context_new_on(&fake_sys, &ctx), 0);
	for (unsigned int i = 0; i < DEVICES; i++) {
		name[3] = (char)('A' + i);
		adopt.name = name;
		world.state[i] = VFM_STATE_RUNNING;
		world.flags[i] = 7;
		ck_assert_int_eq(vfm_device_adopt(ctx, &adopt, &devs[i], NULL), 0);
		ck_assert_int_eq(vfm_device_fd(devs[i]), 100 + (int)i);
	}
	world.trace[0] = '\0';
	world.sets = 0;
	memset(&memory, 0, sizeof(memory));
	opts = (struct vfm_transfer_opts){ .size = sizeof(opts), .flags = VFM_TRANSFER_NO_CONFIG };
	result = (struct vfm_transfer_result){ .size = sizeof(result) };
	error = (struct vfm_error){ .size = sizeof(error) };
}

static void teardown(void)
{
	for (unsigned int i = 0; i < DEVICES; i++)
		vfm_device_close(devs[i]);
	vfm_context_free(ctx);
	free(memory.data);
}

static int save(size_t count)
{
	struct vfm_io io = memory_writer(&memory);

	return vfm_save(devs, count, &io, &opts, &result, &error);
}

/* What was saved, back into the devices it came from. */
static int restore(size_t count)
{
	static const uint32_t map[DEVICES] = { 0, 1, 2 };
	struct vfm_io io = memory_reader(&memory);

	world.trace[0] = '\0';
	opts.map = map;
	opts.map_length = count;
	return vfm_restore(devs, count, &io, &opts, &result, &error);
}

START_TEST(one_device_takes_the_kernels_way)
{
	ck_assert_msg(save(1) == 0, "%s", error.message);
	ck_assert_str_eq(world.trace, "A:copy A:run");
}
END_TEST

START_TEST(several_meet_in_p2p)
{
	ck_assert_msg(save(3) == 0, "%s", error.message);
	ck_assert_str_eq(world.trace, "A:p2p B:p2p C:p2p A:copy B:copy C:copy A:p2p B:p2p C:p2p A:run B:run C:run");
}
END_TEST

START_TEST(live_ones_meet_in_p2p)
{
	world.flags[1] = 3;
	world.left[0] = world.left[2] = 100;
	opts.flags |= VFM_TRANSFER_LIVE;
	ck_assert_msg(save(3) == 0, "%s", error.message);
	ck_assert_str_eq(world.trace, "A:pre C:pre A:prep2p B:p2p C:prep2p A:copy B:copy C:copy "
				      "A:p2p B:p2p C:p2p A:run B:run C:run");
	ck_assert_uint_eq(result.precopy_bytes, 200);
	ck_assert_uint_eq(result.bytes, 200 + 3 * STATE_LENGTH);
}
END_TEST

START_TEST(stopped_ones_need_no_barrier)
{
	world.state[1] = VFM_STATE_STOP;
	ck_assert_msg(save(2) == 0, "%s", error.message);
	ck_assert_str_eq(world.trace, "A:p2p A:copy B:copy A:p2p B:stop A:run");
}
END_TEST

START_TEST(a_move_ends_in_stop)
{
	opts.then_state = VFM_STATE_STOP;
	ck_assert_msg(save(2) == 0, "%s", error.message);
	ck_assert_str_eq(world.trace, "A:p2p B:p2p A:copy B:copy A:stop B:stop");
}
END_TEST

/* Whatever SET fails: the way back has the same barrier, and no device runs while another has not reached P2P. */
START_TEST(way_back_has_the_barrier)
{
	unsigned int all;

	opts.flags |= _i ? VFM_TRANSFER_LIVE : 0;
	ck_assert_int_eq(save(3), 0);
	all = world.sets;
	for (unsigned int n = 1; n <= all; n++) {
		const char *p;
		unsigned int stopped = 0;

		world.trace[0] = '\0';
		world.sets = 0;
		world.fail_set = n;
		ck_assert_int_eq(save(3), -EIO);
		for (unsigned int i = 0; i < DEVICES; i++)
			ck_assert_uint_eq(world.state[i], VFM_STATE_RUNNING);
		ck_assert_int_eq(fake.resets, 0);
		/* walk the trace: while one stands in "copy" or "stop" none may go to "run" */
		for (p = world.trace; *p; p = strchr(p, ' ') ? strchr(p, ' ') + 1 : p + strlen(p)) {
			unsigned int bit = 1u << (p[0] - 'A');

			if (!strncmp(p + 2, "copy", 4) || !strncmp(p + 2, "stop", 4))
				stopped |= bit;
			else
				stopped &= ~bit;
			ck_assert_msg(strncmp(p + 2, "run", 3) || !stopped, "SET %u: %s", n, world.trace);
		}
	}
}
END_TEST

START_TEST(restored_ones_meet_in_p2p)
{
	ck_assert_int_eq(save(2), 0);
	opts.then_state = VFM_STATE_RUNNING;
	ck_assert_msg(restore(2) == 0, "%s", error.message);
	ck_assert_str_eq(world.trace, "A:load B:load A:stop B:stop A:p2p B:p2p A:run B:run");
}
END_TEST

START_TEST(verdict_comes_before_the_source_gives_up)
{
	ck_assert_msg(vfm_copy(devs[0], devs[1], &opts, &result, &error) == 0, "%s", error.message);
	ck_assert_str_eq(world.trace, "B:load A:copy B:stop A:stop");
}
END_TEST

/* The last SET is the target's to RUNNING: it counts as running until its reset has worked. */
START_TEST(source_waits_for_the_targets_reset)
{
	opts.then_state = VFM_STATE_RUNNING;
	world.fail_set = 5;
	world.fails_late = true;
	ck_assert_int_eq(vfm_copy(devs[0], devs[1], &opts, &result, &error), -EIO);
	ck_assert_str_eq(world.trace, "B:load A:copy B:stop A:stop B:run B:reset A:run");
	ck_assert_uint_eq(result.commit, VFM_COMMIT_NONE);
	ck_assert(error.flags & VFM_ERROR_WAS_RESET);
}
END_TEST

START_TEST(source_stays_stopped_beside_a_target_in_doubt)
{
	opts.then_state = VFM_STATE_RUNNING;
	world.fail_set = 5;
	world.fails_late = true;
	world.failing_resets = _i == 0 ? 100 : 0;
	world.after_reset = VFM_STATE_STOP;
	ck_assert_int_eq(vfm_copy(devs[0], devs[1], &opts, &result, &error), -EIO);
	ck_assert_uint_eq(world.state[0], VFM_STATE_STOP);
	ck_assert_uint_eq(result.commit, VFM_COMMIT_DOUBT);
	ck_assert(error.flags & VFM_ERROR_NEEDS_RESET);
	ck_assert_ptr_nonnull(strstr(error.message, "the source stays stopped"));
}
END_TEST

/* Neither B's start nor the session's own way back from it worked: that reset is not forgotten over A's. */
START_TEST(failed_start_is_reset_with_the_others)
{
	ck_assert_int_eq(save(2), 0);
	world.sets = 0;
	world.fail_set = 2;
	world.fails_late = true;
	world.failing_resets = 4;
	ck_assert_int_eq(restore(2), -EIO);
	ck_assert_uint_eq(world.failing_resets, 0);
	ck_assert_uint_eq(world.state[0], VFM_STATE_RUNNING);
	ck_assert_uint_eq(world.state[1], VFM_STATE_RUNNING);
	ck_assert(error.flags & VFM_ERROR_WAS_RESET);
	ck_assert(!(error.flags & VFM_ERROR_NEEDS_RESET));
}
END_TEST

/* Between the setup and the first move somebody else was at the device. */
static int move_meanwhile(void *user, const struct vfm_progress *progress)
{
	const uint32_t *to = user;

	if (progress->phase == VFM_PHASE_SETUP)
		world.state[1] = *to;
	return 0;
}

START_TEST(device_moved_meanwhile_is_left_alone)
{
	static const uint32_t states[] = { VFM_STATE_STOP, VFM_STATE_STOP_COPY, VFM_STATE_RESUMING };
	uint32_t to = states[_i % 3];

	opts.flags |= _i >= 3 ? VFM_TRANSFER_LIVE : 0;
	opts.progress = move_meanwhile;
	opts.progress_user = &to;
	ck_assert_int_eq(save(2), -EBUSY);
	ck_assert_ptr_nonnull(strstr(error.message, "somebody else moved it to"));
	ck_assert_uint_eq(error.state_now, to);
	ck_assert_uint_eq(world.state[0], VFM_STATE_RUNNING);
	ck_assert_uint_eq(world.state[1], to);
	ck_assert_ptr_null(strchr(world.trace, 'B'));
}
END_TEST

/* Not even for a caller who puts up with every mismatch. */
START_TEST(simulated_state_stays_out_of_real_devices)
{
	fake_sys.simulated = !_i;
	ck_assert_int_eq(save(1), 0);
	fake_sys.simulated = _i;
	opts.flags |= VFM_TRANSFER_ALLOW_MISMATCH;
	ck_assert_int_eq(restore(1), -EREMOTEIO);
	ck_assert_ptr_nonnull(strstr(error.message, _i ? "real device" : "simulated device"));
	ck_assert_str_eq(world.trace, "");
	ck_assert_int_eq(fake.resets, 0);
}
END_TEST

/* Initial bytes that never end: time decides. */
START_TEST(endless_initial_bytes_hit_the_limit)
{
	uint64_t begin = world.now_ns;

	world.initial = 1;
	opts.flags |= VFM_TRANSFER_LIVE;
	opts.precopy_limit_ns = 50000000;
	ck_assert_msg(save(1) == 0, "%s", error.message);
	ck_assert_str_eq(world.trace, "A:pre A:copy A:run");
	ck_assert_uint_ge(world.now_ns - begin, 50000000);
	ck_assert_uint_lt(world.now_ns - begin, 100000000);
}
END_TEST

START_TEST(endless_data_hits_the_limit)
{
	world.left[0] = UINT64_MAX / 2;
	opts.flags |= VFM_TRANSFER_LIVE;
	opts.precopy_limit_bytes = 10 * VFM_STREAM_MAX_CHUNK + 1;
	world.more = 0;
	opts.progress = NULL;
	/* the device has far more than this channel takes: what matters is when it is stopped */
	memory.limit = 12 * VFM_STREAM_MAX_CHUNK;
	ck_assert_int_eq(save(1), -ENOSPC);
	ck_assert_uint_eq(result.precopy_bytes, 11ull * VFM_STREAM_MAX_CHUNK);
	ck_assert_uint_eq(world.state[0], VFM_STATE_RUNNING);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("source");
	TCase *tc = tcase_create("order");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, one_device_takes_the_kernels_way);
	tcase_add_test(tc, several_meet_in_p2p);
	tcase_add_test(tc, live_ones_meet_in_p2p);
	tcase_add_test(tc, stopped_ones_need_no_barrier);
	tcase_add_test(tc, a_move_ends_in_stop);
	tcase_add_loop_test(tc, way_back_has_the_barrier, 0, 2);
	tcase_add_test(tc, restored_ones_meet_in_p2p);
	tcase_add_test(tc, verdict_comes_before_the_source_gives_up);
	tcase_add_test(tc, source_waits_for_the_targets_reset);
	tcase_add_loop_test(tc, source_stays_stopped_beside_a_target_in_doubt, 0, 2);
	tcase_add_test(tc, failed_start_is_reset_with_the_others);
	tcase_add_loop_test(tc, device_moved_meanwhile_is_left_alone, 0, 6);
	tcase_add_loop_test(tc, simulated_state_stays_out_of_real_devices, 0, 2);
	tcase_add_test(tc, endless_initial_bytes_hit_the_limit);
	tcase_add_test(tc, endless_data_hits_the_limit);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
