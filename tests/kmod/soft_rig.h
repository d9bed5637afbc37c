/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of vfiomig_soft share: its registers, and every way to learn of dirty pages. */
#ifndef SOFT_RIG_H
#define SOFT_RIG_H

#include "probe.h"
#include "vfiomig_soft.h"

#define IOVA   0x100000000ull
#define PAGE   4096u
#define PAGES  1024u /* of the memory that a test maps */
#define MEMORY (PAGES * PAGE)
#define WORDS  (PAGES / 64)

#define KNOB(name) VFIOMIG_SOFT_KNOB(VFIOMIG_SOFT_KNOB_##name)

/* p is usable as with any device; p.iommufd is -1 by way of a group. */
struct soft {
	struct probe p;
	struct probe_region journal;
	uint32_t devid;
	uint32_t hwpt;
	int group, container;
	unsigned char *memory; /* mapped at IOVA, MEMORY bytes */
	uint64_t read_up_to;   /* journal entries */
};

/* One bit a page of the memory. */
struct bits {
	uint64_t word[WORDS];
};

/* A source of dirty pages: ORs those of the memory that it reports into the bits; 0 or -errno. */
typedef int (*source_fn)(struct soft *s, struct bits *bits);

/* By node with an address space of its own; with an HWPT that tracks; by group with type1. */
void soft_open(struct soft *s, const char *node);
void soft_open_hwpt(struct soft *s, const char *node);
/* Bound to the other's address space, not attached; all but p.fd is the other's to close. */
void soft_open_beside(struct soft *s, const struct soft *other, const char *node);
int soft_new_hwpt(struct soft *s);
int soft_attach(struct soft *s, uint32_t pt);
void soft_open_type1(struct soft *s, const char *group, const char *name);
void soft_close(struct soft *s);
int soft_try_map(struct soft *s, uint64_t iova, unsigned int first_page, unsigned int pages,
		 bool write);
void soft_map(struct soft *s, uint64_t iova, unsigned int first_page, unsigned int pages,
	      bool write);
int soft_unmap(struct soft *s, uint64_t iova, uint64_t size, struct bits *bits);

uint64_t reg(struct soft *s, uint64_t at);
void set_reg(struct soft *s, uint64_t at, uint64_t value);
int try_reg(struct soft *s, uint64_t at, uint64_t value);

/* Returns what the result register says. */
int dma_write(struct soft *s, uint64_t iova, uint64_t length, uint64_t value);
int dma_read(struct soft *s, uint64_t iova, uint64_t length);
bool holds(const unsigned char *memory, uint64_t iova, uint64_t length, uint64_t value);
void run(struct soft *s, uint64_t flags, uint64_t pause_us);
bool wait_writes(struct soft *s, uint64_t more);

/* The pages of the memory that the device has written since the last call, by its journal. */
void truth(struct soft *s, struct bits *bits);
bool bits_equal(const struct bits *a, const struct bits *b);
unsigned int bits_count(const struct bits *b);

int feature(struct soft *s, uint32_t flags, void *data, size_t size);
int log_start(struct soft *s, uint64_t iova, uint64_t length, uint64_t *page_size);
int log_stop(struct soft *s);
int log_report(struct soft *s, uint64_t iova, uint64_t length, void *bitmap);
int log_source(struct soft *s, struct bits *bits);

int hwpt_track(struct soft *s, bool on);
int hwpt_get(struct soft *s, uint32_t flags, uint64_t iova, uint64_t length, void *bitmap);
int hwpt_source(struct soft *s, struct bits *bits);

int type1_track(struct soft *s, uint32_t flag);
int type1_source(struct soft *s, struct bits *bits);

/* The tests. */
void test_registers(char **args);
void test_migrate(char **args);
void test_arcs(char **args);
void test_faults(char **args);
void test_hwpt(char **args);
void test_own(char **args);
void test_log(char **args);
void test_type1(char **args);
void test_type1_all(char **args);
void test_free(char **args);
void test_plug(char **args);
void test_stress(char **args);

#endif
