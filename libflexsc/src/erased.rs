// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations of a type that whoever will take their outputs knows.
//!
//! This is what keeps memory that the kernel may write to out of the reach of safe code: an
//! operation moves to an address of its own before its call is posted, and nothing but the
//! completion of the call gives it back. That address has no destructor for it: whatever is
//! forgotten, dropped or unwound, the worst is a leak.

#![allow(unsafe_code)]

use core::{
    any::TypeId,
    fmt,
    marker::PhantomData,
    mem::{self, MaybeUninit},
    ptr::{self, NonNull},
};

use crate::{
    SharedFd,
    op::{Access, Call, Operation},
    slab::Outcome,
};

/// Enough for what reads or writes one buffer, with a limit. Larger operations are boxed.
const ROOM: usize = 48;

/// Where an operation is, or the address of one that is boxed.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Room(MaybeUninit<[u8; ROOM]>);

impl Room {
    const EMPTY: Self = Self(MaybeUninit::uninit());

    const fn fits<O>() -> bool {
        size_of::<O>() <= ROOM && align_of::<O>() <= align_of::<Self>()
    }

    /// The address of the operation.
    ///
    /// # Safety
    ///
    /// There is an `O` in the room.
    #[inline]
    unsafe fn find<O>(this: NonNull<Self>) -> NonNull<O> {
        if Self::fits::<O>() {
            return this.cast();
        }
        // SAFETY: `put` has written the address.
        unsafe { this.cast::<NonNull<O>>().read() }
    }

    /// Moves an operation in.
    ///
    /// # Safety
    ///
    /// The room is valid for writes.
    #[inline]
    unsafe fn put<O>(this: NonNull<Self>, op: O) {
        if Self::fits::<O>() {
            // SAFETY: As the caller promises; it fits.
            return unsafe { this.cast::<O>().write(op) };
        }
        let boxed = NonNull::from(Box::leak(Box::new(op)));
        // SAFETY: As above.
        unsafe { this.cast::<NonNull<O>>().write(boxed) }
    }

    /// Moves the operation out.
    ///
    /// # Safety
    ///
    /// There is an `O` in the room, that nobody uses now, or any more.
    #[inline]
    unsafe fn take<O>(this: NonNull<Self>) -> O {
        // SAFETY: As the caller promises.
        let place = unsafe { Self::find::<O>(this) };
        if Self::fits::<O>() {
            // SAFETY: As above.
            return unsafe { place.read() };
        }
        // SAFETY: `put` has made the address of a box.
        *unsafe { Box::from_raw(place.as_ptr()) }
    }
}

/// What is done with an operation in a room.
struct Table {
    /// [`Operation::call`].
    call: unsafe fn(NonNull<Room>) -> Call,
    /// [`Operation::file`], valid until the operation is moved.
    file: unsafe fn(NonNull<Room>) -> Option<NonNull<SharedFd>>,
    /// Drops the output, and with it the operation.
    discard: unsafe fn(NonNull<Room>, Outcome),
    type_id: fn() -> TypeId,
}

impl Table {
    const fn of<O: Operation>() -> &'static Self {
        /// As for [`Room::find`], and nobody else uses the operation.
        unsafe fn call<O: Operation>(room: NonNull<Room>) -> Call {
            // SAFETY: As the caller promises.
            unsafe { Room::find::<O>(room).as_mut() }.call(Access::new())
        }

        /// As for [`Room::find`], and nobody changes the operation.
        unsafe fn file<O: Operation>(room: NonNull<Room>) -> Option<NonNull<SharedFd>> {
            // SAFETY: As the caller promises.
            let op = unsafe { Room::find::<O>(room).as_ref() };
            op.file(Access::new()).map(NonNull::from)
        }

        /// As for [`Room::take`].
        unsafe fn discard<O: Operation>(room: NonNull<Room>, outcome: Outcome) {
            // SAFETY: As the caller promises.
            let op = unsafe { Room::take::<O>(room) };
            // The output owns what the call brought: a buffer is freed, a file is closed.
            drop(outcome.output(op));
        }

        &Self {
            call: call::<O>,
            file: file::<O>,
            discard: discard::<O>,
            type_id: TypeId::of::<O>,
        }
    }
}

/// An operation that nobody executes, owned but not dropped.
pub(crate) struct RawOp {
    table: &'static Table,
    room: Room,
    /// An operation need not be `Sync`, or unwind safe.
    of: PhantomData<*mut dyn Send>,
}

// SAFETY: It owns the operation, which is Send.
unsafe impl Send for RawOp {}

impl RawOp {
    #[inline]
    pub(crate) fn new<O: Operation>(op: O) -> Self {
        let mut room = Room::EMPTY;
        // SAFETY: The room is this function's own.
        unsafe { Room::put(NonNull::from(&mut room), op) };
        Self::in_room(Table::of::<O>(), room)
    }

    #[inline]
    fn in_room(table: &'static Table, room: Room) -> Self {
        let of = PhantomData;
        Self { table, room, of }
    }

    /// Whether the operation is an `O`.
    #[inline]
    pub(crate) fn is<O: Operation>(&self) -> bool {
        // What is in one place is the same; the same may be in two.
        ptr::eq(self.table, Table::of::<O>()) || (self.table.type_id)() == TypeId::of::<O>()
    }

    /// The output.
    ///
    /// # Safety
    ///
    /// The operation is an `O`.
    #[inline]
    pub(crate) unsafe fn output<O: Operation>(mut self, outcome: Outcome) -> O::Output {
        // SAFETY: As the caller promises; the room is not looked at any more.
        let op = unsafe { Room::take::<O>(NonNull::from(&mut self.room)) };
        outcome.output(op)
    }

    /// Drops the output.
    pub(crate) fn discard(mut self, outcome: Outcome) {
        // SAFETY: The table is that of the operation's type; the room is not looked at any more.
        unsafe { (self.table.discard)(NonNull::from(&mut self.room), outcome) };
    }
}

impl fmt::Debug for RawOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawOp").finish_non_exhaustive()
    }
}

/// A place for operations, one after the other, at an address that stays.
pub(crate) struct Held {
    /// Of the operation that is there.
    table: Option<&'static Table>,
    /// Owned. In no box: who executes the call uses what is in it.
    room: NonNull<Room>,
}

// SAFETY: It owns the operation, which is Send, and the memory.
unsafe impl Send for Held {}

impl Held {
    pub(crate) fn new() -> Self {
        Self {
            table: None,
            room: NonNull::from(Box::leak(Box::new(Room::EMPTY))),
        }
    }

    /// Moves an operation in, and lends it as long as nobody executes its call. There must be none there: it
    /// would be leaked.
    #[inline]
    pub(crate) fn put<O: Operation>(&mut self, op: O) -> &mut O {
        debug_assert!(self.table.is_none());
        self.table = Some(Table::of::<O>());
        // SAFETY: The room is owned, and nobody else uses what was there.
        unsafe { Room::put(self.room, op) };
        // SAFETY: It was just put there; it is borrowed with the place.
        unsafe { Room::find::<O>(self.room).as_mut() }
    }

    /// As [`Self::put`].
    #[inline]
    pub(crate) fn fill(&mut self, op: RawOp) {
        debug_assert!(self.table.is_none());
        self.table = Some(op.table);
        // SAFETY: The room is owned, and nobody else uses what was there.
        unsafe { self.room.write(op.room) };
    }

    /// The call to make. The pointers in it are valid until one of the other methods is called.
    ///
    /// # Safety
    ///
    /// Nobody is executing the call.
    pub(crate) unsafe fn call(&mut self) -> Option<Call> {
        // SAFETY: The table is that of the operation's type, and by the promise nobody else uses it.
        self.table.map(|table| unsafe { (table.call)(self.room) })
    }

    /// The file of the call, if it is known to be asked about.
    ///
    /// # Safety
    ///
    /// Nobody is executing the call.
    pub(crate) unsafe fn file(&self) -> Option<&SharedFd> {
        // SAFETY: As above; the operation is borrowed with the place.
        unsafe { (self.table?.file)(self.room).map(|file| file.as_ref()) }
    }

    /// Moves the operation out.
    ///
    /// # Safety
    ///
    /// Nobody is executing the call.
    #[inline]
    pub(crate) unsafe fn take(&mut self) -> Option<RawOp> {
        let table = mem::take(&mut self.table)?;
        // SAFETY: There is an operation, and by the promise nobody else uses it.
        Some(RawOp::in_room(table, unsafe { self.room.read() }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What is there may be in use.
        if self.table.is_none() {
            // SAFETY: The room was a box, and nobody uses it.
            drop(unsafe { Box::from_raw(self.room.as_ptr()) });
        }
    }
}
