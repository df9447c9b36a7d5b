// SPDX-License-Identifier: MIT OR Apache-2.0
//! A stream for two tasks.

use core::{fmt, ops::Deref};
use std::{error, net};

use socket2::SockRef;

use super::Stream;

/// The half of a stream that is received from; it dereferences to the stream.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, net::UnixStream};
/// let handle = Handle::auto()?;
/// let (one, _other) = UnixStream::pair(&handle)?;
/// let (receives, sends) = one.into_split();
/// let one = receives.reunite(sends)?; // The two are of one stream, so it is whole again.
/// # drop(one);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReadHalf<S>(S);

/// The half of a stream that is sent to; it dereferences to the stream.
///
/// Dropping it ends that direction, so that the other end sees the end of the stream;
/// [`Self::forget`] does not.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, net::UnixStream, task::block_on};
/// let handle = Handle::auto()?;
/// let (one, other) = UnixStream::pair(&handle)?;
/// let (receives, sends) = one.into_split();
/// let rest = block_on(&handle, async {
///     sends.write_all(b"the last words".to_vec()).await.0?;
///     drop(sends); // The other end sees the end of the stream after them,
///     other.read_exact(vec![0; 14]).await.0?;
///     let (end, _) = other.read(vec![0; 1]).await;
///     assert_eq!(end?, 0);
///     other.write_all(b"yes".to_vec()).await.0?; // and can still answer.
///     let (count, answer) = receives.read(vec![0; 8]).await;
///     Ok::<_, std::io::Error>(answer[..count?].to_vec())
/// })?;
/// assert_eq!(rest, b"yes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WriteHalf<S: Stream> {
    stream: S,
    ends: bool,
}

pub(super) fn split<S: Stream>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let read = ReadHalf(stream.clone());
    (read, WriteHalf { stream, ends: true })
}

impl<S: Stream> ReadHalf<S> {
    /// The whole stream again.
    ///
    /// # Errors
    ///
    /// Both halves, if they are not of one stream.
    pub fn reunite(self, other: WriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if self.0.fd().is_same(other.fd()) {
            other.forget();
            Ok(self.0)
        } else {
            Err(ReuniteError(self, other))
        }
    }
}

impl<S: Stream> WriteHalf<S> {
    /// Gives the half up, and leaves its direction open.
    pub fn forget(mut self) {
        self.ends = false;
    }
}

impl<S> Deref for ReadHalf<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S: Stream> Deref for WriteHalf<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S: Stream> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if self.ends {
            // A connection that is gone has no direction to end.
            let _ = SockRef::from(self.stream.fd()).shutdown(net::Shutdown::Write);
        }
    }
}

/// Two halves are not of one stream.
#[derive(Debug)]
pub struct ReuniteError<S: Stream>(pub ReadHalf<S>, pub WriteHalf<S>);

impl<S: Stream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of different streams: reunite each with its own")
    }
}

impl<S: Stream + fmt::Debug> error::Error for ReuniteError<S> {}
