// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the administrator and a process allow: restrictions, limits, audit, seccomp, and what can be seen of it.
#![warn(missing_docs)]

use std::process::ExitCode;

use guest_tests::options::Options;
use guest_tests::policy::{container, inside, run};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("--observed") => return ExitCode::from(inside::observed()),
        Some("--container") => return ExitCode::from(container::recipe()),
        _ => {}
    }
    run(&Options::from_arguments())
}
