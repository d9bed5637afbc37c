/* SPDX-License-Identifier: MIT */
/* Address space object: an iommufd, one IOAS in it and the books of what this object mapped there. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "areas.h"
#include "internal.h"
#include "iommufd.h"

#define IOMMU_PATH "/dev/iommu"
#define VFMI_MAP_MIN VFMI_SIZE_TO(struct vfm_map, cookie)
#define KNOWN_MAP_FLAGS (VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED)
#define MAX_RANGES 65536u

struct vfm_iommu {
	struct vfm_context *ctx;
	int fd;
	uint32_t ioas_id;
	bool owns_ioas;
	/*
	 * Held over the kernel's map and unmap: between an unmap and its entry in the books another thread's map could
	 * be given the same addresses.
	 */
	pthread_mutex_t lock;
	struct vfmi_areas areas;
	uint64_t mapped_bytes;
};

static int iommu_new(struct vfm_context *ctx, struct vfm_iommu **ret_iommu)
{
	struct vfm_iommu *iommu = calloc(1, sizeof(*iommu));
	int r;

	if (!iommu)
		return -ENOMEM;
	r = pthread_mutex_init(&iommu->lock, NULL);
	if (r) {
		free(iommu);
		return -r;
	}
	iommu->ctx = ctx;
	iommu->fd = -1;
	*ret_iommu = iommu;
	return 0;
}

static void iommu_free(struct vfm_iommu *iommu)
{
	struct vfmi_sys *sys = iommu->ctx->sys;

	if (iommu->fd >= 0)
		sys->ops->close(sys, iommu->fd);
	pthread_mutex_destroy(&iommu->lock);
	free(iommu);
}

static int fail_open(struct vfm_context *ctx, int code, struct vfm_error *err)
{
	const char *remedy = "";

	if (code == ENOENT || code == ENODEV || code == ENXIO)
		remedy = "; the kernel has no iommufd: it needs CONFIG_IOMMUFD (Linux 6.2) and, as a module, "
			 "\"modprobe iommufd\"";
	else if (code == EACCES || code == EPERM)
		remedy = "; its owner must let this user in, for example by a udev rule for KERNEL==\"iommu\"";
	return VFMI_FAIL(ctx, err, code, NULL, "open address space", "%s: %s%s", IOMMU_PATH, vfmi_errno_text(code),
			 remedy);
}

int vfm_iommu_open(struct vfm_context *ctx, struct vfm_iommu **ret_iommu, struct vfm_error *ret_error)
{
	struct vfmi_sys *sys = ctx->sys;
	struct vfm_iommu *iommu = NULL;
	int r;

	r = iommu_new(ctx, &iommu);
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, NULL, "open address space", "%s", vfmi_errno_text(-r));
	r = sys->ops->open(sys, IOMMU_PATH, O_RDWR, 0);
	if (r < 0) {
		r = fail_open(ctx, -r, ret_error);
		goto err_free;
	}
	iommu->fd = r;
	r = vfmi_iommufd_ioas_alloc(sys, iommu->fd, &iommu->ioas_id);
	if (r < 0) {
		VFMI_FAIL(ctx, ret_error, -r, NULL, "open address space", "cannot allocate an IOAS: %s",
			  vfmi_errno_text(-r));
		goto err_free;
	}
	iommu->owns_ioas = true;
	*ret_iommu = iommu;
	return 0;

err_free:
	iommu_free(iommu);
	return r;
}

/* Asking for its ranges, with room for none, tells an existing IOAS from anything else. */
static int check_ioas(struct vfm_iommu *iommu, struct vfm_error *err)
{
	uint32_t count;
	uint64_t align;
	int r = vfmi_iommufd_ranges(iommu->ctx->sys, iommu->fd, iommu->ioas_id, NULL, 0, &count, &align);

	if (r == 0 || r == -EMSGSIZE)
		return 0;
	if (r == -ENOTTY)
		return VFMI_FAIL(iommu->ctx, err, EINVAL, NULL, "adopt address space",
				 "the descriptor is not an iommufd");
	if (r == -ENOENT)
		return VFMI_FAIL(iommu->ctx, err, EINVAL, NULL, "adopt address space",
				 "the iommufd has no IOAS with id %" PRIu32, iommu->ioas_id);
	return VFMI_FAIL(iommu->ctx, err, -r, NULL, "adopt address space", "cannot ask for the IOVA ranges: %s",
			 vfmi_errno_text(-r));
}

int vfm_iommu_adopt(struct vfm_context *ctx, int iommufd, uint32_t ioas_id, struct vfm_iommu **ret_iommu,
		    struct vfm_error *ret_error)
{
	struct vfm_iommu *iommu = NULL;
	int r;

	if (ioas_id == 0)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, "adopt address space", "0 is no IOAS id");
	r = iommu_new(ctx, &iommu);
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, NULL, "adopt address space", "%s", vfmi_errno_text(-r));
	iommu->ioas_id = ioas_id;
	r = ctx->sys->ops->dup(ctx->sys, iommufd);
	if (r < 0) {
		VFMI_FAIL(ctx, ret_error, -r, NULL, "adopt address space", "cannot duplicate descriptor %d: %s",
			  iommufd, vfmi_errno_text(-r));
		goto err_free;
	}
	iommu->fd = r;
	r = check_ioas(iommu, ret_error);
	if (r < 0)
		goto err_free;
	*ret_iommu = iommu;
	return 0;

err_free:
	iommu_free(iommu);
	return r;
}

static void close_areas(struct vfm_iommu *iommu)
{
	struct vfmi_area *area;
	uint64_t unmapped;

	while ((area = iommu->areas.root)) {
		int r = vfmi_iommufd_unmap(iommu->ctx->sys, iommu->fd, iommu->ioas_id, area->iova,
					   area->last - area->iova + 1, &unmapped);

		if (r < 0 && !(r == -ENOENT && area->unknown))
			vfmi_log(iommu->ctx, VFM_LOG_WARNING, "close address space: area at IOVA 0x%" PRIx64 ": %s",
				 area->iova, vfmi_errno_text(-r));
		vfmi_areas_remove(&iommu->areas, area);
		free(area);
	}
}

void vfm_iommu_close(struct vfm_iommu *iommu)
{
	int r;

	if (!iommu)
		return;
	close_areas(iommu);
	r = iommu->owns_ioas ? vfmi_iommufd_destroy(iommu->ctx->sys, iommu->fd, iommu->ioas_id) : 0;
	if (r < 0)
		vfmi_log(iommu->ctx, VFM_LOG_WARNING, "close address space: cannot destroy the IOAS: %s%s",
			 vfmi_errno_text(-r), r == -EBUSY ? "; a device is still attached" : "");
	iommu_free(iommu);
}

uint32_t vfm_iommu_backend(const struct vfm_iommu *iommu)
{
	return iommu ? VFM_BACKEND_IOMMUFD : VFM_BACKEND_UNKNOWN;
}

int vfm_iommu_fd(const struct vfm_iommu *iommu)
{
	return iommu ? iommu->fd : -1;
}

uint32_t vfm_iommu_ioas_id(const struct vfm_iommu *iommu)
{
	return iommu ? iommu->ioas_id : 0;
}

/* What is wrong with the caller's wish, NULL when nothing is; the errno in *@ret_code. */
static const char *map_flaw(const struct vfm_map *map, int *ret_code)
{
	uint64_t mask = vfmi_page_size() - 1;
	bool fixed = map->flags & VFM_MAP_FIXED;
	uint64_t last;

	*ret_code = EINVAL;
	if (map->flags & ~(uint32_t)KNOWN_MAP_FLAGS)
		return "unknown flags";
	if (!(map->flags & (VFM_MAP_READ | VFM_MAP_WRITE)))
		return "neither reading nor writing is asked for";
	if (map->length == 0)
		return "the length is zero";
	if ((map->length | (uintptr_t)map->vaddr) & mask)
		return "address and length must be multiples of the page size";
	if (fixed && (map->iova & mask))
		return "the IOVA must be a multiple of the page size";
	*ret_code = EOVERFLOW;
	if (vfmi_add_overflows((uintptr_t)map->vaddr, map->length - 1, &last) || last > UINTPTR_MAX)
		return "the memory wraps around the end of the address space";
	if (fixed && vfmi_add_overflows(map->iova, map->length - 1, &last))
		return "the IOVAs wrap around the end of the address space";
	return NULL;
}

static int check_map(struct vfm_iommu *iommu, const struct vfm_map *map, struct vfm_error *err)
{
	int code;
	const char *flaw = map_flaw(map, &code);

	if (!flaw)
		return 0;
	return VFMI_FAIL(iommu->ctx, err, code, NULL, "map",
			 "%" PRIu64 " bytes at %p, IOVA 0x%" PRIx64 ", flags 0x%" PRIx32 ": %s", map->length,
			 map->vaddr, map->iova, map->flags, flaw);
}

static int check_free(struct vfm_iommu *iommu, const struct vfm_map *map, struct vfm_error *err)
{
	const struct vfmi_area *other;

	if (!(map->flags & VFM_MAP_FIXED))
		return 0;
	other = vfmi_areas_overlap(&iommu->areas, map->iova, map->iova + (map->length - 1));
	if (!other)
		return 0;
	return VFMI_FAIL(iommu->ctx, err, EEXIST, NULL, "map",
			 "%" PRIu64 " bytes at IOVA 0x%" PRIx64 " overlap the area [0x%" PRIx64 ", 0x%" PRIx64 "]%s",
			 map->length, map->iova, other->iova, other->last,
			 other->unknown ? ", whose unmapping failed" : "");
}

static int fail_map(struct vfm_iommu *iommu, int code, const struct vfm_map *map, struct vfm_error *err)
{
	char remedy[160] = "";

	if (code == ENOMEM)
		snprintf(remedy, sizeof(remedy),
			 "; the locked-memory limit (RLIMIT_MEMLOCK, ulimit -l) must allow %" PRIu64
			 " bytes more than the %" PRIu64 " mapped, or CAP_IPC_LOCK lift it",
			 map->length, iommu->mapped_bytes);
	else if (code == EEXIST)
		snprintf(remedy, sizeof(remedy), "; somebody else mapped there in the same IOAS");
	else if (code == EFAULT)
		snprintf(remedy, sizeof(remedy), "; the memory is not there, not writable, or cannot be pinned");
	else if (code == EINVAL && (map->flags & VFM_MAP_FIXED))
		snprintf(remedy, sizeof(remedy), "; outside the usable IOVA windows or not aligned as they demand");
	return VFMI_FAIL(iommu->ctx, err, code, NULL, "map", "%" PRIu64 " bytes at %p, IOVA 0x%" PRIx64 ": %s%s",
			 map->length, map->vaddr, map->iova, vfmi_errno_text(code), remedy);
}

static uint32_t kernel_map_flags(uint32_t flags)
{
	return (flags & VFM_MAP_READ ? IOMMU_IOAS_MAP_READABLE : 0) |
	       (flags & VFM_MAP_WRITE ? IOMMU_IOAS_MAP_WRITEABLE : 0) |
	       (flags & VFM_MAP_FIXED ? IOMMU_IOAS_MAP_FIXED_IOVA : 0);
}

/*
 * A place that cannot be true must not get into the books. Nothing is taken back: an unmap there could hit another
 * area.
 */
static int check_placed(struct vfm_iommu *iommu, const struct vfm_map *map, uint64_t iova, struct vfm_error *err)
{
	bool moved = (map->flags & VFM_MAP_FIXED) && iova != map->iova;
	uint64_t last;

	if (!moved && !vfmi_add_overflows(iova, map->length - 1, &last) &&
	    !vfmi_areas_overlap(&iommu->areas, iova, last))
		return 0;
	return VFMI_FAIL(iommu->ctx, err, EIO, NULL, "map",
			 "the kernel says it placed %" PRIu64 " bytes at IOVA 0x%" PRIx64
			 ", where they cannot be; they stay mapped until the IOAS goes",
			 map->length, iova);
}

/* Under the lock. @area is put into the books on success. */
static int map_area(struct vfm_iommu *iommu, struct vfm_map *map, struct vfmi_area *area, struct vfm_error *err)
{
	uint64_t iova = map->iova;
	int r;

	r = check_free(iommu, map, err);
	if (r < 0)
		return r;
	r = vfmi_iommufd_map(iommu->ctx->sys, iommu->fd, iommu->ioas_id, kernel_map_flags(map->flags), map->vaddr,
			     map->length, &iova);
	if (r < 0)
		return fail_map(iommu, -r, map, err);
	r = check_placed(iommu, map, iova, err);
	if (r < 0)
		return r;
	area->iova = iova;
	area->last = iova + (map->length - 1);
	area->guest_address = map->guest_address;
	area->cookie = map->cookie;
	vfmi_areas_add(&iommu->areas, area);
	iommu->mapped_bytes += map->length;
	map->iova = iova;
	return 0;
}

int vfm_iommu_map(struct vfm_iommu *iommu, struct vfm_map *map, struct vfm_error *ret_error)
{
	struct vfmi_area *area;
	struct vfm_map copy;
	int r;

	r = vfmi_sized_in(&copy, sizeof(copy), map, VFMI_MAP_MIN);
	if (r < 0)
		return VFMI_FAIL(iommu->ctx, ret_error, -r, NULL, "map", "struct vfm_map of a size not known here");
	r = check_map(iommu, &copy, ret_error);
	if (r < 0)
		return r;
	area = calloc(1, sizeof(*area));
	if (!area)
		return VFMI_FAIL(iommu->ctx, ret_error, ENOMEM, NULL, "map", "%s", vfmi_errno_text(ENOMEM));
	pthread_mutex_lock(&iommu->lock);
	r = map_area(iommu, &copy, area, ret_error);
	pthread_mutex_unlock(&iommu->lock);
	if (r < 0)
		free(area);
	else
		map->iova = copy.iova;
	return r;
}

/* Errnos of IOMMU_IOAS_UNMAP that come before anything is taken away. ENOENT is not one: our area ought to be there. */
static bool means_nothing_done(int code)
{
	switch (code) {
	case EINVAL:
	case EOVERFLOW:
	case EBADF:
	case ENOTTY:
	case EBUSY:
	case EDEADLK:
		return true;
	default:
		return false;
	}
}

static struct vfmi_area *find_exactly(struct vfm_iommu *iommu, uint64_t iova, uint64_t length)
{
	struct vfmi_area *area = vfmi_areas_overlap(&iommu->areas, iova, iova);

	return area && length > 0 && area->iova == iova && area->last - iova == length - 1 ? area : NULL;
}

/* Under the lock; 0 when the area is gone from the kernel. */
static int unmap_area(struct vfm_iommu *iommu, struct vfmi_area *area, struct vfm_error *err)
{
	uint64_t length = area->last - area->iova + 1;
	uint64_t unmapped = 0;
	int r = vfmi_iommufd_unmap(iommu->ctx->sys, iommu->fd, iommu->ioas_id, area->iova, length, &unmapped);

	if (r == 0 && unmapped == length)
		return 0;
	if (r == -ENOENT && area->unknown) /* now it is known */
		return 0;
	if (r == 0 || !means_nothing_done(-r))
		area->unknown = true;
	if (r == 0)
		return VFMI_FAIL(iommu->ctx, err, EIO, NULL, "unmap",
				 "the kernel took back %" PRIu64 " of %" PRIu64 " bytes at IOVA 0x%" PRIx64
				 "; the area counts as mapped",
				 unmapped, length, area->iova);
	return VFMI_FAIL(iommu->ctx, err, -r, NULL, "unmap", "%" PRIu64 " bytes at IOVA 0x%" PRIx64 ": %s; the area %s",
			 length, area->iova, vfmi_errno_text(-r),
			 area->unknown ? "may be mapped or not, and counts as mapped" : "is still mapped");
}

int vfm_iommu_unmap(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, struct vfm_error *ret_error)
{
	struct vfmi_area *area;
	int r;

	pthread_mutex_lock(&iommu->lock);
	area = find_exactly(iommu, iova, length);
	if (!area)
		r = VFMI_FAIL(iommu->ctx, ret_error, ENOENT, NULL, "unmap",
			      "no area of %" PRIu64 " bytes at IOVA 0x%" PRIx64 " was mapped here", length, iova);
	else
		r = unmap_area(iommu, area, ret_error);
	if (r == 0) {
		vfmi_areas_remove(&iommu->areas, area);
		iommu->mapped_bytes -= length;
	}
	pthread_mutex_unlock(&iommu->lock);
	if (r == 0)
		free(area);
	return r;
}

int vfm_iommu_ranges(struct vfm_iommu *iommu, struct vfm_iova_range *ranges, size_t room, size_t *ret_count,
		     uint64_t *ret_align, struct vfm_error *ret_error)
{
	uint32_t kernel_room = (uint32_t)vfmi_min_u64(room, MAX_RANGES);
	struct iommu_iova_range *found;
	uint64_t align = 0;
	uint32_t count = 0;
	int r;

	found = calloc(kernel_room ? kernel_room : 1, sizeof(*found));
	if (!found)
		return VFMI_FAIL(iommu->ctx, ret_error, ENOMEM, NULL, "IOVA ranges", "%s", vfmi_errno_text(ENOMEM));
	r = vfmi_iommufd_ranges(iommu->ctx->sys, iommu->fd, iommu->ioas_id, found, kernel_room, &count, &align);
	if (r == 0 || r == -EMSGSIZE)
		*ret_count = count;
	for (uint32_t i = 0; r == 0 && i < count; i++)
		ranges[i] = (struct vfm_iova_range){ .first = found[i].start, .last = found[i].last };
	free(found);
	if (r < 0)
		return VFMI_FAIL(iommu->ctx, ret_error, -r, NULL, "IOVA ranges",
				 "room for %zu, there are %" PRIu32 ": %s", room, count, vfmi_errno_text(-r));
	if (ret_align)
		*ret_align = align;
	return 0;
}
