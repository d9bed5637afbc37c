/* SPDX-License-Identifier: MIT */
/* The guest of minivmm.c and the KVM ioctls that run it; the library makes none of them. */
#define _DEFAULT_SOURCE /* anonymous memory, pthreads and time beside the C standard */
#include "minivmm-kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <vfiomig/bitmap.h>

#define ENTRY 0x1000u
#define PORT_ALIVE 0x10
#define PORT_BROKEN 0x11

#define ALIVE_MS 10000 /* a guest that has not shown itself for so long never will */
#define LOOK_MS 10

#define FIRST_WRITE 256u /* as many as the pages it writes to */
/* The smallest ring there is: it is full before the guest has written to all its pages. */
#define RING_BYTES PAGE_BYTES
#define RING_ENTRIES (RING_BYTES / sizeof(struct kvm_dirty_gfn))

/*
 * Write number EBX goes to both ends of page EBX % 256 from 128 KiB on. Before it, both ends must hold the number that
 * was written there last: a page that was lost on the way is found by the guest itself. Once in 64 writes it shows that
 * it is alive, which is when it can be stopped.
 */
__asm__(".pushsection .rodata\n"
	"guest_program:\n"
	"	.code16\n"
	"1:	movl %ebx, %eax\n"
	"	andl $255, %eax\n"
	"	shll $12, %eax\n"
	"	addl $0x20000, %eax\n"
	"	cmpl $512, %ebx\n"
	"	jb 2f\n"
	"	movl %ebx, %edx\n"
	"	subl $256, %edx\n"
	"	cmpl %edx, (%eax)\n"
	"	jne 3f\n"
	"	cmpl %edx, 0xffc(%eax)\n"
	"	jne 3f\n"
	"2:	movl %ebx, (%eax)\n"
	"	movl %ebx, 0xffc(%eax)\n"
	"	incl %ebx\n"
	"	testb $63, %bl\n"
	"	jnz 1b\n"
	"	outb %al, $0x10\n"
	"	jmp 1b\n"
	"3:	outb %al, $0x11\n"
	"	hlt\n"
	"	.code64\n"
	"guest_program_end:\n"
	".popsection\n");
extern const uint8_t guest_program[];
extern const uint8_t guest_program_end[];

static int command(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

static int add_ram(struct guest *guest, void *ram, size_t bytes)
{
	struct kvm_userspace_memory_region region = {
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)ram,
	};

	return command(guest->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* Before there is a vCPU. */
static int enable_ring(struct guest *guest, size_t ram_bytes)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { RING_BYTES } };
	int r = command(guest->vm, KVM_ENABLE_CAP, &cap);

	if (r < 0)
		return r;
	guest->ring.pages = ram_bytes / PAGE_BYTES;
	guest->ring.written = calloc(vfm_bitmap_words(guest->ring.pages), sizeof(uint64_t));
	return guest->ring.written ? -pthread_mutex_init(&guest->ring.lock, NULL) : -ENOMEM;
}

static int map_ring(struct guest *guest)
{
	void *entries = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, guest->vcpu,
			     (off_t)KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_BYTES);

	if (entries == MAP_FAILED)
		return -errno;
	guest->ring.entries = entries;
	return 0;
}

static int add_vcpu(struct guest *guest)
{
	int bytes = command(guest->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);

	if (bytes < 0)
		return bytes;
	guest->vcpu = command(guest->vm, KVM_CREATE_VCPU, NULL);
	if (guest->vcpu < 0)
		return guest->vcpu;
	guest->run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, guest->vcpu, 0);
	if (guest->run == MAP_FAILED) {
		guest->run = NULL;
		return -errno;
	}
	guest->run_bytes = (size_t)bytes;
	return 0;
}

int guest_create(struct guest *guest, void *ram, size_t bytes, bool ring)
{
	int r;

	*guest = (struct guest){ .vm = -1, .vcpu = -1, .devices = -1 };
	guest->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (guest->kvm < 0)
		return -errno;
	guest->vm = command(guest->kvm, KVM_CREATE_VM, NULL);
	if (guest->vm < 0)
		return guest->vm;
	r = ring ? enable_ring(guest, bytes) : 0;
	if (r == 0)
		r = add_ram(guest, ram, bytes);
	if (r == 0)
		r = add_vcpu(guest);
	return r == 0 && ring ? map_ring(guest) : r;
}

static int create_devices(struct guest *guest)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };
	int r = command(guest->vm, KVM_CREATE_DEVICE, &create);

	if (r == 0)
		guest->devices = (int)create.fd;
	return r;
}

int guest_add_device(void *user, int fd)
{
	struct guest *guest = user;
	int32_t file = fd;
	struct kvm_device_attr add = {
		.group = KVM_DEV_VFIO_GROUP, /* _FILE since Linux 6.6, and the same number */
		.attr = KVM_DEV_VFIO_GROUP_ADD,
		.addr = (uintptr_t)&file,
	};
	int r = guest->devices < 0 ? create_devices(guest) : 0;

	if (r == 0)
		r = command(guest->devices, KVM_SET_DEVICE_ATTR, &add);
	return r == -EEXIST ? 0 : r;
}

void guest_destroy(struct guest *guest)
{
	if (guest->running)
		(void)guest_stop(guest);
	if (guest->ring.entries)
		munmap(guest->ring.entries, RING_BYTES);
	if (guest->ring.written)
		pthread_mutex_destroy(&guest->ring.lock);
	free(guest->ring.written);
	if (guest->run)
		munmap(guest->run, guest->run_bytes);
	if (guest->devices >= 0)
		close(guest->devices);
	if (guest->vcpu >= 0)
		close(guest->vcpu);
	if (guest->vm >= 0)
		close(guest->vm);
	if (guest->kvm >= 0)
		close(guest->kvm);
}

void guest_load(uint8_t *ram)
{
	memcpy(ram + ENTRY, guest_program, (size_t)(guest_program_end - guest_program));
}

int guest_reset(struct guest *guest)
{
	struct guest_cpu cpu = { .regs = { .rip = ENTRY, .rflags = 2, .rbx = FIRST_WRITE } };
	int r = command(guest->vcpu, KVM_GET_SREGS, &cpu.sregs);

	cpu.sregs.cs.base = 0;
	cpu.sregs.cs.selector = 0;
	cpu.sregs.ds.limit = UINT32_MAX; /* all of RAM, in real mode too */
	return r < 0 ? r : guest_restore(guest, &cpu);
}

/*
 * Take out what the vCPU has written down. A page goes on into the bitmap before KVM is told that it may be written
 * down again: so it is there before whoever sends it reads it.
 */
static int empty_ring(struct guest *guest)
{
	struct guest_ring *ring = &guest->ring;
	bool any = false;
	int r = 0;

	pthread_mutex_lock(&ring->lock);
	for (;; ring->next++, any = true) {
		struct kvm_dirty_gfn *entry = &ring->entries[ring->next % RING_ENTRIES];

		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		if (entry->offset >= ring->pages) {
			r = -ERANGE;
			break;
		}
		vfm_bitmap_set(ring->written, entry->offset, 1, false);
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
	if (any && r == 0)
		r = command(guest->vm, KVM_RESET_DIRTY_RINGS, NULL);
	pthread_mutex_unlock(&ring->lock);
	return r < 0 ? r : 0;
}

/* One exit of the vCPU: 0 go on, 1 it showed that it is alive, -errno. */
static int handle_exit(struct guest *guest)
{
	const struct kvm_run *run = guest->run;

	if (run->exit_reason == KVM_EXIT_DIRTY_RING_FULL) {
		guest->ring.full++;
		return empty_ring(guest);
	}
	if (run->exit_reason != KVM_EXIT_IO)
		return -EIO;
	if (run->io.port == PORT_BROKEN)
		return -EILSEQ;
	return run->io.port == PORT_ALIVE;
}

/* An instruction that left the guest is complete only when the guest was entered once more. */
static int complete_instruction(struct guest *guest)
{
	int r;

	guest->run->immediate_exit = 1;
	r = command(guest->vcpu, KVM_RUN, NULL);
	guest->run->immediate_exit = 0;
	return r == -EINTR ? 0 : r;
}

static void *run_vcpu(void *user)
{
	struct guest *guest = user;
	int r;

	do {
		r = command(guest->vcpu, KVM_RUN, NULL);
		if (r >= 0)
			r = handle_exit(guest);
	} while (r == 0 || (r == -EINTR && !atomic_load(&guest->lost)) || (r == 1 && !atomic_load(&guest->stop)));
	guest->failure = r < 0 ? r : complete_instruction(guest);
	atomic_store(&guest->ended, true);
	return NULL;
}

static void interrupt_call(int number)
{
	(void)number;
}

/* A vCPU that does not come out by itself: whatever it runs is not its program. */
static void give_up_on(struct guest *guest)
{
	const struct sigaction action = { .sa_handler = interrupt_call };

	atomic_store(&guest->lost, true);
	guest->run->immediate_exit = 1;
	sigaction(SIGUSR1, &action, NULL);
	pthread_kill(guest->thread, SIGUSR1);
}

int guest_start(struct guest *guest)
{
	int r;

	atomic_store(&guest->stop, false);
	atomic_store(&guest->ended, false);
	r = -pthread_create(&guest->thread, NULL, run_vcpu, guest);
	guest->running = r == 0;
	return r;
}

int guest_stop(struct guest *guest)
{
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000 };

	atomic_store(&guest->stop, true);
	for (int ms = 0; !atomic_load(&guest->ended) && ms < ALIVE_MS; ms += LOOK_MS)
		nanosleep(&look, NULL);
	if (!atomic_load(&guest->ended))
		give_up_on(guest);
	pthread_join(guest->thread, NULL);
	guest->running = false;
	return atomic_load(&guest->lost) ? -ETIMEDOUT : guest->failure;
}

int guest_save(struct guest *guest, struct guest_cpu *ret)
{
	int r = command(guest->vcpu, KVM_GET_REGS, &ret->regs);

	return r < 0 ? r : command(guest->vcpu, KVM_GET_SREGS, &ret->sregs);
}

int guest_restore(struct guest *guest, const struct guest_cpu *cpu)
{
	struct guest_cpu copy = *cpu;
	int r = command(guest->vcpu, KVM_SET_SREGS, &copy.sregs);

	return r < 0 ? r : command(guest->vcpu, KVM_SET_REGS, &copy.regs);
}

uint32_t guest_counter(const struct guest_cpu *cpu)
{
	return (uint32_t)cpu->regs.rbx;
}

int guest_dirty(struct guest *guest, uint64_t *log)
{
	struct kvm_dirty_log ask = { .dirty_bitmap = log };
	struct guest_ring *ring = &guest->ring;
	int r;

	/* Bit n of it is bit n % 8 of byte n / 8: on a host of the other byte order no bitmap of words. */
	if (!ring->entries)
		return command(guest->vm, KVM_GET_DIRTY_LOG, &ask);
	r = empty_ring(guest);
	pthread_mutex_lock(&ring->lock);
	vfm_bitmap_merge(log, 0, ring->written, 0, ring->pages, false);
	vfm_bitmap_clear(ring->written, 0, ring->pages);
	pthread_mutex_unlock(&ring->lock);
	return r;
}
