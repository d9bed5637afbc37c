/* SPDX-License-Identifier: MIT */
/* The tracker on the kernel's sources as the simulated machine has them, also of a space that somebody lends. */
#include <sys/mman.h>

#include <vfiomig/dirty.h>
#include <vfiomig/lend.h>

#include "machine_fixture.h"

#define PAGE 4096u
#define PAGES 64u
#define IOVA 0x100000u

struct tracked {
	struct machine m;
	uint8_t *memory;
	uint64_t bits[1];
	struct vfm_tracker *tracker;
	struct vfm_error err;
};

static void map(struct tracked *t)
{
	VFM_OPTS(vfm_map, map);

	t->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(t->memory, MAP_FAILED);
	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.vaddr = t->memory;
	map.length = PAGES * PAGE;
	map.iova = IOVA;
	ck_assert_msg(vfm_iommu_map(t->m.iommu, &map, &t->err) == 0, "%s", t->err.message);
}

/* A machine of one device, its memory mapped, not tracked yet. */
static void start(struct tracked *t, const char *spec, uint32_t backend, uint32_t flags)
{
	VFM_OPTS(vfm_iommu_options, options);
	char message[256] = "";

	memset(t, 0, sizeof(*t));
	t->err.size = sizeof(t->err);
	ck_assert_msg(vfm_sim_open(NULL, spec, &t->m.sim, message, sizeof(message)) == 0, "%s", message);
	ck_assert_int_eq(vfm_sim_context(t->m.sim, &t->m.ctx), 0);
	options.backend = backend;
	options.flags = flags;
	ck_assert_msg(vfm_iommu_open(t->m.ctx, &options, &t->m.iommu, &t->err) == 0, "%s", t->err.message);
	machine_device(&t->m, 0, EDU_A);
	ck_assert_int_eq(vfm_device_bus_master(t->m.dev[0], true, &t->err), 0);
	map(t);
}

/* From here on the bitmap has what @dev writes, and nothing that was there before. */
static void track(struct tracked *t, struct vfm_device *dev)
{
	VFM_OPTS(vfm_tracker_opts, opts);

	opts.bitmap = (struct vfm_bitmap_pages){
		.size = sizeof(opts.bitmap), .page_shift = 12, .words = t->bits, .pages = PAGES
	};
	ck_assert_msg(vfm_tracker_new(t->m.ctx, &opts, &t->tracker, &t->err) == 0, "%s", t->err.message);
	ck_assert_msg(vfm_tracker_map(t->tracker, vfm_device_iommu(dev), IOVA, PAGES * PAGE, 0, &t->err) == 0, "%s",
		      t->err.message);
	ck_assert_msg(vfm_tracker_join(t->tracker, dev, &t->err) == 0, "%s", t->err.message);
	ck_assert_uint_eq(t->bits[0], UINT64_MAX);
	t->bits[0] = 0;
}

static uint32_t source_of(struct tracked *t, const struct vfm_device *dev)
{
	VFM_OPTS(vfm_tracker_device, seen);

	ck_assert_int_eq(vfm_tracker_device(t->tracker, dev, &seen), 0);
	return seen.source;
}

/* The device writes to pages 3, 4 and 63. */
static void write_some(struct tracked *t)
{
	ck_assert_int_eq(vfm_sim_poke(t->m.sim, EDU_A, "write=0x103ff8:16"), 0);
	ck_assert_int_eq(vfm_sim_poke(t->m.sim, EDU_A, "write=0x13f000:4096"), 0);
}

#define WRITTEN (1ull << 3 | 1ull << 4 | 1ull << 63)

static void sync_finds(struct tracked *t, uint32_t flags, uint64_t expected)
{
	VFM_OPTS(vfm_tracker_report, report);

	t->bits[0] = 0;
	ck_assert_msg(vfm_tracker_sync(t->tracker, flags, &report, &t->err) == 0, "%s", t->err.message);
	ck_assert_uint_eq(t->bits[0], expected);
	ck_assert_uint_eq(report.dirty, (uint64_t)__builtin_popcountll(expected));
}

static void rounds(struct tracked *t, struct vfm_device *dev)
{
	write_some(t);
	sync_finds(t, 0, WRITTEN);
	sync_finds(t, 0, 0);
	write_some(t);
	ck_assert_int_eq(vfm_tracker_sync(t->tracker, VFM_TRACKER_FINAL, NULL, &t->err), -EBUSY);
	ck_assert_uint_eq(t->bits[0], 0);
	ck_assert_int_eq(vfm_device_set_state(dev, VFM_STATE_STOP, NULL, &t->err), 0);
	sync_finds(t, VFM_TRACKER_FINAL, WRITTEN);
}

static void stop(struct tracked *t)
{
	vfm_tracker_free(t->tracker);
	ck_assert_int_eq(vfm_iommu_unmap(t->m.iommu, IOVA, PAGES * PAGE, NULL), 0);
	vfm_device_close(t->m.dev[0]);
	vfm_iommu_close(t->m.iommu);
	vfm_context_free(t->m.ctx);
	ck_assert_uint_eq(machine_usage(&t->m).strict_errors, 0);
	ck_assert_uint_eq(machine_usage(&t->m).open_fds, 0);
	vfm_sim_close(t->m.sim);
	munmap(t->memory, PAGES * PAGE);
}

START_TEST(device_log)
{
	struct tracked t;

	start(&t, "edu@" EDU_A ",state=4k,log=1", VFM_BACKEND_IOMMUFD, 0);
	track(&t, t.m.dev[0]);
	ck_assert_uint_eq(source_of(&t, t.m.dev[0]), VFM_DIRTY_DEVICE_LOG);
	rounds(&t, t.m.dev[0]);
	stop(&t);
}
END_TEST

START_TEST(page_table)
{
	struct tracked t;

	start(&t, "edu@" EDU_A ",state=4k,dirty=1", VFM_BACKEND_IOMMUFD, VFM_IOMMU_DIRTY_TRACKING);
	track(&t, t.m.dev[0]);
	ck_assert_uint_eq(source_of(&t, t.m.dev[0]), VFM_DIRTY_HWPT);
	rounds(&t, t.m.dev[0]);
	stop(&t);
}
END_TEST

/* A container calls all dirty that a device behind an IOMMU can reach. */
START_TEST(container)
{
	struct tracked t;

	start(&t, "edu@" EDU_A ",state=4k", VFM_BACKEND_TYPE1V2, 0);
	track(&t, t.m.dev[0]);
	ck_assert_uint_eq(source_of(&t, t.m.dev[0]), VFM_DIRTY_TYPE1);
	sync_finds(&t, 0, UINT64_MAX);
	stop(&t);
}
END_TEST

/* As one who borrows: the device with an address space of its own, which is that of its owner. */
static struct vfm_device *adopt(struct tracked *t, struct vfm_device *dev)
{
	char text[VFM_DESCRIPTION_MAX];
	struct vfm_device *lent;
	VFM_OPTS(vfm_map, map);

	ck_assert_int_gt(vfm_device_describe(dev, text, sizeof(text)), 0);
	ck_assert_ptr_nonnull(strstr(text, ",tracks=1"));
	ck_assert_msg(vfm_device_adopt_described(t->m.ctx, text, &lent, &t->err) == 0, "%s", t->err.message);
	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.iova = IOVA;
	map.length = PAGES * PAGE;
	ck_assert_int_eq(vfm_iommu_adopt_map(vfm_device_iommu(lent), &map, &t->err), 0);
	return lent;
}

/* Who borrows a device is told that its page table has dirty bits. */
START_TEST(page_table_of_a_lender)
{
	struct vfm_device *lent;
	struct tracked t;

	start(&t, "edu@" EDU_A ",state=4k,dirty=1", VFM_BACKEND_IOMMUFD, VFM_IOMMU_DIRTY_TRACKING);
	lent = adopt(&t, t.m.dev[0]);
	track(&t, lent);
	ck_assert_uint_eq(source_of(&t, lent), VFM_DIRTY_HWPT);
	rounds(&t, lent);
	vfm_tracker_free(t.tracker);
	t.tracker = NULL;
	vfm_device_close(lent);
	stop(&t);
}
END_TEST

static void also_track(struct tracked *t, struct vfm_device *dev)
{
	ck_assert_int_eq(vfm_tracker_map(t->tracker, vfm_device_iommu(dev), IOVA, PAGES * PAGE, 0, &t->err), 0);
	ck_assert_int_eq(vfm_tracker_join(t->tracker, dev, &t->err), 0);
	ck_assert_uint_eq(source_of(t, dev), VFM_DIRTY_HWPT);
}

/* Two devices of one page table, adopted each by itself: what starts and stops for one is the other's too. */
START_TEST(one_page_table_adopted_twice)
{
	struct vfm_device *lent[2];
	struct tracked t;

	start(&t, "edu@" EDU_A ",state=4k,dirty=1;edu@" EDU_B ",state=4k,dirty=1", VFM_BACKEND_IOMMUFD,
	      VFM_IOMMU_DIRTY_TRACKING);
	machine_device(&t.m, 1, EDU_B);
	for (unsigned int i = 0; i < 2; i++)
		lent[i] = adopt(&t, t.m.dev[i]);
	ck_assert_uint_eq(vfm_device_pt_id(lent[0]), vfm_device_pt_id(lent[1]));
	track(&t, lent[0]);
	write_some(&t);
	also_track(&t, lent[1]); /* the start clears the bits of that write */
	ck_assert_uint_eq(t.bits[0] & WRITTEN, WRITTEN);
	sync_finds(&t, 0, 0);
	ck_assert_int_eq(vfm_device_set_state(lent[1], VFM_STATE_STOP, NULL, &t.err), 0);
	ck_assert_int_eq(vfm_tracker_leave(t.tracker, lent[1], 0, &t.err), 0);
	write_some(&t);
	sync_finds(&t, 0, WRITTEN);
	/* it comes back, and goes where its areas do not bring the others' with them */
	ck_assert_int_eq(vfm_tracker_unmap(t.tracker, vfm_device_iommu(lent[1]), IOVA, PAGES * PAGE,
					   VFM_TRACKER_KEEP_MAP, &t.err),
			 0);
	write_some(&t);
	t.bits[0] = 0;
	ck_assert_int_eq(vfm_tracker_join(t.tracker, lent[1], &t.err), 0);
	ck_assert_uint_eq(t.bits[0], UINT64_MAX);
	vfm_tracker_free(t.tracker);
	t.tracker = NULL;
	for (unsigned int i = 0; i < 2; i++)
		vfm_device_close(lent[i]);
	vfm_device_close(t.m.dev[1]);
	stop(&t);
}
END_TEST

/* Reading clears: the second tracker does not get what the first one reads. */
START_TEST(two_trackers)
{
	VFM_OPTS(vfm_tracker_device, seen);
	struct vfm_tracker *first;
	struct tracked t;

	start(&t, "edu@" EDU_A ",state=4k,dirty=1", VFM_BACKEND_IOMMUFD, VFM_IOMMU_DIRTY_TRACKING);
	track(&t, t.m.dev[0]);
	write_some(&t);
	first = t.tracker;
	track(&t, t.m.dev[0]);
	ck_assert_int_eq(vfm_tracker_device(t.tracker, t.m.dev[0], &seen), 0);
	ck_assert_uint_eq(seen.source, VFM_DIRTY_NONE);
	ck_assert_msg(strstr(seen.why, "another tracker") != NULL, "%s", seen.why);
	sync_finds(&t, 0, UINT64_MAX);
	vfm_tracker_free(t.tracker);
	t.tracker = first;
	sync_finds(&t, 0, WRITTEN);
	vfm_tracker_free(first);
	track(&t, t.m.dev[0]);
	ck_assert_uint_eq(source_of(&t, t.m.dev[0]), VFM_DIRTY_HWPT);
	stop(&t);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tracker_sim");
	TCase *tests = tcase_create("tracker");

	tcase_add_test(tests, device_log);
	tcase_add_test(tests, page_table);
	tcase_add_test(tests, container);
	tcase_add_test(tests, page_table_of_a_lender);
	tcase_add_test(tests, one_page_table_adopted_twice);
	tcase_add_test(tests, two_trackers);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
