// SPDX-License-Identifier: GPL-2.0-only
/* The two kinds of data file. The stream is described in vfiomig_edu.h. */

#include <linux/anon_inodes.h>
#include <linux/bitmap.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "edu.h"

enum edu_stage {
	/* saving: what comes after the blocks */
	EDU_SAVE_REGISTERS,
	EDU_SAVE_END,
	EDU_SAVE_DONE,
	/* loading: what the next byte belongs to */
	EDU_LOAD_HEADER,
	EDU_LOAD_RECORD,
	EDU_LOAD_DATA,
	EDU_LOAD_REGISTERS,
	EDU_LOAD_DONE,
};

/*
 * One data file. It lives as long as the file, the device's memory with it, but is of no more use
 * once dead: then the device has gone on without it.
 */
struct edu_session {
	struct file *filp;
	struct edu_device *edev;
	bool dead;
	enum edu_stage stage;
	u64 records;
	struct vfiomig_edu_header header;
	struct vfiomig_edu_record record;
	struct vfiomig_edu_registers registers;

	/* Saving: the piece being read, the first block never sent, those to be sent again. */
	u8 *piece;
	size_t piece_bytes;
	size_t piece_pos;
	bool piece_initial;
	unsigned int cursor;
	unsigned long *dirty;
	bool final;

	/* Loading: where the next byte goes and how many are missing there. */
	u8 *target;
	size_t missing;
	bool registers_loaded;
	int error;
};

/* Blocks of the contents, sent as one DATA record each. */

static size_t edu_block_bytes(const struct edu_device *edev, unsigned int block)
{
	size_t offset = (size_t)block * VFIOMIG_EDU_BLOCK;

	return min_t(size_t, VFIOMIG_EDU_BLOCK, edev->contents_bytes - offset);
}

/* Bytes on the stream of all blocks from @block to the last. */
static u64 edu_blocks_from(const struct edu_device *edev, unsigned int block)
{
	if (block >= edev->blocks)
		return 0;
	return edev->contents_bytes - (u64)block * VFIOMIG_EDU_BLOCK +
	       (u64)(edev->blocks - block) * sizeof(struct vfiomig_edu_record);
}

void edu_session_written(struct edu_device *edev, size_t offset, size_t length)
{
	struct edu_session *s = edev->session;
	unsigned int first = offset / VFIOMIG_EDU_BLOCK;
	unsigned int end = DIV_ROUND_UP(offset + length, VFIOMIG_EDU_BLOCK);

	/* What has not been sent for the first time will go with what is in it then. */
	if (!s || !s->dirty)
		return;
	end = min(end, s->cursor);
	if (first < end)
		bitmap_set(s->dirty, first, end - first);
}

unsigned int edu_session_dirty_blocks(struct edu_device *edev)
{
	struct edu_session *s = edev->session;

	return s && s->dirty ? bitmap_weight(s->dirty, edev->blocks) : 0;
}

/* Saving */

static u64 edu_initial_bytes(const struct edu_session *s)
{
	u64 bytes = edu_blocks_from(s->edev, s->cursor);

	if (s->piece_initial)
		bytes += s->piece_bytes - s->piece_pos;
	return bytes;
}

static u64 edu_dirty_bytes(const struct edu_session *s)
{
	u64 bytes = s->piece_initial ? 0 : s->piece_bytes - s->piece_pos;
	unsigned int block;

	for_each_set_bit(block, s->dirty, s->edev->blocks)
		bytes += sizeof(s->record) + edu_block_bytes(s->edev, block);
	return bytes;
}

/* Of REGISTERS and END. */
static u64 edu_tail_bytes(const struct edu_session *s)
{
	const u64 end = sizeof(struct vfiomig_edu_record);

	if (s && s->stage == EDU_SAVE_DONE)
		return 0;
	if (s && s->stage == EDU_SAVE_END)
		return end;
	return end + sizeof(struct vfiomig_edu_record) + sizeof(struct vfiomig_edu_registers);
}

/* What a save has still to give until its end, estimated before there is one. */
u64 edu_session_bytes(struct edu_device *edev)
{
	struct edu_session *s = edev->session;

	if (s && s->dirty)
		return edu_initial_bytes(s) + edu_dirty_bytes(s) + edu_tail_bytes(s);
	return sizeof(s->header) + edu_blocks_from(edev, 0) + edu_tail_bytes(NULL);
}

static void edu_save_piece(struct edu_session *s, u32 type, u64 offset, const void *data,
			   u32 length)
{
	struct vfiomig_edu_record head = {
		.offset = cpu_to_le64(offset),
		.length = cpu_to_le32(length),
		.type = cpu_to_le32(type),
	};

	memcpy(s->piece, &head, sizeof(head));
	if (length)
		memcpy(s->piece + sizeof(head), data, length);
	s->piece_bytes = sizeof(head) + length;
	s->piece_pos = 0;
	s->records++;
}

static void edu_save_block(struct edu_session *s, unsigned int block)
{
	u64 offset = (u64)block * VFIOMIG_EDU_BLOCK;

	edu_save_piece(s, VFIOMIG_EDU_DATA, offset, s->edev->contents + offset,
		       edu_block_bytes(s->edev, block));
}

/* Put the next piece up for reading; false if there is none now. */
static bool edu_save_next(struct edu_session *s)
{
	unsigned int blocks = s->edev->blocks;
	unsigned int block;

	if (s->cursor < blocks) {
		s->piece_initial = true;
		edu_save_block(s, s->cursor++);
		return true;
	}
	s->piece_initial = false;
	block = find_first_bit(s->dirty, blocks);
	if (block < blocks) {
		__clear_bit(block, s->dirty);
		edu_save_block(s, block);
		return true;
	}
	if (!s->final || s->stage == EDU_SAVE_DONE)
		return false;
	if (s->stage == EDU_SAVE_REGISTERS) {
		edu_save_piece(s, VFIOMIG_EDU_REGISTERS, 0, &s->registers, sizeof(s->registers));
		s->stage = EDU_SAVE_END;
	} else {
		edu_save_piece(s, VFIOMIG_EDU_END, s->records, NULL, 0);
		s->stage = EDU_SAVE_DONE;
	}
	return true;
}

static ssize_t edu_save_some(struct edu_session *s, char __user *buf, size_t len)
{
	size_t done = 0;
	size_t n;

	while (done < len && !(done && signal_pending(current))) {
		if (s->piece_pos == s->piece_bytes && !edu_save_next(s))
			break;
		n = min(len - done, s->piece_bytes - s->piece_pos);
		if (copy_to_user(buf + done, s->piece + s->piece_pos, n))
			return done ? done : -EFAULT;
		s->piece_pos += n;
		done += n;
	}
	if (!done && len && !s->final && !edu_precopy_eof())
		return -ENOMSG;
	return done;
}

static ssize_t edu_save_read(struct file *filp, char __user *buf, size_t len, loff_t *pos)
{
	struct edu_session *s = filp->private_data;
	ssize_t ret;

	if (pos)
		return -ESPIPE;
	if (edu_lock_interruptible(s->edev))
		return -ERESTARTSYS;
	ret = s->dead ? -ENODEV : edu_save_some(s, buf, edu_chunk(len));
	edu_unlock(s->edev);
	return ret;
}

/* Who asked for version 2 gets flags, and may be told that all initial data comes once more. */
static void edu_save_flags(struct edu_session *s, struct vfio_precopy_info *info)
{
#ifdef VFIO_PRECOPY_INFO_REINIT
	if (!s->edev->core.vdev.precopy_info_v2)
		return;
	info->flags = 0;
	if (!edu_reinit_now())
		return;
	info->flags = VFIO_PRECOPY_INFO_REINIT;
	s->cursor = 0;
	s->piece_initial = true;
	bitmap_zero(s->dirty, s->edev->blocks);
#endif
}

static long edu_save_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	const unsigned long minsz = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct edu_session *s = filp->private_data;
	struct vfio_precopy_info info;
	int ret = 0;

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	if (copy_from_user(&info, (void __user *)arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;

	edu_lock(s->edev);
	if (s->dead) {
		ret = -ENODEV;
	} else if (s->edev->state != VFIO_DEVICE_STATE_PRE_COPY &&
		   s->edev->state != VFIO_DEVICE_STATE_PRE_COPY_P2P) {
		ret = -EINVAL;
	} else {
		edu_save_flags(s, &info);
		info.initial_bytes = edu_initial_bytes(s);
		info.dirty_bytes = edu_dirty_bytes(s);
	}
	edu_unlock(s->edev);
	if (ret)
		return ret;
	return copy_to_user((void __user *)arg, &info, minsz) ? -EFAULT : 0;
}

/* Loading */

static void edu_load_want(struct edu_session *s, enum edu_stage stage, void *target, size_t bytes)
{
	s->stage = stage;
	s->target = target;
	s->missing = bytes;
}

static void edu_load_want_record(struct edu_session *s)
{
	edu_load_want(s, EDU_LOAD_RECORD, &s->record, sizeof(s->record));
}

static struct vfiomig_edu_header edu_own_header(const struct edu_device *edev)
{
	return (struct vfiomig_edu_header){
		.magic = cpu_to_le64(VFIOMIG_EDU_MAGIC),
		.version = cpu_to_le32(VFIOMIG_EDU_VERSION),
		.header_bytes = cpu_to_le32(sizeof(struct vfiomig_edu_header)),
		.vendor_id = cpu_to_le16(edev->core.pdev->vendor),
		.device_id = cpu_to_le16(edev->core.pdev->device),
		.registers_bytes = cpu_to_le32(sizeof(struct vfiomig_edu_registers)),
		.contents_bytes = cpu_to_le64(edev->contents_bytes),
	};
}

static int edu_load_header(struct edu_session *s)
{
	struct vfiomig_edu_header own = edu_own_header(s->edev);

	if (memcmp(&s->header, &own, sizeof(own)))
		return -EINVAL;
	edu_load_want_record(s);
	return 0;
}

static int edu_load_data(struct edu_session *s, u64 offset, u32 length)
{
	size_t size = s->edev->contents_bytes;

	if (!length || s->registers_loaded)
		return -EINVAL;
	if (offset > size || length > size - offset)
		return -ENOMEM;
	edu_load_want(s, EDU_LOAD_DATA, s->edev->contents + offset, length);
	return 0;
}

static int edu_load_record(struct edu_session *s)
{
	u64 offset = le64_to_cpu(s->record.offset);
	u32 length = le32_to_cpu(s->record.length);

	switch (le32_to_cpu(s->record.type)) {
	case VFIOMIG_EDU_DATA:
		s->records++;
		return edu_load_data(s, offset, length);
	case VFIOMIG_EDU_REGISTERS:
		s->records++;
		if (offset || length != sizeof(s->registers) || s->registers_loaded)
			return -EINVAL;
		edu_load_want(s, EDU_LOAD_REGISTERS, &s->registers, length);
		return 0;
	case VFIOMIG_EDU_END:
		if (offset != s->records || length || !s->registers_loaded)
			return -EINVAL;
		edu_load_want(s, EDU_LOAD_DONE, NULL, 0);
		return 0;
	default:
		return -EINVAL;
	}
}

/* A part is complete: judge it and know what comes next. */
static int edu_load_next(struct edu_session *s)
{
	switch (s->stage) {
	case EDU_LOAD_HEADER:
		return edu_load_header(s);
	case EDU_LOAD_RECORD:
		return edu_load_record(s);
	case EDU_LOAD_REGISTERS:
		if (!edu_hw_can_load(&s->registers))
			return -EINVAL;
		s->registers_loaded = true;
		fallthrough;
	default:
		edu_load_want_record(s);
		return 0;
	}
}

/* An error sticks: nobody knows how much of that write was taken. */
static ssize_t edu_load_some(struct edu_session *s, const char __user *buf, size_t len)
{
	size_t done = 0;
	size_t n;

	while (done < len && !s->error && !(done && signal_pending(current))) {
		if (s->stage == EDU_LOAD_DONE) {
			s->error = -ENOMEM;
			break;
		}
		n = min(len - done, s->missing);
		if (copy_from_user(s->target, buf + done, n)) {
			s->error = -EFAULT;
			break;
		}
		s->target += n;
		s->missing -= n;
		done += n;
		if (!s->missing)
			s->error = edu_load_next(s);
	}
	return s->error ? s->error : done;
}

static ssize_t edu_load_write(struct file *filp, const char __user *buf, size_t len, loff_t *pos)
{
	struct edu_session *s = filp->private_data;
	ssize_t ret;

	if (pos)
		return -ESPIPE;
	if (edu_lock_interruptible(s->edev))
		return -ERESTARTSYS;
	ret = s->dead ? -ENODEV : edu_load_some(s, buf, edu_chunk(len));
	edu_unlock(s->edev);
	return ret;
}

/* Sessions */

static void edu_session_free(struct edu_session *s)
{
	struct edu_device *edev = s->edev;

	bitmap_free(s->dirty);
	kvfree(s->piece);
	kfree(s);
	put_device(&edev->core.vdev.device);
}

static int edu_release(struct inode *inode, struct file *filp)
{
	edu_session_free(filp->private_data);
	return 0;
}

static const struct file_operations edu_save_fops = {
	.owner = THIS_MODULE,
	.read = edu_save_read,
	.unlocked_ioctl = edu_save_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = edu_release,
};

static const struct file_operations edu_load_fops = {
	.owner = THIS_MODULE,
	.write = edu_load_write,
	.release = edu_release,
};

static int edu_session_prepare(struct edu_session *s, bool saving)
{
	struct edu_device *edev = s->edev;

	if (!saving) {
		memset(edev->contents, 0, edev->contents_bytes);
		edu_load_want(s, EDU_LOAD_HEADER, &s->header, sizeof(s->header));
		return 0;
	}
	s->dirty = bitmap_zalloc(edev->blocks, GFP_KERNEL_ACCOUNT);
	s->piece = kvmalloc(sizeof(s->record) + VFIOMIG_EDU_BLOCK, GFP_KERNEL_ACCOUNT);
	if (!s->dirty || !s->piece)
		return -ENOMEM;
	s->stage = EDU_SAVE_REGISTERS;
	s->header = edu_own_header(edev);
	memcpy(s->piece, &s->header, sizeof(s->header));
	s->piece_bytes = sizeof(s->header);
	s->piece_initial = true;
	return 0;
}

/* The returned file carries a reference for the user, the device keeps another. */
struct file *edu_session_open(struct edu_device *edev, bool saving)
{
	struct edu_session *s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!s)
		return ERR_PTR(-ENOMEM);
	s->edev = edev;
	get_device(&edev->core.vdev.device);
	ret = edu_session_prepare(s, saving);
	if (ret)
		goto err_free;
	s->filp = anon_inode_getfile("[vfiomig_edu]", saving ? &edu_save_fops : &edu_load_fops, s,
				     saving ? O_RDONLY : O_WRONLY);
	if (IS_ERR(s->filp)) {
		ret = PTR_ERR(s->filp);
		goto err_free;
	}
	stream_open(s->filp->f_inode, s->filp);
	edev->session = s;
	return get_file(s->filp);

err_free:
	edu_session_free(s);
	return ERR_PTR(ret);
}

void edu_session_close(struct edu_device *edev)
{
	struct edu_session *s = edev->session;

	if (!s)
		return;
	edev->session = NULL;
	s->dead = true;
	fput(s->filp);
}

/* The device has stopped: what is left to send is known. */
int edu_session_finish_save(struct edu_device *edev)
{
	struct edu_session *s = edev->session;
	int ret = edu_hw_begin(edev);

	if (ret)
		return ret;
	ret = edu_hw_quiesce(edev);
	if (!ret) {
		edu_hw_save(edev, &s->registers);
		s->final = true;
	}
	edu_hw_end(edev);
	return ret;
}

/* The verdict on what was written: all of it, and good. The device takes it over. */
int edu_session_finish_load(struct edu_device *edev)
{
	struct edu_session *s = edev->session;
	int ret;

	if (s->error || s->stage != EDU_LOAD_DONE)
		return -EINVAL;
	ret = edu_hw_begin(edev);
	if (ret)
		return ret;
	ret = edu_hw_load(edev, &s->registers);
	edu_hw_end(edev);
	if (!ret)
		edu_session_close(edev);
	return ret;
}
