/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The output model for people: sentences, aligned fields, tables. */
#include <ctype.h>
#include <string.h>

#include "out-tree.h"

#define MAX_COLUMNS 16

static bool is_scalar(const struct out_node *node)
{
	return node->kind == OUT_KIND_TEXT || node->kind == OUT_KIND_NUMBER || node->kind == OUT_KIND_BOOL ||
	       node->kind == OUT_KIND_NULL;
}

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

/* Labels of a table's columns, in the order of the first row. */
static size_t columns(const struct out_node *table, const char **labels)
{
	size_t count = 0;

	if (!table->first)
		return 0;
	for (const struct out_node *cell = table->first->first; cell && count < MAX_COLUMNS; cell = cell->next) {
		if (cell->label && is_scalar(cell))
			labels[count++] = cell->label;
	}
	return count;
}

static const struct out_node *find_cell(const struct out_node *row, const char *label)
{
	for (const struct out_node *cell = row->first; cell; cell = cell->next) {
		if (cell->label && !strcmp(cell->label, label))
			return cell;
	}
	return NULL;
}

static const char *cell_text(const struct out_node *row, const char *label, char *buf)
{
	const struct out_node *cell = find_cell(row, label);
	const char *text = cell ? out_value(cell, buf) : "";

	return *text ? text : "-";
}

static void print_heading(FILE *file, const char *label, int width, bool last)
{
	int length = (int)strlen(label);

	for (int i = 0; i < length; i++)
		fputc(toupper((unsigned char)label[i]), file);
	fprintf(file, "%*s", last ? 0 : width - length + 2, "");
}

static void print_table(const struct out_node *table, FILE *file)
{
	const char *labels[MAX_COLUMNS];
	size_t count = columns(table, labels);
	int widths[MAX_COLUMNS];
	char buf[OUT_HUMAN_ROOM];

	if (count == 0)
		return;
	for (size_t c = 0; c < count; c++) {
		widths[c] = (int)strlen(labels[c]);
		for (const struct out_node *row = table->first; row; row = row->next)
			widths[c] = max_int(widths[c], (int)strlen(cell_text(row, labels[c], buf)));
		print_heading(file, labels[c], widths[c], c + 1 == count);
	}
	fputc('\n', file);
	for (const struct out_node *row = table->first; row; row = row->next) {
		for (size_t c = 0; c + 1 < count; c++)
			fprintf(file, "%-*s  ", widths[c], cell_text(row, labels[c], buf));
		fprintf(file, "%s\n", cell_text(row, labels[count - 1], buf));
	}
}

static int label_width(const struct out_node *object)
{
	int width = 0;

	for (const struct out_node *node = object->first; node; node = node->next) {
		if (node->label && is_scalar(node))
			width = max_int(width, (int)strlen(node->label));
	}
	return width;
}

static void print_object(const struct out_node *object, FILE *file, bool chatter)
{
	const int width = label_width(object);
	char buf[OUT_HUMAN_ROOM];

	for (const struct out_node *node = object->first; node; node = node->next) {
		if (node->kind == OUT_KIND_SENTENCE && chatter)
			fprintf(file, "%s\n", out_value(node, buf));
		if (!node->label)
			continue;
		if (is_scalar(node))
			fprintf(file, "%s:%*s %s\n", node->label, width - (int)strlen(node->label), "",
				out_value(node, buf));
		else if (node->kind == OUT_KIND_OBJECT)
			print_object(node, file, chatter);
		else
			print_table(node, file);
	}
}

bool out_has_text(const struct out_node *root, bool chatter)
{
	for (const struct out_node *node = root ? root->first : NULL; node; node = node->next) {
		if (node->label || (node->kind == OUT_KIND_SENTENCE && chatter))
			return true;
	}
	return false;
}

int out_print_text(const struct out_node *root, FILE *file, bool chatter)
{
	if (!root)
		return -1;
	print_object(root, file, chatter);
	return root->incomplete || ferror(file) ? -1 : 0;
}
