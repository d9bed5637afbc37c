// SPDX-License-Identifier: MIT
/* Regions for others and VF tokens: on the machine where it has them, dma-bufs by a kernel that is made up. */
#include <fcntl.h>

#include "fake_device.h"
#include "machine_fixture.h"

#define GPU "0000:0b:00.0"
#define EDU "0000:0c:00.0"
#define PF "0000:0d:00.0"
#define VF "0000:0d:00.1"
#define SPEC "nvgrace-gpu@" GPU ",state=4m;edu@" EDU ",state=64k;edu@" PF ",sriov=1,group=50;edu@" VF ",pf=" PF
#define BAR 4u
#define PAGE 4096u

static struct machine m;
static struct vfm_error err;

static void start_on(const char *spec, uint32_t backend)
{
	VFM_OPTS(vfm_iommu_options, options);

	machine_start(&m, spec);
	err = (struct vfm_error){ .size = sizeof(err) };
	vfm_iommu_close(m.iommu);
	options.backend = backend;
	ck_assert_msg(vfm_iommu_open(m.ctx, &options, &m.iommu, &err) == 0, "%s", err.message);
	machine_device(&m, 0, GPU);
	m.before = machine_usage(&m);
}

static void start(uint32_t backend)
{
	start_on(SPEC, backend);
}

static struct vfm_map wish(uint64_t length)
{
	return (struct vfm_map){
		.size = sizeof(struct vfm_map), .flags = VFM_MAP_READ | VFM_MAP_WRITE, .length = length, .fd = -1
	};
}

START_TEST(container_maps_a_region_by_address)
{
	struct vfm_map map = wish(2 * PAGE);

	start(VFM_BACKEND_TYPE1V2);
	ck_assert_msg(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, PAGE, &map, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(machine_usage(&m).mmaps, 1);
	ck_assert_uint_eq(machine_usage(&m).maps, 1);
	ck_assert_int_eq(vfm_iommu_unmap(m.iommu, map.iova, map.length, &err), 0);
	ck_assert_uint_eq(machine_usage(&m).mmaps, 0);
	/* what closing leaves to be done is done as well */
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err), 0);
	ck_assert_int_eq(vfm_iommu_unmap(m.iommu, map.iova, map.length, &err), 0);
	machine_close(&m);
}
END_TEST

/* A BAR shorter than a page goes to others with its page, by address; no dma-buf has more than the BAR. */
START_TEST(short_region_is_mapped_by_address)
{
	struct vfm_area area = { 0, PAGE };
	struct vfm_map map = wish(PAGE);
	int fd;

	start_on("nvgrace-gpu@" GPU ",state=1k,bar=plain", VFM_BACKEND_TYPE1V2);
	ck_assert_msg(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_iommu_unmap(m.iommu, map.iova, map.length, &err), 0);
	map = wish(2 * PAGE);
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_region_export(m.dev[0], BAR, &area, 1, &fd, &err), -EINVAL);
	machine_close(&m);
}
END_TEST

START_TEST(refused_map_leaves_nothing)
{
	struct vfm_map map = wish(PAGE), again;

	start(VFM_BACKEND_TYPE1V2);
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err), 0);
	again = map;
	again.flags |= VFM_MAP_FIXED;
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &again, &err), -EEXIST);
	ck_assert_uint_eq(machine_usage(&m).mmaps, 1);
	ck_assert_int_eq(vfm_iommu_unmap(m.iommu, map.iova, map.length, &err), 0);
	machine_close(&m);
}
END_TEST

static void decode(bool on)
{
	uint16_t command = on ? 2 : 0;

	ck_assert_int_eq(vfm_device_region_write(m.dev[0], VFM_REGION_CONFIG, 4, &command, sizeof(command), &err), 0);
}

static void no_map(int result, const char *word)
{
	struct vfm_map map = wish(PAGE);
	const uint32_t mmaps = machine_usage(&m).mmaps;

	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err), result);
	ck_assert_msg(strstr(err.message, word), "%s", err.message);
	ck_assert_uint_eq(machine_usage(&m).mmaps, mmaps);
}

/* A BAR that was not touched yet and one that was: the kernel takes its pages away with memory decode. */
static void needs_decode(const char *spec, uint32_t backend, int unheard)
{
	struct vfm_map map = wish(PAGE);
	volatile uint32_t *bar;
	void *ptr;

	start_on(spec, backend);
	decode(false);
	no_map(unheard, unheard == -ENODEV ? "memory decode" : "dma-buf");
	decode(true);
	ck_assert_int_eq(vfm_device_region_map(m.dev[0], BAR, 0, PAGE, &ptr, &err), 0);
	bar = ptr;
	*bar = 1;
	map.vaddr = ptr;
	map.flags |= VFM_MAP_FIXED;
	decode(false);
	no_map(unheard, unheard == -ENODEV ? "memory decode" : "dma-buf");
	ck_assert_int_eq(vfm_iommu_map(m.iommu, &map, &err), -EFAULT);
	decode(true);
	if (unheard == -ENODEV) {
		ck_assert_msg(vfm_iommu_map(m.iommu, &map, &err) == 0, "%s", err.message);
		ck_assert_int_eq(vfm_iommu_unmap(m.iommu, map.iova, map.length, &err), 0);
	}
	vfm_device_region_unmap(m.dev[0], ptr, PAGE);
	machine_close(&m);
}

static const struct {
	const char *spec;
	uint32_t backend;
	int unheard;
} silences[] = {
	{ "nvgrace-gpu@" GPU ",state=4k,bar=plain", VFM_BACKEND_TYPE1V2, -ENODEV },
	{ "nvgrace-gpu@" GPU ",state=4k,bar=plain", VFM_BACKEND_TYPE1, -ENODEV },
	{ "kernel=7.1;nvgrace-gpu@" GPU ",state=4m", VFM_BACKEND_TYPE1V2, -ENODEV },
	{ "nvgrace-gpu@" GPU ",state=4k,bar=plain", VFM_BACKEND_COMPAT_TYPE1V2, -EOPNOTSUPP },
	{ "nvgrace-gpu@" GPU ",state=4k,bar=plain", VFM_BACKEND_COMPAT_TYPE1, -EOPNOTSUPP },
};

START_TEST(region_of_a_device_that_does_not_decode)
{
	needs_decode(silences[_i].spec, silences[_i].backend, silences[_i].unheard);
}
END_TEST

START_TEST(region_of_a_device_that_sleeps)
{
	struct vfm_map map = wish(PAGE);

	start_on(silences[0].spec, VFM_BACKEND_TYPE1V2);
	ck_assert_msg(vfm_device_power(m.dev[0], VFM_POWER_LOW, -1, &err) == 0, "%s", err.message);
	no_map(-ENODEV, "sleeps");
	ck_assert_int_eq(vfm_device_power(m.dev[0], VFM_POWER_ON, -1, &err), 0);
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err), 0);
	ck_assert_int_eq(vfm_iommu_unmap(m.iommu, map.iova, map.length, &err), 0);
	machine_close(&m);
}
END_TEST

/* nvgrace-gpu before it had a fault handler: what is mapped is there, whatever the command register says. */
START_TEST(region_that_needs_no_decode)
{
	struct vfm_map map = wish(PAGE);

	start(VFM_BACKEND_TYPE1V2);
	decode(false);
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err), 0);
	ck_assert_int_eq(vfm_iommu_unmap(m.iommu, map.iova, map.length, &err), 0);
	machine_close(&m);
}
END_TEST

/* the machine, with regions that can be read only */

static const struct vfmi_sys_ops *machine_ops;

static int read_only_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	int r = machine_ops->ioctl(sys, fd, request, arg);

	if (request == VFIO_DEVICE_GET_REGION_INFO)
		((struct vfio_region_info *)arg)->flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_WRITE;
	return r;
}

START_TEST(region_that_can_be_read_only)
{
	struct vfmi_sys_ops ops;
	struct vfm_map map = wish(PAGE);

	start(VFM_BACKEND_TYPE1V2);
	machine_ops = vfmi_context_sys(m.ctx)->ops;
	ops = *machine_ops;
	ops.ioctl = read_only_ioctl;
	vfmi_context_sys(m.ctx)->ops = &ops;
	no_map(-EACCES, "read only");
	map.flags = VFM_MAP_READ;
	ck_assert_msg(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_iommu_unmap(m.iommu, map.iova, map.length, &err), 0);
	vfmi_context_sys(m.ctx)->ops = machine_ops;
	machine_close(&m);
}
END_TEST

START_TEST(iommufd_without_dma_bufs_cannot)
{
	struct vfm_map map = wish(PAGE);
	struct vfm_area area = { 0, PAGE };
	int fd = -1;

	start(VFM_BACKEND_IOMMUFD);
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.message, "dma-buf"));
	ck_assert_int_eq(vfm_device_region_export(m.dev[0], BAR, &area, 1, &fd, &err), -EOPNOTSUPP);
	ck_assert_int_eq(fd, -1);
	machine_close(&m);
}
END_TEST

START_TEST(parts_are_whole_pages_inside)
{
	struct vfm_area bad[] = {
		{ 0, 0 }, { 1, PAGE }, { 0, PAGE + 1 }, { 4u << 20, PAGE }, { UINT64_MAX - PAGE + 1, PAGE }
	};
	struct vfm_map map = wish(PAGE);
	int fd;

	start(VFM_BACKEND_TYPE1V2);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(bad); i++)
		ck_assert_int_eq(vfm_device_region_export(m.dev[0], BAR, &bad[i], 1, &fd, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_region_export(m.dev[0], BAR, bad, 0, &fd, &err), -EINVAL);
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 1, &map, &err), -EINVAL);
	map.flags |= VFM_MAP_FILE;
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], BAR, 0, &map, &err), -EINVAL);
	map = wish(PAGE);
	ck_assert_int_eq(vfm_iommu_map_region(m.iommu, m.dev[0], 0, 0, &map, &err), -EOPNOTSUPP); /* not mappable */
	machine_close(&m);
}
END_TEST

START_TEST(token_of_virtual_functions)
{
	const uint8_t token[16] = { 1, 2, 3 }, wrong[16] = { 1 };
	VFM_OPTS(vfm_open, open);

	start(VFM_BACKEND_TYPE1V2);
	machine_device(&m, 1, PF);
	open.name = VF;
	open.flags = VFM_OPEN_GROUP | VFM_OPEN_TOKEN;
	memcpy(open.vf_token, token, 16);
	ck_assert_int_eq(vfm_device_open_with(m.ctx, &open, &m.dev[2], &err), 0);
	ck_assert_int_eq(vfm_device_bind(m.dev[2], m.iommu, &err), -EACCES);
	ck_assert_int_eq(vfm_device_set_vf_token(m.dev[1], wrong, &err), 0);
	ck_assert_int_eq(vfm_device_bind(m.dev[2], m.iommu, &err), -EACCES);
	ck_assert_int_eq(vfm_device_set_vf_token(m.dev[1], token, &err), 0);
	ck_assert_msg(vfm_device_bind(m.dev[2], m.iommu, &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_device_set_vf_token(m.dev[0], token, &err), -EOPNOTSUPP);
	m.before.open_fds = machine_usage(&m).open_fds;
	machine_close(&m);
}
END_TEST

/* a kernel with dma-bufs */

static uint8_t asked[256];

static bool answer_dma_buf(unsigned long request, void *arg, int *r)
{
	const struct vfio_device_feature *feature = arg;

	if (request == VFIO_DEVICE_GET_REGION_INFO) {
		*(struct vfio_region_info *)arg = (struct vfio_region_info){ 32, 3, 0, 0, 1u << 20, 0 };
		*r = 0;
		return true;
	}
	if (request != VFIO_DEVICE_FEATURE ||
	    (feature->flags & VFIO_DEVICE_FEATURE_MASK) != VFIO_DEVICE_FEATURE_DMA_BUF)
		return false;
	ck_assert_uint_le(feature->argsz, sizeof(asked));
	memcpy(asked, arg, feature->argsz);
	*r = 177;
	return true;
}

START_TEST(export_asks_for_what_was_named)
{
	const struct vfm_area areas[] = { { 0, PAGE }, { 8 * PAGE, 2 * PAGE } };
	struct vfio_device_feature_dma_buf what;
	struct vfio_region_dma_range range;
	struct vfio_device_feature feature;
	int fd = -1;

	fake_setup();
	fake.hook = answer_dma_buf;
	ck_assert_msg(vfm_device_region_export(dev, 0, areas, 2, &fd, &error) == 0, "%s", error.message);
	ck_assert_int_eq(fd, 177);
	memcpy(&feature, asked, sizeof(feature));
	memcpy(&what, asked + sizeof(feature), sizeof(what));
	memcpy(&range, asked + sizeof(feature) + sizeof(what) + sizeof(range), sizeof(range));
	ck_assert_uint_eq(feature.flags, VFIO_DEVICE_FEATURE_DMA_BUF | VFIO_DEVICE_FEATURE_GET);
	ck_assert_uint_eq(feature.argsz, sizeof(feature) + sizeof(what) + 2 * sizeof(range));
	ck_assert_uint_eq(what.nr_ranges, 2);
	ck_assert_uint_eq(what.open_flags, O_RDWR | O_CLOEXEC);
	ck_assert_uint_eq(what.flags, 0);
	ck_assert_uint_eq(range.offset, 8 * PAGE);
	ck_assert_uint_eq(range.length, 2 * PAGE);
	fake_teardown();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_share");
	TCase *tc = tcase_create("share");

	tcase_add_test(tc, container_maps_a_region_by_address);
	tcase_add_test(tc, short_region_is_mapped_by_address);
	tcase_add_test(tc, refused_map_leaves_nothing);
	tcase_add_loop_test(tc, region_of_a_device_that_does_not_decode, 0, (int)VFMI_ARRAY_SIZE(silences));
	tcase_add_test(tc, region_of_a_device_that_sleeps);
	tcase_add_test(tc, region_that_needs_no_decode);
	tcase_add_test(tc, region_that_can_be_read_only);
	tcase_add_test(tc, iommufd_without_dma_bufs_cannot);
	tcase_add_test(tc, parts_are_whole_pages_inside);
	tcase_add_test(tc, token_of_virtual_functions);
	tcase_add_test(tc, export_asks_for_what_was_named);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
