// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file's attributes: `fstat(2)`, `fstatat(2)`, `statx(2)`.

use core::fmt;
use std::ffi::CString;

use super::{Access, Call, Operation, Sealed, file_call, int, system, text};
use crate::{At, Errno, On, Result, sys};

/// An open file's attributes: `fstat(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Fstat};
/// let context = Context::auto()?;
/// let exe = SharedFd::from(std::fs::File::open("/proc/self/exe")?);
/// assert!(context.run(Fstat::new(exe))?.st_size > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fstat {
    fd: On,
    stat: Box<libc::stat>,
}

impl Fstat {
    /// Of this file.
    pub fn new(fd: impl Into<On>) -> Self {
        Self {
            fd: fd.into(),
            stat: Box::new(sys::zeroed()),
        }
    }
}

impl Sealed for Fstat {}

impl Operation for Fstat {
    type Output = Result<Box<libc::stat>>;

    fn call(&mut self, _: Access) -> Call {
        file_call(libc::SYS_fstat, &self.fd, [&raw mut *self.stat as u64])
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::unit(ret).map(|()| self.stat)
    }
}

/// The attributes of the file at a path: `newfstatat`, see `fstatat(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Context, op::Newfstatat};
/// let context = Context::auto()?;
/// let link = Newfstatat::new(At::Cwd, c"/proc/self".into(), libc::AT_SYMLINK_NOFOLLOW);
/// assert_eq!(context.run(link)?.st_mode & libc::S_IFMT, libc::S_IFLNK);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Newfstatat {
    dir: At,
    path: CString,
    flags: i32,
    stat: Box<libc::stat>,
}

impl Newfstatat {
    /// `flags` are `libc::AT_SYMLINK_NOFOLLOW`, `AT_EMPTY_PATH` and `AT_NO_AUTOMOUNT`.
    pub fn new(dir: impl Into<At>, path: CString, flags: i32) -> Self {
        Self {
            dir: dir.into(),
            path,
            flags,
            stat: Box::new(sys::zeroed()),
        }
    }
}

impl Sealed for Newfstatat {}

impl Operation for Newfstatat {
    type Output = Result<Box<libc::stat>>;

    fn call(&mut self, _: Access) -> Call {
        let stat = &raw mut *self.stat as u64;
        system(
            libc::SYS_newfstatat,
            [self.dir.arg(), text(&self.path), stat, int(self.flags)],
        )
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::unit(ret).map(|()| self.stat)
    }
}

/// The attributes of a file, those asked for: `statx(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Context, FileType, op::Statx};
/// let attributes =
///     Context::direct().run(Statx::new(At::Cwd, c"/proc".into(), 0, libc::STATX_BASIC_STATS))?;
/// assert_eq!(attributes.file_type(), FileType::Directory);
/// # Ok::<(), libflexsc::Errno>(())
/// ```
pub struct Statx {
    dir: At,
    path: CString,
    flags: i32,
    mask: u32,
    statx: libc::statx,
}

impl Statx {
    /// `flags` are `libc::AT_*`, with `AT_EMPTY_PATH` and an empty path for `dir` itself; `mask`
    /// is `libc::STATX_*`.
    #[inline]
    pub fn new(dir: impl Into<At>, path: CString, flags: i32, mask: u32) -> Self {
        Self {
            dir: dir.into(),
            path,
            flags,
            mask,
            statx: sys::zeroed(),
        }
    }
}

impl fmt::Debug for Statx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statx")
            .field("dir", &self.dir)
            .field("path", &self.path)
            .field("flags", &self.flags)
            .field("mask", &self.mask)
            .finish_non_exhaustive()
    }
}

impl Sealed for Statx {}

impl Operation for Statx {
    type Output = Result<crate::Statx>;

    #[inline]
    fn call(&mut self, _: Access) -> Call {
        let statx = &raw mut self.statx as u64;
        let args = [
            self.dir.arg(),
            text(&self.path),
            int(self.flags),
            self.mask.into(),
            statx,
        ];
        system(libc::SYS_statx, args)
    }

    #[inline]
    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::unit(ret).map(|()| crate::Statx::from(self.statx))
    }
}
