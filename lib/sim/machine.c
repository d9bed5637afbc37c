/* SPDX-License-Identifier: MIT */
/* The machine as a whole: opening it, its lock and its repair, its clock. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pages.h"

uint32_t vfmi_sim_index(const struct vfm_sim *sim, const struct sim_device *dev)
{
	return (uint32_t)(dev - sim->machine->device);
}

static int machine_lock(const struct vfm_sim *sim, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)SIM_LOCK_BYTE, .l_len = 1 };
	int r;

	do {
		r = fcntl(sim->fd, F_OFD_SETLKW, &lock);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* A lock belongs to an open file description, which a forked child shares: it needs one of its own. */
static int machine_follow_fork(struct vfm_sim *sim)
{
	pid_t pid = getpid();
	int fd;

	if (pid == sim->pid)
		return 0;
	fd = vfmi_sim_reopen(sim, O_RDWR);
	if (fd < 0)
		return fd;
	close(sim->fd);
	sim->fd = fd;
	sim->pid = pid;
	return 0;
}

/* Whoever held the lock last was killed: take back what it had half done, finish what cannot be taken back. */
static void machine_repair(struct vfm_sim *sim)
{
	struct sim_machine *machine = sim->machine;
	struct sim_device *dev;
	uint32_t i;

	if (machine->undo_device > machine->devices)
		vfmi_sim_commit(sim);
	if (machine->undo_device) {
		dev = &machine->device[machine->undo_device - 1];
		machine->undo.wiping |= dev->wiping;
		*dev = machine->undo;
		vfmi_sim_dirty_recount(sim, dev);
		vfmi_sim_commit(sim);
		vfmi_sim_hwpt_repair(sim);
	}
	if (machine->busy & SIM_BUSY_MAPS)
		vfmi_sim_maps_repair(sim);
	if (machine->busy & SIM_BUSY_PAGES)
		vfmi_sim_pages_repair(sim);
	if (machine->busy & SIM_BUSY_GROUPS)
		vfmi_sim_groups_settle(sim);
	for (i = 0; i < machine->devices; i++)
		if (machine->device[i].wiping)
			vfmi_sim_contents_wipe(sim, &machine->device[i]);
}

static void machine_catch_up(struct vfm_sim *sim)
{
	struct sim_machine *machine = sim->machine;
	uint32_t i;

	vfmi_sim_reap(sim);
	for (i = 0; i < machine->devices; i++) {
		struct sim_device *dev = &machine->device[i];

		if (dev->bound && vfmi_sim_profile(dev)->run)
			vfmi_sim_profile(dev)->run(sim, dev);
	}
	vfmi_sim_events_take(sim);
	vfmi_sim_irq_deliver(sim);
}

int vfmi_sim_enter(struct vfm_sim *sim)
{
	int r;

	pthread_mutex_lock(&sim->lock);
	r = machine_follow_fork(sim);
	if (!r)
		r = machine_lock(sim, F_WRLCK);
	if (r) {
		pthread_mutex_unlock(&sim->lock);
		return r;
	}
	machine_repair(sim);
	machine_catch_up(sim);
	return 0;
}

void vfmi_sim_commit(struct vfm_sim *sim)
{
	__atomic_store_n(&sim->machine->undo_device, 0, __ATOMIC_RELEASE);
}

void vfmi_sim_leave(struct vfm_sim *sim)
{
	const uint64_t owed_ns = sim->owed_ns;

	sim->owed_ns = 0;
	vfmi_sim_commit(sim);
	machine_lock(sim, F_UNLCK);
	pthread_mutex_unlock(&sim->lock);
	if (owed_ns)
		vfmi_sim_clock_sleep(sim->clock, owed_ns);
}

void vfmi_sim_change(struct vfm_sim *sim, struct sim_device *dev)
{
	struct sim_machine *machine = sim->machine;
	uint32_t number = vfmi_sim_index(sim, dev) + 1;

	if (machine->undo_device == number)
		return;
	vfmi_sim_commit(sim);
	machine->undo = *dev;
	__atomic_store_n(&machine->undo_device, number, __ATOMIC_RELEASE);
}

void vfmi_sim_strict(struct vfm_sim *sim, const char *fmt, ...)
{
	struct sim_machine *machine = sim->machine;
	va_list ap;

	machine->strict_errors++;
	va_start(ap, fmt);
	vsnprintf(machine->strict_message, sizeof(machine->strict_message), fmt, ap);
	va_end(ap);
}

struct sim_device *vfmi_sim_find(struct vfm_sim *sim, const char *name)
{
	struct sim_machine *machine = sim->machine;
	char cdev[32];
	uint32_t i;

	for (i = 0; i < machine->devices; i++) {
		struct sim_device *dev = &machine->device[i];

		snprintf(cdev, sizeof(cdev), "vfio%u", dev->cdev);
		if (!strcmp(dev->name, name) || ((dev->flags & SIM_DEVICE_VFIO) && !strcmp(cdev, name)))
			return dev;
	}
	return NULL;
}

/* Under the lock; the clock alone is read without it. */
void vfmi_sim_spend(struct vfm_sim *sim, uint64_t ns)
{
	uint64_t now = sim->machine->now_ns;

	if (vfmi_add_overflows(now, ns, &now))
		now = UINT64_MAX;
	__atomic_store_n(&sim->machine->now_ns, now, __ATOMIC_RELAXED);
}

/* What the kernel waits for with no lock of its own that others need. */
void vfmi_sim_owe(struct vfm_sim *sim, uint64_t ns)
{
	if (vfmi_add_overflows(sim->owed_ns, ns, &sim->owed_ns))
		sim->owed_ns = UINT64_MAX;
}

/* opening */

static int machine_check(int fd, struct sim_machine *head, const struct sim_complaint *complaint)
{
	ssize_t n = pread(fd, head, offsetof(struct sim_machine, wall_base_s), 0);
	off_t size = lseek(fd, 0, SEEK_END);

	if (n < 0 || size < 0)
		return -errno;
	if ((size_t)n < offsetof(struct sim_machine, wall_base_s) ||
	    memcmp(head->magic, SIM_MAGIC, sizeof(head->magic)))
		return vfmi_sim_complain(complaint, "not the file of a simulated machine");
	if (head->version != SIM_VERSION || head->tables_bytes != sizeof(struct sim_machine))
		return vfmi_sim_complain(complaint, "simulated machine of another version: make a new one");
	if (head->mapped_bytes < sizeof(struct sim_machine) || head->mapped_bytes > (uint64_t)size)
		return vfmi_sim_complain(complaint, "the file of the simulated machine is damaged");
	return 0;
}

static int machine_map(struct vfm_sim *sim, const struct sim_complaint *complaint)
{
	struct sim_machine *head = malloc(sizeof(*head));
	void *ptr;
	int r;

	if (!head)
		return -ENOMEM;
	r = machine_check(sim->fd, head, complaint);
	sim->mapped = (size_t)head->mapped_bytes;
	free(head);
	if (r)
		return r;
	ptr = mmap(NULL, sim->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, sim->fd, 0);
	if (ptr == MAP_FAILED)
		return -errno;
	sim->machine = ptr;
	if (sim->machine->devices > SIM_MAX_DEVICES || !sim->machine->page_size ||
	    sim->machine->page_size & (sim->machine->page_size - 1))
		return vfmi_sim_complain(complaint, "the file of the simulated machine is damaged");
	return 0;
}

static int machine_memory(const char *spec, const struct sim_complaint *complaint)
{
	int fd = memfd_create("vfiomig-sim", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = vfmi_sim_make(fd, spec, complaint);
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}

/* Made aside and linked, so that nobody ever meets half a machine. */
static int machine_create(const char *path, const char *spec, const struct sim_complaint *complaint)
{
	char *aside = NULL;
	int fd, r;

	if (asprintf(&aside, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(aside, O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		goto out_free;
	}
	r = vfmi_sim_make(fd, spec, complaint);
	if (!r && link(aside, path) < 0)
		r = -errno;
	unlink(aside);
	if (r) {
		close(fd);
		goto out_free;
	}
	r = fd;
out_free:
	free(aside);
	return r;
}

static int machine_file(const char *path, const char *spec, const struct sim_complaint *complaint)
{
	int fd;

	do {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 || errno != ENOENT)
			return fd < 0 ? -errno : fd;
		fd = machine_create(path, spec, complaint);
	} while (fd == -EEXIST);
	return fd;
}

static int sim_new(struct vfm_sim **ret)
{
	struct vfm_sim *sim = calloc(1, sizeof(*sim));
	int r;

	if (!sim)
		return -ENOMEM;
	sim->sys = (struct vfmi_sys){ .ops = &vfmi_sim_ops, .simulated = true };
	sim->fd = -1;
	sim->pid = getpid();
	pthread_mutex_init(&sim->lock, NULL);
	pthread_mutex_init(&sim->books, NULL);
	r = vfm_context_new(&sim->host_context);
	if (!r)
		r = vfmi_sim_clock_new(sim, &sim->clock);
	if (r) {
		vfm_sim_close(sim);
		return r;
	}
	sim->host = vfmi_context_sys(sim->host_context);
	*ret = sim;
	return 0;
}

static int sim_signals_new(struct vfm_sim *sim)
{
	size_t i;

	sim->signals = calloc((size_t)SIM_MAX_DEVICES * SIM_SIGNALS, sizeof(*sim->signals));
	if (!sim->signals)
		return -ENOMEM;
	for (i = 0; i < (size_t)SIM_MAX_DEVICES * SIM_SIGNALS; i++)
		sim->signals[i].fd = -1;
	return 0;
}

int vfm_sim_open(const char *path, const char *spec, struct vfm_sim **ret_sim, char *ret_message, size_t message_room)
{
	const struct sim_complaint complaint = { ret_message, message_room };
	struct vfm_sim *sim;
	int r;

	if (ret_message && message_room)
		ret_message[0] = '\0';
	r = sim_new(&sim);
	if (r)
		return r;
	r = path ? machine_file(path, spec, &complaint) : machine_memory(spec, &complaint);
	if (r < 0)
		goto err_close;
	sim->fd = r;
	r = machine_map(sim, &complaint);
	if (!r)
		r = sim_signals_new(sim);
	if (r)
		goto err_close;
	sim->sys.page_size = sim->machine->page_size;
	*ret_sim = sim;
	return 0;

err_close:
	vfm_sim_close(sim);
	if (ret_message && message_room && !ret_message[0])
		snprintf(ret_message, message_room, "%s", vfmi_errno_text(-r));
	return r;
}

void vfm_sim_close(struct vfm_sim *sim)
{
	size_t i;

	if (!sim)
		return;
	for (i = 0; sim->signals && i < (size_t)SIM_MAX_DEVICES * SIM_SIGNALS; i++)
		if (sim->signals[i].fd >= 0)
			close(sim->signals[i].fd);
	free(sim->signals);
	if (sim->machine)
		munmap(sim->machine, sim->mapped);
	if (sim->fd >= 0)
		close(sim->fd);
	vfmi_sim_books_free(sim);
	vfm_context_free(sim->host_context);
	vfmi_sim_clock_free(sim->clock);
	pthread_mutex_destroy(&sim->lock);
	pthread_mutex_destroy(&sim->books);
	free(sim);
}

int vfm_sim_context(struct vfm_sim *sim, struct vfm_context **ret_ctx)
{
	return vfmi_context_new_on(&sim->sys, ret_ctx);
}

uint64_t vfm_sim_now_ns(struct vfm_sim *sim)
{
	return __atomic_load_n(&sim->machine->now_ns, __ATOMIC_RELAXED);
}

/* Leaving and coming back, so that what falls due happens before this returns. */
void vfm_sim_advance_ns(struct vfm_sim *sim, uint64_t ns)
{
	if (vfmi_sim_enter(sim))
		return;
	vfmi_sim_spend(sim, ns);
	machine_catch_up(sim);
	sim->owed_ns = 0; /* of what happened meanwhile */
	vfmi_sim_leave(sim);
}
