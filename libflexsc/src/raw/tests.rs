// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that the other side does not execute, or not as asked.

use core::time::Duration;
use std::{
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::Barrier,
};

use super::{RawCall, RawCompletion, RawContext};
use crate::{Backend, Cancel, backend::Options, sys};

const LONG: Duration = Duration::from_secs(60);

fn post(context: &mut RawContext, call: RawCall, token: u64) {
    // SAFETY: What the tests' calls point to outlives the context.
    unsafe { context.post(call, token) };
}

fn next(context: &mut RawContext) -> RawCompletion {
    assert!(context.wait(1, Some(LONG)) > 0, "nothing has completed");
    context.next().unwrap()
}

fn pipe() -> (OwnedFd, std::fs::File) {
    let mut ends = [0; 2];
    // SAFETY: The array is valid for writes.
    let ret = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(ret, 0);
    // SAFETY: Both files were just opened and nobody owns them.
    let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    (reader, writer.into())
}

fn tells_until_cancelled(mut context: RawContext) {
    let (reader, writer) = pipe();
    let poll = RawCall::poll(reader.as_raw_fd(), libc::POLLIN).again();
    post(&mut context, poll, 7);
    for _ in 0..3 {
        std::io::Write::write_all(&mut &writer, b"x").unwrap();
        let told = next(&mut context);
        assert_eq!((told.token, told.ret, told.more), (7, 1, true));
    }
    context.cancel(7);
    loop {
        let told = next(&mut context);
        if !told.more {
            break assert_eq!(told.ret, super::CANCELED);
        }
    }
    assert_eq!(context.outstanding(), 0);
}

#[test]
fn poll_that_goes_on_and_is_handed_back_goes_on() {
    tells_until_cancelled(RawContext::new(Backend::declining()));
}

#[test]
fn poll_goes_on_where_the_other_side_knows_single_ones_only() {
    tells_until_cancelled(RawContext::new(Backend::lacking(sys::FEAT_MULTI)));
}

#[test]
fn calls_that_are_handed_back_are_made() {
    let mut context = RawContext::new(Backend::declining());
    let mut text = [0_u8; 64];
    let path = c"/proc/self/comm";
    let (at, flags) = (libc::AT_FDCWD as u64, libc::O_RDONLY as u64);
    let open = RawCall::new(libc::SYS_openat, [at, path.as_ptr() as u64, flags, 0, 0, 0]);
    let read = RawCall::new(libc::SYS_read, [0, text.as_mut_ptr() as u64, 64, 0, 0, 0]);
    // SAFETY: Path and buffer outlive the context.
    unsafe { context.post_chain([(open.on_chain(), 1), (read.on_chain(), 2)]) };
    post(&mut context, RawCall::new(libc::SYS_getppid, [0; 6]), 3);
    assert_eq!(context.wait(3, Some(LONG)), 3);
    let mut results = [(); 3].map(|()| context.next().unwrap());
    results.sort_by_key(|done| done.token);
    let parent = std::os::unix::process::parent_id();
    assert_eq!((results[0].ret, results[2].ret), (0, parent.into()));
    assert_eq!(text[results[1].ret as usize - 1], b'\n');
    assert_eq!(context.stats().handed_back, 3);
}

#[test]
fn calls_of_a_module_that_is_gone_are_made() {
    let mut context = RawContext::new(Backend::unreachable());
    let (reader, writer) = pipe();
    post(
        &mut context,
        RawCall::poll(reader.as_raw_fd(), libc::POLLIN),
        1,
    );
    post(
        &mut context,
        RawCall::poll(reader.as_raw_fd(), libc::POLLIN),
        2,
    );
    post(&mut context, RawCall::new(libc::SYS_getppid, [0; 6]), 3);
    let parent = std::os::unix::process::parent_id();
    let told = next(&mut context);
    assert_eq!((told.token, told.ret), (3, parent.into()));
    // The pool may be looking at the file.
    while context.cancel(2) == crate::Cancel::Running {}
    let told = next(&mut context);
    assert_eq!((told.token, told.ret), (2, super::CANCELED));
    assert_eq!(context.outstanding(), 1);
    std::io::Write::write_all(&mut &writer, b"x").unwrap();
    let told = next(&mut context);
    assert_eq!((told.token, told.ret), (1, 1));
    post(&mut context, RawCall::new(libc::SYS_getppid, [0; 6]), 4);
    assert_eq!(next(&mut context).token, 4);
}

#[test]
fn cancelling_before_the_module_is_missed_ends_calls() {
    let mut context = RawContext::new(Backend::unreachable());
    let (reader, _writer) = pipe();
    for token in 0..3 {
        let poll = RawCall::poll(reader.as_raw_fd(), libc::POLLIN);
        post(&mut context, poll, token);
    }
    assert_eq!(context.cancel(1), crate::Cancel::Cancelled);
    assert_eq!(next(&mut context).token, 1);
    while context.outstanding() > 0 {
        context.cancel_all();
        context.wait(2, Some(Duration::from_millis(1)));
    }
    let rest = [context.next(), context.next()].map(|told| told.unwrap().ret);
    assert_eq!(rest, [super::CANCELED; 2]);
}

#[test]
fn completions_come_in_their_order_with_and_without_a_slot() {
    let mut options = crate::backend::Options::new();
    let mut context = RawContext::new(Backend::threads(options.threads(1)).unwrap());
    let nop = RawCall::new(sys::NR_NOP.into(), [0; 6]);
    for _ in 0..100 {
        for token in 0..20 {
            // One with a limit has a slot.
            let slot = token % 3 == 1;
            post(
                &mut context,
                if slot { nop.timeout(LONG) } else { nop },
                token,
            );
        }
        assert_eq!(context.wait(20, Some(LONG)), 20);
        let tokens: Vec<_> = std::iter::from_fn(|| context.next())
            .map(|done| done.token)
            .collect();
        assert_eq!(tokens, (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn child_gets_every_call_back() {
    let mut context = RawContext::new(Backend::threads(&crate::backend::Options::new()).unwrap());
    let (reader, _writer) = pipe();
    post(
        &mut context,
        RawCall::poll(reader.as_raw_fd(), libc::POLLIN),
        1,
    );
    post(
        &mut context,
        RawCall::poll(reader.as_raw_fd(), libc::POLLIN).again(),
        2,
    );
    context.flush();
    // SAFETY: The child uses the allocator, which the C library makes usable after fork, and takes
    // no lock of another thread.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        post(&mut context, RawCall::new(libc::SYS_getppid, [0; 6]), 3);
        let count = context.wait(3, None);
        let forked = -i64::from(crate::Errno::FORKED.raw());
        let right = count == 3
            && std::iter::from_fn(|| context.next()).all(|done| done.ret == forked && !done.more);
        // SAFETY: Ends the child at once.
        unsafe { libc::_exit(if right { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0);
}

/// It is not made here either, where it would wait for ever.
#[test]
fn cancel_of_a_read_that_is_then_handed_back_counts() {
    static TURN: Barrier = Barrier::new(2);
    // Looks at a read from before its cancel to after it.
    let declines = |nr| {
        let reads = nr == libc::SYS_read as u16;
        if reads {
            TURN.wait();
            TURN.wait();
        }
        reads
    };
    let mut context = RawContext::new(Backend::declining_some(Options::new(), declines));
    let (reader, _writer) = pipe();
    let mut buf = [0; 1];
    let address = buf.as_mut_ptr() as u64;
    let args = [reader.as_raw_fd() as u64, address, 1, 0, 0, 0];
    post(&mut context, RawCall::new(libc::SYS_read, args), 1);
    context.flush();
    TURN.wait();
    let answer = context.cancel(1);
    TURN.wait();
    assert_ne!(answer, Cancel::Over);
    let done = next(&mut context);
    assert_eq!((done.token, done.ret), (1, super::CANCELED));
    // Its place in the page is another call's now.
    post(&mut context, RawCall::new(libc::SYS_getppid, [0; 6]), 2);
    assert!(next(&mut context).ret > 0);
}
