/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl inspect: what a stream holds, every byte of it checked on the way. */
#include <stdlib.h>

#include "identity.h"
#include "streams.h"

struct inspect_config {
	struct endpoint_config endpoint;
};

static const struct option_def options[] = { ENDPOINT_OPTIONS(inspect_config, endpoint) };

static void add_digest(struct out_node *node, const struct vfm_stream_summary *summary)
{
	char text[2 * sizeof(summary->digest) + 1];

	for (size_t i = 0; i < sizeof(summary->digest); i++)
		snprintf(&text[2 * i], 3, "%02x", summary->digest[i]);
	out_text(node, "digest", "Digest", "%s", text);
}

static void add_summary(struct cli *cli, const struct vfm_stream_summary *summary, bool intact)
{
	struct out_node *node = out_object(cli->doc, "stream", "Stream");

	out_bool(node, "intact", "Intact", intact);
	out_bool(node, "simulated", summary->flags & VFM_STREAM_SIMULATED ? "SIMULATED" : NULL,
		 summary->flags & VFM_STREAM_SIMULATED);
	out_bool(node, "duplex", NULL, summary->flags & VFM_STREAM_DUPLEX);
	out_text(node, "version", "Version", "%u.%u", summary->major, summary->minor);
	out_text(node, "stream_id", "Stream id", "%016llx", (unsigned long long)summary->stream_id);
	out_number(node, "created", "Created", summary->created_s, OUT_SECONDS);
	out_text(node, "producer", "Producer", "%s", summary->producer);
	out_text(node, "kernel", "Kernel", "%s", summary->kernel);
	out_number(node, "total_bytes", "Size", summary->total_bytes, OUT_BYTES);
	out_number(node, "frames", "Frames", summary->frames, OUT_PLAIN);
	out_number(node, "skipped_frames", summary->skipped_frames ? "Skipped" : NULL, summary->skipped_frames,
		   OUT_PLAIN);
	out_number(node, "blob_bytes", summary->blob_bytes ? "Blob" : NULL, summary->blob_bytes, OUT_BYTES);
	if (intact)
		add_digest(node, summary);
}

static void add_device(struct out_node *array, const struct vfm_stream_device *device)
{
	struct out_node *row = out_object(array, NULL, NULL);

	out_number(row, "index", "Index", device->index, OUT_PLAIN);
	identity_add(row, device->identity);
	out_number(row, "precopy_bytes", "Pre-copy", device->precopy_bytes, OUT_BYTES);
	out_number(row, "stop_copy_bytes", "Stop-copy", device->stop_copy_bytes, OUT_BYTES);
	out_number(row, "chunks", "Chunks", device->chunks, OUT_PLAIN);
	out_number(row, "config_bytes", "Config", device->config_bytes, OUT_BYTES);
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	const struct inspect_config *inspect = config;
	struct stream_contents *contents = calloc(1, sizeof(*contents));
	struct out_node *devices;
	int r;

	(void)count;
	if (!contents)
		return cli_fail_memory(cli);
	r = stream_read(cli, operands[0], &inspect->endpoint, contents);
	if (contents->summary.major) {
		add_summary(cli, &contents->summary, r == 0);
		devices = out_array(cli->doc, "devices", "Devices");
		for (size_t i = 0; i < contents->count; i++)
			add_device(devices, &contents->devices[i]);
	}
	free(contents);
	return r;
}

const struct command cmd_inspect = {
	.name = "inspect",
	.summary = "what a stream holds",
	.usage = "ENDPOINT [OPTION...]",
	.details =
		"Reads a stream to its end, checks every frame, the order and the digest, and tells what it holds: "
		"its\n"
		"origin, its devices, their sizes. No device is touched. Exit code 6: the stream is damaged; what is\n"
		"known of it is told all the same.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct inspect_config),
	.min_operands = 1,
	.max_operands = 1,
	.operands = COMPLETES_ENDPOINT,
	.needs_machine = true,
	.run = run,
};
