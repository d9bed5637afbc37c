// SPDX-License-Identifier: MIT
/*
 * The log of a vhost device beside a tracker: the kernel's worker and the engine of a vfiomig_soft write to one RAM all
 * the time, and a mirror made of what the two report and of what the guest wrote itself is that RAM in the end. There
 * is no guest: a thread is its driver, which offers buffers at random addresses, and also the peer that sends to it.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../kmod/vfiomig_soft.h"
#include "lab.h"

/*
 * Guest addresses: two queues, then what buffers lie in. The device writes to the first half of these only: in the
 * other one it is vhost's log or nothing.
 */
#define RING 1024u
#define AVAIL_AT (4 * PAGE)
#define USED_AT (5 * PAGE)
#define QUEUE_PAGES 8u
#define QUEUES 2u
#define DATA_PAGE (QUEUES * QUEUE_PAGES)
#define PAGES 1024u
#define DEVICE_PAGES ((PAGES - DATA_PAGE) / 2)
#define BUFFER 4096u
#define IOVA 0x100000ull
#define BURST 32u
#define FRAME 3000u
#define ETHERTYPE 0x88b5 /* for experiments */
#define CID 42u
#define WAIT_MS 10000u

struct machine;

/* A device of vhost; queue 0 is what the guest receives by. @send: what makes it write to some buffers. */
struct kind {
	const char *path;
	uint64_t features;
	int (*run)(struct machine *m, bool on);
	void (*send)(struct machine *m);
};

struct plan {
	const struct kind *kind;
	unsigned int rounds;
	bool logs;	    /* the buffers; rings it always does */
	bool takes;	    /* and what it logs is taken */
	bool late;	    /* but only after the pages were read */
	bool marks_buffers; /* the driver tells what came back to it, as if it had written that itself */
};

struct machine {
	struct env *env;
	const struct plan *plan;
	uint8_t *ram;
	uint8_t *mirror;
	struct vfm_device *dev;
	struct vfm_tracker *tracker;
	uint64_t bitmap[PAGES / 64];
	uint64_t log[PAGES / 64]; /* vhost's */
	uint64_t cpu[PAGES / 64]; /* the driver's, as KVM would tell */
	int vhost;
	int kick;
	int backend; /* of vhost-net: a packet socket on the loopback, which hears itself */
	struct vring_desc *descs;
	struct vring_avail *avail;
	struct vring_used *used;
	unsigned int seed;
	uint16_t offered;
	uint16_t seen;
	atomic_uint received;
	atomic_bool over;
	pthread_t guest;
	bool plays;
	uint64_t by_device;
	uint64_t by_vhost;
	uint64_t in_buffers; /* of these */
};

/* the guest's driver */

static void mark(struct machine *m, uint64_t at, uint64_t length)
{
	vfm_bitmap_set(m->cpu, at / PAGE, (at + length - 1) / PAGE - at / PAGE + 1, true);
}

static void offer(struct machine *m, uint16_t id)
{
	const uint64_t at = DATA_PAGE * PAGE + (unsigned int)rand_r(&m->seed) % ((PAGES - DATA_PAGE) * PAGE - BUFFER);

	m->descs[id].addr = htole64(at);
	m->descs[id].len = htole32(BUFFER);
	m->descs[id].flags = htole16(VRING_DESC_F_WRITE);
	m->avail->ring[m->offered % RING] = htole16(id);
	__atomic_store_n(&m->avail->idx, htole16(++m->offered), __ATOMIC_RELEASE);
	mark(m, id * sizeof(*m->descs), sizeof(*m->descs));
	mark(m, AVAIL_AT, PAGE);
}

/* What came back is offered again; nobody looks into it. */
static void receive(struct machine *m)
{
	while (m->seen != le16toh(__atomic_load_n(&m->used->idx, __ATOMIC_ACQUIRE))) {
		const struct vring_used_elem *elem = &m->used->ring[m->seen++ % RING];
		const uint16_t id = (uint16_t)le32toh(elem->id);

		if (m->plan->marks_buffers)
			mark(m, le64toh(m->descs[id].addr), le32toh(elem->len));
		if (!atomic_load(&m->over))
			offer(m, id);
		atomic_fetch_add(&m->received, 1);
	}
}

static void *play_guest(void *user)
{
	const uint64_t one = 1;
	struct machine *m = user;

	while (!atomic_load(&m->over)) {
		receive(m);
		if (write(m->kick, &one, sizeof(one)) != sizeof(one))
			break;
		m->plan->kind->send(m);
		env_sleep_ms(m->env, 1);
	}
	return NULL;
}

/* the devices of vhost */

static int ask(struct machine *m, unsigned long request, void *argument)
{
	return ioctl(m->vhost, request, argument) < 0 ? -errno : 0;
}

static int net_run(struct machine *m, bool on)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE) };
	struct vhost_vring_file file = { .index = 0, .fd = -1 };
	struct env *env = m->env;

	if (on) {
		at.sll_ifindex = (int)if_nametoindex("lo");
		m->backend = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE));
		REQUIRE(m->backend >= 0 && bind(m->backend, (struct sockaddr *)&at, sizeof(at)) == 0);
		file.fd = m->backend;
	}
	OK(ask(m, VHOST_NET_SET_BACKEND, &file));
	return 0;
}

static void net_send(struct machine *m)
{
	uint8_t frame[FRAME] = { [12] = ETHERTYPE >> 8, [13] = ETHERTYPE & 0xff };

	for (unsigned int i = 0; i < BURST; i++) {
		memset(frame + ETH_HLEN, rand_r(&m->seed), FRAME - ETH_HLEN);
		send(m->backend, frame, ETH_ZLEN + (unsigned int)rand_r(&m->seed) % (FRAME - ETH_ZLEN), MSG_DONTWAIT);
	}
}

static int vsock_run(struct machine *m, bool on)
{
	struct env *env = m->env;
	uint64_t cid = CID;
	int running = on;

	if (on)
		OK(ask(m, VHOST_VSOCK_SET_GUEST_CID, &cid));
	OK(ask(m, VHOST_VSOCK_SET_RUNNING, &running));
	return 0;
}

/* Each is a packet of 44 bytes that asks for a connection; nobody answers. */
static void vsock_send(struct machine *m)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_cid = CID, .svm_port = 7 };

	(void)m;
	for (unsigned int i = 0; i < BURST / 4; i++) {
		int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return;
		connect(fd, (struct sockaddr *)&to, sizeof(to));
		close(fd);
	}
}

static int set_address(struct machine *m, unsigned int index, uint32_t flags)
{
	const uint64_t at = index * QUEUE_PAGES * PAGE;
	struct vhost_vring_addr addr = { .index = index, .flags = flags };

	addr.desc_user_addr = (uintptr_t)(m->ram + at);
	addr.avail_user_addr = (uintptr_t)(m->ram + at + AVAIL_AT);
	addr.used_user_addr = (uintptr_t)(m->ram + at + USED_AT);
	addr.log_guest_addr = at + USED_AT;
	return ask(m, VHOST_SET_VRING_ADDR, &addr);
}

static int set_queue(struct machine *m, unsigned int index)
{
	struct vhost_vring_state number = { .index = index, .num = RING };
	struct vhost_vring_file kick = { .index = index, .fd = m->kick };
	struct env *env = m->env;

	OK(ask(m, VHOST_SET_VRING_NUM, &number));
	OK(set_address(m, index, 0));
	OK(ask(m, VHOST_SET_VRING_KICK, &kick));
	return 0;
}

static int open_vhost(struct machine *m)
{
	uint64_t table[1 + sizeof(struct vhost_memory_region) / sizeof(uint64_t)] = { 0 };
	struct vhost_memory *memory = (struct vhost_memory *)table;
	uint64_t features = m->plan->kind->features;
	struct env *env = m->env;

	m->vhost = open(m->plan->kind->path, O_RDWR | O_CLOEXEC);
	REQUIRE(m->vhost >= 0);
	memory->nregions = 1;
	memory->regions[0].memory_size = PAGES * PAGE;
	memory->regions[0].userspace_addr = (uintptr_t)m->ram;
	OK(ask(m, VHOST_SET_OWNER, NULL));
	OK(ask(m, VHOST_SET_FEATURES, &features));
	OK(ask(m, VHOST_SET_MEM_TABLE, memory));
	for (unsigned int i = 0; i < QUEUES; i++) {
		if (set_queue(m, i))
			return -1;
	}
	return m->plan->kind->run(m, true);
}

/*
 * While it runs, as when a migration begins. The log is an address: how long it must be nobody asks. The buffers are
 * logged by a feature, each ring by a flag.
 */
static int start_log(struct machine *m)
{
	uint64_t features = m->plan->kind->features | 1ull << VHOST_F_LOG_ALL;
	uint64_t nowhere = UINT64_MAX - PAGE;
	uint64_t log = (uintptr_t)m->log;
	struct env *env = m->env;

	OK(ask(m, VHOST_SET_LOG_BASE, &log));
	if (m->plan->logs)
		OK(ask(m, VHOST_SET_FEATURES, &features));
	for (unsigned int i = 0; i < QUEUES; i++)
		OK(set_address(m, i, 1u << VHOST_VRING_F_LOG));
	REQUIRE_RESULT(ask(m, VHOST_SET_LOG_BASE, &nowhere), -EFAULT);
	return 0;
}

/* the mirror */

/* Bits are taken before the pages are read: what is written meanwhile is told by the next report. */
static void copy_reported(struct machine *m)
{
	uint64_t told[PAGES / 64] = { 0 };

	if (m->plan->late)
		vfm_bitmap_merge(told, 0, m->log, 0, PAGES, false);
	else if (m->plan->takes)
		vfm_bitmap_take(m->log, 0, PAGES, VFM_BITMAP_WORDS, told, 0);
	m->by_vhost += vfm_bitmap_count(told, 0, PAGES);
	m->in_buffers += vfm_bitmap_count(told, DATA_PAGE, PAGES - DATA_PAGE);
	vfm_bitmap_merge(m->bitmap, 0, told, 0, PAGES, false);
	vfm_bitmap_take(m->cpu, 0, PAGES, VFM_BITMAP_WORDS, m->bitmap, 0);
	lab_copy_pages(m->mirror, m->ram, m->bitmap, PAGES);
	vfm_bitmap_clear(m->bitmap, 0, PAGES);
	if (m->plan->late) {
		env_sleep_ms(m->env, 5);
		vfm_bitmap_take(m->log, 0, PAGES, VFM_BITMAP_WORDS, NULL, 0);
	}
}

static int round_trip(struct machine *m, uint32_t flags)
{
	VFM_OPTS(vfm_tracker_report, report);
	struct env *env = m->env;

	OK(vfm_tracker_sync(m->tracker, flags, &report, &env->err));
	m->by_device += report.dirty;
	copy_reported(m);
	return 0;
}

static int open_tracker(struct machine *m)
{
	const uint64_t at = DATA_PAGE * PAGE, length = DEVICE_PAGES * PAGE;
	VFM_OPTS(vfm_tracker_opts, opts);
	struct env *env = m->env;

	opts.bitmap.size = sizeof(opts.bitmap);
	opts.bitmap.page_shift = 12;
	opts.bitmap.words = m->bitmap;
	opts.bitmap.pages = PAGES;
	if (lab_open(env, VFM_BACKEND_IOMMUFD, FIRST, &m->dev) || soft_clear_knobs(env, m->dev))
		return -1;
	OK(env_map(env, vfm_device_iommu(m->dev), m->ram + at, length, IOVA));
	OK(vfm_tracker_new(env->ctx, &opts, &m->tracker, &env->err));
	OK(vfm_tracker_map(m->tracker, vfm_device_iommu(m->dev), IOVA, length, at, &env->err));
	OK(vfm_tracker_join(m->tracker, m->dev, &env->err));
	return soft_run(env, m->dev, IOVA, DEVICE_PAGES, VFIOMIG_SOFT_RUN_STRADDLE);
}

static int begin(struct machine *m)
{
	struct env *env = m->env;

	m->ram = env_memory(env, PAGES * PAGE);
	m->mirror = env_memory(env, PAGES * PAGE);
	m->kick = env_eventfd(env);
	REQUIRE(m->ram && m->mirror && m->kick >= 0);
	m->descs = (void *)m->ram;
	m->avail = (void *)(m->ram + AVAIL_AT);
	m->used = (void *)(m->ram + USED_AT);
	for (uint16_t id = 0; id < RING; id++)
		offer(m, id);
	if (open_vhost(m))
		return -1;
	m->plays = pthread_create(&m->guest, NULL, play_guest, m) == 0;
	REQUIRE(m->plays);
	if (open_tracker(m) || start_log(m))
		return -1;
	/* all of it, once */
	vfm_bitmap_set(m->bitmap, 0, PAGES, false);
	copy_reported(m);
	return 0;
}

static void stop_guest(struct machine *m)
{
	atomic_store(&m->over, true);
	if (m->plays)
		pthread_join(m->guest, NULL);
	m->plays = false;
}

static int wait_received(struct machine *m)
{
	const unsigned int from = atomic_load(&m->received);

	for (unsigned int ms = 0; ms < WAIT_MS; ms++) {
		if (atomic_load(&m->received) != from)
			return 0;
		env_sleep_ms(m->env, 1);
	}
	printf("# %s writes no more\n", m->plan->kind->path);
	return -1;
}

/* All writers stop, then comes the last report of each. */
static int end(struct machine *m)
{
	uint32_t state = VFM_STATE_UNKNOWN;
	struct env *env = m->env;

	stop_guest(m);
	if (m->plan->kind->run(m, false))
		return -1;
	OK(vfm_device_set_state(m->dev, VFM_STATE_STOP, &state, &env->err));
	REQUIRE(state == VFM_STATE_STOP);
	receive(m);
	return round_trip(m, VFM_TRACKER_FINAL);
}

static int all_rounds(struct machine *m)
{
	if (begin(m))
		return -1;
	for (unsigned int number = 0; number < m->plan->rounds; number++) {
		if (soft_wait_writes(m->env, m->dev, 4) || wait_received(m) || round_trip(m, 0))
			return -1;
	}
	return end(m);
}

static int judge(const struct machine *m)
{
	const unsigned int differ = lab_pages_differ(m->mirror, m->ram, PAGES);
	const bool whole = m->plan->logs && m->plan->takes && !m->plan->late;
	const struct env *env = m->env;

	printf("# %u rounds, %llu pages reported by the device, %llu by vhost, %llu of them in buffers; %u buffers "
	       "received; %u pages differ\n",
	       m->plan->rounds, (unsigned long long)m->by_device, (unsigned long long)m->by_vhost,
	       (unsigned long long)m->in_buffers, atomic_load(&m->received), differ);
	REQUIRE(m->by_device > m->plan->rounds);
	REQUIRE(!whole || m->by_vhost > m->plan->rounds);
	REQUIRE((differ == 0) == whole);
	return 0;
}

static int play(struct env *env, const struct plan *plan)
{
	struct machine m = { .env = env, .plan = plan, .vhost = -1, .backend = -1, .seed = 4711 };
	int r = all_rounds(&m) || judge(&m) ? -1 : 0;

	stop_guest(&m);
	vfm_tracker_free(m.tracker);
	if (m.vhost >= 0)
		close(m.vhost);
	if (m.backend >= 0)
		close(m.backend);
	return r;
}

static const struct kind net = {
	.path = "/dev/vhost-net",
	.features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VHOST_NET_F_VIRTIO_NET_HDR,
	.run = net_run,
	.send = net_send,
};

static const struct kind vsock = {
	.path = "/dev/vhost-vsock",
	.features = 1ull << VIRTIO_F_VERSION_1,
	.run = vsock_run,
	.send = vsock_send,
};

static int by_net(struct env *env)
{
	static const struct plan plan = { .kind = &net, .rounds = 200, .logs = true, .takes = true };

	return play(env, &plan);
}

/* The mirror itself on trial: what is not asked for, or not taken, must show in it. */
static int net_ring_only(struct env *env)
{
	static const struct plan plan = { .kind = &net, .rounds = 32, .takes = true };

	return play(env, &plan);
}

static int net_left_out(struct env *env)
{
	static const struct plan plan = { .kind = &net, .rounds = 32, .logs = true };

	return play(env, &plan);
}

static int net_late(struct env *env)
{
	static const struct plan plan = { .kind = &net, .rounds = 32, .logs = true, .takes = true, .late = true };

	return play(env, &plan);
}

/* Its log has the rings and not the buffers, of which the driver tells here: so are Linux 6.12 and 7.2. */
static int by_vsock(struct env *env)
{
	static const struct plan plan = {
		.kind = &vsock, .rounds = 200, .logs = true, .takes = true, .marks_buffers = true
	};

	return play(env, &plan);
}

static int vsock_left_out(struct env *env)
{
	static const struct plan plan = { .kind = &vsock, .rounds = 32, .logs = true, .marks_buffers = true };

	return play(env, &plan);
}

const struct lab_test vhost_tests[] = {
	{ "vhost-net", "its log beside a device's", by_net },
	{ "vhost-net", "a log of its ring only is found out", net_ring_only },
	{ "vhost-net", "its log left out is found out", net_left_out },
	{ "vhost-net", "its log taken after the pages is found out", net_late },
	{ "vhost-vsock", "its log beside a device's", by_vsock },
	{ "vhost-vsock", "its log left out is found out", vsock_left_out },
	{ NULL, NULL, NULL },
};
