/* SPDX-License-Identifier: MIT */
/* Areas of an address space as a treap: balanced by random priorities whatever the order of the addresses; pure. */
#include "areas.h"

/* xorshift; the starting value only has to differ from 0 */
static uint32_t next_priority(struct vfmi_areas *areas)
{
	uint32_t x = areas->random ? areas->random : 0x9e3779b9u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	areas->random = x;
	return x;
}

struct vfmi_area *vfmi_areas_overlap(const struct vfmi_areas *areas, uint64_t first, uint64_t last)
{
	struct vfmi_area *lowest = NULL;

	for (struct vfmi_area *at = areas->root; at;) {
		if (at->last < first) {
			at = at->right;
			continue;
		}
		lowest = at;
		at = at->left;
	}
	return lowest && lowest->iova <= last ? lowest : NULL;
}

/* Everything in @tree below @iova goes to @left, the rest to @right. */
static void split(struct vfmi_area *tree, uint64_t iova, struct vfmi_area **left, struct vfmi_area **right)
{
	while (tree) {
		if (tree->iova < iova) {
			*left = tree;
			left = &tree->right;
			tree = *left;
		} else {
			*right = tree;
			right = &tree->left;
			tree = *right;
		}
	}
	*left = NULL;
	*right = NULL;
}

/* One tree of two, every address of @left below those of @right. */
static struct vfmi_area *merge(struct vfmi_area *left, struct vfmi_area *right)
{
	struct vfmi_area *root;
	struct vfmi_area **at = &root;

	while (left && right) {
		if (left->priority >= right->priority) {
			*at = left;
			at = &left->right;
			left = *at;
		} else {
			*at = right;
			at = &right->left;
			right = *at;
		}
	}
	*at = left ? left : right;
	return root;
}

void vfmi_areas_add(struct vfmi_areas *areas, struct vfmi_area *area)
{
	struct vfmi_area **at = &areas->root;

	area->priority = next_priority(areas);
	while (*at && (*at)->priority >= area->priority)
		at = (*at)->iova < area->iova ? &(*at)->right : &(*at)->left;
	split(*at, area->iova, &area->left, &area->right);
	*at = area;
}

void vfmi_areas_remove(struct vfmi_areas *areas, struct vfmi_area *area)
{
	struct vfmi_area **at = &areas->root;

	while (*at && *at != area)
		at = (*at)->iova < area->iova ? &(*at)->right : &(*at)->left;
	if (*at)
		*at = merge(area->left, area->right);
}
