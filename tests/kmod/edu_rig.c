// SPDX-License-Identifier: GPL-2.0-only
#include "edu_rig.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

unsigned char *new_memory(void)
{
	unsigned char *memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		bail("memory");
	return memory;
}

/* Bytes that repeat nowhere near, so that a block in a wrong place shows. */
void pattern(unsigned char *to, size_t n, uint64_t seed)
{
	uint64_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i + 8 <= n; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(to + i, &x, 8);
	}
}

void fill_contents(struct probe *p, uint64_t seed)
{
	unsigned char *piece = malloc(MIB);
	size_t n;

	for (uint64_t at = 0; at < p->contents.size; at += n) {
		n = p->contents.size - at < MIB ? p->contents.size - at : MIB;
		pattern(piece, n, seed + at);
		if (probe_write(p, &p->contents, at, piece, n))
			bail("contents");
	}
	free(piece);
}

bool contents_equal(struct probe *a, struct probe *b)
{
	unsigned char *x = malloc(MIB), *y = malloc(MIB);
	bool equal = a->contents.size == b->contents.size;
	size_t n;

	for (uint64_t at = 0; equal && at < a->contents.size; at += n) {
		n = a->contents.size - at < MIB ? a->contents.size - at : MIB;
		probe_read(a, &a->contents, at, x, n);
		probe_read(b, &b->contents, at, y, n);
		equal = !memcmp(x, y, n);
	}
	free(x);
	free(y);
	return equal;
}

bool contents_blank(struct probe *p)
{
	unsigned char *x = malloc(MIB);
	bool blank = true;
	size_t n;

	for (uint64_t at = 0; blank && at < p->contents.size; at += n) {
		n = p->contents.size - at < MIB ? p->contents.size - at : MIB;
		probe_read(p, &p->contents, at, x, n);
		blank = !x[0] && !memcmp(x, x + 1, n - 1);
	}
	free(x);
	return blank;
}

bool dma_idle(void *arg)
{
	struct probe *p = arg;

	return !(probe_get(p, &p->bar, DMA_CMD, 8) & DMA_RUN);
}

static bool computed(void *arg)
{
	struct probe *p = arg;

	return !(probe_get(p, &p->bar, STATUS, 4) & 1);
}

void start_dma(struct probe *p, uint64_t src, uint64_t dst, uint64_t n, unsigned int cmd)
{
	probe_set(p, &p->bar, DMA_SRC, src, 8);
	probe_set(p, &p->bar, DMA_DST, dst, 8);
	probe_set(p, &p->bar, DMA_CNT, n, 8);
	probe_set(p, &p->bar, DMA_CMD, cmd | DMA_RUN, 8);
}

void set_registers(struct probe *p)
{
	probe_set(p, &p->bar, DMA_SRC, 0x123456789abcull, 8);
	probe_set(p, &p->bar, DMA_DST, 0xfedcba98ull, 8);
	probe_set(p, &p->bar, DMA_CNT, 77, 8);
	probe_set(p, &p->bar, LIVE_CHECK, 0x5aa50ff0, 4);
	probe_set(p, &p->bar, FACTORIAL, 10, 4);
	if (!wait_until(computed, p, 2000))
		bail("factorial");
	probe_set(p, &p->bar, STATUS, 0x80, 4);
	probe_set(p, &p->bar, IRQ_RAISE, 0x42, 4);
}

bool registers_are(struct probe *p, bool set)
{
	return probe_get(p, &p->bar, DMA_SRC, 8) == (set ? 0x123456789abcull : 0) &&
	       probe_get(p, &p->bar, DMA_DST, 8) == (set ? 0xfedcba98ull : 0) &&
	       probe_get(p, &p->bar, DMA_CNT, 8) == (set ? 77 : 0) &&
	       probe_get(p, &p->bar, LIVE_CHECK, 4) == (set ? 0xa55af00f : 0) &&
	       probe_get(p, &p->bar, FACTORIAL, 4) == (set ? 3628800 : 0) &&
	       probe_get(p, &p->bar, STATUS, 4) == (set ? 0x80 : 0) &&
	       probe_get(p, &p->bar, IRQ_STATUS, 4) == (set ? 0x42 : 0);
}

uint64_t pump(struct probe *p, unsigned int reg)
{
	return probe_get(p, &p->control, reg, 8);
}

void start_pump(struct probe *p, uint64_t src, uint64_t dst, uint64_t ctrl)
{
	probe_set(p, &p->control, VFIOMIG_EDU_PUMP_SRC, src, 8);
	probe_set(p, &p->control, VFIOMIG_EDU_PUMP_DST, dst, 8);
	probe_set(p, &p->control, VFIOMIG_EDU_PUMP_LENGTH, 512, 8);
	probe_set(p, &p->control, VFIOMIG_EDU_PUMP_STRIDE, 4096, 8);
	probe_set(p, &p->control, VFIOMIG_EDU_PUMP_SLOTS, 64, 8);
	probe_set(p, &p->control, VFIOMIG_EDU_PUMP_CTRL, ctrl, 8);
}

struct pumped {
	struct probe *p;
	uint64_t copies;
};

static bool has_pumped(void *arg)
{
	struct pumped *until = arg;

	return pump(until->p, VFIOMIG_EDU_PUMP_COMPLETED) >= until->copies;
}

bool wait_pumped(struct probe *p, uint64_t copies)
{
	return wait_until(has_pumped, &(struct pumped){ p, copies }, 5000);
}

bool fired(int eventfd, int ms)
{
	struct pollfd poll_fd = { .fd = eventfd, .events = POLLIN };
	uint64_t count;

	return poll(&poll_fd, 1, ms) == 1 && read(eventfd, &count, sizeof(count)) == sizeof(count);
}

void save(struct probe *p, struct blob *b)
{
	int fd = probe_enter(p, STATE_STOP_COPY);

	if (blob_read(b, fd, MIB))
		bail("save");
	close(fd);
}

int load(struct probe *p, const struct blob *b, uint32_t then)
{
	int fd = probe_enter(p, STATE_RESUMING);
	int ret = blob_write(b, 0, fd, MIB);
	int none;

	close(fd);
	return ret ? ret : probe_set_state(p, then, &none);
}
