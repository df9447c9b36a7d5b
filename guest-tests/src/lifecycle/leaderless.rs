// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process that goes on when its main thread, the group leader, is gone, and with it perhaps everybody whose credentials
//! and tables the calls of a context would have.

use std::fs;
use std::os::fd::AsRawFd;

use super::change::{check_unshared_files, check_unshared_network, check_user, secret};
use super::{Behaviour, Place};
use crate::client::{Lane, Mode};
use crate::posted::{MODES, Poster, ensure, expect, libc_ok};
use crate::process::survived;
use crate::tree::USER;

/// Adds the behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    for (name, run) in [
        (
            "the_dead_lend_no_credentials",
            credentials as fn(&Place) -> _,
        ),
        ("the_dead_lend_no_descriptors", descriptors),
        ("the_dead_lend_no_network", network),
        ("a_survivor_has_a_context_of_its_own", own_context),
    ] {
        list.push(Behaviour { name, run });
    }
}

/// Contexts that a thread sets up which is gone afterwards: for both ways of waiting one of the main thread's and one of
/// another's.
fn contexts() -> Result<Vec<Poster>, String> {
    let make = || -> Result<Vec<Poster>, String> { MODES.map(Poster::new).into_iter().collect() };
    let mut posters = make()?;
    let others = std::thread::spawn(make).join();
    posters.extend(others.map_err(|_| "the thread panicked")??);
    for poster in &mut posters {
        poster.nop()?;
    }
    Ok(posters)
}

/// Nobody executes a call but, in his own name, the caller.
fn only_the_caller_executes(poster: &mut Poster, fd: i32) -> Result<(), String> {
    let want = match poster.mode() {
        Mode::Lanes => Lane::HandedBack,
        Mode::Caller => Lane::Caller,
    };
    for (nr, args) in [
        (libc::SYS_lseek, [fd as u64, 0, 0]),
        (
            libc::SYS_socket,
            [libc::AF_UNIX as u64, libc::SOCK_STREAM as u64, 0],
        ),
    ] {
        let done = poster.entry(nr, &args)?;
        ensure(
            done.lane == want,
            format!("call {nr} was executed in {:?}, not {want:?}", done.lane),
        )?;
    }
    Ok(())
}

fn credentials(place: &Place) -> Result<(), String> {
    let file = secret(place)?;
    survived(contexts, move |mut posters| {
        // The raw call changes the calling thread alone, which is the only one that is left.
        // SAFETY: no memory is involved.
        let ret = unsafe { libc::syscall(libc::SYS_setresuid, USER, USER, USER) };
        libc_ok("setresuid", ret)?;
        for poster in &mut posters {
            check_user(poster, file.as_raw_fd())?;
            only_the_caller_executes(poster, file.as_raw_fd())?;
        }
        Ok(())
    })
}

fn descriptors(_: &Place) -> Result<(), String> {
    fs::write("before", "before").map_err(|why| why.to_string())?;
    fs::write("after", "after").map_err(|why| why.to_string())?;
    survived(contexts, |mut posters| {
        for poster in &mut posters {
            let file = fs::File::open("before").map_err(|why| why.to_string())?;
            check_unshared_files(poster, &file)?;
        }
        Ok(())
    })
}

fn network(_: &Place) -> Result<(), String> {
    survived(contexts, |mut posters| {
        for poster in &mut posters {
            check_unshared_network(poster)?;
        }
        Ok(())
    })
}

/// What the survivor sets up itself is executed as ever.
fn own_context(place: &Place) -> Result<(), String> {
    place.file("content", b"still here")?;
    survived(
        || Ok(()),
        |()| {
            let mut poster = Poster::new(Mode::Lanes)?;
            for _ in 0..20 {
                let fd = poster.open(c"content", libc::O_RDONLY)?;
                ensure(fd >= 0, format!("openat gave {fd}"))?;
                expect("pread64", poster.pread(fd as i32, 100)?.0, 10)?;
                expect("close", poster.close(fd as i32)?, 0)?;
            }
            let back = poster.context.counters().handed_back;
            expect("handed back", back as i64, 0)
        },
    )
}
