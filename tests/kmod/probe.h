/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Raw access to VFIO devices for the programs that test the test drivers: no library, the kernel's
 * numbers written out here, every unexpected failure ends the program. TAP on stdout.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vfiomig_edu.h"

#define STATE_ERROR	   0u
#define STATE_STOP	   1u
#define STATE_RUNNING	   2u
#define STATE_STOP_COPY	   3u
#define STATE_RESUMING	   4u
#define STATE_RUNNING_P2P  5u
#define STATE_PRE_COPY	   6u
#define STATE_PRE_COPY_P2P 7u
#define STATES		   8u

struct probe_region {
	uint64_t size;
	off_t offset;
};

/* A device bound to an iommufd of its own and attached to an address space of its own. */
struct probe {
	int fd;
	int iommufd;
	uint32_t ioas;
	struct probe_region bar;
	struct probe_region config;
	struct probe_region contents; /* size 0 unless the driver is ours */
	struct probe_region control;
};

struct blob {
	unsigned char *data;
	size_t size;
};

/* TAP */
bool ok(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
int tap_done(void);

/* Device */
void probe_open(struct probe *p, const char *node);
void probe_close(struct probe *p);
void probe_map(struct probe *p, uint64_t iova, void *memory, size_t size);
int probe_reset(struct probe *p);
void probe_bus_master(struct probe *p, bool on);
int probe_msi(struct probe *p);
void probe_read(struct probe *p, const struct probe_region *r, uint64_t at, void *to, size_t n);
int probe_write(struct probe *p, const struct probe_region *r, uint64_t at, const void *from,
		size_t n);
uint64_t probe_get(struct probe *p, const struct probe_region *r, uint64_t at, size_t width);
void probe_set(struct probe *p, const struct probe_region *r, uint64_t at, uint64_t value,
	       size_t width);

/* Migration. State changes return 0 or -errno. */
uint64_t probe_mig_flags(struct probe *p);
uint32_t probe_state(struct probe *p);
int probe_set_state(struct probe *p, uint32_t state, int *data_fd);
int probe_enter(struct probe *p, uint32_t state);  /* expects a data fd and returns it */
void probe_leave(struct probe *p, uint32_t state); /* expects none */
uint64_t probe_data_size(struct probe *p);
int probe_precopy_v2(struct probe *p); /* ENOTTY on kernels without it */
int probe_precopy_info(int fd, uint32_t *flags, uint64_t *initial, uint64_t *dirty);

/* Streams. Reading ends at a read of 0 or ENOMSG, writing at the first error: -errno. */
int blob_read(struct blob *b, int fd, size_t chunk);
int blob_write(const struct blob *b, size_t from, int fd, size_t chunk);
void blob_free(struct blob *b);

void set_param(const char *name, unsigned int value);
unsigned int get_param(const char *name);
bool wait_until(bool (*done)(void *arg), void *arg, unsigned int ms);

#endif
