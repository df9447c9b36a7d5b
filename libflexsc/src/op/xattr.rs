// SPDX-License-Identifier: MIT OR Apache-2.0
//! Extended attributes of an open file, and of one at a path, symbolic links themselves included.

use std::ffi::CString;

use super::{Access, Call, Operation, Sealed, file_call, system, text, unit_operation};
use crate::{Errno, On, Result};

/// An operation that fills a buffer of its own, which comes back as long as what it was filled with.
macro_rules! filling_operation {
    ($name:ident, |$this:ident| $call:expr) => {
        impl Sealed for $name {}

        impl Operation for $name {
            type Output = Result<Vec<u8>>;

            fn call(&mut self, _: Access) -> Call {
                let $this = self;
                $call
            }

            fn finish(mut self, ret: i64, _: Access) -> Self::Output {
                let length = Errno::count(ret)?;
                self.buf.truncate(length);
                Ok(self.buf)
            }
        }
    };
}

/// Reads the value of an extended attribute of an open file: `fgetxattr(2)`.
///
/// `ERANGE` if it is longer than there is room for; Linux has none longer than 65536 bytes.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, Errno, SharedFd, op::{Fgetxattr, Fsetxattr}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fgetxattr", std::process::id()));
/// let file = SharedFd::from(std::fs::File::create_new(&path)?);
/// # std::fs::remove_file(&path)?;
/// let context = Context::auto()?;
/// let name = || c"user.origin".to_owned();
/// match context.run(Fsetxattr::new(&file, name(), b"here".to_vec(), 0)) {
///     Ok(()) => assert_eq!(context.run(Fgetxattr::new(&file, name(), 64))?, b"here"),
///     // Not every file system has them.
///     Err(errno) => assert_eq!(errno, Errno::EOPNOTSUPP),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fgetxattr {
    fd: On,
    name: CString,
    buf: Vec<u8>,
}

impl Fgetxattr {
    /// The attribute `name`, of at most `capacity` bytes; with no room at all the result is empty.
    pub fn new(fd: impl Into<On>, name: CString, capacity: usize) -> Self {
        Self {
            fd: fd.into(),
            name,
            buf: vec![0; capacity],
        }
    }
}

filling_operation!(Fgetxattr, |this| {
    let buf = this.buf.as_mut_ptr() as u64;
    let args = [text(&this.name), buf, this.buf.len() as u64];
    file_call(libc::SYS_fgetxattr, &this.fd, args)
});

/// Reads the value of an extended attribute of the file at a path, of a symbolic link itself: `lgetxattr(2)`.
///
/// As for [`Fgetxattr`]. There is no directory to start from; a path below an open one begins with `/proc/self/fd/`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, Errno, op::Lgetxattr};
/// let context = Context::auto()?;
/// let read = context.run(Lgetxattr::new(c"/".into(), c"user.none".into(), 64));
/// assert!(matches!(read, Err(Errno::ENODATA | Errno::EOPNOTSUPP)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Lgetxattr {
    path: CString,
    name: CString,
    buf: Vec<u8>,
}

impl Lgetxattr {
    /// The attribute `name`, of at most `capacity` bytes; with no room at all the result is empty.
    pub fn new(path: CString, name: CString, capacity: usize) -> Self {
        Self {
            path,
            name,
            buf: vec![0; capacity],
        }
    }
}

filling_operation!(Lgetxattr, |this| {
    let buf = this.buf.as_mut_ptr() as u64;
    let args = [
        text(&this.path),
        text(&this.name),
        buf,
        this.buf.len() as u64,
    ];
    system(libc::SYS_lgetxattr, args)
});

/// Reads the names of an open file's extended attributes, each with a NUL byte at its end: `flistxattr(2)`.
///
/// `ERANGE` if they are longer than there is room for; Linux gives no more than 65536 bytes.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Flistxattr, Fsetxattr}};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-flistxattr", std::process::id()));
/// let file = SharedFd::from(std::fs::File::create_new(&path)?);
/// # std::fs::remove_file(&path)?;
/// let context = Context::auto()?;
/// if context.run(Fsetxattr::new(&file, c"user.a".into(), Vec::new(), 0)).is_ok() {
///     let names = context.run(Flistxattr::new(&file, 65536))?;
///     assert!(names.split(|byte| *byte == 0).any(|name| name == b"user.a"));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Flistxattr {
    fd: On,
    buf: Vec<u8>,
}

impl Flistxattr {
    /// At most `capacity` bytes; with no room at all the result is empty.
    pub fn new(fd: impl Into<On>, capacity: usize) -> Self {
        Self {
            fd: fd.into(),
            buf: vec![0; capacity],
        }
    }
}

filling_operation!(Flistxattr, |this| {
    let buf = this.buf.as_mut_ptr() as u64;
    let args = [buf, this.buf.len() as u64];
    file_call(libc::SYS_flistxattr, &this.fd, args)
});

/// Reads the names of the extended attributes of the file at a path, of a symbolic link itself: `llistxattr(2)`.
///
/// As for [`Flistxattr`].
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::Llistxattr};
/// let context = Context::auto()?;
/// let names = context.run(Llistxattr::new(c"/proc/self/exe".into(), 65536))?;
/// assert!(names.is_empty()); // The link of /proc has none, whatever the program has.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Llistxattr {
    path: CString,
    buf: Vec<u8>,
}

impl Llistxattr {
    /// At most `capacity` bytes; with no room at all the result is empty.
    pub fn new(path: CString, capacity: usize) -> Self {
        Self {
            path,
            buf: vec![0; capacity],
        }
    }
}

filling_operation!(Llistxattr, |this| {
    let buf = this.buf.as_mut_ptr() as u64;
    let args = [text(&this.path), buf, this.buf.len() as u64];
    system(libc::SYS_llistxattr, args)
});

/// Sets an extended attribute of an open file: `fsetxattr(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, Errno, SharedFd, op::Fsetxattr};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fsetxattr", std::process::id()));
/// let file = SharedFd::from(std::fs::File::create_new(&path)?);
/// # std::fs::remove_file(&path)?;
/// let context = Context::auto()?;
/// let replace = Fsetxattr::new(&file, c"user.a".into(), b"1".to_vec(), libc::XATTR_REPLACE);
/// let set = context.run(replace);
/// assert!(matches!(set, Err(Errno::ENODATA | Errno::EOPNOTSUPP))); // There is none to be replaced.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fsetxattr {
    fd: On,
    name: CString,
    value: Vec<u8>,
    flags: i32,
}

impl Fsetxattr {
    /// `flags` are `libc::XATTR_CREATE`, `libc::XATTR_REPLACE` or 0.
    pub fn new(fd: impl Into<On>, name: CString, value: Vec<u8>, flags: i32) -> Self {
        Self {
            fd: fd.into(),
            name,
            value,
            flags,
        }
    }
}

unit_operation!(Fsetxattr, SYS_fsetxattr, |this| &this.fd; [
    text(&this.name),
    this.value.as_ptr() as u64,
    this.value.len() as u64,
    super::int(this.flags),
]);

/// Sets an extended attribute of the file at a path, of a symbolic link itself: `lsetxattr(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::Lsetxattr};
/// let context = Context::auto()?;
/// let set = Lsetxattr::new(c"/proc/self/exe".into(), c"user.a".into(), b"1".to_vec(), 0);
/// assert!(context.run(set).is_err()); // Links have no attributes of users.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Lsetxattr {
    path: CString,
    name: CString,
    value: Vec<u8>,
    flags: i32,
}

impl Lsetxattr {
    /// `flags` are `libc::XATTR_CREATE`, `libc::XATTR_REPLACE` or 0.
    pub fn new(path: CString, name: CString, value: Vec<u8>, flags: i32) -> Self {
        Self {
            path,
            name,
            value,
            flags,
        }
    }
}

unit_operation!(Lsetxattr, SYS_lsetxattr, |this| [
    text(&this.path),
    text(&this.name),
    this.value.as_ptr() as u64,
    this.value.len() as u64,
    super::int(this.flags),
]);

/// Removes an extended attribute of an open file: `fremovexattr(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, Errno, SharedFd, op::Fremovexattr};
/// # let path = std::env::temp_dir().join(format!("flexsc-{}-fremovexattr", std::process::id()));
/// let file = SharedFd::from(std::fs::File::create_new(&path)?);
/// # std::fs::remove_file(&path)?;
/// let context = Context::auto()?;
/// let removed = context.run(Fremovexattr::new(&file, c"user.none".into()));
/// assert!(matches!(removed, Err(Errno::ENODATA | Errno::EOPNOTSUPP)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fremovexattr {
    fd: On,
    name: CString,
}

impl Fremovexattr {
    /// The attribute `name`.
    pub fn new(fd: impl Into<On>, name: CString) -> Self {
        Self {
            fd: fd.into(),
            name,
        }
    }
}

unit_operation!(Fremovexattr, SYS_fremovexattr, |this| &this.fd; [text(&this.name)]);

/// Removes an extended attribute of the file at a path, of a symbolic link itself: `lremovexattr(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::Lremovexattr};
/// let context = Context::auto()?;
/// let removed = context.run(Lremovexattr::new(c"/proc/self/exe".into(), c"user.none".into()));
/// assert!(removed.is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Lremovexattr {
    path: CString,
    name: CString,
}

impl Lremovexattr {
    /// The attribute `name`.
    pub fn new(path: CString, name: CString) -> Self {
        Self { path, name }
    }
}

unit_operation!(Lremovexattr, SYS_lremovexattr, |this| [
    text(&this.path),
    text(&this.name)
]);
