// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of `kmod/uapi/flexsc.h` that the raw client needs.

use std::mem::{offset_of, size_of};

/// First word of the control page.
pub const MAGIC: u32 = 0x4353_5846;
/// Version of the ABI that these definitions describe.
pub const ABI_VERSION: u32 = 1;
/// Fewest entries of a context.
pub const MIN_ENTRIES: u32 = 64;
/// Most entries of a context.
pub const MAX_ENTRIES: u32 = 4096;
/// `Entry::status`: the application may fill the entry in.
pub const FREE: u32 = 0;
/// `Entry::status`: posted.
pub const SUBMITTED: u32 = 1;
/// `Entry::status`: taken by the kernel.
pub const BUSY: u32 = 2;
/// `Entry::status`: `ret` and `flags` are valid.
pub const DONE: u32 = 3;
/// `Entry::flags`: the kernel declined; make the plain call.
pub const HANDED_BACK: u16 = 0x8000;
/// `Entry::nr` of the call that does nothing.
pub const NR_NOP: u16 = 0xffff;
/// `Control::wakeup`: nobody polls, kick after posting.
pub const NEED_WAKEUP: u32 = 1;
/// `Setup::cpu`: the kernel chooses.
pub const CPU_ANY: i32 = -1;
/// `Setup::spin_us`: the module's default.
pub const SPIN_DEFAULT: u32 = u32::MAX;
/// `ProbeCall::lanes`: page worker.
pub const LANE_W: u16 = 1;
/// `ProbeCall::lanes`: system call thread.
pub const LANE_T: u16 = 2;
/// `ProbeCall::lanes`: the caller.
pub const LANE_C: u16 = 4;
/// `ProbeCall::flags`: handed back where a security module mediates.
pub const CALL_GATED: u32 = 1;

/// One posted system call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// `FREE` to `DONE`.
    pub status: u32,
    /// System call number.
    pub nr: u16,
    /// `HANDED_BACK` or 0.
    pub flags: u16,
    /// Result, or `-errno`.
    pub ret: i64,
    /// Arguments as in registers.
    pub args: [u64; 6],
}

/// Events since set-up.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Executed by a page worker.
    pub entries_w: u64,
    /// Executed by a system call thread.
    pub entries_t: u64,
    /// Executed by the caller inside wait.
    pub entries_c: u64,
    /// Declined.
    pub handed_back: u64,
    /// Ring slots that named no submittable entry.
    pub rejected: u64,
    /// Kick ioctls.
    pub kicks: u64,
    /// Wait ioctls.
    pub waits: u64,
    /// Waits that slept.
    pub wait_sleeps: u64,
    /// Runs of a drain item.
    pub drains: u64,
    /// Times that polling ended.
    pub idle_sleeps: u64,
    /// System call threads that exist.
    pub threads: u64,
    /// Wake-ups sent to system call threads.
    pub thread_wakes: u64,
    reserved: [u64; 4],
}

/// The first page of the mapping.
#[repr(C)]
pub struct Control {
    /// `MAGIC`.
    pub magic: u32,
    /// `ABI_VERSION`.
    pub abi_version: u32,
    /// Feature bits.
    pub features: u64,
    /// Number of entries and ring slots.
    pub entries: u32,
    /// `entries - 1`.
    pub ring_mask: u32,
    /// System call CPU.
    pub cpu: u32,
    /// Idle poll time, microseconds.
    pub spin_us: u32,
    pad0: [u32; 8],
    /// Written by the application.
    pub sub_tail: u32,
    pad1: [u32; 15],
    /// Written by the kernel.
    pub sub_head: u32,
    pad2: [u32; 15],
    /// Written by the kernel.
    pub comp_tail: u32,
    pad3: [u32; 15],
    /// Written by the application.
    pub comp_head: u32,
    pad4: [u32; 15],
    /// `NEED_WAKEUP` or 0.
    pub wakeup: u32,
    pad5: [u32; 15],
    /// Events.
    pub counters: Counters,
    pad6: [u8; 4096 - 6 * 64 - 128],
}

/// Argument of `IOC_SETUP`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// 0.
    pub flags: u32,
    /// Entries, rounded up to a power of two.
    pub entries: u32,
    /// System call CPU.
    pub cpu: i32,
    /// Idle poll time, microseconds.
    pub spin_us: u32,
    /// Drain items.
    pub drains: u32,
    /// Most system call threads.
    pub threads: u32,
    /// Out: the module's ABI version.
    pub abi_version: u32,
    /// 0.
    pub reserved0: u32,
    /// Out: feature bits.
    pub features: u64,
    /// Out: bytes to map.
    pub map_size: u64,
    /// Out: offset of the submission ring.
    pub sub_ring_off: u64,
    /// Out: offset of the completion ring.
    pub comp_ring_off: u64,
    /// Out: offset of the entries.
    pub entries_off: u64,
    /// 0.
    pub reserved1: [u64; 4],
}

/// One call of the probe's answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeCall {
    /// System call number.
    pub nr: u16,
    /// `LANE_*`.
    pub lanes: u16,
    /// `CALL_GATED` or 0.
    pub flags: u32,
}

/// Argument of `IOC_PROBE`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe {
    /// In: room; out: how many calls there are.
    pub count: u32,
    /// Out: the module's ABI version.
    pub abi_version: u32,
    /// Out: feature bits.
    pub features: u64,
    /// Address of `count` times `ProbeCall`.
    pub calls: u64,
}

/// Argument of `IOC_WAIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// Completions to wait for.
    pub min_complete: u32,
    /// 0.
    pub flags: u32,
    /// Relative timeout, nanoseconds; negative is for ever.
    pub timeout_ns: i64,
}

/// The type byte of our ioctl numbers.
pub const IOC_TYPE: u64 = 0xF5;

const fn ioc(direction: u64, number: u64, size: usize) -> u64 {
    direction << 30 | (size as u64) << 16 | IOC_TYPE << 8 | number
}

/// Set a context up.
pub const IOC_SETUP: u64 = ioc(3, 0x10, size_of::<Setup>());
/// List the calls.
pub const IOC_PROBE: u64 = ioc(3, 0x11, size_of::<Probe>());
/// Wake the drain.
pub const IOC_KICK: u64 = ioc(0, 0x12, 0);
/// Execute and sleep.
pub const IOC_WAIT: u64 = ioc(1, 0x13, size_of::<Wait>());

const _: () = {
    assert!(size_of::<Entry>() == 64);
    assert!(size_of::<Control>() == 4096);
    assert!(size_of::<Counters>() == 128);
    assert!(offset_of!(Control, sub_tail) == 64);
    assert!(offset_of!(Control, counters) == 384);
    assert!(size_of::<Setup>() == 104);
    assert!(size_of::<Probe>() == 24);
    assert!(size_of::<Wait>() == 16);
};
