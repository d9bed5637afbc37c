// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "soft_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define IOC(number)	    ((';' << 8) + (number))
#define SET_IOMMU	    IOC(102)
#define GROUP_SET_CONTAINER IOC(104)
#define GROUP_GET_DEVICE_FD IOC(106)
#define GET_REGION_INFO	    IOC(108)
#define MAP_DMA		    IOC(113)
#define UNMAP_DMA	    IOC(114)
#define DIRTY_PAGES	    IOC(117)
#define DEVICE_FEATURE	    IOC(117)
#define DEVICE_BIND_IOMMUFD IOC(118)
#define DEVICE_ATTACH	    IOC(119)
#define IOAS_ALLOC	    IOC(129)
#define IOAS_MAP	    IOC(133)
#define IOAS_UNMAP	    IOC(134)
#define HWPT_ALLOC	    IOC(137)
#define HWPT_TRACK	    IOC(139)
#define HWPT_GET	    IOC(140)

#define FEATURE_GET (1u << 16)
#define FEATURE_SET (1u << 17)
#define LOG_START   6
#define LOG_STOP    7
#define LOG_REPORT  8

static unsigned char *new_memory(void)
{
	unsigned char *memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bail("memory");
	memset(memory, 0, MEMORY);
	return memory;
}

static struct probe_region region_of(int device, uint32_t index)
{
	struct {
		uint32_t argsz, flags, index, cap_offset;
		uint64_t size, offset;
	} info = { .argsz = sizeof(info), .index = index };

	if (ioctl(device, GET_REGION_INFO, &info))
		bail("no region %u", index);
	return (struct probe_region){ info.size, (off_t)info.offset };
}

static void find_regions(struct soft *s)
{
	s->p.bar = region_of(s->p.fd, VFIOMIG_SOFT_REGISTERS);
	s->p.contents = region_of(s->p.fd, VFIOMIG_SOFT_CONTENTS);
	s->p.config = region_of(s->p.fd, VFIOMIG_SOFT_CONFIG);
	s->journal = region_of(s->p.fd, VFIOMIG_SOFT_JOURNAL);
}

void soft_open(struct soft *s, const char *node)
{
	memset(s, 0, sizeof(*s));
	probe_open(&s->p, node);
	s->group = s->container = -1;
	s->memory = new_memory();
	find_regions(s);
}

/* One that tracks; -errno, or 0 and s->hwpt is it. */
int soft_new_hwpt(struct soft *s)
{
	struct {
		uint32_t size, flags, dev, pt, out, reserved;
	} hwpt = { sizeof(hwpt), 2, s->devid, s->p.ioas, 0, 0 };

	if (ioctl(s->p.iommufd, HWPT_ALLOC, &hwpt))
		return -errno;
	s->hwpt = hwpt.out;
	return 0;
}

int soft_attach(struct soft *s, uint32_t pt)
{
	struct {
		uint32_t argsz, flags, pt;
	} attach = { sizeof(attach), 0, pt };

	return ioctl(s->p.fd, DEVICE_ATTACH, &attach) ? -errno : 0;
}

static void bind_to(struct soft *s, const char *node)
{
	struct {
		uint32_t argsz, flags;
		int32_t iommufd;
		uint32_t devid;
	} bind = { .argsz = sizeof(bind), .iommufd = s->p.iommufd };

	s->p.fd = open(node, O_RDWR | O_CLOEXEC);
	if (ioctl(s->p.fd, DEVICE_BIND_IOMMUFD, &bind))
		bail("bind %s", node);
	s->devid = bind.devid;
}

void soft_open_beside(struct soft *s, const struct soft *other, const char *node)
{
	*s = *other;
	s->read_up_to = 0;
	bind_to(s, node);
	find_regions(s);
}

void soft_open_hwpt(struct soft *s, const char *node)
{
	struct {
		uint32_t size, flags, ioas;
	} ioas = { .size = sizeof(ioas) };

	memset(s, 0, sizeof(*s));
	s->group = s->container = -1;
	s->memory = new_memory();
	s->p.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	bind_to(s, node);
	if (ioctl(s->p.iommufd, IOAS_ALLOC, &ioas))
		bail("no address space");
	s->p.ioas = ioas.ioas;
	if (soft_new_hwpt(s))
		bail("no HWPT that tracks");
	if (soft_attach(s, s->hwpt))
		bail("attach %s", node);
	find_regions(s);
}

void soft_open_type1(struct soft *s, const char *group, const char *name)
{
	memset(s, 0, sizeof(*s));
	s->p.iommufd = -1;
	s->memory = new_memory();
	s->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	s->group = open(group, O_RDWR | O_CLOEXEC);
	if (ioctl(s->group, GROUP_SET_CONTAINER, &s->container) ||
	    ioctl(s->container, SET_IOMMU, 3))
		bail("no container for %s", group);
	s->p.fd = ioctl(s->group, GROUP_GET_DEVICE_FD, name);
	if (s->p.fd < 0)
		bail("no device %s", name);
	find_regions(s);
}

void soft_close(struct soft *s)
{
	close(s->p.fd);
	if (s->p.iommufd >= 0)
		close(s->p.iommufd);
	if (s->group >= 0) {
		close(s->group);
		close(s->container);
	}
	munmap(s->memory, MEMORY);
}

int soft_try_map(struct soft *s, uint64_t iova, unsigned int first_page, unsigned int pages,
		 bool write)
{
	uint64_t from = (uintptr_t)s->memory + (uint64_t)first_page * PAGE;
	uint64_t length = (uint64_t)pages * PAGE;
	struct {
		uint32_t size, flags, ioas, reserved;
		uint64_t from, length, iova;
	} map = { sizeof(map), 1 | 4 | (write ? 2 : 0), s->p.ioas, 0, from, length, iova };
	struct {
		uint32_t argsz, flags;
		uint64_t from, iova, length;
	} map1 = { sizeof(map1), 1 | (write ? 2 : 0), from, iova, length };

	if (s->group >= 0)
		return ioctl(s->container, MAP_DMA, &map1) ? -errno : 0;
	return ioctl(s->p.iommufd, IOAS_MAP, &map) ? -errno : 0;
}

void soft_map(struct soft *s, uint64_t iova, unsigned int first_page, unsigned int pages,
	      bool write)
{
	if (soft_try_map(s, iova, first_page, pages, write))
		bail("map");
}

/* With bits, and the IOVA a multiple of 64 pages of the memory: type1 adds what was dirty. */
int soft_unmap(struct soft *s, uint64_t iova, uint64_t size, struct bits *bits)
{
	uint64_t first = (iova - IOVA) / PAGE / 64, words = size / PAGE / 64;
	struct bits fresh = { { 0 } };
	struct {
		uint32_t size, ioas;
		uint64_t iova, length;
	} unmap = { sizeof(unmap), s->p.ioas, iova, size };
	struct {
		uint32_t argsz, flags;
		uint64_t iova, length, pgsize, bytes, data;
	} unmap1 = { sizeof(unmap1), bits ? 1 : 0,	   iova, size, PAGE,
		     words * 8,	     (uintptr_t)fresh.word };

	if (s->group < 0)
		return ioctl(s->p.iommufd, IOAS_UNMAP, &unmap) ? -errno : 0;
	if (ioctl(s->container, UNMAP_DMA, &unmap1))
		return -errno;
	for (unsigned int i = 0; bits && i < words; i++)
		bits->word[first + i] |= fresh.word[i];
	return 0;
}

uint64_t reg(struct soft *s, uint64_t at)
{
	return probe_get(&s->p, &s->p.bar, at, 8);
}

void set_reg(struct soft *s, uint64_t at, uint64_t value)
{
	probe_set(&s->p, &s->p.bar, at, value, 8);
}

int try_reg(struct soft *s, uint64_t at, uint64_t value)
{
	return probe_write(&s->p, &s->p.bar, at, &value, sizeof(value));
}

static int command(struct soft *s, uint64_t iova, uint64_t length, uint64_t number)
{
	set_reg(s, VFIOMIG_SOFT_DMA_IOVA, iova);
	set_reg(s, VFIOMIG_SOFT_DMA_LENGTH, length);
	set_reg(s, VFIOMIG_SOFT_DMA_COMMAND, number);
	return (int)reg(s, VFIOMIG_SOFT_DMA_RESULT);
}

int dma_write(struct soft *s, uint64_t iova, uint64_t length, uint64_t value)
{
	set_reg(s, VFIOMIG_SOFT_DMA_VALUE, value);
	return command(s, iova, length, VFIOMIG_SOFT_DMA_WRITE);
}

int dma_read(struct soft *s, uint64_t iova, uint64_t length)
{
	return command(s, iova, length, VFIOMIG_SOFT_DMA_READ);
}

bool holds(const unsigned char *memory, uint64_t iova, uint64_t length, uint64_t value)
{
	for (uint64_t at = iova; at < iova + length; at++) {
		uint64_t word = value + (at & ~7ull);

		if (memory[at - iova] != (unsigned char)(word >> at % 8 * 8))
			return false;
	}
	return true;
}

/* All of the memory, 256 bytes a write. */
void run(struct soft *s, uint64_t flags, uint64_t pause_us)
{
	set_reg(s, VFIOMIG_SOFT_RUN_BASE, IOVA);
	set_reg(s, VFIOMIG_SOFT_RUN_PAGES, PAGES);
	set_reg(s, VFIOMIG_SOFT_RUN_LENGTH, 256);
	set_reg(s, VFIOMIG_SOFT_RUN_BATCH, 8);
	set_reg(s, VFIOMIG_SOFT_RUN_PAUSE_US, pause_us);
	set_reg(s, VFIOMIG_SOFT_RUN_SEED, 0x5eed);
	set_reg(s, VFIOMIG_SOFT_RUN_CTRL, VFIOMIG_SOFT_RUN | flags);
}

struct writes {
	struct soft *s;
	uint64_t until;
};

static bool has_written(void *arg)
{
	struct writes *w = arg;

	return reg(w->s, VFIOMIG_SOFT_RUN_WRITES) >= w->until;
}

bool wait_writes(struct soft *s, uint64_t more)
{
	struct writes w = { s, reg(s, VFIOMIG_SOFT_RUN_WRITES) + more };

	return wait_until(has_written, &w, 10000);
}

/* Bits */

static void mark(struct bits *bits, uint64_t iova, uint64_t length)
{
	for (uint64_t at = iova / PAGE; at <= (iova + length - 1) / PAGE; at++) {
		uint64_t page = at - IOVA / PAGE;

		if (page < PAGES)
			bits->word[page / 64] |= 1ull << page % 64;
	}
}

void truth(struct soft *s, struct bits *bits)
{
	uint64_t now = reg(s, VFIOMIG_SOFT_RUN_WRITES);
	uint64_t entries = reg(s, VFIOMIG_SOFT_JOURNAL_ENTRIES);
	uint64_t entry[2];

	if (now - s->read_up_to > entries)
		bail("the journal has run over");
	for (; s->read_up_to < now; s->read_up_to++) {
		probe_read(&s->p, &s->journal, s->read_up_to % entries * sizeof(entry), entry,
			   sizeof(entry));
		mark(bits, entry[0], entry[1]);
	}
}

bool bits_equal(const struct bits *a, const struct bits *b)
{
	return !memcmp(a, b, sizeof(*a));
}

unsigned int bits_count(const struct bits *b)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < WORDS; i++)
		n += (unsigned int)__builtin_popcountll(b->word[i]);
	return n;
}

/* The device's log */

int feature(struct soft *s, uint32_t flags, void *data, size_t size)
{
	struct {
		uint32_t argsz, flags;
		unsigned char data[64];
	} arg = { .argsz = (uint32_t)(8 + size), .flags = flags };
	int ret;

	if (size)
		memcpy(arg.data, data, size);
	ret = ioctl(s->p.fd, DEVICE_FEATURE, &arg) ? -errno : 0;
	if (size)
		memcpy(data, arg.data, size);
	return ret;
}

int log_start(struct soft *s, uint64_t iova, uint64_t length, uint64_t *page_size)
{
	uint64_t range[2] = { iova, length };
	struct {
		uint64_t page_size;
		uint32_t count, reserved;
		uint64_t ranges;
	} control = { *page_size, 1, 0, (uintptr_t)range };
	int ret = feature(s, FEATURE_SET | LOG_START, &control, sizeof(control));

	*page_size = control.page_size;
	return ret;
}

int log_stop(struct soft *s)
{
	return feature(s, FEATURE_SET | LOG_STOP, NULL, 0);
}

int log_report(struct soft *s, uint64_t iova, uint64_t length, void *bitmap)
{
	uint64_t report[4] = { iova, length, PAGE, (uintptr_t)bitmap };

	return feature(s, FEATURE_GET | LOG_REPORT, report, sizeof(report));
}

int log_source(struct soft *s, struct bits *bits)
{
	return log_report(s, IOVA, MEMORY, bits->word);
}

/* HWPT */

int hwpt_track(struct soft *s, bool on)
{
	uint32_t track[4] = { sizeof(track), on, s->hwpt, 0 };

	return ioctl(s->p.iommufd, HWPT_TRACK, track) ? -errno : 0;
}

int hwpt_get(struct soft *s, uint32_t flags, uint64_t iova, uint64_t length, void *bitmap)
{
	struct {
		uint32_t size, hwpt, flags, reserved;
		uint64_t iova, length, page_size, data;
	} get = { sizeof(get), s->hwpt, flags, 0, iova, length, PAGE, (uintptr_t)bitmap };

	return ioctl(s->p.iommufd, HWPT_GET, &get) ? -errno : 0;
}

int hwpt_source(struct soft *s, struct bits *bits)
{
	return hwpt_get(s, 0, IOVA, MEMORY, bits->word);
}

/* type1 */

int type1_track(struct soft *s, uint32_t flag)
{
	uint32_t dirty[2] = { sizeof(dirty), flag };

	return ioctl(s->container, DIRTY_PAGES, dirty) ? -errno : 0;
}

/* It overwrites. */
int type1_source(struct soft *s, struct bits *bits)
{
	struct bits fresh = { { 0 } };
	struct {
		uint32_t argsz, flags;
		uint64_t iova, size, pgsize, bytes, data;
	} get = {
		sizeof(get), 4, IOVA, MEMORY, PAGE, sizeof(fresh), (uintptr_t)fresh.word,
	};

	if (ioctl(s->container, DIRTY_PAGES, &get))
		return -errno;
	for (unsigned int i = 0; i < WORDS; i++)
		bits->word[i] |= fresh.word[i];
	return 0;
}
