/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream read to its end, what it holds kept for telling. */
#include "streams.h"

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

int stream_read(struct cli *cli, const char *from, const struct endpoint_config *config, struct stream_contents *ret)
{
	struct vfm_endpoint *endpoint;
	VFM_OPTS(vfm_error, error);
	int r = endpoint_open(cli, from, ENDPOINT_REPORT, config, &endpoint);

	*ret = (struct stream_contents){ .summary = { .size = sizeof(ret->summary) } };
	if (r)
		return r;
	r = endpoint_await(cli, endpoint);
	if (r == 0 &&
	    vfm_stream_inspect(cli->ctx, vfm_endpoint_io(endpoint), on_device, ret, &ret->summary, &error) < 0)
		r = cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
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
