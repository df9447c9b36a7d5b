// SPDX-License-Identifier: MIT OR Apache-2.0
//! Posting from several threads.
//!
//! A [`Context`] belongs to one thread at a time. Threads that have much to post have one
//! each: `Context` and [`Backend`] move between threads. Others share one through a
//! [`Remote`]: operations go through a queue to the thread that serves it, with all that they own, and
//! their outputs come back; so nothing is ever used by two threads.
//!
//! # Examples
//!
//! ```
//! use libflexsc::{Backend, op::Getppid, remote::Remote};
//! let (remote, poster) = Remote::thread(Backend::auto()?)?;
//! let threads: Vec<_> = (0..4)
//!     .map(|_| {
//!         let remote = remote.clone();
//!         std::thread::spawn(move || remote.run(Getppid::new()))
//!     })
//!     .collect();
//! for thread in threads {
//!     let parent = thread.join().unwrap()??;
//!     assert_eq!(parent, std::os::unix::process::parent_id() as i32);
//! }
//! drop(remote); // The last one: the poster ends.
//! assert_eq!(poster.join().unwrap().submitted, 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What does not own its memory cannot be sent:
//!
//! ```compile_fail
//! use libflexsc::{Backend, SharedFd, op::Read, remote::Remote};
//! let (remote, _) = Remote::thread(Backend::direct()).unwrap();
//! let zero = SharedFd::from(std::fs::File::open("/dev/zero").unwrap());
//! let mut buf = vec![0; 16];
//! remote.submit(Read::new(zero, &mut buf[..]));
//! ```
//!
//! and a [`Handle`] stays in its thread:
//!
//! ```compile_fail
//! use libflexsc::{Handle, op::Nop};
//! let handle = Handle::auto().unwrap();
//! std::thread::spawn(move || handle.submit(Nop::new()));
//! ```

use core::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context as TaskContext, Poll},
};
use std::{
    error, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    thread::{self, Builder, JoinHandle, Thread},
};

use async_executor::LocalExecutor;
use crossbeam_queue::SegQueue;
use futures_channel::oneshot;

use crate::{Backend, Context, Handle, Operation, Stats, task::block_on};

/// Posts one operation, and sends its output back.
type Message = Box<dyn FnOnce(&Handle, &LocalExecutor<'static>) + Send>;

struct Shared {
    queue: SegQueue<Message>,
    /// How many may still send.
    remotes: AtomicUsize,
    /// Nobody will serve any more.
    gone: AtomicBool,
    server: Mutex<Option<Waker>>,
}

impl Shared {
    fn wake(&self) {
        let waker = {
            let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
            server.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn empty(&self) {
        while self.queue.pop().is_some() {}
    }
}

/// A way for any thread to post to a context that another one drives.
///
/// Clones are cheap, and are used from as many threads as there are.
///
/// # Examples
///
/// ```
/// use libflexsc::{Backend, SharedFd, op::Pread, remote::Remote};
/// let (remote, poster) = Remote::thread(Backend::auto()?)?;
/// let file = SharedFd::from(std::fs::File::open("/proc/self/exe")?);
/// // Both are sent before one of them is waited for.
/// let parts = [0, 4096].map(|offset| remote.submit(Pread::new(&file, vec![0; 16], offset)));
/// drop(remote);
/// for part in parts {
///     assert_eq!(part.wait()?.0, Ok(16));
/// }
/// poster.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Remote(Arc<Shared>);

impl Remote {
    /// A remote, and what is to serve it.
    pub fn new() -> (Self, Server) {
        let shared = Arc::new(Shared {
            queue: SegQueue::new(),
            remotes: AtomicUsize::new(1),
            gone: AtomicBool::new(false),
            server: Mutex::new(None),
        });
        (Self(shared.clone()), Server(shared))
    }

    /// A remote, and a thread that serves it with a context of its own, until the last clone and the
    /// last [`RemotePending`] are gone. It gives what its context has done.
    ///
    /// # Errors
    ///
    /// When the thread cannot be made.
    pub fn thread(backend: Backend) -> io::Result<(Self, JoinHandle<Stats>)> {
        let (remote, server) = Self::new();
        let serve = move || {
            let handle = Handle::new(Context::new(backend));
            block_on(&handle, server.run(&handle));
            handle.stats()
        };
        let thread = Builder::new().name("flexsc-post".to_owned()).spawn(serve)?;
        Ok((remote, thread))
    }

    /// Sends an operation to be posted. Never fails: if nobody serves the remote, the future says so.
    pub fn submit<O: Operation>(&self, op: O) -> RemotePending<O>
    where
        O::Output: Send,
    {
        let (sender, output) = oneshot::channel();
        let message: Message = Box::new(move |handle, executor| {
            let pending = handle.submit(op);
            executor.spawn(deliver(pending, sender)).detach();
        });
        self.0.queue.push(message);
        // Either whoever ends the service finds the message, or it is seen here that it has ended.
        if self.0.gone.load(Ordering::SeqCst) {
            self.0.empty();
        }
        self.0.wake();
        RemotePending {
            output,
            _remote: self.clone(),
        }
    }

    /// Sends an operation and waits for its output.
    ///
    /// # Errors
    ///
    /// [`Gone`] if nobody serves the remote.
    pub fn run<O: Operation>(&self, op: O) -> Result<O::Output, Gone>
    where
        O::Output: Send,
    {
        self.submit(op).wait()
    }
}

/// Sends the output, or cancels the operation when nobody wants it any more.
async fn deliver<O: Operation>(
    mut pending: crate::Pending<O>,
    mut sender: oneshot::Sender<O::Output>,
) {
    let output = poll_fn(|task| {
        if let Poll::Ready(output) = Pin::new(&mut pending).poll(task) {
            return Poll::Ready(Some(output));
        }
        sender.poll_canceled(task).map(|()| None)
    })
    .await;
    if let Some(output) = output {
        // Who does not want it drops it.
        let _ = sender.send(output);
    }
}

impl Clone for Remote {
    fn clone(&self) -> Self {
        self.0.remotes.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if self.0.remotes.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wake();
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

/// What serves a [`Remote`].
///
/// If it is dropped, or its future is, all that was sent ends with [`Gone`].
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, op::Getppid, remote::Remote, task::block_on};
/// let (remote, server) = Remote::new();
/// let other = std::thread::spawn(move || remote.run(Getppid::new()));
/// // This thread serves it, beside what else it has to do, until the last remote is gone.
/// let handle = Handle::auto()?;
/// block_on(&handle, server.run(&handle));
/// assert!(other.join().unwrap()?.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server(Arc<Shared>);

impl Server {
    /// Posts what is sent, until the last clone of the remote and the last [`RemotePending`] are gone.
    pub async fn run(self, handle: &Handle) {
        let executor = LocalExecutor::new();
        let serve = poll_fn(|task| {
            loop {
                while let Some(message) = self.0.queue.pop() {
                    message(handle, &executor);
                }
                if self.0.remotes.load(Ordering::Acquire) == 0 {
                    return Poll::Ready(());
                }
                // To clone or drop a waker is user code: nothing is locked meanwhile.
                let own = task.waker().clone();
                let server = self.0.server.lock();
                let old = server.unwrap_or_else(PoisonError::into_inner).replace(own);
                drop(old);
                if self.0.queue.is_empty() && self.0.remotes.load(Ordering::Acquire) != 0 {
                    return Poll::Pending;
                }
            }
        });
        executor.run(serve).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::SeqCst);
        self.0.empty();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// An operation that was sent; the future of its output, for any executor.
///
/// Dropping it cancels the operation, as [`Pending`](crate::Pending).
///
/// # Examples
///
/// ```
/// use libflexsc::{Backend, op::Nop, remote::Remote};
/// let (remote, poster) = Remote::thread(Backend::auto()?)?;
/// let pending = remote.submit(Nop::new());
/// assert_eq!(pending.wait()?, Ok(0)); // or `.await`, under any executor
/// drop(remote);
/// poster.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it gives the output up; await it, or wait for it"]
pub struct RemotePending<O: Operation> {
    output: oneshot::Receiver<O::Output>,
    /// The service goes on while somebody waits for it.
    _remote: Remote,
}

impl<O: Operation> RemotePending<O> {
    /// Waits for the output.
    ///
    /// # Errors
    ///
    /// [`Gone`] if nobody serves the remote.
    pub fn wait(mut self) -> Result<O::Output, Gone> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut task = TaskContext::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut self).poll(&mut task) {
                return result;
            }
            thread::park();
        }
    }
}

impl<O: Operation> Future for RemotePending<O> {
    type Output = Result<O::Output, Gone>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.output)
            .poll(task)
            .map_err(|oneshot::Canceled| Gone(()))
    }
}

impl<O: Operation> fmt::Debug for RemotePending<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemotePending").finish_non_exhaustive()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Nobody serves the remote any more; whether the operation was executed is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone(());

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread that posts for this remote has ended: keep its Server running")
    }
}

impl error::Error for Gone {}
