/* SPDX-License-Identifier: MIT */
/* Readiness of a device whose memory is on CXL: where its DVSEC is looked for, and what is waited for then. */
#include "fake_device.h"
#include "suite.h"
#include "wire.h"

#define NVGRACE "nvgrace_gpu_vfio_pci"
#define SPACE 4096u
#define CONFIG_AT 0x100000u /* in the device file */
#define BAR_AT 0x200000u
#define BAR_BYTES 0x201000u
#define DVSEC_AT 0x180u
#define STATUS_AT (DVSEC_AT + 0x1c)
#define NEVER UINT64_MAX

/* A PCI device with all its configuration space, whose memory becomes valid and active as time goes by. */
static struct {
	struct vfmi_sys_ops ops;
	uint8_t space[SPACE];
	uint32_t space_bytes;
	uint64_t valid_ms;
	uint64_t active_ms;
	uint32_t timeout;	 /* as the field has it */
	uint64_t silent_from_ms; /* reads as ones from then */
	uint64_t silent_to_ms;
	uint64_t registers_ms;
	int bar_reads;
	int config_reads;
} gpu;

static uint64_t now_ms(void)
{
	return fake.slept_ns / 1000000;
}

static bool answer_region(unsigned long request, void *arg, int *r)
{
	struct vfio_region_info *info = arg;

	if (request != VFIO_DEVICE_GET_REGION_INFO)
		return false;
	*info = (struct vfio_region_info){ sizeof(*info), 3, info->index, 0, 0, 0 };
	info->size = info->index == VFM_REGION_CONFIG ? gpu.space_bytes : info->index == 0 ? BAR_BYTES : 0;
	info->offset = info->index == VFM_REGION_CONFIG ? CONFIG_AT : BAR_AT;
	*r = 0;
	return true;
}

static ssize_t gpu_pread(struct vfmi_sys *sys, int fd, void *buf, size_t length, off_t offset)
{
	const bool active = now_ms() >= gpu.active_ms, valid = now_ms() >= gpu.valid_ms;

	(void)sys, (void)fd;
	ck_assert_uint_eq(length, 4);
	if (offset >= BAR_AT) {
		gpu.bar_reads++;
		vfmi_put_le32(buf, now_ms() >= gpu.registers_ms ? 0xff : 0);
		return (ssize_t)length;
	}
	gpu.config_reads++;
	ck_assert_int_ge(offset, CONFIG_AT);
	ck_assert_uint_le((size_t)offset - CONFIG_AT + length, gpu.space_bytes);
	if (vfmi_get_le32(gpu.space + DVSEC_AT))
		vfmi_put_le32(gpu.space + STATUS_AT, (uint32_t)active << 1 | (uint32_t)valid | gpu.timeout << 13);
	if (now_ms() >= gpu.silent_from_ms && now_ms() < gpu.silent_to_ms)
		memset(buf, 0xff, length);
	else
		memcpy(buf, gpu.space + (size_t)offset - CONFIG_AT, length);
	return (ssize_t)length;
}

static void put_head(uint32_t at, uint32_t id, uint32_t next)
{
	vfmi_put_le32(gpu.space + at, id | 1u << 16 | next << 20);
}

static void put_dvsec(uint32_t at, uint32_t next, uint32_t vendor, uint32_t id, uint32_t length)
{
	put_head(at, 0x23, next);
	vfmi_put_le32(gpu.space + at + 4, vendor | 1u << 16 | length << 20);
	vfmi_put_le32(gpu.space + at + 8, id);
}

/* One of another kind, one of another vendor, one of CXL that is not the device's, the one. */
static void setup(void)
{
	const struct vfm_identity identity = { .size = sizeof(identity), .driver = NVGRACE };
	struct vfm_adopt adopt = {
		.size = sizeof(adopt), .device_fd = FAKE_FD, .iommufd = -1, .name = "gpu", .identity = &identity
	};

	fake_setup();
	memset(&gpu, 0, sizeof(gpu));
	gpu.space_bytes = SPACE;
	gpu.active_ms = NEVER;
	gpu.silent_from_ms = NEVER;
	gpu.registers_ms = NEVER;
	gpu.space[4] = 2;
	put_head(0x100, 1, 0x140);
	put_dvsec(0x140, 0x150, 0x10de, 0, 0x40);
	put_dvsec(0x150, DVSEC_AT, 0x1e98, 3, 0x40);
	put_dvsec(DVSEC_AT, 0, 0x1e98, 0, 0x40);
	gpu.ops = fake_ops;
	gpu.ops.pread = gpu_pread;
	fake_sys.ops = &gpu.ops;
	fake.hook = answer_region;
	vfm_device_close(dev);
	ck_assert_int_eq(vfm_device_adopt(ctx, &adopt, &dev, &error), 0);
	fake.slept_ns = 0;
}

static void teardown(void)
{
	fake_teardown();
	fake_sys.ops = &fake_ops;
}

/* Waits as after a reset. */
static int wait_ready(void)
{
	return vfmi_device_wait_ready(dev, "reset", &error);
}

START_TEST(memory_is_waited_for_instead_of_registers)
{
	gpu.valid_ms = 500;
	gpu.active_ms = 3000;
	gpu.timeout = 1;
	ck_assert_msg(wait_ready() == 0, "%s", error.message);
	ck_assert_uint_ge(now_ms(), 3000);
	ck_assert_uint_le(now_ms(), 4500);
	ck_assert_int_eq(gpu.bar_reads, 0);
}
END_TEST

/* The DVSEC says how long: 1 s, 4, 16, 64, 256, and reserved values as the longest. */
static const struct {
	uint32_t timeout;
	uint64_t active_s;
	int r;
} waits[] = {
	{ 0, 59, 0 },  { 0, 70, -ETIMEDOUT },  { 3, 62, 0 },  { 3, 70, -ETIMEDOUT },
	{ 4, 250, 0 }, { 4, 300, -ETIMEDOUT }, { 7, 250, 0 }, { 7, 300, -ETIMEDOUT },
};

START_TEST(device_is_given_the_time_it_asks_for)
{
	gpu.active_ms = waits[_i].active_s * 1000;
	gpu.timeout = waits[_i].timeout;
	ck_assert_msg(wait_ready() == waits[_i].r, "%s", error.message);
	ck_assert_uint_le(now_ms(), 258000);
	if (waits[_i].r == 0)
		return;
	ck_assert_ptr_nonnull(strstr(error.message, "memory is not active"));
	ck_assert_ptr_nonnull(strstr(error.message, "0x19c"));
}
END_TEST

/* Before its word is valid it is nobody's: a device that never says so has the usual minute. */
START_TEST(time_counts_from_where_it_is_valid)
{
	gpu.valid_ms = NEVER;
	gpu.timeout = 4;
	ck_assert_int_eq(wait_ready(), -ETIMEDOUT);
	ck_assert_uint_ge(now_ms(), 60000);
	ck_assert_uint_le(now_ms(), 61000);
	gpu.valid_ms = now_ms() + 50000;
	gpu.active_ms = gpu.valid_ms + 250000;
	ck_assert_msg(wait_ready() == 0, "%s", error.message);
}
END_TEST

START_TEST(time_of_the_caller_is_not_extended)
{
	gpu.timeout = 4;
	gpu.active_ms = 20000;
	ck_assert_int_eq(vfm_device_wait_ready(dev, 5000, &error), -ETIMEDOUT);
	ck_assert_uint_le(now_ms(), 5001);
	ck_assert_int_eq(vfm_device_wait_ready(dev, 30000, &error), 0);
}
END_TEST

START_TEST(silence_in_between_is_waited_out)
{
	gpu.active_ms = 1000;
	gpu.silent_from_ms = 900;
	gpu.silent_to_ms = 9000;
	ck_assert_int_eq(wait_ready(), 0);
	ck_assert_uint_ge(now_ms(), 9000);
}
END_TEST

/* Configuration space answers with memory decoding off as well. */
START_TEST(memory_is_waited_for_without_decoding)
{
	gpu.space[4] = 0;
	gpu.active_ms = 2000;
	ck_assert_int_eq(wait_ready(), 0);
	ck_assert_uint_ge(now_ms(), 2000);
}
END_TEST

static void no_capability(void)
{
	put_head(0x100, 0, 0);
}

static void only_others(void)
{
	put_dvsec(0x150, 0, 0x1e98, 3, 0x40);
}

static void conventional(void)
{
	gpu.space_bytes = 256;
}

static void circle(void)
{
	put_dvsec(0x150, 0x100, 0x1e98, 3, 0x40);
}

static void too_short(void)
{
	put_dvsec(DVSEC_AT, 0, 0x1e98, 0, 0x1c);
}

static void at_the_end(void)
{
	put_dvsec(0x150, 0xfe4, 0x1e98, 3, 0x40);
	put_head(0xfe4, 0x23, 0);
	memset(gpu.space + DVSEC_AT, 0, 4);
}

static void below_the_first(void)
{
	put_dvsec(0x150, 0x40, 0x1e98, 3, 0x40);
	put_dvsec(0x40, 0, 0x1e98, 0, 0x40);
}

static void (*const without[])(void) = {
	no_capability, only_others, conventional, circle, too_short, at_the_end, below_the_first,
};

START_TEST(without_the_dvsec_registers_tell)
{
	without[_i]();
	gpu.active_ms = 0;
	gpu.registers_ms = 20000;
	ck_assert_msg(wait_ready() == 0, "%s", error.message);
	ck_assert_uint_ge(now_ms(), 20000);
	ck_assert_int_gt(gpu.bar_reads, 2);
	/* looked for once a wait, however often the registers are */
	ck_assert_int_lt(gpu.config_reads, 2000);
}
END_TEST

START_TEST(it_can_be_switched_off)
{
	gpu.registers_ms = 5000;
	ck_assert_int_eq(vfm_context_set_quirk(ctx, NVGRACE, "ready-registers", "0:0x1498=0xff", NULL), 0);
	ck_assert_int_eq(wait_ready(), 0);
	ck_assert_uint_ge(now_ms(), 5000);
	fake.slept_ns = 0;
	ck_assert_int_eq(vfm_context_set_quirk(ctx, NVGRACE, "ready-registers", "none", NULL), 0);
	ck_assert_int_eq(wait_ready(), 0);
	ck_assert_uint_eq(now_ms(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_ready_cxl");
	TCase *tc = tcase_create("cxl");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, memory_is_waited_for_instead_of_registers);
	tcase_add_loop_test(tc, device_is_given_the_time_it_asks_for, 0, (int)VFMI_ARRAY_SIZE(waits));
	tcase_add_test(tc, time_counts_from_where_it_is_valid);
	tcase_add_test(tc, time_of_the_caller_is_not_extended);
	tcase_add_test(tc, silence_in_between_is_waited_out);
	tcase_add_test(tc, memory_is_waited_for_without_decoding);
	tcase_add_loop_test(tc, without_the_dvsec_registers_tell, 0, (int)VFMI_ARRAY_SIZE(without));
	tcase_add_test(tc, it_can_be_switched_off);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
