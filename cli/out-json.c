/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The output model as one JSON document; the only file beside dump.c that knows json-c. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "out-tree.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static struct json_object *convert(const struct out_node *node);

/* Length of the character of UTF-8 at @text, by what its first two bytes can be (RFC 3629); 0: it is none. */
static size_t utf8_length(const unsigned char *text)
{
	const unsigned char first = text[0], second = first < 0x80 ? 0 : text[1];
	const size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (length == 1)
		return 1;
	if (first < 0xc2 || first > 0xf4 || (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
	    (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

/* Names come as bytes, a document has to be UTF-8: each byte that belongs to no character is replaced. */
static struct json_object *convert_text(const char *text)
{
	char *valid = malloc(strlen(text) * strlen(REPLACEMENT) + 1), *end = valid;
	struct json_object *string;

	if (!valid)
		return NULL;
	while (*text) {
		const size_t length = utf8_length((const unsigned char *)text);

		if (length)
			end = mempcpy(end, text, length);
		else
			end = mempcpy(end, REPLACEMENT, strlen(REPLACEMENT));
		text += length ? length : 1;
	}
	*end = '\0';
	string = json_object_new_string(valid);
	free(valid);
	return string;
}

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
		return convert_text(node->text ? node->text : "");
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
