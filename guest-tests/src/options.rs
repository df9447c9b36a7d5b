// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line that all test programs share.

use std::path::PathBuf;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of every random choice.
    pub seed: u64,
    /// How many random rounds; the program's default when not given.
    pub rounds: Option<u64>,
    /// Go on for so many seconds, whatever `rounds` says.
    pub seconds: Option<u64>,
    /// Execute by plain calls, without the device: checks the harness alone.
    pub fake: bool,
    /// Only behaviours whose name contains this.
    pub only: Option<String>,
    /// Directories to work in; the program's default when empty.
    pub dirs: Vec<PathBuf>,
    /// More output.
    pub verbose: bool,
}

const USAGE: &str =
    "[--seed N] [--rounds N] [--seconds N] [--only TEXT] [--dir DIRECTORY]... [--fake] [--verbose]";

/// With `FLEXSC_TEST_FAULTS` set, allocations that the kernel makes for this process, and for those that it forks, may
/// fail from now on. Not earlier than a behaviour begins, or it would often not be reached.
pub(crate) fn faults() {
    if with_faults() {
        if let Err(why) = std::fs::write("/proc/self/make-it-fail", "1") {
            eprintln!("/proc/self/make-it-fail: {why}");
            std::process::exit(2);
        }
    }
}

/// Does something for which this thread's allocations do not fail.
pub fn without_faults<T>(what: impl FnOnce() -> T) -> T {
    const SWITCH: &str = "/proc/thread-self/make-it-fail";
    if !with_faults() {
        return what();
    }
    // To say so may itself lack memory.
    while std::fs::write(SWITCH, "0").is_err() {}
    let result = what();
    if let Err(why) = std::fs::write(SWITCH, "1") {
        eprintln!("{SWITCH}: {why}");
    }
    result
}

/// Whether allocations may fail.
pub fn with_faults() -> bool {
    std::env::var_os("FLEXSC_TEST_FAULTS").is_some()
}

impl Options {
    /// Reads the process's arguments; ends the process with a usage line when they are wrong.
    pub fn from_arguments() -> Self {
        let mut arguments = std::env::args();
        let program = arguments.next().unwrap_or_default();
        match Self::parse(arguments) {
            Ok(options) => options,
            Err(why) => {
                eprintln!("{why}\nusage: {program} {USAGE}");
                std::process::exit(2);
            }
        }
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            seed: 1,
            rounds: None,
            seconds: None,
            fake: false,
            only: None,
            dirs: Vec::new(),
            verbose: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            let number = |text: String| {
                text.parse::<u64>()
                    .map_err(|_| format!("{text:?} is not a number"))
            };
            match argument.as_str() {
                "--seed" => options.seed = number(value()?)?,
                "--rounds" => options.rounds = Some(number(value()?)?),
                "--seconds" => options.seconds = Some(number(value()?)?),
                "--only" => options.only = Some(value()?),
                "--dir" => options.dirs.push(value()?.into()),
                "--fake" => options.fake = true,
                "--verbose" => options.verbose = true,
                _ => return Err(format!("unknown argument {argument:?}")),
            }
        }
        Ok(options)
    }

    /// Whether the behaviour `name` was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }
}
