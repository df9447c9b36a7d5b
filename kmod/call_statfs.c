// SPDX-License-Identifier: GPL-2.0
/*
 * Asking about a file system.
 */
#include <linux/build_bug.h>
#include <linux/fs.h>
#include <linux/namei.h>
#include <linux/statfs.h>
#include <linux/uaccess.h>

#include "call_file.h"
#include "call_fs.h"

/* do_statfs_native() */
static int copy_statfs(const struct kstatfs *stat, struct statfs __user *ubuf)
{
	/* The two have the same fields in the same order, spare ones included. */
	static_assert(sizeof(*stat) == sizeof(*ubuf));

	return copy_to_user(ubuf, stat, sizeof(*stat)) ? -EFAULT : 0;
}

static s64 statfs_path(const struct path *path, void *data)
{
	return vfs_statfs(path, data);
}

static int statfs_file(struct flexsc_frame *frame, struct file *file)
{
	struct statfs __user *ubuf = u64_to_user_ptr(frame->args[1]);
	struct kstatfs stat;
	int rc;

	rc = vfs_statfs(&file->f_path, &stat);
	return flexsc_done(frame, rc ?: copy_statfs(&stat, ubuf));
}

int flexsc_call_fstatfs(struct flexsc_frame *frame)
{
	return flexsc_on_file(frame, 0, statfs_file);
}

int flexsc_call_statfs(struct flexsc_frame *frame)
{
	const char __user *uname = u64_to_user_ptr(frame->args[0]);
	struct statfs __user *ubuf = u64_to_user_ptr(frame->args[1]);
	struct kstatfs stat;
	int rc;

	rc = flexsc_on_path(frame, AT_FDCWD, uname, LOOKUP_FOLLOW | LOOKUP_AUTOMOUNT,
			    statfs_path, &stat);
	if (!rc && !frame->ret)
		frame->ret = copy_statfs(&stat, ubuf);
	return rc;
}
