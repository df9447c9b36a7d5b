// SPDX-License-Identifier: GPL-2.0

//! Time: entries that sleep, and entries that have to be over by then.
//!
//! One timer serves a context. It is set to the earliest of all times, and who handles it
//! looks at all entries.

use crate::{
    call::Verdict,
    cancel::Cancelled,
    context::Context,
    helpers::{
        flexsc_clock_free,
        flexsc_clock_new,
        flexsc_clock_now,
        flexsc_clock_start,
        RawClock, //
    },
    shared::Counter,
    slots::{
        InFlight,
        Place,
        Run, //
    },
    state::State,
    workqueue, //
};
use core::ptr::NonNull;
use kernel::{
    ffi::c_void,
    prelude::*,
    sync::Arc,
    workqueue::WorkItem, //
};

/// A time that never comes.
pub(crate) const NEVER: i64 = i64::MAX;

/// Monotonic nanoseconds.
pub(crate) fn now() -> i64 {
    flexsc_clock_now()
}

/// `span` nanoseconds from now; a negative span is over.
pub(crate) fn after(span: i64) -> i64 {
    now().saturating_add(span.max(0)).min(NEVER - 1)
}

/// A context's alarm clock.
///
/// # Invariants
///
/// `raw` is a clock that this object owns, whose context pointer is `context`'s.
pub(crate) struct Clock {
    raw: NonNull<RawClock>,
    /// Only kept alive.
    _context: Arc<Context>,
}

// SAFETY: The clock belongs to nobody else, and its functions may be called from any thread.
unsafe impl Send for Clock {}

impl Clock {
    /// A clock of `context` that is not set.
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self> {
        let told = Arc::as_ptr(context).cast::<c_void>();
        // SAFETY: `ring` expects a context, which the object keeps until it has freed the clock.
        let raw = unsafe { flexsc_clock_new(ring, told) };
        // INVARIANT: It was just made for this object.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            _context: context.clone(),
        })
    }

    /// Sets the clock.
    pub(crate) fn start(&self, at: i64) {
        // SAFETY: By the type invariants it is a valid clock.
        unsafe { flexsc_clock_start(self.raw.as_ptr(), at) };
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // SAFETY: By the type invariants it is this object's clock. The context outlives it.
        unsafe { flexsc_clock_free(self.raw.as_ptr()) };
    }
}

/// Some entry's time has come.
///
/// # Safety
///
/// `context` must be the valid context of a [`Clock`]. May be called in any context.
unsafe extern "C" fn ring(context: *const c_void) {
    // SAFETY: The caller promises it. The reference that `from_raw` would drop is not ours, so
    // that it is kept from being dropped.
    let context = unsafe { core::mem::ManuallyDrop::new(Arc::from_raw(context.cast::<Context>())) };
    context.queue_timekeeper();
}

impl State {
    /// Gives the state its clock.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = Some(clock);
    }

    /// Sees to it that the clock rings at that time.
    pub(crate) fn set_alarm(&mut self, at: i64) {
        if at < self.alarm {
            self.alarm = at;
            if let Some(clock) = &self.clock {
                clock.start(at);
            }
        }
    }

    /// Takes the next entry, from `from` on, that has slept long enough or has taken too long,
    /// with its outcome; sets the clock anew after the last.
    ///
    /// Those too late that are being executed are cancelled and interrupted.
    pub(crate) fn take_expired(
        &mut self,
        now: i64,
        from: &mut u16,
        in_flight: &InFlight,
    ) -> Option<(Run, Verdict)> {
        while let Some(index) = self.slots.next_due(*from, now) {
            *from = index + 1;
            let slot = self.slots.get_mut(index)?;
            if slot.wake <= now {
                let run = self.slots.take(index, Place::Nowhere)?;
                return Some((run, Verdict::Did(0)));
            }
            slot.deadline = NEVER;
            // What was cancelled before has been promised another end.
            let promised = slot.is_withdrawn() && !mutant!("late_after");
            slot.late = !promised && !mutant!("late");
            if let Cancelled::Taken(run) = self.cancel(index, in_flight) {
                return Some((run, Verdict::Did(i64::from(ETIME.to_errno()))));
            }
        }
        self.alarm = NEVER;
        let earliest = self.slots.earliest().min(self.crew.next_due(now));
        self.set_alarm(earliest);
        None
    }
}

impl Context {
    /// Queues the work item that looks at the time. Callable in any context.
    pub(crate) fn queue_timekeeper(self: &Arc<Self>) {
        let _ = workqueue::housekeeping().enqueue::<_, 3>(self.clone());
    }

    /// Ends what has slept long enough or has taken too long, and threads that are not needed.
    pub(crate) fn keep_time(self: &Arc<Self>) {
        let (now, mut from) = (now(), 0);
        let mut in_chain = false;
        loop {
            let expired = self.state().take_expired(now, &mut from, self.in_flight());
            let Some((run, verdict)) = expired else {
                break;
            };
            in_chain |= run.in_chain();
            self.finish_idle(run, verdict, Counter::EntriesW);
        }
        if in_chain {
            self.attend();
        }
        self.dismiss_idlers(now);
    }
}

impl WorkItem<3> for Context {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.keep_time();
    }
}
