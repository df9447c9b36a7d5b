/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a handler sees of an entry, and what it answers.
 *
 * Handlers are C because nearly every VFS step of a system call is a static
 * inline or a macro; they hold no state and know nothing of pages, rings or
 * queues. Rust owns the table, the lanes, the order and the adoption guards, and
 * calls a handler with these in force:
 *
 *	W  a kworker that wears the process's mm and the owner's credentials
 *	T  a system call thread of the process with its fd table and the owner's
 *	   credentials; signals stay pending, fput() work runs after the entry
 *	C  a thread of the process itself, inside FLEXSC_IOC_WAIT
 *
 * All of args is a private copy; memory that it points to is the user's.
 */
#ifndef FLEXSC_CALL_H
#define FLEXSC_CALL_H

#include <linux/types.h>

#include "mutant.h"
#include "uapi/flexsc.h"

struct file;
struct file_operations;
struct task_struct;

/* I/O accounting that lane W owes the process (task_io_accounting's fields). */
struct flexsc_acct {
	u64 rchar;
	u64 wchar;
	u64 syscr;
	u64 syscw;
};

/* Which security modules mediate this process; see flexsc_gate(). */
#define FLEXSC_GATE_APPARMOR	0x1
#define FLEXSC_GATE_SELINUX	0x2
#define FLEXSC_GATE_NNP		0x4	/* no_new_privs: Landlock may be in force */
#define FLEXSC_GATE_STRICT	0x8	/* the administrator wants every gated call handed back */

/* Mirrored by struct Frame in call.rs. */
struct flexsc_frame {
	const u64 *args;		/* six */
	s64 ret;			/* out, valid with FLEXSC_DID */
	struct task_struct *thread;	/* W: a task whose fd table is the process's */
	struct task_struct *owner;	/* T, C: whose root, cwd and umask count */
	struct flexsc_acct *acct;	/* W: where to account; NULL in T and C */
	u32 lane;			/* FLEXSC_LANE_W, _T or _C */
	u32 gate;			/* FLEXSC_GATE_* */

	/*
	 * An entry that has waited for a file goes on with that file, which it holds. With
	 * FLEXSC_WAIT the handler says what to wait for; if the file was NULL its reference
	 * passes on.
	 */
	struct file *file;
	u64 done;			/* in/out: bytes transferred before it had to wait */
	u64 note;			/* in/out: for the handler; not 0 once it cannot be handed back */

	/*
	 * In: a file without a descriptor that stands for args[0]; close takes its reference.
	 * Out, with FLEXSC_FRAME_FILE: what the call has opened, with a reference; ret is 0.
	 */
	struct file *chain;

	/*
	 * What args[0], and the second descriptor, named when the entry, or the first of its row,
	 * was taken, and the entry holds until it is done or waits; NULL: look it up.
	 */
	struct file *taken[2];
	u32 events;			/* out: EPOLL* to wait for */
	u32 flags;			/* FLEXSC_FRAME_* */
};

#define FLEXSC_ALL_LANES	(FLEXSC_LANE_W | FLEXSC_LANE_T | FLEXSC_LANE_C)

#define FLEXSC_FRAME_BLOCK	0x1	/* T: make the blocking call, waiting is no use */
#define FLEXSC_FRAME_ATTEMPT	0x2	/* flexsc_file_get_rw(): try without blocking */
#define FLEXSC_FRAME_MULTI	0x4	/* poll: wait, whatever is there */
#define FLEXSC_FRAME_FILE	0x8	/* in: what is opened gets no descriptor */
#define FLEXSC_FRAME_CLOEXEC	0x10	/* out, with FILE: its descriptor would close on exec */
#define FLEXSC_FRAME_AGAIN	0x20	/* out, with FLEXSC_WAIT: once more at once */
#define FLEXSC_FRAME_FLY	0x40	/* in: FLEXSC_FLY may be answered */
#define FLEXSC_FRAME_FIRST	0x80	/* flexsc_file_first(): looked up, so the reference is ours */
#define FLEXSC_FRAME_SECOND	0x100	/* flexsc_file_second(): the same */
#define FLEXSC_FRAME_PROMPT	0x200	/* the first file waits for a local disk at most; in: known so */

/* A handler's verdict. FLEXSC_TO_T and _HAND_BACK mean: no side effect has happened. */
enum flexsc_verdict {
	FLEXSC_DID = 0,		/* executed; ret is what the real call returns */
	FLEXSC_TO_T = 1,	/* from W or C: only lane T can do it, or it might block for long */
	FLEXSC_HAND_BACK = 2,	/* no lane does it exactly */
	FLEXSC_WAIT = 3,	/* once more when the file is ready; done says how far it is */
	FLEXSC_SLEEP = 4,	/* done, with result 0, after ret nanoseconds */
	FLEXSC_FLY = 5,		/* a device has it; note is the arm, which fires when it is done */
};

typedef int (*flexsc_handler)(struct flexsc_frame *frame);

/* The device's own file operations: a file that has these is never acted on. */
extern const struct file_operations FLEXSC_FOPS;

int flexsc_call_read(struct flexsc_frame *frame);
int flexsc_call_write(struct flexsc_frame *frame);
int flexsc_call_pread64(struct flexsc_frame *frame);
int flexsc_call_pwrite64(struct flexsc_frame *frame);
int flexsc_call_readv(struct flexsc_frame *frame);
int flexsc_call_writev(struct flexsc_frame *frame);
int flexsc_call_preadv(struct flexsc_frame *frame);
int flexsc_call_pwritev(struct flexsc_frame *frame);
int flexsc_call_lseek(struct flexsc_frame *frame);
int flexsc_call_fsync(struct flexsc_frame *frame);
int flexsc_call_fdatasync(struct flexsc_frame *frame);
int flexsc_call_ftruncate(struct flexsc_frame *frame);
int flexsc_call_fallocate(struct flexsc_frame *frame);
int flexsc_call_fadvise64(struct flexsc_frame *frame);
int flexsc_call_copy_file_range(struct flexsc_frame *frame);
int flexsc_call_getdents64(struct flexsc_frame *frame);
int flexsc_call_fstat(struct flexsc_frame *frame);
int flexsc_call_fchmod(struct flexsc_frame *frame);
int flexsc_call_fchown(struct flexsc_frame *frame);
int flexsc_call_openat(struct flexsc_frame *frame);
int flexsc_call_openat2(struct flexsc_frame *frame);
int flexsc_call_close(struct flexsc_frame *frame);
int flexsc_call_newfstatat(struct flexsc_frame *frame);
int flexsc_call_statx(struct flexsc_frame *frame);
int flexsc_call_readlinkat(struct flexsc_frame *frame);
int flexsc_call_faccessat(struct flexsc_frame *frame);
int flexsc_call_mkdirat(struct flexsc_frame *frame);
int flexsc_call_unlinkat(struct flexsc_frame *frame);
int flexsc_call_renameat2(struct flexsc_frame *frame);
int flexsc_call_symlinkat(struct flexsc_frame *frame);
int flexsc_call_linkat(struct flexsc_frame *frame);
int flexsc_call_fchmodat(struct flexsc_frame *frame);
int flexsc_call_fchownat(struct flexsc_frame *frame);
int flexsc_call_utimensat(struct flexsc_frame *frame);
int flexsc_call_sync_file_range(struct flexsc_frame *frame);
int flexsc_call_syncfs(struct flexsc_frame *frame);
int flexsc_call_fstatfs(struct flexsc_frame *frame);
int flexsc_call_statfs(struct flexsc_frame *frame);
int flexsc_call_truncate(struct flexsc_frame *frame);
int flexsc_call_mknodat(struct flexsc_frame *frame);
int flexsc_call_fchmodat2(struct flexsc_frame *frame);
int flexsc_call_getrandom(struct flexsc_frame *frame);
int flexsc_call_flock(struct flexsc_frame *frame);
int flexsc_call_fcntl(struct flexsc_frame *frame);
int flexsc_call_ioctl(struct flexsc_frame *frame);
int flexsc_call_setxattr(struct flexsc_frame *frame);
int flexsc_call_lsetxattr(struct flexsc_frame *frame);
int flexsc_call_fsetxattr(struct flexsc_frame *frame);
int flexsc_call_getxattr(struct flexsc_frame *frame);
int flexsc_call_lgetxattr(struct flexsc_frame *frame);
int flexsc_call_fgetxattr(struct flexsc_frame *frame);
int flexsc_call_listxattr(struct flexsc_frame *frame);
int flexsc_call_llistxattr(struct flexsc_frame *frame);
int flexsc_call_flistxattr(struct flexsc_frame *frame);
int flexsc_call_removexattr(struct flexsc_frame *frame);
int flexsc_call_lremovexattr(struct flexsc_frame *frame);
int flexsc_call_fremovexattr(struct flexsc_frame *frame);
int flexsc_call_socket(struct flexsc_frame *frame);
int flexsc_call_connect(struct flexsc_frame *frame);
int flexsc_call_sendto(struct flexsc_frame *frame);
int flexsc_call_recvfrom(struct flexsc_frame *frame);
int flexsc_call_sendmsg(struct flexsc_frame *frame);
int flexsc_call_recvmsg(struct flexsc_frame *frame);
int flexsc_call_shutdown(struct flexsc_frame *frame);
int flexsc_call_bind(struct flexsc_frame *frame);
int flexsc_call_listen(struct flexsc_frame *frame);
int flexsc_call_socketpair(struct flexsc_frame *frame);
int flexsc_call_setsockopt(struct flexsc_frame *frame);
int flexsc_call_getsockopt(struct flexsc_frame *frame);
int flexsc_call_accept4(struct flexsc_frame *frame);
int flexsc_call_sendfile(struct flexsc_frame *frame);
int flexsc_call_splice(struct flexsc_frame *frame);
int flexsc_call_getppid(struct flexsc_frame *frame);
int flexsc_call_clock_nanosleep(struct flexsc_frame *frame);
int flexsc_call_poll(struct flexsc_frame *frame);
int flexsc_call_nop(struct flexsc_frame *frame);

/*
 * flexsc_gate_init - remember how a kworker looks to the security modules.
 *
 * Runs once, in a kworker with its own credentials, before any context exists.
 */
void flexsc_gate_init(void);

/*
 * flexsc_gate - which security modules mediate @owner's process.
 *
 * Call with the owner's credentials worn. Returns FLEXSC_GATE_* (never STRICT).
 */
u32 flexsc_gate(struct task_struct *owner);

#endif /* FLEXSC_CALL_H */
