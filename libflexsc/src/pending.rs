// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations as futures.

use core::{
    fmt,
    future::Future,
    mem,
    ops::Deref,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};
use std::rc::Rc;

use crate::{
    Cancel, SharedFd, Watching,
    backend::Error,
    context::{Context, Submitted},
    op::{Access, Chain, Operation, ops_of},
    slab::Owner,
    task::{Task, Tasks},
};

/// A [`Context`] shared within one thread, for futures: clones are cheap.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Handle, op::{Openat, Read}, task::block_on};
/// let handle = Handle::auto()?;
/// let text = block_on(&handle, async {
///     let flags = libc::O_RDONLY | libc::O_CLOEXEC;
///     let file = handle.submit(Openat::new(At::Cwd, c"/proc/self/comm".into(), flags, 0)).await?;
///     let (count, mut text) = handle.submit(Read::new(file, vec![0; 64])).await;
///     text.truncate(count?);
///     Ok::<_, libflexsc::Errno>(text)
/// })?;
/// assert!(text.ends_with(b"\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    context: Rc<Context>,
    pub(crate) tasks: Rc<Tasks>,
}

impl Handle {
    /// Shares a context.
    pub fn new(context: Context) -> Self {
        Self {
            context: Rc::new(context),
            tasks: Rc::new(Tasks::default()),
        }
    }

    /// Shares a context over the best backend there is: [`Context::auto`].
    ///
    /// # Errors
    ///
    /// When the one that the environment forces cannot be had.
    pub fn auto() -> Result<Self, Error> {
        Context::auto().map(Self::new)
    }

    /// Gives an operation to the backend. Never fails, like [`Context::post`].
    ///
    /// All that is submitted before the tasks have to wait is seen by the other side together.
    pub fn submit<O: Operation>(&self, op: O) -> Pending<O> {
        let state = match self.context.submit(op, true) {
            Submitted::Ready(output) => PendingState::Ready(output),
            Submitted::Slot(key) => PendingState::Slot(key),
        };
        Pending {
            state,
            context: self.context.clone(),
        }
    }

    /// Gives operations to the backend that are executed one after the other.
    pub fn submit_chain<C: Chain>(&self, chain: C) -> C::Pendings {
        let mut links = ops_of(chain);
        let ops = links.take_ops();
        let keys = self
            .context
            .with(|poster| poster.insert_chain(ops, Owner::Key, true));
        links.keys = keys.into_iter();
        links.shared = Some(self.context.clone());
        C::pendings(&mut links, Access::new())
    }

    /// Watches a file for events, `libc::POLL*`, as [`Context::watch`]. With plain calls a task that
    /// waits for events holds up the others.
    pub fn watch(&self, fd: &SharedFd, events: i16) -> Watching {
        let watch = self.context.watch_for(fd, events, true);
        Watching::new(watch, self.context.clone())
    }

    /// Starts a task beside those that [`block_on`](crate::task::block_on) runs for this handle.
    ///
    /// A task that is not over when the outermost `block_on` returns is dropped, as is one whose
    /// [`Task`] is dropped; [`Task::detach`] lets it go on without. One that no `block_on` comes to any more is
    /// kept: if it owns a clone of the handle, the context and its threads stay as long as the process.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.tasks.spawn(future)
    }
}

impl Deref for Handle {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl From<Context> for Handle {
    fn from(context: Context) -> Self {
        Self::new(context)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// An operation in progress; the future of its output.
///
/// It makes progress under [`block_on`](crate::task::block_on) of its own handle. Under that of another one, or
/// another executor, nobody looks for its completion, unless [`Context::arm`] is called, and it waits for ever:
/// [`RemotePending`](crate::remote::RemotePending) is for any executor. Forgetting it is harmless. Dropping
/// it gives the output up, and cancels the operation as [`Context::cancel`] does: one that still waits
/// for its turn is not executed, one that waits for a file ends, one that is at work goes on. Its
/// memory is kept until it is over; a file that it opens is closed, and what it has read is
/// lost. An operation of a [chain](crate::op::Chain) is not cancelled: others depend on it.
/// [`Self::detach`] lets the operation go on.
///
/// # Examples
///
/// ```
/// use libflexsc::{Cancel, Errno, Handle, SharedFd, op::Read, task::block_on};
/// use std::os::fd::OwnedFd;
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// let reader = SharedFd::new(OwnedFd::from(reader));
/// let handle = Handle::auto()?;
/// # if handle.choice().kind == libflexsc::backend::Kind::Direct { return Ok(()) }
/// let read = handle.submit(Read::new(reader, vec![0; 16]));
/// assert_eq!(read.cancel(), Cancel::Cancelled); // It waits for data, which never come.
/// let (result, buffer) = block_on(&handle, read);
/// assert_eq!((result, buffer.len()), (Err(Errno::ECANCELED), 16));
/// # drop(writer);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping a pending operation cancels it; await or detach it"]
pub struct Pending<O: Operation> {
    state: PendingState<O>,
    context: Rc<Context>,
}

enum PendingState<O: Operation> {
    Ready(O::Output),
    Slot(u32),
    Taken,
}

impl<O: Operation> Pending<O> {
    pub(crate) fn of_slot(key: u32, context: Rc<Context>) -> Self {
        let state = PendingState::Slot(key);
        Self { state, context }
    }

    /// Ends the operation early, if it can be ended: [`Context::cancel`]. The output still comes.
    pub fn cancel(&self) -> Cancel {
        match self.state {
            PendingState::Slot(key) => self.context.cancel_slot(key),
            _ => Cancel::Over,
        }
    }

    /// Gives the output up, and lets the operation go on; one that still waits for its turn is executed
    /// when that comes.
    pub fn detach(mut self) {
        if let PendingState::Slot(key) = mem::replace(&mut self.state, PendingState::Taken) {
            self.context.with(|poster| poster.detach(key));
        }
    }
}

// Nothing in it is ever pinned: the operation lives in the context.
impl<O: Operation> Unpin for Pending<O> {}

impl<O: Operation> Future for Pending<O> {
    type Output = O::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<O::Output> {
        if let PendingState::Slot(key) = self.state {
            let waker = task.waker();
            let (done, known) = self
                .context
                .with(|poster| (poster.is_done(key), poster.wakes(key, waker)));
            if !done {
                // A clone is user code, in which the operation may end.
                let wakes = known || {
                    let own = waker.clone();
                    self.context.with(|poster| poster.set_waker(key, own))
                };
                if wakes {
                    return Poll::Pending;
                }
            }
            self.state = PendingState::Taken;
            return match self.context.take::<O>(key) {
                Some(output) => Poll::Ready(output),
                None => Poll::Pending,
            };
        }
        match mem::replace(&mut self.state, PendingState::Taken) {
            PendingState::Ready(output) => Poll::Ready(output),
            PendingState::Slot(_) | PendingState::Taken => {
                panic!("a pending operation was polled after it gave its output")
            }
        }
    }
}

impl<O: Operation> Drop for Pending<O> {
    fn drop(&mut self) {
        if let PendingState::Slot(key) = self.state {
            self.context.with(|poster| poster.forsake(key));
        }
    }
}

impl<O: Operation> fmt::Debug for Pending<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            PendingState::Ready(_) => "ready",
            PendingState::Slot(_) => "posted",
            PendingState::Taken => "taken",
        };
        f.debug_struct("Pending")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
