/* SPDX-License-Identifier: MIT */
/*
 * A device's own log of what it writes, VFIO_DEVICE_FEATURE_DMA_LOGGING_*: what the core checks (vfio_main.c, Linux
 * 6.12), and behind it the drivers. Those that do not exist as drivers behave as tests/kmod's software device does with
 * log_align=1: it answers for whole pages of what it was told to log.
 */
#include <stdlib.h>

#include "pages.h"
#include "uapi/vfio.h"

#define LEAST_SHIFT 12u
#define PLAIN_SHIFT 21u /* largest page of the software device */
/* What the firmware says it can; these are numbers of this machine, no two adapters have the same. */
#define MLX5_SHIFT 20u
#define MLX5_RANGES 8u
#define MLX5_LEAST_SPACE 12u
#define MLX5_MOST_SPACE 42u

static uint32_t log2_of(uint64_t value)
{
	return 63u - (uint32_t)__builtin_clzll(value);
}

static struct sim_pages *log_of(const struct vfm_sim *sim, const struct sim_device *dev)
{
	return vfmi_sim_pages(sim, SIM_PAGES_LOG, vfmi_sim_index(sim, dev));
}

static struct sim_pages *logged_of(const struct vfm_sim *sim, const struct sim_device *dev)
{
	return vfmi_sim_pages(sim, SIM_PAGES_LOGGED, vfmi_sim_index(sim, dev));
}

/* starting */

static int by_address(const void *a, const void *b)
{
	const struct sim_window *left = a, *right = b;

	return (left->first > right->first) - (left->first < right->first);
}

/* vfio_combine_iova_ranges(): the smallest gaps go, the lowest of those that are equal. */
static void combine(struct sim_window *list, uint32_t *count, uint32_t most)
{
	uint32_t i, best;

	while (*count > most) {
		for (best = 0, i = 1; i + 1 < *count; i++)
			if (list[i + 1].first - list[i].last < list[best + 1].first - list[best].last)
				best = i;
		list[best].last = list[best + 1].last;
		memmove(&list[best + 1], &list[best + 2], (*count - best - 2) * sizeof(*list));
		(*count)--;
	}
}

/* The room for all ranges together, rounded up to a power of two, is what it can or cannot. */
static int mlx5_start(struct sim_window *list, uint32_t *count, uint32_t *ret_shift)
{
	uint64_t total = 0;
	uint32_t i, space;

	*ret_shift = *ret_shift < LEAST_SHIFT ? LEAST_SHIFT : *ret_shift;
	*ret_shift = *ret_shift > MLX5_SHIFT ? MLX5_SHIFT : *ret_shift;
	combine(list, count, MLX5_RANGES);
	for (i = 0; i < *count; i++)
		if (vfmi_add_overflows(total, list[i].last - list[i].first + 1, &total))
			return -EOPNOTSUPP;
	space = total <= 1 ? 0 : log2_of(total - 1) + 1;
	return space < MLX5_LEAST_SPACE || space > MLX5_MOST_SPACE ? -EOPNOTSUPP : 0;
}

static int pds_start(struct sim_window *list, uint32_t *count, uint64_t page_size)
{
	combine(list, count, 1);
	return page_size & (page_size - 1) || page_size < 1u << LEAST_SHIFT ? -EINVAL : 0;
}

static void plain_start(uint64_t page_size, uint32_t *shift)
{
	if (page_size & (page_size - 1) || *shift < LEAST_SHIFT)
		*shift = LEAST_SHIFT;
	else if (*shift > PLAIN_SHIFT)
		*shift = PLAIN_SHIFT;
}

static int driver_start(struct vfm_sim *sim, struct sim_device *dev, struct sim_window *list, uint32_t count,
			uint64_t *page_size)
{
	uint32_t i, shift = *page_size ? log2_of(*page_size) : 0;
	int r = 0;

	if (dev->log_shift)
		return -EINVAL;
	qsort(list, count, sizeof(*list), by_address);
	if (vfmi_sim_profile(dev)->log == SIM_LOG_MLX5)
		r = mlx5_start(list, &count, &shift);
	else if (vfmi_sim_profile(dev)->log == SIM_LOG_PDS)
		r = pds_start(list, &count, *page_size);
	else
		plain_start(*page_size, &shift);
	if (r)
		return r;
	vfmi_sim_pages_clear(sim, log_of(sim, dev));
	vfmi_sim_pages_clear(sim, logged_of(sim, dev));
	for (i = 0; i < count; i++)
		if (list[i].first <= list[i].last)
			vfmi_sim_pages_add(sim, logged_of(sim, dev), list[i].first, list[i].last);
	__atomic_store_n(&dev->log_shift, shift, __ATOMIC_RELEASE);
	*page_size = 1ull << shift;
	return 0;
}

static bool overlaps(const struct sim_window *list, uint32_t count, const struct sim_window *range)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (list[i].first <= range->last && range->first <= list[i].last)
			return true;
	return false;
}

static int read_ranges(struct vfm_sim *sim, const struct sim_device *dev,
		       const struct vfio_device_feature_dma_logging_control *control, struct sim_window *list)
{
	struct vfio_device_feature_dma_logging_range range;
	uint64_t end;
	uint32_t i;

	for (i = 0; i < control->num_ranges; i++) {
		if (!vfmi_sim_memory((uint32_t)sim->pid, control->ranges + i * sizeof(range), &range, sizeof(range),
				     false))
			return -EFAULT;
		if ((range.iova | range.length) & (control->page_size - 1))
			return -EINVAL;
		if (vfmi_add_overflows(range.iova, range.length, &end))
			return -EOVERFLOW;
		list[i] = (struct sim_window){ range.iova, end - 1 };
		if (overlaps(list, i, &list[i]))
			return -EINVAL;
		if (!range.length) {
			/* The core lets it pass, and what firmware makes of it is anybody's guess. */
			vfmi_sim_strict(sim, "DMA logging of a range without length");
			if (vfmi_sim_profile(dev)->log > SIM_LOG_STUB)
				return -EINVAL;
		}
	}
	return 0;
}

static int log_start(struct vfm_sim *sim, struct sim_device *dev, struct vfio_device_feature_dma_logging_control *cmd)
{
	struct sim_window *list;
	int r;

	if (!cmd->num_ranges)
		return -EINVAL;
	if (cmd->num_ranges > sim->machine->page_size / sizeof(struct vfio_device_feature_dma_logging_range))
		return -E2BIG;
	list = calloc(cmd->num_ranges, sizeof(*list));
	if (!list)
		return -ENOMEM;
	r = read_ranges(sim, dev, cmd, list);
	if (!r && vfmi_sim_profile(dev)->log != SIM_LOG_STUB)
		r = driver_start(sim, dev, list, cmd->num_ranges, &cmd->page_size);
	free(list);
	return r;
}

/* reporting */

/*
 * pds reads whole words of its own bitmap, from where the asked range begins in it, rounded up to a byte: what it
 * reads beside that range it forgets. A range that fills no word of the region's bitmap is refused.
 */
static int pds_report(struct vfm_sim *sim, struct sim_device *dev, const struct sim_window *region,
		      const struct sim_bits *bits)
{
	const uint64_t pages = bits->length >> dev->log_shift, skipped = (bits->iova - region->first) >> dev->log_shift;
	const uint64_t bytes = ((pages + 7) / 8 + 7) / 8 * 8;
	const uint64_t from = region->first + (((skipped + 7) / 8 * 8) << dev->log_shift);
	uint64_t last;

	if (bits->length & ((1ull << dev->log_shift) - 1) && !(pages % 64))
		return -EINVAL;
	if (bytes > (region->last - region->first + 1) >> dev->log_shift >> 3)
		return -EINVAL;
	if (vfmi_add_overflows(from, (bytes * 8 << dev->log_shift) - 1, &last) || last > region->last)
		last = region->last;
	if (from <= last)
		vfmi_sim_pages_tell(sim, log_of(sim, dev), from, last, bits, false);
	return 0;
}

static int driver_report(struct vfm_sim *sim, struct sim_device *dev, const struct sim_bits *bits)
{
	const uint64_t last = bits->iova + (bits->length - 1);
	struct sim_window part;

	if (vfmi_sim_profile(dev)->log == SIM_LOG_STUB)
		return 0;
	if (!dev->log_shift || !bits->length)
		return -EINVAL;
	/* None answers for what it was not told to log. */
	if (!vfmi_sim_pages_next(logged_of(sim, dev), bits->iova, last, &part) || part.first != bits->iova ||
	    part.last != last)
		return -EINVAL;
	if (vfmi_sim_profile(dev)->log == SIM_LOG_PLAIN && (bits->iova | bits->length) & ((1u << LEAST_SHIFT) - 1))
		return -EINVAL;
	if (vfmi_sim_profile(dev)->log == SIM_LOG_PDS) {
		vfmi_sim_pages_next(logged_of(sim, dev), 0, UINT64_MAX, &part);
		return pds_report(sim, dev, &part, bits);
	}
	/* Bits that cannot be written are lost, and that is no error. */
	vfmi_sim_pages_tell(sim, log_of(sim, dev), bits->iova, last, bits, false);
	/* A page of the log that is told in part is forgotten as a whole: there is one bit for it. */
	if (vfmi_sim_profile(dev)->log == SIM_LOG_PLAIN)
		vfmi_sim_pages_remove(sim, log_of(sim, dev), bits->iova & ~((1ull << dev->log_shift) - 1),
				      last | ((1ull << dev->log_shift) - 1));
	return 0;
}

static int log_report(struct vfm_sim *sim, struct sim_device *dev,
		      const struct vfio_device_feature_dma_logging_report *cmd)
{
	struct sim_bits bits = { .iova = cmd->iova, .length = cmd->length, .data = cmd->bitmap };
	uint64_t end;

	if (cmd->page_size < 1u << LEAST_SHIFT || cmd->page_size & (cmd->page_size - 1))
		return -EINVAL;
	if (vfmi_add_overflows(cmd->iova, cmd->length, &end))
		return -EOVERFLOW;
	bits.shift = log2_of(cmd->page_size);
	return driver_report(sim, dev, &bits);
}

static bool has_log(const struct vfm_sim *sim, const struct sim_device *dev)
{
	if (sim->machine->host.kernel < SIM_KERNEL(6, 1))
		return false;
	return vfmi_sim_profile(dev)->log == SIM_LOG_STUB || (dev->flags & SIM_DEVICE_LOG);
}

int vfmi_sim_log_feature(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_device_feature *feature,
			 void *data)
{
	const uint32_t number = feature->flags & VFIO_DEVICE_FEATURE_MASK;
	struct vfio_device_feature_dma_logging_control control;
	struct vfio_device_feature_dma_logging_report report;
	int r;

	if (!has_log(sim, dev))
		return -ENOTTY;
	if (number == VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT) {
		r = vfmi_sim_feature_op(feature, VFIO_DEVICE_FEATURE_GET, sizeof(report));
		if (r != 1)
			return r;
		memcpy(&report, data, sizeof(report));
		return log_report(sim, dev, &report);
	}
	if (number == VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP) {
		r = vfmi_sim_feature_op(feature, VFIO_DEVICE_FEATURE_SET, 0);
		if (r == 1)
			dev->log_shift = 0;
		return r < 0 ? r : 0;
	}
	r = vfmi_sim_feature_op(feature, VFIO_DEVICE_FEATURE_SET, sizeof(control));
	if (r != 1)
		return r;
	memcpy(&control, data, sizeof(control));
	r = log_start(sim, dev, &control);
	if (!r)
		memcpy(data, &control, sizeof(control));
	return r;
}
