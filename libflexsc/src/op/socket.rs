// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets: made, named, connected, shut down.

#![allow(unsafe_code)]

use std::net;

use super::{Access, Call, ForChain, Operation, Sealed, file_call, int, system, unit_operation};
use crate::{Address, Errno, On, Result, SharedFd, address::Room, fd};

/// Makes a socket: `socket(2)`.
///
/// When nobody takes the result any more, the socket is closed.
///
/// # Examples
///
/// ```
/// use libflexsc::{Address, Context, op::{Bind, Listen, Socket}};
/// let context = Context::auto()?;
/// let socket = context.run(Socket::new(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?;
///
/// let any = Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
/// context.run(Bind::new(&socket, any))?;
/// context.run(Listen::new(&socket, 16))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Socket {
    family: i32,
    kind: i32,
    protocol: i32,
}

impl Socket {
    /// `family` is `libc::AF_*`; `kind` is `libc::SOCK_*`, perhaps with `SOCK_CLOEXEC` and
    /// `SOCK_NONBLOCK`; `protocol` is 0 or `libc::IPPROTO_*`.
    pub fn new(family: i32, kind: i32, protocol: i32) -> Self {
        Self {
            family,
            kind,
            protocol,
        }
    }

    /// Makes the file of a chain instead: see [`ForChain`].
    pub fn for_chain(self) -> ForChain<Self> {
        ForChain::new(self)
    }
}

impl Sealed for Socket {}

impl Operation for Socket {
    type Output = Result<SharedFd>;

    fn call(&mut self, _: Access) -> Call {
        let args = [int(self.family), int(self.kind), int(self.protocol)];
        system(libc::SYS_socket, args)
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        // SAFETY: The number is what socket(2) returned, and this is the only one who saw it.
        unsafe { fd::from_return(ret) }
    }
}

/// Gives a socket its address: `bind(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Address, Context, Errno, op::{Bind, Socket}};
/// let context = Context::auto()?;
/// let socket = context.run(Socket::new(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?;
///
/// // An address that is none of this machine's.
/// let foreign = Address::from(std::net::SocketAddr::from(([192, 0, 2, 1], 0)));
/// assert_eq!(context.run(Bind::new(&socket, foreign)), Err(Errno::EADDRNOTAVAIL));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Bind {
    fd: On,
    address: Address,
}

impl Bind {
    /// The socket `fd` gets `address`; with port 0 the kernel chooses one.
    pub fn new(fd: impl Into<On>, address: Address) -> Self {
        Self {
            fd: fd.into(),
            address,
        }
    }
}

unit_operation!(Bind, SYS_bind, |this| &this.fd; [
    this.address.args()[0],
    this.address.args()[1]
]);

/// Lets a socket take connections: `listen(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, op::{Getsockopt, Listen, Socket}};
/// let context = Context::auto()?;
/// let socket = context.run(Socket::new(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?;
///
/// context.run(Listen::new(&socket, 16))?; // at a port of the kernel's choice
/// let listens = Getsockopt::new(&socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
/// assert_eq!(context.run(listens)?, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Listen {
    fd: On,
    backlog: i32,
}

impl Listen {
    /// At most `backlog` connections wait to be accepted.
    pub fn new(fd: impl Into<On>, backlog: i32) -> Self {
        Self {
            fd: fd.into(),
            backlog,
        }
    }
}

unit_operation!(Listen, SYS_listen, |this| &this.fd; [int(this.backlog)]);

/// Connects a socket: `connect(2)`. Waits until the connection is there, unless the socket has
/// `O_NONBLOCK`.
///
/// The `threads` backend holds a thread for as long as the call takes;
/// [`net::TcpStream`](crate::net::TcpStream) does not.
///
/// # Examples
///
/// ```
/// use libflexsc::{Address, Context, op::{Connect, Socket}};
/// let context = Context::auto()?;
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let socket = context.run(Socket::new(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?;
///
/// context.run(Connect::new(&socket, Address::from(listener.local_addr()?)))?;
/// let (_stream, _peer) = listener.accept()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Connect {
    fd: On,
    address: Address,
}

impl Connect {
    /// The socket `fd` to `address`.
    pub fn new(fd: impl Into<On>, address: Address) -> Self {
        Self {
            fd: fd.into(),
            address,
        }
    }
}

unit_operation!(Connect, SYS_connect, |this| &this.fd; [
    this.address.args()[0],
    this.address.args()[1]
]);

/// Takes a connection: `accept4(2)`. Gives the socket, and where the other end is.
///
/// When nobody takes the result any more, the connection is closed.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Accept4, Recvfrom}};
/// use std::{io::Write, net::{TcpListener, TcpStream}, os::fd::OwnedFd};
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// client.write_all(b"hello")?;
/// let listener = SharedFd::new(OwnedFd::from(listener));
/// let context = Context::auto()?;
/// let (socket, peer) = context.run(Accept4::new(&listener, libc::SOCK_CLOEXEC))?;
/// assert_eq!(peer.and_then(|peer| peer.inet()), Some(client.local_addr()?));
/// let ((count, _), buf) = {
///     let (result, buf) = context.run(Recvfrom::new(socket, vec![0; 16], 0));
///     (result?, buf)
/// };
/// assert_eq!(&buf[..count], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Accept4 {
    fd: On,
    flags: i32,
    peer: Room,
}

impl Accept4 {
    /// From the listening socket `fd`; `flags` are `libc::SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
    pub fn new(fd: impl Into<On>, flags: i32) -> Self {
        Self {
            fd: fd.into(),
            flags,
            peer: Room::new(),
        }
    }
}

impl Sealed for Accept4 {}

impl Operation for Accept4 {
    type Output = Result<(SharedFd, Option<Address>)>;

    fn call(&mut self, _: Access) -> Call {
        let [peer, len] = self.peer.args();
        file_call(libc::SYS_accept4, &self.fd, [peer, len, int(self.flags)])
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        // SAFETY: The number is what accept4(2) returned, and this is the only one who saw it.
        let socket = unsafe { fd::from_return(ret) }?;
        Ok((socket, self.peer.into_address()))
    }
}

/// Ends one or both directions of a connection: `shutdown(2)`.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Read, Shutdown}};
/// use std::os::fd::OwnedFd;
/// let context = Context::auto()?;
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// let [reader, writer] = [reader, writer].map(|end| SharedFd::from(OwnedFd::from(end)));
///
/// context.run(Shutdown::new(&writer, std::net::Shutdown::Write))?;
/// assert_eq!(context.run(Read::new(&reader, vec![0; 1])).0, Ok(0)); // the end of the stream
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Shutdown {
    fd: On,
    how: i32,
}

impl Shutdown {
    /// Of the socket `fd`.
    pub fn new(fd: impl Into<On>, how: net::Shutdown) -> Self {
        Self {
            fd: fd.into(),
            how: match how {
                net::Shutdown::Read => libc::SHUT_RD,
                net::Shutdown::Write => libc::SHUT_WR,
                net::Shutdown::Both => libc::SHUT_RDWR,
            },
        }
    }
}

unit_operation!(Shutdown, SYS_shutdown, |this| &this.fd; [int(this.how)]);

/// Where a socket is: `getsockname(2)`, which no backend executes apart from the caller.
///
/// # Errors
///
/// That of the call.
pub(crate) fn local_address(fd: &SharedFd) -> Result<Address> {
    name_of(libc::SYS_getsockname, fd)
}

/// Where the other end of a connection is: `getpeername(2)`, made as a plain call.
///
/// # Errors
///
/// That of the call.
pub(crate) fn peer_address(fd: &SharedFd) -> Result<Address> {
    name_of(libc::SYS_getpeername, fd)
}

fn name_of(nr: libc::c_long, fd: &SharedFd) -> Result<Address> {
    let mut room = Room::new();
    let [address, len] = room.args();
    // SAFETY: Both are valid for writes until the call has returned.
    let ret = unsafe { crate::sys::syscall(nr as u16, &[fd.arg(), address, len, 0, 0, 0]) };
    Errno::unit(ret)?;
    room.into_address().ok_or(Errno::EINVAL)
}
