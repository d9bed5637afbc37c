// SPDX-License-Identifier: MIT
/*
 * vfm-rawvmm [--sim SPEC] NODE NODE ADOPT: a VMM that does without the library. It opens iommufd and two edu devices by
 * their nodes, maps memory, has DMA and interrupts running, all by system calls of its own; ADOPT (examples/adopt.c) is
 * handed the descriptors, saves the first device, and loads that into the second, where DMA goes on. TAP on stdout.
 *
 * On a simulated machine its calls are made of that, through the table that stands for the kernel there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vfiomig/sim.h>

#include "../kmod/vfiomig_edu.h"
#include "internal.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define PAGE 4096ull
#define AREA (4 * PAGE)
#define IOVA 0x30000ull
#define COPY 256u
#define SLOTS 8u
#define PCI_COMMAND 4
#define PCI_COMMAND_MASTER 4
#define STATE_FILE "state.vfm"
#define MACHINE "./machine"

struct vm {
	int iommufd;
	int device;
	int irq;
	uint32_t ioas;
	uint32_t devid;
	uint64_t contents;
	uint64_t contents_bytes;
	uint64_t control;
	uint64_t config;
	uint8_t *memory;
};

static struct vfmi_sys *machine = &vfmi_sys_libc;
static unsigned int number;
static unsigned int failed;

static bool ok(bool good, const char *what)
{
	printf("%s %u - %s\n", good ? "ok" : "not ok", ++number, what);
	failed += !good;
	return good;
}

static void need(bool good, const char *what)
{
	if (good)
		return;
	printf("Bail out! %s\n", what);
	exit(1);
}

/* what a VMM does of itself */

static int call(int fd, unsigned long request, void *arg)
{
	return machine->ops->ioctl(machine, fd, request, arg);
}

static uint64_t get(const struct vm *vm, uint64_t at, size_t width)
{
	uint64_t value = 0;

	need(machine->ops->pread(machine, vm->device, &value, width, (off_t)at) == (ssize_t)width, "read");
	return value;
}

static void set(const struct vm *vm, uint64_t at, uint64_t value, size_t width)
{
	need(machine->ops->pwrite(machine, vm->device, &value, width, (off_t)at) == (ssize_t)width, "write");
}

static void find_region(struct vm *vm, uint32_t index)
{
	struct {
		struct vfio_region_info info;
		uint8_t caps[512];
	} ask = { .info = { .argsz = sizeof(ask), .index = index } };
	const struct vfio_region_info_cap_type *type;

	need(call(vm->device, VFIO_DEVICE_GET_REGION_INFO, &ask) == 0, "region");
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		vm->config = ask.info.offset;
	if (index < VFIO_PCI_NUM_REGIONS || !(ask.info.flags & VFIO_REGION_INFO_FLAG_CAPS))
		return;
	type = (const void *)((const char *)&ask + ask.info.cap_offset);
	if (type->header.id != VFIO_REGION_INFO_CAP_TYPE || type->type != VFIOMIG_EDU_REGION_TYPE)
		return;
	if (type->subtype == VFIOMIG_EDU_REGION_CONTROL) {
		vm->control = ask.info.offset;
	} else {
		vm->contents = ask.info.offset;
		vm->contents_bytes = ask.info.size;
	}
}

static void map_memory(struct vm *vm)
{
	struct iommu_ioas_map map = { .size = sizeof(map),
				      .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
					       IOMMU_IOAS_MAP_WRITEABLE,
				      .ioas_id = vm->ioas,
				      .length = AREA,
				      .iova = IOVA };

	vm->memory = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(vm->memory != MAP_FAILED, "memory");
	map.user_va = (uintptr_t)vm->memory;
	need(call(vm->iommufd, IOMMU_IOAS_MAP, &map) == 0, "map");
}

static void arm_interrupt(struct vm *vm)
{
	const struct vfio_irq_set head = { .argsz = sizeof(head) + sizeof(vm->irq),
					   .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
					   .index = VFIO_PCI_MSI_IRQ_INDEX,
					   .count = 1 };
	_Alignas(8) uint8_t irq[sizeof(head) + sizeof(vm->irq)];

	vm->irq = eventfd(0, EFD_NONBLOCK);
	memcpy(irq, &head, sizeof(head));
	memcpy(irq + sizeof(head), &vm->irq, sizeof(vm->irq));
	need(vm->irq >= 0 && call(vm->device, VFIO_DEVICE_SET_IRQS, irq) == 0, "interrupt");
}

static void start(struct vm *vm, const char *node)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_bind_iommufd bind = { .argsz = VFMI_SIZE_TO(struct vfio_device_bind_iommufd, out_devid) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = VFMI_SIZE_TO(struct vfio_device_attach_iommufd_pt,
									      pt_id) };

	vm->iommufd = machine->ops->open(machine, "/dev/iommu", O_RDWR, 0);
	need(vm->iommufd >= 0 && call(vm->iommufd, IOMMU_IOAS_ALLOC, &alloc) == 0, "iommufd");
	vm->ioas = alloc.out_ioas_id;
	vm->device = machine->ops->open(machine, node, O_RDWR, 0);
	bind.iommufd = vm->iommufd;
	need(vm->device >= 0 && call(vm->device, VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0, "bind");
	vm->devid = bind.out_devid;
	attach.pt_id = vm->ioas;
	need(call(vm->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0, "attach");
	map_memory(vm);
	find_region(vm, VFIO_PCI_CONFIG_REGION_INDEX);
	find_region(vm, VFIO_PCI_NUM_REGIONS);
	find_region(vm, VFIO_PCI_NUM_REGIONS + 1);
	need(vm->config && vm->control && vm->contents_bytes, "regions of edu");
	arm_interrupt(vm);
}

/* Moves to @want, or asks when that is VFM_STATE_UNKNOWN. */
static uint32_t state_of(const struct vm *vm, uint32_t want)
{
	const bool asks = want == VFM_STATE_UNKNOWN;
	struct vfio_device_feature_mig_state state = { .device_state = want, .data_fd = -1 };
	const struct vfio_device_feature head = { .argsz = sizeof(head) + sizeof(state),
						  .flags = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE |
							   (asks ? VFIO_DEVICE_FEATURE_GET : VFIO_DEVICE_FEATURE_SET) };
	_Alignas(8) uint8_t ask[sizeof(head) + sizeof(state)];

	memcpy(ask, &head, sizeof(head));
	memcpy(ask + sizeof(head), &state, sizeof(state));
	if (call(vm->device, VFIO_DEVICE_FEATURE, ask) < 0)
		return VFM_STATE_UNKNOWN;
	memcpy(&state, ask + sizeof(head), sizeof(state));
	return state.device_state;
}

static void start_pump(struct vm *vm)
{
	const uint64_t command = get(vm, vm->config + PCI_COMMAND, 2);

	set(vm, vm->config + PCI_COMMAND, command | PCI_COMMAND_MASTER, 2);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_SRC, IOVA, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_DST, IOVA + PAGE, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_LENGTH, COPY, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_STRIDE, COPY, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_SLOTS, SLOTS, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_CTRL, VFIOMIG_EDU_PUMP_RUN | VFIOMIG_EDU_PUMP_IRQ, 8);
}

/* Two more copies, each of what is in memory now, and an interrupt for them. */
static bool is_pumping(const struct vm *vm, int value)
{
	struct pollfd pfd = { .fd = vm->irq, .events = POLLIN };
	uint64_t signals, now = 0, before = get(vm, vm->control + VFIOMIG_EDU_PUMP_COMPLETED, 8);

	memset(vm->memory, value, COPY);
	memset(vm->memory + PAGE, 0, SLOTS * COPY);
	for (int i = 0; i < 200 && now < before + 3; i++) {
		machine->ops->sleep_ns(machine, 20000000);
		now = get(vm, vm->control + VFIOMIG_EDU_PUMP_COMPLETED, 8);
	}
	return now >= before + 3 && !memcmp(vm->memory + PAGE + ((now - 1) % SLOTS) * COPY, vm->memory, COPY) &&
	       poll(&pfd, 1, 2000) == 1 && read(vm->irq, &signals, sizeof(signals)) == sizeof(signals);
}

static void fill(const struct vm *vm)
{
	for (uint64_t at = 0; at < vm->contents_bytes; at += PAGE)
		set(vm, vm->contents + at, at * 7 + 1, 8);
}

static bool is_filled(const struct vm *vm)
{
	for (uint64_t at = 0; at < vm->contents_bytes; at += PAGE)
		if (get(vm, vm->contents + at, 8) != at * 7 + 1)
			return false;
	return true;
}

static void stop(const struct vm *vm)
{
	machine->ops->close(machine, vm->device);
	machine->ops->close(machine, vm->iommufd);
	munmap(vm->memory, AREA);
	close(vm->irq);
}

/* what it leaves to another program */

static void keep_over_exec(int fd)
{
	need(fcntl(fd, F_SETFD, 0) == 0, "descriptor");
}

static bool adopted(const struct vm *vm, const char *program, const char *what)
{
	char device[160], area[64];
	int status = -1;
	pid_t child;

	snprintf(device, sizeof(device), "fd:%d,iommufd=%d,ioas=%u,devid=%u,name=raw,irq=1:0:%d", vm->device,
		 vm->iommufd, vm->ioas, vm->devid, vm->irq);
	snprintf(area, sizeof(area), "%#llx+%#llx", IOVA, AREA);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		keep_over_exec(vm->device);
		keep_over_exec(vm->iommufd);
		keep_over_exec(vm->irq);
		dup2(2, 1);
		execlp(program, "adopt", what, device, "file:" STATE_FILE, area, NULL);
		_exit(127);
	}
	need(child > 0 && waitpid(child, &status, 0) == child, "process");
	printf("# adopt %s %s: status %#x\n", what, device, status);
	return status == 0;
}

static void run(struct vm *a, struct vm *b, const char *program)
{
	fill(a);
	start_pump(a);
	ok(is_pumping(a, 0x21), "DMA and interrupts run");
	ok(adopted(a, program, "save"), "another program adopts the device and saves it");
	ok(state_of(a, VFM_STATE_UNKNOWN) == VFM_STATE_RUNNING && is_pumping(a, 0x22) && is_filled(a),
	   "here everything goes on");
	ok(adopted(b, program, "restore"), "another program adopts the second device and loads it");
	ok(state_of(b, VFM_STATE_UNKNOWN) == VFM_STATE_STOP, "it is loaded, and waits");
	ok(is_filled(b), "its contents came over");
	ok(state_of(b, VFM_STATE_RUNNING) == VFM_STATE_RUNNING && is_pumping(b, 0x23),
	   "DMA and interrupts go on there, in other memory");
}

int main(int argc, char **argv)
{
	struct vfm_context *ctx = NULL;
	struct vfm_sim *sim = NULL;
	char message[256] = "";
	struct vm a = { 0 }, b = { 0 };

	char work[] = "/tmp/vfm-rawvmm.XXXXXX";

	setvbuf(stdout, NULL, _IOLBF, 0);
	need(mkdtemp(work) && chdir(work) == 0, "a directory to work in");
	if (argc > 2 && !strcmp(argv[1], "--sim")) {
		need(!vfm_sim_open(MACHINE, argv[2], &sim, message, sizeof(message)) && !vfm_sim_context(sim, &ctx),
		     message);
		machine = vfmi_context_sys(ctx);
		setenv("VFIOMIG_SIM", MACHINE, 1);
		argv += 2;
		argc -= 2;
	}
	if (argc != 4)
		return 2;
	start(&a, argv[1]);
	start(&b, argv[2]);
	run(&a, &b, argv[3]);
	stop(&a);
	stop(&b);
	vfm_context_free(ctx);
	vfm_sim_close(sim);
	unlink(STATE_FILE);
	unlink(MACHINE);
	rmdir(work);
	printf("1..%u\n", number);
	return failed ? 1 : 0;
}
