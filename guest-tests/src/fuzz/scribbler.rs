// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes random and plausible values over the whole mapping, except for what makes the calls of clean entries, where
//! there are such.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use libflexsc::sys as abi;

use super::memory::Memory;
use super::table::{FLAGS, Flag, find};
use crate::client::Context;
use crate::rng::Rng;

/// Entries of a fuzzed context.
pub const ENTRIES: u32 = 256;
/// The first entries: number, flags, arguments and result of these are left alone, so that what comes of them can be
/// counted.
pub const CLEAN: u32 = 128;

/// Time limits of entries: over at once, soon, and never.
pub const SPANS: [u64; 4] = [
    0xffff_ffff_5ca1_ab1e,
    100_003,
    10_000_019,
    0x5ca1_ab1e_5ca1_ab1e,
];

/// A context that several threads use at once.
#[derive(Debug)]
pub struct Shared {
    /// The context.
    pub context: Context,
    /// How many of its entries are clean: [`CLEAN`] or none.
    pub clean: u32,
}

// SAFETY: everything that is done through a shared reference is an atomic access to the mapping or an ioctl.
unsafe impl Sync for Shared {}

impl Shared {
    /// Whether the context has what a flag needs.
    pub fn knows(&self, flag: &Flag) -> bool {
        let features = self.context.setup().features;
        features & flag.feature == flag.feature
    }

    /// Flags that an entry of a call may be posted with.
    pub fn flags(&self, nr: u16, rng: &mut Rng) -> u16 {
        let fits = |flag: &&Flag| flag.call.is_none_or(|call| call == nr) && self.knows(flag);
        let chosen = FLAGS
            .iter()
            .filter(fits)
            .filter(|flag| rng.one_in(flag.one_in));
        chosen.fold(0, |flags, flag| flags | flag.bit)
    }

    /// Names the entries on the submission ring, one after the other, and all of them at once.
    pub fn publish_all(&self, indexes: &[u32]) {
        let tail = self.context.sub_tail().load(Ordering::Acquire);
        for (which, index) in indexes.iter().enumerate() {
            self.context
                .sub_slot(tail.wrapping_add(which as u32))
                .store(*index, Ordering::Relaxed);
        }
        // Others may have published meanwhile: then something else is in these places, or they are passed over.
        self.context
            .sub_tail()
            .fetch_add(indexes.len() as u32, Ordering::AcqRel);
    }

    /// Names entry `index` on the submission ring.
    pub fn publish(&self, index: u32) {
        let tail = self.context.sub_tail().fetch_add(1, Ordering::AcqRel);
        self.context.sub_slot(tail).store(index, Ordering::Release);
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
fn entry(shared: &Shared, memory: &Memory, calls: &[u16], rng: &mut Rng) {
    let context = &shared.context;
    let index = shared.clean + rng.below((ENTRIES - shared.clean).into()) as u32;
    let nr = if rng.one_in(16) {
        rng.bits() as u16
    } else {
        *rng.pick(calls)
    };
    let args = memory.arguments(find(nr), rng.one_in(2), rng);
    context.nr(index).store(nr, Ordering::Relaxed);
    let flags = if rng.one_in(8) {
        (rng.bits() & rng.bits()) as u16
    } else {
        shared.flags(nr, rng)
    };
    context.flags(index).store(flags, Ordering::Relaxed);
    context.ret(index).store(span(rng), Ordering::Relaxed);
    for (which, value) in args.iter().enumerate() {
        context.arg(index, which).store(*value, Ordering::Relaxed);
    }
    context
        .status(index)
        .store(abi::SUBMITTED, Ordering::Release);
}

/// Nanoseconds that an entry may take; no call returns one of these.
pub fn span(rng: &mut Rng) -> u64 {
    *rng.pick(&SPANS)
}

/// One stroke.
pub fn stroke(shared: &Shared, memory: &Memory, calls: &[u16], rng: &mut Rng) {
    let context = &shared.context;
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
        19 | 20 => {
            // Any byte that is not a clean entry's.
            let (base, size) = context.mapping();
            let clean = context.setup().entries_off as usize;
            let count = shared.clean as usize * size_of::<abi::Entry>();
            let at = rng.below((size - count) as u64) as usize;
            let at = if at < clean { at } else { at + count };
            // SAFETY: a byte of the mapping, accessed atomically.
            unsafe { AtomicU8::from_ptr(base.add(at)) }.store(rng.bits() as u8, Ordering::Relaxed);
        }
        _ => entry(shared, memory, calls, rng),
    }
}
