// SPDX-License-Identifier: MIT
/* Scenarios: migration states without data. */
#include "scenario.h"

static int fresh_is_running(struct env *env)
{
	struct vfm_device *edu, *mtty;
	uint32_t flags;

	if (env_open(env, EDU_A, &edu) || env_open(env, MTTY_A, &mtty))
		return -1;
	OK(vfm_device_migration_flags(edu, &flags, &env->err));
	REQUIRE(flags == 7);
	OK(vfm_device_migration_flags(mtty, &flags, &env->err));
	REQUIRE(flags == 7);
	return env_state(env, edu, VFM_STATE_RUNNING) || env_state(env, mtty, VFM_STATE_RUNNING);
}

static int walk(struct env *env, struct vfm_device *dev)
{
	static const uint32_t stops[] = { VFM_STATE_RUNNING, VFM_STATE_RUNNING_P2P, VFM_STATE_STOP };

	for (size_t from = 0; from < 3; from++) {
		for (size_t to = 0; to < 3; to++) {
			uint32_t state = VFM_STATE_UNKNOWN;

			OK(vfm_device_set_state(dev, stops[from], &state, &env->err));
			REQUIRE(state == stops[from]);
			OK(vfm_device_set_state(dev, stops[to], &state, &env->err));
			REQUIRE(state == stops[to]);
			if (env_state(env, dev, stops[to]))
				return -1;
		}
	}
	return 0;
}

static int all_arcs_edu(struct env *env)
{
	struct vfm_device *dev;

	return env_open(env, EDU_A, &dev) || walk(env, dev);
}

static int all_arcs_mtty(struct env *env)
{
	struct vfm_device *dev;
	uint32_t state;

	if (env_open(env, MTTY_A, &dev) || walk(env, dev))
		return -1;
	return vfm_device_set_state(dev, VFM_STATE_RUNNING, &state, &env->err);
}

static int illegal_targets(struct env *env)
{
	static const uint32_t targets[] = { VFM_STATE_ERROR,	VFM_STATE_STOP_COPY,	VFM_STATE_RESUMING,
					    VFM_STATE_PRE_COPY, VFM_STATE_PRE_COPY_P2P, 8,
					    VFM_STATE_UNKNOWN };
	struct vfm_device *dev;

	if (env_open(env, EDU_A, &dev))
		return -1;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		uint32_t state = 77;

		REQUIRE_RESULT(vfm_device_set_state(dev, targets[i], &state, &env->err), -EINVAL);
		REQUIRE(state == VFM_STATE_RUNNING);
	}
	return 0;
}

static int stopped_refuses_writes(struct env *env)
{
	struct vfm_device *dev;
	uint32_t contents, control, state, word = 5;

	if (env_open(env, EDU_A, &dev) || edu_regions(env, dev, &contents, &control))
		return -1;
	OK(vfm_device_set_state(dev, VFM_STATE_STOP, &state, &env->err));
	REQUIRE_RESULT(vfm_device_region_write(dev, contents, 0, &word, 4, &env->err), -EBUSY);
	OK(vfm_device_set_state(dev, VFM_STATE_RUNNING, &state, &env->err));
	OK(vfm_device_region_write(dev, contents, 0, &word, 4, &env->err));
	return 0;
}

static int reset_ends_any_state(struct env *env)
{
	struct vfm_device *dev;
	uint32_t state;

	if (env_open(env, EDU_A, &dev))
		return -1;
	OK(vfm_device_set_state(dev, VFM_STATE_STOP, &state, &env->err));
	OK(vfm_device_reset(dev, &env->err));
	return env_state(env, dev, VFM_STATE_RUNNING);
}

static int size_is_told(struct env *env)
{
	struct vfm_device *edu, *mtty;
	uint64_t bytes = 0, contents;

	if (env_open(env, EDU_A, &edu) || env_open(env, MTTY_A, &mtty) || edu_contents_bytes(env, edu, &contents))
		return -1;
	OK(vfm_device_data_size(edu, &bytes, &env->err));
	REQUIRE(bytes > contents && bytes < contents + contents / 16);
	OK(vfm_device_data_size(mtty, &bytes, &env->err));
	REQUIRE(bytes >= 24 && bytes <= 96);
	return 0;
}

const struct scenario state_scenarios[] = {
	{ "a freshly opened device runs", fresh_is_running },
	{ "edu: every state from every state", all_arcs_edu },
	{ "mtty: every state from every state", all_arcs_mtty },
	{ "targets that are refused before the kernel is asked", illegal_targets },
	{ "a stopped device refuses writes", stopped_refuses_writes },
	{ "reset leads to RUNNING", reset_ends_any_state },
	{ "size of the state", size_is_told },
	{ NULL, NULL },
};
