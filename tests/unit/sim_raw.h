/* SPDX-License-Identifier: MIT */
/* System calls on a simulated machine as a program would make them, without the library in between. */
#ifndef SIM_RAW_H
#define SIM_RAW_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vfiomig/sim.h>

#include "wire.h"
#include "internal.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"
#include "suite.h"

#define EDU_A "0000:01:00.0"
#define EDU_B "0000:02:00.0"
#define MTTY_A "11111111-1111-4111-8111-111111111111"
#define MTTY_B "22222222-2222-4222-8222-222222222222"
#define REGION(index, at) (((off_t)(index) << 40) | (off_t)(at))

struct raw {
	struct vfm_sim *sim;
	struct vfm_context *ctx;
	struct vfmi_sys *sys;
	int iommufd;
	uint32_t ioas;
};

static inline int raw_ioctl(struct raw *m, int fd, unsigned long request, void *arg)
{
	return m->sys->ops->ioctl(m->sys, fd, request, arg);
}

static inline int raw_open(struct raw *m, const char *path)
{
	return m->sys->ops->open(m->sys, path, O_RDWR, 0);
}

static inline void raw_close(struct raw *m, int fd)
{
	ck_assert_int_eq(m->sys->ops->close(m->sys, fd), 0);
}

static inline void raw_attach_to(struct raw *m, const char *path, const char *spec)
{
	char message[256] = "";

	memset(m, 0, sizeof(*m));
	ck_assert_msg(vfm_sim_open(path, spec, &m->sim, message, sizeof(message)) == 0, "%s", message);
	ck_assert_int_eq(vfm_sim_context(m->sim, &m->ctx), 0);
	m->sys = vfmi_context_sys(m->ctx);
	m->iommufd = -1;
}

static inline void raw_start(struct raw *m, const char *path, const char *spec)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	raw_attach_to(m, path, spec);
	m->iommufd = raw_open(m, "/dev/iommu");
	ck_assert_int_ge(m->iommufd, 0);
	ck_assert_int_eq(raw_ioctl(m, m->iommufd, IOMMU_IOAS_ALLOC, &alloc), 0);
	m->ioas = alloc.out_ioas_id;
}

static inline struct vfm_sim_usage raw_usage(struct raw *m)
{
	struct vfm_sim_usage usage = { .size = sizeof(usage) };

	vfm_sim_usage(m->sim, &usage);
	return usage;
}

static inline void raw_detach_from(struct raw *m)
{
	vfm_context_free(m->ctx);
	vfm_sim_close(m->sim);
}

/* Ends with nothing left open. @strict: calls no correct program makes that the test made. */
static inline void raw_stop(struct raw *m, uint64_t strict)
{
	struct vfm_sim_usage usage;

	raw_close(m, m->iommufd);
	usage = raw_usage(m);
	ck_assert_uint_eq(usage.open_fds, 0);
	ck_assert_uint_eq(usage.maps, 0);
	ck_assert_uint_eq(usage.mmaps, 0);
	ck_assert_uint_eq(usage.devices_open, 0);
	ck_assert_uint_eq(usage.data_sessions, 0);
	ck_assert_msg(usage.strict_errors == strict, "%u strict errors, the last: %s",
		      (unsigned int)usage.strict_errors, vfm_sim_strict_message(m->sim));
	raw_detach_from(m);
}

static inline int raw_bind(struct raw *m, int fd)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = m->iommufd };

	return raw_ioctl(m, fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

static inline int raw_attach(struct raw *m, int fd, uint32_t *pt_id)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = *pt_id };
	int r = raw_ioctl(m, fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

	*pt_id = attach.pt_id;
	return r;
}

/* Into the IOAS of raw_start(), for reading and writing, at @iova. */
static inline int raw_map_file(struct raw *m, int fd, uint64_t at, uint64_t length, uint64_t iova)
{
	struct iommu_ioas_map_file cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = m->ioas,
		.fd = fd,
		.start = at,
		.length = length,
		.iova = iova,
	};

	return raw_ioctl(m, m->iommufd, IOMMU_IOAS_MAP_FILE, &cmd);
}

/* Open, bound and attached. @number: of the cdev, devices in the order of the machine's description. */
static inline int raw_device(struct raw *m, unsigned int number)
{
	uint32_t pt_id = m->ioas;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", number);
	fd = raw_open(m, path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(raw_bind(m, fd), 0);
	ck_assert_int_eq(raw_attach(m, fd, &pt_id), 0);
	return fd;
}

static inline int raw_feature(struct raw *m, int fd, uint32_t flags, void *data, size_t length)
{
	uint64_t room[16] = { 0 };
	struct vfio_device_feature *feature = (struct vfio_device_feature *)room;
	int r;

	feature->argsz = (uint32_t)(sizeof(*feature) + length);
	feature->flags = flags;
	memcpy(feature->data, data, length);
	r = raw_ioctl(m, fd, VFIO_DEVICE_FEATURE, feature);
	memcpy(data, feature->data, length);
	return r;
}

static inline uint32_t raw_state(struct raw *m, int fd)
{
	struct vfio_device_feature_mig_state state = { 0 };

	ck_assert_int_eq(raw_feature(m, fd, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE | VFIO_DEVICE_FEATURE_GET, &state,
				     sizeof(state)),
			 0);
	ck_assert_int_eq(state.data_fd, -1);
	return state.device_state;
}

static inline int raw_set(struct raw *m, int fd, uint32_t target, int *ret_data_fd)
{
	struct vfio_device_feature_mig_state state = { .device_state = target, .data_fd = -2 };
	int r = raw_feature(m, fd, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE | VFIO_DEVICE_FEATURE_SET, &state,
			    sizeof(state));

	if (ret_data_fd)
		*ret_data_fd = state.data_fd;
	else if (!r)
		ck_assert_int_eq(state.data_fd, -1);
	return r;
}

/* To a state that begins a session: its data file. */
static inline int raw_session(struct raw *m, int fd, uint32_t target)
{
	int data_fd;

	ck_assert_int_eq(raw_set(m, fd, target, &data_fd), 0);
	ck_assert_int_ge(data_fd, 0);
	return data_fd;
}

static inline ssize_t raw_read(struct raw *m, int fd, void *buf, size_t length)
{
	return m->sys->ops->read(m->sys, fd, buf, length);
}

static inline ssize_t raw_write(struct raw *m, int fd, const void *buf, size_t length)
{
	return m->sys->ops->write(m->sys, fd, buf, length);
}

static inline uint64_t raw_peek(struct raw *m, int fd, uint32_t region, uint64_t at, size_t width)
{
	uint8_t bytes[sizeof(uint64_t)];

	ck_assert_int_eq(m->sys->ops->pread(m->sys, fd, bytes, width, REGION(region, at)), (int)width);
	return vfmi_get_le(bytes, width);
}

static inline ssize_t raw_poke(struct raw *m, int fd, uint32_t region, uint64_t at, uint64_t value, size_t width)
{
	uint8_t bytes[sizeof(value)];

	vfmi_put_le64(bytes, value);
	return m->sys->ops->pwrite(m->sys, fd, bytes, width, REGION(region, at));
}

/* An edu that is not moving anything yet copies @length bytes of memory to memory. */
static inline void raw_pump(struct raw *m, int fd, uint64_t from, uint64_t to, uint64_t length)
{
	ck_assert_int_eq(raw_poke(m, fd, 7, 4, 6, 2), 2);
	ck_assert_int_eq(raw_poke(m, fd, 10, 0x08, from, 8), 8);
	ck_assert_int_eq(raw_poke(m, fd, 10, 0x10, to, 8), 8);
	ck_assert_int_eq(raw_poke(m, fd, 10, 0x18, length, 8), 8);
	ck_assert_int_eq(raw_poke(m, fd, 10, 0x20, length, 8), 8);
	ck_assert_int_eq(raw_poke(m, fd, 10, 0x28, 1, 8), 8);
	ck_assert_int_eq(raw_poke(m, fd, 10, 0x00, 1, 8), 8);
	vfm_sim_advance_ns(m->sim, 1000000000);
	ck_assert_int_eq(raw_poke(m, fd, 10, 0x00, 0, 8), 8);
	ck_assert_uint_eq(raw_peek(m, fd, 10, 0x38, 8), 0);
}

static inline int raw_precopy(struct raw *m, int data_fd, struct vfio_precopy_info *info)
{
	*info = (struct vfio_precopy_info){ .argsz = sizeof(*info) };
	return raw_ioctl(m, data_fd, VFIO_MIG_GET_PRECOPY_INFO, info);
}

/* Read to the end, @buf with room for it all; bytes read. */
static inline size_t raw_drain(struct raw *m, int data_fd, uint8_t *buf, size_t room)
{
	size_t done = 0;
	ssize_t n;

	while ((n = raw_read(m, data_fd, buf + done, room - done)) > 0)
		done += (size_t)n;
	ck_assert_int_eq(n, 0);
	ck_assert_uint_lt(done, room);
	return done;
}

#endif
