// SPDX-License-Identifier: GPL-2.0

//! What several entries ask of a block device goes there together.
//!
//! The kernel keeps it for as long as the task that asks has a plug, unless it is much or the task sleeps. So the
//! device is told once of many transfers, as with io_uring. But what a sleeper had in its plug another worker has to
//! send, which costs more than it saves: the plug is put in by a transfer that flies, and is out before anything runs that
//! may wait for the device.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::slots::Run;
use core::mem::MaybeUninit;
use kernel::{
    bindings,
    types::NotThreadSafe, //
};

/// Room for a plug: it may not move while that is in.
pub(crate) type Room = MaybeUninit<bindings::blk_plug>;

/// The current task's plug, which is in or out.
///
/// # Invariants
///
/// While `is_in`, `room` was given to `blk_start_plug()` by the current task, and not to `blk_finish_plug()` since.
pub(crate) struct Plug<'a> {
    room: &'a mut Room,
    is_in: bool,
    _here: NotThreadSafe,
}

impl<'a> Plug<'a> {
    /// One that is out.
    ///
    /// # Safety
    ///
    /// It must be dropped, and not forgotten: the task would go on with a plug in memory that is another's.
    pub(crate) unsafe fn new(room: &'a mut Room) -> Self {
        Self {
            room,
            is_in: false,
            _here: NotThreadSafe,
        }
    }

    /// From now on what is asked for may be kept.
    #[cold]
    pub(crate) fn put_in(&mut self) {
        if !self.is_in && !mutant!("plug") {
            // SAFETY: The structure need not be initialised, and stays where it is while it is borrowed, which is
            // until drop, as the maker has promised.
            unsafe { bindings::blk_start_plug(self.room.as_mut_ptr()) };
            // INVARIANT: It was just started.
            self.is_in = true;
        }
    }

    /// Sends what was kept.
    #[inline(always)]
    pub(crate) fn take_out(&mut self) {
        if self.is_in {
            // SAFETY: By the type invariants it was started by this task.
            unsafe { bindings::blk_finish_plug(self.room.as_mut_ptr()) };
            // INVARIANT: It was just finished.
            self.is_in = false;
        }
    }

    /// An entry is about to be executed.
    #[inline(always)]
    pub(crate) fn suit(&mut self, run: &Run) {
        if self.is_in && !run.may_fly() {
            self.take_out();
        }
    }
}

impl Drop for Plug<'_> {
    fn drop(&mut self) {
        self.take_out();
    }
}
