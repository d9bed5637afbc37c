/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks through /proc for the holder of a file: all of it for root, our own processes otherwise. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "in-use.h"

static bool is_number(const char *name)
{
	return *name && strspn(name, "0123456789") == strlen(name);
}

static bool links_to(int dir, const char *name, const char *path)
{
	char target[512];
	ssize_t length = readlinkat(dir, name, target, sizeof(target));

	return length > 0 && (size_t)length == strlen(path) && !memcmp(target, path, (size_t)length);
}

/* A process that ends or is not ours to look at shows nothing. */
static bool has_open(int proc, const char *pid, const char *path)
{
	char name[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;
	int fd;

	snprintf(name, sizeof(name), "%.20s/fd", pid);
	fd = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return false;
	}
	while (!found && (entry = readdir(dir)))
		found = is_number(entry->d_name) && links_to(fd, entry->d_name, path);
	closedir(dir);
	return found;
}

static void describe(int proc, const char *pid, char *buf, size_t room)
{
	char name[64], comm[32];
	ssize_t length = -1;
	int fd;

	snprintf(name, sizeof(name), "%.20s/comm", pid);
	fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		length = read(fd, comm, sizeof(comm) - 1);
		close(fd);
	}
	comm[length > 0 ? length : 0] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
	for (char *at = comm; *at; at++) {
		if (*at < ' ' || *at > '~')
			*at = '?';
	}
	snprintf(buf, room, "%s%s%s%s", pid, *comm ? " (" : "", comm, *comm ? ")" : "");
}

bool in_use_by(const char *path, char *buf, size_t room)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	if (!proc)
		return false;
	while (!found && (entry = readdir(proc))) {
		if (!is_number(entry->d_name) || strtol(entry->d_name, NULL, 10) == getpid())
			continue;
		found = has_open(dirfd(proc), entry->d_name, path);
		if (found)
			describe(dirfd(proc), entry->d_name, buf, room);
	}
	closedir(proc);
	return found;
}
