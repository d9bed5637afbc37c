/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a stream to look at it: what inspect and verify share. */
#ifndef VFIOMIGCTL_STREAMS_H
#define VFIOMIGCTL_STREAMS_H

#include "endpoints.h"

struct stream_contents {
	struct vfm_stream_summary summary;
	struct vfm_stream_device devices[VFM_STREAM_MAX_DEVICES];
	struct vfm_identity identities[VFM_STREAM_MAX_DEVICES]; /* which the devices point to: not to be copied */
	struct vfm_config_info configs[VFM_STREAM_MAX_DEVICES];
	size_t count;
};

/* @ret is filled as far as the stream is known, also on failure. Return: 0 or an exit code, told. */
int stream_read(struct cli *cli, const char *from, const struct endpoint_config *config, struct stream_contents *ret);

/* "1 device, 64.0 MiB of state"; @buf is returned. */
const char *stream_size_text(const struct stream_contents *contents, char *buf, size_t room);

#endif
