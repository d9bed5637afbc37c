// SPDX-License-Identifier: MIT
/* The seam's table of a simulated machine with each call noted, as the system call that libc would make of it. */
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"
#include "jail.h"

static const struct vfmi_sys_ops *machine;

#define NOTED(type, entry, call, parameters, ...)                                                                      \
	static type noted_##entry parameters                                                                           \
	{                                                                                                              \
		watch_note(SYS_##call, 0, gettid());                                                                   \
		return machine->entry(__VA_ARGS__);                                                                    \
	}

NOTED(int, open, openat, (struct vfmi_sys * sys, const char *path, int flags, mode_t mode), sys, path, flags, mode)
NOTED(int, close, close, (struct vfmi_sys * sys, int fd), sys, fd)
NOTED(ssize_t, read, read, (struct vfmi_sys * sys, int fd, void *buf, size_t length), sys, fd, buf, length)
NOTED(ssize_t, write, write, (struct vfmi_sys * sys, int fd, const void *buf, size_t length), sys, fd, buf, length)
NOTED(ssize_t, pread, pread64, (struct vfmi_sys * sys, int fd, void *buf, size_t length, off_t at), sys, fd, buf,
      length, at)
NOTED(ssize_t, pwrite, pwrite64, (struct vfmi_sys * sys, int fd, const void *buf, size_t length, off_t at), sys, fd,
      buf, length, at)
NOTED(int, fsync, fsync, (struct vfmi_sys * sys, int fd), sys, fd)
NOTED(int, fstat, fstat, (struct vfmi_sys * sys, int fd, struct stat *st), sys, fd, st)
NOTED(int, fstatfs, fstatfs, (struct vfmi_sys * sys, int fd, struct statfs *st), sys, fd, st)
NOTED(int, fchmod, fchmod, (struct vfmi_sys * sys, int fd, mode_t mode), sys, fd, mode)
NOTED(int, lstat, newfstatat, (struct vfmi_sys * sys, const char *path, struct stat *st), sys, path, st)
NOTED(int, stat, newfstatat, (struct vfmi_sys * sys, const char *path, struct stat *st), sys, path, st)
NOTED(int, rename, rename, (struct vfmi_sys * sys, const char *from, const char *to), sys, from, to)
NOTED(int, link, link, (struct vfmi_sys * sys, const char *from, const char *to), sys, from, to)
NOTED(int, unlink, unlink, (struct vfmi_sys * sys, const char *path), sys, path)
NOTED(ssize_t, readlink, readlink, (struct vfmi_sys * sys, const char *path, char *buf, size_t room), sys, path, buf,
      room)
NOTED(int, listdir, getdents64, (struct vfmi_sys * sys, const char *path, vfmi_listdir_fn *fn, void *user), sys, path,
      fn, user)
NOTED(int, dup, fcntl, (struct vfmi_sys * sys, int fd), sys, fd)
NOTED(int, get_flags, fcntl, (struct vfmi_sys * sys, int fd), sys, fd)
NOTED(int, set_flags, fcntl, (struct vfmi_sys * sys, int fd, int flags), sys, fd, flags)
NOTED(int, eventfd, eventfd2, (struct vfmi_sys * sys, unsigned int initial, int flags), sys, initial, flags)
NOTED(int, poll, poll, (struct vfmi_sys * sys, struct pollfd *fds, nfds_t count, int timeout_ms), sys, fds, count,
      timeout_ms)
NOTED(int, mmap, mmap,
      (struct vfmi_sys * sys, void *hint, size_t length, int prot, int flags, int fd, off_t at, void **ret), sys, hint,
      length, prot, flags, fd, at, ret)
NOTED(int, munmap, munmap, (struct vfmi_sys * sys, void *ptr, size_t length), sys, ptr, length)
NOTED(int, socket, socket, (struct vfmi_sys * sys, int domain, int type, int protocol), sys, domain, type, protocol)
NOTED(int, bind, bind, (struct vfmi_sys * sys, int fd, const struct sockaddr *addr, socklen_t length), sys, fd, addr,
      length)
NOTED(int, listen, listen, (struct vfmi_sys * sys, int fd, int backlog), sys, fd, backlog)
NOTED(int, accept, accept4, (struct vfmi_sys * sys, int fd, struct sockaddr *addr, socklen_t *length), sys, fd, addr,
      length)
NOTED(int, connect, connect, (struct vfmi_sys * sys, int fd, const struct sockaddr *addr, socklen_t length), sys, fd,
      addr, length)
NOTED(int, shutdown, shutdown, (struct vfmi_sys * sys, int fd, int how), sys, fd, how)
NOTED(ssize_t, sendmsg, sendmsg, (struct vfmi_sys * sys, int fd, const struct msghdr *msg, int flags), sys, fd, msg,
      flags)
NOTED(ssize_t, recvmsg, recvmsg, (struct vfmi_sys * sys, int fd, struct msghdr *msg, int flags), sys, fd, msg, flags)
NOTED(int, getsockopt, getsockopt, (struct vfmi_sys * sys, int fd, int level, int name, void *value, socklen_t *length),
      sys, fd, level, name, value, length)
NOTED(int, setsockopt, setsockopt,
      (struct vfmi_sys * sys, int fd, int level, int name, const void *value, socklen_t length), sys, fd, level, name,
      value, length)
NOTED(int, getsockname, getsockname, (struct vfmi_sys * sys, int fd, struct sockaddr *addr, socklen_t *length), sys, fd,
      addr, length)
NOTED(int, getrandom, getrandom, (struct vfmi_sys * sys, void *buf, size_t length), sys, buf, length)
NOTED(int, uname, uname, (struct vfmi_sys * sys, struct utsname *name), sys, name)
NOTED(int, getrlimit, prlimit64, (struct vfmi_sys * sys, int resource, struct rlimit *limit), sys, resource, limit)
NOTED(int, pidfd_open, pidfd_open, (struct vfmi_sys * sys, pid_t pid), sys, pid)
NOTED(int, pidfd_getfd, pidfd_getfd, (struct vfmi_sys * sys, int pidfd, int fd), sys, pidfd, fd)

static int noted_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	watch_note(SYS_ioctl, (uint32_t)request, gettid());
	return machine->ioctl(sys, fd, request, arg);
}

static void noted_sleep_ns(struct vfmi_sys *sys, uint64_t ns)
{
	watch_note(SYS_clock_nanosleep, 0, gettid());
	machine->sleep_ns(sys, ns);
}

static uid_t noted_geteuid(struct vfmi_sys *sys)
{
	watch_note(SYS_geteuid, 0, gettid());
	return machine->geteuid(sys);
}

/* isatty(), and resolve(), are for endpoints only. The clock is read without entering the kernel. */
void seam_watch(struct vfm_context *ctx)
{
	static struct vfmi_sys_ops noted;
	struct vfmi_sys *sys = vfmi_context_sys(ctx);

	if (sys->ops == &noted) /* contexts of one machine share it */
		return;
	machine = sys->ops;
	noted = *machine;
	noted.open = noted_open;
	noted.close = noted_close;
	noted.read = noted_read;
	noted.write = noted_write;
	noted.pread = noted_pread;
	noted.pwrite = noted_pwrite;
	noted.fsync = noted_fsync;
	noted.fstat = noted_fstat;
	noted.fstatfs = noted_fstatfs;
	noted.fchmod = noted_fchmod;
	noted.lstat = noted_lstat;
	noted.stat = noted_stat;
	noted.rename = noted_rename;
	noted.link = noted_link;
	noted.unlink = noted_unlink;
	noted.readlink = noted_readlink;
	noted.listdir = noted_listdir;
	noted.dup = noted_dup;
	noted.get_flags = noted_get_flags;
	noted.set_flags = noted_set_flags;
	noted.eventfd = noted_eventfd;
	noted.poll = noted_poll;
	noted.mmap = noted_mmap;
	noted.munmap = noted_munmap;
	noted.socket = noted_socket;
	noted.bind = noted_bind;
	noted.listen = noted_listen;
	noted.accept = noted_accept;
	noted.connect = noted_connect;
	noted.shutdown = noted_shutdown;
	noted.sendmsg = noted_sendmsg;
	noted.recvmsg = noted_recvmsg;
	noted.getsockopt = noted_getsockopt;
	noted.setsockopt = noted_setsockopt;
	noted.getsockname = noted_getsockname;
	noted.getrandom = noted_getrandom;
	noted.uname = noted_uname;
	noted.getrlimit = noted_getrlimit;
	noted.pidfd_open = noted_pidfd_open;
	noted.pidfd_getfd = noted_pidfd_getfd;
	noted.ioctl = noted_ioctl;
	noted.sleep_ns = noted_sleep_ns;
	noted.geteuid = noted_geteuid;
	sys->ops = &noted;
}
