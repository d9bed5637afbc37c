/* SPDX-License-Identifier: MIT */
/*
 * The tracker by random operations: a mirror that is copied only from reported pages must equal the original after the
 * final sync, whatever fails, moves or is reset meanwhile. VFIOMIG_TRACKER_ROUNDS: rounds (default 4000);
 * VFIOMIG_TRACKER_SEED: repeats a run.
 */
#include "tracker_fixture.h"
#include "suite.h"

/* model */

struct model_area {
	unsigned int space;
	uint64_t iova, length, guest; /* length 0: none */
};

static struct model {
	uint64_t seed;
	unsigned int round, step;
	unsigned int page_shift;
	struct model_area areas[AREAS];
	bool joined[DEVICES];
	bool moved[DEVICES]; /* and not looked at since */
} model;

/* Send what is dirty. */
static void take(void)
{
	for (unsigned int page = 0; page < GUEST_PAGES; page++)
		if (vfm_bitmap_test(words, (uint64_t)page >> (model.page_shift - 12)))
			world.mirror[page] = world.original[page];
	memset(words, 0, sizeof(words));
}

#define MUST(call)                                                                                                     \
	do {                                                                                                           \
		int must_ = (call);                                                                                    \
		ck_assert_msg(must_ == 0, "seed %" PRIu64 " round %u step %u: %s = %d: %s", model.seed, model.round,   \
			      model.step, #call, must_, error.message);                                                \
	} while (0)

static void step_map(void)
{
	struct model_area *area = &model.areas[below(AREAS)];
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };
	struct model_area made;
	bool early = one_in(2);

	made.length = (1 + below(LONGEST)) * PAGE;
	made.iova = below(IOVA_PAGES - LONGEST) * PAGE;
	made.guest = GUEST_START + below(GUEST_PAGES - LONGEST) * PAGE;
	made.space = (unsigned int)below(SPACES);
	map.vaddr = host_of(made.guest);
	map.iova = made.iova;
	map.length = made.length;
	if (area->length || vfmi_areas_overlap(&world.spaces[made.space].areas, made.iova, made.iova + made.length - 1))
		return;
	*area = made;
	if (early)
		MUST(vfm_iommu_map(&world.spaces[made.space], &map, &error));
	storm(early ? 10 : 0);
	MUST(vfm_tracker_map(tracker, &world.spaces[made.space], made.iova, made.length, made.guest, &error));
	if (!early)
		MUST(vfm_iommu_map(&world.spaces[made.space], &map, &error));
}

static void set_silent(const struct model_area *area, bool silent)
{
	for (uint64_t page = area->iova / PAGE; page < (area->iova + area->length) / PAGE; page++)
		world.silent[area->space][page] = silent;
}

static void step_unmap(void)
{
	struct model_area *area = &model.areas[below(AREAS)];
	struct vfm_iommu *iommu = &world.spaces[area->space];
	uint32_t flags = (one_in(2) ? VFM_TRACKER_QUIET : 0) | (one_in(4) ? VFM_TRACKER_KEEP_MAP : 0);
	bool gone = flags & VFM_TRACKER_KEEP_MAP && one_in(2);
	int r;

	if (area->length == 0)
		return;
	world.fail_unmap = gone ? 0 : world.fail_unmap;
	if (gone) /* behind the tracker's back */
		MUST(vfm_iommu_unmap(iommu, area->iova, area->length, &error));
	set_silent(area, flags);
	r = vfm_tracker_unmap(tracker, iommu, area->iova, area->length, flags, &error);
	if (r == 0 && flags & VFM_TRACKER_KEEP_MAP && !gone) {
		world.fail_unmap = 0;
		MUST(vfm_iommu_unmap(iommu, area->iova, area->length, &error));
	}
	set_silent(area, false);
	ck_assert(r == 0 || ((r == -EDEADLK || r == -EIO) && !(flags & VFM_TRACKER_KEEP_MAP)));
	if (r == 0)
		area->length = 0;
}

static void quieten(struct machine_device *dev)
{
	if (dev->state == VFM_STATE_ERROR) {
		vfmi_device_lost_log(&dev->body);
		memset(&dev->log, 0, sizeof(dev->log));
	}
	dev->state = VFM_STATE_STOP;
}

static void step_join_or_leave(void)
{
	const unsigned int i = (unsigned int)below(DEVICES);
	struct machine_device *dev = &world.devices[i];
	int r;

	if (!model.joined[i] && !dev->body.iommu)
		return;
	if (!model.joined[i]) {
		dev->state = VFM_STATE_RUNNING;
		dev->writes = true;
		storm(6);
		MUST(vfm_tracker_join(tracker, &dev->body, &error));
		model.joined[i] = true;
		return;
	}
	quieten(dev);
	r = vfm_tracker_leave(tracker, &dev->body, dev->migrates ? 0 : VFM_TRACKER_QUIET, &error);
	ck_assert(r == 0 || r == -EIO || r == -EINVAL);
	dev->writes = false;
	model.joined[i] = false;
}

static void step_harm(void)
{
	struct machine_device *dev = &world.devices[below(DEVICES)];

	if (dev->log.running && dev->migrates && one_in(3)) {
		dev->state = VFM_STATE_ERROR;
		memset(dev->log.bits, 0, sizeof(dev->log.bits));
		return;
	}
	memset(&dev->log, 0, sizeof(dev->log));
	vfmi_device_lost_log(&dev->body);
	dev->state = VFM_STATE_RUNNING;
}

static void step_move(void)
{
	const unsigned int i = (unsigned int)below(DEVICES);
	struct machine_device *dev = &world.devices[i];

	/* Where it went and came back from in between nobody could tell. */
	if (model.moved[i])
		return;
	model.moved[i] = true;
	attach(dev, (unsigned int)below(TABLES));
	if (one_in(4))
		dev->body.iommu = NULL;
	storm(4);
}

static void step_failures(void)
{
	world.fail_start = one_in(3) ? 3 : 0;
	world.fail_report = one_in(3) ? 20 : 0;
	world.fail_unmap = one_in(3) ? 3 : 0;
}

static void step_sync(void)
{
	MUST(vfm_tracker_sync(tracker, 0, NULL, &error));
	memset(&model.moved, 0, sizeof(model.moved));
	take();
}

static void make_step(void)
{
	storm(12);
	switch (below(16)) {
	case 0 ... 3:
		step_map();
		break;
	case 4 ... 5:
		step_unmap();
		break;
	case 6 ... 7:
		step_join_or_leave();
		break;
	case 8:
		step_harm();
		break;
	case 9:
		if (one_in(2))
			step_move();
		break;
	case 10:
		step_failures();
		break;
	default:
		step_sync();
	}
}

static void check_mirror(void)
{
	for (unsigned int page = 0; page < GUEST_PAGES; page++)
		ck_assert_msg(world.mirror[page] == world.original[page],
			      "seed %" PRIu64 " round %u: guest page %u was lost", model.seed, model.round, page);
}

static void finish_round(void)
{
	VFM_OPTS(vfm_tracker_report, report);

	storm(30);
	world.sender = NULL;
	for (unsigned int i = 0; i < DEVICES; i++)
		quieten(&world.devices[i]);
	MUST(vfm_tracker_sync(tracker, VFM_TRACKER_FINAL | VFM_TRACKER_QUIET, &report, &error));
	ck_assert_uint_eq(report.dirty, vfm_bitmap_count(words, 0, tracker->sink.to.pages));
	take();
	check_mirror();
}

static void run_round(void)
{
	static const uint32_t masks[] = { 0, 0, 0, 4 | 8, 2, 8, 1 };

	machine_make();
	memset(&model.areas, 0, sizeof(model.areas));
	memset(&model.joined, 0, sizeof(model.joined));
	memset(&model.moved, 0, sizeof(model.moved));
	random_state = model.seed + model.round;
	world.unmaps_with_bits = one_in(2);
	world.fails_late = one_in(2);
	world.sender = one_in(2) ? take : NULL;
	for (unsigned int i = 0; i < DEVICES; i++) {
		world.devices[i].has_log = one_in(2);
		world.devices[i].wide = one_in(2);
		world.devices[i].loud = one_in(2);
		world.devices[i].migrates = !one_in(4);
		world.devices[i].page_shift = 12 + (unsigned int)below(3);
	}
	model.page_shift = 12 + (unsigned int)below(4);
	machine_track(model.page_shift, masks[below(VFMI_ARRAY_SIZE(masks))]);
	for (model.step = 0; model.step < 60; model.step++)
		make_step();
	finish_round();
	machine_end();
}

START_TEST(mirror_equals_original)
{
	const uint64_t rounds = number_from("VFIOMIG_TRACKER_ROUNDS", 4000);

	model.seed = number_from("VFIOMIG_TRACKER_SEED", (uint64_t)time(NULL));
	printf("# VFIOMIG_TRACKER_SEED=%" PRIu64 "\n", model.seed);
	fflush(stdout);
	for (model.round = 0; model.round < rounds; model.round++)
		run_round();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tracker model");
	TCase *tcase = tcase_create("model");

	tcase_set_timeout(tcase, 100);
	tcase_add_test(tcase, mirror_equals_original);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
