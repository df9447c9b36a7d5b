// SPDX-License-Identifier: GPL-2.0

//! Lane W: page workers, which are drain items on a concurrency-managed workqueue.
//!
//! A context's drain items run one at a time on its system call CPU. Before a page worker
//! goes into a call it sees to it that the next item is queued; when the call sleeps, the
//! workqueue wakes another worker, whose item goes on with the next entry. When it does not
//! sleep, that item finds nothing to do later and is gone. This is FlexSC's "when a system
//! call thread blocks, another takes over", for free.

use crate::{
    abi,
    adopt::Adoption,
    call::{
        Acct,
        Call,
        Lane,
        Verdict, //
    },
    context::{
        Context,
        Lookout, //
    },
    execute::Site,
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
    sync::Arc,
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
                work <- new_work!("flexsc::Drain"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
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
        if this.context.drain() {
            this.queue();
            return;
        }
        let context = this.context.clone();
        context.put_drain(this);
    }
}

/// What a page worker does next.
enum Step {
    Run(Option<Arc<Drain>>),
    Poll(Lookout),
    Again,
    Done,
}

/// A page worker, and whom it has become.
#[derive(Default)]
struct Worker<'a> {
    /// The task that has the process's fd table.
    table: Option<&'a Task>,
    /// For whom it executes, and in whose credentials; none before the first entry.
    site: Option<Site<'a>>,
    adoption: Option<Adoption>,
    acct: Acct,
    /// It is back from a call, of which the state has not been told.
    is_back: bool,
    /// The position in the ring behind the entry that it took last.
    head: u32,
    /// What lies before this position was posted before that entry's files were looked up.
    covered: u32,
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
    /// Runs entries in lane W until there are none and polling has brought none, or for a
    /// quantum. True if the item has to be queued again, to go on.
    fn drain(self: &Arc<Self>) -> bool {
        let shared = self.shared();
        shared.count(Counter::Drains, 1);
        self.state().start_drain(shared);

        let (start, quantum) = (jiffies.load(), msecs_to_jiffies(QUANTUM));
        let is_over = || jiffies.load().wrapping_sub(start) >= quantum && !mutant!("quantum");
        let mut goes_on = false;
        let mut worker = Worker::default();
        let mut worked = false;
        let mut run = Run::none();
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
            match self.next_w(&mut run, &mut worker, worked) {
                Step::Run(successor) => {
                    if let Some(drain) = successor {
                        drain.queue();
                    }
                    worked = true;
                    self.run_w(&mut run, &mut worker, &mut plug, &is_over);
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
        self.add_acct(&worker.acct);
        // What is given up may take its time, for which nobody's memory is worn.
        drop(worker);
        plug.take_out();
        self.give_up();
        goes_on
    }

    /// What to do next; what to run is in `run`, which holds nothing.
    #[inline(always)]
    fn next_w<'a>(&'a self, run: &mut Run, worker: &mut Worker<'a>, worked: bool) -> Step {
        let shared = self.shared();
        if worker.table.is_none() {
            worker.table = self.table_task();
        }
        let source = self.source_by(worker.table);
        let mut state = self.state();
        worker.report(&mut state);
        state.take_fired(self.fired());
        let head = state.sub_head();
        let begun = state.begin_w(&source, run);
        worker.head = state.sub_head();
        // What was queued was looked up when it was.
        worker.covered = if worker.head == head {
            head
        } else {
            state.seen
        };
        let tell = state.attend_t(shared);
        let step = if begun {
            Step::Run(state.enter_w())
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
        if tell {
            self.wake_waiters();
        }
        step
    }

    /// Executes an entry in lane W, and those in a row with it, until its time `is_over`.
    #[inline(always)]
    fn run_w<'a>(
        self: &'a Arc<Self>,
        run: &mut Run,
        worker: &mut Worker<'a>,
        plug: &mut Plug<'_>,
        is_over: &impl Fn() -> bool,
    ) {
        match self.call_w(run, worker, plug) {
            Ok(ret) if self.is_next_alike(run, worker) => {
                self.run_row(run, ret, worker, plug, is_over);
            }
            Ok(ret) => self.end_w(run, ret),
            Err(verdict) => self.conclude_w(run, verdict, worker, plug),
        }
    }

    /// Goes on behind `first`, which has returned `ret`, as long as what is next in the ring works on the same file.
    #[inline(never)]
    fn run_row<'a>(
        self: &'a Arc<Self>,
        first: &mut Run,
        mut ret: i64,
        worker: &mut Worker<'a>,
        plug: &mut Plug<'_>,
        is_over: &impl Fn() -> bool,
    ) {
        let mut other = Run::none();
        let (mut run, mut next) = (&mut *first, &mut other);
        while self.is_next_alike(run, worker)
            && !is_over()
            && !self.is_dead()
            && self.take_next(run, next, worker)
        {
            let leads = run.leads && !mutant!("row_pass");
            if let Some(site) = worker.site.as_mut().filter(|_| leads) {
                next.taken.inherit(&mut run.taken);
                site.same_file();
            }
            self.end_w(run, ret);
            mem::swap(&mut run, &mut next);
            flexsc_cond_resched();
            ret = match self.call_w(run, worker, plug) {
                Ok(ret) => ret,
                Err(verdict) => return self.conclude_w(run, verdict, worker, plug),
            };
        }
        self.end_w(run, ret);
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
        // SAFETY: It is this worker's own.
        let landed = unsafe { run.land(&mut worker.acct) };
        if let Some(ret) = landed {
            return Err(Verdict::Did(ret));
        }
        let ret = self.execute_w(run, worker)?;
        worker.is_back = true;
        Ok(ret)
    }

    /// An entry is over, of which nobody has to be told but the application; the state is when it is locked next.
    #[inline(always)]
    fn end_w(&self, run: &mut Run, ret: i64) {
        run.taken.release();
        self.complete(run.index, run.posted.nr, 0, ret, Counter::EntriesW);
    }

    /// Concludes an entry of which more is to be said.
    #[cold]
    fn conclude_w(
        self: &Arc<Self>,
        run: &mut Run,
        verdict: Verdict,
        worker: &mut Worker<'_>,
        plug: &mut Plug<'_>,
    ) {
        // It may not have come to be executed.
        if let Some(site) = &mut worker.site {
            site.other_file();
        }
        if matches!(verdict, Verdict::Fly) {
            plug.put_in();
        }
        self.conclude(run, verdict, Lane::W, Counter::EntriesW, State::end_w);
    }

    /// Whether the next entry in the ring seems to work on the same file as `run`, and was posted before that was looked up.
    #[inline(always)]
    fn is_next_alike(&self, run: &Run, worker: &Worker<'_>) -> bool {
        run.call.is_some_and(Call::names_one_file)
            && (worker.head != worker.covered || mutant!("row_covered"))
            && self.shared().seems_alike(worker.head, &run.posted)
    }

    /// Takes the next entry in the ring into `next`, before `run` is told to be over: if it works on the same file, that has
    /// one more entry to go with. False if others have taken it, or there is something else to be done first; the state has
    /// not been told then that the worker is back, which may have to release the file before.
    #[inline(never)]
    fn take_next<'a>(&'a self, run: &mut Run, next: &mut Run, worker: &mut Worker<'a>) -> bool {
        let source = self.source_by(worker.table);
        let mut state = self.state();
        if state.sub_head() != worker.head || state.has_w() || state.has_t() || self.fired().any() {
            return false;
        }
        if !state.pull_next(&source, run, next) {
            return false;
        }
        worker.is_back = false;
        worker.head = state.sub_head();
        if !run.leads {
            worker.covered = state.seen;
        }
        // It is back and goes in again, of which the state need not be told.
        let successor = state.take_drain();
        drop(state);
        if let Some(drain) = successor {
            drain.queue();
        }
        true
    }

    #[inline(always)]
    fn execute_w<'a>(
        self: &'a Arc<Self>,
        run: &mut Run,
        worker: &mut Worker<'a>,
    ) -> Result<i64, Verdict> {
        let task = worker.table.ok_or(Verdict::HandBack)?;
        let watched = match (&worker.site, &worker.adoption) {
            (Some(site), Some(adoption)) => adoption.watched_as_before(site.owner, task),
            _ => None,
        };
        let watched = match watched {
            Some(watched) => watched,
            None => self.adopt(worker, task)?,
        };
        let Some(site) = &mut worker.site else {
            return Err(Verdict::HandBack);
        };
        site.set(watched, &mut worker.acct);
        // SAFETY: The memory and the credentials of the process are worn, and `task` is a
        // thread of the process that has taken its fd table and is kept valid by the context.
        unsafe { self.execute(run, site) }
    }

    /// Has a page worker become whose calls these are now, where `task` has the process's fd table.
    #[cold]
    fn adopt<'a>(&'a self, worker: &mut Worker<'a>, task: &Task) -> Result<u32, Verdict> {
        let owner = self.identity().who_shares(task).ok_or(Verdict::HandBack)?;
        if worker.adoption.is_none() {
            // SAFETY: Drain items run in kworkers only, and those use no mm between items.
            worker.adoption = unsafe { Adoption::of(self.identity(), owner) };
        }
        let Some(adoption) = worker.adoption.as_mut() else {
            // The process is gone, and nobody reads the result.
            self.kill();
            return Err(Verdict::Did(i64::from(EINTR.to_errno())));
        };
        let gate = adoption.wear_current(owner) | self.strict();
        worker.site = Some(Site::in_worker(owner, gate, task));
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
