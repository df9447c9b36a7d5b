// SPDX-License-Identifier: GPL-2.0

//! The ABI of `/dev/flexsc`, mirrored.
//!
//! The law is `kmod/uapi/flexsc.h`; this is the only file of the module that knows its
//! numbers. The assertions below hold sizes and offsets to the header's; a user-space test
//! compares the header with what the C compiler lays out.

use crate::once::Once;
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    ioctl::{
        _IO,
        _IOW,
        _IOWR, //
    },
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
};

/// `FLEXSC_ABI_VERSION`.
pub(crate) const ABI_VERSION: u32 = 1;
/// `FLEXSC_MAGIC`.
pub(crate) const MAGIC: u32 = 0x4353_5846;

/// `FLEXSC_MIN_ENTRIES`.
pub(crate) const MIN_ENTRIES: u32 = 64;
/// `FLEXSC_MAX_ENTRIES`.
pub(crate) const MAX_ENTRIES: u32 = 4096;

/// `FLEXSC_SUBMITTED`.
pub(crate) const SUBMITTED: u32 = 1;
/// `FLEXSC_BUSY`.
pub(crate) const BUSY: u32 = 2;
/// `FLEXSC_DONE`.
pub(crate) const DONE: u32 = 3;

/// `FLEXSC_ENTRY_HANDED_BACK`.
pub(crate) const ENTRY_HANDED_BACK: u16 = 0x8000;
/// `FLEXSC_ENTRY_TIMEOUT`.
pub(crate) const ENTRY_TIMEOUT: u16 = 1;
/// `FLEXSC_ENTRY_LINK`.
pub(crate) const ENTRY_LINK: u16 = 2;
/// `FLEXSC_ENTRY_FILE`.
pub(crate) const ENTRY_FILE: u16 = 4;
/// `FLEXSC_ENTRY_MULTI`.
pub(crate) const ENTRY_MULTI: u16 = 8;
/// The flags that an entry may be posted with.
pub(crate) const ENTRY_FLAGS: u16 = ENTRY_TIMEOUT | ENTRY_LINK | ENTRY_FILE | ENTRY_MULTI;
/// `FLEXSC_NR_OWN`: calls that are no system calls have this number or a higher one.
pub(crate) const NR_OWN: u16 = 0xfff0;
/// `FLEXSC_NR_POLL`.
pub(crate) const NR_POLL: u16 = 0xfffe;
/// `FLEXSC_NEED_WAKEUP`.
pub(crate) const NEED_WAKEUP: u32 = 1;

/// `FLEXSC_FEAT_*`: the three lanes, poll(2), cancelling, restrictions, waiting without a thread,
/// also for readiness, time limits, chains, and waiting for readiness that goes on.
pub(crate) const FEATURES: u64 = 0x7ff;

/// `FLEXSC_CPU_ANY`.
pub(crate) const CPU_ANY: i32 = -1;
/// `FLEXSC_SPIN_DEFAULT`.
pub(crate) const SPIN_DEFAULT: u32 = u32::MAX;
/// The longest idle poll that set-up accepts, in microseconds.
pub(crate) const MAX_SPIN_US: u32 = 4000;
/// The most drain items, and the most system call threads, of a context.
pub(crate) const MAX_WORKERS: u32 = 32;

/// `FLEXSC_LANE_W`.
pub(crate) const LANE_W: u32 = 1;
/// `FLEXSC_LANE_T`.
pub(crate) const LANE_T: u32 = 2;
/// `FLEXSC_LANE_C`.
pub(crate) const LANE_C: u32 = 4;
/// `FLEXSC_CALL_GATED`.
pub(crate) const CALL_GATED: u32 = 1;

/// `FLEXSC_RESTRICT_CALLS`.
pub(crate) const RESTRICT_CALLS: u32 = 1;
/// `FLEXSC_RESTRICT_FREEZE`.
pub(crate) const RESTRICT_FREEZE: u32 = 2;
/// `FLEXSC_RESTRICT_MAX`.
pub(crate) const RESTRICT_MAX: u32 = 1024;

/// `struct flexsc_entry`: one posted call, one cache line.
#[repr(C, align(64))]
pub(crate) struct Entry {
    pub(crate) status: Once<u32>,
    /// `nr` in the low half, `flags` in the high half.
    pub(crate) word: Once<u32>,
    /// The result.
    pub(crate) ret: Once<i64>,
    /// The arguments.
    pub(crate) args: [Once<u64>; 6],
}
static_assert!(size_of::<Entry>() == 64);
static_assert!(offset_of!(Entry, word) == 4);
static_assert!(offset_of!(Entry, ret) == 8);
static_assert!(offset_of!(Entry, args) == 16);

/// `struct flexsc_counters`.
#[repr(C)]
pub(crate) struct Counters {
    pub(crate) entries_w: u64,
    pub(crate) entries_t: u64,
    pub(crate) entries_c: u64,
    pub(crate) handed_back: u64,
    pub(crate) rejected: u64,
    pub(crate) kicks: u64,
    pub(crate) waits: u64,
    pub(crate) wait_sleeps: u64,
    pub(crate) drains: u64,
    pub(crate) idle_sleeps: u64,
    pub(crate) threads: u64,
    pub(crate) thread_wakes: u64,
    pub(crate) cancelled: u64,
    __reserved: [u64; 3],
}
static_assert!(size_of::<Counters>() == 128);

/// A word on a cache line of its own.
#[repr(C, align(64))]
pub(crate) struct Line {
    pub(crate) word: u32,
}

/// `struct flexsc_control`: the first page of the mapping.
#[repr(C, align(4096))]
pub(crate) struct Control {
    pub(crate) magic: u32,
    pub(crate) abi_version: u32,
    pub(crate) features: u64,
    pub(crate) entries: u32,
    pub(crate) ring_mask: u32,
    pub(crate) cpu: u32,
    pub(crate) spin_us: u32,
    pub(crate) sub_tail: Line,
    pub(crate) sub_head: Line,
    pub(crate) comp_tail: Line,
    pub(crate) comp_head: Line,
    pub(crate) wakeup: Line,
    pub(crate) counters: Counters,
}
static_assert!(size_of::<Control>() == 4096);
static_assert!(offset_of!(Control, entries) == 16);
static_assert!(offset_of!(Control, spin_us) == 28);
static_assert!(offset_of!(Control, sub_tail) == 64);
static_assert!(offset_of!(Control, sub_head) == 128);
static_assert!(offset_of!(Control, comp_tail) == 192);
static_assert!(offset_of!(Control, comp_head) == 256);
static_assert!(offset_of!(Control, wakeup) == 320);
static_assert!(offset_of!(Control, counters) == 384);

/// `struct flexsc_setup`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) flags: u32,
    pub(crate) entries: u32,
    pub(crate) cpu: i32,
    pub(crate) spin_us: u32,
    pub(crate) drains: u32,
    pub(crate) threads: u32,
    pub(crate) abi_version: u32,
    pub(crate) reserved0: u32,
    pub(crate) features: u64,
    pub(crate) map_size: u64,
    pub(crate) sub_ring_off: u64,
    pub(crate) comp_ring_off: u64,
    pub(crate) entries_off: u64,
    pub(crate) reserved1: [u64; 4],
}
static_assert!(size_of::<Setup>() == 104);
static_assert!(offset_of!(Setup, features) == 32);
static_assert!(offset_of!(Setup, reserved1) == 72);

// SAFETY: All fields are integers and there is no padding (asserted by the size).
unsafe impl FromBytes for Setup {}
// SAFETY: All fields are integers and there is no padding (asserted by the size).
unsafe impl AsBytes for Setup {}

/// `struct flexsc_probe_call`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ProbeCall {
    pub(crate) nr: u16,
    pub(crate) lanes: u16,
    pub(crate) flags: u32,
}
static_assert!(size_of::<ProbeCall>() == 8);

// SAFETY: All fields are integers and there is no padding (asserted by the size).
unsafe impl AsBytes for ProbeCall {}

/// `struct flexsc_probe`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) count: u32,
    pub(crate) abi_version: u32,
    pub(crate) features: u64,
    pub(crate) calls: u64,
}
static_assert!(size_of::<Probe>() == 24);

// SAFETY: All fields are integers and there is no padding (asserted by the size).
unsafe impl FromBytes for Probe {}
// SAFETY: All fields are integers and there is no padding (asserted by the size).
unsafe impl AsBytes for Probe {}

/// `struct flexsc_wait`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) min_complete: u32,
    pub(crate) flags: u32,
    pub(crate) timeout_ns: i64,
}
static_assert!(size_of::<Wait>() == 16);

// SAFETY: All fields are integers and there is no padding (asserted by the size).
unsafe impl FromBytes for Wait {}

/// `FLEXSC_CANCEL_ALL`.
pub(crate) const CANCEL_ALL: u32 = 1;

/// `struct flexsc_cancel`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Cancel {
    pub(crate) index: u32,
    pub(crate) flags: u32,
    pub(crate) reserved: [u64; 2],
}
static_assert!(size_of::<Cancel>() == 24);

// SAFETY: All fields are integers and there is no padding (asserted by the size).
unsafe impl FromBytes for Cancel {}
/// `struct flexsc_restrict`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Restrict {
    pub(crate) flags: u32,
    pub(crate) count: u32,
    pub(crate) calls: u64,
    pub(crate) allowed: u32,
    pub(crate) frozen: u32,
    pub(crate) reserved: [u64; 2],
}
static_assert!(size_of::<Restrict>() == 40);

// SAFETY: All fields are integers and there is no padding (asserted by the size).
unsafe impl FromBytes for Restrict {}
// SAFETY: All fields are integers and there is no padding (asserted by the size).
unsafe impl AsBytes for Restrict {}

const IOC_TYPE: u32 = 0xf5;
/// `FLEXSC_IOC_SETUP`.
pub(crate) const IOC_SETUP: u32 = _IOWR::<Setup>(IOC_TYPE, 0x10);
/// `FLEXSC_IOC_PROBE`.
pub(crate) const IOC_PROBE: u32 = _IOWR::<Probe>(IOC_TYPE, 0x11);
/// `FLEXSC_IOC_KICK`.
pub(crate) const IOC_KICK: u32 = _IO(IOC_TYPE, 0x12);
/// `FLEXSC_IOC_WAIT`.
pub(crate) const IOC_WAIT: u32 = _IOW::<Wait>(IOC_TYPE, 0x13);
/// `FLEXSC_IOC_CANCEL`.
pub(crate) const IOC_CANCEL: u32 = _IOW::<Cancel>(IOC_TYPE, 0x14);
/// `FLEXSC_IOC_RESTRICT`.
pub(crate) const IOC_RESTRICT: u32 = _IOWR::<Restrict>(IOC_TYPE, 0x15);
