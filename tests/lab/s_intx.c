// SPDX-License-Identifier: MIT
/* INTx, a level: masked by the kernel when it comes, unmasked by hand or by an eventfd. NVMe, edu and e1000e. */
#include <unistd.h>

#include "lab.h"

#define SOON_MS 5000
#define NEVER_MS 200

/* What makes a device raise its pin and take it back. */
struct pin {
	int (*raise)(struct env *env, struct vfm_device *dev, bool on);
};

static int wired(struct env *env, struct vfm_device *dev)
{
	struct vfm_irq irq = { .size = sizeof(irq) };

	OK(vfm_device_irq(dev, VFM_IRQ_INTX, &irq, &env->err));
	REQUIRE(irq.count == 1);
	REQUIRE((irq.flags & VFM_IRQ_MASKABLE) && (irq.flags & VFM_IRQ_AUTOMASKED) && (irq.flags & VFM_IRQ_EVENTFD));
	return 0;
}

static int by_hand(struct env *env, struct vfm_device *dev, const struct pin *pin, int event)
{
	/* it comes once, since it is masked then, and again as long as its level is there */
	REQUIRE(!fired(event, 0));
	if (pin->raise(env, dev, true))
		return -1;
	REQUIRE(fired(event, SOON_MS) && !fired(event, NEVER_MS));
	OK(vfm_device_irq_mask(dev, VFM_IRQ_INTX, false, &env->err));
	REQUIRE(fired(event, SOON_MS));
	if (pin->raise(env, dev, false))
		return -1;
	OK(vfm_device_irq_mask(dev, VFM_IRQ_INTX, false, &env->err));
	REQUIRE(!fired(event, NEVER_MS));
	/* masked by hand it waits */
	OK(vfm_device_irq_mask(dev, VFM_IRQ_INTX, true, &env->err));
	if (pin->raise(env, dev, true))
		return -1;
	REQUIRE(!fired(event, NEVER_MS));
	OK(vfm_device_irq_mask(dev, VFM_IRQ_INTX, false, &env->err));
	REQUIRE(fired(event, SOON_MS));
	if (pin->raise(env, dev, false))
		return -1;
	OK(vfm_device_irq_mask(dev, VFM_IRQ_INTX, false, &env->err));
	return 0;
}

static int by_eventfd(struct env *env, struct vfm_device *dev, const struct pin *pin, int event)
{
	int resample = env_eventfd(env);
	int other = env_eventfd(env);
	const uint64_t one = 1;

	OK(vfm_device_irq_resample(dev, VFM_IRQ_INTX, resample, &env->err));
	REQUIRE_RESULT(vfm_device_irq_resample(dev, VFM_IRQ_INTX, other, &env->err), -EBUSY);
	if (pin->raise(env, dev, true))
		return -1;
	REQUIRE(fired(event, SOON_MS));
	REQUIRE(write(resample, &one, sizeof(one)) == sizeof(one));
	REQUIRE(fired(event, SOON_MS));
	if (pin->raise(env, dev, false))
		return -1;
	REQUIRE(write(resample, &one, sizeof(one)) == sizeof(one));
	REQUIRE(!fired(event, NEVER_MS));
	if (pin->raise(env, dev, true))
		return -1;
	REQUIRE(fired(event, SOON_MS));
	if (pin->raise(env, dev, false))
		return -1;
	OK(vfm_device_irq_resample(dev, VFM_IRQ_INTX, -1, &env->err));
	return 0;
}

static int level(struct env *env, struct vfm_device *dev, const struct pin *pin)
{
	int event = env_eventfd(env);

	if (wired(env, dev))
		return -1;
	REQUIRE_RESULT(vfm_device_irq_mask(dev, VFM_IRQ_INTX, true, &env->err), -EINVAL);
	OK(vfm_device_irq_arm(dev, VFM_IRQ_INTX, 0, 1, &event, &env->err));
	if (by_hand(env, dev, pin, event) || by_eventfd(env, dev, pin, event))
		return -1;
	OK(vfm_device_irq_disarm(dev, VFM_IRQ_INTX, &env->err));
	return 0;
}

static int run_on(struct env *env, enum which which, uint32_t backend, const struct pin *pin)
{
	struct vfm_device *dev;

	return lab_open(env, backend, which, &dev) || level(env, dev, pin);
}

/* edu: raised and acknowledged by registers */
static int raise_edu(struct env *env, struct vfm_device *dev, bool on)
{
	return edu_reg_write(env, dev, on ? 0x60 : 0x64, 1);
}

static const struct pin edu_pin = { raise_edu };

static int edu_native(struct env *env)
{
	return run_on(env, FIRST, VFM_BACKEND_IOMMUFD, &edu_pin);
}

static int edu_container(struct env *env)
{
	return run_on(env, FIRST, VFM_BACKEND_TYPE1V2, &edu_pin);
}

/* e1000e: a change of its link, made up (ICS, let through by IMS) and taken back by its mask (IMC) and cause (ICR) */
static int raise_e1000e(struct env *env, struct vfm_device *dev, bool on)
{
	const uint32_t link_change = 4, clear = 0xffffffff;
	const uint32_t first = on ? 0xd0 : 0xd8, second = on ? 0xc8 : 0xc0;

	OK(vfm_device_region_write(dev, VFM_REGION_BAR0, first, on ? &link_change : &clear, 4, &env->err));
	OK(vfm_device_region_write(dev, VFM_REGION_BAR0, second, on ? &link_change : &clear, 4, &env->err));
	return 0;
}

static int e1000e(struct env *env)
{
	static const struct pin pin = { raise_e1000e };

	return run_on(env, SECOND, VFM_BACKEND_IOMMUFD, &pin);
}

/* NVMe: a completion that is there, and one that was taken */
static int identify_by_pin(struct nvme *n)
{
	struct env *env = n->env;

	if (wired(env, n->dev) || nvme_identify(n))
		return -1;
	OK(vfm_device_irq_mask(n->dev, VFM_IRQ_INTX, false, &env->err));
	REQUIRE(!fired(n->admin.eventfd, NEVER_MS));
	OK(vfm_device_irq_mask(n->dev, VFM_IRQ_INTX, true, &env->err));
	nvme_send_identify(n);
	REQUIRE(!fired(n->admin.eventfd, NEVER_MS));
	OK(vfm_device_irq_mask(n->dev, VFM_IRQ_INTX, false, &env->err));
	REQUIRE(fired(n->admin.eventfd, SOON_MS));
	return nvme_answer(n, &n->admin) || nvme_check_identify(n);
}

static int nvme(struct env *env)
{
	struct vfm_device *dev;
	struct nvme n = { .env = env };
	int r = lab_open(env, VFM_BACKEND_IOMMUFD, THIRD, &dev) || nvme_start(env, dev, VFM_IRQ_INTX, &n) ||
		identify_by_pin(&n);

	nvme_end(&n);
	return r;
}

const struct lab_test intx_tests[] = {
	{ "intx", "edu in iommufd: mask, unmask, resample", edu_native },
	{ "intx", "edu in type1v2: mask, unmask, resample", edu_container },
	{ "intx", "e1000e in iommufd: mask, unmask, resample", e1000e },
	{ "intx", "nvme in iommufd: Identify ends with INTx, masked it waits", nvme },
	{ NULL, NULL, NULL },
};
