/* SPDX-License-Identifier: MIT */
/* Inspection: reads a stream to its end, believes nothing, tells what it holds. Touches no device. */
#include <stdio.h>
#include <stdlib.h>

#include "config-record.h"
#include "stream-format.h"

#define SMALL_ROOM 4096u /* enough for all but chunks of state and blobs */

struct inspection {
	struct vfmi_stream_reader *reader;
	struct vfmi_stream_order order;
	struct vfm_stream_summary summary;
	struct vfm_identity identities[VFM_STREAM_MAX_DEVICES];
	struct vfm_config_info configs[VFM_STREAM_MAX_DEVICES]; /* size 0: none */
	struct vfmi_config config;				/* the one that is being read */
	uint8_t *payload;
	size_t room;
};

static int take_device(struct inspection *in, const struct vfmi_frame *frame)
{
	struct vfm_identity *identity = &in->identities[frame->device];
	int r = vfmi_records_get_identity(in->payload, frame->length, identity, NULL);

	if (r == -EPROTONOSUPPORT)
		return vfmi_stream_reader_refuse(in->reader, r, "a mandatory record this version does not know");
	if (r < 0)
		return vfmi_stream_reader_refuse(in->reader, r, "the records of the device are malformed");
	if (!(identity->flags & VFM_IDENTITY_SIMULATED) != !(in->summary.flags & VFM_STREAM_SIMULATED))
		return vfmi_stream_reader_refuse(in->reader, -EBADMSG,
						 "stream and device differ in whether it is simulated");

	if (!*identity->kernel)
		memcpy(identity->kernel, in->summary.kernel, sizeof(identity->kernel));
	return 0;
}

static int take_config(struct inspection *in, const struct vfmi_frame *frame)
{
	const char *why;
	char cause[128];
	int r = vfmi_config_decode(in->payload, frame->length, &in->config, &why);

	if (r == 0)
		r = vfmi_config_tell(&in->config, &in->configs[frame->device], &why);
	if (r == 0)
		return 0;
	snprintf(cause, sizeof(cause), "the configuration record of the device: %s", why);
	return vfmi_stream_reader_refuse(in->reader, r, cause);
}

static int take_abort(struct inspection *in, const struct vfmi_frame *frame)
{
	char text[128], cause[160];

	vfmi_records_get_text(in->payload, frame->length, text, sizeof(text));
	snprintf(cause, sizeof(cause), "the source gave up: %s", text);
	return vfmi_stream_reader_refuse(in->reader, -EBADMSG, cause);
}

/* Two sizes of buffer at most, whatever the lengths are. */
static int make_room(struct inspection *in, size_t length)
{
	if (in->room >= length)
		return 0;

	free(in->payload);
	in->room = length <= SMALL_ROOM ? SMALL_ROOM : VFM_STREAM_MAX_CHUNK;
	in->payload = malloc(in->room);
	return in->payload ? 0 : vfmi_stream_reader_refuse(in->reader, -ENOMEM, vfmi_errno_text(ENOMEM));
}

static int next_frame(struct inspection *in, struct vfmi_frame *frame)
{
	int r;

	do {
		r = vfmi_stream_read_next(in->reader, frame);
		if (r == 0)
			r = make_room(in, frame->length);
		if (r == 0)
			r = vfmi_stream_read_payload(in->reader, in->payload, in->room);
	} while (r == 0 && !vfmi_frame_rule(frame->type));

	if (r < 0)
		return r;

	r = vfmi_stream_order_next(&in->order, frame, in->payload);
	return r < 0 ? vfmi_stream_reader_refuse(in->reader, r, in->order.why) : 0;
}

static int read_frames(struct inspection *in)
{
	struct vfmi_frame frame = { 0 };

	while (frame.type != VFMI_FRAME_END) {
		int r = next_frame(in, &frame);

		if (r == 0 && frame.type == VFMI_FRAME_INFO)
			r = vfmi_records_get_info(in->payload, frame.length, &in->summary);
		else if (r == 0 && frame.type == VFMI_FRAME_DEVICE)
			r = take_device(in, &frame);
		else if (r == 0 && frame.type == VFMI_FRAME_CONFIG)
			r = take_config(in, &frame);
		else if (r == 0 && frame.type == VFMI_FRAME_ABORT)
			r = take_abort(in, &frame);
		if (r < 0)
			return r == -ENODATA ? -EBADMSG : r;
	}

	return 0;
}

/* A stream that was followed by something else is not the stream that was written. */
static int read_past_end(struct inspection *in)
{
	struct vfmi_frame frame;
	int r;

	do
		r = next_frame(in, &frame);
	while (r == 0);

	return r == -ENODATA ? 0 : r;
}

static int inspect(struct inspection *in)
{
	struct vfmi_stream_header header;
	int r = vfmi_stream_read_header(in->reader, &header);

	if (r < 0)
		return r;

	in->summary.major = header.major;
	in->summary.minor = header.minor;
	in->summary.flags = header.flags;
	in->summary.stream_id = header.id;

	r = read_frames(in);
	return r < 0 ? r : read_past_end(in);
}

static void fill_summary(struct inspection *in)
{
	in->summary.frames = vfmi_stream_reader_frames(in->reader);
	in->summary.skipped_frames = vfmi_stream_reader_skipped(in->reader);
	in->summary.total_bytes = vfmi_stream_reader_bytes(in->reader);
	in->summary.blob_bytes = in->order.blob_bytes;
	vfmi_stream_reader_digest(in->reader, in->summary.digest);
}

static int tell_devices(const struct inspection *in, vfm_stream_device_fn *fn, void *user)
{
	int r = 0;

	for (uint32_t i = 0; fn && r == 0 && i < in->order.devices; i++) {
		const struct vfm_stream_device device = {
			.size = sizeof(device),
			.index = i,
			.identity = &in->identities[i],
			.precopy_bytes = in->order.bytes[i][0],
			.stop_copy_bytes = in->order.bytes[i][1],
			.chunks = in->order.chunks[i],
			.config_bytes = in->order.config_bytes[i],
			.config = in->configs[i].size ? &in->configs[i] : NULL,
		};

		r = fn(user, &device);
	}

	return r;
}

/* What is neither said of the stream, nor our own lack of memory, nor the caller's wish, the channel has said. */
static int fail_read(struct vfm_context *ctx, struct vfm_error *err, int r, const char *why)
{
	const bool channel = r != -EBADMSG && r != -EPROTONOSUPPORT && r != -ENOMEM && r != -ECANCELED;
	const struct vfmi_where where = {
		.step = "inspect",
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = VFM_STATE_UNKNOWN,
		.flags = channel ? VFM_ERROR_PEER : 0,
	};

	return vfmi_fail(ctx, err, -r, &where, "%s", why);
}

int vfm_stream_inspect(struct vfm_context *ctx, const struct vfm_io *io, vfm_stream_device_fn *fn, void *user,
		       struct vfm_stream_summary *ret_summary, struct vfm_error *ret_error)
{
	struct inspection *in = calloc(1, sizeof(*in));

	if (!in)
		return VFMI_FAIL(ctx, ret_error, ENOMEM, NULL, "inspect", "%s", vfmi_errno_text(ENOMEM));

	in->summary.size = sizeof(in->summary);
	int r = vfmi_stream_reader_new(io, &in->reader);

	if (r < 0) {
		VFMI_FAIL(ctx, ret_error, -r, NULL, "inspect", "the channel cannot be read: %s", vfmi_errno_text(-r));
		goto err_free;
	}

	r = inspect(in);
	fill_summary(in);
	if (ret_summary)
		vfmi_sized_out(ret_summary, &in->summary, sizeof(in->summary));
	if (r < 0)
		fail_read(ctx, ret_error, r, vfmi_stream_reader_why(in->reader));
	else
		r = tell_devices(in, fn, user);

	vfmi_stream_reader_free(in->reader);
err_free:
	free(in->payload);
	free(in);
	return r;
}
