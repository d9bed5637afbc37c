/* SPDX-License-Identifier: MIT */
/* Starting devices whose owner is told of their files, for KVM, before they are bound. */
#include <errno.h>
#include <pthread.h>

#include "startup_fixture.h"
#include "vfio.h"

/* What the devices were told, and what the kernel was asked for, in order: 'o' opened, 'b' bound. */
struct told {
	struct vfmi_sys_ops ops;
	const struct vfmi_sys_ops *real;
	pthread_mutex_t lock;
	struct {
		char what;
		int fd;
	} events[4 * DEVICES];
	size_t count;
	int answers[DEVICES];
};

static struct told told = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void note(char what, int fd)
{
	pthread_mutex_lock(&told.lock);
	ck_assert_uint_lt(told.count, VFMI_ARRAY_SIZE(told.events));
	told.events[told.count].what = what;
	told.events[told.count++].fd = fd;
	pthread_mutex_unlock(&told.lock);
}

static int note_binding(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	if (request == VFIO_DEVICE_BIND_IOMMUFD || request == VFIO_GROUP_GET_DEVICE_FD)
		note('b', fd);
	return told.real->ioctl(sys, fd, request, arg);
}

static int note_opened(void *user, int fd)
{
	note('o', fd);
	return *(int *)user;
}

static void many_tell(struct many *many)
{
	struct vfmi_sys *sys = many->m.ctx->sys;

	told.ops = *sys->ops;
	told.real = sys->ops;
	told.count = 0;
	told.ops.ioctl = note_binding;
	sys->ops = &told.ops;
	memset(told.answers, 0, sizeof(told.answers));
	for (size_t i = 0; i < DEVICES; i++) {
		many->opens[i].opened = note_opened;
		many->opens[i].user = &told.answers[i];
	}
}

static size_t events_of(char what, int fd)
{
	size_t count = 0;

	for (size_t i = 0; i < told.count; i++)
		count += told.events[i].what == what && (fd < 0 || told.events[i].fd == fd);
	return count;
}

/* The kernel is asked to bind nothing whose file was not told before. */
static void check_told(void)
{
	for (size_t i = 0; i < told.count; i++) {
		size_t count = told.count;

		if (told.events[i].what != 'b')
			continue;
		told.count = i;
		ck_assert_uint_eq(events_of('o', told.events[i].fd), events_of('b', told.events[i].fd) + 1);
		told.count = count;
	}
}

START_TEST(told_of_the_file_before_it_is_bound)
{
	const bool container = _i >= 2;
	struct many many;

	many_begin(&many, SPEC);
	if (container)
		use_container(&many);
	many_tell(&many);
	ck_assert_msg(many_start(&many, DEVICES, _i % 2 ? 0 : 1) == 0, "%s", many.err.message);
	ck_assert_uint_eq(told.count, 2 * DEVICES);
	ck_assert_uint_eq(events_of('o', -1), DEVICES);
	check_told();
	for (size_t i = 0; i < DEVICES; i++) {
		const struct vfm_device *dev = many.starts[i].ret_dev;

		ck_assert_uint_eq(events_of('o', container ? vfm_device_group_fd(dev) : vfm_device_fd(dev)), 1);
	}
	many_close(&many, DEVICES);
	many.m.ctx->sys->ops = told.real;
	many_end(&many);
}
END_TEST

/* Each device tells of its group's file, so that none of them is bound before somebody was told. */
START_TEST(each_device_of_a_group_is_told)
{
	struct many many;
	int group;

	many_begin(&many, "edu@0000:01:00.0,group=77;edu@0000:02:00.0,group=77");
	use_container(&many);
	many_tell(&many);
	ck_assert_msg(many_start(&many, 2, 0) == 0, "%s", many.err.message);
	group = vfm_device_group_fd(many.starts[0].ret_dev);
	ck_assert_int_eq(vfm_device_group_fd(many.starts[1].ret_dev), group);
	ck_assert_uint_eq(events_of('o', group), 2);
	ck_assert_uint_eq(told.count, 4);
	check_told();
	many_close(&many, 2);
	many.m.ctx->sys->ops = told.real;
	many_end(&many);
}
END_TEST

/* What is said there is what the start gives; a device that was refused is not bound, and none stays open. */
START_TEST(who_is_told_may_refuse)
{
	const size_t k = DEVICES / 2;
	struct many many;

	many_begin(&many, SPEC);
	if (_i >= 2)
		use_container(&many);
	many_tell(&many);
	told.answers[k] = _i % 2 ? 1 : -EXDEV;
	ck_assert_int_eq(many_start(&many, DEVICES, 1), _i % 2 ? -EIO : -EXDEV);
	ck_assert_str_eq(many.err.device, many.names[k]);
	ck_assert_str_eq(many.err.step, "opened");
	ck_assert_uint_eq(events_of('o', -1), k + 1);
	ck_assert_uint_eq(events_of('b', -1), k);
	many.m.ctx->sys->ops = told.real;
	check_undone(&many, DEVICES);
	told.answers[k] = 0;
	ck_assert_msg(many_start(&many, DEVICES, 0) == 0, "%s", many.err.message);
	many_close(&many, DEVICES);
	many_end(&many);
}
END_TEST

/* A program built against an earlier header: what follows its struct vfm_open is not looked at. */
START_TEST(who_knows_no_callback_has_none)
{
	struct many many;

	many_begin(&many, SPEC);
	memset((char *)&many.opens[0] + offsetof(struct vfm_open, opened), 0xff,
	       sizeof(many.opens[0]) - offsetof(struct vfm_open, opened));
	many.opens[0].size = offsetof(struct vfm_open, opened);
	ck_assert_msg(many_start(&many, 1, 1) == 0, "%s", many.err.message);
	many_close(&many, 1);
	many_end(&many);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("startup-opened");
	TCase *tc = tcase_create("devices");

	tcase_add_loop_test(tc, told_of_the_file_before_it_is_bound, 0, 4);
	tcase_add_test(tc, each_device_of_a_group_is_told);
	tcase_add_loop_test(tc, who_is_told_may_refuse, 0, 4);
	tcase_add_test(tc, who_knows_no_callback_has_none);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
