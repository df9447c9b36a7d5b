/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Exception-less system calls: prepare many, submit them, go on, take what has completed.
 *
 *	struct flexsc *context;
 *	int ret = flexsc_register(&context, NULL);
 *	if (ret < 0)
 *		errx(1, "%s", flexsc_register_error());
 *	struct flexsc_call *call = flexsc_get_call(context);
 *	flexsc_prep_pread(call, fd, buf, sizeof(buf), 0);
 *	call->user_data = 1;
 *	flexsc_wait(context, 1, -1);
 *	struct flexsc_completion done;
 *	flexsc_reap(context, &done, 1);
 *	flexsc_unregister(context);
 *
 * Errors are returned as -errno; errno itself is never touched.
 *
 * Memory. What a call points to (buffers, paths, structures, and what those point to) stays valid,
 * and what the call writes is not looked at, from when it is submitted until its completion was taken
 * by flexsc_reap(). What a prepared call points to need not be there before it is submitted. Nobody
 * but the caller sees to that.
 *
 * Order. Calls are unordered, also on one file, unless FLEXSC_LINK puts them in order.
 *
 * Threads. A context is used by one thread at a time, whichever; several threads have one each, or
 * a lock. Functions without a context may be called by any thread at any time. None may be called
 * by a signal handler, and a thread inside of one must not be cancelled (pthread_cancel).
 *
 * fork. A context belongs to the process that registered it. In a child all of its calls complete with
 * -EOWNERDEAD, and it can be unregistered, which leaves the parent's as it is. With the backend
 * "direct" nothing is shared, and both go on. A child of vfork() must not touch it.
 *
 * Handed back. What the kernel module declines to execute the library makes by the plain call, inside of
 * flexsc_wait(), flexsc_reap() or whatever looks for completions: they may block as it does.
 *
 * flexsc(7) has the concepts; each function is in a manual page of section 3.
 */
#ifndef FLEXSC_H
#define FLEXSC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of this header; flexsc_version() tells of the library. */
#define FLEXSC_VERSION "0.1.0"

struct iovec;
struct open_how;
struct stat;
struct statfs;
struct statx;
struct timespec;

/* A context: a page of calls, and who executes them. */
struct flexsc;

/* flexsc_attr.flags: these fields count, although 0 means something for them. */
#define FLEXSC_ATTR_CPU		(1U << 0)
#define FLEXSC_ATTR_IDLE_SPIN	(1U << 1)
#define FLEXSC_ATTR_WAIT_SPIN	(1U << 2)

/* What a context is registered with. All zeroes are the defaults. */
struct flexsc_attr {
	const char *backend;		/* a name, "module", "io_uring", "threads", "direct"; NULL: the best
					   there is, or what FLEXSC_BACKEND in the environment says */
	uint32_t flags;			/* FLEXSC_ATTR_* */
	uint32_t entries;		/* calls in progress at a time; 0: 256. Becomes a power of
					   two between 64 and 4096 */
	uint32_t cpu;			/* ATTR_CPU: where the module's page workers run */
	uint32_t threads;		/* the most threads, at most 32; 0: the default */
	uint32_t drains;		/* the module's drain items, at most 32; 0: the default */
	uint32_t idle_spin_us;		/* ATTR_IDLE_SPIN: how long the other side polls an empty
					   page before it sleeps, microseconds */
	uint32_t wait_spin_us;		/* ATTR_WAIT_SPIN: how long flexsc_wait() spins before it
					   sleeps, microseconds; else 1000 */
	uint32_t close_timeout_ms;	/* how long flexsc_unregister() waits for what is in progress,
					   milliseconds; 0: 5000 */
	uint64_t reserved[3];		/* 0 */
};

/*
 * flexsc_call.flags.
 *
 * LINK: the next call that is submitted begins when this one has succeeded (res >= 0); if it fails,
 * that one and the rest of the chain complete with -ECANCELED. The last call that is submitted
 * together with others ends its chain, with LINK or without.
 *
 * FILE: openat, openat2, socket and accept4 open the chain's file, which gets no descriptor: res
 * is 0. Other calls that take a descriptor as their first argument take the chain's file for it, whatever
 * stands there; close ends it. Where there is none: -EBADF; for any other call: -EINVAL. What is not
 * closed is closed with the chain.
 *
 * TIMEOUT: the call is cancelled after timeout_ns nanoseconds, and completes with -ETIME. 0 or less:
 * it is not executed. For close it counts for nothing.
 *
 * MULTI: a poll goes on: it completes with FLEXSC_MORE for each readiness, and without it at its
 * end. Not for other calls, with FILE, or in a chain: -EINVAL.
 */
#define FLEXSC_LINK		(1U << 0)
#define FLEXSC_FILE		(1U << 1)
#define FLEXSC_TIMEOUT		(1U << 2)
#define FLEXSC_MULTI		(1U << 3)

/* A call that is being prepared. */
struct flexsc_call {
	uint64_t user_data;		/* the caller's; comes back with the completion */
	uint64_t args[6];		/* prep: its arguments, as in registers */
	int64_t timeout_ns;		/* with FLEXSC_TIMEOUT */
	uint32_t nr;			/* prep: its number in the x86-64 table */
	uint32_t flags;			/* FLEXSC_LINK ... FLEXSC_MULTI */
	uint64_t reserved[3];		/* 0 */
};

/* flexsc_completion.flags: more completions of the call are to come. */
#define FLEXSC_MORE		(1U << 0)

/* A call that is complete. */
struct flexsc_completion {
	uint64_t user_data;		/* of its flexsc_call */
	int64_t res;			/* what it returned, or -errno */
	uint32_t flags;			/* FLEXSC_MORE */
	uint32_t reserved;		/* 0 */
};

/* Counts since a context was registered. Fields are only ever added, at the end. */
struct flexsc_stats {
	uint64_t submitted;		/* calls */
	uint64_t queued;		/* calls that waited for a free entry */
	uint64_t entries_w;		/* executed by a page worker of the module */
	uint64_t entries_t;		/* executed by a system call thread, or one of the pool */
	uint64_t entries_c;		/* executed by the caller */
	uint64_t handed_back;		/* declined by the module, and made by the library */
	uint64_t rejected;		/* the page was scribbled on */
	uint64_t kicks;			/* wake-ups of the other side; of the module a trap each */
	uint64_t waits;			/* waits in the kernel; for the module a trap each */
	uint64_t wait_sleeps;		/* waits that slept */
	uint64_t spun;			/* waits that ended while spinning */
	uint64_t drains;		/* runs of the module's drain items */
	uint64_t idle_sleeps;		/* times that the other side stopped polling */
	uint64_t threads;		/* threads that exist */
	uint64_t thread_wakes;		/* wake-ups of those */
};

/* The version of the library, as "0.1.0". */
const char *flexsc_version(void);

/*
 * Makes a context, and stores it to *context; NULL there if it fails. attr may be NULL. Returns 0 or
 * -errno, and then flexsc_register_error() has the sentence: -ENODEV there is no module, -EACCES or
 * -EPERM it may not be used, -EMFILE, -EAGAIN or -ENOMEM a limit is reached, -EINVAL attr makes no sense
 * ... Never with the backend "direct", or without any name unless the environment forces one.
 */
int flexsc_register(struct flexsc **context, const struct flexsc_attr *attr);

/*
 * Why the last flexsc_register() of this thread that failed has failed, and what to do: one sentence. ""
 * if none has. Valid until the thread's next flexsc_register().
 */
const char *flexsc_register_error(void);

/*
 * Ends a context, which may be NULL. Prepared calls are not submitted, those that wait for a free entry
 * not executed; the rest is waited for. Completions that were not taken are lost, with the descriptors
 * in them. Returns 0, or how many calls were still in progress when close_timeout_ms were over: what
 * they point to must then stay as long as the process lives.
 */
int flexsc_unregister(struct flexsc *context);

/* Who executes: the name of the backend. Valid as long as the context. */
const char *flexsc_backend(const struct flexsc *context);

/* Why that one: a clause for people. Valid as long as the context. */
const char *flexsc_reason(const struct flexsc *context);

/*
 * A call to be prepared by one of flexsc_prep_*(): all zeroes but for nr, which is that of
 * flexsc_prep_nop(). Never NULL, as many as are wanted. Valid until calls are submitted, and part of
 * what is submitted then, prepared or not.
 */
struct flexsc_call *flexsc_get_call(struct flexsc *context);

/*
 * Submits the calls that were got since the last time, in their order, and lets the other side see
 * them. Returns how many. Never fails: what is wrong with a call its completion says, and when the page
 * is full it waits in the library. With the backend "direct" they are made here, and block here.
 */
int flexsc_submit(struct flexsc *context);

/*
 * Submits as flexsc_submit(), and waits until min completions can be taken, or no call is in progress,
 * or timeout_ns nanoseconds are over (negative: no limit; 0: only looks). Returns how many can be
 * taken. Signal handlers run meanwhile, but do not end it: a poll of a signalfd(2) does.
 */
int flexsc_wait(struct flexsc *context, unsigned int min, int64_t timeout_ns);

/*
 * For event loops: a descriptor that is readable (POLLIN) when there is something to do for the context, to
 * be slept on by poll(2), epoll(7) and the like. It belongs to the context: never read or close it. Returns
 * -EMFILE, -ENFILE, -ENOMEM, or -EOWNERDEAD in a forked child.
 */
int flexsc_event_fd(const struct flexsc *context);

/*
 * To be called each time before an event loop sleeps. Submits as flexsc_submit(), does not wait, and returns
 * how many completions can be taken. If that is 0, the loop may sleep on the descriptor for at most *timeout_ms
 * milliseconds (-1: for as long as it likes), and is told of what completes from now on; else *timeout_ms
 * is 0.
 */
int flexsc_arm(struct flexsc *context, int *timeout_ms);

/*
 * Takes up to max completions, in the order in which they came, and waits for none. Returns how
 * many. Submits nothing.
 */
int flexsc_reap(struct flexsc *context, struct flexsc_completion *completions, unsigned int max);

/*
 * Submits, then ends a call early that carries user_data, one of them if there are several. Its completion
 * comes in any case, and says what has happened. Returns 0 if it had no effect (-ECANCELED; of a write
 * that waited, what it has written), -EALREADY if it is being executed (it may be interrupted, or give
 * its result), -ENOENT if none is in progress.
 */
int flexsc_cancel(struct flexsc *context, uint64_t user_data);

/* As flexsc_cancel() for all calls. Returns how many were not over. */
int flexsc_cancel_all(struct flexsc *context);

/* How many calls are submitted and not complete. */
unsigned int flexsc_outstanding(const struct flexsc *context);

/* How many calls can be in progress before one waits for a free entry. */
unsigned int flexsc_capacity(const struct flexsc *context);

/* What the context has done: writes the first size bytes of a struct flexsc_stats. */
void flexsc_get_stats(const struct flexsc *context, struct flexsc_stats *stats, size_t size);

/*
 * An errno, negative or not, as "ENOENT: No such file or directory". Valid until the thread's next
 * flexsc_strerror().
 */
const char *flexsc_strerror(int error);

/*
 * Preparing a call: sets nr and args, and leaves the other fields. The arguments are those of the
 * function of that name in section 2 of the manual; flags, modes and structures are passed on as they
 * are. Calls that have no function there:
 *
 * nop: completes with 0.
 * poll: waits until fd is ready for one of events (POLLIN ...; POLLERR and POLLHUP always count), and
 * gives those that are there.
 * syscall: any call by its number, SYS_*; args are six.
 */
void flexsc_prep_nop(struct flexsc_call *call);
void flexsc_prep_poll(struct flexsc_call *call, int fd, unsigned int events);
void flexsc_prep_syscall(struct flexsc_call *call, long nr, const uint64_t *args);

/* Data. */
void flexsc_prep_read(struct flexsc_call *call, int fd, void *buf, size_t len);
void flexsc_prep_write(struct flexsc_call *call, int fd, const void *buf, size_t len);
void flexsc_prep_pread(struct flexsc_call *call, int fd, void *buf, size_t len, off_t offset);
void flexsc_prep_pwrite(struct flexsc_call *call, int fd, const void *buf, size_t len,
		off_t offset);
void flexsc_prep_readv(struct flexsc_call *call, int fd, const struct iovec *iov, int iovcnt);
void flexsc_prep_writev(struct flexsc_call *call, int fd, const struct iovec *iov, int iovcnt);
void flexsc_prep_preadv(struct flexsc_call *call, int fd, const struct iovec *iov, int iovcnt,
		off_t offset);
void flexsc_prep_pwritev(struct flexsc_call *call, int fd, const struct iovec *iov, int iovcnt,
		off_t offset);
void flexsc_prep_sendfile(struct flexsc_call *call, int out_fd, int in_fd, off_t *offset,
		size_t count);
void flexsc_prep_splice(struct flexsc_call *call, int fd_in, off_t *off_in, int fd_out,
		off_t *off_out, size_t len, unsigned int flags);
void flexsc_prep_copy_file_range(struct flexsc_call *call, int fd_in, off_t *off_in, int fd_out,
		off_t *off_out, size_t len, unsigned int flags);

/* An open file. */
void flexsc_prep_lseek(struct flexsc_call *call, int fd, off_t offset, int whence);
void flexsc_prep_fsync(struct flexsc_call *call, int fd);
void flexsc_prep_fdatasync(struct flexsc_call *call, int fd);
void flexsc_prep_syncfs(struct flexsc_call *call, int fd);
void flexsc_prep_sync_file_range(struct flexsc_call *call, int fd, off_t offset, off_t len,
		unsigned int flags);
void flexsc_prep_ftruncate(struct flexsc_call *call, int fd, off_t length);
void flexsc_prep_fallocate(struct flexsc_call *call, int fd, int mode, off_t offset, off_t len);
void flexsc_prep_fadvise(struct flexsc_call *call, int fd, off_t offset, off_t len, int advice);
void flexsc_prep_flock(struct flexsc_call *call, int fd, int operation);
void flexsc_prep_fcntl(struct flexsc_call *call, int fd, int cmd, unsigned long arg);
void flexsc_prep_ioctl(struct flexsc_call *call, int fd, unsigned long request, void *arg);
void flexsc_prep_getdents64(struct flexsc_call *call, int fd, void *buf, size_t len);
void flexsc_prep_close(struct flexsc_call *call, int fd);

/* Opening. */
void flexsc_prep_openat(struct flexsc_call *call, int dirfd, const char *path, int flags,
		mode_t mode);
void flexsc_prep_openat2(struct flexsc_call *call, int dirfd, const char *path,
		const struct open_how *how, size_t size);

/* Attributes. */
void flexsc_prep_fstat(struct flexsc_call *call, int fd, struct stat *buf);
void flexsc_prep_fstatat(struct flexsc_call *call, int dirfd, const char *path, struct stat *buf,
		int flags);
void flexsc_prep_statx(struct flexsc_call *call, int dirfd, const char *path, int flags,
		unsigned int mask, struct statx *buf);
void flexsc_prep_statfs(struct flexsc_call *call, const char *path, struct statfs *buf);
void flexsc_prep_fstatfs(struct flexsc_call *call, int fd, struct statfs *buf);
void flexsc_prep_fchmod(struct flexsc_call *call, int fd, mode_t mode);
void flexsc_prep_fchmodat(struct flexsc_call *call, int dirfd, const char *path, mode_t mode);
void flexsc_prep_fchmodat2(struct flexsc_call *call, int dirfd, const char *path, mode_t mode,
		int flags);
void flexsc_prep_fchown(struct flexsc_call *call, int fd, uid_t owner, gid_t group);
void flexsc_prep_fchownat(struct flexsc_call *call, int dirfd, const char *path, uid_t owner,
		gid_t group, int flags);
void flexsc_prep_utimensat(struct flexsc_call *call, int dirfd, const char *path,
		const struct timespec *times, int flags);
void flexsc_prep_faccessat(struct flexsc_call *call, int dirfd, const char *path, int mode);
void flexsc_prep_truncate(struct flexsc_call *call, const char *path, off_t length);

/* Names. */
void flexsc_prep_mkdirat(struct flexsc_call *call, int dirfd, const char *path, mode_t mode);
void flexsc_prep_mknodat(struct flexsc_call *call, int dirfd, const char *path, mode_t mode,
		dev_t dev);
void flexsc_prep_unlinkat(struct flexsc_call *call, int dirfd, const char *path, int flags);
void flexsc_prep_renameat2(struct flexsc_call *call, int olddirfd, const char *oldpath,
		int newdirfd, const char *newpath, unsigned int flags);
void flexsc_prep_linkat(struct flexsc_call *call, int olddirfd, const char *oldpath, int newdirfd,
		const char *newpath, int flags);
void flexsc_prep_symlinkat(struct flexsc_call *call, const char *target, int newdirfd,
		const char *linkpath);
void flexsc_prep_readlinkat(struct flexsc_call *call, int dirfd, const char *path, char *buf,
		size_t size);

/* Extended attributes. */
void flexsc_prep_setxattr(struct flexsc_call *call, const char *path, const char *name,
		const void *value, size_t size, int flags);
void flexsc_prep_lsetxattr(struct flexsc_call *call, const char *path, const char *name,
		const void *value, size_t size, int flags);
void flexsc_prep_fsetxattr(struct flexsc_call *call, int fd, const char *name, const void *value,
		size_t size, int flags);
void flexsc_prep_getxattr(struct flexsc_call *call, const char *path, const char *name, void *value,
		size_t size);
void flexsc_prep_lgetxattr(struct flexsc_call *call, const char *path, const char *name,
		void *value, size_t size);
void flexsc_prep_fgetxattr(struct flexsc_call *call, int fd, const char *name, void *value,
		size_t size);
void flexsc_prep_listxattr(struct flexsc_call *call, const char *path, char *list, size_t size);
void flexsc_prep_llistxattr(struct flexsc_call *call, const char *path, char *list, size_t size);
void flexsc_prep_flistxattr(struct flexsc_call *call, int fd, char *list, size_t size);
void flexsc_prep_removexattr(struct flexsc_call *call, const char *path, const char *name);
void flexsc_prep_lremovexattr(struct flexsc_call *call, const char *path, const char *name);
void flexsc_prep_fremovexattr(struct flexsc_call *call, int fd, const char *name);

/* Sockets. */
void flexsc_prep_socket(struct flexsc_call *call, int domain, int type, int protocol);
void flexsc_prep_socketpair(struct flexsc_call *call, int domain, int type, int protocol, int *sv);
void flexsc_prep_bind(struct flexsc_call *call, int fd, const struct sockaddr *addr,
		socklen_t addrlen);
void flexsc_prep_listen(struct flexsc_call *call, int fd, int backlog);
void flexsc_prep_connect(struct flexsc_call *call, int fd, const struct sockaddr *addr,
		socklen_t addrlen);
void flexsc_prep_accept4(struct flexsc_call *call, int fd, struct sockaddr *addr,
		socklen_t *addrlen, int flags);
void flexsc_prep_sendto(struct flexsc_call *call, int fd, const void *buf, size_t len, int flags,
		const struct sockaddr *addr, socklen_t addrlen);
void flexsc_prep_recvfrom(struct flexsc_call *call, int fd, void *buf, size_t len, int flags,
		struct sockaddr *addr, socklen_t *addrlen);
void flexsc_prep_sendmsg(struct flexsc_call *call, int fd, const struct msghdr *msg, int flags);
void flexsc_prep_recvmsg(struct flexsc_call *call, int fd, struct msghdr *msg, int flags);
void flexsc_prep_shutdown(struct flexsc_call *call, int fd, int how);
void flexsc_prep_setsockopt(struct flexsc_call *call, int fd, int level, int name,
		const void *value, socklen_t len);
void flexsc_prep_getsockopt(struct flexsc_call *call, int fd, int level, int name, void *value,
		socklen_t *len);

/* Others. */
void flexsc_prep_clock_nanosleep(struct flexsc_call *call, clockid_t clock, int flags,
		const struct timespec *time, struct timespec *left);
void flexsc_prep_getrandom(struct flexsc_call *call, void *buf, size_t len, unsigned int flags);
void flexsc_prep_getppid(struct flexsc_call *call);

#ifdef __cplusplus
}
#endif

#endif
