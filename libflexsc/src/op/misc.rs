// SPDX-License-Identifier: MIT OR Apache-2.0
//! Closing, measuring and testing.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd};

use super::{Access, Call, Operation, Sealed, file_call, int, plain_call, system};
use crate::{Errno, On, Result, fd, sys};

/// Does nothing, for measuring. Not a system call.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::Nop};
/// let context = Context::auto()?;
/// // What it costs to have something executed.
/// let start = std::time::Instant::now();
/// for result in context.run_all((0..1000).map(|_| Nop::new())) {
///     assert_eq!(result, Ok(0));
/// }
/// println!("{:?} each", start.elapsed() / 1000);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Nop(());

impl Nop {
    /// Nothing.
    pub fn new() -> Self {
        Self(())
    }
}

impl Sealed for Nop {}

impl Operation for Nop {
    type Output = Result<i32>;

    fn call(&mut self, _: Access) -> Call {
        plain_call(sys::NR_NOP, [0; 6])
    }

    #[inline]
    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::result(ret).map(|ret| ret as i32)
    }
}

/// The parent's process number: `getppid(2)`, for measuring.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::Getppid};
/// let context = Context::auto()?;
/// assert_eq!(context.run(Getppid::new())? as u32, std::os::unix::process::parent_id());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Getppid(());

impl Getppid {
    /// Of this process.
    pub fn new() -> Self {
        Self(())
    }
}

impl Sealed for Getppid {}

impl Operation for Getppid {
    type Output = Result<i32>;

    fn call(&mut self, _: Access) -> Call {
        system(libc::SYS_getppid, [])
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::result(ret).map(|ret| ret as i32)
    }
}

/// Closes a file: `close(2)`.
///
/// A share that is not the last one is only dropped: the result is `Ok`, no call is made, and the
/// file is closed when its last user, perhaps a posted operation, is done with it. So is a file
/// whose operation is never executed. After the call the number is gone, whatever it returned.
///
/// A close has no time limit: [`Timeout`](super::Timeout) leaves it as it is.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Close};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-close", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// let null = SharedFd::from(std::fs::File::open("/dev/null")?);
/// let share = null.clone();
/// context.run(Close::new(null))?; // Only a share: the file stays open.
/// context.run(Close::new(share))?; // The last one.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Close(Closed);

#[derive(Debug)]
enum Closed {
    File(OwnedFd),
    Share,
    OfChain,
}

impl Close {
    /// This file, if `fd` is its last share; or that of the chain.
    pub fn new(fd: impl Into<On>) -> Self {
        Self(match fd.into() {
            On::Fd(fd) => fd.try_unwrap().map_or(Closed::Share, Closed::File),
            On::Chain => Closed::OfChain,
        })
    }
}

impl Sealed for Close {}

impl Operation for Close {
    type Output = Result<()>;

    fn call(&mut self, _: Access) -> Call {
        match &self.0 {
            Closed::File(fd) => system(libc::SYS_close, [int(fd.as_raw_fd())]),
            Closed::Share => Call::Ready(0),
            Closed::OfChain => file_call(libc::SYS_close, &On::Chain, []),
        }
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        if let Closed::File(closed) = self.0 {
            fd::forget(closed);
        }
        Errno::unit(ret)
    }

    fn cancel(self, errno: Errno, _: Access) -> Self::Output {
        // Dropping `self` closes the file.
        Err(errno)
    }
}

/// Any system call, for tests.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::Raw};
/// let context = Context::auto()?;
/// // SAFETY: The call takes no pointer.
/// let parent = unsafe { Raw::new(libc::SYS_getppid as u16, [0; 6]) };
/// assert_eq!(context.run(parent)?, std::os::unix::process::parent_id().into());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Raw {
    nr: u16,
    args: [u64; 6],
}

impl Raw {
    /// The call `nr` of the x86-64 table with these arguments, as in registers.
    ///
    /// # Safety
    ///
    /// Until the operation is complete, or for as long as the process lives if its result is not
    /// awaited: every address among the arguments is valid for what the call does with it, and no
    /// file is closed, and no memory mapped or unmapped, that somebody owns.
    pub unsafe fn new(nr: u16, args: [u64; 6]) -> Self {
        Self { nr, args }
    }
}

impl Sealed for Raw {}

impl Operation for Raw {
    type Output = Result<i64>;

    fn call(&mut self, _: Access) -> Call {
        plain_call(self.nr, self.args)
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::result(ret).map(|ret| ret as i64)
    }
}
