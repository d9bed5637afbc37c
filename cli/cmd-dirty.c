/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl dirty: how the writes of devices can be seen, what that costs, and what is written, round by round. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dirty-memory.h"
#include "standstill.h"

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull
#define ROUNDS 5
#define INTERVAL_NS (200 * NS_PER_MS)

struct dirty_config {
	struct string_list memory;
	struct string_list areas;
	struct string_list sources;
	uint64_t page_bytes;
	const char *rounds;
	const char *interval;
	bool no_final;
};

/* In the order of enum vfm_dirty_source. */
static const char *const source_names[] = { "none", "log", "hwpt", "type1" };
static const char *const source_choices[] = { "log", "hwpt", "type1", NULL };

static const struct option_def options[] = {
	OPTION(dirty_config, memory, LIST, "memory", .value = "SIZE[@IOVA]",
	       .help = "memory for devices opened here (16m, where there is room)"),
	OPTION(dirty_config, areas, LIST, "area", .value = "IOVA,LENGTH",
	       .help = "where the holder of lent devices has mapped memory"),
	OPTION(dirty_config, sources, LIST, "source", .value = "SOURCE",
	       .help = "only this one may be used; may be repeated", .choices = source_choices),
	OPTION(dirty_config, page_bytes, BYTES, "pages", .value = "SIZE", .help = "pages that are counted (4k)"),
	OPTION(dirty_config, rounds, STRING, "rounds", .value = "N", .help = "how often to ask (5)"),
	OPTION(dirty_config, interval, STRING, "interval", .value = "TIME", .help = "time before each round (200ms)"),
	OPTION(dirty_config, no_final, FLAG, "no-final", .help = "do not stop the devices for the last round"),
};

struct watch {
	struct cli *cli;
	struct cli_devices devices;
	struct dirty_memory memory;
	struct vfm_tracker *tracker;
	uint64_t rounds;
	uint64_t interval_ns;
	uint64_t since_ns; /* of what the next round finds */
	uint32_t sources;
	bool final;
};

static uint64_t now_ns(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Until then, or a signal. */
static void wait_for(uint64_t since_ns, uint64_t interval_ns)
{
	uint64_t end_ns = since_ns + interval_ns < since_ns ? UINT64_MAX : since_ns + interval_ns;
	struct pollfd pfd = { .fd = signals_wake_fd(), .events = POLLIN };

	for (uint64_t now = now_ns(); now < end_ns && !signals_first(); now = now_ns()) {
		signals_drain();
		poll(&pfd, 1, (int)((end_ns - now) / NS_PER_MS % INT32_MAX) + 1);
	}
}

/* options */

static int parse(struct watch *watch, const struct dirty_config *config)
{
	watch->rounds = ROUNDS;
	watch->interval_ns = INTERVAL_NS;
	watch->final = !config->no_final;
	if (config->rounds && (parse_number(config->rounds, INT32_MAX, &watch->rounds) < 0 || watch->rounds == 0))
		return cli_usage(watch->cli, "--rounds: '%s' is not N, 1 at least", config->rounds);
	if (config->interval && parse_time(config->interval, &watch->interval_ns) < 0)
		return cli_usage(watch->cli, "--interval: '%s' is not TIME", config->interval);
	for (size_t i = 0; i < config->sources.count; i++) {
		for (uint32_t s = VFM_DIRTY_DEVICE_LOG; s < ARRAY_SIZE(source_names); s++)
			watch->sources |= strcmp(config->sources.items[i], source_names[s]) ? 0 : 1u << s;
	}
	return 0;
}

static int parse_memory(struct watch *watch, const struct dirty_config *config, char **operands, size_t count)
{
	struct dirty_memory_request request = {
		.memory = &config->memory,
		.areas = &config->areas,
		.page_bytes = config->page_bytes,
	};

	for (size_t i = 0; i < count; i++) {
		if (device_is_lent(operands[i]))
			request.lent = true;
		else
			request.ours = true;
	}
	return dirty_memory_parse(watch->cli, &request, &watch->memory);
}

/* beginning */

/* The address space of a lent device, once for all that have it. */
static struct vfm_iommu *lent_space(const struct cli_devices *devices, size_t index)
{
	const struct cli_device *items = devices->items;
	struct vfm_iommu *iommu = items[index].opened_here ? NULL : vfm_device_iommu(items[index].dev);

	for (size_t i = 0; i < index && iommu; i++) {
		if (!items[i].opened_here && vfm_device_iommu(items[i].dev) == iommu)
			return NULL;
	}
	return iommu;
}

static int check_lent(struct cli *cli, const struct cli_devices *devices, void *user)
{
	const struct watch *watch = user;
	int r = 0;

	for (size_t i = 0; i < devices->count && r == 0; i++) {
		struct vfm_device *dev = devices->items[i].dev;

		if (dev && !vfm_device_iommu(dev))
			r = cli_fail_at(cli, CLI_UNSUPPORTED, vfm_device_name(dev), "track",
					"%s came without its address space", vfm_device_name(dev));
		else if (lent_space(devices, i))
			r = dirty_memory_check(cli, &watch->memory, lent_space(devices, i), false);
	}
	return r;
}

static int open_devices(struct watch *watch, char **operands, size_t count)
{
	const bool wants_hwpt = !watch->sources || watch->sources & 1u << VFM_DIRTY_HWPT;
	struct cli *cli = watch->cli;

	for (size_t i = 0; i < count; i++) {
		if (!device_is_lent(operands[i]))
			device_warn_open(cli, operands[i]);
	}
	return devices_open_checked(cli, operands, count, wants_hwpt, check_lent, watch, &watch->devices);
}

static int fail_begin(struct watch *watch, const struct vfm_error *error)
{
	if (watch->devices.iommu)
		return dirty_fail_opened(watch->cli, error);
	return cli_fail(watch->cli, CLI_STAGE_OPEN, error, NULL);
}

static int track_areas(struct watch *watch, struct vfm_iommu *iommu, bool ours)
{
	VFM_OPTS(vfm_error, error);

	for (size_t i = 0; i < watch->memory.count; i++) {
		const struct dirty_area *area = &watch->memory.items[i];

		if (area->ours == ours &&
		    vfm_tracker_map(watch->tracker, iommu, area->iova, area->length, area->guest, &error) < 0)
			return fail_begin(watch, &error);
	}
	return 0;
}

static int make_tracker(struct watch *watch)
{
	VFM_OPTS(vfm_tracker_opts, opts);
	VFM_OPTS(vfm_error, error);
	int r = 0;

	opts.sources = watch->sources;
	opts.bitmap = watch->memory.bitmap;
	if (vfm_tracker_new(watch->cli->ctx, &opts, &watch->tracker, &error) < 0)
		return fail_begin(watch, &error);
	if (watch->devices.iommu)
		r = track_areas(watch, watch->devices.iommu, true);
	for (size_t i = 0; i < watch->devices.count && r == 0; i++) {
		if (lent_space(&watch->devices, i))
			r = track_areas(watch, lent_space(&watch->devices, i), false);
	}
	return r;
}

static int add_device(struct watch *watch, struct out_node *array, const struct cli_device *item)
{
	VFM_OPTS(vfm_tracker_device, seen);
	VFM_OPTS(vfm_error, error);
	const char *name = vfm_device_name(item->dev);
	const uint64_t start_ns = now_ns();
	struct out_node *row;
	uint64_t cost_ns;

	if (vfm_tracker_join(watch->tracker, item->dev, &error) < 0)
		return fail_begin(watch, &error);
	cost_ns = now_ns() - start_ns;
	if (vfm_tracker_device(watch->tracker, item->dev, &seen) < 0 || seen.source >= ARRAY_SIZE(source_names))
		return cli_fail_at(watch->cli, CLI_FAILED, name, "track", "%s: how it is seen is not known", name);
	row = out_object(array, NULL, NULL);
	out_text(row, "device", "Device", "%s", name);
	out_bool(row, "lent", NULL, !item->opened_here);
	out_text(row, "source", "Source", "%s", source_names[seen.source]);
	if (seen.source == VFM_DIRTY_NONE) {
		out_null(row, "page_size", NULL);
		out_text(row, NULL, "Page", "-");
	} else {
		out_number(row, "page_size", "Page", UINT64_C(1) << seen.page_shift, OUT_BYTES);
	}
	out_number(row, "excess", "Excess", seen.excess, OUT_BYTES);
	out_number(row, "start_ns", "Start", cost_ns, OUT_NS);
	out_text(row, "why", "Why", "%s", seen.why);
	return 0;
}

static void tell_memory(struct watch *watch)
{
	struct out_node *array = out_array(watch->cli->doc, "memory", "Memory");

	for (size_t i = 0; i < watch->memory.count; i++) {
		const struct dirty_area *area = &watch->memory.items[i];
		struct out_node *row = out_object(array, NULL, NULL);

		out_number(row, "iova", "IOVA", area->iova, OUT_HEX);
		out_number(row, "length", "Length", area->length, OUT_BYTES);
		out_text(row, NULL, "Mapped by", "%s", area->ours ? CLI_NAME : "the holder");
		out_bool(row, "lent", NULL, !area->ours);
	}
	out_number(watch->cli->doc, "page_size", NULL, UINT64_C(1) << watch->memory.bitmap.page_shift, OUT_BYTES);
	out_number(watch->cli->doc, "pages", NULL, watch->memory.bitmap.pages, OUT_PLAIN);
}

static void forget_pages(struct watch *watch)
{
	vfm_bitmap_clear(watch->memory.bitmap.words, 0, watch->memory.bitmap.pages);
	watch->since_ns = now_ns();
}

/* Every page is dirty once when a source starts: that says nothing of the devices. */
static int begin(struct watch *watch)
{
	struct out_node *array;
	int r = 0;

	if (watch->devices.iommu)
		r = dirty_memory_check(watch->cli, &watch->memory, watch->devices.iommu, true);
	if (r == 0 && watch->devices.iommu)
		r = dirty_memory_map(watch->cli, &watch->memory, watch->devices.iommu);
	if (r == 0)
		r = dirty_memory_lay_out(watch->cli, &watch->memory);
	if (r == 0)
		r = make_tracker(watch);
	if (r)
		return r;
	tell_memory(watch);
	array = out_array(watch->cli->doc, "devices", "Devices");
	for (size_t i = 0; i < watch->devices.count && r == 0; i++)
		r = add_device(watch, array, &watch->devices.items[i]);
	forget_pages(watch);
	return r;
}

/* rounds */

static void add_round(struct watch *watch, struct out_node *array, uint64_t number,
		      const struct vfm_tracker_report *report, const uint64_t *times_ns, bool final)
{
	const struct vfm_bitmap_pages *bitmap = &watch->memory.bitmap;
	struct out_node *row = out_object(array, NULL, NULL);

	out_number(row, "round", "Round", number, OUT_PLAIN);
	out_bool(row, "final", "Final", final);
	out_number(row, "elapsed_ns", "Time", times_ns[0], OUT_NS);
	out_number(row, "pages", "Pages", report->dirty, OUT_PLAIN);
	out_number(row, "bytes", "Dirty", report->dirty << bitmap->page_shift, OUT_BYTES);
	out_number(row, "sync_ns", "Asking", times_ns[1], OUT_NS);
	out_number(row, "unseen", NULL, report->unseen, OUT_PLAIN);
	out_number(row, "restarted", NULL, report->restarted, OUT_PLAIN);
	if (report->restarted)
		cli_warn(watch->cli, "round %llu: %u sources had lost their log, all they cover was taken as dirty",
			 (unsigned long long)number, report->restarted);
}

/* Devices without states that were opened here have been reset and nobody drives them: they are quiet. */
static int ask(struct watch *watch, struct out_node *array, uint64_t number, bool final)
{
	VFM_OPTS(vfm_tracker_report, report);
	VFM_OPTS(vfm_error, error);
	const uint64_t start_ns = now_ns();
	uint64_t times_ns[2] = { start_ns - watch->since_ns };

	if (vfm_tracker_sync(watch->tracker, final ? VFM_TRACKER_FINAL | VFM_TRACKER_QUIET : 0, &report, &error) < 0)
		return cli_fail(watch->cli, CLI_STAGE_ACT, &error, NULL);
	times_ns[1] = now_ns() - start_ns;
	add_round(watch, array, number, &report, times_ns, final);
	forget_pages(watch);
	return 0;
}

static void say_stopped(struct watch *watch, const struct standstill *still, uint64_t stopped_ns)
{
	char time[OUT_HUMAN_ROOM];

	out_number(watch->cli->doc, "downtime_ns", NULL, stopped_ns, OUT_NS);
	out_human(stopped_ns, OUT_NS, time);
	for (size_t i = 0; i < watch->devices.count; i++) {
		if (standstill_moves(still, i))
			out_say(watch->cli->doc, "%s was in STOP for the final round, %s, and is %s again",
				vfm_device_name(watch->devices.items[i].dev), time, vfm_state_name(still->before[i]));
	}
}

/* Only what is asked while nobody writes is complete. */
static int ask_last(struct watch *watch, struct out_node *array)
{
	const uint64_t start_ns = now_ns();
	const char *device = "", *why;
	struct standstill still;
	int r;

	why = watch->final ? standstill_obstacle(&still, &watch->devices, &device) : "";
	if (why) {
		if (watch->final)
			cli_note(watch->cli, "the last round is not a final one: %s %s", device, why);
		out_null(watch->cli->doc, "downtime_ns", NULL);
		return ask(watch, array, watch->rounds, false);
	}
	r = standstill_begin(watch->cli, &still);
	if (r == 0)
		r = ask(watch, array, watch->rounds, true);
	r = standstill_end(watch->cli, &still, r);
	if (r == 0)
		say_stopped(watch, &still, now_ns() - start_ns);
	return r;
}

static int fail_signal(struct watch *watch, uint64_t done)
{
	VFM_OPTS(vfm_error, error);

	error.code = ECANCELED;
	error.state_from = error.state_to = error.state_now = VFM_STATE_UNKNOWN;
	snprintf(error.step, sizeof(error.step), "track");
	snprintf(error.message, sizeof(error.message), "ended by a signal after %llu of %llu rounds",
		 (unsigned long long)done, (unsigned long long)watch->rounds);
	return cli_fail(watch->cli, CLI_STAGE_ACT, &error, NULL);
}

static int ask_rounds(struct watch *watch)
{
	struct out_node *array = out_array(watch->cli->doc, "rounds", "Rounds");
	int r = 0;

	for (uint64_t n = 1; n <= watch->rounds && r == 0; n++) {
		wait_for(watch->since_ns, watch->interval_ns);
		if (signals_first())
			return fail_signal(watch, n - 1);
		r = n < watch->rounds ? ask(watch, array, n, false) : ask_last(watch, array);
	}
	return r;
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	struct watch watch = { .cli = cli };
	int r = parse(&watch, config);

	if (r == 0)
		r = parse_memory(&watch, config, operands, count);
	if (r == 0)
		r = devices_check(cli, operands, count);
	if (r == 0)
		r = open_devices(&watch, operands, count);
	if (r == 0)
		r = begin(&watch);
	if (r == 0)
		r = ask_rounds(&watch);
	if (r == 0 && watch.devices.iommu)
		out_say(cli->doc, "What is opened here has been reset and writes nothing by itself: lent devices "
				  "(scm:PATH, fd:N) are those to watch.");
	vfm_tracker_free(watch.tracker);
	devices_close(&watch.devices);
	dirty_memory_free(&watch.memory);
	return r;
}

const struct command cmd_dirty = {
	.name = "dirty",
	.summary = "how devices' writes to memory can be seen, and what they write",
	.usage = "DEVICE... [OPTION...]",
	.details =
		"Tells which source shows the pages that each device writes: its own log, the page table of the IOMMU\n"
		"(hwpt), the container (type1) or none, and why no better one; then asks for dirty pages, round by\n"
		"round. A device opened here has been reset and writes nothing by itself: that shows which source "
		"works\n"
		"and what it costs. Lent devices are watched as they run, in the areas their holder has mapped; not\n"
		"while the holder tracks them itself, since what is read here is cleared. For the last round devices\n"
		"that have migration states are put into STOP for a moment.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct dirty_config),
	.min_operands = 1,
	.max_operands = VFM_STREAM_MAX_DEVICES,
	.operands = COMPLETES_DEVICE,
	.needs_machine = true,
	.run = run,
};
