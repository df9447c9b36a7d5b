// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opening files that are there. What an open would make is opened plainly: of a name that there is
//! nothing of yet, nobody knows the file system.

use core::ffi::{c_char, c_int};

use libc::mode_t;

use crate::{
    kind,
    post::{Call, post},
    real::interpose,
};

const CREAT: c_int = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;

/// Whether a mode goes with the flags.
fn takes_mode(flags: c_int) -> bool {
    flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE
}

fn opened(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> Option<i64> {
    // What else stands in the register is not the caller's.
    let mode = if takes_mode(flags) { mode } else { 0 };
    let args = [
        directory as u64,
        path as u64,
        flags as u64,
        mode.into(),
        0,
        0,
    ];
    post(Call::Openat, args, || {
        flags & libc::O_PATH == 0 && kind::of_opened(directory, path, flags)
    })
}

/// Opened without a mode; where one is needed the C library says so, and ends the program.
fn without_mode(directory: c_int, path: *const c_char, flags: c_int) -> Option<i64> {
    (!takes_mode(flags)).then(|| opened(directory, path, flags, 0))?
}

interpose! {
    open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int { opened(libc::AT_FDCWD, path, flags, mode) }
    open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int { opened(libc::AT_FDCWD, path, flags, mode) }
    __open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int { opened(libc::AT_FDCWD, path, flags, mode) }
    __open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int { opened(libc::AT_FDCWD, path, flags, mode) }
    __open_2(path: *const c_char, flags: c_int) -> c_int { without_mode(libc::AT_FDCWD, path, flags) }
    __open64_2(path: *const c_char, flags: c_int) -> c_int { without_mode(libc::AT_FDCWD, path, flags) }
    openat(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        opened(directory, path, flags, mode)
    }
    openat64(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
        opened(directory, path, flags, mode)
    }
    __openat_2(directory: c_int, path: *const c_char, flags: c_int) -> c_int { without_mode(directory, path, flags) }
    __openat64_2(directory: c_int, path: *const c_char, flags: c_int) -> c_int { without_mode(directory, path, flags) }
    creat(path: *const c_char, mode: mode_t) -> c_int { opened(libc::AT_FDCWD, path, CREAT, mode) }
    creat64(path: *const c_char, mode: mode_t) -> c_int { opened(libc::AT_FDCWD, path, CREAT, mode) }
}
