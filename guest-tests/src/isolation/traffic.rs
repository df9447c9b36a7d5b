// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every call on sockets, on loopback and without waiting, for comparisons under a network policy.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::comparison::{Round, Want};
use crate::posted::{ensure, libc_ok};

/// An address of this machine.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct Local(libc::sockaddr_in);

/// Its length.
pub const LEN: u64 = size_of::<libc::sockaddr_in>() as u64;

impl Local {
    /// The loopback address with this port; 0 is any that is free.
    pub fn port(port: u16) -> Self {
        Self(libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from_be_bytes([127, 0, 0, 1]).to_be(),
            },
            sin_zero: [0; 8],
        })
    }

    /// That which a socket is bound to.
    ///
    /// # Errors
    /// getsockname(2)'s, as text.
    pub fn of(socket: RawFd) -> Result<Self, String> {
        let mut address = Self::port(0);
        let mut len = LEN as u32;
        // SAFETY: the address and its length are writable.
        let ret = unsafe { libc::getsockname(socket, (&raw mut address.0).cast(), &raw mut len) };
        libc_ok("getsockname", ret.into()).map(|_| address)
    }

    /// As an argument.
    pub fn at(&self) -> u64 {
        (&raw const self.0) as u64
    }
}

/// What a message consists of.
#[repr(C)]
#[derive(Debug)]
struct Message {
    header: libc::msghdr,
    vector: libc::iovec,
    bytes: [u8; 16],
}

impl Message {
    /// With 4 bytes, to this address if there is one.
    fn new(to: Option<&Local>) -> Box<Self> {
        // SAFETY: all zeroes is a valid message without anything.
        let mut this = Box::new(unsafe { std::mem::zeroed::<Self>() });
        this.vector = libc::iovec {
            iov_base: this.bytes.as_mut_ptr().cast(),
            iov_len: 4,
        };
        this.header.msg_iov = &raw mut this.vector;
        this.header.msg_iovlen = 1;
        if let Some(to) = to {
            this.header.msg_name = to.at() as *mut _;
            this.header.msg_namelen = LEN as u32;
        }
        this
    }

    fn at(&mut self) -> u64 {
        (&raw mut self.header) as u64
    }
}

/// The type of a socket whose calls do not wait.
fn nonblocking(kind: i32) -> u64 {
    (kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) as u64
}

/// The calls of [`stream`] that have no gate: each of them is executed.
pub const STREAM: &[&str] = &[
    "socket",
    "setsockopt",
    "getsockopt",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "write to the socket",
    "read of the socket",
];

/// A TCP connection from its beginning to its end, where a policy allows all of it.
///
/// # Errors
/// As [`Round::call`].
pub fn stream(round: &mut Round) -> Result<(), String> {
    let (inet, kind) = (libc::AF_INET as u64, nonblocking(libc::SOCK_STREAM));
    let open = |round: &mut Round| -> Result<OwnedFd, String> {
        let socket = round.open("socket", libc::SYS_socket, &[inet, kind, 0], Want::Success)?;
        socket.ok_or_else(|| "no socket".to_owned())
    };
    let (listener, client) = (open(round)?, open(round)?);
    let (on, any) = (listener.as_raw_fd() as u64, Local::port(0));
    let mut ok = |what, nr, args: &[u64]| round.call(what, nr, args, Want::Success);
    let (one, mut len) = (1_i32, 4_u32);
    let reuse = [on, libc::SOL_SOCKET as u64, libc::SO_REUSEADDR as u64];
    let set = [&reuse[..], &[(&raw const one) as u64, 4]].concat();
    ok("setsockopt", libc::SYS_setsockopt, &set)?;
    let mut option = 0_i32;
    let values = [(&raw mut option) as u64, (&raw mut len) as u64];
    ok(
        "getsockopt",
        libc::SYS_getsockopt,
        &[&reuse[..], &values].concat(),
    )?;
    ok("bind", libc::SYS_bind, &[on, any.at(), LEN])?;
    ok("listen", libc::SYS_listen, &[on, 4])?;
    let address = Local::of(listener.as_raw_fd())?;
    // It does not wait, and on loopback there is no need to.
    let to = client.as_raw_fd() as u64;
    round.call(
        "connect",
        libc::SYS_connect,
        &[to, address.at(), LEN],
        Want::Any,
    )?;
    let args = [on, 0, 0, nonblocking(0)];
    let accepted = round.open("accept4", libc::SYS_accept4, &args, Want::Success)?;
    let accepted = accepted.ok_or("no connection")?;
    let from = accepted.as_raw_fd() as u64;
    let mut bytes = [0_u8; 16];
    let (text, room) = (c"text".as_ptr() as u64, bytes.as_mut_ptr() as u64);
    let (mut sent, mut received) = (Message::new(None), Message::new(None));
    for (what, nr, args) in [
        ("sendto", libc::SYS_sendto, vec![to, text, 4]),
        ("recvfrom", libc::SYS_recvfrom, vec![from, room, 16]),
        ("sendmsg", libc::SYS_sendmsg, vec![to, sent.at()]),
        ("recvmsg", libc::SYS_recvmsg, vec![from, received.at()]),
        ("write to the socket", libc::SYS_write, vec![to, text, 4]),
        ("read of the socket", libc::SYS_read, vec![from, room, 16]),
    ] {
        let count = round.call(what, nr, &args, Want::Success)?;
        ensure(count == 4, format!("{what} gave {count}"))?;
    }
    let args = [to, libc::SHUT_RDWR as u64];
    round.call("shutdown", libc::SYS_shutdown, &args, Want::Success)?;
    Ok(())
}

/// Every call on a socket that was made before a policy forbids its kind, and those that would make another.
///
/// # Errors
/// As [`Round::call`].
pub fn forbidden(round: &mut Round, socket: RawFd, kind: i32, errno: i32) -> Result<(), String> {
    let (any, to) = (Local::port(0), Local::port(9));
    let fd = socket as u64;
    let (mut bytes, mut pair) = ([0_u8; 16], [0_i32; 2]);
    let (mut option, mut len) = (0_i32, 4_u32);
    let (text, room) = (c"text".as_ptr() as u64, bytes.as_mut_ptr() as u64);
    let (mut sent, mut received) = (Message::new(Some(&to)), Message::new(None));
    let name = [fd, libc::SOL_SOCKET as u64, libc::SO_REUSEADDR as u64];
    let value = (&raw mut option) as u64;
    let set = [&name[..], &[value, 4]].concat();
    let get = [&name[..], &[value, (&raw mut len) as u64]].concat();
    let (inet, unix) = (libc::AF_INET as u64, libc::AF_UNIX as u64);
    let new = nonblocking(kind);
    for (what, nr, args) in [
        ("a forbidden socket", libc::SYS_socket, vec![inet, new, 0]),
        (
            "a forbidden socketpair",
            libc::SYS_socketpair,
            vec![unix, new, 0, pair.as_mut_ptr() as u64],
        ),
        ("a forbidden setsockopt", libc::SYS_setsockopt, set),
        ("a forbidden getsockopt", libc::SYS_getsockopt, get),
        ("a forbidden bind", libc::SYS_bind, vec![fd, any.at(), LEN]),
        ("a forbidden listen", libc::SYS_listen, vec![fd, 4]),
        (
            "a forbidden connect",
            libc::SYS_connect,
            vec![fd, to.at(), LEN],
        ),
        ("a forbidden accept4", libc::SYS_accept4, vec![fd, 0, 0, 0]),
        (
            "a forbidden sendto",
            libc::SYS_sendto,
            vec![fd, text, 4, 0, to.at(), LEN],
        ),
        (
            "a forbidden recvfrom",
            libc::SYS_recvfrom,
            vec![fd, room, 16],
        ),
        (
            "a forbidden sendmsg",
            libc::SYS_sendmsg,
            vec![fd, sent.at()],
        ),
        (
            "a forbidden recvmsg",
            libc::SYS_recvmsg,
            vec![fd, received.at()],
        ),
        ("a forbidden shutdown", libc::SYS_shutdown, vec![fd, 2]),
        ("a forbidden write", libc::SYS_write, vec![fd, text, 4]),
        ("a forbidden read", libc::SYS_read, vec![fd, room, 16]),
    ] {
        round.call(what, nr, &args, Want::Refused(errno))?;
    }
    Ok(())
}

/// The calls of [`forbidden`] that have no gate.
pub const FORBIDDEN: &[&str] = &[
    "a forbidden socket",
    "a forbidden socketpair",
    "a forbidden setsockopt",
    "a forbidden getsockopt",
    "a forbidden sendto",
    "a forbidden recvfrom",
    "a forbidden sendmsg",
    "a forbidden recvmsg",
    "a forbidden write",
    "a forbidden read",
];
