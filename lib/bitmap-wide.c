/* SPDX-License-Identifier: MIT */
/* The inner loops of bitmaps for the instruction sets of x86-64, chosen at run time; pure. */
#include "bitmap-loops.h"

static uint64_t count_portable(const uint64_t *words, size_t count)
{
	return vfmi_loop_count(words, count);
}

static void scan_portable(struct vfmi_bitmap_scan *scan, uint64_t end, size_t enough)
{
	vfmi_loop_scan(scan, end, enough, vfmi_loop_block, vfmi_bitmap_scan_put);
}

static const struct vfmi_bitmap_ops portable = { "portable", count_portable, scan_portable };

#ifdef __x86_64__
#include <immintrin.h>

#define LANES 8
#define AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define AVX512 __attribute__((target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2")))

AVX2 static uint64_t count_avx2(const uint64_t *words, size_t count)
{
	return vfmi_loop_count(words, count);
}

AVX2 static inline __m256i load_avx2(const uint64_t *words)
{
	return _mm256_loadu_si256((const __m256i_u *)words);
}

AVX2 static inline uint64_t block_avx2(const uint64_t *words)
{
	uint64_t without = 0;

	for (unsigned int i = 0; i < VFMI_WORD_BITS; i += 4) {
		__m256i bits = load_avx2(&words[i]), before = load_avx2(&words[i] - 1);
		__m256i moved = _mm256_or_si256(_mm256_slli_epi64(bits, 1), _mm256_srli_epi64(before, 63));
		int same = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(bits, moved)));

		without |= (uint64_t)same << i;
	}
	return ~without;
}

AVX2 static void scan_avx2(struct vfmi_bitmap_scan *scan, uint64_t end, size_t enough)
{
	vfmi_loop_scan(scan, end, enough, block_avx2, vfmi_bitmap_scan_put);
}

static const struct vfmi_bitmap_ops avx2 = { "avx2", count_avx2, scan_avx2 };

AVX512 static inline uint64_t block_avx512(const uint64_t *words)
{
	uint64_t with_edges = 0;

	for (size_t i = 0; i < VFMI_WORD_BITS; i += LANES) {
		__m512i bits = _mm512_loadu_si512(&words[i]), before = _mm512_loadu_si512(&words[i] - 1);
		__m512i moved = _mm512_shldi_epi64(bits, before, 1);

		with_edges |= (uint64_t)_mm512_cmpneq_epi64_mask(bits, moved) << i;
	}
	return with_edges;
}

/*
 * The numbers of a word's edges, 0 to 63, are squeezed together as bytes, then widened eight at a time. Every second
 * edge, the last bit of a run, is one bit before where the bits change.
 */
AVX512 static inline void put_avx512(struct vfmi_bitmap_scan *scan, uint64_t word, uint64_t edges)
{
	static const uint8_t numbers[VFMI_WORD_BITS] = {
		0,  1,	2,  3,	4,  5,	6,  7,	8,  9,	10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
		22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
		44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
	};
	size_t count = (size_t)__builtin_popcountll(edges), i = 0;
	__m512i base = _mm512_set1_epi64((long long)(word * VFMI_WORD_BITS));
	__m512i found = _mm512_maskz_compress_epi8(edges, _mm512_loadu_si512(numbers));
	uint64_t *to = &scan->edges[scan->count];

	base = _mm512_mask_sub_epi64(base, scan->count & 1 ? 0x55 : 0xaa, base, _mm512_set1_epi64(1));
	do {
		__m512i low = _mm512_cvtepu8_epi64(_mm512_castsi512_si128(found));
		__m512i high = _mm512_cvtepu8_epi64(_mm_bsrli_si128(_mm512_castsi512_si128(found), 8));

		_mm512_storeu_si512(&to[i], _mm512_add_epi64(base, low));
		_mm512_storeu_si512(&to[i + LANES], _mm512_add_epi64(base, high));
		found = _mm512_alignr_epi64(found, found, 2);
		i += 2 * LANES;
	} while (i < count);
	scan->count += count;
}

AVX512 static void scan_avx512(struct vfmi_bitmap_scan *scan, uint64_t end, size_t enough)
{
	vfmi_loop_scan(scan, end, enough, block_avx512, put_avx512);
}

static const struct vfmi_bitmap_ops avx512 = { "avx512", count_avx2, scan_avx512 };

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
	       __builtin_cpu_supports("popcnt");
}

static bool has_avx512(void)
{
	return has_avx2() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi2");
}
#endif

size_t vfmi_bitmap_ops_all(const struct vfmi_bitmap_ops *ret[VFMI_BITMAP_OPS_MAX])
{
	size_t count = 0;

	ret[count++] = &portable;
#ifdef __x86_64__
	if (has_avx2())
		ret[count++] = &avx2;
	if (has_avx512())
		ret[count++] = &avx512;
#endif
	return count;
}

const struct vfmi_bitmap_ops *vfmi_bitmap_ops(void)
{
#ifdef __x86_64__
	if (has_avx512())
		return &avx512;
	if (has_avx2())
		return &avx2;
#endif
	return &portable;
}
