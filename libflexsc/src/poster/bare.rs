// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that own nothing and belong to no chain: they need no slot in the slab. Their entry of the
//! page is all there is of them, and their ends go straight into a queue.

#![allow(unsafe_code)]

use std::collections::BTreeSet;

use super::{Cancel, Completion, Engine, Errno, Owner, Poster, RawOp, plain};
use crate::{
    raw::{self, Completions, Posted, RawCall, RawCompletion},
    sys,
};

/// The token of their entries in the page, whose marks are the caller's own tokens. No slot has this
/// number: that many do not fit into memory.
const BARE: u32 = u32::MAX - 1;

#[derive(Default)]
pub(super) struct BareCalls {
    /// In the order of their ends.
    landed: Completions,
    /// The batch of the caller's other calls, which have slots.
    batch: Option<u32>,
    /// The tokens of those that came to need a slot after they were posted.
    moved: Vec<(u32, u64)>,
    /// For each slot that the batch has listed, how many had landed before.
    before: Vec<usize>,
    /// The places in the page of those that were to end early and had been taken: they may yet be handed
    /// back, and are not made here then.
    cancelled: BTreeSet<u32>,
}

impl BareCalls {
    /// Whether there may be any.
    #[inline]
    pub(super) fn is_used(&self) -> bool {
        self.batch.is_some()
    }
}

fn completion(token: u64, ret: i64) -> RawCompletion {
    RawCompletion {
        token,
        ret,
        more: false,
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
            self.bare.before.push(self.bare.landed.end());
        }
    }

    /// Posts a call; `false`, and nothing was done, if it cannot be posted at once and without a slot.
    ///
    /// # Safety
    ///
    /// Until the call has landed, or for as long as the process lives: every address among the
    /// arguments is valid for what the call does with it, and nobody accesses what it writes.
    #[inline(always)]
    pub(crate) unsafe fn post_bare(&mut self, nr: u16, args: &[u64; 6], token: u64) -> bool {
        if self.credit.is_spent() && !self.look_around() {
            return false;
        }
        let Engine::Ring(ring) = &mut self.engine else {
            return false;
        };
        // SAFETY: As the caller promises.
        if ring.guard.is_forked() || !unsafe { ring.push_marked(nr, args, BARE, token) } {
            return false;
        }
        if self.credit.spend() {
            self.publish();
        }
        true
    }

    /// Posts calls as they come, with their tokens, as [`Self::post_bare`] does. Returns the first one that cannot
    /// be posted so, and was not; `None` if all were.
    ///
    /// # Safety
    ///
    /// As there, for each; and the process is not forked by `calls`.
    #[inline(always)]
    pub(crate) unsafe fn post_all_bare(
        &mut self,
        calls: &mut impl Iterator<Item = (RawCall, u64)>,
    ) -> Option<(RawCall, u64)> {
        loop {
            if self.credit.is_spent() && !self.look_around() {
                return calls.next();
            }
            let Engine::Ring(ring) = &mut self.engine else {
                return calls.next();
            };
            if ring.guard.is_forked() {
                return calls.next();
            }
            // What has come and not been posted; none at the end.
            let mut rest = None;
            let come = || {
                let next = calls.next();
                if let Some((call, token)) = &next {
                    if let Some((nr, args)) = call.as_bare() {
                        return Some((nr, *args, *token));
                    }
                }
                rest = Some(next);
                None
            };
            // SAFETY: As the caller promises.
            if !unsafe { ring.push_all(BARE, self.credit.left(), come) } {
                return calls.next();
            }
            if self.credit.is_spent() {
                self.publish();
            } else {
                // That was all, or there is no room.
                return rest.unwrap_or_else(|| calls.next());
            }
        }
    }

    /// Takes those that come next, as far as they were executed.
    #[inline]
    pub(super) fn land_all(&mut self) {
        let ring = match &mut self.engine {
            // The place of one that was cancelled has to be told.
            Engine::Ring(ring) if self.bare.is_used() && self.bare.cancelled.is_empty() => ring,
            _ => return,
        };
        let submitter = &mut ring.submitter;
        // A count beyond that was scribbled on.
        let ready = submitter.completions().min(submitter.region().entries());
        let places = self.bare.landed.room(ready as usize);
        let count = submitter.reap_marked(BARE, places, completion);
        self.bare.landed.add(count);
        self.posted -= count;
        self.alive -= count;
        self.news += count;
    }

    /// Takes a completion if it is that of a bare call.
    pub(super) fn land(&mut self, done: Completion) -> bool {
        if done.token != BARE {
            return false;
        }
        self.posted -= 1;
        self.alive -= 1;
        self.news += 1;
        let cancelled = self.bare.cancelled.remove(&done.index);
        let mut ret = done.ret;
        if done.flags & sys::ENTRY_HANDED_BACK != 0 {
            ret = match cancelled {
                true => -i64::from(Errno::CANCELED.raw()),
                false => self.make_bare(done.index),
            };
        }
        let token = self.mark_of(done.index);
        self.bare.landed.push(completion(token, ret));
        true
    }

    /// The caller's token of an entry that was last posted for a bare call.
    fn mark_of(&self, index: u32) -> u64 {
        match &self.engine {
            Engine::Ring(ring) => ring.submitter.mark(index),
            Engine::Direct => 0,
        }
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
        self.slab.get_mut(key).cancelled = self.bare.cancelled.remove(&index);
        let token = ring.submitter.mark(index);
        self.bare.moved.push((key, token));
        key
    }

    /// Notes, by slot, the tokens of calls that have got one since they were posted.
    pub(crate) fn note_moved(&mut self, tokens: &mut Vec<u64>) {
        for (key, token) in self.bare.moved.drain(..) {
            raw::note(tokens, key, token);
        }
    }

    /// Moves what has come to the end of a queue, in the order in which it came. `tokens` are those of
    /// slots, as [`Self::note_moved`] notes them.
    #[inline]
    pub(crate) fn take_landed(&mut self, tokens: &mut Vec<u64>, queue: &mut Completions) {
        if !self.bare.moved.is_empty() {
            self.note_moved(tokens);
        }
        if !self.bare.before.is_empty() {
            self.take_listed(tokens, queue);
        }
        if self.bare.landed.end() != 0 {
            queue.append(&mut self.bare.landed);
        }
    }

    /// Moves what the slots have to tell, and what has landed before that.
    fn take_listed(&mut self, tokens: &[u64], queue: &mut Completions) {
        let (mut begin, mut listed) = (0, 0);
        // A watch is listed again, or posted, when it was asked.
        while let (Some(&end), Some(batch)) = (self.bare.before.get(listed), self.bare.batch) {
            queue.extend(self.bare.landed.take(end - begin));
            queue.extend(self.next_tidings(batch).map(|tidings| RawCompletion {
                token: tokens.get(tidings.key as usize).copied().unwrap_or(0),
                ret: tidings.ret,
                more: tidings.more,
            }));
            (begin, listed) = (end, listed + 1);
        }
        self.bare.before.clear();
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
        for index in 0..ring.region().entries() {
            if count == 0 {
                break;
            }
            let bare = ring.submitter.token(index) == Some(BARE);
            if bare && wanted(ring.submitter.mark(index)) {
                answer = ring.cancel(index);
                match answer {
                    Cancel::Over => over += 1,
                    _ => {
                        self.bare.cancelled.insert(index);
                        count -= 1;
                    }
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
        // All of it is this process's own: the page is not there.
        for index in 0..ring.region().entries() {
            if ring.submitter.token(index) == Some(BARE) {
                self.alive -= 1;
                self.news += 1;
                let token = ring.submitter.mark(index);
                let ret = -i64::from(Errno::FORKED.raw());
                self.bare.landed.push(completion(token, ret));
            }
        }
    }
}
