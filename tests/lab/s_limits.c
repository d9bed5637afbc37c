// SPDX-License-Identifier: MIT
/*
 * Limits of the kernel, met: locked memory and entries. What preflight says is what a map then does, one page below the
 * limit, at it and above it.
 */
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limits.h"

#define LIMIT_PAGES 8u
#define LIMIT (LIMIT_PAGES * PAGE)
#define AT 0x400000ull
#define STEP 0x100000ull /* areas are that far apart */
#define ENTRIES 3u
#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
#define TRACE "/sys/kernel/tracing/"
#define HUGE_BYTES (2ull << 20)

/* what there is of a process */

static int set_capability(struct env *env, int capability, bool on)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	REQUIRE(syscall(SYS_capget, &head, data) == 0);
	data[0].effective &= ~(1u << capability);
	data[0].effective |= on ? 1u << capability : 0;
	REQUIRE(syscall(SYS_capset, &head, data) == 0);
	return 0;
}

int lab_ipc_lock(struct env *env, bool on)
{
	return set_capability(env, CAP_IPC_LOCK, on);
}

int lab_sys_resource(struct env *env, bool on)
{
	return set_capability(env, CAP_SYS_RESOURCE, on);
}

int lab_memlock(struct env *env, uint64_t bytes)
{
	struct rlimit limit;

	REQUIRE(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	limit.rlim_cur = bytes;
	REQUIRE(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	return 0;
}

uint64_t lab_status_kib(const char *key)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long long value = UINT64_MAX;
	const size_t length = strlen(key);
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, length) && line[length] == ':')
			value = strtoull(line + length + 1, NULL, 10);
	}
	if (file)
		fclose(file);
	return value;
}

/* locked memory */

/* That many pages more: preflight and the kernel are of the same opinion, and of ours. */
static int agree(struct env *env, struct vfm_iommu *iommu, uint8_t *memory, unsigned int slot, unsigned int pages,
		 int want)
{
	VFM_OPTS(vfm_limits, limits);

	REQUIRE_RESULT(vfm_iommu_preflight(iommu, pages * PAGE, 1, &limits, &env->err), want);
	REQUIRE(limits.memlock_needed == pages * PAGE && limits.memlock_limit == LIMIT);
	REQUIRE(want == 0 || lab_says(env, "raise RLIMIT_MEMLOCK"));
	REQUIRE_RESULT(env_map(env, iommu, memory, pages * PAGE, AT + slot * STEP), want);
	REQUIRE(want == 0 || lab_says(env, "the locked-memory limit (RLIMIT_MEMLOCK, ulimit -l) must allow"));
	return 0;
}

static int used_is(struct env *env, struct vfm_iommu *iommu, unsigned int pages)
{
	VFM_OPTS(vfm_limits, limits);
	VFM_OPTS(vfm_iommu_info, info);

	OK(vfm_iommu_preflight(iommu, 0, 0, &limits, &env->err));
	REQUIRE(limits.memlock_used == pages * PAGE);
	OK(vfm_iommu_info(iommu, &info, &env->err));
	REQUIRE(info.mapped_bytes == pages * PAGE);
	return 0;
}

static int up_to_the_limit(struct env *env, struct vfm_device *dev, uint8_t *memory)
{
	struct vfm_iommu *iommu = vfm_device_iommu(dev);

	if (agree(env, iommu, memory, 0, LIMIT_PAGES + 1, -ENOMEM) || used_is(env, iommu, 0) ||
	    agree(env, iommu, memory, 0, 3, 0) || used_is(env, iommu, 3) ||
	    agree(env, iommu, memory, 1, LIMIT_PAGES - 2, -ENOMEM) || used_is(env, iommu, 3) ||
	    agree(env, iommu, memory, 1, LIMIT_PAGES - 4, 0) || agree(env, iommu, memory, 2, 2, -ENOMEM) ||
	    agree(env, iommu, memory, 2, 1, 0) || agree(env, iommu, memory, 3, 1, -ENOMEM) ||
	    used_is(env, iommu, LIMIT_PAGES))
		return -1;
	/* what is mapped works, and what is taken back is there again */
	if (edu_copy(env, dev, memory, AT, memory, AT + 2 * STEP, 1))
		return -1;
	OK(vfm_iommu_unmap(iommu, AT + STEP, (LIMIT_PAGES - 4) * PAGE, &env->err));
	return used_is(env, iommu, 4) || agree(env, iommu, memory, 1, LIMIT_PAGES - 4, 0);
}

/* CAP_IPC_LOCK: no limit, and preflight knows. */
static int lifted(struct env *env, struct vfm_iommu *iommu, uint8_t *memory)
{
	VFM_OPTS(vfm_limits, limits);

	OK(vfm_iommu_preflight(iommu, 2 * LIMIT, 1, &limits, &env->err));
	REQUIRE(limits.memlock_limit == UINT64_MAX);
	OK(env_map(env, iommu, memory, 2 * LIMIT, AT + 4 * STEP));
	return 0;
}

static int memlock_in(struct env *env, uint32_t backend, uint32_t flags)
{
	uint8_t *memory = env_memory(env, 2 * LIMIT);
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	REQUIRE(memory);
	options.backend = backend;
	options.flags = flags;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	env->iommus[env->opened] = iommu;
	env->devs[env->opened++] = NULL;
	if (env_add(env, iommu, FIRST, &dev) || up_to_the_limit(env, dev, memory))
		return -1;
	return lab_ipc_lock(env, true) || lifted(env, iommu, memory);
}

static pid_t begin_child(void)
{
	fflush(stdout);
	return fork();
}

static void end_child(struct env *env, int r)
{
	env_close_all(env);
	fflush(stdout);
	_exit(r ? 1 : 0);
}

static int await_child(struct env *env, pid_t child)
{
	int status = -1;

	REQUIRE(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	return 0;
}

/* In a process of its own: neither limit nor capability comes back. */
static int poor(struct env *env, int (*run)(struct env *env, uint32_t backend, uint32_t flags), uint32_t backend,
		uint32_t flags)
{
	const pid_t child = begin_child();

	if (child == 0)
		end_child(env, lab_memlock(env, LIMIT) || lab_ipc_lock(env, false) || run(env, backend, flags));
	return await_child(env, child);
}

static int memlock_native(struct env *env)
{
	return poor(env, memlock_in, VFM_BACKEND_IOMMUFD, 0);
}

static int memlock_native_process(struct env *env)
{
	return poor(env, memlock_in, VFM_BACKEND_IOMMUFD, VFM_IOMMU_ACCOUNT_PROCESS);
}

static int memlock_type1(struct env *env)
{
	return poor(env, memlock_in, VFM_BACKEND_TYPE1, 0);
}

static int memlock_type1v2(struct env *env)
{
	return poor(env, memlock_in, VFM_BACKEND_TYPE1V2, 0);
}

static int memlock_compat_type1(struct env *env)
{
	return poor(env, memlock_in, VFM_BACKEND_COMPAT_TYPE1, 0);
}

static int memlock_compat_type1v2(struct env *env)
{
	return poor(env, memlock_in, VFM_BACKEND_COMPAT_TYPE1V2, 0);
}

/* An IOAS pins at the first attach: what was too much shows there, and it is as before. */
static int attach_above(struct env *env, uint32_t backend, uint32_t flags)
{
	uint8_t *memory = env_memory(env, 2 * LIMIT);
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu;

	(void)flags;
	REQUIRE(memory);
	if (env_space(env, backend, &iommu))
		return -1;
	REQUIRE_RESULT(vfm_iommu_preflight(iommu, LIMIT + PAGE, 1, NULL, &env->err), -ENOMEM);
	OK(env_map(env, iommu, memory, LIMIT, AT));
	REQUIRE_RESULT(vfm_iommu_preflight(iommu, PAGE, 1, NULL, &env->err), -ENOMEM);
	OK(env_map(env, iommu, memory + LIMIT, PAGE, AT + LIMIT));
	REQUIRE_RESULT(vfm_device_open_attached(env->ctx, env->names[FIRST], iommu, &dev, &env->err), -ENOMEM);
	printf("# %s\n", env->err.message);
	/* whether there is a limit was settled when it was mapped */
	if (lab_ipc_lock(env, true))
		return -1;
	REQUIRE_RESULT(vfm_device_open_attached(env->ctx, env->names[FIRST], iommu, &dev, &env->err), -ENOMEM);
	if (lab_ipc_lock(env, false))
		return -1;
	OK(vfm_iommu_unmap(iommu, AT + LIMIT, PAGE, &env->err));
	if (env_add(env, iommu, FIRST, &dev))
		return -1;
	REQUIRE(lab_status_kib("VmPin") == LIMIT / 1024);
	return edu_copy(env, dev, memory, AT, memory + PAGE, AT + PAGE, 2);
}

static int memlock_attach(struct env *env)
{
	return poor(env, attach_above, VFM_BACKEND_IOMMUFD, 0);
}

/* accounting */

static int charges_move(struct env *env, uint32_t backend, uint32_t flags)
{
	const bool process = flags & VFM_IOMMU_ACCOUNT_PROCESS;
	uint8_t *memory = env_memory(env, LIMIT);
	VFM_OPTS(vfm_iommu_options, options);
	VFM_OPTS(vfm_iommu_info, info);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	REQUIRE(memory);
	options.backend = backend;
	options.flags = flags;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	env->iommus[env->opened] = iommu;
	env->devs[env->opened++] = NULL;
	OK(vfm_iommu_info(iommu, &info, &env->err));
	REQUIRE((info.flags & VFM_IOMMU_ACCOUNT_PROCESS) == (flags & VFM_IOMMU_ACCOUNT_PROCESS));
	if (env_add(env, iommu, FIRST, &dev))
		return -1;
	REQUIRE(lab_status_kib("VmLck") == 0 && lab_status_kib("VmPin") == 0);
	OK(env_map(env, iommu, memory, LIMIT, AT));
	REQUIRE(lab_status_kib("VmLck") == (process ? LIMIT / 1024 : 0));
	REQUIRE(lab_status_kib("VmPin") == LIMIT / 1024);
	OK(vfm_iommu_unmap(iommu, AT, LIMIT, &env->err));
	REQUIRE(lab_status_kib("VmLck") == 0 && lab_status_kib("VmPin") == 0);
	return 0;
}

static int account_user(struct env *env)
{
	return poor(env, charges_move, VFM_BACKEND_IOMMUFD, 0);
}

static int account_process(struct env *env)
{
	return poor(env, charges_move, VFM_BACKEND_IOMMUFD, VFM_IOMMU_ACCOUNT_PROCESS);
}

static int hold_all(struct env *env, uint32_t backend, uint32_t flags, enum which which, int *ret_mapped)
{
	uint8_t *memory = env_memory(env, LIMIT);
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	REQUIRE(memory);
	options.backend = backend;
	options.flags = flags;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	env->iommus[env->opened] = iommu;
	env->devs[env->opened++] = NULL;
	if (env_add(env, iommu, which, &dev))
		return -1;
	OK(vfm_iommu_preflight(iommu, LIMIT, 1, NULL, &env->err));
	*ret_mapped = env_map(env, iommu, memory, LIMIT, AT);
	return 0;
}

/* A user's processes share one limit, of which each sees its own part only; a process has one for itself. */
static int two_processes(struct env *env, uint32_t backend, uint32_t flags)
{
	const int want = flags & VFM_IOMMU_ACCOUNT_PROCESS ? 0 : -ENOMEM;
	pid_t child;
	int mapped;

	if (hold_all(env, backend, flags, FIRST, &mapped))
		return -1;
	OK(mapped);
	child = begin_child();
	if (child == 0) {
		struct env own = { .err = { .size = sizeof(own.err) } };
		int r = vfm_context_new(&own.ctx);

		memcpy(own.names, env->names, sizeof(own.names));
		if (r == 0)
			r = hold_all(&own, backend, flags, SECOND, &mapped) || mapped != want;
		printf("# beside another process: %d\n", mapped);
		end_child(&own, r);
	}
	return await_child(env, child);
}

static int two_of_a_user(struct env *env)
{
	return poor(env, two_processes, VFM_BACKEND_IOMMUFD, 0);
}

static int two_by_process(struct env *env)
{
	return poor(env, two_processes, VFM_BACKEND_IOMMUFD, VFM_IOMMU_ACCOUNT_PROCESS);
}

static int not_permitted(struct env *env)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *iommu = NULL;
	int r;

	options.backend = VFM_BACKEND_IOMMUFD;
	options.flags = VFM_IOMMU_ACCOUNT_PROCESS;
	if (lab_sys_resource(env, false))
		return -1;
	r = vfm_iommu_open(env->ctx, &options, &iommu, &env->err);
	if (lab_sys_resource(env, true))
		return -1;
	REQUIRE_RESULT(r, -EPERM);
	REQUIRE(lab_says(env, "CAP_SYS_RESOURCE"));
	return 0;
}

/* pages: what the IOMMU is asked for, by the kernel's own events */

static int write_file(struct env *env, const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	REQUIRE(file);
	REQUIRE(fputs(text, file) >= 0);
	REQUIRE(fclose(file) == 0);
	return 0;
}

/* Calls of iommu_map() with this size since the last time. */
static int count_maps(struct env *env, uint64_t size, unsigned int *ret)
{
	FILE *file = fopen(TRACE "trace", "r");
	char line[512], want[32];

	*ret = 0;
	REQUIRE(file);
	snprintf(want, sizeof(want), " size=%llu", (unsigned long long)size);
	while (fgets(line, sizeof(line), file)) {
		const char *at = strstr(line, want);

		*ret += strstr(line, " map: ") && at && strchr("\n ", at[strlen(want)]);
	}
	fclose(file);
	return write_file(env, TRACE "trace", "\n");
}

static int pages_of(struct env *env, uint32_t flags, unsigned int *ret_small, unsigned int *ret_huge)
{
	void *memory = mmap(NULL, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	REQUIRE(memory != MAP_FAILED);
	options.backend = VFM_BACKEND_IOMMUFD;
	options.flags = flags;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	env->iommus[env->opened] = iommu;
	env->devs[env->opened++] = NULL;
	if (env_add(env, iommu, FIRST, &dev) || write_file(env, TRACE "trace", "\n"))
		return -1;
	OK(env_map(env, iommu, memory, HUGE_BYTES, HUGE_BYTES));
	if (count_maps(env, PAGE, ret_small))
		return -1;
	OK(vfm_iommu_unmap(iommu, HUGE_BYTES, HUGE_BYTES, &env->err));
	if (write_file(env, TRACE "trace", "\n"))
		return -1;
	OK(env_map(env, iommu, memory, HUGE_BYTES, HUGE_BYTES));
	if (count_maps(env, HUGE_BYTES, ret_huge) ||
	    edu_copy(env, dev, memory, HUGE_BYTES, (uint8_t *)memory + HUGE_BYTES / 2, HUGE_BYTES + HUGE_BYTES / 2, 5))
		return -1;
	OK(vfm_iommu_unmap(iommu, HUGE_BYTES, HUGE_BYTES, &env->err));
	env_close_all(env);
	munmap(memory, HUGE_BYTES);
	return 0;
}

static int small_pages(struct env *env)
{
	unsigned int small, huge;

	if (write_file(env, TRACE "events/iommu/map/enable", "1") || pages_of(env, 0, &small, &huge))
		return -1;
	printf("# of 2 MiB: %u maps of 4 KiB, %u of 2 MiB\n", small, huge);
	REQUIRE(small == 0 && huge == 1);
	if (pages_of(env, VFM_IOMMU_SMALL_PAGES, &small, &huge))
		return -1;
	printf("# in small pages: %u maps of 4 KiB, %u of 2 MiB\n", small, huge);
	REQUIRE(small == HUGE_BYTES / PAGE && huge == 0);
	return write_file(env, TRACE "events/iommu/map/enable", "0");
}

/* entries of a container */

static int entries_are(struct env *env, struct vfm_iommu *iommu, uint64_t left)
{
	VFM_OPTS(vfm_limits, limits);

	OK(vfm_iommu_preflight(iommu, PAGE, left, &limits, &env->err));
	REQUIRE(limits.entries_left == left && limits.entries_needed == left);
	REQUIRE_RESULT(vfm_iommu_preflight(iommu, PAGE, left + 1, &limits, &env->err), -ENOSPC);
	REQUIRE(lab_says(env, "dma_entry_limit"));
	return 0;
}

static int entries_agree(struct env *env, struct vfm_iommu *iommu, uint64_t left)
{
	VFM_OPTS(vfm_iommu_info, info);

	if (entries_are(env, iommu, left))
		return -1;
	OK(vfm_iommu_info(iommu, &info, &env->err));
	REQUIRE(info.entries_left == left);
	return 0;
}

static int use_up_entries(struct env *env, struct vfm_iommu *iommu, uint8_t *memory)
{
	struct vfm_map somewhere = { .size = sizeof(somewhere), .flags = VFM_MAP_READ, .vaddr = memory };

	for (unsigned int i = 0; i < ENTRIES; i++) {
		if (entries_agree(env, iommu, ENTRIES - i))
			return -1;
		OK(env_map(env, iommu, memory, PAGE, AT + i * STEP));
	}
	if (entries_agree(env, iommu, 0))
		return -1;
	REQUIRE_RESULT(env_map(env, iommu, memory, PAGE, AT + ENTRIES * STEP), -ENOSPC);
	REQUIRE(lab_says(env, "the container takes no more maps (vfio_iommu_type1.dma_entry_limit)"));
	somewhere.length = PAGE;
	REQUIRE_RESULT(vfm_iommu_map(iommu, &somewhere, &env->err), -ENOSPC);
	REQUIRE(lab_says(env, "dma_entry_limit"));
	OK(vfm_iommu_unmap(iommu, AT + STEP, PAGE, &env->err));
	if (entries_agree(env, iommu, 1))
		return -1;
	OK(vfm_iommu_map(iommu, &somewhere, &env->err));
	return entries_agree(env, iommu, 0);
}

static int with_entries(struct env *env, uint32_t backend)
{
	uint8_t *memory = env_memory(env, PAGE);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	REQUIRE(memory);
	/* before it has an IOMMU the module's parameter tells */
	if (env_space(env, backend, &iommu) || entries_are(env, iommu, ENTRIES) || env_add(env, iommu, FIRST, &dev) ||
	    use_up_entries(env, iommu, memory))
		return -1;
	return edu_copy(env, dev, memory, AT, memory + 2048, AT + 2048, 6);
}

static int without_entries(struct env *env, uint32_t backend)
{
	uint8_t *memory = env_memory(env, PAGE);
	VFM_OPTS(vfm_limits, limits);
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	REQUIRE(memory);
	if (lab_open(env, backend, FIRST, &dev))
		return -1;
	iommu = vfm_device_iommu(dev);
	OK(vfm_iommu_preflight(iommu, PAGE, 100000, &limits, &env->err));
	REQUIRE(limits.entries_left == UINT64_MAX);
	for (unsigned int i = 0; i < ENTRIES + 2; i++)
		OK(env_map(env, iommu, memory, PAGE, AT + i * STEP));
	return 0;
}

static int under_limit(struct env *env, int (*run)(struct env *env, uint32_t backend), uint32_t backend)
{
	int r;

	if (write_file(env, ENTRY_LIMIT, "3"))
		return -1;
	r = run(env, backend);
	return write_file(env, ENTRY_LIMIT, "65535") || r;
}

static int entries_type1(struct env *env)
{
	return under_limit(env, with_entries, VFM_BACKEND_TYPE1);
}

static int entries_type1v2(struct env *env)
{
	return under_limit(env, with_entries, VFM_BACKEND_TYPE1V2);
}

static int entries_native(struct env *env)
{
	return under_limit(env, without_entries, VFM_BACKEND_IOMMUFD);
}

static int entries_compat(struct env *env)
{
	return under_limit(env, without_entries, VFM_BACKEND_COMPAT_TYPE1V2);
}

const struct lab_test limit_tests[] = {
	{ "limits", "locked memory in iommufd", memlock_native },
	{ "limits", "locked memory in iommufd, charged to the process", memlock_native_process },
	{ "limits", "locked memory in type1", memlock_type1 },
	{ "limits", "locked memory in type1v2", memlock_type1v2 },
	{ "limits", "locked memory in compat-type1", memlock_compat_type1 },
	{ "limits", "locked memory in compat-type1v2", memlock_compat_type1v2 },
	{ "limits", "locked memory at the first attach", memlock_attach },
	{ "limits", "an iommufd charges the user", account_user },
	{ "limits", "an iommufd charges the process", account_process },
	{ "limits", "two processes of a user share its limit", two_of_a_user },
	{ "limits", "two processes have limits of their own", two_by_process },
	{ "limits", "charging the process is not for everybody", not_permitted },
	{ "limits", "entries of type1", entries_type1 },
	{ "limits", "entries of type1v2", entries_type1v2 },
	{ "limits", "entries are no matter of iommufd", entries_native },
	{ "limits", "entries are no matter of compat-type1v2", entries_compat },
	{ "limits", "pages of the smallest size", small_pages },
	{ NULL, NULL, NULL },
};
