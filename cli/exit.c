/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what went wrong and what it left behind to the exit code: the one place where that is decided. */
#include <errno.h>

#include "cli.h"

const struct exit_meaning cli_exits[] = {
	{ CLI_DONE, "done", "done" },
	{ CLI_FAILED, "failed", "failed, every device is as it was before" },
	{ CLI_USAGE, "usage", "wrong use, nothing was touched" },
	{ CLI_UNSUPPORTED, "unsupported", "not supported, or source and destination are not compatible" },
	{ CLI_ATTENTION, "attention", "failed, a device needs attention or was reset" },
	{ CLI_DOUBT, "doubt", "a handover was in doubt and holding ended" },
	{ CLI_DAMAGED, "damaged", "the stream is damaged" },
	{ CLI_UNAVAILABLE, "unavailable", "device not found, in use or not permitted, nothing was touched" },
	{ CLI_PEER, "peer", "trouble with the peer or the endpoint, trying again may help" },
	{ CLI_SIGNAL, "signal", "ended by signal N, every device is safe" },
	{ 0, NULL, NULL },
};

const char *cli_exit_name(int code)
{
	for (const struct exit_meaning *exit = cli_exits; exit->name; exit++) {
		if (exit->code == code)
			return exit->name;
	}
	return code > CLI_SIGNAL ? "signal" : "failed";
}

static bool is_unsupported(int code)
{
	return code == EOPNOTSUPP || code == EAFNOSUPPORT || code == EREMOTEIO || code == EPROTONOSUPPORT ||
	       code == ENOSYS;
}

static bool is_unavailable(int code)
{
	return code == ENODEV || code == ENOENT || code == ENXIO || code == EBUSY || code == EACCES || code == EPERM ||
	       code == ECONNREFUSED || code == EBADF || code == EINVAL || code == ESRCH;
}

/* EINVAL is the caller's only where no device said it: binding one that is held elsewhere gives the same. */
static bool is_callers_mistake(enum cli_stage stage, const struct vfm_error *error)
{
	if (error->code == EINVAL)
		return !error->device[0];
	return stage == CLI_STAGE_OPEN && (error->code == ENOTTY || error->code == ENAMETOOLONG);
}

/* The device is not in the state it was found in, or nobody knows. */
static bool needs_attention(const struct vfm_error *error, const struct vfm_transfer_result *result)
{
	if (error->flags & VFM_ERROR_NEEDS_RESET || error->code == ENOTRECOVERABLE)
		return true;
	if (error->flags & VFM_ERROR_TRANSITION)
		return error->state_now == VFM_STATE_UNKNOWN || error->state_now == VFM_STATE_ERROR ||
		       (error->state_from != VFM_STATE_UNKNOWN && error->state_now != error->state_from && !result);
	return false;
}

static bool was_moved(const struct vfm_transfer_result *result)
{
	return result && result->state_before != VFM_STATE_UNKNOWN && result->state_now != result->state_before;
}

int cli_exit_code(enum cli_stage stage, const struct vfm_error *error, const struct vfm_transfer_result *result,
		  int signal)
{
	const bool was_reset = error->flags & VFM_ERROR_WAS_RESET;

	if (result && result->commit == VFM_COMMIT_DOUBT)
		return CLI_DOUBT;
	/* handed over all the same, so that whatever is missing is missing where the state is now */
	if (result && result->commit == VFM_COMMIT_DONE)
		return CLI_ATTENTION;
	if (needs_attention(error, result))
		return CLI_ATTENTION;
	if (error->code == EBADMSG)
		return CLI_DAMAGED;
	/* a load is given up by a reset: that is the safe state of a destination, so the cause is what is told */
	if (error->code == ECANCELED && signal)
		return CLI_SIGNAL + signal;
	if (was_reset && error->flags & VFM_ERROR_PEER)
		return CLI_PEER;
	if (was_reset || was_moved(result))
		return CLI_ATTENTION;
	if (is_unsupported(error->code))
		return CLI_UNSUPPORTED;
	if (is_callers_mistake(stage, error))
		return CLI_USAGE;
	if (error->flags & VFM_ERROR_PEER || error->code == EPROTO || error->code == EADDRINUSE ||
	    error->code == EEXIST)
		return CLI_PEER;
	if (is_unavailable(error->code) && (stage == CLI_STAGE_OPEN || error->code == EBUSY))
		return CLI_UNAVAILABLE;
	return CLI_FAILED;
}
