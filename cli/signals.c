/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals end a run by the safe path: the first one triggers the cancel token, later ones change nothing. A descriptor
 * becomes readable with each of them and with the end of a child, for those who wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli.h"

#define BY_TERMINAL 16 /* above the numbers handled here */

static struct vfm_cancel *_Atomic token;
static atomic_int first;
static atomic_uint count;
static atomic_uint untaken; /* a bit for each number, and BY_TERMINAL above it for those that a terminal sent */
static int wake = -1;

static void wake_up(void)
{
	const uint64_t one = 1;
	int saved = errno;

	/* fails only when the counter is full, which is readable too */
	if (wake >= 0 && write(wake, &one, sizeof(one)) < 0)
		errno = saved;
}

static void on_end(int number, siginfo_t *info, void *context)
{
	const bool by_terminal = number != SIGTERM && info->si_code == SI_KERNEL;
	int none = 0;

	(void)context;

	atomic_compare_exchange_strong(&first, &none, number);
	atomic_fetch_or(&untaken, 1u << (number + (by_terminal ? BY_TERMINAL : 0)));
	atomic_fetch_add(&count, 1);
	vfm_cancel_trigger(atomic_load(&token));
	wake_up();
}

static void on_child(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	wake_up();
}

/* Whoever started us may have blocked it, which is inherited. */
static int install(int number, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_RESTART | SA_SIGINFO };
	sigset_t set;

	sigemptyset(&action.sa_mask);
	if (sigaction(number, &action, NULL) < 0)
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, number);
	return sigprocmask(SIG_UNBLOCK, &set, NULL) < 0 ? -errno : 0;
}

/* nohup means it; a shell that ignores SIGINT for what it starts in the background does not mean us. */
static bool is_ignored(int number)
{
	struct sigaction old;

	return sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_IGN;
}

int signals_install(struct vfm_cancel *cancel)
{
	int r;

	wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake < 0)
		return -errno;
	atomic_store(&token, cancel);
	r = install(SIGINT, on_end);
	if (r == 0)
		r = install(SIGTERM, on_end);
	if (r == 0 && !is_ignored(SIGHUP))
		r = install(SIGHUP, on_end);
	return r == 0 ? install(SIGCHLD, on_child) : r;
}

void signals_forget(void)
{
	atomic_store(&token, NULL);
}

int signals_first(void)
{
	return atomic_load(&first);
}

int signals_take(bool *ret_by_terminal)
{
	const unsigned int numbers = atomic_load(&untaken);
	const int bit = numbers ? __builtin_ctz(numbers) : 0;

	atomic_fetch_and(&untaken, ~(1u << bit));
	*ret_by_terminal = bit > BY_TERMINAL;
	return bit > BY_TERMINAL ? bit - BY_TERMINAL : bit;
}

unsigned int signals_count(void)
{
	return atomic_load(&count);
}

int signals_wake_fd(void)
{
	return wake;
}

void signals_rearm(void)
{
	wake_up();
}

void signals_drain(void)
{
	uint64_t value;

	while (wake >= 0 && read(wake, &value, sizeof(value)) == (ssize_t)sizeof(value))
		;
}
