// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exception-less system calls: typed operations, posted into a page that is shared with the kernel
//! module `flexsc`, executed by other workers, without a trap of the caller.
//!
//! The idea is that of FlexSC (L. Soares, M. Stumm: *FlexSC: Flexible System Call Scheduling with
//! Exception-Less System Calls*, OSDI 2010).
//!
//! # Overview
//!
//! | layer | what for |
//! |---|---|
//! | [`fs`], [`net`], [`time`], [`task`] | programs of many tasks, shaped like `std` |
//! | `green`, a [feature](#features) | blocking-style code, thousands of threads on one |
//! | [`remote`] | many threads that post to one context |
//! | [`Handle`] | operations as futures, under [`task::block_on`] |
//! | [`Context`], [`Batch`], [`Chain`], [`Watch`] | many calls without futures |
//! | [`op`] | the operations, one type per system call, with owned buffers ([`IoBuf`]) and shared files ([`SharedFd`]) |
//! | [`Backend`] | who executes them |
//! | [`raw`] | calls by their numbers, for bindings to other languages |
//! | [`page`], [`sys`] | the protocol over the shared memory; the ABI |
//!
//! Each layer stands on those below it, and can be used alone.
//!
//! # First program
//!
//! Many files at once, without futures:
//!
//! ```
//! use libflexsc::{At, Context, op::Statx};
//! let context = Context::auto()?;
//! let paths = ["/proc/self/exe", "/proc/self/comm", "/does/not/exist"];
//! let calls = paths.map(|path| {
//!     let path = std::ffi::CString::new(path).unwrap();
//!     Statx::new(At::Cwd, path, 0, libc::STATX_BASIC_STATS)
//! });
//! for (path, result) in paths.iter().zip(context.run_all(calls)) {
//!     match result {
//!         Ok(attributes) => println!("{path}: {} bytes", attributes.size()),
//!         Err(errno) => println!("{path}: {errno}"),
//!     }
//! }
//! # Ok::<(), libflexsc::backend::Error>(())
//! ```
//!
//! The same with tasks:
//!
//! ```
//! use libflexsc::{Handle, fs, task::block_on};
//! let handle = Handle::auto()?;
//! let sizes: Vec<_> = ["/proc/self/exe", "/proc/self/comm", "/does/not/exist"]
//!     .map(|path| {
//!         let inner = handle.clone();
//!         handle.spawn(async move { fs::metadata(&inner, path).await.map(|file| file.len()) })
//!     })
//!     .into();
//! block_on(&handle, async {
//!     for size in sizes {
//!         println!("{:?}", size.await);
//!     }
//! });
//! # Ok::<(), libflexsc::backend::Error>(())
//! ```
//!
//! In an event loop of others, poll(2), epoll or tokio's, a context is a descriptor to sleep on:
//! [`Context::event_fd`].
//!
//! # Choosing a backend
//!
//! [`Backend::auto`] takes the best that there is, and [`Context::choice`] says which and why.
//! Results and errnos are the same with all of them; `FLEXSC_BACKEND` in the environment forces one, and
//! then it is an error if that one cannot be had.
//!
//! - The **module** saves the traps. It needs `/dev/flexsc`, and a process without seccomp.
//! - **io_uring** executes what it does exactly as the plain call, many calls with one trap; a pool
//!   of threads makes the others. It needs Linux 6.0, and no sysctl or seccomp filter against it.
//! - **Threads** execute the same page in user space. That saves no call; it lets many of them be in
//!   progress, which is worth it where calls wait: for disks, for networks.
//! - **Direct** makes each call when it is posted. Nothing is in progress, so nothing can be cancelled,
//!   and two tasks that wait for each other in calls wait for ever. A plain call also raises its signals
//!   (`SIGXFSZ`; `SIGPIPE` where a program does not ignore it), and one that a handler interrupts gives `EINTR`.
//!
//! # Threads, fork and namespaces
//!
//! A context of the module, of io_uring or of threads gives the process more threads, until it is closed
//! or dropped; a thread inside of a call that does not end stays longer. No call makes them rest for a while. So:
//!
//! - What Linux refuses to a process with several threads fails meanwhile, as `unshare(CLONE_NEWUSER)` and
//!   `setns` to a user or mount namespace (`EINVAL`). Do that before the context is made, or in a child.
//! - An `unshare` or `setns` that does succeed changes one thread: the pool goes on in the old namespaces, and
//!   so do its calls. The module looks before each call, and hands it back to the thread that posted it. The
//!   same is true of credentials that are set by raw system calls; libc's functions change all threads.
//! - A context belongs to the process that made it, see [`Context`].
//!
//! # Cancellation
//!
//! - A future that is dropped cancels its operation; [`Pending::detach`] lets it go on. So whatever
//!   drops futures, [`Handle::timeout`] or a combinator that takes the first of several, ends what they
//!   wait for. The operations of a [chain](op::Chain) are the exception: they go on.
//! - Dropping a [`Ticket`], a [`Batch`] or a [`Context`] cancels nothing that has begun; a context waits for it,
//!   [5 seconds](backend::Options::drop_timeout) at most. [`Context::cancel_all`] ends, chains included, what can
//!   be ended.
//! - What can be ended is what has not begun, and what waits for a pipe, a socket or in a poll. A call
//!   that is at work ends when it ends, and its memory is kept until then: see [`Context::cancel`].
//! - A read that is cancelled may have taken bytes in that instant, which are then lost: a stream after
//!   a read that was given up is to be closed, or the read awaited after [`Pending::cancel`].
//! - [`Operation::timeout`] is a limit that the other side keeps; the output says `ETIME`, and the
//!   buffer comes back.
//!
//! # Performance
//!
//! It pays to have much in flight: calls that are independent of each other, posted before any is
//! waited for. What does not pay:
//!
//! - **One call at a time.** Who posts a call and waits for it pays for two hand-overs between CPUs, which
//!   cost more than the trap that they save.
//! - **One CPU.** There is nobody else to execute; the module executes the batch in the wait, which
//!   saves traps and nothing else.
//! - **Few large transfers.** The copying takes the time, wherever it is done.
//! - **Calls that `std` makes cheaply.** The address of a socket is asked for by a plain call here, too.
//! - **Threads for what is in the cache.** A pool without the module makes the same calls from other
//!   CPUs: more work, not less.
//!
//! A page has [256 entries](backend::Options::entries) unless told otherwise, at most 4096: what is posted
//! beyond that waits for its turn, behind what blocks. For many idle connections there is
//! [`Handle::ready`], which [`net`] uses by itself. Buffers are moved, not copied, but for
//! the two `AsyncIo`, of [`net`] and [`fs`], whose traits want borrowed ones.
//!
//! # What is promised
//!
//! Versions are semantic ones: from 0.1.0 to 0.1.1 nothing that compiled is refused, and nothing does something else.
//! So enums that programs match, and structures whose fields they read, are `#[non_exhaustive]`; traits but
//! [`IoBuf`] and [`IoBufMut`] can be implemented by this crate alone. Not promised is what [`page`] and [`sys`] hold: they
//! follow the protocol and the kernel's ABI. Types of `libc` 0.2, `async-task` 4 ([`task::Task`]) and, with features,
//! `bytes` 1 and `futures-io` 0.3 are part of the interface; another major version of one of them is another one of
//! this crate. The oldest compiler, rustc 1.85, changes with a minor version (0.1 to 0.2).
//!
//! # Features
//!
//! | feature | what |
//! |---|---|
//! | `bytes` | `Bytes` and `BytesMut` as buffers, see [`IoBuf`] |
//! | `green` | `green`: threads with stacks of their own, on corosensei |
//! | `futures-io` | `net::AsyncIo` and `fs::AsyncIo`: futures' `AsyncRead`, `AsyncWrite` and `AsyncSeek` over streams and files |
//!
//! None is on by default.

#![deny(unsafe_code)]

pub mod page;
mod sync;
pub mod sys;

#[cfg(not(loom))]
mod address;
#[cfg(not(loom))]
mod batch;
#[cfg(not(loom))]
mod buf;
#[cfg(not(loom))]
mod claim;
#[cfg(not(loom))]
mod context;
#[cfg(not(loom))]
mod erased;
#[cfg(not(loom))]
mod errno;
#[cfg(not(loom))]
mod event;
#[cfg(not(loom))]
mod fd;
#[cfg(not(loom))]
mod pending;
#[cfg(not(loom))]
mod poster;
#[cfg(not(loom))]
mod ready;
#[cfg(not(loom))]
mod slab;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod statx;
#[cfg(not(loom))]
mod watch;
#[cfg(not(loom))]
mod whole;

#[cfg(not(loom))]
pub mod backend;
#[cfg(not(loom))]
pub mod fs;
#[cfg(all(feature = "green", not(loom)))]
pub mod green;
#[cfg(not(loom))]
pub mod net;
#[cfg(not(loom))]
pub mod op;
#[cfg(not(loom))]
pub mod raw;
#[cfg(not(loom))]
pub mod remote;
#[cfg(not(loom))]
pub mod task;
#[cfg(not(loom))]
pub mod time;

#[cfg(not(loom))]
pub use self::{
    address::Address,
    backend::{Backend, Cancel},
    batch::{AnyOutput, Batch, Done, WrongOperation},
    buf::{IoBuf, IoBufMut, Slice},
    context::{CloseError, Context, Ticket},
    errno::{BufResult, Errno, Result},
    event::Armed,
    fd::{At, On, SharedFd},
    op::{Chain, Dirent, Dirents, Operation, Timespec},
    pending::{Handle, Pending},
    ready::Ready,
    stats::Stats,
    statx::{FileType, Statx},
    watch::{Watch, Watching},
};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
