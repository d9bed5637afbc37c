/* SPDX-License-Identifier: MIT */
/* Helpers of save, restore and copy: see transfer.h. Moves no device and reads no channel. */
#include <stdio.h>

#include "transfer.h"

#define TELL_NS 100000000ull
#define MARK_NS 1000000000ull
#define TIMEOUT_PAUSE_NS 1000000ull
#define NS_PER_S 1e9

static const char *phase_name(uint32_t phase)
{
	static const char *const names[] = {
		[VFM_PHASE_SETUP] = "setup", [VFM_PHASE_PRE_COPY] = "pre-copy", [VFM_PHASE_STOP_COPY] = "stop-copy",
		[VFM_PHASE_LOAD] = "load",   [VFM_PHASE_FINISH] = "finish",	[VFM_PHASE_DONE] = "done",
	};

	return phase < VFMI_ARRAY_SIZE(names) ? names[phase] : "transfer";
}

int vfmi_transfer_refuse(struct vfmi_transfer *t, int code, const char *fmt, ...)
{
	char text[sizeof(t->error.message)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return VFMI_FAIL(t->ctx, &t->error, code, NULL, phase_name(t->progress.phase), "%s", text);
}

int vfmi_transfer_peer(struct vfmi_transfer *t, int r, const char *step, const char *fmt, ...)
{
	const struct vfmi_where where = {
		.step = step,
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = VFM_STATE_UNKNOWN,
		.flags = r == -ECANCELED ? 0 : VFM_ERROR_PEER,
	};
	char text[sizeof(t->error.message)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return vfmi_fail(t->ctx, &t->error, -r, &where, "%s", text);
}

/* begin */

/* A cdev opened twice shows the same node; adopted duplicates share the anonymous inode of all and cannot be told. */
static bool is_same_node(struct vfmi_sys *sys, const struct vfm_device *a, const struct vfm_device *b)
{
	struct stat first;
	struct stat second;

	if (sys->ops->fstat(sys, vfm_device_fd(a), &first) < 0 || sys->ops->fstat(sys, vfm_device_fd(b), &second) < 0)
		return false;
	return S_ISCHR(first.st_mode) && S_ISCHR(second.st_mode) && first.st_rdev == second.st_rdev;
}

static int check_devices(struct vfmi_transfer *t, struct vfm_device *const *devs, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (!devs[i])
			return vfmi_transfer_refuse(t, EINVAL, "device %zu of the list is missing", i);
		for (size_t k = 0; k < i; k++)
			if (devs[i] == devs[k] || is_same_node(t->sys, devs[i], devs[k]))
				return vfmi_transfer_refuse(t, EINVAL, "%s is listed twice", vfm_device_name(devs[i]));
	}
	return 0;
}

static int check_opts(struct vfmi_transfer *t, uint32_t flags)
{
	const struct vfm_transfer_opts *opts = &t->opts;

	if (opts->flags & ~flags)
		return vfmi_transfer_refuse(t, EINVAL, "unknown flags 0x%x", opts->flags & ~flags);
	if (opts->reserved)
		return vfmi_transfer_refuse(t, EINVAL, "what is reserved in the options must be 0");
	switch (opts->then_state) {
	case VFM_STATE_ERROR:
	case VFM_STATE_STOP:
	case VFM_STATE_RUNNING:
	case VFM_STATE_RUNNING_P2P:
	case VFM_STATE_UNKNOWN:
		break;
	default:
		return vfmi_transfer_refuse(t, EINVAL, "a transfer cannot end in %s", vfm_state_name(opts->then_state));
	}
	if (opts->blob_length > VFM_STREAM_MAX_BLOB || (opts->blob_length && !opts->blob))
		return vfmi_transfer_refuse(t, EINVAL, "the blob is missing or longer than %u bytes",
					    VFM_STREAM_MAX_BLOB);
	return 0;
}

static void watch_devices(struct vfmi_transfer *t, struct vfm_device *const *devs, size_t count)
{
	t->devs = devs;
	t->count = count;
	for (size_t i = 0; i < count; i++)
		t->watched[i] = vfmi_device_watch_begin(devs[i]);
}

int vfmi_transfer_begin(struct vfmi_transfer *t, struct vfm_device *const *devs, size_t count,
			const struct vfm_transfer_opts *opts, uint32_t flags)
{
	int r;

	*t = (struct vfmi_transfer){ .opts.size = sizeof(t->opts),
				     .result.size = sizeof(t->result),
				     .error.size = sizeof(t->error),
				     .progress.size = sizeof(t->progress) };
	t->result.state_before = VFM_STATE_UNKNOWN;
	t->result.state_now = VFM_STATE_UNKNOWN;
	if (!devs || !count || count > VFM_STREAM_MAX_DEVICES || !devs[0])
		return vfmi_transfer_refuse(t, EINVAL, "needs 1 to %u devices", VFM_STREAM_MAX_DEVICES);
	t->ctx = vfm_device_context(devs[0]);
	t->sys = vfmi_device_sys(devs[0]);
	t->start_ns = t->sys->ops->now_ns(t->sys);
	t->told_ns = t->start_ns;
	t->marks[0].ns = t->marks[1].ns = t->start_ns;
	t->progress.devices = (uint32_t)count;
	t->progress.estimate_bytes = VFM_SIZE_UNKNOWN;
	r = opts ? vfmi_sized_in(&t->opts, sizeof(t->opts), opts, sizeof(opts->size)) : 0;
	if (r < 0)
		return vfmi_transfer_refuse(t, -r, "options of a wrong size or of a newer library");
	r = check_opts(t, flags);
	if (r == 0)
		r = check_devices(t, devs, count);
	if (r == 0)
		watch_devices(t, devs, count);
	return r;
}

uint32_t vfmi_transfer_then(const struct vfmi_transfer *t, uint32_t fallback)
{
	uint32_t then = t->opts.then_state;

	return then == VFM_STATE_ERROR || then == VFM_STATE_UNKNOWN ? fallback : then;
}

/*
 * Once a verdict is out, giving up the wait for the peer's word is what makes the doubt: only a caller who cancels, or
 * a channel that has ended, may do that.
 */
static int64_t channel_read(void *user, void *buf, size_t length)
{
	struct vfmi_transfer *t = user;

	for (;;) {
		int64_t n = t->channel.read(t->channel.user, buf, length);

		if (n != -ETIMEDOUT || !t->patient)
			return n;
		if (vfm_cancel_is_set(t->opts.cancel))
			return -ECANCELED;
		/* a channel that says so at once must not keep a processor busy */
		t->sys->ops->sleep_ns(t->sys, TIMEOUT_PAUSE_NS);
	}
}

static int channel_write(void *user, const void *buf, size_t length)
{
	struct vfmi_transfer *t = user;

	return t->channel.write(t->channel.user, buf, length);
}

static int channel_flush(void *user)
{
	struct vfmi_transfer *t = user;

	return t->channel.flush(t->channel.user);
}

int vfmi_transfer_io(struct vfmi_transfer *t, const struct vfm_io *from, bool writes, struct vfm_io *ret)
{
	struct vfm_io *io = &t->channel;
	int r = vfmi_io_in(io, from);

	if (r < 0)
		return vfmi_transfer_refuse(t, -r, "the channel is missing or of a wrong size");
	if (io->flags)
		return vfmi_transfer_refuse(t, EINVAL, "unknown flags 0x%x of the channel", io->flags);
	if (writes ? !io->write : !io->read)
		return vfmi_transfer_refuse(t, EINVAL, "the channel cannot be %s", writes ? "written" : "read");
	*ret = (struct vfm_io){ .size = sizeof(*ret),
				.user = t,
				.read = io->read ? channel_read : NULL,
				.write = io->write ? channel_write : NULL,
				.flush = io->flush ? channel_flush : NULL };
	return 0;
}

int vfmi_transfer_id(struct vfmi_transfer *t, uint64_t *ret_id)
{
	int r = t->sys->ops->getrandom(t->sys, ret_id, sizeof(*ret_id));

	return r < 0 ? vfmi_transfer_refuse(t, -r, "no random stream id to be had: %s", vfmi_errno_text(-r)) : 0;
}

/* progress */

/* Over the last one to two seconds: long enough to be steady, short enough to be what happens now. */
static uint64_t rate_now(struct vfmi_transfer *t, uint64_t now)
{
	const struct vfmi_mark mark = { now, t->progress.bytes };
	uint64_t bytes;

	if (now - t->marks[1].ns >= MARK_NS) {
		t->marks[0] = t->marks[1];
		t->marks[1] = mark;
	}
	bytes = mark.bytes - t->marks[0].bytes;
	return now == t->marks[0].ns ? 0 : (uint64_t)((double)bytes * NS_PER_S / (double)(now - t->marks[0].ns));
}

static uint64_t eta_now(const struct vfm_progress *p)
{
	double ns;

	if (p->estimate_bytes == VFM_SIZE_UNKNOWN || p->estimate_bytes < p->bytes || !p->rate)
		return VFM_SIZE_UNKNOWN;
	ns = (double)(p->estimate_bytes - p->bytes) / (double)p->rate * NS_PER_S;
	return ns < (double)INT64_MAX ? (uint64_t)ns : VFM_SIZE_UNKNOWN;
}

/* A device that reports an uncorrectable error has no state worth sending or keeping. */
static int check_notices(struct vfmi_transfer *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const char *name = vfm_device_name(t->devs[i]);
		uint32_t seen = vfmi_device_peek_notices(t->devs[i]);

		if (seen & VFM_NOTICE_REQUEST && !(t->progress.notices & VFM_NOTICE_REQUEST)) {
			t->progress.notice_device = (uint32_t)i;
			vfmi_log(t->ctx, VFM_LOG_WARNING,
				 "%s: the kernel wants the device back (unplug, unbind): close it soon", name);
		}
		t->progress.notices |= seen;
		if (seen & VFM_NOTICE_ERROR)
			return VFMI_FAIL(t->ctx, &t->error, EIO, name, phase_name(t->progress.phase),
					 "it reported an uncorrectable error: its state is not to be trusted before a "
					 "reset");
	}
	return 0;
}

static int tell(struct vfmi_transfer *t, uint64_t now)
{
	struct vfm_progress *p = &t->progress;
	/* what is done is done */
	int r = p->phase == VFM_PHASE_DONE ? 0 : check_notices(t);

	if (r < 0)
		return r;
	t->told_ns = now;
	p->elapsed_ns = now - t->start_ns;
	p->rate = rate_now(t, now);
	p->eta_ns = eta_now(p);
	if (t->opts.progress && t->opts.progress(t->opts.progress_user, p))
		return vfmi_transfer_refuse(t, ECANCELED, "canceled");
	return 0;
}

static int check_cancel(struct vfmi_transfer *t)
{
	return vfm_cancel_is_set(t->opts.cancel) ? vfmi_transfer_refuse(t, ECANCELED, "canceled") : 0;
}

int vfmi_transfer_phase(struct vfmi_transfer *t, uint32_t phase, uint64_t estimate_bytes)
{
	int r;

	t->progress.phase = phase;
	t->progress.estimate_bytes = estimate_bytes;
	r = tell(t, t->sys->ops->now_ns(t->sys));
	/* what is done is done: nothing is left to cancel */
	return phase == VFM_PHASE_DONE ? 0 : r < 0 ? r : check_cancel(t);
}

int vfmi_transfer_moved(struct vfmi_transfer *t, uint32_t index, uint64_t bytes)
{
	uint64_t now = t->sys->ops->now_ns(t->sys);
	int r;

	t->progress.device = index;
	t->progress.bytes += bytes;
	r = now - t->told_ns >= TELL_NS ? tell(t, now) : 0;
	return r < 0 ? r : check_cancel(t);
}

void vfmi_transfer_downtime_begin(struct vfmi_transfer *t)
{
	if (!t->left_running_ns)
		t->left_running_ns = t->sys->ops->now_ns(t->sys);
}

void vfmi_transfer_downtime_end(struct vfmi_transfer *t)
{
	if (t->left_running_ns)
		t->result.downtime_ns = t->sys->ops->now_ns(t->sys) - t->left_running_ns;
}

/* end */

int vfmi_transfer_end(struct vfmi_transfer *t, int r, struct vfm_device *first, struct vfm_transfer_result *ret_result,
		      struct vfm_error *ret_error)
{
	if (first && t->sys) {
		t->result.elapsed_ns = t->sys->ops->now_ns(t->sys) - t->start_ns;
		t->result.bytes = t->progress.bytes;
		if (vfm_device_get_state(first, &t->result.state_now, NULL) < 0)
			t->result.state_now = VFM_STATE_UNKNOWN;
	}
	for (size_t i = 0; i < t->count; i++)
		vfmi_device_watch_end(t->devs[i], t->watched[i]);
	if (ret_result)
		(void)vfmi_sized_out(ret_result, &t->result, sizeof(t->result));
	if (r < 0 && ret_error)
		(void)vfmi_sized_out(ret_error, &t->error, sizeof(t->error));
	return r;
}
