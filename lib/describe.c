/* SPDX-License-Identifier: MIT */
/* One line that adopts a device elsewhere: printed from a device, parsed strictly, turned into a device again. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "describe.h"
#include "device-internal.h"
#include "iommu-internal.h"

#define DESCRIBE_STEP "adopt"
#define PREFIX "fd:"
#define PIDFD_PREFIX "pidfd:"

enum value_kind {
	VALUE_FD,      /* descriptor, into an int */
	VALUE_ID,      /* object id, 1 to UINT32_MAX */
	VALUE_BACKEND, /* name of enum vfm_iommu_backend */
	VALUE_FLAG,    /* "1" */
	VALUE_TEXT,    /* percent-escaped */
	VALUE_VECTOR,  /* INDEX:VECTOR:FD, may be repeated */
};

struct key {
	const char *name;
	enum value_kind kind;
	size_t offset; /* in struct vfmi_description */
	size_t room;   /* of a text */
};

#define FIELD(f) offsetof(struct vfmi_description, f)
#define TEXT(f) VALUE_TEXT, FIELD(identity.f), sizeof(((struct vfm_identity *)NULL)->f)

static const struct key keys[] = {
	{ "iommufd", VALUE_FD, FIELD(iommufd), 0 },
	{ "ioas", VALUE_ID, FIELD(ioas_id), 0 },
	{ "devid", VALUE_ID, FIELD(devid), 0 },
	{ "pt", VALUE_ID, FIELD(pt_id), 0 },
	{ "backend", VALUE_BACKEND, FIELD(backend), 0 },
	{ "tracks", VALUE_FLAG, FIELD(tracks), 0 },
	{ "name", TEXT(name) },
	{ "driver", TEXT(driver) },
	{ "mdev", TEXT(mdev_type) },
	{ "firmware", TEXT(firmware) },
	{ "sim", VALUE_FLAG, FIELD(simulated), 0 },
	{ "start", VALUE_TEXT, FIELD(start), sizeof(((struct vfmi_description *)NULL)->start) },
	{ "irq", VALUE_VECTOR, FIELD(vectors), 0 },
};

/* description of a device */

static const struct vfmi_description blank = { .device_fd = -1, .iommufd = -1 };

void vfmi_description_clear(struct vfmi_description *desc)
{
	free(desc->vectors);
	*desc = blank;
}

int vfmi_description_add_vector(struct vfmi_description *desc, struct vfmi_vector vector)
{
	if (desc->count == desc->room) {
		size_t room = desc->room ? desc->room * 2 : 16;
		struct vfmi_vector *grown = reallocarray(desc->vectors, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		desc->vectors = grown;
		desc->room = room;
	}
	desc->vectors[desc->count++] = vector;
	return 0;
}

static int add_armed(void *user, uint32_t index, uint32_t vector, int eventfd)
{
	return vfmi_description_add_vector(user, (struct vfmi_vector){ index, vector, eventfd });
}

static void describe_identity(struct vfm_device *dev, struct vfmi_description *desc)
{
	desc->identity.size = sizeof(desc->identity);
	/* A device that does not answer can still be handed on: its new holder asks again. */
	if (vfm_device_identity(dev, &desc->identity, NULL) < 0) {
		memset(&desc->identity, 0, sizeof(desc->identity));
		desc->identity.size = sizeof(desc->identity);
	}
	snprintf(desc->identity.name, sizeof(desc->identity.name), "%s", vfm_device_name(dev));
	desc->simulated = vfm_context_is_simulated(vfm_device_context(dev));
}

int vfmi_description_of(struct vfm_device *dev, struct vfmi_description *ret)
{
	struct vfm_iommu *iommu = vfm_device_iommu(dev);
	struct vfmi_description desc = blank;
	int r;

	desc.device_fd = vfm_device_fd(dev);
	desc.devid = vfm_device_id(dev);
	desc.pt_id = vfm_device_pt_id(dev);
	if (iommu) {
		desc.iommufd = vfm_iommu_fd(iommu);
		desc.ioas_id = vfm_iommu_ioas_id(iommu);
		desc.backend = vfm_iommu_backend(iommu);
		desc.tracks = vfmi_iommu_hwpt_tracks(iommu, desc.pt_id);
	}
	describe_identity(dev, &desc);
	r = vfmi_device_irq_each(dev, add_armed, &desc);
	if (r < 0) {
		vfmi_description_clear(&desc);
		return r;
	}
	*ret = desc;
	return 0;
}

/* printing */

struct out {
	char *buf;
	size_t room;
	size_t length; /* what it takes, also past room */
};

static void out_char(struct out *out, char c)
{
	if (out->length + 1 < out->room) {
		out->buf[out->length] = c;
		out->buf[out->length + 1] = '\0';
	}
	out->length++;
}

static void out_text(struct out *out, const char *text)
{
	while (*text)
		out_char(out, *text++);
}

static void out_number(struct out *out, uint32_t number)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%" PRIu32, number);
	out_text(out, digits);
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("._:/@+-", c));
}

static void out_escaped(struct out *out, const char *text)
{
	char escape[4];

	for (; *text; text++) {
		if (is_plain(*text)) {
			out_char(out, *text);
			continue;
		}
		snprintf(escape, sizeof(escape), "%%%02x", (unsigned char)*text);
		out_text(out, escape);
	}
}

static const void *field(const struct vfmi_description *desc, const struct key *key)
{
	return (const char *)desc + key->offset;
}

static uint32_t number_of(const struct vfmi_description *desc, const struct key *key)
{
	uint32_t number;

	memcpy(&number, field(desc, key), sizeof(number));
	return number;
}

static bool is_known(const struct vfmi_description *desc, const struct key *key)
{
	switch (key->kind) {
	case VALUE_FD:
		return number_of(desc, key) <= INT_MAX;
	case VALUE_BACKEND:
		return number_of(desc, key) != VFM_BACKEND_UNKNOWN;
	case VALUE_TEXT:
		return *(const char *)field(desc, key);
	case VALUE_VECTOR:
		return false;
	case VALUE_ID:
	case VALUE_FLAG:
		break;
	}
	return number_of(desc, key);
}

static void out_key(struct out *out, const struct vfmi_description *desc, const struct key *key)
{
	if (!is_known(desc, key))
		return;
	out_char(out, ',');
	out_text(out, key->name);
	out_char(out, '=');
	if (key->kind == VALUE_TEXT)
		out_escaped(out, field(desc, key));
	else if (key->kind == VALUE_BACKEND)
		out_text(out, vfm_backend_name(number_of(desc, key)));
	else
		out_number(out, number_of(desc, key));
}

static void out_vector(struct out *out, const struct vfmi_vector *vector)
{
	out_text(out, ",irq=");
	out_number(out, vector->index);
	out_char(out, ':');
	out_number(out, vector->vector);
	out_char(out, ':');
	out_number(out, (uint32_t)vector->fd);
}

_Static_assert(VFMI_DESCRIPTION_REST + VFMI_DESCRIPTION_VECTORS * VFMI_DESCRIPTION_VECTOR <= VFM_DESCRIPTION_MAX,
	       "VFM_DESCRIPTION_MAX is enough for every device");

int vfmi_description_print(const struct vfmi_description *desc, bool vectors, char *buf, size_t room)
{
	struct out out = { buf, room, 0 };

	out_text(&out, PREFIX);
	out_number(&out, (uint32_t)desc->device_fd);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(keys); i++)
		out_key(&out, desc, &keys[i]);
	for (size_t i = 0; vectors && i < desc->count; i++)
		out_vector(&out, &desc->vectors[i]);
	return out.length < room && out.length <= INT_MAX ? (int)out.length : -ENOSPC;
}

int vfm_device_describe(struct vfm_device *dev, char *buf, size_t room)
{
	struct vfmi_description desc;
	int r;

	if (!dev || !buf)
		return -EINVAL;
	r = vfmi_description_of(dev, &desc);
	if (r < 0)
		return r;
	r = vfmi_description_print(&desc, true, buf, room);
	vfmi_description_clear(&desc);
	return r;
}

/* parsing */

struct in {
	const char *text;
	size_t at;
	const char *why;
};

static int in_fail(struct in *in, const char *why)
{
	in->why = why;
	return -EINVAL;
}

static bool in_skip(struct in *in, char c)
{
	if (in->text[in->at] != c)
		return false;
	in->at++;
	return true;
}

static int in_number(struct in *in, uint32_t first, uint32_t last, uint32_t *ret)
{
	size_t start = in->at;
	uint64_t number = 0;

	while (in->text[in->at] >= '0' && in->text[in->at] <= '9') {
		number = number * 10 + (uint64_t)(in->text[in->at] - '0');
		if (number > last)
			return in_fail(in, "number too large");
		in->at++;
	}
	if (in->at == start)
		return in_fail(in, "a decimal number is expected");
	/* One spelling for each number, so that equal devices have equal descriptions. */
	if (in->text[start] == '0' && in->at - start > 1)
		return in_fail(in, "leading zero");
	if (number < first)
		return in_fail(in, "number too small");
	*ret = (uint32_t)number;
	return 0;
}

static int in_descriptor(struct in *in, int *ret)
{
	uint32_t number;
	int r = in_number(in, 0, INT_MAX, &number);

	if (r == 0)
		*ret = (int)number;
	return r;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int in_char(struct in *in, unsigned char *ret)
{
	const char *at = &in->text[in->at];
	int high;
	int low;

	if (is_plain(*at)) {
		*ret = (unsigned char)*at;
		in->at++;
		return 0;
	}
	if (*at != '%')
		return in_fail(in, "this character must be written as %XX");
	high = hex_digit(at[1]);
	low = high < 0 ? -1 : hex_digit(at[2]);
	if (low < 0)
		return in_fail(in, "% needs two hexadecimal digits");
	*ret = (unsigned char)(high * 16 + low);
	if (*ret < ' ' || *ret == 0x7f)
		return in_fail(in, "control character");
	in->at += 3;
	return 0;
}

static int in_text(struct in *in, char *buf, size_t room)
{
	size_t length = 0;

	while (in->text[in->at] && in->text[in->at] != ',') {
		unsigned char c;
		int r = in_char(in, &c);

		if (r < 0)
			return r;
		if (length + 1 >= room)
			return in_fail(in, "text too long");
		buf[length++] = (char)c;
	}
	buf[length] = '\0';
	return length ? 0 : in_fail(in, "empty value");
}

static int in_backend(struct in *in, uint32_t *ret)
{
	size_t length = strcspn(&in->text[in->at], ",");
	char name[16];

	if (length >= sizeof(name))
		return in_fail(in, "unknown back end");
	memcpy(name, &in->text[in->at], length);
	name[length] = '\0';
	if (vfm_backend_from_name(name, ret) < 0)
		return in_fail(in, "unknown back end");
	in->at += length;
	return 0;
}

static bool has_vector(const struct vfmi_description *desc, const struct vfmi_vector *vector)
{
	for (size_t i = 0; i < desc->count; i++) {
		if (desc->vectors[i].index == vector->index && desc->vectors[i].vector == vector->vector)
			return true;
	}
	return false;
}

static int in_vector(struct in *in, struct vfmi_description *desc)
{
	struct vfmi_vector vector;
	size_t start = in->at;
	int r = in_number(in, 0, UINT32_MAX, &vector.index);

	if (r == 0 && !in_skip(in, ':'))
		r = in_fail(in, "INDEX:VECTOR:FD is expected");
	if (r == 0)
		r = in_number(in, 0, UINT32_MAX, &vector.vector);
	if (r == 0 && !in_skip(in, ':'))
		r = in_fail(in, "INDEX:VECTOR:FD is expected");
	if (r == 0)
		r = in_descriptor(in, &vector.fd);
	if (r < 0)
		return r;
	if (has_vector(desc, &vector)) {
		in->at = start;
		return in_fail(in, "this vector was given before");
	}
	return vfmi_description_add_vector(desc, vector);
}

static int in_value(struct in *in, const struct key *key, struct vfmi_description *desc)
{
	void *into = (char *)desc + key->offset;

	switch (key->kind) {
	case VALUE_FD:
		return in_descriptor(in, into);
	case VALUE_ID:
		return in_number(in, 1, UINT32_MAX, into);
	case VALUE_BACKEND:
		return in_backend(in, into);
	case VALUE_FLAG:
		return in_number(in, 1, 1, into);
	case VALUE_TEXT:
		return in_text(in, into, key->room);
	case VALUE_VECTOR:
		break;
	}
	return in_vector(in, desc);
}

static const struct key *in_key(struct in *in)
{
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(keys); i++) {
		size_t length = strlen(keys[i].name);

		if (!strncmp(&in->text[in->at], keys[i].name, length) && in->text[in->at + length] == '=') {
			in->at += length + 1;
			return &keys[i];
		}
	}
	return NULL;
}

static int in_pair(struct in *in, uint32_t *seen, struct vfmi_description *desc)
{
	size_t start = in->at;
	const struct key *key = in_key(in);
	uint32_t bit;

	if (!key)
		return in_fail(in, "unknown key");
	bit = 1u << (key - keys);
	if (*seen & bit && key->kind != VALUE_VECTOR) {
		in->at = start;
		return in_fail(in, "this key was given before");
	}
	*seen |= bit;
	return in_value(in, key, desc);
}

/* Up to the device's descriptor: whose the numbers are. */
static int in_prefix(struct in *in, struct vfmi_description *desc)
{
	int r;

	if (!strncmp(in->text, PREFIX, strlen(PREFIX))) {
		in->at = strlen(PREFIX);
		return 0;
	}
	if (strncmp(in->text, PIDFD_PREFIX, strlen(PIDFD_PREFIX)))
		return in_fail(in, "\"" PREFIX "N\" or \"" PIDFD_PREFIX "PID:FD\" is expected");
	in->at = strlen(PIDFD_PREFIX);
	r = in_number(in, 1, INT_MAX, &desc->pid);
	if (r == 0 && !in_skip(in, ':'))
		r = in_fail(in, PIDFD_PREFIX "PID:FD is expected");
	return r;
}

static int in_description(struct in *in, struct vfmi_description *desc)
{
	uint32_t seen = 0;
	int r = in_prefix(in, desc);

	if (r == 0)
		r = in_descriptor(in, &desc->device_fd);
	while (r == 0 && in->text[in->at]) {
		if (!in_skip(in, ','))
			return in_fail(in, "a comma is expected");
		r = in_pair(in, &seen, desc);
	}
	if (r == 0 && desc->start[0] && desc->pid == 0)
		return in_fail(in, "start is for " PIDFD_PREFIX "PID:FD");
	return r;
}

int vfmi_description_parse(const char *text, struct vfmi_description *ret, struct vfmi_parse_trouble *ret_trouble)
{
	struct vfmi_description desc = blank;
	struct in in = { .text = text };
	int r = in_description(&in, &desc);

	if (r < 0) {
		ret_trouble->at = in.at;
		ret_trouble->why = in.why ? in.why : vfmi_errno_text(-r);
		vfmi_description_clear(&desc);
		return r;
	}
	desc.identity.size = sizeof(desc.identity);
	if (desc.pid && !desc.identity.name[0])
		snprintf(desc.identity.name, sizeof(desc.identity.name), PIDFD_PREFIX "%" PRIu32 ":%d", desc.pid,
			 desc.device_fd);
	if (desc.simulated)
		desc.identity.flags |= VFM_IDENTITY_SIMULATED;
	*ret = desc;
	return 0;
}

/* adoption */

static int declare_vectors(struct vfm_context *ctx, const struct vfmi_description *desc, struct vfm_device *dev,
			   struct vfm_error *err)
{
	for (size_t i = 0; i < desc->count; i++) {
		const struct vfmi_vector *vector = &desc->vectors[i];
		int r = vfmi_device_irq_declare(dev, vector->index, vector->vector, vector->fd);

		if (r < 0)
			return VFMI_FAIL(ctx, err, -r, vfm_device_name(dev), DESCRIBE_STEP,
					 "interrupt %" PRIu32 " vector %" PRIu32 " with descriptor %d: %s",
					 vector->index, vector->vector, vector->fd, vfmi_errno_text(-r));
	}
	return 0;
}

int vfmi_description_adopt(struct vfm_context *ctx, const struct vfmi_description *desc, struct vfm_device **ret_dev,
			   struct vfm_error *err)
{
	const char *name = desc->identity.name[0] ? desc->identity.name : NULL;
	struct vfm_adopt adopt = {
		.size = sizeof(adopt),
		.device_fd = desc->device_fd,
		.iommufd = desc->iommufd,
		.ioas_id = desc->ioas_id,
		.devid = desc->devid,
		.pt_id = desc->pt_id,
		.backend = desc->backend,
		.flags = desc->tracks ? VFM_ADOPT_TRACKS : 0,
		.name = name,
		.identity = &desc->identity,
	};
	struct vfm_device *dev;
	int r;

	if (desc->simulated && !vfm_context_is_simulated(ctx))
		return VFMI_FAIL(ctx, err, EINVAL, name, DESCRIBE_STEP,
				 "it lives on a simulated machine, not on this one");
	r = vfm_device_adopt(ctx, &adopt, &dev, err);
	if (r < 0)
		return r;
	r = declare_vectors(ctx, desc, dev, err);
	if (r < 0) {
		vfm_device_close(dev);
		return r;
	}
	*ret_dev = dev;
	return 0;
}

int vfm_device_adopt_described(struct vfm_context *ctx, const char *description, struct vfm_device **ret_dev,
			       struct vfm_error *ret_error)
{
	struct vfmi_parse_trouble trouble;
	struct vfmi_description desc;
	int r;

	if (!ctx || !description || !ret_dev)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, DESCRIBE_STEP, "a required argument is NULL");
	r = vfmi_description_parse(description, &desc, &trouble);
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, NULL, DESCRIBE_STEP, "\"%.160s\", character %zu: %s", description,
				 trouble.at + 1, trouble.why);
	r = desc.pid ? vfmi_description_fetch(ctx, &desc, ret_error) : 0;
	if (r == 0) {
		r = vfmi_description_adopt(ctx, &desc, ret_dev, ret_error);
		if (desc.pid)
			vfmi_description_put(ctx, &desc);
	}
	vfmi_description_clear(&desc);
	return r;
}
