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
        Lane,
        Verdict, //
    },
    context::{
        Context,
        Lookout, //
    },
    helpers::{
        flexsc_cond_resched,
        flexsc_jiffies, //
    },
    shared::Counter,
    slots::Run,
    state::{
        Leave,
        State, //
    },
    workqueue, //
};
use kernel::{
    prelude::*,
    sync::Arc,
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

impl Context {
    /// Runs entries in lane W until there are none and polling has brought none, or for a
    /// quantum. True if the item has to be queued again, to go on.
    fn drain(self: &Arc<Self>) -> bool {
        let shared = self.shared();
        shared.count(Counter::Drains, 1);
        self.state().start_drain(shared);

        let (start, quantum) = (flexsc_jiffies(), msecs_to_jiffies(QUANTUM));
        let mut goes_on = false;
        let mut adoption = None;
        let mut acct = Acct::default();
        let mut worked = false;
        let mut run = Run::none();
        loop {
            if self.is_dead() {
                break;
            }
            if flexsc_jiffies().wrapping_sub(start) >= quantum && !mutant!("quantum") {
                goes_on = self.state().make_way();
                break;
            }
            match self.next_w(&mut run, worked) {
                Step::Run(successor) => {
                    if let Some(drain) = successor {
                        drain.queue();
                    }
                    worked = true;
                    shared
                        .observer()
                        .started(run.index, run.posted.nr, abi::LANE_W);
                    let verdict = self.execute_w(&mut run, &mut adoption, &mut acct);
                    self.conclude(&mut run, verdict, Lane::W, Counter::EntriesW, State::end_w);
                }
                Step::Poll(lookout) => {
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
        self.add_acct(&acct);
        goes_on
    }

    /// What to do next; what to run is in `run`, which holds nothing.
    fn next_w(&self, run: &mut Run, worked: bool) -> Step {
        let shared = self.shared();
        let mut state = self.state();
        state.take_fired(self.fired());
        let begun = state.begin_w(&self.source(), run);
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

    fn execute_w(
        self: &Arc<Self>,
        run: &mut Run,
        adoption: &mut Option<Adoption>,
        acct: &mut Acct,
    ) -> Verdict {
        let Some(task) = self.table_task() else {
            return Verdict::HandBack;
        };
        let Some(owner) = self.identity().who_shares(task) else {
            return Verdict::HandBack;
        };
        if adoption.is_none() {
            // SAFETY: Drain items run in kworkers only, and those use no mm between items.
            *adoption = unsafe { Adoption::of(self.identity(), owner) };
        }
        let Some(adoption) = adoption.as_mut() else {
            // The process is gone, and nobody reads the result.
            self.kill();
            return Verdict::Did(i64::from(EINTR.to_errno()));
        };
        let gate = adoption.wear_current(owner) | self.strict();
        // SAFETY: The memory and the credentials of the process are worn, and `task` is a
        // thread of the process that has taken its fd table and is kept valid by the context.
        unsafe { self.execute(run, abi::LANE_W, owner, task.as_ptr(), gate, acct) }
    }

    /// Puts a drain item that has run back among those that are not queued.
    fn put_drain(&self, drain: Arc<Drain>) {
        // When the context is being torn down there is no room, and the item is dropped here,
        // outside of the lock: it may hold the last reference to the context.
        let rejected = self.state().put_drain(drain);
        drop(rejected);
    }
}
