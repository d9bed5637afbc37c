// SPDX-License-Identifier: MIT
/* What can be called inside but is no part of a migration, and devices of vfiomig_soft. */
#include <poll.h>
#include <unistd.h>

#include "../kmod/vfiomig_soft.h"
#include "jail.h"

#define PAGE 4096ull
#define SOFT_BYTES 4096u
#define PASID 5u
#define PIECE 256u

/* A simulated machine fails the next call @op; NULL: none any more, which must have come. */
int more_fault(struct jail *j, const char *op, int error)
{
	const struct vfm_sim_fault fault = {
		.size = sizeof(fault), .mode = VFM_SIM_FAULT_BEFORE, .call = 1, .count = 1, .error = error, .op = op
	};
	struct env *env = &j->env;

	if (!env->sim)
		return 0;
	j->phase = PHASE_program;
	if (!op)
		REQUIRE(vfm_sim_faults_hit(env->sim) == 1);
	OK(vfm_sim_set_faults(env->sim, &fault, op ? 1 : 0));
	return 0;
}

/* an address space more */

static int beside_fails(struct jail *j)
{
	struct env *env = &j->env;
	struct vfm_iommu *iommu;

	if (!env->sim)
		return 0;
	if (more_fault(j, "IOMMU_OPTION", EIO))
		return -1;
	j->phase = PHASE_beside;
	REQUIRE_RESULT(vfm_iommu_open_beside(vfm_device_iommu(j->devs[0]), VFM_IOMMU_SMALL_PAGES, &iommu, &env->err),
		       -EIO);
	return more_fault(j, NULL, 0);
}

int more_beside(struct jail *j)
{
	struct env *env = &j->env;
	struct vfm_iommu *iommu;

	if (j->backend != VFM_BACKEND_IOMMUFD)
		return 0;
	if (beside_fails(j))
		return -1;
	j->phase = PHASE_beside;
	OK(vfm_iommu_open_beside(vfm_device_iommu(j->devs[0]), VFM_IOMMU_SMALL_PAGES, &iommu, &env->err));
	j->phase = PHASE_close;
	vfm_iommu_close(iommu);
	return 0;
}

/* attaching */

static int attach_pasid(struct jail *j, struct vfm_device *dev)
{
	struct env *env = &j->env;
	int r = vfm_device_attach_pasid(dev, PASID, vfm_device_iommu(dev), &env->err);

	if (r == -EOPNOTSUPP)
		return 0;
	REQUIRE(r == 0);
	j->pasids = true;
	OK(vfm_device_detach_pasid(dev, PASID, &env->err));
	/* there still when it is closed */
	OK(vfm_device_attach_pasid(dev, PASID + 1, vfm_device_iommu(dev), &env->err));
	return 0;
}

int more_attach(struct jail *j)
{
	struct env *env = &j->env;

	if (j->backend != VFM_BACKEND_IOMMUFD)
		return 0;
	j->phase = PHASE_attach;
	for (int i = 0; i < 2; i++) {
		OK(vfm_device_detach(j->devs[i], &env->err));
		OK(vfm_device_attach(j->devs[i], &env->err));
	}
	return attach_pasid(j, j->devs[1]);
}

/* maps */

/* Another process takes the maps over: this one once more. They may be of files only. */
int more_process(struct jail *j, struct vfm_iommu *iommu)
{
	struct env *env = &j->env;
	int r;

	j->phase = PHASE_map;
	r = vfm_iommu_change_process(iommu, &env->err);
	REQUIRE(r == 0 || r == -EOPNOTSUPP);
	return 0;
}

int more_addresses(struct jail *j, int i)
{
	const struct vfm_map *map = &j->memory[i];
	struct vfm_iommu *iommu = vfm_device_iommu(j->devs[i]);
	struct env *env = &j->env;
	int r;

	j->phase = PHASE_map;
	r = vfm_iommu_vaddr_invalidate(iommu, &env->err);
	REQUIRE(r == 0 || r == -EOPNOTSUPP || r == -EAGAIN);
	if (r == 0)
		OK(vfm_iommu_vaddr_set(iommu, map->iova, map->length, map->vaddr, &env->err));
	return 0;
}

/* regions */

int more_regions(struct jail *j, struct vfm_device *dev)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE, .length = PAGE };
	struct vfm_area area = { .length = PAGE };
	const uint8_t token[16] = { 1 };
	struct env *env = &j->env;
	int eventfd, fd, r;

	j->phase = PHASE_program;
	eventfd = env_eventfd(env);
	j->phase = PHASE_regions;
	r = vfm_device_region_export(dev, VFM_REGION_BAR0, &area, 1, &fd, &env->err);
	j->phase = PHASE_program;
	if (r == 0)
		close(fd);
	j->phase = PHASE_regions;
	r = vfm_device_ioeventfd(dev, VFM_REGION_BAR0, 4, 4, 1, eventfd, &env->err);
	if (r == 0)
		OK(vfm_device_ioeventfd(dev, VFM_REGION_BAR0, 4, 4, 1, -1, &env->err));
	r = vfm_device_set_vf_token(dev, token, &env->err);
	REQUIRE(r == 0 || r == -EOPNOTSUPP);
	j->phase = PHASE_map;
	r = vfm_iommu_map_region(vfm_device_iommu(dev), dev, VFM_REGION_BAR0, 0, &map, &env->err);
	if (r == 0)
		OK(vfm_iommu_unmap(vfm_device_iommu(dev), map.iova, map.length, &env->err));
	return 0;
}

/* interrupts */

/* The second vector: the first is armed anew with it, and signalled since nobody knows what came meanwhile. */
int more_vectors(struct jail *j, struct vfm_device *dev)
{
	struct vfm_irq irq = { .size = sizeof(irq) };
	struct env *env = &j->env;
	uint32_t index = VFM_IRQ_MSI;
	uint64_t signals;
	int events[2];

	if (!dev)
		return 0;
	j->phase = PHASE_program;
	events[0] = env_eventfd(env);
	events[1] = env_eventfd(env);
	j->phase = PHASE_interrupts;
	OK(vfm_device_irq(dev, index, &irq, &env->err));
	if (irq.count < 2) {
		index = VFM_IRQ_MSIX;
		OK(vfm_device_irq(dev, index, &irq, &env->err));
	}
	REQUIRE(irq.count >= 2 && irq.flags & VFM_IRQ_NORESIZE);
	OK(vfm_device_irq_arm(dev, index, 0, 1, &events[0], &env->err));
	OK(vfm_device_irq_arm(dev, index, 1, 1, &events[1], &env->err));
	j->phase = PHASE_program;
	REQUIRE(read(events[0], &signals, sizeof(signals)) == sizeof(signals) && signals == 1);
	return 0;
}

/* reset */

int more_power(struct jail *j, struct vfm_device *dev)
{
	struct env *env = &j->env;
	int r;

	j->phase = PHASE_reset;
	r = vfm_device_power(dev, VFM_POWER_LOW, -1, &env->err);
	REQUIRE(r == 0 || r == -EOPNOTSUPP);
	if (r == 0)
		OK(vfm_device_power(dev, VFM_POWER_ON, -1, &env->err));
	r = vfm_device_hot_reset(dev, NULL, 0, &env->err);
	REQUIRE(r == 0 || r == -EOPNOTSUPP || r == -EPERM);
	return 0;
}

/* vfiomig_soft */

bool soft_is(const char *name)
{
	return strncmp(name, "vfiomig_soft", 12) == 0;
}

static int set(struct jail *j, int i, uint64_t reg, uint64_t value)
{
	struct env *env = &j->env;

	OK(vfm_device_region_write(j->devs[i], VFIOMIG_SOFT_REGISTERS, reg, &value, sizeof(value), &env->err));
	return 0;
}

static int get(struct jail *j, int i, uint64_t reg, uint64_t *ret)
{
	struct env *env = &j->env;

	OK(vfm_device_region_read(j->devs[i], VFIOMIG_SOFT_REGISTERS, reg, ret, sizeof(*ret), &env->err));
	return 0;
}

static void pattern(uint8_t *bytes)
{
	for (unsigned int i = 0; i < SOFT_BYTES; i++)
		bytes[i] = (uint8_t)(i * 7 + i / PIECE);
}

int soft_fill(struct jail *j, int i)
{
	uint8_t bytes[SOFT_BYTES];
	struct env *env = &j->env;

	pattern(bytes);
	OK(vfm_device_region_write(j->devs[i], VFIOMIG_SOFT_CONTENTS, 0, bytes, sizeof(bytes), &env->err));
	return 0;
}

int soft_compare(struct jail *j, int i)
{
	uint8_t bytes[SOFT_BYTES], want[SOFT_BYTES];
	struct env *env = &j->env;

	pattern(want);
	OK(vfm_device_region_read(j->devs[i], VFIOMIG_SOFT_CONTENTS, 0, bytes, sizeof(bytes), &env->err));
	REQUIRE(!memcmp(bytes, want, sizeof(bytes)));
	return 0;
}

int soft_start(struct jail *j, int i, uint64_t iova, uint64_t pages)
{
	return set(j, i, VFIOMIG_SOFT_RUN_BASE, iova) || set(j, i, VFIOMIG_SOFT_RUN_PAGES, pages) ||
	       set(j, i, VFIOMIG_SOFT_RUN_LENGTH, 64) || set(j, i, VFIOMIG_SOFT_RUN_BATCH, 8) ||
	       set(j, i, VFIOMIG_SOFT_RUN_PAUSE_US, 50) || set(j, i, VFIOMIG_SOFT_RUN_SEED, 1) ||
	       set(j, i, VFIOMIG_SOFT_RUN_CTRL, VFIOMIG_SOFT_RUN);
}

int soft_interrupt(struct jail *j, int i)
{
	return set(j, i, VFIOMIG_SOFT_INTERRUPT, 1);
}

/* It writes by itself, and its interrupt comes. */
int soft_runs(struct jail *j, int i)
{
	struct pollfd pfd = { .fd = vfm_device_irq_eventfd(j->devs[i], VFM_IRQ_MSI, 0), .events = POLLIN };
	uint64_t before, now = 0, signals;
	struct env *env = &j->env;

	j->phase = PHASE_regions;
	if (get(j, i, VFIOMIG_SOFT_RUN_WRITES, &before))
		return -1;
	for (int tries = 0; tries < 200 && now < before + 3; tries++) {
		j->phase = PHASE_program;
		env_sleep_ms(env, 20);
		j->phase = PHASE_regions;
		if (get(j, i, VFIOMIG_SOFT_RUN_WRITES, &now))
			return -1;
	}
	REQUIRE(now >= before + 3);
	if (soft_interrupt(j, i))
		return -1;
	j->phase = PHASE_program;
	REQUIRE(poll(&pfd, 1, 2000) == 1 && read(pfd.fd, &signals, sizeof(signals)) == sizeof(signals));
	return 0;
}
