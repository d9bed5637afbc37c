// SPDX-License-Identifier: MIT
/*
 * The tracker while devices never stop writing: a mirror made of nothing but the pages it reports is the memory in the
 * end. Areas, devices and resets come and go meanwhile. The devices are those of vfiomig_soft: two behind an IOMMU,
 * two without.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "../kmod/vfiomig_soft.h"
#include "lab.h"

/*
 * Memory is guest addresses from 0: the base, always mapped, and some blocks. IOVAs from IOVA on: the base, and slots,
 * where now this block is and now that one, or none. Devices write to all of the IOVAs, mapped or not. The last block
 * is seen elsewhere, at QUIET_IOVA, where devices write only when they are told to.
 */
#define IOVA 0x100000ull
#define BASE_PAGES 128u
#define BLOCK_PAGES 64u
#define BLOCKS 3u
#define SLOTS 2u
#define QUIET_PAGE (BASE_PAGES + BLOCKS * BLOCK_PAGES)
#define PAGES (QUIET_PAGE + BLOCK_PAGES)
#define WINDOW_PAGES (BASE_PAGES + SLOTS * BLOCK_PAGES)
#define QUIET_IOVA (IOVA + 2 * WINDOW_PAGES * PAGE)
#define BLOCK_BYTES (BLOCK_PAGES * PAGE)
#define SPACES 2u
#define SEATS 4u
#define NO_BLOCK BLOCKS

#define KNOB(name) VFIOMIG_SOFT_KNOB(VFIOMIG_SOFT_KNOB_##name)
#define LOG (1u << VFM_DIRTY_DEVICE_LOG)
#define HWPT (1u << VFM_DIRTY_HWPT)
#define TYPE1 (1u << VFM_DIRTY_TYPE1)

/*
 * A device: in which space, by which source it is to be seen, how it is set up before. A visitor comes and goes.
 */
struct seat {
	enum which which;
	unsigned int space;
	uint32_t source;
	bool visitor;
	uint64_t mode;
	uint64_t run;
	uint64_t knobs[2][2]; /* register, value */
};

struct layout {
	uint32_t backends[SPACES];
	uint32_t iommu_flags;
	uint32_t sources;
	uint32_t flags;
	const char *log_pages; /* reports begin at multiples of that many; NULL: 1 */
	unsigned int rounds;
	bool all; /* nothing is told apart: every sync reports all */
	int (*steal)(struct vfm_device *dev);
	unsigned int seat_count;
	struct seat seats[SEATS];
};

struct machine {
	struct env *env;
	const struct layout *layout;
	uint8_t *memory;
	uint8_t *mirror;
	struct vfm_iommu *iommus[SPACES];
	struct vfm_device *devs[SEATS];
	unsigned int blocks[SPACES][SLOTS]; /* what is mapped there, or NO_BLOCK */
	struct vfm_tracker *tracker;
	uint64_t bitmap[PAGES / 64];
	uint64_t least; /* pages that a sync has found */
	uint64_t reported;
	unsigned int restarted;
	unsigned int seed;
	pthread_mutex_t lock; /* of the mirror */
	pthread_t sender;
	bool sends;
	atomic_bool over;
};

static unsigned int any(struct machine *m, unsigned int below)
{
	return (unsigned int)rand_r(&m->seed) % below;
}

/* the mirror */

static uint64_t copy_taken(struct machine *m)
{
	uint64_t taken[PAGES / 64] = { 0 };
	uint64_t count;

	pthread_mutex_lock(&m->lock);
	count = vfm_bitmap_take(m->bitmap, 0, PAGES, VFM_BITMAP_WORDS, taken, 0);
	lab_copy_pages(m->mirror, m->memory, taken, PAGES);
	pthread_mutex_unlock(&m->lock);
	return count;
}

/* Beside a tracker that is shared, bits go at any moment. */
static void *send_all_the_time(void *user)
{
	struct machine *m = user;

	while (!atomic_load(&m->over)) {
		copy_taken(m);
		env_sleep_ms(m->env, 1);
	}
	return NULL;
}

static unsigned int differ(const struct machine *m, unsigned int first, unsigned int pages)
{
	return lab_pages_differ(m->mirror + first * PAGE, m->memory + first * PAGE, pages);
}

static unsigned int unseen(const struct machine *m)
{
	unsigned int count = 0;

	for (unsigned int at = 0; at < SEATS; at++)
		count += m->devs[at] && m->layout->seats[at].source == VFM_DIRTY_NONE;
	return count;
}

static int round_trip(struct machine *m, uint32_t flags)
{
	VFM_OPTS(vfm_tracker_report, report);
	struct env *env = m->env;
	uint64_t count;

	OK(vfm_tracker_sync(m->tracker, flags, &report, &env->err));
	REQUIRE(report.unseen == unseen(m));
	m->restarted += report.restarted;
	count = copy_taken(m);
	REQUIRE(m->sends || count == report.dirty);
	m->reported += count;
	if (count < m->least)
		m->least = count;
	return 0;
}

/* areas */

static int map_area(struct machine *m, unsigned int space, uint64_t iova, uint64_t length, uint64_t guest)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };
	struct env *env = m->env;

	map.vaddr = m->memory + guest;
	map.length = length;
	map.iova = iova;
	OK(vfm_iommu_map(m->iommus[space], &map, &env->err));
	OK(vfm_tracker_map(m->tracker, m->iommus[space], iova, length, guest, &env->err));
	return 0;
}

static uint64_t slot_iova(unsigned int slot)
{
	return IOVA + (BASE_PAGES + slot * BLOCK_PAGES) * PAGE;
}

static int fill_slot(struct machine *m, unsigned int space, unsigned int slot, unsigned int block)
{
	if (map_area(m, space, slot_iova(slot), BLOCK_BYTES, (BASE_PAGES + block * BLOCK_PAGES) * PAGE))
		return -1;
	m->blocks[space][slot] = block;
	return 0;
}

static bool is_mapped(const struct machine *m, unsigned int block)
{
	for (unsigned int space = 0; space < SPACES; space++) {
		for (unsigned int slot = 0; slot < SLOTS; slot++) {
			if (m->blocks[space][slot] == block)
				return true;
		}
	}
	return false;
}

/* A block that nobody reaches any more has no page that was written and not told. */
static int empty_slot(struct machine *m, unsigned int space, unsigned int slot)
{
	unsigned int block = m->blocks[space][slot];
	struct env *env = m->env;

	OK(vfm_tracker_unmap(m->tracker, m->iommus[space], slot_iova(slot), BLOCK_BYTES, 0, &env->err));
	m->blocks[space][slot] = NO_BLOCK;
	copy_taken(m);
	if (!is_mapped(m, block))
		REQUIRE_RESULT(differ(m, BASE_PAGES + block * BLOCK_PAGES, BLOCK_PAGES), 0);
	return 0;
}

static int change_slot(struct machine *m)
{
	unsigned int space = any(m, m->iommus[1] ? 2 : 1);
	unsigned int slot = any(m, SLOTS);

	if (m->blocks[space][slot] != NO_BLOCK && empty_slot(m, space, slot))
		return -1;
	return any(m, 4) ? fill_slot(m, space, slot, any(m, BLOCKS)) : 0;
}

/*
 * A guest's driver takes away what its device does not use any more: what was written before is told, and where pages
 * are told apart nothing else is.
 */
static int unmap_quietly(struct machine *m, bool keep)
{
	struct env *env = m->env;
	uint64_t bits;

	if (map_area(m, 0, QUIET_IOVA, BLOCK_BYTES, QUIET_PAGE * PAGE) || round_trip(m, 0) ||
	    soft_write(env, m->devs[0], QUIET_IOVA + 5 * PAGE + 64, 128, any(m, 1u << 30)))
		return -1;
	OK(vfm_tracker_unmap(m->tracker, m->iommus[0], QUIET_IOVA, BLOCK_BYTES,
			     VFM_TRACKER_QUIET | (keep ? VFM_TRACKER_KEEP_MAP : 0), &env->err));
	if (keep)
		OK(vfm_iommu_unmap(m->iommus[0], QUIET_IOVA, BLOCK_BYTES, &env->err));
	bits = vfm_bitmap_count(m->bitmap, QUIET_PAGE, BLOCK_PAGES);
	if (!m->sends && !m->layout->all)
		REQUIRE_RESULT(bits, 1);
	copy_taken(m);
	REQUIRE_RESULT(differ(m, QUIET_PAGE, BLOCK_PAGES), 0);
	return 0;
}

/* devices */

static int open_seat(struct machine *m, unsigned int at)
{
	const struct seat *seat = &m->layout->seats[at];
	struct env *env = m->env;

	OK(vfm_device_open_attached(env->ctx, env->names[seat->which], m->iommus[seat->space], &m->devs[at],
				    &env->err));
	if (soft_clear_knobs(env, m->devs[at]))
		return -1;
	for (unsigned int i = 0; i < 2; i++) {
		if (seat->knobs[i][0] && soft_set(env, m->devs[at], seat->knobs[i][0], seat->knobs[i][1]))
			return -1;
	}
	return 0;
}

static int run_seat(struct machine *m, unsigned int at)
{
	const struct seat *seat = &m->layout->seats[at];

	if (seat->mode && soft_set(m->env, m->devs[at], VFIOMIG_SOFT_DMA_MODE, seat->mode))
		return -1;
	return soft_run(m->env, m->devs[at], IOVA, WINDOW_PAGES, seat->run);
}

static int join(struct machine *m, unsigned int at)
{
	VFM_OPTS(vfm_tracker_device, seen);
	struct env *env = m->env;

	OK(vfm_tracker_join(m->tracker, m->devs[at], &env->err));
	OK(vfm_tracker_device(m->tracker, m->devs[at], &seen));
	if (seen.source != m->layout->seats[at].source)
		printf("# %s: source %u: %s\n", vfm_device_name(m->devs[at]), seen.source, seen.why);
	REQUIRE(seen.source == m->layout->seats[at].source);
	return 0;
}

static int stop(struct machine *m, unsigned int at)
{
	uint32_t state = VFM_STATE_UNKNOWN;
	struct env *env = m->env;

	OK(vfm_device_set_state(m->devs[at], VFM_STATE_STOP, &state, &env->err));
	REQUIRE(state == VFM_STATE_STOP);
	return 0;
}

static int visit(struct machine *m, unsigned int at)
{
	struct env *env = m->env;

	if (!m->devs[at])
		return open_seat(m, at) || join(m, at) || run_seat(m, at);
	REQUIRE_RESULT(vfm_tracker_leave(m->tracker, m->devs[at], 0, &env->err), -EBUSY);
	if (stop(m, at))
		return -1;
	OK(vfm_tracker_leave(m->tracker, m->devs[at], 0, &env->err));
	vfm_device_close(m->devs[at]);
	m->devs[at] = NULL;
	return 0;
}

static int visitors(struct machine *m)
{
	for (unsigned int at = 0; at < m->layout->seat_count; at++) {
		if (m->layout->seats[at].visitor && visit(m, at))
			return -1;
	}
	return 0;
}

/* the machine */

static int open_spaces(struct machine *m)
{
	const char *pages = m->layout->log_pages;
	VFM_OPTS(vfm_iommu_options, options);
	struct env *env = m->env;

	if (pages)
		OK(vfm_context_set_quirk(env->ctx, "vfiomig_soft", "dma-log-pages", pages, &env->err));
	for (unsigned int i = 0; i < SPACES && m->layout->backends[i]; i++) {
		options.backend = m->layout->backends[i];
		options.flags = options.backend == VFM_BACKEND_IOMMUFD ? m->layout->iommu_flags : 0;
		OK(vfm_iommu_open(env->ctx, &options, &m->iommus[i], &env->err));
	}
	return 0;
}

static int open_tracker(struct machine *m)
{
	VFM_OPTS(vfm_tracker_opts, opts);
	struct env *env = m->env;

	opts.flags = m->layout->flags;
	opts.sources = m->layout->sources;
	opts.bitmap.size = sizeof(opts.bitmap);
	opts.bitmap.page_shift = 12;
	opts.bitmap.words = m->bitmap;
	opts.bitmap.pages = PAGES;
	OK(vfm_tracker_new(env->ctx, &opts, &m->tracker, &env->err));
	return 0;
}

/* Devices write before anybody looks: what they have written until then is in what is sent once. */
static int begin(struct machine *m)
{
	const struct layout *layout = m->layout;

	if (open_spaces(m) || open_tracker(m))
		return -1;
	for (unsigned int at = 0; at < layout->seat_count; at++) {
		if (!layout->seats[at].visitor && open_seat(m, at))
			return -1;
	}
	for (unsigned int i = 0; i < SPACES && m->iommus[i]; i++) {
		if (map_area(m, i, IOVA, BASE_PAGES * PAGE, 0) || fill_slot(m, i, 0, i))
			return -1;
	}
	for (unsigned int at = 0; at < layout->seat_count; at++) {
		if (m->devs[at] && (run_seat(m, at) || soft_wait_writes(m->env, m->devs[at], 50) || join(m, at)))
			return -1;
	}
	/* all of it, once */
	vfm_bitmap_set(m->bitmap, 0, PAGES, false);
	copy_taken(m);
	if (layout->flags & VFM_TRACKER_SHARED)
		m->sends = pthread_create(&m->sender, NULL, send_all_the_time, m) == 0;
	return 0;
}

static void stop_sending(struct machine *m)
{
	atomic_store(&m->over, true);
	if (m->sends)
		pthread_join(m->sender, NULL);
	m->sends = false;
}

/* Refused as long as one of them runs, and the books are as before. */
static int end(struct machine *m)
{
	VFM_OPTS(vfm_tracker_report, report);
	struct env *env = m->env;

	stop_sending(m);
	copy_taken(m);
	for (unsigned int at = 0; at < m->layout->seat_count; at++) {
		if (!m->devs[at])
			continue;
		REQUIRE_RESULT(vfm_tracker_sync(m->tracker, VFM_TRACKER_FINAL, &report, &env->err), -EBUSY);
		REQUIRE(vfm_bitmap_count(m->bitmap, 0, PAGES) == 0);
		if (soft_wait_writes(env, m->devs[at], 20) || stop(m, at))
			return -1;
	}
	return round_trip(m, VFM_TRACKER_FINAL);
}

static void dispose(struct machine *m)
{
	stop_sending(m);
	pthread_mutex_destroy(&m->lock);
	vfm_tracker_free(m->tracker);
	for (unsigned int at = 0; at < SEATS; at++)
		vfm_device_close(m->devs[at]);
	for (unsigned int i = 0; i < SPACES; i++)
		vfm_iommu_close(m->iommus[i]);
}

static int play(struct env *env, const struct layout *layout, int (*script)(struct machine *m))
{
	struct machine m = { .env = env, .layout = layout, .least = PAGES, .seed = 4711 };
	int r;

	pthread_mutex_init(&m.lock, NULL);
	m.memory = env_memory(env, PAGES * PAGE);
	m.mirror = env_memory(env, PAGES * PAGE);
	REQUIRE(m.memory && m.mirror);
	memset(m.memory, 0x11, PAGES * PAGE);
	for (unsigned int i = 0; i < SPACES; i++) {
		for (unsigned int slot = 0; slot < SLOTS; slot++)
			m.blocks[i][slot] = NO_BLOCK;
	}
	r = begin(&m) || script(&m) ? -1 : 0;
	dispose(&m);
	printf("# %u rounds, %llu pages reported, at least %llu in one, %u logs lost\n", layout->rounds,
	       (unsigned long long)m.reported, (unsigned long long)m.least, m.restarted);
	return r;
}

/* the scripts */

static int disturb(struct machine *m, unsigned int number)
{
	struct env *env = m->env;

	if (number % 8 == 3 && change_slot(m))
		return -1;
	if (number % 16 == 9 && visitors(m))
		return -1;
	if (number % 16 == 14 && unmap_quietly(m, number % 32 == 14))
		return -1;
	if (number % 64 == 40) {
		OK(vfm_device_reset(m->devs[0], &env->err));
		if (run_seat(m, 0))
			return -1;
	}
	if (number % 64 == 60 && m->layout->steal)
		OK(m->layout->steal(m->devs[0]));
	return 0;
}

static int everything(struct machine *m)
{
	const struct layout *layout = m->layout;
	struct env *env = m->env;

	for (unsigned int number = 0; number < layout->rounds; number++) {
		if (disturb(m, number) || soft_wait_writes(env, m->devs[0], 4) || round_trip(m, 0))
			return -1;
	}
	if (end(m))
		return -1;
	REQUIRE_RESULT(differ(m, 0, PAGES), 0);
	REQUIRE(layout->all || m->least < PAGES / 2);
	REQUIRE(!layout->steal || m->restarted >= layout->rounds / 64);
	return 0;
}

/* The mirror itself on trial: writes that nobody is told of must show in it. */
static int unnoticed(struct machine *m)
{
	struct env *env = m->env;

	if (soft_set(env, m->devs[0], KNOB(dirty_miss), 2))
		return -1;
	for (unsigned int number = 0; number < m->layout->rounds; number++) {
		if (soft_wait_writes(env, m->devs[0], 50) || round_trip(m, 0))
			return -1;
	}
	if (end(m))
		return -1;
	REQUIRE(differ(m, 0, PAGES) > 0);
	return 0;
}

static int by_log(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.sources = LOG,
		.rounds = 200,
		.steal = soft_steal_log,
		.seat_count = 3,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_DEVICE_LOG },
			{ .which = SECOND, .source = VFM_DIRTY_DEVICE_LOG, .visitor = true,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE },
			{ .which = THIRD, .source = VFM_DIRTY_DEVICE_LOG, .run = VFIOMIG_SOFT_RUN_READS },
		},
	};

	return play(env, &layout, everything);
}

/* A driver with one range, and one that answers for 64 pages at a time and tells no less than 16 KiB apart. */
static int by_poor_log(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.sources = LOG,
		.log_pages = "64",
		.rounds = 200,
		.steal = soft_steal_log,
		.seat_count = 2,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_DEVICE_LOG, .knobs = { { KNOB(log_max_ranges), 1 } } },
			{ .which = THIRD, .source = VFM_DIRTY_DEVICE_LOG, .visitor = true,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE,
			  .knobs = { { KNOB(log_align), 64 }, { KNOB(log_page), 16384 } } },
		},
	};

	return play(env, &layout, everything);
}

static int by_hwpt(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.iommu_flags = VFM_IOMMU_DIRTY_TRACKING,
		.sources = HWPT,
		.rounds = 200,
		.seat_count = 2,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_HWPT },
			{ .which = SECOND, .source = VFM_DIRTY_HWPT, .visitor = true,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE },
		},
	};

	return play(env, &layout, everything);
}

static int by_type1(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_TYPE1V2 },
		.sources = TYPE1,
		.rounds = 200,
		.steal = soft_steal_type1,
		.seat_count = 2,
		.seats = {
			{ .which = THIRD, .source = VFM_DIRTY_TYPE1 },
			{ .which = FOURTH, .source = VFM_DIRTY_TYPE1, .visitor = true, .mode = VFIOMIG_SOFT_PIN,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE },
		},
	};

	return play(env, &layout, everything);
}

/* Its pages are pinned all the time, so all are dirty all the time. */
static int by_type1_all(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_TYPE1V2 },
		.sources = TYPE1,
		.rounds = 64,
		.all = true,
		.seat_count = 2,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_TYPE1 },
			{ .which = THIRD, .source = VFM_DIRTY_TYPE1, .visitor = true },
		},
	};

	return play(env, &layout, everything);
}

static int by_all_at_once(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD, VFM_BACKEND_TYPE1V2 },
		.iommu_flags = VFM_IOMMU_DIRTY_TRACKING,
		.flags = VFM_TRACKER_SHARED,
		.rounds = 200,
		.seat_count = 4,
		.seats = {
			{ .which = FIRST, .source = VFM_DIRTY_HWPT, .knobs = { { KNOB(log_max_bytes), 4096 } } },
			{ .which = SECOND, .source = VFM_DIRTY_DEVICE_LOG, .visitor = true },
			{ .which = THIRD, .space = 1, .source = VFM_DIRTY_TYPE1,
			  .knobs = { { KNOB(log_max_bytes), 4096 } } },
			{ .which = FOURTH, .space = 0, .source = VFM_DIRTY_DEVICE_LOG,
			  .run = VFIOMIG_SOFT_RUN_STRADDLE },
		},
	};

	return play(env, &layout, everything);
}

static int by_nothing(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.rounds = 64,
		.all = true,
		.seat_count = 2,
		.seats = {
			{ .which = THIRD, .source = VFM_DIRTY_NONE, .knobs = { { KNOB(log_max_bytes), 4096 } } },
			{ .which = FIRST, .source = VFM_DIRTY_DEVICE_LOG, .visitor = true },
		},
	};

	return play(env, &layout, everything);
}

static int log_lies(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.sources = LOG,
		.rounds = 16,
		.seat_count = 1,
		.seats = { { .which = THIRD, .source = VFM_DIRTY_DEVICE_LOG } },
	};

	return play(env, &layout, unnoticed);
}

static int hwpt_lies(struct env *env)
{
	static const struct layout layout = {
		.backends = { VFM_BACKEND_IOMMUFD },
		.iommu_flags = VFM_IOMMU_DIRTY_TRACKING,
		.sources = HWPT,
		.rounds = 16,
		.seat_count = 1,
		.seats = { { .which = FIRST, .source = VFM_DIRTY_HWPT } },
	};

	return play(env, &layout, unnoticed);
}

const struct lab_test dirty_tests[] = {
	{ "dirty", "device logs", by_log },
	{ "dirty", "device logs of drivers that can do little", by_poor_log },
	{ "dirty", "page tables of the IOMMU", by_hwpt },
	{ "dirty", "type1, devices that pin and that copy", by_type1 },
	{ "dirty", "type1, a device behind an IOMMU", by_type1_all },
	{ "dirty", "all sources at once", by_all_at_once },
	{ "dirty", "a device that nobody sees", by_nothing },
	{ "dirty", "a log that misses writes is found out", log_lies },
	{ "dirty", "an IOMMU that misses writes is found out", hwpt_lies },
	{ NULL, NULL, NULL },
};
