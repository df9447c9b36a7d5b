// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the C library and its structures are needed for.

use core::ffi::{CStr, c_char, c_int};

use super::Setup;

/// The text of an errno, as `strerror(3)` has it.
pub(crate) fn strerror(errno: i32) -> String {
    let mut buf = [0u8; 128];
    // SAFETY: `buf` is valid for writes of its length.
    let ret =
        unsafe { libc::strerror_r(errno as c_int, buf.as_mut_ptr().cast::<c_char>(), buf.len()) };
    if ret != 0 {
        return format!("error {errno}");
    }
    match CStr::from_bytes_until_nul(&buf) {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => format!("error {errno}"),
    }
}

/// An all-zero value for the kernel to fill in.
pub(crate) fn zeroed<T: Zeroable>() -> T {
    // SAFETY: `Zeroable` promises that all zeroes is a value of `T`.
    unsafe { core::mem::zeroed() }
}

/// Structures of the C ABI for which all zeroes is a value.
///
/// # Safety
///
/// All zeroes must be a valid value of the type.
pub(crate) unsafe trait Zeroable {}

// SAFETY: Integers and padding only.
unsafe impl Zeroable for libc::stat {}
// SAFETY: Integers and padding only.
unsafe impl Zeroable for libc::statx {}
// SAFETY: Integers, padding and pointers, which may be null.
unsafe impl Zeroable for libc::msghdr {}
// SAFETY: Integers only.
unsafe impl Zeroable for Setup {}
