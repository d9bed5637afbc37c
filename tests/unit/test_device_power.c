// SPDX-License-Identifier: MIT
/* Low power: in and out, what wakes and who is told. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine_fixture.h"

static struct machine m;
static struct vfm_error err;
static int fd;

static void start(void)
{
	machine_open(&m);
	err = (struct vfm_error){ .size = sizeof(err) };
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static void stop(void)
{
	close(fd);
	machine_close(&m);
}

static bool was_told(void)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

START_TEST(access_wakes_and_tells)
{
	uint32_t word;

	ck_assert_msg(vfm_device_power(m.dev[0], VFM_POWER_LOW, fd, &err) == 0, "%s", err.message);
	ck_assert(!was_told());
	ck_assert_int_eq(vfm_device_region_read(m.dev[0], 0, 0, &word, 4, &err), 0);
	ck_assert_uint_eq(word, 0x010000edu);
	ck_assert(was_told());
	/* awake now */
	ck_assert_int_eq(vfm_device_region_read(m.dev[0], 0, 0, &word, 4, &err), 0);
	ck_assert(!was_told());
	ck_assert_int_eq(vfm_device_power(m.dev[0], VFM_POWER_ON, -1, &err), 0);
}
END_TEST

START_TEST(low_twice_is_refused)
{
	ck_assert_int_eq(vfm_device_power(m.dev[0], VFM_POWER_LOW, -1, &err), 0);
	ck_assert_int_eq(vfm_device_power(m.dev[0], VFM_POWER_LOW, -1, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_power(m.dev[0], VFM_POWER_ON, -1, &err), 0);
	ck_assert_int_eq(vfm_device_power(m.dev[0], VFM_POWER_ON, -1, &err), 0);
	ck_assert_int_eq(vfm_device_power(m.dev[0], VFM_POWER_LOW, -1, &err), 0);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
	ck_assert_int_eq(vfm_device_power(m.dev[0], VFM_POWER_ON, fd, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_power(m.dev[0], 7, -1, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_power(m.dev[2], VFM_POWER_LOW, -1, &err), -EOPNOTSUPP);
	ck_assert_int_eq(vfm_device_power(m.dev[0], VFM_POWER_LOW, 0, &err), -EINVAL); /* no eventfd */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_power");
	TCase *tc = tcase_create("sim");

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, access_wakes_and_tells);
	tcase_add_test(tc, low_twice_is_refused);
	tcase_add_test(tc, what_makes_no_sense_is_refused);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
