// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls that may be posted, and what a differential test must have seen of each.
//!
//! The errnos are those of the calls' man pages and of their code paths in the kernel that a test can bring about.

use libc::{
    E2BIG, EACCES, EAGAIN, EBADF, EBUSY, EEXIST, EFAULT, EFBIG, EINVAL, EISDIR, ELOOP, EMFILE,
    ENAMETOOLONG, ENODEV, ENOENT, ENOTDIR, ENOTEMPTY, ENXIO, EOPNOTSUPP, EPERM, EPIPE, EROFS,
    ESPIPE, EXDEV,
};

use std::sync::LazyLock;

use libflexsc::sys as abi;

mod sockets;
mod storage;

/// What is demanded of one call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Number in the x86-64 table.
    pub nr: u16,
    /// Name.
    pub name: &'static str,
    /// Whether lane W executes it on a regular file of a local disk or tmpfs.
    pub worker: bool,
    /// Errnos that must have been seen, from every lane.
    pub errnos: &'static [i32],
    /// Errnos that need mounts of our own.
    pub mounted: &'static [i32],
    /// Whether it can succeed on the file systems and sockets that the differential test has.
    pub succeeds: bool,
    /// Reasons for handing it back, as in [`crate::handback`], that must have come up.
    pub handed_back: &'static [&'static str],
}

const fn row(nr: libc::c_long, name: &'static str, worker: bool, errnos: &'static [i32]) -> Row {
    Row {
        nr: nr as u16,
        name,
        worker,
        errnos,
        mounted: &[],
        succeeds: true,
        handed_back: &[],
    }
}

impl Row {
    const fn mounted(mut self, errnos: &'static [i32]) -> Self {
        self.mounted = errnos;
        self
    }

    const fn never_succeeds(mut self) -> Self {
        self.succeeds = false;
        self
    }

    const fn handed_back(mut self, reasons: &'static [&'static str]) -> Self {
        self.handed_back = reasons;
        self
    }
}

/// Reasons of the calls that take away a name or make one.
const NO_NAME: &[&str] = &[
    "the last component is .",
    "the last component is ..",
    "the path is /",
];

/// Every call of the table but our own poll and clock_nanosleep, which the program `arm` tests.
pub static ROWS: LazyLock<Vec<Row>> =
    LazyLock::new(|| [FILES, storage::ROWS, sockets::ROWS].concat());

/// The file, attribute and path groups.
const FILES: &[Row] = &[
    row(abi::NR_NOP as libc::c_long, "no-op", true, &[]),
    row(libc::SYS_getppid, "getppid", true, &[]),
    row(
        libc::SYS_read,
        "read",
        true,
        &[EBADF, EINVAL, EFAULT, EISDIR, EAGAIN],
    ),
    row(
        libc::SYS_write,
        "write",
        true,
        &[EBADF, EINVAL, EFAULT, EFBIG, EPIPE, EAGAIN],
    ),
    row(
        libc::SYS_pread64,
        "pread64",
        true,
        &[EBADF, EINVAL, EFAULT, EISDIR, ESPIPE],
    ),
    row(
        libc::SYS_pwrite64,
        "pwrite64",
        true,
        &[EBADF, EINVAL, EFAULT, EFBIG, ESPIPE],
    ),
    row(
        libc::SYS_readv,
        "readv",
        true,
        &[EBADF, EINVAL, EFAULT, EISDIR, EAGAIN],
    ),
    row(
        libc::SYS_writev,
        "writev",
        true,
        &[EBADF, EINVAL, EFAULT, EFBIG, EPIPE],
    ),
    row(
        libc::SYS_preadv,
        "preadv",
        true,
        &[EBADF, EINVAL, EFAULT, EISDIR, ESPIPE],
    ),
    row(
        libc::SYS_pwritev,
        "pwritev",
        true,
        &[EBADF, EINVAL, EFAULT, EFBIG, ESPIPE],
    ),
    row(
        libc::SYS_lseek,
        "lseek",
        true,
        &[EBADF, EINVAL, ESPIPE, ENXIO],
    ),
    row(libc::SYS_fsync, "fsync", true, &[EBADF, EINVAL]),
    row(libc::SYS_fdatasync, "fdatasync", true, &[EBADF, EINVAL]),
    row(
        libc::SYS_ftruncate,
        "ftruncate",
        true,
        &[EBADF, EINVAL, EFBIG],
    )
    .handed_back(&["the file was opened with other credentials"]),
    row(
        libc::SYS_fallocate,
        "fallocate",
        true,
        &[EBADF, EINVAL, EFBIG, ESPIPE, ENODEV, EOPNOTSUPP],
    ),
    row(
        libc::SYS_fadvise64,
        "fadvise64",
        true,
        &[EBADF, EINVAL, ESPIPE],
    ),
    row(libc::SYS_fstat, "fstat", true, &[EBADF, EFAULT]),
    row(
        libc::SYS_getdents64,
        "getdents64",
        true,
        &[EBADF, EINVAL, EFAULT, ENOENT, ENOTDIR],
    ),
    row(
        libc::SYS_copy_file_range,
        "copy_file_range",
        false,
        &[EBADF, EINVAL, EFAULT, EFBIG, EISDIR],
    )
    .mounted(&[EXDEV]),
    row(libc::SYS_fchmod, "fchmod", true, &[EBADF, EPERM]).mounted(&[EROFS]),
    row(libc::SYS_fchown, "fchown", true, &[EBADF, EPERM]).mounted(&[EROFS]),
    row(
        libc::SYS_openat,
        "openat",
        false,
        &[
            EACCES,
            EBADF,
            EEXIST,
            EFAULT,
            EINVAL,
            EISDIR,
            ELOOP,
            EMFILE,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
            ENXIO,
            EPERM,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_openat2,
        "openat2",
        false,
        &[
            E2BIG,
            EACCES,
            EBADF,
            EEXIST,
            EFAULT,
            EINVAL,
            EISDIR,
            ELOOP,
            EMFILE,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
            ENXIO,
            EXDEV,
        ],
    )
    .mounted(&[EROFS])
    .handed_back(&[
        "OPENAT2_REGULAR",
        "RESOLVE_CACHED",
        "RESOLVE_NO_XDEV with O_CREAT",
        "scoped O_CREAT on a final symlink",
        "the last component is .",
        "the last component is ..",
        "the path is /",
    ]),
    row(libc::SYS_close, "close", false, &[EBADF]),
    row(
        libc::SYS_newfstatat,
        "newfstatat",
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
        ],
    ),
    row(
        libc::SYS_statx,
        "statx",
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
        ],
    ),
    row(
        libc::SYS_readlinkat,
        "readlinkat",
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
        ],
    ),
    row(
        libc::SYS_mkdirat,
        "mkdirat",
        false,
        &[
            EACCES,
            EBADF,
            EEXIST,
            EFAULT,
            ELOOP,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_unlinkat,
        "unlinkat",
        false,
        &[
            EACCES,
            EBADF,
            EFAULT,
            EINVAL,
            EISDIR,
            ELOOP,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
            ENOTEMPTY,
            EPERM,
        ],
    )
    .mounted(&[EROFS, EBUSY])
    .handed_back(NO_NAME),
    row(
        libc::SYS_renameat2,
        "renameat2",
        false,
        &[
            EACCES,
            EBADF,
            EEXIST,
            EFAULT,
            EINVAL,
            EISDIR,
            ELOOP,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
            ENOTEMPTY,
            EPERM,
        ],
    )
    .mounted(&[EROFS, EXDEV, EBUSY])
    .handed_back(NO_NAME),
    row(
        libc::SYS_symlinkat,
        "symlinkat",
        false,
        &[
            EACCES,
            EBADF,
            EEXIST,
            EFAULT,
            ELOOP,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_linkat,
        "linkat",
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
    .mounted(&[EROFS, EXDEV])
    .handed_back(&["protected_hardlinks"]),
    row(
        libc::SYS_fchmodat,
        "fchmodat",
        false,
        &[
            EACCES,
            EBADF,
            EFAULT,
            ELOOP,
            ENAMETOOLONG,
            ENOENT,
            ENOTDIR,
            EPERM,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_fchownat,
        "fchownat",
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
            EPERM,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_utimensat,
        "utimensat",
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
            EPERM,
        ],
    )
    .mounted(&[EROFS]),
    row(
        libc::SYS_faccessat,
        "faccessat",
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
        ],
    )
    .mounted(&[EROFS]),
];

/// The row of a call.
pub fn find(nr: u16) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.nr == nr)
}

/// The name of a call; its number's place is taken by `call` when it is not in the table.
pub fn name(nr: u16) -> &'static str {
    find(nr).map_or("call", |row| row.name)
}

#[cfg(test)]
mod tests {
    use super::find;

    /// The documentation's list of calls, which is held to the module's table.
    const DOCUMENT: &str = include_str!("../../docs/abi.md");

    #[test]
    fn calls_without_a_row_are_those_that_are_named() {
        let (_, section) = DOCUMENT.split_once("\n| number | call |").unwrap();
        let without: Vec<_> = section
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| line.split('|').nth(1)?.trim().parse().ok())
            .filter(|nr| find(*nr).is_none())
            .collect();
        assert_eq!(without, [libc::SYS_clock_nanosleep as u16]);
        assert!(find(0).is_some(), "read has a row");
    }
}
