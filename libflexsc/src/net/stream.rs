// SPDX-License-Identifier: MIT OR Apache-2.0
//! What streams of bytes have in common.

use crate::{Handle, SharedFd, op::Sealed};

/// A connected stream of bytes: a [`TcpStream`](super::TcpStream) or a
/// [`UnixStream`](super::UnixStream).
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, Pending, net::{Stream, UnixStream}, op::Sendto, task::block_on};
/// /// Sends with a flag that the methods of streams have not.
/// fn send_more<S: Stream>(stream: &S, bytes: Vec<u8>) -> Pending<Sendto> {
///     stream.handle().submit(Sendto::new(stream.fd(), bytes, libc::MSG_MORE))
/// }
/// let handle = Handle::auto()?;
/// let (one, other) = UnixStream::pair(&handle)?;
/// let (sent, _) = block_on(&handle, send_more(&one, b"part".to_vec()));
/// assert_eq!(sent?, 4);
/// # drop(other);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Stream: Sealed + Clone + 'static {
    /// The socket, for [operations](crate::op).
    fn fd(&self) -> &SharedFd;

    /// What the stream belongs to.
    fn handle(&self) -> &Handle;
}

/// The methods that all streams have.
macro_rules! stream_methods {
    ($name:ident) => {
        impl $name {
            /// Receives what there is, at most as much as the buffer is long; waits for the first
            /// byte. 0 bytes are the end of the stream.
            ///
            /// # Errors
            ///
            /// That of `recv(2)`; the buffer comes back in any case.
            pub async fn read<B: IoBufMut>(&self, buf: B) -> (io::Result<usize>, B) {
                self.0.read(buf).await
            }

            /// Receives until the buffer is full.
            ///
            /// # Errors
            ///
            /// `UnexpectedEof` if the stream ends before, or as for [`Self::read`]; how much came by
            /// then is unknown.
            pub async fn read_exact<B: IoBufMut>(&self, buf: B) -> (io::Result<()>, B) {
                crate::whole::whole(buf, io::ErrorKind::UnexpectedEof, async |rest, _| {
                    self.0.read(rest).await
                })
                .await
            }

            /// Sends a buffer, perhaps only a part of it. Raises no signal.
            ///
            /// # Errors
            ///
            /// That of `send(2)`; the buffer comes back in any case.
            pub async fn write<B: IoBuf>(&self, buf: B) -> (io::Result<usize>, B) {
                self.0.send(buf, None).await
            }

            /// Sends all of a buffer.
            ///
            /// # Errors
            ///
            /// As for [`Self::write`]; how much was sent by then is unknown.
            pub async fn write_all<B: IoBuf>(&self, buf: B) -> (io::Result<()>, B) {
                crate::whole::whole(buf, io::ErrorKind::WriteZero, async |rest, _| {
                    self.0.send(rest, None).await
                })
                .await
            }

            /// Ends one or both directions.
            ///
            /// # Errors
            ///
            /// That of `shutdown(2)`.
            pub async fn shutdown(&self, how: net::Shutdown) -> io::Result<()> {
                Ok(self.0.run(Shutdown::new(&self.0.fd, how)).await?)
            }

            /// One half to receive from and one to send to, for tasks of their own.
            pub fn into_split(self) -> (ReadHalf<Self>, WriteHalf<Self>) {
                halves::split(self)
            }
        }

        impl Sealed for $name {}

        impl Stream for $name {
            fn fd(&self) -> &SharedFd {
                &self.0.fd
            }

            fn handle(&self) -> &Handle {
                &self.0.handle
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.fd.as_fd()
            }
        }
    };
}
