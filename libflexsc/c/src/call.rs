// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that are being prepared.

use core::{ptr::NonNull, time::Duration};

use libflexsc::{Errno, raw::RawCall, sys};

/// The next call that is submitted begins when this one has succeeded.
pub const FLEXSC_LINK: u32 = 1 << 0;
/// The call opens, or works on, the file of its chain.
pub const FLEXSC_FILE: u32 = 1 << 1;
/// `timeout_ns` counts.
pub const FLEXSC_TIMEOUT: u32 = 1 << 2;
/// A poll goes on, and completes for each readiness.
pub const FLEXSC_MULTI: u32 = 1 << 3;

const KNOWN: u32 = FLEXSC_LINK | FLEXSC_FILE | FLEXSC_TIMEOUT | FLEXSC_MULTI;

/// A call to be submitted: `struct flexsc_call`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct flexsc_call {
    /// Comes back with the completion.
    pub user_data: u64,
    /// Its arguments, as in registers.
    pub args: [u64; 6],
    /// With [`FLEXSC_TIMEOUT`]: after how many nanoseconds it is cancelled.
    pub timeout_ns: i64,
    /// Its number in the x86-64 table.
    pub nr: u32,
    /// `FLEXSC_*` as above.
    pub flags: u32,
    /// 0.
    pub reserved: [u64; 3],
}

impl flexsc_call {
    /// Does nothing.
    pub(crate) const NOTHING: Self = Self {
        user_data: 0,
        args: [0; 6],
        timeout_ns: 0,
        nr: sys::NR_NOP as u32,
        flags: 0,
        reserved: [0; 3],
    };

    pub(crate) fn is_linked(&self) -> bool {
        self.flags & FLEXSC_LINK != 0
    }

    /// The call, as Rust posts it. What is wrong with it is told when it completes.
    pub(crate) fn to_raw(self) -> RawCall {
        if self.flags & !KNOWN != 0 || self.reserved != [0; 3] {
            return RawCall::failing(Errno::EINVAL);
        }
        let mut call = RawCall::new(self.nr.into(), self.args);
        if self.flags & FLEXSC_FILE != 0 {
            call = call.on_chain();
        }
        if self.flags & FLEXSC_MULTI != 0 {
            call = call.again();
        }
        if self.flags & FLEXSC_TIMEOUT != 0 {
            let span = u64::try_from(self.timeout_ns).unwrap_or(0);
            call = call.timeout(Duration::from_nanos(span));
        }
        call
    }
}

/// Calls that were handed out to be prepared: their addresses hold until they are submitted.
///
/// What C holds pointers to is behind pointers here, too: a box would claim to be the only way to it.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    chunks: Vec<NonNull<Chunk>>,
    count: usize,
}

type Chunk = [flexsc_call; CHUNK];

/// Calls that are allocated at a time.
const CHUNK: usize = 64;

impl Prepared {
    /// Hands out one more.
    pub(crate) fn next(&mut self) -> *mut flexsc_call {
        if self.count == self.chunks.len() * CHUNK {
            let chunk = Box::new([flexsc_call::NOTHING; CHUNK]);
            self.chunks.extend(NonNull::new(Box::into_raw(chunk)));
        }
        let call = self.place(self.count);
        self.count += 1;
        // SAFETY: The place is in a chunk, and was not handed out since the last submission.
        unsafe { call.write(flexsc_call::NOTHING) };
        call
    }

    /// Where a call is; it must be in a chunk.
    fn place(&self, number: usize) -> *mut flexsc_call {
        let chunk = self.chunks[number / CHUNK].as_ptr().cast::<flexsc_call>();
        chunk.wrapping_add(number % CHUNK)
    }

    /// How many were handed out.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// They are submitted.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// In the order in which they were handed out.
    ///
    /// # Safety
    ///
    /// Nobody writes to them meanwhile.
    pub(crate) unsafe fn iter(&self) -> impl Iterator<Item = flexsc_call> {
        // SAFETY: As many are in the chunks, and by the promise they can be read.
        (0..self.count).map(|number| unsafe { self.place(number).read() })
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for chunk in self.chunks.drain(..) {
            // SAFETY: It came from a box, and what C had of it ends with the context.
            drop(unsafe { Box::from_raw(chunk.as_ptr()) });
        }
    }
}
