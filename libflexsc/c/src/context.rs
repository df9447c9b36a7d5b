// SPDX-License-Identifier: MIT OR Apache-2.0
//! A context, from its registration to its end.

use core::{
    ffi::{c_char, c_int, c_uint},
    ptr,
    time::Duration,
};
use std::{ffi::CString, os::fd::AsRawFd};

use libflexsc::{Cancel, raw::RawContext};

use crate::{
    attr::{self, flexsc_attr},
    call::{Prepared, flexsc_call},
    completion::flexsc_completion,
    errno::KeptErrno,
    message::c_string,
    stats::flexsc_stats,
};

/// A context: `struct flexsc`, opaque to C.
#[derive(Debug)]
pub struct flexsc {
    raw: RawContext,
    prepared: Prepared,
    backend: CString,
    reason: CString,
}

impl flexsc {
    /// Submits what was prepared; returns how many that were.
    ///
    /// # Safety
    ///
    /// All that was handed out may be made, with what it points to as the header says, and nobody
    /// writes to it meanwhile.
    unsafe fn submit(&mut self) -> usize {
        let Self { raw, prepared, .. } = self;
        let mut chain = Vec::new();
        // SAFETY: As the caller promises.
        let mut calls = unsafe { prepared.iter() }.peekable();
        while let Some(call) = calls.next() {
            let linked = call.is_linked() && calls.peek().is_some();
            if !linked && chain.is_empty() {
                // SAFETY: As the caller promises.
                unsafe { raw.post(call.to_raw(), call.user_data) };
                continue;
            }
            chain.push((call.to_raw(), call.user_data));
            if !linked {
                // SAFETY: As the caller promises.
                unsafe { raw.post_chain(chain.drain(..)) };
            }
        }
        drop(calls);
        let count = prepared.len();
        prepared.clear();
        raw.flush();
        count
    }
}

fn number(count: usize) -> c_int {
    c_int::try_from(count).unwrap_or(c_int::MAX)
}

/// The version of the library.
#[unsafe(no_mangle)]
pub extern "C" fn flexsc_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Makes a context: 0, or a negative errno.
///
/// # Safety
///
/// `context` is valid for writes; `attr` is null or valid for reads, the name in it null or a C
/// string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_register(
    context: *mut *mut flexsc,
    attr: *const flexsc_attr,
) -> c_int {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let made = unsafe { attr::backend(attr) }.map(|backend| {
        let choice = backend.choice().clone();
        Box::into_raw(Box::new(flexsc {
            raw: RawContext::new(backend),
            prepared: Prepared::default(),
            backend: c_string(choice.kind.name().to_owned()),
            reason: c_string(choice.reason),
        }))
    });
    let (made, ret) = match made {
        Ok(made) => (made, 0),
        Err(ret) => (ptr::null_mut(), ret),
    };
    // SAFETY: As the caller promises.
    unsafe { context.write(made) };
    ret
}

/// Ends a context. Returns how many calls are still in progress, whose memory must stay.
///
/// # Safety
///
/// `context` is null, or was registered and not unregistered, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_unregister(context: *mut flexsc) -> c_int {
    let _errno = KeptErrno::new();
    if context.is_null() {
        return 0;
    }
    // SAFETY: It came from a box, and by the caller's promise goes once.
    let context = unsafe { Box::from_raw(context) };
    context
        .raw
        .close()
        .map_or_else(|stuck| number(stuck.outstanding()), |_| 0)
}

/// The name of the backend. Valid as long as the context.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_backend(context: *const flexsc) -> *const c_char {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &*context };
    context.backend.as_ptr()
}

/// Why this backend, for people. Valid as long as the context.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_reason(context: *const flexsc) -> *const c_char {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &*context };
    context.reason.as_ptr()
}

/// A call to be prepared, which does nothing as it is. Never null; valid until calls are submitted.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_get_call(context: *mut flexsc) -> *mut flexsc_call {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &mut *context };
    context.prepared.next()
}

/// Submits all calls that were prepared. Returns how many.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it. Every
/// prepared call is one that may be made, with what it points to as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_submit(context: *mut flexsc) -> c_int {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &mut *context };
    // SAFETY: As the caller promises.
    number(unsafe { context.submit() })
}

/// Submits what was prepared, and waits until `min` completions can be taken, nothing is in progress
/// any more, or `timeout_ns` are over, unless negative. Returns how many completions can be taken.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it.
/// Of prepared calls the same holds as for [`flexsc_submit`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_wait(context: *mut flexsc, min: c_uint, timeout_ns: i64) -> c_int {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &mut *context };
    // SAFETY: As the caller promises.
    unsafe { context.submit() };
    let timeout = u64::try_from(timeout_ns).ok().map(Duration::from_nanos);
    number(context.raw.wait(min as usize, timeout))
}

/// A descriptor that is readable when there is something to do for the context, or a negative errno.
/// The context's own.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_event_fd(context: *const flexsc) -> c_int {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &*context };
    match context.raw.event_fd() {
        Ok(fd) => fd.as_raw_fd(),
        Err(errno) => -errno.raw(),
    }
}

/// Submits what was prepared, and readies the descriptor for a sleep. Returns how many completions can
/// be taken.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it; `timeout_ms` is valid for
/// writes.
/// Of prepared calls the same holds as for [`flexsc_submit`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_arm(context: *mut flexsc, timeout_ms: *mut c_int) -> c_int {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &mut *context };
    // SAFETY: As the caller promises.
    unsafe { context.submit() };
    let armed = context.raw.arm();
    let time = match armed.timeout {
        _ if armed.completed != 0 => 0,
        None => -1,
        Some(time) => c_int::try_from(time.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX),
    };
    // SAFETY: As the caller promises.
    unsafe { timeout_ms.write(time) };
    number(armed.completed)
}

/// Takes up to `max` completions, and does not wait. Returns how many.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it, and
/// there is room for `max` completions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_reap(
    context: *mut flexsc,
    completions: *mut flexsc_completion,
    max: c_uint,
) -> c_int {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &mut *context };
    let mut count = 0;
    while count < max as usize {
        let Some(done) = context.raw.next() else {
            break;
        };
        // SAFETY: There is room for `max` of them, as the caller promises.
        unsafe { completions.add(count).write(done.into()) };
        count += 1;
    }
    number(count)
}

/// Submits what was prepared, and ends a call early that carries `user_data`. 0 if it ends without
/// effect, `-EALREADY` if it is being executed, `-ENOENT` if there is none in progress.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it.
/// Of prepared calls the same holds as for [`flexsc_submit`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_cancel(context: *mut flexsc, user_data: u64) -> c_int {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &mut *context };
    // SAFETY: As the caller promises.
    unsafe { context.submit() };
    match context.raw.cancel(user_data) {
        Cancel::Cancelled => 0,
        Cancel::Over => -libc::ENOENT,
        // Its completion will say.
        _ => -libc::EALREADY,
    }
}

/// Submits what was prepared, and ends all calls early that can be. Returns how many were not over.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it.
/// Of prepared calls the same holds as for [`flexsc_submit`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_cancel_all(context: *mut flexsc) -> c_int {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &mut *context };
    // SAFETY: As the caller promises.
    unsafe { context.submit() };
    number(context.raw.cancel_all())
}

/// How many calls are in progress.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_outstanding(context: *const flexsc) -> c_uint {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &*context };
    number(context.raw.outstanding()).unsigned_abs()
}

/// How many calls can be in progress before one has to wait for its turn.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_capacity(context: *const flexsc) -> c_uint {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &*context };
    number(context.raw.capacity()).unsigned_abs()
}

/// What the context has done so far: as much of it as `size` bytes hold.
///
/// # Safety
///
/// `context` was registered and not unregistered, and no other thread uses it, and
/// `stats` is valid for writes of `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_get_stats(
    context: *const flexsc,
    stats: *mut flexsc_stats,
    size: usize,
) {
    let _errno = KeptErrno::new();
    // SAFETY: As the caller promises.
    let context = unsafe { &*context };
    let done = flexsc_stats::from(context.raw.stats());
    let size = size.min(size_of::<flexsc_stats>());
    // SAFETY: Both are valid for that many bytes, and apart.
    unsafe { ptr::copy_nonoverlapping((&raw const done).cast::<u8>(), stats.cast::<u8>(), size) };
}
