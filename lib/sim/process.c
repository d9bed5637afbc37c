/* SPDX-License-Identifier: MIT */
/* Other processes that share the machine: their memory for DMA, their eventfds for interrupts. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "machine.h"

static ssize_t read_text(const char *path, char *buf, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, room - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

/* Field 22 of /proc/PID/stat; counted from behind the name, which may hold anything. */
uint64_t vfmi_sim_start_time(pid_t pid)
{
	char path[64], text[1024], *at;
	int field;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_text(path, text, sizeof(text)) <= 0)
		return 0;
	at = strrchr(text, ')');
	for (field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

uint64_t vfmi_sim_own_start(struct vfm_sim *sim)
{
	if (sim->start_pid != sim->pid) {
		sim->start_time = vfmi_sim_start_time(sim->pid);
		sim->start_pid = sim->pid;
	}
	return sim->start_time;
}

bool vfmi_sim_alive(uint32_t pid, uint64_t start_time)
{
	return pid && vfmi_sim_start_time((pid_t)pid) == start_time;
}

/* Where the kernel has no calls for it. Through this file one could write what is mapped read only. */
static ssize_t memory_by_file(uint32_t pid, uint64_t vaddr, void *buf, size_t length, bool write)
{
	char path[64];
	ssize_t n;
	int fd;

	if (write && pid == (uint32_t)getpid() && !vfmi_sim_is_mapped(vaddr, length, true))
		return -1;
	snprintf(path, sizeof(path), "/proc/%u/mem", pid);
	fd = open(path, (write ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = write ? pwrite(fd, buf, length, (off_t)vaddr) : pread(fd, buf, length, (off_t)vaddr);
	close(fd);
	return n;
}

/* The process's own memory goes the same way: a pointer that leads nowhere is an error, not a crash. */
bool vfmi_sim_memory(uint32_t pid, uint64_t vaddr, void *buf, size_t length, bool write)
{
	struct iovec local = { buf, length };
	struct iovec remote = { (void *)(uintptr_t)vaddr, length };
	ssize_t n;

	n = write ? process_vm_writev((pid_t)pid, &local, 1, &remote, 1, 0)
		  : process_vm_readv((pid_t)pid, &local, 1, &remote, 1, 0);
	if (n < 0 && errno == ENOSYS)
		n = memory_by_file(pid, vaddr, buf, length, write);
	return n == (ssize_t)length;
}

uint64_t vfmi_sim_eventfd_id(uint32_t pid, int fd)
{
	char path[64], text[512];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%u/fdinfo/%d", pid, fd);
	if (read_text(path, text, sizeof(text)) <= 0)
		return 0;
	at = strstr(text, "eventfd-id:");
	return at ? strtoull(at + strlen("eventfd-id:"), NULL, 10) + 1 : 0;
}

/* By a duplicate of the other's descriptor (pidfd_getfd, Linux 5.6), where this process may trace that one. */
bool vfmi_sim_eventfd_signal(uint32_t pid, int fd, uint64_t eventfd_id, uint64_t count)
{
	int pidfd, copy;
	bool ok;

	if (!eventfd_id || vfmi_sim_eventfd_id(pid, fd) != eventfd_id)
		return false;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return false;
	copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	close(pidfd);
	if (copy < 0)
		return false;
	ok = write(copy, &count, sizeof(count)) == sizeof(count);
	close(copy);
	return ok;
}

/* A descriptor of this process for the eventfd with that id, -1 when it has none. */
int vfmi_sim_eventfd_find(uint64_t eventfd_id)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' &&
		    vfmi_sim_eventfd_id((uint32_t)getpid(), (int)strtol(entry->d_name, NULL, 10)) == eventfd_id)
			fd = (int)strtol(entry->d_name, NULL, 10);
	if (dir)
		closedir(dir);
	return fd;
}

/* Whether every page of a range of this process can be read, or written: what pinning it would find out. */
bool vfmi_sim_is_mapped(uint64_t vaddr, uint64_t length, bool writable)
{
	uint64_t at = vaddr, end, first, last;
	char line[512], access[8];
	FILE *file;

	if (vfmi_add_overflows(vaddr, length, &end))
		return false;
	file = fopen("/proc/self/maps", "re");
	if (!file)
		return true;
	while (at < end && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &first, &last, access) != 3 || last <= at)
			continue;
		if (first > at || access[0] != 'r' || (writable && access[1] != 'w'))
			break;
		at = last;
	}
	fclose(file);
	return at >= end;
}
