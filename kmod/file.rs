// SPDX-License-Identifier: GPL-2.0

//! Files that entries hold: from when they are taken, or without a descriptor.

use crate::{
    call::Call,
    helpers::{
        flexsc_file_hold,
        flexsc_file_is_direct,
        flexsc_file_put, //
    },
    shared::Posted, //
};
use core::{
    mem,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings,
    fs::file::File,
    sync::aref::ARef,
    task::Task, //
};

/// A reference to a file. May only be dropped where one may sleep, and then the file is released
/// at once if it was the last.
///
/// # Invariants
///
/// The pointer is to a valid file, and this object owns a reference to it.
pub(crate) struct HeldFile(NonNull<bindings::file>);

// SAFETY: A reference to a file may be given back by any thread.
unsafe impl Send for HeldFile {}

impl HeldFile {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `file` must be a valid file, and the caller's reference passes on.
    pub(crate) unsafe fn new(file: NonNull<bindings::file>) -> Self {
        // INVARIANT: The caller promises it.
        Self(file)
    }

    /// The file that `number` names in the fd table of the calling thread, or of `table` where
    /// that is a kernel thread; `None` if it names none, or one of ours. Does not sleep.
    fn by_number(table: Option<&Task>, number: u32) -> Option<Self> {
        let table = table.map_or(ptr::null_mut(), Task::as_ptr);
        // SAFETY: `table` is a task that the caller has a reference to, or null.
        let file = unsafe { flexsc_file_hold(table, number) };
        // INVARIANT: It is a valid file, and comes with a reference.
        NonNull::new(file).map(Self)
    }

    /// Another reference to the same file.
    fn share(&self) -> Self {
        // SAFETY: By the type invariants it is a valid file, of which a reference is held.
        unsafe { Self::another(self.0.as_ptr()) }
    }

    /// Another reference to `file`.
    ///
    /// # Safety
    ///
    /// It must be a valid file, of which somebody holds a reference.
    pub(crate) unsafe fn another(file: *mut bindings::file) -> Self {
        // SAFETY: The caller promises it.
        unsafe { bindings::get_file(file) };
        // INVARIANT: That was one for this object.
        // SAFETY: A valid file is not at 0.
        Self(unsafe { NonNull::new_unchecked(file) })
    }

    /// The file, referenced while this object lives.
    pub(crate) fn as_ptr(&self) -> *mut bindings::file {
        self.0.as_ptr()
    }

    /// The same reference, as the kernel crate has it.
    pub(crate) fn into_file(self) -> ARef<File> {
        let file = mem::ManuallyDrop::new(self).0;
        // SAFETY: By the type invariants it is a valid file, whose reference passes on. Whoever
        // holds one like this has no fdget_pos() on it.
        unsafe { ARef::from_raw(file.cast()) }
    }
}

/// The files that an entry's arguments named when it, or the first of its row, was taken. Only dropped where one may sleep.
#[derive(Default)]
pub(crate) struct HeldFiles {
    first: Option<HeldFile>,
    second: Option<HeldFile>,
}

impl HeldFiles {
    /// None.
    pub(crate) const fn none() -> Self {
        Self {
            first: None,
            second: None,
        }
    }

    /// What the arguments of `call`, in an entry with these flags, name in `table`; see
    /// [`HeldFile::by_number`].
    // Inlined, those who take entries have too few registers.
    #[inline(never)]
    pub(crate) fn new(call: &Call, posted: &Posted, table: Option<&Task>) -> Self {
        if mutant!("taken_file") {
            return Self::none();
        }
        // CAST: As the system calls cut their argument.
        let by_number = |argument: u64| HeldFile::by_number(table, argument as u32);
        let first = call.names_file(posted.flags);
        let second = call.second_file().and_then(|place| posted.args.get(place));
        Self {
            first: first.then(|| by_number(posted.args[0])).flatten(),
            second: second.copied().and_then(by_number),
        }
    }

    /// Whether the first is read and written past the page cache.
    pub(crate) fn is_direct(&self) -> bool {
        let direct = |file: &HeldFile| {
            // SAFETY: By its invariants it is a valid file.
            unsafe { flexsc_file_is_direct(file.as_ptr()) }
        };
        self.first.as_ref().is_some_and(direct)
    }

    /// Gives them back. May sleep.
    #[inline(always)]
    pub(crate) fn release(&mut self) {
        if self.first.is_some() {
            self.first = None;
        }
        if self.second.is_some() {
            self.second = None;
        }
    }

    /// Gives back the first, which something else holds as well.
    pub(crate) fn drop_first(&mut self) {
        self.first = None;
    }

    /// Takes over the first of `before`; there was none here.
    #[inline(always)]
    pub(crate) fn inherit(&mut self, before: &mut Self) {
        mem::swap(&mut self.first, &mut before.first);
    }

    /// Holds that for the first; there was none here.
    pub(crate) fn lend(&mut self, file: HeldFile) {
        self.first = Some(file);
    }

    /// Holds the first of `before` as well; there was none here.
    pub(crate) fn share(&mut self, before: &Self) {
        self.first = before.first.as_ref().map(HeldFile::share);
    }

    /// For the entry's frame; valid while this object lives.
    pub(crate) fn as_ptrs(&self) -> [*mut bindings::file; 2] {
        let pointer =
            |file: &Option<HeldFile>| file.as_ref().map_or(ptr::null_mut(), HeldFile::as_ptr);
        [pointer(&self.first), pointer(&self.second)]
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        if mutant!("file_back") {
            return;
        }
        // SAFETY: By the type invariants it is a valid file, whose reference is this object's.
        unsafe { flexsc_file_put(self.0.as_ptr()) };
    }
}
