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

static const char *capability_name(uint8_t id, char *buf, size_t room)
{
	static const char *const names[] = {
		[0x01] = "PM", [0x03] = "VPD", [0x05] = "MSI", [0x09] = "vendor", [0x10] = "Express", [0x11] = "MSI-X",
	};

	if (id < ARRAY_SIZE(names) && names[id])
		return names[id];
	snprintf(buf, room, "0x%02x", id);
	return buf;
}

static const char *interrupt_name(const struct vfm_config_info *config, uint32_t index, char *buf, size_t room)
{
	static const char *const names[] = { [VFM_IRQ_INTX] = "INTx", [VFM_IRQ_MSI] = "MSI", [VFM_IRQ_MSIX] = "MSI-X" };

	if (config->space_bytes && index < ARRAY_SIZE(names))
		return names[index];
	snprintf(buf, room, "%u", index);
	return buf;
}

static void add_config(struct out_node *row, const struct vfm_config_info *config)
{
	struct out_node *node, *list;
	char buf[16];

	if (!config) {
		out_null(row, "config", NULL);
		return;
	}
	node = out_object(row, "config", NULL);
	out_number(node, "space_bytes", NULL, config->space_bytes, OUT_BYTES);
	out_number(node, "command", NULL, config->command, OUT_HEX);
	out_number(node, "power_state", NULL, config->power_state, OUT_PLAIN);
	list = out_array(node, "capabilities", NULL);
	for (uint32_t i = 0; i < config->capability_count; i++)
		out_text(list, NULL, NULL, "%s", capability_name(config->capabilities[i], buf, sizeof(buf)));
	list = out_array(node, "interrupts", NULL);
	for (uint32_t i = 0; i < config->irq_count; i++) {
		struct out_node *irq = out_object(list, NULL, NULL);

		out_number(irq, "index", NULL, config->irqs[i].index, OUT_PLAIN);
		out_text(irq, "name", NULL, "%s", interrupt_name(config, config->irqs[i].index, buf, sizeof(buf)));
		out_number(irq, "armed", NULL, config->irqs[i].armed, OUT_PLAIN);
		out_number(irq, "highest", NULL, config->irqs[i].highest, OUT_PLAIN);
	}
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
	add_config(row, device->config);
}

static void show_interrupts(struct out_node *row, const struct vfm_config_info *config)
{
	char text[256] = "none", buf[16];
	size_t at = 0;

	for (uint32_t i = 0; i < config->irq_count && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s: %u", i ? ", " : "",
				       interrupt_name(config, config->irqs[i].index, buf, sizeof(buf)),
				       config->irqs[i].armed);
	out_text(row, NULL, "Armed interrupts", "%s", text);
}

/* One line a device: a table in the table of devices would be wider than any terminal. */
static void show_config(struct out_node *table, uint32_t index, const struct vfm_config_info *config)
{
	struct out_node *row = out_object(table, NULL, NULL);
	char text[256] = "-", buf[16];
	size_t at = 0;

	out_number(row, NULL, "Index", index, OUT_PLAIN);
	if (config->space_bytes)
		snprintf(text, sizeof(text), "0x%04x%s%s%s%s", config->command, config->command & 1 ? " io" : "",
			 config->command & 2 ? " memory" : "", config->command & 4 ? " bus-master" : "",
			 config->command & 0x400 ? " INTx-off" : "");
	out_text(row, NULL, "Command", "%s", text);
	out_text(row, NULL, "Power", config->space_bytes ? "D%u" : "-", config->power_state);
	snprintf(text, sizeof(text), "-");
	for (uint32_t i = 0; i < config->capability_count && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? " " : "",
				       capability_name(config->capabilities[i], buf, sizeof(buf)));
	out_text(row, NULL, "Capabilities", "%s", text);
	show_interrupts(row, config);
}

static void show_configs(struct cli *cli, const struct stream_contents *contents)
{
	struct out_node *table = out_array(cli->doc, NULL, "Configuration");

	for (size_t i = 0; i < contents->count; i++) {
		if (contents->devices[i].config)
			show_config(table, contents->devices[i].index, contents->devices[i].config);
	}
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
		show_configs(cli, contents);
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
