/* SPDX-License-Identifier: MIT */
/* Little-endian fields: byte order, boundaries, no alignment asked for. */
#include <check.h>
#include <stdlib.h>

#include "wire.h"
#include "suite.h"

#define GUARD 0xa5

static const uint64_t values[] = { 0,
				   1,
				   0x7f,
				   0x80,
				   0xff,
				   0x100,
				   0x7fff,
				   0x8000,
				   0xffff,
				   0x10000,
				   0x7fffffff,
				   0x80000000,
				   0xffffffff,
				   0x100000000,
				   0x0123456789abcdef,
				   0xfedcba9876543210,
				   INT64_MAX,
				   (uint64_t)INT64_MAX + 1,
				   UINT64_MAX - 1,
				   UINT64_MAX };

static void check_bytes(const uint8_t *bytes, size_t width, uint64_t value)
{
	for (size_t i = 0; i < width; i++)
		ck_assert_uint_eq(bytes[i], (uint8_t)(value >> (8 * i)));
	ck_assert_uint_eq(bytes[width], GUARD);
	ck_assert_uint_eq(bytes[-1], GUARD);
}

/* @_i: value; every offset a struct could put a field at. */
START_TEST(fields_keep_their_value_and_place)
{
	const uint64_t value = values[_i];
	uint8_t buf[32];

	for (size_t offset = 1; offset <= 8; offset++) {
		memset(buf, GUARD, sizeof(buf));
		vfmi_put_le16(buf + offset, (uint16_t)value);
		check_bytes(buf + offset, 2, value);
		ck_assert_uint_eq(vfmi_get_le16(buf + offset), (uint16_t)value);

		memset(buf, GUARD, sizeof(buf));
		vfmi_put_le32(buf + offset, (uint32_t)value);
		check_bytes(buf + offset, 4, value);
		ck_assert_uint_eq(vfmi_get_le32(buf + offset), (uint32_t)value);

		memset(buf, GUARD, sizeof(buf));
		vfmi_put_le64(buf + offset, value);
		check_bytes(buf + offset, 8, value);
		ck_assert_uint_eq(vfmi_get_le64(buf + offset), value);
	}
}
END_TEST

START_TEST(known_bytes)
{
	static const uint8_t bytes[] = { 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01 };

	ck_assert_uint_eq(vfmi_get_le16(bytes), 0xcdef);
	ck_assert_uint_eq(vfmi_get_le32(bytes), 0x89abcdef);
	ck_assert_uint_eq(vfmi_get_le64(bytes), 0x0123456789abcdef);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tests = tcase_create("wire");

	tcase_add_loop_test(tests, fields_keep_their_value_and_place, 0, (int)(sizeof(values) / sizeof(values[0])));
	tcase_add_test(tests, known_bytes);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
