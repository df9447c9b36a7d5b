// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who executes what, and what a sleeping call means to the others.

use std::fs;
use std::os::fd::AsRawFd;
use std::time::Duration;

use libflexsc::sys as abi;

use super::Setting;
use crate::client::{Context, Lane, Mode, open_device, setup_request};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{Poster, ensure, expect};
use crate::process::{Child, module_unused, pipe};
use crate::userfault::Slow;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        ("each_kind_of_call_has_its_lane", lanes as fn(&Place) -> _),
        ("a_sleeping_call_in_lane_w_lets_others_go_on", sleeping),
        ("several_sleeping_calls_in_lane_w", several_sleeping),
        (
            "a_sleeping_call_in_lane_w_does_not_keep_the_process",
            killed_asleep,
        ),
        ("a_busy_page_worker_makes_way", makes_way),
        ("a_blocking_call_leaves_the_caller_free", blocking_caller),
        ("unknown_flags_are_refused", flags),
    ] {
        list.push(Behaviour { name, run });
    }
}

fn lanes(_: &Place) -> Result<(), String> {
    fs::write("file", [3_u8; 100]).map_err(|why| why.to_string())?;
    let file = fs::OpenOptions::new().read(true).write(true).open("file");
    let file = file.map_err(|why| why.to_string())?;
    let null = fs::File::open("/dev/null").map_err(|why| why.to_string())?;
    let comm = fs::File::open("/proc/self/comm");
    let comm = comm.map_err(|why| format!("/proc/self/comm: {why}"))?;
    let mut memory = vec![0_u8; 4096];
    let address = memory.as_mut_ptr() as u64;
    let fd = |file: &fs::File| file.as_raw_fd() as u64;
    let path = c"file".as_ptr() as u64;
    let here = libc::AT_FDCWD as u64;
    let nop = libc::c_long::from(abi::NR_NOP);
    let table: [(libc::c_long, &[u64], Lane); 11] = [
        (nop, &[], Lane::Worker),
        (libc::SYS_read, &[fd(&file), address, 10], Lane::Worker),
        (libc::SYS_write, &[fd(&file), address, 10], Lane::Worker),
        (libc::SYS_fstat, &[fd(&file), address], Lane::Worker),
        (libc::SYS_fsync, &[fd(&file)], Lane::Worker),
        (libc::SYS_read, &[fd(&null), address, 10], Lane::Worker),
        // Longer than what cannot be killed may be.
        (
            libc::SYS_pread64,
            &[fd(&file), address, 8 << 20, 0],
            Lane::Thread,
        ),
        (libc::SYS_read, &[fd(&comm), address, 10], Lane::Thread),
        (
            libc::SYS_openat,
            &[here, path, libc::O_PATH as u64],
            Lane::Thread,
        ),
        (
            libc::SYS_statx,
            &[here, path, 0, 0x7ff, address],
            Lane::Thread,
        ),
        (libc::SYS_close, &[u64::MAX], Lane::Thread),
    ];
    let mut poster = Poster::new(Mode::Lanes)?;
    for (nr, args, lane) in &table {
        let done = poster.entry(*nr, args)?;
        let name = crate::calls::name(*nr as u16);
        ensure(
            done.lane == *lane,
            format!("{name} was executed in {:?}, not {lane:?}", done.lane),
        )?;
    }
    let mut poster = Poster::new(Mode::Caller)?;
    for (nr, args, _) in &table {
        // A read of a file of unknown kind might block the caller, so a thread makes it, which may
        // then go on and take what comes next.
        if args.first() == Some(&fd(&comm)) {
            continue;
        }
        let done = poster.entry(*nr, args)?;
        let name = crate::calls::name(*nr as u16);
        ensure(
            done.lane == Lane::Caller,
            format!("{name} was executed in {:?}", done.lane),
        )?;
    }
    Ok(())
}

fn slow(pages: usize) -> Result<Slow, String> {
    Slow::new(pages).map_err(|why| format!("{SKIP}userfaultfd: {why}"))
}

fn until_awaited(slow: &Slow) -> Result<(), String> {
    let mut looks = 0;
    while !slow.is_awaited() {
        looks += 1;
        ensure(looks < 20_000, "nobody came to read into the missing page")?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Posts `count` reads that sleep in lane W until their page is released.
fn sleep_in_w(
    poster: &mut Poster,
    slow: &Slow,
    file: &fs::File,
    count: usize,
) -> Result<Vec<u32>, String> {
    let mut asleep = Vec::new();
    for which in 0..count {
        let to = slow.address() + 4096 * which as u64;
        let args = [file.as_raw_fd() as u64, to, 50, 0];
        let index = poster.post(libc::SYS_pread64, &args)?;
        poster.until_asleep(index, "somebody reads into the missing page", || {
            slow.is_awaited()
        })?;
        asleep.push(index);
    }
    Ok(asleep)
}

/// Calls of lane W and of lane T complete while those in `asleep` do not.
pub fn others_go_on(
    poster: &mut Poster,
    file: &fs::File,
    asleep: &[u32],
    rounds: u64,
) -> Result<(), String> {
    let mut memory = vec![0_u8; 64];
    for _ in 0..rounds {
        for _ in 0..4 {
            poster.post(libc::c_long::from(abi::NR_NOP), &[])?;
            let args = [file.as_raw_fd() as u64, memory.as_mut_ptr() as u64, 50, 0];
            poster.post(libc::SYS_pread64, &args)?;
            let args = [libc::AT_FDCWD as u64, c"none".as_ptr() as u64, 0];
            poster.post(libc::SYS_openat, &args)?;
        }
        for _ in 0..12 {
            let done = poster.complete()?;
            ensure(
                !asleep.contains(&done.index),
                format!("a sleeping call completed: {done:?}"),
            )?;
            let results = [0, 50, -i64::from(libc::ENOENT)];
            ensure(
                results.contains(&done.ret),
                format!("unexpected result {}", done.ret),
            )?;
        }
    }
    Ok(())
}

fn content() -> Result<fs::File, String> {
    fs::write("file", [3_u8; 100]).map_err(|why| why.to_string())?;
    fs::File::open("file").map_err(|why| why.to_string())
}

fn sleeping(place: &Place) -> Result<(), String> {
    let file = content()?;
    let slow = slow(1)?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let asleep = sleep_in_w(&mut poster, &slow, &file, 1)?;
    others_go_on(&mut poster, &file, &asleep, 10 * place.rounds)?;
    slow.release(0).map_err(|why| why.to_string())?;
    let done = poster.complete()?;
    expect(
        "the entry that completes",
        i64::from(done.index),
        i64::from(asleep[0]),
    )?;
    expect("pread64", done.ret, 50)?;
    ensure(slow.bytes(0, 50) == [3; 50], "pread64 gave something else")?;
    let counters = poster.context.counters();
    ensure(counters.entries_w > 0, "nothing was executed in lane W")
}

fn several_sleeping(place: &Place) -> Result<(), String> {
    let file = content()?;
    let mut poster = Poster::new(Mode::Lanes)?;
    // All drain items but one.
    let count = poster.context.setup().drains as usize - 1;
    ensure(count > 0, "one drain item alone")?;
    let slow = slow(count)?;
    let mut asleep = Vec::new();
    for which in 0..count {
        let to = slow.address() + 4096 * which as u64;
        let args = [file.as_raw_fd() as u64, to, 50, 0];
        asleep.push(poster.post(libc::SYS_pread64, &args)?);
    }
    until_awaited(&slow)?;
    others_go_on(&mut poster, &file, &asleep, 10 * place.rounds)?;
    // In the other order.
    for which in (0..count).rev() {
        slow.release(which).map_err(|why| why.to_string())?;
        let done = poster.complete()?;
        expect(
            "the entry that completes",
            done.index.into(),
            asleep[which].into(),
        )?;
        expect("pread64", done.ret, 50)?;
    }
    Ok(())
}

fn killed_asleep(place: &Place) -> Result<(), String> {
    content()?;
    drop(slow(1)?);
    for _ in 0..3 * place.rounds {
        let (ready, tell) = pipe().map_err(|why| why.to_string())?;
        let mut child = Child::spawn(|| {
            let body = || -> Result<(), String> {
                let file = fs::File::open("file").map_err(|why| why.to_string())?;
                let slow = slow(2)?;
                let mut poster = Poster::new(Mode::Lanes)?;
                sleep_in_w(&mut poster, &slow, &file, 1)?;
                let word = [b'r'];
                // SAFETY: one byte to write.
                unsafe { libc::write(tell.as_raw_fd(), word.as_ptr().cast(), 1) };
                std::thread::sleep(Duration::from_secs(60));
                Ok(())
            };
            crate::process::status_of("the process to kill", body)
        })
        .map_err(|why| why.to_string())?;
        // What the child does not write is an end of file.
        drop(tell);
        let mut byte = [0_u8];
        // SAFETY: one byte of room.
        let got = unsafe { libc::read(ready.as_raw_fd(), byte.as_mut_ptr().cast(), 1) };
        expect("bytes from the child", got as i64, 1)?;
        child.kill()?;
        module_unused()?;
    }
    Ok(())
}

/// Page workers that always find something to do end all the same, for others to begin; also where there is one only.
fn makes_way(_: &Place) -> Result<(), String> {
    const LEN: usize = 256 << 10;
    const ENTRIES: u32 = 1024;
    // After that time the workqueue has another worker begin beside one that is at work, which would hide who makes way.
    let _unmanaged = Setting::new(
        "/sys/module/workqueue/parameters/cpu_intensive_thresh_us",
        "100000000",
    )?;
    fs::write("file", vec![3_u8; LEN]).map_err(|why| why.to_string())?;
    let file = fs::File::open("file").map_err(|why| why.to_string())?;
    let mut memory = vec![1_u8; LEN];
    let args = [
        file.as_raw_fd() as u64,
        memory.as_mut_ptr() as u64,
        LEN as u64,
        0,
    ];
    for workers in [0, 1] {
        // Many times what is executed before a worker makes way, posted at once.
        let mut request = setup_request(ENTRIES);
        request.drains = workers;
        let context = open_device().and_then(|device| Context::new(device, request));
        let mut poster = Poster::with(context.map_err(|why| why.to_string())?, Mode::Lanes);
        let before = poster.context.counters().drains;
        poster.context.fill(libc::SYS_pread64 as u16, &args)?;
        for _ in 0..ENTRIES {
            expect("pread64", poster.complete()?.ret, LEN as i64)?;
        }
        // One to execute, one that finds nothing behind it.
        let drains = poster.context.counters().drains - before;
        ensure(
            drains > 2,
            format!(
                "{drains} page workers began, for {ENTRIES} entries, of {}",
                poster.context.setup().drains
            ),
        )?;
    }
    Ok(())
}

fn blocking_caller(_: &Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Caller)?;
    let mut buffer = [0_u8; 8];
    let args = [read.as_raw_fd() as u64, buffer.as_mut_ptr() as u64, 8];
    let index = poster
        .context
        .post(libc::SYS_read as u16, crate::posted::six(&args));
    let index = index.ok_or("no entry is free")?;
    poster
        .context
        .post(abi::NR_NOP, [0; 6])
        .ok_or("no entry is free")?;
    // The no-op is there to be had although the read is not.
    let done = poster.complete()?;
    ensure(done.index != index, "a read of an empty pipe completed")?;
    // SAFETY: one byte to write.
    unsafe { libc::write(write.as_raw_fd(), b"x".as_ptr().cast(), 1) };
    let done = poster.complete()?;
    expect("read", done.ret, 1)
}

fn flags(_: &Place) -> Result<(), String> {
    use std::sync::atomic::Ordering;
    for mode in crate::posted::MODES {
        let mut poster = Poster::new(mode)?;
        for flags in [0x10, 0x11, 0x4000, abi::ENTRY_HANDED_BACK, 0xffff] {
            let index = poster
                .context
                .prepare(abi::NR_NOP, [0; 6])
                .ok_or("no entry is free")?;
            poster.context.flags(index).store(flags, Ordering::Relaxed);
            // With one of them an entry has so many nanoseconds, and may end for want of time before it is looked at.
            let long = i64::MAX as u64;
            poster.context.ret(index).store(long, Ordering::Relaxed);
            let status = poster.context.status(index);
            status.store(abi::SUBMITTED, Ordering::Release);
            poster.context.publish(index);
            poster
                .context
                .kick_if_needed()
                .map_err(|why| why.to_string())?;
            let done = poster.complete()?;
            ensure(
                !done.handed_back(),
                format!("flags {flags:#x}: handed back"),
            )?;
            expect(
                &format!("flags {flags:#x}"),
                done.ret,
                -i64::from(libc::EINVAL),
            )?;
        }
    }
    Ok(())
}
