/* SPDX-License-Identifier: MIT */
/*
 * Migrate a device that another program opened and bound: adopt save|restore DEVICE ENDPOINT [IOVA+LENGTH]...
 *
 * DEVICE names inherited descriptors: "fd:5,iommufd=6,ioas=1,irq=1:0:7", the interrupts being those that program has
 * armed. What it has mapped for the device goes into the books. The library opens nothing but ENDPOINT, and whoever
 * handed the device over goes on holding it. On the simulated machine whose file VFIOMIG_SIM names, if it does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfiomig.h>
#include <vfiomig/sim.h>
#include <vfiomig/transport.h>

static int open_context(const char *machine, struct vfm_sim **ret_sim, struct vfm_context **ret_context,
			struct vfm_error *error)
{
	int r;

	if (!machine)
		return vfm_context_new(ret_context);
	r = vfm_sim_open(machine, NULL, ret_sim, error->message, sizeof(error->message));
	return r < 0 ? r : vfm_sim_context(*ret_sim, ret_context);
}

/* One area of the owner's, "0x30000+0x4000": this program neither maps nor sees the memory. */
static int adopt_area(struct vfm_device *device, const char *text, struct vfm_error *error)
{
	VFM_OPTS(vfm_map, map);
	char *end;

	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.iova = strtoull(text, &end, 0);
	map.length = *end == '+' ? strtoull(end + 1, &end, 0) : 0;
	if (*end || map.length == 0 || !vfm_device_iommu(device)) {
		snprintf(error->message, sizeof(error->message), "'%s' is no area, or no address space came along",
			 text);
		return -EINVAL;
	}
	return vfm_iommu_adopt_map(vfm_device_iommu(device), &map, error);
}

static int adopt(struct vfm_context *context, const char *description, char **areas, int count,
		 struct vfm_device **ret_device, struct vfm_error *error)
{
	int r = vfm_device_adopt_described(context, description, ret_device, error);

	for (int i = 0; r == 0 && i < count; i++)
		r = adopt_area(*ret_device, areas[i], error);
	return r;
}

/* A snapshot leaves the device as it was; what is loaded stays in STOP until the owner starts it. */
static int migrate(struct vfm_device *device, struct vfm_endpoint *endpoint, bool saving, struct vfm_error *error)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	VFM_OPTS(vfm_transfer_result, result);
	int r;

	if (saving)
		r = vfm_save(&device, 1, vfm_endpoint_io(endpoint), &opts, &result, error);
	else
		r = vfm_restore(&device, 1, vfm_endpoint_io(endpoint), &opts, &result, error);
	if (r == 0)
		r = vfm_endpoint_commit(endpoint, error);
	if (r == 0)
		printf("%s: %llu bytes of state, %s\n", vfm_device_name(device), (unsigned long long)result.bytes,
		       vfm_state_name(result.state_now));
	return r;
}

int main(int argc, char **argv)
{
	VFM_OPTS(vfm_endpoint_opts, opts);
	VFM_OPTS(vfm_error, error);
	struct vfm_sim *sim = NULL;
	struct vfm_context *context = NULL;
	struct vfm_device *device = NULL;
	struct vfm_endpoint *endpoint = NULL;
	bool saving = argc > 1 && !strcmp(argv[1], "save");
	int r;

	if (argc < 4 || (!saving && strcmp(argv[1], "restore") != 0)) {
		fprintf(stderr, "usage: adopt save|restore DEVICE ENDPOINT [IOVA+LENGTH]...\n");
		return 2;
	}
	opts.flags = saving ? VFM_ENDPOINT_WRITE : VFM_ENDPOINT_READ;
	r = open_context(getenv("VFIOMIG_SIM"), &sim, &context, &error);
	if (r == 0)
		r = adopt(context, argv[2], argv + 4, argc - 4, &device, &error);
	if (r == 0)
		r = vfm_endpoint_open(context, argv[3], &opts, &endpoint, &error);
	if (r == 0)
		r = migrate(device, endpoint, saving, &error);
	if (r < 0)
		fprintf(stderr, "adopt: %s\n", error.message[0] ? error.message : strerror(-r));
	vfm_endpoint_close(endpoint);
	vfm_device_close(device); /* and what came with it: the device, its state and the maps stay with their owner */
	vfm_context_free(context);
	vfm_sim_close(sim);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
