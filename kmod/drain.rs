// SPDX-License-Identifier: GPL-2.0

//! Lane W: page workers, which are drain items on a concurrency-managed workqueue.
//!
//! A context's drain items run one at a time on its system call CPU. Before a page worker
//! goes into calls it sees to it that the next item is queued; when one sleeps, the
//! workqueue wakes another worker, whose item takes what the first has in hand and goes on with
//! that. When none sleeps, that item finds nothing to do later and is gone. This is FlexSC's
//! "when a system call thread blocks, another takes over", for free.

use crate::{
    abi,
    adopt::Adoption,
    call::{
        Acct,
        Lane,
        Verdict, //
    },
    context::{
        Context,
        Lookout, //
    },
    execute::Site,
    hand::{
        Begun,
        Grip,
        Hand, //
    },
    helpers::{
        flexsc_cond_resched,
        jiffies, //
    },
    plug::{
        self,
        Plug, //
    },
    policy,
    shared::Counter,
    slots::Run,
    state::{
        Leave,
        State, //
    },
    workqueue, //
};
use core::mem;
use kernel::{
    prelude::*,
    sync::{
        lock::spinlock::SpinLockGuard,
        Arc, //
    },
    task::Task,
    time::msecs_to_jiffies,
    workqueue::{
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    },
};

/// After so many milliseconds a busy drain goes to the end of the CPU's queue. Half of the 10 ms after
/// which the workqueue takes a worker that does not sleep for CPU-intensive and says so in the log. In
/// whole jiffies, which cost nothing to read.
const QUANTUM: u32 = 5;

/// One drain item.
#[pin_data]
pub(crate) struct Drain {
    context: Arc<Context>,
    hand: Hand,
    #[pin]
    work: Work<Drain>,
}

impl_has_work! {
    impl HasWork<Self> for Drain { self.work }
}

impl Drain {
    /// A drain item of `context`.
    pub(crate) fn new(context: Arc<Context>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                context,
                hand: Hand::new(),
                work <- new_work!("flexsc::Drain"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// What its page worker has in hand.
    pub(crate) fn hand(&self) -> &Hand {
        &self.hand
    }

    /// Queues the item on the system call CPU.
    pub(crate) fn queue(self: Arc<Self>) {
        let cpu = self.context.cpu();
        // It cannot be queued already: it came from the list of those that are not, or runs. In
        // the latter case it begins again, behind what else is queued there, when it has ended.
        let _ = workqueue::page_workers().enqueue_on(cpu, self);
    }
}

impl WorkItem for Drain {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        if this.context.drain(&this) {
            this.queue();
            return;
        }
        let context = this.context.clone();
        context.put_drain(this);
    }
}

/// What a page worker does next.
enum Step {
    /// The entries in hand.
    Hand,
    Run,
    Poll(Lookout),
    Again,
    Done,
}

/// The application is told with others of the end of a call that returns no more than this, a page. Of more it may have something to
/// make while the next ones are executed, and to tell of each costs little beside the call.
const SHORT: i64 = 4096;

/// A page worker, and whom it has become.
#[derive(Default)]
struct Worker<'a> {
    /// The task that has the process's fd table.
    table: Option<&'a Task>,
    worn: Option<Worn<'a>>,
    acct: Acct,
    /// It is back from its calls, of which the state has not been told.
    is_back: bool,
    /// The application may be told later of what it has in hand and ends, as a successor is queued that tells when it sleeps.
    has_successor: bool,
}

/// For whom a page worker executes, and as whom.
struct Worn<'a> {
    /// [`Worker::table`], which there was when this was put on: no entry has to ask for it again.
    table: &'a Task,
    site: Site<'a>,
    adoption: Adoption,
}

impl Worker<'_> {
    /// Tells the state what it has not been told.
    #[inline(always)]
    fn report(&mut self, state: &mut State) {
        if mem::take(&mut self.is_back) {
            state.end_w();
        }
    }
}

impl Context {
    /// Runs entries in lane W, as `drain`, until there are none and polling has brought none, or for a
    /// quantum. True if the item has to be queued again, to go on.
    fn drain(self: &Arc<Self>, drain: &Arc<Drain>) -> bool {
        let shared = self.shared();
        shared.count(Counter::Drains, 1);
        {
            let mut state = self.state();
            state.start_drain(shared);
            state.add_running(drain);
            let awaited = self.tell_for_others(&state);
            drop(state);
            if awaited {
                self.wake_waiters();
            }
        }

        let (start, quantum) = (jiffies.load(), msecs_to_jiffies(QUANTUM));
        let is_over = || jiffies.load().wrapping_sub(start) >= quantum && !mutant!("quantum");
        let mut goes_on = false;
        let mut worker = Worker::default();
        let mut worked = false;
        let mut run = Run::none();
        // SAFETY: A work item runs once at a time.
        let mut grip = unsafe { drain.hand().grip() };
        let mut room = plug::Room::uninit();
        // SAFETY: It is dropped when this returns.
        let mut plug = unsafe { Plug::new(&mut room) };
        loop {
            if self.is_dead() {
                break;
            }
            if is_over() {
                let mut state = self.state();
                worker.report(&mut state);
                goes_on = state.make_way();
                break;
            }
            match self.next_w(&mut run, &mut grip, &mut worker, worked) {
                Step::Hand => {
                    worked = true;
                    self.run_hand_w(&mut grip, &mut worker, &mut plug);
                }
                Step::Run => {
                    worked = true;
                    match self.call_w(&mut run, &mut worker, &mut plug) {
                        Ok(ret) => {
                            worker.is_back = true;
                            self.end_w(&mut run, ret);
                        }
                        Err(verdict) => {
                            self.conclude_w(&mut run, verdict, &mut worker, &mut plug, State::end_w)
                        }
                    }
                }
                Step::Poll(lookout) => {
                    if !mutant!("plug_poll") {
                        plug.take_out();
                    }
                    if !self.poll_ring(lookout) {
                        // Looked in vain: from now on only leave.
                        worked = false;
                    }
                }
                Step::Again => {}
                Step::Done => break,
            }
            flexsc_cond_resched();
        }
        self.state().remove_running(drain, &mut grip);
        self.add_acct(&worker.acct);
        // What is given up may take its time, for which nobody's memory is worn.
        drop(worker);
        plug.take_out();
        self.give_up();
        goes_on
    }

    /// What to do next: what is queued, and is then in `run`, which holds nothing, before what is posted.
    #[inline(always)]
    fn next_w<'a>(
        &'a self,
        run: &mut Run,
        grip: &mut Grip<'_>,
        worker: &mut Worker<'a>,
        worked: bool,
    ) -> Step {
        let shared = self.shared();
        if worker.table.is_none() {
            worker.table = self.table_task();
        }
        let source = self.source_by(worker.table);
        let mut state = self.state();
        worker.report(&mut state);
        state.take_fired(self.fired());
        let queued = state.begin_w(run);
        // SAFETY: This is the state of the worker's context.
        let filled = !queued && unsafe { grip.fill::<true>(&mut state, &source) };
        let mut tell = state.attend_t(shared);
        if !queued && !filled {
            // Who polls keeps the successor of one that sleeps from running.
            state.take_back_w();
            tell |= self.tell_for_others(&state);
        }
        let mut successor = None;
        let step = if queued || filled {
            successor = state.enter_w();
            worker.has_successor = state.has_successor() || mutant!("told_lone");
            if queued {
                Step::Run
            } else {
                Step::Hand
            }
        } else if state.has_w() {
            Step::Again
        } else if worked && !state.others_active() && self.spins() {
            // A thread at work would poll in our stead.
            Step::Poll(self.lookout(&state))
        } else {
            match state.leave(shared) {
                Leave::Stay => Step::Again,
                Leave::Gone => Step::Done,
            }
        };
        drop(state);
        if let Some(drain) = successor {
            drain.queue();
        }
        if tell {
            self.wake_waiters();
        }
        step
    }

    /// Executes what the worker has in hand, until the clock ticks, and tells the application of what it has not been told. What
    /// it has not begun then others take back.
    #[inline(always)]
    fn run_hand_w<'a>(
        self: &'a Arc<Self>,
        grip: &mut Grip<'_>,
        worker: &mut Worker<'a>,
        plug: &mut Plug<'_>,
    ) {
        let hand = grip.hand();
        let tick = jiffies.load();
        let goes_on = || jiffies.load() == tick && !self.is_dead();
        let mut next = grip.begin_run();
        while let Some((at, run)) = next {
            let ret = match self.call_w(run, worker, plug) {
                Ok(ret) => ret,
                Err(verdict) => {
                    next = self.conclude_hand_w(grip, at, verdict, worker, plug, goes_on());
                    continue;
                }
            };
            let tells = ret > SHORT || !worker.has_successor;
            if run.leads {
                next = self.end_leader(grip, at, ret, tells, worker, goes_on());
                continue;
            }
            self.end_hand_w(run, ret);
            hand.end(at);
            if tells {
                self.tell_w(hand);
            }
            next = if goes_on() { grip.begin_run() } else { None };
        }
        worker.is_back = true;
        self.tell_w(hand);
    }

    /// Makes the call of an entry.
    #[inline(always)]
    fn call_w<'a>(
        self: &'a Arc<Self>,
        run: &mut Run,
        worker: &mut Worker<'a>,
        plug: &mut Plug<'_>,
    ) -> Result<i64, Verdict> {
        let observer = self.shared().observer();
        observer.started(run.index, run.posted.nr, abi::LANE_W);
        plug.suit(run);
        if !run.is_plain() {
            // SAFETY: It is this worker's own.
            let landed = unsafe { run.land(&mut worker.acct) };
            if let Some(ret) = landed {
                return Err(Verdict::Did(ret));
            }
        }
        self.execute_w(run, worker)
    }

    /// An entry is over, of which nobody has to be told but the application; the state is when it is locked next.
    #[inline(always)]
    fn end_w(&self, run: &mut Run, ret: i64) {
        run.taken.release();
        self.complete(run.index, run.posted.nr, 0, ret, Counter::EntriesW);
    }

    /// The same of one in hand, of which the application is told later.
    #[inline(always)]
    fn end_hand_w(&self, run: &mut Run, ret: i64) {
        run.taken.release();
        self.write_outcome(run.index, run.posted.nr, 0, ret, Counter::EntriesW);
    }

    /// Ends the entry at `at`, which returned `ret` and leads the next one: that has the file before this is over, whoever executes
    /// it. If it is by the same worker, as it is if that `goes_on`, what is known of the file is known. Returns the next one
    /// if it was begun.
    #[inline(always)]
    fn end_leader<'a>(
        &self,
        grip: &'a mut Grip<'_>,
        at: usize,
        ret: i64,
        tells: bool,
        worker: &mut Worker<'_>,
        goes_on: bool,
    ) -> Option<(usize, &'a mut Run)> {
        let hand = grip.hand();
        if !goes_on || !matches!(grip.begin(), Begun::At(_)) {
            self.leave_led();
            self.end_hand_w(grip.run(at)?, ret);
            hand.end(at);
            return None;
        }
        // SAFETY: The second was just begun, and the first before it.
        let (run, next) = unsafe { grip.pair(at) };
        if mutant!("row_pass") {
            run.taken.release();
        } else {
            next.taken.inherit(&mut run.taken);
            if let Some(worn) = &mut worker.worn {
                worn.site.same_file();
            }
        }
        self.write_outcome(run.index, run.posted.nr, 0, ret, Counter::EntriesW);
        if hand.end_late(at) || tells {
            self.tell_w(hand);
        }
        Some((at.wrapping_add(1), next))
    }

    /// The next one in hand, which was to have a file from the one before, is not begun: who has taken it back, or takes it now, has
    /// a reference by the time the lock is free.
    #[cold]
    fn leave_led(&self) {
        self.state().take_back_w();
    }

    /// Concludes the entry at `at` in hand, of which more is to be said. Returns the next one if the worker `goes_on`.
    #[cold]
    fn conclude_hand_w<'a>(
        self: &Arc<Self>,
        grip: &'a mut Grip<'_>,
        at: usize,
        verdict: Verdict,
        worker: &mut Worker<'_>,
        plug: &mut Plug<'_>,
        goes_on: bool,
    ) -> Option<(usize, &'a mut Run)> {
        // SAFETY: By who has the grip.
        if unsafe { self.publish_before(grip.hand(), at) } {
            self.wake_waiters();
        }
        let leads = grip.run(at)?.leads;
        let begun = leads && goes_on && matches!(grip.begin(), Begun::At(_));
        if begun {
            // SAFETY: The second was just begun, and the first before it.
            let (run, next) = unsafe { grip.pair(at) };
            next.taken.share(&run.taken);
        } else if leads {
            self.leave_led();
        }
        self.conclude_w(grip.run(at)?, verdict, worker, plug, |_| {});
        if begun {
            let next = at.wrapping_add(1);
            return grip.run(next).map(|run| (next, run));
        }
        if goes_on && !leads {
            return grip.begin_run();
        }
        None
    }

    /// Tells the application of what the worker has done and not told of.
    #[inline(always)]
    fn tell_w(&self, hand: &Hand) {
        // SAFETY: Only the worker, which has the grip, calls this.
        if unsafe { self.publish_hand(hand) } {
            self.wake_waiters();
        }
    }

    /// The same in the stead of all page workers, who may sleep, by who has taken back what they had in hand. True if somebody
    /// has to be woken.
    pub(crate) fn tell_for_others(&self, state: &SpinLockGuard<'_, State>) -> bool {
        let mut awaited = false;
        if !mutant!("told_successor") {
            state.tell_for_w(|hand| {
                // SAFETY: Under the lock of the state.
                awaited |= unsafe { self.publish_hand(hand) };
            });
        }
        awaited
    }

    /// Concludes an entry of which more is to be said, and leaves it by `leave`.
    #[cold]
    fn conclude_w(
        self: &Arc<Self>,
        run: &mut Run,
        verdict: Verdict,
        worker: &mut Worker<'_>,
        plug: &mut Plug<'_>,
        leave: impl FnOnce(&mut State),
    ) {
        // It may not have come to be executed.
        if let Some(worn) = &mut worker.worn {
            worn.site.other_file();
        }
        if matches!(verdict, Verdict::Fly) {
            plug.put_in();
        }
        self.conclude(run, verdict, Lane::W, Counter::EntriesW, leave);
    }

    #[inline(always)]
    fn execute_w<'a>(
        self: &'a Arc<Self>,
        run: &mut Run,
        worker: &mut Worker<'a>,
    ) -> Result<i64, Verdict> {
        let worn = worker.worn.as_ref();
        let watched = worn.and_then(|worn| {
            let Worn { site, adoption, .. } = worn;
            adoption.watched_as_before(site.owner, worn.table)
        });
        let watched = match watched {
            Some(watched) => watched,
            None => self.adopt(worker)?,
        };
        let Some(worn) = &mut worker.worn else {
            return Err(Verdict::HandBack);
        };
        worn.site.set(watched, &mut worker.acct);
        // SAFETY: The memory and the credentials of the process are worn, and its fd table is that of the thread that it was
        // compared with, which the context keeps valid.
        unsafe { self.execute(run, &mut worn.site) }
    }

    /// Has a page worker become whose calls these are now.
    #[cold]
    fn adopt<'a>(&'a self, worker: &mut Worker<'a>) -> Result<u32, Verdict> {
        let table = worker.table.ok_or(Verdict::HandBack)?;
        let owner = self.identity().who_shares(table).ok_or(Verdict::HandBack)?;
        let before = worker.worn.take().map(|worn| worn.adoption);
        // SAFETY: Drain items run in kworkers only, and those use no mm between items.
        let adoption = before.or_else(|| unsafe { Adoption::of(self.identity(), owner) });
        let Some(mut adoption) = adoption else {
            // The process is gone, and nobody reads the result.
            self.kill();
            return Err(Verdict::Did(i64::from(EINTR.to_errno())));
        };
        let gate = adoption.wear_current(owner) | self.strict();
        worker.worn = Some(Worn {
            table,
            site: Site::in_worker(owner, gate, table),
            adoption,
        });
        Ok(policy::watched(owner))
    }

    /// Puts a drain item that has run back among those that are not queued.
    fn put_drain(&self, drain: Arc<Drain>) {
        // When the context is being torn down there is no room, and the item is dropped here,
        // outside of the lock: it may hold the last reference to the context.
        let rejected = self.state().put_drain(drain);
        drop(rejected);
    }
}
