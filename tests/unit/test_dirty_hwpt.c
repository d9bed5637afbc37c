/* SPDX-License-Identifier: MIT */
/* Dirty bits of a page table, against a model that clears what it tells and knows one bit for a huge page. */
#include <inttypes.h>
#include <time.h>

#include "dirty-iommu.h"
#include "iommu_fixture.h"
#include "seeded.h"
#include "suite.h"

#define PAGE_SIZE UINT64_C(4096)
#define GIB (UINT64_C(1) << 30)
#define CHUNK (64 * GIB)
#define MOST_DIRTY 4096
#define MOST_QUERIES 64

/* the page table: addresses of dirty entries, as VT-d and AMD's driver walk them */

static struct {
	bool on;
	unsigned int starts;
	uint64_t entry; /* bytes an entry maps */
	uint64_t dirty[MOST_DIRTY];
	size_t dirty_count;
	struct iommu_hwpt_get_dirty_bitmap queries[MOST_QUERIES];
	size_t query_count;
	uint64_t align; /* above 0: of the IOAS */
	bool interrupted;
	void (*meanwhile)(void); /* what another thread does while the next query is answered */
} table;

static void write_at(uint64_t iova)
{
	iova &= -table.entry;
	for (size_t i = 0; i < table.dirty_count; i++)
		if (table.dirty[i] == iova)
			return;
	ck_assert_uint_lt(table.dirty_count, MOST_DIRTY);
	table.dirty[table.dirty_count++] = iova;
}

static uint64_t end_of_maps(uint64_t iova, uint64_t last)
{
	const struct vfmi_area *area;

	while (iova <= last && (area = vfmi_areas_overlap(&kernel.maps, iova, iova)))
		iova = area->last + 1;
	return iova <= last ? iova : last + 1;
}

static void tell(const struct iommu_hwpt_get_dirty_bitmap *get, uint64_t from)
{
	uint64_t pages = get->length / get->page_size;

	for (uint64_t at = from; at < from + table.entry; at += get->page_size) {
		uint64_t bit = (at - get->iova) / get->page_size;

		if (bit < pages)
			((uint64_t *)(uintptr_t)get->data)[bit / 64] |= UINT64_C(1) << bit % 64;
	}
}

static int table_get(const struct iommu_hwpt_get_dirty_bitmap *get)
{
	void (*meanwhile)(void) = table.meanwhile;
	size_t left = 0;
	uint64_t end;

	table.meanwhile = NULL;
	if (meanwhile)
		meanwhile();
	end = end_of_maps(get->iova, get->iova + get->length - 1); /* and says nothing of it */
	ck_assert_uint_lt(table.query_count, MOST_QUERIES);
	table.queries[table.query_count++] = *get;
	if ((get->iova | get->length) % get->page_size || (get->iova | get->length) % 4096)
		return -EINVAL;
	for (size_t i = 0; i < table.dirty_count; i++) {
		uint64_t met = table.dirty[i] + get->iova % table.entry;
		bool seen = met >= get->iova && met < end;

		if (seen)
			tell(get, met);
		if (!seen || get->flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR)
			table.dirty[left++] = table.dirty[i];
	}
	table.dirty_count = left;
	if (!table.interrupted)
		return 0;
	table.interrupted = false;
	return -EINTR;
}

static int table_set(const struct iommu_hwpt_set_dirty_tracking *set)
{
	if (set->hwpt_id != HWPT_BASE)
		return -ENOENT;
	table.on = set->flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE;
	table.starts += table.on;
	if (table.on)
		table.dirty_count = 0;
	return 0;
}

static int table_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	int r;

	if (request == kernel.fail_request)
		return fake_ioctl(sys, fd, request, arg);
	if (request == IOMMU_HWPT_GET_DIRTY_BITMAP)
		return table_get(arg);
	if (request == IOMMU_HWPT_SET_DIRTY_TRACKING)
		return table_set(arg);
	r = fake_ioctl(sys, fd, request, arg);
	if (request == IOMMU_IOAS_IOVA_RANGES && table.align)
		((struct iommu_ioas_iova_ranges *)arg)->out_iova_alignment = table.align;
	return r;
}

/* the source, and where its pages go */

static struct vfmi_sys_ops table_ops;
static struct vfmi_dirty_source *source;
static struct vfmi_dirty_sink sink;

static void begin(void)
{
	VFM_OPTS(vfm_iommu_options, options);
	uint32_t pt_id = 0;

	memset(&kernel, 0, sizeof(kernel));
	memset(&table, 0, sizeof(table));
	table.entry = PAGE_SIZE;
	kernel.hw_caps = IOMMU_HW_CAP_DIRTY_TRACKING;
	table_ops = fake_ops;
	table_ops.ioctl = table_ioctl;
	fake_sys.ops = &table_ops;
	fake_sys.page_size = PAGE_SIZE;
	error = (struct vfm_error){ .size = sizeof(error) };
	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	ck_assert_int_eq(vfmi_context_new_on(&fake_sys, &ctx), 0);
	ck_assert_int_eq(vfm_iommu_open(ctx, &options, &iommu, &error), 0);
	ck_assert_int_eq(vfmi_iommu_attach(iommu, DEVICE_FD, 1, &pt_id), 0);
	ck_assert_uint_eq(pt_id, HWPT_BASE);
	ck_assert_int_eq(vfmi_dirty_hwpt_new(iommu, pt_id, &source), 0);
}

static void end(void)
{
	source->ops->stop(source);
	ck_assert(!table.on);
	source->ops->free(source);
	free(sink.to.words);
	sink.to.words = NULL;
	teardown();
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

static void start_it(void)
{
	ck_assert_int_eq(source->ops->start(source, NULL, 0, &error), 0);
}

static int ask(uint64_t iova, uint64_t length, uint64_t guest, bool keep)
{
	const struct vfmi_dirty_area area = { .iova = iova, .length = length, .guest = guest };

	table.query_count = 0;
	return source->ops->report(source, &area, &sink, keep, &error);
}

static uint64_t told(void)
{
	return vfm_bitmap_count(sink.to.words, 0, sink.to.pages);
}

static bool is_told(uint64_t guest)
{
	return vfm_bitmap_test(sink.to.words, guest / PAGE_SIZE);
}

/* life */

START_TEST(it_runs_from_start_to_stop)
{
	const struct vfmi_dirty_area area = { .iova = GIB, .length = GIB };

	ck_assert_uint_eq(source->ops->kind, VFM_DIRTY_HWPT);
	ck_assert(source->ops->dies_with_map);
	ck_assert_ptr_null(source->ops->unmap);
	ck_assert(!source->ops->covers(source, &area));
	sink_of(64);
	ck_assert_int_eq(ask(GIB, PAGE_SIZE, 0, false), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "page table 100"));
	ck_assert_ptr_nonnull(strstr(error.message, "does not run"));
	start_it();
	ck_assert(table.on);
	ck_assert_uint_eq(source->page_shift, 12);
	ck_assert(source->ops->covers(source, &area));
	ck_assert_int_eq(map_at(GIB, 64 * PAGE_SIZE), 0);
	write_at(GIB + 63 * PAGE_SIZE);
	ck_assert_int_eq(ask(GIB, 64 * PAGE_SIZE, 0, false), 0);
	ck_assert_uint_eq(told(), 1);
	ck_assert(is_told(63 * PAGE_SIZE));
	source->ops->stop(source);
	ck_assert(!table.on);
	source->ops->stop(source);
	ck_assert_uint_eq(table.starts, 1);
}
END_TEST

START_TEST(what_cannot_track_is_told)
{
	struct vfmi_dirty_source *other = NULL;

	ck_assert(vfmi_iommu_hwpt_tracks(iommu, HWPT_BASE));
	ck_assert(!vfmi_iommu_hwpt_tracks(iommu, IOAS_ID));
	ck_assert_int_eq(vfmi_dirty_hwpt_new(iommu, IOAS_ID, &other), 0);
	ck_assert_int_eq(other->ops->start(other, NULL, 0, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, "VFM_IOMMU_DIRTY_TRACKING"));
	other->ops->free(other);
	fail_next(IOMMU_HWPT_SET_DIRTY_TRACKING, -ENOTTY, false);
	ck_assert_int_eq(source->ops->start(source, NULL, 0, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, "Linux 6.7"));
	fail_next(IOMMU_HWPT_SET_DIRTY_TRACKING, -ENODEV, false);
	ck_assert_int_eq(source->ops->start(source, NULL, 0, &error), -ENODEV);
	ck_assert_str_eq(error.step, "start dirty tracking");
	fail_next(IOMMU_IOAS_IOVA_RANGES, -EIO, false);
	ck_assert_int_eq(source->ops->start(source, NULL, 0, &error), -EIO);
	table.align = UINT64_C(1) << 60;
	ck_assert_int_eq(source->ops->start(source, NULL, 0, &error), -EIO);
	table.align = 3;
	ck_assert_int_eq(source->ops->start(source, NULL, 0, &error), -EIO);
	ck_assert_uint_eq(table.starts, 0);
	ck_assert(!source->ops->covers(source, NULL));
}
END_TEST

static const struct {
	uint64_t align;
	uint32_t shift;
} pages[] = { { 1, 12 }, { 2048, 12 }, { 4096, 12 }, { 16384, 14 }, { 65536, 16 } };

START_TEST(pages_are_as_large_as_the_address_space_has_them)
{
	const uint64_t page = UINT64_C(1) << pages[_i].shift;

	table.align = pages[_i].align;
	table.entry = page;
	start_it();
	ck_assert_uint_eq(source->page_shift, pages[_i].shift);
	ck_assert_int_eq(map_at(GIB, 4 * page), 0);
	sink_of(64);
	write_at(GIB + 2 * page);
	ck_assert_int_eq(ask(GIB, 4 * page, 0, false), 0);
	ck_assert_uint_eq(table.queries[0].page_size, page);
	ck_assert_uint_eq(told(), page / PAGE_SIZE);
	ck_assert(is_told(2 * page) && is_told(3 * page - PAGE_SIZE));
}
END_TEST

/* what is asked */

static const uint64_t begins[] = { 0, CHUNK, CHUNK - PAGE_SIZE, CHUNK + 7 * PAGE_SIZE, 5 * GIB };

START_TEST(chunks_cover_the_area_and_nothing_else)
{
	const uint64_t iova = begins[_i];
	const uint64_t length = 2 * CHUNK + 3 * PAGE_SIZE;
	uint64_t next = iova;

	start_it();
	ck_assert_int_eq(map_at(iova, length), 0);
	sink_of(length / PAGE_SIZE);
	write_at(iova);
	write_at(iova + length - PAGE_SIZE);
	for (uint64_t at = CHUNK; at < iova + length; at += CHUNK) {
		write_at(at > iova ? at : iova);
		write_at(at > iova ? at - PAGE_SIZE : iova);
	}
	const uint64_t written = table.dirty_count;

	ck_assert_int_eq(ask(iova, length, 0, false), 0);
	ck_assert_uint_eq(told(), written);
	ck_assert(is_told(0) && is_told(length - PAGE_SIZE));
	for (size_t i = 0; i < table.query_count; i++) {
		ck_assert_uint_eq(table.queries[i].iova, next);
		ck_assert_uint_le(table.queries[i].length / PAGE_SIZE, UINT64_C(16) << 20);
		ck_assert_uint_eq(table.queries[i].data % PAGE_SIZE, 0);
		ck_assert(i == 0 || next % CHUNK == 0);
		next += table.queries[i].length;
	}
	ck_assert_uint_eq(next, iova + length);
	ck_assert_uint_eq(table.dirty_count, 0);
}
END_TEST

START_TEST(kept_bits_come_again)
{
	start_it();
	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	sink_of(8);
	write_at(3 * PAGE_SIZE);
	ck_assert_int_eq(ask(0, 8 * PAGE_SIZE, 0, true), 0);
	ck_assert_uint_eq(table.queries[0].flags, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
	ck_assert(is_told(3 * PAGE_SIZE));
	sink_of(8);
	ck_assert_int_eq(ask(0, 8 * PAGE_SIZE, 0, false), 0);
	ck_assert_uint_eq(table.queries[0].flags, 0);
	ck_assert_uint_eq(told(), 1);
	sink_of(8);
	ck_assert_int_eq(ask(0, 8 * PAGE_SIZE, 0, false), 0);
	ck_assert_uint_eq(told(), 0);
}
END_TEST

START_TEST(guest_addresses_are_the_area_s)
{
	start_it();
	ck_assert_int_eq(map_at(GIB, 8 * PAGE_SIZE), 0);
	sink_of(32);
	sink.to.start = 5 * PAGE_SIZE;
	write_at(GIB + 7 * PAGE_SIZE);
	ck_assert_int_eq(ask(GIB, 8 * PAGE_SIZE, 9 * PAGE_SIZE, false), 0);
	ck_assert_uint_eq(told(), 1);
	ck_assert(is_told((9 - 5 + 7) * PAGE_SIZE));
}
END_TEST

/* what the kernel would not tell */

static unsigned int warnings;

static void count_warnings(void *user, int level, const char *line)
{
	(void)user;
	if (level == VFM_LOG_WARNING && strstr(line, "vfm_iommu_adopt_map()"))
		warnings++;
}

/* All pages of [@first, @last] and no other. */
static bool all_told(uint64_t first, uint64_t last)
{
	return told() == last - first + 1 &&
	       vfm_bitmap_count(sink.to.words, first - sink.to.start / PAGE_SIZE, last - first + 1) == told();
}

START_TEST(an_area_with_a_hole_is_dirty)
{
	warnings = 0;
	vfm_context_set_log(ctx, VFM_LOG_DEBUG, count_warnings, NULL);
	start_it();
	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	ck_assert_int_eq(map_at(9 * PAGE_SIZE, 8 * PAGE_SIZE), 0);
	sink_of(32);
	write_at(16 * PAGE_SIZE);
	ck_assert_int_eq(ask(0, 17 * PAGE_SIZE, PAGE_SIZE, true), 0);
	ck_assert(all_told(1, 17));
	ck_assert_uint_eq(warnings, 0);
	sink_of(32);
	ck_assert_int_eq(ask(9 * PAGE_SIZE, 9 * PAGE_SIZE, 9 * PAGE_SIZE, false), 0);
	ck_assert(all_told(9, 17));
	ck_assert_uint_eq(warnings, 1);
	sink_of(32);
	ck_assert_int_eq(ask(8 * PAGE_SIZE, PAGE_SIZE, 8 * PAGE_SIZE, false), 0);
	ck_assert(all_told(8, 8));
	ck_assert_uint_eq(table.query_count, 0);
	ck_assert_uint_eq(warnings, 1); /* not at every sync */
	ck_assert(table.on);
	write_at(16 * PAGE_SIZE);
	ck_assert_int_eq(map_at(8 * PAGE_SIZE, PAGE_SIZE), 0);
	sink_of(32);
	ck_assert_int_eq(ask(0, 17 * PAGE_SIZE, 0, false), 0); /* three maps without a gap */
	ck_assert(all_told(16, 16));
	ck_assert_uint_eq(table.starts, 1);
}
END_TEST

START_TEST(a_map_that_may_be_gone_is_no_map)
{
	start_it();
	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	sink_of(32);
	fail_next(IOMMU_IOAS_UNMAP, -ENOMEM, false);
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 8 * PAGE_SIZE, &error), -ENOMEM);
	ck_assert_int_eq(ask(0, 8 * PAGE_SIZE, 0, true), 0);
	ck_assert(all_told(0, 7));
	ck_assert_uint_eq(table.query_count, 0);
}
END_TEST

static void unmap_first(void)
{
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 8 * PAGE_SIZE, &error), 0);
}

static void unmap_second(void)
{
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 8 * PAGE_SIZE, 8 * PAGE_SIZE, &error), 0);
}

static void unmap_first_and_fail(void)
{
	unmap_first();
	fail_next(IOMMU_HWPT_GET_DIRTY_BITMAP, -EINVAL, false);
}

static void (*const unmaps[])(void) = { unmap_first, unmap_second };

START_TEST(an_area_that_is_unmapped_meanwhile_is_dirty)
{
	start_it();
	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	ck_assert_int_eq(map_at(8 * PAGE_SIZE, 8 * PAGE_SIZE), 0);
	ck_assert_int_eq(map_at(16 * PAGE_SIZE, 8 * PAGE_SIZE), 0);
	sink_of(32);
	write_at(3 * PAGE_SIZE);
	write_at(12 * PAGE_SIZE);
	write_at(17 * PAGE_SIZE);
	table.meanwhile = unmaps[_i];
	ck_assert_int_eq(ask(0, 16 * PAGE_SIZE, 0, false), 0);
	ck_assert(all_told(0, 15));
	sink_of(32);
	ck_assert_int_eq(ask(16 * PAGE_SIZE, 8 * PAGE_SIZE, 16 * PAGE_SIZE, false), 0);
	ck_assert(all_told(17, 17));
}
END_TEST

START_TEST(a_query_that_fails_for_it_is_no_failure)
{
	start_it();
	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	ck_assert_int_eq(map_at(8 * PAGE_SIZE, 8 * PAGE_SIZE), 0);
	sink_of(32);
	table.meanwhile = unmap_first_and_fail; /* while the first map is read; the second cannot be */
	ck_assert_int_eq(ask(0, 16 * PAGE_SIZE, 0, false), 0);
	ck_assert(all_told(0, 15));
}
END_TEST

START_TEST(maps_of_an_owner_are_those_it_told_of)
{
	struct vfm_map map = area_at(GIB, 8 * PAGE_SIZE);
	const struct vfmi_dirty_area area = { .iova = GIB, .length = 8 * PAGE_SIZE };
	struct vfm_iommu *adopted = NULL;
	struct vfmi_dirty_source *other = NULL;
	VFM_OPTS(vfm_iommu_adopt, from);
	uint32_t id = HWPT_BASE;

	from.backend = VFM_BACKEND_IOMMUFD;
	from.fd = 50;
	from.ioas_id = IOAS_ID;
	from.flags = VFM_IOMMU_DIRTY_TRACKING;
	from.hwpt_ids = &id;
	from.hwpt_count = 1;
	ck_assert_int_eq(vfm_iommu_adopt(ctx, &from, &adopted, &error), 0);
	ck_assert_int_eq(map_at(GIB, 8 * PAGE_SIZE), 0);
	ck_assert_int_eq(vfmi_dirty_hwpt_new(adopted, id, &other), 0);
	ck_assert_int_eq(other->ops->start(other, NULL, 0, &error), 0);
	sink_of(8);
	write_at(GIB + PAGE_SIZE);
	warnings = 0;
	vfm_context_set_log(ctx, VFM_LOG_WARNING, count_warnings, NULL);
	ck_assert_int_eq(other->ops->report(other, &area, &sink, false, &error), 0);
	ck_assert_uint_eq(told(), 8);
	ck_assert_uint_eq(warnings, 1);
	ck_assert_int_eq(vfm_iommu_adopt_map(adopted, &map, &error), 0);
	sink_of(8);
	ck_assert_int_eq(other->ops->report(other, &area, &sink, false, &error), 0);
	ck_assert_uint_eq(told(), 1);
	other->ops->free(other);
	vfm_iommu_close(adopted);
}
END_TEST

START_TEST(only_containers_unmap_and_tell_at_once)
{
	const struct vfmi_dirty_bits bits = { .iova = 0, .length = 8 * PAGE_SIZE };
	uint64_t unmapped = 1;

	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	ck_assert_int_eq(vfmi_iommu_unmap_dirty(iommu, &bits, &unmapped, &error), -ENOTTY);
	ck_assert_ptr_nonnull(strstr(error.message, "is still mapped"));
	ck_assert_uint_eq(unmapped, 0);
	ck_assert_uint_eq(kernel.mapped, 1);
}
END_TEST

START_TEST(answers_of_the_kernel_are_passed_on)
{
	start_it();
	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	sink_of(8);
	write_at(PAGE_SIZE);
	fail_next(IOMMU_HWPT_GET_DIRTY_BITMAP, -EINVAL, false);
	ck_assert_int_eq(ask(0, 8 * PAGE_SIZE, 0, false), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "mapped as a whole"));
	fail_next(IOMMU_HWPT_GET_DIRTY_BITMAP, -ENOENT, false);
	ck_assert_int_eq(ask(0, 8 * PAGE_SIZE, 0, false), -ENOENT);
	ck_assert_uint_eq(told(), 0);
	table.interrupted = true; /* after the bits were cleared */
	ck_assert_int_eq(ask(0, 8 * PAGE_SIZE, 0, false), 0);
	ck_assert_uint_eq(table.query_count, 2);
	ck_assert_uint_eq(told(), 1);
	sink.to.pages = 4; /* outside the caller's bitmap */
	ck_assert_int_eq(ask(0, 8 * PAGE_SIZE, 0, false), -ERANGE);
	sink.to.pages = 8;
	fail_next(IOMMU_HWPT_SET_DIRTY_TRACKING, -EIO, false);
	source->ops->stop(source);
	ck_assert(!source->ops->covers(source, NULL));
	start_it();
}
END_TEST

/* areas that are not maps */

START_TEST(a_part_of_a_map_does_not_take_the_rest_along)
{
	const uint64_t huge = 512 * PAGE_SIZE;

	table.entry = huge;
	start_it();
	ck_assert_int_eq(map_at(0, 4 * huge), 0);
	write_at(huge);
	sink_of(4 * huge / PAGE_SIZE);
	/* one that begins in the middle of the huge page, one that ends there */
	ck_assert_int_eq(ask(huge + huge / 2, huge, huge + huge / 2, true), 0);
	ck_assert_uint_eq(told(), 256);
	ck_assert_int_eq(ask(huge + huge / 2, huge, huge + huge / 2, false), 0);
	ck_assert_uint_eq(told(), 256);
	ck_assert_uint_eq(table.dirty_count, 0);
	sink_of(4 * huge / PAGE_SIZE);
	ck_assert_int_eq(ask(0, huge + huge / 2, 0, true), 0);
	ck_assert_uint_eq(told(), 256);
	sink_of(4 * huge / PAGE_SIZE);
	ck_assert_int_eq(ask(0, huge + huge / 2, 0, false), 0);
	ck_assert_uint_eq(told(), 256);
	ck_assert(is_told(huge) && is_told(huge + huge / 2 - PAGE_SIZE));
	sink_of(4 * huge / PAGE_SIZE);
	ck_assert_int_eq(ask(0, 4 * huge, 0, false), 0);
	ck_assert_uint_eq(told(), 0);
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

START_TEST(maps_that_come_and_go_leave_nothing)
{
	const uint64_t begin_of_windows = 4 * GIB;

	start_it();
	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	write_at(6 * PAGE_SIZE);
	sink_of(8);
	ck_assert_int_eq(ask(0, 4 * PAGE_SIZE, 0, false), 0); /* holds page 6 for its neighbour */
	for (uint64_t n = 0; n < 1000; n++) {
		const uint64_t at = begin_of_windows + n * 8 * PAGE_SIZE;

		ck_assert_int_eq(map_at(at, 8 * PAGE_SIZE), 0);
		write_at(at + 7 * PAGE_SIZE);
		ck_assert_int_eq(ask(at, 4 * PAGE_SIZE, 0, false), 0);
		ck_assert_int_eq(vfm_iommu_unmap(iommu, at, 8 * PAGE_SIZE, &error), 0);
		ck_assert_uint_le(held_places(), 3);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ask(0, 4 * PAGE_SIZE, 0, false), 0);
	ck_assert_uint_eq(held_places(), 1);
	ck_assert_uint_eq(told(), 0);
	ck_assert_int_eq(ask(4 * PAGE_SIZE, 4 * PAGE_SIZE, 4 * PAGE_SIZE, false), 0);
	ck_assert_uint_eq(told(), 1);
	ck_assert(is_told(6 * PAGE_SIZE));
	ck_assert_uint_eq(held_places(), 0);
}
END_TEST

START_TEST(a_map_in_the_place_of_another_holds_for_itself)
{
	start_it();
	sink_of(32);
	ck_assert_int_eq(map_at(0, 16 * PAGE_SIZE), 0);
	write_at(9 * PAGE_SIZE);
	ck_assert_int_eq(ask(0, 4 * PAGE_SIZE, 0, false), 0); /* holds page 9 */
	ck_assert_int_eq(vfm_iommu_unmap(iommu, 0, 16 * PAGE_SIZE, &error), 0);
	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	write_at(5 * PAGE_SIZE);
	ck_assert_int_eq(ask(0, 4 * PAGE_SIZE, 0, false), 0); /* holds page 5 */
	ck_assert_uint_eq(told(), 0);
	ck_assert_uint_eq(held_places(), 1);
	ck_assert_int_eq(ask(4 * PAGE_SIZE, 4 * PAGE_SIZE, 4 * PAGE_SIZE, false), 0);
	ck_assert_uint_eq(told(), 1);
	ck_assert(is_told(5 * PAGE_SIZE));
	ck_assert_uint_eq(held_places(), 0);
}
END_TEST

START_TEST(a_new_start_forgets)
{
	start_it();
	ck_assert_int_eq(map_at(0, 8 * PAGE_SIZE), 0);
	sink_of(8);
	write_at(PAGE_SIZE);
	ck_assert_int_eq(ask(4 * PAGE_SIZE, 4 * PAGE_SIZE, 0, false), 0); /* holds page 1 */
	source->ops->stop(source);
	start_it();
	ck_assert_int_eq(ask(0, 8 * PAGE_SIZE, 0, false), 0);
	ck_assert_uint_eq(told(), 0);
}
END_TEST

/* random writes, random reports */

#define PAGES 640u
#define STEPS 20000

/* Areas of pages [first, end): whole maps, parts of one, and one over two. Maps: 0-64, 64-320, 384-640. */
static const struct {
	unsigned int first;
	unsigned int end;
} areas[] = { { 0, 100 }, { 100, 320 }, { 384, 450 }, { 450, 513 }, { 513, 640 } };

static bool written[PAGES];

static void report_random(bool exact)
{
	const size_t which = below(VFMI_ARRAY_SIZE(areas));
	const bool keep = below(3) == 0;
	const uint64_t first = areas[which].first * PAGE_SIZE;
	unsigned int wrong = 0;

	sink_of(PAGES);
	ck_assert_int_eq(ask(first, areas[which].end * PAGE_SIZE - first, first, keep), 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		bool inside = i >= areas[which].first && i < areas[which].end;
		bool seen = is_told(i * PAGE_SIZE);

		wrong += seen ? !inside || (exact && !written[i]) : inside && written[i];
		if (inside && !keep)
			written[i] = false;
	}
	ck_assert_uint_eq(wrong, 0);
}

static void write_random(void)
{
	unsigned int page = (unsigned int)below(PAGES);

	if (page >= 320 && page < 384)
		return;
	written[page] = true;
	write_at(page * PAGE_SIZE);
}

START_TEST(no_page_is_lost)
{
	const uint64_t seed = number_from("VFIOMIG_DIRTY_SEED", (uint64_t)time(NULL));

	random_state = seed;
	printf("# VFIOMIG_DIRTY_SEED=%" PRIu64 "\n", seed);
	memset(written, 0, sizeof(written));
	table.entry = PAGE_SIZE << (2 * _i);
	start_it();
	ck_assert_int_eq(map_at(0, 64 * PAGE_SIZE), 0);
	ck_assert_int_eq(map_at(64 * PAGE_SIZE, 256 * PAGE_SIZE), 0);
	ck_assert_int_eq(map_at(384 * PAGE_SIZE, 256 * PAGE_SIZE), 0);
	for (int i = 0; i < STEPS; i++) {
		if (below(4) == 0)
			report_random(_i == 0);
		else
			write_random();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dirty_hwpt");
	TCase *tests = tcase_create("dirty_hwpt");

	tcase_add_checked_fixture(tests, begin, end);
	tcase_add_test(tests, it_runs_from_start_to_stop);
	tcase_add_test(tests, what_cannot_track_is_told);
	tcase_add_loop_test(tests, pages_are_as_large_as_the_address_space_has_them, 0, (int)VFMI_ARRAY_SIZE(pages));
	tcase_add_loop_test(tests, chunks_cover_the_area_and_nothing_else, 0, (int)VFMI_ARRAY_SIZE(begins));
	tcase_add_test(tests, kept_bits_come_again);
	tcase_add_test(tests, guest_addresses_are_the_area_s);
	tcase_add_test(tests, an_area_with_a_hole_is_dirty);
	tcase_add_test(tests, a_map_that_may_be_gone_is_no_map);
	tcase_add_loop_test(tests, an_area_that_is_unmapped_meanwhile_is_dirty, 0, (int)VFMI_ARRAY_SIZE(unmaps));
	tcase_add_test(tests, a_query_that_fails_for_it_is_no_failure);
	tcase_add_test(tests, maps_of_an_owner_are_those_it_told_of);
	tcase_add_test(tests, only_containers_unmap_and_tell_at_once);
	tcase_add_test(tests, answers_of_the_kernel_are_passed_on);
	tcase_add_test(tests, a_part_of_a_map_does_not_take_the_rest_along);
	tcase_add_test(tests, maps_that_come_and_go_leave_nothing);
	tcase_add_test(tests, a_map_in_the_place_of_another_holds_for_itself);
	tcase_add_test(tests, a_new_start_forgets);
	tcase_add_loop_test(tests, no_page_is_lost, 0, 4);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
