// SPDX-License-Identifier: MIT OR Apache-2.0

//! The names in a directory, in one arena.

use crate::io::{Held, Io};
use libflexsc::Errno;
use libflexsc::op::Getdents64;

/// The room for entries that one call is given, bytes.
const ROOM: usize = 32 * 1024;

/// Names and their `d_type`s.
#[derive(Debug, Default)]
pub(crate) struct Names {
    arena: Vec<u8>,
    // Where each name ends, and its type.
    ends: Vec<(u32, u8)>,
}

impl Names {
    /// No names.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends all names in a directory but `.` and `..`; with an error come those that were read before it.
    pub(crate) async fn read(&mut self, io: &Io, dir: &Held) -> Result<(), Errno> {
        let mut buf = vec![0; ROOM];
        loop {
            let dirents = io
                .handle
                .submit(Getdents64::with_buf(dir.fd(), buf))
                .await?;
            if dirents.is_empty() {
                return Ok(());
            }
            for dirent in dirents
                .iter()
                .filter(|dirent| !matches!(dirent.name, b"." | b".."))
            {
                self.arena.extend_from_slice(dirent.name);
                self.ends.push((self.arena.len() as u32, dirent.d_type));
            }
            buf = dirents.into_buf();
        }
    }

    /// The names with their types, in the order in which they were read.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u8)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end as usize));
        starts
            .zip(&self.ends)
            .map(|(start, (end, d_type))| (&self.arena[start..*end as usize], *d_type))
    }

    /// The names with their types, sorted by the bytes of the names.
    pub(crate) fn sorted(&self) -> Vec<(&[u8], u8)> {
        let mut names: Vec<_> = self.iter().collect();
        names.sort_unstable();
        names
    }
}
