// SPDX-License-Identifier: MIT
/* Every mode of the IOMMU with two devices of plain vfio-pci in it: DMA both ways, interrupts. */
#include "lab.h"

#define LOW 0x100000ull
#define HIGH 0x500000000ull /* above 4 GiB: the whole address has to arrive */
#define REG_IRQ_ACK 0x64
#define IRQ_DMA 0x100

static int interrupted(struct env *env, struct vfm_device *dev, uint64_t iova)
{
	int event = env_eventfd(env);

	OK(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &event, &env->err));
	if (edu_dma(env, dev, iova, 64, false, true))
		return -1;
	REQUIRE(fired(event, 5000));
	if (edu_reg_write(env, dev, REG_IRQ_ACK, IRQ_DMA))
		return -1;
	OK(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &env->err));
	return 0;
}

/* What one device has written the other one reads. */
static int two_by(struct env *env, uint32_t backend)
{
	uint8_t *memory = env_memory(env, 4 * PAGE);
	struct vfm_device *a, *b;
	struct vfm_iommu *iommu;

	REQUIRE(memory);
	if (env_space(env, backend, &iommu) || env_add(env, iommu, FIRST, &a))
		return -1;
	OK(env_map(env, iommu, memory, 2 * PAGE, LOW));
	if (env_add(env, iommu, SECOND, &b))
		return -1;
	OK(env_map(env, iommu, memory + 2 * PAGE, 2 * PAGE, HIGH));
	if (edu_copy(env, a, memory, LOW, memory + 2 * PAGE, HIGH, 1) ||
	    edu_copy(env, b, memory + 2 * PAGE, HIGH, memory + PAGE, LOW + PAGE, 2) || interrupted(env, a, LOW) ||
	    interrupted(env, b, HIGH + PAGE))
		return -1;
	/* one leaves, the other one stays where it is */
	env_forget(env, a);
	if (edu_copy(env, b, memory + PAGE, LOW + PAGE, memory + 3 * PAGE, HIGH + PAGE, 3))
		return -1;
	OK(vfm_iommu_unmap(iommu, LOW, 2 * PAGE, &env->err));
	OK(vfm_iommu_unmap(iommu, HIGH, 2 * PAGE, &env->err));
	return 0;
}

static int native(struct env *env)
{
	return two_by(env, VFM_BACKEND_IOMMUFD);
}

static int type1(struct env *env)
{
	return two_by(env, VFM_BACKEND_TYPE1);
}

static int type1v2(struct env *env)
{
	return two_by(env, VFM_BACKEND_TYPE1V2);
}

static int compat_type1(struct env *env)
{
	return two_by(env, VFM_BACKEND_COMPAT_TYPE1);
}

static int compat_type1v2(struct env *env)
{
	return two_by(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

/* 1 KiB through the device; the same IOVA is other memory in the other address space, which stays as it is. */
static int reaches(struct env *env, struct vfm_device *dev, uint8_t *memory, uint8_t *other, uint8_t seed)
{
	memset(other, 0, 2 * PAGE);
	if (edu_copy(env, dev, memory, LOW, memory + PAGE, LOW + PAGE, seed))
		return -1;
	for (size_t i = 0; i < 2 * PAGE; i++)
		REQUIRE(other[i] == 0);
	return 0;
}

static int books_say(struct env *env, struct vfm_iommu *iommu, uint64_t bytes)
{
	VFM_OPTS(vfm_limits, limits);

	OK(vfm_iommu_preflight(iommu, 0, 0, &limits, &env->err));
	REQUIRE(limits.memlock_needed == bytes);
	return 0;
}

/* A domain and another, as a vIOMMU has them: at once, after a detach, and to where nothing is mapped. */
static int between_two(struct env *env)
{
	uint8_t *memory = env_memory(env, 2 * PAGE), *other_memory = env_memory(env, 2 * PAGE);
	struct vfm_iommu *iommu, *other;
	struct vfm_device *dev;
	uint32_t table;

	REQUIRE(memory && other_memory);
	if (env_space(env, VFM_BACKEND_IOMMUFD, &iommu) || env_add(env, iommu, FIRST, &dev))
		return -1;
	OK(vfm_iommu_open_beside(iommu, 0, &other, &env->err));
	env->devs[env->opened] = NULL;
	env->iommus[env->opened++] = other; /* to be closed after the device */
	OK(env_map(env, iommu, memory, 2 * PAGE, LOW));
	OK(env_map(env, other, other_memory, 2 * PAGE, LOW));
	if (reaches(env, dev, memory, other_memory, 4))
		return -1;
	table = vfm_device_pt_id(dev);
	OK(vfm_device_attach_to(dev, other, &env->err));
	REQUIRE(vfm_device_pt_id(dev) != table && vfm_device_iommu(dev) == other);
	if (reaches(env, dev, other_memory, memory, 5) || books_say(env, iommu, 2 * PAGE) || books_say(env, other, 0))
		return -1;
	OK(vfm_device_detach(dev, &env->err));
	OK(vfm_device_attach_to(dev, iommu, &env->err));
	if (reaches(env, dev, memory, other_memory, 6))
		return -1;
	OK(vfm_iommu_unmap(other, LOW, 2 * PAGE, &env->err));
	OK(vfm_device_attach_to(dev, other, &env->err));
	memset(memory, 0, 2 * PAGE);
	(void)edu_dma(env, dev, LOW, 64, false, false);
	for (size_t i = 0; i < 2 * PAGE; i++)
		REQUIRE(memory[i] == 0);
	OK(env_map(env, other, other_memory, 2 * PAGE, LOW));
	return reaches(env, dev, other_memory, memory, 7);
}

static int only_beside(struct env *env)
{
	struct vfm_iommu *iommu, *foreign;
	struct vfm_device *dev;

	if (env_space(env, VFM_BACKEND_IOMMUFD, &iommu) || env_add(env, iommu, FIRST, &dev) ||
	    env_space(env, VFM_BACKEND_IOMMUFD, &foreign))
		return -1;
	REQUIRE_RESULT(vfm_device_attach_to(dev, foreign, &env->err), -EINVAL);
	REQUIRE(vfm_device_iommu(dev) == iommu);
	return 0;
}

const struct lab_test mode_tests[] = {
	{ "modes", "two devices in iommufd, DMA and MSI", native },
	{ "modes", "two devices in type1, DMA and MSI", type1 },
	{ "modes", "two devices in type1v2, DMA and MSI", type1v2 },
	{ "modes", "two devices in compat-type1, DMA and MSI", compat_type1 },
	{ "modes", "two devices in compat-type1v2, DMA and MSI", compat_type1v2 },
	{ "modes", "a device goes from one address space to another and back", between_two },
	{ "modes", "not to that of another iommufd", only_beside },
	{ NULL, NULL, NULL },
};
