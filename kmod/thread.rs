// SPDX-License-Identifier: GPL-2.0

//! Lane T: system call threads, which are threads of the process itself.
//!
//! A `vhost_task` is a user thread that never leaves the kernel: memory, cwd and root,
//! namespaces, cgroup and limits are the process's by construction, and exit, execve and
//! SIGKILL take it along. Two things it lacks are mended here: it starts without an fd table,
//! and nothing in its loop runs the task work by which `fput()` finishes.
//!
//! C header: [`include/linux/sched/vhost_task.h`](srctree/include/linux/sched/vhost_task.h)

use crate::{
    abi, adopt,
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
        Grip,
        Hand, //
    },
    helpers::{
        self,
        flexsc_account,
        flexsc_cond_resched,
        flexsc_files_adopt,
        flexsc_files_share,
        flexsc_files_unshare,
        flexsc_fput_soon,
        flexsc_held,
        flexsc_interrupt,
        flexsc_pin,
        flexsc_set_running,
        jiffies,
        VhostTask, //
    },
    intake::Source,
    policy,
    shared::Counter,
    slots::Run,
    state::{
        Leave,
        State, //
    },
};
use core::ptr;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    new_condvar,
    new_spinlock,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        CondVar,
        SetOnce,
        SpinLock, //
    },
    task::Task,
    types::ScopeGuard, //
};

/// After so many jiffies a thread puts back what it has in hand: it has kept that, and the ring, for a whole one.
const PATIENCE: c_ulong = 2;

/// A thread of the process that executes entries.
///
/// # Invariants
///
/// - `vhost` is null, or a started `vhost_task` whose argument is a reference to this object
///   that [`SyscallThread::stop`] gives back; it becomes null again only there.
/// - Until `task` is set, this object owns one count of `files`; from then on the thread itself
///   does.
#[pin_data]
pub(crate) struct SyscallThread {
    context: Arc<Context>,
    id: u64,
    files: *mut bindings::files_struct,
    hand: Hand,
    task: SetOnce<ARef<Task>>,
    /// Those who wait for `task`.
    #[pin]
    waiting: SpinLock<()>,
    #[pin]
    news: CondVar,
    vhost: Atomic<*mut VhostTask>,
    gone: Atomic<u32>,
}

// SAFETY: `files` is only touched by the thread itself, once, and the rest is `Send`.
unsafe impl Send for SyscallThread {}
// SAFETY: `files` is only touched by the thread itself, once, and the rest is `Sync`.
unsafe impl Sync for SyscallThread {}

impl SyscallThread {
    /// Makes and starts a thread of the calling process.
    ///
    /// Must be called from a thread of the process. Fails with what `clone(2)` fails with
    /// (`EAGAIN` at the limit of processes, `-ERESTARTNOINTR` when a signal is due).
    pub(crate) fn spawn(context: Arc<Context>, id: u64) -> Result<Arc<Self>> {
        // SAFETY: The calling thread has an fd table.
        let files = unsafe { flexsc_files_share() };
        let unshare = ScopeGuard::new(|| {
            // SAFETY: The count taken above was not passed on, and current still holds one.
            unsafe { flexsc_files_unshare(files) }
        });
        let this = Arc::pin_init(
            pin_init!(Self {
                context,
                id,
                files,
                hand: Hand::new(),
                task: SetOnce::new(),
                waiting <- new_spinlock!(()),
                news <- new_condvar!("flexsc::SyscallThread::news"),
                vhost: Atomic::new(ptr::null_mut()),
                gone: Atomic::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;

        let argument = Arc::into_raw(this.clone());
        // SAFETY: The callbacks expect a `SyscallThread` that lives until `vhost_task_stop`, and
        // `argument` is a reference that is only given back after that.
        let vhost = unsafe {
            helpers::vhost_task_create(
                run,
                handle_sigkill,
                argument.cast_mut().cast::<c_void>(),
                c"flexsc".as_char_ptr(),
            )
        };
        let vhost = from_err_ptr(vhost).inspect_err(|_| {
            // SAFETY: The thread was not made, so nobody else has this reference.
            drop(unsafe { Arc::from_raw(argument) });
        })?;
        // INVARIANT: The thread is started below, and `argument` is its reference.
        this.vhost.store(vhost, Release);
        // The thread now owns the count of the fd table.
        unshare.dismiss();
        // SAFETY: `vhost` was just made and is started once.
        unsafe { helpers::vhost_task_start(vhost) };
        Ok(this)
    }

    /// Waits until the thread has the fd table, or the caller is wanted elsewhere: whoever stops
    /// or freezes the process before the thread has run waits for the caller, too.
    pub(crate) fn settle(&self) {
        if mutant!("settle") {
            self.await_task();
        }
        let mut guard = self.waiting.lock();
        while self.task().is_none() && !self.news.wait_interruptible(&mut guard) {}
        drop(guard);
        if let (Some(task), Some(cpu)) = (self.task(), self.context.thread_cpu()) {
            // Only a preference: if it cannot be had, the scheduler places the thread.
            // SAFETY: `task` is a valid task.
            let _: c_int = unsafe { flexsc_pin(task.as_ptr(), cpu) };
        }
    }

    /// Waits until the thread has the fd table.
    fn await_task(&self) {
        let mut guard = self.waiting.lock();
        while self.task().is_none() {
            self.news.wait(&mut guard);
        }
    }

    /// What the thread has in hand.
    pub(crate) fn hand(&self) -> &Hand {
        &self.hand
    }

    /// The thread's task, once it has run and has the fd table.
    pub(crate) fn task(&self) -> Option<&Task> {
        self.task.as_ref().map(|task| &**task)
    }

    /// Makes the thread look for entries.
    pub(crate) fn wake(&self) {
        let vhost = self.vhost.load(Acquire);
        if !vhost.is_null() {
            // SAFETY: By the type invariants it is a started task that was not stopped: `stop`
            // runs after the thread was taken out of the context's state, and `wake` is called
            // on threads in there only, under its lock.
            unsafe { helpers::vhost_task_wake(vhost) };
        }
    }

    /// Breaks the thread out of an interruptible wait.
    pub(crate) fn interrupt(&self) {
        if let Some(task) = self.task() {
            // SAFETY: `task` is a valid task.
            unsafe { flexsc_interrupt(task.as_ptr()) };
        }
    }

    /// Whether the thread has left its loop, because the process dies or executes another
    /// program.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Acquire) != 0
    }

    /// Whether somebody keeps the thread from running: it is stopped, traced or frozen, or has not
    /// run yet, for that reason perhaps.
    pub(crate) fn is_held(&self) -> bool {
        match self.task() {
            // SAFETY: `task` is a valid task.
            Some(task) => unsafe { flexsc_held(task.as_ptr()) },
            None => true,
        }
    }

    /// Ends the thread and waits for it. It must not be, or no longer be, in its context's
    /// state, so that it begins nothing more; a call that it is inside is interrupted.
    pub(crate) fn stop(&self) {
        let vhost = self.vhost.load(Acquire);
        if vhost.is_null() {
            return;
        }
        // One that ended before it has run would leave the count of the fd table to nobody.
        self.await_task();
        self.vhost.store(ptr::null_mut(), Relaxed);
        if !mutant!("stop") {
            self.interrupt();
        }
        // SAFETY: By the type invariants `vhost` is a started task, and it is stopped once. The
        // caller is not this thread.
        unsafe { helpers::vhost_task_stop(vhost) };
        // SAFETY: By the type invariants this is the thread's reference, and the thread no
        // longer runs anything of ours.
        drop(unsafe { Arc::from_raw(ptr::from_ref(self)) });
    }

    /// Gives the thread the process's fd table, whichever callback runs first.
    fn adopt(&self) {
        if self.task().is_some() {
            return;
        }
        // SAFETY: By the type invariants this object owns a count of `files`, which passes to
        // the current task, a `vhost_task` that has no table.
        unsafe { flexsc_files_adopt(self.files) };
        let current = kernel::current!();
        self.context.set_table_task(self.id, current);
        self.task.populate(ARef::from(&**current));
        // Who waits holds this lock from the last look until it is on the wait queue.
        drop(self.waiting.lock());
        self.news.notify_all();
    }
}

/// The thread's loop body: false to sleep until woken, true to be called again.
///
/// # Safety
///
/// `data` must be a `SyscallThread` that outlives the call, which runs in that thread.
unsafe extern "C" fn run(data: *mut c_void) -> bool {
    // SAFETY: The caller promises it; nothing changes through this reference.
    let this = unsafe { &*data.cast::<SyscallThread>() };
    this.adopt();
    // SAFETY: The thread itself has it, for as long as it is here.
    let grip = unsafe { this.hand.grip() };
    this.context.serve(this.id, grip)
}

/// The process dies or executes another program, and this thread with it.
///
/// # Safety
///
/// As for [`run`].
unsafe extern "C" fn handle_sigkill(data: *mut c_void) {
    // SAFETY: The caller promises it; nothing changes through this reference.
    let this = unsafe { &*data.cast::<SyscallThread>() };
    // Even a thread that never ran must own its count of the table, or the table would leak.
    this.adopt();
    if !mutant!("exit") {
        this.context.kill();
    }
    // What waits for a file holds it, and a file may hold this very context.
    if !mutant!("circle") {
        this.context.cancel_idle();
    }
    this.gone.store(1, Release);
    this.context.queue_reaper();
}

/// Whether `current`, which must be the calling task, has work to do when it returns to user mode, such as to release files.
#[inline(always)]
pub(crate) fn has_task_work(current: &Task) -> bool {
    // SAFETY: `current` is a valid task. Others add work at any moment, and the word is read by itself.
    let work = unsafe { (&raw const (*current.as_ptr()).task_works).read_volatile() };
    !work.is_null()
}

/// What a system call thread does next.
enum Step {
    /// What it has in hand.
    Hand,
    Run(Run),
    Poll(Lookout),
    Again,
    Done,
}

/// Whom a system call thread has become.
#[derive(Default)]
struct Guise<'a> {
    /// For whom it executes, and in whose credentials; none before the first entry.
    site: Option<Site<'a>>,
    creds: Option<adopt::Creds>,
}

impl Context {
    /// Runs entries in lane T; called in system call thread number `id`, in state
    /// TASK_INTERRUPTIBLE, which must stand when false is returned without having worked.
    fn serve(self: &Arc<Self>, id: u64, mut grip: Grip<'_>) -> bool {
        let shared = self.shared();
        // The reaper looks at a thread under the same lock: either it finds that this one has run,
        // or the context is found dead here.
        let (dead, wanted, left) = {
            let mut state = self.state();
            let dead = self.is_dead();
            let wanted = !dead && state.thread_wanted(id);
            if wanted {
                state.start_thread(id, shared);
            }
            let left = dead && grip.has_more();
            if dead {
                state.take_back(|thread| thread.id() == id);
                state.end_hand(id, &mut grip);
            }
            (dead, wanted, left)
        };
        if left {
            flexsc_set_running();
            self.give_up();
        }
        if dead {
            // If the context is torn down already, the reaper has left this thread alone.
            self.queue_reaper();
        }
        if !wanted {
            return left;
        }
        flexsc_set_running();
        let mut acct = Acct::default();
        self.take_acct(&mut acct);
        flexsc_account(&acct);

        let me = kernel::current!();
        let mut guise = Guise::default();
        loop {
            if !self.may_begin(me) {
                return true;
            }
            match self.next_t(id, &mut grip) {
                Step::Hand => self.run_hand(id, &mut grip, &mut guise),
                Step::Run(mut run) => {
                    let verdict = self.execute_t(&mut run, me, &mut guise).into();
                    self.conclude_t(id, &mut run, verdict);
                }
                Step::Poll(lookout) => {
                    // The creds come off first: nothing is worn while idle.
                    guise = Guise::default();
                    if !self.poll_ring(lookout) && self.retire(id) {
                        return true;
                    }
                }
                Step::Again => {}
                Step::Done => return true,
            }
            flexsc_cond_resched();
        }
    }

    /// Whether a system call thread may begin an entry.
    ///
    /// With a signal pending interruptible waits fail, so none is begun: the caller's loop lets get_signal() run task work,
    /// stop or freeze first, and comes back. The thread counts as active meanwhile; if it stops, its process stops too.
    #[inline(always)]
    fn may_begin(&self, me: &Task) -> bool {
        if has_task_work(me) && !mutant!("fput") {
            flexsc_fput_soon();
        }
        !self.is_dead() && !policy::is_signalled(me)
    }

    fn next_t(self: &Arc<Self>, id: u64, grip: &mut Grip<'_>) -> Step {
        let shared = self.shared();
        let source = self.source();
        let mut state = self.state();
        state.end_t(id, shared);
        if grip.was_stopped() {
            return Step::Again;
        }
        state.take_fired(self.fired());
        let step = self.choose_t(id, grip, &mut state, &source);
        let drain = if state.has_w() {
            state.want_drain(shared)
        } else {
            None
        };
        let mind = matches!(step, Some(Step::Hand | Step::Run(_))) && state.start_minding();
        let step = step.unwrap_or_else(|| {
            if !state.others_active() && self.spins() {
                return Step::Poll(self.lookout(&state));
            }
            match state.stop_thread(id, shared) {
                Leave::Stay => Step::Again,
                Leave::Gone => Step::Done,
            }
        });
        drop(state);
        if let Some(drain) = drain {
            drain.queue();
        }
        if mind {
            self.queue_minder();
        }
        step
    }

    /// What there is to be executed: what the thread has in hand, else what is queued, else what is posted, else
    /// what others have in hand.
    fn choose_t(
        &self,
        id: u64,
        grip: &mut Grip<'_>,
        state: &mut State,
        source: &Source<'_>,
    ) -> Option<Step> {
        if grip.has_more() {
            return Some(Step::Hand);
        }
        state.end_hand(id, grip);
        let stays = state.crew.get(id).is_some();
        if state.has_t() || !stays {
            state.pull_for_lanes(source);
        // SAFETY: This is the state of the thread's context.
        } else if unsafe { grip.fill::<false>(state, source) } {
            state.begin_hand(id);
            return Some(Step::Hand);
        } else if !state.has_t() {
            state.take_back(|thread| thread.id() != id);
        }
        // One that was taken out to end begins nothing more.
        let run = if stays { state.begin_t(id) } else { None };
        run.map(Step::Run)
    }

    /// After polling in vain: true if the thread may sleep.
    fn retire(&self, id: u64) -> bool {
        matches!(self.state().stop_thread(id, self.shared()), Leave::Gone)
    }

    /// Executes what the thread has in hand, until others have something to do that it would keep waiting.
    fn run_hand<'a>(self: &'a Arc<Self>, id: u64, grip: &mut Grip<'_>, guise: &mut Guise<'a>) {
        let start = jiffies.load();
        let me = kernel::current!();
        while self.may_begin(me) {
            let Some((_, run)) = grip.begin_run() else {
                return;
            };
            match self.execute_t(run, me, guise) {
                Ok(ret) => {
                    run.taken.release();
                    // Nobody has to be told but the application.
                    self.complete(run.index, run.posted.nr, 0, ret, Counter::EntriesT);
                }
                Err(verdict) => self.conclude_t(id, run, verdict),
            }
            if jiffies.load().wrapping_sub(start) >= PATIENCE {
                // What was posted meanwhile may be for page workers, who leave the ring to this thread.
                self.state().take_back(|thread| thread.id() == id);
                return;
            }
        }
    }

    /// Concludes an entry of which more is to be said, or which was queued.
    fn conclude_t(self: &Arc<Self>, id: u64, run: &mut Run, verdict: Verdict) {
        self.conclude(run, verdict, Lane::T, Counter::EntriesT, |state| {
            state.end_t(id, self.shared());
        });
    }

    #[inline(always)]
    fn execute_t<'a>(
        self: &'a Arc<Self>,
        run: &mut Run,
        me: &Task,
        guise: &mut Guise<'a>,
    ) -> Result<i64, Verdict> {
        let observer = self.shared().observer();
        observer.started(run.index, run.posted.nr, abi::LANE_T);
        let watched = match (&guise.site, &guise.creds) {
            (Some(site), Some(creds)) => creds.watched_as_before(site.owner, me),
            _ => None,
        };
        let watched = match watched {
            Some(watched) => watched,
            None => self.adopt_t(run, me, guise)?,
        };
        let Some(site) = &mut guise.site else {
            return Err(Verdict::HandBack);
        };
        site.set(watched, ptr::null_mut());
        // SAFETY: This is a system call thread of the process with its fd table, which was compared, and the
        // credentials are worn.
        unsafe { self.execute(run, site) }
    }

    /// Has a system call thread become whose calls these are now.
    #[cold]
    fn adopt_t<'a>(&'a self, run: &Run, me: &Task, guise: &mut Guise<'a>) -> Result<u32, Verdict> {
        let Some(owner) = self.identity().who_shares(me) else {
            // A connect that has begun goes on by itself, as after a signal.
            return Err(match &run.held {
                Some(arm) if arm.note != 0 => Verdict::Did(i64::from(EINTR.to_errno())),
                _ => Verdict::HandBack,
            });
        };
        let gate = adopt::wear_current(&mut guise.creds, owner) | self.strict();
        guise.site = Some(Site::new(abi::LANE_T, owner, gate));
        Ok(policy::watched(owner))
    }
}
