// SPDX-License-Identifier: MIT
/* Readiness: what is waited for after bind and reset, for how long, and what a device that does not come gives. */
#include "machine_fixture.h"

#define GPU "0000:07:00.0"

static struct machine m;
static struct vfm_error err;

static void start(const char *spec)
{
	machine_start(&m, spec);
	err = (struct vfm_error){ .size = sizeof(err) };
}

static void stop(void)
{
	m.before = machine_usage(&m);
	machine_close(&m);
}

static uint64_t bind_time_ms(void)
{
	uint64_t before = vfm_sim_now_ns(m.sim);

	machine_device(&m, 0, GPU);
	return (vfm_sim_now_ns(m.sim) - before) / 1000000;
}

START_TEST(bind_and_reset_wait_for_silence_to_end)
{
	uint8_t id[2];
	uint64_t before;

	start("edu@" GPU ",ready=5s");
	ck_assert_uint_ge(bind_time_ms(), 5000);
	ck_assert_int_eq(vfm_device_region_read(m.dev[0], VFM_REGION_CONFIG, 8, id, 2, &err), 0);
	ck_assert_uint_eq(id[0], 0x10);
	before = vfm_sim_now_ns(m.sim);
	ck_assert_msg(vfm_device_reset(m.dev[0], &err) == 0, "%s", err.message);
	ck_assert_uint_ge(vfm_sim_now_ns(m.sim) - before, 5000000000u);
	/* not in steps so wide that the wait doubles */
	ck_assert_uint_le(vfm_sim_now_ns(m.sim) - before, 6500000000u);
	stop();
}
END_TEST

START_TEST(registers_of_the_quirk_table_count)
{
	uint32_t link;

	start("nvgrace-gpu@" GPU ",ready=20s,unready=registers");
	ck_assert_uint_ge(bind_time_ms(), 20000);
	ck_assert_int_eq(vfm_device_region_read(m.dev[0], 0, 0x1498, &link, 4, &err), 0);
	ck_assert_uint_eq(link, 0xff);
	stop();
}
END_TEST

START_TEST(registers_can_be_others_or_none)
{
	start("nvgrace-gpu@" GPU ",ready=300s,unready=registers");
	ck_assert_int_eq(vfm_context_set_quirk(m.ctx, "nvgrace_gpu_vfio_pci", "ready-registers", "none", &err), 0);
	ck_assert_uint_le(bind_time_ms(), 1000);
	/* bits outside the mask do not count, and an offset outside the region is the caller's to mend */
	ck_assert_int_eq(
		vfm_context_set_quirk(m.ctx, "nvgrace_gpu_vfio_pci", "ready-registers", "0:0x1498=0x1/0x1", &err), 0);
	ck_assert_int_eq(vfm_device_wait_ready(m.dev[0], 1000, &err), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err.message, "register 0x1498 of region 0 is 0x0, not 0x1"));
	ck_assert_int_eq(vfm_device_wait_ready(m.dev[0], 400000, &err), 0);
	ck_assert_int_eq(vfm_context_set_quirk(m.ctx, "nvgrace_gpu_vfio_pci", "ready-registers", "9:0=1", &err), 0);
	ck_assert_int_eq(vfm_device_wait_ready(m.dev[0], 1000, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.message, "register 0x0 of region 9 cannot be read"));
	stop();
}
END_TEST

START_TEST(any_driver_can_have_registers)
{
	start("edu@" GPU);
	ck_assert_int_eq(vfm_context_set_quirk(m.ctx, "vfiomig_edu", "ready-registers", "0:0=0x010000ed", &err), 0);
	ck_assert_uint_le(bind_time_ms(), 1000);
	ck_assert_int_eq(vfm_context_set_quirk(m.ctx, "vfiomig-edu", "ready-registers", "0:0=1", &err), 0);
	ck_assert_int_eq(vfm_device_reset(m.dev[0], &err), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err.message, "is 0x10000ed, not 0x1"));
	stop();
}
END_TEST

/* A guest resets the device with memory decoding off: its registers say nothing, and are not waited for. */
START_TEST(registers_that_are_not_decoded_are_passed_over)
{
	const uint8_t none[2] = { 0, 0 };
	uint64_t before;

	start("nvgrace-gpu@" GPU ",ready=20s,unready=registers");
	machine_device(&m, 0, GPU);
	ck_assert_int_eq(vfm_device_region_write(m.dev[0], VFM_REGION_CONFIG, 4, none, 2, &err), 0);
	before = vfm_sim_now_ns(m.sim);
	ck_assert_msg(vfm_device_reset(m.dev[0], &err) == 0, "%s", err.message);
	ck_assert_uint_le(vfm_sim_now_ns(m.sim) - before, 1000000000u);
	stop();
}
END_TEST

START_TEST(who_does_not_come_is_told)
{
	start("edu@" GPU ",ready=300s");
	ck_assert_int_eq(vfm_device_open(m.ctx, GPU, &m.dev[0], &err), 0);
	ck_assert_int_eq(vfm_device_bind(m.dev[0], NULL, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_bind(m.dev[0], m.iommu, &err), -ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(err.message, "all ones"));
	ck_assert_int_eq(vfm_device_bind(m.dev[0], m.iommu, &err), -EINVAL); /* it is bound */
	ck_assert_int_eq(vfm_device_wait_ready(m.dev[0], 0, &err), -ETIMEDOUT);
	ck_assert_int_eq(vfm_device_wait_ready(m.dev[0], 1000, &err), -ETIMEDOUT);
	ck_assert_int_eq(vfm_device_wait_ready(m.dev[0], 400000, &err), 0);
	ck_assert_int_eq(vfm_device_wait_ready(m.dev[0], 0, &err), 0);
	ck_assert_int_eq(vfm_device_attach(m.dev[0], &err), 0);
	stop();
}
END_TEST

START_TEST(table_can_ask_for_longer)
{
	start("edu@" GPU ",ready=100s");
	ck_assert_int_eq(vfm_context_set_quirk(m.ctx, "vfiomig_edu", "ready-ms", "120000", &err), 0);
	ck_assert_uint_ge(bind_time_ms(), 100000);
	stop();
}
END_TEST

START_TEST(unbound_device_is_refused)
{
	start("edu@" GPU);
	ck_assert_int_eq(vfm_device_open(m.ctx, GPU, &m.dev[0], &err), 0);
	ck_assert_int_eq(vfm_device_wait_ready(m.dev[0], 0, &err), -EINVAL);
	stop();
}
END_TEST

START_TEST(a_gone_device_is_not_waited_for)
{
	uint64_t before;

	start("edu@" GPU);
	machine_device(&m, 0, GPU);
	before = vfm_sim_now_ns(m.sim);
	machine_fault(&m, "pread", VFM_SIM_FAULT_BEFORE, 1, UINT64_MAX, ENODEV);
	ck_assert_int_eq(vfm_device_wait_ready(m.dev[0], 60000, &err), -ENODEV);
	ck_assert_uint_le(vfm_sim_now_ns(m.sim) - before, 1000000u);
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_ready");
	TCase *tc = tcase_create("sim");

	tcase_add_test(tc, bind_and_reset_wait_for_silence_to_end);
	tcase_add_test(tc, registers_of_the_quirk_table_count);
	tcase_add_test(tc, registers_can_be_others_or_none);
	tcase_add_test(tc, any_driver_can_have_registers);
	tcase_add_test(tc, registers_that_are_not_decoded_are_passed_over);
	tcase_add_test(tc, who_does_not_come_is_told);
	tcase_add_test(tc, table_can_ask_for_longer);
	tcase_add_test(tc, unbound_device_is_refused);
	tcase_add_test(tc, a_gone_device_is_not_waited_for);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
