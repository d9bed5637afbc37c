// SPDX-License-Identifier: MIT
/* One device: its states and data, regions, interrupts and features; legal and illegal, each with what came back. */
#include <xxhash.h>

#include "../kmod/vfiomig_edu.h"
#include "diff.h"

#define BUFFER (1u << 17)

static uint8_t buffer[BUFFER];

static int fd_of(const struct subject *s)
{
	return vfm_device_fd(s->dev);
}

static int raw(struct subject *s, unsigned long request, void *arg)
{
	return s->sys->ops->ioctl(s->sys, fd_of(s), request, arg);
}

int device_feature(struct subject *s, uint32_t flags, uint32_t data_bytes, void *data, size_t length)
{
	uint64_t room[1 + 8] = { 0 };
	const uint32_t head[2] = { (uint32_t)sizeof(struct vfio_device_feature) + data_bytes, flags };
	int r;

	memcpy(room, head, sizeof(head));
	memcpy(room + 1, data, length);
	r = raw(s, VFIO_DEVICE_FEATURE, room);
	memcpy(data, room + 1, length);
	return r;
}

static void drop_data_fd(struct subject *s)
{
	if (s->data_fd >= 0)
		s->sys->ops->close(s->sys, s->data_fd);
	s->data_fd = -1;
}

static void set_state(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t more[] = { 8, 9, UINT32_MAX, 0 };
	struct vfio_device_feature_mig_state mig = { .data_fd = -1 };

	mig.device_state = c->a % 20 < 16 ? c->a % 8 : more[c->b % 4];
	o->result = device_feature(s, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, sizeof(mig), &mig,
				   sizeof(mig));
	o->value[0] = mig.device_state;
	o->has_fd = mig.data_fd >= 0;
	if (o->result == 0 && mig.data_fd >= 0) {
		drop_data_fd(s);
		s->data_fd = mig.data_fd;
		s->cursor = 0;
	}
}

static void read_data(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t sizes[] = { 0, 1, 24, 100, 4096, 65536, 65552, BUFFER };
	size_t n = sizes[c->a % 8];

	o->result = s->data_fd < 0 ? -EBADF : s->sys->ops->read(s->sys, s->data_fd, buffer, n);
	if (o->result > 0)
		o->value[0] = XXH3_64bits(buffer, (size_t)o->result);
}

static void write_data(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t sizes[] = { 1, 23, 24, 40, 4096, 65536, BUFFER, 8 };
	size_t n = sizes[c->a % 8];
	const uint8_t *from = buffer;

	if (c->b % 8 == 0) { /* nonsense, once in a while */
		memset(buffer, 0xa5, n);
	} else {
		from = s->stream + s->cursor;
		n = n < s->stream_length - s->cursor ? n : s->stream_length - s->cursor;
	}
	o->result = s->data_fd < 0 ? -EBADF : s->sys->ops->write(s->sys, s->data_fd, from, n);
	if (o->result > 0 && from != buffer)
		s->cursor += (size_t)o->result;
}

/* The rest of the good state in one go: without it hardly any load would ever be complete. */
static void write_rest(struct subject *s, const struct call *c, struct outcome *o)
{
	(void)c;
	o->result = s->data_fd < 0 ? -EBADF : 0;
	while (o->result >= 0 && s->data_fd >= 0 && s->cursor < s->stream_length) {
		o->result = s->sys->ops->write(s->sys, s->data_fd, s->stream + s->cursor, s->stream_length - s->cursor);
		if (o->result <= 0)
			break;
		s->cursor += (size_t)o->result;
		o->value[0] += (uint64_t)o->result;
	}
}

static void read_rest(struct subject *s, const struct call *c, struct outcome *o)
{
	XXH3_state_t *hash = XXH3_createState();

	(void)c;
	XXH3_64bits_reset(hash);
	o->result = s->data_fd < 0 ? -EBADF : 1;
	for (int i = 0; o->result > 0 && i < 1000; i++) {
		o->result = s->sys->ops->read(s->sys, s->data_fd, buffer, BUFFER);
		if (o->result > 0) {
			o->value[0] += (uint64_t)o->result;
			XXH3_64bits_update(hash, buffer, (size_t)o->result);
		}
	}
	o->value[1] = XXH3_64bits_digest(hash);
	XXH3_freeState(hash);
}

static void precopy_info(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_precopy_info info = { .argsz = c->a % 6 ? sizeof(info) : 8, .flags = c->b % 4 ? 0 : 0x5a };

	o->result = s->data_fd < 0 ? -EBADF : s->sys->ops->ioctl(s->sys, s->data_fd, VFIO_MIG_GET_PRECOPY_INFO, &info);
	o->value[0] = info.initial_bytes;
	o->value[1] = info.dirty_bytes;
	o->value[2] = info.flags;
}

static void feature(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t ops[] = { VFIO_DEVICE_FEATURE_PROBE,
					VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET,
					VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET,
					VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
					0,
					VFIO_DEVICE_FEATURE_GET,
					1u << 20 | VFIO_DEVICE_FEATURE_PROBE };
	/* the features of migration, and numbers nobody has; others belong to the bus driver and act */
	static const uint32_t numbers[] = { 1, 2, 9, 1, 2, 9, 200, 0xffff };
	static const uint32_t extra[] = { 0, 4, 8, 16, 64 };
	const uint32_t op = ops[c->a % 7];
	uint64_t data[8] = { 0 };

	o->result = device_feature(s, op | numbers[c->b % 8], extra[(c->a / 7) % 5], data, sizeof(data));
	if (o->result == 0 && op == VFIO_DEVICE_FEATURE_GET)
		o->value[0] = data[0];
}

static void reset(struct subject *s, const struct call *c, struct outcome *o)
{
	(void)c;
	o->result = raw(s, VFIO_DEVICE_RESET, NULL);
}

static void close_data(struct subject *s, const struct call *c, struct outcome *o)
{
	(void)c;
	o->value[0] = s->data_fd >= 0;
	drop_data_fd(s);
}

static void region_info(struct subject *s, const struct call *c, struct outcome *o)
{
	union {
		struct vfio_region_info info;
		uint8_t room[256];
	} arg = { .info = { .argsz = c->b % 5 ? sizeof(arg) : 16, .index = c->a % 14 } };

	if (c->b % 5 == 1)
		arg.info.argsz = sizeof(arg.info);
	o->result = raw(s, VFIO_DEVICE_GET_REGION_INFO, &arg);
	if (o->result == 0) {
		o->value[0] = arg.info.size;
		/* the simulated registers cannot be mapped, vfiomig-sim(7) says so */
		o->value[1] = arg.info.flags & ~VFIO_REGION_INFO_FLAG_MMAP;
		o->value[2] = (uint64_t)arg.info.cap_offset << 32 | arg.info.argsz;
	}
}

static void irq_info(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_irq_info info = { .argsz = c->b % 8 ? sizeof(info) : 8, .index = c->a % 7 };

	o->result = raw(s, VFIO_DEVICE_GET_IRQ_INFO, &info);
	if (o->result == 0) {
		o->value[0] = info.count;
		o->value[1] = info.flags;
	}
}

static void device_info(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_device_info info = { .argsz = c->a % 3 ? sizeof(info) : c->b % 16 };

	o->result = raw(s, VFIO_DEVICE_GET_INFO, &info);
	if (o->result == 0) {
		o->value[0] = info.num_regions;
		o->value[1] = info.num_irqs;
		o->value[2] = info.flags;
	}
}

static void set_irqs(struct subject *s, const struct call *c, struct outcome *o)
{
	union {
		struct vfio_irq_set set;
		uint8_t room[64];
	} arg = { .set = { .argsz = sizeof(arg), .index = VFIO_PCI_MSI_IRQ_INDEX } };
	int32_t fd = s->eventfd;

	switch (c->a % 6) {
	case 0: /* arm */
		arg.set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
		arg.set.count = 1;
		memcpy(arg.set.data, &fd, sizeof(fd));
		break;
	case 1: /* disarm all */
		arg.set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
		break;
	case 2: /* past the last vector */
		arg.set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
		arg.set.start = 5;
		arg.set.count = 1;
		break;
	case 3: /* two kinds of data */
		arg.set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER;
		arg.set.count = 1;
		break;
	case 4: /* no such index */
		arg.set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
		arg.set.index = 9;
		break;
	default: /* too short */
		arg.set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
		arg.set.count = 1;
		arg.set.argsz = sizeof(arg.set);
	}
	o->result = raw(s, VFIO_DEVICE_SET_IRQS, &arg);
}

static void unknown_ioctl(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t numbers[] = { 90, 99, 0, 60 };
	uint8_t room[64] = { 64 };

	o->result = raw(s, VFIO_IOCTL(numbers[c->a % 4]), room);
}

static void rebind(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = vfm_iommu_fd(s->iommu) };
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };

	switch (c->a % 4) {
	case 0:
		o->result = raw(s, VFIO_DEVICE_BIND_IOMMUFD, &bind);
		break;
	case 1:
		o->result = raw(s, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
		break;
	case 2:
		attach.pt_id = vfm_iommu_ioas_id(s->iommu);
		o->result = raw(s, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
		break;
	default:
		attach.pt_id = 0xfffffff0;
		o->result = raw(s, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	}
}

static void reopen(struct subject *s, const struct call *c, struct outcome *o)
{
	(void)c;
	drop_data_fd(s);
	/* mtty (6.12) drops its data file at close and keeps RESUMING: the next SET would follow a null pointer */
	if (!s->is_edu)
		o->value[0] = (uint64_t)(int64_t)raw(s, VFIO_DEVICE_RESET, NULL);
	subject_close(s);
	o->result = subject_open(s);
}

static int contents_region(struct subject *s, uint32_t subtype, uint32_t *ret)
{
	for (uint32_t i = 9; i < 11; i++) {
		struct vfm_region region = { .size = sizeof(region) };

		if (!vfm_device_region(s->dev, i, &region, NULL) && region.subtype == subtype) {
			*ret = i;
			return 0;
		}
	}
	return -ENODEV;
}

static void contents(struct subject *s, const struct call *c, struct outcome *o)
{
	uint64_t at = (uint64_t)(c->b % 60000);
	uint32_t index;

	if (!s->is_edu || contents_region(s, VFIOMIG_EDU_REGION_CONTENTS, &index))
		return;
	memset(buffer, (int)c->b, 512);
	if (c->a % 2)
		o->result = vfm_device_region_write(s->dev, index, at, buffer, 1 + c->a % 500, NULL);
	else
		o->result = vfm_device_region_read(s->dev, index, at, buffer, 1 + c->a % 500, NULL);
	o->value[0] = XXH3_64bits(buffer, 1 + c->a % 500);
}

static void control(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t regs[] = { VFIOMIG_EDU_CONTENTS_BYTES, VFIOMIG_EDU_BLOCK_BYTES, VFIOMIG_EDU_DIRTY_BLOCKS,
					 VFIOMIG_EDU_MIG_STATE,	     VFIOMIG_EDU_PUMP_LENGTH, VFIOMIG_EDU_PUMP_SLOTS };
	uint64_t value = c->b % 3000;
	uint32_t index;

	if (!s->is_edu || contents_region(s, VFIOMIG_EDU_REGION_CONTROL, &index))
		return;
	if (c->a % 3 == 0)
		o->result = vfm_device_region_write(s->dev, index, regs[4 + c->a % 2], &value, 8, NULL);
	else
		o->result = vfm_device_region_read(s->dev, index, regs[c->a % 6], &value, 8, NULL);
	o->value[0] = value;
}

static void registers(struct subject *s, const struct call *c, struct outcome *o)
{
	uint32_t value = c->b;

	if (!s->is_edu)
		return;
	if (c->a % 2)
		o->result = vfm_device_region_write(s->dev, 0, 4, &value, 4, NULL);
	else
		o->result = vfm_device_region_read(s->dev, 0, c->a % 4 ? 4 : 0, &value, 4, NULL);
	o->value[0] = value;
}

/* Every feature there is a number for, asked and not used; but for 12, which no simulated machine has. */
static void probe(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t ops[] = { 0, VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET,
					VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET };
	static const uint32_t numbers[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 201, 13, 14, 15 };
	uint64_t data[8] = { 0 };

	o->result = device_feature(s, VFIO_DEVICE_FEATURE_PROBE | ops[c->a % 4] | numbers[c->b % 16], sizeof(data),
				   data, sizeof(data));
}

/* With an eventfd that wakes only where it is refused: when the kernel lets the device sleep is its own affair. */
static void power(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_device_low_power_entry_with_wakeup entry = { .wakeup_eventfd = c->b % 2 ? -1 : s->eventfd };

	if (c->a % 3 == 0)
		o->result =
			device_feature(s, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, 0, &entry, 0);
	else if (c->a % 3 == 1)
		o->result = device_feature(s, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
					   c->b % 2 ? sizeof(entry) : 4, &entry, sizeof(entry));
	else
		o->result =
			device_feature(s, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, 0, &entry, 0);
}

static void hot_reset_info(struct subject *s, const struct call *c, struct outcome *o)
{
	union {
		struct vfio_pci_hot_reset_info info;
		uint32_t room[64];
	} arg = { .info = { .argsz = c->a % 4 ? sizeof(arg) : c->b % 24 } };

	o->result = raw(s, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg);
	o->value[0] = (uint64_t)arg.info.count << 32 | arg.info.flags;
	if (o->result == 0 && arg.info.count)
		o->value[1] = arg.info.devices[0].group_id;
}

static void hot_reset(struct subject *s, const struct call *c, struct outcome *o)
{
	union {
		struct vfio_pci_hot_reset reset;
		int32_t room[8];
	} arg = { .reset = { .argsz = sizeof(arg), .flags = c->a % 8 == 0 } };

	if (c->a % 8 == 1)
		arg.reset.argsz = 8;
	if (c->a % 8 == 2)
		arg.reset.count = 1; /* of what is no group */
	o->result = raw(s, VFIO_DEVICE_PCI_HOT_RESET, &arg);
}

static const struct move moves[] = {
	{ "set-state", 30, set_state },	 { "read", 10, read_data },
	{ "write", 8, write_data },	 { "write-rest", 6, write_rest },
	{ "read-rest", 6, read_rest },	 { "precopy-info", 8, precopy_info },
	{ "feature", 8, feature },	 { "reset", 3, reset },
	{ "close-data", 2, close_data }, { "region-info", 3, region_info },
	{ "irq-info", 2, irq_info },	 { "device-info", 2, device_info },
	{ "set-irqs", 3, set_irqs },	 { "unknown-ioctl", 1, unknown_ioctl },
	{ "rebind", 2, rebind },	 { "reopen", 1, reopen },
	{ "contents", 8, contents },	 { "control", 4, control },
	{ "registers", 4, registers },	 { "probe", 4, probe },
	{ "power", 3, power },		 { "hot-reset-info", 2, hot_reset_info },
	{ "hot-reset", 1, hot_reset },	 { "log-start", 4, log_start },
	{ "log-stop", 2, log_stop },	 { "log-report", 4, log_report },
	{ "log-ops", 2, log_ops },
};

const struct world world_device = {
	.name = "device",
	.one_device = true,
	.recorded = true,
	.moves = moves,
	.count = VFMI_ARRAY_SIZE(moves),
};
