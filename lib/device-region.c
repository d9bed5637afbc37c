/* SPDX-License-Identifier: MIT */
/* Regions of a device: what they are, access through the device file, mapping; and the bus master bit in one of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "device-body.h"
#include "wire.h"

#define MAX_PIECE_BYTES (1024u * 1024u)
#define PLACE_TRIES 16

/* Linux 4.17; libc may be older */
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PCI_COMMAND 4u
#define PCI_COMMAND_MASTER 4u

#define PUBLIC_FLAGS (VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_MMAP)

static int fail_region(struct vfm_device *dev, struct vfm_error *err, int code, const char *step, uint32_t index,
		       const char *why)
{
	return VFMI_FAIL(dev->ctx, err, code, dev->name, step, "region %" PRIu32 ": %s", index, why);
}

/* The kernel's answer with its capabilities, malloc()ed. */
static int ask_region(struct vfm_device *dev, uint32_t index, const char *step, struct vfio_region_info **ret,
		      size_t *ret_length, struct vfm_error *err)
{
	struct vfio_region_info *info;
	uint64_t end;
	int r = vfmi_device_need_bound(dev, step, err);

	if (r < 0)
		return r;
	r = vfmi_vfio_region_info(dev->sys, dev->fd, index, &info, ret_length);
	if (r < 0)
		return fail_region(dev, err, -r, step, index, vfmi_errno_text(-r));
	if (vfmi_add_overflows(info->offset, info->size, &end) || end > INT64_MAX) {
		free(info);
		return fail_region(dev, err, EIO, step, index, "the kernel places it beyond the end of any file");
	}
	*ret = info;
	return 0;
}

static int region_facts(struct vfm_device *dev, uint32_t index, const char *step, struct vfmi_region_facts *ret,
			struct vfm_error *err)
{
	struct vfmi_region_facts *memory = index < VFMI_REMEMBERED_REGIONS ? &dev->regions[index] : NULL;
	struct vfmi_region_facts facts = { 0 };
	struct vfio_region_info *info;
	size_t length;
	int r;

	pthread_mutex_lock(&dev->lock);
	if (memory)
		facts = *memory;
	pthread_mutex_unlock(&dev->lock);
	if (!facts.known) {
		r = ask_region(dev, index, step, &info, &length, err);
		if (r < 0)
			return r;
		facts = (struct vfmi_region_facts){ true, info->flags, info->size, info->offset };
		free(info);
		pthread_mutex_lock(&dev->lock);
		if (memory)
			*memory = facts;
		pthread_mutex_unlock(&dev->lock);
	}
	*ret = facts;
	return 0;
}

static const void *find_cap(const struct vfio_region_info *info, size_t length, uint16_t id, size_t min)
{
	return vfmi_vfio_find_cap(info, length, info->cap_offset, id, min);
}

/* Number of areas of a sparse region; *@ret_areas (unaligned) in @info. 0 when the region is not sparse. */
static uint32_t sparse_areas(const struct vfio_region_info *info, size_t length, const char **ret_areas)
{
	struct vfio_region_info_cap_sparse_mmap sparse;
	const char *cap = find_cap(info, length, VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof(sparse));

	if (!cap)
		return 0;
	memcpy(&sparse, cap, sizeof(sparse));
	*ret_areas = cap + sizeof(sparse);
	return sparse.nr_areas;
}

static struct vfio_region_sparse_mmap_area sparse_area(const char *areas, uint32_t i)
{
	struct vfio_region_sparse_mmap_area area;

	memcpy(&area, areas + i * sizeof(area), sizeof(area));
	return area;
}

static void fill_region(const struct vfio_region_info *info, size_t length, struct vfm_region *region)
{
	struct vfio_region_info_cap_type type;
	const void *cap = find_cap(info, length, VFIO_REGION_INFO_CAP_TYPE, sizeof(type));
	const char *areas;

	region->flags = info->flags & PUBLIC_FLAGS;
	region->index = info->index;
	region->length = info->size;
	region->offset = info->offset;
	region->sparse_count = sparse_areas(info, length, &areas);
	if (cap) {
		memcpy(&type, cap, sizeof(type));
		region->flags |= VFM_REGION_TYPED;
		region->type = type.type;
		region->subtype = type.subtype;
	}
	if (find_cap(info, length, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, sizeof(struct vfio_info_cap_header)))
		region->flags |= VFM_REGION_MSIX_MAPPABLE;
	if (find_cap(info, length, VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof(struct vfio_info_cap_header)))
		region->flags |= VFM_REGION_SPARSE;
}

int vfm_device_region(struct vfm_device *dev, uint32_t index, struct vfm_region *ret, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_region, region);
	struct vfio_region_info *info;
	size_t length;
	int r;

	r = ask_region(dev, index, "region info", &info, &length, ret_error);
	if (r < 0)
		return r;
	info->index = index;
	fill_region(info, length, &region);
	free(info);
	r = vfmi_sized_out(ret, &region, sizeof(region));
	return r < 0 ? fail_region(dev, ret_error, -r, "region info", index, "size of the caller's struct") : 0;
}

static bool inside(uint64_t offset, uint64_t length, uint64_t limit)
{
	return offset <= limit && length <= limit - offset;
}

/*
 * What of @length bytes can be mapped: to the end of the page. A short BAR that may be mapped has that page to itself
 * (vfio_pci_probe_mmaps()), and vfio_pci_core_mmap() reckons so (Linux 6.12 and 7.2).
 */
static uint64_t whole_pages(struct vfm_device *dev, uint64_t length)
{
	const uint64_t mask = vfmi_page_size(vfmi_device_sys(dev)) - 1;

	return (length + mask) & ~mask; /* ask_region() has seen that this is no overflow */
}

/* Areas of a region that may be mapped: the sparse ones, or all of its pages. */
static int mappable_areas(struct vfm_device *dev, uint32_t index, const char *step, struct vfm_area **ret_areas,
			  size_t *ret_count, struct vfm_error *err)
{
	struct vfio_region_info *info;
	struct vfm_area *areas;
	const char *sparse = NULL;
	uint32_t count;
	size_t length;
	int r = ask_region(dev, index, step, &info, &length, err);

	if (r < 0)
		return r;
	count = info->flags & VFIO_REGION_INFO_FLAG_MMAP ? sparse_areas(info, length, &sparse) : 0;
	areas = calloc((size_t)count + 1, sizeof(*areas));
	if (!areas)
		r = fail_region(dev, err, ENOMEM, step, index, vfmi_errno_text(ENOMEM));
	for (uint32_t i = 0; r == 0 && i < count; i++) {
		struct vfio_region_sparse_mmap_area area = sparse_area(sparse, i);

		areas[i] = (struct vfm_area){ .offset = area.offset, .length = area.size };
		if (!inside(area.offset, area.size, info->size))
			r = fail_region(dev, err, EIO, step, index, "the kernel lists an area outside the region");
	}
	if (r == 0 && !sparse && (info->flags & VFIO_REGION_INFO_FLAG_MMAP))
		areas[count++] = (struct vfm_area){ .offset = 0, .length = whole_pages(dev, info->size) };
	free(info);
	if (r < 0) {
		free(areas);
		return r;
	}
	*ret_areas = areas;
	*ret_count = count;
	return 0;
}

int vfm_device_region_sparse(struct vfm_device *dev, uint32_t index, struct vfm_area *areas, size_t room,
			     size_t *ret_count, struct vfm_error *ret_error)
{
	struct vfm_area *found;
	size_t count;
	int r;

	r = mappable_areas(dev, index, "mappable areas", &found, &count, ret_error);
	if (r < 0)
		return r;
	*ret_count = count;
	if (count > room)
		r = fail_region(dev, ret_error, EMSGSIZE, "mappable areas", index, "more areas than there is room for");
	else if (count > 0)
		memcpy(areas, found, count * sizeof(*areas));
	free(found);
	return r;
}

/* Where in the device file an access begins. */
static int check_access(struct vfm_device *dev, uint32_t index, uint64_t offset, uint64_t length, uint32_t needed,
			const char *step, uint64_t *ret_position, struct vfm_error *err)
{
	struct vfmi_region_facts facts;
	int r = region_facts(dev, index, step, &facts, err);

	if (r < 0)
		return r;
	if (!inside(offset, length, facts.length))
		return VFMI_FAIL(dev->ctx, err, EINVAL, dev->name, step,
				 "region %" PRIu32 " has %" PRIu64 " bytes, %" PRIu64 " at offset %" PRIu64
				 " are not all inside",
				 index, facts.length, length, offset);
	if (!(facts.flags & needed))
		return fail_region(dev, err, EACCES, step, index, "the region does not allow it");
	*ret_position = facts.offset + offset;
	return 0;
}

static int fail_moved(struct vfm_device *dev, struct vfm_error *err, int code, const char *step, uint32_t index,
		      size_t done, size_t length)
{
	return VFMI_FAIL(dev->ctx, err, code, dev->name, step, "region %" PRIu32 ": %zu of %zu bytes, then: %s", index,
			 done, length, vfmi_errno_text(code));
}

int vfm_device_region_read(struct vfm_device *dev, uint32_t index, uint64_t offset, void *buf, size_t length,
			   struct vfm_error *ret_error)
{
	uint64_t position;
	size_t done = 0;
	int r;

	r = check_access(dev, index, offset, length, VFIO_REGION_INFO_FLAG_READ, "read region", &position, ret_error);
	while (r == 0 && done < length) {
		size_t piece = (size_t)vfmi_min_u64(length - done, MAX_PIECE_BYTES);
		ssize_t got =
			dev->sys->ops->pread(dev->sys, dev->fd, (char *)buf + done, piece, (off_t)(position + done));

		if (got == -EINTR)
			continue;
		if (got <= 0 || (size_t)got > piece)
			return fail_moved(dev, ret_error, got < 0 ? (int)-got : EIO, "read region", index, done,
					  length);
		done += (size_t)got;
	}
	return r;
}

static int write_region(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf, size_t length,
			struct vfm_error *err)
{
	uint64_t position;
	size_t done = 0;
	int r;

	r = check_access(dev, index, offset, length, VFIO_REGION_INFO_FLAG_WRITE, "write region", &position, err);
	while (r == 0 && done < length) {
		size_t piece = (size_t)vfmi_min_u64(length - done, MAX_PIECE_BYTES);
		ssize_t put = dev->sys->ops->pwrite(dev->sys, dev->fd, (const char *)buf + done, piece,
						    (off_t)(position + done));

		if (put == -EINTR)
			continue;
		if (put <= 0 || (size_t)put > piece)
			return fail_moved(dev, err, put < 0 ? (int)-put : EIO, "write region", index, done, length);
		done += (size_t)put;
	}
	return r;
}

/* Configuration space takes one writer at a time: one that changes a bit of a register must not undo another's write.
 */
int vfm_device_region_write(struct vfm_device *dev, uint32_t index, uint64_t offset, const void *buf, size_t length,
			    struct vfm_error *ret_error)
{
	int r;

	if (index != VFM_REGION_CONFIG)
		return write_region(dev, index, offset, buf, length, ret_error);
	pthread_mutex_lock(&dev->config_lock);
	r = write_region(dev, index, offset, buf, length, ret_error);
	pthread_mutex_unlock(&dev->config_lock);
	return r;
}

/* The largest page that fits in, 0 when that is an ordinary one. */
static size_t huge_page(size_t length)
{
	const size_t sizes[] = { 1024u * 1024u * 1024u, 2u * 1024u * 1024u };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(sizes); i++)
		if (length >= sizes[i])
			return sizes[i];
	return 0;
}

/*
 * An address that is free and congruent to @offset modulo @align, NULL when none is found. BARs lie at multiples of
 * their size, so that then the kernel can map them in huge pages (2 MiB, 1 GiB), and DMA to them in few entries.
 */
static void *find_aligned(struct vfm_device *dev, uint64_t offset, size_t length, size_t align)
{
	size_t room;
	void *found;

	if (!align || __builtin_add_overflow(length, align, &room))
		return NULL;
	if (dev->sys->ops->mmap(dev->sys, NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0,
				&found) < 0)
		return NULL;
	dev->sys->ops->munmap(dev->sys, found, room);
	return (char *)found + ((size_t)offset - (uintptr_t)found) % align;
}

/*
 * The reservation that found a place is given back before it is used, and another thread may be quicker: then it is
 * looked for again. Never over what is there. A kernel before 4.17 takes the place for a hint.
 */
static int map_aligned(struct vfm_device *dev, uint64_t offset, size_t length, int prot, uint64_t position,
		       void **ret_ptr)
{
	const size_t align = huge_page(length);
	int r = -EEXIST;

	for (int i = 0; i < PLACE_TRIES && r == -EEXIST; i++) {
		void *place = find_aligned(dev, offset, length, align);

		if (!place)
			break;
		r = dev->sys->ops->mmap(dev->sys, place, length, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, dev->fd,
					(off_t)position, ret_ptr);
	}
	if (r == -EEXIST)
		r = dev->sys->ops->mmap(dev->sys, NULL, length, prot, MAP_SHARED, dev->fd, (off_t)position, ret_ptr);
	return r;
}

static int check_mappable(struct vfm_device *dev, uint32_t index, uint64_t offset, uint64_t length,
			  struct vfm_error *err)
{
	struct vfm_area *areas;
	bool found = false;
	size_t count;
	int r = mappable_areas(dev, index, "map region", &areas, &count, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count && !found; i++)
		found = offset >= areas[i].offset && inside(offset - areas[i].offset, length, areas[i].length);
	free(areas);
	if (!found)
		return fail_region(dev, err, EOPNOTSUPP, "map region", index,
				   "it is not inside an area that can be mapped");
	return 0;
}

int vfm_device_region_map(struct vfm_device *dev, uint32_t index, uint64_t offset, size_t length, void **ret_ptr,
			  struct vfm_error *ret_error)
{
	struct vfmi_region_facts facts;
	int prot;
	int r;

	r = region_facts(dev, index, "map region", &facts, ret_error);
	if (r < 0)
		return r;
	if (length == 0 || ((offset | length) & (vfmi_page_size(vfmi_device_sys(dev)) - 1)) ||
	    !inside(offset, length, whole_pages(dev, facts.length)))
		return fail_region(dev, ret_error, EINVAL, "map region", index,
				   "offset and length must be whole pages inside the region");
	r = check_mappable(dev, index, offset, length, ret_error);
	if (r < 0)
		return r;
	prot = (facts.flags & VFIO_REGION_INFO_FLAG_READ ? PROT_READ : 0) |
	       (facts.flags & VFIO_REGION_INFO_FLAG_WRITE ? PROT_WRITE : 0);
	r = map_aligned(dev, offset, length, prot, facts.offset + offset, ret_ptr);
	return r < 0 ? fail_region(dev, ret_error, -r, "map region", index, vfmi_errno_text(-r)) : 0;
}

void vfm_device_region_unmap(struct vfm_device *dev, void *ptr, size_t length)
{
	if (ptr)
		dev->sys->ops->munmap(dev->sys, ptr, length);
}

/* Under the lock of configuration space. */
static int set_master(struct vfm_device *dev, bool on, struct vfm_error *err)
{
	uint8_t command[2];
	uint16_t value;
	int r = vfm_device_region_read(dev, VFM_REGION_CONFIG, PCI_COMMAND, command, sizeof(command), err);

	if (r < 0)
		return r;
	value = vfmi_get_le16(command);
	vfmi_put_le16(command, (uint16_t)(on ? value | PCI_COMMAND_MASTER : value & ~PCI_COMMAND_MASTER));
	return write_region(dev, VFM_REGION_CONFIG, PCI_COMMAND, command, sizeof(command), err);
}

/* A device without configuration space: its driver has the switch, if anybody (vfio-cdx). */
static int switch_master(struct vfm_device *dev, bool on, struct vfm_error *err)
{
	struct vfio_device_feature_bus_master master = { .op = on };
	int r = vfmi_vfio_feature(dev->sys, dev->fd, VFIO_DEVICE_FEATURE_BUS_MASTER, VFIO_DEVICE_FEATURE_SET, &master,
				  sizeof(master));

	if (r == -ENOTTY)
		return VFMI_FAIL(dev->ctx, err, EOPNOTSUPP, dev->name, "bus master",
				 "not a PCI device, and its driver cannot switch it (vfio-cdx can, since Linux 6.7)");
	return r < 0 ? vfmi_device_fail(dev, err, -r, "bus master", on ? "it stays off" : "it stays on") : 0;
}

int vfm_device_bus_master(struct vfm_device *dev, bool on, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_device_info, info);
	int r;

	r = vfm_device_info(dev, &info, ret_error);
	if (r < 0)
		return r;
	if (!(info.flags & VFM_DEVICE_PCI))
		return switch_master(dev, on, ret_error);
	pthread_mutex_lock(&dev->config_lock);
	r = set_master(dev, on, ret_error);
	pthread_mutex_unlock(&dev->config_lock);
	return r;
}
