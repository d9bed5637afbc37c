// SPDX-License-Identifier: MIT
/* A device's own log of what it writes: started, reported and stopped with right and wrong arguments. */
#include "diff.h"

#define PAGE 4096u
#define MOST_RANGES 260u	/* more than the kernel takes */
#define MOST_BYTES (1ull << 28) /* of one report: what the bitmap has room for */
#define BITMAP (MOST_BYTES / PAGE / 8)

static uint64_t bitmap[BITMAP / 8 + 1];

/* Ranges of @unit, far enough from each other that two never touch: where that is to be one log drivers differ. */
static struct vfio_device_feature_dma_logging_range range_of(uint64_t unit, uint32_t place, uint32_t draw)
{
	return (struct vfio_device_feature_dma_logging_range){ .iova = place * 32 * unit,
							       .length = (1 + draw % 16) * unit };
}

/* A page size, and what ranges are made of that suits it. */
static uint64_t page_size_of(uint32_t draw, uint64_t *ret_unit)
{
	static const uint64_t sizes[] = {
		PAGE, 2 * PAGE, 65536, 1u << 21, 1u << 30, 65536, 2 * PAGE, PAGE,
		2048, 0,	1,     4097,	 12288,	   512,	  PAGE,	    UINT64_C(1) << 63
	};
	const uint64_t size = draw % 4 ? sizes[draw / 4 % 8] : sizes[draw / 4 % 16];

	*ret_unit = size > PAGE && size <= 1u << 30 ? size : PAGE;
	return size;
}

/* What makes a list wrong. */
static void spoil(struct vfio_device_feature_dma_logging_range *list, uint32_t count, uint32_t draw)
{
	struct vfio_device_feature_dma_logging_range *one = &list[draw / 64 % count];

	switch (draw % 48) {
	case 0:
		one->iova += 512;
		break;
	case 1:
		one->length -= 1;
		break;
	case 2: /* over the end */
		one->iova = UINT64_MAX & ~(uint64_t)((1u << 30) - 1);
		one->length = 1u << 30;
		break;
	case 3: /* alone: inserted upside down it is met by others or not, as their tree is built */
		one->length = count == 1 ? 0 : one->length;
		break;
	case 4: /* the very last that can be */
		one->iova = UINT64_MAX - 2 * (uint64_t)(1u << 30) + 1;
		one->length = 1u << 30;
		break;
	case 5:
		*one = list[0];
		break;
	case 6: /* all that can be */
		one->iova = 0;
		one->length = UINT64_MAX & ~(uint64_t)((1u << 30) - 1);
		break;
	default:
		break;
	}
}

void log_start(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t counts[] = { 1, 1, 2, 3, 4, 8, 256, 1, 1, 2, 3, 4, 8, 1, 0, 257 };
	struct vfio_device_feature_dma_logging_range list[MOST_RANGES];
	struct vfio_device_feature_dma_logging_control cmd = { .num_ranges = c->a % 4 ? counts[c->a / 4 % 8]
										      : counts[c->a / 4 % 16],
							       .reserved = c->a / 64 % 16 == 0 };
	uint64_t unit;

	cmd.page_size = page_size_of(c->a / 1024, &unit);
	/* In an order of their own, as many as there may be. */
	for (uint32_t i = 0; i < MOST_RANGES; i++)
		list[i] = range_of(unit, i ^ c->b % 8, c->b >> i % 16);
	if (cmd.num_ranges)
		spoil(list, cmd.num_ranges, c->b / 65536);
	cmd.ranges = c->a / 65536 % 64 ? (uintptr_t)list : 0;
	o->result = device_feature(s, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, sizeof(cmd),
				   &cmd, sizeof(cmd));
	o->value[0] = cmd.page_size;
	o->value[1] = cmd.num_ranges;
	if (o->result)
		return;
	s->logged_count = cmd.num_ranges < VFMI_ARRAY_SIZE(s->logged) ? cmd.num_ranges : VFMI_ARRAY_SIZE(s->logged);
	for (uint32_t i = 0; i < s->logged_count; i++)
		s->logged[i] = list[i];
}

void log_stop(struct subject *s, const struct call *c, struct outcome *o)
{
	uint64_t nothing = 0;

	(void)c;
	o->result = device_feature(s, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, 0, &nothing, 0);
}

/* Some of what is logged. */
static void logged_part(const struct subject *s, uint32_t draw, uint64_t *ret_iova, uint64_t *ret_length)
{
	const struct vfio_device_feature_dma_logging_range *range = &s->logged[draw % s->logged_count];
	uint64_t pages = range->length / PAGE, from;

	if (!pages)
		return;
	pages = pages < MOST_BYTES / PAGE ? pages : MOST_BYTES / PAGE;
	from = draw / 16 % 4 ? draw / 64 % pages : 0;
	*ret_iova = range->iova + from * PAGE;
	*ret_length = (draw / 16 % 2 ? 1 + draw / 4096 % (pages - from) : pages - from) * PAGE;
}

void log_report(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint64_t sizes[] = { PAGE,	    PAGE, PAGE, PAGE, PAGE, 2 * PAGE, 65536, PAGE,
					  1u << 21, PAGE, PAGE, PAGE, 2048, 12288,    0,     UINT64_C(1) << 63 };
	struct vfio_device_feature_dma_logging_range any = range_of(PAGE, c->b / 64 % 8, c->b / 512);
	struct vfio_device_feature_dma_logging_report cmd = {
		.iova = any.iova, .length = any.length, .page_size = sizes[c->a % 16], .bitmap = (uintptr_t)bitmap
	};

	if (s->logged_count && c->a / 16 % 8)
		logged_part(s, c->b, &cmd.iova, &cmd.length);
	switch (c->a / 128 % 32) {
	case 0:
		cmd.iova += 512;
		break;
	case 1:
		cmd.length -= 1;
		break;
	case 2:
		cmd.length = 0;
		break;
	case 3:
		cmd.length = UINT64_MAX - cmd.iova + 1 + c->b % 2;
		break;
	case 4: /* over its end */
		cmd.length += PAGE;
		break;
	default:
		break;
	}
	memset(bitmap, 0, sizeof(bitmap));
	o->result = device_feature(s, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, sizeof(cmd),
				   &cmd, sizeof(cmd));
	o->value[0] = bitmap[0];
	o->value[1] = hash_of(bitmap, sizeof(bitmap));
	o->value[2] = cmd.page_size;
}

/* The three of them with operations and sizes of another. A list of no range keeps this from starting any. */
void log_ops(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t ops[] = { 0,
					VFIO_DEVICE_FEATURE_GET,
					VFIO_DEVICE_FEATURE_SET,
					VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
					VFIO_DEVICE_FEATURE_PROBE,
					VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET,
					VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET,
					VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET };
	static const uint32_t extra[] = { 0, 8, 16, 23, 24, 31, 32, (uint32_t)-4 };
	uint64_t data[8] = { 0 };

	o->result = device_feature(s, ops[c->a % 8] | (VFIO_DEVICE_FEATURE_DMA_LOGGING_START + c->b % 3),
				   extra[c->b / 4 % 8], data, sizeof(data));
	o->value[0] = hash_of(data, sizeof(data));
}

static void write_one(struct subject *s, const struct call *c, struct outcome *o)
{
	uint64_t iova = c->a % LOGGING_MEMORY, length = PAGE;
	uint32_t state;

	if (s->logged_count && c->b % 4)
		logged_part(s, c->a, &iova, &length);
	iova += c->b / 4 % PAGE;
	length = 1 + c->b / 16384 % PAGE;
	if (vfm_device_get_state(s->dev, &state, NULL) || state != VFM_STATE_RUNNING || iova > LOGGING_MEMORY - length)
		return;
	dma_write(s, 0, vfm_device_fd(s->dev), iova, (uint32_t)length);
	o->value[0] = iova;
}

/* No arcs of a session: what they do is for the world of a device. */
static void set_state(struct subject *s, const struct call *c, struct outcome *o)
{
	static const uint32_t states[] = { VFM_STATE_RUNNING, VFM_STATE_STOP, VFM_STATE_RUNNING,
					   VFM_STATE_RUNNING_P2P };
	struct vfio_device_feature_mig_state mig = { .device_state = states[c->a % 4], .data_fd = -1 };

	o->result = device_feature(s, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, sizeof(mig), &mig,
				   sizeof(mig));
}

/* The log ends with it. */
static void reset(struct subject *s, const struct call *c, struct outcome *o)
{
	(void)c;
	o->result = s->sys->ops->ioctl(s->sys, vfm_device_fd(s->dev), VFIO_DEVICE_RESET, NULL);
}

static const struct move moves[] = {
	{ "log-start", 16, log_start }, { "log-stop", 6, log_stop }, { "log-report", 30, log_report },
	{ "log-ops", 5, log_ops },	{ "write", 30, write_one },  { "set-state", 3, set_state },
	{ "reset", 1, reset },
};

const struct world world_logging = {
	.name = "logging",
	.one_device = true,
	.moves = moves,
	.count = VFMI_ARRAY_SIZE(moves),
};
