/* SPDX-License-Identifier: MIT */
/* Looking up quirks: the table, overridden by what a context was told. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "quirk-table.h"

#define STEP "quirk"
#define DRIVER_ROOM 64u
#define SET_REASON "overridden"

struct override {
	struct override *next;
	char driver[DRIVER_ROOM];
	enum vfmi_quirk_key key;
	uint32_t value;
	struct vfmi_ready ready; /* of a key whose value is one */
};

/* In the order they were set. */
struct vfmi_quirk_set {
	struct override *first;
};

/* A module's name has '_' where its driver's may have '-'. */
static bool is_same_driver(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
			return false;
	return *a == *b;
}

static struct override **find_override(struct vfmi_quirk_set *set, const char *driver, enum vfmi_quirk_key key)
{
	struct override **at;

	for (at = &set->first; *at; at = &(*at)->next)
		if ((*at)->key == key && is_same_driver((*at)->driver, driver))
			break;
	return at;
}

static const struct override *override_of(const struct vfm_context *ctx, const char *driver, enum vfmi_quirk_key key)
{
	return ctx->quirks ? *find_override(ctx->quirks, driver, key) : NULL;
}

static const struct vfmi_quirk_row *find_row(const char *driver, enum vfmi_quirk_key key)
{
	for (size_t i = 0; i < vfmi_quirk_row_count; i++)
		if (vfmi_quirk_rows[i].key == key && is_same_driver(vfmi_quirk_rows[i].driver, driver))
			return &vfmi_quirk_rows[i];
	return NULL;
}

uint32_t vfmi_quirk(const struct vfm_context *ctx, const char *driver, enum vfmi_quirk_key key)
{
	const struct override *override = override_of(ctx, driver, key);
	const struct vfmi_quirk_row *row;

	if (override)
		return override->value;
	row = find_row(driver, key);
	return row ? row->value : vfmi_quirk_keys[key].usual;
}

const struct vfmi_ready *vfmi_quirk_ready(const struct vfm_context *ctx, const char *driver)
{
	const struct override *override = override_of(ctx, driver, VFMI_QUIRK_READY_REGS);

	return override ? &override->ready : &vfmi_ready_lists[vfmi_quirk(ctx, driver, VFMI_QUIRK_READY_REGS)];
}

/* walking */

struct walk {
	const struct vfm_context *ctx;
	const char *driver; /* NULL: all */
	vfm_quirk_fn *fn;
	void *user;
};

static const char *value_text(enum vfmi_quirk_key key, uint32_t value, char *buf, size_t room)
{
	const struct vfmi_quirk_key_def *def = &vfmi_quirk_keys[key];

	if (def->values)
		return def->values[value];
	if (def->ready)
		vfmi_ready_print(&vfmi_ready_lists[value], buf, room);
	else
		snprintf(buf, room, "%" PRIu32, value);
	return buf;
}

static const char *override_text(const struct override *override, char *buf, size_t room)
{
	if (!vfmi_quirk_keys[override->key].ready)
		return value_text(override->key, override->value, buf, room);
	vfmi_ready_print(&override->ready, buf, room);
	return buf;
}

static int tell(const struct walk *walk, const char *driver, enum vfmi_quirk_key key, const struct vfmi_quirk_row *row)
{
	const struct vfmi_quirk_key_def *def = &vfmi_quirk_keys[key];
	const struct override *override = override_of(walk->ctx, driver, key);
	char value[VFMI_READY_TEXT], usual[16];
	const struct vfm_quirk quirk = {
		.size = sizeof(quirk),
		.flags = (override ? VFM_QUIRK_OVERRIDDEN : 0u) | (def->acted_on ? VFM_QUIRK_ACTED_ON : 0u),
		.driver = driver,
		.key = def->name,
		.value = override ? override_text(override, value, sizeof(value))
				  : value_text(key, row->value, value, sizeof(value)),
		.usual = value_text(key, def->usual, usual, sizeof(usual)),
		.reason = override ? SET_REASON : row->reason,
		.source = override ? "" : row->source,
	};

	return walk->fn(walk->user, &quirk);
}

/* What was set of @driver and the table does not have. */
static int tell_set(const struct walk *walk, const char *driver)
{
	const struct override *override = walk->ctx->quirks ? walk->ctx->quirks->first : NULL;
	int r = 0;

	for (; override && !r; override = override->next)
		if (is_same_driver(override->driver, driver) && !find_row(driver, override->key))
			r = tell(walk, driver, override->key, NULL);
	return r;
}

static bool is_wanted(const struct walk *walk, const char *driver)
{
	return !walk->driver || is_same_driver(walk->driver, driver);
}

static int tell_table(const struct walk *walk)
{
	int r = 0;

	for (size_t i = 0; i < vfmi_quirk_row_count && !r; i++) {
		const struct vfmi_quirk_row *row = &vfmi_quirk_rows[i];
		const bool last = i + 1 == vfmi_quirk_row_count || strcmp(row->driver, row[1].driver) != 0;

		if (!is_wanted(walk, row->driver))
			continue;
		r = tell(walk, row->driver, row->key, row);
		if (!r && last)
			r = tell_set(walk, row->driver);
	}
	return r;
}

static bool is_listed(const char *driver)
{
	for (size_t i = 0; i < vfmi_quirk_row_count; i++)
		if (is_same_driver(vfmi_quirk_rows[i].driver, driver))
			return true;
	return false;
}

static bool is_first_of_driver(const struct vfmi_quirk_set *set, const struct override *override)
{
	const struct override *before = set->first;

	while (before != override && !is_same_driver(before->driver, override->driver))
		before = before->next;
	return before == override;
}

static int tell_unlisted(const struct walk *walk)
{
	const struct vfmi_quirk_set *set = walk->ctx->quirks;
	const struct override *override = set ? set->first : NULL;
	int r = 0;

	for (; override && !r; override = override->next)
		if (is_wanted(walk, override->driver) && !is_listed(override->driver) &&
		    is_first_of_driver(set, override))
			r = tell_set(walk, override->driver);
	return r;
}

int vfm_quirks(const struct vfm_context *ctx, const char *driver, vfm_quirk_fn *fn, void *user)
{
	const struct walk walk = { ctx, driver, fn, user };
	int r;

	if (!ctx || !fn)
		return -EINVAL;
	r = tell_table(&walk);
	return r ? r : tell_unlisted(&walk);
}

/* setting */

static int parse_key(const char *text, enum vfmi_quirk_key *ret_key)
{
	for (size_t i = 0; i < VFMI_QUIRK_KEYS; i++)
		if (!strcmp(vfmi_quirk_keys[i].name, text)) {
			*ret_key = (enum vfmi_quirk_key)i;
			return 0;
		}
	return -EINVAL;
}

static int parse_number(const char *text, uint32_t max, uint32_t *ret_value)
{
	uint32_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (uint32_t)(*text - '0');
		if (value > max)
			return -EINVAL;
	}
	*ret_value = value;
	return 0;
}

static int parse_value(const struct vfmi_quirk_key_def *def, const char *text, struct override *parsed)
{
	if (def->ready)
		return vfmi_ready_parse(text, &parsed->ready);
	if (!def->values)
		return parse_number(text, def->max, &parsed->value);
	for (uint32_t i = 0; def->values[i]; i++)
		if (!strcmp(def->values[i], text)) {
			parsed->value = i;
			return 0;
		}
	return -EINVAL;
}

static int refuse_value(struct vfm_context *ctx, const struct vfmi_quirk_key_def *def, const char *value,
			struct vfm_error *err)
{
	char known[128] = "";
	size_t at = 0;

	if (def->ready)
		return VFMI_FAIL(ctx, err, EINVAL, NULL, STEP,
				 "%s is none, or cxl and up to %u times REGION:OFFSET=VALUE[/MASK], with commas "
				 "between, offsets being multiples of 4 and values inside their masks, not '%s'",
				 def->name, VFMI_READY_REGISTERS, value);
	if (!def->values)
		return VFMI_FAIL(ctx, err, EINVAL, NULL, STEP, "%s is a number from 0 to %" PRIu32 ", not '%s'",
				 def->name, def->max, value);
	for (size_t i = 0; def->values[i] && at < sizeof(known); i++)
		at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", def->values[i]);
	return VFMI_FAIL(ctx, err, EINVAL, NULL, STEP, "%s is one of %s, not '%s'", def->name, known, value);
}

static void remove_override(struct override **at)
{
	struct override *gone = *at;

	if (!gone)
		return;
	*at = gone->next;
	free(gone);
}

static int store(struct vfm_context *ctx, const char *driver, enum vfmi_quirk_key key, const struct override *parsed)
{
	struct override **at, *override;

	if (!ctx->quirks)
		ctx->quirks = calloc(1, sizeof(*ctx->quirks));
	if (!ctx->quirks)
		return -ENOMEM;
	at = find_override(ctx->quirks, driver, key);
	if (!*at) {
		override = calloc(1, sizeof(*override));
		if (!override)
			return -ENOMEM;
		snprintf(override->driver, sizeof(override->driver), "%s", driver);
		override->key = key;
		*at = override;
	}
	(*at)->value = parsed->value;
	(*at)->ready = parsed->ready;
	return 0;
}

int vfm_context_set_quirk(struct vfm_context *ctx, const char *driver, const char *key, const char *value,
			  struct vfm_error *ret_error)
{
	enum vfmi_quirk_key number = VFMI_QUIRK_KEYS;
	struct override parsed = { 0 };

	if (!ctx || !driver || !key)
		return -EINVAL;
	if (!*driver || strlen(driver) >= DRIVER_ROOM || strpbrk(driver, " \t\n[]/"))
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, STEP, "'%s' is not the name of a driver", driver);
	if (parse_key(key, &number) < 0)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, STEP, "there is no quirk '%s'", key);
	if (!value) {
		if (ctx->quirks)
			remove_override(find_override(ctx->quirks, driver, number));
		return 0;
	}
	if (parse_value(&vfmi_quirk_keys[number], value, &parsed) < 0)
		return refuse_value(ctx, &vfmi_quirk_keys[number], value, ret_error);
	if (store(ctx, driver, number, &parsed) < 0)
		return VFMI_FAIL(ctx, ret_error, ENOMEM, NULL, STEP, "%s", vfmi_errno_text(ENOMEM));
	return 0;
}

void vfmi_quirks_free(struct vfmi_quirk_set *set)
{
	while (set && set->first)
		remove_override(&set->first);
	free(set);
}
