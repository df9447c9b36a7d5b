// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is demanded of calls about file systems, locks, flags and extended attributes.

use libc::{
    E2BIG, EACCES, EAGAIN, EBADF, EEXIST, EFAULT, EFBIG, EINVAL, EISDIR, ELOOP, EMFILE,
    ENAMETOOLONG, ENODATA, ENOENT, ENOMEM, ENOTDIR, EOPNOTSUPP, EPERM, ERANGE, EROFS, ESPIPE,
    EXDEV,
};

use super::{Row, row};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row(
        libc::SYS_sync_file_range,
        "sync_file_range",
        true,
        &[EBADF, EINVAL, ESPIPE],
    ),
    row(libc::SYS_syncfs, "syncfs", true, &[EBADF]),
    row(libc::SYS_fstatfs, "fstatfs", true, &[EBADF, EFAULT]),
    row(
        libc::SYS_statfs,
        "statfs",
        false,
        &[EACCES, EFAULT, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR],
    ),
    row(
        libc::SYS_truncate,
        "truncate",
        false,
        &[
            EACCES,
            EFAULT,
            EFBIG,
            EINVAL,
            EISDIR,
            ELOOP,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
            EPERM,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_mknodat,
        "mknodat",
        false,
        &[
            EACCES,
            EBADF,
            EEXIST,
            EFAULT,
            EINVAL,
            ELOOP,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
            EPERM,
        ],
    )
    .mounted(&[EROFS])
    .handed_back(&["a regular file"]),
    row(
        libc::SYS_fchmodat2,
        "fchmodat2",
        false,
        &[
            EACCES,
            EBADF,
            EFAULT,
            EINVAL,
            ELOOP,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
            EOPNOTSUPP,
            EPERM,
        ],
    )
    .mounted(&[EROFS]),
    row(libc::SYS_getrandom, "getrandom", true, &[EFAULT, EINVAL]),
    row(libc::SYS_flock, "flock", false, &[EAGAIN, EBADF, EINVAL]),
    row(
        libc::SYS_fcntl,
        "fcntl",
        true,
        &[EBADF, EINVAL, EMFILE, EPERM],
    )
    .handed_back(&["another command", "a duplicate above 0", "O_ASYNC changes"]),
    row(
        libc::SYS_ioctl,
        "ioctl",
        false,
        &[EBADF, EFAULT, EINVAL, EISDIR, ENOMEM, EOPNOTSUPP],
    )
    .mounted(&[EXDEV])
    .never_succeeds()
    .handed_back(&["another request"]),
    row(
        libc::SYS_fgetxattr,
        "fgetxattr",
        true,
        &[EBADF, EFAULT, ENODATA, EOPNOTSUPP, ERANGE],
    )
    .handed_back(&["AT_FDCWD for a descriptor"]),
    row(
        libc::SYS_getxattr,
        "getxattr",
        false,
        &[
            EACCES,
            EFAULT,
            ELOOP,
            ENAMETOOLONG,
            ENODATA,
            ENOENT,
            ENOTDIR,
            EOPNOTSUPP,
            ERANGE,
        ],
    ),
    row(
        libc::SYS_lgetxattr,
        "lgetxattr",
        false,
        &[
            EACCES,
            EFAULT,
            ELOOP,
            ENAMETOOLONG,
            ENODATA,
            ENOENT,
            ENOTDIR,
            EOPNOTSUPP,
            ERANGE,
        ],
    ),
    row(
        libc::SYS_fsetxattr,
        "fsetxattr",
        true,
        &[
            E2BIG, EBADF, EEXIST, EFAULT, EINVAL, ENODATA, EOPNOTSUPP, EPERM, ERANGE,
        ],
    )
    .mounted(&[EROFS])
    .handed_back(&["AT_FDCWD for a descriptor"]),
    row(
        libc::SYS_setxattr,
        "setxattr",
        false,
        &[
            E2BIG,
            EACCES,
            EEXIST,
            EFAULT,
            EINVAL,
            ELOOP,
            ENAMETOOLONG,
            ENODATA,
            ENOENT,
            ENOTDIR,
            EOPNOTSUPP,
            EPERM,
            ERANGE,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_lsetxattr,
        "lsetxattr",
        false,
        &[
            E2BIG,
            EACCES,
            EEXIST,
            EFAULT,
            EINVAL,
            ELOOP,
            ENAMETOOLONG,
            ENODATA,
            ENOENT,
            ENOTDIR,
            EOPNOTSUPP,
            EPERM,
            ERANGE,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_flistxattr,
        "flistxattr",
        true,
        &[EBADF, EFAULT, ERANGE],
    ),
    row(
        libc::SYS_listxattr,
        "listxattr",
        false,
        &[EACCES, EFAULT, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ERANGE],
    ),
    row(
        libc::SYS_llistxattr,
        "llistxattr",
        false,
        &[EACCES, EFAULT, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ERANGE],
    ),
    row(
        libc::SYS_fremovexattr,
        "fremovexattr",
        true,
        &[EBADF, EFAULT, ENODATA, EOPNOTSUPP, EPERM, ERANGE],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_removexattr,
        "removexattr",
        false,
        &[
            EACCES,
            EFAULT,
            ELOOP,
            ENAMETOOLONG,
            ENODATA,
            ENOENT,
            ENOTDIR,
            EOPNOTSUPP,
            EPERM,
            ERANGE,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_lremovexattr,
        "lremovexattr",
        false,
        &[
            EACCES,
            EFAULT,
            ELOOP,
            ENAMETOOLONG,
            ENODATA,
            ENOENT,
            ENOTDIR,
            EOPNOTSUPP,
            EPERM,
            ERANGE,
        ],
    )
    .mounted(&[EROFS]),
];
