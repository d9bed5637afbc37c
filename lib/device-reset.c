/* SPDX-License-Identifier: MIT */
/* Hot reset: of the slot or bus a device hangs at, with every function there; who these belong to comes first. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "device-body.h"

#define INFO_STEP "hot reset info"
#define RESET_STEP "hot reset"
#define RESET_TRIES 10
#define RESET_PAUSE_NS 10000000u /* after the first try; doubles */

static bool by_group(const struct vfio_pci_hot_reset_info *info)
{
	return !(info->flags & VFIO_PCI_HOT_RESET_FLAG_DEV_ID);
}

static int ask_peers(struct vfm_device *dev, const char *step, struct vfio_pci_hot_reset_info **ret,
		     struct vfm_error *err)
{
	int r = vfmi_device_need_bound(dev, step, err);

	if (r < 0)
		return r;
	r = vfmi_vfio_hot_reset_info(dev->sys, dev->fd, ret);
	if (r == 0)
		return 0;
	if (r == -ENOTTY)
		return VFMI_FAIL(dev->ctx, err, EOPNOTSUPP, dev->name, step, "it is no PCI device, or no physical one");
	if (r == -ENODEV)
		return VFMI_FAIL(dev->ctx, err, EOPNOTSUPP, dev->name, step,
				 "neither its slot nor its bus can be reset: it is on a root bus, or a function of the "
				 "bus forbids it");
	return vfmi_device_fail(dev, err, -r, step, "the kernel does not tell what a reset of its bus reaches");
}

/* whose they are */

static bool is_owned(const struct vfm_device *dev, const struct vfio_pci_hot_reset_info *info,
		     const struct vfio_pci_dependent_device *peer)
{
	if (by_group(info))
		return vfmi_iommu_group_is_open(dev->ctx, peer->group_id, dev->iommu);
	return peer->group_id != VFIO_PCI_DEVID_NOT_OWNED;
}

static void fill_peer(const struct vfm_device *dev, const struct vfio_pci_hot_reset_info *info,
		      const struct vfio_pci_dependent_device *from, struct vfm_hot_reset_peer *peer)
{
	const bool owned = is_owned(dev, info, from);

	peer->flags = (owned ? VFM_HOT_RESET_OWNED : 0u) | (by_group(info) ? VFM_HOT_RESET_BY_GROUP : 0u);
	peer->id = by_group(info) || owned ? from->group_id : 0;
	peer->segment = from->segment;
	peer->bus = from->bus;
	peer->devfn = from->devfn;
}

static int tell_peers(struct vfm_device *dev, const struct vfio_pci_hot_reset_info *info,
		      struct vfm_hot_reset_peer *peers, size_t room, struct vfm_error *err)
{
	if (info->count > room)
		return VFMI_FAIL(dev->ctx, err, EMSGSIZE, dev->name, INFO_STEP,
				 "room for %zu functions, there are %" PRIu32, room, info->count);
	for (uint32_t i = 0; i < info->count; i++) {
		VFM_OPTS(vfm_hot_reset_peer, peer);
		int r;

		fill_peer(dev, info, &info->devices[i], &peer);
		r = vfmi_sized_out(&peers[i], &peer, sizeof(peer));
		if (r < 0)
			return vfmi_device_fail(dev, err, -r, INFO_STEP, "size of the caller's struct");
	}
	return 0;
}

int vfm_device_hot_reset_info(struct vfm_device *dev, struct vfm_hot_reset_peer *peers, size_t room, size_t *ret_count,
			      struct vfm_error *ret_error)
{
	struct vfio_pci_hot_reset_info *info;
	int r;

	r = ask_peers(dev, INFO_STEP, &info, ret_error);
	if (r < 0)
		return r;
	*ret_count = info->count;
	r = tell_peers(dev, info, peers, room, ret_error);
	free(info);
	return r;
}

static int fail_owner(struct vfm_device *dev, const struct vfio_pci_dependent_device *peer, const char *why,
		      struct vfm_error *err)
{
	return VFMI_FAIL(dev->ctx, err, EPERM, dev->name, RESET_STEP,
			 "it would reset %04" PRIx16 ":%02x:%02x.%u as well, %s", peer->segment,
			 (unsigned int)peer->bus, (unsigned int)(peer->devfn >> 3), (unsigned int)(peer->devfn & 7),
			 why);
}

static int check_owned(struct vfm_device *dev, const struct vfio_pci_hot_reset_info *info, struct vfm_error *err)
{
	for (uint32_t i = 0; i < info->count && !by_group(info); i++)
		if (info->devices[i].group_id == VFIO_PCI_DEVID_NOT_OWNED)
			return fail_owner(dev, &info->devices[i],
					  "which belongs to somebody else: it must be bound to the same iommufd, or be "
					  "without a driver of the host in a group that is",
					  err);
	return 0;
}

/* The file of a group that is reached, from whichever device was opened through it; -1 when none was. */
static int group_fd(struct vfm_device *const *devs, size_t count, uint32_t number)
{
	for (size_t i = 0; i < count; i++)
		if (devs[i]->group && vfmi_iommu_group_number(devs[i]->group) == number)
			return vfmi_iommu_group_fd(devs[i]->group);
	return -1;
}

/* Adoption brings no file of a group. */
static bool has_adopted(struct vfm_device *const *devs, size_t count)
{
	while (count > 0 && !devs[count - 1]->adopted)
		count--;
	return count > 0;
}

static bool has_fd(const int32_t *fds, uint32_t count, int fd)
{
	while (count > 0 && fds[count - 1] != fd)
		count--;
	return count > 0;
}

/* Each group that is reached once; room for as many as there are functions. */
static int collect_groups(struct vfm_device *const *devs, size_t count, const struct vfio_pci_hot_reset_info *info,
			  int32_t *fds, uint32_t *ret_fds, struct vfm_error *err)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < info->count; i++) {
		int fd = group_fd(devs, count, info->devices[i].group_id);

		if (fd < 0 && has_adopted(devs, count))
			return VFMI_FAIL(devs[0]->ctx, err, EOPNOTSUPP, devs[0]->name, RESET_STEP,
					 "the kernel wants the files of IOMMU groups, and that of an adopted device is "
					 "with who opened it, who can reset it");
		if (fd < 0)
			return fail_owner(devs[0], &info->devices[i],
					  "and no device opened through its IOMMU group was given along", err);
		if (!has_fd(fds, used, fd))
			fds[used++] = fd;
	}
	*ret_fds = used;
	return 0;
}

/* resetting */

static int fail_reset(struct vfm_device *dev, int code, struct vfm_error *err)
{
	switch (code) {
	case ENOTTY:
		/* that either can be reset was asked before: it was, and nobody answered */
		return VFMI_FAIL(dev->ctx, err, EIO, dev->name, RESET_STEP,
				 "its link or a device of its bus has not come back from the reset");
	case EINVAL:
		return VFMI_FAIL(dev->ctx, err, EPERM, dev->name, RESET_STEP,
				 "a function of its bus belongs to somebody else by now, or to no VFIO driver");
	case EAGAIN:
	case EBUSY:
		return vfmi_device_fail(dev, err, EBUSY, RESET_STEP,
					"somebody else holds a lock of one of the devices");
	default:
		return vfmi_device_fail(dev, err, code, RESET_STEP, "the devices may be half reset");
	}
}

static int reset_patiently(struct vfm_device *dev, const int32_t *fds, uint32_t count, struct vfm_error *err)
{
	uint64_t pause_ns = RESET_PAUSE_NS;
	int r = vfmi_vfio_hot_reset(dev->sys, dev->fd, fds, count);

	for (int i = 1; i < RESET_TRIES && (r == -EAGAIN || r == -EBUSY); i++) {
		dev->sys->ops->sleep_ns(dev->sys, pause_ns);
		pause_ns *= 2;
		r = vfmi_vfio_hot_reset(dev->sys, dev->fd, fds, count);
	}
	return r < 0 ? fail_reset(dev, -r, err) : 0;
}

static int reset_bus(struct vfm_device *const *devs, size_t count, const struct vfio_pci_hot_reset_info *info,
		     struct vfm_error *err)
{
	uint32_t used = 0;
	int32_t *fds;
	int r;

	if (!by_group(info))
		return reset_patiently(devs[0], NULL, 0, err);
	fds = calloc((size_t)info->count + 1, sizeof(*fds));
	if (!fds)
		return vfmi_device_fail(devs[0], err, ENOMEM, RESET_STEP, "no memory");
	r = collect_groups(devs, count, info, fds, &used, err);
	if (r == 0)
		r = reset_patiently(devs[0], fds, used, err);
	free(fds);
	return r;
}

/* what of the context is reached, named or not */

static bool is_reached(const struct vfio_pci_hot_reset_info *info, const struct vfio_pci_dependent_device *peer)
{
	for (uint32_t i = 0; i < info->count; i++)
		if (info->devices[i].segment == peer->segment && info->devices[i].bus == peer->bus &&
		    info->devices[i].devfn == peer->devfn)
			return true;
	return false;
}

/*
 * What a reset of a device reaches is all of its slot or bus, and all below. So a reset that reaches it reaches that,
 * too, and one that does not reaches less; by which name or iommufd the device came does not matter.
 */
static bool reaches(void *user, struct vfm_device *dev)
{
	const struct vfio_pci_hot_reset_info *info = user;
	struct vfio_pci_hot_reset_info *own;
	bool reached;

	if (vfmi_vfio_hot_reset_info(dev->sys, dev->fd, &own) < 0)
		return false;
	reached = own->count > 0;
	for (uint32_t i = 0; i < own->count; i++)
		reached = reached && is_reached(info, &own->devices[i]);
	free(own);
	return reached;
}

/* All are held while it lasts; each once, in whatever order they were named. */
static int begin_all(struct vfm_device *const *devs, size_t count, struct vfm_error *err)
{
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		r = vfmi_device_begin(devs[i], NULL, RESET_STEP, err);
		if (r == 0)
			continue;
		while (i-- > 0)
			vfmi_device_end(devs[i]);
		break;
	}
	return r;
}

static void end_all(struct vfm_device *const *devs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		vfmi_device_end(devs[i]);
}

/* Of @devs the first @named were given by the caller. */
static int reset_and_wait(struct vfm_device *const *devs, size_t count, size_t named,
			  const struct vfio_pci_hot_reset_info *info, struct vfm_error *err)
{
	int r = reset_bus(devs, named, info, err);

	if (r != -EPERM && r != -EBUSY && r != -EOPNOTSUPP) /* what failed may be half done */
		__atomic_fetch_add(&devs[0]->ctx->hot_resets, 1, __ATOMIC_RELEASE);
	for (size_t i = 0; i < count && r == 0; i++) {
		vfmi_device_forget_errors(devs[i]);
		r = vfmi_device_wait_ready(devs[i], RESET_STEP, err);
	}
	return r;
}

/* To @devs, which are held by name, come those of the context that the reset reaches as well. */
static int reset_all(struct vfm_device ***devs, size_t *count, struct vfio_pci_hot_reset_info *info,
		     struct vfm_error *err)
{
	const size_t named = *count;
	struct vfm_device *dev = **devs;
	int r = check_owned(dev, info, err);

	if (r < 0)
		return r;
	r = vfmi_device_list_hold(dev->ctx, reaches, info, devs, count);
	if (r < 0)
		return vfmi_device_fail(dev, err, -r, RESET_STEP, "no memory");
	r = begin_all(*devs + named, *count - named, err);
	if (r < 0)
		return r;
	r = reset_and_wait(*devs, *count, named, info, err);
	end_all(*devs + named, *count - named);
	return r;
}

static int ask_and_reset(struct vfm_device ***devs, size_t count, struct vfm_error *err)
{
	struct vfio_pci_hot_reset_info *info;
	size_t all = count;
	int r = ask_peers(**devs, RESET_STEP, &info, err);

	if (r < 0)
		return r;
	r = reset_all(devs, &all, info, err);
	while (all > count)
		vfmi_device_list_release((*devs)[--all]);
	free(info);
	return r;
}

/* @dev first, none twice; malloc()ed. */
static struct vfm_device **list_devices(struct vfm_device *dev, struct vfm_device *const *others, size_t count,
					size_t *ret_count)
{
	struct vfm_device **devs = calloc(count + 1, sizeof(*devs));
	size_t used = 0;

	if (!devs)
		return NULL;
	devs[used++] = dev;
	for (size_t i = 0; i < count; i++) {
		size_t at = 0;

		while (at < used && devs[at] != others[i])
			at++;
		if (at == used)
			devs[used++] = others[i];
	}
	*ret_count = used;
	return devs;
}

int vfm_device_hot_reset(struct vfm_device *dev, struct vfm_device *const *others, size_t count,
			 struct vfm_error *ret_error)
{
	struct vfm_device **devs = list_devices(dev, others, count, &count);
	int r;

	if (!devs)
		return vfmi_device_fail(dev, ret_error, ENOMEM, RESET_STEP, "no memory");
	r = begin_all(devs, count, ret_error);
	if (r == 0) {
		r = ask_and_reset(&devs, count, ret_error);
		end_all(devs, count);
	}
	free(devs);
	return r;
}
