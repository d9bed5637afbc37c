/* SPDX-License-Identifier: MIT */
/*
 * A bound device with two interrupts, two regions and a migration state, small enough to see through. Tests override
 * single answers by a hook; whole machines are the simulated one's business.
 */
#ifndef VFIOMIG_TEST_FAKE_DEVICE_H
#define VFIOMIG_TEST_FAKE_DEVICE_H

#include <check.h>
#include <stdlib.h>

#include <vfiomig/migration.h>

#include "device-internal.h"
#include "vfio.h"

#define FAKE_FD 3
#define FAKE_VECTORS 8u
#define FAKE_REGION_BYTES 256u
#define FAKE_REGION_OFFSET 0x10000u

static struct {
	/* True: the hook has answered with *r. */
	bool (*hook)(unsigned long request, void *arg, int *r);
	int open_fds;
	int next_fd;
	int dup_limit; /* dup() fails from this many open descriptors on; 0: never */
	uint32_t state;
	uint64_t flags;
	uint32_t device_flags;
	int vectors[FAKE_VECTORS];
	bool enabled;
	uint8_t region[FAKE_REGION_BYTES];
	size_t piece; /* most bytes an access moves */
	int resets;
	int sets;
	uint64_t slept_ns;
	int mmaps;
	void *hint; /* of the last mmap() of the device */
	int prot;
	off_t offset;
} fake;

static int fake_dup(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	if (fd < 0)
		return -EBADF;
	if (fake.dup_limit && fake.open_fds >= fake.dup_limit)
		return -EMFILE;
	fake.open_fds++;
	return fake.next_fd++;
}

static int fake_close(struct vfmi_sys *sys, int fd)
{
	(void)sys;
	ck_assert_int_ge(fd, 100);
	fake.open_fds--;
	return 0;
}

static int fake_set_irqs(const struct vfio_irq_set *set)
{
	if (set->flags & VFIO_IRQ_SET_DATA_NONE && set->count == 0) {
		if (!fake.enabled)
			return -EINVAL;
		fake.enabled = false;
		for (uint32_t i = 0; i < FAKE_VECTORS; i++)
			fake.vectors[i] = -1;
		return 0;
	}
	ck_assert_uint_le(set->start + set->count, FAKE_VECTORS);
	if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD))
		return 0;
	fake.enabled = true;
	memcpy(&fake.vectors[set->start], set->data, set->count * sizeof(int32_t));
	return 0;
}

static int fake_feature(struct vfio_device_feature *feature)
{
	struct vfio_device_feature_mig_state state;

	switch (feature->flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		memcpy(feature->data, &fake.flags, sizeof(fake.flags));
		return fake.flags ? 0 : -ENOTTY;
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		memcpy(&state, feature->data, sizeof(state));
		if (feature->flags & VFIO_DEVICE_FEATURE_SET) {
			fake.sets++;
			fake.state = state.device_state;
		}
		state = (struct vfio_device_feature_mig_state){ fake.state, -1 };
		memcpy(feature->data, &state, sizeof(state));
		return 0;
	default:
		return -ENOTTY;
	}
}

static int fake_answer(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		*(struct vfio_device_info *)arg = (struct vfio_device_info){ 24, fake.device_flags, 9, 5, 0, 0 };
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO: {
		struct vfio_region_info *info = arg;
		uint64_t length = info->index == 0 || info->index == VFM_REGION_CONFIG ? FAKE_REGION_BYTES : 0;

		*info = (struct vfio_region_info){ sizeof(*info), 3, info->index, 0, length, FAKE_REGION_OFFSET };
		return 0;
	}
	case VFIO_DEVICE_GET_IRQ_INFO: {
		struct vfio_irq_info *info = arg;

		info->count = info->index == VFM_IRQ_MSI ? FAKE_VECTORS : info->index == VFM_IRQ_INTX;
		info->flags = info->index == VFM_IRQ_INTX ? 7 : 9;
		return info->index < 5 ? 0 : -EINVAL;
	}
	case VFIO_DEVICE_SET_IRQS:
		return fake_set_irqs(arg);
	case VFIO_DEVICE_RESET:
		fake.resets++;
		fake.state = VFM_STATE_RUNNING;
		return 0;
	case VFIO_DEVICE_FEATURE:
		return fake_feature(arg);
	default:
		return -ENOTTY;
	}
}

static int fake_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	int r;

	(void)sys;
	ck_assert_int_ge(fd, 100);
	if (fake.hook && fake.hook(request, arg, &r))
		return r;
	return fake_answer(request, arg);
}

static ssize_t fake_pread(struct vfmi_sys *sys, int fd, void *buf, size_t length, off_t offset)
{
	size_t at = (size_t)offset - FAKE_REGION_OFFSET;

	(void)sys, (void)fd;
	ck_assert_uint_le(at + length, FAKE_REGION_BYTES);
	length = length > fake.piece ? fake.piece : length;
	memcpy(buf, fake.region + at, length);
	return (ssize_t)length;
}

static ssize_t fake_pwrite(struct vfmi_sys *sys, int fd, const void *buf, size_t length, off_t offset)
{
	size_t at = (size_t)offset - FAKE_REGION_OFFSET;

	(void)sys, (void)fd;
	ck_assert_uint_le(at + length, FAKE_REGION_BYTES);
	length = length > fake.piece ? fake.piece : length;
	memcpy(fake.region + at, buf, length);
	return (ssize_t)length;
}

static void fake_sleep_ns(struct vfmi_sys *sys, uint64_t ns)
{
	(void)sys;
	fake.slept_ns += ns;
}

static uint64_t fake_now_ns(struct vfmi_sys *sys)
{
	(void)sys;
	return fake.slept_ns;
}

/* Nothing is mapped: a reservation "finds" 0x123456789000, the device lands on its hint or there. */
static int fake_mmap(struct vfmi_sys *sys, void *hint, size_t length, int prot, int flags, int fd, off_t offset,
		     void **ret_ptr)
{
	(void)sys, (void)flags;
	ck_assert_uint_gt(length, 0);
	fake.mmaps++;
	if (fd >= 0) {
		fake.hint = hint;
		fake.prot = prot;
		fake.offset = offset;
	}
	*ret_ptr = hint ? hint : (void *)0x123456789000;
	return 0;
}

static int fake_munmap(struct vfmi_sys *sys, void *ptr, size_t length)
{
	(void)sys, (void)ptr, (void)length;
	fake.mmaps--;
	return 0;
}

static int fake_uname(struct vfmi_sys *sys, struct utsname *name)
{
	(void)sys;
	memset(name, 0, sizeof(*name));
	memcpy(name->release, "6.12.0-test", sizeof("6.12.0-test"));
	return 0;
}

static const struct vfmi_sys_ops fake_ops = {
	.uname = fake_uname,
	.mmap = fake_mmap,
	.munmap = fake_munmap,
	.dup = fake_dup,
	.close = fake_close,
	.ioctl = fake_ioctl,
	.pread = fake_pread,
	.pwrite = fake_pwrite,
	.sleep_ns = fake_sleep_ns,
	.now_ns = fake_now_ns,
};
static struct vfmi_sys fake_sys = { .ops = &fake_ops };

static struct vfm_context *ctx;
static struct vfm_device *dev;
static struct vfm_error error;

static inline void fake_setup(void)
{
	struct vfm_adopt adopt = { .size = sizeof(adopt), .device_fd = FAKE_FD, .iommufd = -1, .name = "dev0" };

	memset(&fake, 0, sizeof(fake));
	fake.next_fd = 100;
	fake.flags = 7;
	fake.state = VFM_STATE_RUNNING;
	fake.device_flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	fake.piece = SIZE_MAX;
	for (uint32_t i = 0; i < FAKE_VECTORS; i++)
		fake.vectors[i] = -1;
	error = (struct vfm_error){ .size = sizeof(error) };
	ck_assert_int_eq(vfmi_context_new_on(&fake_sys, &ctx), 0);
	ck_assert_int_eq(vfm_device_adopt(ctx, &adopt, &dev, NULL), 0);
}

static inline void fake_teardown(void)
{
	vfm_device_close(dev);
	ck_assert_int_eq(fake.open_fds, 0);
	vfm_context_free(ctx);
}

#endif
