// SPDX-License-Identifier: GPL-2.0

//! Ending entries early: by request, and when the context ends.

use crate::{
    abi,
    call::{
        Acct,
        Verdict, //
    },
    context::Context,
    intake::BATCH,
    shared::Counter,
    slots::{
        InFlight,
        Place,
        Run, //
    },
    state::State, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What there was to cancel.
pub(crate) enum Cancelled {
    /// It had not begun, or waited, and is the caller's to finish.
    Taken(Run),
    /// It is being executed; if it can be interrupted, it is.
    Running,
    /// It waits for its turn, will not be begun then, and is left to whose turn it is.
    Later,
    /// There is no such entry in flight.
    None,
}

impl State {
    /// Cancels an entry. What follows it in its chain is left to who ends it.
    pub(crate) fn cancel(&mut self, index: u16, in_flight: &InFlight) -> Cancelled {
        if !mutant!("hand_cancel") {
            self.take_all_back();
        }
        let Some(slot) = self.slots.get_mut(index) else {
            return Cancelled::None;
        };
        match slot.place {
            Place::Nowhere => Cancelled::None,
            // Who executes in the caller does not tell that one is over. Once a thread is interrupted
            // this is no question any more.
            Place::Running | Place::InHand | Place::AtHand if !in_flight.has(index) => {
                Cancelled::None
            }
            Place::InHand => {
                slot.cancelled = true;
                let late = slot.late && !mutant!("late_before");
                if slot.withdraw(index, in_flight) && !late {
                    Cancelled::Later
                } else {
                    Cancelled::Running
                }
            }
            Place::Running | Place::AtHand => {
                slot.cancelled = true;
                self.interrupt(|running| running == index);
                Cancelled::Running
            }
            Place::Linked => {
                // The chain is ended when it is its turn, so that all is complete in order.
                slot.cancelled = true;
                Cancelled::Later
            }
            Place::Queued | Place::Armed if slot.flies() && !mutant!("fly_cancel") => {
                slot.cancelled = true;
                Cancelled::Running
            }
            Place::Queued | Place::Armed => {
                if slot.place == Place::Queued && !self.w.remove(index) {
                    self.t.remove(index);
                }
                match self.slots.take(index, Place::Nowhere) {
                    Some(run) => Cancelled::Taken(run),
                    None => Cancelled::None,
                }
            }
        }
    }

    /// What an entry comes to that its caller had in hand when it was cancelled.
    pub(crate) fn withdrawn(&self, index: u16) -> Verdict {
        let late = self.slots.get(index).is_some_and(|slot| slot.late);
        let errno = if late { ETIME } else { ECANCELED };
        Verdict::Did(i64::from(errno.to_errno()))
    }

    /// Takes an entry that has not begun, or that waits, to cancel it. Entries that wait are
    /// looked for from `from` on.
    pub(crate) fn take_idle(&mut self, from: &mut u16) -> Option<Run> {
        if !mutant!("hand_idle") {
            self.take_all_back();
        }
        let queued = self.w.pop().or_else(|| self.t.pop());
        if let Some(index) = queued.or_else(|| self.landed.pop()) {
            return self.slots.take(index, Place::Nowhere);
        }
        let index = self.slots.next_armed(*from)?;
        *from = index;
        self.slots.take(index, Place::Nowhere)
    }

    /// Marks all entries in flight as cancelled, so that none is queued again and none waits;
    /// returns how many there are. Taking those that are idle, and interrupting the others, is
    /// left to the caller.
    pub(crate) fn cancel_all(&mut self, in_flight: &InFlight) -> u32 {
        self.slots.cancel_all(in_flight)
    }

    /// Interrupts the threads that execute a cancelled entry.
    pub(crate) fn interrupt_cancelled(&self) {
        self.interrupt(|index| self.slots.get(index).is_some_and(|slot| slot.cancelled));
    }

    /// Interrupts the threads that execute one of `which`.
    ///
    /// What a thread executes changes under the same lock, or does not change once its hand is stopped, and it looks
    /// for signals before it begins the next entry, so none but those meant here sees the interruption.
    fn interrupt(&self, which: impl Fn(u16) -> bool) {
        if mutant!("cancel_interrupt") {
            return;
        }
        for thread in self.crew.iter() {
            // SAFETY: The state, which is of the thread's context, can be looked at under its lock only.
            let stopped = unsafe { thread.handle.hand().stop(&which) };
            if stopped || thread.in_call.is_some_and(&which) {
                thread.handle.interrupt();
            }
        }
    }
}

impl Context {
    /// `FLEXSC_IOC_CANCEL`, called in the process.
    pub(crate) fn cancel(self: &Arc<Self>, cancel: &abi::Cancel) -> Result<u32> {
        let all = cancel.flags & abi::CANCEL_ALL != 0;
        let known = cancel.flags & !abi::CANCEL_ALL == 0 && cancel.reserved == [0; 2];
        if !known || (all && cancel.index != 0) {
            return Err(EINVAL);
        }
        if self.is_dead() {
            return Err(ESRCH);
        }
        self.take_posted();
        let result = if all {
            Ok(self.cancel_all())
        } else {
            self.cancel_one(cancel.index)
        };
        // Others may have been taken from the ring above, and have nobody yet.
        self.attend();
        self.make_wanted_thread();
        result
    }

    /// Takes what is posted by now, so that it can be found.
    pub(crate) fn take_posted(&self) {
        // CAST: `BATCH` is small.
        for _ in 0..=self.shared().entries() / BATCH as u32 {
            let mut state = self.state();
            if !state.ring_ready(self.shared()) {
                return;
            }
            state.pull_for_lanes(&self.source());
        }
    }

    /// Cancels all that is in flight; returns how many entries that were.
    fn cancel_all(&self) -> u32 {
        // First: what a lane has, or takes meanwhile, must not go behind `cancel_idle` to wait.
        let count = self.state().cancel_all(self.in_flight());
        self.cancel_idle();
        // Last: what a lane has taken meanwhile may block.
        self.state().interrupt_cancelled();
        count
    }

    fn cancel_one(&self, index: u32) -> Result<u32> {
        let index = u16::try_from(index).map_err(|_| ENOENT)?;
        let found = self.state().cancel(index, self.in_flight());
        match found {
            Cancelled::Taken(run) => {
                self.finish_cancelled(run);
                Ok(0)
            }
            Cancelled::Later => Ok(0),
            Cancelled::Running => Err(EALREADY),
            Cancelled::None => Err(ENOENT),
        }
    }

    /// Cancels what is queued and what waits for a file, and the rest of its chains; returns how
    /// many entries that were.
    pub(crate) fn cancel_idle(&self) -> u32 {
        let (mut count, mut from) = (0, 0);
        // What is posted meanwhile need not be waited for.
        for _ in 0..self.shared().entries() {
            let taken = self.state().take_idle(&mut from);
            let Some(run) = taken else {
                break;
            };
            count += 1 + self.finish_cancelled(run);
        }
        count
    }

    /// Returns how many entries of its chain were cancelled with it.
    fn finish_cancelled(&self, run: Run) -> u32 {
        let mut acct = Acct::default();
        // SAFETY: Nobody else has it.
        if let Some(ret) = unsafe { run.land(&mut acct) } {
            self.add_acct(&acct);
            return self.finish_idle(run, Verdict::Did(ret), Counter::EntriesW);
        }
        let verdict = Verdict::Did(i64::from(ECANCELED.to_errno()));
        self.finish_idle(run, verdict, Counter::Cancelled)
    }

    /// Sees to it that somebody comes for what is queued.
    pub(crate) fn attend(self: &Arc<Self>) {
        let (drain, tell) = {
            let mut state = self.state();
            let tell = state.attend_t(self.shared());
            let drain = if state.has_w() {
                // Not to keep it waiting for as long as a page worker polls.
                self.fired().nudge();
                state.want_drain(self.shared())
            } else {
                None
            };
            (drain, tell)
        };
        if let Some(drain) = drain {
            drain.queue();
        }
        if tell {
            self.wake_waiters();
        }
        self.give_up();
    }

    /// Ends what was queued when a dead context had given up the rest: nobody comes for it, and a file that
    /// it holds may hold this very context. Whoever has queued anything asks afterwards.
    pub(crate) fn give_up(&self) {
        if self.is_dead() && !mutant!("give_up") {
            self.cancel_idle();
        }
    }
}
