/* SPDX-License-Identifier: MIT */
/*
 * hisi_acc_vfio_pci (Linux 6.12): 176 bytes. The first 40 tell whether two devices match and are all that PRE_COPY
 * gives; a destination judges them as soon as they are there, once in its life. BAR 2 shows the registers behind them;
 * a device whose queues have no addresses has no driver and no state beyond the match part.
 */
#include "profile.h"
#include "uapi/vfio.h"
#include "wire.h"

#define STATE_BYTES 176u
#define MATCH_BYTES 40u
#define REGS_BYTES (STATE_BYTES - MATCH_BYTES)
#define MAGIC_V1 0xcdcdcdcdfeedaaccull
#define MAGIC_V2 0xaaccfeeddecadedeull
#define MAJOR 1u
#define MINOR 0u
#define QUEUES 16u
#define ISOLATION 0u
#define READY 1u
#define QUEUE_AT 104u /* of the four addresses, in the registers */

static bool has_queues(const uint8_t *regs)
{
	uint32_t i;

	for (i = 0; i < 4; i++)
		if (!vfmi_get_le64(regs + QUEUE_AT + 8 * i))
			return false;
	return true;
}

static void put_match(const struct sim_device *dev, uint8_t *out)
{
	memset(out, 0, MATCH_BYTES);
	vfmi_put_le64(out, dev->format == 1 ? MAGIC_V1 : MAGIC_V2);
	vfmi_put_le32(out + 8, QUEUES);
	vfmi_put_le32(out + 12, vfmi_sim_hisi_acc.device);
	vfmi_put_le32(out + 16, ISOLATION);
	if (dev->format > 1) {
		vfmi_put_le16(out + 28, MAJOR);
		vfmi_put_le16(out + 30, MINOR);
	}
}

/* Old kernels know their own magic only; new ones take both. */
static bool version_matches(const struct sim_device *dev, const uint8_t *in)
{
	uint64_t magic = vfmi_get_le64(in);

	if (magic == MAGIC_V1)
		return true;
	return dev->format > 1 && magic == MAGIC_V2 && vfmi_get_le16(in + 28) == MAJOR;
}

static void hisi_save_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	put_match(dev, dev->session.saved);
	vfmi_sim_queue_bytes(&dev->session, dev->session.saved, MATCH_BYTES);
}

/* The match part that goes with a device that is ready says so, unless PRE_COPY gave it away before. */
static void hisi_save_final(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;

	(void)sim;
	if (!has_queues(dev->u.plain.regs))
		return;
	if (session->queued)
		vfmi_put_le32(session->queue[0].bytes + 24, READY);
	vfmi_sim_queue_bytes(session, dev->u.plain.regs, REGS_BYTES);
}

static bool hisi_save_more(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return false;
}

static void hisi_precopy_info(struct vfm_sim *sim, struct sim_device *dev, uint64_t *initial, uint64_t *dirty)
{
	(void)sim;
	*initial = vfmi_sim_queued_bytes(&dev->session);
	*dirty = 0;
}

static void hisi_load_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
}

static uint64_t hisi_limit(const struct sim_device *dev)
{
	(void)dev;
	return STATE_BYTES;
}

static ssize_t hisi_write(struct vfm_sim *sim, struct sim_device *dev, const uint8_t *buf, size_t length)
{
	struct sim_session *session = &dev->session;

	(void)sim;
	if (length > STATE_BYTES - session->bytes)
		return -ENOMEM;
	if (length)
		memcpy(session->in + session->bytes, buf, length);
	session->bytes += length;
	if (session->bytes < MATCH_BYTES || dev->u.plain.match_done)
		return (ssize_t)length;
	if (!version_matches(dev, session->in) || vfmi_get_le32(session->in + 12) != vfmi_sim_hisi_acc.device ||
	    vfmi_get_le32(session->in + 8) != QUEUES || vfmi_get_le32(session->in + 16) != ISOLATION)
		return -EFAULT;
	dev->u.plain.match_done = 1;
	return (ssize_t)length;
}

static int hisi_load_finish(struct vfm_sim *sim, struct sim_device *dev)
{
	const struct sim_session *session = &dev->session;

	(void)sim;
	if (session->bytes == MATCH_BYTES)
		return 0;
	if (session->bytes < STATE_BYTES)
		return -EINVAL;
	if (has_queues(session->in + MATCH_BYTES))
		memcpy(dev->u.plain.regs, session->in + MATCH_BYTES, REGS_BYTES);
	return 0;
}

static uint64_t hisi_data_size(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return STATE_BYTES;
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

const struct sim_profile vfmi_sim_hisi_acc = {
	.name = "hisi_acc",
	.driver = "hisi_acc_vfio_pci",
	.quirks = SIM_PCIE | SIM_PRECOPY_ENDS_IN_0 | SIM_INFO_NOT_IN_P2P | SIM_STATE_BEFORE_DEAD,
	.migration_flags = 5,
	.regions = 9,
	.irqs = 5,
	.vendor = 0x19e5,
	.device = 0xa251,
	.subvendor = 0x19e5,
	.subdevice = 0x0000,
	.class_code = 0x120000,
	.revision = 0x21,
	.pcie_cap = 0x40,
	.msix_cap = 0x80,
	.msix_vectors = 2,
	.regs_bytes = REGS_BYTES,
	.region = {
		[2] = { .size = 0x8000, .flags = READ_WRITE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = 4096, .flags = READ_WRITE },
	},
	.reset = vfmi_sim_plain_reset,
	.bar_read = vfmi_sim_plain_read,
	.bar_write = vfmi_sim_plain_write,
	.save_begin = hisi_save_begin,
	.save_final = hisi_save_final,
	.save_more = hisi_save_more,
	.precopy_info = hisi_precopy_info,
	.load_begin = hisi_load_begin,
	.blob_write = hisi_write,
	.blob_limit = hisi_limit,
	.load_finish = hisi_load_finish,
	.data_size = hisi_data_size,
};
