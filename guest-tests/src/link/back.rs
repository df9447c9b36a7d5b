// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chains that are handed back in the middle.

use std::os::fd::RawFd;

use super::{
    chain, close, descriptors, expect_all, minus, nop, open, read, results, step, with_file,
};
use crate::client::{Completion, Mode};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::suite::{Behaviour, Place};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("the_rest_is_handed_back", rest);
    one("the_file_is_handed_back_under_a_number", number);
    one("a_page_worker_hands_the_file_back", worker);
    one("without_room_for_a_number_it_fails", no_room);
}

/// A request that no lane knows.
const UNKNOWN: [u64; 3] = [0, 0x541b, 0];

fn all_back(done: &[Completion]) -> Result<(), String> {
    for one in done {
        ensure(one.handed_back(), format!("not handed back: {one:?}"))?;
        expect("its result", one.ret, minus(libc::ENOSYS))?;
    }
    Ok(())
}

fn rest(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let makes = open(c"made", libc::O_CREAT | libc::O_WRONLY);
        for unknown in [step(999, &[]), step(libc::SYS_ioctl, &UNKNOWN)] {
            let done = chain(&mut poster, &[nop(), nop(), unknown, makes, nop()])?;
            for one in &done[..2] {
                ensure(!one.handed_back(), format!("handed back: {one:?}"))?;
                expect("no-op", one.ret, 0)?;
            }
            all_back(&done[2..])?;
            ensure(
                std::fs::metadata("made").is_err(),
                "an entry was executed and handed back",
            )?;
        }
        // A file that has a number has one already.
        let mut memory = [0_u8; 4];
        let steps = [
            open(c"name", 0),
            read(&mut memory),
            with_file(libc::SYS_ioctl, &UNKNOWN),
            close(),
        ];
        let done = chain(&mut poster, &steps)?;
        all_back(&done[2..])?;
        expect("close", poster.close(done[0].ret as i32)?, 0)?;
    }
    Ok(())
}

fn flag_of(fd: RawFd) -> Result<i64, String> {
    // SAFETY: no pointers.
    libc_ok("fcntl", unsafe { libc::fcntl(fd, libc::F_GETFD) }.into())
}

/// Fails unless `fd` is where the file goes on after four bytes; closes it.
fn goes_on(poster: &mut Poster, fd: i64) -> Result<(), String> {
    let (ret, rest) = poster.read(fd as i32, 16)?;
    expect("read", ret, 6)?;
    ensure(rest == b"456789", "it is not the file, or not at its place")?;
    expect("close", poster.close(fd as i32)?, 0)
}

fn number(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = descriptors()?;
        for flags in [0, libc::O_CLOEXEC] {
            let mut memory = [0_u8; 4];
            let steps = [
                open(c"name", flags).file(),
                read(&mut memory),
                with_file(libc::SYS_ioctl, &UNKNOWN),
                read(&mut memory),
                close(),
            ];
            let done = chain(&mut poster, &steps)?;
            expect("open", done[0].ret, 0)?;
            expect("read", done[1].ret, 4)?;
            let given = done[2];
            ensure(given.handed_back(), format!("not handed back: {given:?}"))?;
            ensure(
                given.ret >= 0 && !before.contains(&(given.ret as i32)),
                format!("no new number: {given:?}"),
            )?;
            all_back(&done[3..])?;
            let closes = i64::from(flags != 0) * i64::from(libc::FD_CLOEXEC);
            expect("FD_CLOEXEC", flag_of(given.ret as i32)?, closes)?;
            goes_on(&mut poster, given.ret)?;
        }
        // What the last entry of a chain is denied is the application's, too.
        let mut memory = [0_u8; 4];
        let asks = [0, libc::F_GETFD as u64];
        let steps = [
            open(c"name", 0).file(),
            read(&mut memory),
            with_file(libc::SYS_fcntl, &asks),
        ];
        let done = chain(&mut poster, &steps)?;
        ensure(done[2].handed_back(), "F_GETFD is not handed back")?;
        goes_on(&mut poster, done[2].ret)?;
        ensure(descriptors()? == before, "descriptors are left")?;
    }
    Ok(())
}

fn worker(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    let mut poster = Poster::new(Mode::Lanes)?;
    let span = libc::timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    let sleep = [libc::CLOCK_MONOTONIC as u64, 0, &raw const span as u64];
    let mut memory = [0_u8; 4];
    for last in [
        // Begun in lane W, which is asked first.
        with_file(libc::SYS_fcntl, &[0, libc::F_GETLK as u64, 0]),
        with_file(999, &[]),
    ] {
        let steps = [
            open(c"name", 0).file(),
            read(&mut memory),
            step(libc::SYS_clock_nanosleep, &sleep),
            last,
            nop(),
        ];
        let done = chain(&mut poster, &steps)?;
        ensure(done[3].handed_back(), format!("{:?}", done[3]))?;
        all_back(&done[4..])?;
        goes_on(&mut poster, done[3].ret)?;
    }
    Ok(())
}

fn no_room(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = descriptors()?;
        let most = before.last().copied().unwrap_or(0) + 1;
        // SAFETY: one readable and one writable structure.
        let old = unsafe {
            let mut old: libc::rlimit = std::mem::zeroed();
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut old);
            let limit = libc::rlimit {
                rlim_cur: most as u64,
                ..old
            };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            old
        };
        // Whatever is free below.
        let mut fill = Vec::new();
        while let Ok(file) = std::fs::File::open("name") {
            fill.push(file);
        }
        let emfile = minus(libc::EMFILE);
        let mut memory = [0_u8; 4];
        let opens = open(c"name", 0);
        let limited = results(&mut poster, &[opens])
            .and_then(|got| expect_all("open", &got, &[emfile]))
            .and_then(|()| {
                let steps = [opens.file(), read(&mut memory), close()];
                expect_all(
                    "without a number",
                    &results(&mut poster, &steps)?,
                    &[0, 4, 0],
                )?;
                let back = with_file(libc::SYS_ioctl, &UNKNOWN);
                let got = results(&mut poster, &[opens.file(), back, nop()])?;
                expect_all("handed back", &got, &[0, emfile, minus(libc::ECANCELED)])
            });
        drop(fill);
        // SAFETY: one readable structure.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const old) };
        limited?;
        ensure(descriptors()? == before, "descriptors are left")?;
        expect(
            "handed back",
            poster.context.counters().handed_back as i64,
            0,
        )?;
    }
    Ok(())
}
