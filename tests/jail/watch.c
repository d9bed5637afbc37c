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

static bool is_same(const struct seen *a, const struct seen *b)
{
	return a->phase == b->phase && a->number == b->number && a->request == b->request;
}

void watch_note(long number, long request, pid_t thread)
{
	const struct seen new = { thread == watch.jail->other ? watch.jail->other_phase : watch.jail->phase, number,
				  request };
	size_t i = 0;

	pthread_mutex_lock(&watch.lock);
	while (i < watch.count && !is_same(&watch.seen[i], &new))
		i++;
	if (i == watch.count && i < MAX_SEEN)
		watch.seen[watch.count++] = new;
	pthread_mutex_unlock(&watch.lock);
}

static void note(const struct seccomp_notif *ask)
{
	const struct seccomp_data *data = &ask->data;
	const pid_t thread = (pid_t)ask->pid;

	if (data->nr == SYS_ioctl)
		watch_note(data->nr, (uint32_t)data->args[1], thread);
	else if (data->nr == SYS_newfstatat && data->args[3] == AT_EMPTY_PATH)
		watch_note(SYS_fstat, 0, thread);
	else
		watch_note(data->nr, 0, thread);
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
		note(&ask);
		answer.id = ask.id;
		(void)ioctl(pfd.fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

static void *work(void *user)
{
	watch.listener = jail_enter_watched();
	if (watch.listener >= 0)
		watch.result = jail_open(watch.jail) || peers_open(watch.jail) || jail_work(watch.jail);
	watch.jail->phase = PHASE_close;
	if (watch.listener >= 0)
		env_close_all(&watch.jail->env);
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

/* The phase that another one comes on top of, or PHASES. */
static enum phase below(enum phase phase)
{
	switch (phase) {
	case PHASE_endpoint:
		return PHASE_migrate;
	case PHASE_hand_back:
		return PHASE_close;
	default:
		return PHASES;
	}
}

static bool is_listed_in(const struct seen *s, enum phase phase)
{
	if (s->request && !find(jail_ioctls, phase, s->request))
		return false;
	return find(jail_calls, phase, s->number) || find(jail_calls, PHASE_libc, s->number);
}

static bool is_listed(const struct seen *s)
{
	const enum phase lower = below(s->phase);

	return is_listed_in(s, s->phase) || (lower != PHASES && is_listed_in(s, lower));
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

/* Listed, and not seen in every run: each for a reason. */
enum when {
	ON_KERNEL = 1,	  /* the simulated machine does not do it */
	ON_SIMULATOR = 2, /* only there it can be brought about */
	WITH_IOAS = 4,
	WITH_CONTAINER = 8,
	AS_USER = 16,	     /* nobody asks for the user when root is the peer */
	WITH_PCI = 32,	     /* not vfiomig_soft */
	WITH_PASIDS = 64,    /* the device and the kernel */
	WITH_TRACKING = 128, /* the IOMMU */
	WITH_VECTORS = 256,  /* a device that takes no vectors beyond those enabled first */
	NEVER = 512,	     /* only when something fails, or somebody else is slow */
};

static const struct {
	enum phase phase;
	const char *name;
	enum when when;
} conditions[] = {
	/* the limits, told after a failure; busy address spaces and devices are asked again */
	{ PHASE_attach, "prlimit64", NEVER },
	{ PHASE_map, "prlimit64", NEVER },
	{ PHASE_map, "clock_nanosleep", NEVER },
	{ PHASE_dirty, "clock_nanosleep", NEVER },
	{ PHASE_migrate, "clock_nanosleep", NEVER },
	{ PHASE_close, "clock_nanosleep", ON_SIMULATOR },
	{ PHASE_borrow, "clock_nanosleep", NEVER },
	{ PHASE_hand_back, "poll", NEVER },
	{ PHASE_paths, "openat", NEVER }, /* a file system without hard links */
	/* a region is mapped by its address; a file of a container's map is mapped, too, and unmapped with it */
	{ PHASE_map, "mmap", WITH_CONTAINER },
	{ PHASE_map, "munmap", WITH_CONTAINER },
	{ PHASE_dirty, "munmap", NEVER }, /* here it is the tracker that unmaps */
	{ PHASE_close, "munmap", WITH_CONTAINER },
	{ PHASE_map, "fstat", WITH_IOAS },
	{ PHASE_map, "fstatfs", WITH_IOAS },
	{ PHASE_map, "close", WITH_IOAS | ON_SIMULATOR }, /* a region is mapped as a dma-buf */
	{ PHASE_attach, "ioctl", WITH_IOAS },
	{ PHASE_beside, "fcntl", WITH_IOAS },
	{ PHASE_beside, "ioctl", WITH_IOAS },
	{ PHASE_beside, "close", WITH_IOAS | ON_SIMULATOR }, /* it does not come about */
	{ PHASE_beside, "IOMMU_DESTROY", WITH_IOAS | ON_SIMULATOR },
	{ PHASE_regions, "mmap", ON_KERNEL | WITH_PCI }, /* BARs of simulated devices cannot be mapped */
	{ PHASE_regions, "munmap", ON_KERNEL | WITH_PCI },
	{ PHASE_interrupts, "write", WITH_VECTORS },
	{ PHASE_interrupts, "read", ON_SIMULATOR }, /* a device that is wanted back */
	{ PHASE_reset, "read", ON_SIMULATOR },
	{ PHASE_reset, "clock_nanosleep", ON_SIMULATOR }, /* one that is not ready at once */
	/* asked once for each device, and remembered */
	{ PHASE_dirty, "VFIO_DEVICE_GET_REGION_INFO", NEVER },
	{ PHASE_reset, "VFIO_DEVICE_GET_REGION_INFO", NEVER },
	{ PHASE_serve, "VFIO_DEVICE_GET_REGION_INFO", NEVER },
	{ PHASE_serve, "VFIO_DEVICE_FEATURE", NEVER },
	/* an adopted device of a container does not know its group, and is attached by it */
	{ PHASE_reset, "VFIO_DEVICE_PCI_HOT_RESET", WITH_IOAS | WITH_PCI },
	{ PHASE_attach, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", WITH_IOAS },
	{ PHASE_attach, "VFIO_DEVICE_DETACH_IOMMUFD_PT", WITH_IOAS },
	{ PHASE_close, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", WITH_PASIDS },
	{ PHASE_close, "VFIO_DEVICE_DETACH_IOMMUFD_PT", WITH_PASIDS },
	{ PHASE_attach, "IOMMU_HWPT_ALLOC", WITH_PASIDS },
	{ PHASE_attach, "IOMMU_DESTROY", WITH_PASIDS },
	{ PHASE_dirty, "IOMMU_HWPT_SET_DIRTY_TRACKING", WITH_TRACKING },
	{ PHASE_dirty, "IOMMU_HWPT_GET_DIRTY_BITMAP", WITH_TRACKING },
	{ PHASE_dirty, "IOMMU_IOAS_IOVA_RANGES", WITH_TRACKING },
	{ PHASE_close, "IOMMU_GET_HW_INFO", NEVER }, /* an adopted page table beside PASIDs */
	{ PHASE_map, "VFIO_DEVICE_FEATURE", WITH_IOAS },
	{ PHASE_endpoint, "geteuid", AS_USER },
	{ PHASE_serve, "geteuid", AS_USER },
};

static enum when when_of(const struct jail_entry *entry)
{
	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
		if (conditions[i].phase == entry->phase && !strcmp(conditions[i].name, entry->name))
			return conditions[i].when;
	if (!strcmp(entry->name, "IOMMU_VFIO_IOAS"))
		return NEVER;
	if (!strncmp(entry->name, "IOMMU_", 6))
		return WITH_IOAS;
	if (!strncmp(entry->name, "VFIO_IOMMU_", 11) || !strncmp(entry->name, "VFIO_GROUP_", 11) ||
	    !strcmp(entry->name, "VFIO_GET_API_VERSION") || !strcmp(entry->name, "VFIO_CHECK_EXTENSION"))
		return WITH_CONTAINER;
	return 0;
}

/* libc's, the machine's and the program's are no claim; what is before a jail depends on where things are in sysfs. */
static bool is_claimed(enum phase phase)
{
	switch (phase) {
	case PHASE_libc:
	case PHASE_simulator:
	case PHASE_program:
	case PHASE_discover:
	case PHASE_space:
	case PHASE_open:
		return false;
	default:
		return true;
	}
}

static bool is_expected(const struct jail_entry *entry)
{
	const bool ioas = watch.jail->backend == VFM_BACKEND_IOMMUFD;
	const enum when when = when_of(entry);
	enum when lacking = NEVER;

	lacking |= watch.jail->env.sim ? ON_KERNEL : ON_SIMULATOR;
	lacking |= ioas ? WITH_CONTAINER : WITH_IOAS;
	lacking |= watch.jail->soft ? WITH_PCI : 0;
	lacking |= watch.jail->pasids ? 0 : WITH_PASIDS;
	lacking |= watch.jail->vectors ? 0 : WITH_VECTORS;
	lacking |= watch.jail->adopt[0].flags & VFM_ADOPT_TRACKS ? 0 : WITH_TRACKING;
	lacking |= geteuid() == 0 ? AS_USER : 0;
	/* other containers are asked for less */
	if (!ioas && watch.jail->backend != VFM_BACKEND_TYPE1V2)
		return false;
	return is_claimed(entry->phase) && !(when & lacking);
}

/* What stands on the list of a phase that was gone through, and was never asked for. */
static int count_unseen(const struct jail_entry *entry, bool requests)
{
	int unseen = 0;

	for (; entry->name; entry++) {
		if (was_seen(entry, requests) || !is_expected(entry))
			continue;
		printf("# %s: %s is listed and was not seen\n", jail_phases[entry->phase], entry->name);
		unseen++;
	}
	return unseen;
}

int watch_work(struct jail *jail)
{
	int bad, unseen;

	watch.jail = jail;
	if (jail->env.sim) {
		seam_watch(jail->env.ctx);
		watch.result = jail_open(jail) || peers_open(jail) || jail_work(jail);
		jail->phase = PHASE_close;
		env_close_all(&jail->env);
	} else {
		watch.result = work_on_kernel();
	}
	bad = report(watch.result == 0, "all phases work, watched");
	printf("# the IOMMU tracks: %s; PASIDs: %s\n", jail->adopt[0].flags & VFM_ADOPT_TRACKS ? "yes" : "no",
	       jail->pasids ? "yes" : "no");
	for (enum phase phase = 0; phase < PHASES; phase++)
		bad += judge(phase);
	unseen = count_unseen(jail_calls, false) + count_unseen(jail_ioctls, true);
	return bad + report(unseen == 0, "what is listed is asked for");
}
