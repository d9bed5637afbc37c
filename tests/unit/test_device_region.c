/* SPDX-License-Identifier: MIT */
/* Regions: bounds of every access, pieces, what may be mapped and where; the bus master bit. */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_device.h"
#include "stuck.h"
#include "suite.h"

#define PAGE vfmi_page_size(&vfmi_sys_libc)
#define MIB (1024u * 1024u)

static uint8_t buf[FAKE_REGION_BYTES + 1];

static int region_read(uint32_t index, uint64_t offset, size_t length)
{
	return vfm_device_region_read(dev, index, offset, buf, length, &error);
}

static int region_write(uint32_t index, uint64_t offset, size_t length)
{
	return vfm_device_region_write(dev, index, offset, buf, length, &error);
}

static const struct {
	uint64_t offset;
	size_t length;
	int result;
} accesses[] = {
	{ 0, 0, 0 },
	{ 0, 1, 0 },
	{ 0, 255, 0 },
	{ 0, 256, 0 },
	{ 0, 257, -EINVAL },
	{ 1, 255, 0 },
	{ 1, 256, -EINVAL },
	{ 255, 1, 0 },
	{ 255, 2, -EINVAL },
	{ 256, 0, 0 },
	{ 256, 1, -EINVAL },
	{ 257, 0, -EINVAL },
	{ UINT64_MAX, 0, -EINVAL },
	{ UINT64_MAX, 1, -EINVAL },
	{ UINT64_MAX, 2, -EINVAL },
	{ 2, SIZE_MAX, -EINVAL },
	{ UINT64_MAX - 255, 256, -EINVAL },
};

START_TEST(accesses_stay_inside)
{
	ck_assert_int_eq(region_read(0, accesses[_i].offset, accesses[_i].length), accesses[_i].result);
	ck_assert_int_eq(region_write(0, accesses[_i].offset, accesses[_i].length), accesses[_i].result);
}
END_TEST

START_TEST(absent_regions_have_no_byte)
{
	ck_assert_int_eq(region_read(1, 0, 0), 0);
	ck_assert_int_eq(region_read(1, 0, 1), -EINVAL);
}
END_TEST

START_TEST(short_accesses_go_on)
{
	fake.piece = 7;
	for (size_t i = 0; i < FAKE_REGION_BYTES; i++)
		buf[i] = (uint8_t)i;
	ck_assert_int_eq(region_write(0, 0, FAKE_REGION_BYTES), 0);
	ck_assert_mem_eq(fake.region, buf, FAKE_REGION_BYTES);
	memset(buf, 0, sizeof(buf));
	ck_assert_int_eq(region_read(0, 3, 200), 0);
	ck_assert_mem_eq(fake.region + 3, buf, 200);
	ck_assert_uint_eq(buf[200], 0);
}
END_TEST

START_TEST(stuck_accesses_end)
{
	fake.piece = 0;
	ck_assert_int_eq(region_read(0, 0, 4), -EIO);
	ck_assert_int_eq(region_write(0, 0, 4), -EIO);
	ck_assert_ptr_nonnull(strstr(error.message, "dev0: write region: region 0: 0 of 4 bytes"));
}
END_TEST

/* a region as a test describes it */

static struct {
	uint32_t flags;
	uint64_t length;
	uint64_t offset;
	uint32_t areas; /* above 0: sparse */
	struct vfio_region_sparse_mmap_area area[2];
	int asked;
} described;

static bool describe(unsigned long request, void *arg, int *r)
{
	struct vfio_region_info *info = arg;
	struct vfio_region_info_cap_sparse_mmap sparse = {
		.header = { VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0 },
		.nr_areas = described.areas,
	};
	size_t areas = described.areas * sizeof(described.area[0]);
	uint32_t needed = (uint32_t)(sizeof(*info) + (described.areas ? sizeof(sparse) + areas : 0));

	if (request != VFIO_DEVICE_GET_REGION_INFO)
		return false;
	described.asked++;
	info->flags = described.flags | (described.areas ? VFIO_REGION_INFO_FLAG_CAPS : 0);
	info->size = described.length;
	info->offset = described.offset;
	info->cap_offset = 0;
	if (described.areas && info->argsz >= needed) {
		info->cap_offset = sizeof(*info);
		memcpy((char *)arg + sizeof(*info), &sparse, sizeof(sparse));
		memcpy((char *)arg + sizeof(*info) + sizeof(sparse), described.area, areas);
	}
	info->argsz = needed;
	*r = 0;
	return true;
}

static void describe_region(uint32_t flags, uint64_t length)
{
	memset(&described, 0, sizeof(described));
	described.flags = flags;
	described.length = length;
	described.offset = (uint64_t)1 << 40;
	fake.hook = describe;
}

START_TEST(directions_are_respected)
{
	describe_region(VFM_REGION_READ, 4);
	ck_assert_int_eq(region_write(2, 0, 1), -EACCES);
	ck_assert_int_eq(region_read(2, 5, 0), -EINVAL);
	describe_region(VFM_REGION_WRITE, 4);
	ck_assert_int_eq(region_read(3, 0, 1), -EACCES);
	ck_assert_int_eq(region_read(3, 0, 0), -EACCES);
}
END_TEST

START_TEST(facts_are_asked_once)
{
	describe_region(VFM_REGION_READ, 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(region_read(15, 0, 0), 0);
	ck_assert_int_eq(described.asked, 1);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(region_read(16, 0, 0), 0); /* beyond what is remembered */
	ck_assert_int_eq(described.asked, 4);
	ck_assert_int_eq(region_read(UINT32_MAX, 0, 0), 0);
}
END_TEST

static const struct {
	uint64_t offset;
	uint64_t length;
	int result;
} places[] = {
	{ INT64_MAX, 0, 0 },
	{ INT64_MAX - 1, 1, 0 },
	{ INT64_MAX, 1, -EIO },
	{ 0, INT64_MAX, 0 },
	{ 0, (uint64_t)INT64_MAX + 1, -EIO },
	{ UINT64_MAX, 1, -EIO },
	{ 1, UINT64_MAX, -EIO },
};

START_TEST(impossible_places_are_refused)
{
	VFM_OPTS(vfm_region, region);

	describe_region(VFM_REGION_READ, places[_i].length);
	described.offset = places[_i].offset;
	ck_assert_int_eq(vfm_device_region(dev, 2, &region, &error), places[_i].result);
	ck_assert_int_eq(region_read(2, 0, 0), places[_i].result);
}
END_TEST

START_TEST(info_is_passed_on)
{
	VFM_OPTS(vfm_region, region);
	struct vfm_area areas[2];
	size_t count = 77;

	describe_region(VFM_REGION_READ | VFM_REGION_MMAP, 4 * PAGE);
	described.areas = 2;
	described.area[0] = (struct vfio_region_sparse_mmap_area){ 0, PAGE };
	described.area[1] = (struct vfio_region_sparse_mmap_area){ 3 * PAGE, PAGE };
	ck_assert_int_eq(vfm_device_region(dev, 2, &region, &error), 0);
	ck_assert_uint_eq(region.flags, VFM_REGION_READ | VFM_REGION_MMAP | VFM_REGION_SPARSE);
	ck_assert_uint_eq(region.index, 2);
	ck_assert_uint_eq(region.length, 4 * PAGE);
	ck_assert_uint_eq(region.sparse_count, 2);
	ck_assert_int_eq(vfm_device_region_sparse(dev, 2, areas, 1, &count, &error), -EMSGSIZE);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(vfm_device_region_sparse(dev, 2, areas, 2, &count, &error), 0);
	ck_assert_uint_eq(areas[1].offset, 3 * PAGE);
	described.area[1].size = PAGE + 1;
	ck_assert_int_eq(vfm_device_region_sparse(dev, 2, areas, 2, &count, &error), -EIO);
	described.area[1] = (struct vfio_region_sparse_mmap_area){ UINT64_MAX, 2 };
	ck_assert_int_eq(vfm_device_region_sparse(dev, 2, areas, 2, &count, &error), -EIO);
}
END_TEST

/* mapping */

static int map(uint64_t offset, size_t length, void **ret)
{
	return vfm_device_region_map(dev, 2, offset, length, ret, &error);
}

static const struct {
	uint64_t offset_pages;
	uint64_t length_pages;
	uint64_t extra; /* bytes off the page */
	int result;
} mappings[] = {
	{ 0, 1, 0, 0 },	      { 0, 8, 0, 0 },	    { 7, 1, 0, 0 },
	{ 0, 0, 0, -EINVAL }, { 0, 9, 0, -EINVAL }, { 8, 1, 0, -EINVAL },
	{ 1, 8, 0, -EINVAL }, { 0, 1, 1, -EINVAL }, { (uint64_t)1 << 51, 1, 0, -EINVAL },
};

START_TEST(mappings_are_whole_pages_inside)
{
	void *ptr = NULL;
	int r;

	describe_region(VFM_REGION_READ | VFM_REGION_MMAP, 8 * PAGE);
	r = map(mappings[_i].offset_pages * PAGE, mappings[_i].length_pages * PAGE + mappings[_i].extra, &ptr);
	ck_assert_int_eq(r, mappings[_i].result);
	ck_assert_int_eq(fake.mmaps, r == 0);
	if (r < 0)
		return;
	ck_assert_int_eq(fake.prot, PROT_READ);
	ck_assert_int_eq(fake.offset, (off_t)(((uint64_t)1 << 40) + mappings[_i].offset_pages * PAGE));
	vfm_device_region_unmap(dev, ptr, mappings[_i].length_pages * PAGE);
	ck_assert_int_eq(fake.mmaps, 0);
}
END_TEST

START_TEST(unmappable_regions_are_refused)
{
	void *ptr;

	describe_region(VFM_REGION_READ, 8 * PAGE);
	ck_assert_int_eq(map(0, PAGE, &ptr), -EOPNOTSUPP);
	vfm_device_region_unmap(dev, NULL, PAGE);
}
END_TEST

static const struct {
	uint64_t offset_pages;
	uint64_t length_pages;
	int result;
} sparse_mappings[] = {
	{ 0, 1, -EOPNOTSUPP }, { 1, 1, 0 }, { 1, 2, 0 },	   { 1, 3, -EOPNOTSUPP }, { 0, 2, -EOPNOTSUPP },
	{ 5, 1, 0 },	       { 5, 2, 0 }, { 4, 2, -EOPNOTSUPP }, { 7, 1, -EOPNOTSUPP }, { 2, 4, -EOPNOTSUPP },
};

START_TEST(sparse_mappings_stay_in_an_area)
{
	void *ptr;

	describe_region(VFM_REGION_READ | VFM_REGION_WRITE | VFM_REGION_MMAP, 8 * PAGE);
	described.areas = 2;
	described.area[0] = (struct vfio_region_sparse_mmap_area){ PAGE, 2 * PAGE };
	described.area[1] = (struct vfio_region_sparse_mmap_area){ 5 * PAGE, 2 * PAGE };
	ck_assert_int_eq(map(sparse_mappings[_i].offset_pages * PAGE, sparse_mappings[_i].length_pages * PAGE, &ptr),
			 sparse_mappings[_i].result);
}
END_TEST

static const struct {
	uint64_t offset;
	uint64_t length;
	uint64_t align; /* 0: no hint */
} alignments[] = {
	{ 0, MIB, 0 },
	{ 0, 2 * MIB, 2 * MIB },
	{ MIB, 2 * MIB, 2 * MIB },
	{ 0, 1023u * MIB, 2 * MIB },
	{ 0, 1024u * MIB, 1024u * MIB },
	{ 3 * MIB, 2048u * MIB, 1024u * MIB },
};

START_TEST(large_mappings_can_use_huge_pages)
{
	void *ptr;

	describe_region(VFM_REGION_READ | VFM_REGION_MMAP, (uint64_t)4096 * MIB);
	ck_assert_int_eq(map(alignments[_i].offset, alignments[_i].length, &ptr), 0);
	ck_assert_int_eq(fake.mmaps, 1);
	ck_assert_int_eq(fake.hint != NULL, alignments[_i].align != 0);
	if (alignments[_i].align)
		ck_assert_uint_eq((uintptr_t)fake.hint % alignments[_i].align,
				  alignments[_i].offset % alignments[_i].align);
}
END_TEST

/* bus master */

START_TEST(bus_master_changes_one_bit)
{
	fake.region[4] = 0x03;
	fake.region[5] = 0x05;
	ck_assert_int_eq(vfm_device_bus_master(dev, true, &error), 0);
	ck_assert_uint_eq(fake.region[4], 0x07);
	ck_assert_uint_eq(fake.region[5], 0x05);
	ck_assert_int_eq(vfm_device_bus_master(dev, true, &error), 0);
	ck_assert_uint_eq(fake.region[4], 0x07);
	ck_assert_int_eq(vfm_device_bus_master(dev, false, &error), 0);
	ck_assert_uint_eq(fake.region[4], 0x03);
}
END_TEST

/* Between the read and the write of the register another thread writes it. */
static struct {
	struct vfmi_sys_ops ops;
	pthread_t thread;
	bool started;
	struct second_thread second;
} rival;

static void *write_command(void *user)
{
	const uint8_t command[2] = { 0x03, 0x04 };

	(void)user;
	atomic_store(&rival.second.tid, gettid());
	ck_assert_int_eq(vfm_device_region_write(dev, VFM_REGION_CONFIG, 4, command, sizeof(command), NULL), 0);
	atomic_store(&rival.second.done, true);
	return NULL;
}

static ssize_t pread_beside_rival(struct vfmi_sys *sys, int fd, void *to, size_t length, off_t offset)
{
	ssize_t n = fake_pread(sys, fd, to, length, offset);

	if (!rival.started) {
		rival.started = true;
		ck_assert_int_eq(pthread_create(&rival.thread, NULL, write_command, NULL), 0);
		(void)ends_unhindered(&rival.second);
	}
	return n;
}

START_TEST(bus_master_undoes_no_write_of_another_thread)
{
	memset(&rival, 0, sizeof(rival));
	rival.ops = fake_ops;
	rival.ops.pread = pread_beside_rival;
	fake_sys.ops = &rival.ops;
	ck_assert_int_eq(vfm_device_bus_master(dev, true, &error), 0);
	pthread_join(rival.thread, NULL);
	fake_sys.ops = &fake_ops;
	/* After one another, in whichever order: the rival's bits stand. */
	ck_assert_uint_eq(fake.region[4] & 0x03, 0x03);
	ck_assert_uint_eq(fake.region[5], 0x04);
}
END_TEST

/* A driver that has the switch, as vfio-cdx. */
static struct {
	uint32_t flags;
	uint32_t argsz;
	uint32_t op;
	int sets;
	int result;
} cdx;

static bool answer_cdx(unsigned long request, void *arg, int *r)
{
	const struct vfio_device_feature *feature = arg;

	if (request != VFIO_DEVICE_FEATURE)
		return false;
	cdx.flags = feature->flags;
	cdx.argsz = feature->argsz;
	memcpy(&cdx.op, feature->data, sizeof(cdx.op));
	cdx.sets++;
	*r = cdx.result;
	return true;
}

START_TEST(bus_master_of_another_bus_is_a_feature)
{
	memset(&cdx, 0, sizeof(cdx));
	fake.device_flags = 0x100; /* VFIO_DEVICE_FLAGS_CDX */
	fake.hook = answer_cdx;
	ck_assert_int_eq(vfm_device_bus_master(dev, true, &error), 0);
	ck_assert_uint_eq(cdx.flags, VFIO_DEVICE_FEATURE_BUS_MASTER | VFIO_DEVICE_FEATURE_SET);
	ck_assert_uint_eq(cdx.argsz, 12);
	ck_assert_uint_eq(cdx.op, 1);
	ck_assert_int_eq(vfm_device_bus_master(dev, false, &error), 0);
	ck_assert_uint_eq(cdx.op, 0);
	ck_assert_int_eq(cdx.sets, 2);
	cdx.result = -EIO;
	ck_assert_int_eq(vfm_device_bus_master(dev, false, &error), -EIO);
	ck_assert_ptr_nonnull(strstr(error.message, "it stays on"));
	ck_assert_uint_eq(fake.region[4], 0);
}
END_TEST

START_TEST(bus_master_needs_a_switch)
{
	fake.device_flags = 0;
	ck_assert_int_eq(vfm_device_bus_master(dev, true, &error), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(error.message, "not a PCI device"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_region");
	TCase *tests = tcase_create("device_region");

	tcase_add_checked_fixture(tests, fake_setup, fake_teardown);
	tcase_add_loop_test(tests, accesses_stay_inside, 0, (int)VFMI_ARRAY_SIZE(accesses));
	tcase_add_test(tests, absent_regions_have_no_byte);
	tcase_add_test(tests, short_accesses_go_on);
	tcase_add_test(tests, stuck_accesses_end);
	tcase_add_test(tests, directions_are_respected);
	tcase_add_test(tests, facts_are_asked_once);
	tcase_add_loop_test(tests, impossible_places_are_refused, 0, (int)VFMI_ARRAY_SIZE(places));
	tcase_add_test(tests, info_is_passed_on);
	tcase_add_loop_test(tests, mappings_are_whole_pages_inside, 0, (int)VFMI_ARRAY_SIZE(mappings));
	tcase_add_test(tests, unmappable_regions_are_refused);
	tcase_add_loop_test(tests, sparse_mappings_stay_in_an_area, 0, (int)VFMI_ARRAY_SIZE(sparse_mappings));
	tcase_add_loop_test(tests, large_mappings_can_use_huge_pages, 0, (int)VFMI_ARRAY_SIZE(alignments));
	tcase_add_test(tests, bus_master_changes_one_bit);
	tcase_add_test(tests, bus_master_undoes_no_write_of_another_thread);
	tcase_add_test(tests, bus_master_of_another_bus_is_a_feature);
	tcase_add_test(tests, bus_master_needs_a_switch);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
