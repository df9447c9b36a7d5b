// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries that a page worker or a system call thread has taken and not begun: it sleeps in the one before.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

use libflexsc::sys as abi;

use super::request::{cancel, minus, opening, result_of, single, take};
use crate::client::{Context, Mode, open_device, setup_request};
use crate::lifecycle::blocking::make_fifo;
use crate::posted::{Poster, ensure, expect};
use crate::report::SKIP;
use crate::suite::{Behaviour, Place, until};
use crate::userfault::Slow;

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("what_a_sleeping_page_worker_has_in_hand_goes_on", worker);
    one("what_a_sleeping_page_worker_has_done_is_told", done_before);
    one("a_lone_page_worker_tells_of_each", done_alone);
    one("a_lone_page_worker_keeps_nothing_from_its_caller", lone);
    one(
        "what_no_page_worker_is_left_for_its_caller_executes",
        all_asleep,
    );
    one("what_a_blocked_thread_has_in_hand_goes_on", thread);
    one("what_a_thread_has_in_hand_is_cancelled", cancelled);
    one("all_that_a_thread_has_in_hand_is_cancelled", all_cancelled);
}

const ROUNDS: u32 = 20;
const NOP: libc::c_long = abi::NR_NOP as libc::c_long;

/// A call that sleeps in lane W until the page is released, and returns 8.
fn sleeps(slow: &Slow) -> [u64; 3] {
    [slow.address(), 8, 0]
}

fn slow() -> Result<Slow, String> {
    Slow::new(1).map_err(|why| format!("{SKIP}userfaultfd: {why}"))
}

fn worker(_: &mut Place) -> Result<(), String> {
    const OTHERS: usize = 5;
    let mut poster = Poster::new(Mode::Lanes)?;
    for _ in 0..ROUNDS {
        let slow = slow()?;
        let sleeps = sleeps(&slow);
        let mut calls = vec![(NOP, &[][..]); OTHERS + 1];
        calls[0] = (libc::SYS_getrandom, &sleeps);
        let all = poster.post_all(&calls)?;
        let done = take(&mut poster, OTHERS)?;
        ensure(!done.contains_key(&all[0]), "the first did not sleep")?;
        slow.release(0).map_err(|why| why.to_string())?;
        expect("the first", result_of(&take(&mut poster, 1)?, all[0])?, 8)?;
    }
    let counters = poster.context.counters();
    ensure(counters.entries_w > 0, "nothing was executed in lane W")
}

/// Those that it has ended before it sleeps, of a row and others, though it has not told of them.
fn done_before(_: &mut Place) -> Result<(), String> {
    const BYTES: [u8; 8] = [0; 8];
    let sink = File::create("sink").map_err(|why| format!("sink: {why}"))?;
    let write = [sink.as_raw_fd() as u64, BYTES.as_ptr() as u64, 8];
    let mut poster = Poster::new(Mode::Lanes)?;
    for round in 0..ROUNDS {
        let slow = slow()?;
        // What sleeps is of the row, too, every other time.
        let sleeps = match round % 2 {
            0 => (libc::SYS_getrandom, sleeps(&slow)),
            _ => (libc::SYS_write, [write[0], slow.address(), 8]),
        };
        let calls = [
            (NOP, &[][..]),
            (libc::SYS_write, &write),
            (libc::SYS_write, &write),
            (sleeps.0, &sleeps.1),
        ];
        let all = poster.post_all(&calls)?;
        let done = take(&mut poster, 3)?;
        ensure(!done.contains_key(&all[3]), "the last did not sleep")?;
        for &index in &all[1..3] {
            expect("a write", result_of(&done, index)?, 8)?;
        }
        slow.release(0).map_err(|why| why.to_string())?;
        expect("the last", result_of(&take(&mut poster, 1)?, all[3])?, 8)?;
    }
    Ok(())
}

/// There is no page worker that would tell in its stead when it sleeps.
fn done_alone(_: &mut Place) -> Result<(), String> {
    let mut request = setup_request(abi::MIN_ENTRIES);
    request.drains = 1;
    let context = open_device().and_then(|device| Context::new(device, request));
    let mut poster = Poster::with(context.map_err(|why| why.to_string())?, Mode::Lanes);
    for _ in 0..ROUNDS {
        let slow = slow()?;
        let sleeps = sleeps(&slow);
        let calls = [(NOP, &[][..]), (NOP, &[]), (libc::SYS_getrandom, &sleeps)];
        let all = poster.post_all(&calls)?;
        let done = take(&mut poster, 2)?;
        ensure(!done.contains_key(&all[2]), "the last did not sleep")?;
        slow.release(0).map_err(|why| why.to_string())?;
        expect("the last", result_of(&take(&mut poster, 1)?, all[2])?, 8)?;
    }
    Ok(())
}

/// There is no page worker that would take it back.
fn lone(_: &mut Place) -> Result<(), String> {
    behind_sleepers(1)
}

/// The second has taken it back from the first.
fn all_asleep(_: &mut Place) -> Result<(), String> {
    behind_sleepers(2)
}

/// The caller of wait executes what is posted behind as many calls that sleep as there are page workers.
fn behind_sleepers(workers: u32) -> Result<(), String> {
    let mut request = setup_request(abi::MIN_ENTRIES);
    request.drains = workers;
    let context = open_device().and_then(|device| Context::new(device, request));
    let mut poster = Poster::with(context.map_err(|why| why.to_string())?, Mode::Lanes);
    let slow: Vec<Slow> = (0..workers).map(|_| slow()).collect::<Result<_, _>>()?;
    let args: Vec<_> = slow.iter().map(sleeps).collect();
    let mut calls: Vec<_> = args
        .iter()
        .map(|args| (libc::SYS_getrandom, &args[..]))
        .collect();
    calls.push((NOP, &[]));
    let mut all = poster.post_all(&calls)?;
    let last = all.pop().ok_or("nothing was posted")?;
    for slow in &slow {
        until("a page worker sleeps", || slow.is_awaited())?;
    }
    let waited = poster.context.wait(1, Some(Duration::from_secs(30)));
    let waited = waited.map_err(|why| format!("wait: {why}"))?;
    expect("what wait finds", waited.into(), 1)?;
    expect("the no-op", result_of(&take(&mut poster, 1)?, last)?, 0)?;
    for slow in &slow {
        slow.release(0).map_err(|why| why.to_string())?;
    }
    let done = take(&mut poster, all.len())?;
    for index in all {
        expect("one that slept", result_of(&done, index)?, 8)?;
    }
    Ok(())
}

const HERE: u64 = libc::AT_FDCWD as u64;

/// The arguments of an open that waits for a writer.
fn open() -> [u64; 4] {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as u64;
    [HERE, c"fifo".as_ptr() as u64, flags, 0]
}

/// Cancels the open in which a thread sleeps.
fn end_open(poster: &mut Poster, index: u32) -> Result<(), String> {
    until("a thread sleeps in the open", opening)?;
    let answer = cancel(&poster.context, index, 0);
    expect("cancel of the open", answer, minus(libc::EALREADY))?;
    let ret = result_of(&take(poster, 1)?, index)?;
    expect("the open", ret, minus(libc::EINTR))
}

fn thread(_: &mut Place) -> Result<(), String> {
    make_fifo(c"fifo")?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let mut room = [0_u8; 256];
    let statx = [
        HERE,
        c".".as_ptr() as u64,
        0,
        0x7ff,
        room.as_mut_ptr() as u64,
    ];
    for _ in 0..ROUNDS {
        let calls = [
            (libc::SYS_openat, &open()[..]),
            (libc::SYS_statx, &statx),
            (libc::SYS_statx, &statx),
        ];
        let all = poster.post_all(&calls)?;
        let done = take(&mut poster, 2)?;
        for &index in &all[1..] {
            expect("statx", result_of(&done, index)?, 0)?;
        }
        end_open(&mut poster, all[0])?;
    }
    Ok(())
}

/// Before it is taken for blocked, too.
fn cancelled(_: &mut Place) -> Result<(), String> {
    make_fifo(c"fifo")?;
    let mut poster = single()?;
    for _ in 0..ROUNDS {
        let all = poster.post_all(&[(libc::SYS_openat, &open()[..]); 2])?;
        poster.until_taken(all[1])?;
        expect("cancel", cancel(&poster.context, all[1], 0), 0)?;
        let ret = result_of(&take(&mut poster, 1)?, all[1])?;
        expect("what is in hand", ret, minus(libc::ECANCELED))?;
        end_open(&mut poster, all[0])?;
    }
    Ok(())
}

fn all_cancelled(_: &mut Place) -> Result<(), String> {
    make_fifo(c"fifo")?;
    let mut poster = single()?;
    for _ in 0..ROUNDS {
        let all = poster.post_all(&[(libc::SYS_openat, &open()[..]); 4])?;
        until("a thread sleeps in the open", opening)?;
        let count = cancel(&poster.context, 0, abi::CANCEL_ALL);
        expect("entries in flight", count, 4)?;
        let done = take(&mut poster, 4)?;
        for (at, &index) in all.iter().enumerate() {
            let errno = if at == 0 {
                libc::EINTR
            } else {
                libc::ECANCELED
            };
            expect("an open", result_of(&done, index)?, minus(errno))?;
        }
    }
    Ok(())
}
