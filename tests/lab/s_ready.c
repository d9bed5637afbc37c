// SPDX-License-Identifier: MIT
/* A device that stays silent after a reset, as vfiomig_edu does for unready_ms: who waits for it, and how long. */
#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "lab.h"

#define UNREADY_MS 1500u
#define LONGEST_MS (UNREADY_MS + 8000u) /* steps of a second at most, and a slow machine */
#define CLASS_REVISION 8
#define LIVE_CHECK 4 /* a register of BAR 0 that reads as the complement of what was written */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int set_unready_ms(struct env *env, unsigned int ms)
{
	int fd = open("/sys/module/vfiomig_edu/parameters/unready_ms", O_WRONLY | O_CLOEXEC);
	int n = dprintf(fd, "%u", ms);

	close(fd);
	REQUIRE(n > 0);
	return 0;
}

static int read_class(struct env *env, struct vfm_device *dev, uint32_t *ret)
{
	OK(vfm_device_region_read(dev, VFM_REGION_CONFIG, CLASS_REVISION, ret, sizeof(*ret), &env->err));
	return 0;
}

static int answers(struct env *env, struct vfm_device *dev)
{
	uint32_t value;

	if (read_class(env, dev, &value))
		return -1;
	REQUIRE(value != UINT32_MAX);
	if (edu_reg_read(env, dev, 0, &value))
		return -1;
	REQUIRE(value == 0x010000ed);
	return 0;
}

static int is_silent(struct env *env, struct vfm_device *dev)
{
	uint32_t value;

	if (read_class(env, dev, &value))
		return -1;
	REQUIRE(value == UINT32_MAX);
	if (edu_reg_read(env, dev, 0, &value))
		return -1;
	REQUIRE(value == UINT32_MAX);
	return 0;
}

static int open_ready(struct env *env, struct vfm_device **ret)
{
	return set_unready_ms(env, 0) || lab_open(env, VFM_BACKEND_IOMMUFD, FIRST, ret);
}

static int bind_waits(struct env *env)
{
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	uint64_t begin, took;

	if (set_unready_ms(env, UNREADY_MS))
		return -1;
	OK(vfm_iommu_open(env->ctx, NULL, &iommu, &env->err));
	env->iommus[env->opened++] = iommu;
	OK(vfm_device_open(env->ctx, env->names[FIRST], &dev, &env->err));
	env->devs[env->opened - 1] = dev;
	begin = now_ms();
	OK(vfm_device_bind(dev, iommu, &env->err));
	took = now_ms() - begin;
	printf("# bind took %u ms\n", (unsigned int)took);
	REQUIRE(took >= UNREADY_MS && took <= LONGEST_MS);
	return answers(env, dev);
}

static int reset_waits(struct env *env)
{
	struct vfm_device *dev;
	uint64_t begin, took;

	if (open_ready(env, &dev) || set_unready_ms(env, UNREADY_MS))
		return -1;
	begin = now_ms();
	OK(vfm_device_reset(dev, &env->err));
	took = now_ms() - begin;
	printf("# reset took %u ms\n", (unsigned int)took);
	REQUIRE(took >= UNREADY_MS && took <= LONGEST_MS);
	return answers(env, dev);
}

/* Reset by somebody else, so that nobody has waited for it. */
static int silence_is_told(struct env *env)
{
	struct vfm_device *dev;

	if (open_ready(env, &dev) || set_unready_ms(env, 3000))
		return -1;
	REQUIRE(ioctl(vfm_device_fd(dev), VFIO_DEVICE_RESET) == 0);
	if (is_silent(env, dev))
		return -1;
	REQUIRE_RESULT(vfm_device_wait_ready(dev, 200, &env->err), -ETIMEDOUT);
	REQUIRE(lab_says(env, "its configuration space reads as all ones"));
	REQUIRE(strstr(env->err.message, env->names[FIRST]));
	OK(vfm_device_wait_ready(dev, 30000, &env->err));
	return answers(env, dev);
}

/* The one that a context was told of: it answers, and is not ready for all that. */
static int register_is_waited_for(struct env *env)
{
	struct vfm_device *dev;

	if (open_ready(env, &dev))
		return -1;
	OK(vfm_context_set_quirk(env->ctx, "vfiomig_edu", "ready-registers", "0:0x4=0x5a00/0xff00", &env->err));
	if (edu_reg_write(env, dev, LIVE_CHECK, ~0x123456u))
		return -1;
	REQUIRE_RESULT(vfm_device_wait_ready(dev, 200, &env->err), -ETIMEDOUT);
	REQUIRE(lab_says(env, "register 0x4 of region 0 is 0x3400, not 0x5a00"));
	if (edu_reg_write(env, dev, LIVE_CHECK, ~0x125a56u))
		return -1;
	OK(vfm_device_wait_ready(dev, 200, &env->err));
	return 0;
}

const struct lab_test ready_tests[] = {
	{ "ready", "bind returns when the device answers", bind_waits },
	{ "ready", "reset returns when the device answers", reset_waits },
	{ "ready", "a device that stays silent is told", silence_is_told },
	{ "ready", "a register of the quirk table is waited for", register_is_waited_for },
	{ NULL, NULL, NULL },
};
