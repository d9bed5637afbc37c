// SPDX-License-Identifier: GPL-2.0-only
/* The registers of QEMU's edu, and the pump that keeps its DMA engine busy. */

#include <linux/iopoll.h>
#include <linux/pci.h>

#include "edu.h"

/* Registers */
#define EDU_LIVE_CHECK 0x04 /* reads as the complement of what was written */
#define EDU_FACTORIAL  0x08
#define EDU_STATUS     0x20
#define EDU_IRQ_STATUS 0x24
#define EDU_IRQ_RAISE  0x60
#define EDU_IRQ_ACK    0x64
#define EDU_DMA_SRC    0x80 /* the four are deaf while a DMA runs */
#define EDU_DMA_DST    0x88
#define EDU_DMA_CNT    0x90
#define EDU_DMA_CMD    0x98

/* Bits of EDU_STATUS */
#define EDU_STATUS_COMPUTING 0x01
#define EDU_STATUS_IRQFACT   0x80

/* Bits of EDU_DMA_CMD */
#define EDU_DMA_RUN	  0x1
#define EDU_DMA_TO_MEMORY 0x2
#define EDU_DMA_IRQ	  0x4

#define EDU_DMA_BUFFER 0x40000 /* as the DMA engine addresses it */

#define EDU_POLL_US	 1000
#define EDU_TIMEOUT_US	 (2 * USEC_PER_SEC)
#define EDU_PUMP_POLL_MS 5

/*
 * Get at the registers: memory decode is on whatever the user made of it, and no reset happened
 * since edev->lock was taken, nor will before edu_hw_end(): work begun for a device that has been
 * reset in between would wake the new one.
 */
static int edu_hw_enter(struct edu_device *edev)
{
	struct pci_dev *pdev = edev->core.pdev;

	mutex_lock(&edev->hw_lock);
	if (!edev->bar) {
		mutex_unlock(&edev->hw_lock);
		return -ENODEV;
	}
	pci_read_config_word(pdev, PCI_COMMAND, &edev->command);
	if (!(edev->command & PCI_COMMAND_MEMORY))
		pci_write_config_word(pdev, PCI_COMMAND, edev->command | PCI_COMMAND_MEMORY);
	return 0;
}

static void edu_hw_leave(struct edu_device *edev)
{
	if (!(edev->command & PCI_COMMAND_MEMORY))
		pci_write_config_word(edev->core.pdev, PCI_COMMAND, edev->command);
	mutex_unlock(&edev->hw_lock);
}

int edu_hw_begin(struct edu_device *edev)
{
	int ret;

	lockdep_assert_held(&edev->lock);
	down_read(&edev->core.memory_lock);
	ret = edu_hw_enter(edev);
	if (!ret && edev->resets_seen != atomic_read(&edev->resets)) {
		edu_hw_leave(edev);
		ret = -ENODEV;
	}
	if (ret)
		up_read(&edev->core.memory_lock);
	return ret;
}

void edu_hw_end(struct edu_device *edev)
{
	edu_hw_leave(edev);
	up_read(&edev->core.memory_lock);
}

static int edu_wait_dma(struct edu_device *edev)
{
	u64 cmd;

	return readq_poll_timeout(edev->bar + EDU_DMA_CMD, cmd, !(cmd & EDU_DMA_RUN), EDU_POLL_US,
				  EDU_TIMEOUT_US);
}

static int edu_wait_factorial(struct edu_device *edev)
{
	u32 status;

	return readl_poll_timeout(edev->bar + EDU_STATUS, status, !(status & EDU_STATUS_COMPUTING),
				  EDU_POLL_US, EDU_TIMEOUT_US);
}

static void edu_start_dma(struct edu_device *edev, u64 src, u64 dst, u64 cmd)
{
	writeq(src, edev->bar + EDU_DMA_SRC);
	writeq(dst, edev->bar + EDU_DMA_DST);
	writeq(edev->pump.length, edev->bar + EDU_DMA_CNT);
	writeq(cmd | EDU_DMA_RUN, edev->bar + EDU_DMA_CMD);
}

/* Half a copy: without bus master it is counted as an error and begins anew. */
static void edu_pump_start(struct edu_device *edev, enum edu_pump_phase phase)
{
	struct edu_pump *pump = &edev->pump;
	u64 slot, cmd;

	if (!(edev->command & PCI_COMMAND_MASTER)) {
		pump->errors++;
		pump->phase = EDU_PUMP_IDLE;
		return;
	}
	pump->phase = phase;
	if (phase == EDU_PUMP_READING) {
		edu_start_dma(edev, pump->src, EDU_DMA_BUFFER, 0);
		return;
	}
	slot = pump->completed % pump->slots;
	cmd = EDU_DMA_TO_MEMORY | (pump->ctrl & VFIOMIG_EDU_PUMP_IRQ ? EDU_DMA_IRQ : 0);
	edu_start_dma(edev, EDU_DMA_BUFFER, pump->dst + slot * pump->stride, cmd);
}

/* Take the pump as far as it gets without waiting; finish a copy begun, begin another if @more. */
static void edu_pump_step(struct edu_device *edev, bool more)
{
	struct edu_pump *pump = &edev->pump;

	if (readq(edev->bar + EDU_DMA_CMD) & EDU_DMA_RUN)
		return;
	if (pump->phase == EDU_PUMP_READING) {
		edu_pump_start(edev, EDU_PUMP_WRITING);
		return;
	}
	if (pump->phase == EDU_PUMP_WRITING) {
		pump->completed++;
		pump->phase = EDU_PUMP_IDLE;
	}
	if (more)
		edu_pump_start(edev, EDU_PUMP_READING);
}

bool edu_pump_valid(const struct edu_pump *pump)
{
	return !(pump->ctrl & ~(u64)(VFIOMIG_EDU_PUMP_RUN | VFIOMIG_EDU_PUMP_IRQ)) &&
	       (!(pump->ctrl & VFIOMIG_EDU_PUMP_RUN) ||
		(pump->length && pump->length <= VFIOMIG_EDU_PUMP_MAX_BYTES && pump->slots));
}

void edu_pump_kick(struct edu_device *edev)
{
	if (edu_runs(edev) && (edev->pump.ctrl & VFIOMIG_EDU_PUMP_RUN))
		schedule_delayed_work(&edev->pump_work, 0);
}

void edu_pump_work(struct work_struct *work)
{
	struct edu_device *edev = container_of(to_delayed_work(work), struct edu_device, pump_work);

	edu_lock(edev);
	if (edu_runs(edev) && (edev->pump.ctrl & VFIOMIG_EDU_PUMP_RUN)) {
		if (!edu_hw_begin(edev)) {
			edu_pump_step(edev, true);
			edu_hw_end(edev);
		}
		schedule_delayed_work(&edev->pump_work, msecs_to_jiffies(EDU_PUMP_POLL_MS));
	}
	edu_unlock(edev);
}

/* Nothing in flight any more: the pump's copy, a DMA of the user's own, a computation. */
int edu_hw_quiesce(struct edu_device *edev)
{
	int ret;

	do {
		ret = edu_wait_dma(edev);
		if (ret)
			return ret;
		edu_pump_step(edev, false);
	} while (edev->pump.phase != EDU_PUMP_IDLE);

	return edu_wait_factorial(edev);
}

void edu_hw_save(struct edu_device *edev, struct vfiomig_edu_registers *regs)
{
	const struct edu_pump *pump = &edev->pump;

	*regs = (struct vfiomig_edu_registers){
		.dma_src = cpu_to_le64(readq(edev->bar + EDU_DMA_SRC)),
		.dma_dst = cpu_to_le64(readq(edev->bar + EDU_DMA_DST)),
		.dma_cnt = cpu_to_le64(readq(edev->bar + EDU_DMA_CNT)),
		.dma_cmd = cpu_to_le64(readq(edev->bar + EDU_DMA_CMD)),
		.live_check = cpu_to_le32(readl(edev->bar + EDU_LIVE_CHECK)),
		.factorial = cpu_to_le32(readl(edev->bar + EDU_FACTORIAL)),
		.status = cpu_to_le32(readl(edev->bar + EDU_STATUS)),
		.irq_status = cpu_to_le32(readl(edev->bar + EDU_IRQ_STATUS)),
		.pump_ctrl = cpu_to_le64(pump->ctrl),
		.pump_src = cpu_to_le64(pump->src),
		.pump_dst = cpu_to_le64(pump->dst),
		.pump_length = cpu_to_le64(pump->length),
		.pump_stride = cpu_to_le64(pump->stride),
		.pump_slots = cpu_to_le64(pump->slots),
		.pump_completed = cpu_to_le64(pump->completed),
		.pump_errors = cpu_to_le64(pump->errors),
	};
}

/* The number whose factorial, in 32 bits, is @value: 34 and all above give 0. */
static int edu_inverse_factorial(u32 value)
{
	u32 product = 1;
	int n;

	for (n = 0; n <= 34; n++) {
		product *= max(n, 1);
		if (product == value)
			return n;
	}
	return -EINVAL;
}

static struct edu_pump edu_pump_from(const struct vfiomig_edu_registers *regs)
{
	return (struct edu_pump){
		.ctrl = le64_to_cpu(regs->pump_ctrl),
		.src = le64_to_cpu(regs->pump_src),
		.dst = le64_to_cpu(regs->pump_dst),
		.length = le64_to_cpu(regs->pump_length),
		.stride = le64_to_cpu(regs->pump_stride),
		.slots = le64_to_cpu(regs->pump_slots),
		.completed = le64_to_cpu(regs->pump_completed),
		.errors = le64_to_cpu(regs->pump_errors),
	};
}

bool edu_hw_can_load(const struct vfiomig_edu_registers *regs)
{
	struct edu_pump pump = edu_pump_from(regs);

	return edu_inverse_factorial(le32_to_cpu(regs->factorial)) >= 0 && edu_pump_valid(&pump);
}

static int edu_load_bar(struct edu_device *edev, const struct vfiomig_edu_registers *regs)
{
	u32 irq_status = le32_to_cpu(regs->irq_status);
	int ret;

	ret = edu_wait_dma(edev);
	if (ret)
		return ret;
	writeq(le64_to_cpu(regs->dma_src), edev->bar + EDU_DMA_SRC);
	writeq(le64_to_cpu(regs->dma_dst), edev->bar + EDU_DMA_DST);
	writeq(le64_to_cpu(regs->dma_cnt), edev->bar + EDU_DMA_CNT);
	writel(~le32_to_cpu(regs->live_check), edev->bar + EDU_LIVE_CHECK);

	/* Computed again silently, only then may the end of a computation interrupt. */
	writel(0, edev->bar + EDU_STATUS);
	ret = edu_wait_factorial(edev);
	if (ret)
		return ret;
	writel(edu_inverse_factorial(le32_to_cpu(regs->factorial)), edev->bar + EDU_FACTORIAL);
	ret = edu_wait_factorial(edev);
	if (ret)
		return ret;
	writel(le32_to_cpu(regs->status) & EDU_STATUS_IRQFACT, edev->bar + EDU_STATUS);

	writel(~0, edev->bar + EDU_IRQ_ACK);
	if (irq_status)
		writel(irq_status, edev->bar + EDU_IRQ_RAISE);
	return 0;
}

int edu_hw_load(struct edu_device *edev, const struct vfiomig_edu_registers *regs)
{
	int ret;

	ret = edu_load_bar(edev, regs);
	if (!ret)
		edev->pump = edu_pump_from(regs);
	return ret;
}

/*
 * QEMU's model keeps its registers over a reset; a device must not. Called from the reset itself,
 * so without edev->lock. The rest of the device's memory goes in edu_lock().
 */
void edu_hw_forget(struct edu_device *edev)
{
	static const struct vfiomig_edu_registers blank;

	if (edu_hw_enter(edev))
		return;
	if (edu_load_bar(edev, &blank))
		pci_err(edev->core.pdev, "the device did not come to rest after a reset\n");
	edu_hw_leave(edev);
}
