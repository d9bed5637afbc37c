// SPDX-License-Identifier: MIT
/* One write of a device to memory, complete when the call returns, so that what it makes dirty is the same each time.
 */
#include <stdio.h>

#include "../kmod/vfiomig_soft.h"
#include "diff.h"

/* A simulated one needs to be bus master and no engine. */
static void write_by_poke(struct subject *s, uint32_t which, int fd, uint64_t iova, uint32_t length)
{
	const off_t command = (off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40 | 4;
	uint16_t value = 0;
	char action[64];

	if (s->sys->ops->pread(s->sys, fd, &value, sizeof(value), command) != sizeof(value))
		return; /* not bound */
	value |= 4;
	(void)!s->sys->ops->pwrite(s->sys, fd, &value, sizeof(value), command);
	snprintf(action, sizeof(action), "write=%#llx:%u", (unsigned long long)iova, length);
	(void)!vfm_sim_poke(s->sim, s->found[which].identity.name, action);
}

static void put(struct subject *s, int fd, uint64_t at, uint64_t value)
{
	(void)!s->sys->ops->pwrite(s->sys, fd, &value, sizeof(value), (off_t)at);
}

static void write_by_soft(struct subject *s, int fd, uint64_t iova, uint32_t length)
{
	put(s, fd, VFIOMIG_SOFT_DMA_IOVA, iova);
	put(s, fd, VFIOMIG_SOFT_DMA_LENGTH, length);
	put(s, fd, VFIOMIG_SOFT_DMA_VALUE, 1);
	put(s, fd, VFIOMIG_SOFT_DMA_COMMAND, VFIOMIG_SOFT_DMA_WRITE);
}

void dma_write(struct subject *s, uint32_t which, int fd, uint64_t iova, uint32_t length)
{
	if (fd < 0 || !length || !s->writes)
		return;
	if (s->sim)
		write_by_poke(s, which, fd, iova, length);
	else
		write_by_soft(s, fd, iova, length);
}
