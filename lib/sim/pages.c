/* SPDX-License-Identifier: MIT */
/*
 * Sets of written pages in the machine file: sorted runs of addresses that neither meet nor touch. Neither a full set
 * nor the death of who changes one loses a page: such a set becomes that of all addresses.
 */
#include "pages.h"
#include "uapi/vfio.h"

#define BITS_CHUNK 512u /* words of a bitmap moved at once */

static struct sim_pages *table(const struct vfm_sim *sim)
{
	return (struct sim_pages *)(void *)((char *)sim->machine + sim->machine->pages_at);
}

struct sim_pages *vfmi_sim_pages(const struct vfm_sim *sim, enum sim_pages_of of, uint32_t index)
{
	static const uint32_t begin[] = {
		[SIM_PAGES_HWPT] = 0,
		[SIM_PAGES_SPACE] = SIM_MAX_HWPTS,
		[SIM_PAGES_LOG] = SIM_MAX_HWPTS + SIM_MAX_SPACES,
		[SIM_PAGES_LOGGED] = SIM_MAX_HWPTS + SIM_MAX_SPACES + SIM_MAX_DEVICES,
	};

	return &table(sim)[begin[of] + index];
}

/* The lowest run that does not end below @address. */
static uint32_t find(const struct sim_pages *set, uint64_t address)
{
	uint32_t low = 0, high = set->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (set->run[middle].last < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Runs from @from until before @to give way to @count others; false when there is no room. */
static bool replace(struct vfm_sim *sim, struct sim_pages *set, uint32_t from, uint32_t to,
		    const struct sim_window *with, uint32_t count)
{
	uint32_t total = set->count - (to - from) + count;

	if (total > SIM_MAX_RUNS)
		return false;
	__atomic_store_n(&set->changing, 1, __ATOMIC_SEQ_CST);
	__atomic_or_fetch(&sim->machine->busy, SIM_BUSY_PAGES, __ATOMIC_SEQ_CST);
	memmove(&set->run[from + count], &set->run[to], (set->count - to) * sizeof(set->run[0]));
	if (count)
		memcpy(&set->run[from], with, count * sizeof(set->run[0]));
	set->count = total;
	__atomic_store_n(&set->changing, 0, __ATOMIC_SEQ_CST);
	__atomic_and_fetch(&sim->machine->busy, ~(uint32_t)SIM_BUSY_PAGES, __ATOMIC_SEQ_CST);
	return true;
}

static void hold_everything(struct vfm_sim *sim, struct sim_pages *set)
{
	const struct sim_window all = { 0, UINT64_MAX };

	(void)replace(sim, set, 0, set->count, &all, 1);
}

void vfmi_sim_pages_clear(struct vfm_sim *sim, struct sim_pages *set)
{
	if (set->count)
		(void)replace(sim, set, 0, set->count, NULL, 0);
}

void vfmi_sim_pages_add(struct vfm_sim *sim, struct sim_pages *set, uint64_t first, uint64_t last)
{
	uint32_t from = find(set, first ? first - 1 : 0), to;
	struct sim_window run = { first, last };

	for (to = from; to < set->count && (set->run[to].first <= last || set->run[to].first - 1 == last); to++) {
		run.first = vfmi_min_u64(run.first, set->run[to].first);
		if (run.last < set->run[to].last)
			run.last = set->run[to].last;
	}
	if (!replace(sim, set, from, to, &run, 1))
		hold_everything(sim, set);
}

/* Where a run would be cut in two and there is no room for that it stays: too much is told, never too little. */
void vfmi_sim_pages_remove(struct vfm_sim *sim, struct sim_pages *set, uint64_t first, uint64_t last)
{
	uint32_t from = find(set, first), to, count = 0;
	struct sim_window rest[2];

	for (to = from; to < set->count && set->run[to].first <= last; to++) {
		if (set->run[to].first < first)
			rest[count++] = (struct sim_window){ set->run[to].first, first - 1 };
		if (set->run[to].last > last)
			rest[count++] = (struct sim_window){ last + 1, set->run[to].last };
	}
	if (from < to)
		(void)replace(sim, set, from, to, rest, count);
}

bool vfmi_sim_pages_next(const struct sim_pages *set, uint64_t first, uint64_t last, struct sim_window *ret)
{
	uint32_t at = find(set, first);

	if (at == set->count || set->run[at].first > last)
		return false;
	ret->first = set->run[at].first < first ? first : set->run[at].first;
	ret->last = vfmi_min_u64(set->run[at].last, last);
	return true;
}

void vfmi_sim_pages_repair(struct vfm_sim *sim)
{
	uint32_t i;

	for (i = 0; i < SIM_PAGE_SETS; i++)
		if (table(sim)[i].changing) {
			table(sim)[i].count = 0;
			hold_everything(sim, &table(sim)[i]);
		}
	__atomic_and_fetch(&sim->machine->busy, ~(uint32_t)SIM_BUSY_PAGES, __ATOMIC_SEQ_CST);
}

/* what devices and programs do */

static void add_pages(struct vfm_sim *sim, struct sim_pages *set, uint64_t first, uint64_t last, uint64_t page)
{
	vfmi_sim_pages_add(sim, set, first & ~(page - 1), last | (page - 1));
}

static void wrote_logged(struct vfm_sim *sim, const struct sim_device *dev, uint64_t first, uint64_t last)
{
	const struct sim_pages *logged = vfmi_sim_pages(sim, SIM_PAGES_LOGGED, vfmi_sim_index(sim, dev));
	struct sim_pages *log = vfmi_sim_pages(sim, SIM_PAGES_LOG, vfmi_sim_index(sim, dev));
	struct sim_window part;

	while (vfmi_sim_pages_next(logged, first, last, &part)) {
		add_pages(sim, log, part.first, part.last, 1ull << dev->log_shift);
		if (part.last == last)
			break;
		first = part.last + 1;
	}
}

void vfmi_sim_wrote(struct vfm_sim *sim, const struct sim_device *dev, uint64_t iova, uint64_t length)
{
	const struct sim_machine *machine = sim->machine;
	uint64_t last = iova + (length - 1);

	if (dev->hwpt && machine->hwpt[dev->hwpt - 1].tracking)
		add_pages(sim, vfmi_sim_pages(sim, SIM_PAGES_HWPT, dev->hwpt - 1), iova, last, machine->page_size);
	if (vfmi_sim_quirk(dev, SIM_MDEV) && machine->space[dev->space - 1].tracking)
		add_pages(sim, vfmi_sim_pages(sim, SIM_PAGES_SPACE, dev->space - 1), iova, last, machine->page_size);
	if (dev->log_shift)
		wrote_logged(sim, dev, iova, last);
}

void vfmi_sim_pages_unmapped(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last)
{
	const struct sim_hwpt *hwpt = sim->machine->hwpt;
	uint32_t i;

	for (i = 0; i < SIM_MAX_HWPTS; i++)
		if (hwpt[i].id && hwpt[i].tracking && hwpt[i].space == slot)
			vfmi_sim_pages_remove(sim, vfmi_sim_pages(sim, SIM_PAGES_HWPT, i), first, last);
	if (sim->machine->space[slot].tracking)
		vfmi_sim_pages_remove(sim, vfmi_sim_pages(sim, SIM_PAGES_SPACE, slot), first, last);
}

/* bitmaps */

static uint64_t mask(uint64_t word, uint64_t from, uint64_t to)
{
	uint64_t low = word == from / 64 ? from % 64 : 0, high = word == to / 64 ? to % 64 : 63;

	return UINT64_MAX >> (63 - (high - low)) << low;
}

/* Bits @from to @to, piece by piece. */
static bool set_bits(const struct vfm_sim *sim, uint64_t data, uint64_t from, uint64_t to)
{
	uint64_t words[BITS_CHUNK], word = from / 64, i, n;

	for (; word <= to / 64; word += n) {
		n = vfmi_min_u64(BITS_CHUNK, to / 64 - word + 1);
		if (!vfmi_sim_memory((uint32_t)sim->pid, data + word * 8, words, (size_t)n * 8, false))
			return false;
		for (i = 0; i < n; i++)
			words[i] |= mask(word + i, from, to);
		if (!vfmi_sim_memory((uint32_t)sim->pid, data + word * 8, words, (size_t)n * 8, true))
			return false;
	}
	return true;
}

/* Their numbers, as far as the bitmap's last word goes; false: there is none. */
static bool to_bits(const struct sim_bits *bits, uint64_t first, uint64_t last, uint64_t *ret_from, uint64_t *ret_to)
{
	const uint64_t final = ((bits->length - 1) >> bits->shift) | 63;

	if (last < bits->iova)
		return false;
	*ret_from = first < bits->iova ? 0 : (first - bits->iova) >> bits->shift;
	*ret_to = vfmi_min_u64((last - bits->iova) >> bits->shift, final);
	return *ret_from <= *ret_to;
}

bool vfmi_sim_bits_set(const struct vfm_sim *sim, const struct sim_bits *bits, uint64_t first, uint64_t last)
{
	uint64_t from, to;

	return !to_bits(bits, first, last, &from, &to) || set_bits(sim, bits->data, from, to);
}

bool vfmi_sim_bits_clear(const struct vfm_sim *sim, const struct sim_bits *bits, uint64_t first, uint64_t last)
{
	static const uint64_t zeros[BITS_CHUNK];
	uint64_t from, to, word, n;

	if (!to_bits(bits, first, last, &from, &to))
		return true;
	for (word = (from + 63) / 64; word <= to / 64; word += n) {
		n = vfmi_min_u64(BITS_CHUNK, to / 64 - word + 1);
		if (!vfmi_sim_memory((uint32_t)sim->pid, bits->data + word * 8, (void *)(uintptr_t)zeros, (size_t)n * 8,
				     true))
			return false;
	}
	return true;
}

bool vfmi_sim_pages_tell(struct vfm_sim *sim, struct sim_pages *set, uint64_t first, uint64_t last,
			 const struct sim_bits *bits, bool keep)
{
	struct sim_window part;
	uint64_t from = first;
	bool told = true;

	while (vfmi_sim_pages_next(set, from, last, &part)) {
		told &= vfmi_sim_bits_set(sim, bits, part.first, part.last);
		if (part.last == last)
			break;
		from = part.last + 1;
	}
	if (!keep)
		vfmi_sim_pages_remove(sim, set, first, last);
	return told;
}
