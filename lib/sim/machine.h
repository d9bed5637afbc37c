/* SPDX-License-Identifier: MIT */
/*
 * Inside of the simulated machine: the handle of a process and what its files ask of each other. The machine is the
 * other side of the seam, so this folder makes system calls of its own: on the machine file and its descriptors.
 *
 * Unless told otherwise a function wants the machine locked (vfmi_sim_enter()).
 */
#ifndef VFIOMIG_SIM_MACHINE_H
#define VFIOMIG_SIM_MACHINE_H

#include <pthread.h>

#include <vfiomig/sim.h>

#include "internal.h"
#include "layout.h"
#include "sys.h"

struct vfm_sim;
struct sim_profile;
struct sim_clock;
struct vfio_device_feature;

/* The system call being made, for the fault plan and for messages. */
struct sim_call {
	const char *op;	  /* "ioctl" */
	const char *name; /* "VFIO_DEVICE_FEATURE(MIG_DEVICE_STATE)"; op where there is no better */
	const char *verb; /* "GET", "SET", "PROBE" or NULL */
	int likely;	  /* positive errno it would most likely fail with */
	uint32_t mode;	  /* enum vfm_sim_fault_mode that struck, 0 for none */
	int error;	  /* positive errno to report */
};

struct sim_fault {
	struct vfm_sim_fault what;
	char op[64];
	uint64_t seen;
};

/* A vector's eventfd kept by this process. */
struct sim_local_signal {
	int fd;
	uint32_t serial;
	uint32_t looked; /* signals that waited when an eventfd without owner was looked for here */
};

struct vfm_sim {
	struct vfmi_sys sys;
	struct vfm_context *host_context;
	struct vfmi_sys *host;
	int fd;
	pid_t pid;	 /* whose lock fd carries: a forked child opens its own */
	pid_t start_pid; /* whose start_time is */
	uint64_t start_time;
	struct sim_machine *machine;
	size_t mapped;

	struct sim_clock *clock;
	pthread_mutex_t lock;		  /* threads of this process; taken before the machine's */
	uint64_t owed_ns;		  /* time that passes for who holds it, once it is let go */
	bool in_peer;			  /* a device is at another one's BAR */
	struct sim_local_signal *signals; /* [devices][SIM_SIGNALS] */

	pthread_mutex_t books; /* what follows; innermost */
	struct sim_fault *faults;
	size_t fault_count;
	uint64_t calls;
	uint64_t hits;
	char last_fault[96];
	char strict_message[256];
	uint8_t *open; /* by descriptor */
	size_t open_room;
	uint32_t open_count;
	struct sim_mapping {
		void *ptr;
		size_t length;
		uint32_t device;
	} * mappings;
	size_t mapping_count;
};

/* machine.c: the lock, and what happened while nobody looked */
int vfmi_sim_enter(struct vfm_sim *sim);
void vfmi_sim_leave(struct vfm_sim *sim);
/* About to change @dev: from here to _leave() (or the next call) a death is undone. */
void vfmi_sim_change(struct vfm_sim *sim, struct sim_device *dev);
/* What was changed of a device so far stays. */
void vfmi_sim_commit(struct vfm_sim *sim);
/* Counts a call no correct program makes. */
VFM_PRINTF(2, 3) void vfmi_sim_strict(struct vfm_sim *sim, const char *fmt, ...);
struct sim_device *vfmi_sim_find(struct vfm_sim *sim, const char *name); /* by address, UUID or vfioN */
void vfmi_sim_spend(struct vfm_sim *sim, uint64_t ns);			 /* modelled time */
void vfmi_sim_owe(struct vfm_sim *sim, uint64_t ns);			 /* the same, passing in _leave() */
uint32_t vfmi_sim_index(const struct vfm_sim *sim, const struct sim_device *dev);

/* create.c: a new machine from its description; positive errno text goes to @message */
struct sim_complaint {
	char *text;
	size_t room;
};
VFM_PRINTF(2, 3) int vfmi_sim_complain(const struct sim_complaint *to, const char *fmt, ...); /* -EINVAL */
int vfmi_sim_describe(struct sim_machine *machine, const char *spec, const struct sim_complaint *complaint);
int vfmi_sim_make(int fd, const char *spec, const struct sim_complaint *complaint);

/* clock.c: threads that share virtual time. _sleep() wants the machine not locked. */
int vfmi_sim_clock_new(struct vfm_sim *sim, struct sim_clock **ret_clock);
void vfmi_sim_clock_free(struct sim_clock *clock);
void vfmi_sim_clock_sleep(struct sim_clock *clock, uint64_t ns);

/* object.c: open files. All but _of() want the lock. */
int vfmi_sim_object_open(struct vfm_sim *sim, const struct sim_object *what, int flags); /* descriptor */
int vfmi_sim_object_of(struct vfm_sim *sim, int fd, uint32_t *ret_id); /* -ENOENT: not one of the machine's */
int vfmi_sim_reopen(struct vfm_sim *sim, int flags);		       /* machine file, a description of its own */
bool vfmi_sim_object_held(struct vfm_sim *sim, uint32_t id);
void vfmi_sim_reap(struct vfm_sim *sim);

/* books.c: what this process has open, faults, counters; locks itself */
int vfmi_sim_books_opened(struct vfm_sim *sim, int fd); /* fd back */
void vfmi_sim_books_closed(struct vfm_sim *sim, int fd);
uint32_t vfmi_sim_books_open(struct vfm_sim *sim); /* how many of them are */
void vfmi_sim_books_mapped(struct vfm_sim *sim, const struct sim_device *dev, void *ptr, size_t length);
bool vfmi_sim_books_is_region(struct vfm_sim *sim, uint64_t vaddr, uint64_t length, bool silent);
bool vfmi_sim_books_unmapped(struct vfm_sim *sim, void *ptr, size_t length);
void vfmi_sim_books_free(struct vfm_sim *sim);
/* Counts the call and says what is to become of it. */
void vfmi_sim_fault(struct vfm_sim *sim, struct sim_call *call);

/* seam.c */
extern const struct vfmi_sys_ops vfmi_sim_ops;
struct vfm_sim *vfmi_sim_of(struct vfmi_sys *sys);

/* tree.c: simulated paths. Lock themselves. -ENODATA: not a path of the machine's */
int vfmi_sim_tree_open(struct vfm_sim *sim, const char *path, int flags);
int vfmi_sim_tree_stat(struct vfm_sim *sim, const char *path, bool follow, struct stat *st);
ssize_t vfmi_sim_tree_readlink(struct vfm_sim *sim, const char *path, char *buf, size_t room);
int vfmi_sim_tree_list(struct vfm_sim *sim, const char *path, vfmi_listdir_fn *fn, void *user);
bool vfmi_sim_tree_owns(const char *path);
int vfmi_sim_text_open(const char *text); /* a file that holds it */
void vfmi_sim_cdev_stat(const struct sim_device *dev, struct stat *st);
void vfmi_sim_iommu_stat(struct stat *st);
void vfmi_sim_container_stat(struct stat *st);
void vfmi_sim_group_stat(uint32_t group, struct stat *st);

/* ioctl.c */
int vfmi_sim_ioctl(struct vfm_sim *sim, uint32_t id, unsigned long request, void *arg, struct sim_call *call);
void vfmi_sim_ioctl_name(struct sim_call *call, uint32_t kind, unsigned long request, const void *arg);

/* device.c: the device file */
int vfmi_sim_first_open(struct vfm_sim *sim, struct sim_device *dev, uint32_t by, uint32_t ctx);
bool vfmi_sim_is_open(const struct vfm_sim *sim, const struct sim_device *dev, uint32_t id); /* through this file */
int vfmi_sim_bind(struct vfm_sim *sim, uint32_t id, void *arg);
int vfmi_sim_device_ioctl(struct vfm_sim *sim, struct sim_device *dev, unsigned long request, void *arg,
			  struct sim_call *call);
void vfmi_sim_unbind(struct vfm_sim *sim, struct sim_device *dev); /* last close */
void vfmi_sim_reset(struct vfm_sim *sim, struct sim_device *dev);
uint64_t vfmi_sim_region_size(const struct sim_device *dev, uint32_t index);
bool vfmi_sim_is_ready(const struct vfm_sim *sim, const struct sim_device *dev);
ssize_t vfmi_sim_region_rw(struct vfm_sim *sim, struct sim_device *dev, void *buf, size_t length, uint64_t offset,
			   bool write);
/* mmap as on a host with the machine's pages: where its own are smaller, addresses are still multiples of those. */
int vfmi_sim_map_pages(const struct vfm_sim *sim, void *hint, size_t length, int prot, int flags, int fd, off_t at,
		       void **ret_ptr);
bool vfmi_sim_region_answers(const struct vfm_sim *sim, const struct sim_device *dev); /* to who has it mapped */
int vfmi_sim_region_map(struct vfm_sim *sim, struct sim_device *dev, int fd, void *hint, size_t length, int prot,
			int flags, uint64_t offset, void **ret_ptr);

/* info.c: GET_INFO, GET_REGION_INFO with their capability chains */
int vfmi_sim_device_info(struct vfm_sim *sim, struct sim_device *dev, void *arg);
int vfmi_sim_region_info(struct vfm_sim *sim, struct sim_device *dev, void *arg);

/* irq.c */
int vfmi_sim_irq_info(struct vfm_sim *sim, struct sim_device *dev, void *arg);
int vfmi_sim_set_irqs(struct vfm_sim *sim, struct sim_device *dev, void *arg);
void vfmi_sim_irq_drop(struct vfm_sim *sim, struct sim_device *dev);			 /* all of them */
void vfmi_sim_irq_message(struct vfm_sim *sim, struct sim_device *dev, uint32_t vector); /* MSI */
void vfmi_sim_irq_pin(struct vfm_sim *sim, struct sim_device *dev, bool asserted);
void vfmi_sim_irq_simple(struct vfm_sim *sim, struct sim_device *dev);
void vfmi_sim_irq_signal(struct vfm_sim *sim, struct sim_device *dev, uint32_t signal);
void vfmi_sim_irq_masking(struct vfm_sim *sim, struct sim_device *dev, bool masked); /* by the command register */
void vfmi_sim_irq_unmask(struct vfm_sim *sim, struct sim_device *dev);		     /* INTx */
int vfmi_sim_signal_arm(struct vfm_sim *sim, struct sim_device *dev, uint32_t signal, int fd);
void vfmi_sim_signal_disarm(struct vfm_sim *sim, struct sim_device *dev, uint32_t signal);
int vfmi_sim_signal_fd(struct vfm_sim *sim, const struct sim_device *dev, uint32_t signal); /* here; -1 elsewhere */
void vfmi_sim_irq_deliver(struct vfm_sim *sim); /* what waits for this process; drops stale duplicates */

/* events.c: eventfds that a device listens to */
int vfmi_sim_ioeventfd(struct vfm_sim *sim, struct sim_device *dev, const void *arg);
void vfmi_sim_events_take(struct vfm_sim *sim);

/* power.c */
int vfmi_sim_power(struct vfm_sim *sim, struct sim_device *dev, const struct vfio_device_feature *feature);
void vfmi_sim_wake(struct vfm_sim *sim, struct sim_device *dev); /* an access */

/* hot-reset.c */
int vfmi_sim_hot_reset_info(struct vfm_sim *sim, struct sim_device *dev, void *arg);
int vfmi_sim_hot_reset(struct vfm_sim *sim, struct sim_device *dev, const void *arg);

/* token.c */
int vfmi_sim_set_token(struct sim_device *dev, const struct vfio_device_feature *feature);

/* config.c: configuration space behind vfio-pci */
void vfmi_sim_config_open(struct sim_device *dev);
ssize_t vfmi_sim_config_rw(struct vfm_sim *sim, struct sim_device *dev, uint8_t *buf, size_t length, uint64_t pos,
			   bool write);
bool vfmi_sim_config_master(const struct sim_device *dev);
bool vfmi_sim_config_memory(const struct sim_device *dev);

/* dma-buf.c: the maps of its BARs lead nowhere from now on; and no map is made of them any more */
void vfmi_sim_dma_buf_revoke(struct vfm_sim *sim, const struct sim_device *dev);
void vfmi_sim_dma_buf_closed(struct vfm_sim *sim, const struct sim_device *dev);
uint32_t vfmi_sim_config_cap(const struct sim_device *dev, uint8_t id); /* 0: none */

/* feature.c: DEVICE_FEATURE, the migration states */
int vfmi_sim_feature(struct vfm_sim *sim, struct sim_device *dev, void *arg, struct sim_call *call);
/* 1: go on; 0: it was a probe. @min: bytes the operation needs */
int vfmi_sim_feature_op(const struct vfio_device_feature *feature, uint32_t ops, size_t min);
bool vfmi_sim_runs(const struct sim_device *dev);
bool vfmi_sim_frozen(const struct sim_device *dev);
int vfmi_sim_next_state(uint32_t flags, uint32_t from, uint32_t to);

/* session.c: data files. Reading and writing lock themselves, not held over the copying. */
int vfmi_sim_session_open(struct vfm_sim *sim, struct sim_device *dev, bool saving);
void vfmi_sim_session_close(struct sim_device *dev);
ssize_t vfmi_sim_session_read(struct vfm_sim *sim, uint32_t id, void *buf, size_t length);
ssize_t vfmi_sim_session_write(struct vfm_sim *sim, uint32_t id, const void *buf, size_t length);
int vfmi_sim_session_ioctl(struct vfm_sim *sim, const struct sim_object *object, unsigned long request, void *arg);
short vfmi_sim_session_poll(struct vfm_sim *sim, uint32_t id, short events);
/* Contents are about to be written from outside the stream: keep what is being read as it was, remember the blocks. */
void vfmi_sim_session_touch(struct vfm_sim *sim, struct sim_device *dev, uint64_t offset, uint64_t length);
void vfmi_sim_queue_bytes(struct sim_session *session, const void *bytes, size_t length);
void vfmi_sim_queue_contents(struct sim_session *session, uint64_t offset, uint64_t length);
uint64_t vfmi_sim_queued_bytes(const struct sim_session *session);
void vfmi_sim_want(struct sim_session *session, uint32_t stage, uint64_t at, uint64_t length);
void vfmi_sim_want_contents(struct sim_session *session, uint32_t stage, uint64_t offset, uint64_t length);

/* contents.c: bulk state and what was changed of it */
int vfmi_sim_contents_get(struct vfm_sim *sim, const struct sim_device *dev, uint64_t offset, void *buf,
			  size_t length); /* 0 or -EFAULT, -EIO; no lock needed */
int vfmi_sim_contents_put(struct vfm_sim *sim, struct sim_device *dev, uint64_t offset, const void *buf, size_t length);
void vfmi_sim_contents_wipe(struct vfm_sim *sim, struct sim_device *dev);
void vfmi_sim_punch(struct vfm_sim *sim, uint64_t at, uint64_t length); /* bytes of the file become a hole */
void vfmi_sim_dirty_clear(struct vfm_sim *sim, struct sim_device *dev);
void vfmi_sim_dirty_mark(struct vfm_sim *sim, struct sim_device *dev, uint32_t first, uint32_t end);
bool vfmi_sim_dirty_take(struct vfm_sim *sim, struct sim_device *dev, uint32_t *ret_block);
void vfmi_sim_dirty_recount(struct vfm_sim *sim, struct sim_device *dev);
bool vfmi_sim_dirty_last(struct vfm_sim *sim, const struct sim_device *dev); /* the last block is marked */
uint32_t vfmi_sim_blocks(const struct sim_device *dev);
uint64_t vfmi_sim_block_bytes(const struct sim_device *dev, uint32_t block);

/* iommu.c; more of address spaces, groups and containers in spaces.h */
int vfmi_sim_iommu_ioctl(struct vfm_sim *sim, uint32_t ctx, unsigned long request, void *arg, struct sim_call *call);
uint32_t vfmi_sim_new_id(struct vfm_sim *sim, uint32_t ctx); /* lowest free object id of an iommufd */
void vfmi_sim_iommu_close(struct vfm_sim *sim, uint32_t ctx);
/* space.c: DMA of a device; false is a fault, which is counted */
bool vfmi_sim_dma(struct vfm_sim *sim, struct sim_device *dev, uint64_t iova, void *buf, size_t length, bool to_memory);

/* process.c: other processes of the machine */
uint64_t vfmi_sim_start_time(pid_t pid); /* 0 when there is none */
uint64_t vfmi_sim_own_start(struct vfm_sim *sim);
bool vfmi_sim_alive(uint32_t pid, uint64_t start_time);
bool vfmi_sim_memory(uint32_t pid, uint64_t vaddr, void *buf, size_t length, bool write);
uint64_t vfmi_sim_eventfd_id(uint32_t pid, int fd);
int vfmi_sim_eventfd_find(uint64_t eventfd_id);
bool vfmi_sim_eventfd_signal(uint32_t pid, int fd, uint64_t eventfd_id, uint64_t count);
bool vfmi_sim_is_mapped(uint64_t vaddr, uint64_t length, bool writable);

#endif
