// SPDX-License-Identifier: GPL-2.0
/*
 * Reading a directory.
 */
#include <linux/fs.h>
#include <linux/dirent.h>	/* needs the types of the above */
#include <linux/limits.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "call_file.h"

/* What emit() knows of the user's buffer. */
struct dents {
	struct dir_context ctx;		/* ctx.count: bytes that are left */
	struct linux_dirent64 __user *next;
	unsigned int last_len;		/* of the entry before next, 0: there is none */
	int error;			/* why emit() ended the walk */
};

/* A name that no program could use means a corrupt directory. */
static bool name_is_sane(const char *name, int len)
{
	return len > 0 && len < PATH_MAX && !memchr(name, '/', len);
}

/* dir_context's actor: append one entry, or end the walk with false. */
static bool emit(struct dir_context *ctx, const char *name, int namelen, loff_t offset,
		 u64 ino, unsigned int type)
{
	struct dents *dents = container_of(ctx, struct dents, ctx);
	struct linux_dirent64 __user *dirent = dents->next;
	struct linux_dirent64 __user *last = (void __user *)dirent - dents->last_len;
	bool may_stop = !(type & FILLDIR_FLAG_NOINTR);
	int len;

	dents->error = -EIO;
	if (unlikely(!name_is_sane(name, namelen)))
		return false;
	len = ALIGN(offsetof(struct linux_dirent64, d_name) + namelen + 1, sizeof(u64));
	/* Only the result if not even one entry fits. */
	dents->error = -EINVAL;
	if (len > ctx->count)
		return false;
	if (may_stop && dents->last_len && signal_pending(current))
		return false;

	if (!user_write_access_begin(last, dents->last_len + len))
		goto fault;
	/* d_off is where the next entry starts, which is known only now. */
	unsafe_put_user(offset, &last->d_off, end_fault);
	unsafe_put_user(ino, &dirent->d_ino, end_fault);
	unsafe_put_user(len, &dirent->d_reclen, end_fault);
	unsafe_put_user(type & S_DT_MASK, &dirent->d_type, end_fault);
	unsafe_put_user(0, dirent->d_name + namelen, end_fault);
	unsafe_copy_to_user(dirent->d_name, name, namelen, end_fault);
	user_write_access_end();

	dents->last_len = len;
	dents->next = (void __user *)dirent + len;
	ctx->count -= len;
	return true;

end_fault:
	user_write_access_end();
fault:
	dents->error = -EFAULT;
	return false;
}

int flexsc_call_getdents64(struct flexsc_frame *frame)
{
	unsigned int count = frame->args[2];
	struct dents dents = {
		.ctx.actor = emit,
		.ctx.count = count,
		.ctx.dt_flags_mask = FILLDIR_FLAG_NOINTR,
		.next = u64_to_user_ptr(frame->args[1]),
	};
	struct file *file;
	int rc;

	rc = flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);

	flexsc_file_lock_pos(file);
	frame->ret = iterate_dir(file, &dents.ctx);
	if (frame->ret >= 0)
		frame->ret = dents.error;
	if (dents.last_len) {
		struct linux_dirent64 __user *last = (void __user *)dents.next - dents.last_len;
		s64 pos = dents.ctx.pos;

		if (put_user(pos, &last->d_off))
			frame->ret = -EFAULT;
		else
			frame->ret = count - dents.ctx.count;
	}
	flexsc_file_unlock_pos(file);
	flexsc_file_first_put(frame, file);
	return FLEXSC_DID;
}
