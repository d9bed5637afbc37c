/* SPDX-License-Identifier: MIT */
/* Sets of pages that devices have written, and the bitmaps of user space that they are told in. */
#ifndef VFIOMIG_SIM_PAGES_H
#define VFIOMIG_SIM_PAGES_H

#include "spaces.h"

enum sim_pages_of {
	SIM_PAGES_HWPT,	  /* written since the IOMMU was last asked, by slot of the page table */
	SIM_PAGES_SPACE,  /* the same of a container by mediated devices, by slot of the space */
	SIM_PAGES_LOG,	  /* what a device's own log holds, by index of the device */
	SIM_PAGES_LOGGED, /* not pages but what that log was started for */
};

struct sim_pages *vfmi_sim_pages(const struct vfm_sim *sim, enum sim_pages_of of, uint32_t index);
void vfmi_sim_pages_clear(struct vfm_sim *sim, struct sim_pages *set);
/* A set that is full holds everything from then on: no page is ever lost. Ends are inclusive. */
void vfmi_sim_pages_add(struct vfm_sim *sim, struct sim_pages *set, uint64_t first, uint64_t last);
void vfmi_sim_pages_remove(struct vfm_sim *sim, struct sim_pages *set, uint64_t first, uint64_t last);
/* The lowest part of the set in [@first, @last]; false when there is none. */
bool vfmi_sim_pages_next(const struct sim_pages *set, uint64_t first, uint64_t last, struct sim_window *ret);
void vfmi_sim_pages_repair(struct vfm_sim *sim); /* somebody was killed while changing one: it holds everything */

/* A device is about to write; the areas it writes to are mapped. */
void vfmi_sim_wrote(struct vfm_sim *sim, const struct sim_device *dev, uint64_t iova, uint64_t length);
/* What is unmapped is no longer known to the IOMMU nor to the container. */
void vfmi_sim_pages_unmapped(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last);

/* A bitmap in memory of the calling process: bit 0 is the page at @iova, 2^@shift bytes each, in words of 64. */
struct sim_bits {
	uint64_t iova;
	uint64_t length;
	uint64_t data;
	uint32_t shift;
};

/* Pages that the bitmap has no bit for are skipped. false: that memory cannot be written, and the bits are lost. */
bool vfmi_sim_bits_set(const struct vfm_sim *sim, const struct sim_bits *bits, uint64_t first, uint64_t last);
/* Words that hold only bits of [@first, @last], and the last one in any case, become 0. */
bool vfmi_sim_bits_clear(const struct vfm_sim *sim, const struct sim_bits *bits, uint64_t first, uint64_t last);
/* Pages of the set in [@first, @last] to @bits, and out of the set unless @keep. As _bits_set(). */
bool vfmi_sim_pages_tell(struct vfm_sim *sim, struct sim_pages *set, uint64_t first, uint64_t last,
			 const struct sim_bits *bits, bool keep);

/* log.c: a device's own log */
int vfmi_sim_log_feature(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_device_feature *feature,
			 void *data);

#endif
