// SPDX-License-Identifier: GPL-2.0-only
/* The two kinds of data file. The stream is described in vfiomig_soft.h. */

#include <linux/anon_inodes.h>
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "soft.h"

#define HEAD sizeof(struct vfiomig_soft_record)

/*
 * One data file. It lives as long as the file, the device's memory with it, but is of no more use
 * once dead: then the device has gone on without it.
 */
struct soft_session {
	struct file *filp;
	struct soft_device *sdev;
	bool dead;
	u8 *piece;    /* one record, with its bytes */
	size_t bytes; /* of it; when loading, as far as known */
	size_t pos;
	u64 records;
	struct soft_regs regs;
	bool ended; /* END is in the piece, or loaded */

	/* Saving */
	u64 moved;
	bool initial; /* the piece is sent for the first time */
	bool regs_sent;
	bool final;
	unsigned int cursor;  /* first block never sent */
	unsigned long *dirty; /* blocks to be sent again */

	/* Loading */
	bool regs_loaded;
	int error;
};

/* As the registers are all of one kind. */
static void soft_regs_to_le(struct vfiomig_soft_registers *to, const struct soft_regs *from)
{
	BUILD_BUG_ON(sizeof(*to) != sizeof(*from));
	for (size_t i = 0; i < sizeof(*from) / sizeof(u64); i++)
		((__le64 *)to)[i] = cpu_to_le64(((const u64 *)from)[i]);
}

static void soft_regs_from_le(struct soft_regs *to, const struct vfiomig_soft_registers *from)
{
	for (size_t i = 0; i < sizeof(*to) / sizeof(u64); i++)
		((u64 *)to)[i] = le64_to_cpu(((const __le64 *)from)[i]);
}

static size_t soft_block_bytes(const struct soft_device *sdev, unsigned int block)
{
	return min_t(size_t, VFIOMIG_SOFT_BLOCK,
		     sdev->contents_bytes - (size_t)block * VFIOMIG_SOFT_BLOCK);
}

/* Bytes on the stream of all blocks from @block to the last. */
static u64 soft_blocks_from(const struct soft_device *sdev, unsigned int block)
{
	if (block >= sdev->blocks)
		return 0;
	return sdev->contents_bytes - (u64)block * VFIOMIG_SOFT_BLOCK +
	       (u64)(sdev->blocks - block) * HEAD;
}

void soft_session_written(struct soft_device *sdev, size_t offset, size_t length)
{
	struct soft_session *s = sdev->session;
	unsigned int first = offset / VFIOMIG_SOFT_BLOCK;
	unsigned int end = DIV_ROUND_UP(offset + length, VFIOMIG_SOFT_BLOCK);

	/* What has not been sent for the first time will go with what is in it then. */
	if (!s || !s->dirty)
		return;
	end = min(end, s->cursor);
	if (first < end)
		bitmap_set(s->dirty, first, end - first);
}

unsigned int soft_session_dirty_blocks(struct soft_device *sdev)
{
	struct soft_session *s = sdev->session;

	return s && s->dirty ? bitmap_weight(s->dirty, sdev->blocks) : 0;
}

/* Saving */

static u64 soft_initial_bytes(const struct soft_session *s)
{
	return soft_blocks_from(s->sdev, s->cursor) + (s->initial ? s->bytes - s->pos : 0);
}

static u64 soft_dirty_bytes(const struct soft_session *s)
{
	u64 bytes = s->initial ? 0 : s->bytes - s->pos;
	unsigned int block;

	for_each_set_bit(block, s->dirty, s->sdev->blocks)
		bytes += HEAD + soft_block_bytes(s->sdev, block);
	return bytes;
}

static u64 soft_tail_bytes(const struct soft_session *s)
{
	u64 bytes = s && s->ended ? 0 : HEAD;

	return s && s->regs_sent ? bytes : bytes + HEAD + sizeof(struct vfiomig_soft_registers);
}

/* What a save has still to give until its end, estimated before there is one. */
u64 soft_session_bytes(struct soft_device *sdev)
{
	struct soft_session *s = sdev->session;

	if (s && s->dirty)
		return soft_initial_bytes(s) + soft_dirty_bytes(s) + soft_tail_bytes(s);
	return HEAD + sizeof(__le64) + soft_blocks_from(sdev, 0) + soft_tail_bytes(NULL);
}

static void soft_put(struct soft_session *s, u32 type, u64 at, const void *data, u32 length)
{
	struct vfiomig_soft_record head = {
		.at = cpu_to_le64(at),
		.length = cpu_to_le32(length),
		.type = cpu_to_le32(type),
	};

	memcpy(s->piece, &head, HEAD);
	if (length)
		memcpy(s->piece + HEAD, data, length);
	s->bytes = HEAD + length;
	s->pos = 0;
	s->records++;
}

static void soft_put_block(struct soft_session *s, unsigned int block)
{
	size_t at = (size_t)block * VFIOMIG_SOFT_BLOCK;

	soft_put(s, VFIOMIG_SOFT_REC_DATA, at, s->sdev->contents + at,
		 soft_block_bytes(s->sdev, block));
}

static void soft_put_tail(struct soft_session *s)
{
	struct vfiomig_soft_registers regs;

	if (s->regs_sent) {
		soft_put(s, VFIOMIG_SOFT_REC_END, s->records, NULL, 0);
		s->ended = true;
		return;
	}
	soft_regs_to_le(&regs, &s->regs);
	soft_put(s, VFIOMIG_SOFT_REC_REGISTERS, 0, &regs, sizeof(regs));
	s->regs_sent = true;
}

/* Put the next record up for reading; false if there is none now. */
static bool soft_save_next(struct soft_session *s)
{
	unsigned int block;

	s->initial = s->cursor < s->sdev->blocks;
	if (s->initial) {
		soft_put_block(s, s->cursor++);
		return true;
	}
	block = find_first_bit(s->dirty, s->sdev->blocks);
	if (block < s->sdev->blocks) {
		__clear_bit(block, s->dirty);
		soft_put_block(s, block);
		return true;
	}
	if (!s->final || s->ended)
		return false;
	soft_put_tail(s);
	return true;
}

static ssize_t soft_save_end(struct soft_session *s)
{
	if (s->final)
		return knob(s->sdev, end_enomsg) ? -ENOMSG : 0;
	return knob(s->sdev, precopy_eof) ? 0 : -ENOMSG;
}

static int soft_save_part(struct soft_session *s, char __user *buf, size_t n)
{
	u64 wrong = knob(s->sdev, corrupt);

	if (wrong > s->moved && wrong - s->moved <= n)
		s->piece[s->pos + wrong - s->moved - 1] ^= 0xff;
	if (copy_to_user(buf, s->piece + s->pos, n))
		return -EFAULT;
	s->pos += n;
	s->moved += n;
	return 0;
}

static ssize_t soft_save_some(struct soft_session *s, char __user *buf, size_t len)
{
	u64 most = knob(s->sdev, truncate);
	size_t done = 0;
	size_t n;

	if (most)
		len = min_t(u64, len, most > s->moved ? most - s->moved : 0);
	while (done < len && !(done && signal_pending(current))) {
		if (s->pos == s->bytes && !soft_save_next(s))
			break;
		n = min(len - done, s->bytes - s->pos);
		if (soft_save_part(s, buf + done, n))
			return done ? done : -EFAULT;
		done += n;
	}
	return done ? done : soft_save_end(s);
}

static int soft_wait(struct soft_session *s)
{
	u64 ms = knob(s->sdev, io_ms);

	return ms && msleep_interruptible(min(ms, 10000ull)) ? -ERESTARTSYS : 0;
}

static size_t soft_chunk(struct soft_session *s, size_t len)
{
	u64 most = knob(s->sdev, chunk);

	return most ? min_t(u64, len, most) : len;
}

static ssize_t soft_save_read(struct file *filp, char __user *buf, size_t len, loff_t *pos)
{
	struct soft_session *s = filp->private_data;
	ssize_t ret;

	if (pos)
		return -ESPIPE;
	if (soft_wait(s) || mutex_lock_interruptible(&s->sdev->lock))
		return -ERESTARTSYS;
	if (s->dead)
		ret = -ENODEV;
	else if (hit(s->sdev, read_fail))
		ret = error(s->sdev, read_errno);
	else
		ret = len ? soft_save_some(s, buf, soft_chunk(s, len)) : 0;
	mutex_unlock(&s->sdev->lock);
	return ret;
}

static int soft_save_info(struct soft_session *s, struct vfio_precopy_info *info)
{
	struct soft_device *sdev = s->sdev;

	if (s->dead)
		return -ENODEV;
	if (sdev->state != VFIO_DEVICE_STATE_PRE_COPY &&
	    sdev->state != VFIO_DEVICE_STATE_PRE_COPY_P2P)
		return -EINVAL;
	if (hit(sdev, info_fail))
		return error(sdev, read_errno);
#ifdef VFIO_PRECOPY_INFO_REINIT
	if (sdev->vdev.precopy_info_v2)
		info->flags = 0;
#endif
	info->initial_bytes = knob(sdev, info_initial) ?: soft_initial_bytes(s);
	info->dirty_bytes = knob(sdev, info_dirty) ?: soft_dirty_bytes(s);
	return 0;
}

static long soft_save_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	const unsigned long minsz = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct soft_session *s = filp->private_data;
	struct vfio_precopy_info info;
	int ret;

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	if (copy_from_user(&info, (void __user *)arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	mutex_lock(&s->sdev->lock);
	ret = soft_save_info(s, &info);
	mutex_unlock(&s->sdev->lock);
	if (ret)
		return ret;
	return copy_to_user((void __user *)arg, &info, minsz) ? -EFAULT : 0;
}

/* Loading */

static int soft_take_header(struct soft_session *s, u64 at, u32 length)
{
	const __le64 magic = cpu_to_le64(VFIOMIG_SOFT_MAGIC);

	if (s->records || length != sizeof(magic) || memcmp(s->piece + HEAD, &magic, sizeof(magic)))
		return -EINVAL;
	return at == s->sdev->contents_bytes ? 0 : -EINVAL;
}

static int soft_take_data(struct soft_session *s, u64 at, u32 length)
{
	size_t size = s->sdev->contents_bytes;

	if (s->regs_loaded || at > size || length > size - at)
		return -EINVAL;
	memcpy(s->sdev->contents + at, s->piece + HEAD, length);
	return 0;
}

static int soft_take_registers(struct soft_session *s, u32 length)
{
	if (s->regs_loaded || length != sizeof(struct vfiomig_soft_registers))
		return -EINVAL;
	soft_regs_from_le(&s->regs, (struct vfiomig_soft_registers *)(s->piece + HEAD));
	if (!soft_regs_valid(s->sdev, &s->regs))
		return -EINVAL;
	s->regs_loaded = true;
	return 0;
}

static int soft_take(struct soft_session *s, const struct vfiomig_soft_record *head)
{
	u32 length = le32_to_cpu(head->length);
	u32 type = le32_to_cpu(head->type);
	u64 at = le64_to_cpu(head->at);

	if (!s->records && type != VFIOMIG_SOFT_REC_HEADER)
		return -EINVAL;
	switch (type) {
	case VFIOMIG_SOFT_REC_HEADER:
		return soft_take_header(s, at, length);
	case VFIOMIG_SOFT_REC_DATA:
		return soft_take_data(s, at, length);
	case VFIOMIG_SOFT_REC_REGISTERS:
		return soft_take_registers(s, length);
	case VFIOMIG_SOFT_REC_END:
		if (at != s->records || length || !s->regs_loaded)
			return -EINVAL;
		s->ended = true;
		return 0;
	default:
		return -EINVAL;
	}
}

/* All that is known to belong to the record has arrived. */
static int soft_load_next(struct soft_session *s)
{
	struct vfiomig_soft_record head;
	u32 length;
	int ret;

	memcpy(&head, s->piece, HEAD);
	length = le32_to_cpu(head.length);
	if (s->bytes == HEAD && length) {
		if (length > VFIOMIG_SOFT_BLOCK)
			return -ENOMEM;
		s->bytes += length;
		return 0;
	}
	ret = soft_take(s, &head);
	s->records++;
	s->bytes = HEAD;
	s->pos = 0;
	return ret;
}

/* An error sticks: nobody knows how much of that write was taken. */
static ssize_t soft_load_some(struct soft_session *s, const char __user *buf, size_t len)
{
	size_t done = 0;
	size_t n;

	while (done < len && !s->error && !(done && signal_pending(current))) {
		if (s->ended) {
			s->error = -ENOMEM;
			break;
		}
		n = min(len - done, s->bytes - s->pos);
		if (copy_from_user(s->piece + s->pos, buf + done, n)) {
			s->error = -EFAULT;
			break;
		}
		s->pos += n;
		done += n;
		if (s->pos == s->bytes)
			s->error = soft_load_next(s);
	}
	return s->error ? s->error : done;
}

static ssize_t soft_load_write(struct file *filp, const char __user *buf, size_t len, loff_t *pos)
{
	struct soft_session *s = filp->private_data;
	ssize_t ret;

	if (pos)
		return -ESPIPE;
	if (soft_wait(s) || mutex_lock_interruptible(&s->sdev->lock))
		return -ERESTARTSYS;
	if (s->dead)
		ret = -ENODEV;
	else if (hit(s->sdev, write_fail))
		ret = error(s->sdev, write_errno);
	else
		ret = soft_load_some(s, buf, soft_chunk(s, len));
	mutex_unlock(&s->sdev->lock);
	return ret;
}

/* Sessions */

static void soft_session_free(struct soft_session *s)
{
	struct soft_device *sdev = s->sdev;

	bitmap_free(s->dirty);
	kvfree(s->piece);
	kfree(s);
	put_device(&sdev->vdev.device);
}

static int soft_release(struct inode *inode, struct file *filp)
{
	soft_session_free(filp->private_data);
	return 0;
}

static const struct file_operations soft_save_fops = {
	.owner = THIS_MODULE,
	.read = soft_save_read,
	.unlocked_ioctl = soft_save_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = soft_release,
};

static const struct file_operations soft_load_fops = {
	.owner = THIS_MODULE,
	.write = soft_load_write,
	.release = soft_release,
};

static int soft_session_prepare(struct soft_session *s, bool saving)
{
	const __le64 magic = cpu_to_le64(VFIOMIG_SOFT_MAGIC);
	struct soft_device *sdev = s->sdev;

	s->piece = kvmalloc(HEAD + VFIOMIG_SOFT_BLOCK, GFP_KERNEL_ACCOUNT);
	if (!s->piece)
		return -ENOMEM;
	if (!saving) {
		memset(sdev->contents, 0, sdev->contents_bytes);
		s->bytes = HEAD;
		return 0;
	}
	s->dirty = bitmap_zalloc(sdev->blocks, GFP_KERNEL_ACCOUNT);
	if (!s->dirty)
		return -ENOMEM;
	soft_put(s, VFIOMIG_SOFT_REC_HEADER, sdev->contents_bytes, &magic, sizeof(magic));
	s->initial = true;
	return 0;
}

/* The returned file carries a reference for the user, the device keeps another. */
struct file *soft_session_open(struct soft_device *sdev, bool saving)
{
	struct soft_session *s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!s)
		return ERR_PTR(-ENOMEM);
	s->sdev = sdev;
	get_device(&sdev->vdev.device);
	ret = soft_session_prepare(s, saving);
	if (ret)
		goto err_free;
	s->filp = anon_inode_getfile("[vfiomig_soft]", saving ? &soft_save_fops : &soft_load_fops,
				     s, saving ? O_RDONLY : O_WRONLY);
	if (IS_ERR(s->filp)) {
		ret = PTR_ERR(s->filp);
		goto err_free;
	}
	stream_open(s->filp->f_inode, s->filp);
	sdev->session = s;
	return get_file(s->filp);

err_free:
	soft_session_free(s);
	return ERR_PTR(ret);
}

void soft_session_close(struct soft_device *sdev)
{
	struct soft_session *s = sdev->session;

	if (!s)
		return;
	sdev->session = NULL;
	s->dead = true;
	fput(s->filp);
}

/* The device has stopped: what is left to send is known. */
void soft_session_finish_save(struct soft_device *sdev)
{
	sdev->session->regs = sdev->regs;
	sdev->session->final = true;
}

/* The verdict on what was written: all of it, and good. The device takes it over. */
int soft_session_finish_load(struct soft_device *sdev)
{
	struct soft_session *s = sdev->session;

	if ((s->error || !s->ended) && !knob(sdev, lenient))
		return -EINVAL;
	if (s->regs_loaded)
		sdev->regs = s->regs;
	soft_session_close(sdev);
	return 0;
}
