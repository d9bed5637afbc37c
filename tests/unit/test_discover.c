/* SPDX-License-Identifier: MIT */
/* Discovery over a /sys and /dev made in a temporary folder: what is found, under which names, and what lies. */
#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "internal.h"
#include "suite.h"

#define EDU "0000:01:00.0"
#define UUID "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define CDEV_MAJOR 511u

static char root[64];
static struct vfmi_sys_ops ops;
static struct vfmi_sys fake = { .ops = &ops };
static struct vfm_context *ctx;
static unsigned int devices_opened;
static dev_t node_number[4]; /* of /dev/vfio/devices/vfioN; 0: no such node */
static int listing_fails;

/* the seam: paths are looked up below @root */

static const char *below(const char *path, char *buf)
{
	snprintf(buf, 600, "%s%s", root, path);
	return buf;
}

static int fake_open(struct vfmi_sys *sys, const char *path, int flags, mode_t mode)
{
	char real[600];

	devices_opened += !strncmp(path, "/dev/", 5);
	return vfmi_sys_libc.ops->open(sys, below(path, real), flags, mode);
}

static int fake_stat(struct vfmi_sys *sys, const char *path, struct stat *st)
{
	char real[600];
	unsigned int number;

	if (sscanf(path, "/dev/vfio/devices/vfio%u", &number) != 1)
		return vfmi_sys_libc.ops->stat(sys, below(path, real), st);
	if (number >= VFMI_ARRAY_SIZE(node_number) || !node_number[number])
		return -ENOENT;
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFCHR | 0600;
	st->st_rdev = node_number[number];
	return 0;
}

static ssize_t fake_readlink(struct vfmi_sys *sys, const char *path, char *buf, size_t room)
{
	char real[600];

	return vfmi_sys_libc.ops->readlink(sys, below(path, real), buf, room);
}

static int fake_listdir(struct vfmi_sys *sys, const char *path, vfmi_listdir_fn *fn, void *user)
{
	char real[600];

	return listing_fails ? listing_fails : vfmi_sys_libc.ops->listdir(sys, below(path, real), fn, user);
}

/* making a tree */

#define SOFT "vfiomig_soft.0"

static void make_parents(char *path)
{
	for (char *slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
}

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[600];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s/%s", root, dir, name);
	make_parents(path);
	file = fopen(path, "w");
	ck_assert_msg(file != NULL, "%s", path);
	fputs(text, file);
	fclose(file);
}

static void put_link(const char *dir, const char *name, const char *target)
{
	char path[600];

	snprintf(path, sizeof(path), "%s%s/%s", root, dir, name);
	make_parents(path);
	unlink(path);
	ck_assert_int_eq(symlink(target, path), 0);
}

static void drop(const char *dir, const char *name)
{
	char path[600];

	snprintf(path, sizeof(path), "%s%s/%s", root, dir, name);
	ck_assert_int_eq(unlink(path), 0);
}

static void put_vfio(const char *dir, const char *parent, unsigned int number)
{
	char name[64];
	char target[128];
	char text[32];

	snprintf(name, sizeof(name), "vfio-dev/vfio%u", number);
	snprintf(text, sizeof(text), "%u:%u\n", CDEV_MAJOR, number);
	strcat(name, "/dev");
	put_file(dir, name, text);
	snprintf(name, sizeof(name), "/sys/class/vfio-dev/vfio%u", number);
	snprintf(target, sizeof(target), "../../../%s", parent);
	put_link(name, "device", target);
	node_number[number] = makedev(CDEV_MAJOR, number);
}

static void put_pci(const char *address, const char *driver)
{
	char dir[128];
	char target[128];

	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s", address);
	put_file(dir, "vendor", "0x1234\n");
	put_file(dir, "device", "0x11e8\n");
	put_file(dir, "subsystem_vendor", "0x1af4\n");
	put_file(dir, "subsystem_device", "0x1100\n");
	put_file(dir, "class", "0x00ff00\n");
	put_file(dir, "revision", "0x10\n");
	put_link(dir, "iommu_group", "../../../kernel/iommu_groups/7");
	snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
	if (driver[0])
		put_link(dir, "driver", target);
}

static void put_mdev(const char *uuid)
{
	char dir[128];

	snprintf(dir, sizeof(dir), "/sys/bus/mdev/devices/%s", uuid);
	put_link(dir, "driver", "../../../../bus/mdev/drivers/vfio_mtty");
	put_link(dir, "mdev_type", "../mdev_supported_types/mtty-2");
	put_link(dir, "iommu_group", "../../../../kernel/iommu_groups/12");
}

/* On a bus whose names have no form of their own; @number: of its vfioN. */
static void put_platform(const char *name, const char *driver, unsigned int number)
{
	char dir[128];
	char target[128];

	snprintf(dir, sizeof(dir), "/sys/bus/platform/devices/%s", name);
	snprintf(target, sizeof(target), "../../../bus/platform/drivers/%s", driver);
	put_link(dir, "driver", target);
	put_link(dir, "subsystem", "../../../bus/platform");
	put_link(dir, "iommu_group", "../../../kernel/iommu_groups/3");
	put_vfio(dir, name, number);
	/* as in sysfs, "device" leads to the folder of the device */
	snprintf(dir, sizeof(dir), "/sys/class/vfio-dev/vfio%u", number);
	snprintf(target, sizeof(target), "../../../bus/platform/devices/%s", name);
	put_link(dir, "device", target);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void setup(void)
{
	snprintf(root, sizeof(root), "/tmp/vfiomig-sysfs-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	ops = *vfmi_sys_libc.ops;
	ops.open = fake_open;
	ops.stat = fake_stat;
	ops.readlink = fake_readlink;
	ops.listdir = fake_listdir;
	ck_assert_int_eq(vfmi_context_new_on(&fake, &ctx), 0);
	put_pci("0000:00:1f.2", "ahci");
	put_pci("0000:00:02.0", "");
	put_pci(EDU, "vfiomig_edu");
	put_vfio("/sys/bus/pci/devices/" EDU, EDU, 0);
	put_mdev(UUID);
	put_vfio("/sys/bus/mdev/devices/" UUID, UUID, 1);
}

static void teardown(void)
{
	ck_assert_uint_eq(devices_opened, 0);
	vfm_context_free(ctx);
	nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* tests */

static int find(const char *name, struct vfm_candidate *ret, const char *complaint)
{
	VFM_OPTS(vfm_error, err);
	int r;

	ret->size = sizeof(*ret);
	r = vfm_find(ctx, name, ret, &err);
	if (complaint) {
		ck_assert_msg(r < 0, "%s was found", name);
		ck_assert_msg(strstr(err.message, complaint), "%s: %s", name, err.message);
	} else {
		ck_assert_msg(r == 0, "%s: %s", name, err.message);
	}
	return r;
}

START_TEST(test_pci)
{
	struct vfm_candidate c;

	find(EDU, &c, NULL);
	ck_assert_uint_eq(c.flags, VFM_CANDIDATE_CDEV | VFM_CANDIDATE_GROUP | VFM_CANDIDATE_VFIO);
	ck_assert_uint_eq(c.iommu_group, 7);
	ck_assert_uint_eq(c.state, VFM_STATE_UNKNOWN);
	ck_assert_str_eq(c.cdev, "/dev/vfio/devices/vfio0");
	ck_assert_str_eq(c.sysfs, "/sys/bus/pci/devices/" EDU);
	ck_assert_str_eq(c.identity.name, EDU);
	ck_assert_str_eq(c.identity.driver, "vfiomig_edu");
	ck_assert_str_eq(c.identity.mdev_type, "");
	ck_assert_uint_ne(c.identity.kernel[0], 0);
	ck_assert_uint_eq(c.identity.flags, VFM_IDENTITY_PCI | VFM_IDENTITY_SUBSYSTEM | VFM_IDENTITY_REVISION);
	ck_assert_uint_eq(c.identity.pci_vendor, 0x1234);
	ck_assert_uint_eq(c.identity.pci_device, 0x11e8);
	ck_assert_uint_eq(c.identity.pci_subvendor, 0x1af4);
	ck_assert_uint_eq(c.identity.pci_subdevice, 0x1100);
	ck_assert_uint_eq(c.identity.pci_class, 0xff00);
	ck_assert_uint_eq(c.identity.pci_revision, 0x10);
}
END_TEST

START_TEST(test_mdev)
{
	struct vfm_candidate c;

	find(UUID, &c, NULL);
	ck_assert_uint_eq(c.flags, VFM_CANDIDATE_CDEV | VFM_CANDIDATE_GROUP | VFM_CANDIDATE_VFIO | VFM_CANDIDATE_MDEV);
	ck_assert_str_eq(c.identity.mdev_type, "mtty-2");
	ck_assert_str_eq(c.identity.driver, "vfio_mtty");
	ck_assert_uint_eq(c.identity.flags, 0);
	ck_assert_str_eq(c.cdev, "/dev/vfio/devices/vfio1");
}
END_TEST

START_TEST(test_platform)
{
	const char *names[] = { SOFT, "vfio2", "/dev/vfio/devices/vfio2" };
	struct vfm_candidate c;

	put_platform(SOFT, "vfiomig_soft", 2);
	/* such files of another bus mean something else */
	put_file("/sys/bus/platform/devices/" SOFT, "vendor", "0x1234\n");
	put_file("/sys/bus/platform/devices/" SOFT, "device", "0x5678\n");
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(names); i++) {
		find(names[i], &c, NULL);
		ck_assert_uint_eq(c.flags, VFM_CANDIDATE_CDEV | VFM_CANDIDATE_GROUP | VFM_CANDIDATE_VFIO);
		ck_assert_uint_eq(c.iommu_group, 3);
		ck_assert_str_eq(c.cdev, "/dev/vfio/devices/vfio2");
		ck_assert_str_eq(c.sysfs, "/sys/bus/platform/devices/" SOFT);
		ck_assert_str_eq(c.identity.name, SOFT);
		ck_assert_str_eq(c.identity.driver, "vfiomig_soft");
		ck_assert_str_eq(c.identity.mdev_type, "");
		ck_assert_uint_ne(c.identity.kernel[0], 0);
		ck_assert_uint_eq(c.identity.flags, 0);
		ck_assert_uint_eq(c.identity.pci_vendor, 0);
	}
	find("vfiomig_soft.1", &c, "or other device");
	find("vfiomig_soft", &c, "or other device");
	find("/sys/bus/platform/devices/" SOFT, &c, "or other device");
	/* it needs no driver with a telling name, and without a node there is its group */
	put_platform("gpu-slice", "other", 3);
	drop("/sys/bus/platform/devices/gpu-slice/vfio-dev/vfio3", "dev");
	find("gpu-slice", &c, NULL);
	ck_assert_uint_eq(c.flags, VFM_CANDIDATE_GROUP | VFM_CANDIDATE_VFIO);
	put_file("/sys/kernel/debug/vfio/" SOFT "/migration", "state", "RUNNING\n");
	find(SOFT, &c, NULL);
	ck_assert_uint_eq(c.flags & VFM_CANDIDATE_MIGRATES, VFM_CANDIDATE_MIGRATES);
	ck_assert_uint_eq(c.state, VFM_STATE_RUNNING);
}
END_TEST

START_TEST(test_names)
{
	const char *edu[] = { EDU, "01:00.0", "00000000:01:00.0", "vfio0", "/dev/vfio/devices/vfio0" };
	const char *mdev[] = { UUID, "83B8F4F2-509F-382F-3C1E-E6BFE0FA1001", "vfio1", "/dev/vfio/devices/vfio1" };
	struct vfm_candidate c;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(edu); i++) {
		find(edu[i], &c, NULL);
		ck_assert_str_eq(c.identity.name, EDU);
	}
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(mdev); i++) {
		find(mdev[i], &c, NULL);
		ck_assert_str_eq(c.identity.name, UUID);
	}
	put_pci("10000:e1:1f.7", "vfio-pci");
	find("10000:E1:1F.7", &c, NULL);
	ck_assert_str_eq(c.identity.name, "10000:e1:1f.7");
}
END_TEST

START_TEST(test_not_names)
{
	const char *names[] = { "",
				"edu",
				"0000:01:00",
				"0000:01:00.8",
				"0000:01:20.0",
				"1:00.0",
				"001:00.0",
				"0000:01:00.0 ",
				" 0000:01:00.0",
				"000:01:00.0",
				"000000000:01:00.0",
				"+000:01:00.0",
				"0000:01:00.00",
				"0000:0x:00.0",
				"vfio",
				"vfio-1",
				"vfio+1",
				"vfio1x",
				"vfio2147483648",
				"/dev/vfio/1",
				"/dev/vfio/devices/",
				"/dev/vfio/devices/0000:01:00.0",
				"83b8f4f2-509f-382f-3c1e-e6bfe0fa100",
				"83b8f4f2-509f-382f-3c1e-e6bfe0fa10011",
				"83b8f4f2-509f-382f-3c1e-e6bfe0fa100g",
				"83b8f4f2a509f-382f-3c1e-e6bfe0fa1001",
				"../../../sys",
				"0000:01:00.0/../0000:00:02.0" };
	struct vfm_candidate c;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(names); i++)
		ck_assert_int_eq(find(names[i], &c, "no PCI address"), -EINVAL);
}
END_TEST

START_TEST(test_complaints)
{
	struct vfm_candidate c;

	ck_assert_int_eq(find("0000:00:1f.2", &c, "0000:00:1f.2: find: it is bound to ahci, not to a VFIO driver"),
			 -ENODEV);
	ck_assert_int_eq(find("00:02.0", &c, "bound to no driver"), -ENODEV);
	ck_assert_int_eq(find("0000:05:00.0", &c, "no such device"), -ENODEV);
	ck_assert_int_eq(find("83b8f4f2-509f-382f-3c1e-e6bfe0fa1002", &c, "no such device"), -ENODEV);
	ck_assert_int_eq(find("vfio3", &c, "no such device"), -ENODEV);
	put_link("/sys/class/vfio-dev/vfio3", "device", "../../../fsl-mc.0");
	ck_assert_int_eq(find("vfio3", &c, "belongs to fsl-mc.0, and /sys/class/vfio-dev/vfio3 does not tell on which"),
			 -ENODEV);
	put_file("/sys/class/vfio-dev/vfio2", "dev", "511:2\n");
	ck_assert_int_eq(find("vfio2", &c, "does not tell whose it is"), -ENODEV);
}
END_TEST

START_TEST(test_without_cdev)
{
	struct vfm_candidate c;

	drop("/sys/bus/pci/devices/" EDU "/vfio-dev/vfio0", "dev");
	find(EDU, &c, NULL);
	ck_assert_uint_eq(c.flags, VFM_CANDIDATE_GROUP | VFM_CANDIDATE_VFIO);
	ck_assert_str_eq(c.cdev, "");
}
END_TEST

START_TEST(test_node)
{
	struct vfm_candidate c;

	node_number[0] = 0;
	find(EDU, &c, NULL);
	ck_assert_uint_eq(c.flags & VFM_CANDIDATE_CDEV, 0);
	/* A node left over from another device must not be opened for this one. */
	node_number[0] = makedev(CDEV_MAJOR, 3);
	find(EDU, &c, NULL);
	ck_assert_uint_eq(c.flags & VFM_CANDIDATE_CDEV, 0);
	ck_assert_str_eq(c.cdev, "");
}
END_TEST

START_TEST(test_older_kernels)
{
	struct vfm_candidate c;

	/* No vfio-dev folder before Linux 6.1. */
	put_pci("0000:03:00.0", "vfio-pci");
	put_pci("0000:04:00.0", "mlx5_vfio_pci");
	find("0000:03:00.0", &c, NULL);
	ck_assert_uint_eq(c.flags, VFM_CANDIDATE_GROUP | VFM_CANDIDATE_VFIO);
	find("0000:04:00.0", &c, NULL);
}
END_TEST

START_TEST(test_debugfs)
{
	const char *dir = "/sys/kernel/debug/vfio/" EDU "/migration";
	struct vfm_candidate c;

	put_file(dir, "state", "STOP_COPY\n");
	find(EDU, &c, NULL);
	ck_assert_uint_eq(c.flags & (VFM_CANDIDATE_MIGRATES | VFM_CANDIDATE_NO_MIGRATION), VFM_CANDIDATE_MIGRATES);
	ck_assert_uint_eq(c.state, VFM_STATE_STOP_COPY);
	put_file(dir, "state", "Invalid\n");
	find(EDU, &c, NULL);
	ck_assert_uint_eq(c.flags & VFM_CANDIDATE_MIGRATES, VFM_CANDIDATE_MIGRATES);
	ck_assert_uint_eq(c.state, VFM_STATE_UNKNOWN);
	find(UUID, &c, NULL);
	ck_assert_uint_eq(c.flags & (VFM_CANDIDATE_MIGRATES | VFM_CANDIDATE_NO_MIGRATION), VFM_CANDIDATE_NO_MIGRATION);
	ck_assert_uint_eq(c.state, VFM_STATE_UNKNOWN);
}
END_TEST

START_TEST(test_broken_attributes)
{
	const char *dir = "/sys/bus/pci/devices/" EDU;
	const char *bad[] = {
		"", "0x10000\n", "-1\n", " 0x1\n", "0x\n", "zz\n", "0x12 34\n", "99999999999999999999\n"
	};
	struct vfm_candidate c;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(bad); i++) {
		put_file(dir, "vendor", bad[i]);
		find(EDU, &c, NULL);
		ck_assert_msg(!(c.identity.flags & VFM_IDENTITY_PCI), "vendor \"%s\"", bad[i]);
	}
	put_link(dir, "iommu_group", "../../../kernel/iommu_groups/4294967296");
	find(EDU, &c, NULL);
	ck_assert_uint_eq(c.flags & VFM_CANDIDATE_GROUP, 0);
	put_file(dir, "vfio-dev/vfio0/dev", "511");
	find(EDU, &c, NULL);
	ck_assert_uint_eq(c.flags & VFM_CANDIDATE_CDEV, 0);
	put_file(dir, "vfio-dev/vfio0/dev", "511:0:0");
	find(EDU, &c, NULL);
	ck_assert_uint_eq(c.flags & VFM_CANDIDATE_CDEV, 0);
}
END_TEST

struct seen {
	char names[8][64];
	size_t count;
	int stop_at;
};

static int note(void *user, const struct vfm_candidate *candidate)
{
	struct seen *seen = user;

	ck_assert_uint_eq(candidate->size, sizeof(*candidate));
	snprintf(seen->names[seen->count++], 64, "%s", candidate->identity.name);
	return seen->stop_at && (int)seen->count == seen->stop_at ? 42 : 0;
}

START_TEST(test_walk)
{
	VFM_OPTS(vfm_error, err);
	struct seen seen = { 0 };

	put_pci("0000:00:03.0", "vfio-pci");
	put_platform(SOFT, "vfiomig_soft", 2);
	put_link("/sys/class/vfio-dev/vfio3", "device", "../../../gone");
	put_file("/sys/class/vfio-dev", "other", "");
	ck_assert_int_eq(vfm_discover(ctx, note, &seen, &err), 0);
	ck_assert_uint_eq(seen.count, 4);
	ck_assert_str_eq(seen.names[3], SOFT);
	ck_assert_str_eq(seen.names[0], "0000:00:03.0");
	ck_assert_str_eq(seen.names[1], EDU);
	ck_assert_str_eq(seen.names[2], UUID);
	seen = (struct seen){ .stop_at = 2 };
	ck_assert_int_eq(vfm_discover(ctx, note, &seen, &err), 42);
	ck_assert_uint_eq(seen.count, 2);
	ck_assert_int_eq(vfm_discover(ctx, NULL, NULL, &err), -EINVAL);
}
END_TEST

START_TEST(test_walk_of_nothing)
{
	VFM_OPTS(vfm_error, err);
	struct seen seen = { 0 };

	/* Neither bus: no PCI, no mdev module. */
	listing_fails = -ENOENT;
	ck_assert_int_eq(vfm_discover(ctx, note, &seen, &err), 0);
	listing_fails = -EACCES;
	ck_assert_int_eq(vfm_discover(ctx, note, &seen, &err), -EACCES);
	ck_assert_ptr_nonnull(strstr(err.message, "/sys/bus/pci/devices"));
	ck_assert_uint_eq(seen.count, 0);
}
END_TEST

START_TEST(test_sizes)
{
	VFM_OPTS(vfm_error, err);
	struct vfm_candidate c = { .size = 0 };

	ck_assert_int_eq(vfm_find(ctx, EDU, &c, &err), -EINVAL);
	c.size = 16;
	ck_assert_int_eq(vfm_find(ctx, EDU, &c, &err), 0);
	ck_assert_uint_eq(c.iommu_group, 7);
	ck_assert_str_eq(c.cdev, "");
	ck_assert_uint_eq(c.identity.size, 0);
	c.size = sizeof(c) - sizeof(c.identity.kernel);
	ck_assert_int_eq(vfm_find(ctx, EDU, &c, &err), 0);
	ck_assert_uint_eq(c.identity.size, sizeof(c.identity) - sizeof(c.identity.kernel));
	c.size = sizeof(c);
	ck_assert_int_eq(vfm_find(ctx, EDU, &c, &err), 0);
	ck_assert_uint_eq(c.identity.size, sizeof(c.identity));
	ck_assert_int_eq(vfm_find(ctx, NULL, &c, &err), -EINVAL);
	ck_assert_int_eq(vfm_find(ctx, EDU, NULL, &err), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("discover");
	TCase *tcase = tcase_create("discover");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_pci);
	tcase_add_test(tcase, test_mdev);
	tcase_add_test(tcase, test_platform);
	tcase_add_test(tcase, test_names);
	tcase_add_test(tcase, test_not_names);
	tcase_add_test(tcase, test_complaints);
	tcase_add_test(tcase, test_without_cdev);
	tcase_add_test(tcase, test_node);
	tcase_add_test(tcase, test_older_kernels);
	tcase_add_test(tcase, test_debugfs);
	tcase_add_test(tcase, test_broken_attributes);
	tcase_add_test(tcase, test_walk);
	tcase_add_test(tcase, test_walk_of_nothing);
	tcase_add_test(tcase, test_sizes);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
