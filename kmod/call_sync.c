// SPDX-License-Identifier: GPL-2.0
/*
 * Bringing what was written to the disk.
 */
#include <linux/fs.h>
#include <linux/errseq.h>	/* needs the types of the above */
#include <linux/pagemap.h>
#include <linux/writeback.h>

#include "call_file.h"

static int fsync_file(struct flexsc_frame *frame, struct file *file)
{
	return flexsc_done(frame, vfs_fsync(file, 0));
}

static int fdatasync_file(struct flexsc_frame *frame, struct file *file)
{
	return flexsc_done(frame, vfs_fsync(file, 1));
}

/* sync_file_range(), which is not exported. */
static int sync_range(struct file *file, loff_t offset, loff_t nbytes, unsigned int flags)
{
	struct address_space *mapping = file->f_mapping;
	umode_t mode = file_inode(file)->i_mode;
	loff_t end = offset + nbytes;	/* inclusive from below on */
	int rc = 0;

	if (flags & ~(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
		      SYNC_FILE_RANGE_WAIT_AFTER))
		return -EINVAL;
	if (offset < 0 || end < 0 || end < offset)
		return -EINVAL;
	end = nbytes ? end - 1 : LLONG_MAX;
	if (!S_ISREG(mode) && !S_ISBLK(mode) && !S_ISDIR(mode))
		return -ESPIPE;

	if (flags & SYNC_FILE_RANGE_WAIT_BEFORE)
		rc = file_fdatawait_range(file, offset, end);
	if (rc >= 0 && (flags & SYNC_FILE_RANGE_WRITE)) {
		if ((flags & SYNC_FILE_RANGE_WRITE_AND_WAIT) == SYNC_FILE_RANGE_WRITE_AND_WAIT)
			rc = filemap_fdatawrite_range(mapping, offset, end);
		else
			rc = filemap_flush_range(mapping, offset, end);
	}
	if (rc >= 0 && (flags & SYNC_FILE_RANGE_WAIT_AFTER))
		rc = file_fdatawait_range(file, offset, end);
	return rc;
}

static int sync_range_file(struct flexsc_frame *frame, struct file *file)
{
	return flexsc_done(frame, sync_range(file, frame->args[1], frame->args[2],
					     frame->args[3]));
}

static int syncfs_file(struct flexsc_frame *frame, struct file *file)
{
	struct super_block *sb = file->f_path.dentry->d_sb;
	int rc, earlier;

	down_read(&sb->s_umount);
	rc = sync_filesystem(sb);
	up_read(&sb->s_umount);
	/* Reported once, so it is taken also when something else is wrong. */
	earlier = errseq_check_and_advance(&sb->s_wb_err, &file->f_sb_err);
	return flexsc_done(frame, rc ?: earlier);
}

int flexsc_call_fsync(struct flexsc_frame *frame)
{
	return flexsc_on_file(frame, FMODE_PATH, fsync_file);
}

int flexsc_call_fdatasync(struct flexsc_frame *frame)
{
	return flexsc_on_file(frame, FMODE_PATH, fdatasync_file);
}

int flexsc_call_sync_file_range(struct flexsc_frame *frame)
{
	return flexsc_on_file(frame, FMODE_PATH, sync_range_file);
}

int flexsc_call_syncfs(struct flexsc_frame *frame)
{
	return flexsc_on_file(frame, FMODE_PATH, syncfs_file);
}
