/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options as data: tables of typed definitions, parsed by one function over getopt_long, shown by another. */
#ifndef VFIOMIGCTL_OPTIONS_H
#define VFIOMIGCTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_type {
	OPTION_FLAG,	   /* bool */
	OPTION_COUNT,	   /* unsigned int, one more each time */
	OPTION_STRING,	   /* const char * */
	OPTION_OPTIONAL,   /* const char *, "" when given without a value */
	OPTION_LIST,	   /* struct string_list, each one of choices if there are any */
	OPTION_CHOICE,	   /* const char *, one of choices */
	OPTION_NUMBER,	   /* uint64_t, at most INT32_MAX */
	OPTION_DESCRIPTOR, /* uint64_t, an inherited one: not 0, 1, 2, which have their uses */
	OPTION_BYTES,	   /* uint64_t, suffixes k m g t, powers of 1024 */
	OPTION_TIME,	   /* uint64_t nanoseconds, suffixes ms s m h, seconds without one */
	OPTION_REST,	   /* char **: everything from here on, NULL at the end */
};

/* What a shell offers to complete a value with. */
enum completes {
	COMPLETES_NOTHING = 0,
	COMPLETES_FILE,
	COMPLETES_DEVICE,
	COMPLETES_ENDPOINT,
	COMPLETES_STATE,
	COMPLETES_COMMAND,
};

struct option_def {
	const char *name;
	char letter; /* 0: none */
	enum option_type type;
	size_t offset;	   /* of the value in the struct the table describes */
	const char *value; /* how the value is called in help; NULL for flags and counts */
	const char *help;
	const char *const *choices; /* ends with NULL */
	enum completes completes;
};

/* One line of a table: member @field of struct @config; what follows the name is designated. */
#define OPTION(config, field, kind, option_name, ...)                                                                  \
	{                                                                                                              \
		.name = (option_name), .type = OPTION_##kind, .offset = offsetof(struct config, field), __VA_ARGS__    \
	}

struct string_list {
	const char **items;
	size_t count;
};

/* One table and the struct its offsets point into. */
struct option_set {
	const struct option_def *defs;
	size_t count;
	void *values;
};

#define OPTION_SETS 2

struct parse_request {
	struct option_set sets[OPTION_SETS];
	bool stop_at_operand; /* the first operand and all after it are left alone */
	bool lenient;	      /* what is wrong is passed over */
	int argc;
	char **argv; /* argv[0] is skipped */
};

struct parse_result {
	char **operands; /* free() */
	size_t count;
	char message[160]; /* what is wrong, when options_parse() fails */
};

/* Return: 0, or -1 with ret->message filled. Lists belong to the values: string_list_clear(). */
int options_parse(const struct parse_request *request, struct parse_result *ret);

void string_list_clear(struct string_list *list);
/* Frees the lists of a set's values. */
void options_clear(const struct option_set *set);

/* Help lines of a table. */
void options_print(FILE *file, const struct option_def *defs, size_t count);

/* "--name", "--name VALUE" or "--name[=VALUE]", with the letter in front where there is one. */
void option_form(const struct option_def *def, char *buf, size_t room);

/* "12", "4k", "1.5g" and the like. Return: 0 or -1. */
int parse_bytes(const char *text, uint64_t *ret_bytes);
int parse_time(const char *text, uint64_t *ret_ns);
int parse_number(const char *text, uint64_t max, uint64_t *ret_value);

bool has_prefix(const char *text, const char *prefix);

#endif
