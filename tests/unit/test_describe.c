/* SPDX-License-Identifier: MIT */
/* The textual form of a device: round trips, every refusal with its place, noise. */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "describe.h"
#include "fake_device.h"
#include "suite.h"

static struct vfmi_description parsed(const char *text)
{
	struct vfmi_description desc;
	struct vfmi_parse_trouble trouble = { 0 };
	int r = vfmi_description_parse(text, &desc, &trouble);

	ck_assert_msg(r == 0, "\"%s\", character %zu: %s", text, trouble.at, trouble.why);
	return desc;
}

static void refused(const char *text, size_t at, const char *why)
{
	struct vfmi_description desc;
	struct vfmi_parse_trouble trouble = { SIZE_MAX, NULL };

	ck_assert_msg(vfmi_description_parse(text, &desc, &trouble) == -EINVAL, "\"%s\" was taken", text);
	ck_assert_msg(strstr(trouble.why, why), "\"%s\": %s", text, trouble.why);
	ck_assert_msg(trouble.at == at, "\"%s\": %s at %zu", text, trouble.why, trouble.at);
}

static void round_trip(const char *text)
{
	struct vfmi_description desc = parsed(text);
	char back[VFM_DESCRIPTION_MAX];

	ck_assert_int_eq(vfmi_description_print(&desc, true, back, sizeof(back)), (int)strlen(text));
	ck_assert_str_eq(back, text);
	vfmi_description_clear(&desc);
}

START_TEST(test_descriptor_alone)
{
	struct vfmi_description desc = parsed("fd:7");

	ck_assert_int_eq(desc.device_fd, 7);
	ck_assert_int_eq(desc.iommufd, -1);
	ck_assert_uint_eq(desc.ioas_id, 0);
	ck_assert_uint_eq(desc.count, 0);
	ck_assert_str_eq(desc.identity.name, "");
	ck_assert_uint_eq(desc.identity.flags, 0);
	vfmi_description_clear(&desc);
	round_trip("fd:7");
	round_trip("fd:0");
	round_trip("fd:2147483647");
}
END_TEST

START_TEST(test_descriptor_of_a_process)
{
	struct vfmi_description desc = parsed("pidfd:7:5,iommufd=6,start=123");

	ck_assert_uint_eq(desc.pid, 7);
	ck_assert_int_eq(desc.device_fd, 5);
	ck_assert_int_eq(desc.iommufd, 6);
	ck_assert_str_eq(desc.start, "123");
	ck_assert_str_eq(desc.identity.name, "pidfd:7:5");
	vfmi_description_clear(&desc);
}
END_TEST

START_TEST(test_everything)
{
	const char *text = "fd:5,iommufd=6,ioas=1,devid=2,pt=4294967295,backend=iommufd,name=0000:01:00.0,driver=mtty,"
			   "mdev=mtty-2,firmware=a%20b%2c%25,sim=1,irq=0:0:7,irq=1:31:2147483647";
	struct vfmi_description desc = parsed(text);

	ck_assert_int_eq(desc.iommufd, 6);
	ck_assert_uint_eq(desc.ioas_id, 1);
	ck_assert_uint_eq(desc.devid, 2);
	ck_assert_uint_eq(desc.pt_id, UINT32_MAX);
	ck_assert_uint_eq(desc.backend, VFM_BACKEND_IOMMUFD);
	ck_assert_str_eq(desc.identity.name, "0000:01:00.0");
	ck_assert_str_eq(desc.identity.driver, "mtty");
	ck_assert_str_eq(desc.identity.mdev_type, "mtty-2");
	ck_assert_str_eq(desc.identity.firmware, "a b,%");
	ck_assert_uint_eq(desc.identity.flags, VFM_IDENTITY_SIMULATED);
	ck_assert_uint_eq(desc.count, 2);
	ck_assert_uint_eq(desc.vectors[1].index, 1);
	ck_assert_uint_eq(desc.vectors[1].vector, 31);
	ck_assert_int_eq(desc.vectors[1].fd, INT_MAX);
	vfmi_description_clear(&desc);
	round_trip(text);
}
END_TEST

START_TEST(test_refusals)
{
	refused("", 0, "is expected");
	refused("fd5", 0, "is expected");
	refused("FD:5", 0, "is expected");
	refused("pidfd:", 6, "decimal number");
	refused("pidfd:0:5", 7, "too small");
	refused("pidfd:2147483648:5", 15, "too large");
	refused("pidfd:7", 7, "PID:FD");
	refused("pidfd:7:", 8, "decimal number");
	refused("pidfd:7:5,start=", 16, "empty");
	refused("fd:5,start=1", 12, "is for pidfd");
	refused("fd:", 3, "decimal number");
	refused("fd:-1", 3, "decimal number");
	refused("fd:+1", 3, "decimal number");
	refused("fd: 1", 3, "decimal number");
	refused("fd:05", 5, "leading zero");
	refused("fd:2147483648", 12, "too large");
	refused("fd:99999999999999999999999", 12, "too large");
	refused("fd:5x", 4, "comma");
	refused("fd:5,", 5, "unknown key");
	refused("fd:5,,ioas=1", 5, "unknown key");
	refused("fd:5,ioas", 5, "unknown key");
	refused("fd:5,Ioas=1", 5, "unknown key");
	refused("fd:5,ioas=0", 11, "too small");
	refused("fd:5,ioas=4294967296", 19, "too large");
	refused("fd:5,ioas=1,ioas=1", 12, "given before");
	refused("fd:5,ioas=1,", 12, "unknown key");
	refused("fd:5,ioas=1 ", 11, "comma");
	refused("fd:5,sim=0", 10, "too small");
	refused("fd:5,sim=2", 9, "too large");
	refused("fd:5,backend=type9", 13, "unknown back end");
	refused("fd:5,backend=iommufds", 13, "unknown back end");
	refused("fd:5,name=", 10, "empty");
	refused("fd:5,name=a=b", 11, "%XX");
	refused("fd:5,name=a%", 11, "hexadecimal");
	refused("fd:5,name=a%4", 11, "hexadecimal");
	refused("fd:5,name=a%4g", 11, "hexadecimal");
	refused("fd:5,name=a%00", 11, "control");
	refused("fd:5,name=a%0a", 11, "control");
	refused("fd:5,name=a%7f", 11, "control");
	refused("fd:5,name=a\n", 11, "%XX");
	refused("fd:5,irq=1", 10, "INDEX:VECTOR:FD");
	refused("fd:5,irq=1:2", 12, "INDEX:VECTOR:FD");
	refused("fd:5,irq=1:2:", 13, "decimal number");
	refused("fd:5,irq=1:2:3:4", 14, "comma");
	refused("fd:5,irq=1:2:3,irq=1:2:4", 19, "given before");
}
END_TEST

START_TEST(test_text_lengths)
{
	char name[64];
	char text[128];
	struct vfmi_description desc;

	memset(name, 'n', sizeof(name));
	name[63] = '\0';
	snprintf(text, sizeof(text), "fd:1,name=%s", name);
	desc = parsed(text);
	ck_assert_str_eq(desc.identity.name, name);
	vfmi_description_clear(&desc);
	snprintf(text, sizeof(text), "fd:1,name=%sn", name);
	refused(text, strlen(text), "too long");
}
END_TEST

START_TEST(test_every_byte_in_a_name)
{
	for (int byte = 1; byte < 256; byte++) {
		struct vfmi_description desc = { .device_fd = 1, .iommufd = -1 };
		struct vfmi_description back;
		struct vfmi_parse_trouble trouble;
		char text[64];

		desc.identity.name[0] = (char)byte;
		ck_assert_int_gt(vfmi_description_print(&desc, false, text, sizeof(text)), 0);
		if (byte < ' ' || byte == 0x7f) {
			ck_assert_int_eq(vfmi_description_parse(text, &back, &trouble), -EINVAL);
			continue;
		}
		back = parsed(text);
		ck_assert_str_eq(back.identity.name, desc.identity.name);
		vfmi_description_clear(&back);
	}
}
END_TEST

START_TEST(test_room)
{
	struct vfmi_description desc = parsed("fd:5,name=abc");
	char buf[14];

	ck_assert_int_eq(vfmi_description_print(&desc, true, buf, 14), 13);
	ck_assert_str_eq(buf, "fd:5,name=abc");
	for (size_t room = 0; room < 14; room++)
		ck_assert_int_eq(vfmi_description_print(&desc, true, buf, room), -ENOSPC);
	vfmi_description_clear(&desc);
}
END_TEST

START_TEST(test_vectors_apart)
{
	struct vfmi_description desc = parsed("fd:5,irq=1:0:9");
	char buf[32];

	ck_assert_int_eq(vfmi_description_print(&desc, false, buf, sizeof(buf)), 4);
	ck_assert_str_eq(buf, "fd:5");
	vfmi_description_clear(&desc);
}
END_TEST

/* As long as it gets: every number at its longest, every character of the texts escaped. */
START_TEST(test_longest)
{
	static char text[VFM_DESCRIPTION_MAX], again[VFM_DESCRIPTION_MAX];
	struct vfmi_description desc = { .pt_id = UINT32_MAX, .tracks = 1, .simulated = 1 };
	struct vfmi_description back;

	desc.device_fd = desc.iommufd = INT_MAX;
	desc.ioas_id = desc.devid = UINT32_MAX;
	desc.backend = VFM_BACKEND_COMPAT_TYPE1V2;
	memset(desc.identity.name, ' ', sizeof(desc.identity.name) - 1);
	memset(desc.identity.driver, ' ', sizeof(desc.identity.driver) - 1);
	memset(desc.identity.mdev_type, ' ', sizeof(desc.identity.mdev_type) - 1);
	memset(desc.identity.firmware, ' ', sizeof(desc.identity.firmware) - 1);
	ck_assert_int_gt(vfmi_description_print(&desc, true, text, VFMI_DESCRIPTION_REST), 700);
	for (uint32_t i = 0; i < 63; i++)
		ck_assert_int_eq(vfmi_description_add_vector(&desc, (struct vfmi_vector){ i, 2047, INT_MAX }), 0);
	for (uint32_t v = 0; v < 2048; v++)
		ck_assert_int_eq(vfmi_description_add_vector(&desc, (struct vfmi_vector){ 63, v, INT_MAX }), 0);
	ck_assert_int_gt(vfmi_description_print(&desc, true, text, sizeof(text)), 45000);
	back = parsed(text);
	ck_assert_uint_eq(back.count, desc.count);
	ck_assert_mem_eq(back.vectors, desc.vectors, desc.count * sizeof(*desc.vectors));
	ck_assert_int_eq(vfmi_description_print(&back, true, again, sizeof(again)), (int)strlen(text));
	ck_assert_str_eq(again, text);
	vfmi_description_clear(&back);
	vfmi_description_clear(&desc);
}
END_TEST

START_TEST(test_device_with_many_vectors)
{
	static char text[VFM_DESCRIPTION_MAX], again[VFM_DESCRIPTION_MAX];
	struct vfm_device *adopted;
	int length;

	fake.next_fd = 1000000;
	for (uint32_t v = 0; v < 2048; v++)
		ck_assert_int_eq(vfmi_device_irq_declare(dev, VFM_IRQ_MSIX, v, 10), 0);
	length = vfm_device_describe(dev, text, sizeof(text));
	ck_assert_int_gt(length, 2048 * 18);
	ck_assert_uint_eq(strlen(text), (size_t)length);
	ck_assert_int_eq(vfm_device_describe(dev, again, (size_t)length), -ENOSPC);
	ck_assert_msg(vfm_device_adopt_described(ctx, text, &adopted, &error) == 0, "%s", error.message);
	for (uint32_t v = 0; v < 2048; v++)
		ck_assert_int_ge(vfm_device_irq_eventfd(adopted, VFM_IRQ_MSIX, v), 0);
	ck_assert_int_gt(vfm_device_describe(adopted, again, sizeof(again)), 2048 * 18);
	vfm_device_close(adopted);
}
END_TEST

START_TEST(test_noise)
{
	const char letters[] = "fd:5,=%irqnameos1029.4sim";

	srandom(1);
	for (int i = 0; i < 50000; i++) {
		char text[48] = "fd:5,";
		struct vfmi_description desc;
		struct vfmi_parse_trouble trouble;
		size_t length = 5 + (size_t)random() % 40;

		for (size_t at = 5; at < length; at++)
			text[at] = letters[(size_t)random() % (sizeof(letters) - 1)];
		if (vfmi_description_parse(text, &desc, &trouble) == 0)
			vfmi_description_clear(&desc);
		else
			ck_assert_uint_le(trouble.at, length);
	}
}
END_TEST

START_TEST(test_api_refusals)
{
	VFM_OPTS(vfm_error, err);
	struct vfm_context *real;
	struct vfm_device *none = NULL;

	ck_assert_int_eq(vfm_context_new(&real), 0);
	ck_assert_int_eq(vfm_device_adopt_described(real, "fd:5,ioas=x", &none, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.message, "character 11"));
	ck_assert_int_eq(vfm_device_adopt_described(real, NULL, &none, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_adopt_described(real, "fd:0", NULL, &err), -EINVAL);
	/* A descriptor of a simulated machine means nothing to the running kernel. */
	ck_assert_int_eq(vfm_device_adopt_described(real, "fd:0,sim=1", &none, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.message, "simulated"));
	ck_assert_int_eq(vfm_device_adopt_described(real, "fd:2147483647", &none, &err), -EBADF);
	ck_assert_ptr_null(none);
	vfm_context_free(real);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("describe");
	TCase *tcase = tcase_create("describe");
	TCase *devices = tcase_create("devices");

	tcase_add_test(tcase, test_descriptor_alone);
	tcase_add_test(tcase, test_descriptor_of_a_process);
	tcase_add_test(tcase, test_everything);
	tcase_add_test(tcase, test_refusals);
	tcase_add_test(tcase, test_text_lengths);
	tcase_add_test(tcase, test_every_byte_in_a_name);
	tcase_add_test(tcase, test_room);
	tcase_add_test(tcase, test_vectors_apart);
	tcase_add_test(tcase, test_longest);
	tcase_add_test(tcase, test_noise);
	tcase_add_test(tcase, test_api_refusals);
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(devices, fake_setup, fake_teardown);
	tcase_add_test(devices, test_device_with_many_vectors);
	suite_add_tcase(suite, devices);
	return run_suite(suite);
}
