// SPDX-License-Identifier: MIT
/* Scenarios: whole transfers through the stream. */
#include <poll.h>
#include <unistd.h>

#include "../kmod/vfiomig_edu.h"
#include "scenario.h"

#define PAGE (env->page)

static int save(struct env *env, struct vfm_device *dev, struct memory *m, uint32_t flags, uint32_t then)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .flags = flags, .then_state = then };
	struct vfm_transfer_result result = { .size = sizeof(result) };

	OK(vfm_save(&dev, 1, &m->io, &opts, &result, &env->err));
	REQUIRE(result.stream_bytes == m->length && result.bytes < m->length && result.stream_id);
	memory_rewind(m);
	return 0;
}

static int restore(struct env *env, struct vfm_device *dev, struct memory *m, uint32_t then)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = then };
	struct vfm_transfer_result result = { .size = sizeof(result) };

	OK(vfm_restore(&dev, 1, &m->io, &opts, &result, &env->err));
	REQUIRE(result.stream_bytes == m->length);
	return 0;
}

static int edu_to_edu(struct env *env, uint32_t flags)
{
	struct vfm_device *a, *b;
	uint64_t bytes;
	struct memory m;
	int r;

	memory_init(&m);
	r = env_open(env, EDU_A, &a) || env_open(env, EDU_B, &b) || edu_contents_bytes(env, a, &bytes) ||
	    edu_fill(env, a, 0, bytes, 11) || save(env, a, &m, flags, VFM_STATE_UNKNOWN) ||
	    env_state(env, a, VFM_STATE_RUNNING) || restore(env, b, &m, VFM_STATE_UNKNOWN) ||
	    env_state(env, b, VFM_STATE_STOP) || edu_compare(env, b, 0, bytes, 11) || edu_compare(env, a, 0, bytes, 11);
	memory_free(&m);
	return r;
}

static int snapshot_edu(struct env *env)
{
	return edu_to_edu(env, 0);
}

static int live_edu(struct env *env)
{
	return edu_to_edu(env, VFM_TRANSFER_LIVE);
}

static int move_mtty(struct env *env)
{
	struct vfm_device *a, *b;
	struct memory m;
	uint32_t state;
	int r;

	memory_init(&m);
	r = env_open(env, MTTY_A, &a) || env_open(env, MTTY_B, &b) || mtty_send(env, a, "by stream") ||
	    save(env, a, &m, VFM_TRANSFER_LIVE, VFM_STATE_STOP) || env_state(env, a, VFM_STATE_STOP) ||
	    restore(env, b, &m, VFM_STATE_RUNNING) || env_state(env, b, VFM_STATE_RUNNING) ||
	    mtty_expect(env, b, "by stream") || vfm_device_set_state(a, VFM_STATE_RUNNING, &state, &env->err);
	memory_free(&m);
	return r;
}

static int map_at(struct env *env, struct vfm_device *dev, uint64_t iova, void **ret)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	*ret = map.vaddr = env_memory(env, 4 * PAGE);
	map.iova = iova;
	map.length = 4 * PAGE;
	REQUIRE(map.vaddr);
	OK(vfm_iommu_map(vfm_device_iommu(dev), &map, &env->err));
	return 0;
}

static int pump_start(struct env *env, struct vfm_device *dev, uint64_t iova)
{
	return edu_control_write(env, dev, VFIOMIG_EDU_PUMP_SRC, iova) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_DST, iova + PAGE) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_LENGTH, 256) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_STRIDE, 256) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_SLOTS, 4) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_CTRL, VFIOMIG_EDU_PUMP_RUN | VFIOMIG_EDU_PUMP_IRQ);
}

static int pump_count(struct env *env, struct vfm_device *dev, uint64_t above, uint64_t *ret)
{
	for (int i = 0; i < 60; i++) {
		if (edu_control_read(env, dev, VFIOMIG_EDU_PUMP_COMPLETED, ret))
			return -1;
		if (*ret > above)
			return 0;
		env_sleep_ms(env, 50);
	}
	printf("# the pump stands at %llu\n", (unsigned long long)*ret);
	return -1;
}

/*
 * The whole point: DMA runs while the state is taken, and goes on at the destination in other memory, with its
 * interrupts, though nobody touched the device there.
 */
static int dma_goes_on(struct env *env)
{
	struct vfm_device *a, *b;
	void *memory_a, *memory_b;
	uint64_t at_a = 0, at_b = 0;
	struct pollfd pfd;
	struct memory m;
	int r, fd;

	memory_init(&m);
	if (env_open(env, EDU_A, &a) || env_open(env, EDU_B, &b) || map_at(env, a, 0x20000, &memory_a) ||
	    map_at(env, b, 0x20000, &memory_b))
		return -1;
	fd = env_eventfd(env);
	OK(vfm_device_irq_arm(a, VFM_IRQ_MSI, 0, 1, &fd, &env->err));
	OK(vfm_device_bus_master(a, true, &env->err));
	memset(memory_a, 0x42, 256);
	memset(memory_b, 0x43, 256);
	r = pump_start(env, a, 0x20000) || pump_count(env, a, 0, &at_a) ||
	    save(env, a, &m, VFM_TRANSFER_LIVE, VFM_STATE_UNKNOWN) || pump_count(env, a, at_a, &at_a) ||
	    restore(env, b, &m, VFM_STATE_RUNNING) || pump_count(env, b, 0, &at_b) || pump_count(env, b, at_b, &at_b);
	memory_free(&m);
	REQUIRE(!r);
	REQUIRE(!memcmp((char *)memory_a + PAGE, memory_a, 256));
	pfd = (struct pollfd){ .fd = vfm_device_irq_eventfd(b, VFM_IRQ_MSI, 0), .events = POLLIN };
	REQUIRE(pfd.fd >= 0 && poll(&pfd, 1, 2000) == 1);
	REQUIRE(((uint8_t *)memory_b)[PAGE + ((at_b - 1) % 4) * 256] == 0x43);
	return 0;
}

static int copy_edu(struct env *env)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_device *a, *b;

	if (env_open(env, EDU_A, &a) || env_open(env, EDU_B, &b) || edu_fill(env, a, 4096, 90000, 21))
		return -1;
	OK(vfm_copy(a, b, &opts, &result, &env->err));
	REQUIRE(result.commit == VFM_COMMIT_DONE);
	return env_state(env, a, VFM_STATE_STOP) || env_state(env, b, VFM_STATE_RUNNING) ||
	       edu_compare(env, b, 4096, 90000, 21);
}

static int several_devices(struct env *env)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_device *from[2], *to[2];
	struct memory m;

	if (env_open(env, EDU_A, &from[0]) || env_open(env, MTTY_A, &from[1]) || env_open(env, MTTY_B, &to[0]) ||
	    env_open(env, EDU_B, &to[1]))
		return -1;
	if (edu_fill(env, from[0], 0, 1000, 31) || mtty_send(env, from[1], "second"))
		return -1;
	memory_init(&m);
	OK(vfm_save(from, 2, &m.io, &opts, &result, &env->err));
	memory_rewind(&m);
	opts.then_state = VFM_STATE_RUNNING;
	OK(vfm_restore(to, 2, &m.io, &opts, &result, &env->err));
	memory_free(&m);
	return edu_compare(env, to[1], 0, 1000, 31) || mtty_expect(env, to[0], "second") ||
	       env_state(env, from[0], VFM_STATE_RUNNING) || mtty_expect(env, from[1], "second");
}

/* Refused streams: the target was reset and says so, or was never touched. */
static int refused(struct env *env, struct vfm_device *b, struct memory *m, int want)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };

	m->position = 0;
	REQUIRE_RESULT(vfm_restore(&b, 1, &m->io, &opts, &result, &env->err), want);
	REQUIRE(env->err.message[0] && result.commit == VFM_COMMIT_NONE && result.state_now == VFM_STATE_RUNNING);
	return env_state(env, b, VFM_STATE_RUNNING);
}

static int damaged(struct env *env)
{
	struct vfm_device *a, *b;
	struct memory m;
	size_t whole;
	int r;

	memory_init(&m);
	if (env_open(env, EDU_A, &a) || env_open(env, EDU_B, &b) || save(env, a, &m, 0, VFM_STATE_UNKNOWN))
		return -1;
	whole = m.length;
	m.length = whole - 1;
	r = refused(env, b, &m, -EBADMSG);
	m.length = whole / 2;
	r = r || refused(env, b, &m, -EBADMSG) || !(env->err.flags & VFM_ERROR_WAS_RESET);
	m.length = 0;
	r = r || refused(env, b, &m, -EBADMSG);
	m.length = whole;
	m.bytes[whole / 3] ^= 1;
	r = r || refused(env, b, &m, -EBADMSG);
	m.bytes[whole / 3] ^= 1;
	m.position = 0;
	r = r || restore(env, b, &m, VFM_STATE_RUNNING);
	memory_free(&m);
	return r;
}

static int wrong_device(struct env *env)
{
	struct vfm_device *a, *b;
	struct memory m;
	int r;

	memory_init(&m);
	r = env_open(env, MTTY_A, &a) || env_open(env, EDU_B, &b) || edu_fill(env, b, 0, 100, 51) ||
	    save(env, a, &m, 0, VFM_STATE_UNKNOWN) || refused(env, b, &m, -EREMOTEIO) ||
	    edu_compare(env, b, 0, 100, 51);
	memory_free(&m);
	return r;
}

static int blob(struct env *env)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_device *a, *b;
	size_t length = 0;
	void *back = NULL;
	struct memory m;
	int r;

	if (env_open(env, MTTY_A, &a) || env_open(env, MTTY_B, &b))
		return -1;
	memory_init(&m);
	opts.blob = "what only the VMM knows";
	opts.blob_length = 24;
	OK(vfm_save(&a, 1, &m.io, &opts, &result, &env->err));
	memory_rewind(&m);
	opts.blob = NULL;
	opts.blob_length = 0;
	opts.ret_blob = &back;
	opts.ret_blob_length = &length;
	opts.then_state = VFM_STATE_RUNNING;
	r = vfm_restore(&b, 1, &m.io, &opts, &result, &env->err) || length != 24 ||
	    memcmp(back, "what only the VMM knows", 24) != 0;
	memory_free(&m);
	free(back);
	return r;
}

static int channel_fails(struct env *env)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_STOP };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_device *dev;
	struct memory m;

	if (env_open(env, EDU_A, &dev) || edu_fill(env, dev, 0, 4000, 61))
		return -1;
	for (size_t after = 1; after < 4 << 20; after = after * 5 + 100) {
		memory_init(&m);
		m.fail_after = after;
		REQUIRE_RESULT(vfm_save(&dev, 1, &m.io, &opts, &result, &env->err), -EIO);
		memory_free(&m);
		REQUIRE((env->err.flags & VFM_ERROR_PEER) && result.state_now == VFM_STATE_RUNNING);
		if (env_state(env, dev, VFM_STATE_RUNNING))
			return -1;
	}
	return edu_compare(env, dev, 0, 4000, 61);
}

static int cancel_at_once(void *user, const struct vfm_progress *progress)
{
	(void)user;
	return progress->phase == VFM_PHASE_STOP_COPY;
}

static int cancelled(struct env *env)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts),
					  .then_state = VFM_STATE_STOP,
					  .progress = cancel_at_once };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_device *dev;
	struct memory m;
	int r;

	if (env_open(env, EDU_A, &dev))
		return -1;
	memory_init(&m);
	r = vfm_save(&dev, 1, &m.io, &opts, &result, &env->err);
	memory_free(&m);
	REQUIRE(r == -ECANCELED);
	return env_state(env, dev, VFM_STATE_RUNNING);
}

const struct scenario transfer_scenarios[] = {
	{ "edu to edu by stream, all contents", snapshot_edu },
	{ "edu to edu by stream, live", live_edu },
	{ "mtty moves by stream", move_mtty },
	{ "DMA and MSI go on at the destination by themselves", dma_goes_on },
	{ "copy on one host", copy_edu },
	{ "two devices in one stream", several_devices },
	{ "damaged and truncated streams", damaged },
	{ "a stream of another device leaves the target alone", wrong_device },
	{ "the caller's blob travels along", blob },
	{ "a channel that fails leaves the source running", channel_fails },
	{ "cancelled in stop-copy", cancelled },
	{ NULL, NULL },
};
