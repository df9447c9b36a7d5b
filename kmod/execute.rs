// SPDX-License-Identifier: GPL-2.0

//! Executing an entry: what is looked at before its handler runs, and what comes of its verdict.
//!
//! Most entries are plain ([`Run::is_plain`]): nothing is to be seen to but the call, and its result goes to the
//! application at once. They take a short way, of which each instruction is paid for by every entry.

use crate::{
    abi,
    arm::Arm,
    call::{
        self,
        Acct,
        Call,
        Frame,
        Verdict, //
    },
    context::Context,
    helpers::RawArm,
    policy,
    slots::Run, //
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::Arc,
    task::Task, //
};

/// Results that mean "interrupted before any effect": never shown to an application.
const RESTART: core::ops::RangeInclusive<i64> = -516..=-512;

/// Where entries are executed, and for whom, and the frame for their handlers.
pub(crate) struct Site<'a> {
    pub(crate) owner: &'a Task,
    /// Who else would have wanted to see the call; see [`policy::watched`].
    pub(crate) watched: u32,
    /// `FRAME_FLY` if a device may get plain entries while others are executed.
    fly: u32,
    /// `FRAME_PROMPT` if that is known of the first file of the next entry.
    known: u32,
    /// In which all but what is an entry's own stays from one to the next.
    frame: Frame,
}

impl<'a> Site<'a> {
    /// A site in `lane` (`LANE_W`, `LANE_T` or `LANE_C`), where `gate` are the security modules that mediate the
    /// owner.
    #[inline]
    pub(crate) fn new(lane: u32, owner: &'a Task, gate: u32) -> Self {
        let mut frame = Frame::none();
        (frame.lane, frame.owner, frame.gate) = (lane, owner.as_ptr(), gate);
        Self {
            owner,
            watched: 0,
            fly: call::FRAME_FLY,
            known: 0,
            frame,
        }
    }

    /// The entry is the only one, and who executes it is going to wait for it: a device that told of its end would have
    /// two others woken for that.
    pub(crate) fn waits(mut self, alone: bool) -> Self {
        if alone {
            self.fly = 0;
        }
        self
    }

    /// The same in lane W, where `thread` has the process's fd table.
    #[inline]
    pub(crate) fn in_worker(owner: &'a Task, gate: u32, thread: &Task) -> Self {
        let mut site = Self::new(abi::LANE_W, owner, gate);
        site.frame.thread = thread.as_ptr();
        site
    }

    /// What is said of the owner for the next entry, and where to account for that in lane W.
    #[inline(always)]
    pub(crate) fn set(&mut self, watched: u32, acct: *mut Acct) {
        (self.watched, self.frame.acct) = (watched, acct);
    }

    /// The next entry has the first file of the one that was just executed.
    #[inline(always)]
    pub(crate) fn same_file(&mut self) {
        self.known = self.frame.flags & call::FRAME_PROMPT;
    }

    /// Nothing is known of the next entry's file.
    pub(crate) fn other_file(&mut self) {
        self.known = 0;
    }

    /// The frame for an entry.
    #[inline(always)]
    fn frame(&mut self, run: &Run) -> &mut Frame {
        self.frame.renew(&run.posted.args, run.taken.as_ptrs());
        &mut self.frame
    }
}

impl Run {
    /// Whether nothing is to be seen to but the call, which there is: no flag says more, it ends no chain that has a file, and
    /// had not waited when it was taken.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether a device may get it, and who executes it need not wait.
    #[cold]
    pub(crate) fn may_fly(&self) -> bool {
        let transfers = self.call.is_some_and(Call::transfers_at);
        transfers && self.is_plain() && self.taken.is_direct()
    }

    /// What it returns, if a device had it and is done; see [`Arm::land`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(crate) unsafe fn land(&self, acct: *mut Acct) -> Option<i64> {
        let arm = self.held.as_ref()?;
        // SAFETY: As the caller promises.
        unsafe { arm.land(acct) }
    }

    /// Whether its flags go together, and with its call.
    fn is_fit(&self) -> bool {
        let flags = self.posted.flags;
        let alone = abi::ENTRY_MULTI | abi::ENTRY_TIMEOUT;
        let known = flags & !abi::ENTRY_FLAGS == 0 || mutant!("flags");
        let goes_on =
            !self.posted.is_multi() || self.posted.nr == abi::NR_POLL && flags & !alone == 0;
        known && goes_on && self.call.is_none_or(|call| self.suits(call))
    }

    /// Puts into the frame of `call` what the entry's flags ask for, and what it has when it has waited.
    ///
    /// `EBADF` if it wants the chain's file and there is none.
    fn equip(&mut self, call: &Call, frame: &mut Frame) -> Result {
        self.lend(call, frame)?;
        let multi = self.posted.is_multi();
        if multi {
            frame.flags |= call::FRAME_MULTI;
        }
        let Some(arm) = &mut self.held else {
            return Ok(());
        };
        if !multi {
            arm.clear();
        }
        frame.file = arm.file();
        frame.done = arm.done;
        frame.note = arm.note;
        if arm.must_block() && frame.lane == abi::LANE_T {
            frame.flags |= call::FRAME_BLOCK;
        }
        Ok(())
    }
}

impl Context {
    /// Runs the handler of a posted call: `Ok` with its result if it was executed and nothing more is to be seen
    /// to (see [`Run::is_plain`]).
    ///
    /// # Safety
    ///
    /// What `call.h` says of the lane must be in force, and what `site` has must be as it says for that lane.
    #[inline(always)]
    pub(crate) unsafe fn execute(
        self: &Arc<Self>,
        run: &mut Run,
        site: &mut Site<'_>,
    ) -> Result<i64, Verdict> {
        let watched = site.watched;
        let flags = site.fly | site.known;
        if !mutant!("lead_known") {
            site.known = 0;
        }
        let frame = site.frame(run);
        let call = match run.call {
            Some(call) if run.is_plain() && !mutant!("refetch") => call,
            // SAFETY: The caller promises all of it.
            _ => return Err(unsafe { self.execute_special(run, watched, frame) }),
        };
        if let Some(verdict) = policy::judge(self.restriction(), watched, run.posted.nr) {
            return Err(verdict);
        }
        frame.flags = flags;
        // SAFETY: The caller promises what is in force; the owner is a task that it holds.
        match unsafe { call.run(frame) } {
            Verdict::Did(ret) if !RESTART.contains(&ret) => Ok(ret),
            // SAFETY: The handler has left the frame so, with that verdict.
            verdict => Err(unsafe { self.after(run, frame, verdict) }),
        }
    }

    /// The same for an entry with flags, or one that has waited: for all of which `is_plain` is false.
    ///
    /// # Safety
    ///
    /// As for [`Context::execute`], with what it has put into `frame`.
    #[cold]
    unsafe fn execute_special(
        self: &Arc<Self>,
        run: &mut Run,
        watched: u32,
        frame: &mut Frame,
    ) -> Verdict {
        if !run.is_fit() {
            return Verdict::Did(i64::from(EINVAL.to_errno()));
        }
        let Some(mut call) = run.call else {
            return Verdict::HandBack;
        };
        // An entry that waits has been let in, and may have an effect by now.
        if run.held.is_none() {
            if let Some(verdict) = policy::judge(self.restriction(), watched, run.posted.nr) {
                return verdict;
            }
        }
        if let Err(why) = run.equip(call, frame) {
            return Verdict::Did(i64::from(why.to_errno()));
        }
        if mutant!("refetch") {
            let again = self.shared().taken_again(u32::from(run.index));
            (call, run.posted.args) = (call::find(again.nr).unwrap_or(call), again.args);
        }
        // What was lent has changed it.
        frame.args = &raw const run.posted.args;
        // SAFETY: As in `execute`.
        let verdict = unsafe { call.run(frame) };
        // SAFETY: This is the frame of that call, and what it has answered.
        unsafe { run.keep(call, frame, &verdict) };
        // SAFETY: As above.
        unsafe { self.after(run, frame, verdict) }
    }

    /// What a handler's verdict comes to.
    ///
    /// # Safety
    ///
    /// `frame` must be as the handler has left it with that verdict.
    #[cold]
    unsafe fn after(self: &Arc<Self>, run: &mut Run, frame: &Frame, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Did(ret) if RESTART.contains(&ret) && !mutant!("restart") => Verdict::ToThread,
            // SAFETY: The caller promises it.
            Verdict::Wait(events) => unsafe { self.suspend(run, frame, events) },
            Verdict::Fly => {
                // CAST: The handler has left a pointer there.
                let raw = NonNull::new(frame.note as *mut RawArm);
                // SAFETY: With that verdict it is the arm of the flight, which passes on.
                run.held = raw.map(|raw| unsafe { Arm::of_flight(self, run.index, raw) });
                // Some devices are done before they say that they have begun.
                // SAFETY: The lane has put it there, null or for this entry alone.
                let landed = unsafe { run.land(frame.acct) };
                landed.map_or(Verdict::Fly, Verdict::Did)
            }
            verdict => verdict,
        }
    }

    /// The handler wants to wait for `events`: what it has left in `frame` goes to `run`.
    ///
    /// # Safety
    ///
    /// `frame` must be as the handler has left it with that verdict.
    unsafe fn suspend(self: &Arc<Self>, run: &mut Run, frame: &Frame, events: u32) -> Verdict {
        if run.held.is_none() {
            // SAFETY: The handler has passed its reference on with the verdict.
            run.held = unsafe { Arm::new(self, run.index, frame.file) };
        }
        match &mut run.held {
            Some(arm) => {
                if frame.done != arm.done && !mutant!("arm_done") {
                    arm.progressed(frame.done);
                }
                arm.note = frame.note;
                arm.again = frame.flags & call::FRAME_AGAIN != 0;
                Verdict::Wait(events)
            }
            None => Verdict::HandBack.after(frame.done),
        }
    }
}
