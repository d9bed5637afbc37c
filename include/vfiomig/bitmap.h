/* SPDX-License-Identifier: MIT */
/* Bitmaps of dirty pages: set, merge between page sizes, take what others set, turn into ranges; asks no kernel. */
#ifndef VFIOMIG_BITMAP_H
#define VFIOMIG_BITMAP_H

#include <vfiomig/visibility.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A bitmap is an array of 64 bit words of the host's byte order; bit n is bit n % 64 of word n / 64, the least
 * significant first. So do VFIO, iommufd and vhost have it; KVM's dirty log is little-endian on every host, which only
 * a big-endian one can tell apart (%VFM_BITMAP_BYTES). Words must be aligned to 8 bytes. A bitmap carries no size: that
 * the words of a range are there is the caller's word, as with memcpy(). Bits of the first and last word outside a
 * range are neither changed nor looked at; @count 0 is fine, and nothing.
 *
 * @shared: other threads set bits in the bitmap, or take them, at the same time: each word that gains bits is changed
 * by one atomic OR with release order, which pairs with vfm_bitmap_take(). Without it nobody else may touch it. An OR
 * across two words of memory is not atomic, or a fault: here words must be aligned to 8 bytes without fail.
 *
 * None of these functions blocks, allocates or fails but as said. Thread: any.
 */

/* Words that hold @bits bits; times 8 for bytes. Since: 0.1 */
VFM_API uint64_t vfm_bitmap_words(uint64_t bits);

/* Set, clear, look at, count bits. With @shared words must be aligned to 8 bytes, which is not checked. Since: 0.1 */
VFM_API void vfm_bitmap_set(uint64_t *map, uint64_t first, uint64_t count, bool shared);
VFM_API void vfm_bitmap_clear(uint64_t *map, uint64_t first, uint64_t count);
VFM_API bool vfm_bitmap_test(const uint64_t *map, uint64_t bit);
VFM_API uint64_t vfm_bitmap_count(const uint64_t *map, uint64_t first, uint64_t count);

/*
 * OR bits of @from into @to, from any bit to any bit; the bitmaps do not overlap. Words of zeros are not written when
 * @shared; the words of @to must be aligned to 8 bytes then, which is not checked. Since: 0.1
 */
VFM_API void vfm_bitmap_merge(uint64_t *to, uint64_t to_first, const uint64_t *from, uint64_t from_first,
			      uint64_t count, bool shared);

/**
 * struct vfm_bitmap_pages - pages that a bitmap speaks of
 * @page_shift: a page is 2^page_shift bytes, 63 at most
 * @words:      bit n is the page that begins at @start + n pages; words must be aligned to 8 bytes
 * @start:      any address; need not be a multiple of the page
 * @pages:      number of bits; the last page may reach beyond the address space, not begin there
 */
struct vfm_bitmap_pages {
	uint32_t size;
	uint32_t page_shift;
	uint64_t *words;
	uint64_t start;
	uint64_t pages;
};

/**
 * vfm_bitmap_merge_pages() - OR dirty pages into a bitmap of the same, larger or smaller pages
 * @from:  only read
 * @first: address of the first byte to look at, in both
 * @bytes: how many; 0 is nothing
 *
 * A page of @to becomes dirty when it holds a byte of the range that lies in a dirty page of @from. For a bitmap of
 * IOVAs that goes into one of guest addresses, set @from->start to the guest address of its bit 0, once per mapped
 * area. Return: 0; -EINVAL: size, page_shift, words missing, @shared and the words of @to not aligned to 8 bytes, or
 * the two starts differ by what is no multiple of the smaller page; -EOVERFLOW: the range wraps; -ERANGE: it is not
 * inside both bitmaps; -E2BIG: struct of a later version with something set. Nothing is changed then. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_bitmap_merge_pages(const struct vfm_bitmap_pages *to,
						  const struct vfm_bitmap_pages *from, uint64_t first, uint64_t bytes,
						  bool shared);

/* How the bits of a log lie: in words of the host, or byte after byte, which a little-endian host cannot tell apart. */
enum vfm_bitmap_order {
	VFM_BITMAP_WORDS = 0, /* kernel: VFIO, iommufd, vhost (they set bits of an unsigned long) */
	VFM_BITMAP_BYTES = 1, /* vhost-user, KVM's dirty log: little-endian, bit n is bit n % 8 of byte n / 8 */
};

/**
 * vfm_bitmap_take() - move bits out of a log that others set bits in at this moment
 * @log:   aligned to 8 bytes and that many long, also for %VFM_BITMAP_BYTES: round its size up
 * @order: how bits of @log lie; @to is always one of words
 * @to:    gets them ORed in, at @to_first; nobody else touches it. NULL: they are only cleared
 *
 * Each word is taken by one atomic exchange with acquire order, so a bit set meanwhile is either in @to now or still in
 * the log for the next call, and what was written before a bit was set is seen after it was taken. For the log of
 * vhost, whose bits nobody else clears, and to bring a copy of KVM's into words. Return: number of bits that were set.
 * Since: 0.1
 */
VFM_API uint64_t vfm_bitmap_take(uint64_t *log, uint64_t first, uint64_t count, enum vfm_bitmap_order order,
				 uint64_t *to, uint64_t to_first);

/* Inclusive range of bits. */
struct vfm_bitmap_range {
	uint64_t first;
	uint64_t last;
};

/**
 * struct vfm_bitmap_cursor - where a walk over a bitmap's ranges stands
 * @words: the bitmap
 * @next:  first bit still to be looked at; set by the caller to where the walk begins, then by vfm_bitmap_ranges()
 * @end:   bit after the last
 * @join:  runs of set bits with this many clear ones between them, or fewer, become one range: fewer and longer
 *         transfers for some clean pages sent with them. 0: each run is a range
 */
struct vfm_bitmap_cursor {
	uint32_t size;
	uint32_t reserved; /* 0 */
	const uint64_t *words;
	uint64_t next;
	uint64_t end;
	uint64_t join;
};

/**
 * vfm_bitmap_ranges() - the next ranges of set bits
 * @ret:       room for @room ranges, 1 at least; some hundreds make the walk fastest
 * @ret_count: how many there are now; 0 at the end of the bitmap
 *
 * Ranges are in order, begin and end with a set bit, and are never cut short by the end of @ret: call again with the
 * same cursor for those that follow. Nobody may change the bitmap during a call: of one that is shared, take the bits
 * first. Return: 0; -EINVAL: size, @reserved, no room, no words, @next above @end; -E2BIG: struct of a
 * later version with something set. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_bitmap_ranges(struct vfm_bitmap_cursor *cursor, struct vfm_bitmap_range *ret,
					     size_t room, size_t *ret_count);

#ifdef __cplusplus
}
#endif
#endif
