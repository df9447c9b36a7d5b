// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading and writing one buffer: `read(2)`, `pread(2)`, `write(2)`, `pwrite(2)`.

use super::{Access, Call, Operation, Sealed, file_call};
use crate::{BufResult, Errno, IoBuf, IoBufMut, On, SharedFd};

/// Reads at the file's own position, which moves: `read(2)`.
///
/// Reads at most as many bytes as the buffer is long. The buffer comes back at its full length, of
/// which as many bytes were written as the result says.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Read};
/// let context = Context::auto()?;
/// let zero = SharedFd::from(std::fs::File::open("/dev/zero")?);
/// let (count, buffer) = context.run(Read::new(zero, vec![1; 16]));
/// assert_eq!(buffer[..count?], [0; 16]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Read<B = Vec<u8>> {
    fd: On,
    buf: B,
}

impl<B: IoBufMut> Read<B> {
    /// Reads from `fd` into `buf`.
    pub fn new(fd: impl Into<On>, buf: B) -> Self {
        Self { fd: fd.into(), buf }
    }
}

impl<B: IoBufMut> Sealed for Read<B> {}

impl<B: IoBufMut> Operation for Read<B> {
    type Output = BufResult<usize, B>;

    fn call(&mut self, _: Access) -> Call {
        let buf = self.buf.as_mut_ptr() as u64;
        file_call(libc::SYS_read, &self.fd, [buf, self.buf.bytes_len() as u64])
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        (Errno::count(ret), self.buf)
    }
}

/// Reads at a given offset; the file's own position stays: `pread(2)`.
///
/// The buffer comes back as from [`Read`].
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Pread};
/// let context = Context::auto()?;
/// let exe = SharedFd::from(std::fs::File::open("/proc/self/exe")?);
/// let (count, magic) = context.run(Pread::new(exe, vec![0; 3], 1));
/// assert_eq!((count?, magic), (3, b"ELF".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Pread<B = Vec<u8>> {
    fd: On,
    buf: B,
    offset: u64,
}

impl<B: IoBufMut> Pread<B> {
    /// Reads from `fd`, `offset` bytes from its start, into `buf`.
    pub fn new(fd: impl Into<On>, buf: B, offset: u64) -> Self {
        Self {
            fd: fd.into(),
            buf,
            offset,
        }
    }
}

impl<B: IoBufMut> Sealed for Pread<B> {}

impl<B: IoBufMut> Operation for Pread<B> {
    type Output = BufResult<usize, B>;

    fn call(&mut self, _: Access) -> Call {
        let buf = self.buf.as_mut_ptr() as u64;
        let len = self.buf.bytes_len() as u64;
        file_call(libc::SYS_pread64, &self.fd, [buf, len, self.offset])
    }

    fn file(&self, _: Access) -> Option<&SharedFd> {
        self.fd.shared()
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        (Errno::count(ret), self.buf)
    }
}

/// Writes at the file's own position, which moves: `write(2)`.
///
/// May write less than the buffer; [`IoBuf::slice`] makes the rest a buffer of its own.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Lseek, Read, Write}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-write", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// let (count, text) = context.run(Write::new(&file, b"hello".to_vec()));
/// assert_eq!((count?, text.len()), (5, 5));
/// assert_eq!(context.run(Lseek::new(&file, -2, libc::SEEK_CUR))?, 3);
/// assert_eq!(context.run(Read::new(&file, vec![0; 2])), (Ok(2), b"lo".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Write<B = Vec<u8>> {
    fd: On,
    buf: B,
}

impl<B: IoBuf> Write<B> {
    /// Writes `buf` to `fd`.
    pub fn new(fd: impl Into<On>, buf: B) -> Self {
        Self { fd: fd.into(), buf }
    }
}

impl<B: IoBuf> Sealed for Write<B> {}

impl<B: IoBuf> Operation for Write<B> {
    type Output = BufResult<usize, B>;

    fn call(&mut self, _: Access) -> Call {
        let buf = self.buf.as_ptr() as u64;
        file_call(
            libc::SYS_write,
            &self.fd,
            [buf, self.buf.bytes_len() as u64],
        )
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        (Errno::count(ret), self.buf)
    }
}

/// Writes at a given offset; the file's own position stays: `pwrite(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Pread, Pwrite}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-pwrite", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// // Of two at different places neither has to wait for the other.
/// let halves = [(b"hell", 0), (b"o wo", 4)].map(|(text, at)| Pwrite::new(&file, text.to_vec(), at));
/// for (count, _) in context.run_all(halves) {
///     assert_eq!(count?, 4);
/// }
/// let (count, text) = context.run(Pread::new(&file, vec![0; 16], 0));
/// assert_eq!(text[..count?], *b"hello wo");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Pwrite<B = Vec<u8>> {
    fd: On,
    buf: B,
    offset: u64,
}

impl<B: IoBuf> Pwrite<B> {
    /// Writes `buf` to `fd`, `offset` bytes from its start.
    pub fn new(fd: impl Into<On>, buf: B, offset: u64) -> Self {
        Self {
            fd: fd.into(),
            buf,
            offset,
        }
    }
}

impl<B: IoBuf> Sealed for Pwrite<B> {}

impl<B: IoBuf> Operation for Pwrite<B> {
    type Output = BufResult<usize, B>;

    fn call(&mut self, _: Access) -> Call {
        let buf = self.buf.as_ptr() as u64;
        let len = self.buf.bytes_len() as u64;
        file_call(libc::SYS_pwrite64, &self.fd, [buf, len, self.offset])
    }

    fn file(&self, _: Access) -> Option<&SharedFd> {
        self.fd.shared()
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        (Errno::count(ret), self.buf)
    }
}
