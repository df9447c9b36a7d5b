// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fuzzer of the ioctls that knows their structures: every field, size, command and pointer, in every state of a
//! context, against what the ABI says has to come of it.

use std::process::ExitCode;

use crate::options::Options;
use crate::suite;

pub mod devices;
pub mod fields;
pub mod model;
pub mod random;

pub(crate) use crate::garbage::requests::works;

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut list = Vec::new();
    fields::add(&mut list);
    random::add(&mut list);
    suite::run("ioctls", &list, options)
}
