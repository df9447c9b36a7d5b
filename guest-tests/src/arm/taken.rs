// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file of an entry that was taken and has not begun.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use libflexsc::sys as abi;

use crate::cancel::request::{asleep, cancel, result_of, single, sockets, take};
use crate::client::{Context, Mode, open_device, setup_request};
use crate::posted::{Poster, ensure, expect, libc_ok, six};
use crate::process::{Child, End, module_unused, pipe};
use crate::suite::{Behaviour, Place, bind, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("what_is_taken_has_its_file", has);
    one("what_is_taken_has_both_its_files", has_both);
    one("what_a_caller_has_taken_has_its_file", caller_has);
    one("what_is_opened_after_it_was_taken_is_given_back", opened);
    one("what_is_cancelled_gives_its_file_back", cancelled);
    one("what_is_taken_is_given_back_when_the_process_dies", killed);
    one("what_is_taken_and_holds_the_context_is_given_back", circle);
    one("what_a_dying_process_takes_is_given_back", dying);
}

/// Posts a send on `fd`, which no thread is free for, and waits until it is taken.
fn post_send(poster: &mut Poster, fd: RawFd) -> Result<u32, String> {
    let args = [fd as u64, b"word".as_ptr() as u64, 4, 0, 0, 0];
    post_taken(poster, libc::SYS_sendto, &args)
}

/// Posts a call that no thread is free for, and waits until it is taken.
pub fn post_taken(poster: &mut Poster, nr: libc::c_long, args: &[u64]) -> Result<u32, String> {
    let index = poster.post(nr, args)?;
    poster.until_taken(index)?;
    Ok(index)
}

/// recv(2) without waiting: how much there was, or the error.
fn receive(socket: &OwnedFd) -> i64 {
    let mut memory = [0_u8; 8];
    // SAFETY: room for what is received.
    let got = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            memory.as_mut_ptr().cast(),
            memory.len(),
            libc::MSG_DONTWAIT,
        )
    };
    if got < 0 {
        let why = std::io::Error::last_os_error();
        return -i64::from(why.raw_os_error().unwrap_or(0));
    }
    got as i64
}

const NOTHING: i64 = -(libc::EAGAIN as i64);

/// Ends the open of a FIFO that [`asleep`] has posted.
pub fn let_go(name: &str) -> Result<fs::File, String> {
    fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(name)
        .map_err(|why| why.to_string())
}

fn has(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let blocked = asleep(&mut poster, "fifo")?;
    let ((one, other), (replacement, nobody)) = (sockets()?, sockets()?);
    let sent = post_send(&mut poster, one.as_raw_fd())?;
    // SAFETY: only makes the descriptor name another file.
    let made = unsafe { libc::dup2(replacement.as_raw_fd(), one.as_raw_fd()) };
    libc_ok("dup2", made.into())?;
    let _writer = let_go("fifo")?;
    let done = take(&mut poster, 2)?;
    ensure(result_of(&done, blocked)? >= 0, "the FIFO was not opened")?;
    expect("send", result_of(&done, sent)?, 4)?;
    expect("the other end", receive(&other), 4)?;
    expect(
        "the end of what has its number now",
        receive(&nobody),
        NOTHING,
    )
}

fn length(file: &fs::File) -> Result<i64, String> {
    let data = file.metadata().map_err(|why| why.to_string())?;
    Ok(data.len() as i64)
}

fn has_both(place: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let blocked = asleep(&mut poster, "fifo")?;
    let source = place.file("source", b"word")?;
    let [real, wrong] = [place.file("real", b"")?, place.file("wrong", b"")?].map(fs::File::from);
    let args = [
        source.as_raw_fd() as u64,
        0,
        real.as_raw_fd() as u64,
        0,
        4,
        0,
    ];
    let copied = post_taken(&mut poster, libc::SYS_copy_file_range, &args)?;
    let kept = real.try_clone().map_err(|why| why.to_string())?;
    for number in [source.as_raw_fd(), real.as_raw_fd()] {
        // SAFETY: only makes the descriptor name another file.
        let made = unsafe { libc::dup2(wrong.as_raw_fd(), number) };
        libc_ok("dup2", made.into())?;
    }
    let _writer = let_go("fifo")?;
    let done = take(&mut poster, 2)?;
    ensure(result_of(&done, blocked)? >= 0, "the FIFO was not opened")?;
    expect("copy", result_of(&done, copied)?, 4)?;
    expect("what was copied", length(&kept)?, 4)?;
    expect("what has its number now", length(&wrong)?, 0)
}

fn caller_has(_: &mut Place) -> Result<(), String> {
    let mut poster = Poster::new(Mode::Caller)?;
    let (one, other) = sockets()?;
    let number = one.as_raw_fd() as u64;
    // Its descriptor is closed by the entry.
    std::mem::forget(one);
    let mut entry = |nr: libc::c_long, args: [u64; 6]| {
        poster
            .context
            .prepare(nr as u16, args)
            .ok_or("no entry is free")
    };
    let close = entry(libc::SYS_close, [number, 0, 0, 0, 0, 0])?;
    let word = b"word".as_ptr() as u64;
    let send = entry(libc::SYS_sendto, [number, word, 4, 0, 0, 0])?;
    poster.context.publish_all(&[close, send]);
    let done = take(&mut poster, 2)?;
    expect("close", result_of(&done, close)?, 0)?;
    expect("send", result_of(&done, send)?, 4)?;
    expect("the other end", receive(&other), 4)?;
    expect("and then", receive(&other), 0)
}

/// Opens a file anew, and sees that nobody else has it open.
fn is_let_go(name: &str) -> Result<(), String> {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(name)
        .map_err(|why| why.to_string())?;
    // SAFETY: takes no pointers. The kernel gives a lease for writing to who has a file alone.
    let leased = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
    libc_ok(&format!("a lease of {name}"), leased.into()).map(drop)
}

fn opened(_: &mut Place) -> Result<(), String> {
    let (one, other) = (c"one", c"other");
    fs::write("one", b"bytes").map_err(|why| why.to_string())?;
    fs::write("other", b"").map_err(|why| why.to_string())?;
    let mut poster = Poster::new(Mode::Caller)?;
    // The numbers that the next two files get.
    let numbers = [0; 2].map(|_| fs::File::open("one"));
    let [first, second] = numbers.map(|file| file.map(|file| file.as_raw_fd() as u64));
    let (first, second) = (
        first.map_err(|why| why.to_string())?,
        second.map_err(|why| why.to_string())?,
    );
    let mut entry = |nr: libc::c_long, args: [u64; 6]| {
        poster
            .context
            .prepare(nr as u16, args)
            .ok_or("no entry is free")
    };
    let mut open = |name: &std::ffi::CStr| {
        let (here, flags) = (libc::AT_FDCWD as u64, libc::O_RDWR as u64);
        entry(
            libc::SYS_openat,
            [here, name.as_ptr() as u64, flags, 0, 0, 0],
        )
    };
    let opens = [open(one)?, open(other)?];
    let mut bytes = [0_u8; 8];
    let into = bytes.as_mut_ptr() as u64;
    let read = entry(libc::SYS_pread64, [first, into, 8, 0, 0, 0])?;
    let copy = entry(libc::SYS_copy_file_range, [first, 0, second, 0, 5, 0])?;
    poster
        .context
        .publish_all(&[opens[0], opens[1], read, copy]);
    let done = take(&mut poster, 4)?;
    expect("the first", result_of(&done, opens[0])?, first as i64)?;
    expect("the second", result_of(&done, opens[1])?, second as i64)?;
    expect("read", result_of(&done, read)?, 5)?;
    expect("copy", result_of(&done, copy)?, 5)?;
    for number in [first, second] {
        // SAFETY: the entries have opened it, and nobody owns it.
        let closed = unsafe { libc::close(number as i32) };
        libc_ok("close", closed.into())?;
    }
    is_let_go("one")?;
    is_let_go("other")
}

fn cancelled(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let blocked = asleep(&mut poster, "fifo")?;
    let (one, other) = sockets()?;
    let sent = post_send(&mut poster, one.as_raw_fd())?;
    drop(one);
    expect("while it is held", receive(&other), NOTHING)?;
    expect("cancel", cancel(&poster.context, sent, 0), 0)?;
    expect("when it is not", receive(&other), 0)?;
    let _writer = let_go("fifo")?;
    let done = take(&mut poster, 2)?;
    ensure(result_of(&done, blocked)? >= 0, "the FIFO was not opened")?;
    expect("send", result_of(&done, sent)?, -i64::from(libc::ECANCELED))
}

fn killed(_: &mut Place) -> Result<(), String> {
    let (one, other) = sockets()?;
    let (ready, tell) = pipe().map_err(|why| why.to_string())?;
    let fd = one.as_raw_fd();
    let mut child = Child::spawn(|| {
        let wait = || -> Result<(), String> {
            let mut poster = single()?;
            asleep(&mut poster, "fifo")?;
            post_send(&mut poster, fd)?;
            super::ends::put(&tell, 1)?;
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        };
        crate::process::status_of("the process to kill", wait)
    })
    .map_err(|why| why.to_string())?;
    // What the child does not write is an end of file.
    drop(tell);
    let mut byte = [0_u8];
    // SAFETY: one byte of room.
    let got = unsafe { libc::read(ready.as_raw_fd(), byte.as_mut_ptr().cast(), 1) };
    expect("bytes from the child", got as i64, 1)?;
    drop(one);
    expect("while it is held", receive(&other), NOTHING)?;
    child.signal(libc::SIGKILL);
    let end = child.wait(*crate::client::PATIENCE);
    ensure(
        end == Some(End::Signal(libc::SIGKILL)),
        format!("ended by {end:?}"),
    )?;
    until("the file is given back", || receive(&other) == 0)?;
    module_unused()
}

/// A socket in whose queue the only other descriptor of the context lies.
fn circle(_: &mut Place) -> Result<(), String> {
    let mut child = Child::spawn(|| {
        let body = || -> Result<(), String> {
            let (one, other) = sockets()?;
            let mut poster = single()?;
            super::poll::send(&other, poster.context.fd())?;
            asleep(&mut poster, "fifo")?;
            post_send(&mut poster, one.as_raw_fd())?;
            std::mem::forget((poster, one, other));
            Ok(())
        };
        crate::process::status_of("the process to end", body)
    })
    .map_err(|why| why.to_string())?;
    let end = child.wait(*crate::client::PATIENCE);
    ensure(end == Some(End::Exit(0)), format!("ended by {end:?}"))?;
    module_unused()
}

/// Posts and takes for ever, on the CPU of those who execute it, entries of which each holds a socket in whose queue
/// the only other descriptor of the context lies.
fn take_for_ever() -> Result<(), String> {
    let (one, other) = sockets()?;
    let mut request = setup_request(abi::MAX_ENTRIES);
    (request.threads, request.spin_us) = (1, 0);
    let context = open_device().and_then(|device| Context::new(device, request));
    let mut context = context.map_err(|why| why.to_string())?;
    super::poll::send(&other, context.fd())?;
    bind(context.setup().cpu as usize)?;
    let mut status = [0_u64; 32];
    let args = [one.as_raw_fd() as u64, status.as_mut_ptr() as u64];
    loop {
        let mut entries = Vec::new();
        while let Some(index) = context.prepare(libc::SYS_fstat as u16, six(&args)) {
            entries.push(index);
        }
        context.publish_all(&entries);
        cancel(&context, u32::MAX, 0);
        cancel(&context, 0, abi::CANCEL_ALL);
        for _ in entries {
            context
                .complete(Mode::Lanes)
                .map_err(|why| why.to_string())?;
        }
    }
}

/// Killed at any moment, also between its last look and what it takes then.
fn dying(place: &mut Place) -> Result<(), String> {
    for _ in 0..place.rounds.unwrap_or(1) * 24 {
        let mut child =
            Child::spawn(|| crate::process::status_of("the process to kill", take_for_ever))
                .map_err(|why| why.to_string())?;
        std::thread::sleep(Duration::from_millis(30 + place.rng.below(200)));
        child.kill()?;
        module_unused()?;
    }
    Ok(())
}
