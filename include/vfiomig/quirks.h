/* SPDX-License-Identifier: MIT */
/*
 * Quirks: what each driver does that no ioctl tells. A table in the library, to be printed, and to be overridden where
 * a kernel turns out to differ. Keys, their values and what they mean are listed in libvfiomig(7).
 */
#ifndef VFIOMIG_QUIRKS_H
#define VFIOMIG_QUIRKS_H

#include <vfiomig/context.h>

#ifdef __cplusplus
extern "C" {
#endif

enum vfm_quirk_flag {
	VFM_QUIRK_OVERRIDDEN = 1, /* set with vfm_context_set_quirk() */
	VFM_QUIRK_ACTED_ON = 2,	  /* the library does something about it; others say what to expect */
};

/**
 * struct vfm_quirk - one fact about one driver; strings live as long as the callback that gets it
 * @size:   sizeof(struct vfm_quirk) of the library
 * @flags:  enum vfm_quirk_flag
 * @driver: as sysfs names it, "mlx5_vfio_pci"
 * @key:    "precopy-end"
 * @value:  "enomsg", a decimal number, or a list ("cxl, 0:0x1498=0xff")
 * @usual:  value of a driver that the table says nothing about
 * @reason: one sentence
 * @source: where that is known from, "" for a value that was set
 */
struct vfm_quirk {
	uint32_t size;
	uint32_t flags;
	const char *driver;
	const char *key;
	const char *value;
	const char *usual;
	const char *reason;
	const char *source;
};

/* Non-zero stops the walk and is returned by vfm_quirks(). */
typedef int vfm_quirk_fn(void *user, const struct vfm_quirk *quirk);

/**
 * vfm_quirks() - walk what is known of drivers, and what was set; pure, nothing is asked of the kernel
 * @driver: of this one only; '-' and '_' are the same. NULL: of all, in name order, those only set last
 *
 * Nothing known is no error: the callback is never called. Return: 0, the callback's value, or -EINVAL. Thread: any,
 * but not beside vfm_context_set_quirk(). Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_quirks(const struct vfm_context *ctx, const char *driver, vfm_quirk_fn *fn, void *user);

/**
 * vfm_context_set_quirk() - override the table for this context
 * @driver: known to the table or not, at most 63 bytes; '-' and '_' are the same
 * @value:  one of the key's values, a decimal number in its range, or for ready-registers a list as libvfiomig(7) has
 *          it, in the place of all that was known; NULL takes an override back
 *
 * Return: 0, -EINVAL (no such key, no value of it, no name), or -ENOMEM. Not thread-safe against running calls: set it
 * before the context is shared. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_context_set_quirk(struct vfm_context *ctx, const char *driver, const char *key,
						 const char *value, struct vfm_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
