/* SPDX-License-Identifier: MIT */
/* The KVM half of minivmm.c: one vCPU on RAM that somebody else owns, and KVM's log of the pages it writes. */
#ifndef MINIVMM_KVM_H
#define MINIVMM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096u

/* What moves of a vCPU in real mode without interrupts. */
struct guest_cpu {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
};

/*
 * KVM's other log: the vCPU writes down each page it makes dirty, and leaves the guest when it has no more room.
 * @written: of guest pages, what was taken out of the ring and not asked for yet
 */
struct guest_ring {
	struct kvm_dirty_gfn *entries; /* NULL: not used */
	uint32_t next;
	pthread_mutex_t lock; /* the thread of the vCPU empties it when it is full */
	uint64_t *written;
	uint64_t pages;
	uint64_t full; /* how often it was */
};

struct guest {
	int kvm;
	int vm;
	int vcpu;
	int devices; /* KVM's list of files of VFIO */
	struct kvm_run *run;
	size_t run_bytes;
	struct guest_ring ring;
	pthread_t thread;
	bool running;
	atomic_bool stop;
	atomic_bool ended;
	atomic_bool lost; /* it did not stop when it was told to */
	int failure;	  /* of the thread: -errno, -EILSEQ when the guest found a page that it had not left so */
};

/*
 * All return 0 or -errno. @ram belongs to the caller and outlives the guest; its first page is guest address 0. @ring:
 * the pages it writes come out of a dirty ring (Linux 5.11), not out of the bitmap of the memory slot.
 */
int guest_create(struct guest *guest, void *ram, size_t bytes, bool ring);
void guest_destroy(struct guest *guest);

/*
 * A vfm_opened_fn, @user a guest: tell KVM of the file of a device, or of its group. For one at a time; KVM lets go of
 * all when the guest is destroyed.
 */
int guest_add_device(void *user, int fd);

/* The guest's program, and a vCPU at its first instruction. */
void guest_load(uint8_t *ram);
int guest_reset(struct guest *guest);

int guest_start(struct guest *guest);
/* The thread's failure, if it had one: -EIO, -ETIMEDOUT when the vCPU is not where its program is. */
int guest_stop(struct guest *guest);

int guest_save(struct guest *guest, struct guest_cpu *ret);
int guest_restore(struct guest *guest, const struct guest_cpu *cpu);
/* How many pages the guest has written in its life. */
uint32_t guest_counter(const struct guest_cpu *cpu);

/* Pages written by the vCPU since the last call: @log, all clear, has a bit for each page of RAM; KVM forgets them. */
int guest_dirty(struct guest *guest, uint64_t *log);

#endif
