/* SPDX-License-Identifier: MIT */
/*
 * pds_vfio_pci (Linux 6.12): bytes of the device's own with nothing around them. A load fills a buffer of 64 KiB that
 * goes to the device as it is, so that neither a wrong nor a short state is noticed here. State is what BAR 0 shows.
 *
 * One simplification: what is written is in the device at once, not only at RESUMING -> STOP.
 */
#include "profile.h"
#include "uapi/vfio.h"

#define BUFFER_BYTES 65536u

static void pds_save_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	vfmi_sim_queue_contents(&dev->session, 0, dev->state_bytes);
}

static void pds_save_final(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
}

static bool pds_save_more(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return false;
}

static void pds_load_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
}

/* A write that does not fit is cut to what does. */
static ssize_t pds_write(struct vfm_sim *sim, struct sim_device *dev, const uint8_t *buf, size_t length)
{
	struct sim_session *session = &dev->session;
	size_t taken = (size_t)vfmi_min_u64(length, BUFFER_BYTES - session->bytes), kept = 0;
	int r = 0;

	if (length && !taken)
		return -EINVAL;
	if (session->bytes < dev->state_bytes)
		kept = (size_t)vfmi_min_u64(taken, dev->state_bytes - session->bytes);
	if (kept)
		r = vfmi_sim_contents_put(sim, dev, session->bytes, buf, kept);
	if (r)
		return r;
	session->bytes += taken;
	return (ssize_t)taken;
}

static int pds_load_finish(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return 0;
}

static uint64_t pds_data_size(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return BUFFER_BYTES;
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

const struct sim_profile vfmi_sim_pds = {
	.name = "pds",
	.driver = "pds_vfio_pci",
	.quirks = SIM_PCIE | SIM_WIPED_BY_RESUMING | SIM_HAS_CONTENTS,
	.migration_flags = 3,
	.log = SIM_LOG_PDS,
	.state_bytes = 16u << 10,
	.state_max = BUFFER_BYTES,
	.regions = 9,
	.irqs = 5,
	.vendor = 0x1dd8,
	.device = 0x1003,
	.subvendor = 0x1dd8,
	.subdevice = 0x5201,
	.class_code = 0x020000,
	.pcie_cap = 0x40,
	.msix_cap = 0x80,
	.msix_vectors = 4,
	.region = {
		[0] = { .size = UINT64_MAX, .flags = READ_WRITE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = 4096, .flags = READ_WRITE },
	},
	.reset = vfmi_sim_plain_reset,
	.bar_read = vfmi_sim_plain_read,
	.bar_write = vfmi_sim_plain_write,
	.save_begin = pds_save_begin,
	.save_final = pds_save_final,
	.save_more = pds_save_more,
	.load_begin = pds_load_begin,
	.blob_write = pds_write,
	.load_finish = pds_load_finish,
	.data_size = pds_data_size,
};
