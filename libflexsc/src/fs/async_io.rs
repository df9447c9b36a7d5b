// SPDX-License-Identifier: MIT OR Apache-2.0
//! futures' `AsyncRead`, `AsyncWrite` and `AsyncSeek` over a file.

use core::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
};
use std::io::{self, SeekFrom};

use futures_io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite};

use super::{File, metadata};
use crate::{
    IoBuf, Pending, Slice,
    op::{Pread, Pwrite, Statx},
};

/// What is read, and written, at a time, bytes.
const ROOM: usize = 64 * 1024;

/// A file for codecs that want futures' `AsyncRead`, `AsyncBufRead`, `AsyncWrite` and `AsyncSeek`.
///
/// It has a position of its own, at first 0, and reads and writes there by `pread(2)` and `pwrite(2)`: the
/// file's own position is not used, so several of these can be on one file. What has no positions (a pipe)
/// gives `ESPIPE`; with `O_APPEND` writes go to the end.
///
/// The traits take borrowed buffers, so what is read and written goes through a buffer of this type's, by
/// a copy. A write is over when it is in the buffer; that it failed is told by the next write, read,
/// seek, flush or close. Dropping it without a flush or close may lose what was written last.
///
/// # Examples
///
/// ```
/// use futures_lite::{AsyncBufReadExt, AsyncSeekExt, AsyncWriteExt};
/// use libflexsc::{Handle, fs::{AsyncIo, OpenOptions}, task::block_on};
/// let path = std::env::temp_dir().join(format!("flexsc-doc-async-io-{}", std::process::id()));
/// let handle = Handle::auto()?;
/// let line = block_on(&handle, async {
///     let file = OpenOptions::new().read(true).write(true).create(true).open(&handle, &path).await?;
///     let mut file = AsyncIo::new(file);
///     file.write_all(b"a line\nand another\n").await?;
///     file.seek(std::io::SeekFrom::Start(2)).await?;
///     let mut line = String::new();
///     file.read_line(&mut line).await?;
///     file.close().await?;
///     Ok::<_, std::io::Error>(line)
/// })?;
/// assert_eq!(line, "line\n");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AsyncIo {
    file: File,
    /// Where the next byte is read or written.
    position: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// This part of the buffer was read and not taken.
    Here(Vec<u8>, usize, usize),
    Reading(Pending<Pread<Vec<u8>>>),
    /// At this offset.
    Writing(Pending<Pwrite<Slice<Vec<u8>>>>, u64),
    /// For a seek from the end.
    Measuring(Pending<Statx>),
}

impl AsyncIo {
    /// Over this file, at its beginning.
    pub fn new(file: File) -> Self {
        Self {
            file,
            position: 0,
            state: State::Here(Vec::new(), 0, 0),
        }
    }

    /// The file.
    pub fn get_ref(&self) -> &File {
        &self.file
    }

    /// Waits until nothing is in progress. Returns the length of the file, if that was asked for.
    fn poll_idle(&mut self, task: &mut TaskContext<'_>) -> Poll<io::Result<Option<u64>>> {
        loop {
            match &mut self.state {
                State::Here(..) => return Poll::Ready(Ok(None)),
                State::Reading(pending) => {
                    let (result, buf) = ready!(Pin::new(pending).poll(task));
                    let end = *result.as_ref().unwrap_or(&0);
                    self.state = State::Here(buf, 0, end);
                    result?;
                }
                State::Writing(pending, offset) => {
                    let offset = *offset;
                    let (result, part) = ready!(Pin::new(pending).poll(task));
                    let start = part.start();
                    let buf = part.into_inner();
                    let count = match result {
                        Ok(count) => count,
                        Err(errno) => {
                            self.state = State::Here(buf, 0, 0);
                            return Poll::Ready(Err(errno.into()));
                        }
                    };
                    let left = buf.len() - start - count;
                    if left > 0 && count == 0 {
                        self.state = State::Here(buf, 0, 0);
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    self.state = match left {
                        0 => State::Here(buf, 0, 0),
                        _ => self.write(buf.slice(start + count..), offset + count as u64),
                    };
                }
                State::Measuring(pending) => {
                    let result = ready!(Pin::new(pending).poll(task));
                    self.state = State::Here(Vec::new(), 0, 0);
                    return Poll::Ready(Ok(Some(result?.size())));
                }
            }
        }
    }

    fn write(&self, part: Slice<Vec<u8>>, offset: u64) -> State {
        let write = Pwrite::new(self.file.fd(), part, offset);
        State::Writing(self.file.handle().submit(write), offset)
    }

    /// Goes to a position; what was read from there on is kept if it is ahead.
    fn go_to(&mut self, position: u64) -> Poll<io::Result<u64>> {
        if let State::Here(_, start, end) = &mut self.state {
            let ahead = position.checked_sub(self.position);
            match ahead.and_then(|ahead| usize::try_from(ahead).ok()) {
                Some(ahead) if ahead <= *end - *start => *start += ahead,
                _ => (*start, *end) = (0, 0),
            }
        }
        self.position = position;
        Poll::Ready(Ok(position))
    }
}

impl AsyncBufRead for AsyncIo {
    fn poll_fill_buf(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        // What a read has found, be it the end.
        let found = matches!(this.state, State::Reading(_));
        ready!(this.poll_idle(task))?;
        if let State::Here(buf, start, end) = &mut this.state {
            if start == end && !found {
                let mut buf = mem::take(buf);
                buf.resize(ROOM, 0);
                let read = Pread::new(this.file.fd(), buf, this.position);
                this.state = State::Reading(this.file.handle().submit(read));
                ready!(this.poll_idle(task))?;
            }
        }
        match &this.state {
            State::Here(buf, start, end) => Poll::Ready(Ok(&buf[*start..*end])),
            _ => Poll::Ready(Ok(&[])),
        }
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        if let State::Here(_, start, end) = &mut self.state {
            let taken = count.min(*end - *start);
            *start += taken;
            self.position += taken as u64;
        }
    }
}

impl AsyncRead for AsyncIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let here = ready!(self.as_mut().poll_fill_buf(task))?;
        let count = here.len().min(buf.len());
        buf[..count].copy_from_slice(&here[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for AsyncIo {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_idle(task))?;
        let count = data.len().min(ROOM);
        if let (State::Here(buf, ..), 1..) = (&mut this.state, count) {
            let mut buf = mem::take(buf);
            buf.clear();
            buf.extend_from_slice(&data[..count]);
            this.state = this.write(buf.slice(..), this.position);
            this.position += count as u64;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        ready!(self.get_mut().poll_idle(task))?;
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(task)
    }
}

impl AsyncSeek for AsyncIo {
    fn poll_seek(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        let this = self.get_mut();
        let mut len = ready!(this.poll_idle(task))?;
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(step) => this.position.checked_add_signed(step),
            SeekFrom::End(step) => {
                if len.is_none() {
                    let stat = Statx::new(
                        this.file.fd(),
                        c"".into(),
                        libc::AT_EMPTY_PATH,
                        metadata::MASK,
                    );
                    this.state = State::Measuring(this.file.handle().submit(stat));
                    len = ready!(this.poll_idle(task))?;
                }
                len.and_then(|len| len.checked_add_signed(step))
            }
        };
        // As lseek(2): nothing is before the beginning, or beyond what an offset can say.
        match position.filter(|position| i64::try_from(*position).is_ok()) {
            Some(position) => this.go_to(position),
            None => Poll::Ready(Err(io::Error::from_raw_os_error(libc::EINVAL))),
        }
    }
}
