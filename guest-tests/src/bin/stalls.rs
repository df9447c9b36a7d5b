// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks and file systems that stall.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::options::Options;
use guest_tests::stalls::run;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
