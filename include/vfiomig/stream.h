/* SPDX-License-Identifier: MIT */
/* Stream v1: frames that carry device state over any byte channel; see vfiomig-stream(5). Pure over caller's I/O. */
#ifndef VFIOMIG_STREAM_H
#define VFIOMIG_STREAM_H

#include <vfiomig/device.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VFM_STREAM_MAX_DEVICES 64u		  /* devices in one stream */
#define VFM_STREAM_MAX_CHUNK (1024u * 1024u)	  /* bytes of state in one DATA frame */
#define VFM_STREAM_MAX_BLOB (64u * 1024u * 1024u) /* bytes of caller's blob, all BLOB frames together */

/**
 * struct vfm_io - a byte channel
 * @read:  up to @length bytes into @buf; returns bytes, 0 at the end, or -errno. Short reads allowed. NULL: write only.
 *         -ETIMEDOUT: nothing came so far; where waiting must go on, a transfer asks again (see vfm_save())
 * @write: all @length bytes or failure; returns 0 or -errno. NULL: read only
 * @flush: what was written must reach the peer now; NULL: nothing to do
 *
 * Both ends present means duplex: a peer that answers. While state moves a worker thread, in which all signals are
 * blocked, calls @write of vfm_save(), or @read of vfm_restore(); before and after that the calling thread does, never
 * both at the same time. All else is called by the calling thread, also while the worker is in the other direction.
 */
struct vfm_io {
	uint32_t size;
	uint32_t flags;
	void *user;
	int64_t (*read)(void *user, void *buf, size_t length);
	int (*write)(void *user, const void *buf, size_t length);
	int (*flush)(void *user);
};

enum vfm_stream_flag {
	VFM_STREAM_SIMULATED = 1, /* holds state of a simulated device: refused by real ones */
	VFM_STREAM_DUPLEX = 2,	  /* the writer waits for the reader's replies */
};

enum vfm_match_policy {
	VFM_MATCH_SAME = 0,    /* known on both sides and equal */
	VFM_MATCH_UNKNOWN = 1, /* not known on one side */
	VFM_MATCH_WARN = 2,    /* differs; the load may work */
	VFM_MATCH_REFUSE = 3,  /* differs; the load must not be tried */
};

/* One line of the match table. Strings are borrowed for the call; source and target are "" where it is not known. */
struct vfm_match_line {
	uint32_t size;
	uint32_t verdict; /* enum vfm_match_policy */
	const char *field;
	const char *source;
	const char *target;
};
typedef int vfm_match_fn(void *user, const struct vfm_match_line *line);

/**
 * vfm_match() - compare the identity in a stream with a device, by the policy table of vfiomig-stream(5)
 * @fn: called for each field, may be NULL; non-zero stops and is returned
 *
 * Pure. Return: 0 loadable (warnings or unknowns possible), -EREMOTEIO at least one field refuses, or @fn's value.
 * Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_match(const struct vfm_identity *source, const struct vfm_identity *target,
				     vfm_match_fn *fn, void *user);

/* An interrupt index some of whose vectors were armed. */
struct vfm_config_irq {
	uint32_t index;	  /* VFM_IRQ_* of a PCI device */
	uint32_t armed;	  /* vectors that were */
	uint32_t highest; /* number of the last of them */
	uint32_t reserved;
};

#define VFM_CONFIG_CAPABILITIES 48u
#define VFM_CONFIG_IRQS 8u

/* What the pci-config record of a device holds; see vfiomig-stream(5). */
struct vfm_config_info {
	uint32_t size;
	uint32_t space_bytes; /* of PCI configuration space; 0: the device is not PCI, only interrupts follow */
	uint16_t command;     /* PCI command register */
	uint16_t power_state; /* D0 to D3; 0 also without the capability */
	uint32_t capability_count;
	uint32_t irq_count;
	uint32_t reserved;
	uint8_t capabilities[VFM_CONFIG_CAPABILITIES]; /* their PCI ids, in the order of the list */
	struct vfm_config_irq irqs[VFM_CONFIG_IRQS];   /* by ascending index */
};

/* What vfm_stream_inspect() tells of each device; bytes are of device state, without framing. */
struct vfm_stream_device {
	uint32_t size;
	uint32_t index;
	const struct vfm_identity *identity; /* borrowed for the call */
	uint64_t precopy_bytes;
	uint64_t stop_copy_bytes;
	uint64_t chunks;
	uint64_t config_bytes;
	const struct vfm_config_info *config; /* borrowed for the call; NULL: the stream has none of this device */
};

struct vfm_stream_summary {
	uint32_t size;
	uint32_t flags; /* enum vfm_stream_flag */
	uint16_t major;
	uint16_t minor;
	uint32_t devices;
	uint64_t stream_id;
	uint64_t created_s; /* seconds since 1970-01-01 UTC at the source */
	uint64_t frames;
	uint64_t total_bytes; /* of the whole stream, framing included */
	uint64_t blob_bytes;
	uint64_t skipped_frames; /* unknown optional records */
	uint8_t digest[16];
	char producer[64];
	char kernel[64];
};

/* Called once per device, when the whole stream has been checked. */
typedef int vfm_stream_device_fn(void *user, const struct vfm_stream_device *device);

/**
 * vfm_stream_inspect() - read a stream to its end, check every frame, the order and the digest, tell what it holds
 * @ret_summary: written as far as known also on failure (size set by the caller)
 *
 * The channel must end where the stream does: anything behind is damage. Memory is bounded whatever the stream claims.
 * Return: 0, -EBADMSG (damaged, truncated, out of order: the message says at which byte and frame), -EPROTONOSUPPORT
 * (newer major version, unknown mandatory record or pci-config record of a version not known), @fn's value, or the
 * channel's errno. Since: 0.1
 */
VFM_API VFM_MUST_CHECK int vfm_stream_inspect(struct vfm_context *ctx, const struct vfm_io *io,
					      vfm_stream_device_fn *fn, void *user,
					      struct vfm_stream_summary *ret_summary, struct vfm_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif
