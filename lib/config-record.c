/* SPDX-License-Identifier: MIT */
/* Codec of the pci-config record, capability lists, and which configuration fits which device. Pure. */
#include "config-record.h"
#include "wire.h"

#define MAGIC "VFMC"
#define HEADER 24u
#define SET_HEADER 8u
#define FLAG_PCI 1u
#define STATUS_CAPABILITIES 0x10u
#define FIRST_CAP 0x40u
#define CAPS_END 0x100u
#define HEADER_TYPE 0x7fu
#define BAR_IO 0x1u
#define BAR_IO_TYPE 0x3u
#define BAR_MEMORY_TYPE 0xfu
#define BAR_WIDTH 0x6u
#define BAR_64 0x4u
#define EXPRESS_VERSION 0xfu

static uint32_t padded(uint32_t length)
{
	return (length + 3u) & ~3u;
}

static uint32_t set_bytes(const struct vfmi_config_set *set)
{
	return (set->vectors + 7u) / 8u;
}

_Static_assert(VFMI_CONFIG_SETS == VFM_CONFIG_IRQS, "every set can be told");
_Static_assert(VFMI_PCI_MAX_CAPS == VFM_CONFIG_CAPABILITIES, "every capability can be told");

/* interrupt sets */

const struct vfmi_config_set *vfmi_config_find_set(const struct vfmi_config *config, uint32_t index)
{
	for (uint32_t i = 0; i < config->set_count; i++) {
		if (config->sets[i].index == index)
			return &config->sets[i];
	}
	return NULL;
}

/* The set of @index, made in its place when absent; NULL when there is no room. */
static struct vfmi_config_set *want_set(struct vfmi_config *config, uint32_t index)
{
	uint32_t at = 0;

	while (at < config->set_count && config->sets[at].index < index)
		at++;
	if (at < config->set_count && config->sets[at].index == index)
		return &config->sets[at];
	if (config->set_count == VFMI_CONFIG_SETS)
		return NULL;
	memmove(&config->sets[at + 1], &config->sets[at], (config->set_count - at) * sizeof(config->sets[0]));
	config->sets[at] = (struct vfmi_config_set){ .index = index };
	config->set_count++;
	return &config->sets[at];
}

int vfmi_config_add_vector(struct vfmi_config *config, uint32_t index, uint32_t vector)
{
	struct vfmi_config_set *set;

	if (index >= VFMI_CONFIG_IRQ_INDEXES || vector >= VFMI_CONFIG_VECTORS)
		return -ENOSPC;
	set = want_set(config, index);
	if (!set)
		return -ENOSPC;
	set->armed[vector / 8] |= (uint8_t)(1u << vector % 8);
	if (set->vectors <= vector)
		set->vectors = vector + 1;
	return 0;
}

/* codec */

static uint32_t encoded_length(const struct vfmi_config *config)
{
	uint32_t length = HEADER + padded(config->length);

	for (uint32_t i = 0; i < config->set_count; i++)
		length += SET_HEADER + padded(set_bytes(&config->sets[i]));
	return length;
}

int vfmi_config_encode(const struct vfmi_config *config, uint8_t *buf, size_t room)
{
	uint32_t length = encoded_length(config);
	uint8_t *at = buf + HEADER;

	if (length > room)
		return -ENOSPC;
	memset(buf, 0, length);
	memcpy(buf, MAGIC, 4);
	vfmi_put_le16(buf + 4, VFMI_CONFIG_VERSION);
	vfmi_put_le16(buf + 6, HEADER);
	vfmi_put_le32(buf + 8, config->pci ? FLAG_PCI : 0);
	vfmi_put_le32(buf + 12, config->length);
	vfmi_put_le32(buf + 16, config->set_count);
	vfmi_put_le32(buf + 20, length);
	memcpy(at, config->space, config->length);
	at += padded(config->length);
	for (uint32_t i = 0; i < config->set_count; i++) {
		const struct vfmi_config_set *set = &config->sets[i];

		vfmi_put_le32(at, set->index);
		vfmi_put_le32(at + 4, set->vectors);
		memcpy(at + SET_HEADER, set->armed, set_bytes(set));
		at += SET_HEADER + padded(set_bytes(set));
	}
	return (int)length;
}

struct in {
	const uint8_t *at;
	size_t left;
	bool unknown; /* what is wrong may be right to a newer reader */
};

static bool is_zero(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (bytes[i])
			return false;
	}
	return true;
}

/* @length bytes and their padding. */
static bool in_bytes(struct in *in, void *to, uint32_t length)
{
	uint32_t whole = padded(length);

	if (whole > in->left || !is_zero(in->at + length, whole - length))
		return false;
	memcpy(to, in->at, length);
	in->at += whole;
	in->left -= whole;
	return true;
}

static const char *in_header(struct in *in, struct vfmi_config *config)
{
	const uint8_t *header = in->at;
	uint32_t flags;

	if (in->left < HEADER || memcmp(header, MAGIC, 4))
		return "not a configuration record";
	in->unknown = vfmi_get_le16(header + 4) != VFMI_CONFIG_VERSION;
	if (in->unknown)
		return "of a version not known here";
	if (vfmi_get_le16(header + 6) != HEADER)
		return "its header is not as long as it must be";
	flags = vfmi_get_le32(header + 8);
	config->pci = flags & FLAG_PCI;
	config->length = vfmi_get_le32(header + 12);
	config->set_count = vfmi_get_le32(header + 16);
	in->unknown = flags & ~FLAG_PCI;
	if (in->unknown)
		return "flags not known here";
	if (vfmi_get_le32(header + 20) != in->left)
		return "its length is not the length it claims";
	if (config->set_count > VFMI_CONFIG_SETS)
		return "too many interrupt sets";
	if (config->pci ? config->length < VFMI_CONFIG_MIN || config->length > VFMI_CONFIG_SPACE : config->length > 0)
		return "no configuration space has that size";
	in->at += HEADER;
	in->left -= HEADER;
	return NULL;
}

static const char *in_set(struct in *in, const struct vfmi_config_set *before, struct vfmi_config_set *set)
{
	uint8_t header[SET_HEADER];

	if (!in_bytes(in, header, SET_HEADER))
		return "cut short";
	set->index = vfmi_get_le32(header);
	set->vectors = vfmi_get_le32(header + 4);
	if (set->index >= VFMI_CONFIG_IRQ_INDEXES || (before && set->index <= before->index))
		return "interrupt sets out of order";
	if (set->vectors == 0 || set->vectors > VFMI_CONFIG_VECTORS)
		return "no interrupt has that many vectors";
	if (!in_bytes(in, set->armed, set_bytes(set)))
		return "cut short, or padding that is not zero";
	if (!vfmi_config_is_armed(set, set->vectors - 1) ||
	    (set->vectors % 8 && set->armed[set->vectors / 8] >> set->vectors % 8))
		return "the last vector of an interrupt set is not armed";
	return NULL;
}

static const char *in_record(struct in *in, struct vfmi_config *config)
{
	const char *why = in_header(in, config);

	if (!why && !in_bytes(in, config->space, config->length))
		why = "cut short, or padding that is not zero";
	for (uint32_t i = 0; !why && i < config->set_count; i++)
		why = in_set(in, i ? &config->sets[i - 1] : NULL, &config->sets[i]);
	if (!why && in->left)
		why = "bytes after its end";
	return why;
}

int vfmi_config_decode(const uint8_t *buf, size_t length, struct vfmi_config *ret, const char **ret_why)
{
	struct in in = { .at = buf, .left = length };

	memset(ret, 0, sizeof(*ret));
	*ret_why = in_record(&in, ret);
	if (!*ret_why)
		return 0;
	return in.unknown ? -EPROTONOSUPPORT : -EBADMSG;
}

/* configuration space */

/* How far the registers reach that are read or written here. */
static uint32_t cap_reach(const uint8_t *space, uint32_t at)
{
	uint16_t control = vfmi_get_le16(space + at + 2);

	switch (space[at]) {
	case VFMI_PCI_CAP_PM:
		return VFMI_PCI_PM_CONTROL + 2;
	case VFMI_PCI_CAP_MSI:
		return (control & VFMI_PCI_MSI_64BIT ? 14u : 10u) + (control & VFMI_PCI_MSI_MASKABLE ? 6u : 0u);
	case VFMI_PCI_CAP_EXPRESS:
		return (control & EXPRESS_VERSION) >= 2 ? VFMI_PCI_EXPRESS_CONTROL2 + 2 : VFMI_PCI_EXPRESS_CONTROL + 2;
	default:
		return 4;
	}
}

int vfmi_pci_walk_caps(const uint8_t *space, uint32_t length, struct vfmi_pci_caps *ret)
{
	uint32_t end = length < CAPS_END ? length : CAPS_END;
	uint32_t at;

	ret->count = 0;
	if (!(vfmi_get_le16(space + VFMI_PCI_STATUS) & STATUS_CAPABILITIES))
		return 0;
	for (at = space[VFMI_PCI_CAPABILITIES] & ~3u; at; at = space[at + 1] & ~3u) {
		/* More capabilities than fit without overlapping: the list runs in a circle. */
		if (ret->count == VFMI_PCI_MAX_CAPS || at < FIRST_CAP || at + 4 > end ||
		    at + cap_reach(space, at) > end)
			return -EBADMSG;
		ret->list[ret->count++] = (struct vfmi_pci_cap){ space[at], (uint8_t)at };
	}
	return 0;
}

uint32_t vfmi_pci_find_cap(const struct vfmi_pci_caps *caps, uint8_t id)
{
	for (uint32_t i = 0; i < caps->count; i++) {
		if (caps->list[i].id == id)
			return caps->list[i].at;
	}
	return 0;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, uint32_t at, uint16_t bits)
{
	return ((vfmi_get_le16(a + at) ^ vfmi_get_le16(b + at)) & bits) == 0;
}

/* Address bits are the guest's, the type bits below them the device's. */
static bool same_bar_types(const uint8_t *a, const uint8_t *b)
{
	for (uint32_t i = 0; i < VFMI_PCI_BARS; i++) {
		uint32_t at = VFMI_PCI_BAR0 + i * 4;
		uint16_t type = a[at] & BAR_IO ? BAR_IO_TYPE : BAR_MEMORY_TYPE;

		if (!same_bits(a, b, at, type) || !same_bits(a, b, at, BAR_IO))
			return false;
		if (!(a[at] & BAR_IO) && (a[at] & BAR_WIDTH) == BAR_64)
			i++;
	}
	return true;
}

static bool same_cap(const uint8_t *a, const uint8_t *b, const struct vfmi_pci_cap *cap)
{
	uint32_t control = cap->at + VFMI_PCI_MSG_CONTROL;

	switch (cap->id) {
	case VFMI_PCI_CAP_MSI:
		return same_bits(a, b, control, VFMI_PCI_MSI_CAPABLE | VFMI_PCI_MSI_64BIT | VFMI_PCI_MSI_MASKABLE);
	case VFMI_PCI_CAP_MSIX:
		return same_bits(a, b, control, VFMI_PCI_MSIX_SIZE);
	case VFMI_PCI_CAP_EXPRESS:
		return same_bits(a, b, control, EXPRESS_VERSION);
	default:
		return true;
	}
}

static const char *compare_caps(const struct vfmi_config *record, const struct vfmi_config *target,
				const struct vfmi_pci_caps *ours, const struct vfmi_pci_caps *theirs)
{
	if (ours->count != theirs->count || memcmp(ours->list, theirs->list, ours->count * sizeof(ours->list[0])))
		return "the device has other PCI capabilities than the one that was saved";
	for (uint32_t i = 0; i < ours->count; i++) {
		if (!same_cap(record->space, target->space, &ours->list[i]))
			return "a PCI capability differs from that of the device that was saved";
	}
	return NULL;
}

static const char *compare_headers(const struct vfmi_config *record, const struct vfmi_config *target)
{
	if (record->length != target->length)
		return "its configuration space has another size than that of the device that was saved";
	if (!same_bits(record->space, target->space, VFMI_PCI_VENDOR, UINT16_MAX) ||
	    !same_bits(record->space, target->space, VFMI_PCI_DEVICE, UINT16_MAX))
		return "its PCI ids are not those of the device that was saved";
	if (record->space[VFMI_PCI_HEADER_TYPE] & HEADER_TYPE || target->space[VFMI_PCI_HEADER_TYPE] & HEADER_TYPE)
		return "bridges are not supported";
	if (!same_bar_types(record->space, target->space))
		return "its BARs are of other types than those of the device that was saved";
	return NULL;
}

int vfmi_config_fits(const struct vfmi_config *record, const struct vfmi_config *target, const char **ret_why)
{
	struct vfmi_pci_caps ours;
	struct vfmi_pci_caps theirs;

	*ret_why = NULL;
	if (record->pci != target->pci)
		*ret_why = "one of the two devices is PCI, the other is not";
	if (*ret_why || !record->pci)
		return *ret_why ? -EINVAL : 0;
	*ret_why = compare_headers(record, target);
	if (*ret_why)
		return -EINVAL;
	*ret_why = "the record's capability list is broken";
	if (vfmi_pci_walk_caps(record->space, record->length, &ours) < 0)
		return -EBADMSG;
	*ret_why = "the device's capability list is broken";
	if (vfmi_pci_walk_caps(target->space, target->length, &theirs) < 0)
		return -EINVAL;
	*ret_why = compare_caps(record, target, &ours, &theirs);
	return *ret_why ? -EINVAL : 0;
}

/* telling */

static void tell_irq(const struct vfmi_config_set *set, struct vfm_config_irq *ret)
{
	*ret = (struct vfm_config_irq){ .index = set->index, .highest = set->vectors - 1 };
	for (uint32_t vector = 0; vector < set->vectors; vector++)
		ret->armed += vfmi_config_is_armed(set, vector);
}

static void tell_space(const struct vfmi_config *config, const struct vfmi_pci_caps *caps, struct vfm_config_info *ret)
{
	uint32_t power = vfmi_pci_find_cap(caps, VFMI_PCI_CAP_PM);

	ret->space_bytes = config->length;
	ret->command = vfmi_get_le16(config->space + VFMI_PCI_COMMAND);
	if (power)
		ret->power_state = vfmi_get_le16(config->space + power + VFMI_PCI_PM_CONTROL) & VFMI_PCI_PM_STATE;
	ret->capability_count = caps->count;
	for (uint32_t i = 0; i < caps->count; i++)
		ret->capabilities[i] = caps->list[i].id;
}

int vfmi_config_tell(const struct vfmi_config *config, struct vfm_config_info *ret, const char **ret_why)
{
	struct vfm_config_info info = { .size = sizeof(info), .irq_count = config->set_count };
	struct vfmi_pci_caps caps;

	if (config->pci && vfmi_pci_walk_caps(config->space, config->length, &caps) < 0) {
		*ret_why = "its capability list is broken";
		return -EBADMSG;
	}
	if (config->pci)
		tell_space(config, &caps, &info);
	for (uint32_t i = 0; i < config->set_count; i++)
		tell_irq(&config->sets[i], &info.irqs[i]);
	*ret = info;
	return 0;
}
