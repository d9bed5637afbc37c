/* SPDX-License-Identifier: MIT */
/* The quirk table: facts about drivers that no ioctl tells. Pure. */
#include <string.h>

#include "internal.h"
#include "quirks.h"

static const struct vfmi_quirk quirks[] = {
	{ "hisi_acc_vfio_pci", VFMI_QUIRK_ZERO_IS_IDLE | VFMI_QUIRK_ACCEPTS_PARTIAL,
	  "PRE_COPY carries the match block only; that block alone is accepted as a whole state" },
	{ "mlx5_vfio_pci", VFMI_QUIRK_INFO_FETCHES | VFMI_QUIRK_ACCEPTS_PARTIAL,
	  "sends no further increment until asked for PRE_COPY info; loads record by record while written" },
	{ "mtty", VFMI_QUIRK_RESET_UNFLAGGED | VFMI_QUIRK_ZERO_IS_IDLE,
	  "resets without saying that it can; keeps its state over close; loads what a failed write left" },
	{ "qat_vfio_pci", VFMI_QUIRK_ZERO_IS_IDLE, "PRE_COPY carries the setup section only; dirty_bytes is always 0" },
	{ "virtio_vfio_pci", VFMI_QUIRK_ACCEPTS_PARTIAL,
	  "PRE_COPY reads everything again each time, rate limited; loads record by record while written" },
	{ "xe_vfio_pci", VFMI_QUIRK_ILLEGAL_ARC_POISONS | VFMI_QUIRK_SIZE_MAY_BE_ERRNO,
	  "entering P2P suspends the device, so it counts as downtime" },
};

const struct vfmi_quirk *vfmi_quirks(size_t *ret_count)
{
	*ret_count = VFMI_ARRAY_SIZE(quirks);
	return quirks;
}

uint32_t vfmi_quirk_flags(const char *driver)
{
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(quirks); i++)
		if (!strcmp(quirks[i].driver, driver))
			return quirks[i].flags;
	return 0;
}
