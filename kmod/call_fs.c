// SPDX-License-Identifier: GPL-2.0
/*
 * A private fs_struct for one call, and path names.
 *
 * Two needs, one means. A system call thread shares the fs_struct of the thread that
 * set the context up, and either may have unshared it since, so a call must take the
 * owner's. And no exported function opens or removes a name relative to a directory
 * descriptor; with that directory as the working directory, those for AT_FDCWD do.
 *
 * For the length of the call current->fs points to a copy on our stack, the kernel's
 * own idiom (__override_init_fs()). Look-ups use only ->fs. ->real_fs, which the rest
 * of the world sees (/proc, pivot_root, exit), is never touched. One effect remains: a
 * sibling that execs a set-user-ID program in that instant finds the sharing of ->fs
 * uneven and runs it without the privilege.
 */
#include <linux/audit.h>
#include <linux/file.h>
#include <linux/filelock.h>
#include <linux/limits.h>
#include <linux/namei.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "call_file.h"
#include "call_fs.h"

/* Wear the owner's fs, with @pwd (a reference is taken) for the working directory. */
static int enter(struct flexsc_fs *fs, struct flexsc_frame *frame, const struct path *pwd)
{
	struct task_struct *owner = frame->owner;
	struct fs_struct *src;

	/* The owner's exit clears ->real_fs under task_lock. Order: alloc_lock, fs->seq. */
	task_lock(owner);
	src = owner->real_fs;
	if (!src) {
		task_unlock(owner);
		return FLEXSC_HAND_BACK;
	}
	fs->priv.users = 1;
	fs->priv.in_exec = 0;
	fs->priv.umask = READ_ONCE(src->umask);
	seqlock_init(&fs->priv.seq);
	get_fs_root(src, &fs->priv.root);
	if (pwd) {
		fs->priv.pwd = *pwd;
		path_get(pwd);
	} else {
		get_fs_pwd(src, &fs->priv.pwd);
	}
	task_unlock(owner);

	fs->saved = current->fs;
	WRITE_ONCE(current->fs, &fs->priv);
	return 0;
}

/**
 * flexsc_fs_enter - resolve paths as the owner does
 * @fs: for flexsc_fs_leave()
 * @frame: the entry
 *
 * Return: 0, or FLEXSC_HAND_BACK if the owner is gone.
 */
int flexsc_fs_enter(struct flexsc_fs *fs, struct flexsc_frame *frame)
{
	fs->saved = NULL;
	/* Our own fs_struct cannot go away, so the bare comparison is safe. */
	if (READ_ONCE(frame->owner->real_fs) == current->fs || FLEXSC_MUTANT(root))
		return 0;
	return enter(fs, frame, NULL);
}

/**
 * flexsc_fs_enter_path - the same, with another working directory
 * @fs: for flexsc_fs_leave()
 * @frame: the entry
 * @pwd: the directory; a reference is taken
 *
 * Return: 0, or FLEXSC_HAND_BACK if the owner is gone.
 */
int flexsc_fs_enter_path(struct flexsc_fs *fs, struct flexsc_frame *frame,
			 const struct path *pwd)
{
	return enter(fs, frame, pwd);
}

/**
 * flexsc_fs_enter_at - resolve @name relative to @dfd by a look-up for AT_FDCWD
 * @fs: for flexsc_fs_leave()
 * @frame: the entry
 * @dfd: directory descriptor, or AT_FDCWD; the chain's file, if any, stands for it
 * @name: the name; an absolute one does not look at @dfd
 *
 * Return: 0, -EBADF, -ENOTDIR, or FLEXSC_HAND_BACK.
 */
int flexsc_fs_enter_at(struct flexsc_fs *fs, struct flexsc_frame *frame, int dfd,
		       const char *name)
{
	struct file *file;
	int rc;

	if (dfd == AT_FDCWD || *name == '/')
		return flexsc_fs_enter(fs, frame);
	if (frame->chain)
		rc = flexsc_file_first(frame, 0, &file);
	else
		rc = flexsc_file_get(frame, dfd, 0, &file);
	if (rc)
		return rc;
	/* The look-up trusts its working directory and would call a NULL ->lookup. */
	if (*name && !d_can_lookup(file->f_path.dentry))
		rc = -ENOTDIR;
	else
		rc = enter(fs, frame, &file->f_path);
	if (frame->chain)
		flexsc_file_first_put(frame, file);
	else
		flexsc_file_put(file);
	return rc;
}

/**
 * flexsc_fs_leave - undo a flexsc_fs_enter*() that returned 0
 * @fs: as it was filled in
 */
void flexsc_fs_leave(struct flexsc_fs *fs)
{
	if (!fs->saved)
		return;
	WRITE_ONCE(current->fs, fs->saved);
	path_put(&fs->priv.pwd);
	path_put(&fs->priv.root);
}

/**
 * flexsc_path_begin - flexsc_fs_enter() for a look-up that resolves @dfd by itself
 * @fs: for flexsc_fs_leave()
 * @frame: the entry
 * @dfd: in: directory descriptor, or AT_FDCWD; out: AT_FDCWD if the chain's file, which
 *	stands for the first argument, is the working directory until flexsc_fs_leave()
 *
 * Return: 0 or a verdict.
 */
int flexsc_path_begin(struct flexsc_fs *fs, struct flexsc_frame *frame, int *dfd)
{
	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (frame->chain) {
		/* A look-up trusts its working directory to be one. */
		if (!d_can_lookup(frame->chain->f_path.dentry))
			return FLEXSC_HAND_BACK;
		*dfd = AT_FDCWD;
		return flexsc_fs_enter_path(fs, frame, &frame->chain->f_path);
	}
	if (flexsc_fd_is_own(*dfd))
		return FLEXSC_HAND_BACK;
	return flexsc_fs_enter(fs, frame);
}

/**
 * flexsc_leased - would a call that breaks leases of @inode keep this lane?
 * @frame: the entry
 * @inode: the file or directory
 *
 * Who has a lease or a delegation is waited for, for 45 seconds by default: a page worker
 * could not be interrupted, and the caller of wait has other entries. Only that hangs on
 * the answer, so it does not matter that it may change.
 */
bool flexsc_leased(const struct flexsc_frame *frame, const struct inode *inode)
{
	struct file_lock_context *context = locks_inode_context(inode);

	return frame->lane != FLEXSC_LANE_T && !FLEXSC_MUTANT(leased) && context &&
	       !list_empty_careful(&context->flc_lease);
}

/**
 * flexsc_undelegated - wait for the delegation that has stopped a call, if one did
 * @frame: the entry
 * @delegated: what the call has found
 * @rc: in: what came of the call; out: that, -errno of the wait, or FLEXSC_TO_T
 *
 * The call has changed nothing. Return: is it to be tried again?
 */
bool flexsc_undelegated(const struct flexsc_frame *frame, struct delegated_inode *delegated,
			int *rc)
{
	struct inode *inode = delegated->di_inode;
	struct super_block *sb;

	if (!inode)
		return false;
	if (frame->lane == FLEXSC_LANE_T || FLEXSC_MUTANT(leased)) {
		*rc = break_deleg_wait(delegated);
		return !*rc;
	}
	/* As break_deleg_wait() ends. */
	sb = inode->i_sb;
	iput(inode);
	deactivate_super(sb);
	delegated->di_inode = NULL;
	*rc = FLEXSC_TO_T;
	return false;
}

/**
 * flexsc_on_path - look a path up and make a call on what it leads to
 * @frame: the entry
 * @dfd: directory descriptor, or AT_FDCWD
 * @uname: the user's; NULL is an address like any other
 * @lookup: LOOKUP_*
 * @fn: the rest of the call; comes again if it ends in -ESTALE
 * @data: for @fn
 *
 * Return: a verdict.
 */
int flexsc_on_path(struct flexsc_frame *frame, int dfd, const char __user *uname,
		   unsigned int lookup, flexsc_path_fn fn, void *data)
{
	struct flexsc_fs fs;
	struct path path;
	s64 ret;
	int rc;

	rc = flexsc_path_begin(&fs, frame, &dfd);
	if (rc)
		return rc;
retry:
	ret = user_path_at(dfd, uname, lookup, &path);
	if (!ret && flexsc_leased(frame, d_inode(path.dentry))) {
		path_put(&path);
		flexsc_fs_leave(&fs);
		return FLEXSC_TO_T;
	}
	if (!ret) {
		ret = fn(&path, data);
		path_put(&path);
		if (retry_estale(ret, lookup)) {
			lookup |= LOOKUP_REVAL;
			goto retry;
		}
	}
	flexsc_fs_leave(&fs);
	return flexsc_done(frame, ret);
}

/**
 * flexsc_name_get - copy a path name
 * @name: for flexsc_name_put(), also after an error
 * @uname: the user's
 * @may_be_empty: whether "" is a name for this call
 *
 * Return: 0, -EFAULT, -ENOENT, -ENAMETOOLONG or -ENOMEM.
 */
int flexsc_name_get(struct flexsc_name *name, const char __user *uname, bool may_be_empty)
{
	/* Const for all but who fills it in. */
	char *small = (char *)name->own.iname, *big;
	long len;

	name->own.name = small;
	name->own.refcnt = 1;
	name->own.aname = NULL;
	len = strncpy_from_user(small, uname, sizeof(name->own.iname));
	if (len == sizeof(name->own.iname)) {
		/* Rare. What was read above is dropped, so each byte counts once. */
		big = kmalloc(PATH_MAX, GFP_KERNEL);
		if (!big)
			return -ENOMEM;
		name->own.name = big;
		len = strncpy_from_user(big, uname, PATH_MAX);
	}
	if (len < 0)
		return len;
	if (!len && !may_be_empty)
		return -ENOENT;
	name->len = len;
	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/**
 * flexsc_name_put - give back what flexsc_name_get() took
 * @name: the name
 */
void flexsc_name_put(struct flexsc_name *name)
{
	if (name->own.name != name->own.iname)
		kfree(name->own.name);
}

/**
 * flexsc_filename_get - a name as look-ups take it
 * @name: the name, which must outlive it
 *
 * No allocation, since the look-ups do not keep it. Audit does, and may decide to in their
 * midst, when a security module logs: for a task that it has a record of it is a copy.
 *
 * Return: for flexsc_filename_put(), or an ERR_PTR.
 */
struct filename *flexsc_filename_get(struct flexsc_name *name)
{
	return audit_context() ? getname_kernel(name->own.name) : &name->own;
}

/**
 * flexsc_filename_put - give back what flexsc_filename_get() has returned
 * @name: the name
 * @filename: that, or an ERR_PTR
 */
void flexsc_filename_put(struct flexsc_name *name, struct filename *filename)
{
	if (filename != &name->own)
		putname(filename);
}

/**
 * flexsc_last_is_special - is the last component of @name no name at all?
 * @name: not empty, or empty for a call that takes that
 *
 * "." and "..", or nothing but slashes. Each of the real calls has its own errno for
 * that, and the exported look-up of a parent knows only one.
 */
bool flexsc_last_is_special(const struct flexsc_name *name)
{
	const char *start = name->own.name, *end = start + name->len, *last;

	/* As most are not. */
	if (end > start && end[-1] != '.' && end[-1] != '/')
		return false;
	while (end > start && end[-1] == '/')
		end--;
	last = end;
	while (last > start && last[-1] != '/')
		last--;
	switch (end - last) {
	case 0:
		return true;
	case 1:
		return last[0] == '.';
	case 2:
		return last[0] == '.' && last[1] == '.';
	default:
		return false;
	}
}
