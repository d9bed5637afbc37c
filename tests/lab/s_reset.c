// SPDX-License-Identifier: MIT
/* Hot reset: what it reaches, who owns that, and what is left of the devices. */
#include <inttypes.h>

#include "lab.h"

#define PEERS 16
#define SEED 11

struct peers {
	struct vfm_hot_reset_peer peer[PEERS];
	size_t count;
};

static int ask(struct env *env, struct vfm_device *dev, struct peers *p)
{
	for (size_t i = 0; i < PEERS; i++)
		p->peer[i].size = sizeof(p->peer[i]);
	OK(vfm_device_hot_reset_info(dev, p->peer, PEERS, &p->count, &env->err));
	for (size_t i = 0; i < p->count; i++)
		printf("# reaches %04x:%02x:%02x.%u, id %" PRIu32 ", flags %" PRIu32 "\n", p->peer[i].segment,
		       p->peer[i].bus, p->peer[i].devfn >> 3, p->peer[i].devfn & 7u, p->peer[i].id, p->peer[i].flags);
	return 0;
}

static const struct vfm_hot_reset_peer *find(const struct peers *p, const char *name)
{
	char text[32];

	for (size_t i = 0; i < p->count; i++) {
		snprintf(text, sizeof(text), "%04x:%02x:%02x.%u", p->peer[i].segment, p->peer[i].bus,
			 p->peer[i].devfn >> 3, p->peer[i].devfn & 7u);
		if (!strcmp(text, name))
			return &p->peer[i];
	}
	return NULL;
}

/* Two functions of one bus and one group: both are told of, and owned by whoever has one of them. */
static int told(struct env *env, uint32_t backend)
{
	const uint32_t by_group = backend == VFM_BACKEND_IOMMUFD ? 0 : VFM_HOT_RESET_BY_GROUP;
	const struct vfm_hot_reset_peer *a, *b;
	struct vfm_device *dev;
	struct peers p;
	size_t count = 0;

	if (lab_open(env, backend, FIRST, &dev) || ask(env, dev, &p))
		return -1;
	REQUIRE_RESULT(vfm_device_hot_reset_info(dev, p.peer, 1, &count, &env->err), -EMSGSIZE);
	REQUIRE(count == p.count && count == 2);
	a = find(&p, env->names[FIRST]);
	b = find(&p, env->names[SECOND]);
	REQUIRE(a && b);
	REQUIRE(a->flags == (VFM_HOT_RESET_OWNED | by_group) && b->flags == (VFM_HOT_RESET_OWNED | by_group));
	/* the id of a device that is bound, none for the other one; or the group, which is the same */
	REQUIRE(by_group ? a->id == b->id : a->id == vfm_device_id(dev) && b->id == 0);
	return 0;
}

static int told_native(struct env *env)
{
	return told(env, VFM_BACKEND_IOMMUFD);
}

static int told_container(struct env *env)
{
	return told(env, VFM_BACKEND_TYPE1V2);
}

static int told_compat(struct env *env)
{
	return told(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

static int open_both(struct env *env, uint32_t backend, struct vfm_device **ret_a, struct vfm_device **ret_b)
{
	struct vfm_iommu *iommu;

	return env_space(env, backend, &iommu) || env_add(env, iommu, FIRST, ret_a) ||
	       env_add(env, iommu, SECOND, ret_b);
}

static int is_blank(struct env *env, struct vfm_device *dev)
{
	uint8_t byte = 0xff;
	uint32_t contents, control;

	if (edu_regions(env, dev, &contents, &control))
		return -1;
	OK(vfm_device_region_read(dev, contents, 5, &byte, 1, &env->err));
	REQUIRE(byte == 0);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

/* Both of vfiomig_edu: one call, both blank and running, and both go on. */
static int both_blank(struct env *env, uint32_t backend)
{
	uint8_t *memory = env_memory(env, 2 * PAGE);
	struct vfm_device *a, *b;

	REQUIRE(memory);
	if (open_both(env, backend, &a, &b))
		return -1;
	OK(env_map(env, vfm_device_iommu(a), memory, 2 * PAGE, 0x10000));
	if (edu_fill(env, a, 0, 8192, SEED) || edu_fill(env, b, 0, 8192, SEED))
		return -1;
	OK(vfm_device_hot_reset(a, &b, 1, &env->err));
	if (is_blank(env, a) || is_blank(env, b))
		return -1;
	OK(vfm_device_bus_master(a, true, &env->err));
	OK(vfm_device_bus_master(b, true, &env->err));
	return edu_copy(env, a, memory, 0x10000, memory + PAGE, 0x11000, 1) ||
	       edu_copy(env, b, memory + PAGE, 0x11000, memory, 0x10000, 2);
}

static int both_blank_native(struct env *env)
{
	return both_blank(env, VFM_BACKEND_IOMMUFD);
}

static int both_blank_container(struct env *env)
{
	return both_blank(env, VFM_BACKEND_TYPE1V2);
}

static int both_blank_compat(struct env *env)
{
	return both_blank(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

/* An NVMe beside it: enabled before, disabled after. */
static int nvme_goes_down(struct env *env)
{
	struct nvme n = { .env = env };
	struct vfm_device *edu, *nvme;
	bool enabled = false;
	int r;

	if (open_both(env, VFM_BACKEND_IOMMUFD, &edu, &nvme))
		return -1;
	r = nvme_start(env, nvme, -1, &n) || nvme_is_enabled(env, nvme, &enabled);
	nvme_end(&n);
	REQUIRE(r == 0 && enabled);
	OK(vfm_device_hot_reset(edu, &nvme, 1, &env->err));
	if (nvme_is_enabled(env, nvme, &enabled))
		return -1;
	REQUIRE(!enabled);
	return 0;
}

/* A virtual function is on the bus of its physical one and in a group of its own, which somebody else has, or nobody.
 */
static int not_ours(struct env *env, uint32_t backend)
{
	const struct vfm_hot_reset_peer *vf;
	struct vfm_device *pf;
	struct peers p;

	if (lab_open(env, backend, FIRST, &pf) || ask(env, pf, &p))
		return -1;
	vf = find(&p, env->names[SECOND]);
	REQUIRE(vf && !(vf->flags & VFM_HOT_RESET_OWNED));
	REQUIRE_RESULT(vfm_device_hot_reset(pf, NULL, 0, &env->err), -EPERM);
	REQUIRE(lab_says(env, env->names[SECOND]));
	return 0;
}

static int not_ours_native(struct env *env)
{
	return not_ours(env, VFM_BACKEND_IOMMUFD);
}

static int not_ours_container(struct env *env)
{
	return not_ours(env, VFM_BACKEND_TYPE1V2);
}

static int not_ours_compat(struct env *env)
{
	return not_ours(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

const struct lab_test reset_tests[] = {
	{ "reset", "what it reaches, of iommufd", told_native },
	{ "reset", "what it reaches, of type1v2", told_container },
	{ "reset", "what it reaches, of compat-type1v2", told_compat },
	{ "reset", "both functions are blank after it, in iommufd", both_blank_native },
	{ "reset", "both functions are blank after it, in type1v2", both_blank_container },
	{ "reset", "both functions are blank after it, in compat-type1v2", both_blank_compat },
	{ "reset-nvme", "the neighbour is disabled by it", nvme_goes_down },
	{ "reset-vf", "a VF nobody has is named, in iommufd", not_ours_native },
	{ "reset-vf", "a VF nobody has is named, in type1v2", not_ours_container },
	{ "reset-vf", "a VF nobody has is named, in compat-type1v2", not_ours_compat },
	{ NULL, NULL, NULL },
};
