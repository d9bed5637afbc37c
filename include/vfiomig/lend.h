/* SPDX-License-Identifier: MIT */
/* Lending and borrowing devices over a unix socket: whoever holds a device open keeps its state alive. */
#ifndef VFIOMIG_LEND_H
#define VFIOMIG_LEND_H

#include <vfiomig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_lender;
struct vfm_borrow;

/**
 * vfm_lender_open() - offer devices on a unix socket
 * @path: socket path (created 0600, removed at close), or "@NAME" for the abstract namespace
 *
 * Peers of another uid but root are turned away (SO_PEERCRED); one borrower at a time. Serves only inside
 * vfm_lender_dispatch(). A dead socket at @path is replaced.
 * Return: 0, -EADDRINUSE (a live socket is there), -EEXIST (something else is), or errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_lender_open(struct vfm_context *ctx, const char *path, struct vfm_lender **ret_lender,
					   struct vfm_error *ret_error);
VFM_API void vfm_lender_close(struct vfm_lender *lender);

/* Add a device to what is lent, with all that adoption needs; it must outlive the lender. -EBUSY while borrowed. */
VFM_API VFM_MUST_CHECK int vfm_lender_add(struct vfm_lender *lender, struct vfm_device *dev,
					  struct vfm_error *ret_error);

/* Descriptors to poll for reading before vfm_lender_dispatch(); returns how many of @room (2 suffice) were written. */
VFM_API size_t vfm_lender_fds(const struct vfm_lender *lender, int *fds, size_t room);

enum vfm_lend_event {
	VFM_LEND_NONE = 0,
	VFM_LEND_BORROWED = 1, /* a borrower has the descriptors */
	VFM_LEND_RETURNED = 2, /* it said it is done; ask the devices for their state */
	VFM_LEND_DIED = 3,     /* it went without a word; ask the devices for their state */
	VFM_LEND_REFUSED = 4,  /* a peer was turned away: other uid, busy, or not speaking the protocol */
};

struct vfm_lend_info {
	uint32_t size;
	uint32_t event; /* enum vfm_lend_event */
	int32_t pid;
	uint32_t uid;
};

/**
 * vfm_lender_dispatch() - serve what is pending, never blocking; one event a call
 *
 * Interrupt eventfds that a borrower armed and returned become the device's (vfm_device_irq_eventfd()), those of
 * vectors that it disarmed are closed. Not while another thread arms interrupts of a lent device.
 *
 * Return: 0 (ret_info->event may be VFM_LEND_NONE), -EINVAL (no room in ret_info for the event, nothing was served), or
 * -errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_lender_dispatch(struct vfm_lender *lender, struct vfm_lend_info *ret_info,
					       struct vfm_error *ret_error);

/**
 * struct vfm_borrow_opts - how to borrow
 * @cancel: may be NULL; makes every wait end with -ECANCELED, and what has come so far is closed
 */
struct vfm_borrow_opts {
	uint32_t size;
	uint32_t reserved; /* 0 */
	struct vfm_cancel *cancel;
};

/**
 * vfm_borrow_open() - fetch the devices a holder lends
 * @opts: may be NULL
 *
 * Blocking: as long as the holder takes to answer, 5 s at most for each answer (-ETIMEDOUT). A holder of another uid is
 * not trusted, but by root. Failures that are not a device's carry VFM_ERROR_PEER, but for -ECANCELED and -EINVAL.
 * Return: 0, -ENOENT or -ECONNREFUSED (nobody lends there), -EBUSY (lent already), -EPERM, -EPROTO,
 * -ECANCELED. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_borrow_open(struct vfm_context *ctx, const char *path,
					   const struct vfm_borrow_opts *opts, struct vfm_borrow **ret_borrow,
					   struct vfm_error *ret_error);
VFM_API size_t vfm_borrow_count(const struct vfm_borrow *borrow);

/* Device @index, adopted; borrowed until vfm_borrow_close(). NULL when out of range. */
VFM_API struct vfm_device *vfm_borrow_device(struct vfm_borrow *borrow, size_t index);

/* Say that the work is done, with eventfds armed and vectors disarmed meanwhile, close the descriptors; NULL is fine.
 */
VFM_API void vfm_borrow_close(struct vfm_borrow *borrow);

/**
 * vfm_device_describe() - one line that adopts this device in a process that inherits its descriptors
 * @buf: room for VFM_DESCRIPTION_MAX bytes
 *
 * Form: "fd:5,iommufd=6,ioas=1,devid=2,pt=3,name=0000:01:00.0,irq=1:0:7" (irq=INDEX:VECTOR:FD, repeated). Further
 * keys: backend (vfm_backend_name(); where it is a container's, iommufd is the container's descriptor and there is no
 * ioas), tracks (pt is a page table with dirty tracking), driver, mdev, firmware, sim. In texts everything but letters,
 * digits and "._:/@+-" is written %XX.
 * The device is asked for its identity.
 *
 * VFM_DESCRIPTION_MAX is enough for every device: for 2048 armed vectors of one interrupt index and one of each other.
 * It fits a string of the environment, where Linux has 128 KiB for each.
 * Return: length without NUL, or -ENOSPC. Since: 0.1
 */
#define VFM_DESCRIPTION_MAX 65536u
VFM_API VFM_MUST_CHECK int vfm_device_describe(struct vfm_device *dev, char *buf, size_t room);

/**
 * vfm_device_adopt_described() - the inverse, in the process that inherited the descriptors
 *
 * "fd:N" alone is enough for migration. Descriptors are duplicated.
 *
 * "pidfd:PID:FD", with the same keys behind it, means descriptors of the running process PID: all of them are taken out
 * of it by pidfd_getfd(2), which asks for the right to trace it (the same user, as far as kernel.yama.ptrace_scope
 * allows, or CAP_SYS_PTRACE). The process goes on holding the device and is neither asked nor told: that it leaves the
 * device alone meanwhile is the caller's to see to. All come from one process even if its number is used again; which
 * one is certain with "start=TICKS", the 22nd field of its /proc/PID/stat.
 *
 * Return: 0, -EINVAL (the message shows where), -EBADF, -ESRCH (no such process), -EPERM (not to be traced), -ENOSYS.
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_device_adopt_described(struct vfm_context *ctx, const char *description,
						      struct vfm_device **ret_dev, struct vfm_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
