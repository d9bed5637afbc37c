/* SPDX-License-Identifier: MIT */
/* What is known of the kernel's drivers that migrate, and where from. Data alone. */
#include "quirk-table.h"

static const char *const precopy_ends[] = { "none", "enomsg", "zero", NULL };
static const char *const precopy_infos[] = { "plain", "fetches", NULL };
static const char *const polls[] = { "always-ready", "real", NULL };
static const char *const headers[] = { "accepted", "write", "arc", NULL };
static const char *const incompletes[] = { "refused", "partly", "accepted", NULL };
static const char *const sizes[] = { "estimate", "exact", "errno", NULL };
static const char *const arcs[] = { "refused", "fails-device", NULL };
static const char *const p2ps[] = { "none", "peers", "all", NULL };
static const char *const logs[] = { "no", "yes", "stub", NULL };
static const char *const resets[] = { "announced", "unannounced", NULL };
static const char *const closes[] = { "blank", "kept", NULL };

const struct vfmi_quirk_key_def vfmi_quirk_keys[VFMI_QUIRK_KEYS] = {
	[VFMI_QUIRK_FLAGS] = { .name = "flags", .max = 7 },
	[VFMI_QUIRK_PRECOPY_END] = { .name = "precopy-end", .values = precopy_ends, .usual = VFMI_PRECOPY_ENOMSG },
	[VFMI_QUIRK_PRECOPY_INFO] = { .name = "precopy-info", .values = precopy_infos },
	[VFMI_QUIRK_PRECOPY_ROUNDS] = { .name = "precopy-rounds", .max = 1000000, .acted_on = true },
	[VFMI_QUIRK_POLL] = { .name = "poll", .values = polls },
	[VFMI_QUIRK_BAD_HEADER] = { .name = "bad-header", .values = headers, .usual = VFMI_BAD_HEADER_WRITE },
	[VFMI_QUIRK_INCOMPLETE] = { .name = "incomplete", .values = incompletes },
	[VFMI_QUIRK_DATA_SIZE] = { .name = "data-size", .values = sizes },
	[VFMI_QUIRK_ILLEGAL_ARC] = { .name = "illegal-arc", .values = arcs },
	[VFMI_QUIRK_P2P] = { .name = "p2p", .values = p2ps, .usual = VFMI_P2P_PEERS },
	[VFMI_QUIRK_DMA_LOG] = { .name = "dma-log", .values = logs, .usual = VFMI_DMA_LOG_YES, .acted_on = true },
	[VFMI_QUIRK_DMA_LOG_RANGES] = { .name = "dma-log-ranges", .max = 65536, .acted_on = true },
	[VFMI_QUIRK_DMA_LOG_PAGES] = { .name = "dma-log-pages", .max = 65536, .usual = 1, .acted_on = true },
	[VFMI_QUIRK_RESET] = { .name = "reset", .values = resets, .acted_on = true },
	[VFMI_QUIRK_CLOSE] = { .name = "state-after-close", .values = closes },
	[VFMI_QUIRK_READY_MS] = { .name = "ready-ms", .max = 3600000, .acted_on = true },
	[VFMI_QUIRK_READY_REGS] = { .name = "ready-registers",
				    .max = VFMI_READY_LISTS - 1,
				    .acted_on = true,
				    .ready = true },
};

#define HISI "hisi_acc_vfio_pci"
#define HISI_C "drivers/vfio/pci/hisilicon/hisi_acc_vfio_pci.c, Linux 6.12"
#define MLX5 "mlx5_vfio_pci"
#define MLX5_C "drivers/vfio/pci/mlx5/main.c, Linux 6.12"
#define MLX5_CMD "drivers/vfio/pci/mlx5/cmd.c, Linux 6.12"
#define MTTY "mtty"
#define MTTY_C "samples/vfio-mdev/mtty.c, run on Linux 6.12"
#define NVGRACE "nvgrace_gpu_vfio_pci"
#define NVGRACE_C "drivers/vfio/pci/nvgrace-gpu/main.c, Linux 6.14"
#define NVGRACE_CXL "drivers/vfio/pci/nvgrace-gpu/main.c, Linux 7.2"
#define PDS "pds_vfio_pci"
#define PDS_LM "drivers/vfio/pci/pds/lm.c, Linux 6.12"
#define PDS_DIRTY "drivers/vfio/pci/pds/dirty.c, Linux 6.12"
#define QAT "qat_vfio_pci"
#define QAT_C "drivers/vfio/pci/qat/main.c, Linux 6.12"
#define QAT_MIG "drivers/crypto/intel/qat/qat_common/adf_gen4_vf_mig.c, Linux 6.12"
#define VIRTIO "virtio_vfio_pci"
#define VIRTIO_C "drivers/vfio/pci/virtio/migrate.c, Linux 6.13"
#define XE "xe-vfio-pci"
#define XE_C "drivers/vfio/pci/xe/main.c, Linux 6.19"
#define XE_PF "drivers/gpu/drm/xe/xe_sriov_pf_migration.c, Linux 6.19"

const struct vfmi_quirk_row vfmi_quirk_rows[] = {
	{ HISI, VFMI_QUIRK_FLAGS, 5, "STOP_COPY and PRE_COPY, no P2P", HISI_C },
	{ HISI, VFMI_QUIRK_PRECOPY_END, VFMI_PRECOPY_ZERO, "PRE_COPY carries the match part only, then reads 0",
	  HISI_C },
	{ HISI, VFMI_QUIRK_BAD_HEADER, VFMI_BAD_HEADER_WRITE,
	  "the match part is compared in the write that completes it: EFAULT", HISI_C },
	{ HISI, VFMI_QUIRK_INCOMPLETE, VFMI_INCOMPLETE_PARTLY,
	  "the match part alone passes for a whole state, any other cut is EINVAL", HISI_C },
	{ HISI, VFMI_QUIRK_P2P, VFMI_P2P_NONE, "it has no P2P states", HISI_C },

	{ MLX5, VFMI_QUIRK_FLAGS, 7, "P2P and PRE_COPY are by firmware capability and can be absent", MLX5_CMD },
	{ MLX5, VFMI_QUIRK_PRECOPY_END, VFMI_PRECOPY_ENOMSG, "by the book", MLX5_C },
	{ MLX5, VFMI_QUIRK_PRECOPY_INFO, 1, "sends no further increment until it was asked for the PRE_COPY info",
	  MLX5_C },
	{ MLX5, VFMI_QUIRK_POLL, 1, "the only driver whose data file has a poll of its own", MLX5_C },
	{ MLX5, VFMI_QUIRK_BAD_HEADER, VFMI_BAD_HEADER_WRITE,
	  "an unknown mandatory record is EOPNOTSUPP, one too large ENOMEM, both in write", MLX5_C },
	{ MLX5, VFMI_QUIRK_INCOMPLETE, VFMI_INCOMPLETE_ACCEPTED,
	  "records are loaded as they complete in write; the arc checks nothing", MLX5_C },
	{ MLX5, VFMI_QUIRK_DMA_LOG, VFMI_DMA_LOG_YES,
	  "where firmware has the capability; ranges with small gaps are "
	  "merged until they fit it",
	  MLX5_CMD },

	{ MTTY, VFMI_QUIRK_FLAGS, 7, "a sample without hardware", MTTY_C },
	{ MTTY, VFMI_QUIRK_PRECOPY_END, VFMI_PRECOPY_ZERO, "PRE_COPY carries the header only, then reads 0", MTTY_C },
	{ MTTY, VFMI_QUIRK_BAD_HEADER, VFMI_BAD_HEADER_WRITE,
	  "EFAULT in the write that completes the header; the arc loads the bytes all the same", MTTY_C },
	{ MTTY, VFMI_QUIRK_INCOMPLETE, VFMI_INCOMPLETE_REFUSED, "EINVAL at the arc", MTTY_C },
	{ MTTY, VFMI_QUIRK_DATA_SIZE, VFMI_DATA_SIZE_EXACT, "the number of ports decides", MTTY_C },
	{ MTTY, VFMI_QUIRK_DMA_LOG, VFMI_DMA_LOG_STUB, "the log can be started and never reports a page", MTTY_C },
	{ MTTY, VFMI_QUIRK_RESET, 1, "takes VFIO_DEVICE_RESET without VFIO_DEVICE_FLAGS_RESET", MTTY_C },
	{ MTTY, VFMI_QUIRK_CLOSE, 1, "keeps registers and migration state over close and reopen", MTTY_C },

	{ NVGRACE, VFMI_QUIRK_FLAGS, 0, "no migration at all: ENOTTY everywhere", NVGRACE_C },
	{ NVGRACE, VFMI_QUIRK_READY_MS, 30000,
	  "memory training and the link to the CPU take seconds after a reset; the driver itself waits that long",
	  NVGRACE_C },
	{ NVGRACE, VFMI_QUIRK_READY_REGS, 1,
	  "link to the CPU and training of the memory; later ones have a CXL DVSEC that tells instead", NVGRACE_CXL },

	{ PDS, VFMI_QUIRK_FLAGS, 3, "STOP_COPY and P2P, no PRE_COPY", PDS_LM },
	{ PDS, VFMI_QUIRK_PRECOPY_END, VFMI_PRECOPY_NONE, "no PRE_COPY", PDS_LM },
	{ PDS, VFMI_QUIRK_BAD_HEADER, VFMI_BAD_HEADER_NOWHERE,
	  "the driver reads nothing of it; what the device refuses is not known", PDS_LM },
	{ PDS, VFMI_QUIRK_INCOMPLETE, VFMI_INCOMPLETE_ACCEPTED,
	  "a buffer of fixed size goes to the device, whatever part of it was written", PDS_LM },
	{ PDS, VFMI_QUIRK_DMA_LOG, VFMI_DMA_LOG_YES, "through the device's sequence and acknowledge bitmaps",
	  PDS_DIRTY },
	{ PDS, VFMI_QUIRK_DMA_LOG_RANGES, 1, "one range for everything; a second start fails", PDS_DIRTY },
	{ PDS, VFMI_QUIRK_DMA_LOG_PAGES, 64, "reports are right at multiples of 64 pages only", PDS_DIRTY },

	{ QAT, VFMI_QUIRK_FLAGS, 7, "all three", QAT_C },
	{ QAT, VFMI_QUIRK_PRECOPY_END, VFMI_PRECOPY_ZERO,
	  "PRE_COPY carries the setup section only, then reads 0; dirty_bytes is always 0", QAT_C },
	{ QAT, VFMI_QUIRK_BAD_HEADER, VFMI_BAD_HEADER_WRITE, "EINVAL in the write that completes the setup section",
	  QAT_MIG },
	{ QAT, VFMI_QUIRK_INCOMPLETE, VFMI_INCOMPLETE_PARTLY,
	  "sections have to be there, the room behind them does not", QAT_MIG },
	{ QAT, VFMI_QUIRK_DATA_SIZE, VFMI_DATA_SIZE_EXACT, "4 KiB, whatever is in them", QAT_MIG },
	{ QAT, VFMI_QUIRK_P2P, VFMI_P2P_ALL, "entering P2P suspends the device", QAT_C },

	{ VIRTIO, VFMI_QUIRK_FLAGS, 7, "with device parts on the admin queue; none before Linux 6.13", VIRTIO_C },
	{ VIRTIO, VFMI_QUIRK_PRECOPY_END, VFMI_PRECOPY_ENOMSG, "by the book", VIRTIO_C },
	{ VIRTIO, VFMI_QUIRK_PRECOPY_INFO, 1,
	  "asked when all is read, it queues the whole state again, at most once a second", VIRTIO_C },
	{ VIRTIO, VFMI_QUIRK_PRECOPY_ROUNDS, 1,
	  "a further round is a full copy, and is to be sent even if the device is stopped instead", VIRTIO_C },
	{ VIRTIO, VFMI_QUIRK_BAD_HEADER, VFMI_BAD_HEADER_WRITE,
	  "an unknown mandatory record is EOPNOTSUPP, one too large ENOMEM, both in write", VIRTIO_C },
	{ VIRTIO, VFMI_QUIRK_INCOMPLETE, VFMI_INCOMPLETE_ACCEPTED,
	  "records are loaded as they complete in write; the arc checks nothing", VIRTIO_C },
	{ VIRTIO, VFMI_QUIRK_P2P, VFMI_P2P_ALL, "entering P2P puts the device into stopped mode", VIRTIO_C },

	{ XE, VFMI_QUIRK_FLAGS, 3, "STOP_COPY and P2P, no PRE_COPY", XE_C },
	{ XE, VFMI_QUIRK_PRECOPY_END, VFMI_PRECOPY_NONE, "no PRE_COPY", XE_C },
	{ XE, VFMI_QUIRK_BAD_HEADER, VFMI_BAD_HEADER_WRITE, "EINVAL in the write that completes a packet's header",
	  XE_PF },
	{ XE, VFMI_QUIRK_INCOMPLETE, VFMI_INCOMPLETE_REFUSED, "without the trailer the arc waits and fails: ETIMEDOUT",
	  XE_PF },
	{ XE, VFMI_QUIRK_DATA_SIZE, VFMI_DATA_SIZE_ERRNO, "a negative errno can stand in the unsigned size", XE_C },
	{ XE, VFMI_QUIRK_ILLEGAL_ARC, 1, "a state the kernel has no way to marks the function failed", XE_C },
	{ XE, VFMI_QUIRK_P2P, VFMI_P2P_ALL, "entering P2P suspends the device", XE_C },
};

const size_t vfmi_quirk_row_count = VFMI_ARRAY_SIZE(vfmi_quirk_rows);

const struct vfmi_ready vfmi_ready_lists[VFMI_READY_LISTS] = {
	{ 0 },
	{ true,
	  2,
	  {
		  { .region = 0, .offset = 0x1498, .value = 0xff, .mask = UINT32_MAX },
		  { .region = 0, .offset = 0x200bc, .value = 0xff, .mask = UINT32_MAX },
	  } },
};
