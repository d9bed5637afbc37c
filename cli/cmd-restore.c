/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl restore: a stream into devices that somebody holds, or goes on holding. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "endpoints.h"
#include "holder.h"
#include "mapping.h"
#include "peer.h"
#include "ready.h"
#include "streams.h"
#include "transfers.h"

struct restore_config {
	struct endpoint_config endpoint;
	struct holder_config holder;
	struct string_list map;
	const char *from;
	const char *then;
	const char *blob;
	bool hold;
	bool force;
	bool ignore_mismatch;
};

static const struct option_def options[] = {
	OPTION(restore_config, from, STRING, "from", .value = "ENDPOINT",
	       .help = "where the stream comes from (required)", .completes = COMPLETES_ENDPOINT),
	OPTION(restore_config, map, LIST, "map", .value = "SRC=DST",
	       .help = "device SRC of the stream goes to DEVICE DST (names, or indexes from 0)"),
	OPTION(restore_config, then, CHOICE, "then", .value = "STATE",
	       .help = "state of the devices after success; without it stop", .choices = then_choices,
	       .completes = COMPLETES_STATE),
	OPTION(restore_config, blob, STRING, "blob", .value = "FILE",
	       .help = "put the bytes that save --blob was given here", .completes = COMPLETES_FILE),
	OPTION(restore_config, ignore_mismatch, FLAG, "ignore-mismatch",
	       .help = "load although the device is not like the source's"),
	OPTION(restore_config, force, FLAG, "force",
	       .help = "run although the address space is empty; replace the blob's FILE"),
	ENDPOINT_OPTIONS(restore_config, endpoint),
	OPTION(restore_config, hold, FLAG, "hold", .help = "go on holding the devices in the foreground"),
	HOLDER_OPTIONS(restore_config, holder),
};

static bool keeps(const struct restore_config *restore)
{
	return restore->hold || restore->holder.pass || restore->holder.exec;
}

static int check(struct cli *cli, const struct restore_config *restore, char **specs, size_t count)
{
	const uint32_t then = then_state(restore->then);
	int r;

	if (!restore->from)
		return cli_usage(cli, "restore: --from ENDPOINT is missing");
	if (restore->holder.ready_fd && !keeps(restore))
		return cli_usage(cli, "--ready-fd: there is nothing to be ready for without --hold, --pass or --exec; "
				      "that the peer can call is told by --listening-fd");
	r = transfer_check_blob(cli, restore->blob, restore->from, false);
	if (r == 0)
		r = holder_check(cli, &restore->holder);
	if (r == 0)
		r = ready_check_distinct(cli, restore->holder.ready_fd, restore->endpoint.listening_fd);
	if (r == 0)
		r = transfer_check_life(cli, specs, count, keeps(restore));
	if (r == 0 && !restore->force && then != VFM_STATE_UNKNOWN && then != VFM_STATE_STOP)
		r = transfer_check_run_named(cli, specs, count);
	return r == 0 ? devices_check(cli, specs, count) : r;
}

/* What is opened, and may fail, before a device is touched. */
struct restore_ends {
	struct vfm_endpoint *stream;
	struct vfm_endpoint *blob; /* NULL without --blob */
	struct holder *holder;
	int blob_code; /* what became of the blob */
	bool loaded;   /* the devices hold what came, running or not */
};

/* The source's last word has been sent; what the peer does with the socket after it changes nothing. */
static void hang_up(struct restore_ends *ends)
{
	if (ends->stream && vfm_endpoint_is_duplex(ends->stream))
		(void)!vfm_endpoint_commit(ends->stream, NULL);
	vfm_endpoint_close(ends->stream);
	ends->stream = NULL;
}

static void close_ends(struct restore_ends *ends)
{
	hang_up(ends);
	vfm_endpoint_close(ends->blob);
	holder_free(ends->holder);
}

static int open_ends(struct cli *cli, const struct restore_config *restore, struct restore_ends *ret)
{
	const struct endpoint_config blob_config = { .force = restore->force };
	int r = holder_prepare(cli, &restore->holder, &ret->holder);

	if (r == 0 && restore->blob)
		r = endpoint_open(cli, restore->blob, ENDPOINT_BLOB, &blob_config, &ret->blob);
	if (r == 0)
		r = endpoint_open(cli, restore->from, ENDPOINT_RESTORE, &restore->endpoint, &ret->stream);
	return r;
}

/* The devices are loaded by now, so that is no reason to let them go. */
static int write_blob(struct cli *cli, const char *path, struct vfm_endpoint *endpoint, const void *blob, size_t length)
{
	VFM_OPTS(vfm_error, error);
	int r = vfm_endpoint_io(endpoint)->write(vfm_endpoint_io(endpoint)->user, blob, length);

	if (r < 0)
		return cli_fail_errno(cli, CLI_ATTENTION, -r, NULL, "blob", "%s: %s", path, strerror(-r));
	if (vfm_endpoint_commit(endpoint, &error) < 0)
		return cli_fail_as(cli, CLI_ATTENTION, &error);
	return 0;
}

static void fill(struct cli *cli, const struct restore_config *restore, struct vfm_transfer_opts *opts)
{
	transfer_prepare(cli, opts);
	opts->then_state = then_state(restore->then);
	if (restore->ignore_mismatch)
		opts->flags |= VFM_TRANSFER_ALLOW_MISMATCH;
}

static int load(struct cli *cli, const struct restore_config *restore, const struct cli_devices *devices,
		struct restore_ends *ends, struct vfm_transfer_opts *opts)
{
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_device *handles[VFM_STREAM_MAX_DEVICES];
	VFM_OPTS(vfm_error, error);
	size_t blob_length = 0;
	void *blob = NULL;
	int r;

	if (restore->blob) {
		opts->ret_blob = &blob;
		opts->ret_blob_length = &blob_length;
	}
	devices_handles(devices, handles);
	r = vfm_restore(handles, devices->count, vfm_endpoint_io(ends->stream), opts, &result, &error);
	/* a source that still waits must not wait for the end of a doubt that is ours as well */
	hang_up(ends);
	/* what the source gave up is here and nowhere else, whether it runs or not */
	ends->loaded = r == 0 || result.commit == VFM_COMMIT_DONE;
	cli->changed = ends->loaded;
	r = transfer_end(cli, r, &error, &result);
	if (r == 0)
		transfer_say(cli, "Restored", &result);
	if (ends->loaded && restore->blob)
		ends->blob_code = write_blob(cli, restore->blob, ends->blob, blob, blob_length);
	/* a reader of it must not wait for the end of the holding */
	vfm_endpoint_close(ends->blob);
	ends->blob = NULL;
	free(blob);
	transfer_report_devices(cli, "devices", devices);
	return r;
}

/* @code: of the load; other than 0 it is that of devices that were handed over but did not start. */
static int hold_loaded(struct cli *cli, const struct cli_devices *devices, struct restore_ends *ends, int code)
{
	int r;

	cli_tell_now(cli);
	if (code)
		cli_warn(cli, "what the source gave up is held here all the same: process %d ends that by SIGTERM",
			 (int)getpid());
	r = holder_run(ends->holder, devices, true);
	if (code == 0)
		code = ends->blob_code;
	return code ? code : r;
}

static int restore_into(struct cli *cli, const struct restore_config *restore, const struct cli_devices *devices,
			struct restore_ends *ends)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	uint32_t map[VFM_STREAM_MAX_DEVICES];
	int r = transfer_check_run(cli, devices, then_state(restore->then), restore->force);

	fill(cli, restore, &opts);
	if (r == 0 && restore->map.count) {
		r = mapping_resolve(cli, &restore->map, restore->from, devices, map);
		opts.map = map;
		opts.map_length = restore->map.count;
	}
	if (r == 0)
		r = endpoint_await(cli, ends->stream);
	if (r == 0)
		r = load(cli, restore, devices, ends, &opts);
	hang_up(ends);
	if (ends->loaded && keeps(restore))
		return hold_loaded(cli, devices, ends, r);
	return r ? r : ends->blob_code;
}

/* What can be read twice is found intact before any device is opened or loses what it holds. */
static int read_ahead(struct cli *cli, const struct restore_config *restore)
{
	struct stream_contents contents;

	if (!endpoint_is_regular(restore->from))
		return 0;
	return stream_read(cli, restore->from, &restore->endpoint, &contents);
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	const struct restore_config *restore = config;
	struct restore_ends ends = { 0 };
	struct cli_devices devices;
	int r = check(cli, restore, operands, count);

	if (r == 0)
		r = read_ahead(cli, restore);
	if (r == 0)
		r = open_ends(cli, restore, &ends);
	if (r == 0)
		r = devices_open(cli, operands, count, &devices);
	if (r == 0) {
		r = restore_into(cli, restore, &devices, &ends);
		devices_close(&devices);
	}
	close_ends(&ends);
	return peer_end(cli, r, ends.loaded || r == CLI_DOUBT);
}

const struct command cmd_restore = {
	.name = "restore",
	.summary = "load a saved state into devices that live on",
	.usage = "DEVICE... --from ENDPOINT [OPTION...] [--hold] [--pass unix:PATH] [--exec COMMAND...]",
	.details =
		"Loads a stream into devices. A regular file is checked to its end before a device is touched; from\n"
		"elsewhere nothing leaves the loading state before the whole stream has been found intact, and after\n"
		"any failure the devices are reset. A device keeps what was loaded only as long as "
		"somebody\n"
		"holds it: name devices that are lent (scm:PATH, fd:N), or go on holding them with --hold, --pass or\n"
		"--exec; without either, restore refuses. Sockets wait for a peer that saves. The devices end "
		"stopped;\n"
		"--then run starts them where their address space came with them, elsewhere only with --force.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct restore_config),
	.min_operands = 1,
	.max_operands = VFM_STREAM_MAX_DEVICES,
	.operands = COMPLETES_DEVICE,
	.needs_machine = true,
	.run = run,
};
