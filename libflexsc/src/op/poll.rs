// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for a file.

use super::{Access, Call, Operation, Sealed, file_call};
use crate::{Errno, On, Result, sys};

/// Waits, once, until a file is ready: `poll(2)` of one file. Gives the events that are there.
///
/// [`Context::watch`](crate::Context::watch) tells of each time that it gets ready.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Poll};
/// use std::os::fd::OwnedFd;
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// let reader = SharedFd::new(OwnedFd::from(reader));
/// let context = Context::auto()?;
/// drop(writer);
/// let events = context.run(Poll::new(reader, libc::POLLIN))?;
/// assert!(events & libc::POLLHUP != 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Poll {
    pub(crate) fd: On,
    pub(crate) events: i16,
}

impl Poll {
    /// `events` are `libc::POLL*`; `POLLERR` and `POLLHUP` always count.
    pub fn new(fd: impl Into<On>, events: i16) -> Self {
        Self {
            fd: fd.into(),
            events,
        }
    }
}

impl Sealed for Poll {}

impl Operation for Poll {
    type Output = Result<i16>;

    fn call(&mut self, _: Access) -> Call {
        let nr = libc::c_long::from(sys::NR_POLL);
        file_call(nr, &self.fd, [(self.events as u16).into()])
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::result(ret).map(|events| events as i16)
    }
}
