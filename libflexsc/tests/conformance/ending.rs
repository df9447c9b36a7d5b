// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cancelling, and limits to the time.

use std::time::Duration;

use libflexsc::{
    At, Cancel, Context, Errno, Operation, SharedFd,
    backend::Kind,
    op::{Close, Getppid, Mkdirat, Nop, Poll, Pread, Raw, Read, Write},
};

use crate::common::{Dir, LONG, context, fill, pipe, start, waiting, write};

/// Soon over, however long the machine takes for it.
const SHORT: Duration = Duration::from_millis(2);

/// An empty pipe is read after something else was: nothing is lost.
fn nothing_was_lost(context: &Context, reader: SharedFd, writer: &std::os::fd::OwnedFd) {
    write(writer, b"late");
    let read = context.run(Read::new(reader, vec![0; 16]));
    assert_eq!((read.0, &read.1[..4]), (Ok(4), &b"late"[..]));
}

pub(crate) fn cancel_of_a_finished_one_changes_nothing(kind: Kind) {
    let context = context(kind);
    let ticket = context.post(Getppid::new());
    while context.outstanding() > 0 {
        context.wait(1);
    }
    assert_eq!(context.cancel(&ticket), Cancel::Over);
    assert_eq!(context.cancel_all(), 0);
    assert_eq!(
        ticket.wait(&context),
        Ok(std::os::unix::process::parent_id() as i32)
    );
    let other = crate::common::context(kind);
    let ticket = other.post(Nop::new());
    assert_eq!(context.cancel(&ticket), Cancel::Over, "of another context");
    assert_eq!(ticket.wait(&other), Ok(0));
}

pub(crate) fn cancelled_read_gives_its_buffer_back(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    // At once, and when it was begun.
    for begun in [false, true] {
        let ticket = context.post(Read::new(&reader, vec![7; 16]));
        if begun {
            start(&context);
        }
        // Running if somebody is about to let it wait.
        assert_ne!(context.cancel(&ticket), Cancel::Over);
        assert_eq!(
            ticket.wait(&context),
            (Err(Errno::ECANCELED), vec![7; 16]),
            "begun: {begun}"
        );
    }
    nothing_was_lost(&context, reader, &writer);
}

pub(crate) fn cancelled_write_gives_what_it_has_written(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let ticket = context.post(Write::new(SharedFd::new(writer), vec![1; 1 << 20]));
    context.flush();
    while waiting(&reader) < 1 << 16 {
        std::thread::yield_now();
    }
    assert_ne!(context.cancel(&ticket), Cancel::Over);
    assert_eq!(ticket.wait(&context).0, Ok(1 << 16));
}

pub(crate) fn cancelled_operation_that_was_queued_has_no_effect(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let (reader, writer) = pipe();
    let reads = fill(&context, &reader);
    let queued = context.post(Mkdirat::new(At::Cwd, dir.c("queued"), 0o700));
    assert_eq!(context.stats().queued, 1);
    assert_eq!(context.cancel(&queued), Cancel::Cancelled);
    assert_eq!(context.cancel(&queued), Cancel::Over);
    write(&writer, &vec![0; reads.len()]);
    for read in reads {
        assert_eq!(read.wait(&context).0, Ok(1));
    }
    assert_eq!(queued.wait(&context), Err(Errno::ECANCELED));
    assert!(!dir.join("queued").exists());
}

pub(crate) fn cancelled_close_that_was_queued_closes(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let reads = fill(&context, &reader);
    let (other_reader, other_writer) = pipe();
    let close = context.post(Close::new(SharedFd::new(other_writer)));
    assert_eq!(context.cancel(&close), Cancel::Cancelled);
    assert_eq!(close.wait(&context), Err(Errno::ECANCELED));
    drop(writer);
    for read in reads {
        assert_eq!(read.wait(&context).0, Ok(0));
    }
    assert_eq!(context.run(Read::new(other_reader, vec![0; 1])).0, Ok(0));
}

pub(crate) fn cancel_all_ends_all_that_wait(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let reads = 2 * context.capacity();
    let polls: Vec<_> = (0..10)
        .map(|_| context.post(Poll::new(&reader, libc::POLLIN)))
        .collect();
    let reads: Vec<_> = (0..reads)
        .map(|_| context.post(Read::new(&reader, vec![0; 1])))
        .collect();
    assert_eq!(context.cancel_all(), polls.len() + reads.len());
    for poll in polls {
        assert_eq!(poll.wait(&context), Err(Errno::ECANCELED));
    }
    for read in reads {
        assert_eq!(read.wait(&context).0, Err(Errno::ECANCELED));
    }
    assert_eq!(context.outstanding(), 0);
    nothing_was_lost(&context, reader, &writer);
}

pub(crate) fn read_ends_at_its_time(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let read = Read::new(&reader, vec![7; 16]).timeout(SHORT);
    assert_eq!(context.run(read), (Err(Errno::ETIME), vec![7; 16]));
    // The shorter one counts.
    let read = Read::new(&reader, vec![7; 16]).timeout(SHORT).timeout(LONG);
    assert_eq!(context.run(read).0, Err(Errno::ETIME));
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let one = SharedFd::new(std::os::fd::OwnedFd::from(one));
    let read = Read::new(&one, vec![7; 16]).timeout(SHORT);
    assert_eq!(context.run(read), (Err(Errno::ETIME), vec![7; 16]));
    drop(other);
    nothing_was_lost(&context, reader, &writer);
}

pub(crate) fn limit_of_nothing_executes_nothing(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let make = Mkdirat::new(At::Cwd, dir.c("made"), 0o700);
    assert_eq!(context.run(make.timeout(Duration::ZERO)), Err(Errno::ETIME));
    assert!(!dir.join("made").exists());
}

pub(crate) fn limit_that_is_not_reached_changes_nothing(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let (reader, writer) = pipe();
    write(&writer, b"here");
    let read = Read::new(&reader, vec![0; 4]).timeout(LONG);
    assert_eq!(context.run(read), (Ok(4), b"here".to_vec()));
    dir.write("file", b"some bytes");
    let read = Pread::new(dir.open("file"), vec![0; 5], 5).timeout(LONG);
    assert_eq!(context.run(read), (Ok(5), b"bytes".to_vec()));
    let make = Mkdirat::new(At::Cwd, dir.c("made"), 0o700).timeout(LONG);
    assert_eq!(context.run(make), Ok(()));
    assert!(dir.join("made").exists());
    // A close has none.
    let close = Close::new(SharedFd::new(writer)).timeout(Duration::ZERO);
    assert_eq!(context.run(close), Ok(()));
    assert_eq!(context.run(Read::new(reader, vec![0; 1])).0, Ok(0));
}

pub(crate) fn sleep_ends_by_itself(kind: Kind) {
    let context = context(kind);
    let sleep = |clock: i32, tv_nsec| {
        let span = libc::timespec { tv_sec: 0, tv_nsec };
        let args = [clock as u64, 0, &raw const span as u64, 0, 0, 0];
        // SAFETY: The output is awaited here, and the span lives until then.
        context.run(unsafe { Raw::new(libc::SYS_clock_nanosleep as u16, args) })
    };
    for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME] {
        assert_eq!(sleep(clock, 0), Ok(0));
        assert_eq!(sleep(clock, 1_000_000), Ok(0));
        assert_eq!(sleep(clock, 1_000_000_000), Err(Errno::EINVAL));
        assert_eq!(sleep(clock, -1), Err(Errno::EINVAL));
    }
    assert_eq!(sleep(77, 0), Err(Errno::EINVAL));
}

pub(crate) fn limits_of_many_reads_are_kept(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let reads = (0..50).map(|_| Read::new(&reader, vec![0; 1]).timeout(SHORT));
    for (count, _) in context.run_all(reads) {
        assert_eq!(count, Err(Errno::ETIME));
    }
    nothing_was_lost(&context, reader, &writer);
}
