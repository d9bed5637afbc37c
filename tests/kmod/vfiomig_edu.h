/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * What the vfiomig_edu driver shows to userspace: its two regions and its migration stream.
 *
 * Region indexes follow the nine of every PCI device: contents is 9, control is 10. Look them up
 * by type and subtype all the same, as for any device-specific region.
 */
#ifndef VFIOMIG_EDU_H
#define VFIOMIG_EDU_H

#include <linux/types.h>

#define VFIOMIG_EDU_VENDOR_ID 0x1234
#define VFIOMIG_EDU_DEVICE_ID 0x11e8

#define VFIOMIG_EDU_REGION_TYPE	    (0x80000000u | VFIOMIG_EDU_VENDOR_ID)
#define VFIOMIG_EDU_REGION_CONTENTS 1 /* memory of the device, any access size */
#define VFIOMIG_EDU_REGION_CONTROL  2 /* aligned 64-bit registers, below */

/*
 * Neither can be mapped: a write through a mapping would not be seen. Both read in every state, and
 * refuse writing with EBUSY while the device is STOP, STOP_COPY, RESUMING or ERROR: a caller that
 * touches a stopped device should hear of it.
 */
#define VFIOMIG_EDU_CONTROL_BYTES 4096

/*
 * The pump copies memory to memory through the device's DMA engine, over and over: PUMP_LENGTH
 * bytes from IOVA PUMP_SRC to PUMP_DST + (PUMP_COMPLETED % PUMP_SLOTS) * PUMP_STRIDE. A copy is
 * two DMAs of QEMU's edu, 100 ms each. It works in RUNNING and PRE_COPY, has finished its copy when
 * the device has reached a P2P or stopped state, and goes on after it, on the destination as well:
 * its registers are device state. While it runs the DMA registers of BAR 0 belong to it. (A DMA
 * started there by hand must stay inside the device's 4 KiB buffer: QEMU ends itself otherwise.)
 *
 * The settings change only while the pump is off (EBUSY). Switching it off returns when the last
 * copy is complete; switching it on checks the settings (EINVAL).
 */
#define VFIOMIG_EDU_PUMP_CTRL	   0x00
#define VFIOMIG_EDU_PUMP_SRC	   0x08
#define VFIOMIG_EDU_PUMP_DST	   0x10
#define VFIOMIG_EDU_PUMP_LENGTH	   0x18 /* 1 to VFIOMIG_EDU_PUMP_MAX_BYTES */
#define VFIOMIG_EDU_PUMP_STRIDE	   0x20
#define VFIOMIG_EDU_PUMP_SLOTS	   0x28 /* at least 1 */
#define VFIOMIG_EDU_PUMP_COMPLETED 0x30 /* read only: copies done */
#define VFIOMIG_EDU_PUMP_ERRORS	   0x38 /* read only: tries with bus master off */
#define VFIOMIG_EDU_CONTENTS_BYTES 0x40 /* read only */
#define VFIOMIG_EDU_BLOCK_BYTES	   0x48 /* read only: granule of dirty tracking */
#define VFIOMIG_EDU_DIRTY_BLOCKS   0x50 /* read only: to be sent again in this session */
#define VFIOMIG_EDU_MIG_STATE	   0x58 /* read only: as the driver sees it */

/* Bits of PUMP_CTRL */
#define VFIOMIG_EDU_PUMP_RUN 0x1
#define VFIOMIG_EDU_PUMP_IRQ 0x2 /* an interrupt for every copy */

#define VFIOMIG_EDU_PUMP_MAX_BYTES 2048

/*
 * The migration stream, all little endian:
 *
 *	header
 *	record DATA, then its bytes		every block once, then those written since;
 *						after a reinit every block once again
 *	record REGISTERS, then the registers	exactly once
 *	record END				offset = number of records before it
 *
 * PRE_COPY gives the header and DATA records: blocks sent for the first time are initial bytes,
 * those sent again are dirty bytes. REGISTERS and END come in STOP_COPY. A stream saved without
 * PRE_COPY has the same form.
 */
#define VFIOMIG_EDU_MAGIC   0x7564652d67696d76ull /* "vmig-edu" */
#define VFIOMIG_EDU_VERSION 1
#define VFIOMIG_EDU_BLOCK   65536

struct vfiomig_edu_header {
	__le64 magic;
	__le32 version;
	__le32 header_bytes;
	__le16 vendor_id;
	__le16 device_id;
	__le32 registers_bytes;
	__le64 contents_bytes; /* the destination must have as much */
};

#define VFIOMIG_EDU_DATA      1
#define VFIOMIG_EDU_REGISTERS 2
#define VFIOMIG_EDU_END	      3

struct vfiomig_edu_record {
	__le64 offset;
	__le32 length; /* bytes that follow this record's head */
	__le32 type;
};

/*
 * What QEMU's edu takes back and what not:
 *
 *	dma_cmd		recorded, not restored: writing it starts a DMA
 *	factorial	restored by letting the device compute it again
 *	irq_status	restored by raising it again, which interrupts whoever listens already
 *	DMA buffer	its 4 KiB cannot be read by MMIO and stay behind
 */
struct vfiomig_edu_registers {
	__le64 dma_src;
	__le64 dma_dst;
	__le64 dma_cnt;
	__le64 dma_cmd;
	__le32 live_check;
	__le32 factorial;
	__le32 status;
	__le32 irq_status;
	__le64 pump_ctrl;
	__le64 pump_src;
	__le64 pump_dst;
	__le64 pump_length;
	__le64 pump_stride;
	__le64 pump_slots;
	__le64 pump_completed;
	__le64 pump_errors;
};

/*
 * Module parameters, in /sys/module/vfiomig_edu/parameters, writable at any time:
 *
 *	mig_flags	1, 3, 5 or 7: migration flags of devices bound from now on (7)
 *	state_mb	size of the contents in MiB, 1 to 1024, for devices opened from now on (64)
 *	state_kb	the same in KiB, 1 to 1048576, when not 0 (0)
 *	chunk		most bytes that one read or write of a data fd moves, 0 for no limit (0)
 *	reset_ms	how much longer the reset of the first open takes (0): the
 *			model's is done in 2 ms, since the kernel waits for nothing without
 *			a power management capability
 *	unready_ms	for so long after a reset, and after an open, configuration space
 *			and BARs read as all ones, but for mappings; writes arrive (0)
 *	precopy_eof	1: nothing left in PRE_COPY reads as 0 instead of ENOMSG (0)
 *	fail_arc	N: the Nth arc from now, of any device, fails with EIO, no effect (0)
 *	error_arc	N: the Nth arc from now, of any device, fails with EIO, into ERROR (0)
 *
 *	reinit		N: the Nth PRECOPY_INFO from now, of any device whose user chose version 2,
 *			reports REINIT, and every block comes once more as initial data (0)
 *
 * fail_arc, error_arc and reinit count down and read back as what is left.
 */

#endif
