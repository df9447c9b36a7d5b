// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changing a file's mode, owner and times.

use std::ffi::CString;

use super::{int, text, unit_operation};
use crate::{At, On, SharedFd};

/// Changes an open file's mode: `fchmod(2)`.
#[derive(Debug)]
pub struct Fchmod {
    fd: On,
    mode: u32,
}

impl Fchmod {
    /// To the permission bits `mode`.
    pub fn new(fd: impl Into<On>, mode: u32) -> Self {
        Self {
            fd: fd.into(),
            mode,
        }
    }
}

unit_operation!(Fchmod, SYS_fchmod, |this| &this.fd; [this.mode.into()]);

/// Changes a file's mode: `fchmodat(2)`, the system call, which has no flags and follows links.
#[derive(Debug)]
pub struct Fchmodat {
    dir: At,
    path: CString,
    mode: u32,
}

impl Fchmodat {
    /// To the permission bits `mode`.
    pub fn new(dir: impl Into<At>, path: CString, mode: u32) -> Self {
        Self {
            dir: dir.into(),
            path,
            mode,
        }
    }
}

unit_operation!(Fchmodat, SYS_fchmodat, |this| [
    this.dir.arg(),
    text(&this.path),
    this.mode.into()
]);

/// The user or group that [`Fchown`] and [`Fchownat`] leave as it is.
pub(crate) const SAME_ID: u32 = u32::MAX;

/// Changes an open file's owner and group: `fchown(2)`.
#[derive(Debug)]
pub struct Fchown {
    fd: On,
    uid: u32,
    gid: u32,
}

impl Fchown {
    /// `None` leaves the owner or the group as it is.
    pub fn new(fd: impl Into<On>, uid: Option<u32>, gid: Option<u32>) -> Self {
        Self {
            fd: fd.into(),
            uid: uid.unwrap_or(SAME_ID),
            gid: gid.unwrap_or(SAME_ID),
        }
    }
}

unit_operation!(Fchown, SYS_fchown, |this| &this.fd; [this.uid.into(), this.gid.into()]);

/// Changes a file's owner and group: `fchownat(2)`.
#[derive(Debug)]
pub struct Fchownat {
    dir: At,
    path: CString,
    uid: u32,
    gid: u32,
    flags: i32,
}

impl Fchownat {
    /// `None` leaves the owner or the group as it is; `flags` are `libc::AT_SYMLINK_NOFOLLOW` and
    /// `libc::AT_EMPTY_PATH`.
    pub fn new(
        dir: impl Into<At>,
        path: CString,
        uid: Option<u32>,
        gid: Option<u32>,
        flags: i32,
    ) -> Self {
        let (uid, gid) = (uid.unwrap_or(SAME_ID), gid.unwrap_or(SAME_ID));
        Self {
            dir: dir.into(),
            path,
            uid,
            gid,
            flags,
        }
    }
}

unit_operation!(Fchownat, SYS_fchownat, |this| [
    this.dir.arg(),
    text(&this.path),
    this.uid.into(),
    this.gid.into(),
    int(this.flags)
]);

/// A point in time since 1970, or a wish about one: `struct timespec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, below 1 000 000 000.
    pub nsec: i64,
}

impl Timespec {
    /// The time of the call.
    pub const NOW: Self = Self {
        sec: 0,
        nsec: libc::UTIME_NOW,
    };
    /// The time stays as it is.
    pub const OMIT: Self = Self {
        sec: 0,
        nsec: libc::UTIME_OMIT,
    };

    /// Seconds and nanoseconds.
    pub const fn new(sec: i64, nsec: i64) -> Self {
        Self { sec, nsec }
    }
}

/// Changes a file's times of last access and last modification: `utimensat(2)`.
#[derive(Debug)]
pub struct Utimensat {
    dir: At,
    path: Option<CString>,
    times: [Timespec; 2],
    flags: i32,
}

impl Utimensat {
    /// Of the file at `path`; `times` are those of access and of modification, `flags` are
    /// `libc::AT_SYMLINK_NOFOLLOW` and `libc::AT_EMPTY_PATH`.
    pub fn new(dir: impl Into<At>, path: CString, times: [Timespec; 2], flags: i32) -> Self {
        Self {
            dir: dir.into(),
            path: Some(path),
            times,
            flags,
        }
    }

    /// Of an open file, as `futimens(3)`.
    pub fn of(fd: SharedFd, times: [Timespec; 2]) -> Self {
        Self {
            dir: fd.into(),
            path: None,
            times,
            flags: 0,
        }
    }
}

unit_operation!(Utimensat, SYS_utimensat, |this| [
    this.dir.arg(),
    this.path.as_deref().map_or(0, text),
    this.times.as_ptr() as u64,
    int(this.flags)
]);
