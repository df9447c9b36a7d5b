// SPDX-License-Identifier: MIT OR Apache-2.0
//! The side that takes entries and completes them, in user space.

use core::fmt;
use std::sync::Arc;

use super::{Counter, Region, barrier};
use crate::{
    sync::{AtomicU32, Mutex, Ordering},
    sys,
};

/// Takes entries and completes them; its clones share the work.
///
/// A thread counts as a poller from [`Self::begin_poll`] to [`Self::end_poll`]; while there is one,
/// the submitter need not wake anybody.
///
/// # Examples
///
/// ```
/// use libflexsc::{page::{Executor, Region, Submitter}, sys};
/// let region = Region::new(64)?;
/// let (mut submitter, executor) = (Submitter::new(region.clone()), Executor::new(region));
/// // SAFETY: The thread below does not look at the arguments.
/// unsafe { submitter.push(sys::NR_NOP, &[0; 6], 7) };
/// submitter.publish();
/// let worker = std::thread::spawn(move || {
///     executor.begin_poll();
///     while let Some(entry) = executor.take() {
///         println!("entry {}: call {}", entry.index(), entry.nr);
///         executor.complete(entry, 0, 0);
///     }
///     executor.end_poll() // `true`: something came, and nobody else looks.
/// });
/// assert!(!worker.join().unwrap());
/// assert_eq!(submitter.reap().unwrap().token, 7);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Executor(Arc<Shared>);

struct Shared {
    region: Arc<Region>,
    /// Threads that will look at the ring again before they do anything else.
    pollers: AtomicU32,
    /// Completions published. The lock makes the ring's slots and its tail one step.
    completed: Mutex<u32>,
}

/// An entry taken for execution, copied from the page once.
///
/// # Examples
///
/// ```
/// use libflexsc::{page::{Executor, Region, Submitter}, sys};
/// let region = Region::new(64)?;
/// let (mut submitter, executor) = (Submitter::new(region.clone()), Executor::new(region));
/// // SAFETY: The executor below does not look at the arguments.
/// unsafe { submitter.push(sys::NR_NOP, &[5, 0, 0, 0, 0, 0], 7) };
/// submitter.publish();
/// let taken = executor.take().unwrap();
/// assert_eq!((taken.nr, taken.args[0], taken.flags), (sys::NR_NOP, 5, 0));
/// assert!(taken.index() < 64 && taken.next.is_none());
/// executor.complete(taken, 0, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "an entry that is not completed blocks its place in the page for ever"]
pub struct Taken {
    index: u32,
    /// The call's number.
    pub nr: u16,
    /// `sys::ENTRY_*`.
    pub flags: u16,
    /// The nanoseconds that it may take, with `sys::ENTRY_TIMEOUT`.
    pub span: i64,
    /// Its arguments, as in registers.
    pub args: [u64; 6],
    /// The entry that follows in its chain.
    pub next: Option<Box<Taken>>,
}

impl Taken {
    /// Which of the page's entries it is.
    pub fn index(&self) -> u32 {
        self.index
    }
}

impl Executor {
    /// The executing side of a region nobody executes for yet.
    pub fn new(region: Arc<Region>) -> Self {
        Self(Arc::new(Shared {
            region,
            pollers: AtomicU32::new(0),
            completed: Mutex::new(0),
        }))
    }

    /// The shared memory.
    pub fn region(&self) -> &Arc<Region> {
        &self.0.region
    }

    /// From here on this thread polls.
    pub fn begin_poll(&self) {
        // With the release of the decrement in `end_poll`, a store of 0 never follows the
        // NEED_WAKEUP of a poller that was counted after it.
        if self.0.pollers.fetch_add(1, Ordering::AcqRel) == 0 {
            self.0
                .region
                .control()
                .wakeup
                .word
                .store(0, Ordering::Relaxed);
        }
    }

    /// From here on this thread executes or sleeps.
    ///
    /// `true` if nobody polls and there are entries to take: this thread must poll again, or wake
    /// one that does.
    #[must_use]
    pub fn end_poll(&self) -> bool {
        if self.0.pollers.fetch_sub(1, Ordering::AcqRel) != 1 {
            return false;
        }
        self.0
            .region
            .control()
            .wakeup
            .word
            .store(sys::NEED_WAKEUP, Ordering::Relaxed);
        barrier();
        !self.is_empty() && !crate::sync::mutant("no_last_look")
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        let control = self.0.region.control();
        let head = control.sub_head.word.load(Ordering::Relaxed);
        control.sub_tail.word.load(Ordering::Acquire) == head
    }

    /// Takes the next entry, and with it those of its chain.
    pub fn take(&self) -> Option<Taken> {
        let region = &*self.0.region;
        let control = region.control();
        let mut head = control.sub_head.word.load(Ordering::Acquire);
        loop {
            let tail = control.sub_tail.word.load(Ordering::Acquire);
            let waiting = tail.wrapping_sub(head);
            if waiting == 0 || waiting > region.entries() {
                return None;
            }
            // All of it is valid if the exchange succeeds: neither a slot nor an entry is reused
            // before the head has passed it.
            let mut last = region.sub_slot(head).load(Ordering::Relaxed);
            let first = last;
            let mut others = Vec::new();
            let mut next = head.wrapping_add(1);
            while next != tail && self.is_linked(last) {
                last = region.sub_slot(next).load(Ordering::Relaxed);
                others.push(last);
                next = next.wrapping_add(1);
            }
            let exchange = control.sub_head.word.compare_exchange(
                head,
                next,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            head = match exchange {
                Ok(_) => {
                    let mut taken: Option<Taken> = None;
                    for &index in others.iter().rev().chain([&first]) {
                        match self.claim(index, &mut taken) {
                            Some(entry) => taken = Some(entry),
                            None => region.count(Counter::Rejected),
                        }
                    }
                    match taken {
                        Some(taken) => return Some(taken),
                        None => next,
                    }
                }
                Err(current) => current,
            };
        }
    }

    fn is_linked(&self, index: u32) -> bool {
        self.0
            .region
            .entry(index)
            .is_some_and(|entry| entry.flags.load(Ordering::Relaxed) & sys::ENTRY_LINK != 0)
    }

    /// Takes an entry that `next` follows.
    fn claim(&self, index: u32, next: &mut Option<Taken>) -> Option<Taken> {
        let entry = self.0.region.entry(index)?;
        entry
            .status
            .compare_exchange(
                sys::SUBMITTED,
                sys::BUSY,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .ok()?;
        let flags = entry.flags.load(Ordering::Relaxed);
        let span = entry.ret.load(Ordering::Relaxed);
        if flags & sys::ENTRY_MULTI != 0 {
            // From here on it holds the events that the submitter has not seen.
            entry.ret.store(0, Ordering::Relaxed);
        }
        Some(Taken {
            index,
            nr: entry.nr.load(Ordering::Relaxed),
            flags,
            span,
            args: core::array::from_fn(|i| entry.args[i].load(Ordering::Relaxed)),
            next: next.take().map(Box::new),
        })
    }

    /// Tells of a readiness of an entry with `sys::ENTRY_MULTI`, which goes on.
    pub fn ready(&self, taken: &Taken, events: u16) {
        let Some(entry) = self.0.region.entry(taken.index) else {
            return;
        };
        if entry.ret.fetch_or(events.into(), Ordering::AcqRel) == 0 {
            self.publish(taken.index);
        }
    }

    /// Completes an entry with what the call returned and `sys::ENTRY_*` flags. Who waits for
    /// completions is told by the caller.
    pub fn complete(&self, taken: Taken, ret: i64, flags: u16) {
        let Some(entry) = self.0.region.entry(taken.index) else {
            return;
        };
        entry.flags.store(flags, Ordering::Relaxed);
        if taken.flags & sys::ENTRY_MULTI != 0 {
            entry.status.store(sys::DONE, Ordering::Release);
            // Events that were not seen have an index in the ring, which now means the end.
            if entry.ret.swap(ret, Ordering::AcqRel) == 0 {
                self.publish(taken.index);
            }
            return;
        }
        entry.ret.store(ret, Ordering::Relaxed);
        entry.status.store(sys::DONE, Ordering::Release);
        self.publish(taken.index);
    }

    /// Puts an index into the completion ring.
    fn publish(&self, index: u32) {
        let region = &*self.0.region;
        let mut completed = match self.0.completed.lock() {
            Ok(completed) => completed,
            // A number: no panic can have left it half-written.
            Err(poisoned) => poisoned.into_inner(),
        };
        region.comp_slot(*completed).store(index, Ordering::Relaxed);
        *completed = completed.wrapping_add(1);
        region
            .control()
            .comp_tail
            .word
            .store(*completed, Ordering::Release);
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").finish_non_exhaustive()
    }
}
