// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets of a fuzzed process, in a network namespace that only fuzzed processes use. None blocks.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{IntoRawFd, RawFd};

use crate::rng::Rng;

/// Connections that wait to be accepted.
const WAITING: usize = 6;
/// Sockets of each kind that are neither bound nor connected.
const FRESH: usize = 6;
/// The name of a socket in the file system.
const NAME: &[u8] = b"socket";

/// The sockets.
#[derive(Debug)]
pub struct Sockets {
    pair: [RawFd; 2],
    listener: RawFd,
    port: u16,
    all: Vec<RawFd>,
    datagrams: Vec<RawFd>,
}

fn checked(ret: libc::c_int) -> io::Result<libc::c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

impl Sockets {
    /// Makes them; the loopback has to be up.
    ///
    /// # Errors
    /// What could not be made.
    pub fn new() -> io::Result<Self> {
        let mut pair = [0; 2];
        let kind = |kind| kind | libc::SOCK_NONBLOCK;
        // SAFETY: room for two descriptors.
        checked(unsafe {
            libc::socketpair(libc::AF_UNIX, kind(libc::SOCK_STREAM), 0, pair.as_mut_ptr())
        })?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut all = vec![pair[0], pair[1]];
        for _ in 0..WAITING {
            let stream = TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            all.push(stream.into_raw_fd());
        }
        for (family, what) in [
            (libc::AF_INET, libc::SOCK_DGRAM),
            (libc::AF_INET, libc::SOCK_STREAM),
            (libc::AF_UNIX, libc::SOCK_STREAM),
        ] {
            for _ in 0..FRESH {
                // SAFETY: takes no memory.
                all.push(checked(unsafe { libc::socket(family, kind(what), 0) })?);
            }
        }
        let datagrams = all[2 + WAITING..][..FRESH].to_vec();
        Ok(Self {
            pair,
            datagrams,
            listener: listener.into_raw_fd(),
            port: match address {
                SocketAddr::V4(address) => address.port(),
                SocketAddr::V6(_) => 0,
            },
            all,
        })
    }

    /// The two ends of a connection.
    pub fn pair(&self) -> [RawFd; 2] {
        self.pair
    }

    /// Any socket.
    pub fn any(&self, rng: &mut Rng) -> RawFd {
        match rng.below(8) {
            0..=2 => *rng.pick(&self.pair),
            3 => self.listener,
            _ => *rng.pick(&self.all),
        }
    }

    /// One of UDP, mostly.
    pub fn datagram(&self, rng: &mut Rng) -> RawFd {
        if rng.one_in(4) {
            self.any(rng)
        } else {
            *rng.pick(&self.datagrams)
        }
    }

    /// The one that listens, mostly.
    pub fn listener(&self, rng: &mut Rng) -> RawFd {
        if rng.one_in(4) {
            *rng.pick(&self.all)
        } else {
            self.listener
        }
    }

    /// Addresses: the listener's, one with any port, one in the file system, and none.
    pub fn addresses(&self) -> [Vec<u8>; 4] {
        let inet = |port: u16| {
            let family = (libc::AF_INET as u16).to_ne_bytes();
            let mut bytes = [family, port.to_be_bytes()].concat();
            bytes.extend(Ipv4Addr::LOCALHOST.octets());
            bytes.extend([0; 8]);
            bytes
        };
        let mut unix = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        unix.extend(NAME);
        [inet(self.port), inet(0), unix, vec![0xff; 16]]
    }
}
