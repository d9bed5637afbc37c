/* SPDX-License-Identifier: MIT */
/* Records inside frames: one table of ids drives both directions. Pure. */
#include "stream-format.h"

#include <stdlib.h>

#include "wire.h"

enum record_kind {
	KIND_TEXT, /* printable ASCII, no terminator on the wire; left out when empty */
	KIND_LE16, /* one or more numbers, adjacent on the wire and in memory */
	KIND_LE32,
	KIND_LE64,
	KIND_MARK, /* no bytes: being there is all it says */
};

struct record_rule {
	uint16_t id;
	uint8_t kind;
	uint16_t length; /* on the wire; of a text: its array, one more than its longest */
	size_t offset;	 /* in the struct the records fill */
	uint32_t flag;	 /* not a text: there if and only if this bit is set in the flags; 0: always there */
};

/* A table and where in the struct that it fills the flags are. */
struct record_set {
	const struct record_rule *rules;
	size_t count;
	size_t flags;
};

/* What DEVICE carries. */
struct device_records {
	struct vfm_identity identity;
	uint64_t data_size;
};

#define HAS_DATA_SIZE (1u << 31) /* in identity.flags while it is inside this file */

#define IDENTITY(field) offsetof(struct device_records, identity.field)
#define IDENTITY_ROOM(field) sizeof(((struct vfm_identity *)0)->field)
#define INFO(field) offsetof(struct vfm_stream_summary, field)
#define INFO_ROOM(field) sizeof(((struct vfm_stream_summary *)0)->field)

/* clang-format off */
static const struct record_rule info_rules[] = {
	{ VFMI_RECORD_PRODUCER, KIND_TEXT, INFO_ROOM(producer), INFO(producer), 0 },
	{ VFMI_RECORD_KERNEL,   KIND_TEXT, INFO_ROOM(kernel),   INFO(kernel),   0 },
	{ VFMI_RECORD_CREATED,  KIND_LE64, 8,                   INFO(created_s), 0 },
	{ VFMI_RECORD_DEVICES,  KIND_LE32, 4,                   INFO(devices),  0 },
};

static const struct record_rule device_rules[] = {
	{ VFMI_RECORD_NAME,      KIND_TEXT, IDENTITY_ROOM(name),      IDENTITY(name),            0 },
	{ VFMI_RECORD_DRIVER,    KIND_TEXT, IDENTITY_ROOM(driver),    IDENTITY(driver),          0 },
	{ VFMI_RECORD_MDEV_TYPE, KIND_TEXT, IDENTITY_ROOM(mdev_type), IDENTITY(mdev_type),       0 },
	{ VFMI_RECORD_FIRMWARE,  KIND_TEXT, IDENTITY_ROOM(firmware),  IDENTITY(firmware),        0 },
	{ VFMI_RECORD_KERNEL,    KIND_TEXT, IDENTITY_ROOM(kernel),    IDENTITY(kernel),          0 },
	{ VFMI_RECORD_PCI_ID,    KIND_LE16, 4, IDENTITY(pci_vendor),      VFM_IDENTITY_PCI       },
	{ VFMI_RECORD_SUBSYSTEM, KIND_LE16, 4, IDENTITY(pci_subvendor),   VFM_IDENTITY_SUBSYSTEM },
	{ VFMI_RECORD_REVISION,  KIND_LE32, 8, IDENTITY(pci_class),       VFM_IDENTITY_REVISION  },
	{ VFMI_RECORD_MIGRATION, KIND_LE32, 4, IDENTITY(migration_flags), VFM_IDENTITY_MIGRATION },
	{ VFMI_RECORD_SIMULATED, KIND_MARK, 0, 0,                         VFM_IDENTITY_SIMULATED },
	{ VFMI_RECORD_DATA_SIZE, KIND_LE64, 8, offsetof(struct device_records, data_size), HAS_DATA_SIZE },
};
/* clang-format on */

static const struct record_set info_set = { info_rules, VFMI_ARRAY_SIZE(info_rules), INFO(flags) };
static const struct record_set device_set = { device_rules, VFMI_ARRAY_SIZE(device_rules), IDENTITY(flags) };

_Static_assert(IDENTITY(pci_device) == IDENTITY(pci_vendor) + 2, "PCI_ID is one field of two numbers");
_Static_assert(IDENTITY(pci_subdevice) == IDENTITY(pci_subvendor) + 2, "so is SUBSYSTEM");
_Static_assert(IDENTITY(pci_revision) == IDENTITY(pci_class) + 4, "and REVISION");
_Static_assert(VFMI_ARRAY_SIZE(device_rules) <= 32, "records seen are kept in 32 bits");

static bool is_printable(uint8_t c)
{
	return c >= ' ' && c <= '~';
}

static uint32_t get_flags(const struct record_set *set, const void *object)
{
	uint32_t flags;

	memcpy(&flags, (const uint8_t *)object + set->flags, sizeof(flags));
	return flags;
}

static void add_flag(const struct record_set *set, void *object, uint32_t flag)
{
	const uint32_t flags = get_flags(set, object) | flag;

	memcpy((uint8_t *)object + set->flags, &flags, sizeof(flags));
}

/* One number between its places in memory and on the wire; returns its width. */
static size_t put_number(uint8_t kind, const uint8_t *field, uint8_t *wire)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (kind) {
	case KIND_LE16:
		memcpy(&v16, field, sizeof(v16));
		vfmi_put_le16(wire, v16);
		return sizeof(v16);
	case KIND_LE32:
		memcpy(&v32, field, sizeof(v32));
		vfmi_put_le32(wire, v32);
		return sizeof(v32);
	default:
		memcpy(&v64, field, sizeof(v64));
		vfmi_put_le64(wire, v64);
		return sizeof(v64);
	}
}

static size_t get_number(uint8_t kind, const uint8_t *wire, uint8_t *field)
{
	const uint16_t v16 = kind == KIND_LE16 ? vfmi_get_le16(wire) : 0;
	const uint32_t v32 = kind == KIND_LE32 ? vfmi_get_le32(wire) : 0;
	const uint64_t v64 = kind == KIND_LE64 ? vfmi_get_le64(wire) : 0;

	switch (kind) {
	case KIND_LE16:
		memcpy(field, &v16, sizeof(v16));
		return sizeof(v16);
	case KIND_LE32:
		memcpy(field, &v32, sizeof(v32));
		return sizeof(v32);
	default:
		memcpy(field, &v64, sizeof(v64));
		return sizeof(v64);
	}
}

/* Bytes of the record's value, 0xffff when there is nothing to say. */
#define ABSENT 0xffffu

static size_t value_length(const struct record_rule *rule, const uint8_t *field, uint32_t flags)
{
	if (rule->kind != KIND_TEXT)
		return rule->flag & ~flags ? ABSENT : rule->length;

	const size_t length = strnlen((const char *)field, rule->length - 1u);

	return length ? length : ABSENT;
}

static void put_value(const struct record_rule *rule, const uint8_t *field, uint8_t *wire, size_t length)
{
	size_t at = 0;

	while (at < length) {
		if (rule->kind == KIND_TEXT) {
			wire[at] = is_printable(field[at]) ? field[at] : '?';
			at++;
		} else {
			at += put_number(rule->kind, field + at, wire + at);
		}
	}
}

static int encode(const struct record_set *set, const void *object, uint8_t *buf, size_t room)
{
	const uint32_t flags = get_flags(set, object);
	size_t at = 0;

	for (size_t i = 0; i < set->count; i++) {
		const struct record_rule *rule = &set->rules[i];
		const uint8_t *field = (const uint8_t *)object + rule->offset;
		const size_t length = value_length(rule, field, flags);

		if (length == ABSENT)
			continue;
		if (room - at < 4 + length)
			return -ENOSPC;

		vfmi_put_le16(buf + at, rule->id);
		vfmi_put_le16(buf + at + 2, (uint16_t)length);
		put_value(rule, field, buf + at + 4, length);
		at += 4 + length;
	}

	return (int)at;
}

static int get_text_value(const struct record_rule *rule, const uint8_t *wire, size_t length, uint8_t *field)
{
	if (length == 0 || length >= rule->length)
		return -EBADMSG;

	for (size_t i = 0; i < length; i++) {
		if (!is_printable(wire[i]))
			return -EBADMSG;
	}

	memcpy(field, wire, length);
	return 0;
}

static int get_value(const struct record_rule *rule, const uint8_t *wire, size_t length, uint8_t *field)
{
	if (rule->kind == KIND_TEXT)
		return get_text_value(rule, wire, length, field);
	if (length != rule->length)
		return -EBADMSG;

	for (size_t at = 0; at < length;)
		at += get_number(rule->kind, wire + at, field + at);

	return 0;
}

static size_t find_rule(const struct record_set *set, uint16_t id)
{
	size_t i = 0;

	while (i < set->count && set->rules[i].id != id)
		i++;

	return i;
}

/* Numbers without a flag have no way to say that they are not there. */
static int check_required(const struct record_set *set, uint32_t seen)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->rules[i].kind != KIND_TEXT && !set->rules[i].flag && !(seen & (1u << i)))
			return -EBADMSG;
	}

	return 0;
}

static int decode_one(const struct record_set *set, uint16_t id, const uint8_t *wire, size_t length, void *object,
		      uint32_t *seen)
{
	const size_t i = find_rule(set, id);

	if (i == set->count)
		return id & VFMI_RECORD_OPTIONAL ? 0 : -EPROTONOSUPPORT;
	if (*seen & (1u << i))
		return -EBADMSG;

	*seen |= 1u << i;
	add_flag(set, object, set->rules[i].flag);
	return get_value(&set->rules[i], wire, length, (uint8_t *)object + set->rules[i].offset);
}

/* @object: the fields of @set are zero. */
static int decode(const struct record_set *set, const uint8_t *buf, size_t length, void *object)
{
	uint32_t seen = 0;

	for (size_t at = 0; at < length;) {
		if (length - at < 4)
			return -EBADMSG;

		const size_t value = vfmi_get_le16(buf + at + 2);

		if (length - at - 4 < value)
			return -EBADMSG;

		int r = decode_one(set, vfmi_get_le16(buf + at), buf + at + 4, value, object, &seen);

		if (r < 0)
			return r;
		at += 4 + value;
	}

	return check_required(set, seen);
}

int vfmi_records_put_info(uint8_t *buf, size_t room, const struct vfm_stream_summary *info)
{
	return encode(&info_set, info, buf, room);
}

int vfmi_records_get_info(const uint8_t *buf, size_t length, struct vfm_stream_summary *info)
{
	struct vfm_stream_summary found = { .size = sizeof(found) };
	int r = decode(&info_set, buf, length, &found);

	if (r < 0)
		return r;
	if (found.devices == 0 || found.devices > VFM_STREAM_MAX_DEVICES)
		return -EBADMSG;

	memcpy(info->producer, found.producer, sizeof(info->producer));
	memcpy(info->kernel, found.kernel, sizeof(info->kernel));
	info->created_s = found.created_s;
	info->devices = found.devices;
	return 0;
}

int vfmi_records_put_identity(uint8_t *buf, size_t room, const struct vfm_identity *identity, uint64_t data_size)
{
	struct device_records records = { .identity = *identity, .data_size = data_size };

	records.identity.flags &= ~HAS_DATA_SIZE;
	if (data_size != VFM_SIZE_UNKNOWN)
		records.identity.flags |= HAS_DATA_SIZE;

	return encode(&device_set, &records, buf, room);
}

int vfmi_records_get_identity(const uint8_t *buf, size_t length, struct vfm_identity *identity, uint64_t *data_size)
{
	struct device_records records = { .identity = { .size = sizeof(records.identity) } };
	int r = decode(&device_set, buf, length, &records);

	if (r < 0)
		return r;
	if (!(records.identity.flags & HAS_DATA_SIZE))
		records.data_size = VFM_SIZE_UNKNOWN;

	records.identity.flags &= ~HAS_DATA_SIZE;
	*identity = records.identity;
	if (data_size)
		*data_size = records.data_size;
	return 0;
}

int vfmi_records_put_verdict(uint8_t buf[4 + VFMI_MAX_TEXT], int code, const char *text)
{
	const size_t length = strnlen(text, VFMI_MAX_TEXT);

	vfmi_put_le32(buf, (uint32_t)code);
	memcpy(buf + 4, text, length);
	return (int)(4 + length);
}

int vfmi_records_get_verdict(const uint8_t *buf, size_t length, char *text, size_t room)
{
	const uint32_t code = length < 4 ? 0 : vfmi_get_le32(buf);

	vfmi_records_get_text(buf + 4, length < 4 ? 0 : length - 4, text, room);
	return code == 0 || code > 4095 ? EPROTO : (int)code;
}

void vfmi_records_get_text(const uint8_t *buf, size_t length, char *text, size_t room)
{
	size_t at = 0;

	for (; at < length && at + 1 < room; at++)
		text[at] = (char)(is_printable(buf[at]) ? buf[at] : '?');

	if (room)
		text[at] = '\0';
}
