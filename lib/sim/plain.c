/* SPDX-License-Identifier: MIT */
/* Devices with nothing but memory behind their BARs: a few registers and, where there are any, contents. */
#include "profile.h"
#include "uapi/vfio.h"
#include "wire.h"

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

static bool is_contents(const struct sim_device *dev, uint32_t bar)
{
	return vfmi_sim_profile(dev)->region[bar].size == UINT64_MAX;
}

uint64_t vfmi_sim_plain_read(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t at, uint32_t width)
{
	uint8_t bytes[sizeof(uint64_t)] = { 0 };

	if (is_contents(dev, bar)) {
		if (at + width > dev->state_bytes || vfmi_sim_contents_get(sim, dev, at, bytes, width))
			memset(bytes, 0xff, sizeof(bytes));
	} else if (at + width <= vfmi_sim_profile(dev)->regs_bytes) {
		memcpy(bytes, dev->u.plain.regs + at, width);
	}
	return vfmi_get_le(bytes, sizeof(bytes));
}

void vfmi_sim_plain_write(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t at, uint32_t width,
			  uint64_t value)
{
	uint8_t bytes[sizeof(value)];

	if (is_contents(dev, bar) && at + width > dev->state_bytes)
		return;
	vfmi_put_le64(bytes, value);
	if (is_contents(dev, bar)) {
		vfmi_sim_session_touch(sim, dev, at, width);
		if (vfmi_sim_contents_put(sim, dev, at, bytes, width))
			vfmi_sim_strict(sim, "%s: the machine file takes no more", dev->name);
	} else if (at + width <= vfmi_sim_profile(dev)->regs_bytes) {
		memcpy(dev->u.plain.regs + at, bytes, width);
	}
}

void vfmi_sim_plain_reset(struct sim_device *dev)
{
	memset(dev->u.plain.regs, 0, sizeof(dev->u.plain.regs));
}

/*
 * A GPU with coherent memory of its own that is mapped like any other; it cannot migrate. BAR 4 has a BAR's size, and
 * memory for state= of it. Two registers tell whether the link to the CPU and the memory are up after a reset.
 */
#define LINK_STATUS 0x1498u
#define TRAINING_STATUS 0x200bcu
#define STATUS_READY 0xffu

static uint64_t nvgrace_read(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t at, uint32_t width)
{
	if (bar == 0 && (at == LINK_STATUS || at == TRAINING_STATUS))
		return vfmi_sim_is_ready(sim, dev) ? STATUS_READY : 0;
	return vfmi_sim_plain_read(sim, dev, bar, at, width);
}

const struct sim_profile vfmi_sim_nvgrace_gpu = {
	.name = "nvgrace-gpu",
	.driver = "nvgrace_gpu_vfio_pci",
	.quirks = SIM_PCIE | SIM_HAS_CONTENTS | SIM_EXPORTS | SIM_OWN_MEMORY,
	.state_bytes = 16u << 20,
	.regions = 9,
	.irqs = 5,
	.vendor = 0x10de,
	.device = 0x2342,
	.subvendor = 0x10de,
	.subdevice = 0x16eb,
	.class_code = 0x030200,
	.revision = 0xa1,
	.pcie_cap = 0x60,
	.msix_cap = 0xb0,
	.msix_vectors = 9,
	.regs_bytes = 64,
	.region = {
		[0] = { .size = 1u << 20, .flags = READ_WRITE },
		[4] = { .size = UINT64_MAX, .flags = READ_WRITE | VFIO_REGION_INFO_FLAG_MMAP },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = 4096, .flags = READ_WRITE },
	},
	.reset = vfmi_sim_plain_reset,
	.bar_read = nvgrace_read,
	.bar_write = vfmi_sim_plain_write,
};

/* Bound to the host's own driver: there to be refused. */
const struct sim_profile vfmi_sim_nvme = {
	.name = "nvme",
	.driver = "nvme",
	.quirks = SIM_PCIE,
	.regions = 9,
	.irqs = 5,
	.vendor = 0x1b36,
	.device = 0x0010,
	.subvendor = 0x1af4,
	.subdevice = 0x1100,
	.class_code = 0x010802,
	.revision = 0x02,
	.pin = 1,
	.regs_bytes = 64,
	.region = {
		[0] = { .size = 16384, .flags = READ_WRITE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = 4096, .flags = READ_WRITE },
	},
	.reset = vfmi_sim_plain_reset,
	.bar_read = vfmi_sim_plain_read,
	.bar_write = vfmi_sim_plain_write,
};
