/* SPDX-License-Identifier: MIT */
/* iommufd's page tables: made by hand or by an attach, what devices are attached to, and what they track. */
#include "pages.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define FLAG_NEST_PARENT 1u
#define FLAG_FAULT_ID 4u

static uint32_t slot_of(const struct vfm_sim *sim, const struct sim_hwpt *hwpt)
{
	return (uint32_t)(hwpt - sim->machine->hwpt);
}

struct sim_hwpt *vfmi_sim_hwpt(struct vfm_sim *sim, uint32_t ctx, uint32_t id)
{
	struct sim_hwpt *hwpt = sim->machine->hwpt;
	uint32_t i;

	for (i = 0; id && i < SIM_MAX_HWPTS; i++)
		if (hwpt[i].id == id && hwpt[i].owner == ctx)
			return &hwpt[i];
	return NULL;
}

bool vfmi_sim_has_hwpt(const struct vfm_sim *sim, uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_HWPTS; i++)
		if (sim->machine->hwpt[i].id && sim->machine->hwpt[i].space == slot)
			return true;
	return false;
}

static bool uses(const struct sim_device *dev, uint32_t slot)
{
	uint32_t i;

	if (dev->hwpt == slot + 1)
		return true;
	for (i = 0; i < SIM_MAX_PASIDS; i++)
		if (dev->pasids[i].hwpt == slot + 1)
			return true;
	return false;
}

bool vfmi_sim_hwpt_used(const struct vfm_sim *sim, const struct sim_hwpt *hwpt)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++)
		if (uses(&sim->machine->device[i], slot_of(sim, hwpt)))
			return true;
	return false;
}

void vfmi_sim_hwpt_repair(struct vfm_sim *sim)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_HWPTS; i++) {
		struct sim_hwpt *hwpt = &sim->machine->hwpt[i];

		if (hwpt->id && hwpt->automatic && !vfmi_sim_hwpt_used(sim, hwpt))
			__atomic_store_n(&hwpt->id, 0, __ATOMIC_RELEASE);
	}
}

/* making them */

static struct sim_hwpt *hwpt_new(struct vfm_sim *sim, uint32_t ctx, uint32_t space, uint32_t flags, bool automatic)
{
	struct sim_hwpt *hwpt = sim->machine->hwpt;
	uint32_t i, id = vfmi_sim_new_id(sim, ctx);

	for (i = 0; i < SIM_MAX_HWPTS; i++)
		if (!hwpt[i].id)
			break;
	if (i == SIM_MAX_HWPTS)
		return NULL;
	hwpt[i] = (struct sim_hwpt){ .owner = ctx, .space = space, .flags = flags, .automatic = automatic };
	__atomic_store_n(&hwpt[i].id, id, __ATOMIC_RELEASE);
	return &hwpt[i];
}

static const struct sim_device *device_of(struct vfm_sim *sim, uint32_t ctx, uint32_t id)
{
	uint32_t i;

	for (i = 0; id && i < sim->machine->devices; i++) {
		const struct sim_device *dev = &sim->machine->device[i];

		/* A mediated device's id names an access, which is no device to iommufd. */
		if (dev->ctx == ctx + 1 && dev->devid == id && !vfmi_sim_quirk(dev, SIM_MDEV))
			return dev;
	}
	return NULL;
}

static uint32_t known_flags(const struct vfm_sim *sim)
{
	uint32_t flags = FLAG_NEST_PARENT;

	if (sim->machine->host.kernel >= SIM_KERNEL(6, 7))
		flags |= IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	if (sim->machine->host.kernel >= SIM_KERNEL(6, 15))
		flags |= IOMMU_HWPT_ALLOC_PASID;
	return flags;
}

/* Since Linux 6.16 a device without PASIDs is attached for one all the same, to no effect. */
static bool may_have_pasid(const struct vfm_sim *sim, const struct sim_device *dev)
{
	return dev->pasid_log2 || sim->machine->host.kernel >= SIM_KERNEL(6, 16);
}

static bool hardware_can(const struct vfm_sim *sim, const struct sim_device *dev, uint32_t flags)
{
	if ((flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) && !(dev->flags & SIM_DEVICE_DIRTY))
		return false;
	if ((flags & IOMMU_HWPT_ALLOC_PASID) && !may_have_pasid(sim, dev))
		return false;
	return !(flags & FLAG_NEST_PARENT);
}

/* No page table here may be a parent; kernels that asked hardware for both kinds alike find that out by the parent. */
static int nested_refusal(const struct vfm_sim *sim, const struct iommu_hwpt_alloc *cmd)
{
	if (sim->machine->host.kernel >= SIM_KERNEL(6, 14) || !cmd->data_len || (cmd->flags & ~FLAG_FAULT_ID))
		return -EOPNOTSUPP;
	return -EINVAL;
}

static int hwpt_alloc(struct vfm_sim *sim, uint32_t ctx, struct iommu_hwpt_alloc *cmd)
{
	const struct sim_device *dev;
	const struct sim_hwpt *hwpt;
	struct sim_space *space;
	int r;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	if ((cmd->data_type == IOMMU_HWPT_DATA_NONE) != !cmd->data_len) {
		vfmi_sim_strict(sim, "IOMMU_HWPT_ALLOC with %u bytes of data of type %u", cmd->data_len,
				cmd->data_type);
		return -EINVAL;
	}
	dev = device_of(sim, ctx, cmd->dev_id);
	if (!dev)
		return -ENOENT;
	space = vfmi_sim_ioas(sim, ctx, cmd->pt_id);
	if (!space)
		return vfmi_sim_hwpt(sim, ctx, cmd->pt_id) ? nested_refusal(sim, cmd) : -EINVAL; /* no page table */
	if ((cmd->flags & ~known_flags(sim)) || cmd->data_len || !hardware_can(sim, dev, cmd->flags))
		return -EOPNOTSUPP;
	r = vfmi_sim_space_check(sim, vfmi_sim_slot(sim, space), false);
	if (r)
		return r;
	hwpt = hwpt_new(sim, ctx, vfmi_sim_slot(sim, space), cmd->flags, false);
	if (!hwpt)
		return -ENOMEM;
	cmd->out_hwpt_id = hwpt->id;
	return 0;
}

static int hw_info(struct vfm_sim *sim, uint32_t ctx, struct iommu_hw_info *cmd)
{
	const struct sim_device *dev;
	bool caps = cmd->size >= sizeof(*cmd);

	if (cmd->flags)
		return -EOPNOTSUPP;
	dev = device_of(sim, ctx, cmd->dev_id);
	if (!dev)
		return -ENOENT;
	if (cmd->data_len && !cmd->data_uptr)
		return -EFAULT;
	if (cmd->data_len)
		memset((void *)(uintptr_t)cmd->data_uptr, 0, cmd->data_len);
	cmd->data_len = 0;
	cmd->out_data_type = 0; /* hardware that says nothing about itself */
	cmd->out_max_pasid_log2 = sim->machine->host.kernel >= SIM_KERNEL(6, 15) ? (uint8_t)dev->pasid_log2 : 0;
	if (caps)
		cmd->out_capabilities = dev->flags & SIM_DEVICE_DIRTY ? IOMMU_HW_CAP_DIRTY_TRACKING : 0;
	return 0;
}

/* attaching */

/* Devices of one group are translated by one page table, those without PASID. */
static bool group_has_other(const struct vfm_sim *sim, const struct sim_device *dev, uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++) {
		const struct sim_device *other = &sim->machine->device[i];

		if (other != dev && other->group == dev->group && other->hwpt && other->hwpt != slot + 1)
			return true;
	}
	return false;
}

static int fits(const struct vfm_sim *sim, const struct sim_device *dev, const struct sim_hwpt *hwpt)
{
	if (!dev->hwpt && group_has_other(sim, dev, slot_of(sim, hwpt)))
		return -EINVAL;
	if ((hwpt->flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) && !(dev->flags & SIM_DEVICE_DIRTY))
		return -EINVAL;
	return vfmi_sim_has_pasids(dev) && !(hwpt->flags & IOMMU_HWPT_ALLOC_PASID) ? -EINVAL : 0;
}

/* Replacing takes the whole group along. */
static void put_on(struct vfm_sim *sim, struct sim_device *dev, const struct sim_hwpt *hwpt)
{
	uint32_t i, old = dev->hwpt;

	for (i = 0; old && i < sim->machine->devices; i++) {
		struct sim_device *other = &sim->machine->device[i];

		if (other->group != dev->group || other->hwpt != old)
			continue;
		other->hwpt = slot_of(sim, hwpt) + 1;
		other->space = hwpt->space + 1;
	}
	dev->hwpt = slot_of(sim, hwpt) + 1;
	dev->space = hwpt->space + 1;
	vfmi_sim_hwpt_repair(sim);
}

static int attach_hwpt(struct vfm_sim *sim, struct sim_device *dev, const struct sim_hwpt *hwpt)
{
	int r;

	if (dev->hwpt == slot_of(sim, hwpt) + 1)
		return 0;
	r = fits(sim, dev, hwpt);
	if (!r && dev->space != hwpt->space + 1)
		r = vfmi_sim_space_check(sim, hwpt->space, true);
	if (!r)
		put_on(sim, dev, hwpt);
	return r;
}

/* By the IOAS: an automatic page table that suits the device, a new one when there is none. */
static int attach_ioas(struct vfm_sim *sim, struct sim_device *dev, uint32_t slot, uint32_t *pt_id)
{
	struct sim_hwpt *hwpt = sim->machine->hwpt;
	uint32_t i;
	int r;

	for (i = 0; i < SIM_MAX_HWPTS; i++) {
		if (!hwpt[i].id || !hwpt[i].automatic || hwpt[i].space != slot || hwpt[i].owner != dev->ctx - 1)
			continue;
		r = attach_hwpt(sim, dev, &hwpt[i]);
		if (!r)
			*pt_id = hwpt[i].id;
		if (r != -EINVAL)
			return r;
	}
	r = vfmi_sim_space_check(sim, slot, true);
	if (r)
		return r;
	hwpt = hwpt_new(sim, dev->ctx - 1, slot, 0, true);
	if (!hwpt)
		return -ENOMEM;
	r = attach_hwpt(sim, dev, hwpt);
	if (!r)
		*pt_id = hwpt->id;
	else
		vfmi_sim_hwpt_repair(sim);
	return r;
}

/* Accesses of mediated devices want whole pages and nothing else; there is no page table. */
static int attach_emulated(struct vfm_sim *sim, struct sim_device *dev, struct sim_space *space)
{
	uint32_t slot = vfmi_sim_slot(sim, space);
	const struct sim_map *map;
	uint64_t from = 0;

	while (dev->space != slot + 1 && (map = vfmi_sim_map_next(sim, slot, from, UINT64_MAX))) {
		if ((map->iova | map->length | map->vaddr) % sim->machine->page_size)
			return -EADDRINUSE;
		from = vfmi_sim_map_last(map) + 1;
		if (!from)
			break;
	}
	dev->space = slot + 1;
	return 0;
}

int vfmi_sim_attach(struct vfm_sim *sim, struct sim_device *dev, uint32_t *pt_id)
{
	bool physical = !vfmi_sim_quirk(dev, SIM_MDEV);
	struct sim_space *space = vfmi_sim_ioas(sim, dev->ctx - 1, *pt_id);
	struct sim_hwpt *hwpt = physical ? vfmi_sim_hwpt(sim, dev->ctx - 1, *pt_id) : NULL;

	if (hwpt)
		return attach_hwpt(sim, dev, hwpt);
	if (!space && physical && *pt_id && vfmi_sim_id_taken(sim->machine, dev->ctx - 1, *pt_id))
		return -EINVAL;
	if (!space)
		return vfmi_sim_unknown_id(sim, *pt_id);
	return physical ? attach_ioas(sim, dev, vfmi_sim_slot(sim, space), pt_id) : attach_emulated(sim, dev, space);
}

void vfmi_sim_detach(struct vfm_sim *sim, struct sim_device *dev)
{
	if (!dev->space)
		return;
	sim->machine->space[dev->space - 1].full_length = 0;
	dev->space = 0;
	dev->hwpt = 0;
	vfmi_sim_hwpt_repair(sim);
}

/* PASIDs */

bool vfmi_sim_has_pasids(const struct sim_device *dev)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_PASIDS; i++)
		if (dev->pasids[i].hwpt)
			return true;
	return false;
}

int vfmi_sim_attach_pasid(struct vfm_sim *sim, struct sim_device *dev, uint32_t pasid, uint32_t *pt_id)
{
	const struct sim_hwpt *hwpt = vfmi_sim_hwpt(sim, dev->ctx - 1, *pt_id);
	uint32_t i, place = SIM_MAX_PASIDS;

	if (!hwpt && !(*pt_id && vfmi_sim_id_taken(sim->machine, dev->ctx - 1, *pt_id)))
		return vfmi_sim_unknown_id(sim, *pt_id);
	/* What the kernel makes for an IOAS is not meant for PASIDs. */
	if (!hwpt || !(hwpt->flags & IOMMU_HWPT_ALLOC_PASID) || !may_have_pasid(sim, dev) ||
	    (dev->pasid_log2 && pasid >> dev->pasid_log2))
		return -EINVAL;
	if (dev->hwpt && !(sim->machine->hwpt[dev->hwpt - 1].flags & IOMMU_HWPT_ALLOC_PASID))
		return -EINVAL;
	for (i = SIM_MAX_PASIDS; i--;)
		if (!dev->pasids[i].hwpt || dev->pasids[i].pasid == pasid)
			place = i;
	for (i = 0; i < SIM_MAX_PASIDS; i++)
		if (dev->pasids[i].hwpt && dev->pasids[i].pasid == pasid)
			place = i;
	if (place == SIM_MAX_PASIDS)
		return -ENOMEM;
	dev->pasids[place].pasid = pasid;
	dev->pasids[place].hwpt = slot_of(sim, hwpt) + 1;
	return 0;
}

void vfmi_sim_detach_pasid(struct vfm_sim *sim, struct sim_device *dev, uint32_t pasid)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_PASIDS; i++)
		if (dev->pasids[i].hwpt && dev->pasids[i].pasid == pasid)
			dev->pasids[i].hwpt = 0;
	vfmi_sim_hwpt_repair(sim);
}

/* dirty tracking */

static int set_tracking(struct vfm_sim *sim, uint32_t ctx, const struct iommu_hwpt_set_dirty_tracking *cmd)
{
	struct sim_hwpt *hwpt = vfmi_sim_hwpt(sim, ctx, cmd->hwpt_id);

	if (cmd->flags & ~IOMMU_HWPT_DIRTY_TRACKING_ENABLE)
		return -EOPNOTSUPP;
	if (!hwpt)
		return vfmi_sim_unknown_id(sim, cmd->hwpt_id);
	if (!(hwpt->flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING))
		return -EOPNOTSUPP;
	if (cmd->flags)
		vfmi_sim_pages_clear(sim, vfmi_sim_pages(sim, SIM_PAGES_HWPT, slot_of(sim, hwpt)));
	hwpt->tracking = cmd->flags;
	return 0;
}

static int bitmap_check(const struct vfm_sim *sim, const struct sim_hwpt *hwpt,
			const struct iommu_hwpt_get_dirty_bitmap *cmd)
{
	uint64_t align = vfmi_sim_alignment(sim, hwpt->space), last;

	/* Linux 6.12.117 refuses a length of 0; 7.2.13 takes it for 2^64, which address 0 alone leaves room for. */
	if (!cmd->length && sim->machine->host.kernel < SIM_KERNEL(6, 13))
		return -EINVAL;
	if (vfmi_add_overflows(cmd->iova, cmd->length - 1, &last))
		return -EOVERFLOW;
	if (cmd->iova % align || (last + 1) % align || !cmd->page_size)
		return -EINVAL;
	return (cmd->iova | (last + 1)) & (cmd->page_size - 1) ? -EINVAL : 0;
}

/*
 * iommufd does not look at how reading went: what is behind a hole is not read and keeps its bits, what cannot be
 * written to the bitmap is lost, and neither is an error. What IOMMUs do without tracking, refuse, is not seen either.
 */
static void tell_bitmap(struct vfm_sim *sim, const struct sim_hwpt *hwpt, const struct iommu_hwpt_get_dirty_bitmap *cmd)
{
	const struct sim_bits bits = { .iova = cmd->iova,
				       .length = cmd->length,
				       .data = cmd->data,
				       .shift = (uint32_t)__builtin_ctzll(cmd->page_size) };
	const uint64_t last = cmd->iova + (cmd->length - 1);
	struct sim_pages *set = vfmi_sim_pages(sim, SIM_PAGES_HWPT, slot_of(sim, hwpt));
	uint64_t from = cmd->iova, end;
	const struct sim_map *map;

	while (hwpt->tracking && (map = vfmi_sim_map_next(sim, hwpt->space, from, from))) {
		end = vfmi_min_u64(vfmi_sim_map_last(map), last);
		vfmi_sim_pages_tell(sim, set, from, end, &bits, cmd->flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
		if (end == last)
			break;
		from = end + 1;
	}
}

static int get_bitmap(struct vfm_sim *sim, uint32_t ctx, const struct iommu_hwpt_get_dirty_bitmap *cmd)
{
	const struct sim_hwpt *hwpt = vfmi_sim_hwpt(sim, ctx, cmd->hwpt_id);
	int r;

	if ((cmd->flags & ~IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) || cmd->reserved)
		return -EOPNOTSUPP;
	if (!hwpt)
		return vfmi_sim_unknown_id(sim, cmd->hwpt_id);
	r = bitmap_check(sim, hwpt, cmd);
	if (r)
		return r;
	if (!(hwpt->flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING))
		return -EOPNOTSUPP;
	tell_bitmap(sim, hwpt, cmd);
	return 0;
}

int vfmi_sim_hwpt_ioctl(struct vfm_sim *sim, uint32_t ctx, unsigned long request, void *arg)
{
	switch (request) {
	case IOMMU_HWPT_ALLOC:
		return hwpt_alloc(sim, ctx, arg);
	case IOMMU_GET_HW_INFO:
		return hw_info(sim, ctx, arg);
	case IOMMU_HWPT_SET_DIRTY_TRACKING:
		return set_tracking(sim, ctx, arg);
	default:
		return get_bitmap(sim, ctx, arg);
	}
}
