// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names in a directory: made, removed, moved, read.

use std::ffi::CString;

use super::{Access, Call, Operation, Sealed, int, system, text, unit_operation};
use crate::{At, Errno, Result};

/// Reads where a symbolic link points: `readlinkat(2)`.
///
/// The result is cut at the length of the buffer (4096 bytes unless [`Self::with_capacity`] says
/// otherwise), as the call does it: a result as long as that may be a part only.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Context, op::Readlinkat};
/// let context = Context::auto()?;
/// let target = context.run(Readlinkat::new(At::Cwd, c"/proc/self".into()))?;
/// assert_eq!(target, std::process::id().to_string().as_bytes());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Readlinkat {
    dir: At,
    path: CString,
    buf: Vec<u8>,
}

impl Readlinkat {
    /// The link at `path`, or `dir` itself (opened with `O_PATH | O_NOFOLLOW`) if that is empty.
    pub fn new(dir: impl Into<At>, path: CString) -> Self {
        Self::with_capacity(dir, path, libc::PATH_MAX as usize)
    }

    /// As [`Self::new`], with room for `capacity` bytes.
    pub fn with_capacity(dir: impl Into<At>, path: CString, capacity: usize) -> Self {
        Self {
            dir: dir.into(),
            path,
            buf: vec![0; capacity],
        }
    }
}

impl Sealed for Readlinkat {}

impl Operation for Readlinkat {
    type Output = Result<Vec<u8>>;

    fn call(&mut self, _: Access) -> Call {
        let buf = self.buf.as_mut_ptr() as u64;
        let args = [self.dir.arg(), text(&self.path), buf, self.buf.len() as u64];
        system(libc::SYS_readlinkat, args)
    }

    fn finish(mut self, ret: i64, _: Access) -> Self::Output {
        let len = Errno::count(ret)?;
        self.buf.truncate(len);
        Ok(self.buf)
    }
}

/// Makes a directory: `mkdirat(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Mkdirat, Unlinkat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-mkdirat", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// let dir = SharedFd::from(std::fs::File::open(&path)?);
/// let context = Context::auto()?;
/// context.run(Mkdirat::new(&dir, c"sub".into(), 0o755))?;
/// context.run(Unlinkat::new(&dir, c"sub".into(), libc::AT_REMOVEDIR))?;
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Mkdirat {
    dir: At,
    path: CString,
    mode: u32,
}

impl Mkdirat {
    /// With the permission bits `mode`, less the process's umask.
    pub fn new(dir: impl Into<At>, path: CString, mode: u32) -> Self {
        Self {
            dir: dir.into(),
            path,
            mode,
        }
    }
}

unit_operation!(Mkdirat, SYS_mkdirat, |this| [
    this.dir.arg(),
    text(&this.path),
    this.mode.into()
]);

/// Makes a named pipe, a socket, a device or a regular file: `mknodat(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, FileType, SharedFd, op::{Mknodat, Statx}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-mknodat", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// let dir = SharedFd::from(std::fs::File::open(&path)?);
/// let context = Context::auto()?;
/// context.run(Mknodat::new(&dir, c"pipe".into(), libc::S_IFIFO | 0o600, 0))?;
/// let pipe = context.run(Statx::new(&dir, c"pipe".into(), 0, libc::STATX_TYPE))?;
/// assert_eq!(pipe.file_type(), FileType::Fifo);
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Mknodat {
    dir: At,
    path: CString,
    mode: u32,
    device: u64,
}

impl Mknodat {
    /// `mode` is one of `libc::S_IF*` and the permission bits, less the process's umask; `device` is that of
    /// `libc::makedev` for `S_IFCHR` and `S_IFBLK`, which takes `CAP_MKNOD`, and else ignored. One of more than 32 bits, which
    /// Linux has not, is `EINVAL`.
    pub fn new(dir: impl Into<At>, path: CString, mode: u32, device: u64) -> Self {
        Self {
            dir: dir.into(),
            path,
            mode,
            device,
        }
    }
}

unit_operation!(@ Mknodat, |this| match u32::try_from(this.device) {
    Ok(device) => system(
        libc::SYS_mknodat,
        [
            this.dir.arg(),
            text(&this.path),
            this.mode.into(),
            device.into(),
        ],
    ),
    // The call would cut it, as no C library lets it.
    Err(_) => Call::Ready(-i64::from(Errno::EINVAL.raw())),
});

/// Removes a name: `unlinkat(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, Errno, SharedFd, op::{Openat, Unlinkat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-unlinkat", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// let dir = SharedFd::from(std::fs::File::open(&path)?);
/// let context = Context::auto()?;
/// context.run(Openat::new(&dir, c"old".into(), libc::O_CREAT | libc::O_WRONLY, 0o644))?;
///
/// context.run(Unlinkat::new(&dir, c"old".into(), 0))?;
/// assert_eq!(context.run(Unlinkat::new(&dir, c"old".into(), 0)), Err(Errno::ENOENT));
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Unlinkat {
    dir: At,
    path: CString,
    flags: i32,
}

impl Unlinkat {
    /// `flags` is 0, or `libc::AT_REMOVEDIR` for a directory.
    pub fn new(dir: impl Into<At>, path: CString, flags: i32) -> Self {
        Self {
            dir: dir.into(),
            path,
            flags,
        }
    }
}

unit_operation!(Unlinkat, SYS_unlinkat, |this| [
    this.dir.arg(),
    text(&this.path),
    int(this.flags)
]);

/// Moves a name: `renameat2(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Openat, Renameat2}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-renameat2", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// let dir = SharedFd::from(std::fs::File::open(&path)?);
/// let context = Context::auto()?;
/// context.run(Openat::new(&dir, c"old".into(), libc::O_CREAT | libc::O_WRONLY, 0o644))?;
///
/// let rename = Renameat2::new(&dir, c"old".into(), &dir, c"new".into(), libc::RENAME_NOREPLACE);
/// context.run(rename)?;
/// # assert!(path.join("new").exists());
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Renameat2 {
    old_dir: At,
    old: CString,
    new_dir: At,
    new: CString,
    flags: u32,
}

impl Renameat2 {
    /// `flags` is `libc::RENAME_*` or 0.
    pub fn new(
        old_dir: impl Into<At>,
        old: CString,
        new_dir: impl Into<At>,
        new: CString,
        flags: u32,
    ) -> Self {
        Self {
            old_dir: old_dir.into(),
            old,
            new_dir: new_dir.into(),
            new,
            flags,
        }
    }
}

unit_operation!(Renameat2, SYS_renameat2, |this| [
    this.old_dir.arg(),
    text(&this.old),
    this.new_dir.arg(),
    text(&this.new),
    this.flags.into()
]);

/// Makes a symbolic link: `symlinkat(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Readlinkat, Symlinkat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-symlinkat", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// let dir = SharedFd::from(std::fs::File::open(&path)?);
/// let context = Context::auto()?;
/// context.run(Symlinkat::new(c"nowhere".into(), &dir, c"link".into()))?;
/// assert_eq!(context.run(Readlinkat::new(&dir, c"link".into()))?, b"nowhere");
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Symlinkat {
    target: CString,
    dir: At,
    path: CString,
}

impl Symlinkat {
    /// A link at `path` that points to `target`.
    pub fn new(target: CString, dir: impl Into<At>, path: CString) -> Self {
        Self {
            target,
            dir: dir.into(),
            path,
        }
    }
}

unit_operation!(Symlinkat, SYS_symlinkat, |this| [
    text(&this.target),
    this.dir.arg(),
    text(&this.path)
]);

/// Gives a file one more name: `linkat(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Fstat, Linkat, Openat}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-linkat", std::process::id()));
/// # std::fs::create_dir(&path)?;
/// let dir = SharedFd::from(std::fs::File::open(&path)?);
/// let context = Context::auto()?;
/// let file = Openat::new(&dir, c"old".into(), libc::O_CREAT | libc::O_WRONLY, 0o644);
/// let file = context.run(file)?;
/// context.run(Linkat::new(&dir, c"old".into(), &dir, c"new".into(), 0))?;
/// assert_eq!(context.run(Fstat::new(&file))?.st_nlink, 2);
/// # std::fs::remove_dir_all(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Linkat {
    old_dir: At,
    old: CString,
    new_dir: At,
    new: CString,
    flags: i32,
}

impl Linkat {
    /// `flags` is `libc::AT_SYMLINK_FOLLOW`, `libc::AT_EMPTY_PATH` or 0.
    pub fn new(
        old_dir: impl Into<At>,
        old: CString,
        new_dir: impl Into<At>,
        new: CString,
        flags: i32,
    ) -> Self {
        Self {
            old_dir: old_dir.into(),
            old,
            new_dir: new_dir.into(),
            new,
            flags,
        }
    }
}

unit_operation!(Linkat, SYS_linkat, |this| [
    this.old_dir.arg(),
    text(&this.old),
    this.new_dir.arg(),
    text(&this.new),
    int(this.flags)
]);

/// Asks what the process's real user may do with a file: `faccessat(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{At, Context, Errno, op::Faccessat};
/// let context = Context::auto()?;
/// assert_eq!(context.run(Faccessat::new(At::Cwd, c"/proc/self/exe".into(), libc::X_OK)), Ok(()));
/// let missing = Faccessat::new(At::Cwd, c"/does/not/exist".into(), libc::F_OK);
/// assert_eq!(context.run(missing), Err(Errno::ENOENT));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Faccessat {
    dir: At,
    path: CString,
    mode: i32,
}

impl Faccessat {
    /// `mode` is `libc::F_OK`, or any of `R_OK`, `W_OK` and `X_OK`.
    pub fn new(dir: impl Into<At>, path: CString, mode: i32) -> Self {
        Self {
            dir: dir.into(),
            path,
            mode,
        }
    }
}

unit_operation!(Faccessat, SYS_faccessat, |this| [
    this.dir.arg(),
    text(&this.path),
    int(this.mode)
]);
