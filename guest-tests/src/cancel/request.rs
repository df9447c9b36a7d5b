// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cancelling by request.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use libflexsc::sys as abi;

use crate::client::{Completion, Context, Mode, ioctl, open_device, setup_request};
use crate::lifecycle::blocking::{make_fifo, post_blocking_open};
use crate::posted::{Poster, ensure, expect, libc_ok};
use crate::process::pipe;
use crate::suite::{Behaviour, Place, outcome, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("a_queued_entry_is_cancelled", queued);
    one("an_entry_on_the_ring_is_cancelled", on_the_ring);
    one("a_blocked_fifo_open_is_interrupted", blocked_open);
    one(
        "a_blocked_read_of_another_kind_is_interrupted",
        blocked_read,
    );
    one("others_are_not_disturbed", others);
    one("all_entries_are_cancelled", all);
    one("what_is_not_in_flight_cannot_be_cancelled", unknown);
    one("a_request_with_garbage_is_refused", garbage);
    one("cancelling_races_with_completion", race);
}

/// `-errno` of a name.
pub fn minus(errno: i32) -> i64 {
    -i64::from(errno)
}

/// FLEXSC_IOC_CANCEL: its result, or `-errno`.
pub fn cancel(context: &Context, index: u32, flags: u32) -> i64 {
    let mut request = abi::Cancel {
        index,
        flags,
        __reserved: [0; 2],
    };
    outcome(ioctl(context.fd(), abi::IOC_CANCEL, &mut request))
}

/// A context with one system call thread, which one blocking call takes.
pub fn single() -> Result<Poster, String> {
    let mut request = setup_request(abi::MIN_ENTRIES);
    request.threads = 1;
    let context = open_device()
        .and_then(|device| Context::new(device, request))
        .map_err(|why| why.to_string())?;
    Ok(Poster::with(context, Mode::Lanes))
}

/// Whether some thread of this process sleeps in the open of a FIFO.
pub fn opening() -> bool {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return false;
    };
    tasks.flatten().any(|task| {
        std::fs::read_to_string(task.path().join("wchan"))
            .is_ok_and(|text| text.contains("wait_for_partner") || text.contains("fifo_open"))
    })
}

/// Posts the open of a FIFO and waits until a thread sleeps in it.
pub fn asleep(poster: &mut Poster, name: &str) -> Result<u32, String> {
    let name = CString::new(name).map_err(|why| why.to_string())?;
    make_fifo(&name)?;
    let index = post_blocking_open(poster, &name)?;
    poster.until_asleep(index, "a thread sleeps in the open", opening)?;
    Ok(index)
}

/// Takes `count` completions, each of another entry.
pub fn take(poster: &mut Poster, count: usize) -> Result<BTreeMap<u32, Completion>, String> {
    let mut done = BTreeMap::new();
    for _ in 0..count {
        let one = poster.complete()?;
        ensure(
            done.insert(one.index, one).is_none(),
            format!("entry {} completed twice", one.index),
        )?;
    }
    Ok(done)
}

/// Takes the end of a call, and that of one that waits for it, which does not come if the call fails: both are to return this.
///
/// # Errors
/// Another result, or the client's.
pub fn take_both(poster: &mut Poster, call: u32, waiting: u32, ret: i64) -> Result<(), String> {
    let mut done = take(poster, 1)?;
    if let Some(called) = done.get(&call) {
        expect("the call", called.ret, ret)?;
    }
    done.append(&mut take(poster, 1)?);
    expect("the call", result_of(&done, call)?, ret)?;
    expect("what waits for it", result_of(&done, waiting)?, ret)
}

/// The result of entry `index`.
pub fn result_of(done: &BTreeMap<u32, Completion>, index: u32) -> Result<i64, String> {
    let one = done
        .get(&index)
        .ok_or_else(|| format!("entry {index} did not complete"))?;
    ensure(!one.handed_back(), format!("handed back: {one:?}"))?;
    Ok(one.ret)
}

fn stat(poster: &mut Poster) -> Result<u32, String> {
    // What is written there is of no interest.
    let memory: &'static mut [u8] = Box::leak(vec![0_u8; 256].into_boxed_slice());
    let here = libc::AT_FDCWD as u64;
    let args = [
        here,
        c".".as_ptr() as u64,
        0,
        0x7ff,
        memory.as_mut_ptr() as u64,
    ];
    poster.post(libc::SYS_statx, &args)
}

fn queued(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let blocked = asleep(&mut poster, "fifo")?;
    let waiting = stat(&mut poster)?;
    poster.until_taken(waiting)?;
    expect("cancel", cancel(&poster.context, waiting, 0), 0)?;
    let done = poster.complete()?;
    expect(
        "the entry that completes",
        done.index.into(),
        waiting.into(),
    )?;
    expect("its result", done.ret, minus(libc::ECANCELED))?;
    expect("counted", poster.context.counters().cancelled as i64, 1)?;
    expect(
        "cancel of the blocked one",
        cancel(&poster.context, blocked, 0),
        minus(libc::EALREADY),
    )?;
    let done = poster.complete()?;
    expect("the blocked open", done.ret, minus(libc::EINTR))?;
    poster.nop()
}

fn on_the_ring(_: &mut Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Caller)?;
    // Nobody looks at this ring, so that the entry stays where it is.
    let args = crate::posted::six(&[]);
    let first = poster.context.post(abi::NR_NOP, args).ok_or("no entry")?;
    let second = poster.context.post(abi::NR_NOP, args).ok_or("no entry")?;
    expect("cancel", cancel(&poster.context, second, 0), 0)?;
    // The other one was taken on the way and still has to be executed, without a kick.
    let context = &poster.context;
    until("both are complete", || {
        context
            .comp_tail()
            .load(std::sync::atomic::Ordering::Acquire)
            == 2
    })?;
    let done = take(&mut poster, 2)?;
    expect("the other", result_of(&done, first)?, 0)?;
    expect(
        "the cancelled",
        result_of(&done, second)?,
        minus(libc::ECANCELED),
    )
}

fn blocked_open(_: &mut Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Lanes)?;
    for round in 0..5 {
        let blocked = asleep(&mut poster, &format!("fifo{round}"))?;
        expect(
            "cancel",
            cancel(&poster.context, blocked, 0),
            minus(libc::EALREADY),
        )?;
        let done = poster.complete()?;
        expect(
            "the entry that completes",
            done.index.into(),
            blocked.into(),
        )?;
        expect("the open", done.ret, minus(libc::EINTR))?;
        // The thread is fit for more.
        expect("open", poster.open(c"none", 0)?, minus(libc::ENOENT))?;
    }
    Ok(())
}

/// Two connected sockets of the local kind, which only lane T may touch.
pub fn sockets() -> Result<(OwnedFd, OwnedFd), String> {
    use std::os::unix::net::UnixStream;
    let (one, other) = UnixStream::pair().map_err(|why| why.to_string())?;
    Ok((one.into(), other.into()))
}

fn blocked_read(_: &mut Place) -> Result<(), String> {
    let (one, other) = sockets()?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let mut memory = [0_u8; 8];
    for _ in 0..5 {
        let args = [one.as_raw_fd() as u64, memory.as_mut_ptr() as u64, 8];
        let blocked = poster.post(libc::SYS_read, &args)?;
        poster.until_taken(blocked)?;
        // Whether it sleeps already, or was still queued, or on its way from one lane to the other.
        let answer = cancel(&poster.context, blocked, 0);
        let want = match answer {
            0 => vec![minus(libc::ECANCELED)],
            _ => vec![minus(libc::EINTR), minus(libc::ECANCELED)],
        };
        let done = poster.complete()?;
        ensure(
            want.contains(&done.ret),
            format!("cancel gave {answer}, the entry {}", done.ret),
        )?;
    }
    // What is sent later is there for the next read.
    // SAFETY: two bytes to write.
    let put = unsafe { libc::write(other.as_raw_fd(), b"ok".as_ptr().cast(), 2) };
    libc_ok("write", put as i64)?;
    expect("read", poster.read(one.as_raw_fd(), 8)?.0, 2)
}

fn others(_: &mut Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Lanes)?;
    let stays = asleep(&mut poster, "stays")?;
    for round in 0..5 {
        let name = CString::new(format!("ends{round}")).map_err(|why| why.to_string())?;
        make_fifo(&name)?;
        let ends = post_blocking_open(&mut poster, &name)?;
        // A thread for it is made by a kick, when the first is known to be blocked.
        poster.open(c"none", 0)?;
        let answer = cancel(&poster.context, ends, 0);
        ensure(
            [0, minus(libc::EALREADY)].contains(&answer),
            format!("cancel gave {answer}"),
        )?;
        let done = poster.complete()?;
        expect("the entry that completes", done.index.into(), ends.into())?;
        ensure(
            [minus(libc::EINTR), minus(libc::ECANCELED)].contains(&done.ret),
            format!("the entry gave {}", done.ret),
        )?;
    }
    let writer = std::fs::OpenOptions::new().write(true).open("stays");
    let done = poster.complete()?;
    expect("the entry that completes", done.index.into(), stays.into())?;
    ensure(done.ret >= 0, format!("the open gave {}", done.ret))?;
    drop(writer);
    expect("close", poster.close(done.ret as i32)?, 0)
}

fn all(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    expect(
        "cancel of nothing",
        cancel(&poster.context, 0, abi::CANCEL_ALL),
        0,
    )?;
    let blocked = asleep(&mut poster, "fifo")?;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(stat(&mut poster)?);
    }
    let count = cancel(&poster.context, 0, abi::CANCEL_ALL);
    expect("cancelled", count, 21)?;
    let done = take(&mut poster, 21)?;
    expect(
        "the blocked one",
        result_of(&done, blocked)?,
        minus(libc::EINTR),
    )?;
    for index in waiting {
        expect(
            "a queued one",
            result_of(&done, index)?,
            minus(libc::ECANCELED),
        )?;
    }
    expect("open", poster.open(c"none", 0)?, minus(libc::ENOENT))?;
    poster.nop()
}

fn unknown(_: &mut Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Lanes)?;
    let enoent = minus(libc::ENOENT);
    for index in [0, 1, abi::MIN_ENTRIES, 65_535, 65_536, 65_537, u32::MAX] {
        expect("cancel", cancel(&poster.context, index, 0), enoent)?;
    }
    for _ in 0..100 {
        let index = poster.post(libc::c_long::from(abi::NR_NOP), &[])?;
        poster.complete()?;
        expect(
            "cancel when done",
            cancel(&poster.context, index, 0),
            enoent,
        )?;
    }
    expect("counted", poster.context.counters().cancelled as i64, 0)
}

fn garbage(_: &mut Place) -> Result<(), String> {
    let poster = Poster::new(Mode::Lanes)?;
    let einval = minus(libc::EINVAL);
    for flags in [2, 3, 0x8000_0000, u32::MAX] {
        expect("flags", cancel(&poster.context, 0, flags), einval)?;
    }
    expect(
        "all and one",
        cancel(&poster.context, 1, abi::CANCEL_ALL),
        einval,
    )?;
    for at in 0..2 {
        let mut request = abi::Cancel {
            index: 0,
            flags: 0,
            __reserved: [0; 2],
        };
        request.__reserved[at] = 1;
        let ret = outcome(ioctl(poster.context.fd(), abi::IOC_CANCEL, &mut request));
        expect("reserved", ret, einval)?;
    }
    // SAFETY: the address is none of ours; the call says so.
    let ret = unsafe { libc::ioctl(poster.context.fd(), abi::IOC_CANCEL.into(), 8) };
    expect(
        "bad address",
        crate::suite::result(ret),
        minus(libc::EFAULT),
    )?;
    let device = open_device().map_err(|why| why.to_string())?;
    let mut request = abi::Cancel {
        index: 0,
        flags: 0,
        __reserved: [0; 2],
    };
    let ret = outcome(ioctl(device.as_raw_fd(), abi::IOC_CANCEL, &mut request));
    expect("before set-up", ret, minus(libc::EBADFD))
}

/// Reads of a socket that are cancelled while somebody writes: each completes once, and every byte is read once.
fn race(place: &mut Place) -> Result<(), String> {
    let (one, other) = sockets()?;
    let (pipe_out, pipe_in) = pipe().map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let mut memory = vec![0_u8; 64];
    let (mut read, mut cancelled) = (0_u64, 0_u64);
    let rounds = place.rounds.unwrap_or(1) * 200;
    for round in 0..rounds {
        let (from, to) = match round % 2 {
            0 => (&one, &other),
            _ => (&pipe_out, &pipe_in),
        };
        let at = memory.as_mut_ptr() as u64 + round % 8;
        let args = [from.as_raw_fd() as u64, at, 1];
        let index = poster.post(libc::SYS_read, &args)?;
        let writer = to.as_raw_fd();
        let delay = place.rng.below(200);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(delay));
            // SAFETY: one byte to write.
            let put = unsafe { libc::write(writer, b"x".as_ptr().cast(), 1) };
            libc_ok("write", put as i64)
        });
        std::thread::sleep(Duration::from_micros(place.rng.below(3000)));
        let answer = cancel(&poster.context, index, 0);
        let done = poster.complete()?;
        expect("the entry that completes", done.index.into(), index.into())?;
        let put = thread.join().map_err(|_| "the writer panicked")??;
        expect("write", put, 1)?;
        let (enoent, ecanceled) = (minus(libc::ENOENT), minus(libc::ECANCELED));
        let fine = match done.ret {
            1 => answer == enoent || answer == minus(libc::EALREADY),
            ret if ret == ecanceled => answer == 0 || answer == minus(libc::EALREADY),
            ret if ret == minus(libc::EINTR) => answer == minus(libc::EALREADY),
            _ => false,
        };
        ensure(
            fine,
            format!("cancel gave {answer}, the entry {}", done.ret),
        )?;
        if done.ret == 1 {
            read += 1;
            continue;
        }
        cancelled += 1;
        // The byte was not lost.
        expect("read", poster.read(from.as_raw_fd(), 8)?.0, 1)?;
    }
    println!("# {read} read, {cancelled} cancelled");
    ensure(
        poster.context.room() == poster.context.setup().entries as usize,
        "entries are missing",
    )
}
