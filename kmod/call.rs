// SPDX-License-Identifier: GPL-2.0

//! The calls that may be posted: one table, system call number to handler and lanes.
//!
//! The table is the allowlist, the answer to a probe and the list in `docs/abi.md`.

use crate::{
    abi,
    helpers::Handler, //
};
use core::{
    mem::size_of,
    ptr, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// `FLEXSC_GATE_STRICT`: the administrator wants every gated call handed back.
pub(crate) const GATE_STRICT: u32 = 8;

/// I/O figures that lane W owes the process: `struct flexsc_acct`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Acct {
    pub(crate) rchar: u64,
    pub(crate) wchar: u64,
    pub(crate) syscr: u64,
    pub(crate) syscw: u64,
}

/// What a handler sees of an entry: `struct flexsc_frame`.
#[repr(C)]
pub(crate) struct Frame {
    pub(crate) args: *const [u64; 6],
    pub(crate) ret: i64,
    pub(crate) thread: *mut bindings::task_struct,
    pub(crate) owner: *mut bindings::task_struct,
    pub(crate) acct: *mut Acct,
    pub(crate) lane: u32,
    pub(crate) gate: u32,
    pub(crate) file: *mut bindings::file,
    pub(crate) done: u64,
    pub(crate) note: u64,
    pub(crate) chain: *mut bindings::file,
    pub(crate) taken: [*mut bindings::file; 2],
    pub(crate) events: u32,
    pub(crate) flags: u32,
}
static_assert!(size_of::<Frame>() == 104);

impl Frame {
    /// None.
    #[inline]
    pub(crate) fn none() -> Self {
        Self {
            args: ptr::null(),
            ret: 0,
            thread: ptr::null_mut(),
            owner: ptr::null_mut(),
            acct: ptr::null_mut(),
            lane: 0,
            gate: 0,
            file: ptr::null_mut(),
            done: 0,
            note: 0,
            chain: ptr::null_mut(),
            taken: [ptr::null_mut(); 2],
            events: 0,
            flags: 0,
        }
    }

    /// Becomes that of an entry with these arguments, which holds these files. Where it is executed, and for whom,
    /// stays, as handlers leave that alone.
    #[inline(always)]
    pub(crate) fn renew(&mut self, args: *const [u64; 6], taken: [*mut bindings::file; 2]) {
        (self.args, self.ret) = (args, 0);
        self.taken = taken;
        (self.file, self.chain) = (ptr::null_mut(), ptr::null_mut());
        (self.done, self.note) = (0, 0);
        (self.events, self.flags) = (0, 0);
    }
}

/// `FLEXSC_FRAME_BLOCK`: make the blocking call.
pub(crate) const FRAME_BLOCK: u32 = 1;
/// `FLEXSC_FRAME_MULTI`: wait, whatever is there.
pub(crate) const FRAME_MULTI: u32 = 4;
/// `FLEXSC_FRAME_FILE`: what is opened goes to `chain` and gets no descriptor.
pub(crate) const FRAME_FILE: u32 = 8;
/// `FLEXSC_FRAME_CLOEXEC`: its descriptor would close on exec.
pub(crate) const FRAME_CLOEXEC: u32 = 16;
/// `FLEXSC_FRAME_AGAIN`: not to wait, but to try once more at once.
pub(crate) const FRAME_AGAIN: u32 = 32;
/// `FLEXSC_FRAME_FLY`: a device may transfer while nobody waits for it.
pub(crate) const FRAME_FLY: u32 = 64;
/// `FLEXSC_FRAME_PROMPT`: the file that was taken first waits for a local disk at most.
pub(crate) const FRAME_PROMPT: u32 = 512;
static_assert!(
    (FRAME_BLOCK
        | FRAME_MULTI
        | FRAME_FILE
        | FRAME_CLOEXEC
        | FRAME_AGAIN
        | FRAME_FLY
        | FRAME_PROMPT)
        .count_ones()
        == 7
);

/// What became of an entry that a handler was given.
pub(crate) enum Verdict {
    /// Executed; this is the real call's result.
    Did(i64),
    /// No side effect: lane T has to run it.
    ToThread,
    /// No side effect: the application has to make the plain call.
    HandBack,
    /// Once more when the file is ready for these events.
    Wait(u32),
    /// Executed with result 0 when as many nanoseconds are over.
    Sleep(i64),
    /// A device has it, and what it then returns is the result.
    Fly,
}

impl Verdict {
    /// Whether the entry is over by it.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Did(_) | Self::HandBack)
    }

    /// The outcome of a call that had transferred `done` bytes before.
    pub(crate) fn after(self, done: u64) -> Self {
        // CAST: No transfer is longer than MAX_RW_COUNT.
        match (self, done as i64) {
            (verdict, 0) => verdict,
            (Verdict::Did(ret), done) if ret > 0 => Verdict::Did(done + ret),
            (_, done) => Verdict::Did(done),
        }
    }
}

impl From<Result<i64, Verdict>> for Verdict {
    fn from(executed: Result<i64, Verdict>) -> Self {
        executed.map_or_else(|verdict| verdict, Self::Did)
    }
}

/// The kind of lane that an entry is queued for first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A page worker; T when the file or the state of the process does not allow it.
    W,
    /// A system call thread.
    T,
}

/// What a call may do with the file of its chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileUse {
    /// Nothing: it takes no descriptor in its first argument.
    Leaves,
    /// It takes it for its first argument.
    Takes,
    /// It takes it for its first argument, as the directory from which it looks a path up.
    Under,
    /// It opens it.
    Opens,
    /// It opens it, and its first argument is another.
    Accepts,
    /// It takes it, and it is gone then.
    Closes,
}

/// Which arguments name files that a call works on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Nothing,
    /// The first alone.
    First,
    /// Another as well, or alone.
    Another,
}

impl Names {
    const fn of(file: FileUse, second: u8) -> Self {
        match (file, second) {
            (_, 1..) => Self::Another,
            (FileUse::Takes | FileUse::Accepts, 0) => Self::First,
            _ => Self::Nothing,
        }
    }
}

/// One row of the table.
pub(crate) struct Call {
    /// System call number, x86-64.
    nr: u16,
    lane: Lane,
    /// Whether a security hook of the real call cannot be reached (see `gate.c`).
    gated: bool,
    file: FileUse,
    /// Which argument besides the first names a file that it works on; 0 if none does.
    second: u8,
    names: Names,
    handler: Handler,
}

/// Which argument of the call `nr` besides the first names a file that it works on; 0 if none does.
const fn second_file(nr: u16) -> u8 {
    match nr {
        // sendfile
        40 => 1,
        // splice, copy_file_range
        275 | 326 => 2,
        _ => 0,
    }
}

impl Call {
    /// Its system call number.
    pub(crate) fn nr(&self) -> u16 {
        self.nr
    }

    /// Where the entry is queued first.
    pub(crate) fn lane(&self) -> Lane {
        self.lane
    }

    /// What it may do with the file of its chain.
    pub(crate) fn file(&self) -> FileUse {
        self.file
    }

    /// Whether it opens the file of its chain.
    pub(crate) fn opens(&self) -> bool {
        matches!(self.file, FileUse::Opens | FileUse::Accepts)
    }

    /// Whether its first argument names a file that it works on, in an entry with these flags.
    pub(crate) fn names_file(&self, flags: u16) -> bool {
        match self.file {
            FileUse::Takes => flags & abi::ENTRY_FILE == 0,
            FileUse::Accepts => true,
            _ => false,
        }
    }

    /// Whether any argument names a file that it works on, in an entry with these flags.
    #[inline]
    pub(crate) fn names_files(&self, flags: u16) -> bool {
        match self.file {
            FileUse::Takes => flags & abi::ENTRY_FILE == 0 || self.second != 0,
            FileUse::Accepts => true,
            _ => false,
        }
    }

    /// Whether its first argument names the one file that it works on, in an entry without flags.
    #[inline]
    pub(crate) fn names_one_file(&self) -> bool {
        matches!(self.names, Names::First)
    }

    /// Which files its arguments name, in an entry without flags.
    #[inline]
    pub(crate) fn names(&self) -> Names {
        self.names
    }

    /// Which argument besides the first names a file that it works on.
    pub(crate) fn second_file(&self) -> Option<usize> {
        (self.second != 0).then_some(usize::from(self.second))
    }

    /// Whether it reads or writes at a position that it names.
    pub(crate) fn transfers_at(&self) -> bool {
        // pread64, pwrite64, preadv, pwritev
        matches!(self.nr, 17 | 18 | 295 | 296)
    }

    /// The answer to a probe.
    pub(crate) fn probe(&self) -> abi::ProbeCall {
        let lanes = match self.lane {
            Lane::W => abi::LANE_W | abi::LANE_T | abi::LANE_C,
            Lane::T => abi::LANE_T | abi::LANE_C,
        };
        abi::ProbeCall {
            nr: self.nr,
            // CAST: Lanes are three bits.
            lanes: lanes as u16,
            flags: if self.gated { abi::CALL_GATED } else { 0 },
        }
    }

    /// Runs the handler.
    ///
    /// # Safety
    ///
    /// What `call.h` says of `frame.lane` must be in force, and the pointers in `frame` must be
    /// valid or null as `call.h` allows for that lane.
    pub(crate) unsafe fn run(&self, frame: &mut Frame) -> Verdict {
        // SAFETY: The caller promises what the handlers require, and `frame` is a valid,
        // exclusive `struct flexsc_frame`.
        match unsafe { (self.handler)(frame) } {
            0 => Verdict::Did(frame.ret),
            1 => Verdict::ToThread,
            3 => Verdict::Wait(frame.events),
            4 => Verdict::Sleep(frame.ret),
            5 => Verdict::Fly,
            _ => Verdict::HandBack,
        }
    }
}

macro_rules! calls {
    ($($nr:literal $lane:ident $gated:literal $file:ident $handler:ident,)*) => {
        mod handlers {
            use super::Frame;
            // See helpers.rs: the task structs that a frame points at.
            #[expect(improper_ctypes)]
            unsafe extern "C" {
                $(pub(super) fn $handler(frame: *mut Frame) -> kernel::ffi::c_int;)*
            }
        }
        /// Every call that may be posted, in the order of the numbers.
        pub(crate) static CALLS: &[Call] = &[
            $(Call {
                nr: $nr,
                lane: Lane::$lane,
                gated: $gated,
                file: FileUse::$file,
                second: second_file($nr),
                names: Names::of(FileUse::$file, second_file($nr)),
                handler: handlers::$handler,
            },)*
        ];
    };
}

// number, first lane, gated, what it does with a chain's file, handler
calls! {
    0 W false Takes flexsc_call_read,
    1 W false Takes flexsc_call_write,
    3 T false Closes flexsc_call_close,
    5 W false Takes flexsc_call_fstat,
    8 W false Takes flexsc_call_lseek,
    16 T false Takes flexsc_call_ioctl,
    17 W false Takes flexsc_call_pread64,
    18 W false Takes flexsc_call_pwrite64,
    19 W false Takes flexsc_call_readv,
    20 W false Takes flexsc_call_writev,
    40 T false Takes flexsc_call_sendfile,
    41 T false Opens flexsc_call_socket,
    42 T true Takes flexsc_call_connect,
    44 T false Takes flexsc_call_sendto,
    45 T false Takes flexsc_call_recvfrom,
    46 T false Takes flexsc_call_sendmsg,
    47 T false Takes flexsc_call_recvmsg,
    48 T true Takes flexsc_call_shutdown,
    49 T true Takes flexsc_call_bind,
    50 T true Takes flexsc_call_listen,
    53 T false Leaves flexsc_call_socketpair,
    54 T false Takes flexsc_call_setsockopt,
    55 T false Takes flexsc_call_getsockopt,
    72 W true Takes flexsc_call_fcntl,
    73 T true Takes flexsc_call_flock,
    74 W false Takes flexsc_call_fsync,
    75 W false Takes flexsc_call_fdatasync,
    76 T false Leaves flexsc_call_truncate,
    77 W true Takes flexsc_call_ftruncate,
    91 W true Takes flexsc_call_fchmod,
    93 W true Takes flexsc_call_fchown,
    110 W false Leaves flexsc_call_getppid,
    137 T false Leaves flexsc_call_statfs,
    138 W false Takes flexsc_call_fstatfs,
    188 T false Leaves flexsc_call_setxattr,
    189 T false Leaves flexsc_call_lsetxattr,
    190 W false Takes flexsc_call_fsetxattr,
    191 T false Leaves flexsc_call_getxattr,
    192 T false Leaves flexsc_call_lgetxattr,
    193 W false Takes flexsc_call_fgetxattr,
    194 T false Leaves flexsc_call_listxattr,
    195 T false Leaves flexsc_call_llistxattr,
    196 W false Takes flexsc_call_flistxattr,
    197 T false Leaves flexsc_call_removexattr,
    198 T false Leaves flexsc_call_lremovexattr,
    199 W false Takes flexsc_call_fremovexattr,
    217 W false Takes flexsc_call_getdents64,
    221 W false Takes flexsc_call_fadvise64,
    230 W false Leaves flexsc_call_clock_nanosleep,
    257 T false Opens flexsc_call_openat,
    258 T false Under flexsc_call_mkdirat,
    259 T false Under flexsc_call_mknodat,
    260 T true Under flexsc_call_fchownat,
    262 T false Under flexsc_call_newfstatat,
    263 T true Under flexsc_call_unlinkat,
    265 T true Under flexsc_call_linkat,
    266 T true Leaves flexsc_call_symlinkat,
    267 T true Under flexsc_call_readlinkat,
    268 T true Under flexsc_call_fchmodat,
    269 T false Under flexsc_call_faccessat,
    275 T false Takes flexsc_call_splice,
    277 W false Takes flexsc_call_sync_file_range,
    280 T false Under flexsc_call_utimensat,
    285 W false Takes flexsc_call_fallocate,
    288 T true Accepts flexsc_call_accept4,
    295 W false Takes flexsc_call_preadv,
    296 W false Takes flexsc_call_pwritev,
    306 W false Takes flexsc_call_syncfs,
    316 T false Under flexsc_call_renameat2,
    318 W false Leaves flexsc_call_getrandom,
    326 W false Takes flexsc_call_copy_file_range,
    332 T false Under flexsc_call_statx,
    437 T false Opens flexsc_call_openat2,
    452 T true Under flexsc_call_fchmodat2,
    0xfffe W false Takes flexsc_call_poll,
    0xffff W false Leaves flexsc_call_nop,
}

/// How many places a set or a table of calls has: one for each system call number; the last 16 are for
/// the highest numbers that there are, which are no system calls (`NR_NOP`).
pub(crate) const PLACES: usize = 512;

/// The place of a call's number. Masked, so that no speculated number leads out of the table.
#[inline(always)]
pub(crate) const fn place(nr: u16) -> usize {
    // CAST: u16 fits usize.
    nr as usize & (PLACES - 1)
}

/// The calls by their places.
static BY_PLACE: [Option<&Call>; PLACES] = {
    let mut table = [None; PLACES];
    let mut i = 0;
    while i < CALLS.len() {
        let nr = CALLS[i].nr;
        // CAST: u16 fits usize.
        assert!((nr as usize) < PLACES - 16 || nr >= abi::NR_OWN);
        table[place(nr)] = Some(&CALLS[i]);
        i += 1;
    }
    table
};

/// The lane in which an entry is begun; what is no call is handed back by any.
#[inline]
pub(crate) fn first_lane(call: Option<&Call>) -> Lane {
    call.map_or(Lane::W, Call::lane)
}

/// The call with that number, if it may be posted.
#[inline]
pub(crate) fn find(nr: u16) -> Option<&'static Call> {
    BY_PLACE[place(nr)].filter(|call| call.nr == nr)
}
