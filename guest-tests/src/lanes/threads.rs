// SPDX-License-Identifier: MIT OR Apache-2.0
//! System call threads: made when all others are blocked, gone when they have nothing to do.

use std::ffi::CString;
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use crate::client::{Mode, PATIENCE};
use crate::lifecycle::blocking::{make_fifo, others_complete, post_blocking_open};
use crate::lifecycle::{Behaviour, Place};
use crate::posted::{Poster, ensure, expect, libc_ok};
use crate::process::{Child, End, pipe};
use crate::rng::Rng;
use crate::suite::until;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "threads_beyond_the_first_go_when_idle",
            go as fn(&Place) -> _,
        ),
        ("threads_that_are_stopped_stay", stopped),
        ("kills_while_threads_go", killed),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// How many calls block at a time, each in a thread of its own.
const BLOCKED: usize = 3;

/// How many system call threads a process has.
pub fn threads_of(process: &str) -> usize {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return 0;
    };
    let ours = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "flexsc")
    };
    tasks.flatten().filter(ours).count()
}

/// How many workers of the module's housekeeping sleep and cannot be woken but by what they wait for.
pub fn stuck_workers() -> usize {
    let Ok(processes) = fs::read_dir("/proc") else {
        return 0;
    };
    let stuck = |process: &fs::DirEntry| {
        let read = |name| fs::read_to_string(process.path().join(name)).unwrap_or_default();
        // A worker is called after the queue whose item it runs.
        read("comm").contains("+flexsc_house") && read("stat").contains(") D ")
    };
    processes.flatten().filter(stuck).count()
}

/// Makes the context have one thread for each of [`BLOCKED`] calls, and one more; then ends the calls.
fn crowd(poster: &mut Poster, round: u64) -> Result<(), String> {
    let mut names = Vec::new();
    let mut blocked = Vec::new();
    for which in 0..BLOCKED {
        let name = format!("fifo{round}-{which}");
        let path = CString::new(name.as_str()).map_err(|why| why.to_string())?;
        make_fifo(&path)?;
        blocked.push(post_blocking_open(poster, &path)?);
        names.push((name, path));
    }
    // They are begun in order, so that by the end of these all are blocked.
    others_complete(poster, &blocked, 5)?;
    let threads = poster.context.counters().threads;
    ensure(
        threads > BLOCKED as u64,
        format!("{threads} threads for {BLOCKED} blocked calls and others"),
    )?;
    for (name, _) in &names {
        let mut writer = fs::OpenOptions::new();
        writer.write(true).custom_flags(libc::O_NONBLOCK);
        until("a thread opens the FIFO", || writer.open(name).is_ok())?;
    }
    for _ in &names {
        let done = poster.complete()?;
        ensure(
            blocked.contains(&done.index) && done.ret >= 0,
            format!("unexpected completion {done:?}"),
        )?;
        // SAFETY: the open has just returned this descriptor to us.
        unsafe { libc::close(done.ret as i32) };
    }
    Ok(())
}

fn go(place: &Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Lanes)?;
    for round in 0..4 * place.rounds {
        crowd(&mut poster, round)?;
        until("one thread is left", || {
            poster.context.counters().threads == 1 && threads_of("self") == 1
        })?;
        // The one that is left does what there is to do.
        let before = poster.context.counters();
        others_complete(&mut poster, &[], 3)?;
        let after = poster.context.counters();
        expect("handed back", after.handed_back as i64, 0)?;
        ensure(after.entries_t > before.entries_t, "nothing ran in lane T")?;
        // One that was made because a call took long goes, too.
        until("one thread is left again", || {
            poster.context.counters().threads == 1 && threads_of("self") == 1
        })?;
    }
    Ok(())
}

/// A process whose context has idle threads; it goes on when the pipe is closed.
fn idle_process(place: &Place) -> Result<(Child, std::os::fd::OwnedFd), String> {
    let (ready, tell) = pipe().map_err(|why| why.to_string())?;
    let (wait, go) = pipe().map_err(|why| why.to_string())?;
    let (seed, writer) = (place.seed, go.as_raw_fd());
    let child = Child::spawn(|| {
        // The copy of the end that the parent closes.
        // SAFETY: the descriptor is this process's own copy.
        unsafe { libc::close(writer) };
        let body = || -> Result<(), String> {
            let mut poster = Poster::new(Mode::Lanes)?;
            crowd(&mut poster, seed)?;
            // SAFETY: one byte to write.
            unsafe { libc::write(tell.as_raw_fd(), b"r".as_ptr().cast(), 1) };
            let _ = fs::File::from(wait).read(&mut [0]);
            until("one thread is left", || {
                poster.context.counters().threads == 1
            })?;
            others_complete(&mut poster, &[], 3)
        };
        let verdict = body();
        if let Err(why) = &verdict {
            eprintln!("idle process: {why}");
        }
        i32::from(verdict.is_err())
    })
    .map_err(|why| why.to_string())?;
    fs::File::from(ready)
        .read_exact(&mut [0])
        .map_err(|why| format!("the process is not ready: {why}"))?;
    Ok((child, go))
}

fn stopped(place: &Place) -> Result<(), String> {
    let (mut child, go) = idle_process(place)?;
    child.signal(libc::SIGSTOP);
    let mut status = 0;
    // SAFETY: the status is writable.
    let ret = unsafe { libc::waitpid(child.pid(), &raw mut status, libc::WUNTRACED) };
    libc_ok("waitpid", ret.into())?;
    ensure(libc::WIFSTOPPED(status), format!("status {status:#x}"))?;
    let process = child.pid().to_string();
    let before = threads_of(&process);
    ensure(before > 1, format!("{before} threads"))?;
    // Much longer than threads may be idle. Nobody must be left waiting for them.
    std::thread::sleep(Duration::from_millis(2500));
    until("no worker waits for a thread", || stuck_workers() == 0)?;
    expect("threads", threads_of(&process) as i64, before as i64)?;
    child.signal(libc::SIGCONT);
    drop(go);
    let end = child.wait(*PATIENCE);
    ensure(
        end == Some(End::Exit(0)),
        format!("the process ended by {end:?}"),
    )
}

fn killed(place: &Place) -> Result<(), String> {
    let mut rng = Rng::new(place.seed);
    let mut children = Vec::new();
    for which in 0..6 * place.rounds {
        let dir = place.dir.join(which.to_string());
        fs::create_dir(&dir).map_err(|why| why.to_string())?;
        std::env::set_current_dir(&dir).map_err(|why| why.to_string())?;
        let (child, go) = idle_process(place)?;
        children.push((child, go));
    }
    // Their threads are about to go, one process after the other.
    std::thread::sleep(Duration::from_millis(rng.below(500)));
    for (child, _) in &mut children {
        std::thread::sleep(Duration::from_micros(rng.below(150_000)));
        child.kill()?;
    }
    until("no worker waits for a thread", || stuck_workers() == 0)
}
