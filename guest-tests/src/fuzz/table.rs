// SPDX-License-Identifier: MIT OR Apache-2.0
//! What kinds of arguments each call takes, and with which flags entries are posted. A call that the module lists and
//! that has no row here is a failure.

use libc::c_long;
use libflexsc::sys::{self as abi, ENTRY_MULTI, ENTRY_TIMEOUT, NR_NOP, NR_POLL};

/// What a plausible value of an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A descriptor of any kind of file.
    Fd,
    /// A regular file's.
    Regular,
    /// A directory's, or `AT_FDCWD`.
    Dir,
    /// A descriptor that may be closed.
    Spare,
    /// A socket's.
    Socket,
    /// A socket's that can be connected again and again.
    Datagram,
    /// A listening socket's.
    Listener,
    /// A name.
    Path,
    /// A name under which there is a file at first.
    There,
    /// The name of a symbolic link.
    Symlink,
    /// A name under which there may be nothing yet.
    New,
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
    /// A `struct sockaddr`.
    Address,
    /// A `struct msghdr` to send.
    Sent,
    /// A `struct msghdr` to receive into.
    Received,
    /// The address of the length of a buffer.
    Length,
    /// A `struct timespec` to sleep for.
    Span,
    /// What the requests of ioctl take: a descriptor or a structure.
    Shared,
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
    /// Whether it can succeed only where files can share blocks.
    pub clones: bool,
}

impl Row {
    const fn cloning(mut self) -> Self {
        self.clones = true;
        self
    }
}

const fn row(nr: c_long, name: &'static str, kinds: &'static [Kind]) -> Row {
    Row {
        nr: nr as u16,
        name,
        kinds,
        both: true,
        clones: false,
    }
}

/// One that cannot fail.
const fn sure(nr: c_long, name: &'static str) -> Row {
    Row {
        nr: nr as u16,
        name,
        kinds: &[],
        both: false,
        clones: false,
    }
}

use Kind::{
    Address, Attribute, Datagram, Dir, Fd, How, In, Length, Listener, Mode, New, Of, Offset, Open,
    Out, Owner, Path, Position, Received, Regular, Sent, Shared, Size, Socket, Span, Spare,
    Symlink, There, Times, Vector,
};

/// A flag of entries.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its bit.
    pub bit: u16,
    /// The feature that a context has to have for it, 0 for none.
    pub feature: u64,
    /// One in so many entries has it.
    pub one_in: u64,
    /// The only call that it is for, if there is only one.
    pub call: Option<u16>,
}

/// The entry posted next waits for this one.
pub const LINK: Flag = Flag {
    bit: abi::ENTRY_LINK,
    feature: abi::FEAT_LINK as u64,
    one_in: 8,
    call: None,
};
/// The file is the chain's.
pub const FILE: Flag = Flag {
    bit: abi::ENTRY_FILE,
    feature: abi::FEAT_LINK as u64,
    one_in: 8,
    call: None,
};
/// A poll that goes on.
pub const MULTI: Flag = Flag {
    bit: ENTRY_MULTI,
    feature: abi::FEAT_MULTI as u64,
    one_in: 2,
    call: Some(NR_POLL),
};
/// The flags that entries are posted with; [`LINK`] and [`FILE`] come in chains as well.
pub const FLAGS: &[Flag] = &[
    Flag {
        bit: ENTRY_TIMEOUT,
        feature: 0,
        one_in: 8,
        call: None,
    },
    LINK,
    FILE,
    MULTI,
];

/// Calls that open one file, with which a chain can begin.
pub const OPENERS: [c_long; 4] = [
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_socket,
    libc::SYS_accept4,
];

const ZERO: Kind = Of(&[0]);
const SOL_SOCKET: Kind = Of(&[1]);
/// Of addresses in IPv4, and of one in the file system.
const LENGTHS: Kind = Of(&[16, 16, 16, 110]);
/// FICLONE, FICLONERANGE, FIDEDUPERANGE.
const CLONES: Kind = Of(&[0x4004_9409, 0x4020_940d, 0xc018_9436]);
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
    row(libc::SYS_mkdirat, "mkdirat", &[Dir, New, Mode]),
    row(
        libc::SYS_fchownat,
        "fchownat",
        &[Dir, Path, Owner, Owner, LOOK],
    ),
    row(libc::SYS_newfstatat, "newfstatat", &[Dir, Path, Out, LOOK]),
    row(
        libc::SYS_unlinkat,
        "unlinkat",
        &[Dir, New, Of(&[0, 0, 0x200])],
    ),
    row(
        libc::SYS_linkat,
        "linkat",
        &[Dir, There, Dir, New, Of(&[0, 0x400])],
    ),
    row(libc::SYS_symlinkat, "symlinkat", &[Path, Dir, New]),
    row(
        libc::SYS_readlinkat,
        "readlinkat",
        &[Dir, Symlink, Out, Size],
    ),
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
        &[Dir, Path, Dir, New, Of(&[0, 0, 1, 2])],
    ),
    row(
        libc::SYS_copy_file_range,
        "copy_file_range",
        &[Regular, Position, Regular, Position, Size, ZERO],
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
        &[Dir, New, Of(&[0o100_644, 0o10_600, 0o140_600]), ZERO],
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
        &[There, Attribute, Out, Size],
    ),
    row(
        libc::SYS_setxattr,
        "setxattr",
        &[
            There,
            Attribute,
            In,
            Of(&[0, 1, 16, 100]),
            Of(&[0, 0, 1, 2]),
        ],
    ),
    row(libc::SYS_listxattr, "listxattr", &[Path, Out, Size]),
    row(libc::SYS_removexattr, "removexattr", &[There, Attribute]),
    row(
        libc::SYS_lgetxattr,
        "lgetxattr",
        &[There, Attribute, Out, Size],
    ),
    row(
        libc::SYS_lsetxattr,
        "lsetxattr",
        &[
            There,
            Attribute,
            In,
            Of(&[0, 1, 16, 100]),
            Of(&[0, 0, 1, 2]),
        ],
    ),
    row(libc::SYS_llistxattr, "llistxattr", &[Path, Out, Size]),
    row(libc::SYS_lremovexattr, "lremovexattr", &[There, Attribute]),
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
    row(libc::SYS_connect, "connect", &[Datagram, Address, LENGTHS]),
    row(libc::SYS_bind, "bind", &[Socket, Address, LENGTHS]),
    row(libc::SYS_listen, "listen", &[Socket, Of(&[0, 1, 8])]),
    row(
        libc::SYS_accept4,
        "accept4",
        &[Listener, ZERO, ZERO, Of(&[0, 0x800])],
    ),
    row(libc::SYS_sendmsg, "sendmsg", &[Socket, Sent, Of(&[0x4040])]),
    row(
        libc::SYS_recvmsg,
        "recvmsg",
        &[Socket, Received, Of(&[0x40, 0x42])],
    ),
    row(
        libc::SYS_setsockopt,
        "setsockopt",
        &[Socket, SOL_SOCKET, Of(&[2, 7, 8, 9, 15]), In, Of(&[4, 8])],
    ),
    row(
        libc::SYS_getsockopt,
        "getsockopt",
        &[Socket, SOL_SOCKET, Of(&[3, 4, 7, 8, 17]), Out, Length],
    ),
    row(libc::SYS_ioctl, "ioctl", &[Regular, CLONES, Shared]).cloning(),
    row(
        libc::SYS_clock_nanosleep,
        "clock_nanosleep",
        &[Of(&[0, 1]), ZERO, Span, ZERO],
    ),
    row(NR_POLL as c_long, "poll", &[Fd, Of(&[1, 4, 5])]),
];

/// The row of a call.
pub fn find(nr: u16) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.nr == nr)
}
