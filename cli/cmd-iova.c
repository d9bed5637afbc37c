/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vfiomigctl iova: where devices can be given memory: reserved regions, windows of each, what they have in common. */
#include <inttypes.h>
#include <stdlib.h>

#include "devices.h"

struct iova_config {
	bool open;
};

static const struct option_def options[] = {
	OPTION(iova_config, open, FLAG, "open", .help = "open the devices to ask; vfio-pci resets them by that"),
};

/* A list of ranges that grows. */
struct ranges {
	struct vfm_iova_range *items;
	size_t count;
};

struct view {
	struct cli *cli;
	struct out_node *windows;
	struct out_node *reserved;
	struct ranges holes;
	struct ranges common; /* to all devices asked so far */
	size_t asked;
	uint64_t alignment; /* the largest */
};

static void add_range(struct out_node *row, const struct vfm_iova_range *range)
{
	char size[OUT_HUMAN_ROOM];
	uint64_t bytes = range->last - range->first + 1;

	out_number(row, "first", "First", range->first, OUT_HEX);
	out_number(row, "last", "Last", range->last, OUT_HEX);
	out_text(row, NULL, "Size", "%s", bytes ? out_human(bytes, OUT_BYTES, size) : "all");
}

static int ranges_append(struct cli *cli, struct ranges *list, struct vfm_iova_range range)
{
	struct vfm_iova_range *items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (!items)
		return cli_fail_memory(cli);
	items[list->count++] = range;
	list->items = items;
	return 0;
}

static int add_reserved_region(struct view *view, const char *device, uint32_t group, const struct vfm_reserved *region)
{
	struct vfm_iova_range range = { .first = region->first, .last = region->last };
	struct out_node *row = out_object(view->reserved, NULL, NULL);

	out_text(row, "device", "Device", "%s", device);
	out_number(row, "iommu_group", "Group", group, OUT_PLAIN);
	add_range(row, &range);
	out_text(row, "kind", "Kind", "%s", region->kind);
	return region->flags & VFM_RESERVED_MAPPABLE ? 0 : ranges_append(view->cli, &view->holes, range);
}

/* A device that sysfs does not show any more, or a group without the list, reserves nothing that is known. */
static int add_reserved(struct view *view, const char *name)
{
	struct vfm_candidate candidate = { .size = sizeof(candidate) };
	struct vfm_reserved regions[128];
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(regions); i++)
		regions[i] = (struct vfm_reserved){ .size = sizeof(regions[i]) };
	if (vfm_find(view->cli->ctx, name, &candidate, NULL) < 0 || !(candidate.flags & VFM_CANDIDATE_GROUP) ||
	    vfm_iova_reserved(view->cli->ctx, candidate.iommu_group, regions, ARRAY_SIZE(regions), &count, NULL) < 0) {
		cli_warn(view->cli, "%s: what its IOMMU group reserves is not known", name);
		return 0;
	}
	for (size_t i = 0; i < count && r == 0; i++)
		r = add_reserved_region(view, candidate.identity.name, candidate.iommu_group, &regions[i]);
	return r;
}

/* Takes @windows over. */
static int intersect(struct view *view, struct ranges *windows)
{
	struct ranges both = { 0 };
	int r = 0;

	if (view->asked++ == 0) {
		view->common = *windows;
		return 0;
	}
	both.items = calloc(view->common.count + windows->count + 1, sizeof(*both.items));
	if (both.items)
		r = vfm_iova_intersect(view->common.items, view->common.count, windows->items, windows->count,
				       both.items, view->common.count + windows->count + 1, &both.count);
	free(view->common.items);
	free(windows->items);
	view->common = both;
	return both.items && r == 0 ? 0 : cli_fail_memory(view->cli);
}

static int add_windows(struct view *view, struct vfm_device *dev)
{
	struct ranges windows = { 0 };
	uint64_t alignment = 1;
	int r;

	if (!vfm_device_iommu(dev))
		return cli_fail_at(view->cli, CLI_UNSUPPORTED, vfm_device_name(dev), "windows",
				   "%s came without its address space", vfm_device_name(dev));
	r = devices_windows(view->cli, vfm_device_iommu(dev), &windows.items, &windows.count, &alignment);
	if (r) {
		free(windows.items);
		return r;
	}
	for (size_t i = 0; i < windows.count; i++) {
		struct out_node *row = out_object(view->windows, NULL, NULL);

		out_text(row, "device", "Device", "%s", vfm_device_name(dev));
		add_range(row, &windows.items[i]);
		out_number(row, "alignment", "Alignment", alignment, OUT_BYTES);
	}
	if (view->alignment < alignment)
		view->alignment = alignment;
	return intersect(view, &windows);
}

/* One operand: devices in address spaces of their own, closed again before the next. */
static int ask(struct view *view, char *spec, bool open)
{
	const bool lent = device_is_lent(spec);
	struct cli_devices devices;
	int r;

	if (!lent && !open)
		return add_reserved(view, spec);
	if (!lent)
		device_warn_open(view->cli, spec);
	r = devices_open(view->cli, &spec, 1, &devices);
	if (r)
		return r;
	for (size_t i = 0; i < devices.count && r == 0; i++) {
		r = add_reserved(view, vfm_device_name(devices.items[i].dev));
		if (r == 0)
			r = add_windows(view, devices.items[i].dev);
	}
	devices_close(&devices);
	return r;
}

static int tell_common(struct view *view)
{
	struct out_node *node = out_array(view->cli->doc, "intersection", "Usable by all");
	size_t room = view->common.count + view->holes.count, count = 0;
	struct vfm_iova_range *left = calloc(room + 1, sizeof(*left));
	uint64_t largest = 0;

	if (!left || vfm_iova_exclude(view->common.items, view->common.count, view->holes.items, view->holes.count,
				      left, room, &count) < 0) {
		free(left);
		return cli_fail_memory(view->cli);
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t bytes = left[i].last - left[i].first;

		add_range(out_object(node, NULL, NULL), &left[i]);
		bytes += bytes < UINT64_MAX;
		largest = largest < bytes ? bytes : largest;
	}
	free(left);
	out_number(view->cli->doc, "alignment", "Alignment", view->alignment, OUT_BYTES);
	out_number(view->cli->doc, "largest", "Largest", largest, OUT_BYTES);
	return 0;
}

/* What is usable by all is not known of those that were only looked at from outside. */
static void warn_unasked(struct cli *cli, char **operands, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!device_is_lent(operands[i]))
			cli_warn(cli,
				 "windows of %s are not in what is usable by all: --open asks (vfio-pci resets "
				 "it by that)",
				 operands[i]);
	}
}

static void tell_unasked(struct cli *cli)
{
	out_null(cli->doc, "intersection", NULL);
	out_null(cli->doc, "alignment", NULL);
	out_null(cli->doc, "largest", NULL);
	out_say(cli->doc,
		"Windows are known to the devices' address space: --open asks (vfio-pci resets them by that).");
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	const struct iova_config *iova = config;
	struct view view = { .cli = cli };
	int r = devices_check(cli, operands, count);

	if (r)
		return r;
	view.reserved = out_array(cli->doc, "reserved", "Reserved");
	view.windows = out_array(cli->doc, "windows", "Windows");
	for (size_t i = 0; i < count && r == 0; i++)
		r = ask(&view, operands[i], iova->open);
	if (r == 0 && view.asked > 0 && !iova->open)
		warn_unasked(cli, operands, count);
	if (r == 0 && view.asked > 0)
		r = tell_common(&view);
	else if (r == 0)
		tell_unasked(cli);
	free(view.holes.items);
	free(view.common.items);
	return r;
}

const struct command cmd_iova = {
	.name = "iova",
	.summary = "where devices can be given memory: windows and holes",
	.usage = "DEVICE... [--open]",
	.details =
		"Shows what the platform reserves in the devices' IOMMU groups, and of devices that are lent, or with\n"
		"--open any other, the windows of IOVAs each can reach, and what all of them have in common.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct iova_config),
	.min_operands = 1,
	.max_operands = VFM_STREAM_MAX_DEVICES,
	.operands = COMPLETES_DEVICE,
	.needs_machine = true,
	.run = run,
};
