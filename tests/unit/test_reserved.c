// SPDX-License-Identifier: MIT
/* What the platform reserves in an IOMMU group: read as sysfs lists it, counted where there is no room, not believed.
 */
#include <check.h>
#include <stdlib.h>

#include "internal.h"
#include "suite.h"

#define LINES                                                                                                          \
	"0x0000000000000000 0x0000000000000fff direct-relaxable\n"                                                     \
	"0x00000000fee00000 0x00000000feefffff msi\n"                                                                  \
	"0xfffffffffffff000 0xffffffffffffffff reserved\n"
#define ROOM 4

static const char *text; /* of the attribute; NULL: there is no such group */
static size_t at;
static struct vfmi_sys_ops ops;
static struct vfmi_sys fake = { .ops = &ops };
static struct vfm_context *ctx;
static struct vfm_error error;

static int fake_open(struct vfmi_sys *sys, const char *path, int flags, mode_t mode)
{
	(void)sys;
	(void)flags;
	(void)mode;
	ck_assert_str_eq(path, "/sys/kernel/iommu_groups/7/reserved_regions");
	at = 0;
	return text ? 77 : -ENOENT;
}

static ssize_t fake_read(struct vfmi_sys *sys, int fd, void *buf, size_t room)
{
	const size_t left = strlen(text + at);
	const size_t length = left < room ? left : room;

	(void)sys;
	ck_assert_int_eq(fd, 77);
	memcpy(buf, text + at, length);
	at += length;
	return (ssize_t)length;
}

static int fake_close(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	ck_assert_int_eq(fd, 77);
	return 0;
}

static void setup(void)
{
	ops = *vfmi_sys_libc.ops;
	ops.open = fake_open;
	ops.read = fake_read;
	ops.close = fake_close;
	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_int_eq(vfmi_context_new_on(&fake, &ctx), 0);
}

static void teardown(void)
{
	vfm_context_free(ctx);
}

static int ask(struct vfm_reserved *regions, size_t room, size_t *ret_count)
{
	for (size_t i = 0; i < room; i++)
		regions[i] = (struct vfm_reserved){ .size = sizeof(regions[i]) };
	return vfm_iova_reserved(ctx, 7, regions, room, ret_count, &error);
}

START_TEST(regions_are_read)
{
	struct vfm_reserved regions[ROOM];
	size_t count = 0;

	text = LINES;
	ck_assert_msg(ask(regions, ROOM, &count) == 0, "%s", error.message);
	ck_assert_uint_eq(count, 3);
	ck_assert_uint_eq(regions[0].last, 0xfff);
	ck_assert_uint_eq(regions[0].flags, VFM_RESERVED_MAPPABLE);
	ck_assert_str_eq(regions[1].kind, "msi");
	ck_assert_uint_eq(regions[1].first, 0xfee00000);
	ck_assert_uint_eq(regions[1].flags, 0);
	ck_assert_uint_eq(regions[2].last, UINT64_MAX);
}
END_TEST

START_TEST(there_may_be_none)
{
	size_t count = 9;

	text = "";
	ck_assert_int_eq(ask(NULL, 0, &count), 0);
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(too_little_room_is_told)
{
	struct vfm_reserved regions[ROOM];
	size_t count = 0;

	text = LINES;
	regions[2] = (struct vfm_reserved){ .size = sizeof(regions[2]) };
	ck_assert_int_eq(ask(regions, 2, &count), -EMSGSIZE);
	ck_assert_uint_eq(count, 3);
	ck_assert_uint_eq(regions[1].first, 0xfee00000);
	ck_assert_uint_eq(regions[2].last, 0);
}
END_TEST

START_TEST(no_such_group)
{
	size_t count = 9;

	text = NULL;
	ck_assert_int_eq(ask(NULL, 0, &count), -ENODEV);
	ck_assert_uint_eq(count, 9);
}
END_TEST

static const char *const nonsense[] = {
	"0x2000 0x1fff msi\n", /* ends before it begins */
	"0x1000 msi\n",
	"0x1000 0x1fff\n",
	"-1 5 msi\n",
	LINES "\n" LINES,
	LINES "0x1000 0x1fff                                                                                      msi",
};

START_TEST(nonsense_is_refused)
{
	struct vfm_reserved regions[ROOM];
	size_t count = 9;

	text = nonsense[_i];
	ck_assert_int_eq(ask(regions, ROOM, &count), -EPROTO);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reserved");
	TCase *tests = tcase_create("reserved");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, regions_are_read);
	tcase_add_test(tests, there_may_be_none);
	tcase_add_test(tests, too_little_room_is_told);
	tcase_add_test(tests, no_such_group);
	tcase_add_loop_test(tests, nonsense_is_refused, 0, (int)(sizeof(nonsense) / sizeof(nonsense[0])));
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
