// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults, for the sanitizers to find: `scripts/test sanitize` fails if one is not reported.
#![cfg(sanitized)]

use std::{hint::black_box, mem};

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
