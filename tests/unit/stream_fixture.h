/* SPDX-License-Identifier: MIT */
/* A channel in memory, a sample stream by the writer, and a forge that builds streams by hand from the manual page. */
#ifndef VFIOMIG_TEST_STREAM_FIXTURE_H
#define VFIOMIG_TEST_STREAM_FIXTURE_H

#include <check.h>
#include <stdlib.h>
#include <xxhash.h>

#include "stream-format.h"
#include "wire.h"

struct memory {
	uint8_t *bytes;
	size_t length;
	size_t room;
	size_t at;	     /* read position */
	size_t step;	     /* most bytes one read gives; 0: no limit */
	size_t largest_read; /* most bytes one read asked for */
};

static inline void memory_append(struct memory *memory, const void *bytes, size_t length)
{
	if (memory->length + length > memory->room) {
		memory->room = (memory->length + length) * 2;
		memory->bytes = realloc(memory->bytes, memory->room);
		ck_assert_ptr_nonnull(memory->bytes);
	}
	if (length)
		memcpy(memory->bytes + memory->length, bytes, length);
	memory->length += length;
}

static inline void memory_free(struct memory *memory)
{
	free(memory->bytes);
	memset(memory, 0, sizeof(*memory));
}

static inline int64_t memory_read(void *user, void *buf, size_t length)
{
	struct memory *memory = user;

	if (length > memory->largest_read)
		memory->largest_read = length;
	if (memory->step && length > memory->step)
		length = memory->step;
	if (length > memory->length - memory->at)
		length = memory->length - memory->at;
	if (length)
		memcpy(buf, memory->bytes + memory->at, length);
	memory->at += length;
	return (int64_t)length;
}

static inline int memory_write(void *user, const void *buf, size_t length)
{
	memory_append(user, buf, length);
	return 0;
}

static inline struct vfm_io memory_io(struct memory *memory)
{
	memory->at = 0;
	return (struct vfm_io){
		.size = sizeof(struct vfm_io), .user = memory, .read = memory_read, .write = memory_write
	};
}

static inline int inspect_memory(struct memory *memory)
{
	const struct vfm_io io = memory_io(memory);

	return vfm_stream_inspect(NULL, &io, NULL, NULL, NULL, NULL);
}

/* The forge: header and frames with right sums around whatever the test wants, written without the library's codec. */
struct forge {
	struct memory out;
	struct memory digested; /* what the digest covers */
	uint64_t id;
	uint64_t sequence;
};

struct forge_header {
	uint16_t major, minor, oldest;
	uint32_t flags;
	uint8_t reserved;
};

static inline void forge_header_as(struct forge *forge, uint64_t id, struct forge_header header)
{
	uint8_t raw[40] = "VFIOMIG\x1a";

	forge->id = id;
	vfmi_put_le16(raw + 8, header.major);
	vfmi_put_le16(raw + 10, header.minor);
	vfmi_put_le32(raw + 12, header.flags);
	vfmi_put_le64(raw + 16, id);
	vfmi_put_le16(raw + 24, header.oldest);
	raw[31] = header.reserved;
	vfmi_put_le64(raw + 32, XXH3_64bits(raw, 32));
	memory_append(&forge->out, raw, sizeof(raw));
	memory_append(&forge->digested, raw, sizeof(raw));
}

static inline void forge_header(struct forge *forge, uint64_t id, uint32_t flags)
{
	forge_header_as(forge, id, (struct forge_header){ .major = 1, .oldest = 1, .flags = flags });
}

/* @claim: payload length the header tells, which may be a lie. */
static inline void forge_claim(struct forge *forge, uint32_t type, uint32_t flags, uint32_t device, uint32_t claim,
			       const void *payload, size_t length)
{
	uint8_t raw[40];

	vfmi_put_le32(raw, type);
	vfmi_put_le32(raw + 4, flags);
	vfmi_put_le32(raw + 8, device);
	vfmi_put_le32(raw + 12, claim);
	vfmi_put_le64(raw + 16, forge->sequence++);
	vfmi_put_le64(raw + 24, XXH3_64bits_withSeed(payload, length, forge->id));
	vfmi_put_le64(raw + 32, XXH3_64bits_withSeed(raw, 32, forge->id));
	memory_append(&forge->out, raw, sizeof(raw));
	memory_append(&forge->digested, raw, sizeof(raw));
	memory_append(&forge->out, payload, length);
}

static inline void forge_frame(struct forge *forge, uint32_t type, uint32_t flags, uint32_t device, const void *payload,
			       size_t length)
{
	forge_claim(forge, type, flags, device, (uint32_t)length, payload, length);
}

static inline void forge_info(struct forge *forge, uint32_t devices)
{
	uint8_t records[] = { 3, 0, 8, 0, 1, 2, 3, 4, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 0, 0 };

	vfmi_put_le32(records + 16, devices);
	forge_frame(forge, VFMI_FRAME_INFO, 0, VFMI_NO_DEVICE, records, sizeof(records));
}

static inline void forge_device(struct forge *forge, uint32_t device)
{
	forge_frame(forge, VFMI_FRAME_DEVICE, 0, device, "\x11\x00\x04\x00mtty", 8);
}

static inline void forge_devices_end(struct forge *forge)
{
	forge_frame(forge, VFMI_FRAME_DEVICES_END, 0, VFMI_NO_DEVICE, "", 0);
}

static inline void forge_device_end(struct forge *forge, uint32_t device, uint64_t bytes, uint64_t chunks)
{
	uint8_t payload[16];

	vfmi_put_le64(payload, bytes);
	vfmi_put_le64(payload + 8, chunks);
	forge_frame(forge, VFMI_FRAME_DEVICE_END, 0, device, payload, sizeof(payload));
}

static inline void forge_end(struct forge *forge)
{
	const XXH128_hash_t digest = XXH3_128bits(forge->digested.bytes, forge->digested.length);
	uint8_t payload[24];

	vfmi_put_le64(payload, digest.low64);
	vfmi_put_le64(payload + 8, digest.high64);
	vfmi_put_le64(payload + 16, forge->sequence);
	forge_frame(forge, VFMI_FRAME_END, 0, VFMI_NO_DEVICE, payload, sizeof(payload));
}

static inline void forge_free(struct forge *forge)
{
	memory_free(&forge->out);
	memory_free(&forge->digested);
	memset(forge, 0, sizeof(*forge));
}

/* Header, one device without state, everything up to but without END. */
static inline void forge_body(struct forge *forge, uint32_t flags)
{
	forge_header(forge, 0x1122334455667788, flags);
	forge_info(forge, 1);
	forge_device(forge, 0);
	forge_devices_end(forge);
	forge_device_end(forge, 0, 0, 0);
}

/* The sample: two devices, pre-copy and stop-copy chunks interleaved, two of them equal, configuration, blob. */
#define SAMPLE_FRAMES 17u
#define SAMPLE_CONFIG_ROOM 112u

static inline void sample_frame(struct vfmi_stream_writer *writer, uint32_t type, uint32_t flags, uint32_t device,
				const void *payload, size_t length)
{
	const struct vfmi_frame frame = { .type = type, .flags = flags, .device = device };

	ck_assert_int_eq(vfmi_stream_write(writer, frame, payload, length), 0);
}

static inline struct vfm_identity sample_identity(uint32_t device)
{
	struct vfm_identity identity = {
		.size = sizeof(identity),
		.flags = VFM_IDENTITY_PCI | VFM_IDENTITY_REVISION | VFM_IDENTITY_MIGRATION,
		.pci_vendor = 0x4348,
		.pci_device = 0x3253,
		.pci_class = 0x070002,
		.pci_revision = 0x10,
		.migration_flags = 7,
		.driver = "mtty",
		.mdev_type = "mtty-2",
		.kernel = "6.12.0",
	};

	strcpy(identity.name, device ? "b" : "a");
	return identity;
}

static inline void sample_devices(struct vfmi_stream_writer *writer)
{
	const struct vfm_stream_summary info = {
		.size = sizeof(info), .created_s = 1700000000, .devices = 2, .producer = "test", .kernel = "6.12.0"
	};
	uint8_t buf[512];
	int length = vfmi_records_put_info(buf, sizeof(buf), &info);

	ck_assert_int_gt(length, 0);
	sample_frame(writer, VFMI_FRAME_INFO, 0, VFMI_NO_DEVICE, buf, (size_t)length);
	for (uint32_t device = 0; device < 2; device++) {
		const struct vfm_identity identity = sample_identity(device);

		length = vfmi_records_put_identity(buf, sizeof(buf), &identity, 96);
		ck_assert_int_gt(length, 0);
		sample_frame(writer, VFMI_FRAME_DEVICE, 0, device, buf, (size_t)length);
	}
	sample_frame(writer, VFMI_FRAME_DEVICES_END, 0, VFMI_NO_DEVICE, NULL, 0);
}

static inline void sample_device_end(struct vfmi_stream_writer *writer, uint32_t device, uint64_t bytes,
				     uint64_t chunks)
{
	uint8_t payload[16];

	vfmi_put_le64(payload, bytes);
	vfmi_put_le64(payload + 8, chunks);
	sample_frame(writer, VFMI_FRAME_DEVICE_END, 0, device, payload, sizeof(payload));
}

/* A PCI device asleep with vectors 0 and 2 of MSI armed, and one that is not PCI; written without the codec. */
static inline size_t sample_config(uint32_t device, uint8_t record[SAMPLE_CONFIG_ROOM])
{
	const bool pci = device == 0;
	const uint32_t space = pci ? 72 : 0;
	uint8_t *irqs = record + 24 + space;

	memset(record, 0, SAMPLE_CONFIG_ROOM);
	memcpy(record, "VFMC\1\0\x18", 8);
	vfmi_put_le32(record + 8, pci);
	vfmi_put_le32(record + 12, space);
	vfmi_put_le32(record + 16, 1);
	vfmi_put_le32(record + 20, 24 + space + 12);
	if (pci) {
		vfmi_put_le16(record + 24 + 0x04, 0x0406);
		vfmi_put_le16(record + 24 + 0x06, 0x0010);
		record[24 + 0x34] = 0x40;
		record[24 + 0x40] = 0x01;
		record[24 + 0x44] = 0x03;
	}
	vfmi_put_le32(irqs, pci ? 1 : 40);
	vfmi_put_le32(irqs + 4, pci ? 3 : 1);
	irqs[8] = pci ? 5 : 1;
	return 24 + space + 12;
}

static inline void sample_put_config(struct vfmi_stream_writer *writer, uint32_t device)
{
	uint8_t record[SAMPLE_CONFIG_ROOM];
	const size_t length = sample_config(device, record);

	sample_frame(writer, VFMI_FRAME_CONFIG, 0, device, record, length);
}

static inline void sample_write(struct memory *memory, uint64_t id)
{
	const struct vfm_io io = memory_io(memory);
	const struct vfmi_stream_header header = { .id = id };
	struct vfmi_stream_writer *writer;

	ck_assert_int_eq(vfmi_stream_writer_new(&io, &header, &writer), 0);
	sample_devices(writer);
	sample_frame(writer, VFMI_FRAME_DATA, 0, 0, "early one", 9);
	sample_frame(writer, VFMI_FRAME_DATA, 0, 1, "early two", 9);
	sample_frame(writer, VFMI_FRAME_DATA, 0, 0, "equal", 5);
	sample_frame(writer, VFMI_FRAME_DATA, 0, 0, "equal", 5);
	sample_frame(writer, VFMI_FRAME_DATA, VFMI_FRAME_STOP_COPY, 0, "state of the first device", 25);
	sample_frame(writer, VFMI_FRAME_BLOB, 0, VFMI_NO_DEVICE, "blob", 4);
	sample_frame(writer, VFMI_FRAME_DATA, VFMI_FRAME_STOP_COPY, 1, "and of the second", 17);
	sample_device_end(writer, 0, 44, 4);
	sample_put_config(writer, 0);
	sample_device_end(writer, 1, 26, 2);
	sample_put_config(writer, 1);
	sample_frame(writer, VFMI_FRAME_BLOB, 0, VFMI_NO_DEVICE, "!", 1);
	ck_assert_int_eq(vfmi_stream_write_end(writer), 0);
	ck_assert_uint_eq(vfmi_stream_writer_bytes(writer), memory->length);
	vfmi_stream_writer_free(writer);
}

/* Where the frames of a sound stream are: starts[i] to starts[i + 1]; returns their number. */
static inline size_t frame_starts(const struct memory *memory, size_t *starts, size_t room)
{
	size_t at = VFMI_STREAM_HEADER;
	size_t count = 0;

	while (at < memory->length && count + 1 < room) {
		starts[count++] = at;
		at += VFMI_FRAME_HEADER + vfmi_get_le32(memory->bytes + at + 12);
	}
	starts[count] = at;
	return count;
}

#endif
