/* SPDX-License-Identifier: MIT */
/* iommufd's rarer ioctls on address spaces: maps of files and of other maps, allowed windows, options, new owners. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "spaces.h"
#include "uapi/iommufd.h"

#define ACCESS (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)

/* What all that map have in common. */
static int access_check(struct vfm_sim *sim, uint32_t flags, uint64_t iova, uint64_t length)
{
	if (flags & ~(IOMMU_IOAS_MAP_FIXED_IOVA | ACCESS)) {
		vfmi_sim_strict(sim, "mapping with flags %#x", flags);
		return -EOPNOTSUPP;
	}
	if (iova == UINT64_MAX || length == UINT64_MAX)
		return -EOVERFLOW;
	if (flags & ACCESS)
		return 0;
	vfmi_sim_strict(sim, "mapping neither readable nor writable");
	return -EINVAL;
}

/* files: this process maps them itself, so that they stay reachable whatever the program does with its own mapping */

static bool is_pinned_kind(int fd, const struct stat *st)
{
	struct statfs fs;

	return S_ISREG(st->st_mode) && !fstatfs(fd, &fs) &&
	       ((uint32_t)fs.f_type == VFMI_FS_TMPFS || (uint32_t)fs.f_type == VFMI_FS_HUGETLBFS);
}

/* The kernel pins for writing what was opened for reading, and nobody can map it so: writes to it fail here. */
static void *file_mmap(const struct vfm_sim *sim, int fd, uint64_t start, uint64_t length, bool write)
{
	void *ptr = MAP_FAILED;
	int r = vfmi_sim_map_pages(sim, NULL, (size_t)length, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, fd,
				   (off_t)start, &ptr);

	return write && r == -EACCES ? file_mmap(sim, fd, start, length, false) : ptr;
}

/* Any file may be mapped, since it is looked at when there is a page table; what cannot be pinned then is odd. */
static int file_open(struct vfm_sim *sim, int fd, uint64_t start, struct sim_map *map)
{
	const uint64_t page = sim->machine->page_size, skip = start % page;
	struct stat st;
	void *ptr = MAP_FAILED;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (is_pinned_kind(fd, &st) && map->length <= UINT64_MAX - 2 * page)
		ptr = file_mmap(sim, fd, start - skip, (map->length + skip + page - 1) & ~(page - 1),
				map->flags & IOMMU_IOAS_MAP_WRITEABLE);
	map->vaddr = (ptr == MAP_FAILED ? 0 : (uintptr_t)ptr) + skip;
	map->pid = (uint32_t)sim->pid;
	map->start_time = vfmi_sim_own_start(sim);
	map->file_dev = st.st_dev;
	map->file_ino = st.st_ino;
	map->file_at = start;
	map->flags |= ptr == MAP_FAILED ? SIM_MAP_ODD_FILE : SIM_MAP_FILE;
	return 0;
}

/* A mapping reaches beyond the end of its file, memory does not. */
int vfmi_sim_file_check(const struct vfm_sim *sim, const struct sim_map *map)
{
	uint8_t last;

	if (map->flags & SIM_MAP_ODD_FILE)
		return -EINVAL;
	if (!(map->flags & SIM_MAP_FILE) || map->pid != (uint32_t)sim->pid ||
	    vfmi_sim_memory(map->pid, map->vaddr + (map->length - 1), &last, 1, false))
		return 0;
	return -EINVAL;
}

/* A mapping of its own for a copy: the original may go first. */
static void file_again(const struct vfm_sim *sim, const struct sim_map *from, struct sim_map *piece)
{
	const uint64_t page = sim->machine->page_size, skip = piece->vaddr % page;
	const size_t length = (size_t)((piece->length + skip + page - 1) & ~(page - 1));
	void *ptr;

	piece->flags |= from->flags & (SIM_MAP_ODD_FILE | SIM_MAP_DMABUF | SIM_MAP_REVOKED);
	if (!(from->flags & SIM_MAP_FILE) || from->pid != (uint32_t)sim->pid)
		return;
	if (vfmi_sim_map_pages(sim, NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, &ptr))
		return;
	if (mremap((void *)(uintptr_t)(piece->vaddr - skip), 0, length, MREMAP_MAYMOVE | MREMAP_FIXED, ptr) != ptr) {
		munmap(ptr, length);
		return;
	}
	piece->vaddr = (uintptr_t)ptr + skip;
	piece->flags |= SIM_MAP_FILE;
}

int vfmi_sim_ioas_map_file(struct vfm_sim *sim, uint32_t ctx, void *arg)
{
	struct iommu_ioas_map_file *cmd = arg;
	struct sim_map map = { .iova = cmd->iova, .length = cmd->length, .flags = cmd->flags };
	struct sim_space *space;
	uint64_t last;
	int r = access_check(sim, cmd->flags, cmd->iova, cmd->length);

	if (r)
		return r;
	space = vfmi_sim_ioas(sim, ctx, cmd->ioas_id);
	if (!space)
		return vfmi_sim_unknown_id(sim, cmd->ioas_id);
	if (!cmd->length)
		return -EINVAL;
	if (vfmi_add_overflows(cmd->start, cmd->length - 1, &last))
		return -EOVERFLOW;
	r = vfmi_sim_dma_buf_map(sim, cmd->fd, cmd->start, &map);
	if (r > 0)
		r = file_open(sim, cmd->fd, cmd->start, &map);
	if (r)
		return r;
	r = vfmi_sim_ioas_map(sim, space, &map);
	if (r)
		vfmi_sim_map_drop_file(sim, &map);
	else
		cmd->iova = map.iova;
	return r;
}

/* copies */

/* The source has no hole, and lets be written what is to be written. */
static int copy_check(struct vfm_sim *sim, uint32_t slot, const struct iommu_ioas_copy *cmd)
{
	uint64_t from = cmd->src_iova, last;
	const struct sim_map *map;

	if (!cmd->length)
		return -EINVAL;
	if (vfmi_add_overflows(from, cmd->length - 1, &last))
		return -EOVERFLOW;
	for (;;) {
		map = vfmi_sim_map_next(sim, slot, from, from);
		if (!map)
			return -ENOENT;
		if (vfmi_sim_map_last(map) >= last)
			return 0;
		from = vfmi_sim_map_last(map) + 1;
	}
}

/* One place for all of it. */
static int copy_place(struct vfm_sim *sim, struct sim_space *to, uint32_t slot, const struct iommu_ioas_copy *cmd,
		      uint64_t *ret_iova)
{
	const struct sim_map *map = vfmi_sim_map_next(sim, slot, cmd->src_iova, cmd->src_iova);
	struct sim_map all = { .vaddr = map->vaddr + (cmd->src_iova - map->iova),
			       .file_at = map->file_at + (cmd->src_iova - map->iova),
			       .iova = cmd->dst_iova,
			       .length = cmd->length,
			       .flags = cmd->flags | (map->flags & SIM_OF_A_FILE) };
	int r = vfmi_sim_map_check(sim, vfmi_sim_slot(sim, to), &all);

	*ret_iova = all.iova;
	return r;
}

/* Piece by piece, since the source may be several maps; all or none. */
static int copy_pieces(struct vfm_sim *sim, struct sim_space *to, uint32_t slot, struct iommu_ioas_copy *cmd)
{
	static const struct sim_call whole = { .op = "", .name = "" };
	uint64_t done = 0, undone, iova;
	int r = copy_place(sim, to, slot, cmd, &iova);

	while (!r && done < cmd->length) {
		const struct sim_map *map = vfmi_sim_map_next(sim, slot, cmd->src_iova + done, UINT64_MAX);
		uint64_t skip = cmd->src_iova + done - map->iova;
		struct sim_map piece = *map;

		piece.vaddr += skip;
		piece.file_at += skip;
		piece.iova = iova + done;
		piece.length = vfmi_min_u64(map->length - skip, cmd->length - done);
		piece.flags = cmd->flags | SIM_MAP_COPY | IOMMU_IOAS_MAP_FIXED_IOVA;
		if (cmd->flags & IOMMU_IOAS_MAP_WRITEABLE & ~map->flags) {
			r = -EPERM;
			break;
		}
		file_again(sim, map, &piece);
		r = vfmi_sim_ioas_map(sim, to, &piece);
		if (r)
			vfmi_sim_map_drop_file(sim, &piece);
		if (!r)
			done += piece.length;
	}
	if (r && done)
		vfmi_sim_unmap(sim, vfmi_sim_slot(sim, to), iova, iova + (done - 1), &undone, &whole);
	if (!r)
		cmd->dst_iova = iova;
	return r;
}

int vfmi_sim_ioas_copy(struct vfm_sim *sim, uint32_t ctx, void *arg)
{
	struct sim_space *from, *to;
	struct iommu_ioas_copy *cmd = arg;
	int r = access_check(sim, cmd->flags, cmd->src_iova == UINT64_MAX ? cmd->src_iova : cmd->dst_iova, cmd->length);

	if (r)
		return r;
	from = vfmi_sim_ioas(sim, ctx, cmd->src_ioas_id);
	if (!from)
		return vfmi_sim_unknown_id(sim, cmd->src_ioas_id);
	r = copy_check(sim, vfmi_sim_slot(sim, from), cmd);
	if (r)
		return r;
	to = vfmi_sim_ioas(sim, ctx, cmd->dst_ioas_id);
	return to ? copy_pieces(sim, to, vfmi_sim_slot(sim, from), cmd) : vfmi_sim_unknown_id(sim, cmd->dst_ioas_id);
}

/* a new owner */

/* A descriptor this process has for that file. */
static int file_find(const struct sim_map *map)
{
	struct stat st;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		if (!fstat(fd, &st) && st.st_dev == map->file_dev && st.st_ino == map->file_ino)
			return fd;
	return -1;
}

static void take_over(struct vfm_sim *sim, struct sim_map *map)
{
	struct sim_map mine = *map;
	int fd = map->pid == (uint32_t)sim->pid ? -1 : file_find(map);

	if (fd < 0 || (map->flags & SIM_MAP_ODD_FILE) || file_open(sim, fd, map->file_at, &mine))
		return;
	map->vaddr = mine.vaddr;
	map->start_time = mine.start_time;
	map->pid = mine.pid;
}

static bool of_iommufd(const struct vfm_sim *sim, const struct sim_map *map, uint32_t ctx)
{
	return map->length && !sim->machine->space[map->space].type && sim->machine->space[map->space].owner == ctx;
}

int vfmi_sim_change_process(struct vfm_sim *sim, uint32_t ctx, void *arg)
{
	const struct iommu_ioas_change_process *cmd = arg;
	uint32_t i;

	if (cmd->reserved) {
		vfmi_sim_strict(sim, "IOMMU_IOAS_CHANGE_PROCESS with a reserved field set");
		return -EOPNOTSUPP;
	}
	for (i = 0; i < sim->machine->maps_used; i++)
		if (of_iommufd(sim, vfmi_sim_map_at(sim, i), ctx) && !(vfmi_sim_map_at(sim, i)->flags & SIM_OF_A_FILE))
			return -EINVAL;
	for (i = 0; i < sim->machine->maps_used; i++)
		if (of_iommufd(sim, vfmi_sim_map_at(sim, i), ctx))
			take_over(sim, vfmi_sim_map_at(sim, i));
	return 0;
}

/* allowed windows */

static int allowed_check(struct vfm_sim *sim, const struct iommu_iova_range *list, uint32_t count)
{
	uint32_t i, k;

	for (i = 0; i < count; i++) {
		if (list[i].start >= list[i].last) {
			vfmi_sim_strict(sim, "IOMMU_IOAS_ALLOW_IOVAS with an empty window");
			return -EINVAL;
		}
		for (k = 0; k < i; k++)
			if (list[i].start <= list[k].last && list[k].start <= list[i].last)
				return -EINVAL;
	}
	return 0;
}

int vfmi_sim_allow_iovas(struct vfm_sim *sim, uint32_t ctx, void *arg)
{
	const struct iommu_ioas_allow_iovas *cmd = arg;
	const struct iommu_iova_range *list = (const void *)(uintptr_t)cmd->allowed_iovas;
	struct sim_space *space;
	uint32_t i;
	int r;

	if (cmd->reserved)
		return -EOPNOTSUPP;
	space = vfmi_sim_ioas(sim, ctx, cmd->ioas_id);
	if (!space)
		return vfmi_sim_unknown_id(sim, cmd->ioas_id);
	if (cmd->num_iovas && !list)
		return -EFAULT;
	r = allowed_check(sim, list, cmd->num_iovas);
	if (r)
		return r;
	if (cmd->num_iovas > SIM_MAX_ALLOWED)
		return -ENOMEM;
	for (i = 0; i < cmd->num_iovas; i++)
		if (!vfmi_sim_in_windows(sim, vfmi_sim_slot(sim, space), list[i].start, list[i].last))
			return -EADDRINUSE;
	if (cmd->num_iovas)
		memcpy(space->allowed, list, cmd->num_iovas * sizeof(*list));
	space->allowed_count = cmd->num_iovas;
	space->full_length = 0;
	return 0;
}

/* options */

/* Not once page tables may hold large pages. */
int vfmi_sim_small_pages(struct vfm_sim *sim, struct sim_space *space)
{
	uint32_t slot = vfmi_sim_slot(sim, space);
	const struct sim_map *map;
	uint64_t from = 0;

	if (space->small_pages)
		return 0;
	if (vfmi_sim_pinned(sim, slot) && space->maps)
		return -EINVAL;
	while ((map = vfmi_sim_map_next(sim, slot, from, UINT64_MAX))) {
		if ((map->iova | map->length | map->vaddr) % sim->machine->page_size)
			return -EADDRINUSE;
		from = vfmi_sim_map_last(map) + 1;
		if (!from)
			break;
	}
	space->small_pages = 1;
	return 0;
}

static int option_pages(struct vfm_sim *sim, uint32_t ctx, struct iommu_option *cmd)
{
	struct sim_space *space = vfmi_sim_ioas(sim, ctx, cmd->object_id);

	if (!space)
		return vfmi_sim_unknown_id(sim, cmd->object_id);
	if (cmd->op == IOMMU_OPTION_OP_GET) {
		cmd->val64 = !space->small_pages;
		return 0;
	}
	if (cmd->op != IOMMU_OPTION_OP_SET)
		return -EOPNOTSUPP;
	if (cmd->val64 > 1)
		return -EINVAL;
	if (!cmd->val64)
		return vfmi_sim_small_pages(sim, space);
	space->small_pages = 0;
	return 0;
}

static bool has_objects(const struct vfm_sim *sim, uint32_t ctx)
{
	uint32_t i;

	for (i = 0; i < SIM_MAX_SPACES; i++)
		if (sim->machine->space[i].id && !sim->machine->space[i].type && sim->machine->space[i].owner == ctx)
			return true;
	for (i = 0; i < sim->machine->devices; i++)
		if (sim->machine->device[i].ctx == ctx + 1)
			return true;
	return false;
}

/* Whoever runs the machine is taken to have CAP_SYS_RESOURCE. */
static int option_rlimit(struct vfm_sim *sim, uint32_t ctx, struct iommu_option *cmd)
{
	struct sim_object *iommufd = &sim->machine->objects[ctx];

	if (cmd->object_id)
		return -EOPNOTSUPP;
	if (cmd->op == IOMMU_OPTION_OP_GET) {
		cmd->val64 = !!(iommufd->mode & SIM_IOMMUFD_PER_PROCESS);
		return 0;
	}
	if (cmd->op != IOMMU_OPTION_OP_SET)
		return -EOPNOTSUPP;
	if (has_objects(sim, ctx))
		return -EBUSY;
	if (cmd->val64 > 1)
		return -EINVAL;
	iommufd->mode = (iommufd->mode & ~(uint32_t)SIM_IOMMUFD_PER_PROCESS) |
			(cmd->val64 ? SIM_IOMMUFD_PER_PROCESS : 0);
	return 0;
}

int vfmi_sim_option(struct vfm_sim *sim, uint32_t ctx, void *arg)
{
	struct iommu_option *cmd = arg;

	if (cmd->reserved || cmd->option_id > IOMMU_OPTION_HUGE_PAGES) {
		vfmi_sim_strict(sim, "IOMMU_OPTION %u", cmd->option_id);
		return -EOPNOTSUPP;
	}
	return cmd->option_id == IOMMU_OPTION_HUGE_PAGES ? option_pages(sim, ctx, cmd) : option_rlimit(sim, ctx, cmd);
}
