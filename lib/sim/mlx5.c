/* SPDX-License-Identifier: MIT */
/*
 * mlx5_vfio_pci (Linux 6.12): records of u64 size, u32 flags, u32 tag. Asking for the precopy info is what makes it
 * fetch changed state; a record is applied when its last byte arrives, and nothing checks at RESUMING -> STOP that a
 * stream was complete. What is inside of an image record is the firmware's; here: u64 offset and length, that much of
 * the contents, the registers.
 *
 * One simplification: contents are written as they arrive, so a record cut short has changed them up to the cut.
 */
#include "record.h"
#include "uapi/vfio.h"
#include "wire.h"

#define IMAGE_HEAD 16u
#define REGS_BYTES 64u
#define TAG_STOP_COPY_SIZE 1u
#define FIRST_BYTES (SIM_RECORD_BYTES + 8u) /* of the optional record a session begins with */

/* saving: the first image is all of the contents */
enum { SAVE_FIRST, SAVE_BETWEEN, SAVE_LAST, SAVE_DONE };
#define WHOLE 1u /* begun in STOP: one image is all there is */
/* loading */
enum { LOAD_HEAD = SIM_RECORD_STAGES, LOAD_CONTENTS, LOAD_REGS };
#define IN_HEAD SIM_RECORD_BYTES
#define IN_REGS 64u

static void queue_image(struct sim_device *dev, uint64_t offset, uint64_t length)
{
	uint8_t head[SIM_RECORD_BYTES + IMAGE_HEAD];

	vfmi_sim_record_put(head, IMAGE_HEAD + length + REGS_BYTES, 0, SIM_RECORD_STATE);
	vfmi_put_le64(head + SIM_RECORD_BYTES, offset);
	vfmi_put_le64(head + SIM_RECORD_BYTES + 8, length);
	vfmi_sim_queue_bytes(&dev->session, head, sizeof(head));
	if (length)
		vfmi_sim_queue_contents(&dev->session, offset, length);
	vfmi_sim_queue_bytes(&dev->session, dev->u.plain.regs, REGS_BYTES);
	dev->session.records++;
}

static void mlx5_save_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint8_t first[FIRST_BYTES];

	(void)sim;
	vfmi_sim_record_put(first, 8, SIM_RECORD_OPTIONAL, TAG_STOP_COPY_SIZE);
	vfmi_put_le64(first + SIM_RECORD_BYTES, dev->state_bytes + IMAGE_HEAD + REGS_BYTES);
	vfmi_sim_queue_bytes(session, first, sizeof(first));
	session->stage = SAVE_FIRST;
	/* From here on changes are noticed. */
	session->cursor = vfmi_sim_blocks(dev);
}

/* The run of changed blocks that begins first. */
static bool take_run(struct vfm_sim *sim, struct sim_device *dev, uint64_t *ret_offset, uint64_t *ret_length)
{
	uint32_t first, block, end;

	if (!vfmi_sim_dirty_take(sim, dev, &first))
		return false;
	for (end = first + 1; vfmi_sim_dirty_take(sim, dev, &block); end++)
		if (block != end) {
			vfmi_sim_dirty_mark(sim, dev, block, block + 1);
			break;
		}
	*ret_offset = (uint64_t)first * SIM_BLOCK;
	*ret_length = vfmi_min_u64((uint64_t)end * SIM_BLOCK, dev->state_bytes) - *ret_offset;
	return true;
}

static void mlx5_save_final(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	if (dev->state == VFIO_DEVICE_STATE_STOP)
		dev->session.initial = WHOLE;
	if (dev->session.stage == SAVE_BETWEEN)
		dev->session.stage = SAVE_LAST;
}

static bool mlx5_save_more(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint64_t offset = 0, length = 0;

	switch (session->stage) {
	case SAVE_FIRST:
		queue_image(dev, 0, dev->state_bytes);
		session->stage = session->initial == WHOLE ? SAVE_DONE : session->final ? SAVE_LAST : SAVE_BETWEEN;
		return true;
	case SAVE_LAST:
		if (!take_run(sim, dev, &offset, &length) || !session->dirty_count)
			session->stage = SAVE_DONE;
		queue_image(dev, offset, length);
		return true;
	default:
		return false;
	}
}

static uint64_t image_bytes(uint64_t contents)
{
	return SIM_RECORD_BYTES + IMAGE_HEAD + contents + REGS_BYTES;
}

/* What the kernel's driver leaves as the caller passed it is left so here. */
static void mlx5_precopy_info(struct vfm_sim *sim, struct sim_device *dev, uint64_t *initial, uint64_t *dirty)
{
	struct sim_session *session = &dev->session;
	uint64_t queued = vfmi_sim_queued_bytes(session), increment = 0, offset, length;

	if (session->bytes < FIRST_BYTES) {
		*initial = FIRST_BYTES - session->bytes;
		return;
	}
	if (session->stage == SAVE_FIRST)
		queued += image_bytes(dev->state_bytes);
	if (dev->state == VFIO_DEVICE_STATE_PRE_COPY && session->dirty_count)
		increment = image_bytes((uint64_t)session->dirty_count * SIM_BLOCK);
	*dirty = queued + increment;
	if (!queued && increment && take_run(sim, dev, &offset, &length))
		queue_image(dev, offset, length);
}

static uint64_t mlx5_data_size(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	return FIRST_BYTES + image_bytes(dev->state_bytes);
}

/* loading */

static void mlx5_load_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	vfmi_sim_record_want(&dev->session);
}

static int load_record(struct sim_session *session)
{
	int r = vfmi_sim_record_begin(session, TAG_STOP_COPY_SIZE);

	if (r != SIM_RECORD_IS_STATE)
		return r;
	if (vfmi_get_le64(session->in) < IMAGE_HEAD + REGS_BYTES)
		return -EINVAL; /* the firmware knows its own */
	vfmi_sim_want(session, LOAD_HEAD, IN_HEAD, IMAGE_HEAD);
	return 0;
}

static int load_head(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint64_t offset = vfmi_get_le64(session->in + IN_HEAD), length = vfmi_get_le64(session->in + IN_HEAD + 8);

	if (offset > dev->state_bytes || length > dev->state_bytes - offset ||
	    vfmi_get_le64(session->in) != IMAGE_HEAD + length + REGS_BYTES)
		return -EINVAL;
	if (!length) {
		vfmi_sim_want(session, LOAD_REGS, IN_REGS, REGS_BYTES);
		return 0;
	}
	if (length == dev->state_bytes) {
		vfmi_sim_contents_wipe(sim, dev);
		session->high = 0;
	}
	vfmi_sim_want_contents(session, LOAD_CONTENTS, offset, length);
	return 0;
}

static int mlx5_load_part(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;

	switch (session->stage) {
	case SIM_RECORD_HEAD:
		return load_record(session);
	case LOAD_HEAD:
		return load_head(sim, dev);
	case LOAD_CONTENTS:
		vfmi_sim_want(session, LOAD_REGS, IN_REGS, REGS_BYTES);
		return 0;
	case LOAD_REGS:
		memcpy(dev->u.plain.regs, session->in + IN_REGS, REGS_BYTES);
		break;
	default:
		break;
	}
	vfmi_sim_record_want(session);
	return 0;
}

static int mlx5_load_finish(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return 0;
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

const struct sim_profile vfmi_sim_mlx5 = {
	.name = "mlx5",
	.driver = "mlx5_vfio_pci",
	.quirks = SIM_PCIE | SIM_POLLS | SIM_STATE_BEFORE_DEAD | SIM_ERROR_KILLS | SIM_HAS_CONTENTS,
	.migration_flags = 7,
	.log = SIM_LOG_MLX5,
	.state_bytes = 4u << 20,
	.regions = 9,
	.irqs = 5,
	.vendor = 0x15b3,
	.device = 0x101e,
	.subvendor = 0x15b3,
	.subdevice = 0x0058,
	.class_code = 0x020000,
	.pcie_cap = 0x60,
	.msix_cap = 0x9c,
	.msix_vectors = 12,
	.regs_bytes = REGS_BYTES,
	.region = {
		[0] = { .size = 1u << 20, .flags = READ_WRITE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = 4096, .flags = READ_WRITE },
	},
	.reset = vfmi_sim_plain_reset,
	.bar_read = vfmi_sim_plain_read,
	.bar_write = vfmi_sim_plain_write,
	.save_begin = mlx5_save_begin,
	.save_final = mlx5_save_final,
	.save_more = mlx5_save_more,
	.precopy_info = mlx5_precopy_info,
	.load_begin = mlx5_load_begin,
	.load_part = mlx5_load_part,
	.load_finish = mlx5_load_finish,
	.data_size = mlx5_data_size,
};
