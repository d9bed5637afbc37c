/* SPDX-License-Identifier: MIT */
/* Stream writer: frames with their sums onto a channel, payloads never copied. No threads, no knowledge of devices. */
#include "stream-format.h"

#include <stdlib.h>
#ifdef VFMI_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#include "wire.h"

struct vfmi_stream_writer {
	struct vfm_io io;
	XXH3_state_t *digest;
	struct vfmi_stream_order order;
	uint64_t id;
	uint64_t sequence;
	uint64_t bytes;
	uint32_t flags;
	int failed; /* first error of the channel, for ever */
	bool started;
};

int vfmi_stream_writer_new(const struct vfm_io *io, const struct vfmi_stream_header *header,
			   struct vfmi_stream_writer **ret)
{
	struct vfm_io channel;
	int r = vfmi_io_in(&channel, io);

	if (r < 0)
		return r;
	if (!channel.write || (header->flags & ~VFMI_STREAM_FLAGS))
		return -EINVAL;

	struct vfmi_stream_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return -ENOMEM;

	writer->io = channel;
	writer->id = header->id;
	writer->flags = header->flags;
	writer->digest = XXH3_createState();
	if (!writer->digest || XXH3_128bits_reset(writer->digest) != XXH_OK) {
		vfmi_stream_writer_free(writer);
		return -ENOMEM;
	}

	*ret = writer;
	return 0;
}

void vfmi_stream_writer_free(struct vfmi_stream_writer *writer)
{
	if (!writer)
		return;

	XXH3_freeState(writer->digest);
	free(writer);
}

uint64_t vfmi_stream_sum(uint64_t stream_id, const void *payload, size_t length)
{
	return XXH3_64bits_withSeed(payload, length, stream_id);
}

static int push(struct vfmi_stream_writer *writer, const void *buf, size_t length)
{
	int r = length ? writer->io.write(writer->io.user, buf, length) : 0;

	if (r) {
		writer->failed = r < 0 ? r : -EIO;
		return writer->failed;
	}

	writer->bytes += length;
	return 0;
}

static int push_stream_header(struct vfmi_stream_writer *writer)
{
	uint8_t raw[VFMI_STREAM_HEADER] = VFMI_STREAM_MAGIC;

	vfmi_put_le16(raw + 8, VFMI_STREAM_MAJOR);
	vfmi_put_le16(raw + 10, VFMI_STREAM_MINOR);
	vfmi_put_le32(raw + 12, writer->flags);
	vfmi_put_le64(raw + 16, writer->id);
	vfmi_put_le16(raw + 24, VFMI_STREAM_OLDEST);
	vfmi_put_le64(raw + 32, XXH3_64bits(raw, 32));

	writer->started = true;
	XXH3_128bits_update(writer->digest, raw, sizeof(raw));
	return push(writer, raw, sizeof(raw));
}

static int push_frame_header(struct vfmi_stream_writer *writer, const struct vfmi_frame *frame, uint64_t sum)
{
	uint8_t raw[VFMI_FRAME_HEADER];

	vfmi_put_le32(raw, frame->type);
	vfmi_put_le32(raw + 4, frame->flags);
	vfmi_put_le32(raw + 8, frame->device);
	vfmi_put_le32(raw + 12, frame->length);
	vfmi_put_le64(raw + 16, frame->sequence);
	vfmi_put_le64(raw + 24, sum);
	vfmi_put_le64(raw + 32, vfmi_stream_sum(writer->id, raw, 32));

	writer->sequence++;
	XXH3_128bits_update(writer->digest, raw, sizeof(raw));
	return push(writer, raw, sizeof(raw));
}

/* Our own frames must pass what every reader will ask of them. */
static int check(struct vfmi_stream_writer *writer, const struct vfmi_frame *frame, const void *payload)
{
	const char *why;

	if (!vfmi_frame_rule(frame->type) || vfmi_frame_check(frame, writer->flags, &why) < 0)
		return -EINVAL;
	if (!writer->started)
		writer->order.step = frame->type == VFMI_FRAME_HELLO ? VFMI_ORDER_REPLY : VFMI_ORDER_START;

	return vfmi_stream_order_next(&writer->order, frame, payload) < 0 ? -EINVAL : 0;
}

static int write_frame(struct vfmi_stream_writer *writer, struct vfmi_frame frame, const void *payload, size_t length,
		       uint64_t sum)
{
	if (writer->failed)
		return writer->failed;
	if (length > VFM_STREAM_MAX_CHUNK)
		return -EINVAL;

	frame.length = (uint32_t)length;
	frame.sequence = writer->sequence;
	int r = check(writer, &frame, payload);

	if (r == 0 && !writer->started)
		r = push_stream_header(writer);
	if (r == 0)
		r = push_frame_header(writer, &frame, sum);
	if (r == 0)
		r = push(writer, payload, length);

	return r;
}

int vfmi_stream_write_summed(struct vfmi_stream_writer *writer, struct vfmi_frame frame, const void *payload,
			     size_t length, uint64_t sum)
{
	if (frame.type == VFMI_FRAME_END)
		return -EINVAL;

	return write_frame(writer, frame, payload, length, sum);
}

int vfmi_stream_write(struct vfmi_stream_writer *writer, struct vfmi_frame frame, const void *payload, size_t length)
{
	return vfmi_stream_write_summed(writer, frame, payload, length, vfmi_stream_sum(writer->id, payload, length));
}

int vfmi_stream_write_end(struct vfmi_stream_writer *writer)
{
	const struct vfmi_frame frame = { .type = VFMI_FRAME_END, .device = VFMI_NO_DEVICE };
	const XXH128_hash_t digest = XXH3_128bits_digest(writer->digest);
	uint8_t payload[VFMI_DIGEST + 8];

	vfmi_put_le64(payload, digest.low64);
	vfmi_put_le64(payload + 8, digest.high64);
	vfmi_put_le64(payload + VFMI_DIGEST, writer->sequence);

	int r = write_frame(writer, frame, payload, sizeof(payload),
			    vfmi_stream_sum(writer->id, payload, sizeof(payload)));

	return r < 0 ? r : vfmi_stream_writer_flush(writer);
}

int vfmi_stream_writer_flush(struct vfmi_stream_writer *writer)
{
	if (writer->failed || !writer->io.flush)
		return writer->failed;

	int r = writer->io.flush(writer->io.user);

	if (r)
		writer->failed = r < 0 ? r : -EIO;

	return writer->failed;
}

uint64_t vfmi_stream_writer_bytes(const struct vfmi_stream_writer *writer)
{
	return writer->bytes;
}
