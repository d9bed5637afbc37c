/* SPDX-License-Identifier: MIT */
/* Readiness: waiting for a device that has been reset to answer before anything is asked of it. */
#include <inttypes.h>
#include <stdio.h>

#include "device-body.h"
#include "quirks.h"
#include "wire.h"

#define NS_PER_MS 1000000ull

/*
 * A function may be silent for a second after a conventional reset and answer "retry" for as long as it likes after
 * that; Linux gives up on one after 60 s.
 */
#define USUAL_MS 60000u
#define FIRST_PAUSE_NS NS_PER_MS
#define LONGEST_PAUSE_NS (1000 * NS_PER_MS)
#define CANCEL_PAUSE_NS (50 * NS_PER_MS) /* so late a cancel token is seen, at most */

/*
 * Class code and revision are the device's own, whereas the vendor is vfio-pci's word; nothing has a class of all ones,
 * which is what a read gives that nobody answers.
 */
#define PCI_CLASS_REVISION 8u
#define PCI_COMMAND 4u
#define PCI_COMMAND_MEMORY 2u

/* These return 1 for yes, 0 for not yet, or -errno. EIO is the kernel's word for a device that does not decode memory
 * now. */

static int read_word(struct vfm_device *dev, uint32_t region, uint64_t offset, uint32_t *ret_value)
{
	uint8_t bytes[4];
	int r = vfm_device_region_read(dev, region, offset, bytes, sizeof(bytes), NULL);

	if (r < 0)
		return r == -EIO ? 0 : r;
	*ret_value = vfmi_get_le32(bytes);
	return 1;
}

/* A guest that has switched memory decoding off, as for a reset of its own, leaves nothing to be read. */
static int decodes_memory(struct vfm_device *dev)
{
	uint32_t value = 0;
	int r = read_word(dev, VFM_REGION_CONFIG, PCI_COMMAND, &value);

	return r < 0 ? r : !!(value & PCI_COMMAND_MEMORY);
}

static int look_at_registers(struct vfm_device *dev, char *what, size_t room)
{
	const struct vfmi_ready_register *reg;
	uint32_t value = 0;
	int r = vfmi_quirk_ready_register(dev->identity.driver, 0) ? decodes_memory(dev) : 0;

	if (r <= 0)
		return r < 0 ? r : 1;
	for (size_t i = 0; (reg = vfmi_quirk_ready_register(dev->identity.driver, i)); i++) {
		r = read_word(dev, reg->region, reg->offset, &value);
		snprintf(what, room, "register 0x%" PRIx64 " of region %" PRIu32 " is 0x%" PRIx32 ", not 0x%" PRIx32,
			 reg->offset, reg->region, value, reg->value);
		if (r <= 0 || value != reg->value)
			return r < 0 ? r : 0;
	}
	return 1;
}

static int look(struct vfm_device *dev, char *what, size_t room)
{
	uint32_t value = UINT32_MAX;
	int r = read_word(dev, VFM_REGION_CONFIG, PCI_CLASS_REVISION, &value);

	snprintf(what, room, "its configuration space reads as all ones");
	if (r <= 0 || value == UINT32_MAX)
		return r < 0 ? r : 0;
	return look_at_registers(dev, what, room);
}

/* Only PCI says how a device that does not answer looks. */
static int is_pci(struct vfm_device *dev)
{
	struct vfio_device_info info;
	int r = vfmi_vfio_device_info(dev->sys, dev->fd, &info);

	return r < 0 ? r : !!(info.flags & VFIO_DEVICE_FLAGS_PCI);
}

/* Return: false when it was canceled. */
static bool rest(struct vfm_device *dev, uint64_t ns)
{
	const uint64_t longest_ns = dev->cancel ? CANCEL_PAUSE_NS : ns;

	while (ns > 0 && !vfm_cancel_is_set(dev->cancel)) {
		const uint64_t now_ns = vfmi_min_u64(ns, longest_ns);

		dev->sys->ops->sleep_ns(dev->sys, now_ns);
		ns -= now_ns;
	}
	return !vfm_cancel_is_set(dev->cancel);
}

static int wait_ready(struct vfm_device *dev, uint64_t timeout_ms, const char *step, struct vfm_error *err)
{
	const uint64_t begin = dev->sys->ops->now_ns(dev->sys);
	uint64_t pause_ns = FIRST_PAUSE_NS;
	char what[96] = "";
	uint64_t passed_ns;
	int r = is_pci(dev);

	if (r <= 0)
		return r < 0 ? vfmi_device_fail(dev, err, -r, step, "the device does not tell what it is") : 0;
	for (;;) {
		r = look(dev, what, sizeof(what));
		passed_ns = dev->sys->ops->now_ns(dev->sys) - begin;
		if (r != 0 || passed_ns >= timeout_ms * NS_PER_MS)
			break;
		if (!rest(dev, vfmi_min_u64(pause_ns, timeout_ms * NS_PER_MS - passed_ns)))
			return VFMI_FAIL(dev->ctx, err, ECANCELED, dev->name, step,
					 "canceled while it was not ready yet: %s", what);
		pause_ns = vfmi_min_u64(2 * pause_ns, LONGEST_PAUSE_NS);
	}
	if (r > 0)
		return 0;
	if (r < 0)
		return vfmi_device_fail(dev, err, -r, step, "the device cannot be asked whether it is ready");
	return VFMI_FAIL(dev->ctx, err, ETIMEDOUT, dev->name, step,
			 "not ready after %" PRIu64 " ms: %s; it can be waited for longer",
			 (uint64_t)(passed_ns / NS_PER_MS), what);
}

int vfmi_device_wait_ready(struct vfm_device *dev, const char *step, struct vfm_error *err)
{
	const uint32_t known_ms = vfmi_quirk(dev->ctx, dev->identity.driver, VFMI_QUIRK_READY_MS);

	return wait_ready(dev, known_ms > USUAL_MS ? known_ms : USUAL_MS, step, err);
}

int vfm_device_wait_ready(struct vfm_device *dev, uint32_t timeout_ms, struct vfm_error *ret_error)
{
	int r;

	r = vfmi_device_need_bound(dev, "wait until ready", ret_error);
	return r < 0 ? r : wait_ready(dev, timeout_ms, "wait until ready", ret_error);
}
