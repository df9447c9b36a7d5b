// SPDX-License-Identifier: MIT OR Apache-2.0
//! Atomics, locks and threads: the standard library's, or loom's under `--cfg loom`, or shuttle's
//! under `--cfg loom --cfg shuttle`.
//!
//! Everything that takes part in the [page](crate::page) protocol comes from here, so that the
//! very same code runs on the machine and in the model checkers.

#[cfg(not(loom))]
pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering, fence},
    },
};

#[cfg(all(loom, not(shuttle)))]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering, fence},
};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering, fence},
};

/// Whether the protocol is to be broken at the place with this name, which a test of the model
/// checker must then notice. Never outside of it.
#[cfg(not(loom))]
pub(crate) const fn mutant(_: &str) -> bool {
    false
}

/// Whether the protocol is to be broken at the place with this name: where `FLEXSC_MUTANT` says so.
#[cfg(loom)]
pub(crate) fn mutant(name: &str) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let asked = NAME.get_or_init(|| std::env::var("FLEXSC_MUTANT").ok());
    asked.as_deref() == Some(name)
}
