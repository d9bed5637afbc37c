// SPDX-License-Identifier: MIT
/* As much of an NVM Express driver as it takes: queues in mapped memory, doorbells in a mapped BAR, interrupts. */
#include <sys/mman.h>

#include "lab.h"

#define REG_CC 0x14
#define REG_CSTS 0x1c
#define REG_AQA 0x24
#define REG_ASQ 0x28
#define REG_ACQ 0x30
#define DOORBELLS 0x1000
#define CC_ENABLE 0x00460001u /* queue entries of 64 and 16 bytes */
#define READY 1u
#define ENTRIES 16u
#define ANSWER_MS 10000
#define OP_IDENTIFY 6

static int reg_read(struct env *env, struct vfm_device *dev, uint32_t reg, uint32_t *ret)
{
	OK(vfm_device_region_read(dev, VFM_REGION_BAR0, reg, ret, sizeof(*ret), &env->err));
	return 0;
}

static int reg_write(struct env *env, struct vfm_device *dev, uint32_t reg, uint64_t value, size_t width)
{
	OK(vfm_device_region_write(dev, VFM_REGION_BAR0, reg, &value, width, &env->err));
	return 0;
}

static int wait_ready(struct env *env, struct vfm_device *dev, uint32_t want)
{
	uint32_t status = 0;

	for (int tries = 0; tries < 500; tries++) {
		if (reg_read(env, dev, REG_CSTS, &status))
			return -1;
		if ((status & READY) == want)
			return 0;
		env_sleep_ms(env, 10);
	}
	printf("# the controller's status is 0x%x\n", status);
	return -1;
}

static int enable(struct nvme *n)
{
	return reg_write(n->env, n->dev, REG_CC, 0, 4) || wait_ready(n->env, n->dev, 0) ||
	       reg_write(n->env, n->dev, REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1), 4) ||
	       reg_write(n->env, n->dev, REG_ASQ, n->iova, 8) ||
	       reg_write(n->env, n->dev, REG_ACQ, n->iova + PAGE, 8) ||
	       reg_write(n->env, n->dev, REG_CC, CC_ENABLE, 4) || wait_ready(n->env, n->dev, READY);
}

/* A queue tells of itself by the vector of its number. */
int nvme_arm(struct nvme *n, uint32_t index, struct nvme_queue *queue)
{
	struct env *env = n->env;

	queue->eventfd = env_eventfd(env);
	OK(vfm_device_irq_arm(n->dev, index, index == VFM_IRQ_MSIX ? queue->id : 0, 1, &queue->eventfd, &env->err));
	return 0;
}

int nvme_start(struct env *env, struct vfm_device *dev, int irq, struct nvme *n)
{
	void *doorbells;

	memset(n, 0, sizeof(*n));
	n->env = env;
	n->dev = dev;
	n->iova = 0x200000000ull;
	n->memory = env_memory(env, NVME_PAGES * PAGE);
	REQUIRE(n->memory);
	n->admin = (struct nvme_queue){ 0, 0, 0, 1, n->memory, n->memory + PAGE, -1 };
	n->io = (struct nvme_queue){ 1, 0, 0, 1, n->memory + 3 * PAGE, n->memory + 4 * PAGE, -1 };
	OK(env_map(env, vfm_device_iommu(dev), n->memory, NVME_PAGES * PAGE, n->iova));
	OK(vfm_device_region_map(dev, VFM_REGION_BAR0, DOORBELLS, PAGE, &doorbells, &env->err));
	n->doorbells = doorbells;
	if (irq >= 0 && nvme_arm(n, (uint32_t)irq, &n->admin))
		return -1;
	return enable(n);
}

void nvme_end(struct nvme *n)
{
	if (n->doorbells)
		vfm_device_region_unmap(n->dev, (void *)n->doorbells, PAGE);
	n->doorbells = NULL;
}

int nvme_is_enabled(struct env *env, struct vfm_device *dev, bool *ret)
{
	uint32_t configuration, status;

	if (reg_read(env, dev, REG_CC, &configuration) || reg_read(env, dev, REG_CSTS, &status))
		return -1;
	*ret = (configuration & 1) && (status & READY);
	return 0;
}

void nvme_send(struct nvme *n, struct nvme_queue *queue, const uint32_t command[16])
{
	memcpy(queue->commands + 64 * (size_t)queue->tail, command, 64);
	queue->tail = (queue->tail + 1) % ENTRIES;
	/* The device looks at the command once it sees the doorbell. */
	__atomic_store_n(&n->doorbells[2 * queue->id], queue->tail, __ATOMIC_RELEASE);
}

/* Takes one completion; the doorbell takes the interrupt's level back. */
int nvme_answer(struct nvme *n, struct nvme_queue *queue)
{
	volatile uint32_t *completion = (volatile uint32_t *)(queue->completions + 16 * (size_t)queue->head);
	uint32_t state = completion[3];

	if ((state >> 16 & 1) != queue->phase) {
		printf("# queue %u: an interrupt and no completion\n", queue->id);
		return -1;
	}
	queue->head = (queue->head + 1) % ENTRIES;
	queue->phase ^= queue->head == 0;
	n->doorbells[2 * queue->id + 1] = queue->head;
	if (state >> 17)
		printf("# queue %u: status 0x%x\n", queue->id, state >> 17);
	return (int)(state >> 17);
}

int nvme_command(struct nvme *n, struct nvme_queue *queue, const uint32_t command[16])
{
	nvme_send(n, queue, command);
	if (!fired(queue->eventfd, ANSWER_MS)) {
		printf("# queue %u: no interrupt\n", queue->id);
		return -1;
	}
	return nvme_answer(n, queue);
}

static void send_identify(struct nvme *n, uint32_t what)
{
	const uint64_t data = n->iova + 2 * PAGE;
	const uint32_t command[16] = {
		[0] = OP_IDENTIFY, [6] = (uint32_t)data, [7] = (uint32_t)(data >> 32), [10] = what
	};

	memset(NVME_DATA(n), 0, PAGE);
	nvme_send(n, &n->admin, command);
}

void nvme_send_identify(struct nvme *n)
{
	send_identify(n, 1);
}

int nvme_check_identify(struct nvme *n)
{
	struct env *env = n->env;

	/* its vendor, and from byte 24 on what model it is */
	REQUIRE(NVME_DATA(n)[0] == 0x36 && NVME_DATA(n)[1] == 0x1b);
	REQUIRE(!memcmp(NVME_DATA(n) + 24, "QEMU NVMe Ctrl", 14));
	return 0;
}

int nvme_identify_as(struct nvme *n, uint32_t what)
{
	struct env *env = n->env;

	send_identify(n, what);
	REQUIRE(fired(n->admin.eventfd, ANSWER_MS));
	return nvme_answer(n, &n->admin);
}

int nvme_identify(struct nvme *n)
{
	struct env *env = n->env;

	REQUIRE(nvme_identify_as(n, 1) == 0);
	return nvme_check_identify(n);
}
