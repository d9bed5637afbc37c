/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The body of the output model, for its printers only. */
#ifndef VFIOMIGCTL_OUT_TREE_H
#define VFIOMIGCTL_OUT_TREE_H

#include "out.h"

enum out_kind {
	OUT_KIND_OBJECT,
	OUT_KIND_ARRAY,
	OUT_KIND_TEXT,
	OUT_KIND_NUMBER,
	OUT_KIND_BOOL,
	OUT_KIND_NULL,
	OUT_KIND_SENTENCE,
};

struct out_node {
	enum out_kind kind;
	const char *key;
	const char *label;
	char *text;
	uint64_t number;
	enum out_unit unit;
	bool truth;
	bool incomplete; /* root: something could not be added */
	struct out_node *root;
	struct out_node *first;
	struct out_node *last;
	struct out_node *next;
	size_t count; /* of those below it */
};

/* A scalar as people read it; @buf is used where the node has no text of its own. */
const char *out_value(const struct out_node *node, char *buf);

#endif
