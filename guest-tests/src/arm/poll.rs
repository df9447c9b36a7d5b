// SPDX-License-Identifier: MIT OR Apache-2.0
//! FLEXSC_NR_POLL: waiting until a file is ready.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libflexsc::sys as abi;

use super::ends::{Ends, all, put};
use super::idle::settled;
use crate::cancel::request::{cancel, single, sockets};
use crate::client::{Lane, Mode};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::{Child, End, module_unused, pipe};
use crate::suite::{Behaviour, Place};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("poll_waits_until_there_is_something_to_read", waits);
    one("poll_tells_at_once_what_is_there", at_once);
    one("poll_tells_of_a_hang_up", hang_up);
    one("poll_refuses_garbage", garbage);
    one("poll_is_cancelled", cancelled);
    one(
        "poll_of_a_file_that_holds_the_context_ends_with_the_process",
        circle,
    );
}

const POLL: libc::c_long = abi::NR_POLL as libc::c_long;
const IN: u64 = libc::POLLIN as u64;

/// One of each kind that can be polled without a thread, local sockets among them.
///
/// # Errors
/// The error of making one, as text.
pub fn kinds() -> Result<Vec<Ends>, String> {
    let mut list = all()?;
    let (read, write) = sockets()?;
    list.push(Ends {
        kind: "unix",
        read,
        write,
        len: 5,
    });
    Ok(list)
}

fn waits(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        for ends in kinds()? {
            let mut poster = Poster::new(mode)?;
            let fd = ends.read.as_raw_fd();
            let index = poster.post(POLL, &[fd as u64, IN])?;
            settled(&poster.context)?;
            // Something else goes on meanwhile, and needs no second thread.
            expect("open", poster.open(c"none", 0)?, -i64::from(libc::ENOENT))?;
            put(&ends.write, ends.len)?;
            let done = poster.complete()?;
            expect("the entry that completes", done.index.into(), index.into())?;
            expect(ends.kind, done.ret, IN as i64)?;
            expect("read", poster.read(fd, 8)?.0, ends.len as i64)?;
            expect("threads", poster.context.counters().threads as i64, 1)?;
        }
    }
    Ok(())
}

fn at_once(place: &mut Place) -> Result<(), String> {
    let both = u64::from((libc::POLLIN | libc::POLLOUT) as u16);
    let file = place.file("file", b"x")?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let args = [file.as_raw_fd() as u64, both];
        expect("a file", poster.entry(POLL, &args)?.ret, both as i64)?;
        for ends in kinds()? {
            let out = libc::POLLOUT as u64;
            let done = poster.entry(POLL, &[ends.write.as_raw_fd() as u64, out])?;
            expect(ends.kind, done.ret, out as i64)?;
            put(&ends.write, ends.len)?;
            let done = poster.entry(POLL, &[ends.read.as_raw_fd() as u64, IN])?;
            expect(ends.kind, done.ret, IN as i64)?;
        }
    }
    Ok(())
}

fn hang_up(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let (read, write) = pipe().map_err(|why| why.to_string())?;
    poster.post(POLL, &[read.as_raw_fd() as u64, 0])?;
    settled(&poster.context)?;
    put(&write, 1)?;
    drop(write);
    expect("poll", poster.complete()?.ret, libc::POLLHUP.into())
}

fn garbage(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for fd in [u64::MAX, 1000, 1 << 31] {
            let done = poster.entry(POLL, &[fd, IN])?;
            expect("no descriptor", done.ret, -i64::from(libc::EBADF))?;
        }
        let done = poster.entry(POLL, &[0, 0x1_0000])?;
        expect("no event", done.ret, -i64::from(libc::EINVAL))?;
        let own = poster.context.fd() as u64;
        let done = poster.entry(POLL, &[own, IN])?;
        ensure(done.lane == Lane::HandedBack, "waits for itself")?;
    }
    Ok(())
}

fn cancelled(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    for ends in kinds()? {
        let index = poster.post(POLL, &[ends.read.as_raw_fd() as u64, IN])?;
        settled(&poster.context)?;
        expect(ends.kind, cancel(&poster.context, index, 0), 0)?;
        expect(
            ends.kind,
            poster.complete()?.ret,
            -i64::from(libc::ECANCELED),
        )?;
    }
    Ok(())
}

/// Sends a descriptor over a socket, where it stays.
///
/// # Errors
/// sendmsg(2)'s error, as text.
pub fn send(socket: &OwnedFd, fd: i32) -> Result<(), String> {
    let mut byte = [0_u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut control = [0_u64; 4];
    // SAFETY: a plain structure of integers and pointers, for which zeroes are fine; it is filled in with what
    // lives through the call, and the control block has room for one descriptor.
    let ret = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd);
        libc::sendmsg(socket.as_raw_fd(), &raw const message, 0)
    };
    libc_ok("sendmsg", ret as i64).map(|_| ())
}

fn circle(_: &mut Place) -> Result<(), String> {
    for _ in 0..3 {
        let mut child = Child::spawn(|| {
            let body = || -> Result<(), String> {
                let (one, other) = sockets()?;
                let mut poster = Poster::new(Mode::Lanes)?;
                send(&other, poster.context.fd())?;
                // What is there already is not asked for.
                poster.post(POLL, &[one.as_raw_fd() as u64, libc::POLLPRI as u64])?;
                // SAFETY: an all-zero set is a valid one; no other memory is involved.
                let fd = unsafe {
                    let set: libc::sigset_t = std::mem::zeroed();
                    libc::signalfd(-1, &raw const set, 0)
                };
                let fd = libc_ok("signalfd", fd.into())? as i32;
                // SAFETY: the call has just returned this descriptor.
                let signals = unsafe { OwnedFd::from_raw_fd(fd) };
                poster.post(POLL, &[signals.as_raw_fd() as u64, IN])?;
                settled(&poster.context)?;
                std::mem::forget((poster, one, other, signals));
                Ok(())
            };
            crate::process::status_of("the process to end", body)
        })
        .map_err(|why| why.to_string())?;
        let end = child.wait(*crate::client::PATIENCE);
        ensure(end == Some(End::Exit(0)), format!("ended by {end:?}"))?;
        module_unused()?;
    }
    Ok(())
}
