// SPDX-License-Identifier: MIT
/*
 * The tracker while devices never stop writing: a mirror made of nothing but the pages it reports is the memory in the
 * end. Areas, devices and resets come and go meanwhile. The devices are those of vfiomig_soft: two behind an IOMMU,
 * two without.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dirty.h"

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
/* In a layout of parts a block is one map and two areas: its last pages come first there, as many as this. */
#define PART_PAGES 20u
#define PART_BYTES (PART_PAGES * PAGE)
#define REST_BYTES (BLOCK_BYTES - PART_BYTES)
#define NO_BLOCK BLOCKS

struct machine {
	struct env *env;
	const struct layout *layout;
	uint8_t *memory;
	uint8_t *parts; /* the same with the parts of blocks as they are mapped */
	uint8_t *mirror;
	struct vfm_iommu *iommus[SPACES];
	struct vfm_device *devs[SEATS];
	unsigned int blocks[SPACES][SLOTS]; /* what is mapped there, or NO_BLOCK */
	struct vfm_tracker *tracker;
	uint64_t bitmap[PAGES / 64];
	uint64_t least; /* pages that a sync has found */
	uint64_t reported;
	unsigned int restarted;
	unsigned int lost; /* logs, so that as many must be restarted at least */
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

static int map_memory(struct machine *m, unsigned int space, uint64_t iova, uint64_t length, uint8_t *memory)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };
	struct env *env = m->env;

	map.vaddr = memory;
	map.length = length;
	map.iova = iova;
	OK(vfm_iommu_map(m->iommus[space], &map, &env->err));
	return 0;
}

static int map_area(struct machine *m, unsigned int space, uint64_t iova, uint64_t length, uint64_t guest)
{
	struct env *env = m->env;

	if (map_memory(m, space, iova, length, m->memory + guest))
		return -1;
	OK(vfm_tracker_map(m->tracker, m->iommus[space], iova, length, guest, &env->err));
	return 0;
}

static int map_block(struct machine *m, unsigned int space, uint64_t iova, unsigned int page)
{
	struct vfm_iommu *iommu = m->iommus[space];
	uint64_t guest = page * PAGE;
	struct env *env = m->env;

	if (!m->layout->parts)
		return map_area(m, space, iova, BLOCK_BYTES, guest);
	if (map_memory(m, space, iova, BLOCK_BYTES, m->parts + guest))
		return -1;
	OK(vfm_tracker_map(m->tracker, iommu, iova, PART_BYTES, guest + REST_BYTES, &env->err));
	OK(vfm_tracker_map(m->tracker, iommu, iova + PART_BYTES, REST_BYTES, guest, &env->err));
	return 0;
}

static int unmap_block(struct machine *m, unsigned int space, uint64_t iova, uint32_t flags)
{
	struct vfm_iommu *iommu = m->iommus[space];
	struct env *env = m->env;

	if (m->layout->parts) {
		flags |= VFM_TRACKER_KEEP_MAP;
		OK(vfm_tracker_unmap(m->tracker, iommu, iova, PART_BYTES, flags, &env->err));
		OK(vfm_tracker_unmap(m->tracker, iommu, iova + PART_BYTES, REST_BYTES, flags, &env->err));
	} else {
		OK(vfm_tracker_unmap(m->tracker, iommu, iova, BLOCK_BYTES, flags, &env->err));
	}
	if (flags & VFM_TRACKER_KEEP_MAP)
		OK(vfm_iommu_unmap(iommu, iova, BLOCK_BYTES, &env->err));
	return 0;
}

static uint64_t slot_iova(unsigned int slot)
{
	return IOVA + (BASE_PAGES + slot * BLOCK_PAGES) * PAGE;
}

static int fill_slot(struct machine *m, unsigned int space, unsigned int slot, unsigned int block)
{
	if (map_block(m, space, slot_iova(slot), BASE_PAGES + block * BLOCK_PAGES))
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

	if (unmap_block(m, space, slot_iova(slot), 0))
		return -1;
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

static int write_quietly(struct machine *m, unsigned int page)
{
	return soft_write(m->env, m->devs[0], QUIET_IOVA + page * PAGE + 64, 128, any(m, 1u << 30));
}

/*
 * A guest's driver takes away what its device does not use any more: what was written before is told, and where pages
 * are told apart nothing else is.
 */
static int unmap_quietly(struct machine *m, bool keep)
{
	struct env *env = m->env;
	uint64_t bits;

	if (map_block(m, 0, QUIET_IOVA, QUIET_PAGE) || round_trip(m, 0) || write_quietly(m, any(m, BLOCK_PAGES)) ||
	    unmap_block(m, 0, QUIET_IOVA, VFM_TRACKER_QUIET | (keep ? VFM_TRACKER_KEEP_MAP : 0)))
		return -1;
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
	struct vfm_iommu *iommu = m->iommus[seat->space];
	VFM_OPTS(vfm_open, open);
	struct env *env = m->env;

	open.name = env->names[seat->which];
	open.flags = vfm_iommu_backend(iommu) == VFM_BACKEND_IOMMUFD ? VFM_OPEN_CDEV : VFM_OPEN_GROUP;
	OK(vfm_device_open_with(env->ctx, &open, &m->devs[at], &env->err));
	OK(vfm_device_bind(m->devs[at], iommu, &env->err));
	if (soft_clear_knobs(env, m->devs[at]))
		return -1;
	for (unsigned int i = 0; i < 2; i++) {
		if (seat->knobs[i][0] && soft_set(env, m->devs[at], seat->knobs[i][0], seat->knobs[i][1]))
			return -1;
	}
	OK(vfm_device_attach(m->devs[at], &env->err));
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

/*
 * Where it will never write again a device has written before it was reset, and once more before anybody looks. With
 * @broken it gets into ERROR between.
 */
static int reset(struct machine *m, bool broken)
{
	struct env *env = m->env;

	if (map_block(m, 0, QUIET_IOVA, QUIET_PAGE) || round_trip(m, 0) || write_quietly(m, 5) || write_quietly(m, 30))
		return -1;
	if (broken && (soft_set(env, m->devs[0], VFIOMIG_SOFT_BREAK, 1) || (any(m, 2) && round_trip(m, 0))))
		return -1;
	OK(vfm_device_reset(m->devs[0], &env->err));
	m->lost += m->layout->seats[0].source == VFM_DIRTY_DEVICE_LOG;
	if (write_quietly(m, 7) || write_quietly(m, 40) || run_seat(m, 0) || round_trip(m, 0))
		return -1;
	REQUIRE_RESULT(differ(m, QUIET_PAGE, BLOCK_PAGES), 0);
	return unmap_block(m, 0, QUIET_IOVA, VFM_TRACKER_QUIET);
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
static int finish(struct machine *m)
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

/* @at of the file @fd is seen at @address, too. */
static bool see(uint8_t *address, uint64_t length, int fd, uint64_t at)
{
	return mmap(address, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)at) != MAP_FAILED;
}

/* The memory twice, in the order of guest addresses and with the parts of blocks as they are mapped. */
static bool open_parts(struct machine *m)
{
	int fd = memfd_create("parts", MFD_CLOEXEC);
	bool good = fd >= 0 && ftruncate(fd, PAGES * PAGE) == 0 && see(m->memory, PAGES * PAGE, fd, 0);

	for (uint64_t at = BASE_PAGES * PAGE; good && at < PAGES * PAGE; at += BLOCK_BYTES)
		good = see(m->parts + at, PART_BYTES, fd, at + REST_BYTES) &&
		       see(m->parts + at + PART_BYTES, REST_BYTES, fd, at);
	if (fd >= 0)
		close(fd);
	return good;
}

static int play(struct env *env, const struct layout *layout, int (*script)(struct machine *m))
{
	struct machine m = { .env = env, .layout = layout, .least = PAGES, .seed = 4711 };
	int r;

	pthread_mutex_init(&m.lock, NULL);
	m.memory = env_memory(env, PAGES * PAGE);
	m.mirror = env_memory(env, PAGES * PAGE);
	m.parts = layout->parts ? env_memory(env, PAGES * PAGE) : m.memory;
	REQUIRE(m.memory && m.parts && m.mirror && (!layout->parts || open_parts(&m)));
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
	if (number % 32 == 8 && reset(m, number % 64 == 8))
		return -1;
	if (number % 64 == 60 && m->layout->steal) {
		OK(m->layout->steal(m->devs[0]));
		m->lost++;
	}
	return 0;
}

static int count_hwpts(struct machine *m, uint32_t count)
{
	VFM_OPTS(vfm_hwpt, hwpt);
	struct env *env = m->env;

	OK(vfm_iommu_hwpt(m->iommus[0], count - 1, &hwpt));
	REQUIRE_RESULT(vfm_iommu_hwpt(m->iommus[0], count, &hwpt), -ENODATA);
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
	if (finish(m))
		return -1;
	REQUIRE_RESULT(differ(m, 0, PAGES), 0);
	REQUIRE(layout->all || m->least < PAGES / 2);
	REQUIRE(m->restarted >= m->lost);
	return layout->hwpts ? count_hwpts(m, layout->hwpts) : 0;
}

/*
 * What an IOMMU tells of an area of which the middle is not mapped leaves out all behind the hole: so all of the area
 * is reported, and of others no more than was written.
 */
static int hole(struct machine *m)
{
	const uint64_t end = BLOCK_BYTES / 4;
	struct env *env = m->env;

	if (round_trip(m, 0) || map_memory(m, 0, QUIET_IOVA, end, m->memory + QUIET_PAGE * PAGE) ||
	    map_memory(m, 0, QUIET_IOVA + 3 * end, end, m->memory + QUIET_PAGE * PAGE + 3 * end))
		return -1;
	OK(vfm_tracker_map(m->tracker, m->iommus[0], QUIET_IOVA, BLOCK_BYTES, QUIET_PAGE * PAGE, &env->err));
	copy_taken(m);
	m->least = PAGES;
	for (unsigned int number = 0; number < m->layout->rounds; number++) {
		if (write_quietly(m, 3) || write_quietly(m, BLOCK_PAGES - 3) || round_trip(m, 0))
			return -1;
		REQUIRE_RESULT(differ(m, QUIET_PAGE, BLOCK_PAGES), 0);
	}
	if (finish(m))
		return -1;
	REQUIRE_RESULT(differ(m, 0, PAGES), 0);
	REQUIRE(m->least < PAGES / 2);
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
	if (finish(m))
		return -1;
	REQUIRE(differ(m, 0, PAGES) > 0);
	return 0;
}

int dirty_everything(struct env *env, const struct layout *layout)
{
	return play(env, layout, everything);
}

int dirty_unnoticed(struct env *env, const struct layout *layout)
{
	return play(env, layout, unnoticed);
}

int dirty_hole(struct env *env, const struct layout *layout)
{
	return play(env, layout, hole);
}
