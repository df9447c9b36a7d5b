// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the calls on a file end by themselves.
//!
//! While a call is posted no signal is handled, so it has to end without one: only regular files and
//! directories of local file systems qualify. A read of a pipe waits for who writes, one of NFS or
//! FUSE for a server.
//!
//! What a descriptor names is asked for before each call. Numbers change hands by calls that nobody
//! sees here, so nothing that was known about one can be relied on. What is kept is of what file
//! system a mount is, by the number of the mount, which is never used again.

use core::{
    ffi::{c_char, c_int},
    mem::MaybeUninit,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use libflexsc::sys;

/// The flag of statx(2) for mount numbers that are never used again, since Linux 6.8.
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;

/// The call that tells of a mount, since Linux 6.8.
const SYS_STATMOUNT: u16 = 457;
const STATMOUNT_SB_BASIC: u64 = 1;

/// File systems on which nothing waits for anybody but a disk, by their magic numbers.
const LOCAL: [u64; 12] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683E, // btrfs
    0xF2F5_2010, // f2fs
    0xCA45_1A4E, // bcachefs
    0x0102_1994, // tmpfs
    0x8584_58F6, // ramfs
    0x794C_7630, // overlayfs
    0x7371_7368, // squashfs
    0xE0F5_E1E2, // erofs
    0x4D44,      // vfat
    0x2011_BAB0, // exfat
];

/// A `struct mnt_id_req`, in its first version.
#[repr(C)]
struct MountRequest {
    size: u32,
    spare: u32,
    mount: u64,
    param: u64,
}

/// A `struct statmount`.
#[repr(C)]
struct Mount {
    size: u32,
    options: u32,
    mask: u64,
    major: u32,
    minor: u32,
    magic: u64,
    rest: [u64; 60],
}

/// Whether the file is a regular one or a directory, and local.
pub fn of_file(fd: c_int) -> bool {
    look(fd, c"".as_ptr(), libc::AT_EMPTY_PATH).is_some_and(|file| is_calm(&file))
}

/// The same of what a name is opened as. `false` if there is nothing of this name.
pub fn of_opened(directory: c_int, path: *const c_char, flags: c_int) -> bool {
    let stays = flags & libc::O_NOFOLLOW != 0
        || flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL;
    let follow = if stays { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
    look(directory, path, follow).is_some_and(|file| is_calm(&file))
}

/// Whether what a name stands for, of whatever kind, is on a local file system: enough for a look at
/// its attributes.
pub fn of_name(directory: c_int, path: *const c_char, flags: c_int) -> bool {
    let known = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT;
    flags & !known == 0
        && look(directory, path, flags | libc::AT_NO_AUTOMOUNT)
            .is_some_and(|file| is_local(file.stx_mnt_id))
}

fn is_calm(file: &libc::statx) -> bool {
    let kind = libc::mode_t::from(file.stx_mode) & libc::S_IFMT;
    (kind == libc::S_IFREG || kind == libc::S_IFDIR) && is_local(file.stx_mnt_id)
}

/// What the kernel knows of a file without asking anybody.
fn look(directory: c_int, path: *const c_char, flags: c_int) -> Option<libc::statx> {
    const WANTED: u32 = libc::STATX_TYPE | STATX_MNT_ID_UNIQUE;
    let mut file = MaybeUninit::<libc::statx>::zeroed();
    let args = [
        directory as u64,
        path as u64,
        (flags | libc::AT_STATX_DONT_SYNC) as u64,
        WANTED.into(),
        file.as_mut_ptr() as u64,
        0,
    ];
    // SAFETY: The structure is valid for writes; of the path, which is the program's, nobody but the
    // kernel reads, which looks whether it may.
    let ret = unsafe { sys::syscall(libc::SYS_statx as u16, &args) };
    // SAFETY: All of it is integers, and was zeroed.
    let file = unsafe { file.assume_init() };
    (ret == 0 && file.stx_mask & WANTED == WANTED).then_some(file)
}

/// Mounts whose file system is known: twice the number, and one more if it is local. No number is 0.
static KNOWN: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
static NEXT: AtomicUsize = AtomicUsize::new(0);

fn is_local(mount: u64) -> bool {
    for known in &KNOWN {
        let known = known.load(Ordering::Relaxed);
        if known >> 1 == mount && known != 0 {
            return known & 1 != 0;
        }
    }
    let Some(magic) = magic(mount) else {
        return false;
    };
    let local = LOCAL.contains(&magic);
    let place = NEXT.fetch_add(1, Ordering::Relaxed) % KNOWN.len();
    KNOWN[place].store(mount << 1 | u64::from(local), Ordering::Relaxed);
    local
}

/// Of which file system a mount is. `None` where it cannot be seen, as from inside a chroot.
// Apart, so that its structure is not on the stack of each call.
#[inline(never)]
fn magic(mount: u64) -> Option<u64> {
    let request = MountRequest {
        size: size_of::<MountRequest>() as u32,
        spare: 0,
        mount,
        param: STATMOUNT_SB_BASIC,
    };
    let mut answer = MaybeUninit::<Mount>::zeroed();
    let args = [
        &raw const request as u64,
        answer.as_mut_ptr() as u64,
        size_of::<Mount>() as u64,
        0,
        0,
        0,
    ];
    // SAFETY: Both structures are valid for the call.
    let ret = unsafe { sys::syscall(SYS_STATMOUNT, &args) };
    // SAFETY: All of it is integers, and was zeroed.
    let answer = unsafe { answer.assume_init() };
    (ret == 0 && answer.mask & STATMOUNT_SB_BASIC != 0).then_some(answer.magic)
}

const _: () = assert!(core::mem::offset_of!(Mount, magic) == 24 && size_of::<Mount>() == 512);
