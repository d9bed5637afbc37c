/* SPDX-License-Identifier: MIT */
/* vfm_restore(): a stream into the destination side; no device leaves RESUMING before the stream is known to be whole.
 */
#include <stdio.h>
#include <stdlib.h>

#include "assign.h"
#include "pipeline.h"
#include "target.h"
#include "wire.h"

/* What the source is owed: decides what a failure tells it, and whether the devices may still be reset. */
enum restore_step {
	RESTORE_QUIET,	/* it listens to nothing yet, or one-way: to nothing ever */
	RESTORE_MATCH,	/* ACCEPT or REFUSE */
	RESTORE_LOAD,	/* LOADED or FAILED */
	RESTORE_LOADED, /* the verdict is out: GIVEN_UP or KEPT decides, not this side */
	RESTORE_OWNED,	/* the source has given up: the state is here alone */
};

struct restore {
	struct vfmi_transfer t;
	struct vfmi_target target;
	struct vfm_io io;
	bool duplex;
	uint32_t step; /* enum restore_step */
	struct vfmi_stream_header header;
	struct vfmi_stream_reader *reader; /* belongs to the worker while the pipeline lives */
	struct vfmi_stream_writer *writer; /* duplex: our replies */
	struct vfmi_stream_order order;
	struct vfmi_pipeline *pipeline;
	uint8_t *payload;  /* of frames read without the pipeline */
	uint64_t estimate; /* sum of the sources' estimates */
	char kernel[64];   /* of the source, from INFO */
	struct vfm_identity identities[VFM_STREAM_MAX_DEVICES];
	uint32_t map[VFM_STREAM_MAX_DEVICES]; /* stream device -> target device */
	uint8_t *blob;
	size_t blob_length;
	size_t blob_room;
};

/* reading */

/* Where somebody could answer, what is cut short is the connection: the stream itself is at its source, whole. */
static int source_hung_up(struct restore *s, const char *why)
{
	int r = vfmi_transfer_peer(&s->t, -EPIPE, "read", "the source hung up: %s", why);

	if (!s->t.left_running_ns)
		s->t.error.flags |= VFM_ERROR_RETRYABLE;
	return r;
}

static int stream_fail(struct restore *s, int r)
{
	const char *why = vfmi_stream_reader_why(s->reader);

	if (r == -ENODATA)
		r = -EBADMSG;
	if (r == -EBADMSG && s->io.write && vfmi_stream_reader_is_cut(s->reader))
		return source_hung_up(s, why);
	if (r == -EBADMSG || r == -EPROTONOSUPPORT)
		return VFMI_FAIL(s->t.ctx, &s->t.error, -r, NULL, "read", "%s", why);
	return vfmi_transfer_peer(&s->t, r, "read", "%s", *why ? why : vfmi_errno_text(-r));
}

static int stream_damaged(struct restore *s, const char *why)
{
	return stream_fail(s, vfmi_stream_reader_refuse(s->reader, -EBADMSG, why));
}

static int take_order(struct restore *s, const struct vfmi_frame *frame, const void *payload)
{
	int r = vfmi_stream_order_next(&s->order, frame, payload);

	return r < 0 ? VFMI_FAIL(s->t.ctx, &s->t.error, -r, NULL, "read", "frame %llu (%s): %s",
				 (unsigned long long)frame->sequence, vfmi_frame_name(frame->type), s->order.why)
		     : 0;
}

static int read_frame(struct restore *s, struct vfmi_frame *frame)
{
	int r = vfmi_stream_read(s->reader, frame, s->payload, VFM_STREAM_MAX_CHUNK);

	return r < 0 ? stream_fail(s, r) : take_order(s, frame, s->payload);
}

static int source_gave_up(struct restore *s, const uint8_t *payload, size_t length)
{
	char text[256];

	vfmi_records_get_text(payload, length, text, sizeof(text));
	return vfmi_transfer_peer(&s->t, -ECONNABORTED, "read", "the source gave up: %s", text);
}

/* replies */

static int put_reply(struct restore *s, uint32_t type, const void *payload, size_t length)
{
	const struct vfmi_frame frame = { .type = type, .device = VFMI_NO_DEVICE };
	int r = vfmi_stream_write(s->writer, frame, payload, length);

	if (!r)
		r = vfmi_stream_writer_flush(s->writer);
	return r < 0 ? vfmi_transfer_peer(&s->t, r, "reply", "%s cannot be sent: %s", vfmi_frame_name(type),
					  vfmi_errno_text(-r))
		     : 0;
}

static int greet(struct restore *s)
{
	struct vfmi_stream_header header = { .id = s->header.id, .flags = VFM_STREAM_DUPLEX };
	uint8_t hello[8];
	int r;

	if (s->t.sys->simulated)
		header.flags |= VFM_STREAM_SIMULATED;
	r = vfmi_stream_writer_new(&s->io, &header, &s->writer);
	if (r < 0)
		return vfmi_transfer_refuse(&s->t, -r, "cannot reply: %s", vfmi_errno_text(-r));
	vfmi_put_le16(hello, VFMI_STREAM_OLDEST);
	vfmi_put_le16(hello + 2, VFMI_STREAM_MAJOR);
	vfmi_put_le32(hello + 4, 0);
	r = put_reply(s, VFMI_FRAME_HELLO, hello, sizeof(hello));
	if (!r)
		s->step = RESTORE_MATCH;
	return r;
}

/* Best effort: a source that cannot be told finds the channel closed. */
static void tell_failure(struct restore *s)
{
	uint8_t verdict[4 + VFMI_MAX_TEXT];
	struct vfmi_frame frame = { .device = VFMI_NO_DEVICE };
	int length;

	if (s->step == RESTORE_MATCH)
		frame.type = VFMI_FRAME_REFUSE;
	else if (s->step == RESTORE_LOAD)
		frame.type = VFMI_FRAME_FAILED;
	else
		return;
	length = vfmi_records_put_verdict(verdict, s->t.error.code, s->t.error.message);
	if (length > 0 && vfmi_stream_write(s->writer, frame, verdict, (size_t)length) == 0)
		(void)vfmi_stream_writer_flush(s->writer);
}

/* opening */

static int check_world(struct restore *s)
{
	const bool simulated = s->header.flags & VFM_STREAM_SIMULATED;

	if (simulated == s->t.sys->simulated)
		return 0;
	return vfmi_transfer_refuse(&s->t, EREMOTEIO, "the stream holds state of a %s device, this machine is %s",
				    simulated ? "simulated" : "real", simulated ? "real" : "simulated");
}

static int read_opening(struct restore *s)
{
	int r = vfmi_stream_read_header(s->reader, &s->header);

	if (r < 0 && r != -EPROTONOSUPPORT)
		return stream_fail(s, r);
	s->t.result.stream_id = s->header.id;
	s->duplex = s->header.flags & VFM_STREAM_DUPLEX;
	if (s->duplex && !s->io.write)
		return vfmi_transfer_peer(&s->t, -EPROTO, "read",
					  "the source waits for replies that this channel cannot carry");
	if (s->duplex && greet(s) < 0)
		return -s->t.error.code;
	return r < 0 ? stream_fail(s, r) : check_world(s);
}

static int take_info(struct restore *s, const struct vfmi_frame *frame)
{
	VFM_OPTS(vfm_stream_summary, info);
	int r = vfmi_records_get_info(s->payload, frame->length, &info);

	if (r < 0)
		return stream_damaged(s, "the records of INFO are malformed");
	memcpy(s->kernel, info.kernel, sizeof(s->kernel));
	return 0;
}

static int take_device(struct restore *s, const struct vfmi_frame *frame)
{
	struct vfm_identity *identity = &s->identities[frame->device];
	uint64_t size;
	int r = vfmi_records_get_identity(s->payload, frame->length, identity, &size);

	if (r < 0)
		return stream_fail(s, vfmi_stream_reader_refuse(s->reader, r,
								"the records of the device are malformed "
								"or newer than this version"));
	if (!(identity->flags & VFM_IDENTITY_SIMULATED) != !(s->header.flags & VFM_STREAM_SIMULATED))
		return stream_damaged(s, "stream and device differ in whether it is simulated");
	if (!*identity->kernel)
		memcpy(identity->kernel, s->kernel, sizeof(identity->kernel));
	if (s->estimate == VFM_SIZE_UNKNOWN || size == VFM_SIZE_UNKNOWN ||
	    vfmi_add_overflows(s->estimate, size, &s->estimate))
		s->estimate = VFM_SIZE_UNKNOWN;
	return 0;
}

static int read_devices(struct restore *s)
{
	struct vfmi_frame frame = { 0 };
	int r = 0;

	while (!r && frame.type != VFMI_FRAME_DEVICES_END) {
		r = read_frame(s, &frame);
		if (!r && frame.type == VFMI_FRAME_INFO)
			r = take_info(s, &frame);
		else if (!r && frame.type == VFMI_FRAME_DEVICE)
			r = take_device(s, &frame);
		else if (!r && frame.type == VFMI_FRAME_ABORT)
			r = source_gave_up(s, s->payload, frame.length);
	}
	return r;
}

/* matching */

static int check_map(struct restore *s)
{
	const struct vfm_transfer_opts *opts = &s->t.opts;
	uint64_t taken = 0;

	if (opts->map_length != s->order.devices)
		return VFMI_FAIL(s->t.ctx, &s->t.error, EINVAL, NULL, "match",
				 "the map has %zu entries, the stream %u devices", opts->map_length, s->order.devices);
	for (uint32_t i = 0; i < s->order.devices; i++) {
		uint32_t to = opts->map[i];

		if (to >= s->target.count || (taken & (1ull << to)))
			return VFMI_FAIL(s->t.ctx, &s->t.error, EINVAL, NULL, "match", "entry %u of the map is %s", i,
					 to >= s->target.count ? "no device" : "a device that is taken");
		taken |= 1ull << to;
		s->map[i] = to;
	}
	return 0;
}

static int find_map(struct restore *s)
{
	struct vfmi_fits fits = { .sources = s->order.devices, .targets = s->target.count };
	size_t left_over = 0;
	int r;

	/* one to one leaves no choice: what does not match is told field by field */
	if (fits.sources == 1 && fits.targets == 1) {
		s->map[0] = 0;
		return 0;
	}
	for (size_t i = 0; i < fits.sources; i++)
		for (size_t k = 0; k < fits.targets; k++)
			if (vfm_match(&s->identities[i], &s->target.devices[k].identity, NULL, NULL) == 0)
				fits.fit[i] |= 1ull << k;
	r = vfmi_assign(&fits, s->map, &left_over);
	if (r == -ENOENT)
		return VFMI_FAIL(s->t.ctx, &s->t.error, EREMOTEIO, NULL, "match",
				 "no device is left that could take %s of the stream", s->identities[left_over].name);
	if (r < 0)
		return VFMI_FAIL(s->t.ctx, &s->t.error, EINVAL, NULL, "match",
				 "which device takes which state is not clear: a map must say so");
	return 0;
}

/* The caller's callback sees every line; the first that refuses becomes the reason. */
struct refusal {
	const struct vfm_transfer_opts *opts;
	char reason[256];
};

static int see_line(void *user, const struct vfm_match_line *line)
{
	struct refusal *refusal = user;

	if (line->verdict == VFM_MATCH_REFUSE && !*refusal->reason)
		snprintf(refusal->reason, sizeof(refusal->reason), "%s is %s here and %s in the stream", line->field,
			 line->target, line->source);
	return refusal->opts->match ? refusal->opts->match(refusal->opts->match_user, line) : 0;
}

static int match_pair(struct restore *s, uint32_t index)
{
	struct vfmi_target_device *d = &s->target.devices[s->map[index]];
	struct refusal refusal = { .opts = &s->t.opts };
	int r = vfm_match(&s->identities[index], &d->identity, see_line, &refusal);

	if (r == 0 || (r == -EREMOTEIO && (s->t.opts.flags & VFM_TRANSFER_ALLOW_MISMATCH)))
		return 0;
	if (r == -EREMOTEIO)
		return VFMI_FAIL(s->t.ctx, &s->t.error, EREMOTEIO, vfm_device_name(d->dev), "match", "%s",
				 refusal.reason);
	return VFMI_FAIL(s->t.ctx, &s->t.error, ECANCELED, vfm_device_name(d->dev), "match",
			 "ended by the caller's callback");
}

static int match_devices(struct restore *s)
{
	int r = s->t.opts.map ? check_map(s) : find_map(s);

	for (uint32_t i = 0; i < s->order.devices && !r; i++)
		r = match_pair(s, i);
	return r;
}

/* state */

static int open_devices(struct restore *s)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < s->order.devices; i++)
		used |= 1ull << s->map[i];
	vfmi_transfer_downtime_begin(&s->t);
	return vfmi_target_open(&s->target, used);
}

/* A source is accepted with its destination already in RESUMING: what can go wrong before its downtime has gone wrong.
 */
static int accept_devices(struct restore *s)
{
	int r;

	if (!s->duplex)
		return 0;
	r = open_devices(s);
	if (!r)
		r = put_reply(s, VFMI_FRAME_ACCEPT, NULL, 0);
	if (!r)
		s->step = RESTORE_LOAD;
	return r;
}

static int read_frames(void *user, struct vfmi_pipeline *pipeline)
{
	struct restore *s = user;
	struct vfmi_slot *slot;
	uint32_t type = VFMI_FRAME_DATA;

	/* what follows END is read after the verdict */
	while (type != VFMI_FRAME_END && type != VFMI_FRAME_ABORT) {
		int r = vfmi_pipeline_empty(pipeline, &slot);

		if (!r)
			r = vfmi_stream_read(s->reader, &slot->frame, slot->data, VFM_STREAM_MAX_CHUNK);
		if (r < 0)
			return r == -ENODATA ? -EBADMSG : r;
		type = slot->frame.type;
		vfmi_pipeline_push(pipeline);
	}
	return 0;
}

/* Grows with what has arrived, not with what is claimed. */
static int take_blob(struct restore *s, const uint8_t *data, size_t length)
{
	if (!s->t.opts.ret_blob)
		return 0;
	if (s->blob_room - s->blob_length < length) {
		size_t room = s->blob_room * 2 > s->blob_length + length ? s->blob_room * 2 : s->blob_length + length;
		uint8_t *more = realloc(s->blob, room);

		if (!more)
			return vfmi_transfer_refuse(&s->t, ENOMEM, "no memory for the blob");
		s->blob = more;
		s->blob_room = room;
	}
	memcpy(s->blob + s->blob_length, data, length);
	s->blob_length += length;
	return 0;
}

static int take_frame(struct restore *s, const struct vfmi_frame *frame, const uint8_t *payload)
{
	uint32_t to = frame->device < VFM_STREAM_MAX_DEVICES ? s->map[frame->device] : 0;
	int r = take_order(s, frame, payload);

	if (r < 0)
		return r;
	switch (frame->type) {
	case VFMI_FRAME_DATA:
		r = open_devices(s);
		if (!r)
			r = vfmi_target_write(&s->target, to, payload, frame->length);
		return r < 0 ? r : vfmi_transfer_moved(&s->t, to, frame->length);
	case VFMI_FRAME_DEVICE_END:
		return open_devices(s);
	case VFMI_FRAME_CONFIG:
		return vfmi_target_keep_config(&s->target, to, payload, frame->length);
	case VFMI_FRAME_BLOB:
		return take_blob(s, payload, frame->length);
	case VFMI_FRAME_ABORT:
		return source_gave_up(s, payload, frame->length);
	default:
		return 0;
	}
}

static int load_state(struct restore *s)
{
	struct vfmi_slot *slot;
	int r = vfmi_pipeline_produce(s->t.ctx, read_frames, s, &s->pipeline);

	if (r < 0)
		return vfmi_transfer_refuse(&s->t, -r, "no worker thread: %s", vfmi_errno_text(-r));
	while ((r = vfmi_pipeline_full(s->pipeline, &slot)) == 0) {
		r = take_frame(s, &slot->frame, slot->data);
		if (r < 0)
			return r;
		vfmi_pipeline_pop(s->pipeline);
	}
	(void)vfmi_pipeline_join(s->pipeline);
	return r == -ENODATA ? 0 : stream_fail(s, r);
}

/* closing */

/* One-way: the stream ends with the channel, or it is not the stream that was written. */
static int expect_end(struct restore *s)
{
	struct vfmi_frame frame;
	int r = vfmi_stream_read(s->reader, &frame, s->payload, VFM_STREAM_MAX_CHUNK);

	if (r == -ENODATA)
		return 0;
	return r < 0 ? stream_fail(s, r) : stream_damaged(s, "something follows the end");
}

/*
 * The verdict is out and the source decides. Without its word this side neither runs nor drops what it holds: that
 * would be the second runner, or the loss of the only copy.
 */
static int await_commit(struct restore *s)
{
	struct vfmi_frame frame;
	int r;

	s->step = RESTORE_LOADED;
	s->t.patient = true;
	s->t.result.commit = VFM_COMMIT_DOUBT;
	r = put_reply(s, VFMI_FRAME_LOADED, NULL, 0);
	if (!r)
		r = read_frame(s, &frame);
	if (!r && frame.type == VFMI_FRAME_GIVEN_UP) {
		s->step = RESTORE_OWNED;
		s->t.result.commit = VFM_COMMIT_DONE;
		return 0;
	}
	if (!r && frame.type == VFMI_FRAME_KEPT) {
		s->step = RESTORE_QUIET;
		s->t.result.commit = VFM_COMMIT_NONE;
		return source_gave_up(s, s->payload, frame.length);
	}
	s->t.error.code = EINPROGRESS;
	vfmi_error_amend(s->t.ctx, &s->t.error, VFM_ERROR_PEER, VFM_STATE_STOP,
			 "whether the source gave up is not known: the loaded devices stay stopped");
	return -EINPROGRESS;
}

/* Whatever became of starting it, the state is here: a source left without this word would stay in doubt. */
static void say_started(struct restore *s)
{
	const struct vfmi_frame frame = { .type = VFMI_FRAME_STARTED, .device = VFMI_NO_DEVICE };
	int r = vfmi_stream_write(s->writer, frame, NULL, 0);

	if (!r)
		r = vfmi_stream_writer_flush(s->writer);
	if (r < 0)
		vfmi_log(s->t.ctx, VFM_LOG_WARNING, "the source could not be told that its state is here: %s",
			 vfmi_errno_text(-r));
}

static int settle(struct restore *s)
{
	const uint32_t then = vfmi_transfer_then(&s->t, VFM_STATE_STOP);
	int r;

	r = vfmi_transfer_phase(&s->t, VFM_PHASE_FINISH, s->t.progress.bytes);
	if (!r)
		r = s->duplex ? 0 : expect_end(s);
	if (!r)
		r = vfmi_target_verdict(&s->target);
	if (!r && s->duplex)
		r = await_commit(s);
	if (!r)
		r = vfmi_target_run(&s->target, then);
	if (s->step == RESTORE_OWNED) {
		s->t.error.flags &= ~(uint32_t)VFM_ERROR_RETRYABLE;
		say_started(s);
	}
	return r < 0 ? r : vfmi_transfer_phase(&s->t, VFM_PHASE_DONE, s->t.progress.bytes);
}

static int restore_run(struct restore *s)
{
	int r = vfmi_transfer_phase(&s->t, VFM_PHASE_SETUP, VFM_SIZE_UNKNOWN);

	if (!r)
		r = read_opening(s);
	if (!r)
		r = read_devices(s);
	if (!r)
		r = match_devices(s);
	if (!r)
		r = accept_devices(s);
	if (!r)
		r = vfmi_transfer_phase(&s->t, VFM_PHASE_LOAD, s->estimate);
	if (!r)
		r = load_state(s);
	if (!r)
		r = settle(s);
	/* devices first: a worker that hangs in a dead channel must not keep them half loaded */
	if (r < 0 && s->step < RESTORE_LOADED)
		vfmi_target_reset(&s->target);
	if (r < 0)
		tell_failure(s);
	vfmi_pipeline_free(s->pipeline);
	return r;
}

static int restore_open(struct restore *s, const struct vfm_io *io)
{
	int r = vfmi_transfer_io(&s->t, io, false, &s->io);

	if (r < 0)
		return r;
	if (s->t.opts.ret_blob && !s->t.opts.ret_blob_length)
		return vfmi_transfer_refuse(&s->t, EINVAL, "a blob comes with its length");
	r = vfmi_stream_reader_new(&s->io, &s->reader);
	if (!r)
		s->payload = malloc(VFM_STREAM_MAX_CHUNK);
	if (!r && !s->payload)
		r = -ENOMEM;
	return r < 0 ? vfmi_transfer_refuse(&s->t, -r, "cannot read a stream: %s", vfmi_errno_text(-r)) : 0;
}

static void hand_out_blob(struct restore *s)
{
	if (!s->t.opts.ret_blob)
		return;
	*s->t.opts.ret_blob = s->blob;
	*s->t.opts.ret_blob_length = s->blob_length;
	s->blob = NULL;
}

int vfm_restore(struct vfm_device *const *devs, size_t count, const struct vfm_io *io,
		const struct vfm_transfer_opts *opts, struct vfm_transfer_result *ret_result,
		struct vfm_error *ret_error)
{
	struct restore *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return VFMI_FAIL(NULL, ret_error, ENOMEM, NULL, "restore", "%s", vfmi_errno_text(ENOMEM));
	r = vfmi_transfer_begin(&s->t, devs, count, opts, VFM_TRANSFER_ALLOW_MISMATCH | VFM_TRANSFER_NO_CONFIG);
	if (!r)
		r = restore_open(s, io);
	if (!r)
		r = vfmi_target_init(&s->target, &s->t, devs, count);
	if (!r)
		r = restore_run(s);
	if (!r || s->step == RESTORE_OWNED)
		hand_out_blob(s);
	if (s->reader)
		s->t.result.stream_bytes = vfmi_stream_reader_bytes(s->reader);
	r = vfmi_transfer_end(&s->t, r, count && devs ? devs[0] : NULL, ret_result, ret_error);
	vfmi_target_destroy(&s->target);
	vfmi_stream_writer_free(s->writer);
	vfmi_stream_reader_free(s->reader);
	free(s->payload);
	free(s->blob);
	free(s);
	return r;
}
