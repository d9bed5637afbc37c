// SPDX-License-Identifier: MIT
/* dma-bufs of simulated BARs: what is exported, what reaches them, and what takes them away. */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine_fixture.h"

#define GPU "0000:0b:00.0"
#define NIC "0000:0c:00.0"
#define SPEC "kernel=7.2;edu@" EDU_A ",state=64k;edu@" EDU_B ",state=64k;nvgrace-gpu@" GPU ",state=4m;mlx5@" NIC
#define BAR 4u
#define PAGE 4096u
#define MEMORY_AT 0x100000u
#define BAR_AT 0x8000000u
#define RW (VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED)

static struct machine m;
static struct vfm_error err;
static uint8_t *memory;

static void map_file(int fd, uint64_t offset, uint64_t length, int want)
{
	struct vfm_map map = { .size = sizeof(map), .flags = RW | VFM_MAP_FILE, .fd = fd, .fd_offset = offset };

	map.iova = BAR_AT;
	map.length = length;
	ck_assert_msg(vfm_iommu_map(m.iommu, &map, &err) == want, "%s", err.message);
}

static void unmap(uint64_t length)
{
	ck_assert_msg(vfm_iommu_unmap(m.iommu, BAR_AT, length, &err) == 0, "%s", err.message);
}

/* An edu with a page of memory, and a GPU; everything in one address space. */
static void start(const char *spec)
{
	struct vfm_map map = { .size = sizeof(map), .flags = RW, .fd = -1, .iova = MEMORY_AT, .length = PAGE };

	machine_start(&m, spec);
	err = (struct vfm_error){ .size = sizeof(err) };
	machine_device(&m, 0, EDU_A);
	machine_device(&m, 1, GPU);
	ck_assert_int_eq(vfm_device_bus_master(m.dev[0], true, &err), 0);
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(memory, MAP_FAILED);
	map.vaddr = memory;
	m.before = machine_usage(&m);
	ck_assert_int_eq(vfm_iommu_map(m.iommu, &map, &err), 0);
}

static void finish(void)
{
	ck_assert_int_eq(vfm_iommu_unmap(m.iommu, MEMORY_AT, PAGE, &err), 0);
	machine_close(&m);
	munmap(memory, PAGE);
}

static int export(const struct vfm_area *areas, size_t count)
{
	int fd = -1;

	ck_assert_msg(vfm_device_region_export(m.dev[1], BAR, areas, count, &fd, &err) == 0, "%s", err.message);
	return fd;
}

static void reg_write(uint32_t at, uint64_t value)
{
	ck_assert_int_eq(vfm_device_region_write(m.dev[0], 0, at, &value, sizeof(value), &err), 0);
}

static void dma(uint64_t iova, uint32_t length, bool to_device)
{
	reg_write(0x80, to_device ? iova : 0x40000);
	reg_write(0x88, to_device ? 0x40000 : iova);
	reg_write(0x90, length);
	reg_write(0x98, to_device ? 1 : 3);
	vfm_sim_advance_ns(m.sim, 1000000000);
}

/* What the GPU has at @at once the edu has sent @text to where it is mapped. */
static const char *sent(const char *text, uint64_t at)
{
	static char got[32];

	snprintf((char *)memory, sizeof(got), "%s", text);
	dma(MEMORY_AT, sizeof(got), true);
	dma(BAR_AT, sizeof(got), false);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, GPU, at, got, sizeof(got)), 0);
	return got;
}

static void decode(bool on)
{
	uint16_t command = on ? 2 : 0;

	ck_assert_int_eq(vfm_device_region_write(m.dev[1], VFM_REGION_CONFIG, 4, &command, sizeof(command), &err), 0);
}

START_TEST(reached_from_the_offset_on)
{
	const struct vfm_area area = { 4 * PAGE, 8 * PAGE };
	int fd, other;

	start(SPEC);
	fd = export(&area, 1);
	other = dup(fd);
	map_file(fd, 5 * PAGE, 4 * PAGE, -EINVAL);
	map_file(fd, 8 * PAGE, PAGE, -EINVAL);
	map_file(other, PAGE, 4 * PAGE, 0);
	close(fd);
	close(other);
	ck_assert_str_eq(sent("to the GPU", 5 * PAGE), "to the GPU");
	memset(memory, 0, PAGE);
	dma(BAR_AT, 32, true);
	dma(MEMORY_AT, 32, false);
	ck_assert_str_eq((char *)memory, "to the GPU");
	ck_assert_uint_eq(machine_usage(&m).maps, m.before.maps + 2);
	unmap(4 * PAGE);
	ck_assert_str_eq(sent("nothing is there", 5 * PAGE), "to the GPU");
	finish();
}
END_TEST

static void by_decode(void)
{
	decode(false);
	decode(true);
}

static void by_reset(void)
{
	ck_assert_msg(vfm_device_reset(m.dev[1], &err) == 0, "%s", err.message);
	decode(true);
}

static void by_hot_reset(void)
{
	ck_assert_msg(vfm_device_hot_reset(m.dev[1], NULL, 0, &err) == 0, "%s", err.message);
	decode(true);
}

static void by_low_power(void)
{
	ck_assert_msg(vfm_device_power(m.dev[1], VFM_POWER_LOW, -1, &err) == 0, "%s", err.message);
	ck_assert_msg(vfm_device_power(m.dev[1], VFM_POWER_ON, -1, &err) == 0, "%s", err.message);
}

static void (*const revokers[])(void) = { by_decode, by_reset, by_hot_reset, by_low_power };

START_TEST(taken_away_for_good)
{
	const struct vfm_area area = { 0, PAGE };
	int fd;

	start(SPEC);
	fd = export(&area, 1);
	map_file(fd, 0, PAGE, 0);
	ck_assert_str_eq(sent("before", 0), "before");
	revokers[_i]();
	ck_assert_str_ne(sent("after", 0), "after");
	map_file(fd, 0, PAGE, -EEXIST);
	unmap(PAGE);
	map_file(fd, 0, PAGE, 0);
	ck_assert_str_eq(sent("again", 0), "again");
	unmap(PAGE);
	close(fd);
	finish();
}
END_TEST

START_TEST(not_mapped_while_it_cannot_be_reached)
{
	const struct vfm_area area = { 0, PAGE };
	int fd;

	start(SPEC);
	decode(false);
	fd = export(&area, 1);
	map_file(fd, 0, PAGE, -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.message, "memory decode"));
	decode(true);
	ck_assert_int_eq(vfm_device_power(m.dev[1], VFM_POWER_LOW, -1, &err), 0);
	map_file(fd, 0, PAGE, -ENODEV);
	ck_assert_int_eq(vfm_device_power(m.dev[1], VFM_POWER_ON, -1, &err), 0);
	map_file(fd, 0, PAGE, 0);
	vfm_device_close(m.dev[1]);
	m.dev[1] = NULL;
	ck_assert_str_ne(sent("nobody has it", 0), "nobody has it");
	unmap(PAGE);
	/* whoever opens it next has given this buffer to nobody */
	machine_device(&m, 1, GPU);
	decode(true);
	map_file(fd, 0, PAGE, -ENODEV);
	close(fd);
	finish();
}
END_TEST

START_TEST(several_parts_are_no_map)
{
	const struct vfm_area areas[] = { { 0, PAGE }, { 8 * PAGE, PAGE } };
	int fd;

	start(SPEC);
	fd = export(areas, 2);
	map_file(fd, 0, PAGE, -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.message, "of one area"));
	close(fd);
	finish();
}
END_TEST

START_TEST(not_by_every_driver_kernel_and_region)
{
	const struct vfm_area area = { 0, PAGE };
	int fd = -1;

	start(SPEC);
	machine_device(&m, 2, NIC);
	ck_assert_int_eq(vfm_device_region_export(m.dev[2], 0, &area, 1, &fd, &err), -EOPNOTSUPP);
	ck_assert_int_eq(vfm_device_region_export(m.dev[1], VFM_REGION_CONFIG, &area, 1, &fd, &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.message, "BAR"));
	ck_assert_int_eq(fd, -1);
	m.before.open_fds = machine_usage(&m).open_fds;
	finish();
	start("kernel=6.18;edu@" EDU_A ",state=64k;nvgrace-gpu@" GPU ",state=4m");
	ck_assert_int_eq(vfm_device_region_export(m.dev[1], BAR, &area, 1, &fd, &err), -EOPNOTSUPP);
	finish();
}
END_TEST

/* It is as good in another process, and that one's death takes nothing away. */
START_TEST(another_process_closes_its_own)
{
	const struct vfm_area area = { 0, PAGE };
	int fd, status;
	pid_t child;

	start(SPEC);
	fd = export(&area, 1);
	map_file(fd, 0, PAGE, 0);
	child = fork();
	if (child == 0) {
		close(fd);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_str_eq(sent("still there", 0), "still there");
	unmap(PAGE);
	map_file(fd, 0, PAGE, 0);
	unmap(PAGE);
	close(fd);
	finish();
}
END_TEST

START_TEST(failed_export_leaves_nothing)
{
	const struct vfm_sim_fault fault = { .size = sizeof(fault),
					     .op = "VFIO_DEVICE_FEATURE(DMA_BUF).GET",
					     .call = 1,
					     .count = 1,
					     .mode = VFM_SIM_FAULT_AFTER,
					     .error = EMFILE };
	const struct vfm_area area = { 0, PAGE };
	int fd = -1;

	start(SPEC);
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, &fault, 1), 0);
	ck_assert_int_eq(vfm_device_region_export(m.dev[1], BAR, &area, 1, &fd, &err), -EMFILE);
	finish();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_dma_buf");
	TCase *tc = tcase_create("dma_buf");

	tcase_add_test(tc, reached_from_the_offset_on);
	tcase_add_loop_test(tc, taken_away_for_good, 0, (int)(sizeof(revokers) / sizeof(revokers[0])));
	tcase_add_test(tc, not_mapped_while_it_cannot_be_reached);
	tcase_add_test(tc, several_parts_are_no_map);
	tcase_add_test(tc, not_by_every_driver_kernel_and_region);
	tcase_add_test(tc, another_process_closes_its_own);
	tcase_add_test(tc, failed_export_leaves_nothing);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
