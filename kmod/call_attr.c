// SPDX-License-Identifier: GPL-2.0
/*
 * Attributes: reading and changing them, by descriptor and by path.
 *
 * The path calls are made in T and C. user_path_at() resolves the descriptor and
 * reads the name itself, as the real calls do.
 */
#include <linux/cred.h>
#include <linux/fcntl.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/securebits.h>
#include <linux/security.h>
#include <linux/stat.h>
#include <linux/time.h>
#include <linux/uaccess.h>
#include <linux/uidgid.h>

/*
 * Mount IDs live in struct mount. Its header is in a kernel's source tree, not in a
 * distribution's package of headers, and says nothing if its fields are shuffled.
 */
#if __has_include(<../fs/mount.h>) && !defined(CONFIG_RANDSTRUCT)
#include <../fs/mount.h>
#define HAVE_MOUNT_ID 1
#else
#define HAVE_MOUNT_ID 0
#endif

#include "call_file.h"
#include "call_fs.h"

static int copy_stat(const struct kstat *stat, struct stat __user *ubuf)
{
	struct user_namespace *ns = current_user_ns();
	struct stat tmp;

	memset(&tmp, 0, sizeof(tmp));
	tmp.st_dev = new_encode_dev(stat->dev);
	tmp.st_ino = stat->ino;
	tmp.st_nlink = stat->nlink;
	tmp.st_mode = stat->mode;
	tmp.st_uid = from_kuid_munged(ns, stat->uid);
	tmp.st_gid = from_kgid_munged(ns, stat->gid);
	tmp.st_rdev = new_encode_dev(stat->rdev);
	tmp.st_size = stat->size;
	tmp.st_blksize = stat->blksize;
	tmp.st_blocks = stat->blocks;
	tmp.st_atime = stat->atime.tv_sec;
	tmp.st_atime_nsec = stat->atime.tv_nsec;
	tmp.st_mtime = stat->mtime.tv_sec;
	tmp.st_mtime_nsec = stat->mtime.tv_nsec;
	tmp.st_ctime = stat->ctime.tv_sec;
	tmp.st_ctime_nsec = stat->ctime.tv_nsec;
	return copy_to_user(ubuf, &tmp, sizeof(tmp)) ? -EFAULT : 0;
}

static void copy_timestamp(struct statx_timestamp *to, const struct timespec64 *from)
{
	to->tv_sec = from->tv_sec;
	to->tv_nsec = from->tv_nsec;
}

static int copy_statx(const struct kstat *stat, struct statx __user *ubuf)
{
	struct user_namespace *ns = current_user_ns();
	struct statx tmp;

	memset(&tmp, 0, sizeof(tmp));
	/* Two bits are for the kernel alone. */
	tmp.stx_mask = stat->result_mask & ~STATX_CHANGE_COOKIE;
	tmp.stx_attributes = stat->attributes & ~STATX_ATTR_CHANGE_MONOTONIC;
	tmp.stx_attributes_mask = stat->attributes_mask;
	tmp.stx_blksize = stat->blksize;
	tmp.stx_nlink = stat->nlink;
	tmp.stx_uid = from_kuid_munged(ns, stat->uid);
	tmp.stx_gid = from_kgid_munged(ns, stat->gid);
	tmp.stx_mode = stat->mode;
	tmp.stx_ino = stat->ino;
	tmp.stx_size = stat->size;
	tmp.stx_blocks = stat->blocks;
	copy_timestamp(&tmp.stx_atime, &stat->atime);
	copy_timestamp(&tmp.stx_btime, &stat->btime);
	copy_timestamp(&tmp.stx_ctime, &stat->ctime);
	copy_timestamp(&tmp.stx_mtime, &stat->mtime);
	tmp.stx_rdev_major = MAJOR(stat->rdev);
	tmp.stx_rdev_minor = MINOR(stat->rdev);
	tmp.stx_dev_major = MAJOR(stat->dev);
	tmp.stx_dev_minor = MINOR(stat->dev);
	tmp.stx_mnt_id = stat->mnt_id;
	tmp.stx_dio_mem_align = stat->dio_mem_align;
	tmp.stx_dio_offset_align = stat->dio_offset_align;
	tmp.stx_dio_read_offset_align = stat->dio_read_offset_align;
	tmp.stx_subvol = stat->subvol;
	tmp.stx_atomic_write_unit_min = stat->atomic_write_unit_min;
	tmp.stx_atomic_write_unit_max = stat->atomic_write_unit_max;
	tmp.stx_atomic_write_unit_max_opt = stat->atomic_write_unit_max_opt;
	tmp.stx_atomic_write_segments_max = stat->atomic_write_segments_max;
	return copy_to_user(ubuf, &tmp, sizeof(tmp)) ? -EFAULT : 0;
}

int flexsc_call_fstat(struct flexsc_frame *frame)
{
	struct stat __user *ubuf = u64_to_user_ptr(frame->args[1]);
	struct kstat stat;
	struct file *file;
	int rc;

	rc = flexsc_file_first(frame, 0, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = vfs_getattr(&file->f_path, &stat, STATX_BASIC_STATS, 0);
	flexsc_file_first_put(frame, file);
	return flexsc_done(frame, rc ?: copy_stat(&stat, ubuf));
}

/*
 * With AT_EMPTY_PATH a NULL or empty name means the descriptor itself.
 *
 * Return: 1 if so, 0 if there is a name to look up, -EFAULT.
 */
static int name_is_null(const char __user *uname, unsigned int flags)
{
	char c;

	if (!(flags & AT_EMPTY_PATH))
		return 0;
	if (!uname)
		return 1;
	if (get_user(c, uname))
		return -EFAULT;
	return !c;
}

/* What newfstatat and statx ask for, and the answer. */
struct query {
	int dfd;
	const char __user *uname;
	unsigned int flags;	/* AT_* */
	u32 mask;		/* STATX_* */
	bool mount;		/* statx: tell about the mount as well */
	struct kstat stat;
};

static int query_path(const struct path *path, struct query *query)
{
	struct kstat *stat = &query->stat;
	int rc;

	rc = vfs_getattr(path, stat, query->mask, query->flags);
	if (rc || !query->mount)
		return rc;
#if HAVE_MOUNT_ID
	if (query->mask & STATX_MNT_ID_UNIQUE) {
		stat->mnt_id = real_mount(path->mnt)->mnt_id_unique;
		stat->result_mask |= STATX_MNT_ID_UNIQUE;
	} else {
		stat->mnt_id = real_mount(path->mnt)->mnt_id;
		stat->result_mask |= STATX_MNT_ID;
	}
#endif
	if (path->mnt->mnt_root == path->dentry)
		stat->attributes |= STATX_ATTR_MOUNT_ROOT;
	stat->attributes_mask |= STATX_ATTR_MOUNT_ROOT;
	return 0;
}

static int query_fd(struct flexsc_frame *frame, struct query *query)
{
	struct file *file;
	int rc;

	rc = flexsc_file_first(frame, 0, &file);
	if (rc)
		return rc;
	rc = query_path(&file->f_path, query);
	flexsc_file_first_put(frame, file);
	return rc;
}

/*
 * vfs_statx(). @null: what name_is_null() said. Return: 0, -errno or a verdict.
 */
static int query_name(struct flexsc_frame *frame, struct query *query, int null)
{
	unsigned int lookup = 0;
	struct flexsc_fs fs;
	struct path path;
	int rc;

	if (query->flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
			     AT_STATX_SYNC_TYPE))
		return -EINVAL;
	if (null < 0)
		return null;
	if (null && query->dfd != AT_FDCWD)
		return -EBADF;
	if (!(query->flags & AT_SYMLINK_NOFOLLOW))
		lookup |= LOOKUP_FOLLOW;
	if (!(query->flags & AT_NO_AUTOMOUNT))
		lookup |= LOOKUP_AUTOMOUNT;
	if (query->flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;

	rc = flexsc_path_begin(&fs, frame, &query->dfd);
	if (rc)
		return rc;
retry:
	if (null)
		rc = kern_path("", lookup, &path);
	else
		rc = user_path_at(query->dfd, query->uname, lookup, &path);
	if (!rc) {
		rc = query_path(&path, query);
		path_put(&path);
		if (retry_estale(rc, lookup)) {
			lookup |= LOOKUP_REVAL;
			goto retry;
		}
	}
	flexsc_fs_leave(&fs);
	return rc;
}

int flexsc_call_newfstatat(struct flexsc_frame *frame)
{
	struct stat __user *ubuf = u64_to_user_ptr(frame->args[2]);
	struct query query = {
		.dfd = frame->args[0],
		.uname = u64_to_user_ptr(frame->args[1]),
		.flags = frame->args[3],
		.mask = STATX_BASIC_STATS,
	};
	int null, rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	null = name_is_null(query.uname, query.flags);
	if (null > 0 && query.dfd >= 0) {
		/* As fstat: other flags are not looked at. */
		query.flags = 0;
		rc = query_fd(frame, &query);
	} else {
		query.flags |= AT_NO_AUTOMOUNT;
		rc = query_name(frame, &query, null);
	}
	return flexsc_stop(frame, rc ?: copy_stat(&query.stat, ubuf));
}

int flexsc_call_statx(struct flexsc_frame *frame)
{
	struct statx __user *ubuf = u64_to_user_ptr(frame->args[4]);
	struct query query = {
		.dfd = frame->args[0],
		.uname = u64_to_user_ptr(frame->args[1]),
		.flags = frame->args[2],
		.mask = frame->args[3],
		.mount = true,
	};
	int null, rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if ((query.mask & STATX__RESERVED) ||
	    (query.flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return flexsc_done(frame, -EINVAL);
	if (!HAVE_MOUNT_ID && (query.mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE)))
		return FLEXSC_HAND_BACK;
	query.mask &= ~STATX_CHANGE_COOKIE;

	null = name_is_null(query.uname, query.flags);
	if (null > 0 && query.dfd >= 0)
		rc = query_fd(frame, &query);
	else
		rc = query_name(frame, &query, null);
	return flexsc_stop(frame, rc ?: copy_statx(&query.stat, ubuf));
}

/*
 * With the caller's real IDs, and the capabilities that go with them.
 *
 * Return: the credentials to revert to, NULL if none were put on, ERR_PTR(-ENOMEM).
 */
static const struct cred *wear_real_ids(void)
{
	const struct cred *old = current_cred();
	bool fixup = !issecure(SECURE_NO_SETUID_FIXUP);
	bool root = uid_eq(old->uid, make_kuid(old->user_ns, 0));
	bool same = uid_eq(old->fsuid, old->uid) && gid_eq(old->fsgid, old->gid);
	struct cred *real;

	if (fixup)
		same = same && (root ? cap_isidentical(old->cap_effective, old->cap_permitted) :
				       cap_isclear(old->cap_effective));
	if (same)
		return NULL;

	real = prepare_creds();
	if (!real)
		return ERR_PTR(-ENOMEM);
	real->fsuid = real->uid;
	real->fsgid = real->gid;
	if (fixup && root)
		real->cap_effective = real->cap_permitted;
	else if (fixup)
		cap_clear(real->cap_effective);
	return override_creds(real);
}

static int access_path(const struct path *path, int mode)
{
	struct inode *inode = d_backing_inode(path->dentry);
	int rc;

	if ((mode & MAY_EXEC) && S_ISREG(inode->i_mode) &&
	    ((path->mnt->mnt_flags & MNT_NOEXEC) ||
	     (path->mnt->mnt_sb->s_iflags & SB_I_NOEXEC)))
		return -EACCES;
	rc = inode_permission(mnt_idmap(path->mnt), inode, mode | MAY_ACCESS);
	if (!rc && (mode & S_IWOTH) && !special_file(inode->i_mode) &&
	    __mnt_is_readonly(path->mnt))
		rc = -EROFS;
	return rc;
}

int flexsc_call_faccessat(struct flexsc_frame *frame)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	unsigned int lookup = LOOKUP_FOLLOW;
	int dfd = frame->args[0];
	int mode = frame->args[2];
	const struct cred *old;
	struct flexsc_fs fs;
	struct path path;
	int rc;

	if (mode & ~S_IRWXO)
		return flexsc_done(frame, -EINVAL);
	rc = flexsc_path_begin(&fs, frame, &dfd);
	if (rc)
		return flexsc_stop(frame, rc);
	old = wear_real_ids();
	if (IS_ERR(old)) {
		rc = PTR_ERR(old);
		goto leave;
	}
retry:
	rc = user_path_at(dfd, uname, lookup, &path);
	if (!rc) {
		rc = access_path(&path, mode);
		path_put(&path);
		if (retry_estale(rc, lookup)) {
			lookup |= LOOKUP_REVAL;
			goto retry;
		}
	}
	if (old)
		put_cred(revert_creds(old));
leave:
	flexsc_fs_leave(&fs);
	return flexsc_stop(frame, rc);
}

/*
 * The two changes below break delegations: notify_change() then fails without having
 * changed anything, and is tried again, without the lock in between.
 */

/* chmod_common(), less security_path_chmod(): see the gates of the callers. */
static int do_chmod(struct flexsc_frame *frame, const struct path *path, umode_t mode)
{
	struct inode *inode = d_inode(path->dentry);
	struct delegated_inode delegated = { };
	struct iattr attr;
	int rc;

	rc = mnt_want_write(path->mnt);
	if (rc)
		return rc;
retry:
	rc = inode_lock_killable(inode);
	if (!rc) {
		attr.ia_mode = (mode & S_IALLUGO) | (inode->i_mode & ~S_IALLUGO);
		attr.ia_valid = ATTR_MODE | ATTR_CTIME;
		rc = notify_change(mnt_idmap(path->mnt), path->dentry, &attr, &delegated);
		inode_unlock(inode);
	}
	if (flexsc_undelegated(frame, &delegated, &rc))
		goto retry;
	mnt_drop_write(path->mnt);
	return rc;
}

/* chown_common(), less security_path_chown(). The mount is held for writing. */
static int do_chown(struct flexsc_frame *frame, const struct path *path, uid_t user,
		    gid_t group)
{
	struct mnt_idmap *idmap = mnt_idmap(path->mnt);
	struct inode *inode = d_inode(path->dentry);
	kuid_t uid = make_kuid(current_user_ns(), user);
	kgid_t gid = make_kgid(current_user_ns(), group);
	struct delegated_inode delegated = { };
	struct iattr attr;
	int rc;

	if ((user != (uid_t)-1 && !uid_valid(uid)) || (group != (gid_t)-1 && !gid_valid(gid)))
		return -EINVAL;
retry:
	attr.ia_valid = ATTR_CTIME;
	attr.ia_vfsuid = INVALID_VFSUID;
	attr.ia_vfsgid = INVALID_VFSGID;
	if (user != (uid_t)-1) {
		attr.ia_valid |= ATTR_UID;
		attr.ia_vfsuid = VFSUIDT_INIT(uid);
	}
	if (group != (gid_t)-1) {
		attr.ia_valid |= ATTR_GID;
		attr.ia_vfsgid = VFSGIDT_INIT(gid);
	}
	rc = inode_lock_killable(inode);
	if (rc)
		return rc;
	if (!S_ISDIR(inode->i_mode))
		attr.ia_valid |= ATTR_KILL_SUID | ATTR_KILL_PRIV |
				 setattr_should_drop_sgid(idmap, inode);
	rc = notify_change(idmap, path->dentry, &attr, &delegated);
	inode_unlock(inode);
	if (flexsc_undelegated(frame, &delegated, &rc))
		goto retry;
	return rc;
}

int flexsc_call_fchmod(struct flexsc_frame *frame)
{
	umode_t mode = frame->args[1];
	struct file *file;
	int rc;

	rc = flexsc_gated(frame, FLEXSC_GATE_APPARMOR) ?:
	     flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = do_chmod(frame, &file->f_path, mode);
	flexsc_file_first_put(frame, file);
	return flexsc_stop(frame, rc);
}

int flexsc_call_fchown(struct flexsc_frame *frame)
{
	uid_t user = frame->args[1];
	gid_t group = frame->args[2];
	struct file *file;
	int rc;

	rc = flexsc_gated(frame, FLEXSC_GATE_APPARMOR) ?:
	     flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = mnt_want_write_file(file);
	if (!rc) {
		rc = do_chown(frame, &file->f_path, user, group);
		mnt_drop_write_file(file);
	}
	flexsc_file_first_put(frame, file);
	return flexsc_stop(frame, rc);
}

struct chmod {
	struct flexsc_frame *frame;
	umode_t mode;
};

static s64 chmod_path(const struct path *path, void *data)
{
	struct chmod *chmod = data;

	return do_chmod(chmod->frame, path, chmod->mode);
}

static int call_fchmodat(struct flexsc_frame *frame, unsigned int flags)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	struct chmod chmod = { .frame = frame, .mode = frame->args[2] };
	unsigned int lookup = 0;
	int rc;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return flexsc_done(frame, -EINVAL);
	if (!(flags & AT_SYMLINK_NOFOLLOW))
		lookup |= LOOKUP_FOLLOW;
	if (flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	rc = flexsc_gated(frame, FLEXSC_GATE_APPARMOR) ?:
	     flexsc_on_path(frame, frame->args[0], uname, lookup, chmod_path, &chmod);
	/* A verdict, not a result: those are not above 0. */
	return !rc && frame->ret > 0 ? frame->ret : rc;
}

int flexsc_call_fchmodat(struct flexsc_frame *frame)
{
	return call_fchmodat(frame, 0);
}

int flexsc_call_fchmodat2(struct flexsc_frame *frame)
{
	return call_fchmodat(frame, frame->args[3]);
}

int flexsc_call_fchownat(struct flexsc_frame *frame)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	int flags = frame->args[4];
	uid_t user = frame->args[2];
	gid_t group = frame->args[3];
	int dfd = frame->args[0];
	unsigned int lookup = 0;
	struct flexsc_fs fs;
	struct path path;
	int rc;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return flexsc_done(frame, -EINVAL);
	if (!(flags & AT_SYMLINK_NOFOLLOW))
		lookup |= LOOKUP_FOLLOW;
	if (flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	rc = flexsc_gated(frame, FLEXSC_GATE_APPARMOR) ?: flexsc_path_begin(&fs, frame, &dfd);
	if (rc)
		return flexsc_stop(frame, rc);
retry:
	rc = user_path_at(dfd, uname, lookup, &path);
	if (!rc) {
		rc = mnt_want_write(path.mnt);
		if (!rc) {
			rc = do_chown(frame, &path, user, group);
			mnt_drop_write(path.mnt);
		}
		path_put(&path);
		if (retry_estale(rc, lookup)) {
			lookup |= LOOKUP_REVAL;
			goto retry;
		}
	}
	flexsc_fs_leave(&fs);
	return flexsc_stop(frame, rc);
}

static int utimes_fd(struct flexsc_frame *frame, struct timespec64 *times, int flags)
{
	struct file *file;
	int rc;

	if (flags)
		return -EINVAL;
	rc = flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return rc;
	rc = flexsc_leased(frame, file_inode(file)) ? FLEXSC_TO_T :
						      vfs_utimes(&file->f_path, times);
	flexsc_file_first_put(frame, file);
	return rc;
}

static int utimes_name(struct flexsc_frame *frame, struct timespec64 *times, int flags)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	int dfd = frame->args[0];
	unsigned int lookup = 0;
	struct flexsc_fs fs;
	struct path path;
	int rc;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (!(flags & AT_SYMLINK_NOFOLLOW))
		lookup |= LOOKUP_FOLLOW;
	if (flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	rc = flexsc_path_begin(&fs, frame, &dfd);
	if (rc)
		return rc;
retry:
	rc = user_path_at(dfd, uname, lookup, &path);
	if (!rc) {
		rc = flexsc_leased(frame, d_inode(path.dentry)) ? FLEXSC_TO_T :
								  vfs_utimes(&path, times);
		path_put(&path);
		if (retry_estale(rc, lookup)) {
			lookup |= LOOKUP_REVAL;
			goto retry;
		}
	}
	flexsc_fs_leave(&fs);
	return rc;
}

int flexsc_call_utimensat(struct flexsc_frame *frame)
{
	struct __kernel_timespec __user *utimes = u64_to_user_ptr(frame->args[2]);
	struct timespec64 times[2];
	int flags = frame->args[3];
	int dfd = frame->args[0];
	int rc;

	if (utimes) {
		if (get_timespec64(&times[0], &utimes[0]) || get_timespec64(&times[1], &utimes[1]))
			return flexsc_done(frame, -EFAULT);
		/* Nothing to do: the real call looks no further either. */
		if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
			return flexsc_done(frame, 0);
	}
	if (!frame->args[1] && dfd != AT_FDCWD)
		rc = utimes_fd(frame, utimes ? times : NULL, flags);
	else
		rc = utimes_name(frame, utimes ? times : NULL, flags);
	return flexsc_stop(frame, rc);
}
