// SPDX-License-Identifier: MIT OR Apache-2.0
//! Submission ring slots that name no entry, one that was not posted, or one that is in flight.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use libflexsc::sys::{self as abi, MIN_ENTRIES, NR_NOP};

use super::requests::works;
use crate::arm::ends::eventfd;
use crate::client::{Context, Mode};
use crate::posted::{MODES, ensure, expect, six};
use crate::process::pipe;
use crate::suite::{Behaviour, Place, context, outcome, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("indices_out_of_range_are_rejected", out_of_range);
    one("an_index_out_of_range_names_no_entry", not_wrapped);
    one("entries_that_are_not_submitted_are_rejected", not_submitted);
    one("an_entry_that_is_taken_back_is_not_executed", taken_back);
    one("an_index_posted_twice_executes_once", duplicates);
    one("an_entry_in_flight_is_not_taken_again", in_flight);
    one("a_sub_tail_far_ahead", far_ahead);
    one("a_sub_tail_behind_the_head", endless);
}

/// Takes what is on the ring, in the caller if nobody else does.
fn take_all(context: &Context) -> Result<(), String> {
    until("the ring is taken", || {
        let _ = context.wait(0, None);
        let (head, tail) = (context.sub_head(), context.sub_tail());
        head.load(Ordering::Acquire) == tail.load(Ordering::Acquire)
    })?;
    // What was rejected is counted under the same lock: one more look comes after it.
    expect("wait", outcome(context.wait(0, None)).min(0), 0)
}

fn rejected(context: &Context) -> i64 {
    context.counters().rejected as i64
}

fn out_of_range(place: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        let mut indices = vec![64, 65, 127, 128, 1 << 16, (1 << 16) + 1, 1 << 31, u32::MAX];
        for _ in 0..place.rounds.unwrap_or(200) {
            indices.push((place.rng.bits() as u32).max(MIN_ENTRIES));
        }
        for (count, index) in indices.iter().enumerate() {
            // A real one in between must not suffer.
            let real = context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
            context.publish(*index);
            let one = context.complete(mode).map_err(|why| why.to_string())?;
            expect("the entry", one.index.into(), real.into())?;
            take_all(&context)?;
            expect("rejected", rejected(&context), count as i64 + 1)?;
        }
        let tail = context.comp_tail().load(Ordering::Acquire);
        expect("completions", tail.into(), indices.len() as i64)?;
        works(&mut context)?;
    }
    Ok(())
}

/// Indices that would be those of a posted entry, were they cut down to the length of the ring.
fn not_wrapped(place: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let name = format!("log-{mode:?}");
        let file = place.file(&name, b"")?;
        let mut context = context(MIN_ENTRIES, mode)?;
        let args = six(&[file.as_raw_fd() as u64, c"x".as_ptr() as u64, 1]);
        let real = context
            .prepare(libc::SYS_write as u16, args)
            .ok_or("no entry is free")?;
        let beyond = [MIN_ENTRIES, 2 * MIN_ENTRIES, 1 << 16, 1 << 31];
        for (count, beyond) in beyond.iter().enumerate() {
            context.publish(real + beyond);
            if mode == Mode::Lanes {
                context.kick_if_needed().map_err(|why| why.to_string())?;
            }
            take_all(&context)?;
            expect("rejected", rejected(&context), count as i64 + 1)?;
            let status = context.status(real).load(Ordering::Acquire);
            expect("its status", status.into(), abi::SUBMITTED.into())?;
        }
        context.publish(real);
        let done = context.complete(mode).map_err(|why| why.to_string())?;
        expect("write", done.ret, 1)?;
        let len = std::fs::metadata(&name)
            .map_err(|why| why.to_string())?
            .len();
        expect("length of the file", len as i64, 1)?;
        works(&mut context)?;
    }
    Ok(())
}

fn not_submitted(place: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let mut statuses = vec![abi::FREE, abi::BUSY, abi::DONE, 4, 0x101, 1 << 31, u32::MAX];
    for _ in 0..20 {
        statuses.push(place.rng.bits() as u32 | 2);
    }
    let index = 7;
    for (count, status) in statuses.iter().enumerate() {
        context.status(index).store(*status, Ordering::Relaxed);
        context.publish(index);
        take_all(&context)?;
        expect("rejected", rejected(&context), count as i64 + 1)?;
        let now = context.status(index).load(Ordering::Acquire);
        expect("its status", now.into(), (*status).into())?;
    }
    context.status(index).store(abi::FREE, Ordering::Relaxed);
    expect(
        "completions",
        context.comp_tail().load(Ordering::Acquire).into(),
        0,
    )?;
    works(&mut context)
}

fn taken_back(place: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let (sum, add) = eventfd(libc::EFD_NONBLOCK)?;
    let one = 1_u64;
    let args = six(&[add.as_raw_fd() as u64, &raw const one as u64, 8]);
    let (mut back, mut executed) = (0, 0);
    for _ in 0..place.rounds.unwrap_or(3000) {
        let index = context.post(libc::SYS_write as u16, args);
        let index = index.ok_or("no entry is free")?;
        context.kick_if_needed().map_err(|why| why.to_string())?;
        for _ in 0..*place.rng.pick(&[0, 10, 100, 300, 1000, 3000]) {
            std::hint::spin_loop();
        }
        if !place.rng.one_in(8) && context.withdraw(index) {
            back += 1;
            take_all(&context)?;
        } else {
            executed += 1;
            let done = context.complete(Mode::Lanes);
            expect("write", done.map_err(|why| why.to_string())?.ret, 8)?;
        }
    }
    let mut value = [0; 8];
    std::fs::File::from(sum)
        .read_exact(&mut value)
        .map_err(|why| format!("the sum: {why}"))?;
    println!("# {back} were taken back");
    expect("executed", u64::from_ne_bytes(value) as i64, executed)?;
    expect("rejected", rejected(&context), back)?;
    ensure(back > 0 && executed > 0, "one of both was never seen")
}

fn duplicates(place: &mut Place) -> Result<(), String> {
    let copies = 40;
    for mode in MODES {
        let name = format!("log-{mode:?}");
        place.file(&name, b"")?;
        let path = place.dir.join(name);
        let file = std::fs::File::options()
            .append(true)
            .open(&path)
            .map_err(|why| why.to_string())?;
        let mut context = context(MIN_ENTRIES, mode)?;
        let rounds = place.rounds.unwrap_or(20);
        for round in 1..=rounds {
            let args = six(&[file.as_raw_fd() as u64, c"x".as_ptr() as u64, 1]);
            let index = context
                .prepare(libc::SYS_write as u16, args)
                .ok_or("no entry is free")?;
            // All known at once, so that one look at the ring takes them all.
            let tail = context.sub_tail().load(Ordering::Relaxed);
            for at in 0..copies {
                context
                    .sub_slot(tail.wrapping_add(at))
                    .store(index, Ordering::Relaxed);
            }
            context
                .sub_tail()
                .store(tail.wrapping_add(copies), Ordering::Release);
            let one = context.complete(mode).map_err(|why| why.to_string())?;
            expect("write", one.ret, 1)?;
            take_all(&context)?;
            let more = context.reap().map_err(|why| why.to_string())?;
            ensure(more.is_none(), format!("completed again: {more:?}"))?;
            let len = file.metadata().map_err(|why| why.to_string())?.len();
            expect("length of the file", len as i64, round as i64)?;
            let want = round as i64 * i64::from(copies - 1);
            expect("rejected", rejected(&context), want)?;
        }
        works(&mut context)?;
    }
    Ok(())
}

/// The application writes SUBMITTED over the status of an entry whose call blocks, and posts it again.
fn in_flight(_: &mut Place) -> Result<(), String> {
    let again = 5_u8;
    for mode in MODES {
        let (read, write) = pipe().map_err(|why| why.to_string())?;
        let (mut read, mut write) = (std::fs::File::from(read), std::fs::File::from(write));
        let mut byte = 0_u8;
        let mut context = context(MIN_ENTRIES, mode)?;
        let args = six(&[read.as_raw_fd() as u64, &raw mut byte as u64, 1]);
        let index = context
            .post(libc::SYS_read as u16, args)
            .ok_or("no entry is free")?;
        take_all(&context)?;
        expect(
            "status of the entry",
            context.status(index).load(Ordering::Acquire).into(),
            abi::BUSY.into(),
        )?;
        for count in 1..=again {
            context
                .status(index)
                .store(abi::SUBMITTED, Ordering::Release);
            context.publish(index);
            take_all(&context)?;
            expect("rejected", rejected(&context), count.into())?;
        }
        let bytes = vec![b'y'; usize::from(again) + 1];
        write.write_all(&bytes).map_err(|why| why.to_string())?;
        let one = context.complete(mode).map_err(|why| why.to_string())?;
        expect("the entry", one.index.into(), index.into())?;
        expect("read", one.ret, 1)?;
        works(&mut context)?;
        drop(write);
        let mut rest = Vec::new();
        read.read_to_end(&mut rest).map_err(|why| why.to_string())?;
        expect("bytes that were left", rest.len() as i64, again.into())?;
        let counters = context.counters();
        expect("handed back", counters.handed_back as i64, 0)?;
    }
    Ok(())
}

fn far_ahead(place: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        let mut sum = 0;
        for ahead in [65, 128, 1000, 100_000, place.rng.below(200_000) as u32] {
            let tail = context.sub_tail().load(Ordering::Relaxed);
            context
                .sub_tail()
                .store(tail.wrapping_add(ahead), Ordering::Release);
            if mode == Mode::Lanes {
                context.kick().map_err(|why| why.to_string())?;
            }
            take_all(&context)?;
            sum += i64::from(ahead);
            expect("rejected", rejected(&context), sum)?;
            works(&mut context)?;
        }
    }
    Ok(())
}

/// All but one of the numbers there are: what the ring cannot hold is rejected at once, and the
/// context goes on.
fn endless(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        let tail = context.sub_tail().load(Ordering::Relaxed);
        context
            .sub_tail()
            .store(tail.wrapping_sub(1), Ordering::Release);
        if mode == Mode::Lanes {
            context.kick().map_err(|why| why.to_string())?;
        }
        take_all(&context)?;
        expect("rejected", rejected(&context), i64::from(u32::MAX))?;
        works(&mut context)?;
    }
    Ok(())
}
