// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ABI of `/dev/flexsc`, and the plain system call.
//!
//! [`bindings`] is what bindgen makes of `kmod/uapi/flexsc.h`, with the layout of every structure
//! asserted at compile time; it is committed, so that no build needs libclang. This module gives
//! it the names that Rust code uses, and computes the ioctl numbers, which bindgen cannot read.
//! `tests/layout.rs` holds all of it to what the C compiler makes of the header.
//!
//! # What is promised
//!
//! What stands here changes as the header does, whose compatibility is that between programs and the module:
//! [`ABI_VERSION`] is another one when a program of before would not work any more. That is all that holds. A field
//! may take the place of a reserved one, and an item may go or come, in any version of this crate, as
//! [`page`](crate::page) may: who uses either depends on `=0.1.0`, this very version.

#![allow(unsafe_code)]

#[cfg(not(loom))]
mod c;
pub mod guard;

#[rustfmt::skip]
#[allow(missing_docs, non_camel_case_types, clippy::undocumented_unsafe_blocks)]
pub mod bindings;

pub use bindings::{
    FLEXSC_ABI_VERSION as ABI_VERSION, FLEXSC_CALL_GATED as CALL_GATED,
    FLEXSC_CANCEL_ALL as CANCEL_ALL, FLEXSC_CPU_ANY as CPU_ANY, FLEXSC_FEAT_ARM as FEAT_ARM,
    FLEXSC_FEAT_CANCEL as FEAT_CANCEL, FLEXSC_FEAT_LANE_C as FEAT_LANE_C,
    FLEXSC_FEAT_LANE_T as FEAT_LANE_T, FLEXSC_FEAT_LANE_W as FEAT_LANE_W,
    FLEXSC_FEAT_LINK as FEAT_LINK, FLEXSC_FEAT_MULTI as FEAT_MULTI, FLEXSC_FEAT_POLL as FEAT_POLL,
    FLEXSC_FEAT_POLL_FILE as FEAT_POLL_FILE, FLEXSC_FEAT_RESTRICT as FEAT_RESTRICT,
    FLEXSC_FEAT_TIMEOUT as FEAT_TIMEOUT, FLEXSC_LANE_C as LANE_C, FLEXSC_LANE_T as LANE_T,
    FLEXSC_LANE_W as LANE_W, FLEXSC_MAGIC as MAGIC, FLEXSC_MAX_ENTRIES as MAX_ENTRIES,
    FLEXSC_MIN_ENTRIES as MIN_ENTRIES, FLEXSC_NEED_WAKEUP as NEED_WAKEUP,
    FLEXSC_RESTRICT_CALLS as RESTRICT_CALLS, FLEXSC_RESTRICT_FREEZE as RESTRICT_FREEZE,
    FLEXSC_RESTRICT_MAX as RESTRICT_MAX, FLEXSC_SPIN_DEFAULT as SPIN_DEFAULT,
    flexsc_cancel as Cancel, flexsc_control as Control, flexsc_counters as Counters,
    flexsc_entry as Entry, flexsc_probe as Probe, flexsc_probe_call as ProbeCall,
    flexsc_restrict as Restrict, flexsc_setup as Setup, flexsc_wait as Wait,
};

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("libflexsc speaks the system calls of x86-64 Linux only");

#[cfg(not(loom))]
pub(crate) use c::{strerror, zeroed};

/// The device that carries the contexts.
pub const DEVICE: &str = "/dev/flexsc";

/// Entry status: the application may fill the entry in.
pub const FREE: u32 = bindings::FLEXSC_FREE;
/// Entry status: posted, not yet taken.
pub const SUBMITTED: u32 = bindings::FLEXSC_SUBMITTED;
/// Entry status: taken, belongs to the executing side.
pub const BUSY: u32 = bindings::FLEXSC_BUSY;
/// Entry status: `ret` and `flags` are valid.
pub const DONE: u32 = bindings::FLEXSC_DONE;

/// Entry flag: declined before any side effect; the application makes the plain call itself.
pub const ENTRY_HANDED_BACK: u16 = bindings::FLEXSC_ENTRY_HANDED_BACK as u16;

/// Entry flag: `ret` holds the nanoseconds after which the entry is cancelled.
pub const ENTRY_TIMEOUT: u16 = bindings::FLEXSC_ENTRY_TIMEOUT as u16;

/// Entry flag: the entry posted next begins when this one has succeeded.
pub const ENTRY_LINK: u16 = bindings::FLEXSC_ENTRY_LINK as u16;

/// Entry flag: the entry opens, or works on, the file of its chain.
pub const ENTRY_FILE: u16 = bindings::FLEXSC_ENTRY_FILE as u16;

/// Entry flag: [`NR_POLL`] goes on until it fails, with events exchanged through `ret`.
pub const ENTRY_MULTI: u16 = bindings::FLEXSC_ENTRY_MULTI as u16;

/// The call number that does nothing and returns 0, for measuring.
pub const NR_NOP: u16 = bindings::FLEXSC_NR_NOP as u16;

/// The call number that waits until a file is ready: descriptor, `POLL*` events.
pub const NR_POLL: u16 = bindings::FLEXSC_NR_POLL as u16;

/// What is no system call has this number or a higher one.
pub const NR_OWN: u16 = bindings::FLEXSC_NR_OWN as u16;

const IOC_WRITE: u32 = 1;
const IOC_READ: u32 = 2;

/// `_IOC` of `asm-generic/ioctl.h`.
const fn ioc(direction: u32, nr: u32, size: usize) -> u32 {
    assert!(size < 1 << 14);
    (direction << 30) | ((size as u32) << 16) | (bindings::FLEXSC_IOC_TYPE << 8) | nr
}

/// ioctl: give the context its memory. Argument: [`Setup`].
pub const IOC_SETUP: u32 = ioc(IOC_READ | IOC_WRITE, 0x10, size_of::<Setup>());
/// ioctl: which calls may be posted. Argument: [`Probe`].
pub const IOC_PROBE: u32 = ioc(IOC_READ | IOC_WRITE, 0x11, size_of::<Probe>());
/// ioctl: entries were posted while nobody polled.
pub const IOC_KICK: u32 = ioc(0, 0x12, 0);
/// ioctl: execute what is still submitted, then sleep. Argument: [`Wait`].
pub const IOC_WAIT: u32 = ioc(IOC_WRITE, 0x13, size_of::<Wait>());
/// ioctl: end entries early. Argument: [`Cancel`].
pub const IOC_CANCEL: u32 = ioc(IOC_WRITE, 0x14, size_of::<Cancel>());
/// ioctl: narrow the set of calls that may be posted. Argument: [`Restrict`].
pub const IOC_RESTRICT: u32 = ioc(IOC_READ | IOC_WRITE, 0x15, size_of::<Restrict>());

/// Makes one plain system call and returns what the kernel returned, a negative errno included.
///
/// [`NR_NOP`] returns 0 without entering the kernel; [`NR_POLL`] is made by `poll(2)`.
///
/// # Safety
///
/// The call must be one that safe code could make with these arguments: every pointer among them
/// is valid for what the call does with it, until it returns, and no file descriptor is closed
/// that somebody owns.
///
/// # Examples
///
/// ```
/// // SAFETY: The call takes no pointer.
/// let ret = unsafe { libflexsc::sys::syscall(libc::SYS_close as u16, &[u64::MAX; 6]) };
/// assert_eq!(ret, -i64::from(libc::EBADF), "errno is left alone");
/// ```
#[inline]
pub unsafe fn syscall(nr: u16, args: &[u64; 6]) -> i64 {
    if nr == NR_NOP {
        return 0;
    }
    if nr == NR_POLL {
        return poll_file(args);
    }
    let ret: i64;
    // SAFETY: The caller promises that the call itself is fine. The instruction clobbers rcx and
    // r11 and no other register; memory is not declared untouched.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") i64::from(nr) => ret,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    ret
}

/// [`NR_POLL`] by the plain call.
fn poll_file(args: &[u64; 6]) -> i64 {
    // As the kernel takes an int from a register.
    let fd = args[0] as i32;
    let Ok(events) = u16::try_from(args[1]) else {
        return -i64::from(libc::EINVAL);
    };
    if fd < 0 {
        // poll(2) would leave it out.
        return -i64::from(libc::EBADF);
    }
    let mut file = libc::pollfd {
        fd,
        events: events as i16,
        revents: 0,
    };
    let ret = poll(core::slice::from_mut(&mut file), None);
    match file.revents {
        _ if ret < 0 => ret,
        libc::POLLNVAL => -i64::from(libc::EBADF),
        ready => i64::from(ready as u16),
    }
}

/// `ppoll(2)` without a signal mask: how many files are ready, 0 when the time is over, or a
/// negative errno.
///
/// # Examples
///
/// ```
/// use std::{io::Write, os::fd::AsRawFd, time::Duration};
/// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
/// let mut files = [libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
/// assert_eq!(libflexsc::sys::poll(&mut files, Some(Duration::ZERO)), 0);
/// writer.write_all(b"x")?;
/// assert_eq!(libflexsc::sys::poll(&mut files, None), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn poll(files: &mut [libc::pollfd], time: Option<core::time::Duration>) -> i64 {
    let mut time = time.map(|time| libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    let address = time.as_mut().map_or(0, |time| &raw mut *time as u64);
    let args = [
        files.as_mut_ptr() as u64,
        files.len() as u64,
        address,
        0,
        8,
        0,
    ];
    // SAFETY: The array is valid for reads and writes, and the time, a copy that the kernel may
    // write the rest to, until the call returns.
    unsafe { syscall(libc::SYS_ppoll as u16, &args) }
}

/// The number of CPUs that this thread may run on, at least 1. See `sched_getaffinity(2)`.
///
/// # Examples
///
/// ```
/// let cpus = libflexsc::sys::usable_cpus();
/// assert!(cpus >= 1);
/// ```
pub fn usable_cpus() -> usize {
    // SAFETY: cpu_set_t is a plain bit array, for which all zeroes is a value.
    let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
    // SAFETY: `set` is valid for writes of the size given.
    let ret = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    if ret != 0 {
        return 1;
    }
    // SAFETY: `set` was filled in above.
    (unsafe { libc::CPU_COUNT(&set) } as usize).max(1)
}
