// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls of sockets in steps.
//!
//! `MSG_DONTWAIT` makes one attempt of a call that would block. Where attempts are not exactly the
//! blocking call, the call is made as it is, and holds its thread: the same cases as in the module,
//! `docs/abi.md` has them.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::{Attempt, EAGAIN, How, Step, advance, look, socket_option, waits};
use crate::sys;

/// What a receive may ask for that attempts do not change.
const RECEIVE: i32 = libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC | libc::MSG_NOSIGNAL;

/// A send on a stream, and what is left of it.
pub(super) struct Sending {
    parts: Vec<libc::iovec>,
    name: u64,
    name_len: u32,
    flags: i32,
}

impl Sending {
    /// Sends what is left, or a part of it.
    ///
    /// # Safety
    ///
    /// The segments and the address are valid for reads.
    pub(super) unsafe fn call(&self, fd: i32, more_flags: i32) -> i64 {
        let mut header: libc::msghdr = sys::zeroed();
        header.msg_name = self.name as *mut _;
        header.msg_namelen = self.name_len;
        header.msg_iov = self.parts.as_ptr().cast_mut();
        header.msg_iovlen = self.parts.len();
        let flags = i64::from(self.flags | more_flags) as u64;
        let args = [fd as u64, &raw const header as u64, flags, 0, 0, 0];
        // SAFETY: The header is valid for the call, and what it points to by the promise.
        unsafe { sys::syscall(libc::SYS_sendmsg as u16, &args) }
    }
}

impl Attempt {
    /// How a call is to be made that is not a read or a write.
    pub(super) fn kind_of_socket_call(&self) -> How {
        let nr = libc::c_long::from(self.nr);
        let flags_at = match nr {
            libc::SYS_recvfrom | libc::SYS_sendto | libc::SYS_accept4 => 3,
            libc::SYS_recvmsg | libc::SYS_sendmsg => 2,
            _ => return How::Plain,
        };
        let flags = self.args[flags_at] as i32;
        let Some(protocol) = Protocol::of(self.fd()) else {
            return How::Plain;
        };
        if !waits(self.fd(), self.writes()) {
            return How::Plain;
        }
        match nr {
            libc::SYS_accept4 => self.kind_of_accept(protocol, flags),
            libc::SYS_recvfrom | libc::SYS_recvmsg if flags & !RECEIVE == 0 => {
                self.without_waiting(flags_at)
            }
            libc::SYS_sendto | libc::SYS_sendmsg
                if flags & !libc::MSG_NOSIGNAL == 0 && protocol.sends_in_parts(self.fd()) =>
            {
                match protocol {
                    Protocol::Udp => match self.sending(flags) {
                        Some(_) => self.without_waiting(flags_at),
                        None => How::Plain,
                    },
                    _ => self.sending(flags).map_or(How::Plain, How::Send),
                }
            }
            _ => How::Plain,
        }
    }

    fn without_waiting(&self, flags_at: usize) -> How {
        let mut args = self.args;
        args[flags_at] |= libc::MSG_DONTWAIT as u64;
        How::Try(args)
    }

    fn kind_of_accept(&self, protocol: Protocol, flags: i32) -> How {
        let known = flags & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) == 0;
        let listens = socket_option(self.fd(), libc::SO_ACCEPTCONN, 0_i32) != 0;
        if !known || !listens || !matches!(protocol, Protocol::Tcp | Protocol::Unix) {
            return How::Plain;
        }
        let mut stat: libc::stat = sys::zeroed();
        // SAFETY: The structure is valid for writes.
        match unsafe { libc::fstat(self.fd(), &mut stat) } {
            0 => How::Accept(stat.st_ino),
            _ => How::Plain,
        }
    }

    /// What a send has to send; `None` for one that cannot be made in parts.
    fn sending(&self, flags: i32) -> Option<Sending> {
        if libc::c_long::from(self.nr) == libc::SYS_sendto {
            let [_, base, len, _, name, name_len] = self.args;
            return Some(Sending {
                parts: vec![libc::iovec {
                    iov_base: base as *mut _,
                    iov_len: len as usize,
                }],
                name,
                name_len: name_len as u32,
                flags,
            });
        }
        // SAFETY: The call would read a header at this address.
        let header = unsafe { (self.args[1] as *const libc::msghdr).read() };
        if header.msg_controllen != 0 || header.msg_iovlen > 1024 {
            return None;
        }
        let parts = (0..header.msg_iovlen).map(|i| {
            // SAFETY: The call would read that many segments at this address.
            unsafe { header.msg_iov.add(i).read() }
        });
        Some(Sending {
            parts: parts.collect(),
            name: header.msg_name as u64,
            name_len: header.msg_namelen,
            flags,
        })
    }

    /// Sends a part without blocking.
    pub(super) fn send_part(&mut self) -> Step {
        let fd = self.fd();
        let How::Send(sending) = &mut self.how else {
            return Step::Over(self.block());
        };
        // SAFETY: The segments are those of the call, or what is left of them, as promised.
        let ret = unsafe { sending.call(fd, libc::MSG_DONTWAIT) };
        if ret == EAGAIN {
            return self.not_yet();
        }
        if ret <= 0 {
            return Step::Over(self.ended(ret));
        }
        advance(&mut sending.parts, ret as usize);
        let all = sending.parts.iter().all(|part| part.iov_len == 0);
        self.wrote(ret, all)
    }

    /// Takes a connection if there is one.
    ///
    /// The call itself would block if another one took the connection first. Of this process none
    /// does: they take turns.
    pub(super) fn accept(&mut self, inode: u64) -> Step {
        let wait = self.wait();
        let Some(_turn) = Turn::take(inode) else {
            return Step::Wait(wait);
        };
        match look(wait) {
            0 => Step::Wait(wait),
            _ => Step::Over(self.block()),
        }
    }
}

/// The protocols for which attempts are known to be exact.
#[derive(Clone, Copy)]
enum Protocol {
    Tcp,
    Udp,
    /// AF_UNIX.
    Unix,
    /// Others that can be received from.
    Receives,
}

impl Protocol {
    fn of(fd: i32) -> Option<Self> {
        let option = |option| socket_option(fd, option, -1);
        let kind = option(libc::SO_TYPE);
        match (option(libc::SO_DOMAIN), kind) {
            (libc::AF_INET | libc::AF_INET6, _) => match (kind, option(libc::SO_PROTOCOL)) {
                (libc::SOCK_STREAM, libc::IPPROTO_TCP) => Some(Self::Tcp),
                (libc::SOCK_DGRAM, libc::IPPROTO_UDP) => Some(Self::Udp),
                (libc::SOCK_RAW, _) => Some(Self::Receives),
                _ => None,
            },
            (libc::AF_UNIX, _) => Some(Self::Unix),
            (libc::AF_NETLINK, _) => Some(Self::Receives),
            _ => None,
        }
    }

    /// Whether a send may be made in attempts.
    fn sends_in_parts(self, fd: i32) -> bool {
        let is_set = |level, option| option_at(fd, level, option, 0_i32) != 0;
        match self {
            Self::Tcp => {
                !is_set(libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT)
                    && !is_set(libc::SOL_SOCKET, libc::SO_TIMESTAMPING)
            }
            // An attempt for which there is no room drops what was corked.
            Self::Udp => !is_set(libc::IPPROTO_UDP, libc::UDP_CORK),
            // Of datagrams the receiver's queue may be full, of which poll does not tell.
            Self::Unix => socket_option(fd, libc::SO_TYPE, -1) == libc::SOCK_STREAM,
            Self::Receives => false,
        }
    }
}

/// Listeners from which a connection is being taken, by their inodes.
static TAKING: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// The turn to take a connection from a listener.
struct Turn(u64);

impl Turn {
    fn take(inode: u64) -> Option<Self> {
        let mut taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
        // Lazily: one that is dropped gives the turn back.
        taking.insert(inode).then(|| Self(inode))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
        taking.remove(&self.0);
    }
}

/// An option of a socket; `none` if it has none.
pub(super) fn option_at<T: Copy>(fd: i32, level: i32, option: i32, none: T) -> T {
    let mut value = none;
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: The value is valid for writes of the length given; it is integers.
    let ret = unsafe { libc::getsockopt(fd, level, option, (&raw mut value).cast(), &mut len) };
    if ret == 0 { value } else { none }
}
