// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting until files are ready, once and again.

use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

use libflexsc::{
    Cancel, Context, Errno, Handle, Operation, SharedFd, Watch,
    backend::Kind,
    op::{Poll, Raw, Read, Write},
    sys,
    task::block_on,
};

use crate::common::{Dir, LONG, context, context_with, pipe, start, waiting, write};

const IN: i16 = libc::POLLIN;

pub(crate) fn poll_tells_what_is_there(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    let (reader, writer) = pipe();
    write(&writer, b"x");
    let writer = SharedFd::new(writer);
    assert_eq!(context.run(Poll::new(&reader, IN)), Ok(IN));
    let both = libc::POLLIN | libc::POLLOUT;
    assert_eq!(context.run(Poll::new(&writer, both)), Ok(libc::POLLOUT));
    dir.write("file", b"");
    assert_eq!(context.run(Poll::new(dir.open("file"), both)), Ok(both));
}

pub(crate) fn poll_waits_until_the_file_is_ready(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    // More than there are threads.
    let mut polls: Vec<_> = (0..40)
        .map(|_| context.post(Poll::new(&reader, IN)))
        .collect();
    start(&context);
    assert!(polls.iter_mut().all(|poll| poll.take(&context).is_none()));
    write(&writer, b"x");
    for poll in polls {
        assert_eq!(poll.wait(&context), Ok(IN));
    }
}

pub(crate) fn poll_tells_a_hang_up(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    if kind == Kind::Direct {
        drop(writer);
        assert_eq!(context.run(Poll::new(&reader, IN)), Ok(libc::POLLHUP));
        return;
    }
    let poll = context.post(Poll::new(&reader, IN));
    start(&context);
    drop(writer);
    assert_eq!(poll.wait(&context), Ok(libc::POLLHUP));
}

pub(crate) fn poll_ends_at_its_time(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    for time in [Duration::ZERO, Duration::from_millis(2)] {
        let poll = Poll::new(&reader, IN).timeout(time);
        assert_eq!(context.run(poll), Err(Errno::ETIME));
    }
    write(&writer, b"x");
    assert_eq!(context.run(Poll::new(reader, IN).timeout(LONG)), Ok(IN));
}

pub(crate) fn poll_of_no_file(kind: Kind) {
    let context = context(kind);
    let (reader, _writer) = pipe();
    let poll = |fd, events| {
        // SAFETY: The call writes nowhere.
        context.run(unsafe { Raw::new(sys::NR_POLL, [fd, events, 0, 0, 0, 0]) })
    };
    assert_eq!(poll(-1_i64 as u64, 1), Err(Errno::EBADF));
    assert_eq!(poll(1 << 20, 1), Err(Errno::EBADF));
    let fd = reader.as_raw_fd() as u64;
    assert_eq!(poll(fd, 1 << 16), Err(Errno::EINVAL));
}

extern "C" fn nothing(_: i32) {}

pub(crate) fn signals_do_not_end_a_watch(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    // SAFETY: The handler does nothing; without SA_RESTART, so that calls are interrupted. The structure is one
    // of which all zeroes are valid.
    let waiter = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()),
            0
        );
        libc::pthread_self()
    };
    let mut watch = context.watch(&reader, IN);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(1));
                // SAFETY: That thread waits for this one.
                assert_eq!(unsafe { libc::pthread_kill(waiter, libc::SIGUSR2) }, 0);
            }
            write(&writer, b"x");
        });
        assert_eq!(watch.wait(&context), Ok(IN));
    });
    watch.discard(&context);
}

pub(crate) fn watch_of_no_file(kind: Kind) {
    let context = context(kind);
    let (reader, _writer) = pipe();
    // A number that nobody else gets, also not the same test of another kind.
    let lowest = 900 + Kind::ALL.iter().position(|&other| other == kind).unwrap() as i32;
    // SAFETY: The call takes no pointer.
    let fd = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) };
    // SAFETY: The file was just opened and nobody owns it.
    let file = SharedFd::new(unsafe { OwnedFd::from_raw_fd(fd) });
    // SAFETY: The call takes no pointer. That the file of another is closed is the point.
    assert_eq!(unsafe { libc::close(fd) }, 0);
    let mut watch = context.watch(&file, IN);
    assert_eq!(watch.wait(&context), Err(Errno::EBADF));
    assert_eq!(watch.take(&context), None);
    let mut watch = context.watch(&file, IN);
    assert_eq!(end(&context, &mut watch), Errno::EBADF);
    // SAFETY: The call takes no pointer; the number is that of no file.
    let again = unsafe { libc::dup3(reader.as_raw_fd(), fd, libc::O_CLOEXEC) };
    assert_eq!(again, fd, "for the owner to close");
}

/// Waits for events until the pipe has bytes: a watch may tell of some that are gone.
fn wait_for_bytes(context: &Context, watch: &mut Watch, reader: &SharedFd) {
    loop {
        assert_eq!(watch.wait(context), Ok(IN));
        if waiting(reader) > 0 {
            return;
        }
        assert_ne!(context.choice().kind, Kind::Direct);
    }
}

pub(crate) fn watch_tells_each_readiness(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    // There before the watch is.
    write(&writer, b"first");
    let mut watch = context.watch(&reader, IN);
    for turn in 0..50 {
        wait_for_bytes(&context, &mut watch, &reader);
        let (count, _) = context.run(Read::new(&reader, vec![0; 16]));
        assert!(count.is_ok_and(|count| count > 0), "{turn}");
        assert!(!matches!(watch.take(&context), Some(Err(_))));
        write(&writer, b"more");
    }
    watch.discard(&context);
}

pub(crate) fn watch_that_is_not_looked_at_for_long(kind: Kind) {
    // More readiness than any queue has room for.
    let context = context(kind);
    let (reader, writer) = pipe();
    let mut watch = context.watch(&reader, IN);
    start(&context);
    for _ in 0..2 {
        for _ in 0..2000 {
            write(&writer, b"x");
        }
        wait_for_bytes(&context, &mut watch, &reader);
        let (count, _) = context.run(Read::new(&reader, vec![0; 4000]));
        assert_eq!(count, Ok(2000));
    }
    watch.discard(&context);
}

pub(crate) fn watch_tells_a_hang_up(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let mut watch = context.watch(&reader, IN);
    assert_eq!(watch.take(&context), None);
    drop(writer);
    assert_eq!(watch.wait(&context), Ok(libc::POLLHUP));
    watch.discard(&context);
}

pub(crate) fn watch_of_a_file_that_is_always_ready(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    dir.write("file", b"");
    let both = libc::POLLIN | libc::POLLOUT;
    let mut watch = context.watch(&dir.open("file"), both);
    assert_eq!(watch.wait(&context), Ok(both));
    watch.cancel(&context);
    assert_eq!(end(&context, &mut watch), Errno::ECANCELED);
}

/// How a watch ends.
fn end(context: &Context, watch: &mut Watch) -> Errno {
    loop {
        if let Err(errno) = watch.wait(context) {
            return errno;
        }
    }
}

pub(crate) fn cancelled_watch_ends_once(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let mut watch = context.watch(&reader, IN);
    start(&context);
    assert_ne!(watch.cancel(&context), Cancel::Over);
    assert_eq!(end(&context, &mut watch), Errno::ECANCELED);
    assert_eq!(watch.take(&context), None);
    assert_eq!(watch.cancel(&context), Cancel::Over);
    // With events that were not taken, and by cancelling all.
    let mut watch = context.watch(&reader, IN);
    write(&writer, b"x");
    context.wait(1);
    assert_eq!(context.cancel_all(), 1);
    assert_eq!(end(&context, &mut watch), Errno::ECANCELED);
    assert_eq!(context.outstanding(), 0);
    assert!(reader.is_unique());
}

pub(crate) fn two_watches_of_one_file(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let mut one = context.watch(&reader, IN);
    let mut other = context.watch(&reader, IN);
    write(&writer, b"x");
    assert_eq!(one.wait(&context), Ok(IN));
    assert_eq!(other.wait(&context), Ok(IN));
    one.discard(&context);
    // One that comes back under the same index is another.
    let mut third = context.watch(&reader, IN);
    assert_eq!(third.wait(&context), Ok(IN));
    drop(writer);
    let gone = libc::POLLHUP;
    while other.wait(&context).unwrap() & gone == 0 {}
    while third.wait(&context).unwrap() & gone == 0 {}
}

pub(crate) fn many_watches_beside_each_other(kind: Kind) {
    let context = context(kind);
    let mut all: Vec<_> = (0..30)
        .map(|_| {
            let (reader, writer) = pipe();
            let watch = context.watch(&reader, IN);
            (watch, reader, writer)
        })
        .collect();
    for turn in 0..3 {
        for (_, _, writer) in &all {
            write(writer, &[turn]);
        }
        for (watch, reader, _) in &mut all {
            wait_for_bytes(&context, watch, reader);
            assert_eq!(context.run(Read::new(&*reader, vec![9; 9])).0, Ok(1));
        }
    }
}

pub(crate) fn dropped_watch_does_not_hold_its_context(kind: Kind) {
    let context = context_with(kind, |options| options.drop_timeout(LONG));
    let (reader, writer) = pipe();
    drop(context.watch(&reader, IN));
    // As good as forgotten.
    let forgotten = context.watch(&reader, IN);
    context.watch(&reader, IN).discard(&context);
    start(&context);
    let begin = Instant::now();
    drop(context);
    assert!(begin.elapsed() < LONG, "waits for what never ends");
    assert!(reader.is_unique(), "what the watches hold is freed");
    drop((forgotten, writer));
}

pub(crate) fn watch_for_futures(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, writer) = pipe();
    let writer: OwnedFd = writer;
    let writer = SharedFd::new(writer);
    block_on(&handle, async {
        let mut watching = handle.watch(&reader, IN);
        let mut read = 0;
        while read < 30 {
            let (count, _) = handle.submit(Write::new(&writer, vec![1; 3])).await;
            assert_eq!(count, Ok(3));
            loop {
                assert_eq!(watching.next().await, Ok(IN));
                if waiting(&reader) > 0 {
                    break;
                }
            }
            read += handle
                .submit(Read::new(&reader, vec![0; 16]))
                .await
                .0
                .unwrap();
        }
        assert_eq!(read, 30);
    });
    while handle.outstanding() > 0 {
        handle.wait(1);
    }
    assert!(reader.is_unique());
}
