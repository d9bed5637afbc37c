/* SPDX-License-Identifier: MIT */
/*
 * Simulated machine (libvfiomig-sim): a strict, stateful stand-in for the kernel's VFIO, for tests and for trying out.
 * A machine lives in a file and is shared by all processes that open it, or in memory for one process and its children.
 */
#ifndef VFIOMIG_SIM_H
#define VFIOMIG_SIM_H

#include <vfiomig/context.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_sim;

/**
 * vfm_sim_open() - open or make a simulated machine
 * @path: machine file, made when absent; NULL for one in memory
 * @spec: used when the machine is made: elements separated by ';', each a device,
 *        "PROFILE[@ADDRESS][,KEY=VALUE...]", or what the host is like, "KEY=VALUE[,KEY=VALUE...]"; NULL for the default
 *        machine "edu@0000:01:00.0;edu@0000:02:00.0;mtty;mtty". Profiles: mtty, edu, mlx5, hisi_acc, virtio, pds, qat,
 *        xe, nvgrace-gpu. Keys of a device: state (bytes, suffixes k m g), flags (1, 3, 5, 7) and more; of the
 *        host: kernel (MAJOR.MINOR), pagesize and more: vfiomig-sim(7)
 * @ret_message: gets a sentence when that fails; may be NULL
 *
 * Return: 0, -EINVAL (spec; or path is not a machine), or errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_sim_open(const char *path, const char *spec, struct vfm_sim **ret_sim, char *ret_message,
					size_t message_room);

/* Close this handle. The machine in a file stays; devices still open elsewhere stay open. NULL is fine. */
VFM_API void vfm_sim_close(struct vfm_sim *sim);

/* A context whose every system call goes to @sim; the sim must outlive it. */
VFM_API VFM_MUST_CHECK int vfm_sim_context(struct vfm_sim *sim, struct vfm_context **ret_ctx);

/* Counters for "nothing leaked" checks: what is open right now. */
struct vfm_sim_usage {
	uint32_t size;
	uint32_t open_fds;	/* simulated and real descriptors opened through this handle and not closed */
	uint32_t maps;		/* DMA areas in all IOAS of the machine */
	uint32_t mmaps;		/* regions mapped through this handle */
	uint32_t devices_open;	/* bound devices of the machine, whoever holds them */
	uint32_t data_sessions; /* of the machine */
	uint64_t calls;		/* calls through this handle since the last fault plan was set */
	uint64_t strict_errors; /* of all processes: bad argsz, double close, unknown descriptor ... */
	uint64_t resets;	/* device resets of the machine, those at open and last close included */
	uint64_t loads;		/* times a device left RESUMING by a change of state, not by a reset */
};
VFM_API void vfm_sim_usage(struct vfm_sim *sim, struct vfm_sim_usage *ret);

/* The newest strict error in words, "" when none. Borrowed until the next call. */
VFM_API const char *vfm_sim_strict_message(struct vfm_sim *sim);

enum vfm_sim_fault_mode {
	VFM_SIM_FAULT_BEFORE = 1,  /* the call fails and has no effect */
	VFM_SIM_FAULT_AFTER = 2,   /* the call has its effect and reports failure; a descriptor it made is closed */
	VFM_SIM_FAULT_PARTIAL = 3, /* half the effect: a short read or write, a walk that stops midway; or as before */
};

/**
 * struct vfm_sim_fault - one entry of a fault plan
 * @call:  number of the first call to fail, counted from 1 from the moment the plan is set
 * @count: how many calls from there fail; UINT64_MAX for all that follow
 * @error: errno to report; 0 for what the call would most likely give
 * @op:    only calls of this name count: "open", "read", "ioctl" ..., or an ioctl's name, "VFIO_DEVICE_RESET",
 *         "VFIO_DEVICE_FEATURE(MIG_DEVICE_STATE)", with ".GET", ".SET" or ".PROBE" behind it if wanted; NULL for all.
 *         Closing, munmap and clock reading never fail and are not counted
 */
struct vfm_sim_fault {
	uint32_t size;
	uint32_t mode;
	uint64_t call;
	uint64_t count;
	int32_t error;
	uint32_t reserved;
	const char *op;
};

/* Replace the fault plan of this handle (not of other processes); NULL or count 0 clears it and the call counter. */
VFM_API VFM_MUST_CHECK int vfm_sim_set_faults(struct vfm_sim *sim, const struct vfm_sim_fault *faults, size_t count);

/* How many faults of the plan have struck. */
VFM_API uint64_t vfm_sim_faults_hit(const struct vfm_sim *sim);

/* Name of the last call that was failed, "VFIO_DEVICE_FEATURE(MIG_DEVICE_STATE)"; "" when none. */
VFM_API const char *vfm_sim_last_fault(const struct vfm_sim *sim);

/* Virtual time of the machine in nanoseconds; sleeping and modelled work advance it, nothing else does. */
VFM_API uint64_t vfm_sim_now_ns(struct vfm_sim *sim);
VFM_API void vfm_sim_advance_ns(struct vfm_sim *sim, uint64_t ns);

/**
 * vfm_sim_executor() - worker threads that share virtual time, for vfm_context_set_executor()
 * @ret: size set by the caller; good as long as @sim is
 *
 * Virtual time does not pass for one thread while another is at work: what threads wait for side by side passes side by
 * side. That goes for the workers, and for the thread that started them as long as it has any. With the default
 * executor every wait ends at once and the waits of all threads add up.
 *
 * Only for work that waits for nothing but time, as that of vfm_devices_start() does: a worker that waits for another
 * thread lets no time pass. Return: 0, -EINVAL. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_sim_executor(struct vfm_sim *sim, struct vfm_executor *ret);

/**
 * vfm_sim_poke() - act on a device from outside, as hardware or another administrator would
 * @action: "reset" (asynchronous reset), "error" (goes to ERROR), "unplug", "dirty=BYTES" (PRE_COPY devices have that
 *          much more to send), "write=IOVA:BYTES" (it writes to memory, if it is bound and runs and may),
 *          "irq=INDEX:VECTOR", "fail-arc=N" (the Nth arc from now fails with EIO),
 *          "error-interrupt" (an uncorrectable error), "request" (the kernel wants the device back)
 *
 * Return: 0, -ENODEV, -EINVAL. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_sim_poke(struct vfm_sim *sim, const char *device, const char *action);

/* Read or write a device's bulk state ("contents") from outside. Return: 0, -ENODEV, -EINVAL (range). */
VFM_API VFM_MUST_CHECK int vfm_sim_contents_read(struct vfm_sim *sim, const char *device, uint64_t offset, void *buf,
						 size_t length);
VFM_API VFM_MUST_CHECK int vfm_sim_contents_write(struct vfm_sim *sim, const char *device, uint64_t offset,
						  const void *buf, size_t length);

#ifdef __cplusplus
}
#endif
#endif
