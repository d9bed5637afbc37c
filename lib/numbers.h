/* SPDX-License-Identifier: MIT */
/* Arithmetic that every layer may use; it stands on nothing. */
#ifndef VFIOMIG_NUMBERS_H
#define VFIOMIG_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

/* true and *sum untouched on overflow */
static inline bool vfmi_add_overflows(uint64_t a, uint64_t b, uint64_t *sum)
{
	return __builtin_add_overflow(a, b, sum);
}

static inline bool vfmi_is_power_of_two(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

static inline uint64_t vfmi_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

#endif
