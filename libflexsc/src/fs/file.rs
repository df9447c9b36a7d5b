// SPDX-License-Identifier: MIT OR Apache-2.0
//! An open file.

use std::{
    fs::Permissions,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use super::{Metadata, OpenOptions, metadata};
use crate::{
    Handle, IoBuf, IoBufMut, SharedFd,
    op::{
        self, Close, Fallocate, Fchmod, Fdatasync, Fsync, Ftruncate, Lseek, Pread, Preadv, Pwrite,
        Pwritev, Read, Write,
    },
    whole::whole,
};

/// An open file of a handle, as `std::fs::File`.
///
/// A clone is another share of the same file, with the same position. Reads and writes at an offset
/// ([`Self::read_at`]) may be in progress together; those at the file's position take turns in no
/// order.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, fs::File, task::block_on};
/// let handle = Handle::auto()?;
/// let head = block_on(&handle, async {
///     let file = File::open(&handle, "/proc/self/exe").await?;
///     let (result, head) = file.read_exact_at(vec![0; 4], 0).await;
///     result.map(|()| head)
/// })?;
/// assert_eq!(head, b"\x7fELF");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct File {
    handle: Handle,
    fd: SharedFd,
}

impl File {
    pub(super) fn new(handle: &Handle, fd: SharedFd) -> Self {
        let handle = handle.clone();
        Self { handle, fd }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// That of `openat(2)`.
    pub async fn open(handle: &Handle, path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(handle, path).await
    }

    /// Opens a file for writing; it is created, or cut to nothing.
    ///
    /// # Errors
    ///
    /// That of `openat(2)`.
    pub async fn create(handle: &Handle, path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.open(handle, path).await
    }

    /// Takes over a file of the standard library.
    pub fn from_std(handle: &Handle, file: std::fs::File) -> Self {
        Self::new(handle, file.into())
    }

    /// Reads at an offset, bytes from the start; 0 bytes are the end of the file.
    ///
    /// # Errors
    ///
    /// That of `pread(2)`; the buffer comes back in any case.
    pub async fn read_at<B: IoBufMut>(&self, buf: B, offset: u64) -> (io::Result<usize>, B) {
        let (result, buf) = self.submit(Pread::new(&self.fd, buf, offset)).await;
        (result.map_err(Into::into), buf)
    }

    /// Reads at an offset until the buffer is full.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before, or what `pread(2)` gives.
    pub async fn read_exact_at<B: IoBufMut>(&self, buf: B, offset: u64) -> (io::Result<()>, B) {
        whole(buf, io::ErrorKind::UnexpectedEof, async |rest, done| {
            self.read_at(rest, offset + done as u64).await
        })
        .await
    }

    /// Writes at an offset, bytes from the start, perhaps a part only.
    ///
    /// # Errors
    ///
    /// That of `pwrite(2)`; the buffer comes back in any case.
    pub async fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> (io::Result<usize>, B) {
        let (result, buf) = self.submit(Pwrite::new(&self.fd, buf, offset)).await;
        (result.map_err(Into::into), buf)
    }

    /// Writes all of a buffer at an offset.
    ///
    /// # Errors
    ///
    /// That of `pwrite(2)`; how much was written by then is unknown.
    pub async fn write_all_at<B: IoBuf>(&self, buf: B, offset: u64) -> (io::Result<()>, B) {
        whole(buf, io::ErrorKind::WriteZero, async |rest, done| {
            self.write_at(rest, offset + done as u64).await
        })
        .await
    }

    /// Reads into several buffers at an offset.
    ///
    /// # Errors
    ///
    /// That of `preadv(2)`; the buffers come back in any case.
    pub async fn readv_at<B: IoBufMut>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> (io::Result<usize>, Vec<B>) {
        let (result, bufs) = self.submit(Preadv::new(&self.fd, bufs, offset)).await;
        (result.map_err(Into::into), bufs)
    }

    /// Writes several buffers at an offset, perhaps a part only.
    ///
    /// # Errors
    ///
    /// That of `pwritev(2)`; the buffers come back in any case.
    pub async fn writev_at<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> (io::Result<usize>, Vec<B>) {
        let (result, bufs) = self.submit(Pwritev::new(&self.fd, bufs, offset)).await;
        (result.map_err(Into::into), bufs)
    }

    /// Reads at the file's position, which moves.
    ///
    /// # Errors
    ///
    /// That of `read(2)`; the buffer comes back in any case.
    pub async fn read<B: IoBufMut>(&self, buf: B) -> (io::Result<usize>, B) {
        let (result, buf) = self.submit(Read::new(&self.fd, buf)).await;
        (result.map_err(Into::into), buf)
    }

    /// Writes at the file's position, which moves, or at the end of one opened to append; perhaps
    /// a part only.
    ///
    /// # Errors
    ///
    /// That of `write(2)`; the buffer comes back in any case.
    pub async fn write<B: IoBuf>(&self, buf: B) -> (io::Result<usize>, B) {
        let (result, buf) = self.submit(Write::new(&self.fd, buf)).await;
        (result.map_err(Into::into), buf)
    }

    /// As [`Self::write`], all of the buffer.
    ///
    /// # Errors
    ///
    /// That of `write(2)`; how much was written by then is unknown.
    pub async fn write_all<B: IoBuf>(&self, buf: B) -> (io::Result<()>, B) {
        whole(buf, io::ErrorKind::WriteZero, async |rest, _| {
            self.write(rest).await
        })
        .await
    }

    /// Moves the file's position; gives the new one, bytes from the start.
    ///
    /// # Errors
    ///
    /// That of `lseek(2)`.
    pub async fn seek(&self, to: io::SeekFrom) -> io::Result<u64> {
        let (offset, whence) = match to {
            io::SeekFrom::Start(offset) => (offset as i64, libc::SEEK_SET),
            io::SeekFrom::Current(offset) => (offset, libc::SEEK_CUR),
            io::SeekFrom::End(offset) => (offset, libc::SEEK_END),
        };
        Ok(self.submit(Lseek::new(&self.fd, offset, whence)).await?)
    }

    /// Has the file's data and attributes on the device when it is over.
    ///
    /// # Errors
    ///
    /// That of `fsync(2)`.
    pub async fn sync_all(&self) -> io::Result<()> {
        Ok(self.submit(Fsync::new(&self.fd)).await?)
    }

    /// Has the file's data, and what is needed to read them, on the device when it is over.
    ///
    /// # Errors
    ///
    /// That of `fdatasync(2)`.
    pub async fn sync_data(&self) -> io::Result<()> {
        Ok(self.submit(Fdatasync::new(&self.fd)).await?)
    }

    /// Cuts or extends the file to a length, bytes.
    ///
    /// # Errors
    ///
    /// That of `ftruncate(2)`.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(self.submit(Ftruncate::new(&self.fd, len)).await?)
    }

    /// Reserves, frees or moves a range of the file's space; `mode` is `libc::FALLOC_FL_*`.
    ///
    /// # Errors
    ///
    /// That of `fallocate(2)`.
    pub async fn fallocate(&self, mode: i32, offset: u64, len: u64) -> io::Result<()> {
        Ok(self
            .submit(Fallocate::new(&self.fd, mode, offset, len))
            .await?)
    }

    /// Its attributes.
    ///
    /// # Errors
    ///
    /// That of `statx(2)`.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let stat = op::Statx::new(&self.fd, c"".into(), libc::AT_EMPTY_PATH, metadata::MASK);
        Ok(Metadata::new(self.submit(stat).await?))
    }

    /// Changes its permissions.
    ///
    /// # Errors
    ///
    /// That of `fchmod(2)`.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        let mode = permissions.mode() & 0o7777;
        Ok(self.submit(Fchmod::new(&self.fd, mode)).await?)
    }

    /// Closes the file, if this is its last share, and tells what that gives; dropping it does not
    /// tell.
    ///
    /// # Errors
    ///
    /// That of `close(2)`; the file is closed all the same.
    pub async fn close(self) -> io::Result<()> {
        let Self { handle, fd } = self;
        Ok(handle.submit(Close::new(fd)).await?)
    }

    /// The file, for [operations](crate::op).
    pub fn fd(&self) -> &SharedFd {
        &self.fd
    }

    /// What the file belongs to.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    fn submit<O: op::Operation>(&self, op: O) -> crate::Pending<O> {
        self.handle.submit(op)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
