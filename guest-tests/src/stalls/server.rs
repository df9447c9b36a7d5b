// SPDX-License-Identifier: MIT OR Apache-2.0
//! File systems whose server does not answer, as of FUSE or of a network: whom that holds up, and what ends it.

use std::sync::atomic::Ordering;

use libflexsc::sys as abi;

use crate::cancel::request::cancel;
use crate::client::Mode;
use crate::fuse::{Mount, Server, available};
use crate::lanes::threads::{stuck_workers, threads_of};
use crate::lifecycle::blocking::others_complete;
use crate::lifecycle::ending::{ended, over};
use crate::lifecycle::{Behaviour, Place, SKIP};
use crate::posted::{Poster, ensure, expect};
use crate::process::{Child, End};
use crate::suite::until;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "a_stalled_file_system_holds_nobody",
            holds_nobody as fn(&Place) -> _,
        ),
        ("a_stalled_file_system_does_not_hold_a_cancel", cancelled),
        ("a_stalled_file_system_does_not_hold_a_close", closed),
        ("a_deaf_server_does_not_hold_an_exit", exits),
        ("a_deaf_server_does_not_hold_a_kill", kills),
        ("an_aborted_connection_ends_everything", aborted),
    ] {
        list.push(Behaviour { name, run });
    }
}

fn mount(place: &Place, server: Server) -> Result<Mount, String> {
    available(SKIP)?;
    Mount::new(&place.dir.join("stalled"), server)
}

/// Posts look-ups that the file system has to be asked for, and waits until they are begun.
fn post(poster: &mut Poster, count: usize) -> Result<Vec<u32>, String> {
    const NAMES: [&std::ffi::CStr; 3] = [c"stalled/one", c"stalled/two", c"stalled/three"];
    // What the calls write to stays.
    let stat: &'static mut [u8] = Box::leak(vec![0_u8; 256].into_boxed_slice());
    let mut entries = Vec::new();
    for name in &NAMES[..count] {
        let args = [
            libc::AT_FDCWD as u64,
            name.as_ptr() as u64,
            0,
            0x7ff,
            stat.as_mut_ptr() as u64,
        ];
        entries.push(poster.post(libc::SYS_statx, &args)?);
    }
    // Those that are posted later come after them in the queue.
    others_complete(poster, &entries, 3)?;
    Ok(entries)
}

/// Those entries complete, with one of `results`.
fn complete(poster: &mut Poster, entries: &[u32], results: &[i32]) -> Result<(), String> {
    let mut left = entries.to_vec();
    while !left.is_empty() {
        let done = poster.complete()?;
        let Some(place) = left.iter().position(|index| *index == done.index) else {
            return Err(format!("unexpected completion {done:?}"));
        };
        left.swap_remove(place);
        ensure(
            results.iter().any(|errno| done.ret == -i64::from(*errno)),
            format!("a stalled call gave {}", done.ret),
        )?;
    }
    Ok(())
}

fn holds_nobody(place: &Place) -> Result<(), String> {
    for count in 1..=3 {
        let mut mount = mount(place, Server::Stalls)?;
        let mut poster = Poster::new(Mode::Lanes)?;
        let stalled = post(&mut poster, count)?;
        others_complete(&mut poster, &stalled, 10 * place.rounds as u32)?;
        let threads = poster.context.counters().threads;
        ensure(
            threads > count as u64,
            format!("{threads} threads for {count} stalled calls"),
        )?;
        mount.release()?;
        complete(&mut poster, &stalled, &[libc::ENOENT])?;
    }
    Ok(())
}

fn cancelled(place: &Place) -> Result<(), String> {
    for server in [Server::Stalls, Server::Deaf] {
        let mut mount = mount(place, server)?;
        let mut poster = Poster::new(Mode::Lanes)?;
        let stalled = post(&mut poster, 2)?;
        for &index in &stalled {
            let answer = cancel(&poster.context, index, 0);
            expect("cancel", answer, -i64::from(libc::EALREADY))?;
        }
        let answer = cancel(&poster.context, 0, abi::CANCEL_ALL);
        expect("cancelling all", answer, stalled.len() as i64)?;
        // FUSE waits for its server even then, but nobody else does.
        others_complete(&mut poster, &stalled, 10 * place.rounds as u32)?;
        for &index in &stalled {
            let status = poster.context.status(index).load(Ordering::Acquire);
            expect("status", status.into(), abi::BUSY.into())?;
        }
        mount.release()?;
        complete(&mut poster, &stalled, &[libc::ENOENT, libc::EINTR])?;
    }
    Ok(())
}

fn closed(place: &Place) -> Result<(), String> {
    for server in [Server::Stalls, Server::Deaf] {
        let mut mount = mount(place, server)?;
        let mut poster = Poster::new(Mode::Lanes)?;
        // The first thread is in there, and another has been made for the others.
        post(&mut poster, 1)?;
        ensure(threads_of("self") > 1, "one thread alone")?;
        drop(poster);
        until("the other threads go", || threads_of("self") == 1)?;
        until("no worker waits for the thread", || stuck_workers() == 0)?;
        let mut poster = Poster::new(Mode::Lanes)?;
        others_complete(&mut poster, &[], 3)?;
        drop(poster);
        until("its thread goes", || threads_of("self") == 1)?;
        mount.release()?;
        until("the last thread goes", || threads_of("self") == 0)?;
    }
    Ok(())
}

/// What holds no exit also holds no process that executes another program.
fn exits(place: &Place) -> Result<(), String> {
    let _mount = mount(place, Server::Deaf)?;
    for _ in 0..place.rounds {
        let body = || {
            let mut poster = Poster::new(Mode::Lanes)?;
            post(&mut poster, 2)?;
            // SAFETY: no exit handler matters.
            unsafe { libc::_exit(17) }
        };
        ended(body, |_| (), End::Exit(17))?;
        let body = || {
            let mut poster = Poster::new(Mode::Lanes)?;
            post(&mut poster, 2)?;
            let arguments = [c"sh".as_ptr(), c"-c".as_ptr(), c"exit 18".as_ptr()];
            let [name, flag, command] = arguments;
            // SAFETY: NUL-terminated strings, and null at the end.
            unsafe {
                libc::execl(
                    c"/bin/sh".as_ptr(),
                    name,
                    flag,
                    command,
                    std::ptr::null::<u8>(),
                );
            }
            Err(format!("execl: {}", std::io::Error::last_os_error()))
        };
        ended(body, |_| (), End::Exit(18))?;
    }
    Ok(())
}

fn kills(place: &Place) -> Result<(), String> {
    let _mount = mount(place, Server::Deaf)?;
    for _ in 0..place.rounds {
        let body = || {
            let mut poster = Poster::new(Mode::Lanes)?;
            post(&mut poster, 2)?;
            std::mem::forget(poster);
            Ok(())
        };
        ended(
            body,
            |child| child.signal(libc::SIGKILL),
            End::Signal(libc::SIGKILL),
        )?;
        caller_killed()?;
    }
    Ok(())
}

/// A caller that executes the look-up itself, inside wait, is killed like one that makes the plain call.
fn caller_killed() -> Result<(), String> {
    let mut child = Child::spawn(|| {
        let mut stat = [0_u8; 256];
        let args = [
            libc::AT_FDCWD as u64,
            c"stalled/one".as_ptr() as u64,
            0,
            0x7ff,
            stat.as_mut_ptr() as u64,
        ];
        let ended = Poster::new(Mode::Caller).and_then(|mut one| one.call(libc::SYS_statx, &args));
        eprintln!("the caller went on: {ended:?}");
        1
    })
    .map_err(|why| why.to_string())?;
    let wchan = format!("/proc/{}/wchan", child.pid());
    until("the caller waits for the server", || {
        // The name depends on what the compiler has put into what.
        std::fs::read_to_string(&wchan)
            .is_ok_and(|place| place.contains("fuse") || place.contains("request_wait_answer"))
    })?;
    child.kill()
}

fn aborted(place: &Place) -> Result<(), String> {
    let mut mount = mount(place, Server::Stalls)?;
    let mut poster = Poster::new(Mode::Lanes)?;
    let stalled = post(&mut poster, 2)?;
    // A server that has taken a request holds whoever made it, also when that is killed: that is FUSE's way, with plain
    // calls as well. The end of the connection ends it.
    let body = || {
        let mut poster = Poster::new(Mode::Lanes)?;
        post(&mut poster, 2)?;
        std::mem::forget(poster);
        Ok(())
    };
    let kill = |child: &Child| {
        child.signal(libc::SIGKILL);
        mount.abort();
    };
    over(body, kill, End::Signal(libc::SIGKILL))?;
    complete(&mut poster, &stalled, &[libc::ECONNABORTED, libc::ENOTCONN])?;
    poster.nop()
}
