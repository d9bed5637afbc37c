// SPDX-License-Identifier: MIT
/* Peer to peer: a BAR of one device is mapped for another one, which reads and writes it by DMA. */
#include <sys/resource.h>
#include <unistd.h>

#include "lab.h"

#define MEMORY_AT 0x100000ull
#define BAR_AT 0x800000000ull
#define SHM_BAR 2
#define GIB (1ull << 30)
#define EDU_ID 0x010000edu
#define EDU_LIVE 4
#define EDU_BAR_BYTES (1ull << 20)

static int map_bar(struct env *env, struct vfm_device *of, uint32_t index, uint64_t length)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	map.iova = BAR_AT;
	map.length = length;
	return vfm_iommu_map_region(vfm_device_iommu(of), of, index, 0, &map, &env->err);
}

/* Two devices and a page of memory in one address space; ivshmem takes part as @peer, or an edu. */
static int prepare(struct env *env, uint32_t backend, enum which peer, struct vfm_device **ret_edu,
		   struct vfm_device **ret_peer, uint8_t **ret_memory)
{
	uint8_t *memory = env_memory(env, PAGE);
	struct vfm_iommu *iommu;

	REQUIRE(memory);
	if (env_space(env, backend, &iommu) || env_add(env, iommu, FIRST, ret_edu) ||
	    env_add(env, iommu, peer, ret_peer))
		return -1;
	OK(env_map(env, iommu, memory, PAGE, MEMORY_AT));
	*ret_memory = memory;
	return 0;
}

/* Memory, edu, BAR of ivshmem, which is memory of the host, and back. */
static int to_shm_and_back(struct env *env, struct vfm_device *edu, uint8_t *memory, const char *bar, uint64_t offset)
{
	snprintf((char *)memory, 64, "by way of the other at %llx", (unsigned long long)offset);
	if (edu_dma(env, edu, MEMORY_AT, 64, true, false) || edu_dma(env, edu, BAR_AT + offset, 64, false, false))
		return -1;
	REQUIRE(!strcmp(bar + offset, (char *)memory));
	if (edu_dma(env, edu, BAR_AT + offset, 64, true, false) || edu_dma(env, edu, MEMORY_AT + 128, 64, false, false))
		return -1;
	REQUIRE(!strcmp((char *)memory, (char *)memory + 128));
	return 0;
}

static int shm(struct env *env, uint32_t backend)
{
	struct vfm_device *edu, *shm;
	uint8_t *memory;
	void *bar;
	int r;

	if (prepare(env, backend, THIRD, &edu, &shm, &memory))
		return -1;
	OK(map_bar(env, shm, SHM_BAR, GIB));
	OK(vfm_device_region_map(shm, SHM_BAR, 0, GIB, &bar, &env->err));
	r = to_shm_and_back(env, edu, memory, bar, 0) || to_shm_and_back(env, edu, memory, bar, GIB - PAGE);
	vfm_device_region_unmap(shm, bar, GIB);
	OK(vfm_iommu_unmap(vfm_device_iommu(edu), BAR_AT, GIB, &env->err));
	return r;
}

static int shm_type1(struct env *env)
{
	return shm(env, VFM_BACKEND_TYPE1);
}

static int shm_type1v2(struct env *env)
{
	return shm(env, VFM_BACKEND_TYPE1V2);
}

static int shm_native(struct env *env)
{
	return shm(env, VFM_BACKEND_IOMMUFD);
}

/* Registers of one edu read and written by the other: its id, and what it makes of a value, its complement. */
static int edu_to_edu(struct env *env, uint32_t backend)
{
	struct vfm_device *edu, *peer;
	uint32_t value = 0x12345678;
	uint8_t *memory;

	if (prepare(env, backend, SECOND, &edu, &peer, &memory))
		return -1;
	OK(map_bar(env, peer, VFM_REGION_BAR0, EDU_BAR_BYTES));
	if (edu_dma(env, edu, BAR_AT, 4, true, false) || edu_dma(env, edu, MEMORY_AT, 4, false, false))
		return -1;
	REQUIRE(*(volatile uint32_t *)memory == EDU_ID);
	memcpy(memory, &value, sizeof(value));
	if (edu_dma(env, edu, MEMORY_AT, 4, true, false) || edu_dma(env, edu, BAR_AT + EDU_LIVE, 4, false, false) ||
	    edu_reg_read(env, peer, EDU_LIVE, &value))
		return -1;
	REQUIRE(value == ~0x12345678u);
	OK(vfm_iommu_unmap(vfm_device_iommu(edu), BAR_AT, EDU_BAR_BYTES, &env->err));
	return 0;
}

static int edu_type1v2(struct env *env)
{
	return edu_to_edu(env, VFM_BACKEND_TYPE1V2);
}

static int edu_native(struct env *env)
{
	return edu_to_edu(env, VFM_BACKEND_IOMMUFD);
}

/* By its address while it does not answer. @bar: that it was there before does not help. */
static int does_not_answer(struct env *env, struct vfm_device *shm, void *bar)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	map.vaddr = bar;
	map.length = PAGE;
	map.iova = BAR_AT;
	REQUIRE_RESULT(map_bar(env, shm, SHM_BAR, PAGE), -ENODEV);
	REQUIRE(lab_says(env, "memory decode") && lab_says(env, "sleeps"));
	REQUIRE_RESULT(vfm_iommu_map(vfm_device_iommu(shm), &map, &env->err), -EFAULT);
	return 0;
}

static int silent_then_not(struct env *env, struct vfm_device *edu, struct vfm_device *shm, uint8_t *memory,
			   volatile char *bar)
{
	*bar = 0; /* the page is there, and goes */
	if (env_decode_memory(env, shm, false) || does_not_answer(env, shm, (void *)bar) ||
	    env_decode_memory(env, shm, true))
		return -1;
	*bar = 0;
	OK(vfm_device_power(shm, VFM_POWER_LOW, -1, &env->err));
	if (does_not_answer(env, shm, (void *)bar))
		return -1;
	OK(vfm_device_power(shm, VFM_POWER_ON, -1, &env->err));
	OK(map_bar(env, shm, SHM_BAR, PAGE));
	if (to_shm_and_back(env, edu, memory, (char *)bar, 0))
		return -1;
	OK(vfm_iommu_unmap(vfm_device_iommu(edu), BAR_AT, PAGE, &env->err));
	return 0;
}

static int silent(struct env *env, uint32_t backend)
{
	struct vfm_device *edu, *shm;
	uint8_t *memory;
	void *bar;
	int r;

	if (prepare(env, backend, THIRD, &edu, &shm, &memory) || env_decode_memory(env, shm, false))
		return -1;
	REQUIRE_RESULT(map_bar(env, shm, SHM_BAR, PAGE), -ENODEV); /* never touched yet */
	if (env_decode_memory(env, shm, true))
		return -1;
	OK(vfm_device_region_map(shm, SHM_BAR, 0, PAGE, &bar, &env->err));
	r = silent_then_not(env, edu, shm, memory, bar);
	vfm_device_region_unmap(shm, bar, PAGE);
	return r;
}

static int silent_type1(struct env *env)
{
	return silent(env, VFM_BACKEND_TYPE1);
}

static int silent_type1v2(struct env *env)
{
	return silent(env, VFM_BACKEND_TYPE1V2);
}

/* iommufd pins no memory of a device by address; its dma-buf is another matter. */
static int refused(struct env *env, uint32_t backend)
{
	struct vfm_device *edu, *shm;
	uint8_t *memory;

	if (prepare(env, backend, THIRD, &edu, &shm, &memory))
		return -1;
	REQUIRE_RESULT(map_bar(env, shm, SHM_BAR, GIB), -EOPNOTSUPP);
	REQUIRE(lab_says(env, "dma-buf"));
	/* nothing of it is in the books, and the address space is as good as before */
	REQUIRE_RESULT(vfm_iommu_unmap(vfm_device_iommu(edu), BAR_AT, GIB, &env->err), -ENOENT);
	return edu_copy(env, edu, memory, MEMORY_AT, memory + 2048, MEMORY_AT + 2048, 1);
}

static int refused_native(struct env *env)
{
	return refused(env, VFM_BACKEND_IOMMUFD);
}

static int refused_compat(struct env *env)
{
	return refused(env, VFM_BACKEND_COMPAT_TYPE1V2);
}

/* dma-bufs, which an iommufd takes since Linux 6.19 */

/* An edu and ivshmem, each in an address space of its own; a page of memory, the BAR as it is seen here, a buffer. */
struct apart {
	struct vfm_device *edu;
	struct vfm_device *shm;
	uint8_t *memory;
	char *bar;
	int fd;
};

static int prepare_apart(struct env *env, struct apart *a)
{
	void *bar;

	a->memory = env_memory(env, PAGE);
	REQUIRE(a->memory);
	if (lab_open(env, VFM_BACKEND_IOMMUFD, FIRST, &a->edu) || lab_open(env, VFM_BACKEND_IOMMUFD, THIRD, &a->shm))
		return -1;
	OK(env_map(env, vfm_device_iommu(a->edu), a->memory, PAGE, MEMORY_AT));
	OK(vfm_device_region_map(a->shm, SHM_BAR, 0, GIB, &bar, &env->err));
	a->bar = bar;
	return 0;
}

/* A mapping that is left would keep the device open. */
static int run_apart(struct env *env, int (*run)(struct env *env, struct apart *a))
{
	struct apart a = { .fd = -1 };
	int r = prepare_apart(env, &a) || run(env, &a);

	if (a.bar)
		vfm_device_region_unmap(a.shm, a.bar, GIB);
	if (a.fd >= 0)
		close(a.fd);
	return r;
}

static int map_buffer(struct env *env, struct apart *a, uint64_t offset, uint64_t length)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	map.flags |= VFM_MAP_FILE;
	map.fd = a->fd;
	map.fd_offset = offset;
	map.length = length;
	map.iova = BAR_AT;
	return vfm_iommu_map(vfm_device_iommu(a->edu), &map, &env->err);
}

static int unmap_buffer(struct env *env, struct apart *a, uint64_t length)
{
	return vfm_iommu_unmap(vfm_device_iommu(a->edu), BAR_AT, length, &env->err);
}

static int areas_are(struct env *env, struct apart *a, uint32_t count)
{
	struct vfm_iommu_info info = { .size = sizeof(info) };

	OK(vfm_iommu_info(vfm_device_iommu(a->edu), &info, &env->err));
	REQUIRE(info.areas == count);
	return 0;
}

/* By DMA to where the BAR is mapped: the edu has it from memory, and takes it there. */
static int send_text(struct env *env, struct apart *a, const char *text)
{
	snprintf((char *)a->memory, 64, "%s", text);
	return edu_dma(env, a->edu, MEMORY_AT, 64, true, false) || edu_dma(env, a->edu, BAR_AT, 64, false, false);
}

static int export_areas(struct env *env, struct apart *a, const struct vfm_area *areas, size_t count)
{
	off_t size = 0;

	OK(vfm_device_region_export(a->shm, SHM_BAR, areas, count, &a->fd, &env->err));
	for (size_t i = 0; i < count; i++)
		size += (off_t)areas[i].length;
	REQUIRE(lseek(a->fd, 0, SEEK_END) == size);
	return 0;
}

static int one_area(struct env *env, struct apart *a)
{
	const struct vfm_area area = { 4 * PAGE, 8 * PAGE };

	if (export_areas(env, a, &area, 1))
		return -1;
	REQUIRE_RESULT(map_buffer(env, a, 5 * PAGE, 4 * PAGE), -EINVAL); /* past the end of the buffer */
	OK(map_buffer(env, a, PAGE, 4 * PAGE));
	close(a->fd); /* the map keeps it */
	a->fd = -1;
	if (to_shm_and_back(env, a->edu, a->memory, a->bar + 5 * PAGE, 0) ||
	    to_shm_and_back(env, a->edu, a->memory, a->bar + 5 * PAGE, 3 * PAGE))
		return -1;
	return unmap_buffer(env, a, 4 * PAGE);
}

/* One buffer of several areas is made, and iommufd takes none that is not of a piece. */
static int several_areas(struct env *env, struct apart *a)
{
	const struct vfm_area areas[] = { { 0, PAGE }, { 16 * PAGE, 2 * PAGE } };

	if (export_areas(env, a, areas, 2))
		return -1;
	REQUIRE_RESULT(map_buffer(env, a, 0, PAGE), -EOPNOTSUPP);
	REQUIRE(lab_says(env, "of one area"));
	return areas_are(env, a, 1);
}

static int by_decode(struct env *env, struct apart *a)
{
	if (env_decode_memory(env, a->shm, false) || send_text(env, a, "nobody is there") || areas_are(env, a, 2))
		return -1;
	return env_decode_memory(env, a->shm, true);
}

static int by_reset(struct env *env, struct apart *a)
{
	OK(vfm_device_reset(a->shm, &env->err));
	return areas_are(env, a, 2);
}

/* What is taken away stays away, in the books it stays, and is unmapped as any other area. */
static int revoked(struct env *env, struct apart *a, int (*revoke)(struct env *env, struct apart *a))
{
	const struct vfm_area area = { 0, 4 * PAGE };
	struct vfm_device *joins;

	if (export_areas(env, a, &area, 1))
		return -1;
	OK(map_buffer(env, a, 0, 4 * PAGE));
	if (send_text(env, a, "before") || strcmp(a->bar, "before") || revoke(env, a) || send_text(env, a, "after"))
		return -1;
	REQUIRE(!strcmp(a->bar, "before"));
	if (env_add(env, vfm_device_iommu(a->edu), SECOND, &joins))
		return -1;
	REQUIRE_RESULT(map_buffer(env, a, 0, 4 * PAGE), -EEXIST);
	OK(unmap_buffer(env, a, 4 * PAGE));
	/* the buffer is as good as before: mapped again it leads there again */
	OK(map_buffer(env, a, 0, 4 * PAGE));
	if (send_text(env, a, "again"))
		return -1;
	REQUIRE(!strcmp(a->bar, "again"));
	return unmap_buffer(env, a, 4 * PAGE);
}

static int decode_goes_off(struct env *env, struct apart *a)
{
	return revoked(env, a, by_decode);
}

static int reset_comes(struct env *env, struct apart *a)
{
	return revoked(env, a, by_reset);
}

/* With memory decode off there is a buffer, which cannot be mapped until it is on. */
static int decode_is_off(struct env *env, struct apart *a)
{
	const struct vfm_area area = { 0, PAGE };
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE, .length = PAGE };

	if (env_decode_memory(env, a->shm, false) || export_areas(env, a, &area, 1))
		return -1;
	REQUIRE_RESULT(map_buffer(env, a, 0, PAGE), -ENODEV);
	REQUIRE(lab_says(env, "memory decode"));
	REQUIRE_RESULT(vfm_iommu_map_region(vfm_device_iommu(a->edu), a->shm, SHM_BAR, 0, &map, &env->err), -ENODEV);
	REQUIRE(lab_says(env, "memory decode"));
	if (areas_are(env, a, 1) || env_decode_memory(env, a->shm, true))
		return -1;
	OK(map_buffer(env, a, 0, PAGE));
	if (send_text(env, a, "decoded"))
		return -1;
	REQUIRE(!strcmp(a->bar, "decoded"));
	return unmap_buffer(env, a, PAGE);
}

/* The last close of the device takes the BAR away from the others as well, for good. */
static int device_closes(struct env *env, struct apart *a)
{
	const struct vfm_area area = { 0, PAGE };

	if (export_areas(env, a, &area, 1))
		return -1;
	OK(map_buffer(env, a, 0, PAGE));
	vfm_device_region_unmap(a->shm, a->bar, GIB);
	a->bar = NULL;
	env_forget(env, a->shm);
	OK(unmap_buffer(env, a, PAGE));
	REQUIRE_RESULT(map_buffer(env, a, 0, PAGE), -ENODEV);
	return areas_are(env, a, 1);
}

static int exported(struct env *env)
{
	return run_apart(env, one_area);
}

static int exported_several(struct env *env)
{
	return run_apart(env, several_areas);
}

static int revoked_by_decode(struct env *env)
{
	return run_apart(env, decode_goes_off);
}

static int revoked_by_reset(struct env *env)
{
	return run_apart(env, reset_comes);
}

static int refused_without_decode(struct env *env)
{
	return run_apart(env, decode_is_off);
}

static int revoked_by_close(struct env *env)
{
	return run_apart(env, device_closes);
}

/* A BAR of 1 GiB: at a multiple of its size, and in so few page faults that the kernel must use huge pages. */
static int huge_mapping(struct env *env)
{
	struct vfm_region region = { .size = sizeof(region) };
	struct vfm_device *shm;
	struct rusage before, after;
	volatile uint8_t *bytes;
	void *bar;

	if (lab_open(env, VFM_BACKEND_IOMMUFD, FIRST, &shm))
		return -1;
	OK(vfm_device_region(shm, SHM_BAR, &region, &env->err));
	REQUIRE(region.length == GIB && (region.flags & VFM_REGION_MMAP));
	OK(vfm_device_region_map(shm, SHM_BAR, 0, GIB, &bar, &env->err));
	bytes = bar;
	getrusage(RUSAGE_SELF, &before);
	for (uint64_t at = 0; at < GIB; at += GIB / 1024)
		bytes[at] = (uint8_t)(at / (GIB / 1024));
	getrusage(RUSAGE_SELF, &after);
	printf("# 1024 places touched by %ld page faults, at %p\n", after.ru_minflt - before.ru_minflt, bar);
	REQUIRE((uintptr_t)bar % GIB == 0);
	REQUIRE(bytes[GIB / 2] == 0 && bytes[GIB - GIB / 1024] == 0xff);
	REQUIRE(after.ru_minflt - before.ru_minflt <= 512 + 8);
	vfm_device_region_unmap(shm, bar, GIB);
	/* a part of it lies as its offset does */
	OK(vfm_device_region_map(shm, SHM_BAR, 3ull << 20, 64ull << 20, &bar, &env->err));
	REQUIRE(((uintptr_t)bar - (3ull << 20)) % (2ull << 20) == 0);
	vfm_device_region_unmap(shm, bar, 64ull << 20);
	return 0;
}

const struct lab_test peer_tests[] = {
	{ "peer", "edu writes and reads ivshmem, in type1", shm_type1 },
	{ "peer", "edu writes and reads ivshmem, in type1v2", shm_type1v2 },
	{ "peer", "edu reads and writes registers of edu, in type1v2", edu_type1v2 },
	{ "peer", "no BAR of a device that does not answer, in type1", silent_type1 },
	{ "peer", "no BAR of a device that does not answer, in type1v2", silent_type1v2 },
	{ "peer", "no BAR in compat-type1v2", refused_compat },
	{ "peer-early", "no BAR in iommufd before its dma-bufs", refused_native },
	{ "peer-late", "edu writes and reads ivshmem, in iommufd", shm_native },
	{ "peer-late", "edu reads and writes registers of edu, in iommufd", edu_native },
	{ "peer-late", "a dma-buf of one area, mapped into another address space", exported },
	{ "peer-late", "a dma-buf of several areas, which iommufd does not take", exported_several },
	{ "peer-late", "memory decode off takes a mapped BAR away for good", revoked_by_decode },
	{ "peer-late", "reset takes a mapped BAR away for good", revoked_by_reset },
	{ "peer-late", "no BAR is mapped while memory decode is off", refused_without_decode },
	{ "peer-late", "closing the device takes a mapped BAR away", revoked_by_close },
	{ "bar", "1 GiB is mapped at a multiple of it, by huge pages", huge_mapping },
	{ NULL, NULL, NULL },
};
