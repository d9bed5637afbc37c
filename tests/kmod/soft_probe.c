// SPDX-License-Identifier: GPL-2.0-only
/*
 * Proves the vfiomig_soft driver by raw ioctls: soft_probe TEST ARGUMENT..., as the case 05-soft of
 * the kernel lab does. How the library fares with it is tested elsewhere.
 */
#include "soft_rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool engine_rests(struct soft *s)
{
	uint64_t writes = reg(s, VFIOMIG_SOFT_RUN_WRITES);

	poll(NULL, 0, 30);
	return reg(s, VFIOMIG_SOFT_RUN_WRITES) == writes;
}

/* registers NODE */
void test_registers(char **args)
{
	struct soft s;
	uint64_t eventfd_count;
	int msi;

	soft_open(&s, args[0]);
	ok(reg(&s, VFIOMIG_SOFT_ID) == VFIOMIG_SOFT_MAGIC, "it is one of ours");
	ok(probe_get(&s.p, &s.p.config, 0, 4) ==
		   (VFIOMIG_SOFT_DEVICE_ID << 16 | VFIOMIG_SOFT_VENDOR_ID),
	   "configuration space has its identity");
	probe_bus_master(&s.p, true);
	ok(probe_get(&s.p, &s.p.config, 4, 2) == 4, "and a command to write");
	soft_map(&s, IOVA, 0, PAGES, true);

	ok(!dma_write(&s, IOVA + 4093, 4100, 0x1122334455667788), "a DMA over three pages");
	ok(holds(s.memory + 4093, IOVA + 4093, 4100, 0x1122334455667788), "holds its words");
	ok(!s.memory[4092] && !s.memory[4093 + 4100], "and nothing around them");
	ok(!dma_read(&s, IOVA + 4092, 3) &&
		   reg(&s, VFIOMIG_SOFT_DMA_VALUE) == (uint64_t)s.memory[4093] + s.memory[4094],
	   "a read sums up");
	ok(dma_write(&s, IOVA + MEMORY - 8, 16, 1) == EFAULT, "over the end is a fault");
	ok(holds(s.memory + MEMORY - 8, IOVA + MEMORY - 8, 8, 1), "after what can be written");
	ok(reg(&s, VFIOMIG_SOFT_FAULT_IOVA) == IOVA + MEMORY &&
		   reg(&s, VFIOMIG_SOFT_RUN_FAULTS) == 1,
	   "it is counted, with its address");
	ok(reg(&s, VFIOMIG_SOFT_RUN_WRITES) == 2 && reg(&s, VFIOMIG_SOFT_RUN_READ) == 1,
	   "as are accesses");
	set_reg(&s, VFIOMIG_SOFT_DMA_LENGTH, 0);
	ok(try_reg(&s, VFIOMIG_SOFT_DMA_COMMAND, 1) == -EINVAL, "no DMA of nothing");
	ok(try_reg(&s, VFIOMIG_SOFT_DMA_COMMAND, 9) == -EINVAL, "no such command");
	ok(try_reg(&s, VFIOMIG_SOFT_RUN_CTRL, VFIOMIG_SOFT_RUN) == -EINVAL,
	   "the engine does not run without settings");

	msi = probe_msi(&s.p);
	run(&s, VFIOMIG_SOFT_RUN_IRQ, 0);
	ok(wait_writes(&s, 100), "with them it writes by itself");
	ok(try_reg(&s, VFIOMIG_SOFT_RUN_PAGES, 1) == -EBUSY, "they stay while it does");
	ok(read(msi, &eventfd_count, 8) == 8, "it interrupts");
	set_reg(&s, VFIOMIG_SOFT_RUN_CTRL, 0);
	ok(engine_rests(&s), "switched off it rests");
	set_reg(&s, VFIOMIG_SOFT_RUN_CTRL, VFIOMIG_SOFT_RUN);
	probe_leave(&s.p, STATE_STOP);
	ok(engine_rests(&s), "STOP stops it");
	ok(dma_write(&s, IOVA, 8, 1) == EBUSY, "and commands");
	ok(try_reg(&s, VFIOMIG_SOFT_RUN_CTRL, 0) == -EBUSY, "and state that is device state");
	set_reg(&s, KNOB(ignore_stop), 1);
	ok(wait_writes(&s, 20), "unless it is told to ignore that");
	set_reg(&s, KNOB(ignore_stop), 0);
	ok(!probe_reset(&s.p) && probe_state(&s.p) == STATE_RUNNING, "reset");
	ok(!reg(&s, VFIOMIG_SOFT_RUN_CTRL) && !reg(&s, VFIOMIG_SOFT_RUN_WRITES), "forgets");
	soft_close(&s);
	close(msi);
}

static void save(struct soft *s, struct blob *b)
{
	int fd = probe_enter(&s->p, STATE_STOP_COPY);

	if (blob_read(b, fd, 5000))
		bail("save");
	close(fd);
}

static int load(struct soft *s, const struct blob *b, size_t bytes, uint32_t then)
{
	const struct blob part = { b->data, bytes };
	int fd = probe_enter(&s->p, STATE_RESUMING);
	int ret = blob_write(&part, 0, fd, 5000);
	int none;

	close(fd);
	return ret ? ret : probe_set_state(&s->p, then, &none);
}

static bool contents_equal(struct soft *a, struct soft *b)
{
	size_t n = a->p.contents.size;
	unsigned char *x = malloc(n), *y = malloc(n);
	bool equal = n == b->p.contents.size;

	probe_read(&a->p, &a->p.contents, 0, x, n);
	if (equal)
		probe_read(&b->p, &b->p.contents, 0, y, n);
	equal = equal && !memcmp(x, y, n);
	free(x);
	free(y);
	return equal;
}

/* In PRE_COPY with a device that never rests: dirty bytes come and go. */
static void precopy(struct soft *a, struct soft *b)
{
	uint64_t initial, dirty, writes;
	struct blob stream = { NULL, 0 };
	uint32_t flags = 0;
	int fd;

	fd = probe_enter(&a->p, STATE_PRE_COPY);
	ok(!probe_precopy_info(fd, &flags, &initial, &dirty) && initial > a->p.contents.size &&
		   !dirty,
	   "all is initial data at first");
	ok(wait_writes(a, 200), "PRE_COPY lets the device work");
	while (!probe_precopy_info(fd, &flags, &initial, &dirty) && initial) {
		stream.data = realloc(stream.data, stream.size + initial);
		stream.size += (size_t)read(fd, stream.data + stream.size, initial);
	}
	ok(wait_writes(a, 200) && !probe_precopy_info(fd, &flags, &initial, &dirty) && dirty,
	   "then it is dirty");
	probe_leave(&a->p, STATE_PRE_COPY_P2P);
	ok(engine_rests(a), "PRE_COPY_P2P stops DMA");
	ok(blob_read(&stream, fd, 7000) == -ENOMSG, "nothing left for now");
	probe_leave(&a->p, STATE_STOP_COPY);
	ok(!blob_read(&stream, fd, 7000), "STOP_COPY gives the rest");
	close(fd);

	ok(!load(b, &stream, stream.size, STATE_STOP), "the other device takes it");
	ok(contents_equal(a, b), "contents are equal");
	writes = reg(a, VFIOMIG_SOFT_RUN_WRITES);
	ok(reg(b, VFIOMIG_SOFT_RUN_WRITES) == writes &&
		   reg(b, VFIOMIG_SOFT_RUN_SEED) == reg(a, VFIOMIG_SOFT_RUN_SEED),
	   "registers are equal");
	probe_leave(&b->p, STATE_RUNNING);
	ok(wait_writes(b, 100), "and it writes on from there");
	blob_free(&stream);
}

/* migrate NODE NODE */
void test_migrate(char **args)
{
	struct blob one = { NULL, 0 }, two = { NULL, 0 };
	struct soft a, b;
	uint64_t size;

	soft_open(&a, args[0]);
	soft_open(&b, args[1]);
	soft_map(&a, IOVA, 0, PAGES, true);
	soft_map(&b, IOVA, 0, PAGES, true);
	run(&a, VFIOMIG_SOFT_RUN_CONTENTS, 0);
	ok(wait_writes(&a, 500), "the source works");
	probe_leave(&a.p, STATE_STOP);
	size = probe_data_size(&a.p);
	save(&a, &one);
	ok(one.size == size, "the stream has the size announced, %zu bytes", one.size);
	ok(!load(&b, &one, one.size, STATE_STOP), "the other device takes it");
	save(&b, &two);
	ok(one.size == two.size && !memcmp(one.data, two.data, one.size),
	   "saved again it is the same");
	probe_leave(&a.p, STATE_RUNNING);
	probe_leave(&b.p, STATE_RUNNING);
	precopy(&a, &b);

	ok(load(&b, &one, one.size - 1, STATE_STOP) == -EINVAL, "a short stream is refused");
	ok(probe_state(&b.p) == STATE_RESUMING && !probe_reset(&b.p), "until reset");
	/* The type of the fourth record, after HEADER and two blocks. */
	one.data[24 + 2 * (16 + VFIOMIG_SOFT_BLOCK) + 12] ^= 0x55;
	ok(load(&b, &one, one.size, STATE_STOP) < 0 && !probe_reset(&b.p), "so is a damaged one");
	blob_free(&one);
	blob_free(&two);
	soft_close(&a);
	soft_close(&b);
}

/* arcs NODE FLAGS: what each set of flags allows; the tables are the kernel's. */
void test_arcs(char **args)
{
	unsigned long flags = strtoul(args[1], NULL, 10);
	struct soft s;
	int fd;

	soft_open(&s, args[0]);
	ok(probe_mig_flags(&s.p) == flags, "migration flags are %lu", flags);
	for (uint32_t state = STATE_STOP; state < STATES; state++) {
		bool p2p = state == STATE_RUNNING_P2P || state == STATE_PRE_COPY_P2P;
		bool pre = state == STATE_PRE_COPY || state == STATE_PRE_COPY_P2P;
		bool can = (!p2p || flags & 2) && (!pre || flags & 4);
		bool data = pre || state == STATE_STOP_COPY || state == STATE_RESUMING;

		if (!can) {
			ok(probe_set_state(&s.p, state, &fd) == -EINVAL, "flags %lu: no state %u",
			   flags, state);
			continue;
		}
		ok(!probe_set_state(&s.p, state, &fd) && (fd >= 0) == data &&
			   probe_state(&s.p) == state,
		   "flags %lu: state %u", flags, state);
		if (data)
			close(fd);
		ok(!probe_reset(&s.p) && probe_state(&s.p) == STATE_RUNNING, "flags %lu: and back",
		   flags);
	}
	soft_close(&s);
}

static void session_faults(struct soft *a, struct soft *b)
{
	struct blob stream = { NULL, 0 }, cut = { NULL, 0 };
	uint64_t initial, dirty;
	uint32_t flags = 0;
	char byte[64];
	int fd;

	set_reg(a, KNOB(data_size), ~0ull);
	ok(probe_data_size(&a->p) == ~0ull, "data_size");
	set_reg(a, KNOB(data_size), 0);
	fd = probe_enter(&a->p, STATE_PRE_COPY);
	set_reg(a, KNOB(info_initial), 1ull << 60);
	set_reg(a, KNOB(info_dirty), 77);
	ok(!probe_precopy_info(fd, &flags, &initial, &dirty) && initial == 1ull << 60 &&
		   dirty == 77,
	   "info_initial, info_dirty");
	set_reg(a, KNOB(info_initial), 0);
	set_reg(a, KNOB(info_dirty), 0);
	set_reg(a, KNOB(read_fail), 2);
	set_reg(a, KNOB(read_errno), EAGAIN);
	set_reg(a, KNOB(chunk), 16);
	stream.data = malloc(64);
	ok(read(fd, stream.data, 64) == 16, "chunk");
	ok(read(fd, byte, 64) == -1 && errno == EAGAIN, "read_fail, read_errno");
	set_reg(a, KNOB(chunk), 0);
	stream.size = 16;
	ok(blob_read(&stream, fd, 9999) == -ENOMSG, "ENOMSG in PRE_COPY");
	set_reg(a, KNOB(precopy_eof), 1);
	ok(!read(fd, byte, 64), "precopy_eof");
	set_reg(a, KNOB(precopy_eof), 0);
	probe_leave(&a->p, STATE_STOP_COPY);
	set_reg(a, KNOB(end_enomsg), 1);
	ok(blob_read(&stream, fd, 9999) == -ENOMSG, "end_enomsg");
	set_reg(a, KNOB(end_enomsg), 0);
	close(fd);
	ok(!load(b, &stream, stream.size, STATE_STOP), "after all that the stream is whole");

	probe_leave(&a->p, STATE_STOP);
	set_reg(a, KNOB(truncate), 5000);
	save(a, &cut);
	ok(cut.size == 5000, "truncate");
	set_reg(a, KNOB(truncate), 0);
	ok(load(b, &cut, cut.size, STATE_STOP) == -EINVAL && !probe_reset(&b->p), "is noticed");
	set_reg(b, KNOB(lenient), 1);
	ok(!load(b, &cut, cut.size, STATE_STOP), "unless lenient");
	set_reg(b, KNOB(lenient), 0);
	blob_free(&cut);
	probe_leave(&a->p, STATE_STOP);
	set_reg(a, KNOB(corrupt), 13);
	save(a, &cut);
	set_reg(a, KNOB(corrupt), 0);
	ok(cut.data[12] == (stream.data[12] ^ 0xff) && load(b, &cut, cut.size, STATE_STOP) < 0 &&
		   !probe_reset(&b->p),
	   "corrupt");
	set_reg(b, KNOB(write_fail), 1);
	set_reg(b, KNOB(write_errno), ENOSPC);
	ok(load(b, &stream, stream.size, STATE_STOP) == -ENOSPC && !probe_reset(&b->p),
	   "write_fail, write_errno");
	blob_free(&stream);
	blob_free(&cut);
	probe_reset(&a->p);
}

/* faults NODE NODE */
void test_faults(char **args)
{
	struct soft a, b;
	char byte[1];
	int fd;

	soft_open(&a, args[0]);
	soft_open(&b, args[1]);
	set_reg(&a, KNOB(arc_errno), ENOTCONN);
	set_reg(&a, KNOB(arc_fail), 2);
	ok(probe_set_state(&a.p, STATE_STOP, &fd) == -ENOTCONN &&
		   probe_state(&a.p) == STATE_RUNNING_P2P,
	   "arc_fail, arc_errno");
	ok(!reg(&a, KNOB(arc_fail)), "counted down");
	set_reg(&a, KNOB(arc_error), 1);
	ok(probe_set_state(&a.p, STATE_STOP, &fd) == -ENOTCONN && probe_state(&a.p) == STATE_ERROR,
	   "arc_error");
	ok(probe_set_state(&a.p, STATE_RUNNING, &fd) == -EINVAL, "no way out of ERROR");
	set_reg(&a, KNOB(reset_fail), 1);
	ok(probe_reset(&a.p) == -ENOTCONN && probe_state(&a.p) == STATE_ERROR, "reset_fail");
	ok(!probe_reset(&a.p) && probe_state(&a.p) == STATE_RUNNING, "but by reset");
	fd = probe_enter(&a.p, STATE_PRE_COPY);
	set_reg(&a, VFIOMIG_SOFT_BREAK, 1);
	ok(probe_state(&a.p) == STATE_ERROR && read(fd, byte, 1) == -1 && errno == ENODEV,
	   "it breaks by itself");
	close(fd);
	probe_reset(&a.p);
	set_reg(&a, KNOB(arc_stuck), 1);
	ok(!probe_set_state(&a.p, STATE_STOP_COPY, &fd) && fd == -1 &&
		   probe_state(&a.p) == STATE_RUNNING,
	   "arc_stuck");
	set_reg(&a, KNOB(get_lie), 1 + STATE_PRE_COPY);
	ok(probe_state(&a.p) == STATE_PRE_COPY && reg(&a, VFIOMIG_SOFT_STATE) == STATE_RUNNING,
	   "get_lie");
	set_reg(&a, KNOB(get_lie), 0);
	set_reg(&a, KNOB(arc_ms), 20);
	probe_leave(&a.p, STATE_STOP);
	set_reg(&a, KNOB(arc_ms), 0);
	probe_leave(&a.p, STATE_RUNNING);
	set_reg(&a, KNOB(arc_errno), 0);
	session_faults(&a, &b);
	soft_close(&a);
	soft_close(&b);
}

/* clang-format off */
static const struct {
	const char *name;
	int arguments;
	void (*run)(char **args);
} tests[] = {
	{ "registers", 1, test_registers },
	{ "migrate", 2, test_migrate },
	{ "arcs", 2, test_arcs },
	{ "faults", 2, test_faults },
	{ "hwpt", 1, test_hwpt },
	{ "own", 2, test_own },
	{ "log", 1, test_log },
	{ "type1", 2, test_type1 },
	{ "type1-all", 2, test_type1_all },
	{ "free", 3, test_free },
	{ "plug", 2, test_plug },
	{ "stress", 3, test_stress },
};
/* clang-format on */

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(argv[1], tests[i].name) || argc != 2 + tests[i].arguments)
			continue;
		tests[i].run(argv + 2);
		return tap_done();
	}
	fprintf(stderr,
		"usage: soft_probe TEST ARGUMENT..., as tests/kernel/cases/05-soft.sh does\n");
	return 2;
}
