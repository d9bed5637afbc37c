// SPDX-License-Identifier: MIT
/*
 * vfm-rawvmm [--sim SPEC] [--hwpt|--type1v2] DEVICE DEVICE ADOPT: a VMM that does without the library. It opens iommufd
 * and two devices by their nodes, maps memory, has DMA and interrupts running, all by system calls of its own; ADOPT
 * (examples/adopt.c) is handed the descriptors, saves the first device, and loads that into the second, where DMA goes
 * on. TAP on stdout.
 *
 * --hwpt: in page tables of its own that track what is written; ADOPT tells how much it was. --type1v2: in a container
 * each, the devices by the names they have on their bus. They are of edu, or of vfiomig_soft.
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
#include "../kmod/vfiomig_soft.h"
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
#define SOFT_PAGES 2u
#define STATE_FILE "state.vfm"
#define MACHINE "./machine"

enum mode { MODE_IOAS, MODE_HWPT, MODE_TYPE1V2 };

struct vm {
	const struct kind *kind;
	enum mode mode;
	int space; /* iommufd or container */
	int group; /* of a container, else -1 */
	int device;
	int irq;
	uint32_t ioas;
	uint32_t devid;
	uint32_t hwpt;
	uint64_t contents;
	uint64_t contents_bytes;
	uint64_t control; /* edu's control region, the registers of soft */
	uint64_t config;
	uint8_t *memory;
};

/* A device as its driver in a guest would know it. */
struct kind {
	uint32_t id;	    /* vendor and device */
	uint64_t counter;   /* register: copies or writes until now */
	unsigned int pages; /* of the area, from the second one on, into which it writes */
	void (*find)(struct vm *vm);
	void (*run)(const struct vm *vm);
	bool (*wrote)(const struct vm *vm, uint64_t last);
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

struct region {
	struct vfio_region_info info;
	uint8_t caps[512];
};

static void ask_region(const struct vm *vm, uint32_t index, struct region *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->info.argsz = sizeof(*ret);
	ret->info.index = index;
	need(call(vm->device, VFIO_DEVICE_GET_REGION_INFO, ret) == 0, "region");
}

static int map_ioas(const struct vm *vm)
{
	struct iommu_ioas_map map = { .size = sizeof(map),
				      .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
					       IOMMU_IOAS_MAP_WRITEABLE,
				      .ioas_id = vm->ioas,
				      .length = AREA,
				      .iova = IOVA };

	map.user_va = (uintptr_t)vm->memory;
	return call(vm->space, IOMMU_IOAS_MAP, &map);
}

static int map_container(const struct vm *vm)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.iova = IOVA,
						.size = AREA };

	map.vaddr = (uintptr_t)vm->memory;
	return call(vm->space, VFIO_IOMMU_MAP_DMA, &map);
}

static void map_memory(struct vm *vm)
{
	vm->memory = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(vm->memory != MAP_FAILED, "memory");
	need((vm->mode == MODE_TYPE1V2 ? map_container(vm) : map_ioas(vm)) == 0, "map");
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

/* A page table of its own: the kernel's automatic ones never track. */
static void make_hwpt(struct vm *vm)
{
	struct iommu_hwpt_alloc alloc = { .size = VFMI_SIZE_TO(struct iommu_hwpt_alloc, data_uptr),
					  .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING };

	alloc.dev_id = vm->devid;
	alloc.pt_id = vm->ioas;
	need(call(vm->space, IOMMU_HWPT_ALLOC, &alloc) == 0, "page table");
	vm->hwpt = alloc.out_hwpt_id;
}

static void open_native(struct vm *vm, const char *node)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_bind_iommufd bind = { .argsz = VFMI_SIZE_TO(struct vfio_device_bind_iommufd, out_devid) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = VFMI_SIZE_TO(struct vfio_device_attach_iommufd_pt,
									      pt_id) };

	vm->space = machine->ops->open(machine, "/dev/iommu", O_RDWR, 0);
	need(vm->space >= 0 && call(vm->space, IOMMU_IOAS_ALLOC, &alloc) == 0, "iommufd");
	vm->ioas = alloc.out_ioas_id;
	vm->device = machine->ops->open(machine, node, O_RDWR, 0);
	bind.iommufd = vm->space;
	need(vm->device >= 0 && call(vm->device, VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0, "bind");
	vm->devid = bind.out_devid;
	if (vm->mode == MODE_HWPT)
		make_hwpt(vm);
	attach.pt_id = vm->mode == MODE_HWPT ? vm->hwpt : vm->ioas;
	need(call(vm->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0, "attach");
}

static int open_group(const char *name)
{
	static const char *const buses[] = { "pci", "platform" };
	char path[256], target[256], node[64];
	ssize_t length = -1;

	for (size_t i = 0; length < 0 && i < VFMI_ARRAY_SIZE(buses); i++) {
		snprintf(path, sizeof(path), "/sys/bus/%s/devices/%s/iommu_group", buses[i], name);
		length = machine->ops->readlink(machine, path, target, sizeof(target) - 1);
	}
	need(length > 0, "group");
	target[length] = '\0';
	need(strrchr(target, '/'), "group");
	snprintf(node, sizeof(node), "/dev/vfio/%.32s", strrchr(target, '/') + 1);
	return machine->ops->open(machine, node, O_RDWR, 0);
}

static void open_container(struct vm *vm, char *name)
{
	vm->space = machine->ops->open(machine, "/dev/vfio/vfio", O_RDWR, 0);
	vm->group = open_group(name);
	need(vm->space >= 0 && vm->group >= 0 && call(vm->group, VFIO_GROUP_SET_CONTAINER, &vm->space) == 0 &&
		     call(vm->space, VFIO_SET_IOMMU, (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU) == 0,
	     "container");
	vm->device = call(vm->group, VFIO_GROUP_GET_DEVICE_FD, name);
	need(vm->device >= 0, "device of the group");
}

static void find_kind(struct vm *vm);

static void start(struct vm *vm, enum mode mode, char *name)
{
	vm->mode = mode;
	vm->group = -1;
	if (mode == MODE_TYPE1V2)
		open_container(vm, name);
	else
		open_native(vm, name);
	map_memory(vm);
	find_kind(vm);
	need(vm->config && vm->contents_bytes, "regions");
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

/* edu */

static void find_edu_region(struct vm *vm, uint32_t index)
{
	const struct vfio_region_info_cap_type *type;
	struct region ask;

	ask_region(vm, index, &ask);
	if (!(ask.info.flags & VFIO_REGION_INFO_FLAG_CAPS))
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

static void find_edu(struct vm *vm)
{
	find_edu_region(vm, VFIO_PCI_NUM_REGIONS);
	find_edu_region(vm, VFIO_PCI_NUM_REGIONS + 1);
	need(vm->control, "regions of edu");
}

static void run_edu(const struct vm *vm)
{
	set(vm, vm->control + VFIOMIG_EDU_PUMP_SRC, IOVA, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_DST, IOVA + PAGE, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_LENGTH, COPY, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_STRIDE, COPY, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_SLOTS, SLOTS, 8);
	set(vm, vm->control + VFIOMIG_EDU_PUMP_CTRL, VFIOMIG_EDU_PUMP_RUN | VFIOMIG_EDU_PUMP_IRQ, 8);
}

/* Copy number @last is of what is in memory now. */
static bool edu_wrote(const struct vm *vm, uint64_t last)
{
	return !memcmp(vm->memory + PAGE + (last % SLOTS) * COPY, vm->memory, COPY);
}

/* soft */

static void find_soft(struct vm *vm)
{
	struct region ask;

	ask_region(vm, VFIOMIG_SOFT_REGISTERS, &ask);
	vm->control = ask.info.offset;
	ask_region(vm, VFIOMIG_SOFT_CONTENTS, &ask);
	vm->contents = ask.info.offset;
	vm->contents_bytes = ask.info.size;
}

static void run_soft(const struct vm *vm)
{
	set(vm, vm->control + VFIOMIG_SOFT_RUN_BASE, IOVA + PAGE, 8);
	set(vm, vm->control + VFIOMIG_SOFT_RUN_PAGES, SOFT_PAGES, 8);
	set(vm, vm->control + VFIOMIG_SOFT_RUN_LENGTH, COPY, 8);
	set(vm, vm->control + VFIOMIG_SOFT_RUN_BATCH, 1, 8);
	set(vm, vm->control + VFIOMIG_SOFT_RUN_PAUSE_US, 5000, 8);
	set(vm, vm->control + VFIOMIG_SOFT_RUN_SEED, 0x5eed, 8);
	set(vm, vm->control + VFIOMIG_SOFT_RUN_CTRL, VFIOMIG_SOFT_RUN | VFIOMIG_SOFT_RUN_IRQ, 8);
}

/* Write number @last or a later one is somewhere in the pages, whole. */
static bool soft_wrote(const struct vm *vm, uint64_t last)
{
	for (uint64_t at = PAGE; at < (1 + SOFT_PAGES) * PAGE; at += 8) {
		uint64_t word;

		memcpy(&word, vm->memory + at, sizeof(word));
		for (uint64_t write = last; write < last + 8; write++)
			if (word == vfiomig_soft_value(write) + IOVA + at)
				return true;
	}
	return false;
}

static const struct kind kinds[] = {
	{ 0x11e81234, VFIOMIG_EDU_PUMP_COMPLETED, 1, find_edu, run_edu, edu_wrote },
	{ VFIOMIG_SOFT_DEVICE_ID << 16 | VFIOMIG_SOFT_VENDOR_ID, VFIOMIG_SOFT_RUN_WRITES, SOFT_PAGES, find_soft,
	  run_soft, soft_wrote },
};

static void find_kind(struct vm *vm)
{
	struct region ask;
	uint64_t id;

	ask_region(vm, VFIO_PCI_CONFIG_REGION_INDEX, &ask);
	vm->config = ask.info.offset;
	id = get(vm, vm->config, 4);
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(kinds); i++) {
		if (kinds[i].id == id)
			vm->kind = &kinds[i];
	}
	need(vm->kind, "edu or soft");
	vm->kind->find(vm);
}

/* both */

static void start_pump(struct vm *vm)
{
	const uint64_t command = get(vm, vm->config + PCI_COMMAND, 2);

	set(vm, vm->config + PCI_COMMAND, command | PCI_COMMAND_MASTER, 2);
	vm->kind->run(vm);
}

/* Two more writes, after what was there has been wiped away, and an interrupt for them. */
static bool is_pumping(const struct vm *vm, int value)
{
	struct pollfd pfd = { .fd = vm->irq, .events = POLLIN };
	uint64_t signals, now = 0, before = get(vm, vm->control + vm->kind->counter, 8);

	memset(vm->memory, value, COPY);
	memset(vm->memory + PAGE, 0, AREA - PAGE);
	for (int i = 0; i < 200 && now < before + 3; i++) {
		machine->ops->sleep_ns(machine, 20000000);
		now = get(vm, vm->control + vm->kind->counter, 8);
	}
	return now >= before + 3 && vm->kind->wrote(vm, now - 1) && poll(&pfd, 1, 2000) == 1 &&
	       read(vm->irq, &signals, sizeof(signals)) == sizeof(signals);
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
	if (vm->group >= 0)
		machine->ops->close(machine, vm->group);
	machine->ops->close(machine, vm->space);
	munmap(vm->memory, AREA);
	close(vm->irq);
}

/* what it leaves to another program */

static void keep_over_exec(int fd)
{
	need(fcntl(fd, F_SETFD, 0) == 0, "descriptor");
}

static void describe(const struct vm *vm, char *buf, size_t room)
{
	char space[96] = "backend=type1v2", pt[32] = "";

	if (vm->mode == MODE_HWPT)
		snprintf(pt, sizeof(pt), ",pt=%u,tracks=1", vm->hwpt);
	if (vm->mode != MODE_TYPE1V2)
		snprintf(space, sizeof(space), "ioas=%u,devid=%u%s", vm->ioas, vm->devid, pt);
	snprintf(buf, room, "fd:%d,iommufd=%d,%s,name=raw,irq=1:0:%d", vm->device, vm->space, space, vm->irq);
}

/* Its words go to our standard error; what it says first also to @said, of @room bytes. */
static bool adopted(const struct vm *vm, const char *program, const char *what, char *said, size_t room)
{
	const bool watches = !strcmp(what, "watch");
	char device[256], area[64];
	int status = -1, out[2];
	ssize_t length;
	pid_t child;

	describe(vm, device, sizeof(device));
	snprintf(area, sizeof(area), "%#llx+%#llx", IOVA, AREA);
	need(pipe(out) == 0, "pipe");
	fflush(stdout);
	child = fork();
	if (child == 0) {
		keep_over_exec(vm->device);
		keep_over_exec(vm->space);
		keep_over_exec(vm->irq);
		dup2(out[1], 1);
		execlp(program, "adopt", what, device, watches ? area : "file:" STATE_FILE, watches ? NULL : area,
		       NULL);
		_exit(127);
	}
	close(out[1]);
	need(child > 0 && waitpid(child, &status, 0) == child, "process");
	length = read(out[0], said, room - 1);
	said[length > 0 ? length : 0] = '\0';
	close(out[0]);
	said[strcspn(said, "\n")] = '\0';
	printf("# adopt %s %s: status %#x, \"%s\"\n", what, device, status, said);
	return status == 0;
}

static bool migrated(const struct vm *vm, const char *program, const char *what)
{
	char said[256];

	return adopted(vm, program, what, said, sizeof(said));
}

/*
 * What the other program sees of the writes: a page table that tracks has the pages that were written, a container all
 * that are pinned. Nothing tells of the kernel's automatic page tables.
 */
static void watch(const struct vm *vm, const char *program, int value)
{
	const unsigned int source = vm->mode == MODE_HWPT ? VFM_DIRTY_HWPT : VFM_DIRTY_TYPE1;
	const unsigned int most = vm->mode == MODE_HWPT ? vm->kind->pages : AREA / PAGE;
	const unsigned int least = vm->mode == MODE_HWPT ? 1 : most;
	unsigned int pages = 0, all = 0, seen = 0;
	char said[256];

	if (vm->mode == MODE_IOAS)
		return;
	ok(adopted(vm, program, "watch", said, sizeof(said)) &&
		   sscanf(said, "%u of %u pages written, source %u", &pages, &all, &seen) == 3 && seen == source &&
		   all == AREA / PAGE && pages >= least && pages <= most,
	   "another program sees what is written");
	ok(is_pumping(vm, value), "after it everything goes on");
}

static void run(struct vm *a, struct vm *b, const char *program)
{
	fill(a);
	start_pump(a);
	ok(is_pumping(a, 0x21), "DMA and interrupts run");
	watch(a, program, 0x24);
	ok(migrated(a, program, "save"), "another program adopts the device and saves it");
	ok(state_of(a, VFM_STATE_UNKNOWN) == VFM_STATE_RUNNING && is_pumping(a, 0x22) && is_filled(a),
	   "here everything goes on");
	ok(migrated(b, program, "restore"), "another program adopts the second device and loads it");
	ok(state_of(b, VFM_STATE_UNKNOWN) == VFM_STATE_STOP, "it is loaded, and waits");
	ok(is_filled(b), "its contents came over");
	ok(state_of(b, VFM_STATE_RUNNING) == VFM_STATE_RUNNING && is_pumping(b, 0x23),
	   "DMA and interrupts go on there, in other memory");
	watch(b, program, 0x25);
}

int main(int argc, char **argv)
{
	struct vfm_context *ctx = NULL;
	struct vfm_sim *sim = NULL;
	enum mode mode = MODE_IOAS;
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
	if (argc > 1 && (!strcmp(argv[1], "--hwpt") || !strcmp(argv[1], "--type1v2"))) {
		mode = !strcmp(argv[1], "--hwpt") ? MODE_HWPT : MODE_TYPE1V2;
		argv++;
		argc--;
	}
	if (argc != 4)
		return 2;
	start(&a, mode, argv[1]);
	start(&b, mode, argv[2]);
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
