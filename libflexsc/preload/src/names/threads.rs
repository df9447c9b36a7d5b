// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads begin with a context of their own.

use core::{
    ffi::{c_int, c_void},
    mem::transmute,
};

use libc::{pthread_attr_t, pthread_t};

use crate::{context, real::Real};

/// What a thread begins with.
type Start = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;

type Create =
    unsafe extern "C-unwind" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

static REAL: Real = Real::new(c"pthread_create");

/// Threads with less of a stack get no context: they know what they need, and not what we do.
const SMALLEST: usize = 256 << 10;

struct Begin {
    start: Start,
    argument: *mut c_void,
    kind: Kind,
}

/// What becomes of a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One of the program's.
    Own,
    /// One that executes for others.
    Pool,
}

/// Stands before the C library's `pthread_create`.
///
/// # Safety
///
/// As for that function.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn pthread_create(
    thread: *mut pthread_t,
    attr: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let real = REAL.address();
    if real.is_null() {
        return libc::EAGAIN;
    }
    // SAFETY: It is the function of this name.
    let real: Create = unsafe { transmute(real) };
    let kind = match context::is_at_work() {
        true => Kind::Pool,
        false => Kind::Own,
    };
    // SAFETY: The attributes are null or valid, as the caller promises.
    if kind == Kind::Own && (!context::is_wanted() || unsafe { is_small(attr) }) {
        // SAFETY: As the caller promises.
        return unsafe { real(thread, attr, start, argument) };
    }
    let begin = Box::into_raw(Box::new(Begin {
        start,
        argument,
        kind,
    }));
    // SAFETY: As the caller promises; what the thread begins with is its own.
    let ret = unsafe { real(thread, attr, begin_thread, begin.cast()) };
    if ret != 0 {
        // SAFETY: There is no thread that has it.
        drop(unsafe { Box::from_raw(begin) });
    }
    ret
}

/// # Safety
///
/// `attr` is null or valid.
unsafe fn is_small(attr: *const pthread_attr_t) -> bool {
    let mut size = 0;
    // SAFETY: As the caller promises.
    !attr.is_null()
        && unsafe { libc::pthread_attr_getstacksize(attr, &mut size) } == 0
        && size < SMALLEST
}

/// The thread may be unwound through this: nothing that has to be dropped is alive when it begins.
unsafe extern "C-unwind" fn begin_thread(begin: *mut c_void) -> *mut c_void {
    // SAFETY: It came from a box, which is this thread's.
    let begin = *unsafe { Box::from_raw(begin.cast::<Begin>()) };
    let Begin {
        start,
        argument,
        kind,
    } = begin;
    match kind {
        // Without a context its calls are plain.
        Kind::Own => drop(context::make()),
        Kind::Pool => context::set_at_work(),
    }
    // SAFETY: The caller of pthread_create promises that.
    unsafe { start(argument) }
}
