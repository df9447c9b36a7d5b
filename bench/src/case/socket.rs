// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls on connected sockets of this process.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use super::{Case, Held, Places, Step};
use crate::call::Call;

/// Bytes of a message.
const SIZE: u64 = 64;

pub(super) fn unix(_: &Places, units: usize) -> io::Result<Case> {
    let (sender, receiver) = UnixStream::pair()?;
    let numbers = [libc::SYS_sendto, libc::SYS_recvfrom];
    Ok(transfer(
        "unix",
        numbers,
        sender.into(),
        receiver.into(),
        units,
    ))
}

fn tcp_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = TcpStream::connect(listener.local_addr()?)?;
    let (receiver, _) = listener.accept()?;
    sender.set_nodelay(true)?;
    Ok((sender.into(), receiver.into()))
}

pub(super) fn tcp(_: &Places, units: usize) -> io::Result<Case> {
    let (sender, receiver) = tcp_pair()?;
    let numbers = [libc::SYS_sendto, libc::SYS_recvfrom];
    Ok(transfer("tcp", numbers, sender, receiver, units))
}

pub(super) fn tcp_rw(_: &Places, units: usize) -> io::Result<Case> {
    let (sender, receiver) = tcp_pair()?;
    let numbers = [libc::SYS_write, libc::SYS_read];
    Ok(transfer("tcp-rw", numbers, sender, receiver, units))
}

/// A batch is sent, and then received.
fn transfer(
    name: &'static str,
    [send, receive]: [libc::c_long; 2],
    sender: OwnedFd,
    receiver: OwnedFd,
    units: usize,
) -> Case {
    let mut held = Held::default();
    let message = held.buffer(SIZE as usize);
    let flags = libc::MSG_NOSIGNAL as u64;
    let call = Call::new(send, [sender.as_raw_fd() as u64, message, SIZE, flags]);
    let receives = (0..units).map(|_| {
        let buffer = held.buffer(SIZE as usize);
        Call::new(receive, [receiver.as_raw_fd() as u64, buffer, SIZE, 0])
    });
    let steps = vec![
        Step::new(SIZE as i64, vec![call; units]),
        Step::new(SIZE as i64, receives),
    ];
    // Nothing is sent, and nobody waits.
    let warm_up = Call::new(send, [sender.as_raw_fd() as u64, message, 0, flags]);
    held.sockets.extend([sender, receiver]);
    Case {
        name,
        steps,
        prepare: None,
        warm_up,
        _held: held,
    }
}
