/* SPDX-License-Identifier: MIT */
/*
 * dma-bufs of BARs: made, mapped into the address spaces of an iommufd, reached by the DMA of others, and taken away
 * when the BAR is no longer to be reached. A map does not need its buffer any more: it says itself which BAR it is of.
 */
#include <fcntl.h>
#include <unistd.h>

#include "profile.h"
#include "spaces.h"
#include "uapi/vfio.h"

#define REGION_SHIFT 40u

/* export */

static int ranges_check(const struct vfm_sim *sim, const struct sim_device *dev,
			const struct vfio_device_feature_dma_buf *what, const struct vfio_region_dma_range *ranges,
			uint64_t *ret_bytes)
{
	const uint64_t page = sim->machine->page_size, size = vfmi_sim_region_size(dev, what->region_index);
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < what->nr_ranges; i++) {
		if (!ranges[i].length || (ranges[i].offset | ranges[i].length) % page || ranges[i].offset > size ||
		    ranges[i].length > size - ranges[i].offset || vfmi_add_overflows(bytes, ranges[i].length, &bytes))
			return -EINVAL;
	}
	*ret_bytes = bytes;
	return bytes / page > UINT32_MAX ? -EINVAL : 0;
}

static int make(struct vfm_sim *sim, const struct sim_device *dev, const struct vfio_device_feature_dma_buf *what,
		const struct vfio_region_dma_range *ranges, const struct sim_call *call)
{
	struct sim_object object = { .kind = SIM_OBJECT_DMABUF, .device = vfmi_sim_index(sim, dev) };
	uint64_t bytes;
	int fd, r;

	r = ranges_check(sim, dev, what, ranges, &bytes);
	if (r)
		return r;
	object.group = what->region_index;
	object.serial = what->nr_ranges;
	object.link = (uint32_t)(ranges[0].offset / sim->machine->page_size);
	object.mode = (uint32_t)(bytes / sim->machine->page_size);
	fd = vfmi_sim_object_open(sim, &object, (int)what->open_flags & O_ACCMODE);
	if (fd >= 0 && call->mode == VFM_SIM_FAULT_AFTER) {
		close(fd);
		return -call->error;
	}
	return vfmi_sim_books_opened(sim, fd);
}

int vfmi_sim_dma_buf_export(struct vfm_sim *sim, const struct sim_device *dev,
			    const struct vfio_device_feature *feature, const struct sim_call *call)
{
	struct vfio_device_feature_dma_buf what;
	int r;

	if (sim->machine->host.kernel < SIM_KERNEL(6, 19))
		return -ENOTTY;
	if (!vfmi_sim_quirk(dev, SIM_EXPORTS))
		return -EOPNOTSUPP;
	r = vfmi_sim_feature_op(feature, VFIO_DEVICE_FEATURE_GET, sizeof(what));
	if (r != 1)
		return r;
	memcpy(&what, feature->data, sizeof(what));
	if (!what.nr_ranges || what.flags)
		return -EINVAL;
	if (what.region_index >= VFIO_PCI_ROM_REGION_INDEX || !vfmi_sim_region_size(dev, what.region_index))
		return -ENODEV;
	if ((feature->argsz - sizeof(*feature) - sizeof(what)) / sizeof(struct vfio_region_dma_range) <
	    what.nr_ranges) {
		vfmi_sim_strict(sim, "%s: a dma-buf of %u ranges with argsz %u", dev->name, what.nr_ranges,
				feature->argsz);
		return -EFAULT;
	}
	return make(sim, dev, &what, (const void *)(feature->data + sizeof(what)), call);
}

/* maps */

static bool is_reachable(const struct vfm_sim *sim, const struct sim_object *buffer)
{
	const struct sim_device *dev = &sim->machine->device[buffer->device];

	return !buffer->saving && dev->bound && !dev->power && vfmi_sim_config_memory(dev);
}

int vfmi_sim_dma_buf_map(struct vfm_sim *sim, int fd, uint64_t start, struct sim_map *map)
{
	const struct sim_object *buffer;
	uint32_t id;

	if (vfmi_sim_object_of(sim, fd, &id) || sim->machine->objects[id].kind != SIM_OBJECT_DMABUF)
		return 1;
	buffer = &sim->machine->objects[id];
	if (start + (map->length - 1) >= (uint64_t)buffer->mode * sim->machine->page_size)
		return -EINVAL;
	if (!is_reachable(sim, buffer))
		return -ENODEV;
	if (buffer->serial != 1)
		return -EOPNOTSUPP;
	map->vaddr = (uint64_t)buffer->link * sim->machine->page_size + start;
	map->file_dev = buffer->group;
	map->file_ino = buffer->device;
	/* no memory of anybody's, so there is none to be charged */
	map->flags |= SIM_MAP_DMABUF | SIM_MAP_COPY;
	return 0;
}

bool vfmi_sim_dma_buf_access(struct vfm_sim *sim, struct sim_device *dev, const struct sim_map *map, uint64_t at,
			     void *buf, size_t length, bool to_bar)
{
	struct sim_device *peer = &sim->machine->device[map->file_ino % SIM_MAX_DEVICES];
	ssize_t n;

	/* looking at a register of the other one may be what completes a DMA of that */
	if (peer == dev || sim->in_peer)
		return false;
	sim->in_peer = true;
	n = vfmi_sim_region_rw(sim, peer, buf, length, (map->file_dev << REGION_SHIFT) + map->vaddr + at, to_bar);
	sim->in_peer = false;
	vfmi_sim_change(sim, dev);
	return n == (ssize_t)length;
}

void vfmi_sim_dma_buf_revoke(struct vfm_sim *sim, const struct sim_device *dev)
{
	uint32_t i;

	for (i = 0; i < sim->machine->maps_used; i++) {
		struct sim_map *map = vfmi_sim_map_at(sim, i);

		if (map->length && map->flags & SIM_MAP_DMABUF && map->file_ino == vfmi_sim_index(sim, dev))
			map->flags |= SIM_MAP_REVOKED;
	}
}

void vfmi_sim_dma_buf_closed(struct vfm_sim *sim, const struct sim_device *dev)
{
	uint32_t i;

	vfmi_sim_dma_buf_revoke(sim, dev);
	for (i = 0; i < sim->machine->objects_used; i++) {
		struct sim_object *object = &sim->machine->objects[i];

		if (object->kind == SIM_OBJECT_DMABUF && object->device == vfmi_sim_index(sim, dev))
			object->saving = 1;
	}
}
