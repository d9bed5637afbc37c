/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl verify: is a stream whole and intact, and would a device take it. */
#include <stdlib.h>

#include "devices.h"
#include "streams.h"

struct verify_config {
	struct endpoint_config endpoint;
	struct string_list match;
};

/* Which of the stream's devices each of those named would take, and how they can be shared out. */
struct matching {
	struct vfm_identity *targets;
	char **specs;
	size_t count;
	bool fits[VFM_STREAM_MAX_DEVICES][VFM_STREAM_MAX_DEVICES]; /* by target, by device of the stream */
	size_t takers[VFM_STREAM_MAX_DEVICES];			   /* by device of the stream; NOBODY */
};

#define NOBODY SIZE_MAX

static const struct option_def options[] = {
	OPTION(verify_config, match, LIST, "match", .value = "DEVICE",
	       .help = "also compare with DEVICE, field by field; may be repeated", .completes = COMPLETES_DEVICE),
	ENDPOINT_OPTIONS(verify_config, endpoint),
};

/* One that is lent is asked itself; any other is looked at from outside, which leaves some fields unknown. */
static int identify_lent(struct cli *cli, char *spec, struct vfm_identity *ret)
{
	struct cli_devices devices;
	VFM_OPTS(vfm_error, error);
	int r = devices_open(cli, &spec, 1, &devices);

	if (r)
		return r;
	if (devices.count != 1)
		r = cli_usage(cli, "%s: %zu devices are lent there, say which one: %s#0", spec, devices.count, spec);
	else if (vfm_device_identity(devices.items[0].dev, ret, &error) < 0)
		r = cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	devices_close(&devices);
	return r;
}

static int identify(struct cli *cli, char *spec, struct vfm_identity *ret)
{
	struct vfm_candidate candidate = { .size = sizeof(candidate) };
	VFM_OPTS(vfm_error, error);

	*ret = (struct vfm_identity){ .size = sizeof(*ret) };
	if (device_is_lent(spec))
		return identify_lent(cli, spec, ret);
	if (vfm_find(cli->ctx, spec, &candidate, &error) < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	*ret = candidate.identity;
	return 0;
}

static int on_line(void *user, const struct vfm_match_line *line)
{
	static const char *const verdicts[] = { "same", "unknown", "differs", "REFUSED" };
	struct out_node *row = out_object(user, NULL, NULL);

	out_text(row, "field", "Field", "%s", line->field);
	out_text(row, "source", "In the stream", "%s", line->source);
	out_text(row, "target", "Here", "%s", line->target);
	out_text(row, "verdict", "Verdict", "%s",
		 verdicts[line->verdict < ARRAY_SIZE(verdicts) ? line->verdict : VFM_MATCH_REFUSE]);
	return 0;
}

static bool match_one(struct out_node *array, const char *spec, const struct vfm_stream_device *device,
		      const struct vfm_identity *target, bool simulated)
{
	struct out_node *node = out_object(array, NULL, NULL);
	const bool same_world = simulated == !!(device->identity->flags & VFM_IDENTITY_SIMULATED);
	bool loadable;

	out_number(node, "index", NULL, device->index, OUT_PLAIN);
	out_text(node, "name", NULL, "%s", device->identity->name);
	out_text(node, "target", NULL, "%s", spec);
	loadable = vfm_match(device->identity, target, on_line, out_array(node, "fields", NULL)) == 0 && same_world;
	out_bool(node, "loadable", NULL, loadable);
	return loadable;
}

/* A device of the stream that is free, or that whoever has it can do without. @seen: the stream's devices tried. */
static bool place(struct matching *matching, size_t target, bool *seen, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!matching->fits[target][i] || seen[i])
			continue;
		seen[i] = true;
		if (matching->takers[i] == NOBODY || place(matching, matching->takers[i], seen, count)) {
			matching->takers[i] = target;
			return true;
		}
	}
	return false;
}

/* Return: how many of the stream's devices have somebody who takes them, one each. */
static size_t share_out(struct matching *matching, size_t count)
{
	size_t placed = 0;

	for (size_t i = 0; i < count; i++)
		matching->takers[i] = NOBODY;
	for (size_t t = 0; t < matching->count; t++) {
		bool seen[VFM_STREAM_MAX_DEVICES] = { false };

		placed += place(matching, t, seen, count);
	}
	return placed;
}

/* For people: the table of what the device would take, or of the first that it refuses. */
static void show_fields(struct cli *cli, const struct stream_contents *contents, const struct matching *matching,
			size_t target)
{
	size_t index = 0;
	int r;

	for (size_t i = 0; i < contents->count; i++) {
		if (matching->takers[i] == target)
			index = i;
	}
	if (contents->count > 1 || matching->count > 1)
		out_text(cli->doc, NULL, "Compared", "%s with device %zu of %zu, %s", matching->specs[target],
			 index + 1, contents->count, contents->devices[index].identity->name);
	r = vfm_match(contents->devices[index].identity, &matching->targets[target], on_line,
		      out_array(cli->doc, NULL, "Fields"));
	(void)r;
}

static void say_takers(struct cli *cli, const struct stream_contents *contents, const struct matching *matching)
{
	for (size_t i = 0; i < contents->count; i++) {
		if (matching->takers[i] == NOBODY)
			continue;
		if (contents->count == 1)
			out_say(cli->doc, "%s would take it", matching->specs[matching->takers[i]]);
		else
			out_say(cli->doc, "%s would take device %zu of %zu, %s", matching->specs[matching->takers[i]],
				i + 1, contents->count, contents->devices[i].identity->name);
	}
}

/* As restore judges: a device for each of the stream's; those beside them are left alone. */
static int judge(struct cli *cli, const struct stream_contents *contents, const struct matching *matching,
		 size_t placed)
{
	const char *only = matching->count == 1 ? matching->specs[0] : NULL;

	if (placed > 0 && placed == contents->count)
		return CLI_DONE;
	if (placed == 0 && only)
		return cli_fail_at(cli, CLI_UNSUPPORTED, only, "match", "%s would refuse what the stream holds", only);
	return cli_fail_at(cli, CLI_UNSUPPORTED, only, "match",
			   "the stream needs a device for each of its %zu: those named by --match would take %zu",
			   contents->count, placed);
}

static int compare(struct cli *cli, const struct stream_contents *contents, struct matching *matching)
{
	struct out_node *array = out_array(cli->doc, "match", NULL);
	size_t placed;
	int r = 0;

	for (size_t t = 0; t < matching->count && r == 0; t++)
		r = identify(cli, matching->specs[t], &matching->targets[t]);
	if (r)
		return r;
	for (size_t t = 0; t < matching->count; t++) {
		for (size_t i = 0; i < contents->count; i++)
			matching->fits[t][i] = match_one(array, matching->specs[t], &contents->devices[i],
							 &matching->targets[t], cli_is_simulated(cli));
	}
	placed = share_out(matching, contents->count);
	for (size_t t = 0; t < matching->count && contents->count; t++)
		show_fields(cli, contents, matching, t);
	out_bool(cli->doc, "loadable", NULL, placed > 0 && placed == contents->count);
	say_takers(cli, contents, matching);
	return judge(cli, contents, matching, placed);
}

static int match(struct cli *cli, const struct stream_contents *contents, char **specs, size_t count)
{
	struct matching *matching = calloc(1, sizeof(*matching));
	int r;

	if (matching)
		matching->targets = calloc(count, sizeof(*matching->targets));
	if (!matching || !matching->targets) {
		free(matching);
		return cli_fail_memory(cli);
	}
	matching->specs = specs;
	matching->count = count;
	r = compare(cli, contents, matching);
	free(matching->targets);
	free(matching);
	return r;
}

static int verify(struct cli *cli, const struct verify_config *config, const char *from,
		  struct stream_contents *contents, char **specs)
{
	char text[96];
	int r = stream_read(cli, from, &config->endpoint, contents);

	if (r == CLI_DONE || r == CLI_DAMAGED)
		out_bool(cli->doc, "intact", NULL, r == CLI_DONE);
	else
		out_null(cli->doc, "intact", NULL);
	if (r)
		return r;
	out_say(cli->doc, "%s%s is whole and intact: %s",
		contents->summary.flags & VFM_STREAM_SIMULATED ? "SIMULATED: " : "", from,
		stream_size_text(contents, text, sizeof(text)));
	return config->match.count ? match(cli, contents, specs, config->match.count) : CLI_DONE;
}

static int check(struct cli *cli, const struct verify_config *config, char **ret_specs)
{
	if (config->match.count > VFM_STREAM_MAX_DEVICES)
		return cli_usage(cli, "--match: a stream has %u devices at most", VFM_STREAM_MAX_DEVICES);
	/* as operands they would not be const */
	for (size_t i = 0; i < config->match.count; i++)
		ret_specs[i] = (char *)(uintptr_t)config->match.items[i];
	return config->match.count ? devices_check(cli, ret_specs, config->match.count) : 0;
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	struct stream_contents *contents = calloc(1, sizeof(*contents));
	char *specs[VFM_STREAM_MAX_DEVICES];
	int r;

	(void)count;
	if (!contents)
		return cli_fail_memory(cli);
	r = check(cli, config, specs);
	if (r == 0)
		r = verify(cli, config, operands[0], contents, specs);
	free(contents);
	return r;
}

const struct command cmd_verify = {
	.name = "verify",
	.summary = "is a stream whole and intact, would a device take it",
	.usage = "ENDPOINT [--match DEVICE]... [OPTION...]",
	.details = "Checks a stream from its first byte to its last. With --match also compares it with a device, "
		   "which is\n"
		   "not opened: a restore would refuse where this refuses. A stream of several devices needs one for\n"
		   "each: repeat --match. Exit codes: 6 damaged, 3 no match.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct verify_config),
	.min_operands = 1,
	.max_operands = 1,
	.operands = COMPLETES_ENDPOINT,
	.needs_machine = true,
	.run = run,
};
