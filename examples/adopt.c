/* SPDX-License-Identifier: MIT */
/*
 * Migrate a device that another program opened and bound: adopt save|restore DEVICE ENDPOINT [IOVA+LENGTH]..., or tell
 * how much it writes: adopt watch DEVICE IOVA+LENGTH...
 *
 * DEVICE names inherited descriptors: "fd:5,iommufd=6,ioas=1,irq=1:0:7", the interrupts being those that program has
 * armed; with "pt=2,tracks=1" of a page table that can tell what was written, with "backend=type1v2" of a container.
 * What it has mapped for the device goes into the books. The library opens nothing but ENDPOINT, and whoever handed the
 * device over goes on holding it. On the simulated machine whose file VFIOMIG_SIM names, if it does.
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static bool parse_area(const char *text, struct vfm_map *map)
{
	char *end;

	map->iova = strtoull(text, &end, 0);
	map->length = *end == '+' ? strtoull(end + 1, &end, 0) : 0;
	return !*end && map->length > 0;
}

/* One area of the owner's, "0x30000+0x4000": this program neither maps nor sees the memory. */
static int adopt_area(struct vfm_device *device, const char *text, struct vfm_error *error)
{
	VFM_OPTS(vfm_map, map);

	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	if (!parse_area(text, &map) || !vfm_device_iommu(device)) {
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

#define PAGE_SHIFT 12
#define PAUSE_NS 20000000
#define PAUSES 100

static void pause_a_little(struct vfm_sim *sim)
{
	const struct timespec pause = { 0, PAUSE_NS };

	if (sim)
		vfm_sim_advance_ns(sim, PAUSE_NS);
	else
		nanosleep(&pause, NULL);
}

/* The owner's areas, one after the other as the bitmap has them. */
static int watch_areas(struct vfm_tracker *tracker, struct vfm_iommu *iommu, char **areas, int count,
		       struct vfm_error *error)
{
	uint64_t at = 0;
	int r = 0;

	for (int i = 0; r == 0 && i < count; i++) {
		VFM_OPTS(vfm_map, map);

		(void)parse_area(areas[i], &map);
		r = vfm_tracker_map(tracker, iommu, map.iova, map.length, at, error);
		at += map.length;
	}
	return r;
}

/* All is dirty at first, and once; then what is written until something was. */
static int watch_until(struct vfm_tracker *tracker, struct vfm_device *device, struct vfm_sim *sim,
		       const struct vfm_bitmap_pages *pages, struct vfm_error *error)
{
	VFM_OPTS(vfm_tracker_report, report);
	VFM_OPTS(vfm_tracker_device, seen);
	int r = vfm_tracker_sync(tracker, 0, &report, error);

	vfm_bitmap_clear(pages->words, 0, pages->pages);
	report.dirty = 0;
	for (int i = 0; r == 0 && report.dirty == 0 && i < PAUSES; i++) {
		pause_a_little(sim);
		r = vfm_tracker_sync(tracker, 0, &report, error);
	}
	if (r == 0)
		r = vfm_tracker_device(tracker, device, &seen);
	if (r == 0)
		printf("%llu of %llu pages written, source %u%s%s\n", (unsigned long long)report.dirty,
		       (unsigned long long)pages->pages, seen.source, seen.why[0] ? ": " : "", seen.why);
	return r;
}

static int watch(struct vfm_context *context, struct vfm_sim *sim, struct vfm_device *device, char **areas, int count,
		 struct vfm_error *error)
{
	VFM_OPTS(vfm_tracker_opts, opts);
	struct vfm_tracker *tracker = NULL;
	VFM_OPTS(vfm_iommu_info, info);
	int r = vfm_iommu_info(vfm_device_iommu(device), &info, error);

	if (r < 0)
		return r;
	/* the device's own log would serve too, but is the owner's to start */
	opts.sources = 1u << VFM_DIRTY_HWPT | 1u << VFM_DIRTY_TYPE1;
	opts.bitmap.size = sizeof(opts.bitmap);
	opts.bitmap.page_shift = PAGE_SHIFT;
	opts.bitmap.pages = info.mapped_bytes >> PAGE_SHIFT;
	opts.bitmap.words = calloc((size_t)vfm_bitmap_words(opts.bitmap.pages), sizeof(uint64_t));
	if (!opts.bitmap.words)
		return -ENOMEM;
	r = vfm_tracker_new(context, &opts, &tracker, error);
	if (r == 0)
		r = watch_areas(tracker, vfm_device_iommu(device), areas, count, error);
	if (r == 0)
		r = vfm_tracker_join(tracker, device, error);
	if (r == 0)
		r = watch_until(tracker, device, sim, &opts.bitmap, error);
	vfm_tracker_free(tracker);
	free(opts.bitmap.words);
	return r;
}

static int open_and_migrate(struct vfm_context *context, struct vfm_device *device, const char *name, bool saving,
			    struct vfm_error *error)
{
	VFM_OPTS(vfm_endpoint_opts, opts);
	struct vfm_endpoint *endpoint = NULL;
	int r;

	opts.flags = saving ? VFM_ENDPOINT_WRITE : VFM_ENDPOINT_READ;
	r = vfm_endpoint_open(context, name, &opts, &endpoint, error);
	if (r == 0)
		r = migrate(device, endpoint, saving, error);
	vfm_endpoint_close(endpoint);
	return r;
}

int main(int argc, char **argv)
{
	VFM_OPTS(vfm_error, error);
	struct vfm_sim *sim = NULL;
	struct vfm_context *context = NULL;
	struct vfm_device *device = NULL;
	bool saving = argc > 1 && !strcmp(argv[1], "save");
	bool watching = argc > 1 && !strcmp(argv[1], "watch");
	int first = watching ? 3 : 4;
	int r;

	if (argc < 4 || (!saving && !watching && strcmp(argv[1], "restore") != 0)) {
		fprintf(stderr, "usage: adopt save|restore DEVICE ENDPOINT [IOVA+LENGTH]...\n"
				"       adopt watch DEVICE IOVA+LENGTH...\n");
		return 2;
	}
	r = open_context(getenv("VFIOMIG_SIM"), &sim, &context, &error);
	if (r == 0)
		r = adopt(context, argv[2], argv + first, argc - first, &device, &error);
	if (r == 0)
		r = watching ? watch(context, sim, device, argv + first, argc - first, &error)
			     : open_and_migrate(context, device, argv[3], saving, &error);
	if (r < 0)
		fprintf(stderr, "adopt: %s\n", error.message[0] ? error.message : strerror(-r));
	vfm_device_close(device); /* and what came with it: the device, its state and the maps stay with their owner */
	vfm_context_free(context);
	vfm_sim_close(sim);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
