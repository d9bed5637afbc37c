/* SPDX-License-Identifier: MIT */
/* The stream codec: layout, versions, limits, channels that fail. The order of frames has a file of its own. */
#include <stdio.h>

#include "stream_fixture.h"
#include "suite.h"

static uint8_t payload[VFM_STREAM_MAX_CHUNK];
static struct memory memory;
static struct forge forge;

static void setup(void)
{
	memset(&memory, 0, sizeof(memory));
	memset(&forge, 0, sizeof(forge));
}

static void teardown(void)
{
	memory_free(&memory);
	forge_free(&forge);
}

/* A reader on what was forged, past its stream header. */
static struct vfmi_stream_reader *reader_on(struct memory *from)
{
	const struct vfm_io io = memory_io(from);
	struct vfmi_stream_reader *reader;
	struct vfmi_stream_header header;

	ck_assert_int_eq(vfmi_stream_reader_new(&io, &reader), 0);
	ck_assert_int_eq(vfmi_stream_read_header(reader, &header), 0);
	return reader;
}

static int read_one(struct vfmi_stream_reader *reader, struct vfmi_frame *frame)
{
	return vfmi_stream_read(reader, frame, payload, sizeof(payload));
}

/* What reading all frames comes to; -ENODATA is a channel that ended between two. */
static int read_all(struct memory *from)
{
	struct vfmi_stream_reader *reader = reader_on(from);
	struct vfmi_frame frame;
	int r;

	do
		r = read_one(reader, &frame);
	while (r == 0);

	vfmi_stream_reader_free(reader);
	return r;
}

/* layout */

/* The forge knows the format from its description alone; the writer must agree with it byte for byte. */
START_TEST(writer_writes_what_the_manual_says)
{
	const struct vfm_io io = memory_io(&memory);
	const struct vfmi_stream_header header = { .id = 0x1122334455667788, .flags = VFM_STREAM_DUPLEX };
	struct vfmi_stream_writer *writer;
	uint8_t info[] = { 3, 0, 8, 0, 1, 2, 3, 4, 0, 0, 0, 0, 4, 0, 4, 0, 1, 0, 0, 0 };

	forge_body(&forge, VFM_STREAM_DUPLEX);
	forge_end(&forge);
	forge_frame(&forge, VFMI_FRAME_GIVEN_UP, 0, VFMI_NO_DEVICE, "", 0);

	ck_assert_int_eq(vfmi_stream_writer_new(&io, &header, &writer), 0);
	ck_assert_uint_eq(memory.length, 0);
	sample_frame(writer, VFMI_FRAME_INFO, 0, VFMI_NO_DEVICE, info, sizeof(info));
	sample_frame(writer, VFMI_FRAME_DEVICE, 0, 0, "\x11\x00\x04\x00mtty", 8);
	sample_frame(writer, VFMI_FRAME_DEVICES_END, 0, VFMI_NO_DEVICE, NULL, 0);
	sample_device_end(writer, 0, 0, 0);
	ck_assert_int_eq(vfmi_stream_write_end(writer), 0);
	sample_frame(writer, VFMI_FRAME_GIVEN_UP, 0, VFMI_NO_DEVICE, NULL, 0);
	vfmi_stream_writer_free(writer);

	ck_assert_uint_eq(memory.length, forge.out.length);
	ck_assert_mem_eq(memory.bytes, forge.out.bytes, memory.length);
}
END_TEST

/* Bytes that may never change: a stream of today must be read in ten years. */
START_TEST(first_bytes_are_pinned)
{
	static const uint8_t pinned[] = { 'V',	'F',  'I',  'O',  'M',	'I',  'G',  0x1a, 1, 0, 0, 0, 2, 0, 0, 0,
					  0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 1, 0, 0, 0, 0, 0, 0, 0 };

	forge_header(&forge, 0x1122334455667788, VFM_STREAM_DUPLEX);
	ck_assert_mem_eq(forge.out.bytes, pinned, sizeof(pinned));
	ck_assert_uint_eq(XXH3_64bits("", 0), 0x2d06800538d394c2);
}
END_TEST

START_TEST(what_was_written_is_read_whatever_the_channel_gives)
{
	static const size_t steps[] = { 0, 1, 7, 39, 40, 41 };

	sample_write(&memory, 5);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(steps); i++) {
		memory.step = steps[i];
		ck_assert_int_eq(inspect_memory(&memory), 0);
		ck_assert_uint_eq(memory.at, memory.length);
	}
}
END_TEST

START_TEST(payload_sum_taken_ahead_is_the_same)
{
	const struct vfmi_stream_header header = { .id = 99 };
	const struct vfmi_frame frame = { .type = VFMI_FRAME_INFO, .device = VFMI_NO_DEVICE };
	const struct vfm_stream_summary info = { .size = sizeof(info), .devices = 1 };
	struct memory ahead = { 0 };
	uint8_t buf[64];
	const int length = vfmi_records_put_info(buf, sizeof(buf), &info);

	for (int summed = 0; summed < 2; summed++) {
		const struct vfm_io io = memory_io(summed ? &ahead : &memory);
		struct vfmi_stream_writer *writer;

		ck_assert_int_eq(vfmi_stream_writer_new(&io, &header, &writer), 0);
		if (summed)
			ck_assert_int_eq(vfmi_stream_write_summed(writer, frame, buf, (size_t)length,
								  vfmi_stream_sum(99, buf, (size_t)length)),
					 0);
		else
			ck_assert_int_eq(vfmi_stream_write(writer, frame, buf, (size_t)length), 0);
		vfmi_stream_writer_free(writer);
	}
	ck_assert_uint_eq(memory.length, ahead.length);
	ck_assert_mem_eq(memory.bytes, ahead.bytes, ahead.length);
	memory_free(&ahead);
}
END_TEST

/* the stream header */

static const struct {
	struct forge_header header;
	int expected;
} headers[] = {
	{ { 1, 0, 1, 0, 0 }, 0 },
	{ { 1, UINT16_MAX, 1, 3, 0 }, 0 },
	{ { 2, 0, 1, 0, 0 }, 0 }, /* a newer writer that old readers can read */
	{ { UINT16_MAX, 0, 1, 0, 0 }, 0 },
	{ { 2, 0, 2, 0, 0 }, -EPROTONOSUPPORT },
	{ { UINT16_MAX, 0, UINT16_MAX, 0, 0 }, -EPROTONOSUPPORT },
	{ { 2, 0, 2, 0, 1 }, -EPROTONOSUPPORT }, /* what the bytes mean there is not for us to say */
	{ { 1, 0, 1, 4, 0 }, -EPROTONOSUPPORT },
	{ { 1, 0, 1, 0x80000000, 0 }, -EPROTONOSUPPORT },
	{ { 0, 0, 0, 0, 0 }, -EBADMSG },
	{ { 1, 0, 0, 0, 0 }, -EBADMSG },
	{ { 0, 0, 1, 0, 0 }, -EBADMSG },
	{ { 1, 0, 2, 0, 0 }, -EBADMSG },
	{ { 1, 0, 1, 0, 1 }, -EBADMSG },
};

START_TEST(stream_headers)
{
	const int expected = headers[_i].expected;
	struct vfmi_stream_header header = { .id = 1 };
	struct vfmi_stream_reader *reader;

	forge_header_as(&forge, 77, headers[_i].header);
	const struct vfm_io io = memory_io(&forge.out);

	ck_assert_int_eq(vfmi_stream_reader_new(&io, &reader), 0);
	ck_assert_int_eq(vfmi_stream_read_header(reader, &header), expected);
	ck_assert_uint_eq(header.id, expected == -EBADMSG ? 1 : 77);
	if (expected)
		ck_assert_int_eq(vfmi_stream_read_header(reader, &header), expected);
	else
		ck_assert_int_eq(vfmi_stream_read_header(reader, &header), -EINVAL);
	vfmi_stream_reader_free(reader);
}
END_TEST

/* frame headers */

START_TEST(every_known_type_has_its_limits)
{
	for (uint32_t type = 0; type < 256; type++) {
		const struct vfmi_frame_rule *rule = vfmi_frame_rule(type);
		const char *why = NULL;

		if (!rule)
			continue;

		struct vfmi_frame frame = { .type = type, .device = rule->device ? 0 : VFMI_NO_DEVICE };
		const uint32_t lengths[] = { rule->min - 1, rule->min, rule->max, rule->max + 1, 0, UINT32_MAX };

		for (size_t i = 0; i < VFMI_ARRAY_SIZE(lengths); i++) {
			const bool fits = lengths[i] >= rule->min && lengths[i] <= rule->max;

			frame.length = lengths[i];
			ck_assert_int_eq(vfmi_frame_check(&frame, VFMI_STREAM_FLAGS, &why), fits ? 0 : -EBADMSG);
		}
		ck_assert_uint_le(rule->max, VFM_STREAM_MAX_CHUNK);

		frame.length = rule->min;
		for (uint32_t bit = 0; bit < 32; bit++) {
			frame.flags = 1u << bit;
			ck_assert_int_eq(vfmi_frame_check(&frame, VFMI_STREAM_FLAGS, &why),
					 rule->flags & frame.flags ? 0 : -EPROTONOSUPPORT);
		}

		frame.flags = 0;
		frame.device = rule->device ? VFM_STREAM_MAX_DEVICES - 1 : 0;
		ck_assert_int_eq(vfmi_frame_check(&frame, VFMI_STREAM_FLAGS, &why), rule->device ? 0 : -EBADMSG);
		frame.device = rule->device ? VFM_STREAM_MAX_DEVICES : VFMI_NO_DEVICE - 1;
		ck_assert_int_eq(vfmi_frame_check(&frame, VFMI_STREAM_FLAGS, &why), -EBADMSG);
	}
}
END_TEST

START_TEST(duplex_frames_need_a_duplex_stream)
{
	static const uint32_t types[] = {
		VFMI_FRAME_GIVEN_UP, VFMI_FRAME_KEPT,	VFMI_FRAME_HELLO,  VFMI_FRAME_ACCEPT,
		VFMI_FRAME_REFUSE,   VFMI_FRAME_LOADED, VFMI_FRAME_FAILED, VFMI_FRAME_STARTED
	};
	const char *why;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(types); i++) {
		const struct vfmi_frame frame = { .type = types[i],
						  .device = VFMI_NO_DEVICE,
						  .length = vfmi_frame_rule(types[i])->min };

		ck_assert_int_eq(vfmi_frame_check(&frame, 0, &why), -EBADMSG);
		ck_assert_int_eq(vfmi_frame_check(&frame, VFM_STREAM_SIMULATED, &why), -EBADMSG);
		ck_assert_int_eq(vfmi_frame_check(&frame, VFM_STREAM_DUPLEX, &why), 0);
	}
}
END_TEST

static const struct {
	uint32_t type, flags, length;
	int expected;
} strangers[] = {
	{ 12, 1, 0, 0 },
	{ 31, 0xffffffff, 1, 0 },
	{ 0, 1, 1, 0 },
	{ UINT32_MAX, 1, VFM_STREAM_MAX_CHUNK, 0 },
	{ UINT32_MAX, 1, VFM_STREAM_MAX_CHUNK + 1, -EBADMSG },
	{ 38, 0, 0, -EPROTONOSUPPORT },
	{ 0, 0, 0, -EPROTONOSUPPORT },
	{ UINT32_MAX, 0xfffffffe, 0, -EPROTONOSUPPORT },
};

START_TEST(unknown_types_are_skipped_or_refused)
{
	struct vfm_stream_summary summary = { .size = sizeof(summary) };

	forge_body(&forge, 0);
	forge_claim(&forge, strangers[_i].type, strangers[_i].flags, 12345, strangers[_i].length, payload,
		    vfmi_min_u64(strangers[_i].length, sizeof(payload)));
	forge_end(&forge);

	const struct vfm_io io = memory_io(&forge.out);

	ck_assert_int_eq(vfm_stream_inspect(NULL, &io, NULL, NULL, &summary, NULL), strangers[_i].expected);
	ck_assert_uint_eq(summary.skipped_frames, strangers[_i].expected == 0);
	ck_assert_uint_eq(summary.frames, strangers[_i].expected == 0 ? 6 : 4);
}
END_TEST

START_TEST(skipped_payloads_are_checked_all_the_same)
{
	forge_body(&forge, 0);
	forge_frame(&forge, 99, VFMI_FRAME_OPTIONAL, 0, "not for you", 11);
	forge.out.bytes[forge.out.length - 1] ^= 1;
	ck_assert_int_eq(read_all(&forge.out), -EBADMSG);
}
END_TEST

START_TEST(an_optional_frame_is_not_first_and_not_after_the_end)
{
	forge_header(&forge, 1, 0);
	forge_frame(&forge, 99, VFMI_FRAME_OPTIONAL, 0, "x", 1);
	ck_assert_int_eq(read_all(&forge.out), -EBADMSG);
	forge_free(&forge);

	forge_body(&forge, 0);
	forge_end(&forge);
	forge_frame(&forge, 99, VFMI_FRAME_OPTIONAL, 0, "x", 1);
	ck_assert_int_eq(read_all(&forge.out), -EBADMSG);
}
END_TEST

START_TEST(sequence_counts_from_zero)
{
	forge_header(&forge, 1, 0);
	forge.sequence = 1;
	forge_info(&forge, 1);
	ck_assert_int_eq(read_all(&forge.out), -EBADMSG);
	forge_free(&forge);

	forge_header(&forge, 1, 0);
	forge_info(&forge, 1);
	forge.sequence = UINT64_MAX;
	forge_device(&forge, 0);
	ck_assert_int_eq(read_all(&forge.out), -EBADMSG);
}
END_TEST

/* Right sums around an end with one field wrong: only the digest and the count can tell. */
START_TEST(digest_and_count_are_compared)
{
	static const size_t fields[] = { 0, 8, VFMI_DIGEST };

	for (size_t i = 0; i <= VFMI_ARRAY_SIZE(fields); i++) {
		uint8_t end[VFMI_DIGEST + 8];

		forge_body(&forge, 0);
		const XXH128_hash_t digest = XXH3_128bits(forge.digested.bytes, forge.digested.length);

		vfmi_put_le64(end, digest.low64);
		vfmi_put_le64(end + 8, digest.high64);
		vfmi_put_le64(end + VFMI_DIGEST, forge.sequence);
		if (i < VFMI_ARRAY_SIZE(fields))
			end[fields[i]] ^= 1;
		forge_frame(&forge, VFMI_FRAME_END, 0, VFMI_NO_DEVICE, end, sizeof(end));
		ck_assert_int_eq(read_all(&forge.out), i < VFMI_ARRAY_SIZE(fields) ? -EBADMSG : -ENODATA);
		forge_free(&forge);
	}
}
END_TEST

/* A wrong sum ends the reading there, before a byte of the payload is asked for. */
START_TEST(a_frame_header_is_not_believed_before_its_sum)
{
	struct vfmi_frame frame;

	for (size_t at = 0; at < VFMI_FRAME_HEADER; at++) {
		forge_header(&forge, 1, 0);
		forge_frame(&forge, 99, VFMI_FRAME_OPTIONAL, 0, payload, 100);
		forge.out.bytes[VFMI_STREAM_HEADER + at] ^= 1;

		struct vfmi_stream_reader *reader = reader_on(&forge.out);

		ck_assert_int_eq(vfmi_stream_read_next(reader, &frame), -EBADMSG);
		ck_assert_ptr_nonnull(strstr(vfmi_stream_reader_why(reader), "frame header"));
		ck_assert_uint_eq(vfmi_stream_reader_bytes(reader), VFMI_STREAM_HEADER + VFMI_FRAME_HEADER);
		vfmi_stream_reader_free(reader);
		forge_free(&forge);
	}
}
END_TEST

START_TEST(after_the_end)
{
	forge_body(&forge, VFM_STREAM_DUPLEX);
	forge_end(&forge);
	ck_assert_int_eq(inspect_memory(&forge.out), 0);
	forge_frame(&forge, VFMI_FRAME_GIVEN_UP, 0, VFMI_NO_DEVICE, "", 0);
	ck_assert_int_eq(inspect_memory(&forge.out), 0);
	forge_frame(&forge, VFMI_FRAME_GIVEN_UP, 0, VFMI_NO_DEVICE, "", 0);
	ck_assert_int_eq(inspect_memory(&forge.out), -EBADMSG);
	forge_free(&forge);

	forge_body(&forge, 0);
	forge_end(&forge);
	forge_frame(&forge, VFMI_FRAME_GIVEN_UP, 0, VFMI_NO_DEVICE, "", 0);
	ck_assert_int_eq(inspect_memory(&forge.out), -EBADMSG);
	forge_free(&forge);

	forge_body(&forge, 0);
	forge_end(&forge);
	forge_end(&forge);
	ck_assert_int_eq(inspect_memory(&forge.out), -EBADMSG);
}
END_TEST

/* channels that fail */

struct faulty {
	struct memory *memory;
	uint64_t calls_left; /* before @result */
	int64_t result;
};

static int64_t faulty_read(void *user, void *buf, size_t length)
{
	struct faulty *faulty = user;

	return faulty->calls_left-- ? memory_read(faulty->memory, buf, length) : faulty->result;
}

static int faulty_write(void *user, const void *buf, size_t length)
{
	struct faulty *faulty = user;

	return faulty->calls_left-- ? memory_write(faulty->memory, buf, length) : (int)faulty->result;
}

static int faulty_flush(void *user)
{
	struct faulty *faulty = user;

	return faulty->calls_left-- ? 0 : (int)faulty->result;
}

static struct vfm_io faulty_io(struct faulty *faulty)
{
	faulty->memory->at = 0;
	return (struct vfm_io){ .size = sizeof(struct vfm_io),
				.user = faulty,
				.read = faulty_read,
				.write = faulty_write,
				.flush = faulty_flush };
}

static const struct {
	int64_t result;
	int expected;
} read_faults[] = {
	{ -EIO, -EIO },	 { -ECANCELED, -ECANCELED }, { -ENODATA, -EIO },  { INT64_MIN, -EIO },
	{ -4096, -EIO }, { 1 << 20, -EIO },	     { INT64_MAX, -EIO },
};

START_TEST(errors_of_the_channel_reach_the_caller_of_inspect)
{
	sample_write(&memory, 5);
	for (uint64_t calls = 0;; calls++) {
		struct faulty faulty = { &memory, calls, read_faults[_i].result };
		const struct vfm_io io = faulty_io(&faulty);
		struct vfm_error error = { .size = sizeof(error) };
		const int r = vfm_stream_inspect(NULL, &io, NULL, NULL, NULL, &error);

		if (r == 0)
			break;
		ck_assert_int_eq(r, read_faults[_i].expected);
		ck_assert_int_eq(error.code, -read_faults[_i].expected);
		ck_assert_uint_lt(calls, 100);
	}
}
END_TEST

START_TEST(a_reader_that_failed_stays_failed)
{
	struct vfmi_frame frame;
	char why[192];

	forge_header(&forge, 1, 0);
	forge_info(&forge, 1);
	forge.out.bytes[forge.out.length - 1] ^= 1;
	forge_device(&forge, 0);

	struct vfmi_stream_reader *reader = reader_on(&forge.out);

	ck_assert_int_eq(read_one(reader, &frame), -EBADMSG);
	snprintf(why, sizeof(why), "%s", vfmi_stream_reader_why(reader));
	ck_assert_ptr_nonnull(strstr(why, "frame 0 (INFO) at byte 40"));
	ck_assert_int_eq(read_one(reader, &frame), -EBADMSG);
	ck_assert_str_eq(vfmi_stream_reader_why(reader), why);
	vfmi_stream_reader_free(reader);
}
END_TEST

START_TEST(readers_need_room_and_a_channel)
{
	struct memory nothing = { 0 };
	struct vfm_io io = memory_io(&nothing);
	struct vfmi_stream_reader *reader;
	struct vfmi_frame frame;

	io.read = NULL;
	ck_assert_int_eq(vfmi_stream_reader_new(&io, &reader), -EINVAL);
	ck_assert_int_eq(vfmi_stream_reader_new(NULL, &reader), -EINVAL);
	io.size = 4;
	ck_assert_int_eq(vfmi_stream_reader_new(&io, &reader), -EINVAL);
	vfmi_stream_reader_free(NULL);

	sample_write(&memory, 5);
	reader = reader_on(&memory);
	ck_assert_int_eq(vfmi_stream_read(reader, &frame, payload, sizeof(payload) - 1), -EINVAL);
	ck_assert_int_eq(vfmi_stream_read_payload(reader, payload, sizeof(payload)), -EINVAL);
	ck_assert_int_eq(vfmi_stream_read_next(reader, &frame), 0);
	ck_assert_int_eq(vfmi_stream_read_next(reader, &frame), -EINVAL);
	ck_assert_int_eq(vfmi_stream_read_payload(reader, payload, frame.length - 1), -EINVAL);
	ck_assert_int_eq(vfmi_stream_read_payload(reader, payload, frame.length), 0);
	vfmi_stream_reader_free(reader);
}
END_TEST

static int write_info(struct vfmi_stream_writer *writer)
{
	const struct vfm_stream_summary info = { .size = sizeof(info), .devices = 1 };
	const struct vfmi_frame frame = { .type = VFMI_FRAME_INFO, .device = VFMI_NO_DEVICE };
	uint8_t buf[64];

	return vfmi_stream_write(writer, frame, buf, (size_t)vfmi_records_put_info(buf, sizeof(buf), &info));
}

/* The stream header, the frame header, the payload, the flush: whichever fails first fails for ever. */
START_TEST(a_writer_that_failed_stays_failed)
{
	struct faulty faulty = { &memory, (uint64_t)_i, _i == 2 ? 1 : -EPIPE };
	const int expected = _i == 2 ? -EIO : -EPIPE;
	const struct vfm_io io = faulty_io(&faulty);
	const struct vfmi_stream_header header = { .id = 1 };
	struct vfmi_stream_writer *writer;

	ck_assert_int_eq(vfmi_stream_writer_new(&io, &header, &writer), 0);
	ck_assert_int_eq(write_info(writer), _i < 3 ? expected : 0);
	ck_assert_int_eq(vfmi_stream_writer_flush(writer), expected);
	ck_assert_int_eq(write_info(writer), expected);
	ck_assert_int_eq(vfmi_stream_write_end(writer), expected);
	ck_assert_int_eq(vfmi_stream_writer_flush(writer), expected);
	ck_assert_uint_eq(vfmi_stream_writer_bytes(writer), memory.length);
	vfmi_stream_writer_free(writer);
}
END_TEST

START_TEST(a_writer_refuses_what_no_reader_would_take)
{
	static const struct vfmi_frame wrong[] = {
		{ .type = VFMI_FRAME_INFO, .device = VFMI_NO_DEVICE },
		{ .type = VFMI_FRAME_DEVICE, .device = 1 },
		{ .type = VFMI_FRAME_DATA, .device = 0 },
		{ .type = VFMI_FRAME_END, .device = VFMI_NO_DEVICE },
		{ .type = VFMI_FRAME_ABORT, .device = 0 },
		{ .type = VFMI_FRAME_ABORT, .device = VFMI_NO_DEVICE, .flags = VFMI_FRAME_OPTIONAL },
		{ .type = VFMI_FRAME_HELLO, .device = VFMI_NO_DEVICE },
		{ .type = 99, .flags = VFMI_FRAME_OPTIONAL },
	};
	const struct vfmi_frame device = { .type = VFMI_FRAME_DEVICE };
	const struct vfm_io io = memory_io(&memory);
	struct vfmi_stream_header header = { .id = 1 };
	struct vfmi_stream_writer *writer;

	ck_assert_int_eq(vfmi_stream_writer_new(&io, &header, &writer), 0);
	ck_assert_int_eq(write_info(writer), 0);
	const size_t before = memory.length;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(wrong); i++)
		ck_assert_int_eq(vfmi_stream_write(writer, wrong[i], payload, 8), -EINVAL);
	ck_assert_int_eq(vfmi_stream_write(writer, device, payload, VFMI_MAX_META + 1), -EINVAL);
	ck_assert_int_eq(vfmi_stream_write_summed(writer, device, payload, SIZE_MAX, 0), -EINVAL);
	ck_assert_int_eq(vfmi_stream_write_end(writer), -EINVAL);
	ck_assert_uint_eq(memory.length, before);
	ck_assert_int_eq(vfmi_stream_write(writer, device, payload, 0), 0);
	vfmi_stream_writer_free(writer);

	header.flags = VFMI_STREAM_FLAGS + 1;
	ck_assert_int_eq(vfmi_stream_writer_new(&io, &header, &writer), -EINVAL);
	vfmi_stream_writer_free(NULL);
}
END_TEST

START_TEST(a_reply_is_a_stream_of_its_own)
{
	static const uint32_t types[] = { VFMI_FRAME_HELLO, VFMI_FRAME_ACCEPT, VFMI_FRAME_LOADED, VFMI_FRAME_STARTED };
	const struct vfm_io io = memory_io(&memory);
	const struct vfmi_stream_header header = { .id = 1, .flags = VFM_STREAM_DUPLEX };
	struct vfmi_stream_order order = { .step = VFMI_ORDER_REPLY };
	struct vfmi_stream_writer *writer;
	struct vfmi_frame frame = { .device = VFMI_NO_DEVICE };

	ck_assert_int_eq(vfmi_stream_writer_new(&io, &header, &writer), 0);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(types); i++) {
		frame.type = types[i];
		ck_assert_int_eq(vfmi_stream_write(writer, frame, payload, i ? 0 : 8), 0);
	}
	vfmi_stream_writer_free(writer);

	struct vfmi_stream_reader *reader = reader_on(&memory);

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(types); i++) {
		ck_assert_int_eq(read_one(reader, &frame), 0);
		ck_assert_uint_eq(frame.type, types[i]);
		ck_assert_int_eq(vfmi_stream_order_next(&order, &frame, payload), 0);
	}
	ck_assert_int_eq(read_one(reader, &frame), -ENODATA);
	vfmi_stream_reader_free(reader);
	ck_assert_int_eq(inspect_memory(&memory), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream");
	TCase *tests = tcase_create("stream");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, writer_writes_what_the_manual_says);
	tcase_add_test(tests, first_bytes_are_pinned);
	tcase_add_test(tests, what_was_written_is_read_whatever_the_channel_gives);
	tcase_add_test(tests, payload_sum_taken_ahead_is_the_same);
	tcase_add_loop_test(tests, stream_headers, 0, (int)VFMI_ARRAY_SIZE(headers));
	tcase_add_test(tests, every_known_type_has_its_limits);
	tcase_add_test(tests, duplex_frames_need_a_duplex_stream);
	tcase_add_loop_test(tests, unknown_types_are_skipped_or_refused, 0, (int)VFMI_ARRAY_SIZE(strangers));
	tcase_add_test(tests, skipped_payloads_are_checked_all_the_same);
	tcase_add_test(tests, an_optional_frame_is_not_first_and_not_after_the_end);
	tcase_add_test(tests, sequence_counts_from_zero);
	tcase_add_test(tests, digest_and_count_are_compared);
	tcase_add_test(tests, a_frame_header_is_not_believed_before_its_sum);
	tcase_add_test(tests, after_the_end);
	tcase_add_loop_test(tests, errors_of_the_channel_reach_the_caller_of_inspect, 0,
			    (int)VFMI_ARRAY_SIZE(read_faults));
	tcase_add_test(tests, a_reader_that_failed_stays_failed);
	tcase_add_test(tests, readers_need_room_and_a_channel);
	tcase_add_loop_test(tests, a_writer_that_failed_stays_failed, 0, 4);
	tcase_add_test(tests, a_writer_refuses_what_no_reader_would_take);
	tcase_add_test(tests, a_reply_is_a_stream_of_its_own);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
