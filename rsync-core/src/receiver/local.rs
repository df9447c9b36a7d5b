// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whole files of the same machine: copied inside of the kernel, which shares their blocks where the file system can.

use super::Output;
use crate::error::{Action, Cause};
use crate::io::{Held, yield_now};
use crate::message::{End, Local};
use crate::opened::Opened;
use libflexsc::Errno;
use libflexsc::op::CopyFileRange;

/// The most bytes that one call copies: a stop waits for no more.
const MOST: u64 = 1024 * 1024;

/// Why a copy was not made.
enum Failed {
    /// The source could not be read.
    Read(Errno),
    /// The copy could not be written.
    Write(Action, Cause),
}

impl From<(Action, Cause)> for Failed {
    fn from((action, cause): (Action, Cause)) -> Self {
        Self::Write(action, cause)
    }
}

impl Output<'_, '_> {
    /// Copies a whole file, and says how that ended.
    pub(super) async fn copy(&mut self, local: Local) -> End {
        let Local { opened, path } = local;
        let run = self.side.run;
        let copied = match self.copy_whole(&opened).await {
            Ok(true) => opened.has_changed(&run.io).await.map_err(Failed::Read),
            Ok(false) => Ok(true),
            Err(failed) => Err(failed),
        };
        let fresh = opened.fresh;
        // What closing a file says that was only read does not matter.
        let _ = opened.file.close().await;
        match copied {
            Ok(false) => {
                let digest = None;
                End::Complete { digest, fresh }
            }
            Ok(true) => End::Changed,
            Err(Failed::Read(errno)) => {
                run.fail_errno(path, Action::Read, errno);
                End::Failed
            }
            Err(Failed::Write(action, cause)) => {
                self.failed = Some((action, cause));
                let digest = None;
                End::Complete { digest, fresh }
            }
        }
    }

    /// Copies as many bytes as the file should have; false if it has fewer.
    async fn copy_whole(&mut self, opened: &Opened) -> Result<bool, Failed> {
        let temp = self.temp().await?;
        let file = temp
            .file()
            .map_err(|errno| Failed::Write(Action::Write, errno.into()))?;
        let io = &self.side.run.io;
        let mut left = opened.size;
        while left > 0 {
            let (from, to) = (opened.file.fd(), file.fd());
            let op = CopyFileRange::new(from, None, to, None, left.min(MOST) as usize, 0);
            match io.handle.submit(op).await {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    left -= count as u64;
                    self.copied(count as u64);
                    self.position += count as u64;
                    temp.written.set(temp.written.get() + count as u64);
                    // A plain call is over at once: others would not get a turn, nor a stop.
                    if left > 0 {
                        yield_now().await;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) => {
                    return Err(Failed::Write(Action::Write, errno.into()));
                }
                // Not for these files, or it does not say which of them is at fault.
                Err(_) => return self.copy_rest(&opened.file, left).await,
            }
        }
        Ok(true)
    }

    /// Reads and writes the `left` bytes that follow.
    async fn copy_rest(&mut self, from: &Held, mut left: u64) -> Result<bool, Failed> {
        let io = &self.side.run.io;
        while left > 0 {
            let (count, mut buf) = io.read(from, io.buffer(left)).await;
            let count = count.map_err(Failed::Read)?;
            if count == 0 {
                return Ok(false);
            }
            buf.truncate(count.min(left as usize));
            left -= buf.len() as u64;
            self.copied(buf.len() as u64);
            let buf = self.write(buf).await?;
            io.recycle(buf);
        }
        Ok(true)
    }

    fn copied(&mut self, count: u64) {
        self.at += count;
        let run = self.side.run;
        run.stats().matching.literal += count;
        run.advance(|progress| progress.moved += count);
    }
}
