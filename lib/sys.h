/* SPDX-License-Identifier: MIT */
/*
 * The seam: every system call of the libraries goes through one table owned by the context. No policy here.
 *
 * Each entry returns what the call returns, or -errno; global errno is neither read nor promised. The libc table is
 * vfmi_sys_libc; the simulated machine supplies its own, which answers for simulated paths and descriptors and passes
 * everything else on. Simulated descriptors are real ones of the process, so they can be polled, passed and inherited.
 */
#ifndef VFIOMIG_SYS_H
#define VFIOMIG_SYS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <sys/utsname.h>

#include <vfiomig/visibility.h>

/* What struct statfs calls a file system (linux/magic.h); device nodes of devtmpfs are a tmpfs's too. */
#define VFMI_FS_TMPFS 0x01021994u
#define VFMI_FS_HUGETLBFS 0x958458f6u
#define VFMI_FS_ANON_INODE 0x09041934u
#define VFMI_FS_DMABUF 0x444d4142u

struct vfmi_sys;

/* Called for each name but "." and ".."; non-zero stops the walk and is returned. */
typedef int vfmi_listdir_fn(void *user, const char *name);

/* Where a socket can be bound or connected. */
struct vfmi_address {
	socklen_t length;
	struct sockaddr_storage storage;
};

struct vfmi_sys_ops {
	/* files; open always adds O_CLOEXEC */
	int (*open)(struct vfmi_sys *sys, const char *path, int flags, mode_t mode);
	int (*close)(struct vfmi_sys *sys, int fd);
	ssize_t (*read)(struct vfmi_sys *sys, int fd, void *buf, size_t length);
	ssize_t (*write)(struct vfmi_sys *sys, int fd, const void *buf, size_t length);
	ssize_t (*pread)(struct vfmi_sys *sys, int fd, void *buf, size_t length, off_t offset);
	ssize_t (*pwrite)(struct vfmi_sys *sys, int fd, const void *buf, size_t length, off_t offset);
	int (*fsync)(struct vfmi_sys *sys, int fd);
	int (*fstat)(struct vfmi_sys *sys, int fd, struct stat *st);
	int (*fstatfs)(struct vfmi_sys *sys, int fd, struct statfs *st);
	int (*fchmod)(struct vfmi_sys *sys, int fd, mode_t mode); /* of a socket: what bind() will give its path */
	int (*lstat)(struct vfmi_sys *sys, const char *path, struct stat *st);
	int (*stat)(struct vfmi_sys *sys, const char *path, struct stat *st);
	int (*rename)(struct vfmi_sys *sys, const char *from, const char *to);
	int (*link)(struct vfmi_sys *sys, const char *from, const char *to);
	int (*unlink)(struct vfmi_sys *sys, const char *path);
	ssize_t (*readlink)(struct vfmi_sys *sys, const char *path, char *buf, size_t room);
	int (*listdir)(struct vfmi_sys *sys, const char *path, vfmi_listdir_fn *fn, void *user);
	int (*dup)(struct vfmi_sys *sys, int fd);	/* F_DUPFD_CLOEXEC */
	int (*get_flags)(struct vfmi_sys *sys, int fd); /* F_GETFL */
	int (*set_flags)(struct vfmi_sys *sys, int fd, int flags);
	int (*isatty)(struct vfmi_sys *sys, int fd); /* 1, 0 or -EBADF */
	int (*eventfd)(struct vfmi_sys *sys, unsigned int initial, int flags);
	int (*poll)(struct vfmi_sys *sys, struct pollfd *fds, nfds_t count, int timeout_ms);

	/* VFIO and iommufd; positive results are passed through */
	int (*ioctl)(struct vfmi_sys *sys, int fd, unsigned long request, void *arg);
	int (*mmap)(struct vfmi_sys *sys, void *hint, size_t length, int prot, int flags, int fd, off_t offset,
		    void **ret_ptr);
	int (*munmap)(struct vfmi_sys *sys, void *ptr, size_t length);

	/* sockets; close-on-exec always */
	int (*socket)(struct vfmi_sys *sys, int domain, int type, int protocol);
	int (*bind)(struct vfmi_sys *sys, int fd, const struct sockaddr *addr, socklen_t length);
	int (*listen)(struct vfmi_sys *sys, int fd, int backlog);
	int (*accept)(struct vfmi_sys *sys, int fd, struct sockaddr *addr, socklen_t *length);
	int (*connect)(struct vfmi_sys *sys, int fd, const struct sockaddr *addr, socklen_t length);
	int (*shutdown)(struct vfmi_sys *sys, int fd, int how);
	ssize_t (*sendmsg)(struct vfmi_sys *sys, int fd, const struct msghdr *msg, int flags);
	ssize_t (*recvmsg)(struct vfmi_sys *sys, int fd, struct msghdr *msg, int flags);
	int (*getsockopt)(struct vfmi_sys *sys, int fd, int level, int name, void *value, socklen_t *length);
	int (*setsockopt)(struct vfmi_sys *sys, int fd, int level, int name, const void *value, socklen_t length);
	int (*getsockname)(struct vfmi_sys *sys, int fd, struct sockaddr *addr, socklen_t *length);
	/* TCP addresses of a host (NULL: any) and port, to bind when @passive; how many of @room were written */
	int (*resolve)(struct vfmi_sys *sys, const char *host, const char *port, bool passive,
		       struct vfmi_address *addrs, size_t room);

	/* time and the rest */
	uint64_t (*now_ns)(struct vfmi_sys *sys); /* CLOCK_MONOTONIC; virtual on a simulated machine */
	uint64_t (*wall_s)(struct vfmi_sys *sys); /* CLOCK_REALTIME seconds */
	void (*sleep_ns)(struct vfmi_sys *sys, uint64_t ns);
	int (*getrandom)(struct vfmi_sys *sys, void *buf, size_t length);
	int (*uname)(struct vfmi_sys *sys, struct utsname *name);
	uid_t (*geteuid)(struct vfmi_sys *sys);
	int (*getrlimit)(struct vfmi_sys *sys, int resource, struct rlimit *limit);
	int (*pidfd_open)(struct vfmi_sys *sys, pid_t pid);
	int (*pidfd_getfd)(struct vfmi_sys *sys, int pidfd, int fd); /* close-on-exec, as the kernel makes it */
};

struct vfmi_sys {
	const struct vfmi_sys_ops *ops;
	bool simulated;
	uint64_t page_size; /* of the machine; 0: the process's own */
};

/* The running kernel; stateless, shared by all contexts. */
VFM_API extern struct vfmi_sys vfmi_sys_libc;

/*
 * Over the table, in sys.c: a file's text, white space at its end cut off, NUL added; EINTR is retried.
 * Return: length, -EFBIG when @room is too small, or -errno.
 */
VFM_API int vfmi_sys_read_file(struct vfmi_sys *sys, const char *path, char *buf, size_t room);

/*
 * An ioctl that changes something: EINTR is the caller's to judge, the effect may have happened. One that only asks:
 * EINTR is retried, and a positive answer may be what was asked for.
 */
int vfmi_sys_command(struct vfmi_sys *sys, int fd, unsigned long request, void *arg); /* 0 or -errno */
int vfmi_sys_query(struct vfmi_sys *sys, int fd, unsigned long request, void *arg);

/* Size of a page of memory, a power of two; no system call. */
uint64_t vfmi_page_size(const struct vfmi_sys *sys);

#endif
