// SPDX-License-Identifier: MIT
/* The edu device as a program sees it: regions by type, registers, contents, one DMA at a time. */
#include "scenario.h"

#include "../kmod/vfiomig_edu.h"

#define EDU_DMA_SRC 0x80
#define EDU_DMA_DST 0x88
#define EDU_DMA_CNT 0x90
#define EDU_DMA_CMD 0x98
#define EDU_DMA_BUFFER 0x40000ull
#define EDU_CMD_RUN 1u
#define EDU_CMD_FROM_DEVICE 2u
#define EDU_CMD_IRQ 4u

int edu_regions(struct env *env, struct vfm_device *dev, uint32_t *ret_contents, uint32_t *ret_control)
{
	struct vfm_device_info info = { .size = sizeof(info) };
	uint32_t found = 0;

	OK(vfm_device_info(dev, &info, &env->err));
	for (uint32_t i = VFM_REGION_VGA + 1; i < info.num_regions; i++) {
		struct vfm_region region = { .size = sizeof(region) };

		OK(vfm_device_region(dev, i, &region, &env->err));
		if (!(region.flags & VFM_REGION_TYPED) || region.type != VFIOMIG_EDU_REGION_TYPE)
			continue;
		if (region.subtype == VFIOMIG_EDU_REGION_CONTENTS)
			*ret_contents = i, found |= 1;
		if (region.subtype == VFIOMIG_EDU_REGION_CONTROL)
			*ret_control = i, found |= 2;
	}
	REQUIRE(found == 3);
	return 0;
}

static void pattern(uint8_t *buf, size_t length, uint64_t offset, uint32_t seed)
{
	for (size_t i = 0; i < length; i++)
		buf[i] = (uint8_t)((offset + i) * 131u + ((offset + i) >> 12) * 7u + seed);
}

static int edu_walk(struct env *env, struct vfm_device *dev, uint64_t offset, size_t length, uint32_t seed, bool write)
{
	uint32_t contents, control;
	static uint8_t want[1 << 16], got[1 << 16];

	if (edu_regions(env, dev, &contents, &control))
		return -1;
	for (size_t done = 0; done < length;) {
		size_t n = length - done < sizeof(want) ? length - done : sizeof(want);

		pattern(want, n, offset + done, seed);
		if (write) {
			OK(vfm_device_region_write(dev, contents, offset + done, want, n, &env->err));
		} else {
			OK(vfm_device_region_read(dev, contents, offset + done, got, n, &env->err));
			REQUIRE(!memcmp(want, got, n));
		}
		done += n;
	}
	return 0;
}

int edu_fill(struct env *env, struct vfm_device *dev, uint64_t offset, size_t length, uint32_t seed)
{
	return edu_walk(env, dev, offset, length, seed, true);
}

int edu_compare(struct env *env, struct vfm_device *dev, uint64_t offset, size_t length, uint32_t seed)
{
	return edu_walk(env, dev, offset, length, seed, false);
}

int edu_contents_bytes(struct env *env, struct vfm_device *dev, uint64_t *ret)
{
	return edu_control_read(env, dev, VFIOMIG_EDU_CONTENTS_BYTES, ret);
}

int edu_control_read(struct env *env, struct vfm_device *dev, uint32_t reg, uint64_t *ret)
{
	uint32_t contents, control;

	if (edu_regions(env, dev, &contents, &control))
		return -1;
	OK(vfm_device_region_read(dev, control, reg, ret, sizeof(*ret), &env->err));
	return 0;
}

int edu_control_write(struct env *env, struct vfm_device *dev, uint32_t reg, uint64_t value)
{
	uint32_t contents, control;

	if (edu_regions(env, dev, &contents, &control))
		return -1;
	return vfm_device_region_write(dev, control, reg, &value, sizeof(value), &env->err);
}

int edu_reg_read(struct env *env, struct vfm_device *dev, uint32_t reg, uint32_t *ret)
{
	OK(vfm_device_region_read(dev, VFM_REGION_BAR0, reg, ret, sizeof(*ret), &env->err));
	return 0;
}

int edu_reg_write(struct env *env, struct vfm_device *dev, uint32_t reg, uint32_t value)
{
	OK(vfm_device_region_write(dev, VFM_REGION_BAR0, reg, &value, sizeof(value), &env->err));
	return 0;
}

static int reg_write64(struct env *env, struct vfm_device *dev, uint32_t reg, uint64_t value)
{
	OK(vfm_device_region_write(dev, VFM_REGION_BAR0, reg, &value, sizeof(value), &env->err));
	return 0;
}

int edu_dma(struct env *env, struct vfm_device *dev, uint64_t iova, uint32_t length, bool to_device, bool irq)
{
	uint64_t cmd = EDU_CMD_RUN | (to_device ? 0 : EDU_CMD_FROM_DEVICE) | (irq ? EDU_CMD_IRQ : 0);

	if (reg_write64(env, dev, EDU_DMA_SRC, to_device ? iova : EDU_DMA_BUFFER) ||
	    reg_write64(env, dev, EDU_DMA_DST, to_device ? EDU_DMA_BUFFER : iova) ||
	    reg_write64(env, dev, EDU_DMA_CNT, length) || reg_write64(env, dev, EDU_DMA_CMD, cmd))
		return -1;
	for (int tries = 0; tries < 200; tries++) {
		env_sleep_ms(env, 10);
		OK(vfm_device_region_read(dev, VFM_REGION_BAR0, EDU_DMA_CMD, &cmd, sizeof(cmd), &env->err));
		if (!(cmd & EDU_CMD_RUN))
			return 0;
	}
	printf("# the DMA did not end\n");
	return -1;
}

int edu_copy(struct env *env, struct vfm_device *dev, uint8_t *from, uint64_t from_iova, const uint8_t *to,
	     uint64_t to_iova, uint8_t seed)
{
	for (size_t i = 0; i < 1024; i++)
		from[i] = (uint8_t)(i * 7 + seed);
	if (edu_dma(env, dev, from_iova, 1024, true, false) || edu_dma(env, dev, to_iova, 1024, false, false))
		return -1;
	REQUIRE(!memcmp(from, to, 1024));
	return 0;
}
