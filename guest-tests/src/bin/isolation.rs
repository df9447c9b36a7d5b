// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a process with a live context is confined, stopped, traced and dumped as one without.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::isolation::{processes, run};
use guest_tests::options::Options;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--effective-root") {
        return ExitCode::from(processes::effective_root());
    }
    run(&Options::from_arguments())
}
