// SPDX-License-Identifier: MIT OR Apache-2.0
//! futures' `AsyncRead` and `AsyncWrite` over a stream.

use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
};
use std::{io, net};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::Stream;
use crate::{
    IoBuf, Pending, Slice,
    op::{Read, Sendto, Shutdown},
    ready::Ready,
};

/// What is received, and sent, at a time, bytes.
const ROOM: usize = 32 * 1024;

/// A stream for codecs that want futures' `AsyncRead` and `AsyncWrite`.
///
/// Those take borrowed buffers, so what is received and sent goes through a buffer of this type's,
/// by a copy. A write is over when it is in the buffer; that it failed is told by the next write,
/// flush or close.
///
/// # Examples
///
/// ```
/// use futures_lite::{AsyncBufReadExt, AsyncWriteExt};
/// use libflexsc::{Handle, net::{AsyncIo, UnixStream}, task::block_on};
/// let handle = Handle::auto()?;
/// let (one, two) = UnixStream::pair(&handle)?;
/// let line = block_on(&handle, async {
///     let mut one = AsyncIo::new(one);
///     one.write_all(b"a line\nand another\n").await?;
///     one.close().await?;
///     let mut line = String::new();
///     AsyncIo::new(two).read_line(&mut line).await?;
///     Ok::<_, std::io::Error>(line)
/// })?;
/// assert_eq!(line, "a line\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AsyncIo<S> {
    stream: S,
    reading: Reading,
    writing: Writing,
}

enum Reading {
    /// This part of the buffer was received and not taken.
    Here(Vec<u8>, usize, usize),
    /// Waits without an entry.
    Crowded(Ready, Vec<u8>),
    Posted(Pending<Read<Vec<u8>>>),
}

enum Writing {
    Idle(Vec<u8>),
    Posted(Pending<Sendto<Slice<Vec<u8>>>>),
    Closing(Pending<Shutdown>),
    Closed,
}

impl<S: Stream> AsyncIo<S> {
    /// Over this stream.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            reading: Reading::Here(Vec::new(), 0, 0),
            writing: Writing::Idle(Vec::new()),
        }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Waits until something is received.
    fn poll_here(&mut self, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.reading {
                Reading::Here(_, start, end) if *start < *end => return Poll::Ready(Ok(())),
                Reading::Here(buf, ..) => {
                    let mut buf = mem::take(buf);
                    buf.resize(ROOM, 0);
                    let (handle, fd) = (self.stream.handle(), self.stream.fd());
                    self.reading = if handle.is_crowded() {
                        Reading::Crowded(handle.ready(fd, libc::POLLIN), buf)
                    } else {
                        Reading::Posted(handle.submit(Read::new(fd, buf)))
                    };
                }
                Reading::Crowded(wait, buf) => {
                    ready!(Pin::new(wait).poll(task))?;
                    let read = Read::new(self.stream.fd(), mem::take(buf));
                    self.reading = Reading::Posted(self.stream.handle().submit(read));
                }
                Reading::Posted(pending) => {
                    let (result, buf) = ready!(Pin::new(pending).poll(task));
                    let end = *result.as_ref().unwrap_or(&0);
                    self.reading = Reading::Here(buf, 0, end);
                    result?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Waits until all is sent.
    fn poll_sent(&mut self, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        while let Writing::Posted(pending) = &mut self.writing {
            let (result, part) = ready!(Pin::new(pending).poll(task));
            let start = part.start();
            let buf = part.into_inner();
            self.writing = match result {
                Ok(count) if count > 0 && start + count < buf.len() => {
                    Writing::Posted(self.send(buf.slice(start + count..)))
                }
                Ok(0) if start < buf.len() => {
                    self.writing = Writing::Idle(buf);
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                _ => Writing::Idle(buf),
            };
            result?;
        }
        Poll::Ready(Ok(()))
    }

    fn send(&self, part: Slice<Vec<u8>>) -> Pending<Sendto<Slice<Vec<u8>>>> {
        let send = Sendto::new(self.stream.fd(), part, libc::MSG_NOSIGNAL);
        self.stream.handle().submit(send)
    }
}

impl<S> Unpin for AsyncIo<S> {}

impl<S: Stream> AsyncBufRead for AsyncIo<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_here(task))?;
        match &this.reading {
            Reading::Here(buf, start, end) => Poll::Ready(Ok(&buf[*start..*end])),
            _ => Poll::Ready(Ok(&[])),
        }
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        if let Reading::Here(_, start, end) = &mut self.reading {
            *start = start.saturating_add(count).min(*end);
        }
    }
}

impl<S: Stream> AsyncRead for AsyncIo<S> {
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

impl<S: Stream> AsyncWrite for AsyncIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_sent(task))?;
        let Writing::Idle(buf) = &mut this.writing else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let count = data.len().min(ROOM);
        if count > 0 {
            let mut buf = mem::take(buf);
            buf.clear();
            buf.extend_from_slice(&data[..count]);
            this.writing = Writing::Posted(this.send(buf.slice(..)));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_sent(task)
    }

    fn poll_close(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_sent(task))?;
        if let Writing::Idle(_) = this.writing {
            let end = Shutdown::new(this.stream.fd(), net::Shutdown::Write);
            this.writing = Writing::Closing(this.stream.handle().submit(end));
        }
        if let Writing::Closing(pending) = &mut this.writing {
            let result = ready!(Pin::new(pending).poll(task));
            this.writing = Writing::Closed;
            result?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: fmt::Debug> fmt::Debug for AsyncIo<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncIo")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
