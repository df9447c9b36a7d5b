// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls by their numbers, and completions by the caller's tokens: what bindings to other
//! languages stand on.
//!
//! Between the [page](crate::page), which one backend has, and the [operations](crate::op), which
//! own all that their calls point to, this layer has what the operations have (chains, polls that
//! go on, time limits, cancelling, calls that were handed back, on all backends alike), but for
//! what makes them safe: here the caller answers for every address. The C library is made of it.
//!
//! # Examples
//!
//! ```
//! use libflexsc::{Backend, raw::{RawCall, RawContext}};
//! let mut context = RawContext::new(Backend::auto()?);
//! let mut text = [0; 64];
//! let name = c"/proc/self/comm";
//! let (at, read_only) = (libc::AT_FDCWD as u64, libc::O_RDONLY as u64);
//! let open = RawCall::new(libc::SYS_openat, [at, name.as_ptr() as u64, read_only, 0, 0, 0]);
//! let read = RawCall::new(libc::SYS_read, [0, text.as_mut_ptr() as u64, 64, 0, 0, 0]);
//! // SAFETY: Path and buffer stay where they are, and untouched, until both calls are complete;
//! // no descriptor is named.
//! unsafe { context.post_chain([(open.on_chain(), 1), (read.on_chain(), 2)]) };
//! assert_eq!(context.wait(2, None), 2);
//! let results = [context.next(), context.next()].map(Option::unwrap);
//! assert_eq!(results.map(|done| done.token), [1, 2]);
//! assert_eq!(text[results[1].ret as usize - 1], b'\n');
//! # Ok::<(), libflexsc::backend::Error>(())
//! ```

#![allow(unsafe_code)]

mod call;
mod completions;
mod plain;
mod single;

use core::{fmt, time::Duration};
use std::{os::fd::BorrowedFd, time::Instant};

pub use call::RawCall;
pub use single::RawSingle;

use crate::{
    Armed, Backend, Cancel, CloseError, Context, Errno, Stats, backend::Choice, erased::RawOp,
    slab::Owner,
};
pub(crate) use call::Posted;
pub(crate) use completions::Completions;
use plain::PlainWatches;

/// A call that is complete, or a readiness of a poll that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawCompletion {
    /// What was given with the call.
    pub token: u64,
    /// What the call returned, or a negative errno.
    pub ret: i64,
    /// More is to come of this call: it is one that [goes on](RawCall::again).
    pub more: bool,
}

/// A [`Context`] of [`RawCall`]s.
///
/// It can move to another thread, and is used by one at a time. After `fork(2)` it belongs to the
/// parent: in the child every call, also one in progress, completes with
/// [`Errno::FORKED`](crate::Errno::FORKED).
///
/// # Examples
///
/// ```
/// use libflexsc::{Backend, raw::{RawCall, RawContext}};
/// let mut context = RawContext::new(Backend::auto()?);
/// for token in 0..100 {
///     // SAFETY: The call has no argument.
///     unsafe { context.post(RawCall::new(libc::SYS_getppid, [0; 6]), token) };
/// }
/// let mut tokens = Vec::new();
/// while context.wait(1, None) > 0 {
///     while let Some(done) = context.next() {
///         assert_eq!(done.ret, std::os::unix::process::parent_id().into());
///         tokens.push(done.token);
///     }
/// }
/// tokens.sort();
/// assert!(tokens.into_iter().eq(0..100));
/// assert_eq!(context.stats().submitted, 100);
/// context.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RawContext {
    context: Context,
    batch: u32,
    /// By slot.
    tokens: Vec<u64>,
    ready: Completions,
    /// What plain calls have for polls that go on.
    watches: PlainWatches,
}

impl RawContext {
    /// A context over this backend.
    pub fn new(backend: Backend) -> Self {
        let context = Context::new(backend);
        let batch = context.with(|poster| poster.open_raw());
        Self {
            context,
            batch,
            tokens: Vec::new(),
            ready: Completions::default(),
            watches: PlainWatches::default(),
        }
    }

    /// Who executes, and why this one.
    pub fn choice(&self) -> &Choice {
        self.context.choice()
    }

    /// Posts a call; with plain calls it is made here. Never fails: what is wrong with a call its
    /// completion says, and when the page is full it waits in the context for its turn.
    ///
    /// The other side gets to see it with the next 32, when somebody waits, or at [`Self::flush`].
    ///
    /// # Safety
    ///
    /// Until the call is complete, or for as long as the process lives if its completion is not
    /// awaited: every address among the arguments is valid for what the call does with it, and
    /// nobody accesses what it writes. No file is closed, and no memory mapped or unmapped, that
    /// somebody else owns.
    // Where it is a call of a function the structure is written to memory and read again for each call.
    #[inline(always)]
    pub unsafe fn post(&mut self, call: RawCall, token: u64) {
        if let Some((nr, args)) = call.as_bare() {
            // SAFETY: As the caller promises.
            if unsafe { self.context.poster_mut().post_bare(nr, args, token) } {
                return;
            }
        }
        self.post_with_slot(call, token);
    }

    /// Posts calls as [`Self::post`] does, each with its token: for many at once it takes less work.
    ///
    /// # Safety
    ///
    /// As for [`Self::post`], for each. `calls` does not fork the process, or its child does not come back from it.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Backend, raw::{RawCall, RawContext}};
    /// let mut context = RawContext::new(Backend::auto()?);
    /// let call = RawCall::new(libc::SYS_getppid, [0; 6]);
    /// // SAFETY: The call has no argument.
    /// unsafe { context.post_all((0..100).map(|token| (call, token))) };
    /// let mut sum = 0;
    /// while context.wait(1, None) > 0 {
    ///     sum += context.completions().map(|done| done.token).sum::<u64>();
    /// }
    /// assert_eq!(sum, 99 * 100 / 2);
    /// # Ok::<(), libflexsc::backend::Error>(())
    /// ```
    #[inline(always)]
    pub unsafe fn post_all(&mut self, calls: impl IntoIterator<Item = (RawCall, u64)>) {
        let mut calls = calls.into_iter();
        loop {
            // SAFETY: As the caller promises.
            let rest = unsafe { self.context.poster_mut().post_all_bare(&mut calls) };
            let Some((call, token)) = rest else {
                return;
            };
            // SAFETY: As the caller promises.
            unsafe { self.post(call, token) };
        }
    }

    /// Posts a call that cannot be posted at once and without a slot. What it points to is as the caller
    /// of [`Self::post`] promises.
    #[inline(never)]
    fn post_with_slot(&mut self, call: RawCall, token: u64) {
        let Some(watch) = call.as_watch() else {
            let (op, owner) = (Posted(call), Owner::Batch(self.batch));
            let key = self.context.insert(op, owner, false);
            return note(&mut self.tokens, key, token);
        };
        if self.context.is_direct() {
            self.watches.add(watch, call.limit(), token);
        } else {
            let (op, owner) = (Posted(call), Owner::Batch(self.batch));
            let key = self
                .context
                .with(|poster| poster.insert_watch(op, owner, false));
            note(&mut self.tokens, key, token);
        }
    }

    /// Posts calls that are executed one after the other (there is an example at the top of this
    /// [module](self)), as those of a
    /// [`Chain`](crate::op::Chain). One that [goes on](RawCall::again) fails in a chain.
    ///
    /// # Safety
    ///
    /// As for [`Self::post`], for each.
    pub unsafe fn post_chain(&mut self, calls: impl IntoIterator<Item = (RawCall, u64)>) {
        let (ops, tokens): (Vec<_>, Vec<_>) = calls
            .into_iter()
            .map(|(call, token)| (RawOp::new(Posted(call.in_chain())), token))
            .unzip();
        let owner = Owner::Batch(self.batch);
        let keys = self
            .context
            .with(|poster| poster.insert_chain(ops, owner, false));
        for (key, token) in keys.into_iter().zip(tokens) {
            note(&mut self.tokens, key, token);
        }
    }

    /// Lets the other side see all that was posted, and wakes it if it sleeps.
    pub fn flush(&self) {
        self.context.flush();
    }

    /// A descriptor that an event loop can sleep on: see [`Context::event_fd`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn event_fd(&self) -> crate::Result<BorrowedFd<'_>> {
        self.context.event_fd()
    }

    /// As [`Context::arm`], to be called each time before an event loop sleeps. `completed` is how many
    /// completions can be taken. With plain calls a poll that goes on is looked at every 10 ms.
    pub fn arm(&mut self) -> Armed {
        self.watches.look_again();
        loop {
            self.gather();
            let mut armed = self.context.arm();
            // What it counts may have been taken long ago.
            if armed.completed == 0 || !self.ready.is_empty() {
                armed.completed = self.ready.len();
                if !self.watches.is_empty() {
                    armed.timeout = armed.timeout.into_iter().chain([WATCH_TICK]).min();
                }
                return armed;
            }
        }
    }

    /// Waits until there are `min` completions to be taken, or nothing is in progress, or the time
    /// is over. Returns how many there are.
    ///
    /// A signal does not end it; a poll of a signalfd does.
    pub fn wait(&mut self, min: usize, timeout: Option<Duration>) -> usize {
        let timeout = timeout.map(|timeout| (timeout, Instant::now()));
        self.watches.look_again();
        self.take_landed();
        if self.ready.len() >= min || timeout.is_some() || !self.watches.is_empty() {
            // There may be no wait in the pool, which would look by itself and let the other side see what was posted.
            self.gather();
        }
        loop {
            let missing = min.saturating_sub(self.ready.len());
            if missing == 0 || self.outstanding() == 0 {
                return self.ready.len();
            }
            let left = timeout.map(|(timeout, start)| timeout.saturating_sub(start.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return self.ready.len();
            }
            if !self.watches.is_empty() {
                self.watches.wait(left);
                self.watches.look_again();
                self.gather();
                continue;
            }
            let (tokens, ready) = (&mut self.tokens, &mut self.ready);
            let count = self.context.with(|poster| {
                let count = poster.wait(missing, left);
                poster.take_landed(tokens, ready);
                count
            });
            if count == 0 {
                // The time is over, or this is a forked child, where nothing completes any more.
                return self.ready.len();
            }
        }
    }

    /// The next completion, if there is one. Does not wait.
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<RawCompletion> {
        if self.ready.is_empty() {
            self.gather();
        }
        self.ready.pop()
    }

    /// Takes the completions that there are. Does not wait. What is not taken from the iterator stays; when all of it
    /// is taken, others may be there.
    #[inline]
    pub fn completions(&mut self) -> impl ExactSizeIterator<Item = RawCompletion> {
        if self.ready.is_empty() {
            self.gather();
        }
        self.ready.drain()
    }

    /// Looks what has completed, and takes it in.
    fn gather(&mut self) {
        self.context.with(|poster| {
            poster.flush();
            poster.reap();
        });
        self.take_landed();
        self.watches.look(&mut self.ready);
    }

    /// Takes in what is known to have completed.
    fn take_landed(&mut self) {
        let (tokens, ready) = (&mut self.tokens, &mut self.ready);
        self.context
            .with(|poster| poster.take_landed(tokens, ready));
    }

    /// Ends a call early that was posted with this token, one of them if there are several: as
    /// [`Context::cancel`].
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Backend, Cancel, raw::{RawCall, RawContext}};
    /// use std::os::fd::AsRawFd;
    /// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    /// let mut context = RawContext::new(Backend::auto()?);
    /// // SAFETY: The call writes nowhere.
    /// unsafe { context.post(RawCall::poll(reader.as_raw_fd(), libc::POLLIN).again(), 5) };
    /// assert_eq!(context.cancel(5), Cancel::Cancelled);
    /// context.wait(1, None);
    /// assert_eq!(context.next().unwrap().ret, -i64::from(libc::ECANCELED));
    /// # drop(writer);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn cancel(&mut self, token: u64) -> Cancel {
        if let Some(cancelled) = self.watches.cancel(token) {
            self.ready.push(cancelled);
            return Cancel::Cancelled;
        }
        let tokens = &mut self.tokens;
        let answer = self.context.with(|poster| {
            let answer = poster.cancel_bare(token);
            poster.note_moved(tokens);
            answer
        });
        if answer != Cancel::Over {
            return answer;
        }
        for (key, _) in (0..)
            .zip(&self.tokens)
            .filter(|(_, other)| **other == token)
        {
            // A slot that is vacant, or over, keeps its token.
            let answer = self.context.cancel_slot(key);
            if answer != Cancel::Over {
                return answer;
            }
        }
        Cancel::Over
    }

    /// Ends all calls early that can be ended. Returns how many were not over.
    pub fn cancel_all(&mut self) -> usize {
        let watches = self.watches.cancel_all(&mut self.ready);
        self.context.cancel_all() + watches
    }

    /// How many calls are in progress, posted or waiting for their turn. What can be taken by
    /// [`Self::next`] is not among them.
    pub fn outstanding(&self) -> usize {
        self.context.outstanding() + self.watches.len()
    }

    /// How many calls can be in progress before one has to wait for its turn.
    pub fn capacity(&self) -> usize {
        self.context.capacity()
    }

    /// What the context has done so far.
    pub fn stats(&self) -> Stats {
        self.context.stats()
    }

    /// Ends the context as [`Context::close`]: calls that wait for their turn are not executed, and
    /// those in progress are waited for. Completions that were not taken are lost, with the numbers
    /// of files that they opened.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if calls were still in progress when the time was over: the memory that they
    /// use must stay valid for as long as the process lives.
    pub fn close(self) -> Result<Stats, CloseError> {
        self.context.close()
    }
}

impl fmt::Debug for RawContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawContext")
            .field("choice", self.choice())
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

/// Notes the token of a slot.
pub(crate) fn note(tokens: &mut Vec<u64>, key: u32, token: u64) {
    let key = key as usize;
    if tokens.len() <= key {
        tokens.resize(key + 1, 0);
    }
    tokens[key] = token;
}

/// How often an event loop has to look at polls that go on where nobody goes on with them.
const WATCH_TICK: Duration = Duration::from_millis(10);

/// What ends a call that is cancelled.
const CANCELED: i64 = -(Errno::CANCELED.raw() as i64);

const _: () = {
    const fn sendable<T: Send>() {}
    sendable::<RawContext>();
};

#[cfg(test)]
mod tests;
