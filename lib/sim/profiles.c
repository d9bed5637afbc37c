/* SPDX-License-Identifier: MIT */
/* The profiles there are; their numbers are stored in machine files. */
#include "profile.h"

static const struct sim_profile *const profiles[] = {
	&vfmi_sim_mtty, &vfmi_sim_edu, &vfmi_sim_mlx5,	 &vfmi_sim_hisi_acc, &vfmi_sim_nvgrace_gpu,
	&vfmi_sim_pds,	&vfmi_sim_qat, &vfmi_sim_virtio, &vfmi_sim_xe,	     &vfmi_sim_nvme,
};

const struct sim_profile *vfmi_sim_profile(const struct sim_device *dev)
{
	return profiles[dev->profile < VFMI_ARRAY_SIZE(profiles) ? dev->profile : 0];
}

int vfmi_sim_profile_index(const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < VFMI_ARRAY_SIZE(profiles); i++)
		if (strlen(profiles[i]->name) == length && !strncmp(profiles[i]->name, name, length))
			return (int)i;
	return -1;
}
