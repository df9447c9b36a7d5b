// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries whose contents change between two looks: what was judged has to be what is executed.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use libflexsc::sys::{ENTRY_TIMEOUT, MIN_ENTRIES, SUBMITTED};

use crate::client::{Context, Mode, open_device, setup_request};
use crate::policy::restrict;
use crate::posted::{MODES, ensure, expect, six};
use crate::suite::{Behaviour, Place, bind, two_cpus};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("a_number_that_flips_is_judged_and_executed_as_one", number);
}

/// Changes `word` from one number to the other and back, all the time, on `cpu`, while `body` runs.
fn flipped<T>(word: &AtomicU16, [one, other]: [u16; 2], cpu: usize, body: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Without, it is no less right, but may never run beside who executes.
            let _ = bind(cpu);
            while !over.load(Ordering::Relaxed) {
                for _ in 0..64 {
                    word.store(other, Ordering::Relaxed);
                    word.store(one, Ordering::Relaxed);
                }
            }
        });
        let verdict = body();
        over.store(true, Ordering::Relaxed);
        verdict
    })
}

/// Posts entry 0 with this number, unless it has been changed by the time that it is taken, and waits for it.
fn again(context: &mut Context, mode: Mode, nr: u16) -> Result<i64, String> {
    context.nr(0).store(nr, Ordering::Relaxed);
    context.flags(0).store(0, Ordering::Relaxed);
    context.status(0).store(SUBMITTED, Ordering::Release);
    context.publish(0);
    let done = context.complete(mode).map_err(|why| why.to_string())?;
    expect("the entry that completes", done.index.into(), 0)?;
    ensure(
        done.flags & ENTRY_TIMEOUT == 0,
        "a flag came from somewhere",
    )?;
    Ok(done.ret)
}

/// One thread flips an entry's number between a call that the set has and one that it has not, on a CPU where it runs
/// beside who takes the entry.
fn number(place: &mut Place) -> Result<(), String> {
    let (own, other) = two_cpus()?;
    let (allowed, refused) = (libc::SYS_getppid, libc::SYS_pwrite64);
    let parent = i64::from(std::os::unix::process::parent_id());
    let file = place.file("file", b"")?;
    let args = six(&[file.as_raw_fd() as u64, c"x".as_ptr() as u64, 1, 0]);
    let mut contexts = Vec::new();
    for mode in MODES {
        let mut request = setup_request(MIN_ENTRIES);
        request.cpu = other as i32;
        let cpu = match mode {
            Mode::Lanes => own,
            Mode::Caller => other,
        };
        if mode == Mode::Caller {
            request.spin_us = 0;
        }
        let context = open_device().and_then(|device| Context::new(device, request));
        contexts.push((mode, cpu, context.map_err(|why| why.to_string())?));
    }
    bind(own)?;
    for (mode, cpu, mut context) in contexts {
        restrict(context.fd(), Some(&[allowed]), true)
            .map_err(|errno| format!("restrict gave {errno}"))?;
        for (which, value) in args.iter().enumerate() {
            context.arg(0, which).store(*value, Ordering::Relaxed);
        }
        // SAFETY: a word of the mapping, which lives as long as the context, and so longer than the scope of the
        // thread that writes to it.
        let word = unsafe { AtomicU16::from_ptr(context.nr(0).as_ptr()) };
        let numbers = [allowed as u16, refused as u16];
        let (mut passed, mut stopped) = (0, 0);
        flipped(word, numbers, cpu, || {
            for round in 0..place.rounds.unwrap_or(1) * 4000 {
                match again(&mut context, mode, numbers[round as usize % 2])? {
                    ret if ret == parent => passed += 1,
                    ret if ret == -i64::from(libc::EACCES) => stopped += 1,
                    ret => return Err(format!("an entry gave {ret}")),
                }
            }
            Ok(())
        })?;
        let len = std::fs::metadata("file")
            .map_err(|why| why.to_string())?
            .len();
        expect("length of the file", len as i64, 0)?;
        ensure(
            passed > 0 && stopped > 0,
            format!("{mode:?}: {passed} were executed and {stopped} refused"),
        )?;
    }
    Ok(())
}
