/* SPDX-License-Identifier: MIT */
/* Random numbers that a seed brings back. */
#ifndef VFIOMIG_TEST_SEEDED_H
#define VFIOMIG_TEST_SEEDED_H

#include <stdint.h>
#include <stdlib.h>

static uint64_t random_state;

/* splitmix64: any seed will do, 0 too. */
static inline uint64_t next_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline uint64_t below(uint64_t bound)
{
	return next_random() % bound;
}

/* A seed, or how long to go on, for who wants to see a run again. */
static inline uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

#endif
