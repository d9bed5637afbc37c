// SPDX-License-Identifier: GPL-2.0-only
/* The migration states: which arc does what. */

#include <linux/delay.h>
#include <linux/file.h>

#include "soft.h"

static struct file *soft_start_stop_copy(struct soft_device *sdev)
{
	struct file *filp = soft_session_open(sdev, true);

	if (!IS_ERR(filp))
		soft_session_finish_save(sdev);
	return filp;
}

#define ARC(from, to) (VFIO_DEVICE_STATE_##from * VFIO_DEVICE_STATE_NR + VFIO_DEVICE_STATE_##to)

/* Starting and stopping the engine takes nothing but the new state. */
static struct file *soft_arc(struct soft_device *sdev, enum vfio_device_mig_state next)
{
	switch (sdev->state * VFIO_DEVICE_STATE_NR + next) {
	case ARC(RUNNING, RUNNING_P2P):
	case ARC(RUNNING, STOP):
	case ARC(RUNNING_P2P, RUNNING):
	case ARC(RUNNING_P2P, STOP):
	case ARC(STOP, RUNNING):
	case ARC(STOP, RUNNING_P2P):
	case ARC(PRE_COPY, PRE_COPY_P2P):
	case ARC(PRE_COPY_P2P, PRE_COPY):
		return NULL;

	case ARC(RUNNING, PRE_COPY):
	case ARC(RUNNING_P2P, PRE_COPY_P2P):
		return soft_session_open(sdev, true);

	case ARC(PRE_COPY, STOP_COPY):
	case ARC(PRE_COPY_P2P, STOP_COPY):
		soft_session_finish_save(sdev);
		return NULL;

	case ARC(STOP, STOP_COPY):
		return soft_start_stop_copy(sdev);

	case ARC(PRE_COPY, RUNNING):
	case ARC(PRE_COPY_P2P, RUNNING_P2P):
	case ARC(STOP_COPY, STOP):
		soft_session_close(sdev);
		return NULL;

	case ARC(STOP, RESUMING):
		return soft_session_open(sdev, false);

	case ARC(RESUMING, STOP):
		return ERR_PTR(soft_session_finish_load(sdev));

	default:
		return ERR_PTR(-EINVAL);
	}
}

void soft_break(struct soft_device *sdev)
{
	soft_session_close(sdev);
	soft_log_reset(sdev);
	sdev->state = VFIO_DEVICE_STATE_ERROR;
}

static struct file *soft_step(struct soft_device *sdev, enum vfio_device_mig_state target)
{
	enum vfio_device_mig_state next;
	struct file *filp;
	int ret;

	/* The core's helper takes being asked for a way out of ERROR for a driver's mistake. */
	if (sdev->state == VFIO_DEVICE_STATE_ERROR)
		return ERR_PTR(-EINVAL);
	ret = vfio_mig_get_next_state(&sdev->vdev, sdev->state, target, &next);
	if (ret)
		return ERR_PTR(ret);
	if (hit(sdev, arc_fail))
		return ERR_PTR(error(sdev, arc_errno));
	if (hit(sdev, arc_error)) {
		soft_break(sdev);
		return ERR_PTR(error(sdev, arc_errno));
	}
	filp = soft_arc(sdev, next);
	if (!IS_ERR(filp))
		sdev->state = next;
	return filp;
}

/* A slow arc leaves the device at work until it is done. */
static void soft_dawdle(struct soft_device *sdev)
{
	u64 ms = knob(sdev, arc_ms);

	if (!ms)
		return;
	mutex_unlock(&sdev->lock);
	msleep_interruptible(min(ms, 20000ull));
	mutex_lock(&sdev->lock);
}

static struct file *soft_set_state(struct vfio_device *vdev, enum vfio_device_mig_state target)
{
	struct soft_device *sdev = to_soft(vdev);
	struct file *filp = NULL;

	if (hit(sdev, arc_stuck))
		return NULL;
	mutex_lock(&sdev->set_lock);
	mutex_lock(&sdev->lock);
	while (!IS_ERR(filp) && sdev->state != target) {
		soft_dawdle(sdev);
		if (sdev->state != target)
			filp = soft_step(sdev, target);
	}
	mutex_unlock(&sdev->lock);
	mutex_unlock(&sdev->set_lock);
	soft_engine_kick(sdev);
	return filp;
}

static int soft_get_state(struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
	struct soft_device *sdev = to_soft(vdev);
	u64 lie = knob(sdev, get_lie);

	if (hit(sdev, get_fail))
		return error(sdev, arc_errno);
	mutex_lock(&sdev->lock);
	*state = lie ? lie - 1 : sdev->state;
	mutex_unlock(&sdev->lock);
	return 0;
}

static int soft_get_data_size(struct vfio_device *vdev, unsigned long *bytes)
{
	struct soft_device *sdev = to_soft(vdev);

	mutex_lock(&sdev->lock);
	*bytes = knob(sdev, data_size) ?: soft_session_bytes(sdev);
	mutex_unlock(&sdev->lock);
	return 0;
}

const struct vfio_migration_ops soft_migration_ops = {
	.migration_set_state = soft_set_state,
	.migration_get_state = soft_get_state,
	.migration_get_data_size = soft_get_data_size,
};
