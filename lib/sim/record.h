/* SPDX-License-Identifier: MIT */
/* Records that mlx5 and virtio frame their streams in: u64 size, u32 flags, u32 tag, size bytes; little-endian. */
#ifndef VFIOMIG_SIM_RECORD_H
#define VFIOMIG_SIM_RECORD_H

#include "profile.h"

#define SIM_RECORD_BYTES 16u
#define SIM_RECORD_OPTIONAL 1u /* flag: who does not know the tag skips it */
#define SIM_RECORD_STATE 0u    /* tag */

/* Stages of loading; a profile's own come after them. The header is at the start of session->in. */
enum {
	SIM_RECORD_HEAD,
	SIM_RECORD_SKIPPED,
	SIM_RECORD_STAGES,
};

#define SIM_RECORD_IS_STATE 1

void vfmi_sim_record_put(uint8_t *out, uint64_t size, uint32_t flags, uint32_t tag);
void vfmi_sim_record_want(struct sim_session *session);

/* A header is there. SIM_RECORD_IS_STATE; 0: skipping it, since it is optional or of @tag; -ENOMEM, -EOPNOTSUPP. */
int vfmi_sim_record_begin(struct sim_session *session, uint32_t tag);

#endif
