// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files as operations take them: shared and owned, never borrowed.

#![allow(unsafe_code)]

use core::fmt;
use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    sync::{Arc, OnceLock},
};

use crate::{Errno, Result, sys};

/// An open file that is closed when its last user is done with it.
///
/// An operation keeps a clone until it is complete, so that the number cannot come to mean another
/// file while a call that names it is posted. A borrowed file could not promise that:
///
/// ```compile_fail
/// use libflexsc::op::Read;
/// let file = std::fs::File::open("/etc/hostname").unwrap();
/// let read = Read::new(&file, vec![0; 16]);
/// ```
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Read};
/// let file = SharedFd::from(std::fs::File::open("/proc/self/comm")?);
/// let context = Context::direct();
/// let (count, text) = context.run(Read::new(file.clone(), vec![0; 64]));
/// assert!(count? > 0 && text.contains(&b'\n'));
/// assert!(file.is_unique());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedFd(Arc<Shared>);

struct Shared {
    fd: OwnedFd,
    /// Whether it has positions, once somebody has asked: that never changes.
    seeks: OnceLock<bool>,
}

impl SharedFd {
    /// Shares an owned file.
    pub fn new(fd: impl Into<OwnedFd>) -> Self {
        Self(Arc::new(Shared {
            fd: fd.into(),
            seeks: OnceLock::new(),
        }))
    }

    /// Whether nobody else, no posted operation either, holds the file.
    pub fn is_unique(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Whether both are shares of one file.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The file itself, or the share again while there are others.
    ///
    /// # Errors
    ///
    /// The share, unchanged, when it is not the only one.
    pub fn try_unwrap(self) -> core::result::Result<OwnedFd, Self> {
        Arc::try_unwrap(self.0)
            .map(|shared| shared.fd)
            .map_err(Self)
    }

    /// Whether it is a file in which one can seek, of bytes on a disk or in memory.
    pub(crate) fn is_seekable(&self) -> bool {
        *self
            .0
            .seeks
            .get_or_init(|| is_seekable(self.0.fd.as_raw_fd()))
    }

    /// The number as a system call takes it.
    pub(crate) fn arg(&self) -> u64 {
        fd_arg(self.0.fd.as_raw_fd())
    }
}

impl fmt::Debug for SharedFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedFd")
            .field(&self.0.fd.as_raw_fd())
            .finish()
    }
}

impl AsFd for SharedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl AsRawFd for SharedFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd.as_raw_fd()
    }
}

impl From<OwnedFd> for SharedFd {
    fn from(fd: OwnedFd) -> Self {
        Self::new(fd)
    }
}

impl From<File> for SharedFd {
    fn from(file: File) -> Self {
        Self::new(file)
    }
}

impl TryFrom<SharedFd> for File {
    type Error = io::Error;

    fn try_from(fd: SharedFd) -> io::Result<Self> {
        match fd.try_unwrap() {
            Ok(fd) => Ok(fd.into()),
            // The others keep the file; a second description of it would share its position too.
            Err(shared) => shared.as_fd().try_clone_to_owned().map(Into::into),
        }
    }
}

/// The file that an operation works on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum On {
    /// This one.
    Fd(SharedFd),
    /// That of the operation's [chain](crate::op::Chain): the one that the last
    /// [`ForChain`](crate::op::ForChain) before it has opened. Without such a file the result is
    /// `EBADF`.
    Chain,
}

impl On {
    /// The number as a system call takes it.
    pub(crate) fn arg(&self) -> u64 {
        match self {
            Self::Fd(fd) => fd.arg(),
            Self::Chain => fd_arg(-1),
        }
    }

    /// The file, if it is known before its turn.
    pub(crate) fn shared(&self) -> Option<&SharedFd> {
        match self {
            Self::Fd(fd) => Some(fd),
            Self::Chain => None,
        }
    }
}

impl From<SharedFd> for On {
    fn from(fd: SharedFd) -> Self {
        Self::Fd(fd)
    }
}

impl From<&SharedFd> for On {
    fn from(fd: &SharedFd) -> Self {
        Self::Fd(fd.clone())
    }
}

/// What a relative path starts from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum At {
    /// The current directory, `AT_FDCWD`.
    Cwd,
    /// This directory.
    Fd(SharedFd),
}

impl At {
    /// The number as a system call takes it.
    pub(crate) fn arg(&self) -> u64 {
        match self {
            Self::Cwd => fd_arg(libc::AT_FDCWD),
            Self::Fd(fd) => fd.arg(),
        }
    }
}

impl From<SharedFd> for At {
    fn from(fd: SharedFd) -> Self {
        Self::Fd(fd)
    }
}

impl From<&SharedFd> for At {
    fn from(fd: &SharedFd) -> Self {
        Self::Fd(fd.clone())
    }
}

/// File numbers are `int`: sign extended to a register.
fn fd_arg(fd: RawFd) -> u64 {
    i64::from(fd) as u64
}

/// Whether the number is that of a regular file or a block device in which one can seek.
pub(crate) fn is_seekable(fd: RawFd) -> bool {
    let mut stat: libc::stat = sys::zeroed();
    // SAFETY: The structure is valid for writes.
    if unsafe { libc::fstat(fd, &mut stat) } != 0 {
        return false;
    }
    [libc::S_IFREG, libc::S_IFBLK].contains(&(stat.st_mode & libc::S_IFMT))
        // SAFETY: The call takes no pointer, and leaves the position where it is.
        && unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) } >= 0
}

/// Takes the file that a call has just opened.
///
/// # Safety
///
/// A non-negative `ret` must be the number of an open file that nobody owns yet.
pub(crate) unsafe fn from_return(ret: i64) -> Result<SharedFd> {
    let fd = Errno::result(ret)?;
    // SAFETY: The caller promises that the file is open and unowned.
    Ok(SharedFd::new(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
}

/// Gives up a file that a call has just closed.
pub(crate) fn forget(fd: OwnedFd) {
    let _ = fd.into_raw_fd();
}
