// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiomig_edu - a vfio-pci variant driver that lets QEMU's edu device migrate.
 *
 * For tests: a PCI device with DMA, an interrupt and as much state as a test wants, that is reset
 * and forgets everything on open and on last close, as real devices do.
 */

#include <linux/bits.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "edu.h"

static uint mig_flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
module_param(mig_flags, uint, 0644);
MODULE_PARM_DESC(mig_flags, "Migration flags of devices bound from now on: 1, 3, 5 or 7");

static uint state_mb = 64;
module_param(state_mb, uint, 0644);
MODULE_PARM_DESC(state_mb, "MiB of contents of devices opened from now on");

static uint state_kb;
module_param(state_kb, uint, 0644);
MODULE_PARM_DESC(state_kb, "KiB of contents instead, when not 0");

static uint chunk;
module_param(chunk, uint, 0644);
MODULE_PARM_DESC(chunk, "Most bytes that one read or write of a data file moves, 0 for no limit");

static uint reset_ms;
module_param(reset_ms, uint, 0644);
MODULE_PARM_DESC(reset_ms, "Milliseconds that the reset of the first open takes longer");

static uint unready_ms;
module_param(unready_ms, uint, 0644);
MODULE_PARM_DESC(unready_ms, "Milliseconds after a reset or an open in which nothing answers");

static bool precopy_eof;
module_param(precopy_eof, bool, 0644);
MODULE_PARM_DESC(precopy_eof, "Read 0 instead of ENOMSG when nothing is left in PRE_COPY");

static uint fail_arc;
module_param(fail_arc, uint, 0644);
MODULE_PARM_DESC(fail_arc, "Let the Nth arc from now fail with EIO");

static uint error_arc;
module_param(error_arc, uint, 0644);
MODULE_PARM_DESC(error_arc, "Let the Nth arc from now lead to ERROR");

static uint reinit;
module_param(reinit, uint, 0644);
MODULE_PARM_DESC(reinit, "Begin again with the initial data at the Nth PRECOPY_INFO of version 2");

static bool edu_count_down(uint *param)
{
	bool hit;

	kernel_param_lock(THIS_MODULE);
	hit = *param && !--*param;
	kernel_param_unlock(THIS_MODULE);
	return hit;
}

bool edu_fail_this_arc(void)
{
	return edu_count_down(&fail_arc);
}

bool edu_break_this_arc(void)
{
	return edu_count_down(&error_arc);
}

bool edu_reinit_now(void)
{
	return edu_count_down(&reinit);
}

size_t edu_chunk(size_t len)
{
	uint most = READ_ONCE(chunk);

	return most ? min_t(size_t, len, most) : len;
}

bool edu_precopy_eof(void)
{
	return READ_ONCE(precopy_eof);
}

static size_t edu_contents_bytes(void)
{
	uint kb = READ_ONCE(state_kb);

	if (kb)
		return (size_t)min(kb, 1024u * 1024) << 10;
	return (size_t)clamp(READ_ONCE(state_mb), 1u, 1024u) << 20;
}

/* Forget, on behalf of resets that could not wait for the lock. */
static void edu_catch_up(struct edu_device *edev)
{
	int resets = atomic_read(&edev->resets);

	if (edev->resets_seen == resets)
		return;
	edev->resets_seen = resets;
	edu_session_close(edev);
	edev->state = VFIO_DEVICE_STATE_RUNNING;
	memset(&edev->pump, 0, sizeof(edev->pump));
	if (edev->contents)
		memset(edev->contents, 0, edev->contents_bytes);
}

void edu_lock(struct edu_device *edev)
{
	mutex_lock(&edev->lock);
	edu_catch_up(edev);
}

int edu_lock_interruptible(struct edu_device *edev)
{
	int ret = mutex_lock_interruptible(&edev->lock);

	if (!ret)
		edu_catch_up(edev);
	return ret;
}

void edu_unlock(struct edu_device *edev)
{
	mutex_unlock(&edev->lock);
}

static void edu_fall_silent(struct edu_device *edev)
{
	const u64 pause = msecs_to_jiffies(READ_ONCE(unready_ms));

	WRITE_ONCE(edev->silent_until, get_jiffies_64() + pause);
}

static void edu_reset_done(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(&pdev->dev);
	struct edu_device *edev = container_of(core, struct edu_device, core);

	atomic_inc(&edev->resets);
	edu_hw_forget(edev);
	edu_fall_silent(edev);
}

static int edu_map_bar(struct edu_device *edev)
{
/* Later kernels map the BARs while enabling the device. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
	int ret = vfio_pci_core_setup_barmap(&edev->core, 0);

	if (ret)
		return ret;
#endif
	if (IS_ERR_OR_NULL((__force void *)edev->core.barmap[0]))
		return -EIO;
	mutex_lock(&edev->hw_lock);
	edev->bar = edev->core.barmap[0];
	mutex_unlock(&edev->hw_lock);
	return 0;
}

static void edu_unmap_bar(struct edu_device *edev)
{
	mutex_lock(&edev->hw_lock);
	edev->bar = NULL;
	mutex_unlock(&edev->hw_lock);
}

static void edu_free_contents(struct edu_device *edev)
{
	vfree(edev->contents);
	edev->contents = NULL;
	edev->contents_bytes = 0;
	edev->blocks = 0;
}

static int edu_new_contents(struct edu_device *edev)
{
	edev->contents_bytes = edu_contents_bytes();
	edev->blocks = DIV_ROUND_UP(edev->contents_bytes, VFIOMIG_EDU_BLOCK);
	edev->contents = __vmalloc(edev->contents_bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return edev->contents ? 0 : -ENOMEM;
}

static int edu_open_device(struct vfio_device *vdev)
{
	struct edu_device *edev = to_edu(vdev);
	int ret;

	ret = vfio_pci_core_enable(&edev->core);
	if (ret)
		return ret;
	msleep(READ_ONCE(reset_ms));
	ret = edu_map_bar(edev);
	if (ret)
		goto err_disable;

	edu_lock(edev);
	ret = edu_new_contents(edev);
	edev->state = VFIO_DEVICE_STATE_RUNNING;
	memset(&edev->pump, 0, sizeof(edev->pump));
	edu_unlock(edev);
	if (ret)
		goto err_unmap;
	ret = edu_register_regions(edev);
	if (ret)
		goto err_free;

	/* The reset of vfio_pci_core_enable() came before the BAR was mapped. */
	edu_hw_forget(edev);
	vfio_pci_core_finish_enable(&edev->core);
	edu_fall_silent(edev);
	return 0;

err_free:
	edu_free_contents(edev);
err_unmap:
	edu_unmap_bar(edev);
err_disable:
	vfio_pci_core_disable(&edev->core);
	return ret;
}

static void edu_close_device(struct vfio_device *vdev)
{
	struct edu_device *edev = to_edu(vdev);

	cancel_delayed_work_sync(&edev->pump_work);
	edu_unmap_bar(edev);
	edu_lock(edev);
	edu_session_close(edev);
	edu_free_contents(edev);
	edu_unlock(edev);
	vfio_pci_core_close_device(vdev);
}

static int edu_init_device(struct vfio_device *vdev)
{
	struct edu_device *edev = to_edu(vdev);
	uint flags = READ_ONCE(mig_flags);

	if (!(flags & VFIO_MIGRATION_STOP_COPY) ||
	    (flags & ~(VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY)))
		return -EINVAL;
	vdev->migration_flags = flags;
	vdev->mig_ops = &edu_migration_ops;
	mutex_init(&edev->lock);
	mutex_init(&edev->hw_lock);
	edev->state = VFIO_DEVICE_STATE_RUNNING;
	INIT_DELAYED_WORK(&edev->pump_work, edu_pump_work);
	return vfio_pci_core_init_dev(vdev);
}

static void edu_release_device(struct vfio_device *vdev)
{
	struct edu_device *edev = to_edu(vdev);

	mutex_destroy(&edev->lock);
	mutex_destroy(&edev->hw_lock);
	vfio_pci_core_release_dev(vdev);
}

static const struct vfio_device_ops edu_ops = {
	.name = "vfiomig-edu",
	.init = edu_init_device,
	.release = edu_release_device,
	.open_device = edu_open_device,
	.close_device = edu_close_device,
	.ioctl = vfio_pci_core_ioctl,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
	.get_region_info_caps = vfio_pci_ioctl_get_region_info,
#endif
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = edu_read,
	.write = vfio_pci_core_write,
	.mmap = vfio_pci_core_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
	.match_token_uuid = vfio_pci_core_match_token_uuid,
#endif
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
	.pasid_attach_ioas = vfio_iommufd_physical_pasid_attach_ioas,
	.pasid_detach_ioas = vfio_iommufd_physical_pasid_detach_ioas,
#endif
};

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
static const struct vfio_pci_device_ops edu_pci_ops = {
	.get_dmabuf_phys = vfio_pci_core_get_dmabuf_phys,
};
#endif

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu_device *edev;
	int ret;

	edev = vfio_alloc_device(edu_device, core.vdev, &pdev->dev, &edu_ops);
	if (IS_ERR(edev))
		return PTR_ERR(edev);
	dev_set_drvdata(&pdev->dev, &edev->core);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
	edev->core.pci_ops = &edu_pci_ops;
#endif
	ret = vfio_pci_core_register_device(&edev->core);
	if (ret)
		vfio_put_device(&edev->core.vdev);
	return ret;
}

static void edu_remove(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(&pdev->dev);

	vfio_pci_core_unregister_device(core);
	vfio_put_device(&core->vdev);
}

/* Only by driver_override: the device has drivers of its own for other purposes. */
/* clang-format off */
static const struct pci_device_id edu_ids[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(VFIOMIG_EDU_VENDOR_ID, VFIOMIG_EDU_DEVICE_ID) },
	{ },
};
/* clang-format on */
MODULE_DEVICE_TABLE(pci, edu_ids);

static const struct pci_error_handlers edu_err_handlers = {
	.reset_done = edu_reset_done,
	.error_detected = vfio_pci_core_aer_err_detected,
};

static struct pci_driver edu_driver = {
	.name = KBUILD_MODNAME,
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
	.err_handler = &edu_err_handlers,
	.driver_managed_dma = true,
};
module_pci_driver(edu_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("vfio-pci variant driver that migrates QEMU's edu device");
