// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations whose ends are told in the order in which they come.

use core::mem;

use super::{Outcome, Owner, Place, Poster, Slab, State};
use crate::slab::{NIL, Occupied};

/// What a batch has to tell, as a list through the slots.
pub(super) struct BatchList {
    used: bool,
    first: u32,
    last: u32,
}

/// What a slot of a batch has to tell.
pub(crate) struct Tidings {
    pub(crate) key: u32,
    /// What the call returned, or the events of a watch.
    pub(crate) ret: i64,
    /// The slot has more to tell: it is a watch that goes on.
    pub(crate) more: bool,
}

impl BatchList {
    /// Puts a slot, behind which there is none, at the end.
    #[inline]
    pub(super) fn add(&mut self, slab: &mut Slab, key: u32) {
        let last = mem::replace(&mut self.last, key);
        if last == NIL {
            self.first = key;
        } else {
            slab.get_mut(last).next = key;
        }
    }
}

impl Poster {
    pub(crate) fn open_batch(&mut self) -> u32 {
        let list = BatchList {
            used: true,
            first: NIL,
            last: NIL,
        };
        match self.batches.iter().position(|batch| !batch.used) {
            Some(number) => {
                self.batches[number] = list;
                number as u32
            }
            None => {
                self.batches.push(list);
                (self.batches.len() - 1) as u32
            }
        }
    }

    /// Puts a slot at the end of a batch's list. One of a watch may be there already.
    pub(super) fn list(&mut self, number: u32, key: u32) {
        let slot = self.slab.get_mut(key);
        if let Some(events) = &mut slot.watch {
            if mem::replace(&mut events.listed, true) {
                return;
            }
        }
        slot.next = NIL;
        self.mark(number);
        self.batches[number as usize].add(&mut self.slab, key);
    }

    /// Takes the next slot off a batch's list. Unless it is a watch, its operation is over.
    #[inline]
    pub(crate) fn next_of_batch(&mut self, number: u32) -> Option<(u32, Occupied<'_>)> {
        let list = &mut self.batches[number as usize];
        let key = list.first;
        if key == NIL {
            return None;
        }
        let next = self.slab.occupied(key);
        if let Some(events) = &mut next.slot.watch {
            events.listed = false;
        }
        list.first = next.slot.next;
        if list.first == NIL {
            list.last = NIL;
        }
        Some((key, next))
    }

    /// Takes the next thing that a batch has to tell. Of an operation that is over that is all.
    pub(crate) fn next_tidings(&mut self, number: u32) -> Option<Tidings> {
        let (key, next) = self.next_of_batch(number)?;
        let slot = next.slot;
        let (state, place) = (slot.state, slot.place);
        if let Some(events) = slot.watch.as_mut().filter(|events| events.seen != 0) {
            let seen = mem::take(&mut events.seen);
            match (state, place) {
                (State::Done(_), _) => self.list(number, key),
                // A single poll is over and was told of: the next one.
                (State::Queued, Place::Slab) => self.start(key),
                _ => {}
            }
            return Some(Tidings {
                key,
                ret: seen.into(),
                more: true,
            });
        }
        let (op, outcome) = self.take(key)?;
        self.deferred.orphans.push((op, outcome));
        let ret = match outcome {
            Outcome::Returned(ret) => ret,
            Outcome::Cancelled(errno) => -i64::from(errno.raw()),
        };
        Some(Tidings {
            key,
            ret,
            more: false,
        })
    }

    /// Nobody wants the outputs of the batch any more.
    pub(crate) fn close_batch(&mut self, number: u32, left: usize) {
        let keys = if left == 0 { 0..0 } else { self.slab.keys() };
        for key in keys {
            let slot = self.slab.get(key);
            if slot.owner == Owner::Batch(number) && !matches!(slot.state, State::Vacant) {
                self.abandon(key);
            }
        }
        self.batches[number as usize].used = false;
    }
}
