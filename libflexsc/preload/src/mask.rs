// SPDX-License-Identifier: MIT OR Apache-2.0
//! No signals, and no end of the thread, for a while.

use core::{ffi::c_int, ptr};

use libflexsc::sys;

const PTHREAD_CANCEL_DISABLE: c_int = 1;

unsafe extern "C-unwind" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// Blocks all signals of this thread until it is dropped, those that the C library keeps for itself
/// included: a handler that leaves by `siglongjmp` would leave a call behind that writes to memory which
/// is used for something else then. Nor is the thread cancelled meanwhile, by what the library itself
/// calls.
#[derive(Debug)]
pub struct Mask {
    signals: u64,
    cancels: c_int,
}

impl Mask {
    /// From now on.
    pub fn all() -> Self {
        let mut cancels = 0;
        // SAFETY: The number is valid for writes.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut cancels) };
        Self {
            signals: set(u64::MAX),
            cancels,
        }
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        set(self.signals);
        // SAFETY: The state is what it was. A thread that may be cancelled at any point is here, too,
        // where nothing is left to be done.
        unsafe { pthread_setcancelstate(self.cancels, ptr::null_mut()) };
    }
}

/// Sets the mask, and returns what it was. sigprocmask(3) would leave two signals out.
fn set(mask: u64) -> u64 {
    let mut before = 0_u64;
    let args = [
        libc::SIG_SETMASK as u64,
        &raw const mask as u64,
        &raw mut before as u64,
        size_of::<u64>() as u64,
        0,
        0,
    ];
    // SAFETY: Both words are valid for the call. It does not fail with these arguments.
    unsafe { sys::syscall(libc::SYS_rt_sigprocmask as u16, &args) };
    before
}
