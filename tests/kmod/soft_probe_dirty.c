// SPDX-License-Identifier: GPL-2.0-only
/* Dirty pages: whether every way to learn of them is exact, and every lie of the device shows. */
#include "soft_rig.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define RO_IOVA (IOVA + 2 * (uint64_t)MEMORY)

/* One write into each of some pages, and over the border of two. */
static void write_some(struct soft *s)
{
	static const unsigned int pages[] = { 0, 1, 63, 64, 127, 500, PAGES - 1 };

	for (unsigned int i = 0; i < sizeof(pages) / sizeof(*pages); i++)
		dma_write(s, IOVA + pages[i] * (uint64_t)PAGE + 8 * i, 64, i);
	dma_write(s, IOVA + 300 * (uint64_t)PAGE - 4, 8, 7);
}

/* What the source says about writes of now is what was written, neither more nor less. */
static bool exact(struct soft *s, source_fn source)
{
	struct bits told = { { 0 } }, real = { { 0 } };

	truth(s, &real);
	memset(&real, 0, sizeof(real));
	write_some(s);
	truth(s, &real);
	return !source(s, &told) && bits_equal(&told, &real) && bits_count(&real) == 9;
}

static bool clean(struct soft *s, source_fn source)
{
	struct bits told = { { 0 } };

	return !source(s, &told) && !bits_count(&told);
}

static void lies(struct soft *s, source_fn source, const char *name)
{
	struct bits told = { { 0 } };

	ok(exact(s, source) && clean(s, source), "%s: honest at first", name);
	set_reg(s, KNOB(dirty_drop), 1);
	write_some(s);
	ok(!source(s, &told) && bits_count(&told) == 8 && !(told.word[WORDS - 1]),
	   "%s: dirty_drop loses the last word", name);
	set_reg(s, KNOB(dirty_drop), 0);
	ok(clean(s, source), "%s: for good", name);

	set_reg(s, KNOB(dirty_late), 1);
	write_some(s);
	ok(clean(s, source), "%s: dirty_late tells nothing yet", name);
	memset(&told, 0, sizeof(told));
	ok(!source(s, &told) && bits_count(&told) == 9, "%s: but the next time", name);
	set_reg(s, KNOB(dirty_late), 0);
	ok(clean(s, source), "%s: and not again", name);

	set_reg(s, KNOB(dirty_all), 2);
	ok(exact(s, source), "%s: dirty_all counts", name);
	memset(&told, 0, sizeof(told));
	ok(!source(s, &told) && bits_count(&told) == PAGES, "%s: dirty_all calls all dirty", name);
	ok(clean(s, source), "%s: once", name);

	set_reg(s, KNOB(dirty_none), 1);
	write_some(s);
	ok(clean(s, source), "%s: dirty_none tells nothing", name);
	set_reg(s, KNOB(dirty_none), 0);
	ok(clean(s, source), "%s: and forgets", name);

	set_reg(s, KNOB(dirty_miss), 2);
	memset(&told, 0, sizeof(told));
	write_some(s);
	ok(!source(s, &told) && bits_count(&told) && bits_count(&told) < 9,
	   "%s: dirty_miss misses some", name);
	set_reg(s, KNOB(dirty_miss), 0);
	ok(exact(s, source), "%s: honest at last", name);
}

static void hwpt_hole(struct soft *s)
{
	const uint64_t far = IOVA + MEMORY + 64 * (uint64_t)PAGE;
	uint64_t told[WORDS + 3] = { 0 };

	soft_map(s, far, 0, 64, true);
	dma_write(s, IOVA, 8, 1);
	dma_write(s, far, 8, 1);
	ok(!hwpt_get(s, 1, IOVA, MEMORY + 128 * (uint64_t)PAGE, told) && told[0] == 1,
	   "a report over a hole succeeds");
	ok(!told[WORDS + 1], "and hides what is behind it");
	memset(told, 0, sizeof(told));
	ok(!hwpt_get(s, 0, far, 64 * (uint64_t)PAGE, told) && told[0] == 1,
	   "asked by itself it shows");
	hwpt_get(s, 0, IOVA, MEMORY, told);

	dma_write(s, far + PAGE, 8, 1);
	told[0] = 0;
	ok(!hwpt_get(s, 1, far, 64 * (uint64_t)PAGE, told) && told[0] == 2, "peek, then unmap");
	ok(!soft_unmap(s, far, 64 * (uint64_t)PAGE, NULL) && dma_write(s, far, 8, 1) == EFAULT,
	   "nothing can be written there now");
	soft_map(s, far, 0, 64, true);
	told[0] = 0;
	ok(!hwpt_get(s, 0, far, 64 * (uint64_t)PAGE, told) && !told[0], "mapped again it is clean");
	soft_unmap(s, far, 64 * (uint64_t)PAGE, NULL);
}

/* To another HWPT, while the device is at work. */
static void hwpt_change(struct soft *s)
{
	uint64_t faults = reg(s, VFIOMIG_SOFT_RUN_FAULTS);
	uint32_t first = s->hwpt;

	set_reg(s, KNOB(hwpt_fail), 1);
	ok(soft_new_hwpt(s) == -ENOMEM && !soft_new_hwpt(s), "hwpt_fail");
	run(s, 0, 0);
	set_reg(s, KNOB(attach_fail), 1);
	ok(soft_attach(s, s->hwpt) == -ENOMEM, "attach_fail");
	hwpt_track(s, true);
	ok(clean(s, hwpt_source), "the device still writes by the other one");
	for (unsigned int i = 0; i < 20; i++) {
		wait_writes(s, 5);
		if (soft_attach(s, i % 2 ? first : s->hwpt))
			bail("attach");
	}
	ok(!clean(s, hwpt_source), "attached it writes by this one");
	ok(reg(s, VFIOMIG_SOFT_RUN_FAULTS) == faults, "the change is no fault");
	probe_leave(&s->p, STATE_STOP);
}

/* hwpt NODE */
void test_hwpt(char **args)
{
	struct bits told = { { 0 } };
	struct soft s;

	soft_open_hwpt(&s, args[0]);
	soft_map(&s, IOVA, 0, PAGES, true);
	soft_map(&s, RO_IOVA, 0, 64, false);
	write_some(&s);
	ok(clean(&s, hwpt_source), "nothing is told before tracking");
	ok(!hwpt_track(&s, true), "tracking");
	ok(clean(&s, hwpt_source), "what was written before is unknown");
	ok(!dma_read(&s, IOVA, 5 * PAGE) && clean(&s, hwpt_source), "a read is no write");
	ok(dma_write(&s, RO_IOVA, 8, 1) == EFAULT && !dma_read(&s, RO_IOVA, 8),
	   "read only is read only");

	write_some(&s);
	for (int i = 0; i < 2; i++) {
		memset(&told, 0, sizeof(told));
		ok(!hwpt_get(&s, 1, IOVA, MEMORY, told.word) && bits_count(&told) == 9,
		   "peeking does not clear");
	}
	memset(&told, 0, sizeof(told));
	ok(!hwpt_source(&s, &told) && bits_count(&told) == 9 && clean(&s, hwpt_source),
	   "reading does");
	lies(&s, hwpt_source, "hwpt");
	hwpt_hole(&s);

	set_reg(&s, KNOB(map_fail), 1);
	ok(soft_try_map(&s, RO_IOVA + MEMORY, 0, 1, true) == -ENOMEM, "map_fail");
	soft_map(&s, RO_IOVA + MEMORY, 0, 1, true);
	ok(!hwpt_track(&s, false), "tracking off");
	set_reg(&s, KNOB(track_fail), 1);
	set_reg(&s, KNOB(log_errno), ENOSPC);
	ok(hwpt_track(&s, true) == -ENOSPC && !hwpt_track(&s, true), "track_fail");
	set_reg(&s, KNOB(log_errno), 0);
	hwpt_change(&s);
	soft_close(&s);
}

/* own NODE NODE: two devices of one address space, each with an HWPT of its own. */
void test_own(char **args)
{
	struct soft a, b;

	soft_open_hwpt(&a, args[0]);
	soft_map(&a, IOVA, 0, PAGES, true);
	soft_open_beside(&b, &a, args[1]);
	set_reg(&b, KNOB(attach_own), 1);
	ok(soft_attach(&b, a.hwpt) == -EINVAL, "attach_own refuses the other's HWPT");
	ok(!soft_new_hwpt(&b) && !soft_attach(&b, b.hwpt), "but not its own");
	ok(!hwpt_track(&a, true) && !hwpt_track(&b, true), "tracking");
	ok(exact(&b, hwpt_source), "its writes are in its own");
	write_some(&b);
	ok(clean(&a, hwpt_source) && !clean(&b, hwpt_source), "and not in the other");
	set_reg(&b, KNOB(attach_own), 0);
	ok(!soft_attach(&b, a.hwpt) && !exact(&b, hwpt_source) && !clean(&a, hwpt_source),
	   "without it any HWPT will do");
	close(b.p.fd);
	soft_close(&a);
}

static void log_limits(struct soft *s)
{
	const uint64_t half = MEMORY / 2;
	uint64_t ranges[3][2] = { { IOVA, PAGE },
				  { IOVA + 2 * PAGE, PAGE },
				  { IOVA + half, PAGE } };
	struct {
		uint64_t page_size;
		uint32_t count, reserved;
		uint64_t ranges;
	} control = { PAGE, 3, 0, (uintptr_t)ranges };
	struct bits told = { { 0 } };
	uint64_t page = PAGE;

	set_reg(s, KNOB(log_max_ranges), 2);
	ok(feature(s, 1u << 17 | 6, &control, sizeof(control)) == -EOPNOTSUPP, "log_max_ranges");
	set_reg(s, KNOB(log_merge), 1);
	ok(!feature(s, 1u << 17 | 6, &control, sizeof(control)) &&
		   reg(s, VFIOMIG_SOFT_LOG_RANGES) == 2,
	   "log_merge");
	dma_write(s, IOVA, 3 * PAGE, 1);
	dma_write(s, IOVA + 3 * PAGE, PAGE, 1);
	dma_write(s, IOVA + half, 2 * PAGE, 1);
	ok(!log_source(s, &told) && told.word[0] == 7 && told.word[WORDS / 2] == 1 &&
		   bits_count(&told) == 4,
	   "the gap between merged ranges is logged, other gaps are not");
	log_stop(s);
	set_reg(s, KNOB(log_max_ranges), 0);
	set_reg(s, KNOB(log_merge), 0);

	set_reg(s, KNOB(log_max_bytes), MEMORY - 1);
	ok(log_start(s, IOVA, MEMORY, &page) == -EOPNOTSUPP, "log_max_bytes");
	set_reg(s, KNOB(log_max_bytes), 0);

	set_reg(s, KNOB(log_page), 65536);
	ok(!log_start(s, IOVA, MEMORY, &page) && page == 65536, "log_page");
	memset(&told, 0, sizeof(told));
	dma_write(s, IOVA + 17 * PAGE, 8, 1);
	ok(!log_report(s, IOVA + 8 * PAGE, 16 * PAGE, told.word) && told.word[0] == 0xff00,
	   "it tells more than was written, and no more than was asked for");
	log_stop(s);
	set_reg(s, KNOB(log_page), 0);

	set_reg(s, KNOB(log_align), 64);
	page = PAGE;
	ok(!log_start(s, IOVA, half, &page), "log_align");
	ok(log_report(s, IOVA, 63 * PAGE, told.word) == -EINVAL, "wants whole words");
	ok(log_report(s, IOVA, MEMORY, told.word) == -EINVAL, "of one range");
	ok(!log_report(s, IOVA + 64 * PAGE, 64 * PAGE, told.word), "and takes them");
	log_stop(s);
	set_reg(s, KNOB(log_align), 0);
}

/* The log is on, before and after. */
static void log_resets(struct soft *s)
{
	uint64_t page = PAGE;

	set_reg(s, KNOB(log_reset), 2);
	write_some(s);
	ok(!probe_reset(&s->p) && reg(s, VFIOMIG_SOFT_LOG_DIRTY) == 9, "log_reset: keep all");
	set_reg(s, KNOB(log_reset), 1);
	ok(!probe_reset(&s->p) && reg(s, VFIOMIG_SOFT_LOG_ON) && clean(s, log_source),
	   "log_reset: forget pages");
	s->read_up_to = 0;
	ok(exact(s, log_source), "and go on");
	set_reg(s, KNOB(log_reset), 0);
	write_some(s);
	ok(!probe_reset(&s->p) && !reg(s, VFIOMIG_SOFT_LOG_ON) && !reg(s, VFIOMIG_SOFT_LOG_DIRTY),
	   "else a reset ends it");
	ok(!clean(s, log_source) && !log_start(s, IOVA, MEMORY, &page), "until START");
	write_some(s);
	set_reg(s, VFIOMIG_SOFT_BREAK, 1);
	ok(!reg(s, VFIOMIG_SOFT_LOG_ON) && !log_start(s, IOVA, MEMORY, &page) &&
		   clean(s, log_source),
	   "so does ERROR, in which it can be started");
	ok(!probe_reset(&s->p) && !log_start(s, IOVA, MEMORY, &page), "and reset ends that");
	s->read_up_to = 0;
}

/* log NODE */
void test_log(char **args)
{
	struct bits told = { { 0 } };
	uint64_t page = PAGE;
	struct soft s;

	soft_open(&s, args[0]);
	soft_map(&s, IOVA, 0, PAGES, true);
	ok(log_source(&s, &told) == -EINVAL, "no report before START");
	set_reg(&s, KNOB(log_errno), ENOMEM);
	set_reg(&s, KNOB(log_start_fail), 1);
	ok(log_start(&s, IOVA, MEMORY, &page) == -ENOMEM, "log_start_fail, log_errno");
	write_some(&s);
	ok(!log_start(&s, IOVA, MEMORY, &page) && page == PAGE, "START");
	ok(clean(&s, log_source), "what was written before is unknown");
	ok(log_start(&s, IOVA, MEMORY, &page) == -EINVAL, "not twice");
	ok(!dma_read(&s, IOVA, 5 * PAGE) && clean(&s, log_source), "a read is no write");
	lies(&s, log_source, "log");
	write_some(&s);
	set_reg(&s, KNOB(log_report_fail), 1);
	ok(log_source(&s, &told) == -ENOMEM, "log_report_fail");
	ok(!log_source(&s, &told) && bits_count(&told) == 9, "nothing is lost by it");
	log_resets(&s);
	set_reg(&s, KNOB(log_again), 1);
	ok(!log_start(&s, IOVA, MEMORY, &page) && clean(&s, log_source), "log_again starts anew");
	set_reg(&s, KNOB(log_again), 0);
	ok(!log_stop(&s) && !log_stop(&s), "STOP");
	ok(log_source(&s, &told) == -EINVAL, "no report after it");
	log_limits(&s);
	set_reg(&s, KNOB(log_errno), 0);
	soft_close(&s);
}

/* type1 GROUP NAME */
void test_type1(char **args)
{
	struct bits told = { { 0 } }, real = { { 0 } };
	struct soft s;

	soft_open_type1(&s, args[0], args[1]);
	soft_map(&s, IOVA, 0, PAGES / 2, true);
	soft_map(&s, IOVA + MEMORY / 2, PAGES / 2, PAGES / 2, true);
	ok(!type1_track(&s, 1), "tracking");
	ok(clean(&s, type1_source), "clean at first");
	ok(exact(&s, type1_source) && clean(&s, type1_source), "what the CPU copies is exact");
	ok(!dma_read(&s, IOVA, 5 * PAGE) && clean(&s, type1_source), "a read is no write");

	set_reg(&s, VFIOMIG_SOFT_DMA_MODE, VFIOMIG_SOFT_ONCE);
	ok(exact(&s, type1_source) && clean(&s, type1_source),
	   "pages pinned for a moment are exact");
	set_reg(&s, VFIOMIG_SOFT_DMA_MODE, VFIOMIG_SOFT_PIN);
	ok(exact(&s, type1_source), "pages that stay pinned are exact");
	ok(reg(&s, VFIOMIG_SOFT_PINNED) == 9, "they are pinned");
	memset(&told, 0, sizeof(told));
	ok(!type1_source(&s, &told) && bits_count(&told) == 9, "dirty at every look");
	set_reg(&s, VFIOMIG_SOFT_DMA_COMMAND, VFIOMIG_SOFT_DMA_UNPIN);
	memset(&told, 0, sizeof(told));
	ok(!type1_source(&s, &told) && bits_count(&told) == 9 && clean(&s, type1_source),
	   "once more after they are let go");

	for (uint64_t mode = VFIOMIG_SOFT_COPY; mode <= VFIOMIG_SOFT_PIN; mode++) {
		set_reg(&s, VFIOMIG_SOFT_DMA_MODE, mode);
		memset(&told, 0, sizeof(told));
		memset(&real, 0, sizeof(real));
		truth(&s, &real);
		memset(&real, 0, sizeof(real));
		write_some(&s);
		truth(&s, &real);
		memset(real.word + WORDS / 2, 0, sizeof(real) / 2);
		ok(!soft_unmap(&s, IOVA, MEMORY / 2, &told) && bits_equal(&told, &real),
		   "mode %d: unmap tells exactly its part", (int)mode);
		ok(dma_write(&s, IOVA, 8, 1) == EFAULT, "nothing can be written there now");
		soft_map(&s, IOVA, 0, PAGES / 2, true);
		memset(&told, 0, sizeof(told));
		ok(!type1_source(&s, &told) && told.word[WORDS - 1] && bits_count(&told) == 1,
		   "the other part is told as ever");
	}
	ok(reg(&s, VFIOMIG_SOFT_UNMAPS) && reg(&s, VFIOMIG_SOFT_PINNED) == 1,
	   "the device was told to let go");
	ok(!type1_track(&s, 2), "tracking off");
	soft_close(&s);
}

/* type1-all GROUP NAME: of a device behind an IOMMU type1 knows nothing. */
void test_type1_all(char **args)
{
	struct bits told = { { 0 } };
	struct soft s;

	soft_open_type1(&s, args[0], args[1]);
	soft_map(&s, IOVA, 0, PAGES, true);
	ok(!dma_write(&s, IOVA, MEMORY, 1) && holds(s.memory, IOVA, MEMORY, 1), "DMA by type1");
	ok(!type1_track(&s, 1), "tracking");
	for (int i = 0; i < 2; i++)
		ok(!type1_source(&s, &told) && bits_count(&told) == PAGES, "all pages are dirty");
	ok(!soft_unmap(&s, IOVA, MEMORY, NULL) && dma_write(&s, IOVA, 8, 1) == EFAULT, "unmapped");
	soft_close(&s);
}

/* Mirrors: a copy made of reported pages only, while the device never rests */

struct mirror {
	unsigned char *memory;
	struct bits told;
	struct bits real;
};

static void copy_told(struct soft *s, struct mirror *m, const struct bits *bits)
{
	for (unsigned int page = 0; page < PAGES; page++) {
		if (!(bits->word[page / 64] >> page % 64 & 1))
			continue;
		memcpy(m->memory + (size_t)page * PAGE, s->memory + (size_t)page * PAGE, PAGE);
	}
	for (unsigned int i = 0; i < WORDS; i++)
		m->told.word[i] |= bits->word[i];
}

static void follow(struct soft *s, struct mirror *m, source_fn source)
{
	struct bits bits = { { 0 } };

	truth(s, &m->real);
	if (source(s, &bits))
		bail("report");
	copy_told(s, m, &bits);
}

/* Take half of the memory away from a device at work, and give it back. */
static void replug(struct soft *s, struct mirror *m)
{
	struct bits bits = { { 0 } };

	if (soft_unmap(s, IOVA, MEMORY / 2, &bits))
		bail("unmap");
	copy_told(s, m, &bits);
	poll(NULL, 0, 25);
	soft_map(s, IOVA, 0, PAGES / 2, true);
}

/* Switched off for each report, it tells all that was written since the last, and no more. */
static void bursts(struct soft *s, const char *name, source_fn source, uint64_t flags)
{
	unsigned int rounds = 0;

	run(s, flags, 200);
	for (; rounds < 40; rounds++) {
		struct bits told = { { 0 } }, real = { { 0 } };

		wait_writes(s, 10);
		set_reg(s, VFIOMIG_SOFT_RUN_CTRL, 0);
		truth(s, &real);
		set_reg(s, VFIOMIG_SOFT_DMA_COMMAND, VFIOMIG_SOFT_DMA_UNPIN);
		if (source(s, &told) || !bits_equal(&told, &real) || bits_count(&real) == PAGES)
			break;
		set_reg(s, VFIOMIG_SOFT_RUN_CTRL, VFIOMIG_SOFT_RUN | flags);
	}
	ok(rounds == 40, "%s: %u bursts, each told exactly", name, rounds);
	set_reg(s, VFIOMIG_SOFT_RUN_CTRL, 0);
}

static void live(struct soft *s, const char *name, source_fn source, bool unmaps)
{
	uint64_t mode = reg(s, VFIOMIG_SOFT_DMA_MODE);
	/* What is read is pinned, and dirty for that. */
	uint64_t flags = VFIOMIG_SOFT_RUN_STRADDLE |
			 (mode == VFIOMIG_SOFT_PIN ? 0 : VFIOMIG_SOFT_RUN_READS);
	struct mirror m = { .memory = calloc(PAGES, PAGE) };
	unsigned int rounds = unmaps ? 40 : 100;

	s->read_up_to = reg(s, VFIOMIG_SOFT_RUN_WRITES);
	bursts(s, name, source, flags);
	memcpy(m.memory, s->memory, MEMORY);
	run(s, flags, 50);
	for (unsigned int i = 0; i < rounds; i++) {
		wait_writes(s, 20);
		follow(s, &m, source);
		if (unmaps && i % 4 == 3)
			replug(s, &m);
	}
	wait_writes(s, 20);
	ok(memcmp(m.memory, s->memory, MEMORY), "%s: never in step while it runs", name);
	probe_leave(&s->p, STATE_STOP);
	follow(s, &m, source);
	ok(!memcmp(m.memory, s->memory, MEMORY),
	   "%s: the mirror is equal after SET and a last report", name);
	ok(bits_equal(&m.told, &m.real), "%s: told %u pages, written %u", name, bits_count(&m.told),
	   bits_count(&m.real));
	ok(!unmaps || reg(s, VFIOMIG_SOFT_RUN_FAULTS), "%s: %llu writes, %llu faults", name,
	   (unsigned long long)reg(s, VFIOMIG_SOFT_RUN_WRITES),
	   (unsigned long long)reg(s, VFIOMIG_SOFT_RUN_FAULTS));

	/* The proof that this test can fail. */
	probe_leave(&s->p, STATE_RUNNING);
	set_reg(s, KNOB(dirty_miss), 1);
	wait_writes(s, 50);
	probe_leave(&s->p, STATE_STOP);
	set_reg(s, KNOB(dirty_miss), 0);
	follow(s, &m, source);
	if (source != type1_source)
		ok(memcmp(m.memory, s->memory, MEMORY), "%s: with missed writes it is not", name);
	free(m.memory);
}

/* free hwpt|log|log-pin NODE -, free copy|pin GROUP NAME */
void test_free(char **args)
{
	bool pin = !strcmp(args[0], "pin");
	uint64_t page = PAGE;
	struct soft s;

	if (!strcmp(args[0], "hwpt")) {
		soft_open_hwpt(&s, args[1]);
		soft_map(&s, IOVA, 0, PAGES, true);
		hwpt_track(&s, true);
		live(&s, args[0], hwpt_source, false);
	} else if (!strcmp(args[0], "log") || !strcmp(args[0], "log-pin")) {
		soft_open(&s, args[1]);
		soft_map(&s, IOVA, 0, PAGES / 2, true);
		soft_map(&s, IOVA + MEMORY / 2, PAGES / 2, PAGES / 2, true);
		set_reg(&s, VFIOMIG_SOFT_DMA_MODE,
			args[0][3] ? VFIOMIG_SOFT_PIN : VFIOMIG_SOFT_COPY);
		log_start(&s, IOVA, MEMORY, &page);
		live(&s, args[0], log_source, args[0][3]);
	} else {
		soft_open_type1(&s, args[1], args[2]);
		soft_map(&s, IOVA, 0, PAGES / 2, true);
		soft_map(&s, IOVA + MEMORY / 2, PAGES / 2, PAGES / 2, true);
		set_reg(&s, VFIOMIG_SOFT_DMA_MODE, pin ? VFIOMIG_SOFT_PIN : VFIOMIG_SOFT_COPY);
		type1_track(&s, 1);
		live(&s, args[0], type1_source, true);
	}
	soft_close(&s);
}

static void driver_file(const char *file, const char *name)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/platform/drivers/vfiomig_soft/%s", file);
	f = fopen(path, "w");
	if (!f || fputs(name, f) < 0 || fclose(f))
		bail("%s %s", file, name);
}

/* plug NODE NAME: unplugged while in use, the device asks for being let go. */
void test_plug(char **args)
{
	struct {
		uint32_t argsz, flags, index, start, count;
		int32_t fd;
	} set = { sizeof(set), 4 | 32, 4, 0, 1, eventfd(0, EFD_CLOEXEC) };
	struct pollfd asked = { .fd = set.fd, .events = POLLIN };
	struct soft s;
	pid_t child;
	int status;

	soft_open(&s, args[0]);
	soft_map(&s, IOVA, 0, PAGES, true);
	run(&s, 0, 0);
	ok(!ioctl(s.p.fd, (';' << 8) + 110, &set), "an eventfd for requests");
	child = fork();
	if (!child) {
		close(s.p.fd);
		close(s.p.iommufd);
		driver_file("unbind", args[1]);
		_exit(0);
	}
	ok(poll(&asked, 1, 5000) == 1, "unplugging asks for it");
	ok(wait_writes(&s, 10), "and waits");
	soft_close(&s);
	ok(waitpid(child, &status, 0) == child && !status, "until it is closed");
	ok(access(args[0], F_OK), "its node is gone");
	driver_file("bind", args[1]);
}
