/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Open files as handlers see them: looked up in the process's table, judged by
 * kind, released before the entry is done.
 */
#ifndef FLEXSC_CALL_FILE_H
#define FLEXSC_CALL_FILE_H

#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>

#include "call.h"

/* A kworker cannot be killed: longer transfers run where a signal can end them. */
#define FLEXSC_W_MAX_BYTES	SZ_4M

/* The call was executed, with this result. */
static inline int flexsc_done(struct flexsc_frame *frame, s64 ret)
{
	frame->ret = ret;
	return FLEXSC_DID;
}

/*
 * End an entry on what a helper said: helpers return 0 to go on, -errno as the
 * result of the call, or a verdict (> 0) that leaves it to somebody else.
 */
static inline int flexsc_stop(struct flexsc_frame *frame, int rc)
{
	return rc > 0 ? rc : flexsc_done(frame, rc);
}

/* FLEXSC_HAND_BACK if one of @modules mediates the process, or under lsm=strict. */
static inline int flexsc_gated(const struct flexsc_frame *frame, u32 modules)
{
	if (FLEXSC_MUTANT(gate))
		return 0;
	return frame->gate & (modules | FLEXSC_GATE_STRICT) ? FLEXSC_HAND_BACK : 0;
}

bool flexsc_landlocked(struct super_block *sb);

/* What a call does with its open file: returns a verdict. */
typedef int (*flexsc_file_fn)(struct flexsc_frame *frame, struct file *file);

/* Besides READ and WRITE, what flexsc_file_get_rw() may be asked for: only a look. */
#define FLEXSC_POLL	2

/* The call reads and writes nothing that the file could make it wait for. */
#define FLEXSC_NO_TRANSFER	(-1)

int flexsc_file_get(struct flexsc_frame *frame, unsigned int fd, fmode_t unwanted,
		    struct file **filep);
int flexsc_file_first_slow(struct flexsc_frame *frame, fmode_t unwanted, int rw,
			   struct file **filep);
int flexsc_file_second(struct flexsc_frame *frame, unsigned int fd, struct file **filep);
int flexsc_file_get_again(struct flexsc_frame *frame, struct file **filep);
int flexsc_on_file(struct flexsc_frame *frame, fmode_t unwanted, flexsc_file_fn fn);
struct file *flexsc_file_hold(struct task_struct *table, unsigned int fd);
bool flexsc_file_is_direct(const struct file *file);
void flexsc_file_put(struct file *file);
bool flexsc_attempt_would_wait(struct flexsc_frame *frame, struct file *file, int rw, ssize_t ret,
			       size_t wanted);
void flexsc_account_read(struct flexsc_acct *acct, ssize_t got);
void flexsc_account_write(struct flexsc_acct *acct, ssize_t put);
int flexsc_file_ready(struct flexsc_frame *frame, struct file *file);

/* flexsc_file_ready() of what flexsc_file_first() or _get_rw() has found. */
static inline int flexsc_file_first_ready(struct flexsc_frame *frame, struct file *file)
{
	return frame->flags & FLEXSC_FRAME_PROMPT ? 0 : flexsc_file_ready(frame, file);
}

bool flexsc_inode_is_prompt(struct inode *inode);
bool flexsc_fd_is_own(int fd);
int flexsc_fd_reserve(struct flexsc_frame *frame, unsigned int flags);
void flexsc_fd_cancel(const struct flexsc_frame *frame, int fd);
int flexsc_fd_install(struct flexsc_frame *frame, int fd, struct file *file);

/* Of what is known to be prompt, no more is to be found out. */
static inline int flexsc_first_get(struct flexsc_frame *frame, fmode_t unwanted, int rw,
				   struct file **filep)
{
	struct file *file = frame->taken[0];

	if (!(frame->flags & FLEXSC_FRAME_PROMPT) || !file || (file->f_mode & unwanted))
		return flexsc_file_first_slow(frame, unwanted, rw, filep);
	*filep = file;
	return 0;
}

/**
 * flexsc_file_first - the file that the first argument stands for
 * @frame: the entry
 * @unwanted: as for flexsc_file_get()
 * @filep: out, for flexsc_file_first_put()
 *
 * That is the file of the entry's chain, if it has one without a descriptor.
 *
 * Return: as flexsc_file_get().
 */
static inline int flexsc_file_first(struct flexsc_frame *frame, fmode_t unwanted,
				    struct file **filep)
{
	return flexsc_first_get(frame, unwanted, FLEXSC_NO_TRANSFER, filep);
}

/**
 * flexsc_file_get_rw - the file that the first argument stands for, to read or write
 * @frame: the entry
 * @rw: READ, WRITE or FLEXSC_POLL
 * @filep: out, for flexsc_file_release()
 *
 * An entry that has waited keeps its file, whatever the descriptor names by now. Sets
 * FLEXSC_FRAME_ATTEMPT if the transfer has to be tried without blocking; where it is
 * not set, flexsc_file_first_ready() has to be asked.
 *
 * Return: 0, -EBADF, or a verdict; *@filep is set only with 0.
 */
static inline int flexsc_file_get_rw(struct flexsc_frame *frame, int rw, struct file **filep)
{
	return flexsc_first_get(frame, FMODE_PATH, rw, filep);
}

/**
 * flexsc_file_first_put - what flexsc_file_first() found is not needed any more
 * @frame: the entry
 * @file: the file
 */
static inline void flexsc_file_first_put(const struct flexsc_frame *frame, struct file *file)
{
	if ((frame->flags & FLEXSC_FRAME_FIRST) && !FLEXSC_MUTANT(file_first))
		flexsc_file_put(file);
}

/**
 * flexsc_file_second_put - what flexsc_file_second() found is not needed any more
 * @frame: the entry
 * @file: the file
 */
static inline void flexsc_file_second_put(const struct flexsc_frame *frame, struct file *file)
{
	if ((frame->flags & FLEXSC_FRAME_SECOND) && !FLEXSC_MUTANT(file_second))
		flexsc_file_put(file);
}

/**
 * flexsc_file_release - what flexsc_file_get_rw() found is not needed any more
 * @frame: the entry
 * @file: the file
 * @rc: the verdict: an entry that waits keeps the file
 */
static inline void flexsc_file_release(struct flexsc_frame *frame, struct file *file, int rc)
{
	if (rc != FLEXSC_WAIT || frame->file)
		flexsc_file_first_put(frame, file);
	else
		frame->file = frame->flags & FLEXSC_FRAME_FIRST ? file : get_file(file);
}

/**
 * flexsc_file_lock_pos - begin a use of the file position
 * @file: referenced file
 *
 * The reference of the entry makes the file shared, so the lock is always due where the
 * file asks for it at all; elsewhere the field is in use for something else. Only after
 * flexsc_file_ready(): whoever holds the lock may keep it for as long as it reads.
 */
static inline void flexsc_file_lock_pos(struct file *file)
{
	if (file->f_mode & FMODE_ATOMIC_POS)
		mutex_lock(&file->f_pos_lock);
}

/**
 * flexsc_file_unlock_pos - end a use of the file position
 * @file: the file
 */
static inline void flexsc_file_unlock_pos(struct file *file)
{
	if (file->f_mode & FMODE_ATOMIC_POS)
		mutex_unlock(&file->f_pos_lock);
}

/**
 * flexsc_would_wait - does the blocking call go on where an attempt has ended?
 * @frame: the entry
 * @file: its file
 * @rw: READ or WRITE
 * @ret: what the attempt returned
 * @wanted: how many bytes it was asked for
 *
 * A read returns what there is, a write goes on until all is written. If it would
 * wait, @frame says so, and the verdict has to be FLEXSC_WAIT.
 */
static inline bool flexsc_would_wait(struct flexsc_frame *frame, struct file *file, int rw,
				     ssize_t ret, size_t wanted)
{
	return (frame->flags & FLEXSC_FRAME_ATTEMPT) &&
	       flexsc_attempt_would_wait(frame, file, rw, ret, wanted);
}

/**
 * flexsc_fsize - is lane W fit for a call that may make a file longer?
 * @frame: the entry
 *
 * The file size limit is read from current, and a kworker has none.
 *
 * Return: 0 or FLEXSC_TO_T.
 */
static inline int flexsc_fsize(struct flexsc_frame *frame)
{
	if (frame->lane == FLEXSC_LANE_W && !FLEXSC_MUTANT(fsize) &&
	    task_rlimit(frame->thread, RLIMIT_FSIZE) != RLIM_INFINITY)
		return FLEXSC_TO_T;
	return 0;
}

#endif /* FLEXSC_CALL_FILE_H */
