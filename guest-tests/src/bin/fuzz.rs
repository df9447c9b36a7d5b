// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fuzzer of the page: hostile processes, as many as `--rounds` says, or for as many `--seconds`.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::fuzz::run;
use guest_tests::options::Options;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
