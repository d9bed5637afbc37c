// SPDX-License-Identifier: MIT
/* Notes what each phase asks of the kernel, and compares it with the list. */
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jail.h"

#define MAX_SEEN 512u

struct seen {
	enum phase phase;
	long number;
	long request; /* of ioctl, else 0 */
};

static struct watch {
	struct jail *jail;
	_Atomic int listener; /* 0 until there is one */
	int result;
	pthread_mutex_t lock;
	struct seen seen[MAX_SEEN];
	size_t count;
} watch = { .lock = PTHREAD_MUTEX_INITIALIZER };

void watch_note(long number, long request)
{
	const struct seen new = { watch.jail->phase, number, request };
	size_t i = 0;

	pthread_mutex_lock(&watch.lock);
	while (i < watch.count && memcmp(&watch.seen[i], &new, sizeof(new)) != 0)
		i++;
	if (i == watch.count && i < MAX_SEEN)
		watch.seen[watch.count++] = new;
	pthread_mutex_unlock(&watch.lock);
}

static void note(const struct seccomp_data *data)
{
	if (data->nr == SYS_ioctl)
		watch_note(data->nr, (uint32_t)data->args[1]);
	else if (data->nr == SYS_newfstatat && data->args[3] == AT_EMPTY_PATH)
		watch_note(SYS_fstat, 0);
	else
		watch_note(data->nr, 0);
}

/* Until every thread behind the filter has ended. */
static void answer_all(void)
{
	struct pollfd pfd = { .fd = watch.listener, .events = POLLIN };

	for (;;) {
		struct seccomp_notif ask = { 0 };
		struct seccomp_notif_resp answer = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

		if (poll(&pfd, 1, -1) < 0 || !(pfd.revents & POLLIN))
			return;
		if (ioctl(pfd.fd, SECCOMP_IOCTL_NOTIF_RECV, &ask))
			continue;
		note(&ask.data);
		answer.id = ask.id;
		(void)ioctl(pfd.fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

static void *work(void *user)
{
	watch.listener = jail_enter_watched();
	if (watch.listener >= 0)
		watch.result = jail_open(watch.jail) || jail_work(watch.jail);
	return user;
}

static int work_on_kernel(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, work, NULL))
		return -1;
	while (watch.listener == 0)
		usleep(1000);
	if (watch.listener > 0)
		answer_all();
	pthread_join(thread, NULL);
	if (watch.listener < 0)
		return printf("# no filter: %s\n", strerror(-watch.listener));
	close(watch.listener);
	return watch.result;
}

static const struct jail_entry *find(const struct jail_entry *entry, enum phase phase, long number)
{
	for (; entry->name; entry++)
		if (entry->number == number && (phase == PHASES || entry->phase == phase))
			return entry;
	return NULL;
}

static bool is_listed(const struct seen *s)
{
	if (s->request && !find(jail_ioctls, s->phase, s->request))
		return false;
	return find(jail_calls, s->phase, s->number) || find(jail_calls, PHASE_libc, s->number);
}

static const char *name_of(const struct jail_entry *entries, long number, char *buf, size_t room)
{
	const struct jail_entry *entry = find(entries, PHASES, number);

	snprintf(buf, room, "%s(%ld)", entry ? entry->name : "", number);
	return buf;
}

static int judge(enum phase phase)
{
	char name[64], request[64];
	size_t seen = 0;
	int bad = 0;

	for (size_t i = 0; i < watch.count; i++) {
		const struct seen *s = &watch.seen[i];

		if (s->phase != phase)
			continue;
		seen++;
		if (is_listed(s))
			continue;
		bad++;
		printf("# %s: %s %s is not on the list\n", jail_phases[phase],
		       name_of(jail_calls, s->number, name, sizeof(name)),
		       s->request ? name_of(jail_ioctls, s->request, request, sizeof(request)) : "");
	}
	return seen ? report(bad == 0, "%s makes no call but those listed", jail_phases[phase]) : 0;
}

static bool was_seen(const struct jail_entry *entry, bool request)
{
	for (size_t i = 0; i < watch.count; i++) {
		const struct seen *s = &watch.seen[i];

		if ((s->phase == entry->phase || entry->phase == PHASE_libc) &&
		    (request ? s->request : s->number) == entry->number)
			return true;
	}
	return false;
}

/* For whoever keeps the list: what stands there and was not seen in this run. */
static void tell_unseen(const struct jail_entry *entry, bool requests)
{
	for (enum phase phase = PHASES; entry->name; entry++) {
		if (was_seen(entry, requests))
			continue;
		if (entry->phase != phase)
			printf("%s# %s, listed but not seen:", phase == PHASES ? "" : "\n", jail_phases[entry->phase]);
		phase = entry->phase;
		printf(" %s", entry->name);
	}
	printf("\n");
}

int watch_work(struct jail *jail)
{
	int bad;

	watch.jail = jail;
	if (jail->env.sim) {
		seam_watch(jail->env.ctx);
		watch.result = jail_open(jail) || jail_work(jail);
	} else {
		watch.result = work_on_kernel();
	}
	bad = report(watch.result == 0, "all phases work, watched");
	for (enum phase phase = 0; phase < PHASES; phase++)
		bad += judge(phase);
	tell_unseen(jail_calls, false);
	tell_unseen(jail_ioctls, true);
	return bad;
}
