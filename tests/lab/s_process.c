// SPDX-License-Identifier: MIT
/*
 * Live update: a process maps memory of a memfd, another one takes the address space over, with the same memory at
 * another address, and goes on when the first one has ended. What is locked is charged to whoever has it.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limits.h"

#define AREA (4 * PAGE)
#define AREA_KIB (AREA / 1024)
#define AT 0x200000ull
#define OTHER_AT 0x300000ull
#define HANDED "VFM_LAB_HANDED" /* to the successor: "MEMFD DESCRIPTION" */

/* What one process leaves to the other. */
struct handed {
	int memfd;
	char device[VFM_DESCRIPTION_MAX];
};

struct plan {
	uint32_t backend;
	uint32_t flags;
	const char *charge; /* line of /proc/self/status that moves */
	bool locks;	    /* CAP_IPC_LOCK is kept */
	int (*take)(struct env *env, struct vfm_device *dev, uint8_t *memory);
};

static uint8_t *map_memfd(int memfd)
{
	uint8_t *memory = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int open_space(struct env *env, const struct plan *plan, struct vfm_device **ret)
{
	VFM_OPTS(vfm_iommu_options, options);
	struct vfm_iommu *iommu;

	options.backend = plan->backend;
	options.flags = plan->flags;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	env->iommus[env->opened] = iommu;
	env->devs[env->opened++] = NULL;
	return env_add(env, iommu, FIRST, ret);
}

/* The first process: all of it stands, DMA runs. */
static int set_up(struct env *env, const struct plan *plan, struct vfm_device **ret_dev, struct handed *handed)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };
	uint8_t *memory;

	if (open_space(env, plan, ret_dev))
		return -1;
	handed->memfd = memfd_create("lab", MFD_CLOEXEC);
	REQUIRE(handed->memfd >= 0 && ftruncate(handed->memfd, AREA) == 0);
	memory = map_memfd(handed->memfd);
	REQUIRE(memory);
	if (plan->backend == VFM_BACKEND_IOMMUFD)
		map.flags |= VFM_MAP_FILE;
	else
		map.vaddr = memory;
	map.fd = handed->memfd;
	map.length = AREA;
	map.iova = AT;
	OK(vfm_iommu_map(vfm_device_iommu(*ret_dev), &map, &env->err));
	if (edu_copy(env, *ret_dev, memory, AT, memory + PAGE, AT + PAGE, 1))
		return -1;
	REQUIRE(vfm_device_describe(*ret_dev, handed->device, sizeof(handed->device)) > 0);
	return 0;
}

/* The second one: nothing but descriptors came along, and DMA still runs to what the first one mapped. */
static int adopt(struct env *env, const struct handed *handed, struct vfm_device **ret_dev, uint8_t **ret_memory)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };
	/* the first one's address must not be free by chance */
	void *elsewhere = mmap(NULL, 16 * AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(elsewhere != MAP_FAILED);
	*ret_memory = map_memfd(handed->memfd);
	REQUIRE(*ret_memory);
	OK(vfm_device_adopt_described(env->ctx, handed->device, ret_dev, &env->err));
	env->devs[env->opened++] = *ret_dev;
	map.length = AREA;
	map.iova = AT;
	OK(vfm_iommu_adopt_map(vfm_device_iommu(*ret_dev), &map, &env->err));
	return edu_copy(env, *ret_dev, *ret_memory, AT, *ret_memory + PAGE, AT + PAGE, 2);
}

static int take_vaddr(struct env *env, struct vfm_device *dev, uint8_t *memory)
{
	struct vfm_iommu *iommu = vfm_device_iommu(dev);

	REQUIRE_RESULT(vfm_iommu_vaddr_set(iommu, AT, AREA / 2, memory, &env->err), -ENOENT);
	OK(vfm_iommu_vaddr_set(iommu, AT, AREA, memory, &env->err));
	REQUIRE_RESULT(vfm_iommu_vaddr_set(iommu, AT, AREA, memory, &env->err), -EINVAL);
	REQUIRE(lab_says(env, "has its address still"));
	return 0;
}

static int take_process(struct env *env, struct vfm_device *dev, uint8_t *memory)
{
	(void)memory;
	OK(vfm_iommu_change_process(vfm_device_iommu(dev), &env->err));
	return 0;
}

/* Linux 6.12 neither pins files nor moves charges: told so, and what is mapped stays. */
static int take_nothing(struct env *env, struct vfm_device *dev, uint8_t *memory)
{
	(void)memory;
	REQUIRE_RESULT(vfm_iommu_change_process(vfm_device_iommu(dev), &env->err), -EOPNOTSUPP);
	REQUIRE(lab_says(env, "IOMMU_IOAS_CHANGE_PROCESS, Linux 6.14"));
	return 0;
}

/* After the first one's end: DMA, a second round of the same, and the charge ends with the map. */
static int go_on(struct env *env, const struct plan *plan, struct vfm_device *dev, uint8_t *memory)
{
	struct vfm_iommu *iommu = vfm_device_iommu(dev);

	if (edu_copy(env, dev, memory + 2 * PAGE, AT + 2 * PAGE, memory + 3 * PAGE, AT + 3 * PAGE, 3))
		return -1;
	REQUIRE(!plan->charge || lab_status_kib(plan->charge) == AREA_KIB);
	if (plan->take == take_vaddr) {
		OK(vfm_iommu_vaddr_invalidate(iommu, &env->err));
		REQUIRE_RESULT(vfm_iommu_vaddr_invalidate(iommu, &env->err), -EINVAL);
		OK(vfm_iommu_vaddr_set(iommu, AT, AREA, memory, &env->err));
	}
	OK(vfm_iommu_unmap(iommu, AT, AREA, &env->err));
	REQUIRE(!plan->charge || lab_status_kib(plan->charge) == 0);
	return 0;
}

static int take_too_much(struct env *env, const struct plan *plan, struct vfm_device *dev, uint8_t *memory)
{
	struct vfm_iommu *iommu = vfm_device_iommu(dev);

	if (plan->take == take_vaddr) {
		REQUIRE_RESULT(vfm_iommu_vaddr_set(iommu, AT, AREA, memory, &env->err), -ENOMEM);
	} else {
		REQUIRE_RESULT(vfm_iommu_change_process(iommu, &env->err), -ENOMEM);
		printf("# %s\n", env->err.message);
		/* whether there is a limit was settled when it was mapped */
		if (lab_ipc_lock(env, true))
			return -1;
		REQUIRE_RESULT(vfm_iommu_change_process(iommu, &env->err), -ENOMEM);
		if (lab_ipc_lock(env, false))
			return -1;
	}
	printf("# %s\n", env->err.message);
	REQUIRE(lab_status_kib(plan->charge) == 0);
	return 0;
}

/*
 * Where the second one may not lock so much, nothing moves. Of an iommufd that charges the user both are charged for a
 * moment, though they are of one user.
 */
static int under_limits(struct env *env, const struct plan *plan, struct vfm_device *dev, uint8_t *memory)
{
	const uint64_t needed = plan->take == take_process && !plan->flags ? 2 * AREA : AREA;

	if (plan->locks || plan->take == take_nothing)
		return plan->take(env, dev, memory);
	return lab_memlock(env, needed - PAGE) || take_too_much(env, plan, dev, memory) || lab_memlock(env, needed) ||
	       plan->take(env, dev, memory);
}

static int run_second(struct env *env, const struct plan *plan, const struct handed *handed, int link)
{
	struct vfm_device *dev;
	uint8_t *memory;
	char c = 'x';

	REQUIRE(!plan->charge || lab_status_kib(plan->charge) == 0);
	if (adopt(env, handed, &dev, &memory))
		return -1;
	if (link < 0 ? plan->take(env, dev, memory) : under_limits(env, plan, dev, memory))
		return -1;
	REQUIRE(!plan->charge || lab_status_kib(plan->charge) == AREA_KIB);
	if (link >= 0) {
		REQUIRE(write(link, &c, 1) == 1);
		REQUIRE(read(link, &c, 1) == 0); /* the first one is gone */
	}
	return go_on(env, plan, dev, memory);
}

static int in_second(const struct plan *plan, const struct handed *handed, int link)
{
	struct env env = { .err = { .size = sizeof(env.err) } };
	int r = vfm_context_new(&env.ctx);

	if (r == 0)
		r = run_second(&env, plan, handed, link);
	env_close_all(&env);
	vfm_context_free(env.ctx);
	return r;
}

static int invalidate(struct env *env, const struct plan *plan, struct vfm_device *dev)
{
	if (plan->take != take_vaddr)
		return 0;
	OK(vfm_iommu_vaddr_invalidate(vfm_device_iommu(dev), &env->err));
	return 0;
}

/* The first process and its child; it ends without having closed anything. */
static int run_first(struct env *env, const struct plan *plan)
{
	struct vfm_device *dev;
	struct handed handed;
	int link[2];
	char c;

	if (set_up(env, plan, &dev, &handed) || invalidate(env, plan, dev))
		return -1;
	REQUIRE(!plan->charge || lab_status_kib(plan->charge) == AREA_KIB);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) == 0);
	fflush(stdout);
	if (fork() == 0) {
		close(link[0]);
		_exit(in_second(plan, &handed, link[1]) ? 1 : 0);
	}
	close(link[1]);
	REQUIRE(read(link[0], &c, 1) == 1);
	REQUIRE(!plan->charge || lab_status_kib(plan->charge) == 0);
	return 0;
}

/* The process itself is replaced: same pid, other memory. */
static int run_exec(struct env *env, const struct plan *plan)
{
	char text[VFM_DESCRIPTION_MAX + 16];
	struct vfm_device *dev;
	struct handed handed;

	if (set_up(env, plan, &dev, &handed) || invalidate(env, plan, dev))
		return -1;
	snprintf(text, sizeof(text), "%d %s", handed.memfd, handed.device);
	setenv(HANDED, text, 1);
	REQUIRE(fcntl(handed.memfd, F_SETFD, 0) == 0 && fcntl(vfm_device_fd(dev), F_SETFD, 0) == 0 &&
		fcntl(vfm_iommu_fd(vfm_device_iommu(dev)), F_SETFD, 0) == 0);
	fflush(stdout);
	execl("/proc/self/exe", "vfm-lab", plan->take == take_vaddr ? "process-exec-1" : "process-exec-2",
	      env->names[FIRST], NULL);
	printf("# exec: %s\n", strerror(errno));
	return -1;
}

/* Children and grandchildren are waited for here: what they hold is closed when the next scenario begins. */
static int in_processes(struct env *env, const struct plan *plan, int (*first)(struct env *, const struct plan *))
{
	int status, ended = 0, bad = 0;

	REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	fflush(stdout);
	if (fork() == 0) {
		if (!plan->locks && lab_ipc_lock(env, false))
			_exit(1);
		_exit(first(env, plan) ? 1 : 0);
	}
	for (; wait(&status) > 0; ended++)
		bad |= status;
	REQUIRE(ended == (first == run_exec ? 1 : 2) && bad == 0);
	return 0;
}

static const struct plan type1v2_plan = { VFM_BACKEND_TYPE1V2, 0, "VmLck", true, take_vaddr };
static const struct plan type1_plan = { VFM_BACKEND_TYPE1, 0, "VmLck", false, take_vaddr };
static const struct plan user_plan = { VFM_BACKEND_IOMMUFD, 0, "VmPin", false, take_process };
static const struct plan process_plan = { VFM_BACKEND_IOMMUFD, VFM_IOMMU_ACCOUNT_PROCESS, "VmLck", false,
					  take_process };
/* With CAP_IPC_LOCK an iommufd charges nobody, so nothing moves. */
static const struct plan free_plan = { VFM_BACKEND_IOMMUFD, 0, NULL, true, take_process };
static const struct plan refused_plan = { VFM_BACKEND_IOMMUFD, 0, NULL, false, take_nothing };

static int fork_type1v2(struct env *env)
{
	return in_processes(env, &type1v2_plan, run_first);
}

static int fork_type1(struct env *env)
{
	return in_processes(env, &type1_plan, run_first);
}

static int exec_type1v2(struct env *env)
{
	return in_processes(env, &type1v2_plan, run_exec);
}

static int fork_user(struct env *env)
{
	return in_processes(env, &user_plan, run_first);
}

static int fork_process(struct env *env)
{
	return in_processes(env, &process_plan, run_first);
}

static int fork_free(struct env *env)
{
	return in_processes(env, &free_plan, run_first);
}

static int exec_native(struct env *env)
{
	return in_processes(env, &user_plan, run_exec);
}

static int fork_refused(struct env *env)
{
	return in_processes(env, &refused_plan, run_first);
}

static int successor(struct env *env, const struct plan *plan)
{
	const char *text = getenv(HANDED);
	struct handed handed;
	char *device;

	REQUIRE(text);
	handed.memfd = (int)strtol(text, &device, 10);
	REQUIRE(*device == ' ');
	snprintf(handed.device, sizeof(handed.device), "%s", device + 1);
	return run_second(env, plan, &handed, -1);
}

static int successor_type1v2(struct env *env)
{
	return successor(env, &type1v2_plan);
}

static int successor_native(struct env *env)
{
	return successor(env, &user_plan);
}

/* One map that is not of a file holds all of them back. */
static int not_of_a_file(struct env *env)
{
	uint8_t *memory = env_memory(env, PAGE);
	struct vfm_device *dev;
	struct handed handed;

	REQUIRE(memory);
	if (set_up(env, &user_plan, &dev, &handed))
		return -1;
	close(handed.memfd);
	OK(vfm_iommu_change_process(vfm_device_iommu(dev), &env->err));
	OK(env_map(env, vfm_device_iommu(dev), memory, PAGE, OTHER_AT));
	REQUIRE_RESULT(vfm_iommu_change_process(vfm_device_iommu(dev), &env->err), -EINVAL);
	REQUIRE(lab_says(env, "not of a file"));
	return edu_copy(env, dev, memory, OTHER_AT, memory + 2048, OTHER_AT + 2048, 4);
}

/* The file that the library has mapped itself gives way to the address that it is told. */
static int mapped_by_the_library(struct env *env)
{
	const struct plan plan = { .backend = VFM_BACKEND_TYPE1V2 };
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };
	int memfd = memfd_create("lab", MFD_CLOEXEC);
	struct vfm_device *dev;
	uint8_t *memory;

	REQUIRE(memfd >= 0 && ftruncate(memfd, AREA) == 0);
	memory = map_memfd(memfd);
	REQUIRE(memory);
	if (open_space(env, &plan, &dev))
		return -1;
	map.flags |= VFM_MAP_FILE;
	map.fd = memfd;
	map.length = AREA;
	map.iova = AT;
	OK(vfm_iommu_map(vfm_device_iommu(dev), &map, &env->err));
	close(memfd);
	OK(vfm_iommu_vaddr_invalidate(vfm_device_iommu(dev), &env->err));
	OK(vfm_iommu_vaddr_set(vfm_device_iommu(dev), AT, AREA, memory, &env->err));
	if (edu_copy(env, dev, memory, AT, memory + PAGE, AT + PAGE, 5))
		return -1;
	OK(vfm_iommu_unmap(vfm_device_iommu(dev), AT, AREA, &env->err));
	munmap(memory, AREA);
	return 0;
}

/*
 * While addresses are away: new areas come, old ones go, no device comes, and a second call fails and takes no more
 * away, be the new area before or behind the one that has none.
 */
static int come_and_go(struct env *env)
{
	uint8_t *memory = env_memory(env, 4 * PAGE);
	struct vfm_device *dev, *other;
	struct vfm_iommu *iommu;

	REQUIRE(memory);
	if (lab_open(env, VFM_BACKEND_TYPE1V2, FIRST, &dev))
		return -1;
	iommu = vfm_device_iommu(dev);
	OK(env_map(env, iommu, memory, PAGE, AT));
	OK(env_map(env, iommu, memory + PAGE, PAGE, AT + PAGE));
	OK(vfm_iommu_vaddr_invalidate(iommu, &env->err));
	OK(env_map(env, iommu, memory + 2 * PAGE, PAGE, AT - PAGE));
	OK(env_map(env, iommu, memory + 3 * PAGE, PAGE, AT + 2 * PAGE));
	REQUIRE_RESULT(vfm_device_open_attached(env->ctx, env->names[SECOND], iommu, &other, &env->err), -EBUSY);
	printf("# %s\n", env->err.message);
	REQUIRE_RESULT(vfm_iommu_vaddr_invalidate(iommu, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_iommu_vaddr_set(iommu, AT - PAGE, PAGE, memory + 2 * PAGE, &env->err), -EINVAL);
	REQUIRE_RESULT(vfm_iommu_vaddr_set(iommu, AT + 2 * PAGE, PAGE, memory + 3 * PAGE, &env->err), -EINVAL);
	if (edu_copy(env, dev, memory, AT, memory + 2 * PAGE, AT - PAGE, 6))
		return -1;
	OK(vfm_iommu_unmap(iommu, AT + PAGE, PAGE, &env->err));
	OK(vfm_iommu_vaddr_set(iommu, AT, PAGE, memory, &env->err));
	OK(vfm_iommu_vaddr_invalidate(iommu, &env->err));
	return 0;
}

/* A driver that pins could ask for a page while there is no address. */
static int with_emulated(struct env *env)
{
	uint8_t *memory = env_memory(env, PAGE);
	struct vfm_device *dev;

	REQUIRE(memory);
	if (lab_open(env, VFM_BACKEND_TYPE1V2, FIRST, &dev))
		return -1;
	OK(env_map(env, vfm_device_iommu(dev), memory, PAGE, AT));
	REQUIRE_RESULT(vfm_iommu_vaddr_invalidate(vfm_device_iommu(dev), &env->err), -EOPNOTSUPP);
	REQUIRE(lab_says(env, "no mediated device"));
	OK(vfm_iommu_unmap(vfm_device_iommu(dev), AT, PAGE, &env->err));
	return 0;
}

/* What a back end has not is told without the kernel's help. */
static int not_here(struct env *env)
{
	static const uint32_t containers[] = { VFM_BACKEND_TYPE1, VFM_BACKEND_TYPE1V2, VFM_BACKEND_COMPAT_TYPE1,
					       VFM_BACKEND_COMPAT_TYPE1V2 };
	static const uint32_t iommufds[] = { VFM_BACKEND_IOMMUFD, VFM_BACKEND_COMPAT_TYPE1,
					     VFM_BACKEND_COMPAT_TYPE1V2 };
	struct vfm_device *dev;

	for (size_t i = 0; i < sizeof(containers) / sizeof(containers[0]); i++) {
		if (lab_open(env, containers[i], FIRST, &dev))
			return -1;
		REQUIRE_RESULT(vfm_iommu_change_process(vfm_device_iommu(dev), &env->err), -EOPNOTSUPP);
		REQUIRE(lab_says(env, "an iommufd does"));
		env_close_all(env);
	}
	for (size_t i = 0; i < sizeof(iommufds) / sizeof(iommufds[0]); i++) {
		if (lab_open(env, iommufds[i], FIRST, &dev))
			return -1;
		REQUIRE_RESULT(vfm_iommu_vaddr_invalidate(vfm_device_iommu(dev), &env->err), -EOPNOTSUPP);
		REQUIRE(lab_says(env, "type1 and type1v2 do, since Linux 5.12"));
		env_close_all(env);
	}
	return 0;
}

const struct lab_test process_tests[] = {
	{ "process", "type1v2 goes to a child, the first one ends", fork_type1v2 },
	{ "process", "type1 goes to a child, the first one ends", fork_type1 },
	{ "process", "type1v2 outlives exec", exec_type1v2 },
	{ "process", "what the library mapped gives way to the new address", mapped_by_the_library },
	{ "process", "areas come and go while addresses are away", come_and_go },
	{ "process-emulated", "not with a device that pins", with_emulated },
	{ "process", "back ends without it say so", not_here },
	{ "process-early", "iommufd cannot be charged to a child", fork_refused },
	{ "process-late", "iommufd goes to a child, VmPin with it", fork_user },
	{ "process-late", "iommufd goes to a child, VmLck with it", fork_process },
	{ "process-late", "iommufd goes to a child, nobody is charged", fork_free },
	{ "process-late", "iommufd outlives exec", exec_native },
	{ "process-late", "not with a map of no file", not_of_a_file },
	{ "process-exec-1", "what came over exec", successor_type1v2 },
	{ "process-exec-2", "what came over exec", successor_native },
	{ NULL, NULL, NULL },
};
