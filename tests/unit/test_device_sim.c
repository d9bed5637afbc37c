/* SPDX-License-Identifier: MIT */
/* Device and address space on the simulated machine: the whole way in and out, and every call of it failing in turn. */
#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vfiomig/migration.h>
#include <vfiomig/sim.h>

#include "internal.h"
#include "suite.h"

#define EDU "0000:01:00.0"
#define PAGE vfmi_page_size(&vfmi_sys_libc)
#define AREAS 4

static struct vfm_sim *sim;
static struct vfm_context *ctx;
static struct vfm_error error;
static void *memory;
static int signal_fd;
static bool misuse; /* what the test does is wrong on purpose: strict errors are expected */

static void setup(void)
{
	char message[256];

	misuse = false;
	ck_assert_msg(vfm_sim_open(NULL, NULL, &sim, message, sizeof(message)) == 0, "%s", message);
	ck_assert_int_eq(vfm_sim_context(sim, &ctx), 0);
	error = (struct vfm_error){ .size = sizeof(error) };
	signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_ge(signal_fd, 0);
	memory = mmap(NULL, AREAS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
}

static void check_nothing_left(void)
{
	VFM_OPTS(vfm_sim_usage, usage);

	vfm_sim_usage(sim, &usage);
	ck_assert_uint_eq(usage.open_fds, 0);
	ck_assert_uint_eq(usage.maps, 0);
	ck_assert_uint_eq(usage.mmaps, 0);
	ck_assert_uint_eq(usage.devices_open, 0);
	ck_assert_uint_eq(usage.data_sessions, 0);
	ck_assert_msg(misuse || usage.strict_errors == 0, "%s", vfm_sim_strict_message(sim));
}

static void teardown(void)
{
	check_nothing_left();
	vfm_context_free(ctx);
	vfm_sim_close(sim);
	munmap(memory, AREAS * PAGE);
	close(signal_fd);
}

/* An unbound device is not asked at all. */
static void refuses_all(struct vfm_device *dev)
{
	VFM_OPTS(vfm_region, region);
	VFM_OPTS(vfm_irq, irq);
	uint32_t value;
	uint64_t bytes;

	ck_assert_int_eq(vfm_device_region(dev, 0, &region, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_region_read(dev, 0, 0, &value, 4, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_irq(dev, 0, &irq, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_migration_flags(dev, &value, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_get_state(dev, &value, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_set_state(dev, VFM_STATE_STOP, &value, &error), -EINVAL);
	ck_assert_uint_eq(value, VFM_STATE_UNKNOWN);
	ck_assert_int_eq(vfm_device_set_state(dev, VFM_STATE_ERROR, &value, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_data_size(dev, &bytes, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_attach(dev, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_detach(dev, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_reset(dev, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_bus_master(dev, true, &error), -EINVAL);
}

START_TEST(step_by_step)
{
	VFM_OPTS(vfm_identity, identity);
	VFM_OPTS(vfm_device_info, info);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &iommu, &error), 0);
	ck_assert_int_eq(vfm_device_open(ctx, EDU, &dev, &error), 0);
	ck_assert_str_eq(vfm_device_name(dev), EDU);
	ck_assert_int_eq(vfm_device_info(dev, &info, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "not bound"));
	refuses_all(dev);
	ck_assert_int_eq(vfm_device_identity(dev, &identity, &error), 0); /* as sysfs tells */
	ck_assert(!(identity.flags & VFM_IDENTITY_MIGRATION));
	ck_assert_int_eq(vfm_device_bind(dev, iommu, &error), 0);
	ck_assert_uint_ne(vfm_device_id(dev), 0);
	ck_assert_uint_eq(vfm_device_pt_id(dev), 0);
	ck_assert_int_eq(vfm_device_bind(dev, iommu, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_attach(dev, &error), 0);
	ck_assert_uint_ne(vfm_device_pt_id(dev), 0);
	ck_assert_ptr_eq(vfm_device_iommu(dev), iommu);
	ck_assert_int_eq(vfm_device_info(dev, &info, &error), 0);
	ck_assert(info.flags & VFM_DEVICE_PCI);
	ck_assert_int_eq(vfm_device_identity(dev, &identity, &error), 0);
	ck_assert(identity.flags & VFM_IDENTITY_SIMULATED);
	ck_assert_uint_eq(identity.pci_vendor, 0x1234);
	ck_assert_uint_eq(identity.migration_flags, 7);
	ck_assert_int_eq(vfm_device_detach(dev, &error), 0);
	ck_assert_uint_eq(vfm_device_pt_id(dev), 0);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
}
END_TEST

START_TEST(one_owner_at_a_time)
{
	struct vfm_iommu *iommu;
	struct vfm_iommu *other;
	struct vfm_device *dev;
	struct vfm_device *second = NULL;

	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &iommu, &error), 0);
	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &other, &error), 0);
	ck_assert_int_eq(vfm_device_open_attached(ctx, EDU, iommu, &dev, &error), 0);
	ck_assert_int_lt(vfm_device_open_attached(ctx, EDU, other, &second, &error), 0);
	ck_assert_ptr_null(second);
	ck_assert_ptr_nonnull(strstr(error.message, EDU ": bind: "));
	vfm_device_close(dev);
	ck_assert_int_eq(vfm_device_open_attached(ctx, EDU, other, &dev, &error), 0);
	vfm_device_close(dev);
	vfm_iommu_close(other);
	vfm_iommu_close(iommu);
}
END_TEST

START_TEST(nobody_is_not_found)
{
	struct vfm_device *dev = NULL;

	ck_assert_int_eq(vfm_device_open(ctx, "0000:7f:00.0", &dev, &error), -ENODEV);
	ck_assert_int_eq(vfm_device_open(ctx, "no/name at all", &dev, &error), -EINVAL);
	ck_assert_ptr_null(dev);
}
END_TEST

START_TEST(adopted_device_shares_state)
{
	struct vfm_adopt from = { .size = sizeof(from), .name = "lent" };
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	struct vfm_device *lent;
	uint32_t state;

	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &iommu, &error), 0);
	ck_assert_int_eq(vfm_device_open_attached(ctx, EDU, iommu, &dev, &error), 0);
	from.device_fd = vfm_device_fd(dev);
	from.iommufd = vfm_iommu_fd(iommu);
	from.ioas_id = vfm_iommu_ioas_id(iommu);
	ck_assert_int_eq(vfm_device_adopt(ctx, &from, &lent, &error), 0);
	ck_assert_ptr_nonnull(vfm_device_iommu(lent));
	ck_assert_ptr_ne(vfm_device_iommu(lent), iommu);
	ck_assert_int_eq(vfm_device_set_state(lent, VFM_STATE_STOP, &state, &error), 0);
	vfm_device_close(lent);
	ck_assert_int_eq(vfm_device_get_state(dev, &state, &error), 0);
	ck_assert_uint_eq(state, VFM_STATE_STOP);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
}
END_TEST

START_TEST(unbound_devices_are_not_adopted)
{
	struct vfm_adopt from = { .size = sizeof(from), .iommufd = -1 };
	struct vfm_device *dev;
	struct vfm_device *lent = NULL;
	struct vfm_iommu *iommu;

	misuse = true; /* asking is how the library finds out */
	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &iommu, &error), 0);
	ck_assert_int_eq(vfm_device_open(ctx, EDU, &dev, &error), 0);
	from.device_fd = vfm_device_fd(dev);
	ck_assert_int_eq(vfm_device_adopt(ctx, &from, &lent, &error), -EINVAL);
	from.device_fd = vfm_iommu_fd(iommu);
	ck_assert_int_eq(vfm_device_adopt(ctx, &from, &lent, &error), -EINVAL);
	ck_assert_ptr_null(lent);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
}
END_TEST

START_TEST(interrupts_arrive)
{
	struct pollfd pfd = { .fd = signal_fd, .events = POLLIN };
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &iommu, &error), 0);
	ck_assert_int_eq(vfm_device_open_attached(ctx, EDU, iommu, &dev, &error), 0);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &signal_fd, &error), 0);
	ck_assert_int_eq(poll(&pfd, 1, 0), 0);
	ck_assert_int_eq(vfm_device_irq_trigger(dev, VFM_IRQ_MSI, 0, &error), 0);
	ck_assert_int_eq(poll(&pfd, 1, 1000), 1);
	ck_assert_int_eq(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &error), 0);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
}
END_TEST

/* the sweep */

static uint64_t faults_hit;

/* After a failed move the state reported is the true one, or said to be unknown. */
static int move_truly(struct vfm_device *dev, uint32_t target, struct vfm_error *err)
{
	uint32_t reported = 1234;
	uint32_t truth;
	int r = vfm_device_set_state(dev, target, &reported, err);

	if (r == 0)
		return 0;
	faults_hit = vfm_sim_faults_hit(sim);
	ck_assert_int_eq(vfm_sim_set_faults(sim, NULL, 0), 0);
	ck_assert_int_eq(vfm_device_get_state(dev, &truth, NULL), 0);
	ck_assert_msg(reported == truth || reported == VFM_STATE_UNKNOWN, "%s: is in %s", err->message,
		      vfm_state_name(truth));
	ck_assert_uint_eq(err->state_now, reported);
	return r;
}

static int adopt_too(struct vfm_device *dev, struct vfm_error *err)
{
	struct vfm_adopt from = { .size = sizeof(from), .name = "lent", .device_fd = vfm_device_fd(dev) };
	struct vfm_device *lent;
	int r;

	from.iommufd = vfm_iommu_fd(vfm_device_iommu(dev));
	from.ioas_id = vfm_iommu_ioas_id(vfm_device_iommu(dev));
	r = vfm_device_adopt(ctx, &from, &lent, err);
	if (r == 0)
		vfm_device_close(lent);
	return r;
}

static int map_bar(struct vfm_device *dev, struct vfm_error *err)
{
	void *bar;
	int r = vfm_device_region_map(dev, VFM_REGION_BAR0, 0, PAGE, &bar, err);

	if (r == 0)
		vfm_device_region_unmap(dev, bar, PAGE);
	return r == -EOPNOTSUPP ? 0 : r;
}

static int use_device(struct vfm_device *dev, struct vfm_error *err)
{
	VFM_OPTS(vfm_identity, identity);
	uint8_t header[64];
	uint64_t bytes;
	int r;

	r = vfm_device_identity(dev, &identity, err);
	if (r < 0)
		return r;
	r = adopt_too(dev, err);
	if (r < 0)
		return r;
	r = map_bar(dev, err);
	if (r < 0)
		return r;
	r = vfm_device_region_read(dev, VFM_REGION_CONFIG, 0, header, sizeof(header), err);
	if (r < 0)
		return r;
	r = vfm_device_bus_master(dev, true, err);
	if (r < 0)
		return r;
	r = vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &signal_fd, err);
	if (r < 0)
		return r;
	r = vfm_device_data_size(dev, &bytes, err);
	if (r < 0)
		return r;
	r = move_truly(dev, VFM_STATE_STOP, err);
	if (r < 0)
		return r;
	r = move_truly(dev, VFM_STATE_RUNNING, err);
	return r < 0 ? r : vfm_device_reset(dev, err);
}

static int use_space(struct vfm_iommu *iommu, struct vfm_error *err)
{
	struct vfm_iova_range ranges[8];
	size_t count;
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < AREAS; i++) {
		struct vfm_map map = {
			.size = sizeof(map),
			.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED,
			.vaddr = (char *)memory + i * PAGE,
			.length = PAGE,
			.iova = i * 2 * PAGE,
		};

		r = vfm_iommu_map(iommu, &map, err);
	}
	if (r == 0)
		r = vfm_iommu_unmap(iommu, 2 * PAGE, PAGE, err);
	return r < 0 ? r : vfm_iommu_ranges(iommu, ranges, VFMI_ARRAY_SIZE(ranges), &count, NULL, err);
}

static int scenario(struct vfm_error *err)
{
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	int r;

	r = vfm_iommu_open(ctx, NULL, &iommu, err);
	if (r < 0)
		return r;
	r = vfm_device_open_attached(ctx, EDU, iommu, &dev, err);
	if (r < 0)
		goto out;
	r = use_space(iommu, err);
	if (r == 0)
		r = use_device(dev, err);
	vfm_device_close(dev);
out:
	vfm_iommu_close(iommu);
	return r;
}

static uint64_t calls_of_scenario(void)
{
	VFM_OPTS(vfm_sim_usage, usage);

	ck_assert_int_eq(vfm_sim_set_faults(sim, NULL, 0), 0);
	ck_assert_int_eq(scenario(&error), 0);
	vfm_sim_usage(sim, &usage);
	ck_assert_uint_gt(usage.calls, 20);
	return usage.calls;
}

/* One run with calls @first to @first + @count - 1 failing. */
static void run_failing(uint32_t mode, uint64_t first, uint64_t count)
{
	struct vfm_sim_fault fault = { .size = sizeof(fault), .mode = mode, .call = first, .count = count };
	VFM_OPTS(vfm_error, why);
	int r;

	faults_hit = 0;
	ck_assert_int_eq(vfm_sim_set_faults(sim, &fault, 1), 0);
	r = scenario(&why);
	faults_hit += vfm_sim_faults_hit(sim);
	if (r < 0) {
		ck_assert_msg(why.code == -r && why.message[0], "mode %u call %lu: no sentence", mode,
			      (unsigned long)first);
		ck_assert_msg(faults_hit > 0, "failed with no fault: %s", why.message);
	}
	ck_assert_int_eq(vfm_sim_set_faults(sim, NULL, 0), 0);
	check_nothing_left();
}

START_TEST(every_call_may_fail)
{
	uint64_t calls = calls_of_scenario();

	for (uint64_t n = 1; n <= calls; n++)
		run_failing((uint32_t)_i, n, 1);
	ck_assert_int_eq(scenario(&error), 0);
}
END_TEST

START_TEST(all_that_follow_may_fail)
{
	uint64_t calls = calls_of_scenario();

	for (uint64_t n = 1; n <= calls; n++)
		run_failing((uint32_t)_i, n, UINT64_MAX);
	ck_assert_int_eq(scenario(&error), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_sim");
	TCase *tests = tcase_create("device_sim");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, step_by_step);
	tcase_add_test(tests, one_owner_at_a_time);
	tcase_add_test(tests, nobody_is_not_found);
	tcase_add_test(tests, adopted_device_shares_state);
	tcase_add_test(tests, unbound_devices_are_not_adopted);
	tcase_add_test(tests, interrupts_arrive);
	tcase_add_loop_test(tests, every_call_may_fail, VFM_SIM_FAULT_BEFORE, VFM_SIM_FAULT_PARTIAL + 1);
	tcase_add_loop_test(tests, all_that_follow_may_fail, VFM_SIM_FAULT_BEFORE, VFM_SIM_FAULT_PARTIAL + 1);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
