// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many sleeps and wake-ups of both sides, on the real machine: nobody is left asleep.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{thread, time::Duration};

use common::{LONG, context_with};
use libflexsc::{
    Context, Handle, SharedFd,
    backend::Kind,
    op::{Getppid, Nop, Pread, Read, Write},
    task::block_on,
};

each_backend!(posting:
    both_sides_sleep_each_time,
    bursts_of_all_sizes,
    more_blocked_operations_than_threads,
    contexts_side_by_side,
);

/// A context whose two sides go to sleep at once.
fn sleepy(kind: Kind, threads: u32) -> Context {
    context_with(kind, |options| {
        options
            .idle_spin(Duration::ZERO)
            .wait_spin(Duration::ZERO)
            .threads(threads)
    })
}

fn both_sides_sleep_each_time(kind: Kind) {
    for threads in [1, 2, 4] {
        let context = sleepy(kind, threads);
        for _ in 0..3000 {
            let mut ticket = context.post(Nop::new());
            while ticket.take(&context).is_none() {
                assert!(context.wait_timeout(1, LONG) > 0, "nobody woke up");
            }
        }
    }
}

fn bursts_of_all_sizes(kind: Kind) {
    for threads in [1, 3] {
        let context = sleepy(kind, threads);
        for burst in 1..=150 {
            let tickets: Vec<_> = (0..burst).map(|_| context.post(Getppid::new())).collect();
            let mut left = burst;
            while left > 0 {
                let done = context.wait_timeout(left, LONG);
                assert!(done > 0, "nobody woke up");
                left -= done;
            }
            for mut ticket in tickets {
                assert!(ticket.take(&context).unwrap().is_ok());
            }
        }
        assert_eq!(context.stats().rejected, 0);
    }
}

fn more_blocked_operations_than_threads(kind: Kind) {
    // Reads that wait for writes of the same page, all but one thread blocked at a time.
    let handle = Handle::new(sleepy(kind, 4));
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let inner = handle.clone();
            handle.spawn(async move {
                let (reader, writer) = common::pipe();
                let writer = SharedFd::new(writer);
                for turn in 0..100u8 {
                    let read = inner.submit(Read::new(reader.clone(), vec![0; 1]));
                    let (count, _) = inner.submit(Write::new(writer.clone(), vec![turn])).await;
                    assert_eq!(count, Ok(1));
                    assert_eq!(read.await, (Ok(1), vec![turn]));
                }
            })
        })
        .collect();
    block_on(&handle, async {
        for task in tasks {
            task.await;
        }
    });
}

fn contexts_side_by_side(kind: Kind) {
    let workers: Vec<_> = (0..4)
        .map(|number| {
            thread::spawn(move || {
                let context = sleepy(kind, 2);
                let file = SharedFd::from(std::fs::File::open("/proc/self/exe").unwrap());
                for round in 0..20 {
                    let reads = (0..100).map(|i| Pread::new(file.clone(), vec![0; number + 1], i));
                    let outputs = context.run_all(reads);
                    assert!(
                        outputs.iter().all(|(count, _)| *count == Ok(number + 1)),
                        "{round}"
                    );
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}
