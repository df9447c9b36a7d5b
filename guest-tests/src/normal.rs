// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takes out of a result what must differ between two identical trees.

use std::mem::{MaybeUninit, offset_of, size_of};

use crate::op::{Arg, Op, Output};
use crate::received;
use crate::snapshot::Stamp;

/// `ENOENT` for 2 and so on; the number for the rare ones.
pub fn errno_name(errno: i32) -> String {
    let name = match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::ENXIO => "ENXIO",
        libc::E2BIG => "E2BIG",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::EXDEV => "EXDEV",
        libc::ENODEV => "ENODEV",
        libc::ENOTDIR => "ENOTDIR",
        libc::EISDIR => "EISDIR",
        libc::EINVAL => "EINVAL",
        libc::ENFILE => "ENFILE",
        libc::EMFILE => "EMFILE",
        libc::ENOTTY => "ENOTTY",
        libc::ETXTBSY => "ETXTBSY",
        libc::EFBIG => "EFBIG",
        libc::ENOSPC => "ENOSPC",
        libc::ESPIPE => "ESPIPE",
        libc::EROFS => "EROFS",
        libc::EMLINK => "EMLINK",
        libc::EPIPE => "EPIPE",
        libc::ERANGE => "ERANGE",
        libc::ENAMETOOLONG => "ENAMETOOLONG",
        libc::ENOSYS => "ENOSYS",
        libc::ENOTEMPTY => "ENOTEMPTY",
        libc::ELOOP => "ELOOP",
        libc::EOVERFLOW => "EOVERFLOW",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ESRCH => "ESRCH",
        libc::EBADFD => "EBADFD",
        libc::ETIME => "ETIME",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::ESOCKTNOSUPPORT => "ESOCKTNOSUPPORT",
        libc::ENOTSOCK => "ENOTSOCK",
        libc::EADDRINUSE => "EADDRINUSE",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::ENOTCONN => "ENOTCONN",
        libc::EISCONN => "EISCONN",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::EINPROGRESS => "EINPROGRESS",
        libc::EALREADY => "EALREADY",
        libc::EMSGSIZE => "EMSGSIZE",
        libc::EDESTADDRREQ => "EDESTADDRREQ",
        libc::ENOPROTOOPT => "ENOPROTOOPT",
        libc::EPROTOTYPE => "EPROTOTYPE",
        libc::ENOBUFS => "ENOBUFS",
        libc::ENODATA => "ENODATA",
        _ => return format!("errno {errno}"),
    };
    name.to_string()
}

/// What tells one world from another.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Path of its root directory, as long in every world.
    pub root: Vec<u8>,
    /// Device numbers of its own mounts.
    pub devices: Vec<u64>,
}

/// The output region after `op`, normalised where the call wrote something that must differ.
pub fn output(op: &Op, ret: i64, bytes: &[u8], identity: &Identity) -> Vec<u8> {
    let received = received::places(op, ret, bytes);
    let mut bytes = bytes.to_vec();
    match op.output {
        Output::Raw => {}
        // What a call that failed half-way left there is told by its result alone.
        _ if ret < 0 => bytes.clear(),
        Output::Stat => normalise_stat(&mut bytes, identity),
        Output::Statx => normalise_statx(&mut bytes, identity, op.number(3).unwrap_or(0)),
        Output::Dents => {
            let start = match op.args[1] {
                Arg::Out(at) => at,
                _ => 0,
            };
            // Behind the entries lies what is left of one that did not fit; the last one's padding, which nobody
            // writes, may lie beyond the region.
            let end = (start + ret as usize).min(bytes.len());
            bytes = bytes[start..end].to_vec();
            normalise_dents(&mut bytes);
        }
        Output::Link => normalise_link(&mut bytes[..ret as usize], identity),
        Output::Statfs => normalise_statfs(&mut bytes),
        Output::Random => bytes[..ret as usize].fill(0),
        Output::Pair => {}
        // Name, vector and control messages are elsewhere in each world.
        Output::Message => {
            for at in [0, 16, 32] {
                blank(&mut bytes, crate::op::HEADER + at, 8);
            }
        }
    }
    for at in received {
        bytes[at..at + 4].fill(0);
    }
    bytes
}

fn normalise_link(target: &mut [u8], identity: &Identity) {
    // A short buffer may hold but the start of the path.
    let same = target
        .iter()
        .zip(&identity.root)
        .take_while(|(a, b)| a == b)
        .count();
    target[..same].fill(b'@');
}

fn normalise_statfs(bytes: &mut [u8]) {
    blank(bytes, offset_of!(libc::statfs, f_bfree), 8);
    blank(bytes, offset_of!(libc::statfs, f_bavail), 8);
    blank(bytes, offset_of!(libc::statfs, f_files), 8);
    blank(bytes, offset_of!(libc::statfs, f_ffree), 8);
    blank(bytes, offset_of!(libc::statfs, f_fsid), 8);
}

/// The place of a device number among the world's own mounts.
fn own_device(device: u64, identity: &Identity) -> Option<usize> {
    identity.devices.iter().position(|own| *own == device)
}

fn read<T: Copy>(bytes: &[u8], at: usize) -> T {
    assert!(at + size_of::<T>() <= bytes.len());
    // SAFETY: the range was checked; T is a plain structure of integers.
    unsafe { bytes.as_ptr().add(at).cast::<T>().read_unaligned() }
}

fn blank(bytes: &mut [u8], at: usize, len: usize) {
    bytes[at..at + len].fill(0);
}

/// A time that is "now" becomes all ones; one that was set stays.
fn normalise_time(bytes: &mut [u8], at: usize, len: usize) {
    let seconds: i64 = read(bytes, at);
    if Stamp::of(seconds, 0) == Stamp::Now {
        bytes[at..at + len].fill(0xff);
    }
}

fn normalise_stat(bytes: &mut [u8], identity: &Identity) {
    let stat: libc::stat = read::<MaybeUninit<libc::stat>>(bytes, 0).into_stat();
    if let Some(which) = own_device(stat.st_dev, identity) {
        bytes[offset_of!(libc::stat, st_dev)..][..8].fill(0xe0 | which as u8);
    }
    blank(bytes, offset_of!(libc::stat, st_ino), 8);
    blank(bytes, offset_of!(libc::stat, st_blocks), 8);
    if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
        blank(bytes, offset_of!(libc::stat, st_size), 8);
        blank(bytes, offset_of!(libc::stat, st_nlink), 8);
    }
    for at in [
        offset_of!(libc::stat, st_atime),
        offset_of!(libc::stat, st_mtime),
        offset_of!(libc::stat, st_ctime),
    ] {
        // Nobody sets the times of a socket's inode: they are what its memory held.
        if stat.st_mode & libc::S_IFMT == libc::S_IFSOCK {
            blank(bytes, at, 16);
        } else {
            normalise_time(bytes, at, 16);
        }
    }
}

trait IntoStat {
    fn into_stat(self) -> libc::stat;
}

impl IntoStat for MaybeUninit<libc::stat> {
    fn into_stat(self) -> libc::stat {
        // SAFETY: every byte was copied from initialised memory, and the structure holds integers only.
        unsafe { self.assume_init() }
    }
}

fn normalise_statx(bytes: &mut [u8], identity: &Identity, asked: u64) {
    const MOUNT_IDS: u32 = 0x1000 | 0x4000;
    let major = offset_of!(libc::statx, stx_dev_major);
    let device = libc::makedev(read(bytes, major), read(bytes, major + 4));
    if let Some(which) = own_device(device, identity) {
        bytes[major..][..8].fill(0xe0 | which as u8);
    }
    if asked as u32 & MOUNT_IDS == 0 {
        // A mount id that nobody asked for may be given or not.
        let mask: u32 = read(bytes, 0);
        bytes[..4].copy_from_slice(&(mask & !MOUNT_IDS).to_le_bytes());
        blank(bytes, offset_of!(libc::statx, stx_mnt_id), 8);
    }
    let mode: u16 = read(bytes, offset_of!(libc::statx, stx_mode));
    blank(bytes, offset_of!(libc::statx, stx_ino), 8);
    blank(bytes, offset_of!(libc::statx, stx_blocks), 8);
    if u32::from(mode) & libc::S_IFMT == libc::S_IFDIR {
        blank(bytes, offset_of!(libc::statx, stx_size), 8);
        blank(bytes, offset_of!(libc::statx, stx_nlink), 4);
    }
    for at in [
        offset_of!(libc::statx, stx_atime),
        offset_of!(libc::statx, stx_btime),
        offset_of!(libc::statx, stx_ctime),
        offset_of!(libc::statx, stx_mtime),
    ] {
        if u32::from(mode) & libc::S_IFMT == libc::S_IFSOCK {
            blank(bytes, at, 12);
        } else {
            normalise_time(bytes, at, 12);
        }
    }
}

fn normalise_dents(bytes: &mut [u8]) {
    let mut at = 0;
    while at + 19 <= bytes.len() {
        blank(bytes, at, 8);
        let step: u16 = read(bytes, at + 16);
        if step == 0 {
            break;
        }
        at += usize::from(step);
    }
}
