// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfiomig_soft - VFIO devices that are all software, for tests: behind an IOMMU of their own or
 * emulated, with a DMA engine that writes by itself. vfiomig_soft.h is the manual.
 */

#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/unaligned.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "soft.h"

static uint physical = 2;
module_param(physical, uint, 0444);
MODULE_PARM_DESC(physical, "Devices behind an IOMMU");

static uint emulated = 2;
module_param(emulated, uint, 0444);
MODULE_PARM_DESC(emulated, "Devices without an IOMMU");

static uint mig_flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
module_param(mig_flags, uint, 0644);
MODULE_PARM_DESC(mig_flags, "Migration flags of devices bound from now on: 1, 3, 5 or 7");

static struct platform_device *soft_pdevs[SOFT_MAX_DEVICES];

static void soft_forget(struct soft_device *sdev)
{
	soft_session_close(sdev);
	sdev->state = VFIO_DEVICE_STATE_RUNNING;
	memset(&sdev->regs, 0, sizeof(sdev->regs));
	memset(&sdev->command, 0, sizeof(sdev->command));
	memset(sdev->contents, 0, sdev->contents_bytes);
	put_unaligned_le16(0, sdev->config + PCI_COMMAND);
}

static long soft_reset(struct soft_device *sdev)
{
	if (hit(sdev, reset_fail))
		return error(sdev, arc_errno);
	mutex_lock(&sdev->lock);
	soft_forget(sdev);
	soft_log_reset(sdev);
	mutex_unlock(&sdev->lock);
	return 0;
}

/* The user's information structures */

static long soft_get_info(void __user *arg)
{
	const unsigned long minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
static int soft_get_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
				struct vfio_info_cap *caps)
{
	return soft_region_info(to_soft(vdev), info);
}
#else
static long soft_copy_region_info(struct soft_device *sdev, void __user *arg)
{
	const unsigned long minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_region_info info;
	int ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	ret = soft_region_info(sdev, &info);
	if (ret)
		return ret;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}
#endif

static long soft_get_irq_info(void __user *arg)
{
	const unsigned long minsz = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info;
	int ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	ret = soft_irq_info(&info);
	if (ret)
		return ret;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long soft_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct soft_device *sdev = to_soft(vdev);
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return soft_get_info(user);
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
	case VFIO_DEVICE_GET_REGION_INFO:
		return soft_copy_region_info(sdev, user);
#endif
	case VFIO_DEVICE_GET_IRQ_INFO:
		return soft_get_irq_info(user);
	case VFIO_DEVICE_SET_IRQS:
		return soft_set_irqs(sdev, user);
	case VFIO_DEVICE_RESET:
		return soft_reset(sdev);
	default:
		return -ENOTTY;
	}
}

/* Life of a device */

static void soft_free(struct soft_device *sdev)
{
	vfree(sdev->contents);
	vfree(sdev->journal);
	kfree(sdev->bounce);
	sdev->contents = NULL;
	sdev->journal = NULL;
	sdev->bounce = NULL;
}

static int soft_alloc(struct soft_device *sdev)
{
	u64 kb = clamp(knob(sdev, state_kb), 1ull, 1024ull * 1024);

	sdev->contents_bytes = kb << 10;
	sdev->blocks = DIV_ROUND_UP(sdev->contents_bytes, VFIOMIG_SOFT_BLOCK);
	sdev->contents = __vmalloc(sdev->contents_bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	sdev->journal = vzalloc(array_size(SOFT_JOURNAL, sizeof(*sdev->journal)));
	sdev->bounce = kmalloc(PAGE_SIZE, GFP_KERNEL);
	return sdev->contents && sdev->journal && sdev->bounce ? 0 : -ENOMEM;
}

static int soft_open(struct vfio_device *vdev)
{
	struct soft_device *sdev = to_soft(vdev);
	int ret;

	mutex_lock(&sdev->lock);
	ret = soft_alloc(sdev);
	if (!ret)
		soft_forget(sdev);
	sdev->pins.unmaps = 0;
	sdev->unnoticed = 0;
	mutex_unlock(&sdev->lock);
	if (!ret)
		ret = soft_engine_start(sdev);
	if (ret)
		soft_free(sdev);
	return ret;
}

static void soft_close(struct vfio_device *vdev)
{
	struct soft_device *sdev = to_soft(vdev);

	soft_engine_stop(sdev);
	soft_irq_forget(sdev);
	mutex_lock(&sdev->lock);
	if (!sdev->physical)
		soft_unpin_all(sdev);
	soft_session_close(sdev);
	soft_log_forget(sdev);
	sdev->state = VFIO_DEVICE_STATE_RUNNING;
	soft_free(sdev);
	mutex_unlock(&sdev->lock);
}

static void soft_request(struct vfio_device *vdev, unsigned int count)
{
	soft_raise(to_soft(vdev), VFIO_PCI_REQ_IRQ_INDEX);
}

static void soft_init_config(u8 *config)
{
	put_unaligned_le16(VFIOMIG_SOFT_VENDOR_ID, config + PCI_VENDOR_ID);
	put_unaligned_le16(VFIOMIG_SOFT_DEVICE_ID, config + PCI_DEVICE_ID);
	put_unaligned_le16(VFIOMIG_SOFT_VENDOR_ID, config + PCI_SUBSYSTEM_VENDOR_ID);
	put_unaligned_le16(VFIOMIG_SOFT_DEVICE_ID, config + PCI_SUBSYSTEM_ID);
	config[PCI_REVISION_ID] = 1;
	config[PCI_CLASS_DEVICE + 1] = 0xff; /* of no class */
}

static int soft_init(struct vfio_device *vdev)
{
	struct soft_device *sdev = to_soft(vdev);
	uint flags = READ_ONCE(mig_flags);

	if (!(flags & VFIO_MIGRATION_STOP_COPY) ||
	    (flags & ~(VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY)))
		return -EINVAL;
	vdev->migration_flags = flags;
	vdev->mig_ops = &soft_migration_ops;
	vdev->log_ops = &soft_log_ops;
	mutex_init(&sdev->set_lock);
	mutex_init(&sdev->lock);
	mutex_init(&sdev->irq_lock);
	init_waitqueue_head(&sdev->wake);
	soft_pins_init(&sdev->pins);
	xa_init(&sdev->log.dirty);
	soft_init_config(sdev->config);
	sdev->state = VFIO_DEVICE_STATE_RUNNING;
	sdev->id = to_platform_device(vdev->dev)->id;
	sdev->physical = sdev->id < physical;
	return 0;
}

static void soft_release_device(struct vfio_device *vdev)
{
	struct soft_device *sdev = to_soft(vdev);

	xa_destroy(&sdev->pins.pages);
	mutex_destroy(&sdev->irq_lock);
	mutex_destroy(&sdev->lock);
	mutex_destroy(&sdev->set_lock);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define SOFT_REGION_OPS .get_region_info_caps = soft_get_region_info,
#else
#define SOFT_REGION_OPS
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define SOFT_PASID_OPS                                                                             \
	.pasid_attach_ioas = vfio_iommufd_physical_pasid_attach_ioas,                              \
	.pasid_detach_ioas = vfio_iommufd_physical_pasid_detach_ioas,
#else
#define SOFT_PASID_OPS
#endif

/* clang-format off */
#define SOFT_OPS							\
	.init = soft_init,						\
	.release = soft_release_device,					\
	.open_device = soft_open,					\
	.close_device = soft_close,					\
	.read = soft_read,						\
	.write = soft_write,						\
	.ioctl = soft_ioctl,						\
	.request = soft_request,					\
	SOFT_REGION_OPS

static const struct vfio_device_ops soft_physical_ops = {
	.name = "vfiomig-soft",
	SOFT_OPS
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
	SOFT_PASID_OPS
};

static const struct vfio_device_ops soft_emulated_ops = {
	.name = "vfiomig-soft-emulated",
	SOFT_OPS
	.dma_unmap = soft_dma_unmap,
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
};
/* clang-format on */

static int soft_probe(struct platform_device *pdev)
{
	bool behind_iommu = pdev->id < physical;
	struct soft_device *sdev;
	int ret;

	sdev = vfio_alloc_device(soft_device, vdev, &pdev->dev,
				 behind_iommu ? &soft_physical_ops : &soft_emulated_ops);
	if (IS_ERR(sdev))
		return PTR_ERR(sdev);
	platform_set_drvdata(pdev, sdev);
	ret = behind_iommu ? vfio_register_group_dev(&sdev->vdev)
			   : vfio_register_emulated_iommu_dev(&sdev->vdev);
	if (ret)
		vfio_put_device(&sdev->vdev);
	return ret;
}

static void soft_remove(struct platform_device *pdev)
{
	struct soft_device *sdev = platform_get_drvdata(pdev);

	vfio_unregister_group_dev(&sdev->vdev);
	vfio_put_device(&sdev->vdev);
}

static struct platform_driver soft_driver = {
	.probe = soft_probe,
	.remove = soft_remove,
	.driver_managed_dma = true,
	.driver = { .name = KBUILD_MODNAME },
};

/* The module */

static const struct attribute_group *soft_groups[] = { &soft_knob_group, NULL };

static struct platform_device *soft_add(uint id)
{
	struct platform_device *pdev = platform_device_alloc(KBUILD_MODNAME, id);
	int ret = pdev ? 0 : -ENOMEM;

	if (!ret)
		pdev->dev.groups = soft_groups;
	if (!ret && id < physical)
		ret = soft_iommu_adopt(pdev);
	if (!ret)
		ret = platform_device_add(pdev);
	if (!ret)
		return pdev;
	platform_device_put(pdev);
	return ERR_PTR(ret);
}

static void soft_remove_all(void)
{
	for (uint id = 0; id < SOFT_MAX_DEVICES; id++)
		platform_device_unregister(soft_pdevs[id]);
	platform_driver_unregister(&soft_driver);
	if (physical)
		soft_iommu_exit();
}

static int soft_add_all(void)
{
	struct platform_device *pdev;

	for (uint id = 0; id < physical + emulated; id++) {
		pdev = soft_add(id);
		if (IS_ERR(pdev))
			return PTR_ERR(pdev);
		soft_pdevs[id] = pdev;
	}
	return 0;
}

static int __init soft_module_init(void)
{
	int ret;

	if (physical > SOFT_MAX_DEVICES || emulated > SOFT_MAX_DEVICES - physical)
		return -EINVAL;
	soft_knobs_init();
	ret = physical ? soft_iommu_init() : 0;
	if (ret)
		return ret;
	ret = platform_driver_register(&soft_driver);
	if (ret) {
		if (physical)
			soft_iommu_exit();
		return ret;
	}
	ret = soft_add_all();
	if (ret)
		soft_remove_all();
	return ret;
}
module_init(soft_module_init);

static void __exit soft_module_exit(void)
{
	soft_remove_all();
}
module_exit(soft_module_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO devices in software, with a software IOMMU, that migrate and misbehave");
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS("IOMMUFD");
#else
MODULE_IMPORT_NS(IOMMUFD);
#endif
