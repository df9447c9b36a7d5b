// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the page, the rings, the ioctls and poll(2) promise to whoever keeps to `docs/abi.md`.

use std::process::ExitCode;

use crate::options::Options;
use crate::report::Report;

pub mod probe;

/// Runs the whole program.
pub fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.fake);
    println!("# protocol: seed {}", options.seed);
    if options.fake {
        report.skip("protocol", "there is no protocol without the device");
        return report.finish();
    }
    report.check("protocol.probe_lists_the_documented_calls", probe::listed());
    report.finish()
}
