// SPDX-License-Identifier: MIT OR Apache-2.0
//! wait, poll(2), epoll and the wake-up word.

use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libflexsc::sys as abi;

use crate::client::{Mode, open_device};
use crate::lifecycle::blocking::{catch, caught};
use crate::lifecycle::{Behaviour, Place};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::{Child, End, pipe};
use crate::rng::Rng;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "wait_for_nothing_returns_at_once",
            nothing as fn(&Place) -> _,
        ),
        ("wait_ends_by_time", by_time),
        ("wait_ends_by_signal", by_signal),
        ("wait_ends_by_completions_of_others", by_others),
        ("wait_executes_the_whole_batch", batch),
        ("poll_tells_completions", poll_tells),
        ("poll_wakes_a_sleeper", poll_wakes),
        ("epoll_tells_completions", epoll),
        ("all_who_poll_are_told", pollers),
        ("a_childs_poll_takes_no_wake_up", taken_elsewhere),
        ("poll_without_a_context_does_not_hang", poll_unset),
        ("an_idle_page_wants_a_wake_up", need_wakeup),
        ("a_kick_without_entries_is_harmless", idle_kick),
    ] {
        list.push(Behaviour { name, run });
    }
}

fn errno(result: std::io::Result<i32>) -> i64 {
    match result {
        Ok(value) => i64::from(value),
        Err(why) => -i64::from(why.raw_os_error().unwrap_or(0)),
    }
}

/// A read that blocks until somebody writes to the returned end.
fn blocked_read(poster: &mut Poster) -> Result<(OwnedFd, OwnedFd), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let buffer: &'static mut [u8] = Box::leak(vec![0_u8; 16].into_boxed_slice());
    let args = [read.as_raw_fd() as u64, buffer.as_mut_ptr() as u64, 16];
    poster.post(libc::SYS_read, &args)?;
    Ok((read, write))
}

fn nothing(_: &Place) -> Result<(), String> {
    for mode in MODES {
        let poster = Poster::new(mode)?;
        expect("wait for 0", errno(poster.context.wait(0, None)), 0)?;
        expect(
            "wait for 0 in no time",
            errno(poster.context.wait(0, Some(Duration::ZERO))),
            0,
        )?;
    }
    Ok(())
}

/// Fails unless a wait for what blocks has ended by `errno`, and tells what is complete instead.
fn in_vain(poster: &mut Poster, ret: i64, errno: i64) -> Result<(), String> {
    if ret <= 0 {
        return expect("wait", ret, errno);
    }
    let done = poster.complete()?;
    Err(format!("wait: {ret}, by {done:?}"))
}

fn by_time(_: &Place) -> Result<(), String> {
    let etime = -i64::from(libc::ETIME);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let _ends = blocked_read(&mut poster)?;
        for milliseconds in [0, 1, 30] {
            let time = Duration::from_millis(milliseconds);
            let started = Instant::now();
            let ret = errno(poster.context.wait(1, Some(time)));
            in_vain(&mut poster, ret, etime)?;
            ensure(started.elapsed() >= time, "wait ended before its time")?;
        }
        // What is complete stays to be reaped.
        poster.post(libc::c_long::from(abi::NR_NOP), &[])?;
        expect(
            "wait for 2",
            errno(poster.context.wait(2, Some(Duration::from_millis(30)))),
            etime,
        )?;
        poster.complete()?;
    }
    Ok(())
}

fn by_signal(place: &Place) -> Result<(), String> {
    catch(libc::SIGALRM);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let _ends = blocked_read(&mut poster)?;
        for _ in 0..3 * place.rounds {
            let before = caught();
            let timer = libc::itimerval {
                it_interval: libc::timeval {
                    tv_sec: 0,
                    tv_usec: 20_000,
                },
                it_value: libc::timeval {
                    tv_sec: 0,
                    tv_usec: 20_000,
                },
            };
            let off = libc::itimerval {
                it_interval: libc::timeval {
                    tv_sec: 0,
                    tv_usec: 0,
                },
                it_value: libc::timeval {
                    tv_sec: 0,
                    tv_usec: 0,
                },
            };
            // SAFETY: both structures live through the calls.
            let result = unsafe {
                libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
                let result = errno(poster.context.wait(1, None));
                libc::setitimer(libc::ITIMER_REAL, &raw const off, std::ptr::null_mut());
                result
            };
            in_vain(&mut poster, result, -i64::from(libc::EINTR))?;
            ensure(caught() > before, "the handler did not run")?;
        }
    }
    Ok(())
}

fn by_others(place: &Place) -> Result<(), String> {
    for mode in MODES {
        for _ in 0..5 * place.rounds {
            let mut poster = Poster::new(mode)?;
            let (_read, write) = blocked_read(&mut poster)?;
            let writer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                fs::File::from(write).write_all(b"now")
            });
            let limit = Some(*crate::client::PATIENCE);
            let mut ready = poster.context.wait(1, limit);
            while matches!(&ready, Ok(0)) {
                ready = poster.context.wait(1, limit);
            }
            expect("wait", errno(ready), 1)?;
            expect("read", poster.complete()?.ret, 3)?;
            writer
                .join()
                .map_err(|_| "the writer panicked")?
                .map_err(|why| why.to_string())?;
        }
    }
    Ok(())
}

fn batch(_: &Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Caller)?;
    for count in [1, 2, 32, 64] {
        for _ in 0..count {
            poster
                .context
                .post(libc::SYS_getppid as u16, [0; 6])
                .ok_or("no entry is free")?;
        }
        let before = poster.context.counters();
        expect(
            "wait",
            errno(poster.context.wait(count, None)),
            i64::from(count),
        )?;
        let after = poster.context.counters();
        expect(
            "executed by the caller",
            (after.entries_c - before.entries_c) as i64,
            i64::from(count),
        )?;
        expect("waits", (after.waits - before.waits) as i64, 1)?;
        for _ in 0..count {
            let done = poster.context.reap().map_err(|why| why.to_string())?;
            ensure(done.is_some(), "a completion is missing")?;
        }
    }
    Ok(())
}

fn poll(fd: i32, milliseconds: i32) -> Result<i16, String> {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN | libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one structure, which lives through the call.
    let ret = unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
    libc_ok("poll", ret.into())?;
    Ok(poll.revents)
}

fn poll_tells(place: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..10 * place.rounds {
            ensure(
                poll(poster.context.fd(), 0)? & libc::POLLIN == 0,
                "readable with nothing done",
            )?;
            poster
                .context
                .post(abi::NR_NOP, [0; 6])
                .ok_or("no entry is free")?;
            match mode {
                Mode::Lanes => poster
                    .context
                    .kick_if_needed()
                    .map_err(|why| why.to_string())?,
                Mode::Caller => {
                    poster
                        .context
                        .wait(1, None)
                        .map_err(|why| why.to_string())?;
                }
            }
            let told = poll(poster.context.fd(), 20_000)?;
            ensure(told & libc::POLLIN != 0, format!("poll gave {told:#x}"))?;
            ensure(
                told & (libc::POLLERR | libc::POLLNVAL) == 0,
                format!("poll gave {told:#x}"),
            )?;
            ensure(
                poll(poster.context.fd(), 0)? & libc::POLLIN != 0,
                "not readable any more",
            )?;
            poster.complete()?;
        }
        ensure(
            poll(poster.context.fd(), 0)? & libc::POLLIN == 0,
            "readable with all reaped",
        )?;
    }
    Ok(())
}

fn poll_wakes(place: &Place) -> Result<(), String> {
    for _ in 0..5 * place.rounds {
        let mut poster = Poster::new(Mode::Lanes)?;
        let (_read, write) = blocked_read(&mut poster)?;
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            fs::File::from(write).write_all(b"now")
        });
        let told = poll(poster.context.fd(), 30_000)?;
        ensure(told & libc::POLLIN != 0, format!("poll gave {told:#x}"))?;
        let done = poster.context.reap().map_err(|why| why.to_string())?;
        expect("read", done.map_or(-1, |done| done.ret), 3)?;
        writer
            .join()
            .map_err(|_| "the writer panicked")?
            .map_err(|why| why.to_string())?;
    }
    Ok(())
}

/// Whatever was reaped before they looked, both are told of what is left.
fn pollers(place: &Place) -> Result<(), String> {
    let mut rng = Rng::new(place.seed);
    let mut poster = Poster::new(Mode::Lanes)?;
    let fd = poster.context.fd();
    for _ in 0..20 * place.rounds {
        let told = std::thread::scope(|scope| {
            let pollers = [(); 2].map(|()| scope.spawn(|| poll(fd, 30_000)));
            let left = (|| {
                for _ in 0..rng.below(4) {
                    poster.entry(abi::NR_NOP.into(), &[])?;
                }
                poster
                    .context
                    .post(abi::NR_NOP, [0; 6])
                    .ok_or("no entry is free")?;
                poster
                    .context
                    .kick_if_needed()
                    .map_err(|why| why.to_string())
            })();
            left.map(|()| pollers.map(|poller| poller.join()))
        })?;
        for told in told {
            let told = told.map_err(|_| "a poller panicked")??;
            ensure(told == libc::POLLIN, format!("poll gave {told:#x}"))?;
        }
        poster.complete()?;
    }
    Ok(())
}

fn epoll(place: &Place) -> Result<(), String> {
    for flags in [libc::EPOLLIN, libc::EPOLLIN | libc::EPOLLET] {
        let mut poster = Poster::new(Mode::Lanes)?;
        let set = watch(poster.context.fd(), flags)?;
        for _ in 0..10 * place.rounds {
            poster.post(libc::c_long::from(abi::NR_NOP), &[])?;
            let events = look(&set, 30_000)?;
            ensure(
                events & libc::EPOLLIN != 0,
                format!("epoll gave {events:#x}"),
            )?;
            poster.complete()?;
        }
        if flags & libc::EPOLLET == 0 {
            expect("epoll_wait with all reaped", look(&set, 0)?.into(), 0)?;
        }
        // Closed while it is watched.
        drop(poster);
    }
    Ok(())
}

/// A child takes the edge off an epoll that it shares with the process, and is told nothing; the next one is the process's.
fn taken_elsewhere(_: &Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Lanes)?;
    let set = watch(poster.context.fd(), libc::EPOLLIN | libc::EPOLLET)?;
    // Nobody sleeps in wait: who waits there is woken together with who polls.
    let mut one_more = |count| {
        poster.post(libc::c_long::from(abi::NR_NOP), &[])?;
        while poster
            .context
            .wait(0, None)
            .map_err(|why| why.to_string())?
            < count
        {}
        Ok::<(), String>(())
    };
    one_more(1)?;
    let mut child = Child::spawn(|| match look(&set, 30_000) {
        Ok(libc::EPOLLERR) => 0,
        _ => 1,
    })
    .map_err(|why| why.to_string())?;
    let end = child.wait(Duration::from_secs(60));
    ensure(end == Some(End::Exit(0)), format!("the child: {end:?}"))?;
    one_more(2)?;
    let events = look(&set, 30_000)?;
    ensure(events == libc::EPOLLIN, format!("epoll gave {events:#x}"))
}

/// An epoll that has one file.
fn watch(fd: i32, events: i32) -> Result<OwnedFd, String> {
    // SAFETY: no memory is involved.
    let set = libc_ok(
        "epoll_create1",
        unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into(),
    )?;
    // SAFETY: epoll_create1 has just returned it to us.
    let set = unsafe { OwnedFd::from_raw_fd(set as i32) };
    let mut event = libc::epoll_event {
        events: events as u32,
        u64: 42,
    };
    // SAFETY: the structure lives through the call.
    let ret = unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
    libc_ok("epoll_ctl", ret.into())?;
    Ok(set)
}

/// What it tells of that within some milliseconds; 0 is nothing.
fn look(set: &OwnedFd, milliseconds: i32) -> Result<i32, String> {
    let mut told = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: room for one event.
    let ret = unsafe { libc::epoll_wait(set.as_raw_fd(), &raw mut told, 1, milliseconds) };
    libc_ok("epoll_wait", ret.into())?;
    let (events, data) = (told.events, told.u64);
    ensure(ret == 0 || data == 42, format!("epoll gave {data}"))?;
    Ok(events as i32)
}

fn poll_unset(_: &Place) -> Result<(), String> {
    let device = open_device().map_err(|why| why.to_string())?;
    let told = poll(device.as_raw_fd(), 0)?;
    ensure(told & libc::POLLIN == 0, "readable without a context")
}

fn wants_wakeup(poster: &Poster) -> Result<(), String> {
    let mut looks = 0;
    while poster.context.wakeup().load(Ordering::Acquire) & abi::NEED_WAKEUP == 0 {
        looks += 1;
        ensure(looks < 20_000, "an idle page is polled for ever")?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn need_wakeup(place: &Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Lanes)?;
    for _ in 0..10 * place.rounds {
        wants_wakeup(&poster)?;
        let before = poster.context.counters();
        std::thread::sleep(Duration::from_millis(30));
        let after = poster.context.counters();
        // Who said that nobody polls may be on the way out, but nobody comes back by itself.
        ensure(
            after.drains - before.drains <= u64::from(poster.context.setup().drains),
            "drain items run although nobody polls",
        )?;
        let index = poster
            .context
            .post(abi::NR_NOP, [0; 6])
            .ok_or("no entry is free")?;
        poster.context.kick().map_err(|why| why.to_string())?;
        expect(
            "completed",
            i64::from(poster.complete()?.index),
            i64::from(index),
        )?;
        poster.call(
            libc::SYS_openat,
            &[libc::AT_FDCWD as u64, c"none".as_ptr() as u64, 0],
        )?;
    }
    Ok(())
}

fn idle_kick(place: &Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..50 * place.rounds {
            let ret = poster.context.kick().map_err(|why| why.to_string())?;
            ensure(ret >= 0, "kick failed")?;
        }
        poster.nop()?;
        expect("rejected", poster.context.counters().rejected as i64, 0)?;
    }
    Ok(())
}
