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
#[derive(Debug)]
#[must_use = "an entry that is not completed blocks its place in the page for ever"]
pub struct Taken {
    index: u32,
    /// The call's number.
    pub nr: u16,
    /// Its arguments, as in registers.
    pub args: [u64; 6],
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
        !self.is_empty()
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        let control = self.0.region.control();
        let head = control.sub_head.word.load(Ordering::Relaxed);
        control.sub_tail.word.load(Ordering::Acquire) == head
    }

    /// Takes the next entry.
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
            // Valid if the exchange succeeds: the slot is not reused before the head has passed it.
            let index = region.sub_slot(head).load(Ordering::Relaxed);
            let next = head.wrapping_add(1);
            let exchange = control.sub_head.word.compare_exchange(
                head,
                next,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            head = match exchange {
                Ok(_) => match self.claim(index) {
                    Some(taken) => return Some(taken),
                    None => {
                        region.count(Counter::Rejected);
                        next
                    }
                },
                Err(current) => current,
            };
        }
    }

    fn claim(&self, index: u32) -> Option<Taken> {
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
        let nr = entry.nr.load(Ordering::Relaxed);
        let args = core::array::from_fn(|i| entry.args[i].load(Ordering::Relaxed));
        Some(Taken { index, nr, args })
    }

    /// Completes an entry with what the call returned and `sys::ENTRY_*` flags. Who waits for
    /// completions is told by the caller.
    pub fn complete(&self, taken: Taken, ret: i64, flags: u16) {
        let region = &*self.0.region;
        let Some(entry) = region.entry(taken.index) else {
            return;
        };
        entry.flags.store(flags, Ordering::Relaxed);
        entry.ret.store(ret, Ordering::Relaxed);
        entry.status.store(sys::DONE, Ordering::Release);
        let mut completed = match self.0.completed.lock() {
            Ok(completed) => completed,
            // A number: no panic can have left it half-written.
            Err(poisoned) => poisoned.into_inner(),
        };
        region
            .comp_slot(*completed)
            .store(taken.index, Ordering::Relaxed);
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
