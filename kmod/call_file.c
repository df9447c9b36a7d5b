// SPDX-License-Identifier: GPL-2.0
/*
 * Open files: look-up in the process's table, kinds, release.
 */
#include <linux/eventfd.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/tty.h>
#include <net/sock.h>

#include "call_file.h"
#include "call_socket.h"

/* Minors of MEM_MAJOR, as drivers/char/mem.c numbers them. */
#define MEM_MINOR_NULL		3
#define MEM_MINOR_ZERO		5
#define MEM_MINOR_URANDOM	9

/* Does this file system wait for nothing but a local disk? */
static bool super_is_prompt(const struct super_block *sb)
{
	switch (sb->s_magic) {
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
		return true;
	case FUSE_SUPER_MAGIC:
		/* fuseblk has a device, and a server all the same. */
		return false;
	default:
		return sb->s_type->fs_flags & FS_REQUIRES_DEV;
	}
}

/**
 * flexsc_inode_is_prompt - does this inode wait for nothing but a local disk?
 * @inode: what an open file, or a path, leads to
 *
 * Such an inode also never asks who current is. Anything else may wait for a server or
 * for another process (FUSE, network file systems, pipes, ttys), or may look at
 * current's pid, session or namespaces. The file system counts for devices as well:
 * their attributes are kept there.
 */
bool flexsc_inode_is_prompt(struct inode *inode)
{
	if (!super_is_prompt(inode->i_sb))
		return false;

	switch (inode->i_mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFBLK:
		return true;
	case S_IFCHR:
		if (imajor(inode) != MEM_MAJOR)
			return false;
		switch (iminor(inode)) {
		case MEM_MINOR_NULL:
		case MEM_MINOR_ZERO:
		case MEM_MINOR_URANDOM:
			return true;
		}
		return false;
	default:
		return false;
	}
}

/* A fanotify listener may keep an access to this file waiting for ever. */
static bool file_is_prompt(const struct file *file)
{
	if (FLEXSC_MUTANT(kind))
		return true;
	return !FMODE_FSNOTIFY_HSM(file->f_mode) && flexsc_inode_is_prompt(file_inode(file));
}

static bool is_eventfd(struct file *file)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fileget(file);

	if (IS_ERR(eventfd))
		return false;
	eventfd_ctx_put(eventfd);
	return true;
}

/*
 * In which lanes may a transfer be tried without blocking, and waited for in the file's
 * wait queue? All for pipes, inet sockets and eventfds, which never ask who current is.
 * Writing to an eventfd knows no way not to block but the file's own.
 */
static u32 waiting_lanes(const struct flexsc_frame *frame, struct file *file, int rw)
{
	const struct inode *inode = file_inode(file);

	if (FMODE_FSNOTIFY_HSM(file->f_mode))
		return 0;
	if (rw == READ && (file->f_op->read || !file->f_op->read_iter))
		return 0;
	if (rw == WRITE && (file->f_op->write || !file->f_op->write_iter))
		return 0;
	switch (inode->i_mode & S_IFMT) {
	case S_IFIFO:
		/* The times of a named one are kept by its file system. */
		return inode->i_sb->s_magic == PIPEFS_MAGIC ||
		       super_is_prompt(inode->i_sb) ? FLEXSC_ALL_LANES : 0;
	case S_IFSOCK:
		return flexsc_socket_lanes(frame, sock_from_file(file), rw);
	}
	if (is_eventfd(file))
		return FLEXSC_ALL_LANES;
	/* timerfd and signalfd; the signals are those of the process. */
	if (rw == READ && inode->i_sb->s_magic == ANON_INODE_FS_MAGIC &&
	    (file->f_mode & FMODE_NOWAIT) && file_can_poll(file))
		return FLEXSC_LANE_T;
	return 0;
}

/*
 * May @frame's lane touch @file? Says also how. What is prompt is never waited for in a
 * wait queue.
 */
static bool suits(struct flexsc_frame *frame, struct file *file, int rw)
{
	frame->flags &= ~(FLEXSC_FRAME_ATTEMPT | FLEXSC_FRAME_PROMPT);
	if (file_is_prompt(file)) {
		frame->flags |= FLEXSC_FRAME_PROMPT;
		return true;
	}
	if (rw != FLEXSC_NO_TRANSFER && !(frame->flags & FLEXSC_FRAME_BLOCK) &&
	    (waiting_lanes(frame, file, rw) & frame->lane)) {
		frame->flags |= FLEXSC_FRAME_ATTEMPT;
		return true;
	}
	return frame->lane != FLEXSC_LANE_W;
}

/*
 * Look @fd up in @files and take a reference, if the file may be touched.
 *
 * All under file_lock, not RCU: the slot then cannot change between the look at
 * f_op and the reference. A reference to our own file, however short, could turn
 * out to be the last one, and its release would wait for the very worker or thread
 * that runs this.
 */
static int slot_get(struct flexsc_frame *frame, struct files_struct *files,
		    unsigned int fd, fmode_t unwanted, int rw, struct file **filep)
{
	struct file *file;
	int rc = 0;

	spin_lock(&files->file_lock);
	file = files_lookup_fd_locked(files, fd);
	if (!file || (file->f_mode & unwanted))
		rc = -EBADF;
	else if (file->f_op == &FLEXSC_FOPS && !FLEXSC_MUTANT(own_file))
		rc = FLEXSC_HAND_BACK;
	else if (!suits(frame, file, rw))
		rc = FLEXSC_TO_T;
	else
		*filep = get_file(file);
	spin_unlock(&files->file_lock);
	return rc;
}

static int file_get(struct flexsc_frame *frame, unsigned int fd, fmode_t unwanted, int rw,
		    struct file **filep)
{
	struct files_struct *files;
	int rc = FLEXSC_TO_T;

	if (frame->lane != FLEXSC_LANE_W)
		return slot_get(frame, current->files, fd, unwanted, rw, filep);

	/* AppArmor takes names apart in current's mount namespace: a kworker's is empty. */
	if (frame->gate & FLEXSC_GATE_APPARMOR)
		return FLEXSC_TO_T;

	/*
	 * The thread's exit clears ->files under task_lock, so the table lives while
	 * we look. Order: alloc_lock, file_lock (as __do_SAK() has it).
	 */
	task_lock(frame->thread);
	files = frame->thread->files;
	if (files)
		rc = slot_get(frame, files, fd, unwanted, rw, filep);
	task_unlock(frame->thread);
	return rc;
}

/**
 * flexsc_file_get - the file that @fd names in the process
 * @frame: the entry
 * @fd: file descriptor
 * @unwanted: FMODE_PATH where the call takes no O_PATH descriptor, else 0
 * @filep: out, with a reference for flexsc_file_put()
 *
 * Return: 0, -EBADF, or a verdict; *@filep is set only with 0.
 */
int flexsc_file_get(struct flexsc_frame *frame, unsigned int fd, fmode_t unwanted,
		    struct file **filep)
{
	int rc = file_get(frame, fd, unwanted, FLEXSC_NO_TRANSFER, filep);

	/* Which is said of the first. */
	if (!FLEXSC_MUTANT(lead_second))
		frame->flags &= ~FLEXSC_FRAME_PROMPT;
	return rc;
}

/*
 * The file that the entry works on, wherever it comes from. Of what the entry holds by
 * itself no reference is taken: it keeps that until the handler has returned.
 */
int flexsc_file_first_slow(struct flexsc_frame *frame, fmode_t unwanted, int rw,
			   struct file **filep)
{
	struct file *file = frame->file ?: frame->chain ?: frame->taken[0];

	if (!file || FLEXSC_MUTANT(held_file)) {
		frame->flags |= FLEXSC_FRAME_FIRST;
		return file_get(frame, frame->args[0], unwanted, rw, filep);
	}
	if (frame->lane == FLEXSC_LANE_W && (frame->gate & FLEXSC_GATE_APPARMOR))
		return FLEXSC_TO_T;
	if (file->f_mode & unwanted)
		return -EBADF;
	if (!suits(frame, file, rw))
		return FLEXSC_TO_T;
	*filep = file;
	return 0;
}

/**
 * flexsc_file_second - the file that the second descriptor of a call stands for
 * @frame: the entry
 * @fd: that descriptor
 * @filep: out, for flexsc_file_second_put()
 *
 * Not in W.
 *
 * Return: as flexsc_file_get().
 */
int flexsc_file_second(struct flexsc_frame *frame, unsigned int fd, struct file **filep)
{
	struct file *file = frame->taken[1];

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (!file) {
		frame->flags |= FLEXSC_FRAME_SECOND;
		return flexsc_file_get(frame, fd, FMODE_PATH, filep);
	}
	if (file->f_mode & FMODE_PATH)
		return -EBADF;
	*filep = file;
	return 0;
}

/**
 * flexsc_file_get_again - the file that the first argument stands for, unless it waited
 * @frame: the entry
 * @filep: out, for flexsc_file_release()
 *
 * For calls that know for themselves whether they can wait; not in W.
 *
 * Return: 0, -EBADF, or a verdict; *@filep is set only with 0.
 */
int flexsc_file_get_again(struct flexsc_frame *frame, struct file **filep)
{
	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (!frame->file)
		return flexsc_file_first(frame, FMODE_PATH, filep);
	*filep = frame->file;
	return 0;
}

/* For flexsc_would_wait(). */
bool flexsc_attempt_would_wait(struct flexsc_frame *frame, struct file *file, int rw, ssize_t ret,
			       size_t wanted)
{
	/* A call that has begun to wait does not look at that any more. */
	if (!frame->file && (file->f_flags & O_NONBLOCK))
		return false;
	if (ret != -EAGAIN && !(rw == WRITE && ret > 0 && ret < wanted))
		return false;
	if (ret > 0) {
		frame->done += ret;
		/*
		 * A socket may have stopped for another reason than want of room (an error, a
		 * shutdown, memory that is not there), which only another attempt tells.
		 */
		if (sock_from_file(file))
			frame->flags |= FLEXSC_FRAME_AGAIN;
	}
	frame->events = (__force u32)(rw == READ ? EPOLLIN | EPOLLRDNORM | EPOLLRDHUP :
						   EPOLLOUT | EPOLLWRNORM);
	return true;
}

static struct file *table_hold(struct files_struct *files, unsigned int fd)
{
	struct file *file;

	/* A task that exits has none. */
	if (!files)
		return NULL;
	spin_lock(&files->file_lock);
	file = files_lookup_fd_locked(files, fd);
	if (file && (file->f_op != &FLEXSC_FOPS || FLEXSC_MUTANT(own_file)))
		get_file(file);
	else
		file = NULL;
	spin_unlock(&files->file_lock);
	return file;
}

/**
 * flexsc_file_hold - the file that an entry is going to work on
 * @table: a task with the process's fd table, or NULL
 * @fd: file descriptor
 *
 * Does not sleep. Our own file is not held, see slot_get(). Nor is one of a thread that has
 * left the process's table (unshare(2)): other lanes may execute the entry, and what the
 * number means there is looked up there.
 *
 * Return: the file, with a reference for flexsc_file_put(), or NULL.
 */
struct file *flexsc_file_hold(struct task_struct *table, unsigned int fd)
{
	struct file *file;

	if (!table)
		return NULL;
	/* Our own table is at no other address while we have it. */
	if (!(current->flags & PF_KTHREAD))
		return READ_ONCE(table->files) == current->files || FLEXSC_MUTANT(other_table) ?
		       table_hold(current->files, fd) : NULL;
	/* As in file_get(). */
	task_lock(table);
	file = table_hold(table->files, fd);
	task_unlock(table);
	return file;
}

/* Stale as soon as it is told: fcntl(2) may change it. */
bool flexsc_file_is_direct(const struct file *file)
{
	return READ_ONCE(file->f_flags) & O_DIRECT;
}

static bool current_is_dying(void)
{
	const struct signal_struct *signal = current->signal;

	return (READ_ONCE(signal->flags) & SIGNAL_GROUP_EXIT) || READ_ONCE(signal->group_exec_task);
}

/* Does the release have to wait for do_exit()? */
static bool may_die_first(void)
{
	return !(current->flags & PF_KTHREAD) && current_is_dying();
}

/*
 * A kworker that drops the last reference to a socket lingers for nobody (SO_LINGER): nothing
 * would end its wait, and it may wear the memory of a process that is to die. What was sent is
 * still delivered. Whether it is the last, and whether the socket lingers, others decide up to
 * that moment, so the wait is let begin, as after a signal that has come: it ends at once.
 *
 * Not for CAN (ISO-TP, J1939), whose release takes a signal for leave to drop what is being
 * sent, and waits no longer than its protocol does.
 */
static void put_socket(struct file *file)
{
	set_thread_flag(TIF_SIGPENDING);
	__fput_sync(file);
	clear_thread_flag(TIF_SIGPENDING);
}

/**
 * flexsc_file_put - give back what flexsc_file_get() took
 * @file: the file
 *
 * Not fput(): in a kworker that defers the release by a tick, and in a system call
 * thread until it next looks at its task work. The release must be over when the
 * entry is done, as it is when the real call returns. No locks may be held.
 *
 * But for a process that dies: nobody asks for its entries, and a release that waits would
 * keep it from dying, unlike the one in do_exit(), which runs the task work.
 */
void flexsc_file_put(struct file *file)
{
	struct socket *sock;

	if (FLEXSC_MUTANT(late_fput) || may_die_first()) {
		fput(file);
		return;
	}
	sock = current->flags & PF_KTHREAD ? sock_from_file(file) : NULL;
	if (sock && !FLEXSC_MUTANT(linger) &&
	    (sock->ops->family != PF_CAN || FLEXSC_MUTANT(linger_can)))
		put_socket(file);
	else
		__fput_sync(file);
}

/**
 * flexsc_on_file - make a call on the file that its first argument stands for
 * @frame: the entry
 * @unwanted: as for flexsc_file_get()
 * @fn: the rest of the call
 *
 * Return: a verdict.
 */
int flexsc_on_file(struct flexsc_frame *frame, fmode_t unwanted, flexsc_file_fn fn)
{
	struct file *file;
	int rc;

	rc = flexsc_file_first(frame, unwanted, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = fn(frame, file);
	flexsc_file_first_put(frame, file);
	return rc;
}

/**
 * flexsc_file_ready - may this lane read or write @file?
 * @frame: the entry
 * @file: referenced file
 *
 * Return: 0, or a verdict: T for what might block the caller without a bound; the
 * application for the terminal that controls it, because job control stops or
 * refuses by current's signal mask, and a system call thread blocks everything.
 */
int flexsc_file_ready(struct flexsc_frame *frame, struct file *file)
{
	umode_t mode = file_inode(file)->i_mode;

	if (frame->lane == FLEXSC_LANE_W || (frame->flags & FLEXSC_FRAME_ATTEMPT) ||
	    file_is_prompt(file))
		return 0;
	if (frame->lane == FLEXSC_LANE_C) {
		/* A regular file waits with O_NONBLOCK too, and so does a fanotify listener. */
		if ((file->f_flags & O_NONBLOCK) && !S_ISREG(mode) &&
		    !FMODE_FSNOTIFY_HSM(file->f_mode))
			return 0;
		return FLEXSC_TO_T;
	}
	if (S_ISCHR(mode) && READ_ONCE(current->signal->tty) && !FLEXSC_MUTANT(tty))
		return FLEXSC_HAND_BACK;
	return 0;
}

/**
 * flexsc_fd_is_own - does @dfd name a /dev/flexsc file?
 * @dfd: a directory descriptor that a look-up is going to resolve by itself
 *
 * For T and C. Only a look, no reference: the slot may change right after. What
 * matters is that no call sent on purpose to our own file gets that far.
 */
bool flexsc_fd_is_own(int dfd)
{
	struct file *file;
	bool own;

	if (dfd < 0 || FLEXSC_MUTANT(own_file))
		return false;
	rcu_read_lock();
	file = files_lookup_fd_raw(current->files, dfd);
	/* struct file is SLAB_TYPESAFE_BY_RCU: at worst this is another file's f_op. */
	own = file && READ_ONCE(file->f_op) == &FLEXSC_FOPS;
	rcu_read_unlock();
	return own;
}

/**
 * flexsc_fd_reserve - a descriptor for the file that a call is going to open
 * @frame: the entry
 * @flags: O_CLOEXEC or 0, among others
 *
 * None is due where the file goes to the entry's chain.
 *
 * Return: for flexsc_fd_cancel() or flexsc_fd_install(), or -errno.
 */
int flexsc_fd_reserve(struct flexsc_frame *frame, unsigned int flags)
{
	if (!(frame->flags & FLEXSC_FRAME_FILE))
		return get_unused_fd_flags(flags);
	if (flags & O_CLOEXEC)
		frame->flags |= FLEXSC_FRAME_CLOEXEC;
	return 0;
}

/**
 * flexsc_fd_cancel - give back what flexsc_fd_reserve() took
 * @frame: the entry
 * @fd: what it returned
 */
void flexsc_fd_cancel(const struct flexsc_frame *frame, int fd)
{
	if (!(frame->flags & FLEXSC_FRAME_FILE))
		put_unused_fd(fd);
}

/**
 * flexsc_fd_install - the call has opened @file
 * @frame: the entry
 * @fd: from flexsc_fd_reserve()
 * @file: the file, whose reference passes on, or an ERR_PTR
 *
 * Return: a verdict.
 */
int flexsc_fd_install(struct flexsc_frame *frame, int fd, struct file *file)
{
	if (IS_ERR(file)) {
		flexsc_fd_cancel(frame, fd);
		return flexsc_done(frame, PTR_ERR(file));
	}
	if (!(frame->flags & FLEXSC_FRAME_FILE)) {
		fd_install(fd, file);
		return flexsc_done(frame, fd);
	}
	if (!FLEXSC_MUTANT(link_own)) {
		/* No entry acts on such a file. This one is no context yet, so it may go here. */
		if (file->f_op == &FLEXSC_FOPS) {
			flexsc_file_put(file);
			return FLEXSC_HAND_BACK;
		}
	}
	frame->chain = file;
	return flexsc_done(frame, 0);
}
