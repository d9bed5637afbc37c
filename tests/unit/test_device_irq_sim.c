// SPDX-License-Identifier: MIT
/* Interrupts on the simulated machine: vectors added to others, INTx that is not wired, unmasking by eventfd; mapping.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"
#include "machine_fixture.h"

#define GPU "0000:10:00.0"
#define EDU "0000:11:00.0"
#define EDU_DEAF "0000:12:00.0"
#define EDU_DEAD "0000:13:00.0"
#define EDUS "edu@" EDU ",state=64k;edu@" EDU_DEAF ",state=64k,intx=absent;edu@" EDU_DEAD ",state=64k,intx=unconnected"
#define RAISE 0x60u
#define ACK 0x64u

static struct machine m;
static struct vfm_error err;
static int fds[4];

static void start(const char *spec, const char *name)
{
	machine_start(&m, spec);
	err = (struct vfm_error){ .size = sizeof(err) };
	machine_device(&m, 0, name);
	m.before = machine_usage(&m);
	for (int i = 0; i < 4; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static void stop(void)
{
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	m.before.open_fds = machine_usage(&m).open_fds;
	machine_close(&m);
}

static uint64_t drain(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void arm(uint32_t vector, uint32_t count)
{
	ck_assert_msg(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSIX, vector, count, fds + vector, &err) == 0, "%s",
		      err.message);
}

static void fire(uint32_t vector)
{
	ck_assert_int_eq(vfm_device_irq_trigger(m.dev[0], VFM_IRQ_MSIX, vector, &err), 0);
	ck_assert_uint_eq(drain(fds[vector]), 1);
}

static void expect_armed(uint32_t count)
{
	VFM_OPTS(vfm_irq, irq);

	ck_assert_int_eq(vfm_device_irq(m.dev[0], VFM_IRQ_MSIX, &irq, &err), 0);
	ck_assert_uint_eq(irq.armed, count);
}

START_TEST(vectors_are_added_where_they_can)
{
	start("nvgrace-gpu@" GPU ",state=64k", GPU);
	arm(0, 2);
	arm(2, 2);
	ck_assert_uint_eq(drain(fds[0]), 0); /* nobody was disturbed */
	for (uint32_t i = 0; i < 4; i++)
		fire(i);
	stop();
}
END_TEST

START_TEST(else_all_are_armed_anew)
{
	start("nvgrace-gpu@" GPU ",state=64k,msix=static", GPU);
	arm(0, 2);
	arm(2, 2);
	/* what may have been lost meanwhile is made good by one signal each */
	ck_assert_uint_eq(drain(fds[0]), 1);
	ck_assert_uint_eq(drain(fds[1]), 1);
	ck_assert_uint_eq(drain(fds[2]), 0);
	for (uint32_t i = 0; i < 4; i++)
		fire(i);
	stop();
}
END_TEST

START_TEST(failed_addition_leaves_the_others)
{
	start("nvgrace-gpu@" GPU ",state=64k,msix=static", GPU);
	arm(0, 2);
	/* asked, refused (1), disabled (2), armed anew (3) */
	machine_fault(&m, "VFIO_DEVICE_SET_IRQS", VFM_SIM_FAULT_BEFORE, 3, 1, ENOSPC);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSIX, 2, 1, fds + 2, &err), -ENOSPC);
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
	ck_assert_int_eq(vfm_device_irq_eventfd(m.dev[0], VFM_IRQ_MSIX, 2), -1);
	ck_assert_uint_eq(drain(fds[0]), 1);
	ck_assert_uint_eq(drain(fds[1]), 1);
	fire(1);
	stop();
}
END_TEST

START_TEST(unknown_vectors_are_left_alone)
{
	struct vfm_adopt adopt = { .size = sizeof(adopt), .iommufd = -1 };
	struct vfm_device *twin;

	start("nvgrace-gpu@" GPU ",state=64k,msix=static", GPU);
	arm(0, 1);
	adopt.device_fd = vfm_device_fd(m.dev[0]);
	ck_assert_int_eq(vfm_device_adopt(m.ctx, &adopt, &twin, &err), 0);
	ck_assert_int_eq(vfm_device_irq_arm(twin, VFM_IRQ_MSIX, 1, 1, fds + 1, &err), -EBUSY);
	fire(0);
	vfm_device_close(twin);
	stop();
}
END_TEST

/* The platform has two: the kernel answers with that and enables none. */
START_TEST(fewer_vectors_than_wanted)
{
	start("nvgrace-gpu@" GPU ",state=64k,vectors=2", GPU);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSIX, 0, 4, fds, &err), -ENOSPC);
	ck_assert_msg(strstr(err.message, "4 vectors are needed and the platform gives 2; none is armed") != NULL, "%s",
		      err.message);
	expect_armed(0);
	arm(0, 2);
	fire(1);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSIX, 2, 1, fds + 2, &err), -ENOSPC);
	expect_armed(2);
	fire(0);
	fire(1);
	stop();
}
END_TEST

START_TEST(fewer_vectors_than_added)
{
	start("nvgrace-gpu@" GPU ",state=64k,msix=static,vectors=2", GPU);
	arm(0, 1);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSIX, 2, 2, fds + 2, &err), -ENOSPC);
	ck_assert_msg(strstr(err.message, "gives 2; they are armed as they were") != NULL, "%s", err.message);
	expect_armed(1);
	ck_assert_uint_eq(drain(fds[0]), 1);
	fire(0);
	arm(1, 1);
	stop();
}
END_TEST

/* The kernel keeps as many vectors enabled as there were when the last one is disarmed by -1. */
START_TEST(vectors_are_added_to_none_armed)
{
	const int none = -1;

	start("nvgrace-gpu@" GPU ",state=64k,msix=static", GPU);
	arm(0, 1);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSIX, 0, 1, &none, &err), 0);
	arm(0, 4);
	ck_assert_uint_eq(drain(fds[0]), 0);
	for (uint32_t i = 0; i < 4; i++)
		fire(i);
	stop();
}
END_TEST

/* Where that fails, nothing is armed and the next one begins anew. */
START_TEST(failed_addition_to_none_armed)
{
	const int none = -1;

	start("nvgrace-gpu@" GPU ",state=64k,msix=static", GPU);
	arm(0, 1);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSIX, 0, 1, &none, &err), 0);
	machine_fault(&m, "VFIO_DEVICE_SET_IRQS", _i ? VFM_SIM_FAULT_AFTER : VFM_SIM_FAULT_BEFORE, 2, 1, EIO);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSIX, 0, 4, fds, &err), -EIO);
	ck_assert_ptr_nonnull(strstr(err.message, "none is armed"));
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
	expect_armed(0);
	arm(0, 4);
	fire(3);
	stop();
}
END_TEST

/* As a disable whose effect is not known: what was armed is, in either case. */
START_TEST(vectors_survive_a_failed_disable)
{
	start("nvgrace-gpu@" GPU ",state=64k,msix=static", GPU);
	arm(0, 2);
	machine_fault(&m, "VFIO_DEVICE_SET_IRQS", _i ? VFM_SIM_FAULT_AFTER : VFM_SIM_FAULT_BEFORE, 2, 1, EIO);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSIX, 2, 2, fds + 2, &err), -EIO);
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
	expect_armed(2);
	drain(fds[0]);
	drain(fds[1]);
	fire(0);
	fire(1);
	stop();
}
END_TEST

/* The state of a device does not go where its vectors cannot. */
START_TEST(vectors_do_not_migrate_to_fewer)
{
	struct vfm_device *target;

	start("mlx5@" EDU ",state=64k;mlx5@" EDU_DEAF ",state=64k,vectors=2", EDU);
	target = machine_device(&m, 1, EDU_DEAF);
	arm(0, 4);
	ck_assert_int_eq(vfm_copy(m.dev[0], target, NULL, NULL, &err), -ENOSPC);
	ck_assert_msg(strstr(err.message, "this host gives fewer vectors") != NULL, "%s", err.message);
	ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	fire(3);
	stop();
}
END_TEST

START_TEST(one_kind_at_a_time)
{
	const int none = -1;

	start(EDUS, EDU);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_INTX, 0, 1, fds, &err), 0);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSI, 0, 1, fds + 1, &err), -EBUSY);
		ck_assert_msg(strstr(err.message, "INTx (index 0) is enabled") != NULL, "%s", err.message);
		/* disarmed like this it stays enabled */
		ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_INTX, 0, 1, &none, &err), 0);
	}
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_INTX, &err), 0);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSI, 0, 1, fds + 1, &err), 0);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_INTX, 0, 1, fds, &err), -EBUSY);
	ck_assert_msg(strstr(err.message, "MSI (index 1) is enabled") != NULL, "%s", err.message);
	/* others may be beside it */
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_REQ, 0, 1, fds, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	stop();
}
END_TEST

START_TEST(intx_that_is_not_wired)
{
	static const char *const names[] = { EDU_DEAF, EDU_DEAD };

	start(EDUS, EDU);
	ck_assert_int_eq(vfm_device_irq_resample(m.dev[0], VFM_IRQ_INTX, fds[1], &err), -EINVAL); /* not armed */
	for (unsigned int i = 0; i < 2; i++) {
		struct vfm_device *dev = machine_device(&m, 1 + i, names[i]);

		ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_INTX, 0, 1, fds, &err), -EOPNOTSUPP);
		ck_assert_ptr_nonnull(strstr(err.message, "not wired"));
		ck_assert_int_eq(vfm_device_irq_eventfd(dev, VFM_IRQ_INTX, 0), -1);
	}
	ck_assert_int_eq(vfm_device_irq_mask(m.dev[1], VFM_IRQ_INTX, true, &err), -EOPNOTSUPP);
	ck_assert_int_eq(vfm_device_irq_resample(m.dev[1], VFM_IRQ_INTX, fds[1], &err), -EOPNOTSUPP);
	ck_assert_int_eq(vfm_device_irq_trigger(m.dev[1], VFM_IRQ_INTX, 0, &err), -EOPNOTSUPP);
	stop();
}
END_TEST

/* The state of a device that had INTx armed does not go where there is none. */
START_TEST(wired_intx_does_not_migrate_to_none)
{
	static const char *const names[] = { EDU_DEAF, EDU_DEAD };

	start(EDUS, EDU);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_INTX, 0, 1, fds, &err), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct vfm_device *dev = machine_device(&m, 1 + i, names[i]);

		ck_assert_int_lt(vfm_copy(m.dev[0], dev, NULL, NULL, &err), 0);
		ck_assert_msg(strstr(err.message, "INTx") != NULL, "%s", err.message);
		ck_assert_uint_eq(machine_state(&m, 0), VFM_STATE_RUNNING);
	}
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_INTX, &err), 0);
	ck_assert_msg(vfm_copy(m.dev[0], m.dev[1], NULL, NULL, &err) == 0, "%s", err.message);
	stop();
}
END_TEST

static void poke(uint32_t reg, uint32_t value)
{
	ck_assert_int_eq(vfm_device_region_write(m.dev[0], 0, reg, &value, sizeof(value), &err), 0);
}

START_TEST(eventfd_unmasks_intx)
{
	const uint64_t one = 1;

	start(EDUS, EDU);
	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_INTX, 0, 1, fds, &err), 0);
	ck_assert_msg(vfm_device_irq_resample(m.dev[0], VFM_IRQ_INTX, fds[1], &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_device_irq_resample(m.dev[0], VFM_IRQ_INTX, fds[2], &err), -EBUSY);
	poke(RAISE, 1);
	ck_assert_uint_eq(drain(fds[0]), 1);
	/* masked by its signal, and the pin is still up: it comes again when it is let */
	ck_assert_int_eq(write(fds[1], &one, sizeof(one)), sizeof(one));
	poke(RAISE, 2);
	ck_assert_uint_eq(drain(fds[0]), 1);
	poke(ACK, 3);
	ck_assert_int_eq(vfm_device_irq_resample(m.dev[0], VFM_IRQ_INTX, -1, &err), 0);
	poke(RAISE, 1);
	ck_assert_uint_eq(drain(fds[0]), 0);
	ck_assert_int_eq(vfm_device_irq_resample(m.dev[0], VFM_IRQ_INTX, -1, &err), 0);
	stop();
}
END_TEST

/* Addresses of huge pages, whatever the process has mapped before. */
START_TEST(regions_are_mapped_on_huge_pages)
{
	static const struct {
		uint64_t offset;
		size_t length;
		size_t align;
	} parts[] = {
		{ 0, 1u << 30, 1u << 30 },	{ 0x5000, 0x40000000u, 1u << 30 }, { 0, 2u << 20, 2u << 20 },
		{ 0x3000, 8u << 20, 2u << 20 }, { 0x1000, 0x1000, 0x1000 },
	};
	void *where[5];

	start("nvgrace-gpu@" GPU ",state=2g", GPU);
	for (unsigned int i = 0; i < 5; i++) {
		ck_assert_msg(vfm_device_region_map(m.dev[0], 4, parts[i].offset, parts[i].length, &where[i], &err) ==
				      0,
			      "%s", err.message);
		ck_assert_uint_eq(((uintptr_t)where[i] - parts[i].offset) % parts[i].align, 0);
	}
	*((volatile uint8_t *)where[0] + 0x5000) = 0x77;
	ck_assert_uint_eq(*(volatile uint8_t *)where[1], 0x77);
	for (unsigned int i = 0; i < 5; i++)
		vfm_device_region_unmap(m.dev[0], where[i], parts[i].length);
	stop();
}
END_TEST

static const struct {
	const char *spec;
	size_t page;
	size_t bytes;
} short_bars[] = {
	{ "nvgrace-gpu@" GPU ",state=2k,bar=plain", 4096, 2048 },
	{ "pagesize=64k;nvgrace-gpu@" GPU ",state=2k,bar=plain", 65536, 2048 },
	{ "pagesize=64k;nvgrace-gpu@" GPU ",state=16k,bar=plain", 65536, 16384 },
	{ "nvgrace-gpu@" GPU ",state=4k,bar=plain", 4096, 4096 },
};

/* A BAR shorter than a page is mapped with all of it; what the library reads and writes stays in the BAR. */
START_TEST(short_regions_are_mapped)
{
	const size_t page = short_bars[_i].page, bytes = short_bars[_i].bytes;
	VFM_OPTS(vfm_region, region);
	struct vfm_area area;
	uint8_t last = 0, two[2];
	size_t count;
	void *bar;

	start(short_bars[_i].spec, GPU);
	ck_assert_int_eq(vfm_device_region(m.dev[0], 4, &region, &err), 0);
	ck_assert_uint_eq(region.length, bytes);
	ck_assert_uint_eq(region.flags,
			  VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_MMAP | VFM_REGION_MSIX_MAPPABLE);
	ck_assert_int_eq(vfm_device_region_sparse(m.dev[0], 4, &area, 1, &count, &err), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(area.offset, 0);
	ck_assert_uint_eq(area.length, page);
	ck_assert_int_eq(vfm_device_region_map(m.dev[0], 4, 0, 2 * page, &bar, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_region_map(m.dev[0], 4, page, page, &bar, &err), -EINVAL);
	ck_assert_msg(vfm_device_region_map(m.dev[0], 4, area.offset, area.length, &bar, &err) == 0, "%s", err.message);
	*((volatile uint8_t *)bar + bytes - 1) = 0x77;
	ck_assert_int_eq(vfm_device_region_read(m.dev[0], 4, bytes - 1, &last, 1, &err), 0);
	ck_assert_uint_eq(last, 0x77);
	ck_assert_int_eq(vfm_device_region_read(m.dev[0], 4, bytes, &last, 1, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_region_write(m.dev[0], 4, bytes - 1, "ab", 2, &err), -EINVAL);
	/* of the MSI-X table vfio-pci shows nothing but by the mapping */
	((volatile uint8_t *)bar)[9 * 16 - 1] = 0x66;
	((volatile uint8_t *)bar)[9 * 16] = 0x55;
	ck_assert_int_eq(vfm_device_region_write(m.dev[0], 4, 9 * 16 - 2, "abc", 3, &err), 0);
	ck_assert_uint_eq(((volatile uint8_t *)bar)[9 * 16 - 1], 0x66);
	ck_assert_uint_eq(((volatile uint8_t *)bar)[9 * 16], 'c');
	ck_assert_int_eq(vfm_device_region_read(m.dev[0], 4, 9 * 16 - 1, two, 2, &err), 0);
	ck_assert_uint_eq(two[0], 0xff);
	ck_assert_uint_eq(two[1], 'c');
	vfm_device_region_unmap(m.dev[0], bar, area.length);
	stop();
}
END_TEST

START_TEST(sparse_regions_have_no_more_than_they_say)
{
	VFM_OPTS(vfm_region, region);
	struct vfm_area area;
	size_t count;
	void *bar;

	start("nvgrace-gpu@" GPU ",state=12k", GPU);
	ck_assert_int_eq(vfm_device_region(m.dev[0], 4, &region, &err), 0);
	ck_assert_uint_eq(region.flags & (VFM_REGION_SPARSE | VFM_REGION_MSIX_MAPPABLE), VFM_REGION_SPARSE);
	ck_assert_int_eq(vfm_device_region_sparse(m.dev[0], 4, &area, 1, &count, &err), 0);
	ck_assert_uint_eq(area.length, 3 * 4096);
	ck_assert_int_eq(vfm_device_region_map(m.dev[0], 4, 3 * 4096, 4096, &bar, &err), -EOPNOTSUPP);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_irq_sim");
	TCase *tc = tcase_create("sim");

	tcase_add_test(tc, vectors_are_added_where_they_can);
	tcase_add_test(tc, else_all_are_armed_anew);
	tcase_add_test(tc, failed_addition_leaves_the_others);
	tcase_add_test(tc, unknown_vectors_are_left_alone);
	tcase_add_test(tc, fewer_vectors_than_wanted);
	tcase_add_test(tc, fewer_vectors_than_added);
	tcase_add_test(tc, vectors_are_added_to_none_armed);
	tcase_add_loop_test(tc, failed_addition_to_none_armed, 0, 2);
	tcase_add_loop_test(tc, vectors_survive_a_failed_disable, 0, 2);
	tcase_add_test(tc, vectors_do_not_migrate_to_fewer);
	tcase_add_test(tc, one_kind_at_a_time);
	tcase_add_test(tc, intx_that_is_not_wired);
	tcase_add_test(tc, wired_intx_does_not_migrate_to_none);
	tcase_add_test(tc, eventfd_unmasks_intx);
	tcase_add_test(tc, regions_are_mapped_on_huge_pages);
	tcase_add_loop_test(tc, short_regions_are_mapped, 0, (int)VFMI_ARRAY_SIZE(short_bars));
	tcase_add_test(tc, sparse_regions_have_no_more_than_they_say);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
