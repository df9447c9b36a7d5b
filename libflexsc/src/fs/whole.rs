// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole files.

use std::{io, os::unix::fs::PermissionsExt, path::Path};

use super::{File, OpenOptions};
use crate::{Errno, Handle, IoBuf, op::CopyFileRange};

/// How much is copied at a time, bytes.
const CHUNK: usize = 1 << 20;

/// Read at first from a file that does not tell its size, bytes.
const FIRST: usize = 4096;

/// Reads a whole file.
///
/// # Errors
///
/// What opening or reading it gives.
pub async fn read(handle: &Handle, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = File::open(handle, path).await?;
    let size = file.metadata().await?.len();
    // One byte more shows the end.
    let room = usize::try_from(size).map_or(FIRST, |size| size.saturating_add(1).max(FIRST));
    let mut content = vec![0; room.min(1 << 30)];
    let mut len = 0;
    loop {
        let (result, back) = file.read(content.slice(len..)).await;
        content = back.into_inner();
        match result? {
            0 => break,
            count => len += count,
        }
        if len == content.len() {
            content.resize(len * 2, 0);
        }
    }
    content.truncate(len);
    Ok(content)
}

/// Reads a whole file that is text.
///
/// # Errors
///
/// As for [`read()`]; `InvalidData` if it is not UTF-8.
pub async fn read_to_string(handle: &Handle, path: impl AsRef<Path>) -> io::Result<String> {
    let content = read(handle, path).await?;
    // Without the content, which a `main` that returns the error would print byte by byte.
    String::from_utf8(content)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Makes a buffer the content of a file, which is created if it is missing.
///
/// # Errors
///
/// What opening or writing it gives; the buffer comes back in any case.
pub async fn write<B: IoBuf>(
    handle: &Handle,
    path: impl AsRef<Path>,
    content: B,
) -> (io::Result<()>, B) {
    match File::create(handle, path).await {
        Ok(file) => file.write_all_at(content, 0).await,
        Err(error) => (Err(error), content),
    }
}

/// Copies the content and the permissions of a regular file; gives the number of bytes.
///
/// The kernel copies, or shares the blocks, where it can.
///
/// # Errors
///
/// `InvalidInput` if `from` is not a regular file, or what a step of it gives. A copy that was begun
/// stays there.
pub async fn copy(
    handle: &Handle,
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> io::Result<u64> {
    let source = File::open(handle, from).await?;
    let attributes = source.metadata().await?;
    if !attributes.is_file() {
        let what = "the source is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let permissions = attributes.permissions();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.mode(permissions.mode() & 0o777);
    let target = options.open(handle, to).await?;
    if target.metadata().await?.is_file() {
        // The umask does not count, as it does not for the standard library.
        target.set_permissions(permissions).await?;
    }
    let mut copied = 0;
    loop {
        let range = CopyFileRange::new(
            source.fd(),
            Some(copied),
            target.fd().clone(),
            Some(copied),
            CHUNK,
            0,
        );
        match handle.submit(range).await {
            // Files of /proc have content and no size.
            Ok(0) if copied != 0 => return Ok(copied),
            Ok(0) => return copy_by_hand(&source, &target).await,
            Ok(count) => copied += count as u64,
            Err(
                Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM,
            ) if copied == 0 => {
                return copy_by_hand(&source, &target).await;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

async fn copy_by_hand(source: &File, target: &File) -> io::Result<u64> {
    let mut buf = vec![0; 128 * 1024];
    let mut copied = 0;
    loop {
        let (result, back) = source.read_at(buf, copied).await;
        let count = match result? {
            0 => return Ok(copied),
            count => count,
        };
        let (result, back) = target.write_all_at(back.slice(..count), copied).await;
        result?;
        buf = back.into_inner();
        copied += count as u64;
    }
}
