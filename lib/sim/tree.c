/* SPDX-License-Identifier: MIT */
/*
 * Simulated paths: what sysfs, debugfs and /dev would show of the machine's devices. The tree is made anew for each
 * look at it; directories are what has something below.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "spaces.h"
#include "uapi/vfio.h"

#define CDEV_MAJOR 511u
#define GROUP_MAJOR 510u
#define IOMMU_MINOR 124u
#define CONTAINER_MINOR 196u
#define MISC_MAJOR 10u
#define PATH_ROOM 256u
#define MAX_LINKS 40u

enum sim_node_kind {
	NODE_DIRECTORY,
	NODE_TEXT,
	NODE_LINK,
	NODE_CDEV,
	NODE_IOMMU,
	NODE_CONTAINER,
	NODE_GROUP,
};

struct sim_node {
	char path[PATH_ROOM];
	char text[PATH_ROOM]; /* contents, or where a link leads */
	enum sim_node_kind kind;
	uint32_t device; /* or group */
};

struct sim_tree {
	struct sim_node *nodes;
	size_t count;
	size_t room;
	bool failed;
};

static struct sim_node *add(struct sim_tree *tree, enum sim_node_kind kind)
{
	static struct sim_node lost;
	struct sim_node *more;

	if (tree->count == tree->room) {
		tree->room = tree->room ? tree->room * 2 : 64;
		more = realloc(tree->nodes, tree->room * sizeof(*more));
		if (!more) {
			tree->failed = true;
			tree->room = tree->count;
			return &lost;
		}
		tree->nodes = more;
	}
	tree->nodes[tree->count] = (struct sim_node){ .kind = kind };
	return &tree->nodes[tree->count++];
}

static VFM_PRINTF(3, 4) void add_text(struct sim_tree *tree, const char *text, const char *fmt, ...)
{
	struct sim_node *node = add(tree, NODE_TEXT);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(node->path, sizeof(node->path), fmt, ap);
	va_end(ap);
	snprintf(node->text, sizeof(node->text), "%s\n", text);
}

static void add_number(struct sim_tree *tree, const char *dir, const char *name, const char *fmt, uint32_t value)
{
	char text[32];

	snprintf(text, sizeof(text), fmt[0] == 'c' ? "0x%06x" : fmt[0] == 'b' ? "0x%02x" : "0x%04x", value);
	add_text(tree, text, "%s/%s", dir, name);
}

static VFM_PRINTF(3, 4) void add_link(struct sim_tree *tree, const char *target, const char *fmt, ...)
{
	struct sim_node *node = add(tree, NODE_LINK);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(node->path, sizeof(node->path), fmt, ap);
	va_end(ap);
	snprintf(node->text, sizeof(node->text), "%s", target);
}

/* what there is */

static void add_pci(struct sim_tree *tree, const struct sim_device *dev)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	const char *dir = dev->bus_path;

	add_number(tree, dir, "vendor", "word", profile->vendor);
	add_number(tree, dir, "device", "word", profile->device);
	add_number(tree, dir, "subsystem_vendor", "word", profile->subvendor);
	add_number(tree, dir, "subsystem_device", "word", profile->subdevice);
	add_number(tree, dir, "revision", "byte", profile->revision);
	add_number(tree, dir, "class", "class", profile->class_code);
	add_text(tree, dev->flags & SIM_DEVICE_VFIO ? profile->driver : "(null)", "%s/driver_override", dir);
}

static void add_mdev(struct sim_tree *tree, const struct sim_device *dev)
{
	char type[PATH_ROOM];

	snprintf(type, sizeof(type), "/sys/devices/virtual/mtty/mtty/mdev_supported_types/%s", dev->mdev_type);
	add_link(tree, type, "%s/mdev_type", dev->bus_path);
	add_text(tree, "vfio-pci", "%s/device_api", type);
	add_text(tree, dev->ports > 1 ? "Dual port serial" : "Single port serial", "%s/name", type);
	add_link(tree, dev->bus_path, "%s/devices/%s", type, dev->name);
}

/* What is told of an IOMMU group; of one with several devices more than once, all the same. */
static void add_group(struct sim_tree *tree, const struct sim_device *dev, const char *dir)
{
	bool translated = !(dev->flags & SIM_DEVICE_NO_IOMMU) && !vfmi_sim_quirk(dev, SIM_MDEV);

	add_text(tree, translated ? "DMA" : "unknown", "%s/type", dir);
	add_text(tree, translated ? "0x00000000fee00000 0x00000000feefffff msi" : "", "%s/reserved_regions", dir);
	/* all groups that VFIO makes, those of mediated devices too */
	if (!translated)
		add_text(tree, "vfio-noiommu", "%s/name", dir);
}

static void add_group_node(struct sim_tree *tree, const struct sim_device *dev)
{
	struct sim_node *node = add(tree, NODE_GROUP);

	snprintf(node->path, sizeof(node->path), "/dev/vfio/%s%u", dev->flags & SIM_DEVICE_NO_IOMMU ? "noiommu-" : "",
		 dev->group);
	node->device = dev->group;
}

/* PCI devices and mdevs have the same links on their buses. */
static void add_bus(struct sim_tree *tree, const struct sim_device *dev)
{
	const char *bus = vfmi_sim_quirk(dev, SIM_MDEV) ? "mdev" : "pci";
	const char *driver = vfmi_sim_profile(dev)->driver;
	char target[PATH_ROOM];

	add_link(tree, dev->bus_path, "/sys/bus/%s/devices/%s", bus, dev->name);
	add_link(tree, dev->bus_path, "/sys/bus/%s/drivers/%s/%s", bus, driver, dev->name);
	snprintf(target, sizeof(target), "/sys/bus/%s/drivers/%s", bus, driver);
	add_link(tree, target, "%s/driver", dev->bus_path);
	snprintf(target, sizeof(target), "/sys/kernel/iommu_groups/%u", dev->group);
	add_link(tree, target, "%s/iommu_group", dev->bus_path);
	add_link(tree, dev->bus_path, "%s/devices/%s", target, dev->name);
	add_group(tree, dev, target);
}

/* The directory is there even where the kernel gives no cdev; then it has no "dev". */
static void add_vfio(struct sim_tree *tree, const struct sim_device *dev, uint32_t index, bool cdev)
{
	char dir[PATH_ROOM], number[32];
	struct sim_node *node;

	snprintf(dir, sizeof(dir), "%s/vfio-dev/vfio%u", dev->bus_path, dev->cdev);
	snprintf(number, sizeof(number), "%u:%u", CDEV_MAJOR, dev->cdev);
	if (cdev)
		add_text(tree, number, "%s/dev", dir);
	add_link(tree, dev->bus_path, "%s/device", dir);
	add_link(tree, dir, "/sys/class/vfio-dev/vfio%u", dev->cdev);
	if (dev->migration_flags)
		add_text(tree, vfm_state_name(dev->state), "/sys/kernel/debug/vfio/%s/migration/state", dev->name);
	if (!cdev)
		return;
	node = add(tree, NODE_CDEV);
	snprintf(node->path, sizeof(node->path), "/dev/vfio/devices/vfio%u", dev->cdev);
	node->device = index;
}

static void tree_free(struct sim_tree *tree)
{
	free(tree->nodes);
}

/* Directories that are there even when nothing is in them. */
static void add_always(struct sim_tree *tree, const struct sim_host *host)
{
	static const char *const paths[] = { "/sys/kernel/debug/vfio", "/sys/bus/mdev/devices", "/sys/bus/pci/devices",
					     "/sys/class/vfio-dev" };
	size_t i;

	for (i = 0; i < VFMI_ARRAY_SIZE(paths); i++)
		snprintf(add(tree, NODE_DIRECTORY)->path, PATH_ROOM, "%s", paths[i]);
	if (host->iommufd)
		snprintf(add(tree, NODE_IOMMU)->path, PATH_ROOM, "/dev/iommu");
	if (host->containers)
		snprintf(add(tree, NODE_CONTAINER)->path, PATH_ROOM, "/dev/vfio/vfio");
}

static int tree_make(struct vfm_sim *sim, struct sim_tree *tree)
{
	const struct sim_host *host = &sim->machine->host;
	uint32_t i;
	int r;

	memset(tree, 0, sizeof(*tree));
	r = vfmi_sim_enter(sim);
	if (r)
		return r;
	add_always(tree, host);
	for (i = 0; i < sim->machine->devices; i++) {
		const struct sim_device *dev = &sim->machine->device[i];

		if (dev->flags & SIM_DEVICE_UNPLUGGED)
			continue;
		add_bus(tree, dev);
		if (vfmi_sim_quirk(dev, SIM_MDEV))
			add_mdev(tree, dev);
		else
			add_pci(tree, dev);
		if (!(dev->flags & SIM_DEVICE_VFIO))
			continue;
		add_vfio(tree, dev, i, host->cdev && !(dev->flags & SIM_DEVICE_NO_IOMMU));
		if (host->containers)
			add_group_node(tree, dev);
	}
	vfmi_sim_leave(sim);
	if (!tree->failed)
		return 0;
	tree_free(tree);
	return -ENOMEM;
}

/* finding */

static const struct sim_node *exact(const struct sim_tree *tree, const char *path)
{
	size_t i;

	for (i = 0; i < tree->count; i++)
		if (!strcmp(tree->nodes[i].path, path))
			return &tree->nodes[i];
	return NULL;
}

static bool has_below(const struct sim_tree *tree, const char *path)
{
	size_t length = strlen(path), i;

	for (i = 0; i < tree->count; i++)
		if (!strncmp(tree->nodes[i].path, path, length) && tree->nodes[i].path[length] == '/')
			return true;
	return false;
}

static const struct sim_node directory = { .kind = NODE_DIRECTORY };

/* Append the next component of @rest to @at; false when it does not fit. */
static bool step(char *at, const char **rest)
{
	size_t used = strlen(at), n;
	char *slash;

	*rest += strspn(*rest, "/");
	n = strcspn(*rest, "/");
	if (n == 2 && !strncmp(*rest, "..", 2)) {
		slash = strrchr(at, '/');
		if (slash)
			*slash = '\0';
	} else if (n && !(n == 1 && **rest == '.')) {
		if (used + n + 2 > PATH_ROOM)
			return false;
		at[used] = '/';
		memcpy(at + used + 1, *rest, n);
		at[used + 1 + n] = '\0';
	}
	*rest += n;
	*rest += strspn(*rest, "/");
	return true;
}

/* Walk @path through its links; @at gets where it ends. */
static int resolve(const struct sim_tree *tree, const char *path, bool follow, char at[PATH_ROOM],
		   const struct sim_node **ret)
{
	char rest_room[2 * PATH_ROOM], next[2 * PATH_ROOM];
	const char *rest = rest_room;
	const struct sim_node *node;
	uint32_t links = 0;

	if (strlen(path) >= PATH_ROOM)
		return -ENAMETOOLONG;
	snprintf(rest_room, sizeof(rest_room), "%s", path);
	at[0] = '\0';
	while (*rest) {
		if (!step(at, &rest))
			return -ENAMETOOLONG;
		node = exact(tree, at);
		if (node && node->kind == NODE_LINK && (*rest || follow)) {
			if (++links > MAX_LINKS)
				return -ELOOP;
			if (snprintf(next, sizeof(next), "%s/%s", node->text, rest) >= (int)PATH_ROOM)
				return -ENAMETOOLONG;
			memcpy(rest_room, next, PATH_ROOM);
			rest = rest_room;
			at[0] = '\0';
		} else if (node && node->kind != NODE_DIRECTORY && node->kind != NODE_LINK && *rest) {
			return -ENOTDIR;
		}
	}
	node = exact(tree, at);
	*ret = node ? node : &directory;
	return node || has_below(tree, at) ? 0 : -ENOENT;
}

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

bool vfmi_sim_tree_owns(const char *path)
{
	return below(path, "/sys") || below(path, "/dev/vfio") || below(path, "/dev/iommu");
}

static int look_up(struct vfm_sim *sim, const char *path, bool follow, struct sim_node *ret)
{
	const struct sim_node *node;
	struct sim_tree tree;
	char at[PATH_ROOM];
	int r = tree_make(sim, &tree);

	if (r)
		return r;
	r = resolve(&tree, path, follow, at, &node);
	if (!r)
		*ret = *node;
	tree_free(&tree);
	return r;
}

/* what can be done with them */

int vfmi_sim_text_open(const char *text)
{
	int fd = memfd_create("vfiomig-sim-text", MFD_CLOEXEC), r;
	char path[64];

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0) {
		r = -errno;
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		r = open(path, O_RDONLY | O_CLOEXEC);
		r = r < 0 ? -errno : r;
	}
	close(fd);
	return r;
}

static int open_object(struct vfm_sim *sim, uint32_t kind, uint32_t device, int flags)
{
	const struct sim_object object = { .kind = kind, .device = device };
	int r = vfmi_sim_enter(sim);

	if (r)
		return r;
	r = kind == SIM_OBJECT_CDEV && (sim->machine->device[device].flags & SIM_DEVICE_UNPLUGGED)
		    ? -ENODEV
		    : vfmi_sim_object_open(sim, &object, flags);
	vfmi_sim_leave(sim);
	return r;
}

static int open_group(struct vfm_sim *sim, uint32_t group, int flags)
{
	int r = vfmi_sim_enter(sim);

	if (r)
		return r;
	r = vfmi_sim_group_open(sim, group, flags);
	vfmi_sim_leave(sim);
	return r;
}

int vfmi_sim_tree_open(struct vfm_sim *sim, const char *path, int flags)
{
	struct sim_node node;
	int r = look_up(sim, path, true, &node);

	if (r)
		return r == -ENOENT && (flags & O_CREAT) ? -EACCES : r;
	switch (node.kind) {
	case NODE_TEXT:
		return (flags & O_ACCMODE) == O_RDONLY ? vfmi_sim_text_open(node.text) : -EACCES;
	case NODE_CDEV:
		return open_object(sim, SIM_OBJECT_CDEV, node.device, flags);
	case NODE_IOMMU:
		return open_object(sim, SIM_OBJECT_IOMMUFD, 0, flags);
	case NODE_CONTAINER:
		return open_object(sim, SIM_OBJECT_CONTAINER, 0, flags);
	case NODE_GROUP:
		return open_group(sim, node.device, flags);
	default:
		return -EISDIR;
	}
}

void vfmi_sim_cdev_stat(const struct sim_device *dev, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFCHR | 0600;
	st->st_nlink = 1;
	st->st_rdev = makedev(CDEV_MAJOR, dev->cdev);
	st->st_ino = 1000 + dev->cdev;
}

void vfmi_sim_iommu_stat(struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFCHR | 0660;
	st->st_nlink = 1;
	st->st_rdev = makedev(MISC_MAJOR, IOMMU_MINOR);
	st->st_ino = 999;
}

void vfmi_sim_container_stat(struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFCHR | 0666;
	st->st_nlink = 1;
	st->st_rdev = makedev(MISC_MAJOR, CONTAINER_MINOR);
	st->st_ino = 998;
}

void vfmi_sim_group_stat(uint32_t group, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFCHR | 0600;
	st->st_nlink = 1;
	st->st_rdev = makedev(GROUP_MAJOR, group);
	st->st_ino = 2000 + group;
}

int vfmi_sim_tree_stat(struct vfm_sim *sim, const char *path, bool follow, struct stat *st)
{
	struct sim_node node;
	int r = look_up(sim, path, follow, &node);

	if (r)
		return r;
	memset(st, 0, sizeof(*st));
	st->st_nlink = 1;
	switch (node.kind) {
	case NODE_CDEV:
		vfmi_sim_cdev_stat(&sim->machine->device[node.device], st);
		break;
	case NODE_IOMMU:
		vfmi_sim_iommu_stat(st);
		break;
	case NODE_CONTAINER:
		vfmi_sim_container_stat(st);
		break;
	case NODE_GROUP:
		vfmi_sim_group_stat(node.device, st);
		break;
	case NODE_TEXT:
		st->st_mode = S_IFREG | 0444;
		st->st_size = sim->machine->page_size;
		break;
	case NODE_LINK:
		st->st_mode = S_IFLNK | 0777;
		break;
	default:
		st->st_mode = S_IFDIR | 0755;
		break;
	}
	return 0;
}

ssize_t vfmi_sim_tree_readlink(struct vfm_sim *sim, const char *path, char *buf, size_t room)
{
	struct sim_node node;
	size_t length;
	int r = look_up(sim, path, false, &node);

	if (r)
		return r;
	if (node.kind != NODE_LINK)
		return -EINVAL;
	length = strlen(node.text);
	if (length > room)
		length = room;
	memcpy(buf, node.text, length);
	return (ssize_t)length;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct sim_node *)a)->path, ((const struct sim_node *)b)->path);
}

/* Children of @at, each once; sorted, so that equal names stand together. */
static int list(struct sim_tree *tree, const char *at, vfmi_listdir_fn *fn, void *user)
{
	char name[PATH_ROOM], last[PATH_ROOM] = "";
	size_t length = strlen(at), i;
	const char *rest;
	int r;

	qsort(tree->nodes, tree->count, sizeof(*tree->nodes), by_path);
	for (i = 0; i < tree->count; i++) {
		if (strncmp(tree->nodes[i].path, at, length) || tree->nodes[i].path[length] != '/')
			continue;
		rest = tree->nodes[i].path + length + 1;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(rest, "/"), rest);
		if (!strcmp(name, last))
			continue;
		memcpy(last, name, sizeof(last));
		r = fn(user, name);
		if (r)
			return r;
	}
	return 0;
}

int vfmi_sim_tree_list(struct vfm_sim *sim, const char *path, vfmi_listdir_fn *fn, void *user)
{
	const struct sim_node *node;
	struct sim_tree tree;
	char at[PATH_ROOM];
	int r = tree_make(sim, &tree);

	if (r)
		return r;
	r = resolve(&tree, path, true, at, &node);
	if (!r)
		r = node->kind == NODE_DIRECTORY ? list(&tree, at, fn, user) : -ENOTDIR;
	tree_free(&tree);
	return r;
}
