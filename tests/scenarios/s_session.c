// SPDX-License-Identifier: MIT
/* Scenarios: data sessions, read and written by hand. */
#include "scenario.h"

#define CHUNK (256u * 1024u)

static uint8_t buffer[1 << 20];

/* Read until @result; *ret_bytes counts, @into (may be NULL) collects. */
static int read_until(struct env *env, struct vfm_session *s, int result, struct memory *into, uint64_t *ret_bytes)
{
	size_t n;
	int r;

	for (;;) {
		r = vfm_session_read(s, buffer, CHUNK, &n, &env->err);
		REQUIRE(r >= 0);
		if (r == result)
			return 0;
		REQUIRE(r == VFM_READ_DATA && n > 0 && n <= CHUNK);
		*ret_bytes += n;
		if (into)
			OK(into->io.write(into, buffer, n));
	}
}

static int begin_save(struct env *env, struct vfm_device *dev, uint32_t flags, struct vfm_session **ret)
{
	struct vfm_session_opts opts = { .size = sizeof(opts), .flags = flags, .abort_state = VFM_STATE_UNKNOWN };

	OK(vfm_session_save(dev, &opts, ret, &env->err));
	return 0;
}

static int begin_load(struct env *env, struct vfm_device *dev, struct vfm_session **ret)
{
	struct vfm_session_opts opts = { .size = sizeof(opts), .abort_state = VFM_STATE_UNKNOWN };

	OK(vfm_session_load(dev, &opts, ret, &env->err));
	return env_state(env, dev, VFM_STATE_RESUMING);
}

static int save_all(struct env *env, struct vfm_device *dev, struct memory *into)
{
	struct vfm_session *s;
	uint64_t bytes = 0;
	uint32_t state;
	int r;

	if (begin_save(env, dev, 0, &s))
		return -1;
	r = env_state(env, dev, VFM_STATE_STOP_COPY) || read_until(env, s, VFM_READ_END, into, &bytes) ||
	    vfm_session_bytes(s) != bytes || vfm_session_finish(s, VFM_STATE_RUNNING, &state, &env->err) ||
	    state != VFM_STATE_RUNNING;
	vfm_session_close(s);
	REQUIRE(!r);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

static int save_keeps_running(struct env *env)
{
	struct vfm_device *dev;
	struct memory m;
	int r;

	if (env_open(env, EDU_A, &dev) || edu_fill(env, dev, 0, 300000, 3))
		return -1;
	memory_init(&m);
	r = save_all(env, dev, &m) || m.length < 1 << 20 || edu_compare(env, dev, 0, 300000, 3);
	memory_free(&m);
	return r;
}

static int live_save(struct env *env, enum which which, uint64_t *ret_precopy)
{
	struct vfm_precopy_info info = { .size = sizeof(info) };
	uint64_t precopy = 0, rest = 0;
	struct vfm_session *s;
	struct vfm_device *dev;
	uint32_t state;

	if (env_open(env, which, &dev) || begin_save(env, dev, VFM_SESSION_LIVE, &s))
		return -1;
	if (env_state(env, dev, VFM_STATE_PRE_COPY))
		goto err;
	if (vfm_session_precopy_info(s, &info, &env->err) || info.initial_bytes == 0)
		goto err;
	if (read_until(env, s, VFM_READ_IDLE, NULL, &precopy) || precopy < info.initial_bytes)
		goto err;
	if (vfm_session_precopy_info(s, &info, &env->err) || info.initial_bytes != 0)
		goto err;
	if (vfm_session_stop_copy(s, &env->err) || env_state(env, dev, VFM_STATE_STOP_COPY))
		goto err;
	if (vfm_session_precopy_info(s, &info, &env->err) != -EINVAL)
		goto err;
	if (read_until(env, s, VFM_READ_END, NULL, &rest) || rest == 0)
		goto err;
	if (vfm_session_finish(s, VFM_STATE_STOP, &state, &env->err) || state != VFM_STATE_STOP)
		goto err;
	vfm_session_close(s);
	*ret_precopy = precopy;
	return env_state(env, dev, VFM_STATE_STOP) || vfm_device_set_state(dev, VFM_STATE_RUNNING, &state, &env->err);
err:
	printf("# live save: %s\n", env->err.message);
	vfm_session_close(s);
	return -1;
}

static int live_edu(struct env *env)
{
	uint64_t precopy;

	return live_save(env, EDU_A, &precopy) || precopy < 1 << 20;
}

static int live_mtty(struct env *env)
{
	uint64_t precopy;

	return live_save(env, MTTY_A, &precopy) || precopy != 24;
}

/* What is written while pre-copying is sent again. */
static int live_dirty(struct env *env)
{
	uint64_t first = 0, again = 0;
	struct vfm_precopy_info info = { .size = sizeof(info) };
	struct vfm_session *s;
	struct vfm_device *dev;
	int r;

	if (env_open(env, EDU_A, &dev) || begin_save(env, dev, VFM_SESSION_LIVE, &s))
		return -1;
	r = read_until(env, s, VFM_READ_IDLE, NULL, &first) || edu_fill(env, dev, 100000, 1000, 8) ||
	    vfm_session_precopy_info(s, &info, &env->err) || info.dirty_bytes < 1000 ||
	    read_until(env, s, VFM_READ_IDLE, NULL, &again) || again < 1000 || again > first / 2 ||
	    vfm_session_abort(s, NULL, &env->err) || env_state(env, dev, VFM_STATE_RUNNING);
	vfm_session_close(s);
	return r;
}

static int load(struct env *env, struct vfm_device *dev, const uint8_t *bytes, size_t length, size_t step)
{
	struct vfm_session *s;
	uint32_t state;
	int r = 0;

	if (begin_load(env, dev, &s))
		return -1;
	for (size_t at = 0; at < length && !r; at += step)
		r = vfm_session_write(s, bytes + at, length - at < step ? length - at : step, &env->err);
	r = r || vfm_session_finish(s, VFM_STATE_RUNNING, &state, &env->err) || state != VFM_STATE_RUNNING;
	vfm_session_close(s);
	REQUIRE(!r);
	return 0;
}

static int load_edu(struct env *env)
{
	struct vfm_device *a, *b;
	struct memory m;
	uint32_t word = 0;
	int r;

	memory_init(&m);
	r = env_open(env, EDU_A, &a) || env_open(env, EDU_B, &b) || edu_fill(env, a, 0, 300000, 4) ||
	    edu_reg_write(env, a, 4, 0x0badcafe) || save_all(env, a, &m) || load(env, b, m.bytes, m.length, 1 << 20) ||
	    edu_compare(env, b, 0, 300000, 4) || edu_reg_read(env, b, 4, &word) || word != (uint32_t)~0x0badcafe;
	memory_free(&m);
	return r;
}

/* Segmentation is the writer's: any is legal. */
static int load_in_pieces(struct env *env)
{
	struct vfm_device *a, *b;
	struct memory m;
	int r;

	memory_init(&m);
	r = env_open(env, MTTY_A, &a) || env_open(env, MTTY_B, &b) || mtty_send(env, a, "in pieces") ||
	    save_all(env, a, &m) || load(env, b, m.bytes, m.length, 1) || mtty_expect(env, b, "in pieces") ||
	    mtty_expect(env, a, "in pieces");
	memory_free(&m);
	return r;
}

static int short_load(struct env *env, enum which which)
{
	struct vfm_device *dev;
	struct vfm_session *s;
	uint32_t state = 99;
	struct memory m;
	int r;

	memory_init(&m);
	if (env_open(env, which, &dev) || save_all(env, dev, &m) || begin_load(env, dev, &s)) {
		memory_free(&m);
		return -1;
	}
	r = vfm_session_write(s, m.bytes, m.length - 1, &env->err) ||
	    vfm_session_finish(s, VFM_STATE_STOP, &state, &env->err) != -EINVAL || state != VFM_STATE_RESUMING ||
	    env->err.state_now != VFM_STATE_RESUMING || !(env->err.flags & VFM_ERROR_NEEDS_RESET) ||
	    env_state(env, dev, VFM_STATE_RESUMING) || vfm_session_abort(s, &state, &env->err) ||
	    state != VFM_STATE_RUNNING;
	vfm_session_close(s);
	memory_free(&m);
	REQUIRE(!r);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

static int short_load_edu(struct env *env)
{
	return short_load(env, EDU_A);
}

static int short_load_mtty(struct env *env)
{
	return short_load(env, MTTY_A);
}

/* mtty would load the bytes of a failed write all the same: nothing but a reset may follow one. */
static int bad_header(struct env *env, enum which which, int want)
{
	struct vfm_device *dev;
	struct vfm_session *s;
	uint8_t junk[64];
	uint32_t state = 0;
	int r;

	memset(junk, 0xee, sizeof(junk));
	if (env_open(env, which, &dev) || begin_load(env, dev, &s))
		return -1;
	r = vfm_session_write(s, junk, sizeof(junk), &env->err);
	if (r == want)
		r = vfm_session_finish(s, VFM_STATE_STOP, &state, &env->err) == -EPROTO ? 0 : -1;
	r = r || env_state(env, dev, VFM_STATE_RESUMING);
	vfm_session_close(s);
	REQUIRE(!r);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

static int bad_header_edu(struct env *env)
{
	return bad_header(env, EDU_A, -EINVAL);
}

static int bad_header_mtty(struct env *env)
{
	return bad_header(env, MTTY_A, -EFAULT);
}

static int one_session(struct env *env)
{
	struct vfm_session_opts opts = { .size = sizeof(opts), .abort_state = VFM_STATE_UNKNOWN };
	struct vfm_session *s, *second = NULL;
	struct vfm_device *dev;
	uint32_t state;
	int r;

	if (env_open(env, EDU_A, &dev) || begin_save(env, dev, 0, &s))
		return -1;
	r = vfm_session_save(dev, &opts, &second, &env->err) != -EBUSY ||
	    vfm_session_load(dev, &opts, &second, &env->err) != -EBUSY ||
	    vfm_device_set_state(dev, VFM_STATE_RUNNING, &state, &env->err) != -EBUSY ||
	    vfm_device_reset(dev, &env->err) != -EBUSY || second || env_state(env, dev, VFM_STATE_STOP_COPY);
	vfm_session_close(s); /* not finished: goes back to where it came from */
	REQUIRE(!r);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

static int abort_keeps(struct env *env)
{
	struct vfm_device *dev;
	struct vfm_session *s;
	uint32_t state = 0;
	size_t n;
	int r;

	if (env_open(env, EDU_A, &dev) || edu_fill(env, dev, 0, 5000, 6) ||
	    vfm_device_set_state(dev, VFM_STATE_RUNNING_P2P, &state, &env->err) || begin_save(env, dev, 0, &s))
		return -1;
	r = vfm_session_read(s, buffer, 4096, &n, &env->err) != VFM_READ_DATA ||
	    vfm_session_abort(s, &state, &env->err) || state != VFM_STATE_RUNNING_P2P;
	vfm_session_close(s);
	REQUIRE(!r);
	return env_state(env, dev, VFM_STATE_RUNNING_P2P) || edu_compare(env, dev, 0, 5000, 6);
}

/* Somebody else moves the device (a second object on the same file): the session hears of it and says so. */
static int moved_by_another(struct env *env)
{
	struct vfm_adopt adopt = { .size = sizeof(adopt), .iommufd = -1 };
	struct vfm_device *dev, *twin;
	struct vfm_session *s;
	uint32_t state;
	size_t n;
	int r;

	if (env_open(env, EDU_A, &dev))
		return -1;
	adopt.device_fd = vfm_device_fd(dev);
	OK(vfm_device_adopt(env->ctx, &adopt, &twin, &env->err));
	if (begin_save(env, dev, 0, &s)) {
		vfm_device_close(twin);
		return -1;
	}
	r = vfm_session_read(s, buffer, 4096, &n, &env->err) != VFM_READ_DATA ||
	    vfm_device_set_state(twin, VFM_STATE_RUNNING, &state, &env->err) || state != VFM_STATE_RUNNING ||
	    vfm_session_read(s, buffer, 4096, &n, &env->err) != -ECANCELED || env->err.state_now != VFM_STATE_RUNNING;
	vfm_session_close(s);
	vfm_device_close(twin);
	REQUIRE(!r);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

const struct scenario session_scenarios[] = {
	{ "a snapshot leaves edu running", save_keeps_running },
	{ "edu: pre-copy, then stop-copy on one data file", live_edu },
	{ "mtty: pre-copy, then stop-copy on one data file", live_mtty },
	{ "edu: what changes while pre-copying is sent again", live_dirty },
	{ "edu: contents and registers arrive", load_edu },
	{ "mtty: a load byte by byte", load_in_pieces },
	{ "edu: a short load is refused by its verdict", short_load_edu },
	{ "mtty: a short load is refused by its verdict", short_load_mtty },
	{ "edu: a bad header, and only a reset after it", bad_header_edu },
	{ "mtty: a bad header, and only a reset after it", bad_header_mtty },
	{ "one session a device", one_session },
	{ "an aborted save goes back and keeps everything", abort_keeps },
	{ "a state moved by somebody else ends the session", moved_by_another },
	{ NULL, NULL },
};
