// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time for futures: sleeping, limits, ticks.
//!
//! Timers are kept by the [`Handle`], in order of their time; the next of them bounds the wait in which
//! [`block_on`](crate::task::block_on) parks. So a timer takes no entry of the page and no call, runs
//! with every backend, and one that is dropped costs nothing any more. What it does not do: wake a
//! future that is awaited outside of `block_on`. A thread that is inside of a plain call
//! (`direct`) comes to its timers late.
//!
//! A limit to one operation alone is better given to the operation,
//! [`Operation::timeout`](crate::Operation::timeout): then whoever executes it ends it.
//!
//! # Examples
//!
//! ```
//! use libflexsc::{Handle, task::block_on};
//! use std::{future, time::Duration};
//! let handle = Handle::auto()?;
//! block_on(&handle, async {
//!     handle.sleep(Duration::from_millis(1)).await;
//!     let never = handle.timeout(Duration::from_millis(1), future::pending::<()>());
//!     assert!(never.await.is_err());
//!     let mut ticks = handle.interval(Duration::from_millis(1));
//!     for _ in 0..3 {
//!         ticks.tick().await;
//!     }
//! });
//! # Ok::<(), libflexsc::backend::Error>(())
//! ```
//!
//! The first of several futures is taken by any combinator for it, such as `futures_lite::future::or`;
//! the others are dropped, which cancels their operations:
//!
//! ```
//! use futures_lite::future;
//! use libflexsc::{Handle, op::Read, SharedFd, task::block_on};
//! use std::{os::fd::OwnedFd, time::Duration};
//! let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
//! let reader = SharedFd::new(OwnedFd::from(reader));
//! let handle = Handle::auto()?;
//! # if handle.choice().kind == libflexsc::backend::Kind::Direct { return Ok(()) }
//! let read = async { handle.submit(Read::new(&reader, vec![0; 16])).await.0.ok() };
//! let late = async { handle.sleep(Duration::from_millis(1)).await; None };
//! assert_eq!(block_on(&handle, future::or(read, late)), None);
//! # drop(writer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};
use std::{collections::BTreeMap, error, io, time::Instant};

use crate::Handle;

/// The timers of a handle.
#[derive(Default)]
pub(crate) struct Timers(RefCell<Inner>);

#[derive(Default)]
struct Inner {
    waiting: BTreeMap<Key, Waker>,
    made: u64,
}

/// When, and which of those at that time.
type Key = (Instant, u64);

impl Timers {
    fn key(&self, at: Instant) -> Key {
        let mut inner = self.0.borrow_mut();
        inner.made += 1;
        (at, inner.made)
    }

    fn set(&self, key: Key, waker: Waker) {
        let old = self.0.borrow_mut().waiting.insert(key, waker);
        // A waker may run a task's destructors: the borrow is over.
        drop(old);
    }

    fn remove(&self, key: Key) {
        let old = self.0.borrow_mut().waiting.remove(&key);
        drop(old);
    }

    /// How long it is until the next of them.
    pub(crate) fn left(&self) -> Option<Duration> {
        let next = self.0.borrow().waiting.first_key_value()?.0.0;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Wakes those whose time has come.
    pub(crate) fn fire(&self) {
        if self.0.borrow().waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        loop {
            let mut inner = self.0.borrow_mut();
            let due = inner.waiting.first_key_value();
            if due.is_none_or(|((at, _), _)| *at > now) {
                return;
            }
            let first = inner.waiting.pop_first();
            drop(inner);
            if let Some((_, waker)) = first {
                waker.wake();
            }
        }
    }
}

impl Handle {
    /// Waits for a time to be over.
    pub fn sleep(&self, time: Duration) -> Sleep {
        Sleep {
            until: Instant::now().checked_add(time),
            key: None,
            handle: self.clone(),
        }
    }

    /// Waits until a point in time.
    pub fn sleep_until(&self, until: Instant) -> Sleep {
        Sleep {
            until: Some(until),
            key: None,
            handle: self.clone(),
        }
    }

    /// Gives a future a limit to its time; when that is over the future is dropped, which cancels its
    /// operations.
    ///
    /// # Errors
    ///
    /// [`Elapsed`], unless the future was ready.
    pub async fn timeout<F: Future>(
        &self,
        time: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut sleep = self.sleep(time);
        core::future::poll_fn(|task| {
            if let Poll::Ready(output) = future.as_mut().poll(task) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut sleep).poll(task).map(|()| Err(Elapsed(())))
        })
        .await
    }

    /// Ticks, the first at once, each of the others a period after the one before.
    pub fn interval(&self, period: Duration) -> Interval {
        Interval {
            next: Instant::now(),
            period: period.max(Duration::from_nanos(1)),
            handle: self.clone(),
        }
    }
}

/// The future of [`Handle::sleep`].
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    /// `None`: for longer than there is time.
    until: Option<Instant>,
    key: Option<Key>,
    handle: Handle,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let Some(until) = self.until else {
            return Poll::Pending;
        };
        let timers = &self.handle.tasks.timers;
        if Instant::now() >= until {
            if let Some(key) = self.key {
                timers.remove(key);
            }
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or_else(|| timers.key(until));
        timers.set(key, task.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.handle.tasks.timers.remove(key);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// Ticks: [`Handle::interval`]. Those that nobody waited for are left out.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, task::block_on};
/// use std::time::Duration;
/// let handle = Handle::auto()?;
/// let mut interval = handle.interval(Duration::from_millis(1));
/// let (first, second) = block_on(&handle, async { (interval.tick().await, interval.tick().await) });
/// assert!(second - first >= Duration::from_millis(1));
/// # Ok::<(), libflexsc::backend::Error>(())
/// ```
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    handle: Handle,
}

impl Interval {
    /// Waits for the next tick; gives the time for which it was meant.
    pub async fn tick(&mut self) -> Instant {
        self.handle.sleep_until(self.next).await;
        let tick = self.next;
        let late = Instant::now().saturating_duration_since(tick).as_nanos();
        let missed = late / self.period.as_nanos();
        let on = u32::try_from(missed + 1)
            .ok()
            .and_then(|periods| self.period.checked_mul(periods))
            .and_then(|time| tick.checked_add(time));
        self.next = on.unwrap_or_else(|| Instant::now() + self.period.min(Duration::from_secs(1)));
        tick
    }
}

/// The time of [`Handle::timeout`] is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit is over")
    }
}

impl error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}
