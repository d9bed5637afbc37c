/* SPDX-License-Identifier: MIT */
/* Body of an address space and what its kinds differ in, for the iommu*.c files and nobody else. */
#ifndef VFIOMIG_IOMMU_BACKEND_H
#define VFIOMIG_IOMMU_BACKEND_H

#include <pthread.h>

#include "areas.h"
#include "iommu-internal.h"

/* Text for a failure to open or adopt: what was tried and what helps, both static. */
struct vfmi_iommu_trouble {
	const char *what;
	const char *remedy; /* "" or "; ..." */
};

static inline int vfmi_iommu_refuse(struct vfmi_iommu_trouble *trouble, int code, const char *what, const char *remedy)
{
	*trouble = (struct vfmi_iommu_trouble){ .what = what, .remedy = remedy };
	return code;
}

#define VFMI_IOMMUFD_PATH "/dev/iommu"
#define VFMI_IOMMUFD_ABSENT                                                                                            \
	"; the kernel has no iommufd: it needs CONFIG_IOMMUFD (Linux 6.2) and, as a module, \"modprobe iommufd\""

/* Where something can be mapped: ordered, disjoint. free() the ranges. */
struct vfmi_windows {
	struct vfm_iova_range *ranges;
	size_t count;
	uint64_t align;
};

/*
 * One kind of address space. All return 0 or -errno as the kernel gave it, without a report; the lock is held, but for
 * open, adopt and close. A member that is NULL is something this kind cannot do.
 */
struct vfmi_iommu_ops {
	bool places; /* the kernel finds a place for a map without VFM_MAP_FIXED */
	int (*open)(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *trouble);
	int (*adopt)(struct vfm_iommu *iommu, struct vfmi_iommu_trouble *trouble);
	void (*close)(struct vfm_iommu *iommu);
	/* @iova in with VFM_MAP_FIXED, else out */
	int (*map)(struct vfm_iommu *iommu, const struct vfm_map *map, uint64_t *iova);
	int (*map_file)(struct vfm_iommu *iommu, const struct vfm_map *map, uint64_t *iova);
	int (*unmap)(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, uint64_t *ret_unmapped);
	/* and read the dirty bits, as one step */
	int (*unmap_dirty)(struct vfm_iommu *iommu, const struct vfmi_dirty_bits *bits, uint64_t *ret_unmapped);
	int (*windows)(struct vfm_iommu *iommu, struct vfmi_windows *ret);
	int (*allow)(struct vfm_iommu *iommu, const struct vfm_iova_range *ranges, uint32_t count);
	/* @ret_page_sizes: 0 when not known; @ret_entries: UINT64_MAX without a limit */
	int (*limits)(struct vfm_iommu *iommu, uint64_t *ret_page_sizes, uint64_t *ret_entries);
	int (*vaddr_invalidate)(struct vfm_iommu *iommu);
	int (*vaddr_set)(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, void *vaddr);
	int (*change_process)(struct vfm_iommu *iommu);
};

extern const struct vfmi_iommu_ops vfmi_iommu_ioas;
extern const struct vfmi_iommu_ops vfmi_iommu_container;

struct vfmi_hwpt {
	uint32_t id;
	uint32_t flags; /* VFM_IOMMU_DIRTY_TRACKING */
	uint32_t devices;
	bool adopted;
	bool runs; /* its dirty bits are read */
};

struct vfm_iommu {
	struct vfm_context *ctx;
	struct vfmi_sys *sys;
	const struct vfmi_iommu_ops *ops;
	uint32_t backend;
	uint32_t flags; /* enum vfm_iommu_flag asked for */
	char fallback[sizeof(((struct vfm_iommu_info *)NULL)->fallback)];
	int fd;
	uint32_t ioas_id;
	uint64_t iommufd; /* which one of the context's; those beside each other have one */
	bool adopted;

	/*
	 * Held over the kernel's map and unmap: between an unmap and its entry in the books another thread's map could
	 * be given the same addresses.
	 */
	pthread_mutex_t lock;
	struct vfmi_areas areas;
	uint64_t area_count;
	uint64_t mapped_bytes;
	bool no_map_file;   /* the kernel has no IOMMU_IOAS_MAP_FILE */
	uint64_t odd_files; /* areas of files that no kernel known pins */

	/* For maps the library finds a place for, NULL before the first; told of windows anew after a change. */
	struct vfm_iova *places;
	struct vfmi_windows windows; /* that it was told of */
	bool windows_known;
	struct vfm_iova_range *allowed; /* by vfm_iommu_allow(): no list of the kernel's shows them */
	size_t allowed_count;

	/* container: it has its IOMMU, from the first group on until the last leaves, whoever's they are */
	bool has_iommu;
	uint32_t groups; /* ours */

	/* Page tables, never taken away before close; held over attaching, which may make one. Outer to the lock. */
	pthread_mutex_t hwpt_lock;
	struct vfmi_hwpt *hwpts;
	uint32_t hwpt_count;
	uint32_t attached;
	uint32_t tracked; /* of them: to an HWPT with dirty tracking */
};

/* Open the file an address space stands on (iommu.c). @absent: remedy when the kernel has none. */
int vfmi_iommu_open_file(struct vfm_iommu *iommu, const char *path, const char *absent,
			 struct vfmi_iommu_trouble *trouble);

static inline bool vfmi_backend_is_compat(uint32_t backend)
{
	return backend == VFM_BACKEND_COMPAT_TYPE1 || backend == VFM_BACKEND_COMPAT_TYPE1V2;
}

/* What is mapped (iommu-map.c); under the lock. */

/* Everything out of the books: unmapped but for what the owner mapped, or, with @gone, because the kernel did it. */
void vfmi_iommu_drop_areas(struct vfm_iommu *iommu, bool gone);

/* The area that is exactly that, or NULL and the words for it. _drop_memory(): of a file that was mapped here. */
struct vfmi_area *vfmi_iommu_find_area(struct vfm_iommu *iommu, uint64_t iova, uint64_t length);
int vfmi_iommu_fail_find(struct vfm_iommu *iommu, const char *step, uint64_t iova, uint64_t length,
			 struct vfm_error *err);
void vfmi_iommu_drop_memory(struct vfm_iommu *iommu, struct vfmi_area *area);

/* EBUSY: the kernel is taking back what was there. A tenth of a second in all, then it is told. */
#define VFMI_BUSY_TRIES 50
#define VFMI_BUSY_PAUSE_NS 2000000u

/*
 * "N bytes of maps are to be locked, the limit is M (...)" and @more, for an ENOMEM of the kernel (iommu-limits.c).
 * Asks for no path: for inside a jail too.
 */
void vfmi_iommu_memlock_text(struct vfm_iommu *iommu, uint64_t bytes, const char *more, char *buf, size_t room);

/* Places (iommu-place.c); under the lock. @low: below 4 GiB. What is found is taken, until it is given back. */
int vfmi_iommu_place(struct vfm_iommu *iommu, uint64_t length, bool low, uint64_t *ret_iova);
void vfmi_iommu_place_taken(struct vfm_iommu *iommu, uint64_t iova, uint64_t length);
void vfmi_iommu_place_back(struct vfm_iommu *iommu, uint64_t iova, uint64_t length);

/* Page tables (iommu-hwpt.c). */
int vfmi_iommu_adopt_hwpts(struct vfm_iommu *iommu, const uint32_t *ids, uint32_t count);
void vfmi_iommu_destroy_hwpts(struct vfm_iommu *iommu);

#endif
