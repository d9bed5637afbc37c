/* SPDX-License-Identifier: MIT */
/*
 * The pci-config record and what is to be known of PCI configuration space; pure.
 *
 * Record, little endian. Header, 24 bytes: 0 magic "VFMC", 4 u16 version 1, 6 u16 header length, 8 u32 flags (bit 0:
 * PCI), 12 u32 bytes of configuration space, 16 u32 number of interrupt sets, 20 u32 length of the record. Then the
 * configuration space, zero-padded to 4 bytes; then the sets, by ascending interrupt index: u32 index, u32 vectors n,
 * (n + 7) / 8 bytes with bit v of byte v / 8 set when vector v is armed, zero-padded to 4 bytes. Vector n - 1 is armed.
 */
#ifndef VFIOMIG_CONFIG_RECORD_H
#define VFIOMIG_CONFIG_RECORD_H

#include "internal.h"

#define VFMI_CONFIG_VERSION 1u
#define VFMI_CONFIG_MIN 64u	/* header of configuration space */
#define VFMI_CONFIG_SPACE 4096u /* extended configuration space */
#define VFMI_CONFIG_SETS 8u
#define VFMI_CONFIG_VECTORS 2048u
#define VFMI_CONFIG_IRQ_INDEXES 64u

/* Vectors of one interrupt index that are armed. */
struct vfmi_config_set {
	uint32_t index;
	uint32_t vectors; /* highest one armed, plus 1 */
	uint8_t armed[VFMI_CONFIG_VECTORS / 8];
};

struct vfmi_config {
	bool pci;
	uint32_t length; /* of space, 0 unless pci */
	uint32_t set_count;
	uint8_t space[VFMI_CONFIG_SPACE];
	struct vfmi_config_set sets[VFMI_CONFIG_SETS];
};

static inline bool vfmi_config_is_armed(const struct vfmi_config_set *set, uint32_t vector)
{
	return vector < set->vectors && vector < VFMI_CONFIG_VECTORS && set->armed[vector / 8] & (1u << vector % 8);
}

/* Sets stay sorted by index. Return: 0, -ENOSPC (more sets or vectors than a record has room for). */
int vfmi_config_add_vector(struct vfmi_config *config, uint32_t index, uint32_t vector);
const struct vfmi_config_set *vfmi_config_find_set(const struct vfmi_config *config, uint32_t index);

/* Return: bytes, or -ENOSPC. */
int vfmi_config_encode(const struct vfmi_config *config, uint8_t *buf, size_t room);
/* Return: 0, or with *ret_why -EBADMSG (damaged), -EPROTONOSUPPORT (of a version or with a flag not known here). */
int vfmi_config_decode(const uint8_t *buf, size_t length, struct vfmi_config *ret, const char **ret_why);
/* For people who want to know. Return: 0, or -EBADMSG with *ret_why (the capability list is broken). */
int vfmi_config_tell(const struct vfmi_config *config, struct vfm_config_info *ret, const char **ret_why);

/* configuration space */

enum vfmi_pci_register {
	VFMI_PCI_VENDOR = 0x00,
	VFMI_PCI_DEVICE = 0x02,
	VFMI_PCI_COMMAND = 0x04,
	VFMI_PCI_STATUS = 0x06,
	VFMI_PCI_CACHE_LINE = 0x0c,
	VFMI_PCI_LATENCY = 0x0d,
	VFMI_PCI_HEADER_TYPE = 0x0e,
	VFMI_PCI_BAR0 = 0x10,
	VFMI_PCI_ROM = 0x30,
	VFMI_PCI_CAPABILITIES = 0x34,
	VFMI_PCI_INTERRUPT_LINE = 0x3c,
};

#define VFMI_PCI_BARS 6u
#define VFMI_PCI_COMMAND_MASTER 0x0004u
#define VFMI_PCI_COMMAND_INTX_OFF 0x0400u

enum vfmi_pci_cap_id {
	VFMI_PCI_CAP_PM = 0x01,
	VFMI_PCI_CAP_MSI = 0x05,
	VFMI_PCI_CAP_EXPRESS = 0x10,
	VFMI_PCI_CAP_MSIX = 0x11,
};

#define VFMI_PCI_PM_CONTROL 4u
#define VFMI_PCI_PM_STATE 0x0003u
#define VFMI_PCI_MSG_CONTROL 2u /* of MSI and of MSI-X */
#define VFMI_PCI_MSI_ENABLE 0x0001u
#define VFMI_PCI_MSI_CAPABLE 0x000eu /* multiple message capable, log2 */
#define VFMI_PCI_MSI_ENABLED 0x0070u /* multiple message enable, log2 */
#define VFMI_PCI_MSI_64BIT 0x0080u
#define VFMI_PCI_MSI_MASKABLE 0x0100u
#define VFMI_PCI_MSI_ADDRESS 4u
#define VFMI_PCI_MSIX_SIZE 0x07ffu
#define VFMI_PCI_MSIX_MASK_ALL 0x4000u
#define VFMI_PCI_MSIX_ENABLE 0x8000u
#define VFMI_PCI_EXPRESS_CONTROL 8u
#define VFMI_PCI_EXPRESS_CONTROL2 40u
#define VFMI_PCI_EXPRESS_FLR 0x8000u

#define VFMI_PCI_MAX_CAPS 48u /* that fit 192 bytes */

struct vfmi_pci_cap {
	uint8_t id;
	uint8_t at;
};

struct vfmi_pci_caps {
	struct vfmi_pci_cap list[VFMI_PCI_MAX_CAPS];
	uint32_t count;
};

/* The capability list, in its order. Every capability known above lies inside @length with all its registers.
 * Return: 0, -EBADMSG (leaves configuration space, or never ends). */
int vfmi_pci_walk_caps(const uint8_t *space, uint32_t length, struct vfmi_pci_caps *ret);
/* Offset of the first capability with @id, 0 when absent. */
uint32_t vfmi_pci_find_cap(const struct vfmi_pci_caps *caps, uint8_t id);

/*
 * Whether @record can be put onto a device whose configuration space is @target now: same ids, BAR types, capabilities.
 * Return: 0, -EBADMSG (the record's own list is broken), -EINVAL; *ret_why.
 */
int vfmi_config_fits(const struct vfmi_config *record, const struct vfmi_config *target, const char **ret_why);

#endif
