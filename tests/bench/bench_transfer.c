/* SPDX-License-Identifier: MIT */
/*
 * What save and restore cost beside the device and the channel: their rate against a plain read-and-write loop on the
 * same descriptors, through the same seam, and the memory they take. TAP, figures in comments.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vfiomig/sim.h>
#include <vfiomig/transport.h>

#include "internal.h"
#include "vfio.h"

#define GIB (1ull << 30)
#define CHUNK (1024u * 1024u)
#define ROUNDS 11
#define AIM 0.9
#define VALID_RATE 3e9
#define RESIDENT_LIMIT_KIB (64u * 1024u)

#define SOURCE "0000:01:00.0"
#define TARGET "0000:02:00.0"

struct machine {
	struct vfm_sim *sim;
	struct vfm_context *ctx;
	struct vfmi_sys *sys;
	struct vfm_iommu *iommu;
	struct vfm_device *source;
	struct vfm_device *target;
	struct vfm_error error;
	uint8_t *buffer;
	/* Where the state lies between save and restore: as the device gave it, and as a stream. */
	int raw;
	int stream;
};

struct rates {
	double plain[ROUNDS];
	double ours[ROUNDS];
	double ratio[ROUNDS];
};

/* Save to or restore from a channel; the bytes of state that went. */
typedef uint64_t run_fn(struct machine *m, int channel);

static int tests;
static int failures;

static void result(bool good, const char *title)
{
	printf("%s %d - %s\n", good ? "ok" : "not ok", ++tests, title);
	failures += !good;
	fflush(stdout);
}

static void die(const struct machine *m, const char *what, int r)
{
	printf("Bail out! %s: %s: %s\n", what, strerror(-r), m->error.message);
	exit(1);
}

static void must(const struct machine *m, const char *what, int64_t r)
{
	if (r < 0)
		die(m, what, (int)r);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A line of /proc/self/status or /proc/meminfo, in KiB; 0 when it is not there. */
static uint64_t proc_kib(const char *path, const char *field)
{
	FILE *f = fopen(path, "re");
	uint64_t value = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtoull(line + strlen(field), NULL, 10);
	if (f)
		fclose(f);
	return value;
}

/* From here on VmHWM is the peak of what follows (Documentation/filesystems/proc: clear_refs, 5). */
static void reset_peak(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "5", 1) != 1)
		printf("# the peak of resident memory counts from the start of the program\n");
	if (fd >= 0)
		close(fd);
}

static void open_device(struct machine *m, const char *name, struct vfm_device **ret)
{
	must(m, name, vfm_device_open_attached(m->ctx, name, m->iommu, ret, &m->error));
}

static void machine_open(struct machine *m, uint64_t state_bytes)
{
	char spec[160], message[256] = "";
	int r;

	*m = (struct machine){ .error.size = sizeof(m->error), .raw = -1, .stream = -1 };
	snprintf(spec, sizeof(spec), "edu@" SOURCE ",state=%" PRIu64 ";edu@" TARGET ",state=%" PRIu64, state_bytes,
		 state_bytes);
	r = vfm_sim_open(NULL, spec, &m->sim, message, sizeof(message));
	if (r < 0)
		snprintf(m->error.message, sizeof(m->error.message), "%s", message);
	must(m, "simulated machine", r);
	must(m, "context", vfm_sim_context(m->sim, &m->ctx));
	m->sys = vfmi_context_sys(m->ctx);
	must(m, "address space", vfm_iommu_open(m->ctx, NULL, &m->iommu, &m->error));
	open_device(m, SOURCE, &m->source);
	open_device(m, TARGET, &m->target);
	m->buffer = malloc(CHUNK);
	must(m, "buffer", m->buffer ? 0 : -ENOMEM);
}

static void machine_close(struct machine *m)
{
	vfm_device_close(m->source);
	vfm_device_close(m->target);
	vfm_iommu_close(m->iommu);
	vfm_context_free(m->ctx);
	vfm_sim_close(m->sim);
	free(m->buffer);
	if (m->raw >= 0)
		close(m->raw);
	if (m->stream >= 0)
		close(m->stream);
}

static int start(struct machine *m, struct vfm_device *dev, uint32_t state)
{
	int fd = -1;

	must(m, "state", vfmi_vfio_mig_set(m->sys, vfm_device_fd(dev), state, &fd));
	return fd;
}

static int write_all(struct machine *m, int to, const uint8_t *at, size_t length)
{
	while (length > 0) {
		ssize_t n = m->sys->ops->write(m->sys, to, at, length);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

/* The baseline: @from to @to until the end. */
static uint64_t plain_loop(struct machine *m, int from, int to)
{
	uint64_t total = 0;
	ssize_t n;

	while ((n = m->sys->ops->read(m->sys, from, m->buffer, CHUNK)) != 0) {
		must(m, "plain read", n);
		must(m, "plain write", write_all(m, to, m->buffer, (size_t)n));
		total += (uint64_t)n;
	}
	return total;
}

static uint64_t plain_save(struct machine *m, int channel)
{
	int data = start(m, m->source, VFM_STATE_STOP_COPY);
	uint64_t total = plain_loop(m, data, channel);

	m->sys->ops->close(m->sys, data);
	start(m, m->source, VFM_STATE_RUNNING);
	return total;
}

static uint64_t plain_restore(struct machine *m, int channel)
{
	int data = start(m, m->target, VFM_STATE_RESUMING);
	uint64_t total = plain_loop(m, channel, data);

	m->sys->ops->close(m->sys, data);
	start(m, m->target, VFM_STATE_STOP);
	return total;
}

static struct vfm_endpoint *endpoint_open(struct machine *m, int fd, uint32_t direction)
{
	VFM_OPTS(vfm_endpoint_opts, opts);
	struct vfm_endpoint *endpoint = NULL;
	char spec[16];

	opts.flags = direction;
	snprintf(spec, sizeof(spec), "fd:%d", fd);
	must(m, "endpoint", vfm_endpoint_open(m->ctx, spec, &opts, &endpoint, &m->error));
	return endpoint;
}

static uint64_t our_save(struct machine *m, int fd)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	VFM_OPTS(vfm_transfer_result, out);
	struct vfm_endpoint *endpoint = endpoint_open(m, fd, VFM_ENDPOINT_WRITE);

	opts.then_state = VFM_STATE_UNKNOWN;
	must(m, "save", vfm_save(&m->source, 1, vfm_endpoint_io(endpoint), &opts, &out, &m->error));
	must(m, "commit", vfm_endpoint_commit(endpoint, &m->error));
	vfm_endpoint_close(endpoint);
	return out.bytes;
}

static uint64_t our_restore(struct machine *m, int fd)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	VFM_OPTS(vfm_transfer_result, out);
	struct vfm_endpoint *endpoint = endpoint_open(m, fd, VFM_ENDPOINT_READ);

	opts.then_state = VFM_STATE_UNKNOWN;
	must(m, "restore", vfm_restore(&m->target, 1, vfm_endpoint_io(endpoint), &opts, &out, &m->error));
	vfm_endpoint_close(endpoint);
	return out.bytes;
}

/* One run from the start of its channel: bytes in a second. */
static double rate_of(struct machine *m, run_fn *run, int channel)
{
	double begin;

	must(m, "seek", lseek(channel, 0, SEEK_SET) < 0 ? -errno : 0);
	begin = now();
	return (double)run(m, channel) / (now() - begin);
}

/*
 * Plain and ours close behind each other, who comes first alternating: what else goes on in the machine changes within
 * seconds, and mostly meets both.
 */
static void measure(struct machine *m, struct rates *rates, run_fn *plain, run_fn *ours, int round)
{
	if (round % 2)
		rates->ours[round] = rate_of(m, ours, m->stream);
	rates->plain[round] = rate_of(m, plain, m->raw);
	if (round % 2 == 0)
		rates->ours[round] = rate_of(m, ours, m->stream);
	rates->ratio[round] = rates->ours[round] / rates->plain[round];
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), by_value);
	return values[ROUNDS / 2];
}

static void judge(const char *what, struct rates *rates)
{
	double plain = median(rates->plain), ours = median(rates->ours), ratio = median(rates->ratio);
	char title[160];

	printf("# %s: %.2f GB/s, plain loop %.2f GB/s, ratio of a round %.2f (aim %.2f), medians of %d\n", what,
	       ours / 1e9, plain / 1e9, ratio, AIM, ROUNDS);
	if (plain < VALID_RATE) {
		snprintf(title, sizeof(title), "%s: void, the plain loop is below %.0f GB/s here", what,
			 VALID_RATE / 1e9);
		result(true, title);
		return;
	}
	snprintf(title, sizeof(title), "%s at %.1f of the plain loop or better", what, AIM);
	result(ratio >= AIM, title);
}

static void judge_memory(const char *what)
{
	uint64_t peak = proc_kib("/proc/self/status", "VmHWM:");
	char title[160];

	printf("# %s: resident at most %.1f MiB\n", what, (double)peak / 1024);
	snprintf(title, sizeof(title), "%s in less than %u MiB", what, RESIDENT_LIMIT_KIB / 1024);
	result(peak > 0 && peak < RESIDENT_LIMIT_KIB, title);
}

static int memory_channel(const struct machine *m, const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	must(m, name, fd < 0 ? -errno : 0);
	return fd;
}

/* The channels of the throughput runs are memory: no disk is as fast as the loop has to be. */
static void throughput(uint64_t state_bytes)
{
	struct rates save, restore;
	struct machine m;

	machine_open(&m, state_bytes);
	m.raw = memory_channel(&m, "raw");
	m.stream = memory_channel(&m, "stream");
	reset_peak();
	/* Once unmeasured: the pages of the channels and of the target come into being. */
	measure(&m, &save, plain_save, our_save, 0);
	measure(&m, &restore, plain_restore, our_restore, 0);
	for (int i = 0; i < ROUNDS; i++) {
		measure(&m, &save, plain_save, our_save, i);
		measure(&m, &restore, plain_restore, our_restore, i);
	}
	judge("save", &save);
	judge("restore", &restore);
	judge_memory("save and restore");
	machine_close(&m);
}

/* Read what comes and forget it. */
static pid_t drain(int fds[2])
{
	static uint8_t buffer[CHUNK];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(fds[1]);
		while (read(fds[0], buffer, sizeof(buffer)) > 0)
			;
		_exit(0);
	}
	close(fds[0]);
	return pid;
}

static void pipe_memory(uint64_t state_bytes)
{
	struct machine m;
	char what[64];
	double begin;
	uint64_t bytes;
	int fds[2];
	pid_t pid = drain(fds);

	machine_open(&m, state_bytes);
	must(&m, "pipe", pid < 0 ? -errno : 0);
	reset_peak();
	begin = now();
	bytes = our_save(&m, fds[1]);
	printf("# %.0f GiB to a pipe: %.2f GB/s\n", (double)bytes / (double)GIB, (double)bytes / (now() - begin) / 1e9);
	close(fds[1]);
	waitpid(pid, NULL, 0);
	snprintf(what, sizeof(what), "save of %.0f GiB to a pipe", (double)state_bytes / (double)GIB);
	judge_memory(what);
	machine_close(&m);
}

int main(void)
{
	uint64_t available = proc_kib("/proc/meminfo", "MemAvailable:") * 1024;
	uint64_t state_bytes = 4 * GIB;

	signal(SIGPIPE, SIG_IGN);
	/* Channels and target lie in memory, and something must be left. */
	while (state_bytes > GIB / 4 && available < 7 * state_bytes / 2)
		state_bytes /= 2;
	if (state_bytes < 4 * GIB)
		printf("# memory is short: %" PRIu64 " MiB of state in place of 4 GiB\n", state_bytes >> 20);
	throughput(state_bytes);
	pipe_memory(16 * GIB);
	printf("1..%d\n", tests);
	return failures ? 1 : 0;
}
