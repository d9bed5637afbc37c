/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling what went wrong or is going on: one line on stderr at once, and its place in the JSON document. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define MOST_LISTED 1000 /* of notes, warnings, events in the document: a holder may live for years */

static void print_line(struct cli *cli, const char *kind, const char *text)
{
	progress_end(cli);
	fprintf(stderr, "%s: %s%s%s\n", CLI_NAME, cli_is_simulated(cli) ? "SIMULATED: " : "", kind, text);
	fflush(stderr);
}

struct out_node *cli_list_for(struct cli *cli, const char *key, const char *left_out)
{
	struct out_node *array;

	if (!cli_wants_json(cli))
		return NULL;
	array = out_array_of(cli->doc, key);
	/* and the one that is about to come */
	out_keep_last(cli->doc, array, MOST_LISTED - 1, left_out);
	return array;
}

/* @kind: what the line begins with, "" for what --quiet silences. */
__attribute__((format(printf, 5, 0))) static void tell(struct cli *cli, const char *kind, const char *key,
						       const char *left_out, const char *fmt, va_list args)
{
	char *text;

	if (vasprintf(&text, fmt, args) < 0)
		return;
	if (*kind || !cli->globals.quiet)
		print_line(cli, kind, text);
	out_text(cli_list_for(cli, key, left_out), NULL, NULL, "%s", text);
	free(text);
}

void cli_warn(struct cli *cli, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell(cli, "warning: ", "warnings", "warnings_left_out", fmt, args);
	va_end(args);
}

void cli_note(struct cli *cli, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tell(cli, "", "notes", "notes_left_out", fmt, args);
	va_end(args);
}

void cli_add_state(struct out_node *node, const char *key, const char *label, uint32_t state)
{
	if (state == VFM_STATE_UNKNOWN)
		out_null(node, key, label);
	else
		out_text(node, key, label, "%s", vfm_state_name(state));
}

static void add_text(struct out_node *node, const char *key, const char *text)
{
	if (*text)
		out_text(node, key, NULL, "%s", text);
	else
		out_null(node, key, NULL);
}

/* Nulls where no call failed: none is made up. */
static void add_errno(struct out_node *node, int code)
{
	const char *name = code > 0 ? strerrorname_np(code) : NULL;

	if (code > 0)
		out_number(node, "errno", NULL, (uint64_t)code, OUT_PLAIN);
	else
		out_null(node, "errno", NULL);
	add_text(node, "errno_name", name ?: "");
}

/* The error object of the document: the same members whatever failed. */
static void add_error(struct cli *cli, int code, const struct vfm_error *error)
{
	struct out_node *node = out_object(cli->doc, "error", NULL);

	out_text(node, "code", NULL, "%s", cli_exit_name(code));
	add_errno(node, error->code);
	add_text(node, "device", error->device);
	add_text(node, "step", error->step);
	cli_add_state(node, "state_from", NULL,
		      error->flags & VFM_ERROR_TRANSITION ? error->state_from : VFM_STATE_UNKNOWN);
	cli_add_state(node, "state_to", NULL,
		      error->flags & VFM_ERROR_TRANSITION ? error->state_to : VFM_STATE_UNKNOWN);
	cli_add_state(node, "state_now", NULL, error->state_now);
	out_bool(node, "retryable", NULL, error->flags & VFM_ERROR_RETRYABLE);
	out_bool(node, "needs_reset", NULL, error->flags & VFM_ERROR_NEEDS_RESET);
	out_bool(node, "was_reset", NULL, error->flags & VFM_ERROR_WAS_RESET);
	out_text(node, "message", NULL, "%s", error->message);
}

static void add_advice(struct cli *cli, int code, const struct vfm_error *error)
{
	if (error->flags & VFM_ERROR_NEEDS_RESET)
		print_line(cli, "", "only a reset of the device helps now");
	else if (error->flags & VFM_ERROR_WAS_RESET)
		print_line(cli, "", "what was loaded so far has been reset away: the device is blank and RUNNING");
	else if (code == CLI_UNAVAILABLE || code == CLI_USAGE)
		print_line(cli, "", "no device was touched");
	else if (error->flags & VFM_ERROR_RETRYABLE)
		print_line(cli, "", "nothing was lost, the same command may succeed later");
}

int cli_fail(struct cli *cli, enum cli_stage stage, const struct vfm_error *error,
	     const struct vfm_transfer_result *result)
{
	const int code = cli_exit_code(stage, error, result, signals_first());

	print_line(cli, "", error->message[0] ? error->message : strerror(error->code));
	add_advice(cli, code, error);
	add_error(cli, code, error);
	return code;
}

__attribute__((format(printf, 2, 0))) static struct vfm_error make_error(int code, const char *fmt, va_list args)
{
	struct vfm_error error = {
		.size = sizeof(error),
		.code = code,
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = VFM_STATE_UNKNOWN,
	};

	vsnprintf(error.message, sizeof(error.message), fmt, args);
	return error;
}

int cli_usage(struct cli *cli, const char *fmt, ...)
{
	const char *command = cli->command ? cli->command->name : "";
	struct vfm_error error;
	va_list args;

	va_start(args, fmt);
	error = make_error(EINVAL, fmt, args);
	va_end(args);
	snprintf(error.step, sizeof(error.step), "command line");
	print_line(cli, "", error.message);
	fprintf(stderr, "try '%s%s%s --help'\n", CLI_NAME, *command ? " " : "", command);
	add_error(cli, CLI_USAGE, &error);
	return CLI_USAGE;
}

int cli_fail_as(struct cli *cli, int code, const struct vfm_error *error)
{
	print_line(cli, "", error->message[0] ? error->message : strerror(error->code));
	add_error(cli, code, error);
	return code;
}

__attribute__((format(printf, 6, 0))) static int fail_args(struct cli *cli, int code, int number, const char *device,
							   const char *step, const char *fmt, va_list args)
{
	struct vfm_error error = make_error(number, fmt, args);

	snprintf(error.device, sizeof(error.device), "%s", device ? device : "");
	snprintf(error.step, sizeof(error.step), "%s", step ? step : "");
	return cli_fail_as(cli, code, &error);
}

int cli_fail_text(struct cli *cli, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	code = fail_args(cli, code, 0, NULL, NULL, fmt, args);
	va_end(args);
	return code;
}

int cli_fail_at(struct cli *cli, int code, const char *device, const char *step, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	code = fail_args(cli, code, 0, device, step, fmt, args);
	va_end(args);
	return code;
}

int cli_fail_errno(struct cli *cli, int code, int number, const char *device, const char *step, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	code = fail_args(cli, code, number, device, step, fmt, args);
	va_end(args);
	return code;
}

int cli_fail_memory(struct cli *cli)
{
	return cli_fail_errno(cli, CLI_FAILED, ENOMEM, NULL, NULL, "out of memory");
}
