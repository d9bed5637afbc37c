/* SPDX-License-Identifier: MIT */
/*
 * Configuration space as vfio-pci shows it: some bits are the device's, others are the user's own and go nowhere
 * (linux/drivers/vfio/pci/vfio_pci_config.c, Linux 6.12, describes which). config[] is the device's side, virt[] the
 * user's. Only the first 256 bytes have content; the extended space of PCI Express reads as zeros.
 */
#include "profile.h"
#include "uapi/vfio.h"
#include "wire.h"

#define PCI_COMMAND 0x04u
#define COMMAND_IO 0x1u
#define COMMAND_MEMORY 0x2u
#define COMMAND_MASTER 0x4u
#define COMMAND_SERR 0x100u
#define COMMAND_INTX_DISABLE 0x400u
#define PCI_STATUS 0x06u
#define STATUS_CAPABILITIES 0x10u
#define PCI_CACHE_LINE 0x0cu
#define PCI_BAR0 0x10u
#define PCI_BARS_END 0x28u
#define PCI_SUBSYSTEM 0x2cu
#define PCI_ROM 0x30u
#define PCI_CAPABILITIES 0x34u
#define PCI_INTERRUPT_LINE 0x3cu
#define PCI_INTERRUPT_PIN 0x3du
#define PCI_HEADER_END 0x40u

#define CAP_MSI 0x05u
#define CAP_EXPRESS 0x10u
#define CAP_MSIX 0x11u
#define MSI_BYTES 14u /* one vector, 64-bit address, no mask */
#define MSI_FLAGS 2u
#define MSI_ENABLE 0x1u
#define MSI_64BIT 0x80u
#define EXPRESS_BYTES 60u
#define MSIX_BYTES 12u

static uint16_t word(const uint8_t *space, uint32_t at)
{
	return vfmi_get_le16(space + at);
}

bool vfmi_sim_config_master(const struct sim_device *dev)
{
	return word(dev->config, PCI_COMMAND) & COMMAND_MASTER;
}

/* The user's idea of it: that is what vfio-pci tests. */
bool vfmi_sim_config_memory(const struct sim_device *dev)
{
	return word(dev->virt, PCI_COMMAND) & COMMAND_MEMORY;
}

uint32_t vfmi_sim_config_cap(const struct sim_device *dev, uint8_t id)
{
	uint32_t at = dev->config[PCI_CAPABILITIES], hops;

	for (hops = 0; at && hops < 8; hops++, at = dev->config[at + 1])
		if (dev->config[at] == id)
			return at;
	return 0;
}

/* what a device looks like after its reset, with BARs placed by a host */

static uint8_t *add_cap(struct sim_device *dev, uint8_t at, uint8_t id)
{
	uint8_t *cap = &dev->config[at];

	cap[0] = id;
	cap[1] = dev->config[PCI_CAPABILITIES];
	dev->config[PCI_CAPABILITIES] = at;
	dev->config[PCI_STATUS] |= STATUS_CAPABILITIES;
	return cap;
}

static void place_bars(struct sim_device *dev)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	uint32_t bar;

	for (bar = 0; bar < 6; bar++)
		if (profile->region[bar].size)
			vfmi_put_le32(&dev->config[PCI_BAR0 + 4 * bar],
				      profile->region[bar].size == UINT64_MAX ? 0 : 0xfe000000u + 0x100000u * bar);
}

static void fill_config(struct sim_device *dev)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	uint8_t *config = dev->config;

	memset(config, 0, sizeof(dev->config));
	vfmi_put_le16(config, profile->vendor);
	vfmi_put_le16(config + 2, profile->device);
	vfmi_put_le16(config + PCI_COMMAND, COMMAND_IO | COMMAND_MEMORY | COMMAND_SERR);
	vfmi_put_le32(config + 8, profile->class_code << 8 | profile->revision);
	vfmi_put_le16(config + PCI_SUBSYSTEM, profile->subvendor);
	vfmi_put_le16(config + PCI_SUBSYSTEM + 2, profile->subdevice);
	config[PCI_INTERRUPT_PIN] = dev->intx == SIM_INTX_ABSENT ? 0 : profile->pin;
	place_bars(dev);
	if (profile->msix_cap) {
		uint8_t *cap = add_cap(dev, profile->msix_cap, CAP_MSIX);

		vfmi_put_le16(cap + 2, (uint16_t)(profile->msix_vectors - 1));
		vfmi_put_le32(cap + 4, dev->plain_bar ? SIM_PLAIN_BAR : SIM_MSIX_TABLE);
		vfmi_put_le32(cap + 8, dev->plain_bar ? 0x100 | SIM_PLAIN_BAR : 0x3000);
	}
	if (profile->pcie_cap)
		vfmi_put_le16(add_cap(dev, profile->pcie_cap, CAP_EXPRESS) + 2, 0x0002);
	if (profile->msi_cap)
		vfmi_put_le16(add_cap(dev, profile->msi_cap, CAP_MSI) + MSI_FLAGS, MSI_64BIT);
}

void vfmi_sim_config_open(struct sim_device *dev)
{
	fill_config(dev);
	memcpy(dev->virt, dev->config, sizeof(dev->virt));
	dev->virq_disabled = 0;
}

/* BARs answer sizing as hardware would: low bits cannot be set. */
static uint32_t bar_value(const struct sim_device *dev, uint32_t at)
{
	uint64_t size;

	if (at >= PCI_BARS_END)
		return 0;
	size = vfmi_sim_region_size(dev, (at - PCI_BAR0) / 4);
	return size ? vfmi_get_le32(&dev->virt[at]) & ~(uint32_t)(size - 1) : 0;
}

static bool is_bar(uint32_t at)
{
	return (at >= PCI_BAR0 && at < PCI_BARS_END) || (at >= PCI_ROM && at < PCI_ROM + 4);
}

static bool in_cap(uint32_t at, uint32_t cap, uint32_t bytes)
{
	return cap && at >= cap && at < cap + bytes;
}

/* Bits of the byte at @at that are the user's own (*ret_virt) and that can be written at all (*ret_write). */
static void permissions(const struct sim_device *dev, uint32_t at, uint8_t *ret_virt, uint8_t *ret_write)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	bool all = is_bar(at) || at == PCI_INTERRUPT_LINE;

	*ret_virt = all || at < PCI_COMMAND || at == PCI_CAPABILITIES || at == PCI_INTERRUPT_PIN ? 0xff : 0;
	*ret_write = all ? 0xff : 0;
	if (at == PCI_COMMAND)
		*ret_write = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER;
	if (at == PCI_COMMAND + 1) {
		*ret_virt = COMMAND_INTX_DISABLE >> 8;
		*ret_write = (COMMAND_INTX_DISABLE | COMMAND_SERR) >> 8;
	}
	if (at == PCI_CACHE_LINE)
		*ret_write = 0xff;
	if (at < PCI_HEADER_END)
		return;
	if (in_cap(at, profile->msi_cap, MSI_BYTES)) {
		*ret_virt = at == profile->msi_cap + 3u || at == profile->msi_cap ? 0 : 0xff;
		*ret_write = at >= profile->msi_cap + MSI_FLAGS && at != profile->msi_cap + 3u ? 0xff : 0;
	} else if (!in_cap(at, profile->pcie_cap, EXPRESS_BYTES) && !in_cap(at, profile->msix_cap, MSIX_BYTES)) {
		*ret_write = 0xff; /* of no capability: goes to the device, which keeps it */
	}
}

static uint8_t read_byte(const struct sim_device *dev, uint32_t at)
{
	uint8_t virt, write;

	if (at >= sizeof(dev->config))
		return 0;
	if (is_bar(at))
		return (uint8_t)(bar_value(dev, at & ~3u) >> (at % 4 * 8));
	permissions(dev, at, &virt, &write);
	return (dev->virt[at] & virt) | (dev->config[at] & (uint8_t)~virt);
}

static void write_byte(struct sim_device *dev, uint32_t at, uint8_t value)
{
	uint8_t virt, write;

	if (at >= sizeof(dev->config))
		return;
	permissions(dev, at, &virt, &write);
	dev->virt[at] = (uint8_t)((dev->virt[at] & ~(virt & write)) | (value & virt & write));
	dev->config[at] = (uint8_t)((dev->config[at] & ~(write & ~virt)) | (value & write & ~virt));
}

/* vfio-pci remembers what the user thinks of the decoders and follows INTx disable. */
static void after_command(struct vfm_sim *sim, struct sim_device *dev)
{
	const uint16_t mask = COMMAND_MEMORY | COMMAND_IO;
	uint16_t virt = word(dev->virt, PCI_COMMAND), command = word(dev->config, PCI_COMMAND);
	bool disabled = virt & COMMAND_INTX_DISABLE;

	if (!(command & COMMAND_MEMORY))
		vfmi_sim_dma_buf_revoke(sim, dev);
	vfmi_put_le16(&dev->virt[PCI_COMMAND], (uint16_t)((virt & ~mask) | (command & mask)));
	if (disabled != !!dev->virq_disabled)
		vfmi_sim_irq_masking(sim, dev, disabled);
}

/* The enable bit sticks only once vectors are armed by ioctl. */
static void after_msi(struct sim_device *dev, uint32_t cap)
{
	if (dev->irq.type != VFIO_PCI_MSI_IRQ_INDEX)
		dev->virt[cap + MSI_FLAGS] &= (uint8_t)~MSI_ENABLE;
	dev->virt[cap + MSI_FLAGS] &= (uint8_t)~0x70; /* queue size: one vector */
}

static void after_write(struct vfm_sim *sim, struct sim_device *dev, uint32_t first, uint32_t end)
{
	uint32_t msi = vfmi_sim_profile(dev)->msi_cap;

	if (first < PCI_COMMAND + 2 && end > PCI_COMMAND)
		after_command(sim, dev);
	if (msi && first <= msi + MSI_FLAGS && end > msi + MSI_FLAGS)
		after_msi(dev, msi);
}

ssize_t vfmi_sim_config_rw(struct vfm_sim *sim, struct sim_device *dev, uint8_t *buf, size_t length, uint64_t pos,
			   bool write)
{
	uint64_t size = vfmi_sim_profile(dev)->region[VFIO_PCI_CONFIG_REGION_INDEX].size;
	uint32_t at = (uint32_t)pos;
	size_t i;

	if (pos >= size || length > size - pos) {
		vfmi_sim_strict(sim, "%s: access behind the configuration space", dev->name);
		return -EFAULT;
	}
	for (i = 0; i < length; i++)
		if (write)
			write_byte(dev, at + (uint32_t)i, buf[i]);
		else
			buf[i] = read_byte(dev, at + (uint32_t)i);
	if (write)
		after_write(sim, dev, at, at + (uint32_t)length);
	return (ssize_t)length;
}
