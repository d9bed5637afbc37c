/* SPDX-License-Identifier: MIT */
/* Opening a device by name, binding it to an address space and attaching it, through its cdev or its IOMMU group. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "container.h"
#include "device-body.h"
#include "iommu-internal.h"

#define OPEN_MIN VFMI_SIZE_TO(struct vfm_open, vf_token)
#define KNOWN_FLAGS (VFM_OPEN_GROUP | VFM_OPEN_CDEV | VFM_OPEN_TOKEN)
#define TOKEN_TEXT_ROOM 37
#define MOVE_STEP "attach to another address space"
#define BIND_TRIES 10
#define BIND_PAUSE_NS 10000000u /* after the first try; doubles */

/* opening */

static int fail_cdev(struct vfm_context *ctx, int code, const struct vfm_candidate *candidate, struct vfm_error *err)
{
	const char *remedy = "";

	if (code == EACCES || code == EPERM)
		remedy = "; its owner must let this user in, for example by a udev rule for SUBSYSTEM==\"vfio-dev\"";
	else if (code == ENODEV || code == ENXIO || code == ENOENT)
		remedy = "; the device has gone, or the node is stale";
	else if (code == EBUSY)
		remedy = "; somebody else has it or its group open";
	return VFMI_FAIL(ctx, err, code, candidate->identity.name, "open", "%s: %s%s", candidate->cdev,
			 vfmi_errno_text(code), remedy);
}

static int open_cdev(struct vfm_device *dev, const struct vfm_candidate *candidate, struct vfm_error *err)
{
	int r = dev->sys->ops->open(dev->sys, candidate->cdev, O_RDWR, 0);

	if (r < 0)
		return fail_cdev(dev->ctx, -r, candidate, err);
	dev->fd = r;
	return 0;
}

static int fail_way(struct vfm_context *ctx, const struct vfm_candidate *candidate, uint32_t flags,
		    struct vfm_error *err)
{
	const char *why = "it has neither a device file under /dev/vfio/devices nor an IOMMU group";

	if (flags & VFM_OPEN_CDEV)
		why = "it has no device file under /dev/vfio/devices: the kernel lacks CONFIG_VFIO_DEVICE_CDEV "
		      "(Linux 6.6), only groups and containers are left";
	else if (flags & VFM_OPEN_GROUP)
		why = "it belongs to no IOMMU group";
	return VFMI_FAIL(ctx, err, EOPNOTSUPP, candidate->identity.name, "open", "%s", why);
}

static int open_way(struct vfm_device *dev, const struct vfm_candidate *candidate, uint32_t flags,
		    struct vfm_error *err)
{
	if (candidate->flags & VFM_CANDIDATE_CDEV && !(flags & VFM_OPEN_GROUP))
		return open_cdev(dev, candidate, err);
	if (candidate->flags & VFM_CANDIDATE_GROUP && !(flags & VFM_OPEN_CDEV))
		return vfmi_iommu_group_open(dev->ctx, dev->name, candidate->iommu_group, &dev->group, err);
	return fail_way(dev->ctx, candidate, flags, err);
}

int vfmi_device_take_open(struct vfm_context *ctx, const struct vfm_open *from, struct vfm_open *open,
			  struct vfm_error *err)
{
	const char *flaw = NULL;
	int r = vfmi_sized_in(open, sizeof(*open), from, OPEN_MIN);

	if (r < 0)
		flaw = "struct vfm_open of a size not known here";
	else if (open->flags & ~(uint32_t)KNOWN_FLAGS)
		flaw = "a flag not known here";
	else if (open->flags & VFM_OPEN_GROUP && open->flags & VFM_OPEN_CDEV)
		flaw = "through the group only and through the cdev only exclude each other";
	return flaw ? VFMI_FAIL(ctx, err, r < 0 ? -r : EINVAL, NULL, "open", "%s", flaw) : 0;
}

/* Where KVM is told of the file: the kernel looks for its KVM when the device is bound, and only then. */
static int tell_opened(struct vfm_device *dev, const struct vfm_open *how, struct vfm_error *err)
{
	int r = how->opened ? how->opened(how->user, dev->group ? vfmi_iommu_group_fd(dev->group) : dev->fd) : 0;

	if (r == 0)
		return 0;
	r = r > 0 ? EIO : -r;
	return VFMI_FAIL(dev->ctx, err, r, dev->name, "opened", "the caller, told of its file, says: %s",
			 vfmi_errno_text(r));
}

int vfm_device_open_with(struct vfm_context *ctx, const struct vfm_open *open, struct vfm_device **ret_dev,
			 struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_candidate, candidate);
	struct vfm_device *dev;
	struct vfm_open how;
	int r;

	r = vfmi_device_take_open(ctx, open, &how, ret_error);
	if (r < 0)
		return r;
	r = vfm_find(ctx, how.name, &candidate, ret_error);
	if (r < 0)
		return r;
	r = vfmi_device_new(ctx, candidate.identity.name, &candidate.identity, &dev);
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, candidate.identity.name, "open", "%s", vfmi_errno_text(-r));
	dev->has_token = how.flags & VFM_OPEN_TOKEN;
	memcpy(dev->vf_token, how.vf_token, sizeof(dev->vf_token));
	r = open_way(dev, &candidate, how.flags, ret_error);
	if (r == 0)
		r = tell_opened(dev, &how, ret_error);
	if (r < 0)
		vfm_device_close(dev);
	else
		*ret_dev = dev;
	return r;
}

int vfm_device_open(struct vfm_context *ctx, const char *name, struct vfm_device **ret_dev, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_open, open);

	open.name = name;
	return vfm_device_open_with(ctx, &open, ret_dev, ret_error);
}

/* binding */

typedef int bind_fn(struct vfm_device *dev, const char *name, const struct vfm_iommu *iommu);

/* vfio-pci resets the device as it is opened, and does not wait for who holds its lock. */
static int bind_patiently(struct vfm_device *dev, bind_fn *fn, const char *name, const struct vfm_iommu *iommu)
{
	uint64_t pause_ns = BIND_PAUSE_NS;
	int r = fn(dev, name, iommu);

	for (int i = 1; i < BIND_TRIES && r == -EAGAIN; i++) {
		if (!vfmi_device_rest(dev, pause_ns))
			return -ECANCELED;
		pause_ns *= 2;
		r = fn(dev, name, iommu);
	}
	return r;
}

static int fail_bind(struct vfm_device *dev, int code, const char *why, struct vfm_error *err)
{
	const struct vfmi_where where = {
		.device = dev->name,
		.step = "bind",
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = VFM_STATE_UNKNOWN,
		.flags = code == EAGAIN ? VFM_ERROR_RETRYABLE : 0,
	};

	if (code == EAGAIN)
		why = "its driver cannot reset it, somebody holds a lock of the device; try again later";
	else if (code == ECANCELED)
		why = "canceled while somebody held a lock of the device";
	return vfmi_fail(dev->ctx, err, code, &where, "%s: %s", why, vfmi_errno_text(code));
}

static const char *cdev_remedy(const struct vfm_device *dev, int code)
{
	switch (code) {
	case EBUSY:
		return "held by somebody else: another iommufd has it, or its group or a sibling in the group is in "
		       "use";
	case EINVAL:
		if (dev->has_token)
			return "the kernel takes no VF token with a cdev (Linux 6.17 does; a group does, Linux 5.7), "
			       "the device wants none, or somebody else has it bound";
		return "held by somebody else through another descriptor, or its IOMMU is not cache-coherent";
	case EPERM:
		return "another device of its IOMMU group belongs to somebody else; or its interrupts are not "
		       "isolated by the IOMMU, which iommufd's allow_unsafe_interrupts=1 overrides";
	case EACCES:
		return "the VF token is missing, or is not the one its physical function was given";
	case EBADFD:
		return "the address space's descriptor is not an iommufd";
	default:
		return "the kernel does not give it to the iommufd";
	}
}

/* The kernel's word for a group that is not viable is EPERM, which it has for interrupts, too. */
static bool is_group_blocked(struct vfm_device *dev, char text[VFMI_BLOCKERS_ROOM])
{
	VFM_OPTS(vfm_candidate, candidate);

	return vfm_find(dev->ctx, dev->name, &candidate, NULL) == 0 && (candidate.flags & VFM_CANDIDATE_GROUP) &&
	       vfmi_iommu_group_blockers(dev->ctx, candidate.iommu_group, text);
}

static int try_cdev(struct vfm_device *dev, const char *name, const struct vfm_iommu *iommu)
{
	(void)name;
	return vfmi_vfio_bind(dev->sys, dev->fd, vfm_iommu_fd(iommu), dev->has_token ? dev->vf_token : NULL,
			      &dev->devid);
}

static int bind_cdev(struct vfm_device *dev, struct vfm_iommu *iommu, struct vfm_error *err)
{
	int r = bind_patiently(dev, try_cdev, NULL, iommu);
	const char *cause = cdev_remedy(dev, -r);
	char blockers[VFMI_BLOCKERS_ROOM];

	if (r >= 0)
		return 0;
	if (r == -EPERM && is_group_blocked(dev, blockers))
		return VFMI_FAIL(
			dev->ctx, err, EPERM, dev->name, "bind",
			"its IOMMU group is not viable: a host driver has %s; unbind it or bind it to vfio-pci",
			blockers);
	/* the kernel's word for a device that another file has bound; this object is not bound, so it is busy */
	if (r == -EINVAL)
		r = dev->has_token ? -EOPNOTSUPP : -EBUSY;
	return fail_bind(dev, -r, cause, err);
}

static const char *group_remedy(const struct vfm_device *dev, int code)
{
	switch (code) {
	case EACCES:
		return "the VF token is missing, or is not the one its physical function was given";
	case EINVAL:
		if (dev->has_token)
			return "the device wants no VF token";
		return "the group has no container with an IOMMU, or the IOMMU is not cache-coherent";
	case ENODEV:
		if (dev->has_token)
			return "the group does not know it by this name: it has gone, or the kernel takes no VF token "
			       "(Linux 5.7 does)";
		return "the group does not know it by this name: it has gone";
	case EBUSY:
		return "held by somebody else";
	case EPERM:
		return "its interrupts are not isolated by the IOMMU; allow_unsafe_interrupts=1 of iommufd overrides";
	default:
		return "the kernel does not open it";
	}
}

/* A UUID as text: 8-4-4-4-12 digits. */
static void print_token(const uint8_t token[16], char text[TOKEN_TEXT_ROOM])
{
	size_t at = 0;

	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text[at++] = '-';
		snprintf(text + at, TOKEN_TEXT_ROOM - at, "%02x", token[i]);
		at += 2;
	}
}

static int try_group(struct vfm_device *dev, const char *name, const struct vfm_iommu *iommu)
{
	(void)iommu;
	return vfmi_group_device_fd(dev->sys, vfmi_iommu_group_fd(dev->group), name);
}

static int bind_group(struct vfm_device *dev, struct vfm_iommu *iommu, struct vfm_error *err)
{
	char name[sizeof(dev->name) + sizeof(" vf_token=") + TOKEN_TEXT_ROOM];
	char token[TOKEN_TEXT_ROOM] = "";
	int r;

	print_token(dev->vf_token, token);
	snprintf(name, sizeof(name), "%s%s%s", dev->name, dev->has_token ? " vf_token=" : "",
		 dev->has_token ? token : "");
	r = vfmi_iommu_group_join(dev->group, dev->name, iommu, err);
	if (r < 0)
		return r;
	r = bind_patiently(dev, try_group, name, iommu);
	if (r < 0) {
		vfmi_iommu_group_leave(dev->group);
		return fail_bind(dev, -r, group_remedy(dev, -r), err);
	}
	dev->member = true;
	dev->fd = r;
	return 0;
}

static int check_way(struct vfm_device *dev, const struct vfm_iommu *iommu, struct vfm_error *err)
{
	const bool container = vfmi_backend_is_container(vfm_iommu_backend(iommu));

	if (dev->bound)
		return vfmi_device_fail(dev, err, EINVAL, "bind", "the device is bound already");
	if (!iommu)
		return VFMI_FAIL(dev->ctx, err, EINVAL, dev->name, "bind", "a required argument is NULL");
	if (dev->group && !container)
		return vfmi_device_fail(
			dev, err, EOPNOTSUPP, "bind",
			"it was opened through its group, which goes with a container, not with an IOAS");
	if (!dev->group && container)
		return vfmi_device_fail(
			dev, err, EOPNOTSUPP, "bind",
			"it was opened through its cdev, and a container needs its group (VFM_OPEN_GROUP)");
	return 0;
}

int vfm_device_bind(struct vfm_device *dev, struct vfm_iommu *iommu, struct vfm_error *ret_error)
{
	struct vfio_device_info info;
	int r;

	r = vfmi_device_begin(dev, NULL, "bind", ret_error);
	if (r < 0)
		return r;
	r = check_way(dev, iommu, ret_error);
	if (r == 0)
		r = dev->group ? bind_group(dev, iommu, ret_error) : bind_cdev(dev, iommu, ret_error);
	if (r < 0)
		goto end;
	dev->bound = true;
	dev->iommu = iommu;
	vfmi_device_list_add(dev);
	/* mtty (6.12) does not know its interrupts before it was asked who it is */
	(void)vfmi_vfio_device_info(dev->sys, dev->fd, &info);
	r = vfmi_device_wait_ready(dev, "bind", ret_error); /* vfio-pci has reset it */
end:
	vfmi_device_end(dev);
	return r;
}

/* attaching */

static const char *attach_remedy(struct vfm_iommu *iommu, int code, char *buf, size_t room)
{
	vfmi_iommu_attach_trouble(iommu, code, buf, room);
	if (*buf)
		return buf;
	switch (code) {
	case EADDRINUSE:
		return "a reserved region of the device, or the alignment it needs, hits what is mapped or was allowed";
	case EFAULT:
		return "a mapped area's memory is not there";
	case ENOENT:
		return "the address space has gone";
	case EINVAL:
		return "the device cannot use this address space, was not bound to its iommufd, or a mapped file has "
		       "become shorter than its map";
	default:
		return "the kernel does not attach it to the address space";
	}
}

/* Whoever is in a container's group is attached. */
static bool is_attached_by_group(const struct vfm_device *dev)
{
	return vfmi_backend_is_container(vfm_iommu_backend(dev->iommu));
}

int vfm_device_attach(struct vfm_device *dev, struct vfm_error *ret_error)
{
	char remedy[256];
	int r;

	r = vfmi_device_begin(dev, NULL, "attach", ret_error);
	if (r < 0)
		return r;
	if (!dev->iommu) {
		r = vfmi_device_fail(dev, ret_error, EINVAL, "attach", "no address space of the device is known");
		goto end;
	}
	if (is_attached_by_group(dev))
		goto end;
	r = vfmi_iommu_attach(dev->iommu, dev->fd, dev->devid, &dev->pt_id);
	if (r < 0)
		vfmi_device_fail(dev, ret_error, -r, "attach", attach_remedy(dev->iommu, -r, remedy, sizeof(remedy)));
end:
	vfmi_device_end(dev);
	return r;
}

static int check_move(struct vfm_device *dev, const struct vfm_iommu *iommu, struct vfm_error *err)
{
	const bool container = is_attached_by_group(dev) || vfmi_backend_is_container(vfm_iommu_backend(iommu));
	int r = vfmi_device_need_bound(dev, MOVE_STEP, err);

	if (r < 0)
		return r;
	if (container)
		return VFMI_FAIL(dev->ctx, err, EOPNOTSUPP, dev->name, MOVE_STEP,
				 "a device of a container is in it until it is closed");
	if (!dev->iommu)
		return VFMI_FAIL(dev->ctx, err, EINVAL, dev->name, MOVE_STEP,
				 "no address space of the device is known");
	if (!vfmi_iommu_is_beside(iommu, dev->iommu))
		return VFMI_FAIL(dev->ctx, err, EINVAL, dev->name, MOVE_STEP,
				 "the address space is not known to be of the iommufd that the device is bound to");
	if (vfmi_device_has_pasids(dev))
		return VFMI_FAIL(dev->ctx, err, EBUSY, dev->name, MOVE_STEP,
				 "its PASIDs keep it on a page table that was made for them; detach them first");
	return 0;
}

/* The kernel replaces one attachment by another in one step: DMA meets the old address space or the new one. */
int vfm_device_attach_to(struct vfm_device *dev, struct vfm_iommu *iommu, struct vfm_error *ret_error)
{
	char remedy[256];
	int r;

	r = vfmi_device_begin(dev, NULL, MOVE_STEP, ret_error);
	if (r < 0)
		return r;
	r = check_move(dev, iommu, ret_error);
	if (r < 0)
		goto end;
	r = vfmi_iommu_move(dev->iommu, iommu, dev->fd, dev->devid, &dev->pt_id);
	if (r < 0) {
		vfmi_device_fail(dev, ret_error, -r, MOVE_STEP, attach_remedy(iommu, -r, remedy, sizeof(remedy)));
		goto end;
	}
	vfmi_device_pasid_left(dev);
	if (dev->iommu != iommu)
		__atomic_fetch_add(&dev->moves, 1, __ATOMIC_RELEASE);
	dev->iommu = iommu;
end:
	vfmi_device_end(dev);
	return r;
}

uint64_t vfmi_device_moves(const struct vfm_device *dev)
{
	return __atomic_load_n(&dev->moves, __ATOMIC_ACQUIRE);
}

int vfm_device_detach(struct vfm_device *dev, struct vfm_error *ret_error)
{
	int r;

	r = vfmi_device_begin(dev, NULL, "detach", ret_error);
	if (r < 0)
		return r;
	r = vfmi_device_need_bound(dev, "detach", ret_error);
	if (r < 0)
		goto end;
	if (is_attached_by_group(dev)) {
		r = vfmi_device_fail(dev, ret_error, EOPNOTSUPP, "detach",
				     "a device of a container is in it until it is closed");
		goto end;
	}
	if (dev->iommu)
		r = vfmi_iommu_detach(dev->iommu, dev->fd, &dev->pt_id);
	else
		r = vfmi_vfio_detach(dev->sys, dev->fd);
	if (r < 0)
		vfmi_device_fail(dev, ret_error, -r, "detach", "the device may still reach the address space");
	else
		dev->pt_id = 0;
end:
	vfmi_device_end(dev);
	return r;
}

static int check_cancel(struct vfm_device *dev, struct vfm_error *err)
{
	if (!vfm_cancel_is_set(dev->cancel))
		return 0;
	return VFMI_FAIL(dev->ctx, err, ECANCELED, dev->name, "start", "canceled");
}

int vfmi_device_start(struct vfm_context *ctx, const struct vfm_open *open, struct vfm_iommu *iommu,
		      const struct vfm_cancel *cancel, struct vfm_device **ret_dev, struct vfm_error *err)
{
	const bool container = vfmi_backend_is_container(vfm_iommu_backend(iommu));
	struct vfm_open how = *open;
	struct vfm_device *dev;
	int r;

	if (!(how.flags & (VFM_OPEN_GROUP | VFM_OPEN_CDEV)))
		how.flags |= container ? VFM_OPEN_GROUP : VFM_OPEN_CDEV;
	r = vfm_device_open_with(ctx, &how, &dev, err);
	if (r < 0)
		return r;
	dev->cancel = cancel;
	r = check_cancel(dev, err);
	if (r == 0)
		r = vfm_device_bind(dev, iommu, err);
	if (r == 0)
		r = check_cancel(dev, err);
	if (r < 0)
		goto err_close;
	r = vfm_device_attach(dev, err);
	if (r < 0)
		goto err_close;
	dev->cancel = NULL;
	*ret_dev = dev;
	return 0;

err_close:
	vfm_device_close(dev);
	return r;
}

int vfm_device_open_attached(struct vfm_context *ctx, const char *name, struct vfm_iommu *iommu,
			     struct vfm_device **ret_dev, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_open, open);

	open.name = name;
	return vfmi_device_start(ctx, &open, iommu, NULL, ret_dev, ret_error);
}
