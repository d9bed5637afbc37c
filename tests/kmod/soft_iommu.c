// SPDX-License-Identifier: GPL-2.0-only
/*
 * An IOMMU in software, with dirty tracking by the page. Devices find it by the firmware node they
 * are born with, so it lives beside the machine's own.
 */

#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/irqdomain.h>
#include <linux/module.h>
#include <linux/property.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <uapi/linux/iommufd.h>

#include "soft.h"

static bool dirty_tracking = true;
module_param(dirty_tracking, bool, 0444);
MODULE_PARM_DESC(dirty_tracking, "Whether the IOMMU can track dirty pages");

static uint iova_bits = 39;
module_param(iova_bits, uint, 0444);
MODULE_PARM_DESC(iova_bits, "Aperture of the IOMMU, 32 to 48");

#define HAS_PASIDS (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0))
#if HAS_PASIDS
static uint pasid_bits;
module_param(pasid_bits, uint, 0444);
MODULE_PARM_DESC(pasid_bits, "PASIDs that devices behind the IOMMU have: 0 to 20 bits");
#endif

/* Where PCs have their interrupt window. */
#define MSI_WINDOW	 0xfee00000
#define MSI_WINDOW_BYTES 0x100000

/* An entry is PFN << 1, and whether it can be written. */
#define WRITABLE 1UL
#define DIRTY	 XA_MARK_0
#define WITHHELD XA_MARK_1 /* dirty, and kept from one report already */

struct soft_domain {
	struct iommu_domain domain;
	struct xarray pages;
	unsigned int id; /* of the device whose knobs count */
	bool tracks;
};

struct soft_master {
	spinlock_t lock;
	struct soft_domain *domain; /* NULL: blocked */
	struct xarray pasids;	    /* their domains */
};

static const struct iommu_ops soft_iommu_ops;
static struct iommu_device soft_iommu;
static struct platform_device *soft_iommu_pdev;
static struct fwnode_handle *soft_fwnode;
static struct irq_domain *soft_msi;

static struct soft_domain *to_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct soft_domain, domain);
}

static void soft_switch(struct device *dev, struct soft_domain *to)
{
	struct soft_master *master = dev_iommu_priv_get(dev);

	spin_lock(&master->lock);
	master->domain = to;
	spin_unlock(&master->lock);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define ATTACH_ARGS struct iommu_domain *domain, struct device *dev, struct iommu_domain *old
#else
#define ATTACH_ARGS struct iommu_domain *domain, struct device *dev
#endif

static int soft_block(ATTACH_ARGS)
{
	soft_switch(dev, NULL);
	return 0;
}

static int soft_attach(ATTACH_ARGS)
{
	unsigned int id = to_platform_device(dev)->id;
	struct soft_domain *to = to_domain(domain);

	if (soft_hit(id, KNOB(attach_fail)))
		return -ENOMEM;
	if (soft_knob(id, KNOB(attach_own)) && to->id != id)
		return -EINVAL;
	soft_switch(dev, to);
	return 0;
}

#if HAS_PASIDS
/* Whoever holds the lock knows that no DMA is under way; what needs memory comes before. */
static int soft_attach_pasid(struct iommu_domain *domain, struct device *dev, ioasid_t pasid,
			     struct iommu_domain *old)
{
	struct soft_master *master = dev_iommu_priv_get(dev);
	int ret = xa_reserve(&master->pasids, pasid, GFP_KERNEL);

	if (ret)
		return ret;
	spin_lock(&master->lock);
	ret = xa_err(xa_store(&master->pasids, pasid, to_domain(domain), GFP_ATOMIC));
	spin_unlock(&master->lock);
	return ret;
}

static int soft_block_pasid(struct iommu_domain *domain, struct device *dev, ioasid_t pasid,
			    struct iommu_domain *old)
{
	struct soft_master *master = dev_iommu_priv_get(dev);

	spin_lock(&master->lock);
	xa_erase(&master->pasids, pasid);
	spin_unlock(&master->lock);
	return 0;
}
#endif

static const struct iommu_domain_ops soft_blocked_ops = {
	.attach_dev = soft_block,
#if HAS_PASIDS
	.set_dev_pasid = soft_block_pasid,
#endif
};

static struct iommu_domain soft_blocked = {
	.type = IOMMU_DOMAIN_BLOCKED,
	.ops = &soft_blocked_ops,
};

/* Dirty tracking */

static int soft_set_dirty_tracking(struct iommu_domain *domain, bool on)
{
	struct soft_domain *d = to_domain(domain);

	if (on && soft_hit(d->id, KNOB(track_fail)))
		return soft_errno(d->id, KNOB(log_errno));
	WRITE_ONCE(d->tracks, on);
	return 0;
}

static bool soft_tells(struct soft_domain *d, unsigned long page, bool late, bool clear)
{
	bool tells = !late || xa_get_mark(&d->pages, page, WITHHELD);

	if (clear) {
		if (tells)
			__xa_clear_mark(&d->pages, page, DIRTY);
		if (tells)
			__xa_clear_mark(&d->pages, page, WITHHELD);
		else
			__xa_set_mark(&d->pages, page, WITHHELD);
	}
	return tells;
}

/* The dirty ones of the 64 pages from @first, none after @last. */
static u64 soft_collect(struct soft_domain *d, unsigned long first, unsigned long last, bool clear)
{
	bool late = soft_knob(d->id, KNOB(dirty_late));
	unsigned long page = first;
	u64 found = 0;

	last = min(last, first + 63);
	xa_lock(&d->pages);
	while (xa_find(&d->pages, &page, last, DIRTY)) {
		if (soft_tells(d, page, late, clear))
			found |= 1ULL << (page - first);
		if (page++ == last)
			break;
	}
	xa_unlock(&d->pages);
	return found;
}

/* Noting a page in the caller's bitmap may sleep, so it comes after the lock. */
static int soft_read_dirty(struct iommu_domain *domain, unsigned long iova, size_t size,
			   unsigned long flags, struct iommu_dirty_bitmap *dirty)
{
	unsigned long last = (iova + size - 1) >> PAGE_SHIFT;
	bool clear = !(flags & IOMMU_DIRTY_NO_CLEAR);
	struct soft_domain *d = to_domain(domain);
	unsigned long page = iova >> PAGE_SHIFT;
	bool all = clear && dirty->bitmap && soft_hit(d->id, KNOB(dirty_all));
	unsigned long bit, at;
	u64 found;

	if (!READ_ONCE(d->tracks) && dirty->bitmap)
		return -EINVAL;
	if (all)
		iommu_dirty_bitmap_record(dirty, iova, size);
	while (page <= last && xa_find(&d->pages, &page, last, DIRTY)) {
		found = soft_collect(d, page, last, clear);
		for_each_set_bit(bit, (unsigned long *)&found, 64) {
			at = (page + bit) << PAGE_SHIFT;
			if (!soft_hides(d->id, iova, size, at))
				iommu_dirty_bitmap_record(dirty, at, PAGE_SIZE);
		}
		page += 64;
	}
	return 0;
}

static const struct iommu_dirty_ops soft_dirty_ops = {
	.set_dirty_tracking = soft_set_dirty_tracking,
	.read_and_clear_dirty = soft_read_dirty,
};

/* Domains */

static int soft_map(struct iommu_domain *domain, unsigned long iova, phys_addr_t paddr,
		    size_t pgsize, size_t pgcount, int prot, gfp_t gfp, size_t *mapped)
{
	unsigned long writable = prot & IOMMU_WRITE ? WRITABLE : 0;
	struct soft_domain *d = to_domain(domain);
	unsigned long page = iova >> PAGE_SHIFT;
	unsigned long pfn = paddr >> PAGE_SHIFT;
	void *old;

	if (soft_hit(d->id, KNOB(map_fail)))
		return -ENOMEM;
	for (size_t i = 0; i < pgcount; i++) {
		old = xa_store(&d->pages, page + i, xa_mk_value((pfn + i) << 1 | writable), gfp);
		if (xa_is_err(old))
			return xa_err(old);
		*mapped += PAGE_SIZE;
	}
	return 0;
}

/* Erasing waits for a write under way, and forgets that the page was dirty. */
static size_t soft_unmap(struct iommu_domain *domain, unsigned long iova, size_t pgsize,
			 size_t pgcount, struct iommu_iotlb_gather *gather)
{
	struct soft_domain *d = to_domain(domain);

	for (size_t i = 0; i < pgcount; i++)
		xa_erase(&d->pages, (iova >> PAGE_SHIFT) + i);
	return pgcount << PAGE_SHIFT;
}

static phys_addr_t soft_iova_to_phys(struct iommu_domain *domain, dma_addr_t iova)
{
	void *entry = xa_load(&to_domain(domain)->pages, iova >> PAGE_SHIFT);

	if (!entry)
		return 0;
	return (phys_addr_t)(xa_to_value(entry) >> 1) << PAGE_SHIFT | offset_in_page(iova);
}

static void soft_domain_free(struct iommu_domain *domain)
{
	struct soft_domain *d = to_domain(domain);

	WARN_ON(!xa_empty(&d->pages));
	xa_destroy(&d->pages);
	kfree(d);
}

static const struct iommu_domain_ops soft_domain_ops = {
	.attach_dev = soft_attach,
#if HAS_PASIDS
	.set_dev_pasid = soft_attach_pasid,
#endif
	.map_pages = soft_map,
	.unmap_pages = soft_unmap,
	.iova_to_phys = soft_iova_to_phys,
	.free = soft_domain_free,
};

static struct iommu_domain *soft_domain_alloc(struct device *dev, u32 flags)
{
	struct soft_domain *d;

	if (flags & ~IOMMU_HWPT_ALLOC_DIRTY_TRACKING || (flags && !dirty_tracking))
		return ERR_PTR(-EOPNOTSUPP);
	if (soft_hit(to_platform_device(dev)->id, KNOB(hwpt_fail)))
		return ERR_PTR(-ENOMEM);
	d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d)
		return ERR_PTR(-ENOMEM);
	xa_init(&d->pages);
	d->id = to_platform_device(dev)->id;
	d->domain.type = IOMMU_DOMAIN_UNMANAGED;
	d->domain.ops = &soft_domain_ops;
	d->domain.dirty_ops = flags ? &soft_dirty_ops : NULL;
	d->domain.pgsize_bitmap = PAGE_SIZE;
	d->domain.geometry.aperture_end = BIT_ULL(clamp(iova_bits, 32u, 48u)) - 1;
	d->domain.geometry.force_aperture = true;
	return &d->domain;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
static struct iommu_domain *soft_domain_alloc_flags(struct device *dev, u32 flags,
						    const struct iommu_user_data *data)
{
	/* Any of ours is good for PASIDs. */
	return data ? ERR_PTR(-EOPNOTSUPP)
		    : soft_domain_alloc(dev, flags & ~IOMMU_HWPT_ALLOC_PASID);
}
#else
static struct iommu_domain *soft_domain_alloc_paging(struct device *dev)
{
	struct iommu_domain *domain = soft_domain_alloc(dev, 0);

	return IS_ERR(domain) ? NULL : domain;
}

static struct iommu_domain *soft_domain_alloc_user(struct device *dev, u32 flags,
						   struct iommu_domain *parent,
						   const struct iommu_user_data *data)
{
	return parent || data ? ERR_PTR(-EOPNOTSUPP) : soft_domain_alloc(dev, flags);
}
#endif

/* Devices */

static bool soft_capable(struct device *dev, enum iommu_cap cap)
{
	return cap == IOMMU_CAP_CACHE_COHERENCY ||
	       (cap == IOMMU_CAP_DIRTY_TRACKING && dirty_tracking);
}

static struct iommu_device *soft_probe_device(struct device *dev)
{
	struct soft_master *master = kzalloc(sizeof(*master), GFP_KERNEL);

	if (!master)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&master->lock);
	xa_init(&master->pasids);
	dev_iommu_priv_set(dev, master);
	return &soft_iommu;
}

static void soft_release_device(struct device *dev)
{
	struct soft_master *master = dev_iommu_priv_get(dev);

	WARN_ON(!xa_empty(&master->pasids));
	xa_destroy(&master->pasids);
	kfree(master);
}

static void soft_get_resv_regions(struct device *dev, struct list_head *list)
{
	struct iommu_resv_region *region = iommu_alloc_resv_region(MSI_WINDOW, MSI_WINDOW_BYTES, 0,
								   IOMMU_RESV_MSI, GFP_KERNEL);

	if (region)
		list_add_tail(&region->list, list);
}

static const struct iommu_ops soft_iommu_ops = {
	.owner = THIS_MODULE,
	.default_domain = &soft_blocked,
	.blocked_domain = &soft_blocked,
	.release_domain = &soft_blocked,
	.default_domain_ops = &soft_domain_ops,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
	.domain_alloc_paging_flags = soft_domain_alloc_flags,
#else
	.domain_alloc_paging = soft_domain_alloc_paging,
	.domain_alloc_user = soft_domain_alloc_user,
	.pgsize_bitmap = PAGE_SIZE,
#endif
	.capable = soft_capable,
	.probe_device = soft_probe_device,
	.release_device = soft_release_device,
	.device_group = generic_device_group,
	.get_resv_regions = soft_get_resv_regions,
};

/*
 * DMA of a device within one page, with a PASID unless that is 0: a fault where the domain has
 * nothing for it, else the access and the dirty mark in one, unless the write is to go unnoticed.
 */
int soft_iommu_rw(struct device *dev, u32 pasid, u64 iova, void *buf, size_t len, bool write,
		  bool notice)
{
	struct soft_master *master = dev_iommu_priv_get(dev);
	unsigned long page = iova >> PAGE_SHIFT;
	struct soft_domain *d;
	int ret = -EFAULT;
	void *entry;
	struct page *at;

	spin_lock(&master->lock);
	d = pasid ? xa_load(&master->pasids, pasid) : master->domain;
	if (!d)
		goto out;
	xa_lock(&d->pages);
	entry = xa_load(&d->pages, page);
	if (!entry || (write && !(xa_to_value(entry) & WRITABLE)) ||
	    !pfn_valid(xa_to_value(entry) >> 1))
		goto out_unlock;
	at = pfn_to_page(xa_to_value(entry) >> 1);
	if (write)
		memcpy_to_page(at, offset_in_page(iova), buf, len);
	else
		memcpy_from_page(buf, at, offset_in_page(iova), len);
	if (write && notice && READ_ONCE(d->tracks))
		__xa_set_mark(&d->pages, page, DIRTY);
	ret = 0;
out_unlock:
	xa_unlock(&d->pages);
out:
	spin_unlock(&master->lock);
	return ret;
}

/* The kernel asks a platform device's properties how many it has. */
static int soft_add_pasids(struct platform_device *pdev)
{
#if HAS_PASIDS
	const struct property_entry properties[] = {
		PROPERTY_ENTRY_U32("pasid-num-bits", min(pasid_bits, 20u)),
		{},
	};

	if (pasid_bits)
		return device_create_managed_software_node(&pdev->dev, properties, NULL);
#endif
	return 0;
}

/*
 * Before the device is added, so that the kernel asks this IOMMU about it. Nobody else knows the
 * device yet, so the lock that iommu_fwspec_init() wants to see held, and modules cannot take, is
 * not needed.
 */
int soft_iommu_adopt(struct platform_device *pdev)
{
	struct dev_iommu *iommu = kzalloc(sizeof(*iommu), GFP_KERNEL);
	struct iommu_fwspec *fwspec = kzalloc(sizeof(*fwspec), GFP_KERNEL);
	int ret;

	if (!iommu || !fwspec) {
		kfree(iommu);
		kfree(fwspec);
		return -ENOMEM;
	}
	mutex_init(&iommu->lock);
	fwspec->iommu_fwnode = fwnode_handle_get(soft_fwnode);
	iommu->fwspec = fwspec;
	pdev->dev.iommu = iommu;
	ret = soft_add_pasids(pdev);
	if (ret)
		return ret;
	/* No MSI of ours reaches the CPU: saying so spares users "allow_unsafe_interrupts". */
	dev_set_msi_domain(&pdev->dev, soft_msi);
	return 0;
}

static const struct irq_domain_ops soft_msi_ops = {};

static int soft_msi_init(void)
{
	soft_msi = irq_domain_create_tree(soft_fwnode, &soft_msi_ops, NULL);
	if (!soft_msi)
		return -ENOMEM;
	soft_msi->flags |= IRQ_DOMAIN_FLAG_ISOLATED_MSI;
	return 0;
}

static int soft_iommu_register(void)
{
	struct device *dev = &soft_iommu_pdev->dev;
	int ret = iommu_device_sysfs_add(&soft_iommu, dev, NULL, "vfiomig-soft");

	if (ret)
		return ret;
#if HAS_PASIDS
	soft_iommu.max_pasids = pasid_bits ? BIT(min(pasid_bits, 20u)) : 0;
#endif
	ret = iommu_device_register(&soft_iommu, &soft_iommu_ops, dev);
	if (ret)
		iommu_device_sysfs_remove(&soft_iommu);
	return ret;
}

int soft_iommu_init(void)
{
	struct platform_device_info info = { .name = "vfiomig-iommu", .id = PLATFORM_DEVID_NONE };
	int ret;

	soft_fwnode = fwnode_create_software_node(NULL, NULL);
	if (IS_ERR(soft_fwnode))
		return PTR_ERR(soft_fwnode);
	ret = soft_msi_init();
	if (ret)
		goto err_fwnode;
	info.fwnode = soft_fwnode;
	soft_iommu_pdev = platform_device_register_full(&info);
	ret = PTR_ERR_OR_ZERO(soft_iommu_pdev);
	if (ret)
		goto err_msi;
	ret = soft_iommu_register();
	if (!ret)
		return 0;
	platform_device_unregister(soft_iommu_pdev);
err_msi:
	irq_domain_remove(soft_msi);
err_fwnode:
	fwnode_remove_software_node(soft_fwnode);
	return ret;
}

void soft_iommu_exit(void)
{
	iommu_device_unregister(&soft_iommu);
	iommu_device_sysfs_remove(&soft_iommu);
	platform_device_unregister(soft_iommu_pdev);
	irq_domain_remove(soft_msi);
	fwnode_remove_software_node(soft_fwnode);
}
