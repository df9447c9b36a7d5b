// SPDX-License-Identifier: MIT OR Apache-2.0
//! The numbers of our descriptors, which the program knows nothing of.
//!
//! A program may close all that it does not know. Our numbers are kept out of that, in the
//! functions of the C library; a system call by the program's own instructions reaches them. So what a number names
//! is looked at before it is kept from the program, as it is before it is used.

use core::{
    ffi::c_int,
    sync::atomic::{AtomicI32, AtomicU64, Ordering},
};

use libflexsc::sys;

/// How many threads of a process may have a context at once. Each is threads of the kernel's, or of a
/// pool, and one of those that a user may have of the module.
pub const MOST: usize = 8;

/// Where our numbers begin, or halfway to a lower limit: beyond what programs number their files with,
/// and no table becomes larger for it than it often is.
const FROM: u64 = 768;

static NUMBERS: [AtomicI32; MOST] = [const { AtomicI32::new(-1) }; MOST];
/// The device that they name.
static DEVICE: AtomicU64 = AtomicU64::new(0);

/// The lowest number to be taken.
pub fn lowest() -> u32 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: The structure is valid for writes.
    let ret = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    match ret {
        0 => FROM.min(limit.rlim_cur / 2) as u32,
        _ => FROM as u32,
    }
}

/// Keeps a number from the program. `false` if there is no room for one more.
pub fn keep(number: c_int) -> bool {
    let Some(device) = device(number) else {
        return false;
    };
    DEVICE.store(device, Ordering::Relaxed);
    NUMBERS.iter().any(|place| {
        place
            .compare_exchange(-1, number, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    })
}

/// Leaves a number to the program.
pub fn leave(number: c_int) {
    for place in &NUMBERS {
        let _ = place.compare_exchange(number, -1, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether a number is one of ours.
pub fn is_ours(number: c_int) -> bool {
    if number < 0
        || !NUMBERS
            .iter()
            .any(|place| place.load(Ordering::Relaxed) == number)
    {
        return false;
    }
    let ours = device(number) == Some(DEVICE.load(Ordering::Relaxed));
    if !ours {
        // Somebody has closed it without asking, and the number is another file's.
        leave(number);
    }
    ours
}

/// The lowest of ours between two numbers, both included.
pub fn first_between(first: u32, last: u32) -> Option<u32> {
    NUMBERS
        .iter()
        .filter_map(|place| u32::try_from(place.load(Ordering::Relaxed)).ok())
        .filter(|number| (first..=last).contains(number) && is_ours(*number as c_int))
        .min()
}

/// Closes all of ours in a forked child, which has no use for them; the parent's module is not to be
/// kept in use by it.
pub fn close_all() {
    for place in &NUMBERS {
        let number = place.load(Ordering::Relaxed);
        if is_ours(number) {
            // SAFETY: The descriptor is ours, and in this process nobody uses it.
            unsafe { sys::syscall(libc::SYS_close as u16, &[number as u64, 0, 0, 0, 0, 0]) };
        }
        place.store(-1, Ordering::Relaxed);
    }
}

/// The character device that a descriptor names.
fn device(number: c_int) -> Option<u64> {
    // SAFETY: All of it is integers.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    let args = [number as u64, &raw mut status as u64, 0, 0, 0, 0];
    // SAFETY: The structure is valid for writes.
    let ret = unsafe { sys::syscall(libc::SYS_fstat as u16, &args) };
    (ret == 0 && status.st_mode & libc::S_IFMT == libc::S_IFCHR).then_some(status.st_rdev)
}
