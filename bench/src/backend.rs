// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who executes the calls.

mod direct;
mod many;
mod posted;
mod uring;

use std::{path::Path, process::Command};

use libflexsc::Stats;

use crate::{call::Call, cpu::Cpus, error::Error};

/// Executes batches of calls.
pub(crate) trait Backend {
    /// Executes the calls, in any order, and puts into `results` what each returned. All are in
    /// flight at once, and it returns when all are complete.
    fn batch(&mut self, calls: &[Call], results: &mut [i64]);

    /// As [`Self::batch`], with work behind each call: after it was made, or posted.
    fn among(&mut self, calls: &[Call], results: &mut [i64], work: &mut dyn FnMut());

    /// Posts a call so many times that does not complete while this is used. Plain calls cannot do
    /// that, and are not made.
    fn park(&mut self, _call: Call, _count: usize) {}

    /// What libflexsc has counted, where it is in between.
    fn stats(&self) -> Option<Stats> {
        None
    }
}

/// Calls in flight that complete one by one, in any order.
pub(crate) trait Queue {
    /// Posts a call; its completion has the token. It begins when it likes, at the latest with
    /// [`Self::flush`] or [`Self::wait`].
    fn push(&mut self, call: &Call, token: u64);

    /// Lets all begin that was posted.
    fn flush(&mut self);

    /// Waits until something is complete.
    fn wait(&mut self);

    /// Adds what is complete: token and result of each.
    fn take(&mut self, done: &mut Vec<(u64, i64)>);

    /// What libflexsc has counted, where it is in between.
    fn stats(&self) -> Option<Stats> {
        None
    }
}

/// A column of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One plain call after the other.
    Direct,
    /// The module; page workers and system call threads on another CPU.
    Module,
    /// The module on one CPU: the caller executes what it has posted, inside wait.
    Caller,
    /// A plain ring, a batch submitted and awaited by one `io_uring_enter`.
    Uring,
    /// A ring whose submissions a kernel thread polls for, on the other CPU.
    Sqpoll,
    /// The library's pool of threads.
    Threads,
    /// The library's green threads, over the module, or its pool where there is none. They serve
    /// connections, and execute no batches.
    Green,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Direct,
        Self::Module,
        Self::Caller,
        Self::Uring,
        Self::Sqpoll,
        Self::Threads,
        Self::Green,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Module => "module",
            Self::Caller => "module-c",
            Self::Uring => "io_uring",
            Self::Sqpoll => "sqpoll",
            Self::Threads => "threads",
            Self::Green => "green",
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::Unknown("backend", name.to_owned()))
    }

    /// Whether somebody on another CPU executes.
    pub(crate) fn wants_two_cpus(self) -> bool {
        !matches!(self, Self::Direct | Self::Caller | Self::Uring)
    }

    /// Whether it executes batches of calls, one as the other.
    pub(crate) fn takes_batches(self) -> bool {
        self != Self::Green
    }

    /// Whether its polling can be told from its work: SQPOLL's thread polls without pausing.
    pub(crate) fn tells_polling(self) -> bool {
        self != Self::Sqpoll
    }

    /// Whether it has such a call.
    pub(crate) fn has(self, call: &Call) -> bool {
        let nop = call.nr == libflexsc::sys::NR_NOP;
        match self {
            Self::Direct => !nop,
            Self::Module | Self::Caller | Self::Threads => true,
            Self::Uring | Self::Sqpoll => uring::has(call),
            Self::Green => false,
        }
    }

    /// The backend of libflexsc that executes the calls of a whole program so, if there is one.
    pub(crate) fn of_programs(self) -> Option<&'static str> {
        match self {
            Self::Direct => Some("direct"),
            Self::Module | Self::Caller => Some("module"),
            Self::Uring => Some("io_uring"),
            Self::Threads => Some("threads"),
            Self::Sqpoll | Self::Green => None,
        }
    }

    /// Lets it execute a program's calls, by the preload library; a program's own are plain calls.
    pub(crate) fn preload(self, library: &Path, command: &mut Command) {
        if let Some(backend) = self.of_programs().filter(|_| self != Self::Direct) {
            command.env("LD_PRELOAD", library);
            command.env("FLEXSC_BACKEND", backend);
        }
    }

    /// Sets it up for up to `batch` calls at a time, and binds this thread to its CPU.
    ///
    /// # Errors
    ///
    /// Why it cannot be had.
    pub(crate) fn open(self, cpus: Cpus, batch: usize) -> Result<Box<dyn Backend>, Error> {
        Ok(match self {
            Self::Direct => {
                Cpus::bind(&[cpus.here])?;
                Box::new(direct::Direct)
            }
            Self::Module | Self::Caller | Self::Threads => {
                Box::new(posted::Posted::open(self, cpus, batch, |_| {})?)
            }
            Self::Uring | Self::Sqpoll => Box::new(uring::Uring::open(self, cpus, batch)?),
            Self::Green => {
                let why = "it executes no batches: take it in group net";
                return Err(Error::Backend(self.name(), why.into()));
            }
        })
    }
}

pub(crate) use many::{InTurn, Parked, sum};
pub(crate) use posted::Posted;
pub(crate) use uring::Uring;
