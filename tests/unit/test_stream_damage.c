/* SPDX-License-Identifier: MIT */
/* Every small damage to a small stream is seen: prefixes, bytes, frames dropped, doubled, swapped, mixed. */
#include "stream_fixture.h"
#include "suite.h"

static struct memory sample, other;
static size_t starts[SAMPLE_FRAMES + 2];

static void setup(void)
{
	sample_write(&sample, 0x0123456789abcdef);
	sample_write(&other, 0xfedcba9876543210);
	ck_assert_uint_eq(frame_starts(&sample, starts, VFMI_ARRAY_SIZE(starts)), SAMPLE_FRAMES);
}

static void teardown(void)
{
	memory_free(&sample);
	memory_free(&other);
}

static void assert_damaged(struct memory *memory, const char *what, size_t a, size_t b)
{
	const int r = inspect_memory(memory);

	ck_assert_msg(r == -EBADMSG || r == -EPROTONOSUPPORT, "%s %zu %zu: %d", what, a, b, r);
}

static void append_frame(struct memory *to, const struct memory *from, size_t frame)
{
	memory_append(to, from->bytes + starts[frame], starts[frame + 1] - starts[frame]);
}

START_TEST(the_sample_is_sound_and_small)
{
	ck_assert_uint_le(sample.length, 2048);
	ck_assert_int_eq(inspect_memory(&sample), 0);
	ck_assert_int_eq(inspect_memory(&other), 0);
}
END_TEST

START_TEST(every_prefix)
{
	const size_t whole = sample.length;

	for (sample.length = 0; sample.length < whole; sample.length++)
		assert_damaged(&sample, "prefix", sample.length, 0);
}
END_TEST

/* Also the smallest thing that can follow: any one byte. */
START_TEST(every_byte_after_the_end)
{
	for (unsigned int value = 0; value < 256; value++) {
		const uint8_t byte = (uint8_t)value;

		memory_append(&sample, &byte, 1);
		assert_damaged(&sample, "trailing byte", value, 0);
		sample.length--;
	}
}
END_TEST

/* One of @_i of four quarters, so that each stays far from its time limit under the sanitizers. */
START_TEST(every_byte_with_every_value)
{
	const size_t first = sample.length * (size_t)_i / 4;
	const size_t last = sample.length * ((size_t)_i + 1) / 4;

	for (size_t at = first; at < last; at++) {
		const uint8_t right = sample.bytes[at];

		for (unsigned int wrong = 1; wrong < 256; wrong++) {
			sample.bytes[at] = (uint8_t)(right ^ wrong);
			assert_damaged(&sample, "byte", at, wrong);
		}
		sample.bytes[at] = right;
	}
	ck_assert_int_eq(inspect_memory(&sample), 0);
}
END_TEST

START_TEST(every_frame_dropped_or_doubled)
{
	for (size_t copies = 0; copies <= 2; copies += 2) {
		for (size_t hit = 0; hit < SAMPLE_FRAMES; hit++) {
			struct memory damaged = { 0 };

			memory_append(&damaged, sample.bytes, VFMI_STREAM_HEADER);
			for (size_t i = 0; i < SAMPLE_FRAMES; i++) {
				for (size_t n = 0; n < (i == hit ? copies : 1); n++)
					append_frame(&damaged, &sample, i);
			}
			assert_damaged(&damaged, copies ? "doubled" : "dropped", hit, 0);
			memory_free(&damaged);
		}
	}
}
END_TEST

START_TEST(every_two_frames_swapped)
{
	for (size_t a = 0; a < SAMPLE_FRAMES; a++) {
		for (size_t b = a + 1; b < SAMPLE_FRAMES; b++) {
			struct memory damaged = { 0 };

			memory_append(&damaged, sample.bytes, VFMI_STREAM_HEADER);
			for (size_t i = 0; i < SAMPLE_FRAMES; i++)
				append_frame(&damaged, &sample, i == a ? b : i == b ? a : i);
			assert_damaged(&damaged, "swapped", a, b);
			memory_free(&damaged);
		}
	}
}
END_TEST

/* Equal but for the id: each frame, the header, and each tail taken from the other stream. */
START_TEST(frames_of_two_streams_mixed)
{
	struct memory damaged = { 0 };

	for (size_t hit = 0; hit < SAMPLE_FRAMES; hit++) {
		damaged.length = 0;
		memory_append(&damaged, sample.bytes, VFMI_STREAM_HEADER);
		for (size_t i = 0; i < SAMPLE_FRAMES; i++)
			append_frame(&damaged, i == hit ? &other : &sample, i);
		assert_damaged(&damaged, "of another stream", hit, 0);

		damaged.length = 0;
		memory_append(&damaged, sample.bytes, starts[hit]);
		memory_append(&damaged, other.bytes + starts[hit], other.length - starts[hit]);
		assert_damaged(&damaged, "tail of another stream", hit, 0);
	}
	memory_free(&damaged);
}
END_TEST

START_TEST(streams_one_after_the_other)
{
	memory_append(&sample, other.bytes, other.length);
	assert_damaged(&sample, "followed by a stream", 0, 0);
}
END_TEST

/* Runs of up to 64 bytes lost, doubled, zeroed: what a broken disk or copy does. */
START_TEST(every_run_of_bytes_lost_or_zeroed)
{
	struct memory damaged = { 0 };

	for (size_t length = 2; length <= 64; length *= 2) {
		for (size_t at = 0; at + length <= sample.length; at++) {
			damaged.length = 0;
			memory_append(&damaged, sample.bytes, at);
			memory_append(&damaged, sample.bytes + at + length, sample.length - at - length);
			assert_damaged(&damaged, "lost", at, length);
		}
	}
	memory_free(&damaged);

	for (size_t at = 0; at + 40 <= sample.length; at += 40) {
		uint8_t kept[40];

		memcpy(kept, sample.bytes + at, sizeof(kept));
		memset(sample.bytes + at, 0, sizeof(kept));
		assert_damaged(&sample, "zeroed", at, sizeof(kept));
		memcpy(sample.bytes + at, kept, sizeof(kept));
	}
}
END_TEST

/*
 * A length is refused by its header alone, or costs one buffer of VFM_STREAM_MAX_CHUNK whatever it says. Lengths around
 * each power of two, for every type the format knows and some that it does not.
 */
static void assert_length_is_bounded(uint32_t type, uint32_t flags, uint32_t device, uint32_t claim)
{
	struct forge forge = { 0 };

	forge_header(&forge, 7, VFM_STREAM_DUPLEX);
	forge_info(&forge, 1);
	forge_claim(&forge, type, flags, device, claim, "", 0);
	assert_damaged(&forge.out, "length", type, claim);
	ck_assert_uint_le(forge.out.largest_read, VFM_STREAM_MAX_CHUNK);
	forge_free(&forge);
}

START_TEST(lengths_that_lie)
{
	for (uint32_t type = 0; type < 70; type++) {
		const struct vfmi_frame_rule *rule = vfmi_frame_rule(type);
		const uint32_t device = rule && rule->device ? 0 : VFMI_NO_DEVICE;

		for (uint32_t bit = 0; bit < 32; bit++) {
			assert_length_is_bounded(type, rule ? 0 : VFMI_FRAME_OPTIONAL, device, (1u << bit) - 1);
			assert_length_is_bounded(type, rule ? 0 : VFMI_FRAME_OPTIONAL, device, 1u << bit);
			assert_length_is_bounded(type, rule ? 0 : VFMI_FRAME_OPTIONAL, device, (1u << bit) + 1);
		}
		assert_length_is_bounded(type, 0, device, UINT32_MAX);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream damage");
	TCase *tests = tcase_create("damage");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, the_sample_is_sound_and_small);
	tcase_add_test(tests, every_prefix);
	tcase_add_test(tests, every_byte_after_the_end);
	tcase_add_loop_test(tests, every_byte_with_every_value, 0, 4);
	tcase_add_test(tests, every_frame_dropped_or_doubled);
	tcase_add_test(tests, every_two_frames_swapped);
	tcase_add_test(tests, frames_of_two_streams_mixed);
	tcase_add_test(tests, streams_one_after_the_other);
	tcase_add_test(tests, every_run_of_bytes_lost_or_zeroed);
	tcase_add_test(tests, lengths_that_lie);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
