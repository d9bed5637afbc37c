/* SPDX-License-Identifier: MIT */
/* Channels in memory: one-way ones that keep their bytes, and duplex ones between two threads that can be cut. */
#ifndef CHANNEL_FIXTURE_H
#define CHANNEL_FIXTURE_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <vfiomig/stream.h>

struct memory {
	uint8_t *data;
	size_t length;
	size_t room;
	size_t at;    /* next byte to read */
	size_t limit; /* bytes that can be written, 0: no limit */
};

static inline int memory_write(void *user, const void *buf, size_t length)
{
	struct memory *memory = user;

	if (memory->limit && memory->length + length > memory->limit)
		return -ENOSPC;
	if (memory->length + length > memory->room) {
		memory->room = (memory->length + length) * 2;
		memory->data = realloc(memory->data, memory->room);
	}
	if (length)
		memcpy(memory->data + memory->length, buf, length);
	memory->length += length;
	return 0;
}

static inline int64_t memory_read(void *user, void *buf, size_t length)
{
	struct memory *memory = user;

	if (length > memory->length - memory->at)
		length = memory->length - memory->at;
	if (length)
		memcpy(buf, memory->data + memory->at, length);
	memory->at += length;
	return (int64_t)length;
}

static inline struct vfm_io memory_writer(struct memory *memory)
{
	return (struct vfm_io){ .size = sizeof(struct vfm_io), .user = memory, .write = memory_write };
}

static inline struct vfm_io memory_reader(struct memory *memory)
{
	memory->at = 0;
	return (struct vfm_io){ .size = sizeof(struct vfm_io), .user = memory, .read = memory_read };
}

#define QUEUE_ROOM (4u * 1024u * 1024u)

/* One direction. @cut: bytes that pass before the whole channel dies, UINT64_MAX for never. */
struct queue {
	uint64_t written;
	uint64_t taken;
	uint64_t cut;
	uint8_t *data;
};

struct duplex {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool dead;	/* cut: nothing passes any more, what is on its way is lost */
	bool closed[2]; /* an end hung up: what it wrote still arrives */
	struct queue queues[2];
};

struct duplex_end {
	struct duplex *duplex;
	unsigned int number;
};

static inline void duplex_init(struct duplex *duplex)
{
	memset(duplex, 0, sizeof(*duplex));
	pthread_mutex_init(&duplex->lock, NULL);
	pthread_cond_init(&duplex->changed, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		duplex->queues[i].data = malloc(QUEUE_ROOM);
		duplex->queues[i].cut = UINT64_MAX;
	}
}

static inline void duplex_destroy(struct duplex *duplex)
{
	for (unsigned int i = 0; i < 2; i++)
		free(duplex->queues[i].data);
	pthread_cond_destroy(&duplex->changed);
	pthread_mutex_destroy(&duplex->lock);
}

static inline int duplex_write(void *user, const void *buf, size_t length)
{
	struct duplex_end *end = user;
	struct duplex *duplex = end->duplex;
	struct queue *queue = &duplex->queues[end->number];
	int r = 0;

	pthread_mutex_lock(&duplex->lock);
	for (size_t i = 0; i < length && !r; i++) {
		while (!duplex->dead && !duplex->closed[!end->number] && queue->written - queue->taken == QUEUE_ROOM)
			pthread_cond_wait(&duplex->changed, &duplex->lock);
		if (queue->written == queue->cut)
			duplex->dead = true;
		if (duplex->dead || duplex->closed[!end->number])
			r = -EPIPE;
		else
			queue->data[queue->written++ % QUEUE_ROOM] = ((const uint8_t *)buf)[i];
	}
	pthread_cond_broadcast(&duplex->changed);
	pthread_mutex_unlock(&duplex->lock);
	return r;
}

static inline int64_t duplex_read(void *user, void *buf, size_t length)
{
	struct duplex_end *end = user;
	struct duplex *duplex = end->duplex;
	struct queue *queue = &duplex->queues[!end->number];
	size_t done = 0;

	pthread_mutex_lock(&duplex->lock);
	while (!duplex->dead && !duplex->closed[!end->number] && queue->written == queue->taken)
		pthread_cond_wait(&duplex->changed, &duplex->lock);
	while (!duplex->dead && done < length && queue->taken < queue->written)
		((uint8_t *)buf)[done++] = queue->data[queue->taken++ % QUEUE_ROOM];
	pthread_cond_broadcast(&duplex->changed);
	pthread_mutex_unlock(&duplex->lock);
	return (int64_t)done;
}

static inline void duplex_hang_up(struct duplex_end *end)
{
	pthread_mutex_lock(&end->duplex->lock);
	end->duplex->closed[end->number] = true;
	pthread_cond_broadcast(&end->duplex->changed);
	pthread_mutex_unlock(&end->duplex->lock);
}

static inline struct vfm_io duplex_io(struct duplex_end *end)
{
	return (struct vfm_io){
		.size = sizeof(struct vfm_io), .user = end, .read = duplex_read, .write = duplex_write
	};
}

#endif
