// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where operations live from their submission until their result is taken.

#![allow(unsafe_code)]

use core::mem;
use std::task::Waker;

use crate::{
    Errno,
    erased::{Held, RawOp},
    op::{Access, Operation},
};

/// How an operation ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// The call was made, and returned this.
    Returned(i64),
    /// The call was never made.
    Cancelled(Errno),
}

impl Outcome {
    /// The output of an operation that ended so.
    #[inline]
    pub(crate) fn output<O: Operation>(self, op: O) -> O::Output {
        match self {
            Self::Returned(ret) => op.finish(ret, Access::new()),
            Self::Cancelled(errno) => op.cancel(errno, Access::new()),
        }
    }
}

/// Who wants the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The holder of the one key: a ticket or a future.
    Key,
    /// The batch with this number.
    Batch(u32),
    /// Nobody any more.
    Orphan,
    /// Nobody, but it is to be executed.
    Detached,
}

/// Where an operation is that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the slab only; of a chain: its turn has not come.
    Slab,
    /// In the queue of those for which no entry was free.
    Queue,
    /// In this entry of the page.
    Page(u32),
    /// In this entry of the stand-in's page.
    StandIn(u32),
    /// Declined, in the queue to the stand-in.
    Declined,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// There is none here.
    Vacant,
    /// Waits for a free entry, or its turn in a chain.
    Queued,
    /// In the page: the other side may use what the call points to.
    Posted,
    /// Over.
    Done(Outcome),
}

/// The events of a watch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Events {
    pub(crate) seen: u16,
    /// The other side goes on after it has told of some; else each look posts it again.
    pub(crate) goes_on: bool,
    /// It was cancelled while a single poll was about to be over: there is no next one.
    pub(crate) ended: bool,
    /// Of a batch: the slot is in its list.
    pub(crate) listed: bool,
}

pub(crate) struct Slot {
    pub(crate) state: State,
    pub(crate) owner: Owner,
    pub(crate) place: Place,
    /// The number of its chain.
    pub(crate) chain: Option<u32>,
    /// It was declined: its call is to be made by this process.
    pub(crate) declined: bool,
    /// It was cancelled, and that it is over will mean that it was not executed.
    pub(crate) cancelled: bool,
    /// Of a watch: what it is told and has not given yet.
    pub(crate) watch: Option<Events>,
    /// Whether it was submitted as a future.
    pub(crate) for_future: bool,
    /// Next in the list that the slot is in: vacant slots, or a batch's completions.
    pub(crate) next: u32,
    /// Nobody executes its call unless the slot is Posted.
    pub(crate) op: Held,
    pub(crate) waker: Option<Waker>,
}

impl Slot {
    /// Whether nothing follows on the end of the operation but that its output is taken.
    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.chain.is_none() && self.watch.is_none() && self.waker.is_none() && !self.cancelled
    }
}

/// The end of a list of slots.
pub(crate) const NIL: u32 = u32::MAX;

/// The slots of a context, by number.
pub(crate) struct Slab {
    slots: Vec<Slot>,
    vacant: u32,
}

impl Slab {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: NIL,
        }
    }

    pub(crate) fn insert(&mut self, op: RawOp, owner: Owner, for_future: bool) -> u32 {
        let (key, slot) = self.occupy(owner, for_future);
        (slot.state, slot.place) = (State::Queued, Place::Slab);
        slot.op.fill(op);
        key
    }

    /// A slot for an operation, to be put into it: until its state and place are set, too, the
    /// slot is in no list.
    #[inline]
    pub(crate) fn occupy(&mut self, owner: Owner, for_future: bool) -> (u32, &mut Slot) {
        if self.vacant == NIL {
            self.grow();
        }
        let key = self.vacant;
        let slot = &mut self.slots[key as usize];
        self.vacant = slot.next;
        slot.owner = owner;
        slot.chain = None;
        slot.declined = false;
        slot.cancelled = false;
        slot.watch = None;
        slot.for_future = for_future;
        (key, slot)
    }

    /// Adds a vacant slot.
    #[cold]
    fn grow(&mut self) {
        // 2^32 operations do not fit into memory; NIL stays free.
        self.vacant = self.slots.len() as u32;
        self.slots.push(Slot {
            state: State::Vacant,
            owner: Owner::Key,
            place: Place::Slab,
            chain: None,
            declined: false,
            cancelled: false,
            watch: None,
            for_future: false,
            next: NIL,
            op: Held::new(),
            waker: None,
        });
    }

    /// A slot that may be made vacant.
    #[inline]
    pub(crate) fn occupied(&mut self, key: u32) -> Occupied<'_> {
        Occupied {
            key,
            slot: &mut self.slots[key as usize],
            vacant: &mut self.vacant,
        }
    }

    /// Makes the slot of an operation that is over vacant.
    #[inline]
    pub(crate) fn remove(&mut self, key: u32) -> Option<(RawOp, Outcome)> {
        self.occupied(key).remove()
    }

    /// The slot that an entry's token is the key of, if it is the key of one.
    #[inline]
    pub(crate) fn find(&mut self, token: u32) -> Option<&mut Slot> {
        self.slots.get_mut(token as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: u32) -> &mut Slot {
        &mut self.slots[key as usize]
    }

    #[inline]
    pub(crate) fn get(&self, key: u32) -> &Slot {
        &self.slots[key as usize]
    }

    /// The keys of all slots, vacant ones too.
    pub(crate) fn keys(&self) -> core::ops::Range<u32> {
        0..self.slots.len() as u32
    }
}

/// A slot in its slab.
pub(crate) struct Occupied<'s> {
    key: u32,
    pub(crate) slot: &'s mut Slot,
    /// The first vacant slot.
    vacant: &'s mut u32,
}

impl Occupied<'_> {
    /// As [`Slab::remove`].
    #[inline]
    pub(crate) fn remove(self) -> Option<(RawOp, Outcome)> {
        let State::Done(outcome) = self.slot.state else {
            return None;
        };
        self.slot.state = State::Vacant;
        // Dropped in here it would run user code. Who ends an operation takes it.
        debug_assert!(self.slot.waker.is_none());
        self.slot.next = mem::replace(self.vacant, self.key);
        // SAFETY: It is over.
        unsafe { self.slot.op.take() }.map(|op| (op, outcome))
    }
}
