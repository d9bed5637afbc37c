/* SPDX-License-Identifier: MIT */
/* The textual form of a device that lives on in another process; shared by inheritance, lending and borrowing. */
#ifndef VFIOMIG_DESCRIBE_H
#define VFIOMIG_DESCRIBE_H

#include "internal.h"

struct vfmi_vector {
	uint32_t index;
	uint32_t vector;
	int fd;
};

/*
 * Everything vfm_device_adopt() needs. Descriptors are numbers here, owned by nobody.
 * @pid: whose numbers they are, 0 for our own; @start: when that process began, as /proc/PID/stat says it, or ""
 */
struct vfmi_description {
	uint32_t pid;
	char start[24];
	int device_fd;
	int iommufd;
	uint32_t ioas_id;
	uint32_t devid;
	uint32_t pt_id;
	uint32_t backend;
	uint32_t tracks; /* pt_id has dirty tracking */
	uint32_t simulated;
	struct vfm_identity identity; /* name and the texts a lender knows */
	struct vfmi_vector *vectors;
	size_t count;
	size_t room;
};

/* What vfmi_description_parse() found wrong, and where in the text. */
struct vfmi_parse_trouble {
	size_t at;
	const char *why;
};

/*
 * How long it can get: without vectors, of which the texts may be escaped all through; and with all there can be. One
 * index has 2048 at most, as MSI-X of PCI has; beside it each has one.
 */
#define VFMI_DESCRIPTION_VECTORS (2048u + 63u)
#define VFMI_DESCRIPTION_VECTOR (sizeof(",irq=63:2047:2147483647") - 1)
#define VFMI_DESCRIPTION_TEXTS                                                                                         \
	(sizeof(((struct vfm_identity *)0)->name) + sizeof(((struct vfm_identity *)0)->driver) +                       \
	 sizeof(((struct vfm_identity *)0)->mdev_type) + sizeof(((struct vfm_identity *)0)->firmware))
#define VFMI_DESCRIPTION_REST                                                                                          \
	(sizeof("fd:2147483647,iommufd=2147483647,ioas=4294967295,devid=4294967295,pt=4294967295,"                     \
		"backend=123456789012345,tracks=1,name=,driver=,mdev=,firmware=,sim=1") +                              \
	 3 * VFMI_DESCRIPTION_TEXTS)

int vfmi_description_of(struct vfm_device *dev, struct vfmi_description *ret);
void vfmi_description_clear(struct vfmi_description *desc);
int vfmi_description_add_vector(struct vfmi_description *desc, struct vfmi_vector vector);

/* Return: length without NUL, -ENOSPC. Vectors are left out unless @vectors: on a socket they travel apart. */
int vfmi_description_print(const struct vfmi_description *desc, bool vectors, char *buf, size_t room);

/* Return: 0, -EINVAL with @ret_trouble filled, -ENOMEM. Clear @ret after success. */
int vfmi_description_parse(const char *text, struct vfmi_description *ret, struct vfmi_parse_trouble *ret_trouble);

/*
 * The descriptors of process desc->pid become our own, all or none of them (pidfd.c); taken back by
 * vfmi_description_put(). Return: 0, -ESRCH, -EBADF, -EPERM, or errno, told.
 */
int vfmi_description_fetch(struct vfm_context *ctx, struct vfmi_description *desc, struct vfm_error *err);
void vfmi_description_put(struct vfm_context *ctx, struct vfmi_description *desc);

/* Adopt the device and declare its vectors; descriptors are duplicated. */
int vfmi_description_adopt(struct vfm_context *ctx, const struct vfmi_description *desc, struct vfm_device **ret_dev,
			   struct vfm_error *err);

#endif
