// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations that are ended early: cancelled, left behind by a fork or by their context.

use core::time::Duration;

use super::{Cancel, Engine, Errno, Outcome, Owner, Place, Poster, State};
use crate::claim::Home;

impl Poster {
    /// Ends an operation early.
    pub(crate) fn cancel(&mut self, key: u32) -> Cancel {
        if self.is_forked() {
            return Cancel::Over;
        }
        let slot = self.slab.get_mut(key);
        match (slot.state, slot.place) {
            (State::Vacant | State::Done(_), _) => return Cancel::Over,
            (State::Queued, _) => {
                self.end_queued(key, Errno::CANCELED);
                return Cancel::Cancelled;
            }
            (State::Posted, Place::Declined) => {
                self.declined.retain(|&declined| declined != key);
                self.posted -= 1;
                slot.state = State::Queued;
                self.end_queued(key, Errno::CANCELED);
                return Cancel::Cancelled;
            }
            (State::Posted, _) => {}
        }
        let (ring, index) = match (slot.place, &mut self.engine, &mut self.stand_in) {
            (Place::Page(index), Engine::Ring(ring), _) => (ring, index),
            (Place::StandIn(index), _, Some(ring)) => (ring, index),
            _ => return Cancel::Running,
        };
        let answer = ring.cancel(index);
        if let Some(keys) = self.take_back() {
            let unmade = keys.contains(&key);
            self.slab.get_mut(key).cancelled |= unmade;
            self.recover(&keys);
            return if unmade {
                Cancel::Cancelled
            } else {
                Cancel::Running
            };
        }
        let slot = self.slab.get_mut(key);
        if let Some(events) = slot.watch.as_mut().filter(|events| !events.goes_on) {
            events.ended = true;
            return Cancel::Cancelled;
        }
        // What is being executed may yet be handed back, and is not executed elsewhere then.
        slot.cancelled |= answer != Cancel::Over;
        answer
    }

    /// Nobody wants the operation any more: ends it early, unless others of a chain depend on it.
    pub(crate) fn forsake(&mut self, key: u32) {
        let slot = self.slab.get(key);
        if matches!(slot.state, State::Posted) && slot.chain.is_none() {
            self.cancel(key);
        }
        self.abandon(key);
    }

    /// Gives up what claims stood for that were dropped: the operations of tickets are executed all the
    /// same, watches end.
    #[cold]
    pub(crate) fn drop_claims(&mut self, home: &Home) {
        // In a child the thread that was about to put a claim there is missing, and nothing is shared.
        if self.is_forked() {
            return;
        }
        while let Some(key) = home.pop() {
            let owner = match self.slab.get(key).watch {
                Some(_) => Owner::Orphan,
                None => Owner::Detached,
            };
            self.give_up(key, owner);
        }
    }

    /// Ends all operations early. Returns how many are not over yet, or were cancelled here.
    pub(crate) fn cancel_all(&mut self) -> usize {
        if self.is_forked() {
            return 0;
        }
        let mut count = self.alive;
        count -= self.cancel_all_bare();
        for key in self.slab.keys() {
            // With one of a chain those after it may be over as well.
            let over = matches!(self.slab.get(key).state, State::Vacant | State::Done(_));
            if !over && self.cancel(key) == Cancel::Over {
                count -= 1;
            }
        }
        count
    }

    /// Ends an operation that is not posted, and the rest of its chain.
    pub(super) fn end_queued(&mut self, key: u32, errno: Errno) {
        let slot = self.slab.get_mut(key);
        let (place, chain) = (slot.place, slot.chain);
        let queued = match chain {
            // The chain is in the queue with its first operation.
            Some(number) => self.cut(number, key, errno),
            None => {
                self.complete(key, Outcome::Cancelled(errno));
                (place == Place::Queue).then_some(key)
            }
        };
        if let Some(queued) = queued {
            self.queue.retain(|&other| other != queued);
        }
    }

    /// Whether somebody wants the output of a queued operation, or of one of the chain that begins
    /// with it.
    pub(super) fn is_wanted(&self, key: u32) -> bool {
        let wanted = |key: &u32| self.slab.get(*key).owner != Owner::Orphan;
        match self.slab.get(key).chain {
            Some(number) => self.chains.is_begun(number) || self.chains.keys(number).any(wanted),
            None => wanted(&key),
        }
    }

    /// Whether this is a forked child, where nothing may be posted and nothing completes. The first
    /// look ends all operations: what the kernel writes goes to the parent's memory.
    #[inline]
    pub(super) fn is_forked(&mut self) -> bool {
        match &self.engine {
            Engine::Ring(ring) if !self.forked && ring.guard.is_forked() => self.end_in_child(),
            _ => {}
        }
        self.forked
    }

    #[cold]
    fn end_in_child(&mut self) {
        self.forked = true;
        self.queue.clear();
        self.declined.clear();
        self.chains.clear();
        (self.posted, self.stood_in) = (0, 0);
        self.leave_bare();
        for key in self.slab.keys() {
            match self.slab.get(key).state {
                // Whether a posted close was made before the fork is unknown: its number may mean
                // another file by now, so it counts as made.
                State::Posted => {
                    let ret = -i64::from(Errno::FORKED.raw());
                    self.complete(key, Outcome::Returned(ret));
                }
                State::Queued => self.complete(key, Outcome::Cancelled(Errno::FORKED)),
                State::Vacant | State::Done(_) => {}
            }
        }
    }

    /// Ends everything: what is queued is cancelled, what is posted is waited for.
    /// Returns how many are still posted when the time is over; they stay in the slab, which must
    /// then be leaked.
    pub(crate) fn shutdown(&mut self, timeout: Duration) -> usize {
        if !self.is_forked() {
            for key in self.slab.keys() {
                let slot = self.slab.get(key);
                match slot.state {
                    State::Queued => self.end_queued(key, Errno::CANCELED),
                    // It would never end.
                    State::Posted if slot.watch.is_some() => {
                        self.cancel(key);
                    }
                    _ => {}
                }
            }
        }
        self.wait(usize::MAX, Some(timeout));
        for key in self.slab.keys() {
            match self.slab.get(key).state {
                State::Vacant | State::Posted => {}
                State::Queued | State::Done(_) => self.abandon(key),
            }
        }
        self.posted
    }
}
