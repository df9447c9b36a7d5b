// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hand of a hostile other side, for the fuzz targets: only there is it compiled.

use super::Region;
use crate::sync::Ordering;

/// A word of the shared memory; indices beyond their array name nothing.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Place {
    SubTail,
    SubHead,
    CompTail,
    CompHead,
    Wakeup,
    SubSlot(u32),
    CompSlot(u32),
    Status(u32),
    Flags(u32),
    Ret(u32),
}

impl Region {
    /// Writes to the shared memory, as the other side can at any time.
    pub fn scribble(&self, place: Place, value: u64) {
        let control = self.control();
        let entry = |index: u32| self.entry(index);
        let relaxed = Ordering::Relaxed;
        let word = match place {
            Place::SubTail => &control.sub_tail.word,
            Place::SubHead => &control.sub_head.word,
            Place::CompTail => &control.comp_tail.word,
            Place::CompHead => &control.comp_head.word,
            Place::Wakeup => &control.wakeup.word,
            Place::SubSlot(index) => self.sub_slot(index),
            Place::CompSlot(index) => self.comp_slot(index),
            Place::Status(index) => match entry(index) {
                Some(entry) => &entry.status,
                None => return,
            },
            Place::Flags(index) => {
                return if let Some(entry) = entry(index) {
                    entry.flags.store(value as u16, relaxed);
                };
            }
            Place::Ret(index) => {
                return if let Some(entry) = entry(index) {
                    entry.ret.store(value as i64, relaxed);
                };
            }
        };
        word.store(value as u32, relaxed);
    }
}
