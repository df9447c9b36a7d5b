// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting without a worker.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::arm::run;
use guest_tests::options::Options;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
