/* SPDX-License-Identifier: MIT */
/*
 * The seam's table on a simulated machine: what belongs to the machine is answered by it, the rest goes to the
 * running kernel; the fault plan stands before both.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "profile.h"
#include "seam.h"
#include "spaces.h"
#include "uapi/vfio.h"

#define NAP_NS 20000
#define POLL_SLICE_MS 10

struct vfm_sim *vfmi_sim_of(struct vfmi_sys *sys)
{
	return (struct vfm_sim *)(void *)((char *)sys - offsetof(struct vfm_sim, sys));
}

/* whose descriptor */

static uint32_t kind_of(struct vfm_sim *sim, int fd, uint32_t *ret_id)
{
	if (vfmi_sim_object_of(sim, fd, ret_id))
		return SIM_OBJECT_NONE;
	return __atomic_load_n(&sim->machine->objects[*ret_id].kind, __ATOMIC_ACQUIRE);
}

static void complain(struct vfm_sim *sim, const char *what, int fd)
{
	if (vfmi_sim_enter(sim))
		return;
	vfmi_sim_strict(sim, "%s, descriptor %d", what, fd);
	vfmi_sim_leave(sim);
}

/* files */

/* With memlock= the machine's limit is the process's, and what there is to be said of locked memory. */
static bool owns_limit(const struct vfm_sim *sim)
{
	return sim->machine->host.memlock != UINT64_MAX;
}

static int open_status(struct vfm_sim *sim)
{
	unsigned long long kib;
	char text[128];
	int r = vfmi_sim_enter(sim);

	if (r)
		return r;
	kib = (vfmi_sim_locked(sim) + 1023) / 1024;
	vfmi_sim_leave(sim);
	snprintf(text, sizeof(text), "Name:\tsimulated\nVmLck:\t%8llu kB\nVmPin:\t%8llu kB\nCapEff:\t%016x\n", kib, kib,
		 0u);
	return vfmi_sim_text_open(text);
}

static int machine_open(struct vfm_sim *sim, const char *path, int flags, mode_t mode)
{
	if (vfmi_sim_tree_owns(path))
		return vfmi_sim_tree_open(sim, path, flags);
	if (owns_limit(sim) && !strcmp(path, "/proc/self/status"))
		return open_status(sim);
	return sim->host->ops->open(sim->host, path, flags, mode);
}

static int seam_open(struct vfmi_sys *sys, const char *path, int flags, mode_t mode)
{
	struct sim_call call = CALL("open", EMFILE);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after_open(sim, &call, machine_open(sim, path, flags, mode));
}

static int seam_close(struct vfmi_sys *sys, int fd)
{
	struct vfm_sim *sim = vfmi_sim_of(sys);
	uint32_t id, kind = kind_of(sim, fd, &id);
	int r = sim->host->ops->close(sim->host, fd);

	if (r == -EBADF)
		complain(sim, "close of what is not open", fd);
	else
		vfmi_sim_books_closed(sim, fd);
	/* What a last close does, it does before this returns. */
	if (kind != SIM_OBJECT_NONE && !vfmi_sim_enter(sim))
		vfmi_sim_leave(sim);
	return r;
}

static ssize_t seam_read(struct vfmi_sys *sys, int fd, void *buf, size_t asked)
{
	struct sim_call call = CALL("read", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	size_t length = half(sim, &call, asked);
	uint32_t id;

	if (refuses(&call, length, asked))
		return -call.error;
	switch (kind_of(sim, fd, &id)) {
	case SIM_OBJECT_NONE:
		return after_size(&call, sim->host->ops->read(sim->host, fd, buf, length));
	case SIM_OBJECT_DATA:
		return after_size(&call, vfmi_sim_session_read(sim, id, buf, length));
	default:
		complain(sim, "read without a position from a file of the machine", fd);
		return -EINVAL;
	}
}

static ssize_t seam_write(struct vfmi_sys *sys, int fd, const void *buf, size_t asked)
{
	struct sim_call call = CALL("write", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	size_t length = half(sim, &call, asked);
	uint32_t id;

	if (refuses(&call, length, asked))
		return -call.error;
	switch (kind_of(sim, fd, &id)) {
	case SIM_OBJECT_NONE:
		return after_size(&call, sim->host->ops->write(sim->host, fd, buf, length));
	case SIM_OBJECT_DATA:
		return after_size(&call, vfmi_sim_session_write(sim, id, buf, length));
	default:
		complain(sim, "write without a position to a file of the machine", fd);
		return -EINVAL;
	}
}

static ssize_t region_rw(struct vfm_sim *sim, uint32_t id, void *buf, size_t length, off_t offset, bool write)
{
	struct sim_device *dev = &sim->machine->device[sim->machine->objects[id].device];
	ssize_t n = vfmi_sim_enter(sim);

	if (n)
		return n;
	if (!vfmi_sim_is_open(sim, dev, id)) {
		vfmi_sim_strict(sim, "%s: access before it was bound", dev->name);
		n = -EINVAL;
	} else if (offset < 0) {
		n = -EINVAL;
	} else {
		n = vfmi_sim_region_rw(sim, dev, buf, length, (uint64_t)offset, write);
	}
	vfmi_sim_leave(sim);
	return n;
}

static ssize_t seam_pread(struct vfmi_sys *sys, int fd, void *buf, size_t asked, off_t offset)
{
	struct sim_call call = CALL("pread", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	size_t length = half(sim, &call, asked);
	uint32_t id;

	if (refuses(&call, length, asked))
		return -call.error;
	switch (kind_of(sim, fd, &id)) {
	case SIM_OBJECT_NONE:
		return after_size(&call, sim->host->ops->pread(sim->host, fd, buf, length, offset));
	case SIM_OBJECT_CDEV:
	case SIM_OBJECT_DEVICE:
		return after_size(&call, region_rw(sim, id, buf, length, offset, false));
	default:
		return -ESPIPE;
	}
}

static ssize_t seam_pwrite(struct vfmi_sys *sys, int fd, const void *buf, size_t asked, off_t offset)
{
	struct sim_call call = CALL("pwrite", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	size_t length = half(sim, &call, asked);
	uint32_t id;

	if (refuses(&call, length, asked))
		return -call.error;
	switch (kind_of(sim, fd, &id)) {
	case SIM_OBJECT_NONE:
		return after_size(&call, sim->host->ops->pwrite(sim->host, fd, buf, length, offset));
	case SIM_OBJECT_CDEV:
	case SIM_OBJECT_DEVICE:
		return after_size(&call, region_rw(sim, id, (void *)(uintptr_t)buf, length, offset, true));
	default:
		return -ESPIPE;
	}
}

static int seam_fsync(struct vfmi_sys *sys, int fd)
{
	struct sim_call call = CALL("fsync", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->fsync(sim->host, fd));
}

static int machine_fstat(struct vfm_sim *sim, int fd, struct stat *st)
{
	uint32_t id, kind = kind_of(sim, fd, &id);

	if (kind == SIM_OBJECT_NONE)
		return sim->host->ops->fstat(sim->host, fd, st);
	if (kind == SIM_OBJECT_CDEV) {
		vfmi_sim_cdev_stat(&sim->machine->device[sim->machine->objects[id].device], st);
	} else if (kind == SIM_OBJECT_IOMMUFD) {
		vfmi_sim_iommu_stat(st);
	} else if (kind == SIM_OBJECT_CONTAINER) {
		vfmi_sim_container_stat(st);
	} else if (kind == SIM_OBJECT_GROUP) {
		vfmi_sim_group_stat(sim->machine->objects[id].group, st);
	} else {
		memset(st, 0, sizeof(*st));
		st->st_mode = 0600; /* an anonymous inode has no type */
		st->st_nlink = 1;
	}
	return 0;
}

static int seam_fstat(struct vfmi_sys *sys, int fd, struct stat *st)
{
	struct sim_call call = CALL("fstat", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, machine_fstat(sim, fd, st));
}

/* Files of the machine are of the inodes without a name; the rest is the running kernel's. */
static int machine_fstatfs(struct vfm_sim *sim, int fd, struct statfs *st)
{
	uint32_t id, kind;

	kind = kind_of(sim, fd, &id);
	if (kind == SIM_OBJECT_NONE)
		return sim->host->ops->fstatfs(sim->host, fd, st);
	memset(st, 0, sizeof(*st));
	st->f_type = kind == SIM_OBJECT_DMABUF ? VFMI_FS_DMABUF : VFMI_FS_ANON_INODE;
	return 0;
}

static int seam_fstatfs(struct vfmi_sys *sys, int fd, struct statfs *st)
{
	struct sim_call call = CALL("fstatfs", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, machine_fstatfs(sim, fd, st));
}

static int seam_fchmod(struct vfmi_sys *sys, int fd, mode_t mode)
{
	struct sim_call call = CALL("fchmod", EPERM);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->fchmod(sim->host, fd, mode));
}

static int seam_lstat(struct vfmi_sys *sys, const char *path, struct stat *st)
{
	struct sim_call call = CALL("lstat", EACCES);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after(&call, vfmi_sim_tree_owns(path) ? vfmi_sim_tree_stat(sim, path, false, st)
						     : sim->host->ops->lstat(sim->host, path, st));
}

static int seam_stat(struct vfmi_sys *sys, const char *path, struct stat *st)
{
	struct sim_call call = CALL("stat", EACCES);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after(&call, vfmi_sim_tree_owns(path) ? vfmi_sim_tree_stat(sim, path, true, st)
						     : sim->host->ops->stat(sim->host, path, st));
}

static int seam_rename(struct vfmi_sys *sys, const char *from, const char *to)
{
	struct sim_call call = CALL("rename", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->rename(sim->host, from, to));
}

static int seam_link(struct vfmi_sys *sys, const char *from, const char *to)
{
	struct sim_call call = CALL("link", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->link(sim->host, from, to));
}

static int seam_unlink(struct vfmi_sys *sys, const char *path)
{
	struct sim_call call = CALL("unlink", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->unlink(sim->host, path));
}

static ssize_t seam_readlink(struct vfmi_sys *sys, const char *path, char *buf, size_t room)
{
	struct sim_call call = CALL("readlink", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after_size(&call, vfmi_sim_tree_owns(path) ? vfmi_sim_tree_readlink(sim, path, buf, room)
							  : sim->host->ops->readlink(sim->host, path, buf, room));
}

/* Half of a directory: the walk breaks off after its first name. */
struct half_walk {
	vfmi_listdir_fn *fn;
	void *user;
	uint32_t names;
};

#define WALK_OVER 0x7fffffff

static int walk_first(void *user, const char *name)
{
	struct half_walk *walk = user;

	return walk->names++ ? WALK_OVER : walk->fn(walk->user, name);
}

static int seam_listdir(struct vfmi_sys *sys, const char *path, vfmi_listdir_fn *fn, void *user)
{
	struct sim_call call = CALL("listdir", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	struct half_walk walk = { fn, user, 0 };
	bool partial;
	int r;

	vfmi_sim_fault(sim, &call);
	if (call.mode == VFM_SIM_FAULT_BEFORE)
		return -call.error;
	partial = call.mode == VFM_SIM_FAULT_PARTIAL;
	if (partial) {
		fn = walk_first;
		user = &walk;
	}
	r = vfmi_sim_tree_owns(path) ? vfmi_sim_tree_list(sim, path, fn, user)
				     : sim->host->ops->listdir(sim->host, path, fn, user);
	return partial && (!r || r == WALK_OVER) ? -call.error : after(&call, r);
}

static int seam_dup(struct vfmi_sys *sys, int fd)
{
	struct sim_call call = CALL("dup", EMFILE);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after_open(sim, &call, sim->host->ops->dup(sim->host, fd));
}

static int seam_get_flags(struct vfmi_sys *sys, int fd)
{
	struct sim_call call = CALL("get_flags", EBADF);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->get_flags(sim->host, fd));
}

static int seam_set_flags(struct vfmi_sys *sys, int fd, int flags)
{
	struct sim_call call = CALL("set_flags", EBADF);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->set_flags(sim->host, fd, flags));
}

static int seam_isatty(struct vfmi_sys *sys, int fd)
{
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return sim->host->ops->isatty(sim->host, fd);
}

static int seam_eventfd(struct vfmi_sys *sys, unsigned int initial, int flags)
{
	struct sim_call call = CALL("eventfd", EMFILE);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after_open(sim, &call, sim->host->ops->eventfd(sim->host, initial, flags));
}

/* poll: a data file that has nothing yet is the machine's to answer for; its place is looked at again and again */

struct poll_round {
	struct pollfd fds[MAX_IOV];
	short ours[MAX_IOV]; /* what the machine says of its own */
	bool waits;	     /* one of them has nothing yet */
	int ready;
};

static void poll_look(struct vfm_sim *sim, const struct pollfd *fds, nfds_t count, struct poll_round *round)
{
	uint32_t id;
	nfds_t i;

	round->ready = 0;
	round->waits = false;
	for (i = 0; i < count; i++) {
		round->fds[i] = fds[i];
		round->ours[i] = 0;
		if (fds[i].fd < 0 || kind_of(sim, fds[i].fd, &id) != SIM_OBJECT_DATA)
			continue;
		round->fds[i].fd = -1;
		if (!vfmi_sim_enter(sim)) {
			round->ours[i] = vfmi_sim_session_poll(sim, id, fds[i].events);
			vfmi_sim_leave(sim);
		}
		round->ready += !!round->ours[i];
		round->waits |= !round->ours[i];
	}
}

static int poll_once(struct vfm_sim *sim, struct pollfd *fds, nfds_t count, int timeout_ms, bool *ret_again)
{
	struct poll_round round;
	nfds_t i;
	int r;

	poll_look(sim, fds, count, &round);
	*ret_again = round.waits && !round.ready;
	if (round.ready)
		timeout_ms = 0;
	else if (round.waits && (timeout_ms < 0 || timeout_ms > POLL_SLICE_MS))
		timeout_ms = POLL_SLICE_MS;
	r = sim->host->ops->poll(sim->host, round.fds, count, timeout_ms);
	for (i = 0; i < count; i++)
		fds[i].revents = round.fds[i].revents | round.ours[i];
	return r < 0 ? r : r + round.ready;
}

static uint64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Others are waited for in real time; the machine's clock goes along. */
static int machine_poll(struct vfm_sim *sim, struct pollfd *fds, nfds_t count, int timeout_ms)
{
	uint64_t begin = real_ns(), passed_ns;
	bool again = false;
	int left = timeout_ms, r;

	do {
		r = count <= MAX_IOV ? poll_once(sim, fds, count, left, &again)
				     : sim->host->ops->poll(sim->host, fds, count, left);
		passed_ns = real_ns() - begin;
		if (timeout_ms > 0)
			left = passed_ns / 1000000 >= (uint64_t)timeout_ms ? 0
									   : timeout_ms - (int)(passed_ns / 1000000);
	} while (!r && again && left);
	if (passed_ns > 1000000 && !vfmi_sim_enter(sim)) {
		vfmi_sim_spend(sim, passed_ns);
		vfmi_sim_leave(sim);
	}
	return r;
}

static int seam_poll(struct vfmi_sys *sys, struct pollfd *fds, nfds_t count, int timeout_ms)
{
	struct sim_call call = CALL("poll", EINTR);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, machine_poll(sim, fds, count, timeout_ms));
}

/* VFIO and iommufd */

static int machine_ioctl(struct vfm_sim *sim, int fd, unsigned long request, void *arg, struct sim_call *call)
{
	uint32_t id;
	int r;

	if (kind_of(sim, fd, &id) == SIM_OBJECT_NONE) {
		if (request != VFIO_DEVICE_GET_INFO)
			complain(sim, "ioctl on what is not a file of the machine", fd);
		return sim->host->ops->ioctl(sim->host, fd, request, arg);
	}
	r = vfmi_sim_enter(sim);
	if (r)
		return r;
	r = vfmi_sim_ioctl(sim, id, request, arg, call);
	vfmi_sim_leave(sim);
	return r;
}

/* Calls with a half of their own; of all others nothing has happened yet. */
static bool has_half(const struct sim_call *call)
{
	return !strcmp(call->name, "IOMMU_IOAS_UNMAP") ||
	       (call->verb && !strcmp(call->verb, "SET") && strstr(call->name, "(MIG_DEVICE_STATE)"));
}

static int seam_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	struct sim_call call = CALL("ioctl", EIO);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	uint32_t id;

	vfmi_sim_ioctl_name(&call, kind_of(sim, fd, &id), request, arg);
	vfmi_sim_fault(sim, &call);
	if (call.mode == VFM_SIM_FAULT_BEFORE || (call.mode == VFM_SIM_FAULT_PARTIAL && !has_half(&call)))
		return -call.error;
	return after(&call, machine_ioctl(sim, fd, request, arg, &call));
}

static int map_region(struct vfm_sim *sim, uint32_t id, void *hint, size_t length, int prot, int flags, int fd,
		      off_t offset, void **ret_ptr)
{
	struct sim_device *dev = &sim->machine->device[sim->machine->objects[id].device];
	int r = vfmi_sim_enter(sim);

	if (r)
		return r;
	r = !vfmi_sim_is_open(sim, dev, id) || offset < 0
		    ? -EINVAL
		    : vfmi_sim_region_map(sim, dev, fd, hint, length, prot, flags, (uint64_t)offset, ret_ptr);
	vfmi_sim_leave(sim);
	if (!r)
		vfmi_sim_books_mapped(sim, dev, *ret_ptr, length);
	return r;
}

static int seam_munmap(struct vfmi_sys *sys, void *ptr, size_t length)
{
	struct vfm_sim *sim = vfmi_sim_of(sys);
	bool known = vfmi_sim_books_unmapped(sim, ptr, length);
	int r = sim->host->ops->munmap(sim->host, ptr, length);

	/* It may have been what kept a device open. */
	if (known && !vfmi_sim_enter(sim))
		vfmi_sim_leave(sim);
	return r;
}

static int seam_mmap(struct vfmi_sys *sys, void *hint, size_t length, int prot, int flags, int fd, off_t offset,
		     void **ret_ptr)
{
	struct sim_call call = CALL("mmap", ENOMEM);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	uint32_t id = 0, kind;
	int r;

	if (fails(sim, &call))
		return -call.error;
	kind = fd >= 0 ? kind_of(sim, fd, &id) : SIM_OBJECT_NONE;
	if (kind == SIM_OBJECT_NONE)
		r = vfmi_sim_map_pages(sim, hint, length, prot, flags, fd, offset, ret_ptr);
	else if (kind == SIM_OBJECT_CDEV || kind == SIM_OBJECT_DEVICE)
		r = map_region(sim, id, hint, length, prot, flags, fd, offset, ret_ptr);
	else
		r = -ENODEV;
	if (!r && call.mode == VFM_SIM_FAULT_AFTER)
		seam_munmap(sys, *ret_ptr, length);
	return after(&call, r);
}

/* time and the rest */

static uint64_t seam_now_ns(struct vfmi_sys *sys)
{
	return vfm_sim_now_ns(vfmi_sim_of(sys));
}

static uint64_t seam_wall_s(struct vfmi_sys *sys)
{
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return sim->machine->wall_base_s + vfm_sim_now_ns(sim) / 1000000000u;
}

/* On virtual time; a real nap lets other processes of the machine have their turn. */
static void seam_sleep_ns(struct vfmi_sys *sys, uint64_t ns)
{
	const struct timespec nap = { 0, NAP_NS };

	vfmi_sim_clock_sleep(vfmi_sim_of(sys)->clock, ns);
	nanosleep(&nap, NULL);
}

static int seam_getrandom(struct vfmi_sys *sys, void *buf, size_t length)
{
	struct sim_call call = CALL("getrandom", EAGAIN);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after(&call, sim->host->ops->getrandom(sim->host, buf, length));
}

static int seam_uname(struct vfmi_sys *sys, struct utsname *name)
{
	struct sim_call call = CALL("uname", EFAULT);
	struct vfm_sim *sim = vfmi_sim_of(sys);
	int r;

	if (fails(sim, &call))
		return -call.error;
	r = sim->host->ops->uname(sim->host, name);
	if (r >= 0)
		snprintf(name->release, sizeof(name->release), "%u.%u.0-simulated", sim->machine->host.kernel >> 16,
			 sim->machine->host.kernel >> 8 & 0xff);
	return after(&call, r);
}

static uid_t seam_geteuid(struct vfmi_sys *sys)
{
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return sim->host->ops->geteuid(sim->host);
}

static int seam_getrlimit(struct vfmi_sys *sys, int resource, struct rlimit *limit)
{
	struct sim_call call = CALL("getrlimit", EPERM);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	int r;

	if (fails(sim, &call))
		return -call.error;
	r = sim->host->ops->getrlimit(sim->host, resource, limit);
	if (r >= 0 && resource == RLIMIT_MEMLOCK && owns_limit(sim))
		limit->rlim_cur = limit->rlim_max = (rlim_t)sim->machine->host.memlock;
	return after(&call, r);
}

static int seam_pidfd_open(struct vfmi_sys *sys, pid_t pid)
{
	struct sim_call call = CALL("pidfd_open", ESRCH);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	return fails(sim, &call) ? -call.error : after_open(sim, &call, sim->host->ops->pidfd_open(sim->host, pid));
}

/* The machine's descriptors are real ones, so those of another process on it come like any other. */
static int seam_pidfd_getfd(struct vfmi_sys *sys, int pidfd, int fd)
{
	struct sim_call call = CALL("pidfd_getfd", EPERM);
	struct vfm_sim *sim = vfmi_sim_of(sys);

	if (fails(sim, &call))
		return -call.error;
	return after_open(sim, &call, sim->host->ops->pidfd_getfd(sim->host, pidfd, fd));
}

const struct vfmi_sys_ops vfmi_sim_ops = {
	.open = seam_open,
	.close = seam_close,
	.read = seam_read,
	.write = seam_write,
	.pread = seam_pread,
	.pwrite = seam_pwrite,
	.fsync = seam_fsync,
	.fstat = seam_fstat,
	.fstatfs = seam_fstatfs,
	.fchmod = seam_fchmod,
	.lstat = seam_lstat,
	.stat = seam_stat,
	.rename = seam_rename,
	.link = seam_link,
	.unlink = seam_unlink,
	.readlink = seam_readlink,
	.listdir = seam_listdir,
	.dup = seam_dup,
	.get_flags = seam_get_flags,
	.set_flags = seam_set_flags,
	.isatty = seam_isatty,
	.eventfd = seam_eventfd,
	.poll = seam_poll,
	.ioctl = seam_ioctl,
	.mmap = seam_mmap,
	.munmap = seam_munmap,
	.socket = vfmi_sim_seam_socket,
	.bind = vfmi_sim_seam_bind,
	.listen = vfmi_sim_seam_listen,
	.accept = vfmi_sim_seam_accept,
	.connect = vfmi_sim_seam_connect,
	.shutdown = vfmi_sim_seam_shutdown,
	.sendmsg = vfmi_sim_seam_sendmsg,
	.recvmsg = vfmi_sim_seam_recvmsg,
	.getsockopt = vfmi_sim_seam_getsockopt,
	.setsockopt = vfmi_sim_seam_setsockopt,
	.getsockname = vfmi_sim_seam_getsockname,
	.resolve = vfmi_sim_seam_resolve,
	.now_ns = seam_now_ns,
	.wall_s = seam_wall_s,
	.sleep_ns = seam_sleep_ns,
	.getrandom = seam_getrandom,
	.uname = seam_uname,
	.geteuid = seam_geteuid,
	.getrlimit = seam_getrlimit,
	.pidfd_open = seam_pidfd_open,
	.pidfd_getfd = seam_pidfd_getfd,
};
