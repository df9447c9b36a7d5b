// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that wait for a file in its wait queue, without a worker or a thread.

use std::process::ExitCode;

use crate::options::Options;
use crate::suite;

pub mod can;
pub mod ends;
pub mod gone;
pub mod idle;
pub mod multi;
pub mod poll;
pub mod row;
pub mod same;
pub mod sockets;
pub mod tables;
pub mod taken;
pub mod time;
pub mod transfer;

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut list = Vec::new();
    idle::add(&mut list);
    transfer::add(&mut list);
    ends::add(&mut list);
    poll::add(&mut list);
    time::add(&mut list);
    can::add(&mut list);
    multi::add(&mut list);
    sockets::add(&mut list);
    taken::add(&mut list);
    row::add(&mut list);
    tables::add(&mut list);
    same::add(&mut list);
    gone::add(&mut list);
    suite::run("arm", &list, options)
}
