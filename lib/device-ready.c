/* SPDX-License-Identifier: MIT */
/* Readiness: waiting for a device that has been reset to answer before anything is asked of it. */
#include <inttypes.h>
#include <stdio.h>

#include "device-body.h"
#include "device-ready.h"
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

/* A wait; what was found out stays from look to look. */
struct wait {
	struct vfm_device *dev;
	const struct vfmi_ready *by;
	bool searched; /* for the DVSEC */
	uint32_t dvsec;
	uint32_t own_ms; /* what the device asks for, 0 when it has not */
	char what[112];	 /* is missing */
};

int vfmi_device_read_word(struct vfm_device *dev, uint32_t region, uint64_t offset, uint32_t *ret_value)
{
	uint8_t bytes[4];
	int r = vfm_device_region_read(dev, region, offset, bytes, sizeof(bytes), NULL);

	if (r < 0)
		return r == -EIO ? 0 : r;
	*ret_value = vfmi_get_le32(bytes);
	return 1;
}

/* A guest that has switched memory decoding off, as for a reset of its own, leaves nothing to be read in BARs. */
static int is_decoded(struct vfm_device *dev, uint32_t region)
{
	uint32_t value = 0;
	int r;

	if (region > VFM_REGION_ROM)
		return 1;
	r = vfmi_device_read_word(dev, VFM_REGION_CONFIG, PCI_COMMAND, &value);
	return r < 0 ? r : !!(value & PCI_COMMAND_MEMORY);
}

static int look_at_register(struct wait *wait, const struct vfmi_ready_register *reg)
{
	uint32_t value = 0;
	int r = is_decoded(wait->dev, reg->region);

	snprintf(wait->what, sizeof(wait->what), "register 0x%" PRIx64 " of region %" PRIu32 " cannot be read",
		 reg->offset, reg->region);
	if (r <= 0)
		return r < 0 ? r : 1;
	r = vfmi_device_read_word(wait->dev, reg->region, reg->offset, &value);
	if (r <= 0 || (value & reg->mask) == reg->value)
		return r;
	snprintf(wait->what, sizeof(wait->what),
		 "register 0x%" PRIx64 " of region %" PRIu32 " is 0x%" PRIx32 ", not 0x%" PRIx32, reg->offset,
		 reg->region, value & reg->mask, reg->value);
	return 0;
}

static int look_at_registers(struct wait *wait)
{
	int r = 1;

	for (uint32_t i = 0; i < wait->by->count && r > 0; i++)
		r = look_at_register(wait, &wait->by->registers[i]);
	return r;
}

static int find_dvsec(struct wait *wait)
{
	int r;

	if (wait->searched)
		return 1;
	r = vfmi_device_find_cxl(wait->dev, &wait->dvsec);
	wait->searched = r > 0;
	return r;
}

/* As Linux 7.2 does: where the DVSEC is, it tells, and the registers are not those of such a device. */
static int look_at_all(struct wait *wait)
{
	uint32_t status = UINT32_MAX;
	int r = wait->by->cxl ? find_dvsec(wait) : 1;

	if (r <= 0)
		return r;
	if (!wait->dvsec)
		return look_at_registers(wait);
	r = vfmi_device_look_at_cxl(wait->dev, wait->dvsec, &status, &wait->own_ms);
	snprintf(wait->what, sizeof(wait->what),
		 "its memory is not active: register 0x%" PRIx32 " of configuration space (CXL) is 0x%" PRIx32,
		 wait->dvsec + VFMI_CXL_RANGE_LOW, status);
	return r;
}

static int look(struct wait *wait)
{
	uint32_t value = UINT32_MAX;
	int r = vfmi_device_read_word(wait->dev, VFM_REGION_CONFIG, PCI_CLASS_REVISION, &value);

	snprintf(wait->what, sizeof(wait->what), "its configuration space %s",
		 r > 0 ? "reads as all ones" : "cannot be read");
	if (r <= 0 || value == UINT32_MAX)
		return r < 0 ? r : 0;
	return look_at_all(wait);
}

/* Only PCI says how a device that does not answer looks. */
static int is_pci(struct vfm_device *dev)
{
	struct vfio_device_info info;
	int r = vfmi_vfio_device_info(dev->sys, dev->fd, &info);

	return r < 0 ? r : !!(info.flags & VFIO_DEVICE_FLAGS_PCI);
}

bool vfmi_device_rest(struct vfm_device *dev, uint64_t ns)
{
	const uint64_t longest_ns = dev->cancel ? CANCEL_PAUSE_NS : ns;

	while (ns > 0 && !vfm_cancel_is_set(dev->cancel)) {
		const uint64_t now_ns = vfmi_min_u64(ns, longest_ns);

		dev->sys->ops->sleep_ns(dev->sys, now_ns);
		ns -= now_ns;
	}
	return !vfm_cancel_is_set(dev->cancel);
}

/* Looks until @timeout_ms have passed, or, with @patient, until the device has had the time it asks for. */
static int wait_until(struct wait *wait, uint64_t timeout_ms, bool patient, uint64_t *ret_passed_ns)
{
	struct vfmi_sys *sys = wait->dev->sys;
	const uint64_t begin = sys->ops->now_ns(sys);
	uint64_t limit_ns = timeout_ms * NS_PER_MS, pause_ns = FIRST_PAUSE_NS;
	bool extended = !patient;
	int r;

	for (;;) {
		r = look(wait);
		*ret_passed_ns = sys->ops->now_ns(sys) - begin;
		if (!extended && wait->own_ms) {
			const uint64_t own_ns = *ret_passed_ns + wait->own_ms * NS_PER_MS;

			limit_ns = own_ns > limit_ns ? own_ns : limit_ns;
			extended = true;
		}
		if (r != 0)
			return r;
		if (*ret_passed_ns >= limit_ns)
			return -ETIMEDOUT;
		if (!vfmi_device_rest(wait->dev, vfmi_min_u64(pause_ns, limit_ns - *ret_passed_ns)))
			return -ECANCELED;
		pause_ns = vfmi_min_u64(2 * pause_ns, LONGEST_PAUSE_NS);
	}
}

static int wait_ready(struct vfm_device *dev, uint64_t timeout_ms, bool patient, const char *step,
		      struct vfm_error *err)
{
	struct wait wait = { .dev = dev, .by = vfmi_quirk_ready(dev->ctx, dev->identity.driver) };
	uint64_t passed_ns = 0;
	int r = is_pci(dev);

	if (r <= 0)
		return r < 0 ? vfmi_device_fail(dev, err, -r, step, "the device does not tell what it is") : 0;
	r = wait_until(&wait, timeout_ms, patient, &passed_ns);
	if (r > 0)
		return 0;
	if (r == -ECANCELED)
		return VFMI_FAIL(dev->ctx, err, ECANCELED, dev->name, step, "canceled while it was not ready yet: %s",
				 wait.what);
	if (r != -ETIMEDOUT)
		return VFMI_FAIL(dev->ctx, err, -r, dev->name, step,
				 "the device cannot be asked whether it is ready: %s: %s", wait.what,
				 vfmi_errno_text(-r));
	return VFMI_FAIL(dev->ctx, err, ETIMEDOUT, dev->name, step,
			 "not ready after %" PRIu64 " ms: %s; it can be waited for longer%s",
			 (uint64_t)(passed_ns / NS_PER_MS), wait.what,
			 wait.by->cxl || wait.by->count ? ", or not for that: quirk ready-registers" : "");
}

int vfmi_device_wait_ready(struct vfm_device *dev, const char *step, struct vfm_error *err)
{
	const uint32_t known_ms = vfmi_quirk(dev->ctx, dev->identity.driver, VFMI_QUIRK_READY_MS);

	return wait_ready(dev, known_ms > USUAL_MS ? known_ms : USUAL_MS, true, step, err);
}

int vfm_device_wait_ready(struct vfm_device *dev, uint32_t timeout_ms, struct vfm_error *ret_error)
{
	int r;

	r = vfmi_device_need_bound(dev, "wait until ready", ret_error);
	return r < 0 ? r : wait_ready(dev, timeout_ms, false, "wait until ready", ret_error);
}
