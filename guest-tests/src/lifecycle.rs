// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens to contexts as processes, threads, files and the module come and go.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::options::Options;
use crate::process::{isolated, module_unused};
use crate::report::Report;
use crate::scratch::{directories, private_mounts};

pub mod blocking;
pub mod change;
pub mod contexts;
pub mod ending;
pub mod leaderless;
pub mod limits;
pub mod module;

/// A verdict that begins so says why the behaviour could not be tried.
pub const SKIP: &str = "skip: ";

/// What a behaviour may use.
#[derive(Clone, Debug)]
pub struct Place {
    /// A directory of its own, empty.
    pub dir: PathBuf,
    /// Seed of its random choices.
    pub seed: u64,
    /// How often to repeat what is repeated.
    pub rounds: u64,
}

impl Place {
    /// A path in the directory, for the C interface.
    pub fn path(&self, name: &str) -> std::ffi::CString {
        crate::snapshot::c_path(&self.dir.join(name))
    }

    /// Writes a file there.
    ///
    /// # Errors
    /// The error of writing, as text.
    pub fn file(&self, name: &str, content: &[u8]) -> Result<(), String> {
        std::fs::write(self.dir.join(name), content).map_err(|why| format!("{name}: {why}"))
    }
}

/// One behaviour.
pub struct Behaviour {
    /// Its name, without the program's.
    pub name: &'static str,
    /// Runs it, in a process of its own.
    pub run: fn(&Place) -> Result<(), String>,
}

fn all() -> Vec<Behaviour> {
    let mut list = Vec::new();
    contexts::add(&mut list);
    blocking::add(&mut list);
    change::add(&mut list);
    limits::add(&mut list);
    ending::add(&mut list);
    leaderless::add(&mut list);
    list
}

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    println!("# lifecycle: seed {}", options.seed);
    if options.fake {
        report.skip("lifecycle", "there is no life cycle without the device");
        return report.finish();
    }
    if let Err(why) = private_mounts() {
        report.skip(
            "lifecycle",
            format!("needs root and a mount namespace: {why}"),
        );
        return report.finish();
    }
    let scratch = match directories(options, "lifecycle", false) {
        Ok(scratch) => scratch,
        Err(why) => {
            report.fail("lifecycle.scratch", why);
            return report.finish();
        }
    };
    let base = scratch[0].path().to_path_buf();
    each("lifecycle", &all(), &base, options, &mut report);
    module::run(options, &base, &mut report);
    report.finish()
}

/// Runs those of a program's behaviours that were asked for, each in a process and a directory of its own; afterwards
/// nothing may refer to the module.
pub fn each(
    program: &str,
    behaviours: &[Behaviour],
    base: &Path,
    options: &Options,
    report: &mut Report,
) {
    for behaviour in behaviours {
        let name = format!("{program}.{}", behaviour.name);
        if options.wants(&name) {
            match one(behaviour, base, options) {
                Err(why) if why.starts_with(SKIP) => report.skip(&name, &why[SKIP.len()..]),
                verdict => report.check(&name, verdict),
            }
        }
    }
}

fn one(behaviour: &Behaviour, base: &Path, options: &Options) -> Result<(), String> {
    let place = Place {
        dir: base.join(behaviour.name),
        seed: options.seed,
        rounds: options.rounds.unwrap_or(1),
    };
    std::fs::create_dir_all(&place.dir).map_err(|why| why.to_string())?;
    let verdict = isolated(|| {
        std::env::set_current_dir(&place.dir).map_err(|why| why.to_string())?;
        (behaviour.run)(&place)
    });
    let unused = module_unused();
    verdict.and(unused)
}
