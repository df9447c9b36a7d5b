// SPDX-License-Identifier: MIT OR Apache-2.0
//! What io_uring makes, what its pool makes, and how often the kernel is entered for it.
#![cfg(not(loom))]

mod common;

use std::{
    fs::File,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::Duration,
};

use common::{Dir, context, context_with, open_files, pipe, start, there_is, write};
use libflexsc::{
    At, Cancel, Context, Errno, On, Operation, SharedFd,
    backend::Kind,
    op::{
        Close, Fstat, Fsync, Getdents64, Getppid, Lseek, Mkdirat, Nop, Openat, Poll, Pread, Pwrite,
        Raw, Read, Statx, Unlinkat, Write,
    },
};

const KIND: Kind = Kind::IoUring;

/// How many of the calls made by this io_uring has made, and its pool.
fn made(context: &Context, what: impl FnOnce()) -> (u64, u64) {
    let before = context.stats();
    what();
    let after = context.stats();
    (
        after.entries_w - before.entries_w,
        after.entries_t - before.entries_t,
    )
}

#[test]
fn exact_calls_are_io_urings_and_others_the_pools() {
    if !there_is(KIND, "exact_calls_are_io_urings_and_others_the_pools") {
        return;
    }
    let (context, dir) = (context(KIND), Dir::new());
    dir.write("file", b"some bytes");
    let file = dir.open("file");
    let ring = made(&context, || {
        assert_eq!(context.run(Nop::new()), Ok(0));
        assert_eq!(context.run(Pread::new(&file, vec![0; 4], 5)).0, Ok(4));
        assert_eq!(context.run(Pwrite::new(&file, b"S".to_vec(), 0)).0, Ok(1));
        assert_eq!(context.run(Fsync::new(&file)), Ok(()));
        let stat = Statx::new(At::Cwd, dir.c("file"), 0, libc::STATX_BASIC_STATS);
        assert_eq!(context.run(stat).unwrap().size(), 10);
        let open = Openat::new(At::Cwd, dir.c("file"), libc::O_RDONLY | libc::O_CLOEXEC, 0);
        assert!(context.run(open).is_ok());
        let make = Mkdirat::new(At::Cwd, dir.c("new"), 0o700);
        assert_eq!(context.run(make), Ok(()));
        let remove = Unlinkat::new(At::Cwd, dir.c("new"), libc::AT_REMOVEDIR);
        assert_eq!(context.run(remove), Ok(()));
        let (reader, writer) = pipe();
        write(&writer, b"x");
        let poll = Poll::new(&reader, libc::POLLIN);
        assert_eq!(context.run(poll), Ok(libc::POLLIN));
        assert_eq!(context.run(Read::new(reader, vec![0; 1])).0, Ok(1));
    });
    assert_eq!(ring, (10, 0));
    let pool = made(&context, || {
        assert!(context.run(Getppid::new()).is_ok());
        assert_eq!(context.run(Lseek::new(&file, 0, libc::SEEK_SET)), Ok(0));
        // At the position of a file, and of none.
        assert_eq!(context.run(Read::new(&file, vec![0; 4])).0, Ok(4));
        assert_eq!(context.run(Write::new(&file, b"x".to_vec())).0, Ok(1));
        let (reader, _writer) = pipe();
        assert!(context.run(Pread::new(reader, vec![0; 4], 0)).0.is_err());
        assert!(context.run(Fstat::new(&file)).is_ok());
        let dir = SharedFd::from(File::open(dir.path()).unwrap());
        assert!(context.run(Getdents64::new(dir, 1000)).is_ok());
        // SAFETY: The call takes no pointer.
        let event = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC) };
        assert!(event >= 0);
        // SAFETY: The file was just opened and nobody owns it.
        let event = SharedFd::new(unsafe { OwnedFd::from_raw_fd(event) });
        assert_eq!(context.run(Read::new(&event, vec![0; 8])).0, Ok(8));
        assert_eq!(context.run(Close::new(event)), Ok(()));
    });
    assert_eq!(pool, (0, 9));
}

#[test]
fn many_calls_enter_io_uring_together() {
    if !there_is(KIND, "many_calls_enter_io_uring_together") {
        return;
    }
    let context = context_with(KIND, |options| options.entries(1024));
    let enters = |context: &Context| {
        let stats = context.stats();
        stats.kicks + stats.waits
    };
    let tickets: Vec<_> = (0..640).map(|_| context.post(Nop::new())).collect();
    let posted = enters(&context);
    assert_eq!(posted, 640 / 32);
    for ticket in tickets {
        assert_eq!(ticket.wait(&context), Ok(0));
    }
    assert_eq!(enters(&context), posted, "all are over by then");
    // One enter submits and waits.
    assert_eq!(context.run(Nop::new()), Ok(0));
    assert_eq!(enters(&context), posted + 1);
}

#[test]
fn call_that_sleeps_in_io_uring_is_interrupted() {
    if !there_is(KIND, "call_that_sleeps_in_io_uring_is_interrupted") {
        return;
    }
    let (context, dir) = (context(KIND), Dir::new());
    let fifo = dir.c("fifo");
    // SAFETY: The path is a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    // It waits for somebody who opens the other end.
    let open = || Openat::new(At::Cwd, fifo.clone(), libc::O_RDONLY | libc::O_CLOEXEC, 0);
    let ticket = context.post(open());
    start(&context);
    assert_ne!(context.cancel(&ticket), Cancel::Over);
    let errno = ticket.wait(&context).unwrap_err();
    // The other if it had not begun.
    assert!([Errno::EINTR, Errno::ECANCELED].contains(&errno), "{errno}");
    let late = context.run(open().timeout(Duration::from_millis(2)));
    assert_eq!(late.unwrap_err(), Errno::ETIME);
}

#[test]
fn cancelled_close_that_waits_for_the_pool_closes() {
    if !there_is(KIND, "cancelled_close_that_waits_for_the_pool_closes") {
        return;
    }
    let context = context_with(KIND, |options| options.threads(1));
    let dir = Dir::new();
    dir.write("file", b"");
    dir.write("lock", b"");
    let (held, other) = (dir.open("lock"), dir.open("lock"));
    // SAFETY: The call takes plain numbers.
    let lock = |how| unsafe { libc::flock(held.as_raw_fd(), how) };
    assert_eq!(lock(libc::LOCK_EX), 0);
    let args = [other.as_raw_fd() as u64, libc::LOCK_EX as u64, 0, 0, 0, 0];
    // The one thread of the pool waits in it.
    // SAFETY: The call takes plain numbers, and the file lives until its end.
    let waits = context.post(unsafe { Raw::new(libc::SYS_flock as u16, args) });
    start(&context);
    let open = Openat::new(At::Cwd, dir.c("file"), libc::O_RDONLY | libc::O_CLOEXEC, 0);
    let (open, close) = context.post_chain((open.for_chain(), Close::new(On::Chain)));
    assert_eq!(open.wait(&context), Ok(()));
    assert_eq!(open_files(&dir.join("file")), 1);
    assert_eq!(context.cancel(&close), Cancel::Cancelled);
    assert_eq!(close.wait(&context), Err(Errno::ECANCELED));
    assert_eq!(open_files(&dir.join("file")), 0);
    assert_eq!(lock(libc::LOCK_UN), 0);
    assert_eq!(waits.wait(&context), Ok(0));
}
