/* SPDX-License-Identifier: MIT */
/*
 * What only the lab's machine can show: devices that nobody simulates, by the public API. A program of its
 * own beside the table of scenarios, whose tools it uses; the cases of tests/kernel/cases name its groups and devices.
 */
#ifndef VFIOMIG_LAB_H
#define VFIOMIG_LAB_H

#include "../scenarios/scenario.h"

#define PAGE 4096ull

/* The devices that a case names, in its order. */
#define FIRST EDU_A
#define SECOND EDU_B
#define THIRD MTTY_A
#define FOURTH MTTY_B

/* A scenario of the group that a case asks for. */
struct lab_test {
	const char *group;
	const char *name;
	int (*run)(struct env *env);
};

extern const struct lab_test mode_tests[];
extern const struct lab_test nvme_tests[];
extern const struct lab_test intx_tests[];
extern const struct lab_test sriov_tests[];
extern const struct lab_test reset_tests[];
extern const struct lab_test ready_tests[];
extern const struct lab_test pasid_tests[];
extern const struct lab_test peer_tests[];
extern const struct lab_test group_tests[];
extern const struct lab_test notice_tests[];
extern const struct lab_test dirty_tests[];
extern const struct lab_test cost_tests[];
extern const struct lab_test vhost_tests[];
extern const struct lab_test limit_tests[];
extern const struct lab_test msi_tests[];
extern const struct lab_test process_tests[];
extern const struct lab_test gmem_tests[];

/* An address space and a device in it, bus master on, the device on an address space of its own. */
int lab_open(struct env *env, uint32_t backend, enum which which, struct vfm_device **ret);
/* Open by @flags and @token (NULL for none) and bind; closed again, the error is in env->err. */
int lab_try_token(struct env *env, enum which which, uint32_t backend, const uint8_t *token);
bool fired(int eventfd, int ms);		  /* signalled within @ms; the signal is taken */
bool lab_says(struct env *env, const char *text); /* the last error has this in its sentence, which is shown */
/* A mirror of memory: what is set in @bitmap comes over; what is not as it should be. */
void lab_copy_pages(uint8_t *to, const uint8_t *from, const uint64_t *bitmap, unsigned int pages);
unsigned int lab_pages_differ(const uint8_t *a, const uint8_t *b, unsigned int pages);

/*
 * nvme.c: a controller of NVM Express, its admin queue and one for data
 *
 * @memory: NVME_PAGES of it, mapped at @iova
 */
#define NVME_PAGES 5
struct nvme_queue {
	uint32_t id;
	uint32_t tail;
	uint32_t head;
	uint32_t phase; /* of the completions that are new */
	uint8_t *commands;
	uint8_t *completions;
	int eventfd;
};
struct nvme {
	struct env *env;
	struct vfm_device *dev;
	uint8_t *memory;
	uint64_t iova;
	volatile uint32_t *doorbells;
	struct nvme_queue admin;
	struct nvme_queue io;
};
#define NVME_DATA(n) ((n)->memory + 2 * PAGE)
/*
 * Enabled, with the admin queue's interrupt by index @irq armed before, or -1 for none: QEMU tells by MSI-X only of
 * queues that were made while that was enabled.
 */
int nvme_start(struct env *env, struct vfm_device *dev, int irq, struct nvme *n);
void nvme_end(struct nvme *n); /* its registers are no longer mapped; the rest is the env's */
int nvme_arm(struct nvme *n, uint32_t index, struct nvme_queue *queue);
/* a command: sent; answered, with 0 or its status; both, with an interrupt in between */
void nvme_send(struct nvme *n, struct nvme_queue *queue, const uint32_t command[16]);
int nvme_answer(struct nvme *n, struct nvme_queue *queue);
int nvme_command(struct nvme *n, struct nvme_queue *queue, const uint32_t command[16]);
void nvme_send_identify(struct nvme *n);
int nvme_identify_as(struct nvme *n, uint32_t what); /* CNS; into NVME_DATA() */
int nvme_check_identify(struct nvme *n);	     /* what it says of itself has arrived */
int nvme_identify(struct nvme *n);
int nvme_is_enabled(struct env *env, struct vfm_device *dev, bool *ret);

/* soft.c: a device of vfiomig_soft, see tests/kmod/vfiomig_soft.h */
int soft_get(struct env *env, struct vfm_device *dev, uint64_t reg, uint64_t *ret);
int soft_set(struct env *env, struct vfm_device *dev, uint64_t reg, uint64_t value);
int soft_clear_knobs(struct env *env, struct vfm_device *dev); /* they outlive whoever turned them */
/* From now on it writes into random pages by itself; @flags: VFIOMIG_SOFT_RUN_* */
int soft_run(struct env *env, struct vfm_device *dev, uint64_t iova, uint64_t pages, uint64_t flags);
int soft_write(struct env *env, struct vfm_device *dev, uint64_t iova, uint64_t length, uint64_t value); /* one DMA */
int soft_wait_writes(struct env *env, struct vfm_device *dev, uint64_t more); /* until it has made so many */
/* Behind the library's back, as a reset of some drivers does: what the kernel keeps is lost. Return: 0, -errno. */
int soft_steal_log(struct vfm_device *dev);
int soft_steal_type1(struct vfm_device *dev);

#endif
