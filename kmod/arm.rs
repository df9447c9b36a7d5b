// SPDX-License-Identifier: GPL-2.0

//! Entries that wait for a file without a lane: the file's wait queue has them.
//!
//! A handler that would block answers [`Verdict::Wait`](crate::call::Verdict). The entry then
//! goes into the wait queues of its file and is queued again for a lane when the file is
//! ready, with the file that it has held since it was first begun, and with what it has
//! transferred so far.
//!
//! With [`Verdict::Fly`](crate::call::Verdict) a device has the entry: it *flies*. Then the device's end of the transfer
//! stands for the wake-up, and what it returns for the result. Nothing else ends it, and until then its memory is in
//! use: a cancel, the end of the context and that of the process leave it where it is.

use crate::{
    call::{
        Acct,
        Lane,
        Verdict, //
    },
    context::Context,
    helpers::{
        flexsc_arm_clear,
        flexsc_arm_file,
        flexsc_arm_fired,
        flexsc_arm_free,
        flexsc_arm_look,
        flexsc_arm_new,
        flexsc_arm_publish,
        flexsc_arm_set,
        flexsc_arm_shut,
        flexsc_cond_resched,
        flexsc_flight_await,
        flexsc_flight_is_quick,
        flexsc_flight_land,
        RawArm, //
    },
    once::Once,
    shared::Counter,
    workqueue, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    bitmap::BitmapVec,
    error::to_result,
    ffi::c_void,
    prelude::*,
    sync::{
        atomic::Full,
        Arc, //
    },
    workqueue::WorkItem, //
};

/// How often in a row a file may claim to be ready and then not be, before a system call
/// thread makes the blocking call: it has something else to wait for than its queue tells.
const PATIENCE: u32 = 8;

/// What an entry that waits, or has waited, holds.
///
/// # Invariants
///
/// - `raw` is an arm that this object owns, whose context pointer is `context`'s.
/// - What flies is not dropped before it has landed.
pub(crate) struct Arm {
    raw: NonNull<RawArm>,
    /// Only kept alive.
    _context: Arc<Context>,
    /// What was transferred before it had to wait.
    pub(crate) done: u64,
    /// What the handler wants to find again; not 0 once the entry cannot be handed back.
    pub(crate) note: u64,
    /// It stays in the wait queues.
    watching: bool,
    /// It is in none: a device has the entry.
    flies: bool,
    /// It is to be tried once more at once, whatever its file says.
    pub(crate) again: bool,
    /// How often in a row it was ready at once.
    eager: u32,
    /// Where it goes when the file is ready.
    lane: Lane,
}

// SAFETY: The arm belongs to nobody else, and its functions may be called from any thread.
unsafe impl Send for Arm {}

impl Arm {
    /// Prepares entry `index` of `context` to wait for `file`; `None` without memory.
    ///
    /// # Safety
    ///
    /// `file` must be a valid file, and the caller's reference passes on.
    pub(crate) unsafe fn new(
        context: &Arc<Context>,
        index: u16,
        file: *mut bindings::file,
    ) -> Option<Self> {
        let told = Arc::as_ptr(context).cast::<c_void>();
        // SAFETY: The caller promises what is said of `file`. `fire` expects a context, which
        // the object keeps until it has freed the arm.
        let raw = unsafe { flexsc_arm_new(file, fire, told, index) };
        // SAFETY: It was just made for this object, with that context.
        NonNull::new(raw).map(|raw| unsafe { Self::own(context, raw, false) })
    }

    /// # Safety
    ///
    /// `raw` must be an arm that nobody else owns, with `context`'s pointer.
    unsafe fn own(context: &Arc<Context>, raw: NonNull<RawArm>, flies: bool) -> Self {
        // INVARIANT: The caller promises it.
        Self {
            raw,
            _context: context.clone(),
            done: 0,
            note: 0,
            watching: false,
            flies,
            again: false,
            eager: 0,
            lane: Lane::W,
        }
    }

    /// Takes over the arm of entry `index` of `context`, which a device has.
    ///
    /// The object may not be dropped before [`Arm::has_fired`], as the device uses it until then.
    ///
    /// # Safety
    ///
    /// `raw` must be what a handler has left with [`Verdict::Fly`](crate::call::Verdict::Fly).
    pub(crate) unsafe fn of_flight(
        context: &Arc<Context>,
        index: u16,
        raw: NonNull<RawArm>,
    ) -> Self {
        let told = Arc::as_ptr(context).cast::<c_void>();
        // SAFETY: The caller promises that it is a flight. `fire` expects a context, which the object keeps
        // until it has freed the arm.
        unsafe { flexsc_flight_await(raw.as_ptr(), fire, told, index) };
        // SAFETY: The handler has passed it on, and it was just given the context.
        unsafe { Self::own(context, raw, true) }
    }

    /// Whether a device has the entry, or had it: what it then returns is the result.
    pub(crate) fn flies(&self) -> bool {
        self.flies
    }

    /// Whether a device has it still.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.flies && !self.has_fired()
    }

    /// Whether what has landed can be ended by who may not sleep for long.
    pub(crate) fn is_quick(&self) -> bool {
        // SAFETY: By the type invariants it is a valid arm.
        self.flies && self.has_fired() && unsafe { flexsc_flight_is_quick(self.raw.as_ptr()) }
    }

    /// What the call returns, if a device had it and is done. May sleep.
    ///
    /// # Safety
    ///
    /// `acct`, which is where to account for it, must be null or exclusive.
    pub(crate) unsafe fn land(&self, acct: *mut Acct) -> Option<i64> {
        let landed = self.flies && self.has_fired();
        // SAFETY: By the type invariants it is a valid arm, of a flight that has landed. The caller promises the rest.
        landed.then(|| unsafe { flexsc_flight_land(self.raw.as_ptr(), acct) })
    }

    /// The file, referenced while this object lives.
    pub(crate) fn file(&self) -> *mut bindings::file {
        // SAFETY: By the type invariants it is a valid arm.
        unsafe { flexsc_arm_file(self.raw.as_ptr()) }
    }

    /// Gets into the file's wait queues, to go to `lane` later; true if it is ready already.
    pub(crate) fn set(&mut self, events: u32, lane: Lane) -> bool {
        self.enter(events, lane, false)
    }

    fn enter(&mut self, events: u32, lane: Lane, stay: bool) -> bool {
        self.lane = lane;
        // SAFETY: By the type invariants it is a valid arm; before this it was cleared, or new.
        let ready = unsafe { flexsc_arm_set(self.raw.as_ptr(), events, stay) } != 0;
        self.eager = if ready { self.eager + 1 } else { 0 };
        if self.must_block() {
            self.lane = Lane::T;
        }
        ready
    }

    /// Gets into the file's wait queues to stay there, to go to `lane` each time it is ready;
    /// the `POLL*` events that are there now.
    ///
    /// Fails with `ECANCELED` when a queue has ended before the file, and with `EOPNOTSUPP` when
    /// the file has more of them than can be waited in.
    pub(crate) fn watch(&mut self, events: u32, lane: Lane) -> Result<i64> {
        if !self.watching {
            self.enter(events, lane, true);
            self.watching = true;
        }
        self.lane = lane;
        // SAFETY: By the type invariants it is a valid arm, and it was set.
        let found = unsafe { flexsc_arm_look(self.raw.as_ptr()) };
        to_result(found.min(0))?;
        Ok(found.into())
    }

    /// The call has got further: what its file claimed was true.
    pub(crate) fn progressed(&mut self, done: u64) {
        self.done = done;
        self.eager = 0;
    }

    /// Whether the file is a socket that nothing can be sent on any more, which not every poll
    /// tells.
    pub(crate) fn is_shut(&self) -> bool {
        // SAFETY: By the type invariants it is a valid arm.
        unsafe { flexsc_arm_shut(self.raw.as_ptr()) }
    }

    /// Whether the blocking call has to be made.
    pub(crate) fn must_block(&self) -> bool {
        self.eager > PATIENCE
    }

    /// Where it goes when the file is ready.
    pub(crate) fn lane(&self) -> Lane {
        self.lane
    }

    /// Wants to be told; true if the file was ready meanwhile, of which nobody is told.
    pub(crate) fn publish(&self) -> bool {
        // SAFETY: By the type invariants it is a valid arm.
        unsafe { flexsc_arm_publish(self.raw.as_ptr()) }
    }

    /// Whether the file was ready since it was last set.
    pub(crate) fn has_fired(&self) -> bool {
        // SAFETY: By the type invariants it is a valid arm.
        unsafe { flexsc_arm_fired(self.raw.as_ptr()) }
    }

    /// Leaves the wait queues.
    pub(crate) fn clear(&mut self) {
        self.watching = false;
        // SAFETY: By the type invariants it is a valid arm.
        unsafe { flexsc_arm_clear(self.raw.as_ptr()) }
    }
}

impl Drop for Arm {
    fn drop(&mut self) {
        // SAFETY: By the type invariants it is this object's arm. The context outlives it.
        unsafe { flexsc_arm_free(self.raw.as_ptr()) };
    }
}

/// A file is ready for an entry.
///
/// # Safety
///
/// `context` must be the valid context of an [`Arm`]. May be called in any context.
unsafe extern "C" fn fire(context: *const c_void, index: u16) {
    if mutant!("arm_wake") {
        return;
    }
    // SAFETY: The caller promises it. The reference that `from_raw` would drop is not ours, so
    // that it is kept from being dropped.
    let context = unsafe { core::mem::ManuallyDrop::new(Arc::from_raw(context.cast::<Context>())) };
    context.fired().tell(index);
    // Whoever polls sees that by itself; this is for when nobody does.
    context.queue_waker();
}

/// Which entries' files are ready; written to in any context.
pub(crate) struct Fired {
    entries: BitmapVec,
    any: Once<u32>,
}

impl Fired {
    /// None of `entries` entries.
    pub(crate) fn new(entries: usize) -> Result<Self> {
        Ok(Self {
            entries: BitmapVec::new(entries, GFP_KERNEL_ACCOUNT)?,
            any: Once::new(0),
        })
    }

    fn tell(&self, index: u16) {
        self.entries.set_bit_atomic(usize::from(index));
        self.any.store_release(1);
    }

    /// Has whoever polls look, although no file is ready.
    pub(crate) fn nudge(&self) {
        self.any.store_release(1);
    }

    /// Whether there are any, or somebody wants to have it looked.
    #[inline(always)]
    pub(crate) fn any(&self) -> bool {
        self.any.load_acquire() != 0
    }

    /// Takes all of them. An entry that comes later sets the mark again.
    pub(crate) fn take(&self, mut each: impl FnMut(u16)) {
        if self.any.atomic().xchg(0, Full) == 0 {
            return;
        }
        let mut from = 0;
        while let Some(index) = self.entries.next_bit(from) {
            self.entries.clear_bit_atomic(index);
            // CAST: Below MAX_ENTRIES, which fits u16.
            each(index as u16);
            from = index + 1;
            if from >= self.entries.len() {
                break;
            }
        }
    }
}

impl Context {
    /// Queues the work item that queues entries whose files are ready. Callable in any context.
    pub(crate) fn queue_waker(self: &Arc<Self>) {
        let _ = workqueue::page_workers().enqueue_on::<_, 2>(self.cpu(), self.clone());
    }

    /// Ends the entries that a device is done with and that take no time: they need nobody's memory or credentials,
    /// and no page worker.
    fn land(self: &Arc<Self>) {
        let mut acct = Acct::default();
        // Others may push more for as long as they like.
        for _ in 0..self.shared().entries() {
            let landed = self.state().take_quick();
            let Some(run) = landed else {
                break;
            };
            // SAFETY: Nobody else has it.
            if let Some(ret) = unsafe { run.land(&mut acct) } {
                self.finish_idle(run, Verdict::Did(ret), Counter::EntriesW);
            }
            flexsc_cond_resched();
        }
        self.add_acct(&acct);
    }
}

impl WorkItem<2> for Context {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.state().take_fired(this.fired());
        this.land();
        // Also ends what a device still had when the others were given up.
        this.attend();
    }
}
