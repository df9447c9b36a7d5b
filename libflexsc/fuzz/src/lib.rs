// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the fuzz targets share: a page, input as numbers, and an account of what was reached.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use libflexsc::page::{Executor, Place, Region, Submitter, Terms};

/// Few, so that the rings go round and the page is full at times.
pub const ENTRIES: u32 = 64;

/// Runs below which nothing is promised: a single input is being looked at.
const MANY: u64 = 10_000;

/// Both sides of a page.
pub fn page() -> (Arc<Region>, Submitter, Executor) {
    let region = Region::new(ENTRIES).expect("there is memory");
    let (submitter, executor) = (
        Submitter::new(region.clone()),
        Executor::new(region.clone()),
    );
    (region, submitter, executor)
}

/// Fills in an entry that nobody executes; `false` if none is free.
pub fn push(submitter: &mut Submitter, token: u32, flags: u16) -> bool {
    let terms = Terms { flags, span: 0 };
    // SAFETY: No executor of these targets makes a call.
    unsafe { submitter.push_with(token as u16, &[u64::from(token); 6], terms, token) }.is_some()
}

/// The input, as what to do.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// The next number, if there is one.
    pub fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A number of any size: mostly a small one.
    pub fn number(&mut self) -> u64 {
        match self.next().unwrap_or(0) {
            small @ 0..200 => small.into(),
            far @ 200..228 => u64::from(far).wrapping_sub(228),
            _ => (0..8).fold(0, |number, _| {
                (number << 8) | u64::from(self.next().unwrap_or(0xff))
            }),
        }
    }

    /// An index, mostly of an entry.
    fn index(&mut self) -> u32 {
        match self.number() {
            small @ 0..200 => small as u32 % (ENTRIES + 2),
            far => far as u32,
        }
    }

    /// What to write to a place: mostly something that means something there.
    pub fn value(&mut self, place: Place) -> u64 {
        match place {
            Place::SubSlot(_) | Place::CompSlot(_) => self.index().into(),
            Place::Status(_) => self.number() % 5,
            _ => self.number(),
        }
    }

    /// A place of the page that the submitter's side writes.
    pub fn place_of_submitter(&mut self) -> Place {
        let kind = self.next().unwrap_or(0);
        let index = self.index();
        match kind % 6 {
            0 => Place::SubTail,
            1 => Place::SubSlot(index),
            2 => Place::Status(index),
            3 => Place::Flags(index),
            4 => Place::Ret(index),
            _ => Place::CompHead,
        }
    }

    /// A place of the page that the executor's side writes.
    pub fn place_of_executor(&mut self) -> Place {
        let kind = self.next().unwrap_or(0);
        let index = self.index();
        match kind % 7 {
            0 => Place::CompTail,
            1 => Place::CompSlot(index),
            2 => Place::Status(index),
            3 => Place::Flags(index),
            4 => Place::Ret(index),
            5 => Place::SubHead,
            _ => Place::Wakeup,
        }
    }
}

/// How often each outcome was reached, printed when the process ends; one that never was fails it.
pub struct Outcomes<const N: usize> {
    names: [&'static str; N],
    counts: [AtomicU64; N],
    runs: AtomicU64,
}

impl<const N: usize> Outcomes<N> {
    /// Of these names.
    pub const fn new(names: [&'static str; N]) -> Self {
        Self {
            names,
            counts: [const { AtomicU64::new(0) }; N],
            runs: AtomicU64::new(0),
        }
    }

    /// Counts an input.
    pub fn run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an outcome.
    pub fn reached(&self, name: &str) {
        let index = self.names.iter().position(|&other| other == name);
        self.counts[index.expect("it is listed")].fetch_add(1, Ordering::Relaxed);
    }

    /// Prints what was reached; `false` if one never was.
    pub fn report(&self) -> bool {
        let runs = self.runs.load(Ordering::Relaxed);
        let mut all = true;
        for (name, count) in self.names.iter().zip(&self.counts) {
            let count = count.load(Ordering::Relaxed);
            println!("{count:>12} {name}");
            all &= count > 0;
        }
        println!("{runs:>12} inputs");
        all || runs < MANY
    }
}

/// Makes a fuzz target of a function, with what it promises to reach.
#[macro_export]
macro_rules! target {
    ($outcomes:ident = [$($name:literal),* $(,)?], $run:path) => {
        static $outcomes: $crate::Outcomes<{ [$($name),*].len() }> = $crate::Outcomes::new([$($name),*]);

        extern "C" fn report() {
            if !$outcomes.report() {
                println!("FAIL: one of them was never reached");
                // SAFETY: It ends the process, whose end this is.
                unsafe { $crate::exit(1) };
            }
        }

        libfuzzer_sys::fuzz_target!(
            init: {
                // SAFETY: The function needs nothing that is gone when the process ends.
                unsafe { $crate::at_exit(report) };
            },
            |data: &[u8]| {
                $outcomes.run();
                $run(data);
            }
        );
    };
}

/// Has a function called when the process ends.
///
/// # Safety
///
/// As for `atexit(3)`.
pub unsafe fn at_exit(what: extern "C" fn()) {
    // SAFETY: As the caller promises.
    unsafe { libc::atexit(what) };
}

/// Ends the process at once.
///
/// # Safety
///
/// As for `_exit(2)`.
pub unsafe fn exit(status: i32) -> ! {
    // SAFETY: As the caller promises.
    unsafe { libc::_exit(status) }
}
