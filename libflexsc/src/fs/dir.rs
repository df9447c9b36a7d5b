// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading a directory.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{Metadata, c_path, metadata};
use crate::{
    At, FileType, Handle, SharedFd,
    op::{self, Getdents64, Openat},
};

/// Room for the names of one call, bytes, as readdir(3) takes it.
const ROOM: usize = 32 * 1024;

/// Opens a directory to read its names.
///
/// # Errors
///
/// That of `openat(2)`.
pub async fn read_dir(handle: &Handle, path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let open = Openat::new(At::Cwd, c_path(&path)?, flags, 0);
    let fd = handle.submit(open).await?;
    Ok(ReadDir {
        dir: Rc::new(Dir {
            handle: handle.clone(),
            fd,
            path: path.as_ref().to_owned(),
        }),
        buf: vec![0; ROOM],
        batch: Vec::new().into_iter(),
        ended: false,
    })
}

#[derive(Debug)]
struct Dir {
    handle: Handle,
    fd: SharedFd,
    path: PathBuf,
}

/// The names of a directory, in its own order, without `.` and `..`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, fs, task::block_on};
/// let handle = Handle::auto()?;
/// let names = block_on(&handle, async {
///     let (mut dir, mut names) = (fs::read_dir(&handle, "/proc/self").await?, Vec::new());
///     while let Some(entry) = dir.next().await? {
///         names.push(entry.file_name().to_owned());
///     }
///     Ok::<_, std::io::Error>(names)
/// })?;
/// assert!(names.contains(&"status".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReadDir {
    dir: Rc<Dir>,
    buf: Vec<u8>,
    batch: std::vec::IntoIter<DirEntry>,
    ended: bool,
}

impl ReadDir {
    /// The next name; `None` at the end.
    ///
    /// # Errors
    ///
    /// That of `getdents64(2)`, which ends it.
    #[allow(clippy::should_implement_trait)]
    pub async fn next(&mut self) -> io::Result<Option<DirEntry>> {
        loop {
            if let Some(entry) = self.batch.next() {
                return Ok(Some(entry));
            }
            let batch = self.read_batch().await?;
            if batch.is_empty() && self.ended {
                return Ok(None);
            }
            self.batch = batch.into_iter();
        }
    }

    /// As many names as one call brings, to do something to all of them at once; none at the end.
    ///
    /// # Errors
    ///
    /// As for [`Self::next`].
    pub async fn next_batch(&mut self) -> io::Result<Vec<DirEntry>> {
        let mut batch: Vec<_> = std::mem::take(&mut self.batch).collect();
        while batch.is_empty() && !self.ended {
            batch = self.read_batch().await?;
        }
        Ok(batch)
    }

    async fn read_batch(&mut self) -> io::Result<Vec<DirEntry>> {
        if self.ended {
            return Ok(Vec::new());
        }
        // If this fails, or its future is dropped, there is no more.
        self.ended = true;
        let buf = std::mem::take(&mut self.buf);
        let read = Getdents64::with_buf(&self.dir.fd, buf);
        let names = self.dir.handle.submit(read).await?;
        self.ended = names.is_empty();
        let entries = names
            .iter()
            .filter(|dirent| dirent.name != b"." && dirent.name != b"..")
            .map(|dirent| DirEntry {
                dir: self.dir.clone(),
                name: OsStr::from_bytes(dirent.name).to_owned(),
                ino: dirent.ino,
                d_type: dirent.d_type,
            })
            .collect();
        self.buf = names.into_buf();
        Ok(entries)
    }
}

/// A name of a directory.
///
/// # Examples
///
/// ```
/// use libflexsc::{FileType, Handle, fs, task::block_on};
/// let handle = Handle::auto()?;
/// block_on(&handle, async {
///     for entry in fs::read_dir(&handle, "/proc/self").await?.next_batch().await? {
///         if entry.file_type().await? == FileType::Directory {
///             println!("{} has inode {}", entry.path().display(), entry.ino());
///         }
///     }
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DirEntry {
    dir: Rc<Dir>,
    name: OsString,
    ino: u64,
    d_type: u8,
}

impl DirEntry {
    /// The name alone.
    pub fn file_name(&self) -> &OsStr {
        &self.name
    }

    /// The name behind the path that was given to [`read_dir`].
    pub fn path(&self) -> PathBuf {
        self.dir.path.join(&self.name)
    }

    /// Its inode number.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// The directory, for [operations](crate::op) on the name.
    pub fn dir(&self) -> &SharedFd {
        &self.dir.fd
    }

    /// The type of the file; symbolic links are not followed. No call, where the directory tells it.
    ///
    /// # Errors
    ///
    /// That of `statx(2)`.
    pub async fn file_type(&self) -> io::Result<FileType> {
        match FileType::from_d_type(self.d_type) {
            FileType::Unknown => Ok(self.metadata().await?.file_type()),
            known => Ok(known),
        }
    }

    /// The attributes of the file; symbolic links are not followed.
    ///
    /// # Errors
    ///
    /// That of `statx(2)`.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let name = c_path(&self.name)?;
        let stat = op::Statx::new(
            &self.dir.fd,
            name,
            libc::AT_SYMLINK_NOFOLLOW,
            metadata::MASK,
        );
        Ok(Metadata::new(self.dir.handle.submit(stat).await?))
    }
}
