/* SPDX-License-Identifier: MIT */
/*
 * Differential run: the same random calls on real devices and on their simulated profiles; every result must be equal.
 * A call is three numbers drawn from the seed, so that a sequence can be replayed and shrunk.
 */
#ifndef VFIOMIG_DIFF_H
#define VFIOMIG_DIFF_H

#include "device-internal.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#include <vfiomig/sim.h>

#define DIFF_MAX_CALLS 64
#define DIFF_STREAM (1u << 20)

struct call {
	uint32_t op;
	uint32_t a;
	uint32_t b;
};

/* What a call gave; two machines agree when these are equal. */
struct outcome {
	int64_t result;	   /* 0, a count, or -errno */
	uint64_t value[3]; /* what came back: sizes, flags, a hash of bytes */
	uint32_t state;	   /* by GET, after the call, where one device is under test */
	bool has_fd;	   /* whether the call returned a descriptor */
};

/* Files a sequence has open at will; -1 when not. A container and an iommufd fit both spaces. */
enum slot {
	SLOT_SPACE_A,
	SLOT_SPACE_B,
	SLOT_GROUP_A,
	SLOT_GROUP_B,
	SLOT_DEVICE_A, /* from its group */
	SLOT_DEVICE_B,
	SLOT_CDEV_A,
	SLOT_CDEV_B,
	SLOT_CDEV_A_AGAIN,
	SLOTS,
};

#define DIFF_IDS 8u

/* One machine with the devices under test. */
struct subject {
	const char *machine;
	struct vfm_context *ctx;
	struct vfm_sim *sim;
	struct vfmi_sys *sys;
	struct vfm_candidate found[2]; /* the second one for worlds of files */

	/* the world of a device */
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	int data_fd;
	int eventfd;
	int listened;	 /* an eventfd for devices to listen to, which nobody signals */
	uint8_t *stream; /* a whole good state of this device, saved at the start */
	size_t stream_length;
	size_t cursor; /* what of it has been written in this load */
	bool is_edu;
	bool is_soft; /* really of vfiomig_soft, which has no profile: simulated is an edu with log=1 */
	bool writes;  /* can be told to write to memory, and has done so when the call returns */

	/* the world of logging: what was last to be logged */
	struct vfio_device_feature_dma_logging_range logged[8];
	uint32_t logged_count;

	/* the worlds of files */
	int slots[SLOTS];
	uint32_t ids[DIFF_IDS]; /* objects of iommufds, dead ones among them */
};

struct move {
	const char *name;
	uint32_t weight;
	void (*run)(struct subject *s, const struct call *call, struct outcome *o);
};

/* What sequences are drawn from. */
struct world {
	const char *name;
	bool one_device; /* opened before; else files and nothing open */
	bool recorded;	 /* and a good state of it saved, to be loaded */
	const struct move *moves;
	size_t count;
};

extern const struct world world_device;	    /* calls-device.c */
extern const struct world world_logging;    /* calls-logging.c */
extern const struct world world_interrupts; /* calls-irq.c */
extern const struct world world_container;  /* calls-container.c */
extern const struct world world_iommufd;    /* calls-iommufd.c */

int subject_open(struct subject *s);
void subject_close(struct subject *s);

/* DEVICE_FEATURE with up to 64 bytes of data, flags and argsz as given: right or wrong (calls-device.c). */
int device_feature(struct subject *s, uint32_t flags, uint32_t data_bytes, void *data, size_t length);

/* Calls of a device's own log (calls-logging.c). */
void log_start(struct subject *s, const struct call *call, struct outcome *o);
void log_stop(struct subject *s, const struct call *call, struct outcome *o);
void log_report(struct subject *s, const struct call *call, struct outcome *o);
void log_ops(struct subject *s, const struct call *call, struct outcome *o);

#define LOGGING_MEMORY (1u << 20) /* mapped at 0 in the world of logging */

/* A write of a device that runs, where it can be told to make one: found[@which], open as @fd (dma.c). */
void dma_write(struct subject *s, uint32_t which, int fd, uint64_t iova, uint32_t length);

/* Files (files.c). -EBADF when the slot is empty, as the kernel says; -EALREADY when one to be filled is not. */
void files_start(struct subject *s);
void files_stop(struct subject *s);
int file_ioctl(struct subject *s, uint32_t slot, unsigned long request, void *arg);
int file_open(struct subject *s, uint32_t slot, const char *path);
void file_close(struct subject *s, uint32_t slot);
int file_open_group(struct subject *s, uint32_t which);
int file_open_cdev(struct subject *s, uint32_t slot);
int file_bind(struct subject *s, uint32_t slot, int iommufd, uint32_t *ret_id);
uint64_t file_memory(uint32_t page); /* user address of one of some pages */
/* Memory, addresses and lengths worth trying, legal mostly. */
uint64_t some_address(uint32_t draw);
uint64_t some_iova(uint32_t draw);
uint64_t some_length(uint32_t draw);
int some_file(uint32_t draw); /* of this process, open until it ends; or none */
uint64_t some_start(uint32_t draw);
uint64_t hash_of(const void *bytes, size_t length);

#endif
