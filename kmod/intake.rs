// SPDX-License-Identifier: GPL-2.0

//! Taking entries from the submission ring, and linking those of a chain.

use crate::{
    abi::{
        ENTRY_LINK,
        ENTRY_TIMEOUT, //
    },
    call::{
        self,
        Call,
        Lane, //
    },
    clock,
    context::Context,
    file::HeldFiles,
    shared::{
        Counter,
        Shared,
        Word, //
    },
    slots::{
        InFlight,
        Place,
        Run, //
    },
    state::State, //
};
use kernel::task::Task;

/// Most entries that are taken from the ring in one go, which bounds the time under the lock.
pub(crate) const BATCH: usize = 64;

/// Where entries are taken from.
pub(crate) struct Source<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) in_flight: &'a InFlight,
    /// In whose fd table a kernel thread looks descriptors up.
    pub(crate) table: Option<&'a Task>,
}

/// An index that [`State::pull_for_caller`] hands to lane C.
pub(crate) type CallerBatch = [u16; BATCH];

/// The last entry that was taken, if the next one is to follow it in its chain.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    index: u16,
    /// How many more the chain may have. One that is published at once has no more entries
    /// than there are; what is added to it later could go on for ever.
    room: u32,
}

/// An entry that was taken.
struct Taken {
    index: u16,
    lane: Lane,
    /// It is linked to the one before, and waits for that.
    linked: bool,
}

impl State {
    /// How far the ring has been taken.
    pub(crate) fn sub_head(&self) -> u32 {
        self.sub_head
    }

    /// Whether the application has posted what nobody has taken yet.
    pub(crate) fn ring_ready(&self, shared: &Shared) -> bool {
        shared.load(Word::SubTail) != self.sub_head
    }

    /// Looks at as many `slots` of the ring, where something was posted, and gives each entry that may begin
    /// to `place`. Returns whether there were any.
    fn pull(
        &mut self,
        source: &Source<'_>,
        slots: usize,
        mut place: impl FnMut(&mut Self, u16, Lane),
    ) -> bool {
        if self.dissolved {
            return false;
        }
        let shared = source.shared;
        let tail = shared.load(Word::SubTail);
        let (mut any, mut rejected) = (false, 0);
        // More than the ring holds: what lies further back was overwritten, if ever posted.
        let excess = tail
            .wrapping_sub(self.sub_head)
            .saturating_sub(shared.entries());
        if excess > 0 {
            self.sub_head = self.sub_head.wrapping_add(excess);
            rejected += i64::from(excess);
        }
        for _ in 0..slots {
            if self.sub_head == tail {
                break;
            }
            any = true;
            match self.take(source) {
                None => rejected += 1,
                Some(taken) if taken.linked => {}
                Some(taken) => place(self, taken.index, taken.lane),
            }
        }
        if self.sub_head == tail {
            // A chain is published at once: there is no more of it.
            self.open = None;
        }
        shared.store(Word::SubHead, self.sub_head);
        if rejected > 0 {
            shared.count(Counter::Rejected, rejected);
        }
        any
    }

    /// Takes the entry in the next slot of the ring, which must be a posted one; `None` if it
    /// names none that may be taken.
    fn take(&mut self, source: &Source<'_>) -> Option<Taken> {
        let Source {
            shared, in_flight, ..
        } = *source;
        let mut index = shared.submitted(self.sub_head);
        if mutant!("bounds") {
            index &= shared.entries() - 1;
        }
        self.sub_head = self.sub_head.wrapping_add(1);
        if index >= shared.entries() || !in_flight.mark(index) {
            return None;
        }
        // CAST: Below MAX_ENTRIES, which fits u16.
        let index = index as u16;
        let (Some(posted), Some(slot)) = (shared.take(u32::from(index)), self.slots.get_mut(index))
        else {
            in_flight.clear(index);
            return None;
        };
        slot.posted = posted;
        slot.cancelled = false;
        slot.late = false;
        slot.next = None;
        let call = slot.call();
        let linked = self.link(index, posted.flags, shared.entries());
        if !linked {
            self.begin(index, call, source);
        }
        Some(Taken {
            index,
            lane: call::first_lane(call),
            linked,
        })
    }

    /// Puts an entry that was taken at the end of the chain that is being taken, if there is
    /// one. Returns whether it has to wait for another.
    fn link(&mut self, index: u16, flags: u16, entries: u32) -> bool {
        let open = self.open.take();
        let room = open.map_or(entries, |open| open.room) - 1;
        if flags & ENTRY_LINK != 0 && room > 0 {
            self.open = Some(Open { index, room });
        }
        let Some(before) = open.and_then(|open| self.slots.get_mut(open.index)) else {
            return false;
        };
        if mutant!("link_order") {
            return false;
        }
        before.next = Some(index);
        self.slots.place(index, Place::Linked);
        true
    }

    /// From now on an entry takes time, and holds the files that its arguments name.
    pub(crate) fn begin(&mut self, index: u16, call: Option<&Call>, source: &Source<'_>) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if let Some(call) = call {
            slot.taken = HeldFiles::new(call, &slot.posted, source.table);
        }
        if slot.posted.flags & ENTRY_TIMEOUT != 0 {
            slot.deadline = clock::after(slot.posted.time);
        }
        let deadline = slot.deadline;
        self.set_alarm(deadline);
    }

    /// Takes posted entries and queues each for its lane.
    pub(crate) fn pull_for_lanes(&mut self, source: &Source<'_>) {
        self.pull(source, BATCH, |state, index, lane| {
            state.push(index, lane);
        });
    }

    /// Takes posted entries for the calling thread to execute; returns how many, or `None` if
    /// nothing was posted.
    pub(crate) fn pull_for_caller(
        &mut self,
        source: &Source<'_>,
        batch: &mut CallerBatch,
    ) -> Option<usize> {
        let mut count = 0;
        let any = self.pull(source, BATCH, |state, index, _| {
            if let Some(place) = batch.get_mut(count) {
                *place = index;
                count += 1;
            }
            state.slots.place(index, Place::Running);
        });
        any.then_some(count)
    }

    /// An entry that [`State::pull_for_caller`] has handed out.
    pub(crate) fn caller_run(&mut self, index: u16) -> Option<Run> {
        self.slots.take(index, Place::Running)
    }

    /// Takes one more entry if it would follow `index`, which is over.
    pub(crate) fn close_chain(&mut self, index: u16, source: &Source<'_>) {
        let ends_open = |state: &Self| state.open.is_some_and(|open| open.index == index);
        for _ in 0..BATCH {
            if !ends_open(self) {
                return;
            }
            // The first entry that there is follows this one, so that none has to be placed.
            self.pull(source, 1, |state, index, lane| {
                state.push(index, lane);
            });
        }
        if ends_open(self) {
            self.open = None;
        }
    }
}

impl Context {
    /// Where this thread takes entries from.
    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            shared: self.shared(),
            in_flight: self.in_flight(),
            table: self.table_task(),
        }
    }
}
