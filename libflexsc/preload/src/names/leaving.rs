// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls after which a thread is not as those who execute for it, or may not do any more what is done
//! beside each call here: from then on all calls of the process are plain.

use core::ffi::{c_int, c_long, c_void};

use crate::{context, real::interpose};

fn off() -> Option<i64> {
    context::leave();
    None
}

/// Calls by number that change the rights or the world of the calling thread alone.
fn leaves(number: c_long, first: c_long) -> bool {
    matches!(
        number,
        libc::SYS_unshare
            | libc::SYS_setns
            | libc::SYS_seccomp
            | libc::SYS_landlock_restrict_self
            | libc::SYS_keyctl
            | libc::SYS_capset
            | libc::SYS_setuid
            | libc::SYS_setgid
            | libc::SYS_setreuid
            | libc::SYS_setregid
            | libc::SYS_setresuid
            | libc::SYS_setresgid
            | libc::SYS_setgroups
            | libc::SYS_setfsuid
            | libc::SYS_setfsgid
    ) || number == libc::SYS_prctl && first == c_long::from(libc::PR_SET_SECCOMP)
}

interpose! {
    unshare(flags: c_int) -> c_int { let _ = flags; off() }
    setns(fd: c_int, kind: c_int) -> c_int { let _ = (fd, kind); off() }
    setfsuid(user: libc::uid_t) -> c_int { let _ = user; off() }
    setfsgid(group: libc::gid_t) -> c_int { let _ = group; off() }
    capset(header: *mut c_void, data: *const c_void) -> c_int { let _ = (header, data); off() }
    prctl(option: c_int, a: c_long, b: c_long, c: c_long, d: c_long) -> c_int {
        let _ = (a, b, c, d);
        if option == libc::PR_SET_SECCOMP { off() } else { None }
    }
    syscall(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long) -> c_long {
        let _ = (b, c, d, e, f);
        if leaves(number, a) { off() } else { None }
    }
}
