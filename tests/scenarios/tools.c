// SPDX-License-Identifier: MIT
/* Opening, memory, eventfds and byte channels for scenarios; all closed again by env_close_all(). */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "scenario.h"

#define PCI_COMMAND 4
#define PCI_COMMAND_MEMORY 2u

int env_open(struct env *env, enum which which, struct vfm_device **ret)
{
	struct vfm_iommu *iommu;

	REQUIRE(env->opened < ENV_DEVICES);
	OK(vfm_iommu_open(env->ctx, NULL, &iommu, &env->err));
	env->iommus[env->opened] = iommu;
	env->devs[env->opened] = NULL;
	env->opened++;
	OK(vfm_device_open_attached(env->ctx, env->names[which], iommu, ret, &env->err));
	env->devs[env->opened - 1] = *ret;
	return 0;
}

int env_space(struct env *env, uint32_t backend, struct vfm_iommu **ret)
{
	VFM_OPTS(vfm_iommu_options, options);

	options.backend = backend;
	REQUIRE(env->opened < ENV_DEVICES);
	OK(vfm_iommu_open(env->ctx, &options, ret, &env->err));
	env->iommus[env->opened] = *ret;
	env->devs[env->opened++] = NULL;
	REQUIRE(vfm_iommu_backend(*ret) == backend);
	return 0;
}

int env_add(struct env *env, struct vfm_iommu *iommu, enum which which, struct vfm_device **ret)
{
	REQUIRE(env->opened < ENV_DEVICES);
	OK(vfm_device_open_attached(env->ctx, env->names[which], iommu, ret, &env->err));
	/* closed in the order of the slots: the space goes into the last one */
	for (size_t i = 0; i < env->opened; i++) {
		if (env->iommus[i] == iommu)
			env->iommus[i] = NULL;
	}
	env->devs[env->opened] = *ret;
	env->iommus[env->opened++] = iommu;
	OK(vfm_device_bus_master(*ret, true, &env->err));
	return 0;
}

int env_decode_memory(struct env *env, struct vfm_device *dev, bool on)
{
	uint16_t command;

	OK(vfm_device_region_read(dev, VFM_REGION_CONFIG, PCI_COMMAND, &command, sizeof(command), &env->err));
	command = (uint16_t)(on ? command | PCI_COMMAND_MEMORY : command & ~PCI_COMMAND_MEMORY);
	OK(vfm_device_region_write(dev, VFM_REGION_CONFIG, PCI_COMMAND, &command, sizeof(command), &env->err));
	return 0;
}

int env_map(struct env *env, struct vfm_iommu *iommu, void *memory, uint64_t length, uint64_t iova)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	map.vaddr = memory;
	map.length = length;
	map.iova = iova;
	return vfm_iommu_map(iommu, &map, &env->err);
}

void env_forget(struct env *env, struct vfm_device *dev)
{
	for (size_t i = 0; i < env->opened; i++) {
		if (env->devs[i] != dev)
			continue;
		vfm_device_close(dev);
		vfm_iommu_close(env->iommus[i]);
		env->devs[i] = NULL;
		env->iommus[i] = NULL;
	}
}

void env_close_all(struct env *env)
{
	for (size_t i = 0; i < env->opened; i++) {
		vfm_device_close(env->devs[i]);
		vfm_iommu_close(env->iommus[i]);
	}
	for (size_t i = 0; i < env->buffer_count; i++)
		munmap(env->buffers[i], env->buffer_lengths[i]);
	for (size_t i = 0; i < env->eventfd_count; i++)
		close(env->eventfds[i]);
	env->opened = env->buffer_count = env->eventfd_count = 0;
}

/* At a multiple of the machine's page, which may be more than this process's. */
void *env_memory(struct env *env, size_t length)
{
	const size_t page = env->page ? (size_t)env->page : 1;
	char *p;

	if (env->buffer_count == ENV_BUFFERS)
		return NULL;
	length += page - 1;
	p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	env->buffers[env->buffer_count] = p;
	env->buffer_lengths[env->buffer_count++] = length;
	return p + (page - (uintptr_t)p % page) % page;
}

int env_eventfd(struct env *env)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd >= 0 && env->eventfd_count < ENV_BUFFERS)
		env->eventfds[env->eventfd_count++] = fd;
	return fd;
}

void env_sleep_ms(struct env *env, unsigned int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	if (env->sim)
		vfm_sim_advance_ns(env->sim, (uint64_t)ms * 1000000);
	else
		nanosleep(&ts, NULL);
}

int env_state(struct env *env, struct vfm_device *dev, uint32_t want)
{
	uint32_t state = VFM_STATE_UNKNOWN;

	OK(vfm_device_get_state(dev, &state, &env->err));
	if (state != want)
		printf("# state is %s, not %s\n", vfm_state_name(state), vfm_state_name(want));
	return state == want ? 0 : -1;
}

static int64_t memory_read(void *user, void *buf, size_t length)
{
	struct memory *m = user;
	size_t n = m->length - m->position;

	if (n > length)
		n = length;
	if (n)
		memcpy(buf, m->bytes + m->position, n);
	m->position += n;
	return (int64_t)n;
}

static int memory_write(void *user, const void *buf, size_t length)
{
	struct memory *m = user;

	if (m->fail_after && m->length + length > m->fail_after)
		return -EIO;
	if (m->length + length > m->room) {
		size_t room = (m->length + length) * 2;
		uint8_t *bytes = realloc(m->bytes, room);

		if (!bytes)
			return -ENOMEM;
		m->bytes = bytes;
		m->room = room;
	}
	memcpy(m->bytes + m->length, buf, length);
	m->length += length;
	return 0;
}

void memory_init(struct memory *m)
{
	memset(m, 0, sizeof(*m));
	m->io.size = sizeof(m->io);
	m->io.user = m;
	m->io.write = memory_write;
}

/* From now on the bytes are read, from the start. */
void memory_rewind(struct memory *m)
{
	m->position = 0;
	m->io.write = NULL;
	m->io.read = memory_read;
}

void memory_free(struct memory *m)
{
	free(m->bytes);
	m->bytes = NULL;
}
