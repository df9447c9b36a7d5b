// SPDX-License-Identifier: GPL-2.0
/*
 * Locks on whole files. In T and C: /proc/locks tells current's process.
 */
#include <linux/fcntl.h>
#include <linux/filelock.h>
#include <linux/fs.h>

#include "call_file.h"

/* flock_translate_cmd() */
static int lock_type(unsigned int cmd)
{
	switch (cmd) {
	case LOCK_SH:
		return F_RDLCK;
	case LOCK_EX:
		return F_WRLCK;
	case LOCK_UN:
		return F_UNLCK;
	}
	return -EINVAL;
}

static int flock_file(struct flexsc_frame *frame, struct file *file)
{
	unsigned int cmd = frame->args[1];
	int type = lock_type(cmd & ~LOCK_NB);
	bool may_wait = !(cmd & LOCK_NB);
	struct file_lock lock;

	if (type != F_UNLCK && !(file->f_mode & (FMODE_READ | FMODE_WRITE)))
		return flexsc_done(frame, -EBADF);
	/*
	 * Trying first is no way: a conversion gives the old lock up before it finds that
	 * it cannot have the new one. A file system's own locks may ask a server.
	 */
	if (frame->lane == FLEXSC_LANE_C &&
	    ((may_wait && type != F_UNLCK) || file->f_op->flock))
		return FLEXSC_TO_T;

	locks_init_lock(&lock);
	lock.c.flc_file = file;
	lock.c.flc_owner = file;
	lock.c.flc_pid = current->tgid;
	lock.c.flc_flags = FL_FLOCK | (may_wait ? FL_SLEEP : 0);
	lock.c.flc_type = type;
	lock.fl_end = OFFSET_MAX;
	if (file->f_op->flock)
		frame->ret = file->f_op->flock(file, may_wait ? F_SETLKW : F_SETLK, &lock);
	else
		frame->ret = locks_lock_file_wait(file, &lock);
	locks_release_private(&lock);
	return FLEXSC_DID;
}

int flexsc_call_flock(struct flexsc_frame *frame)
{
	unsigned int cmd = frame->args[1];
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	/* Mandatory locks: gone, and ignored since. */
	if (cmd & LOCK_MAND)
		return flexsc_done(frame, 0);
	rc = lock_type(cmd & ~LOCK_NB);
	if (rc < 0)
		return flexsc_done(frame, rc);
	/* security_file_lock() is out of reach. */
	rc = flexsc_gated(frame, FLEXSC_GATE_APPARMOR | FLEXSC_GATE_SELINUX);
	return rc ?: flexsc_on_file(frame, FMODE_PATH, flock_file);
}
