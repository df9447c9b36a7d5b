// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nonsense in entries, rings, control words, ioctls and mappings, which must hurt nobody.

use std::process::ExitCode;

use crate::options::Options;
use crate::suite;

pub mod entries;
pub mod flip;
pub mod mapping;
pub mod requests;
pub mod scribble;
pub mod slots;

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut list = Vec::new();
    requests::add(&mut list);
    mapping::add(&mut list);
    slots::add(&mut list);
    entries::add(&mut list);
    flip::add(&mut list);
    scribble::add(&mut list);
    suite::run("garbage", &list, options)
}
