/* SPDX-License-Identifier: MIT */
/*
 * virtio_vfio_pci (Linux 6.13): records of device parts. It knows no increments: asked for the precopy info when all
 * has been read, it queues the whole state again, though at most once a second; whatever is queued is to be sent. A
 * record is applied when its last byte arrives, and nothing checks at RESUMING -> STOP that a stream was complete.
 *
 * One simplification: contents are written as they arrive, and read when they are sent.
 */
#include "record.h"
#include "uapi/vfio.h"
#include "wire.h"

#define REGS_BYTES 64u
#define QUIET_NS 1000000000ull

enum { LOAD_REGS = SIM_RECORD_STAGES, LOAD_CONTENTS };
#define IN_REGS 64u

static uint64_t parts_bytes(const struct sim_device *dev)
{
	return REGS_BYTES + dev->state_bytes;
}

static uint64_t record_bytes(const struct sim_device *dev)
{
	return SIM_RECORD_BYTES + parts_bytes(dev);
}

/* records: whole states queued so far, stage: how many of them are not in the queue yet */

static void add_state(struct sim_device *dev)
{
	dev->session.records++;
	dev->session.stage++;
}

static void virtio_save_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	add_state(dev);
}

static void virtio_save_final(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	/* from PRE_COPY; begun in STOP the first state is the last */
	if (dev->state != VFIO_DEVICE_STATE_STOP)
		add_state(dev);
}

static bool virtio_save_more(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;
	uint8_t head[SIM_RECORD_BYTES];

	(void)sim;
	if (!session->stage)
		return false;
	session->stage--;
	vfmi_sim_record_put(head, parts_bytes(dev), 0, SIM_RECORD_STATE);
	vfmi_sim_queue_bytes(session, head, sizeof(head));
	vfmi_sim_queue_bytes(session, dev->u.plain.regs, REGS_BYTES);
	vfmi_sim_queue_contents(session, 0, dev->state_bytes);
	return true;
}

static void virtio_precopy_info(struct vfm_sim *sim, struct sim_device *dev, uint64_t *initial, uint64_t *dirty)
{
	struct sim_session *session = &dev->session;
	uint64_t now = sim->machine->now_ns, changed = 0;

	if (now >= session->quiet_until_ns) {
		session->quiet_until_ns = now + QUIET_NS;
		changed = parts_bytes(dev);
	}
	/* What is not set is left as the caller passed it. */
	if (session->bytes < record_bytes(dev)) {
		*initial = record_bytes(dev) - session->bytes;
		return;
	}
	*dirty = session->records * record_bytes(dev) - session->bytes;
	if (!*dirty && changed)
		add_state(dev);
	*dirty += changed;
}

static uint64_t virtio_data_size(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	return parts_bytes(dev);
}

/* loading */

static void virtio_load_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	vfmi_sim_record_want(&dev->session);
}

static int load_record(struct sim_device *dev)
{
	int r = vfmi_sim_record_begin(&dev->session, SIM_RECORD_STATE);

	if (r != SIM_RECORD_IS_STATE)
		return r;
	if (vfmi_get_le64(dev->session.in) != parts_bytes(dev))
		return -EINVAL; /* parts that the device does not have */
	vfmi_sim_want(&dev->session, LOAD_REGS, IN_REGS, REGS_BYTES);
	return 0;
}

static int virtio_load_part(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_session *session = &dev->session;

	switch (session->stage) {
	case SIM_RECORD_HEAD:
		return load_record(dev);
	case LOAD_REGS:
		vfmi_sim_contents_wipe(sim, dev);
		session->high = 0;
		vfmi_sim_want_contents(session, LOAD_CONTENTS, 0, dev->state_bytes);
		return 0;
	case LOAD_CONTENTS:
		memcpy(dev->u.plain.regs, session->in + IN_REGS, REGS_BYTES);
		break;
	default:
		break;
	}
	vfmi_sim_record_want(session);
	return 0;
}

static int virtio_load_finish(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return 0;
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

const struct sim_profile vfmi_sim_virtio = {
	.name = "virtio",
	.driver = "virtio_vfio_pci",
	.quirks = SIM_PCIE | SIM_STATE_BEFORE_DEAD | SIM_ERROR_KILLS | SIM_HAS_CONTENTS,
	.migration_flags = 7,
	.state_bytes = 64u << 10,
	.state_max = 1u << 30,
	.regions = 9,
	.irqs = 5,
	.vendor = 0x1af4,
	.device = 0x1041,
	.subvendor = 0x1af4,
	.subdevice = 0x1041,
	.class_code = 0x020000,
	.revision = 0x01,
	.pcie_cap = 0x40,
	.msix_cap = 0x98,
	.msix_vectors = 4,
	.regs_bytes = REGS_BYTES,
	.region = {
		[0] = { .size = 0x4000, .flags = READ_WRITE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = 4096, .flags = READ_WRITE },
	},
	.reset = vfmi_sim_plain_reset,
	.bar_read = vfmi_sim_plain_read,
	.bar_write = vfmi_sim_plain_write,
	.save_begin = virtio_save_begin,
	.save_final = virtio_save_final,
	.save_more = virtio_save_more,
	.precopy_info = virtio_precopy_info,
	.load_begin = virtio_load_begin,
	.load_part = virtio_load_part,
	.load_finish = virtio_load_finish,
	.data_size = virtio_data_size,
};
