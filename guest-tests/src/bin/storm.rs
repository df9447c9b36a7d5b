// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many contexts and many processes killed, after which everything has to be as it was.
//!
//! `--rounds` says how many: processes (200 by default), contexts (5000) or writers (40); together with `--only`.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::options::Options;
use guest_tests::storm::run;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
