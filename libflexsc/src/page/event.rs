// SPDX-License-Identifier: MIT OR Apache-2.0
//! A place to sleep until something has happened.

use crate::sync::{AtomicU32, Condvar, Mutex, Ordering};

use super::barrier;

/// Sleepers, and who wakes them; a notification costs a lock only if somebody sleeps.
///
/// The condition that is waited for lives elsewhere, in atomics: who makes it true notifies
/// afterwards.
///
/// # Examples
///
/// ```
/// use libflexsc::page::Event;
/// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
/// let (event, done) = (Arc::new(Event::new()), Arc::new(AtomicBool::new(false)));
/// let sleeper = std::thread::spawn({
///     let (event, done) = (event.clone(), done.clone());
///     move || event.wait(|| done.load(Ordering::Acquire))
/// });
/// done.store(true, Ordering::Release);
/// event.notify();
/// sleeper.join().unwrap();
/// ```
#[derive(Debug)]
pub struct Event {
    sleepers: AtomicU32,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl Event {
    /// Nobody sleeps.
    pub fn new() -> Self {
        Self {
            sleepers: AtomicU32::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Wakes all sleepers, to look at their condition again.
    pub fn notify(&self) {
        // The condition that was made true is seen by the sleeper, or the sleeper here.
        barrier();
        if self.sleepers.load(Ordering::Relaxed) != 0 {
            // Whoever has looked holds the lock until it sleeps.
            if !crate::sync::mutant("no_lock") {
                drop(self.lock.lock());
            }
            self.wake.notify_all();
        }
    }

    /// Whether anybody sleeps, or is about to.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn has_sleepers(&self) -> bool {
        self.sleepers.load(Ordering::Relaxed) != 0
    }

    /// Sleeps until the condition is true.
    pub fn wait(&self, mut ready: impl FnMut() -> bool) {
        let Ok(mut guard) = self.lock.lock() else {
            return;
        };
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        barrier();
        while !ready() {
            guard = match self.wake.wait(guard) {
                Ok(guard) => guard,
                Err(_) => break,
            };
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sleeps until the condition is true or the time is over; returns the condition.
    #[cfg(not(loom))]
    pub fn wait_timeout(
        &self,
        timeout: core::time::Duration,
        mut ready: impl FnMut() -> bool,
    ) -> bool {
        let Ok(guard) = self.lock.lock() else {
            return ready();
        };
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        barrier();
        let woken = self.wake.wait_timeout_while(guard, timeout, |()| !ready());
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        woken.is_ok_and(|(_, result)| !result.timed_out())
    }
}
