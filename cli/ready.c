/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling that what somebody waits for has come about. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ready.h"

#define NOTE "READY=1"

int ready_check(struct cli *cli, const char *option, uint64_t fd)
{
	if (!fd)
		return 0;
	if (fcntl((int)fd, F_GETFD) < 0)
		return cli_usage(cli, "%s: descriptor %d is not open", option, (int)fd);
	if ((fcntl((int)fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return cli_usage(cli, "%s: descriptor %d cannot be written to", option, (int)fd);
	/* a command must not keep the one who waits for readiness waiting */
	fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

int ready_check_distinct(struct cli *cli, uint64_t ready_fd, uint64_t listening_fd)
{
	if (!ready_fd || ready_fd != listening_fd)
		return 0;
	return cli_usage(cli, "--ready-fd and --listening-fd: descriptor %d is closed behind the first line",
			 (int)ready_fd);
}

/* The protocol of sd_notify(3): one datagram. */
static int notify(const char *where)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const size_t length = strlen(where);
	const socklen_t room = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	int fd, r = 0;

	if ((*where != '/' && *where != '@') || length >= sizeof(addr.sun_path))
		return EINVAL;
	memcpy(addr.sun_path, where, length);
	if (*where == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (sendto(fd, NOTE, strlen(NOTE), MSG_NOSIGNAL, (const struct sockaddr *)&addr, room) < 0)
		r = errno;
	close(fd);
	return r;
}

/* The manager notices by its own means that it was not told, which is no reason to end anything. */
static void tell_manager(struct cli *cli)
{
	const char *where = getenv("NOTIFY_SOCKET");
	int r = where && *where ? notify(where) : 0;

	if (r)
		cli_warn(cli, "NOTIFY_SOCKET: '%s' was not told: %s", where, strerror(r));
}

/*
 * A pipe can be full, and whoever should read it gone astray. Return: 0, or an errno, EINTR once a signal came. A child
 * that ended meanwhile is seen by whoever waits next.
 */
static int wait_writable(int fd)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLOUT }, { .fd = signals_wake_fd(), .events = POLLIN } };
	int r = 0;

	while (r == 0 && !fds[0].revents) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			r = errno;
		signals_drain();
		if (r == 0 && !fds[0].revents && signals_first())
			r = EINTR;
	}
	signals_rearm();
	return r;
}

static int write_line(int fd, const char *line)
{
	const int r = wait_writable(fd);
	ssize_t length;

	if (r)
		return r;
	length = write(fd, line, strlen(line));
	if (length < 0)
		return errno;
	return length == (ssize_t)strlen(line) ? 0 : EIO;
}

/* @line: NULL to let who waits see the end of file only. */
static int tell(struct cli *cli, const char *option, int fd, const char *line, int code)
{
	const int r = line ? write_line(fd, line) : 0;

	close(fd);
	/* what the signal does is told by whoever goes on */
	if (r == EINTR)
		cli_warn(cli, "%s: nobody was told, a signal came before descriptor %d could be written to", option,
			 fd);
	else if (r)
		return cli_fail_errno(cli, code, r, NULL, option, "%s: %s", option, strerror(r));
	return 0;
}

int ready_listening(struct cli *cli, uint64_t fd, const char *address)
{
	char *line;
	int r;

	if (!fd)
		return 0;
	if (asprintf(&line, "listening %s\n", address) < 0)
		return cli_fail_memory(cli);
	r = tell(cli, "--listening-fd", (int)fd, line, CLI_FAILED);
	free(line);
	return r;
}

int ready_tell(struct cli *cli, uint64_t fd, bool failed, int code)
{
	if (!failed)
		tell_manager(cli);
	return fd ? tell(cli, "--ready-fd", (int)fd, failed ? NULL : "ready\n", code) : 0;
}
