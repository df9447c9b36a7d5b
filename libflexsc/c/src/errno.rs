// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C library's `errno`, which belongs to the caller.

use core::ffi::c_int;

/// Puts `errno` back when it goes.
pub(crate) struct KeptErrno(c_int);

impl KeptErrno {
    pub(crate) fn new() -> Self {
        // SAFETY: The address is this thread's own `errno`.
        Self(unsafe { *libc::__errno_location() })
    }
}

impl Drop for KeptErrno {
    fn drop(&mut self) {
        // SAFETY: As above.
        unsafe { *libc::__errno_location() = self.0 };
    }
}
