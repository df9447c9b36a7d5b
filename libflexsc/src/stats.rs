// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a context has done.

use core::ops::AddAssign;

/// Counts since a context was made.
///
/// The `entries_*` say who executed: with the module its lanes, with io_uring itself `entries_w` and
/// the pool beside it `entries_t`, with a pool alone `entries_t`, with plain calls `entries_c`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Executed by a page worker, or by io_uring.
    pub entries_w: u64,
    /// Executed by a system call thread, or by the pool.
    pub entries_t: u64,
    /// Executed by the caller.
    pub entries_c: u64,
    /// Declined by the module, and made as a plain call by the library.
    pub handed_back: u64,
    /// Ring slots that named no entry to execute: the page was scribbled on.
    pub rejected: u64,
    /// Wake-ups of the other side; with the module, and with io_uring, which is given requests by
    /// them, a system call each.
    pub kicks: u64,
    /// Waits in the kernel; with the module and with io_uring a system call each.
    pub waits: u64,
    /// Waits that slept.
    pub wait_sleeps: u64,
    /// Runs of one of the module's drain items.
    pub drains: u64,
    /// Times that the other side stopped polling.
    pub idle_sleeps: u64,
    /// System call threads, or threads of the pool, that exist.
    pub threads: u64,
    /// Wake-ups of these threads.
    pub thread_wakes: u64,
    /// Operations given to the context.
    pub submitted: u64,
    /// Operations that waited in the library because no entry was free.
    pub queued: u64,
    /// Waits that ended while spinning in user space, without a system call.
    pub spun: u64,
}

/// For what several contexts have done together.
impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        let Self {
            entries_w,
            entries_t,
            entries_c,
            handed_back,
            rejected,
            kicks,
            waits,
            wait_sleeps,
            drains,
            idle_sleeps,
            threads,
            thread_wakes,
            submitted,
            queued,
            spun,
        } = other;
        self.entries_w += entries_w;
        self.entries_t += entries_t;
        self.entries_c += entries_c;
        self.handed_back += handed_back;
        self.rejected += rejected;
        self.kicks += kicks;
        self.waits += waits;
        self.wait_sleeps += wait_sleeps;
        self.drains += drains;
        self.idle_sleeps += idle_sleeps;
        self.threads += threads;
        self.thread_wakes += thread_wakes;
        self.submitted += submitted;
        self.queued += queued;
        self.spun += spun;
    }
}
