/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one place where command lines are taken apart, and where a value is checked against its type. */
#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

#define MAX_OPTIONS 48
#define VALUE_BASE 256 /* getopt values of long options, above every letter */
#define OPERAND 1      /* what getopt returns for an operand when it keeps the order */

struct suffix {
	const char *text;
	uint64_t factor;
};

static const struct suffix byte_suffixes[] = {
	{ "", 1 }, { "k", 1ull << 10 }, { "m", 1ull << 20 }, { "g", 1ull << 30 }, { "t", 1ull << 40 }, { NULL, 0 },
};

static const struct suffix time_suffixes[] = {
	{ "", 1000000000 },	 { "ms", 1000000 },	    { "s", 1000000000 },
	{ "m", 60000000000ull }, { "h", 3600000000000ull }, { NULL, 0 },
};

bool has_prefix(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

int parse_number(const char *text, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text) || __builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return -1;
	}
	if (value > max)
		return -1;
	*ret_value = value;
	return 0;
}

static int parse_scaled(const char *text, const struct suffix *suffixes, uint64_t *ret_value)
{
	size_t digits = strspn(text, "0123456789");
	char number[24];
	uint64_t value;

	if (digits == 0 || digits >= sizeof(number))
		return -1;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (parse_number(number, UINT64_MAX, &value) < 0)
		return -1;
	for (; suffixes->text; suffixes++) {
		if (strcasecmp(text + digits, suffixes->text) == 0)
			return __builtin_mul_overflow(value, suffixes->factor, ret_value) ? -1 : 0;
	}
	return -1;
}

int parse_bytes(const char *text, uint64_t *ret_bytes)
{
	return parse_scaled(text, byte_suffixes, ret_bytes);
}

int parse_time(const char *text, uint64_t *ret_ns)
{
	return parse_scaled(text, time_suffixes, ret_ns);
}

static int append(struct string_list *list, const char *item)
{
	const char **items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (!items)
		return -1;
	items[list->count] = item;
	list->items = items;
	list->count++;
	return 0;
}

void string_list_clear(struct string_list *list)
{
	free(list->items);
	*list = (struct string_list){ 0 };
}

void options_clear(const struct option_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->defs[i].type == OPTION_LIST)
			string_list_clear((struct string_list *)((char *)set->values + set->defs[i].offset));
	}
}

static bool is_choice(const struct option_def *def, const char *value)
{
	for (const char *const *choice = def->choices; *choice; choice++) {
		if (!strcmp(*choice, value))
			return true;
	}
	return false;
}

/* Puts @value where the table says. Return: 0, or -1 when it is not of the type. */
static int store(const struct option_def *def, void *values, const char *value)
{
	void *at = (char *)values + def->offset;

	switch (def->type) {
	case OPTION_FLAG:
		*(bool *)at = true;
		return 0;
	case OPTION_COUNT:
		++*(unsigned int *)at;
		return 0;
	case OPTION_OPTIONAL:
		*(const char **)at = value ? value : "";
		return 0;
	case OPTION_CHOICE:
		if (!is_choice(def, value))
			return -1;
		*(const char **)at = value;
		return 0;
	case OPTION_STRING:
		*(const char **)at = value;
		return *value ? 0 : -1;
	case OPTION_LIST:
		return *value && (!def->choices || is_choice(def, value)) ? append(at, value) : -1;
	case OPTION_NUMBER:
		return parse_number(value, INT32_MAX, at);
	case OPTION_DESCRIPTOR:
		return parse_number(value, INT32_MAX, at) == 0 && *(uint64_t *)at > 2 ? 0 : -1;
	case OPTION_BYTES:
		return parse_bytes(value, at);
	case OPTION_TIME:
		return parse_time(value, at);
	case OPTION_REST:
		break; /* taken by the caller, who has the argument vector */
	}
	return -1;
}

struct parser {
	const struct parse_request *request;
	struct parse_result *ret;
	struct option longs[MAX_OPTIONS + 1];
	const struct option_def *defs[MAX_OPTIONS];
	void *values[MAX_OPTIONS];
	int count;
	char shorts[MAX_OPTIONS * 2 + 4];
};

static int has_arg(enum option_type type)
{
	if (type == OPTION_FLAG || type == OPTION_COUNT)
		return no_argument;
	return type == OPTION_OPTIONAL ? optional_argument : required_argument;
}

static void add_option(struct parser *parser, const struct option_def *def, void *values)
{
	int n = parser->count++;

	parser->defs[n] = def;
	parser->values[n] = values;
	parser->longs[n] = (struct option){ .name = def->name, .has_arg = has_arg(def->type), .val = VALUE_BASE + n };
	if (def->letter) {
		size_t length = strlen(parser->shorts);

		parser->shorts[length++] = def->letter;
		if (has_arg(def->type) == required_argument)
			parser->shorts[length++] = ':';
		parser->shorts[length] = '\0';
	}
}

/* '+': stop at the first operand; '-': operands in order; ':': a missing value is told apart. */
static void add_options(struct parser *parser)
{
	strcpy(parser->shorts, parser->request->stop_at_operand ? "+:" : "-:");
	for (size_t s = 0; s < OPTION_SETS; s++) {
		const struct option_set *set = &parser->request->sets[s];

		for (size_t i = 0; i < set->count && parser->count < MAX_OPTIONS; i++)
			add_option(parser, &set->defs[i], set->values);
	}
}

static int find_option(const struct parser *parser, int value)
{
	for (int i = 0; i < parser->count; i++) {
		if (value == VALUE_BASE + i || value == parser->defs[i]->letter)
			return i;
	}
	return -1;
}

static int fail_getopt(struct parser *parser, int c)
{
	const char *word = parser->request->argv[optind - 1];

	if (c == ':')
		snprintf(parser->ret->message, sizeof(parser->ret->message), "option '%.80s' needs a value", word);
	else if (optopt >= VALUE_BASE)
		snprintf(parser->ret->message, sizeof(parser->ret->message), "option '--%s' takes no value",
			 parser->defs[optopt - VALUE_BASE]->name);
	else if (optopt)
		snprintf(parser->ret->message, sizeof(parser->ret->message), "unknown option '-%c'", optopt);
	else
		snprintf(parser->ret->message, sizeof(parser->ret->message), "unknown option '%.80s'", word);
	return -1;
}

static int fail_value(struct parser *parser, const struct option_def *def, const char *value)
{
	int length = snprintf(parser->ret->message, sizeof(parser->ret->message), "--%s: '%.60s' is not %s", def->name,
			      value, def->choices ? "one of" : def->value);

	for (const char *const *choice = def->choices; choice && *choice; choice++) {
		if (length >= 0 && (size_t)length < sizeof(parser->ret->message))
			length += snprintf(parser->ret->message + length, sizeof(parser->ret->message) - (size_t)length,
					   "%s%s", choice == def->choices ? " " : ", ", *choice);
	}
	return -1;
}

/* The value and all words after it; getopt has already stepped over the value. */
static void take_rest(struct parser *parser, int n)
{
	char **argv = parser->request->argv;

	if (optarg != argv[optind - 1])
		argv[optind - 1] = optarg; /* --exec=COMMAND */
	*(char ***)((char *)parser->values[n] + parser->defs[n]->offset) = &argv[optind - 1];
	optind = parser->request->argc;
}

static int take_option(struct parser *parser, int c)
{
	int n = find_option(parser, c);

	if (c == '?' || c == ':' || n < 0)
		return fail_getopt(parser, c);
	if (parser->defs[n]->type == OPTION_REST) {
		take_rest(parser, n);
		return 0;
	}
	if (store(parser->defs[n], parser->values[n], optarg) < 0)
		return fail_value(parser, parser->defs[n], optarg);
	return 0;
}

int options_parse(const struct parse_request *request, struct parse_result *ret)
{
	struct parser parser = { .request = request, .ret = ret };
	int c;

	*ret = (struct parse_result){ .operands = calloc((size_t)request->argc + 1, sizeof(char *)) };
	if (!ret->operands) {
		snprintf(ret->message, sizeof(ret->message), "out of memory");
		return -1;
	}
	add_options(&parser);
	opterr = 0;
	optind = 0;
	while ((c = getopt_long(request->argc, request->argv, parser.shorts, parser.longs, NULL)) != -1) {
		if (c == OPERAND)
			ret->operands[ret->count++] = optarg;
		else if (take_option(&parser, c) < 0 && !request->lenient)
			return -1;
	}
	for (int i = optind; i < request->argc; i++)
		ret->operands[ret->count++] = request->argv[i];
	return 0;
}

void option_form(const struct option_def *def, char *buf, size_t room)
{
	const char *open = def->type == OPTION_OPTIONAL ? "[=" : " ";
	const char *close = def->type == OPTION_OPTIONAL ? "]" : "";
	char letter[8] = "";

	if (def->letter)
		snprintf(letter, sizeof(letter), "-%c, ", def->letter);
	if (def->value)
		snprintf(buf, room, "%s--%s%s%s%s", letter, def->name, open, def->value, close);
	else
		snprintf(buf, room, "%s--%s", letter, def->name);
}

void options_print(FILE *file, const struct option_def *defs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char form[64];

		option_form(&defs[i], form, sizeof(form));
		fprintf(file, "  %-28s %s\n", form, defs[i].help);
	}
}
