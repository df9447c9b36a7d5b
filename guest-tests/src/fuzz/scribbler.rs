// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes random and plausible values over the whole mapping, except for what makes the calls of clean entries.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libflexsc::sys as abi;

use super::memory::Memory;
use super::table::find;
use crate::client::Context;
use crate::rng::Rng;

/// Entries of a fuzzed context.
pub const ENTRIES: u32 = 256;
/// The first entries: number, flags, arguments and result of these are left alone.
pub const CLEAN: u32 = 128;

/// A context that several threads use at once.
#[derive(Debug)]
pub struct Shared(pub Context);

// SAFETY: everything that is done through a shared reference is an atomic access to the mapping or an ioctl.
unsafe impl Sync for Shared {}

impl Shared {
    /// Names entry `index` on the submission ring.
    pub fn publish(&self, index: u32) {
        let tail = self.0.sub_tail().fetch_add(1, Ordering::AcqRel);
        self.0.sub_slot(tail).store(index, Ordering::Release);
    }
}

fn status(rng: &mut Rng) -> u32 {
    match rng.below(8) {
        0..=3 => abi::SUBMITTED,
        4 => abi::FREE,
        5 => abi::BUSY,
        6 => abi::DONE,
        _ => rng.bits() as u32,
    }
}

fn index(rng: &mut Rng) -> u32 {
    if rng.one_in(8) {
        rng.bits() as u32
    } else {
        rng.below(u64::from(ENTRIES) + 2) as u32
    }
}

/// A dirty entry that may well be executed.
fn entry(context: &Context, memory: &Memory, calls: &[u16], rng: &mut Rng) {
    let index = CLEAN + rng.below((ENTRIES - CLEAN).into()) as u32;
    let nr = if rng.one_in(16) {
        rng.bits() as u16
    } else {
        *rng.pick(calls)
    };
    let args = memory.arguments(find(nr), rng);
    context.nr(index).store(nr, Ordering::Relaxed);
    let flags = match rng.below(8) {
        0 | 1 => (rng.bits() & rng.bits()) as u16,
        2 => abi::ENTRY_MULTI,
        3 => abi::ENTRY_MULTI | abi::ENTRY_TIMEOUT,
        _ => 0,
    };
    context.flags(index).store(flags, Ordering::Relaxed);
    for (which, value) in args.iter().enumerate() {
        context.arg(index, which).store(*value, Ordering::Relaxed);
    }
    context
        .status(index)
        .store(abi::SUBMITTED, Ordering::Release);
}

/// One stroke.
pub fn stroke(shared: &Shared, memory: &Memory, calls: &[u16], rng: &mut Rng) {
    let context = &shared.0;
    match rng.below(32) {
        0..=5 => context
            .status(rng.below(ENTRIES.into()) as u32)
            .store(status(rng), Ordering::Relaxed),
        6..=9 => context
            .sub_slot(rng.bits() as u32)
            .store(index(rng), Ordering::Relaxed),
        10 => context
            .comp_slot(rng.bits() as u32)
            .store(index(rng), Ordering::Relaxed),
        11..=16 => shared.publish(index(rng)),
        17 => {
            let words = [
                context.sub_head(),
                context.sub_tail(),
                context.comp_tail(),
                context.comp_head(),
                context.wakeup(),
            ];
            let word = rng.pick(&words);
            let near = context.comp_tail().load(Ordering::Relaxed);
            let value = match rng.below(4) {
                0 => rng.bits() as u32,
                1 => near.wrapping_add(ENTRIES),
                2 => near.wrapping_sub(rng.below(300) as u32),
                _ => rng.below(2) as u32,
            };
            word.store(value, Ordering::Relaxed);
        }
        18 => {
            // Constants, counters and padding, too.
            let at = rng.below(1024) as usize;
            // SAFETY: an aligned word of the mapped control page, accessed atomically.
            unsafe { AtomicU32::from_ptr(context.mapping().0.cast::<u32>().add(at)) }
                .store(rng.bits() as u32, Ordering::Relaxed);
        }
        19 => {
            let entries = context.setup().entries_off as usize;
            let first = CLEAN * 8;
            let at = first + rng.below(u64::from((ENTRIES - CLEAN) * 8)) as u32;
            // SAFETY: an aligned word of the dirty entries, which are mapped, accessed atomically.
            let word = unsafe {
                AtomicU64::from_ptr(
                    context
                        .mapping()
                        .0
                        .add(entries)
                        .cast::<u64>()
                        .add(at as usize),
                )
            };
            word.store(rng.bits(), Ordering::Relaxed);
        }
        _ => entry(context, memory, calls, rng),
    }
}
