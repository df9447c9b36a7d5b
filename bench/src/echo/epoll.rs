// SPDX-License-Identifier: MIT OR Apache-2.0
//! Echoing by plain calls.

#![allow(unsafe_code)]

use std::{
    io,
    net::TcpStream,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use super::{Echo, Moment, OnMoment, Server};
use crate::error::Error;

/// The most connections that one call tells of.
const TOLD: usize = 1024;

/// Receives and sends on what is ready.
pub(super) struct Epoll {
    calls: Calls,
    epoll: OwnedFd,
    ready: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Over these connections.
    ///
    /// # Errors
    ///
    /// That of `epoll_create1(2)`, `epoll_ctl(2)` or `fcntl(2)`.
    pub(super) fn new(echo: Echo, ends: Vec<TcpStream>) -> io::Result<Self> {
        // SAFETY: The call takes no pointer.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The descriptor was just opened, and nobody owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        for (place, end) in (0..).zip(&ends) {
            end.set_nonblocking(true)?;
            let mut event = libc::epoll_event {
                events: libc::EPOLLIN as u32,
                u64: place,
            };
            let (add, fd) = (libc::EPOLL_CTL_ADD, end.as_raw_fd());
            // SAFETY: The event is valid for reads.
            if unsafe { libc::epoll_ctl(epoll.as_raw_fd(), add, fd, &mut event) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let none = libc::epoll_event { events: 0, u64: 0 };
        Ok(Self {
            ready: vec![none; ends.len().min(TOLD)],
            calls: Calls::new(echo, ends),
            epoll,
        })
    }

    /// Waits for connections that can be read; returns how many `ready` has.
    fn wait(&mut self) -> io::Result<usize> {
        let (room, for_ever) = (self.ready.len() as i32, -1);
        let events = self.ready.as_mut_ptr();
        // SAFETY: There is room for as many events as are asked for.
        let count = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events, room, for_ever) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

impl Server for Epoll {
    fn rounds(&mut self, rounds: usize, load: OnMoment<'_>) -> Result<(), Error> {
        for _ in 0..rounds {
            load(Moment::Send)?;
            let mut left = self.calls.ends.len();
            while left > 0 {
                let count = self
                    .wait()
                    .map_err(|error| Error::Case(self.calls.echo.name, error))?;
                for event in &self.ready[..count] {
                    self.calls.echo(event.u64 as usize)?;
                }
                left = left.saturating_sub(count);
            }
            load(Moment::Receive)?;
        }
        Ok(())
    }
}

/// Receives and sends on all, without asking what is ready: what the calls alone cost.
pub(super) struct Calls {
    echo: Echo,
    ends: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Calls {
    /// Over these connections.
    pub(super) fn new(echo: Echo, ends: Vec<TcpStream>) -> Self {
        Self {
            buffer: vec![0; echo.size],
            echo,
            ends,
        }
    }

    /// Sends back what has come on the connection in this place: a whole message.
    fn echo(&mut self, place: usize) -> Result<(), Error> {
        let (fd, size) = (self.ends[place].as_raw_fd(), self.buffer.len());
        let (buffer, no_signal) = (self.buffer.as_mut_ptr(), libc::MSG_NOSIGNAL);
        // SAFETY: The buffer is valid for as many bytes as it is long, and nobody else uses it.
        let received = unsafe { libc::recv(fd, buffer.cast(), size, 0) };
        self.whole(place, received)?;
        // SAFETY: As above.
        let sent = unsafe { libc::send(fd, buffer.cast(), size, no_signal) };
        self.whole(place, sent)
    }

    fn whole(&self, place: usize, count: isize) -> Result<(), Error> {
        if count == self.buffer.len() as isize {
            return Ok(());
        }
        Err(Error::Result {
            case: self.echo.name,
            backend: "direct",
            index: place,
            ret: count as i64,
        })
    }
}

impl Server for Calls {
    fn rounds(&mut self, rounds: usize, load: OnMoment<'_>) -> Result<(), Error> {
        for _ in 0..rounds {
            load(Moment::Send)?;
            (0..self.ends.len()).try_for_each(|place| self.echo(place))?;
            load(Moment::Receive)?;
        }
        Ok(())
    }
}
