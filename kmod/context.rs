// SPDX-License-Identifier: GPL-2.0

//! A context: one set of shared pages, and everything that executes what is posted there.
//!
//! # Lifetimes
//!
//! The open file holds the context; so do its drain items and system call threads, and the
//! context holds those in its state. [`Context::release`], at the last close, breaks that
//! circle from a work item of its own: it may be called from a system call thread that drops
//! the last reference to the process's fd table, and that thread must not wait for itself.
//! A thread that cannot end yet, because it is inside a call, keeps the context until it does;
//! nobody waits for it.
//! Of the process the context holds two task structs and the mm struct, but no users of the
//! mm and no fd table, so that it never keeps a process's memory or descriptors alive; only a
//! thread of the process does, by being one. An entry holds the file that it works on from when
//! it is taken, or has it from the one before it in its row, and gives it back before it is
//! done, or when the process dies. A direct transfer that a device has ([`Arm::of_flight`](crate::arm::Arm)) is given up by nobody: its entry keeps the context until it
//! lands.
//!
//! # Lock order
//!
//! `mmap_lock`, then `Shared::pages`. `making`, then `state`. `waiting`, then `state`. `state`, then `completions`.
//! `completions` and `acct` are innermost: none of ours is taken inside them, and inside `state` no other one. Of the
//! kernel's, inside `state` alone: the scheduler's (`pi_lock`, then a run queue's), by waking or
//! interrupting a thread; the lock of a CPU's hrtimer base, by setting the clock; and a task's
//! `alloc_lock`, then `file_lock`, by looking a descriptor up. None of their holders takes one of
//! ours: [`Clock`] and what waits for a file only queue work items. The lock of an arm that flies is
//! taken with interrupts off, by whoever completes requests, and none of ours inside it.

use crate::{
    abi,
    account,
    adopt::Identity,
    arm::Fired,
    call::{
        self,
        Acct,
        Lane,
        Verdict, //
    },
    chain::{
        ChainFile,
        Go, //
    },
    clock::Clock,
    drain::Drain,
    hand::Hand,
    helpers::{
        flexsc_cond_resched,
        flexsc_one_cpu,
        flexsc_pick_cpu, //
    },
    once::Once,
    restrict::Restriction,
    shared::{
        Counter,
        Shared,
        Word, //
    },
    slots::{
        InFlight,
        Run, //
    },
    state::State,
    workqueue, //
};
use kernel::{
    bindings,
    error::to_result,
    ffi::c_int,
    new_mutex, new_poll_condvar, new_spinlock,
    prelude::*,
    sync::{
        aref::ARef,
        lock::spinlock::SpinLockGuard,
        poll::PollCondVar,
        Arc,
        Mutex,
        SetOnce,
        SpinLock, //
    },
    task::Task,
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
    workqueue::{
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    },
};

/// What one context was set up with.
pub(crate) struct Options {
    pub(crate) entries: u32,
    pub(crate) cpu: i32,
    pub(crate) spin_us: u32,
    pub(crate) drains: u32,
    pub(crate) threads: u32,
    pub(crate) lsm_strict: bool,
    pub(crate) restriction: Arc<Restriction>,
}

/// One context.
#[pin_data]
pub(crate) struct Context {
    identity: Identity,
    restriction: Arc<Restriction>,
    #[pin]
    shared: Shared,
    in_flight: InFlight,
    fired: Fired,
    #[pin]
    state: SpinLock<State>,
    /// The kernel's own `comp_tail`. The counters of entries change under this lock.
    #[pin]
    completions: SpinLock<u32>,
    /// What lane W owes the process's I/O accounting.
    #[pin]
    acct: SpinLock<Acct>,
    /// Held while a system call thread is made.
    #[pin]
    pub(crate) making: Mutex<()>,
    /// The first system call thread's task, through whose fd table lane W looks files up.
    table_task: SetOnce<ARef<Task>>,
    /// Those inside wait, and poll(2). How often they were woken.
    #[pin]
    pub(crate) waiting: Mutex<u32>,
    #[pin]
    pub(crate) news: PollCondVar,
    /// How many are inside wait and may sleep, and were not woken. Changed while `waiting` is held, as is the next.
    pub(crate) waiters: Once<u32>,
    /// The value of `comp_tail` from which on a waiter is to be woken.
    pub(crate) wake_at: Once<u32>,
    /// Whether somebody has polled, and nobody was woken since.
    pub(crate) polled: Once<u32>,
    dead: Once<u32>,
    cpu: c_int,
    one_cpu: bool,
    spin: Delta,
    strict: u32,
    max_drains: u32,
    max_threads: usize,
    #[pin]
    teardown: Work<Context, 0>,
    #[pin]
    minder: Work<Context, 1>,
    #[pin]
    waker: Work<Context, 2>,
    #[pin]
    timekeeper: Work<Context, 3>,
    #[pin]
    reaper: Work<Context, 4>,
    // Fields are dropped in declaration order: these last.
    _charge: account::Charge,
    _claim: workqueue::Claim,
}

impl_has_work! {
    impl HasWork<Self, 0> for Context { self.teardown }
    impl HasWork<Self, 1> for Context { self.minder }
    impl HasWork<Self, 2> for Context { self.waker }
    impl HasWork<Self, 3> for Context { self.timekeeper }
    impl HasWork<Self, 4> for Context { self.reaper }
}

/// What an entry has come to.
pub(crate) struct Outcome {
    /// `ENTRY_HANDED_BACK`, or 0.
    pub(crate) flags: u16,
    pub(crate) ret: i64,
    /// Where it counts.
    pub(crate) counter: Counter,
}

impl Outcome {
    /// It was declined.
    pub(crate) fn handed_back() -> Self {
        Self {
            flags: abi::ENTRY_HANDED_BACK,
            ret: i64::from(ENOSYS.to_errno()),
            counter: Counter::HandedBack,
        }
    }

    /// Whether it was declined.
    pub(crate) fn is_handed_back(&self) -> bool {
        self.flags & abi::ENTRY_HANDED_BACK != 0
    }
}

impl Run {
    /// What was transferred before it had to wait.
    fn done(&self) -> u64 {
        self.held.as_ref().map_or(0, |arm| arm.done)
    }

    /// Gives back what it holds. May sleep.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.held.is_some() {
            self.held = None;
        }
        if !self.file.is_nothing() {
            self.file = ChainFile::Nothing;
        }
        self.taken.release();
    }

    /// What the entry has come to. What it holds is to be released before that is told.
    #[inline]
    pub(crate) fn outcome(&self, verdict: Verdict, counter: Counter) -> Outcome {
        match verdict.after(self.done()) {
            Verdict::Did(ret) => Outcome {
                flags: 0,
                ret,
                counter,
            },
            _ => Outcome::handed_back(),
        }
    }
}

/// What has become of an entry that a lane is through with.
pub(crate) enum Concluded {
    /// It is complete, and the caller has to go on with this one, if any.
    Complete(Option<u16>),
    /// It was queued for another lane, or waits for its file.
    Elsewhere,
}

/// Where the kernel's `sub_head` stood when somebody began to poll.
pub(crate) struct Lookout {
    head: u32,
}

impl Context {
    /// Makes a context of the calling process, with its drain items and one thread.
    pub(crate) fn new(options: &Options) -> Result<Arc<Self>> {
        let charge = account::Charge::new(options.drains)?;
        let cpu = flexsc_pick_cpu(options.cpu);
        to_result(cpu.min(0))?;
        let one_cpu = flexsc_one_cpu();
        // With one CPU polling would take it from whoever is to post.
        let spin_us = if one_cpu { 0 } else { options.spin_us };
        // CAST: All three are small.
        let (entries, drains, threads) = (
            options.entries as usize,
            charge.drains() as usize,
            options.threads as usize,
        );
        let identity = Identity::of_current()?;
        let in_flight = InFlight::new(entries)?;
        let fired = Fired::new(entries)?;
        let state = State::new(entries, drains, threads)?;
        // CAST: A CPU number is not negative here.
        let shared = Shared::new(options.entries, cpu as u32, spin_us)?;

        let this = Arc::try_pin_init(
            try_pin_init!(Self {
                identity,
                restriction: options.restriction.clone(),
                shared <- shared,
                in_flight,
                fired,
                state <- new_spinlock!(state),
                completions <- new_spinlock!(0),
                acct <- new_spinlock!(Acct::default()),
                making <- new_mutex!(()),
                table_task: SetOnce::new(),
                waiting <- new_mutex!(0),
                news <- new_poll_condvar!("flexsc::Context::news"),
                waiters: Once::new(0),
                wake_at: Once::new(0),
                polled: Once::new(0),
                dead: Once::new(0),
                cpu,
                one_cpu,
                spin: Delta::from_micros(i64::from(spin_us)),
                strict: call::GATE_STRICT * u32::from(options.lsm_strict && !mutant!("strict")),
                max_drains: charge.drains(),
                max_threads: threads,
                teardown <- new_work!("flexsc::Context::teardown"),
                minder <- new_work!("flexsc::Context::minder"),
                waker <- new_work!("flexsc::Context::waker"),
                timekeeper <- new_work!("flexsc::Context::timekeeper"),
                reaper <- new_work!("flexsc::Context::reaper"),
                _charge: charge,
                _claim: workqueue::Claim::new(),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )?;

        let made = this.populate(drains);
        if made.is_err() {
            Self::release(this.clone());
        }
        made?;
        Ok(this)
    }

    fn populate(self: &Arc<Self>, drains: usize) -> Result {
        let clock = Clock::new(self)?;
        self.state().set_clock(clock);
        for _ in 0..drains {
            let drain = Drain::new(self.clone())?;
            self.state().add_drain(drain)?;
        }
        self.make_thread()
    }

    /// Fills in what set-up tells the application.
    pub(crate) fn describe(&self, setup: &mut abi::Setup) {
        let layout = self.shared.layout();
        setup.entries = self.shared.entries();
        setup.cpu = self.cpu;
        // CAST: Both are small; the spin time came from a u32.
        setup.spin_us = self.spin.as_micros_ceil() as u32;
        setup.drains = self.max_drains;
        setup.threads = self.max_threads as u32;
        setup.abi_version = abi::ABI_VERSION;
        setup.features = abi::FEATURES;
        // CAST: usize and u64 are the same on the one architecture supported.
        setup.map_size = layout.size as u64;
        setup.sub_ring_off = layout.sub_ring as u64;
        setup.comp_ring_off = layout.comp_ring as u64;
        setup.entries_off = layout.entries as u64;
    }

    /// Whose calls these are.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What may be posted here.
    pub(crate) fn restriction(&self) -> &Restriction {
        &self.restriction
    }

    /// The shared pages.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The entries in flight.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// The entries whose files are ready.
    pub(crate) fn fired(&self) -> &Fired {
        &self.fired
    }

    /// The state, locked.
    pub(crate) fn state(&self) -> SpinLockGuard<'_, State> {
        self.state.lock()
    }

    /// The system call CPU.
    pub(crate) fn cpu(&self) -> c_int {
        self.cpu
    }

    /// Where system call threads should run: on the system call CPU, if the application has
    /// another for itself.
    pub(crate) fn thread_cpu(&self) -> Option<c_int> {
        (!self.one_cpu).then_some(self.cpu)
    }

    /// Whether the application has one CPU only, which polling would take from it.
    pub(crate) fn has_one_cpu(&self) -> bool {
        self.one_cpu
    }

    /// `GATE_STRICT`, if the administrator wants every gated call handed back.
    pub(crate) fn strict(&self) -> u32 {
        self.strict
    }

    /// Whether idle drains and threads poll at all.
    pub(crate) fn spins(&self) -> bool {
        !self.spin.is_zero()
    }

    /// The task through whose fd table lane W looks files up; none before the first thread has it.
    pub(crate) fn table_task(&self) -> Option<&Task> {
        self.table_task.as_ref().map(|task| &**task)
    }

    /// The thread number `id`, which is `task`, has the fd table. That of the first, which stays,
    /// is the one that lane W uses.
    pub(crate) fn set_table_task(&self, id: u64, task: &Task) {
        if id == 0 {
            self.table_task.populate(ARef::from(task));
        }
    }

    /// Whether the process or the file is gone: nothing more is begun.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load_acquire() != 0
    }

    /// Ends the execution of entries for good.
    pub(crate) fn kill(&self) {
        self.dead.store_release(1);
        self.wake_waiters();
    }

    /// Begins a look-out for posted entries.
    pub(crate) fn lookout(&self, state: &State) -> Lookout {
        Lookout {
            head: state.sub_head(),
        }
    }

    /// Polls the submission ring for the context's spin time; true if something came.
    pub(crate) fn poll_ring(&self, lookout: Lookout) -> bool {
        let start = Instant::<Monotonic>::now();
        loop {
            for _ in 0..32 {
                if self.shared.load(Word::SubTail) != lookout.head || self.fired.any() {
                    return true;
                }
                // SAFETY: A hint to the CPU, always safe.
                unsafe { bindings::cpu_relax() };
            }
            let idle = start.elapsed() >= self.spin && !mutant!("spin");
            // When this ends, what a plug has kept is sent in any case.
            if idle && !mutant!("plug_poll")
                || self.is_dead()
                || kernel::current!().signal_pending()
            {
                return false;
            }
            flexsc_cond_resched();
        }
    }

    /// A lane that entered the entry as `lane` is through with it, and leaves it by `leave`.
    pub(crate) fn conclude(
        self: &Arc<Self>,
        run: &mut Run,
        verdict: Verdict,
        lane: Lane,
        counter: Counter,
        leave: impl FnOnce(&mut State),
    ) -> Concluded {
        if run.held.is_some() {
            // The same file, which the arm keeps.
            run.taken.drop_first();
        }
        let (verdict, ready) = match verdict {
            Verdict::Wait(events) => self.wait_in_queue(run, events, lane),
            // To hand it back is to give its chain's file a descriptor, which W cannot.
            Verdict::HandBack
                if run.gives_file() && run.done() == 0 && counter.lane() == abi::LANE_W =>
            {
                (Verdict::ToThread, false)
            }
            verdict => (verdict, false),
        };
        // Interrupted before any effect an entry is begun anew, as the real call would be.
        let errno = if lane == Lane::T { EINTR } else { ECANCELED };
        let flies = matches!(verdict, Verdict::Fly);
        let mut state = self.state();
        let Some(verdict) = state.end(run, verdict, ready, self.is_dead(), errno) else {
            // In a queue already: it has landed, and nobody was told.
            let landed = flies && state.slots.is_queued(run.index);
            leave(&mut state);
            drop(state);
            if landed || self.is_dead() {
                // Or others may have given up all that waited, before a device had this.
                self.queue_waker();
            }
            return Concluded::Elsewhere;
        };
        if !run.in_chain() {
            leave(&mut state);
            drop(state);
            self.finish(run, verdict, counter);
            return Concluded::Complete(None);
        }
        let next = state.detach(run, &self.source());
        drop(state);
        // While its file is released, and the rest of its chain ended, the entry is still being
        // executed: others take over if that sleeps.
        let passed = self.pass_on(run, next, verdict, counter);
        let go = match counter.lane() {
            abi::LANE_C => Go::Here,
            abi::LANE_T => Go::ToThread,
            _ => Go::ToItsLane,
        };
        let (here, _) = self.proceed(passed, go, leave);
        Concluded::Complete(here)
    }

    /// Publishes the outcome of an entry.
    pub(crate) fn finish(&self, run: &mut Run, verdict: Verdict, counter: Counter) {
        let outcome = run.outcome(verdict, counter);
        run.release();
        self.deliver(run, outcome);
    }

    /// Publishes what an entry has come to, which holds nothing any more.
    pub(crate) fn deliver(&self, run: &Run, outcome: Outcome) {
        let (index, nr) = (run.index, run.posted.nr);
        let Outcome {
            flags,
            ret,
            counter,
        } = outcome;
        if !run.posted.is_multi() {
            self.complete(index, nr, flags, ret, counter);
            return;
        }
        let observer = self.shared.observer();
        observer.completed(index, nr, counter.lane(), flags, ret);
        self.in_flight.clear(index);
        let news = self.shared.finish_multi(u32::from(index), nr, flags, ret);
        let tail = self.completions.lock();
        self.shared.count_one(counter);
        if news {
            self.append(tail, u32::from(index));
        }
    }

    /// Publishes the outcome of an entry that does not go on, and which holds nothing any more.
    #[inline(always)]
    pub(crate) fn complete(&self, index: u16, nr: u16, flags: u16, ret: i64, counter: Counter) {
        self.write_outcome(index, nr, flags, ret, counter);
        let tail = self.completions.lock();
        self.shared.count_one(counter);
        self.append(tail, u32::from(index));
    }

    /// The same, but for the index, which is to be published.
    #[inline(always)]
    pub(crate) fn write_outcome(
        &self,
        index: u16,
        nr: u16,
        flags: u16,
        ret: i64,
        counter: Counter,
    ) {
        let observer = self.shared.observer();
        observer.completed(index, nr, counter.lane(), flags, ret);
        self.in_flight.clear(index);
        self.shared.finish(u32::from(index), nr, flags, ret);
    }

    /// Publishes the indices of what a page worker has done and not told of. True if somebody has to be woken.
    ///
    /// # Safety
    ///
    /// As for [`Hand::tell`], but that the completions need not be locked.
    pub(crate) unsafe fn publish_hand(&self, hand: &Hand) -> bool {
        if hand.untold().is_empty() {
            return false;
        }
        let mut tail = self.completions.lock();
        let start = *tail;
        // SAFETY: As the caller promises, and under the lock of the completions.
        unsafe {
            hand.tell(|index| {
                self.shared.complete(*tail, u32::from(index));
                *tail = tail.wrapping_add(1);
            });
        }
        let count = tail.wrapping_sub(start);
        if count == 0 {
            return false;
        }
        self.shared.count_more(Counter::EntriesW, count);
        self.shared.store(Word::CompTail, *tail);
        self.is_awaited(&tail)
    }

    /// The entry at `at` is concluded by other means than those before it: publishes the indices of these. True as above.
    ///
    /// # Safety
    ///
    /// Only by who has the grip of `hand`.
    pub(crate) unsafe fn publish_before(&self, hand: &Hand, at: usize) -> bool {
        // SAFETY: As the caller promises.
        let awaited = unsafe { self.publish_hand(hand) };
        let tail = self.completions.lock();
        hand.pass_over(at);
        drop(tail);
        awaited
    }

    /// Publishes the index of an entry whose result is there.
    pub(crate) fn publish(&self, index: u32) {
        self.append(self.completions.lock(), index);
    }

    #[inline]
    fn append(&self, mut tail: SpinLockGuard<'_, u32>, index: u32) {
        self.shared.complete(*tail, index);
        *tail = tail.wrapping_add(1);
        self.shared.store(Word::CompTail, *tail);
        let awaited = self.is_awaited(&tail);
        drop(tail);
        if awaited {
            self.wake_waiters();
        }
    }

    /// How many completions the application has not reaped; at most the number of entries.
    pub(crate) fn unreaped(&self) -> u32 {
        let tail = *self.completions.lock();
        tail.wrapping_sub(self.shared.load(Word::CompHead))
            .min(self.shared.entries())
    }

    /// Somebody posted while nobody looked.
    pub(crate) fn kick(self: &Arc<Self>) {
        self.shared.count(Counter::Kicks, 1);
        self.shared.observer().kicked();
        self.make_wanted_thread();
        let drain = self.state().want_drain(&self.shared);
        if let Some(drain) = drain {
            drain.queue();
        }
    }

    /// Adds what a page worker transferred.
    pub(crate) fn add_acct(&self, more: &Acct) {
        let mut acct = self.acct.lock();
        acct.rchar += more.rchar;
        acct.wchar += more.wchar;
        acct.syscr += more.syscr;
        acct.syscw += more.syscw;
    }

    /// Takes what lane W owes, for a thread of the process to add to its own.
    pub(crate) fn take_acct(&self, into: &mut Acct) {
        core::mem::swap(&mut *self.acct.lock(), into);
    }

    /// The last close. Nothing is waited for here.
    pub(crate) fn release(this: Arc<Self>) {
        this.kill();
        let _ = workqueue::housekeeping().enqueue::<_, 0>(this);
    }

    /// Completes what has not begun, ends the threads and breaks the circle of references.
    fn tear_down(self: &Arc<Self>) {
        self.take_posted();
        let remains = self.state().dissolve();
        drop(remains);
        // First, because giving back what waits may take its time.
        if !mutant!("stop") {
            self.state().crew.interrupt();
        }
        self.queue_reaper();
        self.cancel_idle();
        self.queue_reaper();
    }
}

impl WorkItem<0> for Context {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.tear_down();
    }
}
