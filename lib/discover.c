/* SPDX-License-Identifier: MIT */
/* Discovery: what sysfs and debugfs tell of VFIO devices. Opens files to read text, never a device. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "internal.h"
#include "sysfs.h"

#define FIND_STEP "find"
#define PCI_BUS "pci"
#define MDEV_BUS "mdev"
#define BUS_DEVICES "/sys/bus/%s/devices"
#define VFIO_CLASS "/sys/class/vfio-dev"
#define VFIO_NODES "/dev/vfio/devices/"
#define VFIO_DEBUG "/sys/kernel/debug/vfio"
#define UUID_LENGTH 36
#define NAME_ROOM sizeof(((struct vfm_identity *)NULL)->name)
#define BUS_ROOM 32
#define PATH_ROOM VFMI_SYSFS_PATH_ROOM

/* reading sysfs */

static bool parse_number(const char *text, int base, uint32_t last, uint32_t *ret)
{
	char *end;
	unsigned long long number;

	if (!strchr("0123456789abcdefABCDEF", text[0]) || !text[0])
		return false;
	errno = 0;
	number = strtoull(text, &end, base);
	if (errno || *end || number > last)
		return false;
	*ret = (uint32_t)number;
	return true;
}

/* "0x1af4" as the PCI core prints its ids */
static bool read_hex(struct vfmi_sys *sys, const char *dir, const char *name, uint32_t last, uint32_t *ret)
{
	char text[32];

	return vfmi_sysfs_read(sys, dir, name, text, sizeof(text)) > 0 && parse_number(text, 16, last, ret);
}

/* names */

static bool is_vfio_name(const char *name)
{
	uint32_t number;

	return !strncmp(name, "vfio", 4) && strspn(name + 4, "0123456789") == strlen(name + 4) &&
	       parse_number(name + 4, 10, INT32_MAX, &number);
}

/* @min to @max hexadecimal digits and then @end; NULL when it is something else. */
static const char *hex_field(const char *at, size_t min, size_t max, char end, uint32_t last, uint32_t *ret)
{
	char digits[9];
	size_t length = strspn(at, "0123456789abcdefABCDEF");

	if (length < min || length > max || at[length] != end)
		return NULL;
	memcpy(digits, at, length);
	digits[length] = '\0';
	if (!parse_number(digits, 16, last, ret))
		return NULL;
	return at + length + (end ? 1 : 0);
}

/* "0000:01:00.0", "10000:e1:00.0" (VMD) or "01:00.0" to the form sysfs uses. */
static bool normal_pci(const char *name, char *buf, size_t room)
{
	const char *colon = strchr(name, ':');
	uint32_t domain = 0;
	uint32_t bus;
	uint32_t slot;
	uint32_t function;

	if (colon && strchr(colon + 1, ':'))
		name = hex_field(name, 4, 8, ':', UINT32_MAX, &domain);
	if (name)
		name = hex_field(name, 2, 2, ':', 0xff, &bus);
	if (name)
		name = hex_field(name, 2, 2, '.', 0x1f, &slot);
	if (name)
		name = hex_field(name, 1, 1, '\0', 7, &function);
	if (!name)
		return false;
	snprintf(buf, room, "%04" PRIx32 ":%02" PRIx32 ":%02" PRIx32 ".%" PRIx32, domain, bus, slot, function);
	return true;
}

static bool normal_uuid(const char *name, char *buf, size_t room)
{
	if (strlen(name) != UUID_LENGTH || room <= UUID_LENGTH)
		return false;
	for (size_t i = 0; i < UUID_LENGTH; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? name[i] != '-' : !strchr("0123456789abcdefABCDEF", name[i]))
			return false;
		buf[i] = (char)(name[i] >= 'A' && name[i] <= 'F' ? name[i] + ('a' - 'A') : name[i]);
	}
	buf[UUID_LENGTH] = '\0';
	return true;
}

/* one device */

/* Where sysfs has it: /sys/bus/BUS/devices/NAME. */
struct place {
	char bus[BUS_ROOM];
	char name[NAME_ROOM];
};

static bool is_on(const struct place *place, const char *bus)
{
	return !strcmp(place->bus, bus);
}

/* By the form of its name alone, which is then as sysfs writes it; on kernels before Linux 6.1 there is no more. */
static bool place_by_form(const char *name, struct place *ret)
{
	const char *bus = normal_uuid(name, ret->name, sizeof(ret->name))  ? MDEV_BUS
			  : normal_pci(name, ret->name, sizeof(ret->name)) ? PCI_BUS
									   : NULL;

	if (bus)
		snprintf(ret->bus, sizeof(ret->bus), "%s", bus);
	return bus;
}

/* Of the device behind vfioN, which may be on any bus; when no bus is told, only its name comes back. */
static int place_by_vfio(struct vfmi_sys *sys, const char *vfio, struct place *ret)
{
	char dir[PATH_ROOM];
	char name[NAME_ROOM];

	memset(ret, 0, sizeof(*ret));
	if (!vfmi_sysfs_join(dir, VFIO_CLASS, vfio) || !vfmi_sysfs_link(sys, dir, "device", name, sizeof(name)))
		return -ENODEV;
	if (place_by_form(name, ret))
		return 0;
	memcpy(ret->name, name, strlen(name) + 1);
	return vfmi_sysfs_link(sys, dir, "device/subsystem", ret->bus, sizeof(ret->bus)) ? 0 : -ENODEV;
}

struct vfio_name {
	char text[32];
};

static int pick_vfio_name(void *user, const char *name)
{
	struct vfio_name *found = user;

	if (!is_vfio_name(name) || strlen(name) >= sizeof(found->text))
		return 0;
	memcpy(found->text, name, strlen(name) + 1);
	return 1;
}

/* D/vfio-dev/vfioN, since Linux 6.1; also where the kernel makes no cdevs. */
static bool find_vfio_name(struct vfmi_sys *sys, const char *dir, struct vfio_name *ret)
{
	char path[PATH_ROOM];

	return vfmi_sysfs_join(path, dir, "vfio-dev") && sys->ops->listdir(sys, path, pick_vfio_name, ret) == 1;
}

/* The node must be the device that sysfs means: without udev, or in a container, it may be absent or an old one. */
static bool node_is_device(struct vfm_context *ctx, const char *node, uint32_t major_number, uint32_t minor_number)
{
	struct stat st;
	int r = ctx->sys->ops->stat(ctx->sys, node, &st);

	if (r == -EACCES)
		return true;
	if (r < 0) {
		vfmi_log(ctx, VFM_LOG_DEBUG, "%s: %s", node, vfmi_errno_text(-r));
		return false;
	}
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(major_number, minor_number))
		return true;
	vfmi_log(ctx, VFM_LOG_WARNING, "%s is not the device %" PRIu32 ":%" PRIu32 " that sysfs tells of", node,
		 major_number, minor_number);
	return false;
}

static void examine_cdev(struct vfm_context *ctx, const struct vfio_name *name, struct vfm_candidate *candidate)
{
	char path[PATH_ROOM];
	char text[32];
	char *colon;
	uint32_t major_number;
	uint32_t minor_number;

	snprintf(path, sizeof(path), "%s/vfio-dev/%s", candidate->sysfs, name->text);
	/* No attribute "dev": a kernel without CONFIG_VFIO_DEVICE_CDEV (Linux 6.6). */
	if (vfmi_sysfs_read(ctx->sys, path, "dev", text, sizeof(text)) <= 0)
		return;
	colon = strchr(text, ':');
	if (!colon)
		return;
	*colon = '\0';
	if (!parse_number(text, 10, UINT32_MAX, &major_number) ||
	    !parse_number(colon + 1, 10, UINT32_MAX, &minor_number))
		return;
	snprintf(path, sizeof(path), VFIO_NODES "%s", name->text);
	if (!node_is_device(ctx, path, major_number, minor_number))
		return;
	snprintf(candidate->cdev, sizeof(candidate->cdev), VFIO_NODES "%s", name->text);
	candidate->flags |= VFM_CANDIDATE_CDEV;
}

static void examine_ids(struct vfmi_sys *sys, const char *dir, struct vfm_identity *identity)
{
	uint32_t first;
	uint32_t second;

	if (read_hex(sys, dir, "vendor", UINT16_MAX, &first) && read_hex(sys, dir, "device", UINT16_MAX, &second)) {
		identity->pci_vendor = (uint16_t)first;
		identity->pci_device = (uint16_t)second;
		identity->flags |= VFM_IDENTITY_PCI;
	}
	if (read_hex(sys, dir, "subsystem_vendor", UINT16_MAX, &first) &&
	    read_hex(sys, dir, "subsystem_device", UINT16_MAX, &second)) {
		identity->pci_subvendor = (uint16_t)first;
		identity->pci_subdevice = (uint16_t)second;
		identity->flags |= VFM_IDENTITY_SUBSYSTEM;
	}
	if (read_hex(sys, dir, "revision", UINT8_MAX, &first) && read_hex(sys, dir, "class", 0xffffff, &second)) {
		identity->pci_revision = first;
		identity->pci_class = second;
		identity->flags |= VFM_IDENTITY_REVISION;
	}
}

/* debugfs of CONFIG_VFIO_DEBUGFS (Linux 6.8): a directory "migration" for each device whose driver can. */
static void examine_migration(struct vfmi_sys *sys, struct vfm_candidate *candidate)
{
	char path[PATH_ROOM];
	char text[32];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), VFIO_DEBUG "/%s/migration", candidate->identity.name);
	r = vfmi_sysfs_read(sys, path, "state", text, sizeof(text));
	if (r >= 0) {
		candidate->flags |= VFM_CANDIDATE_MIGRATES;
		if (vfm_state_from_name(text, &candidate->state) < 0)
			candidate->state = VFM_STATE_UNKNOWN;
	} else if (r == -ENOENT && sys->ops->stat(sys, VFIO_DEBUG, &st) == 0) {
		candidate->flags |= VFM_CANDIDATE_NO_MIGRATION;
	}
}

static void examine_vfio(struct vfm_context *ctx, struct vfm_candidate *candidate)
{
	struct vfm_identity *identity = &candidate->identity;
	struct vfio_name vfio;
	struct utsname host;
	char group[16];

	if (find_vfio_name(ctx->sys, candidate->sysfs, &vfio)) {
		candidate->flags |= VFM_CANDIDATE_VFIO;
		examine_cdev(ctx, &vfio, candidate);
	}
	/* Before Linux 6.1 only the driver tells: vfio-pci and its variants, and all that drive mdevs. */
	if (strstr(identity->driver, "vfio") || (candidate->flags & VFM_CANDIDATE_MDEV && identity->driver[0]))
		candidate->flags |= VFM_CANDIDATE_VFIO;
	if (vfmi_sysfs_link(ctx->sys, candidate->sysfs, "iommu_group", group, sizeof(group)) &&
	    parse_number(group, 10, UINT32_MAX, &candidate->iommu_group))
		candidate->flags |= VFM_CANDIDATE_GROUP;
	if (ctx->sys->ops->uname(ctx->sys, &host) == 0)
		snprintf(identity->kernel, sizeof(identity->kernel), "%.*s", (int)sizeof(identity->kernel) - 1,
			 host.release);
	if (candidate->flags & VFM_CANDIDATE_VFIO)
		examine_migration(ctx->sys, candidate);
}

/* Return: 0, or -ENODEV when there is no such device. */
static int examine(struct vfm_context *ctx, const struct place *place, struct vfm_candidate *ret)
{
	VFM_OPTS(vfm_candidate, candidate);
	struct vfm_identity *identity = &candidate.identity;
	struct stat st;

	candidate.state = VFM_STATE_UNKNOWN;
	candidate.flags = is_on(place, MDEV_BUS) ? VFM_CANDIDATE_MDEV : 0;
	identity->size = sizeof(*identity);
	identity->flags = vfm_context_is_simulated(ctx) ? VFM_IDENTITY_SIMULATED : 0;
	snprintf(identity->name, sizeof(identity->name), "%s", place->name);
	snprintf(candidate.sysfs, sizeof(candidate.sysfs), BUS_DEVICES "/%s", place->bus, place->name);
	if (ctx->sys->ops->stat(ctx->sys, candidate.sysfs, &st) < 0)
		return -ENODEV;
	(void)vfmi_sysfs_link(ctx->sys, candidate.sysfs, "driver", identity->driver, sizeof(identity->driver));
	if (is_on(place, MDEV_BUS))
		(void)vfmi_sysfs_link(ctx->sys, candidate.sysfs, "mdev_type", identity->mdev_type,
				      sizeof(identity->mdev_type));
	else if (is_on(place, PCI_BUS))
		examine_ids(ctx->sys, candidate.sysfs, identity);
	examine_vfio(ctx, &candidate);
	*ret = candidate;
	return 0;
}

/* the walk */

struct found {
	struct vfmi_sys *sys;
	struct place *places;
	size_t count;
	size_t room;
	const char *bus; /* the one being listed */
};

static int add_place(struct found *found, const struct place *place)
{
	if (found->count == found->room) {
		size_t room = found->room ? found->room * 2 : 64;
		struct place *grown = reallocarray(found->places, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		found->places = grown;
		found->room = room;
	}
	found->places[found->count++] = *place;
	return 0;
}

static int add_name(void *user, const char *name)
{
	struct found *found = user;
	struct place place;

	if (strlen(name) >= sizeof(place.name))
		return 0;
	snprintf(place.bus, sizeof(place.bus), "%s", found->bus);
	snprintf(place.name, sizeof(place.name), "%s", name);
	return add_place(found, &place);
}

/* The two buses tell of their devices themselves, also where the kernel has no such class. */
static int add_vfio(void *user, const char *name)
{
	struct found *found = user;
	struct place place;

	if (!is_vfio_name(name) || place_by_vfio(found->sys, name, &place) < 0 || is_on(&place, PCI_BUS) ||
	    is_on(&place, MDEV_BUS))
		return 0;
	return add_place(found, &place);
}

static int list(struct vfm_context *ctx, const char *path, vfmi_listdir_fn *fn, struct found *found,
		struct vfm_error *err)
{
	int r = ctx->sys->ops->listdir(ctx->sys, path, fn, found);

	/* A bus that is not there has no devices. */
	return r < 0 && r != -ENOENT ? VFMI_FAIL(ctx, err, -r, NULL, FIND_STEP, "%s: %s", path, vfmi_errno_text(-r))
				     : 0;
}

static int list_bus(struct vfm_context *ctx, const char *bus, struct found *found, struct vfm_error *err)
{
	char path[PATH_ROOM];

	snprintf(path, sizeof(path), BUS_DEVICES, bus);
	found->bus = bus;
	return list(ctx, path, add_name, found, err);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

static int show_found(struct vfm_context *ctx, const struct found *found, vfm_discover_fn *fn, void *user)
{
	for (size_t i = 0; i < found->count; i++) {
		struct vfm_candidate candidate;
		int r;

		/* One that has gone since it was listed is not there. */
		if (examine(ctx, &found->places[i], &candidate) < 0 || !(candidate.flags & VFM_CANDIDATE_VFIO))
			continue;
		r = fn(user, &candidate);
		if (r)
			return r;
	}
	return 0;
}

int vfm_discover(struct vfm_context *ctx, vfm_discover_fn *fn, void *user, struct vfm_error *ret_error)
{
	struct found found = { 0 };
	int r;

	if (!ctx || !fn)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, FIND_STEP, "a required argument is NULL");
	found.sys = ctx->sys;
	r = list_bus(ctx, PCI_BUS, &found, ret_error);
	if (r == 0)
		r = list_bus(ctx, MDEV_BUS, &found, ret_error);
	if (r == 0)
		r = list(ctx, VFIO_CLASS, add_vfio, &found, ret_error);
	if (r == 0 && found.count) {
		qsort(found.places, found.count, sizeof(*found.places), by_name);
		r = show_found(ctx, &found, fn, user);
	}
	free(found.places);
	return r;
}

/* one by name */

/* "vfio3" to where the device behind it is. */
static int resolve_vfio(struct vfm_context *ctx, const char *name, struct place *ret, struct vfm_error *err)
{
	char dir[PATH_ROOM];
	struct stat st;

	snprintf(dir, sizeof(dir), VFIO_CLASS "/%s", name);
	if (ctx->sys->ops->stat(ctx->sys, dir, &st) < 0)
		return VFMI_FAIL(ctx, err, ENODEV, name, FIND_STEP, "no such device");
	if (place_by_vfio(ctx->sys, name, ret) == 0)
		return 0;
	if (!ret->name[0])
		return VFMI_FAIL(ctx, err, ENODEV, name, FIND_STEP, "%s does not tell whose it is", dir);
	return VFMI_FAIL(ctx, err, ENODEV, name, FIND_STEP, "it belongs to %s, and %s does not tell on which bus",
			 ret->name, dir);
}

struct wanted {
	struct vfmi_sys *sys;
	const char *name;
	struct place place;
};

static int pick_place(void *user, const char *name)
{
	struct wanted *wanted = user;

	return is_vfio_name(name) && place_by_vfio(wanted->sys, name, &wanted->place) == 0 &&
	       !strcmp(wanted->place.name, wanted->name);
}

/* @given without the folder of the nodes, if it is one of them */
static const char *node_name(const char *given)
{
	return strncmp(given, VFIO_NODES, strlen(VFIO_NODES)) ? given : given + strlen(VFIO_NODES);
}

static int resolve(struct vfm_context *ctx, const char *given, struct place *ret, struct vfm_error *err)
{
	struct wanted wanted = { .sys = ctx->sys, .name = given };

	if (is_vfio_name(node_name(given)))
		return resolve_vfio(ctx, node_name(given), ret, err);
	if (place_by_form(given, ret))
		return 0;
	/* On other buses names have any form: it is one when a device of VFIO has it. */
	if (ctx->sys->ops->listdir(ctx->sys, VFIO_CLASS, pick_place, &wanted) == 1) {
		*ret = wanted.place;
		return 0;
	}
	return VFMI_FAIL(ctx, err, EINVAL, NULL, FIND_STEP,
			 "\"%.80s\" is no PCI address (0000:01:00.0), mdev UUID, VFIO device file (vfio0) or other "
			 "device that has one",
			 given);
}

/* A caller's struct may end within the identity: whoever copies that on must not read behind it. */
static void fit_identity(struct vfm_candidate *candidate)
{
	const size_t at = offsetof(struct vfm_candidate, identity);

	if (candidate->size >= at + sizeof(candidate->identity.size))
		candidate->identity.size = (uint32_t)vfmi_min_u64(candidate->identity.size, candidate->size - at);
}

int vfm_find(struct vfm_context *ctx, const char *name, struct vfm_candidate *ret, struct vfm_error *ret_error)
{
	struct vfm_candidate candidate;
	struct place place;
	int r;

	if (!ctx || !name || !ret)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, FIND_STEP, "a required argument is NULL");
	r = resolve(ctx, name, &place, ret_error);
	if (r < 0)
		return r;
	if (examine(ctx, &place, &candidate) < 0)
		return VFMI_FAIL(ctx, ret_error, ENODEV, place.name, FIND_STEP, "no such device");
	if (!(candidate.flags & VFM_CANDIDATE_VFIO)) {
		const char *driver = candidate.identity.driver;

		return VFMI_FAIL(ctx, ret_error, ENODEV, place.name, FIND_STEP,
				 "it is bound to %s, not to a VFIO driver", driver[0] ? driver : "no driver");
	}
	r = vfmi_sized_out(ret, &candidate, sizeof(candidate));
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, place.name, FIND_STEP,
				 "struct vfm_candidate of a size not known here");
	fit_identity(ret);
	return 0;
}
