/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl save: the state of devices to an endpoint. */
#include <stdlib.h>

#include "endpoints.h"
#include "ready.h"
#include "transfers.h"

struct save_config {
	struct endpoint_config endpoint;
	const char *to;
	const char *then;
	const char *blob;
	bool live;
	bool no_p2p;
	uint64_t ready_fd;
	uint64_t precopy_bytes;
	uint64_t precopy_ns;
};

static const struct option_def options[] = {
	OPTION(save_config, to, STRING, "to", .value = "ENDPOINT", .help = "where the stream goes (required)",
	       .completes = COMPLETES_ENDPOINT),
	OPTION(save_config, then, CHOICE, "then", .value = "STATE",
	       .help = "state of the devices after success; without it as found", .choices = then_choices,
	       .completes = COMPLETES_STATE),
	OPTION(save_config, live, FLAG, "live", .help = "copy while the device runs, where it can (PRE_COPY)"),
	OPTION(save_config, precopy_bytes, BYTES, "precopy-limit-bytes", .value = "BYTES",
	       .help = "--live: stop the device after this much"),
	OPTION(save_config, precopy_ns, TIME, "precopy-limit-time", .value = "TIME",
	       .help = "--live: stop the device after this long"),
	OPTION(save_config, blob, STRING, "blob", .value = "FILE", .help = "bytes of yours to carry in the stream",
	       .completes = COMPLETES_FILE),
	OPTION(save_config, no_p2p, FLAG, "no-p2p",
	       .help = "several devices: none does DMA to another, I vouch for it"),
	OPTION(save_config, endpoint.force, FLAG, "force", .help = "replace an existing file"),
	ENDPOINT_OPTIONS(save_config, endpoint),
	OPTION(save_config, ready_fd, DESCRIPTOR, "ready-fd", .value = "N",
	       .help = "--listen: write a line to descriptor N once the peer can call"),
};

static int check(struct cli *cli, const struct save_config *save)
{
	const bool peer = save->endpoint.duplex || (save->to && endpoint_is_two_way(save->to));

	if (!save->to)
		return cli_usage(cli, "save: --to ENDPOINT is missing");
	if (peer && save->then && then_state(save->then) != VFM_STATE_STOP)
		return cli_usage(cli, "--then: a device that is handed over to a peer stays stopped here");
	if (!save->live && (save->precopy_bytes || save->precopy_ns))
		return cli_usage(cli, "--precopy-limit-*: these limits are for --live");
	if (save->ready_fd && !endpoint_listens(save->to, &save->endpoint))
		return cli_usage(cli, "--ready-fd: there is nothing to be ready for without --listen");
	if (transfer_check_blob(cli, save->blob, save->to, true) ||
	    ready_check_distinct(cli, save->ready_fd, save->endpoint.listening_fd))
		return CLI_USAGE;
	return ready_check(cli, "--ready-fd", save->ready_fd);
}

static void fill(struct cli *cli, const struct save_config *save, struct vfm_transfer_opts *opts)
{
	transfer_prepare(cli, opts);
	opts->then_state = then_state(save->then);
	opts->precopy_limit_bytes = save->precopy_bytes;
	opts->precopy_limit_ns = save->precopy_ns;
	if (save->live)
		opts->flags |= VFM_TRANSFER_LIVE;
	if (save->no_p2p)
		opts->flags |= VFM_TRANSFER_NO_P2P;
}

/* The stream is not where it should be, so the devices must not be where only a saved device may be. */
static void go_back(struct cli *cli, const struct cli_devices *devices, const uint32_t *before)
{
	for (size_t i = 0; i < devices->count; i++) {
		struct vfm_device *dev = devices->items[i].dev;
		VFM_OPTS(vfm_error, error);
		uint32_t now = device_state(dev);

		if (now != before[i] && before[i] != VFM_STATE_UNKNOWN &&
		    vfm_device_set_state(dev, before[i], &now, &error) < 0)
			cli_warn(cli, "%s", error.message);
	}
}

/* What was not known before cannot be known to be as before. */
static bool is_as_found(const struct cli_devices *devices, const uint32_t *before)
{
	for (size_t i = 0; i < devices->count; i++) {
		if (before[i] == VFM_STATE_UNKNOWN || device_state(devices->items[i].dev) != before[i])
			return false;
	}
	return true;
}

static int commit(struct cli *cli, struct vfm_endpoint *endpoint, const struct cli_devices *devices,
		  const struct vfm_transfer_result *result, const uint32_t *before)
{
	VFM_OPTS(vfm_error, error);

	/* a peer that has said that it has everything may do with its socket what it likes */
	if (vfm_endpoint_commit(endpoint, &error) == 0 || result->commit == VFM_COMMIT_DONE)
		return CLI_DONE;
	go_back(cli, devices, before);
	if (!is_as_found(devices, before))
		return cli_fail_as(cli, CLI_ATTENTION, &error);
	return cli_fail(cli, CLI_STAGE_ACT, &error, NULL);
}

static int save_devices(struct cli *cli, const struct save_config *save, const struct cli_devices *devices,
			struct vfm_endpoint *endpoint, struct vfm_transfer_opts *opts)
{
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_device *handles[VFM_STREAM_MAX_DEVICES];
	uint32_t before[VFM_STREAM_MAX_DEVICES];
	VFM_OPTS(vfm_error, error);
	int r;

	transfer_warn_reset(cli, devices);
	devices_handles(devices, handles);
	for (size_t i = 0; i < devices->count; i++)
		before[i] = device_state(handles[i]);
	r = vfm_save(handles, devices->count, vfm_endpoint_io(endpoint), opts, &result, &error);
	r = transfer_end(cli, r, &error, &result);
	if (r == 0)
		r = commit(cli, endpoint, devices, &result, before);
	if (r == 0)
		transfer_say(cli, "Saved", &result);
	cli->changed = r == 0 && !is_as_found(devices, before);
	out_text(cli->doc, "endpoint", NULL, "%s", save->to);
	transfer_report_devices(cli, "devices", devices);
	return r;
}

static int await_peer(struct cli *cli, const struct save_config *save, struct vfm_endpoint *endpoint)
{
	int r = 0;

	if (endpoint_listens(save->to, &save->endpoint))
		r = ready_tell(cli, save->ready_fd, false, CLI_FAILED);
	return r ? r : endpoint_await(cli, endpoint);
}

static int save_to(struct cli *cli, const struct save_config *save, char **specs, size_t count,
		   struct vfm_transfer_opts *opts)
{
	struct vfm_endpoint *endpoint;
	struct cli_devices devices;
	int r = devices_check(cli, specs, count);

	if (r == 0)
		r = endpoint_open(cli, save->to, ENDPOINT_SAVE, &save->endpoint, &endpoint);
	if (r)
		return r;
	r = devices_open(cli, specs, count, &devices);
	if (r == 0) {
		r = await_peer(cli, save, endpoint);
		if (r == 0)
			r = save_devices(cli, save, &devices, endpoint, opts);
		/* a command that took the devices over is waited for, and they are held meanwhile */
		r = endpoint_close(cli, endpoint, r, r == CLI_DONE || r == CLI_DOUBT);
		devices_close(&devices);
		return r;
	}
	return endpoint_close(cli, endpoint, r, false);
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	const struct save_config *save = config;
	VFM_OPTS(vfm_transfer_opts, opts);
	void *blob = NULL;
	int r = check(cli, save);

	fill(cli, save, &opts);
	if (r == 0 && save->blob)
		r = read_blob(cli, save->blob, VFM_STREAM_MAX_BLOB, &blob, &opts.blob_length);
	opts.blob = blob;
	if (r == 0)
		r = save_to(cli, save, operands, count, &opts);
	free(blob);
	return r;
}

const struct command cmd_save = {
	.name = "save",
	.summary = "save the state of devices to a file, a pipe or a peer",
	.usage = "DEVICE... --to ENDPOINT [OPTION...]",
	.details = "Saves the state of devices, all of them in one stream. To a file or a pipe that is a snapshot: "
		   "afterwards\n"
		   "the devices are in the state they were found in, or as --then says. To a peer on a socket (which "
		   "runs\n"
		   "restore) it is a handover: the devices stay stopped once the peer has said that it has everything. "
		   "After\n"
		   "a failure every device is back in the state it was found in. A device named by its address is "
		   "opened,\n"
		   "and so reset, by this command: to save what a device holds, let its holder lend it.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct save_config),
	.min_operands = 1,
	.max_operands = VFM_STREAM_MAX_DEVICES,
	.operands = COMPLETES_DEVICE,
	.needs_machine = true,
	.run = run,
};
