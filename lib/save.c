/* SPDX-License-Identifier: MIT */
/* vfm_save(): the source side with a stream behind it, and on a duplex channel the peer's verdicts before each step. */
#include <stdio.h>
#include <stdlib.h>

#include "source.h"
#include "wire.h"

/* How far the peer and the stream are: decides what a failure undoes and what the peer is told. */
enum save_step {
	SAVE_QUIET,    /* no frame has gone out */
	SAVE_STREAM,   /* a peer that reads on must be told of a failure: ABORT */
	SAVE_ENDED,    /* the stream is whole; one-way: nothing more is said */
	SAVE_GIVEN_UP, /* the source will not run again, whatever happens */
};

struct save {
	struct vfmi_transfer t;
	struct vfmi_source source;
	struct vfm_io io;
	bool duplex;
	uint32_t step; /* enum save_step */
	uint64_t id;
	struct vfmi_stream_writer *writer; /* belongs to the worker while the pipeline lives */
	struct vfmi_stream_reader *reader; /* duplex: the peer's replies */
	struct vfmi_stream_order replies;
	uint8_t *reply;
};

/* channel */

/* What the peer says of itself counts only as far as it cannot be taken for our own doubt. */
static int peer_refused(struct save *s, const struct vfmi_frame *frame, const char *step)
{
	char text[256];
	int code = vfmi_records_get_verdict(s->reply, frame->length, text, sizeof(text));

	return vfmi_transfer_peer(&s->t, code == EINPROGRESS || code == ECANCELED ? -EPROTO : -code, step,
				  "the destination says: %s", text);
}

static int read_reply(struct save *s, struct vfmi_frame *frame)
{
	int r = vfmi_stream_read(s->reader, frame, s->reply, VFM_STREAM_MAX_CHUNK);

	if (r < 0)
		return r;
	r = vfmi_stream_order_next(&s->replies, frame, s->reply);
	return r < 0 ? vfmi_stream_reader_refuse(s->reader, r, s->replies.why) : 0;
}

static int expect(struct save *s, uint32_t type, const char *step)
{
	struct vfmi_frame frame;
	int r = read_reply(s, &frame);

	if (r == -ENODATA)
		return vfmi_transfer_peer(&s->t, -EPIPE, step, "the destination hung up without a verdict");
	if (r == -EBADMSG)
		return vfmi_transfer_peer(&s->t, -EPROTO, step, "the destination's reply: %s",
					  vfmi_stream_reader_why(s->reader));
	if (r < 0)
		return vfmi_transfer_peer(&s->t, r, step, "no reply from the destination: %s", vfmi_errno_text(-r));
	if (frame.type == VFMI_FRAME_REFUSE || frame.type == VFMI_FRAME_FAILED)
		return peer_refused(s, &frame, step);
	if (frame.type != type)
		return vfmi_transfer_peer(&s->t, -EPROTO, step, "the destination says %s before its time",
					  vfmi_frame_name(frame.type));
	return 0;
}

/* A peer that failed says why before it hangs up; that is worth more than the broken pipe it leaves. */
static int write_failed(struct save *s, int r)
{
	struct vfmi_frame frame;

	if (s->duplex && (r == -EPIPE || r == -ECONNRESET) && s->replies.step == VFMI_ORDER_REPLY_LOAD &&
	    read_reply(s, &frame) == 0 && frame.type == VFMI_FRAME_FAILED)
		return peer_refused(s, &frame, "load at the destination");
	return vfmi_transfer_peer(&s->t, r, "write", "the stream cannot be written: %s", vfmi_errno_text(-r));
}

static int put_frame(struct save *s, uint32_t type, uint32_t device, const void *payload, size_t length)
{
	const struct vfmi_frame frame = { .type = type, .device = device };
	int r = vfmi_stream_write(s->writer, frame, payload, length);

	return r < 0 ? write_failed(s, r) : 0;
}

/* opening */

static int put_info(struct save *s)
{
	struct vfm_stream_summary info = { .size = sizeof(info), .devices = (uint32_t)s->source.count };
	struct utsname name;
	uint8_t payload[512];
	int r;

	snprintf(info.producer, sizeof(info.producer), "libvfiomig %s", vfm_version());
	if (s->t.sys->ops->uname(s->t.sys, &name) == 0)
		snprintf(info.kernel, sizeof(info.kernel), "%.63s", name.release);
	info.created_s = s->t.sys->ops->wall_s(s->t.sys);
	r = vfmi_records_put_info(payload, sizeof(payload), &info);
	if (r < 0)
		return vfmi_transfer_refuse(&s->t, -r, "cannot describe the stream");
	return put_frame(s, VFMI_FRAME_INFO, VFMI_NO_DEVICE, payload, (size_t)r);
}

static int put_device(struct save *s, uint32_t index)
{
	const struct vfmi_source_device *d = &s->source.devices[index];
	uint8_t payload[1024];
	int r = vfmi_records_put_identity(payload, sizeof(payload), &d->identity, d->data_size);

	if (r < 0)
		return vfmi_transfer_refuse(&s->t, -r, "cannot describe %s", vfm_device_name(d->dev));
	return put_frame(s, VFMI_FRAME_DEVICE, index, payload, (size_t)r);
}

static int put_opening(struct save *s)
{
	int r;

	s->step = SAVE_STREAM;
	r = put_info(s);
	for (uint32_t i = 0; i < s->source.count && !r; i++)
		r = put_device(s, i);
	return r < 0 ? r : put_frame(s, VFMI_FRAME_DEVICES_END, VFMI_NO_DEVICE, NULL, 0);
}

static int flush(struct save *s)
{
	int r = vfmi_stream_writer_flush(s->writer);

	return r < 0 ? write_failed(s, r) : 0;
}

static int expect_hello(struct save *s)
{
	static const char step[] = "greeting";
	struct vfmi_stream_header header;
	int r = vfmi_stream_read_header(s->reader, &header);

	if (r < 0)
		return vfmi_transfer_peer(&s->t, r == -EBADMSG ? -EPROTO : r, step, "no destination answers: %s",
					  vfmi_stream_reader_why(s->reader));
	if (header.id != s->id)
		return vfmi_transfer_peer(&s->t, -EPROTO, step, "the answer belongs to another stream");
	r = expect(s, VFMI_FRAME_HELLO, step);
	if (r < 0)
		return r;
	if (vfmi_get_le16(s->reply) > VFMI_STREAM_MAJOR || vfmi_get_le16(s->reply + 2) < VFMI_STREAM_MAJOR)
		return vfmi_transfer_peer(&s->t, -EPROTONOSUPPORT, step,
					  "the destination knows versions %u to %u, this is %u",
					  vfmi_get_le16(s->reply), vfmi_get_le16(s->reply + 2), VFMI_STREAM_MAJOR);
	return 0;
}

/* Nothing stops before the destination has said that it can take these devices. */
static int await_match(struct save *s)
{
	int r;

	if (!s->duplex)
		return 0;
	r = flush(s);
	if (!r)
		r = expect_hello(s);
	return r < 0 ? r : expect(s, VFMI_FRAME_ACCEPT, "match");
}

/* state */

static int write_frames(void *user, struct vfmi_pipeline *pipeline)
{
	struct save *s = user;
	struct vfmi_slot *slot;
	int r;

	while ((r = vfmi_pipeline_full(pipeline, &slot)) == 0) {
		r = vfmi_stream_write_summed(s->writer, slot->frame, slot->data, slot->length, slot->sum);
		if (r < 0)
			return r;
		vfmi_pipeline_pop(pipeline);
	}
	return r == -ENODATA ? 0 : r;
}

/* An empty frame buffer; a consumer that is gone has failed on the channel. */
static int take_slot(struct save *s, struct vfmi_slot **ret_slot)
{
	int r = vfmi_pipeline_empty(s->source.pipeline, ret_slot);

	if (r < 0)
		s->source.consumer_failed = true;
	return r;
}

static void push_slot(struct save *s, struct vfmi_slot *slot, uint32_t type, uint32_t device)
{
	slot->frame = (struct vfmi_frame){ .type = type, .device = device };
	slot->sum = vfmi_stream_sum(s->id, slot->data, slot->length);
	vfmi_pipeline_push(s->source.pipeline);
}

static int push_device_end(struct save *s, uint32_t index)
{
	const struct vfmi_source_device *d = &s->source.devices[index];
	struct vfmi_slot *slot;
	int r = take_slot(s, &slot);

	if (r < 0)
		return r;
	vfmi_put_le64(slot->data, d->bytes);
	vfmi_put_le64(slot->data + 8, d->chunks);
	slot->length = 16;
	push_slot(s, slot, VFMI_FRAME_DEVICE_END, index);
	return 0;
}

/* Captured while the device stands still: what it was stopped with. */
static int push_config(struct save *s, uint32_t index)
{
	struct vfmi_slot *slot;
	int r;

	if (s->t.opts.flags & VFM_TRANSFER_NO_CONFIG)
		return 0;
	r = take_slot(s, &slot);
	if (r < 0)
		return r;
	r = vfm_device_config_capture(s->source.devices[index].dev, slot->data, VFM_CONFIG_MAX, &s->t.error);
	if (r <= 0)
		return r;
	slot->length = (size_t)r;
	push_slot(s, slot, VFMI_FRAME_CONFIG, index);
	return 0;
}

static int push_blob(struct save *s)
{
	const uint8_t *blob = s->t.opts.blob;

	for (size_t at = 0; at < s->t.opts.blob_length;) {
		struct vfmi_slot *slot;
		int r = take_slot(s, &slot);

		if (r < 0)
			return r;
		slot->length = (size_t)vfmi_min_u64(s->t.opts.blob_length - at, VFMI_MAX_BLOB_CHUNK);
		memcpy(slot->data, blob + at, slot->length);
		at += slot->length;
		push_slot(s, slot, VFMI_FRAME_BLOB, VFMI_NO_DEVICE);
	}
	return 0;
}

static int read_devices(struct save *s)
{
	int r = 0;

	for (uint32_t i = 0; i < s->source.count && !r; i++) {
		r = vfmi_source_read(&s->source, i);
		if (!r)
			r = push_device_end(s, i);
		if (!r)
			r = push_config(s, i);
	}
	vfmi_transfer_downtime_end(&s->t);
	return r;
}

static int save_state(struct save *s)
{
	int r = vfmi_pipeline_consume(s->t.ctx, write_frames, s, &s->source.pipeline);

	if (r < 0)
		return vfmi_transfer_refuse(&s->t, -r, "no worker thread: %s", vfmi_errno_text(-r));
	r = vfmi_source_precopy(&s->source);
	if (!r)
		r = vfmi_source_stop(&s->source);
	if (!r)
		r = read_devices(s);
	if (!r)
		r = push_blob(s);
	if (r < 0)
		return s->source.consumer_failed ? write_failed(s, r) : r;
	vfmi_pipeline_close(s->source.pipeline, 0);
	r = vfmi_pipeline_join(s->source.pipeline);
	return r < 0 ? write_failed(s, r) : 0;
}

/* closing */

/* From here on the source must not run: what cannot be told any more is in doubt, and doubt keeps everybody stopped. */
static int give_up(struct save *s)
{
	int r;

	s->step = SAVE_GIVEN_UP;
	s->t.patient = true;
	s->t.result.commit = VFM_COMMIT_DOUBT;
	r = put_frame(s, VFMI_FRAME_GIVEN_UP, VFMI_NO_DEVICE, NULL, 0);
	if (!r)
		r = flush(s);
	if (!r)
		r = expect(s, VFMI_FRAME_STARTED, "commit");
	if (!r) {
		s->t.result.commit = VFM_COMMIT_DONE;
		return 0;
	}
	s->t.error.code = EINPROGRESS;
	vfmi_error_amend(s->t.ctx, &s->t.error, VFM_ERROR_PEER, VFM_STATE_STOP,
			 "whether the destination took over is not known: the source stays stopped");
	return -EINPROGRESS;
}

static int save_end(struct save *s)
{
	int r = vfmi_stream_write_end(s->writer);

	if (r < 0)
		return write_failed(s, r);
	s->step = SAVE_ENDED;
	if (s->duplex)
		r = expect(s, VFMI_FRAME_LOADED, "load at the destination");
	if (!r)
		r = vfmi_transfer_phase(&s->t, VFM_PHASE_FINISH, s->t.progress.bytes);
	if (!r)
		r = vfmi_source_finish(&s->source,
				       s->duplex ? VFM_STATE_STOP : vfmi_transfer_then(&s->t, VFM_STATE_UNKNOWN));
	if (!r && s->duplex)
		r = give_up(s);
	return r < 0 ? r : vfmi_transfer_phase(&s->t, VFM_PHASE_DONE, s->t.progress.bytes);
}

/* Best effort: a peer that cannot be told finds a stream without its end, or none of the words it waits for. */
static void tell_failure(struct save *s)
{
	const char *text = s->t.error.message;
	struct vfmi_frame frame = { .type = VFMI_FRAME_ABORT, .device = VFMI_NO_DEVICE };

	if (s->step == SAVE_ENDED)
		frame.type = VFMI_FRAME_KEPT;
	if (s->step == SAVE_STREAM || (s->step == SAVE_ENDED && s->duplex))
		if (vfmi_stream_write(s->writer, frame, text, strlen(text)) == 0)
			(void)vfmi_stream_writer_flush(s->writer);
}

static int save_run(struct save *s)
{
	int r = vfmi_transfer_phase(&s->t, VFM_PHASE_SETUP, vfmi_source_estimate(&s->source));

	if (!r)
		r = put_opening(s);
	if (!r)
		r = await_match(s);
	if (!r)
		r = save_state(s);
	if (!r)
		r = save_end(s);
	/* devices first: a worker that hangs in a dead channel must not keep them stopped */
	if (r < 0 && s->step != SAVE_GIVEN_UP)
		vfmi_source_rollback(&s->source);
	vfmi_pipeline_free(s->source.pipeline);
	if (r < 0)
		tell_failure(s);
	return r;
}

static int check_then(struct save *s)
{
	for (size_t i = 0; i < s->source.count; i++) {
		const struct vfmi_source_device *d = &s->source.devices[i];

		if (s->t.opts.then_state == VFM_STATE_RUNNING_P2P && !(d->flags & VFM_MIGRATION_P2P))
			return VFMI_FAIL(s->t.ctx, &s->t.error, EOPNOTSUPP, vfm_device_name(d->dev), "save",
					 "it has no P2P states to end in");
	}
	return 0;
}

static int save_open(struct save *s, const struct vfm_io *io)
{
	struct vfmi_stream_header header = { 0 };
	int r = vfmi_transfer_io(&s->t, io, true, &s->io);

	if (r < 0)
		return r;
	s->duplex = s->io.read != NULL;
	if (s->duplex && vfmi_transfer_then(&s->t, VFM_STATE_STOP) != VFM_STATE_STOP)
		return vfmi_transfer_refuse(&s->t, EINVAL, "what a peer takes over ends in STOP here");
	r = vfmi_transfer_id(&s->t, &s->id);
	if (r < 0)
		return r;
	header.id = s->id;
	header.flags = (s->duplex ? VFM_STREAM_DUPLEX : 0u) | (s->t.sys->simulated ? VFM_STREAM_SIMULATED : 0u);
	s->source.seed = s->id;
	s->source.sums = true;
	s->t.result.stream_id = s->id;
	s->replies.step = VFMI_ORDER_REPLY;
	r = vfmi_stream_writer_new(&s->io, &header, &s->writer);
	if (!r && s->duplex)
		r = vfmi_stream_reader_new(&s->io, &s->reader);
	if (!r && s->duplex)
		s->reply = malloc(VFM_STREAM_MAX_CHUNK);
	if (!r && s->duplex && !s->reply)
		r = -ENOMEM;
	return r < 0 ? vfmi_transfer_refuse(&s->t, -r, "cannot begin a stream: %s", vfmi_errno_text(-r)) : 0;
}

int vfm_save(struct vfm_device *const *devs, size_t count, const struct vfm_io *io,
	     const struct vfm_transfer_opts *opts, struct vfm_transfer_result *ret_result, struct vfm_error *ret_error)
{
	struct save *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return VFMI_FAIL(NULL, ret_error, ENOMEM, NULL, "save", "%s", vfmi_errno_text(ENOMEM));
	r = vfmi_transfer_begin(&s->t, devs, count, opts,
				VFM_TRANSFER_LIVE | VFM_TRANSFER_NO_P2P | VFM_TRANSFER_NO_CONFIG);
	if (!r)
		r = save_open(s, io);
	if (!r)
		r = vfmi_source_init(&s->source, &s->t, devs, count);
	if (!r)
		r = check_then(s);
	if (!r)
		r = save_run(s);
	if (s->writer)
		s->t.result.stream_bytes = vfmi_stream_writer_bytes(s->writer);
	r = vfmi_transfer_end(&s->t, r, count && devs ? devs[0] : NULL, ret_result, ret_error);
	vfmi_stream_reader_free(s->reader);
	vfmi_stream_writer_free(s->writer);
	free(s->reply);
	free(s);
	return r;
}
