// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the page, the rings, the ioctls and poll(2) promise to whoever keeps to `docs/abi.md`.

use std::process::ExitCode;

use crate::options::Options;
use crate::suite;

pub mod lanes;
pub mod probe;
pub mod rings;
pub mod sharing;
pub mod waiting;

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut list = Vec::new();
    probe::add(&mut list);
    waiting::add(&mut list);
    lanes::add(&mut list);
    rings::add(&mut list);
    sharing::add(&mut list);
    suite::run("protocol", &list, options)
}
