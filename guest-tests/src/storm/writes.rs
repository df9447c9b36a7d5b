// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a process was told to be written is, also when it is killed in the same instant.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use crate::client::{Mode, PATIENCE, plain};
use crate::posted::{MODES, Poster, ensure, six};
use crate::process::{Child, End};
use crate::report::figure;
use crate::rng::Rng;
use crate::shared_words::SharedWords;
use crate::suite::{Place, until};

/// Rounds when the command line does not say how many.
const ROUNDS: u64 = 40;
/// Records that one process writes at most.
const RECORDS: usize = 20_000;
/// Bytes of a record.
const RECORD: usize = 256;
/// Writes in flight.
const DEPTH: usize = 48;
/// Words before those of the records: how many are completed, and how many of them by the module.
const COMPLETED: usize = 0;
const BY_MODULE: usize = 1;
const FIRST: usize = 2;

/// A write in flight: which record, its arguments, and the bytes that these point to.
type InFlight = (usize, [u64; 6], Box<[u8; RECORD]>);

fn record(round: u64, which: usize) -> [u8; RECORD] {
    let mut rng = Rng::new(round << 32 | which as u64);
    let mut bytes = [0; RECORD];
    for word in bytes.chunks_exact_mut(8) {
        // Never zero, as a hole would be.
        word.copy_from_slice(&(rng.bits() | 1).to_le_bytes());
    }
    bytes
}

/// Writes one record after the other and marks those whose completion it has seen.
fn write(round: u64, mode: Mode, words: &SharedWords) -> Result<(), String> {
    let file = fs::File::create("records").map_err(|why| why.to_string())?;
    let mut poster = Poster::new(mode)?;
    let mut in_flight: HashMap<u32, InFlight> = HashMap::new();
    let mut next = 0;
    loop {
        while next < RECORDS && in_flight.len() < DEPTH {
            let bytes = Box::new(record(round, next));
            let args = six(&[
                file.as_raw_fd() as u64,
                bytes.as_ptr() as u64,
                RECORD as u64,
                (next * RECORD) as u64,
            ]);
            let index = poster
                .context
                .post(libc::SYS_pwrite64 as u16, args)
                .ok_or("no entry is free")?;
            in_flight.insert(index, (next, args, bytes));
            next += 1;
        }
        if in_flight.is_empty() {
            // All written: the kill is about to come.
            std::thread::sleep(*PATIENCE);
            return Err("was not killed".into());
        }
        let done = poster.complete()?;
        let (which, args, _bytes) = in_flight.remove(&done.index).ok_or("an unknown entry")?;
        let ret = if done.handed_back() {
            // SAFETY: the bytes live until the end of this block.
            unsafe { plain(libc::SYS_pwrite64 as u16, args) }
        } else {
            done.ret
        };
        ensure(ret == RECORD as i64, format!("record {which}: {ret}"))?;
        words[FIRST + which].store(1, Ordering::Relaxed);
        words[BY_MODULE].fetch_add(u64::from(!done.handed_back()), Ordering::Relaxed);
        words[COMPLETED].fetch_add(1, Ordering::Release);
    }
}

/// Kills writing processes and looks for what they have been told to be written.
///
/// # Errors
/// Which record is missing.
pub fn run(place: &mut Place) -> Result<(), String> {
    let rounds = place.rounds.unwrap_or(ROUNDS);
    let (mut completed, mut by_module, mut round, mut late) = (0, 0, 0, 0);
    // A round whose writer had done before the kill came shows less, and is done once more.
    while round < rounds {
        let words = SharedWords::new(FIRST + RECORDS).map_err(|why| why.to_string())?;
        let mode = MODES[round as usize % 2];
        let mut child = Child::spawn(|| match write(round, mode, &words) {
            Ok(()) => 1,
            Err(why) => {
                eprintln!("the writer: {why}");
                1
            }
        })
        .map_err(|why| format!("fork: {why}"))?;
        let enough = 1 + place.rng.below(2000);
        let mut ended = None;
        let reached = until("completions of the writer", || {
            ended = child.wait(std::time::Duration::ZERO);
            ended.is_some() || words[COMPLETED].load(Ordering::Acquire) >= enough
        });
        if ended.is_none() {
            child.signal(libc::SIGKILL);
            ended = child.wait(*PATIENCE);
        }
        reached.map_err(|why| format!("round {round}: {why}"))?;
        ensure(
            ended == Some(End::Signal(libc::SIGKILL)),
            format!("round {round}: the writer ended by {ended:?}"),
        )?;
        let content = fs::read("records").map_err(|why| why.to_string())?;
        let mut whole = 0;
        for which in 0..RECORDS {
            if words[FIRST + which].load(Ordering::Relaxed) == 0 {
                continue;
            }
            whole += 1;
            let at = which * RECORD;
            ensure(
                content.get(at..at + RECORD) == Some(&record(round, which)[..]),
                format!("round {round}, {mode:?}: record {which} was completed and is not there"),
            )?;
        }
        ensure(whole > 0, format!("round {round}: nothing was completed"))?;
        completed += whole;
        by_module += words[BY_MODULE].load(Ordering::Relaxed);
        if whole < RECORDS as u64 {
            round += 1;
        } else {
            late += 1;
            ensure(late < rounds, "most writers had done before the kill")?;
        }
    }
    figure(&format!(
        "storm: {rounds} writers killed before they had done, {late} after; {completed} records completed, \
         {by_module} by the module: all there"
    ));
    ensure(
        by_module * 2 > completed,
        "most writes were handed back: nothing is shown",
    )
}
