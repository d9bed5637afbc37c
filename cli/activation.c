/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets handed over by LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, from descriptor 3. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activation.h"

#define FIRST_FD 3
#define MAX_FDS 4096u

/* How many there are for this process: variables that were meant for a parent are not for us. */
static size_t count_sockets(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t number = 0, count = 0;

	if (!pid || !fds || parse_number(pid, INT32_MAX, &number) < 0 || number != (uint64_t)getpid() ||
	    parse_number(fds, MAX_FDS, &count) < 0)
		return 0;
	return count;
}

int activation_begin(struct cli *cli)
{
	const char *names = getenv("LISTEN_FDNAMES");
	struct activation *came = &cli->activation;

	came->count = count_sockets();
	if (came->count && names) {
		came->names = strdup(names);
		if (!came->names)
			return cli_fail_memory(cli);
	}
	for (size_t i = 0; i < came->count; i++)
		fcntl(FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_PIDFDID");
	return 0;
}

void activation_end(struct cli *cli)
{
	free(cli->activation.names);
}

/* How many of the names in the list are @name; *ret_index is the first. */
static size_t find_name(const char *list, size_t count, const char *name, size_t *ret_index)
{
	size_t found = 0;

	for (size_t i = 0; list && i < count; i++) {
		const char *end = strchrnul(list, ':');

		if (strlen(name) == (size_t)(end - list) && !memcmp(list, name, strlen(name)) && found++ == 0)
			*ret_index = i;
		list = *end ? end + 1 : NULL;
	}
	return found;
}

static int choose(struct cli *cli, const char *name, size_t *ret_index)
{
	const size_t count = cli->activation.count;
	const char *names = cli->activation.names;
	size_t found = count;

	*ret_index = 0;
	if (count == 0)
		return cli_usage(cli, "systemd: no socket was handed to this process (LISTEN_PID, LISTEN_FDS)");
	if (*name)
		found = find_name(names, count, name, ret_index);
	if (found == 1)
		return 0;
	if (!*name)
		return cli_usage(cli, "systemd: %zu sockets were handed over, say which one: systemd:NAME (%s)", count,
				 names ? names : "they have no names");
	return cli_usage(cli, "systemd:%s: %zu of the sockets handed over are called that (%s)", name, found,
			 names ? names : "they have no names");
}

int activation_take(struct cli *cli, const char *name, int *ret_fd)
{
	socklen_t length = sizeof(int);
	int type = 0, r;
	size_t index;

	r = choose(cli, name, &index);
	if (r)
		return r;
	*ret_fd = FIRST_FD + (int)index;
	if (getsockopt(*ret_fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM)
		return cli_usage(cli, "systemd:%s: descriptor %d is not a stream socket", name, *ret_fd);
	return 0;
}
