// SPDX-License-Identifier: MIT
/*
 * SR-IOV: virtual functions open with the token of their physical one, which is on vfio-pci. Groups ask for it since
 * Linux 5.7, cdevs since 6.17; before that these cannot be given one.
 */
#include "lab.h"

#define PF FIRST
#define VF SECOND
#define OP_VIRTUALIZATION 0x1c
#define ASSIGN 8
#define ONLINE 9
#define CNS_SECONDARIES 0x15

static const uint8_t token[16] = { 0x8c, 0x5a, 0xe7, 0xa1, 0x9c, 0x55, 0x4c, 0x6e,
				   0x9d, 0x0c, 0x6b, 0x6f, 0x1f, 0x9a, 0x5d, 0x01 };
static const uint8_t other[16] = { 0x8c, 0x5a, 0xe7, 0xa1, 0x9c, 0x55, 0x4c, 0x6e,
				   0x9d, 0x0c, 0x6b, 0x6f, 0x1f, 0x9a, 0x5d, 0x02 };

/* The physical function, its token set. */
static int open_pf(struct env *env, struct vfm_device **ret)
{
	if (lab_open(env, VFM_BACKEND_IOMMUFD, PF, ret))
		return -1;
	OK(vfm_device_set_vf_token(*ret, token, &env->err));
	return 0;
}

static int guarded(struct env *env, uint32_t backend)
{
	struct vfm_device *pf;

	if (open_pf(env, &pf))
		return -1;
	REQUIRE_RESULT(lab_try_token(env, VF, backend, NULL), -EACCES);
	REQUIRE(lab_says(env, "the VF token is missing"));
	REQUIRE_RESULT(lab_try_token(env, VF, backend, other), -EACCES);
	REQUIRE(lab_says(env, "is not the one its physical function was given"));
	OK(lab_try_token(env, VF, backend, token));
	/* another one takes its place at once */
	OK(vfm_device_set_vf_token(pf, other, &env->err));
	REQUIRE_RESULT(lab_try_token(env, VF, backend, token), -EACCES);
	OK(lab_try_token(env, VF, backend, other));
	return 0;
}

static int guarded_group(struct env *env)
{
	return guarded(env, VFM_BACKEND_TYPE1V2);
}

static int guarded_compat(struct env *env)
{
	return guarded(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

static int guarded_cdev(struct env *env)
{
	return guarded(env, VFM_BACKEND_IOMMUFD);
}

static int unguarded_cdev(struct env *env)
{
	struct vfm_device *pf;

	if (open_pf(env, &pf))
		return -1;
	OK(lab_try_token(env, VF, VFM_BACKEND_IOMMUFD, NULL));
	REQUIRE_RESULT(lab_try_token(env, VF, VFM_BACKEND_IOMMUFD, token), -EOPNOTSUPP);
	REQUIRE(lab_says(env, "Linux 6.17"));
	return 0;
}

static int open_by_token(struct env *env, enum which which, struct vfm_device **ret)
{
	struct vfm_iommu *iommu;
	VFM_OPTS(vfm_open, open);

	if (env_space(env, VFM_BACKEND_TYPE1V2, &iommu))
		return -1;
	open.name = env->names[which];
	open.flags = VFM_OPEN_GROUP | VFM_OPEN_TOKEN;
	memcpy(open.vf_token, token, sizeof(token));
	OK(vfm_device_open_with(env->ctx, &open, ret, &env->err));
	env->devs[env->opened - 1] = *ret;
	OK(vfm_device_bind(*ret, iommu, &env->err));
	return 0;
}

/* The physical one sets the token by being opened with it; while virtual ones are in use it must know it. */
static int opening_sets_it(struct env *env)
{
	struct vfm_device *pf, *vf;

	if (open_by_token(env, PF, &pf) || open_by_token(env, VF, &vf))
		return -1;
	env_forget(env, pf);
	REQUIRE_RESULT(lab_try_token(env, PF, VFM_BACKEND_TYPE1V2, NULL), -EACCES);
	REQUIRE_RESULT(lab_try_token(env, PF, VFM_BACKEND_TYPE1V2, other), -EACCES);
	OK(lab_try_token(env, PF, VFM_BACKEND_TYPE1V2, token));
	return 0;
}

static int no_token_to_set(struct env *env)
{
	struct vfm_device *pf, *vf;

	if (open_pf(env, &pf) || open_by_token(env, VF, &vf))
		return -1;
	REQUIRE_RESULT(vfm_device_set_vf_token(vf, token, &env->err), -EOPNOTSUPP);
	REQUIRE(lab_says(env, env->names[VF]));
	return 0;
}

/* The controller that is the first virtual function, as the physical one lists them; 0 when it does not. */
static uint32_t first_secondary(struct nvme *pf)
{
	const uint8_t *list = NVME_DATA(pf);

	if (nvme_identify_as(pf, CNS_SECONDARIES))
		return 0;
	for (size_t i = 0; i < list[0]; i++) {
		const uint8_t *entry = list + 32 + 32 * i;

		if (entry[8] == 1 && entry[9] == 0)
			return entry[0] | (uint32_t)entry[1] << 8;
	}
	return 0;
}

static int manage(struct nvme *pf, uint32_t controller, uint32_t resource, uint32_t action, uint32_t count)
{
	const uint32_t command[16] = {
		[0] = OP_VIRTUALIZATION, [10] = controller << 16 | resource << 8 | action, [11] = count
	};

	return nvme_command(pf, &pf->admin, command);
}

/* Two queues, one vector, online. */
static int bring_up(struct nvme *pf)
{
	const uint32_t controller = first_secondary(pf);

	return !controller || manage(pf, controller, 0, ASSIGN, 2) || manage(pf, controller, 1, ASSIGN, 1) ||
	       manage(pf, controller, 0, ONLINE, 0);
}

/* The program has both: the physical one brings up the virtual one, which works by itself in a space of its own. */
static int both_work(struct env *env)
{
	struct vfm_device *pf, *vf;
	struct nvme physical = { .env = env }, virtual = { .env = env };
	int r;

	if (open_pf(env, &pf) || open_by_token(env, VF, &vf))
		return -1;
	OK(vfm_device_bus_master(vf, true, &env->err));
	r = nvme_start(env, pf, VFM_IRQ_MSIX, &physical) || bring_up(&physical) ||
	    nvme_start(env, vf, VFM_IRQ_MSIX, &virtual) || nvme_identify(&virtual) || nvme_identify(&physical);
	nvme_end(&virtual);
	nvme_end(&physical);
	return r;
}

/* A device that is no virtual function takes no token. */
static int not_asked_for(struct env *env)
{
	REQUIRE_RESULT(lab_try_token(env, THIRD, VFM_BACKEND_TYPE1V2, token), -EINVAL);
	REQUIRE(lab_says(env, "wants no VF token"));
	return 0;
}

const struct lab_test sriov_tests[] = {
	{ "sriov", "a VF in type1v2 wants the token of its PF", guarded_group },
	{ "sriov", "a VF in compat-type1v2 wants the token of its PF", guarded_compat },
	{ "sriov", "a PF sets the token by being opened with it, and needs it while VFs are in use", opening_sets_it },
	{ "sriov", "a VF has no token to set", no_token_to_set },
	{ "sriov", "a PF brings up a VF, and both end Identify with MSI-X", both_work },
	{ "sriov", "a device without SR-IOV takes none", not_asked_for },
	{ "sriov-early", "a VF in iommufd goes without token, and can be given none", unguarded_cdev },
	{ "sriov-late", "a VF in iommufd wants the token of its PF", guarded_cdev },
	{ NULL, NULL, NULL },
};
