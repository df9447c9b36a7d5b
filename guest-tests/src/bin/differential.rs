// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same call through the page and by the plain system call, on identical trees.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::differential::run;
use guest_tests::options::Options;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
