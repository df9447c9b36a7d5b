// SPDX-License-Identifier: MIT OR Apache-2.0
//! One line per behaviour, and the exit status that sums them up.

use std::io::Write;
use std::process::ExitCode;

/// Exit status of a program that could test nothing.
pub const SKIPPED: u8 = 77;

/// What the text of an error begins with when the behaviour could not be tested.
pub(crate) const SKIP: &str = "SKIP ";

/// Prints a line that `scripts/test soak` puts on record.
pub fn figure(text: &str) {
    println!("FIGURE {text}");
}

/// Prints a line for people whenever another `each` are done.
pub fn progress(what: &str, done: u64, each: u64) {
    if done % each == 0 {
        println!("# {done} {what}");
    }
}

/// The tally of one program.
#[derive(Debug, Default)]
pub struct Report {
    fake: bool,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    /// An empty tally. When `fake`, nothing that passes counts: the device was not there.
    pub fn new(fake: bool) -> Self {
        Self {
            fake,
            ..Self::default()
        }
    }

    fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed stdout is no reason to stop testing: the exit status still tells.
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// The behaviour `name` is as it should be.
    pub fn pass(&mut self, name: &str) {
        if self.fake {
            self.line(&format!("FAKE {name}"));
        } else {
            self.passed += 1;
            self.line(&format!("PASS {name}"));
        }
    }

    /// The behaviour `name` is wrong.
    pub fn fail(&mut self, name: &str, why: impl std::fmt::Display) {
        self.failed += 1;
        let why = why.to_string().replace('\n', " | ");
        self.line(&format!("FAIL {name}: {why}"));
    }

    /// The behaviour `name` could not be tested.
    pub fn skip(&mut self, name: &str, why: impl std::fmt::Display) {
        self.skipped += 1;
        self.line(&format!("SKIP {name}: {why}"));
    }

    /// Passes when `result` is `Ok`, fails with its error otherwise.
    pub fn check<E: std::fmt::Display>(&mut self, name: &str, result: Result<(), E>) {
        match result {
            Ok(()) => self.pass(name),
            Err(why) => self.fail(name, why),
        }
    }

    /// As [`Report::check`]; an error that says so is a skip.
    pub fn verdict(&mut self, name: &str, result: Result<(), String>) {
        match result {
            Err(why) if why.starts_with(SKIP) => self.skip(name, &why[SKIP.len()..]),
            result => self.check(name, result),
        }
    }

    /// How many behaviours failed so far.
    pub fn failures(&self) -> usize {
        self.failed
    }

    /// Prints the sum and gives the exit status: 1 when anything failed, 77 when nothing passed.
    pub fn finish(self) -> ExitCode {
        self.line(&format!(
            "# {} passed, {} failed, {} skipped{}",
            self.passed,
            self.failed,
            self.skipped,
            if self.fake {
                " (fake: the device was not used)"
            } else {
                ""
            }
        ));
        if self.failed > 0 {
            ExitCode::from(1)
        } else if self.passed == 0 {
            ExitCode::from(SKIPPED)
        } else {
            ExitCode::SUCCESS
        }
    }
}
