/* SPDX-License-Identifier: MIT */
/* One simulated machine and several processes: passing, inheriting, dying; the file it lives in. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sim_raw.h"

#include "sim/machine.h"

#define SPEC "edu@" EDU_A ",state=256k;edu@" EDU_B ",state=256k;mtty@" MTTY_A
#define CONTENTS 9

static struct raw m;
static char dir[] = "/tmp/vfiomig-sim-XXXXXX";
static char path[64];

static void start(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/machine", dir);
	raw_start(&m, path, SPEC);
}

static void stop(void)
{
	unlink(path);
	rmdir(dir);
}

/* Run @fn in another process; its exit status. */
static int in_child(int (*fn)(int), int argument)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(fn(argument));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define EXPECT(condition)                                                                                              \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                        \
			return 1;                                                                                      \
		}                                                                                                      \
	} while (0)

/* the file */

static int open_file(const char *bytes, size_t length)
{
	char message[256] = "", name[96];
	struct vfm_sim *sim = NULL;
	int fd, r;

	snprintf(name, sizeof(name), "%s/other", dir);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, length), (int)length);
	close(fd);
	r = vfm_sim_open(name, NULL, &sim, message, sizeof(message));
	vfm_sim_close(sim);
	unlink(name);
	ck_assert(!r || message[0]);
	return r;
}

START_TEST(foreign_files_are_refused)
{
	size_t length = sizeof(struct sim_machine);
	char *bytes = calloc(1, length);
	int fd;

	ck_assert_int_eq(open_file("", 0), -EINVAL);
	ck_assert_int_eq(open_file("hello", 5), -EINVAL);
	ck_assert_int_eq(open_file(bytes, length), -EINVAL);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, bytes, length), (int)length);
	close(fd);
	ck_assert_int_eq(open_file(bytes, length), -EINVAL); /* cut short: bitmaps and contents are missing */
	bytes[8]++;
	ck_assert_int_eq(open_file(bytes, length), -EINVAL); /* version */
	free(bytes);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(file_is_private_and_keeps_its_devices)
{
	struct stat st;
	char message[64];
	struct raw other;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_lt(st.st_blocks * 512, 1 << 20);
	raw_attach_to(&other, path, "mtty"); /* it is there: the description is not looked at */
	ck_assert_int_eq(other.sys->ops->stat(other.sys, "/sys/bus/pci/devices/" EDU_A, &st), 0);
	raw_detach_from(&other);
	ck_assert_int_eq(vfm_sim_open("/nonexistent/machine", NULL, &other.sim, message, sizeof(message)), -ENOENT);
	raw_stop(&m, 0);
}
END_TEST

static int make_machine(int i)
{
	struct vfm_sim *sim;
	char name[96];
	(void)i;

	snprintf(name, sizeof(name), "%s/new", dir);
	EXPECT(vfm_sim_open(name, "mtty", &sim, NULL, 0) == 0);
	vfm_sim_close(sim);
	return 0;
}

START_TEST(machine_is_made_once)
{
	pid_t pids[8];
	char name[96];
	int status;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(make_machine(0));
	}
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(pids); i++) {
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
	}
	snprintf(name, sizeof(name), "%s/new", dir);
	unlink(name);
	raw_stop(&m, 0);
}
END_TEST

/* other processes */

static int see_bound(int fd)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct raw other;
	int own;

	(void)fd;
	raw_attach_to(&other, path, NULL);
	own = raw_open(&other, "/dev/vfio/devices/vfio0");
	bind.iommufd = raw_open(&other, "/dev/iommu");
	EXPECT(own >= 0 && bind.iommufd >= 0);
	EXPECT(raw_ioctl(&other, own, VFIO_DEVICE_BIND_IOMMUFD, &bind) == -EINVAL);
	EXPECT(raw_usage(&other).devices_open == 1);
	return 0;
}

START_TEST(bound_here_is_bound_everywhere)
{
	int fd = raw_device(&m, 0);

	ck_assert_int_eq(in_child(see_bound, 0), 0);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

static int hold_and_die(int writer)
{
	struct raw other;
	int fd;

	raw_start(&other, path, NULL);
	fd = raw_device(&other, 0);
	EXPECT(raw_poke(&other, fd, CONTENTS, 0, 0x11, 1) == 1);
	raw_session(&other, fd, VFIO_DEVICE_STATE_PRE_COPY);
	EXPECT(write(writer, "x", 1) == 1);
	pause();
	return 0;
}

START_TEST(death_is_a_last_close)
{
	struct vfm_sim_usage usage;
	int pipe_fds[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	pid = fork();
	if (!pid)
		_exit(hold_and_die(pipe_fds[1]));
	ck_assert_int_eq(read(pipe_fds[0], &byte, 1), 1);
	usage = raw_usage(&m);
	ck_assert_uint_eq(usage.devices_open, 1);
	ck_assert_uint_eq(usage.data_sessions, 1);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_A, 0, &byte, 1), 0);
	ck_assert_int_eq(byte, 0x11);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	usage = raw_usage(&m);
	ck_assert_uint_eq(usage.devices_open, 0);
	ck_assert_uint_eq(usage.data_sessions, 0);
	ck_assert_uint_eq(usage.resets, 2);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_A, 0, &byte, 1), 0);
	ck_assert_int_eq(byte, 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	raw_stop(&m, 0);
}
END_TEST

/* A device passed on: the receiver knows it, and it stays open with either. */

static int send_fd(struct raw *from, int socket, int fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t) "f", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return from->sys->ops->sendmsg(from->sys, socket, &msg, 0) == 1 ? 0 : -1;
}

static int receive_fd(struct raw *to, int socket)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	int fd = -1;

	if (to->sys->ops->recvmsg(to->sys, socket, &msg, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static int use_received(int socket)
{
	struct raw other;
	uint8_t bytes[64];
	int fd, data_fd;

	raw_attach_to(&other, path, NULL);
	fd = receive_fd(&other, socket);
	EXPECT(fd >= 0);
	EXPECT(raw_state(&other, fd) == VFIO_DEVICE_STATE_RUNNING);
	EXPECT(raw_peek(&other, fd, CONTENTS, 3, 1) == 0x33);
	data_fd = raw_session(&other, fd, VFIO_DEVICE_STATE_STOP_COPY);
	EXPECT(raw_read(&other, data_fd, bytes, sizeof(bytes)) == sizeof(bytes));
	EXPECT(raw_usage(&other).open_fds == 2);
	return 0; /* dies with both open */
}

START_TEST(device_is_passed)
{
	int sockets[2], fd = raw_device(&m, 0);

	ck_assert_int_eq(raw_poke(&m, fd, CONTENTS, 3, 0x33, 1), 1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	ck_assert_int_eq(send_fd(&m, sockets[0], fd), 0);
	ck_assert_int_eq(in_child(use_received, sockets[1]), 0);
	/* The borrower is gone, the state it left is there, nothing was reset. */
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_STOP_COPY);
	ck_assert_uint_eq(raw_usage(&m).resets, 1);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_RUNNING, NULL), 0);
	ck_assert_uint_eq(raw_peek(&m, fd, CONTENTS, 3, 1), 0x33);
	/* On its way in a socket it stays open, too. */
	ck_assert_int_eq(send_fd(&m, sockets[0], fd), 0);
	raw_close(&m, fd);
	ck_assert_uint_eq(raw_usage(&m).devices_open, 1);
	fd = receive_fd(&m, sockets[1]);
	ck_assert_uint_eq(raw_peek(&m, fd, CONTENTS, 3, 1), 0x33);
	close(sockets[0]);
	close(sockets[1]);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

static int use_inherited(int fd)
{
	return raw_poke(&m, fd, CONTENTS, 1, 0x22, 1) != 1 || raw_state(&m, fd) != VFIO_DEVICE_STATE_RUNNING;
}

START_TEST(child_inherits)
{
	int fd = raw_device(&m, 0);

	ck_assert_int_eq(in_child(use_inherited, fd), 0);
	ck_assert_uint_eq(raw_usage(&m).resets, 1);
	ck_assert_uint_eq(raw_peek(&m, fd, CONTENTS, 1, 1), 0x22);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* DMA into the memory of the process that mapped it, an interrupt to the one that armed it - whoever lets time pass. */

static int let_time_pass(int fd)
{
	struct raw other;

	(void)fd;
	raw_attach_to(&other, path, NULL);
	vfm_sim_advance_ns(other.sim, 1000000000);
	raw_detach_from(&other);
	return 0;
}

START_TEST(device_reaches_its_owner_from_elsewhere)
{
	const uint32_t flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	uint32_t irq[6] = { sizeof(irq), flags, 1, 0, 1, 0 };
	struct iommu_ioas_map map = {
		.size = sizeof(map), .flags = 7, .ioas_id = m.ioas, .length = 4096, .iova = 0x10000
	};
	uint8_t *ptr = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = raw_device(&m, 0), event = m.sys->ops->eventfd(m.sys, 0, O_NONBLOCK);
	uint64_t count = 0;

	memset(ptr, 0x77, 16);
	map.user_va = (uintptr_t)ptr;
	irq[5] = (uint32_t)event;
	ck_assert_int_eq(raw_ioctl(&m, m.iommufd, IOMMU_IOAS_MAP, &map), 0);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_SET_IRQS, irq), 0);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 6, 2), 2);
	ck_assert_int_eq(raw_poke(&m, fd, 10, 0x08, 0x10000, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, 10, 0x10, 0x10800, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, 10, 0x18, 16, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, 10, 0x28, 1, 8), 8);
	ck_assert_int_eq(raw_poke(&m, fd, 10, 0x00, 3, 8), 8);
	ck_assert_int_eq(in_child(let_time_pass, 0), 0);
	/* Whether directly or, where one may not trace the other, once the owner comes by. */
	ck_assert_uint_ge(raw_peek(&m, fd, 10, 0x30, 8), 4);
	ck_assert_int_eq(raw_read(&m, event, &count, 8), 8);
	ck_assert_uint_ge(count, 4);
	if (vfmi_sim_memory((uint32_t)getpid(), (uintptr_t)ptr, &count, 8, false))
		ck_assert_mem_eq(ptr + 0x800, ptr, 16);
	raw_close(&m, event);
	raw_close(&m, fd);
	munmap(ptr, 4096);
	raw_close(&m, m.iommufd);
	m.iommufd = raw_open(&m, "/dev/iommu");
	raw_stop(&m, 0);
}
END_TEST

static int arm_and_go(int fds)
{
	const uint32_t flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	uint32_t irq[6] = { sizeof(irq), flags, 1, 0, 1, (uint32_t)(fds >> 8) };

	return raw_ioctl(&m, fds & 0xff, VFIO_DEVICE_SET_IRQS, irq) != 0;
}

START_TEST(eventfd_outlives_who_armed_it)
{
	int fd = raw_device(&m, 0), event = m.sys->ops->eventfd(m.sys, 0, O_NONBLOCK);
	uint64_t count = 0;

	ck_assert_int_eq(in_child(arm_and_go, fd | event << 8), 0);
	ck_assert_int_eq(raw_poke(&m, fd, 7, 4, 6, 2), 2);
	ck_assert_int_eq(raw_poke(&m, fd, 0, 0x60, 1, 4), 4);
	ck_assert_int_eq(raw_poke(&m, fd, 0, 0x60, 1, 4), 4);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING);
	ck_assert_int_eq(raw_read(&m, event, &count, 8), 8);
	ck_assert_uint_eq(count, 2);
	raw_close(&m, event);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* Killed anywhere, again and again: the machine goes on with a device in a state it can have. */

/* Nothing of check in here: it reports by a file that a death in the middle of a message spoils. */
static int quiet_device(struct raw *other)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = other->ioas };
	int fd = raw_open(other, "/dev/vfio/devices/vfio0");

	raw_bind(other, fd);
	raw_ioctl(other, fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	return fd;
}

static int work_until_killed(int writer)
{
	static uint8_t bytes[65536];
	struct raw other;
	int fd, data_fd;

	raw_start(&other, path, NULL);
	if (write(writer, "x", 1) != 1)
		return 1;
	for (;;) {
		fd = quiet_device(&other);
		raw_poke(&other, fd, CONTENTS, 70000, 0x99, 1);
		raw_set(&other, fd, VFIO_DEVICE_STATE_PRE_COPY, &data_fd);
		raw_read(&other, data_fd, bytes, sizeof(bytes));
		if (vfm_sim_poke(other.sim, EDU_A, "dirty=262144"))
			return 1;
		raw_read(&other, data_fd, bytes, 300);
		raw_set(&other, fd, VFIO_DEVICE_STATE_STOP_COPY, NULL);
		raw_read(&other, data_fd, bytes, 300);
		other.sys->ops->close(other.sys, data_fd);
		raw_set(&other, fd, VFIO_DEVICE_STATE_RESUMING, &data_fd);
		raw_write(&other, data_fd, bytes, 1000);
		raw_ioctl(&other, fd, VFIO_DEVICE_RESET, NULL);
		other.sys->ops->close(other.sys, data_fd);
		other.sys->ops->close(other.sys, fd);
	}
}

static void check_after_death(void)
{
	struct vfm_sim_usage usage = raw_usage(&m);
	uint8_t *bytes = malloc(256 << 10), *zeros = calloc(1, 256 << 10);
	int fd;

	ck_assert_uint_eq(usage.devices_open, 0);
	ck_assert_uint_eq(usage.data_sessions, 0);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_A, 0, bytes, 256 << 10), 0);
	ck_assert(!memcmp(bytes, zeros, 256 << 10));
	free(bytes);
	free(zeros);
	fd = raw_device(&m, 0);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING);
	ck_assert_uint_eq(raw_peek(&m, fd, 10, 0x50, 8), 0);
	raw_close(&m, fd);
}

START_TEST(killed_anywhere)
{
	int pipe_fds[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	srand(20240601);
	for (unsigned int round = 0; round < 60; round++) {
		pid = fork();
		if (!pid)
			_exit(work_until_killed(pipe_fds[1]));
		ck_assert_int_eq(read(pipe_fds[0], &byte, 1), 1);
		usleep((useconds_t)(rand() % 3000));
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		check_after_death();
	}
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	raw_stop(&m, 0);
}
END_TEST

/* A change half made, as a death in the middle of it leaves it. */
START_TEST(half_a_change_is_taken_back)
{
	struct sim_machine *machine = m.sim->machine;
	struct sim_device *dev = &machine->device[0];
	int fd = raw_device(&m, 0);
	char byte;

	ck_assert_int_eq(raw_poke(&m, fd, CONTENTS, 0, 1, 1), 1);
	vfmi_sim_change(m.sim, dev);
	dev->state = VFIO_DEVICE_STATE_RESUMING;
	dev->session.kind = SIM_SESSION_LOAD;
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING);
	ck_assert_uint_eq(raw_usage(&m).data_sessions, 0);
	/* What cannot be taken back is finished. */
	vfmi_sim_change(m.sim, dev);
	dev->wiping = 1;
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING);
	ck_assert_int_eq(vfm_sim_contents_read(m.sim, EDU_A, 0, &byte, 1), 0);
	ck_assert_int_eq(byte, 0);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* threads */

static void *move_about(void *user)
{
	int fd = *(int *)user, data_fd;
	uint8_t bytes[4096];

	for (unsigned int i = 0; i < 300; i++) {
		raw_set(&m, fd, VFIO_DEVICE_STATE_PRE_COPY, &data_fd);
		while (raw_read(&m, data_fd, bytes, sizeof(bytes)) > 0)
			;
		m.sys->ops->close(m.sys, data_fd);
		raw_set(&m, fd, VFIO_DEVICE_STATE_RUNNING, &data_fd);
	}
	return NULL;
}

START_TEST(threads_share_a_handle)
{
	int fds[] = { raw_device(&m, 0), raw_device(&m, 1), raw_device(&m, 2) };
	pthread_t threads[3];

	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, move_about, &fds[i]), 0);
	for (unsigned int i = 0; i < 300; i++)
		ck_assert_uint_ne(raw_state(&m, fds[i % 3]), VFIO_DEVICE_STATE_ERROR);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_uint_eq(raw_state(&m, fds[i]), VFIO_DEVICE_STATE_RUNNING);
		raw_close(&m, fds[i]);
	}
	raw_stop(&m, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sim_shared");
	TCase *all = tcase_create("shared");

	suite_add_tcase(suite, all);
	tcase_add_checked_fixture(all, start, stop);
	tcase_set_timeout(all, 60);
	tcase_add_test(all, foreign_files_are_refused);
	tcase_add_test(all, file_is_private_and_keeps_its_devices);
	tcase_add_test(all, machine_is_made_once);
	tcase_add_test(all, bound_here_is_bound_everywhere);
	tcase_add_test(all, death_is_a_last_close);
	tcase_add_test(all, device_is_passed);
	tcase_add_test(all, child_inherits);
	tcase_add_test(all, device_reaches_its_owner_from_elsewhere);
	tcase_add_test(all, eventfd_outlives_who_armed_it);
	tcase_add_test(all, killed_anywhere);
	tcase_add_test(all, half_a_change_is_taken_back);
	tcase_add_test(all, threads_share_a_handle);
	return run_suite(suite);
}
