/* SPDX-License-Identifier: MIT */
/* VFIO_DEVICE_GET_INFO and VFIO_DEVICE_GET_REGION_INFO with its capability chain. */
#include "profile.h"
#include "uapi/vfio.h"

#define REGION_SHIFT 40u

static int too_small(struct vfm_sim *sim, const struct sim_device *dev, const char *what, uint32_t argsz)
{
	vfmi_sim_strict(sim, "%s: %s with argsz %u", dev->name, what, argsz);
	return -EINVAL;
}

int vfmi_sim_device_info(struct vfm_sim *sim, struct sim_device *dev, void *arg)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	struct vfio_device_info info = { 0 };
	const size_t min = offsetof(struct vfio_device_info, num_irqs) + sizeof(info.num_irqs);

	memcpy(&info, arg, min);
	if (info.argsz < min)
		return too_small(sim, dev, "VFIO_DEVICE_GET_INFO", info.argsz);
	info.flags = VFIO_DEVICE_FLAGS_PCI;
	info.num_regions = profile->regions;
	info.num_irqs = profile->irqs;
	if (profile->quirks & SIM_MDEV) {
		/* It takes VFIO_DEVICE_RESET all the same. */
		dev->u.mtty.irqs_known = 1;
		memcpy(arg, &info, min);
		return 0;
	}
	info.flags |= VFIO_DEVICE_FLAGS_RESET;
	memcpy(arg, &info, (size_t)vfmi_min_u64(info.argsz, sizeof(info)));
	return 0;
}

/* Called with room for it known: the chain follows the struct. */
static void put_type(struct vfio_region_info *info, const struct sim_region *region, void *arg)
{
	struct vfio_region_info_cap_type cap = {
		.header = { .id = VFIO_REGION_INFO_CAP_TYPE, .version = 1 },
		.type = region->type,
		.subtype = region->subtype,
	};

	info->cap_offset = sizeof(*info);
	memcpy((char *)arg + sizeof(*info), &cap, sizeof(cap));
}

/* nvgrace-gpu tells how much of its BAR there is memory for, also where that is all of it. */
static void put_sparse(const struct sim_device *dev, struct vfio_region_info *info, void *arg)
{
	const struct vfio_region_info_cap_sparse_mmap cap = {
		.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		.nr_areas = 1,
	};
	const struct vfio_region_sparse_mmap_area area = { .size = dev->state_bytes };

	info->cap_offset = sizeof(*info);
	memcpy((char *)arg + sizeof(*info), &cap, sizeof(cap));
	memcpy((char *)arg + sizeof(*info) + sizeof(cap), &area, sizeof(area));
}

/* Where the MSI-X table is in a BAR that can be mapped, vfio-pci says that this includes the table (since Linux 4.16).
 */
static void put_msix_mappable(struct vfio_region_info *info, void *arg)
{
	const struct vfio_info_cap_header cap = { .id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, .version = 1 };

	info->cap_offset = sizeof(*info);
	memcpy((char *)arg + sizeof(*info), &cap, sizeof(cap));
}

/* The capability of a region, in *@ret_cap, and how much room it takes behind the info; 0: it has none. */
enum cap { CAP_NONE, CAP_TYPE, CAP_SPARSE, CAP_MSIX_MAPPABLE };

static size_t region_cap(const struct sim_device *dev, uint32_t index, enum cap *ret_cap)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	const struct sim_region *region = &profile->region[index];
	const bool maps = region->flags & VFIO_REGION_INFO_FLAG_MMAP;
	const uint32_t msix_bar = dev->plain_bar ? SIM_PLAIN_BAR : 0;

	*ret_cap = region->type ? CAP_TYPE : CAP_NONE;
	if (region->type)
		return sizeof(struct vfio_region_info_cap_type);
	if (maps && region->size == UINT64_MAX && !dev->plain_bar) {
		*ret_cap = CAP_SPARSE;
		return sizeof(struct vfio_region_info_cap_sparse_mmap) + sizeof(struct vfio_region_sparse_mmap_area);
	}
	if (maps && profile->msix_cap && index == msix_bar) {
		*ret_cap = CAP_MSIX_MAPPABLE;
		return sizeof(struct vfio_info_cap_header);
	}
	return 0;
}

static void put_cap(struct sim_device *dev, struct vfio_region_info *info, enum cap cap, void *arg)
{
	if (cap == CAP_SPARSE)
		put_sparse(dev, info, arg);
	else if (cap == CAP_MSIX_MAPPABLE)
		put_msix_mappable(info, arg);
	else
		put_type(info, &vfmi_sim_profile(dev)->region[info->index], arg);
}

int vfmi_sim_region_info(struct vfm_sim *sim, struct sim_device *dev, void *arg)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	struct vfio_region_info info;
	enum cap cap;
	size_t room;

	memcpy(&info, arg, sizeof(info.argsz));
	if (info.argsz < sizeof(info))
		return too_small(sim, dev, "VFIO_DEVICE_GET_REGION_INFO", info.argsz);
	memcpy(&info, arg, sizeof(info));
	if (info.index >= profile->regions ||
	    (info.index == VFIO_PCI_VGA_REGION_INDEX && !(profile->quirks & SIM_MDEV)))
		return -EINVAL;
	info.offset = (uint64_t)info.index << REGION_SHIFT;
	info.size = vfmi_sim_region_size(dev, info.index);
	info.flags = profile->region[info.index].flags;
	if (profile == &vfmi_sim_mtty && info.index == 1 && dev->ports < 2)
		info.size = 0;
	room = sizeof(info) + region_cap(dev, info.index, &cap);
	if (cap != CAP_NONE) {
		info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
		if (info.argsz < room) {
			info.argsz = (uint32_t)room;
			info.cap_offset = 0;
		} else {
			put_cap(dev, &info, cap, arg);
		}
	}
	memcpy(arg, &info, sizeof(info));
	return 0;
}
