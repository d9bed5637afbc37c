/* SPDX-License-Identifier: MIT */
/*
 * Stream of the edu profile, as tests/kmod/vfiomig_edu.h describes it: a header, DATA records of one block each, one
 * REGISTERS record, END. Byte for byte what the driver gives and takes.
 */
#include "edu.h"
#include "wire.h"

#define MAGIC 0x7564652d67696d76ull
#define VERSION 1u
#define HEADER_BYTES 32u
#define RECORD_BYTES 16u
#define REGISTERS_BYTES 112u
#define TYPE_DATA 1u
#define TYPE_REGISTERS 2u
#define TYPE_END 3u

/* stages of saving, after the blocks; and of loading, where in in[] the registers go */
enum { SAVE_REGISTERS, SAVE_END, SAVE_DONE };
enum { LOAD_HEADER, LOAD_RECORD, LOAD_DATA, LOAD_REGISTERS, LOAD_DONE };
#define IN_RECORD 0u
#define IN_REGISTERS 64u
#define IN_LOADED 200u /* one byte: the registers are there */

static void put_header(const struct sim_device *dev, uint8_t out[HEADER_BYTES])
{
	vfmi_put_le64(out, MAGIC);
	vfmi_put_le32(out + 8, VERSION);
	vfmi_put_le32(out + 12, HEADER_BYTES);
	vfmi_put_le16(out + 16, vfmi_sim_edu.vendor);
	vfmi_put_le16(out + 18, vfmi_sim_edu.device);
	vfmi_put_le32(out + 20, REGISTERS_BYTES);
	vfmi_put_le64(out + 24, dev->state_bytes);
}

static void put_registers(const struct sim_edu *edu, uint8_t *out)
{
	const uint64_t *pump = &edu->pump.ctrl;
	uint32_t i;

	vfmi_put_le64(out, edu->dma_src);
	vfmi_put_le64(out + 8, edu->dma_dst);
	vfmi_put_le64(out + 16, edu->dma_cnt);
	vfmi_put_le64(out + 24, edu->dma_cmd);
	vfmi_put_le32(out + 32, edu->live_check);
	vfmi_put_le32(out + 36, edu->factorial);
	vfmi_put_le32(out + 40, edu->status);
	vfmi_put_le32(out + 44, edu->irq_status);
	for (i = 0; i < 8; i++)
		vfmi_put_le64(out + 48 + 8 * i, pump[i]);
}

static struct sim_edu_pump get_pump(const uint8_t *in)
{
	return (struct sim_edu_pump){
		.ctrl = vfmi_get_le64(in + 48),
		.src = vfmi_get_le64(in + 56),
		.dst = vfmi_get_le64(in + 64),
		.length = vfmi_get_le64(in + 72),
		.stride = vfmi_get_le64(in + 80),
		.slots = vfmi_get_le64(in + 88),
		.completed = vfmi_get_le64(in + 96),
		.errors = vfmi_get_le64(in + 104),
	};
}

/* saving */

void vfmi_sim_edu_save_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	uint8_t header[HEADER_BYTES];

	(void)sim;
	put_header(dev, header);
	vfmi_sim_queue_bytes(&dev->session, header, sizeof(header));
	dev->session.initial = 1;
	dev->session.stage = SAVE_REGISTERS;
}

void vfmi_sim_edu_save_final(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	put_registers(&dev->u.edu, dev->session.saved);
}

static void queue_record(struct sim_session *session, uint32_t type, uint64_t offset, uint32_t length)
{
	uint8_t head[RECORD_BYTES];

	vfmi_put_le64(head, offset);
	vfmi_put_le32(head + 8, length);
	vfmi_put_le32(head + 12, type);
	vfmi_sim_queue_bytes(session, head, sizeof(head));
	session->records++;
}

static void queue_block(struct sim_device *dev, uint32_t block)
{
	uint64_t offset = (uint64_t)block * SIM_BLOCK, length = vfmi_sim_block_bytes(dev, block);

	queue_record(&dev->session, TYPE_DATA, offset, (uint32_t)length);
	vfmi_sim_queue_contents(&dev->session, offset, length);
}

bool vfmi_sim_edu_save_more(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint32_t block;

	session->initial = session->cursor < vfmi_sim_blocks(dev);
	if (session->initial) {
		queue_block(dev, session->cursor++);
		return true;
	}
	if (vfmi_sim_dirty_take(sim, dev, &block)) {
		queue_block(dev, block);
		return true;
	}
	if (!session->final || session->stage == SAVE_DONE)
		return false;
	if (session->stage == SAVE_REGISTERS) {
		queue_record(session, TYPE_REGISTERS, 0, REGISTERS_BYTES);
		vfmi_sim_queue_bytes(session, session->saved, REGISTERS_BYTES);
		session->stage = SAVE_END;
	} else {
		queue_record(session, TYPE_END, session->records, 0);
		session->stage = SAVE_DONE;
	}
	return true;
}

static uint64_t blocks_from(const struct sim_device *dev, uint32_t block)
{
	uint32_t blocks = vfmi_sim_blocks(dev);

	if (block >= blocks)
		return 0;
	return dev->state_bytes - (uint64_t)block * SIM_BLOCK + (uint64_t)(blocks - block) * RECORD_BYTES;
}

static uint64_t dirty_bytes(struct vfm_sim *sim, const struct sim_device *dev)
{
	uint64_t bytes = (uint64_t)dev->session.dirty_count * (RECORD_BYTES + SIM_BLOCK);

	if (vfmi_sim_dirty_last(sim, dev))
		bytes -= SIM_BLOCK - vfmi_sim_block_bytes(dev, vfmi_sim_blocks(dev) - 1);
	return bytes;
}

void vfmi_sim_edu_precopy_info(struct vfm_sim *sim, struct sim_device *dev, uint64_t *initial, uint64_t *dirty)
{
	const struct sim_session *session = &dev->session;
	uint64_t queued = vfmi_sim_queued_bytes(session);

	*initial = blocks_from(dev, session->cursor) + (session->initial ? queued : 0);
	*dirty = dirty_bytes(sim, dev) + (session->initial ? 0 : queued);
}

uint64_t vfmi_sim_edu_data_size(struct vfm_sim *sim, struct sim_device *dev)
{
	const uint64_t tail[] = {
		[SAVE_REGISTERS] = 2 * RECORD_BYTES + REGISTERS_BYTES, [SAVE_END] = RECORD_BYTES, [SAVE_DONE] = 0
	};
	uint64_t initial, dirty;

	if (dev->session.kind != SIM_SESSION_SAVE)
		return HEADER_BYTES + blocks_from(dev, 0) + tail[SAVE_REGISTERS];
	vfmi_sim_edu_precopy_info(sim, dev, &initial, &dirty);
	return initial + dirty + tail[dev->session.stage];
}

/* loading */

void vfmi_sim_edu_load_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	vfmi_sim_want(&dev->session, LOAD_HEADER, IN_RECORD, HEADER_BYTES);
}

static int load_data(struct sim_device *dev, uint64_t offset, uint32_t length)
{
	struct sim_session *session = &dev->session;

	if (!length || session->in[IN_LOADED])
		return -EINVAL;
	if (offset > dev->state_bytes || length > dev->state_bytes - offset)
		return -ENOMEM;
	vfmi_sim_want_contents(session, LOAD_DATA, offset, length);
	return 0;
}

static int load_record(struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint64_t offset = vfmi_get_le64(session->in);
	uint32_t length = vfmi_get_le32(session->in + 8);

	switch (vfmi_get_le32(session->in + 12)) {
	case TYPE_DATA:
		session->records++;
		return load_data(dev, offset, length);
	case TYPE_REGISTERS:
		session->records++;
		if (offset || length != REGISTERS_BYTES || session->in[IN_LOADED])
			return -EINVAL;
		vfmi_sim_want(session, LOAD_REGISTERS, IN_REGISTERS, REGISTERS_BYTES);
		return 0;
	case TYPE_END:
		if (offset != session->records || length || !session->in[IN_LOADED])
			return -EINVAL;
		vfmi_sim_want(session, LOAD_DONE, 0, 0);
		return 0;
	default:
		return -EINVAL;
	}
}

/* The driver restores a factorial by computing it, so it has to be one. */
static int can_load(const uint8_t *registers)
{
	const struct sim_edu_pump pump = get_pump(registers);
	uint32_t n;

	for (n = 0; n <= 34; n++)
		if (vfmi_sim_edu_factorial(n) == vfmi_get_le32(registers + 36))
			return vfmi_sim_edu_pump_valid(&pump) ? 0 : -EINVAL;
	return -EINVAL;
}

int vfmi_sim_edu_load_part(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint8_t own[HEADER_BYTES];

	(void)sim;
	switch (session->stage) {
	case LOAD_HEADER:
		put_header(dev, own);
		if (memcmp(own, session->in, sizeof(own)))
			return -EINVAL;
		break;
	case LOAD_RECORD:
		return load_record(dev);
	case LOAD_REGISTERS:
		if (can_load(session->in + IN_REGISTERS))
			return -EINVAL;
		session->in[IN_LOADED] = 1;
		break;
	case LOAD_DONE:
		return -ENOMEM; /* more than the device takes */
	default:
		break;
	}
	vfmi_sim_want(session, LOAD_RECORD, IN_RECORD, RECORD_BYTES);
	return 0;
}

int vfmi_sim_edu_load_finish(struct vfm_sim *sim, struct sim_device *dev)
{
	const uint8_t *in = dev->session.in + IN_REGISTERS;
	struct sim_edu *edu = &dev->u.edu;

	if (dev->session.error || dev->session.stage != LOAD_DONE)
		return -EINVAL;
	edu->dma_src = vfmi_get_le64(in);
	edu->dma_dst = vfmi_get_le64(in + 8);
	edu->dma_cnt = vfmi_get_le64(in + 16);
	edu->live_check = vfmi_get_le32(in + 32);
	edu->factorial = vfmi_get_le32(in + 36);
	edu->status = vfmi_get_le32(in + 40) & VFMI_EDU_STATUS_IRQ;
	edu->irq_status = 0;
	vfmi_sim_edu_raise(sim, dev, vfmi_get_le32(in + 44));
	edu->pump = get_pump(in);
	return 0;
}
