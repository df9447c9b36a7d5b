// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting, kicking and polling.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libflexsc::sys::{MIN_ENTRIES, NR_NOP};

use super::lanes::AT_FDCWD;
use crate::client::{Context, Mode};
use crate::posted::{ensure, expect, libc_ok};
use crate::snapshot::c_path;
use crate::suite::{Behaviour, Place, bind, context, cpus, outcome, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("poll_reports_completions_only", poll_reports);
    one("epoll_reports_completions_only", epoll_reports);
    one("poll_wakes_a_sleeper", poll_wakes);
    one("wait_returns_at_least_the_minimum", minimum);
    one("wait_for_more_than_all_waits_for_all", more_than_all);
    one("wait_times_out", timeout);
    one("wait_with_flags_is_refused", wait_flags);
    one("wait_is_ended_by_a_signal", signal);
    one("idle_sets_need_wakeup_and_a_kick_helps", kick);
    one("kicks_and_waits_are_counted", counted);
    one("a_blocked_entry_holds_up_nobody", blocked);
}

/// An entry that stays in flight until somebody writes: a posted open of a FIFO.
struct Blocked {
    path: std::ffi::CString,
    index: u32,
}

impl Blocked {
    fn post(place: &Place, context: &mut Context) -> Result<Self, String> {
        let path = c_path(&place.dir.join("fifo"));
        // SAFETY: a NUL-terminated path.
        let made = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
        libc_ok("mkfifo", made.into())?;
        let flags = libc::O_RDONLY as u64;
        let args = [AT_FDCWD, path.as_ptr() as u64, flags, 0, 0, 0];
        let index = context
            .post(libc::SYS_openat as u16, args)
            .ok_or("no entry is free")?;
        context.kick_if_needed().map_err(|why| why.to_string())?;
        Ok(Self { path, index })
    }

    /// Lets it go on, while the writer that is returned lives.
    fn release(&self) -> Result<std::fs::File, String> {
        let path = self.path.to_str().map_err(|why| why.to_string())?;
        // Opening a FIFO for both never blocks.
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|why| format!("writer: {why}"))
    }

    /// Reaps its completion, the only one that is expected.
    fn finish(&self, context: &mut Context, mode: Mode) -> Result<(), String> {
        let writer = self.release()?;
        let completion = context.complete(mode).map_err(|why| why.to_string())?;
        expect("the entry", completion.index.into(), self.index.into())?;
        drop(writer);
        ensure(
            completion.ret >= 0 && !completion.handed_back(),
            format!("the posted open gave {completion:?}"),
        )?;
        // SAFETY: the call has just given us this descriptor.
        drop(unsafe { OwnedFd::from_raw_fd(completion.ret as RawFd) });
        Ok(())
    }
}

fn post_nops(context: &mut Context, count: u32) -> Result<(), String> {
    for _ in 0..count {
        context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
    }
    context.kick_if_needed().map_err(|why| why.to_string())
}

fn reap_all(context: &mut Context, count: u32) -> Result<(), String> {
    for _ in 0..count {
        let one = context.reap().map_err(|why| why.to_string())?;
        let one = one.ok_or("a completion that was announced is not there")?;
        expect("no-op", one.ret, 0)?;
    }
    Ok(())
}

fn poll(fd: RawFd, milliseconds: i32) -> i64 {
    let mut one = libc::pollfd {
        fd,
        events: libc::POLLIN | libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one writable structure.
    match unsafe { libc::poll(&raw mut one, 1, milliseconds) } {
        1 => one.revents.into(),
        ret => ret.into(),
    }
}

fn poll_reports(place: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let fd = context.fd();
    expect("poll of a fresh context", poll(fd, 0), 0)?;
    let blocked = Blocked::post(place, &mut context)?;
    expect("poll with a call in flight", poll(fd, 0), 0)?;
    for count in [1, 5, MIN_ENTRIES - 1] {
        post_nops(&mut context, count)?;
        expect("poll", poll(fd, 30_000), libc::POLLIN.into())?;
        until("all are done", || {
            outcome(context.wait(0, None)) >= count.into()
        })?;
        reap_all(&mut context, count - 1)?;
        expect("poll with one left", poll(fd, 0), libc::POLLIN.into())?;
        reap_all(&mut context, 1)?;
        expect("poll when all are reaped", poll(fd, 0), 0)?;
    }
    blocked.finish(&mut context, Mode::Lanes)?;
    expect("poll in the end", poll(fd, 0), 0)
}

fn epoll_reports(place: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    // SAFETY: no memory is involved.
    let epoll = libc_ok("epoll_create1", unsafe { libc::epoll_create1(0) }.into())? as RawFd;
    // SAFETY: epoll_create1 has just returned it to us.
    let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 42,
    };
    let (set, add) = (epoll.as_raw_fd(), libc::EPOLL_CTL_ADD);
    // SAFETY: a live structure and descriptors of ours.
    let added = unsafe { libc::epoll_ctl(set, add, context.fd(), &raw mut event) };
    libc_ok("epoll_ctl", added.into())?;
    let look = |milliseconds| {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for one event.
        let count = unsafe { libc::epoll_wait(set, &raw mut event, 1, milliseconds) };
        (count, event.events, event.u64)
    };
    let ready = (1, libc::EPOLLIN as u32, 42);
    let blocked = Blocked::post(place, &mut context)?;
    ensure(look(0).0 == 0, "an event although nothing completed")?;
    for _ in 0..20 {
        post_nops(&mut context, 1)?;
        let event = look(30_000);
        ensure(event == ready, format!("epoll gave {event:?}"))?;
        reap_all(&mut context, 1)?;
        ensure(look(0).0 == 0, "an event although all are reaped")?;
    }
    blocked.finish(&mut context, Mode::Lanes)?;
    ensure(look(0).0 == 0, "an event in the end")
}

fn poll_wakes(place: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    let blocked = Blocked::post(place, &mut context)?;
    let fd = context.fd();
    let (seen, writer) = std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| poll(fd, 30_000));
        let writer = blocked.release();
        (sleeper.join(), writer)
    });
    let seen = seen.map_err(|_| "the sleeper panicked")?;
    let _writer = writer?;
    expect("poll", seen, libc::POLLIN.into())?;
    blocked.finish(&mut context, Mode::Lanes)
}

fn minimum(place: &mut Place) -> Result<(), String> {
    for single in [false, true] {
        if single {
            bind(cpus()?[0])?;
        }
        let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
        for _ in 0..place.rounds.unwrap_or(60) {
            let posted = 1 + place.rng.below(MIN_ENTRIES.into()) as u32;
            let min = 1 + place.rng.below(posted.into()) as u32;
            for _ in 0..posted {
                context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
            }
            // Half of the rounds leave it to the others first.
            if place.rng.one_in(2) {
                context.kick_if_needed().map_err(|why| why.to_string())?;
            }
            let ret = outcome(context.wait(min, None));
            ensure(
                (i64::from(min)..=i64::from(posted)).contains(&ret),
                format!("wait for {min} of {posted} returned {ret}"),
            )?;
            reap_all(&mut context, ret as u32)?;
            let rest = posted - ret as u32;
            let ret = outcome(context.wait(rest, None));
            expect("wait for the rest", ret.min(rest.into()), rest.into())?;
            until("the rest is there", || {
                outcome(context.wait(rest, None)) == rest.into()
            })?;
            reap_all(&mut context, rest)?;
        }
    }
    Ok(())
}

fn more_than_all(_: &mut Place) -> Result<(), String> {
    for mode in [Mode::Lanes, Mode::Caller] {
        for min in [MIN_ENTRIES + 1, u32::MAX] {
            let mut context = context(MIN_ENTRIES, mode)?;
            for _ in 0..MIN_ENTRIES {
                context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
            }
            let ret = outcome(context.wait(min, None));
            expect("wait", ret, MIN_ENTRIES.into())?;
            reap_all(&mut context, MIN_ENTRIES)?;
        }
    }
    Ok(())
}

fn timeout(place: &mut Place) -> Result<(), String> {
    let etime = -i64::from(libc::ETIME);
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    for milliseconds in [0, 1, 30, 60] {
        let time = Duration::from_millis(milliseconds);
        let started = Instant::now();
        let ret = outcome(context.wait(1, Some(time)));
        expect("wait for nothing", ret, etime)?;
        ensure(
            started.elapsed() >= time,
            format!("{time:?} were over after {:?}", started.elapsed()),
        )?;
    }
    let ret = outcome(context.wait(0, Some(Duration::ZERO)));
    expect("no time, no wish", ret, 0)?;
    let blocked = Blocked::post(place, &mut context)?;
    post_nops(&mut context, 2)?;
    let ret = outcome(context.wait(3, Some(Duration::from_millis(200))));
    if ret != etime {
        // What should not have completed says why.
        let mut done = Vec::new();
        while let Ok(Some(one)) = context.reap() {
            done.push(one.ret);
        }
        return Err(format!(
            "wait for three, one of which blocks: {ret}, with the results {done:?}"
        ));
    }
    expect("wait for the two", outcome(context.wait(2, None)), 2)?;
    reap_all(&mut context, 2)?;
    blocked.finish(&mut context, Mode::Lanes)
}

fn wait_flags(_: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Caller)?;
    let before = context.counters();
    context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
    for flags in [1, 2, 0x8000_0000, u32::MAX] {
        let mut wait = libflexsc::sys::Wait {
            min_complete: 1,
            flags,
            timeout_ns: -1,
        };
        let ret = crate::client::ioctl(context.fd(), libflexsc::sys::IOC_WAIT, &mut wait);
        expect("wait with flags", outcome(ret), -i64::from(libc::EINVAL))?;
    }
    let completed = context.comp_tail().load(Ordering::Acquire);
    expect("completions", completed.into(), 0)?;
    let waits = context.counters().waits - before.waits;
    expect("waits", waits as i64, 0)?;
    expect("wait", outcome(context.wait(1, None)), 1)
}

extern "C" fn ignore(_: libc::c_int) {}

fn signal(_: &mut Place) -> Result<(), String> {
    for flags in [0, libc::SA_RESTART] {
        let context = context(MIN_ENTRIES, Mode::Lanes)?;
        // SAFETY: an all-zero action is a valid one, and the handler does nothing.
        let ret = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ignore as *const () as usize;
            action.sa_flags = flags;
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut())
        };
        libc_ok("sigaction", ret.into())?;
        // SAFETY: no memory is involved.
        let waiter = unsafe { libc::pthread_self() };
        let over = Arc::new(AtomicBool::new(false));
        let sender = {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // SAFETY: the waiter joins this thread before it ends.
                    unsafe { libc::pthread_kill(waiter, libc::SIGUSR1) };
                    std::thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let ret = outcome(context.wait(1, Some(Duration::from_secs(30))));
        over.store(true, Ordering::Relaxed);
        sender.join().map_err(|_| "the sender panicked")?;
        expect("wait", ret, -i64::from(libc::EINTR))?;
    }
    Ok(())
}

fn kick(place: &mut Place) -> Result<(), String> {
    let mut context = context(MIN_ENTRIES, Mode::Lanes)?;
    ensure(
        context.needs_wakeup(),
        "a fresh context does not ask for a kick",
    )?;
    for _ in 0..place.rounds.unwrap_or(20) {
        until("NEED_WAKEUP is set", || context.needs_wakeup())?;
        let before = context.counters();
        context.post(NR_NOP, [0; 6]).ok_or("no entry is free")?;
        expect("kick", outcome(context.kick()), 0)?;
        // Nobody waits: the kick alone must do.
        until("a kicked entry completes", || {
            context.comp_tail().load(Ordering::Acquire)
                != context.comp_head().load(Ordering::Relaxed)
        })?;
        reap_all(&mut context, 1)?;
        until("it idles again", || {
            context.counters().idle_sleeps > before.idle_sleeps
        })?;
        let after = context.counters();
        let executed = after.entries_w - before.entries_w;
        expect("lane W", executed as i64, 1)?;
        ensure(after.drains > before.drains, "no drain ran")?;
    }
    Ok(())
}

fn counted(place: &mut Place) -> Result<(), String> {
    let context = context(MIN_ENTRIES, Mode::Lanes)?;
    let (kicks, waits) = (place.rng.below(50), place.rng.below(50));
    for _ in 0..kicks {
        expect("kick", outcome(context.kick()), 0)?;
    }
    for _ in 0..waits {
        expect("wait", outcome(context.wait(0, None)), 0)?;
    }
    let counters = context.counters();
    expect("kicks", counters.kicks as i64, kicks as i64)?;
    expect("waits", counters.waits as i64, waits as i64)?;
    expect("waits that slept", counters.wait_sleeps as i64, 0)?;
    // On a busy machine the time may be over before it sleeps.
    let mut ret = 0;
    until("a wait that slept is counted", || {
        ret = outcome(context.wait(1, Some(Duration::from_millis(5))));
        ret != -i64::from(libc::ETIME) || context.counters().wait_sleeps >= 1
    })?;
    expect("wait for nothing", ret, -i64::from(libc::ETIME))
}

fn blocked(place: &mut Place) -> Result<(), String> {
    for mode in [Mode::Lanes, Mode::Caller] {
        place.dir = place.dir.join("below");
        std::fs::create_dir(&place.dir).map_err(|why| why.to_string())?;
        let mut context = context(MIN_ENTRIES, mode)?;
        let blocked = Blocked::post(place, &mut context)?;
        for _ in 0..200 {
            let done = context
                .call(mode, NR_NOP, [0; 6])
                .map_err(|why| why.to_string())?;
            expect("no-op", done.ret, 0)?;
        }
        // Lane T has other threads.
        for _ in 0..20 {
            let args = [AT_FDCWD, c"none".as_ptr() as u64, 0, 0, 0, 0];
            let done = context
                .call(mode, libc::SYS_faccessat as u16, args)
                .map_err(|why| why.to_string())?;
            expect("faccessat", done.ret, -i64::from(libc::ENOENT))?;
        }
        blocked.finish(&mut context, mode)?;
    }
    Ok(())
}
