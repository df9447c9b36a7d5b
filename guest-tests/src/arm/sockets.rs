// SPDX-License-Identifier: MIT OR Apache-2.0
//! Socket calls that wait, without a thread.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use libflexsc::sys as abi;

use super::ends::{loopback, put, tcp};
use super::idle::{big, post_read, resting, settled, threads, was_cancelled};
use super::transfer::{LEN, check, pattern, reader};
use crate::cancel::request::{cancel, single, sockets, take_both};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::suite::{Behaviour, Place, until};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("socket_calls_that_wait_hold_no_thread", no_thread);
    one("thousands_of_idle_socket_calls_cost_nothing", thousands);
    one(
        "a_full_page_of_receives_is_ended_by_its_own_sends",
        full_page,
    );
    one("a_long_send_goes_on", long);
    one("accepts_take_each_connection_once", accepts);
    one("a_cancelled_accept_loses_nothing", cancelled_accept);
    one("connect_tells_what_came_of_it", connects);
    one("a_connect_that_waits_holds_no_thread", slow_connect);
}

/// Memory that is never freed, for what a call may write to.
pub fn leak(len: usize) -> *mut u8 {
    Box::leak(vec![0_u8; len].into_boxed_slice()).as_mut_ptr()
}

/// A message header with one buffer of `len` bytes, never freed.
fn header(len: usize) -> u64 {
    let part = Box::leak(Box::new(libc::iovec {
        iov_base: leak(len).cast(),
        iov_len: len,
    }));
    // SAFETY: a plain structure of integers and pointers, for which zeroes are fine.
    let header: &'static mut libc::msghdr = Box::leak(Box::new(unsafe { std::mem::zeroed() }));
    header.msg_iov = part;
    header.msg_iovlen = 1;
    std::ptr::from_mut(header) as u64
}

fn fd(file: &impl AsRawFd) -> u64 {
    file.as_raw_fd() as u64
}

fn post_recvfrom(poster: &mut Poster, from: &OwnedFd, len: usize) -> Result<u32, String> {
    let args = [fd(from), leak(len) as u64, len as u64, 0, 0, 0];
    poster.post(libc::SYS_recvfrom, &args)
}

fn post_accept(poster: &mut Poster, listener: &OwnedFd) -> Result<u32, String> {
    let args = [fd(listener), 0, 0, libc::SOCK_CLOEXEC as u64];
    poster.post(libc::SYS_accept4, &args)
}

/// A listening socket over the loopback, and one of the local kind.
fn listeners(name: &str) -> Result<[OwnedFd; 2], String> {
    loopback()?;
    let tcp = TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    let unix = UnixListener::bind(name).map_err(|why| format!("{name}: {why}"))?;
    Ok([tcp.into(), unix.into()])
}

/// One more connection to a listener, by the plain call.
fn connection(listener: &OwnedFd, name: &str) -> Result<OwnedFd, String> {
    let copy = listener.try_clone().map_err(|why| why.to_string())?;
    match TcpListener::from(copy).local_addr() {
        Ok(address) => TcpStream::connect(address).map(OwnedFd::from),
        Err(_) => UnixStream::connect(name).map(OwnedFd::from),
    }
    .map_err(|why| format!("connect: {why}"))
}

fn nothing_done(poster: &mut Poster) -> Result<(), String> {
    settled(&poster.context)?;
    let one = poster.context.reap().map_err(|why| why.to_string())?;
    ensure(one.is_none(), format!("{one:?}"))?;
    // The only thread is free.
    expect("open", poster.open(c"none", 0)?, -i64::from(libc::ENOENT))?;
    expect("threads", poster.context.counters().threads as i64, 1)
}

fn no_thread(_: &mut Place) -> Result<(), String> {
    let pairs = || -> Result<_, String> { Ok([sockets()?, tcp("127.0.0.1")?, tcp("::1")?]) };
    for (read, write) in pairs()? {
        let mut poster = single()?;
        let header = header(8);
        for (nr, args) in [
            (libc::SYS_recvfrom, vec![fd(&read), leak(8) as u64, 8, 0]),
            (libc::SYS_recvmsg, vec![fd(&read), header, 0]),
            (libc::SYS_read, vec![fd(&read), leak(8) as u64, 8]),
        ] {
            let index = poster.post(nr, &args)?;
            nothing_done(&mut poster)?;
            put(&write, 5)?;
            let done = poster.complete()?;
            expect("the entry that completes", done.index.into(), index.into())?;
            expect(crate::calls::name(nr as u16), done.ret, 5)?;
        }
    }
    // SAFETY: no pointers.
    let timer = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) };
    let timer = libc_ok("timerfd_create", timer.into())?;
    // SAFETY: the call has just returned this descriptor.
    let timer = unsafe { OwnedFd::from_raw_fd(timer as RawFd) };
    let mut poster = single()?;
    let index = post_read(&mut poster, &timer, 8)?;
    nothing_done(&mut poster)?;
    // SAFETY: a plain structure of integers, for which zeroes are fine; the call reads it.
    let ret = unsafe {
        let mut time: libc::itimerspec = std::mem::zeroed();
        time.it_value.tv_nsec = 1;
        libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const time, std::ptr::null_mut())
    };
    libc_ok("timerfd_settime", ret.into())?;
    let done = poster.complete()?;
    expect("the entry that completes", done.index.into(), index.into())?;
    expect("read of a timer", done.ret, 8)
}

fn thousands(_: &mut Place) -> Result<(), String> {
    let (read, write) = sockets()?;
    let (inet, _other) = tcp("127.0.0.1")?;
    let [listener, _] = listeners("sock")?;
    let header = header(1);
    let mut contexts = Vec::new();
    for _ in 0..3 {
        let mut poster = big()?;
        for which in 0..abi::MAX_ENTRIES {
            match which % 4 {
                0 => post_recvfrom(&mut poster, &read, 1)?,
                1 => poster.post(libc::SYS_recvmsg, &[fd(&inet), header, 0])?,
                2 => post_accept(&mut poster, &listener)?,
                _ => post_read(&mut poster, &read, 1)?,
            };
        }
        settled(&poster.context)?;
        contexts.push(poster);
    }
    // One of ours, and one for each context.
    until("threads that were made meanwhile are gone", || {
        threads() == 4
    })?;
    resting(&contexts.iter().map(|one| &one.context).collect::<Vec<_>>())?;
    let count = i64::from(abi::MAX_ENTRIES);
    put(&write, 10)?;
    let mut got = 0;
    for poster in contexts.iter_mut().take(2) {
        let answer = cancel(&poster.context, 0, abi::CANCEL_ALL);
        ensure(answer <= count, format!("{answer} cancelled"))?;
        for _ in 0..count {
            let ret = poster.complete()?.ret;
            if ret == 1 {
                got += 1;
            } else {
                ensure(was_cancelled(ret), format!("a receive: {ret}"))?;
            }
        }
    }
    ensure(got <= 10, format!("{got} of 10 bytes were received"))?;
    // The third ends with the process.
    Ok(())
}

fn full_page(_: &mut Place) -> Result<(), String> {
    let mut poster = single()?;
    let mut pairs = Vec::new();
    let mut receives = Vec::new();
    for which in 0..poster.context.room() - 1 {
        let (read, write) = sockets()?;
        receives.push(match which % 3 {
            0 => post_recvfrom(&mut poster, &read, 8)?,
            1 => poster.post(libc::SYS_recvmsg, &[fd(&read), header(8), 0])?,
            _ => post_read(&mut poster, &read, 8)?,
        });
        pairs.push((read, write));
    }
    for ((_, write), receive) in pairs.iter().zip(receives) {
        let args = [fd(write), b"word".as_ptr() as u64, 4, 0, 0, 0];
        let index = poster.post(libc::SYS_sendto, &args)?;
        take_both(&mut poster, index, receive, 4)?;
    }
    expect("threads", poster.context.counters().threads as i64, 1)
}

fn long(_: &mut Place) -> Result<(), String> {
    let bytes = pattern();
    for mode in MODES {
        for unix in [false, true] {
            for nr in [libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_write] {
                let (read, write) = if unix { sockets()? } else { tcp("127.0.0.1")? };
                let parts: Vec<libc::iovec> = bytes
                    .chunks(77_777)
                    .map(|part| libc::iovec {
                        iov_base: part.as_ptr().cast_mut().cast(),
                        iov_len: part.len(),
                    })
                    .collect();
                // SAFETY: a plain structure of integers and pointers, for which zeroes are fine.
                let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
                header.msg_iov = parts.as_ptr().cast_mut();
                header.msg_iovlen = parts.len();
                let args = match nr {
                    libc::SYS_sendmsg => vec![fd(&write), &raw const header as u64, 0],
                    _ => vec![fd(&write), bytes.as_ptr() as u64, LEN as u64, 0, 0, 0],
                };
                let mut poster = Poster::new(mode)?;
                let reader = reader(read);
                let name = crate::calls::name(nr as u16);
                expect(name, poster.call(nr, &args)?, LEN as i64)?;
                expect("threads", poster.context.counters().threads as i64, 1)?;
                drop(write);
                check(reader, &bytes)?;
            }
        }
    }
    Ok(())
}

/// The descriptors of this process.
fn descriptors() -> Result<i64, String> {
    let path = "/proc/self/fd";
    let list = std::fs::read_dir(path).map_err(|why| format!("{path}: {why}"))?;
    Ok(list.count() as i64)
}

fn accepts(_: &mut Place) -> Result<(), String> {
    for mode in MODES {
        let name = format!("sock{mode:?}");
        for listener in listeners(&name)? {
            let mut poster = Poster::new(mode)?;
            let before = descriptors()?;
            let mut left = std::collections::BTreeSet::new();
            for _ in 0..10 {
                left.insert(post_accept(&mut poster, &listener)?);
            }
            if mode == crate::client::Mode::Caller {
                poster
                    .context
                    .wait(0, None)
                    .map_err(|why| why.to_string())?;
            }
            settled(&poster.context)?;
            expect("descriptors", descriptors()?, before)?;
            for round in 0..10 {
                let other = connection(&listener, &name)?;
                let done = poster.complete()?;
                ensure(left.remove(&done.index), "an entry completed twice")?;
                let accepted = done.ret;
                ensure(accepted >= 0, format!("accept4 gave {accepted}"))?;
                // SAFETY: the call has just returned this descriptor.
                let accepted = unsafe { OwnedFd::from_raw_fd(accepted as RawFd) };
                put(&other, round + 1)?;
                let (got, _) = poster.read(accepted.as_raw_fd(), 100)?;
                expect("read", got, round as i64 + 1)?;
            }
            settled(&poster.context)?;
            expect("descriptors", descriptors()?, before)?;
        }
    }
    Ok(())
}

fn cancelled_accept(_: &mut Place) -> Result<(), String> {
    for listener in listeners("sock")? {
        let mut poster = single()?;
        let before = descriptors()?;
        let stays = post_accept(&mut poster, &listener)?;
        let goes = post_accept(&mut poster, &listener)?;
        settled(&poster.context)?;
        let answer = cancel(&poster.context, goes, 0);
        let done = poster.complete()?;
        ensure(done.index == goes, format!("{done:?} came first"))?;
        expect("accept4", done.ret, -i64::from(libc::ECANCELED))?;
        expect("cancel", answer, 0)?;
        let others = [
            connection(&listener, "sock")?,
            connection(&listener, "sock")?,
        ];
        let done = poster.complete()?;
        expect("the entry that completes", done.index.into(), stays.into())?;
        ensure(done.ret >= 0, format!("accept4 gave {}", done.ret))?;
        let index = post_accept(&mut poster, &listener)?;
        let again = poster.complete()?;
        expect("the entry that completes", again.index.into(), index.into())?;
        ensure(again.ret >= 0, format!("accept4 gave {}", again.ret))?;
        for fd in [done.ret, again.ret] {
            expect("close", poster.close(fd as RawFd)?, 0)?;
        }
        drop(others);
        expect("descriptors", descriptors()?, before)?;
    }
    Ok(())
}

/// An IPv4 socket that is not connected.
fn stream() -> Result<OwnedFd, String> {
    // SAFETY: no pointers.
    let ret = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    let ret = libc_ok("socket", ret.into())?;
    // SAFETY: the call has just returned this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(ret as RawFd) })
}

/// The address of a port on the loopback, never freed, for connect.
pub fn address(family: i32, port: u16) -> [u64; 2] {
    let address = Box::leak(Box::new(libc::sockaddr_in {
        sin_family: family as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be(),
        },
        sin_zero: [0; 8],
    }));
    [
        std::ptr::from_mut(address) as u64,
        size_of::<libc::sockaddr_in>() as u64,
    ]
}

fn connects(_: &mut Place) -> Result<(), String> {
    loopback()?;
    for mode in MODES {
        let mut poster = Poster::new(mode)?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
        let port = listener.local_addr().map_err(|why| why.to_string())?.port();
        let [at, len] = address(libc::AF_INET, port);
        for _ in 0..5 {
            let one = stream()?;
            expect(
                "connect",
                poster.call(libc::SYS_connect, &[fd(&one), at, len])?,
                0,
            )?;
            let (other, _) = listener.accept().map_err(|why| why.to_string())?;
            put(&one, 3)?;
            expect("read", poster.read(other.as_raw_fd(), 8)?.0, 3)?;
            let again = poster.call(libc::SYS_connect, &[fd(&one), at, len])?;
            expect("connect again", again, -i64::from(libc::EISCONN))?;
        }
        drop(listener);
        for _ in 0..5 {
            let one = stream()?;
            let ret = poster.call(libc::SYS_connect, &[fd(&one), at, len])?;
            expect("connect to nobody", ret, -i64::from(libc::ECONNREFUSED))?;
        }
        expect("threads", poster.context.counters().threads as i64, 1)?;
    }
    Ok(())
}

/// A listener that takes one connection and leaves others waiting for their second try, its port,
/// and the connection.
///
/// # Errors
/// The error of making it, as text.
pub fn full_listener() -> Result<(TcpListener, u16, Vec<TcpStream>), String> {
    loopback()?;
    let make = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // SAFETY: no pointers; a listening socket may be told another length.
        unsafe { libc::listen(listener.as_raw_fd(), 0) };
        let address = listener.local_addr()?;
        let first = TcpStream::connect(address)?;
        std::io::Result::Ok((listener, address.port(), vec![first]))
    };
    make().map_err(|why| format!("listener: {why}"))
}

fn slow_connect(_: &mut Place) -> Result<(), String> {
    let (listener, port, _first) = full_listener()?;
    let [at, len] = address(libc::AF_INET, port);
    let mut poster = single()?;
    let (goes, stays) = (stream()?, stream()?);
    let cancelled = poster.post(libc::SYS_connect, &[fd(&goes), at, len])?;
    let waits = poster.post(libc::SYS_connect, &[fd(&stays), at, len])?;
    nothing_done(&mut poster)?;
    expect("cancel", cancel(&poster.context, cancelled, 0), 0)?;
    let done = poster.complete()?;
    expect(
        "the entry that completes",
        done.index.into(),
        cancelled.into(),
    )?;
    expect("connect", done.ret, -i64::from(libc::ECANCELED))?;
    drop(goes);
    // Room for one: it comes in with its second or third try.
    listener.accept().map_err(|why| why.to_string())?;
    let done = poster.complete()?;
    expect("the entry that completes", done.index.into(), waits.into())?;
    expect("connect", done.ret, 0)?;
    put(&stays, 3)?;
    expect("threads", poster.context.counters().threads as i64, 1)
}
