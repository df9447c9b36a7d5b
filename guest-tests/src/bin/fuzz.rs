// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fuzzer of the page: hostile processes, as many as `--rounds` says.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::fuzz::{process::AFTER_EXEC, run};
use guest_tests::options::Options;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(AFTER_EXEC) {
        return ExitCode::SUCCESS;
    }
    run(&Options::from_arguments())
}
