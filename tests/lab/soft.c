// SPDX-License-Identifier: MIT
/* A device of vfiomig_soft as its tests see it: registers, knobs, the engine that writes by itself. */
#include <sys/ioctl.h>

#include "../kmod/vfiomig_soft.h"
#include "lab.h"

#define IOC(number) _IO(';', number)
#define TYPE1_DIRTY_PAGES IOC(117)
#define DEVICE_FEATURE IOC(117)
#define FEATURE_SET (1u << 17)
#define FEATURE_LOG_STOP 7
#define TYPE1_STOP 2
#define WAIT_TURNS 20000

int soft_get(struct env *env, struct vfm_device *dev, uint64_t reg, uint64_t *ret)
{
	OK(vfm_device_region_read(dev, VFIOMIG_SOFT_REGISTERS, reg, ret, sizeof(*ret), &env->err));
	return 0;
}

int soft_set(struct env *env, struct vfm_device *dev, uint64_t reg, uint64_t value)
{
	OK(vfm_device_region_write(dev, VFIOMIG_SOFT_REGISTERS, reg, &value, sizeof(value), &env->err));
	return 0;
}

int soft_clear_knobs(struct env *env, struct vfm_device *dev)
{
	for (uint64_t knob = 0; knob < VFIOMIG_SOFT_KNOB_COUNT; knob++) {
		if (knob != VFIOMIG_SOFT_KNOB_state_kb && soft_set(env, dev, VFIOMIG_SOFT_KNOB(knob), 0))
			return -1;
	}
	return 0;
}

int soft_run(struct env *env, struct vfm_device *dev, uint64_t iova, uint64_t pages, uint64_t flags)
{
	const uint64_t settings[][2] = {
		{ VFIOMIG_SOFT_RUN_BASE, iova },
		{ VFIOMIG_SOFT_RUN_PAGES, pages },
		{ VFIOMIG_SOFT_RUN_LENGTH, 64 },
		{ VFIOMIG_SOFT_RUN_BATCH, 8 },
		{ VFIOMIG_SOFT_RUN_PAUSE_US, 50 },
		{ VFIOMIG_SOFT_RUN_SEED, 0x5eed + flags },
		{ VFIOMIG_SOFT_RUN_CTRL, VFIOMIG_SOFT_RUN | flags },
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (soft_set(env, dev, settings[i][0], settings[i][1]))
			return -1;
	}
	return 0;
}

int soft_write(struct env *env, struct vfm_device *dev, uint64_t iova, uint64_t length, uint64_t value)
{
	uint64_t result;

	if (soft_set(env, dev, VFIOMIG_SOFT_DMA_IOVA, iova) || soft_set(env, dev, VFIOMIG_SOFT_DMA_LENGTH, length) ||
	    soft_set(env, dev, VFIOMIG_SOFT_DMA_VALUE, value) ||
	    soft_set(env, dev, VFIOMIG_SOFT_DMA_COMMAND, VFIOMIG_SOFT_DMA_WRITE) ||
	    soft_get(env, dev, VFIOMIG_SOFT_DMA_RESULT, &result))
		return -1;
	REQUIRE_RESULT(result, 0);
	return 0;
}

int soft_wait_writes(struct env *env, struct vfm_device *dev, uint64_t more)
{
	uint64_t from, now;

	if (soft_get(env, dev, VFIOMIG_SOFT_RUN_WRITES, &from))
		return -1;
	for (unsigned int turn = 0; turn < WAIT_TURNS; turn++) {
		if (soft_get(env, dev, VFIOMIG_SOFT_RUN_WRITES, &now))
			return -1;
		if (now - from >= more)
			return 0;
		if (turn > 1000)
			env_sleep_ms(env, 1);
	}
	printf("# %s writes no more\n", vfm_device_name(dev));
	return -1;
}

int soft_steal_log(struct vfm_device *dev)
{
	uint32_t feature[2] = { sizeof(feature), FEATURE_SET | FEATURE_LOG_STOP };

	return ioctl(vfm_device_fd(dev), DEVICE_FEATURE, feature) ? -errno : 0;
}

int soft_steal_type1(struct vfm_device *dev)
{
	uint32_t dirty[2] = { sizeof(dirty), TYPE1_STOP };

	return ioctl(vfm_iommu_fd(vfm_device_iommu(dev)), TYPE1_DIRTY_PAGES, dirty) ? -errno : 0;
}
