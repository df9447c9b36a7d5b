// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks and file systems that take their time, or for ever: whom that holds up.

use std::process::ExitCode;

use crate::lifecycle::{Behaviour, each};
use crate::options::Options;
use crate::report::Report;
use crate::scratch::{directories, private_mounts};

pub mod beginning;
pub mod disk;
pub mod flight;
mod halves;
pub mod landing;
pub mod server;

fn all() -> Vec<Behaviour> {
    let mut list = Vec::new();
    disk::add(&mut list);
    flight::add(&mut list);
    beginning::add(&mut list);
    landing::add(&mut list);
    server::add(&mut list);
    list
}

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    if options.fake {
        report.skip("stalls", "there is nobody to hold up without the device");
        return report.finish();
    }
    if let Err(why) = private_mounts() {
        report.skip("stalls", format!("needs root and a mount namespace: {why}"));
        return report.finish();
    }
    match directories(options, "stalls", false) {
        Ok(scratch) => each("stalls", &all(), scratch[0].path(), options, &mut report),
        Err(why) => report.fail("stalls.scratch", why),
    }
    report.finish()
}
