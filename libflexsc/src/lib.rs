// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exception-less system calls: typed operations, posted into a page that is shared with the kernel
//! module `flexsc`, executed by other workers, without a trap of the caller.
//!
//! The idea is that of FlexSC (L. Soares, M. Stumm: *FlexSC: Flexible System Call Scheduling with
//! Exception-Less System Calls*, OSDI 2010).
//!
//! # Overview
//!
//! - [`Context`]: post [operations](op), take their outputs; [`Batch`] for operations of different
//!   types; [`Handle`] and [`task`] for futures; [`Chain`] for operations in order, [`Watch`] for
//!   readiness that is told again and again.
//! - [`op`]: the operations, one type per system call, with owned buffers ([`IoBuf`]) and shared
//!   files ([`SharedFd`]).
//! - [`Backend`]: who executes them: the module, io_uring or a pool of threads over the same page, or
//!   the caller by plain calls. `FLEXSC_BACKEND` in the environment forces one.
//! - [`raw`]: calls by their numbers, for bindings to other languages.
//! - [`page`]: the protocol over the shared memory; [`sys`]: the ABI.
//!
//! # Example: many files at once
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

#![deny(unsafe_code)]

pub mod page;
mod sync;
pub mod sys;

#[cfg(not(loom))]
mod batch;
#[cfg(not(loom))]
mod buf;
#[cfg(not(loom))]
mod context;
#[cfg(not(loom))]
mod errno;
#[cfg(not(loom))]
mod fd;
#[cfg(not(loom))]
mod pending;
#[cfg(not(loom))]
mod poster;
#[cfg(not(loom))]
mod slab;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod statx;
#[cfg(not(loom))]
mod watch;

#[cfg(not(loom))]
pub mod backend;
#[cfg(not(loom))]
pub mod op;
#[cfg(not(loom))]
pub mod raw;
#[cfg(not(loom))]
pub mod task;

#[cfg(not(loom))]
pub use self::{
    backend::{Backend, Cancel},
    batch::{AnyOutput, Batch, Done, WrongOperation},
    buf::{IoBuf, IoBufMut, Slice},
    context::{CloseError, Context, Ticket},
    errno::{BufResult, Errno, Result},
    fd::{At, On, SharedFd},
    op::{Chain, Dirent, Dirents, Operation, Timespec},
    pending::{Handle, Pending},
    stats::Stats,
    statx::{FileType, Statx},
    watch::{Watch, Watching},
};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
