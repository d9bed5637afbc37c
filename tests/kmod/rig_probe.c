// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the lab's machine can do, by raw calls: each test takes for granted only what the kernel and
 * QEMU give, so that a case of the library that fails is not the rig's fault.
 */
#define _GNU_SOURCE
#include "edu_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define IOC(number)	    ((';' << 8) + (number))
#define CHECK_EXTENSION	    IOC(101)
#define SET_IOMMU	    IOC(102)
#define GROUP_SET_CONTAINER IOC(104)
#define GROUP_GET_DEVICE_FD IOC(106)
#define GET_REGION_INFO	    IOC(108)
#define MAP_DMA		    IOC(113)
#define IOAS_MAP_FILE	    IOC(143)
#define DEVICE_SET_IRQS	    IOC(110)
#define GET_HOT_RESET_INFO  IOC(112)
#define HOT_RESET	    IOC(113)
#define DEVICE_FEATURE	    IOC(117)
#define DEVICE_BIND_IOMMUFD IOC(118)
#define FEATURE_SET	    (1u << 17)
#define FEATURE_GET	    (1u << 16)
#define FEATURE_DMA_BUF	    11
#define FEATURE_VF_TOKEN    0
#define BIND_TOKEN	    1u
#define IRQ_SET_EVENTFD	    (4u | 32u)
#define IRQ_INTX	    0
#define IRQ_ERR		    3
#define HOT_RESET_DEV_ID    1u
#define HOT_RESET_OWNED	    2u

#define KVM_CREATE_VM	       0xae01
#define KVM_CREATE_GUEST_MEMFD 0xc040aed4ul
#define KVM_SW_PROTECTED_VM    1
#define NR_MEMFD_SECRET	       447
#define UUID		       "8c5ae7a1-9c55-4c6e-9d0c-6b6f1f9a5d01"

static const unsigned char uuid[16] = { 0x8c, 0x5a, 0xe7, 0xa1, 0x9c, 0x55, 0x4c, 0x6e,
					0x9d, 0x0c, 0x6b, 0x6f, 0x1f, 0x9a, 0x5d, 0x01 };

static int open_or_bail(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		bail("%s", path);
	return fd;
}

/* Returns 0 or -errno. */
static int bind_to(int device, int iommufd, uint32_t flags, const void *token)
{
	struct {
		uint32_t argsz, flags;
		int32_t iommufd;
		uint32_t devid;
		uint64_t token;
	} bind = { sizeof(bind), flags, iommufd, 0, (uintptr_t)token };

	/* Kernels without tokens do not look beyond the id, and know no flag. */
	return ioctl(device, DEVICE_BIND_IOMMUFD, &bind) ? -errno : 0;
}

static int irq_eventfd(int device, uint32_t index)
{
	struct {
		uint32_t argsz, flags, index, start, count;
		int32_t fd;
	} set = { sizeof(set), IRQ_SET_EVENTFD, index, 0, 1, eventfd(0, EFD_CLOEXEC) };

	if (ioctl(device, DEVICE_SET_IRQS, &set))
		bail("no eventfd for interrupt %u", index);
	return set.fd;
}

/* The kernel, without any device */

static bool vsock_loops_back(void)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_LOCAL,
				  .svm_port = 7700 };
	int server = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte = 'x';

	if (bind(server, (void *)&at, sizeof(at)) || listen(server, 1) ||
	    connect(client, (void *)&at, sizeof(at)) || write(client, &byte, 1) != 1)
		return false;
	byte = 0;
	server = accept(server, NULL, NULL);
	return read(server, &byte, 1) == 1 && byte == 'x';
}

/* In a child: a filter that makes uname fail is obeyed. */
static bool seccomp_filters(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	char names[6 * 65];
	int status;
	pid_t child = fork();

	if (!child)
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ||
		      syscall(SYS_uname, names) != -1 || errno != ENOTTY);
	return waitpid(child, &status, 0) == child && status == 0;
}

static bool guest_memfd(void)
{
	uint64_t create[8] = { 2 << 20 };
	int kvm = open_or_bail("/dev/kvm");
	int vm = ioctl(kvm, KVM_CREATE_VM, KVM_SW_PROTECTED_VM);

	return vm >= 0 && ioctl(vm, KVM_CREATE_GUEST_MEMFD, create) >= 0;
}

static void test_kernel(char **args)
{
	int container = open_or_bail("/dev/vfio/vfio");

	(void)args;
	ok(ioctl(container, CHECK_EXTENSION, 1) == 1, "type1");
	ok(ioctl(container, CHECK_EXTENSION, 3) == 1, "type1v2");
	ok(ioctl(open_or_bail("/dev/iommu"), CHECK_EXTENSION, 3) == 1, "type1v2 of iommufd");
	ok(vsock_loops_back(), "vsock loopback");
	ok(seccomp_filters(), "seccomp filters");
	ok(guest_memfd(), "guest_memfd");
	ok(syscall(NR_MEMFD_SECRET, 0) >= 0, "memfd_secret");
	ok(memfd_create("huge", MFD_HUGETLB) >= 0, "memfd of huge pages");
}

/* Devices */

/* modes GROUP ADDRESS: the group path by type1, type1v2, and both of iommufd. */
static void test_modes(char **args)
{
	static const char *const containers[] = { "/dev/vfio/vfio", "/dev/iommu" };

	for (int i = 0; i < 4; i++) {
		int container = open_or_bail(containers[i / 2]), group = open_or_bail(args[0]);
		int type = i % 2 ? 3 : 1, device = -1;

		if (!ioctl(group, GROUP_SET_CONTAINER, &container) &&
		    !ioctl(container, SET_IOMMU, type))
			device = ioctl(group, GROUP_GET_DEVICE_FD, args[1]);
		ok(device >= 0, "type %d of %s", type, containers[i / 2]);
		close(device);
		close(group);
		close(container);
	}
}

/* hot-reset NODE NODE: two that are reset together. */
static void test_hot_reset(char **args)
{
	struct {
		uint32_t argsz, flags, count, devices[2 * 8];
	} info = { .argsz = sizeof(info) };
	struct {
		uint32_t argsz, flags, count;
	} reset = { .argsz = sizeof(reset) };
	int iommufd = open_or_bail("/dev/iommu");
	int a = open_or_bail(args[0]), b = open_or_bail(args[1]);

	ok(!bind_to(a, iommufd, 0, NULL), "the first is bound");
	ok(!ioctl(a, GET_HOT_RESET_INFO, &info), "it knows what is reset with it");
	ok(info.count >= 2, "%u devices are", info.count);
	ok(info.flags == (HOT_RESET_DEV_ID | HOT_RESET_OWNED), "one of a group owns all of it");
	ok(!bind_to(b, iommufd, 0, NULL), "the other is bound");
	ok(!ioctl(a, HOT_RESET, &reset), "hot reset");
}

/* token PF-NODE VF-GROUP VF-ADDRESS VF-NODE early|late: the last tells whether cdevs are guarded.
 */
static void test_token(char **args)
{
	struct {
		uint32_t argsz, flags;
		unsigned char uuid[16];
	} set = { sizeof(set), FEATURE_SET | FEATURE_VF_TOKEN, { 0 } };
	int pf = open_or_bail(args[0]), iommufd = open_or_bail("/dev/iommu");
	int container = open_or_bail("/dev/vfio/vfio"), group = open_or_bail(args[1]), vf;
	bool guarded = !strcmp(args[4], "late");
	char name[128];

	ok(!bind_to(pf, iommufd, 0, NULL), "the PF is bound");
	memcpy(set.uuid, uuid, sizeof(uuid));
	ok(!ioctl(pf, DEVICE_FEATURE, &set), "the PF sets a token");
	if (ioctl(group, GROUP_SET_CONTAINER, &container) || ioctl(container, SET_IOMMU, 3))
		bail("no container");
	ok(ioctl(group, GROUP_GET_DEVICE_FD, args[2]) == -1 && errno == EACCES,
	   "group path without it");
	snprintf(name, sizeof(name), "%s vf_token=%s", args[2], UUID);
	vf = ioctl(group, GROUP_GET_DEVICE_FD, name);
	ok(vf >= 0, "group path with it");
	close(vf);
	close(group);
	close(container);

	vf = open_or_bail(args[3]);
	ok(bind_to(vf, iommufd, 0, NULL) == (guarded ? -EACCES : 0), "node without it");
	close(vf);
	vf = open_or_bail(args[3]);
	ok(bind_to(vf, iommufd, BIND_TOKEN, uuid) == (guarded ? 0 : -EINVAL), "node with it");
	close(vf);
}

static struct probe_region region_of(int device, uint32_t index)
{
	struct {
		uint32_t argsz, flags, index, cap_offset;
		uint64_t size, offset;
	} info = { .argsz = sizeof(info), .index = index };

	if (ioctl(device, GET_REGION_INFO, &info))
		bail("no region %u", index);
	return (struct probe_region){ info.size, (off_t)info.offset };
}

static char *map_bar(int device, const struct probe_region *r, void *at)
{
	char *bar = mmap(at, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0),
			 device, r->offset);

	if (bar == MAP_FAILED)
		bail("cannot map a BAR");
	return bar;
}

/* bar NODE: BAR 2 of 1 GiB, as ivshmem has it, mapped at a multiple of its size. */
static void test_bar(char **args)
{
	const size_t size = 1ul << 30;
	struct probe_region region;
	struct probe p;
	char *room, *bar;

	probe_open(&p, args[0]);
	region = region_of(p.fd, 2);
	if (!ok(region.size == size, "its BAR has 1 GiB"))
		return;
	room = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	room = (char *)(((uintptr_t)room + size - 1) & ~(size - 1));
	bar = map_bar(p.fd, &region, room);
	ok(bar == room, "mapped at a multiple of 1 GiB");
	bar[size - 1] = 0x5a;
	ok(bar[size - 1] == 0x5a, "it is memory");
	probe_close(&p);
}

/* What edu has read from IOVA it writes to @to, which is @bar of the other device. */
static void copy_to_peer(struct probe *edu, uint64_t to, const char *bar)
{
	probe_bus_master(edu, true);
	start_dma(edu, IOVA, DMA_BUFFER, 64, 0);
	wait_until(dma_idle, edu, 2000);
	start_dma(edu, DMA_BUFFER, to, 64, DMA_TO_MEMORY);
	ok(wait_until(dma_idle, edu, 2000), "the DMA ends");
	ok(!memcmp(bar, "from one device to the other", 28), "and has reached the other device");
}

static unsigned char *message(void)
{
	unsigned char *memory = new_memory();

	strcpy((char *)memory, "from one device to the other");
	return memory;
}

/* peer GROUP ADDRESS GROUP ADDRESS: edu writes to ivshmem, in one container of type1. */
static void test_peer(char **args)
{
	struct {
		uint32_t argsz, flags;
		uint64_t vaddr, iova, size;
	} map = { sizeof(map), 3, (uintptr_t)message(), IOVA, MEMORY };
	int container = open_or_bail("/dev/vfio/vfio");
	struct probe_region region;
	struct probe p[2];
	char *bar;

	for (int i = 0; i < 2; i++) {
		int group = open_or_bail(args[2 * i]);

		if (ioctl(group, GROUP_SET_CONTAINER, &container) ||
		    (!i && ioctl(container, SET_IOMMU, 3)))
			bail("no container for %s", args[2 * i]);
		p[i].fd = ioctl(group, GROUP_GET_DEVICE_FD, args[2 * i + 1]);
		p[i].bar = region_of(p[i].fd, 0);
		p[i].config = region_of(p[i].fd, 7);
	}
	ok(!ioctl(container, MAP_DMA, &map), "memory is mapped");
	region = region_of(p[1].fd, 2);
	bar = map_bar(p[1].fd, &region, NULL);
	map.vaddr = (uintptr_t)bar;
	map.iova = 2 * IOVA;
	map.size = region.size;
	ok(!ioctl(container, MAP_DMA, &map), "and the BAR of the other, by its address");
	copy_to_peer(&p[0], 2 * IOVA, bar);
}

/* export NODE NODE: the same through a dma-buf of the BAR, in edu's own address space of iommufd.
 */
static void test_export(char **args)
{
	struct {
		uint32_t argsz, flags, index, open_flags, buf_flags, ranges;
		uint64_t offset, length;
	} get = {
		sizeof(get), FEATURE_GET | FEATURE_DMA_BUF, 2, O_RDWR | O_CLOEXEC, 0, 1, 0, 4096
	};
	struct {
		uint32_t size, flags, ioas;
		int32_t fd;
		uint64_t start, length, iova;
	} map = { sizeof(map), 7, 0, 0, 0, 4096, 2 * IOVA };
	struct probe_region region;
	struct probe edu, shm;
	char *bar;

	probe_open(&edu, args[0]);
	probe_open(&shm, args[1]);
	region = region_of(shm.fd, 2);
	bar = map_bar(shm.fd, &region, NULL);
	memset(bar, 0, 4096);
	map.fd = ioctl(shm.fd, DEVICE_FEATURE, &get);
	ok(map.fd >= 0, "a dma-buf of the BAR");
	map.ioas = edu.ioas;
	probe_map(&edu, IOVA, message(), MEMORY);
	ok(!ioctl(edu.iommufd, IOAS_MAP_FILE, &map), "mapped for the other device");
	copy_to_peer(&edu, 2 * IOVA, bar);
	probe_close(&edu);
	ok(!close(map.fd), "closed");
	probe_close(&shm);
}

/* intx NODE: edu raises its pin, as it has no MSI enabled. */
static void test_intx(char **args)
{
	struct probe p;
	int fd;

	probe_open(&p, args[0]);
	fd = irq_eventfd(p.fd, IRQ_INTX);
	probe_set(&p, &p.bar, 0x60, 1, 4);
	ok(fired(fd, 1000), "its pin is wired");
	probe_set(&p, &p.bar, 0x64, 1, 4);
	probe_close(&p);
}

/* err NODE BUS: a device of PCI Express tells of an injected error. */
static void test_err(char **args)
{
	struct {
		uint8_t bus, device, function;
		uint32_t uncorrectable, correctable, header[4], domain;
	} error = { .bus = (uint8_t)strtoul(args[1], NULL, 16), .uncorrectable = 1u << 14 };
	int inject = open_or_bail("/dev/aer_inject");
	struct probe p;
	int fd;

	probe_open(&p, args[0]);
	fd = irq_eventfd(p.fd, IRQ_ERR);
	ok(write(inject, &error, sizeof(error)) == sizeof(error), "an error is injected");
	ok(fired(fd, 2000), "and arrives at its eventfd");
	probe_close(&p);
}

/* clang-format off */
static const struct {
	const char *name;
	int arguments;
	void (*run)(char **args);
} tests[] = {
	{ "kernel", 0, test_kernel },
	{ "modes", 2, test_modes },
	{ "hot-reset", 2, test_hot_reset },
	{ "token", 5, test_token },
	{ "bar", 1, test_bar },
	{ "peer", 4, test_peer },
	{ "export", 2, test_export },
	{ "intx", 1, test_intx },
	{ "err", 2, test_err },
};
/* clang-format on */

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(argv[1], tests[i].name) || argc != 2 + tests[i].arguments)
			continue;
		tests[i].run(argv + 2);
		return tap_done();
	}
	fprintf(stderr,
		"usage: rig_probe TEST ARGUMENT..., as tests/kernel/cases/04-rig.sh does\n");
	return 2;
}
