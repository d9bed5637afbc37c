/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory whose dirty pages are tracked: of a holder, or made and mapped here; laid out in one bitmap. */
#ifndef VFIOMIGCTL_DIRTY_MEMORY_H
#define VFIOMIGCTL_DIRTY_MEMORY_H

#include "devices.h"

/* @guest: its place in the bitmap, which has no holes. @vaddr: memory of ours, NULL for a holder's. */
struct dirty_area {
	uint64_t iova;
	uint64_t length;
	uint64_t guest;
	void *vaddr;
	bool ours;
	bool placed; /* @iova is known */
};

struct dirty_memory {
	struct dirty_area *items;
	size_t count;
	struct vfm_bitmap_pages bitmap;
};

/* What the options say. @memory: "SIZE[@IOVA]", ours; @areas: "IOVA,LENGTH", a holder's. */
struct dirty_memory_request {
	const struct string_list *memory;
	const struct string_list *areas;
	uint64_t page_bytes;
	bool ours; /* there are devices that get memory here; some is made if @memory is empty */
	bool lent; /* there are devices whose holder has mapped memory */
};

/* All that can be told without a device. Return: 0 or an exit code, told. dirty_memory_free() in any case. */
int dirty_memory_parse(struct cli *cli, const struct dirty_memory_request *request, struct dirty_memory *ret);

/* Where @iommu can have it? Return: 0 or an exit code, told. */
int dirty_memory_check(struct cli *cli, const struct dirty_memory *memory, struct vfm_iommu *iommu, bool ours);

/* Makes and maps what is ours. Return: 0 or an exit code, told. */
int dirty_memory_map(struct cli *cli, struct dirty_memory *memory, struct vfm_iommu *iommu);

/* Devices were opened, and reset by that: no failure of here on leaves everything untouched. Return: the exit code. */
int dirty_fail_opened(struct cli *cli, const struct vfm_error *error);

/* After the last place is known. Return: 0 or an exit code, told. */
int dirty_memory_lay_out(struct cli *cli, struct dirty_memory *memory);

/* After the address space that has it is closed. */
void dirty_memory_free(struct dirty_memory *memory);

#endif
