/* SPDX-License-Identifier: MIT */
/*
 * A large set of disjoint spans of addresses in order: a B+ tree, since at a million of them it is cache lines that
 * cost. Found, added, removed and searched for room in O(log n). Pure.
 */
#ifndef VFIOMIG_SPANS_H
#define VFIOMIG_SPANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Alignments that a search for room never looks in vain for: any, and the huge page (spans.c). */
#define VFMI_SPAN_CLASSES 2u

struct vfmi_span_node;

/* Also what a node knows of a child: then @first is its first span's, and @widest the most in one span below. */
struct vfmi_span {
	uint64_t first;
	union {
		uint64_t last; /* inclusive */
		struct vfmi_span_node *child;
	};
	union {
		struct {
			uint64_t guard; /* bytes at each end that are part of it and not mapped */
			uint64_t cookie;
		};
		uint64_t widest[VFMI_SPAN_CLASSES]; /* bytes from an aligned address on */
	};
};

/* Nodes that trees take what they need from, so that they cannot fail. Zeroed is empty. */
struct vfmi_span_stock {
	struct vfmi_span_node *nodes;
	size_t count;
	size_t in_use;
};

/* Zeroed, but for the stock and what it is for, is empty. */
struct vfmi_spans {
	struct vfmi_span_stock *stock;
	bool holes; /* of vfmi_span_hole(), to be searched for room */
	struct vfmi_span_node *root;
	unsigned int height; /* of inner nodes above the leaves */
	uint64_t count;
};

/* Have nodes for trees of @a and @b spans, and not many more. 0 or -ENOMEM; less is needed for fewer spans. */
int vfmi_span_stock_fill(struct vfmi_span_stock *stock, uint64_t a, uint64_t b);
void vfmi_span_stock_clear(struct vfmi_span_stock *stock);

/* A hole, as it must be to be searched for room. */
struct vfmi_span vfmi_span_hole(uint64_t first, uint64_t last);

/* The lowest span with a byte at @address or above. false: none */
bool vfmi_spans_reach(const struct vfmi_spans *spans, uint64_t address, struct vfmi_span *ret);

/* @span overlaps no other; there is one that begins at @first, and what replaces it lies between its neighbours. */
void vfmi_spans_add(struct vfmi_spans *spans, const struct vfmi_span *span);
void vfmi_spans_remove(struct vfmi_spans *spans, uint64_t first);
void vfmi_spans_replace(struct vfmi_spans *spans, uint64_t first, const struct vfmi_span *span);
void vfmi_spans_clear(struct vfmi_spans *spans);

/* Bytes of the widest span, 0 without any; one too few for all 2^64. */
uint64_t vfmi_spans_widest(const struct vfmi_spans *spans);

/* Room wanted inside one hole: @length bytes in [@first, @last], aligned, @guard bytes of the same hole each side. */
struct vfmi_room {
	uint64_t length; /* above 0 */
	uint64_t align;	 /* power of two */
	uint64_t guard;
	uint64_t first;
	uint64_t last;
};

/* The hole that has it at the lowest or highest place; @ret_iova: the place, without guard. false: none has */
bool vfmi_spans_lowest_room(const struct vfmi_spans *holes, const struct vfmi_room *room, struct vfmi_span *ret_hole,
			    uint64_t *ret_iova);
bool vfmi_spans_highest_room(const struct vfmi_spans *holes, const struct vfmi_room *room, struct vfmi_span *ret_hole,
			     uint64_t *ret_iova);

#endif
