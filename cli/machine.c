/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the run works on: the running kernel, or a simulated machine by --sim or VFIOMIG_SIM. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quirks-file.h"

#define ENVIRONMENT "VFIOMIG_SIM"

/* A value with a '/' or one that names a file is a machine file, any other a list of devices. */
static bool is_machine_file(const char *value)
{
	return strchr(value, '/') || access(value, F_OK) == 0;
}

static int open_simulated(struct cli *cli)
{
	const char *value = cli->sim_value, *path = NULL, *spec = cli->globals.sim_devices;
	char message[256] = "";
	int r;

	if (is_machine_file(value))
		path = value;
	else if (*value && spec)
		return cli_usage(cli, "--sim-devices is for a machine in a file; say --sim=FILE");
	else if (*value)
		spec = value;
	r = vfm_sim_open(path, spec, &cli->sim, message, sizeof(message));
	if (r < 0)
		return cli_fail_errno(cli, r == -EINVAL ? CLI_USAGE : CLI_UNAVAILABLE, -r, NULL, "simulated machine",
				      "simulated machine %s: %s", *value ? value : "in memory",
				      message[0] ? message : strerror(-r));
	r = vfm_sim_context(cli->sim, &cli->ctx);
	if (r < 0)
		return cli_fail_errno(cli, CLI_FAILED, -r, NULL, "simulated machine", "simulated machine: %s",
				      strerror(-r));
	return 0;
}

const char *cli_machine_name(const struct cli *cli)
{
	const char *value = getenv(ENVIRONMENT);

	if (cli->globals.sim)
		return cli->globals.sim;
	return value && *value ? value : NULL;
}

/* Children and scripts stand on the same machine. */
static int choose(struct cli *cli)
{
	const char *value = cli_machine_name(cli);

	if (!value)
		return 0;
	cli->sim_value = strdup(value);
	if (!cli->sim_value || setenv(ENVIRONMENT, value, 1) < 0)
		return cli_fail_memory(cli);
	return 0;
}

static void log_line(void *user, int level, const char *message)
{
	struct cli *cli = user;

	progress_end(cli);
	fprintf(stderr, "%s: %s%s%s\n", CLI_NAME, cli_is_simulated(cli) ? "SIMULATED: " : "",
		level <= VFM_LOG_WARNING ? "warning: " : "", message);
}

int cli_open_machine(struct cli *cli)
{
	static const int levels[] = { VFM_LOG_WARNING, VFM_LOG_INFO, VFM_LOG_DEBUG };
	const unsigned int verbose = cli->globals.verbose < 2 ? cli->globals.verbose : 2;
	int r = choose(cli);

	if (r)
		return r;
	if (cli->sim_value)
		r = open_simulated(cli);
	else if (vfm_context_new(&cli->ctx) < 0)
		r = cli_fail_memory(cli);
	if (r)
		return r;
	vfm_context_set_log(cli->ctx, levels[verbose], log_line, cli);
	r = cli->globals.quirks_file ? quirks_file_apply(cli, cli->globals.quirks_file) : 0;
	if (r)
		return r;
	r = vfm_cancel_new(cli->ctx, &cli->cancel);
	if (r == 0)
		r = signals_install(cli->cancel);
	if (r < 0)
		return cli_fail_errno(cli, CLI_FAILED, -r, NULL, "signals", "cannot prepare for signals: %s",
				      strerror(-r));
	return 0;
}

void cli_close_machine(struct cli *cli)
{
	signals_forget();
	vfm_cancel_free(cli->cancel);
	vfm_context_free(cli->ctx);
	vfm_sim_close(cli->sim);
	free(cli->sim_value);
	cli->cancel = NULL;
	cli->ctx = NULL;
	cli->sim = NULL;
	cli->sim_value = NULL;
}

bool cli_is_simulated(const struct cli *cli)
{
	return cli->ctx && vfm_context_is_simulated(cli->ctx);
}
