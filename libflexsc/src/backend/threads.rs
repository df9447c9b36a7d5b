// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool of threads that executes the page's entries by plain system calls: the kernel module's
//! stand-in in user space, and the host's test bed for everything above the page.
//!
//! A thread that takes an entry may block in it. So before it executes, it sees to it that somebody
//! else looks at the ring: another poller; or a sleeper that it wakes, if there are entries left;
//! or the submitter, by way of `NEED_WAKEUP`.
//!
//! An entry that waits for a pipe, a socket or an eventfd, or polls, is parked: one thread waits for
//! all of them, and gives those that can go on back to the others. What is parked, or was not
//! begun, can be cancelled and ends at its time. A call that a thread is inside of cannot: only a
//! signal would interrupt it, and signals are the application's.

use core::{ptr, time::Duration};
use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{Builder, JoinHandle},
};

use super::{
    Bell, Error, Options,
    job::Job,
    poller::Poller,
    ring::{Cancel, Driver, Ring, Spin},
};
use crate::{
    Errno,
    page::{Counter, Event, Executor, Parking, Region, Submitter, Taken},
    sys::{self, guard::ForkGuard},
};

/// How long an idle thread polls unless told otherwise.
const IDLE_SPIN: Duration = Duration::from_micros(50);

/// The most threads, as for the module.
const MAX_THREADS: u32 = 32;

/// The pool that works on one page. Dropping it lets its threads end, and does not wait for them.
pub(crate) struct Threads {
    pool: Arc<Pool>,
    guard: ForkGuard,
}

/// Which calls a pool hands back, by their number.
pub(crate) type Declines = fn(u16) -> bool;

pub(super) struct Pool {
    executor: Executor,
    /// Entries that wait, and those that a thread is to go on with.
    parking: Parking<Job>,
    /// How many of the latter there are.
    ready: AtomicUsize,
    poller: OnceLock<Option<Arc<Poller>>>,
    /// Where the submitter sleeps until completions come.
    done: Arc<Event>,
    bell: OnceLock<Arc<Bell>>,
    declines: Option<Declines>,
    /// Its threads take entries from the ring; else they are given what to execute.
    takes: bool,
    idle: Mutex<Idle>,
    wake: Condvar,
    max: u32,
    spin: Spin,
}

#[derive(Default)]
struct Idle {
    threads: u32,
    sleeping: u32,
    /// Wake-ups that no thread has taken yet.
    woken: u32,
    stop: bool,
    /// Parked entries that a thread is to go on with.
    ready: VecDeque<u32>,
    handles: Vec<JoinHandle<()>>,
    /// The thread that waits.
    poller: Option<JoinHandle<()>>,
}

/// Sets up a page and a pool that works on it, and rings the bell, if there is one, at each
/// completion. It hands back what it `declines`, as the module may.
pub(crate) fn open(
    options: &Options,
    bell: Option<Arc<Bell>>,
    declines: Option<Declines>,
) -> Result<Ring, Error> {
    let region = Region::new(options.entries).map_err(Error::Map)?;
    let threads = Threads::new(options, region.clone(), bell, declines, true)?;
    let guard = threads.guard;
    Ok(Ring::new(
        Submitter::new(region),
        Driver::Threads(threads),
        guard,
        spin(options.wait_spin),
    ))
}

/// A spin where somebody else can work meanwhile.
fn spin(time: Duration) -> Spin {
    Spin::new(if sys::usable_cpus() > 1 {
        time
    } else {
        Duration::ZERO
    })
}

impl Threads {
    /// A pool that works on a page; unless it `takes` the entries from its ring, on those that it is
    /// given.
    pub(super) fn new(
        options: &Options,
        region: Arc<Region>,
        bell: Option<Arc<Bell>>,
        declines: Option<Declines>,
        takes: bool,
    ) -> Result<Self, Error> {
        let guard = ForkGuard::new().map_err(Error::Map)?;
        let max = match options.threads {
            0 => (sys::usable_cpus() as u32).max(4),
            given => given,
        };
        let parking = Parking::new(region.entries());
        let pool = Arc::new(Pool {
            executor: Executor::new(region),
            parking,
            ready: AtomicUsize::new(0),
            poller: OnceLock::new(),
            done: Arc::new(Event::new()),
            bell: bell.map(OnceLock::from).unwrap_or_default(),
            declines,
            takes,
            idle: Mutex::new(Idle::default()),
            wake: Condvar::new(),
            max: max.clamp(1, MAX_THREADS),
            spin: spin(options.idle_spin.unwrap_or(IDLE_SPIN)),
        });
        // The first one now, so that a pool without any is an error here.
        pool.grow(&mut pool.lock()).map_err(Error::Thread)?;
        Ok(Self { pool, guard })
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Wakes a thread, to take what was published.
    pub(super) fn kick(&self) {
        self.pool.wake_one();
    }

    /// Sleeps until `want` completions can be reaped, or the time is over, or `stop` says so.
    pub(super) fn sleep(
        &self,
        submitter: &Submitter,
        want: u32,
        timeout: Option<Duration>,
        stop: impl Fn() -> bool,
    ) {
        let region = submitter.region();
        region.count(Counter::Waits);
        let mut first = true;
        let ready = || {
            let ready = submitter.completions() >= want || stop();
            if !ready && core::mem::take(&mut first) {
                region.count(Counter::WaitSleeps);
            }
            ready
        };
        match timeout {
            None => self.pool.done.wait(ready),
            Some(timeout) => {
                self.pool.done.wait_timeout(timeout, ready);
            }
        }
    }

    /// For each entry that is pushed, before it is published.
    pub(super) fn reset(&self, index: u32) {
        self.pool.parking.reset(index);
    }

    /// Ends an entry that has no effect yet.
    pub(super) fn cancel(&self, submitter: &Submitter, index: u32) -> Cancel {
        let over = submitter.is_done(index);
        let unbegun = self.pool.parking.cancel(index);
        if let Some(job) = self.pool.parking.unpark(index) {
            self.pool.end(job);
            // While it polls for the file that stays open, whoever closes it.
            self.pool.wake_poller();
            return Cancel::Cancelled;
        }
        if unbegun {
            // It will not be; now, if all threads are inside of calls.
            while let Some(entry) = self.pool.take() {
                self.pool.queue(Job::new(entry));
            }
            return Cancel::Cancelled;
        }
        match submitter.returned(index) {
            None => Cancel::Running,
            // A thread that was to park it has met the mark.
            Some(ret) if !over && ret == -i64::from(libc::ECANCELED) => Cancel::Cancelled,
            Some(_) => Cancel::Over,
        }
    }

    /// Notified at each completion.
    pub(super) fn done(&self) -> &Arc<Event> {
        &self.pool.done
    }

    /// Rings the bell at each completion from now on.
    pub(super) fn ring(&self, bell: Arc<Bell>) {
        // It is the context's one bell, whoever set it.
        let _ = self.pool.bell.set(bell);
    }

    /// Lets the threads end and waits for them. There must be nothing in progress.
    pub(crate) fn join(&self) {
        let (handles, poller) = {
            let mut idle = self.pool.lock();
            idle.stop = true;
            (core::mem::take(&mut idle.handles), idle.poller.take())
        };
        self.pool.wake.notify_all();
        // One that cannot be woken is left behind.
        let poller = poller.filter(|_| self.pool.wake_poller());
        for handle in handles.into_iter().chain(poller) {
            // A thread has nothing to panic about; if it did, it is gone as well.
            let _ = handle.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A forked child has no threads, and perhaps a lock that nobody will release.
        if self.guard.is_forked() {
            return;
        }
        self.pool.lock().stop = true;
        self.pool.wake_all();
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn executor(&self) -> &Executor {
        &self.executor
    }

    pub(super) fn region(&self) -> &Region {
        self.executor.region()
    }

    pub(super) fn parking(&self) -> &Parking<Job> {
        &self.parking
    }

    pub(super) fn declines(&self, nr: u16) -> bool {
        self.declines.is_some_and(|declines| declines(nr))
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stop
    }

    fn wake_all(&self) {
        self.wake.notify_all();
        self.wake_poller();
    }

    /// Has the thread that waits look again what it is to wait for; `false` if it cannot be reached.
    fn wake_poller(&self) -> bool {
        match self.poller.get() {
            Some(Some(poller)) => poller.wake(),
            _ => true,
        }
    }

    /// Tells who waits for completions.
    pub(super) fn tell(&self) {
        self.done.notify();
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    /// The thread that waits, made when first asked for.
    fn poller(self: &Arc<Self>) -> Option<&Arc<Poller>> {
        let make = || {
            let poller = Arc::new(Poller::new()?);
            let (pool, own) = (self.clone(), poller.clone());
            let handle = without_signals(|| {
                Builder::new()
                    .name("flexsc-poll".to_owned())
                    .spawn(move || own.work(&pool))
            });
            self.lock().poller = Some(handle.ok()?);
            self.region().count(Counter::Threads);
            Some(poller)
        };
        self.poller.get_or_init(make).as_ref()
    }

    pub(super) fn unwatch(&self, fd: OwnedFd) {
        if let Some(Some(poller)) = self.poller.get() {
            poller.unwatch(fd);
        }
    }

    /// Lets an entry wait for its file.
    fn park(self: &Arc<Self>, job: Job) {
        let Some(poller) = self.poller() else {
            // It blocks a thread instead.
            return job.block(self);
        };
        let (index, is_watch) = (job.index(), job.is_watch());
        if let Err(job) = self.parking.park(index, job) {
            return self.end(job);
        }
        if is_watch {
            self.parking.look(|parked| {
                // It may have ended meanwhile, and its index have come to mean another, which a
                // second watch would leave with a name in the set that nobody takes out.
                let unwatched = |job: &&mut Job| job.is_watch() && job.watched.is_none();
                let Some(job) = parked.get_mut(&index).filter(unwatched) else {
                    return;
                };
                match poller.watch(job) {
                    Ok(0) => {}
                    Ok(events) => job.tell(self, events),
                    Err(errno) => {
                        if let Some(job) = parked.remove(&index) {
                            job.complete(self, -i64::from(errno.raw()));
                        }
                    }
                }
            });
        }
        if !poller.wake() && !is_watch {
            // As without one.
            if let Some(job) = self.parking.unpark(index) {
                job.block(self);
            }
        }
    }

    /// Cancels an entry that waits, or was not begun.
    fn end(self: &Arc<Self>, job: Job) {
        if let Some(next) = job.give_up(self, Errno::ECANCELED) {
            self.queue(next);
        }
    }

    /// Has a thread go on with an entry.
    pub(super) fn queue(self: &Arc<Self>, job: Job) {
        self.give(job);
        self.wake_one();
    }

    /// As [`Self::queue`]; with the last of several [`Self::see_to_ready`] is to be called.
    pub(super) fn give(self: &Arc<Self>, mut job: Job) {
        let index = job.index();
        job.wait = None;
        match self.parking.park(index, job) {
            Ok(()) => self.list_ready(index),
            Err(job) => self.end(job),
        }
    }

    /// Wakes a thread, unless one is about to look for itself. Whoever stops polling looks after its
    /// barrier, and whoever sleeps has looked under the lock.
    pub(super) fn see_to_ready(self: &Arc<Self>, submitter: &Submitter) {
        if submitter.need_wakeup() {
            self.wake_one();
        }
    }

    /// Has a thread go on with a parked entry.
    pub(super) fn resume(self: &Arc<Self>, index: u32) {
        let found = self.parking.look(|parked| {
            let job = parked.get_mut(&index)?;
            job.wait.take()
        });
        if found.is_some() {
            self.make_ready(index);
        }
    }

    fn make_ready(self: &Arc<Self>, index: u32) {
        self.list_ready(index);
        self.wake_one();
    }

    fn list_ready(&self, index: u32) {
        self.lock().ready.push_back(index);
        self.ready.fetch_add(1, Ordering::Release);
    }

    fn has_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) != 0
    }

    /// The next entry to go on with, or to begin.
    fn next(&self) -> Option<Job> {
        while self.has_ready() {
            let index = self.lock().ready.pop_front();
            let Some(index) = index else {
                break;
            };
            self.ready.fetch_sub(1, Ordering::Release);
            // Nobody, if it has ended meanwhile.
            if let Some(job) = self.parking.unpark(index) {
                return Some(job);
            }
        }
        self.take().map(Job::new)
    }

    fn take(&self) -> Option<Taken> {
        self.takes.then(|| self.executor.take()).flatten()
    }

    /// Whether nobody polls and there are entries to take.
    fn end_poll(&self) -> bool {
        self.executor.end_poll() && self.takes
    }

    /// Wakes a sleeper, or makes a thread if there is room, unless one is on its way: it will see
    /// to the rest.
    fn wake_one(self: &Arc<Self>) {
        let mut idle = self.lock();
        if idle.woken != 0 || idle.stop {
            return;
        }
        if idle.sleeping != 0 {
            idle.woken += 1;
            drop(idle);
            self.region().count(Counter::ThreadWakes);
            self.wake.notify_one();
        } else if idle.threads < self.max {
            // Without one more thread those there are will do.
            let _ = self.grow(&mut idle);
        }
    }

    fn grow(self: &Arc<Self>, idle: &mut Idle) -> io::Result<()> {
        let pool = self.clone();
        let name = format!("flexsc-{}", idle.threads);
        let handle = without_signals(|| Builder::new().name(name).spawn(move || pool.work()))?;
        idle.threads += 1;
        idle.handles.push(handle);
        self.region().count(Counter::Threads);
        Ok(())
    }

    fn work(self: Arc<Self>) {
        loop {
            self.executor.begin_poll();
            self.drain();
            if !self.rest() {
                return;
            }
        }
    }

    /// Takes and executes until nothing comes for a while. Polling when called and when it returns.
    fn drain(self: &Arc<Self>) {
        loop {
            let Some(job) = self.next() else {
                let idle = || !self.has_ready() && (!self.takes || self.executor.is_empty());
                if self.spin.while_idle(idle) {
                    continue;
                }
                return;
            };
            if self.end_poll() || self.has_ready() {
                self.wake_one();
            }
            if let Some(job) = job.run(self) {
                self.park(job);
            }
            self.executor.begin_poll();
        }
    }

    /// Stops polling and sleeps until there is something to do; `false` if there never will be.
    fn rest(&self) -> bool {
        let mut idle = self.lock();
        // Counted under the lock before the last look at the ring: a kick comes either before that
        // look, which then sees the entry, or finds a sleeper.
        idle.sleeping += 1;
        self.region().count(Counter::IdleSleeps);
        if self.end_poll() || !idle.ready.is_empty() {
            idle.sleeping -= 1;
            return true;
        }
        while idle.woken == 0 && !idle.stop {
            idle = self.wake.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
        idle.sleeping -= 1;
        if idle.woken != 0 {
            idle.woken -= 1;
            return true;
        }
        false
    }
}

/// Runs `spawn` with all signals blocked: a thread inherits that, so the process's signals go to
/// the threads that expect them.
fn without_signals<T>(spawn: impl FnOnce() -> T) -> T {
    // SAFETY: A signal set is a plain bit array, for which all zeroes is a value.
    let (mut all, mut old): (libc::sigset_t, libc::sigset_t) = unsafe { core::mem::zeroed() };
    // SAFETY: Both sets are valid for writes; the mask is this thread's own.
    unsafe {
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
    }
    let result = spawn();
    // SAFETY: `old` is the mask that was in force.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &old, ptr::null_mut()) };
    result
}
