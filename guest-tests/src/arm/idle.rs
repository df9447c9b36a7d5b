// SPDX-License-Identifier: MIT OR Apache-2.0
//! What waits costs no worker, and is cancelled and forgotten like everything else.

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libflexsc::sys as abi;

use super::ends::{all, put};
use crate::cancel::request::{cancel, single, take_both};
use crate::client::{Context, Mode, open_device, setup_request};
use crate::posted::{Poster, ensure, expect, six};
use crate::process::pipe;
use crate::suite::{Behaviour, Place, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("a_blocked_read_holds_no_lane", no_lane);
    one("a_caller_is_free_of_it", caller);
    one("a_full_page_of_reads_is_ended_by_its_own_writes", full_page);
    one("thousands_of_idle_reads_cost_nothing", thousands);
    one("what_waits_is_cancelled", cancelled);
    one(
        "what_comes_and_goes_is_cancelled_with_all",
        coming_and_going,
    );
    one("what_waits_is_forgotten_at_close", closed);
    one("what_waits_keeps_its_file", keeps);
    one("what_waits_does_not_keep_the_process", ended);
}

/// Posts a read of one byte into memory that is never freed.
pub fn post_read(poster: &mut Poster, fd: &OwnedFd, len: usize) -> Result<u32, String> {
    let memory: &'static mut [u8] = Box::leak(vec![0_u8; len].into_boxed_slice());
    let args = [
        fd.as_raw_fd() as u64,
        memory.as_mut_ptr() as u64,
        len as u64,
    ];
    poster.post(libc::SYS_read, &args)
}

/// A figure of the context's fdinfo.
pub fn figure(context: &Context, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", context.fd())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim_start_matches(':').trim().parse().ok()
}

/// Waits until the kernel has taken everything and sleeps, and all that is in flight waits for its
/// file or for a time.
pub fn settled(context: &Context) -> Result<(), String> {
    until("an idle page", || {
        let head = context.sub_head().load(Ordering::Acquire);
        let asleep = context.wakeup().load(Ordering::Acquire) & abi::NEED_WAKEUP != 0;
        head == context.sub_tail().load(Ordering::Relaxed) && asleep && {
            // In this order: what ends in between makes the first the greater.
            let flying = figure(context, "flexsc-in-flight");
            flying.is_some() && flying == figure(context, "flexsc-waiting")
        }
    })
}

/// How often each thread of the process but the calling one was given a CPU.
fn turns() -> Vec<(String, u64)> {
    // SAFETY: takes no memory.
    let own = unsafe { libc::gettid() }.to_string();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let turns = tasks.flatten().filter_map(|task| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let switches = status
            .lines()
            .filter_map(|line| line.split_once("ctxt_switches:"))
            .map(|(_, count)| count.trim().parse::<u64>().unwrap_or(0));
        Some((task.file_name().into_string().ok()?, switches.sum()))
    });
    turns.filter(|(task, _)| *task != own).collect()
}

/// Waits until for a while no page worker runs for the contexts, and no other thread of the process at all: what waits
/// costs nothing, but a worker that was on its way when the page became idle may still have to return.
pub fn resting(contexts: &[&Context]) -> Result<(), String> {
    let figures = || -> Vec<_> {
        let of = |one: &&Context| {
            let now = one.counters();
            (now.drains, now.thread_wakes, now.threads, now.entries_t)
        };
        contexts.iter().map(of).collect()
    };
    until("figures that stay", || {
        let before = (figures(), turns());
        std::thread::sleep(Duration::from_millis(500));
        before == (figures(), turns())
    })
}

fn no_lane(_: &mut Place) -> Result<(), String> {
    for ends in all()? {
        let mut poster = single()?;
        for _ in 0..3 {
            let index = post_read(&mut poster, &ends.read, 8)?;
            settled(&poster.context)?;
            let before = poster.context.counters();
            // The only thread is free.
            expect("open", poster.open(c"none", 0)?, -i64::from(libc::ENOENT))?;
            put(&ends.write, ends.len)?;
            let done = poster.complete()?;
            expect("the entry that completes", done.index.into(), index.into())?;
            expect(ends.kind, done.ret, ends.len as i64)?;
            let after = poster.context.counters();
            ensure(
                after.entries_w == before.entries_w + 1 && after.entries_t == before.entries_t + 1,
                format!("{}: the read was not executed in lane W", ends.kind),
            )?;
        }
    }
    Ok(())
}

fn caller(_: &mut Place) -> Result<(), String> {
    for ends in all()? {
        let mut poster = Poster::new(Mode::Caller)?;
        let memory: &'static mut [u8] = Box::leak(vec![0_u8; 8].into_boxed_slice());
        let args = six(&[ends.read.as_raw_fd() as u64, memory.as_mut_ptr() as u64, 8]);
        let read = poster.context.post(libc::SYS_read as u16, args);
        let read = read.ok_or("no entry is free")?;
        poster
            .context
            .post(abi::NR_NOP, [0; 6])
            .ok_or("no entry is free")?;
        let done = poster.complete()?;
        ensure(done.index != read, "an empty file was read")?;
        put(&ends.write, ends.len)?;
        let done = poster.complete()?;
        expect(ends.kind, done.ret, ends.len as i64)?;
        expect("threads", poster.context.counters().threads as i64, 1)?;
    }
    Ok(())
}

fn full_page(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let mut pipes = Vec::new();
    let count = poster.context.room() - 1;
    let mut reads = Vec::new();
    for _ in 0..count {
        let (read, write) = pipe().map_err(|why| why.to_string())?;
        reads.push(post_read(&mut poster, &read, 8)?);
        pipes.push((read, write));
    }
    for (which, (_, write)) in pipes.iter().enumerate() {
        let args = [write.as_raw_fd() as u64, b"word".as_ptr() as u64, 4];
        let index = poster.post(libc::SYS_write, &args)?;
        take_both(&mut poster, index, reads[which], 4)?;
    }
    Ok(())
}

/// A context of as many entries as there may be.
///
/// # Errors
/// The client's, as text.
pub fn big() -> Result<Poster, String> {
    let context = open_device()
        .and_then(|device| Context::new(device, setup_request(abi::MAX_ENTRIES)))
        .map_err(|why| why.to_string())?;
    Ok(Poster::with(context, Mode::Lanes))
}

/// How many threads this process has.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn thousands(_: &mut Place) -> Result<(), String> {
    let mut contexts = Vec::new();
    for _ in 0..3 {
        let (read, write) = pipe().map_err(|why| why.to_string())?;
        let mut poster = big()?;
        while poster.context.room() > 0 {
            post_read(&mut poster, &read, 1)?;
        }
        settled(&poster.context)?;
        contexts.push((poster, read, write));
    }
    // One of ours, and one for each context.
    until("threads that were made meanwhile are gone", || {
        threads() == 4
    })?;
    let all: Vec<_> = contexts.iter().map(|one| &one.0.context).collect();
    resting(&all)?;
    for context in all {
        expect("threads", context.counters().threads as i64, 1)?;
    }
    let count = abi::MAX_ENTRIES as usize;
    let (poster, _, write) = &mut contexts[0];
    put(write, count)?;
    for index in 0..count {
        expect(&format!("read {index}"), poster.complete()?.ret, 1)?;
    }
    let (poster, ..) = &mut contexts[1];
    let answer = cancel(&poster.context, 0, abi::CANCEL_ALL);
    expect("cancelled", answer, count as i64)?;
    for _ in 0..count {
        expect("read", poster.complete()?.ret, -i64::from(libc::ECANCELED))?;
    }
    // The third ends with the process.
    Ok(())
}

fn cancelled(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    for ends in all()? {
        let stays = post_read(&mut poster, &ends.read, 8)?;
        let goes = post_read(&mut poster, &ends.read, 8)?;
        settled(&poster.context)?;
        expect("cancel", cancel(&poster.context, goes, 0), 0)?;
        let done = poster.complete()?;
        expect("the entry that completes", done.index.into(), goes.into())?;
        expect(ends.kind, done.ret, -i64::from(libc::ECANCELED))?;
        put(&ends.write, ends.len)?;
        let done = poster.complete()?;
        expect("the entry that completes", done.index.into(), stays.into())?;
        expect(ends.kind, done.ret, ends.len as i64)?;
    }
    // A write says how far it came.
    let (_read, write) = pipe().map_err(|why| why.to_string())?;
    let bytes = vec![7_u8; 100_000];
    let args = [
        write.as_raw_fd() as u64,
        bytes.as_ptr() as u64,
        bytes.len() as u64,
    ];
    let index = poster.post(libc::SYS_write, &args)?;
    settled(&poster.context)?;
    expect("cancel", cancel(&poster.context, index, 0), 0)?;
    expect("write", poster.complete()?.ret, 65_536)
}

/// Readers of one pipe that are woken again and again, and find that somebody was faster.
fn coming_and_going(place: &mut Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let path = format!("/proc/self/fd/{}", read.as_raw_fd());
    let faster = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .map_err(|why| format!("{path}: {why}"))?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let stop = AtomicBool::new(false);
    // Held while there may be a byte in the pipe.
    let turn = Mutex::new(());
    std::thread::scope(|scope| {
        let waker = scope.spawn(|| -> Result<(), String> {
            while !stop.load(Ordering::Relaxed) {
                let _turn = turn.lock();
                put(&write, 1)?;
                // An entry may have been faster for once.
                let _ = (&faster).read(&mut [0]);
            }
            Ok(())
        });
        let verdict = (0..place.rounds.unwrap_or(900))
            .try_for_each(|_| cancel_readers(&mut poster, &read, &turn));
        stop.store(true, Ordering::Relaxed);
        let woken = waker.join().map_err(|_| "the waker panicked")?;
        verdict.and(woken)
    })
}

/// Whether it was ended by a cancel. One that was ready again and again, and was not, blocks a thread, and is
/// interrupted there.
pub fn was_cancelled(ret: i64) -> bool {
    ret == -i64::from(libc::ECANCELED) || ret == -i64::from(libc::EINTR)
}

/// Fills the page with reads, cancels all, and takes what comes of them when nobody wakes them any more.
fn cancel_readers(poster: &mut Poster, read: &OwnedFd, turn: &Mutex<()>) -> Result<(), String> {
    let count = poster.context.room();
    for _ in 0..count {
        post_read(poster, read, 1)?;
    }
    let answer = cancel(&poster.context, 0, abi::CANCEL_ALL);
    ensure(answer <= count as i64, format!("{answer} cancelled"))?;
    let _turn = turn.lock();
    for _ in 0..count {
        let ret = poster.complete()?.ret;
        ensure(ret == 1 || was_cancelled(ret), format!("read: {ret}"))?;
    }
    Ok(())
}

fn closed(_: &mut Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut poster = single()?;
    for _ in 0..20 {
        post_read(&mut poster, &read, 8)?;
    }
    settled(&poster.context)?;
    drop(read);
    put(&write, 1)?;
    expect("read", poster.complete()?.ret, 1)?;
    drop(poster);
    // Nobody holds the reading end any more.
    until("the pipe is broken", || {
        // SAFETY: one byte to write; the runtime ignores SIGPIPE.
        let ret = unsafe { libc::write(write.as_raw_fd(), b"x".as_ptr().cast(), 1) };
        let why = std::io::Error::last_os_error();
        ret < 0 && why.raw_os_error() == Some(libc::EPIPE)
    })
}

fn keeps(_: &mut Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut poster = single()?;
    let number = read.as_raw_fd();
    let index = post_read(&mut poster, &read, 8)?;
    settled(&poster.context)?;
    drop(read);
    // The number now names something that is ready.
    let null = fs::File::open("/dev/zero").map_err(|why| why.to_string())?;
    expect("the new descriptor", null.as_raw_fd().into(), number.into())?;
    put(&write, 3)?;
    let done = poster.complete()?;
    expect("the entry that completes", done.index.into(), index.into())?;
    expect("read", done.ret, 3)
}

fn ended(_: &mut Place) -> Result<(), String> {
    use crate::process::{Child, End};
    let (read, _write) = pipe().map_err(|why| why.to_string())?;
    for signal in [None, Some(libc::SIGKILL)] {
        let (ready, tell) = pipe().map_err(|why| why.to_string())?;
        let mut child = Child::spawn(|| {
            let wait = || -> Result<(), String> {
                let mut poster = single()?;
                for _ in 0..20 {
                    post_read(&mut poster, &read, 8)?;
                }
                settled(&poster.context)?;
                put(&tell, 1)?;
                if signal.is_some() {
                    std::thread::sleep(Duration::from_secs(60));
                }
                // Not closed before the process ends.
                std::mem::forget(poster);
                Ok(())
            };
            crate::process::status_of("the process to end", wait)
        })
        .map_err(|why| why.to_string())?;
        // What the child does not write is an end of file.
        drop(tell);
        let mut byte = [0_u8];
        // SAFETY: one byte of room.
        let got = unsafe { libc::read(ready.as_raw_fd(), byte.as_mut_ptr().cast(), 1) };
        expect("bytes from the child", got as i64, 1)?;
        if let Some(signal) = signal {
            child.signal(signal);
        }
        let end = child.wait(*crate::client::PATIENCE);
        let want = signal.map_or(End::Exit(0), End::Signal);
        ensure(end == Some(want), format!("ended by {end:?}"))?;
        crate::process::module_unused()?;
    }
    Ok(())
}
