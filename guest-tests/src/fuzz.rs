// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fuzzer of the page: hostile processes that scribble over it, post any call, and fork, exec, unmap, close and change
//! their user meanwhile.
//!
//! What a fuzzed process may name is confined to its directory, which is its root, on a small file system without
//! devices, and to a network of its own; what it may use up, to a [cage]. So nobody else pays for it, whatever it
//! posts.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::arm::ends::loopback;
use crate::client::{Mode, PATIENCE, probe};
use crate::options::Options;
use crate::posted::{Poster, ensure, libc_ok};
use crate::process::{Child, End, isolated, module_unused};
use crate::report::{Report, figure};
use crate::rng::Rng;
use crate::scratch::{directories, private_mounts};
use crate::snapshot::c_path;
use cage::Cage;
use ground::{Ground, NoModules};
use process::Ending;
use tally::Tally;

pub mod cage;
mod event;
pub mod ground;
pub mod memory;
mod poster;
pub mod process;
pub mod program;
pub mod scribbler;
pub mod sockets;
pub mod table;
pub mod tally;

/// Seconds for which there are processes when the command line says neither that nor how many.
const ENOUGH: u64 = 60;
/// So many there are at most after that, if something has not been seen yet.
const ROUNDS: u64 = 50;
/// How often each call has to succeed and to fail when the command line says for how long.
const SOAKED: u64 = 1000;
/// After so many processes another context has to work, and the module to be unused.
const CHECK: u64 = 10;

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    println!("# fuzz: seed {}", options.seed);
    if options.fake {
        report.skip("fuzz", "there is nothing to test without the device");
        return report.finish();
    }
    if let Err(why) = private_mounts() {
        report.skip("fuzz", format!("needs root and a mount namespace: {why}"));
        return report.finish();
    }
    match directories(options, "fuzz", false) {
        Ok(scratch) => fuzz(scratch[0].path(), options, &mut report),
        Err(why) => report.fail("fuzz.scratch", why),
    }
    report.finish()
}

/// What processes are made with.
struct Arena {
    /// For as long as the program runs, as processes are forked that never end tidily.
    tally: &'static Tally,
    cage: Cage,
    grounds: Vec<Ground>,
    _no_modules: NoModules,
}

fn ready(base: &Path) -> Result<Arena, String> {
    // SAFETY: takes no memory.
    let ret = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    libc_ok("a network namespace", ret.into())?;
    loopback()?;
    let grounds = ground::make(base)?;
    let calls = probe().map_err(|why| why.to_string())?;
    let numbers: Vec<_> = calls.iter().map(|call| call.nr).collect();
    ensure(!numbers.is_empty(), "the module lists no calls")?;
    let clones = grounds.iter().any(|ground| ground.clones);
    let tally = Tally::new(numbers, clones).map_err(|why| why.to_string())?;
    Ok(Arena {
        tally: Box::leak(Box::new(tally)),
        cage: Cage::new(base)?,
        grounds,
        _no_modules: NoModules::new()?,
    })
}

fn fuzz(base: &Path, options: &Options, report: &mut Report) {
    let arena = match ready(base) {
        Ok(arena) => arena,
        Err(why) => return report.fail("fuzz.ready", why),
    };
    let started = Instant::now();
    let (count, verdict) = rounds(&arena, options, started);
    figure(&format!(
        "fuzz: {count} processes in {} s, seed {}, {} killed for memory",
        started.elapsed().as_secs(),
        options.seed,
        arena.cage.killed(),
    ));
    let failed = verdict.is_err();
    report.check("fuzz.hostile_processes_hurt_nobody", verdict);
    let table = arena.tally.judge(options.seconds.map_or(1, |_| SOAKED));
    if failed {
        report.skip("fuzz.every_call_is_reached", "the run ended early");
    } else {
        report.check("fuzz.every_call_is_reached", table);
    }
}

/// Whether `count` processes are enough.
fn enough(count: u64, options: &Options, arena: &Arena, started: Instant) -> bool {
    let over = |seconds| started.elapsed() >= Duration::from_secs(seconds);
    match options.seconds {
        Some(seconds) => over(seconds),
        None => match options.rounds {
            Some(rounds) => count >= rounds,
            None => over(ENOUGH) && (count >= ROUNDS || arena.tally.missing(1).is_empty()),
        },
    }
}

/// How many processes there were, and what came of them.
fn rounds(arena: &Arena, options: &Options, started: Instant) -> (u64, Result<(), String>) {
    let mut rng = Rng::new(options.seed);
    let mut count = 0;
    while !enough(count, options, arena, started) {
        let seed = rng.bits();
        let ground = &arena.grounds[count as usize % arena.grounds.len()];
        let dir = ground.path.join(format!("{count}"));
        let mut verdict = round(&dir, seed, arena);
        if count % CHECK == CHECK - 1 {
            verdict = verdict.and_then(|()| bystander());
        }
        if let Err(why) = verdict {
            return (count, Err(format!("process {count}, seed {seed}: {why}")));
        }
        count += 1;
        if options.seconds.is_some() && count % 100 == 0 {
            println!("# {count} processes in {} s", started.elapsed().as_secs());
        }
    }
    (count, module_unused())
}

/// Somebody else's context works.
fn bystander() -> Result<(), String> {
    module_unused()?;
    isolated(|| {
        for mode in [Mode::Lanes, Mode::Caller] {
            Poster::new(mode)?.nop()?;
        }
        Ok(())
    })
    .map_err(|why| format!("a context of another process: {why}"))
}

/// Prints where each thread of a process is, for people.
fn print_threads(pid: i32) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let (comm, stat) = (read("comm"), read("stat"));
        // "1 (name) state ..."
        let state = stat.rsplit(") ").next().unwrap_or_default();
        println!("# {} {}", comm.trim(), state.get(..1).unwrap_or_default());
        read("stack")
            .lines()
            .for_each(|line| println!("#   {line}"));
    }
}

fn round(dir: &Path, seed: u64, arena: &Arena) -> Result<(), String> {
    let (tally, cage) = (arena.tally, &arena.cage);
    std::fs::create_dir(dir).map_err(|why| format!("its directory: {why}"))?;
    // For the time that the process is somebody else.
    let path = c_path(dir);
    // SAFETY: a NUL-terminated path.
    unsafe { libc::chmod(path.as_ptr(), 0o777) };
    tally.quiet();
    let killed = cage.killed();
    let mut child = Child::spawn(|| match std::env::set_current_dir(dir) {
        Ok(()) => process::run(seed, tally, cage),
        Err(_) => 1,
    })
    .map_err(|why| format!("fork: {why}"))?;
    // Long calls of a slow machine are no hang, such as an fsync behind others' writes.
    let end = child.wait(10 * *PATIENCE);
    let state = tally.state();
    if end.is_none() {
        print_threads(child.pid());
        child.signal(libc::SIGKILL);
        let killed = child.wait(*PATIENCE);
        let then = if killed.is_some() {
            "it can be killed"
        } else {
            "it cannot be killed"
        };
        return Err(format!("hangs: {state}; {then}"));
    }
    let fair = match end {
        Some(End::Exit(0)) => true,
        Some(End::Exit(status)) if status == program::STATUS.into() => {
            tally.act(tally::Act::Exec, true);
            true
        }
        Some(End::Signal(libc::SIGKILL)) => {
            Ending::of(seed) == Ending::Kill || cage.killed() > killed
        }
        _ => false,
    };
    ensure(fair, format!("it ended by {end:?}; {state}"))?;
    std::fs::remove_dir_all(dir).map_err(|why| format!("its directory: {why}"))
}
