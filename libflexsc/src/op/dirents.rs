// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading a directory: `getdents64(2)`.

use core::{fmt, iter::FusedIterator};

use super::{Access, Call, Operation, Sealed, file_call};
use crate::{Errno, On, Result};

/// Reads the next names of a directory: `getdents64(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Getdents64};
/// let context = Context::direct();
/// let dir = SharedFd::from(std::fs::File::open("/proc/self")?);
/// let mut buf = vec![0; 4096];
/// let mut names = Vec::new();
/// loop {
///     let dirents = context.run(Getdents64::with_buf(dir.clone(), buf))?;
///     if dirents.is_empty() {
///         break;
///     }
///     names.extend(dirents.iter().map(|dirent| dirent.name.to_vec()));
///     buf = dirents.into_buf();
/// }
/// assert!(names.contains(&b"status".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Getdents64 {
    fd: On,
    buf: Vec<u8>,
}

impl Getdents64 {
    /// From the directory's own position, which moves, as many names as fit into `capacity`
    /// bytes; 32 KiB is what readdir(3) takes.
    pub fn new(fd: impl Into<On>, capacity: usize) -> Self {
        Self::with_buf(fd, vec![0; capacity])
    }

    /// As [`Self::new`], with a buffer of the caller's, of which all is used.
    pub fn with_buf(fd: impl Into<On>, buf: Vec<u8>) -> Self {
        Self { fd: fd.into(), buf }
    }
}

impl Sealed for Getdents64 {}

impl Operation for Getdents64 {
    type Output = Result<Dirents>;

    fn call(&mut self, _: Access) -> Call {
        let buf = self.buf.as_mut_ptr() as u64;
        file_call(libc::SYS_getdents64, &self.fd, [buf, self.buf.len() as u64])
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        let len = Errno::count(ret)?.min(self.buf.len());
        Ok(Dirents { buf: self.buf, len })
    }
}

/// The names that one [`Getdents64`] brought.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Getdents64};
/// let dir = SharedFd::from(std::fs::File::open("/proc/self")?);
/// let names = Context::auto()?.run(Getdents64::new(dir, 32 * 1024))?;
/// assert!(names.iter().any(|dirent| dirent.name == b"status" && dirent.d_type == libc::DT_REG));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Dirents {
    buf: Vec<u8>,
    len: usize,
}

impl Dirents {
    /// Whether there are none: the directory is at its end.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The names in the directory's order, `.` and `..` among them.
    pub fn iter(&self) -> DirentsIter<'_> {
        DirentsIter {
            rest: &self.buf[..self.len],
        }
    }

    /// The buffer at its full length, for the next [`Getdents64::with_buf`].
    pub fn into_buf(self) -> Vec<u8> {
        self.buf
    }
}

impl fmt::Debug for Dirents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Dirents {
    type Item = Dirent<'a>;
    type IntoIter = DirentsIter<'a>;

    fn into_iter(self) -> DirentsIter<'a> {
        self.iter()
    }
}

/// One name of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dirent<'a> {
    /// Inode number.
    pub ino: u64,
    /// The directory's position after this name, for [`Lseek`](super::Lseek).
    pub off: i64,
    /// `libc::DT_*`; `DT_UNKNOWN` where the file system does not say.
    pub d_type: u8,
    /// The name, without a NUL.
    pub name: &'a [u8],
}

impl fmt::Debug for Dirent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dirent")
            .field("ino", &self.ino)
            .field("d_type", &self.d_type)
            .field("name", &self.name.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

/// The iterator of [`Dirents::iter`].
#[derive(Clone, Debug)]
pub struct DirentsIter<'a> {
    rest: &'a [u8],
}

/// Bytes of `struct linux_dirent64` before the name: d_ino, d_off, d_reclen, d_type.
const HEADER: usize = 19;

impl<'a> Iterator for DirentsIter<'a> {
    type Item = Dirent<'a>;

    fn next(&mut self) -> Option<Dirent<'a>> {
        let (ino, rest) = self.rest.split_first_chunk::<8>()?;
        let (off, rest) = rest.split_first_chunk::<8>()?;
        let (reclen, rest) = rest.split_first_chunk::<2>()?;
        let &d_type = rest.first()?;
        let reclen = usize::from(u16::from_ne_bytes(*reclen));
        let record = self.rest.get(..reclen)?;
        let padded = record.get(HEADER..)?;
        let name = padded.split(|&byte| byte == 0).next()?;
        self.rest = &self.rest[reclen..];
        Some(Dirent {
            ino: u64::from_ne_bytes(*ino),
            off: i64::from_ne_bytes(*off),
            d_type,
            name,
        })
    }
}

impl FusedIterator for DirentsIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ino: u64, d_type: u8, name: &[u8]) -> Vec<u8> {
        let reclen = (HEADER + name.len() + 1).next_multiple_of(8);
        let mut record = Vec::new();
        record.extend(ino.to_ne_bytes());
        record.extend(7i64.to_ne_bytes());
        record.extend((reclen as u16).to_ne_bytes());
        record.push(d_type);
        record.extend(name);
        record.resize(reclen, 0);
        record
    }

    #[test]
    fn records_come_out_as_they_went_in() {
        let mut buf = record(1, libc::DT_DIR, b".");
        buf.extend(record(u64::MAX, libc::DT_REG, b"a longer \xff name"));
        let len = buf.len();
        buf.resize(len + 100, 0xaa);
        let dirents = Dirents { buf, len };
        let seen: Vec<_> = dirents.iter().map(|d| (d.ino, d.d_type, d.name)).collect();
        let expected = [
            (1, libc::DT_DIR, &b"."[..]),
            (u64::MAX, libc::DT_REG, b"a longer \xff name"),
        ];
        assert_eq!(seen, expected);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end_without_a_panic(buf: Vec<u8>) {
            let len = buf.len();
            let dirents = Dirents { buf, len };
            // Each record takes at least its header.
            proptest::prop_assert!(dirents.iter().count() <= len / HEADER);
        }
    }
}
