// SPDX-License-Identifier: MIT OR Apache-2.0
//! What kinds of arguments each call takes. A call that the module lists and that has no row here is posted with
//! arguments of any kind, and nothing is demanded of it.

use libc::c_long;
use libflexsc::sys::NR_NOP;

/// What a plausible value of an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A descriptor of any kind of file.
    Fd,
    /// A directory's, or `AT_FDCWD`.
    Dir,
    /// A descriptor that may be closed.
    Spare,
    /// A socket's.
    Socket,
    /// A name.
    Path,
    /// Memory to read from.
    In,
    /// Memory to write to.
    Out,
    /// The address of a position in a file, or null.
    Position,
    /// A vector of memory to write to or read from.
    Vector,
    /// The two times of utimensat.
    Times,
    /// A `struct open_how`.
    How,
    /// The name of an extended attribute.
    Attribute,
    /// Length of a buffer.
    Size,
    /// Offset or length in a file.
    Offset,
    /// Flags of an open.
    Open,
    /// Bits of permission.
    Mode,
    /// User or group.
    Owner,
    /// One of these.
    Of(&'static [u64]),
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number.
    pub nr: u16,
    /// Its name.
    pub name: &'static str,
    /// Its arguments.
    pub kinds: &'static [Kind],
    /// Whether it can succeed and fail with them.
    pub both: bool,
}

const fn row(nr: c_long, name: &'static str, kinds: &'static [Kind]) -> Row {
    Row {
        nr: nr as u16,
        name,
        kinds,
        both: true,
    }
}

/// One that cannot fail.
const fn sure(nr: c_long, name: &'static str) -> Row {
    Row {
        nr: nr as u16,
        name,
        kinds: &[],
        both: false,
    }
}

use Kind::{
    Attribute, Dir, Fd, How, In, Mode, Of, Offset, Open, Out, Owner, Path, Position, Size, Socket,
    Spare, Times, Vector,
};

const ZERO: Kind = Of(&[0]);
const COUNT: Kind = Of(&[0, 1, 2, 3, 4, 4]);
/// 0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH.
const LOOK: Kind = Of(&[0, 0, 0x100, 0x1000]);

/// The calls.
pub const ROWS: &[Row] = &[
    sure(NR_NOP as c_long, "no-op"),
    sure(libc::SYS_getppid, "getppid"),
    row(libc::SYS_read, "read", &[Fd, Out, Size]),
    row(libc::SYS_write, "write", &[Fd, In, Size]),
    row(libc::SYS_pread64, "pread64", &[Fd, Out, Size, Offset]),
    row(libc::SYS_pwrite64, "pwrite64", &[Fd, In, Size, Offset]),
    row(libc::SYS_readv, "readv", &[Fd, Vector, COUNT]),
    row(libc::SYS_writev, "writev", &[Fd, Vector, COUNT]),
    row(
        libc::SYS_preadv,
        "preadv",
        &[Fd, Vector, COUNT, Offset, ZERO],
    ),
    row(
        libc::SYS_pwritev,
        "pwritev",
        &[Fd, Vector, COUNT, Offset, ZERO],
    ),
    row(libc::SYS_close, "close", &[Spare]),
    row(libc::SYS_fstat, "fstat", &[Fd, Out]),
    row(
        libc::SYS_lseek,
        "lseek",
        &[Fd, Offset, Of(&[0, 0, 1, 2, 3, 4])],
    ),
    row(libc::SYS_fsync, "fsync", &[Fd]),
    row(libc::SYS_fdatasync, "fdatasync", &[Fd]),
    row(libc::SYS_ftruncate, "ftruncate", &[Fd, Offset]),
    row(libc::SYS_fchmod, "fchmod", &[Fd, Mode]),
    row(libc::SYS_fchown, "fchown", &[Fd, Owner, Owner]),
    row(libc::SYS_getdents64, "getdents64", &[Dir, Out, Size]),
    row(
        libc::SYS_fadvise64,
        "fadvise64",
        &[Fd, Offset, Offset, Of(&[0, 1, 2, 3, 4, 5])],
    ),
    row(libc::SYS_openat, "openat", &[Dir, Path, Open, Mode]),
    row(libc::SYS_openat2, "openat2", &[Dir, Path, How, Of(&[24])]),
    row(libc::SYS_mkdirat, "mkdirat", &[Dir, Path, Mode]),
    row(
        libc::SYS_fchownat,
        "fchownat",
        &[Dir, Path, Owner, Owner, LOOK],
    ),
    row(libc::SYS_newfstatat, "newfstatat", &[Dir, Path, Out, LOOK]),
    row(
        libc::SYS_unlinkat,
        "unlinkat",
        &[Dir, Path, Of(&[0, 0, 0x200])],
    ),
    row(
        libc::SYS_linkat,
        "linkat",
        &[Dir, Path, Dir, Path, Of(&[0, 0x400])],
    ),
    row(libc::SYS_symlinkat, "symlinkat", &[Path, Dir, Path]),
    row(libc::SYS_readlinkat, "readlinkat", &[Dir, Path, Out, Size]),
    row(libc::SYS_fchmodat, "fchmodat", &[Dir, Path, Mode]),
    row(
        libc::SYS_faccessat,
        "faccessat",
        &[Dir, Path, Of(&[0, 1, 2, 4, 7])],
    ),
    row(libc::SYS_utimensat, "utimensat", &[Dir, Path, Times, LOOK]),
    row(
        libc::SYS_fallocate,
        "fallocate",
        &[Fd, Of(&[0, 0, 1, 2, 3, 8, 0x10]), Offset, Offset],
    ),
    row(
        libc::SYS_renameat2,
        "renameat2",
        &[Dir, Path, Dir, Path, Of(&[0, 0, 1, 2])],
    ),
    row(
        libc::SYS_copy_file_range,
        "copy_file_range",
        &[Fd, Position, Fd, Position, Size, ZERO],
    ),
    row(
        libc::SYS_statx,
        "statx",
        &[Dir, Path, LOOK, Of(&[0x7ff, 0xfff]), Out],
    ),
    row(libc::SYS_truncate, "truncate", &[Path, Offset]),
    row(libc::SYS_statfs, "statfs", &[Path, Out]),
    row(libc::SYS_fstatfs, "fstatfs", &[Fd, Out]),
    row(
        libc::SYS_sync_file_range,
        "sync_file_range",
        &[Fd, Offset, Offset, Of(&[0, 1, 2, 4, 7])],
    ),
    row(libc::SYS_syncfs, "syncfs", &[Fd]),
    row(
        libc::SYS_mknodat,
        "mknodat",
        &[Dir, Path, Of(&[0o100_644, 0o10_600, 0o140_600]), ZERO],
    ),
    row(libc::SYS_fchmodat2, "fchmodat2", &[Dir, Path, Mode, LOOK]),
    row(libc::SYS_flock, "flock", &[Fd, Of(&[4 | 1, 4 | 2, 8])]),
    row(
        libc::SYS_fcntl,
        "fcntl",
        &[Fd, Of(&[1, 2, 3, 4, 1030]), ZERO],
    ),
    row(libc::SYS_getrandom, "getrandom", &[Out, Size, Of(&[0, 1])]),
    row(
        libc::SYS_fgetxattr,
        "fgetxattr",
        &[Fd, Attribute, Out, Size],
    ),
    row(
        libc::SYS_fsetxattr,
        "fsetxattr",
        &[Fd, Attribute, In, Of(&[0, 1, 16, 100]), Of(&[0, 0, 1, 2])],
    ),
    row(libc::SYS_flistxattr, "flistxattr", &[Fd, Out, Size]),
    row(libc::SYS_fremovexattr, "fremovexattr", &[Fd, Attribute]),
    row(
        libc::SYS_getxattr,
        "getxattr",
        &[Path, Attribute, Out, Size],
    ),
    row(
        libc::SYS_setxattr,
        "setxattr",
        &[Path, Attribute, In, Of(&[0, 1, 16, 100]), Of(&[0, 0, 1, 2])],
    ),
    row(libc::SYS_listxattr, "listxattr", &[Path, Out, Size]),
    row(libc::SYS_removexattr, "removexattr", &[Path, Attribute]),
    row(
        libc::SYS_lgetxattr,
        "lgetxattr",
        &[Path, Attribute, Out, Size],
    ),
    row(
        libc::SYS_lsetxattr,
        "lsetxattr",
        &[Path, Attribute, In, Of(&[0, 1, 16, 100]), Of(&[0, 0, 1, 2])],
    ),
    row(libc::SYS_llistxattr, "llistxattr", &[Path, Out, Size]),
    row(libc::SYS_lremovexattr, "lremovexattr", &[Path, Attribute]),
    row(
        libc::SYS_socket,
        "socket",
        &[Of(&[1, 2, 10]), Of(&[0x801, 0x802, 0x803]), ZERO],
    ),
    row(
        libc::SYS_socketpair,
        "socketpair",
        &[Of(&[1, 1, 2]), Of(&[0x801, 0x802]), ZERO, Out],
    ),
    row(
        libc::SYS_sendto,
        "sendto",
        &[Socket, In, Size, Of(&[0x40, 0x4040]), ZERO, ZERO],
    ),
    row(
        libc::SYS_recvfrom,
        "recvfrom",
        &[Socket, Out, Size, Of(&[0x40, 0x42]), ZERO, ZERO],
    ),
    row(libc::SYS_shutdown, "shutdown", &[Socket, Of(&[0, 1, 2, 3])]),
    row(
        libc::SYS_splice,
        "splice",
        &[Fd, ZERO, Fd, ZERO, Size, Of(&[2])],
    ),
    row(libc::SYS_sendfile, "sendfile", &[Fd, Fd, Position, Size]),
];

/// The row of a call.
pub fn find(nr: u16) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.nr == nr)
}
