// SPDX-License-Identifier: MIT
/* An NVMe driven through the library alone: MSI-X that is added to while it is in use, DMA, reset. */
#include "lab.h"

#define OP_IO_READ 2
#define OP_CREATE_IO_SQ 1
#define OP_CREATE_IO_CQ 5
#define IO_ENTRIES 16u

static int open_nvme(struct env *env, uint32_t backend, struct nvme *n)
{
	struct vfm_device *dev;

	return lab_open(env, backend, FIRST, &dev) || nvme_start(env, dev, VFM_IRQ_MSIX, n);
}

/* A queue for data, told of by vector 1; its memory is the fourth page and the fifth. */
static int create_io_queue(struct nvme *n)
{
	const uint64_t commands = n->iova + 3 * PAGE, completions = n->iova + 4 * PAGE;
	const uint32_t make_completions[16] = { [0] = OP_CREATE_IO_CQ,
						[6] = (uint32_t)completions,
						[7] = (uint32_t)(completions >> 32),
						[10] = (IO_ENTRIES - 1) << 16 | 1,
						[11] = 1 << 16 | 3 };
	const uint32_t make_commands[16] = { [0] = OP_CREATE_IO_SQ,
					     [6] = (uint32_t)commands,
					     [7] = (uint32_t)(commands >> 32),
					     [10] = (IO_ENTRIES - 1) << 16 | 1,
					     [11] = 1 << 16 | 1 };

	return nvme_command(n, &n->admin, make_completions) || nvme_command(n, &n->admin, make_commands);
}

/* A block of the disk, which is all zeroes, over other bytes. */
static int read_block(struct nvme *n)
{
	const uint64_t data = n->iova + 2 * PAGE;
	const uint32_t command[16] = { [0] = OP_IO_READ, [1] = 1, [6] = (uint32_t)data, [7] = (uint32_t)(data >> 32) };
	struct env *env = n->env;

	memset(NVME_DATA(n), 0xa5, PAGE);
	if (nvme_command(n, &n->io, command))
		return -1;
	REQUIRE(NVME_DATA(n)[0] == 0 && !memcmp(NVME_DATA(n), NVME_DATA(n) + 1, 511));
	REQUIRE(NVME_DATA(n)[512] == 0xa5);
	return 0;
}

static int identify(struct env *env, uint32_t backend)
{
	struct nvme n;
	int r = open_nvme(env, backend, &n) || nvme_identify(&n) || nvme_identify(&n);

	nvme_end(&n);
	return r;
}

/* Its MSI-X table is in BAR 0, which vfio-pci maps with it (Linux 4.16), doorbells and all. */
static int table_is_mappable(struct env *env)
{
	struct vfm_region region = { .size = sizeof(region) };
	struct vfm_device *dev;
	struct vfm_area area;
	size_t count;

	if (lab_open(env, VFM_BACKEND_IOMMUFD, FIRST, &dev))
		return -1;
	OK(vfm_device_region(dev, VFM_REGION_BAR0, &region, &env->err));
	REQUIRE((region.flags & (VFM_REGION_MMAP | VFM_REGION_MSIX_MAPPABLE | VFM_REGION_SPARSE)) ==
		(VFM_REGION_MMAP | VFM_REGION_MSIX_MAPPABLE));
	OK(vfm_device_region_sparse(dev, VFM_REGION_BAR0, &area, 1, &count, &env->err));
	REQUIRE(count == 1 && area.offset == 0 && area.length == region.length);
	return 0;
}

static int identify_native(struct env *env)
{
	return identify(env, VFM_BACKEND_IOMMUFD);
}

static int identify_container(struct env *env)
{
	return identify(env, VFM_BACKEND_TYPE1V2);
}

static int identify_compat(struct env *env)
{
	return identify(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

static int grow(struct nvme *n)
{
	struct vfm_irq irq = { .size = sizeof(irq) };
	struct env *env = n->env;

	OK(vfm_device_irq(n->dev, VFM_IRQ_MSIX, &irq, &env->err));
	REQUIRE(irq.count > 1 && (irq.flags & VFM_IRQ_EVENTFD) && !(irq.flags & VFM_IRQ_NORESIZE));
	if (nvme_identify(n) || nvme_arm(n, VFM_IRQ_MSIX, &n->io) || create_io_queue(n) || read_block(n) ||
	    nvme_identify(n))
		return -1;
	OK(vfm_device_irq(n->dev, VFM_IRQ_MSIX, &irq, &env->err));
	REQUIRE(irq.armed == 2);
	/* each queue by its own vector, and nothing without cause when one was added */
	REQUIRE(!fired(n->admin.eventfd, 0) && !fired(n->io.eventfd, 0));
	return 0;
}

static int add_vector(struct env *env, uint32_t backend)
{
	struct nvme n;
	int r = open_nvme(env, backend, &n) || grow(&n);

	nvme_end(&n);
	return r;
}

static int add_vector_native(struct env *env)
{
	return add_vector(env, VFM_BACKEND_IOMMUFD);
}

static int add_vector_container(struct env *env)
{
	return add_vector(env, VFM_BACKEND_TYPE1V2);
}

static int drop_and_take(struct nvme *n)
{
	struct env *env = n->env;
	int none = -1;

	if (nvme_arm(n, VFM_IRQ_MSIX, &n->io) || create_io_queue(n))
		return -1;
	OK(vfm_device_irq_arm(n->dev, VFM_IRQ_MSIX, 1, 1, &none, &env->err));
	REQUIRE(vfm_device_irq_eventfd(n->dev, VFM_IRQ_MSIX, 1) < 0);
	if (nvme_identify(n) || nvme_arm(n, VFM_IRQ_MSIX, &n->io) || read_block(n))
		return -1;
	OK(vfm_device_irq_trigger(n->dev, VFM_IRQ_MSIX, 1, &env->err));
	REQUIRE(fired(n->io.eventfd, 1000) && !fired(n->admin.eventfd, 0));
	return 0;
}

static int one_vector_goes(struct env *env)
{
	struct nvme n;
	int r = open_nvme(env, VFM_BACKEND_IOMMUFD, &n) || drop_and_take(&n);

	nvme_end(&n);
	return r;
}

/* Its vectors are armed as before, its registers are not as they were. */
static int reset_and_again(struct nvme *n)
{
	struct env *env = n->env;
	struct nvme again = { .env = env };
	bool enabled;
	int r;

	if (nvme_identify(n))
		return -1;
	OK(vfm_device_reset(n->dev, &env->err));
	if (nvme_is_enabled(env, n->dev, &enabled))
		return -1;
	REQUIRE(!enabled);
	OK(vfm_iommu_unmap(vfm_device_iommu(n->dev), n->iova, NVME_PAGES * PAGE, &env->err));
	OK(vfm_device_bus_master(n->dev, true, &env->err));
	r = nvme_start(env, n->dev, -1, &again);
	again.admin.eventfd = n->admin.eventfd;
	r = r || nvme_identify(&again);
	nvme_end(&again);
	return r;
}

static int reset_it(struct env *env)
{
	struct nvme n;
	int r = open_nvme(env, VFM_BACKEND_IOMMUFD, &n) || reset_and_again(&n);

	nvme_end(&n);
	return r;
}

const struct lab_test nvme_tests[] = {
	{ "nvme", "Identify ends with MSI-X, in iommufd", identify_native },
	{ "nvme", "Identify ends with MSI-X, in type1v2", identify_container },
	{ "nvme", "Identify ends with MSI-X, in compat-type1v2", identify_compat },
	{ "nvme", "the BAR with the MSI-X table is mapped whole", table_is_mappable },
	{ "nvme", "a vector is added to those in use, in iommufd", add_vector_native },
	{ "nvme", "a vector is added to those in use, in type1v2", add_vector_container },
	{ "nvme", "a vector is disarmed and armed again beside another", one_vector_goes },
	{ "nvme", "reset: disabled after it, and starts again", reset_it },
	{ NULL, NULL, NULL },
};
