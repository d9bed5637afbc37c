/* SPDX-License-Identifier: MIT */
/* Discovery: what sysfs and debugfs tell of PCI and mediated devices. Opens files to read text, never a device. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "internal.h"
#include "sysfs.h"

#define FIND_STEP "find"
#define PCI_DEVICES "/sys/bus/pci/devices"
#define MDEV_DEVICES "/sys/bus/mdev/devices"
#define VFIO_CLASS "/sys/class/vfio-dev"
#define VFIO_NODES "/dev/vfio/devices/"
#define VFIO_DEBUG "/sys/kernel/debug/vfio"
#define UUID_LENGTH 36
#define NAME_ROOM sizeof(((struct vfm_identity *)NULL)->name)
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

/* @name in the form sysfs uses. Return: 0, or -ENODEV when there is no such device. */
static int examine(struct vfm_context *ctx, const char *name, bool mdev, struct vfm_candidate *ret)
{
	VFM_OPTS(vfm_candidate, candidate);
	struct vfm_identity *identity = &candidate.identity;
	struct stat st;

	candidate.state = VFM_STATE_UNKNOWN;
	candidate.flags = mdev ? VFM_CANDIDATE_MDEV : 0;
	identity->size = sizeof(*identity);
	identity->flags = vfm_context_is_simulated(ctx) ? VFM_IDENTITY_SIMULATED : 0;
	snprintf(identity->name, sizeof(identity->name), "%s", name);
	snprintf(candidate.sysfs, sizeof(candidate.sysfs), "%s/%s", mdev ? MDEV_DEVICES : PCI_DEVICES, name);
	if (ctx->sys->ops->stat(ctx->sys, candidate.sysfs, &st) < 0)
		return -ENODEV;
	(void)vfmi_sysfs_link(ctx->sys, candidate.sysfs, "driver", identity->driver, sizeof(identity->driver));
	if (mdev)
		(void)vfmi_sysfs_link(ctx->sys, candidate.sysfs, "mdev_type", identity->mdev_type,
				      sizeof(identity->mdev_type));
	else
		examine_ids(ctx->sys, candidate.sysfs, identity);
	examine_vfio(ctx, &candidate);
	*ret = candidate;
	return 0;
}

/* the walk */

struct found_name {
	char text[NAME_ROOM];
	bool mdev;
};

struct found {
	struct found_name *names;
	size_t count;
	size_t room;
	bool mdev; /* the bus being listed */
};

static int add_name(void *user, const char *name)
{
	struct found *found = user;
	struct found_name *entry;

	if (strlen(name) >= NAME_ROOM)
		return 0;
	if (found->count == found->room) {
		size_t room = found->room ? found->room * 2 : 64;
		struct found_name *grown = reallocarray(found->names, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		found->names = grown;
		found->room = room;
	}
	entry = &found->names[found->count++];
	memcpy(entry->text, name, strlen(name) + 1);
	entry->mdev = found->mdev;
	return 0;
}

static int list_bus(struct vfm_context *ctx, const char *path, bool mdev, struct found *found, struct vfm_error *err)
{
	int r;

	found->mdev = mdev;
	r = ctx->sys->ops->listdir(ctx->sys, path, add_name, found);
	/* A bus that is not there has no devices. */
	return r < 0 && r != -ENOENT ? VFMI_FAIL(ctx, err, -r, NULL, FIND_STEP, "%s: %s", path, vfmi_errno_text(-r))
				     : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct found_name *)a)->text, ((const struct found_name *)b)->text);
}

static int show_found(struct vfm_context *ctx, const struct found *found, vfm_discover_fn *fn, void *user)
{
	for (size_t i = 0; i < found->count; i++) {
		struct vfm_candidate candidate;
		int r;

		/* One that has gone since it was listed is not there. */
		if (examine(ctx, found->names[i].text, found->names[i].mdev, &candidate) < 0 ||
		    !(candidate.flags & VFM_CANDIDATE_VFIO))
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
	r = list_bus(ctx, PCI_DEVICES, false, &found, ret_error);
	if (r == 0)
		r = list_bus(ctx, MDEV_DEVICES, true, &found, ret_error);
	if (r == 0 && found.count) {
		qsort(found.names, found.count, sizeof(*found.names), by_name);
		r = show_found(ctx, &found, fn, user);
	}
	free(found.names);
	return r;
}

/* one by name */

/* "vfio3" or "/dev/vfio/devices/vfio3" to the name of the device behind it. */
static int resolve_cdev(struct vfm_context *ctx, const char *name, char *parent, size_t room, struct vfm_error *err)
{
	char dir[PATH_ROOM];
	struct stat st;

	snprintf(dir, sizeof(dir), VFIO_CLASS "/%s", name);
	if (ctx->sys->ops->stat(ctx->sys, dir, &st) < 0)
		return VFMI_FAIL(ctx, err, ENODEV, name, FIND_STEP, "no such device");
	if (!vfmi_sysfs_link(ctx->sys, dir, "device", parent, room))
		return VFMI_FAIL(ctx, err, ENODEV, name, FIND_STEP, "%s does not tell whose it is", dir);
	return 0;
}

static int resolve(struct vfm_context *ctx, const char *given, char *buf, size_t room, bool *ret_mdev,
		   struct vfm_error *err)
{
	const char *name = strncmp(given, VFIO_NODES, strlen(VFIO_NODES)) ? given : given + strlen(VFIO_NODES);
	char parent[NAME_ROOM];
	bool cdev = is_vfio_name(name);

	if (cdev) {
		int r = resolve_cdev(ctx, name, parent, sizeof(parent), err);

		if (r < 0)
			return r;
		name = parent;
	} else {
		name = given;
	}
	*ret_mdev = normal_uuid(name, buf, room);
	if (*ret_mdev || normal_pci(name, buf, room))
		return 0;
	if (cdev)
		return VFMI_FAIL(ctx, err, ENODEV, given, FIND_STEP,
				 "it belongs to %s, neither a PCI nor a mediated device", parent);
	return VFMI_FAIL(ctx, err, EINVAL, NULL, FIND_STEP,
			 "\"%.80s\" is no PCI address (0000:01:00.0), mdev UUID or VFIO device file (vfio0)", given);
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
	char normal[NAME_ROOM];
	bool mdev;
	int r;

	if (!ctx || !name || !ret)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, FIND_STEP, "a required argument is NULL");
	r = resolve(ctx, name, normal, sizeof(normal), &mdev, ret_error);
	if (r < 0)
		return r;
	if (examine(ctx, normal, mdev, &candidate) < 0)
		return VFMI_FAIL(ctx, ret_error, ENODEV, normal, FIND_STEP, "no such device");
	if (!(candidate.flags & VFM_CANDIDATE_VFIO)) {
		const char *driver = candidate.identity.driver;

		return VFMI_FAIL(ctx, ret_error, ENODEV, normal, FIND_STEP, "it is bound to %s, not to a VFIO driver",
				 driver[0] ? driver : "no driver");
	}
	r = vfmi_sized_out(ret, &candidate, sizeof(candidate));
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, normal, FIND_STEP,
				 "struct vfm_candidate of a size not known here");
	fit_identity(ret);
	return 0;
}
