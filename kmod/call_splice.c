// SPDX-License-Identifier: GPL-2.0
/*
 * Moving data between files without a buffer of the user's. In T and C: the transfer
 * goes through a pipe that current owns.
 *
 * A pipe to a pipe, and anything that is neither to nor from a pipe, is handed back.
 */
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/pipe_fs_i.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/sched/xacct.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "call_file.h"
#include "call_socket.h"

/* A splice from a socket goes on when there is one of these. */
#define INPUT	(EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP)

/* A file and what it is for this call. */
struct end {
	struct file *file;
	struct pipe_inode_info *pipe;	/* NULL: it is none */
	loff_t __user *upos;		/* NULL: the file's own position */
	loff_t pos;
};

/* get_pipe_info(): nothing else opens a FIFO's inode. Return: 0, or a verdict. */
static int find_pipe(struct end *end)
{
	end->pipe = NULL;
	if (!S_ISFIFO(file_inode(end->file)->i_mode))
		return 0;
	end->pipe = end->file->private_data;
	if (!pipe_has_watch_queue(end->pipe))
		return 0;
	return FLEXSC_HAND_BACK;
}

/* With anything but 0 there is no file to be given back. */
static int get_second_end(struct flexsc_frame *frame, unsigned int fd, struct end *end)
{
	int rc = flexsc_file_second(frame, fd, &end->file);

	if (rc)
		return rc;
	rc = find_pipe(end);
	if (rc)
		flexsc_file_second_put(frame, end->file);
	return rc;
}

static int get_first_end(struct flexsc_frame *frame, struct end *end)
{
	int rc = flexsc_file_first(frame, FMODE_PATH, &end->file);

	if (rc)
		return rc;
	rc = find_pipe(end);
	if (rc)
		flexsc_file_first_put(frame, end->file);
	return rc;
}

/*
 * May this lane move data between the two? The caller of wait only between files that
 * wait for nobody, and pipes that nobody has to wait at.
 */
static int may_move(struct flexsc_frame *frame, const struct end *in, const struct end *out,
		    unsigned int flags)
{
	const struct end *ends[] = { in, out };
	int i, rc;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		const struct end *end = ends[i];

		if (frame->lane == FLEXSC_LANE_C && !end->pipe &&
		    !flexsc_inode_is_prompt(file_inode(end->file)))
			return FLEXSC_TO_T;
		if (frame->lane == FLEXSC_LANE_C && end->pipe && (flags & SPLICE_F_NONBLOCK))
			continue;
		rc = flexsc_file_ready(frame, end->file);
		if (rc)
			return rc;
	}
	/* A listener would be asked twice, and once with the pipe locked. */
	return out->pipe && FMODE_FSNOTIFY_HSM(in->file->f_mode) ? FLEXSC_HAND_BACK : 0;
}

/* pipe_writable() */
static bool has_space(const struct pipe_inode_info *pipe)
{
	union pipe_index index = { .head_tail = READ_ONCE(pipe->head_tail) };

	return !pipe_full(index.head, index.tail, READ_ONCE(pipe->max_usage)) ||
	       !READ_ONCE(pipe->readers);
}

/* wait_for_space(), less SIGPIPE. With the pipe locked. */
static int wait_for_space(struct pipe_inode_info *pipe, unsigned int flags)
{
	for (;;) {
		if (!pipe->readers)
			return -EPIPE;
		if (!pipe_is_full(pipe))
			return 0;
		if (flags & SPLICE_F_NONBLOCK)
			return -EAGAIN;
		if (signal_pending(current))
			return -ERESTARTSYS;
		pipe_unlock(pipe);
		wait_event_interruptible(pipe->wr_wait, has_space(pipe));
		pipe_lock(pipe);
	}
}

static bool is_idle(struct file *file, unsigned int flags)
{
	const struct socket *sock = sock_from_file(file);
	poll_table table = { ._key = INPUT };

	return sock && flexsc_socket_tells_input(sock, flags) && !(vfs_poll(file, &table) & INPUT) &&
	       !FLEXSC_MUTANT(idle_input);
}

static noinline_for_stack int wait_for_input(struct file *file)
{
	struct poll_wqueues waits;
	int ret = 0;

	poll_initwait(&waits);
	waits.pt._key = INPUT;
	while (!(vfs_poll(file, &waits.pt) & INPUT)) {
		waits.pt._qproc = NULL;
		if (signal_pending(current)) {
			ret = -ERESTARTSYS;
			break;
		}
		set_current_state(TASK_INTERRUPTIBLE);
		if (!waits.triggered)
			schedule();
		__set_current_state(TASK_RUNNING);
		/* As in poll_schedule_timeout(): before the next look. */
		smp_store_mb(waits.triggered, 0);
	}
	poll_freewait(&waits);
	return ret;
}

/*
 * splice_file_to_pipe(), less that a socket without data is waited for with the pipe locked:
 * whoever reads or writes the pipe then would wait for the socket, and not to be interrupted.
 */
static ssize_t fill_pipe(struct end *in, struct pipe_inode_info *pipe, size_t len,
			 unsigned int flags)
{
	ssize_t ret;

	pipe_lock(pipe);
	ret = wait_for_space(pipe, flags);
	while (!ret && is_idle(in->file, flags)) {
		pipe_unlock(pipe);
		ret = wait_for_input(in->file);
		pipe_lock(pipe);
		if (!ret)
			ret = wait_for_space(pipe, flags);
	}
	if (!ret)
		ret = vfs_splice_read(in->file, &in->pos, pipe, len, flags);
	pipe_unlock(pipe);
	if (ret > 0) {
		/* Either the reader that is about to sleep sees the data, or we see it. */
		smp_mb();
		if (waitqueue_active(&pipe->rd_wait))
			wake_up_interruptible(&pipe->rd_wait);
		kill_fasync(&pipe->fasync_readers, SIGIO, POLL_IN);
	}
	return ret;
}

/* do_sendfile(), in a copy of the positions. Return: the result, or *@verdict. */
static ssize_t send_file(struct flexsc_frame *frame, struct end *in, size_t count, int *verdict)
{
	unsigned int flags = 0;
	struct end out;
	loff_t limit;
	ssize_t ret;
	int rc;

	if (!(in->file->f_mode & FMODE_READ))
		return -EBADF;
	if (!in->upos)
		in->pos = in->file->f_pos;
	else if (!(in->file->f_mode & FMODE_PREAD))
		return -ESPIPE;
	/* Before a listener is asked; what is wrong with it is told after that. */
	rc = get_first_end(frame, &out);
	*verdict = rc ? max(rc, 0) : may_move(frame, in, &out, flags);
	if (*verdict) {
		ret = 0;
		goto put_out;
	}
	ret = rw_verify_area(READ, in->file, &in->pos, count);
	if (ret < 0)
		goto put_out;
	count = min_t(size_t, count, MAX_RW_COUNT);

	ret = -EBADF;
	if (rc || !(out.file->f_mode & FMODE_WRITE))
		goto put_out;
	out.pos = out.file->f_pos;
	limit = min(file_inode(in->file)->i_sb->s_maxbytes,
		    file_inode(out.file)->i_sb->s_maxbytes);
	if (in->pos + count > limit) {
		ret = -EOVERFLOW;
		if (in->pos >= limit)
			goto put_out;
		count = limit - in->pos;
	}

	if (out.pipe) {
		if (out.file->f_flags & O_NONBLOCK)
			flags |= SPLICE_F_NONBLOCK;
		ret = fill_pipe(in, out.pipe, count, flags);
	} else {
		ret = rw_verify_area(WRITE, out.file, &out.pos, count);
		if (ret < 0)
			goto put_out;
		ret = do_splice_direct(in->file, &in->pos, out.file, &out.pos, count, flags);
	}
	if (ret > 0) {
		add_rchar(current, ret);
		add_wchar(current, ret);
		fsnotify_access(in->file);
		fsnotify_modify(out.file);
		out.file->f_pos = out.pos;
		if (!in->upos)
			in->file->f_pos = in->pos;
	}
	inc_syscr(current);
	inc_syscw(current);
	if (in->pos > limit)
		ret = -EOVERFLOW;
put_out:
	if (!rc)
		flexsc_file_first_put(frame, out.file);
	return ret;
}

int flexsc_call_sendfile(struct flexsc_frame *frame)
{
	unsigned int in_fd = frame->args[1];
	struct end in = { .upos = u64_to_user_ptr(frame->args[2]) };
	size_t count = frame->args[3];
	int verdict = 0, rc;
	loff_t pos;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (in.upos && copy_from_user(&in.pos, in.upos, sizeof(in.pos)))
		return flexsc_done(frame, -EFAULT);
	pos = in.pos;
	rc = get_second_end(frame, in_fd, &in);
	if (rc > 0)
		return rc;
	frame->ret = rc;
	if (!rc) {
		frame->ret = send_file(frame, &in, count, &verdict);
		flexsc_file_second_put(frame, in.file);
	}
	if (verdict)
		return verdict;
	/* Written back whatever came of it, but it moves only with the data. */
	if (frame->ret > 0 || frame->ret == -EOVERFLOW)
		pos = in.pos;
	if (in.upos && put_user(pos, in.upos))
		frame->ret = -EFAULT;
	return FLEXSC_DID;
}

/* pipe_clear_nowait(): what is spliced may be slow to write elsewhere. */
static void clear_nowait(struct file *file)
{
	fmode_t mode = READ_ONCE(file->f_mode);

	do {
		if (!(mode & FMODE_NOWAIT))
			break;
	} while (!try_cmpxchg(&file->f_mode, &mode, mode & ~FMODE_NOWAIT));
}

/* From a pipe. */
static ssize_t splice_out(struct end *in, struct end *out, size_t len, unsigned int flags)
{
	ssize_t ret;

	if (out->file->f_flags & O_APPEND)
		return -EINVAL;
	ret = rw_verify_area(WRITE, out->file, &out->pos, len);
	if (ret < 0)
		return ret;
	if (in->file->f_flags & O_NONBLOCK)
		flags |= SPLICE_F_NONBLOCK;
	file_start_write(out->file);
	if (out->file->f_op->splice_write)
		ret = out->file->f_op->splice_write(in->pipe, out->file, &out->pos, len, flags);
	else
		ret = -EINVAL;
	file_end_write(out->file);
	return ret;
}

/* To a pipe. */
static ssize_t splice_in(struct end *in, struct end *out, size_t len, unsigned int flags)
{
	ssize_t ret;

	ret = rw_verify_area(READ, in->file, &in->pos, len);
	if (ret < 0)
		return ret;
	if (out->file->f_flags & O_NONBLOCK)
		flags |= SPLICE_F_NONBLOCK;
	return fill_pipe(in, out->pipe, len, flags);
}

/* __do_splice() and do_splice(). Return: a verdict. */
static int splice_ends(struct flexsc_frame *frame, struct end *in, struct end *out)
{
	unsigned int flags = frame->args[5];
	size_t len = frame->args[4];
	struct end *end;	/* the one that is no pipe */
	ssize_t ret;
	int rc;

	if (!in->pipe == !out->pipe)
		return FLEXSC_HAND_BACK;
	rc = may_move(frame, in, out, flags);
	if (rc)
		return rc;
	if ((in->pipe && in->upos) || (out->pipe && out->upos))
		return flexsc_done(frame, -ESPIPE);
	clear_nowait(in->pipe ? in->file : out->file);

	end = in->pipe ? out : in;
	if (end->upos && copy_from_user(&end->pos, end->upos, sizeof(end->pos)))
		return flexsc_done(frame, -EFAULT);
	if (!(in->file->f_mode & FMODE_READ) || !(out->file->f_mode & FMODE_WRITE))
		return flexsc_done(frame, -EBADF);
	if (!end->upos)
		end->pos = end->file->f_pos;
	else if (!(end->file->f_mode & (in->pipe ? FMODE_PWRITE : FMODE_PREAD)))
		return flexsc_done(frame, -EINVAL);

	ret = in->pipe ? splice_out(in, out, len, flags) : splice_in(in, out, len, flags);
	if (!end->upos && ret >= 0)
		end->file->f_pos = end->pos;
	if (ret > 0) {
		/* In this order, so that a listener's events are merged. */
		fsnotify_modify(out->file);
		fsnotify_access(in->file);
	}
	if (ret >= 0 && end->upos && copy_to_user(end->upos, &end->pos, sizeof(end->pos)))
		ret = -EFAULT;
	return flexsc_done(frame, ret);
}

int flexsc_call_splice(struct flexsc_frame *frame)
{
	struct end in = { .upos = u64_to_user_ptr(frame->args[1]) };
	struct end out = { .upos = u64_to_user_ptr(frame->args[3]) };
	int rc;

	if (!frame->args[4])
		return flexsc_done(frame, 0);
	if ((unsigned int)frame->args[5] & ~SPLICE_F_ALL)
		return flexsc_done(frame, -EINVAL);
	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	rc = get_first_end(frame, &in);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = get_second_end(frame, frame->args[2], &out);
	if (rc) {
		rc = flexsc_stop(frame, rc);
	} else {
		rc = splice_ends(frame, &in, &out);
		flexsc_file_second_put(frame, out.file);
	}
	flexsc_file_first_put(frame, in.file);
	return rc;
}
