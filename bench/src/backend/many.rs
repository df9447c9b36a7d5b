// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many contexts, and contexts in which many entries wait.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use libflexsc::Stats;

use super::{Backend, Kind};
use crate::{call::Call, cpu::Cpus, error::Error};

/// Several of a kind. Either each gets a batch in turn, or one gets all.
pub(crate) struct InTurn {
    backends: Vec<Box<dyn Backend>>,
    next: usize,
    in_turn: bool,
}

impl InTurn {
    /// So many of a kind, each for up to `batch` calls at a time.
    ///
    /// # Errors
    ///
    /// Why one cannot be had.
    pub(crate) fn open(
        kind: Kind,
        cpus: Cpus,
        batch: usize,
        count: usize,
        in_turn: bool,
    ) -> Result<Self, Error> {
        let backends = (0..count)
            .map(|_| kind.open(cpus, batch))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            backends,
            next: 0,
            in_turn,
        })
    }
}

impl Backend for InTurn {
    fn batch(&mut self, calls: &[Call], results: &mut [i64]) {
        self.backends[self.next].batch(calls, results);
        if self.in_turn {
            self.next = (self.next + 1) % self.backends.len();
        }
    }

    fn among(&mut self, calls: &[Call], results: &mut [i64], work: &mut dyn FnMut()) {
        self.backends[self.next].among(calls, results, work);
    }

    fn stats(&self) -> Option<Stats> {
        sum(self.backends.iter().map(|backend| backend.stats()))
    }
}

/// Who executed the entries of several contexts, if each of them tells.
pub(crate) fn sum(several: impl IntoIterator<Item = Option<Stats>>) -> Option<Stats> {
    let mut sum = Stats::default();
    for stats in several {
        let stats = stats?;
        sum.entries_w += stats.entries_w;
        sum.entries_t += stats.entries_t;
        sum.entries_c += stats.entries_c;
        sum.handed_back += stats.handed_back;
    }
    Some(sum)
}

/// One beside whose batches reads of an empty pipe are in flight all the time.
pub(crate) struct Parked {
    /// Once it is closed, each read ends with nothing read.
    writer: Option<OwnedFd>,
    backend: Box<dyn Backend>,
    _reader: OwnedFd,
    _buffer: Box<[u8; 1]>,
}

impl Parked {
    /// Lets so many reads wait.
    ///
    /// # Errors
    ///
    /// Why there is no pipe.
    pub(crate) fn new(mut backend: Box<dyn Backend>, count: usize) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        let mut buffer = Box::new([0]);
        let fd = reader.as_raw_fd() as u64;
        let read = Call::new(libc::SYS_read, [fd, buffer.as_mut_ptr() as u64, 1]);
        backend.park(read, count);
        Ok(Self {
            writer: Some(writer),
            backend,
            _reader: reader,
            _buffer: buffer,
        })
    }
}

impl Backend for Parked {
    fn batch(&mut self, calls: &[Call], results: &mut [i64]) {
        self.backend.batch(calls, results);
    }

    fn among(&mut self, calls: &[Call], results: &mut [i64], work: &mut dyn FnMut()) {
        self.backend.among(calls, results, work);
    }

    fn stats(&self) -> Option<Stats> {
        self.backend.stats()
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.writer = None;
    }
}

/// The end to read from, and the end to write to. That of std wants a newer rustc.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: There is room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: Both were just opened, and nobody owns them.
    Ok(unsafe { ends.map(|end| OwnedFd::from_raw_fd(end)) }.into())
}
