/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note OR MIT */
/*
 * The ABI between an application and /dev/flexsc.
 *
 * One open file of /dev/flexsc is one context. FLEXSC_IOC_SETUP gives it its
 * memory; one mmap(2) of map_size bytes at offset 0 then shares, in this order,
 * the control page, the submission ring, the completion ring and the system
 * call page (the entries).
 *
 * To post a call, the application takes an entry whose status is FREE, fills in
 * nr, flags and args, stores SUBMITTED to status, writes the index of the entry
 * to sub_ring[sub_tail & ring_mask] and then publishes sub_tail + 1 with release
 * semantics. After a full memory barrier it reads wakeup: if FLEXSC_NEED_WAKEUP
 * is set, nobody polls the ring and FLEXSC_IOC_KICK (or FLEXSC_IOC_WAIT) is due.
 *
 * The kernel takes the entry (BUSY), copies it once, executes it, writes flags
 * and ret, stores DONE with release semantics, and publishes the index in
 * comp_ring[comp_tail & ring_mask]. The application reads comp_tail with acquire
 * semantics, takes the results, stores FREE and advances comp_head.
 *
 * Entries are unordered, also those on one file: two posted writes at the file's
 * own position may swap. FLEXSC_ENTRY_LINK puts them in order. All words are little
 * endian, as the machine is.
 */
#ifndef _UAPI_FLEXSC_H
#define _UAPI_FLEXSC_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Raised when a structure below changes its meaning; a new call does not raise it. */
#define FLEXSC_ABI_VERSION	1

/* "FXSC", the first word of the control page. */
#define FLEXSC_MAGIC		0x43535846

/* The context's number of entries: a power of two between these. */
#define FLEXSC_MIN_ENTRIES	64
#define FLEXSC_MAX_ENTRIES	4096

/* flexsc_entry.status */
#define FLEXSC_FREE		0	/* the application may fill it in */
#define FLEXSC_SUBMITTED	1	/* posted, not yet taken by the kernel */
#define FLEXSC_BUSY		2	/* taken; belongs to the kernel */
#define FLEXSC_DONE		3	/* ret and flags are valid */

/*
 * flexsc_entry.flags. The application writes those that it wants, or 0.
 *
 * TIMEOUT: ret holds the nanoseconds after which the entry is cancelled, counted from
 * when it is taken, or in a chain from when it is its turn; it completes with -ETIME
 * where FLEXSC_IOC_CANCEL would give -ECANCELED or -EINTR.
 *
 * LINK: the entry posted next begins when this one is complete, and only if its ret is
 * not negative. Entries that are linked are a chain, which ends with the first one without
 * LINK. All of it is published by one store of sub_tail: where the ring is empty behind
 * an entry with LINK, the chain ends. Once one fails, the rest complete with -ECANCELED.
 * Once one is handed back, so are the rest.
 *
 * FILE: the entry works on the chain's file. openat, openat2, socket and accept4 open it:
 * it gets no descriptor, ret is 0. A call that takes a descriptor in args[0] takes the
 * chain's file instead; close ends it. What an opener without FILE has returned counts as
 * the chain's file, too. Where there is none: -EBADF; with any other call: -EINVAL. What
 * is not closed is closed when the chain is over.
 *
 * MULTI: a FLEXSC_NR_POLL goes on, see there; neither with LINK nor with FILE.
 *
 * The kernel sets HANDED_BACK when it declined the call before any side effect: the
 * application then makes the plain system call itself; ret holds -ENOSYS and means
 * nothing. But where the chain has a file without a descriptor, it gets one then, and the
 * first entry that is handed back has it in ret: from now on it is the application's.
 */
#define FLEXSC_ENTRY_TIMEOUT		0x0001
#define FLEXSC_ENTRY_LINK		0x0002
#define FLEXSC_ENTRY_FILE		0x0004
#define FLEXSC_ENTRY_MULTI		0x0008
#define FLEXSC_ENTRY_HANDED_BACK	0x8000

/* flexsc_entry.nr of what is no system call: this or a higher number. */
#define FLEXSC_NR_OWN		0xfff0
/* Does nothing and returns 0, for measuring. */
#define FLEXSC_NR_NOP		0xffff
/*
 * Waits until a file is ready. args: file descriptor, POLL* events of poll(2); POLLERR
 * and POLLHUP always count. Returns the events that are there, at least one; once.
 *
 * With MULTI the entry stays BUSY. The kernel stores 0 to ret when it takes the entry;
 * each time the file gets ready, or is ready to begin with, it adds the events to ret in
 * one atomic step, and publishes the index if ret was 0. Whoever reaps the index takes
 * the events by an atomic exchange with 0. So there is at most one completion of the
 * entry to reap, and what comes before it is reaped is merged. At the end (an error,
 * -ECANCELED, -ETIME ...) the kernel stores flags and DONE and then exchanges ret for a
 * negative result, and publishes the index if ret was 0: only then is the entry free.
 */
#define FLEXSC_NR_POLL		0xfffe

/* One posted system call: one cache line. */
struct flexsc_entry {
	__u32 status;	/* FLEXSC_FREE ... FLEXSC_DONE */
	__u16 nr;	/* system call number, x86-64 table */
	__u16 flags;	/* FLEXSC_ENTRY_* */
	__s64 ret;	/* what the system call returned, or -errno; in: see TIMEOUT */
	__u64 args[6];	/* its arguments, as in registers */
};

/* Events since set-up, in the control page; the kernel writes, anybody may read. */
struct flexsc_counters {
	__u64 entries_w;	/* executed in lane W, a page worker */
	__u64 entries_t;	/* executed in lane T, a system call thread */
	__u64 entries_c;	/* executed in lane C, the caller inside wait */
	__u64 handed_back;	/* declined; not counted in a lane */
	__u64 rejected;		/* ring slots that named no submittable entry */
	__u64 kicks;		/* FLEXSC_IOC_KICK */
	__u64 waits;		/* FLEXSC_IOC_WAIT */
	__u64 wait_sleeps;	/* waits that slept */
	__u64 drains;		/* runs of a drain item */
	__u64 idle_sleeps;	/* times that polling ended and NEED_WAKEUP was set */
	__u64 threads;		/* system call threads that exist */
	__u64 thread_wakes;	/* wake-ups sent to system call threads */
	__u64 cancelled;	/* ended before they began: cancelled, or behind a failure */
	__u64 __reserved[3];
};

/* flexsc_control.wakeup */
#define FLEXSC_NEED_WAKEUP	0x1	/* nobody polls: kick after posting */

/* The first page of the mapping. Every word that is written has its own line. */
struct flexsc_control {
	/* Constant after set-up. */
	__u32 magic;		/* FLEXSC_MAGIC */
	__u32 abi_version;	/* FLEXSC_ABI_VERSION */
	__u64 features;		/* FLEXSC_FEAT_* */
	__u32 entries;		/* number of entries and of slots in each ring */
	__u32 ring_mask;	/* entries - 1 */
	__u32 cpu;		/* the system call CPU */
	__u32 spin_us;		/* how long an idle drain polls, microseconds */
	__u32 __pad0[8];

	__u32 sub_tail;		/* application writes */
	__u32 __pad1[15];

	__u32 sub_head;		/* kernel writes */
	__u32 __pad2[15];

	__u32 comp_tail;	/* kernel writes */
	__u32 __pad3[15];

	__u32 comp_head;	/* application writes */
	__u32 __pad4[15];

	__u32 wakeup;		/* kernel writes: FLEXSC_NEED_WAKEUP or 0 */
	__u32 __pad5[15];

	struct flexsc_counters counters;

	__u8 __pad6[4096 - 6 * 64 - 128];
};

/* Features, in flexsc_setup and in the control page. */
#define FLEXSC_FEAT_LANE_W	(1ULL << 0)	/* page workers */
#define FLEXSC_FEAT_LANE_T	(1ULL << 1)	/* system call threads */
#define FLEXSC_FEAT_LANE_C	(1ULL << 2)	/* the caller, inside wait */
#define FLEXSC_FEAT_POLL	(1ULL << 3)	/* poll(2) on the context */
#define FLEXSC_FEAT_CANCEL	(1ULL << 4)	/* FLEXSC_IOC_CANCEL */
#define FLEXSC_FEAT_RESTRICT	(1ULL << 5)	/* FLEXSC_IOC_RESTRICT */
#define FLEXSC_FEAT_ARM		(1ULL << 6)	/* pipes, inet sockets, eventfds wait without a thread */
#define FLEXSC_FEAT_POLL_FILE	(1ULL << 7)	/* FLEXSC_NR_POLL */
#define FLEXSC_FEAT_TIMEOUT	(1ULL << 8)	/* FLEXSC_ENTRY_TIMEOUT */
#define FLEXSC_FEAT_LINK	(1ULL << 9)	/* FLEXSC_ENTRY_LINK and FLEXSC_ENTRY_FILE */
#define FLEXSC_FEAT_MULTI	(1ULL << 10)	/* FLEXSC_ENTRY_MULTI */

/* flexsc_setup.cpu: let the kernel choose. */
#define FLEXSC_CPU_ANY		(-1)
/* flexsc_setup.spin_us: the module's default. */
#define FLEXSC_SPIN_DEFAULT	0xffffffffU

/* FLEXSC_IOC_SETUP: what is asked for goes in, what was given comes out. */
struct flexsc_setup {
	__u32 flags;		/* in: 0 */
	__u32 entries;		/* in/out: rounded up to a power of two */
	__s32 cpu;		/* in/out: system call CPU, one of the caller's affinity mask */
	__u32 spin_us;		/* in/out: idle poll time, microseconds, at most 4000 */
	/* In: at most 32, 0 for the default; out: what the administrator's limits leave of it. */
	__u32 drains;		/* in/out: drain items */
	__u32 threads;		/* in/out: most system call threads */
	__u32 abi_version;	/* out */
	__u32 __reserved0;	/* in: 0 */
	__u64 features;		/* out: FLEXSC_FEAT_* */
	__u64 map_size;		/* out: bytes to mmap at offset 0 */
	__u64 sub_ring_off;	/* out: byte offsets in the mapping */
	__u64 comp_ring_off;	/* out */
	__u64 entries_off;	/* out */
	__u64 __reserved1[4];	/* in: 0 */
};

/* flexsc_probe_call.lanes and .flags */
#define FLEXSC_LANE_W		0x1
#define FLEXSC_LANE_T		0x2
#define FLEXSC_LANE_C		0x4
#define FLEXSC_CALL_GATED	0x1	/* handed back where a security module mediates */

struct flexsc_probe_call {
	__u16 nr;
	__u16 lanes;		/* FLEXSC_LANE_* in which it may run */
	__u32 flags;		/* FLEXSC_CALL_* */
};

/* FLEXSC_IOC_PROBE: the calls that may be posted. Needs no set-up. */
struct flexsc_probe {
	__u32 count;		/* in: room in calls; out: how many there are */
	__u32 abi_version;	/* out */
	__u64 features;		/* out */
	__u64 calls;		/* in: address of struct flexsc_probe_call[count] */
};

/*
 * FLEXSC_IOC_WAIT: execute in the caller what is still SUBMITTED, then sleep until
 * min_complete completions are unreaped. Returns how many are. ETIME when the time
 * is over, EINTR on a signal; both may leave completions to reap.
 */
struct flexsc_wait {
	__u32 min_complete;	/* 0: do not sleep */
	__u32 flags;		/* 0 */
	__s64 timeout_ns;	/* relative, CLOCK_MONOTONIC; negative: for ever */
};

/* flexsc_restrict.flags */
#define FLEXSC_RESTRICT_CALLS	0x1	/* take every call away that the list does not name */
#define FLEXSC_RESTRICT_FREEZE	0x2	/* and let the set be final */

/* The most numbers in one list. */
#define FLEXSC_RESTRICT_MAX	1024

/*
 * FLEXSC_IOC_RESTRICT: narrow the set of calls that entries may name. Possible
 * before set-up, by whoever holds the file, and after it, by the process; the set
 * belongs to the open file and can only become smaller. An entry that names a call
 * outside of it completes with -EACCES. Numbers that cannot be posted anyway are
 * ignored. With no flags it only tells.
 */
struct flexsc_restrict {
	__u32 flags;		/* in: FLEXSC_RESTRICT_* */
	__u32 count;		/* in: how many numbers */
	__u64 calls;		/* in: address of __u16[count] */
	__u32 allowed;		/* out: how many calls may be posted now */
	__u32 frozen;		/* out: 1 if the set is final */
	__u64 __reserved[2];	/* in: 0 */
};

/* flexsc_cancel.flags */
#define FLEXSC_CANCEL_ALL	0x1	/* all entries of the context; index is 0 */

/*
 * FLEXSC_IOC_CANCEL: end entries early. One that nobody has begun completes with
 * -ECANCELED; one that sleeps interruptibly in a system call thread is interrupted
 * and completes with -EINTR, or with what it has got so far. Every entry still
 * completes exactly once. For one entry: 0 if it had not begun, EALREADY if it is
 * being executed (and perhaps ends soon), ENOENT if it is not in flight. For all:
 * how many had not begun or are being executed.
 */
struct flexsc_cancel {
	__u32 index;		/* of the entry */
	__u32 flags;		/* FLEXSC_CANCEL_* */
	__u64 __reserved[2];	/* 0 */
};

#define FLEXSC_IOC_TYPE		0xF5
#define FLEXSC_IOC_SETUP	_IOWR(FLEXSC_IOC_TYPE, 0x10, struct flexsc_setup)
#define FLEXSC_IOC_PROBE	_IOWR(FLEXSC_IOC_TYPE, 0x11, struct flexsc_probe)
#define FLEXSC_IOC_KICK		_IO(FLEXSC_IOC_TYPE, 0x12)
#define FLEXSC_IOC_WAIT		_IOW(FLEXSC_IOC_TYPE, 0x13, struct flexsc_wait)
#define FLEXSC_IOC_CANCEL	_IOW(FLEXSC_IOC_TYPE, 0x14, struct flexsc_cancel)
#define FLEXSC_IOC_RESTRICT	_IOWR(FLEXSC_IOC_TYPE, 0x15, struct flexsc_restrict)

#endif /* _UAPI_FLEXSC_H */
