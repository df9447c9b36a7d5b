// SPDX-License-Identifier: MIT OR Apache-2.0
//! The descriptor that event loops sleep on.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{
    os::fd::AsRawFd,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use libflexsc::{
    Armed, Context, Errno, Handle, SharedFd,
    backend::Kind,
    op::{Getppid, Pread, Read, Statx},
};

use common::{Dir, LONG, context, pipe, write};

/// Whether the descriptor is readable within this time.
fn readable(context: &Context, time: Duration) -> bool {
    let mut file = libc::pollfd {
        fd: context.event_fd().unwrap().as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: One structure that can be written to.
    let count = unsafe { libc::poll(&mut file, 1, time.as_millis() as i32) };
    assert!(count >= 0);
    count == 1
}

/// Arms, and sleeps as the answer says.
fn turn(context: &Context) -> Armed {
    let armed = context.arm();
    if armed.may_sleep() {
        let time = armed.timeout.unwrap_or(LONG);
        let told = readable(context, time.min(LONG) + Duration::from_millis(1));
        assert!(told || armed.timeout.is_some(), "nothing was told");
    }
    armed
}

/// Arms until one may sleep: what was on its way has arrived.
fn settle(context: &Context) {
    while !context.arm().may_sleep() {}
}

/// Whether it stops being readable: who tells of a completion may do so after that was taken, once.
fn gets_quiet(context: &Context) -> bool {
    (0..2).any(|_| {
        settle(context);
        !readable(context, Duration::ZERO)
    })
}

fn loop_takes_all_outputs(kind: Kind) {
    let (context, dir) = (context(kind), Dir::new());
    dir.write("file", vec![7; 4096]);
    let file = dir.open("file");
    // More than the page holds.
    let mut tickets: Vec<_> = (0..300)
        .map(|number| context.post(Pread::new(&file, vec![0; 8], number)))
        .collect();
    while !tickets.is_empty() {
        turn(&context);
        tickets.retain_mut(|ticket| match ticket.take(&context) {
            None => true,
            Some((count, bytes)) => {
                assert_eq!((count, bytes), (Ok(8), vec![7; 8]));
                false
            }
        });
    }
    assert_eq!(context.outstanding(), 0);
}

/// With one CPU a wait would execute what was posted; here nobody waits.
fn one_cpu_is_enough(kind: Kind) {
    // SAFETY: An empty set is all zeroes; the calls read it, and it is this thread's own affinity.
    unsafe {
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut one);
        let ret = libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &one);
        assert_eq!(ret, 0);
    }
    loop_takes_all_outputs(kind);
    it_is_quiet_until_something_completes(kind);
}

fn it_is_quiet_until_something_completes(kind: Kind) {
    let context = context(kind);
    context.event_fd().unwrap();
    for _ in 0..20 {
        let (reader, writer) = pipe();
        let mut ticket = context.post(Read::new(&reader, vec![0; 4]));
        assert!(gets_quiet(&context), "nothing has completed");
        write(&writer, b"word");
        while ticket.take(&context).is_none() {
            turn(&context);
        }
        assert!(gets_quiet(&context), "all was taken");
    }
}

fn a_submission_is_told(kind: Kind) {
    let handle = Handle::new(context(kind));
    handle.event_fd().unwrap();
    let (reader, writer) = pipe();
    let first = handle.submit(Read::new(&reader, vec![0; 1]));
    settle(&handle);
    // The loop sleeps, and another task submits.
    let mut second = handle.submit(Getppid::new());
    assert!(readable(&handle, LONG), "nobody posts it");
    let mut task = TaskContext::from_waker(Waker::noop());
    loop {
        match std::pin::Pin::new(&mut second).poll(&mut task) {
            Poll::Ready(parent) => {
                assert_eq!(parent, Ok(std::os::unix::process::parent_id() as i32));
                break;
            }
            Poll::Pending => {
                turn(&handle);
            }
        }
    }
    drop((first, writer));
}

fn a_wait_in_between_harms_nothing(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    for _ in 0..20 {
        let mut ticket = context.post(Read::new(&reader, vec![0; 4]));
        settle(&context);
        // The thread makes a call and waits for it, although it is armed.
        assert!(context.run(Getppid::new()).is_ok());
        write(&writer, b"word");
        // Not armed anew in between.
        assert!(readable(&context, LONG), "nothing was told");
        while ticket.take(&context).is_none() {
            turn(&context);
        }
    }
}

fn time_limits_are_kept(kind: Kind) {
    use libflexsc::Operation;
    let context = context(kind);
    let (reader, _writer) = pipe();
    let limited = Read::new(&reader, vec![0; 4]).timeout(Duration::from_millis(2));
    let mut ticket = context.post(limited);
    loop {
        turn(&context);
        if let Some((count, _)) = ticket.take(&context) {
            assert_eq!(count, Err(Errno::ETIME));
            break;
        }
    }
}

fn names_are_looked_up(kind: Kind) {
    // What lane T does, or a pool, and nobody in the ring.
    let (context, dir) = (context(kind), Dir::new());
    for _ in 0..50 {
        let stat = Statx::new(
            libflexsc::At::Cwd,
            dir.c("none"),
            0,
            libc::STATX_BASIC_STATS,
        );
        let mut ticket = context.post(stat);
        loop {
            turn(&context);
            if let Some(found) = ticket.take(&context) {
                assert_eq!(found.err(), Some(Errno::ENOENT));
                break;
            }
        }
    }
}

fn a_forked_child_gets_none(kind: Kind) {
    let context = context(kind);
    // SAFETY: The child makes nothing but plain calls, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = matches!(context.event_fd(), Err(Errno::FORKED));
        // SAFETY: As above.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    let mut status = 0;
    // SAFETY: The status can be written to.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
}

fn the_file_outlives_nothing(kind: Kind) {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    // What is made once for the process is made.
    drop(context(kind));
    let own = SharedFd::from(std::fs::File::open("/dev/null").unwrap());
    let before = open();
    let context = context(kind);
    context.event_fd().unwrap();
    drop(context);
    // Other tests open files meanwhile: as often as it takes.
    let start = std::time::Instant::now();
    while open() > before {
        assert!(start.elapsed() < LONG, "descriptors are left");
        std::thread::yield_now();
    }
    drop(own);
}

each_backend!(
    loop_takes_all_outputs,
    names_are_looked_up,
    the_file_outlives_nothing,
);

/// Of what can be in progress: not plain calls.
mod posting {
    use super::{
        a_forked_child_gets_none, a_submission_is_told, a_wait_in_between_harms_nothing,
        it_is_quiet_until_something_completes, one_cpu_is_enough, time_limits_are_kept,
    };

    each_backend!(posting:
        it_is_quiet_until_something_completes,
        one_cpu_is_enough,
        a_submission_is_told,
        a_wait_in_between_harms_nothing,
        time_limits_are_kept,
        a_forked_child_gets_none,
    );
}
