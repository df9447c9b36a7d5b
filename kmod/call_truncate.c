// SPDX-License-Identifier: GPL-2.0
/*
 * Cutting a file, or giving it a hole at its end.
 */
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/namei.h>
#include <linux/security.h>
#include <linux/xattr.h>

#include "call_file.h"
#include "call_fs.h"

/* dentry_needs_remove_privs(): ATTR_KILL_*, or -errno */
static int privs_to_remove(struct mnt_idmap *idmap, struct dentry *dentry)
{
	struct inode *inode = d_inode(dentry);
	int kill;

	if (IS_NOSEC(inode))
		return 0;
	kill = setattr_should_drop_suidgid(idmap, inode);
	/* What cap_inode_need_killpriv() asks, the only module with that hook. */
	if (__vfs_getxattr(dentry, inode, XATTR_NAME_CAPS, NULL, 0) > 0)
		kill |= ATTR_KILL_PRIV;
	return kill;
}

static int truncate_file(struct file *file, loff_t length)
{
	struct mnt_idmap *idmap = file_mnt_idmap(file);
	struct dentry *dentry = file->f_path.dentry;
	struct inode *inode = d_inode(dentry);
	struct iattr attr = {
		.ia_valid = ATTR_SIZE | ATTR_MTIME | ATTR_CTIME | ATTR_FILE,
		.ia_size = length,
		.ia_file = file,
	};
	int kill, ret;

	kill = privs_to_remove(idmap, dentry);
	if (kill)
		attr.ia_valid |= kill | ATTR_FORCE;
	ret = inode_lock_killable(inode);
	if (ret)
		return ret;
	/* Opening for writing has broken all delegations and leases. */
	ret = notify_change(idmap, dentry, &attr, NULL);
	inode_unlock(inode);
	return ret;
}

/* security_file_truncate() and fsnotify_pre_content() are out of reach. */
static bool truncate_is_watched(struct file *file)
{
	struct super_block *sb = file->f_path.dentry->d_sb;

	/*
	 * Landlock keeps the right to truncate in the file. A file that was opened with
	 * the very credentials that we wear cannot come from a process with fewer rights.
	 */
	return file->f_cred != current_cred() || flexsc_landlocked(sb) ||
	       fsnotify_sb_has_priority_watchers(sb, FSNOTIFY_PRIO_PRE_CONTENT);
}

int flexsc_call_ftruncate(struct flexsc_frame *frame)
{
	loff_t length = frame->args[1];
	struct inode *inode;
	struct file *file;
	int rc;

	if (length < 0)
		return flexsc_done(frame, -EINVAL);
	rc = flexsc_gated(frame, FLEXSC_GATE_APPARMOR | FLEXSC_GATE_NNP) ?: flexsc_fsize(frame);
	if (rc)
		return rc;
	rc = flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);

	inode = d_inode(file->f_path.dentry);
	if (!S_ISREG(inode->i_mode) || !(file->f_mode & FMODE_WRITE)) {
		frame->ret = -EINVAL;
	} else if (length > MAX_NON_LFS && !(file->f_flags & O_LARGEFILE)) {
		frame->ret = -EINVAL;
	} else if (IS_APPEND(file_inode(file))) {
		frame->ret = -EPERM;
	} else if (truncate_is_watched(file)) {
		rc = FLEXSC_HAND_BACK;
	} else {
		sb_start_write(inode->i_sb);
		frame->ret = truncate_file(file, length);
		sb_end_write(inode->i_sb);
	}
	flexsc_file_first_put(frame, file);
	return rc;
}

static s64 truncate_path(const struct path *path, void *data)
{
	return vfs_truncate(path, *(loff_t *)data);
}

int flexsc_call_truncate(struct flexsc_frame *frame)
{
	const char __user *uname = u64_to_user_ptr(frame->args[0]);
	loff_t length = frame->args[1];

	if (length < 0)
		return flexsc_done(frame, -EINVAL);
	return flexsc_on_path(frame, AT_FDCWD, uname, LOOKUP_FOLLOW, truncate_path, &length);
}
