// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sending to a socket and receiving from it.

#![allow(unsafe_code)]

use core::fmt;

use super::{Access, Call, Operation, Sealed, file_call, int};
use crate::{Address, BufResult, Errno, IoBuf, IoBufMut, On, address::Room, buf::Segments, sys};

/// Sends one buffer: `sendto(2)`, `send(2)`.
///
/// May send less than the buffer on a stream; [`IoBuf::slice`] makes the rest a buffer of its own.
///
/// # Examples
///
/// ```
/// use libflexsc::{Address, Context, SharedFd, op::{Recvfrom, Sendto}};
/// use std::os::fd::OwnedFd;
/// let context = Context::auto()?;
/// let one = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let two = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let to = Address::from(two.local_addr()?);
/// let [one, two] = [one, two].map(|socket| SharedFd::from(OwnedFd::from(socket)));
/// context.run(Sendto::new(&one, b"hello".to_vec(), 0).to(to)).0?;
/// let (received, text) = context.run(Recvfrom::new(&two, vec![0; 16], 0));
/// assert_eq!(text[..received?.0], *b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Sendto<B = Vec<u8>> {
    fd: On,
    buf: B,
    flags: i32,
    to: Option<Address>,
}

impl<B: IoBuf> Sendto<B> {
    /// `flags` are `libc::MSG_*`. Without `MSG_NOSIGNAL` a connection whose other end is gone raises
    /// SIGPIPE where the caller makes the call itself; Rust programs ignore that signal.
    pub fn new(fd: impl Into<On>, buf: B, flags: i32) -> Self {
        Self {
            fd: fd.into(),
            buf,
            flags,
            to: None,
        }
    }

    /// To this address, on a socket that is not connected.
    pub fn to(self, address: Address) -> Self {
        Self {
            to: Some(address),
            ..self
        }
    }
}

impl<B: IoBuf> Sealed for Sendto<B> {}

impl<B: IoBuf> Operation for Sendto<B> {
    type Output = BufResult<usize, B>;

    fn call(&mut self, _: Access) -> Call {
        let (buf, len) = (self.buf.as_ptr() as u64, self.buf.bytes_len() as u64);
        let [to, to_len] = self.to.as_ref().map_or([0; 2], Address::args);
        let args = [buf, len, int(self.flags), to, to_len];
        file_call(libc::SYS_sendto, &self.fd, args)
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        (Errno::count(ret), self.buf)
    }
}

/// Receives into one buffer: `recvfrom(2)`, `recv(2)`.
///
/// Gives how many bytes came, and from where, if the protocol says. The buffer comes back as from
/// [`Read`](super::Read).
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Recvfrom, Sendto}};
/// use std::os::fd::OwnedFd;
/// let context = Context::auto()?;
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// let [reader, writer] = [reader, writer].map(|end| SharedFd::from(OwnedFd::from(end)));
///
/// context.run(Sendto::new(&writer, b"hello".to_vec(), 0)).0?;
/// // Looks at what is there, and leaves it there.
/// let (received, text) = context.run(Recvfrom::new(&reader, vec![0; 16], libc::MSG_PEEK));
/// assert_eq!(text[..received?.0], *b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Recvfrom<B = Vec<u8>> {
    fd: On,
    buf: B,
    flags: i32,
    from: Room,
}

impl<B: IoBufMut> Recvfrom<B> {
    /// `flags` are `libc::MSG_*`. With `MSG_TRUNC` the count may be more than the buffer holds.
    pub fn new(fd: impl Into<On>, buf: B, flags: i32) -> Self {
        Self {
            fd: fd.into(),
            buf,
            flags,
            from: Room::new(),
        }
    }
}

impl<B: IoBufMut> Sealed for Recvfrom<B> {}

impl<B: IoBufMut> Operation for Recvfrom<B> {
    type Output = BufResult<(usize, Option<Address>), B>;

    fn call(&mut self, _: Access) -> Call {
        let (buf, len) = (self.buf.as_mut_ptr() as u64, self.buf.bytes_len() as u64);
        let [from, from_len] = self.from.args();
        let args = [buf, len, int(self.flags), from, from_len];
        file_call(libc::SYS_recvfrom, &self.fd, args)
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        let from = self.from;
        let result = Errno::count(ret).map(|count| (count, from.into_address()));
        (result, self.buf)
    }
}

/// A message header that points into what travels with it.
struct Header(libc::msghdr);

// SAFETY: The addresses are those of what the operation owns, which is Send.
unsafe impl Send for Header {}

impl Header {
    fn new() -> Self {
        Self(sys::zeroed())
    }

    fn segments(&mut self, segments: &Segments) {
        let (base, count) = segments.args();
        self.0.msg_iov = base as *mut libc::iovec;
        self.0.msg_iovlen = count as usize;
    }

    fn arg(&mut self) -> u64 {
        &raw mut self.0 as u64
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").finish_non_exhaustive()
    }
}

/// Sends several buffers as one message, or one after the other on a stream: `sendmsg(2)`, without
/// control messages.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Read, Sendmsg}};
/// use std::os::fd::OwnedFd;
/// let context = Context::auto()?;
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// let [reader, writer] = [reader, writer].map(|end| SharedFd::from(OwnedFd::from(end)));
///
/// let (count, _) = context.run(Sendmsg::new(&writer, vec![b"hel".to_vec(), b"lo".to_vec()], 0));
/// assert_eq!(count?, 5);
/// assert_eq!(context.run(Read::new(&reader, vec![0; 5])), (Ok(5), b"hello".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Sendmsg<B = Vec<u8>> {
    fd: On,
    bufs: Vec<B>,
    segments: Segments,
    header: Header,
    flags: i32,
    to: Option<Address>,
}

impl<B: IoBuf> Sendmsg<B> {
    /// `flags` as for [`Sendto`]; more than 1024 buffers are `EMSGSIZE`.
    pub fn new(fd: impl Into<On>, bufs: Vec<B>, flags: i32) -> Self {
        Self {
            fd: fd.into(),
            segments: Segments::with_capacity(bufs.len()),
            bufs,
            header: Header::new(),
            flags,
            to: None,
        }
    }

    /// To this address, on a socket that is not connected.
    pub fn to(self, address: Address) -> Self {
        Self {
            to: Some(address),
            ..self
        }
    }
}

impl<B: IoBuf> Sealed for Sendmsg<B> {}

impl<B: IoBuf> Operation for Sendmsg<B> {
    type Output = BufResult<usize, Vec<B>>;

    fn call(&mut self, _: Access) -> Call {
        let parts = self.bufs.iter().map(|buf| (buf.as_ptr(), buf.bytes_len()));
        self.segments.set(parts);
        self.header.segments(&self.segments);
        if let Some(to) = &self.to {
            let [to, len] = to.args();
            self.header.0.msg_name = to as *mut libc::c_void;
            self.header.0.msg_namelen = len as libc::socklen_t;
        }
        let args = [self.header.arg(), int(self.flags)];
        file_call(libc::SYS_sendmsg, &self.fd, args)
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        (Errno::count(ret), self.bufs)
    }
}

/// Receives one message into several buffers: `recvmsg(2)`, without control messages, which are
/// dropped.
///
/// # Examples
///
/// ```
/// use libflexsc::{Context, SharedFd, op::{Recvmsg, Write}};
/// use std::os::fd::OwnedFd;
/// let context = Context::auto()?;
/// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
/// let [reader, writer] = [reader, writer].map(|end| SharedFd::from(OwnedFd::from(end)));
///
/// context.run(Write::new(&writer, b"hello".to_vec())).0?;
/// let (message, parts) = context.run(Recvmsg::new(&reader, vec![vec![0; 3], vec![0; 3]], 0));
/// assert_eq!(message?.len, 5);
/// assert_eq!(parts, [b"hel".to_vec(), b"lo\0".to_vec()]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Recvmsg<B = Vec<u8>> {
    fd: On,
    bufs: Vec<B>,
    segments: Segments,
    header: Header,
    flags: i32,
    from: Room,
}

/// What a [`Recvmsg`] tells of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// How many bytes came.
    pub len: usize,
    /// From where, if the protocol says.
    pub from: Option<Address>,
    /// `libc::MSG_*`: `MSG_TRUNC` if it was longer than the buffers.
    pub flags: i32,
}

impl<B: IoBufMut> Recvmsg<B> {
    /// `flags` as for [`Recvfrom`]; more than 1024 buffers are `EMSGSIZE`.
    pub fn new(fd: impl Into<On>, bufs: Vec<B>, flags: i32) -> Self {
        Self {
            fd: fd.into(),
            segments: Segments::with_capacity(bufs.len()),
            bufs,
            header: Header::new(),
            flags,
            from: Room::new(),
        }
    }
}

impl<B: IoBufMut> Sealed for Recvmsg<B> {}

impl<B: IoBufMut> Operation for Recvmsg<B> {
    type Output = BufResult<Message, Vec<B>>;

    fn call(&mut self, _: Access) -> Call {
        let parts = self
            .bufs
            .iter_mut()
            .map(|buf| (buf.as_mut_ptr().cast_const(), buf.bytes_len()));
        self.segments.set(parts);
        self.header.segments(&self.segments);
        self.from.header(&mut self.header.0);
        let args = [self.header.arg(), int(self.flags)];
        file_call(libc::SYS_recvmsg, &self.fd, args)
    }

    fn finish(self, ret: i64, _: Access) -> Self::Output {
        let (header, from) = (self.header.0, self.from);
        let result = Errno::count(ret).map(|len| Message {
            len,
            from: from.into_address_of(header.msg_namelen),
            flags: header.msg_flags,
        });
        (result, self.bufs)
    }
}
