/* SPDX-License-Identifier: MIT */
/* The books of an address space: disjoint areas in IOVA order, found, added and removed in O(log n); pure. */
#ifndef VFIOMIG_AREAS_H
#define VFIOMIG_AREAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vfmi_area {
	uint64_t iova;
	uint64_t last;		/* inclusive */
	uint64_t guest_address; /* in a tracker's books */
	bool unknown;		/* an unmap failed midway: mapped, in part, or not at all */
	uint32_t priority;
	struct vfmi_area *left;
	struct vfmi_area *right;
};

/* Zeroed is empty. Areas belong to the caller. */
struct vfmi_areas {
	struct vfmi_area *root;
	uint32_t random;
};

/* The lowest area that shares an address with [@first, @last], NULL when none does. */
struct vfmi_area *vfmi_areas_overlap(const struct vfmi_areas *areas, uint64_t first, uint64_t last);

/* @area must not overlap any other. Cannot fail. */
void vfmi_areas_add(struct vfmi_areas *areas, struct vfmi_area *area);
void vfmi_areas_remove(struct vfmi_areas *areas, struct vfmi_area *area);

#endif
