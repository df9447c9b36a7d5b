// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opening files, and what is done to an open one as a whole.

#![allow(unsafe_code)]

use std::ffi::CString;

use super::{
    Access, Call, ForChain, Operation, Sealed, file_call, int, system, text, unit_operation,
};
use crate::{At, Errno, On, Result, SharedFd, fd};

/// Opens, and perhaps creates, a file: `openat(2)`.
///
/// When nobody takes the result any more, the file that the call brings is closed.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Context, op::Openat};
/// let context = Context::auto()?;
/// let flags = libc::O_RDONLY | libc::O_CLOEXEC;
/// let dir = context.run(Openat::new(At::Cwd, c"/proc/self".into(), flags | libc::O_PATH, 0))?;
/// let comm = context.run(Openat::new(&dir, c"comm".into(), flags, 0))?;
/// # drop(comm);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Openat {
    dir: At,
    path: CString,
    flags: i32,
    mode: u32,
}

impl Openat {
    /// `flags` are `libc::O_*`; `mode` are the permission bits of a file that is created.
    pub fn new(dir: impl Into<At>, path: CString, flags: i32, mode: u32) -> Self {
        Self {
            dir: dir.into(),
            path,
            flags,
            mode,
        }
    }

    /// Opens the file of a chain instead: see [`ForChain`].
    pub fn for_chain(self) -> ForChain<Self> {
        ForChain::new(self)
    }
}

impl Sealed for Openat {}

impl Operation for Openat {
    type Output = Result<SharedFd>;

    fn call(&mut self, _: Access) -> Call {
        let args = [
            self.dir.arg(),
            text(&self.path),
            int(self.flags),
            self.mode.into(),
        ];
        system(libc::SYS_openat, args)
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        // SAFETY: The number is what openat(2) returned, and this is the only one who saw it.
        unsafe { fd::from_return(ret) }
    }
}

/// How [`Openat2`] opens: `struct open_how` of `linux/openat2.h`.
///
/// # Examples
///
/// ```
/// use libflexsc::op::OpenHow;
/// let how = OpenHow::new((libc::O_CREAT | libc::O_WRONLY) as u64)
///     .mode(0o640)
///     .resolve(libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS);
/// assert_eq!(how.mode, 0o640);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[repr(C)]
pub struct OpenHow {
    /// `libc::O_*`.
    pub flags: u64,
    /// Permission bits of a file that is created; must be 0 otherwise.
    pub mode: u64,
    /// `libc::RESOLVE_*`.
    pub resolve: u64,
}

impl OpenHow {
    /// With these flags, `libc::O_*`, no permission bits, and no rules.
    pub const fn new(flags: u64) -> Self {
        Self {
            flags,
            mode: 0,
            resolve: 0,
        }
    }

    /// Permission bits of a file that is created.
    pub const fn mode(self, mode: u64) -> Self {
        Self { mode, ..self }
    }

    /// Rules for the look-up of the path, `libc::RESOLVE_*`.
    pub const fn resolve(self, resolve: u64) -> Self {
        Self { resolve, ..self }
    }
}

/// Opens a file under rules for the look-up of its path: `openat2(2)`.
///
/// When nobody takes the result any more, the file that the call brings is closed.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Context, Errno, op::{OpenHow, Openat, Openat2}};
/// let context = Context::auto()?;
/// let dir = context.run(Openat::new(At::Cwd, c"/proc/self".into(), libc::O_PATH, 0))?;
/// let how = OpenHow::new(libc::O_CLOEXEC as u64).resolve(libc::RESOLVE_BENEATH);
/// let outside = Openat2::new(&dir, c"../version".into(), how);
/// assert_eq!(context.run(outside).unwrap_err(), Errno::EXDEV);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Openat2 {
    dir: At,
    path: CString,
    how: OpenHow,
}

impl Openat2 {
    /// See [`OpenHow`].
    pub fn new(dir: impl Into<At>, path: CString, how: OpenHow) -> Self {
        Self {
            dir: dir.into(),
            path,
            how,
        }
    }

    /// Opens the file of a chain instead: see [`ForChain`].
    pub fn for_chain(self) -> ForChain<Self> {
        ForChain::new(self)
    }
}

impl Sealed for Openat2 {}

impl Operation for Openat2 {
    type Output = Result<SharedFd>;

    fn call(&mut self, _: Access) -> Call {
        let how = &raw const self.how as u64;
        let size = size_of::<OpenHow>() as u64;
        system(
            libc::SYS_openat2,
            [self.dir.arg(), text(&self.path), how, size],
        )
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        // SAFETY: As in `Openat`.
        unsafe { fd::from_return(ret) }
    }
}

/// Moves the file's own position: `lseek(2)`. Gives the new one, bytes from the start.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Ftruncate, Lseek}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-lseek", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// context.run(Ftruncate::new(&file, 100))?;
/// assert_eq!(context.run(Lseek::new(&file, -10, libc::SEEK_END))?, 90);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Lseek {
    fd: On,
    offset: i64,
    whence: i32,
}

impl Lseek {
    /// `offset` in bytes from where `whence` (`libc::SEEK_*`) says.
    pub fn new(fd: impl Into<On>, offset: i64, whence: i32) -> Self {
        Self {
            fd: fd.into(),
            offset,
            whence,
        }
    }
}

impl Sealed for Lseek {}

impl Operation for Lseek {
    type Output = Result<u64>;

    fn call(&mut self, _: Access) -> Call {
        file_call(
            libc::SYS_lseek,
            &self.fd,
            [self.offset as u64, int(self.whence)],
        )
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::result(ret)
    }
}

/// Writes the file's data and attributes to the device: `fsync(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Fsync, Write}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fsync", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// context.run(Write::new(&file, b"a line\n".to_vec())).0?;
/// context.run(Fsync::new(&file))?; // From here on it survives a crash of the machine.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fsync(On);

impl Fsync {
    /// Of this file.
    pub fn new(fd: impl Into<On>) -> Self {
        Self(fd.into())
    }
}

unit_operation!(Fsync, SYS_fsync, |this| &this.0; []);

/// Writes the file's data, and the attributes needed to read it, to the device: `fdatasync(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Fdatasync, Pwrite}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fdatasync", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// let writes = (0..4).map(|i| Pwrite::new(&file, vec![b'x'; 512], i * 512));
/// for (count, _) in context.run_all(writes) {
///     count?;
/// }
/// context.run(Fdatasync::new(&file))?; // One for all of them.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fdatasync(On);

impl Fdatasync {
    /// Of this file.
    pub fn new(fd: impl Into<On>) -> Self {
        Self(fd.into())
    }
}

unit_operation!(Fdatasync, SYS_fdatasync, |this| &this.0; []);

/// Cuts or extends the file: `ftruncate(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Fstat, Ftruncate}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-ftruncate", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// context.run(Ftruncate::new(&file, 4096))?;
/// assert_eq!(context.run(Fstat::new(&file))?.st_size, 4096);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Ftruncate {
    fd: On,
    len: u64,
}

impl Ftruncate {
    /// To `len` bytes.
    pub fn new(fd: impl Into<On>, len: u64) -> Self {
        Self { fd: fd.into(), len }
    }
}

unit_operation!(Ftruncate, SYS_ftruncate, |this| &this.fd; [this.len]);

/// Reserves, frees or moves a range of the file's space: `fallocate(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, Errno, SharedFd, op::{Fallocate, Fstat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fallocate", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// match context.run(Fallocate::new(&file, libc::FALLOC_FL_KEEP_SIZE, 0, 1 << 16)) {
///     Ok(()) => assert!(context.run(Fstat::new(&file))?.st_blocks >= 128),
///     Err(errno) => assert_eq!(errno, Errno::EOPNOTSUPP), // not with every file system
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fallocate {
    fd: On,
    mode: i32,
    offset: u64,
    len: u64,
}

impl Fallocate {
    /// `mode` is `libc::FALLOC_FL_*`; the range is `len` bytes from `offset`.
    pub fn new(fd: impl Into<On>, mode: i32, offset: u64, len: u64) -> Self {
        Self {
            fd: fd.into(),
            mode,
            offset,
            len,
        }
    }
}

unit_operation!(Fallocate, SYS_fallocate, |this| &this.fd; [
    int(this.mode),
    this.offset,
    this.len
]);

/// Says how a range of the file will be used: `fadvise64(2)`, `posix_fadvise(3)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::Fadvise};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fadvise", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// // All of it will be read from its start to its end.
/// context.run(Fadvise::new(&file, 0, 0, libc::POSIX_FADV_SEQUENTIAL))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fadvise {
    fd: On,
    offset: u64,
    len: u64,
    advice: i32,
}

impl Fadvise {
    /// The range is `len` bytes from `offset`, to the end if 0; `advice` is
    /// `libc::POSIX_FADV_*`.
    pub fn new(fd: impl Into<On>, offset: u64, len: u64, advice: i32) -> Self {
        Self {
            fd: fd.into(),
            offset,
            len,
            advice,
        }
    }
}

unit_operation!(Fadvise, SYS_fadvise64, |this| &this.fd; [
    this.offset,
    this.len,
    int(this.advice)
]);

/// Copies a range from file to file inside the kernel: `copy_file_range(2)`.
///
/// Gives the number of bytes copied; less than asked for is not an error.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{CopyFileRange, Pread, Pwrite}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-copyfilerange", std::process::id()));
/// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
/// # std::fs::remove_file(&path)?;
/// let file = SharedFd::from(file);
/// let context = Context::auto()?;
/// context.run(Pwrite::new(&file, b"copied".to_vec(), 0)).0?;
/// let copy = CopyFileRange::new(&file, Some(0), file.clone(), Some(100), 6, 0);
/// assert_eq!(context.run(copy)?, 6);
/// assert_eq!(context.run(Pread::new(&file, vec![0; 6], 100)), (Ok(6), b"copied".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct CopyFileRange {
    fd_in: On,
    off_in: Option<i64>,
    fd_out: SharedFd,
    off_out: Option<i64>,
    len: usize,
    flags: u32,
}

impl CopyFileRange {
    /// Copies `len` bytes. An offset is in bytes from the start; `None` uses and moves the file's
    /// own position. `flags` must be 0.
    pub fn new(
        fd_in: impl Into<On>,
        off_in: Option<u64>,
        fd_out: SharedFd,
        off_out: Option<u64>,
        len: usize,
        flags: u32,
    ) -> Self {
        let offset = |offset: Option<u64>| offset.map(|offset| offset as i64);
        Self {
            fd_in: fd_in.into(),
            off_in: offset(off_in),
            fd_out,
            off_out: offset(off_out),
            len,
            flags,
        }
    }
}

impl Sealed for CopyFileRange {}

impl Operation for CopyFileRange {
    type Output = Result<usize>;

    fn call(&mut self, _: Access) -> Call {
        // The kernel moves the offsets on.
        let address =
            |offset: &mut Option<i64>| offset.as_mut().map_or(0, |at| &raw mut *at as u64);
        let off_in = address(&mut self.off_in);
        let off_out = address(&mut self.off_out);
        let args = [
            off_in,
            self.fd_out.arg(),
            off_out,
            self.len as u64,
            self.flags.into(),
        ];
        file_call(libc::SYS_copy_file_range, &self.fd_in, args)
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        Errno::count(ret)
    }
}
