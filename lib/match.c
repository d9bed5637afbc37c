/* SPDX-License-Identifier: MIT */
/* Match policy: may the state of one device be loaded into another? A table; no device is asked. Pure. */
#include "internal.h"

#include <stdio.h>

#define TEXT_ROOM 80u
#define KNOWN_MIGRATION (VFM_MIGRATION_STOP_COPY | VFM_MIGRATION_P2P | VFM_MIGRATION_PRE_COPY)

struct match_rule {
	const char *field;
	enum vfm_match_policy difference; /* verdict when both sides are known and not the same */
	/* The field in words, "" when it is not known. */
	void (*show)(const struct vfm_identity *identity, char text[TEXT_ROOM]);
	/* Whether @source can be loaded into @target as far as this field goes; NULL: when the words are equal. */
	bool (*fits)(const struct vfm_identity *source, const struct vfm_identity *target);
};

/* Drivers by the family whose state format they share; one that is not listed is a family of its own. */
/* clang-format off */
static const struct {
	const char *driver;
	const char *family;
} families[] = {
	{ "mlx5_vfio_pci",     "mlx5" },
	{ "hisi_acc_vfio_pci", "hisi_acc" },
	{ "pds_vfio_pci",      "pds" },
	{ "qat_vfio_pci",      "qat" },
	{ "virtio_vfio_pci",   "virtio" },
	{ "xe_vfio_pci",       "xe" },
};
/* clang-format on */

static bool is_same_name(const char *a, const char *b)
{
	/* Module and driver names of one driver differ by '-' and '_'. */
	while (*a && (*a == *b || ((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))) {
		a++;
		b++;
	}

	return !*a && !*b;
}

static const char *family_of(const char *driver)
{
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(families); i++) {
		if (is_same_name(driver, families[i].driver))
			return families[i].family;
	}

	return driver;
}

static bool is_same_family(const struct vfm_identity *source, const struct vfm_identity *target)
{
	return is_same_name(family_of(source->driver), family_of(target->driver));
}

/* STOP_COPY is the base of every legal set; a bit nobody here knows may change what the state means. */
static bool can_migrate(uint32_t flags)
{
	return (flags & VFM_MIGRATION_STOP_COPY) && !(flags & ~KNOWN_MIGRATION);
}

static bool both_migrate(const struct vfm_identity *source, const struct vfm_identity *target)
{
	return can_migrate(source->migration_flags) && can_migrate(target->migration_flags);
}

static bool has_precopy_if_needed(const struct vfm_identity *source, const struct vfm_identity *target)
{
	return !(source->migration_flags & ~target->migration_flags & VFM_MIGRATION_PRE_COPY);
}

static void show_machine(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	snprintf(text, TEXT_ROOM, "%s", identity->flags & VFM_IDENTITY_SIMULATED ? "simulated" : "real");
}

static void show_pci(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	if (identity->flags & VFM_IDENTITY_PCI)
		snprintf(text, TEXT_ROOM, "%04x:%04x", identity->pci_vendor, identity->pci_device);
}

static void show_subsystem(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	if (identity->flags & VFM_IDENTITY_SUBSYSTEM)
		snprintf(text, TEXT_ROOM, "%04x:%04x", identity->pci_subvendor, identity->pci_subdevice);
}

static void show_class(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	if (identity->flags & VFM_IDENTITY_REVISION)
		snprintf(text, TEXT_ROOM, "%06x", identity->pci_class);
}

static void show_revision(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	if (identity->flags & VFM_IDENTITY_REVISION)
		snprintf(text, TEXT_ROOM, "%02x", identity->pci_revision);
}

static void show_driver(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	snprintf(text, TEXT_ROOM, "%s", identity->driver);
}

static void show_mdev_type(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	snprintf(text, TEXT_ROOM, "%s", identity->mdev_type);
}

static void show_firmware(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	snprintf(text, TEXT_ROOM, "%s", identity->firmware);
}

static void show_kernel(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	snprintf(text, TEXT_ROOM, "%s", identity->kernel);
}

static void show_migration(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	if (identity->flags & VFM_IDENTITY_MIGRATION)
		snprintf(text, TEXT_ROOM, "0x%x", identity->migration_flags);
}

static void show_precopy(const struct vfm_identity *identity, char text[TEXT_ROOM])
{
	if (identity->flags & VFM_IDENTITY_MIGRATION)
		snprintf(text, TEXT_ROOM, "%s", identity->migration_flags & VFM_MIGRATION_PRE_COPY ? "yes" : "no");
}

/* The policy table of vfiomig-stream(5). */
static const struct match_rule rules[] = {
	{ "machine", VFM_MATCH_REFUSE, show_machine, NULL },
	{ "pci-id", VFM_MATCH_REFUSE, show_pci, NULL },
	{ "driver", VFM_MATCH_REFUSE, show_driver, is_same_family },
	{ "mdev-type", VFM_MATCH_REFUSE, show_mdev_type, NULL },
	{ "migration", VFM_MATCH_REFUSE, show_migration, both_migrate },
	{ "subsystem", VFM_MATCH_WARN, show_subsystem, NULL },
	{ "class", VFM_MATCH_WARN, show_class, NULL },
	{ "revision", VFM_MATCH_WARN, show_revision, NULL },
	{ "firmware", VFM_MATCH_WARN, show_firmware, NULL },
	{ "kernel", VFM_MATCH_WARN, show_kernel, NULL },
	{ "pre-copy", VFM_MATCH_WARN, show_precopy, has_precopy_if_needed },
};

static enum vfm_match_policy judge(const struct match_rule *rule, const struct vfm_identity *source,
				   const struct vfm_identity *target, const char *source_text, const char *target_text)
{
	if (!*source_text || !*target_text)
		return VFM_MATCH_UNKNOWN;
	if (rule->fits ? rule->fits(source, target) : strcmp(source_text, target_text) == 0)
		return VFM_MATCH_SAME;

	return rule->difference;
}

/* A caller's identity, whole and with its texts ended. */
static int take_identity(struct vfm_identity *to, const struct vfm_identity *from)
{
	int r = vfmi_sized_in(to, sizeof(*to), from, VFMI_IDENTITY_MIN);

	if (r < 0)
		return r;

	to->name[sizeof(to->name) - 1] = '\0';
	to->driver[sizeof(to->driver) - 1] = '\0';
	to->mdev_type[sizeof(to->mdev_type) - 1] = '\0';
	to->firmware[sizeof(to->firmware) - 1] = '\0';
	to->kernel[sizeof(to->kernel) - 1] = '\0';
	return 0;
}

int vfm_match(const struct vfm_identity *source, const struct vfm_identity *target, vfm_match_fn *fn, void *user)
{
	struct vfm_identity from, to;
	bool refused = false;
	int r = take_identity(&from, source);

	if (r == 0)
		r = take_identity(&to, target);

	for (size_t i = 0; r == 0 && i < VFMI_ARRAY_SIZE(rules); i++) {
		char source_text[TEXT_ROOM] = "", target_text[TEXT_ROOM] = "";
		struct vfm_match_line line = { .size = sizeof(line), .field = rules[i].field };

		rules[i].show(&from, source_text);
		rules[i].show(&to, target_text);
		line.source = source_text;
		line.target = target_text;
		line.verdict = judge(&rules[i], &from, &to, source_text, target_text);
		refused |= line.verdict == VFM_MATCH_REFUSE;
		r = fn ? fn(user, &line) : 0;
	}

	return r == 0 && refused ? -EREMOTEIO : r;
}
