/* SPDX-License-Identifier: MIT */
/*
 * Disjoint spans in order as a B+ tree whose nodes know the widest span below each child, which is what finds room
 * without looking at every span. Pure.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spans.h"

#define SLOTS 32u
#define LEAST (SLOTS / 2) /* in every node but the root */
#define MAX_HEIGHT 16u	  /* 16^16 spans are more than there are addresses */
#define SLACK 64u

/* What a slot holds beside the first address, as in struct vfmi_span. */
struct rest {
	union {
		uint64_t last;
		struct vfmi_span_node *child;
	};
	uint64_t widest[VFMI_SPAN_CLASSES]; /* or guard and cookie */
};

/* First addresses stand together: a search reads few cache lines, and all of them at once. */
struct vfmi_span_node {
	uint32_t count;
	struct vfmi_span_node *next; /* in the stock */
	uint64_t first[SLOTS];
	struct rest rest[SLOTS];
};

/* Bits of the alignments that widest[] is kept for, rising. */
static const unsigned int class_bits[VFMI_SPAN_CLASSES] = { 0, 21 };

/* ---- nodes ---- */

static struct vfmi_span_node *node_take(struct vfmi_span_stock *stock)
{
	struct vfmi_span_node *node = stock->nodes;

	stock->nodes = node->next;
	stock->count--;
	stock->in_use++;
	node->count = 0;
	return node;
}

static void node_put(struct vfmi_span_stock *stock, struct vfmi_span_node *node)
{
	node->next = stock->nodes;
	stock->nodes = node;
	stock->count++;
	stock->in_use--;
}

/* Of a tree: n/L leaves, n/L^2 nodes above them and so on, and a root, which may be nearly empty. */
static uint64_t nodes_at_most(uint64_t spans)
{
	return spans / (LEAST - 1) + MAX_HEIGHT;
}

int vfmi_span_stock_fill(struct vfmi_span_stock *stock, uint64_t a, uint64_t b)
{
	uint64_t wanted = nodes_at_most(a) + nodes_at_most(b);
	struct vfmi_span_node *node;

	while (stock->count + stock->in_use < wanted) {
		node = malloc(sizeof(*node));
		if (!node)
			return -ENOMEM;
		stock->in_use++;
		node_put(stock, node);
	}
	while (stock->count > 0 && stock->count + stock->in_use > wanted + SLACK) {
		node = node_take(stock);
		stock->in_use--;
		free(node);
	}
	return 0;
}

void vfmi_span_stock_clear(struct vfmi_span_stock *stock)
{
	while (stock->nodes) {
		struct vfmi_span_node *next = stock->nodes->next;

		free(stock->nodes);
		stock->nodes = next;
	}
	stock->count = 0;
}

/* Bytes from the first aligned address on; one too few for all 2^64. */
static uint64_t width(uint64_t first, uint64_t last, unsigned int bits)
{
	uint64_t mask = (1ull << bits) - 1;
	uint64_t aligned = (first + mask) & ~mask;

	if (aligned < first || aligned > last)
		return 0;
	return last - aligned == UINT64_MAX ? UINT64_MAX : last - aligned + 1;
}

struct vfmi_span vfmi_span_hole(uint64_t first, uint64_t last)
{
	struct vfmi_span hole = { .first = first, .last = last };

	for (unsigned int i = 0; i < VFMI_SPAN_CLASSES; i++)
		hole.widest[i] = width(first, last, class_bits[i]);
	return hole;
}

static struct vfmi_span slot_get(const struct vfmi_span_node *node, uint32_t at)
{
	struct vfmi_span span = { .first = node->first[at], .last = node->rest[at].last };

	memcpy(span.widest, node->rest[at].widest, sizeof(span.widest));
	return span;
}

static void slot_set(struct vfmi_span_node *node, uint32_t at, const struct vfmi_span *span)
{
	node->first[at] = span->first;
	node->rest[at].last = span->last;
	memcpy(node->rest[at].widest, span->widest, sizeof(span->widest));
}

/* Slot @at of @parent is to know of @node what is true. */
static void set_child(const struct vfmi_spans *spans, struct vfmi_span_node *parent, uint32_t at,
		      struct vfmi_span_node *node)
{
	struct rest sum = { .child = node };

	for (uint32_t i = 0; spans->holes && i < node->count; i++)
		for (unsigned int k = 0; k < VFMI_SPAN_CLASSES; k++)
			if (sum.widest[k] < node->rest[i].widest[k])
				sum.widest[k] = node->rest[i].widest[k];
	parent->first[at] = node->first[0];
	parent->rest[at] = sum;
}

/* The last slot that begins at @address or below; the first when there is none. Without a branch to be guessed. */
static uint32_t slot_of(const struct vfmi_span_node *node, uint64_t address)
{
	uint32_t below = 0;

	for (uint32_t i = 1; i < node->count; i++)
		below += node->first[i] <= address;
	return below;
}

static void move(struct vfmi_span_node *to, uint32_t at, const struct vfmi_span_node *from, uint32_t begin,
		 uint32_t count)
{
	memmove(&to->first[at], &from->first[begin], count * sizeof(to->first[0]));
	memmove(&to->rest[at], &from->rest[begin], count * sizeof(to->rest[0]));
}

/* Slot @at is there and says nothing yet. */
static void slot_insert(struct vfmi_span_node *node, uint32_t at)
{
	move(node, at + 1, node, at, node->count - at);
	node->count++;
}

static void slot_delete(struct vfmi_span_node *node, uint32_t at)
{
	node->count--;
	move(node, at, node, at + 1, node->count - at);
}

/* ---- finding ---- */

static bool reach(const struct vfmi_span_node *node, unsigned int height, uint64_t address, struct vfmi_span *ret)
{
	uint32_t i = slot_of(node, address);

	if (height > 0)
		return reach(node->rest[i].child, height - 1, address, ret) ||
		       (i + 1 < node->count && reach(node->rest[i + 1].child, height - 1, address, ret));
	i += node->rest[i].last < address;
	if (i == node->count)
		return false;
	*ret = slot_get(node, i);
	return true;
}

bool vfmi_spans_reach(const struct vfmi_spans *spans, uint64_t address, struct vfmi_span *ret)
{
	return spans->root && reach(spans->root, spans->height, address, ret);
}

uint64_t vfmi_spans_widest(const struct vfmi_spans *spans)
{
	uint64_t widest = 0;

	for (uint32_t i = 0; spans->root && i < spans->root->count; i++)
		if (widest < spans->root->rest[i].widest[0])
			widest = spans->root->rest[i].widest[0];
	return widest;
}

/* ---- changing ---- */

/* Make slot @at of *@node, which becomes the node it is in, @at its place there. Return: the upper half after a split.
 */
static struct vfmi_span_node *make_slot(struct vfmi_spans *spans, struct vfmi_span_node **node, uint32_t *at)
{
	struct vfmi_span_node *lower = *node, *upper = NULL;

	if (lower->count == SLOTS) {
		upper = node_take(spans->stock);
		upper->count = SLOTS - LEAST;
		lower->count = LEAST;
		move(upper, 0, lower, LEAST, upper->count);
		if (*at > LEAST) {
			*node = upper;
			*at -= LEAST;
		}
	}
	slot_insert(*node, *at);
	return upper;
}

static struct vfmi_span_node *add_below(struct vfmi_spans *spans, struct vfmi_span_node *node, unsigned int height,
					const struct vfmi_span *span)
{
	uint32_t i = slot_of(node, span->first);
	struct vfmi_span_node *upper, *split;

	if (height == 0) {
		i += node->count > 0 && node->first[i] < span->first;
		split = make_slot(spans, &node, &i);
		slot_set(node, i, span);
		return split;
	}
	upper = add_below(spans, node->rest[i].child, height - 1, span);
	set_child(spans, node, i, node->rest[i].child);
	if (!upper)
		return NULL;
	i++;
	split = make_slot(spans, &node, &i);
	set_child(spans, node, i, upper);
	return split;
}

void vfmi_spans_add(struct vfmi_spans *spans, const struct vfmi_span *span)
{
	struct vfmi_span_node *upper, *root;

	if (!spans->root)
		spans->root = node_take(spans->stock);
	spans->count++;
	upper = add_below(spans, spans->root, spans->height, span);
	if (!upper)
		return;
	root = node_take(spans->stock);
	root->count = 2;
	set_child(spans, root, 0, spans->root);
	set_child(spans, root, 1, upper);
	spans->root = root;
	spans->height++;
}

/* Slot @i of @node or a neighbour has too few: both become one, or share evenly. */
static void balance(struct vfmi_spans *spans, struct vfmi_span_node *node, uint32_t i)
{
	uint32_t left = i > 0 ? i - 1 : i;
	struct vfmi_span_node *a = node->rest[left].child, *b = node->rest[left + 1].child;
	uint32_t half = (a->count + b->count) / 2, n;

	if (a->count + b->count <= SLOTS) {
		move(a, a->count, b, 0, b->count);
		a->count += b->count;
		node_put(spans->stock, b);
		slot_delete(node, left + 1);
	} else if (a->count < half) {
		n = half - a->count;
		move(a, a->count, b, 0, n);
		move(b, 0, b, n, b->count - n);
		a->count += n;
		b->count -= n;
		set_child(spans, node, left + 1, b);
	} else {
		n = a->count - half;
		move(b, n, b, 0, b->count);
		move(b, 0, a, half, n);
		a->count -= n;
		b->count += n;
		set_child(spans, node, left + 1, b);
	}
	set_child(spans, node, left, a);
}

static void remove_below(struct vfmi_spans *spans, struct vfmi_span_node *node, unsigned int height, uint64_t first)
{
	uint32_t i = slot_of(node, first);
	struct vfmi_span_node *child = node->rest[i].child;

	if (height == 0) {
		slot_delete(node, i);
		return;
	}
	remove_below(spans, child, height - 1, first);
	if (child->count < LEAST)
		balance(spans, node, i);
	else
		set_child(spans, node, i, child);
}

void vfmi_spans_remove(struct vfmi_spans *spans, uint64_t first)
{
	struct vfmi_span_node *root = spans->root;

	remove_below(spans, root, spans->height, first);
	spans->count--;
	if (spans->height > 0 && root->count == 1) {
		spans->root = root->rest[0].child;
		spans->height--;
		node_put(spans->stock, root);
	} else if (root->count == 0) {
		spans->root = NULL;
		node_put(spans->stock, root);
	}
}

static void replace_below(const struct vfmi_spans *spans, struct vfmi_span_node *node, unsigned int height,
			  uint64_t first, const struct vfmi_span *span)
{
	uint32_t i = slot_of(node, first);

	if (height == 0) {
		slot_set(node, i, span);
		return;
	}
	replace_below(spans, node->rest[i].child, height - 1, first, span);
	set_child(spans, node, i, node->rest[i].child);
}

void vfmi_spans_replace(struct vfmi_spans *spans, uint64_t first, const struct vfmi_span *span)
{
	replace_below(spans, spans->root, spans->height, first, span);
}

static void clear_below(struct vfmi_spans *spans, struct vfmi_span_node *node, unsigned int height)
{
	for (uint32_t i = 0; height > 0 && i < node->count; i++)
		clear_below(spans, node->rest[i].child, height - 1);
	node_put(spans->stock, node);
}

void vfmi_spans_clear(struct vfmi_spans *spans)
{
	if (spans->root)
		clear_below(spans, spans->root, spans->height);
	*spans = (struct vfmi_spans){ .stock = spans->stock, .holes = spans->holes };
}

/* ---- room ---- */

/* What is wanted, and the least that widest[] must be to be worth a look. */
struct search {
	const struct vfmi_room *room;
	unsigned int class;
	uint64_t least;		/* in widest[0] */
	uint64_t least_aligned; /* in widest[class] */
	struct vfmi_span hole;
	uint64_t iova;
};

/* false: no hole can be that wide */
static bool search_begin(const struct vfmi_room *room, struct search *ret)
{
	uint64_t mask;

	*ret = (struct search){ .room = room };
	if (__builtin_add_overflow(room->length, room->guard, &ret->least_aligned) ||
	    __builtin_add_overflow(ret->least_aligned, room->guard, &ret->least))
		return false;
	while (ret->class + 1 < VFMI_SPAN_CLASSES && room->align >= 1ull << class_bits[ret->class + 1])
		ret->class ++;
	mask = (1ull << class_bits[ret->class]) - 1;
	ret->least_aligned += room->guard & ~mask;
	return true;
}

static bool worth_a_look(const struct search *search, const struct rest *slot)
{
	return slot->widest[0] >= search->least && slot->widest[search->class] >= search->least_aligned;
}

/* Where in @hole the room may lie: from *@ret_first, up to *@ret_last inclusive. false: nowhere */
static bool bounds(const struct vfmi_room *room, const struct vfmi_span *hole, uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t first, last;

	if (__builtin_add_overflow(hole->first, room->guard, &first) || hole->last < room->guard)
		return false;
	last = hole->last - room->guard;
	*ret_first = first < room->first ? room->first : first;
	*ret_last = last > room->last ? room->last : last;
	return *ret_first <= *ret_last && *ret_last - *ret_first >= room->length - 1;
}

static bool lowest_in(const struct vfmi_room *room, const struct vfmi_span *hole, uint64_t *ret_iova)
{
	uint64_t mask = room->align - 1;
	uint64_t first, last, iova;

	if (!bounds(room, hole, &first, &last))
		return false;
	iova = (first + mask) & ~mask;
	if (iova < first || iova > last || last - iova < room->length - 1)
		return false;
	*ret_iova = iova;
	return true;
}

static bool highest_in(const struct vfmi_room *room, const struct vfmi_span *hole, uint64_t *ret_iova)
{
	uint64_t first, last, iova;

	if (!bounds(room, hole, &first, &last))
		return false;
	iova = (last - (room->length - 1)) & ~(room->align - 1);
	if (iova < first)
		return false;
	*ret_iova = iova;
	return true;
}

/* Slot @at of a node at @height, by what looks below it. */
typedef bool look_fn(struct search *search, const struct vfmi_span_node *node, unsigned int height);
typedef bool in_hole_fn(const struct vfmi_room *room, const struct vfmi_span *hole, uint64_t *ret_iova);

static bool look_at(struct search *search, const struct vfmi_span_node *node, unsigned int height, uint32_t at,
		    look_fn *look, in_hole_fn *in_hole)
{
	if (!worth_a_look(search, &node->rest[at]))
		return false;
	if (height > 0)
		return look(search, node->rest[at].child, height - 1);
	search->hole = slot_get(node, at);
	return in_hole(search->room, &search->hole, &search->iova);
}

static bool lowest_below(struct search *search, const struct vfmi_span_node *node, unsigned int height)
{
	uint32_t highest = slot_of(node, search->room->last);

	for (uint32_t i = slot_of(node, search->room->first); i <= highest; i++)
		if (look_at(search, node, height, i, lowest_below, lowest_in))
			return true;
	return false;
}

static bool highest_below(struct search *search, const struct vfmi_span_node *node, unsigned int height)
{
	uint32_t lowest = slot_of(node, search->room->first);

	for (uint32_t i = slot_of(node, search->room->last) + 1; i-- > lowest;)
		if (look_at(search, node, height, i, highest_below, highest_in))
			return true;
	return false;
}

static bool search_end(const struct search *search, bool found, struct vfmi_span *ret_hole, uint64_t *ret_iova)
{
	if (found) {
		*ret_hole = search->hole;
		*ret_iova = search->iova;
	}
	return found;
}

bool vfmi_spans_lowest_room(const struct vfmi_spans *holes, const struct vfmi_room *room, struct vfmi_span *ret_hole,
			    uint64_t *ret_iova)
{
	struct search search;
	bool found = search_begin(room, &search) && holes->root && lowest_below(&search, holes->root, holes->height);

	return search_end(&search, found, ret_hole, ret_iova);
}

bool vfmi_spans_highest_room(const struct vfmi_spans *holes, const struct vfmi_room *room, struct vfmi_span *ret_hole,
			     uint64_t *ret_iova)
{
	struct search search;
	bool found = search_begin(room, &search) && holes->root && highest_below(&search, holes->root, holes->height);

	return search_end(&search, found, ret_hole, ret_iova);
}
