/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a command has to tell, as a tree: built once, printed for people or as JSON. A field with a label is shown to
 * people under it; one without is for JSON only; a sentence is for people only.
 */
#ifndef VFIOMIGCTL_OUT_H
#define VFIOMIGCTL_OUT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct out_node;

enum out_unit {
	OUT_PLAIN,
	OUT_HEX,     /* JSON: string "0x1af4" */
	OUT_BYTES,   /* UINT64_MAX: unknown */
	OUT_NS,	     /* UINT64_MAX: unknown */
	OUT_RATE,    /* bytes a second */
	OUT_SECONDS, /* since 1970 */
};

/* The root. NULL when memory is out, which every function below takes in its stride. */
struct out_node *out_new(void);
void out_free(struct out_node *root);

struct out_node *out_object(struct out_node *parent, const char *key, const char *label);

/* People see an array of objects as a table, its columns the labels of the first. */
struct out_node *out_array(struct out_node *parent, const char *key, const char *label);

/* @key is NULL inside an array; elsewhere that makes it for people only. */
__attribute__((format(printf, 4, 5))) void out_text(struct out_node *parent, const char *key, const char *label,
						    const char *fmt, ...);
void out_number(struct out_node *parent, const char *key, const char *label, uint64_t value, enum out_unit unit);
void out_bool(struct out_node *parent, const char *key, const char *label, bool value);
void out_null(struct out_node *parent, const char *key, const char *label);

/* A sentence for people. */
__attribute__((format(printf, 2, 3))) void out_say(struct out_node *parent, const char *fmt, ...);

bool out_is_empty(const struct out_node *node);

/* The array member of an object, made when it is not there yet. */
struct out_node *out_array_of(struct out_node *parent, const char *key);

/* Only the last @count members of @array stay; those that go are counted in the number @counter of @parent. */
void out_keep_last(struct out_node *parent, struct out_node *array, size_t count, const char *counter);

/* Printers. @chatter: also the sentences. Return: 0, or -1 when memory ran out while building or writing failed. */
int out_print_text(const struct out_node *root, FILE *file, bool chatter);
bool out_has_text(const struct out_node *root, bool chatter);
int out_print_json(const struct out_node *root, FILE *file);

/* "64.0 MiB", "1.25 s", for sentences; @buf of OUT_HUMAN_ROOM bytes is returned. */
#define OUT_HUMAN_ROOM 32
const char *out_human(uint64_t value, enum out_unit unit, char *buf);

#endif
