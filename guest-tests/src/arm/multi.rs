// SPDX-License-Identifier: MIT OR Apache-2.0
//! FLEXSC_ENTRY_MULTI: a poll that goes on.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use libflexsc::sys as abi;

use super::ends::{Ends, eventfd, put, tcp};
use super::idle::{big, resting, settled, threads};
use super::poll::kinds;
use crate::cancel::request::{cancel, single, sockets};
use crate::client::{Context, Mode};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok, six};
use crate::process::{module_unused, pipe};
use crate::suite::{Behaviour, Place, skip, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("a_poll_that_goes_on_tells_once_per_readiness", once);
    one("each_wake_up_is_told_whatever_is_unread", unread);
    one("what_is_ready_to_begin_with_is_told", at_once);
    one("readiness_that_is_not_reaped_is_merged", merged);
    one("a_storm_of_wake_ups_loses_none", storm);
    one("a_full_page_of_polls_goes_on", full_page);
    one("thousands_of_polls_that_go_on_cost_nothing", thousands);
    one("a_poll_that_goes_on_is_cancelled", cancelled);
    one("a_poll_that_goes_on_has_a_time_limit", limited);
    one("a_hang_up_does_not_end_it", hang_up);
    one("a_queue_that_ends_ends_it", pollfree);
    one("a_poll_that_goes_on_ends_with_its_context", closed);
    one("only_a_poll_goes_on", others);
    one("a_poll_that_cannot_go_on_fails", fails);
    one("scribbling_over_its_result_harms_nobody", scribbled);
}

const IN: i64 = libc::POLLIN as i64;

/// Posts a poll that goes on.
fn post(poster: &mut Poster, fd: RawFd, events: i64) -> Result<u32, String> {
    let args = six(&[fd as u64, events as u64]);
    let index = poster.context.post_multi(abi::NR_POLL, args, 0, 77);
    let index = index.ok_or("no entry is free")?;
    match poster.mode() {
        Mode::Lanes => poster.context.kick_if_needed(),
        // The caller executes what it has posted.
        Mode::Caller => poster
            .context
            .wait(0, None)
            .map(|_| ())
            .map_err(|why| crate::client::ClientError::Kernel("wait", why)),
    }
    .map_err(|why| why.to_string())?;
    Ok(index)
}

/// The next completion, of `index`.
fn told(poster: &mut Poster, index: u32) -> Result<i64, String> {
    let one = poster.complete()?;
    expect("the entry that tells", one.index.into(), index.into())?;
    ensure(!one.handed_back(), format!("handed back: {one:?}"))?;
    Ok(one.ret)
}

/// After what was written so far nothing more is told: what is queued behind it completes.
fn none_told(poster: &mut Poster, what: &str) -> Result<(), String> {
    let nop = poster.nop();
    nop.map_err(|why| format!("{what}: {why}"))?;
    let open = poster.open(c"none", 0);
    let open = open.map_err(|why| format!("{what}: {why}"))?;
    expect("open", open, -i64::from(libc::ENOENT))?;
    settled(&poster.context)?;
    match poster.context.reap().map_err(|why| why.to_string())? {
        None => Ok(()),
        Some(one) => Err(format!("{what}: {one:?}")),
    }
}

/// Waits until there is something to reap.
fn unreaped(context: &Context) -> Result<(), String> {
    until("a completion", || is_told(context))
}

/// How many bytes can be read.
fn waiting_bytes(socket: &impl AsRawFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes an int.
    let ret = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if ret == 0 {
        usize::try_from(count).unwrap_or(0)
    } else {
        0
    }
}

/// Whether there is a completion to reap.
fn is_told(context: &Context) -> bool {
    let tail = context.comp_tail().load(Ordering::Acquire);
    tail != context.comp_head().load(Ordering::Acquire)
}

/// Ends it, and takes its end, which is the only completion.
fn end(poster: &mut Poster, index: u32) -> Result<(), String> {
    expect("cancel", cancel(&poster.context, index, 0), 0)?;
    expect("the end", told(poster, index)?, -i64::from(libc::ECANCELED))?;
    none_told(poster, "after the end")
}

/// read(2) of what there is, without waiting: how much that was.
fn get(fd: &OwnedFd) -> Result<usize, String> {
    let mut memory = [0_u8; 4096];
    // SAFETY: room for what is read.
    let ret = unsafe { libc::read(fd.as_raw_fd(), memory.as_mut_ptr().cast(), memory.len()) };
    libc_ok("read", ret as i64).map(|got| got as usize)
}

fn once(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        for ends in kinds()? {
            let mut poster = Poster::new(mode)?;
            let index = post(&mut poster, ends.read.as_raw_fd(), IN)?;
            none_told(&mut poster, "an empty file")?;
            for _ in 0..5 {
                put(&ends.write, ends.len)?;
                expect(ends.kind, told(&mut poster, index)?, IN)?;
                none_told(&mut poster, ends.kind)?;
                expect(ends.kind, get(&ends.read)? as i64, ends.len as i64)?;
                none_told(&mut poster, ends.kind)?;
            }
            end(&mut poster, index)?;
            expect("threads", poster.context.counters().threads as i64, 1)?;
        }
    }
    Ok(())
}

/// Whether an edge-triggered epoll is told of each of three writes that nobody reads.
fn epoll_tells(ends: &Ends) -> Result<Vec<bool>, String> {
    // SAFETY: makes a descriptor, which nobody else owns.
    let epoll = unsafe {
        let fd = libc_ok(
            "epoll_create1",
            libc::epoll_create1(libc::EPOLL_CLOEXEC).into(),
        )?;
        OwnedFd::from_raw_fd(fd as RawFd)
    };
    let mut event = libc::epoll_event {
        events: (libc::EPOLLIN | libc::EPOLLET) as u32,
        u64: 0,
    };
    let (on, fd) = (epoll.as_raw_fd(), ends.read.as_raw_fd());
    // SAFETY: reads the event.
    let added = unsafe { libc::epoll_ctl(on, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
    libc_ok("epoll_ctl", added.into())?;
    let mut told = Vec::new();
    for _ in 0..3 {
        put(&ends.write, ends.len)?;
        // SAFETY: room for one event.
        let count = unsafe { libc::epoll_wait(on, &raw mut event, 1, 0) };
        told.push(libc_ok("epoll_wait", count.into())? == 1);
    }
    Ok(told)
}

fn unread(_: &mut Place) -> Result<(), String> {
    let oracle: Vec<_> = kinds()?.iter().map(epoll_tells).collect::<Result<_, _>>()?;
    ensure(
        oracle.iter().any(|told| told == &[true; 3]),
        format!("epoll is told of no second write: {oracle:?}"),
    )?;
    for mode in MODES {
        for (ends, oracle) in kinds()?.into_iter().zip(&oracle) {
            let mut poster = Poster::new(mode)?;
            let index = post(&mut poster, ends.read.as_raw_fd(), IN)?;
            none_told(&mut poster, "an empty file")?;
            for expected in oracle {
                put(&ends.write, ends.len)?;
                if *expected {
                    let events = told(&mut poster, index);
                    expect(
                        ends.kind,
                        events.map_err(|why| format!("{}: {why}", ends.kind))?,
                        IN,
                    )?;
                }
                none_told(&mut poster, ends.kind)?;
            }
            end(&mut poster, index)?;
        }
    }
    Ok(())
}

fn at_once(place: &mut Place) -> Result<(), String> {
    let file = place.file("file", b"x")?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for Ends {
            kind,
            read,
            write,
            len,
        } in kinds()?
        {
            put(&write, len)?;
            let index = post(&mut poster, read.as_raw_fd(), IN)?;
            expect(kind, told(&mut poster, index)?, IN)?;
            none_told(&mut poster, kind)?;
            end(&mut poster, index)?;
        }
        // A file that is always ready tells so once.
        let index = post(&mut poster, file.as_raw_fd(), IN)?;
        expect("a file", told(&mut poster, index)?, IN)?;
        none_told(&mut poster, "a file")?;
        end(&mut poster, index)?;
    }
    Ok(())
}

fn merged(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    for ends in kinds()? {
        let index = post(&mut poster, ends.read.as_raw_fd(), IN)?;
        none_told(&mut poster, "an empty file")?;
        put(&ends.write, ends.len)?;
        unreaped(&poster.context)?;
        for _ in 0..20 {
            put(&ends.write, ends.len)?;
            // Behind the entry in whichever lane it is.
            let nop = poster.post(libc::c_long::from(abi::NR_NOP), &[])?;
            let args = [libc::AT_FDCWD as u64, c"none".as_ptr() as u64, 0, 0];
            let open = poster.post(libc::SYS_openat, &args)?;
            for other in [nop, open] {
                until("what is behind it completes", || {
                    poster.context.status(other).load(Ordering::Acquire) == abi::DONE
                })?;
            }
        }
        // Small packets wait for the acknowledgement of the one before.
        if ends.kind.starts_with("tcp") {
            let all = 21 * ends.len;
            until("all that was sent", || waiting_bytes(&ends.read) == all)?;
        }
        settled(&poster.context)?;
        expect(ends.kind, told(&mut poster, index)?, IN)?;
        for _ in 0..40 {
            let one = poster.complete()?;
            ensure(one.index != index, format!("told twice: {one:?}"))?;
        }
        // A packet may still have been on its way: a readiness of its own.
        settled(&poster.context)?;
        while ends.kind.starts_with(['t', 'u']) && is_told(&poster.context) {
            expect(ends.kind, told(&mut poster, index)?, IN)?;
            settled(&poster.context)?;
        }
        none_told(&mut poster, ends.kind)?;
        end(&mut poster, index)?;
    }
    // Events of different kinds add up.
    let (read, write) = tcp("127.0.0.1")?;
    let both = IN | i64::from(libc::POLLRDHUP);
    let index = post(&mut poster, read.as_raw_fd(), both)?;
    settled(&poster.context)?;
    put(&write, 3)?;
    settled(&poster.context)?;
    drop(write);
    settled(&poster.context)?;
    // The last packet may be on its way still.
    let mut events = 0;
    while events != both {
        events |= told(&mut poster, index)?;
    }
    end(&mut poster, index)
}

const WRITES: u64 = 20_000;

fn storm(place: &mut Place) -> Result<(), String> {
    let writes = place.rounds.unwrap_or(1) * WRITES;
    let unix = sockets()?;
    for (what, len, (read, write)) in [("eventfd", 8, eventfd(0)?), ("unix", 1, unix)] {
        let mut poster = single()?;
        let index = post(&mut poster, read.as_raw_fd(), IN)?;
        let writer = std::thread::spawn(move || -> Result<(), String> {
            let one = 1_u64.to_ne_bytes();
            for _ in 0..writes {
                // SAFETY: no more than eight bytes to write.
                let ret = unsafe { libc::write(write.as_raw_fd(), one.as_ptr().cast(), len) };
                expect("write", libc_ok("write", ret as i64)?, len as i64)?;
            }
            // Kept open until all is read.
            std::mem::forget(write);
            Ok(())
        });
        // What is written after a look is told of by a later completion, to the last.
        let (mut sum, mut completions) = (0, 0);
        while sum < writes {
            let events = told(&mut poster, index)?;
            if events & i64::from(libc::POLLHUP) != 0 {
                writer.join().map_err(|_| "the writer panicked")??;
                return Err(format!("{what}: told of a hang-up"));
            }
            expect(what, events, IN)?;
            completions += 1;
            let mut memory = [0_u8; 4096];
            loop {
                let (fd, to) = (read.as_raw_fd(), memory.as_mut_ptr().cast());
                // SAFETY: room for what is read; without waiting, as is set below for the eventfd.
                let ret = unsafe {
                    if len == 8 {
                        let mut ready = libc::pollfd {
                            fd,
                            events: libc::POLLIN,
                            revents: 0,
                        };
                        match libc::poll(&raw mut ready, 1, 0) {
                            1 => libc::read(fd, to, 8),
                            _ => -1,
                        }
                    } else {
                        libc::recv(fd, to, memory.len(), libc::MSG_DONTWAIT)
                    }
                };
                if ret <= 0 {
                    break;
                }
                sum += if len == 8 {
                    u64::from_ne_bytes(memory[..8].try_into().map_err(|_| "eight bytes")?)
                } else {
                    ret as u64
                };
            }
        }
        writer.join().map_err(|_| "the writer panicked")??;
        expect(what, sum as i64, writes as i64)?;
        ensure(completions <= writes + 1, "more completions than wake-ups")?;
        // One that is left may tell of what was read before it was reaped.
        settled(&poster.context)?;
        while poster
            .context
            .reap()
            .map_err(|why| why.to_string())?
            .is_some()
        {}
        end(&mut poster, index)?;
    }
    Ok(())
}

fn full_page(_: &mut Place) -> Result<(), String> {
    let (read, write) = eventfd(0)?;
    let mut poster = single()?;
    // One is left for others.
    let count = poster.context.room() - 1;
    for _ in 0..count {
        post(&mut poster, read.as_raw_fd(), IN)?;
    }
    none_told(&mut poster, "nothing written")?;
    for _ in 0..50 {
        put(&write, 8)?;
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..count {
            let one = poster.complete()?;
            expect("poll", one.ret, IN)?;
            ensure(seen.insert(one.index), "an entry told twice")?;
        }
        get(&read)?;
        none_told(&mut poster, "all told")?;
    }
    let answer = cancel(&poster.context, 0, abi::CANCEL_ALL);
    expect("cancelled", answer, count as i64)?;
    for _ in 0..count {
        expect(
            "the end",
            poster.complete()?.ret,
            -i64::from(libc::ECANCELED),
        )?;
    }
    poster.nop()
}

fn thousands(_: &mut Place) -> Result<(), String> {
    let (read, write) = eventfd(0)?;
    let mut contexts = Vec::new();
    for _ in 0..3 {
        let mut poster = big()?;
        while poster.context.room() > 1 {
            post(&mut poster, read.as_raw_fd(), IN)?;
        }
        settled(&poster.context)?;
        contexts.push(poster);
    }
    until("threads that were made meanwhile are gone", || {
        threads() == 4
    })?;
    resting(&contexts.iter().map(|one| &one.context).collect::<Vec<_>>())?;
    put(&write, 8)?;
    for poster in &mut contexts {
        for _ in 1..abi::MAX_ENTRIES {
            expect("poll", poster.complete()?.ret, IN)?;
        }
        none_told(poster, "all told")?;
    }
    Ok(())
}

fn cancelled(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    for ends in kinds()? {
        let index = post(&mut poster, ends.read.as_raw_fd(), IN)?;
        settled(&poster.context)?;
        end(&mut poster, index)?;
        // The end takes the place of what was not reaped: there is one completion.
        let index = post(&mut poster, ends.read.as_raw_fd(), IN)?;
        settled(&poster.context)?;
        put(&ends.write, ends.len)?;
        unreaped(&poster.context)?;
        end(&mut poster, index)?;
        let done = poster.entry(libc::c_long::from(abi::NR_NOP), &[])?;
        expect("the entry is of use again", done.ret, 0)?;
    }
    expect("rejected", poster.context.counters().rejected as i64, 0)
}

fn limited(_: &mut Place) -> Result<(), String> {
    let (read, write) = eventfd(0)?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for nanos in [0, 1, 30_000_000] {
            let args = six(&[read.as_raw_fd() as u64, IN as u64]);
            let context = &mut poster.context;
            let index = context.post_multi(abi::NR_POLL, args, abi::ENTRY_TIMEOUT, nanos);
            let index = index.ok_or("no entry is free")?;
            context.kick_if_needed().map_err(|why| why.to_string())?;
            if nanos > 1 {
                put(&write, 8)?;
                let ret = told(&mut poster, index)?;
                if ret == IN {
                    get(&read)?;
                } else {
                    // Nobody was in time.
                    expect("poll", ret, -i64::from(libc::ETIME))?;
                    get(&read)?;
                    continue;
                }
            }
            expect(
                "the end",
                told(&mut poster, index)?,
                -i64::from(libc::ETIME),
            )?;
            none_told(&mut poster, "after the end")?;
        }
    }
    Ok(())
}

fn hang_up(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let index = post(&mut poster, read.as_raw_fd(), IN)?;
    put(&write, 1)?;
    expect("poll", told(&mut poster, index)?, IN)?;
    expect("read", get(&read)? as i64, 1)?;
    drop(write);
    expect("poll", told(&mut poster, index)?, libc::POLLHUP.into())?;
    none_told(&mut poster, "told already")?;
    end(&mut poster, index)?;
    let (read, write) = sockets()?;
    let index = post(&mut poster, read.as_raw_fd(), IN)?;
    settled(&poster.context)?;
    drop(write);
    let ret = told(&mut poster, index)?;
    ensure(
        ret & (IN | i64::from(libc::POLLHUP)) == IN | i64::from(libc::POLLHUP),
        format!("poll gave {ret:#x}"),
    )?;
    settled(&poster.context)?;
    while poster
        .context
        .reap()
        .map_err(|why| why.to_string())?
        .is_some()
    {}
    end(&mut poster, index)
}

/// Binder keeps a wait queue for each thread that polls, and frees it when asked to.
fn pollfree(_: &mut Place) -> Result<(), String> {
    const THREAD_EXIT: libc::c_ulong = 0x4004_6208;
    let _ = std::process::Command::new("modprobe")
        .args(["-q", "binder_linux"])
        .status();
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: a NUL-terminated name.
    let fd = unsafe { libc::open(c"/dev/binder".as_ptr(), flags) };
    if fd < 0 {
        return skip("there is no /dev/binder");
    }
    // SAFETY: open has just returned this descriptor.
    let binder = unsafe { OwnedFd::from_raw_fd(fd) };
    // The queue is that of whoever polls, so the caller has to.
    let mut poster = Poster::new(Mode::Caller)?;
    // A thread that comes for the first time is told to return.
    let index = post(&mut poster, binder.as_raw_fd(), IN)?;
    expect("poll", told(&mut poster, index)?, IN)?;
    none_told(&mut poster, "nobody has sent anything")?;
    let zero = 0_i32;
    // SAFETY: the request reads one number.
    let ret = unsafe { libc::ioctl(binder.as_raw_fd(), THREAD_EXIT, &raw const zero) };
    libc_ok("BINDER_THREAD_EXIT", ret.into())?;
    let ret = told(&mut poster, index)?;
    expect("the end", ret, -i64::from(libc::ECANCELED))?;
    none_told(&mut poster, "after the end")?;
    poster.nop()
}

fn closed(_: &mut Place) -> Result<(), String> {
    for unmap in [false, true] {
        let mut list = kinds()?;
        let mut poster = Poster::new(Mode::Lanes)?;
        for ends in &list {
            post(&mut poster, ends.read.as_raw_fd(), IN)?;
        }
        settled(&poster.context)?;
        if unmap {
            drop(poster.context.unmap());
        } else {
            drop(poster);
        }
        module_unused()?;
        // The files are there for others.
        while let Some(ends) = list.pop() {
            put(&ends.write, ends.len)?;
            expect(ends.kind, get(&ends.read)? as i64, ends.len as i64)?;
        }
    }
    Ok(())
}

fn others(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let listed = crate::client::probe().map_err(|why| why.to_string())?;
        for call in listed.iter().filter(|call| call.nr != abi::NR_POLL) {
            for flags in [0, abi::ENTRY_TIMEOUT] {
                let context = &mut poster.context;
                let index = context.post_multi(call.nr, [u64::MAX; 6], flags, 1 << 40);
                let index = index.ok_or("no entry is free")?;
                if mode == Mode::Lanes {
                    context.kick_if_needed().map_err(|why| why.to_string())?;
                }
                let name = crate::calls::name(call.nr);
                expect(name, told(&mut poster, index)?, -i64::from(libc::EINVAL))?;
            }
        }
        none_told(&mut poster, "after all of them")?;
    }
    Ok(())
}

fn fails(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let mut tell = |fd: u64, events: u64| -> Result<crate::client::Completion, String> {
            let context = &mut poster.context;
            let index = context.post_multi(abi::NR_POLL, six(&[fd, events]), 0, 0);
            let index = index.ok_or("no entry is free")?;
            context.kick_if_needed().map_err(|why| why.to_string())?;
            let one = poster.complete()?;
            expect("the entry that tells", one.index.into(), index.into())?;
            Ok(one)
        };
        let bad = tell(u64::MAX, IN as u64)?;
        expect("no descriptor", bad.ret, -i64::from(libc::EBADF))?;
        let bad = tell(0, 0x1_0000)?;
        expect("no event", bad.ret, -i64::from(libc::EINVAL))?;
        let device = crate::client::open_device().map_err(|why| why.to_string())?;
        let own = tell(device.as_raw_fd() as u64, IN as u64)?;
        ensure(
            own.handed_back() && own.ret < 0,
            format!("a context: {own:?}"),
        )?;
    }
    Ok(())
}

fn scribbled(place: &mut Place) -> Result<(), String> {
    let (read, write) = eventfd(0)?;
    let mut poster = single()?;
    let index = post(&mut poster, read.as_raw_fd(), IN)?;
    let stop = AtomicBool::new(false);
    let context = &poster.context;
    let mut rng = crate::rng::Rng::new(place.rng.bits());
    let writes = 3000 * place.rounds.unwrap_or(1);
    std::thread::scope(|scope| -> Result<(), String> {
        let word = context.ret(index);
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let bits = rng.bits();
                word.store(if bits % 3 == 0 { 0 } else { bits }, Ordering::Relaxed);
            }
        });
        let one = 1_u64.to_ne_bytes();
        let result = (0..writes).try_for_each(|_| {
            // SAFETY: eight bytes to write.
            let ret = unsafe { libc::write(write.as_raw_fd(), one.as_ptr().cast(), 8) };
            expect("write", ret as i64, 8)
        });
        stop.store(true, Ordering::Relaxed);
        result
    })?;
    settled(context)?;
    // Whatever was published, the context goes on; this entry is spoilt.
    context.ret(index).store(0, Ordering::SeqCst);
    expect("cancel", cancel(context, index, 0), 0)?;
    let tail = context.comp_tail().load(Ordering::Acquire);
    let last = context
        .comp_slot(tail.wrapping_sub(1))
        .load(Ordering::Acquire);
    expect("the last published", last.into(), index.into())?;
    expect(
        "its result",
        context.ret(index).load(Ordering::Acquire) as i64,
        -i64::from(libc::ECANCELED),
    )?;
    context.comp_head().store(tail, Ordering::Release);
    poster.nop()
}
