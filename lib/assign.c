/* SPDX-License-Identifier: MIT */
/* Bipartite matching by augmenting paths, and whether it is the only one. */
#include "assign.h"

#define NOBODY UINT32_MAX

_Static_assert(VFM_STREAM_MAX_DEVICES <= 64, "targets are kept as bits of a word");

struct matching {
	const struct vfmi_fits *fits;
	uint32_t target_of[VFM_STREAM_MAX_DEVICES];
	uint32_t source_of[VFM_STREAM_MAX_DEVICES];
	uint64_t visited;
	uint32_t banned_source; /* may not get @banned_target; NOBODY when nothing is banned */
	uint32_t banned_target;
};

/* Find @source a target, moving others on where that helps; at most as deep as there are sources. */
static bool place(struct matching *m, uint32_t source)
{
	for (uint32_t t = 0; t < m->fits->targets; t++) {
		const uint64_t bit = 1ull << t;

		if (!(m->fits->fit[source] & bit) || (m->visited & bit))
			continue;
		if (source == m->banned_source && t == m->banned_target)
			continue;
		m->visited |= bit;
		if (m->source_of[t] == NOBODY || place(m, m->source_of[t])) {
			m->source_of[t] = source;
			m->target_of[source] = t;
			return true;
		}
	}
	return false;
}

static bool match_all(struct matching *m, size_t *ret_source)
{
	memset(m->source_of, 0xff, sizeof(m->source_of));
	for (uint32_t s = 0; s < m->fits->sources; s++) {
		m->visited = 0;
		if (!place(m, s)) {
			*ret_source = s;
			return false;
		}
	}
	return true;
}

int vfmi_assign(const struct vfmi_fits *fits, uint32_t ret_map[VFM_STREAM_MAX_DEVICES], size_t *ret_source)
{
	struct matching found = { .fits = fits, .banned_source = NOBODY };
	size_t left_over;

	if (!match_all(&found, ret_source))
		return -ENOENT;
	/* a second assignment would differ from the first in at least one pair: forbid each in turn */
	for (uint32_t s = 0; s < fits->sources; s++) {
		struct matching other = { .fits = fits, .banned_source = s, .banned_target = found.target_of[s] };

		if (match_all(&other, &left_over))
			return -EEXIST;
	}
	memcpy(ret_map, found.target_of, sizeof(found.target_of));
	return 0;
}
