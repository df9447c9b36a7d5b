// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults, for the sanitizers to find: `scripts/test sanitize` fails if one is not reported.
#![cfg(sanitized)]

use std::{
    cell::UnsafeCell,
    hint::black_box,
    mem,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

#[test]
fn leak() {
    mem::forget(black_box(vec![1_u8; 100]));
}

#[test]
fn use_after_free() {
    let freed = {
        let bytes = vec![1_u8; 100];
        black_box(&bytes[1]) as *const u8
    };
    // SAFETY: None: the vector is gone. This is the fault.
    black_box(unsafe { freed.read_volatile() });
}

struct Number(UnsafeCell<u64>);

// SAFETY: None: nothing orders who writes to it. This is the fault.
unsafe impl Sync for Number {}

#[test]
fn race() {
    let (number, arrived) = (Number(UnsafeCell::new(0)), AtomicU32::new(0));
    let (number, arrived) = (&number, &arrived);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                // At the same time, which orders nothing: of a thread that is gone not all is remembered.
                arrived.fetch_add(1, Ordering::Relaxed);
                while arrived.load(Ordering::Relaxed) < 2 {
                    thread::yield_now();
                }
                // SAFETY: None: the other thread may be here, too.
                unsafe { *number.0.get() += 1 };
            });
        }
    });
}
