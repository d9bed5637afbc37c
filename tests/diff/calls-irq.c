// SPDX-License-Identifier: MIT
/* Interrupts of one device: every index, action and kind of data, legal mostly, with what eventfds counted; ioeventfds.
 */
#include <unistd.h>

#include "diff.h"

#define DATA_KINDS 3u

static int device_ioctl(struct subject *s, unsigned long request, void *arg)
{
	return s->sys->ops->ioctl(s->sys, vfm_device_fd(s->dev), request, arg);
}

/* What has been signalled since the last look. */
static uint64_t drain(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}

/* An eventfd mostly; none, a number that says nothing, a file that is no eventfd. */
static int32_t some_fd(const struct subject *s, int eventfd, uint32_t draw)
{
	switch (draw % 16) {
	case 0:
	case 1:
	case 2:
		return -1;
	case 3:
		return -5;
	case 4:
		return vfm_iommu_fd(s->iommu);
	default:
		return eventfd;
	}
}

static uint32_t some_flags(uint32_t draw)
{
	static const uint32_t data[] = { VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_IRQ_SET_DATA_BOOL };
	static const uint32_t actions[] = {
		VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_ACTION_MASK,    VFIO_IRQ_SET_ACTION_UNMASK,
		VFIO_IRQ_SET_ACTION_UNMASK,  VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_TRIGGER,
	};
	uint32_t flags = data[draw % DATA_KINDS] | actions[draw / 3 % 8];

	if (draw / 24 % 64 == 0)
		flags &= draw / 1536 % 2 ? VFIO_IRQ_SET_DATA_NONE : ~VFIO_IRQ_SET_DATA_EVENTFD;
	return draw / 24 % 64 == 1 ? flags | 1u << 10 : flags;
}

/* INTx and MSI more often than what few devices have, and what none has. */
static uint32_t some_index(uint32_t draw)
{
	static const uint32_t indexes[] = { 0, 0, 0, 1, 1, 1, 4, 4, 2, 3, 5, 9 };

	return indexes[draw % VFMI_ARRAY_SIZE(indexes)];
}

static void set_irqs(struct subject *s, const struct call *c, struct outcome *o)
{
	union {
		struct vfio_irq_set set;
		uint8_t room[64];
	} arg = { .set = { .argsz = sizeof(arg),
			   .flags = some_flags(c->a),
			   .index = some_index(c->b),
			   .start = c->b / 12 % 16 == 0 ? c->b / 192 % 3 : 0,
			   .count = c->b / 576 % 8 ? 1 : c->b / 4608 % 4 } };
	/* Who unmasks INTx listens to an eventfd that nobody signals: when the kernel hears it is its own affair. */
	const int eventfd = arg.set.flags & VFIO_IRQ_SET_ACTION_UNMASK ? s->listened : s->eventfd;
	int32_t fds[4];

	if (c->b / 18432 % 32 == 0)
		arg.set.argsz = c->b / 589824 % 2 ? sizeof(arg.set) : 8;
	for (uint32_t i = 0; i < VFMI_ARRAY_SIZE(fds); i++)
		fds[i] = some_fd(s, eventfd, c->a / 4096 + i);
	if (arg.set.flags & VFIO_IRQ_SET_DATA_EVENTFD)
		memcpy(arg.set.data, fds, sizeof(fds));
	else
		memset(arg.set.data, c->a / 4096 % 2, sizeof(fds));
	o->result = device_ioctl(s, VFIO_DEVICE_SET_IRQS, &arg);
	o->value[0] = drain(s->eventfd);
}

static void irq_info(struct subject *s, const struct call *c, struct outcome *o)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = some_index(c->a) };

	o->result = device_ioctl(s, VFIO_DEVICE_GET_IRQ_INFO, &info);
	o->value[0] = o->result ? 0 : (uint64_t)info.count << 32 | info.flags;
}

/* Kept apart from interrupts, or one of these would write to the device whenever it is taken. */
static void ioeventfd(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t widths[] = { 4, 4, 2, 1, 8, 4, 3, 0, 16 };
	static const uint64_t places[] = { 4, 8, 0xffffc, 0xffffe, 0x100000, 6, 0, 5 };
	const uint64_t region = c->a / 9 % 16 ? 0 : 1 + c->a / 144 % 9;
	struct vfio_device_ioeventfd arg = {
		.argsz = c->b % 32 ? sizeof(arg) : 24,
		.flags = widths[c->a % 9],
		.offset = region << 40 | places[c->b / 32 % 8],
		.data = c->b / 256 % 2,
		.fd = some_fd(s, s->listened, c->a / 1296),
	};

	o->result = device_ioctl(s, VFIO_DEVICE_IOEVENTFD, &arg);
}

/* Whether a line may be asserted, and what memory decode and bus master are, matters to some of it. */
static void command(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint16_t values[] = { 0x406, 0x006, 0x402, 0x006, 0x000, 0x404 };
	uint16_t value = values[c->a % 6];

	if (!s->is_edu)
		return;
	if (c->b % 2)
		o->result = vfm_device_region_write(s->dev, VFM_REGION_CONFIG, 4, &value, sizeof(value), NULL);
	else
		o->result = vfm_device_region_read(s->dev, VFM_REGION_CONFIG, 4, &value, sizeof(value), NULL);
	o->value[0] = value & 0x406;
}

static void reset(struct subject *s, const struct call *c, struct outcome *o)
{
	(void)c;
	o->result = device_ioctl(s, VFIO_DEVICE_RESET, NULL);
}

static void reopen(struct subject *s, const struct call *c, struct outcome *o)
{
	(void)c;
	subject_close(s);
	o->result = subject_open(s);
}

static const struct move moves[] = {
	{ "set-irqs", 40, set_irqs }, { "irq-info", 4, irq_info }, { "ioeventfd", 12, ioeventfd },
	{ "command", 6, command },    { "reset", 2, reset },	   { "reopen", 1, reopen },
};

const struct world world_interrupts = {
	.name = "interrupts",
	.one_device = true,
	.moves = moves,
	.count = VFMI_ARRAY_SIZE(moves),
};
