// SPDX-License-Identifier: MIT OR Apache-2.0
//! Echoing by calls that are posted: a receive is in flight on each connection all the time.

use std::{net::TcpStream, os::fd::AsRawFd};

use libflexsc::Stats;

use super::{Echo, Moment, OnMoment, Server};
use crate::{
    backend::{Kind, Queue},
    call::Call,
    error::Error,
};

/// Who posts receives and sends.
pub(super) struct Queued<Q: Queue> {
    /// Goes first: it uses what follows.
    queue: Q,
    connections: Vec<Connection>,
    echo: Echo,
    kind: Kind,
    done: Vec<(u64, i64)>,
}

/// One message is sent back from one buffer, while the next one comes into the other.
struct Connection {
    end: TcpStream,
    buffers: [Box<[u8]>; 2],
    /// Which of them is received into.
    current: usize,
}

/// What has completed, beside the place of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Received,
    Sent,
}

fn token(place: usize, what: What) -> u64 {
    (place as u64) << 1 | u64::from(what == What::Sent)
}

fn meaning(token: u64) -> (usize, What) {
    let what = if token & 1 == 1 {
        What::Sent
    } else {
        What::Received
    };
    ((token >> 1) as usize, what)
}

impl<Q: Queue> Queued<Q> {
    /// Over these connections.
    pub(super) fn new(echo: Echo, kind: Kind, mut queue: Q, ends: Vec<TcpStream>) -> Self {
        let buffer = || vec![0; echo.size].into_boxed_slice();
        let mut connections: Vec<_> = ends
            .into_iter()
            .map(|end| Connection {
                end,
                buffers: [buffer(), buffer()],
                current: 0,
            })
            .collect();
        for (place, connection) in connections.iter_mut().enumerate() {
            queue.push(&connection.receive(), token(place, What::Received));
        }
        queue.flush();
        Self {
            queue,
            connections,
            echo,
            kind,
            done: Vec::new(),
        }
    }

    /// One echo on each connection.
    fn round(&mut self) -> Result<(), Error> {
        let mut left = self.connections.len();
        while left > 0 {
            self.queue.wait();
            self.queue.take(&mut self.done);
            for (token_of, ret) in self.done.drain(..) {
                let (place, what) = meaning(token_of);
                if ret != self.echo.size as i64 {
                    return Err(Error::Result {
                        case: self.echo.name,
                        backend: self.kind.name(),
                        index: place,
                        ret,
                    });
                }
                match what {
                    What::Sent => left -= 1,
                    What::Received => {
                        let connection = &mut self.connections[place];
                        let send = connection.send();
                        self.queue.push(&send, token(place, What::Sent));
                        let receive = connection.receive();
                        self.queue.push(&receive, token(place, What::Received));
                    }
                }
            }
        }
        // The receives: by now a server would wait.
        self.queue.flush();
        Ok(())
    }
}

impl Connection {
    fn on(&mut self, nr: libc::c_long, flags: libc::c_int) -> Call {
        let (fd, flags) = (self.end.as_raw_fd() as u64, flags as u64);
        let buffer = &mut self.buffers[self.current];
        let size = buffer.len() as u64;
        Call::new(nr, [fd, buffer.as_mut_ptr() as u64, size, flags])
    }

    fn receive(&mut self) -> Call {
        self.on(libc::SYS_recvfrom, 0)
    }

    /// What was received; the next receive is into the other buffer.
    fn send(&mut self) -> Call {
        let send = self.on(libc::SYS_sendto, libc::MSG_NOSIGNAL);
        self.current = 1 - self.current;
        send
    }
}

impl<Q: Queue> Server for Queued<Q> {
    fn rounds(&mut self, rounds: usize, load: OnMoment<'_>) -> Result<(), Error> {
        for _ in 0..rounds {
            load(Moment::Send)?;
            self.round()?;
            load(Moment::Receive)?;
        }
        Ok(())
    }

    fn stats(&self) -> Option<Stats> {
        self.queue.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_connection_and_direction() {
        for place in [0, 1, 999] {
            for what in [What::Received, What::Sent] {
                assert_eq!(meaning(token(place, what)), (place, what));
            }
        }
    }
}
