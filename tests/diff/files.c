// SPDX-License-Identifier: MIT
/* Files that a sequence opens and closes at will: spaces, groups, devices; and numbers worth trying with them. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xxhash.h>

#include "diff.h"

#define PAGE 4096u
#define PAGES 64u

static _Alignas(2 * 1024 * 1024) uint8_t memory[PAGES * PAGE];

void files_start(struct subject *s)
{
	memset(memory, 1, sizeof(memory)); /* there, not the zero page */
	for (uint32_t i = 0; i < SLOTS; i++)
		s->slots[i] = -1;
	memset(s->ids, 0, sizeof(s->ids));
}

void file_close(struct subject *s, uint32_t slot)
{
	if (s->slots[slot] >= 0)
		s->sys->ops->close(s->sys, s->slots[slot]);
	s->slots[slot] = -1;
}

/* Devices before groups before what both stand on. */
void files_stop(struct subject *s)
{
	for (uint32_t i = SLOTS; i-- > 0;)
		file_close(s, i);
}

int file_ioctl(struct subject *s, uint32_t slot, unsigned long request, void *arg)
{
	return s->slots[slot] < 0 ? -EBADF : s->sys->ops->ioctl(s->sys, s->slots[slot], request, arg);
}

int file_open(struct subject *s, uint32_t slot, const char *path)
{
	int fd;

	if (s->slots[slot] >= 0)
		return -EALREADY;
	fd = s->sys->ops->open(s->sys, path, O_RDWR, 0);
	if (fd < 0)
		return fd;
	s->slots[slot] = fd;
	return 0;
}

int file_open_group(struct subject *s, uint32_t which)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%u", s->found[which % 2].iommu_group);
	return file_open(s, SLOT_GROUP_A + which % 2, path);
}

int file_open_cdev(struct subject *s, uint32_t slot)
{
	return file_open(s, slot, s->found[slot == SLOT_CDEV_B].cdev);
}

int file_bind(struct subject *s, uint32_t slot, int iommufd, uint32_t *ret_id)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	int r = file_ioctl(s, slot, VFIO_DEVICE_BIND_IOMMUFD, &bind);

	*ret_id = bind.out_devid;
	return r;
}

uint64_t file_memory(uint32_t page)
{
	return (uintptr_t)memory + (uint64_t)(page % PAGES) * PAGE;
}

uint64_t some_address(uint32_t draw)
{
	static const uint64_t odd[] = { 0, PAGE, 0x7ffffffff000, UINT64_MAX & ~(uint64_t)(PAGE - 1) };

	if (draw % 16 == 0)
		return odd[draw / 16 % 4];
	return file_memory(draw / 16 % 32) + (draw % 16 == 1 ? 1 : 0);
}

uint64_t some_iova(uint32_t draw)
{
	static const uint64_t odd[] = { 0xfee00000,
					0xfedff000,
					UINT64_C(1) << 39,
					(UINT64_C(1) << 39) - PAGE,
					UINT64_MAX & ~(uint64_t)(PAGE - 1),
					0x800,
					UINT64_C(1) << 32,
					1 };

	if (draw % 8 == 0)
		return odd[draw / 8 % 8];
	return (uint64_t)(draw / 8 % 16) * PAGE;
}

uint64_t some_length(uint32_t draw)
{
	static const uint64_t odd[] = { 0, 1, PAGE - 1, UINT64_MAX };

	if (draw % 16 == 0)
		return odd[draw / 16 % 4];
	return (UINT64_C(1) << draw / 16 % 4) * PAGE;
}

static int memory_file(off_t pages)
{
	int fd = memfd_create("diff", MFD_CLOEXEC);

	return fd >= 0 && ftruncate(fd, pages * (off_t)PAGE) == 0 ? fd : -1;
}

/* The first two can be pinned, the second is soon at its end. */
int some_file(uint32_t draw)
{
	static int files[8] = { 0, 0, 0, 0, 0, 0, 0, -1 };

	if (files[0] == 0) {
		files[0] = files[1] = files[2] = memory_file(24);
		files[3] = memory_file(2);
		files[4] = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
		files[5] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		files[6] = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	return files[draw % 8];
}

uint64_t some_start(uint32_t draw)
{
	static const uint64_t odd[] = { 1, 0x800, UINT64_MAX & ~(uint64_t)(PAGE - 1),
					INT64_MAX & ~(uint64_t)(PAGE - 1) };

	return draw % 16 == 0 ? odd[draw / 16 % 4] : (uint64_t)(draw / 16 % 26) * PAGE;
}

uint64_t hash_of(const void *bytes, size_t length)
{
	return XXH3_64bits(bytes, length);
}
