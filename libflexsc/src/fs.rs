// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files and directories, shaped like `std::fs`, for futures.
//!
//! Each function takes the [`Handle`] that it works through. Buffers are owned and come back, as in
//! [`op`]. Many calls at once are what pays: start a task for each file, or await several
//! futures together. Nothing bounds how many of them have a file open: beyond `RLIMIT_NOFILE`, often 1024, they
//! get `EMFILE`, so a program for trees of any size lets a number of tasks go on at a time, as `examples/cp_r.rs`
//! does.
//!
//! A future that is dropped before it is ready cancels its operation, if it can be cancelled; one
//! that is at work is done all the same.
//!
//! # Examples
//!
//! ```
//! use libflexsc::{Handle, fs, task::block_on};
//! let dir = std::env::temp_dir().join(format!("flexsc-doc-fs-{}", std::process::id()));
//! let handle = Handle::auto()?;
//! block_on(&handle, async {
//!     fs::create_dir(&handle, &dir).await?;
//!     fs::write(&handle, dir.join("one"), b"some text".to_vec()).await.0?;
//!     fs::copy(&handle, dir.join("one"), dir.join("two")).await?;
//!     assert_eq!(fs::read(&handle, dir.join("two")).await?, b"some text");
//!     let mut names = fs::read_dir(&handle, &dir).await?;
//!     while let Some(entry) = names.next().await? {
//!         fs::remove_file(&handle, entry.path()).await?;
//!     }
//!     fs::remove_dir(&handle, &dir).await
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "futures-io")]
mod async_io;
mod dir;
mod file;
mod metadata;
mod open;
mod whole;

use std::{
    ffi::{CString, OsString},
    fs::Permissions,
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use crate::{
    At, Errno, Handle,
    op::{self, Faccessat, Fchmodat, Linkat, Mkdirat, Readlinkat, Renameat2, Symlinkat, Unlinkat},
};

#[cfg(feature = "futures-io")]
pub use async_io::AsyncIo;
pub use dir::{DirEntry, ReadDir, read_dir};
pub use file::File;
pub use metadata::Metadata;
pub use open::OpenOptions;
pub use whole::{copy, read, read_to_string, write};

/// A path as a call takes it.
fn c_path(path: impl AsRef<Path>) -> io::Result<CString> {
    CString::new(path.as_ref().as_os_str().as_bytes()).map_err(|_| {
        let what = "the path contains a NUL byte, which no file name can";
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })
}

/// The attributes of the file at a path; symbolic links are followed.
///
/// # Errors
///
/// That of `statx(2)`.
pub async fn metadata(handle: &Handle, path: impl AsRef<Path>) -> io::Result<Metadata> {
    stat(handle, path.as_ref(), 0).await
}

/// The attributes of the file at a path, which may be a symbolic link.
///
/// # Errors
///
/// That of `statx(2)`.
pub async fn symlink_metadata(handle: &Handle, path: impl AsRef<Path>) -> io::Result<Metadata> {
    stat(handle, path.as_ref(), libc::AT_SYMLINK_NOFOLLOW).await
}

async fn stat(handle: &Handle, path: &Path, flags: i32) -> io::Result<Metadata> {
    let stat = op::Statx::new(At::Cwd, c_path(path)?, flags, metadata::MASK);
    Ok(Metadata::new(handle.submit(stat).await?))
}

/// Whether there is a file at a path.
///
/// # Errors
///
/// That of `faccessat(2)`, when it cannot be told.
pub async fn try_exists(handle: &Handle, path: impl AsRef<Path>) -> io::Result<bool> {
    let access = Faccessat::new(At::Cwd, c_path(path)?, libc::F_OK);
    match handle.submit(access).await {
        Ok(()) => Ok(true),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a directory, whose parent must be there.
///
/// # Errors
///
/// That of `mkdirat(2)`.
pub async fn create_dir(handle: &Handle, path: impl AsRef<Path>) -> io::Result<()> {
    let make = Mkdirat::new(At::Cwd, c_path(path)?, 0o777);
    Ok(handle.submit(make).await?)
}

/// Makes a directory, and its parents if they are missing.
///
/// # Errors
///
/// That of `mkdirat(2)`; `AlreadyExists` if something else has the name.
pub async fn create_dir_all(handle: &Handle, path: impl AsRef<Path>) -> io::Result<()> {
    let mut missing = vec![path.as_ref()];
    while let Some(&path) = missing.last() {
        match create_dir(handle, path).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty())
                {
                    Some(parent) => missing.push(parent),
                    None => return Err(error),
                }
                continue;
            }
            Err(error) => {
                let is_dir = metadata(handle, path).await.is_ok_and(|at| at.is_dir());
                if !is_dir {
                    return Err(error);
                }
            }
        }
        missing.pop();
    }
    Ok(())
}

/// Removes a name that is not one of a directory.
///
/// # Errors
///
/// That of `unlinkat(2)`.
pub async fn remove_file(handle: &Handle, path: impl AsRef<Path>) -> io::Result<()> {
    let remove = Unlinkat::new(At::Cwd, c_path(path)?, 0);
    Ok(handle.submit(remove).await?)
}

/// Removes an empty directory.
///
/// # Errors
///
/// That of `unlinkat(2)`.
pub async fn remove_dir(handle: &Handle, path: impl AsRef<Path>) -> io::Result<()> {
    let remove = Unlinkat::new(At::Cwd, c_path(path)?, libc::AT_REMOVEDIR);
    Ok(handle.submit(remove).await?)
}

/// Moves a name, in place of one that is there.
///
/// # Errors
///
/// That of `renameat2(2)`.
pub async fn rename(
    handle: &Handle,
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> io::Result<()> {
    let rename = Renameat2::new(At::Cwd, c_path(from)?, At::Cwd, c_path(to)?, 0);
    Ok(handle.submit(rename).await?)
}

/// Gives a file, which may be a symbolic link, one more name.
///
/// # Errors
///
/// That of `linkat(2)`.
pub async fn hard_link(
    handle: &Handle,
    original: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> io::Result<()> {
    let link = Linkat::new(At::Cwd, c_path(original)?, At::Cwd, c_path(link)?, 0);
    Ok(handle.submit(link).await?)
}

/// Makes a symbolic link that points to `target`.
///
/// # Errors
///
/// That of `symlinkat(2)`.
pub async fn symlink(
    handle: &Handle,
    target: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> io::Result<()> {
    let link = Symlinkat::new(c_path(target)?, At::Cwd, c_path(link)?);
    Ok(handle.submit(link).await?)
}

/// Where a symbolic link points.
///
/// # Errors
///
/// That of `readlinkat(2)`.
pub async fn read_link(handle: &Handle, path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let read = Readlinkat::new(At::Cwd, c_path(path)?);
    let target = handle.submit(read).await?;
    Ok(PathBuf::from(OsString::from_vec(target)))
}

/// Changes the permissions of the file at a path; symbolic links are followed.
///
/// # Errors
///
/// That of `fchmodat(2)`.
pub async fn set_permissions(
    handle: &Handle,
    path: impl AsRef<Path>,
    permissions: Permissions,
) -> io::Result<()> {
    let change = Fchmodat::new(At::Cwd, c_path(path)?, permissions.mode() & 0o7777);
    Ok(handle.submit(change).await?)
}
