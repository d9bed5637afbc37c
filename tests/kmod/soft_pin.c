// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that an emulated device has pinned, and how it gives them back.
 *
 * vfio tells of an unmap with locks held that pinning takes as well, and expects all pages of the
 * range to be unpinned on return, for good: type1 tries ten times and then ends the machine. So the
 * callback bars pinning, waits for a pin under way, and leaves some time before the next one.
 */

#include <linux/completion.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "soft.h"

#define BAR_MS 20

void soft_pins_init(struct soft_pins *pins)
{
	xa_init(&pins->pages);
	init_waitqueue_head(&pins->wait);
}

static void soft_copy(struct page *page, u64 iova, void *buf, size_t len, bool write)
{
	if (write)
		memcpy_to_page(page, offset_in_page(iova), buf, len);
	else
		memcpy_from_page(buf, page, offset_in_page(iova), len);
}

/* False if the page is not pinned. */
static bool soft_pinned_rw(struct soft_pins *pins, u64 iova, void *buf, size_t len, bool write)
{
	struct page *page;

	xa_lock(&pins->pages);
	page = xa_load(&pins->pages, iova >> PAGE_SHIFT);
	if (page)
		soft_copy(page, iova, buf, len, write);
	xa_unlock(&pins->pages);
	return page;
}

static bool soft_pins_may_begin(struct soft_pins *pins)
{
	bool may;

	xa_lock(&pins->pages);
	may = !pins->barred && time_after_eq(jiffies, pins->barred_until);
	if (may)
		pins->busy = true;
	xa_unlock(&pins->pages);
	return may;
}

/* Around what pins or unpins for the device itself; sdev->lock lets in one at a time. */
static void soft_pins_begin(struct soft_pins *pins)
{
	while (!soft_pins_may_begin(pins))
		schedule_timeout_uninterruptible(1);
}

static void soft_pins_end(struct soft_pins *pins)
{
	xa_lock(&pins->pages);
	pins->busy = false;
	xa_unlock(&pins->pages);
	wake_up_all(&pins->wait);
}

static int soft_pin_page(struct soft_device *sdev, u64 iova, struct page **page)
{
	int ret = vfio_pin_pages(&sdev->vdev, ALIGN_DOWN(iova, PAGE_SIZE), 1,
				 IOMMU_READ | IOMMU_WRITE, page);

	if (ret == 1)
		return 0;
	return ret < 0 ? ret : -EFAULT;
}

static int soft_pin_and_keep(struct soft_device *sdev, u64 iova)
{
	struct soft_pins *pins = &sdev->pins;
	unsigned long at = iova >> PAGE_SHIFT;
	struct page *page;
	int ret;

	/* A page that could not be noted could not be given back. */
	ret = xa_reserve(&pins->pages, at, GFP_KERNEL);
	if (!ret)
		ret = soft_pin_page(sdev, iova, &page);
	xa_lock(&pins->pages);
	if (ret) {
		__xa_erase(&pins->pages, at);
	} else {
		__xa_store(&pins->pages, at, page, GFP_ATOMIC);
		pins->count++;
	}
	xa_unlock(&pins->pages);
	return ret;
}

static int soft_pin_once(struct soft_device *sdev, u64 iova, void *buf, size_t len, bool write)
{
	struct page *page;
	int ret = soft_pin_page(sdev, iova, &page);

	if (ret)
		return ret;
	soft_copy(page, iova, buf, len, write);
	vfio_unpin_pages(&sdev->vdev, ALIGN_DOWN(iova, PAGE_SIZE), 1);
	return 0;
}

/* Within one page. */
int soft_pins_rw(struct soft_device *sdev, u64 iova, void *buf, size_t len, bool write)
{
	struct soft_pins *pins = &sdev->pins;
	int ret = 0;

	while (!ret && !soft_pinned_rw(pins, iova, buf, len, write)) {
		soft_pins_begin(pins);
		if (sdev->regs.dma_mode == VFIOMIG_SOFT_ONCE) {
			ret = soft_pin_once(sdev, iova, buf, len, write);
			soft_pins_end(pins);
			break;
		}
		ret = soft_pin_and_keep(sdev, iova);
		soft_pins_end(pins);
	}
	return ret;
}

static void soft_unpin_range(struct soft_device *sdev, u64 first, u64 last)
{
	struct soft_pins *pins = &sdev->pins;
	unsigned long at = first >> PAGE_SHIFT;
	struct page *page;

	while (xa_find(&pins->pages, &at, last >> PAGE_SHIFT, XA_PRESENT)) {
		xa_lock(&pins->pages);
		page = __xa_erase(&pins->pages, at);
		if (page)
			pins->count--;
		xa_unlock(&pins->pages);
		if (page)
			vfio_unpin_pages(&sdev->vdev, (u64)at << PAGE_SHIFT, 1);
	}
}

void soft_unpin_all(struct soft_device *sdev)
{
	soft_pins_begin(&sdev->pins);
	soft_unpin_range(sdev, 0, U64_MAX);
	soft_pins_end(&sdev->pins);
}

struct soft_unpin {
	struct work_struct work;
	struct completion done;
	struct soft_device *sdev;
	u64 first, last;
};

static void soft_unpin_work(struct work_struct *work)
{
	struct soft_unpin *unpin = container_of(work, struct soft_unpin, work);

	soft_unpin_range(unpin->sdev, unpin->first, unpin->last);
	complete(&unpin->done);
}

/*
 * Unpinning is left to a worker. type1 holds the lock of its list of devices here, which it
 * elsewhere takes inside the lock that unpinning takes, and the lock validator is right about that.
 */
void soft_dma_unmap(struct vfio_device *vdev, u64 iova, u64 length)
{
	struct soft_device *sdev = to_soft(vdev);
	struct soft_pins *pins = &sdev->pins;
	struct soft_unpin unpin = { .sdev = sdev, .first = iova, .last = iova + length - 1 };

	xa_lock(&pins->pages);
	pins->barred++;
	pins->unmaps++;
	xa_unlock(&pins->pages);
	wait_event(pins->wait, !READ_ONCE(pins->busy));

	INIT_WORK_ONSTACK(&unpin.work, soft_unpin_work);
	init_completion(&unpin.done);
	queue_work(system_unbound_wq, &unpin.work);
	wait_for_completion(&unpin.done);
	destroy_work_on_stack(&unpin.work);

	xa_lock(&pins->pages);
	pins->barred--;
	pins->barred_until = jiffies + msecs_to_jiffies(BAR_MS);
	xa_unlock(&pins->pages);
}
