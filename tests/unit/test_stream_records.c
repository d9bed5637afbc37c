/* SPDX-License-Identifier: MIT */
/* Records of INFO and DEVICE, verdicts and texts: both ways, every boundary, whatever a peer may send. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream-format.h"
#include "wire.h"
#include "suite.h"

static uint8_t buf[1024];

static void fill(char *text, size_t room, char c)
{
	memset(text, c, room - 1);
	text[room - 1] = '\0';
}

/* All fields, each text as long as it can be. */
static struct vfm_identity whole_identity(void)
{
	struct vfm_identity identity = {
		.size = sizeof(identity),
		.flags = VFM_IDENTITY_PCI | VFM_IDENTITY_SUBSYSTEM | VFM_IDENTITY_REVISION | VFM_IDENTITY_MIGRATION |
			 VFM_IDENTITY_SIMULATED,
		.pci_vendor = 0x0102,
		.pci_device = 0x0304,
		.pci_subvendor = 0x0506,
		.pci_subdevice = 0x0708,
		.pci_class = 0x00112233,
		.pci_revision = 0x44556677,
		.migration_flags = 7,
	};

	fill(identity.name, sizeof(identity.name), 'n');
	fill(identity.driver, sizeof(identity.driver), ' ');
	fill(identity.mdev_type, sizeof(identity.mdev_type), '~');
	fill(identity.firmware, sizeof(identity.firmware), 'f');
	fill(identity.kernel, sizeof(identity.kernel), 'k');
	return identity;
}

static struct vfm_stream_summary whole_info(void)
{
	struct vfm_stream_summary info = { .size = sizeof(info),
					   .created_s = UINT64_MAX,
					   .devices = VFM_STREAM_MAX_DEVICES };

	fill(info.producer, sizeof(info.producer), 'p');
	fill(info.kernel, sizeof(info.kernel), 'k');
	return info;
}

START_TEST(identities_come_back)
{
	const struct vfm_identity whole = whole_identity();
	const struct vfm_identity bare = { .size = sizeof(bare) };
	const struct vfm_identity *const both[] = { &whole, &bare };
	static const uint64_t sizes[] = { 0, 1, INT64_MAX, VFM_SIZE_UNKNOWN - 1, VFM_SIZE_UNKNOWN };

	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; k < VFMI_ARRAY_SIZE(sizes); k++) {
			struct vfm_identity back;
			uint64_t size = 77;
			const int length = vfmi_records_put_identity(buf, sizeof(buf), both[i], sizes[k]);

			ck_assert_int_ge(length, 0);
			memset(&back, 0xff, sizeof(back));
			ck_assert_int_eq(vfmi_records_get_identity(buf, (size_t)length, &back, &size), 0);
			ck_assert_mem_eq(&back, both[i], sizeof(back));
			ck_assert_uint_eq(size, sizes[k]);
			ck_assert_int_eq(vfmi_records_get_identity(buf, (size_t)length, &back, NULL), 0);
		}
	}
}
END_TEST

/* INFO leaves alone what the stream header says. */
START_TEST(info_comes_back)
{
	const struct vfm_stream_summary info = whole_info();
	struct vfm_stream_summary back = { .size = sizeof(back), .major = 3, .stream_id = 9, .flags = 1 };
	const int length = vfmi_records_put_info(buf, sizeof(buf), &info);

	ck_assert_int_gt(length, 0);
	ck_assert_int_eq(vfmi_records_get_info(buf, (size_t)length, &back), 0);
	ck_assert_str_eq(back.producer, info.producer);
	ck_assert_str_eq(back.kernel, info.kernel);
	ck_assert_uint_eq(back.created_s, UINT64_MAX);
	ck_assert_uint_eq(back.devices, VFM_STREAM_MAX_DEVICES);
	ck_assert_uint_eq(back.major, 3);
	ck_assert_uint_eq(back.stream_id, 9);
	ck_assert_uint_eq(back.flags, 1);
}
END_TEST

START_TEST(encoders_stay_in_their_room)
{
	const struct vfm_identity identity = whole_identity();
	const struct vfm_stream_summary info = whole_info();
	const size_t identity_length = (size_t)vfmi_records_put_identity(buf, sizeof(buf), &identity, 1);
	const size_t info_length = (size_t)vfmi_records_put_info(buf, sizeof(buf), &info);

	for (size_t room = 0; room <= identity_length; room++) {
		memset(buf, 0xa5, sizeof(buf));
		ck_assert_int_eq(vfmi_records_put_identity(buf, room, &identity, 1),
				 room < identity_length ? -ENOSPC : (int)identity_length);
		ck_assert_uint_eq(buf[room], 0xa5);
	}
	for (size_t room = 0; room <= info_length; room++)
		ck_assert_int_eq(vfmi_records_put_info(buf, room, &info),
				 room < info_length ? -ENOSPC : (int)info_length);
}
END_TEST

START_TEST(texts_without_an_end_are_cut)
{
	struct vfm_identity identity = { .size = sizeof(identity) }, back;

	memset(identity.name, 'x', sizeof(identity.name));
	const int length = vfmi_records_put_identity(buf, sizeof(buf), &identity, VFM_SIZE_UNKNOWN);

	ck_assert_int_eq(length, 4 + 63);
	ck_assert_int_eq(vfmi_records_get_identity(buf, (size_t)length, &back, NULL), 0);
	ck_assert_uint_eq(strlen(back.name), 63);
}
END_TEST

START_TEST(our_own_texts_are_made_printable)
{
	struct vfm_identity identity = { .size = sizeof(identity), .name = "a\x1b[2J\xc3\xa4\x7f\tz" }, back;
	const int length = vfmi_records_put_identity(buf, sizeof(buf), &identity, VFM_SIZE_UNKNOWN);

	ck_assert_int_eq(vfmi_records_get_identity(buf, (size_t)length, &back, NULL), 0);
	ck_assert_str_eq(back.name, "a?[2J????z");
}
END_TEST

static size_t put_record(size_t at, uint16_t id, const void *value, size_t length)
{
	vfmi_put_le16(buf + at, id);
	vfmi_put_le16(buf + at + 2, (uint16_t)length);
	if (length)
		memcpy(buf + at + 4, value, length);
	return at + 4 + length;
}

static int get_identity(size_t length)
{
	struct vfm_identity identity = { .size = 12345 };
	const int r = vfmi_records_get_identity(buf, length, &identity, NULL);

	ck_assert_uint_eq(identity.size, r < 0 ? 12345 : sizeof(identity));
	return r;
}

START_TEST(lengths_of_texts)
{
	static const struct {
		uint16_t id;
		size_t longest;
	} texts[] = { { VFMI_RECORD_NAME, 63 },
		      { VFMI_RECORD_DRIVER, 31 },
		      { VFMI_RECORD_MDEV_TYPE, 47 },
		      { VFMI_RECORD_FIRMWARE, 47 },
		      { VFMI_RECORD_KERNEL, 63 } };
	char text[128];

	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(texts); i++) {
		for (size_t length = 0; length < sizeof(text); length++) {
			const bool fits = length >= 1 && length <= texts[i].longest;

			ck_assert_int_eq(get_identity(put_record(0, texts[i].id, text, length)), fits ? 0 : -EBADMSG);
		}
	}
}
END_TEST

/* No byte that a terminal could take for anything but a letter, at either end or in the middle. */
START_TEST(bytes_of_texts)
{
	for (unsigned int byte = 0; byte < 256; byte++) {
		for (size_t at = 0; at < 3; at++) {
			char text[3] = { 'a', 'b', 'c' };

			text[at] = (char)byte;
			ck_assert_int_eq(get_identity(put_record(0, VFMI_RECORD_NAME, text, 3)),
					 byte >= 0x20 && byte < 0x7f ? 0 : -EBADMSG);
		}
	}
}
END_TEST

START_TEST(lengths_of_numbers)
{
	static const struct {
		uint16_t id;
		size_t length;
	} numbers[] = { { VFMI_RECORD_PCI_ID, 4 },    { VFMI_RECORD_SUBSYSTEM, 4 }, { VFMI_RECORD_REVISION, 8 },
			{ VFMI_RECORD_MIGRATION, 4 }, { VFMI_RECORD_SIMULATED, 0 }, { VFMI_RECORD_DATA_SIZE, 8 } };
	static const uint8_t zeros[16];

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(numbers); i++) {
		for (size_t length = 0; length <= sizeof(zeros); length++)
			ck_assert_int_eq(get_identity(put_record(0, numbers[i].id, zeros, length)),
					 length == numbers[i].length ? 0 : -EBADMSG);
	}
}
END_TEST

START_TEST(doubled_records)
{
	size_t at = put_record(0, VFMI_RECORD_PCI_ID, "abcd", 4);

	at = put_record(at, VFMI_RECORD_NAME, "x", 1);
	ck_assert_int_eq(get_identity(at), 0);
	ck_assert_int_eq(get_identity(put_record(at, VFMI_RECORD_NAME, "x", 1)), -EBADMSG);
	ck_assert_int_eq(get_identity(put_record(at, VFMI_RECORD_PCI_ID, "abcd", 4)), -EBADMSG);
}
END_TEST

START_TEST(unknown_records)
{
	static const uint16_t mandatory[] = { 0, 1, 3, 4, 5, 15, 25, 0x7fff };
	static const uint16_t optional[] = { 0x8000, 0x8001, 0x8010, 0xffff };
	const size_t at = put_record(0, VFMI_RECORD_NAME, "x", 1);

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(mandatory); i++)
		ck_assert_int_eq(get_identity(put_record(at, mandatory[i], "?", 1)), -EPROTONOSUPPORT);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(optional); i++) {
		const size_t end = put_record(at, optional[i], "\0\1\2", 3);

		ck_assert_int_eq(get_identity(end), 0);
		ck_assert_int_eq(get_identity(put_record(end, optional[i], "", 0)), 0);
		ck_assert_int_eq(get_identity(end - 1), -EBADMSG);
	}
}
END_TEST

/* A record cut anywhere is refused; between two records there is nothing to see. */
START_TEST(every_prefix_of_records)
{
	const struct vfm_identity identity = whole_identity();
	const size_t whole = (size_t)vfmi_records_put_identity(buf, sizeof(buf), &identity, 5);
	size_t boundary = 0;

	for (size_t length = 0; length <= whole; length++) {
		uint8_t *exact = malloc(length ? length : 1); /* so that a sanitizer sees a byte too far */
		struct vfm_identity back;

		ck_assert_ptr_nonnull(exact);
		memcpy(exact, buf, length);
		ck_assert_int_eq(vfmi_records_get_identity(exact, length, &back, NULL),
				 length == boundary ? 0 : -EBADMSG);
		if (length == boundary && length < whole)
			boundary += 4u + vfmi_get_le16(buf + boundary + 2);
		free(exact);
	}
}
END_TEST

START_TEST(lengths_of_records_that_lie)
{
	static const uint16_t claims[] = { 2, 3, 0x7fff, 0x8000, 0xfffe, 0xffff };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(claims); i++) {
		const size_t end = put_record(0, VFMI_RECORD_NAME, "x", 1);

		vfmi_put_le16(buf + 2, claims[i]);
		ck_assert_int_eq(get_identity(end), -EBADMSG);
	}
}
END_TEST

START_TEST(info_needs_its_numbers)
{
	struct vfm_stream_summary info = { .devices = 77 };
	static const uint8_t one[8] = { 1 };

	ck_assert_int_eq(vfmi_records_get_info(buf, put_record(0, VFMI_RECORD_DEVICES, one, 4), &info), -EBADMSG);
	ck_assert_int_eq(vfmi_records_get_info(buf, put_record(0, VFMI_RECORD_CREATED, one, 8), &info), -EBADMSG);
	ck_assert_int_eq(vfmi_records_get_info(buf, 0, &info), -EBADMSG);
	ck_assert_uint_eq(info.devices, 77);

	const size_t at = put_record(0, VFMI_RECORD_CREATED, one, 8);

	ck_assert_int_eq(vfmi_records_get_info(buf, put_record(at, VFMI_RECORD_DEVICES, one, 4), &info), 0);
	ck_assert_uint_eq(info.devices, 1);
	ck_assert_int_eq(vfmi_records_get_info(buf, put_record(at, VFMI_RECORD_DRIVER, "x", 1), &info),
			 -EPROTONOSUPPORT);
}
END_TEST

START_TEST(info_counts_its_devices)
{
	static const uint32_t counts[] = { 0, 1, VFM_STREAM_MAX_DEVICES, VFM_STREAM_MAX_DEVICES + 1, UINT32_MAX };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(counts); i++) {
		const struct vfm_stream_summary info = { .devices = counts[i] };
		struct vfm_stream_summary back = { 0 };
		const int length = vfmi_records_put_info(buf, sizeof(buf), &info);

		ck_assert_int_eq(vfmi_records_get_info(buf, (size_t)length, &back),
				 counts[i] - 1 < VFM_STREAM_MAX_DEVICES ? 0 : -EBADMSG);
	}
}
END_TEST

START_TEST(verdicts)
{
	static const struct {
		uint32_t code;
		int expected;
	} codes[] = { { 0, EPROTO },	     { 1, 1 },	       { ENODEV, ENODEV },
		      { 4095, 4095 },	     { 4096, EPROTO }, { 0x80000000, EPROTO },
		      { UINT32_MAX, EPROTO } };
	uint8_t verdict[4 + VFMI_MAX_TEXT];
	char text[16];

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(codes); i++) {
		const int length = vfmi_records_put_verdict(verdict, (int)codes[i].code, "no\ndevice");

		ck_assert_int_eq(vfmi_records_get_verdict(verdict, (size_t)length, text, sizeof(text)),
				 codes[i].expected);
		ck_assert_str_eq(text, "no?device");
	}
	ck_assert_int_eq(vfmi_records_get_verdict(verdict, 3, text, sizeof(text)), EPROTO);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(texts_of_verdicts_are_cut)
{
	char longest[VFMI_MAX_TEXT + 2];
	uint8_t verdict[4 + VFMI_MAX_TEXT];
	char text[5];

	fill(longest, sizeof(longest), 'x');
	ck_assert_int_eq(vfmi_records_put_verdict(verdict, 1, longest), 4 + VFMI_MAX_TEXT);
	ck_assert_int_eq(vfmi_records_get_verdict(verdict, sizeof(verdict), text, sizeof(text)), 1);
	ck_assert_str_eq(text, "xxxx");

	vfmi_records_get_text((const uint8_t *)"abc", 3, text, 1);
	ck_assert_str_eq(text, "");
	vfmi_records_get_text((const uint8_t *)"abc", 3, text, 4);
	ck_assert_str_eq(text, "abc");
	vfmi_records_get_text((const uint8_t *)"abc", 3, NULL, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stream records");
	TCase *tests = tcase_create("stream records");

	tcase_add_test(tests, identities_come_back);
	tcase_add_test(tests, info_comes_back);
	tcase_add_test(tests, encoders_stay_in_their_room);
	tcase_add_test(tests, texts_without_an_end_are_cut);
	tcase_add_test(tests, our_own_texts_are_made_printable);
	tcase_add_test(tests, lengths_of_texts);
	tcase_add_test(tests, bytes_of_texts);
	tcase_add_test(tests, lengths_of_numbers);
	tcase_add_test(tests, doubled_records);
	tcase_add_test(tests, unknown_records);
	tcase_add_test(tests, every_prefix_of_records);
	tcase_add_test(tests, lengths_of_records_that_lie);
	tcase_add_test(tests, info_needs_its_numbers);
	tcase_add_test(tests, info_counts_its_devices);
	tcase_add_test(tests, verdicts);
	tcase_add_test(tests, texts_of_verdicts_are_cut);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
