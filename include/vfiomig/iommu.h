/* SPDX-License-Identifier: MIT */
/* Address space: an IOAS of an iommufd, or a container; devices are attached to it and memory is mapped. */
#ifndef VFIOMIG_IOMMU_H
#define VFIOMIG_IOMMU_H

#include <vfiomig/iova.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfm_iommu;

enum vfm_iommu_backend {
	VFM_BACKEND_UNKNOWN = 0,	/* as an option: the first that works, in the order 1, 3, 5, 4, 2 */
	VFM_BACKEND_IOMMUFD = 1,	/* iommufd native: cdev, IOAS (Linux 6.2, cdev 6.6) */
	VFM_BACKEND_TYPE1 = 2,		/* container with VFIO_TYPE1_IOMMU */
	VFM_BACKEND_TYPE1V2 = 3,	/* container with VFIO_TYPE1v2_IOMMU */
	VFM_BACKEND_COMPAT_TYPE1 = 4,	/* iommufd standing in for a container, VFIO_TYPE1_IOMMU */
	VFM_BACKEND_COMPAT_TYPE1V2 = 5, /* iommufd standing in for a container, VFIO_TYPE1v2_IOMMU */
};

enum vfm_iommu_flag {
	/*
	 * HWPTs made by the library with dirty tracking wherever a device's IOMMU has it (IOMMU_GET_HW_INFO). Decided
	 * at a device's first attach, since the kernel's automatic page tables never have it. It costs: what the IOMMU
	 * reaches bounds the IOVA windows, and their alignment, until the address space is closed, also after a detach;
	 * only what the device had reserved comes back. VFM_BACKEND_IOMMUFD only.
	 */
	VFM_IOMMU_DIRTY_TRACKING = 1,
	/* Charge locked memory to the process, not the user (IOMMU_OPTION_RLIMIT_MODE; needs CAP_SYS_RESOURCE). */
	VFM_IOMMU_ACCOUNT_PROCESS = 2,
	/* Every map in pages of the smallest size (IOMMU_OPTION_HUGE_PAGES off): finer dirty bits, slower. */
	VFM_IOMMU_SMALL_PAGES = 4,
};

/**
 * struct vfm_iommu_options - how an address space is to be made
 * @backend: enum vfm_iommu_backend; VFM_BACKEND_UNKNOWN chooses
 * @flags:   enum vfm_iommu_flag; of VFM_BACKEND_IOMMUFD only, which VFM_BACKEND_UNKNOWN then means
 */
struct vfm_iommu_options {
	uint32_t size;
	uint32_t backend;
	uint32_t flags;
	uint32_t reserved;
};

enum vfm_map_flag {
	VFM_MAP_READ = 1,  /* the device may read the memory */
	VFM_MAP_WRITE = 2, /* the device may write the memory */
	VFM_MAP_FIXED = 4, /* place at vfm_map.iova exactly; otherwise a place is chosen and iova is written back */
	/*
	 * Map @fd from byte @fd_offset on (memfd, guest_memfd, device dax, dma-buf). What the kernel pins by file
	 * (IOMMU_IOAS_MAP_FILE, Linux 6.13, VFM_BACKEND_IOMMUFD) survives exec, and @vaddr is not needed: memfd, shmem
	 * and hugetlbfs, and dma-bufs of VFIO since Linux 6.19. Elsewhere, and for all other files, @vaddr is used, and
	 * with @vaddr NULL the library maps the file for as long as the area lives. That goes for guest_memfd too,
	 * where it can be mapped by address (made with GUEST_MEMFD_FLAG_MMAP and _INIT_SHARED, Linux 6.18); one that
	 * cannot is left to the kernel, which does not pin it so far.
	 */
	VFM_MAP_FILE = 8,
	VFM_MAP_LOW = 16, /* without VFM_MAP_FIXED: below 4 GiB, for devices with 32 bit addresses */
};

/**
 * struct vfm_map - one area of memory a device may reach
 * @vaddr:  user address, page aligned; must stay mapped and must not be remapped until unmapped here
 * @length: bytes, multiple of the page size, above 0
 * @iova:   device address: in with VFM_MAP_FIXED, else out
 * @fd:     with VFM_MAP_FILE; needed for the call only
 * @fd_offset: bytes, page aligned
 */
struct vfm_map {
	uint32_t size;
	uint32_t flags;
	void *vaddr;
	uint64_t length;
	uint64_t iova;
	int32_t fd;
	uint32_t reserved;
	uint64_t fd_offset;
};

/* Short name of a back end, "iommufd", "type1v2", "compat-type1"; "unknown". Static. */
VFM_API const char *vfm_backend_name(uint32_t backend);
VFM_API VFM_MUST_CHECK int vfm_backend_from_name(const char *name, uint32_t *ret_backend); /* 0 or -EINVAL */

/**
 * vfm_iommu_open() - make an empty address space
 * @options: size set; NULL for the first back end that works, no flags
 *
 * An IOAS stands at once. A container has no IOMMU, so no windows and no maps, until the first device is bound to it
 * (VFIO_SET_IOMMU wants a group): until then vfm_iommu_map() and _ranges() give -EAGAIN. When its last device is
 * closed, the kernel takes the IOMMU away again; one of type1 or type1v2 loses all maps with it, and the books here are
 * empty then. As long as somebody who adopted the container has a device in it all stays: maps made here too, which
 * that device reaches until they are unmapped or the address space is closed.
 *
 * VFM_BACKEND_UNKNOWN passes over what the kernel has not or this user may not open, and over an iommufd when VFIO
 * devices are there and none has a file of its own; vfm_iommu_info.fallback tells why.
 *
 * Return: 0, -ENOENT or -ENODEV (kernel has none of the back ends asked for; the message says how to get one),
 * -EOPNOTSUPP (flag and back end do not go together), -EACCES, -EPERM, -EINVAL, -E2BIG (struct), or the kernel's own.
 * Close with vfm_iommu_close(). Blocking: no. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_open(struct vfm_context *ctx, const struct vfm_iommu_options *options,
					  struct vfm_iommu **ret_iommu, struct vfm_error *ret_error);

/**
 * vfm_iommu_open_beside() - another address space in the iommufd of @iommu
 * @flags: VFM_IOMMU_DIRTY_TRACKING, VFM_IOMMU_SMALL_PAGES; who is charged for locked memory is decided for @iommu
 *
 * For PASIDs (vfm_device_attach_pasid()), for devices that go from one to another (vfm_device_attach_to()), and for
 * devices that share no memory and yet one iommufd, which a hot reset of both wants. It has its own descriptor of the
 * iommufd: either may be closed first. @iommu may be an adopted one.
 * Return: 0, -EINVAL (flags), -EOPNOTSUPP (@iommu is a container), -ENOMEM, or errno; nothing is left behind then.
 * Close with vfm_iommu_close(). Blocking: no. Source: IOMMU_IOAS_ALLOC, Linux 6.2. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_open_beside(struct vfm_iommu *iommu, uint32_t flags, struct vfm_iommu **ret_iommu,
						 struct vfm_error *ret_error);

/**
 * struct vfm_iommu_adopt - an address space that somebody else made
 * @backend:    enum vfm_iommu_backend, not VFM_BACKEND_UNKNOWN
 * @fd:         iommufd or container; duplicated, the caller keeps its own
 * @ioas_id:    iommufd: existing IOAS in it, never destroyed by the library
 * @hwpt_ids:   iommufd: its HWPTs that devices are attached to or may be; may be NULL
 * @hwpt_count: number of them
 * @flags:      enum vfm_iommu_flag, what the owner made them with
 * @beside:     another address space of the same iommufd and context, of which this is to be known: @fd is not used
 *              then; may be NULL. The kernel does not tell of two descriptors whether they are of one iommufd, so that
 *              without @beside it is one of its own here, even when @fd comes from another address space
 */
struct vfm_iommu_adopt {
	uint32_t size;
	uint32_t backend;
	int32_t fd;
	uint32_t ioas_id;
	const uint32_t *hwpt_ids;
	uint32_t hwpt_count;
	uint32_t flags;
	struct vfm_iommu *beside;
};

/**
 * vfm_iommu_adopt() - stand on an address space that somebody else made; looks up no path
 *
 * Return: 0, -EBADF, -EINVAL (no such descriptor, IOAS or kind of container), -E2BIG (struct), -EOPNOTSUPP (a container
 * of another version), -ENOMEM, or errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_adopt(struct vfm_context *ctx, const struct vfm_iommu_adopt *adopt,
					   struct vfm_iommu **ret_iommu, struct vfm_error *ret_error);

/**
 * vfm_iommu_adopt_map() - enter into the books what the owner of an adopted address space has mapped
 * @map: VFM_MAP_FIXED set; nothing is asked of the kernel
 *
 * The area can then be unmapped here, and dirty tracking covers it. Areas still in the books at vfm_iommu_close() are
 * left mapped. Return: 0, -EINVAL, -EEXIST, -EOVERFLOW, -ENOMEM. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_adopt_map(struct vfm_iommu *iommu, const struct vfm_map *map,
					       struct vfm_error *ret_error);

/**
 * vfm_iommu_forget_map() - take an area out of the books without unmapping it
 *
 * A file that the library has mapped for it stays so, since devices still reach it.
 * Return: 0, -ENOENT. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_forget_map(struct vfm_iommu *iommu, uint64_t iova, uint64_t length,
						struct vfm_error *ret_error);

/**
 * vfm_iommu_close() - unmap what this object mapped, destroy the IOAS if it was made here, close; NULL is fine
 *
 * Attached devices must have been closed, detached or moved away (vfm_device_attach_to()) before. One that was only
 * detached is not attached again. Since: 0.1
 */
VFM_API void vfm_iommu_close(struct vfm_iommu *iommu);

VFM_API uint32_t vfm_iommu_backend(const struct vfm_iommu *iommu);
VFM_API int vfm_iommu_fd(const struct vfm_iommu *iommu);	   /* borrowed until close */
VFM_API uint32_t vfm_iommu_ioas_id(const struct vfm_iommu *iommu); /* 0 for a container of type1 */

/**
 * struct vfm_iommu_info - what an address space is
 * @backend:      enum vfm_iommu_backend in use
 * @flags:        enum vfm_iommu_flag in force; VFM_IOMMU_DIRTY_TRACKING when every attached device has it
 * @areas, @mapped_bytes: what this object mapped
 * @page_sizes:   bitmap of IOVA page sizes, 0 when not known yet; of an IOAS only the smallest is known
 * @entries_left: maps the kernel will still take (VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL), UINT64_MAX without a limit, and
 *                while a container has no IOMMU that could be asked; vfm_iommu_preflight() knows it then
 * @fallback:     why a better back end was not used, "" when the best or the wanted one is:
 *                "iommufd: /dev/iommu: not there (ENOENT)"
 */
struct vfm_iommu_info {
	uint32_t size;
	uint32_t backend;
	uint32_t flags;
	uint32_t hwpt_count;
	uint64_t areas;
	uint64_t mapped_bytes;
	uint64_t page_sizes;
	uint64_t entries_left;
	char fallback[160];
};
VFM_API VFM_MUST_CHECK int vfm_iommu_info(struct vfm_iommu *iommu, struct vfm_iommu_info *ret,
					  struct vfm_error *ret_error);

/* One HWPT of the address space, made here or adopted. Those made here live until it is closed. */
struct vfm_hwpt {
	uint32_t size;
	uint32_t id;
	uint32_t flags;	  /* VFM_IOMMU_DIRTY_TRACKING */
	uint32_t devices; /* attached through this library */
};
/* HWPT @index, -ENODATA beyond the last. Automatic page tables of the kernel are not listed. Since: 0.1 */
VFM_API VFM_MUST_CHECK int vfm_iommu_hwpt(struct vfm_iommu *iommu, uint32_t index, struct vfm_hwpt *ret);

/**
 * vfm_iommu_map() - make an area reachable for every attached device
 * @map: size set; iova written back on success unless VFM_MAP_FIXED
 *
 * Blocking: pins memory, seconds for many GiB. Thread: any.
 * Without VFM_MAP_FIXED an IOAS lets the kernel choose the place; for a container, and with VFM_MAP_LOW, the library
 * does, inside the windows as they are then. EBUSY of the kernel, which is taking back what was there, is waited for a
 * tenth of a second, here and in vfm_iommu_unmap().
 *
 * Return: 0, -EINVAL (alignment, zero length, no access flag), -E2BIG (struct), -EAGAIN (container without a device),
 * -EEXIST (overlaps an area of ours or, from the kernel, of somebody else), -EOVERFLOW (wraps), -ENOSPC (no IOVA, or no
 * entry left in a container), -ENOMEM (memlock limit), -EFAULT, -EIO (the kernel placed it where it cannot be), or
 * errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_map(struct vfm_iommu *iommu, struct vfm_map *map, struct vfm_error *ret_error);

/**
 * vfm_iommu_unmap() - take back exactly one area mapped by vfm_iommu_map()
 *
 * Return: 0, -ENOENT (no area of ours has this iova and length), or the kernel's errno; after an errno that does not
 * mean "nothing done", and after -EIO (the kernel took back less), the area is marked unknown and stays in the books as
 * mapped. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_unmap(struct vfm_iommu *iommu, uint64_t iova, uint64_t length,
					   struct vfm_error *ret_error);

/**
 * vfm_iommu_ranges() - IOVA windows usable right now (they change with every attach and detach)
 * @ranges:    room for @room ranges, sorted and disjoint on return
 * @ret_count: number of ranges there are, also when above @room (then -EMSGSIZE)
 * @ret_align: alignment of iova and length in bytes; may be NULL
 *
 * Source: IOMMU_IOAS_IOVA_RANGES, Linux 6.2; VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, Linux 5.4 (before: everything).
 * Return: 0, -EMSGSIZE, or the kernel's errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_ranges(struct vfm_iommu *iommu, struct vfm_iova_range *ranges, size_t room,
					    size_t *ret_count, uint64_t *ret_align, struct vfm_error *ret_error);

/**
 * vfm_iommu_allow() - tell the kernel which IOVAs will be used, so that nothing takes them away
 * @ranges: in order and disjoint, each more than one byte; NULL when @count is 0
 * @count:  65536 at most; 0: no promise any more
 *
 * From then on a device that would make these windows narrower is refused at vfm_device_attach(), -EADDRINUSE, in place
 * of maps that find no room later, and maps without VFM_MAP_FIXED are placed inside them. Takes the place of what was
 * allowed before. The kernel does not tell what is allowed: with VFM_MAP_LOW that counts which was allowed by this
 * object, not by the owner of an adopted address space. Source: IOMMU_IOAS_ALLOW_IOVAS, Linux 6.2.
 * Return: 0, -EINVAL (not so), -E2BIG, -EADDRINUSE (a range meets what is reserved now), -EOPNOTSUPP (a container
 * has no such promise), -ENOMEM, or errno; what was allowed before stays so. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_allow(struct vfm_iommu *iommu, const struct vfm_iova_range *ranges, size_t count,
					   struct vfm_error *ret_error);

/**
 * struct vfm_limits - what mapping more would need, and what there is; bytes or entries
 * @memlock_limit:  RLIMIT_MEMLOCK, UINT64_MAX when unlimited or CAP_IPC_LOCK lifts it, which it does in the first user
 *                  namespace only: not in a container's own
 * @memlock_used:   charged already, as far as can be seen
 * @memlock_needed: what the maps asked about add, and as long as nothing is attached to an IOAS, what is mapped: that
 *                  is charged with the first device
 * @entries_left, @entries_needed: maps; UINT64_MAX left without a limit
 */
struct vfm_limits {
	uint32_t size;
	uint32_t reserved;
	uint64_t memlock_limit;
	uint64_t memlock_used;
	uint64_t memlock_needed;
	uint64_t entries_left;
	uint64_t entries_needed;
};

/**
 * vfm_iommu_preflight() - would mapping @areas areas of @bytes in all be allowed? Asked before the work starts
 * @ret: what was found, also on failure; may be NULL
 *
 * Reads /proc/self/status and uid_map, and while a container has no IOMMU, the parameter dma_entry_limit of
 * vfio_iommu_type1 in sysfs: not for after a jail is closed. Return: 0, -ENOMEM (locked memory), -ENOSPC
 * (entries); the message says how much is needed, which limit stops it and how to raise it. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_preflight(struct vfm_iommu *iommu, uint64_t bytes, uint64_t areas,
					       struct vfm_limits *ret, struct vfm_error *ret_error);

/**
 * vfm_iommu_vaddr_invalidate() - all areas lose their user address, so that the process can be replaced (live update)
 *
 * Between this and the last vfm_iommu_vaddr_set() mapped memory stays reachable for devices; mediated devices that
 * pin must not run. Source: VFIO_DMA_UNMAP_FLAG_VADDR, Linux 5.12; type1v2 and type1 only.
 * No device joins the address space meanwhile (EBUSY of its group). Return: 0, -EOPNOTSUPP (back end or kernel; a
 * mediated device is attached), -EAGAIN (no device is bound yet), -EINVAL (the addresses are invalid already), or
 * errno; nothing changed then. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_vaddr_invalidate(struct vfm_iommu *iommu, struct vfm_error *ret_error);
/*
 * Give an area its new user address, and the locked memory to this process. Return: 0, -ENOENT, -EINVAL (@vaddr is no
 * multiple of the page size, or the area has its address still), -ENOMEM (the RLIMIT_MEMLOCK of this process, which the
 * message names, is too low for what is locked in the area; it has no address still), or errno.
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_vaddr_set(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, void *vaddr,
					       struct vfm_error *ret_error);

/**
 * vfm_iommu_change_process() - make this process the one that is charged for all maps of the iommufd
 *
 * Only when every map came from a file the kernel pinned (VFM_MAP_FILE), in all IOAS of the iommufd, also those of
 * others that share it. A dma-buf is no such file: no BAR of another device may be mapped. EBUSY is waited for as in
 * vfm_iommu_map(). Source: IOMMU_IOAS_CHANGE_PROCESS, Linux 6.14.
 * Return: 0, -EOPNOTSUPP (back end, kernel), -EINVAL (some map is not of a file, or of a dma-buf), -ENOMEM (the
 * RLIMIT_MEMLOCK of this process, which the message names, is too low for what is mapped; this process is charged
 * before the old one is released, so where both are of one user it takes twice as much, and CAP_IPC_LOCK counts only if
 * it was there when the areas were mapped), -EBUSY, or errno; nothing changed then. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_iommu_change_process(struct vfm_iommu *iommu, struct vfm_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
