// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a context does, behind its cell: post, queue, reap, wait.
//!
//! No user code runs in here, but for buffers that say where they are ([`IoBuf`](crate::IoBuf)): wakers
//! that are to be woken or dropped, and the destructors of operations, are put aside, and
//! [`Context`](crate::Context) runs them when the cell is free again; it clones wakers before.

#![allow(unsafe_code)]

mod bare;
mod batches;
mod chains;
mod credit;
mod ending;
mod hand_back;
mod lost;
mod reap;
mod watch;

use core::time::Duration;
use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    task::Waker,
    time::Instant,
};

use crate::{
    Errno, SharedFd,
    backend::{Bell, Cancel, Engine, Ring, plain},
    erased::RawOp,
    op::{Access, Call, Operation, Role},
    page::{Completion, Counter, Event, Terms},
    slab::{Outcome, Owner, Place, Slab, Slot, State},
    stats::Stats,
    sys,
};

use bare::BareCalls;
use batches::BatchList;
use chains::Chains;
use credit::Credit;

pub(crate) use watch::Told;

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
    /// Others sleep in this thread's stead, and are to be told when there is something to post.
    armed: bool,
    /// How many have completed, or told of something, since it was last armed.
    news: usize,
    /// Operations for which no entry was free, first in, first out.
    queue: VecDeque<u32>,
    /// Chains of which something is not over.
    chains: Chains,
    /// Operations in the page.
    posted: usize,
    /// Operations that are not over.
    alive: usize,
    batches: Vec<BatchList>,
    bare: BareCalls,
    credit: Credit,
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
    /// Wakers that nobody is to be woken by any more.
    pub(crate) forgotten: Vec<Waker>,
}

impl Deferred {
    pub(crate) fn is_empty(&self) -> bool {
        self.wakers.is_empty() && self.orphans.is_empty() && self.forgotten.is_empty()
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

impl Poster {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            slab: Slab::new(),
            engine,
            stand_in: None,
            stood_in: 0,
            declined: VecDeque::new(),
            bell: None,
            armed: false,
            news: 0,
            queue: VecDeque::new(),
            chains: Chains::default(),
            posted: 0,
            alive: 0,
            batches: Vec::new(),
            bare: BareCalls::default(),
            credit: Credit::default(),
            deferred: Deferred::default(),
            stats: Stats::default(),
            forked: false,
        }
    }

    /// Makes a plain call and returns what it did; none if there is none to be made, or not at once.
    #[inline]
    pub(crate) fn make(&mut self, op: &mut impl Operation) -> Option<i64> {
        let Engine::Direct = self.engine else {
            return None;
        };
        let ret = self.plain_alone(&op.call(Access::new()))?;
        self.stats.submitted += 1;
        self.news += 1;
        Some(ret)
    }

    /// Makes a call that has nothing to do with a chain.
    fn plain_alone(&mut self, call: &Call) -> Option<i64> {
        match call {
            Call::System {
                nr,
                args,
                role: Role::Plain,
                limit,
            } => {
                self.stats.entries_c += 1;
                // SAFETY: The operation made the call's arguments of what it owns, and stays where
                // it is and untouched until the call has returned.
                Some(unsafe { plain(*nr, args, *limit) })
            }
            Call::System { .. } => None,
            Call::Ready(ret) => Some(*ret),
        }
    }

    /// Gives an operation a slot, its output to be taken from there, and posts it, for which there must be
    /// credit, if it needs nothing but an entry. If not, `false`: [`Self::start_new`] is to be called.
    #[inline]
    pub(crate) fn post_new<O: Operation>(
        &mut self,
        op: O,
        owner: Owner,
        for_future: bool,
    ) -> (u32, bool) {
        let (key, slot) = self.slab.occupy(owner, for_future);
        let op = slot.op.put(op);
        let Engine::Ring(ring) = &mut self.engine else {
            return (key, false);
        };
        if ring.guard.is_forked() {
            return (key, false);
        }
        let Call::System {
            nr,
            args,
            role: Role::Plain,
            limit: None,
        } = op.call(Access::new())
        else {
            return (key, false);
        };
        let file = match ring.asks_for_positions(nr) {
            true => op.file(Access::new()),
            false => None,
        };
        let (terms, seeks) = (Terms::default(), file.map(SharedFd::is_seekable));
        // SAFETY: The arguments point into what the slot owns, at an address that stays. From here until the completion
        // was reaped the slot is Posted, and no method touches the operation.
        let Some(index) = (unsafe { ring.push(nr, &args, terms, key, seeks) }) else {
            return (key, false);
        };
        slot.state = State::Posted;
        slot.place = Place::Page(index);
        if self.credit.spend() {
            self.publish();
        }
        (key, true)
    }

    /// Gives an operation to the backend that has a slot, and was not counted yet.
    #[inline(never)]
    pub(crate) fn start_new(&mut self, key: u32) {
        let slot = self.slab.get_mut(key);
        (slot.state, slot.place) = (State::Queued, Place::Slab);
        self.count_in();
        // In a forked child it may be over.
        if matches!(self.slab.get(key).state, State::Queued) {
            self.start(key);
        }
    }

    /// Gives an operation to the backend, its output to be taken from a slot.
    pub(crate) fn insert(&mut self, op: RawOp, owner: Owner, for_future: bool) -> u32 {
        let key = self.add(op, owner, for_future);
        self.start(key);
        key
    }

    /// Gives an operation a slot.
    fn add(&mut self, op: RawOp, owner: Owner, for_future: bool) -> u32 {
        self.count_in();
        self.slab.insert(op, owner, for_future)
    }

    /// Counts an operation.
    fn count_in(&mut self) {
        self.stats.submitted += 1;
        self.alive += 1;
        // Ends those before it, if it has to end at once as well.
        self.is_forked();
        if core::mem::take(&mut self.armed) {
            self.bell().ring();
        }
    }

    /// Posts an operation, or puts it into the queue.
    fn start(&mut self, key: u32) {
        if self.is_forked() {
            self.complete(key, Outcome::Cancelled(Errno::FORKED));
        } else if self.queue.is_empty() && self.post(key) {
            if let Engine::Ring(ring) = &mut self.engine {
                ring.flush_at(PUBLISH_EACH);
            }
        } else {
            self.enqueue(key);
        }
    }

    fn enqueue(&mut self, key: u32) {
        self.stats.queued += 1;
        self.slab.get_mut(key).place = Place::Queue;
        self.queue.push_back(key);
    }

    /// Posts an operation, or the chain that begins with it; `false` if no entry is free.
    fn post(&mut self, key: u32) -> bool {
        if let Engine::Ring(ring) = &self.engine {
            if ring.submitter.free() == 0 && !ring.is_lost() {
                return false;
            }
        }
        match self.slab.get(key).chain {
            Some(number) if !self.chains.is_begun(number) => self.post_chain(number),
            Some(number) => {
                let posted = self.post_one(key);
                self.go_on(number);
                posted
            }
            None => self.post_one(key),
        }
    }

    /// Puts an operation into the page, its turn having come; makes its call where there is none.
    /// `false` if no entry is free.
    fn post_one(&mut self, key: u32) -> bool {
        let Some(call) = self.call(key) else {
            return true;
        };
        let slot = self.slab.get_mut(key);
        let (nr, args, limit) = match call {
            Call::System {
                role: Role::Opens | Role::OnFile,
                ..
            } if slot.chain.is_none() => {
                let number = self.chains.add([key].into());
                self.slab.get_mut(key).chain = Some(number);
                return self.post_chain(number);
            }
            Call::System {
                nr, args, limit, ..
            } => (nr, args, limit),
            Call::Ready(ret) => {
                self.over(key, Outcome::Returned(ret));
                return true;
            }
        };
        if limit.is_some_and(|limit| limit.is_zero()) {
            self.over(key, Outcome::Cancelled(Errno::ETIME));
            return true;
        }
        let Engine::Ring(ring) = &mut self.engine else {
            self.stats.entries_c += 1;
            // SAFETY: The arguments point into what the operation owns, and no method touches it
            // until the call has returned.
            let ret = unsafe { plain(nr, &args, limit) };
            self.over(key, Outcome::Returned(ret));
            return true;
        };
        if ring.is_lost() {
            self.decline(key);
            return true;
        }
        if limit.is_some() && !ring.has(sys::FEAT_TIMEOUT) {
            self.over(key, Outcome::Cancelled(Errno::EOPNOTSUPP));
            return true;
        }
        let mut terms = terms(limit, 0);
        if let Some(events) = &mut slot.watch {
            events.goes_on = ring.has(sys::FEAT_MULTI);
            if events.goes_on {
                terms.flags |= sys::ENTRY_MULTI;
            }
        }
        let seeks = seeks(ring, slot, nr);
        // SAFETY: The arguments point into what the operation owns. From here until the completion
        // was reaped the slot is Posted, and no method touches the operation.
        let Some(index) = (unsafe { ring.push(nr, &args, terms, key, seeks) }) else {
            return false;
        };
        slot.state = State::Posted;
        slot.place = Place::Page(index);
        self.posted += 1;
        true
    }

    /// What is to be called for an operation that is not posted; in a chain whose steps this process
    /// makes one by one, with the number of its file.
    fn call(&mut self, key: u32) -> Option<Call> {
        let slot = self.slab.get_mut(key);
        let chain = slot.chain;
        // SAFETY: The operation is new, was queued or declined: nobody executes its call.
        let mut call = unsafe { slot.op.call() }?;
        if let (Some(number), Call::System { args, role, .. }) = (chain, &mut call) {
            if *role == Role::OnFile {
                args[0] = self.chains.file(number);
            }
        }
        Some(call)
    }

    /// Ends an operation, of a chain perhaps.
    fn over(&mut self, key: u32, outcome: Outcome) {
        match self.slab.get(key).chain {
            Some(number) => self.step_over(number, key, outcome),
            None => self.complete(key, outcome),
        }
    }

    /// Ends an operation. Nobody is executing its call any more.
    fn complete(&mut self, key: u32, outcome: Outcome) {
        self.alive -= 1;
        self.news += 1;
        let slot = self.slab.get_mut(key);
        slot.state = State::Done(outcome);
        if let Some(waker) = slot.waker.take() {
            self.deferred.wakers.push(waker);
        }
        match slot.owner {
            Owner::Key => {}
            Owner::Orphan | Owner::Detached => {
                self.deferred.orphans.extend(self.slab.remove(key));
            }
            Owner::Batch(number) => self.list(number, key),
        }
    }

    /// Posts what was queued, as far as entries are free.
    fn pump(&mut self) {
        while let Some(&key) = self.queue.front() {
            if !self.is_wanted(key) {
                self.end_queued(key, Errno::CANCELED);
            } else if !self.post(key) {
                break;
            }
            // One that is over was taken out.
            if self.queue.front() == Some(&key) {
                self.queue.pop_front();
            }
        }
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

    /// As [`Self::flush`], before a wait that does the rest of it.
    fn prepare(&mut self) {
        if self.is_forked() {
            return;
        }
        if let Engine::Ring(ring) = &mut self.engine {
            ring.prepare();
        }
    }

    /// The bell that ends a wait for futures.
    pub(crate) fn bell(&mut self) -> &Arc<Bell> {
        let engine = &self.engine;
        self.bell.get_or_insert_with(|| match engine {
            Engine::Direct => Arc::new(Bell::new(Arc::new(Event::new()), None)),
            Engine::Ring(ring) => ring.bell(),
        })
    }

    /// The files of the engine and of the bell that are readable when there is something to do here.
    pub(crate) fn lend(&mut self) -> crate::Result<(Option<RawFd>, RawFd)> {
        if self.is_forked() {
            return Err(Errno::FORKED);
        }
        let bell = self.bell().clone();
        let lent = bell.lend().map_err(|error| Errno::of(&error))?;
        let engine = match &mut self.engine {
            Engine::Ring(ring) => ring.lend(&bell),
            Engine::Direct => None,
        };
        Ok((engine, lent.as_raw_fd()))
    }

    /// Posts, takes what has completed, and if nothing has, sees to it that the [lent](Self::lend)
    /// files tell of what comes. Returns how much has completed since the last time, and how long one
    /// may sleep.
    pub(crate) fn arm(&mut self) -> (usize, Option<Duration>) {
        self.armed = false;
        let bell = self.bell().clone();
        bell.disarm();
        self.flush();
        self.reap();
        self.flush();
        let count = core::mem::take(&mut self.news);
        let patience = match &mut self.engine {
            Engine::Ring(ring) if !self.forked => ring.patience(),
            _ => None,
        };
        self.armed = count == 0 && bell.arm();
        let time = if self.armed {
            patience
        } else {
            Some(Duration::ZERO)
        };
        (count, time)
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
        self.prepare();
        let mut count = self.reap_to_wait();
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
                let more = self.reap_to_wait();
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
            // With operations that wait for their turn it takes only one to go on, and perhaps one of
            // them to end the others; but while completions come in, some at a time are cheaper.
            let (want, hope) = match self.alive == self.posted {
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
            count += self.reap_to_wait();
        }
        self.flush();
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
    #[inline]
    pub(crate) fn take(&mut self, key: u32) -> Option<(RawOp, Outcome)> {
        self.slab.remove(key)
    }

    /// Whether this is who will be woken when the operation is over.
    pub(crate) fn wakes(&self, key: u32, waker: &Waker) -> bool {
        let known = self.slab.get(key).waker.as_ref();
        known.is_some_and(|known| known.will_wake(waker))
    }

    /// Whom to wake when the operation is over, or has something to tell. `false` if that is so.
    #[must_use]
    pub(crate) fn set_waker(&mut self, key: u32, waker: Waker) -> bool {
        let slot = self.slab.get_mut(key);
        let told = slot.watch.is_some_and(|events| events.seen != 0);
        if told || matches!(slot.state, State::Done(_)) {
            self.deferred.forgotten.push(waker);
            return false;
        }
        self.deferred.forgotten.extend(slot.waker.replace(waker));
        true
    }

    /// Nobody wants the output any more. One that is queued is dropped when
    /// its turn comes.
    pub(crate) fn abandon(&mut self, key: u32) {
        self.give_up(key, Owner::Orphan);
    }

    /// Nobody wants the output any more, but the operation executed.
    pub(crate) fn detach(&mut self, key: u32) {
        self.give_up(key, Owner::Detached);
    }

    fn give_up(&mut self, key: u32, owner: Owner) {
        let slot = self.slab.get_mut(key);
        slot.owner = owner;
        self.deferred.forgotten.extend(slot.waker.take());
        match slot.state {
            State::Done(outcome) => {
                self.alive += 1;
                self.complete(key, outcome);
            }
            // It would never end.
            _ if slot.watch.is_some() => {
                self.cancel(key);
            }
            _ => {}
        }
    }

    /// Operations that are not over.
    pub(crate) fn outstanding(&self) -> usize {
        self.alive
    }

    /// Slots that were ever in use at a time.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        self.slab.keys().len()
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
            ring.join();
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.stats;
        stats.submitted += self.uncounted() as u64;
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
}

/// Whether the file of an operation has positions, where the other side asks and its owner knows.
fn seeks(ring: &Ring, slot: &Slot, nr: u16) -> Option<bool> {
    if !ring.asks_for_positions(nr) {
        return None;
    }
    // SAFETY: The operation is about to be posted: nobody executes its call.
    let file = unsafe { slot.op.file() }?;
    Some(file.is_seekable())
}

/// How an entry with this limit and these flags is to be executed.
fn terms(limit: Option<Duration>, flags: u16) -> Terms {
    match limit {
        None => Terms { flags, span: 0 },
        Some(limit) => Terms {
            flags: flags | sys::ENTRY_TIMEOUT,
            span: i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX),
        },
    }
}
