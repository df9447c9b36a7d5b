// SPDX-License-Identifier: MIT OR Apache-2.0
//! One function for each call that can be posted: it fills in number and arguments.

use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

use libc::{
    clockid_t, dev_t, gid_t, iovec, mode_t, msghdr, off_t, open_how, sockaddr, socklen_t, stat,
    statfs, statx, timespec, uid_t,
};

use crate::call::flexsc_call;

/// An argument as a register holds it: `int` is sign extended.
trait Word {
    fn word(self) -> u64;
}

macro_rules! words {
    ($($type:ty)*) => {
        $(impl Word for $type {
            fn word(self) -> u64 {
                self as i64 as u64
            }
        })*
    };
}

words! { c_int c_uint i64 u64 usize }

impl<T> Word for *const T {
    fn word(self) -> u64 {
        self as u64
    }
}

impl<T> Word for *mut T {
    fn word(self) -> u64 {
        self as u64
    }
}

/// Fills in a call.
///
/// # Safety
///
/// `call` is valid for writes.
unsafe fn fill<const N: usize>(call: *mut flexsc_call, nr: libc::c_long, given: [u64; N]) {
    let mut args = [0; 6];
    args[..N].copy_from_slice(&given);
    // SAFETY: As the caller promises.
    let call = unsafe { &mut *call };
    call.args = args;
    // A number that is none stays none in 32 bits.
    call.nr = u32::try_from(nr).unwrap_or(u32::MAX);
}

/// Prepares any call of the x86-64 table, by its number (`SYS_*`) and arguments.
///
/// # Safety
///
/// `call` came from [`flexsc_get_call`](crate::context::flexsc_get_call) and was not submitted; `args`
/// are six, valid for reads. What else holds of the arguments is up to the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexsc_prep_syscall(
    call: *mut flexsc_call,
    nr: libc::c_long,
    args: *const u64,
) {
    // SAFETY: As the caller promises.
    unsafe { fill(call, nr, args.cast::<[u64; 6]>().read_unaligned()) };
}

macro_rules! prep {
    ($($name:ident = $nr:expr => ($($arg:ident: $type:ty),*), $what:literal;)*) => {
        $(
            #[doc = concat!("Prepares ", $what, ".")]
            ///
            /// # Safety
            ///
            /// `call` came from [`flexsc_get_call`](crate::context::flexsc_get_call) and was not
            /// submitted. Every address stays valid, and untouched by others, until the completion
            /// of the call was taken.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(call: *mut flexsc_call $(, $arg: $type)*) {
                // SAFETY: As the caller promises.
                unsafe { fill(call, $nr, [$($arg.word()),*]) };
            }
        )*
    };
}

prep! {
    flexsc_prep_nop = libflexsc::sys::NR_NOP.into() => (), "nothing: it completes with 0, for measuring";
    flexsc_prep_poll = libflexsc::sys::NR_POLL.into() => (fd: c_int, events: c_uint), "waiting until a file is ready, `poll(2)` of one file";
    flexsc_prep_read = libc::SYS_read => (fd: c_int, buf: *mut c_void, len: usize), "`read(2)`";
    flexsc_prep_write = libc::SYS_write => (fd: c_int, buf: *const c_void, len: usize), "`write(2)`";
    flexsc_prep_pread = libc::SYS_pread64 => (fd: c_int, buf: *mut c_void, len: usize, offset: off_t), "`pread64(2)`";
    flexsc_prep_pwrite = libc::SYS_pwrite64 => (fd: c_int, buf: *const c_void, len: usize, offset: off_t), "`pwrite64(2)`";
    flexsc_prep_readv = libc::SYS_readv => (fd: c_int, iov: *const iovec, iovcnt: c_int), "`readv(2)`";
    flexsc_prep_writev = libc::SYS_writev => (fd: c_int, iov: *const iovec, iovcnt: c_int), "`writev(2)`";
    flexsc_prep_preadv = libc::SYS_preadv => (fd: c_int, iov: *const iovec, iovcnt: c_int, offset: off_t), "`preadv(2)`";
    flexsc_prep_pwritev = libc::SYS_pwritev => (fd: c_int, iov: *const iovec, iovcnt: c_int, offset: off_t), "`pwritev(2)`";
    flexsc_prep_sendfile = libc::SYS_sendfile => (out_fd: c_int, in_fd: c_int, offset: *mut i64, count: usize), "`sendfile(2)`";
    flexsc_prep_splice = libc::SYS_splice => (fd_in: c_int, off_in: *mut i64, fd_out: c_int, off_out: *mut i64, len: usize, flags: c_uint), "`splice(2)`";
    flexsc_prep_copy_file_range = libc::SYS_copy_file_range => (fd_in: c_int, off_in: *mut i64, fd_out: c_int, off_out: *mut i64, len: usize, flags: c_uint), "`copy_file_range(2)`";
    flexsc_prep_lseek = libc::SYS_lseek => (fd: c_int, offset: off_t, whence: c_int), "`lseek(2)`";
    flexsc_prep_fsync = libc::SYS_fsync => (fd: c_int), "`fsync(2)`";
    flexsc_prep_fdatasync = libc::SYS_fdatasync => (fd: c_int), "`fdatasync(2)`";
    flexsc_prep_syncfs = libc::SYS_syncfs => (fd: c_int), "`syncfs(2)`";
    flexsc_prep_sync_file_range = libc::SYS_sync_file_range => (fd: c_int, offset: off_t, len: off_t, flags: c_uint), "`sync_file_range(2)`";
    flexsc_prep_ftruncate = libc::SYS_ftruncate => (fd: c_int, length: off_t), "`ftruncate(2)`";
    flexsc_prep_fallocate = libc::SYS_fallocate => (fd: c_int, mode: c_int, offset: off_t, len: off_t), "`fallocate(2)`";
    flexsc_prep_fadvise = libc::SYS_fadvise64 => (fd: c_int, offset: off_t, len: off_t, advice: c_int), "`fadvise64(2)`";
    flexsc_prep_flock = libc::SYS_flock => (fd: c_int, operation: c_int), "`flock(2)`";
    flexsc_prep_fcntl = libc::SYS_fcntl => (fd: c_int, cmd: c_int, arg: c_ulong), "`fcntl(2)`";
    flexsc_prep_ioctl = libc::SYS_ioctl => (fd: c_int, request: c_ulong, arg: *mut c_void), "`ioctl(2)`";
    flexsc_prep_getdents64 = libc::SYS_getdents64 => (fd: c_int, buf: *mut c_void, len: usize), "`getdents64(2)`";
    flexsc_prep_close = libc::SYS_close => (fd: c_int), "`close(2)`";
    flexsc_prep_openat = libc::SYS_openat => (dirfd: c_int, path: *const c_char, flags: c_int, mode: mode_t), "`openat(2)`";
    flexsc_prep_openat2 = libc::SYS_openat2 => (dirfd: c_int, path: *const c_char, how: *const open_how, size: usize), "`openat2(2)`";
    flexsc_prep_fstat = libc::SYS_fstat => (fd: c_int, buf: *mut stat), "`fstat(2)`";
    flexsc_prep_fstatat = libc::SYS_newfstatat => (dirfd: c_int, path: *const c_char, buf: *mut stat, flags: c_int), "`newfstatat(2)`";
    flexsc_prep_statx = libc::SYS_statx => (dirfd: c_int, path: *const c_char, flags: c_int, mask: c_uint, buf: *mut statx), "`statx(2)`";
    flexsc_prep_statfs = libc::SYS_statfs => (path: *const c_char, buf: *mut statfs), "`statfs(2)`";
    flexsc_prep_fstatfs = libc::SYS_fstatfs => (fd: c_int, buf: *mut statfs), "`fstatfs(2)`";
    flexsc_prep_fchmod = libc::SYS_fchmod => (fd: c_int, mode: mode_t), "`fchmod(2)`";
    flexsc_prep_fchmodat = libc::SYS_fchmodat => (dirfd: c_int, path: *const c_char, mode: mode_t), "`fchmodat(2)`";
    flexsc_prep_fchmodat2 = libc::SYS_fchmodat2 => (dirfd: c_int, path: *const c_char, mode: mode_t, flags: c_int), "`fchmodat2(2)`";
    flexsc_prep_fchown = libc::SYS_fchown => (fd: c_int, owner: uid_t, group: gid_t), "`fchown(2)`";
    flexsc_prep_fchownat = libc::SYS_fchownat => (dirfd: c_int, path: *const c_char, owner: uid_t, group: gid_t, flags: c_int), "`fchownat(2)`";
    flexsc_prep_utimensat = libc::SYS_utimensat => (dirfd: c_int, path: *const c_char, times: *const timespec, flags: c_int), "`utimensat(2)`";
    flexsc_prep_faccessat = libc::SYS_faccessat => (dirfd: c_int, path: *const c_char, mode: c_int), "`faccessat(2)`";
    flexsc_prep_truncate = libc::SYS_truncate => (path: *const c_char, length: off_t), "`truncate(2)`";
    flexsc_prep_mkdirat = libc::SYS_mkdirat => (dirfd: c_int, path: *const c_char, mode: mode_t), "`mkdirat(2)`";
    flexsc_prep_mknodat = libc::SYS_mknodat => (dirfd: c_int, path: *const c_char, mode: mode_t, dev: dev_t), "`mknodat(2)`";
    flexsc_prep_unlinkat = libc::SYS_unlinkat => (dirfd: c_int, path: *const c_char, flags: c_int), "`unlinkat(2)`";
    flexsc_prep_renameat2 = libc::SYS_renameat2 => (olddirfd: c_int, oldpath: *const c_char, newdirfd: c_int, newpath: *const c_char, flags: c_uint), "`renameat2(2)`";
    flexsc_prep_linkat = libc::SYS_linkat => (olddirfd: c_int, oldpath: *const c_char, newdirfd: c_int, newpath: *const c_char, flags: c_int), "`linkat(2)`";
    flexsc_prep_symlinkat = libc::SYS_symlinkat => (target: *const c_char, newdirfd: c_int, linkpath: *const c_char), "`symlinkat(2)`";
    flexsc_prep_readlinkat = libc::SYS_readlinkat => (dirfd: c_int, path: *const c_char, buf: *mut c_char, size: usize), "`readlinkat(2)`";
    flexsc_prep_setxattr = libc::SYS_setxattr => (path: *const c_char, name: *const c_char, value: *const c_void, size: usize, flags: c_int), "`setxattr(2)`";
    flexsc_prep_lsetxattr = libc::SYS_lsetxattr => (path: *const c_char, name: *const c_char, value: *const c_void, size: usize, flags: c_int), "`lsetxattr(2)`";
    flexsc_prep_fsetxattr = libc::SYS_fsetxattr => (fd: c_int, name: *const c_char, value: *const c_void, size: usize, flags: c_int), "`fsetxattr(2)`";
    flexsc_prep_getxattr = libc::SYS_getxattr => (path: *const c_char, name: *const c_char, value: *mut c_void, size: usize), "`getxattr(2)`";
    flexsc_prep_lgetxattr = libc::SYS_lgetxattr => (path: *const c_char, name: *const c_char, value: *mut c_void, size: usize), "`lgetxattr(2)`";
    flexsc_prep_fgetxattr = libc::SYS_fgetxattr => (fd: c_int, name: *const c_char, value: *mut c_void, size: usize), "`fgetxattr(2)`";
    flexsc_prep_listxattr = libc::SYS_listxattr => (path: *const c_char, list: *mut c_char, size: usize), "`listxattr(2)`";
    flexsc_prep_llistxattr = libc::SYS_llistxattr => (path: *const c_char, list: *mut c_char, size: usize), "`llistxattr(2)`";
    flexsc_prep_flistxattr = libc::SYS_flistxattr => (fd: c_int, list: *mut c_char, size: usize), "`flistxattr(2)`";
    flexsc_prep_removexattr = libc::SYS_removexattr => (path: *const c_char, name: *const c_char), "`removexattr(2)`";
    flexsc_prep_lremovexattr = libc::SYS_lremovexattr => (path: *const c_char, name: *const c_char), "`lremovexattr(2)`";
    flexsc_prep_fremovexattr = libc::SYS_fremovexattr => (fd: c_int, name: *const c_char), "`fremovexattr(2)`";
    flexsc_prep_socket = libc::SYS_socket => (domain: c_int, kind: c_int, protocol: c_int), "`socket(2)`";
    flexsc_prep_socketpair = libc::SYS_socketpair => (domain: c_int, kind: c_int, protocol: c_int, sv: *mut c_int), "`socketpair(2)`";
    flexsc_prep_bind = libc::SYS_bind => (fd: c_int, addr: *const sockaddr, addrlen: socklen_t), "`bind(2)`";
    flexsc_prep_listen = libc::SYS_listen => (fd: c_int, backlog: c_int), "`listen(2)`";
    flexsc_prep_connect = libc::SYS_connect => (fd: c_int, addr: *const sockaddr, addrlen: socklen_t), "`connect(2)`";
    flexsc_prep_accept4 = libc::SYS_accept4 => (fd: c_int, addr: *mut sockaddr, addrlen: *mut socklen_t, flags: c_int), "`accept4(2)`";
    flexsc_prep_sendto = libc::SYS_sendto => (fd: c_int, buf: *const c_void, len: usize, flags: c_int, addr: *const sockaddr, addrlen: socklen_t), "`sendto(2)`";
    flexsc_prep_recvfrom = libc::SYS_recvfrom => (fd: c_int, buf: *mut c_void, len: usize, flags: c_int, addr: *mut sockaddr, addrlen: *mut socklen_t), "`recvfrom(2)`";
    flexsc_prep_sendmsg = libc::SYS_sendmsg => (fd: c_int, msg: *const msghdr, flags: c_int), "`sendmsg(2)`";
    flexsc_prep_recvmsg = libc::SYS_recvmsg => (fd: c_int, msg: *mut msghdr, flags: c_int), "`recvmsg(2)`";
    flexsc_prep_shutdown = libc::SYS_shutdown => (fd: c_int, how: c_int), "`shutdown(2)`";
    flexsc_prep_setsockopt = libc::SYS_setsockopt => (fd: c_int, level: c_int, name: c_int, value: *const c_void, len: socklen_t), "`setsockopt(2)`";
    flexsc_prep_getsockopt = libc::SYS_getsockopt => (fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut socklen_t), "`getsockopt(2)`";
    flexsc_prep_clock_nanosleep = libc::SYS_clock_nanosleep => (clock: clockid_t, flags: c_int, time: *const timespec, left: *mut timespec), "`clock_nanosleep(2)`";
    flexsc_prep_getrandom = libc::SYS_getrandom => (buf: *mut c_void, len: usize, flags: c_uint), "`getrandom(2)`";
    flexsc_prep_getppid = libc::SYS_getppid => (), "`getppid(2)`";
}
