// SPDX-License-Identifier: MIT OR Apache-2.0
//! Posting from several threads.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    thread,
};

use common::{Watched, context, pipe, waiting, write};
use libflexsc::{
    Backend, Context, Handle, SharedFd,
    backend::{Kind, Options},
    op::{Getppid, Nop, Pread, Read},
    remote::{Remote, RemotePending},
    task::block_on,
};

each_backend!(
    many_threads_share_one_context,
    one_context_per_thread,
    poster_ends_with_its_last_remote,
    remote_within_a_running_executor,
    nobody_serves,
    server_that_is_dropped,
    two_handles_exchange_operations,
);

/// Of what can be in progress: not plain calls.
mod posting {
    use super::dropped_remote_operation_is_cancelled;

    each_backend!(posting: dropped_remote_operation_is_cancelled,);
}

fn assert_shared<T: Send + Sync + Clone>(_: &T) {}
fn assert_send<T: Send>(_: &T) {}

fn remote(kind: Kind) -> (Remote, thread::JoinHandle<libflexsc::Stats>) {
    let mut options = Options::new();
    options.entries(64);
    Remote::thread(Backend::open(kind, &options).unwrap()).unwrap()
}

fn parent() -> i32 {
    std::os::unix::process::parent_id() as i32
}

fn many_threads_share_one_context(kind: Kind) {
    let (remote, poster) = remote(kind);
    assert_shared(&remote);
    let file = SharedFd::from(std::fs::File::open("/proc/self/exe").unwrap());
    let whole = std::fs::read("/proc/self/exe").unwrap();
    thread::scope(|scope| {
        for number in 0..8_u64 {
            let (remote, file, whole) = (remote.clone(), file.clone(), &whole);
            scope.spawn(move || {
                let reads: Vec<RemotePending<Pread>> = (0..100)
                    .map(|i| remote.submit(Pread::new(&file, vec![0; 3], number * 1000 + i)))
                    .collect();
                for (i, read) in reads.into_iter().enumerate() {
                    assert_send(&read);
                    let (count, buf) = read.wait().unwrap();
                    let at = number as usize * 1000 + i;
                    assert_eq!((count, &buf[..]), (Ok(3), &whole[at..at + 3]));
                }
            });
        }
    });
    drop(remote);
    assert_eq!(poster.join().unwrap().submitted, 800);
}

fn one_context_per_thread(kind: Kind) {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let context = context(kind);
            thread::spawn(move || context.run_all((0..100).map(|_| Getppid::new())))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), vec![Ok(parent()); 100]);
    }
}

fn poster_ends_with_its_last_remote(kind: Kind) {
    let (remote, poster) = remote(kind);
    let other = remote.clone();
    let pending = remote.submit(Nop::new());
    drop(remote);
    assert_eq!(other.run(Nop::new()), Ok(Ok(0)));
    drop(other);
    // One that is waited for keeps it.
    assert_eq!(pending.wait(), Ok(Ok(0)));
    assert_eq!(poster.join().unwrap().submitted, 2);
}

fn remote_within_a_running_executor(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (remote, server) = Remote::new();
    let served = handle.spawn({
        let handle = handle.clone();
        async move { server.run(&handle).await }
    });
    let other = thread::spawn(move || (0..50).map(|_| remote.run(Getppid::new())).collect());
    block_on(&handle, async {
        assert_eq!(handle.submit(Nop::new()).await, Ok(0));
        served.await;
    });
    let results: Vec<_> = other.join().unwrap();
    assert_eq!(results, vec![Ok(Ok(parent())); 50]);
}

fn nobody_serves(kind: Kind) {
    let (remote, server) = Remote::new();
    let before = remote.submit(Nop::new());
    drop(server);
    let error = before.wait().unwrap_err();
    assert!(error.to_string().contains("has ended"), "{kind}");
    assert!(remote.run(Nop::new()).is_err());
}

fn server_that_is_dropped(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (remote, server) = Remote::new();
    let pending = remote.submit(Nop::new());
    let mut served = Box::pin(server.run(&handle));
    block_on(
        &handle,
        poll_fn(|task| {
            assert!(served.as_mut().poll(task).is_pending());
            Poll::Ready(())
        }),
    );
    drop(served);
    // Executed, or given up: never waited for in vain.
    assert!(pending.wait().is_err() || handle.outstanding() == 0);
    assert!(remote.run(Nop::new()).is_err());
}

fn two_handles_exchange_operations(kind: Kind) {
    // A remote's future in the executor of another context.
    let (remote, poster) = remote(kind);
    let handle = Handle::new(context(kind));
    block_on(&handle, async {
        for _ in 0..20 {
            let there = remote.submit(Getppid::new());
            let here = handle.submit(Getppid::new());
            assert_eq!((there.await, here.await), (Ok(Ok(parent())), Ok(parent())));
        }
    });
    drop(remote);
    poster.join().unwrap();
}

fn dropped_remote_operation_is_cancelled(kind: Kind) {
    let (remote, poster) = remote(kind);
    let (reader, writer) = pipe();
    let (buf, freed) = Watched::new(4);
    let mut read = remote.submit(Read::new(&reader, buf));
    // Is there.
    assert_eq!(remote.run(Nop::new()), Ok(Ok(0)));
    let context = Context::direct();
    let handle = Handle::new(context);
    block_on(
        &handle,
        poll_fn(|task| {
            assert!(Pin::new(&mut read).poll(task).is_pending());
            Poll::Ready(())
        }),
    );
    drop(read);
    while !freed.get() {
        assert_eq!(remote.run(Nop::new()), Ok(Ok(0)));
    }
    write(&writer, b"late");
    let read = remote.run(Read::new(&reader, vec![0; 4])).unwrap();
    assert_eq!(read, (Ok(4), b"late".to_vec()));
    assert_eq!(waiting(&reader), 0);
    drop(remote);
    poster.join().unwrap();
}
