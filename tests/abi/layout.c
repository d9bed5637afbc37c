/* SPDX-License-Identifier: MIT */
/* Where the members of public structs lie: programs built against an older header count on it. Compiled, never run. */
#include <stddef.h>

#include <vfiomig.h>

#define LIES_AT(type, member, offset)                                                                                  \
	_Static_assert(offsetof(struct type, member) == (offset), #type "." #member " has moved")
#define IS_LARGE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), "struct " #type " has another size")

LIES_AT(vfm_reserved, size, 0);
LIES_AT(vfm_reserved, flags, 4);
LIES_AT(vfm_reserved, first, 8);
LIES_AT(vfm_reserved, last, 16);
LIES_AT(vfm_reserved, kind, 24);
IS_LARGE(vfm_reserved, 48);

LIES_AT(vfm_iova_area, size, 0);
LIES_AT(vfm_iova_area, flags, 4);
LIES_AT(vfm_iova_area, iova, 8);
LIES_AT(vfm_iova_area, length, 16);
LIES_AT(vfm_iova_area, guard, 24);
LIES_AT(vfm_iova_area, cookie, 32);
IS_LARGE(vfm_iova_area, 40);

#if __SIZEOF_POINTER__ == 8
LIES_AT(vfm_iova_windows, size, 0);
LIES_AT(vfm_iova_windows, flags, 4);
LIES_AT(vfm_iova_windows, windows, 8);
LIES_AT(vfm_iova_windows, count, 16);
LIES_AT(vfm_iova_windows, alignment, 24);
LIES_AT(vfm_iova_windows, misfits, 32);
LIES_AT(vfm_iova_windows, room, 40);
IS_LARGE(vfm_iova_windows, 48);

LIES_AT(vfm_bitmap_cursor, size, 0);
LIES_AT(vfm_bitmap_cursor, reserved, 4);
LIES_AT(vfm_bitmap_cursor, words, 8);
LIES_AT(vfm_bitmap_cursor, next, 16);
LIES_AT(vfm_bitmap_cursor, end, 24);
LIES_AT(vfm_bitmap_cursor, join, 32);
IS_LARGE(vfm_bitmap_cursor, 40);

LIES_AT(vfm_open, size, 0);
LIES_AT(vfm_open, flags, 4);
LIES_AT(vfm_open, name, 8);
LIES_AT(vfm_open, vf_token, 16);
LIES_AT(vfm_open, opened, 32);
LIES_AT(vfm_open, user, 40);
IS_LARGE(vfm_open, 48);

LIES_AT(vfm_start, size, 0);
LIES_AT(vfm_start, ret_code, 4);
LIES_AT(vfm_start, open, 8);
LIES_AT(vfm_start, ret_error, 16);
LIES_AT(vfm_start, ret_dev, 24);
LIES_AT(vfm_start, ret_ns, 32);
LIES_AT(vfm_start, cancel, 40);
IS_LARGE(vfm_start, 48);

LIES_AT(vfm_borrow_opts, size, 0);
LIES_AT(vfm_borrow_opts, reserved, 4);
LIES_AT(vfm_borrow_opts, cancel, 8);
IS_LARGE(vfm_borrow_opts, 16);
#endif
