/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shared half of save, restore and copy; the refusals that follow from how long device state lives. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "endpoints.h"
#include "holder.h"
#include "same-file.h"
#include "transfers.h"

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

const char *const then_choices[] = { "stop", "run", "running", "running-p2p", NULL };

uint32_t then_state(const char *choice)
{
	uint32_t state = VFM_STATE_UNKNOWN;

	if (!choice)
		return VFM_STATE_UNKNOWN;
	if (!strcmp(choice, "run"))
		return VFM_STATE_RUNNING;
	return vfm_state_from_name(choice, &state) < 0 ? VFM_STATE_UNKNOWN : state;
}

static const char *verdict_name(uint32_t verdict)
{
	static const char *const names[] = { "same", "unknown", "differs", "refused" };

	return verdict < ARRAY_SIZE(names) ? names[verdict] : "refused";
}

static int on_match(void *user, const struct vfm_match_line *line)
{
	struct cli *cli = user;
	struct out_node *node = out_object(out_array_of(cli->doc, "match"), NULL, NULL);

	out_text(node, "field", NULL, "%s", line->field);
	out_text(node, "source", NULL, "%s", line->source);
	out_text(node, "target", NULL, "%s", line->target);
	out_text(node, "verdict", NULL, "%s", verdict_name(line->verdict));
	if (line->verdict == VFM_MATCH_WARN || line->verdict == VFM_MATCH_REFUSE)
		cli_warn(cli, "%s %s: it was %s at the source, here it is %s", line->field,
			 line->verdict == VFM_MATCH_REFUSE ? "does not fit" : "differs", line->source, line->target);
	return 0;
}

void transfer_prepare(struct cli *cli, struct vfm_transfer_opts *opts)
{
	opts->progress = progress_show;
	opts->progress_user = cli;
	opts->cancel = cli->cancel;
	opts->match = on_match;
	opts->match_user = cli;
}

static const char *commit_name(uint32_t commit)
{
	static const char *const names[] = { "none", "done", "doubt" };

	return commit < ARRAY_SIZE(names) ? names[commit] : "doubt";
}

void transfer_report(struct cli *cli, const struct vfm_transfer_result *result)
{
	struct out_node *node = out_object(cli->doc, "transfer", NULL);
	char id[17];

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)result->stream_id);
	out_text(node, "commit", NULL, "%s", commit_name(result->commit));
	cli_add_state(node, "state_before", NULL, result->state_before);
	cli_add_state(node, "state_now", NULL, result->state_now);
	out_number(node, "bytes", NULL, result->bytes, OUT_PLAIN);
	out_number(node, "precopy_bytes", NULL, result->precopy_bytes, OUT_PLAIN);
	out_number(node, "stream_bytes", NULL, result->stream_bytes, OUT_PLAIN);
	out_number(node, "elapsed_ns", NULL, result->elapsed_ns, OUT_NS);
	out_number(node, "downtime_ns", NULL, result->downtime_ns, OUT_NS);
	out_text(node, "stream_id", NULL, "%s", id);
}

void transfer_report_devices(struct cli *cli, const char *key, const struct cli_devices *devices)
{
	struct out_node *array = out_array(cli->doc, key, NULL);

	for (size_t i = 0; i < devices->count; i++) {
		struct vfm_device *dev = devices->items[i].dev;
		struct out_node *node = out_object(array, NULL, NULL);
		const uint32_t state = device_state(dev);

		out_text(node, "name", NULL, "%s", vfm_device_name(dev));
		cli_add_state(node, "state", NULL, state);
		out_bool(node, "lent", NULL, !devices->items[i].opened_here);
		out_say(cli->doc, "%s is %s", vfm_device_name(dev), vfm_state_name(state));
	}
}

void transfer_say(struct cli *cli, const char *verb, const struct vfm_transfer_result *result)
{
	char bytes[OUT_HUMAN_ROOM], time[OUT_HUMAN_ROOM], down[OUT_HUMAN_ROOM], rate[OUT_HUMAN_ROOM] = "";
	const double seconds = (double)result->elapsed_ns / (double)NS_PER_S;

	out_human(result->bytes, OUT_BYTES, bytes);
	out_human(result->elapsed_ns, OUT_NS, time);
	out_human(result->downtime_ns, OUT_NS, down);
	/* on virtual time nothing may take any */
	if (result->elapsed_ns >= NS_PER_MS)
		out_human((uint64_t)((double)result->bytes / seconds), OUT_RATE, rate);
	out_say(cli->doc, "%s %s of device state in %s%s%s%s, the device stood still for %s", verb, bytes, time,
		*rate ? " (" : "", rate, *rate ? ")" : "", down);
}

int transfer_end(struct cli *cli, int r, const struct vfm_error *error, const struct vfm_transfer_result *result)
{
	int code;

	progress_end(cli);
	transfer_report(cli, result);
	if (r == 0)
		return CLI_DONE;
	code = cli_fail(cli, CLI_STAGE_ACT, error, result);
	return code == CLI_DOUBT ? holder_wait_in_doubt(cli) : code;
}

void transfer_warn_reset(struct cli *cli, const struct cli_devices *devices)
{
	const bool opened = devices_any_opened_here(devices);

	out_bool(cli->doc, "reset_by_open", NULL, opened);
	for (size_t i = 0; i < devices->count; i++) {
		if (devices->items[i].opened_here)
			cli_warn(cli,
				 "%s was opened by this command, and vfio-pci resets a device that is opened: "
				 "what is saved is a reset device. To save what a device holds, let its holder lend it "
				 "(scm:PATH, fd:N)",
				 devices->items[i].spec);
	}
}

int transfer_check_life(struct cli *cli, char **specs, size_t count, bool keeps)
{
	for (size_t i = 0; i < count && !keeps; i++) {
		if (!device_is_lent(specs[i]))
			return cli_usage(
				cli,
				"what is loaded into %s would be lost at once: a device is reset when its last "
				"descriptor is closed, here at the end of this command. Name a device that "
				"somebody holds (scm:PATH, fd:N), or go on holding it: --hold, --pass "
				"unix:PATH, --exec COMMAND",
				specs[i]);
	}
	return 0;
}

static int refuse_run(struct cli *cli)
{
	return cli_usage(cli,
			 "a device that runs does DMA, and its address space is empty here: run it where its memory is "
			 "mapped, have it lent together with its address space, or say --force");
}

int transfer_check_run(struct cli *cli, const struct cli_devices *devices, uint32_t then, bool force)
{
	if (then == VFM_STATE_UNKNOWN || then == VFM_STATE_STOP || force || devices_have_space(devices))
		return 0;
	return refuse_run(cli);
}

int transfer_check_run_named(struct cli *cli, char **specs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!device_is_lent(specs[i]))
			return refuse_run(cli);
	}
	return 0;
}

/* blobs */

int transfer_check_blob(struct cli *cli, const char *blob, const char *stream, bool saves)
{
	struct stat a, b;

	if (!blob || !same_file_stat(blob, saves ? STDIN_FILENO : STDOUT_FILENO, &a) ||
	    !same_file_stat(stream, saves ? STDOUT_FILENO : STDIN_FILENO, &b) || S_ISCHR(a.st_mode) ||
	    !same_file(&a, &b))
		return 0;
	return cli_usage(cli, "--blob: %s is the same file as %s", blob, stream);
}

static int read_to_end(const struct vfm_io *io, char *buf, size_t room, size_t *ret_length)
{
	*ret_length = 0;
	while (*ret_length < room) {
		int64_t n = io->read(io->user, buf + *ret_length, room - *ret_length);

		if (n <= 0)
			return (int)n;
		*ret_length += (size_t)n;
	}
	return 0;
}

static int fail_blob(struct cli *cli, const char *path, int r)
{
	struct vfm_error error = { .size = sizeof(error), .code = -r, .step = "blob" };

	if (r != -ECANCELED && r != -ETIMEDOUT)
		return cli_fail_errno(cli, CLI_FAILED, -r, NULL, "blob", "%s: %s", path, strerror(-r));
	error.flags = r == -ETIMEDOUT ? VFM_ERROR_PEER | VFM_ERROR_RETRYABLE : 0;
	snprintf(error.message, sizeof(error.message), "blob: %s: %s", path, strerror(-r));
	return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
}

int read_blob(struct cli *cli, const char *path, size_t max, void **ret, size_t *ret_length)
{
	const struct endpoint_config config = { 0 };
	struct vfm_endpoint *endpoint;
	char *buf = NULL;
	int r;

	if (has_prefix(path, "exec:") || has_prefix(path, "systemd:"))
		return cli_usage(cli, "%s: that is for the stream", path);
	r = endpoint_open(cli, path, ENDPOINT_REPORT, &config, &endpoint);
	if (r)
		return r;
	buf = malloc(max + 1);
	r = buf ? read_to_end(vfm_endpoint_io(endpoint), buf, max + 1, ret_length) : -ENOMEM;
	vfm_endpoint_close(endpoint);
	if (r == 0 && *ret_length <= max) {
		*ret = buf;
		return 0;
	}
	free(buf);
	return r < 0 ? fail_blob(cli, path, r) : cli_usage(cli, "%s: at most %zu bytes can be carried", path, max);
}
