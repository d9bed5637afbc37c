/* SPDX-License-Identifier: MIT */
/* The simulated machine's table of maps: as many as a large guest has, in any order, and after a death midway. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "sim_raw.h"

#include "sim/spaces.h"

#define PAGE 4096u
#define MANY 100000u
#define FIXED (IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

static struct raw m;
static uint8_t *page;

static void start(void)
{
	raw_start(&m, NULL, "edu,state=64k;edu,state=64k");
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
}

static int map(uint32_t flags, uint64_t *iova)
{
	struct iommu_ioas_map cmd = { .size = sizeof(cmd),
				      .flags = flags,
				      .ioas_id = m.ioas,
				      .user_va = (uintptr_t)page,
				      .length = PAGE,
				      .iova = *iova };
	int r = raw_ioctl(&m, m.iommufd, IOMMU_IOAS_MAP, &cmd);

	*iova = cmd.iova;
	return r;
}

static int unmap(uint64_t iova, uint64_t *length)
{
	struct iommu_ioas_unmap cmd = { .size = sizeof(cmd), .ioas_id = m.ioas, .iova = iova, .length = *length };
	int r = raw_ioctl(&m, m.iommufd, IOMMU_IOAS_UNMAP, &cmd);

	*length = cmd.length;
	return r;
}

/* Each number below a power of two once, in no order to speak of. */
static uint64_t shuffled(uint32_t i, uint32_t count)
{
	return (i * 2654435761u) & (count - 1);
}

static void check_order(uint32_t count)
{
	uint64_t from = 0;
	uint32_t seen = 0;
	const struct sim_map *next;

	ck_assert_int_eq(vfmi_sim_enter(m.sim), 0);
	for (; (next = vfmi_sim_map_next(m.sim, 0, from, UINT64_MAX)); seen++) {
		ck_assert_uint_ge(next->iova, from);
		from = vfmi_sim_map_last(next) + 1;
	}
	vfmi_sim_leave(m.sim);
	ck_assert_uint_eq(seen, count);
}

START_TEST(in_any_order)
{
	static const uint64_t holes[] = { 1, 3, 4, 5, 7, 8, 9, 11 };
	const uint32_t count = 1024;
	uint64_t iova, length;

	for (uint32_t i = 0; i < count; i++) {
		iova = shuffled(i, count) * 2 * PAGE;
		ck_assert_int_eq(map(FIXED, &iova), 0);
		ck_assert_int_eq(map(FIXED, &iova), -EEXIST);
	}
	check_order(count);
	for (uint32_t i = 0; i < count; i += 2) {
		length = PAGE;
		ck_assert_int_eq(unmap(shuffled(i, count) * 2 * PAGE, &length), 0);
	}
	check_order(count / 2);
	/* Holes are filled from below, the first page never. */
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(holes); i++) {
		iova = 0;
		ck_assert_int_eq(map(IOMMU_IOAS_MAP_READABLE, &iova), 0);
		ck_assert_uint_eq(iova, holes[i] * PAGE);
	}
	length = UINT64_MAX;
	ck_assert_int_eq(unmap(0, &length), 0);
	ck_assert_uint_eq(length, (count / 2 + VFMI_ARRAY_SIZE(holes)) * PAGE);
	raw_stop(&m, 0);
}
END_TEST

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A tenth of them takes a tenth of the time, give or take what a busy host does; a table searched through would not. */
START_TEST(a_hundred_thousand)
{
	double begin = seconds(), tenth = 0;
	uint64_t iova, length = UINT64_MAX;

	for (uint32_t i = 0; i < MANY; i++) {
		iova = 0;
		ck_assert_int_eq(map(i % 2 ? FIXED & ~IOMMU_IOAS_MAP_FIXED_IOVA : IOMMU_IOAS_MAP_READABLE, &iova), 0);
		if (i == MANY / 10)
			tenth = seconds() - begin;
	}
	ck_assert_double_lt(seconds() - begin, 40 * tenth + 1);
	ck_assert_uint_eq(raw_usage(&m).maps, MANY);
	begin = seconds();
	ck_assert_int_eq(unmap(0, &length), 0);
	ck_assert_double_lt(seconds() - begin, 10 * tenth + 1);
	ck_assert_uint_eq(length, (uint64_t)MANY * PAGE);
	raw_stop(&m, 0);
}
END_TEST

/* What a killed process leaves: marks that a tree was being changed, and any tree. */
START_TEST(trees_are_made_anew)
{
	const uint32_t count = 256;
	struct sim_machine *machine = m.sim->machine;
	uint64_t iova, length = UINT64_MAX;

	for (uint32_t i = 0; i < count; i++) {
		iova = shuffled(i, count) * PAGE;
		ck_assert_int_eq(map(FIXED, &iova), 0);
	}
	for (uint32_t i = 0; i < count; i++) {
		vfmi_sim_map_at(m.sim, i)->left = i;
		vfmi_sim_map_at(m.sim, i)->right = count - i;
	}
	machine->space[0].root = 3;
	machine->maps_free = 7;
	vfmi_sim_map_at(m.sim, 9)->length = 0;
	machine->busy = SIM_BUSY_MAPS;
	ck_assert_uint_eq(raw_usage(&m).maps, count - 1);
	ck_assert_uint_eq(machine->busy, 0);
	check_order(count - 1);
	iova = shuffled(9, count) * PAGE;
	ck_assert_int_eq(map(FIXED, &iova), 0);
	check_order(count);
	ck_assert_int_eq(unmap(0, &length), 0);
	ck_assert_uint_eq(length, (uint64_t)count * PAGE);
	raw_stop(&m, 0);
}
END_TEST

/* The same for groups: what their devices are attached to is what the groups' containers have. */
START_TEST(attachments_are_made_anew)
{
	struct sim_machine *machine = m.sim->machine;
	int32_t container = raw_open(&m, "/dev/vfio/vfio"), group = raw_open(&m, "/dev/vfio/1");
	uint32_t space;

	ck_assert_int_eq(raw_ioctl(&m, group, VFIO_GROUP_SET_CONTAINER, &container), 0);
	ck_assert_int_eq(raw_ioctl(&m, container, VFIO_SET_IOMMU, (void *)3ul), 0);
	space = machine->device[0].space;
	ck_assert_uint_ne(space, 0);
	machine->device[0].space = 0;
	machine->device[1].space = space;
	machine->busy = SIM_BUSY_GROUPS;
	raw_usage(&m);
	ck_assert_uint_eq(machine->busy, 0);
	ck_assert_uint_eq(machine->device[0].space, space);
	ck_assert_uint_eq(machine->device[1].space, 0);
	/* An address space that its container never heard of, and one that lost its groups. */
	machine->space[9] = (struct sim_space){ .id = SIM_CONTAINER_SPACE, .owner = 1, .type = 3 };
	for (uint32_t i = 0; i < SIM_MAX_OBJECTS; i++)
		if (machine->objects[i].kind == SIM_OBJECT_GROUP)
			machine->objects[i].link = 0;
	machine->busy = SIM_BUSY_GROUPS;
	raw_usage(&m);
	ck_assert_uint_eq(machine->space[9].id, 0);
	ck_assert_uint_eq(machine->space[space - 1].id, 0);
	ck_assert_uint_eq(machine->device[0].space, 0);
	raw_close(&m, group);
	raw_close(&m, container);
	raw_stop(&m, 0);
}
END_TEST

static void map_forever(void)
{
	uint64_t iova, length;

	for (uint32_t i = 0;; i++) {
		iova = shuffled(i, 64) * PAGE;
		length = PAGE;
		if (map(FIXED, &iova) == -EEXIST)
			unmap(iova, &length);
	}
}

START_TEST(killed_while_mapping)
{
	const struct timespec nap = { 0, 3000000 };
	uint64_t length = UINT64_MAX;
	pid_t pid;

	for (int i = 0; i < 20; i++) {
		pid = fork();
		if (!pid)
			map_forever();
		nanosleep(&nap, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		check_order(raw_usage(&m).maps);
	}
	ck_assert_int_eq(unmap(0, &length), 0);
	raw_stop(&m, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_maps");
	TCase *tcase = tcase_create("maps");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, start, NULL);
	tcase_add_test(tcase, in_any_order);
	tcase_add_test(tcase, a_hundred_thousand);
	tcase_add_test(tcase, trees_are_made_anew);
	tcase_add_test(tcase, attachments_are_made_anew);
	tcase_add_test(tcase, killed_while_mapping);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
