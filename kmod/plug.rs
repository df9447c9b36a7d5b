// SPDX-License-Identifier: GPL-2.0

//! What several entries ask of a block device goes there together.
//!
//! The kernel keeps it for as long as the task that asks has a plug, unless it is much or the task sleeps. So the
//! device is told of it once, as with io_uring.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use core::mem::MaybeUninit;
use kernel::{
    bindings,
    types::NotThreadSafe, //
};

/// Room for a plug: it may not move while it is in use.
pub(crate) type Room = MaybeUninit<bindings::blk_plug>;

/// The current task's plug, until drop.
///
/// # Invariants
///
/// `room` was given to `blk_start_plug()` by the current task, and not to `blk_finish_plug()` since.
pub(crate) struct Plug<'a> {
    room: &'a mut Room,
    _here: NotThreadSafe,
}

impl<'a> Plug<'a> {
    /// From now on requests may be kept.
    pub(crate) fn start(room: &'a mut Room) -> Self {
        // SAFETY: The structure need not be initialised, and stays where it is while it is borrowed.
        unsafe { bindings::blk_start_plug(room.as_mut_ptr()) };
        // INVARIANT: It was just started.
        Self {
            room,
            _here: NotThreadSafe,
        }
    }

    /// Sends what is kept.
    pub(crate) fn flush(&mut self) {
        // SAFETY: By the type invariants it was started by this task.
        unsafe { bindings::blk_finish_plug(self.room.as_mut_ptr()) };
        // SAFETY: As in `start`.
        unsafe { bindings::blk_start_plug(self.room.as_mut_ptr()) };
    }
}

impl Drop for Plug<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants it was started by this task.
        unsafe { bindings::blk_finish_plug(self.room.as_mut_ptr()) };
    }
}
