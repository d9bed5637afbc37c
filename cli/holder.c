/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The holder's loop: what borrowers do is told as it happens, with the state each device was left in. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "holder.h"
#include "launch.h"
#include "peer.h"
#include "ready.h"

#define LENDER_FDS 4
#define RETRY_MS 100 /* after a failure of the lender's socket, which may last */
#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000u
#define REFUSED_NS NS_PER_S /* anybody can knock, as often as they like: how often that is told */

struct holder {
	struct cli *cli;
	const struct cli_devices *devices;
	const struct holder_config *config;
	struct vfm_lender *lender;
	bool loaded;
	int code;    /* of the first failure, 0: none */
	pid_t child; /* 0: none */
	bool child_started;
	int child_status;
	bool child_ended;
	bool lent;
	int borrower;
	uint32_t before[VFM_STREAM_MAX_DEVICES]; /* states when nobody had borrowed */
	struct {
		struct vfm_lend_info last;
		uint64_t count;	  /* not told yet */
		uint64_t told_ns; /* 0: never */
	} refused;
};

static const char *socket_path(const char *pass)
{
	return has_prefix(pass, "unix:") ? pass + strlen("unix:") : NULL;
}

int holder_check(struct cli *cli, const struct holder_config *config)
{
	if (config->pass && (!socket_path(config->pass) || !*socket_path(config->pass)))
		return cli_usage(cli, "--pass: '%s' is not unix:PATH or unix:@NAME", config->pass);
	if (config->recover && !config->pass)
		return cli_usage(cli, "--recover is about borrowers, so it needs --pass");
	return ready_check(cli, "--ready-fd", config->ready_fd);
}

static void remember_states(struct holder *holder)
{
	for (size_t i = 0; i < holder->devices->count; i++)
		holder->before[i] = device_state(holder->devices->items[i].dev);
}

static int open_lender(struct holder *holder)
{
	VFM_OPTS(vfm_error, error);
	int r;

	if (!holder->config->pass)
		return 0;
	r = vfm_lender_open(holder->cli->ctx, socket_path(holder->config->pass), &holder->lender, &error);
	return r < 0 ? cli_fail(holder->cli, CLI_STAGE_OPEN, &error, NULL) : 0;
}

int holder_prepare(struct cli *cli, const struct holder_config *config, struct holder **ret)
{
	struct holder *holder = calloc(1, sizeof(*holder));
	int r;

	if (!holder)
		return cli_fail_memory(cli);
	holder->cli = cli;
	holder->config = config;
	r = config->exec ? launch_check(cli, config->exec[0]) : 0;
	if (r == 0)
		r = open_lender(holder);
	if (r == 0)
		*ret = holder;
	else
		holder_free(holder);
	return r;
}

void holder_free(struct holder *holder)
{
	if (holder)
		vfm_lender_close(holder->lender);
	free(holder);
}

static int failure_code(const struct holder *holder)
{
	return holder->loaded ? CLI_ATTENTION : CLI_FAILED;
}

static int lend_devices(struct holder *holder)
{
	VFM_OPTS(vfm_error, error);
	int r = 0;

	for (size_t i = 0; holder->lender && i < holder->devices->count && r == 0; i++)
		r = vfm_lender_add(holder->lender, holder->devices->items[i].dev, &error);
	if (r == 0)
		return 0;
	/* half a loan is none */
	vfm_lender_close(holder->lender);
	holder->lender = NULL;
	return cli_fail_as(holder->cli, failure_code(holder), &error);
}

/*
 * A terminal sends to all processes in its foreground, so the command has it already; unless it left our group, or we
 * lead the session: a terminal that is gone tells the leader alone.
 */
static bool has_it_already(const struct holder *holder, int number)
{
	return getpgid(holder->child) == getpgrp() && (number != SIGHUP || getsid(0) != getpid());
}

static void forward_signals(const struct holder *holder)
{
	bool by_terminal;

	for (int number = signals_take(&by_terminal); number; number = signals_take(&by_terminal)) {
		if (!by_terminal || !has_it_already(holder, number))
			kill(holder->child, number);
	}
}

/* A signal from before the command was started ends it all the same. */
static int start_command(struct holder *holder)
{
	char **argv = holder->config->exec;
	int r;

	if (!argv)
		return 0;
	r = launch(holder->cli, holder->devices, argv, failure_code(holder), &holder->child);
	holder->child_started = r == 0;
	if (r == 0)
		forward_signals(holder);
	return r;
}

static int tell_ready(struct holder *holder)
{
	for (size_t i = 0; i < holder->devices->count; i++)
		cli_note(holder->cli, "holding %s, which is %s", vfm_device_name(holder->devices->items[i].dev),
			 vfm_state_name(holder->before[i]));
	if (holder->lender)
		cli_note(holder->cli, "lending on %s", holder->config->pass);
	return ready_tell(holder->cli, holder->config->ready_fd, holder->code != 0, failure_code(holder));
}

/* "events" of the JSON document: what happened and the state each device has since. */
static struct out_node *add_event(struct holder *holder, const char *name, const struct vfm_lend_info *info)
{
	struct out_node *event = out_object(cli_list_for(holder->cli, "events", "events_left_out"), NULL, NULL);
	struct out_node *devices;

	if (!event)
		return NULL;
	out_text(event, "event", NULL, "%s", name);
	out_number(event, "pid", NULL, (uint64_t)info->pid, OUT_PLAIN);
	out_number(event, "uid", NULL, info->uid, OUT_PLAIN);
	devices = out_array(event, "devices", NULL);
	for (size_t i = 0; i < holder->devices->count; i++) {
		struct out_node *device = out_object(devices, NULL, NULL);

		out_text(device, "name", NULL, "%s", vfm_device_name(holder->devices->items[i].dev));
		out_text(device, "backend", NULL, "%s",
			 vfm_backend_name(vfm_iommu_backend(vfm_device_iommu(holder->devices->items[i].dev))));
		cli_add_state(device, "state", NULL, device_state(holder->devices->items[i].dev));
	}
	return event;
}

/*
 * Back to the state before the loan. A half-loaded device has lost what it held, so a reset costs nothing more; one in
 * ERROR is left to its owner, who may want to look at it.
 */
static void recover(struct holder *holder, struct vfm_device *dev, uint32_t now, uint32_t before)
{
	struct cli *cli = holder->cli;
	VFM_OPTS(vfm_error, error);
	int r = 0;

	if (now == VFM_STATE_RESUMING) {
		r = vfm_device_reset(dev, &error);
		if (r == 0)
			cli_note(cli, "%s was half loaded and has been reset: it is blank", vfm_device_name(dev));
	}
	if (r == 0 && (before == VFM_STATE_STOP || before == VFM_STATE_RUNNING || before == VFM_STATE_RUNNING_P2P))
		r = vfm_device_set_state(dev, before, &now, &error);
	if (r < 0)
		cli_warn(cli, "%s", error.message);
	else
		cli_note(cli, "%s is %s again", vfm_device_name(dev), vfm_state_name(device_state(dev)));
}

/* No command resets a device that is held, and nothing is loaded into one in these states. */
static void warn_reset(struct cli *cli, const struct cli_device *item, uint32_t now)
{
	const char *name = vfm_device_name(item->dev);

	if (!item->opened_here)
		cli_warn(cli, "%s needs a reset, by whoever lent it", name);
	else if (now == VFM_STATE_RESUMING)
		cli_warn(cli, "%s needs a reset: end the holding, which does it, or hold with --recover", name);
	else
		cli_warn(cli, "%s needs a reset: end the holding, which does it", name);
}

static void tell_states(struct holder *holder, bool died)
{
	struct cli *cli = holder->cli;

	for (size_t i = 0; i < holder->devices->count; i++) {
		struct vfm_device *dev = holder->devices->items[i].dev;
		const uint32_t now = device_state(dev), before = holder->before[i];

		cli_note(cli, "%s is %s, it was %s before the loan", vfm_device_name(dev), vfm_state_name(now),
			 vfm_state_name(before));
		if (died && now != before && holder->config->recover)
			recover(holder, dev, now, before);
		else if (died && (now == VFM_STATE_RESUMING || now == VFM_STATE_ERROR))
			warn_reset(cli, &holder->devices->items[i], now);
	}
}

static void on_loan_end(struct holder *holder, const struct vfm_lend_info *info, bool died)
{
	holder->lent = false;
	if (died)
		cli_warn(holder->cli, "process %d died with the loan", info->pid ? info->pid : holder->borrower);
	else
		cli_note(holder->cli, "process %d gave the loan back", info->pid ? info->pid : holder->borrower);
	tell_states(holder, died);
	add_event(holder, died ? "died" : "returned", info);
}

static uint64_t now_ns(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Until refusals may be told again, -1: nothing is to be told. */
static int refused_wait_ms(const struct holder *holder)
{
	const uint64_t now = now_ns(), due = holder->refused.told_ns + REFUSED_NS;

	if (!holder->refused.count)
		return -1;
	if (!holder->refused.told_ns || now >= due)
		return 0;
	return (int)((due - now) / NS_PER_MS) + 1;
}

static void tell_refused(struct holder *holder)
{
	const struct vfm_lend_info *last = &holder->refused.last;
	const uint64_t count = holder->refused.count;

	if (count == 0)
		return;
	if (count == 1)
		cli_warn(holder->cli, "process %d of user %u was turned away", last->pid, last->uid);
	else
		cli_warn(holder->cli, "%llu processes were turned away, the last was process %d of user %u",
			 (unsigned long long)count, last->pid, last->uid);
	out_number(add_event(holder, "refused", last), "count", NULL, count, OUT_PLAIN);
	holder->refused.count = 0;
	holder->refused.told_ns = now_ns();
}

static void on_event(struct holder *holder, const struct vfm_lend_info *info)
{
	switch (info->event) {
	case VFM_LEND_BORROWED:
		holder->lent = true;
		holder->borrower = info->pid;
		cli_note(holder->cli, "lent to process %d", info->pid);
		add_event(holder, "borrowed", info);
		break;
	case VFM_LEND_RETURNED:
		on_loan_end(holder, info, false);
		break;
	case VFM_LEND_DIED:
		on_loan_end(holder, info, true);
		break;
	case VFM_LEND_REFUSED:
		holder->refused.last = *info;
		holder->refused.count++;
		break;
	default:
		break;
	}
}

static void dispatch(struct holder *holder)
{
	struct vfm_lend_info info = { .size = sizeof(info) };
	VFM_OPTS(vfm_error, error);

	if (!holder->lent)
		remember_states(holder);
	if (vfm_lender_dispatch(holder->lender, &info, &error) < 0) {
		cli_warn(holder->cli, "%s", error.message);
		poll(NULL, 0, RETRY_MS);
		return;
	}
	on_event(holder, &info);
}

static void on_wake(struct holder *holder)
{
	signals_drain();
	peer_reap(holder->cli);
	if (holder->child)
		forward_signals(holder);
	if (holder->child && waitpid(holder->child, &holder->child_status, WNOHANG) == holder->child) {
		holder->child_ended = true;
		holder->child = 0;
	}
}

static bool is_over(const struct holder *holder)
{
	if (holder->child_started)
		return holder->child_ended;
	return signals_first() != 0;
}

static void wait_once(struct holder *holder)
{
	struct pollfd fds[LENDER_FDS + 1] = { { .fd = signals_wake_fd(), .events = POLLIN } };
	int lender_fds[LENDER_FDS];
	size_t count = holder->lender ? vfm_lender_fds(holder->lender, lender_fds, LENDER_FDS) : 0;
	bool served = false;

	if (count > LENDER_FDS)
		count = LENDER_FDS;
	for (size_t i = 0; i < count; i++)
		fds[i + 1] = (struct pollfd){ .fd = lender_fds[i], .events = POLLIN };
	if (refused_wait_ms(holder) == 0)
		tell_refused(holder);
	if (poll(fds, count + 1, refused_wait_ms(holder)) < 0)
		return;
	if (fds[0].revents)
		on_wake(holder);
	for (size_t i = 0; i < count; i++)
		served = served || fds[i + 1].revents;
	if (served)
		dispatch(holder);
}

static void tell_end(const struct holder *holder)
{
	for (size_t i = 0; i < holder->devices->count; i++) {
		const struct cli_device *item = &holder->devices->items[i];
		const char *name = vfm_device_name(item->dev);

		if (!item->opened_here)
			cli_note(holder->cli, "holding ends, %s lives on with who lent it", name);
		else if (holder->lent)
			cli_note(holder->cli, "holding ends, %s is reset once its borrower closes it", name);
		else
			cli_note(holder->cli, "holding ends, the last close resets %s", name);
	}
}

static int exit_code(const struct holder *holder)
{
	if (holder->code)
		return holder->code;
	if (holder->child_started)
		return launch_exit_status(holder->child_status);
	return signals_first() ? CLI_SIGNAL + signals_first() : CLI_FAILED;
}

/* Whether there is something to go on for after a step that returned @r. */
static bool goes_on(struct holder *holder, int r)
{
	if (r == 0)
		return true;
	if (!holder->code)
		holder->code = r;
	if (!holder->loaded || !devices_any_opened_here(holder->devices))
		return holder->child;
	cli_warn(holder->cli,
		 "holding goes on all the same: process %d ends it by SIGTERM, and with it what was loaded",
		 (int)getpid());
	return true;
}

int holder_run(struct holder *holder, const struct cli_devices *devices, bool loaded)
{
	holder->devices = devices;
	holder->loaded = loaded;
	remember_states(holder);
	if (goes_on(holder, lend_devices(holder)) && goes_on(holder, start_command(holder)) &&
	    goes_on(holder, tell_ready(holder))) {
		while (!is_over(holder))
			wait_once(holder);
		/* A borrower waits for no answer to its last word, which may have come with what ends the holding. */
		if (holder->lent)
			dispatch(holder);
		tell_refused(holder);
		tell_end(holder);
	}
	vfm_lender_close(holder->lender);
	holder->lender = NULL;
	return exit_code(holder);
}

int holder_wait_in_doubt(struct cli *cli)
{
	const unsigned int before = signals_count();
	struct pollfd pfd = { .fd = signals_wake_fd(), .events = POLLIN };

	cli_warn(cli, "whether the peer runs the devices now is not known; they are held here, stopped");
	cli_warn(cli, "find out at the peer's end first, then end process %d by SIGTERM", (int)getpid());
	while (signals_count() == before) {
		poll(&pfd, 1, -1);
		signals_drain();
	}
	return CLI_DOUBT;
}
