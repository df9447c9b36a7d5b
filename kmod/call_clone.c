// SPDX-License-Identifier: GPL-2.0
/*
 * Files that share their blocks: three requests of ioctl. All others are handed back.
 * In T and C.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/overflow.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "call_file.h"

/* ioctl_file_clone() */
static int clone_range(struct flexsc_frame *frame, struct file *dst,
		       const struct file_clone_range *range)
{
	struct file *src;
	loff_t cloned;
	int rc;

	rc = flexsc_file_get(frame, range->src_fd, FMODE_PATH, &src);
	if (rc)
		return flexsc_stop(frame, rc);
	cloned = vfs_clone_file_range(src, range->src_offset, dst, range->dest_offset,
				      range->src_length, 0);
	flexsc_file_put(src);
	if (cloned < 0)
		return flexsc_done(frame, cloned);
	/* A part is no success. */
	return flexsc_done(frame, range->src_length && cloned != range->src_length ? -EINVAL : 0);
}

/*
 * ioctl_file_dedupe_range(): the destinations are looked up in current->files.
 *
 * Return: 0, -errno or a verdict.
 */
static int dedupe_range(struct file *file, struct file_dedupe_range __user *urange)
{
	struct file_dedupe_range *range;
	size_t size;
	u16 count;
	int i, rc;

	if (get_user(count, &urange->dest_count))
		return -EFAULT;
	size = struct_size(range, info, count);
	if (size > PAGE_SIZE)
		return -ENOMEM;
	range = memdup_user(urange, size);
	if (IS_ERR(range))
		return PTR_ERR(range);
	/* The user may have changed it since. */
	range->dest_count = count;
	rc = 0;
	for (i = 0; i < count; i++)
		if (flexsc_fd_is_own(range->info[i].dest_fd) && !FLEXSC_MUTANT(own_dedupe))
			rc = FLEXSC_HAND_BACK;
	if (!rc)
		rc = vfs_dedupe_file_range(file, range);
	if (!rc && copy_to_user(urange, range, size))
		rc = -EFAULT;
	kfree(range);
	return rc;
}

static int ioctl_file(struct flexsc_frame *frame, struct file *file)
{
	void __user *argp = u64_to_user_ptr(frame->args[2]);
	unsigned int cmd = frame->args[1];
	struct file_clone_range range = { };
	int rc;

	rc = security_file_ioctl(file, cmd, frame->args[2]);
	if (rc)
		return flexsc_done(frame, rc);
	switch (cmd) {
	case FICLONE:
		range.src_fd = frame->args[2];
		return clone_range(frame, file, &range);
	case FICLONERANGE:
		if (copy_from_user(&range, argp, sizeof(range)))
			return flexsc_done(frame, -EFAULT);
		return clone_range(frame, file, &range);
	default:
		return flexsc_stop(frame, dedupe_range(file, argp));
	}
}

int flexsc_call_ioctl(struct flexsc_frame *frame)
{
	switch ((unsigned int)frame->args[1]) {
	case FICLONE:
	case FICLONERANGE:
	case FIDEDUPERANGE:
		break;
	default:
		return FLEXSC_HAND_BACK;
	}
	/* Many extents take long, and a kworker cannot be killed. */
	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	return flexsc_on_file(frame, FMODE_PATH, ioctl_file);
}
