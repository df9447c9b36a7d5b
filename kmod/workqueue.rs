// SPDX-License-Identifier: GPL-2.0

//! The module's two workqueues, with the per-CPU queueing that the `kernel` crate lacks.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::helpers::flexsc_wait_for_last_steps;
use core::ptr;
use kernel::{
    bindings,
    ffi::c_int,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue::{
        Queue,
        RawWorkItem, //
    },
};

/// Number of contexts that exist. None outlives the queues.
static CONTEXTS: Atomic<i64> = Atomic::new(0);

static PAGE_WORKERS: OwnedQueue = OwnedQueue(Atomic::new(ptr::null_mut()));
static HOUSEKEEPING: OwnedQueue = OwnedQueue(Atomic::new(ptr::null_mut()));

/// The queue of drain items: per CPU, concurrency-managed, ahead of ordinary work.
///
/// Not WQ_CPU_INTENSIVE: that would switch off the management by which a drain that sleeps
/// is replaced by the next.
pub(crate) fn page_workers() -> &'static OwnedQueue {
    &PAGE_WORKERS
}

/// The queue for what may sleep for long and is urgent for nobody.
pub(crate) fn housekeeping() -> &'static OwnedQueue {
    &HOUSEKEEPING
}

/// A workqueue that exists while [`Queues`] does.
///
/// # Invariants
///
/// Null, or a workqueue of this module.
pub(crate) struct OwnedQueue(Atomic<*mut bindings::workqueue_struct>);

impl OwnedQueue {
    fn create(&self, name: &'static CStr, flags: bindings::wq_flags) -> Result {
        // SAFETY: Both strings are valid and NUL-terminated, and the format takes one.
        let queue = unsafe {
            bindings::alloc_workqueue_noprof(c"%s".as_char_ptr(), flags, 0, name.as_char_ptr())
        };
        if queue.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: It was just made.
        self.0.store(queue, Release);
        Ok(())
    }

    fn flush(&self) {
        let queue = self.0.load(Acquire);
        if !queue.is_null() {
            // SAFETY: By the type invariants it is a workqueue.
            unsafe { bindings::__flush_workqueue(queue) };
        }
    }

    fn destroy(&self) {
        let queue = self.0.xchg(ptr::null_mut(), kernel::sync::atomic::Full);
        if !queue.is_null() {
            // SAFETY: By the type invariants it is a workqueue, and nobody can find it any more.
            unsafe { bindings::destroy_workqueue(queue) };
        }
    }

    fn raw(&self) -> *mut bindings::workqueue_struct {
        self.0.load(Relaxed)
    }

    /// Queues `item` wherever there is room.
    pub(crate) fn enqueue<W, const ID: u64>(&self, item: W) -> W::EnqueueOutput
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        // SAFETY: Items belong to contexts, and while there is one the queue exists.
        unsafe { Queue::from_raw(self.raw()) }.enqueue(item)
    }

    /// Queues `item` on `cpu`.
    ///
    /// If that CPU goes offline the item runs on another, so entries are never stranded.
    pub(crate) fn enqueue_on<W, const ID: u64>(&self, cpu: c_int, item: W) -> W::EnqueueOutput
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        let queue = self.raw();
        // SAFETY: The closure returns false only if the work is queued already. `W` is `Send`
        // and static. Items belong to contexts, and while there is one the queue exists.
        unsafe { item.__enqueue(move |work| bindings::queue_work_on(cpu, queue, work)) }
    }
}

/// One context's claim that the queues exist.
pub(crate) struct Claim(());

impl Claim {
    /// Stakes a claim. The caller's open file keeps the module, and so the queues, in place.
    pub(crate) fn new() -> Self {
        CONTEXTS.add(1, Relaxed);
        Self(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Whatever the context did before is seen by whoever finds it gone.
        let _: i64 = CONTEXTS.fetch_sub(1, Release);
    }
}

/// The queues' existence: made at load, destroyed at unload.
pub(crate) struct Queues(());

impl Queues {
    /// Makes both queues.
    pub(crate) fn create() -> Result<Self> {
        let queues = Self(());
        PAGE_WORKERS.create(
            c"flexsc",
            bindings::wq_flags_WQ_PERCPU | bindings::wq_flags_WQ_HIGHPRI,
        )?;
        HOUSEKEEPING.create(c"flexsc_housekeeping", bindings::wq_flags_WQ_UNBOUND)?;
        Ok(queues)
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        // Every file is closed, so no context is made any more, but the last ones may still be
        // torn down. Their threads may queue items until they are stopped, so the queues are
        // flushed, not drained, until all contexts are gone.
        while CONTEXTS.load(Acquire) > 0 {
            HOUSEKEEPING.flush();
            PAGE_WORKERS.flush();
            fsleep(Delta::from_millis(1));
        }
        HOUSEKEEPING.destroy();
        PAGE_WORKERS.destroy();
        flexsc_wait_for_last_steps();
    }
}
