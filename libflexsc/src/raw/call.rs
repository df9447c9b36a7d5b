// SPDX-License-Identifier: MIT OR Apache-2.0
//! A call by its number.

use core::time::Duration;

use crate::{
    Errno,
    backend::{opens, takes_file},
    op::{Access, Call, Operation, Role, Sealed},
    sys,
};

/// A system call by its number and arguments.
///
/// # Examples
///
/// ```
/// use libflexsc::{Backend, raw::{RawCall, RawContext}, sys};
/// use std::{os::fd::AsRawFd, time::Duration};
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// let mut context = RawContext::new(Backend::auto()?);
/// let poll = RawCall::poll(reader.as_raw_fd(), libc::POLLIN).timeout(Duration::from_millis(1));
/// // SAFETY: The call writes nowhere.
/// unsafe { context.post(poll, 0) };
/// context.wait(1, None);
/// assert_eq!(context.next().unwrap().ret, -i64::from(libc::ETIME));
/// # drop(writer);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawCall {
    nr: u16,
    args: [u64; 6],
    limit: Option<Duration>,
    role: Role,
    again: bool,
    /// What it fails with instead of being executed.
    error: Option<Errno>,
}

impl RawCall {
    /// The call `nr` (`libc::SYS_*`, x86-64) with these arguments, as in registers. A number beyond
    /// 16 bits is none of a call: `ENOSYS`.
    #[inline]
    pub const fn new(nr: libc::c_long, args: [u64; 6]) -> Self {
        if nr < 0 || nr > u16::MAX as libc::c_long {
            return Self::failing(Errno::ENOSYS);
        }
        Self {
            nr: nr as u16,
            args,
            limit: None,
            role: Role::Plain,
            again: false,
            error: None,
        }
    }

    /// Executes nothing and fails, in its turn: for what a binding's callers ask for and there is
    /// not.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Backend, Errno, raw::{RawCall, RawContext}, sys};
    /// let mut context = RawContext::new(Backend::direct());
    /// let nothing = RawCall::new(sys::NR_NOP.into(), [0; 6]);
    /// // SAFETY: The calls write nowhere.
    /// unsafe { context.post_chain([(RawCall::failing(Errno::EINVAL), 1), (nothing, 2)]) };
    /// let results = [context.next(), context.next()].map(|done| done.unwrap().ret);
    /// assert_eq!(results, [libc::EINVAL, libc::ECANCELED].map(|errno| -i64::from(errno)));
    /// ```
    pub const fn failing(errno: Errno) -> Self {
        let mut call = Self::new(sys::NR_NOP as libc::c_long, [0; 6]);
        call.error = Some(errno);
        call
    }

    /// Waits until the file is ready for one of these events (`libc::POLL*`), and gives those that
    /// are there; see [`Poll`](crate::op::Poll).
    pub const fn poll(fd: i32, events: i16) -> Self {
        let args = [fd as i64 as u64, events as u16 as u64, 0, 0, 0, 0];
        Self::new(sys::NR_POLL as libc::c_long, args)
    }

    /// With a limit to its time: see [`Timeout`](crate::op::Timeout).
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        // As for the typed operation: whether a late close was made would be unknown.
        if libc::c_long::from(self.nr) != libc::SYS_close {
            self.limit = Some(limit);
        }
        self
    }

    /// On the file of its chain: it opens that file, or takes it for its first argument. `EINVAL`
    /// for a call that does neither. Outside of a chain it is one of its own.
    #[must_use]
    pub fn on_chain(mut self) -> Self {
        if opens(self.nr) {
            self.role = Role::Opens;
        } else if takes_file(self.nr) && !self.again {
            self.role = Role::OnFile;
        } else {
            self.error = self.error.or(Some(Errno::EINVAL));
        }
        self
    }

    /// Goes on, and completes once for each readiness until it fails: see
    /// [`Watch`](crate::Watch). `EINVAL` for all but [`Self::poll`], and in a chain.
    ///
    /// With plain calls it is looked at by [`RawContext::wait`](super::RawContext::wait), once for
    /// each, and tells of what is there.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Backend, raw::{RawCall, RawContext}};
    /// use std::{io::Write, os::fd::AsRawFd};
    /// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
    /// let mut context = RawContext::new(Backend::auto()?);
    /// // SAFETY: The call writes nowhere.
    /// unsafe { context.post(RawCall::poll(reader.as_raw_fd(), libc::POLLIN).again(), 1) };
    /// writer.write_all(b"x")?;
    /// context.wait(1, None);
    /// let told = context.next().unwrap();
    /// assert_eq!((told.ret, told.more), (libc::POLLIN.into(), true));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn again(mut self) -> Self {
        self.again = self.nr == sys::NR_POLL && self.role == Role::Plain;
        if !self.again {
            self.error = self.error.or(Some(Errno::EINVAL));
        }
        self
    }

    /// As it may stand in a chain.
    pub(super) fn in_chain(mut self) -> Self {
        if self.again {
            self.error = self.error.or(Some(Errno::EINVAL));
        }
        self
    }

    pub(super) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Number and arguments, if that is all there is to it.
    #[inline]
    pub(crate) fn as_bare(&self) -> Option<(u16, &[u64; 6])> {
        let plain =
            self.role == Role::Plain && self.limit.is_none() && !self.again && self.error.is_none();
        plain.then_some((self.nr, &self.args))
    }

    /// The poll, if it is one that goes on.
    pub(super) fn as_watch(&self) -> Option<libc::pollfd> {
        let events = u16::try_from(self.args[1]).ok()?;
        (self.again && self.error.is_none()).then_some(libc::pollfd {
            // As the kernel takes an int from a register.
            fd: self.args[0] as i32,
            events: events as i16,
            revents: 0,
        })
    }
}

/// A call in the slab of a context. It owns nothing, and what comes of it is told by its number.
#[derive(Debug)]
pub(crate) struct Posted(pub(crate) RawCall);

impl Sealed for Posted {}

impl Operation for Posted {
    type Output = ();

    fn call(&mut self, _: Access) -> Call {
        let call = &self.0;
        match call.error {
            Some(errno) => Call::Ready(-i64::from(errno.raw())),
            None => Call::System {
                nr: call.nr,
                args: call.args,
                role: call.role,
                limit: call.limit,
            },
        }
    }

    fn finish(self, _: i64, _: Access) {}
}
