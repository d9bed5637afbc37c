// SPDX-License-Identifier: GPL-2.0-only
/* The migration states: which arc does what. */

#include <linux/file.h>

#include "edu.h"

static int edu_quiesce(struct edu_device *edev)
{
	int ret = edu_hw_begin(edev);

	if (ret)
		return ret;
	ret = edu_hw_quiesce(edev);
	edu_hw_end(edev);
	return ret;
}

static struct file *edu_start_stop_copy(struct edu_device *edev)
{
	struct file *filp = edu_session_open(edev, true);
	int ret;

	if (IS_ERR(filp))
		return filp;
	ret = edu_session_finish_save(edev);
	if (!ret)
		return filp;
	edu_session_close(edev);
	fput(filp);
	return ERR_PTR(ret);
}

#define ARC(from, to) (VFIO_DEVICE_STATE_##from * VFIO_DEVICE_STATE_NR + VFIO_DEVICE_STATE_##to)

static struct file *edu_arc(struct edu_device *edev, enum vfio_device_mig_state next)
{
	switch (edev->state * VFIO_DEVICE_STATE_NR + next) {
	case ARC(RUNNING, RUNNING_P2P):
	case ARC(RUNNING, STOP):
	case ARC(PRE_COPY, PRE_COPY_P2P):
		return ERR_PTR(edu_quiesce(edev));

	/* The pump is started again by edu_set_state() when all arcs are done. */
	case ARC(STOP, RUNNING):
	case ARC(STOP, RUNNING_P2P):
	case ARC(RUNNING_P2P, RUNNING):
	case ARC(RUNNING_P2P, STOP):
	case ARC(PRE_COPY_P2P, PRE_COPY):
		return NULL;

	case ARC(RUNNING, PRE_COPY):
	case ARC(RUNNING_P2P, PRE_COPY_P2P):
		return edu_session_open(edev, true);

	case ARC(PRE_COPY, STOP_COPY):
	case ARC(PRE_COPY_P2P, STOP_COPY):
		return ERR_PTR(edu_session_finish_save(edev));

	case ARC(STOP, STOP_COPY):
		return edu_start_stop_copy(edev);

	case ARC(PRE_COPY, RUNNING):
	case ARC(PRE_COPY_P2P, RUNNING_P2P):
	case ARC(STOP_COPY, STOP):
		edu_session_close(edev);
		return NULL;

	case ARC(STOP, RESUMING):
		return edu_session_open(edev, false);

	case ARC(RESUMING, STOP):
		return ERR_PTR(edu_session_finish_load(edev));

	default:
		return ERR_PTR(-EINVAL);
	}
}

static struct file *edu_step(struct edu_device *edev, enum vfio_device_mig_state next)
{
	if (edu_fail_this_arc())
		return ERR_PTR(-EIO);
	if (edu_break_this_arc()) {
		edu_session_close(edev);
		edev->state = VFIO_DEVICE_STATE_ERROR;
		return ERR_PTR(-EIO);
	}
	return edu_arc(edev, next);
}

static struct file *edu_set_state(struct vfio_device *vdev, enum vfio_device_mig_state state)
{
	struct edu_device *edev = to_edu(vdev);
	enum vfio_device_mig_state next;
	struct file *filp = NULL;
	int ret;

	edu_lock(edev);
	/* The core's helper takes being asked for a way out of ERROR for a driver's mistake. */
	if (edev->state == VFIO_DEVICE_STATE_ERROR)
		filp = ERR_PTR(-EINVAL);
	while (!IS_ERR(filp) && edev->state != state) {
		ret = vfio_mig_get_next_state(vdev, edev->state, state, &next);
		filp = ret ? ERR_PTR(ret) : edu_step(edev, next);
		if (!IS_ERR(filp))
			edev->state = next;
	}
	edu_pump_kick(edev);
	edu_unlock(edev);
	return filp;
}

static int edu_get_state(struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
	struct edu_device *edev = to_edu(vdev);

	edu_lock(edev);
	*state = edev->state;
	edu_unlock(edev);
	return 0;
}

static int edu_get_data_size(struct vfio_device *vdev, unsigned long *bytes)
{
	struct edu_device *edev = to_edu(vdev);

	edu_lock(edev);
	*bytes = edu_session_bytes(edev);
	edu_unlock(edev);
	return 0;
}

const struct vfio_migration_ops edu_migration_ops = {
	.migration_set_state = edu_set_state,
	.migration_get_state = edu_get_state,
	.migration_get_data_size = edu_get_data_size,
};
