// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context in an event loop of others: poll(2), epoll, tokio's.

#![allow(unsafe_code)]

use core::time::Duration;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::{Context, Errno, Result};

/// What an event loop has to know before it sleeps: see [`Context::arm`].
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::Nop};
/// let context = Context::auto()?;
/// let mut ticket = context.post(Nop::new());
/// while ticket.take(&context).is_none() {
///     let armed = context.arm();
///     if armed.may_sleep() {
///         // Here a loop sleeps, for `armed.timeout` at most: see `Context::event_fd`.
///         # context.wait(1);
///     }
/// }
/// # Ok::<(), libflexsc::backend::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Armed {
    /// How many operations have completed, and how often watches have told of something, since the last
    /// time. If there are any, the descriptor may not tell of what comes: see to them, then arm again.
    pub completed: usize,
    /// At most so long may the loop sleep before it arms again; `None` for as long as it likes.
    pub timeout: Option<Duration>,
}

impl Armed {
    /// Whether the loop may sleep until the descriptor is readable.
    pub fn may_sleep(&self) -> bool {
        self.completed == 0 && self.timeout.is_none_or(|time| !time.is_zero())
    }
}

/// The descriptor of a context.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// One that is readable when one of these is.
    pub(crate) fn of(files: impl IntoIterator<Item = RawFd>) -> Result<Self> {
        // SAFETY: The call takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: The file was just opened and nobody owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        for file in files {
            let mut event = libc::epoll_event {
                events: libc::EPOLLIN as u32,
                u64: 0,
            };
            // SAFETY: The event is valid for reads.
            let ret = unsafe { libc::epoll_ctl(fd, libc::EPOLL_CTL_ADD, file, &mut event) };
            if ret < 0 {
                return Err(Errno::last());
            }
        }
        Ok(Self(epoll))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: The file is open for as long as `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

impl Context {
    /// A descriptor that an event loop can sleep on until there is something to do for this context:
    /// readable (`POLLIN`) then, level-triggered, and never to be read from. It may tell late of what was
    /// taken already. For how long it tells of what, see [`Self::arm`].
    ///
    /// # Errors
    ///
    /// `EMFILE` and `ENFILE` without descriptors, `ENOMEM`, and [`Errno::FORKED`] in a forked child.
    ///
    /// # Examples
    ///
    /// A loop of poll(2); one of tokio is in `examples/tokio_local.rs`.
    ///
    /// ```
    /// use libflexsc::{Context, op::Getppid};
    /// use std::os::fd::AsRawFd;
    /// let context = Context::auto()?;
    /// let fd = context.event_fd()?.as_raw_fd();
    /// let mut ticket = context.post(Getppid::new());
    /// let parent = loop {
    ///     let armed = context.arm();
    ///     if let Some(parent) = ticket.take(&context) {
    ///         break parent;
    ///     }
    ///     if armed.may_sleep() {
    ///         let mut file = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    ///         let time = armed.timeout.map_or(-1, |time| time.as_millis() as i32 + 1);
    ///         // SAFETY: One structure that can be written to.
    ///         unsafe { libc::poll(&mut file, 1, time) };
    ///     }
    /// };
    /// assert_eq!(parent? as u32, std::os::unix::process::parent_id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn event_fd(&self) -> Result<BorrowedFd<'_>> {
        if let Some(made) = self.events().get() {
            return Ok(made.as_fd());
        }
        let (engine, bell) = self.with(|poster| poster.lend())?;
        let made = EventFd::of(engine.into_iter().chain([bell]))?;
        Ok(self.events().get_or_init(|| made).as_fd())
    }

    /// Posts what was submitted, takes what has completed, and if nothing has, sees to it that the
    /// [descriptor](Self::event_fd) gets readable by what completes, or is submitted, from now on. To be
    /// called each time before an event loop sleeps. Does not wait.
    ///
    /// Of futures that were submitted by a [`Handle`](crate::Handle) the wakers are called; tasks, timers
    /// and readiness of a handle are seen to by [`block_on`](crate::task::block_on) only.
    pub fn arm(&self) -> Armed {
        let (completed, timeout) = self.with(|poster| poster.arm());
        Armed { completed, timeout }
    }
}
