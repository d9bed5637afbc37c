/* SPDX-License-Identifier: MIT */
/* The guest of minivmm.c and the KVM ioctls that run it; the library makes none of them. */
#include "minivmm-kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRY 0x1000u
#define PORT_ALIVE 0x10
#define PORT_BROKEN 0x11

/*
 * Write number EBX goes to both ends of page EBX % 64 from 128 KiB on. Before it, both ends must hold the number that
 * was written there last: a page that was lost on the way is found by the guest itself. Once in 64 writes it shows that
 * it is alive, which is when it can be stopped.
 */
__asm__(".pushsection .rodata\n"
	"guest_program:\n"
	"	.code16\n"
	"1:	movl %ebx, %eax\n"
	"	andl $63, %eax\n"
	"	shll $8, %eax\n"
	"	addl $0x2000, %eax\n"
	"	movw %ax, %es\n"
	"	cmpl $128, %ebx\n"
	"	jb 2f\n"
	"	movl %ebx, %edx\n"
	"	subl $64, %edx\n"
	"	cmpl %edx, %es:0\n"
	"	jne 3f\n"
	"	cmpl %edx, %es:0xffc\n"
	"	jne 3f\n"
	"2:	movl %ebx, %es:0\n"
	"	movl %ebx, %es:0xffc\n"
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

int guest_create(struct guest *guest, void *ram, size_t bytes)
{
	int r;

	*guest = (struct guest){ .vm = -1, .vcpu = -1 };
	guest->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (guest->kvm < 0)
		return -errno;
	guest->vm = command(guest->kvm, KVM_CREATE_VM, NULL);
	if (guest->vm < 0)
		return guest->vm;
	r = add_ram(guest, ram, bytes);
	return r < 0 ? r : add_vcpu(guest);
}

void guest_destroy(struct guest *guest)
{
	if (guest->running)
		(void)guest_stop(guest);
	if (guest->run)
		munmap(guest->run, guest->run_bytes);
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
	struct guest_cpu cpu = { .regs = { .rip = ENTRY, .rflags = 2, .rbx = 64 } };
	int r = command(guest->vcpu, KVM_GET_SREGS, &cpu.sregs);

	cpu.sregs.cs.base = 0;
	cpu.sregs.cs.selector = 0;
	return r < 0 ? r : guest_restore(guest, &cpu);
}

/* One exit of the vCPU: 0 go on, 1 it showed that it is alive, -errno. */
static int handle_exit(const struct kvm_run *run)
{
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
			r = handle_exit(guest->run);
	} while (r == 0 || r == -EINTR || (r == 1 && !atomic_load(&guest->stop)));
	guest->failure = r < 0 ? r : complete_instruction(guest);
	return NULL;
}

int guest_start(struct guest *guest)
{
	int r;

	atomic_store(&guest->stop, false);
	r = -pthread_create(&guest->thread, NULL, run_vcpu, guest);
	guest->running = r == 0;
	return r;
}

int guest_stop(struct guest *guest)
{
	atomic_store(&guest->stop, true);
	pthread_join(guest->thread, NULL);
	guest->running = false;
	return guest->failure;
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

	return command(guest->vm, KVM_GET_DIRTY_LOG, &ask);
}
