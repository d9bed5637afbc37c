// SPDX-License-Identifier: MIT
/* Notices and ioeventfds; eventfds of others stay unread; transfers end at an error and tell of a request. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine_fixture.h"

#define NIC_A "0000:08:00.0"
#define NIC_B "0000:09:00.0"
#define EDU "0000:0a:00.0"
#define SPEC "mlx5@" NIC_A ",state=4m;mlx5@" NIC_B ",state=4m;edu@" EDU ",state=64k;mtty"
#define BOTH (VFM_NOTICE_ERROR | VFM_NOTICE_REQUEST)

static struct machine m;
static struct vfm_error err;
static struct vfm_device *a;
static int fd;

static void start(void)
{
	machine_start(&m, SPEC);
	err = (struct vfm_error){ .size = sizeof(err) };
	a = machine_device(&m, 0, NIC_A);
	machine_device(&m, 1, NIC_B);
	machine_device(&m, 2, EDU);
	fd = eventfd(0, EFD_CLOEXEC); /* one that would block */
	m.before = machine_usage(&m);
}

static void stop(void)
{
	close(fd);
	m.before.open_fds = machine_usage(&m).open_fds;
	machine_close(&m);
}

static void poke(const char *name, const char *action)
{
	ck_assert_int_eq(vfm_sim_poke(m.sim, name, action), 0);
}

START_TEST(notices_come_once)
{
	ck_assert_uint_eq(vfm_device_notices(a), 0);
	poke(NIC_A, "request"); /* nobody listens yet */
	ck_assert_msg(vfm_device_watch(a, &err) == 0, "%s", err.message);
	ck_assert_msg(vfm_device_watch(a, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(vfm_device_notices(a), 0);
	poke(NIC_A, "request");
	poke(NIC_A, "request");
	ck_assert_uint_eq(vfm_device_notices(a), VFM_NOTICE_REQUEST);
	ck_assert_uint_eq(vfm_device_notices(a), 0);
	poke(NIC_A, "error-interrupt");
	poke(NIC_A, "request");
	ck_assert_uint_eq(vfm_device_notices(a), BOTH);
	ck_assert_uint_eq(vfm_device_notices(a), 0);
}
END_TEST

START_TEST(reset_takes_an_error_back)
{
	ck_assert_int_eq(vfm_device_watch(a, &err), 0);
	poke(NIC_A, "error-interrupt");
	poke(NIC_A, "request");
	ck_assert_int_eq(vfm_device_reset(a, &err), 0);
	ck_assert_uint_eq(vfm_device_notices(a), VFM_NOTICE_REQUEST);
}
END_TEST

START_TEST(callers_eventfd_is_not_read)
{
	uint64_t count;

	ck_assert_int_eq(vfm_device_irq_arm(a, VFM_IRQ_REQ, 0, 1, &fd, &err), 0);
	ck_assert_int_eq(vfm_device_watch(a, &err), 0);
	ck_assert_uint_eq(vfm_device_notices(a), 0); /* and does not block */
	poke(NIC_A, "request");
	ck_assert_uint_eq(vfm_device_notices(a), VFM_NOTICE_REQUEST);
	ck_assert_uint_eq(vfm_device_notices(a), VFM_NOTICE_REQUEST);
	ck_assert_int_eq(read(fd, &count, sizeof(count)), sizeof(count));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(vfm_device_notices(a), 0);
}
END_TEST

START_TEST(devices_without_have_none)
{
	struct vfm_irq irq = { .size = sizeof(irq) };

	/* conventional PCI: no ERR; mediated: neither */
	ck_assert_int_eq(vfm_device_watch(m.dev[2], &err), 0);
	ck_assert_int_eq(vfm_device_irq(m.dev[2], VFM_IRQ_REQ, &irq, &err), 0);
	ck_assert_uint_eq(irq.armed, 1);
	machine_device(&m, 3, "6d747479-0000-4000-8000-000000000003");
	ck_assert_int_eq(vfm_device_watch(m.dev[3], &err), 0);
	ck_assert_uint_eq(vfm_device_notices(m.dev[3]), 0);
}
END_TEST

/* Transfers: at the first word of progress in PRE_COPY or later the device is poked. */
static const char *at_progress;
static uint32_t told;

static int on_progress(void *user, const struct vfm_progress *progress)
{
	(void)user;
	if (progress->phase == VFM_PHASE_STOP_COPY && at_progress) {
		poke(NIC_A, at_progress);
		at_progress = NULL;
	}
	told |= progress->notices;
	return 0;
}

static int copy(const char *action)
{
	VFM_OPTS(vfm_transfer_opts, opts);

	at_progress = action;
	told = 0;
	opts.progress = on_progress;
	return vfm_copy(a, m.dev[1], &opts, NULL, &err);
}

START_TEST(an_error_ends_a_transfer)
{
	struct vfm_irq irq = { .size = sizeof(irq) };

	ck_assert_int_eq(copy("error-interrupt"), -EIO);
	ck_assert_str_eq(err.device, NIC_A);
	ck_assert_ptr_nonnull(strstr(err.message, "uncorrectable"));
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	/* what was armed for the transfer is gone again, and the notice waits for the caller */
	ck_assert_int_eq(vfm_device_irq(a, VFM_IRQ_ERR, &irq, &err), 0);
	ck_assert_uint_eq(irq.armed, 0);
	ck_assert_uint_eq(vfm_device_notices(a), VFM_NOTICE_ERROR);
	ck_assert_msg(copy(NULL) == 0, "%s", err.message);
}
END_TEST

START_TEST(an_error_that_stood_ends_it_too)
{
	ck_assert_int_eq(vfm_device_watch(a, &err), 0);
	poke(NIC_A, "error-interrupt");
	ck_assert_int_eq(copy(NULL), -EIO);
	ck_assert_int_eq(vfm_device_reset(a, &err), 0);
	ck_assert_msg(copy(NULL) == 0, "%s", err.message);
}
END_TEST

START_TEST(a_request_is_told_and_goes_on)
{
	ck_assert_msg(copy("request") == 0, "%s", err.message);
	ck_assert_uint_eq(told, VFM_NOTICE_REQUEST);
	ck_assert_uint_eq(vfm_device_notices(a), VFM_NOTICE_REQUEST);
}
END_TEST

/* Its owner may have armed ERR and REQ without telling: the kernel has one eventfd of each. */
START_TEST(adopted_device_keeps_its_owners)
{
	struct vfm_adopt adopt = { .size = sizeof(adopt), .device_fd = vfm_device_fd(a), .iommufd = -1 };
	VFM_OPTS(vfm_transfer_opts, opts);
	struct vfm_device *twin;
	uint64_t count;

	ck_assert_int_eq(vfm_device_irq_arm(a, VFM_IRQ_REQ, 0, 1, &fd, &err), 0);
	ck_assert_int_eq(vfm_device_adopt(m.ctx, &adopt, &twin, &err), 0);
	ck_assert_msg(vfm_copy(twin, m.dev[1], &opts, NULL, &err) == 0, "%s", err.message);
	poke(NIC_A, "request");
	ck_assert_int_eq(read(fd, &count, sizeof(count)), sizeof(count));
	vfm_device_close(twin);
}
END_TEST

/* ioeventfd */

static uint32_t live_check(void)
{
	uint32_t word = 0;

	ck_assert_int_eq(vfm_device_region_read(m.dev[2], 0, 4, &word, sizeof(word), &err), 0);
	return ~word;
}

static void ring(void)
{
	const uint64_t one = 1;

	ck_assert_int_eq(write(fd, &one, sizeof(one)), sizeof(one));
}

START_TEST(ioeventfd_writes_a_register)
{
	const uint32_t zero = 0;

	ck_assert_msg(vfm_device_ioeventfd(m.dev[2], 0, 4, 4, 0x5eed, fd, &err) == 0, "%s", err.message);
	ck_assert_uint_ne(live_check(), 0x5eed);
	ring();
	ck_assert_uint_eq(live_check(), 0x5eed);
	ck_assert_int_eq(vfm_device_region_write(m.dev[2], 0, 4, &zero, sizeof(zero), &err), 0);
	ck_assert_int_eq(vfm_device_ioeventfd(m.dev[2], 0, 4, 4, 0x5eed, -1, &err), 0);
	ring();
	ck_assert_uint_eq(live_check(), 0);
}
END_TEST

START_TEST(ioeventfd_rules)
{
	struct vfm_device *edu = m.dev[2];

	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 4, 4, 1, fd, &err), 0);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 4, 4, 1, fd, &err), -EEXIST);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 4, 4, 2, fd, &err), 0);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 4, 4, 3, -1, &err), -ENODEV);
	for (uint64_t i = 2; i < 8; i++)
		ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 8 * i, 1 << i % 4, 1, fd, &err), 0);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 0x80, 4, 1, fd, &err), -ENOSPC);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 4, 3, 1, fd, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 4, 0, 1, fd, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 2, 4, 1, fd, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 4, 1, 256, fd, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, 1u << 20, 4, 1, fd, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, 0, UINT64_MAX - 3, 4, 1, fd, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_ioeventfd(edu, VFM_REGION_CONFIG, 4, 4, 1, fd, &err), -EINVAL);
	machine_device(&m, 3, "6d747479-0000-4000-8000-000000000003");
	ck_assert_int_eq(vfm_device_ioeventfd(m.dev[3], 0, 0, 1, 1, fd, &err), -EOPNOTSUPP);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_events");
	TCase *tc = tcase_create("sim");

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, notices_come_once);
	tcase_add_test(tc, reset_takes_an_error_back);
	tcase_add_test(tc, callers_eventfd_is_not_read);
	tcase_add_test(tc, devices_without_have_none);
	tcase_add_test(tc, an_error_ends_a_transfer);
	tcase_add_test(tc, an_error_that_stood_ends_it_too);
	tcase_add_test(tc, a_request_is_told_and_goes_on);
	tcase_add_test(tc, adopted_device_keeps_its_owners);
	tcase_add_test(tc, ioeventfd_writes_a_register);
	tcase_add_test(tc, ioeventfd_rules);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
