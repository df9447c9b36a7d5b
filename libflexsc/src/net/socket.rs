// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all sockets have in common.

use std::{io, net::SocketAddr, os::fd::OwnedFd};

use socket2::SockRef;

use crate::{
    Address, Errno, Handle, IoBuf, IoBufMut, SharedFd,
    backend::Kind,
    op::{
        self, Accept4, Bind, Connect, Getsockopt, Listen, Operation, Poll, Read, Sendto, Setsockopt,
    },
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket of a handle.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    pub(crate) handle: Handle,
    pub(crate) fd: SharedFd,
}

impl Socket {
    pub(super) async fn new(handle: &Handle, family: i32, kind: i32) -> io::Result<Self> {
        let kind = kind | libc::SOCK_CLOEXEC;
        let fd = handle.submit(op::Socket::new(family, kind, 0)).await?;
        let handle = handle.clone();
        Ok(Self { handle, fd })
    }

    /// One that somebody else has made: its calls are to block, which is how they are waited for.
    pub(super) fn adopt(handle: &Handle, fd: OwnedFd) -> io::Result<Self> {
        SockRef::from(&fd).set_nonblocking(false)?;
        Ok(Self {
            handle: handle.clone(),
            fd: fd.into(),
        })
    }

    pub(super) async fn listening(
        handle: &Handle,
        address: Address,
        reuse: bool,
    ) -> io::Result<Self> {
        let socket = Self::new(handle, address.family(), libc::SOCK_STREAM).await?;
        if reuse {
            socket.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, 1).await?;
        }
        socket.bind(address).await?;
        socket.run(Listen::new(&socket.fd, BACKLOG)).await?;
        Ok(socket)
    }

    pub(super) async fn connected(handle: &Handle, address: Address) -> io::Result<Self> {
        // A pool would hold a thread for as long as a connect takes; the module does not.
        let own_wait = address.family() != libc::AF_UNIX
            && !matches!(handle.choice().kind, Kind::Module | Kind::Direct);
        let flag = if own_wait { libc::SOCK_NONBLOCK } else { 0 };
        let socket = Self::new(handle, address.family(), libc::SOCK_STREAM | flag).await?;
        match socket.connect(address).await {
            Err(Errno::EINPROGRESS) if own_wait => {
                socket.run(Poll::new(&socket.fd, libc::POLLOUT)).await?;
                match socket.get(libc::SOL_SOCKET, libc::SO_ERROR).await? {
                    0 => {}
                    errno => return Err(Errno::from_raw(errno).into()),
                }
            }
            result => result?,
        }
        if own_wait {
            SockRef::from(&socket.fd).set_nonblocking(false)?;
        }
        Ok(socket)
    }

    pub(super) fn run<O: Operation>(&self, op: O) -> crate::Pending<O> {
        self.handle.submit(op)
    }

    pub(super) async fn bind(&self, address: Address) -> io::Result<()> {
        Ok(self.run(Bind::new(&self.fd, address)).await?)
    }

    pub(super) async fn connect(&self, address: Address) -> crate::Result<()> {
        self.run(Connect::new(&self.fd, address)).await
    }

    /// Waits for what may take long without an entry of the page, if those are scarce.
    pub(super) async fn patience(&self) -> crate::Result<()> {
        if self.handle.is_crowded() {
            self.handle.ready(&self.fd, libc::POLLIN).await?;
        }
        Ok(())
    }

    pub(super) async fn accept(&self) -> io::Result<(Self, Option<Address>)> {
        self.patience().await?;
        let (fd, peer) = self.run(Accept4::new(&self.fd, libc::SOCK_CLOEXEC)).await?;
        let handle = self.handle.clone();
        Ok((Self { handle, fd }, peer))
    }

    pub(super) async fn read<B: IoBufMut>(&self, buf: B) -> (io::Result<usize>, B) {
        if let Err(errno) = self.patience().await {
            return (Err(errno.into()), buf);
        }
        let (result, buf) = self.run(Read::new(&self.fd, buf)).await;
        (result.map_err(Into::into), buf)
    }

    pub(super) async fn send<B: IoBuf>(
        &self,
        buf: B,
        to: Option<Address>,
    ) -> (io::Result<usize>, B) {
        let mut send = Sendto::new(&self.fd, buf, libc::MSG_NOSIGNAL);
        if let Some(to) = to {
            send = send.to(to);
        }
        let (result, buf) = self.run(send).await;
        (result.map_err(Into::into), buf)
    }

    pub(super) async fn set(&self, level: i32, option: i32, value: i32) -> io::Result<()> {
        Ok(self
            .run(Setsockopt::new(&self.fd, level, option, value))
            .await?)
    }

    pub(super) async fn get(&self, level: i32, option: i32) -> io::Result<i32> {
        Ok(self.run(Getsockopt::new(&self.fd, level, option)).await?)
    }

    pub(super) fn local(&self) -> io::Result<Address> {
        Ok(op::local_address(&self.fd)?)
    }

    pub(super) fn peer(&self) -> io::Result<Address> {
        Ok(op::peer_address(&self.fd)?)
    }
}

/// The address of a socket of the internet.
pub(super) fn inet(address: Option<Address>) -> io::Result<SocketAddr> {
    address
        .and_then(|address| address.inet())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an IPv4 or IPv6 address"))
}
