/* SPDX-License-Identifier: MIT */
/* Address spaces, HWPTs, groups and containers: what the files behind the address-space ioctls ask of each other. */
#ifndef VFIOMIG_SIM_SPACES_H
#define VFIOMIG_SIM_SPACES_H

#include "profile.h"

#define SIM_CONTAINER_SPACE UINT32_MAX /* struct sim_space.id of what belongs to a container */
#define SIM_MAX_WINDOWS 3u
#define SIM_OF_A_FILE ((uint32_t)SIM_MAP_FILE | SIM_MAP_ODD_FILE) /* by IOMMU_IOAS_MAP_FILE */

/* maps.c */
struct sim_map *vfmi_sim_map_next(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last);
int vfmi_sim_map_add(struct vfm_sim *sim, const struct sim_map *what); /* -ENOMEM: the table is full */
void vfmi_sim_map_free(struct vfm_sim *sim, struct sim_map *map);
int vfmi_sim_map_cut(struct vfm_sim *sim, struct sim_map *map, uint64_t iova); /* in two, @iova begins the second */
uint64_t vfmi_sim_map_last(const struct sim_map *map);
uint32_t vfmi_sim_map_index(const struct vfm_sim *sim, const struct sim_map *map);
struct sim_map *vfmi_sim_map_at(const struct vfm_sim *sim, uint32_t index);
/* What this machine has mapped for it; begins at a page, at which the map need not. */
void vfmi_sim_map_drop_file(const struct vfm_sim *sim, const struct sim_map *map);
void vfmi_sim_maps_repair(struct vfm_sim *sim);

/* space.c */
uint32_t vfmi_sim_slot(const struct vfm_sim *sim, const struct sim_space *space);
struct sim_space *vfmi_sim_space_new(struct vfm_sim *sim, uint32_t owner, uint32_t type, uint32_t id);
void vfmi_sim_space_free(struct vfm_sim *sim, struct sim_space *space);
bool vfmi_sim_attached(const struct vfm_sim *sim, uint32_t slot, bool physical);
bool vfmi_sim_emulated(const struct vfm_sim *sim, uint32_t slot); /* a device without IOMMU of its own is attached */
bool vfmi_sim_pinned(const struct vfm_sim *sim, uint32_t slot);	  /* there is a page table: memory is pinned */
uint64_t vfmi_sim_alignment(const struct vfm_sim *sim, uint32_t slot);
uint32_t vfmi_sim_windows(const struct vfm_sim *sim, uint32_t slot, struct sim_window out[SIM_MAX_WINDOWS]);
bool vfmi_sim_in_windows(const struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last);
/* The space is about to have a page table, and with @device one attached: -EADDRINUSE, -EFAULT, -ENOMEM */
int vfmi_sim_space_check(struct vfm_sim *sim, uint32_t slot, bool device);
bool vfmi_sim_can_pin(struct vfm_sim *sim, const struct sim_map *map); /* memory of this process, no file */
bool vfmi_sim_over_limit(const struct vfm_sim *sim, uint64_t more);
uint64_t vfmi_sim_locked(const struct vfm_sim *sim); /* bytes, of all spaces together */
int vfmi_sim_place(struct vfm_sim *sim, uint32_t slot, uint64_t address, uint64_t length, uint64_t *ret_iova);
/* [@first, @last], upward; stops at a map that reaches out of it */
int vfmi_sim_unmap(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last, uint64_t *ret_bytes,
		   const struct sim_call *call);

/* iommu.c: ioctls of an iommufd */
struct sim_space *vfmi_sim_ioas(struct vfm_sim *sim, uint32_t ctx, uint32_t id);
bool vfmi_sim_id_taken(const struct sim_machine *machine, uint32_t ctx, uint32_t id);
int vfmi_sim_unknown_id(struct vfm_sim *sim, uint32_t id); /* -ENOENT */
/* Into an IOAS; IOMMU_IOAS_MAP_* in what->flags; places it unless FIXED_IOVA. */
int vfmi_sim_map_check(struct vfm_sim *sim, uint32_t slot, struct sim_map *map); /* finds a place if asked to */
int vfmi_sim_ioas_map(struct vfm_sim *sim, struct sim_space *space, struct sim_map *what);

/* iommu-more.c: the rarer of them */
int vfmi_sim_ioas_copy(struct vfm_sim *sim, uint32_t ctx, void *arg);
int vfmi_sim_ioas_map_file(struct vfm_sim *sim, uint32_t ctx, void *arg);
/* What a page table would find: -EINVAL where it pins no such file, or the file is too short. */
int vfmi_sim_file_check(const struct vfm_sim *sim, const struct sim_map *map);
int vfmi_sim_change_process(struct vfm_sim *sim, uint32_t ctx, void *arg);
int vfmi_sim_allow_iovas(struct vfm_sim *sim, uint32_t ctx, void *arg);
int vfmi_sim_option(struct vfm_sim *sim, uint32_t ctx, void *arg);
int vfmi_sim_small_pages(struct vfm_sim *sim, struct sim_space *space);

/* dma-buf.c */
int vfmi_sim_dma_buf_export(struct vfm_sim *sim, const struct sim_device *dev,
			    const struct vfio_device_feature *feature, const struct sim_call *call);
/* To be mapped from @start on, map->length bytes: 1 where @fd is no dma-buf of the machine. */
int vfmi_sim_dma_buf_map(struct vfm_sim *sim, int fd, uint64_t start, struct sim_map *map);
bool vfmi_sim_dma_buf_access(struct vfm_sim *sim, struct sim_device *dev, const struct sim_map *map, uint64_t at,
			     void *buf, size_t length, bool to_bar);

/* hwpt.c */
struct sim_hwpt *vfmi_sim_hwpt(struct vfm_sim *sim, uint32_t ctx, uint32_t id);
bool vfmi_sim_has_hwpt(const struct vfm_sim *sim, uint32_t slot);
bool vfmi_sim_hwpt_used(const struct vfm_sim *sim, const struct sim_hwpt *hwpt);
int vfmi_sim_hwpt_ioctl(struct vfm_sim *sim, uint32_t ctx, unsigned long request, void *arg);
void vfmi_sim_hwpt_repair(struct vfm_sim *sim); /* automatic ones go with their last device */
int vfmi_sim_attach(struct vfm_sim *sim, struct sim_device *dev, uint32_t *pt_id);
void vfmi_sim_detach(struct vfm_sim *sim, struct sim_device *dev);
int vfmi_sim_attach_pasid(struct vfm_sim *sim, struct sim_device *dev, uint32_t pasid, uint32_t *pt_id);
void vfmi_sim_detach_pasid(struct vfm_sim *sim, struct sim_device *dev, uint32_t pasid);
bool vfmi_sim_has_pasids(const struct sim_device *dev);

/* type1.c: maps of a container; -ENOTTY for what it does not know */
int vfmi_sim_type1_ioctl(struct vfm_sim *sim, uint32_t slot, unsigned long request, void *arg);
int vfmi_sim_type1_info(struct vfm_sim *sim, uint32_t slot, void *arg); /* also of a compat IOAS */
uint64_t vfmi_sim_page_sizes(const struct vfm_sim *sim, uint32_t slot);

/* compat.c: VFIO's container ioctls on an iommufd */
bool vfmi_sim_is_compat(unsigned long request);
int vfmi_sim_compat_ioctl(struct vfm_sim *sim, uint32_t ctx, unsigned long request, void *arg,
			  const struct sim_call *call);
int vfmi_sim_compat_create(struct vfm_sim *sim, uint32_t ctx, bool no_iommu);
struct sim_space *vfmi_sim_compat_ioas(struct vfm_sim *sim, uint32_t ctx);
int vfmi_sim_vfio_ioas(struct vfm_sim *sim, uint32_t ctx, void *arg);

/* container.c */
int vfmi_sim_container_ioctl(struct vfm_sim *sim, uint32_t id, unsigned long request, void *arg);
bool vfmi_sim_container_used(const struct vfm_sim *sim, uint32_t id);
void vfmi_sim_container_close(struct vfm_sim *sim, uint32_t id);
int vfmi_sim_container_join(struct vfm_sim *sim, uint32_t id, uint32_t group); /* checks and claims */
void vfmi_sim_containers_settle(struct vfm_sim *sim);

/* token.c */
int vfmi_sim_token_check(struct vfm_sim *sim, struct sim_device *dev, const uint8_t *token); /* NULL: none given */
int vfmi_sim_name_options(struct vfm_sim *sim, struct sim_device *dev, const char *text);    /* behind its name */

/* group.c */
struct sim_object *vfmi_sim_group(const struct vfm_sim *sim, uint32_t number); /* NULL when nobody has it open */
int vfmi_sim_group_open(struct vfm_sim *sim, uint32_t number, int flags);
int vfmi_sim_group_ioctl(struct vfm_sim *sim, uint32_t id, unsigned long request, void *arg, struct sim_call *call);
bool vfmi_sim_group_used(const struct vfm_sim *sim, uint32_t id); /* device files keep a group open */
void vfmi_sim_group_close(struct vfm_sim *sim, uint32_t id);
void vfmi_sim_group_closed(struct vfm_sim *sim, uint32_t id); /* its file; devices of it may be open still */
bool vfmi_sim_group_viable(const struct vfm_sim *sim, uint32_t number);
bool vfmi_sim_group_no_iommu(const struct vfm_sim *sim, uint32_t number);
bool vfmi_sim_group_linked(const struct vfm_sim *sim, uint32_t id); /* some group has @id as container or iommufd */
#define SIM_NOBODY (UINT32_MAX - 1)				    /* an iommufd that there is not */
bool vfmi_sim_group_owned(const struct vfm_sim *sim, uint32_t number, uint32_t ctx); /* by other than iommufd @ctx */
/* Devices of groups in a container have its address space, others of theirs. */
void vfmi_sim_groups_settle(struct vfm_sim *sim);
void vfmi_sim_groups_change(struct vfm_sim *sim); /* from here to _settle() a death is made good */
bool vfmi_sim_device_closed(const struct vfm_sim *sim, const struct sim_device *dev, uint32_t id);

#endif
