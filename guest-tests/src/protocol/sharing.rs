// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several contexts of a process, several threads at a context.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use libflexsc::sys::{self as abi, MIN_ENTRIES, NR_NOP};

use crate::client::{Context, Mode, ioctl};
use crate::posted::{ensure, expect};
use crate::suite::{Behaviour, Place, context};

/// This file's behaviours.
pub fn add(list: &mut Vec<Behaviour>) {
    let mut one = |name, run| list.push(Behaviour { name, run });
    one("two_contexts_of_a_process", two_contexts);
    one("two_threads_at_one_context", two_threads);
}

fn two_contexts(place: &mut Place) -> Result<(), String> {
    let modes = [Mode::Lanes, Mode::Caller];
    let mut contexts = [
        context(MIN_ENTRIES, modes[0])?,
        context(4 * MIN_ENTRIES, modes[1])?,
    ];
    let mut posted = [0_u32; 2];
    let mut reaped = [0_u32; 2];
    // SAFETY: no memory is involved.
    let parent = i64::from(unsafe { libc::getppid() });
    for _ in 0..place.rounds.unwrap_or(60) {
        for which in [0, 1, 1, 0] {
            for _ in 0..place.rng.below(20) {
                let nr = if which == 0 {
                    NR_NOP
                } else {
                    libc::SYS_getppid as u16
                };
                posted[which] += u32::from(contexts[which].post(nr, [0; 6]).is_some());
            }
        }
        for which in [1, 0] {
            while reaped[which] < posted[which] {
                let one = contexts[which]
                    .complete(modes[which])
                    .map_err(|why| why.to_string())?;
                expect("its result", one.ret, if which == 0 { 0 } else { parent })?;
                reaped[which] += 1;
            }
        }
    }
    for which in [0, 1] {
        let tail = contexts[which].comp_tail().load(Ordering::Acquire);
        expect("completions", tail.into(), posted[which].into())?;
    }
    let [first, mut second] = contexts;
    drop(first);
    let done = second
        .call(Mode::Lanes, NR_NOP, [0; 6])
        .map_err(|why| why.to_string())?;
    expect("no-op when the other is gone", done.ret, 0)
}

fn two_threads(place: &mut Place) -> Result<(), String> {
    let context = context(MIN_ENTRIES, Mode::Lanes)?;
    let fd = context.fd();
    let shared = Mutex::new(context);
    // SAFETY: no memory is involved.
    let parent = i64::from(unsafe { libc::getppid() });
    let each = place.rounds.unwrap_or(40) as u32 * 50;
    let (posted, reaped) = (AtomicU32::new(0), AtomicU32::new(0));
    let seeds = [place.rng.bits(), place.rng.bits()];
    // Neither waits for a share that the other will not post.
    let given_up = AtomicBool::new(false);
    let work = |seed| {
        let result = post_and_reap(
            &shared,
            fd,
            seed,
            each,
            parent,
            [&posted, &reaped],
            &given_up,
        );
        if result.is_err() {
            given_up.store(true, Ordering::Relaxed);
        }
        result
    };
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new()
            .spawn_scoped(scope, || work(seeds[1]))
            .map_err(|why| format!("a thread: {why}"))?;
        let mine = work(seeds[0]);
        let other = other.join().unwrap_or_else(|_| Err("panicked".into()));
        mine.and(other)
    })?;
    let count = posted.load(Ordering::Relaxed);
    expect("posted", count.into(), (2 * each).into())?;
    let context = shared.into_inner().map_err(|why| why.to_string())?;
    let now = context.counters();
    let executed = now.entries_w + now.entries_t + now.entries_c;
    expect("executed", executed as i64, count.into())?;
    ensure(now.rejected == 0, format!("{} rejected", now.rejected))
}

/// What each of the two threads does: posts its share, reaps what there is, waits.
fn post_and_reap(
    shared: &Mutex<Context>,
    fd: i32,
    seed: u64,
    each: u32,
    parent: i64,
    [posted, reaped]: [&AtomicU32; 2],
    given_up: &AtomicBool,
) -> Result<(), String> {
    let mut rng = crate::rng::Rng::new(seed);
    let mut mine = 0;
    while mine < each || reaped.load(Ordering::Relaxed) < 2 * each {
        if given_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut context = shared.lock().map_err(|why| why.to_string())?;
        for _ in 0..rng.below(16).min((each - mine).into()) {
            if context.post(libc::SYS_getppid as u16, [0; 6]).is_some() {
                mine += 1;
                posted.fetch_add(1, Ordering::Relaxed);
            }
        }
        context.kick_if_needed().map_err(|why| why.to_string())?;
        reap(&mut context, parent, reaped)?;
        drop(context);
        // Outside of the lock: both may be inside wait at once.
        let mut wait = abi::Wait {
            min_complete: 1,
            flags: 0,
            timeout_ns: Duration::from_millis(10).as_nanos() as i64,
        };
        match ioctl(fd, abi::IOC_WAIT, &mut wait) {
            Ok(_) => {}
            Err(why) if why.raw_os_error() == Some(libc::ETIME) => {}
            Err(why) => return Err(format!("wait: {why}")),
        }
    }
    Ok(())
}

fn reap(context: &mut Context, want: i64, reaped: &AtomicU32) -> Result<(), String> {
    while let Some(one) = context.reap().map_err(|why| why.to_string())? {
        expect("getppid", one.ret, want)?;
        reaped.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
