/* SPDX-License-Identifier: MIT */
/*
 * Messages between a lender and a borrower on a SOCK_SEQPACKET socket; pure. The lender speaks first, then answers one
 * message with one message, so that neither a slow nor a hostile peer can fill its socket:
 *
 *   lender              borrower
 *   HELLO or REFUSED
 *                       HELLO                 version chosen
 *                       NEXT
 *   DEVICE                                    description, its numbers being indexes of the descriptors attached
 *                       NEXT
 *   VECTORS                                   eventfds of the last device, as often as it takes
 *                       NEXT
 *   END                                       from here on the devices are borrowed
 *                       VECTORS ...           eventfds armed meanwhile
 *                       DISARMED ...          vectors disarmed meanwhile and not armed again
 *                       RETURN
 *
 * The two of them in any order and number. Header, little endian: 0 magic "VFML", 4 u16 type, 6 u16 zero, 8 u32 payload
 * length, 12 u32 descriptors attached. VECTORS and DISARMED: u32 device, then pairs of u32 interrupt index, u32 vector,
 * at least one; in VECTORS one descriptor for each pair, in DISARMED none.
 */
#ifndef VFIOMIG_LEND_WIRE_H
#define VFIOMIG_LEND_WIRE_H

#include "internal.h"

#define VFMI_LEND_OLDEST 1u
#define VFMI_LEND_NEWEST 1u
#define VFMI_LEND_HEADER 16u
#define VFMI_LEND_MAX_PAYLOAD 4096u
#define VFMI_LEND_MAX_MESSAGE (VFMI_LEND_HEADER + VFMI_LEND_MAX_PAYLOAD)
#define VFMI_LEND_MAX_FDS 253u /* SCM_MAX_FD of the kernel: more do not fit one message */
#define VFMI_LEND_MAX_DEVICES 64u
#define VFMI_LEND_MAX_TEXT 200u

enum vfmi_lend_type {
	VFMI_LEND_HELLO = 1,
	VFMI_LEND_REFUSED = 2,
	VFMI_LEND_NEXT = 3,
	VFMI_LEND_DEVICE = 4,
	VFMI_LEND_VECTORS = 5,
	VFMI_LEND_END = 6,
	VFMI_LEND_RETURN = 7,
	VFMI_LEND_DISARMED = 8,
};

/* A message in memory: its bytes and the descriptors that travel with it. */
struct vfmi_lend_message {
	uint8_t bytes[VFMI_LEND_MAX_MESSAGE];
	size_t length;
	int fds[VFMI_LEND_MAX_FDS];
	size_t fd_count;
};

/* Both begin a message; a lender's versions are a range, a borrower chooses one. */
struct vfmi_lend_hello {
	uint16_t oldest;
	uint16_t newest;
	uint32_t devices;
};

struct vfmi_lend_vector {
	uint32_t index;
	uint32_t vector;
};

/* Encoding. Descriptors are put in fds by the caller before; they are counted, not owned. */
void vfmi_lend_put_plain(struct vfmi_lend_message *msg, uint16_t type); /* NEXT, END, RETURN */
void vfmi_lend_put_hello(struct vfmi_lend_message *msg, const struct vfmi_lend_hello *hello);
void vfmi_lend_put_refused(struct vfmi_lend_message *msg, int code, const char *text);
int vfmi_lend_put_device(struct vfmi_lend_message *msg, const char *description); /* 0 or -ENOSPC */
/* VECTORS or DISARMED, growing by one pair a call, in VECTORS with its descriptor; -ENOSPC when it is full. */
void vfmi_lend_begin_vectors(struct vfmi_lend_message *msg, uint16_t type, uint32_t device);
int vfmi_lend_add_vector(struct vfmi_lend_message *msg, const struct vfmi_lend_vector *vector, int fd);

/*
 * Decoding. _check() first: header, lengths, payload by type, number of descriptors; the others may then be called on
 * a message of their type. Return: the type, or -EPROTO.
 */
int vfmi_lend_check(const struct vfmi_lend_message *msg);
void vfmi_lend_get_hello(const struct vfmi_lend_message *msg, struct vfmi_lend_hello *ret);
int vfmi_lend_get_refused(const struct vfmi_lend_message *msg, char text[VFMI_LEND_MAX_TEXT + 1]); /* errno */
void vfmi_lend_get_device(const struct vfmi_lend_message *msg, char description[VFMI_LEND_MAX_PAYLOAD + 1]);
uint32_t vfmi_lend_vectors_device(const struct vfmi_lend_message *msg);
size_t vfmi_lend_vector_count(const struct vfmi_lend_message *msg); /* also of one that is being made */
void vfmi_lend_get_vector(const struct vfmi_lend_message *msg, size_t at, struct vfmi_lend_vector *ret);

#endif
