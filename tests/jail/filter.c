// SPDX-License-Identifier: MIT
/* The seccomp filter that the list makes: x86-64, requests of ioctl and flags of newfstatat looked at. */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jail.h"

#define MAX_STEPS 1024u

struct program {
	struct sock_filter steps[MAX_STEPS];
	size_t count;
};

static void add(struct program *p, uint16_t code, uint32_t operand, uint8_t jump_true, uint8_t jump_false)
{
	if (p->count < MAX_STEPS)
		p->steps[p->count] = (struct sock_filter)BPF_JUMP(code, operand, jump_true, jump_false);
	p->count++;
}

static void load(struct program *p, size_t offset)
{
	add(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void end(struct program *p, uint32_t action)
{
	add(p, BPF_RET | BPF_K, action, 0, 0);
}

/* Equal: the next step; else the one after. */
static void allow_if(struct program *p, uint32_t value)
{
	add(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	end(p, SECCOMP_RET_ALLOW);
}

static size_t argument(size_t index)
{
	return offsetof(struct seccomp_data, args) + index * sizeof(uint64_t); /* little endian: its lower half */
}

static bool is_inside(enum phase phase, uint32_t flags)
{
	switch (phase) {
	case PHASE_libc:
	case PHASE_adopt:
	case PHASE_beside:
	case PHASE_attach:
	case PHASE_map:
	case PHASE_dirty:
	case PHASE_regions:
	case PHASE_interrupts:
	case PHASE_migrate:
	case PHASE_reset:
	case PHASE_endpoint:
	case PHASE_serve:
	case PHASE_hand_back:
	case PHASE_close:
	case PHASE_program:
		return true;
	case PHASE_simulator:
		return flags & JAIL_SIMULATED;
	default:
		return false;
	}
}

/* With the call's number loaded. A jump leaps over 255 steps at most: 120 requests. */
static void allow_ioctls(struct program *p, uint32_t flags)
{
	size_t branch = p->count;

	add(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 0);
	load(p, argument(1));
	for (const struct jail_entry *e = jail_ioctls; e->name; e++)
		if (is_inside(e->phase, flags))
			allow_if(p, (uint32_t)e->number);
	end(p, SECCOMP_RET_KILL_PROCESS);
	p->steps[branch].jf = (uint8_t)(p->count - branch - 1);
}

/* Of the descriptor itself; without this flag it would be a path that is looked up. */
static void allow_fstat(struct program *p)
{
	allow_if(p, SYS_fstat);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 4);
	load(p, argument(3));
	allow_if(p, AT_EMPTY_PATH);
	end(p, SECCOMP_RET_KILL_PROCESS);
}

static void begin(struct program *p, uint32_t otherwise)
{
	load(p, offsetof(struct seccomp_data, arch));
	add(p, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	end(p, otherwise);
	load(p, offsetof(struct seccomp_data, nr));
}

static int install(const struct program *p, unsigned int flags)
{
	const struct sock_fprog program = { .len = (unsigned short)p->count, .filter = (struct sock_filter *)p->steps };
	int r;

	if (p->count > MAX_STEPS)
		return -E2BIG;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	return r < 0 ? -errno : r;
}

static bool has_own_rule(const struct jail_entry *entry, uint32_t flags)
{
	return entry->number == SYS_ioctl || entry->number == SYS_fstat ||
	       (entry->number == SYS_clone3 && flags & JAIL_NO_THREADS);
}

int jail_enter(uint32_t flags)
{
	static struct program p;

	p.count = 0;
	begin(&p, SECCOMP_RET_KILL_PROCESS);
	allow_ioctls(&p, flags);
	allow_fstat(&p);
	for (const struct jail_entry *e = jail_calls; e->name; e++)
		if (is_inside(e->phase, flags) && !has_own_rule(e, flags))
			allow_if(&p, (uint32_t)e->number);
	end(&p, SECCOMP_RET_KILL_PROCESS);
	return install(&p, flags & JAIL_NO_THREADS ? SECCOMP_FILTER_FLAG_TSYNC : 0);
}

int jail_enter_watched(void)
{
	static struct program p;

	p.count = 0;
	begin(&p, SECCOMP_RET_KILL_PROCESS);
	end(&p, SECCOMP_RET_USER_NOTIF);
	return install(&p, SECCOMP_FILTER_FLAG_NEW_LISTENER);
}
