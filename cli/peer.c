/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command behind "exec:": started with a channel, waited for, ended; and what its exit status still changes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"
#include "peer.h"

#define STEP "exec"
#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000ull
#define GRACE_NS (5 * NS_PER_S) /* for a command to end once the channel is closed, by SIGTERM, and by SIGKILL */
#define QUIET_NS NS_PER_S	/* before it is told what is being waited for */

struct peer {
	const char *command;
	pid_t pid;
	bool ended;
	int wait_status;
};

static int spawn(const char *command, int fd, pid_t *ret_pid)
{
	/* posix_spawn() promises not to write to them */
	char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return r;
	r = posix_spawnattr_init(&attr);
	if (r)
		goto out_actions;
	/* a session of its own: no signal of our terminal reaches it, and it asks nobody there for a password */
	r = launch_attributes(&attr, POSIX_SPAWN_SETSID);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
	/* devices that we inherited are none of its business, and would be held open for as long as it lives */
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	if (r == 0)
		r = posix_spawn(ret_pid, "/bin/sh", &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
out_actions:
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

int peer_start(struct cli *cli, const char *command, int *ret_fd)
{
	struct peer *peer;
	int fds[2], r;

	if (!*command || cli->peer)
		return cli_usage(cli, *command ? "exec: one command at a time" : "exec: a command is missing");
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return cli_fail_memory(cli);
	peer->command = command;
	r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ? errno : 0;
	if (r == 0) {
		r = spawn(command, fds[1], &peer->pid);
		close(fds[1]);
		if (r)
			close(fds[0]);
	}
	if (r) {
		free(peer);
		return cli_fail_errno(cli, CLI_FAILED, r, NULL, STEP, "cannot start '%s': %s", command, strerror(r));
	}
	cli->peer = peer;
	*ret_fd = fds[0];
	return 0;
}

void peer_reap(struct cli *cli)
{
	struct peer *peer = cli->peer;

	if (peer && !peer->ended && waitpid(peer->pid, &peer->wait_status, WNOHANG) == peer->pid)
		peer->ended = true;
}

static uint64_t now_ns(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Until it has ended, @limit_ns has come, or a signal, if one counts. Return: whether it has ended. */
static bool wait_for_end(struct cli *cli, uint64_t limit_ns, bool heed_signals)
{
	const unsigned int before = signals_count();
	struct pollfd pfd = { .fd = signals_wake_fd(), .events = POLLIN };

	for (;;) {
		const uint64_t now = now_ns();

		signals_drain();
		peer_reap(cli);
		if (cli->peer->ended || now >= limit_ns || (heed_signals && signals_count() != before))
			return cli->peer->ended;
		poll(&pfd, 1, limit_ns == UINT64_MAX ? -1 : (int)((limit_ns - now) / NS_PER_MS % INT32_MAX) + 1);
	}
}

static uint64_t limit_of(const struct cli *cli)
{
	return cli->globals.timeout_ns ? now_ns() + cli->globals.timeout_ns : UINT64_MAX;
}

/* Its exit status is waited for; a run that a signal has ended already waits for nothing more. */
static void wait_long(struct cli *cli)
{
	const uint64_t limit = limit_of(cli), quiet = now_ns() + QUIET_NS;

	if (signals_first()) {
		peer_reap(cli);
		return;
	}
	if (wait_for_end(cli, quiet < limit ? quiet : limit, true) || signals_first() || quiet >= limit)
		return;
	cli_tell_now(cli);
	cli_note(cli, "waiting for the end of the command, process %d; a signal ends the waiting, not the command",
		 (int)cli->peer->pid);
	wait_for_end(cli, limit, true);
}

/* What it was told of has not come about, so that nothing can live in it. */
static void end_now(struct cli *cli, int code)
{
	const pid_t group = cli->peer->pid;

	if (wait_for_end(cli, code ? now_ns() + GRACE_NS : limit_of(cli), code == 0))
		return;
	kill(-group, SIGTERM);
	if (wait_for_end(cli, now_ns() + GRACE_NS, false))
		return;
	kill(-group, SIGKILL);
	wait_for_end(cli, now_ns() + GRACE_NS, false);
}

bool peer_has_failed(struct cli *cli)
{
	const uint64_t grace = now_ns() + GRACE_NS, limit = limit_of(cli);

	return cli->peer && wait_for_end(cli, grace < limit ? grace : limit, true) &&
	       launch_exit_status(cli->peer->wait_status) != 0;
}

static void report(struct cli *cli)
{
	const struct peer *peer = cli->peer;
	struct out_node *node = out_object(cli->doc, "exec", NULL);

	out_number(node, "pid", NULL, (uint64_t)peer->pid, OUT_PLAIN);
	if (peer->ended)
		out_number(node, "status", NULL, (uint64_t)launch_exit_status(peer->wait_status), OUT_PLAIN);
	else
		out_null(node, "status", NULL);
}

/* Somebody traces it, or it hangs in the kernel, and that may last: no reason for us to hang as well. */
static int leave_behind(struct cli *cli, int code)
{
	static const char fmt[] = "'%s' has not ended even by SIGKILL: it is left behind as process %d";
	const struct peer *peer = cli->peer;

	if (!code)
		return cli_fail_at(cli, CLI_PEER, NULL, STEP, fmt, peer->command, (int)peer->pid);
	cli_warn(cli, fmt, peer->command, (int)peer->pid);
	return code;
}

/*
 * Where the transfer stands the status cannot take it back: code 8 would invite a second try, and with it a second
 * owner of the same state. So it is a matter for somebody to look at.
 */
static int judge(struct cli *cli, int code, bool stands)
{
	const struct peer *peer = cli->peer;
	const int status = peer->ended ? launch_exit_status(peer->wait_status) : 0;

	if (!peer->ended && !stands)
		return leave_behind(cli, code);
	if (!peer->ended)
		cli_note(cli, "'%s' goes on as process group %d", peer->command, (int)peer->pid);
	if (status == 0)
		return code;
	if (code) {
		cli_warn(cli, "'%s' ended with status %d", peer->command, status);
		return code;
	}
	if (!stands)
		return cli_fail_at(cli, CLI_PEER, NULL, STEP, "'%s' ended with status %d", peer->command, status);
	return cli_fail_at(cli, CLI_ATTENTION, NULL, STEP,
			   "'%s' ended with status %d after everything had been transferred: nothing is taken back "
			   "here, look at the other end before a device is started at either",
			   peer->command, status);
}

int peer_end(struct cli *cli, int code, bool stands)
{
	if (!cli->peer)
		return code;
	if (stands)
		wait_long(cli);
	else
		end_now(cli, code);
	report(cli);
	code = judge(cli, code, stands);
	free(cli->peer);
	cli->peer = NULL;
	return code;
}
