/* SPDX-License-Identifier: MIT */
/* Interrupts: what is armed, what a failure leaves armed, and that no eventfd is lost or kept. */
#include "fake_device.h"
#include "suite.h"

static const int three[] = { 10, 11, 12 };

static uint32_t armed(uint32_t index)
{
	VFM_OPTS(vfm_irq, irq);

	ck_assert_int_eq(vfm_device_irq(dev, index, &irq, NULL), 0);
	return irq.armed;
}

START_TEST(info_is_passed_on)
{
	VFM_OPTS(vfm_irq, irq);

	ck_assert_int_eq(vfm_device_irq(dev, VFM_IRQ_MSI, &irq, &error), 0);
	ck_assert_uint_eq(irq.count, FAKE_VECTORS);
	ck_assert_uint_eq(irq.flags, VFM_IRQ_EVENTFD | VFM_IRQ_NORESIZE);
	ck_assert_uint_eq(irq.armed, 0);
	ck_assert_int_eq(vfm_device_irq(dev, 5, &irq, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_irq(dev, 64, &irq, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_irq(dev, UINT32_MAX, &irq, &error), -EINVAL);
}
END_TEST

START_TEST(arming_keeps_duplicates)
{
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 2, 3, three, &error), 0);
	ck_assert_int_eq(fake.open_fds, 4);
	ck_assert_uint_eq(armed(VFM_IRQ_MSI), 3);
	for (uint32_t v = 0; v < FAKE_VECTORS; v++)
		ck_assert_int_eq(vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, v), fake.vectors[v]);
	ck_assert_int_ge(fake.vectors[4], 100);
	ck_assert_int_eq(vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, UINT32_MAX), -1);
	ck_assert_int_eq(vfm_device_irq_eventfd(dev, UINT32_MAX, 0), -1);
}
END_TEST

START_TEST(rearming_replaces)
{
	const int some[] = { -1, 20 };

	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 3, three, &error), 0);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 2, some, &error), 0);
	ck_assert_int_eq(fake.open_fds, 3);
	ck_assert_uint_eq(armed(VFM_IRQ_MSI), 2);
	ck_assert_int_eq(vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, 0), -1);
	ck_assert_int_eq(fake.vectors[0], -1);
}
END_TEST

START_TEST(disarming_lets_go)
{
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 3, three, &error), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &error), 0);
	ck_assert_int_eq(fake.open_fds, 1);
	ck_assert_uint_eq(armed(VFM_IRQ_MSI), 0);
	ck_assert(!fake.enabled);
	ck_assert_int_eq(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &error), 0);
}
END_TEST

static const struct {
	uint32_t start;
	uint32_t count;
} ranges[] = {
	{ 0, 0 }, { 8, 1 }, { 7, 2 }, { 0, 9 }, { UINT32_MAX, 1 }, { 1, UINT32_MAX }, { UINT32_MAX, UINT32_MAX },
};

START_TEST(ranges_are_checked)
{
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, ranges[_i].start, ranges[_i].count, three, &error),
			 -EINVAL);
	ck_assert_int_eq(fake.open_fds, 1);
	ck_assert_ptr_nonnull(strstr(error.message, "dev0: arm interrupts: "));
}
END_TEST

START_TEST(the_last_vector_can_be_armed)
{
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, FAKE_VECTORS - 1, 1, three, &error), 0);
	ck_assert_uint_eq(armed(VFM_IRQ_MSI), 1);
}
END_TEST

START_TEST(no_descriptor_to_spare_changes_nothing)
{
	fake.dup_limit = 3;
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 3, three, &error), -EMFILE);
	ck_assert_int_eq(fake.open_fds, 1);
	ck_assert(!fake.enabled);
}
END_TEST

/* failures of SET_IRQS */

static int failures; /* that many calls fail, without effect or ... */
static bool after;   /* ... with it */

static bool fail_set_irqs(unsigned long request, void *arg, int *r)
{
	if (request != VFIO_DEVICE_SET_IRQS || failures == 0)
		return false;
	failures--;
	if (after)
		fake_answer(request, arg);
	*r = -EIO;
	return true;
}

static void let_fail(int count, bool with_effect)
{
	failures = count;
	after = with_effect;
	fake.hook = fail_set_irqs;
}

START_TEST(failed_arming_restores_what_was)
{
	const int others[] = { 20, 21 };
	int before[FAKE_VECTORS];

	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 3, three, &error), 0);
	memcpy(before, fake.vectors, sizeof(before));
	let_fail(1, _i);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 2, 2, others, &error), -EIO);
	ck_assert_mem_eq(fake.vectors, before, sizeof(before));
	ck_assert_int_eq(fake.open_fds, 4);
	ck_assert_ptr_nonnull(strstr(error.message, "they are armed as they were"));
}
END_TEST

/* A lender need not declare what it armed. */
START_TEST(failed_arming_of_an_adopted_device_claims_nothing)
{
	const struct vfm_adopt from = { .size = sizeof(from), .device_fd = FAKE_FD, .iommufd = -1 };
	struct vfm_device *adopted;

	ck_assert_int_eq(vfm_device_adopt(ctx, &from, &adopted, &error), 0);
	let_fail(1, false);
	ck_assert_int_eq(vfm_device_irq_arm(adopted, VFM_IRQ_MSI, 0, 3, three, &error), -EIO);
	ck_assert_ptr_nonnull(strstr(error.message, "what the lender armed of them is not known"));
	vfm_device_close(adopted);
}
END_TEST

START_TEST(failed_undo_is_told)
{
	const int others[] = { 20, 21 };

	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 3, three, &error), 0);
	let_fail(2, false);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 1, 2, others, &error), -EIO);
	ck_assert_uint_eq(armed(VFM_IRQ_MSI), 1);
	ck_assert_int_eq(fake.open_fds, 2);
	ck_assert_ptr_nonnull(strstr(error.message, "count as disarmed"));
}
END_TEST

START_TEST(failed_first_arming_arms_nothing)
{
	let_fail(1, _i);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 3, three, &error), -EIO);
	ck_assert_uint_eq(armed(VFM_IRQ_MSI), 0);
	ck_assert_int_eq(fake.open_fds, 1);
}
END_TEST

START_TEST(failed_disarming_keeps_the_books)
{
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 3, three, &error), 0);
	let_fail(1, false);
	ck_assert_int_eq(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &error), -EIO);
	ck_assert_uint_eq(armed(VFM_IRQ_MSI), 3);
}
END_TEST

/* The platform gives two vectors, in every answer from now on. */
static bool give_two(unsigned long request, void *arg, int *r)
{
	const struct vfio_irq_set *set = arg;

	if (request != VFIO_DEVICE_SET_IRQS || !(set->flags & VFIO_IRQ_SET_DATA_EVENTFD))
		return false;
	*r = 2;
	return true;
}

START_TEST(fewer_vectors_is_no_success)
{
	fake.hook = give_two;
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 3, three, &error), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(error.message, "3 vectors are needed and the platform gives 2; none is armed"));
	ck_assert_uint_eq(armed(VFM_IRQ_MSI), 0);
	ck_assert_int_eq(fake.open_fds, 1);
}
END_TEST

/* Added to one that is armed, which cannot be had back either. */
static bool refuse_then_give_two(unsigned long request, void *arg, int *r)
{
	if (!give_two(request, arg, r))
		return false;
	if (failures-- > 0)
		*r = -EINVAL;
	return true;
}

START_TEST(vectors_lost_are_told)
{
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, three, &error), 0);
	failures = 1;
	fake.hook = refuse_then_give_two;
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 1, 2, three, &error), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(error.message, "gives 2; none is armed"));
	ck_assert_uint_eq(armed(VFM_IRQ_MSI), 0);
	ck_assert_int_eq(fake.open_fds, 1);
}
END_TEST

/* masking, triggering, declaring */

START_TEST(only_maskable_interrupts_mask)
{
	ck_assert_int_eq(vfm_device_irq_mask(dev, VFM_IRQ_INTX, true, &error), 0);
	ck_assert_int_eq(vfm_device_irq_mask(dev, VFM_IRQ_INTX, false, &error), 0);
	ck_assert_int_eq(vfm_device_irq_mask(dev, VFM_IRQ_MSI, true, &error), -EOPNOTSUPP);
	ck_assert_int_eq(vfm_device_irq_mask(dev, VFM_IRQ_ERR, true, &error), -EOPNOTSUPP);
}
END_TEST

static struct vfio_irq_set last_set;
static int32_t last_fd;

/* A platform device: 0 is an edge, 1 a level. */
static bool platform(unsigned long request, void *arg, int *r)
{
	struct vfio_irq_info *info = arg;

	if (request == VFIO_DEVICE_GET_IRQ_INFO) {
		*r = info->index < 2 ? 0 : -EINVAL;
		info->count = 1;
		info->flags = VFIO_IRQ_INFO_EVENTFD;
		if (info->index == 1)
			info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
		return true;
	}
	if (request != VFIO_DEVICE_SET_IRQS)
		return false;
	memcpy(&last_set, arg, sizeof(last_set));
	ck_assert_uint_eq(last_set.argsz, sizeof(last_set) + sizeof(last_fd));
	memcpy(&last_fd, (char *)arg + sizeof(last_set), sizeof(last_fd));
	*r = 0;
	return true;
}

START_TEST(levels_of_any_bus_resample)
{
	fake.hook = platform;
	ck_assert_int_eq(vfm_device_irq_resample(dev, 1, 17, &error), 0);
	ck_assert_uint_eq(last_set.flags, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK);
	ck_assert_uint_eq(last_set.index, 1);
	ck_assert_uint_eq(last_set.start, 0);
	ck_assert_uint_eq(last_set.count, 1);
	ck_assert_int_eq(last_fd, 17);
	ck_assert_int_eq(vfm_device_irq_resample(dev, 1, -5, &error), 0);
	ck_assert_int_eq(last_fd, -1);
	last_set.index = 99;
	ck_assert_int_eq(vfm_device_irq_resample(dev, 0, 17, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, "interrupt index 0: its signal does not mask it"));
	ck_assert_int_eq(vfm_device_irq_resample(dev, 2, 17, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_irq_resample(dev, UINT32_MAX, 17, &error), -EINVAL);
	ck_assert_uint_eq(last_set.index, 99);
}
END_TEST

START_TEST(trigger_checks_the_vector)
{
	ck_assert_int_eq(vfm_device_irq_trigger(dev, VFM_IRQ_MSI, 0, &error), 0);
	ck_assert_int_eq(vfm_device_irq_trigger(dev, VFM_IRQ_MSI, FAKE_VECTORS - 1, &error), 0);
	ck_assert_int_eq(vfm_device_irq_trigger(dev, VFM_IRQ_MSI, FAKE_VECTORS, &error), -EINVAL);
	ck_assert_int_eq(vfm_device_irq_trigger(dev, VFM_IRQ_MSI, UINT32_MAX, &error), -EINVAL);
}
END_TEST

static bool count_too_high(unsigned long request, void *arg, int *r)
{
	if (request != VFIO_DEVICE_GET_IRQ_INFO)
		return false;
	((struct vfio_irq_info *)arg)->count = 2049;
	*r = 0;
	return true;
}

START_TEST(absurd_counts_are_refused)
{
	fake.hook = count_too_high;
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, three, &error), -EIO);
}
END_TEST

static int sum_vectors(void *user, uint32_t index, uint32_t vector, int eventfd)
{
	ck_assert_int_ge(eventfd, 100);
	*(uint32_t *)user += index * 1000 + vector;
	return 0;
}

static int stop_walk(void *user, uint32_t index, uint32_t vector, int eventfd)
{
	(void)index, (void)vector, (void)eventfd;
	return ++*(int *)user == 2 ? 17 : 0;
}

START_TEST(declared_vectors_are_walked)
{
	uint32_t sum = 0;
	int seen = 0;

	ck_assert_int_eq(vfmi_device_irq_declare(dev, 2, 2047, 10), 0);
	ck_assert_int_eq(vfmi_device_irq_declare(dev, 1, 0, 10), 0);
	ck_assert_int_eq(vfmi_device_irq_declare(dev, 1, 0, 11), 0);
	ck_assert_int_eq(vfmi_device_irq_declare(dev, 63, 5, 11), 0);
	ck_assert_int_eq(fake.open_fds, 4);
	ck_assert_int_eq(vfmi_device_irq_each(dev, sum_vectors, &sum), 0);
	ck_assert_uint_eq(sum, 2000 + 2047 + 1000 + 63000 + 5);
	ck_assert_int_eq(vfmi_device_irq_each(dev, stop_walk, &seen), 17);
	ck_assert_int_eq(vfmi_device_irq_declare(dev, 2, 2048, 10), -EINVAL);
	ck_assert_int_eq(vfmi_device_irq_declare(dev, 64, 0, 10), -EINVAL);
	ck_assert_int_eq(vfmi_device_irq_declare(dev, 2, UINT32_MAX, 10), -EINVAL);
	ck_assert_int_eq(vfmi_device_irq_declare(dev, 2, 0, -1), -EBADF);
	ck_assert_int_eq(fake.open_fds, 4);
}
END_TEST

struct news {
	uint32_t armed; /* a bit for each vector */
	uint32_t disarmed;
};

static int note_news(void *user, uint32_t index, uint32_t vector, int eventfd)
{
	struct news *news = user;

	ck_assert_uint_eq(index, VFM_IRQ_MSI);
	*(eventfd < 0 ? &news->disarmed : &news->armed) |= 1u << vector;
	return 0;
}

static void expect_news(uint32_t armed, uint32_t disarmed)
{
	struct news news = { 0 };

	ck_assert_int_eq(vfmi_device_irq_each_news(dev, note_news, &news), 0);
	ck_assert_uint_eq(news.armed, armed);
	ck_assert_uint_eq(news.disarmed, disarmed);
}

/* Vectors 0 and 1 came armed from the lender, 2 did not. */
START_TEST(what_changes_is_news_to_the_lender)
{
	const int none = -1;

	for (uint32_t v = 0; v < 2; v++)
		ck_assert_int_eq(vfmi_device_irq_declare(dev, VFM_IRQ_MSI, v, three[v]), 0);
	vfmi_device_irq_mark_lent(dev);
	expect_news(0, 0);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 1, 2, three, &error), 0);
	expect_news(1u << 1 | 1u << 2, 0);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &none, &error), 0);
	expect_news(1u << 1 | 1u << 2, 1u << 0);
	/* Armed and disarmed again, vector 2 is what it was. */
	ck_assert_int_eq(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &error), 0);
	expect_news(0, 1u << 0 | 1u << 1);
	/* Disarmed twice is disarmed, and armed in the end is armed. */
	ck_assert_int_eq(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &error), 0);
	expect_news(0, 1u << 0 | 1u << 1);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, three, &error), 0);
	expect_news(1u << 0, 1u << 1);
}
END_TEST

START_TEST(only_what_a_device_has_is_handed_back)
{
	ck_assert_int_eq(vfmi_device_irq_hand_back(dev, VFM_IRQ_MSI, FAKE_VECTORS - 1, 10), 0);
	ck_assert_int_eq(vfmi_device_irq_hand_back(dev, VFM_IRQ_MSI, FAKE_VECTORS, 10), -EPROTO);
	ck_assert_int_eq(vfmi_device_irq_hand_back(dev, VFM_IRQ_MSI, UINT32_MAX, 10), -EPROTO);
	ck_assert_int_eq(vfmi_device_irq_hand_back(dev, 5, 0, 10), -EPROTO);
	ck_assert_int_eq(vfmi_device_irq_hand_back(dev, 63, 0, 10), -EPROTO);
	ck_assert_int_eq(vfmi_device_irq_hand_back(dev, 64, 0, 10), -EPROTO);
	ck_assert_int_eq(vfmi_device_irq_hand_back(dev, UINT32_MAX, 0, 10), -EPROTO);
	ck_assert_int_eq(fake.open_fds, 2);
	ck_assert_int_eq(vfmi_device_irq_hand_back_disarmed(dev, VFM_IRQ_MSI, FAKE_VECTORS), -EPROTO);
	ck_assert_int_eq(vfmi_device_irq_hand_back_disarmed(dev, UINT32_MAX, 0), -EPROTO);
	/* One that was not armed. */
	ck_assert_int_eq(vfmi_device_irq_hand_back_disarmed(dev, VFM_IRQ_MSI, 0), 0);
	ck_assert_int_eq(fake.open_fds, 2);
	ck_assert_int_eq(vfmi_device_irq_hand_back_disarmed(dev, VFM_IRQ_MSI, FAKE_VECTORS - 1), 0);
	ck_assert_int_eq(fake.open_fds, 1);
}
END_TEST

/* Of a PCI device's three kinds of interrupt one is enabled; other devices may have them all. */
START_TEST(what_is_handed_back_replaces_other_kinds)
{
	fake.device_flags = _i ? VFIO_DEVICE_FLAGS_PCI : 0;
	ck_assert_int_eq(vfmi_device_irq_declare(dev, VFM_IRQ_INTX, 0, 10), 0);
	ck_assert_int_eq(vfmi_device_irq_declare(dev, VFM_IRQ_MSIX, 7, 10), 0);
	ck_assert_int_eq(vfmi_device_irq_declare(dev, VFM_IRQ_ERR, 0, 10), 0);
	ck_assert_int_eq(vfmi_device_irq_hand_back(dev, VFM_IRQ_MSI, 0, 11), 0);
	ck_assert_int_ge(vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, 0), 0);
	ck_assert_int_ge(vfm_device_irq_eventfd(dev, VFM_IRQ_ERR, 0), 0);
	ck_assert_int_eq(vfm_device_irq_eventfd(dev, VFM_IRQ_INTX, 0) >= 0, !_i);
	ck_assert_int_eq(vfm_device_irq_eventfd(dev, VFM_IRQ_MSIX, 7) >= 0, !_i);
	ck_assert_int_eq(fake.open_fds, _i ? 3 : 5);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_irq");
	TCase *tests = tcase_create("device_irq");

	tcase_add_checked_fixture(tests, fake_setup, fake_teardown);
	tcase_add_test(tests, info_is_passed_on);
	tcase_add_test(tests, arming_keeps_duplicates);
	tcase_add_test(tests, rearming_replaces);
	tcase_add_test(tests, disarming_lets_go);
	tcase_add_loop_test(tests, ranges_are_checked, 0, (int)VFMI_ARRAY_SIZE(ranges));
	tcase_add_test(tests, the_last_vector_can_be_armed);
	tcase_add_test(tests, no_descriptor_to_spare_changes_nothing);
	tcase_add_loop_test(tests, failed_arming_restores_what_was, 0, 2);
	tcase_add_test(tests, failed_arming_of_an_adopted_device_claims_nothing);
	tcase_add_test(tests, failed_undo_is_told);
	tcase_add_loop_test(tests, failed_first_arming_arms_nothing, 0, 2);
	tcase_add_test(tests, failed_disarming_keeps_the_books);
	tcase_add_test(tests, fewer_vectors_is_no_success);
	tcase_add_test(tests, vectors_lost_are_told);
	tcase_add_test(tests, only_maskable_interrupts_mask);
	tcase_add_test(tests, levels_of_any_bus_resample);
	tcase_add_test(tests, trigger_checks_the_vector);
	tcase_add_test(tests, absurd_counts_are_refused);
	tcase_add_test(tests, declared_vectors_are_walked);
	tcase_add_test(tests, what_changes_is_news_to_the_lender);
	tcase_add_test(tests, only_what_a_device_has_is_handed_back);
	tcase_add_loop_test(tests, what_is_handed_back_replaces_other_kinds, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
