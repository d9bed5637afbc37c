/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which device of a stream goes to which device here, as the caller says it. */
#include <stdlib.h>
#include <string.h>

#include "endpoints.h"
#include "mapping.h"

/* Names of the stream's devices, learned only when an entry needs them. */
struct sources {
	char names[VFM_STREAM_MAX_DEVICES][64];
	size_t count;
};

static int on_device(void *user, const struct vfm_stream_device *device)
{
	struct sources *sources = user;

	if (device->index < VFM_STREAM_MAX_DEVICES && device->index >= sources->count) {
		snprintf(sources->names[device->index], sizeof(sources->names[0]), "%s", device->identity->name);
		sources->count = device->index + 1;
	}
	return 0;
}

static int learn(struct cli *cli, const char *from, struct sources *sources)
{
	struct vfm_stream_summary summary = { .size = sizeof(summary) };
	const struct endpoint_config config = { 0 };
	struct vfm_endpoint *endpoint;
	VFM_OPTS(vfm_error, error);
	int r;

	if (sources->count)
		return 0;
	if (!endpoint_is_regular(from))
		return cli_usage(cli, "--map: a stream that is not in a file can be read once only, so its devices are "
				      "named by index: --map 0=DEVICE");
	r = endpoint_open(cli, from, ENDPOINT_REPORT, &config, &endpoint);
	if (r)
		return r;
	r = vfm_stream_inspect(cli->ctx, vfm_endpoint_io(endpoint), on_device, sources, &summary, &error);
	vfm_endpoint_close(endpoint);
	return r < 0 ? cli_fail(cli, CLI_STAGE_OPEN, &error, NULL) : 0;
}

static int find_source(struct cli *cli, const char *name, const char *from, struct sources *sources, uint64_t *ret)
{
	int r;

	if (parse_number(name, VFM_STREAM_MAX_DEVICES - 1, ret) == 0)
		return 0;
	r = learn(cli, from, sources);
	if (r)
		return r;
	for (size_t i = 0; i < sources->count; i++) {
		if (!strcmp(sources->names[i], name)) {
			*ret = i;
			return 0;
		}
	}
	return cli_usage(cli, "--map: the stream has no device '%s'", name);
}

static int find_target(struct cli *cli, const char *name, const struct cli_devices *devices, uint32_t *ret)
{
	uint64_t index;

	for (size_t i = 0; i < devices->count; i++) {
		if (!strcmp(vfm_device_name(devices->items[i].dev), name) || !strcmp(devices->items[i].spec, name)) {
			*ret = (uint32_t)i;
			return 0;
		}
	}
	if (devices->count && parse_number(name, devices->count - 1, &index) == 0) {
		*ret = (uint32_t)index;
		return 0;
	}
	return cli_usage(cli, "--map: '%s' is none of the devices named", name);
}

static int resolve_one(struct cli *cli, const char *entry, const char *from, struct sources *sources,
		       const struct cli_devices *devices, size_t count, uint32_t *ret)
{
	const char *equals = strchr(entry, '=');
	char *source = equals ? strndup(entry, (size_t)(equals - entry)) : NULL;
	uint64_t index = 0;
	int r;

	if (!source)
		return cli_usage(cli, "--map: '%s' is not SRC=DST", entry);
	r = find_source(cli, source, from, sources, &index);
	free(source);
	if (r)
		return r;
	if (index >= count || ret[index] != UINT32_MAX)
		return cli_usage(cli, "--map: name each device of the stream exactly once, '%s' does not fit in",
				 entry);
	return find_target(cli, equals + 1, devices, &ret[index]);
}

int mapping_resolve(struct cli *cli, const struct string_list *list, const char *from,
		    const struct cli_devices *devices, uint32_t *ret)
{
	struct sources *sources;
	int r = 0;

	if (list->count > VFM_STREAM_MAX_DEVICES)
		return cli_usage(cli, "--map: at most %u devices at once", VFM_STREAM_MAX_DEVICES);
	sources = calloc(1, sizeof(*sources));
	if (!sources)
		return cli_fail_memory(cli);
	for (size_t i = 0; i < list->count; i++)
		ret[i] = UINT32_MAX;
	for (size_t i = 0; i < list->count && r == 0; i++)
		r = resolve_one(cli, list->items[i], from, sources, devices, list->count, ret);
	free(sources);
	return r;
}
