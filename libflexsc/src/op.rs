// SPDX-License-Identifier: MIT OR Apache-2.0
//! Typed operations: one structure per system call, with owned buffers and shared files.
//!
//! An operation is made with what the call takes, and goes to a context as a whole: its paths,
//! buffers and files move with it and cannot be touched until the call is complete. Then its
//! [`Operation::Output`] comes back, for a buffer also when the call failed.
//!
//! Operations are unordered, also on one file: two posted writes at the file's own position, or on
//! a pipe, may swap. Wait for the one before posting the other, or post both as a [`Chain`].
//!
//! Flags and modes are those of the `libc` crate and are passed on as given: an [`Openat`] without
//! `O_CLOEXEC` gives a file that children inherit.
//!
//! | what | operations |
//! |---|---|
//! | data | [`Read`] [`Pread`] [`Write`] [`Pwrite`] [`Readv`] [`Preadv`] [`Writev`] [`Pwritev`] [`CopyFileRange`] |
//! | an open file | [`Lseek`] [`Fsync`] [`Fdatasync`] [`Ftruncate`] [`Fallocate`] [`Fadvise`] [`Close`] |
//! | opening | [`Openat`] [`Openat2`] |
//! | attributes | [`Fstat`] [`Newfstatat`] [`Statx`] [`Fchmod`] [`Fchmodat`] [`Fchown`] [`Fchownat`] [`Utimensat`] [`Faccessat`] |
//! | extended attributes | [`Fgetxattr`] [`Fsetxattr`] [`Flistxattr`] [`Fremovexattr`] [`Lgetxattr`] [`Lsetxattr`] [`Llistxattr`] [`Lremovexattr`] |
//! | names | [`Getdents64`] [`Readlinkat`] [`Mkdirat`] [`Mknodat`] [`Unlinkat`] [`Renameat2`] [`Symlinkat`] [`Linkat`] |
//! | sockets | [`Socket`] [`Bind`] [`Listen`] [`Connect`] [`Accept4`] [`Shutdown`] [`Sendto`] [`Recvfrom`] [`Sendmsg`] [`Recvmsg`] [`Setsockopt`] [`Getsockopt`] |
//! | waiting | [`Poll`]; any with a [`Timeout`] |
//! | measuring | [`Nop`] [`Getppid`] [`Raw`] |
//!
//! A buffer given to an operation is out of reach:
//!
//! ```compile_fail
//! use libflexsc::{Context, SharedFd, op::Read};
//! let context = Context::direct();
//! let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
//! let buf = vec![1; 16];
//! let ticket = context.post(Read::new(zero, buf));
//! assert_eq!(buf[0], 1); // the kernel may be writing to it
//! ```
//!
//! and so is one of the caller's stack:
//!
//! ```compile_fail
//! use libflexsc::{Context, SharedFd, op::Read};
//! let context = Context::direct();
//! let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
//! let mut buf = [0; 16];
//! let ticket = context.post(Read::new(zero, &mut buf[..]));
//! ```

mod attr;
mod chain;
mod dirents;
mod file;
mod io;
mod message;
mod misc;
mod option;
mod path;
mod poll;
mod socket;
mod stat;
mod timeout;
mod vectored;
mod xattr;

pub use attr::{Fchmod, Fchmodat, Fchown, Fchownat, Timespec, Utimensat};
pub use chain::{Chain, ForChain};
pub use dirents::{Dirent, Dirents, DirentsIter, Getdents64};
pub use file::{
    CopyFileRange, Fadvise, Fallocate, Fdatasync, Fsync, Ftruncate, Lseek, OpenHow, Openat, Openat2,
};
pub use io::{Pread, Pwrite, Read, Write};
pub use message::{Message, Recvfrom, Recvmsg, Sendmsg, Sendto};
pub use misc::{Close, Getppid, Nop, Raw};
pub use option::{Getsockopt, Setsockopt};
pub use path::{Faccessat, Linkat, Mkdirat, Mknodat, Readlinkat, Renameat2, Symlinkat, Unlinkat};
pub use poll::Poll;
pub use socket::{Accept4, Bind, Connect, Listen, Shutdown, Socket};
pub use stat::{Fstat, Newfstatat, Statx};
pub use timeout::Timeout;
pub use vectored::{Preadv, Pwritev, Readv, Writev};
pub use xattr::{
    Fgetxattr, Flistxattr, Fremovexattr, Fsetxattr, Lgetxattr, Llistxattr, Lremovexattr, Lsetxattr,
};

pub(crate) use chain::ops_of;
pub(crate) use private::{Access, Call, Role, Sealed};
pub(crate) use socket::{local_address, peer_address};

use crate::On;

mod private {
    /// Names the trait that keeps [`Operation`](super::Operation) to this crate.
    pub trait Sealed {}

    /// Lets only this crate call the methods of [`Operation`](super::Operation).
    #[derive(Clone, Copy, Debug)]
    pub struct Access(());

    impl Access {
        pub(crate) const fn new() -> Self {
            Self(())
        }
    }

    /// What an operation asks for.
    #[derive(Clone, Copy, Debug)]
    pub enum Call {
        /// This system call.
        System {
            /// Its number.
            nr: u16,
            /// Its arguments, as in registers.
            args: [u64; 6],
            /// What it has to do with the file of its chain.
            role: Role,
            /// How long it may take.
            limit: Option<core::time::Duration>,
        },
        /// Nothing; this is what it returns.
        Ready(i64),
    }

    /// What a call has to do with the file of its chain.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Role {
        /// Nothing.
        Plain,
        /// It opens that file.
        Opens,
        /// Its first argument stands for that file.
        OnFile,
    }
}

/// A system call with all that it needs, and the type of what comes back.
///
/// Implemented by the types of this [module](self) only.
pub trait Operation: Sealed + Send + Sized + 'static {
    /// What comes back.
    type Output;

    /// The call to make. Pointers in it point into `self` and what it owns, and stay valid until
    /// `self` is moved or touched. May be asked for again.
    #[doc(hidden)]
    fn call(&mut self, access: Access) -> Call;

    /// The file, for calls at a position of it: who executes may ask what it is.
    #[doc(hidden)]
    fn file(&self, _: Access) -> Option<&crate::SharedFd> {
        None
    }

    /// Makes the output of what the call returned, once nobody executes it any more.
    #[doc(hidden)]
    fn finish(self, ret: i64, access: Access) -> Self::Output;

    /// The output when the call is never made.
    #[doc(hidden)]
    fn cancel(self, errno: crate::Errno, access: Access) -> Self::Output {
        self.finish(-i64::from(errno.raw()), access)
    }

    /// The operation with a limit to its time, see [`Timeout`].
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, Errno, Operation, SharedFd, op::Read};
    /// use std::{os::fd::OwnedFd, time::Duration};
    /// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    /// let reader = SharedFd::new(OwnedFd::from(reader));
    /// let context = Context::auto()?;
    /// let read = Read::new(reader, vec![0; 16]).timeout(Duration::from_millis(1));
    /// assert_eq!(context.run(read).0, Err(Errno::ETIME));
    /// # drop(writer);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn timeout(self, limit: core::time::Duration) -> Timeout<Self> {
        Timeout::new(self, limit)
    }
}

/// A call with up to six arguments.
pub(crate) fn system<const N: usize>(nr: libc::c_long, given: [u64; N]) -> Call {
    const { assert!(N <= 6) };
    let mut args = [0; 6];
    args[..N].copy_from_slice(&given);
    plain_call(nr as u16, args)
}

/// A call of which nothing more is to be said.
pub(crate) fn plain_call(nr: u16, args: [u64; 6]) -> Call {
    Call::System {
        nr,
        args,
        role: Role::Plain,
        limit: None,
    }
}

/// A call on a file, with up to five more arguments.
pub(crate) fn file_call<const N: usize>(nr: libc::c_long, file: &On, given: [u64; N]) -> Call {
    const { assert!(N <= 5) };
    let mut args = [0; 6];
    args[0] = file.arg();
    args[1..=N].copy_from_slice(&given);
    Call::System {
        nr: nr as u16,
        args,
        role: match file {
            On::Fd(_) => Role::Plain,
            On::Chain => Role::OnFile,
        },
        limit: None,
    }
}

/// The operations whose value is `()` and that take plain arguments only.
macro_rules! unit_operation {
    ($name:ident, $nr:ident, |$this:ident| $fd:expr; [$($arg:expr),* $(,)?]) => {
        $crate::op::unit_operation!(@ $name, |$this| $crate::op::file_call(
            libc::$nr,
            $fd,
            [$($arg),*],
        ));
    };
    ($name:ident, $nr:ident, |$this:ident| [$($arg:expr),* $(,)?]) => {
        $crate::op::unit_operation!(@ $name, |$this| $crate::op::system(libc::$nr, [$($arg),*]));
    };
    (@ $name:ident, |$this:ident| $call:expr) => {
        impl $crate::op::Sealed for $name {}

        impl $crate::op::Operation for $name {
            type Output = $crate::Result<()>;

            fn call(&mut self, _: $crate::op::Access) -> $crate::op::Call {
                let $this = &*self;
                $call
            }

            fn finish(self, ret: i64, _: $crate::op::Access) -> Self::Output {
                $crate::Errno::unit(ret)
            }
        }
    };
}
pub(crate) use unit_operation;

/// `int` arguments are sign extended to a register.
pub(crate) fn int(value: i32) -> u64 {
    i64::from(value) as u64
}

/// The address of a C string.
pub(crate) fn text(path: &core::ffi::CStr) -> u64 {
    path.as_ptr() as u64
}
