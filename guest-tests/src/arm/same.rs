// SPDX-License-Identifier: MIT OR Apache-2.0
//! Socket calls that wait end as the plain call does in the same place.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use libflexsc::sys as abi;

use super::ends::{loopback, put, tcp};
use super::idle::figure;
use super::sockets::{address, full_listener, leak};
use crate::cancel::request::{result_of, single, take};
use crate::client::plain;
use crate::options::with_faults;
use crate::posted::{Poster, ensure, libc_ok, six};
use crate::suite::{Behaviour, Place, skip, until};
use crate::world::Ret;

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    list.push(Behaviour {
        name: "waits_end_as_those_of_the_plain_call",
        run: same,
    });
}

/// Makes a call, does something as soon as it waits, and returns its result.
type Blocked<'a> = &'a mut dyn FnMut(libc::c_long, &[u64], &mut dyn FnMut()) -> Result<i64, String>;

/// What is seen of one story.
type Seen = Result<Vec<i64>, String>;

/// By the plain call, in a thread.
fn in_a_thread(nr: libc::c_long, args: &[u64], then: &mut dyn FnMut()) -> Result<i64, String> {
    let args = six(args);
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        // SAFETY: no pointers.
        let _ = tell.send(unsafe { libc::gettid() });
        // SAFETY: the stories pass pointers to memory that is never freed.
        unsafe { plain(nr as u16, args) }
    });
    let tid = told.recv().map_err(|why| why.to_string())?;
    let begins = format!("{nr} ");
    until("the thread waits in the call", || {
        let file = format!("/proc/self/task/{tid}/syscall");
        thread.is_finished()
            || std::fs::read_to_string(file).is_ok_and(|it| it.starts_with(&begins))
    })?;
    then();
    thread.join().map_err(|_| "the thread panicked".into())
}

/// Whether a system call thread sleeps in a call, and for something that a signal may end: for
/// memory or a lock it may sleep before the call has begun to wait.
fn blocks_a_thread() -> bool {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return false;
    };
    tasks.flatten().any(|task| {
        let text = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        // Between two entries they sleep in the loop that calls the module.
        text("comm").starts_with("flexsc")
            && text("status").contains("\nState:\tS")
            && !["", "0", "vhost_task_fn"].contains(&text("wchan").trim())
    })
}

/// Through a page with one thread.
fn posted(
    poster: &mut Poster,
    nr: libc::c_long,
    args: &[u64],
    then: &mut dyn FnMut(),
) -> Result<i64, String> {
    let index = poster.post(nr, args)?;
    until(
        "it is over, waits for its file, or blocks the thread",
        || {
            let context = &poster.context;
            let status = context.status(index).load(Ordering::Acquire);
            status == abi::DONE || figure(context, "flexsc-waiting") == Some(1) || blocks_a_thread()
        },
    )?;
    then();
    let done = take(poster, 1)?;
    result_of(&done, index)
}

fn fd(file: &impl AsRawFd) -> u64 {
    file.as_raw_fd() as u64
}

fn pair(kind: i32) -> Result<(OwnedFd, OwnedFd), String> {
    let mut ends = [0; 2];
    // SAFETY: room for the two descriptors.
    let ret = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
    libc_ok("socketpair", ret.into())?;
    // SAFETY: the call has just returned both.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

fn option(file: &OwnedFd, name: i32, value: i32) -> Result<(), String> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the option is a number of the size given.
    let ret = unsafe {
        let at = (&raw const value).cast();
        libc::setsockopt(file.as_raw_fd(), libc::SOL_SOCKET, name, at, size)
    };
    libc_ok("setsockopt", ret.into()).map(|_| ())
}

/// SO_ERROR, which is then forgotten.
fn error(file: &OwnedFd) -> i64 {
    let (mut value, mut size) = (0_i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: room for a number, and its size.
    unsafe {
        let at = (&raw mut value).cast();
        libc::getsockopt(
            file.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            at,
            &raw mut size,
        );
    }
    value.into()
}

/// The plain call.
fn now(nr: libc::c_long, args: &[u64]) -> i64 {
    // SAFETY: the stories pass pointers to memory that is never freed.
    unsafe { plain(nr as u16, six(args)) }
}

const BIG: usize = 8 << 20;
const NOW: u64 = libc::MSG_DONTWAIT as u64;

fn send_args(file: &OwnedFd, len: usize, flags: u64) -> [u64; 6] {
    [fd(file), leak(len) as u64, len as u64, flags, 0, 0]
}

/// Closes a TCP connection so that the other side is reset.
fn reset(file: OwnedFd) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the option is a live structure of the size given.
    unsafe {
        let at = (&raw const linger).cast();
        libc::setsockopt(
            file.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            at,
            size,
        );
    }
    drop(file);
}

/// A send that has not sent anything, and one that has, when the other side goes with bytes unread.
fn unix_send(blocked: Blocked) -> Seen {
    let mut seen = Vec::new();
    for full in [false, true] {
        for nr in [libc::SYS_sendto, libc::SYS_write] {
            let (one, other) = pair(libc::SOCK_STREAM)?;
            while full && now(libc::SYS_sendto, &send_args(&one, 1000, NOW)) > 0 {}
            let mut other = Some(other);
            let ret = blocked(nr, &send_args(&one, BIG, 0), &mut || drop(other.take()))?;
            seen.extend([ret, error(&one)]);
            seen.push(now(libc::SYS_sendto, &send_args(&one, 1, NOW)));
            seen.push(now(libc::SYS_recvfrom, &send_args(&one, 1, NOW)));
        }
    }
    Ok(seen)
}

fn tcp_send(blocked: Blocked) -> Seen {
    let mut seen = Vec::new();
    for nr in [libc::SYS_sendto, libc::SYS_write] {
        let (one, other) = tcp("127.0.0.1")?;
        let mut other = Some(other);
        let mut then = || {
            if let Some(other) = other.take() {
                reset(other);
            }
        };
        let ret = blocked(nr, &send_args(&one, BIG, 0), &mut then)?;
        // How much fits depends on the time.
        seen.extend([i64::from(ret > 0), error(&one)]);
        seen.push(now(libc::SYS_sendto, &send_args(&one, 1, NOW)));
    }
    Ok(seen)
}

/// What the other side's end means to who receives.
fn receive_end(blocked: Blocked) -> Seen {
    let mut seen = Vec::new();
    for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
        let (one, other) = pair(kind)?;
        let mut other = Some(other);
        seen.push(blocked(
            libc::SYS_recvfrom,
            &send_args(&one, 8, 0),
            &mut || drop(other.take()),
        )?);
    }
    for abrupt in [false, true] {
        let (one, other) = tcp("127.0.0.1")?;
        let mut other = Some(other);
        let mut then = || match other.take() {
            Some(other) if abrupt => reset(other),
            other => drop(other),
        };
        seen.push(blocked(
            libc::SYS_recvfrom,
            &send_args(&one, 8, 0),
            &mut then,
        )?);
        seen.push(error(&one));
    }
    Ok(seen)
}

/// The end of the socket's own reading side.
fn shut_down(blocked: Blocked) -> Seen {
    let mut seen = Vec::new();
    let tcp = tcp("127.0.0.1")?;
    for (one, _other) in [
        pair(libc::SOCK_DGRAM)?,
        pair(libc::SOCK_STREAM)?,
        pair(libc::SOCK_SEQPACKET)?,
        tcp,
    ] {
        let mut then = || {
            now(libc::SYS_shutdown, &[fd(&one), libc::SHUT_RD as u64]);
        };
        seen.push(blocked(
            libc::SYS_recvfrom,
            &send_args(&one, 8, 0),
            &mut then,
        )?);
    }
    for family in [libc::AF_INET, libc::AF_UNIX] {
        // SAFETY: no pointers.
        let ret = unsafe { libc::socket(family, libc::SOCK_STREAM, 0) };
        let ret = libc_ok("socket", ret.into())?;
        // SAFETY: the call has just returned this descriptor.
        let listener = unsafe { OwnedFd::from_raw_fd(ret as RawFd) };
        // A name of two bytes alone asks for any.
        let length = if family == libc::AF_UNIX { 2 } else { 16 };
        let any = address(family, 0);
        seen.push(now(libc::SYS_bind, &[fd(&listener), any[0], length]));
        seen.push(now(libc::SYS_listen, &[fd(&listener), 5]));
        let mut then = || {
            now(libc::SYS_shutdown, &[fd(&listener), libc::SHUT_RDWR as u64]);
        };
        seen.push(blocked(
            libc::SYS_accept4,
            &[fd(&listener), 0, 0, 0],
            &mut then,
        )?);
    }
    Ok(seen)
}

/// An error that comes from the network.
fn refused(blocked: Blocked) -> Seen {
    let one = UdpSocket::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    let gone = UdpSocket::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    let there = gone.local_addr().map_err(|why| why.to_string())?;
    drop(gone);
    one.connect(there).map_err(|why| why.to_string())?;
    let one = OwnedFd::from(one);
    let mut then = || {
        now(libc::SYS_sendto, &send_args(&one, 1, NOW));
    };
    let ret = blocked(libc::SYS_recvfrom, &send_args(&one, 8, 0), &mut then)?;
    Ok(vec![ret, error(&one)])
}

/// Flags and marks that change what is waited for.
fn marks(blocked: Blocked) -> Seen {
    let mut seen = Vec::new();
    for (one, other) in [pair(libc::SOCK_STREAM)?, tcp("127.0.0.1")?] {
        let mut twice = || {
            let _ = put(&other, 2);
            std::thread::sleep(Duration::from_millis(20));
            let _ = put(&other, 2);
        };
        for flags in [libc::MSG_PEEK, libc::MSG_WAITALL] {
            let args = send_args(&one, 4, flags as u64);
            let ret = blocked(libc::SYS_recvfrom, &args, &mut twice)?;
            // Whoever peeks may be late, and see all.
            let most = if flags == libc::MSG_PEEK { 2 } else { 4 };
            seen.push(ret.min(most));
            while now(libc::SYS_recvfrom, &send_args(&one, 8, NOW)) > 0 {}
        }
        option(&one, libc::SO_RCVLOWAT, 4)?;
        seen.push(blocked(
            libc::SYS_recvfrom,
            &send_args(&one, 8, 0),
            &mut twice,
        )?);
        option(&one, libc::SO_RCVLOWAT, 1)?;
        let args = send_args(&one, 4, libc::MSG_OOB as u64);
        seen.push(blocked(libc::SYS_recvfrom, &args, &mut || {})?);
    }
    let udp = UdpSocket::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    let udp = OwnedFd::from(udp);
    let args = send_args(&udp, 4, libc::MSG_ERRQUEUE as u64);
    seen.push(blocked(libc::SYS_recvfrom, &args, &mut || {})?);
    // One that listens, and one whose other side is gone already.
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|why| why.to_string())?;
    let (gone, other) = pair(libc::SOCK_STREAM)?;
    drop(other);
    for file in [OwnedFd::from(listener), gone] {
        seen.push(blocked(
            libc::SYS_recvfrom,
            &send_args(&file, 4, 0),
            &mut || {},
        )?);
    }
    Ok(seen)
}

/// A connect that waits, made unconnected by somebody else.
fn disconnected(blocked: Blocked) -> Seen {
    let (_listener, port, _first) = full_listener()?;
    // SAFETY: no pointers.
    let ret = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
    let ret = libc_ok("socket", ret.into())?;
    // SAFETY: the call has just returned this descriptor.
    let one = unsafe { OwnedFd::from_raw_fd(ret as RawFd) };
    let [at, len] = address(libc::AF_INET, port);
    let [nowhere, _] = address(libc::AF_UNSPEC, 0);
    let mut then = || {
        now(libc::SYS_connect, &[fd(&one), nowhere, len]);
    };
    let ret = blocked(libc::SYS_connect, &[fd(&one), at, len], &mut then)?;
    Ok(vec![ret, error(&one)])
}

/// A story, told once by plain calls and once by posted ones.
type Story = fn(Blocked) -> Seen;

const STORIES: [(&str, Story); 7] = [
    ("a send whose reader goes", unix_send),
    ("a send that is reset", tcp_send),
    ("a receive whose writer goes", receive_end),
    ("a socket that is shut down", shut_down),
    ("an error of the network", refused),
    ("flags and marks", marks),
    ("a connect that is undone", disconnected),
];

fn same(_: &mut Place) -> Result<(), String> {
    if with_faults() {
        return skip("its plain calls end otherwise each time where allocations fail");
    }
    loopback()?;
    // The plain call raises it.
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let mut poster = single()?;
    for (name, story) in STORIES {
        let want = story(&mut in_a_thread).map_err(|why| format!("{name}, plain: {why}"))?;
        let is = story(&mut |nr, args, then| posted(&mut poster, nr, args, then))
            .map_err(|why| format!("{name}, posted: {why}"))?;
        let text = |list: &[i64]| {
            let list: Vec<_> = list.iter().map(|one| Ret(*one).to_string()).collect();
            list.join(", ")
        };
        ensure(
            is == want,
            format!("{name}: {}; plain calls: {}", text(&is), text(&want)),
        )?;
    }
    Ok(())
}
