/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DEVICE on the command line: by name (opened here), "fd:N..." (inherited), "pidfd:PID:FD..." (out of another process),
 * "scm:PATH[#INDEX]" (borrowed).
 */
#ifndef VFIOMIGCTL_DEVICES_H
#define VFIOMIGCTL_DEVICES_H

#include "cli.h"

/* @opened_here: by its name, so it was reset by that, and its state ends with this process. */
struct cli_device {
	struct vfm_device *dev;
	const char *spec;
	bool opened_here;
};

struct cli_devices {
	struct cli_device *items;
	size_t count;
	struct vfm_iommu *iommu; /* of those opened here */
	bool tracked;		 /* what it should be */
	struct vfm_borrow **borrows;
	char **borrow_paths;
	size_t borrow_count;
};

/* Whether @spec means a device that somebody else holds. */
bool device_is_lent(const char *spec);

/* What can be told without opening anything: names exist, forms are right. Return: 0 or an exit code, told. */
int devices_check(struct cli *cli, char **specs, size_t count);

/* "scm:PATH" stands for all devices lent there. Return: 0 or an exit code, told; then nothing stays open. */
int devices_open(struct cli *cli, char **specs, size_t count, struct cli_devices *ret);

/* Return: 0 or an exit code, told. */
typedef int devices_checker(struct cli *cli, const struct cli_devices *devices, void *user);

/*
 * The same; @check looks at all of them before any is opened here, and reset by that: those that are lent are there,
 * the others have no handle yet. @tracked: page tables made for those opened here track dirty pages where the IOMMU can
 * (VFM_IOMMU_DIRTY_TRACKING).
 */
int devices_open_checked(struct cli *cli, char **specs, size_t count, bool tracked, devices_checker *check, void *user,
			 struct cli_devices *ret);

/* IOVA windows of an address space as they are now. free(*ret), if it failed too. Return: 0 or an exit code, told. */
int devices_windows(struct cli *cli, struct vfm_iommu *iommu, struct vfm_iova_range **ret, size_t *ret_count,
		    uint64_t *ret_alignment);

/* Gives back what was borrowed, closes what was opened. */
void devices_close(struct cli_devices *devices);

/*
 * Takes the last device into a set of its own, so that the others can be closed before it. One that is borrowed stays,
 * since a loan ends as a whole: @ret is empty then.
 */
void devices_split_last(struct cli_devices *devices, struct cli_devices *ret);

/* The handles alone, for calls that take several devices. @out has room for VFM_STREAM_MAX_DEVICES. */
void devices_handles(const struct cli_devices *devices, struct vfm_device **out);

bool devices_any_opened_here(const struct cli_devices *devices);

/* Every device came with its address space: DMA of a running device finds its memory. */
bool devices_have_space(const struct cli_devices *devices);

/* Before a device that is only to be asked is opened. */
void device_warn_open(struct cli *cli, const char *spec);

/* State asked now; VFM_STATE_UNKNOWN when the device does not answer. */
uint32_t device_state(struct vfm_device *dev);

#endif
