// SPDX-License-Identifier: GPL-2.0-only
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define IOC(number)	       ((';' << 8) + (number))
#define DEVICE_GET_REGION_INFO IOC(108)
#define DEVICE_SET_IRQS	       IOC(110)
#define DEVICE_RESET	       IOC(111)
#define DEVICE_FEATURE	       IOC(117)
#define DEVICE_BIND_IOMMUFD    IOC(118)
#define DEVICE_ATTACH	       IOC(119)
#define MIG_GET_PRECOPY_INFO   IOC(121)
#define IOMMU_IOAS_ALLOC       IOC(129)
#define IOMMU_IOAS_MAP	       IOC(133)

#define FEATURE_GET		(1u << 16)
#define FEATURE_SET		(1u << 17)
#define FEATURE_MIGRATION	1
#define FEATURE_MIG_STATE	2
#define FEATURE_DATA_SIZE	9
#define FEATURE_PRECOPY_INFO_V2 12

#define REGION_CONFIG	 7
#define REGION_FIRST_OWN 9
#define REGION_CAP_TYPE	 2

#define PCI_COMMAND	   4
#define PCI_COMMAND_MASTER 4

static unsigned int tap_count, tap_failed;

bool ok(bool good, const char *format, ...)
{
	va_list args;

	tap_count++;
	tap_failed += !good;
	printf("%sok %u - ", good ? "" : "not ", tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	return good;
}

void note(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void bail(const char *format, ...)
{
	int error = errno;
	va_list args;

	printf("Bail out! ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf(" (%s)\n", strerror(error));
	fflush(stdout);
	exit(2);
}

int tap_done(void)
{
	printf("1..%u\n", tap_count);
	fflush(stdout);
	return tap_failed ? 1 : 0;
}

/* Device */

/* False if there is no such index; *type is 0 for one of the standard regions. */
static bool region_info(int fd, uint32_t index, struct probe_region *region, uint64_t *type)
{
	struct {
		uint32_t argsz, flags, index, cap_offset;
		uint64_t size, offset;
		struct {
			uint16_t id, version;
			uint32_t next, type, subtype;
		} cap;
	} info = { .argsz = sizeof(info), .index = index };

	if (ioctl(fd, DEVICE_GET_REGION_INFO, &info))
		return false;
	region->size = info.size;
	region->offset = (off_t)info.offset;
	*type = 0;
	if (info.cap_offset == offsetof(typeof(info), cap) && info.cap.id == REGION_CAP_TYPE)
		*type = (uint64_t)info.cap.type << 32 | info.cap.subtype;
	return true;
}

static void find_regions(struct probe *p)
{
	const uint64_t ours = (uint64_t)VFIOMIG_EDU_REGION_TYPE << 32;
	struct probe_region region;
	uint64_t type;

	if (!region_info(p->fd, 0, &p->bar, &type) ||
	    !region_info(p->fd, REGION_CONFIG, &p->config, &type))
		bail("no region info");
	for (uint32_t i = REGION_FIRST_OWN; region_info(p->fd, i, &region, &type); i++) {
		if (type == (ours | VFIOMIG_EDU_REGION_CONTENTS))
			p->contents = region;
		if (type == (ours | VFIOMIG_EDU_REGION_CONTROL))
			p->control = region;
	}
}

void probe_open(struct probe *p, const char *node)
{
	struct {
		uint32_t size, flags, ioas;
	} alloc = { .size = sizeof(alloc) };
	struct {
		uint32_t argsz, flags;
		int32_t iommufd;
		uint32_t devid;
	} bind = {
		.argsz = sizeof(bind),
	};
	struct {
		uint32_t argsz, flags, pt;
	} attach = { .argsz = sizeof(attach) };

	memset(p, 0, sizeof(*p));
	p->fd = open(node, O_RDWR | O_CLOEXEC);
	p->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (p->fd < 0 || p->iommufd < 0)
		bail("open %s", node);
	bind.iommufd = p->iommufd;
	if (ioctl(p->fd, DEVICE_BIND_IOMMUFD, &bind))
		bail("bind %s", node);
	if (ioctl(p->iommufd, IOMMU_IOAS_ALLOC, &alloc))
		bail("IOAS");
	p->ioas = attach.pt = alloc.ioas;
	if (ioctl(p->fd, DEVICE_ATTACH, &attach))
		bail("attach %s", node);
	find_regions(p);
}

void probe_close(struct probe *p)
{
	close(p->fd);
	close(p->iommufd);
}

void probe_map(struct probe *p, uint64_t iova, void *memory, size_t size)
{
	struct {
		uint32_t size, flags, ioas, reserved;
		uint64_t user_va, length, iova;
	} map = {
		.size = sizeof(map),
		.flags = 1 | 2 | 4, /* fixed, writeable, readable */
		.ioas = p->ioas,
		.user_va = (uintptr_t)memory,
		.length = size,
		.iova = iova,
	};

	if (ioctl(p->iommufd, IOMMU_IOAS_MAP, &map))
		bail("map");
}

int probe_reset(struct probe *p)
{
	return ioctl(p->fd, DEVICE_RESET) ? -errno : 0;
}

void probe_read(struct probe *p, const struct probe_region *r, uint64_t at, void *to, size_t n)
{
	if (pread(p->fd, to, n, r->offset + (off_t)at) != (ssize_t)n)
		bail("region read of %zu at %llu", n, (unsigned long long)at);
}

int probe_write(struct probe *p, const struct probe_region *r, uint64_t at, const void *from,
		size_t n)
{
	ssize_t done = pwrite(p->fd, from, n, r->offset + (off_t)at);

	if (done < 0)
		return -errno;
	return done == (ssize_t)n ? 0 : -EIO;
}

uint64_t probe_get(struct probe *p, const struct probe_region *r, uint64_t at, size_t width)
{
	uint64_t value = 0;

	probe_read(p, r, at, &value, width);
	return value;
}

void probe_set(struct probe *p, const struct probe_region *r, uint64_t at, uint64_t value,
	       size_t width)
{
	int ret = probe_write(p, r, at, &value, width);

	if (ret) {
		errno = -ret;
		bail("region write at %llu", (unsigned long long)at);
	}
}

void probe_bus_master(struct probe *p, bool on)
{
	uint64_t command = probe_get(p, &p->config, PCI_COMMAND, 2);

	command &= ~(uint64_t)PCI_COMMAND_MASTER;
	probe_set(p, &p->config, PCI_COMMAND, command | (on ? PCI_COMMAND_MASTER : 0), 2);
}

/* An eventfd, nonblocking, that the device's MSI writes to. */
int probe_msi(struct probe *p)
{
	struct {
		uint32_t argsz, flags, index, start, count;
		int32_t fd;
	} set = {
		.argsz = sizeof(set),
		.flags = 4 | 32, /* eventfd, trigger */
		.index = 1,
		.count = 1,
		.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};

	if (set.fd < 0 || ioctl(p->fd, DEVICE_SET_IRQS, &set))
		bail("MSI");
	return set.fd;
}

/* Migration */

static int feature(struct probe *p, uint32_t flags, void *data, size_t size)
{
	struct {
		uint32_t argsz, flags;
		unsigned char data[8];
	} arg = { .argsz = (uint32_t)(8 + size), .flags = flags };
	int ret;

	memcpy(arg.data, data, size);
	ret = ioctl(p->fd, DEVICE_FEATURE, &arg) ? -errno : 0;
	memcpy(data, arg.data, size);
	return ret;
}

uint64_t probe_mig_flags(struct probe *p)
{
	uint64_t flags = 0;

	if (feature(p, FEATURE_GET | FEATURE_MIGRATION, &flags, sizeof(flags)))
		bail("migration flags");
	return flags;
}

uint32_t probe_state(struct probe *p)
{
	struct {
		uint32_t state;
		int32_t fd;
	} mig = { 0, 0 };

	if (feature(p, FEATURE_GET | FEATURE_MIG_STATE, &mig, sizeof(mig)))
		bail("get state");
	return mig.state;
}

int probe_set_state(struct probe *p, uint32_t state, int *data_fd)
{
	struct {
		uint32_t state;
		int32_t fd;
	} mig = { state, 0 };
	int ret = feature(p, FEATURE_SET | FEATURE_MIG_STATE, &mig, sizeof(mig));

	*data_fd = mig.fd;
	return ret;
}

int probe_enter(struct probe *p, uint32_t state)
{
	int fd;

	if (probe_set_state(p, state, &fd) || fd < 0)
		bail("state %u with a data fd", state);
	return fd;
}

void probe_leave(struct probe *p, uint32_t state)
{
	int fd;

	if (probe_set_state(p, state, &fd) || fd != -1)
		bail("state %u without a data fd", state);
}

uint64_t probe_data_size(struct probe *p)
{
	uint64_t size = 0;

	if (feature(p, FEATURE_GET | FEATURE_DATA_SIZE, &size, sizeof(size)))
		bail("data size");
	return size;
}

int probe_precopy_v2(struct probe *p)
{
	char none = 0;

	return feature(p, FEATURE_SET | FEATURE_PRECOPY_INFO_V2, &none, 0);
}

int probe_precopy_info(int fd, uint32_t *flags, uint64_t *initial, uint64_t *dirty)
{
	struct {
		uint32_t argsz, flags;
		uint64_t initial, dirty;
	} info = {
		.argsz = sizeof(info),
		.flags = *flags,
	};
	int ret = ioctl(fd, MIG_GET_PRECOPY_INFO, &info) ? -errno : 0;

	*flags = info.flags;
	*initial = info.initial;
	*dirty = info.dirty;
	return ret;
}

/* Streams */

int blob_read(struct blob *b, int fd, size_t chunk)
{
	ssize_t n;

	for (;;) {
		b->data = realloc(b->data, b->size + chunk);
		if (!b->data)
			bail("memory");
		n = read(fd, b->data + b->size, chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
		b->size += (size_t)n;
	}
}

int blob_write(const struct blob *b, size_t from, int fd, size_t chunk)
{
	while (from < b->size) {
		size_t n = b->size - from < chunk ? b->size - from : chunk;
		ssize_t done = write(fd, b->data + from, n);

		if (done < 0)
			return -errno;
		from += (size_t)done;
	}
	return 0;
}

void blob_free(struct blob *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

static FILE *param(const char *name, const char *mode)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/vfiomig_edu/parameters/%s", name);
	file = fopen(path, mode);
	if (!file)
		bail("%s", path);
	return file;
}

void set_param(const char *name, unsigned int value)
{
	FILE *file = param(name, "w");

	fprintf(file, "%u\n", value);
	if (fclose(file))
		bail("parameter %s = %u", name, value);
}

unsigned int get_param(const char *name)
{
	FILE *file = param(name, "r");
	unsigned int value;

	if (fscanf(file, "%u", &value) != 1)
		bail("parameter %s", name);
	fclose(file);
	return value;
}

bool wait_until(bool (*done)(void *arg), void *arg, unsigned int ms)
{
	for (; !done(arg); ms -= 5) {
		if (ms < 5)
			return false;
		poll(NULL, 0, 5);
	}
	return true;
}
