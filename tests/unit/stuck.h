/* SPDX-License-Identifier: MIT */
/* A second thread that is to stop at a lock: to wait until it has, however busy the machine is. */
#ifndef VFIOMIG_TEST_STUCK_H
#define VFIOMIG_TEST_STUCK_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct second_thread {
	atomic_int tid; /* its gettid(), the first thing it stores */
	atomic_bool done;
};

/* It waits in the kernel; of one that has ended nothing is known any more. */
static inline bool is_asleep(int tid)
{
	char path[64], stat[256], *name_end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (n <= 0)
		return false;
	stat[n] = '\0';
	name_end = strrchr(stat, ')');
	return name_end && strncmp(name_end, ") S", 3) == 0;
}

/* Return: whether it came to its end, which nothing held up then. */
static inline bool ends_unhindered(const struct second_thread *second)
{
	int tid;

	while (!atomic_load(&second->done)) {
		tid = atomic_load(&second->tid);
		if (tid != 0 && is_asleep(tid))
			return false;
		usleep(1000);
	}
	return true;
}

#endif
