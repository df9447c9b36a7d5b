// SPDX-License-Identifier: MIT OR Apache-2.0
//! Atomics, locks and threads: the standard library's, or loom's under `--cfg loom`.
//!
//! Everything that takes part in the [page](crate::page) protocol comes from here, so that the
//! very same code runs on the machine and in the model checker.

#[cfg(not(loom))]
pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering, fence},
    },
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering, fence},
};
