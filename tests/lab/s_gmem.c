// SPDX-License-Identifier: MIT
/* Memory of guest_memfd: the private kind is nobody's to map, the kind with a user address is mapped by that. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lab.h"

#define AREA (4 * PAGE)
#define AT 0x600000ull
#define KVM_CREATE_VM 0xae01
#define KVM_CHECK_EXTENSION 0xae03
#define KVM_CREATE_GUEST_MEMFD 0xc040aed4ul
#define KVM_DEFAULT_VM 0ul
#define KVM_SW_PROTECTED_VM 1ul
#define KVM_CAP_GUEST_MEMFD_FLAGS 244ul
#define GUEST_MEMFD_MMAP 1
#define GUEST_MEMFD_INIT_SHARED 2

static int make_gmem(struct env *env, unsigned long type, uint64_t flags, int *ret)
{
	uint64_t create[8] = { AREA, flags };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int known = 0, vm;

	REQUIRE(kvm >= 0);
	vm = ioctl(kvm, KVM_CREATE_VM, type);
	close(kvm);
	REQUIRE(vm >= 0);
	known = ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD_FLAGS);
	REQUIRE((known & (int)flags) == (int)flags);
	*ret = ioctl(vm, KVM_CREATE_GUEST_MEMFD, create);
	close(vm);
	REQUIRE(*ret >= 0);
	return 0;
}

static int map_file(struct env *env, struct vfm_iommu *iommu, int fd, void *vaddr)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	map.flags |= VFM_MAP_FILE;
	map.vaddr = vaddr;
	map.fd = fd;
	map.length = AREA;
	map.iova = AT;
	return vfm_iommu_map(iommu, &map, &env->err);
}

/* Private memory of a guest, which nobody else may see: refused, and the address space is as good as before. */
static int private_in(struct env *env, uint32_t backend, int fd)
{
	uint8_t *memory = env_memory(env, PAGE);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	int r;

	REQUIRE(memory);
	if (lab_open(env, backend, FIRST, &dev))
		return -1;
	iommu = vfm_device_iommu(dev);
	r = map_file(env, iommu, fd, NULL);
	/* an iommufd of Linux 6.13 looks at the file, what cannot do that at what mmap() says of it */
	REQUIRE(r == -ENODEV ? lab_says(env, "guest_memfd")
			     : r == -EINVAL && backend == VFM_BACKEND_IOMMUFD &&
				       lab_says(env, "one that the kernel does not pin"));
	REQUIRE_RESULT(vfm_iommu_unmap(iommu, AT, AREA, &env->err), -ENOENT);
	OK(env_map(env, iommu, memory, PAGE, AT));
	return edu_copy(env, dev, memory, AT, memory + 2048, AT + 2048, 1);
}

/* Each way to the same memory, which the test sees by a mapping of its own. */
static int shared_in(struct env *env, uint32_t backend, int fd, uint8_t *memory)
{
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	if (lab_open(env, backend, FIRST, &dev))
		return -1;
	iommu = vfm_device_iommu(dev);
	OK(map_file(env, iommu, fd, NULL));
	if (edu_copy(env, dev, memory, AT, memory + PAGE, AT + PAGE, 1))
		return -1;
	OK(vfm_iommu_unmap(iommu, AT, AREA, &env->err));
	OK(map_file(env, iommu, fd, memory));
	if (edu_copy(env, dev, memory, AT, memory + 2 * PAGE, AT + 2 * PAGE, 2))
		return -1;
	OK(vfm_iommu_unmap(iommu, AT, AREA, &env->err));
	OK(env_map(env, iommu, memory, AREA, AT));
	return edu_copy(env, dev, memory, AT, memory + 3 * PAGE, AT + 3 * PAGE, 3);
}

static int private_memory(struct env *env)
{
	int r = 0;
	int fd;

	if (make_gmem(env, KVM_SW_PROTECTED_VM, 0, &fd))
		return -1;
	for (uint32_t backend = VFM_BACKEND_IOMMUFD; r == 0 && backend <= VFM_BACKEND_COMPAT_TYPE1V2; backend++) {
		r = private_in(env, backend, fd);
		env_close_all(env);
	}
	close(fd);
	return r;
}

static int make_shared(struct env *env, int *ret_fd, uint8_t **ret_memory)
{
	if (make_gmem(env, KVM_DEFAULT_VM, GUEST_MEMFD_MMAP | GUEST_MEMFD_INIT_SHARED, ret_fd))
		return -1;
	*ret_memory = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
	REQUIRE(*ret_memory != MAP_FAILED);
	return 0;
}

static int shared_memory(struct env *env)
{
	uint8_t *memory;
	int r = 0;
	int fd;

	if (make_shared(env, &fd, &memory))
		return -1;
	for (uint32_t backend = VFM_BACKEND_IOMMUFD; r == 0 && backend <= VFM_BACKEND_COMPAT_TYPE1V2; backend++) {
		r = shared_in(env, backend, fd, memory);
		env_close_all(env);
	}
	munmap(memory, AREA);
	close(fd);
	return r;
}

/* An IOAS looks at what it was told to pin when a device comes; by then the file is closed. */
static int before_the_device(struct env *env)
{
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	uint8_t *memory;
	int fd;

	if (make_shared(env, &fd, &memory) || env_space(env, VFM_BACKEND_IOMMUFD, &iommu))
		return -1;
	OK(map_file(env, iommu, fd, NULL));
	close(fd);
	if (env_add(env, iommu, FIRST, &dev) || edu_copy(env, dev, memory, AT, memory + PAGE, AT + PAGE, 4))
		return -1;
	/* pinned by its address, so it is not a file's map to the kernel */
	REQUIRE_RESULT(vfm_iommu_change_process(iommu, &env->err), -EINVAL);
	REQUIRE(lab_says(env, "not of a file"));
	munmap(memory, AREA);
	return edu_dma(env, dev, AT, 64, false, false);
}

const struct lab_test gmem_tests[] = {
	{ "gmem", "private memory of a guest is refused in all five modes", private_memory },
	{ "gmem-late", "shared memory of a guest in all five modes", shared_memory },
	{ "gmem-late", "shared memory of a guest before the first device", before_the_device },
	{ NULL, NULL, NULL },
};
