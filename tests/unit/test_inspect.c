/* SPDX-License-Identifier: MIT */
/* Inspection: what it tells of a sound stream and of a damaged one, and which streams it refuses. */
#include <stdio.h>

#include "stream_fixture.h"
#include "suite.h"

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

static void check_pci_config(const struct vfm_config_info *config)
{
	ck_assert_uint_eq(config->space_bytes, 72);
	ck_assert_uint_eq(config->command, 0x0406);
	ck_assert_uint_eq(config->power_state, 3);
	ck_assert_uint_eq(config->capability_count, 1);
	ck_assert_uint_eq(config->capabilities[0], 1);
	ck_assert_uint_eq(config->irq_count, 1);
	ck_assert_uint_eq(config->irqs[0].index, VFM_IRQ_MSI);
	ck_assert_uint_eq(config->irqs[0].armed, 2);
	ck_assert_uint_eq(config->irqs[0].highest, 2);
}

static void check_plain_config(const struct vfm_config_info *config)
{
	ck_assert_uint_eq(config->space_bytes, 0);
	ck_assert_uint_eq(config->command, 0);
	ck_assert_uint_eq(config->capability_count, 0);
	ck_assert_uint_eq(config->irq_count, 1);
	ck_assert_uint_eq(config->irqs[0].index, 40);
	ck_assert_uint_eq(config->irqs[0].armed, 1);
	ck_assert_uint_eq(config->irqs[0].highest, 0);
}

static int check_device(void *user, const struct vfm_stream_device *device)
{
	static const uint64_t bytes[2][4] = { { 19, 25, 4, 108 }, { 9, 17, 2, 36 } };
	const struct vfm_identity expected = sample_identity(device->index);
	uint32_t *next = user;

	ck_assert_uint_eq(device->index, (*next)++);
	ck_assert_uint_eq(device->size, sizeof(*device));
	ck_assert_mem_eq(device->identity, &expected, sizeof(expected));
	ck_assert_uint_eq(device->precopy_bytes, bytes[device->index][0]);
	ck_assert_uint_eq(device->stop_copy_bytes, bytes[device->index][1]);
	ck_assert_uint_eq(device->chunks, bytes[device->index][2]);
	ck_assert_uint_eq(device->config_bytes, bytes[device->index][3]);
	ck_assert_ptr_nonnull(device->config);
	ck_assert_uint_eq(device->config->size, sizeof(*device->config));
	(device->index ? check_plain_config : check_pci_config)(device->config);
	return 0;
}

START_TEST(inspect_tells_what_a_stream_holds)
{
	struct vfm_stream_summary summary = { .size = sizeof(summary) };
	uint32_t devices = 0;

	sample_write(&memory, 5);
	const struct vfm_io io = memory_io(&memory);

	ck_assert_int_eq(vfm_stream_inspect(NULL, &io, check_device, &devices, &summary, NULL), 0);
	ck_assert_uint_eq(devices, 2);
	ck_assert_uint_eq(summary.devices, 2);
	ck_assert_uint_eq(summary.major, 1);
	ck_assert_uint_eq(summary.minor, 0);
	ck_assert_uint_eq(summary.flags, 0);
	ck_assert_uint_eq(summary.stream_id, 5);
	ck_assert_uint_eq(summary.created_s, 1700000000);
	ck_assert_uint_eq(summary.frames, SAMPLE_FRAMES);
	ck_assert_uint_eq(summary.skipped_frames, 0);
	ck_assert_uint_eq(summary.total_bytes, memory.length);
	ck_assert_uint_eq(summary.blob_bytes, 5);
	ck_assert_str_eq(summary.producer, "test");
	ck_assert_str_eq(summary.kernel, "6.12.0");
	ck_assert_mem_eq(summary.digest, memory.bytes + memory.length - 24, VFMI_DIGEST);
}
END_TEST

static int no_config(void *user, const struct vfm_stream_device *device)
{
	(void)user;
	ck_assert_ptr_null(device->config);
	ck_assert_uint_eq(device->config_bytes, 0);
	return 0;
}

START_TEST(a_device_without_configuration)
{
	forge_body(&forge, 0);
	forge_end(&forge);
	const struct vfm_io io = memory_io(&forge.out);

	ck_assert_int_eq(vfm_stream_inspect(NULL, &io, no_config, NULL, NULL, NULL), 0);
}
END_TEST

/* Byte @at of the record is @value: whole and checksummed, and yet not a record, or one of another reader. */
static const struct {
	size_t at;
	uint8_t value;
	int result;
} odd_records[] = {
	{ 0, 'X', -EBADMSG },		/* magic */
	{ 4, 2, -EPROTONOSUPPORT },	/* version */
	{ 5, 1, -EPROTONOSUPPORT },	/* version */
	{ 6, 28, -EBADMSG },		/* header length */
	{ 8, 3, -EPROTONOSUPPORT },	/* flags */
	{ 11, 0x80, -EPROTONOSUPPORT }, /* flags */
	{ 20, 1, -EBADMSG },		/* length */
	{ 24 + 0x34, 0x3c, -EBADMSG },	/* a list that begins in the header */
	{ 24 + 0x41, 0x40, -EBADMSG },	/* one that runs in a circle */
	{ 24 + 72 + 8, 1, -EBADMSG },	/* last vector not armed */
	{ 24 + 0x04, 0xff, 0 },		/* what the guest left there */
};

START_TEST(odd_configuration_records)
{
	uint8_t record[SAMPLE_CONFIG_ROOM];
	const size_t length = sample_config(0, record);

	record[odd_records[_i].at] = odd_records[_i].value;
	forge_body(&forge, 0);
	forge_frame(&forge, VFMI_FRAME_CONFIG, 0, 0, record, length);
	forge_end(&forge);
	ck_assert_int_eq(inspect_memory(&forge.out), odd_records[_i].result);
}
END_TEST

static int stop_walk(void *user, const struct vfm_stream_device *device)
{
	(void)device;
	(*(int *)user)++;
	return -ECANCELED;
}

START_TEST(inspect_gives_back_what_the_callback_says)
{
	int calls = 0;

	sample_write(&memory, 5);
	struct vfm_io io = memory_io(&memory);

	ck_assert_int_eq(vfm_stream_inspect(NULL, &io, stop_walk, &calls, NULL, NULL), -ECANCELED);
	ck_assert_int_eq(calls, 1);

	memory.bytes[memory.length - 1] ^= 1;
	io = memory_io(&memory);
	ck_assert_int_eq(vfm_stream_inspect(NULL, &io, stop_walk, &calls, NULL, NULL), -EBADMSG);
	ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(inspect_tells_what_it_can_of_a_damaged_stream)
{
	struct vfm_stream_summary summary = { .size = sizeof(summary) };
	struct vfm_error error = { .size = sizeof(error) };

	sample_write(&memory, 5);
	memory.length -= 1;
	const struct vfm_io io = memory_io(&memory);

	ck_assert_int_eq(vfm_stream_inspect(NULL, &io, NULL, NULL, &summary, &error), -EBADMSG);
	ck_assert_uint_eq(summary.stream_id, 5);
	ck_assert_uint_eq(summary.devices, 2);
	ck_assert_uint_eq(summary.frames, SAMPLE_FRAMES - 1);
	ck_assert_int_eq(error.code, EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.message, "frame 16 (END) at byte"));
}
END_TEST

static int64_t failing_read(void *user, void *buf, size_t length)
{
	const int *code = user;

	(void)buf, (void)length;
	return -*code;
}

/* What the channel says is not said of the stream; a caller who cancels is nobody's trouble. */
START_TEST(inspect_tells_the_channel_from_the_stream)
{
	int codes[] = { ECONNRESET, ETIMEDOUT, EIO, ECANCELED, EBADMSG };
	const struct vfm_io io = { .size = sizeof(io), .user = &codes[_i], .read = failing_read };
	struct vfm_error error = { .size = sizeof(error) };

	ck_assert_int_eq(vfm_stream_inspect(NULL, &io, NULL, NULL, NULL, &error), -codes[_i]);
	ck_assert_int_eq(error.code, codes[_i]);
	ck_assert_uint_eq(error.flags, _i < 3 ? VFM_ERROR_PEER : 0);
}
END_TEST

START_TEST(an_aborted_stream_is_damaged_and_says_why)
{
	struct vfm_error error = { .size = sizeof(error) };

	forge_body(&forge, 0);
	forge_frame(&forge, VFMI_FRAME_ABORT, 0, VFMI_NO_DEVICE, "no \x1b[31mdisk", 12);
	const struct vfm_io io = memory_io(&forge.out);

	ck_assert_int_eq(vfm_stream_inspect(NULL, &io, NULL, NULL, NULL, &error), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.message, "no ?[31mdisk"));
}
END_TEST

/* A device that says it is simulated in a stream that does not, and the other way round. */
START_TEST(simulated_streams_hold_simulated_devices)
{
	for (unsigned int both = 0; both < 4; both++) {
		const bool device = both & 1, stream = both & 2;

		forge_header(&forge, 1, stream ? VFM_STREAM_SIMULATED : 0);
		forge_info(&forge, 1);
		forge_frame(&forge, VFMI_FRAME_DEVICE, 0, 0, "\x18\x00\x00\x00", device ? 4 : 0);
		forge_devices_end(&forge);
		forge_device_end(&forge, 0, 0, 0);
		forge_end(&forge);
		ck_assert_int_eq(inspect_memory(&forge.out), device == stream ? 0 : -EBADMSG);
		forge_free(&forge);
	}
}
END_TEST

START_TEST(unknown_records_of_a_device)
{
	for (int optional = 0; optional < 2; optional++) {
		forge_header(&forge, 1, 0);
		forge_info(&forge, 1);
		forge_frame(&forge, VFMI_FRAME_DEVICE, 0, 0, optional ? "\x77\x80\x01\x00x" : "\x77\x00\x01\x00x", 5);
		forge_devices_end(&forge);
		forge_device_end(&forge, 0, 0, 0);
		forge_end(&forge);
		ck_assert_int_eq(inspect_memory(&forge.out), optional ? 0 : -EPROTONOSUPPORT);
		forge_free(&forge);
	}
}
END_TEST

/* One line of a dump: offset, up to 16 bytes, two blanks, words. */
static void read_dump_line(const char *line)
{
	unsigned int offset = 0, byte = 0;
	int used = 0;

	ck_assert_int_eq(sscanf(line, "%3x%n", &offset, &used), 1);
	ck_assert_uint_eq(offset, memory.length);
	for (const char *at = line + used + 1; *at == ' ' && at[1] != ' ' && sscanf(at, " %2x", &byte) == 1; at += 3) {
		const uint8_t value = (uint8_t)byte;

		memory_append(&memory, &value, 1);
	}
}

START_TEST(the_example_of_the_manual_is_sound)
{
	FILE *page = fopen(SOURCE_ROOT "/man/vfiomig-stream.5.scd", "r");
	char line[256];
	bool inside = false;

	ck_assert_ptr_nonnull(page);
	while (fgets(line, sizeof(line), page)) {
		if (strcmp(line, "# EXAMPLE\n") == 0)
			inside = true;
		else if (line[0] == '#')
			inside = false;
		else if (inside && strspn(line, "0123456789abcdef") == 3 && line[3] == ' ')
			read_dump_line(line);
	}
	fclose(page);
	ck_assert_uint_eq(memory.length, 300);
	ck_assert_int_eq(inspect_memory(&memory), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("inspect");
	TCase *tests = tcase_create("inspect");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, inspect_tells_what_a_stream_holds);
	tcase_add_test(tests, a_device_without_configuration);
	tcase_add_loop_test(tests, odd_configuration_records, 0, (int)VFMI_ARRAY_SIZE(odd_records));
	tcase_add_test(tests, inspect_gives_back_what_the_callback_says);
	tcase_add_test(tests, inspect_tells_what_it_can_of_a_damaged_stream);
	tcase_add_loop_test(tests, inspect_tells_the_channel_from_the_stream, 0, 5);
	tcase_add_test(tests, an_aborted_stream_is_damaged_and_says_why);
	tcase_add_test(tests, simulated_streams_hold_simulated_devices);
	tcase_add_test(tests, unknown_records_of_a_device);
	tcase_add_test(tests, the_example_of_the_manual_is_sound);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
