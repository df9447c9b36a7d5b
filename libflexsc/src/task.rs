// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running futures over a context.
//!
//! The executor is `async-executor`'s for one thread; when it has nothing to run, the thread parks
//! in the context's wait instead of anywhere else. Wakers may be used from any thread: they end that
//! wait.

use core::{cell::RefCell, future::Future, pin::pin, task::Context as TaskContext};
use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Wake, Waker},
};

use async_executor::LocalExecutor;

use crate::{backend::Bell, pending::Handle, ready::Waits, time::Timers};

pub use async_executor::Task;

/// The tasks of a handle.
#[derive(Default)]
pub(crate) struct Tasks {
    inner: RefCell<Inner>,
    pub(crate) timers: Timers,
    pub(crate) waits: Waits,
}

#[derive(Default)]
struct Inner {
    executor: Option<Rc<LocalExecutor<'static>>>,
    /// Calls of `block_on` within one another.
    depth: usize,
}

impl Tasks {
    pub(crate) fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.executor().spawn(future)
    }

    fn executor(&self) -> Rc<LocalExecutor<'static>> {
        self.inner
            .borrow_mut()
            .executor
            .get_or_insert_default()
            .clone()
    }

    fn enter(&self) -> Running<'_> {
        let executor = self.executor();
        self.inner.borrow_mut().depth += 1;
        Running {
            tasks: self,
            executor: Some(executor),
        }
    }
}

/// A `block_on` in progress. The last one to end takes the tasks with it: they hold the handle that
/// holds them.
struct Running<'a> {
    tasks: &'a Tasks,
    executor: Option<Rc<LocalExecutor<'static>>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.executor = None;
        let mut inner = self.tasks.inner.borrow_mut();
        inner.depth -= 1;
        let last = if inner.depth == 0 {
            inner.executor.take()
        } else {
            None
        };
        drop(inner);
        // A task's destructors may spawn: the borrow is over.
        drop(last);
    }
}

/// Runs a future, and the tasks of the handle, until the future is over.
///
/// What the tasks have submitted is posted, and the other side woken if it sleeps, when no task can
/// go on; then the thread waits for completions.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, op::Nop, task::block_on};
/// let handle = Handle::auto()?;
/// let tasks: Vec<_> = (0..10)
///     .map(|_| handle.spawn({
///         let handle = handle.clone();
///         async move { handle.submit(Nop::new()).await }
///     }))
///     .collect();
/// block_on(&handle, async {
///     for task in tasks {
///         assert_eq!(task.await, Ok(0));
///     }
/// });
/// # Ok::<(), libflexsc::backend::Error>(())
/// ```
pub fn block_on<F: Future>(handle: &Handle, future: F) -> F::Output {
    let running = handle.tasks.enter();
    let executor = running.executor.clone().unwrap_or_default();
    let woken = Arc::new(Woken {
        flag: AtomicBool::new(false),
        bell: handle.bell(),
    });
    let waker = Waker::from(woken.clone());
    let mut task = TaskContext::from_waker(&waker);
    let mut future = pin!(executor.run(future));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut task) {
            return output;
        }
        // If there is more to run: what was submitted must not wait for it for ever.
        let timers = &handle.tasks.timers;
        handle.turn(timers.left(), || woken.flag.load(Ordering::Acquire));
        timers.fire();
        handle.tasks.waits.look(handle);
        // Who finds it still true does not ring: what that one has done before is seen from here on.
        woken.flag.swap(false, Ordering::AcqRel);
    }
}

/// That a `block_on` has something to run.
struct Woken {
    flag: AtomicBool,
    bell: Arc<Bell>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.flag.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }
}
