// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lanes, sleeping calls and waiting.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::lanes::run;
use guest_tests::options::Options;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
