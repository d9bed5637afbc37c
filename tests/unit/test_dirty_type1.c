/* SPDX-License-Identifier: MIT */
/* Dirty pages of a container, against a model that clears what it tells and keeps what is pinned. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "dirty-iommu.h"
#include "iommu-internal.h"
#include "uapi/vfio.h"
#include "seeded.h"
#include "suite.h"

#define PAGE_SIZE UINT64_C(4096)
#define CONTAINER_FD 70
#define MOST_ENTRIES 8
#define MOST_PAGES 256u

/* the container */

struct entry {
	uint64_t iova;
	uint64_t size;
	bool dirty[MOST_PAGES];
	bool pinned[MOST_PAGES];
};

static struct {
	struct entry entries[MOST_ENTRIES];
	bool no_iommu;
	bool no_capability;
	bool is_iommufd;
	bool all_dirty; /* a device behind an IOMMU is in it */
	uint64_t dirty_sizes;
	uint64_t max_bytes;
	bool on;
	unsigned int gets;
	unsigned int starts;
	uint64_t last_bytes;
	/* the next call with this flag of DIRTY_PAGES, or UNMAP_DMA, fails so */
	uint32_t fail_flag;
	bool fail_unmap;
	int fail_result;
	unsigned int busy;
	bool says_short;
	uint64_t slept_ns;
	int open_fds;
} kernel;

static struct entry *entry_at(uint64_t iova)
{
	for (size_t i = 0; i < MOST_ENTRIES; i++) {
		struct entry *entry = &kernel.entries[i];

		if (entry->size && iova >= entry->iova && iova - entry->iova < entry->size)
			return entry;
	}
	return NULL;
}

static int kernel_info(struct vfio_iommu_type1_info *info)
{
	const struct vfio_iommu_type1_info_cap_migration cap = {
		.header = { VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, 1, 0 },
		.pgsize_bitmap = kernel.dirty_sizes,
		.max_dirty_bitmap_size = kernel.max_bytes,
	};
	const uint32_t room = info->argsz;

	if (kernel.no_iommu)
		return -EINVAL;
	info->argsz = (uint32_t)(sizeof(*info) + sizeof(cap));
	info->flags = VFIO_IOMMU_INFO_PGSIZES | (kernel.no_capability ? 0 : VFIO_IOMMU_INFO_CAPS);
	info->iova_pgsizes = kernel.dirty_sizes;
	info->cap_offset = 0;
	if (room < info->argsz)
		return 0;
	info->cap_offset = sizeof(*info);
	memcpy((unsigned char *)info + sizeof(*info), &cap, sizeof(cap));
	return 0;
}

static int kernel_map(const struct vfio_iommu_type1_dma_map *map)
{
	for (size_t i = 0; i < MOST_ENTRIES; i++) {
		struct entry *entry = &kernel.entries[i];

		if (entry->size)
			continue;
		memset(entry, 0, sizeof(*entry));
		entry->iova = map->iova;
		entry->size = map->size;
		return 0;
	}
	return -ENOSPC;
}

/* Whole words are overwritten. */
static int tell(struct entry *entry, const struct vfio_bitmap *bitmap)
{
	const uint64_t pages = entry->size / PAGE_SIZE;
	uint64_t *words = (uint64_t *)(uintptr_t)bitmap->data;

	kernel.last_bytes = bitmap->size;
	if (bitmap->pgsize != PAGE_SIZE || bitmap->size < vfm_bitmap_words(pages) * 8 ||
	    bitmap->size > kernel.max_bytes || !kernel.on)
		return -EINVAL;
	memset(words, 0, (size_t)vfm_bitmap_words(pages) * 8);
	for (uint64_t i = 0; i < pages; i++)
		if (entry->dirty[i] || entry->pinned[i] || kernel.all_dirty)
			words[i / 64] |= UINT64_C(1) << i % 64;
	return 0;
}

static int kernel_get(const struct vfio_iommu_type1_dirty_bitmap *dirty)
{
	struct vfio_iommu_type1_dirty_bitmap_get get;
	struct entry *entry;
	int r;

	ck_assert_uint_eq(dirty->argsz, sizeof(*dirty) + sizeof(get));
	memcpy(&get, dirty->data, sizeof(get));
	kernel.gets++;
	entry = entry_at(get.iova);
	if (!entry || entry->iova != get.iova || entry->size != get.size)
		return -EINVAL;
	r = tell(entry, &get.bitmap);
	if (r == 0)
		memset(entry->dirty, 0, sizeof(entry->dirty));
	return r;
}

static int kernel_dirty(const struct vfio_iommu_type1_dirty_bitmap *dirty)
{
	ck_assert(dirty->flags && !(dirty->flags & (dirty->flags - 1)));
	if (kernel.fail_flag == dirty->flags) {
		kernel.fail_flag = 0;
		return kernel.fail_result;
	}
	if (dirty->flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)
		return kernel_get(dirty);
	kernel.on = dirty->flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
	kernel.starts += kernel.on;
	return 0;
}

static int kernel_unmap(struct vfio_iommu_type1_dma_unmap *unmap)
{
	struct entry *entry = entry_at(unmap->iova);
	struct vfio_bitmap bitmap;
	int r = 0;

	if (kernel.busy > 0) {
		kernel.busy--;
		return -EBUSY;
	}
	if (kernel.fail_unmap) {
		kernel.fail_unmap = false;
		return kernel.fail_result;
	}
	if (!entry) {
		unmap->size = 0;
		return 0;
	}
	if (entry->iova != unmap->iova || entry->size != unmap->size)
		return -EINVAL;
	if (unmap->flags) {
		ck_assert_uint_eq(unmap->flags, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP);
		ck_assert_uint_eq(unmap->argsz, sizeof(*unmap) + sizeof(bitmap));
		memcpy(&bitmap, unmap->data, sizeof(bitmap));
		r = tell(entry, &bitmap);
	}
	if (r == 0)
		entry->size = 0;
	if (kernel.says_short)
		unmap->size = PAGE_SIZE;
	kernel.says_short = false;
	return r;
}

static int fake_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys;
	ck_assert_int_eq(fd, CONTAINER_FD);
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return 1;
	case VFIO_SET_IOMMU:
		kernel.no_iommu = false;
		return 0;
	case VFIO_IOMMU_GET_INFO:
		return kernel_info(arg);
	case VFIO_IOMMU_MAP_DMA:
		return kernel_map(arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return kernel_unmap(arg);
	case VFIO_IOMMU_DIRTY_PAGES:
		return kernel_dirty(arg);
	default:
		return kernel.is_iommufd ? -ENODEV : -EINVAL;
	}
}

static int fake_open(struct vfmi_sys *sys, const char *path, int flags, mode_t mode)
{
	(void)sys, (void)path, (void)flags, (void)mode;
	kernel.open_fds++;
	return CONTAINER_FD;
}

static int fake_close(struct vfmi_sys *sys, int fd)
{
	(void)sys, (void)fd;
	kernel.open_fds--;
	return 0;
}

static void fake_sleep(struct vfmi_sys *sys, uint64_t ns)
{
	(void)sys;
	kernel.slept_ns += ns;
}

static const struct vfmi_sys_ops fake_ops = {
	.open = fake_open,
	.close = fake_close,
	.ioctl = fake_ioctl,
	.sleep_ns = fake_sleep,
};
static struct vfmi_sys fake_sys = { .ops = &fake_ops, .page_size = PAGE_SIZE };
static struct vfm_context *ctx;
static struct vfm_iommu *iommu;
static struct vfm_error error;
static struct vfmi_dirty_source *source;
static struct vfmi_dirty_sink sink;

static struct vfm_iommu *open_space(uint32_t backend)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *space = NULL;

	options.backend = backend;
	kernel.is_iommufd = backend == VFM_BACKEND_COMPAT_TYPE1 || backend == VFM_BACKEND_COMPAT_TYPE1V2;
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &space, &error), 0);
	kernel.is_iommufd = false;
	return space;
}

static void begin(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.no_iommu = true;
	kernel.dirty_sizes = 0x40201000;
	kernel.max_bytes = MOST_PAGES / 8;
	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_int_eq(vfmi_context_new_on(&fake_sys, &ctx), 0);
	iommu = open_space(VFM_BACKEND_TYPE1V2);
	ck_assert_int_eq(vfmi_iommu_joined(iommu), 0);
	ck_assert_int_eq(vfmi_dirty_type1_new(iommu, &source), 0);
}

static void end(void)
{
	source->ops->stop(source);
	ck_assert(!kernel.on);
	source->ops->free(source);
	free(sink.to.words);
	sink.to.words = NULL;
	vfm_iommu_close(iommu);
	ck_assert_int_eq(kernel.open_fds, 0);
	vfm_context_free(ctx);
}

static void sink_of(uint64_t pages)
{
	free(sink.to.words);
	sink.to = (struct vfm_bitmap_pages){
		.size = sizeof(sink.to),
		.page_shift = 12,
		.words = calloc(vfm_bitmap_words(pages), sizeof(uint64_t)),
		.pages = pages,
	};
}

static struct vfmi_dirty_area pages_at(uint64_t first, uint64_t count)
{
	return (struct vfmi_dirty_area){ first * PAGE_SIZE, count * PAGE_SIZE, first * PAGE_SIZE };
}

static int start_with(const struct vfmi_dirty_area *area)
{
	return source->ops->start(source, area, area ? 1 : 0, &error);
}

static void map_pages(uint64_t first, uint64_t count)
{
	struct vfm_map map = {
		.size = sizeof(map),
		.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED,
		.vaddr = (void *)(uintptr_t)(1024 * PAGE_SIZE),
		.length = count * PAGE_SIZE,
		.iova = first * PAGE_SIZE,
	};

	ck_assert_int_eq(vfm_iommu_map(iommu, &map, &error), 0);
}

static int ask(uint64_t first, uint64_t count, bool keep)
{
	const struct vfmi_dirty_area area = pages_at(first, count);

	return source->ops->report(source, &area, &sink, keep, &error);
}

static int take(uint64_t first, uint64_t count)
{
	const struct vfmi_dirty_area area = pages_at(first, count);

	return source->ops->unmap(source, &area, &sink, &error);
}

static void write_page(uint64_t page)
{
	struct entry *entry = entry_at(page * PAGE_SIZE);

	entry->dirty[page - entry->iova / PAGE_SIZE] = true;
}

static uint64_t told(void)
{
	return vfm_bitmap_count(sink.to.words, 0, sink.to.pages);
}

static bool is_told(uint64_t page)
{
	return vfm_bitmap_test(sink.to.words, page);
}

/* starting */

static const struct {
	uint32_t backend;
	const char *word;
} wrong[] = {
	{ VFM_BACKEND_TYPE1, "use type1v2" },
	{ VFM_BACKEND_COMPAT_TYPE1, "does not have VFIO_IOMMU_DIRTY_PAGES" },
	{ VFM_BACKEND_COMPAT_TYPE1V2, "stands in for a container" },
};

START_TEST(other_back_ends_have_it_not)
{
	struct vfm_iommu *space = open_space(wrong[_i].backend);
	struct vfmi_dirty_source *other = NULL;

	ck_assert_int_eq(vfmi_dirty_type1_new(space, &other), 0);
	ck_assert_int_eq(other->ops->start(other, NULL, 0, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, wrong[_i].word));
	ck_assert_str_eq(error.step, "start dirty tracking");
	ck_assert_uint_eq(kernel.starts, 0);
	other->ops->free(other);
	vfm_iommu_close(space);
}
END_TEST

static const struct {
	bool no_capability;
	uint64_t sizes;
	uint64_t bytes;
	int start_result;
	int result;
	const char *word;
} answers[] = {
	{ true, 4096, 32, 0, -EOPNOTSUPP, "Linux 5.8" },
	{ false, 0, 32, 0, -EIO, "no page" },
	{ false, 1, 32, 0, -EIO, "no page" },
	{ false, UINT64_C(1) << 63, 32, 0, -EIO, "no page" },
	{ false, 4096, 7, 0, -EIO, "bitmap" },
	{ false, 4096, 32, -ENOTTY, -EOPNOTSUPP, "VFIO_IOMMU_DIRTY_PAGES" },
	{ false, 4096, 32, -EACCES, -EOPNOTSUPP, "VFIO_IOMMU_DIRTY_PAGES" },
	{ false, 4096, 32, -ENOMEM, -ENOMEM, "ENOMEM" },
	{ false, 0x40201000, UINT64_MAX, 0, 0, "" },
};

START_TEST(answers_of_the_kernel_are_checked)
{
	const struct vfmi_dirty_area area = pages_at(0, 1);

	kernel.no_capability = answers[_i].no_capability;
	kernel.dirty_sizes = answers[_i].sizes;
	kernel.max_bytes = answers[_i].bytes;
	kernel.fail_flag = answers[_i].start_result ? VFIO_IOMMU_DIRTY_PAGES_FLAG_START : 0;
	kernel.fail_result = answers[_i].start_result;
	ck_assert_int_eq(start_with(NULL), answers[_i].result);
	ck_assert_ptr_nonnull(strstr(error.message, answers[_i].word));
	ck_assert_uint_eq(kernel.starts, answers[_i].result == 0);
	ck_assert(source->ops->covers(source, &area) == (answers[_i].result == 0));
}
END_TEST

START_TEST(a_container_without_iommu_waits)
{
	struct vfm_iommu *space = open_space(VFM_BACKEND_TYPE1V2);
	struct vfmi_dirty_source *other = NULL;

	ck_assert_int_eq(vfmi_dirty_type1_new(space, &other), 0);
	ck_assert_int_eq(other->ops->start(other, NULL, 0, &error), -EAGAIN);
	ck_assert_ptr_nonnull(strstr(error.message, "no IOMMU before"));
	other->ops->free(other);
	vfm_iommu_close(space);
}
END_TEST

START_TEST(maps_too_large_for_a_bitmap_are_refused)
{
	const struct vfmi_dirty_area fits = pages_at(0, MOST_PAGES);
	const struct vfmi_dirty_area part = pages_at(1100, 4);

	map_pages(0, MOST_PAGES);
	ck_assert_int_eq(start_with(&fits), 0);
	source->ops->stop(source);
	map_pages(1000, MOST_PAGES + 1);
	ck_assert_int_eq(start_with(&part), -EOPNOTSUPP); /* it is the map that counts */
	ck_assert_ptr_nonnull(strstr(error.message, "needs a bitmap of 40 bytes and the kernel takes 32"));
	ck_assert_ptr_nonnull(strstr(error.message, "several smaller areas"));
	ck_assert_uint_eq(kernel.starts, 1);
	ck_assert_int_eq(start_with(&fits), 0);
	sink_of(2000);
	ck_assert_int_eq(ask(1100, 4, false), -EOPNOTSUPP);
	ck_assert_int_eq(take(1000, MOST_PAGES + 1), -EOPNOTSUPP);
	ck_assert_str_eq(error.step, "unmap");
	ck_assert_ptr_nonnull(entry_at(1000 * PAGE_SIZE));
	ck_assert_uint_eq(kernel.gets, 0);
}
END_TEST

/* reporting */

START_TEST(what_was_written_is_told_once)
{
	const struct vfmi_dirty_area area = pages_at(8, 100);

	map_pages(8, 100);
	ck_assert_int_eq(start_with(&area), 0);
	ck_assert_uint_eq(source->ops->kind, VFM_DIRTY_TYPE1);
	ck_assert_uint_eq(source->page_shift, 12);
	ck_assert_ptr_nonnull(strstr(source->note, "mediated devices"));
	sink_of(128);
	write_page(8);
	write_page(107);
	ck_assert_int_eq(ask(8, 100, false), 0);
	ck_assert_uint_eq(kernel.last_bytes, 16);
	ck_assert_uint_eq(told(), 2);
	ck_assert(is_told(8) && is_told(107));
	sink_of(128);
	entry_at(8 * PAGE_SIZE)->pinned[3] = true;
	ck_assert_int_eq(ask(8, 100, false), 0);
	ck_assert_uint_eq(told(), 1);
	kernel.all_dirty = true;
	ck_assert_int_eq(ask(8, 100, false), 0);
	ck_assert_uint_eq(told(), 100);
	source->ops->stop(source);
	ck_assert(!kernel.on);
	ck_assert_int_eq(ask(8, 100, false), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "does not run"));
}
END_TEST

START_TEST(parts_and_runs_of_maps_lose_nothing)
{
	map_pages(0, 100);
	map_pages(100, 100);
	ck_assert_int_eq(start_with(NULL), 0);
	sink_of(256);
	write_page(10);
	write_page(50);
	write_page(99);
	write_page(100);
	write_page(180);
	ck_assert_int_eq(ask(50, 100, true), 0); /* over both, a part of each; the kernel has cleared them now */
	ck_assert_uint_eq(told(), 3);
	sink_of(256);
	ck_assert_int_eq(ask(50, 100, false), 0);
	ck_assert_uint_eq(told(), 3);
	ck_assert(is_told(50) && is_told(99) && is_told(100));
	sink_of(256);
	ck_assert_int_eq(ask(50, 100, false), 0);
	ck_assert_uint_eq(told(), 0);
	ck_assert_int_eq(ask(0, 50, false), 0);
	ck_assert_int_eq(ask(150, 50, true), 0);
	ck_assert_uint_eq(told(), 2);
	ck_assert(is_told(10) && is_told(180));
	sink_of(256);
	ck_assert_int_eq(take(100, 100), 0);
	ck_assert_uint_eq(told(), 1); /* what was kept goes with the map */
	ck_assert(is_told(180));
}
END_TEST

START_TEST(a_new_start_forgets)
{
	map_pages(0, 100);
	ck_assert_int_eq(start_with(NULL), 0);
	sink_of(128);
	write_page(10);
	ck_assert_int_eq(ask(50, 50, false), 0); /* holds page 10 */
	source->ops->stop(source);
	ck_assert_int_eq(start_with(NULL), 0);
	ck_assert_int_eq(ask(0, 100, false), 0);
	ck_assert_uint_eq(told(), 0);
}
END_TEST

START_TEST(failures_to_read_are_told)
{
	map_pages(0, 10);
	ck_assert_int_eq(start_with(NULL), 0);
	sink_of(32);
	kernel.on = false; /* by somebody who has the container too */
	ck_assert_int_eq(ask(0, 10, false), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "stopped by somebody else"));
	ck_assert_str_eq(error.step, "read dirty bitmap");
	kernel.on = true;
	kernel.fail_flag = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
	kernel.fail_result = -EFAULT;
	ck_assert_int_eq(ask(0, 10, false), -EFAULT);
	ck_assert_uint_eq(told(), 0);
}
END_TEST

static unsigned int warnings;

static void count_warnings(void *user, int level, const char *line)
{
	(void)user;
	if (level == VFM_LOG_WARNING && strstr(line, "vfm_iommu_adopt_map()"))
		warnings++;
}

START_TEST(an_area_that_is_not_mapped_is_dirty)
{
	warnings = 0;
	vfm_context_set_log(ctx, VFM_LOG_DEBUG, count_warnings, NULL);
	map_pages(0, 10);
	map_pages(20, 10);
	ck_assert_int_eq(start_with(NULL), 0);
	sink_of(32);
	write_page(22);
	write_page(5);
	ck_assert_int_eq(ask(2, 9, false), 0);
	ck_assert_uint_eq(told(), 9);
	ck_assert_uint_eq(vfm_bitmap_count(sink.to.words, 2, 9), 9);
	ck_assert_int_eq(ask(11, 3, false), 0);
	ck_assert_uint_eq(told(), 12);
	ck_assert_uint_eq(vfm_bitmap_count(sink.to.words, 11, 3), 3);
	ck_assert_uint_eq(warnings, 1);
	sink_of(32);
	ck_assert_int_eq(ask(20, 10, false), 0);
	ck_assert_uint_eq(told(), 1);
	ck_assert(is_told(22));
	ck_assert_uint_eq(kernel.starts, 1);
}
END_TEST

static size_t held_places(void)
{
	const struct vfmi_areas *held = &((struct vfmi_dirty_iommu *)source)->held;
	const struct vfmi_area *place = vfmi_areas_overlap(held, 0, UINT64_MAX);
	size_t count = 0;

	for (; place; count++)
		place = vfmi_areas_overlap(held, place->last + 1, UINT64_MAX);
	return count;
}

/* As a tracker does that is told to keep maps, which then go. */
START_TEST(maps_that_come_and_go_leave_nothing)
{
	map_pages(0, 8);
	ck_assert_int_eq(start_with(NULL), 0);
	sink_of(16);
	write_page(6);
	ck_assert_int_eq(ask(0, 4, false), 0); /* holds page 6 for its neighbour */
	for (uint64_t n = 1; n < 1000; n++) {
		const struct vfmi_dirty_area area = { n * 8 * PAGE_SIZE, 8 * PAGE_SIZE, 8 * PAGE_SIZE };

		map_pages(n * 8, 8);
		write_page(n * 8);
		ck_assert_int_eq(source->ops->report(source, &area, &sink, true, &error), 0);
		ck_assert_int_eq(vfm_iommu_unmap(iommu, area.iova, area.length, &error), 0);
		ck_assert_uint_le(held_places(), 3);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ask(0, 4, false), 0);
	ck_assert_uint_eq(held_places(), 1);
	sink_of(16);
	ck_assert_int_eq(ask(4, 4, false), 0);
	ck_assert_uint_eq(told(), 1);
	ck_assert(is_told(6));
	ck_assert_uint_eq(held_places(), 0);
}
END_TEST

/* unmapping */

START_TEST(the_last_bits_come_with_the_unmap)
{
	map_pages(0, 100);
	sink_of(128);
	ck_assert_int_eq(take(0, 100), -EINVAL); /* it does not run */
	ck_assert_int_eq(start_with(NULL), 0);
	write_page(64);
	ck_assert_int_eq(take(0, 50), -ENOENT);
	ck_assert_uint_eq(told(), 0);
	kernel.busy = 3;
	ck_assert_int_eq(take(0, 100), 0);
	ck_assert_uint_gt(kernel.slept_ns, 0);
	ck_assert_uint_eq(told(), 1);
	ck_assert(is_told(64));
	ck_assert_ptr_null(entry_at(0));
	ck_assert_int_eq(take(0, 100), -ENOENT);
	map_pages(0, 100);
}
END_TEST

START_TEST(an_unmap_that_does_nothing_changes_nothing)
{
	map_pages(0, 100);
	ck_assert_int_eq(start_with(NULL), 0);
	sink_of(128);
	write_page(7);
	kernel.fail_unmap = true;
	kernel.fail_result = -EINVAL;
	ck_assert_int_eq(take(0, 100), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "is still mapped"));
	ck_assert_uint_eq(told(), 0);
	ck_assert_int_eq(ask(0, 100, false), 0);
	ck_assert_uint_eq(told(), 1);
}
END_TEST

START_TEST(what_may_be_lost_is_all_dirty)
{
	map_pages(0, 100);
	ck_assert_int_eq(start_with(NULL), 0);
	sink_of(128);
	kernel.fail_unmap = true;
	kernel.fail_result = -EFAULT;
	ck_assert_int_eq(take(0, 100), -EFAULT);
	ck_assert_uint_eq(told(), 100);
	sink_of(128);
	ck_assert_int_eq(ask(0, 100, false), 0);
	ck_assert_uint_eq(kernel.gets, 0);
	ck_assert_uint_eq(told(), 100);
	sink_of(128);
	kernel.says_short = true;
	ck_assert_int_eq(take(0, 100), -EIO);
	ck_assert_uint_eq(told(), 100);
	sink_of(128);
	ck_assert_int_eq(take(0, 100), 0); /* nothing is there any more: now it is known */
	ck_assert_uint_eq(told(), 100);
	map_pages(0, 100);
}
END_TEST

/* random writes, pins, reports, unmaps */

#define PAGES 600u
#define STEPS 20000

static bool written[PAGES];

/* Pages [first, end); maps are 0-200, 200-300, 400-600. */
static const struct {
	unsigned int first;
	unsigned int end;
	bool whole; /* a map, which may be unmapped */
} areas[] = { { 0, 70, false }, { 70, 250, false }, { 250, 300, false }, { 400, 600, true } };

/* What is pinned is written all the time. */
static void write_pinned(void)
{
	for (unsigned int i = 0; i < PAGES; i++) {
		const struct entry *entry = entry_at(i * PAGE_SIZE);

		written[i] |= entry && entry->pinned[i - entry->iova / PAGE_SIZE];
	}
}

static void collect_random(void)
{
	const size_t which = below(VFMI_ARRAY_SIZE(areas));
	const unsigned int first = areas[which].first;
	const unsigned int count = areas[which].end - first;
	const bool unmap = areas[which].whole && below(4) == 0;
	const bool keep = !unmap && below(3) == 0;
	unsigned int bad = 0;

	sink_of(PAGES);
	ck_assert_int_eq(unmap ? take(first, count) : ask(first, count, keep), 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		bool inside = i >= first && i < areas[which].end;

		bad += is_told(i) != (inside && written[i]);
		if (inside && !keep)
			written[i] = false;
	}
	ck_assert_uint_eq(bad, 0);
	if (unmap)
		map_pages(first, count);
}

static void change_random(void)
{
	unsigned int page = (unsigned int)below(PAGES);
	struct entry *entry = entry_at(page * PAGE_SIZE);
	const uint64_t at = entry ? page - entry->iova / PAGE_SIZE : 0;

	if (!entry)
		return;
	if (below(8) > 0) {
		entry->dirty[at] = true;
	} else {
		entry->pinned[at] = !entry->pinned[at];
		entry->dirty[at] = true;
	}
	written[page] = true;
}

START_TEST(no_page_is_lost)
{
	const uint64_t seed = number_from("VFIOMIG_DIRTY_SEED", (uint64_t)time(NULL));

	random_state = seed;
	printf("# VFIOMIG_DIRTY_SEED=%" PRIu64 "\n", seed);
	memset(written, 0, sizeof(written));
	map_pages(0, 200);
	map_pages(200, 100);
	map_pages(400, 200);
	ck_assert_int_eq(start_with(NULL), 0);
	for (int i = 0; i < STEPS; i++) {
		if (below(4) > 0)
			change_random();
		else
			collect_random();
		write_pinned();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dirty_type1");
	TCase *tests = tcase_create("dirty_type1");

	tcase_add_checked_fixture(tests, begin, end);
	tcase_add_loop_test(tests, other_back_ends_have_it_not, 0, (int)VFMI_ARRAY_SIZE(wrong));
	tcase_add_loop_test(tests, answers_of_the_kernel_are_checked, 0, (int)VFMI_ARRAY_SIZE(answers));
	tcase_add_test(tests, a_container_without_iommu_waits);
	tcase_add_test(tests, maps_too_large_for_a_bitmap_are_refused);
	tcase_add_test(tests, what_was_written_is_told_once);
	tcase_add_test(tests, parts_and_runs_of_maps_lose_nothing);
	tcase_add_test(tests, a_new_start_forgets);
	tcase_add_test(tests, failures_to_read_are_told);
	tcase_add_test(tests, an_area_that_is_not_mapped_is_dirty);
	tcase_add_test(tests, maps_that_come_and_go_leave_nothing);
	tcase_add_test(tests, the_last_bits_come_with_the_unmap);
	tcase_add_test(tests, an_unmap_that_does_nothing_changes_nothing);
	tcase_add_test(tests, what_may_be_lost_is_all_dirty);
	tcase_add_test(tests, no_page_is_lost);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
