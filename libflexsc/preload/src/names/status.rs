// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes.

use core::ffi::{c_char, c_int, c_uint};

use libc::{stat as Status, statx as Statx};

use crate::{
    kind,
    post::{Call, post},
    real::interpose,
};

fn of_file(fd: c_int, status: *mut Status) -> Option<i64> {
    let args = [fd as u64, status as u64, 0, 0, 0, 0];
    post(Call::Fstat, args, || kind::of_file(fd))
}

fn of_name(
    directory: c_int,
    path: *const c_char,
    status: *mut Status,
    flags: c_int,
) -> Option<i64> {
    let args = [
        directory as u64,
        path as u64,
        status as u64,
        flags as u64,
        0,
        0,
    ];
    post(Call::Newfstatat, args, || {
        kind::of_name(directory, path, flags)
    })
}

fn here(path: *const c_char, status: *mut Status) -> Option<i64> {
    of_name(libc::AT_FDCWD, path, status, 0)
}

fn link_here(path: *const c_char, status: *mut Status) -> Option<i64> {
    of_name(libc::AT_FDCWD, path, status, libc::AT_SYMLINK_NOFOLLOW)
}

/// What programs ask for that were compiled with a C library before 2.33: versions 0 and 1 of the
/// structure are the kernel's.
fn is_kernels(version: c_int) -> bool {
    version == 0 || version == 1
}

interpose! {
    fstat(fd: c_int, status: *mut Status) -> c_int { of_file(fd, status) }
    fstat64(fd: c_int, status: *mut Status) -> c_int { of_file(fd, status) }
    stat(path: *const c_char, status: *mut Status) -> c_int { here(path, status) }
    stat64(path: *const c_char, status: *mut Status) -> c_int { here(path, status) }
    lstat(path: *const c_char, status: *mut Status) -> c_int { link_here(path, status) }
    lstat64(path: *const c_char, status: *mut Status) -> c_int { link_here(path, status) }
    fstatat(directory: c_int, path: *const c_char, status: *mut Status, flags: c_int) -> c_int {
        of_name(directory, path, status, flags)
    }
    fstatat64(directory: c_int, path: *const c_char, status: *mut Status, flags: c_int) -> c_int {
        of_name(directory, path, status, flags)
    }
    __fxstat(version: c_int, fd: c_int, status: *mut Status) -> c_int {
        is_kernels(version).then(|| of_file(fd, status))?
    }
    __fxstat64(version: c_int, fd: c_int, status: *mut Status) -> c_int {
        is_kernels(version).then(|| of_file(fd, status))?
    }
    __xstat(version: c_int, path: *const c_char, status: *mut Status) -> c_int {
        is_kernels(version).then(|| here(path, status))?
    }
    __xstat64(version: c_int, path: *const c_char, status: *mut Status) -> c_int {
        is_kernels(version).then(|| here(path, status))?
    }
    __lxstat(version: c_int, path: *const c_char, status: *mut Status) -> c_int {
        is_kernels(version).then(|| link_here(path, status))?
    }
    __lxstat64(version: c_int, path: *const c_char, status: *mut Status) -> c_int {
        is_kernels(version).then(|| link_here(path, status))?
    }
    __fxstatat(version: c_int, directory: c_int, path: *const c_char, status: *mut Status, flags: c_int) -> c_int {
        is_kernels(version).then(|| of_name(directory, path, status, flags))?
    }
    __fxstatat64(version: c_int, directory: c_int, path: *const c_char, status: *mut Status, flags: c_int) -> c_int {
        is_kernels(version).then(|| of_name(directory, path, status, flags))?
    }
    statx(directory: c_int, path: *const c_char, flags: c_int, mask: c_uint, status: *mut Statx) -> c_int {
        let args = [directory as u64, path as u64, flags as u64, mask.into(), status as u64, 0];
        let others = flags & !(libc::AT_STATX_FORCE_SYNC | libc::AT_STATX_DONT_SYNC);
        post(Call::Statx, args, || kind::of_name(directory, path, others))
    }
}
