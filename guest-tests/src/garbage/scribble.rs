// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread that writes garbage over the shared pages while the kernel works on them.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use libflexsc::sys::{self as abi, MIN_ENTRIES, NR_NOP};

use super::requests::works;
use crate::client::{Context, Mode};
use crate::posted::ensure;
use crate::rng::Rng;
use crate::suite::{Behaviour, Place, bind, context, cpus};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("scribbling_over_everything", everything);
    one("scribbling_over_statuses", statuses);
    one("scribbling_over_control_words", control);
    one("a_moving_sub_tail_keeps_nobody_in_wait", moving_tail);
}

/// Where a scribble may go.
#[derive(Clone, Copy)]
struct Where {
    statuses: bool,
    control: bool,
    entries: bool,
}

/// One stroke. Calls stay harmless ones, whatever their arguments.
fn stroke(shared: &Shared<'_>, to: Where, rng: &mut Rng) {
    let index = rng.below(MIN_ENTRIES.into()) as u32;
    let context = shared.0;
    match rng.below(8) {
        0..=2 if to.statuses => {
            let status = if rng.one_in(4) {
                rng.bits() as u32
            } else {
                abi::SUBMITTED
            };
            context.status(index).store(status, Ordering::Relaxed);
        }
        3 if to.statuses => context
            .sub_slot(index)
            .store(rng.below(80) as u32, Ordering::Relaxed),
        4 if to.control => {
            let words = [
                context.sub_head(),
                context.comp_tail(),
                context.comp_head(),
                context.wakeup(),
                context.sub_tail(),
                context.comp_slot(index),
                context.sub_slot(index),
            ];
            rng.pick(&words).store(rng.bits() as u32, Ordering::Relaxed);
        }
        5 if to.control => {
            // Constants and counters, too: any word of the control page.
            let (map, _) = context.mapping();
            let at = rng.below(1024) as usize;
            // SAFETY: an aligned word of the mapped control page, accessed atomically.
            unsafe { AtomicU32::from_ptr(map.cast::<u32>().add(at)) }
                .store(rng.bits() as u32, Ordering::Relaxed);
        }
        6 if to.entries => {
            let nr = *rng.pick(&[
                NR_NOP,
                libc::SYS_getppid as u16,
                libc::SYS_fsync as u16,
                600,
                0xfffe,
            ]);
            context.nr(index).store(nr, Ordering::Relaxed);
            context
                .flags(index)
                .store(rng.bits() as u16 & rng.bits() as u16, Ordering::Relaxed);
        }
        7 if to.entries => context
            .arg(index, rng.below(6) as usize)
            .store(rng.bits(), Ordering::Relaxed),
        _ => {
            let tail = context.sub_tail().load(Ordering::Relaxed);
            context
                .sub_tail()
                .store(tail.wrapping_add(1), Ordering::Release);
        }
    }
}

/// A context that two threads look at, the one who waits and the one who scribbles.
struct Shared<'a>(&'a Context);

// SAFETY: everything that is done through it is an atomic access to the mapping or an ioctl.
unsafe impl Sync for Shared<'_> {}

fn scribble(place: &mut Place, to: Where) -> Result<(), String> {
    for mode in [Mode::Lanes, Mode::Caller] {
        for _ in 0..place.rounds.unwrap_or(6) {
            let context = context(MIN_ENTRIES, mode)?;
            let shared = Shared(&context);
            let stop = AtomicBool::new(false);
            let seed = place.rng.bits();
            for index in 0..MIN_ENTRIES {
                context.nr(index).store(NR_NOP, Ordering::Relaxed);
            }
            let strokes = std::thread::scope(|scope| {
                let scribbler = scope.spawn(|| {
                    let mut rng = Rng::new(seed);
                    let mut strokes = 0_u64;
                    // At least as many as it takes to hit everything.
                    while strokes < 20_000 || !stop.load(Ordering::Relaxed) {
                        stroke(&shared, to, &mut rng);
                        strokes += 1;
                        if strokes % 512 == 0 {
                            std::thread::yield_now();
                        }
                    }
                    strokes
                });
                for turn in 0..200_u32 {
                    // Errors may come, as the words say: only that nothing breaks counts.
                    match turn % 4 {
                        0 => drop(context.kick()),
                        1 => drop(context.wait(0, None)),
                        2 => drop(context.wait(turn, Some(Duration::from_micros(500)))),
                        _ => {
                            let mut one = libc::pollfd {
                                fd: context.fd().as_raw_fd(),
                                events: libc::POLLIN,
                                revents: 0,
                            };
                            // SAFETY: one writable structure.
                            unsafe { libc::poll(&raw mut one, 1, 0) };
                        }
                    }
                }
                stop.store(true, Ordering::Relaxed);
                scribbler.join()
            });
            let strokes = strokes.map_err(|_| "the scribbler panicked")?;
            ensure(strokes >= 20_000, format!("{strokes} strokes only"))?;
            // While the spoilt one still is there, another one works; also when it has gone.
            let mut fresh = self::context(MIN_ENTRIES, mode)?;
            works(&mut fresh)?;
            drop(context);
            works(&mut fresh)?;
        }
    }
    Ok(())
}

fn everything(place: &mut Place) -> Result<(), String> {
    let to = Where {
        statuses: true,
        control: true,
        entries: true,
    };
    scribble(place, to)
}

fn statuses(place: &mut Place) -> Result<(), String> {
    let to = Where {
        statuses: true,
        control: false,
        entries: false,
    };
    scribble(place, to)
}

fn control(place: &mut Place) -> Result<(), String> {
    let to = Where {
        statuses: false,
        control: true,
        entries: false,
    };
    scribble(place, to)
}

/// Posts the next entry, although it is not reaped.
fn advance(shared: &Shared<'_>) {
    let tail = shared.0.sub_tail();
    let index = tail.load(Ordering::Relaxed) % MIN_ENTRIES;
    shared
        .0
        .status(index)
        .store(abi::SUBMITTED, Ordering::Relaxed);
    tail.fetch_add(1, Ordering::Release);
}

fn wait_while_it_moves(shared: &Shared<'_>) {
    while shared.0.sub_tail().load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    // Once on a busy machine who moves it may be too slow to be missed.
    for _ in 0..20 {
        // Whatever it says, it comes back.
        let _ = shared.0.wait(1, Some(Duration::from_millis(1)));
    }
}

fn moving_tail(_: &mut Place) -> Result<(), String> {
    // Calls that take long against a pause of who moves the word.
    let mut memory = vec![0_u8; 1 << 16];
    let context = context(MIN_ENTRIES, Mode::Caller)?;
    for index in 0..MIN_ENTRIES {
        context
            .nr(index)
            .store(libc::SYS_getrandom as u16, Ordering::Relaxed);
        context
            .arg(index, 0)
            .store(memory.as_mut_ptr() as u64, Ordering::Relaxed);
        context
            .arg(index, 1)
            .store(memory.len() as u64, Ordering::Relaxed);
        context
            .status(index)
            .store(abi::SUBMITTED, Ordering::Relaxed);
        context.sub_slot(index).store(index, Ordering::Relaxed);
    }
    let (shared, stop) = (Shared(&context), AtomicBool::new(false));
    // On one processor, so that a busy machine that stops one of them stops both.
    let cpu = *cpus()?.first().ok_or("no CPU")?;
    std::thread::scope(|scope| {
        let mover = std::thread::Builder::new().spawn_scoped(scope, || {
            let bound = bind(cpu);
            while !stop.load(Ordering::Relaxed) {
                advance(&shared);
            }
            bound
        });
        let mover = mover.map_err(|why| format!("a thread: {why}"))?;
        let caller = std::thread::Builder::new().spawn_scoped(scope, || {
            let bound = bind(cpu);
            wait_while_it_moves(&shared);
            bound
        });
        let came_back = match caller {
            Ok(caller) => caller.join().map_err(|_| "the caller panicked".to_owned()),
            Err(why) => Err(format!("a thread: {why}")),
        };
        stop.store(true, Ordering::Relaxed);
        came_back??;
        mover.join().map_err(|_| "the mover panicked")?
    })
}
