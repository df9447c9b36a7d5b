// SPDX-License-Identifier: GPL-2.0
/*
 * Making, removing, renaming and reading names. In T and C.
 *
 * A directory that is delegated (to an NFS client) fails the operation before it has
 * changed anything; the delegation is then broken with no lock held, by a thread that can
 * be interrupted, and the operation is tried again from where the real call tries again.
 */
#include <linux/cred.h>
#include <linux/fcntl.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/security.h>
#include <linux/uaccess.h>

#include "call_file.h"
#include "call_fs.h"

int flexsc_call_mkdirat(struct flexsc_frame *frame)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	unsigned int lookup = LOOKUP_DIRECTORY;
	struct delegated_inode delegated = { };
	umode_t mode = frame->args[2];
	int dfd = frame->args[0];
	struct flexsc_name name __uninitialized;
	struct dentry *dentry;
	struct flexsc_fs fs;
	struct path path;
	int rc;

	rc = flexsc_path_begin(&fs, frame, &dfd);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = flexsc_name_get(&name, uname, false);
	if (rc)
		goto out;
retry:
	dentry = start_creating_path(dfd, name.own.name, &path, lookup);
	if (IS_ERR(dentry)) {
		rc = PTR_ERR(dentry);
		goto out;
	}
	rc = security_path_mkdir(&path, dentry, mode_strip_umask(d_inode(path.dentry), mode));
	if (!rc) {
		/* Consumes the dentry and unlocks if it fails; end_creating_path() knows. */
		dentry = vfs_mkdir(mnt_idmap(path.mnt), d_inode(path.dentry), dentry, mode,
				   &delegated);
		rc = PTR_ERR_OR_ZERO(dentry);
	}
	end_creating_path(&path, dentry);
	if (flexsc_undelegated(frame, &delegated, &rc))
		goto retry;
	if (retry_estale(rc, lookup)) {
		lookup |= LOOKUP_REVAL;
		goto retry;
	}
out:
	flexsc_name_put(&name);
	flexsc_fs_leave(&fs);
	return flexsc_stop(frame, rc);
}

/* may_mknod(), and no exported function makes a regular file as that call does. */
static int may_mknod(umode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	case S_IFREG:
	case 0:
		return FLEXSC_HAND_BACK;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

int flexsc_call_mknodat(struct flexsc_frame *frame)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	struct delegated_inode delegated = { };
	unsigned int dev = frame->args[3];
	umode_t mode = frame->args[2];
	int dfd = frame->args[0];
	unsigned int lookup = 0;
	struct flexsc_name name __uninitialized;
	struct dentry *dentry;
	struct flexsc_fs fs;
	struct inode *dir;
	struct path path;
	int rc;

	rc = may_mknod(mode) ?: flexsc_path_begin(&fs, frame, &dfd);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = flexsc_name_get(&name, uname, false);
	if (rc)
		goto out;
retry:
	dentry = start_creating_path(dfd, name.own.name, &path, lookup);
	if (IS_ERR(dentry)) {
		rc = PTR_ERR(dentry);
		goto out;
	}
	dir = d_inode(path.dentry);
	rc = security_path_mknod(&path, dentry, mode_strip_umask(dir, mode), dev);
	if (!rc)
		rc = vfs_mknod(mnt_idmap(path.mnt), dir, dentry, mode,
			       S_ISCHR(mode) || S_ISBLK(mode) ? new_decode_dev(dev) : 0,
			       &delegated);
	end_creating_path(&path, dentry);
	if (flexsc_undelegated(frame, &delegated, &rc))
		goto retry;
	if (retry_estale(rc, lookup)) {
		lookup |= LOOKUP_REVAL;
		goto retry;
	}
out:
	flexsc_name_put(&name);
	flexsc_fs_leave(&fs);
	return flexsc_stop(frame, rc);
}

int flexsc_call_symlinkat(struct flexsc_frame *frame)
{
	const char __user *utarget = u64_to_user_ptr(frame->args[0]);
	const char __user *uname = u64_to_user_ptr(frame->args[2]);
	struct delegated_inode delegated = { };
	struct flexsc_name target __uninitialized, name __uninitialized;
	int dfd = frame->args[1];
	unsigned int lookup = 0;
	struct dentry *dentry;
	struct flexsc_fs fs;
	struct path path;
	int rc;

	rc = flexsc_gated(frame, 0) ?: flexsc_path_begin(&fs, frame, &dfd);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = flexsc_name_get(&target, utarget, false);
	if (rc)
		goto put_target;
	rc = flexsc_name_get(&name, uname, false);
	if (rc)
		goto put_name;
retry:
	dentry = start_creating_path(dfd, name.own.name, &path, lookup);
	if (IS_ERR(dentry)) {
		rc = PTR_ERR(dentry);
		goto put_name;
	}
	/* For security_path_symlink(): AppArmor and Landlock check the same here. */
	if (security_path_mknod(&path, dentry, S_IFLNK, 0))
		rc = FLEXSC_HAND_BACK;
	else
		rc = vfs_symlink(mnt_idmap(path.mnt), d_inode(path.dentry), dentry, target.own.name,
				 &delegated);
	end_creating_path(&path, dentry);
	if (flexsc_undelegated(frame, &delegated, &rc))
		goto retry;
	if (retry_estale(rc, lookup)) {
		lookup |= LOOKUP_REVAL;
		goto retry;
	}
put_name:
	flexsc_name_put(&name);
put_target:
	flexsc_name_put(&target);
	flexsc_fs_leave(&fs);
	return flexsc_stop(frame, rc);
}

/*
 * may_linkat(), whose switch, protected_hardlinks, we cannot see. Return: 0, -EOVERFLOW,
 * or FLEXSC_HAND_BACK for what it would refuse while it is on.
 */
static int may_link(struct mnt_idmap *idmap, struct inode *inode)
{
	umode_t mode = inode->i_mode;

	if (!vfsuid_valid(i_uid_into_vfsuid(idmap, inode)) ||
	    !vfsgid_valid(i_gid_into_vfsgid(idmap, inode)))
		return -EOVERFLOW;
	if (S_ISREG(mode) && !(mode & S_ISUID) &&
	    (mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP) &&
	    !inode_permission(idmap, inode, MAY_READ | MAY_WRITE))
		return 0;
	return inode_owner_or_capable(idmap, inode) ? 0 : FLEXSC_HAND_BACK;
}

/* Under the new parent's lock. Return: 0, -errno or a verdict. */
static int do_link(const struct path *old, const struct path *parent, struct dentry *dentry,
		   struct delegated_inode *delegated)
{
	struct mnt_idmap *idmap = mnt_idmap(parent->mnt);
	struct path from = { .mnt = old->mnt };
	int rc;

	if (old->mnt != parent->mnt)
		return -EXDEV;
	rc = may_link(idmap, d_inode(old->dentry));
	if (rc)
		return rc;
	/* For security_path_link(): Landlock asks for no less here. AppArmor is gated. */
	from.dentry = dget_parent(old->dentry);
	rc = security_path_rename(&from, old->dentry, parent, dentry, 0);
	dput(from.dentry);
	if (rc)
		return FLEXSC_HAND_BACK;
	return vfs_link(old->dentry, idmap, d_inode(parent->dentry), dentry, delegated);
}

int flexsc_call_linkat(struct flexsc_frame *frame)
{
	const char __user *uold = u64_to_user_ptr(frame->args[1]);
	const char __user *unew = u64_to_user_ptr(frame->args[3]);
	int olddfd = frame->args[0], newdfd = frame->args[2];
	struct delegated_inode delegated = { };
	int flags = frame->args[4];
	struct path old, parent;
	struct flexsc_name name __uninitialized;
	unsigned int how = 0;
	struct dentry *dentry;
	struct flexsc_fs fs;
	int name_rc, rc;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return flexsc_done(frame, -EINVAL);
	/* Compares the descriptor's credentials with ours: we wear the owner's very own. */
	if (flags & AT_EMPTY_PATH)
		how |= LOOKUP_LINKAT_EMPTY | LOOKUP_EMPTY;
	if (flags & AT_SYMLINK_FOLLOW)
		how |= LOOKUP_FOLLOW;
	rc = flexsc_gated(frame, FLEXSC_GATE_APPARMOR);
	if (!rc && frame->lane != FLEXSC_LANE_W && flexsc_fd_is_own(newdfd))
		rc = FLEXSC_HAND_BACK;
	/* There is one working directory only, for two names. */
	if (!rc && frame->chain)
		rc = FLEXSC_HAND_BACK;
	if (!rc)
		rc = flexsc_path_begin(&fs, frame, &olddfd);
	if (rc)
		return flexsc_stop(frame, rc);
	/* Read first, but what is wrong with the old name comes before what is wrong here. */
	name_rc = flexsc_name_get(&name, unew, false);
retry:
	rc = user_path_at(olddfd, uold, how, &old);
	if (rc)
		goto out;
	dentry = name_rc ? ERR_PTR(name_rc) :
		 start_creating_path(newdfd, name.own.name, &parent, how & LOOKUP_REVAL);
	if (IS_ERR(dentry)) {
		rc = PTR_ERR(dentry);
		path_put(&old);
		goto out;
	}
	rc = do_link(&old, &parent, dentry, &delegated);
	end_creating_path(&parent, dentry);
	/* The old name is looked up again too, as the real call does. */
	if (flexsc_undelegated(frame, &delegated, &rc)) {
		path_put(&old);
		goto retry;
	}
	path_put(&old);
	if (retry_estale(rc, how)) {
		how |= LOOKUP_REVAL;
		goto retry;
	}
out:
	flexsc_name_put(&name);
	flexsc_fs_leave(&fs);
	return flexsc_stop(frame, rc);
}

/* A name whose parent was looked up: what filename_parentat() would give. */
struct entry {
	struct flexsc_name *name;
	struct filename *filename;	/* last points into it */
	struct path parent;
	struct qstr last;
};

/* Look up the parent of @name, relative to @dfd. Return: 0, -errno or a verdict. */
static int entry_get(struct entry *entry, struct flexsc_frame *frame, int dfd,
		     struct flexsc_name *name, unsigned int lookup)
{
	struct flexsc_fs fs;
	int rc;

	rc = flexsc_fs_enter_at(&fs, frame, dfd, name->own.name);
	if (rc)
		return rc;
	entry->name = name;
	entry->filename = flexsc_filename_get(name);
	if (IS_ERR(entry->filename)) {
		rc = PTR_ERR(entry->filename);
	} else {
		rc = vfs_path_parent_lookup(entry->filename, lookup, &entry->parent,
					    &entry->last, NULL);
		if (rc)
			flexsc_filename_put(name, entry->filename);
	}
	flexsc_fs_leave(&fs);
	return rc;
}

static void entry_put(struct entry *entry)
{
	path_put(&entry->parent);
	flexsc_filename_put(entry->name, entry->filename);
}

static bool has_slash(const struct entry *entry)
{
	return entry->last.name[entry->last.len];
}

/* The mount is held for writing. Return: 0, -errno or a verdict. */
static int do_unlink(struct flexsc_frame *frame, struct entry *entry)
{
	struct mnt_idmap *idmap = mnt_idmap(entry->parent.mnt);
	struct delegated_inode delegated = { };
	struct dentry *dentry;
	struct inode *inode;
	int rc;

retry:
	/* Whether the parent may be searched was asked when it was looked up. */
	dentry = start_removing_noperm(entry->parent.dentry, &entry->last);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	if (has_slash(entry)) {
		rc = d_is_dir(dentry) ? -EISDIR : -ENOTDIR;
		end_dirop(dentry);
		return rc;
	}
	inode = d_inode(dentry);
	/* The last reference truncates the file, which must not be under the lock. */
	ihold(inode);
	rc = security_path_unlink(&entry->parent, dentry);
	if (!rc)
		rc = vfs_unlink(idmap, d_inode(entry->parent.dentry), dentry, &delegated);
	end_dirop(dentry);
	iput(inode);
	if (flexsc_undelegated(frame, &delegated, &rc))
		goto retry;
	return rc;
}

/* The mount is held for writing; a delegation is left to the caller to break. */
static int do_rmdir(struct entry *entry, struct delegated_inode *delegated)
{
	struct mnt_idmap *idmap = mnt_idmap(entry->parent.mnt);
	struct path *parent = &entry->parent;
	struct dentry *dentry;
	int rc;

	dentry = start_removing_noperm(parent->dentry, &entry->last);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	/*
	 * For security_path_rmdir(): AppArmor checks the same in unlink, Landlock asks for
	 * no less in rename.
	 */
	if (security_path_unlink(parent, dentry) ||
	    security_path_rename(parent, dentry, parent, dentry, 0))
		rc = FLEXSC_HAND_BACK;
	else
		rc = vfs_rmdir(idmap, d_inode(parent->dentry), dentry, delegated);
	end_dirop(dentry);
	return rc;
}

int flexsc_call_unlinkat(struct flexsc_frame *frame)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	struct delegated_inode delegated = { };
	int flags = frame->args[2];
	int dfd = frame->args[0];
	unsigned int lookup = 0;
	struct flexsc_name name __uninitialized;
	struct entry entry;
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (flags & ~AT_REMOVEDIR)
		return flexsc_done(frame, -EINVAL);
	if (flags && flexsc_gated(frame, 0))
		return FLEXSC_HAND_BACK;
	rc = flexsc_name_get(&name, uname, false);
	if (!rc && flexsc_last_is_special(&name))
		rc = FLEXSC_HAND_BACK;
	if (rc)
		goto out;
retry:
	rc = entry_get(&entry, frame, dfd, &name, lookup);
	if (rc)
		goto out;
	rc = mnt_want_write(entry.parent.mnt);
	if (!rc) {
		rc = flags ? do_rmdir(&entry, &delegated) : do_unlink(frame, &entry);
		mnt_drop_write(entry.parent.mnt);
	}
	entry_put(&entry);
	if (flexsc_undelegated(frame, &delegated, &rc))
		goto retry;
	if (retry_estale(rc, lookup)) {
		lookup |= LOOKUP_REVAL;
		goto retry;
	}
out:
	flexsc_name_put(&name);
	return flexsc_stop(frame, rc);
}

/* The rules for names that end in a slash. Return: 0 or -ENOTDIR. */
static int check_slashes(const struct renamedata *rd, const struct entry *old,
			 const struct entry *new)
{
	bool exchange = rd->flags & RENAME_EXCHANGE;

	if (exchange && !d_is_dir(rd->new_dentry) && has_slash(new))
		return -ENOTDIR;
	if (!d_is_dir(rd->old_dentry) && (has_slash(old) || (!exchange && has_slash(new))))
		return -ENOTDIR;
	return 0;
}

static int do_rename(struct flexsc_frame *frame, struct entry *old, struct entry *new,
		     unsigned int flags, unsigned int lookup)
{
	struct delegated_inode delegated = { };
	struct renamedata rd;
	int rc;

	if (old->parent.mnt != new->parent.mnt)
		return -EXDEV;
	rc = mnt_want_write(old->parent.mnt);
	if (rc)
		return rc;
retry:
	rd = (struct renamedata) {
		.mnt_idmap = mnt_idmap(old->parent.mnt),
		.old_parent = old->parent.dentry,
		.new_parent = new->parent.dentry,
		.delegated_inode = &delegated,
		.flags = flags,
	};
	rc = start_renaming(&rd, lookup, &old->last, &new->last);
	if (!rc) {
		rc = check_slashes(&rd, old, new) ?:
		     security_path_rename(&old->parent, rd.old_dentry, &new->parent,
					  rd.new_dentry, flags) ?:
		     vfs_rename(&rd);
		end_renaming(&rd);
	}
	if (flexsc_undelegated(frame, &delegated, &rc))
		goto retry;
	mnt_drop_write(old->parent.mnt);
	return rc;
}

int flexsc_call_renameat2(struct flexsc_frame *frame)
{
	const char __user *uold = u64_to_user_ptr(frame->args[1]);
	const char __user *unew = u64_to_user_ptr(frame->args[3]);
	int olddfd = frame->args[0], newdfd = frame->args[2];
	struct flexsc_name old_name __uninitialized, new_name __uninitialized;
	unsigned int flags = frame->args[4];
	unsigned int lookup = 0;
	struct entry old, new;
	int new_rc, rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return flexsc_done(frame, -EINVAL);
	if ((flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) && (flags & RENAME_EXCHANGE))
		return flexsc_done(frame, -EINVAL);

	/* There is one working directory only, for two names. */
	if (frame->chain)
		return FLEXSC_HAND_BACK;
	/* Both are read first, but what is wrong with the old path comes first. */
	rc = flexsc_name_get(&old_name, uold, false);
	new_rc = flexsc_name_get(&new_name, unew, false);
	if (rc)
		goto out;
	if (flexsc_last_is_special(&old_name) ||
	    (!new_rc && flexsc_last_is_special(&new_name))) {
		rc = FLEXSC_HAND_BACK;
		goto out;
	}
retry:
	rc = entry_get(&old, frame, olddfd, &old_name, lookup);
	if (rc)
		goto out;
	rc = new_rc ?: entry_get(&new, frame, newdfd, &new_name, lookup);
	if (!rc) {
		rc = do_rename(frame, &old, &new, flags, lookup);
		entry_put(&new);
	}
	entry_put(&old);
	if (retry_estale(rc, lookup)) {
		lookup |= LOOKUP_REVAL;
		goto retry;
	}
out:
	flexsc_name_put(&old_name);
	flexsc_name_put(&new_name);
	return flexsc_stop(frame, rc);
}

/* Copy what @link says. The atime is touched as soon as nothing forbids to read it. */
static int copy_link(const struct path *path, char __user *buf, int size)
{
	DEFINE_DELAYED_CALL(done);
	const char *link;
	int len;

	link = vfs_get_link(path->dentry, &done);
	if (IS_ERR(link))
		return PTR_ERR(link);
	touch_atime(path);
	len = min_t(size_t, strlen(link), size);
	if (copy_to_user(buf, link, len))
		len = -EFAULT;
	do_delayed_call(&done);
	return len;
}

/* Return: length or -errno, with *@verdict 0; or *@verdict. */
static int do_readlink(struct flexsc_frame *frame, const struct path *path,
		       const char __user *uname, char __user *buf, int size, int *verdict)
{
	char c;

	if (d_backing_inode(path->dentry)->i_op->readlink) {
		/* procfs and AFS: vfs_get_link() does not do, and vfs_readlink() has no hook. */
		*verdict = flexsc_gated(frame, FLEXSC_GATE_SELINUX);
		if (*verdict)
			return 0;
		touch_atime(path);
		return vfs_readlink(path->dentry, buf, size);
	}
	if (d_is_symlink(path->dentry))
		return copy_link(path, buf, size);
	/* A descriptor by itself is no link either, but has another errno. */
	return !get_user(c, uname) && !c ? -ENOENT : -EINVAL;
}

int flexsc_call_readlinkat(struct flexsc_frame *frame)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	char __user *buf = u64_to_user_ptr(frame->args[2]);
	unsigned int lookup = LOOKUP_EMPTY;
	int size = frame->args[3];
	int dfd = frame->args[0];
	int rc, verdict = 0;
	struct flexsc_fs fs;
	struct path path;

	if (size <= 0)
		return flexsc_done(frame, -EINVAL);
	rc = flexsc_path_begin(&fs, frame, &dfd);
	if (rc)
		return flexsc_stop(frame, rc);
retry:
	rc = user_path_at(dfd, uname, lookup, &path);
	if (!rc) {
		rc = do_readlink(frame, &path, uname, buf, size, &verdict);
		path_put(&path);
		if (retry_estale(rc, lookup)) {
			lookup |= LOOKUP_REVAL;
			goto retry;
		}
	}
	flexsc_fs_leave(&fs);
	return verdict ?: flexsc_done(frame, rc);
}
