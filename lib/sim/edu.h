/* SPDX-License-Identifier: MIT */
/* What the two files of the edu profile share; numbers as tests/kmod/vfiomig_edu.h has them. */
#ifndef VFIOMIG_SIM_EDU_H
#define VFIOMIG_SIM_EDU_H

#include "profile.h"
#include "uapi/vfio.h"

#define VFMI_EDU_CONTENTS_REGION 9u
#define VFMI_EDU_CONTROL_REGION 10u
#define VFMI_EDU_CONTROL_BYTES 4096u

#define VFMI_EDU_PUMP_CTRL 0x00u
#define VFMI_EDU_PUMP_RUN 0x1u
#define VFMI_EDU_PUMP_IRQ 0x2u
#define VFMI_EDU_PUMP_SRC 0x08u
#define VFMI_EDU_PUMP_DST 0x10u
#define VFMI_EDU_PUMP_LENGTH 0x18u
#define VFMI_EDU_PUMP_STRIDE 0x20u
#define VFMI_EDU_PUMP_SLOTS 0x28u
#define VFMI_EDU_PUMP_COMPLETED 0x30u
#define VFMI_EDU_PUMP_ERRORS 0x38u
#define VFMI_EDU_CONTENTS_BYTES 0x40u
#define VFMI_EDU_BLOCK_BYTES 0x48u
#define VFMI_EDU_DIRTY_BLOCKS 0x50u
#define VFMI_EDU_MIG_STATE 0x58u
#define VFMI_EDU_PUMP_MAX_BYTES 2048u

#define VFMI_EDU_STATUS_IRQ 0x80u

uint32_t vfmi_sim_edu_factorial(uint32_t n);
bool vfmi_sim_edu_pump_valid(const struct sim_edu_pump *pump);
void vfmi_sim_edu_raise(struct vfm_sim *sim, struct sim_device *dev, uint32_t bits);

void vfmi_sim_edu_save_begin(struct vfm_sim *sim, struct sim_device *dev);
void vfmi_sim_edu_save_final(struct vfm_sim *sim, struct sim_device *dev);
bool vfmi_sim_edu_save_more(struct vfm_sim *sim, struct sim_device *dev);
void vfmi_sim_edu_precopy_info(struct vfm_sim *sim, struct sim_device *dev, uint64_t *initial, uint64_t *dirty);
void vfmi_sim_edu_load_begin(struct vfm_sim *sim, struct sim_device *dev);
int vfmi_sim_edu_load_part(struct vfm_sim *sim, struct sim_device *dev);
int vfmi_sim_edu_load_finish(struct vfm_sim *sim, struct sim_device *dev);
uint64_t vfmi_sim_edu_data_size(struct vfm_sim *sim, struct sim_device *dev);

#endif
