// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chains of entries, and the file that they share.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::link::run;
use guest_tests::options::Options;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
