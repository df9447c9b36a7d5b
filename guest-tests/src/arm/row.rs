// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries in a row that name the same descriptor, which a caller of wait, or a page worker, looks up once.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libflexsc::sys as abi;

use crate::cancel::hand::{Entry, Hand};
use crate::cancel::request::{result_of, take};
use crate::client::Mode;
use crate::posted::{Poster, ensure, expect, libc_ok};
use crate::process::pipe;
use crate::report::SKIP;
use crate::suite::{Behaviour, Place, two_cpus};
use crate::userfault::Slow;

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("each_of_a_row_has_its_own_file", own);
    one("a_row_has_the_file_that_its_first_named", first);
    one("what_follows_in_a_row_keeps_the_file", keeps);
    one("what_follows_one_that_waits_keeps_the_file", waits);
    one("a_row_gives_its_file_back_with_its_last", back);
    one("what_is_known_of_a_file_is_said_of_no_other", known);
    one(
        "what_is_known_of_a_source_is_not_said_of_the_target",
        second,
    );
    one(
        "a_row_of_a_page_worker_has_the_file_of_its_first",
        first_in_w,
    );
    one("what_is_taken_back_keeps_the_file_of_its_row", back_from_w);
    one("what_is_posted_later_has_its_own_file", later);
    one("a_row_of_a_page_worker_gives_its_file_back", back_in_w);
}

/// How often a descriptor is changed while a page worker reads.
const ROUNDS: u32 = 300;

/// How long something may take that takes no time.
const LIMIT: Duration = Duration::from_secs(30);

const ECANCELED: i64 = -(libc::ECANCELED as i64);

/// Room for what an entry reads.
type Room = [u8; 8];

/// The arguments of a read of all of `room`, from the start of a file.
fn read(file: &impl AsRawFd, room: &mut Room) -> [u64; 4] {
    let (place, len) = (room.as_mut_ptr() as u64, room.len() as u64);
    [file.as_raw_fd() as u64, place, len, 0]
}

/// Makes the descriptor of `file` name `other`.
fn replace(file: &impl AsRawFd, other: &impl AsRawFd) -> Result<(), String> {
    // SAFETY: only makes the descriptor name another file.
    let made = unsafe { libc::dup2(other.as_raw_fd(), file.as_raw_fd()) };
    libc_ok("dup2", made.into()).map(drop)
}

/// A file whose reads wait for more than a local disk, so that a caller leaves them to a thread.
fn version() -> Result<File, String> {
    File::open("/proc/version").map_err(|why| format!("/proc/version: {why}"))
}

fn own(place: &mut Place) -> Result<(), String> {
    let files = [place.file("one", b"one")?, place.file("two", b"two")?];
    let mut rooms = [Room::default(); 4];
    let args: Vec<_> = rooms
        .iter_mut()
        .enumerate()
        .map(|(number, room)| read(&files[number / 2], room))
        .collect();
    let entries: Vec<Entry<'_>> = args
        .iter()
        .map(|args| (libc::SYS_pread64, &args[..], 0, 0))
        .collect();
    let results = Hand::with(&entries)?.results(0)?;
    ensure(results == [3; 4], format!("the reads gave {results:?}"))?;
    for (number, room) in rooms.iter().enumerate() {
        let wanted = [b"one", b"two"][number / 2];
        ensure(
            &room[..3] == wanted,
            format!("read {number} has {:?}", &room[..3]),
        )?;
    }
    Ok(())
}

fn first(place: &mut Place) -> Result<(), String> {
    let (file, other) = (place.file("file", b"old")?, place.file("other", b"newer")?);
    let mut rooms = [Room::default(); 3];
    let args = rooms.each_mut().map(|room| read(&file, room));
    let hand = Hand::with(&[
        (libc::SYS_pread64, &args[0], 0, 0),
        (libc::SYS_pread64, &args[1], 0, 0),
        (libc::SYS_pread64, &args[2], 0, 0),
    ])?;
    replace(&file, &other)?;
    let results = hand.results(0)?;
    ensure(results == [3; 3], format!("the reads gave {results:?}"))
}

/// Behind one that was cancelled, and behind one that a thread executes.
fn keeps(place: &mut Place) -> Result<(), String> {
    let (file, other) = (place.file("file", b"old")?, place.file("other", b"newer")?);
    let mut rooms = [Room::default(); 3];
    let args = rooms.each_mut().map(|room| read(&file, room));
    let hand = Hand::with(&[
        (libc::SYS_pread64, &args[0], 0, 0),
        (libc::SYS_pread64, &args[1], 0, 0),
        (libc::SYS_pread64, &args[2], 0, 0),
    ])?;
    let answer = hand.cancel(hand.others[0]);
    replace(&file, &other)?;
    let results = hand.results(0)?;
    expect("cancel", answer, 0)?;
    ensure(
        results == [ECANCELED, 3, 3],
        format!("behind one that was cancelled the reads gave {results:?}"),
    )?;

    let file = version()?;
    let args = rooms.each_mut().map(|room| read(&file, room));
    let hand = Hand::with(&[
        (libc::SYS_pread64, &args[0], 0, 0),
        (libc::SYS_pread64, &args[1], 0, 0),
    ])?;
    replace(&file, &other)?;
    let (results, by_thread) = hand.finish(0)?;
    ensure(
        results == [8; 2],
        format!("of a thread's the reads gave {results:?}"),
    )?;
    expect("entries of lane T", by_thread, 2)
}

fn waits(place: &mut Place) -> Result<(), String> {
    let (read_end, write_end) = pipe().map_err(|why| why.to_string())?;
    let other = place.file("other", b"newer")?;
    let mut rooms = [0_u8; 2];
    let [one, two] = rooms.each_mut().map(|byte| {
        let byte = std::ptr::from_mut(byte) as u64;
        [read_end.as_raw_fd() as u64, byte, 1]
    });
    let written = [write_end.as_raw_fd() as u64, b"ab".as_ptr() as u64, 2];
    let hand = Hand::with(&[
        (libc::SYS_read, &one, 0, 0),
        (libc::SYS_read, &two, 0, 0),
        (libc::SYS_write, &written, 0, 0),
    ])?;
    replace(&read_end, &other)?;
    let results = hand.results(0)?;
    ensure(results == [1, 1, 2], format!("the calls gave {results:?}"))?;
    rooms.sort_unstable();
    ensure(&rooms == b"ab", format!("the reads have {rooms:?}"))
}

/// A pipe of which a read waits for nothing.
fn unwaited_pipe() -> Result<(OwnedFd, OwnedFd), String> {
    let (read_end, write_end) = pipe().map_err(|why| why.to_string())?;
    // SAFETY: only changes a flag of the descriptor's file.
    let set = unsafe { libc::fcntl(read_end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    libc_ok("fcntl", set.into())?;
    Ok((read_end, write_end))
}

/// It is the last to hold the write end, so that the reads behind it find the end.
fn back(place: &mut Place) -> Result<(), String> {
    let (read_end, write_end) = unwaited_pipe()?;
    let other = place.file("other", b"")?;
    let write = [write_end.as_raw_fd() as u64, b"a".as_ptr() as u64, 1];
    let mut rooms = [Room::default(); 2];
    let reads = rooms.each_mut().map(|room| read(&read_end, room));
    let hand = Hand::with(&[
        (libc::SYS_write, &write, 0, 0),
        (libc::SYS_write, &write, 0, 0),
        (libc::SYS_read, &reads[0][..3], 0, 0),
        (libc::SYS_read, &reads[1][..3], 0, 0),
    ])?;
    replace(&write_end, &other)?;
    let results = hand.results(0)?;
    ensure(
        results == [1, 1, 2, 0],
        format!("the calls gave {results:?}"),
    )
}

/// A thread executes the last, whose file is no file of a disk, also if the one before it was cancelled.
fn known(place: &mut Place) -> Result<(), String> {
    let (file, proc) = (place.file("file", b"old")?, version()?);
    for cancels in [false, true] {
        let mut rooms = [Room::default(); 3];
        let [one, two, three] = rooms.each_mut();
        let args = [read(&file, one), read(&file, two), read(&proc, three)];
        let hand = Hand::with(&[
            (libc::SYS_pread64, &args[0], 0, 0),
            (libc::SYS_pread64, &args[1], 0, 0),
            (libc::SYS_pread64, &args[2], 0, 0),
        ])?;
        if cancels {
            expect("cancel", hand.cancel(hand.others[1]), 0)?;
        }
        let (results, by_thread) = hand.finish(0)?;
        let wanted = [3, if cancels { ECANCELED } else { 3 }, 8];
        ensure(results == wanted, format!("the reads gave {results:?}"))?;
        expect("entries of lane T", by_thread, 1)?;
    }
    Ok(())
}

/// A read of the pipe waits in its queue, not in the caller, whatever was looked up before it.
fn second(place: &mut Place) -> Result<(), String> {
    let (read_end, write_end) = pipe().map_err(|why| why.to_string())?;
    let source = place.file("source", b"source")?;
    let mut room = Room::default();
    let target = read_end.as_raw_fd() as u64;
    let clone = [target, libc::FICLONE, source.as_raw_fd() as u64];
    let reads = [target, room.as_mut_ptr() as u64, 1];
    let write = [write_end.as_raw_fd() as u64, b"a".as_ptr() as u64, 1];
    let results = Hand::with(&[
        (libc::SYS_ioctl, &clone, 0, 0),
        (libc::SYS_read, &reads, 0, 0),
        (libc::SYS_write, &write, 0, 0),
    ])?
    .results(0)?;
    ensure(
        results[0] < 0 && results[1..] == [1, 1],
        format!("the calls gave {results:?}"),
    )
}

/// What a page worker reads for long while descriptors come to name another file, which has three bytes.
struct Replaced {
    poster: Poster,
    zero: File,
    other: OwnedFd,
    memory: Vec<u8>,
    /// Whether the long read was still being executed when the descriptor had been changed.
    in_time: bool,
}

impl Replaced {
    /// Long beside a post, and short beside the time after which a page worker looks no further.
    const LONG: usize = 1 << 20;

    fn new(place: &Place) -> Result<Self, String> {
        two_cpus()?;
        Ok(Self {
            poster: Poster::new(Mode::Lanes)?,
            zero: File::open("/dev/zero").map_err(|why| format!("/dev/zero: {why}"))?,
            other: place.file("other", b"new")?,
            memory: vec![0; Self::LONG],
            in_time: false,
        })
    }

    /// A descriptor to read from, and the arguments of the long read.
    fn begin(&mut self) -> Result<(File, [u64; 4]), String> {
        let file = self.zero.try_clone().map_err(|why| why.to_string())?;
        let memory = self.memory.as_mut_ptr() as u64;
        let args = [file.as_raw_fd() as u64, memory, Self::LONG as u64, 0];
        Ok((file, args))
    }

    /// Posts these reads at once, of which the first is the long one, and has `file` name the other one when all are taken; their
    /// entries.
    fn post(&mut self, file: &File, reads: &[&[u64]]) -> Result<Vec<u32>, String> {
        let before = self.poster.context.sub_tail().load(Ordering::Relaxed);
        let calls: Vec<_> = reads
            .iter()
            .map(|&args| (libc::SYS_pread64, args))
            .collect();
        let all = self.poster.post_all(&calls)?;
        self.replace(file, before)?;
        let status = self.poster.context.status(all[0]);
        self.in_time = status.load(Ordering::Acquire) == abi::BUSY;
        Ok(all)
    }

    /// When the entry at that position of the ring is taken, `file` names the other one.
    fn replace(&self, file: &File, position: u32) -> Result<(), String> {
        let (head, start) = (self.poster.context.sub_head(), Instant::now());
        // Not by `until`, which sleeps.
        while head.load(Ordering::Acquire) == position {
            ensure(start.elapsed() < LIMIT, "the long read was not taken")?;
        }
        replace(file, &self.other)
    }

    /// The result of the second read.
    fn end(&mut self, [long, second]: [u32; 2]) -> Result<i64, String> {
        let done = take(&mut self.poster, 2)?;
        expect("the long read", result_of(&done, long)?, Self::LONG as i64)?;
        result_of(&done, second)
    }
}

/// The descriptor names another file while a page worker still reads from the first, and then it is posted once more.
fn later(place: &mut Place) -> Result<(), String> {
    let mut test = Replaced::new(place)?;
    let mut busy = 0;
    for round in 0..ROUNDS {
        let (file, long) = test.begin()?;
        let mut room = Room::default();
        let before = test.poster.context.sub_tail().load(Ordering::Relaxed);
        let first = test.poster.post(libc::SYS_pread64, &long)?;
        test.replace(&file, before)?;
        let args = read(&file, &mut room);
        let second = test.poster.post(libc::SYS_pread64, &args)?;
        let status = test.poster.context.status(first);
        busy += u32::from(status.load(Ordering::Acquire) == abi::BUSY);
        let ret = test.end([first, second])?;
        ensure(
            ret == 3 && &room[..3] == b"new",
            format!("in round {round} the read gave {ret}, {room:?}"),
        )?;
    }
    counted(busy)
}

/// When all of a row is complete, nobody else holds the write end.
fn back_in_w(_: &mut Place) -> Result<(), String> {
    const ENTRIES: usize = 16;
    let mut poster = Poster::new(Mode::Lanes)?;
    for _ in 0..100 {
        let (read_end, write_end) = unwaited_pipe()?;
        let write = [write_end.as_raw_fd() as u64, b"a".as_ptr() as u64, 1, 0];
        poster.post_all(&[(libc::SYS_write, &write[..]); ENTRIES])?;
        for done in take(&mut poster, ENTRIES)?.values() {
            ensure(done.ret == 1, format!("a write gave {done:?}"))?;
        }
        drop(write_end);
        let (mut read_end, mut room) = (File::from(read_end), [0; 2 * ENTRIES]);
        for wanted in [ENTRIES, 0] {
            let got = read_end.read(&mut room).map_err(|why| why.to_string())?;
            expect("bytes in the pipe", got as i64, wanted as i64)?;
        }
    }
    Ok(())
}

/// The descriptor names another file while a page worker reads for the first of a row: the others have the old file.
fn first_in_w(place: &mut Place) -> Result<(), String> {
    let mut test = Replaced::new(place)?;
    let mut busy = 0;
    for round in 0..ROUNDS {
        let (file, long) = test.begin()?;
        let mut room = Room::default();
        let args = read(&file, &mut room);
        let both = test.post(&file, &[&long, &args])?;
        let done = take(&mut test.poster, 2)?;
        busy += u32::from(test.in_time);
        let ret = result_of(&done, both[1])?;
        ensure(ret == 8, format!("in round {round} the read gave {ret}"))?;
    }
    counted(busy)
}

/// The second sleeps, so that another page worker takes the third back from the one that looked its file up.
fn back_from_w(place: &mut Place) -> Result<(), String> {
    let mut test = Replaced::new(place)?;
    let mut busy = 0;
    for round in 0..ROUNDS / 10 {
        let slow = Slow::new(1).map_err(|why| format!("{SKIP}userfaultfd: {why}"))?;
        let (file, long) = test.begin()?;
        let mut room = Room::default();
        let sleeps = [file.as_raw_fd() as u64, slow.address(), 8, 0];
        let args = read(&file, &mut room);
        let all = test.post(&file, &[&long, &sleeps, &args])?;
        let done = take(&mut test.poster, 2)?;
        busy += u32::from(test.in_time);
        let ret = result_of(&done, all[2])?;
        slow.release(0).map_err(|why| why.to_string())?;
        let slept = result_of(&take(&mut test.poster, 1)?, all[1])?;
        ensure(
            ret == 8 && slept == 8,
            format!("in round {round} the read gave {ret}, and the one that slept {slept}"),
        )?;
    }
    counted(busy)
}

/// What a test says of how often the descriptor was changed in time.
fn counted(busy: u32) -> Result<(), String> {
    println!("# {busy} times while a page worker read");
    ensure(busy > 0, "never while a page worker read")
}
