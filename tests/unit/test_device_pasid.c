// SPDX-License-Identifier: MIT
/* PASIDs: attached beside the device, moved to page tables that allow it, taken away without a trace. */
#include "machine_fixture.h"

#define EDU "0000:0e:00.0"
#define PLAIN "0000:0f:00.0"
#define DEVICES "edu@" EDU ",pasid=8;edu@" PLAIN

static struct machine m;
static struct vfm_error err;

static void start(const char *spec)
{
	machine_start(&m, spec);
	err = (struct vfm_error){ .size = sizeof(err) };
	machine_device(&m, 0, EDU);
	m.before = machine_usage(&m);
}

START_TEST(attach_and_detach)
{
	uint32_t before;

	start("kernel=6.15;" DEVICES);
	before = vfm_device_pt_id(m.dev[0]);
	ck_assert_msg(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err) == 0, "%s", err.message);
	ck_assert_uint_ne(vfm_device_pt_id(m.dev[0]), before); /* moved to a page table for PASIDs */
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err), -EEXIST);
	ck_assert_msg(vfm_device_attach_pasid(m.dev[0], 8, m.iommu, &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_device_detach_pasid(m.dev[0], 7, &err), 0);
	ck_assert_int_eq(vfm_device_detach_pasid(m.dev[0], 7, &err), -ENOENT);
	/* more often than there are page tables in the machine: none is left behind */
	for (int i = 0; i < 100; i++) {
		ck_assert_msg(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err) == 0, "%s", err.message);
		ck_assert_int_eq(vfm_device_detach_pasid(m.dev[0], 7, &err), 0);
	}
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err), 0);
	machine_close(&m);
}
END_TEST

START_TEST(what_cannot_be)
{
	start("kernel=6.15;" DEVICES);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 0, m.iommu, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 1u << 20, m.iommu, &err), -EINVAL);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 256, m.iommu, &err), -EOPNOTSUPP); /* 8 bits */
	machine_device(&m, 1, PLAIN);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[1], 1, m.iommu, &err), -EOPNOTSUPP);
	m.before.open_fds = machine_usage(&m).open_fds;
	machine_close(&m);
}
END_TEST

/* Such a kernel says yes to a device that has none. */
START_TEST(no_pasids_whatever_the_kernel_says)
{
	start("kernel=7.2;" DEVICES);
	machine_device(&m, 1, PLAIN);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[1], 1, m.iommu, &err), -EOPNOTSUPP);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 256, m.iommu, &err), -EOPNOTSUPP);
	ck_assert_msg(vfm_device_attach_pasid(m.dev[0], 255, m.iommu, &err) == 0, "%s", err.message);
	m.before.open_fds = machine_usage(&m).open_fds;
	machine_close(&m);
}
END_TEST

/* Its own page table for PASIDs is still there when it comes back, and is moved to once more. */
START_TEST(device_that_was_detached_moves_again)
{
	uint32_t own;

	start("kernel=6.15;" DEVICES);
	ck_assert_msg(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err) == 0, "%s", err.message);
	own = vfm_device_pt_id(m.dev[0]);
	ck_assert_int_eq(vfm_device_detach(m.dev[0], &err), 0);
	ck_assert_int_eq(vfm_device_attach(m.dev[0], &err), -EINVAL); /* the kernel: not beside a PASID */
	ck_assert_int_eq(vfm_device_detach_pasid(m.dev[0], 7, &err), 0);
	ck_assert_msg(vfm_device_attach(m.dev[0], &err) == 0, "%s", err.message);
	ck_assert_uint_ne(vfm_device_pt_id(m.dev[0]), own);
	ck_assert_msg(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(vfm_device_pt_id(m.dev[0]), own);
	machine_close(&m);
}
END_TEST

/* What it writes through a page table for PASIDs nobody would see. */
START_TEST(dirty_tracking_is_not_lost_to_a_pasid)
{
	VFM_OPTS(vfm_iommu_options, options);
	VFM_OPTS(vfm_iommu_adopt, beside);
	VFM_OPTS(vfm_iommu_info, info);
	struct vfm_iommu *plain;
	uint32_t before;

	machine_start(&m, "kernel=6.15;edu@" EDU ",pasid=8,dirty=1");
	err = (struct vfm_error){ .size = sizeof(err) };
	vfm_iommu_close(m.iommu);
	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	ck_assert_int_eq(vfm_iommu_open(m.ctx, &options, &m.iommu, &err), 0);
	machine_device(&m, 0, EDU);
	m.before = machine_usage(&m);
	before = vfm_device_pt_id(m.dev[0]);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.message, "dirty"));
	/* nor by way of an address space that does not ask for it: the device itself would have to move */
	beside.backend = VFM_BACKEND_IOMMUFD;
	beside.beside = m.iommu;
	beside.ioas_id = vfm_iommu_ioas_id(m.iommu);
	ck_assert_msg(vfm_iommu_adopt(m.ctx, &beside, &plain, &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 7, plain, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.message, "dirty"));
	ck_assert_uint_eq(vfm_device_pt_id(m.dev[0]), before);
	ck_assert_int_eq(vfm_iommu_info(m.iommu, &info, &err), 0);
	ck_assert_uint_eq(info.flags, VFM_IOMMU_DIRTY_TRACKING);
	vfm_iommu_close(plain);
	machine_close(&m);
}
END_TEST

/* The third attach is the PASID's second: the device has moved by then. */
START_TEST(device_moves_back_when_nothing_came_of_it)
{
	uint32_t before;

	start("kernel=6.15;" DEVICES);
	before = vfm_device_pt_id(m.dev[0]);
	machine_fault(&m, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", VFM_SIM_FAULT_BEFORE, 3, 1, ENOMEM);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err), -ENOMEM);
	ck_assert_uint_eq(vfm_sim_faults_hit(m.sim), 1);
	ck_assert_uint_eq(vfm_device_pt_id(m.dev[0]), before);
	ck_assert_int_eq(vfm_device_detach_pasid(m.dev[0], 7, &err), -ENOENT);
	ck_assert_msg(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err) == 0, "%s", err.message);
	machine_close(&m);
}
END_TEST

START_TEST(older_kernel_is_told)
{
	start("kernel=6.12;" DEVICES);
	ck_assert_int_eq(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(err.message, "6.15"));
	machine_close(&m);
}
END_TEST

/* Closing a duplicate ends nothing in the kernel, so that has to be done before. */
START_TEST(borrowers_pasid_goes_with_its_object)
{
	struct vfm_device *again;

	start("kernel=7.2;" DEVICES);
	/* more often than there are page tables in the machine */
	for (int i = 0; i < 100; i++) {
		VFM_OPTS(vfm_adopt, adopt);

		adopt.device_fd = vfm_device_fd(m.dev[0]);
		adopt.iommufd = vfm_iommu_fd(m.iommu);
		adopt.ioas_id = vfm_iommu_ioas_id(m.iommu);
		adopt.devid = vfm_device_id(m.dev[0]);
		adopt.pt_id = vfm_device_pt_id(m.dev[0]);
		adopt.backend = VFM_BACKEND_IOMMUFD;
		ck_assert_msg(vfm_device_adopt(m.ctx, &adopt, &again, &err) == 0, "%s", err.message);
		ck_assert_msg(vfm_device_attach_pasid(again, 7, vfm_device_iommu(again), &err) == 0, "%s", err.message);
		vfm_device_close(again);
		/* not beside a PASID, so there is none */
		ck_assert_msg(vfm_device_attach(m.dev[0], &err) == 0, "%s", err.message);
	}
	ck_assert_msg(vfm_device_attach_pasid(m.dev[0], 7, m.iommu, &err) == 0, "%s", err.message);
	machine_close(&m);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_pasid");
	TCase *tc = tcase_create("sim");

	tcase_add_test(tc, attach_and_detach);
	tcase_add_test(tc, what_cannot_be);
	tcase_add_test(tc, no_pasids_whatever_the_kernel_says);
	tcase_add_test(tc, device_that_was_detached_moves_again);
	tcase_add_test(tc, dirty_tracking_is_not_lost_to_a_pasid);
	tcase_add_test(tc, device_moves_back_when_nothing_came_of_it);
	tcase_add_test(tc, borrowers_pasid_goes_with_its_object);
	tcase_add_test(tc, older_kernel_is_told);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
