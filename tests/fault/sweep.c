// SPDX-License-Identifier: MIT
/*
 * Fault sweep: every call of every operation fails once in each mode, then from there on for ever. After each run
 * nothing may be left open, what the error says of the device's state must be true, a source must never have been
 * reset and a target never hold half a state. With --pairs every two calls of the operations of few calls fail, as many
 * as SECONDS allow. TAP on stdout: sweep [--pairs SECONDS] [OPERATION|KIND...].
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sweep.h"

#define SPEC "edu@" SOURCE ",state=64k;edu@" TARGET ",state=64k"
#define MARK 0x6b72616d

static char directory[] = "/tmp/vfiomig-sweep-XXXXXX";

static const struct operations *const all[] = { &ops_device, &ops_dirty, &ops_endpoint,
						&ops_iommu,  &ops_start, &ops_transfer };

static int fail(const char *what, const struct bench *b)
{
	printf("# %s; fault at %s; error says: %s\n", what, vfm_sim_last_fault(b->sim), b->err.message);
	return -1;
}

void sweep_wrong(struct bench *b, const char *what)
{
	printf("# %s; fault at %s\n", what, vfm_sim_last_fault(b->sim));
	b->wrong = true;
}

int sweep_quiet(struct bench *b)
{
	if (!b->struck)
		b->struck = vfm_sim_faults_hit(b->sim);
	return vfm_sim_set_faults(b->sim, NULL, 0);
}

/* Both ends of the contents carry a mark on the source; the target starts blank. */
static int mark_source(struct bench *b)
{
	uint32_t mark = MARK;

	return vfm_sim_contents_write(b->sim, SOURCE, 0, &mark, sizeof(mark)) ||
	       vfm_sim_contents_write(b->sim, SOURCE, 65532, &mark, sizeof(mark));
}

int sweep_marks_of(struct bench *b, const char *device)
{
	uint32_t first = 0, last = 0;

	if (vfm_sim_contents_read(b->sim, device, 0, &first, sizeof(first)) ||
	    vfm_sim_contents_read(b->sim, device, 65532, &last, sizeof(last)))
		return -1;
	return (first == MARK) + (last == MARK);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	return at->level > 0 ? remove(path) : 0;
}

/* Also of what a failed unlink() left there. */
static void empty_directory(void)
{
	nftw(directory, remove_entry, 4, FTW_DEPTH | FTW_PHYS);
}

static void bench_close(struct bench *b)
{
	vfm_device_close(b->source);
	vfm_device_close(b->target);
	vfm_iommu_close(b->iommu);
	vfm_context_free(b->ctx);
	vfm_sim_close(b->sim);
	empty_directory();
	close(b->eventfd);
	free(b->stream);
}

static int open_devices(struct bench *b, const struct operation *op)
{
	const char *source = op->names[0] ? op->names[0] : SOURCE;
	const char *target = op->names[1] ? op->names[1] : TARGET;
	VFM_OPTS(vfm_iommu_options, options);
	int r;

	options.backend = op->backend;
	options.flags = op->flags;
	r = vfm_iommu_open(b->ctx, &options, &b->iommu, &b->err);
	if (!r)
		r = vfm_device_open_attached(b->ctx, source, b->iommu, &b->source, &b->err);
	if (!r)
		r = vfm_device_open_attached(b->ctx, target, b->iommu, &b->target, &b->err);
	if (!r && !op->spec)
		r = mark_source(b);
	if (!r && op->saved)
		r = sweep_save(b, 0, VFM_STATE_UNKNOWN);
	if (!r && op->prepare)
		r = op->prepare(b);
	return r;
}

static int bench_open(struct bench *b, const struct operation *op)
{
	struct vfm_sim_usage use = { .size = sizeof(use) };
	char message[256] = "";
	int r;

	memset(b, 0, sizeof(*b));
	b->op = op;
	b->err.size = sizeof(b->err);
	b->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(b->file, sizeof(b->file), "%s/stream", directory);
	snprintf(b->machine, sizeof(b->machine), "%s/machine", directory);
	r = vfm_sim_open(op->shared ? b->machine : NULL, op->spec ? op->spec : SPEC, &b->sim, message, sizeof(message));
	if (!r)
		r = vfm_sim_context(b->sim, &b->ctx);
	if (!r && op->devices)
		r = open_devices(b, op);
	if (r) {
		printf("# cannot set up %s: %d %s %s\n", op->name, r, message, b->err.message);
		return r;
	}
	vfm_sim_usage(b->sim, &use);
	b->resets_before = use.resets;
	b->err = (struct vfm_error){ .size = sizeof(b->err) };
	return 0;
}

/* What failed is told by one sentence that names the step, the device where one is meant, and carries the errno. */
static int check_told(const struct bench *b, int r)
{
	const struct vfm_error *err = &b->err;

	if (r == 0)
		return 0;
	if (err->code != -r || !err->message[0])
		return fail("a failure without its error", b);
	if (!err->step[0] || !strstr(err->message, err->step) || !strstr(err->message, err->device))
		return fail("the sentence does not name device and step", b);
	return 0;
}

static int check_states(struct bench *b, const struct operation *op, int r)
{
	uint32_t source = VFM_STATE_UNKNOWN, target = VFM_STATE_UNKNOWN;
	int marks;

	if (vfm_device_get_state(b->source, &source, NULL) || vfm_device_get_state(b->target, &target, NULL))
		return fail("the state cannot be asked", b);
	if (r == 0)
		return source == op->source_then && target == op->target_then ? 0 : fail("success in another state", b);
	if (sweep_marks_of(b, SOURCE) != 2)
		return fail("the source lost its contents", b);
	marks = sweep_marks_of(b, TARGET);
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

static int check(struct bench *b, const struct operation *op, int r, uint64_t struck, bool forever)
{
	int wrong = struck || r == 0 ? 0 : fail("failed without a fault", b);

	if (vfm_sim_set_faults(b->sim, NULL, 0))
		return -1;
	if (b->wrong)
		return fail("what is left is wrong", b);
	if (!wrong)
		wrong = check_told(b, r);
	if (!wrong && op->devices && !op->both)
		wrong = check_states(b, op, r) || check_undone(b, op, r, forever);
	return wrong ? wrong : check_leaks(b);
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
	for (size_t i = 0; i < count; i++)
		b.after |= faults[i].mode == VFM_SIM_FAULT_AFTER;
	b.forever = faults[0].count > 1;
	r = op->run(&b);
	struck = b.struck ? b.struck : vfm_sim_faults_hit(b.sim);
	wrong = check(&b, op, r, struck, faults[0].count > 1);
	bench_close(&b);
	if (wrong) {
		printf("# ^ %s:", op->name);
		describe(faults, count);
		printf(" gave %d\n", r);
		return -1;
	}
	return struck > INT32_MAX ? INT32_MAX : (int)struck;
}

static struct vfm_sim_fault fault_at(uint64_t call, uint32_t mode, uint64_t count)
{
	return (struct vfm_sim_fault){
		.size = sizeof(struct vfm_sim_fault), .mode = mode, .call = call, .count = count
	};
}

static int sweep(const struct operation *op, uint32_t mode, bool forever, uint64_t *ret_calls)
{
	const uint64_t lasting = op->lasting ? op->lasting : UINT64_MAX;
	unsigned int bad = 0;

	for (uint64_t call = 1; call < 100000; call++) {
		const struct vfm_sim_fault fault = fault_at(call, mode, forever ? lasting : 1);
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
		const struct vfm_sim_fault faults[] = { fault_at(call, modes[0], 1), fault_at(second, modes[1], 1) };

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

typedef unsigned int sweep_fn(const struct operation *op, void *user);

/* @fn over the operations that were named, all without names. Return: how many failed. */
static unsigned int for_each(int argc, char **argv, sweep_fn *fn, void *user)
{
	unsigned int failed = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (size_t k = 0; k < all[i]->count; k++)
			if (wanted(all[i]->name, argc, argv) || wanted(all[i]->list[k].name, argc, argv))
				failed += fn(&all[i]->list[k], user);
	return failed;
}

struct pair_sweeps {
	struct pairs pairs;
	unsigned int number;
	uint64_t ran;
};

/* Every pair of faults, of equal and of different modes, in operations of few calls. */
static unsigned int pairs_of(const struct operation *op, void *user)
{
	struct pair_sweeps *sweeps = user;
	unsigned int failed = 0;

	for (uint32_t mode = 0; op->small && mode < 9; mode++) {
		const uint32_t modes[] = { 1 + mode / 3, 1 + mode % 3 };
		int r = sweep_pairs(op, modes, &sweeps->pairs);

		failed += r != 0;
		sweeps->ran += sweeps->pairs.ran;
		printf("%s %u - %s: %llu pairs of calls, %s and %s%s\n", r ? "not ok" : "ok", ++sweeps->number,
		       op->name, (unsigned long long)sweeps->pairs.ran, mode_names[modes[0]], mode_names[modes[1]],
		       sweeps->pairs.late ? ", cut short by time" : "");
	}
	return failed;
}

static int all_pairs(unsigned int seconds, int argc, char **argv)
{
	struct pair_sweeps sweeps = { .pairs = { .deadline_ms = now_ms() + 1000ull * seconds } };
	unsigned int failed = for_each(argc, argv, pairs_of, &sweeps);

	printf("1..%u\n# %llu pairs\n", sweeps.number, (unsigned long long)sweeps.ran);
	return failed ? 1 : 0;
}

static unsigned int singles_of(const struct operation *op, void *user)
{
	const char *followers = op->lasting ? ", with some that follow" : ", with all that follow";
	unsigned int failed = 0, *number = user;

	for (uint32_t mode = VFM_SIM_FAULT_BEFORE; mode <= VFM_SIM_FAULT_PARTIAL; mode++) {
		for (int forever = 0; forever < 2; forever++) {
			uint64_t calls = 0;
			int r = sweep(op, mode, forever, &calls);

			failed += r != 0;
			printf("%s %u - %s: each of %llu calls %s%s\n", r ? "not ok" : "ok", ++*number, op->name,
			       (unsigned long long)calls, mode_names[mode], forever ? followers : "");
		}
	}
	return failed;
}

static int all_single(int argc, char **argv)
{
	unsigned int number = 0, failed = for_each(argc, argv, singles_of, &number);

	printf("1..%u\n", number);
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	int r;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
	if (!mkdtemp(directory)) {
		printf("Bail out! no directory to work in\n");
		return 1;
	}
	if (argc > 2 && !strcmp(argv[1], "--pairs"))
		r = all_pairs((unsigned int)strtoul(argv[2], NULL, 10), argc - 3, argv + 3);
	else
		r = all_single(argc - 1, argv + 1);
	rmdir(directory);
	return r;
}
