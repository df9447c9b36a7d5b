/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Open files as handlers see them: looked up in the process's table, judged by
 * kind, released before the entry is done.
 */
#ifndef FLEXSC_CALL_FILE_H
#define FLEXSC_CALL_FILE_H

#include <linux/fs.h>
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

int flexsc_file_get(struct flexsc_frame *frame, unsigned int fd, fmode_t unwanted,
		    struct file **filep);
int flexsc_file_first(struct flexsc_frame *frame, fmode_t unwanted, struct file **filep);
int flexsc_file_second(struct flexsc_frame *frame, unsigned int fd, struct file **filep);
int flexsc_file_get_rw(struct flexsc_frame *frame, int rw, struct file **filep);
int flexsc_file_get_again(struct flexsc_frame *frame, struct file **filep);
int flexsc_on_file(struct flexsc_frame *frame, fmode_t unwanted, flexsc_file_fn fn);
struct file *flexsc_file_hold(struct task_struct *table, unsigned int fd);
bool flexsc_file_is_direct(const struct file *file);
void flexsc_file_put(struct file *file);
void flexsc_file_first_put(const struct flexsc_frame *frame, struct file *file);
void flexsc_file_second_put(const struct flexsc_frame *frame, struct file *file);
void flexsc_file_release(struct flexsc_frame *frame, struct file *file, int rc);
bool flexsc_would_wait(struct flexsc_frame *frame, struct file *file, int rw, ssize_t ret,
		       size_t wanted);
void flexsc_account_read(struct flexsc_acct *acct, ssize_t got);
void flexsc_account_write(struct flexsc_acct *acct, ssize_t put);
void flexsc_file_lock_pos(struct file *file);
void flexsc_file_unlock_pos(struct file *file);
int flexsc_file_ready(struct flexsc_frame *frame, struct file *file);

/* flexsc_file_ready() of what flexsc_file_first() or _get_rw() has found, and no other was since. */
static inline int flexsc_file_first_ready(struct flexsc_frame *frame, struct file *file)
{
	return frame->flags & FLEXSC_FRAME_PROMPT ? 0 : flexsc_file_ready(frame, file);
}

bool flexsc_inode_is_prompt(struct inode *inode);
bool flexsc_fd_is_own(int fd);
int flexsc_fsize(struct flexsc_frame *frame);
int flexsc_fd_reserve(struct flexsc_frame *frame, unsigned int flags);
void flexsc_fd_cancel(const struct flexsc_frame *frame, int fd);
int flexsc_fd_install(struct flexsc_frame *frame, int fd, struct file *file);

#endif /* FLEXSC_CALL_FILE_H */
