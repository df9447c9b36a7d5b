// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where operations live from their submission until their result is taken.
//!
//! This is what keeps memory that the kernel may write to out of the reach of safe code: an
//! operation is boxed and the box dissolved into a raw pointer before its call is posted, and
//! nothing but the completion of the call makes a box of it again. A raw pointer has no
//! destructor: whatever is forgotten, dropped or unwound, the worst is a leak.

#![allow(unsafe_code)]

use core::{any::TypeId, ptr::NonNull};
use std::task::Waker;

use crate::{
    Errno, SharedFd,
    op::{Access, Call, Operation},
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
    pub(crate) fn output<O: Operation>(self, op: O) -> O::Output {
        match self {
            Self::Returned(ret) => op.finish(ret, Access::new()),
            Self::Cancelled(errno) => op.cancel(errno, Access::new()),
        }
    }
}

/// An operation whose type is known to whoever will take its output.
trait ErasedOp: Send + 'static {
    fn call(&mut self) -> Call;
    fn file(&self) -> Option<&SharedFd>;
    fn discard(self: Box<Self>, outcome: Outcome);
    fn type_id(&self) -> TypeId;
}

impl<O: Operation> ErasedOp for O {
    fn call(&mut self) -> Call {
        Operation::call(self, Access::new())
    }

    fn file(&self) -> Option<&SharedFd> {
        Operation::file(self, Access::new())
    }

    fn discard(self: Box<Self>, outcome: Outcome) {
        // The output owns what the call brought: a buffer is freed, a file is closed.
        drop(outcome.output(*self));
    }

    fn type_id(&self) -> TypeId {
        TypeId::of::<O>()
    }
}

/// An operation at an address of its own, owned but not dropped.
#[derive(Debug)]
pub(crate) struct RawOp(NonNull<dyn ErasedOp>);

// SAFETY: It owns the operation, which is Send.
unsafe impl Send for RawOp {}

impl RawOp {
    pub(crate) fn new<O: Operation>(op: O) -> Self {
        // SAFETY: A box is never null.
        Self(unsafe { NonNull::new_unchecked(Box::into_raw(Box::new(op))) })
    }

    /// The call to make. The pointers in it are valid until one of the other methods is called.
    ///
    /// # Safety
    ///
    /// Nobody is executing the call.
    pub(crate) unsafe fn call(&mut self) -> Call {
        // SAFETY: The pointer is that of a box, and by the promise nobody else uses it.
        unsafe { self.0.as_mut() }.call()
    }

    /// The file of the call, if it is known to be asked about.
    ///
    /// # Safety
    ///
    /// Nobody is executing the call.
    pub(crate) unsafe fn file(&self) -> Option<&SharedFd> {
        // SAFETY: As above.
        unsafe { self.0.as_ref() }.file()
    }

    /// Whether the operation is an `O`.
    ///
    /// # Safety
    ///
    /// Nobody is executing the call.
    pub(crate) unsafe fn is<O: Operation>(&self) -> bool {
        // SAFETY: As above.
        unsafe { self.0.as_ref() }.type_id() == TypeId::of::<O>()
    }

    /// The output.
    ///
    /// # Safety
    ///
    /// Nobody is executing the call, and the operation is an `O`.
    pub(crate) unsafe fn output<O: Operation>(self, outcome: Outcome) -> O::Output {
        // SAFETY: The pointer came from a Box<O> by the caller's promise.
        let op = unsafe { Box::from_raw(self.0.as_ptr().cast::<O>()) };
        outcome.output(*op)
    }

    /// Drops the output.
    ///
    /// # Safety
    ///
    /// Nobody is executing the call.
    pub(crate) unsafe fn discard(self, outcome: Outcome) {
        // SAFETY: The pointer came from a box.
        unsafe { Box::from_raw(self.0.as_ptr()) }.discard(outcome);
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
    pub(crate) op: Option<RawOp>,
    pub(crate) waker: Option<Waker>,
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
        let slot = Slot {
            state: State::Queued,
            owner,
            place: Place::Slab,
            chain: None,
            declined: false,
            cancelled: false,
            watch: None,
            for_future,
            next: NIL,
            op: Some(op),
            waker: None,
        };
        if self.vacant == NIL {
            // 2^32 boxed operations do not fit into memory; NIL stays free.
            self.slots.push(slot);
            return (self.slots.len() - 1) as u32;
        }
        let key = self.vacant;
        let place = &mut self.slots[key as usize];
        self.vacant = place.next;
        *place = slot;
        key
    }

    /// Makes the slot vacant. Its operation must have been taken or be done.
    pub(crate) fn remove(&mut self, key: u32) -> Option<(RawOp, State)> {
        let slot = &mut self.slots[key as usize];
        let state = slot.state;
        slot.state = State::Vacant;
        // Dropped in here it would run user code. Who ends an operation takes it.
        debug_assert!(slot.waker.is_none());
        slot.next = self.vacant;
        self.vacant = key;
        slot.op.take().map(|op| (op, state))
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> &mut Slot {
        &mut self.slots[key as usize]
    }

    pub(crate) fn get(&self, key: u32) -> &Slot {
        &self.slots[key as usize]
    }

    /// The keys of all slots, vacant ones too.
    pub(crate) fn keys(&self) -> core::ops::Range<u32> {
        0..self.slots.len() as u32
    }
}
