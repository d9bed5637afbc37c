/* SPDX-License-Identifier: MIT */
/* Locked memory: what is charged when, and who may lock without a limit. Entries: test_iommu_container.c. */
#include "iommu_fixture.h"
#include "suite.h"

#define STATUS(pin, cap) "Name:\tvmm\nVmLck:\t 900 kB\nVmPin:\t " pin " kB\nCapEff:\t" cap "\n"
#define MAY "0000000000004000"
#define MAY_NOT "0000000000000000"
#define KIB 1024u

static int ask(uint64_t bytes, struct vfm_limits *ret)
{
	*ret = (struct vfm_limits){ .size = sizeof(*ret) };
	return vfm_iommu_preflight(iommu, bytes, 1, ret, &error);
}

static const struct {
	const char *status;
	const char *uid_map;
	int result;
} holders[] = {
	{ STATUS("0", MAY_NOT), "         0          0 4294967295\n", -ENOMEM },
	{ STATUS("0", MAY), "         0          0 4294967295\n", 0 },
	{ STATUS("0", MAY), NULL, 0 }, /* a kernel without namespaces */
	{ STATUS("0", MAY), "         0       1000          1\n", -ENOMEM },
	{ STATUS("0", MAY), "         0     100000      65536\n", -ENOMEM },
	{ STATUS("0", MAY), "      1000          0 4294967295\n", -ENOMEM },
	{ STATUS("0", MAY), "         0          0 4294967294\n", -ENOMEM },
	{ STATUS("0", MAY), "", -ENOMEM }, /* of a namespace that nobody has set up */
	{ STATUS("0", MAY), "0 0", -ENOMEM },
};

START_TEST(the_capability_is_of_the_first_namespace)
{
	struct vfm_limits limits;

	kernel.memlock = 64 * KIB;
	kernel.status = holders[_i].status;
	kernel.uid_map = holders[_i].uid_map;
	ck_assert_int_eq(ask(64 * KIB + 1, &limits), holders[_i].result);
	ck_assert_uint_eq(limits.memlock_limit, holders[_i].result ? 64 * KIB : UINT64_MAX);
	ck_assert_int_eq(ask(64 * KIB, &limits), 0);
}
END_TEST

START_TEST(what_is_mapped_is_charged_at_the_attach)
{
	struct vfm_limits limits;
	uint32_t pt_id = 0;

	kernel.memlock = 16 * PAGE;
	kernel.status = STATUS("0", MAY_NOT);
	ck_assert_int_eq(map_at(0, 10 * PAGE), 0);
	ck_assert_int_eq(ask(7 * PAGE, &limits), -ENOMEM);
	ck_assert_uint_eq(limits.memlock_needed, 17 * PAGE);
	ck_assert_int_eq(ask(6 * PAGE, &limits), 0);
	ck_assert_int_eq(ask(UINT64_MAX, &limits), -ENOMEM);
	ck_assert_uint_eq(limits.memlock_needed, UINT64_MAX);
	/* from then on the kernel tells it */
	ck_assert_int_eq(vfmi_iommu_attach(iommu, DEVICE_FD, 1, &pt_id), 0);
	ck_assert_int_eq(ask(7 * PAGE, &limits), 0);
	ck_assert_uint_eq(limits.memlock_needed, 7 * PAGE);
	kernel.status = STATUS("40", MAY_NOT);
	ck_assert_int_eq(ask(0, &limits), 0);
	ck_assert_uint_eq(limits.memlock_used, 40 * KIB);
	ck_assert_int_eq(vfmi_iommu_detach(iommu, DEVICE_FD, &pt_id), 0);
	kernel.status = STATUS("0", MAY_NOT);
	ck_assert_int_eq(ask(7 * PAGE, &limits), -ENOMEM);
}
END_TEST

/* Whether its devices are attached is its owner's to know. */
START_TEST(of_an_adopted_one_it_is_not_known)
{
	struct vfm_map map = area_at(0, 10 * PAGE);
	struct vfm_limits limits = { .size = sizeof(limits) };
	struct vfm_iommu *adopted;

	kernel.memlock = 16 * PAGE;
	kernel.status = STATUS("0", MAY_NOT);
	ck_assert_int_eq(adopt(50, IOAS_ID, &adopted, &error), 0);
	ck_assert_int_eq(vfm_iommu_adopt_map(adopted, &map, &error), 0);
	ck_assert_int_eq(vfm_iommu_preflight(adopted, 7 * PAGE, 1, &limits, &error), 0);
	vfm_iommu_close(adopted);
}
END_TEST

START_TEST(the_new_process_needs_the_limit_too)
{
	char expect[64];

	kernel.has_map_file = true;
	kernel.memlock = 2 * PAGE;
	ck_assert_int_eq(map_at(0, 3 * PAGE), 0);
	fail_next(IOMMU_IOAS_CHANGE_PROCESS, -ENOMEM, false);
	ck_assert_int_eq(vfm_iommu_change_process(iommu, &error), -ENOMEM);
	snprintf(expect, sizeof(expect), "%llu bytes of maps are to be locked, the limit is %llu bytes", 3ull * PAGE,
		 2ull * PAGE);
	ck_assert_ptr_nonnull(strstr(error.message, expect));
	kernel.memlock = UINT64_MAX; /* then something else had no memory */
	fail_next(IOMMU_IOAS_CHANGE_PROCESS, -ENOMEM, false);
	ck_assert_int_eq(vfm_iommu_change_process(iommu, &error), -ENOMEM);
	ck_assert_ptr_nonnull(strstr(error.message, "RLIMIT_MEMLOCK"));
	/* the kernel is taking back what was there */
	kernel.fail_request = IOMMU_IOAS_CHANGE_PROCESS;
	kernel.busy = 3;
	kernel.fail_result = -EINVAL;
	ck_assert_int_eq(vfm_iommu_change_process(iommu, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "dma-buf"));
	kernel.fail_request = IOMMU_IOAS_CHANGE_PROCESS;
	kernel.busy = UINT32_MAX;
	ck_assert_int_eq(vfm_iommu_change_process(iommu, &error), -EBUSY);
	ck_assert_uint_gt(kernel.slept_ns, 0);
	kernel.fail_request = 0;
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu_limits");
	TCase *tests = tcase_create("iommu_limits");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, the_capability_is_of_the_first_namespace, 0, (int)VFMI_ARRAY_SIZE(holders));
	tcase_add_test(tests, what_is_mapped_is_charged_at_the_attach);
	tcase_add_test(tests, of_an_adopted_one_it_is_not_known);
	tcase_add_test(tests, the_new_process_needs_the_limit_too);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
