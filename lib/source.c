/* SPDX-License-Identifier: MIT */
/* The source side of a transfer: see source.h. */
#include "quirks.h"
#include "source.h"

#define IDLE_NS 1000000ull /* wait when no device has anything to give before it may be stopped */
#define DEFAULT_LIMIT_NS (30ull * 1000000000ull)
#define DEFAULT_LIMIT_FACTOR 4u
#define BACK_TRIES 2u

/* start */

static int refuse_state(struct vfmi_source *source, const struct vfmi_source_device *d)
{
	const struct vfmi_where where = {
		.device = vfm_device_name(d->dev),
		.step = "save",
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = d->found,
		.flags = d->found == VFM_STATE_ERROR ? VFM_ERROR_NEEDS_RESET : 0,
	};

	switch (d->found) {
	case VFM_STATE_STOP:
	case VFM_STATE_RUNNING:
	case VFM_STATE_RUNNING_P2P:
		return 0;
	case VFM_STATE_ERROR:
		return vfmi_fail(source->t->ctx, &source->t->error, ENOTRECOVERABLE, &where,
				 "a device in ERROR has no state to save");
	default:
		return vfmi_fail(source->t->ctx, &source->t->error, EBUSY, &where,
				 "somebody else's session is open or was left behind");
	}
}

static int ask_device(struct vfmi_source *source, struct vfmi_source_device *d)
{
	struct vfm_error *err = &source->t->error;
	int r;

	d->identity.size = sizeof(d->identity);
	r = vfmi_device_flags(d->dev, &d->flags, err);
	if (!r)
		r = vfm_device_identity(d->dev, &d->identity, err);
	if (!r)
		r = vfm_device_get_state(d->dev, &d->found, err);
	if (!r)
		r = refuse_state(source, d);
	if (!r && vfm_device_data_size(d->dev, &d->data_size, NULL) < 0)
		d->data_size = VFM_SIZE_UNKNOWN;
	d->rest = d->found;
	return r;
}

/* A device that runs among several must stop its peer-to-peer DMA before any of them stands still. */
static bool needs_barrier(const struct vfmi_source *source, const struct vfmi_source_device *d)
{
	return source->count > 1 && d->found == VFM_STATE_RUNNING && (d->flags & VFM_MIGRATION_P2P);
}

static int check_p2p(struct vfmi_source *source)
{
	struct vfmi_transfer *t = source->t;

	for (size_t i = 0; i < source->count; i++) {
		const struct vfmi_source_device *d = &source->devices[i];
		const char *name = vfm_device_name(d->dev);

		if (source->count > 1 && d->found == VFM_STATE_RUNNING && !(d->flags & VFM_MIGRATION_P2P) &&
		    !(t->opts.flags & VFM_TRANSFER_NO_P2P))
			return VFMI_FAIL(t->ctx, &t->error, EOPNOTSUPP, name, "save",
					 "it has no P2P states: several devices cannot be stopped safely together, "
					 "unless the caller vouches that none does peer-to-peer DMA");
	}
	return 0;
}

int vfmi_source_init(struct vfmi_source *source, struct vfmi_transfer *t, struct vfm_device *const *devs, size_t count)
{
	source->t = t;
	source->count = count;
	for (size_t i = 0; i < count; i++) {
		struct vfmi_source_device *d = &source->devices[i];
		int r;

		d->dev = devs[i];
		r = ask_device(source, d);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < count; i++)
		if (needs_barrier(source, &source->devices[i]))
			source->devices[i].rest = VFM_STATE_RUNNING_P2P;
	t->result.state_before = source->devices[0].found;
	return check_p2p(source);
}

uint64_t vfmi_source_estimate(const struct vfmi_source *source)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < source->count; i++)
		if (source->devices[i].data_size == VFM_SIZE_UNKNOWN ||
		    vfmi_add_overflows(sum, source->devices[i].data_size, &sum))
			return VFM_SIZE_UNKNOWN;
	return sum;
}

/* reading */

/* One chunk straight into a frame buffer; *ret_length 0: nothing now (PRE_COPY) or the end (STOP_COPY). */
static int read_chunk(struct vfmi_source *source, uint32_t index, uint32_t frame_flags, size_t *ret_length)
{
	struct vfmi_source_device *d = &source->devices[index];
	struct vfmi_slot *slot;
	int r;

	r = vfmi_pipeline_empty(source->pipeline, &slot);
	if (r < 0) {
		source->consumer_failed = true;
		return r;
	}
	r = vfm_session_read(d->session, slot->data, VFM_STREAM_MAX_CHUNK, &slot->length, &source->t->error);
	if (r < 0)
		return r;
	*ret_length = r == VFM_READ_DATA ? slot->length : 0;
	if (r == VFM_READ_DATA) {
		slot->frame = (struct vfmi_frame){ .type = VFMI_FRAME_DATA, .flags = frame_flags, .device = index };
		if (source->sums)
			slot->sum = vfmi_stream_sum(source->seed, slot->data, slot->length);
		vfmi_pipeline_push(source->pipeline);
		d->bytes += slot->length;
		d->chunks++;
	}
	return vfmi_transfer_moved(source->t, index, *ret_length);
}

int vfmi_source_read(struct vfmi_source *source, uint32_t index)
{
	size_t length;
	int r;

	do
		r = read_chunk(source, index, VFMI_FRAME_STOP_COPY, &length);
	while (!r && length);
	return r;
}

/* pre-copy */

static bool is_live(const struct vfmi_source_device *d)
{
	return (d->flags & VFM_MIGRATION_PRE_COPY) && d->found != VFM_STATE_STOP;
}

static bool is_in(const struct vfmi_source_device *d, uint32_t state)
{
	uint32_t now;

	return vfm_device_get_state(d->dev, &now, NULL) == 0 && now == state;
}

/*
 * Long may have passed since the device was asked last, on a duplex channel the peer's whole setup: what somebody else
 * has begun with it meanwhile is neither to be moved on nor to be undone.
 */
static int expect_state(struct vfmi_source *source, struct vfmi_source_device *d, uint32_t state)
{
	struct vfmi_where where = {
		.device = vfm_device_name(d->dev),
		.step = "save",
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
	};
	int r = vfm_device_get_state(d->dev, &where.state_now, &source->t->error);

	if (r < 0 || where.state_now == state)
		return r;
	d->touched = false;
	where.flags = where.state_now == VFM_STATE_ERROR ? VFM_ERROR_NEEDS_RESET : 0;
	return vfmi_fail(source->t->ctx, &source->t->error, EBUSY, &where, "somebody else moved it to %s meanwhile",
			 vfm_state_name(where.state_now));
}

static int begin_session(struct vfmi_source *source, struct vfmi_source_device *d, uint32_t state, uint32_t flags)
{
	VFM_OPTS(vfm_session_opts, opts);
	const bool quiesced = d->touched;
	int r = expect_state(source, d, state);

	if (r < 0)
		return r;
	opts.flags = flags;
	opts.abort_state = d->rest;
	d->touched = true;
	r = vfm_session_save(d->dev, &opts, &d->session, &source->t->error);
	/* refused, not tried: somebody else was quicker */
	if (r == -EBUSY && !(source->t->error.flags & VFM_ERROR_TRANSITION))
		d->touched = quiesced && is_in(d, state);
	return r;
}

static int begin_precopy(struct vfmi_source *source)
{
	for (size_t i = 0; i < source->count; i++) {
		struct vfmi_source_device *d = &source->devices[i];
		int r;

		if (!is_live(d))
			continue;
		r = begin_session(source, d, d->found, VFM_SESSION_LIVE);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * What the device has to give now. Asking is also what makes mlx5 fetch its next increment. A driver that cannot say is
 * read once until it is idle. Another round pays only while it at least halves what is left.
 */
static int ask_pending(struct vfmi_source *source, struct vfmi_source_device *d, bool first)
{
	const uint32_t limit = vfmi_quirk(source->t->ctx, d->identity.driver, VFMI_QUIRK_PRECOPY_ROUNDS);
	VFM_OPTS(vfm_precopy_info, info);
	uint64_t pending;
	int r;

	/* before asking: that is what makes virtio queue its whole state again */
	if (limit && d->rounds++ >= limit) {
		d->precopied = true;
		return 0;
	}
	r = vfm_session_precopy_info(d->session, &info, &source->t->error);
	if (r == -EINVAL || r == -ENOTTY || r == -EOPNOTSUPP || info.initial_bytes == VFM_SIZE_UNKNOWN) {
		d->precopied = !first;
		d->initial = 0;
		d->pending = VFM_SIZE_UNKNOWN;
		return 0;
	}
	if (r < 0)
		return r;
	if (vfmi_add_overflows(info.initial_bytes, info.dirty_bytes, &pending))
		pending = VFM_SIZE_UNKNOWN;
	d->precopied = !info.initial_bytes && (!pending || (!first && pending > d->pending / 2));
	d->initial = info.initial_bytes;
	d->pending = pending;
	return 0;
}

struct limits {
	uint64_t bytes; /* of progress */
	uint64_t ns;	/* of the clock */
};

static bool is_spent(const struct vfmi_source *source, const struct limits *limits)
{
	const struct vfmi_transfer *t = source->t;

	return t->progress.bytes >= limits->bytes || t->sys->ops->now_ns(t->sys) >= limits->ns;
}

/* Read a device until it is idle, has given what it announced, or a limit is hit. */
static int read_pending(struct vfmi_source *source, uint32_t index, const struct limits *limits)
{
	uint64_t left = source->devices[index].pending;
	size_t length = 0;
	int r;

	do {
		r = read_chunk(source, index, 0, &length);
		left -= vfmi_min_u64(left, length);
	} while (!r && length && left && !is_spent(source, limits));
	return r;
}

static int ask_all(struct vfmi_source *source, bool first, bool *ret_done)
{
	*ret_done = true;
	for (size_t i = 0; i < source->count; i++) {
		struct vfmi_source_device *d = &source->devices[i];
		int r;

		if (!d->session || d->precopied)
			continue;
		r = ask_pending(source, d, first);
		if (r < 0)
			return r;
		*ret_done = *ret_done && d->precopied;
	}
	return 0;
}

static int read_all(struct vfmi_source *source, const struct limits *limits)
{
	int r = 0;

	for (uint32_t i = 0; i < source->count && !r; i++)
		if (source->devices[i].session && !source->devices[i].precopied && !is_spent(source, limits))
			r = read_pending(source, i, limits);
	return r;
}

/* Both kinds of estimate: what PRE_COPY announces now and what will be left for STOP_COPY. */
static uint64_t first_estimate(const struct vfmi_source *source)
{
	uint64_t sum = vfmi_source_estimate(source);

	for (size_t i = 0; i < source->count && sum != VFM_SIZE_UNKNOWN; i++)
		if (vfmi_add_overflows(sum, source->devices[i].pending, &sum))
			sum = VFM_SIZE_UNKNOWN;
	return sum;
}

static struct limits find_limits(const struct vfmi_source *source)
{
	const struct vfmi_transfer *t = source->t;
	const uint64_t ns = t->opts.precopy_limit_ns ? t->opts.precopy_limit_ns : DEFAULT_LIMIT_NS;
	uint64_t estimate = first_estimate(source);
	struct limits limits = { t->opts.precopy_limit_bytes, UINT64_MAX };

	if (!limits.bytes)
		limits.bytes = estimate && estimate < UINT64_MAX / DEFAULT_LIMIT_FACTOR
				       ? estimate * DEFAULT_LIMIT_FACTOR
				       : UINT64_MAX;
	(void)vfmi_add_overflows(t->sys->ops->now_ns(t->sys), ns, &limits.ns);
	return limits;
}

static int precopy_rounds(struct vfmi_source *source)
{
	struct vfmi_transfer *t = source->t;
	struct limits limits;
	bool done;
	int r;

	r = ask_all(source, true, &done);
	limits = find_limits(source);
	while (!r && !done && !is_spent(source, &limits)) {
		uint64_t before = t->progress.bytes;

		r = read_all(source, &limits);
		if (!r)
			r = ask_all(source, false, &done);
		if (!r && !done && t->progress.bytes == before) {
			t->sys->ops->sleep_ns(t->sys, IDLE_NS);
			r = vfmi_transfer_moved(t, t->progress.device, 0);
		}
	}
	return r;
}

int vfmi_source_precopy(struct vfmi_source *source)
{
	struct vfmi_transfer *t = source->t;
	int r;

	if (!(t->opts.flags & VFM_TRANSFER_LIVE))
		return 0;
	r = begin_precopy(source);
	if (!r)
		r = vfmi_transfer_phase(t, VFM_PHASE_PRE_COPY, vfmi_source_estimate(source));
	if (!r)
		r = precopy_rounds(source);
	t->result.precopy_bytes = t->progress.bytes;
	return r;
}

/* stop */

static int quiesce_device(struct vfmi_source *source, struct vfmi_source_device *d)
{
	struct vfm_error *err = &source->t->error;
	int r;

	if (d->session)
		return vfm_session_quiesce(d->session, err);
	r = expect_state(source, d, d->found);
	if (r < 0)
		return r;
	d->touched = true;
	return vfm_device_set_state(d->dev, VFM_STATE_RUNNING_P2P, NULL, err);
}

static int quiesce_all(struct vfmi_source *source)
{
	for (size_t i = 0; i < source->count; i++) {
		struct vfmi_source_device *d = &source->devices[i];
		int r;

		if (!needs_barrier(source, d))
			continue;
		r = quiesce_device(source, d);
		if (r < 0)
			return r;
	}
	return 0;
}

static int stop_device(struct vfmi_source *source, struct vfmi_source_device *d)
{
	if (d->session)
		return vfm_session_stop_copy(d->session, &source->t->error);
	return begin_session(source, d, d->rest, d->rest == VFM_STATE_RUNNING_P2P ? VFM_SESSION_HOLD_P2P : 0);
}

/* What is left to read is known better now than at the start. */
static void ask_sizes(struct vfmi_source *source)
{
	for (size_t i = 0; i < source->count; i++) {
		struct vfmi_source_device *d = &source->devices[i];

		if (vfm_device_data_size(d->dev, &d->data_size, NULL) < 0)
			d->data_size = VFM_SIZE_UNKNOWN;
	}
}

int vfmi_source_stop(struct vfmi_source *source)
{
	struct vfmi_transfer *t = source->t;
	uint64_t estimate;
	int r;

	vfmi_transfer_downtime_begin(t);
	r = quiesce_all(source);
	for (size_t i = 0; i < source->count && !r; i++)
		r = stop_device(source, &source->devices[i]);
	if (r < 0)
		return r;
	if (t->opts.flags & VFM_TRANSFER_LIVE)
		ask_sizes(source);
	estimate = vfmi_source_estimate(source);
	if (estimate != VFM_SIZE_UNKNOWN && vfmi_add_overflows(estimate, t->progress.bytes, &estimate))
		estimate = VFM_SIZE_UNKNOWN;
	return vfmi_transfer_phase(t, VFM_PHASE_STOP_COPY, estimate);
}

/* end */

static int finish_device(struct vfmi_source *source, struct vfmi_source_device *d, uint32_t then)
{
	const bool barrier = then == VFM_STATE_RUNNING && source->count > 1 && (d->flags & VFM_MIGRATION_P2P);
	int r;

	r = vfm_session_finish(d->session, barrier ? VFM_STATE_RUNNING_P2P : then, NULL, &source->t->error);
	if (r < 0)
		return r;
	vfm_session_close(d->session);
	d->session = NULL;
	return 0;
}

int vfmi_source_finish(struct vfmi_source *source, uint32_t then)
{
	int r = 0;

	for (size_t i = 0; i < source->count && !r; i++) {
		struct vfmi_source_device *d = &source->devices[i];

		r = finish_device(source, d, then == VFM_STATE_UNKNOWN ? d->found : then);
	}
	for (size_t i = 0; i < source->count && !r && source->count > 1; i++) {
		struct vfmi_source_device *d = &source->devices[i];

		r = vfm_device_set_state(d->dev, then == VFM_STATE_UNKNOWN ? d->found : then, NULL, &source->t->error);
	}
	return r;
}

/* rollback */

static void abandon(struct vfmi_source_device *d)
{
	VFM_OPTS(vfm_error, ignored);

	/* where this got the device is asked afterwards, unless it is somebody else's by now */
	if (vfm_session_abort(d->session, NULL, &ignored) == -ECANCELED)
		d->touched = false;
	vfm_session_close(d->session);
	d->session = NULL;
}

/* A way back that stopped midway is taken up once more from there. */
static bool bring_back(struct vfmi_source *source, struct vfmi_source_device *d)
{
	struct vfmi_transfer *t = source->t;
	VFM_OPTS(vfm_error, why);
	uint32_t now = VFM_STATE_UNKNOWN;

	for (unsigned int tries = 0; tries < BACK_TRIES; tries++)
		if (vfm_device_set_state(d->dev, d->found, &now, &why) == 0 || now == d->found)
			return true;
	vfmi_error_amend(t->ctx, &t->error, now == VFM_STATE_ERROR ? VFM_ERROR_NEEDS_RESET : 0, now,
			 "not brought back to %s: %s", vfm_state_name(d->found), why.message);
	return false;
}

/* The device the error is about, the first one when it is about none; NULL when it was not brought back. */
static const struct vfmi_source_device *device_meant(const struct vfmi_source *source)
{
	const char *name = source->t->error.device;

	for (size_t i = 0; i < source->count; i++) {
		const struct vfmi_source_device *d = &source->devices[i];

		if (!*name || !strcmp(vfm_device_name(d->dev), name))
			return d->touched ? d : NULL;
	}
	return NULL;
}

void vfmi_source_rollback(struct vfmi_source *source)
{
	struct vfmi_transfer *t = source->t;
	const struct vfmi_source_device *meant;
	bool touched = false;
	bool all = true;

	/* sessions first, to P2P where several run: none may run before all can take its peer-to-peer DMA */
	for (size_t i = source->count; i-- > 0;)
		if (source->devices[i].session)
			abandon(&source->devices[i]);
	meant = device_meant(source);
	for (size_t i = source->count; i-- > 0;) {
		if (!source->devices[i].touched)
			continue;
		touched = true;
		all = bring_back(source, &source->devices[i]) && all;
	}
	if (touched && all && meant)
		vfmi_error_amend(t->ctx, &t->error, 0, meant->found, "back in the state found, %s",
				 vfm_state_name(meant->found));
	else if (touched && all)
		vfmi_error_amend(t->ctx, &t->error, 0, t->error.state_now,
				 "what was moved of the source is back in the state found");
}
