// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls by their numbers: what comes back is what the kernel says, with the caller's token.
#![cfg(not(loom))]

#[macro_use]
#[path = "common/mod.rs"]
mod common;

use std::{
    collections::BTreeMap,
    ffi::CStr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use common::{Dir, LONG, pipe, write};
use libflexsc::{
    Backend, Cancel,
    backend::{Kind, Options},
    raw::{RawCall, RawCompletion, RawContext},
    sys,
};

fn context(kind: Kind) -> RawContext {
    let backend = Backend::open(kind, Options::new().entries(64));
    RawContext::new(backend.unwrap_or_else(|error| panic!("{kind}: {error}")))
}

fn nop() -> RawCall {
    RawCall::new(sys::NR_NOP.into(), [0; 6])
}

fn read(fd: &impl AsRawFd, buf: &mut [u8]) -> RawCall {
    let args = [
        fd.as_raw_fd() as u64,
        buf.as_mut_ptr() as u64,
        buf.len() as u64,
    ];
    RawCall::new(libc::SYS_read, [args[0], args[1], args[2], 0, 0, 0])
}

fn open(path: &CStr, flags: i32) -> RawCall {
    let args = [libc::AT_FDCWD as u64, path.as_ptr() as u64, flags as u64];
    RawCall::new(libc::SYS_openat, [args[0], args[1], args[2], 0o600, 0, 0])
}

fn post(context: &mut RawContext, call: RawCall, token: u64) {
    // SAFETY: What the tests' calls point to outlives the context.
    unsafe { context.post(call, token) };
}

/// Waits for the next completion.
fn next(context: &mut RawContext) -> RawCompletion {
    assert!(context.wait(1, Some(LONG)) > 0, "nothing has completed");
    context.next().unwrap()
}

/// Results by token.
fn all(context: &mut RawContext) -> BTreeMap<u64, i64> {
    let mut results = BTreeMap::new();
    while context.outstanding() > 0 {
        context.wait(1, Some(LONG));
        results.extend(std::iter::from_fn(|| context.next()).map(|done| (done.token, done.ret)));
    }
    results.extend(std::iter::from_fn(|| context.next()).map(|done| (done.token, done.ret)));
    results
}

/// The one completion of a call.
fn done(token: u64, ret: i64) -> (u64, i64, bool) {
    (token, ret, false)
}

/// What there is of a completion.
fn said(done: RawCompletion) -> (u64, i64, bool) {
    (done.token, done.ret, done.more)
}

fn every_call_completes_with_its_token(kind: Kind) {
    let mut context = context(kind);
    // More than there are entries.
    for token in 0..200 {
        post(&mut context, nop(), token);
    }
    assert_eq!(context.wait(200, Some(LONG)), 200);
    assert_eq!(context.outstanding(), 0);
    assert!(
        all(&mut context)
            .into_iter()
            .eq((0..200).map(|token| (token, 0)))
    );
    assert_eq!(context.wait(1, None), 0, "there is nothing to wait for");
}

fn results_are_those_of_the_kernel(kind: Kind) {
    let (dir, mut context) = (Dir::new(), context(kind));
    let (there, missing) = (dir.c("there"), dir.c("missing"));
    dir.write("there", b"bytes");
    let mut buf = [0; 16];
    post(&mut context, open(&missing, libc::O_RDONLY), 1);
    assert_eq!(said(next(&mut context)), done(1, -i64::from(libc::ENOENT)));
    post(&mut context, open(&there, libc::O_RDONLY), 2);
    let opened = next(&mut context);
    assert!(opened.ret >= 0, "{opened:?}");
    // SAFETY: The call has just opened it.
    let file = unsafe { OwnedFd::from_raw_fd(opened.ret as i32) };
    post(&mut context, read(&file, &mut buf), 3);
    assert_eq!(said(next(&mut context)), done(3, 5));
    assert_eq!(&buf[..5], b"bytes");
    post(&mut context, RawCall::new(1 << 20, [0; 6]), 4);
    assert_eq!(said(next(&mut context)), done(4, -i64::from(libc::ENOSYS)));
}

fn chain_shares_its_file_and_ends_at_a_failure(kind: Kind) {
    let (dir, mut context) = (Dir::new(), context(kind));
    dir.write("there", b"bytes");
    let (there, missing) = (dir.c("there"), dir.c("missing"));
    let mut buf = [0; 16];
    let close = RawCall::new(libc::SYS_close, [0; 6]).on_chain();
    let steps = |path, buf: &mut [u8]| {
        [
            (open(path, libc::O_RDONLY).on_chain(), 1),
            (read(&-1, buf).on_chain(), 2),
            (close, 3),
        ]
    };
    // SAFETY: As for `post`.
    unsafe { context.post_chain(steps(&there, &mut buf)) };
    assert_eq!(all(&mut context), BTreeMap::from([(1, 0), (2, 5), (3, 0)]));
    // SAFETY: As for `post`.
    unsafe { context.post_chain(steps(&missing, &mut buf)) };
    let (cancelled, missing) = (-i64::from(libc::ECANCELED), -i64::from(libc::ENOENT));
    let results = BTreeMap::from([(1, missing), (2, cancelled), (3, cancelled)]);
    assert_eq!(all(&mut context), results);
    assert_eq!(common::open_files(&dir.join("there")), 0);
}

fn calls_that_make_no_sense_are_invalid(kind: Kind) {
    let mut context = context(kind);
    let (reader, _writer) = pipe();
    let invalid = -i64::from(libc::EINVAL);
    // No descriptor is among its arguments.
    post(&mut context, nop().on_chain(), 1);
    post(&mut context, nop().again(), 2);
    post(
        &mut context,
        RawCall::poll(reader.as_raw_fd(), libc::POLLIN)
            .again()
            .on_chain(),
        3,
    );
    let chain = [
        (nop(), 4),
        (RawCall::poll(-1, libc::POLLIN).again().on_chain(), 5),
        (nop(), 6),
    ];
    // SAFETY: As for `post`.
    unsafe { context.post_chain(chain) };
    let cancelled = -i64::from(libc::ECANCELED);
    let results = [
        (1, invalid),
        (2, invalid),
        (3, invalid),
        (4, 0),
        (5, invalid),
        (6, cancelled),
    ];
    assert_eq!(all(&mut context), BTreeMap::from(results));
}

fn poll_that_goes_on_tells_each_readiness(kind: Kind) {
    let mut context = context(kind);
    let (reader, writer) = pipe();
    post(
        &mut context,
        RawCall::poll(reader.as_raw_fd(), libc::POLLIN).again(),
        7,
    );
    for _ in 0..20 {
        write(&writer, b"x");
        loop {
            let told = next(&mut context);
            assert_eq!(
                (told.token, told.ret, told.more),
                (7, libc::POLLIN.into(), true)
            );
            // It may tell of what was read already.
            if common::waiting(&reader) > 0 {
                break;
            }
        }
        let mut buf = [0; 16];
        // SAFETY: The buffer is valid for writes.
        let ret = unsafe { libc::read(reader.as_raw_fd(), buf.as_mut_ptr().cast(), 16) };
        assert_eq!(ret, 1);
    }
    assert_eq!(context.cancel(7), Cancel::Cancelled);
    loop {
        let told = next(&mut context);
        if !told.more {
            break assert_eq!(said(told), done(7, -i64::from(libc::ECANCELED)));
        }
    }
    assert_eq!(context.cancel(7), Cancel::Over);
    assert_eq!(context.outstanding(), 0);
}

fn polls_that_go_on_beside_each_other(kind: Kind) {
    let mut context = context(kind);
    let pipes: Vec<_> = (0..10).map(|_| pipe()).collect();
    for (token, (reader, _)) in (0..).zip(&pipes) {
        post(
            &mut context,
            RawCall::poll(reader.as_raw_fd(), libc::POLLIN).again(),
            token,
        );
    }
    assert_eq!(context.wait(1, Some(Duration::from_millis(1))), 0);
    for token in [3, 8, 0] {
        write(&pipes[token].1, b"x");
    }
    let mut told = BTreeMap::new();
    while told.len() < 3 {
        let done = next(&mut context);
        assert!(done.more);
        told.insert(done.token, done.ret);
    }
    let events = i64::from(libc::POLLIN);
    assert_eq!(
        told,
        BTreeMap::from([(0, events), (3, events), (8, events)])
    );
    assert_eq!(context.cancel_all(), 10);
    let ended = all(&mut context);
    assert_eq!(ended.len(), 10);
    assert!(
        ended
            .values()
            .all(|&ret| ret == -i64::from(libc::ECANCELED)),
        "{ended:?}"
    );
}

fn poll_that_goes_on_ends_at_its_time(kind: Kind) {
    let mut context = context(kind);
    let (reader, _writer) = pipe();
    let poll = RawCall::poll(reader.as_raw_fd(), libc::POLLIN).again();
    post(&mut context, poll.timeout(Duration::from_millis(2)), 1);
    assert_eq!(said(next(&mut context)), done(1, -i64::from(libc::ETIME)));
    post(&mut context, RawCall::poll(-1, libc::POLLIN).again(), 2);
    assert_eq!(said(next(&mut context)), done(2, -i64::from(libc::EBADF)));
}

fn limit_ends_a_call_that_waits(kind: Kind) {
    let mut context = context(kind);
    let ((reader, _writer), mut buf) = (pipe(), [0; 16]);
    post(
        &mut context,
        read(&reader, &mut buf).timeout(Duration::from_millis(2)),
        1,
    );
    assert_eq!(said(next(&mut context)), done(1, -i64::from(libc::ETIME)));
}

fn closed_context_tells_what_it_did(kind: Kind) {
    let mut context = context(kind);
    for token in 0..10 {
        post(&mut context, nop(), token);
    }
    let stats = context.close().unwrap();
    assert_eq!(stats.submitted, 10);
}

fn cancelled_call_completes_once(kind: Kind) {
    let mut context = context(kind);
    let ((reader, _writer), mut bufs) = (pipe(), [[0; 16]; 3]);
    for (token, buf) in (1..).zip(&mut bufs) {
        post(&mut context, read(&reader, buf), token);
    }
    context.flush();
    assert_eq!(context.cancel(4), Cancel::Over);
    // Who looks at it at this moment says that it runs, and gives it up.
    match (context.cancel(2), kind) {
        (Cancel::Running, Kind::Module) => {}
        (answer, _) => assert_eq!(answer, Cancel::Cancelled),
    }
    assert_eq!(
        said(next(&mut context)),
        done(2, -i64::from(libc::ECANCELED))
    );
    assert_eq!(context.cancel(2), Cancel::Over);
    assert_eq!(context.outstanding(), 2);
    assert_eq!(context.cancel_all(), 2);
    assert_eq!(all(&mut context).len(), 2);
}

fn call_waits_for_its_turn_behind_those_that_do(kind: Kind) {
    let mut context = context(kind);
    let ((reader, writer), mut bufs) = (pipe(), [[0; 16]; 66]);
    for (token, buf) in (1..).zip(&mut bufs) {
        post(&mut context, read(&reader, buf), token);
    }
    // The page has 64 entries.
    assert_eq!(context.stats().queued, 2);
    assert_eq!(context.outstanding(), 66);
    assert_eq!(context.cancel(66), Cancel::Cancelled);
    assert_eq!(
        said(next(&mut context)),
        done(66, -i64::from(libc::ECANCELED))
    );
    assert_eq!(context.cancel(64), Cancel::Cancelled);
    assert_eq!(
        said(next(&mut context)),
        done(64, -i64::from(libc::ECANCELED))
    );
    // The one that waited has the entry now, and one that comes later waits no more.
    post(&mut context, nop(), 67);
    write(&writer, b"x");
    assert_eq!(context.wait(2, Some(LONG)), 2);
    assert_eq!(context.cancel_all(), 63);
    let results = all(&mut context);
    assert_eq!(results.len(), 65);
    assert_eq!(results.values().filter(|&&ret| ret == 1).count(), 1);
    assert_eq!(results[&67], 0);
}

fn wait_ends_at_its_time(kind: Kind) {
    let mut context = context(kind);
    let ((reader, writer), mut buf) = (pipe(), [0; 16]);
    post(&mut context, read(&reader, &mut buf), 1);
    assert_eq!(context.wait(1, Some(Duration::from_millis(2))), 0);
    assert_eq!(context.next(), None);
    write(&writer, b"x");
    assert_eq!(said(next(&mut context)), done(1, 1));
}

fn calls_posted_at_once_complete_each_with_its_token(kind: Kind) {
    let mut context = context(kind);
    // More than there are entries, of two sorts that fail, each in its way, and some with a limit, for which there
    // is more to be kept.
    let call = |token| match token % 7 {
        0 => RawCall::new(1 << 20, [0; 6]),
        3 => RawCall::new(libc::SYS_fsync, [u64::MAX; 6]),
        5 => nop().timeout(LONG),
        _ => nop(),
    };
    let result = |token| match token % 7 {
        0 => -i64::from(libc::ENOSYS),
        3 => -i64::from(libc::EBADF),
        _ => 0,
    };
    for count in [0, 1, 64, 300] {
        // SAFETY: The calls point to nothing.
        unsafe { context.post_all((0..count).map(|token| (call(token), token))) };
        let mut results = BTreeMap::new();
        while (results.len() as u64) < count {
            assert!(context.wait(1, Some(LONG)) > 0, "nothing has completed");
            for done in context.completions() {
                let before = results.insert(done.token, done.ret);
                assert_eq!(before, None, "{} completed twice", done.token);
            }
        }
        assert!(
            results
                .into_iter()
                .eq((0..count).map(|token| (token, result(token))))
        );
        assert_eq!((context.outstanding(), context.completions().len()), (0, 0));
    }
}

fn calls_before_a_panic_of_who_gives_them_complete(kind: Kind) {
    let mut context = context(kind);
    for _ in 0..10 {
        let calls = (0..20).map(|token| match token {
            10 => panic!("no more"),
            _ => (nop(), token),
        });
        // SAFETY: The calls point to nothing.
        let posting = AssertUnwindSafe(|| unsafe { context.post_all(calls) });
        assert!(catch_unwind(posting).is_err());
        assert_eq!(context.wait(10, Some(LONG)), 10);
        let tokens: Vec<_> = context.completions().map(|done| done.token).collect();
        assert_eq!(tokens.len(), 10);
        assert!(tokens.iter().all(|token| *token < 10), "{tokens:?}");
    }
    // All entries can be had.
    for token in 0..64 {
        post(&mut context, nop(), token);
    }
    assert_eq!(context.wait(64, Some(LONG)), 64);
}

fn wait_shows_what_was_posted_though_others_are_complete(kind: Kind) {
    let mut context = context(kind);
    let (reader, writer) = pipe();
    post(&mut context, nop(), 1);
    post(&mut context, nop(), 2);
    assert_eq!(context.wait(2, None), 2);
    assert!(context.next().is_some());
    let args = [writer.as_raw_fd() as u64, c"x".as_ptr() as u64, 1, 0, 0, 0];
    post(&mut context, RawCall::new(libc::SYS_write, args), 3);
    assert!(context.wait(1, None) >= 1, "one was left");
    let mut file = libc::pollfd {
        fd: reader.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: There is one file to be looked at.
    let ready = unsafe { libc::poll(&raw mut file, 1, LONG.as_millis() as i32) };
    assert_eq!(ready, 1, "nobody has written");
}

fn completions_that_are_not_taken_stay(kind: Kind) {
    let mut context = context(kind);
    for token in 0..10 {
        post(&mut context, nop(), token);
    }
    assert_eq!(context.wait(10, Some(LONG)), 10);
    let first = context.completions().take(3).count();
    assert_eq!((first, context.completions().len()), (3, 7));
    assert_eq!(context.completions().count(), 7);
}

each_backend!(
    every_call_completes_with_its_token,
    wait_shows_what_was_posted_though_others_are_complete,
    completions_that_are_not_taken_stay,
    calls_posted_at_once_complete_each_with_its_token,
    calls_before_a_panic_of_who_gives_them_complete,
    results_are_those_of_the_kernel,
    chain_shares_its_file_and_ends_at_a_failure,
    calls_that_make_no_sense_are_invalid,
    poll_that_goes_on_tells_each_readiness,
    polls_that_go_on_beside_each_other,
    poll_that_goes_on_ends_at_its_time,
    limit_ends_a_call_that_waits,
    closed_context_tells_what_it_did,
);

/// Of what can be in progress: not plain calls.
mod posting {
    use super::{
        call_waits_for_its_turn_behind_those_that_do, cancelled_call_completes_once,
        wait_ends_at_its_time,
    };

    each_backend!(posting:
        call_waits_for_its_turn_behind_those_that_do,
        cancelled_call_completes_once,
        wait_ends_at_its_time,
    );
}
