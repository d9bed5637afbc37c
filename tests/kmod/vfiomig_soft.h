/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * What the vfiomig_soft driver shows to userspace: devices that are all software, with a DMA engine
 * that writes by itself, dirty tracking by every way the kernel has, and faults to be switched on.
 *
 * Module parameters:
 *
 *	physical	devices behind the driver's own IOMMU (2): real address spaces, HWPTs that
 *			track dirty pages, type1 as for hardware
 *	emulated	devices without an IOMMU (2): DMA by the CPU or into pages they pin, which
 *			is what type1 tracks
 *	mig_flags	1, 3, 5 or 7: migration flags of devices bound from now on (7); writable
 *	dirty_tracking	whether the IOMMU can do it (1)
 *	iova_bits	aperture of the IOMMU, 32 to 48 (39)
 *	pasid_bits	PASIDs of the physical devices, 0 (none, the default) to 20 bits; Linux 6.15
 *
 * They are /sys/bus/platform/devices/vfiomig_soft.N, the physical ones first. The files "unbind"
 * and "bind" of the platform driver unplug and plug them. The module stays once there was a
 * physical device: the kernel does not let go of an IOMMU driver in use, so rmmod says EAGAIN.
 */
#ifndef VFIOMIG_SOFT_H
#define VFIOMIG_SOFT_H

#include <linux/types.h>

/* They claim to be PCI devices; the configuration space has an identity and nothing else. */
#define VFIOMIG_SOFT_VENDOR_ID 0x1234
#define VFIOMIG_SOFT_DEVICE_ID 0x50f7

/* Regions by index. None can be mapped. MSI has one vector; requests have their index, too. */
#define VFIOMIG_SOFT_REGISTERS 0 /* aligned 64-bit, little endian: below */
#define VFIOMIG_SOFT_CONTENTS  2 /* memory of the device, any access size */
#define VFIOMIG_SOFT_JOURNAL   4 /* struct vfiomig_soft_entry, read only */
#define VFIOMIG_SOFT_CONFIG    7 /* 64 bytes, of which the command can be written */

/*
 * Device state is what is marked with *: it migrates, and a reset zeroes it. Everything reads in
 * every state; writing device state fails with EBUSY in STOP, STOP_COPY, RESUMING and ERROR. A
 * value that cannot be is EINVAL, one that must not change while the engine runs is EBUSY.
 */
#define VFIOMIG_SOFT_REGISTER_BYTES 4096

#define VFIOMIG_SOFT_ID		     0x000 /* ro: VFIOMIG_SOFT_MAGIC */
#define VFIOMIG_SOFT_FLAVOUR	     0x008 /* ro: 1 physical, 0 emulated */
#define VFIOMIG_SOFT_STATE	     0x010 /* ro: migration state, the truth */
#define VFIOMIG_SOFT_CONTENTS_BYTES  0x018 /* ro */
#define VFIOMIG_SOFT_BLOCK_BYTES     0x020 /* ro: granule of what is saved */
#define VFIOMIG_SOFT_JOURNAL_ENTRIES 0x028 /* ro: how many the journal keeps */
#define VFIOMIG_SOFT_DIRTY_BLOCKS    0x030 /* ro: blocks to be saved again in this session */
#define VFIOMIG_SOFT_INTERRUPT	     0x038 /* write: any value raises the MSI */
#define VFIOMIG_SOFT_BREAK	     0x040 /* write: any value breaks the device, into ERROR */

/*
 * A DMA by command: it is complete when the write of the command returns; DMA_RESULT is then 0,
 * EBUSY in a state without DMA, or EFAULT where nothing (writable) is mapped; what comes before the
 * page of the fault is done.
 *
 * A write puts DMA_VALUE + A into the little endian word at every IOVA A that is a multiple of 8,
 * and the bytes of such words at its ends. A read leaves the sum of all bytes in DMA_VALUE. What
 * has a PASID is nothing to the journal, to DMA logging and to RUN_WRITES, which know IOVAs only.
 */
#define VFIOMIG_SOFT_DMA_IOVA	 0x100
#define VFIOMIG_SOFT_DMA_LENGTH	 0x108 /* 1 to VFIOMIG_SOFT_DMA_MAX */
#define VFIOMIG_SOFT_DMA_VALUE	 0x110
#define VFIOMIG_SOFT_DMA_COMMAND 0x118 /* below */
#define VFIOMIG_SOFT_DMA_RESULT	 0x120 /* ro */
#define VFIOMIG_SOFT_DMA_MODE	 0x128 /* *: below; an emulated device only, else 0 */
#define VFIOMIG_SOFT_DMA_PASID	 0x130 /* physical only; 0: none, as for the engine */

#define VFIOMIG_SOFT_DMA_MAX (16u << 20)

/* DMA_COMMAND */
#define VFIOMIG_SOFT_DMA_WRITE 1
#define VFIOMIG_SOFT_DMA_READ  2
#define VFIOMIG_SOFT_DMA_UNPIN 3 /* let go of all pages that are pinned */

/*
 * DMA_MODE, for commands and engine. A pinned page stays pinned until it is unmapped, UNPIN, or the
 * last close: type1 calls it dirty at every look, written or not.
 */
#define VFIOMIG_SOFT_COPY 0 /* by the CPU, exact */
#define VFIOMIG_SOFT_PIN  1 /* pin what is written or read, and keep it */
#define VFIOMIG_SOFT_ONCE 2 /* pin, and unpin after each access */

/*
 * The engine writes by itself, in RUNNING and PRE_COPY, until it is switched off, the state is SET
 * or the device reset: RUN_BATCH writes of RUN_LENGTH bytes each to random pages of RUN_PAGES at
 * RUN_BASE, a pause of RUN_PAUSE_US, and so on. Write number G (RUN_WRITES counts it before) holds
 * the words of a DMA_VALUE of vfiomig_soft_value(G), so memory tells which write was the last, and
 * a destination continues where the source stopped. Where nothing is mapped is a fault, and
 * counted.
 */
#define VFIOMIG_SOFT_RUN_CTRL	  0x200 /* *: below; returns when no write is under way */
#define VFIOMIG_SOFT_RUN_BASE	  0x208 /* *: multiple of 4096 */
#define VFIOMIG_SOFT_RUN_PAGES	  0x210 /* *: of 4096 bytes, 1 to 2^32 */
#define VFIOMIG_SOFT_RUN_LENGTH	  0x218 /* *: 8 to 4096, a multiple of 8 */
#define VFIOMIG_SOFT_RUN_BATCH	  0x220 /* *: 1 to 4096 */
#define VFIOMIG_SOFT_RUN_PAUSE_US 0x228 /* *: 0 to 100000 */
#define VFIOMIG_SOFT_RUN_SEED	  0x230 /* *: state of the random numbers, not 0 */

/* RUN_CTRL */
#define VFIOMIG_SOFT_RUN	  0x01
#define VFIOMIG_SOFT_RUN_STRADDLE 0x02 /* over the end of the page, into the next of the window */
#define VFIOMIG_SOFT_RUN_READS	  0x04 /* one in four reads instead */
#define VFIOMIG_SOFT_RUN_CONTENTS 0x08 /* each write goes to a random word of the contents, too */
#define VFIOMIG_SOFT_RUN_IRQ	  0x10 /* the MSI after every batch */

#define VFIOMIG_SOFT_RUN_WRITES	 0x280 /* ro *: writes complete, by engine or command */
#define VFIOMIG_SOFT_RUN_READ	 0x288 /* ro *: reads complete */
#define VFIOMIG_SOFT_RUN_FAULTS	 0x290 /* ro *: accesses that met a fault */
#define VFIOMIG_SOFT_FAULT_IOVA	 0x298 /* ro *: of the last of them */
#define VFIOMIG_SOFT_FAULT_ERROR 0x2a0 /* ro *: its errno, positive */
#define VFIOMIG_SOFT_PINNED	 0x2a8 /* ro: pages pinned now */
#define VFIOMIG_SOFT_UNMAPS	 0x2b0 /* ro: unmap calls that reached the device since open */

#define VFIOMIG_SOFT_LOG_ON	  0x300 /* ro: DMA logging is on */
#define VFIOMIG_SOFT_LOG_RANGES	  0x308 /* ro: ranges it covers, after merging */
#define VFIOMIG_SOFT_LOG_PAGE	  0x310 /* ro: its page size */
#define VFIOMIG_SOFT_LOG_DIRTY	  0x318 /* ro: pages to be reported */
#define VFIOMIG_SOFT_KNOB(number) (0x400 + 8 * (number))

/*
 * Entry G % VFIOMIG_SOFT_JOURNAL_ENTRIES of the journal tells what write number G has written: the
 * truth that every report of dirty pages can be compared with. It is the device's own since its
 * open and does not migrate; a reset lets RUN_WRITES begin with 0 again.
 */
struct vfiomig_soft_entry {
	__le64 iova;
	__le64 length; /* with a fault in the middle, what was before it */
};

#define VFIOMIG_SOFT_FACTOR 0x9e3779b97f4a7c15ull

static inline __u64 vfiomig_soft_value(__u64 write)
{
	return write * VFIOMIG_SOFT_FACTOR;
}

/*
 * Knobs: faults, limits, lies. Registers from VFIOMIG_SOFT_KNOB(0) on, in this order, and files of
 * the same name in the device's folder knobs/, which a shell can write before the device is opened.
 * They belong to the tester, not to the device: neither close nor reset nor migration changes them.
 * All are 0 at first but state_kb. "Nth" counts down, reads as what is left, and hits once. An
 * errno is positive, and EIO where 0.
 *
 * dirty_* are about DMA logging and HWPTs; of an HWPT the device counts that it was made for. What
 * type1 tells of emulated devices is the kernel's doing.
 *
 *	state_kb	contents in KiB from the next open on, 1 to 1048576 (256)
 *
 *	arc_fail	the Nth arc fails with arc_errno and leaves the state as it is
 *	arc_error	the Nth arc fails with arc_errno and leads to ERROR
 *	arc_errno
 *	arc_ms		every arc takes so long
 *	arc_stuck	the Nth SET says that all is well, and does nothing
 *	get_lie		GET tells state get_lie - 1
 *	get_fail	the Nth GET fails with arc_errno
 *	reset_fail	the Nth reset fails with arc_errno, no effect
 *	ignore_stop	the engine goes on in every state
 *
 *	read_fail	the Nth read of a data file fails with read_errno, nothing lost
 *	read_errno
 *	write_fail	the Nth write of a data file fails with write_errno, nothing taken
 *	write_errno
 *	chunk		most bytes that a read or write moves
 *	io_ms		every read and write takes so long
 *	precopy_eof	nothing left in PRE_COPY reads as 0 instead of ENOMSG
 *	end_enomsg	the end in STOP_COPY reads as ENOMSG instead of 0
 *	truncate	a stream ends after so many bytes
 *	corrupt		the Nth byte of a stream, counted from 1, comes inverted
 *	lenient		RESUMING to STOP takes what there is, complete or not
 *	data_size	what MIG_DATA_SIZE tells
 *	info_initial	what PRECOPY_INFO tells as initial bytes
 *	info_dirty	the same for dirty bytes
 *	info_fail	the Nth PRECOPY_INFO fails with read_errno
 *
 *	log_max_ranges	ranges that DMA logging can cover
 *	log_merge	more of them are merged across the smallest gaps, else EOPNOTSUPP
 *	log_max_bytes	bytes that the ranges can cover, else EOPNOTSUPP
 *	log_align	REPORT takes whole multiples of so many pages in one range, else EINVAL
 *	log_page	granule of the log, a power of two (as asked for, 4096 to 2 MiB)
 *	log_again	START while started starts anew instead of EINVAL
 *	log_start_fail	the Nth START fails with log_errno
 *	log_report_fail	the Nth REPORT fails with log_errno, nothing forgotten
 *	log_errno
 *	log_reset	what reset and ERROR do to the log: it ends (0), it forgets what was
 *			written and goes on (1), nothing (2)
 *
 *	dirty_drop	a report loses the last 64 pages of what is asked for
 *	dirty_late	a page is reported one report later than it should be
 *	dirty_all	the Nth report calls all pages dirty; they are clean afterwards
 *	dirty_none	reports find nothing, and forget
 *	dirty_miss	every Nth write of the device is not noticed
 *
 *	map_fail	the Nth call of the IOMMU's map fails with ENOMEM
 *	attach_fail	the Nth attach to an address space fails with ENOMEM
 *	attach_own	only to an HWPT that was made for the device, else EINVAL
 *	hwpt_fail	the Nth HWPT of the device fails with ENOMEM
 *	track_fail	the Nth start of tracking in an HWPT of the device fails with log_errno
 */
#define VFIOMIG_SOFT_KNOBS(K)                                                                      \
	K(state_kb)                                                                                \
	K(arc_fail)                                                                                \
	K(arc_error)                                                                               \
	K(arc_errno)                                                                               \
	K(arc_ms)                                                                                  \
	K(arc_stuck)                                                                               \
	K(get_lie)                                                                                 \
	K(get_fail)                                                                                \
	K(reset_fail)                                                                              \
	K(ignore_stop)                                                                             \
	K(read_fail)                                                                               \
	K(read_errno)                                                                              \
	K(write_fail)                                                                              \
	K(write_errno)                                                                             \
	K(chunk)                                                                                   \
	K(io_ms)                                                                                   \
	K(precopy_eof)                                                                             \
	K(end_enomsg)                                                                              \
	K(truncate)                                                                                \
	K(corrupt)                                                                                 \
	K(lenient)                                                                                 \
	K(data_size)                                                                               \
	K(info_initial)                                                                            \
	K(info_dirty)                                                                              \
	K(info_fail)                                                                               \
	K(log_max_ranges)                                                                          \
	K(log_merge)                                                                               \
	K(log_max_bytes)                                                                           \
	K(log_align)                                                                               \
	K(log_page)                                                                                \
	K(log_again)                                                                               \
	K(log_start_fail)                                                                          \
	K(log_report_fail)                                                                         \
	K(log_errno)                                                                               \
	K(log_reset)                                                                               \
	K(dirty_drop)                                                                              \
	K(dirty_late)                                                                              \
	K(dirty_all)                                                                               \
	K(dirty_none)                                                                              \
	K(dirty_miss)                                                                              \
	K(map_fail)                                                                                \
	K(attach_fail)                                                                             \
	K(attach_own)                                                                              \
	K(hwpt_fail)                                                                               \
	K(track_fail)

#define VFIOMIG_SOFT_KNOB_ENUM(name) VFIOMIG_SOFT_KNOB_##name,
enum vfiomig_soft_knob { VFIOMIG_SOFT_KNOBS(VFIOMIG_SOFT_KNOB_ENUM) VFIOMIG_SOFT_KNOB_COUNT };

/*
 * The migration stream: records, all little endian. HEADER first; then DATA, every block once, then
 * those written since; REGISTERS and END in STOP_COPY only. Blocks sent for the first time are
 * initial bytes of PRE_COPY, those sent again dirty bytes.
 */
#define VFIOMIG_SOFT_MAGIC 0x74666f7367696d76ull /* "vmigsoft" */
#define VFIOMIG_SOFT_BLOCK 4096

#define VFIOMIG_SOFT_REC_HEADER	   1 /* at: contents bytes; bytes: magic */
#define VFIOMIG_SOFT_REC_DATA	   2 /* at: offset in the contents */
#define VFIOMIG_SOFT_REC_REGISTERS 3 /* bytes: struct vfiomig_soft_registers */
#define VFIOMIG_SOFT_REC_END	   4 /* at: number of records before it */

struct vfiomig_soft_record {
	__le64 at;
	__le32 length; /* bytes that follow this record's head */
	__le32 type;
};

struct vfiomig_soft_registers {
	__le64 dma_mode;
	__le64 ctrl;
	__le64 base;
	__le64 pages;
	__le64 length;
	__le64 batch;
	__le64 pause_us;
	__le64 seed;
	__le64 writes;
	__le64 reads;
	__le64 faults;
	__le64 fault_iova;
	__le64 fault_error;
};

#endif
