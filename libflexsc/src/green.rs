// SPDX-License-Identifier: MIT OR Apache-2.0
//! Green threads: blocking-style code, many on one kernel thread, as FlexSC-Threads had them.
//!
//! A green thread has a stack of its own and runs beside the tasks of a [`Handle`]. Where it would
//! block it calls [`wait`], on any future: then the next green thread or task runs, and the kernel
//! thread waits only when none is ready. It stays on its kernel thread. For M:N run one handle, and
//! [`block_on`](crate::task::block_on), on each core; green threads are spread by where they are made.
//!
//! What to mind: code that blocks in another way holds up all of them. A stack does not grow: what
//! overflows it ends the process by a signal, since a guard page lies below. A green thread that is
//! dropped before its end is unwound, which runs its destructors; a [`wait`] in one of those panics. A
//! program compiled with `panic = "abort"` cannot unwind: to drop a green thread that has begun and not
//! ended, be it with the outermost `block_on`, ends such a program as a panic does.
//!
//! # Examples
//!
//! ```
//! use libflexsc::{Handle, green, net::UnixStream, task::block_on};
//! let handle = Handle::auto()?;
//! # if handle.choice().kind == libflexsc::backend::Kind::Direct { return Ok(()) }
//! let (one, two) = UnixStream::pair(&handle)?;
//! let echo = green::spawn(&handle, move || {
//!     let (result, buf) = green::wait(two.read_exact(vec![0; 5]));
//!     result?;
//!     green::wait(two.write_all(buf)).0
//! })?;
//! let asks = green::spawn(&handle, move || {
//!     green::wait(one.write_all(b"hello".to_vec())).0?;
//!     let (result, buf) = green::wait(one.read_exact(vec![0; 5]));
//!     result.map(|()| buf)
//! })?;
//! let answer = block_on(&handle, async {
//!     echo.await?;
//!     asks.await
//! })?;
//! assert_eq!(answer, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![allow(unsafe_code)]

use core::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    pin::{Pin, pin},
    ptr,
    task::{Context as TaskContext, Poll, Waker},
};
use std::{io, rc::Rc};

use corosensei::{Coroutine, CoroutineResult, Yielder, stack::DefaultStack};

use crate::{Handle, Operation, task::Task};

/// How large a stack is, bytes, unless [`Builder::stack_size`] says otherwise.
const STACK: usize = 64 * 1024;

thread_local! {
    /// The green thread that runs.
    static CURRENT: RefCell<Option<Rc<Frame>>> = const { RefCell::new(None) };
}

/// What a green thread needs to stop for a while.
struct Frame {
    /// That of its coroutine, once it runs.
    yielder: Cell<*const Yielder<(), ()>>,
    /// Of the task that it is, renewed each time that it goes on.
    waker: RefCell<Option<Waker>>,
}

/// How a green thread is made.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, green::Builder, task::block_on};
/// let handle = Handle::auto()?;
/// let deep = Builder::new().stack_size(1 << 20).spawn(&handle, || {
///     let large = [1_u8; 256 << 10]; // more than the 64 KiB that there are else
///     large.iter().map(|&byte| u32::from(byte)).sum::<u32>()
/// })?;
/// assert_eq!(block_on(&handle, deep), 256 << 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    stack_size: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// With a stack of 64 KiB.
    pub fn new() -> Self {
        Self { stack_size: STACK }
    }

    /// The size of its stack, bytes; rounded up to pages, at least 16 KiB. Memory is taken for what is
    /// used of it.
    pub fn stack_size(&mut self, bytes: usize) -> &mut Self {
        self.stack_size = bytes.max(16 * 1024);
        self
    }

    /// Starts a green thread beside the tasks of a handle. As a task it ends with the outermost
    /// `block_on`, and when its [`Task`] is dropped without [`Task::detach`].
    ///
    /// # Errors
    ///
    /// When there is no memory for its stack, or no room for one more mapping
    /// (`/proc/sys/vm/max_map_count`; a stack takes two).
    pub fn spawn<T: 'static>(
        &self,
        handle: &Handle,
        run: impl FnOnce() -> T + 'static,
    ) -> io::Result<Task<T>> {
        let stack = DefaultStack::new(self.stack_size)?;
        let frame = Rc::new(Frame {
            yielder: Cell::new(ptr::null()),
            waker: RefCell::new(None),
        });
        let inner = frame.clone();
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            inner.yielder.set(yielder);
            run()
        });
        Ok(handle.spawn(Green { coroutine, frame }))
    }
}

/// Starts a green thread with a stack of 64 KiB: [`Builder::spawn`].
///
/// # Errors
///
/// As for [`Builder::spawn`].
pub fn spawn<T: 'static>(
    handle: &Handle,
    run: impl FnOnce() -> T + 'static,
) -> io::Result<Task<T>> {
    Builder::new().spawn(handle, run)
}

/// Waits for a future; meanwhile others run.
///
/// # Panics
///
/// Outside of a green thread: `block_on` waits there.
pub fn wait<F: Future>(future: F) -> F::Output {
    let Some(frame) = CURRENT.with(|current| current.borrow().clone()) else {
        panic!("green::wait outside of a green thread: take task::block_on there");
    };
    let mut future = pin!(future);
    loop {
        let waker = frame.waker.borrow().clone();
        let waker = waker.as_ref().unwrap_or(Waker::noop());
        let mut task = TaskContext::from_waker(waker);
        if let Poll::Ready(output) = future.as_mut().poll(&mut task) {
            return output;
        }
        // SAFETY: The frame is that of the running green thread, in whose coroutine this is; the
        // yielder lives on its stack for as long as it runs.
        unsafe { &*frame.yielder.get() }.suspend(());
    }
}

/// Makes one call: [`wait`] for [`Handle::submit`].
///
/// # Panics
///
/// Outside of a green thread.
pub fn call<O: Operation>(handle: &Handle, op: O) -> O::Output {
    wait(handle.submit(op))
}

/// Lets the others run that are ready.
///
/// # Panics
///
/// Outside of a green thread.
pub fn yield_now() {
    let mut yielded = false;
    wait(core::future::poll_fn(|task| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        task.waker().wake_by_ref();
        Poll::Pending
    }));
}

/// A green thread as a task.
struct Green<T> {
    coroutine: Coroutine<(), (), T>,
    frame: Rc<Frame>,
}

impl<T> Unpin for Green<T> {}

impl<T> Future for Green<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<T> {
        // A waker may run a task's destructors: nothing is borrowed meanwhile.
        drop(self.frame.waker.replace(Some(task.waker().clone())));
        let _running = Running::enter(Some(self.frame.clone()));
        match self.coroutine.resume(()) {
            CoroutineResult::Yield(()) => Poll::Pending,
            CoroutineResult::Return(output) => Poll::Ready(output),
        }
    }
}

impl<T> Drop for Green<T> {
    fn drop(&mut self) {
        if self.coroutine.started() && !self.coroutine.done() {
            // What its destructors do is not done by the green thread that drops it.
            let _running = Running::enter(None);
            self.coroutine.force_unwind();
        }
    }
}

/// Whose turn it is; at the end that of who ran before.
struct Running(Option<Rc<Frame>>);

impl Running {
    fn enter(frame: Option<Rc<Frame>>) -> Self {
        Self(CURRENT.with(|current| current.replace(frame)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let before = self.0.take();
        CURRENT.with(|current| current.replace(before));
    }
}

impl<T> fmt::Debug for Green<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Green").finish_non_exhaustive()
    }
}
