// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs with `libflexsc_preload.so` and without: they do the same, and with it their calls go
//! through the page, which the library's own count has to show.
//!
//! A test that needs a program, or the module, is ignored where there is none, and says what it needs.

mod hazards;
mod library;
mod programs;
mod run;
mod tree;

use std::process::ExitCode;

use libflexsc::{
    Backend,
    backend::{Kind, Options},
};
use libtest_mimic::{Arguments, Failed, Trial};

/// What a test comes to: nothing, or what is wrong.
type Outcome = Result<(), Failed>;

/// Backends that the library takes by name.
const BACKENDS: [Kind; 2] = [Kind::Module, Kind::Threads];

/// A test; ignored, with the name of what it lacks, where one of the programs is missing.
fn trial(
    name: impl Into<String>,
    programs: &[&str],
    test: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    let missing = programs.iter().find(|program| run::find(program).is_none());
    let trial = Trial::test(name, test).with_ignored_flag(missing.is_some());
    match missing {
        Some(program) => trial.with_kind(format!("needs {program}")),
        None => trial,
    }
}

/// One test for each backend.
fn trials(
    trials: &mut Vec<Trial>,
    name: &str,
    programs: &[&str],
    test: impl Fn(Kind) -> Outcome + Clone + Send + 'static,
) {
    for kind in BACKENDS {
        let test = test.clone();
        let trial = trial(format!("{kind}::{name}"), programs, move || test(kind));
        trials.push(if Backend::open(kind, &Options::new()).is_ok() {
            trial
        } else {
            trial
                .with_ignored_flag(true)
                .with_kind(format!("needs {kind}"))
        });
    }
}

fn main() -> ExitCode {
    let mut trials = Vec::new();
    library::add(&mut trials);
    programs::add(&mut trials);
    hazards::add(&mut trials);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
