/* SPDX-License-Identifier: MIT */
/*
 * The destination side of a transfer: devices loaded through sessions, judged together, started together, or all reset.
 * Knows no stream and no channel.
 */
#ifndef VFIOMIG_TARGET_H
#define VFIOMIG_TARGET_H

#include "transfer.h"

struct vfmi_target_device {
	struct vfm_device *dev;
	struct vfm_session *session; /* NULL before its first arc and after its verdict */
	struct vfm_identity identity;
	bool touched;	 /* has left the state found: only a reset undoes that */
	bool configured; /* has the configuration of the source, which a reset keeps */
	size_t config_length;
	uint8_t *config;
};

struct vfmi_target {
	struct vfmi_transfer *t;
	bool opened;
	size_t count;
	struct vfmi_target_device devices[VFM_STREAM_MAX_DEVICES];
};

/* Ask every device who and where it is, refuse what cannot be loaded. Nothing is moved. */
int vfmi_target_init(struct vfmi_target *target, struct vfmi_transfer *t, struct vfm_device *const *devs, size_t count);
void vfmi_target_destroy(struct vfmi_target *target);

/* Devices whose bit is set in @used go to RESUMING, all or the failure is reported; once only, then a no-op. */
int vfmi_target_open(struct vfmi_target *target, uint64_t used);

int vfmi_target_write(struct vfmi_target *target, uint32_t index, const void *data, size_t length);

/* Keep a configuration record until the verdict. */
int vfmi_target_keep_config(struct vfmi_target *target, uint32_t index, const void *record, size_t length);

/* Every opened device to STOP, which is its verdict on what was written; then configuration and interrupts. */
int vfmi_target_verdict(struct vfmi_target *target);

/* Loaded devices to @then: STOP, RUNNING_P2P or RUNNING; all to P2P before any runs. */
int vfmi_target_run(struct vfmi_target *target, uint32_t then);

/* After a failure: every touched device is reset, the outcome added to the error. Returns whether all were. */
bool vfmi_target_reset(struct vfmi_target *target);

#endif
