/* SPDX-License-Identifier: MIT */
/* Eight simulated devices to be started side by side. */
#ifndef VFIOMIG_TEST_STARTUP_FIXTURE_H
#define VFIOMIG_TEST_STARTUP_FIXTURE_H

#include <errno.h>

#include "internal.h"
#include "machine_fixture.h"

#define DEVICES 8u
#define RESET_NS 100000000ull
#define SPEC                                                                                                           \
	"edu@0000:01:00.0,reset=100ms;edu@0000:02:00.0,reset=100ms;edu@0000:03:00.0,reset=100ms;"                      \
	"edu@0000:04:00.0,reset=100ms;edu@0000:05:00.0,reset=100ms;edu@0000:06:00.0,reset=100ms;"                      \
	"edu@0000:07:00.0,reset=100ms;edu@0000:08:00.0,reset=100ms"

struct many {
	struct machine m;
	char names[DEVICES][16];
	struct vfm_open opens[DEVICES];
	struct vfm_error errors[DEVICES];
	struct vfm_start starts[DEVICES];
	struct vfm_error err;
};

static inline void many_name(struct many *many, size_t i, const char *name)
{
	snprintf(many->names[i], sizeof(many->names[i]), "%s", name);
	many->opens[i] = (struct vfm_open){ .size = sizeof(many->opens[i]), .name = many->names[i] };
	many->errors[i] = (struct vfm_error){ .size = sizeof(many->errors[i]) };
	many->starts[i] = (struct vfm_start){ .size = sizeof(many->starts[i]),
					      .open = &many->opens[i],
					      .ret_error = &many->errors[i] };
}

static inline void many_begin(struct many *many, const char *spec)
{
	char name[16];

	memset(many, 0, sizeof(*many));
	many->err.size = sizeof(many->err);
	machine_start(&many->m, spec);
	many->m.before = machine_usage(&many->m);
	for (size_t i = 0; i < DEVICES; i++) {
		snprintf(name, sizeof(name), "0000:%02zx:00.0", i + 1);
		many_name(many, i, name);
	}
}

static inline int many_start(struct many *many, size_t count, uint32_t threads)
{
	return vfm_devices_start(many->m.ctx, many->m.iommu, many->starts, count, threads, &many->err);
}

static inline void many_close(struct many *many, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		vfm_device_close(many->starts[i].ret_dev);
		many->starts[i].ret_dev = NULL;
	}
}

static inline void many_end(struct many *many)
{
	machine_close(&many->m);
}

/* Threads that share virtual time. */
static inline void share_time(struct many *many)
{
	VFM_OPTS(vfm_executor, executor);

	ck_assert_int_eq(vfm_sim_executor(many->m.sim, &executor), 0);
	ck_assert_int_eq(vfm_context_set_executor(many->m.ctx, &executor), 0);
}

/* Nothing is open, nobody has a device, and each start says so. */
static inline void check_undone(struct many *many, size_t count)
{
	struct vfm_sim_usage now = machine_usage(&many->m);

	ck_assert_uint_eq(now.open_fds, many->m.before.open_fds);
	ck_assert_uint_eq(now.devices_open, 0);
	for (size_t i = 0; i < count; i++) {
		ck_assert_ptr_null(many->starts[i].ret_dev);
		ck_assert_int_lt(many->starts[i].ret_code, 0);
	}
}

/* Groups and a container, which all devices join. */
static inline void use_container(struct many *many)
{
	VFM_OPTS(vfm_iommu_options, options);

	vfm_iommu_close(many->m.iommu);
	options.backend = VFM_BACKEND_TYPE1V2;
	ck_assert_int_eq(vfm_iommu_open(many->m.ctx, &options, &many->m.iommu, NULL), 0);
	many->m.before = machine_usage(&many->m);
}

#endif
