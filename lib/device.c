/* SPDX-License-Identifier: MIT */
/* Device object: its life, adoption, who it is and who may change it now. Owns the descriptors. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "device-body.h"
#include "iommu-internal.h"
#include "wire.h"

#define VFMI_ADOPT_MIN VFMI_SIZE_TO(struct vfm_adopt, identity)

int vfmi_device_fail(struct vfm_device *dev, struct vfm_error *err, int code, const char *step, const char *what)
{
	return VFMI_FAIL(dev->ctx, err, code, dev->name, step, "%s: %s", what, vfmi_errno_text(code));
}

int vfmi_device_need_bound(struct vfm_device *dev, const char *step, struct vfm_error *err)
{
	if (dev->bound)
		return 0;
	return VFMI_FAIL(dev->ctx, err, EINVAL, dev->name, step, "the device is not bound yet");
}

/* one mutating call at a time */

int vfmi_device_begin(struct vfm_device *dev, const struct vfm_session *session, const char *step,
		      struct vfm_error *err)
{
	const char *why = NULL;

	pthread_mutex_lock(&dev->lock);
	if (dev->busy)
		why = "another call is changing the device";
	else if (dev->session && dev->session != session)
		why = "a data session is open";
	else
		dev->busy = true;
	pthread_mutex_unlock(&dev->lock);
	return why ? vfmi_device_fail(dev, err, EBUSY, step, why) : 0;
}

void vfmi_device_end(struct vfm_device *dev)
{
	pthread_mutex_lock(&dev->lock);
	dev->busy = false;
	pthread_mutex_unlock(&dev->lock);
}

int vfmi_device_claim(struct vfm_device *dev, struct vfm_session *session, struct vfm_error *err)
{
	const char *why = NULL;

	pthread_mutex_lock(&dev->lock);
	if (dev->busy)
		why = "another call is changing the device";
	else if (dev->session)
		why = "a data session is open already";
	else
		dev->session = session;
	pthread_mutex_unlock(&dev->lock);
	return why ? vfmi_device_fail(dev, err, EBUSY, "begin a data session", why) : 0;
}

void vfmi_device_release(struct vfm_device *dev, struct vfm_session *session)
{
	pthread_mutex_lock(&dev->lock);
	if (dev->session == session)
		dev->session = NULL;
	pthread_mutex_unlock(&dev->lock);
}

/* life */

int vfmi_device_new(struct vfm_context *ctx, const char *name, const struct vfm_identity *identity,
		    struct vfm_device **ret_dev)
{
	struct vfm_device *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return -ENOMEM;
	dev->ctx = ctx;
	dev->sys = ctx->sys;
	dev->fd = -1;
	dev->identity.size = sizeof(dev->identity);
	if (identity)
		dev->identity = *identity;
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	memcpy(dev->identity.name, dev->name, sizeof(dev->name));
	/* default mutexes cannot fail to be made */
	(void)pthread_mutex_init(&dev->lock, NULL);
	(void)pthread_mutex_init(&dev->config_lock, NULL);
	(void)pthread_mutex_init(&dev->io_lock, NULL);
	*ret_dev = dev;
	return 0;
}

void vfm_device_close(struct vfm_device *dev)
{
	if (!dev)
		return;
	vfmi_device_list_remove(dev);
	vfmi_device_irq_clear(dev);
	vfmi_device_pasid_detach_all(dev);
	if (dev->fd >= 0)
		dev->sys->ops->close(dev->sys, dev->fd);
	if (dev->iommu && dev->pt_id)
		vfmi_iommu_detached(dev->iommu, dev->pt_id);
	vfmi_device_pasid_clear(dev);
	if (dev->member)
		vfmi_iommu_group_leave(dev->group);
	vfmi_iommu_group_close(dev->group);
	vfm_iommu_close(dev->own_iommu);
	pthread_mutex_destroy(&dev->io_lock);
	pthread_mutex_destroy(&dev->config_lock);
	pthread_mutex_destroy(&dev->lock);
	free(dev);
}

/* adoption */

static int take_adopt(struct vfm_context *ctx, const struct vfm_adopt *from, struct vfm_adopt *adopt,
		      struct vfm_identity *identity, struct vfm_error *err)
{
	const char *flaw = NULL;
	int r = vfmi_sized_in(adopt, sizeof(*adopt), from, VFMI_ADOPT_MIN);

	if (r < 0)
		return VFMI_FAIL(ctx, err, -r, NULL, "adopt", "struct vfm_adopt of a size not known here");
	if (adopt->identity)
		r = vfmi_sized_in(identity, sizeof(*identity), adopt->identity, VFMI_IDENTITY_MIN);
	if (r < 0)
		flaw = "struct vfm_identity of a size not known here";
	else if (adopt->flags & ~(uint32_t)VFM_ADOPT_TRACKS || (adopt->flags && adopt->pt_id == 0))
		flaw = "flags not known here, or of a page table that is not named";
	else if (adopt->backend > VFM_BACKEND_COMPAT_TYPE1V2)
		flaw = "an IOMMU back end not known here";
	else if (adopt->name && strlen(adopt->name) >= sizeof(identity->name))
		flaw = "the name is too long";
	if (flaw)
		return VFMI_FAIL(ctx, err, r < 0 ? -r : EINVAL, NULL, "adopt", "%s", flaw);
	/* Both are found out here, whatever the lender says. */
	identity->flags &= ~(uint32_t)(VFM_IDENTITY_SIMULATED | VFM_IDENTITY_MIGRATION);
	identity->driver[sizeof(identity->driver) - 1] = '\0';
	identity->mdev_type[sizeof(identity->mdev_type) - 1] = '\0';
	identity->firmware[sizeof(identity->firmware) - 1] = '\0';
	return 0;
}

/* Only a bound device answers GET_INFO. */
static int check_bound(struct vfm_device *dev, struct vfm_error *err)
{
	struct vfio_device_info info;
	int r = vfmi_vfio_device_info(dev->sys, dev->fd, &info);

	if (r == -ENOTTY)
		return vfmi_device_fail(dev, err, EINVAL, "adopt", "the descriptor is not a VFIO device file");
	if (r == -EINVAL)
		return vfmi_device_fail(dev, err, EINVAL, "adopt", "the device is not bound yet");
	if (r < 0)
		return vfmi_device_fail(dev, err, -r, "adopt", "the device does not tell what it is");
	dev->bound = true;
	return 0;
}

static int adopt_descriptors(struct vfm_device *dev, const struct vfm_adopt *adopt, struct vfm_error *err)
{
	VFM_OPTS(vfm_iommu_adopt, space);
	int r = dev->sys->ops->dup(dev->sys, adopt->device_fd);

	if (r < 0)
		return vfmi_device_fail(dev, err, -r, "adopt", "cannot duplicate the device's descriptor");
	dev->fd = r;
	r = check_bound(dev, err);
	space.backend = adopt->backend ? adopt->backend : VFM_BACKEND_IOMMUFD;
	space.fd = adopt->iommufd;
	space.ioas_id = adopt->ioas_id;
	if (r < 0 || space.fd < 0 || (space.ioas_id == 0 && !vfmi_backend_is_container(space.backend)))
		return r;
	if (adopt->flags & VFM_ADOPT_TRACKS && space.backend == VFM_BACKEND_IOMMUFD) {
		space.flags = VFM_IOMMU_DIRTY_TRACKING;
		space.hwpt_ids = &adopt->pt_id;
		space.hwpt_count = 1;
	}
	r = vfm_iommu_adopt(dev->ctx, &space, &dev->iommu, err);
	if (r < 0)
		return r;
	dev->own_iommu = dev->iommu;
	vfmi_iommu_attached(dev->iommu, dev->pt_id);
	return 0;
}

int vfm_device_adopt(struct vfm_context *ctx, const struct vfm_adopt *adopt, struct vfm_device **ret_dev,
		     struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_identity, identity);
	struct vfm_device *dev;
	struct vfm_adopt from;
	char fallback[24];
	int r;

	r = take_adopt(ctx, adopt, &from, &identity, ret_error);
	if (r < 0)
		return r;
	snprintf(fallback, sizeof(fallback), "fd:%" PRId32, from.device_fd);
	r = vfmi_device_new(ctx, from.name ? from.name : fallback, &identity, &dev);
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, from.name, "adopt", "%s", vfmi_errno_text(-r));
	dev->adopted = true;
	dev->devid = from.devid;
	dev->pt_id = from.pt_id;
	r = adopt_descriptors(dev, &from, ret_error);
	if (r < 0) {
		vfm_device_close(dev);
		return r;
	}
	vfmi_device_list_add(dev);
	*ret_dev = dev;
	return 0;
}

/* what is known */

const char *vfm_device_name(const struct vfm_device *dev)
{
	return dev->name;
}

int vfm_device_fd(const struct vfm_device *dev)
{
	return dev->fd;
}

uint32_t vfm_device_id(const struct vfm_device *dev)
{
	return dev->devid;
}

uint32_t vfm_device_pt_id(const struct vfm_device *dev)
{
	return dev->pt_id;
}

int vfm_device_group_fd(const struct vfm_device *dev)
{
	return vfmi_iommu_group_fd(dev->group);
}

bool vfm_device_is_adopted(const struct vfm_device *dev)
{
	return dev->adopted;
}

struct vfm_context *vfm_device_context(const struct vfm_device *dev)
{
	return dev->ctx;
}

struct vfm_iommu *vfm_device_iommu(const struct vfm_device *dev)
{
	return dev->iommu;
}

struct vfmi_sys *vfmi_device_sys(const struct vfm_device *dev)
{
	return dev->sys;
}

/* Type 0 header of PCI configuration space; only that type has subsystem ids. */
static int identify_pci(struct vfm_device *dev, struct vfm_identity *identity, struct vfm_error *err)
{
	uint8_t header[64];
	int r = vfm_device_region_read(dev, VFM_REGION_CONFIG, 0, header, sizeof(header), err);

	if (r < 0)
		return r;
	if (vfmi_get_le16(header) == 0xffff)
		return vfmi_device_fail(dev, err, ENODEV, "identify", "its configuration space reads as all ones");
	identity->flags |= VFM_IDENTITY_PCI | VFM_IDENTITY_REVISION;
	identity->pci_vendor = vfmi_get_le16(header);
	identity->pci_device = vfmi_get_le16(header + 0x02);
	identity->pci_revision = header[0x08];
	identity->pci_class = vfmi_get_le32(header + 0x08) >> 8;
	if ((header[0x0e] & 0x7f) == 0) {
		identity->flags |= VFM_IDENTITY_SUBSYSTEM;
		identity->pci_subvendor = vfmi_get_le16(header + 0x2c);
		identity->pci_subdevice = vfmi_get_le16(header + 0x2e);
	}
	return 0;
}

static int identify_bound(struct vfm_device *dev, struct vfm_identity *identity, struct vfm_error *err)
{
	struct vfio_device_info info;
	int r = vfmi_vfio_device_info(dev->sys, dev->fd, &info);

	if (r < 0)
		return vfmi_device_fail(dev, err, -r, "identify", "the device does not tell what it is");
	if (info.flags & VFIO_DEVICE_FLAGS_PCI) {
		r = identify_pci(dev, identity, err);
		if (r < 0)
			return r;
	}
	identity->migration_flags = 0;
	r = vfmi_device_ask_flags(dev, &identity->migration_flags);
	if (r < 0 && r != -EOPNOTSUPP)
		return vfmi_device_fail(dev, err, -r, "identify", "the device does not tell its migration flags");
	identity->flags |= VFM_IDENTITY_MIGRATION;
	return 0;
}

int vfm_device_identity(struct vfm_device *dev, struct vfm_identity *ret, struct vfm_error *ret_error)
{
	struct vfm_identity identity = dev->identity;
	struct utsname host;
	int r;

	r = dev->sys->ops->uname(dev->sys, &host);
	if (r < 0)
		return vfmi_device_fail(dev, ret_error, -r, "identify", "the kernel does not tell its release");
	snprintf(identity.kernel, sizeof(identity.kernel), "%.*s", (int)sizeof(identity.kernel) - 1, host.release);
	if (dev->sys->simulated)
		identity.flags |= VFM_IDENTITY_SIMULATED;
	r = dev->bound ? identify_bound(dev, &identity, ret_error) : 0;
	if (r < 0)
		return r;
	r = vfmi_sized_out(ret, &identity, sizeof(identity));
	return r < 0 ? vfmi_device_fail(dev, ret_error, -r, "identify", "size of the caller's struct") : 0;
}
