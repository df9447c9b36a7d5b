// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who executes which entry.

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use libflexsc::sys::{ENTRY_FILE, ENTRY_LINK, ENTRY_TIMEOUT, MIN_ENTRIES, NR_NOP};

use crate::client::{Context, Lane, Mode};
use crate::posted::{MODES, ensure, expect, six};
use crate::process::pipe;
use crate::suite::{Behaviour, Place, bind, context, cpus, outcome, skip, two_cpus, until};

/// AT_FDCWD as an argument.
pub const AT_FDCWD: u64 = libc::AT_FDCWD as u64;

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("pread_of_a_file_runs_in_w", worker);
    one("openat_and_close_run_in_t", thread);
    one("a_pipe_is_read_in_t", pipes);
    one("on_one_cpu_the_caller_executes", one_cpu);
    one("wait_for_none_executes_in_the_caller", min_zero);
    one("an_unattended_ring_is_the_callers", unattended);
    one("lanes_add_up_to_what_was_posted", sum);
    one("unknown_numbers_are_handed_back", unknown);
    one("entries_with_flags_are_invalid", flags);
}

fn call(context: &mut Context, mode: Mode, nr: i64, args: &[u64]) -> Result<(i64, Lane), String> {
    let done = context
        .call(mode, nr as u16, six(args))
        .map_err(|why| why.to_string())?;
    Ok((done.ret, done.lane))
}

fn expect_lane(what: &str, is: (i64, Lane), ret: i64, lane: Lane) -> Result<(), String> {
    expect(what, is.0, ret)?;
    ensure(
        is.1 == lane,
        format!("{what}: lane {}, not {}", is.1.letter(), lane.letter()),
    )
}

fn worker(place: &mut Place) -> Result<(), String> {
    let kind = place.file_system()?;
    if kind != "ext4" && kind != "tmpfs" {
        return skip(&format!("{kind} is no file system of lane W"));
    }
    let file = place.file("file", b"0123456789")?;
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    for at in 0..10_u64 {
        let mut byte = 0_u8;
        let args = [file.as_raw_fd() as u64, &raw mut byte as u64, 1, at];
        let done = call(&mut context, Mode::Lanes, libc::SYS_pread64, &args)?;
        expect_lane("pread64", done, 1, Lane::Worker)?;
        // SAFETY: the kernel has written it before it published the completion.
        let byte = unsafe { (&raw const byte).read_volatile() };
        expect("what was read", byte.into(), (b'0' + at as u8).into())?;
    }
    Ok(())
}

fn thread(_: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    for _ in 0..10 {
        let args = [AT_FDCWD, c".".as_ptr() as u64, libc::O_DIRECTORY as u64];
        let (fd, lane) = call(&mut context, Mode::Lanes, libc::SYS_openat, &args)?;
        ensure(fd >= 0, format!("openat gave {fd}"))?;
        expect_lane("openat", (0, lane), 0, Lane::Thread)?;
        let done = call(&mut context, Mode::Lanes, libc::SYS_close, &[fd as u64])?;
        expect_lane("close", done, 0, Lane::Thread)?;
    }
    Ok(())
}

fn pipes(_: &mut Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let mut bytes = vec![7_u8; 4];
    let args = [write.as_raw_fd() as u64, bytes.as_ptr() as u64, 4];
    let done = call(&mut context, Mode::Lanes, libc::SYS_write, &args)?;
    expect_lane("write", done, 4, Lane::Worker)?;
    bytes.fill(0);
    let args = [read.as_raw_fd() as u64, bytes.as_mut_ptr() as u64, 4];
    let done = call(&mut context, Mode::Lanes, libc::SYS_read, &args)?;
    expect_lane("read", done, 4, Lane::Worker)?;
    ensure(bytes == [7; 4], "the pipe gave other bytes")
}

fn one_cpu(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", b"0123456789")?;
    for cpu in cpus()? {
        bind(cpu)?;
        let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
        expect("the CPU", context.setup().cpu.into(), cpu as i64)?;
        expect("its spin time", context.setup().spin_us.into(), 0)?;
        let mut bytes = vec![0_u8; MIN_ENTRIES as usize];
        let mut all = 0;
        for _ in 0..5 {
            // A whole page of calls whose own lanes are W and T.
            for (at, byte) in bytes.iter_mut().enumerate() {
                let posted = if at % 2 == 0 {
                    let args = [file.as_raw_fd() as u64, &raw mut *byte as u64, 1, 3, 0, 0];
                    context.post(libc::SYS_pread64 as u16, args)
                } else {
                    let args = [AT_FDCWD, c"file".as_ptr() as u64, 0, 0, 0, 0];
                    context.post(libc::SYS_openat as u16, args)
                };
                posted.ok_or("no entry is free")?;
            }
            let ret = outcome(context.wait(MIN_ENTRIES, None));
            expect("wait", ret, MIN_ENTRIES.into())?;
            let mut opened = Vec::new();
            while let Some(one) = context.reap().map_err(|why| why.to_string())? {
                ensure(one.ret >= 1, format!("a call gave {one:?}"))?;
                if one.ret > 1 {
                    opened.push(one.ret as u64);
                }
            }
            let count = opened.len() as i64;
            expect("opened files", count, (MIN_ENTRIES / 2).into())?;
            for fd in opened {
                context
                    .post(libc::SYS_close as u16, six(&[fd]))
                    .ok_or("no entry is free")?;
            }
            // Releasing files may make wait return early.
            until("all are closed", || {
                outcome(context.wait(count as u32, None)) >= count
            })?;
            while let Some(one) = context.reap().map_err(|why| why.to_string())? {
                expect("close", one.ret, 0)?;
            }
            all += i64::from(MIN_ENTRIES) + count;
            let counters = context.counters();
            expect("lane C", counters.entries_c as i64, all)?;
            expect("lane W", counters.entries_w as i64, 0)?;
            expect("lane T", counters.entries_t as i64, 0)?;
        }
    }
    Ok(())
}

fn min_zero(_: &mut Place) -> Result<(), String> {
    two_cpus()?;
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    for round in 1..=10 {
        for _ in 0..10 {
            context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
        }
        expect("wait for none", outcome(context.wait(0, None)), 10)?;
        while context.reap().map_err(|why| why.to_string())?.is_some() {}
        let counters = context.counters();
        expect("lane C", counters.entries_c as i64, round * 10)?;
    }
    Ok(())
}

fn unattended(_: &mut Place) -> Result<(), String> {
    two_cpus()?;
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    for _ in 0..10 {
        until("nobody looks", || context.needs_wakeup())?;
        let done = call(&mut context, Mode::Caller, NR_NOP.into(), &[])?;
        expect_lane("no-op", done, 0, Lane::Caller)?;
    }
    Ok(())
}

fn sum(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", &[1; 4096])?;
    let mut buffer = vec![0_u8; 4096];
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        let (mut posted, mut completed, mut handed_back) = (0_u64, 0_u64, 0_u64);
        for _ in 0..place.rounds.unwrap_or(40) {
            for _ in 0..=place.rng.below(MIN_ENTRIES.into()) {
                let fd = file.as_raw_fd() as u64;
                let at = buffer.as_mut_ptr() as u64;
                let none = c"none".as_ptr() as u64;
                let (nr, args) = match place.rng.below(5) {
                    0 => (NR_NOP, [0; 6]),
                    1 => (libc::SYS_pread64 as u16, [fd, at, 4096, 0, 0, 0]),
                    2 => (libc::SYS_faccessat as u16, [AT_FDCWD, none, 0, 0, 0, 0]),
                    3 => (libc::SYS_getpid as u16, [0; 6]),
                    _ => (libc::SYS_getppid as u16, [0; 6]),
                };
                if context.post(nr, args).is_some() {
                    posted += 1;
                }
            }
            while completed < posted {
                let one = context.complete(mode).map_err(|why| why.to_string())?;
                completed += 1;
                handed_back += u64::from(one.handed_back());
            }
        }
        let now = context.counters();
        let executed = now.entries_w + now.entries_t + now.entries_c;
        expect("lanes", executed as i64, (posted - handed_back) as i64)?;
        expect("handed back", now.handed_back as i64, handed_back as i64)?;
        expect("rejected", now.rejected as i64, 0)?;
        ensure(handed_back > 0, "no entry was handed back")?;
    }
    Ok(())
}

fn unknown(_: &mut Place) -> Result<(), String> {
    let listed: BTreeSet<u16> = crate::client::probe()
        .map_err(|why| why.to_string())?
        .iter()
        .map(|call| call.nr)
        .collect();
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        // Were one of them executed, exit, fork and pause would not go unnoticed.
        let outside = (0..500).chain([511, 512, 547, 548, 1000, 0x7fff, 0x8000, 0xfffe]);
        let mut count = 0;
        for nr in outside.filter(|nr| !listed.contains(nr)) {
            let done = call(&mut context, mode, nr.into(), &[])?;
            let want = -i64::from(libc::ENOSYS);
            expect_lane(&format!("call {nr}"), done, want, Lane::HandedBack)?;
            count += 1;
        }
        let handed_back = context.counters().handed_back;
        expect("handed back", handed_back as i64, count)?;
        let done = call(&mut context, mode, NR_NOP.into(), &[])?;
        expect("no-op", done.0, 0)?;
    }
    Ok(())
}

fn flags(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut context = context(MIN_ENTRIES, mode)?;
        for nr in [
            NR_NOP,
            libc::SYS_getppid as u16,
            libc::SYS_openat as u16,
            999,
        ] {
            for flag in (0..16).map(|bit| 1 << bit) {
                if [ENTRY_TIMEOUT, ENTRY_LINK].contains(&flag) {
                    continue;
                }
                // These may go together with a chain's file.
                if flag == ENTRY_FILE && ![NR_NOP, libc::SYS_getppid as u16].contains(&nr) {
                    continue;
                }
                let index = context.prepare(nr, [0; 6]).ok_or("no entry is free")?;
                context.flags(index).store(flag, Ordering::Relaxed);
                context.publish(index);
                let one = context.complete(mode).map_err(|why| why.to_string())?;
                let what = format!("call {nr} with flag {flag:#x}");
                expect(&what, one.ret, -i64::from(libc::EINVAL))?;
                expect(&what, one.flags.into(), 0)?;
            }
        }
    }
    Ok(())
}
