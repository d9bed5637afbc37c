/* SPDX-License-Identifier: MIT */
/*
 * What starting 1 to 16 devices takes, one after the other and side by side. Without arguments on a simulated machine
 * whose devices need 100 ms for a reset, in virtual time; with addresses on these devices of the running machine. TAP,
 * figures in comments.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <vfiomig/sim.h>

#include "internal.h"

#define MOST 16u
#define ROUNDS 5
#define NS_PER_MS 1e6
#define RESET_MS 100.0

struct bench {
	struct vfm_sim *sim; /* NULL on the running machine */
	struct vfm_context *ctx;
	struct vfm_error error;
	char names[MOST][64];
	size_t count;
};

/* The best of the rounds, milliseconds: what disturbs a start only makes it longer. */
struct figures {
	double serial;
	double parallel;
	double slowest; /* of the parallel ones: a single device */
};

static int tests;
static int failures;

static void result(bool good, const char *title)
{
	printf("%s %d - %s\n", good ? "ok" : "not ok", ++tests, title);
	failures += !good;
	fflush(stdout);
}

static void must(const struct bench *b, const char *what, int r)
{
	if (r >= 0)
		return;
	printf("Bail out! %s: %s %s\n", what, vfmi_errno_text(-r), b->error.message);
	exit(1);
}

static void open_simulated(struct bench *b)
{
	char spec[MOST * 48] = "", message[256] = "";
	VFM_OPTS(vfm_executor, executor);
	size_t at = 0;

	for (b->count = 0; b->count < MOST; b->count++) {
		char *name = b->names[b->count];

		snprintf(name, sizeof(b->names[0]), "0000:%02zx:00.0", b->count + 1);
		at += (size_t)snprintf(spec + at, sizeof(spec) - at, "%sedu@%s,reset=%.0fms", at ? ";" : "", name,
				       RESET_MS);
	}
	if (vfm_sim_open(NULL, spec, &b->sim, message, sizeof(message)) < 0) {
		printf("Bail out! %s\n", message);
		exit(1);
	}
	must(b, "context", vfm_sim_context(b->sim, &b->ctx));
	must(b, "executor", vfm_sim_executor(b->sim, &executor));
	must(b, "executor", vfm_context_set_executor(b->ctx, &executor));
}

static void open_real(struct bench *b, char **names, int count)
{
	must(b, "context", vfm_context_new(&b->ctx));
	for (int i = 0; i < count && b->count < MOST; i++)
		snprintf(b->names[b->count++], sizeof(b->names[0]), "%s", names[i]);
}

/* Each time into an address space of its own, since that is part of what takes time for the first device. */
static double start(struct bench *b, size_t count, uint32_t threads, double *ret_slowest)
{
	struct vfmi_sys *sys = vfmi_context_sys(b->ctx);
	struct vfm_start starts[MOST];
	struct vfm_open opens[MOST];
	struct vfm_iommu *iommu;
	uint64_t begin, passed_ns;

	for (size_t i = 0; i < count; i++) {
		opens[i] = (struct vfm_open){ .size = sizeof(*opens), .name = b->names[i] };
		starts[i] = (struct vfm_start){ .size = sizeof(*starts), .open = &opens[i] };
	}
	must(b, "address space", vfm_iommu_open(b->ctx, NULL, &iommu, &b->error));
	begin = sys->ops->now_ns(sys);
	must(b, "start", vfm_devices_start(b->ctx, iommu, starts, count, threads, &b->error));
	passed_ns = sys->ops->now_ns(sys) - begin;
	*ret_slowest = 0;
	for (size_t i = 0; i < count; i++) {
		if ((double)starts[i].ret_ns / NS_PER_MS > *ret_slowest)
			*ret_slowest = (double)starts[i].ret_ns / NS_PER_MS;
		vfm_device_close(starts[i].ret_dev);
	}
	vfm_iommu_close(iommu);
	return (double)passed_ns / NS_PER_MS;
}

static double least(const double *values)
{
	double value = values[0];

	for (int i = 1; i < ROUNDS; i++)
		value = values[i] < value ? values[i] : value;
	return value;
}

static struct figures measure(struct bench *b, size_t count)
{
	double serial[ROUNDS], parallel[ROUNDS], slowest[ROUNDS], unused;

	for (int i = 0; i < ROUNDS; i++) {
		if (i % 2)
			serial[i] = start(b, count, 1, &unused);
		parallel[i] = start(b, count, 0, &slowest[i]);
		if (i % 2 == 0)
			serial[i] = start(b, count, 1, &unused);
	}
	return (struct figures){ least(serial), least(parallel), least(slowest) };
}

/*
 * Of modelled times the slowest device is all there is. Of real ones only the part that is waiting shrinks, the rest is
 * the processor's, so less is asked for: nothing lost on two, a gain on more. One device is started the same way twice.
 */
static void judge(const struct bench *b, size_t count, const struct figures *f)
{
	const bool few = count < 4;
	char title[128];

	printf("# %7zu %12.1f %12.1f %12.1f %8.1f\n", count, f->serial, f->parallel, f->slowest,
	       f->serial / f->parallel);
	if (b->sim) {
		snprintf(title, sizeof(title), "%zu side by side take no longer than the slowest of them", count);
		result(f->parallel <= 1.05 * f->slowest && f->serial >= 0.95 * (double)count * RESET_MS, title);
		return;
	}
	if (count == 1)
		return;
	snprintf(title, sizeof(title), "%zu side by side %s", count, few ? "are not slower" : "in 3/4 of the time");
	result(f->parallel <= (few ? 1.25 : 0.75) * f->serial, title);
}

int main(int argc, char **argv)
{
	struct bench b = { .error.size = sizeof(b.error) };

	if (argc > 1)
		open_real(&b, argv + 1, argc - 1);
	else
		open_simulated(&b);
	printf("# %s, best of %d\n",
	       b.sim ? "simulated machine, 100 ms a reset, virtual time" : "running machine, real time", ROUNDS);
	printf("# devices    serial ms  parallel ms   slowest ms    ratio\n");
	for (size_t count = 1; count <= b.count; count *= 2) {
		struct figures f = measure(&b, count);

		judge(&b, count, &f);
	}
	vfm_context_free(b.ctx);
	vfm_sim_close(b.sim);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
