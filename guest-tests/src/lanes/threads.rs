// SPDX-License-Identifier: MIT OR Apache-2.0
//! System call threads: made when all others are blocked, gone when they have nothing to do.

use std::ffi::CString;
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Setting;
use crate::client::{Mode, PATIENCE};
use crate::lifecycle::blocking::{make_fifo, others_complete, post_blocking_open};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{Poster, ensure, expect, libc_ok};
use crate::process::{Child, End, pipe};
use crate::rng::Rng;
use crate::suite::{cpus, until};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "threads_beyond_the_first_go_when_idle",
            go as fn(&Place) -> _,
        ),
        ("threads_that_are_stopped_stay", stopped),
        ("a_stop_waits_for_no_new_thread", stopped_early),
        ("kills_while_threads_go", killed),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// How many calls block at a time, each in a thread of its own.
const BLOCKED: usize = 3;

/// The ids of a process's threads that are called `name`.
fn threads_called(process: &str, name: &str) -> Vec<libc::pid_t> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    let called = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let id = |task: fs::DirEntry| task.file_name().to_str()?.parse().ok();
    tasks.flatten().filter(called).filter_map(id).collect()
}

/// How many system call threads a process has.
pub fn threads_of(process: &str) -> usize {
    threads_called(process, "flexsc").len()
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
    // What the child does not write is an end of file.
    drop(tell);
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

/// The calling thread runs on `cpu` alone.
fn pin(cpu: usize) -> Result<(), String> {
    // SAFETY: an all-zero set is a valid empty one, which lives through the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        let ret = libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
        libc_ok("sched_setaffinity", ret.into()).map(|_| ())
    }
}

/// The calling thread, and nobody whom it makes, runs before all threads of a lower `priority`; 0 is that of ordinary ones.
fn urgent(priority: i32) -> Result<(), String> {
    let policy = match priority {
        0 => libc::SCHED_OTHER,
        _ => libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
    };
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the structure lives through the call.
    let ret = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    libc_ok("sched_setscheduler", ret.into()).map(|_| ())
}

/// How often a set-up is begun that has to be met while it waits for its thread. It may wait for a thread of the kernel's that
/// runs on that CPU, too, and then is over once the urgent thread gives up.
const MEETINGS: u32 = 4;

/// Sets a context up on a CPU that has something more urgent to do than to run the system call thread, until set-up is over
/// or the process is stopped.
fn starve_new_thread(cpu: usize) -> Result<(), String> {
    static HOGS: AtomicBool = AtomicBool::new(false);
    static MADE: AtomicBool = AtomicBool::new(false);
    pin(cpu)?;
    let hog = std::thread::Builder::new().name("hog".into());
    let hog = hog.spawn(|| {
        urgent(1)?;
        HOGS.store(true, Ordering::Release);
        let started = Instant::now();
        while !MADE.load(Ordering::Acquire) && started.elapsed() < *PATIENCE / MEETINGS {
            std::hint::spin_loop();
        }
        Ok::<(), String>(())
    });
    let hog = hog.map_err(|why| why.to_string())?;
    urgent(2)?;
    let hogged = until("the other thread is urgent", || {
        HOGS.load(Ordering::Acquire)
    });
    let poster = hogged.and_then(|()| Poster::new(Mode::Lanes));
    MADE.store(true, Ordering::Release);
    hog.join().map_err(|_| "the thread panicked")??;
    urgent(0)?;
    others_complete(&mut poster?, &[], 3)
}

/// A process is stopped while one of its threads waits in set-up for the system call thread, which has not run yet.
fn stopped_early(_: &Place) -> Result<(), String> {
    let cpus = cpus()?;
    let [here, .., there] = cpus[..] else {
        return Err(format!("{SKIP}needs two CPUs"));
    };
    // Else every second all threads get a little.
    let server = format!("/sys/kernel/debug/sched/fair_server/cpu{there}/runtime");
    let _unfair = Setting::new(server, "0")?;
    pin(here)?;
    let mut met = None;
    for _ in 0..MEETINGS {
        let mut child = Child::spawn(|| {
            let verdict = starve_new_thread(there);
            if let Err(why) = &verdict {
                eprintln!("process that is stopped: {why}");
            }
            i32::from(verdict.is_err())
        })
        .map_err(|why| why.to_string())?;
        let process = child.pid().to_string();
        let mut hog = None;
        until("set-up waits, or is over", || {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let sleeps = stat.contains(") S ") || stat.contains(") D ");
            // Asked for last: while it is there, what sleeps is set-up, and not what comes after.
            hog = (sleeps && threads_of(&process) == 1)
                .then(|| threads_called(&process, "hog"))
                .and_then(|hogs| hogs.first().copied());
            hog.is_some() || stat.contains(") Z ")
        })?;
        // By the one that runs: it stops all of them at once, those included that are about to run.
        let stops = hog.is_some_and(|hog| {
            // SAFETY: no memory is involved.
            unsafe { libc::syscall(libc::SYS_tgkill, child.pid(), hog, libc::SIGSTOP) == 0 }
        });
        if stops {
            met = Some(child);
            break;
        }
        let end = child.wait(*PATIENCE);
        ensure(
            end == Some(End::Exit(0)),
            format!("the process that sets up ended by {end:?}"),
        )?;
    }
    let mut child = met.ok_or("set-up never waited for its thread")?;
    let flags = libc::WUNTRACED | libc::WNOHANG;
    let mut status = 0;
    until("the process is stopped", || {
        // SAFETY: the status is writable.
        unsafe { libc::waitpid(child.pid(), &raw mut status, flags) == child.pid() }
    })?;
    ensure(libc::WIFSTOPPED(status), format!("status {status:#x}"))?;
    child.signal(libc::SIGCONT);
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
