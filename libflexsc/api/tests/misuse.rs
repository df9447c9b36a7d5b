// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that use libflexsc as must not be are refused by the compiler, and for the reason that is meant:
//! its message stands beside each.

use std::{io::Write, process::Command};

/// The compiler whose messages these are.
const RUSTC: &str = "rustc 1.85.";

/// `TRYBUILD=overwrite` has the messages written anew.
#[test]
fn misuse_is_refused() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&output.stdout);
    if !version.starts_with(RUSTC) {
        // What a test prints by the macros is kept to itself, unless it fails.
        let line = format!(
            "SKIP misuse_is_refused rustc: the messages are those of {RUSTC}x, this is {version}"
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
