// SPDX-License-Identifier: GPL-2.0-only
/* The knobs of all devices. They are not part of a device: an IOMMU domain outlives it. */

#include <linux/errno.h>
#include <linux/kstrtox.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>

#include "soft.h"

static u64 knobs[SOFT_MAX_DEVICES][VFIOMIG_SOFT_KNOB_COUNT];
static DEFINE_SPINLOCK(knobs_lock); /* for counting down */

void soft_knobs_init(void)
{
	for (unsigned int id = 0; id < SOFT_MAX_DEVICES; id++)
		knobs[id][KNOB(state_kb)] = 256;
}

u64 soft_knob(unsigned int id, enum vfiomig_soft_knob knob)
{
	return READ_ONCE(knobs[id][knob]);
}

void soft_set_knob(unsigned int id, enum vfiomig_soft_knob knob, u64 value)
{
	spin_lock(&knobs_lock);
	WRITE_ONCE(knobs[id][knob], value);
	spin_unlock(&knobs_lock);
}

/* Count down; true when the count ends here. */
bool soft_hit(unsigned int id, enum vfiomig_soft_knob knob)
{
	bool hit;

	if (!soft_knob(id, knob))
		return false;
	spin_lock(&knobs_lock);
	hit = knobs[id][knob] && !--knobs[id][knob];
	spin_unlock(&knobs_lock);
	return hit;
}

int soft_errno(unsigned int id, enum vfiomig_soft_knob knob)
{
	u64 number = soft_knob(id, knob);

	return number && number < MAX_ERRNO ? -(int)number : -EIO;
}

/* Whether a report on [iova, iova + length) lies about the dirty page at @at. */
bool soft_hides(unsigned int id, u64 iova, u64 length, u64 at)
{
	u64 last_word = ((length - 1) >> PAGE_SHIFT) / 64;

	if (soft_knob(id, KNOB(dirty_none)))
		return true;
	return soft_knob(id, KNOB(dirty_drop)) && ((at - iova) >> PAGE_SHIFT) / 64 == last_word;
}

static unsigned int knob_number(const char *name)
{
#define KNOB_NAME(knob) #knob,
	static const char *const names[] = { VFIOMIG_SOFT_KNOBS(KNOB_NAME) };

	return match_string(names, ARRAY_SIZE(names), name);
}

static ssize_t knob_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	unsigned int id = to_platform_device(dev)->id;

	return sysfs_emit(buf, "%llu\n", soft_knob(id, knob_number(attr->attr.name)));
}

static ssize_t knob_store(struct device *dev, struct device_attribute *attr, const char *buf,
			  size_t count)
{
	u64 value;
	int ret = kstrtou64(buf, 0, &value);

	if (ret)
		return ret;
	soft_set_knob(to_platform_device(dev)->id, knob_number(attr->attr.name), value);
	return count;
}

#define KNOB_FILE(knob)                                                                            \
	static struct device_attribute file_##knob = __ATTR(knob, 0644, knob_show, knob_store);
/* clang-format off */
VFIOMIG_SOFT_KNOBS(KNOB_FILE)
#define KNOB_ATTRIBUTE(knob) &file_##knob.attr,
static struct attribute *knob_attributes[] = { VFIOMIG_SOFT_KNOBS(KNOB_ATTRIBUTE) NULL };
/* clang-format on */

const struct attribute_group soft_knob_group = {
	.name = "knobs",
	.attrs = knob_attributes,
};
