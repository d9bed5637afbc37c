/* SPDX-License-Identifier: MIT */
/*
 * Stream v1, the layout of vfiomig-stream(5). All fields little endian. Constants and structs in memory; the codec is
 * in stream-writer.c and stream-reader.c, both pure over struct vfm_io.
 *
 * A stream is one header and then frames. Header, 40 bytes, the same in every major version:
 *   0  8  magic "VFIOMIG\x1a"
 *   8  2  major, 2 minor
 *   12 4  flags (enum vfm_stream_flag); a reader refuses bits it does not know
 *   16 8  stream id, random
 *   24 2  oldest major whose readers can read this stream, 6 reserved zeros
 *   32 8  XXH3-64 of bytes 0..31
 * Frame header, 40 bytes, then the payload:
 *   0  4  type
 *   4  4  flags: bit 0 optional (a reader that does not know the type skips it); other bits belong to the type
 *   8  4  device index, 0xffffffff when the frame belongs to none
 *   12 4  payload length, at most VFM_STREAM_MAX_CHUNK whatever the type
 *   16 8  sequence number, from 0
 *   24 8  XXH3-64 of the payload, seeded with the stream id
 *   32 8  XXH3-64 of bytes 0..31, seeded with the stream id: lengths are believed only after this
 * The digest in END is XXH3-128 (low 64 bits first) over the stream header and every frame header before END, in
 * order; through the payload sums it covers every byte.
 *
 * Order, one direction each (stream-order.c holds it as a table):
 *   stream: INFO DEVICE{announced} DEVICES_END ( DATA | DEVICE_END | CONFIG | BLOB )* END [GIVEN_UP | KEPT]
 *           of each device: pre-copy DATA*, stop-copy DATA*, DEVICE_END, [CONFIG]; ABORT instead of any frame between
 *           INFO and END; GIVEN_UP and KEPT in duplex streams only; after the last of these the channel ends
 *   reply:  HELLO ( REFUSE | ACCEPT ( FAILED | LOADED [STARTED] ) )
 * Unknown optional frames may stand anywhere but first and after END.
 */
#ifndef VFIOMIG_STREAM_FORMAT_H
#define VFIOMIG_STREAM_FORMAT_H

#include "internal.h"

#define VFMI_STREAM_MAGIC "VFIOMIG\x1a"
#define VFMI_STREAM_MAJOR 1u
#define VFMI_STREAM_MINOR 0u
#define VFMI_STREAM_OLDEST 1u
#define VFMI_STREAM_FLAGS (VFM_STREAM_SIMULATED | VFM_STREAM_DUPLEX)
#define VFMI_STREAM_HEADER 40u
#define VFMI_FRAME_HEADER 40u
#define VFMI_NO_DEVICE 0xffffffffu
#define VFMI_MAX_META (64u * 1024u) /* payload of any frame but DATA and BLOB */
#define VFMI_MAX_BLOB_CHUNK (1024u * 1024u)
#define VFMI_MAX_TEXT 1024u /* text of ABORT, REFUSE and FAILED */
#define VFMI_DIGEST 16u

enum vfmi_frame_type {
	/* source to destination, in this order */
	VFMI_FRAME_INFO = 1,	    /* producer, kernel, time, number of devices (records) */
	VFMI_FRAME_DEVICE = 2,	    /* identity of one device (records); one frame each, index 0.. */
	VFMI_FRAME_DEVICES_END = 3, /* all DEVICE frames are there: a duplex destination answers ACCEPT or REFUSE */
	VFMI_FRAME_DATA = 4,	    /* one chunk of device state as the driver gave it */
	VFMI_FRAME_DEVICE_END = 5,  /* state of one device complete: u64 bytes, u64 chunks */
	VFMI_FRAME_CONFIG = 6,	    /* pci-config record of one device, after its DEVICE_END */
	VFMI_FRAME_BLOB = 7,	    /* caller's opaque bytes, one or more frames, anywhere after DEVICES_END */
	VFMI_FRAME_END = 8,	    /* digest (16 bytes), u64 frames before this one */
	VFMI_FRAME_ABORT = 9,	    /* the source gives up: text; ends the stream */
	VFMI_FRAME_GIVEN_UP = 10,   /* duplex, after END and the peer's LOADED: the source will not run again */
	VFMI_FRAME_KEPT = 11, /* instead of GIVEN_UP: text; the source keeps its state, the peer drops what it has */
	/* destination to source, duplex only, in a stream of its own (same id) */
	VFMI_FRAME_HELLO = 32,	 /* u16 oldest and u16 newest major known, u32 features */
	VFMI_FRAME_ACCEPT = 33,	 /* identities match */
	VFMI_FRAME_REFUSE = 34,	 /* they do not, or no device is free: u32 errno, text */
	VFMI_FRAME_LOADED = 35,	 /* every device is in STOP with its state: the verdict */
	VFMI_FRAME_FAILED = 36,	 /* it is not: u32 errno, text */
	VFMI_FRAME_STARTED = 37, /* after GIVEN_UP: the destination owns the devices */
};

enum vfmi_frame_flag {
	VFMI_FRAME_OPTIONAL = 1,
	VFMI_FRAME_STOP_COPY = 2, /* DATA: read in STOP_COPY; without it, in PRE_COPY */
};

/* Record ids inside INFO and DEVICE: u16 id, u16 length, bytes; unknown ids with bit 15 set are skipped. */
enum vfmi_record {
	VFMI_RECORD_PRODUCER = 1,
	VFMI_RECORD_KERNEL = 2,	 /* in both */
	VFMI_RECORD_CREATED = 3, /* u64 */
	VFMI_RECORD_DEVICES = 4, /* u32 */
	VFMI_RECORD_NAME = 16,
	VFMI_RECORD_DRIVER = 17,
	VFMI_RECORD_MDEV_TYPE = 18,
	VFMI_RECORD_FIRMWARE = 19,
	VFMI_RECORD_PCI_ID = 20,    /* u16 vendor, device */
	VFMI_RECORD_SUBSYSTEM = 21, /* u16 vendor, device */
	VFMI_RECORD_REVISION = 22,  /* u32 class, u32 revision */
	VFMI_RECORD_MIGRATION = 23, /* u32 flags */
	VFMI_RECORD_SIMULATED = 24, /* empty; there if and only if the stream header has the flag */
	VFMI_RECORD_OPTIONAL = 0x8000,
	VFMI_RECORD_DATA_SIZE = 25 | VFMI_RECORD_OPTIONAL, /* u64 estimate in bytes */
};

struct vfmi_frame {
	uint32_t type;
	uint32_t flags;
	uint32_t device;
	uint32_t length;
	uint64_t sequence;
};

struct vfmi_stream_header {
	uint16_t major;
	uint16_t minor;
	uint16_t oldest;
	uint32_t flags;
	uint64_t id;
};

struct vfmi_stream_writer;
struct vfmi_stream_reader;

/*
 * Writer. Errors of the channel are returned as they are; after one every call fails the same way. A frame that breaks
 * the table of frame types or the order is -EINVAL and nothing is written. One thread at a time.
 */

/* The header is written by the first frame, with this library's own versions: only flags and id are taken. */
int vfmi_stream_writer_new(const struct vfm_io *io, const struct vfmi_stream_header *header,
			   struct vfmi_stream_writer **ret);
void vfmi_stream_writer_free(struct vfmi_stream_writer *writer);
/*
 * The checksum of a payload can be taken ahead, on another thread: vfmi_stream_sum(), then _write_summed().
 * _write() does both. @frame: length and sequence are filled in by the writer. A stream whose first frame is HELLO is a
 * reply.
 */
uint64_t vfmi_stream_sum(uint64_t stream_id, const void *payload, size_t length);
int vfmi_stream_write(struct vfmi_stream_writer *writer, struct vfmi_frame frame, const void *payload, size_t length);
int vfmi_stream_write_summed(struct vfmi_stream_writer *writer, struct vfmi_frame frame, const void *payload,
			     size_t length, uint64_t sum);
int vfmi_stream_write_end(struct vfmi_stream_writer *writer); /* END with the digest, then flush */
int vfmi_stream_writer_flush(struct vfmi_stream_writer *writer);
uint64_t vfmi_stream_writer_bytes(const struct vfmi_stream_writer *writer);

/*
 * Reader. Checks sums, sequence, limits; frame order is checked by vfmi_stream_order_next(). Reads not one byte more
 * than it returns. After a failure every call fails the same way.
 */
int vfmi_stream_reader_new(const struct vfm_io *io, struct vfmi_stream_reader **ret);
void vfmi_stream_reader_free(struct vfmi_stream_reader *reader);
/*
 * @ret is also written on -EPROTONOSUPPORT: a duplex destination needs the id to say that it does not know the version.
 */
int vfmi_stream_read_header(struct vfmi_stream_reader *reader, struct vfmi_stream_header *ret);
/*
 * Next frame; its payload goes to @buf (@room at least VFM_STREAM_MAX_CHUNK, else -EINVAL). END is checked against the
 * digest here.
 * Return: 0, -EBADMSG, -EPROTONOSUPPORT (unknown mandatory type), -ENODATA (channel ended exactly between frames: right
 * after END, else a truncation), or the channel's errno. Unknown optional frames are skipped and counted.
 * vfmi_stream_reader_why() says what was wrong and where.
 */
int vfmi_stream_read(struct vfmi_stream_reader *reader, struct vfmi_frame *ret_frame, void *buf, size_t room);
/*
 * Its two halves, for callers whose buffer depends on the frame. _next() also gives unknown optional frames: those
 * without a vfmi_frame_rule(), whose payload is read like any other and dropped. @room at least the frame's length.
 */
int vfmi_stream_read_next(struct vfmi_stream_reader *reader, struct vfmi_frame *ret_frame);
int vfmi_stream_read_payload(struct vfmi_stream_reader *reader, void *buf, size_t room);
/* What the reader cannot see is wrong with the newest frame: the reader fails with @code (negative), which is returned.
 */
int vfmi_stream_reader_refuse(struct vfmi_stream_reader *reader, int code, const char *cause);
const char *vfmi_stream_reader_why(const struct vfmi_stream_reader *reader);
/* Whether the newest failure is that the channel ended, not what came out of it. */
bool vfmi_stream_reader_is_cut(const struct vfmi_stream_reader *reader);
uint64_t vfmi_stream_reader_bytes(const struct vfmi_stream_reader *reader);
uint64_t vfmi_stream_reader_frames(const struct vfmi_stream_reader *reader);
uint64_t vfmi_stream_reader_skipped(const struct vfmi_stream_reader *reader);
void vfmi_stream_reader_digest(const struct vfmi_stream_reader *reader, uint8_t digest[VFMI_DIGEST]); /* after END */

/* Order of frames as a small pure machine, used by restore, inspect and the writer's own check. Starts zeroed. */
enum vfmi_order_step {
	VFMI_ORDER_START = 0,	 /* a stream: INFO comes */
	VFMI_ORDER_DEVICES,	 /* DEVICE, DEVICES_END */
	VFMI_ORDER_STATE,	 /* DATA, DEVICE_END, CONFIG, BLOB, END */
	VFMI_ORDER_ENDED,	 /* nothing, GIVEN_UP or KEPT */
	VFMI_ORDER_CLOSED,	 /* nothing */
	VFMI_ORDER_REPLY,	 /* a reply starts here: HELLO comes */
	VFMI_ORDER_REPLY_MATCH,	 /* ACCEPT, REFUSE */
	VFMI_ORDER_REPLY_LOAD,	 /* LOADED, FAILED */
	VFMI_ORDER_REPLY_LOADED, /* STARTED */
};

struct vfmi_stream_order {
	uint32_t step; /* enum vfmi_order_step */
	uint32_t announced;
	uint32_t devices; /* DEVICE frames so far */
	uint8_t device_step[VFM_STREAM_MAX_DEVICES];
	uint64_t bytes[VFM_STREAM_MAX_DEVICES][2]; /* pre-copy, stop-copy */
	uint64_t chunks[VFM_STREAM_MAX_DEVICES];
	uint64_t config_bytes[VFM_STREAM_MAX_DEVICES];
	uint64_t blob_bytes;
	const char *why;
};
/*
 * @frame has passed vfmi_frame_check(), as every frame from the reader has; @payload as read.
 * Return: 0, or -EBADMSG or -EPROTONOSUPPORT (INFO's records) with order->why; nothing else changes on failure.
 */
int vfmi_stream_order_next(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const void *payload);

/* A row of the table of frame types: what a frame looks like, where it may stand, where the stream is after it. */
struct vfmi_frame_rule {
	const char *name;
	uint32_t flags;	       /* bits that may be set */
	uint32_t stream_flags; /* bits the stream header must have */
	uint32_t min, max;     /* payload bytes */
	bool device;	       /* belongs to a device */
	uint8_t next;	       /* enum vfmi_order_step after it */
	uint16_t steps;	       /* where it may stand, bit 1 << enum vfmi_order_step */
	int (*take)(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const uint8_t *payload);
};
const struct vfmi_frame_rule *vfmi_frame_rule(uint32_t type); /* NULL for types this version does not know */
const char *vfmi_frame_name(uint32_t type);		      /* static, "unknown" for those */
/* A frame header against the table. Return: 0, or -EBADMSG or -EPROTONOSUPPORT with *ret_why (static). */
int vfmi_frame_check(const struct vfmi_frame *frame, uint32_t stream_flags, const char **ret_why);

/*
 * Records (stream-records.c): encode into @buf, return length or -ENOSPC; decode checks every length. Decoders give
 * -EBADMSG or -EPROTONOSUPPORT (unknown mandatory record) and write only on success. Text is printable ASCII: what is
 * not becomes '?' on the way out and is refused on the way in, for it ends up on an operator's terminal.
 */
int vfmi_records_put_info(uint8_t *buf, size_t room, const struct vfm_stream_summary *info);
int vfmi_records_get_info(const uint8_t *buf, size_t length, struct vfm_stream_summary *info);
int vfmi_records_put_identity(uint8_t *buf, size_t room, const struct vfm_identity *identity, uint64_t data_size);
int vfmi_records_get_identity(const uint8_t *buf, size_t length, struct vfm_identity *identity, uint64_t *data_size);

/* Payload of REFUSE and FAILED: @code is a positive errno; a longer text is cut. Return: bytes. */
int vfmi_records_put_verdict(uint8_t buf[4 + VFMI_MAX_TEXT], int code, const char *text);
/* @text: room for the text of a peer, made printable. Return: positive errno, EPROTO when the peer's is none. */
int vfmi_records_get_verdict(const uint8_t *buf, size_t length, char *text, size_t room);
/* Text of ABORT, and of anything else from outside that goes to a terminal: cut to @room, made printable. */
void vfmi_records_get_text(const uint8_t *buf, size_t length, char *text, size_t room);

#endif
