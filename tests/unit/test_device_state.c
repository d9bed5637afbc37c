/* SPDX-License-Identifier: MIT */
/* States outside sessions: what is refused before the kernel is asked, and that the truth is asked after it. */
#include "fake_device.h"
#include "suite.h"

static uint32_t now;

static int move_to(uint32_t target)
{
	now = 1234;
	return vfm_device_set_state(dev, target, &now, &error);
}

START_TEST(legal_moves_are_made)
{
	const uint32_t targets[] = { VFM_STATE_STOP, VFM_STATE_RUNNING_P2P, VFM_STATE_RUNNING, VFM_STATE_STOP };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(targets); i++) {
		ck_assert_int_eq(move_to(targets[i]), 0);
		ck_assert_uint_eq(now, targets[i]);
		ck_assert_uint_eq(fake.state, targets[i]);
	}
	ck_assert_int_eq(fake.sets, 4);
}
END_TEST

START_TEST(being_there_asks_nothing)
{
	ck_assert_int_eq(move_to(VFM_STATE_RUNNING), 0);
	ck_assert_int_eq(fake.sets, 0);
	ck_assert_int_eq(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL, NULL), 0);
}
END_TEST

static const struct {
	uint64_t flags;
	uint32_t from;
	uint32_t to;
	int result;
} refusals[] = {
	{ 7, VFM_STATE_RUNNING, VFM_STATE_ERROR, -EINVAL },
	{ 7, VFM_STATE_RUNNING, VFM_STATE_STOP_COPY, -EINVAL },
	{ 7, VFM_STATE_RUNNING, VFM_STATE_RESUMING, -EINVAL },
	{ 7, VFM_STATE_RUNNING, VFM_STATE_PRE_COPY, -EINVAL },
	{ 7, VFM_STATE_RUNNING, VFM_STATE_PRE_COPY_P2P, -EINVAL },
	{ 7, VFM_STATE_RUNNING, 8, -EINVAL },
	{ 7, VFM_STATE_RUNNING, 0x7fffffff, -EINVAL },
	{ 7, VFM_STATE_RUNNING, VFM_STATE_UNKNOWN, -EINVAL },
	{ 1, VFM_STATE_RUNNING, VFM_STATE_RUNNING_P2P, -EINVAL },
	{ 5, VFM_STATE_STOP, VFM_STATE_RUNNING_P2P, -EINVAL },
	{ 7, VFM_STATE_RESUMING, VFM_STATE_STOP, -EINVAL },
	{ 7, VFM_STATE_RESUMING, VFM_STATE_RUNNING, -EINVAL },
	{ 7, VFM_STATE_ERROR, VFM_STATE_RUNNING, -ENOTRECOVERABLE },
	{ 7, VFM_STATE_ERROR, VFM_STATE_STOP, -ENOTRECOVERABLE },
	{ 7, 8, VFM_STATE_STOP, -EBUSY },
	{ 7, VFM_STATE_UNKNOWN, VFM_STATE_STOP, -EBUSY },
	{ 0, VFM_STATE_RUNNING, VFM_STATE_STOP, -EOPNOTSUPP },
	{ 2, VFM_STATE_RUNNING, VFM_STATE_STOP, -EOPNOTSUPP },
	{ 4, VFM_STATE_RUNNING, VFM_STATE_STOP, -EOPNOTSUPP },
	{ 6, VFM_STATE_RUNNING, VFM_STATE_STOP, -EOPNOTSUPP },
	{ 8, VFM_STATE_RUNNING, VFM_STATE_STOP, -EOPNOTSUPP },
};

START_TEST(refusals_never_reach_the_kernel)
{
	fake.flags = refusals[_i].flags;
	fake.state = refusals[_i].from;
	ck_assert_int_eq(move_to(refusals[_i].to), refusals[_i].result);
	ck_assert_int_eq(fake.sets, 0);
	ck_assert_int_eq(error.code, -refusals[_i].result);
	if (refusals[_i].result != -EOPNOTSUPP)
		ck_assert_uint_eq(now, refusals[_i].from < 8 ? refusals[_i].from : VFM_STATE_UNKNOWN);
	ck_assert_int_eq(!!(error.flags & VFM_ERROR_NEEDS_RESET), refusals[_i].result == -ENOTRECOVERABLE);
}
END_TEST

static const uint32_t saving[] = { VFM_STATE_STOP_COPY, VFM_STATE_PRE_COPY, VFM_STATE_PRE_COPY_P2P };

START_TEST(leaving_a_saving_state_is_allowed)
{
	const uint32_t targets[] = { VFM_STATE_STOP, VFM_STATE_RUNNING, VFM_STATE_RUNNING_P2P };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(targets); i++) {
		fake.state = saving[_i];
		ck_assert_int_eq(move_to(targets[i]), 0);
		ck_assert_uint_eq(fake.state, targets[i]);
	}
}
END_TEST

START_TEST(unknown_flags_are_ignored)
{
	uint32_t flags;

	fake.flags = ((uint64_t)1 << 63) | 8 | 3;
	ck_assert_int_eq(vfm_device_migration_flags(dev, &flags, &error), 0);
	ck_assert_uint_eq(flags, 3);
	fake.flags = 1; /* asked once */
	ck_assert_int_eq(vfm_device_migration_flags(dev, &flags, &error), 0);
	ck_assert_uint_eq(flags, 3);
}
END_TEST

/* SET that goes wrong */

static struct {
	int set_result;
	uint32_t lands; /* state after the SET */
	int get_result; /* of the GET after it */
	int data_fd;
	bool seen;
} plan;

static bool planned(unsigned long request, void *arg, int *r)
{
	struct vfio_device_feature *feature = arg;
	struct vfio_device_feature_mig_state *state = (struct vfio_device_feature_mig_state *)feature->data;

	if (request != VFIO_DEVICE_FEATURE ||
	    (feature->flags & VFIO_DEVICE_FEATURE_MASK) != VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
		return false;
	if (feature->flags & VFIO_DEVICE_FEATURE_GET) {
		if (plan.seen && plan.get_result < 0) {
			*r = plan.get_result;
			return true;
		}
		return false;
	}
	fake.state = plan.lands;
	plan.seen = true;
	state->data_fd = plan.data_fd;
	if (plan.data_fd >= 0)
		fake.open_fds++;
	*r = plan.set_result;
	return true;
}

static const struct {
	int set_result;
	uint32_t lands;
	int get_result;
	int result;
	uint32_t now;
	uint32_t flags;
} failures[] = {
	{ -EIO, VFM_STATE_RUNNING, 0, -EIO, VFM_STATE_RUNNING, VFM_ERROR_TRANSITION | VFM_ERROR_RETRYABLE },
	{ -EIO, VFM_STATE_RUNNING_P2P, 0, -EIO, VFM_STATE_RUNNING_P2P, VFM_ERROR_TRANSITION },
	{ -EIO, VFM_STATE_STOP, 0, -EIO, VFM_STATE_STOP, VFM_ERROR_TRANSITION },
	{ -EIO, VFM_STATE_ERROR, 0, -ENOTRECOVERABLE, VFM_STATE_ERROR, VFM_ERROR_TRANSITION | VFM_ERROR_NEEDS_RESET },
	{ -EINTR, VFM_STATE_RUNNING, 0, -EINTR, VFM_STATE_RUNNING, VFM_ERROR_TRANSITION | VFM_ERROR_RETRYABLE },
	{ -EIO, VFM_STATE_RUNNING, -EIO, -EIO, VFM_STATE_UNKNOWN, VFM_ERROR_TRANSITION },
	{ 0, VFM_STATE_STOP, -ENODEV, -ENODEV, VFM_STATE_UNKNOWN, VFM_ERROR_TRANSITION },
	{ 0, VFM_STATE_RUNNING_P2P, 0, -EIO, VFM_STATE_RUNNING_P2P, VFM_ERROR_TRANSITION },
	{ 0, VFM_STATE_ERROR, 0, -ENOTRECOVERABLE, VFM_STATE_ERROR, VFM_ERROR_TRANSITION | VFM_ERROR_NEEDS_RESET },
	{ 0, 9, 0, -EIO, VFM_STATE_UNKNOWN, VFM_ERROR_TRANSITION },
};

START_TEST(the_truth_is_asked)
{
	memset(&plan, 0, sizeof(plan));
	plan.set_result = failures[_i].set_result;
	plan.lands = failures[_i].lands;
	plan.get_result = failures[_i].get_result;
	plan.data_fd = -1;
	fake.hook = planned;
	ck_assert_int_eq(move_to(VFM_STATE_STOP), failures[_i].result);
	ck_assert_uint_eq(now, failures[_i].now);
	ck_assert_uint_eq(error.state_now, failures[_i].now);
	ck_assert_uint_eq(error.state_from, VFM_STATE_RUNNING);
	ck_assert_uint_eq(error.state_to, VFM_STATE_STOP);
	ck_assert_uint_eq(error.flags, failures[_i].flags);
	ck_assert_str_eq(error.step, "RUNNING -> STOP");
	ck_assert_str_eq(error.device, "dev0");
	fake.hook = NULL;
	ck_assert_int_eq(vfm_device_reset(dev, &error), 0); /* no call is left open */
}
END_TEST

START_TEST(unexpected_data_file_is_closed)
{
	memset(&plan, 0, sizeof(plan));
	plan.lands = VFM_STATE_STOP;
	plan.data_fd = 500;
	fake.hook = planned;
	ck_assert_int_eq(move_to(VFM_STATE_STOP), 0);
	ck_assert_int_eq(fake.open_fds, 1);
}
END_TEST

/* who may change the device */

START_TEST(one_change_at_a_time)
{
	uint32_t state;

	ck_assert_int_eq(vfmi_device_begin(dev, NULL, "test", &error), 0);
	ck_assert_int_eq(move_to(VFM_STATE_STOP), -EBUSY);
	ck_assert_uint_eq(now, VFM_STATE_RUNNING);
	ck_assert_int_eq(vfm_device_reset(dev, &error), -EBUSY);
	ck_assert_int_eq(vfm_device_attach(dev, &error), -EBUSY);
	ck_assert_int_eq(vfm_device_get_state(dev, &state, &error), 0);
	vfmi_device_end(dev);
	ck_assert_int_eq(move_to(VFM_STATE_STOP), 0);
}
END_TEST

START_TEST(a_session_keeps_others_out)
{
	struct vfm_session *session = (struct vfm_session *)&now; /* only its address counts */
	struct vfm_session *other = (struct vfm_session *)&error;

	ck_assert_int_eq(vfmi_device_claim(dev, session, &error), 0);
	ck_assert_int_eq(vfmi_device_claim(dev, other, &error), -EBUSY);
	ck_assert_int_eq(move_to(VFM_STATE_STOP), -EBUSY);
	ck_assert_int_eq(vfm_device_reset(dev, &error), -EBUSY);
	ck_assert_int_eq(vfmi_device_begin(dev, session, "test", &error), 0);
	ck_assert_int_eq(vfmi_device_begin(dev, session, "test", &error), -EBUSY);
	vfmi_device_end(dev);
	vfmi_device_release(dev, other);
	ck_assert_int_eq(move_to(VFM_STATE_STOP), -EBUSY);
	vfmi_device_release(dev, session);
	ck_assert_int_eq(move_to(VFM_STATE_STOP), 0);
	ck_assert_int_eq(vfmi_device_begin(dev, NULL, "test", &error), 0);
	ck_assert_int_eq(vfmi_device_claim(dev, session, &error), -EBUSY);
	vfmi_device_end(dev);
}
END_TEST

/* size and reset */

static int size_result;
static uint64_t size_bytes;

static bool answer_size(unsigned long request, void *arg, int *r)
{
	struct vfio_device_feature *feature = arg;

	if (request != VFIO_DEVICE_FEATURE ||
	    (feature->flags & VFIO_DEVICE_FEATURE_MASK) != VFIO_DEVICE_FEATURE_MIG_DATA_SIZE)
		return false;
	memcpy(feature->data, &size_bytes, sizeof(size_bytes));
	*r = size_result;
	return true;
}

static const struct {
	int kernel;
	uint64_t bytes;
	int result;
	uint64_t expect;
} data_sizes[] = {
	{ 0, 0, 0, 0 },
	{ 0, 1, 0, 1 },
	{ 0, INT64_MAX, 0, INT64_MAX },
	{ 0, (uint64_t)INT64_MAX + 1, 0, VFM_SIZE_UNKNOWN },
	{ 0, (uint64_t)-22, 0, VFM_SIZE_UNKNOWN },
	{ 0, UINT64_MAX, 0, VFM_SIZE_UNKNOWN },
	{ -ENOTTY, 0, 0, VFM_SIZE_UNKNOWN },
	{ -EOPNOTSUPP, 0, 0, VFM_SIZE_UNKNOWN },
	{ -EIO, 0, -EIO, 77 },
};

START_TEST(sizes_are_believed_within_reason)
{
	uint64_t bytes = 77;

	size_result = data_sizes[_i].kernel;
	size_bytes = data_sizes[_i].bytes;
	fake.hook = answer_size;
	ck_assert_int_eq(vfm_device_data_size(dev, &bytes, &error), data_sizes[_i].result);
	ck_assert_uint_eq(bytes, data_sizes[_i].expect);
}
END_TEST

static int contended;

static bool contend(unsigned long request, void *arg, int *r)
{
	(void)arg;
	if (request != VFIO_DEVICE_RESET || contended == 0)
		return false;
	contended--;
	*r = -EAGAIN;
	return true;
}

START_TEST(contended_reset_is_retried)
{
	contended = 9;
	fake.hook = contend;
	fake.state = VFM_STATE_ERROR;
	ck_assert_int_eq(vfm_device_reset(dev, &error), 0);
	ck_assert_int_eq(fake.resets, 1);
	ck_assert_uint_gt(fake.slept_ns, 0);
	ck_assert_uint_eq(fake.state, VFM_STATE_RUNNING);
}
END_TEST

START_TEST(contended_reset_ends)
{
	contended = 1000;
	fake.hook = contend;
	fake.state = VFM_STATE_STOP;
	ck_assert_int_eq(vfm_device_reset(dev, &error), -EAGAIN);
	ck_assert_int_eq(contended, 990);
	ck_assert_uint_lt(fake.slept_ns, 10000000000u);
	ck_assert_uint_eq(error.state_now, VFM_STATE_STOP);
	ck_assert_uint_eq(error.flags, VFM_ERROR_RETRYABLE);
	ck_assert_ptr_nonnull(strstr(error.message, "; device now in STOP"));
}
END_TEST

static bool no_reset(unsigned long request, void *arg, int *r)
{
	(void)arg;
	*r = -ENOTTY;
	return request == VFIO_DEVICE_RESET;
}

START_TEST(missing_reset_is_told)
{
	fake.hook = no_reset;
	ck_assert_int_eq(vfm_device_reset(dev, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "the device has no reset"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_state");
	TCase *tests = tcase_create("device_state");

	tcase_add_checked_fixture(tests, fake_setup, fake_teardown);
	tcase_add_test(tests, legal_moves_are_made);
	tcase_add_test(tests, being_there_asks_nothing);
	tcase_add_loop_test(tests, refusals_never_reach_the_kernel, 0, (int)VFMI_ARRAY_SIZE(refusals));
	tcase_add_loop_test(tests, leaving_a_saving_state_is_allowed, 0, (int)VFMI_ARRAY_SIZE(saving));
	tcase_add_test(tests, unknown_flags_are_ignored);
	tcase_add_loop_test(tests, the_truth_is_asked, 0, (int)VFMI_ARRAY_SIZE(failures));
	tcase_add_test(tests, unexpected_data_file_is_closed);
	tcase_add_test(tests, one_change_at_a_time);
	tcase_add_test(tests, a_session_keeps_others_out);
	tcase_add_loop_test(tests, sizes_are_believed_within_reason, 0, (int)VFMI_ARRAY_SIZE(data_sizes));
	tcase_add_test(tests, contended_reset_is_retried);
	tcase_add_test(tests, contended_reset_ends);
	tcase_add_test(tests, missing_reset_is_told);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
