// SPDX-License-Identifier: GPL-2.0-only
/* DMA logging: what the device itself remembers of its writes. */

#include <linux/interval_tree.h>
#include <linux/iova_bitmap.h>
#include <linux/log2.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "soft.h"

void soft_log_forget(struct soft_device *sdev)
{
	struct soft_log *log = &sdev->log;

	xa_destroy(&log->dirty);
	kvfree(log->ranges);
	log->ranges = NULL;
	log->count = 0;
	log->pages = 0;
	log->on = false;
	log->lost = false;
}

void soft_log_reset(struct soft_device *sdev)
{
	struct soft_log *log = &sdev->log;

	switch (knob(sdev, log_reset)) {
	case 0:
		soft_log_forget(sdev);
		break;
	case 1:
		xa_destroy(&log->dirty);
		log->pages = 0;
		log->lost = false;
		break;
	default:
		break;
	}
}

static bool soft_logged(const struct soft_log *log, u64 first, u64 last)
{
	for (u32 i = 0; i < log->count; i++)
		if (first <= log->ranges[i].last && last >= log->ranges[i].first)
			return true;
	return false;
}

/* Within one page. */
void soft_log_note(struct soft_device *sdev, u64 iova, u64 length)
{
	struct soft_log *log = &sdev->log;
	unsigned long granule = iova >> log->shift;
	void *old;

	if (!log->on || !soft_logged(log, iova, iova + length - 1))
		return;
	if (xa_load(&log->dirty, granule))
		return;
	old = xa_store(&log->dirty, granule, xa_mk_value(1), GFP_KERNEL);
	if (xa_is_err(old))
		log->lost = true;
	else
		log->pages++;
}

static int soft_log_check(struct soft_device *sdev, struct rb_root_cached *tree, u32 *count)
{
	u64 max_ranges = knob(sdev, log_max_ranges);
	u64 max_bytes = knob(sdev, log_max_bytes);
	struct interval_tree_node *node;
	u64 bytes = 0;

	if (hit(sdev, log_start_fail))
		return error(sdev, log_errno);
	if (sdev->log.on && !knob(sdev, log_again))
		return -EINVAL;
	if (max_ranges && *count > max_ranges) {
		if (!knob(sdev, log_merge))
			return -EOPNOTSUPP;
		vfio_combine_iova_ranges(tree, *count, max_ranges);
		*count = max_ranges;
	}
	for (node = interval_tree_iter_first(tree, 0, ULONG_MAX); node;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX))
		bytes += node->last - node->start + 1;
	return max_bytes && bytes > max_bytes ? -EOPNOTSUPP : 0;
}

static u64 soft_log_page(struct soft_device *sdev, u64 asked)
{
	u64 page = knob(sdev, log_page);

	if (page >= SZ_4K && page <= SZ_1G && is_power_of_2(page))
		return page;
	return is_power_of_2(asked) ? clamp_t(u64, asked, SZ_4K, SZ_2M) : SZ_4K;
}

static int soft_log_begin(struct soft_device *sdev, struct rb_root_cached *tree, u32 count,
			  u64 *page_size)
{
	struct soft_log *log = &sdev->log;
	struct interval_tree_node *node;
	struct soft_range *ranges;
	int ret;

	ret = soft_log_check(sdev, tree, &count);
	if (ret)
		return ret;
	ranges = kvcalloc(count, sizeof(*ranges), GFP_KERNEL_ACCOUNT);
	if (!ranges)
		return -ENOMEM;
	soft_log_forget(sdev);
	log->ranges = ranges;
	for (node = interval_tree_iter_first(tree, 0, ULONG_MAX); node && log->count < count;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX))
		log->ranges[log->count++] = (struct soft_range){ node->start, node->last };
	*page_size = soft_log_page(sdev, *page_size);
	log->shift = ilog2(*page_size);
	log->on = true;
	return 0;
}

static int soft_log_start(struct vfio_device *vdev, struct rb_root_cached *tree, u32 count,
			  u64 *page_size)
{
	struct soft_device *sdev = to_soft(vdev);
	int ret;

	mutex_lock(&sdev->lock);
	ret = soft_log_begin(sdev, tree, count, page_size);
	mutex_unlock(&sdev->lock);
	return ret;
}

static int soft_log_stop(struct vfio_device *vdev)
{
	struct soft_device *sdev = to_soft(vdev);

	mutex_lock(&sdev->lock);
	soft_log_forget(sdev);
	mutex_unlock(&sdev->lock);
	return 0;
}

/* A device that answers only for aligned pieces of what it was told to log. */
static bool soft_log_answers(struct soft_device *sdev, u64 iova, u64 length)
{
	u64 align = knob(sdev, log_align) << PAGE_SHIFT;
	struct soft_log *log = &sdev->log;

	if (!align)
		return true;
	if (iova % align || length % align)
		return false;
	for (u32 i = 0; i < log->count; i++)
		if (iova >= log->ranges[i].first && iova + length - 1 <= log->ranges[i].last)
			return true;
	return false;
}

/* True if the page is to be reported now. */
static bool soft_log_take(struct soft_device *sdev, unsigned long granule)
{
	struct soft_log *log = &sdev->log;

	if (knob(sdev, dirty_late) && !xa_get_mark(&log->dirty, granule, XA_MARK_0)) {
		xa_set_mark(&log->dirty, granule, XA_MARK_0);
		return false;
	}
	xa_erase(&log->dirty, granule);
	log->pages--;
	return true;
}

static void soft_log_collect(struct soft_device *sdev, u64 iova, u64 length,
			     struct iova_bitmap *dirty)
{
	struct soft_log *log = &sdev->log;
	u64 last = iova + length - 1;
	unsigned long granule;
	u64 from, to;
	void *entry;

	if (hit(sdev, dirty_all))
		iova_bitmap_set(dirty, iova, length);
	xa_for_each_range(&log->dirty, granule, entry, iova >> log->shift, last >> log->shift)
	{
		if (!soft_log_take(sdev, granule))
			continue;
		from = max(iova, (u64)granule << log->shift);
		to = min(last, ((u64)(granule + 1) << log->shift) - 1);
		if (!soft_hides(sdev->id, iova, length, from))
			iova_bitmap_set(dirty, from, to - from + 1);
	}
}

static int soft_log_report(struct vfio_device *vdev, unsigned long iova, unsigned long length,
			   struct iova_bitmap *dirty)
{
	struct soft_device *sdev = to_soft(vdev);
	int ret = 0;

	mutex_lock(&sdev->lock);
	if (!sdev->log.on || !length || !soft_log_answers(sdev, iova, length))
		ret = -EINVAL;
	else if (hit(sdev, log_report_fail))
		ret = error(sdev, log_errno);
	else if (sdev->log.lost)
		ret = -EIO;
	else
		soft_log_collect(sdev, iova, length, dirty);
	mutex_unlock(&sdev->lock);
	return ret;
}

const struct vfio_log_ops soft_log_ops = {
	.log_start = soft_log_start,
	.log_stop = soft_log_stop,
	.log_read_and_clear = soft_log_report,
};
