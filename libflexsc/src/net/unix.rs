// SPDX-License-Identifier: MIT OR Apache-2.0
//! Streams of AF_UNIX.

use std::{
    io, net,
    os::{
        fd::{AsFd, BorrowedFd},
        unix,
    },
    path::Path,
};

use super::{
    Stream,
    halves::{self, ReadHalf, WriteHalf},
    socket::Socket,
};
use crate::{
    Address, Handle, IoBuf, IoBufMut, SharedFd,
    op::{Sealed, Shutdown},
};

/// A socket that takes connections at a path.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, net::UnixListener, task::block_on};
/// let path = std::env::temp_dir().join(format!("flexsc-doc-{}", std::process::id()));
/// let handle = Handle::auto()?;
/// let listener = block_on(&handle, UnixListener::bind(&handle, &path))?;
/// let client = std::os::unix::net::UnixStream::connect(&path)?;
/// std::fs::remove_file(&path)?;
/// let (stream, _) = block_on(&handle, listener.accept())?;
/// drop(client);
/// assert_eq!(block_on(&handle, stream.read(vec![0; 8])).0?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct UnixListener(Socket);

impl UnixListener {
    /// Makes the path and listens there. The path stays when the listener is gone.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if the path is there, `InvalidInput` if it is longer than 107 bytes, or what else
    /// `bind(2)` gives.
    pub async fn bind(handle: &Handle, path: impl AsRef<Path>) -> io::Result<Self> {
        Socket::listening(handle, Address::unix(path)?, false)
            .await
            .map(Self)
    }

    /// Takes over a listener of the standard library, and makes it a blocking one.
    ///
    /// # Errors
    ///
    /// That of `fcntl(2)`.
    pub fn from_std(handle: &Handle, listener: unix::net::UnixListener) -> io::Result<Self> {
        Socket::adopt(handle, listener.into()).map(Self)
    }

    /// Takes the next connection, and tells the other end's address, mostly an unnamed one.
    ///
    /// # Errors
    ///
    /// That of `accept4(2)`.
    pub async fn accept(&self) -> io::Result<(UnixStream, Option<Address>)> {
        let (socket, peer) = self.0.accept().await?;
        Ok((UnixStream(socket), peer))
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// That of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.0.local()
    }

    /// The socket, for [operations](crate::op).
    pub fn fd(&self) -> &SharedFd {
        &self.0.fd
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

/// A connection of AF_UNIX.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, net::UnixStream, task::block_on};
/// let handle = Handle::auto()?;
/// let (one, two) = UnixStream::pair(&handle)?;
/// let echo = block_on(&handle, async {
///     one.write_all(b"hello".to_vec()).await.0?;
///     let (result, buf) = two.read_exact(vec![0; 5]).await;
///     result.map(|()| buf)
/// })?;
/// assert_eq!(echo, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct UnixStream(Socket);

impl UnixStream {
    /// Connects to the listener at a path.
    ///
    /// # Errors
    ///
    /// `NotFound`, `ConnectionRefused`, or what else `connect(2)` gives.
    pub async fn connect(handle: &Handle, path: impl AsRef<Path>) -> io::Result<Self> {
        Socket::connected(handle, Address::unix(path)?)
            .await
            .map(Self)
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    ///
    /// That of `socketpair(2)`.
    pub fn pair(handle: &Handle) -> io::Result<(Self, Self)> {
        let (one, two) = unix::net::UnixStream::pair()?;
        Ok((Self::from_std(handle, one)?, Self::from_std(handle, two)?))
    }

    /// Takes over a connection of the standard library, and makes it a blocking one.
    ///
    /// # Errors
    ///
    /// That of `fcntl(2)`.
    pub fn from_std(handle: &Handle, stream: unix::net::UnixStream) -> io::Result<Self> {
        Socket::adopt(handle, stream.into()).map(Self)
    }

    /// Where this end is.
    ///
    /// # Errors
    ///
    /// That of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.0.local()
    }

    /// Where the other end is.
    ///
    /// # Errors
    ///
    /// `NotConnected`, or what else `getpeername(2)` gives.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.0.peer()
    }
}

stream_methods!(UnixStream);
