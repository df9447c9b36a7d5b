// SPDX-License-Identifier: GPL-2.0
/*
 * Calls on the data of an open file.
 *
 * Each follows the order of checks of the real call (fs/read_write.c, fs/open.c,
 * fs/sync.c), because the order decides which errno wins. Nothing may happen to the
 * file before the last point at which a handler can still return a verdict.
 */
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/sched/xacct.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "arm.h"
#include "call_file.h"
#include "call_socket.h"

/* One read that got @got bytes, or failed; in lane W current is not the process. */
void flexsc_account_read(struct flexsc_acct *acct, ssize_t got)
{
	if (acct) {
		acct->rchar += max_t(ssize_t, got, 0);
		acct->syscr++;
		return;
	}
	if (got > 0)
		add_rchar(current, got);
	inc_syscr(current);
}

void flexsc_account_write(struct flexsc_acct *acct, ssize_t put)
{
	if (acct) {
		acct->wchar += max_t(ssize_t, put, 0);
		acct->syscw++;
		return;
	}
	if (put > 0)
		add_wchar(current, put);
	inc_syscw(current);
}

static noinline struct flexsc_arm *direct_flight(struct file *file, int rw)
{
	umode_t mode = file_inode(file)->i_mode;

	if (!S_ISREG(mode) && !S_ISBLK(mode))
		return NULL;
	if (rw == READ ? file->f_op->read || !file->f_op->read_iter :
			 file->f_op->write || !file->f_op->write_iter)
		return NULL;
	if (FMODE_FSNOTIFY_HSM(file->f_mode) || !flexsc_inode_is_prompt(file_inode(file)))
		return NULL;
	return flexsc_flight_new(file, rw);
}

/*
 * Prepare to have a device make this transfer while nobody waits for it: past the page
 * cache of a local disk, or of a block device, at a position that the call names. NULL
 * where that is not to be, or there is no memory for it.
 */
static inline struct flexsc_arm *flight(const struct flexsc_frame *frame, struct file *file,
					int rw)
{
	if (!(frame->flags & FLEXSC_FRAME_FLY) || !(file->f_flags & O_DIRECT) || FLEXSC_MUTANT(fly))
		return NULL;
	return direct_flight(file, rw);
}

/* Begin it. True if it flies, and @frame says so; else *@ret is its result. */
static bool fly(struct flexsc_frame *frame, struct flexsc_arm *arm, struct iov_iter *iter,
		loff_t pos, ssize_t *ret)
{
	*ret = flexsc_flight_begin(arm, iter, pos);
	if (*ret != -EIOCBQUEUED)
		return false;
	frame->note = (uintptr_t)arm;
	return true;
}

/* The verdict on a transfer at a named position. */
static int transferred(const struct flexsc_frame *frame, struct file *file, int rc)
{
	flexsc_file_first_put(frame, file);
	return frame->note ? FLEXSC_FLY : rc;
}

/* A kiocb for one synchronous transfer; SIGPIPE would go to whoever current is. */
static __always_inline void init_kiocb(struct kiocb *kiocb, const struct flexsc_frame *frame,
				       struct file *file, const loff_t *ppos)
{
	init_sync_kiocb(kiocb, file);
	if (!FLEXSC_MUTANT(nosignal))
		kiocb->ki_flags |= IOCB_NOSIGNAL;
	if (frame->flags & FLEXSC_FRAME_ATTEMPT)
		kiocb->ki_flags |= IOCB_NOWAIT;
	kiocb->ki_pos = ppos ? *ppos : 0;
}

static __always_inline ssize_t iter_read(const struct flexsc_frame *frame, struct file *file,
					struct iov_iter *iter, loff_t *ppos)
{
	struct kiocb kiocb;
	ssize_t ret;

	init_kiocb(&kiocb, frame, file, ppos);
	ret = file->f_op->read_iter(&kiocb, iter);
	if (ppos)
		*ppos = kiocb.ki_pos;
	return ret;
}

static __always_inline ssize_t iter_write(const struct flexsc_frame *frame, struct file *file,
					 struct iov_iter *iter, loff_t *ppos)
{
	struct socket *sock = frame->file ? sock_from_file(file) : NULL;
	struct kiocb kiocb;
	ssize_t ret;

	ret = sock ? flexsc_socket_resumes(frame, sock) : 0;
	if (ret)
		return ret;
	init_kiocb(&kiocb, frame, file, ppos);
	ret = file->f_op->write_iter(&kiocb, iter);
	if (ppos)
		*ppos = kiocb.ki_pos;
	return ret;
}

/* vfs_read(), which is not exported; vfs_iter_read() answers differently. */
static ssize_t do_read(struct flexsc_frame *frame, struct file *file, char __user *buf,
		       size_t count, loff_t *ppos)
{
	struct flexsc_arm *arm;
	struct iov_iter iter;
	ssize_t ret;

	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	if (!(file->f_mode & FMODE_CAN_READ))
		return -EINVAL;
	if (unlikely(!access_ok(buf, count)))
		return -EFAULT;
	ret = rw_verify_area(READ, file, ppos, count);
	if (ret)
		return ret;
	count = min_t(size_t, count, MAX_RW_COUNT);

	arm = flight(frame, file, READ);
	if (arm) {
		iov_iter_ubuf(&iter, ITER_DEST, buf, count);
		if (fly(frame, arm, &iter, *ppos, &ret))
			return ret;
	} else if (file->f_op->read) {
		ret = file->f_op->read(file, buf, count, ppos);
	} else if (file->f_op->read_iter) {
		iov_iter_ubuf(&iter, ITER_DEST, buf, count);
		ret = iter_read(frame, file, &iter, ppos);
	} else {
		ret = -EINVAL;
	}
	if (flexsc_would_wait(frame, file, READ, ret, count))
		return ret;
	if (ret > 0)
		fsnotify_access(file);
	flexsc_account_read(frame->acct, ret);
	return ret;
}

/* vfs_write() */
static ssize_t do_write(struct flexsc_frame *frame, struct file *file,
			const char __user *buf, size_t count, loff_t *ppos)
{
	loff_t end = ppos ? *ppos : 0;
	struct flexsc_arm *arm;
	struct iov_iter iter;
	ssize_t ret;

	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (!(file->f_mode & FMODE_CAN_WRITE))
		return -EINVAL;
	if (unlikely(!access_ok(buf, count)))
		return -EFAULT;
	ret = rw_verify_area(WRITE, file, ppos, count);
	if (ret)
		return ret;
	/* What it has written before it had to wait. */
	count = min_t(size_t, count, MAX_RW_COUNT) - frame->done;
	buf += frame->done;

	arm = flight(frame, file, WRITE);
	if (arm) {
		iov_iter_ubuf(&iter, ITER_SOURCE, (void __user *)buf, count);
		if (!fly(frame, arm, &iter, end, &ret)) {
			if (ret > 0)
				fsnotify_modify(file);
			flexsc_account_write(frame->acct, ret);
		}
		return ret;
	}

	file_start_write(file);
	if (file->f_op->write) {
		ret = file->f_op->write(file, buf, count, ppos);
	} else if (file->f_op->write_iter) {
		iov_iter_ubuf(&iter, ITER_SOURCE, (void __user *)buf, count);
		ret = iter_write(frame, file, &iter, &end);
		if (ret > 0 && ppos)
			*ppos = end;
	} else {
		ret = -EINVAL;
	}
	if (!flexsc_would_wait(frame, file, WRITE, ret, count)) {
		if (ret > 0 || frame->done)
			fsnotify_modify(file);
		flexsc_account_write(frame->acct, max_t(ssize_t, ret, 0) + frame->done);
	}
	file_end_write(file);
	return ret;
}

/*
 * The file position for a call that uses and moves it: a copy, so that a failure
 * leaves the file's own alone. A stream has none.
 */
static loff_t *load_pos(struct file *file, loff_t *pos)
{
	if (file->f_mode & FMODE_STREAM)
		return NULL;
	*pos = file->f_pos;
	return pos;
}

static void store_pos(struct file *file, const loff_t *ppos, ssize_t ret)
{
	if (ret >= 0 && ppos)
		file->f_pos = *ppos;
}

/* A transfer that a kworker should not begin. */
static bool too_long(const struct flexsc_frame *frame, size_t count)
{
	return frame->lane == FLEXSC_LANE_W && count > FLEXSC_W_MAX_BYTES &&
	       !FLEXSC_MUTANT(long_transfer);
}

static ssize_t do_single(struct flexsc_frame *frame, struct file *file, int rw, loff_t *ppos)
{
	void __user *buf = u64_to_user_ptr(frame->args[1]);
	size_t count = frame->args[2];

	return rw == READ ? do_read(frame, file, buf, count, ppos) :
			    do_write(frame, file, buf, count, ppos);
}

static __always_inline int call_single(struct flexsc_frame *frame, int rw)
{
	loff_t pos, *ppos;
	struct file *file;
	int rc;

	if (too_long(frame, frame->args[2]) || (rw == WRITE && flexsc_fsize(frame)))
		return FLEXSC_TO_T;
	/* It moves the file's position, for which the next one waits. */
	frame->flags &= ~FLEXSC_FRAME_FLY;
	rc = flexsc_file_get_rw(frame, rw, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = flexsc_file_first_ready(frame, file);
	if (!rc) {
		flexsc_file_lock_pos(file);
		ppos = load_pos(file, &pos);
		frame->ret = do_single(frame, file, rw, ppos);
		store_pos(file, ppos, frame->ret);
		flexsc_file_unlock_pos(file);
		if (frame->events)
			rc = FLEXSC_WAIT;
	}
	flexsc_file_release(frame, file, rc);
	return rc;
}

static __always_inline int call_psingle(struct flexsc_frame *frame, int rw)
{
	loff_t pos = frame->args[3];
	struct file *file;
	int rc;

	if (pos < 0)
		return flexsc_done(frame, -EINVAL);
	if (too_long(frame, frame->args[2]) || (rw == WRITE && flexsc_fsize(frame)))
		return FLEXSC_TO_T;
	rc = flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = flexsc_file_first_ready(frame, file);
	if (!rc)
		frame->ret = file->f_mode & (rw == READ ? FMODE_PREAD : FMODE_PWRITE) ?
			     do_single(frame, file, rw, &pos) : -ESPIPE;
	return transferred(frame, file, rc);
}

int flexsc_call_read(struct flexsc_frame *frame)
{
	return call_single(frame, READ);
}

int flexsc_call_write(struct flexsc_frame *frame)
{
	return call_single(frame, WRITE);
}

int flexsc_call_pread64(struct flexsc_frame *frame)
{
	return call_psingle(frame, READ);
}

int flexsc_call_pwrite64(struct flexsc_frame *frame)
{
	return call_psingle(frame, WRITE);
}

/* A device without read_iter or write_iter takes one segment after the other. */
static ssize_t loop_read_write(struct file *file, struct iov_iter *iter, loff_t *ppos,
			       int rw)
{
	ssize_t ret = 0;

	while (iov_iter_count(iter)) {
		void __user *base = iter_iov_addr(iter);
		size_t len = iter_iov_len(iter);
		ssize_t nr;

		if (rw == READ)
			nr = file->f_op->read(file, base, len, ppos);
		else
			nr = file->f_op->write(file, base, len, ppos);
		if (nr < 0)
			return ret ?: nr;
		ret += nr;
		if (nr != len)
			break;
		iov_iter_advance(iter, nr);
	}
	return ret;
}

/*
 * vfs_readv() and vfs_writev(). Return: 0 with *@ret set, or a verdict: the length is
 * known only when the segments have been read in.
 */
static int do_vector(struct flexsc_frame *frame, struct file *file, int rw, loff_t *ppos,
		     ssize_t *ret)
{
	const struct iovec __user *uvec = u64_to_user_ptr(frame->args[1]);
	struct iovec fast[UIO_FASTIOV], *iov = fast;
	struct flexsc_arm *arm;
	struct iov_iter iter;
	size_t total;
	int rc = 0;

	if (!(file->f_mode & (rw == READ ? FMODE_READ : FMODE_WRITE))) {
		*ret = -EBADF;
		return 0;
	}
	if (!(file->f_mode & (rw == READ ? FMODE_CAN_READ : FMODE_CAN_WRITE))) {
		*ret = -EINVAL;
		return 0;
	}
	*ret = import_iovec(rw == READ ? ITER_DEST : ITER_SOURCE, uvec, frame->args[2],
			    ARRAY_SIZE(fast), &iov, &iter);
	if (*ret < 0)
		return 0;

	*ret = 0;
	total = iov_iter_count(&iter);
	if (too_long(frame, total)) {
		rc = FLEXSC_TO_T;
		goto out;
	}
	if (total) {
		*ret = rw_verify_area(rw, file, ppos, total);
		if (*ret < 0)
			goto out;
	}
	arm = total ? flight(frame, file, rw) : NULL;
	if (arm) {
		if (fly(frame, arm, &iter, *ppos, ret))
			rc = FLEXSC_FLY;
		else if (rw == READ && *ret >= 0)
			fsnotify_access(file);
		else if (rw == WRITE && *ret > 0)
			fsnotify_modify(file);
	} else if (rw == READ) {
		if (total)
			*ret = file->f_op->read_iter ? iter_read(frame, file, &iter, ppos) :
			       loop_read_write(file, &iter, ppos, READ);
		if (flexsc_would_wait(frame, file, READ, *ret, total))
			rc = FLEXSC_WAIT;
		else if (*ret >= 0)
			fsnotify_access(file);
	} else if (total) {
		total -= min_t(size_t, total, frame->done);
		iov_iter_advance(&iter, frame->done);
		file_start_write(file);
		*ret = file->f_op->write_iter ? iter_write(frame, file, &iter, ppos) :
		       loop_read_write(file, &iter, ppos, WRITE);
		if (flexsc_would_wait(frame, file, WRITE, *ret, total))
			rc = FLEXSC_WAIT;
		else if (*ret > 0 || frame->done)
			fsnotify_modify(file);
		file_end_write(file);
	}
out:
	kfree(iov);
	return rc;
}

/* Vectored calls count as one read or write whatever comes of them, EBADF too. */
static int vector_done(struct flexsc_frame *frame, int rw, ssize_t ret)
{
	if (rw == READ)
		flexsc_account_read(frame->acct, ret);
	else
		flexsc_account_write(frame->acct, max_t(ssize_t, ret, 0) + frame->done);
	return flexsc_done(frame, ret);
}

static int call_vector(struct flexsc_frame *frame, int rw)
{
	loff_t pos, *ppos;
	struct file *file;
	ssize_t ret;
	int rc;

	if (rw == WRITE && flexsc_fsize(frame))
		return FLEXSC_TO_T;
	frame->flags &= ~FLEXSC_FRAME_FLY;
	rc = flexsc_file_get_rw(frame, rw, &file);
	if (rc > 0)
		return rc;
	if (rc < 0)
		return vector_done(frame, rw, rc);
	rc = flexsc_file_first_ready(frame, file);
	if (!rc) {
		flexsc_file_lock_pos(file);
		ppos = load_pos(file, &pos);
		rc = do_vector(frame, file, rw, ppos, &ret);
		if (!rc)
			store_pos(file, ppos, ret);
		flexsc_file_unlock_pos(file);
	}
	flexsc_file_release(frame, file, rc);
	return rc ?: vector_done(frame, rw, ret);
}

static int call_pvector(struct flexsc_frame *frame, int rw)
{
	/* args[4], the upper half, is shifted out on 64 bits. */
	loff_t pos = frame->args[3];
	struct file *file;
	ssize_t ret = -ESPIPE;
	int rc;

	if (pos < 0)
		return flexsc_done(frame, -EINVAL);
	if (rw == WRITE && flexsc_fsize(frame))
		return FLEXSC_TO_T;
	rc = flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc > 0)
		return rc;
	if (rc < 0)
		return vector_done(frame, rw, rc);
	rc = flexsc_file_first_ready(frame, file);
	if (!rc && (file->f_mode & (rw == READ ? FMODE_PREAD : FMODE_PWRITE)))
		rc = do_vector(frame, file, rw, &pos, &ret);
	rc = transferred(frame, file, rc);
	return rc ?: vector_done(frame, rw, ret);
}

int flexsc_call_readv(struct flexsc_frame *frame)
{
	return call_vector(frame, READ);
}

int flexsc_call_writev(struct flexsc_frame *frame)
{
	return call_vector(frame, WRITE);
}

int flexsc_call_preadv(struct flexsc_frame *frame)
{
	return call_pvector(frame, READ);
}

int flexsc_call_pwritev(struct flexsc_frame *frame)
{
	return call_pvector(frame, WRITE);
}

int flexsc_call_lseek(struct flexsc_frame *frame)
{
	unsigned int whence = frame->args[2];
	loff_t offset = frame->args[1];
	struct file *file;
	int rc;

	rc = flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	flexsc_file_lock_pos(file);
	frame->ret = whence > SEEK_MAX ? -EINVAL : vfs_llseek(file, offset, whence);
	flexsc_file_unlock_pos(file);
	flexsc_file_first_put(frame, file);
	return FLEXSC_DID;
}

int flexsc_call_fallocate(struct flexsc_frame *frame)
{
	int mode = frame->args[1];
	loff_t offset = frame->args[2];
	loff_t len = frame->args[3];
	struct file *file;
	int rc;

	/* tmpfs allocates page by page, and would stop only for a signal. */
	if (frame->lane == FLEXSC_LANE_W && len > FLEXSC_W_MAX_BYTES)
		return FLEXSC_TO_T;
	rc = flexsc_fsize(frame) ?: flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	frame->ret = vfs_fallocate(file, mode, offset, len);
	flexsc_file_first_put(frame, file);
	return FLEXSC_DID;
}

int flexsc_call_fadvise64(struct flexsc_frame *frame)
{
	loff_t offset = frame->args[1];
	loff_t len = frame->args[2];
	int advice = frame->args[3];
	struct file *file;
	int rc;

	rc = flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	frame->ret = vfs_fadvise(file, offset, len, advice);
	flexsc_file_first_put(frame, file);
	return FLEXSC_DID;
}

/* The offset that @uoff points to, or the file's own, which is read without a lock. */
static int load_offset(loff_t *pos, const loff_t __user *uoff, const struct file *file)
{
	if (!uoff)
		*pos = file->f_pos;
	else if (copy_from_user(pos, uoff, sizeof(*pos)))
		return -EFAULT;
	return 0;
}

static int store_offset(loff_t pos, loff_t __user *uoff, struct file *file)
{
	if (!uoff)
		file->f_pos = pos;
	else if (copy_to_user(uoff, &pos, sizeof(pos)))
		return -EFAULT;
	return 0;
}

static ssize_t do_copy(struct flexsc_frame *frame, struct file *in, struct file *out)
{
	loff_t __user *uoff_in = u64_to_user_ptr(frame->args[1]);
	loff_t __user *uoff_out = u64_to_user_ptr(frame->args[3]);
	size_t len = frame->args[4];
	unsigned int flags = frame->args[5];
	loff_t pos_in, pos_out;
	ssize_t ret;

	ret = load_offset(&pos_in, uoff_in, in) ?: load_offset(&pos_out, uoff_out, out);
	if (ret)
		return ret;
	if (flags)
		return -EINVAL;
	ret = vfs_copy_file_range(in, pos_in, out, pos_out, len, 0);
	if (ret > 0) {
		/* Both are stored, also if the first fails. */
		int err_in = store_offset(pos_in + ret, uoff_in, in);
		int err_out = store_offset(pos_out + ret, uoff_out, out);

		if (err_in || err_out)
			ret = -EFAULT;
	}
	return ret;
}

int flexsc_call_copy_file_range(struct flexsc_frame *frame)
{
	struct file *in, *out;
	int rc;

	/* A fall-back to splice would leave the worker a pipe charged to the user. */
	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	rc = flexsc_file_first(frame, FMODE_PATH, &in);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = flexsc_file_second(frame, frame->args[2], &out);
	if (rc) {
		rc = flexsc_stop(frame, rc);
		goto put_in;
	}
	rc = flexsc_file_ready(frame, in) ?: flexsc_file_ready(frame, out);
	if (!rc)
		frame->ret = do_copy(frame, in, out);
	flexsc_file_second_put(frame, out);
put_in:
	flexsc_file_first_put(frame, in);
	return rc;
}
