/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of vfiomig_edu share: its registers, its contents, its pump. */
#ifndef EDU_RIG_H
#define EDU_RIG_H

#include "probe.h"

#define LIVE_CHECK    0x04
#define FACTORIAL     0x08
#define STATUS	      0x20
#define IRQ_STATUS    0x24
#define IRQ_RAISE     0x60
#define IRQ_ACK	      0x64
#define DMA_SRC	      0x80
#define DMA_DST	      0x88
#define DMA_CNT	      0x90
#define DMA_CMD	      0x98
#define DMA_RUN	      1u
#define DMA_TO_MEMORY 2u
#define DMA_IRQ	      4u
#define DMA_BUFFER    0x40000u

#define IOVA   0x100000000ull /* above 4 GiB: the whole address has to arrive */
#define MEMORY (1u << 20)
#define BLOCK  VFIOMIG_EDU_BLOCK
#define MIB    (1u << 20)

/* Memory for DMA, MEMORY bytes. */
unsigned char *new_memory(void);

/* Bytes that repeat nowhere near; the contents, filled with those that @seed decides. */
void pattern(unsigned char *to, size_t n, uint64_t seed);
void fill_contents(struct probe *p, uint64_t seed);
bool contents_equal(struct probe *a, struct probe *b);
bool contents_blank(struct probe *p);

/* BAR 0; the usable registers are set to some values, or blank. */
bool dma_idle(void *arg);
void start_dma(struct probe *p, uint64_t src, uint64_t dst, uint64_t n, unsigned int cmd);
void set_registers(struct probe *p);
bool registers_are(struct probe *p, bool set);

/* The pump, copying 512 bytes to 64 slots, one a page; waiting takes 5 seconds at most. */
uint64_t pump(struct probe *p, unsigned int reg);
void start_pump(struct probe *p, uint64_t src, uint64_t dst, uint64_t ctrl);
bool wait_pumped(struct probe *p, uint64_t copies);

/* True if the eventfd was signalled within @ms. */
bool fired(int eventfd, int ms);

/* From RUNNING to STOP_COPY, all of it; from RUNNING by RESUMING to @then, or where it failed. */
void save(struct probe *p, struct blob *b);
int load(struct probe *p, const struct blob *b, uint32_t then);

/* The tests; edu_probe.c has the rest. */
extern const char *node_a, *node_b;
extern int argument;

void test_states(void);
void test_stress(void);

#endif
