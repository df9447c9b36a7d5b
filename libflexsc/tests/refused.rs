// SPDX-License-Identifier: MIT OR Apache-2.0
//! What executes a context's calls is taken from it: a filter forbids to enter io_uring, or the program
//! closes descriptors that it has not opened. Each call is made once all the same, and nobody spins.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{fs::File, io::Read as _, os::fd::OwnedFd, time::Duration};

use common::{
    Dir, alone, answer, close_others, context, high, pipe, replace_others, start, there_is, write,
};
use libflexsc::{
    At, Batch, Cancel, Context, Errno, Handle, On, SharedFd,
    backend::Kind,
    op::{Close, Getppid, Nop, Openat, Operation, Pread, Read, Statx, Write},
    task::block_on,
};

fn parent() -> i32 {
    std::os::unix::process::parent_id() as i32
}

/// Calls of all kinds, which the pool has to make.
fn use_all_over(context: Context, dir: &Dir) {
    dir.write("file", [7; 1000]);
    let path = dir.c("file");
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let open = || Openat::new(At::Cwd, path.clone(), flags, 0);
    let file = context.run(open()).unwrap();
    let reads = (0..200).map(|at| Pread::new(&file, vec![0; 4], at));
    for output in context.run_all(reads) {
        assert_eq!(output, (Ok(4), vec![7; 4]));
    }
    let stat = Statx::new(At::Cwd, path.clone(), 0, libc::STATX_BASIC_STATS);
    assert_eq!(context.run(stat).unwrap().size(), 1000);
    let read = Read::new(On::Chain, vec![0; 2]);
    let (open, read, close) = context.run_chain((open().for_chain(), read, Close::new(On::Chain)));
    assert_eq!((open, read, close), (Ok(()), (Ok(2), vec![7; 2]), Ok(())));
    let mut batch = Batch::new(&context);
    for tag in 0..50 {
        batch.push(Getppid::new(), tag);
    }
    let mut tags: Vec<_> = core::iter::from_fn(|| batch.next())
        .map(|done| done.tag)
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, (0..50).collect::<Vec<_>>());
    drop(batch);
    let (reader, writer) = pipe();
    let limited = Read::new(&reader, vec![0; 1]).timeout(Duration::from_millis(1));
    assert_eq!(context.run(limited).0, Err(Errno::ETIME));
    let ticket = context.post(Read::new(&reader, vec![0; 1]));
    start(&context);
    // A thread may be looking at it just now.
    assert_ne!(context.cancel(&ticket), Cancel::Over);
    assert_eq!(ticket.wait(&context).0, Err(Errno::ECANCELED));
    let handle = Handle::new(context);
    block_on(&handle, async {
        let reading = handle.spawn(handle.submit(Read::new(&reader, vec![0; 3])));
        assert_eq!(handle.submit(Getppid::new()).await, Ok(parent()));
        let mut watch = handle.watch(&reader, libc::POLLIN);
        write(&writer, b"abc");
        assert_eq!(reading.await, (Ok(3), b"abc".to_vec()));
        write(&writer, b"d");
        assert_eq!(watch.next().await, Ok(libc::POLLIN));
        handle.sleep(Duration::from_millis(1)).await;
    });
}

fn high_pipe((reader, writer): (SharedFd, OwnedFd)) -> (SharedFd, OwnedFd) {
    let reader = high(reader.try_unwrap().unwrap());
    (SharedFd::new(reader), high(writer))
}

/// Calls that are in all states when this happens: each is made once.
fn lose(kind: Kind, context: Context, how: impl FnOnce()) {
    let [(reader, to), (idle, wakes)] = [pipe(), pipe()].map(high_pipe);
    let to = SharedFd::new(to);
    let dir = Dir::new();
    assert_eq!(context.run(Nop::new()), Ok(0));
    let begun = context.post(Read::new(&reader, vec![0; 1]));
    let idle = context.post(Read::new(&idle, vec![0; 1]));
    start(&context);
    let posted: Vec<_> = (0..40_u8)
        .map(|byte| context.post(Write::new(&to, vec![byte])))
        .collect();
    how();
    context.flush();
    let queued: Vec<_> = (40..80_u8)
        .map(|byte| context.post(Write::new(&to, vec![byte])))
        .collect();
    for write in posted.into_iter().chain(queued) {
        assert_eq!(write.wait(&context).0, Ok(1));
    }
    // What the kernel still has is looked for each 10 ms, and not all the time.
    let before = context.stats();
    assert!(context.wait_timeout(2, Duration::from_millis(100)) <= 1);
    let after = context.stats();
    assert!(after.waits - before.waits <= 20, "{kind}: {after:?}");
    write(&wakes, b"x");
    assert_eq!(idle.wait(&context).0, Ok(1));
    let (count, mut bytes) = begun.wait(&context);
    assert_eq!(count, Ok(1), "of {kind}");
    let mut rest = [0; 79];
    File::from(reader.try_unwrap().unwrap())
        .read_exact(&mut rest)
        .unwrap();
    bytes.extend(rest);
    bytes.sort_unstable();
    assert_eq!(bytes, (0..80).collect::<Vec<_>>(), "each once");
    use_all_over(context, &dir);
}

/// io_uring that may not be entered any more, in a process of its own.
fn forbidden(test: &str, errno: i32) {
    alone(test, || {
        if there_is(Kind::IoUring, test) {
            lose(Kind::IoUring, context(Kind::IoUring), || {
                answer(libc::SYS_io_uring_enter, errno);
            });
        }
    });
}

#[test]
fn io_uring_that_a_filter_forbids_to_enter() {
    forbidden("io_uring_that_a_filter_forbids_to_enter", libc::EPERM);
}

#[test]
fn io_uring_that_is_said_to_be_none() {
    forbidden("io_uring_that_is_said_to_be_none", libc::ENOSYS);
}

#[test]
fn io_uring_that_never_finds_memory() {
    forbidden("io_uring_that_never_finds_memory", libc::ENOMEM);
}

/// A context whose descriptors the program closes, in a process of its own.
fn closed(test: &str, kind: Kind, how: impl FnOnce()) {
    alone(test, || {
        if there_is(kind, test) {
            lose(kind, context(kind), how);
        }
    });
}

#[test]
fn io_uring_whose_descriptors_are_closed() {
    let test = "io_uring_whose_descriptors_are_closed";
    closed(test, Kind::IoUring, close_others);
}

#[test]
fn io_uring_whose_descriptors_become_others() {
    let test = "io_uring_whose_descriptors_become_others";
    closed(test, Kind::IoUring, replace_others);
}

/// A pool whose thread that waits can be woken no more.
fn pool_without_files(test: &str, how: impl FnOnce()) {
    alone(test, || {
        let context = context(Kind::Threads);
        let [first, second] = [pipe(), pipe()].map(high_pipe);
        let waiting = context.post(Read::new(&first.0, vec![0; 1]));
        let ended = context.post(Read::new(&first.0, vec![0; 1]));
        context.flush();
        // There is the thread from here on.
        while context.stats().threads < 2 {
            std::thread::yield_now();
        }
        assert_ne!(context.cancel(&ended), Cancel::Over);
        how();
        let later = context.post(Read::new(&second.0, vec![0; 1]));
        start(&context);
        write(&second.1, b"2");
        assert_eq!(later.wait(&context), (Ok(1), b"2".to_vec()));
        write(&first.1, b"1");
        assert_eq!(waiting.wait(&context), (Ok(1), b"1".to_vec()));
        assert_eq!(ended.wait(&context).0, Err(Errno::ECANCELED));
        drop(context);
    });
}

#[test]
fn pool_whose_descriptors_are_closed() {
    pool_without_files("pool_whose_descriptors_are_closed", close_others);
}

#[test]
fn pool_whose_descriptors_become_others() {
    pool_without_files("pool_whose_descriptors_become_others", replace_others);
}

#[test]
fn module_whose_descriptor_is_closed() {
    closed(
        "module_whose_descriptor_is_closed",
        Kind::Module,
        close_others,
    );
}

#[test]
fn module_whose_descriptor_becomes_another() {
    let test = "module_whose_descriptor_becomes_another";
    closed(test, Kind::Module, replace_others);
}
