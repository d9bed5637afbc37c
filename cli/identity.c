/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields of a device's identity, each with its place in JSON and its label for people. */
#include <string.h>

#include "identity.h"

static void add_text(struct out_node *node, const char *key, const char *label, const char *text)
{
	if (*text)
		out_text(node, key, label, "%s", text);
	else
		out_null(node, key, NULL);
}

static void add_hex(struct out_node *node, const char *key, bool known, uint32_t value)
{
	if (known)
		out_number(node, key, NULL, value, OUT_HEX);
	else
		out_null(node, key, NULL);
}

const char *migration_flags_text(uint32_t flags, char *buf, size_t room)
{
	snprintf(buf, room, "%s%s%s", flags & VFM_MIGRATION_STOP_COPY ? "STOP_COPY" : "none",
		 flags & VFM_MIGRATION_P2P ? " P2P" : "", flags & VFM_MIGRATION_PRE_COPY ? " PRE_COPY" : "");
	return buf;
}

/* Vendor and device in words and numbers, what an operator knows the device by. */
static void what_of(const struct vfm_identity *identity, char *buf, size_t room)
{
	char name[192];

	buf[0] = '\0';
	names_of(identity, name, sizeof(name));
	if (identity->flags & VFM_IDENTITY_PCI)
		snprintf(buf, room, "%s%s[%04x:%04x]", name, *name ? " " : "", identity->pci_vendor,
			 identity->pci_device);
	else if (identity->mdev_type[0])
		snprintf(buf, room, "mdev %s", identity->mdev_type);
}

static void add_pci(struct out_node *node, const struct vfm_identity *identity)
{
	const bool pci = identity->flags & VFM_IDENTITY_PCI, sub = identity->flags & VFM_IDENTITY_SUBSYSTEM;
	const bool revision = identity->flags & VFM_IDENTITY_REVISION;

	add_hex(node, "pci_vendor", pci, identity->pci_vendor);
	add_hex(node, "pci_device", pci, identity->pci_device);
	add_hex(node, "pci_subvendor", sub, identity->pci_subvendor);
	add_hex(node, "pci_subdevice", sub, identity->pci_subdevice);
	add_hex(node, "pci_class", revision, identity->pci_class);
	add_hex(node, "pci_revision", revision, identity->pci_revision);
}

void identity_add(struct out_node *node, const struct vfm_identity *identity)
{
	char text[256];

	add_text(node, "name", "Device", identity->name);
	what_of(identity, text, sizeof(text));
	add_text(node, "what", "What", text);
	add_text(node, "driver", "Driver", identity->driver);
	add_text(node, "mdev_type", NULL, identity->mdev_type);
	add_pci(node, identity);
	add_text(node, "firmware", "Firmware", identity->firmware);
	add_text(node, "kernel", NULL, identity->kernel);
	if (identity->flags & VFM_IDENTITY_MIGRATION)
		out_text(node, "migration_flags", "Migration", "%s",
			 migration_flags_text(identity->migration_flags, text, sizeof(text)));
	else
		out_null(node, "migration_flags", NULL);
	out_bool(node, "simulated", NULL, identity->flags & VFM_IDENTITY_SIMULATED);
}

static void add_migrates(struct out_node *node, uint32_t flags)
{
	if (flags & VFM_CANDIDATE_MIGRATES)
		out_bool(node, "migrates", "Migrates", true);
	else if (flags & VFM_CANDIDATE_NO_MIGRATION)
		out_bool(node, "migrates", "Migrates", false);
	else
		out_null(node, "migrates", "Migrates");
}

/* What it can be opened for: a container takes any of the others' names of --iommu. */
static const char *ways_of(const struct vfm_candidate *candidate)
{
	if (candidate->flags & VFM_CANDIDATE_CDEV)
		return "iommufd";
	return candidate->flags & VFM_CANDIDATE_GROUP ? "container" : "";
}

void identity_add_candidate(struct out_node *node, const struct vfm_candidate *candidate, bool row)
{
	const struct vfm_identity *identity = &candidate->identity;
	struct out_node *to = row ? out_object(node, NULL, NULL) : node;
	const char *cdev = strrchr(candidate->cdev, '/');
	char what[256];

	what_of(identity, what, sizeof(what));
	out_text(to, "name", "Device", "%s", identity->name);
	out_text(to, "driver", "Driver", "%s", identity->driver);
	out_text(to, "cdev", "Cdev", "%s", cdev ? cdev + 1 : "");
	if (candidate->flags & VFM_CANDIDATE_GROUP)
		out_number(to, "iommu_group", "Group", candidate->iommu_group, OUT_PLAIN);
	else
		out_null(to, "iommu_group", "Group");
	cli_add_state(to, "state", "State", candidate->state);
	add_migrates(to, candidate->flags);
	out_text(to, "what", "What", "%s", what);
	out_text(to, "backend", row ? NULL : "Back end", "%s", ways_of(candidate));
	out_text(to, "mdev_type", NULL, "%s", identity->mdev_type);
	out_text(to, "sysfs", row ? NULL : "Sysfs", "%s", candidate->sysfs);
	if (row)
		add_pci(to, identity);
}
