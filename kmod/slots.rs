// SPDX-License-Identifier: GPL-2.0

//! The kernel's own record of each entry that it has taken.

use crate::{
    abi,
    shared::Posted, //
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// Where an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Not taken, or its outcome is being published.
    Nowhere,
    /// In a lane's queue.
    Queued,
    /// In the hands of a lane.
    Running,
}

/// One entry.
pub(crate) struct Slot {
    pub(crate) posted: Posted,
    pub(crate) place: Place,
    /// Somebody wants it to end: whoever has it must not queue it again.
    pub(crate) cancelled: bool,
}

/// The records of all entries, by index.
///
/// # Invariants
///
/// An index is in exactly one queue if its place is `Queued`, and in none otherwise.
pub(crate) struct Slots(KVVec<Slot>);

impl Slots {
    /// Records of `entries` entries that were not taken.
    pub(crate) fn new(entries: usize) -> Result<Self> {
        debug_assert!(entries <= abi::MAX_ENTRIES as usize);
        let mut slots = KVVec::with_capacity(entries, GFP_KERNEL)?;
        for _ in 0..entries {
            slots.push(
                Slot {
                    posted: Posted {
                        nr: 0,
                        flags: 0,
                        args: [0; 6],
                    },
                    place: Place::Nowhere,
                    cancelled: false,
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Self(slots))
    }

    /// The record of an entry; `None` if there is no such entry.
    pub(crate) fn get(&self, index: u16) -> Option<&Slot> {
        self.0.get(usize::from(index))
    }

    /// The record of an entry; `None` if there is no such entry.
    pub(crate) fn get_mut(&mut self, index: u16) -> Option<&mut Slot> {
        self.0.get_mut(usize::from(index))
    }

    /// Says where an entry is from now on.
    pub(crate) fn place(&mut self, index: u16, place: Place) {
        if let Some(slot) = self.get_mut(index) {
            slot.place = place;
        }
    }

    /// Marks all that is in the hands of a lane as cancelled; returns how many there are.
    pub(crate) fn cancel_running(&mut self) -> u32 {
        let mut count = 0;
        for slot in self.0.iter_mut() {
            if slot.place == Place::Running {
                slot.cancelled = true;
                count += 1;
            }
        }
        count
    }
}
