// SPDX-License-Identifier: MIT
/* IOMMU groups and their container: what is undone when joining fails, who is refused, and adopting a container. */
#include "machine_fixture.h"

#define PAGE 4096u
#define PAIR "edu@" EDU_A ",group=100;edu@" EDU_B ",group=100"

static struct machine m;
static struct vfm_error err;
static struct vfm_iommu *space;
static uint8_t memory[PAGE] __attribute__((aligned(PAGE)));

static void start(const char *spec, uint32_t backend)
{
	VFM_OPTS(vfm_iommu_options, options);

	machine_start(&m, spec);
	m.before = machine_usage(&m);
	err = (struct vfm_error){ .size = sizeof(err) };
	options.backend = backend;
	ck_assert_msg(vfm_iommu_open(m.ctx, &options, &space, &err) == 0, "%s", err.message);
}

static void stop(void)
{
	vfm_iommu_close(space);
	machine_close(&m);
}

static int map_page(struct vfm_iommu *iommu)
{
	VFM_OPTS(vfm_map, map);

	map.flags = VFM_MAP_READ | VFM_MAP_WRITE;
	map.vaddr = memory;
	map.length = PAGE;
	return vfm_iommu_map(iommu, &map, &err);
}

static const struct {
	const char *call;
	int code;
	const char *word;
} failures[] = {
	{ "VFIO_GROUP_GET_STATUS", EFAULT, "status" },
	{ "VFIO_GROUP_SET_CONTAINER", EADDRINUSE, "mapped area" },
	{ "VFIO_GROUP_SET_CONTAINER", EPERM, "somebody else" },
	{ "VFIO_GROUP_SET_CONTAINER", ENOMEM, "RLIMIT_MEMLOCK" },
	{ "VFIO_SET_IOMMU", EPERM, "allow_unsafe_interrupts" },
	{ "VFIO_SET_IOMMU", ENODEV, "does not suit" },
	{ "VFIO_GROUP_GET_DEVICE_FD", EACCES, "token" },
	{ "VFIO_GROUP_GET_DEVICE_FD", EBUSY, "somebody else" },
	{ "VFIO_GROUP_GET_DEVICE_FD", ENODEV, "has gone" },
};

START_TEST(a_failed_start_leaves_nothing_joined)
{
	struct vfm_device *dev = NULL;

	start(PAIR, VFM_BACKEND_TYPE1V2);
	machine_fault(&m, failures[_i].call, VFM_SIM_FAULT_BEFORE, 1, 1, failures[_i].code);
	ck_assert_int_eq(vfm_device_open_attached(m.ctx, EDU_A, space, &dev, &err), -failures[_i].code);
	ck_assert_msg(strstr(err.message, failures[_i].word) != NULL, "%s", err.message);
	ck_assert_ptr_null(dev);
	ck_assert_int_eq(map_page(space), -EAGAIN); /* the container has no IOMMU (any more) */
	ck_assert_msg(vfm_device_open_attached(m.ctx, EDU_A, space, &dev, &err) == 0, "%s", err.message);
	ck_assert_msg(map_page(space) == 0, "%s", err.message);
	vfm_device_close(dev);
	stop();
}
END_TEST

START_TEST(one_group_is_in_one_container)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_device *a = NULL, *b = NULL;
	struct vfm_iommu *second = NULL;

	start(PAIR, VFM_BACKEND_TYPE1V2);
	options.backend = VFM_BACKEND_TYPE1V2;
	ck_assert_int_eq(vfm_iommu_open(m.ctx, &options, &second, &err), 0);
	ck_assert_int_eq(vfm_device_open_attached(m.ctx, EDU_A, space, &a, &err), 0);
	ck_assert_int_eq(vfm_device_open_attached(m.ctx, EDU_B, second, &b, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.message, "another container"));
	ck_assert_int_eq(vfm_device_open_attached(m.ctx, EDU_B, space, &b, &err), 0);
	ck_assert_int_eq(map_page(space), 0);
	/* with the first of them gone the group is still in */
	vfm_device_close(a);
	ck_assert_int_eq(map_page(space), 0);
	vfm_device_close(b);
	ck_assert_int_eq(map_page(space), -EAGAIN);
	vfm_iommu_close(second);
	stop();
}
END_TEST

START_TEST(another_context_does_not_get_the_group)
{
	struct vfm_device *a = NULL, *b = NULL;
	struct vfm_context *other = NULL;

	start(PAIR, VFM_BACKEND_TYPE1V2);
	ck_assert_int_eq(vfm_sim_context(m.sim, &other), 0);
	ck_assert_int_eq(vfm_device_open_attached(m.ctx, EDU_A, space, &a, &err), 0);
	ck_assert_int_eq(vfm_device_open_attached(other, EDU_B, space, &b, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.message, "has the group open"));
	vfm_device_close(a);
	vfm_context_free(other);
	stop();
}
END_TEST

static int adopt(uint32_t backend, int fd, struct vfm_iommu **ret)
{
	VFM_OPTS(vfm_iommu_adopt, from);

	from.backend = backend;
	from.fd = fd;
	return vfm_iommu_adopt(m.ctx, &from, ret, &err);
}

static const uint32_t containers[] = { VFM_BACKEND_TYPE1, VFM_BACKEND_TYPE1V2, VFM_BACKEND_COMPAT_TYPE1,
				       VFM_BACKEND_COMPAT_TYPE1V2 };

START_TEST(a_container_is_adopted_with_and_without_its_iommu)
{
	struct vfm_iommu *adopted = NULL;
	struct vfm_device *dev = NULL;

	start(PAIR, containers[_i]);
	ck_assert_msg(adopt(containers[_i], vfm_iommu_fd(space), &adopted) == 0, "%s", err.message);
	ck_assert_int_eq(map_page(adopted), -EAGAIN);
	vfm_iommu_close(adopted);
	ck_assert_int_eq(vfm_device_open_attached(m.ctx, EDU_A, space, &dev, &err), 0);
	ck_assert_msg(adopt(containers[_i], vfm_iommu_fd(space), &adopted) == 0, "%s", err.message);
	ck_assert_uint_eq(vfm_iommu_ioas_id(adopted), vfm_iommu_ioas_id(space));
	ck_assert_msg(map_page(adopted) == 0, "%s", err.message);
	vfm_iommu_close(adopted);
	vfm_device_close(dev);
	stop();
}
END_TEST

START_TEST(what_is_no_container_is_not_adopted)
{
	struct vfm_iommu *adopted = NULL;

	start(PAIR, VFM_BACKEND_TYPE1V2);
	ck_assert_int_eq(adopt(VFM_BACKEND_COMPAT_TYPE1V2, vfm_iommu_fd(space), &adopted), -EINVAL);
	ck_assert_int_eq(adopt(VFM_BACKEND_TYPE1V2, -1, &adopted), -EBADF);
	ck_assert_ptr_null(adopted);
	stop();
}
END_TEST

static uint64_t areas(struct vfm_iommu *iommu)
{
	VFM_OPTS(vfm_iommu_info, info);

	ck_assert_msg(vfm_iommu_info(iommu, &info, &err) == 0, "%s", err.message);
	return info.areas;
}

static struct vfm_device *enter(struct vfm_iommu *iommu, const char *name)
{
	struct vfm_device *dev = NULL;

	ck_assert_msg(vfm_device_open_attached(m.ctx, name, iommu, &dev, &err) == 0, "%s", err.message);
	return dev;
}

START_TEST(another_group_keeps_the_maps)
{
	struct vfm_iommu *adopted = NULL;
	struct vfm_device *a, *b;
	uint32_t maps;

	start(NULL, containers[_i]);
	a = enter(space, EDU_A);
	ck_assert_msg(adopt(containers[_i], vfm_iommu_fd(space), &adopted) == 0, "%s", err.message);
	b = enter(adopted, EDU_B);
	maps = machine_usage(&m).maps;
	ck_assert_int_eq(map_page(space), 0);
	vfm_device_close(a);
	ck_assert_uint_eq(machine_usage(&m).maps, maps + 1);
	ck_assert_uint_eq(areas(space), 1);
	ck_assert_int_eq(map_page(space), 0);
	a = enter(space, EDU_A);
	vfm_device_close(a);
	vfm_iommu_close(space);
	ck_assert_uint_eq(machine_usage(&m).maps, maps); /* the other device reaches none of it */
	ck_assert_int_eq(map_page(adopted), 0);
	vfm_device_close(b);
	vfm_iommu_close(adopted);
	space = NULL;
	stop();
}
END_TEST

START_TEST(whoever_comes_first_brings_the_iommu)
{
	struct vfm_iommu *adopted = NULL;
	struct vfm_device *a, *b;

	start(NULL, containers[_i]);
	ck_assert_msg(adopt(containers[_i], vfm_iommu_fd(space), &adopted) == 0, "%s", err.message);
	b = enter(adopted, EDU_B);
	ck_assert_int_eq(map_page(adopted), 0);
	a = enter(space, EDU_A);
	ck_assert_int_eq(map_page(space), 0);
	vfm_device_close(b);
	ck_assert_uint_eq(areas(adopted), 1);
	vfm_device_close(a);
	/* type1 took all maps along with the last group, whose ever they were */
	if (vfm_iommu_ioas_id(space) == 0) {
		ck_assert_uint_eq(areas(space), 0);
		ck_assert_int_eq(map_page(adopted), -EAGAIN);
		ck_assert_uint_eq(areas(adopted), 0);
	}
	b = enter(adopted, EDU_B);
	ck_assert_int_eq(map_page(adopted), 0);
	vfm_device_close(b);
	vfm_iommu_close(adopted);
	stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("iommu_group");
	TCase *tc = tcase_create("sim");

	tcase_add_loop_test(tc, a_failed_start_leaves_nothing_joined, 0, (int)(sizeof(failures) / sizeof(failures[0])));
	tcase_add_test(tc, one_group_is_in_one_container);
	tcase_add_test(tc, another_context_does_not_get_the_group);
	tcase_add_loop_test(tc, a_container_is_adopted_with_and_without_its_iommu, 0,
			    (int)(sizeof(containers) / sizeof(containers[0])));
	tcase_add_test(tc, what_is_no_container_is_not_adopted);
	tcase_add_loop_test(tc, another_group_keeps_the_maps, 0, (int)(sizeof(containers) / sizeof(containers[0])));
	tcase_add_loop_test(tc, whoever_comes_first_brings_the_iommu, 0,
			    (int)(sizeof(containers) / sizeof(containers[0])));
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
