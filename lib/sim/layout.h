/* SPDX-License-Identifier: MIT */
/*
 * The machine file: what all processes of a simulated machine share, mapped by each of them.
 *
 *   0             struct sim_machine, the tables
 *   maps_at       the maps of all address spaces, SIM_MAX_MAPS of them
 *   pages_at      the sets of pages that devices have written, SIM_PAGE_SETS of them
 *                 for each device its bitmap of changed blocks; all of it mapped like the tables
 *   mapped_bytes  for each device its contents and one block for the piece being saved; read and written, never
 *                 mapped, so that 16 GiB of state cost no memory
 *   SIM_OBJECT_BASE + n  no bytes: lock and file position of open file n
 *
 * Native byte order and layout: a machine belongs to the host it was made on. Whoever changes the tables holds the
 * machine's lock; whatever can be half done when the process is killed is repaired by the next one (machine.c).
 */
#ifndef VFIOMIG_SIM_LAYOUT_H
#define VFIOMIG_SIM_LAYOUT_H

#include <stdint.h>

#define SIM_MAGIC "VFMSIM\r\n"
#define SIM_VERSION 5u

#define SIM_MAX_DEVICES 32u
#define SIM_MAX_OBJECTS 512u
#define SIM_MAX_SPACES 64u
#define SIM_MAX_HWPTS 64u
#define SIM_MAX_MAPS 131072u
#define SIM_MAX_ALLOWED 8u
#define SIM_MAX_PASIDS 4u
#define SIM_MAX_VECTORS 16u
#define SIM_MAX_IOEVENTS 8u
#define SIM_MAX_RUNS 4095u /* of pages, in a set */
#define SIM_MAX_STATE (1ull << 37)

#define SIM_BLOCK 65536u /* granule of change tracking */
#define SIM_OBJECT_BASE (1ull << 42)
#define SIM_LOCK_BYTE (SIM_OBJECT_BASE - 1u)

/* An open file: a descriptor of some process holds a lock on its byte as long as it lives. */
enum sim_object_kind {
	SIM_OBJECT_NONE = 0,
	SIM_OBJECT_CDEV = 1,
	SIM_OBJECT_IOMMUFD = 2,
	SIM_OBJECT_DATA = 3,
	SIM_OBJECT_CONTAINER = 4,
	SIM_OBJECT_GROUP = 5,
	SIM_OBJECT_DEVICE = 6, /* a device as its group gave it */
	SIM_OBJECT_DMABUF = 7, /* of parts of a BAR */
};

struct sim_object {
	uint32_t kind;	 /* written last when made, first when gone */
	uint32_t device; /* CDEV, DATA, DEVICE, DMABUF */
	uint32_t serial; /* DATA: session it belongs to. DMABUF: parts */
	uint32_t saving; /* DATA. DMABUF: its device was closed */
	uint32_t closed; /* IOMMUFD, CONTAINER, GROUP: no descriptor any more, kept by what still uses it */
	uint32_t group;	 /* GROUP: its number. DMABUF: BAR */
	/*
	 * GROUP: its container or iommufd, object + 1. CONTAINER: address space, slot + 1. IOMMUFD: compat IOAS, id.
	 * DMABUF: first page in the BAR.
	 */
	uint32_t link;
	uint32_t mode; /* CONTAINER: what VFIO_SET_IOMMU said. IOMMUFD: enum sim_iommufd_mode. DMABUF: pages */
};

enum sim_iommufd_mode {
	SIM_IOMMUFD_PER_PROCESS = 1, /* IOMMU_OPTION_RLIMIT_MODE */
	SIM_IOMMUFD_NO_IOMMU = 2,    /* stands in for a container of groups without IOMMU */
};

struct sim_window {
	uint64_t first;
	uint64_t last; /* inclusive */
};

/* An address space: an IOAS, or what VFIO_SET_IOMMU gave a container. */
struct sim_space {
	uint32_t id;	/* 0: free; of an IOAS its id, of a container UINT32_MAX */
	uint32_t owner; /* object: iommufd or container */
	uint32_t type;	/* 0 for an IOAS, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU */
	uint32_t small_pages;
	uint32_t root; /* of the tree of its maps, index + 1 */
	uint32_t maps;
	uint64_t bytes; /* charged for them */
	uint32_t no_vaddr;
	uint32_t tracking; /* VFIO_IOMMU_DIRTY_PAGES_FLAG_START; a container's */
	uint32_t physical; /* while it tracks: devices of an IOMMU are in it */
	uint32_t allowed_count;
	struct sim_window allowed[SIM_MAX_ALLOWED];
	/* Below this nothing is free for as much with such an alignment: where the last search ended. */
	uint64_t full_below;
	uint64_t full_length;
	uint64_t full_align;
};

struct sim_hwpt {
	uint32_t id;	/* 0: free */
	uint32_t owner; /* object of its iommufd */
	uint32_t space; /* slot */
	uint32_t flags; /* IOMMU_HWPT_ALLOC_* */
	uint32_t automatic;
	uint32_t tracking;
};

enum sim_map_flag {			      /* beside IOMMU_IOAS_MAP_* */
		    SIM_MAP_FILE = 0x100,     /* of a file that this machine has mapped itself */
		    SIM_MAP_COPY = 0x200,     /* charged elsewhere */
		    SIM_MAP_NO_VADDR = 0x400, /* VFIO_DMA_UNMAP_FLAG_VADDR */
		    SIM_MAP_ODD_FILE = 0x800, /* of a file that cannot be pinned: never any page table's */
		    /* of a BAR: device in file_ino, BAR in file_dev, vaddr the place in it */
		    SIM_MAP_DMABUF = 0x1000,
		    SIM_MAP_REVOKED = 0x2000, /* and leads nowhere any more */
};

struct sim_map {
	uint64_t iova;
	uint64_t length; /* 0: free */
	uint64_t vaddr;
	uint64_t start_time; /* of the process, so that a reused pid is not taken for it */
	uint32_t space;	     /* slot */
	uint32_t pid;
	uint32_t flags; /* IOMMU_IOAS_MAP_*, enum sim_map_flag */
	uint32_t serial;
	uint32_t left; /* in the tree, index + 1; of a free one the next */
	uint32_t right;
	uint64_t file_dev; /* SIM_MAP_FILE: which */
	uint64_t file_ino;
	uint64_t file_at;
	uint64_t rest[2]; /* type1: what the kernel leaves behind its bits in their last words */
};

/* Pages, as runs of addresses in order. */
struct sim_pages {
	uint32_t changing; /* somebody is about it */
	uint32_t count;
	uint64_t reserved;
	struct sim_window run[SIM_MAX_RUNS];
};

#define SIM_PAGE_SETS (SIM_MAX_HWPTS + SIM_MAX_SPACES + 2u * SIM_MAX_DEVICES)

/* An eventfd armed for a vector: a duplicate in the process that armed it. */
struct sim_signal {
	uint32_t pid; /* 0: not armed */
	int32_t fd;
	uint64_t eventfd_id; /* the kernel's, to know it again; 0 when it does not tell */
	uint32_t pending;    /* signals only that process can deliver */
	uint32_t serial;
};

#define SIM_SIGNAL_ERR SIM_MAX_VECTORS
#define SIM_SIGNAL_REQ (SIM_MAX_VECTORS + 1u)
#define SIM_SIGNAL_WAKE (SIM_MAX_VECTORS + 2u)
/* From here on signalled by the program, and listened to. */
#define SIM_SIGNAL_UNMASK (SIM_MAX_VECTORS + 3u)
#define SIM_SIGNAL_IOEVENT (SIM_MAX_VECTORS + 4u)
#define SIM_SIGNALS (SIM_SIGNAL_IOEVENT + SIM_MAX_IOEVENTS)
#define SIM_IRQ_NONE 5u

struct sim_irq {
	uint32_t type; /* VFIO_PCI_*_IRQ_INDEX, SIM_IRQ_NONE */
	uint32_t intx_masked;
	uint32_t intx_asserted; /* the device's pin */
	uint32_t vectors;	/* allocated for MSI or MSI-X */
	uint32_t serial;
	uint32_t reserved;
	struct sim_signal signals[SIM_SIGNALS];
};

/* A write that an eventfd stands for. */
struct sim_ioevent {
	uint32_t width; /* 0: free */
	uint32_t pad;
	uint64_t position; /* in the device file */
	uint64_t data;
};

/* Next bytes of a stream being saved. */
enum sim_segment_kind {
	SIM_SEGMENT_INLINE = 0,
	SIM_SEGMENT_CONTENTS = 1,
	SIM_SEGMENT_PIECE = 2, /* copy of a block that was changed while it was being read */
};

struct sim_segment {
	uint32_t kind;
	uint32_t reserved;
	uint64_t length; /* what is left */
	uint64_t offset; /* in bytes[], in the contents or in the piece block */
	uint8_t bytes[192];
};

#define SIM_SEGMENTS 4u

enum sim_session_kind {
	SIM_SESSION_NONE = 0,
	SIM_SESSION_SAVE = 1,
	SIM_SESSION_LOAD = 2,
};

struct sim_session {
	uint32_t kind;
	uint32_t serial;
	uint32_t stage;	  /* the profile's */
	uint32_t final;	  /* saving: the device has stopped */
	int32_t error;	  /* loading: positive errno that sticks */
	uint32_t initial; /* what is queued has never been sent before */
	uint64_t bytes;	  /* moved so far */
	uint64_t records;

	/* saving */
	uint32_t queued;
	uint32_t cursor;      /* first block never sent */
	uint32_t dirty_count; /* blocks to be sent again; which, is in the bitmap */
	uint32_t dirty_first; /* none below */
	struct sim_segment queue[SIM_SEGMENTS];

	/* loading: where the next byte goes and how many are missing there */
	uint32_t to_contents;
	uint32_t skip;
	uint64_t target;
	uint64_t missing;
	uint64_t high;		 /* contents above this were not written yet and are zero */
	uint64_t quiet_until_ns; /* virtio: asked before then, the device is not looked at */
	uint8_t in[256];
	uint8_t saved[192]; /* registers as they were when the device stopped */
};

struct sim_mtty_port {
	uint8_t reg[8];
	uint8_t fifo[16];
	uint8_t head;
	uint8_t tail;
	uint8_t count;
	uint8_t dlab;
	uint8_t overrun;
	uint8_t pad0;
	uint16_t divisor;
	uint8_t fcr;
	uint8_t max_fifo_size;
	uint8_t trigger_level;
	uint8_t pad1;
};

struct sim_mtty {
	struct sim_mtty_port ports[2];
	uint32_t irqs_known; /* GET_INFO was called once: the driver checks indexes against what that left behind */
};

struct sim_edu_pump {
	uint64_t ctrl;
	uint64_t src;
	uint64_t dst;
	uint64_t length;
	uint64_t stride;
	uint64_t slots;
	uint64_t completed;
	uint64_t errors;
};

struct sim_edu {
	uint32_t live_check;
	uint32_t factorial;
	uint32_t status;
	uint32_t irq_status;
	uint64_t dma_src;
	uint64_t dma_dst;
	uint64_t dma_cnt;
	uint64_t dma_cmd;
	uint64_t dma_done_ns;  /* when the DMA under way ends */
	uint64_t pump_next_ns; /* when the pump looks next */
	uint32_t pump_phase;
	uint32_t reserved;
	struct sim_edu_pump pump;
	uint8_t buffer[4096];
};

/* Registers of the profiles that have nothing but memory behind their BAR. */
struct sim_plain {
	uint8_t regs[136];    /* the profile's regs_bytes of them */
	uint32_t match_done;  /* hisi_acc: a header matched once, the driver looks at no other */
	uint32_t setup_bytes; /* qat: length of the setup section that was loaded, 0 for none */
};

/* What a device answers that is not ready. */
enum sim_unready {
	SIM_UNREADY_ONES = 0,	   /* all ones, wherever it is read */
	SIM_UNREADY_REGISTERS = 1, /* nvgrace-gpu: its two status registers tell, the rest works */
};

/* How INTx is wired on the host. */
enum sim_intx {
	SIM_INTX_WIRED = 0,
	SIM_INTX_ABSENT = 1,	  /* the pin reads as none */
	SIM_INTX_UNCONNECTED = 2, /* the pin is there and leads nowhere */
};

enum sim_device_flag {
	SIM_DEVICE_VFIO = 1, /* bound to a VFIO driver */
	SIM_DEVICE_UNPLUGGED = 2,
	SIM_DEVICE_NO_IOMMU = 4, /* none translates for it */
	SIM_DEVICE_DIRTY = 8,	 /* its IOMMU tracks what it writes */
	SIM_DEVICE_LOG = 16,	 /* it does so itself */
};

struct sim_device {
	/* what it is */
	char name[64];
	char bus_path[96]; /* under /sys/devices */
	char mdev_type[48];
	uint32_t profile;
	uint32_t flags;
	uint32_t migration_flags;
	uint32_t cdev;		  /* vfioN */
	uint32_t group;		  /* IOMMU group */
	uint32_t ports;		  /* mtty */
	uint32_t format;	  /* hisi_acc: version of its stream */
	uint32_t precopy_eof;	  /* nothing left in PRE_COPY reads as 0 */
	uint64_t chunk;		  /* most bytes one read or write of a data file moves, 0 for no limit */
	uint64_t state_bytes;	  /* contents */
	uint64_t read_ns_per_mib; /* modelled time of moving state */
	uint64_t arc_ns;	  /* and of a change of state */
	uint64_t reset_ns;	  /* and of a reset */
	uint64_t ready_ns;	  /* and of becoming ready after it */
	uint32_t unready;	  /* enum sim_unready */
	uint32_t intx;		  /* enum sim_intx */
	uint32_t msix_static;	  /* vectors cannot be added */
	uint32_t vectors_max;	  /* of MSI and MSI-X that the platform gives, 0 for no limit */
	uint32_t plain_bar;	  /* the contents are an ordinary BAR, of any size, with the MSI-X table in it */
	uint32_t sriov;		  /* a physical function */
	char pf[16];		  /* of a virtual one: its address, else empty */
	uint64_t contents_at;
	uint64_t piece_at;
	uint64_t bitmap_at;

	/* how it is */
	uint32_t bound; /* object + 1: its cdev, or the group it was opened through */
	uint32_t ctx;	/* iommufd it is bound to, object + 1 */
	uint32_t devid;
	uint32_t space; /* slot + 1 */
	uint32_t hwpt;	/* slot + 1 */
	uint32_t pasid_log2;
	struct {
		uint32_t pasid;
		uint32_t hwpt; /* slot + 1 */
	} pasids[SIM_MAX_PASIDS];
	uint32_t state;
	uint32_t reset_count;
	uint32_t wiping; /* contents are being forgotten */
	uint32_t fail_arc;
	uint32_t virq_disabled;
	uint32_t failed; /* xe: an illegal change of state; every other fails until a reset */
	uint32_t power;
	uint32_t log_shift; /* of the pages its log tells apart; 0: no log has been started */
	uint32_t log_reserved;
	uint32_t has_token; /* vf_token is known to somebody */
	uint8_t vf_token[16];
	uint64_t ready_at_ns;
	uint64_t dma_faults;
	struct sim_session session;
	struct sim_irq irq;
	struct sim_ioevent ioevents[SIM_MAX_IOEVENTS];
	uint8_t config[256]; /* as the device has it */
	uint8_t virt[256];   /* as the user sees the virtualised bits */
	union {
		struct sim_mtty mtty;
		struct sim_edu edu;
		struct sim_plain plain;
	} u;
};

#define SIM_KERNEL(major, minor) ((major) << 16 | (minor) << 8)

/* Tables that are made anew when their changer died. */
enum sim_busy {
	SIM_BUSY_MAPS = 1,
	SIM_BUSY_GROUPS = 2,
	SIM_BUSY_PAGES = 4,
};

/* What the simulated kernel is and has; create.c sets it. */
struct sim_host {
	uint32_t kernel; /* major << 16 | minor << 8 */
	uint32_t iommufd;
	uint32_t cdev;
	uint32_t containers;
	uint32_t noiommu;
	uint32_t entries; /* dma_entry_limit of vfio_iommu_type1 */
	uint64_t memlock; /* most bytes of locked memory, UINT64_MAX for no limit */
};

struct sim_machine {
	char magic[8];
	uint32_t version;
	uint32_t tables_bytes;
	uint64_t mapped_bytes;
	uint64_t maps_at;
	uint64_t pages_at;
	uint64_t wall_base_s;
	uint64_t now_ns;
	uint64_t resets;
	uint64_t loads;
	uint64_t strict_errors;
	char strict_message[256];
	uint32_t devices;
	uint32_t serial;       /* sessions and armed vectors are numbered */
	uint32_t objects_used; /* none above */
	uint32_t maps_used;    /* none above */
	uint32_t maps_free;    /* list of those below, index + 1 */
	uint32_t maps_live;
	uint32_t busy; /* enum sim_busy: what was being changed */
	struct sim_host host;
	uint32_t page_size; /* of the host it stands for */
	uint32_t pad;

	/* Undo: copy of the device being changed, to be put back when its changer dies on the way. */
	uint32_t undo_device; /* index + 1 */
	uint32_t reserved;
	struct sim_device undo;

	struct sim_object objects[SIM_MAX_OBJECTS];
	struct sim_space space[SIM_MAX_SPACES];
	struct sim_hwpt hwpt[SIM_MAX_HWPTS];
	struct sim_device device[SIM_MAX_DEVICES];
};

#endif
