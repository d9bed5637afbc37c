// SPDX-License-Identifier: MIT
/* MSI with more vectors than one, which cannot be added to on the kernel; a BAR shorter than a page. xHCI and SDHCI. */
#include "lab.h"

#define VECTORS 4u
#define SOON_MS 5000
#define NEVER_MS 100

struct msi {
	struct vfm_device *dev;
	int events[VECTORS];
};

static int open_msi(struct env *env, uint32_t backend, struct msi *msi)
{
	for (uint32_t i = 0; i < VECTORS; i++)
		msi->events[i] = env_eventfd(env);
	return lab_open(env, backend, FIRST, &msi->dev);
}

static int arm(struct env *env, struct msi *msi, uint32_t start, uint32_t count)
{
	OK(vfm_device_irq_arm(msi->dev, VFM_IRQ_MSI, start, count, msi->events + start, &env->err));
	return 0;
}

static int disarm_one(struct env *env, struct msi *msi, uint32_t vector)
{
	const int none = -1;

	OK(vfm_device_irq_arm(msi->dev, VFM_IRQ_MSI, vector, 1, &none, &env->err));
	return 0;
}

static int armed_are(struct env *env, struct msi *msi, uint32_t count)
{
	struct vfm_irq irq = { .size = sizeof(irq) };

	OK(vfm_device_irq(msi->dev, VFM_IRQ_MSI, &irq, &env->err));
	REQUIRE(irq.armed == count);
	return 0;
}

/* The vectors of @mask are signalled, each on the eventfd of its own, and no other is. */
static int each_by_itself(struct env *env, struct msi *msi, uint32_t mask)
{
	for (uint32_t v = 0; v < VECTORS; v++) {
		OK(vfm_device_irq_trigger(msi->dev, VFM_IRQ_MSI, v, &env->err));
		for (uint32_t i = 0; i < VECTORS; i++)
			REQUIRE(fired(msi->events[i], 0) == (i == v && mask & 1u << v));
	}
	return 0;
}

/* What was there before is signalled once, the new ones are not. */
static int signalled_once(struct env *env, struct msi *msi, uint32_t before)
{
	for (uint32_t i = 0; i < VECTORS; i++)
		REQUIRE(fired(msi->events[i], i < before ? SOON_MS : NEVER_MS) == (i < before));
	return 0;
}

static int add(struct env *env, struct msi *msi)
{
	struct vfm_irq irq = { .size = sizeof(irq) };

	OK(vfm_device_irq(msi->dev, VFM_IRQ_MSI, &irq, &env->err));
	REQUIRE(irq.count >= VECTORS && irq.flags & VFM_IRQ_NORESIZE);
	if (arm(env, msi, 0, 1) || each_by_itself(env, msi, 1))
		return -1;
	if (arm(env, msi, 1, 3) || armed_are(env, msi, 4) || signalled_once(env, msi, 1))
		return -1;
	return each_by_itself(env, msi, 0xf);
}

/* Fewer of them, none of them, and all again: the kernel has kept the first number enabled. */
static int less_and_more(struct env *env, struct msi *msi)
{
	if (disarm_one(env, msi, 2) || each_by_itself(env, msi, 0xb) || arm(env, msi, 2, 1))
		return -1;
	if (each_by_itself(env, msi, 0xf))
		return -1;
	OK(vfm_device_irq_disarm(msi->dev, VFM_IRQ_MSI, &env->err));
	if (arm(env, msi, 0, 1) || disarm_one(env, msi, 0) || armed_are(env, msi, 0))
		return -1;
	if (arm(env, msi, 0, 4) || signalled_once(env, msi, 0) || armed_are(env, msi, 4))
		return -1;
	return each_by_itself(env, msi, 0xf);
}

static int grow(struct env *env, uint32_t backend)
{
	struct msi msi;

	return open_msi(env, backend, &msi) || add(env, &msi) || less_and_more(env, &msi);
}

static int grow_native(struct env *env)
{
	return grow(env, VFM_BACKEND_IOMMUFD);
}

static int grow_container(struct env *env)
{
	return grow(env, VFM_BACKEND_TYPE1V2);
}

static int refused_beside(struct env *env, struct msi *msi, uint32_t index, const char *enabled)
{
	REQUIRE_RESULT(vfm_device_irq_arm(msi->dev, index, 0, 1, &msi->events[1], &env->err), -EBUSY);
	REQUIRE(lab_says(env, enabled));
	return 0;
}

static int one_kind(struct env *env)
{
	struct msi msi;

	if (open_msi(env, VFM_BACKEND_IOMMUFD, &msi) || arm(env, &msi, 0, 1))
		return -1;
	if (refused_beside(env, &msi, VFM_IRQ_MSIX, "MSI (index 1) is enabled") ||
	    refused_beside(env, &msi, VFM_IRQ_INTX, "MSI (index 1) is enabled") || disarm_one(env, &msi, 0) ||
	    refused_beside(env, &msi, VFM_IRQ_MSIX, "MSI (index 1) is enabled"))
		return -1;
	OK(vfm_device_irq_disarm(msi.dev, VFM_IRQ_MSI, &env->err));
	OK(vfm_device_irq_arm(msi.dev, VFM_IRQ_MSIX, 0, 1, &msi.events[1], &env->err));
	return refused_beside(env, &msi, VFM_IRQ_MSI, "MSI-X (index 2) is enabled");
}

/* The platform remaps no interrupts, and so has one vector of MSI: that is no success, and leaves what was. */
static int too_few(struct env *env)
{
	struct msi msi;

	if (open_msi(env, VFM_BACKEND_IOMMUFD, &msi))
		return -1;
	REQUIRE_RESULT(vfm_device_irq_arm(msi.dev, VFM_IRQ_MSI, 0, 4, msi.events, &env->err), -ENOSPC);
	REQUIRE(lab_says(env, "the platform gives 1; none is armed"));
	if (armed_are(env, &msi, 0) || arm(env, &msi, 0, 1) || each_by_itself(env, &msi, 1))
		return -1;
	REQUIRE_RESULT(vfm_device_irq_arm(msi.dev, VFM_IRQ_MSI, 1, 3, msi.events + 1, &env->err), -ENOSPC);
	REQUIRE(lab_says(env, "the platform gives 1; they are armed as they were"));
	if (armed_are(env, &msi, 1) || signalled_once(env, &msi, 1) || each_by_itself(env, &msi, 1))
		return -1;
	return 0;
}

/* 256 bytes of registers: capabilities and version are there to read, by the file and by the page that is mapped. */
#define SDHCI_BYTES 256u
#define SDHCI_CAPABILITIES 0x40u

static int same_registers(struct env *env, struct vfm_device *dev)
{
	uint32_t by_file = 0, by_page;
	struct vfm_area area;
	size_t count;
	void *bar;

	OK(vfm_device_region_sparse(dev, VFM_REGION_BAR0, &area, 1, &count, &env->err));
	REQUIRE(count == 1 && area.offset == 0 && area.length == PAGE);
	OK(vfm_device_region_map(dev, VFM_REGION_BAR0, area.offset, area.length, &bar, &env->err));
	by_page = ((volatile uint32_t *)bar)[SDHCI_CAPABILITIES / sizeof(by_page)];
	vfm_device_region_unmap(dev, bar, area.length);
	OK(vfm_device_region_read(dev, VFM_REGION_BAR0, SDHCI_CAPABILITIES, &by_file, sizeof(by_file), &env->err));
	REQUIRE(by_file != 0 && by_file != UINT32_MAX && by_file == by_page);
	REQUIRE_RESULT(vfm_device_region_read(dev, VFM_REGION_BAR0, SDHCI_BYTES, &by_file, 1, &env->err), -EINVAL);
	return 0;
}

static int open_short_bar(struct env *env, uint32_t backend, struct vfm_device **ret)
{
	struct vfm_region region = { .size = sizeof(region) };

	if (lab_open(env, backend, SECOND, ret))
		return -1;
	OK(vfm_device_region(*ret, VFM_REGION_BAR0, &region, &env->err));
	REQUIRE(region.length == SDHCI_BYTES && region.flags & VFM_REGION_MMAP);
	return 0;
}

static int short_bar_native(struct env *env)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE, .length = PAGE, .fd = -1 };
	struct vfm_device *dev;

	if (open_short_bar(env, VFM_BACKEND_IOMMUFD, &dev) || same_registers(env, dev))
		return -1;
	REQUIRE_RESULT(vfm_iommu_map_region(vfm_device_iommu(dev), dev, VFM_REGION_BAR0, 0, &map, &env->err),
		       -EOPNOTSUPP);
	REQUIRE(lab_says(env, "whole pages"));
	return 0;
}

static int short_bar_container(struct env *env)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE, .length = PAGE, .fd = -1 };
	struct vfm_device *dev;

	if (open_short_bar(env, VFM_BACKEND_TYPE1V2, &dev) || same_registers(env, dev))
		return -1;
	OK(vfm_iommu_map_region(vfm_device_iommu(dev), dev, VFM_REGION_BAR0, 0, &map, &env->err));
	OK(vfm_iommu_unmap(vfm_device_iommu(dev), map.iova, map.length, &env->err));
	return 0;
}

const struct lab_test msi_tests[] = {
	{ "msi", "vectors added, disarmed to none and armed again, in iommufd", grow_native },
	{ "msi", "vectors added, disarmed to none and armed again, in type1v2", grow_container },
	{ "msi", "one of INTx, MSI and MSI-X at a time, and which", one_kind },
	{ "msi", "a BAR shorter than a page is mapped, in iommufd", short_bar_native },
	{ "msi", "a BAR shorter than a page is mapped, for peers too, in type1v2", short_bar_container },
	{ "msi-few", "fewer vectors than wanted are no success", too_few },
	{ NULL, NULL, NULL },
};
