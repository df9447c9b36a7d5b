// SPDX-License-Identifier: MIT OR Apache-2.0
//! A list of behaviours that are tested one after the other, each in a process and a directory of its own.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::client::{Context, Mode, PATIENCE, open_device, setup_request};
use crate::options::Options;
use crate::process::{isolated, module_unused};
use crate::report::{Report, SKIP, figure};
use crate::rng::Rng;
use crate::scratch::{directories, file_system};

/// What a behaviour may use.
#[derive(Clone, Debug)]
pub struct Place {
    /// A directory of its own, empty; also the current one.
    pub dir: PathBuf,
    /// Its random choices.
    pub rng: Rng,
    /// How often to repeat what is repeated, when the command line says so.
    pub rounds: Option<u64>,
}

impl Place {
    /// A file of `content` in the directory, opened for reading and writing.
    ///
    /// # Errors
    /// The error of making it, as text.
    pub fn file(&self, name: &str, content: &[u8]) -> Result<OwnedFd, String> {
        let path = self.dir.join(name);
        std::fs::write(&path, content)
            .and_then(|()| {
                let mut options = std::fs::File::options();
                options.read(true).write(true).open(&path)
            })
            .map(OwnedFd::from)
            .map_err(|why| format!("{name}: {why}"))
    }

    /// The directory's file system.
    ///
    /// # Errors
    /// statfs(2)'s error, as text.
    pub fn file_system(&self) -> Result<String, String> {
        file_system(&self.dir).map_err(|why| why.to_string())
    }
}

/// One behaviour.
#[derive(Debug)]
pub struct Behaviour {
    /// Its name, without the program's.
    pub name: &'static str,
    /// Tests it.
    pub run: fn(&mut Place) -> Result<(), String>,
}

/// An error that means: this cannot be tested here.
///
/// # Errors
/// Always.
pub fn skip<T>(why: &str) -> Result<T, String> {
    Err(format!("{SKIP}{why}"))
}

/// Tests `behaviours` as `options` ask for it.
pub fn run(program: &str, behaviours: &[Behaviour], options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    println!("# {program}: seed {}", options.seed);
    if options.fake {
        report.skip(program, "there is nothing to test without the device");
        return report.finish();
    }
    let scratch = match directories(options, program, false) {
        Ok(scratch) => scratch,
        Err(why) => {
            report.fail(&format!("{program}.scratch"), why);
            return report.finish();
        }
    };
    let base = scratch[0].path();
    let chosen: Vec<_> = behaviours
        .iter()
        .filter(|one| options.wants(one.name))
        .collect();
    if let Some(seconds) = options.seconds {
        soak(program, &chosen, seconds, base, options, &mut report);
        return report.finish();
    }
    for behaviour in chosen {
        let name = format!("{program}.{}", behaviour.name);
        let started = Instant::now();
        report.verdict(&name, one(behaviour, base, options, options.seed));
        if options.verbose {
            println!("# {name}: {:.1} s", started.elapsed().as_secs_f64());
        }
    }
    report.finish()
}

/// Tests all of them again and again, each time with another seed, until they have failed or the time is over.
fn soak(
    program: &str,
    behaviours: &[&Behaviour],
    seconds: u64,
    base: &Path,
    options: &Options,
    report: &mut Report,
) {
    let started = Instant::now();
    let mut verdicts: Vec<_> = behaviours.iter().map(|one| (*one, Ok(()))).collect();
    let (mut turns, mut runs) = (0, 0_u64);
    while started.elapsed() < Duration::from_secs(seconds) || turns == 0 {
        for (behaviour, verdict) in verdicts.iter_mut().filter(|(_, verdict)| verdict.is_ok()) {
            let seed = options.seed + turns;
            *verdict = one(behaviour, base, options, seed).map_err(|why| match why {
                skipped if skipped.starts_with(SKIP) => skipped,
                why => format!("seed {seed}: {why}"),
            });
            runs += 1;
        }
        turns += 1;
    }
    figure(&format!(
        "{program}: {runs} runs of {} behaviours in {} s",
        behaviours.len(),
        started.elapsed().as_secs()
    ));
    for (behaviour, verdict) in verdicts {
        report.verdict(&format!("{program}.{}", behaviour.name), verdict);
    }
}

fn one(behaviour: &Behaviour, base: &Path, options: &Options, seed: u64) -> Result<(), String> {
    let mut place = Place {
        dir: base.join(behaviour.name),
        rng: Rng::new(seed),
        rounds: options.rounds,
    };
    // There is one from before when it is tested again.
    let _ = std::fs::remove_dir_all(&place.dir);
    std::fs::create_dir_all(&place.dir).map_err(|why| why.to_string())?;
    let verdict = isolated(|| {
        std::env::set_current_dir(&place.dir).map_err(|why| why.to_string())?;
        (behaviour.run)(&mut place)
    });
    // A context that a behaviour has spoilt must go as every other does.
    let unused = module_unused();
    verdict.and(unused)
}

/// A context of `entries` entries; for [`Mode::Caller`] one that does not poll when idle.
///
/// # Errors
/// The client's, as text.
pub fn context(entries: u32, mode: Mode) -> Result<Context, String> {
    let mut request = setup_request(entries);
    if mode == Mode::Caller {
        request.spin_us = 0;
    }
    open_device()
        .and_then(|device| Context::new(device, request))
        .map_err(|why| why.to_string())
}

/// The result of a libc call that may fail, or `-errno`.
pub fn result(ret: libc::c_int) -> i64 {
    if ret < 0 {
        -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        ret.into()
    }
}

/// The same of a wrapped one.
pub fn outcome(result: io::Result<i32>) -> i64 {
    match result {
        Ok(value) => value.into(),
        Err(why) => -i64::from(why.raw_os_error().unwrap_or(0)),
    }
}

/// Waits until `holds`, looking again and again.
///
/// # Errors
/// `what` when it never does.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let started = Instant::now();
    while !holds() {
        if started.elapsed() > *PATIENCE {
            return Err(format!("not within {} s: {what}", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// The CPUs that the calling thread may use.
///
/// # Errors
/// sched_getaffinity(2)'s error, as text.
pub fn cpus() -> Result<Vec<usize>, String> {
    // SAFETY: an all-zero set is a valid empty one, and the call writes no more than its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        if libc::sched_getaffinity(0, size, &raw mut set) < 0 {
            return Err(format!("sched_getaffinity: {}", io::Error::last_os_error()));
        }
        Ok((0..libc::CPU_SETSIZE as usize)
            .filter(|&cpu| libc::CPU_ISSET(cpu, &set))
            .collect())
    }
}

/// Binds the calling thread to one CPU.
///
/// # Errors
/// sched_setaffinity(2)'s error, as text.
pub fn bind(cpu: usize) -> Result<(), String> {
    // SAFETY: an all-zero set is a valid empty one; the call only reads it.
    let ret = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if ret < 0 {
        Err(format!("sched_setaffinity: {}", io::Error::last_os_error()))
    } else {
        Ok(())
    }
}

/// Two CPUs that the thread may use.
///
/// # Errors
/// As [`cpus`]; a skip when there is one only.
pub fn two_cpus() -> Result<(usize, usize), String> {
    match cpus()?.as_slice() {
        &[first, second, ..] => Ok((first, second)),
        _ => skip("one CPU only"),
    }
}
