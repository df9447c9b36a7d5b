// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a socket is, as the calls take it.

#![allow(unsafe_code)]

use core::{fmt, mem};
use std::{
    io,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    path::Path,
};

use socket2::{SockAddr, SockAddrStorage};

/// The address of a socket: `struct sockaddr` with its length.
///
/// # Examples
///
/// ```
/// use libflexsc::Address;
/// use std::{net::SocketAddr, path::Path};
/// let here = Address::from(SocketAddr::from(([127, 0, 0, 1], 80)));
/// assert_eq!(here.inet().map(|here| here.port()), Some(80));
/// let there = Address::unix("/run/there.sock")?;
/// assert_eq!(there.path(), Some(Path::new("/run/there.sock")));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(SockAddr);

impl Address {
    /// A name of AF_UNIX: a path, or without one behind a leading NUL; an empty one is unnamed.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name longer than 107 bytes, or a path with a NUL in it.
    pub fn unix(path: impl AsRef<Path>) -> io::Result<Self> {
        SockAddr::unix(path).map(Self)
    }

    /// The address and port of an IPv4 or IPv6 socket.
    pub fn inet(&self) -> Option<SocketAddr> {
        self.0.as_socket()
    }

    /// The path of a socket of AF_UNIX that has one.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_pathname()
    }

    /// `libc::AF_*`.
    pub fn family(&self) -> i32 {
        self.0.family().into()
    }

    /// The address and the length as a call takes them.
    pub(crate) fn args(&self) -> [u64; 2] {
        [self.0.as_ptr() as u64, self.0.len().into()]
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.into())
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Self {
        Self(address.into())
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Self {
        Self(address.into())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.inet(), self.path()) {
            (Some(inet), _) => inet.fmt(f),
            (None, Some(path)) => path.fmt(f),
            (None, None) => write!(f, "Address(AF_{})", self.family()),
        }
    }
}

/// Room for an address that a call gives.
pub(crate) struct Room {
    storage: SockAddrStorage,
    len: libc::socklen_t,
}

impl Room {
    pub(crate) fn new() -> Self {
        let storage = SockAddrStorage::zeroed();
        Self {
            len: storage.size_of(),
            storage,
        }
    }

    /// Where the address and its length go, as a call takes them.
    pub(crate) fn args(&mut self) -> [u64; 2] {
        self.len = self.storage.size_of();
        [&raw mut self.storage as u64, &raw mut self.len as u64]
    }

    /// Where a message header has the length, which is the room there is.
    pub(crate) fn header(&mut self, header: &mut libc::msghdr) {
        header.msg_name = (&raw mut self.storage).cast();
        header.msg_namelen = self.storage.size_of();
    }

    /// The address, of which a message header told the length.
    pub(crate) fn into_address_of(mut self, len: libc::socklen_t) -> Option<Address> {
        self.len = len;
        self.into_address()
    }

    /// The address, if the call has given one.
    pub(crate) fn into_address(self) -> Option<Address> {
        if (self.len as usize) < mem::size_of::<libc::sa_family_t>() {
            return None;
        }
        // A longer one than there is room for was cut.
        let len = self.len.min(self.storage.size_of());
        // SAFETY: The call has written an address of this length into zeroed storage.
        Some(Address(unsafe { SockAddr::new(self.storage, len) }))
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}
