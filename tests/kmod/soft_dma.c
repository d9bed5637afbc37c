// SPDX-License-Identifier: GPL-2.0-only
/* The DMA engine: accesses by command, and those it makes by itself. */

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/unaligned.h>

#include "soft.h"

#define STEP 8 /* what writes are made of */

static bool soft_may_dma(const struct soft_device *sdev)
{
	return sdev->state == VFIO_DEVICE_STATE_RUNNING ||
	       sdev->state == VFIO_DEVICE_STATE_PRE_COPY || knob(sdev, ignore_stop);
}

/* Bytes @iova to @iova + @len of the endless pattern of @value. */
static void soft_fill(u8 *buf, u64 iova, size_t len, u64 value)
{
	__le64 word;

	for (size_t i = 0; i < len; i++) {
		word = cpu_to_le64(value + ALIGN_DOWN(iova + i, STEP));
		if (IS_ALIGNED(iova + i, STEP) && len - i >= STEP) {
			memcpy(buf + i, &word, STEP);
			i += STEP - 1;
		} else {
			buf[i] = ((u8 *)&word)[(iova + i) % STEP];
		}
	}
}

/* Within one page. */
static int soft_access(struct soft_device *sdev, u64 iova, size_t len, bool write, bool notice)
{
	if (sdev->physical)
		return soft_iommu_rw(sdev->vdev.dev, sdev->pasid, iova, sdev->bounce, len, write,
				     notice);
	if (sdev->regs.dma_mode == VFIOMIG_SOFT_COPY)
		return vfio_dma_rw(&sdev->vdev, iova, sdev->bounce, len, write);
	return soft_pins_rw(sdev, iova, sdev->bounce, len, write);
}

static void soft_fault(struct soft_device *sdev, u64 iova, int error)
{
	sdev->regs.faults++;
	sdev->regs.fault_iova = iova;
	sdev->regs.fault_error = -error;
}

static void soft_write_down(struct soft_device *sdev, u64 iova, u64 length)
{
	struct vfiomig_soft_entry *entry = &sdev->journal[sdev->regs.writes % SOFT_JOURNAL];

	entry->iova = cpu_to_le64(iova);
	entry->length = cpu_to_le64(length);
	sdev->regs.writes++;
}

/* Whether anybody who tracks dirty pages gets to know of the next write. */
static bool soft_noticed(struct soft_device *sdev)
{
	u64 every = knob(sdev, dirty_miss);

	return !every || ++sdev->unnoticed % every;
}

static int soft_dma_write(struct soft_device *sdev, u64 iova, u64 length, u64 value)
{
	bool notice = soft_noticed(sdev);
	u64 done = 0;
	int ret = 0;
	size_t n;

	while (done < length) {
		n = min_t(u64, length - done, PAGE_SIZE - offset_in_page(iova + done));
		soft_fill(sdev->bounce, iova + done, n, value);
		ret = soft_access(sdev, iova + done, n, true, notice);
		if (ret)
			break;
		if (notice && !sdev->pasid)
			soft_log_note(sdev, iova + done, n);
		done += n;
	}
	if (ret)
		soft_fault(sdev, iova + done, ret);
	if (done && !sdev->pasid)
		soft_write_down(sdev, iova, done);
	return ret;
}

static int soft_dma_read(struct soft_device *sdev, u64 iova, u64 length, u64 *sum)
{
	u64 done = 0;
	size_t n;
	int ret;

	*sum = 0;
	while (done < length) {
		n = min_t(u64, length - done, PAGE_SIZE - offset_in_page(iova + done));
		ret = soft_access(sdev, iova + done, n, false, false);
		if (ret) {
			soft_fault(sdev, iova + done, ret);
			return ret;
		}
		for (size_t i = 0; i < n; i++)
			*sum += sdev->bounce[i];
		done += n;
	}
	sdev->regs.reads++;
	return 0;
}

static int soft_command_dma(struct soft_device *sdev, bool write)
{
	struct soft_command *c = &sdev->command;
	int ret;

	sdev->pasid = c->pasid;
	ret = write ? soft_dma_write(sdev, c->iova, c->length, c->value)
		    : soft_dma_read(sdev, c->iova, c->length, &c->value);
	sdev->pasid = 0;
	return ret;
}

/* What an access ended with is for the result register; what is returned is about the command. */
int soft_command(struct soft_device *sdev, u64 command)
{
	struct soft_command *c = &sdev->command;
	u64 last;
	int ret;

	if (command == VFIOMIG_SOFT_DMA_UNPIN) {
		if (!sdev->physical)
			soft_unpin_all(sdev);
		c->result = 0;
		return 0;
	}
	if ((command != VFIOMIG_SOFT_DMA_WRITE && command != VFIOMIG_SOFT_DMA_READ) || !c->length ||
	    c->length > VFIOMIG_SOFT_DMA_MAX || c->pasid >> 20 || (c->pasid && !sdev->physical) ||
	    check_add_overflow(c->iova, c->length - 1, &last))
		return -EINVAL;
	if (!soft_may_dma(sdev))
		ret = -EBUSY;
	else
		ret = soft_command_dma(sdev, command == VFIOMIG_SOFT_DMA_WRITE);
	c->result = ret && ret != -EBUSY ? EFAULT : -ret;
	return 0;
}

/* The engine */

bool soft_regs_valid(const struct soft_device *sdev, const struct soft_regs *regs)
{
	u64 end;

	if (regs->dma_mode > (sdev->physical ? VFIOMIG_SOFT_COPY : VFIOMIG_SOFT_ONCE))
		return false;
	if (!(regs->ctrl & VFIOMIG_SOFT_RUN))
		return true;
	return regs->ctrl < 2 * VFIOMIG_SOFT_RUN_IRQ && IS_ALIGNED(regs->base, PAGE_SIZE) &&
	       regs->pages && regs->pages <= BIT_ULL(32) &&
	       !check_add_overflow(regs->base, regs->pages << PAGE_SHIFT, &end) &&
	       regs->length >= STEP && regs->length <= PAGE_SIZE && regs->length % STEP == 0 &&
	       regs->batch && regs->batch <= 4096 && regs->pause_us <= 100000 && regs->seed;
}

static u64 soft_random(struct soft_regs *regs)
{
	u64 x = regs->seed;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	regs->seed = x;
	return x * 0x2545f4914f6cdd1dull;
}

/* Somewhere in a page, or over its end unless it is the last. */
static u64 soft_target(struct soft_regs *regs, u64 number)
{
	u64 page = (number >> 32) % regs->pages;
	u64 room = (PAGE_SIZE - regs->length) / STEP + 1;
	u64 at = regs->base + (page << PAGE_SHIFT);

	if (regs->ctrl & VFIOMIG_SOFT_RUN_STRADDLE && page + 1 < regs->pages)
		return at + PAGE_SIZE - STEP;
	return at + number % room * STEP;
}

static void soft_scribble(struct soft_device *sdev, u64 number, u64 value)
{
	size_t at = number % (sdev->contents_bytes / STEP) * STEP;

	put_unaligned_le64(value, sdev->contents + at);
	soft_session_written(sdev, at, STEP);
}

static void soft_engine_step(struct soft_device *sdev)
{
	struct soft_regs *regs = &sdev->regs;
	u64 value = vfiomig_soft_value(regs->writes);
	u64 number = soft_random(regs);
	u64 at = soft_target(regs, number);
	u64 sum;

	if (regs->ctrl & VFIOMIG_SOFT_RUN_READS && !(number >> 20 & 3)) {
		soft_dma_read(sdev, at, regs->length, &sum);
		return;
	}
	soft_dma_write(sdev, at, regs->length, value);
	if (regs->ctrl & VFIOMIG_SOFT_RUN_CONTENTS)
		soft_scribble(sdev, number, value);
}

static bool soft_engine_wanted(struct soft_device *sdev)
{
	return READ_ONCE(sdev->regs.ctrl) & VFIOMIG_SOFT_RUN && soft_may_dma(sdev);
}

/* Whoever holds the lock knows that no write is under way. */
static void soft_engine_turn(struct soft_device *sdev)
{
	u64 pause;

	mutex_lock(&sdev->lock);
	for (u64 i = 0; i < sdev->regs.batch && soft_engine_wanted(sdev); i++)
		soft_engine_step(sdev);
	if (sdev->regs.ctrl & VFIOMIG_SOFT_RUN_IRQ)
		soft_raise(sdev, VFIO_PCI_MSI_IRQ_INDEX);
	pause = sdev->regs.pause_us;
	mutex_unlock(&sdev->lock);
	if (pause)
		usleep_range(pause, pause + pause / 4);
	else
		cond_resched();
}

/* Looks by itself now and then, as knobs wake nobody. */
static int soft_engine(void *data)
{
	struct soft_device *sdev = data;

	while (!kthread_should_stop()) {
		if (soft_engine_wanted(sdev))
			soft_engine_turn(sdev);
		else
			wait_event_interruptible_timeout(
				sdev->wake, soft_engine_wanted(sdev) || kthread_should_stop(),
				HZ / 10);
	}
	return 0;
}

void soft_engine_kick(struct soft_device *sdev)
{
	wake_up(&sdev->wake);
}

int soft_engine_start(struct soft_device *sdev)
{
	struct task_struct *task = kthread_run(soft_engine, sdev, "soft-dma/%u", sdev->id);

	if (IS_ERR(task))
		return PTR_ERR(task);
	sdev->engine = task;
	return 0;
}

void soft_engine_stop(struct soft_device *sdev)
{
	kthread_stop(sdev->engine);
	sdev->engine = NULL;
}
