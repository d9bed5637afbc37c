/* SPDX-License-Identifier: MIT */
/* The simulated machine's table of maps: as many as a large guest has, in any order, and after a death midway. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "sim_raw.h"

#include "sim/spaces.h"

#define PAGE 4096u
#define MANY 100000u
#define FIXED (IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)

static struct raw m;
static uint8_t *page;
static uint8_t copy_of[16];

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

/* files */

static void start_files(void)
{
	raw_start(&m, NULL, "kernel=6.14;edu,state=64k;edu,state=64k");
}

static int memory_file(off_t length)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, length), 0);
	return fd;
}

static int unmap_one(uint64_t iova, uint64_t length)
{
	return unmap(iova, &length);
}

static int bound(void)
{
	int fd = raw_open(&m, "/dev/vfio/devices/vfio0");

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(raw_bind(&m, fd), 0);
	return fd;
}

static int attach(int fd)
{
	uint32_t pt_id = m.ioas;

	return raw_attach(&m, fd, &pt_id);
}

/* Files are looked at when there is a page table: any may be mapped before, and then no device comes in. */
START_TEST(odd_files_are_found_at_the_attach)
{
	int files[] = { memory_file(4 * PAGE), open("/proc/self/status", O_RDONLY | O_CLOEXEC),
			open("/dev/zero", O_RDWR | O_CLOEXEC), open("/", O_RDONLY | O_CLOEXEC) };
	int fd = bound();

	for (int i = 1; i < 4; i++) {
		ck_assert_int_ge(files[i], 0);
		ck_assert_int_eq(raw_map_file(&m, files[i], 0, PAGE, 0x1000), 0);
		ck_assert_int_eq(attach(fd), -EINVAL);
		ck_assert_int_eq(unmap_one(0x1000, PAGE), 0);
	}
	ck_assert_int_eq(raw_map_file(&m, files[0], PAGE, 4 * PAGE, 0), 0); /* a page too long */
	ck_assert_int_eq(attach(fd), -EINVAL);
	ck_assert_int_eq(ftruncate(files[0], 5 * PAGE), 0);
	ck_assert_int_eq(attach(fd), 0);
	ck_assert_int_eq(raw_map_file(&m, files[0], 2 * PAGE, 4 * PAGE, 0x10000), -EINVAL);
	for (int i = 1; i < 4; i++)
		ck_assert_int_eq(raw_map_file(&m, files[i], 0, PAGE, 0x10000), -EINVAL);
	ck_assert_int_eq(raw_map_file(&m, -1, 0, PAGE, 0x10000), -EBADF);
	ck_assert_int_eq(unmap_one(0, 4 * PAGE), 0);
	for (int i = 0; i < 4; i++)
		close(files[i]);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* Without a page table every byte is a place; with one, whole pages are. */
START_TEST(files_begin_within_a_page)
{
	int file = memory_file(4 * PAGE), fd = bound();
	struct iommu_ioas_copy copy = { .size = sizeof(copy),
					.flags = FIXED,
					.dst_ioas_id = m.ioas,
					.src_ioas_id = m.ioas,
					.length = PAGE,
					.dst_iova = 0x8000,
					.src_iova = 0x2000 };

	ck_assert_int_eq(raw_map_file(&m, file, 5, 100, 0x1005), 0);
	ck_assert_int_eq(attach(fd), -EADDRINUSE);
	ck_assert_int_eq(unmap_one(0x1005, 100), 0);
	ck_assert_int_eq(raw_map_file(&m, file, 0, 4 * PAGE, 0x1000), 0);
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_COPY, &copy), 0);
	ck_assert_int_eq(attach(fd), 0);
	ck_assert_int_eq(raw_map_file(&m, file, 5, PAGE, 0x10000), -EINVAL);
	/* the first may go, the copy stays */
	ck_assert_int_eq(unmap_one(0x1000, 4 * PAGE), 0);
	ck_assert_int_eq(pwrite(file, "file", 4, PAGE), 4);
	raw_pump(&m, fd, 0x8000, 0x8100, 4);
	ck_assert_int_eq(pread(file, copy_of, 4, PAGE + 0x100), 4);
	ck_assert_mem_eq(copy_of, "file", 4);
	ck_assert_int_eq(unmap_one(0x8000, PAGE), 0);
	close(file);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* limits */

static uint64_t number_in(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	ck_assert_ptr_nonnull(at);
	return strtoull(at + strlen(key), NULL, 16);
}

START_TEST(the_limit_is_the_machines)
{
	struct rlimit limit, own;
	char text[4096];
	int fd;

	raw_start(&m, NULL, "memlock=64k;edu,state=64k");
	page = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fd = raw_device(&m, 0);
	ck_assert_int_eq(m.sys->ops->getrlimit(m.sys, RLIMIT_MEMLOCK, &limit), 0);
	ck_assert_uint_eq(limit.rlim_cur, 65536);
	ck_assert_int_eq(m.sys->ops->getrlimit(m.sys, RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &own), 0);
	ck_assert_uint_eq(limit.rlim_cur, own.rlim_cur);
	for (uint64_t iova = 0; iova < 4 * PAGE; iova += PAGE)
		ck_assert_int_eq(map(FIXED, &iova), 0);
	ck_assert_int_gt(vfmi_sys_read_file(m.sys, "/proc/self/status", text, sizeof(text)), 0);
	ck_assert_uint_eq(number_in(text, "CapEff:"), 0);
	ck_assert_uint_eq(number_in(text, "VmPin:"), 0x16);
	ck_assert_uint_eq(number_in(text, "VmLck:"), 0x16);
	raw_close(&m, fd);
	raw_stop(&m, 0);
	/* and the host's where none is said */
	raw_start(&m, NULL, "edu,state=64k");
	ck_assert_int_eq(m.sys->ops->getrlimit(m.sys, RLIMIT_MEMLOCK, &limit), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &own), 0);
	ck_assert_uint_eq(limit.rlim_cur, own.rlim_cur);
	ck_assert_int_gt(vfmi_sys_read_file(m.sys, "/proc/self/status", text, sizeof(text)), 0);
	ck_assert_ptr_nonnull(strstr(text, "Threads:"));
	raw_stop(&m, 0);
	munmap(page, 8 * PAGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_maps");
	TCase *tcase = tcase_create("maps"), *files = tcase_create("files"), *limits = tcase_create("limits");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, start, NULL);
	tcase_add_test(tcase, in_any_order);
	tcase_add_test(tcase, a_hundred_thousand);
	tcase_add_test(tcase, trees_are_made_anew);
	tcase_add_test(tcase, attachments_are_made_anew);
	tcase_add_test(tcase, killed_while_mapping);
	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(files, start_files, NULL);
	tcase_add_test(files, odd_files_are_found_at_the_attach);
	tcase_add_test(files, files_begin_within_a_page);
	suite_add_tcase(suite, files);
	tcase_add_test(limits, the_limit_is_the_machines);
	suite_add_tcase(suite, limits);
	return run_suite(suite);
}
