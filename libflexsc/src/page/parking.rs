// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where taken entries are while nobody executes them, and who ends one: its executor or a cancel.

use std::collections::BTreeMap;

use crate::sync::{AtomicU32, Mutex, MutexGuard, Ordering};

/// An executor has begun the entry.
const BEGUN: u32 = 1;
/// The entry is to end.
const CANCELLED: u32 = 2;

/// Entries that wait, by their index, each with what it takes to go on; and a mark for each entry of
/// the page, by which an executor and a cancel agree on who came first.
///
/// An executor begins an entry before it makes its call, and may park it while it has no effect.
/// Who cancels marks the entry, then looks for it here. So an entry that was not begun never is,
/// one that is parked is found, and one that is parked later is not taken in.
///
/// # Examples
///
/// ```
/// use libflexsc::page::Parking;
/// let parking = Parking::new(64);
/// parking.reset(3); // who submits entry 3
/// assert!(parking.begin(3)); // who executes it: it was not cancelled
/// assert_eq!(parking.park(3, "until the pipe has data"), Ok(()));
/// assert!(!parking.cancel(3), "who cancels: it was begun");
/// assert_eq!(parking.unpark(3), Some("until the pipe has data"));
/// assert_eq!(parking.park(3, "again"), Err("again"), "it is to end");
/// ```
pub struct Parking<T> {
    marks: Box<[AtomicU32]>,
    parked: Mutex<BTreeMap<u32, T>>,
}

impl<T> Parking<T> {
    /// For a page with this many entries.
    pub fn new(entries: u32) -> Self {
        Self {
            marks: (0..entries).map(|_| AtomicU32::new(0)).collect(),
            parked: Mutex::new(BTreeMap::new()),
        }
    }

    fn mark(&self, index: u32, bit: u32) -> u32 {
        match self.marks.get(index as usize) {
            Some(mark) => mark.fetch_or(bit, Ordering::AcqRel),
            None => 0,
        }
    }

    /// Forgets what was marked. For the submitter, between pushing an entry and publishing it.
    pub fn reset(&self, index: u32) {
        if let Some(mark) = self.marks.get(index as usize) {
            mark.store(0, Ordering::Relaxed);
        }
    }

    /// Begins an entry; `false` if it was cancelled before.
    #[must_use]
    pub fn begin(&self, index: u32) -> bool {
        self.mark(index, BEGUN) & CANCELLED == 0
    }

    /// Cancels an entry; `true` if it was not begun, and so never will be.
    pub fn cancel(&self, index: u32) -> bool {
        self.mark(index, CANCELLED) & BEGUN == 0
    }

    /// Parks an entry.
    ///
    /// # Errors
    ///
    /// What was given, if the entry is cancelled.
    pub fn park(&self, index: u32, what: T) -> Result<(), T> {
        let mut parked = self.lock();
        if self.mark(index, 0) & CANCELLED != 0 && !crate::sync::mutant("park_cancelled") {
            return Err(what);
        }
        parked.insert(index, what);
        Ok(())
    }

    /// Takes a parked entry.
    pub fn unpark(&self, index: u32) -> Option<T> {
        self.lock().remove(&index)
    }

    /// Looks at all parked entries, while nobody parks or takes one.
    pub fn look<R>(&self, look: impl FnOnce(&mut BTreeMap<u32, T>) -> R) -> R {
        look(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, T>> {
        match self.parked.lock() {
            Ok(parked) => parked,
            // A map whose methods do not panic half-way.
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

impl<T> core::fmt::Debug for Parking<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Parking").finish_non_exhaustive()
    }
}
