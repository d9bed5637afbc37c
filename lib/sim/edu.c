/* SPDX-License-Identifier: MIT */
/*
 * QEMU's edu under the project's own variant driver, tests/kmod: registers, DMA engine, pump and regions. The stream
 * is in edu-stream.c. DMA takes the 100 ms it takes in QEMU, on virtual time; reading a register of a device that is
 * at work counts as waiting and lets a little of it pass, or a loop that polls without sleeping would never end.
 */
#include "edu.h"
#include "wire.h"

#define REG_ID 0x00u
#define REG_LIVE_CHECK 0x04u
#define REG_FACTORIAL 0x08u
#define REG_STATUS 0x20u
#define REG_IRQ_STATUS 0x24u
#define REG_IRQ_RAISE 0x60u
#define REG_IRQ_ACK 0x64u
#define REG_DMA_SRC 0x80u
#define REG_DMA_DST 0x88u
#define REG_DMA_CNT 0x90u
#define REG_DMA_CMD 0x98u

#define ID 0x010000edu
#define IRQ_FACTORIAL 0x1u
#define IRQ_DMA 0x100u
#define DMA_RUN 0x1u
#define DMA_TO_MEMORY 0x2u
#define DMA_IRQ 0x4u
#define DMA_BUFFER 0x40000u
#define DMA_NS 100000000u
#define POLL_NS 5000000u
#define LOOK_NS 1000000u   /* what one look at a busy device takes */
#define MAX_EVENTS 200000u /* caught up with at once; of a longer leap in time the rest is lost */

enum { PUMP_IDLE, PUMP_READING, PUMP_WRITING };

uint32_t vfmi_sim_edu_factorial(uint32_t n)
{
	uint32_t product = 1;

	/* From 34 on, 32 bits of it are zero. */
	for (; n > 1; n--) {
		product *= n;
		if (!product)
			break;
	}
	return product;
}

static void set_pin(struct vfm_sim *sim, struct sim_device *dev)
{
	vfmi_sim_irq_pin(sim, dev, dev->u.edu.irq_status && dev->irq.type != VFIO_PCI_MSI_IRQ_INDEX);
}

void vfmi_sim_edu_raise(struct vfm_sim *sim, struct sim_device *dev, uint32_t bits)
{
	dev->u.edu.irq_status |= bits;
	if (!dev->u.edu.irq_status)
		return;
	vfmi_sim_irq_message(sim, dev, 0);
	set_pin(sim, dev);
}

/* DMA between memory and the 4 KiB inside */

static bool in_buffer(uint64_t at, uint64_t length)
{
	return at >= DMA_BUFFER && length <= 4096 && at - DMA_BUFFER <= 4096 - length;
}

static void dma_complete(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_edu *edu = &dev->u.edu;
	bool to_memory = edu->dma_cmd & DMA_TO_MEMORY;
	uint64_t inside = to_memory ? edu->dma_src : edu->dma_dst;
	uint64_t outside = to_memory ? edu->dma_dst : edu->dma_src;

	if (!in_buffer(inside, edu->dma_cnt))
		vfmi_sim_strict(sim, "%s: DMA outside of the device's buffer stops QEMU", dev->name);
	else if (edu->dma_cnt)
		vfmi_sim_dma(sim, dev, outside, edu->buffer + (inside - DMA_BUFFER), (size_t)edu->dma_cnt, to_memory);
	edu->dma_cmd &= ~(uint64_t)DMA_RUN;
	if (edu->dma_cmd & DMA_IRQ)
		vfmi_sim_edu_raise(sim, dev, IRQ_DMA);
}

static void dma_start(struct sim_device *dev, uint64_t now)
{
	dev->u.edu.dma_cmd |= DMA_RUN;
	dev->u.edu.dma_done_ns = now + DMA_NS;
}

/* pump */

static bool pump_on(const struct sim_device *dev)
{
	return vfmi_sim_runs(dev) && (dev->u.edu.pump.ctrl & VFMI_EDU_PUMP_RUN);
}

bool vfmi_sim_edu_pump_valid(const struct sim_edu_pump *pump)
{
	return !(pump->ctrl & ~(uint64_t)(VFMI_EDU_PUMP_RUN | VFMI_EDU_PUMP_IRQ)) &&
	       (!(pump->ctrl & VFMI_EDU_PUMP_RUN) ||
		(pump->length && pump->length <= VFMI_EDU_PUMP_MAX_BYTES && pump->slots));
}

static void pump_start(struct sim_device *dev, uint32_t phase, uint64_t now)
{
	struct sim_edu *edu = &dev->u.edu;
	const struct sim_edu_pump *pump = &edu->pump;

	if (!vfmi_sim_config_master(dev)) {
		edu->pump.errors++;
		edu->pump_phase = PUMP_IDLE;
		return;
	}
	edu->pump_phase = phase;
	edu->dma_src = phase == PUMP_READING ? pump->src : DMA_BUFFER;
	edu->dma_dst = phase == PUMP_READING ? DMA_BUFFER : pump->dst + pump->completed % pump->slots * pump->stride;
	edu->dma_cnt = pump->length;
	edu->dma_cmd = phase == PUMP_READING ? 0 : DMA_TO_MEMORY;
	if (phase == PUMP_WRITING && (pump->ctrl & VFMI_EDU_PUMP_IRQ))
		edu->dma_cmd |= DMA_IRQ;
	dma_start(dev, now);
}

static void pump_step(struct sim_device *dev, bool more, uint64_t now)
{
	struct sim_edu *edu = &dev->u.edu;

	if (edu->dma_cmd & DMA_RUN)
		return;
	if (edu->pump_phase == PUMP_READING) {
		pump_start(dev, PUMP_WRITING, now);
		return;
	}
	if (edu->pump_phase == PUMP_WRITING) {
		edu->pump.completed++;
		edu->pump_phase = PUMP_IDLE;
	}
	if (more)
		pump_start(dev, PUMP_READING, now);
}

/* When something happens next. */
static uint64_t next_event(const struct sim_device *dev)
{
	const struct sim_edu *edu = &dev->u.edu;
	uint64_t dma = edu->dma_cmd & DMA_RUN ? edu->dma_done_ns : UINT64_MAX;

	return pump_on(dev) ? vfmi_min_u64(dma, edu->pump_next_ns) : dma;
}

static void edu_event(struct vfm_sim *sim, struct sim_device *dev, uint64_t at)
{
	struct sim_edu *edu = &dev->u.edu;

	if ((edu->dma_cmd & DMA_RUN) && edu->dma_done_ns <= at)
		dma_complete(sim, dev);
	if (pump_on(dev) && edu->pump_next_ns <= at) {
		pump_step(dev, true, at);
		edu->pump_next_ns = at + POLL_NS;
		if ((edu->dma_cmd & DMA_RUN) && edu->dma_done_ns > edu->pump_next_ns)
			edu->pump_next_ns = edu->dma_done_ns;
	}
}

static void edu_run(struct vfm_sim *sim, struct sim_device *dev)
{
	uint64_t now = sim->machine->now_ns;
	uint32_t events;

	for (events = 0; events < MAX_EVENTS && next_event(dev) <= now; events++) {
		vfmi_sim_change(sim, dev);
		edu_event(sim, dev, next_event(dev));
	}
	/* A pump that stands begins at once when it is let go. */
	if (!pump_on(dev) || events == MAX_EVENTS)
		dev->u.edu.pump_next_ns = now;
}

static void edu_quiesce(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_edu *edu = &dev->u.edu;

	do {
		if (edu->dma_cmd & DMA_RUN) {
			if (edu->dma_done_ns > sim->machine->now_ns)
				vfmi_sim_spend(sim, edu->dma_done_ns - sim->machine->now_ns);
			dma_complete(sim, dev);
		}
		pump_step(dev, false, sim->machine->now_ns);
	} while (edu->pump_phase != PUMP_IDLE);
}

/* The driver forgets what QEMU's model would keep; the DMA buffer and the last command stay. */
static void edu_reset(struct sim_device *dev)
{
	struct sim_edu *edu = &dev->u.edu;
	uint64_t cmd = edu->dma_cmd & ~(uint64_t)DMA_RUN;
	uint8_t buffer[sizeof(edu->buffer)];

	memcpy(buffer, edu->buffer, sizeof(buffer));
	memset(edu, 0, sizeof(*edu));
	memcpy(edu->buffer, buffer, sizeof(buffer));
	edu->dma_cmd = cmd;
	dev->irq.intx_asserted = 0;
}

/* BAR 0 */

static void look(struct vfm_sim *sim, const struct sim_device *dev)
{
	if ((dev->u.edu.dma_cmd & DMA_RUN) || pump_on(dev))
		vfmi_sim_spend(sim, LOOK_NS);
}

static uint64_t edu_read(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t at, uint32_t width)
{
	const struct sim_edu *edu = &dev->u.edu;

	(void)bar;
	look(sim, dev);
	if (width < 4)
		return 0;
	if (at < REG_DMA_SRC && width != 4)
		return UINT64_MAX;
	switch (at) {
	case REG_ID:
		return ID;
	case REG_LIVE_CHECK:
		return edu->live_check;
	case REG_FACTORIAL:
		return edu->factorial;
	case REG_STATUS:
		return edu->status;
	case REG_IRQ_STATUS:
		return edu->irq_status;
	case REG_DMA_SRC:
		return edu->dma_src;
	case REG_DMA_DST:
		return edu->dma_dst;
	case REG_DMA_CNT:
		return edu->dma_cnt;
	case REG_DMA_CMD:
		return edu->dma_cmd;
	default:
		return UINT64_MAX;
	}
}

/* The DMA registers are deaf while a DMA runs. */
static void dma_write(struct vfm_sim *sim, struct sim_device *dev, uint64_t at, uint64_t value)
{
	struct sim_edu *edu = &dev->u.edu;

	if (edu->dma_cmd & DMA_RUN)
		return;
	if (at == REG_DMA_SRC)
		edu->dma_src = value;
	if (at == REG_DMA_DST)
		edu->dma_dst = value;
	if (at == REG_DMA_CNT)
		edu->dma_cnt = value;
	if (at == REG_DMA_CMD && (value & DMA_RUN)) {
		edu->dma_cmd = value;
		dma_start(dev, sim->machine->now_ns);
	}
}

static void edu_write(struct vfm_sim *sim, struct sim_device *dev, uint32_t bar, uint64_t at, uint32_t width,
		      uint64_t value)
{
	struct sim_edu *edu = &dev->u.edu;

	(void)bar;
	if (width < 4 || (at < REG_DMA_SRC && width != 4))
		return;
	switch (at) {
	case REG_LIVE_CHECK:
		edu->live_check = ~(uint32_t)value;
		break;
	case REG_FACTORIAL:
		edu->factorial = vfmi_sim_edu_factorial((uint32_t)value);
		if (edu->status & VFMI_EDU_STATUS_IRQ)
			vfmi_sim_edu_raise(sim, dev, IRQ_FACTORIAL);
		break;
	case REG_STATUS:
		edu->status = (uint32_t)value & VFMI_EDU_STATUS_IRQ;
		break;
	case REG_IRQ_RAISE:
		vfmi_sim_edu_raise(sim, dev, (uint32_t)value);
		break;
	case REG_IRQ_ACK:
		edu->irq_status &= ~(uint32_t)value;
		set_pin(sim, dev);
		break;
	default:
		dma_write(sim, dev, at, value);
		break;
	}
}

/* the driver's own regions */

static ssize_t contents_rw(struct vfm_sim *sim, struct sim_device *dev, uint8_t *buf, size_t length, uint64_t pos,
			   bool write)
{
	int r;

	if (pos >= dev->state_bytes)
		return -EINVAL;
	length = (size_t)vfmi_min_u64(length, dev->state_bytes - pos);
	if (!write) {
		r = vfmi_sim_contents_get(sim, dev, pos, buf, length);
		return r ? r : (ssize_t)length;
	}
	if (vfmi_sim_frozen(dev))
		return -EBUSY;
	vfmi_sim_session_touch(sim, dev, pos, length);
	r = vfmi_sim_contents_put(sim, dev, pos, buf, length);
	return r ? r : (ssize_t)length;
}

static uint64_t control_read(const struct sim_device *dev, uint64_t at)
{
	const struct sim_edu_pump *pump = &dev->u.edu.pump;

	switch (at) {
	case VFMI_EDU_PUMP_CTRL:
		return pump->ctrl;
	case VFMI_EDU_PUMP_SRC:
		return pump->src;
	case VFMI_EDU_PUMP_DST:
		return pump->dst;
	case VFMI_EDU_PUMP_LENGTH:
		return pump->length;
	case VFMI_EDU_PUMP_STRIDE:
		return pump->stride;
	case VFMI_EDU_PUMP_SLOTS:
		return pump->slots;
	case VFMI_EDU_PUMP_COMPLETED:
		return pump->completed;
	case VFMI_EDU_PUMP_ERRORS:
		return pump->errors;
	case VFMI_EDU_CONTENTS_BYTES:
		return dev->state_bytes;
	case VFMI_EDU_BLOCK_BYTES:
		return SIM_BLOCK;
	case VFMI_EDU_DIRTY_BLOCKS:
		return dev->session.kind == SIM_SESSION_SAVE ? dev->session.dirty_count : 0;
	case VFMI_EDU_MIG_STATE:
		return dev->state;
	default:
		return 0;
	}
}

static int pump_switch(struct vfm_sim *sim, struct sim_device *dev, uint64_t ctrl)
{
	struct sim_edu *edu = &dev->u.edu;
	struct sim_edu_pump pump = edu->pump;

	pump.ctrl = ctrl;
	if (!vfmi_sim_edu_pump_valid(&pump))
		return -EINVAL;
	edu_quiesce(sim, dev);
	edu->pump.ctrl = ctrl;
	edu->pump_next_ns = sim->machine->now_ns;
	return 0;
}

static int control_write(struct vfm_sim *sim, struct sim_device *dev, uint64_t at, uint64_t value)
{
	struct sim_edu_pump *pump = &dev->u.edu.pump;
	uint64_t *setting;

	if (vfmi_sim_frozen(dev))
		return -EBUSY;
	switch (at) {
	case VFMI_EDU_PUMP_CTRL:
		return pump_switch(sim, dev, value);
	case VFMI_EDU_PUMP_SRC:
		setting = &pump->src;
		break;
	case VFMI_EDU_PUMP_DST:
		setting = &pump->dst;
		break;
	case VFMI_EDU_PUMP_LENGTH:
		setting = &pump->length;
		break;
	case VFMI_EDU_PUMP_STRIDE:
		setting = &pump->stride;
		break;
	case VFMI_EDU_PUMP_SLOTS:
		setting = &pump->slots;
		break;
	default:
		return -EINVAL;
	}
	if (pump->ctrl & VFMI_EDU_PUMP_RUN)
		return -EBUSY;
	*setting = value;
	return 0;
}

static ssize_t edu_region_rw(struct vfm_sim *sim, struct sim_device *dev, uint32_t index, uint8_t *buf, size_t length,
			     uint64_t pos, bool write)
{
	int r = 0;

	if (index == VFMI_EDU_CONTENTS_REGION)
		return contents_rw(sim, dev, buf, length, pos, write);
	if (length != 8 || pos % 8 || pos >= VFMI_EDU_CONTROL_BYTES)
		return -EINVAL;
	if (write) {
		r = control_write(sim, dev, pos, vfmi_get_le64(buf));
	} else {
		look(sim, dev);
		vfmi_put_le64(buf, control_read(dev, pos));
	}
	return r ? r : 8;
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

const struct sim_profile vfmi_sim_edu = {
	.name = "edu",
	.driver = "vfiomig_edu",
	.quirks = SIM_WIPED_BY_RESUMING | SIM_HAS_CONTENTS | SIM_EXPORTS,
	.migration_flags = 7,
	.log = SIM_LOG_PLAIN,
	.state_bytes = 64u << 20,
	.regions = 11,
	.irqs = 5,
	.vendor = 0x1234,
	.device = 0x11e8,
	.subvendor = 0x1af4,
	.subdevice = 0x1100,
	.class_code = 0x00ff00,
	.revision = 0x10,
	.pin = 1,
	.msi_cap = 0x40,
	.region = {
		[0] = { .size = 1u << 20, .flags = READ_WRITE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = 256, .flags = READ_WRITE },
		[VFMI_EDU_CONTENTS_REGION] = { UINT64_MAX, READ_WRITE, 0x80001234, 1 },
		[VFMI_EDU_CONTROL_REGION] = { VFMI_EDU_CONTROL_BYTES, READ_WRITE, 0x80001234, 2 },
	},
	.reset = edu_reset,
	.run = edu_run,
	.quiesce = edu_quiesce,
	.bar_read = edu_read,
	.bar_write = edu_write,
	.region_rw = edu_region_rw,
	.save_begin = vfmi_sim_edu_save_begin,
	.save_final = vfmi_sim_edu_save_final,
	.save_more = vfmi_sim_edu_save_more,
	.precopy_info = vfmi_sim_edu_precopy_info,
	.load_begin = vfmi_sim_edu_load_begin,
	.load_part = vfmi_sim_edu_load_part,
	.load_finish = vfmi_sim_edu_load_finish,
	.data_size = vfmi_sim_edu_data_size,
};
