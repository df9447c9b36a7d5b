// SPDX-License-Identifier: MIT OR Apache-2.0
//! One system call with symbolic arguments, so that the same call can be made on several identical trees.

use crate::arena::{IN_SIZE, OUT_SIZE};
use libflexsc::sys as abi;

/// Where the first path goes in the input region.
pub const PATH_A: usize = 0;
/// Where the second path goes.
pub const PATH_B: usize = 8192;
/// Where structures go.
pub const STRUCT: usize = 16384;
/// Where vectors go.
pub const VECTOR: usize = 24576;
/// How many descriptor slots a world has.
pub const SLOTS: usize = 12;

/// One argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A number, the same everywhere.
    Num(u64),
    /// The descriptor in a slot.
    Fd(usize),
    /// The same, with garbage in the upper half of the register, which the real call ignores.
    DirtyFd(usize),
    /// Address in the input region.
    In(usize),
    /// Address in the output region.
    Out(usize),
    /// Address in the read-only page.
    Ro(usize),
    /// Address in the page without access after the output region.
    Guard(usize),
}

/// What goes into the input region before the call.
#[derive(Clone, Debug)]
pub enum Data {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A path and its NUL; a leading `@` stands for the world's root directory.
    Path(Vec<u8>),
    /// Words that may themselves be addresses.
    Words(Vec<Arg>),
}

/// What the call's result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// A number.
    Number,
    /// A new descriptor, kept in a slot or closed after it was looked at.
    Descriptor(Option<usize>),
}

/// What the call leaves in the output region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes that are the same in every world.
    Raw,
    /// A `struct stat`: inode number, times and blocks differ.
    Stat,
    /// A `struct statx`: the same.
    Statx,
    /// Directory entries: inode numbers differ.
    Dents,
    /// A symlink's target: the path of the world differs.
    Link,
    /// A `struct statfs`: what is free changes all the time, and identities differ.
    Statfs,
    /// As many random bytes as the result says.
    Random,
    /// Two new descriptors.
    Pair,
    /// A `struct msghdr` at [`HEADER`] with its parts, after receiving: addresses differ, and there may be new
    /// descriptors in the control messages.
    Message,
}

/// Where in the output region the header of a message is; its name is at 0, its data at [`DATA`].
pub const HEADER: usize = 1024;
/// Where its control messages are.
pub const CONTROL: usize = 2048;
/// Where its data is.
pub const DATA: usize = 4096;

/// One call.
#[derive(Clone, Debug)]
pub struct Op {
    /// Number in the x86-64 table.
    pub nr: u16,
    /// Its arguments.
    pub args: [Arg; 6],
    /// What they point to.
    pub inputs: Vec<(usize, Data)>,
    /// What it returns.
    pub returns: Returns,
    /// What it writes.
    pub output: Output,
}

/// A path argument.
#[derive(Clone, Debug)]
pub enum PathArg {
    /// This path; a leading `@` stands for the world's root directory.
    Name(Vec<u8>),
    /// An address that is no string.
    Bad(Arg),
    /// A path whose NUL would lie in the page without access.
    Cut(Vec<u8>),
    /// A path whose NUL is the last accessible byte.
    Snug(Vec<u8>),
}

impl From<&str> for PathArg {
    fn from(name: &str) -> Self {
        Self::Name(name.as_bytes().to_vec())
    }
}

impl From<String> for PathArg {
    fn from(name: String) -> Self {
        Self::Name(name.into_bytes())
    }
}

impl From<Arg> for PathArg {
    fn from(address: Arg) -> Self {
        Self::Bad(address)
    }
}

/// AT_FDCWD as an argument.
pub const CWD: Arg = Arg::Num(libc::AT_FDCWD as u32 as u64);
/// An address of the kernel's half.
pub const KERNEL_ADDRESS: Arg = Arg::Num(0xffff_8880_0000_1000);
/// An address that is not canonical.
pub const WILD_ADDRESS: Arg = Arg::Num(0x4141_4141_4141_4141);
/// The null pointer.
pub const NULL: Arg = Arg::Num(0);

/// A number.
pub const fn num(value: i64) -> Arg {
    Arg::Num(value as u64)
}

impl Op {
    /// Call `nr` with `args`, the rest 0.
    pub fn new(nr: libc::c_long, args: &[Arg]) -> Self {
        let mut all = [Arg::Num(0); 6];
        all[..args.len()].copy_from_slice(args);
        Self {
            nr: nr as u16,
            args: all,
            inputs: Vec::new(),
            returns: Returns::Number,
            output: Output::Raw,
        }
    }

    /// The call that does nothing.
    pub fn nop() -> Self {
        Self::new(libc::c_long::from(abi::NR_NOP), &[])
    }

    /// Adds input data at `at`.
    pub fn with(mut self, at: usize, data: Data) -> Self {
        self.inputs.push((at, data));
        self
    }

    /// Puts a path into argument `which`, its text into the first or second place for paths.
    pub fn path(mut self, which: usize, path: impl Into<PathArg>) -> Self {
        let place = if self.inputs.iter().any(|(at, _)| *at == PATH_A) {
            PATH_B
        } else {
            PATH_A
        };
        match path.into() {
            PathArg::Name(name) => {
                self.args[which] = Arg::In(place);
                self.inputs.push((place, Data::Path(name)));
            }
            PathArg::Bad(address) => self.args[which] = address,
            PathArg::Cut(name) => {
                let at = IN_SIZE - name.len();
                self.args[which] = Arg::In(at);
                self.inputs.push((at, Data::Bytes(name)));
            }
            PathArg::Snug(mut name) => {
                name.push(0);
                let at = IN_SIZE - name.len();
                self.args[which] = Arg::In(at);
                self.inputs.push((at, Data::Bytes(name)));
            }
        }
        self
    }

    /// The same call whose new descriptor stays in `slot`.
    pub fn keep(mut self, slot: usize) -> Self {
        self.returns = Returns::Descriptor(Some(slot));
        self
    }

    /// Whether the call can change a tree, or its being wrong could.
    pub fn may_change(&self) -> bool {
        const CHANGING: i32 =
            libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY);
        match libc::c_long::from(self.nr) {
            libc::SYS_openat => self
                .number(2)
                .is_none_or(|flags| flags as i32 & CHANGING != 0),
            libc::SYS_openat2 => match self.words(STRUCT).and_then(|words| words.first()) {
                Some(Arg::Num(flags)) => *flags as i32 & CHANGING != 0,
                _ => true,
            },
            libc::SYS_read
            | libc::SYS_pread64
            | libc::SYS_readv
            | libc::SYS_preadv
            | libc::SYS_lseek
            | libc::SYS_fadvise64
            | libc::SYS_fstat
            | libc::SYS_newfstatat
            | libc::SYS_statx
            | libc::SYS_readlinkat
            | libc::SYS_faccessat
            | libc::SYS_getdents64
            | libc::SYS_close
            | libc::SYS_getppid
            | libc::SYS_sync_file_range
            | libc::SYS_syncfs
            | libc::SYS_statfs
            | libc::SYS_fstatfs
            | libc::SYS_getrandom
            | libc::SYS_flock
            | libc::SYS_fcntl
            | libc::SYS_getxattr
            | libc::SYS_lgetxattr
            | libc::SYS_fgetxattr
            | libc::SYS_listxattr
            | libc::SYS_llistxattr
            | libc::SYS_flistxattr
            | libc::SYS_socket
            | libc::SYS_socketpair
            | libc::SYS_listen
            | libc::SYS_shutdown
            | libc::SYS_getsockopt
            | libc::SYS_setsockopt
            | libc::SYS_accept4
            | libc::SYS_connect
            | libc::SYS_sendto
            | libc::SYS_recvfrom
            | libc::SYS_sendmsg
            | libc::SYS_recvmsg => false,
            _ => self.nr != abi::NR_NOP,
        }
    }

    /// Whether the output region is among what the call may touch.
    pub fn uses_output(&self) -> bool {
        let output = |arg: &Arg| matches!(arg, Arg::Out(_));
        self.args.iter().any(output)
            || self.inputs.iter().any(|(_, data)| match data {
                Data::Words(words) => words.iter().any(output),
                _ => false,
            })
    }

    /// The text of the path in argument `which`, when it is a readable one.
    pub fn path_text(&self, which: usize) -> Option<&[u8]> {
        let Arg::In(place) = self.args[which] else {
            return None;
        };
        self.inputs.iter().find_map(|(at, data)| match data {
            Data::Path(name) if *at == place => Some(name.as_slice()),
            Data::Bytes(name) if *at == place && name.ends_with(&[0]) => {
                Some(&name[..name.len() - 1])
            }
            _ => None,
        })
    }

    /// The number in argument `which`, when it is one.
    pub fn number(&self, which: usize) -> Option<u64> {
        match self.args[which] {
            Arg::Num(value) => Some(value),
            _ => None,
        }
    }

    /// The words at `at` of the input region.
    pub fn words(&self, at: usize) -> Option<&[Arg]> {
        self.inputs.iter().find_map(|(place, data)| match data {
            Data::Words(words) if *place == at => Some(words.as_slice()),
            _ => None,
        })
    }
}

/// read, write: descriptor, address, bytes.
pub fn transfer(nr: libc::c_long, fd: Arg, address: Arg, len: i64) -> Op {
    Op::new(nr, &[fd, address, num(len)])
}

/// pread64, pwrite64: with an offset.
pub fn transfer_at(nr: libc::c_long, fd: Arg, address: Arg, len: i64, offset: i64) -> Op {
    Op::new(nr, &[fd, address, num(len), num(offset)])
}

/// readv, writev, preadv, pwritev: the vector's segments are addresses and lengths.
pub fn vector(nr: libc::c_long, fd: Arg, segments: &[(Arg, i64)], offset: i64) -> Op {
    let words = segments
        .iter()
        .flat_map(|(address, len)| [*address, num(*len)])
        .collect();
    Op::new(
        nr,
        &[fd, Arg::In(VECTOR), num(segments.len() as i64), num(offset)],
    )
    .with(VECTOR, Data::Words(words))
}

/// openat.
pub fn openat(dir: Arg, path: impl Into<PathArg>, flags: i32, mode: u32) -> Op {
    let mut op = Op::new(
        libc::SYS_openat,
        &[
            dir,
            NULL,
            Arg::Num(u64::from(flags as u32)),
            Arg::Num(u64::from(mode)),
        ],
    )
    .path(1, path);
    op.returns = Returns::Descriptor(None);
    op
}

/// openat2 with a structure of three words.
pub fn openat2(dir: Arg, path: impl Into<PathArg>, flags: u64, mode: u64, resolve: u64) -> Op {
    openat2_sized(dir, path, &[flags, mode, resolve], 24)
}

/// openat2 with any words and any size.
pub fn openat2_sized(dir: Arg, path: impl Into<PathArg>, how: &[u64], size: i64) -> Op {
    let words = how.iter().map(|word| Arg::Num(*word)).collect();
    let mut op = Op::new(libc::SYS_openat2, &[dir, NULL, Arg::In(STRUCT), num(size)])
        .path(1, path)
        .with(STRUCT, Data::Words(words));
    op.returns = Returns::Descriptor(None);
    op
}

/// Calls of a directory, a path, and plain numbers after them.
pub fn at(nr: libc::c_long, dir: Arg, path: impl Into<PathArg>, rest: &[Arg]) -> Op {
    let mut args = vec![dir, NULL];
    args.extend_from_slice(rest);
    Op::new(nr, &args).path(1, path)
}

/// newfstatat into the output region.
pub fn newfstatat(dir: Arg, path: impl Into<PathArg>, flags: i32) -> Op {
    let mut op = at(
        libc::SYS_newfstatat,
        dir,
        path,
        &[Arg::Out(0), Arg::Num(u64::from(flags as u32))],
    );
    op.output = Output::Stat;
    op
}

/// fstat into the output region.
pub fn fstat(fd: Arg) -> Op {
    let mut op = Op::new(libc::SYS_fstat, &[fd, Arg::Out(0)]);
    op.output = Output::Stat;
    op
}

/// statx into the output region.
pub fn statx(dir: Arg, path: impl Into<PathArg>, flags: i32, mask: u32) -> Op {
    let mut op = at(
        libc::SYS_statx,
        dir,
        path,
        &[
            Arg::Num(u64::from(flags as u32)),
            Arg::Num(u64::from(mask)),
            Arg::Out(0),
        ],
    );
    op.output = Output::Statx;
    op
}

/// getdents64 into the output region.
pub fn getdents(fd: Arg, len: i64) -> Op {
    let mut op = Op::new(libc::SYS_getdents64, &[fd, Arg::Out(0), num(len)]);
    op.output = Output::Dents;
    op
}

/// readlinkat into the output region.
pub fn readlinkat(dir: Arg, path: impl Into<PathArg>, len: i64) -> Op {
    let mut op = at(libc::SYS_readlinkat, dir, path, &[Arg::Out(0), num(len)]);
    op.output = Output::Link;
    op
}

/// symlinkat of `target` at `path`.
pub fn symlinkat(target: impl Into<PathArg>, dir: Arg, path: impl Into<PathArg>) -> Op {
    Op::new(libc::SYS_symlinkat, &[NULL, dir, NULL])
        .path(0, target)
        .path(2, path)
}

/// linkat and renameat2: two directories, two paths, flags.
pub fn two_paths(nr: libc::c_long, from: (Arg, PathArg), to: (Arg, PathArg), flags: u32) -> Op {
    Op::new(nr, &[from.0, NULL, to.0, NULL, Arg::Num(u64::from(flags))])
        .path(1, from.1)
        .path(3, to.1)
}

/// utimensat with two times, seconds and nanoseconds each.
pub fn utimensat(dir: Arg, path: impl Into<PathArg>, times: [(i64, i64); 2], flags: i32) -> Op {
    let words = times
        .iter()
        .flat_map(|(seconds, nanoseconds)| [num(*seconds), num(*nanoseconds)])
        .collect();
    Op::new(
        libc::SYS_utimensat,
        &[
            dir,
            NULL,
            Arg::In(STRUCT),
            Arg::Num(u64::from(flags as u32)),
        ],
    )
    .path(1, path)
    .with(STRUCT, Data::Words(words))
}

/// copy_file_range; an offset of `None` is the null pointer.
pub fn copy_file_range(
    from: (Arg, Option<i64>),
    to: (Arg, Option<i64>),
    len: i64,
    flags: u64,
) -> Op {
    // The offsets are read and written: they live in the output region, whose pattern the inputs overwrite.
    let place = |offset: Option<i64>, at: usize| match offset {
        Some(_) => Arg::Out(at),
        None => NULL,
    };
    let mut op = Op::new(
        libc::SYS_copy_file_range,
        &[
            from.0,
            place(from.1, 0),
            to.0,
            place(to.1, 8),
            num(len),
            Arg::Num(flags),
        ],
    );
    for (offset, at) in [(from.1, 0), (to.1, 8)] {
        if let Some(offset) = offset {
            op.inputs
                .push((IN_SIZE + at, Data::Bytes(offset.to_le_bytes().to_vec())));
        }
    }
    op
}

const _: () = assert!(OUT_SIZE >= 16);
