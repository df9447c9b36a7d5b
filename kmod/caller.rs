// SPDX-License-Identifier: GPL-2.0

//! Lane C: the caller of wait executes what nobody has taken, then sleeps.
//!
//! On one CPU this is plain system call batching: no thread switch, one trap for many calls.

use crate::{
    abi,
    adopt,
    call::{
        Lane,
        Verdict, //
    },
    context::{
        Concluded,
        Context, //
    },
    execute::Site,
    helpers::{
        flexsc_cond_resched,
        flexsc_gate, //
    },
    intake::HANDFUL,
    plug::{
        self,
        Plug, //
    },
    policy,
    shared::Counter,
    slots::Run,
    thread, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    task::Task,
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// How long a caller leaves posted entries to those who look at the ring, before it executes
/// them itself: they may have been preempted.
const PATIENCE: Delta = Delta::from_millis(40);

impl Run {
    /// It was executed at `site` and is over: the next one, which it leads, has its file.
    #[inline]
    fn pass_file(&mut self, next: &mut [Self], site: &mut Site<'_>) {
        if let Some(next) = next.first_mut().filter(|_| !mutant!("lead_pass")) {
            next.taken.inherit(&mut self.taken);
            site.same_file();
        }
    }

    /// It was not, or goes on elsewhere: the next one has its file as well, if it leads that.
    fn share_file(&self, next: &mut [Self], site: &mut Site<'_>) {
        if !mutant!("lead_forget") {
            site.other_file();
        }
        if let Some(next) = next
            .first_mut()
            .filter(|_| self.leads && !mutant!("lead_share"))
        {
            next.taken.share(&self.taken);
        }
    }
}

impl Context {
    /// `FLEXSC_IOC_WAIT`, called in the process: the number of unreaped completions.
    ///
    /// May return fewer than `wait.min_complete` when the caller has to return to user mode for
    /// files that it closed to be released.
    pub(crate) fn wait(self: &Arc<Self>, wait: &abi::Wait) -> Result<u32> {
        if wait.flags != 0 {
            return Err(EINVAL);
        }
        self.shared().count(Counter::Waits, 1);
        let start = Instant::<Monotonic>::now();
        let timeout = (wait.timeout_ns >= 0).then(|| Delta::from_nanos(wait.timeout_ns));
        let target = wait.min_complete.min(self.shared().entries());
        let at_home = self.is_at_home() || mutant!("away");
        let mut patience = Some(PATIENCE);
        loop {
            if self.is_dead() {
                return Err(ESRCH);
            }
            self.make_wanted_thread();
            // With a CPU of their own, those who look at the ring already get what is posted.
            // When they do not come for it, or the caller does not want to sleep, it does.
            if target == 0 || self.has_one_cpu() || !self.state().attended() {
                patience = None;
            }
            if patience.is_none() {
                if at_home {
                    self.run_posted(target > 0);
                } else {
                    self.take_posted();
                    self.attend();
                }
            }
            let unreaped = self.unreaped();
            if unreaped >= target || thread::has_task_work(kernel::current!()) {
                return Ok(unreaped);
            }
            if kernel::current!().signal_pending() {
                return Err(EINTR);
            }
            let elapsed = start.elapsed();
            if timeout.is_some_and(|timeout| elapsed >= timeout) {
                return Err(ETIME);
            }
            if patience.is_some_and(|patience| elapsed >= patience) {
                patience = None;
                continue;
            }
            let until = match (timeout, patience) {
                (Some(timeout), Some(patience)) => Some(timeout.min(patience)),
                (timeout, patience) => timeout.or(patience),
            };
            self.sleep(target, until.map(|until| until - elapsed), || {
                self.unreaped() >= target || self.is_dead() || {
                    let state = self.state();
                    state.wants_thread()
                        || patience.is_none() && state.caller_ready(self.shared())
                        || patience.is_some() && !state.attended()
                }
            })?;
        }
    }

    /// Whether the calling thread works on the fd table that the entries' numbers are of. Nobody but
    /// the thread itself changes its table.
    fn is_at_home(&self) -> bool {
        self.table_task().is_none_or(adopt::is_at_home)
    }

    /// Executes in the caller what is still SUBMITTED, at most as much as the ring holds: others
    /// may go on posting for ever, and the caller has its own completions and signals to look at. `waits`
    /// if it is going to sleep until something completes.
    // Not inlined: the other ioctls need no room for the entries.
    #[inline(never)]
    fn run_posted(self: &Arc<Self>, waits: bool) {
        let shared = self.shared();
        let current = kernel::current!();
        let me: &Task = current;
        let mut handful = [const { Run::none() }; HANDFUL];
        let mut room = plug::Room::uninit();
        // SAFETY: It is dropped when this returns.
        let mut plug = unsafe { Plug::new(&mut room) };
        // Nobody but the caller changes its credentials, and it is here. Another thread can set no_new_privs
        // (seccomp(2)), but no Landlock domain with it, which is what that is looked at for.
        // SAFETY: The current task is valid and wears its own credentials.
        let gate = unsafe { flexsc_gate(me.as_ptr()) } | self.strict();
        // CAST: `HANDFUL` is small.
        let mut turns = shared.entries().div_ceil(HANDFUL as u32);
        let mut alone = waits && !mutant!("fly_alone");
        while turns > 0 || mutant!("caller_bound") {
            turns = turns.saturating_sub(1);
            flexsc_cond_resched();
            let source = self.source();
            let mut state = self.state();
            let pulled = state.pull_for_caller(&source, &mut handful);
            // Who is to tell in their stead is only queued, and may not come to run.
            let awaited = self.tell_for_others(&state);
            drop(state);
            if awaited {
                self.wake_waiters();
            }
            let Some(count) = pulled else {
                return;
            };
            alone &= count == 1 || mutant!("fly_together");
            let mut site = Site::new(abi::LANE_C, me, gate).waits(alone);
            let mut all = true;
            for at in 0..count {
                if let Some([run, next @ ..]) = handful.get_mut(at..) {
                    all &= self.run_chain(run, next, &mut site, &mut plug);
                }
            }
            if !all {
                self.attend();
            }
            alone = false;
        }
    }

    /// Executes an entry in the caller, and what follows it in its chain; false if another lane
    /// has to. `next` are those behind it in the caller's hands.
    #[inline(always)]
    fn run_chain(
        self: &Arc<Self>,
        run: &mut Run,
        next: &mut [Run],
        site: &mut Site<'_>,
        plug: &mut Plug<'_>,
    ) -> bool {
        if !self.in_flight().begin(run.index) && !mutant!("withdraw") {
            run.share_file(next, site);
            return self.end_withdrawn(run);
        }
        plug.suit(run);
        match self.execute_c(run, site) {
            Ok(ret) => {
                if run.leads {
                    run.pass_file(next, site);
                }
                run.taken.release();
                // Nobody has to be told but the application.
                self.complete(run.index, run.posted.nr, 0, ret, Counter::EntriesC);
                true
            }
            Err(verdict) => {
                run.share_file(next, site);
                if matches!(verdict, Verdict::Fly) {
                    plug.put_in();
                }
                self.run_rest(run, verdict, site)
            }
        }
    }

    /// Concludes an entry that was cancelled before its turn had come. Its chain ends with it.
    #[cold]
    fn end_withdrawn(self: &Arc<Self>, run: &mut Run) -> bool {
        let verdict = self.state().withdrawn(run.index);
        self.conclude(run, verdict, Lane::W, Counter::Cancelled, |_| {});
        true
    }

    /// Concludes an entry of which more is to be said, and executes what follows it in its chain.
    #[cold]
    fn run_rest(self: &Arc<Self>, run: &mut Run, verdict: Verdict, site: &mut Site<'_>) -> bool {
        let mut concluded = self.conclude(run, verdict, Lane::W, Counter::EntriesC, |_| {});
        loop {
            let next = match concluded {
                Concluded::Complete(Some(index)) => self.state().caller_run(index),
                Concluded::Complete(None) => None,
                Concluded::Elsewhere => return false,
            };
            let Some(mut run) = next else {
                return true;
            };
            flexsc_cond_resched();
            let verdict = self.execute_c(&mut run, site).into();
            concluded = self.conclude(&mut run, verdict, Lane::W, Counter::EntriesC, |_| {});
        }
    }

    #[inline(always)]
    fn execute_c(self: &Arc<Self>, run: &mut Run, site: &mut Site<'_>) -> Result<i64, Verdict> {
        // A caller that is to return to user mode begins nothing: the entry would only fail.
        let Some(watched) = policy::unsignalled(site.owner) else {
            return Err(Verdict::ToThread);
        };
        site.watched = watched;
        let observer = self.shared().observer();
        observer.started(run.index, run.posted.nr, abi::LANE_C);
        // SAFETY: The caller of wait is a thread of the process, as the ioctl has checked,
        // and its own credentials, files and memory are in force.
        unsafe { self.execute(run, site) }
    }
}
