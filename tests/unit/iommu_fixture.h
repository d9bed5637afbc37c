/* SPDX-License-Identifier: MIT */
/* A small kernel with one iommufd and one IOAS, and an address space opened on it; for the tests of iommu*.c. */
#ifndef VFIOMIG_TEST_IOMMU_FIXTURE_H
#define VFIOMIG_TEST_IOMMU_FIXTURE_H

#include <check.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>

#include "areas.h"
#include "iommu-internal.h"
#include "iommufd.h"
#include "uapi/vfio.h"

#define PAGE vfmi_page_size(&vfmi_sys_libc)
#define IOAS_ID 7u
#define HWPT_BASE 100u
#define FILE_FD 60
#define BARE_FD 61 /* a file that cannot be mapped, as of guest_memfd */
#define DEVICE_FD 62
#define DISK_FD 63   /* a file that the kernel does not pin, and that can be mapped */
#define NODE_FD 64   /* a device of bytes, on devtmpfs */
#define DMABUF_FD 65 /* can be mapped, to no avail */
#define TEXT_FD 70   /* of /proc */

/* the kernel: one iommufd, one IOAS */

static struct {
	struct vfmi_areas maps;
	uint32_t mapped;
	uint64_t next_iova;
	int open_fds;
	int open_result;
	bool has_ioas;
	uint32_t last_flags;
	/* the next call of this request fails so */
	unsigned long fail_request;
	int fail_result;
	bool fail_after;
	uint64_t unmap_says; /* above 0: what UNMAP reports instead of the truth */
	uint64_t map_says;   /* above 0: where MAP claims to have put it */
	uint64_t slept_ns;
	unsigned int busy; /* that many calls of fail_request give EBUSY */
	uint64_t mmapped;
	bool has_map_file;
	int file_result;
	uint64_t file_start;
	unsigned int asked_file;
	uint64_t taken_first; /* somebody else's maps, up to ... */
	uint64_t taken_end;
	unsigned int hwpts;
	unsigned int hwpt_destroyed;
	uint64_t hw_caps;
	int hw_result;
	uint32_t hwpt_refused; /* this one does not suit the device */
	bool emulated;	       /* the device: no page table is there for it */
	uint32_t attached_to;
	int alloc_result;
	int stat_result;
	int mmap_result;
	uint64_t memlock;
	const char *status; /* in /proc/self */
	const char *uid_map;
	const char *text; /* what is open of them */
	uint64_t option_set[2];
	uint32_t allowed;
} kernel;

static inline int fake_open(struct vfmi_sys *sys, const char *path, int flags, mode_t mode)
{
	(void)sys, (void)flags, (void)mode;
	if (!strcmp(path, "/proc/self/status") || !strcmp(path, "/proc/self/uid_map")) {
		kernel.text = strstr(path, "status") ? kernel.status : kernel.uid_map;
		return kernel.text ? TEXT_FD : -ENOENT;
	}
	if (strcmp(path, "/dev/iommu"))
		return -ENOENT;
	if (kernel.open_result < 0)
		return kernel.open_result;
	kernel.open_fds++;
	return 50;
}

static inline ssize_t fake_read(struct vfmi_sys *sys, int fd, void *buf, size_t length)
{
	size_t n = strlen(kernel.text);

	(void)sys;
	ck_assert_int_eq(fd, TEXT_FD);
	n = n < length ? n : length;
	memcpy(buf, kernel.text, n);
	kernel.text += n;
	return (ssize_t)n;
}

static inline int fake_dup(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	if (fd < 0)
		return -EBADF;
	kernel.open_fds++;
	return 51;
}

static inline int fake_close(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	ck_assert(fd == 50 || fd == 51 || fd == TEXT_FD);
	kernel.open_fds -= fd != TEXT_FD;
	return 0;
}

static inline int fake_listdir(struct vfmi_sys *sys, const char *path, vfmi_listdir_fn *fn, void *user)
{
	(void)sys, (void)path, (void)fn, (void)user;
	return -ENOENT;
}

static inline void fake_sleep(struct vfmi_sys *sys, uint64_t ns)
{
	(void)sys;
	kernel.slept_ns += ns;
}

static inline int fake_mmap(struct vfmi_sys *sys, void *hint, size_t length, int prot, int flags, int fd, off_t offset,
			    void **ret_ptr)
{
	(void)sys, (void)hint, (void)prot, (void)flags, (void)offset;
	if (fd == BARE_FD)
		return -ENODEV;
	if (kernel.mmap_result < 0)
		return kernel.mmap_result;
	kernel.mmapped += length;
	*ret_ptr = (void *)(uintptr_t)(4096 * PAGE);
	return 0;
}

static inline int fake_munmap(struct vfmi_sys *sys, void *ptr, size_t length)
{
	(void)sys, (void)ptr;
	kernel.mmapped -= length;
	return 0;
}

static inline int fake_fstat(struct vfmi_sys *sys, int fd, struct stat *st)
{
	(void)sys;
	memset(st, 0, sizeof(*st));
	st->st_mode = fd == NODE_FD ? S_IFCHR : S_IFREG;
	return kernel.stat_result;
}

static inline int fake_fstatfs(struct vfmi_sys *sys, int fd, struct statfs *st)
{
	(void)sys;
	memset(st, 0, sizeof(*st));
	switch (fd) {
	case FILE_FD:
	case NODE_FD:
		st->f_type = TMPFS_MAGIC;
		break;
	case DMABUF_FD:
		st->f_type = DMA_BUF_MAGIC;
		break;
	default:
		st->f_type = 0xef53;
		break;
	}
	return kernel.stat_result;
}

static inline int fake_getrlimit(struct vfmi_sys *sys, int resource, struct rlimit *limit)
{
	(void)sys;
	ck_assert_int_eq(resource, RLIMIT_MEMLOCK);
	limit->rlim_cur = limit->rlim_max = kernel.memlock;
	return 0;
}

static inline int kernel_map(struct iommu_ioas_map *map)
{
	struct vfmi_area *area;

	kernel.last_flags = map->flags;
	if (!(map->flags & IOMMU_IOAS_MAP_FIXED_IOVA)) {
		map->iova = kernel.next_iova;
		kernel.next_iova += map->length;
	}
	if (vfmi_areas_overlap(&kernel.maps, map->iova, map->iova + (map->length - 1)) ||
	    (map->iova < kernel.taken_end && map->iova + map->length > kernel.taken_first))
		return -EEXIST;
	area = calloc(1, sizeof(*area));
	area->iova = map->iova;
	area->last = map->iova + (map->length - 1);
	vfmi_areas_add(&kernel.maps, area);
	kernel.mapped++;
	if (kernel.map_says)
		map->iova = kernel.map_says;
	return 0;
}

static inline int kernel_unmap(struct iommu_ioas_unmap *unmap)
{
	struct vfmi_area *area = vfmi_areas_overlap(&kernel.maps, unmap->iova, unmap->iova);

	if (!area || area->iova != unmap->iova || area->last - area->iova != unmap->length - 1)
		return -ENOENT;
	vfmi_areas_remove(&kernel.maps, area);
	free(area);
	kernel.mapped--;
	if (kernel.unmap_says)
		unmap->length = kernel.unmap_says;
	return 0;
}

static inline int kernel_map_file(const struct iommu_ioas_map_file *file, uint64_t *iova)
{
	struct iommu_ioas_map map = { .flags = file->flags, .length = file->length, .iova = file->iova };
	int r;

	kernel.asked_file++;
	if (!kernel.has_map_file)
		return -ENOTTY;
	if (kernel.file_result < 0)
		return kernel.file_result;
	kernel.file_start = file->start;
	r = kernel_map(&map);
	*iova = map.iova;
	return r;
}

static inline int kernel_attach(struct vfio_device_attach_iommufd_pt *attach)
{
	if (attach->pt_id == kernel.hwpt_refused)
		return -EINVAL;
	if (kernel.emulated && attach->pt_id != IOAS_ID)
		return -ENOENT;
	kernel.attached_to = attach->pt_id;
	return 0;
}

static inline int kernel_hwpt_alloc(struct iommu_hwpt_alloc *alloc)
{
	if (kernel.alloc_result < 0)
		return kernel.alloc_result;
	ck_assert_uint_eq(alloc->flags, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	ck_assert_uint_eq(alloc->pt_id, IOAS_ID);
	alloc->out_hwpt_id = HWPT_BASE + kernel.hwpts++;
	return 0;
}

static inline int kernel_hw_info(struct iommu_hw_info *info)
{
	info->out_capabilities = kernel.hw_caps;
	return info->dev_id ? kernel.hw_result : -ENOENT;
}

static inline int kernel_option(const struct iommu_option *option)
{
	ck_assert_uint_eq(option->op, IOMMU_OPTION_OP_SET);
	kernel.option_set[option->option_id] = option->val64 + 1;
	return 0;
}

static inline int kernel_destroy(const struct iommu_destroy *destroy)
{
	struct vfmi_area *area;

	if (destroy->id >= HWPT_BASE) {
		ck_assert(kernel.has_ioas); /* the IOAS goes last */
		kernel.hwpt_destroyed++;
		return 0;
	}
	ck_assert_uint_eq(destroy->id, IOAS_ID);
	while ((area = kernel.maps.root)) {
		vfmi_areas_remove(&kernel.maps, area);
		free(area);
		kernel.mapped--;
	}
	kernel.has_ioas = false;
	return 0;
}

static inline int kernel_ranges(struct iommu_ioas_iova_ranges *ranges)
{
	const struct iommu_iova_range two[] = { { 0, 0xfedfffff }, { 0xfef00000, (UINT64_C(1) << 39) - 1 } };
	uint32_t room = ranges->num_iovas;

	if (ranges->ioas_id != IOAS_ID)
		return -ENOENT;
	ranges->num_iovas = 2;
	ranges->out_iova_alignment = 4096;
	for (uint32_t i = 0; i < room && i < 2; i++)
		((struct iommu_iova_range *)(uintptr_t)ranges->allowed_iovas)[i] = two[i];
	return room < 2 ? -EMSGSIZE : 0;
}

static inline int answer(unsigned long request, void *arg)
{
	switch (request) {
	case IOMMU_IOAS_ALLOC:
		((struct iommu_ioas_alloc *)arg)->out_ioas_id = IOAS_ID;
		kernel.has_ioas = true;
		return 0;
	case IOMMU_DESTROY:
		return kernel_destroy(arg);
	case IOMMU_IOAS_MAP:
		return kernel_map(arg);
	case IOMMU_IOAS_MAP_FILE:
		return kernel_map_file(arg, &((struct iommu_ioas_map_file *)arg)->iova);
	case IOMMU_IOAS_CHANGE_PROCESS:
		return kernel.has_map_file ? 0 : -ENOTTY;
	case IOMMU_IOAS_ALLOW_IOVAS:
		kernel.allowed = ((const struct iommu_ioas_allow_iovas *)arg)->num_iovas;
		return 0;
	case IOMMU_OPTION:
		return kernel_option(arg);
	case IOMMU_HWPT_ALLOC:
		return kernel_hwpt_alloc(arg);
	case IOMMU_GET_HW_INFO:
		return kernel_hw_info(arg);
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return kernel_attach(arg);
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		return 0;
	case IOMMU_IOAS_UNMAP:
		return kernel_unmap(arg);
	case IOMMU_IOAS_IOVA_RANGES:
		return kernel_ranges(arg);
	default:
		return -ENOTTY;
	}
}

static inline int fake_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys, (void)fd;
	if (request != kernel.fail_request)
		return answer(request, arg);
	if (kernel.busy > 0) {
		kernel.busy--;
		return -EBUSY;
	}
	kernel.fail_request = 0;
	if (kernel.fail_after)
		answer(request, arg);
	return kernel.fail_result;
}

static const struct vfmi_sys_ops fake_ops = {
	.open = fake_open,
	.read = fake_read,
	.dup = fake_dup,
	.close = fake_close,
	.ioctl = fake_ioctl,
	.listdir = fake_listdir,
	.sleep_ns = fake_sleep,
	.fstat = fake_fstat,
	.fstatfs = fake_fstatfs,
	.getrlimit = fake_getrlimit,
	.mmap = fake_mmap,
	.munmap = fake_munmap,
};
static struct vfmi_sys fake_sys = { .ops = &fake_ops };

static struct vfm_context *ctx;
static struct vfm_iommu *iommu;
static struct vfm_error error;

static inline void setup(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.next_iova = (uint64_t)1 << 32;
	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_int_eq(vfmi_context_new_on(&fake_sys, &ctx), 0);
	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &iommu, &error), 0);
}

static inline void teardown(void)
{
	vfm_iommu_close(iommu);
	ck_assert_int_eq(kernel.open_fds, 0);
	ck_assert_uint_eq(kernel.mapped, 0);
	ck_assert(!kernel.has_ioas);
	vfm_context_free(ctx);
}

static inline void fail_next(unsigned long request, int result, bool after)
{
	kernel.fail_request = request;
	kernel.fail_result = result;
	kernel.fail_after = after;
}

static inline struct vfm_map area_at(uint64_t iova, uint64_t length)
{
	return (struct vfm_map){
		.size = sizeof(struct vfm_map),
		.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED,
		.vaddr = (void *)(uintptr_t)(1024 * PAGE),
		.length = length,
		.iova = iova,
	};
}

static inline int map_at(uint64_t iova, uint64_t length)
{
	struct vfm_map map = area_at(iova, length);

	return vfm_iommu_map(iommu, &map, &error);
}

static inline int adopt(int fd, uint32_t ioas_id, struct vfm_iommu **ret, struct vfm_error *err)
{
	VFM_OPTS(vfm_iommu_adopt, from);

	from.backend = VFM_BACKEND_IOMMUFD;
	from.fd = fd;
	from.ioas_id = ioas_id;
	return vfm_iommu_adopt(ctx, &from, ret, err);
}

#endif
