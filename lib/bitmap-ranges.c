/* SPDX-License-Identifier: MIT */
/* Bitmaps of dirty pages turned into ranges, a batch at a time; pure. */
#include "bitmap.h"

#define BATCH 512 /* edges looked for at once: what the next step reads is still at hand then */

/* The next word, without its bits outside [@first, @end). */
static void scan_partly(struct vfmi_bitmap_scan *scan, uint64_t first, uint64_t end)
{
	uint64_t base = scan->word * VFMI_WORD_BITS;
	uint64_t bits = scan->words[scan->word];

	if (first > base)
		bits &= UINT64_MAX << (first - base);
	if (end - base < VFMI_WORD_BITS)
		bits &= UINT64_MAX >> (VFMI_WORD_BITS - (end - base));
	vfmi_bitmap_scan_word(scan, bits);
}

/*
 * Whole runs from cursor->next on, until there are @enough edges of them; *@ret_next is where to go on. A run that is
 * open when there are enough begins in the last word looked at, and is left for the next time.
 */
static size_t scan_runs(const struct vfmi_bitmap_ops *ops, const struct vfm_bitmap_cursor *cursor, size_t enough,
			uint64_t *edges, uint64_t *ret_next)
{
	struct vfmi_bitmap_scan scan = { .words = cursor->words, .edges = edges };
	uint64_t end_word = cursor->end / VFMI_WORD_BITS;

	scan.word = cursor->next / VFMI_WORD_BITS;
	if (cursor->next % VFMI_WORD_BITS || scan.word == end_word)
		scan_partly(&scan, cursor->next, cursor->end);
	ops->scan(&scan, end_word, enough);
	if (scan.word == end_word && cursor->end % VFMI_WORD_BITS && scan.count < enough)
		scan_partly(&scan, 0, cursor->end);
	*ret_next = vfmi_min_u64(scan.word * VFMI_WORD_BITS, cursor->end);
	if (scan.count % 2 == 0)
		return scan.count;
	if (*ret_next == cursor->end) {
		edges[scan.count++] = cursor->end - 1;
		return scan.count;
	}
	*ret_next = edges[--scan.count];
	return scan.count;
}

/* Ranges being written into the caller's room. */
struct list {
	struct vfm_bitmap_range *ranges;
	size_t room;
	size_t count;
};

/*
 * One range is there, and room for all runs. Whether one joins the range before is not foretold by any processor: both
 * sides of the gap are written, and overwritten when the gap does not count.
 */
static void join_into_room(struct list *list, const uint64_t *edges, size_t edge_count, uint64_t join)
{
	struct vfm_bitmap_range *at = &list->ranges[list->count - 1];
	uint64_t last = at->last;

	for (size_t i = 0; i < edge_count; i += 2) {
		at[0].last = last;
		at[1].first = edges[i];
		at += edges[i] - last - 1 > join;
		last = edges[i + 1];
	}
	at->last = last;
	list->count = (size_t)(at - list->ranges) + 1;
}

/* Return: how many edges found their place, all or those before a run that needs a range of its own. */
static size_t join_runs(struct list *list, const uint64_t *edges, size_t edge_count, uint64_t join)
{
	size_t i = 0;

	if (list->count == 0 && edge_count > 0) {
		list->ranges[list->count++] = (struct vfm_bitmap_range){ .first = edges[0], .last = edges[1] };
		i = 2;
	}
	while (i < edge_count && list->count < list->room) {
		size_t some = (size_t)vfmi_min_u64(edge_count - i, 2 * (list->room - list->count));

		join_into_room(list, &edges[i], some, join);
		i += some;
	}
	for (; i < edge_count && edges[i] - list->ranges[list->count - 1].last - 1 <= join; i += 2)
		list->ranges[list->count - 1].last = edges[i + 1];
	return i;
}

/* The room itself is where edges are written to, as long as it has enough. */
static void fill_straight(const struct vfmi_bitmap_ops *ops, struct vfm_bitmap_cursor *cursor, struct list *list)
{
	while (cursor->next < cursor->end && list->room - list->count > VFMI_SCAN_SLACK) {
		size_t wanted = 2 * (list->room - list->count) - VFMI_SCAN_SLACK;

		list->count += scan_runs(ops, cursor, wanted, &list->ranges[list->count].first, &cursor->next) / 2;
	}
}

static void fill_joined(const struct vfmi_bitmap_ops *ops, struct vfm_bitmap_cursor *cursor, struct list *list)
{
	uint64_t edges[BATCH + VFMI_SCAN_SLACK];

	while (cursor->next < cursor->end) {
		/* One more than there is room for shows whether the last range is whole. */
		size_t wanted = 2 * (size_t)vfmi_min_u64(list->room - list->count + 1, BATCH / 2);
		uint64_t next;
		size_t found = scan_runs(ops, cursor, wanted, edges, &next);
		size_t placed = join_runs(list, edges, found, cursor->join);

		cursor->next = placed < found ? edges[placed] : next;
		if (placed < found)
			break;
	}
}

size_t vfmi_bitmap_ranges(const struct vfmi_bitmap_ops *ops, struct vfm_bitmap_cursor *cursor,
			  struct vfm_bitmap_range *ret, size_t room)
{
	struct list list = { .ranges = ret, .room = room };

	if (cursor->join == 0)
		fill_straight(ops, cursor, &list);
	fill_joined(ops, cursor, &list);
	return list.count;
}

int vfm_bitmap_ranges(struct vfm_bitmap_cursor *cursor, struct vfm_bitmap_range *ret, size_t room, size_t *ret_count)
{
	struct vfm_bitmap_cursor walk;
	int r = vfmi_sized_in(&walk, sizeof(walk), cursor, VFMI_SIZE_TO(struct vfm_bitmap_cursor, join));

	if (r < 0)
		return r;
	if (walk.reserved || walk.next > walk.end || (!walk.words && walk.next < walk.end) || !ret || room == 0)
		return -EINVAL;
	*ret_count = vfmi_bitmap_ranges(vfmi_bitmap_ops(), &walk, ret, room);
	cursor->next = walk.next;
	return 0;
}
