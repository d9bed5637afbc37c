/* SPDX-License-Identifier: MIT */
/* The data file as drivers really answer: every condition of a read, a write and of PRE_COPY info, one at a time. */
#include <vfiomig/migration.h>

#include "fake_device.h"
#include "suite.h"

#define ROOM 64u
#define ANSWERS 8u

/* What the data file answers, in turn: bytes moved, or -errno. */
static struct {
	int64_t answers[ANSWERS];
	size_t count;
	size_t at;
	size_t offered; /* of the last call */
	int polls;
	uint32_t state_then; /* state of the device when the script has run out; 0: as it was */
	struct vfio_precopy_info info;
	int info_result;
	int lost_fds; /* so many starts from now lose their file after the arc: EMFILE */
	int table;    /* descriptors the process may have, more lose theirs in the same way; 0: no limit */
} script;

static bool is_data_state(uint32_t state)
{
	return state == VFM_STATE_STOP_COPY || state == VFM_STATE_RESUMING || state == VFM_STATE_PRE_COPY ||
	       state == VFM_STATE_PRE_COPY_P2P;
}

static bool answer_set(struct vfio_device_feature *feature, int *r)
{
	struct vfio_device_feature_mig_state mig;
	bool starts;

	if (feature->flags != (VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE))
		return false;
	memcpy(&mig, feature->data, sizeof(mig));
	starts = is_data_state(mig.device_state) && !is_data_state(fake.state);
	fake.sets++;
	fake.state = mig.device_state;
	mig.data_fd = -1;
	*r = 0;
	if (starts && (script.lost_fds || (script.table && fake.open_fds >= script.table))) {
		script.lost_fds -= script.lost_fds > 0;
		*r = -EMFILE;
	} else if (starts) {
		mig.data_fd = fake.next_fd++;
		fake.open_fds++;
	}
	memcpy(feature->data, &mig, sizeof(mig));
	return true;
}

static bool answer(unsigned long request, void *arg, int *r)
{
	if (request == VFIO_DEVICE_FEATURE)
		return answer_set(arg, r);
	if (request != VFIO_MIG_GET_PRECOPY_INFO)
		return false;
	ck_assert_uint_eq(((struct vfio_precopy_info *)arg)->flags, 0);
	*(struct vfio_precopy_info *)arg = script.info;
	*r = script.info_result;
	return true;
}

static ssize_t next_answer(size_t length)
{
	script.offered = length;
	if (script.at == script.count)
		return (ssize_t)length;
	if (script.at + 1 == script.count && script.state_then)
		fake.state = script.state_then;
	return (ssize_t)script.answers[script.at++];
}

static ssize_t script_read(struct vfmi_sys *sys, int fd, void *buf, size_t length)
{
	(void)sys;
	ck_assert_int_ge(fd, 100);
	memset(buf, 0x77, length);
	return next_answer(length);
}

static ssize_t script_write(struct vfmi_sys *sys, int fd, const void *buf, size_t length)
{
	(void)sys, (void)buf;
	ck_assert_int_ge(fd, 100);
	return next_answer(length);
}

static int script_poll(struct vfmi_sys *sys, struct pollfd *fds, nfds_t count, int timeout_ms)
{
	(void)sys;
	ck_assert_uint_eq(count, 1);
	ck_assert_int_gt(timeout_ms, 0);
	fds->revents = fds->events;
	script.polls++;
	return 1;
}

static int script_eventfd(struct vfmi_sys *sys, unsigned int initial, int flags)
{
	(void)initial, (void)flags;
	return fake_dup(sys, 100);
}

static struct vfmi_sys_ops script_ops;
static struct vfm_session *session;
static uint8_t buf[ROOM];
static size_t length;

static void setup(void)
{
	memset(&script, 0, sizeof(script));
	script.info.argsz = sizeof(script.info);
	script_ops = fake_ops;
	script_ops.read = script_read;
	script_ops.write = script_write;
	script_ops.poll = script_poll;
	script_ops.eventfd = script_eventfd;
	fake_sys.ops = &script_ops;
	fake_setup();
	fake.hook = answer;
	session = NULL;
}

static void teardown(void)
{
	vfm_session_close(session);
	fake_teardown();
}

static void begin(bool load, uint32_t flags)
{
	VFM_OPTS(vfm_session_opts, opts);

	opts.flags = flags;
	ck_assert_int_eq(load ? vfm_session_load(dev, &opts, &session, &error)
			      : vfm_session_save(dev, &opts, &session, &error),
			 0);
	ck_assert_int_eq(fake.open_fds, 2);
}

static void will_answer(const int64_t *answers, size_t count)
{
	memcpy(script.answers, answers, count * sizeof(*answers));
	script.count = count;
	script.at = 0;
}

#define WILL_ANSWER(...)                                                                                               \
	will_answer((const int64_t[]){ __VA_ARGS__ }, sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))

static int read_some(void)
{
	length = 12345;
	return vfm_session_read(session, buf, sizeof(buf), &length, &error);
}

START_TEST(reads_in_precopy)
{
	begin(false, VFM_SESSION_LIVE);
	WILL_ANSWER(ROOM, 1, 0, -ENOMSG, 7);
	ck_assert_int_eq(read_some(), VFM_READ_DATA);
	ck_assert_uint_eq(length, ROOM);
	ck_assert_int_eq(read_some(), VFM_READ_DATA);
	ck_assert_uint_eq(length, 1);
	ck_assert_int_eq(read_some(), VFM_READ_IDLE);
	ck_assert_int_eq(read_some(), VFM_READ_IDLE);
	ck_assert_int_eq(read_some(), VFM_READ_DATA);
	ck_assert_uint_eq(vfm_session_bytes(session), ROOM + 8);
}
END_TEST

START_TEST(reads_in_stop_copy)
{
	begin(false, 0);
	WILL_ANSWER(3, 0, 0);
	ck_assert_int_eq(read_some(), VFM_READ_DATA);
	ck_assert_int_eq(read_some(), VFM_READ_END);
	ck_assert_int_eq(read_some(), VFM_READ_END);
	/* ENOMSG belongs to PRE_COPY */
	WILL_ANSWER(-ENOMSG);
	ck_assert_int_eq(read_some(), -ENOMSG);
	ck_assert_uint_eq(length, 12345);
}
END_TEST

START_TEST(interruptions_are_retried)
{
	begin(false, 0);
	WILL_ANSWER(-EINTR, -EAGAIN, -EINTR, -EAGAIN, 5);
	ck_assert_int_eq(read_some(), VFM_READ_DATA);
	ck_assert_uint_eq(length, 5);
	ck_assert_int_eq(script.polls, 2);
}
END_TEST

/* The kernel is asked for the truth, and that is what the error says. */
START_TEST(read_failures_tell_the_state)
{
	static const struct {
		int64_t answer;
		uint32_t then;
		int code;
		bool needs_reset;
	} cases[] = {
		{ -EIO, 0, EIO, false },
		{ -ENODEV, 0, ENODEV, false },
		{ -ENODEV, VFM_STATE_RUNNING, ECANCELED, false },
		{ -ENODEV, VFM_STATE_STOP, ECANCELED, false },
		{ -EIO, VFM_STATE_RUNNING, EIO, false },
		{ ROOM + 1, 0, EIO, false },
		{ INT64_MAX, 0, EIO, false },
	};
	bool left;

	begin(false, 0);
	WILL_ANSWER(cases[_i].answer);
	script.state_then = cases[_i].then;
	ck_assert_int_eq(read_some(), -cases[_i].code);
	ck_assert_uint_eq(error.state_now, cases[_i].then ? cases[_i].then : VFM_STATE_STOP_COPY);
	ck_assert_str_eq(error.device, "dev0");
	/* what was read has a hole now: it must not pass for a state */
	ck_assert_int_eq(read_some(), -EPROTO);
	ck_assert_int_eq(vfm_session_finish(session, VFM_STATE_RUNNING, NULL, &error), -EPROTO);
	/* one that somebody else put elsewhere is left to them */
	left = cases[_i].then == VFM_STATE_STOP;
	ck_assert_int_eq(vfm_session_abort(session, NULL, &error), left ? -ECANCELED : 0);
	ck_assert_uint_eq(fake.state, left ? VFM_STATE_STOP : VFM_STATE_RUNNING);
	ck_assert_int_eq(fake.resets, 0);
}
END_TEST

START_TEST(writes_are_whole)
{
	begin(true, 0);
	WILL_ANSWER(-EINTR, 10, -EAGAIN, 1);
	ck_assert_int_eq(vfm_session_write(session, buf, ROOM, &error), 0);
	ck_assert_uint_eq(script.offered, ROOM - 11);
	ck_assert_uint_eq(vfm_session_bytes(session), ROOM);
	ck_assert_int_eq(vfm_session_write(session, buf, 0, &error), 0);
	ck_assert_uint_eq(vfm_session_bytes(session), ROOM);
}
END_TEST

START_TEST(failed_write_kills_the_session)
{
	static const struct {
		int64_t answer;
		int code;
	} cases[] = { { -EFAULT, EFAULT }, { -ENOMEM, ENOMEM }, { 0, EIO }, { ROOM + 1, EIO }, { -ENODEV, ENODEV } };

	begin(true, 0);
	WILL_ANSWER(4, cases[_i].answer);
	ck_assert_int_eq(vfm_session_write(session, buf, ROOM, &error), -cases[_i].code);
	ck_assert(error.flags & VFM_ERROR_NEEDS_RESET);
	fake.sets = 0;
	ck_assert_int_eq(vfm_session_write(session, buf, 1, &error), -EPROTO);
	ck_assert_int_eq(vfm_session_finish(session, VFM_STATE_STOP, NULL, &error), -EPROTO);
	ck_assert_int_eq(fake.sets, 0);
	vfm_session_close(session);
	session = NULL;
	ck_assert_int_eq(fake.resets, 1);
	ck_assert_int_eq(fake.sets, 0);
}
END_TEST

START_TEST(nonsense_sizes_are_unknown)
{
	static const uint64_t values[] = { 0, 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 1, UINT64_MAX };
	VFM_OPTS(vfm_precopy_info, info);

	begin(false, VFM_SESSION_LIVE);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(values); i++) {
		uint64_t meant = values[i] > INT64_MAX ? VFM_SIZE_UNKNOWN : values[i];

		script.info.initial_bytes = values[i];
		script.info.dirty_bytes = values[i];
		script.info.flags = 0x5a;
		ck_assert_int_eq(vfm_session_precopy_info(session, &info, &error), 0);
		ck_assert_uint_eq(info.initial_bytes, meant);
		ck_assert_uint_eq(info.dirty_bytes, meant);
		ck_assert_uint_eq(info.flags, 0);
	}
	script.info_result = -ENOTTY;
	ck_assert_int_eq(vfm_session_precopy_info(session, &info, &error), -ENOTTY);
	WILL_ANSWER(0);
	ck_assert_int_eq(read_some(), VFM_READ_IDLE);
}
END_TEST

/* The device has moved though its file is lost: the reserve is freed, the device goes back, one more try is made. */
START_TEST(lost_file_is_tried_again)
{
	script.table = 2; /* the device's and one more */
	begin(_i == 2, _i == 1 ? VFM_SESSION_LIVE : 0);
	ck_assert_int_eq(fake.sets, _i == 2 ? 2 : 3);
	ck_assert_int_eq(fake.resets, _i == 2 ? 1 : 0);
}
END_TEST

START_TEST(twice_lost_is_given_up)
{
	script.lost_fds = 2;
	if (_i) {
		ck_assert_int_eq(vfm_session_load(dev, NULL, &session, &error), -EMFILE);
		ck_assert_int_eq(fake.resets, 2);
		ck_assert(error.flags & VFM_ERROR_WAS_RESET);
	} else {
		ck_assert_int_eq(vfm_session_save(dev, NULL, &session, &error), -EMFILE);
		ck_assert_int_eq(fake.resets, 0);
	}
	ck_assert_uint_eq(fake.state, VFM_STATE_RUNNING);
	ck_assert_uint_eq(error.state_now, VFM_STATE_RUNNING);
	ck_assert_int_eq(fake.open_fds, 1);
	ck_assert_int_eq(vfm_device_set_state(dev, VFM_STATE_STOP, NULL, &error), 0);
}
END_TEST

/* A reset that the device does not announce: by its driver's entry, or by trying; without any, no load. */
START_TEST(load_needs_a_reset)
{
	fake.device_flags = VFIO_DEVICE_FLAGS_PCI;
	begin(true, 0);
	ck_assert_int_eq(fake.resets, 1);
}
END_TEST

static bool answer_no_reset(unsigned long request, void *arg, int *r)
{
	if (request != VFIO_DEVICE_RESET)
		return answer(request, arg, r);
	*r = -EINVAL;
	return true;
}

START_TEST(load_without_reset_is_refused)
{
	fake.device_flags = VFIO_DEVICE_FLAGS_PCI;
	fake.hook = answer_no_reset;
	ck_assert_int_eq(vfm_session_load(dev, NULL, &session, &error), -EOPNOTSUPP);
	ck_assert_int_eq(fake.sets, 0);
	ck_assert_uint_eq(fake.state, VFM_STATE_RUNNING);
}
END_TEST

static int cause_of_reset;

static bool answer_broken_reset(unsigned long request, void *arg, int *r)
{
	if (request != VFIO_DEVICE_RESET)
		return answer(request, arg, r);
	*r = cause_of_reset;
	return true;
}

/* A reset that the device has but that did not work this time is not a device without one. */
START_TEST(load_tells_why_the_reset_failed)
{
	cause_of_reset = _i ? -EIO : -EAGAIN;
	fake.device_flags = VFIO_DEVICE_FLAGS_PCI;
	fake.hook = answer_broken_reset;
	ck_assert_int_eq(vfm_session_load(dev, NULL, &session, &error), cause_of_reset);
	ck_assert_int_eq(fake.sets, 0);
}
END_TEST

static int no_eventfd(struct vfmi_sys *sys, unsigned int initial, int flags)
{
	(void)sys, (void)initial, (void)flags;
	return -EMFILE;
}

START_TEST(reset_to_find_out_is_reported)
{
	fake.device_flags = VFIO_DEVICE_FLAGS_PCI;
	script_ops.eventfd = no_eventfd;
	ck_assert_int_eq(vfm_session_load(dev, NULL, &session, &error), -EMFILE);
	ck_assert_int_eq(fake.resets, 1);
	ck_assert_uint_eq(error.flags, VFM_ERROR_WAS_RESET);
	ck_assert_uint_eq(error.state_now, VFM_STATE_RUNNING);
}
END_TEST

/* A save that lost its device to somebody's load does not tear that load down on its way back. */
START_TEST(load_of_another_is_left_alone)
{
	uint32_t state;
	int sets;

	begin(false, 0);
	sets = fake.sets;
	fake.state = VFM_STATE_RESUMING;
	ck_assert_int_eq(vfm_session_abort(session, &state, &error), -ECANCELED);
	ck_assert_uint_eq(state, VFM_STATE_RESUMING);
	ck_assert_int_eq(fake.sets, sets);
}
END_TEST

static ssize_t read_beside_stop(struct vfmi_sys *sys, int fd, void *into, size_t room)
{
	VFM_OPTS(vfm_error, err);

	(void)sys, (void)fd, (void)into, (void)room;
	ck_assert_int_eq(vfm_session_stop_copy(session, &err), 0);
	return 0;
}

/* The answer belongs to the state the device was in when it was asked. */
START_TEST(idle_beside_a_stop_is_no_end)
{
	begin(false, VFM_SESSION_LIVE);
	script_ops.read = read_beside_stop;
	ck_assert_int_eq(vfm_session_read(session, buf, sizeof(buf), &length, &error), VFM_READ_IDLE);
	ck_assert_int_eq(vfm_session_finish(session, VFM_STATE_RUNNING, NULL, &error), -EPROTO);
	ck_assert_int_eq(vfm_session_read(session, buf, sizeof(buf), &length, &error), VFM_READ_END);
}
END_TEST

static int resets_failing;

static bool answer_late_reset(unsigned long request, void *arg, int *r)
{
	if (request != VFIO_DEVICE_RESET || resets_failing == 0)
		return answer(request, arg, r);
	resets_failing--;
	*r = -EIO;
	return true;
}

START_TEST(reset_of_a_load_is_tried_twice)
{
	uint32_t state;

	begin(true, 0);
	fake.hook = answer_late_reset;
	resets_failing = _i;
	ck_assert_int_eq(vfm_session_abort(session, &state, &error), _i < 2 ? 0 : -EIO);
	ck_assert_uint_eq(state, _i < 2 ? VFM_STATE_RUNNING : VFM_STATE_RESUMING);
	ck_assert_int_eq(fake.resets, _i < 2);
	/* the device is free either way: whoever holds it may reset it later */
	ck_assert_int_eq(vfm_device_reset(dev, &error), 0);
}
END_TEST

START_TEST(error_of_any_size_is_filled)
{
	struct {
		uint32_t size;
		int32_t code;
		uint8_t beyond[sizeof(struct vfm_error)];
	} small = { .size = 8 };

	script.lost_fds = 2;
	memset(small.beyond, 0xab, sizeof(small.beyond));
	ck_assert_int_eq(vfm_session_save(dev, NULL, &session, (struct vfm_error *)(void *)&small), -EMFILE);
	ck_assert_int_eq(small.code, EMFILE);
	for (size_t i = 0; i < sizeof(small.beyond); i++)
		ck_assert_uint_eq(small.beyond[i], 0xab);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session_io");
	TCase *tc = tcase_create("data file");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reads_in_precopy);
	tcase_add_test(tc, reads_in_stop_copy);
	tcase_add_test(tc, interruptions_are_retried);
	tcase_add_loop_test(tc, read_failures_tell_the_state, 0, 7);
	tcase_add_test(tc, writes_are_whole);
	tcase_add_loop_test(tc, failed_write_kills_the_session, 0, 5);
	tcase_add_test(tc, nonsense_sizes_are_unknown);
	tcase_add_loop_test(tc, lost_file_is_tried_again, 0, 3);
	tcase_add_loop_test(tc, twice_lost_is_given_up, 0, 2);
	tcase_add_test(tc, load_needs_a_reset);
	tcase_add_test(tc, load_without_reset_is_refused);
	tcase_add_loop_test(tc, load_tells_why_the_reset_failed, 0, 2);
	tcase_add_test(tc, reset_to_find_out_is_reported);
	tcase_add_test(tc, load_of_another_is_left_alone);
	tcase_add_test(tc, idle_beside_a_stop_is_no_end);
	tcase_add_loop_test(tc, reset_of_a_load_is_tried_twice, 0, 3);
	tcase_add_test(tc, error_of_any_size_is_filled);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
