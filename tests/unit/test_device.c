/* SPDX-License-Identifier: MIT */
/* Device object: what is adopted and what is not, who the device says it is, and that failures leave nothing open. */
#include "fake_device.h"
#include "suite.h"

static struct vfm_adopt adoption(void)
{
	return (struct vfm_adopt){ .size = sizeof(struct vfm_adopt), .device_fd = FAKE_FD, .iommufd = -1 };
}

static int adopt(const struct vfm_adopt *from)
{
	struct vfm_device *adopted = NULL;
	int open_before = fake.open_fds;
	int r = vfm_device_adopt(ctx, from, &adopted, &error);

	if (r < 0)
		ck_assert_ptr_null(adopted);
	vfm_device_close(adopted);
	ck_assert_int_eq(fake.open_fds, open_before);
	return r;
}

START_TEST(adopted_device_tells)
{
	struct vfm_adopt from = adoption();
	struct vfm_device *adopted;

	from.devid = 5;
	from.pt_id = 6;
	ck_assert_int_eq(vfm_device_adopt(ctx, &from, &adopted, &error), 0);
	ck_assert_str_eq(vfm_device_name(adopted), "fd:3");
	ck_assert_int_ge(vfm_device_fd(adopted), 100);
	ck_assert_uint_eq(vfm_device_id(adopted), 5);
	ck_assert_uint_eq(vfm_device_pt_id(adopted), 6);
	ck_assert(vfm_device_is_adopted(adopted));
	ck_assert_ptr_eq(vfm_device_context(adopted), ctx);
	ck_assert_ptr_null(vfm_device_iommu(adopted));
	ck_assert_ptr_eq(vfmi_device_sys(adopted), &fake_sys);
	vfm_device_close(adopted);
	vfm_device_close(NULL);
}
END_TEST

START_TEST(bad_descriptors_are_refused)
{
	struct vfm_adopt from = adoption();

	from.device_fd = -1;
	ck_assert_int_eq(adopt(&from), -EBADF);
	from = adoption();
	fake.dup_limit = 1;
	ck_assert_int_eq(adopt(&from), -EMFILE);
}
END_TEST

START_TEST(wishes_are_checked)
{
	static char name[65];
	struct vfm_adopt from = adoption();

	from.flags = VFM_ADOPT_TRACKS << 1;
	ck_assert_int_eq(adopt(&from), -EINVAL);
	from.flags = VFM_ADOPT_TRACKS; /* which page table? */
	from.pt_id = 0;
	ck_assert_int_eq(adopt(&from), -EINVAL);
	from = adoption();
	from.backend = VFM_BACKEND_COMPAT_TYPE1V2 + 1;
	ck_assert_int_eq(adopt(&from), -EINVAL);
	from.backend = VFM_BACKEND_IOMMUFD;
	ck_assert_int_eq(adopt(&from), 0);
	from = adoption();
	from.size = 8;
	ck_assert_int_eq(adopt(&from), -EINVAL);
	from = adoption();
	memset(name, 'n', 64);
	from.name = name;
	ck_assert_int_eq(adopt(&from), -EINVAL);
	name[63] = '\0';
	ck_assert_int_eq(adopt(&from), 0);
}
END_TEST

static int info_result;

static bool answer_info(unsigned long request, void *arg, int *r)
{
	(void)arg;
	*r = info_result;
	return request == VFIO_DEVICE_GET_INFO;
}

static const struct {
	int kernel;
	int result;
	const char *word;
} strangers[] = {
	{ -ENOTTY, -EINVAL, "not a VFIO device" },
	{ -EINVAL, -EINVAL, "not bound" },
	{ -ENODEV, -ENODEV, "ENODEV" },
};

START_TEST(strangers_are_not_adopted)
{
	struct vfm_adopt from = adoption();

	info_result = strangers[_i].kernel;
	fake.hook = answer_info;
	ck_assert_int_eq(adopt(&from), strangers[_i].result);
	ck_assert_ptr_nonnull(strstr(error.message, strangers[_i].word));
}
END_TEST

START_TEST(unusable_address_space_is_refused)
{
	struct vfm_adopt from = adoption();

	from.iommufd = 4;
	ck_assert_int_eq(adopt(&from), 0); /* no IOAS known: nothing to stand on */
	from.ioas_id = 9;
	ck_assert_int_eq(adopt(&from), -EINVAL); /* the fake is no iommufd */
	ck_assert_ptr_nonnull(strstr(error.message, "not an iommufd"));
}
END_TEST

START_TEST(binding_twice_is_refused)
{
	ck_assert_int_eq(vfm_device_bind(dev, NULL, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "bound already"));
	ck_assert_int_eq(vfm_device_attach(dev, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "no address space"));
}
END_TEST

START_TEST(info_is_sized)
{
	VFM_OPTS(vfm_device_info, info);

	ck_assert_int_eq(vfm_device_info(dev, &info, &error), 0);
	ck_assert_uint_eq(info.flags, VFM_DEVICE_PCI | VFM_DEVICE_RESET);
	ck_assert_uint_eq(info.num_regions, 9);
	ck_assert_uint_eq(info.num_irqs, 5);
	info.size = 0;
	ck_assert_int_eq(vfm_device_info(dev, &info, &error), -EINVAL);
	info_result = -EIO;
	fake.hook = answer_info;
	info.size = sizeof(info);
	ck_assert_int_eq(vfm_device_info(dev, &info, NULL), -EIO);
}
END_TEST

/* A kernel whose answer is in @kernel_info, @kernel_length bytes of it. */
static uint8_t kernel_info[128];
static uint32_t kernel_length;

static bool answer_with_caps(unsigned long request, void *arg, int *r)
{
	struct vfio_device_info *to = arg;
	const uint32_t room = request == VFIO_DEVICE_GET_INFO ? to->argsz : 0;

	if (!room)
		return false;
	memcpy(arg, kernel_info, room < kernel_length ? sizeof(*to) : kernel_length);
	to->argsz = room < kernel_length ? kernel_length : room;
	if (room < kernel_length)
		to->cap_offset = 0;
	*r = 0;
	return true;
}

static void put_cap(uint32_t at, uint16_t id, uint32_t next, uint32_t word)
{
	const struct vfio_info_cap_header header = { id, 1, next };

	memcpy(kernel_info + at, &header, sizeof(header));
	memcpy(kernel_info + at + sizeof(header), &word, sizeof(word));
}

static void put_info(uint32_t flags, uint32_t cap_offset, uint32_t length)
{
	const struct vfio_device_info info = { 0, flags, 9, 5, cap_offset, 0 };

	memset(kernel_info, 0, sizeof(kernel_info));
	memcpy(kernel_info, &info, sizeof(info));
	kernel_length = length;
	fake.hook = answer_with_caps;
}

#define ATOMICS 5
#define ZPCI_UTIL 3

static uint32_t word_at(const uint8_t *bytes, size_t at)
{
	uint32_t word;

	memcpy(&word, bytes + at, sizeof(word));
	return word;
}

START_TEST(capabilities_of_a_device_are_told)
{
	VFM_OPTS(vfm_device_info, info);
	struct vfio_info_cap_header header;
	uint8_t cap[64] = { 0 };
	size_t length = 99;

	put_info(VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_CAPS, 24, 72);
	put_cap(24, 1, 56, 0x11);
	put_cap(56, ATOMICS, 40, VFM_ATOMIC_32 | VFM_ATOMIC_64);
	put_cap(40, ZPCI_UTIL, 0, 0x33);
	ck_assert_int_eq(vfm_device_info(dev, &info, &error), 0);
	ck_assert_uint_eq(info.atomics, VFM_ATOMIC_32 | VFM_ATOMIC_64);
	ck_assert_uint_eq(info.num_regions, 9);
	ck_assert_int_eq(vfm_device_info_cap(dev, ZPCI_UTIL, cap, sizeof(cap), &length, &error), 0);
	ck_assert_uint_eq(length, 16);
	memcpy(&header, cap, sizeof(header));
	ck_assert_uint_eq(header.id, ZPCI_UTIL);
	ck_assert_uint_eq(word_at(cap, 8), 0x33);
	ck_assert_uint_eq(cap[16], 0);
	ck_assert_int_eq(vfm_device_info_cap(dev, 1, cap, 16, NULL, &error), 0);
	ck_assert_uint_eq(word_at(cap, 8), 0x11);
	ck_assert_int_eq(vfm_device_info_cap(dev, ATOMICS, cap, 15, &length, &error), -EMSGSIZE);
	ck_assert_uint_eq(length, 16);
	ck_assert_uint_eq(word_at(cap, 8), 0x11);
	ck_assert_ptr_nonnull(strstr(error.message, "capability 5 has 16 bytes"));
	ck_assert_int_eq(vfm_device_info_cap(dev, ATOMICS, NULL, 0, &length, &error), -EMSGSIZE);
	ck_assert_int_eq(vfm_device_info_cap(dev, 4, cap, sizeof(cap), &length, &error), -ENOENT);
	ck_assert_uint_eq(length, 0);
	ck_assert_int_eq(vfm_device_info_cap(dev, 0x10001, cap, sizeof(cap), &length, &error), -ENOENT);
	/* a caller that knows no such field */
	info.atomics = 77;
	info.size = offsetof(struct vfm_device_info, atomics);
	ck_assert_int_eq(vfm_device_info(dev, &info, &error), 0);
	ck_assert_uint_eq(info.atomics, 77);
}
END_TEST

START_TEST(device_without_capabilities_tells_none)
{
	VFM_OPTS(vfm_device_info, info);
	size_t length = 99;

	/* an offset without its flag is what the kernel happened to have there */
	put_info(VFIO_DEVICE_FLAGS_PCI, 0xffffffff, 24);
	ck_assert_int_eq(vfm_device_info(dev, &info, &error), 0);
	ck_assert_uint_eq(info.atomics, 0);
	put_info(VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_CAPS, 0, 24);
	ck_assert_int_eq(vfm_device_info(dev, &info, &error), 0);
	ck_assert_int_eq(vfm_device_info_cap(dev, ATOMICS, NULL, 0, &length, &error), -ENOENT);
	ck_assert_uint_eq(length, 0);
}
END_TEST

static const struct {
	uint32_t first;
	uint32_t at;
	uint16_t id;
	uint32_t next;
	uint32_t length;
} damaged_infos[] = {
	{ 8, 64, 1, 0, 72 },	       /* inside the fixed part */
	{ 23, 64, 1, 0, 72 },	       /* likewise */
	{ 65, 24, 1, 0, 72 },	       /* header cut off */
	{ 0xfffffff8, 24, 1, 0, 72 },  /* beyond the end */
	{ 24, 24, 1, 24, 72 },	       /* its own next */
	{ 24, 24, 1, 4, 72 },	       /* back into the fixed part */
	{ 24, 24, 1, 72, 72 },	       /* beyond the end */
	{ 24, 24, 1, 0xffffffff, 72 }, /* likewise */
	{ 60, 60, ATOMICS, 0, 72 },    /* body cut off */
	{ 24, 24, 1, 0, 0x80000000 },  /* an absurd size */
};

START_TEST(damaged_device_infos_are_refused)
{
	VFM_OPTS(vfm_device_info, info);
	uint8_t cap[64];
	size_t length = 99;

	put_info(VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_CAPS, damaged_infos[_i].first, damaged_infos[_i].length);
	put_cap(damaged_infos[_i].at, damaged_infos[_i].id, damaged_infos[_i].next, 7);
	ck_assert_int_eq(vfm_device_info(dev, &info, &error), -EIO);
	ck_assert_int_eq(vfm_device_info_cap(dev, damaged_infos[_i].id, cap, sizeof(cap), &length, &error), -EIO);
	ck_assert_uint_eq(length, 99);
	/* whoever asks for no more than what it is has an answer all the same */
	ck_assert_int_eq(vfm_device_wait_ready(dev, 0, &error), 0);
}
END_TEST

/* identity */

static void put_header(uint8_t type)
{
	const uint8_t header[16] = { 0x34, 0x12, 0xe8, 0x11, 0, 0, 0, 0, 0x10, 0x03, 0x02, 0x01, 0, 0, type, 0 };
	const uint8_t subsystem[4] = { 0xf4, 0x1a, 0x00, 0x11 };

	memcpy(fake.region, header, sizeof(header));
	memcpy(fake.region + 0x2c, subsystem, sizeof(subsystem));
}

START_TEST(pci_ids_come_from_the_device)
{
	VFM_OPTS(vfm_identity, identity);

	put_header(0x80); /* multifunction, type 0 */
	ck_assert_int_eq(vfm_device_identity(dev, &identity, &error), 0);
	ck_assert_uint_eq(identity.flags,
			  VFM_IDENTITY_PCI | VFM_IDENTITY_SUBSYSTEM | VFM_IDENTITY_REVISION | VFM_IDENTITY_MIGRATION);
	ck_assert_uint_eq(identity.pci_vendor, 0x1234);
	ck_assert_uint_eq(identity.pci_device, 0x11e8);
	ck_assert_uint_eq(identity.pci_subvendor, 0x1af4);
	ck_assert_uint_eq(identity.pci_subdevice, 0x1100);
	ck_assert_uint_eq(identity.pci_revision, 0x10);
	ck_assert_uint_eq(identity.pci_class, 0x010203);
	ck_assert_uint_eq(identity.migration_flags, 7);
	ck_assert_str_eq(identity.name, "dev0");
	ck_assert_str_eq(identity.kernel, "6.12.0-test");
	put_header(1);
	identity = (struct vfm_identity){ .size = sizeof(identity) };
	ck_assert_int_eq(vfm_device_identity(dev, &identity, &error), 0);
	ck_assert(!(identity.flags & VFM_IDENTITY_SUBSYSTEM));
	ck_assert_uint_eq(identity.pci_subvendor, 0);
}
END_TEST

START_TEST(a_dead_device_is_noticed)
{
	VFM_OPTS(vfm_identity, identity);

	memset(fake.region, 0xff, sizeof(fake.region));
	ck_assert_int_eq(vfm_device_identity(dev, &identity, &error), -ENODEV);
}
END_TEST

START_TEST(other_buses_have_no_pci_ids)
{
	VFM_OPTS(vfm_identity, identity);

	fake.device_flags = 0;
	fake.flags = 0;
	ck_assert_int_eq(vfm_device_identity(dev, &identity, &error), 0);
	ck_assert_uint_eq(identity.flags, VFM_IDENTITY_MIGRATION);
	ck_assert_uint_eq(identity.migration_flags, 0);
	ck_assert_int_eq(error.code, 0);
}
END_TEST

START_TEST(the_lender_s_knowledge_is_kept)
{
	VFM_OPTS(vfm_identity, told);
	VFM_OPTS(vfm_identity, identity);
	struct vfm_adopt from = adoption();
	struct vfm_device *adopted;

	memset(told.driver, 'd', sizeof(told.driver)); /* a lender need not end its strings */
	memset(told.mdev_type, 'm', sizeof(told.mdev_type));
	memset(told.firmware, 'f', sizeof(told.firmware));
	memset(told.kernel, 'k', sizeof(told.kernel));
	memset(told.name, 'x', sizeof(told.name));
	told.flags = VFM_IDENTITY_SIMULATED;
	from.identity = &told;
	from.name = "lent";
	fake.device_flags = 0;
	ck_assert_int_eq(vfm_device_adopt(ctx, &from, &adopted, &error), 0);
	ck_assert_int_eq(vfm_device_identity(adopted, &identity, &error), 0);
	ck_assert_uint_eq(strlen(identity.driver), sizeof(identity.driver) - 1);
	ck_assert_uint_eq(strlen(identity.mdev_type), sizeof(identity.mdev_type) - 1);
	ck_assert_uint_eq(strlen(identity.firmware), sizeof(identity.firmware) - 1);
	ck_assert_uint_eq(identity.flags, VFM_IDENTITY_MIGRATION);
	ck_assert_str_eq(identity.name, "lent");
	ck_assert_str_eq(identity.kernel, "6.12.0-test");
	vfm_device_close(adopted);
	told.size = 8;
	ck_assert_int_eq(adopt(&from), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device");
	TCase *tests = tcase_create("device");

	tcase_add_checked_fixture(tests, fake_setup, fake_teardown);
	tcase_add_test(tests, adopted_device_tells);
	tcase_add_test(tests, bad_descriptors_are_refused);
	tcase_add_test(tests, wishes_are_checked);
	tcase_add_loop_test(tests, strangers_are_not_adopted, 0, (int)VFMI_ARRAY_SIZE(strangers));
	tcase_add_test(tests, unusable_address_space_is_refused);
	tcase_add_test(tests, binding_twice_is_refused);
	tcase_add_test(tests, info_is_sized);
	tcase_add_test(tests, capabilities_of_a_device_are_told);
	tcase_add_test(tests, device_without_capabilities_tells_none);
	tcase_add_loop_test(tests, damaged_device_infos_are_refused, 0, (int)VFMI_ARRAY_SIZE(damaged_infos));
	tcase_add_test(tests, pci_ids_come_from_the_device);
	tcase_add_test(tests, a_dead_device_is_noticed);
	tcase_add_test(tests, other_buses_have_no_pci_ids);
	tcase_add_test(tests, the_lender_s_knowledge_is_kept);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
