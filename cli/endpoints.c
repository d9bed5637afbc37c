/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening endpoints with the directions and roles that fit each command. */
#include <string.h>
#include <sys/stat.h>

#include "endpoints.h"

#define NS_PER_MS 1000000u

bool endpoint_is_socket(const char *spec)
{
	return !strncmp(spec, "unix:", 5) || !strncmp(spec, "tcp:", 4);
}

bool endpoint_is_regular(const char *spec)
{
	struct stat st;

	if (endpoint_is_socket(spec) || !strcmp(spec, "-") || !strncmp(spec, "fd:", 3))
		return false;
	if (!strncmp(spec, "file:", 5))
		spec += 5;
	return stat(spec, &st) == 0 && S_ISREG(st.st_mode);
}

static uint32_t flags_of(const char *spec, enum endpoint_use use, const struct endpoint_config *config)
{
	const bool reads = use == ENDPOINT_RESTORE || use == ENDPOINT_REPORT;
	uint32_t flags = reads ? VFM_ENDPOINT_READ : VFM_ENDPOINT_WRITE;
	bool listens = use == ENDPOINT_RESTORE;

	if (config->listen)
		listens = true;
	if (config->connect)
		listens = false;
	if ((endpoint_is_socket(spec) && listens) || config->listen)
		flags |= VFM_ENDPOINT_LISTEN | VFM_ENDPOINT_BACKGROUND_BIND;
	if (config->duplex)
		flags |= VFM_ENDPOINT_DUPLEX;
	if (config->force)
		flags |= VFM_ENDPOINT_FORCE;
	return flags;
}

/* Standard output can carry one thing: the stream, or what there is to tell. */
static int claim_stdout(struct cli *cli, const char *spec, uint32_t flags)
{
	const bool writes = flags & (VFM_ENDPOINT_WRITE | VFM_ENDPOINT_DUPLEX);

	if (!writes || (strcmp(spec, "-") && strcmp(spec, "fd:1")))
		return 0;
	if (cli->globals.json && !cli->globals.json_file)
		return cli_usage(cli, "the stream goes to standard output, so --json needs --json-file=FILE");
	cli->data_on_stdout = true;
	return 0;
}

static uint32_t timeout_ms(const struct cli *cli)
{
	uint64_t ms = cli->globals.timeout_ns / NS_PER_MS + (cli->globals.timeout_ns % NS_PER_MS != 0);

	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

int endpoint_open(struct cli *cli, const char *spec, enum endpoint_use use, const struct endpoint_config *config,
		  struct vfm_endpoint **ret_endpoint)
{
	struct vfm_endpoint_opts opts = { .size = sizeof(opts), .flags = flags_of(spec, use, config) };
	VFM_OPTS(vfm_error, error);
	int r;

	if (config->listen && config->connect)
		return cli_usage(cli, "--listen and --connect exclude each other");
	r = claim_stdout(cli, spec, opts.flags);
	if (r)
		return r;
	opts.timeout_ms = timeout_ms(cli);
	opts.cancel = cli->cancel;
	if (vfm_endpoint_open(cli->ctx, spec, &opts, ret_endpoint, &error) < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	if (opts.flags & VFM_ENDPOINT_LISTEN) {
		cli_note(cli, "listening on %s", vfm_endpoint_address(*ret_endpoint));
		out_text(cli->doc, "listening", NULL, "%s", vfm_endpoint_address(*ret_endpoint));
	}
	return 0;
}

int endpoint_await(struct cli *cli, struct vfm_endpoint *endpoint)
{
	VFM_OPTS(vfm_error, error);

	return vfm_endpoint_accept(endpoint, &error) < 0 ? cli_fail(cli, CLI_STAGE_OPEN, &error, NULL) : 0;
}
