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
    abi,
    adopt,
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
    helpers::{
        self,
        flexsc_account,
        flexsc_cond_resched,
        flexsc_files_adopt,
        flexsc_files_share,
        flexsc_files_unshare,
        flexsc_fput_pending,
        flexsc_fput_soon,
        flexsc_held,
        flexsc_interrupt,
        flexsc_pin,
        flexsc_set_running,
        VhostTask, //
    },
    policy,
    shared::Counter,
    slots::Run,
    state::Leave, //
};
use core::ptr;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_int,
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
    this.context.serve(this.id)
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

/// What a system call thread does next.
enum Step {
    Run(Run),
    Poll(Lookout),
    Again,
    Done,
}

impl Context {
    /// Runs entries in lane T; called in system call thread number `id`, in state
    /// TASK_INTERRUPTIBLE, which must stand when false is returned without having worked.
    fn serve(self: &Arc<Self>, id: u64) -> bool {
        let shared = self.shared();
        // The reaper looks at a thread under the same lock: either it finds that this one has run,
        // or the context is found dead here.
        let (dead, wanted) = {
            let mut state = self.state();
            let dead = self.is_dead();
            let wanted = !dead && state.thread_wanted(id);
            if wanted {
                state.start_thread(id, shared);
            }
            (dead, wanted)
        };
        if dead {
            // If the context is torn down already, the reaper has left this thread alone.
            self.queue_reaper();
        }
        if !wanted {
            return false;
        }
        flexsc_set_running();
        let mut acct = Acct::default();
        self.take_acct(&mut acct);
        flexsc_account(&acct);

        let mut creds = None;
        loop {
            if flexsc_fput_pending() && !mutant!("fput") {
                flexsc_fput_soon();
            }
            // With that flag set interruptible waits fail, so no entry is begun: the caller's
            // loop lets get_signal() run the work, stop or freeze first, and comes back here.
            // The thread counts as active meanwhile; if it stops, its process stops too.
            if self.is_dead() || kernel::current!().signal_pending() {
                return true;
            }
            match self.next_t(id) {
                Step::Run(mut run) => {
                    shared
                        .observer()
                        .started(run.index, run.posted.nr, abi::LANE_T);
                    let verdict = self.execute_t(&mut run, &mut creds);
                    self.conclude(&mut run, verdict, Lane::T, Counter::EntriesT, |state| {
                        state.end_t(id, shared);
                    });
                }
                Step::Poll(lookout) => {
                    // The creds come off first: nothing is worn while idle.
                    creds = None;
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

    fn next_t(self: &Arc<Self>, id: u64) -> Step {
        let shared = self.shared();
        let mut state = self.state();
        state.pull_for_lanes(&self.source());
        state.take_fired(self.fired());
        let drain = if state.has_w() {
            state.want_drain(shared)
        } else {
            None
        };
        let mut mind = false;
        // One that was taken out to end begins nothing more.
        let run = if state.crew.get(id).is_some() {
            state.begin_t(id)
        } else {
            None
        };
        let step = if let Some(run) = run {
            mind = state.start_minding();
            Step::Run(run)
        } else if !state.others_active() && self.spins() {
            Step::Poll(self.lookout(&state))
        } else {
            match state.stop_thread(id, shared) {
                Leave::Stay => Step::Again,
                Leave::Gone => Step::Done,
            }
        };
        drop(state);
        if let Some(drain) = drain {
            drain.queue();
        }
        if mind {
            self.queue_minder();
        }
        step
    }

    /// After polling in vain: true if the thread may sleep.
    fn retire(&self, id: u64) -> bool {
        matches!(self.state().stop_thread(id, self.shared()), Leave::Gone)
    }

    fn execute_t(self: &Arc<Self>, run: &mut Run, creds: &mut Option<adopt::Creds>) -> Verdict {
        let Some(owner) = self.identity().who_shares(&*kernel::current!()) else {
            // A connect that has begun goes on by itself, as after a signal.
            return match &run.held {
                Some(arm) if arm.note != 0 => Verdict::Did(i64::from(EINTR.to_errno())),
                _ => Verdict::HandBack,
            };
        };
        let gate = adopt::wear_current(creds, owner) | self.strict();
        let mut site = Site::new(abi::LANE_T, owner, gate);
        site.set(policy::watched(owner), ptr::null_mut());
        // SAFETY: This is a system call thread of the process with its fd table, which
        // `who_shares` has compared, and the credentials are worn.
        unsafe { self.execute(run, &mut site) }.into()
    }
}
