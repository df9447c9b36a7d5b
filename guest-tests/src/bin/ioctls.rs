// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fuzzer of the ioctls that knows their structures; `--rounds` says how many random requests.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::ioctls::run;
use guest_tests::options::Options;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
