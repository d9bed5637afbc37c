/* SPDX-License-Identifier: MIT */
/* Would mapping more be allowed? Asked of the limits before the work starts, told with what would help. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "iommu-backend.h"

#define STEP "preflight"
#define STATUS_PATH "/proc/self/status"
#define UID_MAP_PATH "/proc/self/uid_map"
#define ENTRY_LIMIT_PATH "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
#define CAP_IPC_LOCK 14
#define CAP_IPC_LOCK_MASK (UINT64_C(1) << CAP_IPC_LOCK)

/* The number behind "@key:" of /proc/self/status; false when it is not there. */
static bool find_number(const char *status, const char *key, int base, uint64_t *ret)
{
	const size_t length = strlen(key);

	for (const char *line = status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, length) && line[length] == ':') {
			char *end;

			*ret = strtoull(line + length + 1, &end, base);
			return end != line + length + 1;
		}
	}
	return false;
}

static bool is_type1(const struct vfm_iommu *iommu)
{
	return iommu->backend == VFM_BACKEND_TYPE1 || iommu->backend == VFM_BACKEND_TYPE1V2;
}

/*
 * What is charged already. Containers of type1, and an iommufd told to, charge the process (VmLck); an iommufd charges
 * the user, all of whose processes count together, of which this one's pinned memory (VmPin) is what can be seen.
 */
static uint64_t memlock_used(const struct vfm_iommu *iommu, const char *status)
{
	const bool process = is_type1(iommu) || iommu->flags & VFM_IOMMU_ACCOUNT_PROCESS;
	uint64_t kib = 0;
	uint64_t bytes;

	if (!find_number(status, process ? "VmLck" : "VmPin", 10, &kib))
		return 0;
	return __builtin_mul_overflow(kib, UINT64_C(1024), &bytes) ? UINT64_MAX : bytes;
}

/*
 * The kernel asks for the capability in the first user namespace; in another one CapEff is full for nothing. The first
 * has all users as they are, and a kernel without namespaces has no such file.
 */
static bool in_first_namespace(struct vfmi_sys *sys)
{
	unsigned long long inside, outside, count;
	char text[128];
	int r = vfmi_sys_read_file(sys, UID_MAP_PATH, text, sizeof(text));

	if (r < 0)
		return r == -ENOENT;
	return sscanf(text, "%llu %llu %llu", &inside, &outside, &count) == 3 && inside == 0 && outside == 0 &&
	       count >= UINT32_MAX;
}

static bool may_lock_all(struct vfmi_sys *sys, const char *status)
{
	uint64_t capabilities = 0;

	return find_number(status, "CapEff", 16, &capabilities) && capabilities & CAP_IPC_LOCK_MASK &&
	       in_first_namespace(sys);
}

static int read_memlock(struct vfm_iommu *iommu, struct vfm_limits *limits)
{
	struct vfmi_sys *sys = iommu->sys;
	char status[8192];
	struct rlimit limit;
	int r = sys->ops->getrlimit(sys, RLIMIT_MEMLOCK, &limit);

	if (r < 0)
		return r;
	limits->memlock_limit = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
	r = vfmi_sys_read_file(sys, STATUS_PATH, status, sizeof(status));
	if (r < 0)
		return r;
	if (may_lock_all(sys, status))
		limits->memlock_limit = UINT64_MAX;
	limits->memlock_used = memlock_used(iommu, status);
	return 0;
}

void vfmi_iommu_memlock_text(struct vfm_iommu *iommu, uint64_t bytes, const char *more, char *buf, size_t room)
{
	struct rlimit limit;
	char text[48] = "none";

	if (iommu->sys->ops->getrlimit(iommu->sys, RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		snprintf(text, sizeof(text), "%" PRIu64 " bytes", (uint64_t)limit.rlim_cur);
	snprintf(buf, room,
		 "%" PRIu64 " bytes of maps are to be locked, the limit is %s (RLIMIT_MEMLOCK, ulimit -l, "
		 "LimitMEMLOCK= of a systemd unit)%s",
		 bytes, text, more);
}

/* An IOAS without page tables locks what is mapped when a device is attached. Of an adopted one that is not known. */
static bool charges_at_attach(struct vfm_iommu *iommu)
{
	bool bare;

	pthread_mutex_lock(&iommu->hwpt_lock);
	bare = iommu->attached == 0 && iommu->hwpt_count == 0;
	pthread_mutex_unlock(&iommu->hwpt_lock);
	return bare && iommu->backend == VFM_BACKEND_IOMMUFD && !iommu->adopted;
}

/* What a container of type1 will take once it has an IOMMU. */
static uint64_t entry_limit(struct vfmi_sys *sys)
{
	unsigned long limit;
	char text[24];
	char *end;

	if (vfmi_sys_read_file(sys, ENTRY_LIMIT_PATH, text, sizeof(text)) <= 0)
		return UINT64_MAX;
	limit = strtoul(text, &end, 10);
	return *end || end == text ? UINT64_MAX : limit;
}

/* Page sizes that are not known: there is no IOMMU yet. */
static int read_limits(struct vfm_iommu *iommu, struct vfm_limits *limits)
{
	const bool later = charges_at_attach(iommu);
	uint64_t page_sizes;
	int r;

	pthread_mutex_lock(&iommu->lock);
	r = iommu->ops->limits(iommu, &page_sizes, &limits->entries_left);
	if (later && vfmi_add_overflows(limits->memlock_needed, iommu->mapped_bytes, &limits->memlock_needed))
		limits->memlock_needed = UINT64_MAX;
	pthread_mutex_unlock(&iommu->lock);
	if (r < 0)
		return r;
	if (is_type1(iommu) && page_sizes == 0)
		limits->entries_left = entry_limit(iommu->sys);
	return read_memlock(iommu, limits);
}

static bool is_too_much(uint64_t used, uint64_t needed, uint64_t limit)
{
	uint64_t sum;

	return limit != UINT64_MAX && (vfmi_add_overflows(used, needed, &sum) || sum > limit);
}

static int judge(struct vfm_iommu *iommu, const struct vfm_limits *limits, struct vfm_error *err)
{
	if (limits->entries_needed > limits->entries_left)
		return VFMI_FAIL(iommu->ctx, err, ENOSPC, NULL, STEP,
				 "%" PRIu64 " maps are needed and the container takes %" PRIu64
				 " more; map fewer and larger areas, or load vfio_iommu_type1 with a higher "
				 "dma_entry_limit",
				 limits->entries_needed, limits->entries_left);
	if (is_too_much(limits->memlock_used, limits->memlock_needed, limits->memlock_limit))
		return VFMI_FAIL(iommu->ctx, err, ENOMEM, NULL, STEP,
				 "%" PRIu64 " bytes are to be locked and %" PRIu64 " are, the limit is %" PRIu64
				 "; raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK= of a systemd unit) or give the "
				 "process CAP_IPC_LOCK",
				 limits->memlock_needed, limits->memlock_used, limits->memlock_limit);
	return 0;
}

int vfm_iommu_preflight(struct vfm_iommu *iommu, uint64_t bytes, uint64_t areas, struct vfm_limits *ret,
			struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_limits, limits);
	int r;

	limits.memlock_needed = bytes;
	limits.entries_needed = areas;
	r = read_limits(iommu, &limits);
	if (r < 0)
		return VFMI_FAIL(iommu->ctx, ret_error, -r, NULL, STEP, "the limits cannot be read: %s",
				 vfmi_errno_text(-r));
	r = ret ? vfmi_sized_out(ret, &limits, sizeof(limits)) : 0;
	if (r < 0)
		return VFMI_FAIL(iommu->ctx, ret_error, -r, NULL, STEP, "struct vfm_limits of a size not known here");
	return judge(iommu, &limits, ret_error);
}
