/* SPDX-License-Identifier: MIT */
/* Export marker, compiler-checked contracts and the initialiser of sized structs. No other macros. */
#ifndef VFIOMIG_VISIBILITY_H
#define VFIOMIG_VISIBILITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define VFM_API __attribute__((visibility("default")))
#define VFM_MUST_CHECK __attribute__((warn_unused_result))
#define VFM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define VFM_API
#define VFM_MUST_CHECK
#define VFM_PRINTF(fmt, args)
#endif

/*
 * VFM_OPTS() - declare a sized struct, zeroed, its size filled in
 *
 * Every struct that crosses the API by value begins with `uint32_t size`. A caller sets it to the size it was compiled
 * with; the library reads no further, and refuses with -E2BIG a longer struct whose tail it does not know is not zero.
 */
#ifdef __cplusplus
#define VFM_OPTS(type, name)                                                                                           \
	struct type name = {};                                                                                         \
	name.size = sizeof(struct type)
#else
#define VFM_OPTS(type, name) struct type name = { .size = sizeof(struct type) }
#endif

#endif
