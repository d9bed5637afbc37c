/* SPDX-License-Identifier: MIT */
/* Stream reader: one frame after the other, each checked before it is believed, payloads straight into the caller's
 * buffer. Frame order is not known here but for what END changes. */
#include "stream-format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "wire.h"

struct vfmi_stream_reader {
	struct vfm_io io;
	XXH3_state_t *digest;
	struct vfmi_stream_header header;
	uint64_t bytes;
	uint64_t frames;
	uint64_t skipped;
	uint64_t frame_start; /* of the newest frame; 0 before the first */
	uint64_t frame_number;
	struct vfmi_frame frame; /* the newest; type 0 before its header is believed */
	uint8_t raw[VFMI_FRAME_HEADER];
	int failed;
	bool started; /* the stream header was read */
	bool pending; /* a payload is next */
	bool ended;   /* END was read */
	bool cut;     /* the channel has ended */
	uint8_t end[VFMI_DIGEST];
	char why[192];
};

int vfmi_stream_reader_new(const struct vfm_io *io, struct vfmi_stream_reader **ret)
{
	struct vfm_io channel;
	int r = vfmi_io_in(&channel, io);

	if (r < 0)
		return r;
	if (!channel.read)
		return -EINVAL;

	struct vfmi_stream_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;

	reader->io = channel;
	reader->digest = XXH3_createState();
	if (!reader->digest || XXH3_128bits_reset(reader->digest) != XXH_OK) {
		vfmi_stream_reader_free(reader);
		return -ENOMEM;
	}

	*ret = reader;
	return 0;
}

void vfmi_stream_reader_free(struct vfmi_stream_reader *reader)
{
	if (!reader)
		return;

	XXH3_freeState(reader->digest);
	free(reader);
}

/* Fails for good, and says where: in the stream header before any frame was begun. */
static int refuse(struct vfmi_stream_reader *reader, int code, const char *cause)
{
	char type[24] = "";

	if (vfmi_frame_rule(reader->frame.type))
		snprintf(type, sizeof(type), " (%s)", vfmi_frame_name(reader->frame.type));
	else if (reader->frame.type)
		snprintf(type, sizeof(type), " (type %" PRIu32 ")", reader->frame.type);

	if (reader->frame_start == 0)
		snprintf(reader->why, sizeof(reader->why), "stream header: %s", cause);
	else
		snprintf(reader->why, sizeof(reader->why), "frame %" PRIu64 "%s at byte %" PRIu64 ": %s",
			 reader->frame_number, type, reader->frame_start, cause);

	reader->failed = code;
	return code;
}

int vfmi_stream_reader_refuse(struct vfmi_stream_reader *reader, int code, const char *cause)
{
	return refuse(reader, code, cause);
}

/* An error of the channel that cannot be taken for a verdict of the reader. */
static int channel_error(int64_t n)
{
	return n == -ENODATA || n < -4095 ? -EIO : (int)n;
}

/* The whole of @length, or -ENODATA when the channel ended before the first byte, -EBADMSG when later. */
static int pull(struct vfmi_stream_reader *reader, void *buf, size_t length)
{
	uint8_t *to = buf;
	size_t have = 0;

	while (have < length) {
		int64_t n = reader->io.read(reader->io.user, to + have, length - have);

		if (n < 0)
			return refuse(reader, channel_error(n), vfmi_errno_text(-channel_error(n)));
		reader->cut = n == 0;
		if (n == 0)
			return refuse(reader, have ? -EBADMSG : -ENODATA, "the channel ends here");
		if ((uint64_t)n > length - have)
			return refuse(reader, -EIO, "the channel gave more than was asked for");

		have += (size_t)n;
		reader->bytes += (uint64_t)n;
	}

	return 0;
}

/* Where more bytes must follow, a channel that ends is a damaged stream. */
static int pull_rest(struct vfmi_stream_reader *reader, void *buf, size_t length)
{
	int r = pull(reader, buf, length);

	if (r == -ENODATA)
		reader->failed = r = -EBADMSG;

	return r;
}

static int check_stream_header(struct vfmi_stream_reader *reader, const uint8_t *raw)
{
	static const uint8_t zeros[6];
	const struct vfmi_stream_header *header = &reader->header;

	if (header->oldest == 0 || header->oldest > header->major)
		return refuse(reader, -EBADMSG, "versions that cannot be");
	if (header->oldest > VFMI_STREAM_MAJOR)
		return refuse(reader, -EPROTONOSUPPORT, "a version this reader does not know");
	if (header->flags & ~VFMI_STREAM_FLAGS)
		return refuse(reader, -EPROTONOSUPPORT, "flags this reader does not know");
	if (memcmp(raw + 26, zeros, sizeof(zeros)) != 0)
		return refuse(reader, -EBADMSG, "reserved bytes that are not zero");

	return 0;
}

int vfmi_stream_read_header(struct vfmi_stream_reader *reader, struct vfmi_stream_header *ret)
{
	uint8_t raw[VFMI_STREAM_HEADER];
	int r = reader->failed;

	if (r == 0 && reader->started)
		r = -EINVAL;
	if (r == 0)
		r = pull_rest(reader, raw, sizeof(raw));
	if (r < 0)
		return r;
	if (memcmp(raw, VFMI_STREAM_MAGIC, 8) != 0)
		return refuse(reader, -EBADMSG, "not a stream of device state");
	if (vfmi_get_le64(raw + 32) != XXH3_64bits(raw, 32))
		return refuse(reader, -EBADMSG, "does not match its checksum");

	reader->header = (struct vfmi_stream_header){
		.major = vfmi_get_le16(raw + 8),
		.minor = vfmi_get_le16(raw + 10),
		.flags = vfmi_get_le32(raw + 12),
		.id = vfmi_get_le64(raw + 16),
		.oldest = vfmi_get_le16(raw + 24),
	};
	r = check_stream_header(reader, raw);
	if (r == 0 || r == -EPROTONOSUPPORT)
		*ret = reader->header;

	reader->started = true;
	XXH3_128bits_update(reader->digest, raw, sizeof(raw));
	return r;
}

static int read_frame_header(struct vfmi_stream_reader *reader)
{
	const uint8_t *raw = reader->raw;

	reader->frame.type = 0;
	reader->frame_start = reader->bytes;
	reader->frame_number = reader->frames;

	int r = pull(reader, reader->raw, sizeof(reader->raw));

	if (r < 0)
		return r;
	if (vfmi_get_le64(raw + 32) != vfmi_stream_sum(reader->header.id, raw, 32))
		return refuse(reader, -EBADMSG, "the frame header does not match its checksum");

	reader->frame = (struct vfmi_frame){
		.type = vfmi_get_le32(raw),
		.flags = vfmi_get_le32(raw + 4),
		.device = vfmi_get_le32(raw + 8),
		.length = vfmi_get_le32(raw + 12),
		.sequence = vfmi_get_le64(raw + 16),
	};
	return 0;
}

static int check_frame_header(struct vfmi_stream_reader *reader)
{
	const struct vfmi_frame *frame = &reader->frame;
	const char *why;
	int r = vfmi_frame_check(frame, reader->header.flags, &why);

	if (r < 0)
		return refuse(reader, r, why);
	if (frame->sequence != reader->frames)
		return refuse(reader, -EBADMSG, "frames are missing, doubled or out of order");
	if (!vfmi_frame_rule(frame->type) && (reader->frames == 0 || reader->ended))
		return refuse(reader, -EBADMSG, "an optional frame that cannot stand here");

	return 0;
}

static int check_end(struct vfmi_stream_reader *reader, const uint8_t *payload)
{
	const XXH128_hash_t digest = XXH3_128bits_digest(reader->digest);

	if (reader->ended)
		return refuse(reader, -EBADMSG, "the stream had ended");
	if (vfmi_get_le64(payload) != digest.low64 || vfmi_get_le64(payload + 8) != digest.high64)
		return refuse(reader, -EBADMSG, "the stream does not match its digest");
	if (vfmi_get_le64(payload + VFMI_DIGEST) != reader->frames)
		return refuse(reader, -EBADMSG, "the number of frames is wrong");

	reader->ended = true;
	memcpy(reader->end, payload, VFMI_DIGEST);
	return 0;
}

int vfmi_stream_read_next(struct vfmi_stream_reader *reader, struct vfmi_frame *ret_frame)
{
	if (reader->failed)
		return reader->failed;
	if (!reader->started || reader->pending)
		return -EINVAL;

	int r = read_frame_header(reader);

	if (r == 0)
		r = check_frame_header(reader);
	if (r < 0)
		return r;

	reader->pending = true;
	*ret_frame = reader->frame;
	return 0;
}

int vfmi_stream_read_payload(struct vfmi_stream_reader *reader, void *buf, size_t room)
{
	const uint32_t length = reader->frame.length;

	if (reader->failed)
		return reader->failed;
	if (!reader->pending || room < length)
		return -EINVAL;

	int r = pull_rest(reader, buf, length);

	if (r == 0 && vfmi_get_le64(reader->raw + 24) != vfmi_stream_sum(reader->header.id, buf, length))
		r = refuse(reader, -EBADMSG, "the payload does not match its checksum");
	if (r == 0 && reader->frame.type == VFMI_FRAME_END)
		r = check_end(reader, buf);
	if (r < 0)
		return r;

	XXH3_128bits_update(reader->digest, reader->raw, sizeof(reader->raw));
	reader->pending = false;
	reader->frames++;
	if (!vfmi_frame_rule(reader->frame.type))
		reader->skipped++;
	return 0;
}

int vfmi_stream_read(struct vfmi_stream_reader *reader, struct vfmi_frame *ret_frame, void *buf, size_t room)
{
	struct vfmi_frame frame;
	int r;

	if (room < VFM_STREAM_MAX_CHUNK)
		return -EINVAL;

	do {
		r = vfmi_stream_read_next(reader, &frame);
		if (r == 0)
			r = vfmi_stream_read_payload(reader, buf, room);
	} while (r == 0 && !vfmi_frame_rule(frame.type));

	if (r == 0)
		*ret_frame = frame;
	return r;
}

const char *vfmi_stream_reader_why(const struct vfmi_stream_reader *reader)
{
	return reader->why;
}

bool vfmi_stream_reader_is_cut(const struct vfmi_stream_reader *reader)
{
	return reader->cut;
}

uint64_t vfmi_stream_reader_bytes(const struct vfmi_stream_reader *reader)
{
	return reader->bytes;
}

uint64_t vfmi_stream_reader_frames(const struct vfmi_stream_reader *reader)
{
	return reader->frames;
}

uint64_t vfmi_stream_reader_skipped(const struct vfmi_stream_reader *reader)
{
	return reader->skipped;
}

void vfmi_stream_reader_digest(const struct vfmi_stream_reader *reader, uint8_t digest[VFMI_DIGEST])
{
	memcpy(digest, reader->end, VFMI_DIGEST);
}
