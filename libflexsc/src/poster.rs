// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a context does, behind its cell: post, queue, reap, wait.
//!
//! No user code runs in here: wakers and the destructors of operations are put aside, and
//! [`Context`](crate::Context) runs them when the cell is free again.

#![allow(unsafe_code)]

use core::time::Duration;
use std::{collections::VecDeque, sync::Arc, task::Waker, time::Instant};

use crate::{
    Errno,
    backend::{Bell, Driver, Engine, Ring},
    op::{Call, Operation},
    page::{Completion, Counter, Event},
    slab::{NIL, Outcome, Owner, RawOp, Slab, State},
    stats::Stats,
    sys,
};

/// Entries that are pushed before the other side gets to see them, unless somebody waits.
const PUBLISH_EACH: u32 = 32;

pub(crate) struct Poster {
    slab: Slab,
    engine: Engine,
    /// Makes the calls that were handed back to futures, which must not hold up their thread.
    stand_in: Option<Ring>,
    /// How many of the posted ones it has.
    stood_in: usize,
    /// Posted ones that are for the stand-in, and for which it has no free entry yet.
    declined: VecDeque<u32>,
    bell: Option<Arc<Bell>>,
    /// Operations for which no entry was free, first in, first out.
    queue: VecDeque<u32>,
    /// Operations in the page.
    posted: usize,
    batches: Vec<BatchList>,
    /// What user code there is to run when the cell is free.
    pub(crate) deferred: Deferred,
    stats: Stats,
    /// In a forked child: every operation ends at once.
    forked: bool,
}

#[derive(Default)]
pub(crate) struct Deferred {
    pub(crate) wakers: Vec<Waker>,
    pub(crate) orphans: Vec<(RawOp, Outcome)>,
}

impl Deferred {
    pub(crate) fn is_empty(&self) -> bool {
        self.wakers.is_empty() && self.orphans.is_empty()
    }

    /// Takes emptied vectors back, for their memory.
    pub(crate) fn reuse(&mut self, wakers: Vec<Waker>, orphans: Vec<(RawOp, Outcome)>) {
        if self.wakers.capacity() < wakers.capacity() && self.wakers.is_empty() {
            self.wakers = wakers;
        }
        if self.orphans.capacity() < orphans.capacity() && self.orphans.is_empty() {
            self.orphans = orphans;
        }
    }
}

/// The completions of one batch, as a list through the slots.
struct BatchList {
    used: bool,
    first: u32,
    last: u32,
}

/// What [`Poster::submit`] did with an operation.
pub(crate) enum Submitted<O: Operation> {
    /// It is over.
    Ready(O::Output),
    /// It is in this slot.
    Slot(u32),
}

impl Poster {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            slab: Slab::new(),
            engine,
            stand_in: None,
            stood_in: 0,
            declined: VecDeque::new(),
            bell: None,
            queue: VecDeque::new(),
            posted: 0,
            batches: Vec::new(),
            deferred: Deferred::default(),
            stats: Stats::default(),
            forked: false,
        }
    }

    /// Gives an operation to the backend. A plain call is made at once.
    pub(crate) fn submit<O: Operation>(&mut self, mut op: O, for_future: bool) -> Submitted<O> {
        if let Engine::Direct = self.engine {
            self.stats.submitted += 1;
            let call = op.call(crate::op::Access::new());
            // SAFETY: The operation made the call's arguments of what it owns, and stays where it
            // is and untouched until the call has returned.
            let ret = unsafe { plain(&call) };
            self.stats.entries_c += 1;
            return Submitted::Ready(Outcome::Returned(ret).output(op));
        }
        Submitted::Slot(self.insert(op, Owner::Key, for_future))
    }

    /// Gives an operation to the backend, its output to be taken from a slot.
    pub(crate) fn insert<O: Operation>(&mut self, op: O, owner: Owner, for_future: bool) -> u32 {
        self.stats.submitted += 1;
        let key = self.slab.insert(RawOp::new(op), owner, for_future);
        if self.is_forked() {
            self.complete(key, Outcome::Cancelled(Errno::FORKED));
        } else if self.queue.is_empty() && self.post(key) {
            if let Engine::Ring(ring) = &mut self.engine {
                if ring.submitter.unpublished() >= PUBLISH_EACH {
                    ring.flush();
                }
            }
        } else {
            self.stats.queued += 1;
            self.queue.push_back(key);
        }
        key
    }

    /// Puts an operation into the page; `false` if no entry is free.
    fn post(&mut self, key: u32) -> bool {
        let slot = self.slab.get_mut(key);
        let Some(op) = &mut slot.op else {
            return true;
        };
        if let Engine::Ring(ring) = &self.engine {
            if ring.submitter.free() == 0 {
                return false;
            }
        }
        // SAFETY: The operation is new or was queued: its call was not posted.
        let call = unsafe { op.call() };
        match (&mut self.engine, &call) {
            (Engine::Ring(ring), Call::System { nr, args }) => {
                // SAFETY: The arguments point into what the operation owns. From here until the
                // completion was reaped the slot is Posted, and no method touches the operation.
                if !unsafe { ring.submitter.push(*nr, args, key) } {
                    return false;
                }
                slot.state = State::Posted;
                self.posted += 1;
            }
            _ => {
                // SAFETY: As for `push`, for the time of the call.
                let ret = unsafe { plain(&call) };
                self.stats.entries_c += u64::from(matches!(call, Call::System { .. }));
                self.complete(key, Outcome::Returned(ret));
            }
        }
        true
    }

    /// Ends an operation. Nobody is executing its call any more.
    fn complete(&mut self, key: u32, outcome: Outcome) {
        let slot = self.slab.get_mut(key);
        slot.state = State::Done(outcome);
        if let Some(waker) = slot.waker.take() {
            self.deferred.wakers.push(waker);
        }
        match slot.owner {
            Owner::Key => {}
            Owner::Orphan => {
                if let Some((op, _)) = self.slab.remove(key) {
                    self.deferred.orphans.push((op, outcome));
                }
            }
            Owner::Batch(number) => {
                let list = &mut self.batches[number as usize];
                let last = core::mem::replace(&mut list.last, key);
                if last == NIL {
                    list.first = key;
                } else {
                    self.slab.get_mut(last).next = key;
                }
            }
        }
    }

    /// Posts what was queued, as far as entries are free. Returns how many are over by that.
    fn pump(&mut self) -> usize {
        let mut count = 0;
        while let Some(&key) = self.queue.front() {
            if self.slab.get(key).owner == Owner::Orphan {
                self.complete(key, Outcome::Cancelled(Errno::CANCELED));
            } else if !self.post(key) {
                break;
            } else {
                count += usize::from(self.is_done(key));
            }
            self.queue.pop_front();
        }
        count
    }

    /// Lets the other side see what was posted, and wakes it if it sleeps.
    pub(crate) fn flush(&mut self) {
        if self.is_forked() {
            return;
        }
        if let Engine::Ring(ring) = &mut self.engine {
            ring.flush();
        }
    }

    /// Takes what has completed, without waiting. Returns how much that was.
    pub(crate) fn reap(&mut self) -> usize {
        if self.is_forked() {
            return 0;
        }
        let mut count = 0;
        while let Engine::Ring(ring) = &mut self.engine {
            let Some(done) = ring.submitter.reap() else {
                break;
            };
            if done.flags & sys::ENTRY_HANDED_BACK != 0 {
                match self.make_call(done.token) {
                    Some(ret) => self.end_posted(Completion { ret, ..done }),
                    None => continue,
                }
            } else {
                self.end_posted(done);
            }
            count += 1;
        }
        if self.stand_in.is_some() {
            while let Some(done) = self
                .stand_in
                .as_mut()
                .and_then(|ring| ring.submitter.reap())
            {
                self.stood_in -= 1;
                self.end_posted(done);
                count += 1;
            }
            while let Some(&key) = self.declined.front() {
                if !self.stand_in(key) {
                    break;
                }
                self.declined.pop_front();
            }
            if let Some(stand_in) = &mut self.stand_in {
                stand_in.flush();
            }
        }
        if !self.queue.is_empty() {
            count += self.pump();
            self.flush();
        }
        count
    }

    fn end_posted(&mut self, done: Completion) {
        self.posted -= 1;
        self.complete(done.token, Outcome::Returned(done.ret));
    }

    /// Makes the plain call of an operation that was handed back, and returns what it returned; or
    /// has it made elsewhere, if a future waits for it.
    fn make_call(&mut self, key: u32) -> Option<i64> {
        let slot = self.slab.get_mut(key);
        let for_future = slot.for_future;
        let Some(op) = &mut slot.op else {
            return Some(0);
        };
        // SAFETY: The call was declined: nobody executes it.
        let call = unsafe { op.call() };
        if let (true, Call::System { .. }) = (for_future, &call) {
            if self.stand_in.is_none() {
                let bell = self.bell().clone();
                self.stand_in = Ring::stand_in(bell).ok();
            }
            if self.stand_in.is_some() {
                // Not at once: a full stand-in must first be reaped, and nothing may pass another.
                self.declined.push_back(key);
                return None;
            }
        }
        // SAFETY: As in `post`.
        Some(unsafe { plain(&call) })
    }

    /// Has the stand-in make the call of an operation that was declined; `false` if it is full.
    fn stand_in(&mut self, key: u32) -> bool {
        let (Some(ring), Some(op)) = (&mut self.stand_in, &mut self.slab.get_mut(key).op) else {
            return false;
        };
        // SAFETY: The call was declined: nobody executes it.
        let Call::System { nr, args } = (unsafe { op.call() }) else {
            return false;
        };
        // SAFETY: As in `post`; the slot stays Posted.
        let pushed = unsafe { ring.submitter.push(nr, &args, key) };
        self.stood_in += usize::from(pushed);
        pushed
    }

    /// The bell that ends a wait for futures.
    pub(crate) fn bell(&mut self) -> &Arc<Bell> {
        let engine = &self.engine;
        self.bell.get_or_insert_with(|| match engine {
            Engine::Direct => Arc::new(Bell::new(Arc::new(Event::new()), None)),
            Engine::Ring(ring) => Arc::new(ring.bell()),
        })
    }

    /// Waits until `min` operations have completed, or all have, or the time is over. Returns how
    /// many completed.
    pub(crate) fn wait(&mut self, min: usize, timeout: Option<Duration>) -> usize {
        self.wait_or(min, timeout, None)
    }

    /// As [`Self::wait`]; ends when `stop` says so, which is asked after the bell has rung.
    pub(crate) fn wait_or(
        &mut self,
        min: usize,
        timeout: Option<Duration>,
        stop: Option<&dyn Fn() -> bool>,
    ) -> usize {
        self.flush();
        let mut count = self.reap();
        let mut start = None;
        while count < min && self.posted > 0 && !self.is_forked() {
            let left = match timeout {
                None => None,
                Some(timeout) => {
                    let start = *start.get_or_insert_with(Instant::now);
                    let left = timeout.saturating_sub(start.elapsed());
                    if left.is_zero() {
                        break;
                    }
                    Some(left)
                }
            };
            let bell = (stop.is_some() || self.stood_in > 0).then(|| self.bell().clone());
            if let Some(bell) = &bell {
                bell.silence();
                let more = self.reap();
                if more > 0 {
                    count += more;
                    continue;
                }
                if stop.is_some_and(|stop| stop()) {
                    break;
                }
            }
            let Engine::Ring(ring) = &mut self.engine else {
                break;
            };
            let missing = (min - count).min(self.posted);
            // With operations queued it takes only one free entry to go on, and perhaps one of them
            // to end the others; but while completions come in, some at a time are cheaper.
            let (want, hope) = match self.queue.is_empty() {
                true => (missing, missing),
                false => (1, ring.region().entries() as usize / 4),
            };
            ring.wait(
                want as u32,
                hope as u32,
                left,
                bell.as_deref(),
                &mut self.stats,
            );
            count += self.reap();
        }
        count
    }

    /// The outcome, if the operation is over.
    pub(crate) fn is_done(&self, key: u32) -> bool {
        matches!(self.slab.get(key).state, State::Done(_))
    }

    /// Looks once for the end of an operation.
    pub(crate) fn poll_done(&mut self, key: u32) -> bool {
        self.is_done(key) || {
            self.flush();
            self.reap() > 0 && self.is_done(key)
        }
    }

    /// Takes an operation that is over.
    pub(crate) fn take(&mut self, key: u32) -> Option<(RawOp, Outcome)> {
        let State::Done(outcome) = self.slab.get(key).state else {
            return None;
        };
        self.slab.remove(key).map(|(op, _)| (op, outcome))
    }

    /// Whom to wake when the operation is over.
    pub(crate) fn set_waker(&mut self, key: u32, waker: &Waker) {
        match &mut self.slab.get_mut(key).waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Nobody wants the output any more. One that is queued is dropped when
    /// its turn comes.
    pub(crate) fn abandon(&mut self, key: u32) {
        let slot = self.slab.get_mut(key);
        slot.owner = Owner::Orphan;
        slot.waker = None;
        if let State::Done(outcome) = slot.state {
            self.complete(key, outcome);
        }
    }

    pub(crate) fn open_batch(&mut self) -> u32 {
        let list = BatchList {
            used: true,
            first: NIL,
            last: NIL,
        };
        match self.batches.iter().position(|batch| !batch.used) {
            Some(number) => {
                self.batches[number] = list;
                number as u32
            }
            None => {
                self.batches.push(list);
                (self.batches.len() - 1) as u32
            }
        }
    }

    /// The next of a batch's operations that are over.
    pub(crate) fn next_of_batch(&mut self, number: u32) -> Option<u32> {
        let list = &mut self.batches[number as usize];
        let key = list.first;
        if key == NIL {
            return None;
        }
        list.first = self.slab.get(key).next;
        if list.first == NIL {
            list.last = NIL;
        }
        Some(key)
    }

    /// Nobody wants the outputs of the batch any more.
    pub(crate) fn close_batch(&mut self, number: u32, left: usize) {
        let keys = if left == 0 { 0..0 } else { self.slab.keys() };
        for key in keys {
            let slot = self.slab.get(key);
            if slot.owner == Owner::Batch(number) && !matches!(slot.state, State::Vacant) {
                self.abandon(key);
            }
        }
        self.batches[number as usize].used = false;
    }

    /// Operations that are not over.
    pub(crate) fn outstanding(&self) -> usize {
        self.posted + self.queue.len()
    }

    /// How many operations the page takes at once.
    pub(crate) fn capacity(&self) -> usize {
        match &self.engine {
            Engine::Direct => 1,
            Engine::Ring(ring) => ring.region().entries() as usize,
        }
    }

    /// Ends the pools, when nothing is in progress.
    pub(crate) fn join(&mut self) {
        let first = match &self.engine {
            Engine::Ring(ring) => Some(ring),
            Engine::Direct => None,
        };
        for ring in first.into_iter().chain(&self.stand_in) {
            if let (Driver::Threads(threads), false) = (&ring.driver, ring.guard.is_forked()) {
                threads.join();
            }
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.stats;
        if let Engine::Ring(ring) = &self.engine {
            if ring.guard.is_forked() {
                return stats;
            }
            let region = ring.region();
            stats.entries_w = region.counter(Counter::EntriesW);
            stats.entries_t = region.counter(Counter::EntriesT);
            stats.entries_c += region.counter(Counter::EntriesC);
            stats.handed_back = region.counter(Counter::HandedBack);
            stats.rejected = region.counter(Counter::Rejected);
            stats.kicks = region.counter(Counter::Kicks);
            stats.waits = region.counter(Counter::Waits);
            stats.wait_sleeps = region.counter(Counter::WaitSleeps);
            stats.drains = region.counter(Counter::Drains);
            stats.idle_sleeps = region.counter(Counter::IdleSleeps);
            stats.threads = region.counter(Counter::Threads);
            stats.thread_wakes = region.counter(Counter::ThreadWakes);
        }
        stats
    }

    /// Whether this is a forked child, where nothing may be posted and nothing completes. The first
    /// look ends all operations: what the kernel writes goes to the parent's memory.
    fn is_forked(&mut self) -> bool {
        if self.forked {
            return true;
        }
        let Engine::Ring(ring) = &self.engine else {
            return false;
        };
        if !ring.guard.is_forked() {
            return false;
        }
        self.forked = true;
        self.queue.clear();
        self.declined.clear();
        (self.posted, self.stood_in) = (0, 0);
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
        true
    }

    /// Ends everything: what is queued is cancelled, what is posted is waited for.
    /// Returns how many are still posted when the time is over; they stay in the slab, which must
    /// then be leaked.
    pub(crate) fn shutdown(&mut self, timeout: Duration) -> usize {
        while let Some(key) = self.queue.pop_front() {
            self.complete(key, Outcome::Cancelled(Errno::CANCELED));
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

/// Makes the call in this thread.
///
/// # Safety
///
/// As for [`sys::syscall`].
unsafe fn plain(call: &Call) -> i64 {
    match call {
        // SAFETY: As the caller promises.
        Call::System { nr, args } => unsafe { sys::syscall(*nr, args) },
        Call::Ready(ret) => *ret,
    }
}
