// SPDX-License-Identifier: MIT OR Apache-2.0
//! Before any figure: that counts are right, and how polling is told from work.

#![allow(unsafe_code)]

use core::{arch::asm, time::Duration};

use crate::{
    backend::{Backend, Kind, Posted},
    call::Call,
    case::{self, Places},
    counts::{Counts, Intervals, PollLengths, Window, usual},
    cpu::Cpus,
    error::Error,
    mark::{self, mark},
    measure::sleep,
};

/// Rounds of the loop of known length.
const ROUNDS: u64 = 20_000;

/// How often it is looked whether the others are quiet, at most, and how often in turn they have to be.
const SETTLES: usize = 400;
const QUIET: usize = 3;

/// How often polling is looked for: another processor may not run at the moment.
const TRIES: usize = 50;
/// Pauses that show what a loop consists of.
const ENOUGH: u64 = 500;

/// Holds the count of a loop against how many instructions it has, and the count of a system call
/// against one.
///
/// A timer interrupt adds what it executes in the kernel, so that only one window in five has to be
/// free of them; in user mode nothing may be added.
///
/// # Errors
///
/// [`Error::Miscounted`].
pub(crate) fn check(counts: &mut Counts, cpus: Cpus) -> Result<(), Error> {
    Cpus::bind(&[cpus.here])?;
    counts.windows()?;
    for _ in 0..5 {
        let mut left = ROUNDS;
        // SAFETY: The loop counts a register down to zero, and touches nothing else. The marks are
        // in it so that there is no instruction of the compiler's between them.
        unsafe {
            asm!(
                "nopl {begin}(%rax)",
                "2:",
                "dec {left}",
                "jnz 2b",
                "nopl {end}(%rax)",
                begin = const mark::MARK + mark::BEGIN,
                end = const mark::MARK + mark::END,
                left = inout(reg) left,
                options(att_syntax, nostack),
            );
        }
        debug_assert_eq!(left, 0);
    }
    let windows = counts.windows()?;
    // And the mark that begins.
    let executed = 2 * ROUNDS + 1;
    let here = |window: &Window| {
        let executed = window.processors.get(window.here);
        executed.map_or((0, 0, 0), |count| {
            (count.user, count.kernel, count.syscalls)
        })
    };
    for window in &windows {
        let (user, _, syscalls) = here(window);
        if user != executed || syscalls != 0 {
            return Err(Error::Miscounted {
                executed,
                counted: user,
            });
        }
    }
    match windows.iter().map(|window| here(window).1).min() {
        Some(0) => Ok(()),
        kernel => Err(Error::Miscounted {
            executed,
            counted: executed + kernel.unwrap_or(0),
        }),
    }
}

/// Waits until the other processors have nothing to do: what a turn has left to them, as a ring's thread and
/// the work that ends the ring, is not the next one's. After two seconds it is their own, and is in the figures.
///
/// # Errors
///
/// What is wrong with the plugin's file.
pub(crate) fn settle(counts: &mut Counts) -> Result<(), Error> {
    let mut quiet = 0;
    for _ in 0..SETTLES {
        std::thread::sleep(Duration::from_millis(5));
        counts.windows()?;
        mark::<{ mark::BEGIN }>();
        for round in 0..ROUNDS {
            core::hint::black_box(round);
        }
        mark::<{ mark::END }>();
        let windows = counts.windows()?;
        quiet = match windows.iter().all(Window::is_quiet) {
            true => quiet + 1,
            false => 0,
        };
        if quiet == QUIET {
            break;
        }
    }
    Ok(())
}

/// What the loops consist of that poll: the library's, which waits for completions, and the
/// module's, which wait for entries.
///
/// # Errors
///
/// What keeps a context of the module from being made; [`Error::NobodyPolls`].
pub(crate) fn poll_lengths(
    counts: &mut Counts,
    cpus: Cpus,
    places: &Places,
) -> Result<PollLengths, Error> {
    let mut lengths = PollLengths::default();
    if cpus.there.is_none() {
        return Ok(lengths);
    }
    let mut posted = Posted::open(Kind::Module, cpus, 64, |_| {})?;
    let statx = case::make("statx", places, 1)?;
    let short = libc::timespec {
        tv_sec: 0,
        tv_nsec: 3_000_000,
    };
    let (mut user, mut kernel) = (Intervals::new(), Intervals::new());
    // After the one call a page worker polls, after the other a system call thread.
    for call in [Call::nop(), statx.warm_up] {
        let mut polls = Intervals::new();
        for _ in 0..TRIES {
            counts.windows()?;
            posted.batch(&[call], &mut [0]);
            mark::<{ mark::BEGIN }>();
            // Nobody posts; without a pause of its own.
            for round in 0..10_000 {
                core::hint::black_box(round);
            }
            mark::<{ mark::END }>();
            for window in counts.windows()? {
                for (index, executed) in window.processors.iter().enumerate() {
                    if index != window.here {
                        add(&mut polls, &executed.pauses_kernel);
                    }
                }
            }
            if polls.values().sum::<u64>() >= ENOUGH {
                break;
            }
        }
        if polls.is_empty() {
            return Err(Error::NobodyPolls);
        }
        add(&mut kernel, &polls);
    }
    for _ in 0..TRIES {
        counts.windows()?;
        mark::<{ mark::BEGIN }>();
        posted.batch(&[sleep(&short)], &mut [0]);
        mark::<{ mark::END }>();
        for window in counts.windows()? {
            add(&mut user, &window.processors[window.here].pauses_user);
        }
        if user.values().sum::<u64>() >= ENOUGH {
            break;
        }
    }
    if user.is_empty() {
        return Err(Error::NobodyPolls);
    }
    lengths.user = usual(&user);
    lengths.kernel = usual(&kernel);
    Ok(lengths)
}

fn add(sum: &mut Intervals, pauses: &Intervals) {
    for (&length, &times) in pauses {
        *sum.entry(length).or_default() += times;
    }
}
