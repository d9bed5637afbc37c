/* SPDX-License-Identifier: MIT */
/* Sorted lists of inclusive IOVA ranges; pure. */
#ifndef VFIOMIG_IOVA_RANGES_H
#define VFIOMIG_IOVA_RANGES_H

#include "internal.h"

/* In order, none overlaps another, none ends before it begins. */
bool vfmi_ranges_sorted(const struct vfm_iova_range *ranges, size_t count);

/* Index of the lowest range with a byte at @address or above; @count when there is none. */
size_t vfmi_ranges_at_or_above(const struct vfm_iova_range *ranges, size_t count, uint64_t address);

/* In place; return: how many are left. Those that touch become one; each is cut down to whole units of @alignment. */
size_t vfmi_ranges_join(struct vfm_iova_range *ranges, size_t count);
size_t vfmi_ranges_align(struct vfm_iova_range *ranges, size_t count, uint64_t alignment);

/*
 * vfm_iova_exclude() of sorted @windows and of @holes that begin in order, in one walk over both: neither is looked
 * over first. @ret has room for as many as there are of both. Return: how many are left.
 */
size_t vfmi_ranges_exclude(const struct vfm_iova_range *windows, size_t window_count,
			   const struct vfm_iova_range *holes, size_t hole_count, struct vfm_iova_range *ret);

#endif
