/* SPDX-License-Identifier: MIT */
/* What makes one driver differ from another: constant tables and the few functions behind them. */
#ifndef VFIOMIG_SIM_PROFILE_H
#define VFIOMIG_SIM_PROFILE_H

#include "machine.h"

enum sim_quirk {
	SIM_MDEV = 1, /* mediated: an mdev UUID, no vfio-pci core: no reset at open and close, state stays */
	SIM_PCIE = 2, /* has the ERR interrupt; 4 KiB of configuration */
	SIM_PRECOPY_ENDS_IN_0 = 4,  /* nothing left in PRE_COPY reads as 0 instead of ENOMSG */
	SIM_INFO_NOT_IN_P2P = 8,    /* precopy info in PRE_COPY only */
	SIM_STATE_BEFORE_DEAD = 16, /* precopy info of a dead session looks at the device's state first */
	SIM_WIPED_BY_RESUMING = 32, /* entering RESUMING forgets the contents */
	SIM_POLLS = 64,		    /* the data file has a poll of its own */
	SIM_ERROR_KILLS = 256,	    /* after an error on loading the data file answers ENODEV */
	SIM_HAS_CONTENTS = 128,	    /* state= means something */
	SIM_ARC_POISONS = 512,	    /* an illegal change of state marks the device failed */
	SIM_EXPORTS = 1024,	    /* says where its BARs lie, so that there can be dma-bufs of them */
	SIM_OWN_MEMORY = 2048,	    /* a BAR is the device's memory: mapped by the driver itself, and ready late */
};

/* A log of its own, of what it writes. */
enum sim_log {
	SIM_LOG_NONE = 0,
	SIM_LOG_PLAIN = 1, /* none in the driver; switched on by the machine's description */
	SIM_LOG_STUB = 2,  /* functions and nothing behind them */
	SIM_LOG_MLX5 = 3,
	SIM_LOG_PDS = 4,
};

struct sim_region {
	uint64_t size; /* 0 absent, UINT64_MAX the size of the contents */
	uint32_t flags;
	uint32_t type;
	uint32_t subtype;
};

#define SIM_REGIONS 11u
#define SIM_PLAIN_BAR 4u       /* where bar=plain has the MSI-X table, at its start; else it is in BAR 0 */
#define SIM_MSIX_TABLE 0x2000u /* there */

struct sim_profile {
	const char *name;
	const char *driver;
	uint32_t quirks;
	uint32_t migration_flags; /* 0: does not migrate */
	uint32_t log;		  /* enum sim_log */
	uint64_t state_bytes;	  /* default of state= */
	uint64_t state_max;	  /* of state=, 0: as much as any */
	uint32_t regions;	  /* GET_INFO */
	uint32_t irqs;
	uint16_t vendor;
	uint16_t device;
	uint16_t subvendor;
	uint16_t subdevice;
	uint32_t class_code;
	uint8_t revision;
	uint8_t pin;
	uint8_t msi_cap; /* where in configuration space, 0: none */
	uint8_t msix_cap;
	uint8_t pcie_cap;
	uint16_t msix_vectors;
	uint32_t regs_bytes; /* of struct sim_plain */
	struct sim_region region[SIM_REGIONS];

	void (*open)(struct vfm_sim *sim, struct sim_device *dev);
	void (*reset)(struct sim_device *dev);			      /* registers as new; contents are the caller's */
	void (*run)(struct vfm_sim *sim, struct sim_device *dev);     /* take the device to the present */
	void (*quiesce)(struct vfm_sim *sim, struct sim_device *dev); /* finish what is under way */
	/* Aligned access of 1, 2, 4 or 8 bytes to a BAR. */
	uint64_t (*bar_read)(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t at, uint32_t width);
	void (*bar_write)(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t at, uint32_t width,
			  uint64_t value);
	ssize_t (*region_rw)(struct vfm_sim *sim, struct sim_device *dev, uint32_t index, uint8_t *buf, size_t length,
			     uint64_t pos, bool write); /* device-specific regions; mdevs: all */

	/* migration */
	void (*save_begin)(struct vfm_sim *sim, struct sim_device *dev); /* queue what a session starts with */
	void (*save_final)(struct vfm_sim *sim, struct sim_device *dev); /* the device has stopped */
	bool (*save_more)(struct vfm_sim *sim, struct sim_device *dev);	 /* queue more; false: nothing now */
	void (*precopy_info)(struct vfm_sim *sim, struct sim_device *dev, uint64_t *initial, uint64_t *dirty);
	void (*load_begin)(struct vfm_sim *sim, struct sim_device *dev);
	/* Drivers that copy each write whole into a small buffer: everything about a write, and the most they take. */
	ssize_t (*blob_write)(struct vfm_sim *sim, struct sim_device *dev, const uint8_t *buf, size_t length);
	uint64_t (*blob_limit)(const struct sim_device *dev);
	int (*load_part)(struct vfm_sim *sim, struct sim_device *dev);	 /* what was wanted is there; -errno sticks */
	int (*load_finish)(struct vfm_sim *sim, struct sim_device *dev); /* RESUMING -> STOP: the verdict */
	uint64_t (*data_size)(struct vfm_sim *sim, struct sim_device *dev);
};

extern const struct sim_profile vfmi_sim_mtty;
extern const struct sim_profile vfmi_sim_edu;
extern const struct sim_profile vfmi_sim_mlx5;
extern const struct sim_profile vfmi_sim_hisi_acc;
extern const struct sim_profile vfmi_sim_nvgrace_gpu;
extern const struct sim_profile vfmi_sim_pds;
extern const struct sim_profile vfmi_sim_qat;
extern const struct sim_profile vfmi_sim_virtio;
extern const struct sim_profile vfmi_sim_xe;
extern const struct sim_profile vfmi_sim_nvme; /* not bound to VFIO */

/* profiles.c */
const struct sim_profile *vfmi_sim_profile(const struct sim_device *dev);
int vfmi_sim_profile_index(const char *name, size_t length); /* -1 */

/* plain.c: memory behind BARs and nothing else */
uint64_t vfmi_sim_plain_read(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t at, uint32_t width);
void vfmi_sim_plain_write(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t at, uint32_t width,
			  uint64_t value);
void vfmi_sim_plain_reset(struct sim_device *dev);

static inline bool vfmi_sim_quirk(const struct sim_device *dev, uint32_t quirk)
{
	return vfmi_sim_profile(dev)->quirks & quirk;
}

#endif
