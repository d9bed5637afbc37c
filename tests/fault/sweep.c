// SPDX-License-Identifier: MIT
/*
 * Fault sweep: every call of every operation fails once in each mode, then from there on for ever. After each run
 * nothing may be left open, what the error says of the device's state must be true, a source must never have been
 * reset and a target never hold half a state. With --pairs every two calls of the operations of few calls fail, as many
 * as SECONDS allow. TAP on stdout: sweep [--pairs SECONDS] [OPERATION...].
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <vfiomig.h>
#include <vfiomig/sim.h>
#include <vfiomig/transport.h>

#include "../kmod/vfiomig_edu.h"

#define SPEC "edu@0000:01:00.0,state=64k;edu@0000:02:00.0,state=64k"
#define SOURCE "0000:01:00.0"
#define TARGET "0000:02:00.0"
#define MARK 0x6b72616d

struct bench {
	struct vfm_sim *sim;
	struct vfm_context *ctx;
	struct vfm_iommu *iommu;
	struct vfm_device *source;
	struct vfm_device *target;
	struct vfm_error err;
	char file[64];
	char machine[64];
	uint8_t *stream;
	size_t stream_length;
	size_t position;
	uint64_t resets_before;
	bool wrong;	 /* found by the operation itself */
	uint64_t struck; /* by a plan that the operation has cleared itself */
};

/* What an operation promises about the two devices; checked after every failure. */
struct operation {
	const char *name;
	int (*run)(struct bench *b);
	bool devices;	      /* open both devices before the faults begin */
	bool small;	      /* has few calls, and something to undo: every pair can fail */
	bool shared;	      /* the machine is in a file, for a peer with a handle of its own */
	bool loads;	      /* the target may end blank and reset, never half loaded */
	bool both;	      /* either side may have failed: the operation checks the states itself */
	uint32_t source_then; /* state of the source after success */
	uint32_t target_then;
};

static int fail(const char *what, const struct bench *b)
{
	printf("# %s; fault at %s; error says: %s\n", what, vfm_sim_last_fault(b->sim), b->err.message);
	return -1;
}

/* memory channel */

static int memory_write(void *user, const void *buf, size_t length)
{
	struct bench *b = user;
	uint8_t *bytes = realloc(b->stream, b->stream_length + length);

	if (!bytes)
		return -ENOMEM;
	memcpy(bytes + b->stream_length, buf, length);
	b->stream = bytes;
	b->stream_length += length;
	return 0;
}

static int64_t memory_read(void *user, void *buf, size_t length)
{
	struct bench *b = user;
	size_t n = b->stream_length - b->position < length ? b->stream_length - b->position : length;

	memcpy(buf, b->stream + b->position, n);
	b->position += n;
	return (int64_t)n;
}

/* the operations */

static int op_open(struct bench *b)
{
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	int r = vfm_iommu_open(b->ctx, &iommu, &b->err);

	if (r)
		return r;
	r = vfm_device_open_attached(b->ctx, SOURCE, iommu, &dev, &b->err);
	if (!r)
		vfm_device_close(dev);
	vfm_iommu_close(iommu);
	return r;
}

static int count_device(void *user, const struct vfm_candidate *c)
{
	(void)c;
	++*(int *)user;
	return 0;
}

static int op_discover(struct bench *b)
{
	int count = 0;
	int r = vfm_discover(b->ctx, count_device, &count, &b->err);

	return r < 0 ? r : 0;
}

static int op_map(struct bench *b)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };
	int r, back;

	map.vaddr = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map.length = 8192;
	map.iova = 0x10000;
	r = vfm_iommu_map(b->iommu, &map, &b->err);
	if (!r) {
		r = vfm_iommu_unmap(b->iommu, map.iova, map.length, &b->err);
		if (r) {
			b->struck = vfm_sim_faults_hit(b->sim);
			back = vfm_sim_set_faults(b->sim, NULL, 0);
			back = back ? back : vfm_iommu_unmap(b->iommu, map.iova, map.length, NULL);
			if (back && back != -ENOENT)
				fprintf(stderr, "# unmap does not come back: %d\n", back);
		}
	}
	return r;
}

static int op_interrupts(struct bench *b)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	int r = vfm_device_irq_arm(b->source, VFM_IRQ_MSI, 0, 1, &fd, &b->err);

	close(fd);
	return r ? r : vfm_device_irq_disarm(b->source, VFM_IRQ_MSI, &b->err);
}

static int save(struct bench *b, uint32_t flags, uint32_t then)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .flags = flags, .then_state = then };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_io io = { .size = sizeof(io), .user = b, .write = memory_write };

	return vfm_save(&b->source, 1, &io, &opts, &result, &b->err);
}

static int op_save(struct bench *b)
{
	return save(b, 0, VFM_STATE_UNKNOWN);
}

static int op_save_live(struct bench *b)
{
	return save(b, VFM_TRANSFER_LIVE, VFM_STATE_STOP);
}

static int op_save_file(struct bench *b)
{
	struct vfm_endpoint_opts how = { .size = sizeof(how), .flags = VFM_ENDPOINT_WRITE };
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_endpoint *to;
	int r = vfm_endpoint_open(b->ctx, b->file, &how, &to, &b->err);

	if (r)
		return r;
	r = vfm_save(&b->source, 1, vfm_endpoint_io(to), &opts, &result, &b->err);
	if (!r)
		r = vfm_endpoint_commit(to, &b->err);
	vfm_endpoint_close(to);
	return r;
}

static int op_restore(struct bench *b)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_io io = { .size = sizeof(io), .user = b, .read = memory_read };
	int r = vfm_restore(&b->target, 1, &io, &opts, &result, &b->err);

	return r;
}

static int op_copy(struct bench *b)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_transfer_result result = { .size = sizeof(result) };

	return vfm_copy(b->source, b->target, &opts, &result, &b->err);
}

/* The peer of a lending: on a handle of its own, without faults. */
struct peer {
	struct bench *b;
	char name[64];
	_Atomic bool stop;
	bool asked; /* got the device and its state */
};

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	struct vfm_sim *sim = NULL;
	struct vfm_context *ctx = NULL;
	struct vfm_borrow *borrow = NULL;
	uint32_t state = VFM_STATE_UNKNOWN;
	char message[256];

	if (vfm_sim_open(p->b->machine, NULL, &sim, message, sizeof(message)) || vfm_sim_context(sim, &ctx)) {
		printf("# peer: %s\n", message);
		goto out;
	}
	for (int i = 0; i < 200 && !p->stop; i++) {
		if (!vfm_borrow_open(ctx, p->name, &borrow, NULL))
			break;
		usleep(2000);
	}
	if (borrow && vfm_borrow_device(borrow, 0))
		(void)!vfm_device_get_state(vfm_borrow_device(borrow, 0), &state, NULL);
	p->asked = state == VFM_STATE_RUNNING;
	vfm_borrow_close(borrow);
out:
	vfm_context_free(ctx);
	vfm_sim_close(sim);
	return NULL;
}

/* The holder's side fails; the borrower is whole. */
static int op_lend(struct bench *b)
{
	struct vfm_lend_info info = { .size = sizeof(info) };
	struct peer peer = { .b = b };
	struct vfm_lender *lender;
	pthread_t thread;
	int r;

	snprintf(peer.name, sizeof(peer.name), "@vfiomig-sweep-%d", (int)getpid());
	r = vfm_lender_open(b->ctx, peer.name, &lender, &b->err);
	if (r)
		return r;
	r = vfm_lender_add(lender, b->source, &b->err);
	if (!r && pthread_create(&thread, NULL, peer_main, &peer) == 0) {
		for (int i = 0; i < 100 && !r && info.event != VFM_LEND_RETURNED && info.event != VFM_LEND_DIED &&
				info.event != VFM_LEND_REFUSED;
		     i++) {
			r = vfm_lender_dispatch(lender, &info, &b->err);
			usleep(500);
		}
		vfm_lender_close(lender);
		peer.stop = true;
		pthread_join(thread, NULL);
		if (!r && info.event == VFM_LEND_RETURNED && !peer.asked)
			r = -EPROTO;
		return r;
	}
	vfm_lender_close(lender);
	return r;
}

/* A handover over a socket pair: both ends on one machine, faults strike either. */

static int64_t socket_read(void *user, void *buf, size_t length)
{
	ssize_t n = recv(*(int *)user, buf, length, 0);

	return n < 0 ? -errno : n;
}

static int socket_write(void *user, const void *buf, size_t length)
{
	for (const char *p = buf; length;) {
		ssize_t n = send(*(int *)user, p, length, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		p += n;
		length -= (size_t)n;
	}
	return 0;
}

struct destination {
	struct bench *b;
	int fd;
	int result;
	struct vfm_transfer_result transfer;
};

static void *destination_main(void *arg)
{
	struct destination *d = arg;
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_io io = { .size = sizeof(io), .user = &d->fd, .read = socket_read, .write = socket_write };

	d->transfer.size = sizeof(d->transfer);
	d->result = vfm_restore(&d->b->target, 1, &io, &opts, &d->transfer, NULL);
	shutdown(d->fd, SHUT_RDWR);
	return NULL;
}

static int marks_of(struct bench *b, const char *device);

/* Never two runners; in doubt both stopped; the source runs again whenever nothing was handed over. */
static int check_handover(struct bench *b, int r, const struct vfm_transfer_result *result, const struct destination *d)
{
	uint32_t source = VFM_STATE_UNKNOWN, target = VFM_STATE_UNKNOWN;
	bool loaded;

	if (vfm_sim_set_faults(b->sim, NULL, 0) || vfm_device_get_state(b->source, &source, NULL) ||
	    vfm_device_get_state(b->target, &target, NULL))
		return -1;
	loaded = marks_of(b, TARGET) == 2 && target == VFM_STATE_RUNNING;
	if (source == VFM_STATE_RUNNING && loaded)
		return -1;
	if (r == 0 && (result->commit != VFM_COMMIT_DONE || source != VFM_STATE_STOP))
		return -1;
	if (result->commit == VFM_COMMIT_DOUBT && source != VFM_STATE_STOP)
		return -1;
	if (d->transfer.commit == VFM_COMMIT_DOUBT && target == VFM_STATE_RUNNING)
		return -1;
	return 0;
}

static int op_handover(struct bench *b)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct destination d = { .b = b };
	struct vfm_io io = { .size = sizeof(io), .read = socket_read, .write = socket_write };
	pthread_t thread;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	d.fd = fds[1];
	io.user = &fds[0];
	if (pthread_create(&thread, NULL, destination_main, &d))
		return -EAGAIN;
	r = vfm_save(&b->source, 1, &io, &opts, &result, &b->err);
	shutdown(fds[0], SHUT_RDWR);
	pthread_join(thread, NULL);
	close(fds[0]);
	close(fds[1]);
	b->struck = vfm_sim_faults_hit(b->sim);
	if (check_handover(b, r, &result, &d)) {
		printf("# save gave %d commit %u, restore %d commit %u\n", r, result.commit, d.result,
		       d.transfer.commit);
		b->wrong = true;
	}
	return r;
}

static const struct operation operations[] = {
	{ "open", op_open, .small = true },
	{ "discover", op_discover, .devices = false },
	{ "map", op_map, .devices = true, .small = true, .source_then = VFM_STATE_RUNNING,
	  .target_then = VFM_STATE_RUNNING },
	{ "interrupts", op_interrupts, .devices = true, .small = true, .source_then = VFM_STATE_RUNNING,
	  .target_then = VFM_STATE_RUNNING },
	{ "save", op_save, .devices = true, .small = true, .source_then = VFM_STATE_RUNNING,
	  .target_then = VFM_STATE_RUNNING },
	{ "save-live", op_save_live, .devices = true, .small = true, .source_then = VFM_STATE_STOP,
	  .target_then = VFM_STATE_RUNNING },
	{ "save-file", op_save_file, .devices = true, .small = true, .source_then = VFM_STATE_RUNNING,
	  .target_then = VFM_STATE_RUNNING },
	{ "restore", op_restore, .devices = true, .small = true, .loads = true, .source_then = VFM_STATE_RUNNING,
	  .target_then = VFM_STATE_RUNNING },
	{ "copy", op_copy, .devices = true, .small = true, .loads = true, .source_then = VFM_STATE_STOP,
	  .target_then = VFM_STATE_RUNNING },
	{ "handover", op_handover, .devices = true, .loads = true, .both = true },
	{ "lend", op_lend, .devices = true, .shared = true, .source_then = VFM_STATE_RUNNING,
	  .target_then = VFM_STATE_RUNNING },
};

/* Both ends of the contents carry a mark on the source; the target starts blank. */
static int mark_source(struct bench *b)
{
	uint32_t mark = MARK;

	return vfm_sim_contents_write(b->sim, SOURCE, 0, &mark, sizeof(mark)) ||
	       vfm_sim_contents_write(b->sim, SOURCE, 65532, &mark, sizeof(mark));
}

static int marks_of(struct bench *b, const char *device)
{
	uint32_t first = 0, last = 0;

	if (vfm_sim_contents_read(b->sim, device, 0, &first, sizeof(first)) ||
	    vfm_sim_contents_read(b->sim, device, 65532, &last, sizeof(last)))
		return -1;
	return (first == MARK) + (last == MARK);
}

static void bench_close(struct bench *b)
{
	vfm_device_close(b->source);
	vfm_device_close(b->target);
	vfm_iommu_close(b->iommu);
	vfm_context_free(b->ctx);
	vfm_sim_close(b->sim);
	unlink(b->file);
	unlink(b->machine);
	free(b->stream);
}

static int bench_open(struct bench *b, const struct operation *op)
{
	struct vfm_sim_usage use = { .size = sizeof(use) };
	char message[256] = "";
	int r;

	memset(b, 0, sizeof(*b));
	b->err.size = sizeof(b->err);
	snprintf(b->file, sizeof(b->file), "/tmp/vfiomig-sweep-%d", (int)getpid());
	unlink(b->file);
	snprintf(b->machine, sizeof(b->machine), "/tmp/vfiomig-sweep-machine-%d", (int)getpid());
	unlink(b->machine);
	r = vfm_sim_open(op->shared ? b->machine : NULL, SPEC, &b->sim, message, sizeof(message));
	if (!r)
		r = vfm_sim_context(b->sim, &b->ctx);
	if (!r && op->devices) {
		r = vfm_iommu_open(b->ctx, &b->iommu, &b->err);
		if (!r)
			r = vfm_device_open_attached(b->ctx, SOURCE, b->iommu, &b->source, &b->err);
		if (!r)
			r = vfm_device_open_attached(b->ctx, TARGET, b->iommu, &b->target, &b->err);
		if (!r)
			r = mark_source(b);
		if (!r && op->run == op_restore)
			r = save(b, 0, VFM_STATE_UNKNOWN);
	}
	vfm_sim_usage(b->sim, &use);
	b->resets_before = use.resets;
	if (r)
		printf("# cannot set up %s: %d %s %s\n", op->name, r, message, b->err.message);
	return r;
}

static int check_states(struct bench *b, const struct operation *op, int r)
{
	uint32_t source = VFM_STATE_UNKNOWN, target = VFM_STATE_UNKNOWN;
	int marks;

	if (vfm_device_get_state(b->source, &source, NULL) || vfm_device_get_state(b->target, &target, NULL))
		return fail("the state cannot be asked", b);
	if (r == 0)
		return source == op->source_then && target == op->target_then ? 0 : fail("success in another state", b);
	if (b->err.code == 0 || !b->err.message[0])
		return fail("a failure without an error", b);
	if (marks_of(b, SOURCE) != 2)
		return fail("the source lost its contents", b);
	marks = marks_of(b, TARGET);
	if (target != VFM_STATE_RESUMING && target != VFM_STATE_ERROR && marks == 1)
		return fail("the target runs on half a state", b);
	if (b->err.state_now != VFM_STATE_UNKNOWN && b->err.state_now != source && b->err.state_now != target) {
		printf("# says %s, is %s and %s\n", vfm_state_name(b->err.state_now), vfm_state_name(source),
		       vfm_state_name(target));
		return fail("the error is not true", b);
	}
	if (!op->loads && target != VFM_STATE_RUNNING)
		return fail("the target was touched", b);
	if (op->loads && target != VFM_STATE_RUNNING && target != op->target_then &&
	    !(b->err.flags & VFM_ERROR_NEEDS_RESET))
		return fail("a target left half loaded without a word", b);
	return 0;
}

/* Single failures must be undone; only when everything that follows fails too may the device stay where it is. */
static int check_undone(struct bench *b, const struct operation *op, int r, bool forever)
{
	struct vfm_sim_usage use = { .size = sizeof(use) };
	uint32_t source = VFM_STATE_UNKNOWN;

	vfm_sim_usage(b->sim, &use);
	if (!op->loads && use.resets != b->resets_before)
		return fail("a source was reset", b);
	if (r == 0 || forever || !op->devices)
		return 0;
	if (vfm_device_get_state(b->source, &source, NULL))
		return fail("the state cannot be asked", b);
	if (source != VFM_STATE_RUNNING && source != op->source_then && !(b->err.flags & VFM_ERROR_NEEDS_RESET) &&
	    b->err.state_now != source)
		return fail("the source was left behind", b);
	return 0;
}

static int check_leaks(struct bench *b)
{
	struct vfm_sim_usage use = { .size = sizeof(use) };

	vfm_device_close(b->source);
	vfm_device_close(b->target);
	vfm_iommu_close(b->iommu);
	b->source = b->target = NULL;
	b->iommu = NULL;
	vfm_sim_usage(b->sim, &use);
	if (use.open_fds || use.maps || use.mmaps || use.devices_open || use.data_sessions) {
		printf("# left open: %u fds, %u maps, %u mmaps, %u devices, %u sessions\n", use.open_fds, use.maps,
		       use.mmaps, use.devices_open, use.data_sessions);
		return fail("leaked", b);
	}
	if (use.strict_errors) {
		printf("# strict: %s\n", vfm_sim_strict_message(b->sim));
		return fail("a call no correct program makes", b);
	}
	return 0;
}

static void describe(const struct vfm_sim_fault *faults, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%s call %llu mode %u%s", i ? "," : "", (unsigned long long)faults[i].call, faults[i].mode,
		       faults[i].count > 1 ? " and all that follow" : "");
}

/* Return: how many of the plan's faults struck, or -1: something was wrong. */
static int one_run(const struct operation *op, const struct vfm_sim_fault *faults, size_t count)
{
	struct bench b;
	uint64_t struck;
	int r, wrong;

	if (bench_open(&b, op) || vfm_sim_set_faults(b.sim, faults, count)) {
		bench_close(&b);
		return -1;
	}
	r = op->run(&b);
	struck = b.struck ? b.struck : vfm_sim_faults_hit(b.sim);
	wrong = struck || r == 0 ? 0 : fail("failed without a fault", &b);
	if (vfm_sim_set_faults(b.sim, NULL, 0))
		wrong = -1;
	if (b.wrong)
		wrong = fail("the handover went wrong", &b);
	if (!wrong && op->devices && !op->both)
		wrong = check_states(&b, op, r) || check_undone(&b, op, r, faults[0].count > 1);
	if (!wrong)
		wrong = check_leaks(&b);
	bench_close(&b);
	if (wrong) {
		printf("# ^ %s:", op->name);
		describe(faults, count);
		printf(" gave %d\n", r);
		return -1;
	}
	return struck > INT32_MAX ? INT32_MAX : (int)struck;
}

static struct vfm_sim_fault fault_at(uint64_t call, uint32_t mode, bool forever)
{
	return (struct vfm_sim_fault){
		.size = sizeof(struct vfm_sim_fault), .mode = mode, .call = call, .count = forever ? UINT64_MAX : 1
	};
}

static int sweep(const struct operation *op, uint32_t mode, bool forever, uint64_t *ret_calls)
{
	unsigned int bad = 0;

	for (uint64_t call = 1; call < 100000; call++) {
		const struct vfm_sim_fault fault = fault_at(call, mode, forever);
		int r = one_run(op, &fault, 1);

		if (r == 0) {
			*ret_calls = call - 1;
			return bad ? -1 : 0;
		}
		if (r < 0 && ++bad == 8)
			return -1;
	}
	printf("# %s never came to an end\n", op->name);
	return -1;
}

/* pairs */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct pairs {
	uint64_t deadline_ms;
	uint64_t ran;
	unsigned int bad;
	bool late; /* the deadline came first */
};

/*
 * The fault at @call, and a second one at each call after it. What is called after the first depends on it, so that the
 * second goes on until it finds no call. Return: the first struck.
 */
static bool pairs_of_first(const struct operation *op, uint64_t call, const uint32_t modes[2], struct pairs *pairs)
{
	int r = 2;

	for (uint64_t second = call + 1; r != 1 && r != 0 && pairs->bad < 8; second++) {
		const struct vfm_sim_fault faults[] = { fault_at(call, modes[0], false),
							fault_at(second, modes[1], false) };

		pairs->late = now_ms() > pairs->deadline_ms;
		if (pairs->late)
			return false;
		r = one_run(op, faults, 2);
		pairs->bad += r < 0;
		pairs->ran += r < 0 || r > 1;
	}
	return r != 0;
}

static int sweep_pairs(const struct operation *op, const uint32_t modes[2], struct pairs *pairs)
{
	pairs->ran = 0;
	pairs->bad = 0;
	pairs->late = false;
	for (uint64_t call = 1; pairs->bad < 8 && pairs_of_first(op, call, modes, pairs); call++)
		;
	if (pairs->late)
		printf("# %s: the time was over before the pairs were\n", op->name);
	return pairs->bad ? -1 : 0;
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc == 0;
}

static const char *const mode_names[] = { "", "before", "after", "partial" };

/* Every pair of faults, of equal and of different modes, in operations of few calls. */
static int all_pairs(unsigned int seconds, int argc, char **argv)
{
	const size_t total = sizeof(operations) / sizeof(operations[0]);
	struct pairs pairs = { .deadline_ms = now_ms() + 1000ull * seconds };
	unsigned int number = 0, failed = 0;
	uint64_t ran = 0;

	for (size_t i = 0; i < total; i++) {
		for (uint32_t mode = 0; mode < 9; mode++) {
			const uint32_t modes[] = { 1 + mode / 3, 1 + mode % 3 };
			int r;

			if (!operations[i].small || !wanted(operations[i].name, argc, argv))
				continue;
			r = sweep_pairs(&operations[i], modes, &pairs);
			failed += r != 0;
			ran += pairs.ran;
			printf("%s %u - %s: %llu pairs of calls, %s and %s%s\n", r ? "not ok" : "ok", ++number,
			       operations[i].name, (unsigned long long)pairs.ran, mode_names[modes[0]],
			       mode_names[modes[1]], pairs.late ? ", cut short by time" : "");
		}
	}
	printf("1..%u\n# %llu pairs\n", number, (unsigned long long)ran);
	return failed ? 1 : 0;
}

static int all_single(int argc, char **argv)
{
	const size_t total = sizeof(operations) / sizeof(operations[0]);
	unsigned int number = 0, failed = 0;

	printf("1..%zu\n", total * 6);
	for (size_t i = 0; i < total; i++) {
		for (uint32_t mode = VFM_SIM_FAULT_BEFORE; mode <= VFM_SIM_FAULT_PARTIAL; mode++) {
			for (int forever = 0; forever < 2; forever++) {
				uint64_t calls = 0;
				int r = wanted(operations[i].name, argc, argv)
						? sweep(&operations[i], mode, forever, &calls)
						: 0;

				failed += r != 0;
				printf("%s %u - %s: each of %llu calls %s%s\n", r ? "not ok" : "ok", ++number,
				       operations[i].name, (unsigned long long)calls, mode_names[mode],
				       forever ? ", with all that follow" : "");
			}
		}
	}
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
	if (argc > 2 && !strcmp(argv[1], "--pairs"))
		return all_pairs((unsigned int)strtoul(argv[2], NULL, 10), argc - 3, argv + 3);
	return all_single(argc - 1, argv + 1);
}
