// SPDX-License-Identifier: MIT OR Apache-2.0
//! What waits when its process, or the wait queue itself, goes.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use libflexsc::sys::{self as abi, MIN_ENTRIES};

use super::idle::settled;
use super::poll::send;
use crate::cancel::request::{cancel, sockets};
use crate::client::{Mode, ioctl};
use crate::posted::{Poster, ensure, expect, libc_ok, six};
use crate::process::{Child, End};
use crate::suite::{Behaviour, Place, context, outcome, skip, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("what_waits_is_given_up_when_the_process_dies", given_up);
    one("a_wait_queue_that_goes_before_its_file_is_left", queue_goes);
}

const POLL: libc::c_long = abi::NR_POLL as libc::c_long;
const PRI: u64 = libc::POLLPRI as u64;

/// Takes the descriptor that lies in a socket's queue.
fn receive(socket: &OwnedFd) -> Result<OwnedFd, String> {
    let mut byte = [0_u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut control = [0_u64; 4];
    // SAFETY: a plain structure of integers and pointers, for which zeroes are fine; it is filled in with what
    // lives through the call, and what the kernel has written is looked at as what it says it is.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let got = libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0);
        libc_ok("recvmsg", got as i64)?;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        ensure(!header.is_null(), "no descriptor came along")?;
        let fd = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Whether every other thread of this process sleeps.
fn others_sleep() -> bool {
    let own = std::process::id().to_string();
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return false;
    };
    threads
        .flatten()
        .filter(|thread| thread.file_name().to_string_lossy() != own)
        .all(|thread| {
            fs::read_to_string(thread.path().join("stat")).is_ok_and(|stat| stat.contains(") S "))
        })
}

/// A process dies with an entry that waits for a socket in whose queue its own context lies. Only who has the
/// socket, too, can still look at the context.
fn given_up(_: &mut Place) -> Result<(), String> {
    let (one, other) = sockets()?;
    let mut child = Child::spawn(|| {
        let body = || -> Result<(), String> {
            let mut poster = Poster::new(Mode::Lanes)?;
            send(&other, poster.context.fd())?;
            // What is there already is not asked for.
            poster.post(POLL, &[one.as_raw_fd() as u64, PRI])?;
            settled(&poster.context)?;
            // One that takes its time in a call counts as nobody, too.
            until("the system call thread sleeps", others_sleep)?;
            let ended = poster.context.reap().map_err(|why| why.to_string())?;
            ensure(ended.is_none(), format!("it does not wait: {ended:?}"))?;
            std::mem::forget(poster);
            Ok(())
        };
        crate::process::status_of("the process that dies", body)
    })
    .map_err(|why| why.to_string())?;
    let end = child.wait(Duration::from_secs(60));
    ensure(end == Some(End::Exit(0)), format!("ended by {end:?}"))?;
    let context = receive(&one)?;
    let path = format!("/proc/self/fdinfo/{}", context.as_raw_fd());
    for line in ["flexsc-in-flight:\t0\n", "flexsc-dead:\t1\n"] {
        until(&format!("{line:?} in {path}"), || {
            fs::read_to_string(&path).is_ok_and(|text| text.contains(line))
        })?;
    }
    Ok(())
}

/// A binder thread's wait queue goes with the thread, by an ioctl, although the file stays open.
fn queue_goes(place: &mut Place) -> Result<(), String> {
    const THREAD_EXIT: u32 = 0x4004_6208;
    // Not every kernel has it.
    let _ = Command::new("modprobe").arg("binder_linux").output();
    let binder = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/binder");
    let binder = match binder {
        Ok(binder) => binder,
        Err(why) => return skip(&format!("/dev/binder: {why}")),
    };
    for _ in 0..place.rounds.unwrap_or(1) * 3 {
        let mut context = context(MIN_ENTRIES, Mode::Caller)?;
        let args = six(&[binder.as_raw_fd() as u64, PRI]);
        let index = context.post(abi::NR_POLL, args).ok_or("no entry is free")?;
        // Executed by this thread, whose queue it then is.
        expect("wait", outcome(context.wait(0, None)), 0)?;
        let status = context.status(index).load(Ordering::Acquire);
        expect("status of the entry", status.into(), abi::BUSY.into())?;
        let exit = outcome(ioctl(binder.as_raw_fd(), THREAD_EXIT, &mut 0));
        expect("BINDER_THREAD_EXIT", exit, 0)?;
        expect("cancel", cancel(&context, index, 0).min(0), 0)?;
        let done = context.complete(Mode::Caller);
        let done = done.map_err(|why| why.to_string())?;
        expect("the entry that completes", done.index.into(), index.into())?;
        expect("poll", done.ret, -i64::from(libc::ECANCELED))?;
    }
    Ok(())
}
