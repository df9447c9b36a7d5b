// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ending entries early.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::cancel::run;
use guest_tests::options::Options;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
