// SPDX-License-Identifier: MIT
/* Scenarios: hot reset, low power, eventfds beside interrupts, INTx, readiness, what a plain function does not have. */
#include <poll.h>
#include <unistd.h>

#include "scenario.h"

#define LIVE_CHECK 0x04u
#define RAISE 0x60u
#define ACK 0x64u
#define PEERS 32u

static uint64_t signals(int fd, int wait_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;

	return poll(&pfd, 1, wait_ms) == 1 && read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static int ring(struct env *env, int fd)
{
	const uint64_t one = 1;

	REQUIRE(write(fd, &one, sizeof(one)) == sizeof(one));
	return 0;
}

/* hot reset */

static int hot_reset_reaches_itself(struct env *env)
{
	struct vfm_hot_reset_peer peers[PEERS];
	struct vfm_device *dev;
	size_t count = 0;
	bool found = false;

	if (env_open(env, EDU_A, &dev))
		return -1;
	for (size_t i = 0; i < PEERS; i++)
		peers[i].size = sizeof(peers[i]);
	OK(vfm_device_hot_reset_info(dev, peers, PEERS, &count, &env->err));
	REQUIRE(count >= 1);
	for (size_t i = 0; i < count; i++)
		if (peers[i].id == vfm_device_id(dev) && peers[i].flags == VFM_HOT_RESET_OWNED)
			found = true;
	REQUIRE(found);
	REQUIRE_RESULT(vfm_device_hot_reset_info(dev, peers, 0, &count, &env->err), -EMSGSIZE);
	return 0;
}

static int hot_reset_blanks(struct env *env)
{
	uint32_t contents, control, word = 0xbeef;
	struct vfm_device *dev;

	if (env_open(env, EDU_A, &dev) || edu_regions(env, dev, &contents, &control))
		return -1;
	OK(vfm_device_region_write(dev, contents, 0, &word, sizeof(word), &env->err));
	OK(vfm_device_set_state(dev, VFM_STATE_STOP, NULL, &env->err));
	OK(vfm_device_hot_reset(dev, NULL, 0, &env->err));
	OK(vfm_device_region_read(dev, contents, 0, &word, sizeof(word), &env->err));
	REQUIRE(word == 0);
	if (edu_reg_write(env, dev, LIVE_CHECK, 0x55) || edu_reg_read(env, dev, LIVE_CHECK, &word))
		return -1;
	REQUIRE(word == (uint32_t)~0x55);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

static int hot_reset_wants_idle(struct env *env)
{
	struct vfm_session *session;
	struct vfm_device *dev, *other;

	if (env_open(env, EDU_A, &dev) || env_open(env, EDU_B, &other))
		return -1;
	OK(vfm_session_save(other, NULL, &session, &env->err));
	REQUIRE_RESULT(vfm_device_hot_reset(dev, &other, 1, &env->err), -EBUSY);
	OK(vfm_session_abort(session, NULL, &env->err));
	vfm_session_close(session);
	OK(vfm_device_hot_reset(dev, &dev, 1, &env->err));
	return env_state(env, other, VFM_STATE_RUNNING);
}

static int hot_reset_is_physical(struct env *env)
{
	struct vfm_hot_reset_peer peer = { .size = sizeof(peer) };
	struct vfm_device *dev;
	size_t count;

	if (env_open(env, MTTY_A, &dev))
		return -1;
	REQUIRE_RESULT(vfm_device_hot_reset_info(dev, &peer, 1, &count, &env->err), -EOPNOTSUPP);
	REQUIRE_RESULT(vfm_device_hot_reset(dev, NULL, 0, &env->err), -EOPNOTSUPP);
	return 0;
}

/* low power */

static int low_power_wakes(struct env *env)
{
	struct vfm_device *dev;
	uint32_t id = 0;
	int fd;

	if (env_open(env, EDU_A, &dev))
		return -1;
	fd = env_eventfd(env);
	OK(vfm_device_power(dev, VFM_POWER_LOW, fd, &env->err));
	env_sleep_ms(env, 300); /* a kernel suspends it when it gets round to it */
	REQUIRE(signals(fd, 0) == 0);
	if (edu_reg_read(env, dev, 0, &id))
		return -1;
	REQUIRE(id == 0x010000edu);
	REQUIRE(signals(fd, 2000) == 1);
	OK(vfm_device_power(dev, VFM_POWER_ON, -1, &env->err));
	REQUIRE(signals(fd, 0) == 0);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

static int low_power_rules(struct env *env)
{
	struct vfm_device *dev, *mtty;
	uint32_t id = 0;

	if (env_open(env, EDU_A, &dev) || env_open(env, MTTY_A, &mtty))
		return -1;
	OK(vfm_device_power(dev, VFM_POWER_LOW, -1, &env->err));
	REQUIRE_RESULT(vfm_device_power(dev, VFM_POWER_LOW, -1, &env->err), -EINVAL);
	if (edu_reg_read(env, dev, 0, &id))
		return -1;
	REQUIRE(id == 0x010000edu);
	OK(vfm_device_power(dev, VFM_POWER_ON, -1, &env->err));
	OK(vfm_device_power(dev, VFM_POWER_ON, -1, &env->err));
	REQUIRE_RESULT(vfm_device_power(mtty, VFM_POWER_LOW, -1, &env->err), -EOPNOTSUPP);
	return 0;
}

/* State moves through low power: what saves the device wakes it. */
static int low_power_saves(struct env *env)
{
	struct vfm_device *dev, *other;

	if (env_open(env, EDU_A, &dev) || env_open(env, EDU_B, &other) || edu_fill(env, dev, 0, 4096, 3))
		return -1;
	OK(vfm_device_power(dev, VFM_POWER_LOW, -1, &env->err));
	OK(vfm_copy(dev, other, NULL, NULL, &env->err));
	return edu_compare(env, other, 0, 4096, 3);
}

/* eventfds */

static int ioeventfd_writes(struct env *env)
{
	struct vfm_device *dev;
	uint32_t word = 0;
	int fd;

	if (env_open(env, EDU_A, &dev))
		return -1;
	fd = env_eventfd(env);
	OK(vfm_device_ioeventfd(dev, VFM_REGION_BAR0, LIVE_CHECK, 4, 0x5eed, fd, &env->err));
	if (ring(env, fd))
		return -1;
	env_sleep_ms(env, 50);
	if (edu_reg_read(env, dev, LIVE_CHECK, &word))
		return -1;
	REQUIRE(word == ~0x5eedu);
	OK(vfm_device_ioeventfd(dev, VFM_REGION_BAR0, LIVE_CHECK, 4, 0x5eed, -1, &env->err));
	if (edu_reg_write(env, dev, LIVE_CHECK, 1) || ring(env, fd))
		return -1;
	env_sleep_ms(env, 50);
	if (edu_reg_read(env, dev, LIVE_CHECK, &word))
		return -1;
	REQUIRE(word == ~1u);
	return 0;
}

static int ioeventfd_rules(struct env *env)
{
	struct vfm_device *dev, *mtty;
	int fd, r;

	if (env_open(env, EDU_A, &dev) || env_open(env, MTTY_A, &mtty))
		return -1;
	fd = env_eventfd(env);
	OK(vfm_device_ioeventfd(dev, 0, LIVE_CHECK, 4, 1, fd, &env->err));
	REQUIRE_RESULT(vfm_device_ioeventfd(dev, 0, LIVE_CHECK, 4, 1, fd, &env->err), -EEXIST);
	REQUIRE_RESULT(vfm_device_ioeventfd(dev, 0, LIVE_CHECK, 4, 2, -1, &env->err), -ENODEV);
	/* Linux 6.12 does, 7.2 does not */
	r = vfm_device_ioeventfd(dev, 0, 0x80, 8, UINT64_MAX, fd, &env->err);
	REQUIRE(r == 0 || (r == -EINVAL && strstr(env->err.message, "not every kernel writes 8 bytes")));
	OK(vfm_device_ioeventfd(dev, 0, 0x70, 1, 1, fd, &env->err));
	OK(vfm_device_ioeventfd(dev, 0, 0x70, 2, 1, fd, &env->err));
	REQUIRE_RESULT(vfm_device_ioeventfd(dev, VFM_REGION_CONFIG, 4, 4, 1, fd, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_ioeventfd(mtty, 0, 0, 1, 1, fd, &env->err), -EOPNOTSUPP);
	return 0;
}

static int notices_by_loopback(struct env *env)
{
	struct vfm_device *dev, *mtty;

	if (env_open(env, EDU_A, &dev) || env_open(env, MTTY_A, &mtty))
		return -1;
	OK(vfm_device_watch(dev, &env->err));
	OK(vfm_device_watch(mtty, &env->err));
	REQUIRE(vfm_device_notices(dev) == 0 && vfm_device_notices(mtty) == 0);
	OK(vfm_device_irq_trigger(dev, VFM_IRQ_REQ, 0, &env->err));
	REQUIRE(vfm_device_notices(dev) == VFM_NOTICE_REQUEST);
	REQUIRE(vfm_device_notices(dev) == 0);
	return 0;
}

static int transfer_leaves_no_watch(struct env *env)
{
	struct vfm_irq irq = { .size = sizeof(irq) };
	struct vfm_device *dev, *other;
	int fd;

	if (env_open(env, EDU_A, &dev) || env_open(env, EDU_B, &other))
		return -1;
	fd = env_eventfd(env);
	OK(vfm_device_irq_arm(other, VFM_IRQ_REQ, 0, 1, &fd, &env->err));
	OK(vfm_copy(dev, other, NULL, NULL, &env->err));
	OK(vfm_device_irq(dev, VFM_IRQ_REQ, &irq, &env->err));
	REQUIRE(irq.armed == 0);
	OK(vfm_device_irq_trigger(other, VFM_IRQ_REQ, 0, &env->err));
	REQUIRE(signals(fd, 0) == 1);
	return 0;
}

/* INTx */

static int intx_resamples(struct env *env)
{
	struct vfm_device *dev;
	int fd, again;

	if (env_open(env, EDU_A, &dev))
		return -1;
	fd = env_eventfd(env);
	again = env_eventfd(env);
	REQUIRE_RESULT(vfm_device_irq_resample(dev, VFM_IRQ_INTX, again, &env->err), -EINVAL);
	OK(vfm_device_irq_arm(dev, VFM_IRQ_INTX, 0, 1, &fd, &env->err));
	OK(vfm_device_irq_resample(dev, VFM_IRQ_INTX, again, &env->err));
	REQUIRE_RESULT(vfm_device_irq_resample(dev, VFM_IRQ_INTX, fd, &env->err), -EBUSY);
	if (edu_reg_write(env, dev, RAISE, 1))
		return -1;
	REQUIRE(signals(fd, 2000) == 1);
	if (edu_reg_write(env, dev, ACK, 1) || edu_reg_write(env, dev, RAISE, 2))
		return -1;
	REQUIRE(signals(fd, 100) == 0); /* its signal has masked it */
	if (ring(env, again) || edu_reg_write(env, dev, RAISE, 4))
		return -1;
	REQUIRE(signals(fd, 2000) == 1);
	if (edu_reg_write(env, dev, ACK, 7))
		return -1;
	OK(vfm_device_irq_resample(dev, VFM_IRQ_INTX, -1, &env->err));
	OK(vfm_device_irq_disarm(dev, VFM_IRQ_INTX, &env->err));
	return 0;
}

static int intx_masks(struct env *env)
{
	struct vfm_device *dev;
	int fd;

	if (env_open(env, EDU_A, &dev))
		return -1;
	fd = env_eventfd(env);
	OK(vfm_device_irq_arm(dev, VFM_IRQ_INTX, 0, 1, &fd, &env->err));
	OK(vfm_device_irq_mask(dev, VFM_IRQ_INTX, true, &env->err));
	if (edu_reg_write(env, dev, RAISE, 1))
		return -1;
	REQUIRE(signals(fd, 100) == 0);
	OK(vfm_device_irq_mask(dev, VFM_IRQ_INTX, false, &env->err));
	REQUIRE(signals(fd, 2000) == 1);
	return edu_reg_write(env, dev, ACK, 1);
}

/* readiness, and what is not there */

static int ready_after_reset(struct env *env)
{
	struct vfm_device *dev, *mtty;

	if (env_open(env, EDU_A, &dev) || env_open(env, MTTY_A, &mtty))
		return -1;
	OK(vfm_device_wait_ready(dev, 0, &env->err));
	OK(vfm_device_wait_ready(mtty, 0, &env->err));
	OK(vfm_device_reset(dev, &env->err));
	OK(vfm_device_wait_ready(dev, 0, &env->err));
	return 0;
}

static int no_virtual_functions(struct env *env)
{
	const uint8_t token[16] = { 1 };
	struct vfm_device *dev, *mtty;

	if (env_open(env, EDU_A, &dev) || env_open(env, MTTY_A, &mtty))
		return -1;
	REQUIRE_RESULT(vfm_device_set_vf_token(dev, token, &env->err), -EOPNOTSUPP);
	REQUIRE_RESULT(vfm_device_set_vf_token(mtty, token, &env->err), -EOPNOTSUPP);
	return 0;
}

static int no_pasids(struct env *env)
{
	struct vfm_device *dev;
	uint32_t table;

	if (env_open(env, EDU_A, &dev))
		return -1;
	table = vfm_device_pt_id(dev);
	REQUIRE_RESULT(vfm_device_attach_pasid(dev, 1, vfm_device_iommu(dev), &env->err), -EOPNOTSUPP);
	REQUIRE_RESULT(vfm_device_attach_pasid(dev, 0, vfm_device_iommu(dev), &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_device_detach_pasid(dev, 1, &env->err), -ENOENT);
	REQUIRE(vfm_device_pt_id(dev) == table);
	return 0;
}

const struct scenario control_scenarios[] = {
	{ "hot reset reaches the device itself", hot_reset_reaches_itself },
	{ "hot reset blanks", hot_reset_blanks },
	{ "hot reset wants idle devices", hot_reset_wants_idle },
	{ "a mediated device has no hot reset", hot_reset_is_physical },
	{ "low power, and who wakes it is told", low_power_wakes },
	{ "rules of low power", low_power_rules },
	{ "a device in low power moves its state", low_power_saves },
	{ "an eventfd writes a register", ioeventfd_writes },
	{ "rules of ioeventfds", ioeventfd_rules },
	{ "the kernel wants a device back", notices_by_loopback },
	{ "a transfer leaves notices as they were", transfer_leaves_no_watch },
	{ "an eventfd unmasks INTx", intx_resamples },
	{ "INTx is masked and unmasked", intx_masks },
	{ "ready after bind and reset", ready_after_reset },
	{ "no token without virtual functions", no_virtual_functions },
	{ "no PASIDs", no_pasids },
	{ NULL, NULL },
};
