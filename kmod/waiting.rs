// SPDX-License-Identifier: GPL-2.0

//! Sleeping until entries are complete: in wait, and in poll(2).

use crate::{
    context::Context,
    shared::{
        Counter,
        Word, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        lock::spinlock::SpinLockGuard,
        Arc, //
    },
    time::Delta, //
};

/// Whether ring position `tail` is at or behind `position`.
fn reached(tail: u32, position: u32) -> bool {
    tail.wrapping_sub(position) < 1 << 31
}

impl Context {
    /// Whether somebody has to be woken because `comp_tail` has come to `tail`, which is locked.
    ///
    /// Who waits says so before it takes the same lock for its last look: either it sees the completion, or is
    /// seen here.
    #[inline]
    pub(crate) fn is_awaited(&self, tail: &SpinLockGuard<'_, u32>) -> bool {
        self.waiters.load() != 0 && reached(**tail, self.wake_at.load()) || self.polled.load() != 0
    }

    /// Wakes everybody inside wait and poll(2).
    pub(crate) fn wake_waiters(&self) {
        // A waiter holds this lock from its last look until it is on the wait queue.
        let mut wakes = self.waiting.lock();
        *wakes = wakes.wrapping_add(1);
        // Those who are woken need it once: each says anew for what it waits before it sleeps again. Who polls is on the
        // queue when it says so: either it is woken below, or what it says comes after this.
        self.waiters.store(0);
        self.polled.store(0);
        drop(wakes);
        self.news.notify_all();
    }

    /// Sleeps until `target` completions are unreaped or there is other news, once, unless
    /// `ready` already.
    ///
    /// `ready` has to look at the completions under their lock, and may take the state's. Returns also when
    /// `time` is over; `EINTR` on a signal.
    pub(crate) fn sleep(
        &self,
        target: u32,
        time: Option<Delta>,
        ready: impl Fn() -> bool,
    ) -> Result {
        let mut guard = self.waiting.lock();
        let wakes = *guard;
        let wake_at = self.shared().load(Word::CompHead).wrapping_add(target);
        // With several waiters the first to be satisfied counts; the others look and go on.
        let others = self.waiters.load();
        if others == 0 || reached(self.wake_at.load(), wake_at) {
            self.wake_at.store(wake_at);
        }
        self.waiters.store(others + 1);
        let result = if ready() {
            Ok(())
        } else {
            self.shared().count(Counter::WaitSleeps, 1);
            self.sleep_locked(time, &mut guard)
        };
        if *guard == wakes {
            self.waiters.store(self.waiters.load() - 1);
        }
        result
    }

    fn sleep_locked(
        &self,
        time: Option<Delta>,
        guard: &mut kernel::sync::lock::Guard<'_, u32, kernel::sync::lock::mutex::MutexBackend>,
    ) -> Result {
        use kernel::sync::CondVarTimeoutResult as Woken;
        let Some(time) = time else {
            return if self.news.wait_interruptible(guard) {
                Err(EINTR)
            } else {
                Ok(())
            };
        };
        // CAST: Clamped to what fits.
        let millis = time.as_millis_ceil().clamp(1, i64::from(i32::MAX)) as u32;
        match self
            .news
            .wait_interruptible_timeout(guard, kernel::time::msecs_to_jiffies(millis))
        {
            Woken::Signal { .. } => Err(EINTR),
            Woken::Timeout | Woken::Woken { .. } => Ok(()),
        }
    }

    /// Who is on the queue by poll(2) may sleep from now on. Whoever was woken says so again before it does.
    pub(crate) fn will_poll(&self) {
        if !mutant!("polled") {
            self.polled.store(1);
        }
    }

    /// Registers a poll(2) caller; true if there are completions to reap.
    ///
    /// Whoever sleeps in poll(2) may be the only one left who can make a wanted thread; the news
    /// that one is wanted brings him here again.
    pub(crate) fn poll(
        self: &Arc<Self>,
        file: &kernel::fs::File,
        table: &kernel::sync::poll::PollTable<'_>,
    ) -> bool {
        table.register_wait(file, &self.news);
        self.will_poll();
        self.make_wanted_thread();
        self.unreaped() > 0
    }
}
