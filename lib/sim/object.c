/* SPDX-License-Identifier: MIT */
/*
 * Open files of the machine. Each is a real descriptor: a description of the machine file of its own whose position
 * says which object it is and which holds a lock on the object's byte. So it can be duplicated, inherited and passed
 * to other processes, and its last close shows as a lock that nobody holds, however it came about.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spaces.h"

int vfmi_sim_reopen(struct vfm_sim *sim, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", sim->fd);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static struct flock object_lock(uint32_t id, short type)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(SIM_OBJECT_BASE + id), .l_len = 1
	};
}

bool vfmi_sim_object_held(struct vfm_sim *sim, uint32_t id)
{
	struct flock lock = object_lock(id, F_WRLCK);

	return fcntl(sim->fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

/* A read lock on a file that cannot be written shows just as well as a write lock. */
static int object_describe(struct vfm_sim *sim, uint32_t id, int flags)
{
	struct flock lock = object_lock(id, (flags & O_ACCMODE) == O_RDONLY ? F_RDLCK : F_WRLCK);
	int fd = vfmi_sim_reopen(sim, flags & O_ACCMODE);
	int r;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0 || lseek(fd, (off_t)(SIM_OBJECT_BASE + id), SEEK_SET) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

int vfmi_sim_object_open(struct vfm_sim *sim, const struct sim_object *what, int flags)
{
	struct sim_machine *machine = sim->machine;
	struct sim_object *object;
	uint32_t id;
	int fd;

	for (id = 0; id < SIM_MAX_OBJECTS; id++)
		if (machine->objects[id].kind == SIM_OBJECT_NONE)
			break;
	if (id == SIM_MAX_OBJECTS)
		return -ENFILE;
	fd = object_describe(sim, id, flags);
	if (fd < 0)
		return fd;
	object = &machine->objects[id];
	/* all but the kind, which others read without the lock: it is NONE until the rest is there */
	memcpy((char *)object + sizeof(object->kind), (const char *)what + sizeof(what->kind),
	       sizeof(*object) - sizeof(object->kind));
	if (machine->objects_used <= id)
		machine->objects_used = id + 1;
	__atomic_store_n(&object->kind, what->kind, __ATOMIC_RELEASE);
	return fd;
}

int vfmi_sim_object_of(struct vfm_sim *sim, int fd, uint32_t *ret_id)
{
	struct stat machine, file;
	off_t at;

	if (fstat(fd, &file) < 0)
		return -errno;
	if (!S_ISREG(file.st_mode) || fstat(sim->fd, &machine) < 0 || file.st_dev != machine.st_dev ||
	    file.st_ino != machine.st_ino)
		return -ENOENT;
	at = lseek(fd, 0, SEEK_CUR);
	if (at < (off_t)SIM_OBJECT_BASE || at >= (off_t)(SIM_OBJECT_BASE + SIM_MAX_OBJECTS))
		return -ENOENT;
	*ret_id = (uint32_t)((uint64_t)at - SIM_OBJECT_BASE);
	return 0;
}

static bool ctx_in_use(const struct sim_machine *machine, uint32_t ctx)
{
	uint32_t i;

	for (i = 0; i < machine->devices; i++)
		if (machine->device[i].ctx == ctx + 1)
			return true;
	return false;
}

/* What has no descriptor any more may be kept by what still uses it. */
static bool in_use(const struct vfm_sim *sim, uint32_t id)
{
	switch (sim->machine->objects[id].kind) {
	case SIM_OBJECT_IOMMUFD:
		return ctx_in_use(sim->machine, id) || vfmi_sim_group_linked(sim, id);
	case SIM_OBJECT_CONTAINER:
		return vfmi_sim_group_linked(sim, id);
	case SIM_OBJECT_GROUP:
		return vfmi_sim_group_used(sim, id);
	default:
		return false;
	}
}

static void device_gone(struct vfm_sim *sim, struct sim_device *dev)
{
	vfmi_sim_change(sim, dev);
	vfmi_sim_unbind(sim, dev);
	/* Not to be taken back once the object is gone: nobody would come to close it again. */
	vfmi_sim_commit(sim);
}

static void object_gone(struct vfm_sim *sim, uint32_t id)
{
	struct sim_machine *machine = sim->machine;
	struct sim_object *object = &machine->objects[id];
	struct sim_device *dev = &machine->device[object->device];

	if (object->kind == SIM_OBJECT_CDEV && dev->bound == id + 1)
		device_gone(sim, dev);
	if (object->kind == SIM_OBJECT_DEVICE && dev->bound && vfmi_sim_device_closed(sim, dev, id))
		device_gone(sim, dev);
	object->closed = 1;
	if (object->kind == SIM_OBJECT_GROUP)
		vfmi_sim_group_closed(sim, id);
	if (in_use(sim, id))
		return;
	if (object->kind == SIM_OBJECT_IOMMUFD)
		vfmi_sim_iommu_close(sim, id);
	if (object->kind == SIM_OBJECT_CONTAINER)
		vfmi_sim_container_close(sim, id);
	if (object->kind == SIM_OBJECT_GROUP)
		vfmi_sim_group_close(sim, id);
	__atomic_store_n(&object->kind, SIM_OBJECT_NONE, __ATOMIC_RELEASE);
}

/* Device files first: a device that goes may take its group with it, and that its container or iommufd. */
void vfmi_sim_reap(struct vfm_sim *sim)
{
	static const uint32_t order[] = { SIM_OBJECT_CDEV,  SIM_OBJECT_DEVICE,	  SIM_OBJECT_DATA,   SIM_OBJECT_DMABUF,
					  SIM_OBJECT_GROUP, SIM_OBJECT_CONTAINER, SIM_OBJECT_IOMMUFD };
	struct sim_machine *machine = sim->machine;
	size_t pass;
	uint32_t id;

	for (pass = 0; pass < VFMI_ARRAY_SIZE(order); pass++)
		for (id = 0; id < machine->objects_used && id < SIM_MAX_OBJECTS; id++)
			if (machine->objects[id].kind == order[pass] &&
			    (machine->objects[id].closed ? !in_use(sim, id) : !vfmi_sim_object_held(sim, id)))
				object_gone(sim, id);
	while (machine->objects_used && machine->objects_used <= SIM_MAX_OBJECTS &&
	       machine->objects[machine->objects_used - 1].kind == SIM_OBJECT_NONE)
		machine->objects_used--;
}
