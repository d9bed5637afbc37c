/* SPDX-License-Identifier: MIT */
/* Devices that go from one address space of an iommufd to another, and those that cannot. */
#include <sys/mman.h>

#include <vfiomig/dirty.h>

#include "machine_fixture.h"

#define IOVA 0x100000u
#define PAGE 4096u

/* Two address spaces of one iommufd, memory of each at the same IOVA, a device in the first. */
struct pair {
	struct machine m;
	struct vfm_iommu *other;
	uint8_t *memory;
	uint8_t *other_memory;
	struct vfm_error err;
};

static uint8_t *map(struct pair *p, struct vfm_iommu *iommu)
{
	VFM_OPTS(vfm_map, map);

	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.vaddr = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map.length = PAGE;
	map.iova = IOVA;
	ck_assert_ptr_ne(map.vaddr, MAP_FAILED);
	ck_assert_msg(vfm_iommu_map(iommu, &map, &p->err) == 0, "%s", p->err.message);
	return map.vaddr;
}

static void start(struct pair *p, const char *spec, uint32_t flags, uint32_t other_flags)
{
	VFM_OPTS(vfm_iommu_options, options);

	machine_start(&p->m, spec);
	p->err = (struct vfm_error){ .size = sizeof(p->err) };
	vfm_iommu_close(p->m.iommu);
	options.backend = VFM_BACKEND_IOMMUFD;
	options.flags = flags;
	ck_assert_int_eq(vfm_iommu_open(p->m.ctx, &options, &p->m.iommu, &p->err), 0);
	ck_assert_int_eq(vfm_iommu_open_beside(p->m.iommu, other_flags, &p->other, &p->err), 0);
	p->memory = map(p, p->m.iommu);
	p->other_memory = map(p, p->other);
	machine_device(&p->m, 0, EDU_A);
	ck_assert_int_eq(vfm_device_bus_master(p->m.dev[0], true, &p->err), 0);
	p->m.before = machine_usage(&p->m);
}

static void stop(struct pair *p)
{
	machine_close(&p->m);
	munmap(p->other_memory, PAGE);
	munmap(p->memory, PAGE);
}

static bool writes(struct pair *p)
{
	p->memory[0] = p->other_memory[0] = 0;
	return vfm_sim_poke(p->m.sim, EDU_A, "write=0x100000:1") == 0;
}

static bool is_here(struct pair *p)
{
	return writes(p) && p->memory[0] && !p->other_memory[0];
}

static bool is_there(struct pair *p)
{
	return writes(p) && !p->memory[0] && p->other_memory[0];
}

static void move(struct pair *p, struct vfm_iommu *to)
{
	ck_assert_msg(vfm_device_attach_to(p->m.dev[0], to, &p->err) == 0, "%s", p->err.message);
	ck_assert_ptr_eq(vfm_device_iommu(p->m.dev[0]), to);
}

static uint32_t on_table(struct vfm_iommu *iommu)
{
	VFM_OPTS(vfm_hwpt, hwpt);

	return vfm_iommu_hwpt(iommu, 0, &hwpt) == 0 ? hwpt.devices : UINT32_MAX;
}

static uint64_t needed(struct vfm_iommu *iommu)
{
	VFM_OPTS(vfm_limits, limits);

	ck_assert_int_eq(vfm_iommu_preflight(iommu, 0, 0, &limits, NULL), 0);
	return limits.memlock_needed;
}

START_TEST(dma_goes_where_it_is)
{
	struct pair p;
	uint32_t before;

	start(&p, "edu@" EDU_A, 0, 0);
	before = vfm_device_pt_id(p.m.dev[0]);
	ck_assert(is_here(&p));
	ck_assert_uint_eq(needed(p.other), PAGE);
	move(&p, p.other);
	ck_assert(is_there(&p));
	ck_assert_uint_ne(vfm_device_pt_id(p.m.dev[0]), before);
	/* what is mapped is locked with the first device there */
	ck_assert_uint_eq(needed(p.m.iommu), PAGE);
	ck_assert_uint_eq(needed(p.other), 0);
	move(&p, p.other); /* where it is */
	ck_assert_uint_eq(needed(p.other), 0);
	ck_assert_int_eq(vfm_device_detach(p.m.dev[0], &p.err), 0);
	ck_assert(!writes(&p));
	ck_assert_uint_eq(needed(p.other), PAGE);
	move(&p, p.m.iommu);
	ck_assert(is_here(&p));
	/* from then on it is its own */
	ck_assert_int_eq(vfm_device_detach(p.m.dev[0], &p.err), 0);
	ck_assert_int_eq(vfm_device_attach(p.m.dev[0], &p.err), 0);
	ck_assert(is_here(&p));
	vfm_iommu_close(p.other);
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

/* It keeps nothing of where it was. */
START_TEST(the_old_one_may_be_closed)
{
	struct pair p;
	struct vfm_iommu *first;

	start(&p, "edu@" EDU_A ",dirty=1", VFM_IOMMU_DIRTY_TRACKING, VFM_IOMMU_DIRTY_TRACKING);
	first = p.m.iommu;
	ck_assert_uint_eq(on_table(first), 1);
	move(&p, p.other);
	ck_assert_uint_eq(on_table(first), 0);
	ck_assert_uint_eq(on_table(p.other), 1);
	vfm_iommu_close(first);
	p.m.iommu = p.other;
	ck_assert(is_there(&p));
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

START_TEST(what_fails_moves_nothing)
{
	struct pair p;
	uint32_t before;

	start(&p, "edu@" EDU_A ",dirty=1", VFM_IOMMU_DIRTY_TRACKING, VFM_IOMMU_DIRTY_TRACKING);
	before = vfm_device_pt_id(p.m.dev[0]);
	machine_fault(&p.m, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", VFM_SIM_FAULT_BEFORE, 1, 1, EADDRINUSE);
	ck_assert_int_eq(vfm_device_attach_to(p.m.dev[0], p.other, &p.err), -EADDRINUSE);
	ck_assert_uint_eq(vfm_sim_faults_hit(p.m.sim), 1);
	ck_assert_ptr_eq(vfm_device_iommu(p.m.dev[0]), p.m.iommu);
	ck_assert_uint_eq(vfm_device_pt_id(p.m.dev[0]), before);
	ck_assert_uint_eq(on_table(p.m.iommu), 1);
	ck_assert_uint_eq(on_table(p.other), UINT32_MAX); /* the one that was made has gone */
	ck_assert(is_here(&p));
	vfm_iommu_close(p.other);
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

/* Their ids are equal, one by one. */
START_TEST(another_iommufd_is_refused)
{
	VFM_OPTS(vfm_iommu_adopt, adopt);
	struct vfm_iommu *foreign, *foreign_beside;
	struct pair p;

	start(&p, "kernel=6.15;edu@" EDU_A ",pasid=8;edu@" EDU_B ",pasid=8", 0, 0);
	ck_assert_int_eq(vfm_iommu_open(p.m.ctx, NULL, &foreign, &p.err), 0);
	ck_assert_int_eq(vfm_iommu_open_beside(foreign, 0, &foreign_beside, &p.err), 0);
	ck_assert_int_eq(vfm_device_open_attached(p.m.ctx, EDU_B, foreign, &p.m.dev[1], &p.err), 0);
	ck_assert_uint_eq(vfm_device_id(p.m.dev[0]), vfm_device_id(p.m.dev[1]));
	ck_assert_uint_eq(vfm_iommu_ioas_id(p.other), vfm_iommu_ioas_id(foreign_beside));
	ck_assert_int_eq(vfm_device_attach_to(p.m.dev[0], foreign_beside, &p.err), -EINVAL);
	ck_assert_int_eq(vfm_device_attach_pasid(p.m.dev[0], 7, foreign_beside, &p.err), -EINVAL);
	ck_assert_int_eq(vfm_device_attach_to(p.m.dev[0], NULL, &p.err), -EINVAL);
	ck_assert(is_here(&p));
	/* whose descriptor it is, is not looked at: what was adopted says beside which */
	adopt.backend = VFM_BACKEND_IOMMUFD;
	adopt.fd = vfm_iommu_fd(p.m.iommu);
	adopt.ioas_id = vfm_iommu_ioas_id(p.other);
	vfm_iommu_close(foreign_beside);
	ck_assert_int_eq(vfm_iommu_adopt(p.m.ctx, &adopt, &foreign_beside, &p.err), 0);
	ck_assert_int_eq(vfm_device_attach_to(p.m.dev[0], foreign_beside, &p.err), -EINVAL);
	vfm_iommu_close(foreign_beside);
	adopt.fd = -1;
	adopt.beside = p.m.iommu;
	ck_assert_int_eq(vfm_iommu_adopt(p.m.ctx, &adopt, &foreign_beside, &p.err), 0);
	move(&p, foreign_beside);
	ck_assert(is_there(&p));
	move(&p, p.m.iommu);
	vfm_iommu_close(foreign_beside);
	vfm_device_close(p.m.dev[1]);
	p.m.dev[1] = NULL;
	vfm_iommu_close(foreign);
	vfm_iommu_close(p.other);
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

START_TEST(beside_what_can_be_adopted)
{
	VFM_OPTS(vfm_iommu_adopt, adopt);
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *container, *space = NULL;
	struct vfm_context *again;
	struct pair p;

	start(&p, "edu@" EDU_A, 0, 0);
	options.backend = VFM_BACKEND_TYPE1V2;
	ck_assert_int_eq(vfm_iommu_open(p.m.ctx, &options, &container, &p.err), 0);
	adopt.backend = VFM_BACKEND_IOMMUFD;
	adopt.ioas_id = vfm_iommu_ioas_id(p.other);
	adopt.beside = container;
	ck_assert_int_eq(vfm_iommu_adopt(p.m.ctx, &adopt, &space, &p.err), -EINVAL);
	adopt.backend = VFM_BACKEND_TYPE1V2;
	adopt.beside = p.other;
	adopt.fd = vfm_iommu_fd(container);
	ck_assert_int_eq(vfm_iommu_adopt(p.m.ctx, &adopt, &space, &p.err), -EINVAL);
	adopt.backend = VFM_BACKEND_IOMMUFD;
	ck_assert_int_eq(vfm_sim_context(p.m.sim, &again), 0);
	ck_assert_int_eq(vfm_iommu_adopt(again, &adopt, &space, &p.err), -EINVAL);
	ck_assert_int_eq(vfm_device_attach_to(p.m.dev[0], container, &p.err), -EOPNOTSUPP);
	vfm_context_free(again);
	vfm_iommu_close(container);
	vfm_iommu_close(p.other);
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

START_TEST(devices_that_cannot)
{
	VFM_OPTS(vfm_iommu_options, options);
	VFM_OPTS(vfm_adopt, adopt);
	struct vfm_iommu *container;
	struct vfm_device *dev;
	struct pair p;

	start(&p, "edu@" EDU_A ";edu@" EDU_B, 0, 0);
	ck_assert_int_eq(vfm_device_open(p.m.ctx, EDU_B, &dev, &p.err), 0);
	ck_assert_int_eq(vfm_device_attach_to(dev, p.other, &p.err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(p.err.message, "not bound"));
	vfm_device_close(dev);
	options.backend = VFM_BACKEND_TYPE1V2;
	ck_assert_int_eq(vfm_iommu_open(p.m.ctx, &options, &container, &p.err), 0);
	ck_assert_int_eq(vfm_device_open_attached(p.m.ctx, EDU_B, container, &dev, &p.err), 0);
	ck_assert_int_eq(vfm_device_attach_to(dev, p.other, &p.err), -EOPNOTSUPP);
	vfm_device_close(dev);
	vfm_iommu_close(container);
	/* for migration only: it has no address space here */
	adopt.device_fd = vfm_device_fd(p.m.dev[0]);
	adopt.iommufd = -1;
	ck_assert_int_eq(vfm_device_adopt(p.m.ctx, &adopt, &dev, &p.err), 0);
	ck_assert_int_eq(vfm_device_attach_to(dev, p.other, &p.err), -EINVAL);
	vfm_device_close(dev);
	vfm_iommu_close(p.other);
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

START_TEST(pasids_hold_it)
{
	struct pair p;

	start(&p, "kernel=6.15;edu@" EDU_A ",pasid=8", 0, 0);
	ck_assert_msg(vfm_device_attach_pasid(p.m.dev[0], 7, p.other, &p.err) == 0, "%s", p.err.message);
	ck_assert_int_eq(vfm_device_attach_to(p.m.dev[0], p.other, &p.err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(p.err.message, "PASID"));
	ck_assert(is_here(&p));
	ck_assert_int_eq(vfm_device_detach_pasid(p.m.dev[0], 7, &p.err), 0);
	move(&p, p.other);
	ck_assert(is_there(&p));
	/* no page table of its own is left behind: the old address space can go, and PASIDs come again */
	vfm_iommu_close(p.m.iommu);
	p.m.iommu = p.other;
	ck_assert_msg(vfm_device_attach_pasid(p.m.dev[0], 7, p.other, &p.err) == 0, "%s", p.err.message);
	ck_assert(is_there(&p));
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

/* The kernel takes the group along; each is told to follow. */
START_TEST(a_group_moves_as_one)
{
	struct pair p;

	start(&p, "edu@" EDU_A ",group=9,dirty=1;edu@" EDU_B ",group=9,dirty=1", VFM_IOMMU_DIRTY_TRACKING,
	      VFM_IOMMU_DIRTY_TRACKING);
	machine_device(&p.m, 1, EDU_B);
	move(&p, p.other);
	ck_assert_int_eq(vfm_device_attach_to(p.m.dev[1], p.other, &p.err), 0);
	ck_assert_uint_eq(vfm_device_pt_id(p.m.dev[0]), vfm_device_pt_id(p.m.dev[1]));
	ck_assert_uint_eq(on_table(p.m.iommu), 0);
	ck_assert_uint_eq(on_table(p.other), 2);
	vfm_device_close(p.m.dev[1]);
	p.m.dev[1] = NULL;
	move(&p, p.m.iommu);
	vfm_iommu_close(p.other);
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

/* Its own address space is closed with it, wherever it is then. */
START_TEST(adopted_device)
{
	VFM_OPTS(vfm_adopt, adopt);
	struct vfm_iommu *beside;
	struct vfm_device *dev;
	struct pair p;

	start(&p, "edu@" EDU_A, 0, 0);
	adopt.device_fd = vfm_device_fd(p.m.dev[0]);
	adopt.iommufd = vfm_iommu_fd(p.m.iommu);
	adopt.ioas_id = vfm_iommu_ioas_id(p.m.iommu);
	adopt.devid = vfm_device_id(p.m.dev[0]);
	adopt.pt_id = vfm_device_pt_id(p.m.dev[0]);
	ck_assert_int_eq(vfm_device_adopt(p.m.ctx, &adopt, &dev, &p.err), 0);
	ck_assert_int_eq(vfm_device_attach_to(dev, p.other, &p.err), -EINVAL);
	ck_assert_int_eq(vfm_iommu_open_beside(vfm_device_iommu(dev), 0, &beside, &p.err), 0);
	ck_assert_int_eq(vfm_device_attach_to(dev, beside, &p.err), 0);
	ck_assert(!writes(&p));
	vfm_device_close(dev);
	move(&p, p.m.iommu);
	ck_assert(is_here(&p));
	vfm_iommu_close(beside);
	vfm_iommu_close(p.other);
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

/* Attached again it goes to the page table that tracks, though nobody can be asked what the device is. */
START_TEST(adopted_without_its_id_it_is_tracked)
{
	VFM_OPTS(vfm_adopt, adopt);
	struct vfm_device *dev;
	struct pair p;

	start(&p, "kernel=6.15;edu@" EDU_A ",dirty=1,pasid=8", VFM_IOMMU_DIRTY_TRACKING, 0);
	adopt.device_fd = vfm_device_fd(p.m.dev[0]);
	adopt.iommufd = vfm_iommu_fd(p.m.iommu);
	adopt.ioas_id = vfm_iommu_ioas_id(p.m.iommu);
	adopt.pt_id = vfm_device_pt_id(p.m.dev[0]);
	adopt.flags = VFM_ADOPT_TRACKS;
	ck_assert_int_eq(vfm_device_adopt(p.m.ctx, &adopt, &dev, &p.err), 0);
	ck_assert_int_eq(vfm_device_detach(dev, &p.err), 0);
	ck_assert_int_eq(vfm_device_attach(dev, &p.err), 0);
	ck_assert_uint_eq(vfm_device_pt_id(dev), adopt.pt_id);
	vfm_device_close(dev);
	adopt.flags = 0;
	ck_assert_int_eq(vfm_device_adopt(p.m.ctx, &adopt, &dev, &p.err), 0);
	ck_assert_int_eq(vfm_device_attach_pasid(dev, 7, vfm_device_iommu(dev), &p.err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(p.err.message, "devid"));
	vfm_device_close(dev);
	vfm_iommu_close(p.other);
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

static void sync_finds(struct pair *p, struct vfm_tracker *tracker, uint64_t *bits, uint64_t expected)
{
	ck_assert_msg(vfm_tracker_sync(tracker, 0, NULL, &p->err) == 0, "%s", p->err.message);
	ck_assert_uint_eq(bits[0], expected);
	bits[0] = 0;
}

/* Away and back again between two syncs: what it wrote meanwhile nobody has seen. */
START_TEST(a_tracker_notices)
{
	VFM_OPTS(vfm_tracker_opts, opts);
	struct vfm_tracker *tracker;
	uint64_t bits[1] = { 0 };
	struct pair p;

	start(&p, "edu@" EDU_A ",dirty=1", VFM_IOMMU_DIRTY_TRACKING, VFM_IOMMU_DIRTY_TRACKING);
	opts.bitmap =
		(struct vfm_bitmap_pages){ .size = sizeof(opts.bitmap), .page_shift = 12, .words = bits, .pages = 2 };
	ck_assert_int_eq(vfm_tracker_new(p.m.ctx, &opts, &tracker, &p.err), 0);
	ck_assert_int_eq(vfm_tracker_map(tracker, p.m.iommu, IOVA, PAGE, 0, &p.err), 0);
	ck_assert_int_eq(vfm_tracker_map(tracker, p.other, IOVA, PAGE, PAGE, &p.err), 0);
	ck_assert_int_eq(vfm_tracker_join(tracker, p.m.dev[0], &p.err), 0);
	bits[0] = 0;
	sync_finds(&p, tracker, bits, 0);
	move(&p, p.other);
	ck_assert(is_there(&p));
	move(&p, p.m.iommu);
	sync_finds(&p, tracker, bits, 3);
	ck_assert(is_here(&p));
	sync_finds(&p, tracker, bits, 1);
	move(&p, p.other);
	sync_finds(&p, tracker, bits, 3);
	ck_assert(is_there(&p));
	sync_finds(&p, tracker, bits, 2);
	vfm_tracker_free(tracker);
	move(&p, p.m.iommu);
	vfm_iommu_close(p.other);
	p.m.before = machine_usage(&p.m);
	stop(&p);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_attach");
	TCase *tc = tcase_create("sim");

	tcase_add_test(tc, dma_goes_where_it_is);
	tcase_add_test(tc, the_old_one_may_be_closed);
	tcase_add_test(tc, what_fails_moves_nothing);
	tcase_add_test(tc, another_iommufd_is_refused);
	tcase_add_test(tc, beside_what_can_be_adopted);
	tcase_add_test(tc, devices_that_cannot);
	tcase_add_test(tc, pasids_hold_it);
	tcase_add_test(tc, a_group_moves_as_one);
	tcase_add_test(tc, adopted_device);
	tcase_add_test(tc, adopted_without_its_id_it_is_tracked);
	tcase_add_test(tc, a_tracker_notices);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
