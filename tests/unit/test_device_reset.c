// SPDX-License-Identifier: MIT
/* Hot reset: what it reaches, whose that is, what it leaves; through iommufd and through groups. */
#include <pthread.h>

#include "internal.h"
#include "machine_fixture.h"
#include "stuck.h"

#define PAIR_A "0000:05:00.0"
#define PAIR_B "0000:05:00.1"
#define OTHER "0000:06:00.0"
#define ROOT "0000:00:09.0"
#define PAIR_SPEC                                                                                                      \
	"edu@" PAIR_A ",state=64k,group=40;edu@" PAIR_B ",state=64k,group=41;edu@" OTHER ",state=64k;edu@" ROOT ";mtt" \
	"y"

static struct machine m;
static struct vfm_error err;

static void start(void)
{
	machine_start(&m, PAIR_SPEC);
	err = (struct vfm_error){ .size = sizeof(err) };
}

static void stop(void)
{
	m.before = (struct vfm_sim_usage){ 0 };
	for (unsigned int i = 0; i < MACHINE_DEVICES; i++)
		vfm_device_close(m.dev[i]);
	memset(m.dev, 0, sizeof(m.dev));
	vfm_iommu_close(m.iommu);
	m.iommu = NULL;
	machine_close(&m);
}

static void fill(const char *name)
{
	const uint32_t word = 0x1234;

	ck_assert_int_eq(vfm_sim_contents_write(m.sim, name, 0, &word, sizeof(word)), 0);
}

static bool is_filled(const char *name)
{
	uint32_t word;

	ck_assert_int_eq(vfm_sim_contents_read(m.sim, name, 0, &word, sizeof(word)), 0);
	return word == 0x1234;
}

static size_t ask(struct vfm_device *dev, struct vfm_hot_reset_peer peers[4])
{
	size_t count = 0;

	for (int i = 0; i < 4; i++)
		peers[i] = (struct vfm_hot_reset_peer){ .size = sizeof(peers[i]) };
	ck_assert_msg(vfm_device_hot_reset_info(dev, peers, 4, &count, &err) == 0, "%s", err.message);
	return count;
}

START_TEST(info_names_what_shares_the_bus)
{
	struct vfm_device *dev = machine_device(&m, 0, PAIR_A);
	struct vfm_hot_reset_peer peers[4];
	size_t count;

	ck_assert_uint_eq(ask(dev, peers), 2);
	ck_assert_uint_eq(peers[0].flags, VFM_HOT_RESET_OWNED);
	ck_assert_uint_eq(peers[0].id, vfm_device_id(dev));
	ck_assert_uint_eq(peers[0].bus, 5);
	ck_assert_uint_eq(peers[0].devfn, 0);
	ck_assert_uint_eq(peers[1].flags, 0);
	ck_assert_uint_eq(peers[1].id, 0);
	ck_assert_uint_eq(peers[1].devfn, 1);
	machine_device(&m, 1, PAIR_B);
	ask(dev, peers);
	ck_assert_uint_eq(peers[1].flags, VFM_HOT_RESET_OWNED);
	ck_assert_uint_eq(peers[1].id, vfm_device_id(m.dev[1]));
	ck_assert_int_eq(vfm_device_hot_reset_info(dev, peers, 1, &count, &err), -EMSGSIZE);
	ck_assert_uint_eq(count, 2);
	peers[1].size = 0;
	ck_assert_int_eq(vfm_device_hot_reset_info(dev, peers, 4, &count, &err), -EINVAL);
}
END_TEST

START_TEST(reset_blanks_all_that_is_owned)
{
	struct vfm_device *a = machine_device(&m, 0, PAIR_A), *b = machine_device(&m, 1, PAIR_B);

	machine_device(&m, 2, OTHER);
	fill(PAIR_A);
	fill(PAIR_B);
	fill(OTHER);
	machine_move(&m, 0, VFM_STATE_STOP);
	ck_assert_msg(vfm_device_hot_reset(a, &b, 1, &err) == 0, "%s", err.message);
	ck_assert(!is_filled(PAIR_A) && !is_filled(PAIR_B) && is_filled(OTHER));
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
}
END_TEST

START_TEST(strangers_function_is_named)
{
	struct vfm_device *a = machine_device(&m, 0, PAIR_A);

	fill(PAIR_A);
	ck_assert_int_eq(vfm_device_hot_reset(a, NULL, 0, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.message, PAIR_B));
	ck_assert(is_filled(PAIR_A));
}
END_TEST

START_TEST(named_devices_must_be_idle)
{
	struct vfm_device *a = machine_device(&m, 0, PAIR_A), *b = machine_device(&m, 1, PAIR_B);
	struct vfm_device *others[] = { b, a, b };
	struct vfm_session *session;

	ck_assert_int_eq(vfm_session_save(b, NULL, &session, &err), 0);
	ck_assert_int_eq(vfm_device_hot_reset(a, &b, 1, &err), -EBUSY);
	ck_assert_int_eq(vfm_session_abort(session, NULL, &err), 0);
	vfm_session_close(session);
	/* named twice or with itself: held once */
	ck_assert_msg(vfm_device_hot_reset(a, others, 3, &err) == 0, "%s", err.message);
	ck_assert_msg(vfm_device_reset(a, &err) == 0, "%s", err.message);
	ck_assert_msg(vfm_device_reset(b, &err) == 0, "%s", err.message);
}
END_TEST

/* The kernel knows what is the iommufd's, and resets it whoever was named. */
START_TEST(unnamed_devices_must_be_idle_too)
{
	struct vfm_device *a = machine_device(&m, 0, PAIR_A), *b = machine_device(&m, 1, PAIR_B);
	struct vfm_device *c = machine_device(&m, 2, OTHER);
	struct vfm_session *session, *apart;

	ck_assert_int_eq(vfm_session_save(c, NULL, &apart, &err), 0); /* hangs elsewhere */
	ck_assert_int_eq(vfm_session_save(b, NULL, &session, &err), 0);
	fill(PAIR_A);
	ck_assert_int_eq(vfm_device_hot_reset(a, NULL, 0, &err), -EBUSY);
	ck_assert_str_eq(err.device, PAIR_B);
	ck_assert(is_filled(PAIR_A));
	ck_assert_int_eq(vfm_session_abort(session, NULL, &err), 0);
	vfm_session_close(session);
	ck_assert_msg(vfm_device_hot_reset(a, NULL, 0, &err) == 0, "%s", err.message);
	ck_assert(!is_filled(PAIR_A));
	ck_assert_msg(vfm_device_reset(b, &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_session_abort(apart, NULL, &err), 0);
	vfm_session_close(apart);
}
END_TEST

START_TEST(adopted_devices_are_reached_too)
{
	struct vfm_device *a = machine_device(&m, 0, PAIR_A);
	VFM_OPTS(vfm_adopt, adopt);
	struct vfm_session *session;

	machine_device(&m, 1, PAIR_B);
	adopt.device_fd = vfm_device_fd(m.dev[1]);
	adopt.iommufd = -1;
	ck_assert_msg(vfm_device_adopt(m.ctx, &adopt, &m.dev[2], &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_session_save(m.dev[2], NULL, &session, &err), 0);
	ck_assert_int_eq(vfm_device_hot_reset(a, NULL, 0, &err), -EBUSY);
	ck_assert_int_eq(vfm_session_abort(session, NULL, &err), 0);
	vfm_session_close(session);
	vfm_device_close(m.dev[2]);
	m.dev[2] = NULL;
	ck_assert_msg(vfm_device_hot_reset(a, NULL, 0, &err) == 0, "%s", err.message);
}
END_TEST

START_TEST(unnamed_devices_are_waited_for)
{
	struct vfm_device *a, *b;

	stop();
	machine_start(&m, "edu@" PAIR_A ",group=40;edu@" PAIR_B ",group=40,ready=5s");
	a = machine_device(&m, 0, PAIR_A);
	b = machine_device(&m, 1, PAIR_B);
	ck_assert_msg(vfm_device_hot_reset(a, NULL, 0, &err) == 0, "%s", err.message);
	ck_assert_msg(vfm_device_wait_ready(b, 0, &err) == 0, "%s", err.message);
}
END_TEST

static struct vfmi_sys_ops sleepy;
static const struct vfmi_sys_ops *awake;
static pthread_t closer;
static struct second_thread second;
static bool closing;

static void *close_second(void *unused)
{
	(void)unused;
	atomic_store(&second.tid, gettid());
	vfm_device_close(m.dev[1]);
	atomic_store(&second.done, true);
	return NULL;
}

static void sleep_and_close(struct vfmi_sys *sys, uint64_t ns)
{
	awake->sleep_ns(sys, ns);
	if (closing)
		return;
	closing = true;
	ck_assert_int_eq(pthread_create(&closer, NULL, close_second, NULL), 0);
	ck_assert(!ends_unhindered(&second));
}

/* Who closes a device knows nothing of the reset that holds it. */
START_TEST(unnamed_devices_are_not_closed_meanwhile)
{
	struct vfm_device *a;

	stop();
	machine_start(&m, "edu@" PAIR_A ",group=40;edu@" PAIR_B ",group=40,ready=5s");
	a = machine_device(&m, 0, PAIR_A);
	machine_device(&m, 1, PAIR_B);
	awake = m.ctx->sys->ops;
	sleepy = *awake;
	sleepy.sleep_ns = sleep_and_close;
	m.ctx->sys->ops = &sleepy;
	ck_assert_msg(vfm_device_hot_reset(a, NULL, 0, &err) == 0, "%s", err.message);
	ck_assert(closing);
	ck_assert_int_eq(pthread_join(closer, NULL), 0);
	ck_assert(second.done);
	m.ctx->sys->ops = awake;
	m.dev[1] = NULL;
}
END_TEST

START_TEST(no_bus_to_reset)
{
	struct vfm_hot_reset_peer peers[4];
	size_t count;

	machine_device(&m, 0, ROOT);
	ck_assert_int_eq(vfm_device_hot_reset_info(m.dev[0], peers, 4, &count, &err), -EOPNOTSUPP);
	ck_assert_int_eq(vfm_device_hot_reset(m.dev[0], NULL, 0, &err), -EOPNOTSUPP);
	machine_device(&m, 1, "6d747479-0000-4000-8000-000000000004");
	ck_assert_int_eq(vfm_device_hot_reset(m.dev[1], NULL, 0, &err), -EOPNOTSUPP);
}
END_TEST

START_TEST(contention_is_waited_for)
{
	machine_device(&m, 0, OTHER);
	fill(OTHER);
	machine_fault(&m, "VFIO_DEVICE_PCI_HOT_RESET", VFM_SIM_FAULT_BEFORE, 1, 3, EBUSY);
	ck_assert_msg(vfm_device_hot_reset(m.dev[0], NULL, 0, &err) == 0, "%s", err.message);
	ck_assert(!is_filled(OTHER));
	machine_fault(&m, "VFIO_DEVICE_PCI_HOT_RESET", VFM_SIM_FAULT_BEFORE, 1, UINT64_MAX, EBUSY);
	ck_assert_int_eq(vfm_device_hot_reset(m.dev[0], NULL, 0, &err), -EBUSY);
	machine_fault(&m, "VFIO_DEVICE_PCI_HOT_RESET", VFM_SIM_FAULT_BEFORE, 1, 1, ENOTTY);
	ck_assert_int_eq(vfm_device_hot_reset(m.dev[0], NULL, 0, &err), -EIO);
	machine_fault(&m, "VFIO_DEVICE_PCI_HOT_RESET", VFM_SIM_FAULT_BEFORE, 1, 1, EINVAL);
	ck_assert_int_eq(vfm_device_hot_reset(m.dev[0], NULL, 0, &err), -EPERM);
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
}
END_TEST

static struct vfm_device *open_by_group(unsigned int slot, const char *name)
{
	VFM_OPTS(vfm_open, open);

	open.name = name;
	open.flags = VFM_OPEN_GROUP;
	ck_assert_msg(vfm_device_open_with(m.ctx, &open, &m.dev[slot], &err) == 0, "%s", err.message);
	ck_assert_msg(vfm_device_bind(m.dev[slot], m.iommu, &err) == 0, "%s", err.message);
	return m.dev[slot];
}

START_TEST(groups_prove_who_owns)
{
	VFM_OPTS(vfm_iommu_options, container);
	struct vfm_hot_reset_peer peers[4];
	struct vfm_device *a, *b, *adopted;
	VFM_OPTS(vfm_adopt, adopt);

	vfm_iommu_close(m.iommu);
	container.backend = VFM_BACKEND_TYPE1V2;
	ck_assert_msg(vfm_iommu_open(m.ctx, &container, &m.iommu, &err) == 0, "%s", err.message);
	a = open_by_group(0, PAIR_A);
	ck_assert_uint_eq(ask(a, peers), 2);
	ck_assert_uint_eq(peers[0].flags, VFM_HOT_RESET_OWNED | VFM_HOT_RESET_BY_GROUP);
	ck_assert_uint_eq(peers[0].id, 40);
	ck_assert_uint_eq(peers[1].flags, VFM_HOT_RESET_BY_GROUP);
	fill(PAIR_A);
	ck_assert_int_eq(vfm_device_hot_reset(a, NULL, 0, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.message, PAIR_B));
	adopt.device_fd = vfm_device_fd(a);
	adopt.iommufd = vfm_iommu_fd(m.iommu);
	adopt.backend = VFM_BACKEND_TYPE1V2;
	ck_assert_msg(vfm_device_adopt(m.ctx, &adopt, &adopted, &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_device_hot_reset(adopted, NULL, 0, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.message, "adopted"));
	vfm_device_close(adopted);
	b = open_by_group(1, PAIR_B);
	fill(PAIR_B);
	ck_assert_int_eq(vfm_device_hot_reset(a, NULL, 0, &err), -EPERM);
	ck_assert(is_filled(PAIR_A) && is_filled(PAIR_B));
	ck_assert_msg(vfm_device_hot_reset(a, &b, 1, &err) == 0, "%s", err.message);
	ck_assert(!is_filled(PAIR_A) && !is_filled(PAIR_B));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_reset");
	TCase *tc = tcase_create("sim");

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, info_names_what_shares_the_bus);
	tcase_add_test(tc, reset_blanks_all_that_is_owned);
	tcase_add_test(tc, strangers_function_is_named);
	tcase_add_test(tc, named_devices_must_be_idle);
	tcase_add_test(tc, unnamed_devices_must_be_idle_too);
	tcase_add_test(tc, adopted_devices_are_reached_too);
	tcase_add_test(tc, unnamed_devices_are_waited_for);
	tcase_add_test(tc, unnamed_devices_are_not_closed_meanwhile);
	tcase_add_test(tc, no_bus_to_reset);
	tcase_add_test(tc, contention_is_waited_for);
	tcase_add_test(tc, groups_prove_who_owns);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
