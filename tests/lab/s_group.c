// SPDX-License-Identifier: MIT
/* IOMMU groups that cannot be had: a host driver has a device of it, or there is no IOMMU. */
#include "lab.h"

static int try_way(struct env *env, uint32_t flags, uint32_t backend)
{
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu;
	VFM_OPTS(vfm_open, open);
	int r;

	if (env_space(env, backend, &iommu))
		return -1;
	open.name = env->names[FIRST];
	open.flags = flags;
	r = vfm_device_open_with(env->ctx, &open, &dev, &env->err);
	if (r == 0)
		r = vfm_device_bind(dev, iommu, &env->err);
	vfm_device_close(dev);
	return r;
}

/* The second device is with a driver of the host. */
static int blocked_group(struct env *env)
{
	REQUIRE_RESULT(try_way(env, VFM_OPEN_GROUP, VFM_BACKEND_TYPE1V2), -EPERM);
	REQUIRE(lab_says(env, env->names[SECOND]) && strstr(env->err.message, "(driver "));
	return 0;
}

static int blocked_cdev(struct env *env)
{
	REQUIRE_RESULT(try_way(env, VFM_OPEN_CDEV, VFM_BACKEND_IOMMUFD), -EPERM);
	REQUIRE(lab_says(env, env->names[SECOND]) && strstr(env->err.message, "(driver "));
	return 0;
}

/* The second device is with vfio-pci, or without any driver. */
static int free_group(struct env *env)
{
	OK(try_way(env, VFM_OPEN_GROUP, VFM_BACKEND_TYPE1V2));
	OK(try_way(env, VFM_OPEN_CDEV, VFM_BACKEND_IOMMUFD));
	return 0;
}

static int noiommu(struct env *env)
{
	REQUIRE_RESULT(try_way(env, 0, VFM_BACKEND_TYPE1V2), -EOPNOTSUPP);
	REQUIRE(lab_says(env, "no IOMMU"));
	REQUIRE_RESULT(try_way(env, VFM_OPEN_GROUP, VFM_BACKEND_COMPAT_TYPE1V2), -EOPNOTSUPP);
	REQUIRE(lab_says(env, "no IOMMU"));
	REQUIRE_RESULT(try_way(env, VFM_OPEN_CDEV, VFM_BACKEND_IOMMUFD), -EOPNOTSUPP);
	REQUIRE(lab_says(env, "no device file"));
	return 0;
}

const struct lab_test group_tests[] = {
	{ "group-blocked", "a group that a host driver is in names its device", blocked_group },
	{ "group-blocked", "the same through the cdev", blocked_cdev },
	{ "group-free", "a group that is all of VFIO, or of nobody, can be had", free_group },
	{ "noiommu", "a device without an IOMMU is refused", noiommu },
	{ NULL, NULL, NULL },
};
