/* SPDX-License-Identifier: MIT */
/* The seam's default: the running kernel by way of libc, and two helpers over any table. No policy here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

#define NS_PER_S 1000000000u

static int result(int r)
{
	return r < 0 ? -errno : r;
}

static ssize_t result_size(ssize_t r)
{
	return r < 0 ? -errno : r;
}

static int libc_open(struct vfmi_sys *sys, const char *path, int flags, mode_t mode)
{
	(void)sys;
	return result(open(path, flags | O_CLOEXEC, mode));
}

static int libc_close(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	return result(close(fd));
}

static ssize_t libc_read(struct vfmi_sys *sys, int fd, void *buf, size_t length)
{
	(void)sys;
	return result_size(read(fd, buf, length));
}

static ssize_t libc_write(struct vfmi_sys *sys, int fd, const void *buf, size_t length)
{
	(void)sys;
	return result_size(write(fd, buf, length));
}

static ssize_t libc_pread(struct vfmi_sys *sys, int fd, void *buf, size_t length, off_t offset)
{
	(void)sys;
	return result_size(pread(fd, buf, length, offset));
}

static ssize_t libc_pwrite(struct vfmi_sys *sys, int fd, const void *buf, size_t length, off_t offset)
{
	(void)sys;
	return result_size(pwrite(fd, buf, length, offset));
}

static int libc_fsync(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	return result(fsync(fd));
}

static int libc_fstat(struct vfmi_sys *sys, int fd, struct stat *st)
{
	(void)sys;
	return result(fstat(fd, st));
}

static int libc_fstatfs(struct vfmi_sys *sys, int fd, struct statfs *st)
{
	(void)sys;
	return result(fstatfs(fd, st));
}

static int libc_fchmod(struct vfmi_sys *sys, int fd, mode_t mode)
{
	(void)sys;
	return result(fchmod(fd, mode));
}

static int libc_lstat(struct vfmi_sys *sys, const char *path, struct stat *st)
{
	(void)sys;
	return result(lstat(path, st));
}

static int libc_stat(struct vfmi_sys *sys, const char *path, struct stat *st)
{
	(void)sys;
	return result(stat(path, st));
}

static int libc_rename(struct vfmi_sys *sys, const char *from, const char *to)
{
	(void)sys;
	return result(rename(from, to));
}

static int libc_link(struct vfmi_sys *sys, const char *from, const char *to)
{
	(void)sys;
	return result(link(from, to));
}

static int libc_unlink(struct vfmi_sys *sys, const char *path)
{
	(void)sys;
	return result(unlink(path));
}

static ssize_t libc_readlink(struct vfmi_sys *sys, const char *path, char *buf, size_t room)
{
	(void)sys;
	return result_size(readlink(path, buf, room));
}

static int walk_dir(DIR *dir, vfmi_listdir_fn *fn, void *user)
{
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);

		if (!entry)
			return -errno;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		int r = fn(user, entry->d_name);

		if (r)
			return r;
	}
}

static int libc_listdir(struct vfmi_sys *sys, const char *path, vfmi_listdir_fn *fn, void *user)
{
	DIR *dir = opendir(path);
	int r;

	(void)sys;
	if (!dir)
		return -errno;
	r = walk_dir(dir, fn, user);
	closedir(dir);
	return r;
}

static int libc_dup(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	return result(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

static int libc_get_flags(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	return result(fcntl(fd, F_GETFL));
}

static int libc_set_flags(struct vfmi_sys *sys, int fd, int flags)
{
	(void)sys;
	return result(fcntl(fd, F_SETFL, flags));
}

static int libc_isatty(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	if (isatty(fd))
		return 1;
	return errno == EBADF ? -EBADF : 0;
}

static int libc_eventfd(struct vfmi_sys *sys, unsigned int initial, int flags)
{
	(void)sys;
	return result(eventfd(initial, flags | EFD_CLOEXEC));
}

static int libc_poll(struct vfmi_sys *sys, struct pollfd *fds, nfds_t count, int timeout_ms)
{
	(void)sys;
	return result(poll(fds, count, timeout_ms));
}

static int libc_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys;
	return result(ioctl(fd, request, arg));
}

static int libc_mmap(struct vfmi_sys *sys, void *hint, size_t length, int prot, int flags, int fd, off_t offset,
		     void **ret_ptr)
{
	void *ptr = mmap(hint, length, prot, flags, fd, offset);

	(void)sys;
	if (ptr == MAP_FAILED)
		return -errno;
	*ret_ptr = ptr;
	return 0;
}

static int libc_munmap(struct vfmi_sys *sys, void *ptr, size_t length)
{
	(void)sys;
	return result(munmap(ptr, length));
}

static int libc_socket(struct vfmi_sys *sys, int domain, int type, int protocol)
{
	(void)sys;
	return result(socket(domain, type | SOCK_CLOEXEC, protocol));
}

static int libc_bind(struct vfmi_sys *sys, int fd, const struct sockaddr *addr, socklen_t length)
{
	(void)sys;
	return result(bind(fd, addr, length));
}

static int libc_listen(struct vfmi_sys *sys, int fd, int backlog)
{
	(void)sys;
	return result(listen(fd, backlog));
}

static int libc_accept(struct vfmi_sys *sys, int fd, struct sockaddr *addr, socklen_t *length)
{
	(void)sys;
	return result(accept4(fd, addr, length, SOCK_CLOEXEC));
}

static int libc_connect(struct vfmi_sys *sys, int fd, const struct sockaddr *addr, socklen_t length)
{
	(void)sys;
	return result(connect(fd, addr, length));
}

static int libc_shutdown(struct vfmi_sys *sys, int fd, int how)
{
	(void)sys;
	return result(shutdown(fd, how));
}

static ssize_t libc_sendmsg(struct vfmi_sys *sys, int fd, const struct msghdr *msg, int flags)
{
	(void)sys;
	return result_size(sendmsg(fd, msg, flags));
}

static ssize_t libc_recvmsg(struct vfmi_sys *sys, int fd, struct msghdr *msg, int flags)
{
	(void)sys;
	return result_size(recvmsg(fd, msg, flags | MSG_CMSG_CLOEXEC));
}

static int libc_getsockopt(struct vfmi_sys *sys, int fd, int level, int name, void *value, socklen_t *length)
{
	(void)sys;
	return result(getsockopt(fd, level, name, value, length));
}

static int libc_setsockopt(struct vfmi_sys *sys, int fd, int level, int name, const void *value, socklen_t length)
{
	(void)sys;
	return result(setsockopt(fd, level, name, value, length));
}

static int libc_getsockname(struct vfmi_sys *sys, int fd, struct sockaddr *addr, socklen_t *length)
{
	(void)sys;
	return result(getsockname(fd, addr, length));
}

/* What the resolver's own codes mean in errnos. */
static int resolve_error(int code)
{
	switch (code) {
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SERVICE:
		return -EINVAL;
	default:
		return -EHOSTUNREACH;
	}
}

static int libc_resolve(struct vfmi_sys *sys, const char *host, const char *port, bool passive,
			struct vfmi_address *addrs, size_t room)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0) };
	struct addrinfo *list;
	size_t count = 0;
	int r = getaddrinfo(host, port, &hints, &list);

	(void)sys;
	if (r)
		return resolve_error(r);
	for (const struct addrinfo *info = list; info && count < room; info = info->ai_next) {
		if (info->ai_addrlen > sizeof(addrs[count].storage))
			continue;
		addrs[count].length = info->ai_addrlen;
		memcpy(&addrs[count++].storage, info->ai_addr, info->ai_addrlen);
	}
	freeaddrinfo(list);
	return (int)count;
}

static uint64_t libc_now_ns(struct vfmi_sys *sys)
{
	struct timespec now = { 0 };

	(void)sys;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t libc_wall_s(struct vfmi_sys *sys)
{
	struct timespec now = { 0 };

	(void)sys;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec;
}

static void libc_sleep_ns(struct vfmi_sys *sys, uint64_t ns)
{
	struct timespec left = { .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };

	(void)sys;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

static int libc_getrandom(struct vfmi_sys *sys, void *buf, size_t length)
{
	size_t done = 0;

	(void)sys;
	while (done < length) {
		ssize_t got = getrandom((char *)buf + done, length - done, 0);

		if (got < 0 && errno != EINTR)
			return -errno;
		done += got > 0 ? (size_t)got : 0;
	}
	return 0;
}

static int libc_uname(struct vfmi_sys *sys, struct utsname *name)
{
	(void)sys;
	return result(uname(name));
}

static uid_t libc_geteuid(struct vfmi_sys *sys)
{
	(void)sys;
	return geteuid();
}

static int libc_getrlimit(struct vfmi_sys *sys, int resource, struct rlimit *limit)
{
	(void)sys;
	return getrlimit((__rlimit_resource_t)resource, limit) < 0 ? -errno : 0;
}

static int libc_pidfd_open(struct vfmi_sys *sys, pid_t pid)
{
	(void)sys;
	return result((int)syscall(SYS_pidfd_open, pid, 0));
}

static int libc_pidfd_getfd(struct vfmi_sys *sys, int pidfd, int fd)
{
	(void)sys;
	return result((int)syscall(SYS_pidfd_getfd, pidfd, fd, 0));
}

static const struct vfmi_sys_ops libc_ops = {
	.open = libc_open,
	.close = libc_close,
	.read = libc_read,
	.write = libc_write,
	.pread = libc_pread,
	.pwrite = libc_pwrite,
	.fsync = libc_fsync,
	.fstat = libc_fstat,
	.fstatfs = libc_fstatfs,
	.fchmod = libc_fchmod,
	.lstat = libc_lstat,
	.stat = libc_stat,
	.rename = libc_rename,
	.link = libc_link,
	.unlink = libc_unlink,
	.readlink = libc_readlink,
	.listdir = libc_listdir,
	.dup = libc_dup,
	.get_flags = libc_get_flags,
	.set_flags = libc_set_flags,
	.isatty = libc_isatty,
	.eventfd = libc_eventfd,
	.poll = libc_poll,
	.ioctl = libc_ioctl,
	.mmap = libc_mmap,
	.munmap = libc_munmap,
	.socket = libc_socket,
	.bind = libc_bind,
	.listen = libc_listen,
	.accept = libc_accept,
	.connect = libc_connect,
	.shutdown = libc_shutdown,
	.sendmsg = libc_sendmsg,
	.recvmsg = libc_recvmsg,
	.getsockopt = libc_getsockopt,
	.setsockopt = libc_setsockopt,
	.getsockname = libc_getsockname,
	.resolve = libc_resolve,
	.now_ns = libc_now_ns,
	.wall_s = libc_wall_s,
	.sleep_ns = libc_sleep_ns,
	.getrandom = libc_getrandom,
	.uname = libc_uname,
	.geteuid = libc_geteuid,
	.getrlimit = libc_getrlimit,
	.pidfd_open = libc_pidfd_open,
	.pidfd_getfd = libc_pidfd_getfd,
};

struct vfmi_sys vfmi_sys_libc = { .ops = &libc_ops };

int vfmi_sys_command(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	int r = sys->ops->ioctl(sys, fd, request, arg);

	return r < 0 ? r : 0;
}

int vfmi_sys_query(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	int r;

	do {
		r = sys->ops->ioctl(sys, fd, request, arg);
	} while (r == -EINTR);
	return r;
}

/* Fills at most @room; -EFBIG when the file has more. */
static ssize_t read_to_end(struct vfmi_sys *sys, int fd, char *buf, size_t room)
{
	size_t length = 0;

	while (length < room) {
		ssize_t got = sys->ops->read(sys, fd, buf + length, room - length);

		if (got == -EINTR)
			continue;
		if (got < 0)
			return got;
		if (got == 0)
			return (ssize_t)length;
		if ((size_t)got > room - length)
			return -EIO;
		length += (size_t)got;
	}
	return -EFBIG;
}

int vfmi_sys_read_file(struct vfmi_sys *sys, const char *path, char *buf, size_t room)
{
	ssize_t length;
	int fd;

	if (room == 0 || room > INT_MAX)
		return -EINVAL;
	fd = sys->ops->open(sys, path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	length = read_to_end(sys, fd, buf, room);
	sys->ops->close(sys, fd);
	if (length < 0)
		return (int)length;
	while (length > 0 && strchr(" \t\r\n", buf[length - 1]))
		length--;
	buf[length] = '\0';
	return (int)length;
}

uint64_t vfmi_page_size(const struct vfmi_sys *sys)
{
	return sys->page_size ? sys->page_size : (uint64_t)sysconf(_SC_PAGESIZE);
}
