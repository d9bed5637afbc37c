/* SPDX-License-Identifier: MIT */
/* What this process has open on the machine, and the fault plan. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "machine.h"

int vfmi_sim_books_opened(struct vfm_sim *sim, int fd)
{
	uint8_t *open;

	if (fd < 0)
		return fd;
	pthread_mutex_lock(&sim->books);
	if ((size_t)fd >= sim->open_room) {
		size_t room = (size_t)fd + 64;

		open = realloc(sim->open, room);
		if (!open)
			goto out;
		memset(open + sim->open_room, 0, room - sim->open_room);
		sim->open = open;
		sim->open_room = room;
	}
	sim->open_count += !sim->open[fd];
	sim->open[fd] = 1;
out:
	pthread_mutex_unlock(&sim->books);
	return fd;
}

void vfmi_sim_books_closed(struct vfm_sim *sim, int fd)
{
	pthread_mutex_lock(&sim->books);
	if (fd >= 0 && (size_t)fd < sim->open_room && sim->open[fd]) {
		sim->open[fd] = 0;
		sim->open_count--;
	}
	pthread_mutex_unlock(&sim->books);
}

/* What belongs to the program it closes by itself: the descriptor of a dma-buf. */
uint32_t vfmi_sim_books_open(struct vfm_sim *sim)
{
	uint32_t count;
	size_t fd;

	pthread_mutex_lock(&sim->books);
	for (fd = 0; fd < sim->open_room; fd++)
		if (sim->open[fd] && fcntl((int)fd, F_GETFD) < 0) {
			sim->open[fd] = 0;
			sim->open_count--;
		}
	count = sim->open_count;
	pthread_mutex_unlock(&sim->books);
	return count;
}

void vfmi_sim_books_mapped(struct vfm_sim *sim, const struct sim_device *dev, void *ptr, size_t length)
{
	struct sim_mapping *more;

	pthread_mutex_lock(&sim->books);
	more = realloc(sim->mappings, (sim->mapping_count + 1) * sizeof(*more));
	if (more) {
		sim->mappings = more;
		more[sim->mapping_count++] = (struct sim_mapping){ ptr, length, vfmi_sim_index(sim, dev) };
	}
	pthread_mutex_unlock(&sim->books);
}

/* Some of it is a region of a device, with @silent of one that does not answer: no memory that could be pinned. */
bool vfmi_sim_books_is_region(struct vfm_sim *sim, uint64_t vaddr, uint64_t length, bool silent)
{
	bool found = false;
	size_t i;

	pthread_mutex_lock(&sim->books);
	for (i = 0; i < sim->mapping_count && !found; i++) {
		const struct sim_mapping *mapping = &sim->mappings[i];
		const uint64_t begin = (uintptr_t)mapping->ptr;

		found = vaddr < begin + mapping->length && begin < vaddr + length &&
			!(silent && vfmi_sim_region_answers(sim, &sim->machine->device[mapping->device]));
	}
	pthread_mutex_unlock(&sim->books);
	return found;
}

bool vfmi_sim_books_unmapped(struct vfm_sim *sim, void *ptr, size_t length)
{
	bool known = false;
	size_t i;

	pthread_mutex_lock(&sim->books);
	for (i = 0; i < sim->mapping_count && !known; i++) {
		known = sim->mappings[i].ptr == ptr && sim->mappings[i].length == length;
		if (known)
			sim->mappings[i] = sim->mappings[--sim->mapping_count];
	}
	pthread_mutex_unlock(&sim->books);
	return known;
}

void vfmi_sim_books_free(struct vfm_sim *sim)
{
	free(sim->faults);
	free(sim->open);
	free(sim->mappings);
}

/* "ioctl", "VFIO_DEVICE_FEATURE", "VFIO_DEVICE_FEATURE(X)" or "VFIO_DEVICE_FEATURE(X).SET" */
static bool fault_means(const struct sim_fault *fault, const struct sim_call *call)
{
	size_t length = strlen(call->name);
	const char *op = fault->op;

	if (!op[0] || !strcmp(op, call->op) || !strcmp(op, call->name))
		return true;
	if (!strncmp(op, call->name, length) && op[length] == '.')
		return call->verb && !strcmp(op + length + 1, call->verb);
	length = strcspn(call->name, "(");
	return call->name[length] && !strncmp(op, call->name, length) && !op[length];
}

static bool fault_strikes(struct sim_fault *fault, const struct sim_call *call)
{
	if (!fault_means(fault, call))
		return false;
	fault->seen++;
	return fault->seen >= fault->what.call && fault->seen - fault->what.call < fault->what.count;
}

void vfmi_sim_fault(struct vfm_sim *sim, struct sim_call *call)
{
	size_t i;

	pthread_mutex_lock(&sim->books);
	sim->calls++;
	for (i = 0; i < sim->fault_count; i++) {
		struct sim_fault *fault = &sim->faults[i];

		if (!fault_strikes(fault, call) || call->mode)
			continue;
		call->mode = fault->what.mode;
		call->error = fault->what.error ? fault->what.error : call->likely;
		sim->hits++;
		snprintf(sim->last_fault, sizeof(sim->last_fault), "%s", call->name);
	}
	pthread_mutex_unlock(&sim->books);
}

static int fault_check(const struct vfm_sim_fault *fault)
{
	const size_t min = offsetof(struct vfm_sim_fault, op) + sizeof(fault->op);

	if (fault->size < min || !fault->call || !fault->count || fault->error < 0 || fault->reserved)
		return -EINVAL;
	if (fault->mode < VFM_SIM_FAULT_BEFORE || fault->mode > VFM_SIM_FAULT_PARTIAL)
		return -EINVAL;
	return fault->op && strlen(fault->op) >= sizeof(((struct sim_fault *)0)->op) ? -EINVAL : 0;
}

int vfm_sim_set_faults(struct vfm_sim *sim, const struct vfm_sim_fault *faults, size_t count)
{
	struct sim_fault *plan = NULL;
	size_t i;

	if (!faults)
		count = 0;
	for (i = 0; i < count; i++)
		if (fault_check(&faults[i]))
			return -EINVAL;
	if (count) {
		plan = calloc(count, sizeof(*plan));
		if (!plan)
			return -ENOMEM;
	}
	for (i = 0; i < count; i++) {
		plan[i].what = faults[i];
		snprintf(plan[i].op, sizeof(plan[i].op), "%s", faults[i].op ? faults[i].op : "");
	}

	pthread_mutex_lock(&sim->books);
	free(sim->faults);
	sim->faults = plan;
	sim->fault_count = count;
	sim->calls = 0;
	sim->hits = 0;
	sim->last_fault[0] = '\0';
	pthread_mutex_unlock(&sim->books);
	return 0;
}

uint64_t vfm_sim_faults_hit(const struct vfm_sim *sim)
{
	return __atomic_load_n(&sim->hits, __ATOMIC_RELAXED);
}

const char *vfm_sim_last_fault(const struct vfm_sim *sim)
{
	return sim->last_fault;
}
