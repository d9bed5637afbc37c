/* SPDX-License-Identifier: MIT */
/*
 * qat_vfio_pci (Linux 6.12): a block of 4096 bytes with two lists of sections, each behind a preamble of u32 magic, u32
 * version, u16 its length, u16 sections, u32 bytes that follow; a section is 8 bytes of name, u32 size, u32 sections
 * inside of it. The first list says what the function was made with. It is all that PRE_COPY gives, and a destination
 * judges it in the write that completes it, once until its next reset. The second is the state: here the registers
 * that BAR 0 shows. Its section is looked for at RESUMING -> STOP; the room behind it may be missing.
 *
 * The block is the device's contents, as the kernel's driver has one that it saves into and loads from.
 */
#include "profile.h"
#include "uapi/vfio.h"
#include "wire.h"

#define BLOCK_BYTES 4096u
#define MAGIC 0xadf5caeau
#define VERSION 1u
#define PREAMBLE_BYTES 16u
#define SECTION_BYTES 16u
#define CAPABILITIES 0x0001fffbu
#define SETUP_BYTES (PREAMBLE_BYTES + 2 * SECTION_BYTES + 4u) /* CONFIG with gencap in it */
#define REGS_BYTES 128u
#define STATE_BYTES (PREAMBLE_BYTES + SECTION_BYTES + REGS_BYTES) /* ETRBAR */
#define CONFIG "CONFIG"
#define CAPS "gencap"
#define REGS "ETRBAR"

static void put_preamble(uint8_t *out, uint32_t bytes)
{
	vfmi_put_le32(out, MAGIC);
	vfmi_put_le32(out + 4, VERSION);
	vfmi_put_le16(out + 8, PREAMBLE_BYTES);
	vfmi_put_le16(out + 10, 1);
	vfmi_put_le32(out + 12, bytes);
}

static void put_section(uint8_t *out, const char *name, uint32_t bytes, uint32_t inside)
{
	memset(out, 0, 8);
	memcpy(out, name, strlen(name));
	vfmi_put_le32(out + 8, bytes);
	vfmi_put_le32(out + 12, inside);
}

static void build(const struct sim_device *dev, uint8_t *block)
{
	uint8_t *state = block + SETUP_BYTES;

	memset(block, 0, BLOCK_BYTES);
	put_preamble(block, SETUP_BYTES - PREAMBLE_BYTES);
	put_section(block + PREAMBLE_BYTES, CONFIG, SECTION_BYTES + 4, 1);
	put_section(block + PREAMBLE_BYTES + SECTION_BYTES, CAPS, 4, 0);
	vfmi_put_le32(block + SETUP_BYTES - 4, CAPABILITIES);
	put_preamble(state, STATE_BYTES - PREAMBLE_BYTES);
	put_section(state + PREAMBLE_BYTES, REGS, REGS_BYTES, 0);
	memcpy(state + PREAMBLE_BYTES + SECTION_BYTES, dev->u.plain.regs, REGS_BYTES);
}

/* saving */

static void qat_save_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	uint8_t block[BLOCK_BYTES];

	build(dev, block);
	if (vfmi_sim_contents_put(sim, dev, 0, block, sizeof(block)))
		vfmi_sim_strict(sim, "%s: the machine file takes no more", dev->name);
	vfmi_sim_queue_contents(&dev->session, 0, SETUP_BYTES);
}

static void qat_save_final(struct vfm_sim *sim, struct sim_device *dev)
{
	uint8_t block[BLOCK_BYTES];

	build(dev, block);
	if (vfmi_sim_contents_put(sim, dev, 0, block, sizeof(block)))
		vfmi_sim_strict(sim, "%s: the machine file takes no more", dev->name);
	vfmi_sim_queue_contents(&dev->session, SETUP_BYTES, BLOCK_BYTES - SETUP_BYTES);
}

static bool qat_save_more(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return false;
}

static void qat_precopy_info(struct vfm_sim *sim, struct sim_device *dev, uint64_t *initial, uint64_t *dirty)
{
	(void)sim;
	*initial = SETUP_BYTES - dev->session.bytes;
	*dirty = 0;
}

static uint64_t qat_data_size(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return BLOCK_BYTES;
}

/* loading */

static void qat_load_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
}

static uint64_t qat_limit(const struct sim_device *dev)
{
	(void)dev;
	return BLOCK_BYTES;
}

/* The section @name in a list of @bytes at @list, at least @min long; NULL for none, or for a list that is none. */
static const uint8_t *find_section(const uint8_t *list, uint32_t bytes, uint32_t count, const char *name, uint32_t min)
{
	const uint8_t *found = NULL;
	uint32_t at = 0, size, i;

	for (i = 0; i < count; i++, at += SECTION_BYTES + size) {
		if (bytes - at < SECTION_BYTES)
			return NULL;
		size = vfmi_get_le32(list + at + 8);
		if (size > bytes - at - SECTION_BYTES)
			return NULL;
		if (!found && size >= min && !strncmp((const char *)list + at, name, 8))
			found = list + at;
	}
	return found;
}

static const uint8_t *open_list(const uint8_t *preamble, uint32_t room, const char *name, uint32_t min)
{
	uint32_t head = vfmi_get_le16(preamble + 8), bytes = vfmi_get_le32(preamble + 12);

	if (vfmi_get_le32(preamble) != MAGIC || vfmi_get_le32(preamble + 4) > VERSION || head < PREAMBLE_BYTES ||
	    head > room || bytes > room - head)
		return NULL;
	return find_section(preamble + head, bytes, vfmi_get_le16(preamble + 10), name, min);
}

/* 0 also while it is not whole. */
static int load_setup(struct sim_device *dev, const uint8_t *block, uint64_t filled)
{
	const uint8_t *config, *caps;
	uint64_t setup;

	if (dev->u.plain.setup_bytes || filled < PREAMBLE_BYTES)
		return 0;
	setup = (uint64_t)vfmi_get_le16(block + 8) + vfmi_get_le32(block + 12);
	if (setup > BLOCK_BYTES - PREAMBLE_BYTES)
		return -EINVAL;
	if (filled < setup)
		return 0;
	config = open_list(block, (uint32_t)setup, CONFIG, SECTION_BYTES);
	if (!config)
		return -EINVAL;
	/* From here on it passes, also what is refused now. */
	dev->u.plain.setup_bytes = (uint32_t)setup;
	caps = find_section(config + SECTION_BYTES, vfmi_get_le32(config + 8), vfmi_get_le32(config + 12), CAPS, 4);
	return caps && !(vfmi_get_le32(caps + SECTION_BYTES) & ~CAPABILITIES) ? 0 : -EINVAL;
}

static ssize_t qat_write(struct vfm_sim *sim, struct sim_device *dev, const uint8_t *buf, size_t length)
{
	struct sim_session *session = &dev->session;
	uint8_t block[BLOCK_BYTES];
	int r;

	if (length > BLOCK_BYTES - session->bytes)
		return -ENOMEM;
	r = vfmi_sim_contents_put(sim, dev, session->bytes, buf, length);
	if (r)
		return r;
	session->bytes += length;
	r = vfmi_sim_contents_get(sim, dev, 0, block, sizeof(block));
	if (!r)
		r = load_setup(dev, block, session->bytes);
	return r ? r : (ssize_t)length;
}

static int qat_load_finish(struct vfm_sim *sim, struct sim_device *dev)
{
	uint8_t block[BLOCK_BYTES];
	const uint8_t *regs;
	uint32_t setup;
	int r = vfmi_sim_contents_get(sim, dev, 0, block, sizeof(block));

	if (!r)
		r = load_setup(dev, block, BLOCK_BYTES);
	if (r)
		return r;
	setup = dev->u.plain.setup_bytes;
	regs = open_list(block + setup, BLOCK_BYTES - setup, REGS, REGS_BYTES);
	if (!regs)
		return -EINVAL;
	memcpy(dev->u.plain.regs, regs + SECTION_BYTES, REGS_BYTES);
	return 0;
}

static void qat_reset(struct sim_device *dev)
{
	vfmi_sim_plain_reset(dev);
	dev->u.plain.setup_bytes = 0;
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

const struct sim_profile vfmi_sim_qat = {
	.name = "qat",
	.driver = "qat_vfio_pci",
	.quirks = SIM_PCIE | SIM_PRECOPY_ENDS_IN_0 | SIM_STATE_BEFORE_DEAD,
	.migration_flags = 7,
	.state_bytes = BLOCK_BYTES,
	.regions = 9,
	.irqs = 5,
	.vendor = 0x8086,
	.device = 0x4941,
	.subvendor = 0x8086,
	.subdevice = 0x0000,
	.class_code = 0x0b4000,
	.revision = 0x40,
	.pcie_cap = 0x40,
	.msix_cap = 0x80,
	.msix_vectors = 5,
	.regs_bytes = REGS_BYTES,
	.region = {
		[0] = { .size = 0x1000, .flags = READ_WRITE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = 4096, .flags = READ_WRITE },
	},
	.reset = qat_reset,
	.bar_read = vfmi_sim_plain_read,
	.bar_write = vfmi_sim_plain_write,
	.save_begin = qat_save_begin,
	.save_final = qat_save_final,
	.save_more = qat_save_more,
	.precopy_info = qat_precopy_info,
	.load_begin = qat_load_begin,
	.blob_write = qat_write,
	.blob_limit = qat_limit,
	.load_finish = qat_load_finish,
	.data_size = qat_data_size,
};
