// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contexts while processes, threads, files and the module come and go.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::lifecycle::{ending, run};
use guest_tests::options::Options;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, flag, fd] = arguments.as_slice() {
        if flag == "--after-exec" {
            return ExitCode::from(ending::after_exec(fd.parse().unwrap_or(-1)) as u8);
        }
    }
    run(&Options::from_arguments())
}
