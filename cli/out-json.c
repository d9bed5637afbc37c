/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The output model as one JSON document; the only file beside dump.c that knows json-c. */
#include <json-c/json.h>

#include "out-tree.h"

static struct json_object *convert(const struct out_node *node);

static struct json_object *convert_number(const struct out_node *node)
{
	char buf[OUT_HUMAN_ROOM];

	if ((node->unit == OUT_BYTES || node->unit == OUT_NS) && node->number == UINT64_MAX)
		return NULL;
	if (node->unit == OUT_HEX)
		return json_object_new_string(out_human(node->number, OUT_HEX, buf));
	return json_object_new_uint64(node->number);
}

static struct json_object *convert_array(const struct out_node *node)
{
	struct json_object *array = json_object_new_array();

	for (const struct out_node *item = node->first; item; item = item->next)
		json_object_array_add(array, convert(item));
	return array;
}

static struct json_object *convert_object(const struct out_node *node)
{
	struct json_object *object = json_object_new_object();

	for (const struct out_node *member = node->first; member; member = member->next) {
		if (member->key)
			json_object_object_add(object, member->key, convert(member));
	}
	return object;
}

/* NULL is JSON's null. */
static struct json_object *convert(const struct out_node *node)
{
	switch (node->kind) {
	case OUT_KIND_OBJECT:
		return convert_object(node);
	case OUT_KIND_ARRAY:
		return convert_array(node);
	case OUT_KIND_TEXT:
		return json_object_new_string(node->text ? node->text : "");
	case OUT_KIND_NUMBER:
		return convert_number(node);
	case OUT_KIND_BOOL:
		return json_object_new_boolean(node->truth);
	default:
		return NULL;
	}
}

int out_print_json(const struct out_node *root, FILE *file)
{
	struct json_object *document;
	int r;

	if (!root)
		return -1;
	document = convert(root);
	r = fprintf(file, "%s\n",
		    json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(document);
	return r < 0 || fflush(file) != 0 || root->incomplete ? -1 : 0;
}
