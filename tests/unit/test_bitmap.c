/* SPDX-License-Identifier: MIT */
/* The bitmap functions: what they refuse, what they promise to others who set bits, and the cases people get wrong. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bitmap.h"
#include "suite.h"

START_TEST(nothing_is_fine)
{
	uint64_t word = 0x5a;

	ck_assert_uint_eq(vfm_bitmap_words(0), 0);
	ck_assert_uint_eq(vfm_bitmap_words(1), 1);
	ck_assert_uint_eq(vfm_bitmap_words(64), 1);
	ck_assert_uint_eq(vfm_bitmap_words(65), 2);
	ck_assert_uint_eq(vfm_bitmap_words(UINT64_MAX), 1ull << 58);
	vfm_bitmap_set(NULL, 64, 0, false);
	vfm_bitmap_clear(NULL, 64, 0);
	ck_assert_uint_eq(vfm_bitmap_count(NULL, 64, 0), 0);
	vfm_bitmap_merge(&word, 0, &word, 0, 0, false);
	vfm_bitmap_merge(&word, 63, &word, 5, 0, true);
	ck_assert_uint_eq(vfm_bitmap_take(NULL, 0, 0, VFM_BITMAP_WORDS, NULL, 0), 0);
	ck_assert_uint_eq(word, 0x5a);
}
END_TEST

START_TEST(bit_0_is_the_least_significant)
{
	uint64_t map[2] = { 0 };

	vfm_bitmap_set(map, 0, 1, false);
	ck_assert_uint_eq(map[0], 1);
	vfm_bitmap_set(map, 63, 2, true);
	ck_assert_uint_eq(map[0], 1 | 1ull << 63);
	ck_assert_uint_eq(map[1], 1);
}
END_TEST

/* Byte order is seen by writing bytes, not words. */
START_TEST(a_log_of_bytes_is_taken_as_bytes)
{
	uint64_t log[2] = { 0 }, to = 0;
	uint8_t *bytes = (uint8_t *)log;

	bytes[0] = 0x01;
	bytes[7] = 0x80;
	bytes[9] = 0x02;
	ck_assert_uint_eq(vfm_bitmap_take(log, 1, 73 - 1, VFM_BITMAP_BYTES, &to, 0), 1);
	ck_assert_uint_eq(to, 1ull << 62);
	ck_assert_uint_eq(bytes[0], 0x01);
	ck_assert_uint_eq(bytes[7], 0);
	ck_assert_uint_eq(bytes[9], 0x02);
	to = 0;
	ck_assert_uint_eq(vfm_bitmap_take(log, 64, 64, VFM_BITMAP_BYTES, &to, 0), 1);
	ck_assert_uint_eq(to, 1ull << 9);
}
END_TEST

/* Two set each bit of a log once, one takes: none is lost, none comes twice. */
#define SHARED_BITS 4096
#define SHARED_ROUNDS 200

static uint64_t shared_log[SHARED_BITS / 64];
static unsigned int done;

static void *set_every_second(void *user)
{
	uint64_t parity = *(const uint64_t *)user;
	uint64_t source[2] = { 1, 0 };

	for (uint64_t bit = parity; bit < SHARED_BITS; bit += 2) {
		if (bit % 4 < 2)
			vfm_bitmap_set(shared_log, bit, 1, true);
		else
			vfm_bitmap_merge(shared_log, bit, source, 0, 1, true);
	}
	__atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
	return NULL;
}

START_TEST(no_bit_is_lost_between_threads)
{
	static const uint64_t parity[2] = { 0, 1 };
	uint64_t to[SHARED_BITS / 64] = { 0 }, taken = 0;
	pthread_t threads[2];
	bool last;

	__atomic_store_n(&done, 0, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, set_every_second, (void *)&parity[i]), 0);
	do {
		last = __atomic_load_n(&done, __ATOMIC_ACQUIRE) == 2;
		taken += vfm_bitmap_take(shared_log, 3, SHARED_BITS - 3 - 5, VFM_BITMAP_WORDS, to, 3);
	} while (!last);
	taken += vfm_bitmap_take(shared_log, 0, SHARED_BITS, VFM_BITMAP_WORDS, to, 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(taken, SHARED_BITS);
	ck_assert_uint_eq(vfm_bitmap_count(to, 0, SHARED_BITS), SHARED_BITS);
}
END_TEST

/*
 * A rival that comes between every load and its store: the word lies on a page that cannot be written, so that not the
 * load but the store ends in the handler, which opens the page and sets bits. What is one step, or tries again, keeps
 * them; what stores what it made of the word as it was writes over them.
 */
#define RIVAL_BITS (1ull << 41 | 1ull << 9)

static struct {
	uint64_t *word;
	size_t page_bytes;
	struct sigaction before;
	volatile sig_atomic_t came;
} rival;

static void set_rival_bits(int number)
{
	(void)number;
	if (mprotect(rival.word, rival.page_bytes, PROT_READ | PROT_WRITE) < 0)
		_exit(EXIT_FAILURE);
	*rival.word |= RIVAL_BITS;
	rival.came++;
}

/* Only the first write is met: what faults after it, or elsewhere, ends the program as ever. */
static uint64_t *word_with_rival(uint64_t bits)
{
	const struct sigaction action = { .sa_handler = set_rival_bits, .sa_flags = (int)SA_RESETHAND };

	rival.came = 0;
	rival.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	rival.word = mmap(NULL, rival.page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(rival.word, MAP_FAILED);
	*rival.word = bits;
	ck_assert_int_eq(mprotect(rival.word, rival.page_bytes, PROT_READ), 0);
	ck_assert_int_eq(sigaction(SIGSEGV, &action, &rival.before), 0);
	return rival.word;
}

/* Return: the word as it is after all. */
static uint64_t word_after_rival(void)
{
	uint64_t bits = __atomic_load_n(rival.word, __ATOMIC_RELAXED);

	ck_assert_int_eq(sigaction(SIGSEGV, &rival.before, NULL), 0);
	ck_assert_int_eq(munmap(rival.word, rival.page_bytes), 0);
	ck_assert_int_eq(rival.came, 1);
	return bits;
}

START_TEST(bits_set_between_load_and_store_stay)
{
	const uint64_t source[2] = { 0xff << 3, 0xff0000 };

	vfm_bitmap_set(word_with_rival(1), 16, 8, true);
	ck_assert_uint_eq(word_after_rival(), 1 | 0xff0000 | RIVAL_BITS);
	vfm_bitmap_merge(word_with_rival(1), 16, source, 3, 8, true);
	ck_assert_uint_eq(word_after_rival(), 1 | 0xff0000 | RIVAL_BITS);
	vfm_bitmap_merge(word_with_rival(1), 0, &source[1], 0, 64, true);
	ck_assert_uint_eq(word_after_rival(), 1 | 0xff0000 | RIVAL_BITS);
}
END_TEST

/* Those within the range are taken or stay, those beside it stay. */
START_TEST(bits_set_between_load_and_clear_are_not_lost)
{
	static const struct {
		uint64_t first, count;
	} ranges[] = { { 0, 64 }, { 1, 16 }, { 32, 32 } };
	const uint64_t first = ranges[_i].first, count = ranges[_i].count, before = 1ull << 63 | 0xff;
	uint64_t taken = 0, after;

	vfm_bitmap_take(word_with_rival(before), first, count, VFM_BITMAP_WORDS, &taken, first);
	after = word_after_rival();
	ck_assert_uint_eq(taken | after, before | RIVAL_BITS);
	ck_assert_uint_eq(taken & after, 0);
	ck_assert_uint_eq(vfm_bitmap_count(&taken, first, count), vfm_bitmap_count(&taken, 0, 64));
}
END_TEST

/* A bitmap whose words cannot be written shows that words of zeros are left alone. */
START_TEST(a_shared_merge_writes_no_word_of_zeros)
{
	static const uint64_t to[3] = { 0 };
	uint64_t from[4] = { 0 };

	vfm_bitmap_merge((uint64_t *)to, 0, from, 0, 192, true);
	vfm_bitmap_merge((uint64_t *)to, 5, from, 9, 180, true);
	ck_assert_uint_eq(to[0] | to[1] | to[2], 0);
}
END_TEST

/* Pages by address */

static uint64_t small_words[40], large_words[2];

static struct vfm_bitmap_pages pages(uint64_t *words, unsigned int shift, uint64_t start, uint64_t count)
{
	return (struct vfm_bitmap_pages){ .size = sizeof(struct vfm_bitmap_pages),
					  .page_shift = shift,
					  .words = words,
					  .start = start,
					  .pages = count };
}

/* A bitmap of 4 KiB pages that begins 12 KiB into a large page: the large one's last small page is the thirteenth. */
START_TEST(a_small_page_finds_its_large_one)
{
	struct vfm_bitmap_pages small = pages(small_words, 12, 0x10003000, 1024);
	struct vfm_bitmap_pages large = pages(large_words, 16, 0x10000000, 100);

	memset(small_words, 0, sizeof(small_words));
	memset(large_words, 0, sizeof(large_words));
	vfm_bitmap_set(small_words, 12, 1, false);
	vfm_bitmap_set(small_words, 13 + 16, 1, false);
	ck_assert_int_eq(vfm_bitmap_merge_pages(&large, &small, small.start, 1024 * 4096, false), 0);
	ck_assert_uint_eq(large_words[0], 1 | 1 << 2);
	ck_assert_uint_eq(large_words[1], 0);
}
END_TEST

START_TEST(a_large_page_dirties_its_small_ones_in_the_range)
{
	struct vfm_bitmap_pages small = pages(small_words, 12, 0x10003000, 1024);
	struct vfm_bitmap_pages large = pages(large_words, 16, 0x10000000, 100);

	memset(small_words, 0, sizeof(small_words));
	memset(large_words, 0, sizeof(large_words));
	vfm_bitmap_set(large_words, 0, 2, false);
	ck_assert_int_eq(vfm_bitmap_merge_pages(&small, &large, 0x10005800, 0x10011001 - 0x10005800, true), 0);
	ck_assert_uint_eq(vfm_bitmap_count(small_words, 2, 13), 13);
	ck_assert_uint_eq(vfm_bitmap_count(small_words, 0, 1024), 13);
	/* The same area at another guest address. */
	memset(small_words, 0, sizeof(small_words));
	large.start = 0x10100000;
	ck_assert_int_eq(vfm_bitmap_merge_pages(&small, &large, 0x10100000, 4096, false), 0);
	ck_assert_uint_eq(vfm_bitmap_count(small_words, 0, 1024), 1);
	ck_assert(vfm_bitmap_test(small_words, 0xfd));
}
END_TEST

START_TEST(the_end_of_the_address_space_is_reached)
{
	struct vfm_bitmap_pages small = pages(small_words, 12, -(1024ull * 4096), 1024);
	struct vfm_bitmap_pages large = pages(large_words, 63, 1ull << 63, 1);

	memset(small_words, 0, sizeof(small_words));
	memset(large_words, 0, sizeof(large_words));
	vfm_bitmap_set(small_words, 1023, 1, false);
	ck_assert_int_eq(vfm_bitmap_merge_pages(&large, &small, UINT64_MAX, 1, false), 0);
	ck_assert_uint_eq(large_words[0], 1);
	ck_assert_int_eq(vfm_bitmap_merge_pages(&small, &large, small.start, 1024 * 4096, false), 0);
	ck_assert_uint_eq(vfm_bitmap_count(small_words, 0, 1024), 1024);
}
END_TEST

static const struct {
	uint64_t to_start, to_pages, from_start, from_pages, first, bytes;
	unsigned int to_shift, from_shift;
	int result;
} misuses[] = {
	{ 0, 64, 0, 64, 0, 64 * 4096, 12, 12, 0 },
	{ 0, 64, 0, 64, 0, 64 * 4096 + 1, 12, 12, -ERANGE },
	{ 4096, 64, 0, 64, 0, 4096, 12, 12, -ERANGE },
	{ 0, 64, 4096, 64, 0, 4096, 12, 12, -ERANGE },
	{ 0, 64, 0, 4, 3 * 4096, 4097, 16, 12, -ERANGE },
	{ 0, 64, 0, 0, 0, 1, 12, 12, -ERANGE },
	{ 0, 64, 0, 0, 0, 0, 12, 12, 0 },
	{ 0, 64, 0, 64, UINT64_MAX, 2, 12, 12, -EOVERFLOW },
	{ 0, 64, 0, 64, 1, UINT64_MAX, 12, 12, -ERANGE },
	{ 0, 64, 512, 64, 4096, 4096, 12, 12, -EINVAL },
	{ 0, 64, 4096, 64, 65536, 4096, 16, 12, 0 },
	{ 0, 64, 4096, 64, 65536, 4096, 16, 16, -EINVAL },
	{ 0, 64, 0, 64, 0, 4096, 64, 12, -EINVAL },
	{ 0, 64, 0, 64, 0, 4096, 12, UINT32_MAX, -EINVAL },
};

START_TEST(misuse_changes_nothing)
{
	struct vfm_bitmap_pages to =
		pages(large_words, misuses[_i].to_shift, misuses[_i].to_start, misuses[_i].to_pages);
	struct vfm_bitmap_pages from =
		pages(small_words, misuses[_i].from_shift, misuses[_i].from_start, misuses[_i].from_pages);

	memset(large_words, 0, sizeof(large_words));
	memset(small_words, 0xff, sizeof(small_words));
	ck_assert_int_eq(vfm_bitmap_merge_pages(&to, &from, misuses[_i].first, misuses[_i].bytes, false),
			 misuses[_i].result);
	if (misuses[_i].result < 0)
		ck_assert_uint_eq(vfm_bitmap_count(large_words, 0, 128), 0);
	to.size = 8;
	ck_assert_int_eq(vfm_bitmap_merge_pages(&to, &from, 0, 0, false), -EINVAL);
	to.size = sizeof(to);
	to.words = NULL;
	ck_assert_int_eq(vfm_bitmap_merge_pages(&to, &from, 0, 0, false), -EINVAL);
}
END_TEST

START_TEST(shared_words_across_others_are_refused)
{
	struct vfm_bitmap_pages to = pages(large_words, 12, 0, 64);
	struct vfm_bitmap_pages from = pages(small_words, 12, 0, 64);

	memset(large_words, 0, sizeof(large_words));
	memset(small_words, 0xff, sizeof(small_words));
	for (size_t off = 1; off < sizeof(uint64_t); off++) {
		to.words = (void *)((unsigned char *)large_words + off);
		ck_assert_int_eq(vfm_bitmap_merge_pages(&to, &from, 0, 4096, true), -EINVAL);
		ck_assert_int_eq(vfm_bitmap_merge_pages(&to, &from, 0, 0, true), -EINVAL);
	}
	ck_assert_uint_eq(vfm_bitmap_count(large_words, 0, 128), 0);
	to.words = &large_words[1];
	ck_assert_int_eq(vfm_bitmap_merge_pages(&to, &from, 0, 64 * 4096, true), 0);
	ck_assert_uint_eq(large_words[1], UINT64_MAX);
}
END_TEST

/* Ranges */

START_TEST(a_cursor_is_checked)
{
	struct vfm_bitmap_range ranges[2];
	uint64_t word = 6;
	VFM_OPTS(vfm_bitmap_cursor, cursor);
	size_t count = 77;

	ck_assert_int_eq(vfm_bitmap_ranges(&cursor, ranges, 2, &count), 0);
	ck_assert_uint_eq(count, 0);
	count = 77;
	cursor.end = 64;
	ck_assert_int_eq(vfm_bitmap_ranges(&cursor, ranges, 2, &count), -EINVAL);
	cursor.words = &word;
	ck_assert_int_eq(vfm_bitmap_ranges(&cursor, ranges, 0, &count), -EINVAL);
	ck_assert_int_eq(vfm_bitmap_ranges(&cursor, NULL, 2, &count), -EINVAL);
	cursor.next = 65;
	ck_assert_int_eq(vfm_bitmap_ranges(&cursor, ranges, 2, &count), -EINVAL);
	cursor.next = 0;
	cursor.reserved = 1;
	ck_assert_int_eq(vfm_bitmap_ranges(&cursor, ranges, 2, &count), -EINVAL);
	cursor.reserved = 0;
	cursor.size--;
	ck_assert_int_eq(vfm_bitmap_ranges(&cursor, ranges, 2, &count), -EINVAL);
	ck_assert_uint_eq(count, 77);
	cursor.size++;
	ck_assert_int_eq(vfm_bitmap_ranges(&cursor, ranges, 2, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(ranges[0].first, 1);
	ck_assert_uint_eq(ranges[0].last, 2);
	ck_assert_uint_eq(cursor.next, 64);
}
END_TEST

/* Pages with 1, 2, 3 ... 18 clean ones between them, the last in the last, partial word. */
START_TEST(gaps_up_to_the_threshold_are_joined)
{
	uint64_t map[4] = { 0 };
	struct vfm_bitmap_range ranges[32];
	VFM_OPTS(vfm_bitmap_cursor, cursor);
	uint64_t bit = 0;
	size_t count;

	for (uint64_t gap = 1; gap <= 19; gap++, bit += gap)
		vfm_bitmap_set(map, bit, 1, false);
	cursor.words = map;
	cursor.end = 191;
	cursor.join = (uint64_t)_i;
	ck_assert_int_eq(vfm_bitmap_ranges(&cursor, ranges, 32, &count), 0);
	ck_assert_uint_eq(count, (size_t)(19 - _i));
	ck_assert_uint_eq(ranges[0].first, 0);
	ck_assert_uint_eq(ranges[count - 1].last, 189);
}
END_TEST

/* The choices agree on what needs no model, and the best of them is the one that is used. */
START_TEST(the_fastest_is_chosen)
{
	const struct vfmi_bitmap_ops *ops[VFMI_BITMAP_OPS_MAX];
	size_t count = vfmi_bitmap_ops_all(ops);

	ck_assert_uint_ge(count, 1);
	ck_assert_uint_le(count, VFMI_BITMAP_OPS_MAX);
	ck_assert_str_eq(ops[0]->name, "portable");
	ck_assert_ptr_eq(vfmi_bitmap_ops(), ops[count - 1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bitmap");
	TCase *tests = tcase_create("bitmap");

	tcase_add_test(tests, nothing_is_fine);
	tcase_add_test(tests, bit_0_is_the_least_significant);
	tcase_add_test(tests, a_log_of_bytes_is_taken_as_bytes);
	tcase_add_loop_test(tests, no_bit_is_lost_between_threads, 0, SHARED_ROUNDS);
	tcase_add_test(tests, bits_set_between_load_and_store_stay);
	tcase_add_loop_test(tests, bits_set_between_load_and_clear_are_not_lost, 0, 3);
	tcase_add_test(tests, a_shared_merge_writes_no_word_of_zeros);
	tcase_add_test(tests, a_small_page_finds_its_large_one);
	tcase_add_test(tests, a_large_page_dirties_its_small_ones_in_the_range);
	tcase_add_test(tests, the_end_of_the_address_space_is_reached);
	tcase_add_loop_test(tests, misuse_changes_nothing, 0, (int)VFMI_ARRAY_SIZE(misuses));
	tcase_add_test(tests, shared_words_across_others_are_refused);
	tcase_add_test(tests, a_cursor_is_checked);
	tcase_add_loop_test(tests, gaps_up_to_the_threshold_are_joined, 0, 6);
	tcase_add_test(tests, the_fastest_is_chosen);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
