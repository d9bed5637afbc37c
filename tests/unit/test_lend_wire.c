/* SPDX-License-Identifier: MIT */
/* Codec of the lending protocol: round trips, limits, and every damaged byte of a message. */
#include <check.h>
#include <stdlib.h>

#include "lend-wire.h"
#include "suite.h"

static struct vfmi_lend_message msg;

START_TEST(test_hello)
{
	const struct vfmi_lend_hello hello = { 1, UINT16_MAX, UINT32_MAX };
	struct vfmi_lend_hello back;

	vfmi_lend_put_hello(&msg, &hello);
	ck_assert_int_eq(vfmi_lend_check(&msg), VFMI_LEND_HELLO);
	vfmi_lend_get_hello(&msg, &back);
	ck_assert_uint_eq(back.oldest, hello.oldest);
	ck_assert_uint_eq(back.newest, hello.newest);
	ck_assert_uint_eq(back.devices, hello.devices);
}
END_TEST

START_TEST(test_plain)
{
	const uint16_t types[] = { VFMI_LEND_NEXT, VFMI_LEND_END, VFMI_LEND_RETURN };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(types); i++) {
		vfmi_lend_put_plain(&msg, types[i]);
		ck_assert_int_eq(vfmi_lend_check(&msg), types[i]);
		ck_assert_uint_eq(msg.length, VFMI_LEND_HEADER);
	}
	/* Types with a payload are no plain ones, and there are no others. */
	for (uint32_t type = 0; type <= UINT16_MAX; type++) {
		vfmi_lend_put_plain(&msg, (uint16_t)type);
		if (type != VFMI_LEND_NEXT && type != VFMI_LEND_END && type != VFMI_LEND_RETURN)
			ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
	}
}
END_TEST

START_TEST(test_refused)
{
	char text[VFMI_LEND_MAX_TEXT + 1];
	char longer[VFMI_LEND_MAX_TEXT + 50];

	vfmi_lend_put_refused(&msg, EBUSY, "lent to\nprocess 7");
	ck_assert_int_eq(vfmi_lend_check(&msg), VFMI_LEND_REFUSED);
	ck_assert_int_eq(vfmi_lend_get_refused(&msg, text), EBUSY);
	ck_assert_str_eq(text, "lent to?process 7");

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	vfmi_lend_put_refused(&msg, 4095, longer);
	ck_assert_int_eq(vfmi_lend_check(&msg), VFMI_LEND_REFUSED);
	ck_assert_int_eq(vfmi_lend_get_refused(&msg, text), 4095);
	ck_assert_uint_eq(strlen(text), VFMI_LEND_MAX_TEXT);

	vfmi_lend_put_refused(&msg, 4096, "");
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
	vfmi_lend_put_refused(&msg, 0, "");
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
	vfmi_lend_put_refused(&msg, -1, "");
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
}
END_TEST

START_TEST(test_device)
{
	static char longest[VFMI_LEND_MAX_PAYLOAD + 2];
	static char back[VFMI_LEND_MAX_PAYLOAD + 1];

	msg.fd_count = 2;
	ck_assert_int_eq(vfmi_lend_put_device(&msg, "fd:0,iommufd=1"), 0);
	ck_assert_int_eq(vfmi_lend_check(&msg), VFMI_LEND_DEVICE);
	vfmi_lend_get_device(&msg, back);
	ck_assert_str_eq(back, "fd:0,iommufd=1");

	memset(longest, 'x', VFMI_LEND_MAX_PAYLOAD);
	ck_assert_int_eq(vfmi_lend_put_device(&msg, longest), 0);
	ck_assert_int_eq(vfmi_lend_check(&msg), VFMI_LEND_DEVICE);
	vfmi_lend_get_device(&msg, back);
	ck_assert_str_eq(back, longest);
	longest[VFMI_LEND_MAX_PAYLOAD] = 'x';
	ck_assert_int_eq(vfmi_lend_put_device(&msg, longest), -ENOSPC);

	ck_assert_int_eq(vfmi_lend_put_device(&msg, "fd:0"), 0);
	msg.bytes[VFMI_LEND_HEADER + 1] = '\0';
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
	/* A device without a descriptor is none. */
	msg.fd_count = 0;
	ck_assert_int_eq(vfmi_lend_put_device(&msg, "fd:0"), 0);
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
}
END_TEST

START_TEST(test_vectors)
{
	struct vfmi_lend_vector pair;

	vfmi_lend_begin_vectors(&msg, VFMI_LEND_VECTORS, UINT32_MAX);
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
	for (uint32_t i = 0; i < VFMI_LEND_MAX_FDS; i++) {
		pair = (struct vfmi_lend_vector){ i, UINT32_MAX - i };
		ck_assert_int_eq(vfmi_lend_add_vector(&msg, &pair, (int)i + 100), 0);
	}
	ck_assert_int_eq(vfmi_lend_add_vector(&msg, &pair, 1), -ENOSPC);
	ck_assert_int_eq(vfmi_lend_check(&msg), VFMI_LEND_VECTORS);
	ck_assert_uint_eq(vfmi_lend_vectors_device(&msg), UINT32_MAX);
	for (uint32_t i = 0; i < VFMI_LEND_MAX_FDS; i++) {
		vfmi_lend_get_vector(&msg, i, &pair);
		ck_assert_uint_eq(pair.index, i);
		ck_assert_uint_eq(pair.vector, UINT32_MAX - i);
		ck_assert_int_eq(msg.fds[i], (int)i + 100);
	}
	/* Descriptors that were lost or added on the way are noticed. */
	msg.fd_count--;
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
}
END_TEST

START_TEST(test_disarmed)
{
	struct vfmi_lend_vector pair = { 1, 0 };
	uint32_t count = 0;

	vfmi_lend_begin_vectors(&msg, VFMI_LEND_DISARMED, 3);
	ck_assert_uint_eq(vfmi_lend_vector_count(&msg), 0);
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
	while (vfmi_lend_add_vector(&msg, &pair, -1) == 0)
		pair.vector = ++count;
	/* Not bound by how many descriptors fit a message. */
	ck_assert_uint_eq(count, (VFMI_LEND_MAX_PAYLOAD - 4) / 8);
	ck_assert_uint_eq(msg.fd_count, 0);
	ck_assert_int_eq(vfmi_lend_check(&msg), VFMI_LEND_DISARMED);
	ck_assert_uint_eq(vfmi_lend_vectors_device(&msg), 3);
	ck_assert_uint_eq(vfmi_lend_vector_count(&msg), count);
	vfmi_lend_get_vector(&msg, count - 1, &pair);
	ck_assert_uint_eq(pair.index, 1);
	ck_assert_uint_eq(pair.vector, count - 1);

	/* Half a pair, and a descriptor where none belongs. */
	vfmi_lend_begin_vectors(&msg, VFMI_LEND_DISARMED, 0);
	ck_assert_int_eq(vfmi_lend_add_vector(&msg, &pair, -1), 0);
	msg.bytes[8] -= 4;
	msg.length -= 4;
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
	vfmi_lend_begin_vectors(&msg, VFMI_LEND_DISARMED, 0);
	ck_assert_int_eq(vfmi_lend_add_vector(&msg, &pair, -1), 0);
	msg.fd_count = msg.bytes[12] = 1;
	ck_assert_int_eq(vfmi_lend_check(&msg), -EPROTO);
}
END_TEST

START_TEST(test_every_length)
{
	vfmi_lend_put_hello(&msg, &(struct vfmi_lend_hello){ 1, 1, 1 });
	for (size_t length = 0; length <= VFMI_LEND_MAX_MESSAGE + 1; length++) {
		bool whole = length == VFMI_LEND_HEADER + 8;

		msg.length = length;
		ck_assert_int_eq(vfmi_lend_check(&msg), whole ? VFMI_LEND_HELLO : -EPROTO);
	}
}
END_TEST

START_TEST(test_every_header_byte)
{
	for (size_t at = 0; at < VFMI_LEND_HEADER; at++) {
		for (unsigned int value = 0; value < 256; value++) {
			vfmi_lend_put_hello(&msg, &(struct vfmi_lend_hello){ 1, 1, 1 });
			if (msg.bytes[at] == value)
				continue;
			msg.bytes[at] = (uint8_t)value;
			ck_assert_msg(vfmi_lend_check(&msg) == -EPROTO, "byte %zu, value %u", at, value);
		}
	}
}
END_TEST

START_TEST(test_noise)
{
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		size_t length = (size_t)random() % 64;

		vfmi_lend_put_plain(&msg, VFMI_LEND_NEXT);
		msg.fd_count = (size_t)random() % 3;
		for (size_t at = (size_t)random() % 17; at < length; at++)
			msg.bytes[at] = (uint8_t)random();
		msg.length = length;
		(void)vfmi_lend_check(&msg);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lend-wire");
	TCase *tcase = tcase_create("lend-wire");

	tcase_add_test(tcase, test_hello);
	tcase_add_test(tcase, test_plain);
	tcase_add_test(tcase, test_refused);
	tcase_add_test(tcase, test_device);
	tcase_add_test(tcase, test_vectors);
	tcase_add_test(tcase, test_disarmed);
	tcase_add_test(tcase, test_every_length);
	tcase_add_test(tcase, test_every_header_byte);
	tcase_add_test(tcase, test_noise);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
