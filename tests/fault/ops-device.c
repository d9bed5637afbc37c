// SPDX-License-Identifier: MIT
/* Operations of one device: finding and opening, interrupts and eventfds, resets, power, PASIDs, being taken over. */
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vfiomig/lend.h>

#include "sweep.h"

#define GPU "nvgrace-gpu@" SOURCE ",state=4m;nvgrace-gpu@" TARGET ",state=4m"
#define BUS_A "0000:05:00.0"
#define BUS_B "0000:05:00.1"
#define ONE_BUS "edu@" BUS_A ",state=64k;edu@" BUS_B ",state=64k"

static int op_open(struct bench *b)
{
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	int r = vfm_iommu_open(b->ctx, NULL, &iommu, &b->err);

	if (r)
		return r;
	r = vfm_device_open_attached(b->ctx, SOURCE, iommu, &dev, &b->err);
	if (!r)
		vfm_device_close(dev);
	vfm_iommu_close(iommu);
	return r;
}

static int count_device(void *user, const struct vfm_candidate *c)
{
	(void)c;
	++*(int *)user;
	return 0;
}

static int op_discover(struct bench *b)
{
	int count = 0;
	int r = vfm_discover(b->ctx, count_device, &count, &b->err);

	return r < 0 ? r : 0;
}

/* eventfds */

static int op_interrupts(struct bench *b)
{
	int r = vfm_device_irq_arm(b->source, VFM_IRQ_MSI, 0, 1, &b->eventfd, &b->err);

	return r ? r : vfm_device_irq_disarm(b->source, VFM_IRQ_MSI, &b->err);
}

/* Vectors that come one after the other, where the kernel can do that and where it cannot. */
static int op_vectors(struct bench *b)
{
	int r = 0;

	for (uint32_t i = 0; i < 3 && r == 0; i++)
		r = vfm_device_irq_arm(b->source, VFM_IRQ_MSIX, i, 1, &b->eventfd, &b->err);
	return r ? r : vfm_device_irq_disarm(b->source, VFM_IRQ_MSIX, &b->err);
}

/* Added while the index is enabled and nothing is armed. */
static int op_vectors_again(struct bench *b)
{
	const int none = -1;
	int r = vfm_device_irq_arm(b->source, VFM_IRQ_MSIX, 0, 1, &b->eventfd, &b->err);

	if (r == 0)
		r = vfm_device_irq_arm(b->source, VFM_IRQ_MSIX, 0, 1, &none, &b->err);
	if (r == 0)
		r = vfm_device_irq_arm(b->source, VFM_IRQ_MSIX, 1, 1, &b->eventfd, &b->err);
	return r ? r : vfm_device_irq_disarm(b->source, VFM_IRQ_MSIX, &b->err);
}

static int op_intx(struct bench *b)
{
	int r = vfm_device_irq_arm(b->source, VFM_IRQ_INTX, 0, 1, &b->eventfd, &b->err);

	if (r == 0)
		r = vfm_device_irq_mask(b->source, VFM_IRQ_INTX, true, &b->err);
	if (r == 0)
		r = vfm_device_irq_trigger(b->source, VFM_IRQ_INTX, 0, &b->err);
	if (r == 0)
		r = vfm_device_irq_mask(b->source, VFM_IRQ_INTX, false, &b->err);
	return r ? r : vfm_device_irq_disarm(b->source, VFM_IRQ_INTX, &b->err);
}

static int op_ioeventfd(struct bench *b)
{
	int r = vfm_device_ioeventfd(b->source, VFM_REGION_BAR0, 0, 4, 1, b->eventfd, &b->err);

	if (r == 0)
		r = vfm_device_ioeventfd(b->source, VFM_REGION_BAR0, 0, 4, 1, -1, &b->err);
	return r;
}

/* A notice that was armed is not lost to a call that failed in between. */
static int op_watch(struct bench *b)
{
	uint32_t found;
	int r = vfm_device_watch(b->source, &b->err);

	if (r)
		return r;
	if (vfm_sim_poke(b->sim, SOURCE, "request"))
		sweep_wrong(b, "cannot poke");
	found = vfm_device_notices(b->source);
	if (sweep_quiet(b) == 0)
		found |= vfm_device_notices(b->source);
	if (!(found & VFM_NOTICE_REQUEST) && !b->struck)
		sweep_wrong(b, "the kernel's wish was not noticed");
	return 0;
}

/* resets and power */

/* Once nothing fails any more the device answers and runs. */
static int end_running(struct bench *b, int r)
{
	uint32_t state = VFM_STATE_UNKNOWN;

	if (sweep_quiet(b) || vfm_device_get_state(b->source, &state, NULL) || state != VFM_STATE_RUNNING)
		sweep_wrong(b, "the device does not run afterwards");
	return r;
}

static int op_reset(struct bench *b)
{
	return end_running(b, vfm_device_reset(b->source, &b->err));
}

static int op_hot_reset(struct bench *b)
{
	struct vfm_hot_reset_peer peers[4];
	size_t count = 0;
	int r;

	for (size_t i = 0; i < 4; i++)
		peers[i] = (struct vfm_hot_reset_peer){ .size = sizeof(peers[i]) };
	r = vfm_device_hot_reset_info(b->source, peers, 4, &count, &b->err);
	if (r == 0 && count != 2)
		sweep_wrong(b, "not the functions that are there");
	if (r == 0)
		r = vfm_device_hot_reset(b->source, &b->target, 1, &b->err);
	return end_running(b, r);
}

static int op_power(struct bench *b)
{
	uint32_t state;
	int r = vfm_device_power(b->source, VFM_POWER_LOW, b->eventfd, &b->err);

	if (r == 0)
		r = vfm_device_get_state(b->source, &state, &b->err);
	if (r == 0)
		r = vfm_device_power(b->source, VFM_POWER_LOW, -1, &b->err);
	if (r == 0)
		r = vfm_device_power(b->source, VFM_POWER_ON, -1, &b->err);
	return end_running(b, r);
}

static int op_bus_master(struct bench *b)
{
	int r = vfm_device_bus_master(b->source, true, &b->err);

	return r ? r : vfm_device_bus_master(b->source, false, &b->err);
}

/* what it shares */

/* What was not attached can be; what is attached is so once. */
static int op_pasid(struct bench *b)
{
	int r = vfm_device_attach_pasid(b->source, 1, b->iommu, &b->err);
	int again;

	if (r == 0)
		r = vfm_device_attach_pasid(b->source, 2, b->iommu, &b->err);
	if (r == 0)
		r = vfm_device_detach_pasid(b->source, 1, &b->err);
	if (sweep_quiet(b))
		return r;
	again = vfm_device_attach_pasid(b->source, 1, b->iommu, NULL);
	if (again && again != -EEXIST)
		sweep_wrong(b, "the PASID is neither attached nor free");
	return r;
}

static int op_export(struct bench *b)
{
	const struct vfm_area areas[] = { { .length = PAGE }, { .offset = 2 * PAGE, .length = PAGE } };
	int fd = -1;
	int r = vfm_device_region_export(b->source, VFM_REGION_BAR0 + 4, areas, 2, &fd, &b->err);

	if (r == 0)
		close(fd);
	else if (fd >= 0)
		sweep_wrong(b, "a dma-buf that failed");
	return r;
}

static int op_map_region(struct bench *b)
{
	VFM_OPTS(vfm_map, map);
	int r;

	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.length = PAGE;
	map.iova = 0x100000;
	r = vfm_iommu_map_region(b->iommu, b->target, 4, 0, &map, &b->err);
	if (r)
		return r;
	r = vfm_iommu_unmap(b->iommu, map.iova, map.length, &b->err);
	if (r && !sweep_quiet(b) && vfm_iommu_unmap(b->iommu, map.iova, map.length, NULL) &&
	    vfm_iommu_unmap(b->iommu, map.iova, map.length, NULL))
		sweep_wrong(b, "it cannot be unmapped any more");
	return r;
}

static int op_token(struct bench *b)
{
	static const uint8_t token[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	VFM_OPTS(vfm_open, open);
	struct vfm_device *dev;
	int r = vfm_device_set_vf_token(b->source, token, &b->err);

	if (r)
		return r;
	open.name = "0000:01:10.0";
	open.flags = VFM_OPEN_TOKEN | (b->op->backend == VFM_BACKEND_TYPE1V2 ? VFM_OPEN_GROUP : VFM_OPEN_CDEV);
	memcpy(open.vf_token, token, sizeof(token));
	r = vfm_device_open_with(b->ctx, &open, &dev, &b->err);
	if (r)
		return r;
	r = vfm_device_bind(dev, b->iommu, &b->err);
	if (r == 0)
		r = vfm_device_attach(dev, &b->err);
	vfm_device_close(dev);
	return r;
}

/* Taken out of a process, this one, which goes on holding it. */
static int op_pidfd(struct bench *b)
{
	char text[160];
	struct vfm_device *dev;
	uint32_t state;
	int r;

	snprintf(text, sizeof(text), "pidfd:%d:%d,iommufd=%d,ioas=%u,devid=%u,pt=%u,sim=1,irq=1:0:%d", (int)getpid(),
		 vfm_device_fd(b->source), vfm_iommu_fd(b->iommu), vfm_iommu_ioas_id(b->iommu),
		 vfm_device_id(b->source), vfm_device_pt_id(b->source), b->eventfd);
	r = vfm_device_adopt_described(b->ctx, text, &dev, &b->err);
	if (r == 0) {
		r = vfm_device_get_state(dev, &state, &b->err);
		vfm_device_close(dev);
	}
	return end_running(b, r);
}

#define OPEN .devices = true, .small = true, .both = true
#define PF "edu@" SOURCE ",sriov=1,group=50;edu@" TARGET ";edu@0000:01:10.0,pf=" SOURCE

static const struct operation list[] = {
	{ "open", op_open, .small = true },
	{ "discover", op_discover, .devices = false },
	{ "interrupts", op_interrupts, .devices = true, .small = true, .source_then = VFM_STATE_RUNNING,
	  .target_then = VFM_STATE_RUNNING },
	{ "vectors", op_vectors, .spec = GPU, OPEN },
	{ "vectors-static", op_vectors, .spec = "nvgrace-gpu@" SOURCE ",msix=static;edu@" TARGET, OPEN },
	{ "vectors-again", op_vectors_again, .spec = "nvgrace-gpu@" SOURCE ",msix=static;edu@" TARGET, OPEN },
	{ "intx", op_intx, OPEN },
	{ "ioeventfd", op_ioeventfd, OPEN },
	{ "watch", op_watch, OPEN },
	{ "reset", op_reset, .spec = "edu@" SOURCE ",reset=10ms,ready=50ms;edu@" TARGET, OPEN },
	{ "hot-reset", op_hot_reset, .spec = ONE_BUS, .names = { BUS_A, BUS_B }, OPEN },
	{ "hot-reset-groups", op_hot_reset, .spec = ONE_BUS, .names = { BUS_A, BUS_B }, .backend = VFM_BACKEND_TYPE1V2,
	  OPEN },
	{ "power", op_power, OPEN },
	{ "bus-master", op_bus_master, OPEN },
	{ "pasid", op_pasid, .spec = "kernel=6.15;edu@" SOURCE ",pasid=4;edu@" TARGET, OPEN },
	{ "export", op_export, .spec = "kernel=7.1;" GPU, OPEN },
	{ "map-region", op_map_region, .spec = GPU, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "map-dma-buf", op_map_region, .spec = "kernel=7.2;" GPU, .backend = VFM_BACKEND_IOMMUFD, OPEN },
	{ "token", op_token, .spec = "kernel=6.17;" PF, OPEN },
	{ "token-group", op_token, .spec = PF, .backend = VFM_BACKEND_TYPE1V2, OPEN },
	{ "pidfd", op_pidfd, OPEN },
};

const struct operations ops_device = { "device", OPERATIONS(list) };
