// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file of a chain.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use libflexsc::sys as abi;

use super::{
    chain, close, complete, descriptors, expect_all, minus, nop, open, post, read, results, step,
    with_file, write,
};
use crate::client::Mode;
use crate::lifecycle::blocking::make_fifo;
use crate::posted::{MODES, Poster, ensure, expect};
use crate::process::pipe;
use crate::suite::{Behaviour, Place};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("open_fstat_read_close", whole);
    one("a_page_worker_takes_the_file", worker);
    one("a_descriptor_feeds_the_rest", number);
    one("the_last_opener_counts", last_opener);
    one("where_there_is_no_file", none);
    one("a_call_without_a_file_takes_none", invalid);
    one("the_file_goes_with_the_chain", goes);
    one("a_close_is_a_close", closes);
    one("an_entry_waits_at_the_file", waits);
    one("our_own_file_is_handed_back", own);
}

const SLEEP: libc::c_long = libc::SYS_clock_nanosleep;

fn whole(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = descriptors()?;
        for _ in 0..50 {
            // SAFETY: plain data, for which zeroes are fine.
            let mut stat: libc::stat = unsafe { std::mem::zeroed() };
            let mut memory = [0_u8; 16];
            let steps = [
                open(c"name", libc::O_RDONLY).file(),
                with_file(libc::SYS_fstat, &[0, &raw mut stat as u64]),
                read(&mut memory),
                close(),
            ];
            expect_all("chain", &results(&mut poster, &steps)?, &[0, 0, 10, 0])?;
            // SAFETY: written before the completion was published.
            let size = unsafe { (&raw const stat.st_size).read_volatile() };
            expect("size", size, 10)?;
            ensure(&memory[..10] == b"0123456789", "read gave something else")?;
        }
        ensure(descriptors()? == before, "descriptors are left")?;
    }
    Ok(())
}

fn worker(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    let kind = place.file_system()?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let span = libc::timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    let mut memory = [0_u8; 4];
    // Whoever sleeps leaves its lane: what comes then begins in the lane of its call.
    let args = [libc::CLOCK_MONOTONIC as u64, 0, &raw const span as u64];
    let steps = [
        open(c"name", libc::O_RDONLY).file(),
        step(SLEEP, &args),
        read(&mut memory),
        read(&mut memory),
        with_file(libc::SYS_lseek, &[0, 0, libc::SEEK_CUR as u64]),
    ];
    for _ in 0..10 {
        let before = poster.context.counters();
        expect_all("chain", &results(&mut poster, &steps)?, &[0, 0, 4, 4, 8])?;
        let after = poster.context.counters();
        if kind == "ext4" || kind == "tmpfs" {
            // The sleep is counted there as well.
            ensure(
                after.entries_w - before.entries_w >= 4,
                format!("not by a page worker: {before:?} {after:?}"),
            )?;
        }
    }
    Ok(())
}

fn number(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = descriptors()?;
        let mut memory = [0_u8; 4];
        let mut steps = vec![
            open(c"name", libc::O_RDONLY),
            read(&mut memory),
            nop(),
            read(&mut memory),
            close(),
        ];
        let got = results(&mut poster, &steps)?;
        ensure(got[0] >= 0, format!("open gave {}", got[0]))?;
        expect_all("chain", &got[1..], &[4, 0, 4, 0])?;
        ensure(&memory == b"4567", "read gave something else")?;
        ensure(descriptors()? == before, "descriptors are left")?;
        // Without a close it stays, and is at the place where the chain left it.
        steps.pop();
        let got = results(&mut poster, &steps)?;
        let (ret, rest) = poster.read(got[0] as i32, 9)?;
        expect("read", ret, 2)?;
        ensure(rest == b"89", "read gave something else")?;
        expect("close", poster.close(got[0] as i32)?, 0)?;
        ensure(descriptors()? == before, "descriptors are left")?;
    }
    Ok(())
}

fn last_opener(place: &mut Place) -> Result<(), String> {
    drop(place.file("one", b"1")?);
    drop(place.file("two", b"22")?);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = descriptors()?;
        let mut memory = [0_u8; 4];
        let (one, two) = (open(c"one", 0), open(c"two", 0));
        let steps = [one.file(), two.file(), read(&mut memory), close()];
        expect_all("both", &results(&mut poster, &steps)?, &[0, 0, 2, 0])?;
        let got = results(&mut poster, &[one.file(), two, read(&mut memory), close()])?;
        expect_all("a number", &got[2..], &[2, 0])?;
        let got = results(&mut poster, &[one, two.file(), read(&mut memory), close()])?;
        expect_all("after a number", &got[1..], &[0, 2, 0])?;
        expect("close", poster.close(got[0] as i32)?, 0)?;
        ensure(descriptors()? == before, "descriptors are left")?;
    }
    Ok(())
}

fn none(place: &mut Place) -> Result<(), String> {
    drop(place.file("name", b"0123456789")?);
    let (ebadf, ecanceled) = (minus(libc::EBADF), minus(libc::ECANCELED));
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let mut memory = [0_u8; 4];
        let all = [
            read(&mut memory),
            write(b"x"),
            close(),
            with_file(libc::SYS_fsync, &[0]),
            with_file(libc::SYS_getdents64, &[0, memory.as_mut_ptr() as u64, 4]),
            with_file(abi::NR_POLL.into(), &[0, 1]),
            with_file(libc::SYS_sendfile, &[0, 1, 0, 1]),
            with_file(libc::SYS_statx, &[0, c"name".as_ptr() as u64]),
        ];
        for step in all {
            let got = results(&mut poster, &[nop(), step, nop()])?;
            expect_all("in a chain", &got, &[0, ebadf, ecanceled])?;
            expect_all("by itself", &results(&mut poster, &[step])?, &[ebadf])?;
        }
        let steps = [open(c"name", 0).file(), close(), read(&mut memory)];
        expect_all("closed", &results(&mut poster, &steps)?, &[0, 0, ebadf])?;
        let steps = [open(c"name", 0).file(), close(), close()];
        expect_all(
            "closed twice",
            &results(&mut poster, &steps)?,
            &[0, 0, ebadf],
        )?;
        // It is not the next chain's.
        expect_all(
            "alone",
            &results(&mut poster, &[open(c"name", 0).file()])?,
            &[0],
        )?;
        expect_all(
            "next",
            &results(&mut poster, &[read(&mut memory)])?,
            &[ebadf],
        )?;
        let fails = open(c"none", 0).file();
        let got = results(&mut poster, &[fails, read(&mut memory)])?;
        expect_all("none to open", &got, &[minus(libc::ENOENT), ecanceled])?;
    }
    Ok(())
}

fn invalid(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for nr in [
            abi::NR_NOP.into(),
            SLEEP,
            libc::SYS_getppid,
            libc::SYS_truncate,
            libc::SYS_statfs,
            libc::SYS_symlinkat,
            libc::SYS_socketpair,
            libc::SYS_getrandom,
            libc::SYS_getxattr,
        ] {
            let steps = [open(c".", 0).file(), with_file(nr, &[]), nop()];
            let want = [0, minus(libc::EINVAL), minus(libc::ECANCELED)];
            expect_all(&format!("call {nr}"), &results(&mut poster, &steps)?, &want)?;
        }
    }
    Ok(())
}

/// A FIFO, and its reading end.
fn fifo(name: &std::ffi::CStr) -> Result<fs::File, String> {
    make_fifo(name)?;
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(name.to_string_lossy().as_ref())
        .map_err(|why| why.to_string())
}

/// Fails unless the other end of a FIFO is closed, when `count` bytes have been read.
fn ended(reader: &mut fs::File, count: usize) -> Result<(), String> {
    let mut memory = [0_u8; 16];
    let got = reader.read(&mut memory).map_err(|why| why.to_string())?;
    expect("bytes", got as i64, count as i64)?;
    if count > 0 {
        let got = reader
            .read(&mut memory)
            .map_err(|why| format!("the other end is open: {why}"))?;
        expect("end of file", got as i64, 0)?;
    }
    Ok(())
}

fn goes(_: &mut Place) -> Result<(), String> {
    let mut reader = fifo(c"fifo")?;
    let opens = open(c"fifo", libc::O_WRONLY).file();
    let span = libc::timespec {
        tv_sec: 0,
        tv_nsec: 1,
    };
    let sleeps = [libc::CLOCK_MONOTONIC as u64, 0, &raw const span as u64];
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..10 {
            let got = results(&mut poster, &[opens, write(b"abc")])?;
            expect_all("to its end", &got, &[0, 3])?;
            ended(&mut reader, 3)?;
            // In lane W, to which it goes after the sleep, by an entry that has nothing to do with the file.
            let steps = [opens, write(b"abc"), step(SLEEP, &sleeps), nop()];
            expect_all("asleep", &results(&mut poster, &steps)?, &[0, 3, 0, 0])?;
            ended(&mut reader, 3)?;
            // Gone before the entry that fails is complete.
            let mut memory = [0_u8; 4];
            let steps = [opens, write(b"abc"), read(&mut memory), nop(), nop()];
            let indices = post(&mut poster, &steps)?;
            complete(&mut poster, &indices[..3])?;
            ended(&mut reader, 3)?;
            complete(&mut poster, &indices[3..])?;
            expect_all("alone", &results(&mut poster, &[opens])?, &[0])?;
            ended(&mut reader, 0)?;
            // Replaced by another.
            let steps = [opens, write(b"abc"), open(c".", 0).file(), nop()];
            let indices = post(&mut poster, &steps)?;
            complete(&mut poster, &indices[..3])?;
            ended(&mut reader, 3)?;
            complete(&mut poster, &indices[3..])?;
        }
    }
    Ok(())
}

fn closes(_: &mut Place) -> Result<(), String> {
    let mut reader = fifo(c"fifo")?;
    let (from, to) = pipe().map_err(|why| why.to_string())?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..10 {
            let mut byte = [0_u8; 1];
            let args = [
                std::os::fd::AsRawFd::as_raw_fd(&from) as u64,
                byte.as_mut_ptr() as u64,
                1,
            ];
            let steps = [
                open(c"fifo", libc::O_WRONLY).file(),
                write(b"abc"),
                close(),
                step(libc::SYS_read, &args),
            ];
            let indices = post(&mut poster, &steps)?;
            for one in complete(&mut poster, &indices[..3])? {
                ensure(one.ret >= 0, format!("the chain gave {one:?}"))?;
            }
            // While the chain waits for something else.
            ended(&mut reader, 3)?;
            crate::arm::ends::put(&to, 1)?;
            complete(&mut poster, &indices[3..])?;
        }
    }
    Ok(())
}

fn waits(_: &mut Place) -> Result<(), String> {
    make_fifo(c"fifo")?;
    let mut other = OpenOptions::new()
        .read(true)
        .write(true)
        .open("fifo")
        .map_err(|why| why.to_string())?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..10 {
            let mut memory = [0_u8; 8];
            let steps = [
                open(c"fifo", libc::O_RDONLY).file(),
                read(&mut memory),
                with_file(abi::NR_POLL.into(), &[0, libc::POLLIN as u64]),
                read(&mut memory),
                close(),
            ];
            let indices = post(&mut poster, &steps)?;
            complete(&mut poster, &indices[..1])?;
            // The reads wait, whether they have begun by now or not.
            for (part, indices) in [(b"abc", &indices[1..2]), (b"def", &indices[2..4])] {
                poster
                    .context
                    .wait(0, None)
                    .map_err(|why| why.to_string())?;
                std::io::Write::write_all(&mut other, part).map_err(|why| why.to_string())?;
                let got = complete(&mut poster, indices)?;
                expect("the last", got[got.len() - 1].ret, 3)?;
            }
            let got = complete(&mut poster, &indices[4..])?;
            let got: Vec<_> = got.iter().map(|one| one.ret).collect();
            expect_all("close", &got, &[0])?;
            ensure(&memory[..3] == b"def", "read gave something else")?;
        }
        expect("threads", poster.context.counters().threads as i64, 1)?;
    }
    Ok(())
}

fn own(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let before = descriptors()?;
        let mut memory = [0_u8; 8];
        let steps = [
            open(crate::client::DEVICE, libc::O_RDWR).file(),
            read(&mut memory),
            close(),
        ];
        for one in chain(&mut poster, &steps)? {
            ensure(one.handed_back(), format!("not handed back: {one:?}"))?;
            expect("its result", one.ret, minus(libc::ENOSYS))?;
        }
        ensure(descriptors()? == before, "descriptors are left")?;
    }
    Ok(())
}
