// SPDX-License-Identifier: MIT OR Apache-2.0

//! Files that are written in their own place: rsync(1), `--inplace` and `--append`.

use super::Output;
use crate::backup::Backup;
use crate::error::{Action, Cause};
use crate::fake::own_mode;
use crate::io::{Held, c_name};
use crate::list::{Attributes, Kind};
use crate::unfinished::Unfinished;
use libflexsc::Errno;
use libflexsc::op::{Lseek, Unlinkat};
use std::rc::Rc;

/// How a file is opened that is there: not through a symbolic link, and never waiting for a peer of a named pipe.
const OPEN: i32 = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;

/// How one is made.
const MAKE: i32 = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;

impl Output<'_, '_> {
    /// Opens the file itself, at the place from where on it is written. The old version is kept, if that is wanted.
    pub(super) async fn open_in_place(&mut self) -> Result<Rc<Unfinished>, Errno> {
        let (side, transfer) = (self.side, self.transfer);
        let io = &side.run.io;
        let dir = match &side.run.options.backup {
            Some(_) => side.workplace(&transfer.target, &transfer.list).await?,
            None => side.directory(&transfer.target).await?,
        };
        let (name, path) = (self.name(), transfer.target.join(self.name()));
        let file = match self.old() {
            Some(old) => {
                let mut opened = io.open(dir.at(), name, OPEN, 0).await;
                if matches!(opened, Err(Errno::EACCES)) {
                    // The owner may let itself in. The mode is set at the end, as it is of each file.
                    let mode = match side.fakes() {
                        true => own_mode(Kind::Regular, old.mode),
                        false => old.mode | 0o600,
                    };
                    side.set_mode(&dir, name, Kind::Regular, mode).await?;
                    opened = io.open(dir.at(), name, OPEN, 0).await;
                }
                let file = opened?;
                let now = io.stat_held(&file).await?;
                // Another one was to be written to.
                if now.kind != Kind::Regular || now.inode != old.inode {
                    return Err(Errno::ESTALE);
                }
                if !transfer.again.get() {
                    side.back_up(&dir, &path, Backup::Copy(&file)).await?;
                }
                file
            }
            None => {
                if !transfer.again.get() {
                    self.clear(&dir, name, &path).await?;
                }
                let mode = self.first_mode();
                match io.open(dir.at(), name, MAKE, mode).await {
                    // The first attempt made it.
                    Err(Errno::EEXIST) if transfer.again.get() => {
                        let file = io.open(dir.at(), name, OPEN, 0).await?;
                        match io.stat_held(&file).await?.kind {
                            Kind::Regular => file,
                            _ => return Err(Errno::ESTALE),
                        }
                    }
                    made => made?,
                }
            }
        };
        transfer.target.dirty.set(true);
        let start = transfer.start.get();
        if start > 0 {
            if let Some(sum) = &mut self.sum {
                io.sum(&file, start, sum).await?;
            }
            seek(self, &file, start as i64, libc::SEEK_SET).await?;
        }
        Ok(side.run.begin_in_place(transfer.id, dir, name, file))
    }

    /// Removes what has the file's name and is none.
    async fn clear(&self, dir: &Held, name: &[u8], path: &[u8]) -> Result<(), Errno> {
        let side = self.side;
        let other = |found: &Attributes| !matches!(found.kind, Kind::Regular | Kind::Directory);
        if !self.transfer.found.as_ref().is_some_and(other) {
            return Ok(());
        }
        if side.run.options.backup.is_some() {
            return side.back_up(dir, path, Backup::Move).await;
        }
        let op = Unlinkat::new(dir.at(), c_name(name), 0);
        side.run.io.handle.submit(op).await
    }

    /// Passes over bytes that are right already.
    pub(super) async fn skip(&mut self, length: u64) -> Result<(), (Action, Cause)> {
        let temp = self.temp().await?;
        let failed = |errno: Errno| (Action::Write, errno.into());
        let file = temp.file().map_err(failed)?;
        let result = seek(self, &file, length as i64, libc::SEEK_CUR).await;
        self.position += length;
        self.hole = None;
        result.map_err(failed)
    }

    /// Cuts off what the old version had more, or ends the file in a hole.
    pub(super) async fn cut(&self, file: &Held) -> Result<(), (Action, Cause)> {
        let again = self.transfer.again.get();
        let options = self.side.run.options;
        // Where all of it was right already, that still gives it the time of the transfer.
        let old = self.old();
        let cuts = old.is_some_and(|old| old.size > self.at || !options.times) || again;
        let cuts = cuts && options.in_place();
        if !cuts && self.hole.is_none() {
            return Ok(());
        }
        let io = &self.side.run.io;
        let cut = async {
            if let Some(hole) = self.hole.filter(|_| self.punch().is_some()) {
                // Only that frees the block that the file ends in.
                io.set_length(file, hole).await?;
            }
            io.set_length(file, self.at).await
        };
        let cut: Result<(), Errno> = Box::pin(cut).await;
        cut.map_err(|errno| (Action::Write, errno.into()))
    }
}

async fn seek(output: &Output<'_, '_>, file: &Held, by: i64, whence: i32) -> Result<(), Errno> {
    let op = Lseek::new(file.fd(), by, whence);
    output.side.run.io.handle.submit(op).await.map(drop)
}
