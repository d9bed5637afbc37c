// SPDX-License-Identifier: MIT
/* PASIDs of a device of vfiomig_soft: what they reach, and what is left when they or their object have gone. */
#include <sys/ioctl.h>

#include "../kmod/vfiomig_soft.h"
#include "lab.h"

#define IOMMUFD_DESTROY _IO(';', 0x80)
#define AT 0x200000ull
#define PLAIN 0u
#define OWN 7u
#define BITS 8u

/* A device on its address space, and one more of the same iommufd; memory of each is mapped at the same IOVA. */
struct pair {
	struct env *env;
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	struct vfm_iommu *other;
	uint64_t *memory;
	uint64_t *other_memory;
};

static int destroy_ioas(struct vfm_iommu *iommu, uint32_t id)
{
	uint32_t destroy[2] = { sizeof(destroy), id };

	return ioctl(vfm_iommu_fd(iommu), IOMMUFD_DESTROY, destroy) ? -errno : 0;
}

static int open_device(struct pair *p)
{
	struct env *env = p->env;

	OK(vfm_device_open_attached(env->ctx, env->names[FIRST], p->iommu, &p->dev, &env->err));
	return 0;
}

static void close_device(struct pair *p)
{
	vfm_device_close(p->dev);
	p->dev = NULL;
}

static int begin(struct pair *p)
{
	struct env *env = p->env;

	p->memory = env_memory(env, PAGE);
	p->other_memory = env_memory(env, PAGE);
	REQUIRE(p->memory && p->other_memory);
	if (env_space(env, VFM_BACKEND_IOMMUFD, &p->iommu) || open_device(p))
		return -1;
	OK(vfm_iommu_open_beside(p->iommu, 0, &p->other, &env->err));
	OK(env_map(env, p->iommu, p->memory, PAGE, AT));
	OK(env_map(env, p->other, p->other_memory, PAGE, AT));
	return 0;
}

/* No page table is left on the other address space, else it could not have gone. */
static int end(struct pair *p)
{
	struct env *env = p->env;
	const uint32_t ioas = vfm_iommu_ioas_id(p->other);

	close_device(p);
	OK(vfm_iommu_unmap(p->other, AT, PAGE, &env->err));
	vfm_iommu_close(p->other);
	p->other = NULL;
	REQUIRE(destroy_ioas(p->iommu, ioas) == -ENOENT);
	return 0;
}

static int run(struct env *env, int (*test)(struct pair *p))
{
	struct pair p = { .env = env };
	int r = begin(&p) || test(&p) || end(&p);

	close_device(&p);
	vfm_iommu_close(p.other);
	return r ? -1 : 0;
}

/* One DMA of a word; @want: 0 or EFAULT. */
static int write_word(struct pair *p, struct vfm_device *dev, uint64_t pasid, uint64_t value, int want)
{
	struct env *env = p->env;
	uint64_t result;

	if (soft_set(env, dev, VFIOMIG_SOFT_DMA_PASID, pasid) || soft_set(env, dev, VFIOMIG_SOFT_DMA_IOVA, AT) ||
	    soft_set(env, dev, VFIOMIG_SOFT_DMA_LENGTH, 8) || soft_set(env, dev, VFIOMIG_SOFT_DMA_VALUE, value - AT) ||
	    soft_set(env, dev, VFIOMIG_SOFT_DMA_COMMAND, VFIOMIG_SOFT_DMA_WRITE) ||
	    soft_get(env, dev, VFIOMIG_SOFT_DMA_RESULT, &result) || soft_set(env, dev, VFIOMIG_SOFT_DMA_PASID, PLAIN))
		return -1;
	REQUIRE_RESULT(result, want);
	return 0;
}

/* What was written last in either address space. */
static int words_are(struct pair *p, uint64_t word, uint64_t other)
{
	struct env *env = p->env;

	REQUIRE(*(volatile uint64_t *)p->memory == word);
	REQUIRE(*(volatile uint64_t *)p->other_memory == other);
	return 0;
}

static int try_own(struct pair *p)
{
	struct env *env = p->env;

	if (write_word(p, p->dev, PLAIN, 1, 0) || write_word(p, p->dev, OWN, 2, EFAULT) || words_are(p, 1, 0))
		return -1;
	OK(vfm_device_attach_pasid(p->dev, OWN, p->other, &env->err));
	if (write_word(p, p->dev, OWN, 3, 0) || words_are(p, 1, 3) || write_word(p, p->dev, PLAIN, 4, 0) ||
	    words_are(p, 4, 3) || write_word(p, p->dev, OWN + 1, 5, EFAULT) || words_are(p, 4, 3))
		return -1;
	OK(vfm_device_detach_pasid(p->dev, OWN, &env->err));
	if (write_word(p, p->dev, OWN, 6, EFAULT) || write_word(p, p->dev, PLAIN, 7, 0) || words_are(p, 7, 3))
		return -1;
	REQUIRE_RESULT(vfm_device_detach_pasid(p->dev, OWN, &env->err), -ENOENT);
	return 0;
}

static int try_maps(struct pair *p)
{
	struct env *env = p->env;

	OK(vfm_device_attach_pasid(p->dev, OWN, p->other, &env->err));
	OK(vfm_iommu_unmap(p->other, AT, PAGE, &env->err));
	if (write_word(p, p->dev, OWN, 1, EFAULT) || write_word(p, p->dev, PLAIN, 2, 0))
		return -1;
	OK(env_map(env, p->other, p->other_memory, PAGE, AT));
	return write_word(p, p->dev, OWN, 3, 0) || words_are(p, 2, 3);
}

static int try_limits(struct pair *p)
{
	struct env *env = p->env;

	REQUIRE_RESULT(vfm_device_attach_pasid(p->dev, 1u << BITS, p->other, &env->err), -EOPNOTSUPP);
	OK(vfm_device_attach_pasid(p->dev, (1u << BITS) - 1, p->other, &env->err));
	REQUIRE_RESULT(vfm_device_attach_pasid(p->dev, (1u << BITS) - 1, p->other, &env->err), -EEXIST);
	/* the kernel's word: not beside a PASID */
	REQUIRE_RESULT(vfm_device_attach(p->dev, &env->err), -EINVAL);
	OK(vfm_device_detach_pasid(p->dev, (1u << BITS) - 1, &env->err));
	OK(vfm_device_attach(p->dev, &env->err));
	return 0;
}

/* It is closed with PASIDs, and opened anew has none. */
static int try_close(struct pair *p)
{
	struct env *env = p->env;

	for (uint64_t turn = 1; turn <= 3; turn++) {
		OK(vfm_device_attach_pasid(p->dev, OWN, p->other, &env->err));
		OK(vfm_device_attach_pasid(p->dev, OWN + 1, p->iommu, &env->err));
		if (write_word(p, p->dev, OWN, turn, 0) || write_word(p, p->dev, OWN + 1, turn + 10, 0) ||
		    words_are(p, turn + 10, turn))
			return -1;
		close_device(p);
		if (open_device(p) || write_word(p, p->dev, OWN, 20, EFAULT) ||
		    write_word(p, p->dev, OWN + 1, 20, EFAULT) || words_are(p, turn + 10, turn))
			return -1;
	}
	return 0;
}

static int adopt_twin(struct pair *p, struct vfm_device **ret)
{
	VFM_OPTS(vfm_adopt, adopt);

	adopt.device_fd = vfm_device_fd(p->dev);
	adopt.iommufd = vfm_iommu_fd(p->iommu);
	adopt.ioas_id = vfm_iommu_ioas_id(p->iommu);
	adopt.devid = vfm_device_id(p->dev);
	adopt.pt_id = vfm_device_pt_id(p->dev);
	adopt.backend = VFM_BACKEND_IOMMUFD;
	return vfm_device_adopt(p->env->ctx, &adopt, ret, &p->env->err);
}

/* The lender's other address space, beside the one that the device came with. */
static int adopt_other(struct pair *p, struct vfm_device *twin, struct vfm_iommu **ret)
{
	VFM_OPTS(vfm_iommu_adopt, adopt);

	adopt.backend = VFM_BACKEND_IOMMUFD;
	adopt.ioas_id = vfm_iommu_ioas_id(p->other);
	adopt.beside = vfm_device_iommu(twin);
	return vfm_iommu_adopt(p->env->ctx, &adopt, ret, &p->env->err);
}

static int borrow_once(struct pair *p, uint64_t turn)
{
	struct env *env = p->env;
	struct vfm_iommu *other = NULL;
	struct vfm_device *twin;
	int r;

	OK(adopt_twin(p, &twin));
	r = adopt_other(p, twin, &other);
	if (r == 0)
		r = vfm_device_attach_pasid(twin, OWN, other, &env->err);
	if (r == 0)
		r = write_word(p, twin, OWN, turn, 0);
	vfm_device_close(twin);
	vfm_iommu_close(other);
	OK(r);
	/* the lender's device lives on: without the PASID, on its own address space, and takes any page table */
	if (write_word(p, p->dev, OWN, 20, EFAULT) || write_word(p, p->dev, PLAIN, turn + 10, 0) ||
	    words_are(p, turn + 10, turn))
		return -1;
	OK(vfm_device_attach(p->dev, &env->err));
	return write_word(p, p->dev, PLAIN, turn + 20, 0) || words_are(p, turn + 20, turn);
}

static int try_borrower(struct pair *p)
{
	return borrow_once(p, 1) || borrow_once(p, 2) || borrow_once(p, 3);
}

static int reaches_its_own(struct env *env)
{
	return run(env, try_own);
}

static int follows_maps(struct env *env)
{
	return run(env, try_maps);
}

static int has_limits(struct env *env)
{
	return run(env, try_limits);
}

static int goes_with_the_device(struct env *env)
{
	return run(env, try_close);
}

static int goes_with_the_borrower(struct env *env)
{
	return run(env, try_borrower);
}

static int not_with_dirty_tracking(struct env *env)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	uint32_t before;
	bool same;
	int r;

	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	r = vfm_device_open_attached(env->ctx, env->names[FIRST], iommu, &dev, &env->err);
	if (r < 0) {
		vfm_iommu_close(iommu);
		OK(r);
	}
	before = vfm_device_pt_id(dev);
	r = vfm_device_attach_pasid(dev, OWN, iommu, &env->err);
	same = vfm_device_pt_id(dev) == before;
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
	REQUIRE_RESULT(r, -EOPNOTSUPP);
	REQUIRE(same && lab_says(env, "dirty"));
	return 0;
}

const struct lab_test pasid_tests[] = {
	{ "pasid", "it reaches its own address space, and no other", reaches_its_own },
	{ "pasid", "maps that come and go", follows_maps },
	{ "pasid", "as many as there are bits, each once", has_limits },
	{ "pasid", "none outlives the device's close", goes_with_the_device },
	{ "pasid", "none outlives the borrower, and the lender's device is as it was", goes_with_the_borrower },
	{ "pasid", "not where pages are tracked", not_with_dirty_tracking },
	{ NULL, NULL, NULL },
};
