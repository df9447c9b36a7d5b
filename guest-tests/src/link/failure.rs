// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chains that end before their end: by failure, request or time.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use libflexsc::sys as abi;

use super::{
    Step, complete, expect_all, minus, nop, open, post, read, results, step, with_file, write,
};
use crate::arm::ends::put;
use crate::cancel::request::cancel;
use crate::client::Completion;
use crate::posted::{MODES, Poster, ensure, expect};
use crate::process::pipe;
use crate::suite::{Behaviour, Place, context};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("a_failure_cancels_exactly_the_rest", exactly);
    one("a_short_transfer_is_a_success", short);
    one("flags_that_are_unknown_cancel_the_rest", unknown);
    one("an_entry_that_waits_is_cancelled", waiting);
    one("a_chain_is_cancelled_at_its_blocked_entry", blocked);
    one("all_of_a_chain_is_cancelled", all);
    one("a_time_limit_counts_from_its_turn", turn);
    one("a_time_limit_ends_the_chain", late);
    one("a_sleep_goes_on_with_the_chain", sleep);
    one("scribbling_changes_no_chain", scribble);
}

const ECANCELED: i64 = -(libc::ECANCELED as i64);

fn rets(done: &[Completion]) -> Vec<i64> {
    done.iter().map(|one| one.ret).collect()
}

fn exactly(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", b"")?;
    let fd = file.as_raw_fd() as u64;
    let fails = step(libc::SYS_close, &[u64::from(u32::MAX)]);
    for mode in MODES {
        let mut poster = Poster::with(context(1024, mode)?, mode);
        for (count, at) in [
            (2, 0),
            (3, 1),
            (64, 63),
            (64, 0),
            (130, 64),
            (1000, 500),
            (1000, 63),
        ] {
            let before = poster.context.counters();
            // SAFETY: no pointers.
            unsafe { libc::ftruncate(fd as i32, 0) };
            let steps: Vec<_> = (0..count)
                .map(|which| {
                    // Each leaves a byte at its own place.
                    let args = [fd, b"x".as_ptr() as u64, 1, which as u64];
                    if which == at {
                        fails
                    } else {
                        step(libc::SYS_pwrite64, &args)
                    }
                })
                .collect();
            let got = results(&mut poster, &steps)?;
            let want: Vec<_> = (0..count)
                .map(|which| match which {
                    which if which < at => 1,
                    which if which == at => minus(libc::EBADF),
                    _ => ECANCELED,
                })
                .collect();
            expect_all("chain", &got, &want)?;
            let size = std::fs::metadata("file")
                .map_err(|why| why.to_string())?
                .len();
            expect("bytes that were written", size as i64, at as i64)?;
            let cancelled = poster.context.counters().cancelled - before.cancelled;
            expect("counted", cancelled as i64, (count - at - 1) as i64)?;
            // The next one knows nothing of it.
            expect_all("next", &results(&mut poster, &[nop(), nop()])?, &[0, 0])?;
        }
    }
    Ok(())
}

fn short(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let mut memory = [0_u8; 100];
        let steps = [
            open(c"name", 0).file(),
            read(&mut memory),
            read(&mut memory),
            nop(),
        ];
        expect_all("chain", &results(&mut poster, &steps)?, &[0, 10, 0, 0])?;
    }
    Ok(())
}

fn unknown(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let steps = [nop(), nop().flag(0x4000), nop(), nop()];
        let want = [0, minus(libc::EINVAL), ECANCELED, ECANCELED];
        expect_all("chain", &results(&mut poster, &steps)?, &want)?;
    }
    Ok(())
}

/// A read that waits for `from`.
fn blocks(from: &OwnedFd, byte: &mut [u8; 1]) -> Step {
    let args = [from.as_raw_fd() as u64, byte.as_mut_ptr() as u64, 1];
    step(libc::SYS_read, &args)
}

fn taken(poster: &mut Poster, index: u32) -> Result<(), String> {
    // Whoever looks at the ring has to be sent there by a wait that does not sleep.
    let sent = poster.context.wait(0, None);
    sent.map_err(|why| why.to_string())?;
    poster.until_taken(index)
}

fn waiting(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let (from, to) = pipe().map_err(|why| why.to_string())?;
        let mut byte = [0_u8; 1];
        for which in 1..5 {
            let steps = [blocks(&from, &mut byte), nop(), nop(), nop(), nop()];
            let indices = post(&mut poster, &steps)?;
            taken(&mut poster, indices[4])?;
            for _ in 0..2 {
                expect("cancel", cancel(&poster.context, indices[which], 0), 0)?;
            }
            put(&to, 1)?;
            let got = rets(&complete(&mut poster, &indices)?);
            let want: Vec<_> = [1, 0, 0, 0, 0]
                .into_iter()
                .enumerate()
                .map(|(at, ret)| if at < which { ret } else { ECANCELED })
                .collect();
            expect_all("chain", &got, &want)?;
        }
        poster.nop()?;
    }
    Ok(())
}

fn blocked(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let (from, to) = pipe().map_err(|why| why.to_string())?;
        let mut byte = [0_u8; 1];
        for _ in 0..10 {
            let steps = [nop(), blocks(&from, &mut byte), nop(), nop()];
            let indices = post(&mut poster, &steps)?;
            complete(&mut poster, &indices[..1])?;
            let answer = cancel(&poster.context, indices[1], 0);
            ensure(
                [0, minus(libc::EALREADY)].contains(&answer),
                format!("cancel gave {answer}"),
            )?;
            let got = rets(&complete(&mut poster, &indices[1..])?);
            ensure(
                [ECANCELED, minus(libc::EINTR)].contains(&got[0]),
                format!("the read gave {}", got[0]),
            )?;
            expect_all("the rest", &got[1..], &[ECANCELED; 2])?;
        }
        // The file is fit for more.
        put(&to, 1)?;
        expect("read", poster.read(from.as_raw_fd(), 4)?.0, 1)?;
    }
    Ok(())
}

fn all(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::with(context(1024, mode)?, mode);
        let (from, _to) = pipe().map_err(|why| why.to_string())?;
        let mut byte = [0_u8; 1];
        for count in [2, 64, 65, 300] {
            let mut steps = vec![nop(); count];
            steps[0] = blocks(&from, &mut byte);
            let one = post(&mut poster, &steps)?;
            let two = post(&mut poster, &steps)?;
            let answer = cancel(&poster.context, 0, abi::CANCEL_ALL);
            expect("cancelled", answer, 2 * count as i64)?;
            let mut done = std::collections::BTreeMap::new();
            for _ in 0..2 * count {
                let one = poster.complete()?;
                done.insert(one.index, one.ret);
            }
            for index in one.iter().chain(&two) {
                let ret = done.get(index).copied().ok_or("an entry is missing")?;
                ensure(
                    [ECANCELED, minus(libc::EINTR)].contains(&ret),
                    format!("an entry gave {ret}"),
                )?;
            }
        }
        poster.nop()?;
    }
    Ok(())
}

fn turn(_: &mut Place) -> Result<(), String> {
    let mut poster = Poster::new(MODES[0])?;
    let (from, to) = pipe().map_err(|why| why.to_string())?;
    let mut byte = [0_u8; 1];
    let limit = Duration::from_secs(3);
    let limited = nop().within(limit.as_nanos() as i64);
    let indices = post(&mut poster, &[blocks(&from, &mut byte), limited, nop()])?;
    taken(&mut poster, indices[2])?;
    std::thread::sleep(limit + Duration::from_millis(300));
    put(&to, 1)?;
    let got = rets(&complete(&mut poster, &indices)?);
    expect_all("chain", &got, &[1, 0, 0])
}

fn late(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let (from, _to) = pipe().map_err(|why| why.to_string())?;
        let mut byte = [0_u8; 1];
        let limited = blocks(&from, &mut byte).within(2_000_000);
        for _ in 0..5 {
            let got = results(&mut poster, &[nop(), limited, nop(), nop()])?;
            let want = [0, minus(libc::ETIME), ECANCELED, ECANCELED];
            expect_all("chain", &got, &want)?;
            // The first one's counts from when it is taken, as ever.
            let got = results(&mut poster, &[limited, nop()])?;
            expect_all("at its head", &got, &want[1..3])?;
        }
    }
    Ok(())
}

fn sleep(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let span = libc::timespec {
            tv_sec: 0,
            tv_nsec: 2_000_000,
        };
        let args = [libc::CLOCK_MONOTONIC as u64, 0, &raw const span as u64];
        let sleeps = step(libc::SYS_clock_nanosleep, &args);
        let mut memory = [0_u8; 10];
        for _ in 0..5 {
            let steps = [
                open(c"name", libc::O_RDWR).file(),
                sleeps,
                read(&mut memory),
                sleeps,
                write(b"more"),
                sleeps,
                with_file(libc::SYS_ftruncate, &[0, 10]),
            ];
            let got = results(&mut poster, &steps)?;
            expect_all("chain", &got, &[0, 0, 10, 0, 4, 0, 0])?;
        }
    }
    Ok(())
}

fn scribble(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let (from, to) = pipe().map_err(|why| why.to_string())?;
        let mut byte = [0_u8; 1];
        for words in [0, u16::MAX, abi::ENTRY_LINK, abi::ENTRY_FILE] {
            let mut steps = vec![nop(); 60];
            steps[0] = blocks(&from, &mut byte);
            let indices = post(&mut poster, &steps)?;
            taken(&mut poster, indices[59])?;
            for index in &indices {
                poster.context.flags(*index).store(words, Ordering::Relaxed);
                poster.context.nr(*index).store(3, Ordering::Relaxed);
            }
            put(&to, 1)?;
            let got = rets(&complete(&mut poster, &indices)?);
            let mut want = vec![0; 60];
            want[0] = 1;
            expect_all("chain", &got, &want)?;
        }
        // A chain that was cut nowhere is not joined to the next, either.
        expect_all("next", &results(&mut poster, &[nop(), nop()])?, &[0, 0])?;
    }
    Ok(())
}
