// SPDX-License-Identifier: MIT
/* Scenarios: opening, address space, regions, interrupts, DMA, reset. */
#include <poll.h>
#include <unistd.h>

#include "../kmod/vfiomig_edu.h"
#include "scenario.h"

#define PAGE (env->page)

static int open_bind_attach(struct env *env)
{
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	OK(vfm_iommu_open(env->ctx, NULL, &iommu, &env->err));
	env->iommus[env->opened++] = iommu;
	OK(vfm_device_open(env->ctx, env->names[EDU_A], &dev, &env->err));
	env->devs[env->opened - 1] = dev;
	REQUIRE(vfm_device_fd(dev) >= 0 && !vfm_device_is_adopted(dev));
	OK(vfm_device_bind(dev, iommu, &env->err));
	REQUIRE(vfm_device_id(dev) > 0);
	OK(vfm_device_attach(dev, &env->err));
	OK(vfm_device_detach(dev, &env->err));
	OK(vfm_device_attach(dev, &env->err));
	return 0;
}

static int bind_twice(struct env *env)
{
	struct vfm_device *dev;

	if (env_open(env, EDU_A, &dev))
		return -1;
	REQUIRE_RESULT(vfm_device_bind(dev, vfm_device_iommu(dev), &env->err), -EINVAL);
	return 0;
}

static int held_by_another(struct env *env)
{
	struct vfm_iommu *iommu;
	struct vfm_device *dev, *second = NULL;
	int r;

	if (env_open(env, EDU_A, &dev))
		return -1;
	OK(vfm_iommu_open(env->ctx, NULL, &iommu, &env->err));
	env->iommus[env->opened++] = iommu;
	r = vfm_device_open_attached(env->ctx, env->names[EDU_A], iommu, &second, &env->err);
	REQUIRE(r == -EBUSY);
	REQUIRE(!second && env->err.message[0]);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

static int no_such_device(struct env *env)
{
	struct vfm_device *dev = NULL;

	REQUIRE_RESULT(vfm_device_open(env->ctx, "0000:7f:1f.7", &dev, &env->err), -ENODEV);
	REQUIRE_RESULT(vfm_device_open(env->ctx, "not a device", &dev, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_open(env->ctx, "", &dev, &env->err), -EINVAL);
	REQUIRE(!dev);
	return 0;
}

static int info_of_edu(struct env *env)
{
	struct vfm_device_info info = { .size = sizeof(info) };
	struct vfm_identity id = { .size = sizeof(id) };
	struct vfm_device *dev;

	if (env_open(env, EDU_A, &dev))
		return -1;
	OK(vfm_device_info(dev, &info, &env->err));
	REQUIRE((info.flags & VFM_DEVICE_PCI) && (info.flags & VFM_DEVICE_RESET));
	REQUIRE(info.num_regions == 11 && info.num_irqs == 5);
	OK(vfm_device_identity(dev, &id, &env->err));
	REQUIRE((id.flags & VFM_IDENTITY_PCI) && id.pci_vendor == 0x1234 && id.pci_device == 0x11e8);
	REQUIRE((id.flags & VFM_IDENTITY_MIGRATION) && id.migration_flags == 7);
	REQUIRE(!strcmp(id.driver, "vfiomig_edu"));
	return 0;
}

static int region_bounds(struct env *env)
{
	struct vfm_region region = { .size = sizeof(region) };
	uint8_t byte[8] = { 0 };
	struct vfm_device *dev;

	if (env_open(env, EDU_A, &dev))
		return -1;
	OK(vfm_device_region(dev, VFM_REGION_BAR0, &region, &env->err));
	REQUIRE(region.length == 1 << 20 && (region.flags & VFM_REGION_READ) && (region.flags & VFM_REGION_WRITE));
	REQUIRE_RESULT(vfm_device_region(dev, 11, &region, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_region(dev, UINT32_MAX, &region, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_region_read(dev, 0, region.length, byte, 1, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_region_read(dev, 0, (1 << 20) - 3, byte, 4, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_region_read(dev, 0, UINT64_MAX, byte, 8, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_region_write(dev, 0, UINT64_MAX - 3, byte, 4, &env->err), -EINVAL);
	return 0;
}

static int contents_keep(struct env *env)
{
	struct vfm_device *dev;
	uint64_t bytes;

	if (env_open(env, EDU_A, &dev) || edu_contents_bytes(env, dev, &bytes))
		return -1;
	REQUIRE(bytes >= 1 << 20);
	if (edu_fill(env, dev, 0, 200000, 1) || edu_fill(env, dev, bytes - 70000, 70000, 2))
		return -1;
	return edu_compare(env, dev, 0, 200000, 1) || edu_compare(env, dev, bytes - 70000, 70000, 2);
}

static int reset_forgets(struct env *env)
{
	struct vfm_device *dev;
	uint32_t contents, control, word = 1, live = 0;

	if (env_open(env, EDU_A, &dev) || edu_regions(env, dev, &contents, &control))
		return -1;
	OK(vfm_device_region_write(dev, contents, 4096, &word, sizeof(word), &env->err));
	OK(vfm_device_reset(dev, &env->err));
	OK(vfm_device_region_read(dev, contents, 4096, &word, sizeof(word), &env->err));
	REQUIRE(word == 0);
	if (edu_reg_write(env, dev, 4, 0x12345678) || edu_reg_read(env, dev, 4, &live))
		return -1;
	REQUIRE(live == (uint32_t)~0x12345678);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

/* What makes a tool that restores and exits useless: the state dies with the last descriptor. */
static int close_forgets(struct env *env)
{
	struct vfm_device *dev;
	uint32_t contents, control, word = 0xabcd;

	if (env_open(env, EDU_A, &dev) || edu_regions(env, dev, &contents, &control))
		return -1;
	OK(vfm_device_region_write(dev, contents, 0, &word, sizeof(word), &env->err));
	env_forget(env, dev);
	if (env_open(env, EDU_A, &dev))
		return -1;
	OK(vfm_device_region_read(dev, contents, 0, &word, sizeof(word), &env->err));
	REQUIRE(word == 0);
	return 0;
}

static int mtty_keeps(struct env *env)
{
	struct vfm_device *dev;

	if (env_open(env, MTTY_A, &dev) || mtty_send(env, dev, "kept"))
		return -1;
	env_forget(env, dev);
	if (env_open(env, MTTY_A, &dev))
		return -1;
	return mtty_expect(env, dev, "kept");
}

static int map_rules(struct env *env)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };
	struct vfm_device *dev;
	struct vfm_iommu *iommu;

	if (env_open(env, EDU_A, &dev))
		return -1;
	iommu = vfm_device_iommu(dev);
	map.vaddr = env_memory(env, 4 * PAGE);
	REQUIRE(map.vaddr);
	map.iova = 0x100000;
	map.length = 2 * PAGE;
	OK(vfm_iommu_map(iommu, &map, &env->err));
	REQUIRE_RESULT(vfm_iommu_map(iommu, &map, &env->err), -EEXIST);
	map.iova += PAGE;
	REQUIRE_RESULT(vfm_iommu_map(iommu, &map, &env->err), -EEXIST);
	map.iova = 0x200001;
	REQUIRE_RESULT(vfm_iommu_map(iommu, &map, &env->err), -EINVAL);
	map.iova = 0x200000;
	map.length = 0;
	REQUIRE_RESULT(vfm_iommu_map(iommu, &map, &env->err), -EINVAL);
	map.length = PAGE;
	map.iova = UINT64_MAX - PAGE + 1;
	REQUIRE(vfm_iommu_map(iommu, &map, &env->err) < 0);
	map.iova = 0xfee00000; /* the MSI window of x86 */
	REQUIRE_RESULT(vfm_iommu_map(iommu, &map, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_iommu_unmap(iommu, 0x100000, PAGE, &env->err), -ENOENT);
	REQUIRE_RESULT(vfm_iommu_unmap(iommu, 0x100000 + PAGE, PAGE, &env->err), -ENOENT);
	OK(vfm_iommu_unmap(iommu, 0x100000, 2 * PAGE, &env->err));
	REQUIRE_RESULT(vfm_iommu_unmap(iommu, 0x100000, 2 * PAGE, &env->err), -ENOENT);
	map.flags &= ~(uint32_t)VFM_MAP_FIXED;
	OK(vfm_iommu_map(iommu, &map, &env->err));
	OK(vfm_iommu_unmap(iommu, map.iova, PAGE, &env->err));
	return 0;
}

static int iova_windows(struct env *env)
{
	struct vfm_iova_range ranges[16];
	struct vfm_device *dev;
	uint64_t align = 0;
	size_t count = 0;

	if (env_open(env, EDU_A, &dev))
		return -1;
	REQUIRE_RESULT(vfm_iommu_ranges(vfm_device_iommu(dev), ranges, 1, &count, &align, &env->err), -EMSGSIZE);
	REQUIRE(count >= 2 && count <= 16);
	OK(vfm_iommu_ranges(vfm_device_iommu(dev), ranges, 16, &count, &align, &env->err));
	REQUIRE(align == PAGE);
	for (size_t i = 0; i < count; i++) {
		REQUIRE(ranges[i].first <= ranges[i].last);
		REQUIRE(i == 0 || ranges[i].first > ranges[i - 1].last);
		REQUIRE(ranges[i].last < 0xfee00000 || ranges[i].first > 0xfeefffff);
	}
	return 0;
}

static int map_low(struct env *env, struct vfm_device *dev, uint64_t iova, size_t length, void **ret)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	*ret = map.vaddr = env_memory(env, length);
	map.iova = iova;
	map.length = length;
	REQUIRE(map.vaddr);
	OK(vfm_iommu_map(vfm_device_iommu(dev), &map, &env->err));
	return 0;
}

static int dma_and_msi(struct env *env)
{
	struct vfm_device *dev;
	struct pollfd pfd;
	uint64_t count = 0;
	void *memory;
	int fd;

	if (env_open(env, EDU_A, &dev) || map_low(env, dev, 0x10000, 2 * PAGE, &memory))
		return -1;
	fd = env_eventfd(env);
	OK(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &fd, &env->err));
	REQUIRE(vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, 0) >= 0);
	OK(vfm_device_bus_master(dev, true, &env->err));
	memset(memory, 0x5a, 64);
	if (edu_dma(env, dev, 0x10000, 64, true, false) || edu_dma(env, dev, 0x10000 + PAGE, 64, false, true))
		return -1;
	REQUIRE(!memcmp((char *)memory + PAGE, memory, 64));
	pfd = (struct pollfd){ .fd = fd, .events = POLLIN };
	REQUIRE(poll(&pfd, 1, 2000) == 1 && read(fd, &count, sizeof(count)) == sizeof(count) && count >= 1);
	OK(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &env->err));
	REQUIRE(vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, 0) == -1);
	return 0;
}

/* A DMA to nowhere hurts nobody, and the device works on. */
static int dma_fault(struct env *env)
{
	struct vfm_device *dev;
	void *memory;

	if (env_open(env, EDU_A, &dev) || map_low(env, dev, 0x10000, 2 * PAGE, &memory))
		return -1;
	OK(vfm_device_bus_master(dev, true, &env->err));
	memset(memory, 0x77, 32);
	if (edu_dma(env, dev, 0x10000, 32, true, false) || edu_dma(env, dev, 0x4000000, 32, false, false))
		return -1;
	if (edu_dma(env, dev, 0x10000, 32, true, false) || edu_dma(env, dev, 0x10000 + PAGE, 32, false, false))
		return -1;
	REQUIRE(!memcmp((char *)memory + PAGE, memory, 32));
	return 0;
}

static int irq_rules(struct env *env)
{
	struct vfm_irq irq = { .size = sizeof(irq) };
	struct vfm_device *dev;
	uint64_t count = 0;
	int fds[2];

	if (env_open(env, EDU_A, &dev))
		return -1;
	OK(vfm_device_irq(dev, VFM_IRQ_MSI, &irq, &env->err));
	REQUIRE(irq.count == 1 && irq.armed == 0 && (irq.flags & VFM_IRQ_EVENTFD));
	fds[0] = env_eventfd(env);
	fds[1] = env_eventfd(env);
	REQUIRE_RESULT(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 2, fds, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 1, 1, fds, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_irq_arm(dev, VFM_IRQ_MSI, UINT32_MAX, 2, fds, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_irq(dev, 99, &irq, &env->err), -EINVAL);
	OK(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, fds, &env->err));
	OK(vfm_device_irq(dev, VFM_IRQ_MSI, &irq, &env->err));
	REQUIRE(irq.armed == 1);
	OK(vfm_device_irq_trigger(dev, VFM_IRQ_MSI, 0, &env->err));
	REQUIRE(read(fds[0], &count, sizeof(count)) == sizeof(count) && count == 1);
	OK(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &env->err));
	return 0;
}

static int adopt_by_fd(struct env *env)
{
	struct vfm_adopt adopt = { .size = sizeof(adopt), .iommufd = -1 };
	struct vfm_device *dev, *twin = NULL;
	struct vfm_identity id = { .size = sizeof(id) };

	if (env_open(env, EDU_A, &dev))
		return -1;
	adopt.device_fd = vfm_device_fd(dev);
	OK(vfm_device_adopt(env->ctx, &adopt, &twin, &env->err));
	REQUIRE(vfm_device_is_adopted(twin) && !vfm_device_iommu(twin));
	OK(vfm_device_identity(twin, &id, &env->err));
	REQUIRE(id.pci_vendor == 0x1234);
	if (env_state(env, twin, VFM_STATE_RUNNING) || edu_fill(env, twin, 0, 64, 9))
		return -1;
	vfm_device_close(twin); /* not the last descriptor: nothing is lost */
	if (edu_compare(env, dev, 0, 64, 9))
		return -1;
	adopt.device_fd = 0; /* some other file */
	REQUIRE(vfm_device_adopt(env->ctx, &adopt, &twin, &env->err) < 0);
	adopt.device_fd = -1;
	REQUIRE_RESULT(vfm_device_adopt(env->ctx, &adopt, &twin, &env->err), -EBADF);
	return 0;
}

static int two_devices_one_space(struct env *env)
{
	struct vfm_device *a, *b;
	void *memory;

	if (env_open(env, EDU_A, &a))
		return -1;
	OK(vfm_device_open_attached(env->ctx, env->names[EDU_B], vfm_device_iommu(a), &b, &env->err));
	env->devs[env->opened] = b;
	env->iommus[env->opened++] = NULL;
	if (map_low(env, a, 0x40000, 2 * PAGE, &memory))
		return -1;
	OK(vfm_device_bus_master(a, true, &env->err));
	OK(vfm_device_bus_master(b, true, &env->err));
	memset(memory, 0x31, 128);
	if (edu_dma(env, a, 0x40000, 64, true, false) || edu_dma(env, a, 0x40000 + PAGE, 64, false, false))
		return -1;
	if (edu_dma(env, b, 0x40040, 64, true, false) || edu_dma(env, b, 0x40040 + PAGE, 64, false, false))
		return -1;
	REQUIRE(!memcmp((char *)memory + PAGE, memory, 128));
	/* the memory must be unmapped last: close the one that does not own the space first */
	vfm_device_close(b);
	env->devs[--env->opened] = NULL;
	return 0;
}

const struct scenario device_scenarios[] = {
	{ "open, bind, attach one by one", open_bind_attach },
	{ "binding twice is refused", bind_twice },
	{ "a device held by another address space", held_by_another },
	{ "no such device", no_such_device },
	{ "info and identity of edu", info_of_edu },
	{ "region access outside its bounds", region_bounds },
	{ "contents keep what was written", contents_keep },
	{ "reset forgets the device's state", reset_forgets },
	{ "last close forgets the device's state", close_forgets },
	{ "mtty keeps its state over close", mtty_keeps },
	{ "rules of mapping", map_rules },
	{ "IOVA windows", iova_windows },
	{ "DMA both ways and MSI", dma_and_msi },
	{ "DMA outside every map", dma_fault },
	{ "rules of interrupts", irq_rules },
	{ "adoption by descriptor", adopt_by_fd },
	{ "two devices in one address space", two_devices_one_space },
	{ NULL, NULL },
};
