// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool of threads that executes the page's entries by plain system calls: the kernel module's
//! stand-in in user space, and the host's test bed for everything above the page.
//!
//! A thread that takes an entry may block in it. So before it executes, it sees to it that somebody
//! else looks at the ring: another poller; or a sleeper that it wakes, if there are entries left;
//! or the submitter, by way of `NEED_WAKEUP`.

use core::{ptr, time::Duration};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
};

use super::{
    Bell, Error, Options,
    ring::{Driver, Ring, Spin},
};
use crate::{
    page::{Counter, Event, Executor, Region, Submitter},
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

struct Pool {
    executor: Executor,
    /// Where the submitter sleeps until completions come.
    done: Arc<Event>,
    bell: Option<Arc<Bell>>,
    declines: bool,
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
    handles: Vec<JoinHandle<()>>,
}

/// Sets up a page and a pool that works on it, and rings the bell, if there is one, at each
/// completion. One that `declines` hands all entries back, as the module may.
pub(crate) fn open(
    options: &Options,
    bell: Option<Arc<Bell>>,
    declines: bool,
) -> Result<Ring, Error> {
    let guard = ForkGuard::new().map_err(Error::Map)?;
    let region = Region::new(options.entries).map_err(Error::Map)?;
    let cpus = sys::usable_cpus();
    let max = match options.threads {
        0 => (cpus as u32).max(4),
        given => given,
    };
    let spin = |time| Spin::new(if cpus > 1 { time } else { Duration::ZERO });
    let pool = Arc::new(Pool {
        executor: Executor::new(region.clone()),
        done: Arc::new(Event::new()),
        bell,
        declines,
        idle: Mutex::new(Idle::default()),
        wake: Condvar::new(),
        max: max.clamp(1, MAX_THREADS),
        spin: spin(options.idle_spin.unwrap_or(IDLE_SPIN)),
    });
    // The first one now, so that a pool without any is an error here.
    pool.grow(&mut pool.lock()).map_err(Error::Thread)?;
    let driver = Driver::Threads(Threads { pool, guard });
    Ok(Ring::new(
        Submitter::new(region),
        driver,
        guard,
        spin(options.wait_spin),
    ))
}

impl Threads {
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

    /// Notified at each completion.
    pub(super) fn done(&self) -> &Arc<Event> {
        &self.pool.done
    }

    /// Lets the threads end and waits for them. There must be nothing in progress.
    pub(crate) fn join(&self) {
        let handles = {
            let mut idle = self.pool.lock();
            idle.stop = true;
            core::mem::take(&mut idle.handles)
        };
        self.pool.wake.notify_all();
        for handle in handles {
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
        self.pool.wake.notify_all();
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn region(&self) -> &Region {
        self.executor.region()
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
            let Some(entry) = self.executor.take() else {
                if self.spin.while_idle(|| self.executor.is_empty()) {
                    continue;
                }
                return;
            };
            if self.executor.end_poll() {
                self.wake_one();
            }
            if self.declines {
                self.region().count(Counter::HandedBack);
                let ret = -i64::from(libc::ENOSYS);
                self.executor.complete(entry, ret, sys::ENTRY_HANDED_BACK);
            } else {
                // SAFETY: Who pushed the entry promised that the call may be made.
                let ret = unsafe { sys::syscall(entry.nr, &entry.args) };
                self.region().count(Counter::EntriesT);
                self.executor.complete(entry, ret, 0);
            }
            self.done.notify();
            if let Some(bell) = &self.bell {
                bell.ring();
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
        if self.executor.end_poll() {
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
