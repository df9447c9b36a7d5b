// SPDX-License-Identifier: MIT OR Apache-2.0

//! Holes in place of zeros: rsync(1), `--sparse`.

use crate::io::{Held, Io};
use libflexsc::Errno;
use libflexsc::op::{Fallocate, Ftruncate, Lseek};
use std::ops::Range;

/// Zeros within data become a hole from so many bytes on: fewer free no block.
const GRAIN: usize = 1024;

/// Where a file may have blocks in place of holes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Punch {
    /// The position of the file.
    pub(crate) position: u64,
    /// The length that it has without what is written now, or more.
    pub(crate) length: u64,
}

/// Whether all bytes are zero, told without a branch for each.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |all, byte| all | byte) == 0
}

/// The parts of some data that are zero: those that are long enough and those at either end, where more may follow.
fn zeros(data: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for piece in data.chunks(GRAIN) {
        let end = at + piece.len();
        if is_zero(piece) {
            match found.last_mut() {
                Some(last) if last.end == at => last.end = end,
                _ => found.push(at..end),
            }
        }
        at = end;
    }
    let mut before = 0;
    for index in 0..found.len() {
        let next = found.get(index + 1).map_or(data.len(), |next| next.start);
        let range = &mut found[index];
        let more = data[before..range.start].iter().rev();
        range.start -= more.take_while(|byte| **byte == 0).count();
        let more = data[range.end..next].iter();
        range.end += more.take_while(|byte| **byte == 0).count();
        before = range.end;
    }
    if found.first().is_none_or(|first| first.start > 0) {
        let first = data.iter().take_while(|byte| **byte == 0).count();
        found.splice(0..0, (first > 0).then_some(0..first));
    }
    if found.last().is_none_or(|last| last.end < data.len()) {
        let last = data.iter().rev().take_while(|byte| **byte == 0).count();
        found.extend((last > 0).then_some(data.len() - last..data.len()));
    }
    found
}

impl Io {
    /// As [`write`](Self::write), but goes past zeros instead of writing them: what is there is to be a hole already or, if the
    /// file may have something there, is made one. A file that ends in zeros has to get its length after that.
    pub(crate) async fn write_sparse(
        &self,
        file: &Held,
        buf: Vec<u8>,
        punch: Option<Punch>,
    ) -> (Result<(), Errno>, Vec<u8>) {
        let (mut buf, mut done) = (buf, 0);
        for hole in zeros(&buf) {
            let (result, back) = self.write_part(file, buf, done..hole.start).await;
            buf = back;
            done = hole.start;
            let result = match (result, punch) {
                (Ok(()), Some(punch)) => self.punch(file, &punch, &hole).await,
                (result, _) => result,
            };
            let result = match result {
                Ok(()) => {
                    let by = hole.len() as i64;
                    let op = Lseek::new(file.fd(), by, libc::SEEK_CUR);
                    done = hole.end;
                    self.handle.submit(op).await.map(drop)
                }
                // Then they are written.
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
                Err(errno) => Err(errno),
            };
            if result.is_err() {
                return (result, buf);
            }
        }
        let end = buf.len();
        self.write_part(file, buf, done..end).await
    }

    async fn punch(&self, file: &Held, punch: &Punch, hole: &Range<usize>) -> Result<(), Errno> {
        const MODE: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let [start, end] = [hole.start, hole.end].map(|at| punch.position + at as u64);
        if end > punch.length {
            // Room behind the end of a file is not given back.
            self.set_length(file, end).await?;
        }
        loop {
            let op = Fallocate::new(file.fd(), MODE, start, end - start);
            match self.handle.submit(op).await {
                Err(Errno::EINTR) => {}
                punched => return punched,
            }
        }
    }

    /// Has room for `length` bytes of a file on the disk, if its file system can. Its length stays.
    pub(crate) async fn preallocate(&self, file: &Held, length: u64) -> Result<(), Errno> {
        if length == 0 {
            return Ok(());
        }
        loop {
            let op = Fallocate::new(file.fd(), libc::FALLOC_FL_KEEP_SIZE, 0, length);
            match self.handle.submit(op).await {
                Err(Errno::EINTR) => {}
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(()),
                allocated => return allocated,
            }
        }
    }

    /// Gives a file a length.
    pub(crate) async fn set_length(&self, file: &Held, length: u64) -> Result<(), Errno> {
        self.handle.submit(Ftruncate::new(file.fd(), length)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_of_zeros_and_those_at_the_ends_are_found() {
        let data = |runs: &[(u8, usize)]| -> Vec<u8> {
            let runs = runs.iter();
            runs.flat_map(|(byte, count)| vec![*byte; *count]).collect()
        };
        let is = |runs: &[(u8, usize)], expected: &[(usize, usize)]| {
            let found = zeros(&data(runs));
            let found: Vec<_> = found.iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(found, expected, "{runs:?}");
        };
        is(&[], &[]);
        is(&[(1, 5000)], &[]);
        is(&[(0, 1)], &[(0, 1)]);
        is(&[(0, 5000)], &[(0, 5000)]);
        is(&[(1, 10), (0, 900), (1, 10)], &[]);
        is(
            &[(0, 3), (1, 10), (0, 900), (1, 10), (0, 2)],
            &[(0, 3), (923, 925)],
        );
        is(&[(1, 10), (0, 3000), (1, 10)], &[(10, 3010)]);
        is(
            &[(1, 1024), (0, 1024), (1, 1024), (0, 1030)],
            &[(1024, 2048), (3072, 4102)],
        );
        is(&[(0, 2000), (1, 1), (0, 2047)], &[(0, 2000), (2001, 4048)]);
    }

    proptest::proptest! {
        #[test]
        fn what_is_found_is_zero_and_in_order(runs in proptest::collection::vec((0u8..2, 0usize..2500), 0..8)) {
            let data: Vec<u8> = runs.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect();
            let mut before = 0;
            for range in zeros(&data) {
                assert!(before <= range.start && range.start < range.end && range.end <= data.len());
                assert!(is_zero(&data[range.clone()]));
                before = range.end;
            }
            assert!(before == data.len() || data[data.len() - 1] != 0);
        }
    }
}
