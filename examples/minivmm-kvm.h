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

struct guest {
	int kvm;
	int vm;
	int vcpu;
	struct kvm_run *run;
	size_t run_bytes;
	pthread_t thread;
	bool running;
	atomic_bool stop;
	int failure; /* of the thread: -errno, -EILSEQ when the guest found a page that it had not left so */
};

/* All return 0 or -errno. @ram belongs to the caller and outlives the guest; its first page is guest address 0. */
int guest_create(struct guest *guest, void *ram, size_t bytes);
void guest_destroy(struct guest *guest);

/* The guest's program, and a vCPU at its first instruction. */
void guest_load(uint8_t *ram);
int guest_reset(struct guest *guest);

int guest_start(struct guest *guest);
int guest_stop(struct guest *guest); /* the thread's failure, if it had one */

int guest_save(struct guest *guest, struct guest_cpu *ret);
int guest_restore(struct guest *guest, const struct guest_cpu *cpu);
/* How many pages the guest has written in its life. */
uint32_t guest_counter(const struct guest_cpu *cpu);

/* Pages written by the vCPU since the last call: @log has a bit for each page of RAM, and KVM forgets them. */
int guest_dirty(struct guest *guest, uint64_t *log);

#endif
