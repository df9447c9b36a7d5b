// SPDX-License-Identifier: GPL-2.0
/*
 * Flags of open files and of descriptors, and duplicating one. The many other commands
 * of fcntl are handed back.
 */
#include <linux/fcntl.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>

#include "call_file.h"

/* What F_SETFL can change. */
#define SETFL_MASK	(O_APPEND | O_NONBLOCK | O_NDELAY | O_DIRECT | O_NOATIME)

/* setfl() */
static int set_flags(struct flexsc_frame *frame, struct file *file)
{
	struct inode *inode = file_inode(file);
	unsigned int flags = frame->args[2];
	int rc;

	if (((flags ^ file->f_flags) & O_APPEND) && IS_APPEND(inode))
		return flexsc_done(frame, -EPERM);
	if ((flags & O_NOATIME) && !(file->f_flags & O_NOATIME) &&
	    !inode_owner_or_capable(file_mnt_idmap(file), inode))
		return flexsc_done(frame, -EPERM);
	/* On a pipe it means packets. */
	if ((flags & O_DIRECT) && !S_ISFIFO(inode->i_mode) &&
	    !(file->f_mode & FMODE_CAN_ODIRECT))
		return flexsc_done(frame, -EINVAL);
	if (file->f_op->check_flags) {
		rc = file->f_op->check_flags(flags);
		if (rc)
			return flexsc_done(frame, rc);
	}
	/* ->fasync() may make current the one to be signalled. */
	if (((flags ^ file->f_flags) & FASYNC) && file->f_op->fasync)
		return FLEXSC_HAND_BACK;

	spin_lock(&file->f_lock);
	file->f_flags = (flags & SETFL_MASK) | (file->f_flags & ~SETFL_MASK);
	file->f_iocb_flags = iocb_flags(file);
	spin_unlock(&file->f_lock);
	return flexsc_done(frame, 0);
}

/*
 * The flag of a descriptor is the table's, so what the entry holds does not count: it may come
 * from a longer table, or be closed by now. Under the lock the number is looked up here, and
 * lies inside.
 */
static int descriptor_flags(struct flexsc_frame *frame, unsigned int fd, bool set)
{
	struct files_struct *files = current->files;
	struct fdtable *fdt;
	struct file *file;
	int rc;

	spin_lock(&files->file_lock);
	file = files_lookup_fd_locked(files, fd);
	fdt = files_fdtable(files);
	if (!file && !FLEXSC_MUTANT(descriptor))
		rc = flexsc_done(frame, -EBADF);
	else if (file && file->f_op == &FLEXSC_FOPS)
		rc = FLEXSC_HAND_BACK;
	else if (!set)
		rc = flexsc_done(frame, test_bit(fd, fdt->close_on_exec) ? FD_CLOEXEC : 0);
	else {
		__assign_bit(fd, fdt->close_on_exec, frame->args[2] & FD_CLOEXEC);
		rc = flexsc_done(frame, 0);
	}
	spin_unlock(&files->file_lock);
	return rc;
}

/* F_DUPFD_CLOEXEC from 0 on: the only start that an exported function takes. */
static int duplicate(struct file *file)
{
	int fd;

	if (!rlimit(RLIMIT_NOFILE))
		return -EINVAL;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd >= 0)
		fd_install(fd, get_file(file));
	return fd;
}

static int fcntl_file(struct flexsc_frame *frame, struct file *file)
{
	switch ((unsigned int)frame->args[1]) {
	case F_GETFL:
		return flexsc_done(frame, file->f_flags);
	case F_SETFL:
		return set_flags(frame, file);
	default:
		return flexsc_done(frame, duplicate(file));
	}
}

int flexsc_call_fcntl(struct flexsc_frame *frame)
{
	unsigned int cmd = frame->args[1];
	fmode_t unwanted = 0;
	int rc;

	switch (cmd) {
	case F_SETFL:
		unwanted = FMODE_PATH;
		break;
	case F_GETFL:
		break;
	case F_DUPFD_CLOEXEC:
		if ((int)frame->args[2])
			return FLEXSC_HAND_BACK;
		fallthrough;
	case F_GETFD:
	case F_SETFD:
		/* About the table, which is current's own only there. */
		if (frame->lane == FLEXSC_LANE_W)
			return FLEXSC_TO_T;
		/* A chain's file has no descriptor yet. */
		if (frame->chain && cmd != F_DUPFD_CLOEXEC)
			return FLEXSC_HAND_BACK;
		break;
	default:
		return FLEXSC_HAND_BACK;
	}
	/* security_file_fcntl() is out of reach; AppArmor has no such hook. */
	rc = flexsc_gated(frame, FLEXSC_GATE_SELINUX);
	if (rc)
		return rc;
	if (cmd == F_GETFD || cmd == F_SETFD)
		return descriptor_flags(frame, frame->args[0], cmd == F_SETFD);
	return flexsc_on_file(frame, unwanted, fcntl_file);
}
