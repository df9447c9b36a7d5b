// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a process with a live context is confined, stopped, traced and dumped as one without. What concerns
//! credentials, directories, limits and signals is in [`crate::lifecycle`].

use std::process::ExitCode;

use crate::lifecycle::{Behaviour, each};
use crate::options::Options;
use crate::report::Report;
use crate::scratch::{directories, private_mounts};

pub mod apparmor;
pub mod apparmor_rules;
pub mod comparison;
pub mod files;
pub mod landlock;
pub mod landlock_rules;
pub mod leases;
pub mod notify;
pub mod processes;
pub mod quota;
pub mod traffic;

fn all() -> Vec<Behaviour> {
    let mut list = Vec::new();
    files::add(&mut list);
    landlock::add(&mut list);
    landlock_rules::add(&mut list);
    apparmor::add(&mut list);
    apparmor_rules::add(&mut list);
    quota::add(&mut list);
    leases::add(&mut list);
    notify::add(&mut list);
    processes::add(&mut list);
    list
}

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    if options.fake {
        report.skip(
            "isolation",
            "there is nothing to isolate without the device",
        );
        return report.finish();
    }
    if let Err(why) = private_mounts() {
        report.skip(
            "isolation",
            format!("needs root and a mount namespace: {why}"),
        );
        return report.finish();
    }
    let scratch = match directories(options, "isolation", false) {
        Ok(scratch) => scratch,
        Err(why) => {
            report.fail("isolation.scratch", why);
            return report.finish();
        }
    };
    let base = scratch[0].path().to_path_buf();
    each("isolation", &all(), &base, options, &mut report);
    report.finish()
}
