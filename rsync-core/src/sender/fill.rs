// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whole files of the same machine: copied inside of the kernel to where the receiving side wants them, which shares their
//! blocks where the file system can.

use super::{Last, Server};
use crate::error::Action;
use crate::io::{Held, yield_now};
use crate::message::End;
use crate::opened::Opened;
use crate::options::Reflink;
use libflexsc::Errno;
use libflexsc::op::CopyFileRange;

/// The most bytes that one call copies: a stop waits for no more.
const MOST: u64 = 1024 * 1024;

/// Why a copy was not made.
enum Failed {
    /// The source could not be read.
    Read(Errno),
    /// The copy could not be written.
    Write(Action, Errno),
}

impl Server<'_, '_> {
    /// Copies a whole file into another.
    pub(super) async fn fill(&self, source: &Opened, into: &Held) -> Result<Last, Errno> {
        let copied = match self.copy(source, into).await {
            Ok(true) => source.has_changed(&self.run.io).await.map_err(Failed::Read),
            Ok(false) => Ok(true),
            Err(failed) => Err(failed),
        };
        match copied {
            Ok(false) => {
                let (size, fresh) = (source.size, source.fresh);
                Ok(End::Filled { size, fresh }.into())
            }
            Ok(true) => Ok(End::Changed.into()),
            Err(Failed::Read(errno)) => Err(errno),
            Err(Failed::Write(action, errno)) => Ok(End::NotFilled { action, errno }.into()),
        }
    }

    /// Copies as many bytes as the file should have; false if it has fewer.
    async fn copy(&self, source: &Opened, into: &Held) -> Result<bool, Failed> {
        let io = &self.run.io;
        if self.run.options.reflink == Reflink::Always {
            let cloned = io.clone_file(&source.file, into);
            cloned.map_err(|errno| Failed::Write(Action::Clone, errno))?;
            self.copied(source.size);
            return Ok(true);
        }
        let mut left = source.size;
        while left > 0 {
            let (from, to) = (source.file.fd(), into.fd());
            let op = CopyFileRange::new(from, None, to, None, left.min(MOST) as usize, 0);
            match io.handle.submit(op).await {
                // Some file systems have it say so where there is more.
                Ok(0) => return self.copy_rest(&source.file, into, left).await,
                Ok(count) => {
                    left -= count as u64;
                    self.copied(count as u64);
                    // A plain call is over at once: others would not get a turn, nor a stop.
                    if left > 0 {
                        yield_now().await;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) => {
                    return Err(Failed::Write(Action::Write, errno));
                }
                // Not for these files, or it does not say which of them is at fault.
                Err(_) => return Box::pin(self.copy_rest(&source.file, into, left)).await,
            }
        }
        Ok(true)
    }

    /// Reads and writes the `left` bytes that follow.
    async fn copy_rest(&self, from: &Held, into: &Held, mut left: u64) -> Result<bool, Failed> {
        let io = &self.run.io;
        while left > 0 {
            let (count, mut buf) = io.read(from, io.buffer(left)).await;
            let count = count.map_err(Failed::Read)?;
            if count == 0 {
                return Ok(false);
            }
            buf.truncate(count.min(left as usize));
            left -= buf.len() as u64;
            self.copied(buf.len() as u64);
            let (written, buf) = io.write(into, buf).await;
            written.map_err(|errno| Failed::Write(Action::Write, errno))?;
            io.recycle(buf);
        }
        Ok(true)
    }

    fn copied(&self, count: u64) {
        self.run.stats().matching.literal += count;
        self.run.advance(|progress| progress.moved += count);
    }
}
