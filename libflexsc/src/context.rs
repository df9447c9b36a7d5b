// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where operations are posted and their results taken.

#![allow(unsafe_code)]

use core::{
    cell::{OnceCell, RefCell, RefMut},
    fmt, mem,
    time::Duration,
};
use std::{collections::VecDeque, sync::Arc};

use crate::{
    Errno,
    backend::{Backend, Bell, Cancel, Choice, Engine, Error, Kind},
    claim::{Claim, Home},
    erased::RawOp,
    event::EventFd,
    op::{Access, Chain, Operation, ops_of},
    poster::Poster,
    slab::{Outcome, Owner},
    stats::Stats,
    sys,
};

/// A poster of operations, and the owner of all that are in progress.
///
/// At submission an operation, with its buffers, paths and files, moves into the context, and comes
/// back as its output when the call is over. What is in progress is out of reach: a forgotten or
/// dropped [`Ticket`], [`Pending`](crate::Pending) or [`Batch`](crate::Batch) leaves the operation
/// to the context, which keeps its memory until the call is over. Dropping the context waits for
/// that, for a bounded time ([`Options::drop_timeout`](crate::backend::Options::drop_timeout)); what
/// is still in progress then is leaked, never freed.
///
/// There are three ways to use one:
/// - one call at a time, or many of a kind: [`Self::run`], [`Self::run_all`];
/// - post many, wait for some, in any order: [`Self::post`] with tickets, or a
///   [`Batch`](crate::Batch) of operations of different types;
/// - futures: a [`Handle`](crate::Handle).
///
/// Operations have no order unless they are posted as a [`Chain`](crate::op::Chain). One that takes
/// too long can be [cancelled](Self::cancel), or be given a [limit](Operation::timeout).
///
/// A context can move to another thread but is not shared between threads; each has one of its own:
///
/// ```compile_fail
/// fn shared_between_threads<T: Sync>() {}
/// shared_between_threads::<libflexsc::Context>();
/// ```
///
/// After `fork(2)` a context belongs to the parent: in the child every operation, also one in
/// progress, ends with [`Errno::FORKED`](crate::Errno::FORKED); with plain calls ([`Backend::direct`]) there is nothing
/// shared, and both go on.
///
/// The descriptors that a context has opened are its own. Where a program closes them all the same, as
/// daemons close all files, or forbids by a seccomp filter what the backend needs, the context goes on: a pool,
/// or the caller, makes the calls that nobody else makes. The rest of a chain that the module has begun by
/// then ends with [`Errno::EBADFD`](crate::Errno::EBADFD).
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Pread};
/// let context = Context::auto()?;
/// let file = SharedFd::from(std::fs::File::open("/proc/self/exe")?);
/// let parts = (0..8).map(|i| Pread::new(file.clone(), vec![0; 512], i * 512));
/// for (count, part) in context.run_all(parts) {
///     assert!(count? <= part.len());
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Context {
    poster: RefCell<Poster>,
    home: Arc<Home>,
    choice: Choice,
    drop_timeout: Duration,
    events: OnceCell<EventFd>,
}

/// What [`Context::submit`] did with an operation.
pub(crate) enum Submitted<O: Operation> {
    /// It is over.
    Ready(O::Output),
    /// It is in this slot.
    Slot(u32),
}

impl Context {
    /// A context over this backend.
    pub fn new(backend: Backend) -> Self {
        let choice = backend.choice().clone();
        Self {
            poster: RefCell::new(Poster::new(backend.engine)),
            home: Arc::default(),
            choice,
            drop_timeout: backend.options.drop_timeout,
            events: OnceCell::new(),
        }
    }

    /// A context over the best backend there is: [`Backend::auto`].
    ///
    /// # Errors
    ///
    /// When the one that the environment forces cannot be had.
    pub fn auto() -> Result<Self, Error> {
        Backend::auto().map(Self::new)
    }

    /// A context over plain system calls: [`Backend::direct`].
    pub fn direct() -> Self {
        Self::new(Backend::direct())
    }

    /// Who executes, and why this one.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Makes one call and waits for it.
    #[inline]
    pub fn run<O: Operation>(&self, op: O) -> O::Output {
        match self.submit(op, false) {
            Submitted::Ready(output) => output,
            Submitted::Slot(key) => Ticket::<O>::of_slot(key, self.home.clone()).wait(self),
        }
    }

    /// Makes calls, as many at a time as the page holds, and gives their outputs in the order of
    /// the operations. The calls themselves happen in any order.
    pub fn run_all<O: Operation>(&self, ops: impl IntoIterator<Item = O>) -> Vec<O::Output> {
        let ops = ops.into_iter();
        let window = self.capacity();
        let mut tickets: VecDeque<Ticket<O>> = VecDeque::new();
        let mut outputs = Vec::with_capacity(ops.size_hint().0);
        for op in ops {
            if tickets.len() == window {
                // Half of them go on while the others are taken and replaced.
                outputs.extend(
                    tickets
                        .drain(..window.div_ceil(2))
                        .map(|ticket| ticket.wait(self)),
                );
            }
            tickets.push_back(self.post(op));
        }
        outputs.extend(tickets.into_iter().map(|ticket| ticket.wait(self)));
        outputs
    }

    /// Gives an operation to the backend, without waiting. Never fails: when the page is full the
    /// operation waits in the context for its turn.
    ///
    /// The other side gets to see it with the next 32 operations, when somebody waits, or at
    /// [`Self::flush`].
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Context, op::{Getppid, Nop}};
    /// let context = Context::direct();
    /// let mut parent = context.post(Getppid::new());
    /// let nothing = context.post(Nop::new());
    /// assert_eq!(nothing.wait(&context), Ok(0));
    /// while parent.take(&context).is_none() {
    ///     context.wait(1);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn post<O: Operation>(&self, op: O) -> Ticket<O> {
        match self.submit(op, false) {
            Submitted::Ready(output) => Ticket {
                state: TicketState::Ready(output),
            },
            Submitted::Slot(key) => Ticket::of_slot(key, self.home.clone()),
        }
    }

    /// Posts operations that are executed one after the other.
    pub fn post_chain<C: Chain>(&self, chain: C) -> C::Tickets {
        let mut links = ops_of(chain);
        let ops = links.take_ops();
        let keys = self.with(|poster| poster.insert_chain(ops, Owner::Key, false));
        (links.keys, links.home) = (keys.into_iter(), self.home.clone());
        C::tickets(&mut links, Access::new())
    }

    /// Makes calls one after the other, and waits for all of them: see
    /// [`Chain`](crate::op::Chain).
    pub fn run_chain<C: Chain>(&self, chain: C) -> C::Outputs {
        C::wait(self.post_chain(chain), self, Access::new())
    }

    /// Ends an operation early, if it can be ended. Its output comes in any case, and says what has
    /// happened.
    ///
    /// An operation that has not begun, or waits for a pipe, a socket, an eventfd or in a
    /// [`Poll`](crate::op::Poll), is ended without effect. A call that is being executed is
    /// interrupted by the module and by io_uring only, and only where it sleeps; plain calls are over
    /// before they could be cancelled. In a [chain](crate::op::Chain) what comes after the operation is
    /// cancelled too.
    ///
    /// # Examples
    ///
    /// ```
    /// use libflexsc::{Backend, Cancel, Context, Errno, SharedFd, backend::Options, op::Read};
    /// use std::os::fd::OwnedFd;
    /// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    /// let context = Context::new(Backend::threads(&Options::new())?);
    /// let ticket = context.post(Read::new(SharedFd::new(OwnedFd::from(reader)), vec![0; 16]));
    /// if context.cancel(&ticket) == Cancel::Cancelled {
    ///     assert_eq!(ticket.wait(&context).0, Err(Errno::ECANCELED));
    /// }
    /// # drop(writer);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn cancel<O: Operation>(&self, ticket: &Ticket<O>) -> Cancel {
        match &ticket.state {
            TicketState::Slot(claim) if claim.is_of(&self.home) => self.cancel_slot(claim.key()),
            _ => Cancel::Over,
        }
    }

    /// Ends all operations early that can be ended, as [`Self::cancel`]. Returns how many were not
    /// over.
    pub fn cancel_all(&self) -> usize {
        self.with(Poster::cancel_all)
    }

    /// Lets the other side see all that was posted, and wakes it if it sleeps.
    pub fn flush(&self) {
        self.with(Poster::flush);
    }

    /// Waits until `min` operations, or all that are in progress, have completed during this call.
    /// Returns how many have; 0 means that nothing is in progress, or `min` is 0.
    pub fn wait(&self, min: usize) -> usize {
        self.with(|poster| poster.wait(min, None))
    }

    /// As [`Self::wait`], at most for a time.
    pub fn wait_timeout(&self, min: usize, timeout: Duration) -> usize {
        self.with(|poster| poster.wait(min, Some(timeout)))
    }

    /// How many operations are in progress, posted or waiting for their turn.
    pub fn outstanding(&self) -> usize {
        self.with(|poster| poster.outstanding())
    }

    /// How many operations can be in progress before one has to wait for its turn.
    pub fn capacity(&self) -> usize {
        self.with(|poster| poster.capacity())
    }

    /// What the context has done so far.
    pub fn stats(&self) -> Stats {
        self.poster.borrow().stats()
    }

    /// Ends the context: operations that wait for their turn are cancelled, those in progress are
    /// waited for, as when it is dropped.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if some were still in progress when the time was over; their memory is
    /// leaked.
    pub fn close(mut self) -> Result<Stats, CloseError> {
        let stuck = self.shutdown();
        let stats = self.stats();
        if stuck == 0 {
            Ok(stats)
        } else {
            Err(CloseError { outstanding: stuck })
        }
    }

    /// Gives an operation to the backend. A plain call is made at once.
    #[inline]
    pub(crate) fn submit<O: Operation>(&self, mut op: O, for_future: bool) -> Submitted<O> {
        if self.is_direct() {
            if let Some(ret) = self.with(|poster| poster.make(&mut op)) {
                return Submitted::Ready(Outcome::Returned(ret).output(op));
            }
        }
        Submitted::Slot(self.insert(op, Owner::Key, for_future))
    }

    /// Gives an operation to the backend, its output to be taken from a slot.
    #[inline]
    pub(crate) fn insert<O: Operation>(&self, op: O, owner: Owner, for_future: bool) -> u32 {
        let mut poster = self.poster.borrow_mut();
        if !poster.has_credit() {
            drop(poster);
            if !self.look_around() {
                return self.insert_raw(RawOp::new(op), owner, for_future);
            }
            poster = self.poster.borrow_mut();
        }
        let (key, posted) = poster.post_new(op, owner, for_future);
        drop(poster);
        if !posted {
            self.start_new(key);
        }
        key
    }

    /// Whether there is credit, after another look.
    #[inline(never)]
    fn look_around(&self) -> bool {
        self.with(Poster::look_around);
        // User code that was put aside has used the context perhaps.
        self.poster.borrow().has_credit()
    }

    #[inline(never)]
    fn insert_raw(&self, op: RawOp, owner: Owner, for_future: bool) -> u32 {
        self.with(|poster| poster.insert(op, owner, for_future))
    }

    #[inline(never)]
    fn start_new(&self, key: u32) {
        self.with(|poster| poster.start_new(key));
    }

    /// Runs something on the poster, then the user code that it has put aside.
    #[inline]
    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut Poster) -> T) -> T {
        let mut poster = self.poster.borrow_mut();
        poster.count_posted();
        if !self.home.is_empty() {
            poster.drop_claims(&self.home);
        }
        let result = what(&mut poster);
        if !poster.deferred.is_empty() {
            self.run_deferred(poster);
        }
        result
    }

    /// The poster, for what puts no user code aside, and cares neither for claims that were dropped nor for what was
    /// posted and not counted.
    #[inline]
    pub(crate) fn poster(&self) -> RefMut<'_, Poster> {
        self.poster.borrow_mut()
    }

    /// The poster, to post bare calls: that puts no user code aside, and does not care for claims that were
    /// dropped.
    #[inline]
    pub(crate) fn poster_mut(&mut self) -> &mut Poster {
        self.poster.get_mut()
    }

    /// Runs the user code that was put aside.
    #[inline(never)]
    fn run_deferred(&self, mut poster: RefMut<'_, Poster>) {
        let mut wakers = mem::take(&mut poster.deferred.wakers);
        let mut orphans = mem::take(&mut poster.deferred.orphans);
        let forgotten = mem::take(&mut poster.deferred.forgotten);
        drop(poster);
        for waker in wakers.drain(..) {
            waker.wake();
        }
        for (op, outcome) in orphans.drain(..) {
            op.discard(outcome);
        }
        drop(forgotten);
        if let Ok(mut poster) = self.poster.try_borrow_mut() {
            poster.deferred.reuse(wakers, orphans);
        }
    }

    pub(crate) fn cancel_slot(&self, key: u32) -> Cancel {
        self.with(|poster| poster.cancel(key))
    }

    /// The descriptor for event loops, once it was asked for.
    pub(crate) fn events(&self) -> &OnceCell<EventFd> {
        &self.events
    }

    /// What the claims to its slots know it by.
    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Whether calls are over when they are posted.
    pub(crate) fn is_direct(&self) -> bool {
        self.choice.kind == Kind::Direct
    }

    /// Takes the output from a slot whose operation is over.
    pub(crate) fn take<O: Operation>(&self, key: u32) -> Option<O::Output> {
        let (op, outcome) = self.with(|poster| poster.take(key))?;
        // SAFETY: The operation was put into the slot as an `O`: only tickets and futures of that type
        // know the key, and each gives it up with this call.
        Some(unsafe { op.output::<O>(outcome) })
    }

    /// The bell that ends a wait.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        self.with(|poster| poster.bell().clone())
    }

    /// Posts what was submitted, takes what has completed, and unless something has, or `stop` says
    /// so, waits until one of the two is so, or the time is over.
    pub(crate) fn turn(&self, time: Option<Duration>, stop: impl Fn() -> bool) {
        let (idle, bell) = self.with(|poster| {
            let count = poster.wait_or(1, time, Some(&stop));
            (
                count == 0 && poster.outstanding() == 0,
                poster.bell().clone(),
            )
        });
        if !idle {
            return;
        }
        // Nothing of this context will end it; perhaps another thread. What it rang for before is
        // seen here, else it rings again.
        bell.silence();
        // One that rings late, of something that was seen before, ends it as well: rung, the bell would not ring again.
        let over = || stop() || bell.is_rung();
        match time {
            None => bell.event.wait(over),
            Some(time) => {
                bell.event.wait_timeout(time, over);
            }
        }
    }

    /// Ends all operations; returns how many could not be ended.
    fn shutdown(&mut self) -> usize {
        let timeout = self.drop_timeout;
        let stuck = self.with(|poster| poster.shutdown(timeout));
        // All slots were given up: those of claims that are dropped from now on, too.
        self.home = Arc::default();
        if stuck != 0 {
            // The kernel still writes to what they own. The page, the device and the operations
            // stay as they are; a poster of nothing takes their place.
            mem::forget(mem::replace(
                self.poster.get_mut(),
                Poster::new(Engine::Direct),
            ));
        }
        stuck
    }
}

/// The events that a file is ready for, by a plain call that may wait for one.
pub(crate) fn plain_poll(fd: i32, events: i16, wait: bool) -> crate::Result<Option<i16>> {
    let mut file = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    let time = (!wait).then_some(Duration::ZERO);
    // A signal ends no wait of any other backend either.
    while let Err(errno) = Errno::result(sys::poll(core::slice::from_mut(&mut file), time)) {
        if errno != Errno::EINTR {
            return Err(errno);
        }
    }
    if file.revents & libc::POLLNVAL != 0 {
        return Err(Errno::EBADF);
    }
    Ok((file.revents != 0).then_some(file.revents))
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.shutdown() == 0 {
            self.poster.get_mut().join();
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}

/// Operations were still in progress when a context was closed; their memory is leaked.
///
/// # Examples
///
/// ```
/// use libflexsc::{Backend, Context, SharedFd, backend::Options, op::Read};
/// use std::{os::fd::OwnedFd, time::Duration};
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// let reader = SharedFd::new(OwnedFd::from(reader));
/// let mut options = Options::new();
/// options.drop_timeout(Duration::from_millis(1));
/// let context = Context::new(Backend::threads(&options)?);
/// context.post(Read::new(reader, vec![0; 1])).discard(&context);
/// if let Err(error) = context.close() {
///     println!("{} operations: {error}", error.outstanding());
/// }
/// # drop(writer);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseError {
    outstanding: usize,
}

impl CloseError {
    /// How many.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.outstanding;
        write!(
            f,
            "{count} operations of the context still block, and their memory is leaked; end them \
             first (a pipe by closing its other end), or raise Options::drop_timeout"
        )
    }
}

impl std::error::Error for CloseError {}

/// The one claim to the output of a posted operation.
///
/// Dropping a ticket, by any thread, gives the output up: the operation is executed all the same, and its memory
/// is freed when it is over and the context is used next. With [`Self::discard`] it is not executed if
/// it still waits for its turn.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::{Getppid, Nop}};
/// let context = Context::auto()?;
/// let (first, second) = (context.post(Nop::new()), context.post(Getppid::new()));
/// drop(first); // Nobody wants to know.
/// assert!(second.wait(&context).is_ok());
/// # Ok::<(), libflexsc::backend::Error>(())
/// ```
#[must_use = "the output of the operation can be taken by its ticket only"]
pub struct Ticket<O: Operation> {
    state: TicketState<O>,
}

enum TicketState<O: Operation> {
    Ready(O::Output),
    Slot(Claim),
    Taken,
}

impl<O: Operation> Ticket<O> {
    pub(crate) fn of_slot(key: u32, home: Arc<Home>) -> Self {
        let state = TicketState::Slot(Claim::new(key, home));
        Self { state }
    }

    /// The output, if the operation is over; `None` before, when it was taken already, and for a
    /// context that the operation was not posted to. Does not wait.
    pub fn take(&mut self, context: &Context) -> Option<O::Output> {
        if let TicketState::Slot(claim) = &self.state {
            let over = |poster: &mut Poster| poster.poll_done(claim.key());
            if !claim.is_of(&context.home) || !context.with(over) {
                return None;
            }
        }
        match mem::replace(&mut self.state, TicketState::Taken) {
            TicketState::Ready(output) => Some(output),
            TicketState::Slot(claim) => context.take::<O>(claim.redeem()),
            TicketState::Taken => None,
        }
    }

    /// Waits for the output.
    ///
    /// # Panics
    ///
    /// When the output was taken before, or for a context that the operation was not posted to:
    /// there is nothing to wait for.
    pub fn wait(mut self, context: &Context) -> O::Output {
        loop {
            if let Some(output) = self.take(context) {
                return output;
            }
            let TicketState::Slot(claim) = &self.state else {
                panic!("the output of this ticket was taken before");
            };
            assert!(
                claim.is_of(&context.home),
                "the ticket is one of another context"
            );
            context.wait(1);
        }
    }

    /// Gives the output up: it is dropped when the operation is over. An operation that still waits
    /// for its turn is not executed. For a context that it was not posted to, as dropping the ticket.
    pub fn discard(self, context: &Context) {
        if let TicketState::Slot(claim) = self.state {
            if claim.is_of(&context.home) {
                let key = claim.redeem();
                context.with(|poster| poster.abandon(key));
            }
        }
    }
}

impl<O: Operation> fmt::Debug for Ticket<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            TicketState::Ready(_) => "ready",
            TicketState::Slot(_) => "posted",
            TicketState::Taken => "taken",
        };
        f.debug_struct("Ticket")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn sendable<T: Send>() {}
    sendable::<Context>();
};

#[cfg(test)]
mod tests;
