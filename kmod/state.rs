// SPDX-License-Identifier: GPL-2.0

//! What a context knows of its entries and of those who run them.
//!
//! All of it is behind one spinlock, [`Context::state`](crate::context::Context), inside which
//! of the module's others only that of the completions is taken. While it is held nothing sleeps, and of the kernel's locks those
//! are taken that a wake-up of a thread and the start of a timer take; see the lock order there.

use crate::{
    abi::NEED_WAKEUP,
    arm::{
        Arm,
        Fired, //
    },
    call::{
        Lane,
        Verdict, //
    },
    clock::{
        self,
        Clock,
        NEVER, //
    },
    crew::Crew,
    drain::Drain,
    fifo::Fifo,
    intake::Open,
    shared::{
        Counter,
        Shared,
        Word, //
    },
    slots::{
        Place,
        Run,
        Slots, //
    },
    thread::SyscallThread, //
};
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::{
        atomic::Full,
        barrier::smp_mb,
        Arc, //
    },
};

/// What somebody who found nothing to do is told.
pub(crate) enum Leave {
    /// Something was posted meanwhile: go on.
    Stay,
    /// Go; if somebody has to look at the ring again, that was arranged.
    Gone,
}

/// The state behind the lock.
///
/// # Invariants
///
/// - `active` is the number of drains and threads that will look at the submission ring before
///   they sleep, not counting page workers that have gone into calls and have not reported back (a
///   drain item is `pending` for those) and blocked threads.
/// - `NEED_WAKEUP` is set in the control page if and only if `active` and `pending` are both 0,
///   so that nobody will look at the ring unless kicked, or `want_thread` is true.
/// - `drains` are the items that are neither queued nor running, and `running` those that run.
pub(crate) struct State {
    pub(crate) slots: Slots,
    pub(crate) w: Fifo,
    pub(crate) t: Fifo,
    /// What devices are done with.
    pub(crate) landed: Fifo,
    /// How far the ring has been taken.
    pub(crate) sub_head: u32,
    /// The end of the chain that is being taken.
    pub(crate) open: Option<Open>,
    active: u32,
    pending: u32,
    drains: KVVec<Arc<Drain>>,
    pub(crate) running: KVVec<Arc<Drain>>,
    pub(crate) crew: Crew,
    /// Whether the minder is queued or running.
    minding: bool,
    /// Every thread is blocked and entries wait for one: the next ioctl makes another.
    want_thread: bool,
    /// The context is torn down: nothing is taken or queued any more.
    pub(crate) dissolved: bool,
    pub(crate) clock: Option<Clock>,
    /// What the clock is set to.
    pub(crate) alarm: i64,
}

/// What a context that is being torn down gives up. Only dropped: the references to the context
/// go with it.
pub(crate) struct Remains {
    _drains: KVVec<Arc<Drain>>,
    _clock: Option<Clock>,
}

impl State {
    /// The state of a context with `entries` entries and room for that many drain items and
    /// threads.
    pub(crate) fn new(entries: usize, drains: usize, threads: usize) -> Result<Self> {
        Ok(Self {
            slots: Slots::new(entries)?,
            w: Fifo::new(entries)?,
            t: Fifo::new(entries)?,
            landed: Fifo::new(entries)?,
            sub_head: 0,
            open: None,
            active: 0,
            pending: 0,
            drains: KVVec::with_capacity(drains, GFP_KERNEL_ACCOUNT)?,
            running: KVVec::with_capacity(drains, GFP_KERNEL_ACCOUNT)?,
            crew: Crew::new(threads)?,
            minding: false,
            want_thread: false,
            dissolved: false,
            clock: None,
            alarm: NEVER,
        })
    }

    /// Whether entries wait for a page worker.
    pub(crate) fn has_w(&self) -> bool {
        !self.w.is_empty() || !self.landed.is_empty()
    }

    /// Whether entries wait for a system call thread.
    pub(crate) fn has_t(&self) -> bool {
        !self.t.is_empty()
    }

    /// Whether a system call thread is at work and will look at the ring again.
    pub(crate) fn thread_active(&self) -> bool {
        self.crew
            .iter()
            .any(|thread| !thread.idle && !thread.blocked)
    }

    /// Whether anybody but one looks at the ring.
    pub(crate) fn others_active(&self) -> bool {
        self.active > 1
    }

    /// Whether somebody will look at the ring without being kicked.
    pub(crate) fn attended(&self) -> bool {
        self.active > 0 || self.pending > 0
    }

    fn push_w(&mut self, index: u16) {
        self.w.push(index);
        self.slots.place(index, Place::Queued);
    }

    fn push_t(&mut self, index: u16) {
        self.t.push(index);
        self.slots.place(index, Place::Queued);
    }

    fn push_landed(&mut self, index: u16) {
        self.landed.push(index);
        self.slots.place(index, Place::Queued);
    }

    /// Queues an entry for a lane.
    pub(crate) fn push(&mut self, index: u16, lane: Lane) {
        match lane {
            Lane::W => self.push_w(index),
            Lane::T => self.push_t(index),
        }
    }

    /// A lane gives an entry back. Returns what has to be published if it is over; otherwise what
    /// `run` held is the slot's again, and the entry was queued, for lane T to begin it anew, or
    /// waits for its file, unless that is `ready`.
    ///
    /// Whoever was told to end, or of a context that is `dead`, gets `errno` instead.
    #[inline]
    pub(crate) fn end(
        &mut self,
        run: &mut Run,
        verdict: Verdict,
        ready: bool,
        dead: bool,
        errno: Error,
    ) -> Option<Verdict> {
        if verdict.is_final() {
            self.slots.place(run.index, Place::Nowhere);
            return Some(verdict);
        }
        self.suspend(run, verdict, ready, dead, errno)
    }

    fn suspend(
        &mut self,
        run: &mut Run,
        verdict: Verdict,
        ready: bool,
        dead: bool,
        errno: Error,
    ) -> Option<Verdict> {
        let index = run.index;
        if let (Verdict::Fly, Some(arm)) = (&verdict, &run.held) {
            // Whatever is wanted of it: the device has the memory until it has landed.
            let landed = arm.publish();
            if let Some(slot) = self.slots.get_mut(index) {
                slot.give_back(run);
            }
            if landed {
                self.push_landed(index);
            }
            return None;
        }
        let errno = match verdict {
            Verdict::Wait(_) | Verdict::Sleep(_) => ECANCELED,
            _ => errno,
        };
        let cancelled =
            self.slots.get(index).is_none_or(|slot| slot.cancelled) && !mutant!("cancel_restart");
        if cancelled || dead || self.dissolved {
            let late = self.slots.get(index).is_some_and(|slot| slot.late);
            let errno = if late { ETIME } else { errno };
            self.slots.place(index, Place::Nowhere);
            return Some(Verdict::Did(i64::from(errno.to_errno())));
        }
        if let Verdict::Sleep(span) = verdict {
            let wake = clock::after(span);
            if let Some(slot) = self.slots.get_mut(index) {
                slot.wake = wake;
                slot.give_back(run);
            }
            self.set_alarm(wake);
            return None;
        }
        let lane = match (&verdict, &run.held) {
            (Verdict::Wait(_), Some(arm)) if ready || arm.publish() => Some(arm.lane()),
            (Verdict::Wait(_), Some(_)) => None,
            _ => Some(Lane::T),
        };
        if let Some(slot) = self.slots.get_mut(index) {
            slot.give_back(run);
        }
        if let Some(lane) = lane {
            self.push(index, lane);
        }
        None
    }

    /// Queues the entries whose files are ready.
    #[inline(always)]
    pub(crate) fn take_fired(&mut self, fired: &Fired) {
        if fired.any() {
            self.queue_fired(fired);
        }
    }

    #[cold]
    fn queue_fired(&mut self, fired: &Fired) {
        fired.take(|index| {
            let Some(slot) = self.slots.get(index) else {
                return;
            };
            let Some(arm) = &slot.held else {
                return;
            };
            // The mark may be that of an entry that was cancelled meanwhile.
            if slot.place == Place::Armed && arm.has_fired() {
                let lane = arm.lane();
                if arm.flies() {
                    self.push_landed(index);
                } else {
                    self.push(index, lane);
                }
            }
        });
    }

    /// Takes an entry that a device is done with, and that who takes it can end without waiting.
    pub(crate) fn take_quick(&mut self) -> Option<Run> {
        let slots = &self.slots;
        let quick = |index| {
            let slot = slots.get(index);
            slot.is_some_and(|slot| slot.held.as_ref().is_some_and(Arm::is_quick))
        };
        let index = self.landed.pop_if(quick)?;
        self.slots.take(index, Place::Running)
    }

    /// Takes a queued entry for a page worker, into `run`, which holds nothing. False if there is none.
    pub(crate) fn begin_w(&mut self, run: &mut Run) -> bool {
        let index = self.w.pop().or_else(|| self.landed.pop());
        index.is_some_and(|index| self.slots.take_into(index, Place::Running, run))
    }

    /// A page worker is from now on inside a call.
    ///
    /// The drain item, if any, has to be queued by the caller: it goes on if the call sleeps.
    /// When all items are inside calls there is none, and the page workers go on as they
    /// return.
    #[inline(always)]
    pub(crate) fn enter_w(&mut self) -> Option<Arc<Drain>> {
        self.active -= 1;
        self.take_drain()
    }

    /// Whether a drain item is queued, which runs when those that do sleep.
    #[inline(always)]
    pub(crate) fn has_successor(&self) -> bool {
        self.pending > 0
    }

    /// A drain item to queue, unless one is queued already.
    #[inline(always)]
    fn take_drain(&mut self) -> Option<Arc<Drain>> {
        if self.pending > 0 {
            return None;
        }
        let drain = self.drains.pop()?;
        self.pending = 1;
        Some(drain)
    }

    /// A page worker is back from its call.
    pub(crate) fn end_w(&mut self) {
        self.active += 1;
    }

    /// Takes an entry for the system call thread number `id`.
    pub(crate) fn begin_t(&mut self, id: u64) -> Option<Run> {
        let index = self.t.pop()?;
        let run = self.slots.take(index, Place::Running)?;
        if let Some(thread) = self.crew.get_mut(id) {
            thread.in_call = Some(index);
            thread.begun = thread.begun.wrapping_add(1);
        }
        Some(run)
    }

    /// The system call thread number `id` is back from its call.
    pub(crate) fn end_t(&mut self, id: u64, shared: &Shared) {
        if let Some(thread) = self.crew.get_mut(id) {
            thread.in_call = None;
            if thread.blocked {
                thread.blocked = false;
                self.enter(shared);
            }
        }
    }

    /// Adds a drain item that is neither queued nor running.
    pub(crate) fn add_drain(&mut self, drain: Arc<Drain>) -> Result {
        self.drains.push_within_capacity(drain).map_err(|_| EAGAIN)
    }

    /// Adds the system call thread number `id`.
    pub(crate) fn add_thread(
        &mut self,
        id: u64,
        handle: Arc<SyscallThread>,
        shared: &Shared,
    ) -> Result {
        if self.dissolved {
            return Err(EAGAIN);
        }
        let idle_until = self.crew.add(id, handle)?;
        self.set_alarm(idle_until);
        self.want_thread = false;
        self.publish(shared);
        Ok(())
    }

    /// Whether the thread number `id` is to go on by itself: there is something for it.
    pub(crate) fn thread_wanted(&self, id: u64) -> bool {
        self.crew
            .get(id)
            .is_some_and(|thread| !thread.idle || self.has_t())
    }

    /// Sees to it that somebody comes for what waits in lane T: a thread at work, one that is
    /// woken, or else one that the next ioctl makes. A woken thread counts as active at once,
    /// so that the ring is looked after until it runs.
    ///
    /// Returns whether waiters have to be told that a thread is wanted.
    #[inline(always)]
    pub(crate) fn attend_t(&mut self, shared: &Shared) -> bool {
        self.has_t() && self.rouse_thread(shared)
    }

    fn rouse_thread(&mut self, shared: &Shared) -> bool {
        if self.thread_active() {
            return false;
        }
        if let Some(thread) = self.crew.idler() {
            thread.rouse();
            thread.handle.wake();
            shared.count(Counter::ThreadWakes, 1);
            self.enter(shared);
            return false;
        }
        let news = !self.want_thread && !self.crew.is_full();
        self.want_thread |= news;
        self.publish(shared);
        news
    }

    /// Whether the next ioctl has to make a thread.
    pub(crate) fn wants_thread(&self) -> bool {
        self.want_thread
    }

    /// Whether the minder has to be queued; asked by a thread that begins an entry.
    pub(crate) fn start_minding(&mut self) -> bool {
        !core::mem::replace(&mut self.minding, true)
    }

    /// The minder ends.
    pub(crate) fn stop_minding(&mut self) {
        self.minding = false;
    }

    /// Nothing is taken or queued from now on, and no thread is added. The threads that there
    /// are the reaper ends.
    pub(crate) fn dissolve(&mut self) -> Remains {
        self.dissolved = true;
        Remains {
            _drains: core::mem::take(&mut self.drains),
            _clock: self.clock.take(),
        }
    }

    /// Whether the context is torn down.
    pub(crate) fn is_dissolved(&self) -> bool {
        self.dissolved
    }

    /// The thread number `id` starts to work, unless it was counted when it was woken.
    pub(crate) fn start_thread(&mut self, id: u64, shared: &Shared) {
        if let Some(thread) = self.crew.get_mut(id) {
            if thread.idle {
                thread.rouse();
                self.enter(shared);
            }
        }
    }

    /// The thread number `id` would sleep.
    pub(crate) fn stop_thread(&mut self, id: u64, shared: &Shared) -> Leave {
        if !self.t.is_empty() {
            return Leave::Stay;
        }
        let leave = self.leave(shared);
        if let (Leave::Gone, Some(thread)) = (&leave, self.crew.get_mut(id)) {
            let idle_until = thread.rest();
            self.set_alarm(idle_until);
        }
        leave
    }

    /// The minder's look: threads that have been in one call for a whole tick no longer count.
    /// Returns whether any thread is at work, and a drain item that has to be queued.
    pub(crate) fn mind(&mut self, shared: &Shared) -> (bool, Option<Arc<Drain>>) {
        let mut busy = false;
        let mut newly_blocked = 0;
        for thread in self.crew.iter_mut() {
            let progress = thread.progress().filter(|_| !thread.blocked);
            let Some(progress) = progress else {
                busy |= !thread.idle && !thread.blocked;
                continue;
            };
            if progress == thread.seen && !mutant!("minder") {
                thread.blocked = true;
                newly_blocked += 1;
            }
            thread.seen = progress;
            busy |= !thread.blocked;
        }
        if newly_blocked > 0 && !mutant!("hand_blocked") {
            self.take_back(|thread| thread.blocked);
        }
        self.active -= newly_blocked;
        (busy, self.settle(shared))
    }

    /// A drain item that the caller has to queue because somebody has to look at the ring;
    /// `None` if one is queued already, or all are inside calls.
    pub(crate) fn want_drain(&mut self, shared: &Shared) -> Option<Arc<Drain>> {
        let drain = self.take_drain()?;
        self.publish(shared);
        Some(drain)
    }

    /// A drain item starts to run.
    pub(crate) fn start_drain(&mut self, shared: &Shared) {
        self.pending = 0;
        self.enter(shared);
    }

    /// A drain item has run for its quantum and ends. True if it has to be queued again, because
    /// no other is that would go on.
    pub(crate) fn make_way(&mut self) -> bool {
        self.active -= 1;
        core::mem::replace(&mut self.pending, 1) == 0
    }

    /// A drain item has run. Given back when the context no longer keeps any.
    pub(crate) fn put_drain(&mut self, drain: Arc<Drain>) -> Option<Arc<Drain>> {
        self.drains
            .push_within_capacity(drain)
            .err()
            .map(|full| full.0)
    }

    /// Writes `NEED_WAKEUP` as the invariant has it.
    fn publish(&self, shared: &Shared) {
        let unattended = self.active == 0 && self.pending == 0;
        let need = unattended || self.want_thread;
        shared.store(Word::Wakeup, if need { NEED_WAKEUP } else { 0 });
    }

    /// Somebody starts to look at the ring.
    fn enter(&mut self, shared: &Shared) {
        self.active += 1;
        if self.active == 1 {
            self.publish(shared);
        }
    }

    /// Somebody has found nothing to do.
    pub(crate) fn leave(&mut self, shared: &Shared) -> Leave {
        self.active -= 1;
        if self.active > 0 || self.pending > 0 {
            return Leave::Gone;
        }
        self.publish(shared);
        // Pairs with the full barrier between publishing sub_tail and reading wakeup in the
        // application: either it sees NEED_WAKEUP, or its entry is seen here.
        smp_mb(Full);
        if self.ring_ready(shared) {
            self.enter(shared);
            return Leave::Stay;
        }
        shared.count(Counter::IdleSleeps, 1);
        shared.observer().slept();
        Leave::Gone
    }

    /// Restores the invariant after `active` went down without a look at the ring. If nobody
    /// is left although something waits, the drain item returned has to be queued.
    fn settle(&mut self, shared: &Shared) -> Option<Arc<Drain>> {
        if self.active > 0 || self.pending > 0 {
            return None;
        }
        self.publish(shared);
        smp_mb(Full);
        if self.ring_ready(shared) || self.has_w() {
            return self.want_drain(shared);
        }
        None
    }
}
