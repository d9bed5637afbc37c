/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ENDPOINT on the command line and the options that go with it. */
#ifndef VFIOMIGCTL_ENDPOINTS_H
#define VFIOMIGCTL_ENDPOINTS_H

#include "cli.h"

struct endpoint_config {
	bool listen;
	bool connect;
	bool duplex;
	bool force;
	uint64_t listening_fd; /* 0 for none */
};

/* Entries of an option table for a command whose config has an endpoint_config as its member @field. */
#define ENDPOINT_OPTIONS(config, field)                                                                                \
	OPTION(config, field.listen, FLAG, "listen", .help = "sockets: wait for the peer"),                            \
		OPTION(config, field.connect, FLAG, "connect", .help = "sockets: call the peer"),                      \
		OPTION(config, field.duplex, FLAG, "duplex",                                                           \
		       .help = "- and fd:N: a two-way channel to a peer that answers"),                                \
		OPTION(config, field.listening_fd, DESCRIPTOR, "listening-fd", .value = "N",                           \
		       .help = "write \"listening ADDRESS\" to descriptor N once the peer can call")

enum endpoint_use {
	ENDPOINT_SAVE,	  /* written to; sockets call */
	ENDPOINT_RESTORE, /* read from; sockets wait */
	ENDPOINT_REPORT,  /* read from, one-way, to be looked at only */
	ENDPOINT_BLOB,	  /* written to: a file of the caller's own bytes */
};

/* Says where it listens. Return: 0 or an exit code, told. */
int endpoint_open(struct cli *cli, const char *spec, enum endpoint_use use, const struct endpoint_config *config,
		  struct vfm_endpoint **ret_endpoint);

/* The peer is there: a listening socket waits for it. Return: 0 or an exit code, told. */
int endpoint_await(struct cli *cli, struct vfm_endpoint *endpoint);

/* Closes @endpoint and ends the command behind it, if there is one: peer_end(). Return: the exit code. */
int endpoint_close(struct cli *cli, struct vfm_endpoint *endpoint, int code, bool stands);

/* Whether the name alone says that a peer answers there. */
bool endpoint_is_two_way(const char *spec);

/* Whether a peer is waited for, as far as the options and the name tell. */
bool endpoint_listens(const char *spec, const struct endpoint_config *config);

/* Whether it names a regular file: one that can be read twice. */
bool endpoint_is_regular(const char *spec);

#endif
