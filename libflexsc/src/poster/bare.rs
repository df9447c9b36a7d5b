// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that own nothing and belong to no chain: they need no slot in the slab. Their entry of the
//! page is all there is of them, and their ends go straight into a queue.

#![allow(unsafe_code)]

use core::mem;
use std::collections::VecDeque;

use super::{Cancel, Completion, Engine, Errno, Owner, PUBLISH_EACH, Poster, RawOp, Terms, plain};
use crate::{
    raw::{Posted, RawCall, RawCompletion},
    sys,
};

/// The token of their entries in the page. No slot has this number: that many do not fit into
/// memory.
const BARE: u32 = u32::MAX - 1;

#[derive(Default)]
pub(super) struct BareCalls {
    /// The caller's own token of each, by entry.
    tokens: Vec<u64>,
    /// In the order of their ends.
    landed: VecDeque<RawCompletion>,
    /// The batch of the caller's other calls, which have slots.
    batch: Option<u32>,
    /// The tokens of those that came to need a slot after they were posted.
    moved: Vec<(u32, u64)>,
    /// For each slot that the batch has listed, how many have landed since the one before.
    between: VecDeque<usize>,
    /// How many have landed since the last one.
    since: usize,
}

impl BareCalls {
    #[inline]
    fn land(&mut self, index: u32, ret: i64) {
        let token = self.tokens.get(index as usize).copied().unwrap_or(0);
        self.since += 1;
        self.landed.push_back(RawCompletion {
            token,
            ret,
            more: false,
        });
    }
}

impl Poster {
    /// A batch for who posts calls by their numbers, of which a context has one.
    pub(crate) fn open_raw(&mut self) -> u32 {
        let batch = self.open_batch();
        self.bare.batch = Some(batch);
        batch
    }

    /// Keeps the place among bare calls of what a batch lists.
    pub(super) fn mark(&mut self, batch: u32) {
        if self.bare.batch == Some(batch) {
            self.bare.between.push_back(mem::take(&mut self.bare.since));
        }
    }

    /// Posts a call; `false`, and nothing was done, if it cannot be posted at once and without a slot.
    ///
    /// # Safety
    ///
    /// Until the call has landed, or for as long as the process lives: every address among the
    /// arguments is valid for what the call does with it, and nobody accesses what it writes.
    #[inline]
    pub(crate) unsafe fn post_bare(&mut self, nr: u16, args: &[u64; 6], token: u64) -> bool {
        // What waits for its turn comes first.
        if !self.queue.is_empty() || self.is_forked() {
            return false;
        }
        let ring = match &mut self.engine {
            Engine::Ring(ring) if !ring.is_lost() => ring,
            _ => return false,
        };
        // SAFETY: As the caller promises.
        let Some(index) = (unsafe { ring.push(nr, args, Terms::default(), BARE, None) }) else {
            return false;
        };
        if self.bare.tokens.is_empty() {
            let count = ring.region().entries() as usize;
            self.bare.tokens.resize(count, 0);
        }
        if let Some(place) = self.bare.tokens.get_mut(index as usize) {
            *place = token;
        }
        self.stats.submitted += 1;
        self.alive += 1;
        self.posted += 1;
        if ring.submitter.unpublished() >= PUBLISH_EACH {
            ring.flush();
        }
        if mem::take(&mut self.armed) {
            self.bell().ring();
        }
        true
    }

    /// Takes a completion if it is that of a bare call.
    #[inline]
    pub(super) fn land(&mut self, done: Completion) -> bool {
        if done.token != BARE {
            return false;
        }
        self.posted -= 1;
        self.alive -= 1;
        self.news += 1;
        let mut ret = done.ret;
        if done.flags & sys::ENTRY_HANDED_BACK != 0 {
            ret = self.make_bare(done.index);
        }
        self.bare.land(done.index, ret);
        true
    }

    /// Makes the plain call of an entry that was handed back.
    #[cold]
    fn make_bare(&self, index: u32) -> i64 {
        let Engine::Ring(ring) = &self.engine else {
            return -i64::from(Errno::ENOSYS.raw());
        };
        let (nr, args) = ring.submitter.call(index);
        // SAFETY: The entry has not been used since it was posted by `post_bare`, whose caller's promise
        // holds until the call lands.
        unsafe { plain(nr, &args, None) }
    }

    /// The key of an entry that was taken back. A bare call gets a slot.
    pub(super) fn key_of(&mut self, token: u32, index: u32) -> u32 {
        let (Engine::Ring(ring), Some(batch), BARE) = (&self.engine, self.bare.batch, token) else {
            return token;
        };
        let (nr, args) = ring.submitter.call(index);
        let op = RawOp::new(Posted(RawCall::new(nr.into(), args)));
        let key = self.slab.insert(op, Owner::Batch(batch), false);
        let token = self.bare.tokens.get(index as usize).copied().unwrap_or(0);
        self.bare.moved.push((key, token));
        key
    }

    /// The slots that calls have got since they were posted, with their tokens.
    pub(crate) fn moved(&mut self) -> impl Iterator<Item = (u32, u64)> {
        self.bare.moved.drain(..)
    }

    /// Moves what has come to the end of a queue, in the order in which it came. `tokens` are those of
    /// slots, by key.
    pub(crate) fn take_landed(&mut self, tokens: &[u64], queue: &mut VecDeque<RawCompletion>) {
        while let (Some(count), Some(batch)) = (self.bare.between.pop_front(), self.bare.batch) {
            queue.extend(self.bare.landed.drain(..count));
            queue.extend(self.next_tidings(batch).map(|tidings| RawCompletion {
                token: tokens.get(tidings.key as usize).copied().unwrap_or(0),
                ret: tidings.ret,
                more: tidings.more,
            }));
        }
        self.bare.since = 0;
        if queue.is_empty() {
            mem::swap(queue, &mut self.bare.landed);
        } else {
            queue.append(&mut self.bare.landed);
        }
    }

    /// Ends a call early that was posted with this token, one of them if there are several.
    pub(crate) fn cancel_bare(&mut self, token: u64) -> Cancel {
        self.cancel_bare_if(|other| other == token, 1).0
    }

    /// Ends all early. Returns how many were over.
    pub(super) fn cancel_all_bare(&mut self) -> usize {
        self.cancel_bare_if(|_| true, usize::MAX).1
    }

    /// Cancels those with such tokens, until as many as wanted were not over. Returns the last answer,
    /// and how many were over.
    fn cancel_bare_if(
        &mut self,
        wanted: impl Fn(u64) -> bool,
        mut count: usize,
    ) -> (Cancel, usize) {
        let (mut answer, mut over) = (Cancel::Over, 0);
        if self.is_forked() {
            return (answer, over);
        }
        self.flush();
        if let Some(keys) = self.take_back() {
            self.recover(&keys);
        }
        let Engine::Ring(ring) = &mut self.engine else {
            return (answer, over);
        };
        for (index, &token) in (0..).zip(&self.bare.tokens) {
            if count == 0 {
                break;
            }
            if wanted(token) && ring.submitter.token(index) == Some(BARE) {
                answer = ring.cancel(index);
                match answer {
                    Cancel::Over => over += 1,
                    _ => count -= 1,
                }
            }
        }
        (answer, over)
    }

    /// Ends them in a forked child.
    pub(super) fn leave_bare(&mut self) {
        let Engine::Ring(ring) = &self.engine else {
            return;
        };
        for index in 0..self.bare.tokens.len() as u32 {
            if ring.submitter.token(index) == Some(BARE) {
                self.alive -= 1;
                self.news += 1;
                self.bare.land(index, -i64::from(Errno::FORKED.raw()));
            }
        }
    }
}
