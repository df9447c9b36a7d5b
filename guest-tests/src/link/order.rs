// SPDX-License-Identifier: MIT OR Apache-2.0
//! The entries of a chain are executed one after the other.

use std::os::fd::{AsRawFd, OwnedFd};

use libflexsc::sys as abi;

use super::{
    Step, chain, complete, descriptors, expect_all, minus, nop, post, prepare, results, step,
};
use crate::client::Mode;
use crate::posted::{MODES, Poster, ensure, expect};
use crate::process::pipe;
use crate::suite::{Behaviour, Place, bind, context, cpus};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("writes_end_in_their_order", writes);
    one("long_chains_keep_their_order", long);
    one("an_entry_waits_for_the_one_before", waits);
    one("several_chains_keep_their_orders", several);
    one("chains_of_several_contexts", contexts);
    one("on_one_cpu_the_caller_goes_on_with_the_chain", one_cpu);
    one("the_end_of_the_ring_ends_a_chain", ring_end);
    one("entries_beside_chains_are_unordered", beside);
    one("a_poll_that_goes_on_ends_a_chain", going_on);
}

/// Lines of different lengths, each with its number.
fn lines(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|at| format!("{at} {}\n", "x".repeat(at * 7 % 50)).into_bytes())
        .collect()
}

fn write_to(fd: &OwnedFd, bytes: &[u8]) -> Step {
    let args = [
        fd.as_raw_fd() as u64,
        bytes.as_ptr() as u64,
        bytes.len() as u64,
    ];
    step(libc::SYS_write, &args)
}

fn check_content(name: &str, lines: &[Vec<u8>]) -> Result<(), String> {
    let content = std::fs::read(name).map_err(|why| format!("{name}: {why}"))?;
    ensure(
        content == lines.concat(),
        format!("{name}: not what was written, or not in this order"),
    )
}

fn appended(place: &mut Place, poster: &mut Poster, count: usize) -> Result<(), String> {
    let lines = lines(count);
    let file = place.file("file", b"")?;
    let steps: Vec<_> = lines.iter().map(|line| write_to(&file, line)).collect();
    let got = results(poster, &steps)?;
    let want: Vec<_> = lines.iter().map(|line| line.len() as i64).collect();
    expect_all("write", &got, &want)?;
    check_content("file", &lines)
}

fn writes(place: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for count in [1, 2, 3, 17, 63, 64] {
            for _ in 0..4 {
                appended(place, &mut poster, count)?;
            }
        }
    }
    Ok(())
}

fn long(place: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::with(context(abi::MAX_ENTRIES, mode)?, mode);
        for count in [65, 127, 128, 129, 1000, 4095, 4096] {
            appended(place, &mut poster, count)?;
        }
        poster.nop()?;
    }
    Ok(())
}

fn waits(_: &mut Place) -> Result<(), String> {
    let mut byte = [0_u8; 1];
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..20 {
            let (from, to) = pipe().map_err(|why| why.to_string())?;
            let args = [from.as_raw_fd() as u64, byte.as_mut_ptr() as u64, 1];
            let indices = post(&mut poster, &[step(libc::SYS_read, &args), nop(), nop()])?;
            // What comes later is not held up.
            let other = poster
                .context
                .post(abi::NR_NOP, [0; 6])
                .ok_or("no entry is free")?;
            let done = poster.complete()?;
            expect("the entry that completes", done.index.into(), other.into())?;
            // SAFETY: one byte to write.
            let put = unsafe { libc::write(to.as_raw_fd(), b"x".as_ptr().cast(), 1) };
            expect("write", put as i64, 1)?;
            for one in complete(&mut poster, &indices)? {
                expect("the chain", one.ret, (one.index == indices[0]).into())?;
            }
        }
    }
    Ok(())
}

/// Chains of random lengths in one batch; each writes to a file of its own. Returns what they wrote.
fn batch(
    place: &mut Place,
    poster: &mut Poster,
    files: &mut Vec<(String, OwnedFd)>,
) -> Result<Vec<Vec<Vec<u8>>>, String> {
    let mut room = poster.context.room();
    let (mut all, mut indices) = (Vec::new(), Vec::new());
    while room > 0 {
        let count = (1 + place.rng.below(40) as usize).min(room);
        room -= count;
        let lines = lines(count);
        let name = format!("file{}", files.len());
        let file = place.file(&name, b"")?;
        let steps: Vec<_> = lines.iter().map(|line| write_to(&file, line)).collect();
        indices.extend(prepare(&mut poster.context, &steps)?);
        all.push(lines);
        files.push((name, file));
    }
    poster.context.publish_all(&indices);
    Ok(all)
}

fn several(place: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::with(context(1024, mode)?, mode);
        for _ in 0..3 {
            let mut files = Vec::new();
            let all = batch(place, &mut poster, &mut files)?;
            for _ in 0..1024 {
                let one = poster.complete()?;
                ensure(one.ret > 0, format!("a write gave {one:?}"))?;
            }
            for ((name, _), lines) in files.iter().zip(&all) {
                check_content(name, lines)?;
            }
        }
    }
    Ok(())
}

fn contexts(place: &mut Place) -> Result<(), String> {
    let mut posters = Vec::new();
    for at in 0..6 {
        posters.push(Poster::new(MODES[at % 2])?);
    }
    for _ in 0..5 {
        let mut files = Vec::new();
        let mut all = Vec::new();
        for poster in &mut posters {
            all.extend(batch(place, poster, &mut files)?);
        }
        for poster in &mut posters {
            for _ in 0..abi::MIN_ENTRIES {
                let one = poster.complete()?;
                ensure(one.ret > 0, format!("a write gave {one:?}"))?;
            }
        }
        for ((name, _), lines) in files.iter().zip(&all) {
            check_content(name, lines)?;
        }
    }
    Ok(())
}

fn one_cpu(place: &mut Place) -> Result<(), String> {
    let first = *cpus()?.first().ok_or("no CPU")?;
    bind(first)?;
    let mut poster = Poster::with(context(1024, Mode::Caller)?, Mode::Caller);
    appended(place, &mut poster, 1000)?;
    expect(
        "entries in C",
        poster.context.counters().entries_c as i64,
        1000,
    )?;
    drop(place.file("name", b"content")?);
    let before = descriptors()?;
    let mut memory = [0_u8; 16];
    for _ in 0..20 {
        let steps = [
            super::open(c"name", libc::O_RDONLY).file(),
            super::read(&mut memory),
            super::close(),
        ];
        expect_all(
            "open, read, close",
            &results(&mut poster, &steps)?,
            &[0, 7, 0],
        )?;
    }
    ensure(&memory[..7] == b"content", "read gave something else")?;
    ensure(descriptors()? == before, "descriptors are left")?;
    expect(
        "entries in C",
        poster.context.counters().entries_c as i64,
        1060,
    )
}

fn ring_end(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..20 {
            // It fails, but there is nothing that it could take along.
            let last = step(libc::SYS_close, &[u64::from(u32::MAX)]).flag(abi::ENTRY_LINK);
            let done = chain(&mut poster, &[last])?;
            expect("close", done[0].ret, minus(libc::EBADF))?;
            poster.nop()?;
        }
        // A full ring of entries that all are linked.
        let steps = vec![nop().flag(abi::ENTRY_LINK); abi::MIN_ENTRIES as usize];
        let got = results(&mut poster, &steps)?;
        expect_all("no-ops", &got, &vec![0; steps.len()])?;
        poster.nop()?;
    }
    Ok(())
}

fn beside(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let fails = step(libc::SYS_close, &[u64::from(u32::MAX)]);
        // One by itself, a chain that fails, one by itself, a chain that does not.
        let mut indices = Vec::new();
        for steps in [&[nop()][..], &[fails, nop()], &[nop()], &[nop(), nop()]] {
            indices.push(prepare(&mut poster.context, steps)?);
        }
        poster.context.publish_all(&indices.concat());
        let mut done = std::collections::BTreeMap::new();
        for _ in 0..indices.concat().len() {
            let one = poster.complete()?;
            done.insert(one.index, one.ret);
        }
        let got: Vec<_> = indices.concat().iter().map(|index| done[index]).collect();
        let (ebadf, ecanceled) = (minus(libc::EBADF), minus(libc::ECANCELED));
        expect_all("entries", &got, &[0, ebadf, ecanceled, 0, 0, 0])?;
    }
    Ok(())
}

fn going_on(_: &mut Place) -> Result<(), String> {
    // Nobody looks at the ring before the caller does, so that all is there at once.
    let mut poster = Poster::new(Mode::Caller)?;
    let (from, to) = pipe().map_err(|why| why.to_string())?;
    let (ready, feeder) = pipe().map_err(|why| why.to_string())?;
    crate::arm::ends::put(&feeder, 1)?;
    let mut byte = [0_u8; 1];
    let args = [from.as_raw_fd() as u64, byte.as_mut_ptr() as u64, 1];
    let blocks = step(libc::SYS_read, &args).flag(abi::ENTRY_LINK);
    let first = prepare(&mut poster.context, &[blocks])?;
    poster.context.publish_all(&first);
    let polls = [ready.as_raw_fd() as u64, libc::POLLIN as u64, 0, 0, 0, 0];
    let last = poster
        .context
        .post_multi(abi::NR_POLL, polls, 0, 0)
        .ok_or("no entry is free")?;
    let unreaped = poster.context.wait(0, None);
    expect(
        "complete",
        unreaped.map_err(|why| why.to_string())?.into(),
        0,
    )?;
    crate::arm::ends::put(&to, 1)?;
    expect("read", complete(&mut poster, &first)?[0].ret, 1)?;
    let told = complete(&mut poster, &[last])?[0].ret;
    expect("events", told, libc::POLLIN.into())?;
    let answer = crate::cancel::request::cancel(&poster.context, last, 0);
    ensure(
        [0, minus(libc::EALREADY)].contains(&answer),
        format!("cancel gave {answer}"),
    )?;
    let end = complete(&mut poster, &[last])?[0].ret;
    expect("the end", end, minus(libc::ECANCELED))?;
    // Not in the middle, and not on a file that could not be handed back.
    for flag in [abi::ENTRY_LINK, abi::ENTRY_FILE] {
        let polls = step(abi::NR_POLL.into(), &polls[..2]).flag(abi::ENTRY_MULTI | flag);
        let got = results(&mut poster, &[nop(), polls, nop()])?;
        let want = [0, minus(libc::EINVAL), minus(libc::ECANCELED)];
        expect_all("an unfit poll", &got, &want)?;
    }
    Ok(())
}
