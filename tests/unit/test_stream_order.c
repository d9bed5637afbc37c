/* SPDX-License-Identifier: MIT */
/* Order of frames: what may follow what, told in a small language of one letter a frame. */
#include "stream_fixture.h"
#include "suite.h"

static uint8_t payload[VFM_STREAM_MAX_CHUNK];

/*
 * I<n> INFO of n devices, V<d> DEVICE, . DEVICES_END, p<d> and s<d> DATA of 10 bytes in pre-copy and stop-copy,
 * e<d> DEVICE_END as counted, x<d> and y<d> with one byte or chunk too many, c<d> CONFIG, b BLOB, E END, A ABORT,
 * G GIVEN_UP, K KEPT; replies: h a r l f t. '!' before the frame that must be refused, after which nothing follows.
 */
static const char *const scripts[] = {
	"I1V0.s0e0E",
	"I1V0.e0E",
	"I1V0.p0p0s0s0e0c0E",
	"I1V0.p0e0E",
	"I1V0.e0bEG",
	"I1V0.e0bEK",
	"I1V0.be0bc0bE",
	"I2V0V1.p0p1s0p1s1e1s0c1e0c0E",
	"I2V0V1.s1e1c1s0e0E",
	"I1A",
	"I1V0A",
	"I1V0.p0A",
	"I1V0.e0bA",
	/* the beginning */
	"!V0",
	"!.",
	"!p0",
	"!E",
	"!A",
	"!G",
	"!b",
	"!h",
	"I1!I1",
	"I1V0!I1",
	"I1V0.!I1",
	"!I0",
	"I1!E",
	"I1!p0",
	"I1!b",
	/* devices */
	"I1!V1",
	"I2V0!V0",
	"I2V0!V2",
	"I2!V1",
	"I1V0!V1",
	"I1!.",
	"I2V0!.",
	"I1V0.!V0",
	"I1V0.!.",
	"I1V0!s0",
	/* state */
	"I1V0.!p1",
	"I1V0.!s1",
	"I1V0.!e1",
	"I1V0.!c1",
	"I1V0.s0!p0",
	"I1V0.p0s0s0!p0",
	"I1V0.e0!s0",
	"I1V0.e0!p0",
	"I1V0.s0e0c0!s0",
	"I1V0.s0e0!e0",
	"I1V0.s0!x0",
	"I1V0.s0!y0",
	"I1V0.!x0",
	"I1V0.!y0",
	"I2V0V1.s0s1e0!p0",
	/* configuration */
	"I1V0.!c0",
	"I1V0.s0!c0",
	"I1V0.s0e0c0!c0",
	"I1V0.s0e0c0!e0",
	/* the end */
	"I1V0.!E",
	"I1V0.s0!E",
	"I2V0V1.s0e0!E",
	"I2V0V1.s0e0s1!E",
	"I1V0.e0!G",
	"I1V0.e0E!E",
	"I1V0.e0E!b",
	"I1V0.e0E!c0",
	"I1V0.e0E!s0",
	"I1V0.e0E!A",
	"I1V0.e0E!I1",
	"I1V0.e0EG!G",
	"I1V0.e0EG!E",
	"I1V0.e0EG!K",
	"I1V0.e0EK!G",
	"I1V0.e0!K",
	"!K",
	"I1!K",
	"I1A!A",
	"I1A!V0",
	"I1V0.e0A!E",
	"I1V0.e0E!t",
	"I1V0.!a",
};

static const char *const replies[] = {
	"hr",	"haf",	"halt",	 "hal",	  "ha",	   "!a",    "!r",    "!l",     "!f",	 "!t",	  "!I1",
	"!E",	"!G",	"!A",	 "h!h",	  "h!l",   "h!f",   "h!t",   "hr!a",   "hr!r",	 "ha!a",  "ha!r",
	"ha!h", "ha!t", "haf!l", "haf!f", "haf!t", "hal!f", "hal!l", "halt!t", "halt!f", "hal!G",
};

struct order_test {
	struct vfmi_stream_order order;
	uint8_t payload[64];
};

static uint32_t type_of(char letter)
{
	static const char letters[] = "IV.psexycbEAGKharlft";
	static const uint32_t types[] = { VFMI_FRAME_INFO,	 VFMI_FRAME_DEVICE,	VFMI_FRAME_DEVICES_END,
					  VFMI_FRAME_DATA,	 VFMI_FRAME_DATA,	VFMI_FRAME_DEVICE_END,
					  VFMI_FRAME_DEVICE_END, VFMI_FRAME_DEVICE_END, VFMI_FRAME_CONFIG,
					  VFMI_FRAME_BLOB,	 VFMI_FRAME_END,	VFMI_FRAME_ABORT,
					  VFMI_FRAME_GIVEN_UP,	 VFMI_FRAME_KEPT,	VFMI_FRAME_HELLO,
					  VFMI_FRAME_ACCEPT,	 VFMI_FRAME_REFUSE,	VFMI_FRAME_LOADED,
					  VFMI_FRAME_FAILED,	 VFMI_FRAME_STARTED };
	const char *at = strchr(letters, letter);

	ck_assert_ptr_nonnull(at);
	return types[at - letters];
}

static int feed(struct order_test *test, char letter, uint32_t number)
{
	struct vfmi_frame frame = { .type = type_of(letter), .device = VFMI_NO_DEVICE, .length = 10 };
	const struct vfm_stream_summary info = { .size = sizeof(info), .devices = number };

	if (vfmi_frame_rule(frame.type)->device)
		frame.device = number;
	if (letter == 's')
		frame.flags = VFMI_FRAME_STOP_COPY;
	if (letter == 'I')
		frame.length = (uint32_t)vfmi_records_put_info(test->payload, sizeof(test->payload), &info);
	if (frame.type == VFMI_FRAME_DEVICE_END && number < VFM_STREAM_MAX_DEVICES) {
		const uint64_t *bytes = test->order.bytes[number];

		vfmi_put_le64(test->payload, bytes[0] + bytes[1] + (letter == 'x'));
		vfmi_put_le64(test->payload + 8, test->order.chunks[number] + (letter == 'y'));
	}

	return vfmi_stream_order_next(&test->order, &frame, test->payload);
}

static void run_script(struct order_test *test, const char *script)
{
	for (const char *at = script; *at; at++) {
		const bool bad = *at == '!';
		const struct vfmi_stream_order before = test->order;

		at += bad;
		const char letter = *at;
		const uint32_t number = at[1] >= '0' && at[1] <= '9' ? (uint32_t)(*++at - '0') : 0;
		const int r = feed(test, letter, number);

		ck_assert_msg(r == (bad ? -EBADMSG : 0), "%s at %c%u: %d", script, letter, number, r);
		if (bad) {
			ck_assert_ptr_nonnull(test->order.why);
			test->order.why = before.why;
			ck_assert_mem_eq(&test->order, &before, sizeof(before));
			ck_assert_msg(!at[1], "%s goes on after a refusal", script);
		}
	}
}

START_TEST(order_of_streams)
{
	static struct order_test test;

	run_script(&test, scripts[_i]);
}
END_TEST

START_TEST(order_of_replies)
{
	static struct order_test test = { .order.step = VFMI_ORDER_REPLY };

	run_script(&test, replies[_i]);
}
END_TEST

START_TEST(as_many_devices_as_there_may_be)
{
	static const uint32_t counts[] = { 0, 1, VFM_STREAM_MAX_DEVICES, VFM_STREAM_MAX_DEVICES + 1, UINT32_MAX };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(counts); i++) {
		struct order_test test = { 0 };
		const bool good = counts[i] - 1 < VFM_STREAM_MAX_DEVICES;

		ck_assert_int_eq(feed(&test, 'I', counts[i]), good ? 0 : -EBADMSG);
		for (uint32_t device = 0; good && device < counts[i]; device++)
			ck_assert_int_eq(feed(&test, 'V', device), 0);
		ck_assert_int_eq(feed(&test, '.', 0), good ? 0 : -EBADMSG);
	}
}
END_TEST

START_TEST(a_blob_has_its_limit)
{
	struct order_test test = { 0 };
	struct vfmi_frame frame = { .type = VFMI_FRAME_BLOB, .device = VFMI_NO_DEVICE, .length = VFMI_MAX_BLOB_CHUNK };

	run_script(&test, "I1V0.");
	for (uint32_t i = 0; i < VFM_STREAM_MAX_BLOB / VFMI_MAX_BLOB_CHUNK; i++)
		ck_assert_int_eq(vfmi_stream_order_next(&test.order, &frame, payload), 0);
	ck_assert_uint_eq(test.order.blob_bytes, VFM_STREAM_MAX_BLOB);
	frame.length = 1;
	ck_assert_int_eq(vfmi_stream_order_next(&test.order, &frame, payload), -EBADMSG);
	run_script(&test, "e0E");
}
END_TEST

START_TEST(unknown_types_have_no_place_in_the_order)
{
	struct vfmi_stream_order order = { 0 };
	const struct vfmi_frame frame = { .type = 99, .flags = VFMI_FRAME_OPTIONAL };

	ck_assert_int_eq(vfmi_stream_order_next(&order, &frame, payload), -EBADMSG);
	order.step = VFMI_ORDER_REPLY_LOADED + 1;
	ck_assert_int_eq(vfmi_stream_order_next(&order, &frame, payload), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream order");
	TCase *tests = tcase_create("stream order");

	tcase_add_loop_test(tests, order_of_streams, 0, (int)VFMI_ARRAY_SIZE(scripts));
	tcase_add_loop_test(tests, order_of_replies, 0, (int)VFMI_ARRAY_SIZE(replies));
	tcase_add_test(tests, as_many_devices_as_there_may_be);
	tcase_add_test(tests, a_blob_has_its_limit);
	tcase_add_test(tests, unknown_types_have_no_place_in_the_order);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
