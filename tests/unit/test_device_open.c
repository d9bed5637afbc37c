// SPDX-License-Identifier: MIT
/* Opening: callers of a later version. Binding: patience with who holds a device's lock while vfio-pci wants to reset
 * it, and its end.
 */
#include "machine_fixture.h"

#include "internal.h"

#define SPEC "edu@" EDU_A
#define BIND "VFIO_DEVICE_BIND_IOMMUFD"
#define GROUP_BIND "VFIO_GROUP_GET_DEVICE_FD"

static struct machine m;
static struct vfm_error err;

/* Sleeps as the simulated machine does, and triggers the token at the first time. */
static struct vfmi_sys_ops sleepy;
static const struct vfmi_sys_ops *awake;
static struct vfm_cancel *token;
static uint64_t slept_ns;

static void sleep_and_trigger(struct vfmi_sys *sys, uint64_t ns)
{
	awake->sleep_ns(sys, ns);
	slept_ns += ns;
	vfm_cancel_trigger(token);
}

static void start(uint32_t backend)
{
	VFM_OPTS(vfm_iommu_options, options);

	machine_start(&m, SPEC);
	err = (struct vfm_error){ .size = sizeof(err) };
	vfm_iommu_close(m.iommu);
	options.backend = backend;
	ck_assert_msg(vfm_iommu_open(m.ctx, &options, &m.iommu, &err) == 0, "%s", err.message);
	m.before = machine_usage(&m);
}

static void stop(void)
{
	machine_close(&m);
}

/* what a caller of another version sets */

static int try_open(void *sized)
{
	struct vfm_device *dev;

	return vfm_device_open_with(m.ctx, sized, &dev, &err);
}

static int try_start(void *sized)
{
	return vfm_devices_start(m.ctx, m.iommu, sized, 1, 1, &err);
}

static int try_start_open(void *sized)
{
	VFM_OPTS(vfm_start, one);

	one.open = sized;
	return vfm_devices_start(m.ctx, m.iommu, &one, 1, 1, &err);
}

static int try_adopt(void *sized)
{
	struct vfm_device *dev;

	return vfm_device_adopt(m.ctx, sized, &dev, &err);
}

static int try_adopt_identity(void *sized)
{
	VFM_OPTS(vfm_adopt, adopt);

	adopt.identity = sized;
	return try_adopt(&adopt);
}

static int try_iommu_open(void *sized)
{
	struct vfm_iommu *iommu;

	return vfm_iommu_open(m.ctx, sized, &iommu, &err);
}

static int try_iommu_adopt(void *sized)
{
	struct vfm_iommu *iommu;

	return vfm_iommu_adopt(m.ctx, sized, &iommu, &err);
}

static int try_map(void *sized)
{
	return vfm_iommu_map(m.iommu, sized, &err);
}

static int try_map_region(void *sized)
{
	return vfm_iommu_map_region(m.iommu, m.dev[0], 0, 0, sized, &err);
}

static int try_executor(void *sized)
{
	return vfm_context_set_executor(m.ctx, sized);
}

static const struct {
	int (*fn)(void *sized);
	size_t known;
} takers[] = {
	{ try_open, sizeof(struct vfm_open) },
	{ try_start, sizeof(struct vfm_start) },
	{ try_start_open, sizeof(struct vfm_open) },
	{ try_adopt, sizeof(struct vfm_adopt) },
	{ try_adopt_identity, sizeof(struct vfm_identity) },
	{ try_iommu_open, sizeof(struct vfm_iommu_options) },
	{ try_iommu_adopt, sizeof(struct vfm_iommu_adopt) },
	{ try_map, sizeof(struct vfm_map) },
	{ try_map_region, sizeof(struct vfm_map) },
	{ try_executor, sizeof(struct vfm_executor) },
};

/* It is told from a struct that never had its size set: who gets E2BIG can leave away what is not known here. */
START_TEST(what_a_later_version_sets_is_too_big)
{
	union {
		uint32_t size;
		uint64_t words[128];
	} sized = { 0 };

	start(VFM_BACKEND_IOMMUFD);
	machine_device(&m, 0, EDU_A);
	m.before = machine_usage(&m);
	ck_assert_uint_lt(takers[_i].known + sizeof(uint64_t), sizeof(sized));
	ck_assert_int_eq(takers[_i].fn(&sized), -EINVAL);
	sized.size = (uint32_t)(takers[_i].known + sizeof(uint64_t));
	((unsigned char *)&sized)[takers[_i].known] = 1;
	ck_assert_int_eq(takers[_i].fn(&sized), -E2BIG);
	stop();
}
END_TEST

/* patience */

static int open_it(void)
{
	struct vfm_device *dev = NULL;
	int r = vfm_device_open_attached(m.ctx, EDU_A, m.iommu, &dev, &err);

	vfm_device_close(dev);
	return r;
}

static const struct {
	uint32_t backend;
	const char *op;
} ways[] = { { VFM_BACKEND_IOMMUFD, BIND }, { VFM_BACKEND_TYPE1V2, GROUP_BIND } };

START_TEST(lock_of_the_device_is_waited_for)
{
	start(ways[_i].backend);
	machine_fault(&m, ways[_i].op, VFM_SIM_FAULT_BEFORE, 1, 3, EAGAIN);
	ck_assert_msg(open_it() == 0, "%s", err.message);
	ck_assert_uint_eq(vfm_sim_faults_hit(m.sim), 3);
	stop();
}
END_TEST

START_TEST(given_up_it_can_be_tried_again)
{
	start(ways[_i].backend);
	machine_fault(&m, ways[_i].op, VFM_SIM_FAULT_BEFORE, 1, UINT64_MAX, EAGAIN);
	ck_assert_int_eq(open_it(), -EAGAIN);
	ck_assert_uint_eq(vfm_sim_faults_hit(m.sim), 10);
	ck_assert_uint_eq(err.flags, VFM_ERROR_RETRYABLE);
	ck_assert_ptr_nonnull(strstr(err.message, "lock"));
	machine_fault(&m, ways[_i].op, VFM_SIM_FAULT_BEFORE, 1, 1, EBUSY);
	ck_assert_int_eq(open_it(), -EBUSY);
	ck_assert_uint_eq(err.flags, 0);
	ck_assert_msg(open_it() == 0, "%s", err.message);
	stop();
}
END_TEST

START_TEST(patience_can_be_canceled)
{
	VFM_OPTS(vfm_start, one);
	VFM_OPTS(vfm_open, open);

	start(ways[_i].backend);
	machine_fault(&m, ways[_i].op, VFM_SIM_FAULT_BEFORE, 1, UINT64_MAX, EAGAIN);
	ck_assert_int_eq(vfm_cancel_new(m.ctx, &token), 0);
	awake = m.ctx->sys->ops;
	sleepy = *awake;
	sleepy.sleep_ns = sleep_and_trigger;
	m.ctx->sys->ops = &sleepy;
	open.name = EDU_A;
	one.open = &open;
	one.cancel = token;
	slept_ns = 0;
	ck_assert_int_eq(vfm_devices_start(m.ctx, m.iommu, &one, 1, 1, &err), -ECANCELED);
	ck_assert_uint_eq(vfm_sim_faults_hit(m.sim), 1);
	ck_assert_uint_le(slept_ns, 50000000);
	m.ctx->sys->ops = awake;
	vfm_cancel_free(token);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_open");
	TCase *tc = tcase_create("sim");

	tcase_add_loop_test(tc, what_a_later_version_sets_is_too_big, 0, VFMI_ARRAY_SIZE(takers));
	tcase_add_loop_test(tc, lock_of_the_device_is_waited_for, 0, 2);
	tcase_add_loop_test(tc, given_up_it_can_be_tried_again, 0, 2);
	tcase_add_loop_test(tc, patience_can_be_canceled, 0, 2);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
