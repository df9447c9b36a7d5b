// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the calls do with descriptors.

use crate::sys;

/// Whether the call opens one file and returns its number.
pub(crate) fn opens(nr: u16) -> bool {
    [
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_socket,
        libc::SYS_accept4,
    ]
    .contains(&nr.into())
}

/// Whether the first argument is a descriptor.
pub(crate) fn takes_file(nr: u16) -> bool {
    nr == sys::NR_POLL || FILE_CALLS.contains(&nr.into())
}

const FILE_CALLS: [libc::c_long; 62] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ioctl,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_sendfile,
    libc::SYS_connect,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fstatfs,
    libc::SYS_fsetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_fremovexattr,
    libc::SYS_getdents64,
    libc::SYS_fadvise64,
    libc::SYS_splice,
    libc::SYS_sync_file_range,
    libc::SYS_fallocate,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_syncfs,
    libc::SYS_copy_file_range,
    // A directory to start from.
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_fchownat,
    libc::SYS_newfstatat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_readlinkat,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_faccessat,
    libc::SYS_utimensat,
    libc::SYS_statx,
    // Not in the module's table, but descriptors all the same.
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_fchdir,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_readahead,
    libc::SYS_futimesat,
];
