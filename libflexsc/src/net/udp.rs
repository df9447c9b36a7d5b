// SPDX-License-Identifier: MIT OR Apache-2.0
//! UDP.

use std::{
    io,
    net::{self, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
};

use super::socket::{Socket, inet};
use crate::{
    Address, Handle, IoBuf, IoBufMut, SharedFd,
    op::{Recvfrom, Recvmsg},
};

/// A UDP socket.
///
/// # Examples
///
/// ```
/// use libflexsc::{Handle, net::UdpSocket, task::block_on};
/// let handle = Handle::auto()?;
/// block_on(&handle, async {
///     let one = UdpSocket::bind(&handle, ([127, 0, 0, 1], 0).into()).await?;
///     let two = UdpSocket::bind(&handle, ([127, 0, 0, 1], 0).into()).await?;
///     one.send_to(b"hello".to_vec(), two.local_addr()?).await.0?;
///     let (result, buf) = two.recv_from(vec![0; 64]).await;
///     let (count, from) = result?;
///     assert_eq!((&buf[..count], from), (&b"hello"[..], one.local_addr()?));
///     Ok::<_, std::io::Error>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct UdpSocket(Socket);

impl UdpSocket {
    /// A socket at an address; with port 0 the kernel chooses one.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, or what else `socket(2)` and `bind(2)` give.
    pub async fn bind(handle: &Handle, address: SocketAddr) -> io::Result<Self> {
        let address = Address::from(address);
        let socket = Socket::new(handle, address.family(), libc::SOCK_DGRAM).await?;
        socket.bind(address).await?;
        Ok(Self(socket))
    }

    /// Takes over a socket of the standard library, and makes it a blocking one.
    ///
    /// # Errors
    ///
    /// That of `fcntl(2)`.
    pub fn from_std(handle: &Handle, socket: net::UdpSocket) -> io::Result<Self> {
        Socket::adopt(handle, socket.into()).map(Self)
    }

    /// Sends to, and receives from, this address only.
    ///
    /// # Errors
    ///
    /// That of `connect(2)`.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<()> {
        Ok(self.0.connect(address.into()).await?)
    }

    /// Sends a datagram to where the socket is connected.
    ///
    /// # Errors
    ///
    /// That of `send(2)`; the buffer comes back in any case.
    pub async fn send<B: IoBuf>(&self, buf: B) -> (io::Result<usize>, B) {
        self.0.send(buf, None).await
    }

    /// Sends a datagram to an address.
    ///
    /// # Errors
    ///
    /// That of `sendto(2)`; the buffer comes back in any case.
    pub async fn send_to<B: IoBuf>(&self, buf: B, to: SocketAddr) -> (io::Result<usize>, B) {
        self.0.send(buf, Some(to.into())).await
    }

    /// Receives a datagram; what does not fit into the buffer is lost.
    ///
    /// # Errors
    ///
    /// That of `recv(2)`; the buffer comes back in any case.
    pub async fn recv<B: IoBufMut>(&self, buf: B) -> (io::Result<usize>, B) {
        self.0.read(buf).await
    }

    /// As [`Self::recv`], and tells where the datagram comes from.
    ///
    /// # Errors
    ///
    /// That of `recvfrom(2)`; the buffer comes back in any case.
    pub async fn recv_from<B: IoBufMut>(&self, buf: B) -> (io::Result<(usize, SocketAddr)>, B) {
        self.recv_with(buf, 0).await
    }

    /// As [`Self::recv_from`], and leaves the datagram for the next receive.
    ///
    /// # Errors
    ///
    /// As for [`Self::recv_from`].
    pub async fn peek_from<B: IoBufMut>(&self, buf: B) -> (io::Result<(usize, SocketAddr)>, B) {
        self.recv_with(buf, libc::MSG_PEEK).await
    }

    async fn recv_with<B: IoBufMut>(
        &self,
        buf: B,
        flags: i32,
    ) -> (io::Result<(usize, SocketAddr)>, B) {
        if let Err(errno) = self.0.patience().await {
            return (Err(errno.into()), buf);
        }
        let receive = Recvfrom::new(&self.0.fd, buf, flags);
        let (result, buf) = self.0.run(receive).await;
        let result = match result {
            Ok((count, from)) => inet(from).map(|from| (count, from)),
            Err(errno) => Err(errno.into()),
        };
        (result, buf)
    }

    /// Receives a datagram into several buffers; tells where it comes from, and whether it was longer
    /// than they are (`MSG_TRUNC`).
    ///
    /// # Errors
    ///
    /// That of `recvmsg(2)`; the buffers come back in any case.
    pub async fn recv_msg<B: IoBufMut>(
        &self,
        bufs: Vec<B>,
    ) -> (io::Result<crate::op::Message>, Vec<B>) {
        if let Err(errno) = self.0.patience().await {
            return (Err(errno.into()), bufs);
        }
        let (result, bufs) = self.0.run(Recvmsg::new(&self.0.fd, bufs, 0)).await;
        (result.map_err(Into::into), bufs)
    }

    /// Whether datagrams may go to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// That of `setsockopt(2)`.
    pub async fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.0
            .set(libc::SOL_SOCKET, libc::SO_BROADCAST, broadcast.into())
            .await
    }

    /// Where the socket is.
    ///
    /// # Errors
    ///
    /// That of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(Some(self.0.local()?))
    }

    /// Where it is connected.
    ///
    /// # Errors
    ///
    /// `NotConnected`, or what else `getpeername(2)` gives.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(Some(self.0.peer()?))
    }

    /// The socket, for [operations](crate::op).
    pub fn fd(&self) -> &SharedFd {
        &self.0.fd
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}
