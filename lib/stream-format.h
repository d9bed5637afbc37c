/* SPDX-License-Identifier: MIT */
/*
 * Stream v1, the layout of vfiomig-stream(5). All fields little endian. Constants and structs in memory; the codec is
 * in stream-writer.c and stream-reader.c, both pure over struct vfm_io.
 *
 * A stream is one header and then frames. Header, 40 bytes:
 *   0  8  magic "VFIOMIG\x1a"
 *   8  2  major, 2 minor
 *   12 4  flags (enum vfm_stream_flag)
 *   16 8  stream id, random
 *   24 8  oldest major a reader must know (u16) and reserved zeros
 *   32 8  XXH3-64 of bytes 0..31
 * Frame header, 40 bytes, then the payload:
 *   0  4  type
 *   4  4  flags: bit 0 optional (a reader that does not know the type skips it); other bits belong to the type
 *   8  4  device index, 0xffffffff when the frame belongs to none
 *   12 4  payload length
 *   16 8  sequence number, from 0
 *   24 8  XXH3-64 of the payload, seeded with the stream id
 *   32 8  XXH3-64 of bytes 0..31, seeded with the stream id: lengths are believed only after this
 * The digest in END is XXH3-128 over the stream header and every frame header before END, in order; through the
 * payload sums it covers every byte.
 */
#ifndef VFIOMIG_STREAM_FORMAT_H
#define VFIOMIG_STREAM_FORMAT_H

#include "internal.h"

#define VFMI_STREAM_MAGIC "VFIOMIG\x1a"
#define VFMI_STREAM_MAJOR 1u
#define VFMI_STREAM_MINOR 0u
#define VFMI_STREAM_HEADER 40u
#define VFMI_FRAME_HEADER 40u
#define VFMI_NO_DEVICE 0xffffffffu
#define VFMI_MAX_META (64u * 1024u)     /* payload of any frame but DATA and BLOB */
#define VFMI_MAX_BLOB_CHUNK (1024u * 1024u)

enum vfmi_frame_type {
	/* source to destination, in this order */
	VFMI_FRAME_INFO = 1,       /* producer, kernel, time, number of devices (records) */
	VFMI_FRAME_DEVICE = 2,     /* identity of one device (records); one frame each, index 0.. */
	VFMI_FRAME_DEVICES_END = 3, /* all DEVICE frames are there: a duplex destination answers ACCEPT or REFUSE */
	VFMI_FRAME_DATA = 4,       /* one chunk of device state as the driver gave it */
	VFMI_FRAME_DEVICE_END = 5, /* state of one device complete: u64 bytes, u64 chunks */
	VFMI_FRAME_CONFIG = 6,     /* pci-config record of one device, after its DATA */
	VFMI_FRAME_BLOB = 7,       /* caller's opaque bytes, one or more frames, anywhere after DEVICES_END */
	VFMI_FRAME_END = 8,        /* digest (16 bytes), u64 frames before this one */
	VFMI_FRAME_ABORT = 9,      /* the source gives up: text; ends the stream */
	VFMI_FRAME_GIVEN_UP = 10,  /* duplex, after END and the peer's LOADED: the source will not run again */
	/* destination to source, duplex only, in a stream of its own (same id) */
	VFMI_FRAME_HELLO = 32,     /* u16 oldest and u16 newest major known, u32 features */
	VFMI_FRAME_ACCEPT = 33,    /* identities match */
	VFMI_FRAME_REFUSE = 34,    /* they do not, or no device is free: u32 errno, text */
	VFMI_FRAME_LOADED = 35,    /* every device is in STOP with its state: the verdict */
	VFMI_FRAME_FAILED = 36,    /* it is not: u32 errno, text */
	VFMI_FRAME_STARTED = 37,   /* after GIVEN_UP: the destination owns the devices */
};

enum vfmi_frame_flag {
	VFMI_FRAME_OPTIONAL = 1,
	VFMI_FRAME_STOP_COPY = 2, /* DATA: read in STOP_COPY; without it, in PRE_COPY */
};

/* Record ids inside INFO and DEVICE: u16 id, u16 length, bytes; unknown ids with bit 15 set are skipped. */
enum vfmi_record {
	VFMI_RECORD_PRODUCER = 1,
	VFMI_RECORD_KERNEL = 2,
	VFMI_RECORD_CREATED = 3,      /* u64 */
	VFMI_RECORD_DEVICES = 4,      /* u32 */
	VFMI_RECORD_NAME = 16,
	VFMI_RECORD_DRIVER = 17,
	VFMI_RECORD_MDEV_TYPE = 18,
	VFMI_RECORD_FIRMWARE = 19,
	VFMI_RECORD_PCI_ID = 20,      /* u16 vendor, device */
	VFMI_RECORD_SUBSYSTEM = 21,   /* u16 vendor, device */
	VFMI_RECORD_REVISION = 22,    /* u32 revision, u32 class */
	VFMI_RECORD_MIGRATION = 23,   /* u32 flags */
	VFMI_RECORD_DATA_SIZE = 24 | 0x8000, /* u64 estimate in bytes */
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

/* Writer. Errors of the channel are returned as they are; after one every call fails the same way. */
int vfmi_stream_writer_new(const struct vfm_io *io, const struct vfmi_stream_header *header,
			   struct vfmi_stream_writer **ret); /* header is written by the first frame */
void vfmi_stream_writer_free(struct vfmi_stream_writer *writer);
/*
 * The checksum of a payload can be taken ahead, on another thread: vfmi_stream_sum(), then _write_summed().
 * _write() does both. @frame: length and sequence are filled in by the writer.
 */
uint64_t vfmi_stream_sum(uint64_t stream_id, const void *payload, size_t length);
int vfmi_stream_write(struct vfmi_stream_writer *writer, struct vfmi_frame frame, const void *payload, size_t length);
int vfmi_stream_write_summed(struct vfmi_stream_writer *writer, struct vfmi_frame frame, const void *payload,
			     size_t length, uint64_t sum);
int vfmi_stream_write_end(struct vfmi_stream_writer *writer); /* END with the digest, then flush */
int vfmi_stream_writer_flush(struct vfmi_stream_writer *writer);
uint64_t vfmi_stream_writer_bytes(const struct vfmi_stream_writer *writer);

/* Reader. Checks sums, sequence, limits; frame order is checked by vfmi_stream_order. */
int vfmi_stream_reader_new(const struct vfm_io *io, struct vfmi_stream_reader **ret);
void vfmi_stream_reader_free(struct vfmi_stream_reader *reader);
int vfmi_stream_read_header(struct vfmi_stream_reader *reader, struct vfmi_stream_header *ret);
/*
 * Next frame; its payload goes to @buf (@room at least VFM_STREAM_MAX_CHUNK). END is checked against the digest here.
 * Return: 0, -EBADMSG, -EPROTONOSUPPORT (unknown mandatory type), -ENODATA (channel ended exactly between frames), or
 * the channel's errno. Unknown optional frames are skipped and counted. vfmi_stream_reader_why() says what was wrong.
 */
int vfmi_stream_read(struct vfmi_stream_reader *reader, struct vfmi_frame *ret_frame, void *buf, size_t room);
const char *vfmi_stream_reader_why(const struct vfmi_stream_reader *reader);
uint64_t vfmi_stream_reader_bytes(const struct vfmi_stream_reader *reader);
uint64_t vfmi_stream_reader_frames(const struct vfmi_stream_reader *reader);
uint64_t vfmi_stream_reader_skipped(const struct vfmi_stream_reader *reader);
void vfmi_stream_reader_digest(const struct vfmi_stream_reader *reader, uint8_t digest[16]); /* after END */

/* Order of frames as a small pure machine, used by restore, inspect and the writer's own check. */
struct vfmi_stream_order {
	uint32_t step;
	uint32_t announced;
	uint32_t devices;                           /* DEVICE frames so far */
	uint8_t device_step[VFM_STREAM_MAX_DEVICES];
	uint64_t bytes[VFM_STREAM_MAX_DEVICES][2];  /* pre-copy, stop-copy */
	uint64_t chunks[VFM_STREAM_MAX_DEVICES];
	uint64_t config_bytes[VFM_STREAM_MAX_DEVICES];
	uint64_t blob_bytes;
	const char *why;
};
/* Return: 0 or -EBADMSG with order->why. @payload as read. */
int vfmi_stream_order_next(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const void *payload);

/* Records (stream-records.c): encode into @buf, return length or -ENOSPC; decode checks every length. */
int vfmi_records_put_info(uint8_t *buf, size_t room, const struct vfm_stream_summary *info);
int vfmi_records_get_info(const uint8_t *buf, size_t length, struct vfm_stream_summary *info);
int vfmi_records_put_identity(uint8_t *buf, size_t room, const struct vfm_identity *identity, uint64_t data_size);
int vfmi_records_get_identity(const uint8_t *buf, size_t length, struct vfm_identity *identity, uint64_t *data_size);

#endif
