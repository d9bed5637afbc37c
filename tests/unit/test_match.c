/* SPDX-License-Identifier: MIT */
/* The match policy: each field alone, equal, different and unknown on either side. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "suite.h"

static struct vfm_identity source, target;

static void setup(void)
{
	source = (struct vfm_identity){
		.size = sizeof(source),
		.flags = VFM_IDENTITY_PCI | VFM_IDENTITY_SUBSYSTEM | VFM_IDENTITY_REVISION | VFM_IDENTITY_MIGRATION,
		.pci_vendor = 0x15b3,
		.pci_device = 0x101e,
		.pci_subvendor = 0x15b3,
		.pci_subdevice = 0x0001,
		.pci_class = 0x020000,
		.pci_revision = 3,
		.migration_flags = 7,
		.name = "0000:01:00.1",
		.driver = "mlx5_vfio_pci",
		.mdev_type = "type-1",
		.firmware = "22.1",
		.kernel = "6.12.0",
	};
	target = source;
}

/* Verdict of one field, counted, so that no line comes twice. */
struct wanted {
	const char *field;
	int lines;
	uint32_t verdict;
	char source[80], target[80];
};

static int note_line(void *user, const struct vfm_match_line *line)
{
	struct wanted *wanted = user;

	ck_assert_uint_eq(line->size, sizeof(*line));
	if (strcmp(line->field, wanted->field) == 0) {
		wanted->lines++;
		wanted->verdict = line->verdict;
		snprintf(wanted->source, sizeof(wanted->source), "%s", line->source);
		snprintf(wanted->target, sizeof(wanted->target), "%s", line->target);
	}
	return 0;
}

static uint32_t verdict_of(const char *field)
{
	struct wanted wanted = { .field = field };
	const int r = vfm_match(&source, &target, note_line, &wanted);

	ck_assert_msg(wanted.lines == 1, "%s: %d lines", field, wanted.lines);
	ck_assert_int_eq(r, vfm_match(&source, &target, NULL, NULL));
	if (wanted.verdict == VFM_MATCH_REFUSE)
		ck_assert_int_eq(r, -EREMOTEIO);
	return wanted.verdict;
}

static int count_line(void *user, const struct vfm_match_line *line)
{
	int *counts = user;

	ck_assert_uint_lt(line->verdict, 4);
	counts[line->verdict]++;
	return 0;
}

START_TEST(equal_devices_match_in_every_field)
{
	int counts[4] = { 0 };

	ck_assert_int_eq(vfm_match(&source, &target, count_line, counts), 0);
	ck_assert_int_eq(counts[VFM_MATCH_SAME], 11);
	ck_assert_int_eq(counts[VFM_MATCH_UNKNOWN] + counts[VFM_MATCH_WARN] + counts[VFM_MATCH_REFUSE], 0);
}
END_TEST

/* The name is an address on a host, not a property of the device. */
START_TEST(names_do_not_matter)
{
	strcpy(target.name, "0000:81:00.4");
	ck_assert_int_eq(vfm_match(&source, &target, NULL, NULL), 0);
}
END_TEST

START_TEST(nothing_known_is_unknown_never_the_same)
{
	int counts[4] = { 0 };

	source = (struct vfm_identity){ .size = sizeof(source) };
	target = source;
	ck_assert_int_eq(vfm_match(&source, &target, count_line, counts), 0);
	ck_assert_int_eq(counts[VFM_MATCH_UNKNOWN], 10);
	ck_assert_int_eq(counts[VFM_MATCH_SAME], 1); /* both are real */
}
END_TEST

/* Of a newer caller, with a tail that says nothing; and one that is smaller than any there was. */
START_TEST(identities_of_other_sizes)
{
	struct {
		struct vfm_identity identity;
		uint64_t tail;
	} newer = { .identity = source };

	newer.identity.size = sizeof(newer);
	ck_assert_int_eq(vfm_match(&newer.identity, &target, NULL, NULL), 0);
	newer.tail = 1;
	ck_assert_int_eq(vfm_match(&newer.identity, &target, NULL, NULL), -E2BIG);
	source.size = VFMI_IDENTITY_MIN - 1;
	ck_assert_int_eq(vfm_match(&source, &target, NULL, NULL), -EINVAL);
	source.size = VFMI_IDENTITY_MIN;
	ck_assert_int_eq(vfm_match(&source, &target, NULL, NULL), 0);
}
END_TEST

/* Each field that differs, and what that means. */
static void change_vendor(struct vfm_identity *identity)
{
	identity->pci_vendor ^= 1;
}

static void change_device(struct vfm_identity *identity)
{
	identity->pci_device ^= 0x8000;
}

static void change_subvendor(struct vfm_identity *identity)
{
	identity->pci_subvendor ^= 1;
}

static void change_subdevice(struct vfm_identity *identity)
{
	identity->pci_subdevice ^= 1;
}

static void change_class(struct vfm_identity *identity)
{
	identity->pci_class ^= 0x800000;
}

static void change_revision(struct vfm_identity *identity)
{
	identity->pci_revision ^= 0x80;
}

static void change_driver(struct vfm_identity *identity)
{
	strcpy(identity->driver, "qat_vfio_pci");
}

static void change_mdev_type(struct vfm_identity *identity)
{
	strcpy(identity->mdev_type, "type-2");
}

static void change_firmware(struct vfm_identity *identity)
{
	strcpy(identity->firmware, "22.10");
}

static void change_kernel(struct vfm_identity *identity)
{
	strcpy(identity->kernel, "6.12.01");
}

static void change_machine(struct vfm_identity *identity)
{
	identity->flags ^= VFM_IDENTITY_SIMULATED;
}

static void no_migration(struct vfm_identity *identity)
{
	identity->migration_flags = 0;
}

static void new_feature(struct vfm_identity *identity)
{
	identity->migration_flags |= 8;
}

static const struct {
	const char *field;
	void (*change)(struct vfm_identity *identity);
	uint32_t verdict;
} changes[] = {
	{ "machine", change_machine, VFM_MATCH_REFUSE },     { "pci-id", change_vendor, VFM_MATCH_REFUSE },
	{ "pci-id", change_device, VFM_MATCH_REFUSE },	     { "driver", change_driver, VFM_MATCH_REFUSE },
	{ "mdev-type", change_mdev_type, VFM_MATCH_REFUSE }, { "migration", no_migration, VFM_MATCH_REFUSE },
	{ "migration", new_feature, VFM_MATCH_REFUSE },	     { "subsystem", change_subvendor, VFM_MATCH_WARN },
	{ "subsystem", change_subdevice, VFM_MATCH_WARN },   { "class", change_class, VFM_MATCH_WARN },
	{ "revision", change_revision, VFM_MATCH_WARN },     { "firmware", change_firmware, VFM_MATCH_WARN },
	{ "kernel", change_kernel, VFM_MATCH_WARN },
};

START_TEST(a_difference_on_either_side)
{
	const struct vfm_identity same = source;
	const int expected = changes[_i].verdict == VFM_MATCH_REFUSE ? -EREMOTEIO : 0;

	changes[_i].change(&target);
	ck_assert_uint_eq(verdict_of(changes[_i].field), changes[_i].verdict);
	ck_assert_int_eq(vfm_match(&source, &target, NULL, NULL), expected);

	target = same;
	changes[_i].change(&source);
	ck_assert_uint_eq(verdict_of(changes[_i].field), changes[_i].verdict);
	ck_assert_int_eq(vfm_match(&source, &target, NULL, NULL), expected);
}
END_TEST

static const struct {
	const char *field;
	uint32_t flag;
} flagged[] = {
	{ "pci-id", VFM_IDENTITY_PCI },		 { "subsystem", VFM_IDENTITY_SUBSYSTEM },
	{ "class", VFM_IDENTITY_REVISION },	 { "revision", VFM_IDENTITY_REVISION },
	{ "migration", VFM_IDENTITY_MIGRATION }, { "pre-copy", VFM_IDENTITY_MIGRATION },
};

START_TEST(a_number_unknown_on_either_side)
{
	source.flags &= ~flagged[_i].flag;
	ck_assert_uint_eq(verdict_of(flagged[_i].field), VFM_MATCH_UNKNOWN);
	target.flags &= ~flagged[_i].flag;
	ck_assert_uint_eq(verdict_of(flagged[_i].field), VFM_MATCH_UNKNOWN);
	source.flags |= flagged[_i].flag;
	ck_assert_uint_eq(verdict_of(flagged[_i].field), VFM_MATCH_UNKNOWN);
}
END_TEST

START_TEST(a_text_unknown_on_either_side)
{
	char *const texts[2][4] = { { source.driver, source.mdev_type, source.firmware, source.kernel },
				    { target.driver, target.mdev_type, target.firmware, target.kernel } };
	static const char *const fields[] = { "driver", "mdev-type", "firmware", "kernel" };

	for (int side = 0; side < 2; side++) {
		setup();
		texts[side][_i][0] = '\0';
		ck_assert_uint_eq(verdict_of(fields[_i]), VFM_MATCH_UNKNOWN);
	}
}
END_TEST

START_TEST(precopy_is_only_missed_by_a_source_that_has_it)
{
	target.migration_flags = 3;
	ck_assert_uint_eq(verdict_of("pre-copy"), VFM_MATCH_WARN);
	ck_assert_int_eq(vfm_match(&source, &target, NULL, NULL), 0);
	source.migration_flags = 1;
	ck_assert_uint_eq(verdict_of("pre-copy"), VFM_MATCH_SAME);
	target.migration_flags = 7;
	ck_assert_uint_eq(verdict_of("pre-copy"), VFM_MATCH_SAME);
}
END_TEST

START_TEST(driver_families)
{
	strcpy(target.driver, "mlx5");
	ck_assert_uint_eq(verdict_of("driver"), VFM_MATCH_SAME);
	strcpy(target.driver, "mlx5-vfio-pci");
	ck_assert_uint_eq(verdict_of("driver"), VFM_MATCH_SAME);
	strcpy(target.driver, "mlx5_vfio_pc");
	ck_assert_uint_eq(verdict_of("driver"), VFM_MATCH_REFUSE);
	strcpy(target.driver, "mlx5_vfio_pcie");
	ck_assert_uint_eq(verdict_of("driver"), VFM_MATCH_REFUSE);

	strcpy(source.driver, "not-listed");
	strcpy(target.driver, "not_listed");
	ck_assert_uint_eq(verdict_of("driver"), VFM_MATCH_SAME);
}
END_TEST

START_TEST(fields_are_shown)
{
	struct wanted wanted = { .field = "pci-id" };

	target.flags &= ~VFM_IDENTITY_PCI;
	ck_assert_int_eq(vfm_match(&source, &target, note_line, &wanted), 0);
	ck_assert_str_eq(wanted.source, "15b3:101e");
	ck_assert_str_eq(wanted.target, "");
}
END_TEST

static int stop_at_once(void *user, const struct vfm_match_line *line)
{
	(void)line;
	(*(int *)user)++;
	return 42;
}

START_TEST(the_callback_stops_the_walk)
{
	int calls = 0;

	change_machine(&target);
	ck_assert_int_eq(vfm_match(&source, &target, stop_at_once, &calls), 42);
	ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(identities_of_another_size)
{
	source.size = 0;
	ck_assert_int_eq(vfm_match(&source, &target, NULL, NULL), -EINVAL);
	source.size = sizeof(source) - 1;
	ck_assert_int_eq(vfm_match(&source, &target, NULL, NULL), -EINVAL);
	ck_assert_int_eq(vfm_match(&target, &source, NULL, NULL), -EINVAL);
	ck_assert_int_eq(vfm_match(NULL, &target, NULL, NULL), -EINVAL);
	ck_assert_int_eq(vfm_match(&target, NULL, NULL, NULL), -EINVAL);
}
END_TEST

START_TEST(texts_without_an_end)
{
	memset(source.driver, 'x', sizeof(source.driver));
	memset(source.kernel, 'x', sizeof(source.kernel));
	ck_assert_uint_eq(verdict_of("driver"), VFM_MATCH_REFUSE);
	ck_assert_uint_eq(verdict_of("kernel"), VFM_MATCH_WARN);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("match");
	TCase *tests = tcase_create("match");

	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, equal_devices_match_in_every_field);
	tcase_add_test(tests, names_do_not_matter);
	tcase_add_test(tests, identities_of_other_sizes);
	tcase_add_test(tests, nothing_known_is_unknown_never_the_same);
	tcase_add_loop_test(tests, a_difference_on_either_side, 0, (int)VFMI_ARRAY_SIZE(changes));
	tcase_add_loop_test(tests, a_number_unknown_on_either_side, 0, (int)VFMI_ARRAY_SIZE(flagged));
	tcase_add_loop_test(tests, a_text_unknown_on_either_side, 0, 4);
	tcase_add_test(tests, precopy_is_only_missed_by_a_source_that_has_it);
	tcase_add_test(tests, driver_families);
	tcase_add_test(tests, fields_are_shown);
	tcase_add_test(tests, the_callback_stops_the_walk);
	tcase_add_test(tests, identities_of_another_size);
	tcase_add_test(tests, texts_without_an_end);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
