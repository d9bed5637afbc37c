// SPDX-License-Identifier: GPL-2.0-only
/*
 * Proves the vfiomig_edu driver by raw ioctls: edu_probe TEST NODE [NODE] [ARGUMENT].
 *
 * What is pinned here is the driver. How the library fares with it is tested elsewhere.
 */
#include "edu_rig.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

const char *node_a, *node_b;
int argument;

/* Forgetting: on open, on reset. */
static void test_reset(void)
{
	struct probe p;
	int fd;
	char byte;

	probe_open(&p, node_a);
	ok(probe_state(&p) == STATE_RUNNING, "an opened device is RUNNING");
	ok(registers_are(&p, false) && contents_blank(&p), "and blank");
	set_registers(&p);
	fill_contents(&p, 1);
	start_pump(&p, IOVA, IOVA, 0);
	ok(registers_are(&p, true), "registers hold what is written");
	probe_close(&p);

	probe_open(&p, node_a);
	ok(registers_are(&p, false), "registers are forgotten over close and open");
	ok(contents_blank(&p), "contents are forgotten over close and open");
	ok(!pump(&p, VFIOMIG_EDU_PUMP_SRC) && !pump(&p, VFIOMIG_EDU_PUMP_SLOTS),
	   "the pump is forgotten over close and open");

	set_registers(&p);
	fill_contents(&p, 2);
	start_pump(&p, IOVA, IOVA, 0);
	fd = probe_enter(&p, STATE_STOP_COPY);
	ok(!probe_reset(&p), "reset in STOP_COPY");
	ok(probe_state(&p) == STATE_RUNNING, "leads to RUNNING");
	ok(read(fd, &byte, 1) == -1 && errno == ENODEV, "and the data fd says ENODEV");
	ok(registers_are(&p, false), "registers are forgotten over reset");
	ok(contents_blank(&p), "contents are forgotten over reset");
	ok(!pump(&p, VFIOMIG_EDU_PUMP_SRC), "the pump is forgotten over reset");
	close(fd);

	fd = probe_enter(&p, STATE_RESUMING);
	ok(write(fd, "half", 4) == 4 && !probe_reset(&p), "reset in RESUMING");
	ok(write(fd, "more", 4) == -1 && errno == ENODEV, "the data fd says ENODEV");
	close(fd);
	fd = probe_enter(&p, STATE_STOP_COPY);
	probe_close(&p);
	ok(read(fd, &byte, 1) == -1 && errno == ENODEV, "a data fd outlives its device");
	close(fd);
}

static void ignore(int signal)
{
	(void)signal;
}

/* A signal every millisecond that interrupts system calls. */
static void interrupts(bool on)
{
	const struct itimerval timer = { { 0, on ? 1000 : 0 }, { 0, on ? 1000 : 0 } };
	const struct sigaction action = { .sa_handler = ignore };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static bool blobs_equal(const struct blob *a, const struct blob *b)
{
	return a->size == b->size && !memcmp(a->data, b->data, a->size);
}

static unsigned int now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned int)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* 1 at the end. */
static int blob_read_once(struct blob *b, int fd, size_t size)
{
	ssize_t n;

	if (!b->data)
		b->data = malloc(size + 1);
	n = read(fd, b->data + b->size, size + 1 - b->size);
	if (n < 0 && errno != EINTR)
		bail("read");
	b->size += n > 0 ? (size_t)n : 0;
	return n == 0;
}

static void test_save_load(void)
{
	struct blob one = { NULL, 0 }, two = { NULL, 0 };
	struct probe a, b;
	unsigned int reads, start;
	uint64_t size;
	int fd;

	probe_open(&a, node_a);
	probe_open(&b, node_b);
	fill_contents(&a, 3);
	set_registers(&a);
	size = probe_data_size(&a);
	start = now_ms();
	save(&a, &one);
	note("saved in %u ms", now_ms() - start);
	ok(one.size == size, "the stream has the size announced, %llu bytes",
	   (unsigned long long)size);
	start = now_ms();
	ok(!load(&b, &one, STATE_RUNNING), "the other device takes it");
	note("loaded in %u ms", now_ms() - start);
	ok(contents_equal(&a, &b), "contents are equal");
	ok(registers_are(&b, true), "registers are equal");
	save(&b, &two);
	ok(blobs_equal(&one, &two), "saved again it is the same");
	blob_free(&two);

	/* One read for everything, interrupted all the time. */
	probe_leave(&a, STATE_STOP);
	interrupts(true);
	fd = probe_enter(&a, STATE_STOP_COPY);
	reads = 0;
	while (!blob_read_once(&two, fd, one.size))
		reads++;
	interrupts(false);
	close(fd);
	ok(blobs_equal(&one, &two), "saved under signals it is the same");
	ok(reads > 1, "though in %u pieces", reads);
	blob_free(&one);
	blob_free(&two);
	probe_close(&a);
	probe_close(&b);
}

static void test_dma(void)
{
	unsigned char *memory = new_memory();
	struct probe p;
	int msi;

	probe_open(&p, node_a);
	probe_map(&p, IOVA, memory, MEMORY);
	probe_bus_master(&p, true);
	msi = probe_msi(&p);
	pattern(memory, 1024, 4);

	start_dma(&p, IOVA, DMA_BUFFER, 1024, DMA_IRQ);
	ok(wait_until(dma_idle, &p, 2000), "DMA from memory ends");
	ok(fired(msi, 1000), "MSI arrives at the eventfd");
	start_dma(&p, DMA_BUFFER, IOVA + 0x8000, 1024, DMA_TO_MEMORY | DMA_IRQ);
	ok(fired(msi, 2000), "DMA to memory ends with another");
	ok(!memcmp(memory, memory + 0x8000, 1024), "the bytes came round");

	start_dma(&p, DMA_BUFFER, IOVA + MEMORY, 1024, DMA_TO_MEMORY | DMA_IRQ);
	ok(fired(msi, 2000), "DMA to nowhere ends as well");
	start_dma(&p, DMA_BUFFER, IOVA + 0x9000, 1024, DMA_TO_MEMORY | DMA_IRQ);
	ok(fired(msi, 2000) && !memcmp(memory, memory + 0x9000, 1024), "and the device goes on");

	/* A DMA in flight is waited for. */
	start_dma(&p, DMA_BUFFER, IOVA + 0xa000, 1024, DMA_TO_MEMORY);
	probe_leave(&p, STATE_STOP);
	ok(!memcmp(memory, memory + 0xa000, 1024), "a stopped device has finished its DMA");
	probe_leave(&p, STATE_RUNNING);
	probe_close(&p);
	munmap(memory, MEMORY);
}

/* Slots the pump has been to hold the source, the next one does not. */
static bool slots_are(const unsigned char *memory, uint64_t first, uint64_t end)
{
	for (uint64_t slot = first; slot < end; slot++)
		if (memcmp(memory, memory + 0x10000 + slot % 64 * 4096, 512))
			return false;
	return memcmp(memory, memory + 0x10000 + end % 64 * 4096, 512);
}

static void test_pump(void)
{
	unsigned char *memory = new_memory();
	struct blob b = { NULL, 0 };
	struct probe p, q;
	uint64_t copies;
	int fd, msi;

	probe_open(&p, node_a);
	probe_open(&q, node_b);
	probe_map(&p, IOVA, memory, MEMORY);
	probe_map(&q, IOVA, memory, MEMORY);
	pattern(memory, 512, 5);

	start_pump(&p, IOVA, IOVA + 0x10000, VFIOMIG_EDU_PUMP_RUN);
	poll(NULL, 0, 300);
	ok(!pump(&p, VFIOMIG_EDU_PUMP_COMPLETED) && pump(&p, VFIOMIG_EDU_PUMP_ERRORS),
	   "without bus master no DMA, but errors");
	probe_set(&p, &p.control, VFIOMIG_EDU_PUMP_CTRL, 0, 8);
	probe_bus_master(&p, true);
	start_pump(&p, IOVA, IOVA + 0x10000, VFIOMIG_EDU_PUMP_RUN | VFIOMIG_EDU_PUMP_IRQ);
	ok(wait_pumped(&p, 2), "the pump runs");
	ok(probe_write(&p, &p.control, VFIOMIG_EDU_PUMP_SRC, &(uint64_t){ 0 }, 8) == -EBUSY,
	   "its settings are fixed then");

	fd = probe_enter(&p, STATE_PRE_COPY);
	fill_contents(&p, 6);
	copies = pump(&p, VFIOMIG_EDU_PUMP_COMPLETED);
	ok(wait_pumped(&p, copies + 2), "and goes on in PRE_COPY");
	ok(blob_read(&b, fd, MIB) == -ENOMSG, "while data is read");
	probe_leave(&p, STATE_PRE_COPY_P2P);
	copies = pump(&p, VFIOMIG_EDU_PUMP_COMPLETED);
	ok(dma_idle(&p) && slots_are(memory, 0, copies), "P2P finishes the copy in flight");
	poll(NULL, 0, 400);
	ok(pump(&p, VFIOMIG_EDU_PUMP_COMPLETED) == copies && slots_are(memory, 0, copies),
	   "nothing moves after that");
	probe_leave(&p, STATE_STOP_COPY);
	ok(!blob_read(&b, fd, MIB), "the rest is read");
	close(fd);

	ok(!load(&q, &b, STATE_STOP), "the other device takes it");
	ok(contents_equal(&p, &q), "contents are equal");
	probe_bus_master(&q, true);
	msi = probe_msi(&q);
	probe_leave(&q, STATE_RUNNING);
	ok(wait_pumped(&q, copies + 2), "the pump goes on there");
	ok(fired(msi, 100), "with interrupts");
	probe_set(&q, &q.control, VFIOMIG_EDU_PUMP_CTRL, 0, 8);
	ok(slots_are(memory, 0, pump(&q, VFIOMIG_EDU_PUMP_COMPLETED)), "from where it was");
	probe_leave(&p, STATE_RUNNING);
	ok(wait_pumped(&p, copies + 1), "and the source, back in RUNNING, goes on too");
	ok(!probe_reset(&p), "reset while it runs");
	poll(NULL, 0, 250);
	ok(!pump(&p, VFIOMIG_EDU_PUMP_CTRL) && dma_idle(&p), "stops it");
	blob_free(&b);
	probe_close(&p);
	probe_close(&q);
	munmap(memory, MEMORY);
}

#define RECORD sizeof(struct vfiomig_edu_record)

/* What a test of PRE_COPY carries along: the source, its data fd, what was read from it. */
struct precopy {
	struct probe p;
	int fd;
	struct blob b;
	uint64_t initial;
	uint64_t dirty;
};

static int precopy_info(struct precopy *t)
{
	uint32_t flags = 0;

	return probe_precopy_info(t->fd, &flags, &t->initial, &t->dirty);
}

static void write_byte(struct precopy *t, uint64_t at)
{
	probe_set(&t->p, &t->p.contents, at, 0xee, 1);
}

static void precopy_initial(struct precopy *t)
{
	uint64_t all =
		sizeof(struct vfiomig_edu_header) + t->p.contents.size / BLOCK * (BLOCK + RECORD);
	uint32_t flags = 0x5a;

	ok(!precopy_info(t) && t->initial == all && !t->dirty, "all is initial at first");
	ok(!probe_precopy_info(t->fd, &flags, &t->initial, &t->dirty) && flags == 0x5a,
	   "flags are an echo");

	t->b.data = malloc(1000);
	set_param("chunk", 100);
	t->b.size = (size_t)read(t->fd, t->b.data, 1000);
	set_param("chunk", 0);
	ok(t->b.size == 100, "a short read");
	ok(!precopy_info(t) && t->initial == all - 100 && !t->dirty, "initial bytes fall by it");
	write_byte(t, t->p.contents.size - 1);
	ok(!precopy_info(t) && t->initial == all - 100 && !t->dirty,
	   "writing what was not sent yet makes nothing dirty");
	ok(blob_read(&t->b, t->fd, 3 * MIB) == -ENOMSG && t->b.size == all, "ENOMSG after that");
	set_param("precopy_eof", 1);
	ok(blob_read(&t->b, t->fd, MIB) == 0, "or 0, if that is wanted");
	set_param("precopy_eof", 0);
}

static void precopy_dirty(struct precopy *t)
{
	uint64_t before = t->b.size;

	write_byte(t, 5 * BLOCK);
	write_byte(t, 5 * BLOCK + 9);
	probe_set(&t->p, &t->p.contents, 8 * BLOCK - 1, 0x1234, 2);
	ok(!precopy_info(t) && !t->initial && t->dirty == 3 * (BLOCK + RECORD),
	   "writes make their blocks dirty, once");
	ok(pump(&t->p, VFIOMIG_EDU_DIRTY_BLOCKS) == 3, "as the control region says");
	ok(blob_read(&t->b, t->fd, MIB) == -ENOMSG && t->b.size == before + t->dirty,
	   "which are sent again");
	write_byte(t, 0);
	probe_leave(&t->p, STATE_PRE_COPY_P2P);
	ok(!precopy_info(t) && t->dirty == BLOCK + RECORD, "information in PRE_COPY_P2P");
}

static void precopy_stop(struct precopy *t)
{
	uint64_t rest = probe_data_size(&t->p);
	uint64_t before = t->b.size;
	struct probe q;
	char byte;

	probe_leave(&t->p, STATE_STOP_COPY);
	ok(precopy_info(t) == -EINVAL, "no information in STOP_COPY");
	ok(!blob_read(&t->b, t->fd, MIB) && t->b.size == before + rest,
	   "the rest is of the size announced");
	ok(read(t->fd, &byte, 1) == 0, "the end stays the end");
	probe_open(&q, node_b);
	ok(!load(&q, &t->b, STATE_STOP) && contents_equal(&t->p, &q), "loaded contents are equal");
	probe_close(&q);
	probe_leave(&t->p, STATE_STOP);
	ok(read(t->fd, &byte, 1) == -1 && errno == ENODEV, "the session ends with STOP_COPY");
	ok(precopy_info(t) == -ENODEV, "also for information");
}

static void test_precopy(void)
{
	struct precopy t = { .fd = -1 };

	probe_open(&t.p, node_a);
	fill_contents(&t.p, 7);
	t.fd = probe_enter(&t.p, STATE_PRE_COPY);
	precopy_initial(&t);
	precopy_dirty(&t);
	precopy_stop(&t);
	close(t.fd);
	blob_free(&t.b);
	probe_close(&t.p);
}

static void reinit(struct probe *p, struct probe *q)
{
	struct blob b = { NULL, 0 };
	uint64_t all, initial, dirty;
	uint32_t flags = 0xff;
	int fd = probe_enter(p, STATE_PRE_COPY);

	ok(!probe_precopy_info(fd, &flags, &all, &dirty) && !flags,
	   "version 2 says something in flags");
	blob_read(&b, fd, MIB);
	probe_write(p, &p->contents, 0, "x", 1);
	set_param("reinit", 1);
	ok(!probe_precopy_info(fd, &flags, &initial, &dirty) && flags == 1, "it begins again");
	ok(initial == all - sizeof(struct vfiomig_edu_header) && !dirty, "with all but the header");
	ok(!probe_precopy_info(fd, &flags, &initial, &dirty) && !flags, "which it says once");
	blob_read(&b, fd, MIB);
	ok(!probe_precopy_info(fd, &flags, &initial, &dirty) && !initial, "until that is read");
	probe_leave(p, STATE_STOP_COPY);
	blob_read(&b, fd, MIB);
	close(fd);
	ok(!load(q, &b, STATE_RUNNING) && contents_equal(p, q), "the stream can be loaded");
	blob_free(&b);
}

/* Version 2 of PRECOPY_INFO, of kernels that have it. */
static void test_reinit(void)
{
	struct probe p, q;
	int ret;

	probe_open(&p, node_a);
	probe_open(&q, node_b);
	fill_contents(&p, 9);
	ret = probe_precopy_v2(&p);
	ok(!ret || ret == -ENOTTY, "version 2 of PRECOPY_INFO: %s", strerror(-ret));
	if (!ret)
		reinit(&p, &q);
	probe_close(&p);
	probe_close(&q);
}

/* A stream of one small device, bent by a test. */
static int load_bent(struct probe *p, const struct blob *b, size_t at, unsigned char flip,
		     size_t chunk)
{
	int fd = probe_enter(p, STATE_RESUMING);
	int ret;

	b->data[at] ^= flip;
	ret = blob_write(b, 0, fd, chunk);
	b->data[at] ^= flip;
	close(fd);
	return ret;
}

static void test_bad_loads(void)
{
	struct blob b = { NULL, 0 };
	const size_t header = sizeof(struct vfiomig_edu_header);
	struct blob cut;
	struct probe p;
	int fd, none;

	set_param("state_kb", 4);
	probe_open(&p, node_a);
	fill_contents(&p, 8);
	save(&p, &b);
	probe_leave(&p, STATE_RUNNING);

	for (size_t at = 0; at < header; at++) {
		bool good = load_bent(&p, &b, at, 0x10, 1) == -EINVAL &&
			    probe_set_state(&p, STATE_STOP, &none) == -EINVAL &&
			    probe_state(&p) == STATE_RESUMING;

		if (probe_reset(&p) || probe_state(&p) != STATE_RUNNING)
			bail("reset");
		ok(good, "byte %zu of the header counts", at);
	}

	fd = probe_enter(&p, STATE_RESUMING);
	cut = (struct blob){ b.data, b.size - 1 };
	ok(!blob_write(&cut, 0, fd, 7), "all but one byte");
	ok(probe_set_state(&p, STATE_STOP, &none) == -EINVAL, "are not enough");
	ok(probe_state(&p) == STATE_RESUMING, "the device is still RESUMING");
	ok(!blob_write(&b, b.size - 1, fd, 1), "it takes the last one");
	ok(write(fd, "x", 1) == -1 && errno == ENOMEM, "one more is too many");
	ok(probe_set_state(&p, STATE_STOP, &none) == -EINVAL, "and spoils it");
	close(fd);
	ok(!probe_reset(&p), "reset");
	ok(load_bent(&p, &b, header + 1, 0xff, MIB) == -ENOMEM, "data beyond the contents");
	probe_reset(&p);
	ok(load_bent(&p, &b, header + 12, 0x40, MIB) == -EINVAL, "an unknown record");
	probe_reset(&p);
	ok(load_bent(&p, &b, b.size - 16, 0x01, MIB) == -EINVAL, "a record missing");
	probe_reset(&p);
	fd = probe_enter(&p, STATE_RESUMING);
	ok(probe_set_state(&p, STATE_RUNNING, &none) == -EINVAL, "nothing at all");
	ok(probe_state(&p) == STATE_RESUMING, "is not enough");
	close(fd);
	probe_reset(&p);
	ok(!load(&p, &b, STATE_RUNNING), "the right thing at last");
	probe_close(&p);

	set_param("state_kb", 8);
	probe_open(&p, node_a);
	ok(load(&p, &b, STATE_STOP) == -EINVAL, "contents of another size");
	probe_close(&p);
	set_param("state_kb", 0);
	blob_free(&b);
}

static void test_faults(void)
{
	struct probe p;
	int fd;

	set_param("state_kb", 4);
	probe_open(&p, node_a);
	set_param("fail_arc", 3);
	ok(probe_set_state(&p, STATE_STOP_COPY, &fd) == -EIO && fd == -1, "the third arc fails");
	ok(probe_state(&p) == STATE_STOP, "the device stays where the second one led");
	ok(!get_param("fail_arc"), "once");
	ok(probe_write(&p, &p.contents, 0, "x", 1) == -EBUSY, "a stopped device is not written to");
	ok(probe_write(&p, &p.control, 8, "12345678", 8) == -EBUSY, "nor controlled");
	probe_leave(&p, STATE_RUNNING);

	fd = probe_enter(&p, STATE_PRE_COPY);
	set_param("error_arc", 2);
	ok(probe_set_state(&p, STATE_STOP_COPY, &(int){ 0 }) == -EIO, "an arc breaks the device");
	ok(probe_state(&p) == STATE_ERROR, "it is in ERROR");
	ok(read(fd, &(char){ 0 }, 1) == -1 && errno == ENODEV, "its data fd is dead");
	close(fd);
	for (uint32_t state = STATE_ERROR; state < STATES; state++)
		ok(probe_set_state(&p, state, &fd) == -EINVAL, "no way from ERROR to %u", state);
	ok(!probe_reset(&p) && probe_state(&p) == STATE_RUNNING, "but a reset");

	/* Memory decode off: what a guest without a driver leaves behind. */
	probe_set(&p, &p.config, 4, 0, 2);
	fd = probe_enter(&p, STATE_STOP_COPY);
	ok(read(fd, &(char){ 0 }, 1) == 1, "saved with memory decode off");
	ok(!(probe_get(&p, &p.config, 4, 2) & 2), "which it stays");
	close(fd);
	probe_close(&p);
	set_param("state_kb", 0);
}

/* For two guests: the state travels on stdout and stdin. */

static void save_to_stdout(void)
{
	struct blob b = { NULL, 0 };
	struct probe p;

	probe_open(&p, node_a);
	fill_contents(&p, 9);
	set_registers(&p);
	save(&p, &b);
	if (blob_write(&b, 0, STDOUT_FILENO, MIB))
		exit(1);
	exit(0);
}

static void load_from_stdin(void)
{
	struct blob b = { NULL, 0 };
	struct probe p, q;

	probe_open(&p, node_a);
	probe_open(&q, node_b);
	fill_contents(&q, 9);
	ok(!blob_read(&b, STDIN_FILENO, MIB), "%zu bytes from the other guest", b.size);
	ok(!load(&p, &b, STATE_RUNNING), "the device takes them");
	ok(contents_equal(&p, &q), "contents are what they were there");
	ok(registers_are(&p, true), "registers are what they were there");
	probe_close(&p);
	probe_close(&q);
}

/* clang-format off */
static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "reset", test_reset },
	{ "states", test_states },
	{ "save-load", test_save_load },
	{ "dma", test_dma },
	{ "pump", test_pump },
	{ "precopy", test_precopy },
	{ "reinit", test_reinit },
	{ "bad-loads", test_bad_loads },
	{ "faults", test_faults },
	{ "stress", test_stress },
	{ "save", save_to_stdout },
	{ "load", load_from_stdin },
};
/* clang-format on */

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: edu_probe TEST NODE NODE [ARGUMENT]\n");
		return 2;
	}
	node_a = argv[2];
	node_b = argv[3];
	argument = argc > 4 ? atoi(argv[4]) : 0;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(argv[1], tests[i].name))
			continue;
		tests[i].run();
		return tap_done();
	}
	fprintf(stderr, "edu_probe: no test '%s'\n", argv[1]);
	return 2;
}
