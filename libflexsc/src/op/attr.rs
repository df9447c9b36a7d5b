// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changing a file's mode, owner and times.

use std::ffi::CString;

use super::{int, text, unit_operation};
use crate::{At, On, SharedFd};

/// Changes an open file's mode: `fchmod(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Fchmod, Fstat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fchmod", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// context.run(Fchmod::new(&file, 0o600))?;
/// assert_eq!(context.run(Fstat::new(&file))?.st_mode & 0o777, 0o600);
/// # Ok::<(), std::io::Error>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Fchmodat, Newfstatat, Openat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fchmodat", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// let dir = SharedFd::from(std::fs::File::open(&path)?);
/// let context = Context::auto()?;
/// context.run(Openat::new(&dir, c"old".into(), libc::O_CREAT | libc::O_WRONLY, 0o644))?;
///
/// context.run(Fchmodat::new(&dir, c"old".into(), 0o400))?;
/// let file = context.run(Newfstatat::new(&dir, c"old".into(), 0))?;
/// assert_eq!(file.st_mode & 0o777, 0o400);
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Fchown, Fstat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fchown", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// let own = context.run(Fstat::new(&file))?.st_gid;
/// context.run(Fchown::new(&file, None, Some(own)))?; // The owner stays.
/// # Ok::<(), std::io::Error>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Fchownat, Symlinkat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fchownat", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// let dir = SharedFd::from(std::fs::File::open(&path)?);
/// let context = Context::auto()?;
/// context.run(Symlinkat::new(c"nowhere".into(), &dir, c"link".into()))?;
/// let flags = libc::AT_SYMLINK_NOFOLLOW; // of the link itself
/// // SAFETY: The call only tells a number.
/// let own = unsafe { libc::getgid() };
/// context.run(Fchownat::new(&dir, c"link".into(), None, Some(own), flags))?;
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Fstat, Timespec, Utimensat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-timespec", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// let times = [Timespec::OMIT, Timespec::new(1_000_000_000, 5)];
/// context.run(Utimensat::of(file.clone(), times))?;
/// assert_eq!(context.run(Fstat::new(&file))?.st_mtime_nsec, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Newfstatat, Openat, Timespec, Utimensat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-utimensat", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// let dir = SharedFd::from(std::fs::File::open(&path)?);
/// let context = Context::auto()?;
/// context.run(Openat::new(&dir, c"old".into(), libc::O_CREAT | libc::O_WRONLY, 0o644))?;
///
/// let times = [Timespec::NOW, Timespec::new(1_000_000_000, 0)];
/// context.run(Utimensat::new(&dir, c"old".into(), times, 0))?;
/// let file = context.run(Newfstatat::new(&dir, c"old".into(), 0))?;
/// assert_eq!(file.st_mtime, 1_000_000_000);
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
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
