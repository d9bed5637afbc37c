// SPDX-License-Identifier: MIT
/* What is done inside the jail: two devices that somebody else opened are adopted, and put through everything. */
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kmod/vfiomig_edu.h"
#include "jail.h"

#define PAGE 4096ull
#define IOVA 0x30000ull
#define IOVA_OUTSIDE 0x80000ull
#define IOVA_FILE 0xa0000ull
#define AREA (4 * PAGE)
#define COPY 256u
#define PUMP_SLOTS 8u

/* before */

/* The first device's page table tracks what it writes where there is one that does; the second one's may have PASIDs.
 */
static int open_one(struct jail *j, int i)
{
	struct vfm_iommu_options options = { .size = sizeof(options), .backend = j->backend };
	struct vfm_hwpt hwpt = { .size = sizeof(hwpt) };
	struct env *env = &j->env;
	struct vfm_iommu *iommu;
	struct vfm_device *dev;

	if (i == 0 && j->backend == VFM_BACKEND_IOMMUFD)
		options.flags = VFM_IOMMU_DIRTY_TRACKING;
	j->phase = PHASE_space;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	env->iommus[env->opened++] = iommu;
	j->phase = PHASE_open;
	OK(vfm_device_open_attached(env->ctx, env->names[i], iommu, &dev, &env->err));
	env->devs[env->opened - 1] = dev;
	j->adopt[i] = (struct vfm_adopt){ .size = sizeof(j->adopt[i]),
					  .device_fd = vfm_device_fd(dev),
					  .iommufd = vfm_iommu_fd(iommu),
					  .ioas_id = vfm_iommu_ioas_id(iommu),
					  .devid = vfm_device_id(dev),
					  .pt_id = vfm_device_pt_id(dev),
					  .backend = vfm_iommu_backend(iommu),
					  .name = env->names[i] };
	if (vfm_iommu_hwpt(iommu, 0, &hwpt) == 0 && hwpt.flags & VFM_IOMMU_DIRTY_TRACKING)
		j->adopt[i].flags = VFM_ADOPT_TRACKS;
	return 0;
}

static int open_empty(struct jail *j)
{
	struct vfm_iommu_options options = { .size = sizeof(options), .backend = j->backend };
	struct env *env = &j->env;
	struct vfm_iommu *iommu;

	j->empty_container = -1;
	if (j->backend == VFM_BACKEND_IOMMUFD)
		return 0;
	j->phase = PHASE_space;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	env->iommus[env->opened++] = iommu;
	j->empty_container = vfm_iommu_fd(iommu);
	return 0;
}

int jail_open(struct jail *j)
{
	struct vfm_candidate candidate = { .size = sizeof(candidate) };
	struct env *env = &j->env;

	j->phase = PHASE_discover;
	OK(vfm_find(env->ctx, env->names[EDU_A], &candidate, &env->err));
	if (open_one(j, 0) || open_one(j, 1) || (j->vectors && open_one(j, 2)) || open_empty(j))
		return -1;
	j->phase = PHASE_map;
	OK(vfm_iommu_map(vfm_device_iommu(env->devs[0]), &j->outside, &env->err));
	return 0;
}

int jail_files(struct jail *j)
{
	struct env *env = &j->env;

	j->state_file = memfd_create("state", MFD_CLOEXEC);
	j->memory_file = memfd_create("memory", MFD_CLOEXEC);
	REQUIRE(j->state_file >= 0 && j->memory_file >= 0 && !ftruncate(j->memory_file, AREA));
	j->outside = (struct vfm_map){ .size = sizeof(j->outside),
				       .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED,
				       .vaddr = env_memory(env, AREA),
				       .length = AREA,
				       .iova = IOVA_OUTSIDE };
	REQUIRE(j->outside.vaddr);
	return 0;
}

void jail_close_all(struct jail *j)
{
	env_close_all(&j->env);
	close(j->state_file);
	close(j->memory_file);
}

/* inside: adopt */

static int adopt_one(struct jail *j, int i)
{
	struct vfm_identity identity = { .size = sizeof(identity) };
	struct env *env = &j->env;

	OK(vfm_device_adopt(env->ctx, &j->adopt[i], &j->devs[i], &env->err));
	OK(vfm_device_identity(j->devs[i], &identity, &env->err));
	REQUIRE((i == 2 || j->soft || identity.pci_vendor == VFIOMIG_EDU_VENDOR_ID) && vfm_device_iommu(j->devs[i]));
	return 0;
}

/* An address space by itself, with a map of its owner's that the kernel must know of. */
static int adopt_space(struct jail *j)
{
	const struct vfm_iommu_adopt adopt = { .size = sizeof(adopt),
					       .backend = j->adopt[0].backend,
					       .fd = j->adopt[0].iommufd,
					       .ioas_id = j->adopt[0].ioas_id };
	struct vfm_iommu_info info = { .size = sizeof(info) };
	struct env *env = &j->env;
	struct vfm_iommu *iommu;

	j->phase = PHASE_adopt;
	OK(vfm_iommu_adopt(env->ctx, &adopt, &iommu, &env->err));
	j->phase = PHASE_map;
	OK(vfm_iommu_adopt_map(iommu, &j->outside, &env->err));
	OK(vfm_iommu_info(iommu, &info, &env->err));
	REQUIRE(info.areas == 1);
	OK(vfm_iommu_unmap(iommu, IOVA_OUTSIDE, AREA, &env->err));
	j->phase = PHASE_close;
	vfm_iommu_close(iommu);
	return 0;
}

/* A container without IOMMU: what there is to be told is told without a look at a file. */
static int adopt_empty(struct jail *j)
{
	const struct vfm_iommu_adopt adopt = { .size = sizeof(adopt), .backend = j->backend, .fd = j->empty_container };
	struct vfm_iommu_info info = { .size = sizeof(info) };
	struct env *env = &j->env;
	struct vfm_iommu *iommu;

	if (j->empty_container < 0)
		return 0;
	j->phase = PHASE_adopt;
	OK(vfm_iommu_adopt(env->ctx, &adopt, &iommu, &env->err));
	j->phase = PHASE_map;
	OK(vfm_iommu_info(iommu, &info, &env->err));
	REQUIRE(info.page_sizes == 0 && info.entries_left == UINT64_MAX);
	REQUIRE_RESULT(vfm_iommu_map(iommu, &j->outside, &env->err), -EAGAIN);
	j->phase = PHASE_close;
	vfm_iommu_close(iommu);
	return 0;
}

static int adopt_nonsense(struct jail *j)
{
	const struct vfm_adopt adopt = { .size = sizeof(adopt), .device_fd = j->memory_file, .iommufd = -1 };
	struct env *env = &j->env;
	struct vfm_device *dev;

	REQUIRE_RESULT(vfm_device_adopt(env->ctx, &adopt, &dev, &env->err), -EINVAL);
	return 0;
}

static int adopt(struct jail *j)
{
	j->phase = PHASE_adopt;
	return adopt_nonsense(j) || adopt_one(j, 0) || adopt_one(j, 1) || (j->vectors && adopt_one(j, 2)) ||
	       adopt_space(j) || adopt_empty(j);
}

/* inside: memory */

static int map_one(struct jail *j, int i)
{
	struct vfm_iommu *iommu = vfm_device_iommu(j->devs[i]);
	struct vfm_map file = { .size = sizeof(file),
				.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED | VFM_MAP_FILE,
				.length = AREA,
				.iova = IOVA_FILE,
				.fd = j->memory_file };
	struct vfm_iova_range ranges[64];
	struct env *env = &j->env;
	size_t count;

	j->memory[i] = j->outside;
	j->memory[i].iova = IOVA;
	j->memory[i].vaddr = env_memory(env, AREA);
	REQUIRE(j->memory[i].vaddr);
	OK(vfm_iommu_ranges(iommu, ranges, 64, &count, NULL, &env->err));
	if (j->backend == VFM_BACKEND_IOMMUFD)
		OK(vfm_iommu_allow(iommu, NULL, 0, &env->err));
	OK(vfm_iommu_map(iommu, &file, &env->err));
	if (more_process(j, iommu))
		return -1;
	OK(vfm_iommu_unmap(iommu, IOVA_FILE, AREA, &env->err));
	OK(vfm_iommu_map(iommu, &j->memory[i], &env->err));
	REQUIRE_RESULT(vfm_iommu_map(iommu, &j->memory[i], &env->err), -EEXIST);
	if (more_addresses(j, i))
		return -1;
	file.flags &= ~(uint32_t)VFM_MAP_FIXED;
	OK(vfm_iommu_map(iommu, &file, &env->err));
	if (i == 0) /* the other's is there still when it is closed */
		OK(vfm_iommu_unmap(iommu, file.iova, AREA, &env->err));
	return 0;
}

/* inside: what devices write */

static int track(struct jail *j, int i, uint32_t sources)
{
	struct vfm_tracker_opts opts = { .size = sizeof(opts), .sources = sources, .bitmap.size = sizeof(opts.bitmap) };
	struct vfm_iommu *iommu = vfm_device_iommu(j->devs[i]);
	uint64_t words[1] = { 0 };
	struct env *env = &j->env;
	struct vfm_tracker *tracker;

	j->phase = PHASE_dirty;
	opts.bitmap.page_shift = 12;
	opts.bitmap.words = words;
	opts.bitmap.pages = AREA / PAGE;
	OK(vfm_tracker_new(env->ctx, &opts, &tracker, &env->err));
	OK(vfm_tracker_map(tracker, iommu, IOVA, AREA, 0, &env->err));
	OK(vfm_tracker_join(tracker, j->devs[i], &env->err));
	OK(vfm_tracker_sync(tracker, 0, NULL, &env->err));
	OK(vfm_tracker_unmap(tracker, iommu, IOVA, AREA, 0, &env->err));
	vfm_tracker_free(tracker);
	j->phase = PHASE_map;
	OK(vfm_iommu_map(iommu, &j->memory[i], &env->err));
	return 0;
}

/* By the best source there is, and by the IOMMU's where the device has a log of its own. */
static int track_one(struct jail *j, int i)
{
	return track(j, i, 0) || track(j, i, 1u << VFM_DIRTY_HWPT | 1u << VFM_DIRTY_TYPE1);
}

/* inside: regions */

static int touch_registers(struct jail *j, struct vfm_device *dev)
{
	struct env *env = &j->env;
	uint32_t word;

	if (j->soft)
		return soft_fill(j, 0) || soft_compare(j, 0);
	if (edu_reg_write(env, dev, 4, 0x1234567) || edu_reg_read(env, dev, 4, &word))
		return -1;
	REQUIRE(word == ~UINT32_C(0x1234567));
	return 0;
}

static int touch_regions(struct jail *j, struct vfm_device *dev)
{
	struct vfm_device_info info = { .size = sizeof(info) };
	struct env *env = &j->env;
	struct vfm_area area;
	size_t count;
	void *bar;

	j->phase = PHASE_regions;
	OK(vfm_device_info(dev, &info, &env->err));
	if (touch_registers(j, dev))
		return -1;
	if (vfm_device_region_sparse(dev, VFM_REGION_BAR0, &area, 1, &count, NULL) == 0 && count == 1) {
		OK(vfm_device_region_map(dev, VFM_REGION_BAR0, area.offset, area.length, &bar, &env->err));
		vfm_device_region_unmap(dev, bar, area.length);
	}
	return more_regions(j, dev);
}

/* inside: interrupts and DMA */

/* The kernel asks for the device: its eventfd is signalled. */
static int want_back(struct jail *j, int i)
{
	enum phase phase = j->phase;
	int r;

	j->phase = PHASE_program;
	r = vfm_sim_poke(j->env.sim, j->env.names[i == 0 ? EDU_A : EDU_B], "request");
	j->phase = phase;
	return r;
}

static int arm(struct jail *j, int i)
{
	struct vfm_irq irq = { .size = sizeof(irq) };
	struct vfm_device *dev = j->devs[i];
	struct env *env = &j->env;
	uint64_t signals;

	j->phase = PHASE_interrupts;
	j->irq[i] = env_eventfd(env);
	OK(vfm_device_irq(dev, VFM_IRQ_MSI, &irq, &env->err));
	OK(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &j->irq[i], &env->err));
	if (j->soft ? soft_interrupt(j, i) : vfm_device_irq_trigger(dev, VFM_IRQ_MSI, 0, &env->err))
		return -1;
	REQUIRE(read(j->irq[i], &signals, sizeof(signals)) == sizeof(signals) && signals == 1);
	OK(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &env->err));
	OK(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &j->irq[i], &env->err));
	OK(vfm_device_watch(dev, &env->err));
	REQUIRE(vfm_device_notices(dev) == 0);
	if (env->sim)
		REQUIRE(want_back(j, i) == 0 && vfm_device_notices(dev) == VFM_NOTICE_REQUEST);
	OK(vfm_device_bus_master(dev, true, &env->err));
	return 0;
}

static int configuration(struct jail *j, struct vfm_device *dev)
{
	uint8_t record[VFM_CONFIG_MAX];
	struct env *env = &j->env;
	int length;

	j->phase = PHASE_interrupts;
	length = vfm_device_config_capture(dev, record, sizeof(record), &env->err);
	if (j->soft && length == -EOPNOTSUPP)
		return 0;
	REQUIRE(length > 0);
	j->phase = PHASE_migrate;
	OK(vfm_device_set_state(dev, VFM_STATE_STOP, NULL, &env->err));
	j->phase = PHASE_interrupts;
	OK(vfm_device_config_apply(dev, record, (size_t)length, &env->err));
	j->phase = PHASE_migrate;
	OK(vfm_device_set_state(dev, VFM_STATE_RUNNING, NULL, &env->err));
	return 0;
}

static int start_pump(struct jail *j, struct vfm_device *dev)
{
	struct env *env = &j->env;

	j->phase = PHASE_regions;
	if (j->soft)
		return soft_start(j, 0, IOVA, AREA / PAGE);
	return edu_control_write(env, dev, VFIOMIG_EDU_PUMP_SRC, IOVA) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_DST, IOVA + PAGE) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_LENGTH, COPY) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_STRIDE, COPY) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_SLOTS, PUMP_SLOTS) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_CTRL, VFIOMIG_EDU_PUMP_RUN | VFIOMIG_EDU_PUMP_IRQ);
}

/* Copies of what is in memory now, and an interrupt for them. */
static int is_pumping(struct jail *j, int i)
{
	uint8_t *memory = j->memory[i].vaddr;
	struct pollfd pfd = { .fd = vfm_device_irq_eventfd(j->devs[i], VFM_IRQ_MSI, 0), .events = POLLIN };
	struct env *env = &j->env;
	uint64_t before, now = 0, signals;

	if (j->soft)
		return soft_runs(j, i);
	j->phase = PHASE_program;
	memset(memory, 0x40 + i, COPY);
	j->phase = PHASE_regions;
	if (edu_control_read(env, j->devs[i], VFIOMIG_EDU_PUMP_COMPLETED, &before))
		return -1;
	for (int tries = 0; tries < 200 && now < before + 3; tries++) {
		j->phase = PHASE_program;
		env_sleep_ms(env, 20);
		j->phase = PHASE_regions;
		if (edu_control_read(env, j->devs[i], VFIOMIG_EDU_PUMP_COMPLETED, &now))
			return -1;
	}
	j->phase = PHASE_program;
	REQUIRE(now >= before + 3);
	REQUIRE(!memcmp(memory + PAGE + ((now - 1) % PUMP_SLOTS) * COPY, memory, COPY));
	REQUIRE(poll(&pfd, 1, 2000) == 1 && read(pfd.fd, &signals, sizeof(signals)) == sizeof(signals));
	return 0;
}

/* inside: migration */

struct file {
	int fd;
	off_t position;
	uint64_t damaged; /* reading: this byte comes wrong; 0: none */
	struct vfm_io io;
};

static int file_write(void *user, const void *buf, size_t length)
{
	struct file *file = user;

	return write(file->fd, buf, length) == (ssize_t)length ? 0 : -EIO;
}

static int64_t file_read(void *user, void *buf, size_t length)
{
	struct file *file = user;
	ssize_t n = pread(file->fd, buf, length, file->position);
	off_t wrong = (off_t)file->damaged - file->position;

	if (n < 0)
		return -errno;
	if (file->damaged && wrong >= 0 && wrong < n)
		((uint8_t *)buf)[wrong] ^= 1;
	file->position += n;
	return n;
}

static int save(struct jail *j)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts),
					  .flags = VFM_TRANSFER_LIVE,
					  .then_state = VFM_STATE_UNKNOWN };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct file file = { .fd = j->state_file,
			     .io = { .size = sizeof(file.io), .user = &file, .write = file_write } };
	struct env *env = &j->env;

	j->phase = PHASE_migrate;
	OK(vfm_save(&j->devs[0], 1, &file.io, &opts, &result, &env->err));
	j->state_bytes = result.stream_bytes;
	return env_state(env, j->devs[0], VFM_STATE_RUNNING);
}

static int restore(struct jail *j, uint64_t damaged, int want)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct file file = { .fd = j->state_file,
			     .damaged = damaged,
			     .io = { .size = sizeof(file.io), .user = &file, .read = file_read } };
	struct env *env = &j->env;

	j->phase = PHASE_migrate;
	REQUIRE_RESULT(vfm_restore(&j->devs[1], 1, &file.io, &opts, &result, &env->err), want);
	return env_state(env, j->devs[1], VFM_STATE_RUNNING);
}

static int copy(struct jail *j)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct env *env = &j->env;
	struct vfm_cancel *cancel;

	j->phase = PHASE_migrate;
	OK(vfm_cancel_new(env->ctx, &cancel));
	opts.cancel = cancel;
	OK(vfm_copy(j->devs[0], j->devs[1], &opts, &result, &env->err));
	j->phase = PHASE_close;
	vfm_cancel_free(cancel);
	return is_pumping(j, 1);
}

static int fill(struct jail *j)
{
	struct env *env = &j->env;
	uint64_t bytes;

	j->phase = PHASE_regions;
	if (j->soft)
		return soft_fill(j, 0);
	return edu_contents_bytes(env, j->devs[0], &bytes) || edu_fill(env, j->devs[0], 0, bytes, 5);
}

static int compare(struct jail *j)
{
	struct env *env = &j->env;
	uint64_t bytes;

	j->phase = PHASE_regions;
	if (j->soft)
		return soft_compare(j, 1);
	return edu_contents_bytes(env, j->devs[1], &bytes) || edu_compare(env, j->devs[1], 0, bytes, 5);
}

static int migrate(struct jail *j)
{
	if (fill(j))
		return -1;
	if (save(j) || is_pumping(j, 0) || restore(j, j->state_bytes - 1, -EBADMSG) || restore(j, 0, 0) ||
	    is_pumping(j, 1))
		return -1;
	return compare(j) || peers_save(j) || is_pumping(j, 1) || peers_hand_over(j) || is_pumping(j, 1) ||
	       compare(j) || copy(j);
}

/* inside: the rest */

/* What a device reported before its reset is read then. */
static int watch_errors(struct jail *j)
{
	struct env *env = &j->env;

	j->phase = PHASE_interrupts;
	OK(vfm_device_watch(j->devs[1], &env->err));
	if (env->sim)
		REQUIRE(want_back(j, 1) == 0);
	return 0;
}

static int reset(struct jail *j)
{
	struct vfm_hot_reset_peer peers[8];
	struct env *env = &j->env;
	size_t count;
	int r;

	for (size_t i = 0; i < 8; i++)
		peers[i].size = sizeof(peers[i]);
	if (watch_errors(j))
		return -1;
	j->phase = PHASE_reset;
	OK(vfm_device_reset(j->devs[1], &env->err));
	r = vfm_device_hot_reset_info(j->devs[1], peers, 8, &count, &env->err);
	REQUIRE(r == 0 || r == -EOPNOTSUPP);
	return more_power(j, j->devs[1]) || env_state(env, j->devs[1], VFM_STATE_RUNNING);
}

/* What is mapped still cannot be unmapped at once. */
static int close_inside(struct jail *j)
{
	const bool ioas = j->backend == VFM_BACKEND_IOMMUFD;
	int r = more_fault(j, ioas ? "IOMMU_IOAS_UNMAP" : "VFIO_IOMMU_UNMAP_DMA", EBUSY);

	j->phase = PHASE_close;
	for (int i = 0; i < 3; i++) {
		vfm_device_close(j->devs[i]);
		j->devs[i] = NULL;
	}
	return more_fault(j, NULL, 0) || r;
}

int jail_work(struct jail *j)
{
	int bad = adopt(j) || more_beside(j) || more_attach(j);

	j->phase = PHASE_map;
	bad = bad || map_one(j, 0) || map_one(j, 1) || track_one(j, 0) || track_one(j, 1);
	bad = bad || touch_regions(j, j->devs[0]) || arm(j, 0) || configuration(j, j->devs[0]) ||
	      start_pump(j, j->devs[0]) || is_pumping(j, 0) || peers_lend(j) || is_pumping(j, 0) || migrate(j) ||
	      reset(j);
	bad = bad || more_vectors(j, j->devs[2]);
	bad = peers_close(j) || bad;
	bad = close_inside(j) || bad;
	return bad ? -1 : 0;
}
