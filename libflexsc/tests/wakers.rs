// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wakers whose clones and drops use the context: they are user code, like those of a task that holds
//! operations.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::pin,
    ptr::without_provenance,
    task::{Context as TaskContext, Poll, RawWaker, RawWakerVTable, Waker},
};

use common::{context, pipe, write};
use libflexsc::{
    Handle,
    backend::Kind,
    op::{Nop, Read},
};

/// Of what can be in progress: not plain calls.
mod posting {
    use super::{
        operation_that_ends_in_a_clone_of_its_waker_gives_its_output,
        wakers_of_a_wait_may_begin_others, wakers_of_a_watch_may_use_the_context,
        wakers_of_an_operation_may_use_the_context,
        watch_that_is_told_in_a_clone_of_its_waker_tells,
    };

    each_backend!(posting:
        wakers_of_an_operation_may_use_the_context,
        wakers_of_a_watch_may_use_the_context,
        wakers_of_a_wait_may_begin_others,
        operation_that_ends_in_a_clone_of_its_waker_gives_its_output,
        watch_that_is_told_in_a_clone_of_its_waker_tells,
    );
}

type Hook = Box<dyn Fn()>;

thread_local! {
    /// What clones and drops of a waker do.
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    /// How many there were of each.
    static CLONES: Cell<u32> = const { Cell::new(0) };
    static DROPS: Cell<u32> = const { Cell::new(0) };
}

fn run_hook() {
    // What it does may use wakers, too: those do nothing.
    let hook = HOOK.take();
    if let Some(hook) = &hook {
        hook();
    }
    if hook.is_some() {
        HOOK.set(hook);
    }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        CLONES.set(CLONES.get() + 1);
        run_hook();
        RawWaker::new(data, &TABLE)
    },
    |_| {},
    |_| {},
    |_| {
        DROPS.set(DROPS.get() + 1);
        run_hook();
    },
);

/// A waker of its own for each number.
fn waker(number: usize) -> Waker {
    // SAFETY: The functions use no data, and may be called at any time; the thread-local hook is only
    // run where it was set.
    unsafe { Waker::from_raw(RawWaker::new(without_provenance(number), &TABLE)) }
}

/// From here on wakers of this thread do this, until it is dropped.
struct Hooked;

impl Hooked {
    fn new(hook: impl Fn() + 'static) -> Self {
        HOOK.set(Some(Box::new(hook)));
        Self
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        HOOK.set(None);
    }
}

/// How many clones and drops of wakers there were.
fn counted(what: impl FnOnce()) -> (u32, u32) {
    CLONES.set(0);
    DROPS.set(0);
    what();
    (CLONES.get(), DROPS.get())
}

fn use_context(handle: &Handle) -> Hooked {
    let handle = handle.clone();
    Hooked::new(move || assert_eq!(handle.run(Nop::new()), Ok(0)))
}

fn wakers_of_an_operation_may_use_the_context(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, _writer) = pipe();
    let [first, second] = [1, 2].map(waker);
    let _hooked = use_context(&handle);
    let mut read = Box::pin(handle.submit(Read::new(reader, vec![0; 1])));
    let counts = counted(|| {
        for waker in [&first, &second, &second] {
            let mut task = TaskContext::from_waker(waker);
            assert!(read.as_mut().poll(&mut task).is_pending());
        }
    });
    assert_eq!(counts, (2, 1), "one takes the place of the other");
    assert_eq!(counted(|| drop(read)), (0, 1));
}

fn wakers_of_a_watch_may_use_the_context(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, _writer) = pipe();
    let [first, second] = [1, 2].map(waker);
    let _hooked = use_context(&handle);
    let mut watch = handle.watch(&reader, libc::POLLIN);
    let counts = counted(|| {
        for waker in [&first, &second, &second] {
            let mut task = TaskContext::from_waker(waker);
            assert!(watch.poll_next(&mut task).is_pending());
        }
    });
    assert_eq!(counts, (2, 1), "one takes the place of the other");
    assert_eq!(counted(|| drop(watch)), (0, 1));
}

fn wakers_of_a_wait_may_begin_others(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, _writer) = pipe();
    let [first, second] = [1, 2].map(waker);
    let (inner, file) = (handle.clone(), reader.clone());
    let _hooked = Hooked::new(move || {
        let mut task = TaskContext::from_waker(Waker::noop());
        let ready = pin!(inner.ready(&file, libc::POLLIN));
        assert!(ready.poll(&mut task).is_pending());
    });
    let mut ready = Box::pin(handle.ready(&reader, libc::POLLIN));
    let counts = counted(|| {
        for waker in [&first, &second] {
            let mut task = TaskContext::from_waker(waker);
            assert!(ready.as_mut().poll(&mut task).is_pending());
        }
    });
    assert_eq!(counts, (2, 1), "one takes the place of the other");
    assert_eq!(counted(|| drop(ready)), (0, 1));
}

fn operation_that_ends_in_a_clone_of_its_waker_gives_its_output(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, writer) = pipe();
    let mut read = pin!(handle.submit(Read::new(reader, vec![0; 1])));
    let inner = handle.clone();
    let waker = waker(1);
    let hooked = Hooked::new(move || {
        write(&writer, b"x");
        while inner.outstanding() != 0 {
            inner.wait(1);
        }
    });
    let mut task = TaskContext::from_waker(&waker);
    match read.as_mut().poll(&mut task) {
        Poll::Ready(output) => assert_eq!(output, (Ok(1), b"x".to_vec())),
        Poll::Pending => panic!("nobody will wake it"),
    }
    drop(hooked);
}

fn watch_that_is_told_in_a_clone_of_its_waker_tells(kind: Kind) {
    let handle = Handle::new(context(kind));
    let (reader, writer) = pipe();
    let mut watch = handle.watch(&reader, libc::POLLIN);
    let inner = handle.clone();
    let waker = waker(1);
    let hooked = Hooked::new(move || {
        // Each write is told of, whatever is unread.
        write(&writer, b"x");
        assert_eq!(inner.wait(1), 1);
    });
    let mut task = TaskContext::from_waker(&waker);
    match watch.poll_next(&mut task) {
        Poll::Ready(events) => assert_eq!(events, Ok(libc::POLLIN)),
        Poll::Pending => panic!("nobody will wake it"),
    }
    drop(hooked);
}
