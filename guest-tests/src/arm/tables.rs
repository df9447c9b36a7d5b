// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that have left the process's table of descriptors, and what is of the table alone.

use std::fs;
use std::os::fd::AsRawFd;

use libflexsc::sys as abi;

use super::taken::{let_go, post_taken};
use crate::cancel::request::{asleep, result_of, single, take};
use crate::client::{Context, Mode, ioctl, open_device, setup_request};
use crate::posted::{Poster, ensure, expect, libc_ok, six};
use crate::suite::{Behaviour, Place, outcome};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("what_another_table_names_is_not_taken", another);
    one("a_caller_with_another_table_executes_nothing", away);
    one("a_closed_descriptor_has_no_flag", closed);
}

/// Calls `body` in a thread that has a table of its own, where `number` names `file`.
fn apart<T: Send>(
    number: i32,
    file: &fs::File,
    body: impl FnOnce() -> T + Send,
) -> Result<T, String> {
    let (from, to) = (file.as_raw_fd(), number);
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // SAFETY: only this thread's table changes.
            let ret = unsafe { libc::unshare(libc::CLONE_FILES) };
            libc_ok("unshare", ret.into())?;
            // SAFETY: as above.
            let ret = unsafe { libc::dup2(from, to) };
            libc_ok("dup2", ret.into())?;
            Ok(body())
        });
        thread.join().map_err(|_| "the thread panicked")?
    })
}

/// A context that nobody looks at until somebody asks for it.
fn unattended() -> Result<Poster, String> {
    let mut request = setup_request(abi::MIN_ENTRIES);
    request.spin_us = 0;
    let context = open_device()
        .and_then(|device| Context::new(device, request))
        .map_err(|why| why.to_string())?;
    Ok(Poster::with(context, Mode::Lanes))
}

/// A write to the process's file is posted, and a thread whose number 9, say, is another file asks for it by `ask`, which is
/// given the context's descriptor.
fn asked_from_apart(
    place: &mut Place,
    ask: impl FnOnce(i32) -> Result<(), String> + Send,
) -> Result<(), String> {
    let [ours, theirs] = ["ours", "theirs"].map(|name| place.file(name, b""));
    let (ours, theirs) = (fs::File::from(ours?), fs::File::from(theirs?));
    let mut poster = unattended()?;
    let (fd, number) = (poster.context.fd(), ours.as_raw_fd());
    let args = [number as u64, b"word".as_ptr() as u64, 4, 0];
    let index = poster
        .context
        .post(libc::SYS_pwrite64 as u16, six(&args))
        .ok_or("no entry is free")?;
    apart(number, &theirs, || ask(fd))??;
    let done = take(&mut poster, 1)?;
    expect("write", result_of(&done, index)?, 4)?;
    let length = |file: &fs::File| file.metadata().map(|data| data.len() as i64);
    let lengths = [length(&ours), length(&theirs)].map(|length| length.unwrap_or(-1));
    ensure(
        lengths == [4, 0],
        format!(
            "the process's file has {} bytes, the thread's {}",
            lengths[0], lengths[1]
        ),
    )
}

/// The entry is taken by a cancel.
fn another(place: &mut Place) -> Result<(), String> {
    asked_from_apart(place, |fd| {
        let mut request = abi::Cancel {
            index: u32::MAX,
            flags: 0,
            __reserved: [0; 2],
        };
        let asked = outcome(ioctl(fd, abi::IOC_CANCEL, &mut request));
        expect("cancel of no entry", asked, -i64::from(libc::ENOENT))
    })
}

/// The entry is left to a lane by a wait, which returns when it is complete.
fn away(place: &mut Place) -> Result<(), String> {
    for min_complete in [1, 0] {
        asked_from_apart(place, |fd| {
            let mut wait = abi::Wait {
                min_complete,
                flags: 0,
                timeout_ns: -1,
            };
            let waited = outcome(ioctl(fd, abi::IOC_WAIT, &mut wait));
            ensure(
                waited >= min_complete.into(),
                format!("wait for {min_complete} gave {waited}"),
            )
        })?;
    }
    Ok(())
}

/// Its number names nothing any more when the call is made, though the entry holds the file.
fn closed(place: &mut Place) -> Result<(), String> {
    for (command, argument) in [(libc::F_GETFD, 0), (libc::F_SETFD, libc::FD_CLOEXEC)] {
        let mut poster = single()?;
        let name = format!("fifo{command}");
        let blocked = asleep(&mut poster, &name)?;
        let file = place.file("file", b"")?;
        // A number that nothing else gets meanwhile.
        // SAFETY: no memory is involved.
        let number = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 300) };
        let number = libc_ok("a high number", number.into())? as i32;
        let args = [number as u64, command as u64, argument as u64];
        let asked = post_taken(&mut poster, libc::SYS_fcntl, &args)?;
        // SAFETY: nobody else has it.
        libc_ok("close", unsafe { libc::close(number) }.into())?;
        let _writer = let_go(&name)?;
        let done = take(&mut poster, 2)?;
        ensure(result_of(&done, blocked)? >= 0, "the FIFO was not opened")?;
        expect("fcntl", result_of(&done, asked)?, -i64::from(libc::EBADF))?;
    }
    Ok(())
}
