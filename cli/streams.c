/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream read to its end, what it holds kept for telling. */
#include <errno.h>

#include "peer.h"
#include "streams.h"

/* The channel, and whether its end has been seen: a stream that is damaged behind it was cut off there. */
struct watched_channel {
	const struct vfm_io *io;
	bool ended;
};

static int64_t watched_read(void *user, void *buf, size_t length)
{
	struct watched_channel *channel = user;
	int64_t n = channel->io->read(channel->io->user, buf, length);

	channel->ended = n == 0;
	return n;
}

static int on_device(void *user, const struct vfm_stream_device *device)
{
	struct stream_contents *contents = user;
	struct vfm_identity *identity;

	if (contents->count == VFM_STREAM_MAX_DEVICES)
		return 0;
	identity = &contents->identities[contents->count];
	*identity = *device->identity;
	contents->devices[contents->count] = *device;
	if (device->config) {
		contents->configs[contents->count] = *device->config;
		contents->devices[contents->count].config = &contents->configs[contents->count];
	}
	contents->devices[contents->count++].identity = identity;
	return 0;
}

/* What a command leaves behind that fails is no stream yet, so nobody has damaged one. */
static int tell_failure(struct cli *cli, const struct watched_channel *channel, const struct vfm_error *error)
{
	if (error->code == EBADMSG && channel->ended && peer_has_failed(cli))
		return cli_fail_as(cli, CLI_PEER, error);
	return cli_fail(cli, CLI_STAGE_OPEN, error, NULL);
}

static int inspect(struct cli *cli, struct vfm_endpoint *endpoint, struct stream_contents *ret)
{
	struct watched_channel channel = { .io = vfm_endpoint_io(endpoint) };
	const struct vfm_io io = { .size = sizeof(io), .user = &channel, .read = watched_read };
	VFM_OPTS(vfm_error, error);

	if (vfm_stream_inspect(cli->ctx, &io, on_device, ret, &ret->summary, &error) == 0)
		return 0;
	return tell_failure(cli, &channel, &error);
}

int stream_read(struct cli *cli, const char *from, const struct endpoint_config *config, struct stream_contents *ret)
{
	struct vfm_endpoint *endpoint;
	int r = endpoint_open(cli, from, ENDPOINT_REPORT, config, &endpoint);

	*ret = (struct stream_contents){ .summary = { .size = sizeof(ret->summary) } };
	if (r)
		return r;
	r = endpoint_await(cli, endpoint);
	if (r == 0)
		r = inspect(cli, endpoint, ret);
	return endpoint_close(cli, endpoint, r, false);
}

const char *stream_size_text(const struct stream_contents *contents, char *buf, size_t room)
{
	uint64_t bytes = 0;
	char human[OUT_HUMAN_ROOM];

	for (size_t i = 0; i < contents->count; i++)
		bytes += contents->devices[i].precopy_bytes + contents->devices[i].stop_copy_bytes;
	snprintf(buf, room, "%zu device%s, %s of state", contents->count, contents->count == 1 ? "" : "s",
		 out_human(bytes, OUT_BYTES, human));
	return buf;
}
