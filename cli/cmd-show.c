/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfiomigctl show: one device, from outside; with --open, or when it is lent, also from the device itself; with
 * --quirks what is known of drivers.
 */
#include "devices.h"
#include "identity.h"

#define MAX_SHOWN 64u /* regions and interrupt kinds; a count from a driver is not believed further */

struct show_config {
	bool open;
	bool quirks;
};

static const struct option_def options[] = {
	OPTION(show_config, open, FLAG, "open", .help = "open the device and ask it; vfio-pci resets it by that"),
	OPTION(show_config, quirks, FLAG, "quirks",
	       .help = "what the device's driver, a driver or all are known to do beside the book"),
};

static void region_name(uint32_t index, bool pci, char *buf, size_t room)
{
	if (pci && index < VFM_REGION_ROM)
		snprintf(buf, room, "BAR%u", index);
	else if (pci && index == VFM_REGION_ROM)
		snprintf(buf, room, "ROM");
	else if (pci && index == VFM_REGION_CONFIG)
		snprintf(buf, room, "config");
	else if (pci && index == VFM_REGION_VGA)
		snprintf(buf, room, "VGA");
	else
		snprintf(buf, room, "region %u", index);
}

static void irq_name(uint32_t index, bool pci, char *buf, size_t room)
{
	static const char *const names[] = { "INTx", "MSI", "MSI-X", "ERR", "REQ" };

	if (pci && index < ARRAY_SIZE(names))
		snprintf(buf, room, "%s", names[index]);
	else
		snprintf(buf, room, "irq %u", index);
}

static void add_region(struct out_node *array, struct vfm_device *dev, uint32_t index, bool pci)
{
	struct vfm_region region = { .size = sizeof(region) };
	struct out_node *row;
	char name[24];

	if (vfm_device_region(dev, index, &region, NULL) < 0 || region.length == 0)
		return;
	region_name(index, pci, name, sizeof(name));
	row = out_object(array, NULL, NULL);
	out_text(row, "name", "Region", "%s", name);
	out_number(row, "index", NULL, index, OUT_PLAIN);
	out_number(row, "length", "Length", region.length, OUT_BYTES);
	out_text(row, "access", "Access", "%s%s%s", region.flags & VFM_REGION_READ ? "r" : "-",
		 region.flags & VFM_REGION_WRITE ? "w" : "-", region.flags & VFM_REGION_MMAP ? "m" : "-");
	out_number(row, "sparse_areas", NULL, region.sparse_count, OUT_PLAIN);
}

static void add_irq(struct out_node *array, struct vfm_device *dev, uint32_t index, bool pci)
{
	struct vfm_irq irq = { .size = sizeof(irq) };
	struct out_node *row;
	char name[24];

	if (vfm_device_irq(dev, index, &irq, NULL) < 0 || irq.count == 0)
		return;
	irq_name(index, pci, name, sizeof(name));
	row = out_object(array, NULL, NULL);
	out_text(row, "name", "Interrupt", "%s", name);
	out_number(row, "index", NULL, index, OUT_PLAIN);
	out_number(row, "count", "Vectors", irq.count, OUT_PLAIN);
	out_number(row, "armed", "Armed", irq.armed, OUT_PLAIN);
}

/* Widths of AtomicOps that reach memory; few devices have any, and people are told of these only. */
static void add_atomics(struct cli *cli, uint32_t atomics)
{
	char text[16];

	snprintf(text, sizeof(text), "%s%s%s", atomics & VFM_ATOMIC_32 ? " 32" : "",
		 atomics & VFM_ATOMIC_64 ? " 64" : "", atomics & VFM_ATOMIC_128 ? " 128" : "");
	out_text(cli->doc, "atomics", text[0] ? "AtomicOps" : NULL, "%s", text + (text[0] == ' '));
}

static void add_parts(struct cli *cli, struct vfm_device *dev)
{
	struct vfm_device_info info = { .size = sizeof(info) };
	const bool known = vfm_device_info(dev, &info, NULL) == 0;
	struct out_node *regions, *irqs;

	if (known)
		add_atomics(cli, info.atomics);
	regions = out_array(cli->doc, "regions", "Regions");
	irqs = out_array(cli->doc, "irqs", "Interrupts");
	if (!known)
		return;
	for (uint32_t i = 0; i < info.num_regions && i < MAX_SHOWN; i++)
		add_region(regions, dev, i, info.flags & VFM_DEVICE_PCI);
	for (uint32_t i = 0; i < info.num_irqs && i < MAX_SHOWN; i++)
		add_irq(irqs, dev, i, info.flags & VFM_DEVICE_PCI);
}

/* Sizes and states exist only for devices that migrate. @text: where people see them. */
static void add_migration(struct out_node *node, struct out_node *text, struct vfm_device *dev)
{
	uint64_t bytes = VFM_SIZE_UNKNOWN;
	char buf[64];
	uint32_t flags;

	if (vfm_device_migration_flags(dev, &flags, NULL) < 0)
		return;
	if (vfm_device_data_size(dev, &bytes, NULL) < 0)
		bytes = VFM_SIZE_UNKNOWN;
	cli_add_state(node, "state", text == node ? "State" : NULL, device_state(dev));
	if (text != node)
		out_text(text, NULL, "Migration", "%s", migration_flags_text(flags, buf, sizeof(buf)));
	out_number(node, "data_size", text == node ? "State size" : NULL, bytes, OUT_BYTES);
	if (text != node)
		out_number(text, NULL, "State size", bytes, OUT_BYTES);
}

/* @text: where people see it. */
static void add_space(struct out_node *node, struct out_node *text, struct vfm_device *dev)
{
	struct vfm_iommu_info info = { .size = sizeof(info) };
	struct vfm_iommu *iommu = vfm_device_iommu(dev);

	if (!iommu || vfm_iommu_info(iommu, &info, NULL) < 0) {
		out_null(node, "backend", NULL);
		return;
	}
	out_text(node, "backend", text == node ? "Back end" : NULL, "%s", vfm_backend_name(info.backend));
	out_text(node, "fallback", NULL, "%s", info.fallback);
	if (text != node)
		out_text(text, NULL, "Opened by", "%s%s%s", vfm_backend_name(info.backend),
			 info.fallback[0] ? ", since " : "", info.fallback);
}

/* What was shown from outside already is not shown to people again. */
static int show_device(struct cli *cli, const struct cli_device *item)
{
	struct vfm_identity identity = { .size = sizeof(identity) };
	VFM_OPTS(vfm_error, error);
	struct out_node *node;

	if (vfm_device_identity(item->dev, &identity, &error) < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	node = out_object(cli->doc, "device", item->opened_here ? NULL : "Device");
	identity_add(node, &identity);
	add_migration(node, item->opened_here ? cli->doc : node, item->dev);
	add_space(node, item->opened_here ? cli->doc : node, item->dev);
	out_bool(node, "reset_by_open", NULL, item->opened_here);
	add_parts(cli, item->dev);
	return 0;
}

static int show_open(struct cli *cli, char *spec)
{
	struct cli_devices devices;
	int r = devices_open(cli, &spec, 1, &devices);

	if (r)
		return r;
	if (devices.count != 1)
		r = cli_usage(cli, "%s: %zu devices are lent there, say which one: %s#0", spec, devices.count, spec);
	else
		r = show_device(cli, &devices.items[0]);
	devices_close(&devices);
	return r;
}

static int show_outside(struct cli *cli, const char *spec)
{
	struct vfm_candidate candidate = { .size = sizeof(candidate) };
	VFM_OPTS(vfm_error, error);

	if (vfm_find(cli->ctx, spec, &candidate, &error) < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	identity_add_candidate(out_object(cli->doc, "candidate", "Candidate"), &candidate, false);
	return 0;
}

/* quirks */

static int add_quirk(void *user, const struct vfm_quirk *quirk)
{
	struct out_node *row = out_object(user, NULL, NULL);

	out_text(row, "driver", "Driver", "%s", quirk->driver);
	out_text(row, "key", "Quirk", "%s", quirk->key);
	out_text(row, "value", NULL, "%s", quirk->value);
	out_text(row, NULL, "Value", "%s%s", quirk->value, quirk->flags & VFM_QUIRK_OVERRIDDEN ? "*" : "");
	out_text(row, "usual", "Usual", "%s", quirk->usual);
	out_bool(row, "overridden", NULL, quirk->flags & VFM_QUIRK_OVERRIDDEN);
	out_bool(row, "acted_on", "Used", quirk->flags & VFM_QUIRK_ACTED_ON);
	out_text(row, "reason", "Reason", "%s", quirk->reason);
	out_text(row, "source", NULL, "%s", quirk->source);
	return 0;
}

static int quirks_of(struct cli *cli, const char *driver)
{
	struct out_node *array = out_array(cli->doc, "quirks", "Quirks");

	if (vfm_quirks(cli->ctx, driver, add_quirk, array) < 0)
		return cli_fail_memory(cli);
	if (out_is_empty(array))
		out_say(cli->doc, "Nothing is known of %s: it is taken to keep to the book.", driver);
	else if (cli->globals.quirks_file)
		out_say(cli->doc, "* from %s", cli->globals.quirks_file);
	return 0;
}

static int count_quirk(void *user, const struct vfm_quirk *quirk)
{
	(void)quirk;
	++*(size_t *)user;
	return 0;
}

/* A driver's name is one that something is known of; anything else is a device. */
static int show_quirks(struct cli *cli, const char *operand)
{
	struct vfm_candidate candidate = { .size = sizeof(candidate) };
	VFM_OPTS(vfm_error, error);
	size_t known = 0;

	if (operand && device_is_lent(operand))
		return cli_usage(cli, "show --quirks: name the device or its driver, %s is neither", operand);
	if (vfm_quirks(cli->ctx, operand, count_quirk, &known) == 0 && known)
		return quirks_of(cli, operand);
	if (vfm_find(cli->ctx, operand, &candidate, &error) < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	return quirks_of(cli, candidate.identity.driver);
}

static int run(struct cli *cli, const void *config, char **operands, size_t count)
{
	const struct show_config *show = config;
	bool lent;
	int r;

	if (show->quirks && show->open)
		return cli_usage(cli, "show: --quirks opens no device, --open does");
	if (show->quirks)
		return show_quirks(cli, count ? operands[0] : NULL);
	if (!count)
		return cli_usage(cli, "show: too few arguments");
	lent = device_is_lent(operands[0]);
	r = lent ? 0 : show_outside(cli, operands[0]);
	if (r || (!lent && !show->open)) {
		if (r == 0)
			out_say(cli->doc, "More is known to the device itself: --open asks it (vfio-pci resets it by "
					  "that).");
		return r;
	}
	if (!lent)
		device_warn_open(cli, operands[0]);
	return show_open(cli, operands[0]);
}

const struct command cmd_show = {
	.name = "show",
	.summary = "everything about one device",
	.usage = "[--open] DEVICE | --quirks [DEVICE | DRIVER]",
	.details =
		"Shows what sysfs and debugfs tell of a device without opening it. A lent device, and with --open any\n"
		"other, is also asked itself: identity, migration features, state and its size, regions, interrupts.\n"
		"With --quirks: what is known of a driver and cannot be asked, of all drivers without an operand.",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.config_size = sizeof(struct show_config),
	.min_operands = 0,
	.max_operands = 1,
	.operands = COMPLETES_DEVICE,
	.needs_machine = true,
	.run = run,
};
