// SPDX-License-Identifier: GPL-2.0
/*
 * Extended attributes, by descriptor and by path.
 *
 * As in fs/xattr.c, what is read from the user comes first and the object last. POSIX
 * ACLs are attributes by name only: they have functions of their own below the calls.
 */
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/xattr.h>

#include "call_file.h"
#include "call_fs.h"

/* What one call asks for. */
struct attr {
	char name[XATTR_NAME_MAX + 1];
	void __user *ubuf;	/* where the answer goes */
	void *value;		/* to be set */
	size_t size;
	int flags;		/* XATTR_* */
};

static int get_name(struct attr *attr, u64 uname)
{
	long len = strncpy_from_user(attr->name, u64_to_user_ptr(uname), sizeof(attr->name));

	if (!len || len == sizeof(attr->name))
		return -ERANGE;
	return len < 0 ? len : 0;
}

static bool is_acl(const struct attr *attr)
{
	return !strcmp(attr->name, XATTR_NAME_POSIX_ACL_ACCESS) ||
	       !strcmp(attr->name, XATTR_NAME_POSIX_ACL_DEFAULT);
}

/* vfs_posix_acl_to_xattr(): posix_acl_to_xattr() knows nothing of idmapped mounts. */
static ssize_t acl_to_xattr(struct mnt_idmap *idmap, struct inode *inode,
			    const struct posix_acl *acl, void *value, size_t size)
{
	struct user_namespace *fs_ns = i_user_ns(inode), *ns = current_user_ns();
	struct posix_acl_xattr_header *header = value;
	struct posix_acl_xattr_entry *to;
	ssize_t real_size = posix_acl_xattr_size(acl->a_count);
	int i;

	if (!value)
		return real_size;
	if (real_size > size)
		return -ERANGE;
	header->a_version = cpu_to_le32(POSIX_ACL_XATTR_VERSION);
	to = (void *)(header + 1);
	for (i = 0; i < acl->a_count; i++, to++) {
		const struct posix_acl_entry *from = &acl->a_entries[i];
		u32 id = ACL_UNDEFINED_ID;

		if (from->e_tag == ACL_USER)
			id = from_kuid(ns, vfsuid_into_kuid(make_vfsuid(idmap, fs_ns,
									from->e_uid)));
		else if (from->e_tag == ACL_GROUP)
			id = from_kgid(ns, vfsgid_into_kgid(make_vfsgid(idmap, fs_ns,
									from->e_gid)));
		to->e_tag = cpu_to_le16(from->e_tag);
		to->e_perm = cpu_to_le16(from->e_perm);
		to->e_id = cpu_to_le32(id);
	}
	return real_size;
}

static ssize_t get_acl(struct mnt_idmap *idmap, struct dentry *dentry, const char *name,
		       void *value, size_t size)
{
	struct posix_acl *acl;
	ssize_t ret;

	acl = vfs_get_acl(idmap, dentry, name);
	if (IS_ERR(acl))
		return PTR_ERR(acl);
	ret = acl_to_xattr(idmap, d_inode(dentry), acl, value, size);
	posix_acl_release(acl);
	return ret;
}

/* Hand the @ret bytes of @value out. @max: the size at which nothing could be longer. */
static ssize_t put_answer(struct attr *attr, const void *value, ssize_t ret, size_t max)
{
	if (ret > 0 && attr->size && copy_to_user(attr->ubuf, value, ret))
		return -EFAULT;
	if (ret == -ERANGE && attr->size >= max)
		return -E2BIG;
	return ret;
}

/* do_getxattr() */
static s64 do_get(const struct path *path, void *data)
{
	struct mnt_idmap *idmap = mnt_idmap(path->mnt);
	struct attr *attr = data;
	void *value = NULL;
	ssize_t ret;

	if (attr->size) {
		attr->size = min(attr->size, (size_t)XATTR_SIZE_MAX);
		value = kvzalloc(attr->size, GFP_KERNEL);
		if (!value)
			return -ENOMEM;
	}
	if (is_acl(attr))
		ret = get_acl(idmap, path->dentry, attr->name, value, attr->size);
	else
		ret = vfs_getxattr(idmap, path->dentry, attr->name, value, attr->size);
	ret = put_answer(attr, value, ret, XATTR_SIZE_MAX);
	kvfree(value);
	return ret;
}

/* listxattr() */
static s64 do_list(const struct path *path, void *data)
{
	struct attr *attr = data;
	char *list = NULL;
	ssize_t ret;

	if (attr->size) {
		attr->size = min(attr->size, (size_t)XATTR_LIST_MAX);
		list = kvmalloc(attr->size, GFP_KERNEL);
		if (!list)
			return -ENOMEM;
	}
	ret = vfs_listxattr(path->dentry, list, attr->size);
	ret = put_answer(attr, list, ret, XATTR_LIST_MAX);
	kvfree(list);
	return ret;
}

static int set_acl(struct mnt_idmap *idmap, struct dentry *dentry, const struct attr *attr)
{
	struct posix_acl *acl = NULL;
	int rc;

	if (attr->size) {
		acl = posix_acl_from_xattr(current_user_ns(), attr->value, attr->size);
		if (IS_ERR(acl))
			return PTR_ERR(acl);
	}
	rc = vfs_set_acl(idmap, dentry, attr->name, acl);
	posix_acl_release(acl);
	return rc;
}

/* do_setxattr(); the mount is held for writing. */
static s64 do_set(const struct path *path, void *data)
{
	struct mnt_idmap *idmap = mnt_idmap(path->mnt);
	struct attr *attr = data;

	if (is_acl(attr))
		return set_acl(idmap, path->dentry, attr);
	return vfs_setxattr(idmap, path->dentry, attr->name, attr->value, attr->size,
			    attr->flags);
}

/* removexattr(); the mount is held for writing. */
static s64 do_remove(const struct path *path, void *data)
{
	struct mnt_idmap *idmap = mnt_idmap(path->mnt);
	struct attr *attr = data;

	return is_acl(attr) ? vfs_remove_acl(idmap, path->dentry, attr->name) :
			      vfs_removexattr(idmap, path->dentry, attr->name);
}

static s64 set_path(const struct path *path, void *data)
{
	s64 ret = mnt_want_write(path->mnt);

	if (!ret) {
		ret = do_set(path, data);
		mnt_drop_write(path->mnt);
	}
	return ret;
}

static s64 remove_path(const struct path *path, void *data)
{
	s64 ret = mnt_want_write(path->mnt);

	if (!ret) {
		ret = do_remove(path, data);
		mnt_drop_write(path->mnt);
	}
	return ret;
}

/* On an open file. @writes: whether the mount is to be held for writing. */
static int on_fd(struct flexsc_frame *frame, flexsc_path_fn fn, struct attr *attr, bool writes)
{
	struct file *file;
	int rc;

	rc = flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	if (writes && flexsc_leased(frame, file_inode(file))) {
		flexsc_file_first_put(frame, file);
		return FLEXSC_TO_T;
	}
	frame->ret = writes ? mnt_want_write_file(file) : 0;
	if (!frame->ret) {
		frame->ret = fn(&file->f_path, attr);
		if (writes)
			mnt_drop_write_file(file);
	}
	flexsc_file_first_put(frame, file);
	return FLEXSC_DID;
}

static int on_path(struct flexsc_frame *frame, unsigned int lookup, flexsc_path_fn fn,
		   struct attr *attr)
{
	const char __user *uname = u64_to_user_ptr(frame->args[0]);

	return flexsc_on_path(frame, AT_FDCWD, uname, lookup, fn, attr);
}

/*
 * fgetxattr and fsetxattr take AT_FDCWD for the working directory, by the way in which
 * they share their code with the calls of the at kind. That is none of our business.
 */
static bool means_directory(const struct flexsc_frame *frame)
{
	return (int)frame->args[0] == AT_FDCWD;
}

/* What all of getting has to read first. Return: 0 or -errno. */
static int begin_get(struct flexsc_frame *frame, struct attr *attr)
{
	attr->ubuf = u64_to_user_ptr(frame->args[2]);
	attr->size = frame->args[3];
	return get_name(attr, frame->args[1]);
}

int flexsc_call_fgetxattr(struct flexsc_frame *frame)
{
	struct attr attr;
	int rc = begin_get(frame, &attr);

	if (rc)
		return flexsc_done(frame, rc);
	if (means_directory(frame))
		return FLEXSC_HAND_BACK;
	return on_fd(frame, do_get, &attr, false);
}

static int get_by_path(struct flexsc_frame *frame, unsigned int lookup)
{
	struct attr attr;
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	rc = begin_get(frame, &attr);
	return rc ? flexsc_done(frame, rc) : on_path(frame, lookup, do_get, &attr);
}

int flexsc_call_getxattr(struct flexsc_frame *frame)
{
	return get_by_path(frame, LOOKUP_FOLLOW);
}

int flexsc_call_lgetxattr(struct flexsc_frame *frame)
{
	return get_by_path(frame, 0);
}

static void begin_list(struct flexsc_frame *frame, struct attr *attr)
{
	attr->ubuf = u64_to_user_ptr(frame->args[1]);
	attr->size = frame->args[2];
}

int flexsc_call_flistxattr(struct flexsc_frame *frame)
{
	struct attr attr;

	begin_list(frame, &attr);
	return on_fd(frame, do_list, &attr, false);
}

static int list_by_path(struct flexsc_frame *frame, unsigned int lookup)
{
	struct attr attr;

	begin_list(frame, &attr);
	return on_path(frame, lookup, do_list, &attr);
}

int flexsc_call_listxattr(struct flexsc_frame *frame)
{
	return list_by_path(frame, LOOKUP_FOLLOW);
}

int flexsc_call_llistxattr(struct flexsc_frame *frame)
{
	return list_by_path(frame, 0);
}

/* setxattr_copy(). Return: 0, with attr->value to be freed, or -errno. */
static int begin_set(struct flexsc_frame *frame, struct attr *attr)
{
	void *value;
	int rc;

	attr->value = NULL;
	attr->size = frame->args[3];
	attr->flags = frame->args[4];
	if (attr->flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	rc = get_name(attr, frame->args[1]);
	if (rc || !attr->size)
		return rc;
	if (attr->size > XATTR_SIZE_MAX)
		return -E2BIG;
	value = vmemdup_user(u64_to_user_ptr(frame->args[2]), attr->size);
	if (IS_ERR(value))
		return PTR_ERR(value);
	attr->value = value;
	return 0;
}

int flexsc_call_fsetxattr(struct flexsc_frame *frame)
{
	struct attr attr;
	int rc = begin_set(frame, &attr);

	if (rc)
		return flexsc_done(frame, rc);
	if (means_directory(frame))
		rc = FLEXSC_HAND_BACK;
	else
		rc = on_fd(frame, do_set, &attr, true);
	kvfree(attr.value);
	return rc;
}

static int set_by_path(struct flexsc_frame *frame, unsigned int lookup)
{
	struct attr attr;
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	rc = begin_set(frame, &attr);
	if (rc)
		return flexsc_done(frame, rc);
	rc = on_path(frame, lookup, set_path, &attr);
	kvfree(attr.value);
	return rc;
}

int flexsc_call_setxattr(struct flexsc_frame *frame)
{
	return set_by_path(frame, LOOKUP_FOLLOW);
}

int flexsc_call_lsetxattr(struct flexsc_frame *frame)
{
	return set_by_path(frame, 0);
}

int flexsc_call_fremovexattr(struct flexsc_frame *frame)
{
	struct attr attr;
	int rc = get_name(&attr, frame->args[1]);

	return rc ? flexsc_done(frame, rc) : on_fd(frame, do_remove, &attr, true);
}

static int remove_by_path(struct flexsc_frame *frame, unsigned int lookup)
{
	struct attr attr;
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	rc = get_name(&attr, frame->args[1]);
	return rc ? flexsc_done(frame, rc) : on_path(frame, lookup, remove_path, &attr);
}

int flexsc_call_removexattr(struct flexsc_frame *frame)
{
	return remove_by_path(frame, LOOKUP_FOLLOW);
}

int flexsc_call_lremovexattr(struct flexsc_frame *frame)
{
	return remove_by_path(frame, 0);
}
