// SPDX-License-Identifier: MIT OR Apache-2.0
//! An echo server and its load, in one thread: the load sends on all connections, the server echoes,
//! the load receives. So it is known what a round consists of, and whoever serves finds all
//! connections ready.

mod epoll;
mod green;
mod load;
mod queued;

use std::time::{Duration, Instant};

use libflexsc::Stats;

use crate::{
    backend::{Kind, Posted, Uring},
    cpu::Cpus,
    descriptors,
    error::Error,
    events::{Counted, Events},
    mark::{self, mark},
    measure::Subject,
    window::{Turn, UNITS},
};
use epoll::{Calls, Epoll};
use green::Green;
use load::Load;
use queued::Queued;

/// Rounds before the first window.
const WARM_UP: usize = 2;

/// What is sent back, and on how many connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo {
    pub(crate) name: &'static str,
    /// Bytes of a message.
    pub(crate) size: usize,
    pub(crate) connections: usize,
    /// Whether it is asked which connections are ready. If not, plain calls are made on all.
    pub(crate) asks: bool,
}

impl Echo {
    /// Rounds of a window.
    fn rounds(&self) -> usize {
        UNITS.div_ceil(self.connections)
    }
}

/// What the load has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Send,
    Receive,
}

/// Lets the load do it.
type OnMoment<'a> = &'a mut dyn FnMut(Moment) -> Result<(), Error>;

/// Who echoes.
trait Server {
    /// Echoes one message on each connection, so many times; each time the load first sends and
    /// at last receives.
    ///
    /// # Errors
    ///
    /// That of the load; or when a call does not return what it has to.
    fn rounds(&mut self, rounds: usize, load: OnMoment<'_>) -> Result<(), Error>;

    /// What libflexsc has counted, where it is in between.
    fn stats(&self) -> Option<Stats> {
        None
    }
}

impl Subject for Echo {
    fn units(&self) -> usize {
        self.rounds() * self.connections
    }

    fn set_up(&mut self, kind: Kind, cpus: Cpus) -> Result<Box<dyn Turn + '_>, Error> {
        let failed = |error| Error::Case(self.name, error);
        // Both ends of each, and the program's own.
        descriptors::allow(2 * self.connections + 256).map_err(failed)?;
        let (load, ends) = Load::connect(self.connections, self.size).map_err(failed)?;
        // A receive and a send of each.
        let entries = 2 * self.connections;
        let server: Box<dyn Server> = match kind {
            Kind::Direct => {
                Cpus::bind(&[cpus.here])?;
                match self.asks {
                    true => Box::new(Epoll::new(*self, ends).map_err(failed)?),
                    false => Box::new(Calls::new(*self, ends)),
                }
            }
            Kind::Module | Kind::Caller | Kind::Threads => {
                let posted = Posted::open(kind, cpus, entries, |_| {})?;
                Box::new(Queued::new(*self, kind, posted, ends))
            }
            Kind::Uring | Kind::Sqpoll => {
                let ring = Uring::open(kind, cpus, entries)?;
                Box::new(Queued::new(*self, kind, ring, ends))
            }
            Kind::Green => Box::new(Green::new(*self, cpus, ends)?),
        };
        Ok(Box::new(Served {
            load,
            server,
            echo: *self,
        }))
    }
}

/// A load and who serves it.
struct Served {
    /// Goes first, so that nothing that is in flight has to be waited for.
    load: Load,
    server: Box<dyn Server>,
    echo: Echo,
}

impl Turn for Served {
    fn run(
        &mut self,
        windows: usize,
        mut events: Option<&mut Events>,
    ) -> Result<(Vec<Duration>, Vec<Counted>), Error> {
        let Self { load, server, echo } = self;
        let failed = |error| Error::Case(echo.name, error);
        let mut times = Vec::with_capacity(windows);
        let mut counted = Vec::new();
        let mut start = Instant::now();
        let mut schedule = Schedule::new(WARM_UP, echo.rounds());
        load.fill(u8::MAX);
        let rounds = WARM_UP + windows * echo.rounds();
        server.rounds(rounds, &mut |moment| match moment {
            Moment::Send => {
                if schedule.begins() {
                    load.fill(times.len() as u8);
                    if let Some(events) = events.as_deref() {
                        events.enable();
                    }
                    start = Instant::now();
                    mark::<{ mark::BEGIN }>();
                }
                load.send().map_err(failed)
            }
            Moment::Receive => {
                load.receive().map_err(failed)?;
                if !schedule.ends() {
                    return Ok(());
                }
                mark::<{ mark::END }>();
                times.push(start.elapsed());
                if let Some(events) = events.as_deref_mut() {
                    events.disable();
                    counted.push(events.take()?);
                }
                load.check().map_err(failed)
            }
        })?;
        Ok((times, counted))
    }

    fn stats(&self) -> Option<Stats> {
        self.server.stats()
    }
}

/// Which rounds begin a window, and which end one.
struct Schedule {
    /// Rounds until the first window begins.
    warm_up: usize,
    /// Rounds of a window.
    length: usize,
    /// Rounds of this window that are over.
    over: usize,
}

impl Schedule {
    fn new(warm_up: usize, length: usize) -> Self {
        Self {
            warm_up,
            length,
            over: 0,
        }
    }

    /// Whether the round that begins now is the first of a window.
    fn begins(&self) -> bool {
        self.warm_up == 0 && self.over == 0
    }

    /// A round is over: whether it was the last of a window.
    fn ends(&mut self) -> bool {
        if self.warm_up > 0 {
            self.warm_up -= 1;
            return false;
        }
        self.over = (self.over + 1) % self.length;
        self.over == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Echo = Echo {
        name: "echo",
        size: 64,
        connections: 3,
        asks: true,
    };

    #[test]
    fn windows_begin_after_the_warm_up_and_lie_side_by_side() {
        let mut schedule = Schedule::new(1, 2);
        let rounds: Vec<_> = (0..5)
            .map(|_| (schedule.begins(), schedule.ends()))
            .collect();
        let (begin, end) = ((true, false), (false, true));
        assert_eq!(rounds, [(false, false), begin, end, begin, end]);
    }

    #[test]
    fn a_window_has_enough_units_whatever_the_number_of_connections() {
        for connections in [1, 3, 64, 100, 1000] {
            let units = Echo {
                connections,
                ..ECHO
            }
            .units();
            assert!(units >= UNITS && units % connections == 0);
        }
    }

    /// Each server that can be had anywhere echoes in all windows.
    #[test]
    fn all_servers_echo() {
        let cpus = Cpus::usable();
        for (kind, asks) in [
            (Kind::Direct, true),
            (Kind::Direct, false),
            (Kind::Threads, true),
            (Kind::Green, true),
        ] {
            let mut echo = Echo { asks, ..ECHO };
            let mut turn = echo.set_up(kind, cpus).unwrap();
            let (times, _) = turn.run(2, None).unwrap();
            assert_eq!(times.len(), 2, "{}", kind.name());
        }
    }
}
