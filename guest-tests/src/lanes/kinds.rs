// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that ask who calls them, or that must not be touched by those who work for a process.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libflexsc::sys::NR_POLL;

use crate::cancel::request::sockets;
use crate::client::{Lane, Mode};
use crate::lifecycle::{Behaviour, Place};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "a_local_socket_tells_of_the_process",
            credentials as fn(&Place) -> _,
        ),
        ("a_terminal_is_handed_back", terminal),
        ("a_terminal_can_be_polled", polled_terminal),
        ("a_list_with_a_context_is_handed_back", dedupe),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// The process that the kernel says has sent the message that `socket` gets next.
fn sender(socket: &OwnedFd) -> Result<i32, String> {
    let mut byte = [0_u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut control = [0_u64; 8];
    // SAFETY: a plain structure of integers and pointers, for which zeroes are fine; it is filled in with what
    // lives through the call, and what the kernel has written is looked at as what it says it is.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        let got = libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0);
        expect("recvmsg", libc_ok("recvmsg", got as i64)?, 1)?;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        ensure(!header.is_null(), "no credentials came along")?;
        let kind = (*header).cmsg_type;
        expect("message", kind.into(), libc::SCM_CREDENTIALS.into())?;
        let credentials = libc::CMSG_DATA(header).cast::<libc::ucred>();
        Ok(credentials.read_unaligned().pid)
    }
}

fn credentials(_: &Place) -> Result<(), String> {
    let (one, other) = sockets()?;
    let on: libc::c_int = 1;
    // SAFETY: the option is a live integer of the size given.
    let ret = unsafe {
        libc::setsockopt(
            other.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    libc_ok("setsockopt", ret.into())?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        for _ in 0..5 {
            expect("write", poster.write(one.as_raw_fd(), b"x")?, 1)?;
            let own = i64::from(std::process::id());
            expect("the sender", sender(&other)?.into(), own)?;
        }
    }
    Ok(())
}

/// A terminal that controls this process, which leads a session for that; its master first.
fn controlling() -> Result<(OwnedFd, OwnedFd), String> {
    let (mut master, mut slave) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: both descriptors are writable, and nothing else is asked for; TIOCSCTTY takes a number; ignoring a
    // signal installs no handler.
    unsafe {
        // The end of the master hangs up.
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc_ok("setsid", libc::setsid().into())?;
        let ret = libc::openpty(
            &raw mut master,
            &raw mut slave,
            none,
            none.cast(),
            none.cast(),
        );
        libc_ok("openpty", ret.into())?;
        let (master, slave) = (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave));
        let ret = libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0);
        libc_ok("TIOCSCTTY", ret.into())?;
        // A write for which the kernel has no buffer waits for room that nobody makes, unless it must not wait.
        let ret = libc::fcntl(master.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
        libc_ok("F_SETFL", ret.into())?;
        Ok((master, slave))
    }
}

/// Three bytes, "ok" and a newline, for who reads from the terminal of `master`.
fn type_line(master: &OwnedFd) -> Result<(), String> {
    // SAFETY: three bytes to write.
    let put = unsafe { libc::write(master.as_raw_fd(), b"ok\n".as_ptr().cast(), 3) };
    expect("write to the master", libc_ok("write", put as i64)?, 3)
}

fn terminal(_: &Place) -> Result<(), String> {
    let (master, slave) = controlling()?;
    let mut memory = [0_u8; 16];
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        // There is something to read, so that whoever reads all the same comes back.
        type_line(&master)?;
        let args = [slave.as_raw_fd() as u64, memory.as_mut_ptr() as u64, 16];
        for nr in [libc::SYS_read, libc::SYS_write] {
            let done = poster.entry(nr, &args)?;
            ensure(
                done.lane == Lane::HandedBack,
                format!("call {nr} was executed: {done:?}"),
            )?;
        }
    }
    Ok(())
}

fn polled_terminal(_: &Place) -> Result<(), String> {
    let (master, slave) = controlling()?;
    let readable = u64::from(libc::POLLIN as u16);
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let args = [slave.as_raw_fd() as u64, readable];
        poster.post(NR_POLL.into(), &args)?;
        type_line(&master)?;
        let done = poster.complete()?;
        expect("poll", done.ret, readable as i64)?;
        ensure(!done.handed_back(), "it was handed back")?;
        let mut memory = [0_u8; 16];
        // SAFETY: 16 bytes that can be written.
        let got = unsafe { libc::read(slave.as_raw_fd(), memory.as_mut_ptr().cast(), 16) };
        expect("read from the slave", got as i64, 3)?;
    }
    Ok(())
}

fn dedupe(_: &Place) -> Result<(), String> {
    const FIDEDUPERANGE: u64 = 0xc018_9436;
    fs::write("file", [3_u8; 4096]).map_err(|why| why.to_string())?;
    let file = fs::OpenOptions::new().read(true).write(true).open("file");
    let file = file.map_err(|why| why.to_string())?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let own = poster.context.fd() as u64;
        // One destination, which is the context.
        let mut range = [0, 4096, 1, own, 0, 0, 0];
        let args = [
            file.as_raw_fd() as u64,
            FIDEDUPERANGE,
            range.as_mut_ptr() as u64,
        ];
        let done = poster.entry(libc::SYS_ioctl, &args)?;
        ensure(done.lane == Lane::HandedBack, format!("executed: {done:?}"))?;
        if mode == Mode::Lanes {
            poster.nop()?;
        }
    }
    Ok(())
}
