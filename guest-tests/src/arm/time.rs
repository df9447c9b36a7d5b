// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries that sleep, and entries with a time limit.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libflexsc::sys as abi;

use super::ends::put;
use super::idle::{post_read, settled};
use crate::cancel::request::{asleep, cancel, single, take};
use crate::client::{Lane, PATIENCE};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok, six};
use crate::process::pipe;
use crate::suite::{Behaviour, Place};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("a_sleep_holds_no_lane", sleeps);
    one("a_sleep_refuses_garbage", garbage);
    one("a_sleep_is_cancelled", cancelled);
    one("a_time_limit_ends_what_waits", waits);
    one("a_time_limit_ends_what_blocks_a_thread", blocks);
    one("a_time_limit_does_not_end_the_next_entry", next);
    one("a_time_limit_that_is_over_at_once", at_once);
    one("a_time_limit_gives_the_file_back", gives_back);
    one("a_time_limit_lingers_for_nobody", lingers);
}

const SLEEP: libc::c_long = libc::SYS_clock_nanosleep;
const ETIME: i64 = -(libc::ETIME as i64);

fn span(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: time.subsec_nanos().into(),
    }
}

fn sleep_args(clock: i32, flags: u64, span: &libc::timespec) -> [u64; 3] {
    [clock as u64, flags, std::ptr::from_ref(span) as u64]
}

/// Posts a call that may take `nanos`.
///
/// # Errors
/// The client's, as text.
pub fn post_limited(
    poster: &mut Poster,
    nr: libc::c_long,
    args: &[u64],
    nanos: i64,
) -> Result<u32, String> {
    let context = &mut poster.context;
    let index = context
        .prepare(nr as u16, six(args))
        .ok_or("no entry is free")?;
    context
        .flags(index)
        .store(abi::ENTRY_TIMEOUT, Ordering::Relaxed);
    context.ret(index).store(nanos as u64, Ordering::Relaxed);
    // Once more, so that the two words are seen with it.
    context
        .status(index)
        .store(abi::SUBMITTED, Ordering::Release);
    context.publish(index);
    context.kick_if_needed().map_err(|why| why.to_string())?;
    Ok(index)
}

fn sleeps(_: &mut Place) -> Result<(), String> {
    let times: Vec<_> = (0..40)
        .map(|at| span(Duration::from_millis(40 - at)))
        .collect();
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let long = span(Duration::from_millis(100));
        let started = Instant::now();
        let last = poster.post(SLEEP, &sleep_args(libc::CLOCK_MONOTONIC, 0, &long)[..])?;
        for time in &times {
            poster.post(SLEEP, &sleep_args(libc::CLOCK_REALTIME, 0, time)[..])?;
        }
        let done = take(&mut poster, 41)?;
        ensure(
            started.elapsed() >= Duration::from_millis(100),
            "woken before the time",
        )?;
        ensure(done.contains_key(&last), "the longest is missing")?;
        for one in done.values() {
            expect("clock_nanosleep", one.ret, 0)?;
        }
        expect("threads", poster.context.counters().threads as i64, 1)?;
        poster.nop()?;
    }
    Ok(())
}

fn garbage(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let mut bad = span(Duration::ZERO);
    for nanos in [-1, 1_000_000_000] {
        bad.tv_nsec = nanos;
        let done = poster.entry(SLEEP, &sleep_args(libc::CLOCK_MONOTONIC, 0, &bad))?;
        expect("a bad span", done.ret, -i64::from(libc::EINVAL))?;
    }
    let done = poster.entry(SLEEP, &[libc::CLOCK_MONOTONIC as u64, 0, 8])?;
    expect("a bad pointer", done.ret, -i64::from(libc::EFAULT))?;
    let past = span(Duration::ZERO);
    for (clock, flags) in [
        (libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME),
        (libc::CLOCK_TAI, 0),
        (libc::CLOCK_PROCESS_CPUTIME_ID, 0),
        (77, 0),
    ] {
        let done = poster.entry(SLEEP, &sleep_args(clock, flags as u64, &past))?;
        ensure(
            done.lane == Lane::HandedBack,
            format!("clock {clock}, flags {flags}: {done:?}"),
        )?;
    }
    Ok(())
}

fn cancelled(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let long = span(Duration::from_secs(1000));
    for _ in 0..3 {
        let index = poster.post(SLEEP, &sleep_args(libc::CLOCK_MONOTONIC, 0, &long))?;
        settled(&poster.context)?;
        expect("cancel", cancel(&poster.context, index, 0), 0)?;
        expect("sleep", poster.complete()?.ret, -i64::from(libc::ECANCELED))?;
    }
    // One that sleeps on is forgotten with its context.
    poster.post(SLEEP, &sleep_args(libc::CLOCK_MONOTONIC, 0, &long))?;
    settled(&poster.context)
}

fn waits(_: &mut Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut poster = single()?;
    let mut memory = [0_u8; 8];
    let args = [read.as_raw_fd() as u64, memory.as_mut_ptr() as u64, 8];
    let stays = poster.post(libc::SYS_read, &args)?;
    let mut limited = Vec::new();
    for millis in [30, 1, 10, 20] {
        limited.push(post_limited(
            &mut poster,
            libc::SYS_read,
            &args,
            millis * 1_000_000,
        )?);
    }
    let started = Instant::now();
    for _ in &limited {
        let done = poster.complete()?;
        ensure(
            limited.contains(&done.index),
            "an entry without a limit ended",
        )?;
        expect("read", done.ret, ETIME)?;
    }
    ensure(started.elapsed() < Duration::from_secs(20), "much too late")?;
    put(&write, 3)?;
    let done = poster.complete()?;
    expect("the entry that completes", done.index.into(), stays.into())?;
    expect("read", done.ret, 3)
}

fn blocks(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    crate::lifecycle::blocking::make_fifo(c"other")?;
    let here = libc::AT_FDCWD as u64;
    let args = [here, c"other".as_ptr() as u64, 0, 0];
    let millis = 1_000_000;
    post_limited(&mut poster, libc::SYS_openat, &args, 20 * millis)?;
    expect("open", poster.complete()?.ret, ETIME)?;
    // One that is still queued when its time is over.
    let blocked = asleep(&mut poster, "fifo")?;
    post_limited(&mut poster, libc::SYS_openat, &args, 20 * millis)?;
    expect("a queued open", poster.complete()?.ret, ETIME)?;
    cancel(&poster.context, blocked, 0);
    expect("the first", poster.complete()?.ret, -i64::from(libc::EINTR))
}

fn next(_: &mut Place) -> Result<(), String> {
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    let mut poster = single()?;
    for _ in 0..20 {
        let nop = libc::c_long::from(abi::NR_NOP);
        let first = post_limited(&mut poster, nop, &[], 2_000_000)?;
        let ret = poster.complete()?.ret;
        ensure([0, ETIME].contains(&ret), format!("no-op gave {ret}"))?;
        let index = post_read(&mut poster, &read, 8)?;
        expect("the same entry", index.into(), first.into())?;
        let long = span(Duration::from_millis(6));
        poster.post(SLEEP, &sleep_args(libc::CLOCK_MONOTONIC, 0, &long))?;
        let done = poster.complete()?;
        ensure(
            done.index != index,
            format!("the next entry ended: {done:?}"),
        )?;
        put(&write, 1)?;
        expect("read", poster.complete()?.ret, 1)?;
    }
    Ok(())
}

fn at_once(_: &mut Place) -> Result<(), String> {
    let (read, _write) = pipe().map_err(|why| why.to_string())?;
    let mut memory = [0_u8; 8];
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let args = [read.as_raw_fd() as u64, memory.as_mut_ptr() as u64, 8];
        for nanos in [0, -1, 1, i64::MIN] {
            post_limited(&mut poster, libc::SYS_read, &args, nanos)?;
            expect("read", poster.complete()?.ret, ETIME)?;
        }
        let index = post_limited(&mut poster, libc::SYS_read, &args, i64::MAX)?;
        settled(&poster.context)?;
        expect("cancel", cancel(&poster.context, index, 0), 0)?;
        expect("read", poster.complete()?.ret, -i64::from(libc::ECANCELED))?;
    }
    Ok(())
}

/// The last reference to a pipe's reading end is that of an entry: when it has ended, there is no reader.
fn gives_back(place: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let mut memory = [0_u8; 8];
    for _ in 0..place.rounds.unwrap_or(1) * 20 {
        let (read, write) = pipe().map_err(|why| why.to_string())?;
        let args = [read.as_raw_fd() as u64, memory.as_mut_ptr() as u64, 8];
        post_limited(&mut poster, libc::SYS_read, &args, 5_000_000)?;
        settled(&poster.context)?;
        drop(read);
        expect("read", poster.complete()?.ret, ETIME)?;
        // SAFETY: one byte to write.
        let ret = unsafe { libc::write(write.as_raw_fd(), b"x".as_ptr().cast(), 1) };
        let errno = std::io::Error::last_os_error().raw_os_error();
        ensure(
            ret == -1 && errno == Some(libc::EPIPE),
            format!("a write without a reader gave {ret}, errno {errno:?}"),
        )?;
    }
    Ok(())
}

/// The last reference to a socket that lingers (SO_LINGER) is that of an entry, whose time is over: a page worker
/// gives it back, and does not wait for a peer that reads nothing.
fn lingers(_: &mut Place) -> Result<(), String> {
    // Where the machine is slow, the first is over too early.
    for nanos in [2_000_000_000, 15_000_000_000] {
        if lingers_after(nanos)? {
            return Ok(());
        }
    }
    Err("the entry was over before the socket was closed".into())
}

/// The same with this time limit; false if the entry was over before the socket was closed.
fn lingers_after(nanos: i64) -> Result<bool, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    set(&listener, libc::SO_RCVBUF, &4096_i32)?;
    let address = listener.local_addr().map_err(|why| why.to_string())?;
    let mut stream = std::net::TcpStream::connect(address).map_err(|why| why.to_string())?;
    set(&stream, libc::SO_SNDBUF, &(1_i32 << 20))?;
    let linger = libc::linger {
        l_onoff: 1,
        // Where it is waited for, the entry is not over in time.
        l_linger: (3 * *PATIENCE).as_secs() as i32,
    };
    set(&stream, libc::SO_LINGER, &linger)?;
    stream
        .set_nonblocking(true)
        .map_err(|why| why.to_string())?;
    let sent = stream.write(&[7; 400_000]).map_err(|why| why.to_string())?;
    ensure(sent > 50_000, format!("only {sent} bytes were sent"))?;
    stream
        .set_nonblocking(false)
        .map_err(|why| why.to_string())?;
    let mut poster = single()?;
    let mut memory = [0_u8; 8];
    let args = [stream.as_raw_fd() as u64, memory.as_mut_ptr() as u64, 8];
    let index = post_limited(&mut poster, libc::SYS_recvfrom, &args, nanos)?;
    settled(&poster.context)?;
    drop(stream);
    let status = poster.context.status(index).load(Ordering::Acquire);
    expect("receive", poster.complete()?.ret, ETIME)?;
    Ok(status == abi::BUSY)
}

fn set<T>(socket: &impl AsRawFd, name: i32, value: &T) -> Result<(), String> {
    let (at, size) = (std::ptr::from_ref(value).cast(), size_of::<T>() as u32);
    // SAFETY: a value of its size.
    let ret = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, at, size) };
    libc_ok("setsockopt", ret.into()).map(drop)
}
