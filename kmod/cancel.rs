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
    slots::Run,
    state::Cancelled, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

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
