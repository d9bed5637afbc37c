/* SPDX-License-Identifier: MIT */
/* The mapping from what went wrong to exit codes, case by case. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "../../cli/cli.h"
#include "../unit/suite.h"

#define UNKNOWN VFM_STATE_UNKNOWN
#define NO_RESULT 0xffffu

/* @commit NO_RESULT: no transfer took place; @device: a device is named */
struct exit_case {
	enum cli_stage stage;
	int code;
	uint32_t flags;
	uint32_t from, now;
	uint32_t commit, before, after;
	const char *device;
	int signal;
	int expected;
};

#define OPENING(c, f, dev, want)                                                                                       \
	{                                                                                                              \
		CLI_STAGE_OPEN, c, f, UNKNOWN, UNKNOWN, NO_RESULT, 0, 0, dev, 0, want                                  \
	}
#define MOVING(c, f, from, now, want)                                                                                  \
	{                                                                                                              \
		CLI_STAGE_ACT, c, (f) | VFM_ERROR_TRANSITION, from, now, NO_RESULT, 0, 0, "d", 0, want                 \
	}
#define TRANSFER(c, f, commit, before, after, sig, want)                                                               \
	{                                                                                                              \
		CLI_STAGE_ACT, c, f, UNKNOWN, UNKNOWN, commit, before, after, "d", sig, want                           \
	}

static const struct exit_case cases[] = {
	OPENING(ENODEV, 0, "d", CLI_UNAVAILABLE),
	OPENING(EBUSY, VFM_ERROR_RETRYABLE, "d", CLI_UNAVAILABLE),
	OPENING(EACCES, 0, "d", CLI_UNAVAILABLE),
	OPENING(EINVAL, 0, "d", CLI_UNAVAILABLE),
	OPENING(EINVAL, 0, "", CLI_USAGE),
	OPENING(ENOTTY, 0, "", CLI_USAGE),
	OPENING(EOPNOTSUPP, 0, "d", CLI_UNSUPPORTED),
	OPENING(ENOMEM, 0, "d", CLI_FAILED),
	OPENING(ENOENT, VFM_ERROR_PEER, "", CLI_PEER),
	OPENING(EEXIST, VFM_ERROR_PEER, "", CLI_PEER),
	OPENING(ECONNREFUSED, VFM_ERROR_PEER, "", CLI_PEER),
	OPENING(EBADMSG, 0, "", CLI_DAMAGED),
	OPENING(EPROTONOSUPPORT, 0, "", CLI_UNSUPPORTED),
	OPENING(EAFNOSUPPORT, VFM_ERROR_PEER, "", CLI_UNSUPPORTED),
	OPENING(ESRCH, 0, "d", CLI_UNAVAILABLE),

	/* one device, moved: the state it is in now decides */
	MOVING(EIO, 0, VFM_STATE_RUNNING, VFM_STATE_RUNNING, CLI_FAILED),
	MOVING(EINVAL, 0, VFM_STATE_RUNNING, VFM_STATE_RUNNING, CLI_FAILED),
	MOVING(EIO, 0, VFM_STATE_RUNNING, VFM_STATE_STOP, CLI_ATTENTION),
	MOVING(EIO, 0, VFM_STATE_RUNNING, VFM_STATE_ERROR, CLI_ATTENTION),
	MOVING(EIO, 0, VFM_STATE_RUNNING, UNKNOWN, CLI_ATTENTION),
	MOVING(EIO, VFM_ERROR_NEEDS_RESET, VFM_STATE_RUNNING, VFM_STATE_RUNNING, CLI_ATTENTION),
	MOVING(ENOTRECOVERABLE, 0, VFM_STATE_ERROR, VFM_STATE_ERROR, CLI_ATTENTION),

	/* transfers: doubt above all, then what a device needs, then the cause */
	TRANSFER(EINPROGRESS, VFM_ERROR_PEER, VFM_COMMIT_DOUBT, 2, 1, 0, CLI_DOUBT),
	TRANSFER(ECANCELED, 0, VFM_COMMIT_DOUBT, 2, 1, 15, CLI_DOUBT),
	TRANSFER(EIO, VFM_ERROR_TRANSITION, VFM_COMMIT_DONE, 2, 1, 0, CLI_ATTENTION),
	TRANSFER(EOPNOTSUPP, 0, VFM_COMMIT_DONE, 1, 1, 0, CLI_ATTENTION),
	TRANSFER(EBADMSG, VFM_ERROR_WAS_RESET, VFM_COMMIT_NONE, 2, 2, 0, CLI_DAMAGED),
	TRANSFER(EBADMSG, VFM_ERROR_NEEDS_RESET, VFM_COMMIT_NONE, 2, 4, 0, CLI_ATTENTION),
	TRANSFER(EPIPE, VFM_ERROR_PEER, VFM_COMMIT_NONE, 2, 2, 0, CLI_PEER),
	TRANSFER(EPIPE, VFM_ERROR_PEER | VFM_ERROR_WAS_RESET, VFM_COMMIT_NONE, 1, 2, 0, CLI_PEER),
	TRANSFER(EPIPE, VFM_ERROR_PEER | VFM_ERROR_NEEDS_RESET, VFM_COMMIT_NONE, 2, 4, 0, CLI_ATTENTION),
	TRANSFER(EIO, VFM_ERROR_WAS_RESET, VFM_COMMIT_NONE, 2, 2, 0, CLI_ATTENTION),
	TRANSFER(EPIPE, VFM_ERROR_PEER, VFM_COMMIT_NONE, 2, 1, 0, CLI_ATTENTION),
	TRANSFER(EPROTO, 0, VFM_COMMIT_NONE, 2, 2, 0, CLI_PEER),
	TRANSFER(EREMOTEIO, 0, VFM_COMMIT_NONE, 2, 2, 0, CLI_UNSUPPORTED),
	TRANSFER(EIO, 0, VFM_COMMIT_NONE, 2, 2, 0, CLI_FAILED),
	TRANSFER(EIO, 0, VFM_COMMIT_NONE, UNKNOWN, UNKNOWN, 0, CLI_FAILED),
	TRANSFER(ECANCELED, 0, VFM_COMMIT_NONE, 2, 2, 2, 130),
	TRANSFER(ECANCELED, VFM_ERROR_WAS_RESET, VFM_COMMIT_NONE, 1, 2, 15, 143),
	TRANSFER(ECANCELED, VFM_ERROR_NEEDS_RESET, VFM_COMMIT_NONE, 2, 4, 15, CLI_ATTENTION),
	TRANSFER(ECANCELED, 0, VFM_COMMIT_NONE, 2, 2, 0, CLI_FAILED),
};

START_TEST(exit_code)
{
	const struct exit_case *c = &cases[_i];
	struct vfm_transfer_result result = {
		.size = sizeof(result), .commit = c->commit, .state_before = c->before, .state_now = c->after
	};
	struct vfm_error error = {
		.size = sizeof(error), .code = c->code, .flags = c->flags, .state_from = c->from, .state_now = c->now
	};

	snprintf(error.device, sizeof(error.device), "%s", c->device);
	ck_assert_int_eq(cli_exit_code(c->stage, &error, c->commit == NO_RESULT ? NULL : &result, c->signal),
			 c->expected);
}
END_TEST

START_TEST(names)
{
	for (const struct exit_meaning *exit = cli_exits; exit->name; exit++)
		ck_assert_str_eq(cli_exit_name(exit->code), exit->name);
	ck_assert_str_eq(cli_exit_name(CLI_SIGNAL + 15), "signal");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("exit");
	TCase *tests = tcase_create("exit");

	tcase_add_loop_test(tests, exit_code, 0, (int)ARRAY_SIZE(cases));
	tcase_add_test(tests, names);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
