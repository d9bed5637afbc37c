/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl verify: is a stream whole and intact, and would a device take it. */
#include <stdlib.h>

#include "devices.h"
#include "streams.h"

struct verify_config {
	struct endpoint_config endpoint;
	const char *match;
};

static const struct option_def options[] = {
	OPTION(verify_config, match, STRING, "match", .value = "DEVICE",
	       .help = "also compare with DEVICE, field by field", .completes = COMPLETES_DEVICE),
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

static int identify(struct cli *cli, const char *spec, struct vfm_identity *ret)
{
	struct vfm_candidate candidate = { .size = sizeof(candidate) };
	VFM_OPTS(vfm_error, error);

	*ret = (struct vfm_identity){ .size = sizeof(*ret) };
	if (device_is_lent(spec))
		return identify_lent(cli, (char *)(uintptr_t)spec, ret);
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

static bool match_one(struct out_node *array, const struct vfm_stream_device *device, const struct vfm_identity *target,
		      bool simulated)
{
	struct out_node *node = out_object(array, NULL, NULL);
	const bool same_world = simulated == !!(device->identity->flags & VFM_IDENTITY_SIMULATED);
	bool loadable;

	out_number(node, "index", NULL, device->index, OUT_PLAIN);
	out_text(node, "name", NULL, "%s", device->identity->name);
	loadable = vfm_match(device->identity, target, on_line, out_array(node, "fields", NULL)) == 0 && same_world;
	out_bool(node, "loadable", NULL, loadable);
	return loadable;
}

/* For people: the table of a stream's only device, or of the first of several. */
static void show_fields(struct cli *cli, const struct vfm_stream_device *device, const struct vfm_identity *target)
{
	struct out_node *table = out_array(cli->doc, NULL, "Fields");
	int r = vfm_match(device->identity, target, on_line, table);

	(void)r;
}

static int match(struct cli *cli, const struct stream_contents *contents, const char *spec)
{
	struct out_node *array = out_array(cli->doc, "match", NULL);
	struct vfm_identity target;
	size_t loadable = 0;
	int r = identify(cli, spec, &target);

	if (r)
		return r;
	for (size_t i = 0; i < contents->count; i++)
		loadable += match_one(array, &contents->devices[i], &target, cli_is_simulated(cli));
	if (contents->count)
		show_fields(cli, &contents->devices[0], &target);
	out_bool(cli->doc, "loadable", NULL, loadable > 0);
	if (!loadable)
		return cli_fail_at(cli, CLI_UNSUPPORTED, spec, "match", "%s would refuse what the stream holds", spec);
	out_say(cli->doc, "%s would take it", spec);
	return CLI_DONE;
}

static int verify(struct cli *cli, const struct verify_config *config, const char *from,
		  struct stream_contents *contents)
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
	return config->match ? match(cli, contents, config->match) : CLI_DONE;
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	const struct verify_config *options_given = config;
	struct stream_contents *contents = calloc(1, sizeof(*contents));
	int r = 0;

	(void)count;
	if (!contents)
		return cli_fail_memory(cli);
	if (options_given->match)
		r = devices_check(cli, (char *[]){ (char *)(uintptr_t)options_given->match }, 1);
	if (r == 0)
		r = verify(cli, options_given, operands[0], contents);
	free(contents);
	return r;
}

const struct command cmd_verify = {
	.name = "verify",
	.summary = "is a stream whole and intact, would a device take it",
	.usage = "ENDPOINT [--match DEVICE] [OPTION...]",
	.details = "Checks a stream from its first byte to its last. With --match also compares it with a device, "
		   "which is\n"
		   "not opened: a restore would refuse where this refuses. Exit codes: 6 damaged, 3 no match.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct verify_config),
	.min_operands = 1,
	.max_operands = 1,
	.operands = COMPLETES_ENDPOINT,
	.needs_machine = true,
	.run = run,
};
