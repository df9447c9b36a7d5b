// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tickets and watches that are given up: what becomes of the operation, and of what it owns.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::sync::Arc;

use common::{Dir, LONG, Watched, context, fill, pipe, start, waiting, write};
use libflexsc::{
    At, Context, SharedFd,
    backend::Kind,
    op::{Getppid, Mkdirat, Nop, Read, Write},
};

each_backend!(posting:
    dropped_ticket_frees_its_buffer_when_the_call_is_over,
    dropped_ticket_of_what_is_over_frees_its_buffer,
    discarded_ticket_frees_its_buffer_when_the_call_is_over,
    queued_operation_of_a_dropped_ticket_is_executed,
    queued_operation_of_a_discarded_ticket_is_not_executed,
    dropped_tickets_of_a_chain_free_their_buffers,
    tickets_that_another_thread_drops_free_their_buffers,
    ticket_that_outlives_its_context_is_dropped,
    dropped_watch_ends,
);

/// Waits until nothing is in progress.
fn drain(context: &Context) {
    while context.outstanding() > 0 {
        assert!(context.wait_timeout(1, LONG) > 0, "hangs");
    }
}

fn dropped_ticket_frees_its_buffer_when_the_call_is_over(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let (buf, freed) = Watched::new(16);
    drop(context.post(Read::new(reader.clone(), buf)));
    start(&context);
    assert!(!freed.get());
    assert!(!reader.is_unique(), "the call uses the file");
    write(&writer, b"late");
    drain(&context);
    assert!(freed.get());
    assert!(reader.is_unique());
}

fn dropped_ticket_of_what_is_over_frees_its_buffer(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    write(&writer, b"soon");
    let (buf, freed) = Watched::new(16);
    let ticket = context.post(Read::new(reader, buf));
    drain(&context);
    drop(ticket);
    assert!(!freed.get(), "the context may be in use elsewhere");
    assert_eq!(context.outstanding(), 0);
    assert!(freed.get());
}

fn queued_operation_of_a_dropped_ticket_is_executed(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let blocked = fill(&context, &reader);
    let dir = Dir::new();
    drop(context.post(Mkdirat::new(At::Cwd, dir.c("made"), 0o755)));
    write(&writer, &vec![0; blocked.len()]);
    drain(&context);
    assert!(dir.join("made").is_dir());
}

fn queued_operation_of_a_discarded_ticket_is_not_executed(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let blocked = fill(&context, &reader);
    let dir = Dir::new();
    let ticket = context.post(Mkdirat::new(At::Cwd, dir.c("made"), 0o755));
    ticket.discard(&context);
    write(&writer, &vec![0; blocked.len()]);
    drain(&context);
    assert!(!dir.join("made").exists());
}

fn dropped_tickets_of_a_chain_free_their_buffers(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let ((one, first), (two, second)) = (Watched::new(2), Watched::new(2));
    let chain = (Read::new(&reader, one), Read::new(&reader, two));
    let (taken, dropped) = context.post_chain(chain);
    drop(dropped);
    write(&writer, b"late");
    drain(&context);
    assert!(second.get() && !first.get());
    assert_eq!(taken.wait(&context).0, Ok(2));
    assert!(first.get());
}

fn tickets_that_another_thread_drops_free_their_buffers(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let writer = SharedFd::new(writer);
    let shared: Arc<[u8]> = b"x".as_slice().into();
    let mut taken = 0;
    std::thread::scope(|scope| {
        let (give, get) = std::sync::mpsc::channel();
        scope.spawn(move || get.into_iter().for_each(drop));
        for i in 0..2000 {
            let ticket = context.post(Write::new(&writer, shared.clone()));
            if i % 3 == 0 {
                assert_eq!(ticket.wait(&context).0, Ok(1));
                taken += 1;
            } else {
                give.send(ticket).unwrap();
            }
        }
    });
    drain(&context);
    // What was dropped after the last look.
    context.flush();
    assert_eq!(Arc::strong_count(&shared), 1);
    assert_eq!((taken, waiting(&reader)), (667, 2000));
}

fn ticket_that_outlives_its_context_is_dropped(kind: Kind) {
    let one = context(kind);
    let ticket = one.post(Nop::new());
    drop(one);
    // Of that one nothing must reach the next, in the same place.
    let next = context(kind);
    let own = next.post(Getppid::new());
    drop(ticket);
    drain(&next);
    assert_eq!(
        own.wait(&next),
        Ok(std::os::unix::process::parent_id() as i32)
    );
}

fn dropped_watch_ends(kind: Kind) {
    let context = context(kind);
    let (reader, _writer) = pipe();
    drop(context.watch(&reader, libc::POLLIN));
    drain(&context);
    assert!(reader.is_unique());
}

fn discarded_ticket_frees_its_buffer_when_the_call_is_over(kind: Kind) {
    let context = context(kind);
    let (reader, writer) = pipe();
    let (buf, freed) = Watched::new(16);
    let ticket = context.post(Read::new(reader, buf));
    start(&context);
    ticket.discard(&context);
    assert!(!freed.get());
    write(&writer, b"late");
    drain(&context);
    assert!(freed.get());
}
