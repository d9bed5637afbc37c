/* SPDX-License-Identifier: MIT */
/* The pci-config record: round trips, every damaged byte, capability lists that lie, what fits which device. */
#include <check.h>
#include <stdlib.h>

#include "config-record.h"
#include "wire.h"
#include "suite.h"

#define PM 0x40
#define MSI 0x50
#define EXPRESS 0x60
#define MSIX 0xa0

static struct vfmi_config config;
static struct vfmi_config other;
static uint8_t record[VFM_CONFIG_MAX];
static const char *why;

/* A device with one 64-bit and one I/O BAR and the four capabilities that are looked at. */
static void make_space(struct vfmi_config *c)
{
	uint8_t *space = c->space;

	memset(c, 0, sizeof(*c));
	c->pci = true;
	c->length = 256;
	vfmi_put_le16(space + VFMI_PCI_VENDOR, 0x1234);
	vfmi_put_le16(space + VFMI_PCI_DEVICE, 0x11e8);
	vfmi_put_le16(space + VFMI_PCI_STATUS, 0x10);
	vfmi_put_le32(space + VFMI_PCI_BAR0, 0xfe000004);
	vfmi_put_le32(space + VFMI_PCI_BAR0 + 4, 0x11);
	vfmi_put_le32(space + VFMI_PCI_BAR0 + 8, 0xc001);
	space[VFMI_PCI_CAPABILITIES] = PM;
	vfmi_put_le16(space + PM, VFMI_PCI_CAP_PM | MSI << 8);
	vfmi_put_le16(space + MSI, VFMI_PCI_CAP_MSI | EXPRESS << 8);
	vfmi_put_le16(space + MSI + 2, 0x0186);
	vfmi_put_le16(space + EXPRESS, VFMI_PCI_CAP_EXPRESS | MSIX << 8);
	vfmi_put_le16(space + EXPRESS + 2, 2);
	vfmi_put_le16(space + MSIX, VFMI_PCI_CAP_MSIX);
	vfmi_put_le16(space + MSIX + 2, 7);
}

static int encode(void)
{
	return vfmi_config_encode(&config, record, sizeof(record));
}

static void check_round_trip(void)
{
	int length = encode();

	ck_assert_int_gt(length, 0);
	ck_assert_int_eq(vfmi_config_decode(record, (size_t)length, &other, &why), 0);
	ck_assert_mem_eq(&config, &other, sizeof(config));
}

START_TEST(test_round_trips)
{
	const uint32_t lengths[] = { 64, 65, 66, 67, 255, 256, 4095, 4096 };

	memset(&config, 0, sizeof(config));
	check_round_trip();
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(lengths); i++) {
		make_space(&config);
		config.length = lengths[i];
		memset(config.space + lengths[i], 0, sizeof(config.space) - lengths[i]);
		check_round_trip();
	}
}
END_TEST

START_TEST(test_vectors)
{
	const uint32_t vectors[] = { 0, 7, 8, 9, 31, VFMI_CONFIG_VECTORS - 1 };

	make_space(&config);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(vectors); i++) {
		ck_assert_int_eq(vfmi_config_add_vector(&config, 2, vectors[i]), 0);
		ck_assert_uint_eq(config.sets[0].vectors, vectors[i] + 1);
		check_round_trip();
	}
	ck_assert(vfmi_config_is_armed(&config.sets[0], 8));
	ck_assert(!vfmi_config_is_armed(&config.sets[0], 10));
	ck_assert(!vfmi_config_is_armed(&config.sets[0], VFMI_CONFIG_VECTORS));
	ck_assert(!vfmi_config_is_armed(&config.sets[0], UINT32_MAX));
	ck_assert_int_eq(vfmi_config_add_vector(&config, 2, VFMI_CONFIG_VECTORS), -ENOSPC);
	ck_assert_int_eq(vfmi_config_add_vector(&config, 2, UINT32_MAX), -ENOSPC);
	ck_assert_int_eq(vfmi_config_add_vector(&config, VFMI_CONFIG_IRQ_INDEXES, 0), -ENOSPC);
}
END_TEST

START_TEST(test_sets)
{
	const uint32_t order[] = { 63, 0, 5, 2, 1, 40, 3, 4 };

	memset(&config, 0, sizeof(config));
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(order); i++)
		ck_assert_int_eq(vfmi_config_add_vector(&config, order[i], order[i]), 0);
	ck_assert_int_eq(vfmi_config_add_vector(&config, 6, 0), -ENOSPC);
	ck_assert_int_eq(vfmi_config_add_vector(&config, 63, 0), 0);
	for (uint32_t i = 1; i < config.set_count; i++)
		ck_assert_uint_lt(config.sets[i - 1].index, config.sets[i].index);
	check_round_trip();
	ck_assert_ptr_nonnull(vfmi_config_find_set(&config, 40));
	ck_assert_ptr_null(vfmi_config_find_set(&config, 41));
}
END_TEST

START_TEST(test_largest_fits)
{
	make_space(&config);
	config.length = VFMI_CONFIG_SPACE;
	for (uint32_t i = 0; i < VFMI_CONFIG_SETS; i++)
		ck_assert_int_eq(vfmi_config_add_vector(&config, i, VFMI_CONFIG_VECTORS - 1), 0);
	check_round_trip();
	ck_assert_int_eq(vfmi_config_encode(&config, record, (size_t)encode() - 1), -ENOSPC);
}
END_TEST

START_TEST(test_every_prefix)
{
	size_t length;

	make_space(&config);
	ck_assert_int_eq(vfmi_config_add_vector(&config, 1, 4), 0);
	length = (size_t)encode();
	for (size_t i = 0; i <= length + 4; i++)
		ck_assert_int_eq(vfmi_config_decode(record, i, &other, &why), i == length ? 0 : -EBADMSG);
}
END_TEST

static bool is_newer(size_t at)
{
	return at == 4 || at == 5 || (at == 8 && record[at] > 1) || (at > 8 && at < 12);
}

/* A changed byte is refused, or is a value of a field that may have it: never a crash, never out of bounds. */
START_TEST(test_every_byte)
{
	size_t length;

	make_space(&config);
	ck_assert_int_eq(vfmi_config_add_vector(&config, 1, 4), 0);
	length = (size_t)encode();
	for (size_t at = 0; at < length; at++) {
		uint8_t before = record[at];
		bool free_field = (at >= 24 && at < 24 + 256) || at == 24 + 256 || at == 24 + 256 + 8;

		for (unsigned int value = 0; value < 256; value++) {
			int r;

			record[at] = (uint8_t)value;
			r = vfmi_config_decode(record, length, &other, &why);
			ck_assert(r == 0 || why);
			/* Version and flags may be those of a newer writer, all else is damage. */
			if (r < 0)
				ck_assert_int_eq(r, is_newer(at) ? -EPROTONOSUPPORT : -EBADMSG);
			ck_assert_msg(r < 0 || value == before || free_field, "byte %zu, value %u", at, value);
			if (r == 0)
				(void)vfmi_config_fits(&other, &config, &why);
		}
		record[at] = before;
	}
}
END_TEST

START_TEST(test_caps)
{
	struct vfmi_pci_caps caps;

	make_space(&config);
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, config.length, &caps), 0);
	ck_assert_uint_eq(caps.count, 4);
	ck_assert_uint_eq(vfmi_pci_find_cap(&caps, VFMI_PCI_CAP_MSIX), MSIX);
	ck_assert_uint_eq(vfmi_pci_find_cap(&caps, 0x99), 0);
	vfmi_put_le16(config.space + VFMI_PCI_STATUS, 0);
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, config.length, &caps), 0);
	ck_assert_uint_eq(caps.count, 0);
}
END_TEST

START_TEST(test_caps_that_lie)
{
	struct vfmi_pci_caps caps;

	make_space(&config);
	config.space[MSIX + 1] = PM; /* a circle */
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, config.length, &caps), -EBADMSG);
	config.space[MSIX + 1] = MSIX; /* the smallest one */
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, config.length, &caps), -EBADMSG);
	config.space[MSIX + 1] = 0x3c; /* into the header */
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, config.length, &caps), -EBADMSG);
	config.space[MSIX + 1] = 0xfc; /* the last place there is: enough for an unknown capability ... */
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, config.length, &caps), 0);
	config.space[0xfc] = VFMI_PCI_CAP_PM; /* ... and not for one with registers beyond */
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, config.length, &caps), -EBADMSG);
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, 64, &caps), -EBADMSG);
	config.space[MSIX + 1] = 0;
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, MSIX + 4, &caps), 0);
	ck_assert_int_eq(vfmi_pci_walk_caps(config.space, MSIX + 3, &caps), -EBADMSG);
}
END_TEST

START_TEST(test_caps_of_noise)
{
	struct vfmi_pci_caps caps;

	srandom(1);
	for (int i = 0; i < 20000; i++) {
		uint32_t length = 64 + (uint32_t)random() % 193;
		uint8_t *space = malloc(length); /* so that the sanitizer sees a read beyond */

		ck_assert_ptr_nonnull(space);
		for (uint32_t at = 0; at < length; at++)
			space[at] = (uint8_t)random();
		space[VFMI_PCI_STATUS] |= 0x10;
		(void)vfmi_pci_walk_caps(space, length, &caps);
		ck_assert_uint_le(caps.count, VFMI_PCI_MAX_CAPS);
		free(space);
	}
}
END_TEST

static void check_fits(uint32_t at, uint8_t change, int expected)
{
	int r;

	make_space(&config);
	make_space(&other);
	other.space[at] ^= change;
	r = vfmi_config_fits(&config, &other, &why);
	ck_assert_msg(r == expected, "byte 0x%x changed by 0x%x: %d, %s", at, change, r, why ? why : "fits");
	ck_assert((r == 0) == (why == NULL));
}

START_TEST(test_fits)
{
	check_fits(VFMI_PCI_BAR0 + 3, 0xff, 0); /* an address is the guest's */
	check_fits(VFMI_PCI_BAR0 + 4, 0xff, 0); /* upper half of a 64-bit BAR: all address */
	check_fits(VFMI_PCI_BAR0 + 9, 0xff, 0);
	check_fits(VFMI_PCI_BAR0 + 8, 0x04, 0);	  /* I/O: two type bits only */
	check_fits(VFMI_PCI_BAR0, 0x04, -EINVAL); /* 32 bit */
	check_fits(VFMI_PCI_BAR0, 0x08, -EINVAL); /* prefetchable */
	check_fits(VFMI_PCI_BAR0, 0x01, -EINVAL);
	check_fits(VFMI_PCI_BAR0 + 8, 0x01, -EINVAL);
	check_fits(VFMI_PCI_VENDOR, 1, -EINVAL);
	check_fits(VFMI_PCI_DEVICE + 1, 1, -EINVAL);
	check_fits(VFMI_PCI_HEADER_TYPE, 1, -EINVAL);
	check_fits(VFMI_PCI_HEADER_TYPE, 0x80, 0); /* multifunction: where it sits, not what it is */
	check_fits(VFMI_PCI_COMMAND, 0xff, 0);
	check_fits(VFMI_PCI_STATUS, 0x10, -EINVAL); /* no capabilities at all */
	check_fits(PM, 0x80, -EINVAL);		    /* another id */
	check_fits(MSI + 2, 0x02, -EINVAL);	    /* fewer vectors */
	check_fits(MSI + 2, 0x80, -EINVAL);	    /* 32-bit address */
	check_fits(MSI + 2, 0x71, 0);		    /* enable bits are the guest's */
	check_fits(MSIX + 2, 0x01, -EINVAL);
	check_fits(MSIX + 3, 0xc0, 0);
	check_fits(EXPRESS + 2, 0x03, -EINVAL);
	check_fits(MSIX + 1, PM, -EINVAL); /* the device's own list runs in a circle */
}
END_TEST

START_TEST(test_fits_other_kinds)
{
	make_space(&config);
	make_space(&other);
	other.length = 4096;
	ck_assert_int_eq(vfmi_config_fits(&config, &other, &why), -EINVAL);
	memset(&other, 0, sizeof(other));
	ck_assert_int_eq(vfmi_config_fits(&config, &other, &why), -EINVAL);
	ck_assert_int_eq(vfmi_config_fits(&other, &config, &why), -EINVAL);
	ck_assert_int_eq(vfmi_config_fits(&other, &other, &why), 0);
	make_space(&other);
	config.space[MSIX + 1] = PM;
	ck_assert_int_eq(vfmi_config_fits(&config, &other, &why), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config-record");
	TCase *tcase = tcase_create("config-record");

	tcase_add_test(tcase, test_round_trips);
	tcase_add_test(tcase, test_vectors);
	tcase_add_test(tcase, test_sets);
	tcase_add_test(tcase, test_largest_fits);
	tcase_add_test(tcase, test_every_prefix);
	tcase_add_test(tcase, test_every_byte);
	tcase_add_test(tcase, test_caps);
	tcase_add_test(tcase, test_caps_that_lie);
	tcase_add_test(tcase, test_caps_of_noise);
	tcase_add_test(tcase, test_fits);
	tcase_add_test(tcase, test_fits_other_kinds);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
