/* SPDX-License-Identifier: MIT */
/* What the wrappers believe of a kernel's answers: capability chains, growing answers, sizes, ranges. */
#include <check.h>
#include <stdlib.h>

#include "internal.h"
#include "iommufd.h"
#include "vfio.h"
#include "suite.h"

/* find_cap: a chain is bytes */

#define FIRST 32u

static uint8_t info[128];

static void put_cap(uint32_t at, uint16_t id, uint32_t next)
{
	struct vfio_info_cap_header header = { .id = id, .version = 1, .next = next };

	memcpy(info + at, &header, sizeof(header));
}

static void setup(void)
{
	memset(info, 0, sizeof(info));
}

START_TEST(finds_along_the_chain)
{
	put_cap(FIRST, 5, 100);
	put_cap(100, 6, 64);
	put_cap(64, 7, 0);
	ck_assert_ptr_eq(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 5, 8), info + FIRST);
	ck_assert_ptr_eq(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 6, 8), info + 100);
	ck_assert_ptr_eq(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 7, 8), info + 64);
	ck_assert_ptr_null(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 8, 8));
	ck_assert_ptr_null(vfmi_vfio_find_cap(info, sizeof(info), 0, 5, 8));
}
END_TEST

START_TEST(first_of_two_counts)
{
	put_cap(FIRST, 5, 64);
	put_cap(64, 5, 0);
	ck_assert_ptr_eq(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 5, 8), info + FIRST);
}
END_TEST

START_TEST(cycles_end)
{
	put_cap(FIRST, 5, FIRST);
	ck_assert_ptr_null(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 9, 8));
	put_cap(FIRST, 5, 64);
	put_cap(64, 6, FIRST);
	ck_assert_ptr_null(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 9, 8));
	ck_assert_ptr_eq(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 6, 8), info + 64);
}
END_TEST

static const uint32_t wild_offsets[] = { 121, 127, 128, 129, 0x7fffffff, 0x80000000, 0xfffffff8, UINT32_MAX };

START_TEST(offsets_outside_end)
{
	ck_assert_ptr_null(vfmi_vfio_find_cap(info, sizeof(info), wild_offsets[_i], 0, 8));
	put_cap(FIRST, 5, wild_offsets[_i]);
	ck_assert_ptr_null(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 9, 8));
	ck_assert_ptr_eq(vfmi_vfio_find_cap(info, sizeof(info), FIRST, 5, 8), info + FIRST);
}
END_TEST

START_TEST(too_short_is_absent)
{
	put_cap(120, 5, 0);
	ck_assert_ptr_eq(vfmi_vfio_find_cap(info, sizeof(info), 120, 5, 8), info + 120);
	ck_assert_ptr_null(vfmi_vfio_find_cap(info, sizeof(info), 120, 5, 9));
	ck_assert_ptr_null(vfmi_vfio_find_cap(info, 7, 1, 5, 8));
	ck_assert_ptr_null(vfmi_vfio_find_cap(info, 0, 1, 5, 0));
}
END_TEST

START_TEST(unaligned_is_read)
{
	put_cap(45, 5, 0); /* before 6.6 nothing aligned them */
	ck_assert_ptr_eq(vfmi_vfio_find_cap(info, sizeof(info), 45, 5, 8), info + 45);
}
END_TEST

/* a kernel with an answer prepared */

static struct {
	uint8_t answer[512];
	size_t length;	/* what the kernel has to say */
	size_t claim;	/* argsz to claim instead; 0: length */
	bool grows;	/* each answer is longer than the last */
	int interrupts; /* that many EINTR first */
	int result;
	int calls;
} kernel;

static int fake_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	uint32_t argsz;
	uint32_t needed = (uint32_t)(kernel.claim ? kernel.claim : kernel.length);

	(void)sys;
	ck_assert_int_eq(fd, 3);
	ck_assert_uint_eq(request, VFIO_DEVICE_GET_REGION_INFO);
	kernel.calls++;
	if (kernel.interrupts-- > 0)
		return -EINTR;
	if (kernel.result < 0)
		return kernel.result;
	memcpy(&argsz, arg, sizeof(argsz));
	ck_assert_uint_ge(argsz, sizeof(struct vfio_region_info));
	if (kernel.grows)
		needed = argsz + 8;
	memcpy((char *)arg + 4, kernel.answer + 4, (argsz < kernel.length ? argsz : kernel.length) - 4);
	if (argsz < needed) {
		((struct vfio_region_info *)arg)->cap_offset = 0;
		memcpy(arg, &needed, sizeof(needed));
	}
	return kernel.result;
}

static const struct vfmi_sys_ops fake_ops = { .ioctl = fake_ioctl };
static struct vfmi_sys fake = { .ops = &fake_ops };

static void prepare(uint32_t flags, uint32_t cap_offset, size_t length)
{
	const struct vfio_region_info fixed = { .flags = flags, .cap_offset = cap_offset, .size = 0x1000 };

	memset(&kernel, 0, sizeof(kernel));
	memcpy(kernel.answer, &fixed, sizeof(fixed));
	kernel.length = length;
}

static void answer_cap(uint32_t at, uint16_t id, uint32_t next, const void *body, size_t length)
{
	struct vfio_info_cap_header header = { .id = id, .version = 1, .next = next };

	memcpy(kernel.answer + at, &header, sizeof(header));
	if (length > 0)
		memcpy(kernel.answer + at + sizeof(header), body, length);
}

static int ask(struct vfio_region_info **ret, size_t *ret_length)
{
	*ret = NULL;
	return vfmi_vfio_region_info(&fake, 3, 2, ret, ret_length);
}

START_TEST(plain_region_takes_one_call)
{
	struct vfio_region_info *region;
	size_t length;

	prepare(VFIO_REGION_INFO_FLAG_READ, 0, sizeof(*region));
	kernel.interrupts = 3;
	ck_assert_int_eq(ask(&region, &length), 0);
	ck_assert_int_eq(kernel.calls, 4);
	ck_assert_uint_eq(length, sizeof(*region));
	ck_assert_uint_eq(region->size, 0x1000);
	free(region);
}
END_TEST

START_TEST(capabilities_take_two)
{
	const uint32_t type[2] = { 11, 22 };
	const uint64_t sparse[] = { 2, 0, 0x100, 0x800, 0x100 };
	struct vfio_region_info *region;
	size_t length;

	prepare(VFIO_REGION_INFO_FLAG_CAPS, 32, 96);
	answer_cap(32, VFIO_REGION_INFO_CAP_TYPE, 48, type, sizeof(type));
	answer_cap(48, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0, sparse, sizeof(sparse));
	ck_assert_int_eq(ask(&region, &length), 0);
	ck_assert_int_eq(kernel.calls, 2);
	ck_assert_uint_eq(length, 96);
	ck_assert_ptr_nonnull(vfmi_vfio_find_cap(region, length, region->cap_offset, VFIO_REGION_INFO_CAP_TYPE, 16));
	free(region);
}
END_TEST

START_TEST(offset_without_the_flag_is_nothing)
{
	struct vfio_region_info *region;
	size_t length;

	prepare(0, 0xffffffff, sizeof(*region));
	ck_assert_int_eq(ask(&region, &length), 0);
	ck_assert_uint_eq(region->cap_offset, 0);
	free(region);
}
END_TEST

static const struct {
	uint32_t at; /* of the first capability */
	uint16_t id;
	uint32_t next;
	uint32_t areas;
	size_t length;
} damaged[] = {
	{ 8, VFIO_REGION_INFO_CAP_TYPE, 0, 0, 64 },	       /* inside the fixed part */
	{ 31, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 0, 0, 64 },  /* likewise */
	{ 57, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 0, 0, 64 },  /* header cut off */
	{ 32, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 32, 0, 64 }, /* its own next */
	{ 32, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 4, 0, 64 },  /* back into the fixed part */
	{ 32, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 64, 0, 64 }, /* beyond the end */
	{ 32, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 0xffffffff, 0, 64 },
	{ 56, VFIO_REGION_INFO_CAP_TYPE, 0, 0, 64 },		     /* body cut off */
	{ 56, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0, 0, 64 },	     /* body cut off */
	{ 32, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0, 2, 64 },	     /* room for one area */
	{ 32, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0, 0x10000000, 64 }, /* 2^32 bytes */
	{ 32, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0, 0xffffffff, 64 },
};

START_TEST(damaged_chains_are_refused)
{
	struct vfio_region_info *region;
	size_t length;

	prepare(VFIO_REGION_INFO_FLAG_CAPS, damaged[_i].at, damaged[_i].length);
	answer_cap(damaged[_i].at, damaged[_i].id, damaged[_i].next, &damaged[_i].areas, sizeof(damaged[_i].areas));
	if (damaged[_i].at < 32) {
		uint32_t offset = damaged[_i].at;

		memcpy(kernel.answer + 4, &(uint32_t){ VFIO_REGION_INFO_FLAG_CAPS }, 4);
		memcpy(kernel.answer + 12, &offset, sizeof(offset));
	}
	ck_assert_int_eq(ask(&region, &length), -EIO);
	ck_assert_ptr_null(region);
}
END_TEST

START_TEST(one_area_fits_exactly)
{
	const uint64_t sparse[] = { 1, 0x100, 0x200 };
	struct vfio_region_info *region;
	size_t length;

	prepare(VFIO_REGION_INFO_FLAG_CAPS, 32, 64);
	answer_cap(32, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0, sparse, sizeof(sparse));
	ck_assert_int_eq(ask(&region, &length), 0);
	free(region);
}
END_TEST

START_TEST(endless_growth_is_refused)
{
	struct vfio_region_info *region;
	size_t length;

	prepare(0, 0, sizeof(*region));
	kernel.grows = true;
	ck_assert_int_eq(ask(&region, &length), -EIO);
	ck_assert_int_le(kernel.calls, 8);
}
END_TEST

START_TEST(absurd_size_is_refused)
{
	struct vfio_region_info *region;
	size_t length;

	prepare(0, 0, sizeof(*region));
	kernel.claim = UINT32_MAX;
	ck_assert_int_eq(ask(&region, &length), -EIO);
	ck_assert_int_eq(kernel.calls, 1);
	kernel.result = -EINVAL;
	ck_assert_int_eq(ask(&region, &length), -EINVAL);
}
END_TEST

/* features and interrupts: what is sent */

static struct {
	uint8_t sent[128];
	uint32_t argsz;
	unsigned long request;
	int result;
} wire;

static int record_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	(void)sys, (void)fd;
	memcpy(&wire.argsz, arg, sizeof(wire.argsz));
	ck_assert_uint_le(wire.argsz, sizeof(wire.sent));
	memcpy(wire.sent, arg, wire.argsz);
	memset((char *)arg + 8, 0xee, wire.argsz - 8);
	wire.request = request;
	return wire.result;
}

static const struct vfmi_sys_ops record_ops = { .ioctl = record_ioctl };
static struct vfmi_sys recorder = { .ops = &record_ops };

START_TEST(feature_is_framed_and_bounded)
{
	uint8_t data[65] = { 1, 2, 3, 4 };

	ck_assert_int_eq(vfmi_vfio_feature(&recorder, 3, 2, VFIO_DEVICE_FEATURE_SET, data, 4), 0);
	ck_assert_uint_eq(wire.request, VFIO_DEVICE_FEATURE);
	ck_assert_uint_eq(wire.argsz, 12);
	ck_assert_uint_eq(((struct vfio_device_feature *)wire.sent)->flags, 2 | VFIO_DEVICE_FEATURE_SET);
	ck_assert_mem_eq(wire.sent + 8, "\1\2\3\4", 4);
	ck_assert_uint_eq(data[0], 0xee);
	ck_assert_int_eq(vfmi_vfio_feature(&recorder, 3, 9, VFIO_DEVICE_FEATURE_PROBE, NULL, 0), 0);
	ck_assert_uint_eq(wire.argsz, 8);
	ck_assert_int_eq(vfmi_vfio_feature(&recorder, 3, 9, VFIO_DEVICE_FEATURE_GET, data, 64), 0);
	ck_assert_int_eq(vfmi_vfio_feature(&recorder, 3, 9, VFIO_DEVICE_FEATURE_GET, data, 65), -EINVAL);
	ck_assert_int_eq(vfmi_vfio_feature(&recorder, 3, 0x10000, VFIO_DEVICE_FEATURE_GET, data, 4), -EINVAL);
}
END_TEST

START_TEST(failed_feature_leaves_the_data)
{
	uint8_t data[4] = { 7, 7, 7, 7 };
	int fd = 99;

	wire.result = -EIO;
	ck_assert_int_eq(vfmi_vfio_feature(&recorder, 3, 2, VFIO_DEVICE_FEATURE_GET, data, 4), -EIO);
	ck_assert_uint_eq(data[0], 7);
	ck_assert_int_eq(vfmi_vfio_mig_set(&recorder, 3, 1, &fd), -EIO);
	ck_assert_int_eq(fd, 99);
	wire.result = 0;
	ck_assert_int_eq(vfmi_vfio_mig_set(&recorder, 3, 1, &fd), 0); /* 0xeeeeeeee is negative */
	ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(interrupts_are_framed)
{
	const int32_t fds[2] = { 5, -1 };
	const struct vfio_irq_set *set = (const struct vfio_irq_set *)wire.sent;

	wire.result = 0;
	ck_assert_int_eq(vfmi_vfio_set_irqs(&recorder, 3, 1, 0x24, 4, 2, fds, sizeof(fds)), 0);
	ck_assert_uint_eq(wire.argsz, 28);
	ck_assert_uint_eq(set->start, 4);
	ck_assert_uint_eq(set->count, 2);
	ck_assert_mem_eq(set->data, fds, sizeof(fds));
	ck_assert_int_eq(vfmi_vfio_set_irqs(&recorder, 3, 1, 0x24, 0, 0, NULL, SIZE_MAX), -EINVAL);
}
END_TEST

/* iommufd */

static struct {
	struct iommu_iova_range ranges[4];
	uint32_t count;
	uint64_t align;
	int result;
} space;

static int space_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	struct iommu_ioas_iova_ranges *query = arg;
	uint32_t room = query->num_iovas;

	(void)sys, (void)fd;
	if (request == IOMMU_IOAS_ALLOC) {
		((struct iommu_ioas_alloc *)arg)->out_ioas_id = space.count;
		return space.result;
	}
	ck_assert_uint_eq(request, IOMMU_IOAS_IOVA_RANGES);
	query->num_iovas = space.count;
	query->out_iova_alignment = space.align;
	for (uint32_t i = 0; i < room && i < space.count && i < 4; i++)
		((struct iommu_iova_range *)(uintptr_t)query->allowed_iovas)[i] = space.ranges[i];
	return space.result;
}

static const struct vfmi_sys_ops space_ops = { .ioctl = space_ioctl };
static struct vfmi_sys space_sys = { .ops = &space_ops };

static const struct {
	struct iommu_iova_range ranges[4];
	uint32_t count;
	uint64_t align;
	int kernel;
	int result;
} answers[] = {
	{ { { 0, UINT64_MAX } }, 1, 1, 0, 0 },
	{ { { 0, 9 }, { 10, 10 }, { 12, 20 }, { 21, UINT64_MAX } }, 4, 4096, 0, 0 },
	{ { { 0, 0 } }, 0, 4096, 0, 0 },
	{ { { 0, 0 } }, 5, 4096, -EMSGSIZE, -EMSGSIZE },
	{ { { 0, 0 } }, 4, 4096, -EMSGSIZE, -EIO },	/* it would have fitted */
	{ { { 0, 0 } }, 5, 4096, 0, -EIO },		/* more than there was room for */
	{ { { 1, 0 } }, 1, 4096, 0, -EIO },		/* ends before it starts */
	{ { { 0, 9 }, { 9, 20 } }, 2, 4096, 0, -EIO },	/* overlap */
	{ { { 10, 20 }, { 0, 9 } }, 2, 4096, 0, -EIO }, /* out of order */
	{ { { 0, 9 } }, 1, 0, 0, -EIO },
	{ { { 0, 9 } }, 1, 3, 0, -EIO },
	{ { { 0, 9 } }, 1, UINT64_MAX, 0, -EIO },
	{ { { 0, 9 } }, 1, 4096, -ENOENT, -ENOENT },
};

START_TEST(ranges_are_checked)
{
	struct iommu_iova_range ranges[4];
	uint32_t count = 77;
	uint64_t align = 77;

	memcpy(space.ranges, answers[_i].ranges, sizeof(space.ranges));
	space.count = answers[_i].count;
	space.align = answers[_i].align;
	space.result = answers[_i].kernel;
	ck_assert_int_eq(vfmi_iommufd_ranges(&space_sys, 3, 1, ranges, 4, &count, &align), answers[_i].result);
	if (answers[_i].result == 0 || answers[_i].result == -EMSGSIZE)
		ck_assert_uint_eq(count, answers[_i].count);
	else
		ck_assert_uint_eq(count, 77);
}
END_TEST

START_TEST(id_zero_is_refused)
{
	uint32_t id = 77;

	space.count = 0;
	space.result = 0;
	ck_assert_int_eq(vfmi_iommufd_ioas_alloc(&space_sys, 3, &id), -EIO);
	ck_assert_uint_eq(id, 77);
	space.count = 5;
	ck_assert_int_eq(vfmi_iommufd_ioas_alloc(&space_sys, 3, &id), 0);
	ck_assert_uint_eq(id, 5);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vfio_caps");
	TCase *tests = tcase_create("vfio_caps");

	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, finds_along_the_chain);
	tcase_add_test(tests, first_of_two_counts);
	tcase_add_test(tests, cycles_end);
	tcase_add_loop_test(tests, offsets_outside_end, 0, (int)VFMI_ARRAY_SIZE(wild_offsets));
	tcase_add_test(tests, too_short_is_absent);
	tcase_add_test(tests, unaligned_is_read);
	tcase_add_test(tests, plain_region_takes_one_call);
	tcase_add_test(tests, capabilities_take_two);
	tcase_add_test(tests, offset_without_the_flag_is_nothing);
	tcase_add_loop_test(tests, damaged_chains_are_refused, 0, (int)VFMI_ARRAY_SIZE(damaged));
	tcase_add_test(tests, one_area_fits_exactly);
	tcase_add_test(tests, endless_growth_is_refused);
	tcase_add_test(tests, absurd_size_is_refused);
	tcase_add_test(tests, feature_is_framed_and_bounded);
	tcase_add_test(tests, failed_feature_leaves_the_data);
	tcase_add_test(tests, interrupts_are_framed);
	tcase_add_loop_test(tests, ranges_are_checked, 0, (int)VFMI_ARRAY_SIZE(answers));
	tcase_add_test(tests, id_zero_is_refused);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
