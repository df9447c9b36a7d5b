// SPDX-License-Identifier: GPL-2.0
/*
 * Opening and closing. In T and C: current->files is the process's table, and
 * RLIMIT_NOFILE is the process's own.
 */
#include <linux/fcntl.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/namei.h>
#include <linux/openat2.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <linux/uaccess.h>

#include "call_file.h"
#include "call_fs.h"

/* All that O_PATH goes together with. */
#define PATH_FLAGS	(O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC | O_EMPTYPATH)

/* The checks of build_open_flags() that openat and openat2 share, before the name is read. */
static int check_flags(unsigned int flags)
{
	if ((flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT))
		return -EINVAL;
	if ((flags & __O_TMPFILE) &&
	    (!(flags & O_DIRECTORY) || !(ACC_MODE(flags) & MAY_WRITE)))
		return -EINVAL;
	return 0;
}

/* May opening this file wait for somebody? A FIFO, a device, or who has a lease. */
static bool inode_may_wait(const struct flexsc_frame *frame, struct inode *inode)
{
	return special_file(inode->i_mode) ? !flexsc_inode_is_prompt(inode) :
					     flexsc_leased(frame, inode);
}

/* May a name that is made in the directory of @name wait for who has a delegation of it? */
static bool create_may_wait(const struct flexsc_frame *frame, const char *name)
{
	struct filename *filename = getname_kernel(name);
	struct path parent;
	struct qstr last;
	bool may = false;

	if (IS_ERR(filename))
		return false;
	if (!vfs_path_parent_lookup(filename, 0, &parent, &last, NULL)) {
		may = flexsc_leased(frame, d_inode(parent.dentry));
		path_put(&parent);
	}
	putname(filename);
	return may;
}

/*
 * May an open that may create @name wait for somebody? For who has a delegation of its
 * directory, and, if it exists, as the open of what exists. Only the liveness of lane C
 * hangs on the answer, so it does not matter that the name may mean something else a
 * moment later.
 */
static bool open_may_wait(const struct flexsc_frame *frame, const char *name,
			  unsigned int flags)
{
	struct path path;
	bool may;

	if (flags & __O_TMPFILE)
		return false;
	/* Who may not wait for the file still waits for its directory. */
	if (create_may_wait(frame, name))
		return true;
	if (flags & (O_NONBLOCK | O_EXCL))
		return false;
	if (kern_path(name, flags & O_NOFOLLOW ? 0 : LOOKUP_FOLLOW, &path))
		return false;
	may = inode_may_wait(frame, d_inode(path.dentry));
	path_put(&path);
	return may;
}

/*
 * Fail with @err, unless there is no descriptor left: the real calls reserve one before
 * they look at the name or the directory descriptor.
 */
static int fail_open(struct flexsc_frame *frame, unsigned int flags, int err)
{
	int fd = flexsc_fd_reserve(frame, flags);

	if (fd >= 0)
		flexsc_fd_cancel(frame, fd);
	return flexsc_done(frame, fd < 0 ? fd : err);
}

/* RESOLVE_* as look-up flags. */
static unsigned int scope_of(u64 resolve)
{
	unsigned int lookup = 0;

	if (resolve & RESOLVE_NO_XDEV)
		lookup |= LOOKUP_NO_XDEV;
	if (resolve & RESOLVE_NO_MAGICLINKS)
		lookup |= LOOKUP_NO_MAGICLINKS;
	if (resolve & RESOLVE_NO_SYMLINKS)
		lookup |= LOOKUP_NO_SYMLINKS;
	if (resolve & RESOLVE_BENEATH)
		lookup |= LOOKUP_BENEATH;
	if (resolve & RESOLVE_IN_ROOT)
		lookup |= LOOKUP_IN_ROOT;
	return lookup;
}

/*
 * Is all that an open has to ask of @path what may_ask() asks? Not of devices and FIFOs, not
 * if it truncates, and not of a file system that checks names anew when they are opened, as
 * those of a network do to notice what others wrote.
 */
static bool is_plain_open(const struct path *path, unsigned int flags)
{
	const struct dentry *dentry = path->dentry;

	return !(flags & (O_TRUNC | __O_TMPFILE)) &&
	       !(dentry->d_flags & (DCACHE_OP_REVALIDATE | DCACHE_OP_WEAK_REVALIDATE)) &&
	       (d_is_reg(dentry) || d_is_dir(dentry));
}

/* What may_open() asks of regular files and directories, in its order. */
static int may_ask(const struct path *path, unsigned int flags, int mask)
{
	struct mnt_idmap *idmap = mnt_idmap(path->mnt);
	struct inode *inode = d_inode(path->dentry);
	int rc;

	if (S_ISDIR(inode->i_mode) && (mask & MAY_WRITE) && !FLEXSC_MUTANT(open_directory))
		return -EISDIR;
	rc = FLEXSC_MUTANT(open_permission) ? 0 : inode_permission(idmap, inode, MAY_OPEN | mask);
	if (rc)
		return rc;
	if (IS_APPEND(inode) && (mask & MAY_WRITE) && !(flags & O_APPEND) &&
	    !FLEXSC_MUTANT(open_append))
		return -EPERM;
	if ((flags & O_NOATIME) && !inode_owner_or_capable(idmap, inode) &&
	    !FLEXSC_MUTANT(open_noatime))
		return -EPERM;
	return 0;
}

/*
 * Open what was found: as do_open() of fs/namei.c does where that is little, and as overlayfs
 * and nfsd do, else by the kernel's own from an empty name on.
 *
 * Return: a file, or an ERR_PTR.
 */
static struct file *open_path(const struct path *path, unsigned int flags, umode_t mode)
{
	int mask = ACC_MODE(flags);
	struct file *file;
	int rc;

	if (!(flags & O_PATH) && !is_plain_open(path, flags))
		return file_open_root(path, "", flags, mode);
	/* As build_open_flags(). */
	if (!FLEXSC_MUTANT(open_flags))
		flags &= ~O_CLOEXEC;
	if (flags & O_PATH)
		return dentry_open(path, flags, current_cred());
	if (flags & __O_SYNC)
		flags |= O_DSYNC;
	if (flags & O_APPEND)
		mask |= MAY_APPEND;

	rc = may_ask(path, flags, mask);
	if (rc)
		return ERR_PTR(rc > 0 ? -EINVAL : rc);
	file = dentry_open(path, flags, current_cred());
	/* Of what an overlay has below it, which may be a network's. */
	if (file == ERR_PTR(-EOPENSTALE))
		return ERR_PTR(-ESTALE);
	if (IS_ERR(file))
		return file;
	rc = security_file_post_open(file, mask);
	if (rc) {
		flexsc_file_put(file);
		return ERR_PTR(rc > 0 ? -EINVAL : rc);
	}
	return file;
}

/*
 * An open of what exists: look it up, under the scope that @lookup says, then open what
 * was found. Two steps instead of one, so a network file system is asked once more.
 */
static int do_open_found(struct flexsc_frame *frame, unsigned int flags, umode_t mode,
			 unsigned int lookup)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	int dfd = frame->args[0];
	struct flexsc_fs fs;
	struct file *file;
	struct path path;
	int fd, rc;

	if (!(flags & O_NOFOLLOW))
		lookup |= LOOKUP_FOLLOW;
	if (!(flags & O_PATH))
		lookup |= LOOKUP_AUTOMOUNT;
	if (flags & O_DIRECTORY)
		lookup |= LOOKUP_DIRECTORY;
	if (flags & O_EMPTYPATH)
		lookup |= LOOKUP_EMPTY;

	rc = flexsc_path_begin(&fs, frame, &dfd);
	if (rc)
		return rc;
	fd = flexsc_fd_reserve(frame, flags);
	if (fd < 0) {
		frame->ret = fd;
		goto leave;
	}
retry:
	frame->ret = user_path_at(dfd, uname, lookup, &path);
	if (frame->ret) {
		flexsc_fd_cancel(frame, fd);
		goto leave;
	}
	if (frame->lane == FLEXSC_LANE_C && !(flags & (O_PATH | O_NONBLOCK)) &&
	    inode_may_wait(frame, d_inode(path.dentry))) {
		flexsc_fd_cancel(frame, fd);
		rc = FLEXSC_TO_T;
		goto put_path;
	}
	file = open_path(&path, flags, mode);
	if (retry_estale(PTR_ERR_OR_ZERO(file), lookup)) {
		path_put(&path);
		lookup |= LOOKUP_REVAL;
		goto retry;
	}
	rc = flexsc_fd_install(frame, fd, file);
put_path:
	path_put(&path);
leave:
	flexsc_fs_leave(&fs);
	return rc;
}

/* Open by path, as openat does after its checks of the flags. */
static int do_open(struct flexsc_frame *frame, unsigned int flags, umode_t mode)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	int dfd = frame->args[0];
	struct flexsc_name name __uninitialized;
	struct flexsc_fs fs;
	int fd, rc;

	/* Not to look the name up twice, to see first whether its open may wait. */
	if (frame->lane == FLEXSC_LANE_C && !(flags & (O_CREAT | __O_TMPFILE)))
		return do_open_found(frame, flags, mode, 0);

	rc = flexsc_name_get(&name, uname, flags & O_EMPTYPATH);
	if (!rc)
		rc = flexsc_fs_enter_at(&fs, frame, dfd, name.own.name);
	if (rc > 0)
		goto put_name;
	if (rc < 0) {
		rc = fail_open(frame, flags, rc);
		goto put_name;
	}
	if (frame->lane == FLEXSC_LANE_C && open_may_wait(frame, name.own.name, flags)) {
		rc = FLEXSC_TO_T;
		goto leave;
	}
	fd = flexsc_fd_reserve(frame, flags);
	if (fd < 0)
		frame->ret = fd;
	else
		rc = flexsc_fd_install(frame, fd, filp_open(name.own.name, flags, mode));
leave:
	flexsc_fs_leave(&fs);
put_name:
	flexsc_name_put(&name);
	return rc;
}

int flexsc_call_openat(struct flexsc_frame *frame)
{
	unsigned int flags = frame->args[2];
	umode_t mode = frame->args[3];
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	/* openat ignores what it does not know; O_PATH beats everything else. */
	flags = (flags | O_LARGEFILE) & VALID_OPEN_FLAGS;
	if (flags & O_PATH)
		flags &= PATH_FLAGS;
	rc = check_flags(flags);
	if (rc)
		return flexsc_done(frame, rc);
	return do_open(frame, flags, mode);
}

/*
 * A scoped open that may create: the parent is looked up under the scope, and one plain
 * component in it cannot lead out, if it is no symbolic link.
 *
 * Return: a file, an ERR_PTR, or NULL with *@verdict set.
 */
static struct file *create_scoped(struct flexsc_frame *frame, struct filename *filename,
				  const struct open_how *how, int *verdict)
{
	unsigned int flags = how->flags;
	struct path parent;
	struct flexsc_fs fs;
	struct file *file;
	struct qstr last;
	int rc;

	rc = vfs_path_parent_lookup(filename, scope_of(how->resolve), &parent, &last, NULL);
	if (rc)
		return ERR_PTR(rc);
	if (last.name[last.len]) {
		file = ERR_PTR(-EISDIR);
		goto put_parent;
	}
	rc = flexsc_fs_enter_path(&fs, frame, &parent);
	if (rc) {
		*verdict = rc;
		file = NULL;
		goto put_parent;
	}
	if (frame->lane == FLEXSC_LANE_C && open_may_wait(frame, last.name, flags | O_NOFOLLOW)) {
		*verdict = FLEXSC_TO_T;
		file = NULL;
	} else {
		file = filp_open(last.name, flags | O_NOFOLLOW, how->mode);
		/* O_NOFOLLOW is not the application's: the link would have been followed. */
		if (file == ERR_PTR(-ELOOP) && !(flags & O_NOFOLLOW) &&
		    !(how->resolve & RESOLVE_NO_SYMLINKS)) {
			*verdict = FLEXSC_HAND_BACK;
			file = NULL;
		} else if (!IS_ERR(file) && !(flags & O_NOFOLLOW)) {
			/* F_GETFL would show it. Nobody else has the file yet. */
			spin_lock(&file->f_lock);
			file->f_flags &= ~O_NOFOLLOW;
			spin_unlock(&file->f_lock);
		}
	}
	flexsc_fs_leave(&fs);
put_parent:
	path_put(&parent);
	return file;
}

static int do_create_scoped(struct flexsc_frame *frame, const struct open_how *how)
{
	const char __user *uname = u64_to_user_ptr(frame->args[1]);
	bool in_root = how->resolve & RESOLVE_IN_ROOT;
	int verdict = FLEXSC_DID, dfd = frame->args[0];
	struct filename *filename;
	struct flexsc_name name __uninitialized;
	struct flexsc_fs fs;
	struct file *file;
	int fd, rc;

	rc = flexsc_name_get(&name, uname, how->flags & O_EMPTYPATH);
	if (!rc && flexsc_last_is_special(&name))
		rc = FLEXSC_HAND_BACK;
	/* Under RESOLVE_IN_ROOT the descriptor counts for an absolute name as well. */
	if (!rc)
		rc = flexsc_fs_enter_at(&fs, frame, dfd, in_root ? "." : name.own.name);
	if (rc) {
		verdict = rc > 0 ? rc : fail_open(frame, how->flags, rc);
		goto put_name;
	}
	fd = flexsc_fd_reserve(frame, how->flags);
	if (fd < 0) {
		frame->ret = fd;
		goto leave;
	}
	filename = flexsc_filename_get(&name);
	file = IS_ERR(filename) ? ERR_CAST(filename) :
	       create_scoped(frame, filename, how, &verdict);
	flexsc_filename_put(&name, filename);
	if (verdict)
		flexsc_fd_cancel(frame, fd);
	else
		verdict = flexsc_fd_install(frame, fd, file);
leave:
	flexsc_fs_leave(&fs);
put_name:
	flexsc_name_put(&name);
	return verdict;
}

/* build_open_flags(): openat2 refuses what openat ignores. */
static int check_how(const struct open_how *how)
{
	u64 flags = how->flags & ~(u64)O_CLOEXEC;
	int rc;

	if ((flags & ~(u64)VALID_OPENAT2_FLAGS) || (how->resolve & ~(u64)VALID_RESOLVE_FLAGS))
		return -EINVAL;
	if ((how->resolve & RESOLVE_BENEATH) && (how->resolve & RESOLVE_IN_ROOT))
		return -EINVAL;
	if (flags & (O_CREAT | __O_TMPFILE) ? how->mode & ~(u64)S_IALLUGO : how->mode)
		return -EINVAL;
	rc = check_flags(flags);
	if (rc)
		return rc;
	if ((flags & O_DIRECTORY) && (flags & OPENAT2_REGULAR))
		return -EINVAL;
	if ((flags & O_PATH) && (flags & ~(u64)PATH_FLAGS))
		return -EINVAL;
	return 0;
}

int flexsc_call_openat2(struct flexsc_frame *frame)
{
	const void __user *uhow = u64_to_user_ptr(frame->args[2]);
	size_t usize = frame->args[3];
	struct open_how how;
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (usize < OPEN_HOW_SIZE_VER0)
		return flexsc_done(frame, -EINVAL);
	if (usize > PAGE_SIZE)
		return flexsc_done(frame, -E2BIG);
	rc = copy_struct_from_user(&how, sizeof(how), uhow, usize);
	if (rc)
		return flexsc_done(frame, rc);
	if (!(how.flags & O_PATH))
		how.flags |= O_LARGEFILE;
	rc = check_how(&how);
	if (rc)
		return flexsc_done(frame, rc);

	/* Not reachable: the one does not fit filp_open()'s flags, the other is internal. */
	if ((how.flags & OPENAT2_REGULAR) || (how.resolve & RESOLVE_CACHED))
		return FLEXSC_HAND_BACK;
	if (!how.resolve)
		return do_open(frame, how.flags, how.mode);
	if (!(how.flags & O_CREAT))
		return do_open_found(frame, how.flags, how.mode, scope_of(how.resolve));
	/* The last step, into the file itself, would not be under that scope. */
	if (how.resolve & RESOLVE_NO_XDEV)
		return FLEXSC_HAND_BACK;
	return do_create_scoped(frame, &how);
}

struct late_put {
	struct callback_head work;
	struct file *file;
};

static void put_late(struct callback_head *work)
{
	struct late_put *late = container_of(work, struct late_put, work);

	/* Queues task work of the kernel's own, so our code is left before the release. */
	fput(late->file);
	kfree(late);
}

/*
 * Drop a reference to our own file, which its release would have to wait for us to do:
 * let the owner do it on its way to user mode.
 */
static void put_own(struct flexsc_frame *frame, struct file *file)
{
	struct late_put *late = kmalloc_obj(*late, GFP_KERNEL | __GFP_NOFAIL);

	late->file = file;
	init_task_work(&late->work, put_late);
	if (!task_work_add(frame->owner, &late->work, TWA_RESUME))
		return;
	/* The owner is past its last task work; ours runs when this thread exits. */
	kfree(late);
	fput(file);
}

/*
 * The look at the slot and its emptying are two steps, so that another thread can put
 * a /dev/flexsc file there in between: put_own() is for that.
 */
int flexsc_call_close(struct flexsc_frame *frame)
{
	unsigned int fd = frame->args[0];
	struct file *file;
	int ret;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (frame->chain) {
		/* Its reference is what a table's would be. */
		file = frame->chain;
	} else {
		if (flexsc_fd_is_own(fd))
			return FLEXSC_HAND_BACK;
		file = file_close_fd(fd);
		if (!file)
			return flexsc_done(frame, -EBADF);
	}

	/*
	 * filp_close() flushes, takes the process's locks off, and drops the table's
	 * reference by a deferred fput(). With one more it cannot be the last: ours is,
	 * and that one is dropped at once.
	 */
	get_file(file);
	ret = filp_close(file, current->files);
	if (unlikely(file->f_op == &FLEXSC_FOPS))
		put_own(frame, file);
	else if (FLEXSC_MUTANT(fput))
		fput(file);
	else
		__fput_sync(file);

	/* The descriptor is gone, so the call cannot be made again. */
	if (ret == -ERESTARTSYS || ret == -ERESTARTNOINTR || ret == -ERESTARTNOHAND ||
	    ret == -ERESTART_RESTARTBLOCK)
		ret = -EINTR;
	return flexsc_done(frame, ret);
}
