// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of a mapped context, each as an atomic.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

use libflexsc::sys as abi;

use super::Context;

impl Context {
    pub(super) fn control(&self) -> *mut abi::Control {
        self.map.as_ptr().cast()
    }

    /// The word that the application publishes posted entries with.
    pub fn sub_tail(&self) -> &AtomicU32 {
        // SAFETY: an aligned word of the mapped control page, shared and accessed atomically.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.control()).sub_tail) }
    }

    /// How far the kernel has taken posted entries.
    pub fn sub_head(&self) -> &AtomicU32 {
        // SAFETY: as in `sub_tail`.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.control()).sub_head) }
    }

    /// How far the kernel has published completions.
    pub fn comp_tail(&self) -> &AtomicU32 {
        // SAFETY: as in `sub_tail`.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.control()).comp_tail) }
    }

    /// How far the application has reaped.
    pub fn comp_head(&self) -> &AtomicU32 {
        // SAFETY: as in `sub_tail`.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.control()).comp_head) }
    }

    /// The wake-up word.
    pub fn wakeup(&self) -> &AtomicU32 {
        // SAFETY: as in `sub_tail`.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.control()).wakeup) }
    }

    fn ring(&self, offset: u64, position: u32) -> &AtomicU32 {
        let slot = (position & (self.setup.entries - 1)) as usize;
        // SAFETY: the offset is one that set-up gave and `check_control_page` looked at; the slot is below
        // the number of entries; rings are arrays of aligned words accessed atomically.
        unsafe {
            AtomicU32::from_ptr(
                self.map
                    .as_ptr()
                    .add(offset as usize)
                    .cast::<u32>()
                    .add(slot),
            )
        }
    }

    /// A slot of the submission ring.
    pub fn sub_slot(&self, position: u32) -> &AtomicU32 {
        self.ring(self.setup.sub_ring_off, position)
    }

    /// A slot of the completion ring.
    pub fn comp_slot(&self, position: u32) -> &AtomicU32 {
        self.ring(self.setup.comp_ring_off, position)
    }

    pub(super) fn entry(&self, index: u32) -> *mut abi::Entry {
        assert!(index < self.setup.entries, "entry {index} does not exist");
        // SAFETY: the index was checked; `check_control_page` made sure that all entries are mapped.
        unsafe {
            self.map
                .as_ptr()
                .add(self.setup.entries_off as usize)
                .cast::<abi::Entry>()
                .add(index as usize)
        }
    }

    /// The status word of entry `index`.
    pub fn status(&self, index: u32) -> &AtomicU32 {
        // SAFETY: an aligned word inside the mapping, accessed atomically.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.entry(index)).status) }
    }

    /// The result word of entry `index`.
    pub fn ret(&self, index: u32) -> &AtomicU64 {
        // SAFETY: as in `status`.
        unsafe { AtomicU64::from_ptr((&raw mut (*self.entry(index)).ret).cast()) }
    }

    /// The flag word of entry `index`.
    pub fn flags(&self, index: u32) -> &AtomicU16 {
        // SAFETY: as in `status`.
        unsafe { AtomicU16::from_ptr(&raw mut (*self.entry(index)).flags) }
    }

    /// The number word of entry `index`.
    pub fn nr(&self, index: u32) -> &AtomicU16 {
        // SAFETY: as in `status`.
        unsafe { AtomicU16::from_ptr(&raw mut (*self.entry(index)).nr) }
    }

    /// Argument word `which` of entry `index`.
    pub fn arg(&self, index: u32, which: usize) -> &AtomicU64 {
        assert!(which < 6);
        // SAFETY: as in `status`.
        unsafe {
            AtomicU64::from_ptr(
                (&raw mut (*self.entry(index)).args)
                    .cast::<u64>()
                    .add(which),
            )
        }
    }
}
