// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C library as C and C++ programs see it: header, symbols, ABI, manual pages, and programs that are
//! compiled against an installed tree with what pkg-config says.
//!
//! A test that needs a compiler, or another program, is ignored where it is missing.

mod abi;
mod header;
mod pages;
mod programs;
mod symbols;
mod tools;
mod tree;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use tools::Tool;

/// What a test comes to: nothing, or what is wrong.
type Outcome = Result<(), Failed>;

/// A test; ignored, with the name of what it lacks, where one of the tools is missing.
fn trial(
    name: impl Into<String>,
    tools: &[Tool],
    test: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    let missing = tools.iter().find(|tool| !tool.is_there());
    let trial = Trial::test(name, test).with_ignored_flag(missing.is_some());
    match missing {
        Some(tool) => trial.with_kind(format!("needs {tool}")),
        None => trial,
    }
}

fn main() -> ExitCode {
    let mut trials = Vec::new();
    abi::add(&mut trials);
    header::add(&mut trials);
    symbols::add(&mut trials);
    pages::add(&mut trials);
    programs::add(&mut trials);
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
