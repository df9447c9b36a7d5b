// SPDX-License-Identifier: MIT OR Apache-2.0
//! A page and who works on it.

use core::time::Duration;
use std::{
    os::fd::RawFd,
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::{
    Bell, Error, Options,
    module::Module,
    threads::{self, Threads},
    uring::{self, Uring},
};
use crate::{
    page::{Counter, Event, Region, Submitter, Terms},
    stats::Stats,
    sync::spin_loop,
    sys::guard::ForkGuard,
};

/// A page, and who works on it.
pub(crate) struct Ring {
    pub(crate) submitter: Submitter,
    pub(crate) driver: Driver,
    pub(crate) guard: ForkGuard,
    /// `sys::FEAT_*` of the other side.
    features: u64,
    spin: Spin,
    /// The other side cannot be asked for anything any more: nothing is posted to it.
    lost: bool,
    /// What it has not taken by then was taken back.
    recovered: bool,
}

/// How long a sleep is while completions tell nobody.
const UNTOLD: Duration = Duration::from_millis(10);

/// What came of a [cancel](crate::Context::cancel). The output says what has happened in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancel {
    /// It had not begun, or waited and had no effect: it ends with
    /// [`Errno::CANCELED`](crate::Errno::CANCELED), or a write that waited with what it has written.
    Cancelled,
    /// It is being executed, and gives its result. It may end soon: the module and io_uring interrupt
    /// a call that sleeps, which then gives `EINTR` or what it has got so far.
    Running,
    /// It is over.
    Over,
}

/// Who works on a page.
pub(crate) enum Driver {
    Module(Module),
    Uring(Box<Uring>),
    Threads(Threads),
}

impl Ring {
    pub(super) fn new(submitter: Submitter, driver: Driver, guard: ForkGuard, spin: Spin) -> Self {
        Self {
            features: submitter.region().features(),
            submitter,
            driver,
            guard,
            spin,
            lost: false,
            recovered: false,
        }
    }

    /// Whether nothing is to be posted any more: the module's descriptor is gone, or its context.
    #[inline]
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether the other side does this, one of `sys::FEAT_*`.
    pub(crate) fn has(&self, feature: u32) -> bool {
        self.features & u64::from(feature) != 0
    }

    /// A page of a module that cannot be reached.
    #[cfg(test)]
    pub(super) fn unreachable() -> Self {
        let region = Region::new(64).expect("a page");
        let guard = ForkGuard::new().expect("a guard");
        let driver = Driver::Module(Module::unreachable());
        Self::new(Submitter::new(region), driver, guard, Spin::new(UNTOLD))
    }

    /// Behaves as if the other side had less features.
    #[cfg(test)]
    pub(crate) fn without(&mut self, features: u32) {
        self.features &= !u64::from(features);
    }

    /// Whether who pushes this call should know whether its file has positions.
    #[inline]
    pub(crate) fn asks_for_positions(&self, nr: u16) -> bool {
        matches!(self.driver, Driver::Uring(_)) && uring::is_positional(nr)
    }

    /// Fills in an entry, and gives its index; `None` if none is free. `seeks` is whether its file
    /// has positions, if that is known.
    ///
    /// # Safety
    ///
    /// As for [`Submitter::push_with`].
    #[inline]
    pub(crate) unsafe fn push(
        &mut self,
        nr: u16,
        args: &[u64; 6],
        terms: Terms,
        token: u32,
        seeks: Option<bool>,
    ) -> Option<u32> {
        // SAFETY: As the caller promises.
        let index = unsafe { self.submitter.push_with(nr, args, terms, token) }?;
        self.reset(index, seeks);
        Some(index)
    }

    /// Fills in an entry without any terms, which comes back with a [mark](Submitter::mark); `false`
    /// if none is free.
    ///
    /// # Safety
    ///
    /// As for [`Submitter::push_with`].
    #[inline(always)]
    pub(crate) unsafe fn push_marked(
        &mut self,
        nr: u16,
        args: &[u64; 6],
        token: u32,
        mark: u64,
    ) -> bool {
        let terms = Terms::default();
        // SAFETY: As the caller promises.
        let index = unsafe { self.submitter.push_marked(nr, args, terms, token, mark) };
        let Some(index) = index else {
            return false;
        };
        if !matches!(self.driver, Driver::Module(_)) {
            self.reset(index, None);
        }
        true
    }

    /// Fills in entries as [`Submitter::push_all`] does; `false`, and nothing was done, where somebody has to be told
    /// of each.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(crate) unsafe fn push_all(
        &mut self,
        token: u32,
        left: &mut u32,
        next: impl FnMut() -> Option<(u16, [u64; 6], u64)>,
    ) -> bool {
        if !matches!(self.driver, Driver::Module(_)) {
            return false;
        }
        // SAFETY: As the caller promises.
        unsafe { self.submitter.push_all(token, left, next) };
        true
    }

    /// Has who works on the page forget what an entry was before.
    #[inline]
    fn reset(&mut self, index: u32, seeks: Option<bool>) {
        match &mut self.driver {
            Driver::Module(_) => {}
            Driver::Uring(uring) => uring.reset(index, seeks),
            Driver::Threads(threads) => threads.reset(index),
        }
    }

    /// The descriptor of the module.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        match &self.driver {
            Driver::Module(module) => Some(module.descriptor()),
            Driver::Uring(_) | Driver::Threads(_) => None,
        }
    }

    /// Spins for a completion; `false` if it is worth while no more.
    pub(super) fn spin_for_one(&self) -> bool {
        self.spin
            .until(1, || self.submitter.completions(), || false)
    }

    /// Ends an entry early.
    pub(crate) fn cancel(&mut self, index: u32) -> Cancel {
        // An entry that was not published is unknown to the other side.
        self.flush();
        match &mut self.driver {
            Driver::Module(_) if self.lost => Cancel::Running,
            Driver::Module(module) => module.cancel(index),
            Driver::Uring(uring) => uring.cancel(&self.submitter, index),
            Driver::Threads(threads) => threads.cancel(&self.submitter, index),
        }
    }

    /// Lets the other side see what was pushed, and wakes it if it sleeps.
    #[inline(never)]
    pub(crate) fn flush(&mut self) {
        self.prepare();
        if let Driver::Uring(uring) = &mut self.driver {
            uring.submit();
        }
    }

    /// As [`Self::flush`], if so many were pushed since.
    #[inline]
    pub(crate) fn flush_at(&mut self, count: u32) {
        if self.submitter.unpublished() >= count {
            self.flush();
        }
    }

    /// As [`Self::flush`], but leaves to the [wait](Self::wait) that follows what it does better.
    pub(crate) fn prepare(&mut self) {
        if self.submitter.unpublished() == 0 || self.lost {
            return;
        }
        self.submitter.publish();
        match &mut self.driver {
            Driver::Uring(uring) => uring.take(&self.submitter),
            Driver::Module(module) => {
                // On the only CPU the wait itself executes.
                if !module.is_single() && self.submitter.need_wakeup() {
                    self.lost = !module.kick();
                }
            }
            Driver::Threads(threads) => {
                if self.submitter.need_wakeup() {
                    self.submitter.region().count(Counter::Kicks);
                    threads.kick();
                }
            }
        }
    }

    /// Sees to it that what has completed can be reaped.
    pub(crate) fn collect(&mut self) {
        if let Driver::Uring(uring) = &mut self.driver {
            uring.collect(&self.submitter);
        }
    }

    /// Gives, once, the tokens and entries of what was posted to another side that is lost, and is not
    /// executed there.
    pub(crate) fn take_back(&mut self) -> Option<Vec<(u32, u32)>> {
        if !self.lost || core::mem::replace(&mut self.recovered, true) {
            return None;
        }
        Some(self.submitter.withdraw_all())
    }

    /// Begins what follows on what was [collected](Self::collect).
    pub(crate) fn go_on(&mut self) {
        if let Driver::Uring(uring) = &mut self.driver {
            uring.go_on();
        }
    }

    /// Waits until `want` completions can be reaped, or the time is over, or the bell rings; also
    /// ends for no reason. While completions keep coming it waits for `hope` of them.
    pub(crate) fn wait(
        &mut self,
        want: u32,
        hope: u32,
        timeout: Option<Duration>,
        bell: Option<&Bell>,
        stats: &mut Stats,
    ) {
        if let Driver::Uring(uring) = &mut self.driver {
            return uring.sleep(&self.submitter, want, timeout, bell);
        }
        if self.lost {
            return self.rest(want, timeout, bell);
        }
        let rung = || bell.is_some_and(Bell::is_rung);
        if timeout.is_none_or(|timeout| timeout > self.spin.time)
            && (self.spin.until(hope, || self.submitter.completions(), rung)
                || self.submitter.completions() >= want)
        {
            stats.spun += 1;
            return;
        }
        match &self.driver {
            Driver::Module(module) => {
                self.lost = !module.sleep(&self.submitter, want, timeout, bell);
            }
            Driver::Uring(_) => {}
            Driver::Threads(threads) => threads.sleep(&self.submitter, want, timeout, rung),
        }
    }

    /// Sleeps for a while, for who cannot be told of completions: the module goes on with what it has taken.
    fn rest(&self, want: u32, timeout: Option<Duration>, bell: Option<&Bell>) {
        let time = timeout.map_or(UNTOLD, |timeout| timeout.min(UNTOLD));
        match bell {
            Some(bell) => {
                let over = || self.submitter.completions() >= want || bell.is_rung();
                bell.event.wait_timeout(time, over);
            }
            None => std::thread::sleep(time),
        }
    }

    /// A pool that makes calls which others have declined, and rings the bell at each completion.
    pub(crate) fn stand_in(bell: Arc<Bell>) -> Result<Self, Error> {
        threads::open(Options::new().idle_spin(Duration::ZERO), Some(bell), None)
    }

    /// A bell that ends a wait.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        match &self.driver {
            Driver::Module(module) => {
                let file = module.event_file();
                Arc::new(Bell::new(Arc::new(Event::new()), file))
            }
            Driver::Uring(uring) => uring.bell().clone(),
            Driver::Threads(threads) => Arc::new(Bell::new(threads.done().clone(), None)),
        }
    }

    /// Begins to tell others of completions, by the file of this number if there is one, or by the
    /// bell.
    pub(crate) fn lend(&mut self, bell: &Arc<Bell>) -> Option<RawFd> {
        match &mut self.driver {
            Driver::Module(module) => {
                let file = module.lend();
                // What was published before was left to a wait.
                if self.submitter.need_wakeup() {
                    self.lost |= !module.kick();
                }
                Some(file)
            }
            Driver::Uring(uring) => Some(uring.fd()),
            Driver::Threads(threads) => {
                threads.ring(bell.clone());
                None
            }
        }
    }

    /// How long one may sleep before something has to be seen to that no completion tells of.
    pub(crate) fn patience(&mut self) -> Option<Duration> {
        match &mut self.driver {
            Driver::Uring(uring) => uring.patience(),
            Driver::Module(_) if self.lost && self.submitter.outstanding() > 0 => Some(UNTOLD),
            Driver::Module(_) | Driver::Threads(_) => None,
        }
    }

    /// Lets the pool end, if there is one, and waits for it. There must be nothing in progress.
    pub(crate) fn join(&self) {
        match &self.driver {
            _ if self.guard.is_forked() => {}
            Driver::Module(_) => {}
            Driver::Uring(uring) => uring.pool().join(),
            Driver::Threads(threads) => threads.join(),
        }
    }

    pub(crate) fn region(&self) -> &Arc<Region> {
        self.submitter.region()
    }
}

/// A bounded wait in user space that asks no clock: where the kernel's clock page has no clock to
/// read, each look at the time is a system call.
pub(crate) struct Spin {
    time: Duration,
    turns: u64,
}

impl Spin {
    /// Spins for about this time.
    pub(crate) fn new(time: Duration) -> Self {
        let turns = if time.is_zero() {
            0
        } else {
            time.as_nanos() as u64 / nanos_per_turn()
        };
        Self { time, turns }
    }

    /// Spins until there are `want` completions, or `stop` says so. Each completion starts the time
    /// anew. `false` if it is over.
    fn until(&self, want: u32, completions: impl Fn() -> u32, stop: impl Fn() -> bool) -> bool {
        let mut seen = completions();
        let mut left = self.turns;
        loop {
            if seen >= want || stop() {
                return true;
            }
            if left == 0 {
                return false;
            }
            left -= 1;
            spin_loop();
            let now = completions();
            if now != seen {
                seen = now;
                left = self.turns;
            }
        }
    }

    /// Spins while it is worth while and `idle` holds.
    pub(crate) fn while_idle(&self, idle: impl Fn() -> bool) -> bool {
        self.until(1, || 0, || !idle())
    }
}

/// Measured once: about how long a turn takes, at least 1.
fn nanos_per_turn() -> u64 {
    static NANOS: OnceLock<u64> = OnceLock::new();
    *NANOS.get_or_init(|| {
        const TURNS: u32 = 1000;
        // The shortest of three: a preemption makes a turn look long.
        let measure = |_| {
            let start = Instant::now();
            for _ in 0..TURNS {
                spin_loop();
            }
            start.elapsed().as_nanos() as u64 / u64::from(TURNS)
        };
        (0..3).map(measure).min().map_or(1, |nanos| nanos.max(1))
    })
}
