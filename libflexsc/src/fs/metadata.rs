// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a file's attributes are.

use std::{
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use crate::{FileType, Statx, Timespec};

/// What [`Metadata`] has.
pub(super) const MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

/// A file's attributes, as `std::fs::Metadata`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, fs, task::block_on};
/// let handle = Handle::auto()?;
/// let file = block_on(&handle, fs::metadata(&handle, "/proc/self/exe"))?;
/// assert!(file.is_file() && file.len() > 0);
/// println!("changed {:?}, {} names", file.modified(), file.statx().nlink());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Metadata(Statx);

impl Metadata {
    pub(super) fn new(statx: Statx) -> Self {
        Self(statx)
    }

    /// All that `statx(2)` has told.
    pub fn statx(&self) -> &Statx {
        &self.0
    }

    /// The type of the file.
    pub fn file_type(&self) -> FileType {
        self.0.file_type()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type() == FileType::Regular
    }

    /// Whether it is a symbolic link; only from [`symlink_metadata`](super::symlink_metadata).
    pub fn is_symlink(&self) -> bool {
        self.file_type() == FileType::Symlink
    }

    /// Its size, bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.0.size()
    }

    /// Its permissions.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.0.mode())
    }

    /// When its content was last changed.
    pub fn modified(&self) -> SystemTime {
        time(self.0.mtime())
    }

    /// When its content was last read, as far as the file system keeps that.
    pub fn accessed(&self) -> SystemTime {
        time(self.0.atime())
    }

    /// When it was made.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the file system does not keep it.
    pub fn created(&self) -> io::Result<SystemTime> {
        if self.0.mask() & libc::STATX_BTIME == 0 {
            let what = "the file system does not keep when files were made";
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        }
        Ok(time(self.0.btime()))
    }
}

fn time(time: Timespec) -> SystemTime {
    let nanos = Duration::from_nanos(time.nsec.unsigned_abs());
    let seconds = Duration::from_secs(time.sec.unsigned_abs());
    let whole = if time.sec < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|whole| whole.checked_add(nanos))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_their_nanoseconds_forward() {
        let half = Duration::from_millis(500);
        let early = time(Timespec::new(-1, 500_000_000));
        assert_eq!(
            SystemTime::UNIX_EPOCH.duration_since(early).ok(),
            Some(half)
        );
        let late = time(Timespec::new(1, 500_000_000));
        let since = late.duration_since(SystemTime::UNIX_EPOCH).ok();
        assert_eq!(since, Some(Duration::from_millis(1500)));
    }
}
