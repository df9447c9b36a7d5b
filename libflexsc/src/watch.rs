// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files whose readiness is told again and again.

use core::{
    fmt,
    future::poll_fn,
    mem,
    task::{Context as TaskContext, Poll as Ready},
};
use std::{os::fd::AsRawFd, rc::Rc, sync::Arc};

use crate::{
    Cancel, Context, Result, SharedFd,
    claim::{Claim, Home},
    context::plain_poll,
    op::Poll,
    poster::Told,
    slab::Owner,
};

/// A file that is watched: a poll that goes on. [`Context::watch`].
///
/// It gives the events each time that the file gets ready, and at the beginning if it is ready then;
/// what comes before it is asked is given together. As with `EPOLLET`, who is told should use up
/// what there is; and may be told of what it has used up already.
///
/// A watch ends when it is cancelled or dropped, or its file fails. One that is dropped ends when its
/// context is used next; [`Self::discard`] ends it at once.
///
/// # Examples
///
/// ```
/// use libflexsc::{Cancel, Context, Errno, SharedFd};
/// use std::os::fd::OwnedFd;
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// let reader = SharedFd::new(OwnedFd::from(reader));
/// let context = Context::auto()?;
/// let mut watch = context.watch(&reader, libc::POLLIN);
/// assert_eq!(watch.take(&context), None, "nothing is there to be read");
/// drop(writer);
/// assert!(watch.wait(&context)? & libc::POLLHUP != 0);
/// watch.discard(&context);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "what a watch has to say can be taken from it only"]
pub struct Watch {
    state: State,
}

enum State {
    Slot(Claim),
    /// With plain calls: asked for each time.
    Plain {
        fd: SharedFd,
        events: i16,
        home: Arc<Home>,
    },
    Taken,
}

impl Watch {
    pub(crate) fn of_slot(key: u32, home: Arc<Home>) -> Self {
        let state = State::Slot(Claim::new(key, home));
        Self { state }
    }

    pub(crate) fn plain(fd: SharedFd, events: i16, home: Arc<Home>) -> Self {
        let state = State::Plain { fd, events, home };
        Self { state }
    }

    /// Whether it is one of another context, as far as it knows.
    fn is_of_another(&self, context: &Context) -> bool {
        match &self.state {
            State::Slot(claim) => !claim.is_of(context.home()),
            State::Plain { home, .. } => !Arc::ptr_eq(home, context.home()),
            State::Taken => false,
        }
    }

    /// The events that came since it was asked last, `None` if none came; also after the end was
    /// given, and for another context. Does not wait.
    ///
    /// # Errors
    ///
    /// Once, at its end: why. `ECANCELED` after a cancel.
    pub fn take(&mut self, context: &Context) -> Option<Result<i16>> {
        if self.is_of_another(context) {
            return None;
        }
        let key = match &self.state {
            State::Slot(claim) => claim.key(),
            State::Plain { fd, events, .. } => {
                let told = plain_poll(fd.as_raw_fd(), *events, false).transpose();
                if matches!(told, Some(Err(_))) {
                    self.redeem();
                }
                return told;
            }
            State::Taken => return None,
        };
        let told = context.told(key)?;
        if told.is_err() {
            self.redeem();
        }
        Some(told)
    }

    /// Waits for the next events.
    ///
    /// # Errors
    ///
    /// As for [`Self::take`].
    ///
    /// # Panics
    ///
    /// After its end was given, and for another context: there is nothing to wait for.
    pub fn wait(&mut self, context: &Context) -> Result<i16> {
        loop {
            if let Some(told) = self.take(context) {
                return told;
            }
            assert!(
                !self.is_of_another(context),
                "the watch is one of another context"
            );
            match &self.state {
                State::Slot(_) => {
                    context.wait(1);
                }
                State::Plain { fd, events, .. } => {
                    let told = plain_poll(fd.as_raw_fd(), *events, true);
                    if told.is_err() {
                        self.redeem();
                    }
                    return told.map(Option::unwrap_or_default);
                }
                State::Taken => panic!("the end of this watch was taken before"),
            }
        }
    }

    /// Ends the watch; the end is to be taken like events.
    pub fn cancel(&mut self, context: &Context) -> Cancel {
        match &self.state {
            State::Slot(claim) if !self.is_of_another(context) => context.cancel_slot(claim.key()),
            _ => Cancel::Over,
        }
    }

    /// Ends the watch, and gives up what it has to say.
    pub fn discard(mut self, context: &Context) {
        if self.is_of_another(context) {
            return;
        }
        if let Some(key) = self.redeem() {
            context.with(|poster| poster.abandon(key));
        }
    }

    /// Gives the slot to who will see to it.
    fn redeem(&mut self) -> Option<u32> {
        match mem::replace(&mut self.state, State::Taken) {
            State::Slot(claim) => Some(claim.redeem()),
            State::Plain { .. } | State::Taken => None,
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("over", &matches!(self.state, State::Taken))
            .finish_non_exhaustive()
    }
}

/// A [`Watch`] for futures: [`Handle::watch`](crate::Handle::watch). Dropping it ends it.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, SharedFd, task::block_on};
/// use std::{io::Write, os::fd::OwnedFd};
/// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
/// let reader = SharedFd::new(OwnedFd::from(reader));
/// let handle = Handle::auto()?;
/// let mut watching = handle.watch(&reader, libc::POLLIN);
/// writer.write_all(b"news")?;
/// let events = block_on(&handle, watching.next())?;
/// assert!(events & libc::POLLIN != 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping a watch ends it"]
pub struct Watching {
    watch: Watch,
    context: Rc<Context>,
}

impl Watching {
    pub(crate) fn new(watch: Watch, context: Rc<Context>) -> Self {
        Self { watch, context }
    }

    /// The next events.
    ///
    /// # Errors
    ///
    /// Once, at its end: why. After that it never ends.
    pub async fn next(&mut self) -> Result<i16> {
        poll_fn(|task| self.poll_next(task)).await
    }

    /// As [`Self::next`], for futures written by hand.
    pub fn poll_next(&mut self, task: &mut TaskContext<'_>) -> Ready<Result<i16>> {
        if let State::Plain { .. } = self.watch.state {
            return Ready::Ready(self.watch.wait(&self.context));
        }
        let waker = task.waker();
        loop {
            if let Some(told) = self.watch.take(&self.context) {
                return Ready::Ready(told);
            }
            let State::Slot(claim) = &self.watch.state else {
                return Ready::Pending;
            };
            let key = claim.key();
            if self.context.with(|poster| poster.wakes(key, waker)) {
                return Ready::Pending;
            }
            // A clone is user code, in which the watch may be told something.
            let own = waker.clone();
            if self.context.with(|poster| poster.set_waker(key, own)) {
                return Ready::Pending;
            }
        }
    }

    /// Ends the watch; the end is to be taken like events.
    pub fn cancel(&mut self) -> Cancel {
        self.watch.cancel(&self.context)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(key) = self.watch.redeem() {
            self.context.with(|poster| poster.abandon(key));
        }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.watch.fmt(f)
    }
}

impl Context {
    /// Watches a file for events, `libc::POLL*`: tells each time that it gets ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, SharedFd, op::Read};
    /// use std::{io::Write, os::fd::OwnedFd};
    /// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
    /// let reader = SharedFd::new(OwnedFd::from(reader));
    /// let context = Context::auto()?;
    /// let mut watch = context.watch(&reader, libc::POLLIN);
    /// for message in [b"one", b"two"] {
    ///     writer.write_all(message)?;
    ///     assert!(watch.wait(&context)? & libc::POLLIN != 0);
    ///     assert_eq!(context.run(Read::new(&reader, vec![0; 16])).0, Ok(3));
    /// }
    /// watch.discard(&context);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watch(&self, fd: &SharedFd, events: i16) -> Watch {
        self.watch_for(fd, events, false)
    }

    pub(crate) fn watch_for(&self, fd: &SharedFd, events: i16, for_future: bool) -> Watch {
        if self.is_direct() {
            return Watch::plain(fd.clone(), events, self.home().clone());
        }
        let poll = Poll::new(fd, events);
        let key = self.with(|poster| poster.insert_watch(poll, Owner::Key, for_future));
        Watch::of_slot(key, self.home().clone())
    }

    fn told(&self, key: u32) -> Option<Result<i16>> {
        match self.with(|poster| poster.told(key)) {
            Told::Nothing => None,
            Told::Events(events) => Some(Ok(events)),
            Told::End(errno) => {
                // Frees the slot.
                self.with(|poster| poster.abandon(key));
                Some(Err(errno))
            }
        }
    }
}
