/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening endpoints with the directions and roles that fit each command. */
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activation.h"
#include "endpoints.h"
#include "peer.h"
#include "ready.h"
#include "same-file.h"

#define NS_PER_MS 1000000u
#define EXEC_PREFIX "exec:"
#define SYSTEMD_PREFIX "systemd:"
#define FD_PREFIX "fd:"

/* One that is made here, so that it can listen or call. */
static bool is_socket(const char *spec)
{
	return has_prefix(spec, "unix:") || has_prefix(spec, "tcp:") || has_prefix(spec, "vsock:");
}

bool endpoint_is_two_way(const char *spec)
{
	return is_socket(spec) || has_prefix(spec, EXEC_PREFIX) || has_prefix(spec, SYSTEMD_PREFIX);
}

bool endpoint_is_regular(const char *spec)
{
	struct stat st;

	if (endpoint_is_two_way(spec) || !strcmp(spec, "-") || has_prefix(spec, FD_PREFIX))
		return false;
	if (has_prefix(spec, "file:"))
		spec += 5;
	return stat(spec, &st) == 0 && S_ISREG(st.st_mode);
}

static bool fd_listens(const char *spec)
{
	int listens = 0;
	socklen_t length = sizeof(listens);
	uint64_t fd;

	return has_prefix(spec, FD_PREFIX) && parse_number(spec + strlen(FD_PREFIX), INT32_MAX, &fd) == 0 &&
	       getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens;
}

bool endpoint_listens(const char *spec, const struct endpoint_config *config)
{
	return config->listen || has_prefix(spec, SYSTEMD_PREFIX) || fd_listens(spec);
}

static uint32_t flags_of(const char *spec, enum endpoint_use use, const struct endpoint_config *config)
{
	const bool reads = use == ENDPOINT_RESTORE || use == ENDPOINT_REPORT;
	const bool two_way = config->duplex || (endpoint_is_two_way(spec) && use != ENDPOINT_REPORT);
	uint32_t flags = (reads ? VFM_ENDPOINT_READ : VFM_ENDPOINT_WRITE) | VFM_ENDPOINT_BACKGROUND_BIND;
	bool listens = use == ENDPOINT_RESTORE;

	if (config->listen)
		listens = true;
	if (config->connect)
		listens = false;
	if ((is_socket(spec) && listens) || config->listen)
		flags |= VFM_ENDPOINT_LISTEN;
	if (two_way)
		flags |= VFM_ENDPOINT_DUPLEX;
	if (config->force)
		flags |= VFM_ENDPOINT_FORCE;
	return flags;
}

/*
 * What the library knows as a descriptor only: @room gets "fd:N", *ret_fd the descriptor, to be closed once the library
 * has its own; -1 and the name as it is for everything else.
 */
static int resolve(struct cli *cli, const char *spec, enum endpoint_use use, char *room, size_t size,
		   const char **ret_spec, int *ret_fd)
{
	int r = 0;

	*ret_spec = spec;
	*ret_fd = -1;
	if (use == ENDPOINT_BLOB && (has_prefix(spec, EXEC_PREFIX) || has_prefix(spec, SYSTEMD_PREFIX)))
		return cli_usage(cli, "%s: that is for the stream", spec);
	if (has_prefix(spec, EXEC_PREFIX))
		r = peer_start(cli, spec + strlen(EXEC_PREFIX), ret_fd);
	else if (has_prefix(spec, SYSTEMD_PREFIX))
		r = activation_take(cli, spec + strlen(SYSTEMD_PREFIX), ret_fd);
	else
		return 0;
	if (r)
		return r;
	/* a command that is only read from is told that nothing will come */
	if (cli->peer && use == ENDPOINT_REPORT)
		shutdown(*ret_fd, SHUT_WR);
	snprintf(room, size, "fd:%d", *ret_fd);
	*ret_spec = room;
	return 0;
}

static int check_roles(struct cli *cli, const char *spec, const struct endpoint_config *config, uint32_t flags)
{
	if (config->listen && config->connect)
		return cli_usage(cli, "--listen and --connect exclude each other");
	if (config->connect && has_prefix(spec, SYSTEMD_PREFIX))
		return cli_usage(cli, "--connect: a socket that was handed over calls nobody");
	if (config->connect && !is_socket(spec))
		return cli_usage(cli, "--connect: only sockets can call a peer, %s is none", spec);
	if (config->listen && (has_prefix(spec, SYSTEMD_PREFIX) || has_prefix(spec, EXEC_PREFIX)))
		return cli_usage(cli, "--listen: %s is there already, or never", spec);
	if (config->listening_fd && !(flags & VFM_ENDPOINT_LISTEN) && !endpoint_listens(spec, config))
		return cli_usage(cli, "--listening-fd: nobody is waited for on %s", spec);
	return ready_check(cli, "--listening-fd", config->listening_fd);
}

/* By whatever name: what is for people would land behind the stream, and damage it. */
static bool is_stdout(const char *spec)
{
	struct stat there, standard;

	if (!strcmp(spec, "-") || !strcmp(spec, "fd:1"))
		return true;
	if (endpoint_is_two_way(spec) || !same_file_stat(spec, STDOUT_FILENO, &there) ||
	    fstat(STDOUT_FILENO, &standard) < 0 || !same_file(&there, &standard))
		return false;
	/* /dev/null keeps nothing that could be mixed up */
	return !S_ISCHR(standard.st_mode) || isatty(STDOUT_FILENO);
}

/* Standard output can carry one thing: the stream, or what there is to tell. */
static int claim_stdout(struct cli *cli, const char *spec, uint32_t flags)
{
	const bool writes = flags & (VFM_ENDPOINT_WRITE | VFM_ENDPOINT_DUPLEX);

	if (!writes || !is_stdout(spec))
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

static int open_resolved(struct cli *cli, const char *spec, const struct vfm_endpoint_opts *opts,
			 struct vfm_endpoint **ret_endpoint)
{
	VFM_OPTS(vfm_error, error);

	if (vfm_endpoint_open(cli->ctx, spec, opts, ret_endpoint, &error) < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	if (opts->flags & VFM_ENDPOINT_LISTEN) {
		cli_note(cli, "listening on %s", vfm_endpoint_address(*ret_endpoint));
		out_text(cli->doc, "listening", NULL, "%s", vfm_endpoint_address(*ret_endpoint));
	}
	return 0;
}

/* A socket that listened before this process began has the name it was given by. */
static int tell_listening(struct cli *cli, const char *spec, const struct endpoint_config *config, uint32_t flags,
			  struct vfm_endpoint *endpoint)
{
	return ready_listening(cli, config->listening_fd,
			       flags & VFM_ENDPOINT_LISTEN ? vfm_endpoint_address(endpoint) : spec);
}

int endpoint_open(struct cli *cli, const char *spec, enum endpoint_use use, const struct endpoint_config *config,
		  struct vfm_endpoint **ret_endpoint)
{
	struct vfm_endpoint_opts opts = { .size = sizeof(opts), .flags = flags_of(spec, use, config) };
	const char *known = spec;
	char room[24];
	int fd = -1, r = check_roles(cli, spec, config, opts.flags);

	if (r == 0)
		r = resolve(cli, spec, use, room, sizeof(room), &known, &fd);
	if (r == 0)
		r = claim_stdout(cli, known, opts.flags);
	if (r)
		goto out;
	opts.timeout_ms = timeout_ms(cli);
	opts.cancel = cli->cancel;
	opts.name = fd < 0 ? NULL : spec;
	r = open_resolved(cli, known, &opts, ret_endpoint);
	if (r)
		goto out;
	r = tell_listening(cli, spec, config, opts.flags, *ret_endpoint);
	if (r) {
		vfm_endpoint_close(*ret_endpoint);
		*ret_endpoint = NULL;
	}
out:
	if (fd >= 0)
		close(fd);
	return r ? peer_end(cli, r, false) : 0;
}

int endpoint_close(struct cli *cli, struct vfm_endpoint *endpoint, int code, bool stands)
{
	vfm_endpoint_close(endpoint);
	return peer_end(cli, code, stands);
}

int endpoint_await(struct cli *cli, struct vfm_endpoint *endpoint)
{
	VFM_OPTS(vfm_error, error);

	return vfm_endpoint_accept(endpoint, &error) < 0 ? cli_fail(cli, CLI_STAGE_OPEN, &error, NULL) : 0;
}
