/* SPDX-License-Identifier: MIT */
/* Codec of the lending protocol: messages in memory to bytes and back. Pure; sockets are lend-socket.c's. */
#include "lend-wire.h"
#include "wire.h"

#define MAGIC "VFML"
#define HELLO_LENGTH 8u
#define REFUSED_LENGTH 4u
#define VECTORS_LENGTH 4u
#define VECTOR_LENGTH 8u
#define MAX_ERRNO 4095u

static void put_header(struct vfmi_lend_message *msg, uint16_t type, size_t payload)
{
	uint8_t *header = msg->bytes;

	memcpy(header, MAGIC, 4);
	vfmi_put_le16(header + 4, type);
	vfmi_put_le16(header + 6, 0);
	vfmi_put_le32(header + 8, (uint32_t)payload);
	vfmi_put_le32(header + 12, (uint32_t)msg->fd_count);
	msg->length = VFMI_LEND_HEADER + payload;
}

static uint8_t *payload_of(struct vfmi_lend_message *msg)
{
	return msg->bytes + VFMI_LEND_HEADER;
}

static const uint8_t *payload_in(const struct vfmi_lend_message *msg)
{
	return msg->bytes + VFMI_LEND_HEADER;
}

static size_t payload_length(const struct vfmi_lend_message *msg)
{
	return msg->length - VFMI_LEND_HEADER;
}

void vfmi_lend_put_plain(struct vfmi_lend_message *msg, uint16_t type)
{
	msg->fd_count = 0;
	put_header(msg, type, 0);
}

void vfmi_lend_put_hello(struct vfmi_lend_message *msg, const struct vfmi_lend_hello *hello)
{
	uint8_t *payload = payload_of(msg);

	vfmi_put_le16(payload, hello->oldest);
	vfmi_put_le16(payload + 2, hello->newest);
	vfmi_put_le32(payload + 4, hello->devices);
	msg->fd_count = 0;
	put_header(msg, VFMI_LEND_HELLO, HELLO_LENGTH);
}

void vfmi_lend_put_refused(struct vfmi_lend_message *msg, int code, const char *text)
{
	size_t length = strnlen(text, VFMI_LEND_MAX_TEXT);

	vfmi_put_le32(payload_of(msg), (uint32_t)code);
	memcpy(payload_of(msg) + REFUSED_LENGTH, text, length);
	msg->fd_count = 0;
	put_header(msg, VFMI_LEND_REFUSED, REFUSED_LENGTH + length);
}

int vfmi_lend_put_device(struct vfmi_lend_message *msg, const char *description)
{
	size_t length = strlen(description);

	if (length > VFMI_LEND_MAX_PAYLOAD || msg->fd_count > VFMI_LEND_MAX_FDS)
		return -ENOSPC;
	memcpy(payload_of(msg), description, length);
	put_header(msg, VFMI_LEND_DEVICE, length);
	return 0;
}

void vfmi_lend_begin_vectors(struct vfmi_lend_message *msg, uint16_t type, uint32_t device)
{
	vfmi_put_le32(payload_of(msg), device);
	msg->fd_count = 0;
	put_header(msg, type, VECTORS_LENGTH);
}

int vfmi_lend_add_vector(struct vfmi_lend_message *msg, const struct vfmi_lend_vector *vector, int fd)
{
	uint16_t type = vfmi_get_le16(msg->bytes + 4);
	size_t length = payload_length(msg);
	uint8_t *pair = payload_of(msg) + length;

	if (msg->fd_count == VFMI_LEND_MAX_FDS || length + VECTOR_LENGTH > VFMI_LEND_MAX_PAYLOAD)
		return -ENOSPC;
	vfmi_put_le32(pair, vector->index);
	vfmi_put_le32(pair + 4, vector->vector);
	if (type == VFMI_LEND_VECTORS)
		msg->fds[msg->fd_count++] = fd;
	put_header(msg, type, length + VECTOR_LENGTH);
	return 0;
}

static bool header_is_sound(const struct vfmi_lend_message *msg)
{
	const uint8_t *header = msg->bytes;

	return msg->length >= VFMI_LEND_HEADER && msg->length <= VFMI_LEND_MAX_MESSAGE && !memcmp(header, MAGIC, 4) &&
	       vfmi_get_le16(header + 6) == 0 && vfmi_get_le32(header + 8) == payload_length(msg) &&
	       vfmi_get_le32(header + 12) == msg->fd_count;
}

static bool refused_is_sound(const struct vfmi_lend_message *msg)
{
	size_t length = payload_length(msg);
	uint32_t code;

	if (msg->fd_count || length < REFUSED_LENGTH || length > REFUSED_LENGTH + VFMI_LEND_MAX_TEXT)
		return false;
	code = vfmi_get_le32(payload_in(msg));
	return code > 0 && code <= MAX_ERRNO;
}

static bool payload_is_sound(const struct vfmi_lend_message *msg, uint16_t type)
{
	size_t length = payload_length(msg);

	switch (type) {
	case VFMI_LEND_HELLO:
		return length == HELLO_LENGTH && msg->fd_count == 0;
	case VFMI_LEND_REFUSED:
		return refused_is_sound(msg);
	case VFMI_LEND_DEVICE:
		return length > 0 && msg->fd_count > 0 && !memchr(payload_in(msg), '\0', length);
	case VFMI_LEND_VECTORS:
		return msg->fd_count > 0 && length == VECTORS_LENGTH + msg->fd_count * VECTOR_LENGTH;
	case VFMI_LEND_DISARMED:
		return msg->fd_count == 0 && length > VECTORS_LENGTH && (length - VECTORS_LENGTH) % VECTOR_LENGTH == 0;
	case VFMI_LEND_NEXT:
	case VFMI_LEND_END:
	case VFMI_LEND_RETURN:
		return length == 0 && msg->fd_count == 0;
	default:
		return false;
	}
}

int vfmi_lend_check(const struct vfmi_lend_message *msg)
{
	uint16_t type;

	if (!header_is_sound(msg))
		return -EPROTO;
	type = vfmi_get_le16(msg->bytes + 4);
	return payload_is_sound(msg, type) ? type : -EPROTO;
}

void vfmi_lend_get_hello(const struct vfmi_lend_message *msg, struct vfmi_lend_hello *ret)
{
	const uint8_t *payload = payload_in(msg);

	ret->oldest = vfmi_get_le16(payload);
	ret->newest = vfmi_get_le16(payload + 2);
	ret->devices = vfmi_get_le32(payload + 4);
}

static void get_text(const struct vfmi_lend_message *msg, size_t from, char *text)
{
	size_t length = payload_length(msg) - from;

	memcpy(text, payload_in(msg) + from, length);
	text[length] = '\0';
}

int vfmi_lend_get_refused(const struct vfmi_lend_message *msg, char text[VFMI_LEND_MAX_TEXT + 1])
{
	get_text(msg, REFUSED_LENGTH, text);
	vfmi_make_printable(text);
	return (int)vfmi_get_le32(payload_in(msg));
}

void vfmi_lend_get_device(const struct vfmi_lend_message *msg, char description[VFMI_LEND_MAX_PAYLOAD + 1])
{
	get_text(msg, 0, description);
}

uint32_t vfmi_lend_vectors_device(const struct vfmi_lend_message *msg)
{
	return vfmi_get_le32(payload_in(msg));
}

size_t vfmi_lend_vector_count(const struct vfmi_lend_message *msg)
{
	return (payload_length(msg) - VECTORS_LENGTH) / VECTOR_LENGTH;
}

void vfmi_lend_get_vector(const struct vfmi_lend_message *msg, size_t at, struct vfmi_lend_vector *ret)
{
	const uint8_t *pair = payload_in(msg) + VECTORS_LENGTH + at * VECTOR_LENGTH;

	ret->index = vfmi_get_le32(pair);
	ret->vector = vfmi_get_le32(pair + 4);
}
