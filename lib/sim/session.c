/* SPDX-License-Identifier: MIT */
/*
 * Data files: the streams of state. What comes next is decided under the machine's lock, by queueing segments or by
 * wanting parts; the copying itself goes on outside of it, one system call for many segments.
 */
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "profile.h"
#include "uapi/vfio.h"

#define PLAN_ROOM 256u

/* Copying that is left to do once the lock is gone. */
struct sim_plan {
	size_t count;
	struct sim_copy {
		uint64_t at; /* in the machine file */
		uint8_t *buf;
		size_t length;
	} copies[PLAN_ROOM];
};

/* queueing and wanting */

void vfmi_sim_queue_bytes(struct sim_session *session, const void *bytes, size_t length)
{
	struct sim_segment *segment = &session->queue[session->queued++];

	segment->kind = SIM_SEGMENT_INLINE;
	segment->offset = 0;
	segment->length = length;
	memcpy(segment->bytes, bytes, length);
}

void vfmi_sim_queue_contents(struct sim_session *session, uint64_t offset, uint64_t length)
{
	struct sim_segment *segment = &session->queue[session->queued++];

	segment->kind = SIM_SEGMENT_CONTENTS;
	segment->offset = offset;
	segment->length = length;
}

uint64_t vfmi_sim_queued_bytes(const struct sim_session *session)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < session->queued; i++)
		bytes += session->queue[i].length;
	return bytes;
}

static void queue_pop(struct sim_session *session)
{
	session->queued--;
	memmove(&session->queue[0], &session->queue[1], session->queued * sizeof(session->queue[0]));
}

void vfmi_sim_want(struct sim_session *session, uint32_t stage, uint64_t at, uint64_t length)
{
	session->stage = stage;
	session->to_contents = 0;
	session->skip = 0;
	session->target = at;
	session->missing = length;
}

void vfmi_sim_want_contents(struct sim_session *session, uint32_t stage, uint64_t offset, uint64_t length)
{
	vfmi_sim_want(session, stage, offset, length);
	session->to_contents = 1;
}

static void keep_piece(struct vfm_sim *sim, struct sim_device *dev, struct sim_segment *segment)
{
	uint8_t bytes[4096];
	uint64_t done, n;

	for (done = 0; done < segment->length; done += n) {
		n = vfmi_min_u64(sizeof(bytes), segment->length - done);
		if (vfmi_sim_contents_get(sim, dev, segment->offset + done, bytes, (size_t)n) ||
		    pwrite(sim->fd, bytes, (size_t)n, (off_t)(dev->piece_at + done)) != (ssize_t)n)
			return;
	}
	segment->kind = SIM_SEGMENT_PIECE;
	segment->offset = 0;
}

void vfmi_sim_session_touch(struct vfm_sim *sim, struct sim_device *dev, uint64_t offset, uint64_t length)
{
	struct sim_session *session = &dev->session;
	uint32_t i, end;

	if (session->kind != SIM_SESSION_SAVE || !length)
		return;
	for (i = 0; i < session->queued; i++) {
		struct sim_segment *segment = &session->queue[i];

		if (segment->kind == SIM_SEGMENT_CONTENTS && segment->length <= SIM_BLOCK &&
		    offset < segment->offset + segment->length && segment->offset < offset + length)
			keep_piece(sim, dev, segment);
	}
	/* What was not sent yet will go with what is in it then. */
	end = (uint32_t)vfmi_min_u64((offset + length + SIM_BLOCK - 1) / SIM_BLOCK, session->cursor);
	vfmi_sim_dirty_mark(sim, dev, (uint32_t)(offset / SIM_BLOCK), end);
}

/* life */

int vfmi_sim_session_open(struct vfm_sim *sim, struct sim_device *dev, bool saving)
{
	struct sim_session *session = &dev->session;
	const struct sim_profile *profile = vfmi_sim_profile(dev);

	memset(session, 0, sizeof(*session));
	session->serial = ++sim->machine->serial;
	if (saving) {
		session->kind = SIM_SESSION_SAVE;
		vfmi_sim_dirty_clear(sim, dev);
		profile->save_begin(sim, dev);
		return 0;
	}
	session->kind = SIM_SESSION_LOAD;
	session->high = UINT64_MAX;
	if (profile->quirks & SIM_WIPED_BY_RESUMING) {
		vfmi_sim_contents_wipe(sim, dev);
		session->high = 0;
	}
	profile->load_begin(sim, dev);
	return 0;
}

void vfmi_sim_session_close(struct sim_device *dev)
{
	dev->session.kind = SIM_SESSION_NONE;
}

static bool session_alive(const struct sim_device *dev, const struct sim_object *object)
{
	return dev->session.kind && dev->session.serial == object->serial;
}

/* copying */

static int plan_run(const struct vfm_sim *sim, const struct sim_plan *plan, bool write)
{
	struct iovec iov[PLAN_ROOM];
	size_t i = 0, n, bytes, done;
	ssize_t moved;

	while (i < plan->count) {
		uint64_t at = plan->copies[i].at;

		for (n = 0, bytes = 0; i < plan->count && plan->copies[i].at == at + bytes; i++, n++) {
			iov[n] = (struct iovec){ plan->copies[i].buf, plan->copies[i].length };
			bytes += plan->copies[i].length;
		}
		moved = write ? pwritev(sim->fd, iov, (int)n, (off_t)at) : preadv(sim->fd, iov, (int)n, (off_t)at);
		if (moved == (ssize_t)bytes)
			continue;
		if (moved < 0)
			return errno == EFAULT ? -EFAULT : -EIO;
		/* Torn by a signal or a bad page: piece by piece tells which. */
		for (done = 0; n; n--) {
			const struct sim_copy *copy = &plan->copies[i - n];

			moved = write ? pwrite(sim->fd, copy->buf, copy->length, (off_t)(at + done))
				      : pread(sim->fd, copy->buf, copy->length, (off_t)(at + done));
			if (moved != (ssize_t)copy->length)
				return moved < 0 && errno == EIO ? -EIO : -EFAULT;
			done += copy->length;
		}
	}
	return 0;
}

static void plan_add(struct sim_plan *plan, uint64_t at, uint8_t *buf, size_t length)
{
	plan->copies[plan->count++] = (struct sim_copy){ at, buf, length };
}

/* Hand out queued segments; what lies in the file goes to the plan. */
static size_t take_queued(struct vfm_sim *sim, struct sim_device *dev, uint8_t *buf, size_t length,
			  struct sim_plan *plan)
{
	struct sim_session *session = &dev->session;
	struct sim_segment *segment;
	size_t done = 0, n;

	while (done < length && plan->count < PLAN_ROOM) {
		if (!session->queued && !vfmi_sim_profile(dev)->save_more(sim, dev))
			break;
		segment = &session->queue[0];
		n = (size_t)vfmi_min_u64(length - done, segment->length);
		if (segment->kind == SIM_SEGMENT_INLINE)
			memcpy(buf + done, segment->bytes + segment->offset, n);
		else
			plan_add(plan,
				 (segment->kind == SIM_SEGMENT_PIECE ? dev->piece_at : dev->contents_at) +
					 segment->offset,
				 buf + done, n);
		segment->offset += n;
		segment->length -= n;
		done += n;
		if (!segment->length)
			queue_pop(session);
	}
	session->bytes += done;
	return done;
}

static ssize_t read_round(struct vfm_sim *sim, uint32_t id, uint8_t *buf, size_t length, bool first,
			  struct sim_plan *plan)
{
	const struct sim_object *object = &sim->machine->objects[id];
	struct sim_device *dev = &sim->machine->device[object->device];
	size_t done;

	if (!object->saving) {
		vfmi_sim_strict(sim, "%s: read from a data file that takes state in", dev->name);
		return -EBADF;
	}
	if (!session_alive(dev, object))
		return first ? -ENODEV : 0;
	vfmi_sim_change(sim, dev);
	done = take_queued(sim, dev, buf, length, plan);
	vfmi_sim_spend(sim, dev->read_ns_per_mib * done >> 20);
	if (!done && length && first && !dev->session.final && !dev->precopy_eof)
		return -ENOMSG;
	return (ssize_t)done;
}

static size_t chunk_of(struct vfm_sim *sim, uint32_t id, size_t length)
{
	uint64_t chunk = sim->machine->device[sim->machine->objects[id].device].chunk;

	return chunk ? (size_t)vfmi_min_u64(chunk, length) : length;
}

ssize_t vfmi_sim_session_read(struct vfm_sim *sim, uint32_t id, void *buf, size_t length)
{
	struct sim_plan plan;
	size_t done = 0;
	ssize_t n;
	int r;

	if (!buf && length)
		return -EFAULT;
	length = chunk_of(sim, id, length);
	do {
		plan.count = 0;
		r = vfmi_sim_enter(sim);
		if (r)
			return r;
		n = read_round(sim, id, (uint8_t *)buf + done, length - done, !done, &plan);
		vfmi_sim_leave(sim);
		if (n < 0)
			return n;
		r = plan_run(sim, &plan, false);
		if (r)
			return r;
		done += (size_t)n;
	} while (done < length && plan.count == PLAN_ROOM);
	return (ssize_t)done;
}

/* loading */

static bool all_zero(const uint8_t *buf, size_t length)
{
	return !buf[0] && (length == 1 || !memcmp(buf, buf + 1, length - 1));
}

static void place(struct vfm_sim *sim, struct sim_device *dev, const uint8_t *buf, size_t n, struct sim_plan *plan)
{
	struct sim_session *session = &dev->session;

	(void)sim;
	if (session->skip)
		return;
	if (!session->to_contents) {
		memcpy(session->in + session->target, buf, n);
		return;
	}
	/* Zeros above everything written so far are there already: they are not stored again. */
	if (session->target >= session->high && all_zero(buf, n))
		return;
	if (session->high != UINT64_MAX && session->target + n > session->high)
		session->high = session->target + n;
	plan_add(plan, dev->contents_at + session->target, (uint8_t *)(uintptr_t)buf, n);
}

/* Give the wanted parts what comes; a judgement that went wrong sticks. */
static size_t take_wanted(struct vfm_sim *sim, struct sim_device *dev, const uint8_t *buf, size_t length,
			  struct sim_plan *plan)
{
	struct sim_session *session = &dev->session;
	size_t done = 0, n;

	while (done < length && !session->error && plan->count < PLAN_ROOM) {
		n = (size_t)vfmi_min_u64(length - done, session->missing);
		if (n)
			place(sim, dev, buf + done, n, plan);
		session->target += n;
		session->missing -= n;
		done += n;
		if (!session->missing)
			session->error = -vfmi_sim_profile(dev)->load_part(sim, dev);
	}
	session->bytes += done;
	return done;
}

static ssize_t write_dead(const struct sim_device *dev, size_t length)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);

	return profile->blob_limit && length > profile->blob_limit(dev) ? -ENOMEM : -ENODEV;
}

static ssize_t write_round(struct vfm_sim *sim, uint32_t id, const uint8_t *buf, size_t length, struct sim_plan *plan)
{
	const struct sim_object *object = &sim->machine->objects[id];
	struct sim_device *dev = &sim->machine->device[object->device];
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	size_t done;

	if (object->saving) {
		vfmi_sim_strict(sim, "%s: write to a data file that gives state out", dev->name);
		return -EBADF;
	}
	if (!session_alive(dev, object))
		return write_dead(dev, length);
	if (dev->session.error && (profile->quirks & SIM_ERROR_KILLS))
		return -ENODEV;
	vfmi_sim_change(sim, dev);
	if (profile->blob_write)
		return profile->blob_write(sim, dev, buf, length);
	done = take_wanted(sim, dev, buf, length, plan);
	vfmi_sim_spend(sim, dev->read_ns_per_mib * done >> 20);
	return (ssize_t)done;
}

/* The copying is over: what became of the session meanwhile? */
static int write_settle(struct vfm_sim *sim, uint32_t id, const struct sim_plan *plan, int failed)
{
	const struct sim_object *object = &sim->machine->objects[id];
	struct sim_device *dev = &sim->machine->device[object->device];
	size_t i;
	int r = vfmi_sim_enter(sim);

	if (r)
		return r;
	if (!session_alive(dev, object)) {
		/* Reset while bytes were on their way: the device forgets these, too. */
		for (i = 0; i < plan->count && dev->session.kind != SIM_SESSION_LOAD; i++)
			vfmi_sim_punch(sim, plan->copies[i].at, plan->copies[i].length);
	} else if (failed) {
		vfmi_sim_change(sim, dev);
		dev->session.error = -failed;
		r = failed;
	} else {
		r = -dev->session.error;
	}
	vfmi_sim_leave(sim);
	return r;
}

ssize_t vfmi_sim_session_write(struct vfm_sim *sim, uint32_t id, const void *buf, size_t length)
{
	struct sim_plan plan;
	size_t done = 0;
	ssize_t n;
	int r;

	if (!buf && length)
		return -EFAULT;
	length = chunk_of(sim, id, length);
	do {
		plan.count = 0;
		r = vfmi_sim_enter(sim);
		if (r)
			return r;
		n = write_round(sim, id, (const uint8_t *)buf + done, length - done, &plan);
		vfmi_sim_leave(sim);
		if (n < 0)
			return n;
		r = write_settle(sim, id, &plan, plan_run(sim, &plan, true));
		if (r)
			return r;
		done += (size_t)n;
	} while (done < length && plan.count == PLAN_ROOM);
	return (ssize_t)done;
}

/* VFIO_MIG_GET_PRECOPY_INFO */

static int precopy_check(const struct sim_device *dev, const struct sim_object *object)
{
	bool in_state = dev->state == VFIO_DEVICE_STATE_PRE_COPY ||
			(dev->state == VFIO_DEVICE_STATE_PRE_COPY_P2P && !vfmi_sim_quirk(dev, SIM_INFO_NOT_IN_P2P));

	if (vfmi_sim_quirk(dev, SIM_STATE_BEFORE_DEAD) && !in_state)
		return -EINVAL;
	if (!session_alive(dev, object))
		return -ENODEV;
	return in_state ? 0 : -EINVAL;
}

int vfmi_sim_session_ioctl(struct vfm_sim *sim, const struct sim_object *object, unsigned long request, void *arg)
{
	struct sim_device *dev = &sim->machine->device[object->device];
	struct vfio_precopy_info *info = arg;
	int r;

	if (request != VFIO_MIG_GET_PRECOPY_INFO || !object->saving || !vfmi_sim_profile(dev)->precopy_info) {
		if (request != VFIO_DEVICE_GET_INFO)
			vfmi_sim_strict(sim, "%s: ioctl %#lx on a data file", dev->name, request);
		return -ENOTTY;
	}
	if (!arg)
		return -EFAULT;
	if (info->argsz < sizeof(*info)) {
		vfmi_sim_strict(sim, "%s: VFIO_MIG_GET_PRECOPY_INFO with argsz %u", dev->name, info->argsz);
		return -EINVAL;
	}
	if (info->flags)
		vfmi_sim_strict(sim, "%s: VFIO_MIG_GET_PRECOPY_INFO with flags %#x", dev->name, info->flags);
	r = precopy_check(dev, object);
	if (r)
		return r;
	vfmi_sim_change(sim, dev);
	vfmi_sim_profile(dev)->precopy_info(sim, dev, &info->initial_bytes, &info->dirty_bytes);
	return 0;
}

/* Only some drivers have a poll of their own; a file without is always ready. */
short vfmi_sim_session_poll(struct vfm_sim *sim, uint32_t id, short events)
{
	const struct sim_object *object = &sim->machine->objects[id];
	const struct sim_device *dev = &sim->machine->device[object->device];

	if (object->kind != SIM_OBJECT_DATA || !object->saving || !vfmi_sim_quirk(dev, SIM_POLLS))
		return events & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
	if (!session_alive(dev, object))
		return (short)(events & (POLLIN | POLLRDNORM | POLLRDHUP));
	if (dev->session.queued || dev->session.final)
		return events & (POLLIN | POLLRDNORM);
	return 0;
}
