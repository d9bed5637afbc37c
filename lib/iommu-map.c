/* SPDX-License-Identifier: MIT */
/* Mapping and unmapping: the books say what is mapped, through every failure the kernel can have. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "iommu-backend.h"

#define VFMI_MAP_MIN VFMI_SIZE_TO(struct vfm_map, fd_offset)
#define KNOWN_MAP_FLAGS (VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED | VFM_MAP_FILE | VFM_MAP_LOW)

/* Places in an adopted space that turn out to be taken by somebody else, before it is given up. */
#define TAKEN_TRIES 64

/* An area of the books. */
struct mapped {
	struct vfmi_area area; /* first: the books hand out these */
	void *memory;	       /* a file's, mapped by the library for this area; NULL when the caller's is used */
	bool adopted;	       /* mapped by the owner of an adopted address space, and left so */
	bool odd;	       /* by a file of a kind that no kernel known pins; it looks when a device is attached */
};

/* what the caller wants */

static const char *memory_flaw(const struct vfm_map *map, int *ret_code)
{
	uint64_t last;

	*ret_code = EOVERFLOW;
	if (vfmi_add_overflows((uintptr_t)map->vaddr, map->length - 1, &last) || last > UINTPTR_MAX)
		return "the memory wraps around the end of the address space";
	if (!(map->flags & VFM_MAP_FILE))
		return NULL;
	if (vfmi_add_overflows(map->fd_offset, map->length - 1, &last) || last > INT64_MAX)
		return "the range in the file has no end";
	*ret_code = EINVAL;
	if (map->fd < 0)
		return "there is no file";
	return NULL;
}

/* What is wrong with the caller's wish, NULL when nothing is; the errno in *@ret_code. */
static const char *map_flaw(const struct vfm_iommu *iommu, const struct vfm_map *map, int *ret_code)
{
	uint64_t mask = vfmi_page_size(iommu->sys) - 1;
	bool fixed = map->flags & VFM_MAP_FIXED;
	uint64_t last;

	*ret_code = EINVAL;
	if (map->flags & ~(uint32_t)KNOWN_MAP_FLAGS || map->reserved)
		return "unknown flags";
	if (!(map->flags & (VFM_MAP_READ | VFM_MAP_WRITE)))
		return "neither reading nor writing is asked for";
	if (map->length == 0)
		return "the length is zero";
	if ((map->length | (uintptr_t)map->vaddr) & mask)
		return "address and length must be multiples of the page size";
	if (map->flags & VFM_MAP_FILE && map->fd_offset & mask)
		return "the place in the file must be a multiple of the page size";
	if (fixed && (map->iova & mask))
		return "the IOVA must be a multiple of the page size";
	*ret_code = EOVERFLOW;
	if (fixed && vfmi_add_overflows(map->iova, map->length - 1, &last))
		return "the IOVAs wrap around the end of the address space";
	return memory_flaw(map, ret_code);
}

static int take_map(struct vfm_iommu *iommu, const struct vfm_map *from, struct vfm_map *map, struct vfm_error *err)
{
	const char *flaw;
	int r = vfmi_sized_in(map, sizeof(*map), from, VFMI_MAP_MIN);
	int code;

	if (r < 0)
		return VFMI_FAIL(iommu->ctx, err, -r, NULL, "map", "struct vfm_map of a size not known here");
	flaw = map_flaw(iommu, map, &code);
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

/* asking the kernel */

enum how {
	BY_ADDRESS,
	BY_FILE,      /* the kernel pins the file */
	BY_FILE_HERE, /* the library maps the file and the kernel that memory */
};

/* What memfd_pin_folios() would say of a file, which an IOAS without page tables does not ask before an attach. */
enum kind {
	KIND_UNTOLD, /* could not be found out */
	KIND_MEMORY, /* of shmem or hugetlbfs, as a memfd is: pinned */
	KIND_DMABUF, /* taken as what its exporter says; a user address of it cannot be pinned */
	KIND_OTHER,
};

struct attempt {
	struct vfm_map map; /* as it is asked for */
	enum kind kind;	    /* of the file, where the kernel pins files */
	enum how how;
	void *memory; /* BY_FILE_HERE */
	int other;    /* errno of the way that was tried besides @how; 0: none was */
};

typedef int map_fn(struct vfm_iommu *iommu, const struct vfm_map *map, uint64_t *iova);

static int map_patiently(struct vfm_iommu *iommu, map_fn *fn, const struct vfm_map *map, uint64_t *iova)
{
	int r = fn(iommu, map, iova);

	for (int i = 1; i < VFMI_BUSY_TRIES && r == -EBUSY; i++) {
		iommu->sys->ops->sleep_ns(iommu->sys, VFMI_BUSY_PAUSE_NS);
		r = fn(iommu, map, iova);
	}
	return r;
}

/* Where the kernel does not pin files, this process maps it for as long as the area lives. */
static int map_file_here(struct vfm_iommu *iommu, struct attempt *attempt)
{
	const struct vfm_map *map = &attempt->map;
	int prot = PROT_READ | (map->flags & VFM_MAP_WRITE ? PROT_WRITE : 0);

	if (!(map->flags & VFM_MAP_FILE) || map->vaddr || attempt->memory)
		return 0;
	attempt->how = BY_FILE_HERE;
	return iommu->sys->ops->mmap(iommu->sys, NULL, (size_t)map->length, prot, MAP_SHARED, map->fd,
				     (off_t)map->fd_offset, &attempt->memory);
}

static int map_by_address(struct vfm_iommu *iommu, struct attempt *attempt, uint64_t *iova)
{
	int r;

	attempt->how = BY_ADDRESS;
	r = map_file_here(iommu, attempt);
	if (r < 0)
		return r;
	if (attempt->memory) {
		attempt->how = BY_FILE_HERE;
		attempt->map.vaddr = attempt->memory;
	}
	return map_patiently(iommu, iommu->ops->map, &attempt->map, iova);
}

static int map_by_file(struct vfm_iommu *iommu, struct attempt *attempt, uint64_t *iova)
{
	int r;

	attempt->how = BY_FILE;
	r = map_patiently(iommu, iommu->ops->map_file, &attempt->map, iova);
	if (r == -ENOTTY)
		iommu->no_map_file = true;
	return r;
}

static bool takes_files(const struct vfm_iommu *iommu, const struct attempt *attempt)
{
	return attempt->map.flags & VFM_MAP_FILE && iommu->ops->map_file && !iommu->no_map_file;
}

/* devtmpfs is a tmpfs too: what lies there is not shmem. */
static enum kind file_kind(const struct vfm_iommu *iommu, int fd)
{
	const struct vfmi_sys_ops *ops = iommu->sys->ops;
	struct statfs fs;
	struct stat st;

	if (ops->fstat(iommu->sys, fd, &st) < 0 || ops->fstatfs(iommu->sys, fd, &fs) < 0)
		return KIND_UNTOLD;
	switch ((uint32_t)fs.f_type) {
	case VFMI_FS_DMABUF:
		return KIND_DMABUF;
	case VFMI_FS_TMPFS:
	case VFMI_FS_HUGETLBFS:
		return S_ISREG(st.st_mode) ? KIND_MEMORY : KIND_OTHER;
	default:
		return KIND_OTHER;
	}
}

/* A file that nobody can map is left to the kernel, which may have learnt to pin it. */
static int map_other_file(struct vfm_iommu *iommu, struct attempt *attempt, uint64_t *iova)
{
	int r = map_by_address(iommu, attempt, iova);

	if (r != -ENODEV || attempt->map.vaddr)
		return r;
	attempt->other = ENODEV;
	r = map_by_file(iommu, attempt, iova);
	if (r == -ENOTTY) {
		attempt->how = BY_FILE_HERE;
		attempt->other = 0;
		r = -ENODEV;
	}
	return r;
}

/*
 * The kernel's EINVAL does not say whether it is the file it will not pin: memfd_pin_folios() takes shmem and hugetlbfs
 * only, and other kernels may take others.
 */
static int map_memory_file(struct vfm_iommu *iommu, struct attempt *attempt, uint64_t *iova)
{
	int first = map_by_file(iommu, attempt, iova);
	int r;

	if (first == -ENOTTY)
		return map_by_address(iommu, attempt, iova);
	if ((first != -EINVAL && first != -EOPNOTSUPP) || attempt->kind == KIND_DMABUF)
		return first;
	r = map_by_address(iommu, attempt, iova);
	if (r == 0)
		return 0;
	attempt->how = BY_FILE;
	attempt->other = -r;
	return first;
}

static int map_once(struct vfm_iommu *iommu, struct attempt *attempt, uint64_t *iova)
{
	attempt->other = 0;
	if (!takes_files(iommu, attempt))
		return map_by_address(iommu, attempt, iova);
	return attempt->kind == KIND_OTHER ? map_other_file(iommu, attempt, iova)
					   : map_memory_file(iommu, attempt, iova);
}

/* At a place of the library's. One that somebody else has taken in an adopted space stays away until another is found.
 */
static int map_at_place(struct vfm_iommu *iommu, struct attempt *attempt, uint64_t *iova)
{
	const bool low = attempt->map.flags & VFM_MAP_LOW;
	const uint64_t length = attempt->map.length;
	uint64_t taken[TAKEN_TRIES];
	size_t count = 0;
	int r = -EEXIST;

	attempt->map.flags |= VFM_MAP_FIXED;
	while (count < TAKEN_TRIES && r == -EEXIST) {
		r = vfmi_iommu_place(iommu, length, low, iova);
		if (r < 0)
			break;
		taken[count++] = *iova;
		attempt->map.iova = *iova;
		r = map_once(iommu, attempt, iova);
	}
	for (size_t i = 0; i + (r == 0) < count; i++)
		vfmi_iommu_place_back(iommu, taken[i], length);
	return r;
}

static int map_somewhere(struct vfm_iommu *iommu, struct attempt *attempt, uint64_t *iova)
{
	const uint32_t flags = attempt->map.flags;
	int r;

	if (!(flags & VFM_MAP_FIXED) && (!iommu->ops->places || flags & VFM_MAP_LOW))
		return map_at_place(iommu, attempt, iova);
	r = map_once(iommu, attempt, iova);
	if (r == 0)
		vfmi_iommu_place_taken(iommu, *iova, attempt->map.length);
	return r;
}

static void undo_attempt(struct vfm_iommu *iommu, struct attempt *attempt)
{
	if (attempt->memory)
		iommu->sys->ops->munmap(iommu->sys, attempt->memory, (size_t)attempt->map.length);
}

/* what to say when it says no */

#define PINNED_FILES "memfd, shmem and hugetlbfs, and dma-bufs of VFIO, of one area, since Linux 6.19"

static void file_remedy(const struct attempt *attempt, int code, char *buf, size_t room)
{
	const char *text = "";

	if (attempt->how == BY_FILE && (code == EINVAL || code == EOPNOTSUPP || code == EBADF || code == EFAULT))
		text = "; the file may be shorter, or one that the kernel does not pin: it takes " PINNED_FILES;
	else if (attempt->how == BY_FILE && code == ENODEV)
		text = "; the device of this dma-buf is closed, sleeps, or its memory decode is off";
	else if (attempt->how == BY_FILE_HERE && !attempt->memory)
		text = "; it goes by its address here (IOMMU_IOAS_MAP_FILE is of iommufd, Linux 6.13, for memfd, shmem "
		       "and hugetlbfs) and cannot be mapped: it must be open for writing if devices are to write, and "
		       "guest_memfd must have been made for it";
	snprintf(buf, room, "%s%s%s", text, attempt->other ? "; by its address it says " : "",
		 attempt->other ? vfmi_errno_text(attempt->other) : "");
}

static void map_remedy(struct vfm_iommu *iommu, const struct attempt *attempt, int code, char *buf, size_t room)
{
	const struct vfm_map *map = &attempt->map;
	const char *text = "";
	char file[320];

	if (code == ENOMEM) {
		snprintf(buf, room,
			 "; the locked-memory limit (RLIMIT_MEMLOCK, ulimit -l) must allow %" PRIu64
			 " bytes more than the %" PRIu64 " mapped, or CAP_IPC_LOCK lift it",
			 map->length, iommu->mapped_bytes);
		return;
	}
	if (code == EAGAIN)
		text = "; a container has no IOMMU before the first device is bound to it";
	else if (code == EEXIST)
		text = "; somebody else mapped there in the same address space";
	else if (code == EFAULT)
		text = "; the memory is not there, not writable, or cannot be pinned";
	else if (code == ENOSPC && iommu->ops->places)
		text = "; no window has so much room, as aligned as it must be";
	else if (code == ENOSPC)
		text = "; no window has so much room, or the container takes no more maps "
		       "(vfio_iommu_type1.dma_entry_limit)";
	else if (code == EINVAL && map->flags & VFM_MAP_FIXED)
		text = "; outside the usable IOVA windows or not aligned as they demand";
	else if (code == EBUSY)
		text = "; it stayed so";
	file_remedy(attempt, code, file, sizeof(file));
	snprintf(buf, room, "%s%s", text, file);
}

static int fail_map(struct vfm_iommu *iommu, int code, const struct attempt *attempt, struct vfm_error *err)
{
	const struct vfm_map *map = &attempt->map;
	char remedy[448] = "";

	map_remedy(iommu, attempt, code, remedy, sizeof(remedy));
	return VFMI_FAIL(iommu->ctx, err, code, NULL, "map", "%" PRIu64 " bytes at %p, IOVA 0x%" PRIx64 ": %s%s",
			 map->length, map->vaddr, map->iova, vfmi_errno_text(code), remedy);
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
			 ", where they cannot be; they stay mapped until the address space goes",
			 map->length, iova);
}

/* the books */

static struct mapped *mapped_of(struct vfmi_area *area)
{
	return (struct mapped *)area;
}

static void enter(struct vfm_iommu *iommu, const struct vfm_map *map, uint64_t iova, struct mapped *mapped)
{
	mapped->area.iova = iova;
	mapped->area.last = iova + (map->length - 1);
	vfmi_areas_add(&iommu->areas, &mapped->area);
	iommu->area_count++;
	iommu->mapped_bytes += map->length;
	iommu->odd_files += mapped->odd;
}

static void strike(struct vfm_iommu *iommu, struct vfmi_area *area)
{
	const uint64_t length = area->last - area->iova + 1;

	vfmi_areas_remove(&iommu->areas, area);
	vfmi_iommu_place_back(iommu, area->iova, length);
	iommu->area_count--;
	iommu->mapped_bytes -= length;
	iommu->odd_files -= mapped_of(area)->odd;
}

void vfmi_iommu_drop_memory(struct vfm_iommu *iommu, struct vfmi_area *area)
{
	struct mapped *mapped = mapped_of(area);

	if (mapped->memory)
		iommu->sys->ops->munmap(iommu->sys, mapped->memory, (size_t)(area->last - area->iova + 1));
	mapped->memory = NULL;
}

static void area_free(struct vfm_iommu *iommu, struct vfmi_area *area)
{
	vfmi_iommu_drop_memory(iommu, area);
	free(mapped_of(area));
}

struct vfmi_area *vfmi_iommu_find_area(struct vfm_iommu *iommu, uint64_t iova, uint64_t length)
{
	struct vfmi_area *area = vfmi_areas_overlap(&iommu->areas, iova, iova);

	return area && length > 0 && area->iova == iova && area->last - iova == length - 1 ? area : NULL;
}

int vfmi_iommu_fail_find(struct vfm_iommu *iommu, const char *step, uint64_t iova, uint64_t length,
			 struct vfm_error *err)
{
	return VFMI_FAIL(iommu->ctx, err, ENOENT, NULL, step,
			 "no area of %" PRIu64 " bytes at IOVA 0x%" PRIx64 " was mapped here", length, iova);
}

/* What of the maps may be why a device was not attached. */
void vfmi_iommu_attach_trouble(struct vfm_iommu *iommu, int code, char *buf, size_t room)
{
	uint64_t bytes;
	bool odd;

	pthread_mutex_lock(&iommu->lock);
	bytes = iommu->mapped_bytes;
	odd = iommu->odd_files > 0;
	pthread_mutex_unlock(&iommu->lock);
	*buf = '\0';
	if (code == ENOMEM)
		vfmi_iommu_memlock_text(iommu, bytes, "; CAP_IPC_LOCK lifts it for what is mapped with it", buf, room);
	else if (code == EINVAL && odd)
		snprintf(buf, room, "a map is of a file that the kernel does not pin: it takes " PINNED_FILES);
}

/* mapping */

/* Under the lock. @mapped is put into the books on success. */
static int map_area(struct vfm_iommu *iommu, struct vfm_map *map, struct mapped *mapped, struct vfm_error *err)
{
	struct attempt attempt = { .map = *map };
	uint64_t iova = map->iova;
	int r;

	r = check_free(iommu, map, err);
	if (r < 0)
		return r;
	if (takes_files(iommu, &attempt))
		attempt.kind = file_kind(iommu, map->fd);
	r = map_somewhere(iommu, &attempt, &iova);
	if (r < 0) {
		fail_map(iommu, -r, &attempt, err);
		undo_attempt(iommu, &attempt);
		return r;
	}
	r = check_placed(iommu, map, iova, err);
	if (r < 0) /* what was mapped stays, and so does the memory behind it */
		return r;
	mapped->memory = attempt.memory;
	mapped->odd = attempt.kind == KIND_OTHER && attempt.how == BY_FILE;
	enter(iommu, map, iova, mapped);
	map->iova = iova;
	return 0;
}

/* @keep: the memory is the library's, and goes with the area. */
static int map_and_keep(struct vfm_iommu *iommu, struct vfm_map *map, bool keep, struct vfm_error *ret_error)
{
	struct mapped *mapped;
	struct vfm_map copy;
	int r;

	r = take_map(iommu, map, &copy, ret_error);
	if (r < 0)
		return r;
	mapped = calloc(1, sizeof(*mapped));
	if (!mapped)
		return VFMI_FAIL(iommu->ctx, ret_error, ENOMEM, NULL, "map", "%s", vfmi_errno_text(ENOMEM));
	pthread_mutex_lock(&iommu->lock);
	r = map_area(iommu, &copy, mapped, ret_error);
	if (r == 0 && keep)
		mapped->memory = copy.vaddr;
	pthread_mutex_unlock(&iommu->lock);
	if (r < 0)
		free(mapped);
	else
		map->iova = copy.iova;
	return r;
}

int vfm_iommu_map(struct vfm_iommu *iommu, struct vfm_map *map, struct vfm_error *ret_error)
{
	return map_and_keep(iommu, map, false, ret_error);
}

int vfmi_iommu_map_memory(struct vfm_iommu *iommu, struct vfm_map *map, struct vfm_error *err)
{
	return map_and_keep(iommu, map, true, err);
}

int vfm_iommu_adopt_map(struct vfm_iommu *iommu, const struct vfm_map *map, struct vfm_error *ret_error)
{
	struct mapped *mapped;
	struct vfm_map copy;
	int r;

	r = take_map(iommu, map, &copy, ret_error);
	if (r < 0)
		return r;
	if (!iommu->adopted || !(copy.flags & VFM_MAP_FIXED))
		return VFMI_FAIL(iommu->ctx, ret_error, EINVAL, NULL, "adopt map", "%s",
				 iommu->adopted ? "it must say where it is (VFM_MAP_FIXED)"
						: "the address space is no adopted one");
	mapped = calloc(1, sizeof(*mapped));
	if (!mapped)
		return VFMI_FAIL(iommu->ctx, ret_error, ENOMEM, NULL, "adopt map", "%s", vfmi_errno_text(ENOMEM));
	mapped->adopted = true;
	pthread_mutex_lock(&iommu->lock);
	r = check_free(iommu, &copy, ret_error);
	if (r == 0) {
		enter(iommu, &copy, copy.iova, mapped);
		vfmi_iommu_place_taken(iommu, copy.iova, copy.length);
	}
	pthread_mutex_unlock(&iommu->lock);
	if (r < 0)
		free(mapped);
	return r;
}

/* unmapping */

static int unmap_once(struct vfm_iommu *iommu, const struct vfmi_area *area, const struct vfmi_dirty_bits *bits,
		      uint64_t *ret_unmapped)
{
	if (!bits)
		return iommu->ops->unmap(iommu, area->iova, area->last - area->iova + 1, ret_unmapped);
	return iommu->ops->unmap_dirty ? iommu->ops->unmap_dirty(iommu, bits, ret_unmapped) : -ENOTTY;
}

static int unmap_patiently(struct vfm_iommu *iommu, const struct vfmi_area *area, const struct vfmi_dirty_bits *bits,
			   uint64_t *ret_unmapped)
{
	int r = unmap_once(iommu, area, bits, ret_unmapped);

	for (int i = 1; i < VFMI_BUSY_TRIES && r == -EBUSY; i++) {
		iommu->sys->ops->sleep_ns(iommu->sys, VFMI_BUSY_PAUSE_NS);
		r = unmap_once(iommu, area, bits, ret_unmapped);
	}
	return r;
}

/*
 * Errnos of an unmap that come before anything is taken away. ENOENT is not one: our area ought to be there. Neither is
 * EBUSY, with which an iommufd gives up half way: devices that only look at the area are shut out of it by then.
 */
static bool means_nothing_done(int code)
{
	switch (code) {
	case EINVAL:
	case EOVERFLOW:
	case EBADF:
	case ENOTTY:
	case EDEADLK:
		return true;
	default:
		return false;
	}
}

/* What was unknown is known once the kernel has nothing there: an IOAS says ENOENT, a container took back 0 bytes. */
static bool is_known_gone(const struct vfmi_area *area, int r, uint64_t unmapped)
{
	return area->unknown && (r == -ENOENT || (r == 0 && unmapped == 0));
}

/* Under the lock; 0 when the area is gone from the kernel. @bits: NULL, or its dirty bits are wanted. */
static int unmap_area(struct vfm_iommu *iommu, struct vfmi_area *area, const struct vfmi_dirty_bits *bits,
		      uint64_t *ret_unmapped, struct vfm_error *err)
{
	uint64_t length = area->last - area->iova + 1;
	uint64_t unmapped = 0;
	int r = unmap_patiently(iommu, area, bits, &unmapped);

	*ret_unmapped = r < 0 ? 0 : unmapped;
	if ((r == 0 && unmapped == length) || is_known_gone(area, r, unmapped))
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

static int unmap_exactly(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, const struct vfmi_dirty_bits *bits,
			 uint64_t *ret_unmapped, struct vfm_error *err)
{
	struct vfmi_area *area;
	int r;

	pthread_mutex_lock(&iommu->lock);
	area = vfmi_iommu_find_area(iommu, iova, length);
	r = area ? unmap_area(iommu, area, bits, ret_unmapped, err)
		 : vfmi_iommu_fail_find(iommu, "unmap", iova, length, err);
	if (r == 0)
		strike(iommu, area);
	pthread_mutex_unlock(&iommu->lock);
	if (r == 0)
		area_free(iommu, area);
	return r;
}

int vfm_iommu_unmap(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, struct vfm_error *ret_error)
{
	uint64_t unmapped;

	return unmap_exactly(iommu, iova, length, NULL, &unmapped, ret_error);
}

int vfmi_iommu_unmap_dirty(struct vfm_iommu *iommu, const struct vfmi_dirty_bits *bits, uint64_t *ret_unmapped,
			   struct vfm_error *err)
{
	*ret_unmapped = 0;
	return unmap_exactly(iommu, bits->iova, bits->length, bits, ret_unmapped, err);
}

bool vfmi_iommu_map_at(struct vfm_iommu *iommu, uint64_t iova, struct vfm_iova_range *ret)
{
	const struct vfmi_area *area;
	bool known;

	pthread_mutex_lock(&iommu->lock);
	area = vfmi_areas_overlap(&iommu->areas, iova, iova);
	known = area && !area->unknown;
	if (known)
		*ret = (struct vfm_iova_range){ .first = area->iova, .last = area->last };
	pthread_mutex_unlock(&iommu->lock);
	return known;
}

int vfm_iommu_forget_map(struct vfm_iommu *iommu, uint64_t iova, uint64_t length, struct vfm_error *ret_error)
{
	struct vfmi_area *area;
	int r;

	pthread_mutex_lock(&iommu->lock);
	area = vfmi_iommu_find_area(iommu, iova, length);
	r = area ? 0 : vfmi_iommu_fail_find(iommu, "forget map", iova, length, ret_error);
	if (area)
		strike(iommu, area);
	pthread_mutex_unlock(&iommu->lock);
	if (area)
		free(mapped_of(area)); /* and not its memory, which devices still reach */
	return r;
}

static void drop_area(struct vfm_iommu *iommu, struct vfmi_area *area)
{
	uint64_t unmapped = 0;
	int r = unmap_patiently(iommu, area, NULL, &unmapped);

	if (r < 0 && !is_known_gone(area, r, unmapped))
		vfmi_log(iommu->ctx, VFM_LOG_WARNING, "close address space: area at IOVA 0x%" PRIx64 ": %s", area->iova,
			 vfmi_errno_text(-r));
}

void vfmi_iommu_drop_areas(struct vfm_iommu *iommu, bool gone)
{
	struct vfmi_area *area;

	while ((area = iommu->areas.root)) {
		if (!gone && !mapped_of(area)->adopted)
			drop_area(iommu, area);
		strike(iommu, area);
		area_free(iommu, area);
	}
}
