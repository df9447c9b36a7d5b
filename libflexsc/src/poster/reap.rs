// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has completed is taken from the pages.

use super::{Completion, Engine, Errno, Outcome, Owner, Place, Poster, State};
use crate::{slab::NIL, sys};

impl Poster {
    /// Takes what has completed, without waiting. Returns how much that was.
    pub(crate) fn reap(&mut self) -> usize {
        let count = self.reap_to_wait();
        if let (Engine::Ring(ring), false) = (&mut self.engine, self.forked) {
            ring.go_on();
        }
        count
    }

    /// As [`Self::reap`]; what is to go on then does so with the wait that follows.
    pub(super) fn reap_to_wait(&mut self) -> usize {
        if self.is_forked() {
            return 0;
        }
        let before = self.alive;
        let mut told = 0;
        if let Engine::Ring(ring) = &mut self.engine {
            ring.collect();
        }
        if let Some(keys) = self.take_back() {
            self.recover(&keys);
        }
        while matches!(&self.engine, Engine::Ring(ring) if ring.submitter.completions() > 0) {
            self.land_all();
            self.end_all();
            let Engine::Ring(ring) = &mut self.engine else {
                break;
            };
            let Some(done) = ring.submitter.reap() else {
                break;
            };
            if !self.land(done) {
                told += self.take_in(done);
            }
        }
        while let Some(ring) = &mut self.stand_in {
            let Some(done) = ring.submitter.reap() else {
                break;
            };
            self.stood_in -= usize::from(!done.more);
            told += self.take_in(done);
        }
        self.stand_in_for_declined();
        if !self.queue.is_empty() {
            self.pump();
            self.prepare();
        }
        told + (before - self.alive)
    }

    /// Takes a completion; returns 1 for one of a watch that goes on.
    fn take_in(&mut self, done: Completion) -> usize {
        let (key, ret) = (done.token, done.ret);
        if done.more {
            self.tell(key, ret);
            return 1;
        }
        self.posted -= 1;
        let slot = self.slab.get_mut(key);
        (slot.state, slot.place) = (State::Queued, Place::Slab);
        let (chain, cancelled) = (slot.chain, slot.cancelled);
        let ended = slot.watch.is_some_and(|events| events.ended);
        let handed_back = done.flags & sys::ENTRY_HANDED_BACK != 0 && !ended;
        if handed_back && !cancelled {
            self.handed_back(key, ret);
            return 0;
        }
        if !handed_back && self.tell_once(key, ret) {
            return 1;
        }
        let unmade = -i64::from(Errno::CANCELED.raw());
        let failed = chain.is_some_and(|number| self.chains.has_failed(number));
        // Of a call that was made the same number would mean something else.
        let outcome = match ended || handed_back || ret == unmade && (cancelled || failed) {
            true => Outcome::Cancelled(Errno::CANCELED),
            false => Outcome::Returned(ret),
        };
        self.over(key, outcome);
        if let Some(number) = chain {
            self.go_on(number);
        }
        0
    }

    /// Takes those that come next, as far as they were executed and nothing follows on them but that
    /// somebody takes their outputs: as [`Self::take_in`] of each.
    // Inlined, the loop has too few registers.
    #[inline(never)]
    fn end_all(&mut self) {
        let (slab, batches) = (&mut self.slab, &mut self.batches);
        let ring = match &mut self.engine {
            // Where there are bare calls these have places among them.
            Engine::Ring(ring) if !self.bare.is_used() => ring,
            _ => return,
        };
        let count = ring.submitter.reap_single(|token, ret| {
            let Some(slot) = slab.find(token).filter(|slot| slot.is_alone()) else {
                return false;
            };
            match slot.owner {
                Owner::Key => slot.state = State::Done(Outcome::Returned(ret)),
                Owner::Batch(number) => {
                    slot.state = State::Done(Outcome::Returned(ret));
                    slot.next = NIL;
                    batches[number as usize].add(slab, token);
                }
                _ => return false,
            }
            true
        });
        self.posted -= count;
        self.alive -= count;
        self.news += count;
    }
}
