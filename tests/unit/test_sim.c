/* SPDX-License-Identifier: MIT */
/* The simulated machine as a kernel: descriptions, paths, features, time, faults. Devices: test_sim_device.c. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sim_raw.h"

#define SPEC "edu@" EDU_A ",state=256k;edu@" EDU_B ",state=256k;mtty@" MTTY_A ";mtty@" MTTY_B

static struct raw m;

/* descriptions */

static int describe(const char *spec, char message[256])
{
	struct vfm_sim *sim = NULL;
	int r = vfm_sim_open(NULL, spec, &sim, message, 256);

	vfm_sim_close(sim);
	return r;
}

START_TEST(good_descriptions)
{
	static const char *const specs[] = {
		"mtty",
		"edu",
		"mlx5;hisi_acc;nvgrace-gpu",
		"edu@0000:81:1f.7,state=4k",
		"edu,state=1;mlx5,state=64",
		"edu,state=0x1000,flags=1,chunk=1,precopy=0,arc=5ms,rate=1g,fail-arc=2",
		"edu,state=128g",
		"mtty,ports=1",
		"hisi_acc,version=1",
		"nvme@0000:05:00.0;mtty@ABCDEF00-0000-4000-8000-000000000000",
		"kernel=7.1,iommufd=0,memlock=8m,entries=100;edu,group=50,dirty=1,pasid=20",
		"noiommu=1,cdev=0;containers=1;edu,iommu=0",
	};
	char message[256];

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(specs); i++)
		ck_assert_msg(describe(specs[i], message) == 0, "%s: %s", specs[i], message);
}
END_TEST

START_TEST(bad_descriptions)
{
	static const char *const specs[] = {
		"",
		";",
		"edv",
		"edu@",
		"edu@1:2.3",
		"edu@0000:01:00.8",
		"mtty@0000:01:00.0",
		"edu@0000:01:00.0;edu@0000:01:00.0",
		"edu,state",
		"edu,state=",
		"edu,state=0",
		"nvgrace-gpu,state=4095",
		"edu,state=1t",
		"edu,state=129g",
		"edu,state=-4096",
		"edu,state=99999999999999999999",
		"edu,state=18446744073709551615k",
		"mtty,state=4k",
		"edu,flags=0",
		"edu,flags=2",
		"edu,flags=8",
		"nvgrace-gpu,flags=1",
		"mtty,ports=0",
		"mtty,ports=3",
		"hisi_acc,version=3",
		"edu,version=1",
		"edu,arc=5",
		"edu,arc=5m",
		"edu,arc=99999999999999s",
		"edu,rate=1",
		"edu,precopy=1",
		"edu,colour=blue",
		"colour=blue;edu",
		"kernel=6;edu",
		"kernel=6.x;edu",
		"iommufd=2;edu",
		"iommufd=0,x;edu",
		"entries=0;edu",
		"memlock=;edu",
		"edu,group=a",
		"edu,pasid=21",
		"edu,dirty=2",
		"mtty,dirty=1",
		"edu,iommu=0",
		"noiommu=1;mtty,iommu=0",
		"containers=0,noiommu=1;edu,iommu=0",
	};
	char message[256];

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(specs); i++) {
		message[0] = '\0';
		ck_assert_msg(describe(specs[i], message) == -EINVAL, "'%s' was taken", specs[i]);
		ck_assert_msg(message[0], "'%s': no word about it", specs[i]);
	}
	ck_assert_int_eq(vfm_sim_open(NULL, "edv", &m.sim, NULL, 0), -EINVAL);
}
END_TEST

START_TEST(number_of_devices_is_bounded)
{
	char spec[32 * 8] = "", message[256];

	for (unsigned int i = 0; i < 31; i++)
		strcat(spec, "mtty;");
	ck_assert_int_eq(describe(spec, message), 0);
	strcat(spec, "mtty;");
	ck_assert_int_eq(describe(spec, message), -EINVAL);
}
END_TEST

static void start(void)
{
	raw_start(&m, NULL, SPEC);
}

/* paths */

static void check_text(const char *path, const char *expected)
{
	char buf[256];

	ck_assert_msg(vfmi_sys_read_file(m.sys, path, buf, sizeof(buf)) >= 0, "%s", path);
	ck_assert_str_eq(buf, expected);
}

START_TEST(paths_are_read)
{
	char target[256] = "";
	struct stat st;

	check_text("/sys/bus/pci/devices/" EDU_A "/vendor", "0x1234");
	check_text("/sys/bus/pci/devices/" EDU_A "/device", "0x11e8");
	check_text("/sys/bus/pci/devices/" EDU_A "/class", "0x00ff00");
	check_text("/sys/bus/pci/devices/" EDU_A "/revision", "0x10");
	check_text("/sys/bus/pci/devices/" EDU_A "/vfio-dev/vfio0/dev", "511:0");
	check_text("/sys/class/vfio-dev/vfio2/dev", "511:2");
	check_text("/sys/class/vfio-dev/vfio2/device/mdev_type/name", "Dual port serial");
	check_text("/sys/bus/pci/devices/../../pci/./devices//" EDU_A "/vendor", "0x1234");
	check_text("/sys/kernel/debug/vfio/" EDU_A "/migration/state", "RUNNING");
	ck_assert_int_gt(m.sys->ops->readlink(m.sys, "/sys/bus/pci/devices/" EDU_B "/driver", target, 255), 0);
	ck_assert_str_eq(strrchr(target, '/'), "/vfiomig_edu");
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/dev/vfio/devices/vfio1", &st), 0);
	ck_assert(S_ISCHR(st.st_mode) && st.st_rdev == makedev(511, 1));
	ck_assert_int_eq(m.sys->ops->lstat(m.sys, "/sys/bus/pci/devices/" EDU_A, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/bus/pci/devices/" EDU_A, &st), 0);
	ck_assert(S_ISDIR(st.st_mode));
	raw_stop(&m, 0);
}
END_TEST

START_TEST(paths_that_are_not_there)
{
	struct stat st;
	char buf[8];

	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/bus/pci/devices/0000:07:00.0", &st), -ENOENT);
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/devices/vfio4"), -ENOENT);
	ck_assert_int_eq(raw_open(&m, "/dev/vfio/devices"), -EISDIR);
	ck_assert_int_eq(raw_open(&m, "/dev/iommu/x"), -ENOTDIR);
	ck_assert_int_eq(raw_open(&m, "/sys/bus/pci/devices/" EDU_A "/vendor"), -EACCES);
	ck_assert_int_eq(m.sys->ops->readlink(m.sys, "/sys/bus/pci/devices/" EDU_A "/vendor", buf, 8), -EINVAL);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/kernel/debug/vfio/0000:00:04.0", &st), -ENOENT);
	/* What a VFIO driver is not bound to has no cdev. */
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/bus/pci/devices/0000:00:04.0", &st), 0);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/bus/pci/devices/0000:00:04.0/vfio-dev", &st), -ENOENT);
	raw_stop(&m, 0);
}
END_TEST

static int count_name(void *user, const char *name)
{
	ck_assert(!strchr(name, '/'));
	++*(unsigned int *)user;
	return 0;
}

static int stop_walk(void *user, const char *name)
{
	(void)user;
	(void)name;
	return 77;
}

START_TEST(directories_are_listed)
{
	unsigned int count = 0;

	ck_assert_int_eq(m.sys->ops->listdir(m.sys, "/sys/bus/pci/devices", count_name, &count), 0);
	ck_assert_uint_eq(count, 3);
	count = 0;
	ck_assert_int_eq(m.sys->ops->listdir(m.sys, "/sys/bus/pci/devices/" EDU_A "/vfio-dev", count_name, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(m.sys->ops->listdir(m.sys, "/sys/bus/pci/devices", stop_walk, NULL), 77);
	ck_assert_int_eq(m.sys->ops->listdir(m.sys, "/sys/bus/pci/devices/" EDU_A "/vendor", count_name, &count),
			 -ENOTDIR);
	ck_assert_int_eq(m.sys->ops->listdir(m.sys, "/sys/nothing", count_name, &count), -ENOENT);
	raw_stop(&m, 0);
}
END_TEST

/* time */

START_TEST(sleeping_costs_virtual_time_only)
{
	uint64_t begin = m.sys->ops->now_ns(m.sys), wall = m.sys->ops->wall_s(m.sys);

	m.sys->ops->sleep_ns(m.sys, 3600ull * 1000000000);
	ck_assert_uint_eq(m.sys->ops->now_ns(m.sys), begin + 3600ull * 1000000000);
	ck_assert_uint_eq(m.sys->ops->wall_s(m.sys), wall + 3600);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(poll_waits_on_virtual_and_real_descriptors)
{
	int event = m.sys->ops->eventfd(m.sys, 0, 0), fd = raw_device(&m, 0);
	struct pollfd fds[2] = { { .fd = event, .events = POLLIN } };
	uint64_t begin = vfm_sim_now_ns(m.sim), one = 1;

	ck_assert_int_eq(m.sys->ops->poll(m.sys, fds, 1, 20), 0);
	ck_assert_uint_ge(vfm_sim_now_ns(m.sim), begin + 15000000);
	ck_assert_int_eq(raw_write(&m, event, &one, 8), 8);
	fds[1] = (struct pollfd){ .fd = raw_session(&m, fd, VFIO_DEVICE_STATE_STOP_COPY), .events = POLLIN };
	ck_assert_int_eq(m.sys->ops->poll(m.sys, fds, 2, -1), 2);
	raw_close(&m, fds[1].fd);
	raw_close(&m, event);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* features */

START_TEST(feature_rules)
{
	int fd = raw_device(&m, 0), mtty = raw_device(&m, 2);
	const uint32_t get = VFIO_DEVICE_FEATURE_GET, set = VFIO_DEVICE_FEATURE_SET, probe = VFIO_DEVICE_FEATURE_PROBE;
	uint64_t data = 0;

	ck_assert_int_eq(raw_feature(&m, fd, 1 | 1u << 19, &data, 8), -EINVAL);
	ck_assert_int_eq(raw_feature(&m, fd, 1 | get | set, &data, 8), -EINVAL);
	ck_assert_int_eq(raw_feature(&m, fd, 99 | get, &data, 8), -ENOTTY);
	ck_assert_int_eq(raw_feature(&m, fd, 99 | probe, &data, 8), -ENOTTY);
	ck_assert_int_eq(raw_feature(&m, fd, 12 | set | probe, &data, 8), -ENOTTY);
	ck_assert_int_eq(raw_feature(&m, fd, 1 | set, &data, 8), -EINVAL);
	ck_assert_int_eq(raw_feature(&m, fd, 1 | set | probe, &data, 8), -EINVAL);
	ck_assert_int_eq(raw_feature(&m, fd, 1 | probe, &data, 0), 0);
	ck_assert_int_eq(raw_feature(&m, fd, 2 | get | set | probe, &data, 0), 0);
	ck_assert_int_eq(raw_feature(&m, fd, 1, &data, 8), -EINVAL);
	ck_assert_int_eq(raw_feature(&m, fd, 1 | get, &data, 7), -EINVAL);
	ck_assert_int_eq(raw_feature(&m, fd, 1 | get, &data, 8), 0);
	ck_assert_uint_eq(data, 7);
	ck_assert_int_eq(raw_feature(&m, fd, 9 | get, &data, 8), 0);
	ck_assert_uint_eq(data, 32 + 4 * (16 + 65536) + 16 + 112 + 16);
	ck_assert_int_eq(raw_feature(&m, mtty, 9 | get, &data, 8), 0);
	ck_assert_uint_eq(data, 96);
	raw_close(&m, mtty);
	raw_close(&m, fd);
	raw_stop(&m, 2);
}
END_TEST

/* faults */

static void fault(const char *op, uint32_t mode, uint64_t call, uint64_t count, int error)
{
	const struct vfm_sim_fault plan = {
		.size = sizeof(plan), .mode = mode, .call = call, .count = count, .error = error, .op = op
	};

	ck_assert_int_eq(vfm_sim_set_faults(m.sim, &plan, 1), 0);
}

START_TEST(fault_plans_are_checked)
{
	struct vfm_sim_fault plan = { .size = sizeof(plan), .mode = 1, .call = 1, .count = 1 };

	ck_assert_int_eq(vfm_sim_set_faults(m.sim, &plan, 1), 0);
	plan.mode = 0;
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, &plan, 1), -EINVAL);
	plan.mode = 4;
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, &plan, 1), -EINVAL);
	plan.mode = 1;
	plan.call = 0;
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, &plan, 1), -EINVAL);
	plan.call = 1;
	plan.count = 0;
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, &plan, 1), -EINVAL);
	plan.count = 1;
	plan.size = 8;
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, &plan, 1), -EINVAL);
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(faults_are_counted)
{
	struct stat st;

	fault("stat", VFM_SIM_FAULT_BEFORE, 2, 2, EPERM);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys", &st), 0);
	ck_assert_int_eq(m.sys->ops->lstat(m.sys, "/sys", &st), 0);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys", &st), -EPERM);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/", &st), -EPERM);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys", &st), 0);
	ck_assert_uint_eq(vfm_sim_faults_hit(m.sim), 2);
	ck_assert_str_eq(vfm_sim_last_fault(m.sim), "stat");
	ck_assert_uint_eq(raw_usage(&m).calls, 5);
	fault(NULL, VFM_SIM_FAULT_BEFORE, 3, UINT64_MAX, 0);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys", &st), 0);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys", &st), 0);
	for (unsigned int i = 0; i < 10; i++)
		ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys", &st), -EACCES);
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
	ck_assert_uint_eq(vfm_sim_faults_hit(m.sim), 0);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(fault_before_has_no_effect)
{
	int fd = raw_device(&m, 0);

	fault("VFIO_DEVICE_FEATURE(MIG_DEVICE_STATE).SET", VFM_SIM_FAULT_BEFORE, 1, 1, 0);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_STOP, NULL), -EIO);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING);
	ck_assert_str_eq(vfm_sim_last_fault(m.sim), "VFIO_DEVICE_FEATURE(MIG_DEVICE_STATE)");
	fault("open", VFM_SIM_FAULT_BEFORE, 1, 1, 0);
	ck_assert_int_eq(raw_open(&m, "/dev/iommu"), -EMFILE);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(fault_after_has_its_effect)
{
	int fd = raw_device(&m, 0), data_fd, file = memfd_create("file", MFD_CLOEXEC);
	struct vfm_sim_usage before = raw_usage(&m);
	char buf[8];

	/* The state moves, the descriptor does not come: EMFILE after the arc. */
	fault("VFIO_DEVICE_FEATURE", VFM_SIM_FAULT_AFTER, 1, 1, EMFILE);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_PRE_COPY, &data_fd), -EMFILE);
	ck_assert_int_eq(data_fd, -2); /* nothing is copied out either */
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_PRE_COPY);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_RUNNING, NULL), 0);
	fault("open", VFM_SIM_FAULT_AFTER, 1, 1, 0);
	ck_assert_int_eq(raw_open(&m, "/dev/iommu"), -EMFILE);
	fault("eventfd", VFM_SIM_FAULT_AFTER, 1, 1, 0);
	ck_assert_int_eq(m.sys->ops->eventfd(m.sys, 0, 0), -EMFILE);
	fault("write", VFM_SIM_FAULT_AFTER, 1, 1, EIO);
	ck_assert_int_eq(raw_write(&m, file, "abcdefgh", 8), -EIO);
	ck_assert_int_eq(pread(file, buf, 8, 0), 8);
	ck_assert_uint_eq(raw_usage(&m).open_fds, before.open_fds);
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
	close(file);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(fault_partial_has_half)
{
	int fd = raw_device(&m, 0), file = memfd_create("file", MFD_CLOEXEC);
	unsigned int names = 0;

	fault("ioctl", VFM_SIM_FAULT_PARTIAL, 1, 1, 0);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_STOP, NULL), -EIO);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING_P2P);
	fault("ioctl", VFM_SIM_FAULT_PARTIAL, 1, 1, 0);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_RUNNING, NULL), -EIO);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING_P2P);
	fault("write", VFM_SIM_FAULT_PARTIAL, 1, UINT64_MAX, 0);
	ck_assert_int_eq(raw_write(&m, file, "abcdefgh", 8), 4);
	ck_assert_int_eq(raw_write(&m, file, "a", 1), -EIO);
	fault("listdir", VFM_SIM_FAULT_PARTIAL, 1, 1, 0);
	ck_assert_int_eq(m.sys->ops->listdir(m.sys, "/sys/bus/pci/devices", count_name, &names), -EIO);
	ck_assert_uint_eq(names, 1);
	ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
	close(file);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

/* strictness and pokes */

START_TEST(double_close_is_noticed)
{
	int fd = raw_open(&m, "/dev/iommu");

	raw_close(&m, fd);
	ck_assert_int_eq(m.sys->ops->close(m.sys, fd), -EBADF);
	ck_assert_ptr_nonnull(strstr(vfm_sim_strict_message(m.sim), "not open"));
	raw_stop(&m, 1);
}
END_TEST

START_TEST(pokes)
{
	static const char *const bad[] = { "",	    "resets", "dirty=",	 "dirty=x", "dirty=262145", "irq=",
					   "irq=1", "irq=1:", "irq=1:9", "irq=9:0", "fail-arc=",    "fail-arc=-1" };
	int fd = raw_device(&m, 0), data_fd;
	struct stat st;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(bad); i++)
		ck_assert_msg(vfm_sim_poke(m.sim, EDU_A, bad[i]) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(vfm_sim_poke(m.sim, "0000:09:00.0", "reset"), -ENODEV);
	data_fd = raw_session(&m, fd, VFIO_DEVICE_STATE_PRE_COPY);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "reset"), 0);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING);
	ck_assert_int_eq(raw_read(&m, data_fd, &st, sizeof(st)), -ENODEV);
	raw_close(&m, data_fd);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_A, "error"), 0);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_ERROR);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_STOP, NULL), -EINVAL);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_ERROR, NULL), -EINVAL);
	ck_assert_int_eq(raw_ioctl(&m, fd, VFIO_DEVICE_RESET, NULL), 0);
	ck_assert_int_eq(vfm_sim_poke(m.sim, "vfio0", "fail-arc=2"), 0);
	ck_assert_int_eq(raw_set(&m, fd, VFIO_DEVICE_STATE_STOP, NULL), -EIO);
	ck_assert_uint_eq(raw_state(&m, fd), VFIO_DEVICE_STATE_RUNNING_P2P);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_B, "unplug"), 0);
	ck_assert_int_eq(m.sys->ops->stat(m.sys, "/sys/bus/pci/devices/" EDU_B, &st), -ENOENT);
	raw_close(&m, fd);
	raw_stop(&m, 0);
}
END_TEST

START_TEST(every_call_of_the_seam_is_answered)
{
	const char *table = (const char *)m.sys->ops;
	void *slot;

	for (size_t at = 0; at < sizeof(*m.sys->ops); at += sizeof(slot)) {
		memcpy(&slot, table + at, sizeof(slot));
		ck_assert_msg(slot, "slot %u of struct vfmi_sys_ops is empty", (unsigned int)(at / sizeof(slot)));
	}
	raw_stop(&m, 0);
}
END_TEST

static void add_all(Suite *suite)
{
	TCase *specs = tcase_create("descriptions"), *running = tcase_create("machine");

	suite_add_tcase(suite, specs);
	suite_add_tcase(suite, running);
	tcase_add_checked_fixture(running, start, NULL);
	tcase_set_timeout(running, 30);
	tcase_add_test(specs, good_descriptions);
	tcase_add_test(specs, bad_descriptions);
	tcase_add_test(specs, number_of_devices_is_bounded);
	tcase_add_test(running, paths_are_read);
	tcase_add_test(running, paths_that_are_not_there);
	tcase_add_test(running, directories_are_listed);
	tcase_add_test(running, sleeping_costs_virtual_time_only);
	tcase_add_test(running, poll_waits_on_virtual_and_real_descriptors);
	tcase_add_test(running, feature_rules);
	tcase_add_test(running, fault_plans_are_checked);
	tcase_add_test(running, faults_are_counted);
	tcase_add_test(running, fault_before_has_no_effect);
	tcase_add_test(running, fault_after_has_its_effect);
	tcase_add_test(running, fault_partial_has_half);
	tcase_add_test(running, double_close_is_noticed);
	tcase_add_test(running, pokes);
	tcase_add_test(running, every_call_of_the_seam_is_answered);
}

int main(void)
{
	Suite *suite = suite_create("sim");

	add_all(suite);
	return run_suite(suite);
}
