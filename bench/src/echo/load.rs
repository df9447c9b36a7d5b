// SPDX-License-Identifier: MIT OR Apache-2.0
//! The other end of an echo server's connections: plain calls, the same for whoever serves.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
};

/// Connections over loopback, with a message and room for an answer each.
pub(super) struct Load {
    streams: Vec<TcpStream>,
    message: Vec<u8>,
    answers: Vec<Vec<u8>>,
}

impl Load {
    /// So many connections for messages of so many bytes; and their other ends, for the server.
    ///
    /// # Errors
    ///
    /// Why there are none.
    pub(super) fn connect(connections: usize, size: usize) -> io::Result<(Self, Vec<TcpStream>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (mut streams, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..connections {
            let stream = TcpStream::connect(address)?;
            let (end, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            end.set_nodelay(true)?;
            streams.push(stream);
            ends.push(end);
        }
        let load = Self {
            streams,
            message: vec![0; size],
            answers: vec![vec![0; size]; connections],
        };
        Ok((load, ends))
    }

    /// Another message from now on.
    pub(super) fn fill(&mut self, byte: u8) {
        self.message.fill(byte);
    }

    /// Sends the message on all connections.
    pub(super) fn send(&mut self) -> io::Result<()> {
        self.streams
            .iter_mut()
            .try_for_each(|stream| stream.write_all(&self.message))
    }

    /// Receives an answer on all connections.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        self.streams
            .iter_mut()
            .zip(&mut self.answers)
            .try_for_each(|(stream, answer)| stream.read_exact(answer))
    }

    /// That what was received last is what was sent.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.answers.iter().all(|answer| *answer == self.message) {
            true => Ok(()),
            false => Err(io::Error::other("another answer than what was sent")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_what_was_sent_is_noticed() {
        let (mut load, mut ends) = Load::connect(1, 4).unwrap();
        load.fill(7);
        load.send().unwrap();
        ends[0].write_all(&[7, 7, 7, 8]).unwrap();
        load.receive().unwrap();
        assert!(load.check().is_err());
        ends[0].write_all(&[7; 4]).unwrap();
        load.receive().unwrap();
        assert!(load.check().is_ok());
    }
}
