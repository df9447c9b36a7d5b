// SPDX-License-Identifier: MIT OR Apache-2.0
//! What programs do that must not notice: `tests/programs/hazards.c`.

use std::{path::PathBuf, process::Command, sync::OnceLock};

use libflexsc::backend::Kind;
use libtest_mimic::{Failed, Trial};

use crate::{Outcome, run, trial, trials};

const SOURCE: &str = include_str!("../programs/hazards.c");

/// Ends without exit(3), so that nothing is told.
const UNTOLD: [&str; 2] = ["executed_program_inherits_nothing", "strict_computing"];

pub(crate) fn add(list: &mut Vec<Trial>) {
    for name in names() {
        // Without the library first: else it would be nobody's fault.
        list.push(trial(
            format!("hazards::without::{name}"),
            &["cc"],
            move || {
                let directory = run::scratch(&format!("without-{name}"))?;
                run::plain(program()?.arg(name).current_dir(&directory))?.is_good()
            },
        ));
        trials(list, &format!("hazards::{name}"), &["cc"], move |kind| {
            with(kind, name)
        });
    }
}

fn with(kind: Kind, name: &str) -> Outcome {
    let directory = run::scratch(&format!("{kind}-{name}"))?;
    let mut command = program()?;
    let (end, counts) = run::preloaded(kind, "hazards", command.arg(name).current_dir(&directory))?;
    end.is_good()?;
    if UNTOLD.contains(&name) {
        return Ok(());
    }
    counts.have(&["pwrite"])
}

/// The names in the program's table.
fn names() -> impl Iterator<Item = &'static str> {
    SOURCE
        .lines()
        .filter_map(|line| line.strip_prefix("\tHAZARD(")?.strip_suffix("),"))
}

/// The program, compiled once.
fn program() -> Result<Command, Failed> {
    static COMPILED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let compile = || -> Result<PathBuf, Failed> {
        let program = run::scratch("programs")?.join("hazards");
        let source = run::here().join("tests/programs/hazards.c");
        let strict = [
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-O1",
        ];
        run::run(
            run::command("cc")
                .args(strict)
                .arg("-o")
                .arg(&program)
                .arg(source)
                .arg("-pthread"),
        )?;
        Ok(program)
    };
    COMPILED
        .get_or_init(|| compile().map_err(|failed| failed.message().unwrap_or("").to_owned()))
        .as_ref()
        .map(Command::new)
        .map_err(|message| message.into())
}
