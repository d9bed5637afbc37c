/* SPDX-License-Identifier: MIT */
/* VFIO_DEVICE_FEATURE, and the migration states as the kernel's core walks them. */
#include <fcntl.h>
#include <unistd.h>

#include "pages.h"
#include "uapi/vfio.h"

#define OPS (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET)

enum {
	ERR = VFIO_DEVICE_STATE_ERROR,
	STOP = VFIO_DEVICE_STATE_STOP,
	RUN = VFIO_DEVICE_STATE_RUNNING,
	SCOPY = VFIO_DEVICE_STATE_STOP_COPY,
	RESUM = VFIO_DEVICE_STATE_RESUMING,
	RP2P = VFIO_DEVICE_STATE_RUNNING_P2P,
	PCOPY = VFIO_DEVICE_STATE_PRE_COPY,
	PP2P = VFIO_DEVICE_STATE_PRE_COPY_P2P,
};

/* First hop from the row's state to the column's with every feature there is; both in the order of their numbers. */
static const uint8_t first_hop[VFIO_DEVICE_STATE_NR][VFIO_DEVICE_STATE_NR] = {
	/*           ERR  STOP  RUN    SCOPY  RESUM  RP2P  PCOPY  PP2P */
	[ERR] = { ERR, ERR, ERR, ERR, ERR, ERR, ERR, ERR },
	[STOP] = { ERR, STOP, RP2P, SCOPY, RESUM, RP2P, RP2P, RP2P },
	[RUN] = { ERR, RP2P, RUN, RP2P, RP2P, RP2P, PCOPY, RP2P },
	[SCOPY] = { ERR, STOP, STOP, SCOPY, STOP, STOP, ERR, ERR },
	[RESUM] = { ERR, STOP, STOP, STOP, RESUM, STOP, STOP, STOP },
	[RP2P] = { ERR, STOP, RUN, STOP, STOP, RP2P, RUN, PP2P },
	[PCOPY] = { ERR, RUN, RUN, PP2P, RUN, RUN, PCOPY, PP2P },
	[PP2P] = { ERR, RP2P, RP2P, SCOPY, RP2P, RP2P, PCOPY, PP2P },
};

static const uint8_t needs[VFIO_DEVICE_STATE_NR] = {
	[STOP] = 1, [RUN] = 1, [SCOPY] = 1, [RESUM] = 1, [RP2P] = 1 | 2, [PCOPY] = 1 | 4, [PP2P] = 1 | 2 | 4,
};

static bool backed(uint32_t flags, uint32_t state)
{
	return (needs[state] & flags) == needs[state];
}

int vfmi_sim_next_state(uint32_t flags, uint32_t from, uint32_t to)
{
	uint32_t next;

	if (from >= VFIO_DEVICE_STATE_NR || to >= VFIO_DEVICE_STATE_NR || !backed(flags, from) || !backed(flags, to))
		return -EINVAL;
	next = first_hop[from][to];
	while (!backed(flags, next))
		next = first_hop[next][to];
	return next == ERR ? -EINVAL : (int)next;
}

bool vfmi_sim_runs(const struct sim_device *dev)
{
	return dev->state == RUN || dev->state == PCOPY;
}

bool vfmi_sim_frozen(const struct sim_device *dev)
{
	return dev->state == STOP || dev->state == SCOPY || dev->state == RESUM || dev->state == ERR;
}

static void quiesce(struct vfm_sim *sim, struct sim_device *dev)
{
	if (vfmi_sim_profile(dev)->quiesce)
		vfmi_sim_profile(dev)->quiesce(sim, dev);
}

static int final_save(struct vfm_sim *sim, struct sim_device *dev)
{
	quiesce(sim, dev);
	dev->session.final = 1;
	vfmi_sim_profile(dev)->save_final(sim, dev);
	return 0;
}

static int start_save(struct vfm_sim *sim, struct sim_device *dev, uint32_t next, bool *ret_started)
{
	/* A driver that keeps its state over close can be in PRE_COPY with no session: then one starts late. */
	if (!dev->session.kind) {
		vfmi_sim_session_open(sim, dev, true);
		*ret_started = true;
	}
	return next == SCOPY ? final_save(sim, dev) : 0;
}

static int end_load(struct vfm_sim *sim, struct sim_device *dev)
{
	int r;

	if (!dev->session.kind) {
		vfmi_sim_strict(sim, "%s: RESUMING left after its data file was lost with the last close", dev->name);
		return -EINVAL;
	}
	r = vfmi_sim_profile(dev)->load_finish(sim, dev);
	if (r)
		return r;
	sim->machine->loads++;
	vfmi_sim_session_close(dev);
	return 0;
}

static int arc(struct vfm_sim *sim, struct sim_device *dev, uint32_t next, bool *ret_started)
{
	vfmi_sim_spend(sim, dev->arc_ns);
	if ((dev->fail_arc && !--dev->fail_arc) || dev->failed)
		return -EIO;
	switch (next) {
	case PCOPY:
		return dev->state == PP2P ? 0 : start_save(sim, dev, next, ret_started);
	case PP2P:
		if (dev->state == RP2P)
			return start_save(sim, dev, next, ret_started);
		quiesce(sim, dev);
		return 0;
	case SCOPY:
		return start_save(sim, dev, next, ret_started);
	case RESUM:
		*ret_started = true;
		return vfmi_sim_session_open(sim, dev, false);
	case STOP:
	case RP2P:
	case RUN:
	default:
		if (dev->state == RESUM)
			return end_load(sim, dev);
		if (dev->state == SCOPY || dev->state == PCOPY || dev->state == PP2P)
			vfmi_sim_session_close(dev);
		else if (dev->state == RUN)
			quiesce(sim, dev);
		return 0;
	}
}

/* At most @hops of the way. */
static int walk(struct vfm_sim *sim, struct sim_device *dev, uint32_t target, uint32_t hops, bool *ret_started)
{
	int next, r;

	if (dev->state == ERR)
		return -EINVAL;
	if (target != dev->state)
		vfmi_sim_change(sim, dev);
	while (dev->state != target && hops--) {
		next = vfmi_sim_next_state(dev->migration_flags, dev->state, target);
		if (next < 0) {
			vfmi_sim_strict(sim, "%s: illegal change of state, %u to %u", dev->name, dev->state, target);
			dev->failed = vfmi_sim_quirk(dev, SIM_ARC_POISONS);
			return next;
		}
		r = arc(sim, dev, (uint32_t)next, ret_started);
		if (r)
			return r;
		dev->state = (uint32_t)next;
	}
	return 0;
}

/* A walk that is to stop midway makes one hop less than half, rounded up; of a single hop none. */
static uint32_t partial_hops(const struct sim_device *dev, uint32_t target)
{
	uint32_t state = dev->state, hops = 0;
	int next;

	while (state != target && hops < VFIO_DEVICE_STATE_NR) {
		next = vfmi_sim_next_state(dev->migration_flags, state, target);
		if (next < 0)
			return 0;
		state = (uint32_t)next;
		hops++;
	}
	return hops / 2;
}

/* Only now, after the arc, the descriptor is made: if that fails the device has moved all the same. */
static int return_fd(struct vfm_sim *sim, struct sim_device *dev, struct vfio_device_feature_mig_state *mig,
		     const struct sim_call *call)
{
	bool saving = dev->session.kind == SIM_SESSION_SAVE;
	const struct sim_object object = { .kind = SIM_OBJECT_DATA,
					   .device = vfmi_sim_index(sim, dev),
					   .serial = dev->session.serial,
					   .saving = saving };
	int fd;

	if (call->mode == VFM_SIM_FAULT_AFTER)
		return -call->error;
	fd = vfmi_sim_object_open(sim, &object, saving ? O_RDONLY : O_WRONLY);
	if (fd < 0)
		return fd;
	mig->data_fd = vfmi_sim_books_opened(sim, fd);
	return 0;
}

static int set_state(struct vfm_sim *sim, struct sim_device *dev, struct vfio_device_feature_mig_state *mig,
		     const struct sim_call *call)
{
	bool partial = call->mode == VFM_SIM_FAULT_PARTIAL, started = false;
	uint32_t hops = partial ? partial_hops(dev, mig->device_state) : UINT32_MAX;
	int r = walk(sim, dev, mig->device_state, hops, &started);

	if (!r && partial)
		r = -call->error;
	if (!r && started)
		return return_fd(sim, dev, mig, call);
	mig->data_fd = -1;
	return r;
}

/* vfio_check_feature(): 1 go on */
static int check(uint32_t flags, size_t room, uint32_t ops, size_t min)
{
	if (flags & OPS & ~ops)
		return -EINVAL;
	if (flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	return !(flags & OPS) || room < min ? -EINVAL : 1;
}

int vfmi_sim_feature_op(const struct vfio_device_feature *feature, uint32_t ops, size_t min)
{
	return check(feature->flags, feature->argsz - sizeof(*feature), ops, min);
}

static int feature_state(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_device_feature *feature,
			 void *data, const struct sim_call *call)
{
	struct vfio_device_feature_mig_state mig;
	int r = check(feature->flags, feature->argsz - sizeof(*feature), OPS, sizeof(mig));

	if (r != 1)
		return r;
	memcpy(&mig, data, sizeof(mig));
	if (feature->flags & VFIO_DEVICE_FEATURE_GET) {
		mig.device_state = dev->state;
		mig.data_fd = -1;
	} else {
		r = set_state(sim, dev, &mig, call);
	}
	memcpy(data, &mig, sizeof(mig));
	return r < 0 ? r : 0;
}

static int feature_u64(const struct vfio_device_feature *feature, void *data, uint64_t value)
{
	int r = check(feature->flags, feature->argsz - sizeof(*feature), VFIO_DEVICE_FEATURE_GET, sizeof(value));

	if (r == 1) {
		memcpy(data, &value, sizeof(value));
		r = 0;
	}
	return r;
}

static int feature_other(struct vfm_sim *sim, struct sim_device *dev, struct vfio_device_feature *feature,
			 const struct sim_call *call)
{
	uint32_t number = feature->flags & VFIO_DEVICE_FEATURE_MASK;

	if (number >= VFIO_DEVICE_FEATURE_DMA_LOGGING_START && number <= VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)
		return vfmi_sim_log_feature(sim, dev, feature, feature->data);
	if (vfmi_sim_quirk(dev, SIM_MDEV))
		return -ENOTTY;
	if (number >= VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY && number <= VFIO_DEVICE_FEATURE_LOW_POWER_EXIT)
		return vfmi_sim_power(sim, dev, feature);
	if (number == VFIO_DEVICE_FEATURE_DMA_BUF)
		return vfmi_sim_dma_buf_export(sim, dev, feature, call);
	if (number == VFIO_DEVICE_FEATURE_PCI_VF_TOKEN && dev->sriov)
		return vfmi_sim_set_token(dev, feature);
	return -ENOTTY;
}

static int feature_check(struct vfm_sim *sim, const struct sim_device *dev, const struct vfio_device_feature *feature)
{
	const uint32_t known = VFIO_DEVICE_FEATURE_MASK | OPS | VFIO_DEVICE_FEATURE_PROBE;

	if (feature->argsz >= sizeof(*feature) && !(feature->flags & ~known) &&
	    ((feature->flags & VFIO_DEVICE_FEATURE_PROBE) || (feature->flags & OPS) != OPS))
		return 0;
	vfmi_sim_strict(sim, "%s: VFIO_DEVICE_FEATURE with argsz %u and flags %#x", dev->name, feature->argsz,
			feature->flags);
	return -EINVAL;
}

int vfmi_sim_feature(struct vfm_sim *sim, struct sim_device *dev, void *arg, struct sim_call *call)
{
	struct vfio_device_feature *feature = arg;
	uint32_t number;
	int r;

	if (!arg)
		return -EFAULT;
	r = feature_check(sim, dev, feature);
	if (r)
		return r;
	number = feature->flags & VFIO_DEVICE_FEATURE_MASK;
	if (!dev->migration_flags &&
	    (number == VFIO_DEVICE_FEATURE_MIGRATION || number == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE ||
	     number == VFIO_DEVICE_FEATURE_MIG_DATA_SIZE))
		return -ENOTTY;
	switch (number) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		return feature_u64(feature, feature->data, dev->migration_flags);
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		return feature_state(sim, dev, feature, feature->data, call);
	case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
		return feature_u64(feature, feature->data, vfmi_sim_profile(dev)->data_size(sim, dev));
	default:
		return feature_other(sim, dev, feature, call);
	}
}
