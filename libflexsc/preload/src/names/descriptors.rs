// SPDX-License-Identifier: MIT OR Apache-2.0
//! Closing: files of the program, and not ours.

use core::ffi::{c_int, c_uint};

use crate::{
    context, kind, numbers,
    post::{Call, post},
    real::{Real, interpose},
};

const EBADF: i64 = -(libc::EBADF as i64);
const CLOSE_RANGE_UNSHARE: c_int = 2;

fn closed(fd: c_int) -> Option<i64> {
    if numbers::is_ours(fd) {
        // The program has opened no such file.
        return Some(EBADF);
    }
    post(Call::Close, [fd as u64, 0, 0, 0, 0, 0], || {
        kind::of_file(fd)
    })
}

/// Before `to` becomes a number of the program's: whoever uses ours sees that it is another file.
fn duplicated(from: c_int, to: c_int) -> Option<i64> {
    if numbers::is_ours(from) {
        return Some(EBADF);
    }
    if from != to {
        numbers::leave(to);
    }
    None
}

/// Closes all between ours; `None` if there are none of ours, or the numbers are no range.
fn range(first: c_uint, last: c_uint, flags: c_int) -> Option<i64> {
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        // A table of its own, where nobody who executes for this thread follows.
        context::turn_off();
        return None;
    }
    if flags != 0 || first > last {
        return None;
    }
    let mut from = first;
    numbers::first_between(from, last)?;
    while let Some(ours) = numbers::first_between(from, last) {
        if ours > from {
            let ret = plain_range(from, ours - 1);
            if ret < 0 {
                return Some(ret);
            }
        }
        from = ours + 1;
    }
    if from > last {
        return Some(0);
    }
    Some(plain_range(from, last))
}

fn plain_range(first: c_uint, last: c_uint) -> i64 {
    let args = [first.into(), last.into(), 0, 0, 0, 0];
    // SAFETY: The program closes these files, and ours is not among them.
    unsafe { libflexsc::sys::syscall(libc::SYS_close_range as u16, &args) }
}

interpose! {
    close(fd: c_int) -> c_int { closed(fd) }
    __close(fd: c_int) -> c_int { closed(fd) }
    dup2(from: c_int, to: c_int) -> c_int { duplicated(from, to) }
    __dup2(from: c_int, to: c_int) -> c_int { duplicated(from, to) }
    dup3(from: c_int, to: c_int, flags: c_int) -> c_int { let _ = flags; duplicated(from, to) }
    close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int { range(first, last, flags) }
}

static CLOSEFROM: Real = Real::new(c"closefrom");

/// Stands before the C library's `closefrom`, which returns nothing.
///
/// # Safety
///
/// As for that function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn closefrom(first: c_int) {
    let from = c_uint::try_from(first).unwrap_or(0);
    if range(from, c_uint::MAX, 0) == Some(0) {
        return;
    }
    let real = CLOSEFROM.address();
    if !real.is_null() {
        // SAFETY: It is the function of this name.
        let real: unsafe extern "C-unwind" fn(c_int) = unsafe { core::mem::transmute(real) };
        // SAFETY: As the caller promises.
        unsafe { real(first) };
    }
}
