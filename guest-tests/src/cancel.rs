// SPDX-License-Identifier: MIT OR Apache-2.0
//! What FLEXSC_IOC_CANCEL, and the close of a context, mean to entries in flight.

use std::process::ExitCode;

use crate::options::Options;
use crate::suite;

pub mod at_hand;
pub mod ending;
pub mod hand;
pub mod request;

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut list = Vec::new();
    request::add(&mut list);
    hand::add(&mut list);
    at_hand::add(&mut list);
    ending::add(&mut list);
    suite::run("cancel", &list, options)
}
