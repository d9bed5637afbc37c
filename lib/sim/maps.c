/* SPDX-License-Identifier: MIT */
/*
 * The maps of all address spaces: a table in the machine file, and in it for each space a search tree by IOVA. The
 * tree is a treap; the priority of a map is a hash of its place in the table. What is true is in the table: when a
 * process is killed while it changes a tree, the next one makes all of them anew.
 */
#include <sys/mman.h>

#include "pages.h"

static struct sim_map *table(const struct vfm_sim *sim)
{
	return (struct sim_map *)(void *)((char *)sim->machine + sim->machine->maps_at);
}

static struct sim_map *at(const struct vfm_sim *sim, uint32_t node)
{
	return &table(sim)[node - 1];
}

uint32_t vfmi_sim_map_index(const struct vfm_sim *sim, const struct sim_map *map)
{
	return (uint32_t)(map - table(sim));
}

struct sim_map *vfmi_sim_map_at(const struct vfm_sim *sim, uint32_t index)
{
	return &table(sim)[index];
}

uint64_t vfmi_sim_map_last(const struct sim_map *map)
{
	return map->iova + (map->length - 1);
}

static uint32_t priority(uint32_t node)
{
	uint32_t x = node * 0x9e3779b1u;

	x ^= x >> 15;
	x *= 0x85ebca77u;
	return x ^ x >> 13;
}

/* All below @iova to *ret_left, the rest to *ret_right. */
static void split(struct vfm_sim *sim, uint32_t node, uint64_t iova, uint32_t *ret_left, uint32_t *ret_right)
{
	while (node) {
		struct sim_map *map = at(sim, node);

		if (map->iova < iova) {
			*ret_left = node;
			ret_left = &map->right;
			node = map->right;
		} else {
			*ret_right = node;
			ret_right = &map->left;
			node = map->left;
		}
	}
	*ret_left = 0;
	*ret_right = 0;
}

static uint32_t merge(struct vfm_sim *sim, uint32_t left, uint32_t right)
{
	uint32_t root, *place = &root;

	while (left && right) {
		if (priority(left) > priority(right)) {
			*place = left;
			place = &at(sim, left)->right;
			left = *place;
		} else {
			*place = right;
			place = &at(sim, right)->left;
			right = *place;
		}
	}
	*place = left ? left : right;
	return root;
}

static void insert(struct vfm_sim *sim, uint32_t *place, uint32_t node)
{
	struct sim_map *map = at(sim, node);

	while (*place && priority(*place) > priority(node))
		place = map->iova < at(sim, *place)->iova ? &at(sim, *place)->left : &at(sim, *place)->right;
	split(sim, *place, map->iova, &map->left, &map->right);
	*place = node;
}

static void take_out(struct vfm_sim *sim, uint32_t *place, uint32_t node)
{
	const struct sim_map *map = at(sim, node);

	while (*place && *place != node)
		place = map->iova < at(sim, *place)->iova ? &at(sim, *place)->left : &at(sim, *place)->right;
	if (*place)
		*place = merge(sim, map->left, map->right);
}

/* changing */

static void begin(struct vfm_sim *sim)
{
	__atomic_or_fetch(&sim->machine->busy, SIM_BUSY_MAPS, __ATOMIC_SEQ_CST);
}

static void end(struct vfm_sim *sim)
{
	__atomic_and_fetch(&sim->machine->busy, ~(uint32_t)SIM_BUSY_MAPS, __ATOMIC_SEQ_CST);
}

static uint64_t charge_of(const struct sim_map *map)
{
	return map->flags & SIM_MAP_COPY ? 0 : map->length;
}

static void enter(struct vfm_sim *sim, uint32_t node)
{
	struct sim_space *space = &sim->machine->space[at(sim, node)->space];

	insert(sim, &space->root, node);
	space->maps++;
	space->bytes += charge_of(at(sim, node));
	space->no_vaddr += !!(at(sim, node)->flags & SIM_MAP_NO_VADDR);
	sim->machine->maps_live++;
}

int vfmi_sim_map_add(struct vfm_sim *sim, const struct sim_map *what)
{
	struct sim_machine *machine = sim->machine;
	uint32_t node = machine->maps_free;
	struct sim_map *map;

	if (!node && machine->maps_used == SIM_MAX_MAPS)
		return -ENOMEM;
	begin(sim);
	if (node)
		machine->maps_free = at(sim, node)->left;
	else
		node = ++machine->maps_used;
	map = at(sim, node);
	*map = *what;
	map->length = 0;
	map->serial = ++machine->serial;
	__atomic_store_n(&map->length, what->length, __ATOMIC_RELEASE);
	enter(sim, node);
	end(sim);
	return 0;
}

static void set_free(struct vfm_sim *sim, uint32_t node)
{
	struct sim_map *map = at(sim, node);

	__atomic_store_n(&map->length, 0, __ATOMIC_RELEASE);
	map->left = sim->machine->maps_free;
	sim->machine->maps_free = node;
}

void vfmi_sim_map_free(struct vfm_sim *sim, struct sim_map *map)
{
	struct sim_machine *machine = sim->machine;
	struct sim_space *space = &machine->space[map->space];
	uint32_t node = vfmi_sim_map_index(sim, map) + 1;
	struct sim_map gone = *map;

	vfmi_sim_pages_unmapped(sim, map->space, map->iova, vfmi_sim_map_last(map));
	begin(sim);
	take_out(sim, &space->root, node);
	space->maps--;
	space->bytes -= charge_of(map);
	space->no_vaddr -= !!(map->flags & SIM_MAP_NO_VADDR);
	space->full_length = 0;
	machine->maps_live--;
	set_free(sim, node);
	end(sim);
	if (gone.pid == (uint32_t)sim->pid)
		vfmi_sim_map_drop_file(sim, &gone);
}

/* A map may begin within a page. */
void vfmi_sim_map_drop_file(const struct vfm_sim *sim, const struct sim_map *map)
{
	const uint64_t skip = map->vaddr % sim->machine->page_size;

	if (map->flags & SIM_MAP_FILE)
		munmap((void *)(uintptr_t)(map->vaddr - skip), (size_t)(map->length + skip));
}

int vfmi_sim_map_cut(struct vfm_sim *sim, struct sim_map *map, uint64_t iova)
{
	struct sim_map upper = *map;
	uint64_t below = iova - map->iova;
	int r;

	if (map->flags & SIM_OF_A_FILE)
		return -EINVAL; /* the two halves would share what only one of them can give back */
	upper.iova = iova;
	upper.length -= below;
	upper.vaddr += below;
	upper.file_at += below;
	r = vfmi_sim_map_add(sim, &upper);
	if (r)
		return r;
	begin(sim);
	sim->machine->space[map->space].bytes -= map->flags & SIM_MAP_COPY ? 0 : map->length - below;
	map->length = below;
	end(sim);
	return 0;
}

void vfmi_sim_maps_repair(struct vfm_sim *sim)
{
	struct sim_machine *machine = sim->machine;
	uint32_t i, used = (uint32_t)vfmi_min_u64(machine->maps_used, SIM_MAX_MAPS);

	for (i = 0; i < SIM_MAX_SPACES; i++) {
		struct sim_space *space = &machine->space[i];

		space->root = space->maps = space->no_vaddr = 0;
		space->bytes = space->full_length = 0;
	}
	machine->maps_free = 0;
	machine->maps_live = 0;
	machine->maps_used = used;
	for (i = used; i; i--)
		if (!at(sim, i)->length || at(sim, i)->space >= SIM_MAX_SPACES)
			set_free(sim, i);
		else
			enter(sim, i);
	end(sim);
}

/* looking */

/* Maps do not overlap: going right past those that end too early finds the lowest that does not. */
struct sim_map *vfmi_sim_map_next(struct vfm_sim *sim, uint32_t slot, uint64_t first, uint64_t last)
{
	uint32_t node = sim->machine->space[slot].root;
	struct sim_map *found = NULL;

	while (node) {
		struct sim_map *map = at(sim, node);

		if (vfmi_sim_map_last(map) < first) {
			node = map->right;
		} else {
			found = map;
			node = map->left;
		}
	}
	return found && found->iova <= last ? found : NULL;
}
