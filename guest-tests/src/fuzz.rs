// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fuzzer of the page: hostile processes that scribble over it, post any call, and fork, exec, unmap, close and change
//! their user meanwhile.
//!
//! What a fuzzed process may name is confined to its directory: names are relative, most processes have it for their
//! root, and it has no devices.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::client::{Mode, PATIENCE, probe};
use crate::options::Options;
use crate::posted::{Poster, ensure, libc_ok};
use crate::process::{Child, End, isolated, module_unused};
use crate::report::Report;
use crate::rng::Rng;
use crate::scratch::{directories, private_mounts};
use crate::snapshot::c_path;
use tally::Tally;

pub mod memory;
pub mod process;
pub mod scribbler;
pub mod table;
pub mod tally;

/// Processes when the command line does not say how many: a minute on a machine without KVM.
const ROUNDS: u64 = 60;
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

/// Takes device nodes and set-user-ID away from a directory, by mounting it over itself.
fn tame(path: &Path) -> Result<(), String> {
    let path = c_path(path);
    for flags in [
        libc::MS_BIND,
        libc::MS_BIND | libc::MS_REMOUNT | libc::MS_NODEV | libc::MS_NOSUID,
    ] {
        // SAFETY: NUL-terminated paths.
        let ret = unsafe {
            libc::mount(
                path.as_ptr(),
                path.as_ptr(),
                std::ptr::null(),
                flags,
                std::ptr::null(),
            )
        };
        libc_ok("mount", ret.into())?;
    }
    Ok(())
}

fn fuzz(base: &Path, options: &Options, report: &mut Report) {
    let tally = match ready(base) {
        // For as long as the program runs, as processes are forked that never end tidily.
        Ok(tally) => &*Box::leak(Box::new(tally)),
        Err(why) => return report.fail("fuzz.ready", why),
    };
    let started = Instant::now();
    let verdict = rounds(base, options, tally);
    println!("# {:.1} s", started.elapsed().as_secs_f64());
    let failed = verdict.is_err();
    report.check("fuzz.hostile_processes_hurt_nobody", verdict);
    let table = tally.judge();
    if failed {
        report.skip("fuzz.every_call_is_reached", "the run ended early");
    } else {
        report.check("fuzz.every_call_is_reached", table);
    }
}

fn ready(base: &Path) -> Result<Tally, String> {
    tame(base)?;
    let calls = probe().map_err(|why| why.to_string())?;
    let numbers: Vec<_> = calls.iter().map(|call| call.nr).collect();
    ensure(!numbers.is_empty(), "the module lists no calls")?;
    Tally::new(numbers).map_err(|why| why.to_string())
}

fn rounds(base: &Path, options: &Options, tally: &'static Tally) -> Result<(), String> {
    let mut rng = Rng::new(options.seed);
    for which in 0..options.rounds.unwrap_or(ROUNDS) {
        let seed = rng.bits();
        let described = |why: String| format!("process {which}, seed {seed}: {why}");
        round(&base.join(format!("{which}")), seed, tally).map_err(described)?;
        if which % CHECK == CHECK - 1 {
            module_unused().map_err(described)?;
            isolated(|| {
                for mode in [Mode::Lanes, Mode::Caller] {
                    Poster::new(mode)?.nop()?;
                }
                Ok(())
            })
            .map_err(|why| described(format!("a context of another process: {why}")))?;
        }
    }
    module_unused()
}

fn round(dir: &Path, seed: u64, tally: &'static Tally) -> Result<(), String> {
    std::fs::create_dir(dir).map_err(|why| format!("its directory: {why}"))?;
    // For the time that the process is somebody else.
    let path = c_path(dir);
    // SAFETY: a NUL-terminated path.
    unsafe { libc::chmod(path.as_ptr(), 0o777) };
    tally.quiet();
    let mut child = Child::spawn(|| match std::env::set_current_dir(dir) {
        Ok(()) => process::run(seed, tally),
        Err(_) => 1,
    })
    .map_err(|why| format!("fork: {why}"))?;
    let end = child.wait(*PATIENCE);
    let state = tally.state();
    if end.is_none() {
        child.signal(libc::SIGKILL);
        let killed = child.wait(*PATIENCE);
        let then = if killed.is_some() {
            "it can be killed"
        } else {
            "it cannot be killed"
        };
        return Err(format!("hangs: {state}; {then}"));
    }
    ensure(
        matches!(end, Some(End::Exit(0) | End::Signal(libc::SIGKILL))),
        format!("it ended by {end:?}; {state}"),
    )?;
    std::fs::remove_dir_all(dir).map_err(|why| format!("its directory: {why}"))
}
