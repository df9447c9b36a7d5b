// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nonsense in entries, rings, control words, ioctls and mappings, which must hurt nobody.

use std::process::ExitCode;

use crate::options::Options;
use crate::report::Report;

pub mod requests;

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    println!("# garbage: seed {}", options.seed);
    if options.fake {
        report.skip("garbage", "nothing but the device can be hurt");
        return report.finish();
    }
    report.check("garbage.ioctls_before_setup", requests::before_setup());
    report.finish()
}
