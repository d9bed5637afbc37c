/* SPDX-License-Identifier: MIT */
/* The jail: a list of system calls by phase, a filter made of it, and the work that is done inside. */
#ifndef VFIOMIG_JAIL_H
#define VFIOMIG_JAIL_H

#include <stdatomic.h>
#include <sys/types.h>

#include "../scenarios/scenario.h"

enum phase {
#define PHASE(name) PHASE_##name,
#define CALL(phase, name)
#define IOCTL(phase, name)
#include "jail-table.h"
#undef PHASE
#undef CALL
#undef IOCTL
	PHASES
};

struct jail_entry {
	enum phase phase;
	const char *name;
	long number;
};

/* list.c: the table, both ended by a name that is NULL */
extern const char *const jail_phases[PHASES];
extern const struct jail_entry jail_calls[];
extern const struct jail_entry jail_ioctls[];

/* What the work is done on, and which part of it is going on. */
struct jail {
	struct env env; /* its context is the one that works inside */
	_Atomic(enum phase) phase;
	_Atomic(pid_t) other; /* a thread with a phase of its own */
	_Atomic(enum phase) other_phase;
	uint32_t backend;
	int state_file; /* memfd: a saved state */
	uint64_t state_bytes;
	int memory_file;
	struct vfm_map outside; /* what the owner of the first device had mapped already */
	struct vfm_adopt adopt[3];
	struct vfm_device *devs[3]; /* the third takes part with its interrupts only */
	int empty_container;	    /* without a group, so without an IOMMU; -1 for an iommufd */
	struct vfm_map memory[2];
	int irq[2];
	bool jailed;	 /* paths are out of reach at the end */
	bool no_threads; /* none can be made any more, and none is to be outside */
	bool pasids;	 /* the second device has one */
	bool vectors;	 /* there is a third device, and vectors cannot be added to its enabled ones */
	bool soft;	 /* the devices are of vfiomig_soft, not edu */
	struct peers *peers;
};

/* peers.c: whoever the devices' owner has to do with. Made before the jail is closed. Return: 0, or -1, told. */
int peers_open(struct jail *jail);
int peers_lend(struct jail *jail);	/* the first device goes to a borrower and comes back armed */
int peers_hand_over(struct jail *jail); /* the first device's state to the second one, over a socket */
int peers_save(struct jail *jail);	/* and into a descriptor */
int peers_close(struct jail *jail);

/* more.c: what is no part of a migration; devices of vfiomig_soft. Return: 0, or -1, told. */
int more_beside(struct jail *jail);
int more_attach(struct jail *jail);
int more_process(struct jail *jail, struct vfm_iommu *iommu);
int more_addresses(struct jail *jail, int i);
int more_regions(struct jail *jail, struct vfm_device *dev);
int more_vectors(struct jail *jail, struct vfm_device *dev);
int more_power(struct jail *jail, struct vfm_device *dev);
int more_fault(struct jail *jail, const char *op, int error);
bool soft_is(const char *name);
int soft_fill(struct jail *jail, int i);
int soft_compare(struct jail *jail, int i);
int soft_start(struct jail *jail, int i, uint64_t iova, uint64_t pages);
int soft_interrupt(struct jail *jail, int i);
int soft_runs(struct jail *jail, int i);

/* work.c. Return: 0, or -1 after saying what went wrong. */
int jail_open(struct jail *jail);	/* by name: both devices, and memory of the first; fills adopt[] */
int jail_files(struct jail *jail);	/* what a program has before it goes in */
int jail_work(struct jail *jail);	/* adopts, and does everything else there is to do */
void jail_close_all(struct jail *jail); /* what jail_open() and jail_files() made */

enum jail_flag {
	JAIL_SIMULATED = 1,  /* what the simulated machine does is allowed as well */
	JAIL_NO_THREADS = 2, /* all threads enter, and none can be made any more */
};

/*
 * filter.c: for the calling thread and those it makes from here on. The phases from adoption to closing, and of those
 * that are no part of the library, the program's own.
 */
int jail_enter(uint32_t flags);
/* The calling thread: every call is reported to the listener that is returned, or -errno. */
int jail_enter_watched(void);

/*
 * watch.c: jail_open() and jail_work() with everything they ask of the kernel noted, nothing refused. TAP for each
 * phase: nothing was asked for that is not on the list. On the running kernel a filter asks about every system call of
 * the thread; on a simulated machine, which itself makes system calls, those that the library makes of the machine are
 * noted (seam.c). Return: how much was wrong.
 */
int watch_work(struct jail *jail);
void watch_note(long number, long request, pid_t thread); /* @request: of ioctl, else 0 */

/* seam.c: have every call on the machine of a context noted from here on. */
void seam_watch(struct vfm_context *ctx);

/*
 * pool.c: an executor whose threads are there before they are needed, as many as @count; they never end by themselves.
 * Return: 0 or -errno.
 */
int pool_start(struct vfm_context *ctx, unsigned int count);
/* One of them works, or a new thread where none was started. Return: 0 or -errno. */
int pool_run(void (*work)(void *arg), void *arg, void **ret_task);
void pool_join(void *task);

int report(bool good, const char *format, ...) __attribute__((format(printf, 2, 3))); /* 0 if good */

#endif
