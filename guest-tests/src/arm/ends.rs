// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two ends of everything that can be waited for.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::idle::settled;
use crate::posted::{Poster, ensure, expect, libc_ok};
use crate::process::pipe;
use crate::suite::{Behaviour, Place};

/// A kind of file, its reading end and its writing end.
#[derive(Debug)]
pub struct Ends {
    /// What it is.
    pub kind: &'static str,
    /// Where to read.
    pub read: OwnedFd,
    /// Where to write.
    pub write: OwnedFd,
    /// How much is written, and read, at a time.
    pub len: usize,
}

/// Two connected TCP sockets over the loopback, in IPv4 or IPv6.
///
/// # Errors
/// The error of making them, as text.
pub fn tcp(host: &str) -> Result<(OwnedFd, OwnedFd), String> {
    loopback()?;
    let make = || {
        let listener = TcpListener::bind((host, 0))?;
        let one = TcpStream::connect(listener.local_addr()?)?;
        let (other, _) = listener.accept()?;
        std::io::Result::Ok((one.into(), other.into()))
    };
    make().map_err(|why| format!("tcp {host}: {why}"))
}

/// Brings the loopback interface up: nobody else does in the guest.
///
/// # Errors
/// The ioctl's error, as text.
pub fn loopback() -> Result<(), String> {
    // SAFETY: a plain structure of integers and bytes, for which zeroes are fine.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(|why| format!("udp: {why}"))?;
    // SAFETY: the request is a live structure of the kind that this ioctl reads.
    let ret = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) };
    libc_ok("lo up", ret.into()).map(|_| ())
}

fn udp() -> Result<(OwnedFd, OwnedFd), String> {
    loopback()?;
    let make = || {
        let read = UdpSocket::bind("127.0.0.1:0")?;
        let write = UdpSocket::bind("127.0.0.1:0")?;
        write.connect(read.local_addr()?)?;
        std::io::Result::Ok((read.into(), write.into()))
    };
    make().map_err(|why| format!("udp: {why}"))
}

/// An eventfd twice.
///
/// # Errors
/// The error of making it, as text.
pub fn eventfd(flags: i32) -> Result<(OwnedFd, OwnedFd), String> {
    // SAFETY: no pointers.
    let fd = libc_ok("eventfd", unsafe { libc::eventfd(0, flags) }.into())?;
    // SAFETY: the call has just returned this descriptor.
    let read = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let write = read.try_clone().map_err(|why| why.to_string())?;
    Ok((read, write))
}

fn fifo(name: &std::ffi::CStr) -> Result<(OwnedFd, OwnedFd), String> {
    crate::lifecycle::blocking::make_fifo(name)?;
    // SAFETY: a NUL-terminated name.
    let fd = libc_ok(
        "open",
        unsafe { libc::open(name.as_ptr(), libc::O_RDWR) }.into(),
    )?;
    // SAFETY: the call has just returned this descriptor.
    let read = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let write = read.try_clone().map_err(|why| why.to_string())?;
    // The next one may have the same name.
    // SAFETY: a NUL-terminated name.
    libc_ok("unlink", unsafe { libc::unlink(name.as_ptr()) }.into())?;
    Ok((read, write))
}

/// One of each kind.
///
/// # Errors
/// The error of making one, as text.
pub fn all() -> Result<Vec<Ends>, String> {
    let mut list = Vec::new();
    let mut one = |kind, len, (read, write)| {
        list.push(Ends {
            kind,
            read,
            write,
            len,
        });
    };
    one("pipe", 5, pipe().map_err(|why| why.to_string())?);
    one("fifo", 5, fifo(c"fifo")?);
    one("tcp", 5, tcp("127.0.0.1")?);
    one("tcp6", 5, tcp("::1")?);
    one("udp", 5, udp()?);
    one("eventfd", 8, eventfd(0)?);
    Ok(list)
}

/// write(2) of bytes that are not zero, all of them.
///
/// # Errors
/// write(2)'s error, or what is missing.
pub fn put(fd: &OwnedFd, len: usize) -> Result<(), String> {
    let bytes = vec![1_u8; len];
    // SAFETY: `len` bytes to write.
    let ret = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), len) };
    expect("write", libc_ok("write", ret as i64)?, len as i64)
}

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("without_blocking_it_is_eagain", nonblocking);
    one("a_time_limit_of_the_socket_counts", time_limit);
    one("the_end_of_the_other_side_ends_it", other_side);
}

fn nonblocking(_: &mut Place) -> Result<(), String> {
    let mut poster = Poster::new(crate::client::Mode::Lanes)?;
    for ends in all()? {
        // SAFETY: no pointers.
        let ret = unsafe { libc::fcntl(ends.read.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        libc_ok("fcntl", ret.into())?;
        let (ret, _) = poster.read(ends.read.as_raw_fd(), 8)?;
        expect(ends.kind, ret, -i64::from(libc::EAGAIN))?;
        put(&ends.write, ends.len)?;
        let (ret, _) = poster.read(ends.read.as_raw_fd(), 8)?;
        expect(ends.kind, ret, ends.len as i64)?;
    }
    Ok(())
}

fn time_limit(_: &mut Place) -> Result<(), String> {
    let (read, _write) = tcp("127.0.0.1")?;
    let time = libc::timeval {
        tv_sec: 0,
        tv_usec: 20_000,
    };
    // SAFETY: the option is a live structure of the size given.
    let ret = unsafe {
        libc::setsockopt(
            read.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const time).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        )
    };
    libc_ok("setsockopt", ret.into())?;
    let mut poster = Poster::new(crate::client::Mode::Lanes)?;
    let (ret, _) = poster.read(read.as_raw_fd(), 8)?;
    expect("read", ret, -i64::from(libc::EAGAIN))
}

/// Why a read did not end, with what a plain call says of the socket: the kernel drops a FIN that it has no memory for,
/// and who reads is never told (tcp_send_fin in net/ipv4/tcp_output.c).
fn unended(read: &OwnedFd, why: String) -> String {
    let mut byte = 0_u8;
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    // SAFETY: one byte may be written.
    let ret = unsafe { libc::recv(read.as_raw_fd(), (&raw mut byte).cast(), 1, flags) };
    match libc_ok("recv", ret as i64) {
        Err(error) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock => {
            format!("the socket has not ended: {error}")
        }
        _ => why,
    }
}

fn other_side(_: &mut Place) -> Result<(), String> {
    let mut poster = Poster::new(crate::client::Mode::Lanes)?;
    let mut memory = [0_u8; 8];
    for ends in [pipe().map_err(|why| why.to_string())?, tcp("127.0.0.1")?] {
        let (read, write) = ends;
        let args = [read.as_raw_fd() as u64, memory.as_mut_ptr() as u64, 8];
        poster.post(libc::SYS_read, &args)?;
        settled(&poster.context)?;
        drop(write);
        let done = poster.complete().map_err(|why| unended(&read, why))?;
        expect("read", done.ret, 0)?;
    }
    // A write that has filled a pipe ends with what it has written, and the next with EPIPE.
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let bytes = vec![7_u8; 100_000];
    let args = [
        write.as_raw_fd() as u64,
        bytes.as_ptr() as u64,
        bytes.len() as u64,
    ];
    poster.post(libc::SYS_write, &args)?;
    settled(&poster.context)?;
    ensure(
        poster.context.reap().is_ok_and(|one| one.is_none()),
        "did not wait",
    )?;
    drop(read);
    expect("write", poster.complete()?.ret, 65_536)?;
    expect(
        "write",
        poster.write(write.as_raw_fd(), &bytes)?,
        -i64::from(libc::EPIPE),
    )
}
