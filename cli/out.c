/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Building the tree of what a command tells. Running out of memory is remembered in the root and told once, at the end.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "out-tree.h"

static struct out_node *add(struct out_node *parent, enum out_kind kind, const char *key, const char *label)
{
	struct out_node *node;

	if (!parent)
		return NULL;
	node = calloc(1, sizeof(*node));
	if (!node) {
		parent->root->incomplete = true;
		return NULL;
	}
	node->kind = kind;
	node->key = key;
	node->label = label;
	node->root = parent->root;
	if (parent->last)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	parent->count++;
	return node;
}

struct out_node *out_new(void)
{
	struct out_node *root = calloc(1, sizeof(*root));

	if (root)
		root->root = root;
	return root;
}

void out_free(struct out_node *root)
{
	if (!root)
		return;
	for (struct out_node *node = root->first, *next; node; node = next) {
		next = node->next;
		out_free(node);
	}
	free(root->text);
	free(root);
}

struct out_node *out_object(struct out_node *parent, const char *key, const char *label)
{
	return add(parent, OUT_KIND_OBJECT, key, label);
}

struct out_node *out_array(struct out_node *parent, const char *key, const char *label)
{
	return add(parent, OUT_KIND_ARRAY, key, label);
}

struct out_node *out_array_of(struct out_node *parent, const char *key)
{
	for (struct out_node *node = parent ? parent->first : NULL; node; node = node->next) {
		if (node->kind == OUT_KIND_ARRAY && node->key && !strcmp(node->key, key))
			return node;
	}
	return out_array(parent, key, NULL);
}

static struct out_node *find_number(struct out_node *parent, const char *key)
{
	for (struct out_node *node = parent->first; node; node = node->next) {
		if (node->kind == OUT_KIND_NUMBER && node->key && !strcmp(node->key, key))
			return node;
	}
	return add(parent, OUT_KIND_NUMBER, key, NULL);
}

void out_keep_last(struct out_node *parent, struct out_node *array, size_t count, const char *counter)
{
	while (array && array->count > count) {
		struct out_node *oldest = array->first, *number = find_number(parent, counter);

		array->first = oldest->next;
		if (!array->first)
			array->last = NULL;
		array->count--;
		out_free(oldest);
		if (number)
			number->number++;
	}
}

bool out_is_empty(const struct out_node *node)
{
	return !node || !node->first;
}

__attribute__((format(printf, 2, 0))) static void add_text(struct out_node *node, const char *fmt, va_list args)
{
	if (!node)
		return;
	if (vasprintf(&node->text, fmt, args) < 0) {
		node->text = NULL;
		node->root->incomplete = true;
	}
}

void out_text(struct out_node *parent, const char *key, const char *label, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_text(add(parent, OUT_KIND_TEXT, key, label), fmt, args);
	va_end(args);
}

void out_say(struct out_node *parent, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_text(add(parent, OUT_KIND_SENTENCE, NULL, NULL), fmt, args);
	va_end(args);
}

void out_number(struct out_node *parent, const char *key, const char *label, uint64_t value, enum out_unit unit)
{
	struct out_node *node = add(parent, OUT_KIND_NUMBER, key, label);

	if (!node)
		return;
	node->number = value;
	node->unit = unit;
}

void out_bool(struct out_node *parent, const char *key, const char *label, bool value)
{
	struct out_node *node = add(parent, OUT_KIND_BOOL, key, label);

	if (node)
		node->truth = value;
}

void out_null(struct out_node *parent, const char *key, const char *label)
{
	add(parent, OUT_KIND_NULL, key, label);
}

static const char *human_bytes(uint64_t value, const char *after, char *buf)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double scaled = (double)value;
	size_t n = 0;

	for (; scaled >= 1024 && n + 1 < sizeof(names) / sizeof(names[0]); n++)
		scaled /= 1024;
	snprintf(buf, OUT_HUMAN_ROOM, n ? "%.1f %s%s" : "%.0f %s%s", scaled, names[n], after);
	return buf;
}

static const char *human_ns(uint64_t ns, char *buf)
{
	if (ns < 1000000)
		snprintf(buf, OUT_HUMAN_ROOM, "%.3f ms", (double)ns / 1e6);
	else if (ns < 1000000000)
		snprintf(buf, OUT_HUMAN_ROOM, "%.1f ms", (double)ns / 1e6);
	else if (ns < 120000000000ull)
		snprintf(buf, OUT_HUMAN_ROOM, "%.2f s", (double)ns / 1e9);
	else
		snprintf(buf, OUT_HUMAN_ROOM, "%.0f min", (double)ns / 6e10);
	return buf;
}

static const char *human_time(uint64_t seconds, char *buf)
{
	time_t at = (time_t)seconds;
	struct tm tm;

	if (seconds > INT32_MAX * 60ull || !gmtime_r(&at, &tm) ||
	    strftime(buf, OUT_HUMAN_ROOM, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(buf, OUT_HUMAN_ROOM, "%llu s", (unsigned long long)seconds);
	return buf;
}

const char *out_human(uint64_t value, enum out_unit unit, char *buf)
{
	switch (unit) {
	case OUT_HEX:
		snprintf(buf, OUT_HUMAN_ROOM, "0x%llx", (unsigned long long)value);
		return buf;
	case OUT_BYTES:
		return value == UINT64_MAX ? "unknown" : human_bytes(value, "", buf);
	case OUT_RATE:
		return human_bytes(value, "/s", buf);
	case OUT_NS:
		return value == UINT64_MAX ? "unknown" : human_ns(value, buf);
	case OUT_SECONDS:
		return human_time(value, buf);
	case OUT_PLAIN:
		break;
	}
	snprintf(buf, OUT_HUMAN_ROOM, "%llu", (unsigned long long)value);
	return buf;
}

const char *out_value(const struct out_node *node, char *buf)
{
	switch (node->kind) {
	case OUT_KIND_TEXT:
	case OUT_KIND_SENTENCE:
		return node->text ? node->text : "";
	case OUT_KIND_NUMBER:
		return out_human(node->number, node->unit, buf);
	case OUT_KIND_BOOL:
		return node->truth ? "yes" : "no";
	case OUT_KIND_NULL:
		return "unknown";
	default:
		return "";
	}
}
