// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nonsense in entries, rings, control words, ioctls and mappings, which must hurt nobody.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::garbage::run;
use guest_tests::options::Options;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
