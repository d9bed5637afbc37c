/* SPDX-License-Identifier: MIT */
/* Bulk state of a device in the machine file, and the bitmap of the blocks to be sent again. */
#include <fcntl.h>
#include <unistd.h>

#include "machine.h"

int vfmi_sim_contents_get(struct vfm_sim *sim, const struct sim_device *dev, uint64_t offset, void *buf, size_t length)
{
	size_t done = 0;
	ssize_t n;

	while (done < length) {
		n = pread(sim->fd, (char *)buf + done, length - done, (off_t)(dev->contents_at + offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EFAULT ? -EFAULT : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int vfmi_sim_contents_put(struct vfm_sim *sim, struct sim_device *dev, uint64_t offset, const void *buf, size_t length)
{
	size_t done = 0;
	ssize_t n;

	while (done < length) {
		n = pwrite(sim->fd, (const char *)buf + done, length - done, (off_t)(dev->contents_at + offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EFAULT ? -EFAULT : -EIO;
		done += (size_t)n;
	}
	return 0;
}

void vfmi_sim_punch(struct vfm_sim *sim, uint64_t at, uint64_t length)
{
	static const uint8_t zeros[65536];
	size_t n;

	if (!length || !fallocate(sim->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)length))
		return;
	/* A file system without holes: slowly, then. */
	for (; length; length -= n, at += n) {
		n = length < sizeof(zeros) ? (size_t)length : sizeof(zeros);
		if (pwrite(sim->fd, zeros, n, (off_t)at) != (ssize_t)n)
			return;
	}
}

/* Marked before and unmarked after, so that it is finished when this process dies in between. */
void vfmi_sim_contents_wipe(struct vfm_sim *sim, struct sim_device *dev)
{
	__atomic_store_n(&dev->wiping, 1, __ATOMIC_RELEASE);
	vfmi_sim_punch(sim, dev->contents_at, dev->state_bytes);
	__atomic_store_n(&dev->wiping, 0, __ATOMIC_RELEASE);
}

/* blocks */

uint32_t vfmi_sim_blocks(const struct sim_device *dev)
{
	return (uint32_t)((dev->state_bytes + SIM_BLOCK - 1) / SIM_BLOCK);
}

uint64_t vfmi_sim_block_bytes(const struct sim_device *dev, uint32_t block)
{
	return vfmi_min_u64(SIM_BLOCK, dev->state_bytes - (uint64_t)block * SIM_BLOCK);
}

static uint64_t *bitmap(const struct vfm_sim *sim, const struct sim_device *dev)
{
	return (uint64_t *)(void *)((char *)sim->machine + dev->bitmap_at);
}

static uint32_t words(const struct sim_device *dev)
{
	return (vfmi_sim_blocks(dev) + 63) / 64;
}

void vfmi_sim_dirty_clear(struct vfm_sim *sim, struct sim_device *dev)
{
	memset(bitmap(sim, dev), 0, words(dev) * sizeof(uint64_t));
	dev->session.dirty_count = 0;
	dev->session.dirty_first = vfmi_sim_blocks(dev);
}

void vfmi_sim_dirty_mark(struct vfm_sim *sim, struct sim_device *dev, uint32_t first, uint32_t end)
{
	uint64_t *map = bitmap(sim, dev);
	uint32_t block;

	for (block = first; block < end; block++) {
		uint64_t bit = 1ull << (block % 64);

		dev->session.dirty_count += !(map[block / 64] & bit);
		map[block / 64] |= bit;
	}
	if (first < end && first < dev->session.dirty_first)
		dev->session.dirty_first = first;
}

bool vfmi_sim_dirty_take(struct vfm_sim *sim, struct sim_device *dev, uint32_t *ret_block)
{
	uint64_t *map = bitmap(sim, dev);
	uint32_t word = dev->session.dirty_first / 64;

	if (!dev->session.dirty_count)
		return false;
	while (word < words(dev) && !map[word])
		word++;
	if (word == words(dev))
		return false;
	*ret_block = word * 64 + (uint32_t)__builtin_ctzll(map[word]);
	map[word] &= map[word] - 1;
	dev->session.dirty_count--;
	dev->session.dirty_first = *ret_block + 1;
	return true;
}

bool vfmi_sim_dirty_last(struct vfm_sim *sim, const struct sim_device *dev)
{
	uint32_t block = vfmi_sim_blocks(dev) - 1;

	return bitmap(sim, dev)[block / 64] >> (block % 64) & 1;
}

void vfmi_sim_dirty_recount(struct vfm_sim *sim, struct sim_device *dev)
{
	const uint64_t *map = bitmap(sim, dev);
	uint32_t word;

	dev->session.dirty_count = 0;
	dev->session.dirty_first = 0;
	for (word = 0; word < words(dev); word++)
		dev->session.dirty_count += (uint32_t)__builtin_popcountll(map[word]);
}
