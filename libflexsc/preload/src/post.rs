// SPDX-License-Identifier: MIT OR Apache-2.0
//! A call through the page, if it is right for sure.

use crate::{
    context,
    mask::Mask,
    real::{errno, set_errno},
    stats,
};
use libflexsc::sys;

unsafe extern "C-unwind" {
    fn pthread_testcancel();
}

macro_rules! calls {
    ($($name:ident $number:ident $text:literal $cancels:literal,)*) => {
        /// A call that may go through the page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        #[allow(missing_docs)]
        pub enum Call {
            $($name,)*
        }

        impl Call {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its number.
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$name => libc::$number as u16,)*
                }
            }

            /// What it is called.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Whether a thread may be cancelled in it.
            pub const fn cancels(self) -> bool {
                match self {
                    $(Self::$name => $cancels,)*
                }
            }
        }
    };
}

calls! {
    Read SYS_read "read" true,
    Write SYS_write "write" true,
    Pread SYS_pread64 "pread" true,
    Pwrite SYS_pwrite64 "pwrite" true,
    Readv SYS_readv "readv" true,
    Writev SYS_writev "writev" true,
    Preadv SYS_preadv "preadv" true,
    Pwritev SYS_pwritev "pwritev" true,
    Fsync SYS_fsync "fsync" true,
    Fdatasync SYS_fdatasync "fdatasync" true,
    Openat SYS_openat "openat" true,
    Close SYS_close "close" true,
    Fstat SYS_fstat "fstat" false,
    Newfstatat SYS_newfstatat "newfstatat" false,
    Statx SYS_statx "statx" false,
}

/// Makes a call through the page, and gives what the kernel returns; `None` if the C library has to
/// make it. `may` is whether it ends by itself.
pub fn post(call: Call, args: [u64; 6], may: impl FnOnce() -> bool) -> Option<i64> {
    let ret = attempt(call, args, may);
    if !context::is_at_work() {
        stats::count(call, ret.is_some());
    }
    ret
}

fn attempt(call: Call, args: [u64; 6], may: impl FnOnce() -> bool) -> Option<i64> {
    if context::own().is_null() || context::is_off() || !may() {
        return None;
    }
    if call.cancels() {
        // SAFETY: Nothing that has to be dropped is alive here.
        unsafe { pthread_testcancel() };
    }
    let errno = errno();
    let mask = Mask::all();
    // SAFETY: From here on no handler runs, so there is one user of the thread's context. If the
    // pointer is another thread's, which shares its thread-local data, that is seen, and nothing done.
    let own = unsafe { context::own().as_mut() };
    // SAFETY: The arguments are those of the program's call, which the caller passes on.
    let mut ret = own.and_then(|own| unsafe { own.call(call.number(), &args) });
    if ret == Some(-i64::from(libc::EFBIG)) {
        // Nothing was written. The plain call says the same, and raises the signal that belongs to it,
        // while it would be one with another that is there.
        // SAFETY: As above.
        ret = Some(unsafe { sys::syscall(call.number(), &args) });
    }
    drop(mask);
    set_errno(errno);
    ret
}
