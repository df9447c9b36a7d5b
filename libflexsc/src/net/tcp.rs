// SPDX-License-Identifier: MIT OR Apache-2.0
//! TCP.

use std::{
    io,
    net::{self, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

use super::{
    Stream,
    halves::{self, ReadHalf, WriteHalf},
    socket::{Socket, inet},
};
use crate::{
    Handle, IoBuf, IoBufMut, SharedFd,
    op::{Sealed, Shutdown},
};

/// A socket that takes TCP connections.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, net::TcpListener, task::block_on};
/// let handle = Handle::auto()?;
/// let listener = block_on(&handle, TcpListener::bind(&handle, ([127, 0, 0, 1], 0).into()))?;
/// let client = std::net::TcpStream::connect(listener.local_addr()?)?;
/// let (_stream, peer) = block_on(&handle, listener.accept())?;
/// assert_eq!(peer, client.local_addr()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TcpListener(Socket);

impl TcpListener {
    /// Listens at an address; with port 0 the kernel chooses one. The address may be taken again at
    /// once after the listener is gone (`SO_REUSEADDR`).
    ///
    /// # Errors
    ///
    /// `AddrInUse`, or what `socket(2)`, `bind(2)` and `listen(2)` give.
    pub async fn bind(handle: &Handle, address: SocketAddr) -> io::Result<Self> {
        Socket::listening(handle, address.into(), true)
            .await
            .map(Self)
    }

    /// Takes over a listener of the standard library, and makes it a blocking one.
    ///
    /// # Errors
    ///
    /// That of `fcntl(2)`.
    pub fn from_std(handle: &Handle, listener: net::TcpListener) -> io::Result<Self> {
        Socket::adopt(handle, listener.into()).map(Self)
    }

    /// Takes the next connection, and tells where it comes from.
    ///
    /// # Errors
    ///
    /// That of `accept4(2)`; a connection that went away meanwhile is no reason to stop.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.0.accept().await?;
        Ok((TcpStream(socket), inet(peer)?))
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// That of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(Some(self.0.local()?))
    }

    /// The socket, for [operations](crate::op).
    pub fn fd(&self) -> &SharedFd {
        &self.0.fd
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

/// A TCP connection.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, net::{TcpListener, TcpStream}, task::block_on};
/// let handle = Handle::auto()?;
/// let text = block_on(&handle, async {
///     let listener = TcpListener::bind(&handle, ([127, 0, 0, 1], 0).into()).await?;
///     let client = TcpStream::connect(&handle, listener.local_addr()?).await?;
///     let (server, peer) = listener.accept().await?;
///     assert_eq!(peer, client.local_addr()?);
///     client.set_nodelay(true).await?;
///     client.write_all(b"hello".to_vec()).await.0?;
///     let (result, text) = server.read_exact(vec![0; 5]).await;
///     result.map(|()| text)
/// })?;
/// assert_eq!(text, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TcpStream(Socket);

impl TcpStream {
    /// Connects to an address.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused`, `TimedOut`, or what else `connect(2)` gives.
    pub async fn connect(handle: &Handle, address: SocketAddr) -> io::Result<Self> {
        Socket::connected(handle, address.into()).await.map(Self)
    }

    /// Takes over a connection of the standard library, and makes it a blocking one.
    ///
    /// # Errors
    ///
    /// That of `fcntl(2)`.
    pub fn from_std(handle: &Handle, stream: net::TcpStream) -> io::Result<Self> {
        Socket::adopt(handle, stream.into()).map(Self)
    }

    /// Where this end is.
    ///
    /// # Errors
    ///
    /// That of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(Some(self.0.local()?))
    }

    /// Where the other end is.
    ///
    /// # Errors
    ///
    /// `NotConnected`, or what else `getpeername(2)` gives.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(Some(self.0.peer()?))
    }

    /// Whether small packets are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// That of `getsockopt(2)`.
    pub async fn nodelay(&self) -> io::Result<bool> {
        let value = self.0.get(libc::IPPROTO_TCP, libc::TCP_NODELAY).await?;
        Ok(value != 0)
    }

    /// Sends small packets at once, or collects them (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// That of `setsockopt(2)`.
    pub async fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0
            .set(libc::IPPROTO_TCP, libc::TCP_NODELAY, nodelay.into())
            .await
    }

    /// How many routers a packet may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// That of `getsockopt(2)`.
    pub async fn ttl(&self) -> io::Result<u32> {
        let value = self.0.get(libc::IPPROTO_IP, libc::IP_TTL).await?;
        Ok(value as u32)
    }

    /// Sets how many routers a packet may pass, 1 to 255 (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// `InvalidInput` beyond that.
    pub async fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set(libc::IPPROTO_IP, libc::IP_TTL, ttl as i32).await
    }
}

stream_methods!(TcpStream);
