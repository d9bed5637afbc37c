/* SPDX-License-Identifier: MIT */
/*
 * xe-vfio-pci (Linux 6.19): packets of u8 version, type, tile, gt, u32 flags, u64 offset, u64 size, then size bytes: a
 * descriptor of keyed words, registers, memory in chunks, an empty trailer. A load without the trailer does not end. A
 * state the kernel has no way to marks the function failed until its reset, and its size is an errno then.
 */
#include "profile.h"
#include "uapi/vfio.h"
#include "wire.h"

#define HEAD_BYTES 24u
#define VERSION 1u
#define REGS_BYTES 64u
#define CHUNK_BYTES (1u << 20)
#define DESCRIPTOR_BYTES 16u
#define KEY_DEVICE 0xf001u
#define KEY_REVISION 0xf002u
#define DEVICE 0xe20bu
#define REVISION 0x01u
#define ROOM 160u /* for a descriptor */

enum packet {
	PACKET_DESCRIPTOR = 1,
	PACKET_TRAILER = 2,
	PACKET_GGTT = 3,
	PACKET_MMIO = 4,
	PACKET_GUC = 5,
	PACKET_VRAM = 6,
};

enum { SAVE_DESCRIPTOR, SAVE_MMIO, SAVE_VRAM, SAVE_TRAILER, SAVE_DONE };
enum { LOAD_HEAD, LOAD_BYTES, LOAD_OVER };
#define IN_BYTES 32u

static void put_head(uint8_t *out, enum packet type, uint64_t offset, uint64_t size)
{
	memset(out, 0, HEAD_BYTES);
	out[0] = VERSION;
	out[1] = (uint8_t)type;
	vfmi_put_le64(out + 8, offset);
	vfmi_put_le64(out + 16, size);
}

static void queue_packet(struct sim_session *session, enum packet type, const void *bytes, uint32_t size)
{
	uint8_t packet[HEAD_BYTES + REGS_BYTES];

	put_head(packet, type, 0, size);
	if (size)
		memcpy(packet + HEAD_BYTES, bytes, size);
	vfmi_sim_queue_bytes(session, packet, HEAD_BYTES + size);
}

static void queue_descriptor(struct sim_session *session)
{
	uint8_t words[DESCRIPTOR_BYTES];

	vfmi_put_le32(words, KEY_DEVICE << 16 | 1);
	vfmi_put_le32(words + 4, DEVICE);
	vfmi_put_le32(words + 8, KEY_REVISION << 16 | 1);
	vfmi_put_le32(words + 12, REVISION);
	queue_packet(session, PACKET_DESCRIPTOR, words, sizeof(words));
}

static void queue_chunk(struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint64_t offset = session->records * CHUNK_BYTES;
	uint64_t size = vfmi_min_u64(CHUNK_BYTES, dev->state_bytes - offset);
	uint8_t head[HEAD_BYTES];

	put_head(head, PACKET_VRAM, offset, size);
	vfmi_sim_queue_bytes(session, head, sizeof(head));
	vfmi_sim_queue_contents(session, offset, size);
	session->records++;
	if (offset + size == dev->state_bytes)
		session->stage = SAVE_TRAILER;
}

static void xe_save_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	dev->session.stage = SAVE_DESCRIPTOR;
}

static void xe_save_final(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
}

static bool xe_save_more(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;

	(void)sim;
	switch (session->stage) {
	case SAVE_DESCRIPTOR:
		queue_descriptor(session);
		session->stage = SAVE_MMIO;
		return true;
	case SAVE_MMIO:
		queue_packet(session, PACKET_MMIO, dev->u.plain.regs, REGS_BYTES);
		session->stage = SAVE_VRAM;
		return true;
	case SAVE_VRAM:
		queue_chunk(dev);
		return true;
	case SAVE_TRAILER:
		queue_packet(session, PACKET_TRAILER, NULL, 0);
		session->stage = SAVE_DONE;
		return true;
	default:
		return false;
	}
}

static uint64_t xe_data_size(struct vfm_sim *sim, struct sim_device *dev)
{
	uint64_t chunks = (dev->state_bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;

	(void)sim;
	if (dev->failed)
		return (uint64_t)-EIO;
	return (3 + chunks) * HEAD_BYTES + DESCRIPTOR_BYTES + REGS_BYTES + dev->state_bytes;
}

/* loading */

static void want_head(struct sim_session *session)
{
	vfmi_sim_want(session, LOAD_HEAD, 0, HEAD_BYTES);
}

static void xe_load_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	want_head(&dev->session);
}

static int want_skipped(struct sim_session *session, uint64_t size)
{
	vfmi_sim_want(session, LOAD_BYTES, 0, size);
	session->skip = 1;
	return 0;
}

static int want_bytes(struct sim_session *session, uint64_t at, uint64_t size, uint64_t room)
{
	if (at > room || size > room - at)
		return -EINVAL;
	vfmi_sim_want(session, LOAD_BYTES, IN_BYTES + at, size);
	return 0;
}

static int want_memory(struct sim_device *dev, uint64_t offset, uint64_t size)
{
	if (offset > dev->state_bytes || size > dev->state_bytes - offset)
		return -EINVAL;
	vfmi_sim_want_contents(&dev->session, LOAD_BYTES, offset, size);
	return 0;
}

static int load_head(struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint64_t offset = vfmi_get_le64(session->in + 8), size = vfmi_get_le64(session->in + 16);

	if (session->in[0] != VERSION || session->in[2] || session->in[3])
		return -EINVAL;
	switch (session->in[1]) {
	case PACKET_DESCRIPTOR:
		return want_bytes(session, 0, size, ROOM);
	case PACKET_MMIO:
		return want_bytes(session, offset, size, REGS_BYTES);
	case PACKET_VRAM:
		return want_memory(dev, offset, size);
	case PACKET_GGTT:
	case PACKET_GUC:
		return want_skipped(session, size);
	case PACKET_TRAILER:
		if (offset || size)
			return -EINVAL;
		vfmi_sim_want(session, LOAD_OVER, 0, 0);
		return 0;
	default:
		return -EINVAL;
	}
}

static int load_descriptor(const uint8_t *words, uint64_t size)
{
	uint64_t at = 0, length;
	uint32_t key;

	for (; size - at >= 4; at += 4 + length) {
		key = vfmi_get_le32(words + at) >> 16;
		length = 4ull * (vfmi_get_le32(words + at) & 0xffff);
		if (length > size - at - 4)
			return -EINVAL;
		if ((key == KEY_DEVICE || key == KEY_REVISION) && length < 4)
			return -EINVAL;
		if ((key == KEY_DEVICE && vfmi_get_le32(words + at + 4) != DEVICE) ||
		    (key == KEY_REVISION && vfmi_get_le32(words + at + 4) != REVISION))
			return -ENODEV;
	}
	return at == size ? 0 : -EINVAL;
}

static int load_bytes(struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint64_t offset = vfmi_get_le64(session->in + 8), size = vfmi_get_le64(session->in + 16);

	if (session->in[1] == PACKET_DESCRIPTOR)
		return load_descriptor(session->in + IN_BYTES, size);
	if (session->in[1] == PACKET_MMIO)
		memcpy(dev->u.plain.regs + offset, session->in + IN_BYTES + offset, (size_t)size);
	return 0;
}

static int xe_load_part(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	int r;

	(void)sim;
	if (session->stage == LOAD_OVER)
		return -EIO;
	if (session->stage == LOAD_HEAD) {
		r = load_head(dev);
		if (r || session->missing || session->stage == LOAD_OVER)
			return r;
	}
	r = load_bytes(dev);
	want_head(session);
	return r;
}

static int xe_load_finish(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	if (dev->session.error)
		return -EIO;
	return dev->session.stage == LOAD_OVER ? 0 : -ETIMEDOUT;
}

static void xe_reset(struct sim_device *dev)
{
	vfmi_sim_plain_reset(dev);
	dev->failed = 0;
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

const struct sim_profile vfmi_sim_xe = {
	.name = "xe",
	.driver = "xe-vfio-pci",
	.quirks = SIM_PCIE | SIM_WIPED_BY_RESUMING | SIM_HAS_CONTENTS | SIM_ARC_POISONS,
	.migration_flags = 3,
	.state_bytes = 8u << 20,
	.regions = 9,
	.irqs = 5,
	.vendor = 0x8086,
	.device = DEVICE,
	.subvendor = 0x8086,
	.subdevice = 0x1100,
	.class_code = 0x030000,
	.revision = REVISION,
	.pcie_cap = 0x70,
	.msix_cap = 0xb0,
	.msix_vectors = 8,
	.regs_bytes = REGS_BYTES,
	.region = {
		[0] = { .size = 1u << 20, .flags = READ_WRITE },
		[2] = { .size = UINT64_MAX, .flags = READ_WRITE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = 4096, .flags = READ_WRITE },
	},
	.reset = xe_reset,
	.bar_read = vfmi_sim_plain_read,
	.bar_write = vfmi_sim_plain_write,
	.save_begin = xe_save_begin,
	.save_final = xe_save_final,
	.save_more = xe_save_more,
	.load_begin = xe_load_begin,
	.load_part = xe_load_part,
	.load_finish = xe_load_finish,
	.data_size = xe_data_size,
};
