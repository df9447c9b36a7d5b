// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the page, the rings, the ioctls and poll(2) promise to whoever keeps to `docs/abi.md`.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::options::Options;
use guest_tests::protocol::run;

fn main() -> ExitCode {
    run(&Options::from_arguments())
}
