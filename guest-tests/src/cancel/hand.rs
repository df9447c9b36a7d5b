// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries that a caller of wait has taken and not begun: it sleeps in the one before, in a page fault.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use libflexsc::sys as abi;

use super::request::{cancel, result_of, take};
use crate::client::{Mode, ioctl};
use crate::posted::{Poster, ensure, expect, six};
use crate::report::SKIP;
use crate::suite::{Behaviour, Place, outcome, until};
use crate::userfault::Slow;

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("what_a_caller_has_in_hand_is_cancelled", cancelled);
    one("a_chain_in_hand_ends_with_its_head", chain);
    one("a_poll_in_hand_that_would_go_on_is_cancelled", poll);
    one("what_a_caller_has_in_hand_is_late", late);
    one("what_is_promised_of_an_entry_in_hand_is_kept", promised);
}

const ECANCELED: i64 = -(libc::ECANCELED as i64);
const EALREADY: i64 = -(libc::EALREADY as i64);
const ETIME: i64 = -(libc::ETIME as i64);

/// An entry: its call and arguments, its flags, and how long it may take in nanoseconds.
pub type Entry<'a> = (libc::c_long, &'a [u64], u16, u64);

/// A caller of wait that sleeps in its first entry, and has others in hand.
#[derive(Debug)]
pub struct Hand {
    poster: Poster,
    slow: Slow,
    waiter: JoinHandle<i64>,
    first: u32,
    /// The entries behind the first.
    pub others: Vec<u32>,
}

impl Hand {
    /// One that has these.
    ///
    /// # Errors
    /// What could not be set up, as text.
    pub fn with(entries: &[Entry<'_>]) -> Result<Self, String> {
        let slow = Slow::new(1).map_err(|why| format!("{SKIP}userfaultfd: {why}"))?;
        let mut poster = Poster::new(Mode::Caller)?;
        let sleeps = [slow.address(), 8, 0];
        let mut indices = Vec::new();
        for &(nr, args, flags, span) in [(libc::SYS_getrandom, &sleeps[..], 0, 0)]
            .iter()
            .chain(entries)
        {
            let context = &mut poster.context;
            let index = context.prepare(nr as u16, six(args));
            let index = index.ok_or("no entry is free")?;
            context.flags(index).store(flags, Ordering::Relaxed);
            context.ret(index).store(span, Ordering::Relaxed);
            // Once more, so that the two words are seen with it.
            let status = context.status(index);
            status.store(abi::SUBMITTED, Ordering::Release);
            indices.push(index);
        }
        poster.context.publish_all(&indices);
        let (fd, count) = (poster.context.fd(), indices.len() as u32);
        let waiter = std::thread::spawn(move || {
            let mut wait = abi::Wait {
                min_complete: count,
                flags: 0,
                timeout_ns: -1,
            };
            outcome(ioctl(fd, abi::IOC_WAIT, &mut wait))
        });
        until("the caller sleeps in the first", || slow.is_awaited())?;
        Ok(Self {
            poster,
            slow,
            waiter,
            first: indices.remove(0),
            others: indices,
        })
    }

    /// What a cancel of an entry answers.
    pub fn cancel(&self, index: u32) -> i64 {
        cancel(&self.poster.context, index, 0)
    }

    /// Waits until all time limits of so many nanoseconds that began before this have been looked at, by two entries more.
    fn let_time_pass(&mut self, nanos: u32) -> Result<(), String> {
        let span = libc::timespec {
            tv_sec: 0,
            tv_nsec: nanos.into(),
        };
        let args = [
            libc::CLOCK_MONOTONIC as u64,
            0,
            std::ptr::from_ref(&span) as u64,
        ];
        // The first may be told of before all that ends with it has been seen to.
        for count in 1..=2 {
            let before = self.poster.context.comp_tail().load(Ordering::Acquire);
            self.poster.post(libc::SYS_clock_nanosleep, &args)?;
            let context = &self.poster.context;
            until(&format!("sleep {count} is over"), || {
                context.comp_tail().load(Ordering::Acquire) != before
            })?;
        }
        Ok(())
    }

    /// Lets the first go on. The results of the others, beside `more` entries that were posted since.
    ///
    /// # Errors
    /// What did not go as it should, as text.
    pub fn results(self, more: usize) -> Result<Vec<i64>, String> {
        Ok(self.finish(more)?.0)
    }

    /// The same, and how many entries threads have executed.
    ///
    /// # Errors
    /// As for [`Hand::results`].
    pub fn finish(mut self, more: usize) -> Result<(Vec<i64>, i64), String> {
        self.slow.release(0).map_err(|why| why.to_string())?;
        let waited = self.waiter.join().map_err(|_| "the waiter panicked")?;
        ensure(waited > 0, format!("wait gave {waited}"))?;
        let count = 1 + self.others.len() + more;
        let done = take(&mut self.poster, count)?;
        expect("what was begun", result_of(&done, self.first)?, 8)?;
        let others = self.others.iter();
        let results: Result<_, _> = others.map(|&index| result_of(&done, index)).collect();
        // CAST: It is a small figure.
        Ok((results?, self.poster.context.counters().entries_t as i64))
    }
}

/// The arguments of a write of one byte.
fn write(file: &OwnedFd) -> [u64; 4] {
    [file.as_raw_fd() as u64, b"x".as_ptr() as u64, 1, 0]
}

fn unwritten(file: OwnedFd) -> Result<(), String> {
    let data = fs::File::from(file)
        .metadata()
        .map_err(|why| why.to_string())?;
    expect("what was written", data.len() as i64, 0)
}

fn cancelled(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", b"")?;
    let args = write(&file);
    let entry: Entry<'_> = (libc::SYS_pwrite64, &args, 0, 0);
    let hand = Hand::with(&[entry, entry, entry])?;
    let answers = [
        ("cancel of one", hand.cancel(hand.others[0]), 0),
        (
            "cancel of what was begun",
            hand.cancel(hand.first),
            EALREADY,
        ),
        (
            "cancel of all",
            cancel(&hand.poster.context, 0, abi::CANCEL_ALL),
            4,
        ),
    ];
    let results = hand.results(0)?;
    for (what, answer, wanted) in answers {
        expect(what, answer, wanted)?;
    }
    for ret in results {
        expect("what was cancelled", ret, ECANCELED)?;
    }
    unwritten(file)
}

fn chain(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", b"")?;
    let args = write(&file);
    let linked: Entry<'_> = (libc::SYS_pwrite64, &args, abi::ENTRY_LINK, 0);
    let last: Entry<'_> = (libc::SYS_pwrite64, &args, 0, 0);
    let alone: Entry<'_> = (abi::NR_NOP.into(), &[], 0, 0);
    let hand = Hand::with(&[linked, linked, last, alone])?;
    let answer = hand.cancel(hand.others[0]);
    let results = hand.results(0)?;
    expect("cancel of the head", answer, 0)?;
    ensure(
        results == [ECANCELED, ECANCELED, ECANCELED, 0],
        format!("the chain, and what came after it, gave {results:?}"),
    )?;
    unwritten(file)
}

fn poll(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", b"")?;
    let args = [file.as_raw_fd() as u64, libc::POLLIN as u64];
    let hand = Hand::with(&[(abi::NR_POLL.into(), &args, abi::ENTRY_MULTI, 0)])?;
    let answer = hand.cancel(hand.others[0]);
    let results = hand.results(0)?;
    expect("cancel", answer, 0)?;
    expect("poll", results[0], ECANCELED)
}

fn late(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", b"")?;
    let args = write(&file);
    let mut hand = Hand::with(&[
        (libc::SYS_pwrite64, &args, abi::ENTRY_TIMEOUT, 1000),
        (libc::SYS_pwrite64, &args, 0, 0),
    ])?;
    hand.let_time_pass(1000)?;
    let results = hand.results(2)?;
    ensure(
        results == [ETIME, 1],
        format!("the writes gave {results:?}"),
    )
}

/// Cancel says what comes of an entry that has a time limit, whichever of the two is first.
fn promised(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", b"")?;
    let args = write(&file);
    let entry = |span| (libc::SYS_pwrite64, &args[..], abi::ENTRY_TIMEOUT, span);
    // Where the machine is slow, both limits are over before the cancel.
    for span in (0..10).map(|round| 1_000_000_u32 << round) {
        let mut hand = Hand::with(&[entry(1000), entry(span.into())])?;
        let soon = hand.cancel(hand.others[1]);
        hand.let_time_pass(span)?;
        let late = hand.cancel(hand.others[0]);
        let results = hand.results(2)?;
        let found = [(late, results[0]), (soon, results[1])];
        for pair in found {
            ensure(
                [(0, ECANCELED), (EALREADY, ETIME)].contains(&pair),
                format!("cancel gave {}, the entry {}", pair.0, pair.1),
            )?;
        }
        if found == [(EALREADY, ETIME), (0, ECANCELED)] {
            return Ok(());
        }
    }
    Err("no entry was cancelled before it was late".into())
}
