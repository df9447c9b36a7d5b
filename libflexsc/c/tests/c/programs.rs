// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs over the installed library.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use libflexsc::backend::Kind;
use libtest_mimic::{Failed, Trial};

use crate::{
    Outcome,
    tools::{self, Tool},
    tree::{Tree, here, scratch},
    trial,
};

/// What a program needs to be compiled as a user would.
const C: [Tool; 2] = [Tool::Cc, Tool::PkgConfig];
const CXX: [Tool; 2] = [Tool::Cxx, Tool::PkgConfig];

const BEHAVIOUR: &str = include_str!("../programs/behaviour.c");

pub(crate) fn add(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "programs::each_call_is_prepared_as_the_kernel_takes_it",
        &C,
        || {
            let program = compile("prep", &here().join("tests/programs/prep.c"))?;
            tools::run(&mut Tree::get()?.command(&program)).map(drop)
        },
    ));
    trials.push(trial(
        "programs::installed_files_are_there",
        &[Tool::Cc],
        files,
    ));
    trials.push(trial("programs::example_of_the_readme_runs", &C, readme));
    trials.push(trial(
        "programs::example_of_the_overview_runs",
        &C,
        overview,
    ));
    trials.push(trial(
        "programs::head_is_linked_with_the_archive",
        &C,
        || archive_head("head-archive", &["-l:libflexsc.a"]),
    ));
    trials.push(trial(
        "programs::head_is_linked_statically",
        &[Tool::Cc, Tool::PkgConfig, Tool::StaticLibc],
        || archive_head("head-static", &["-lflexsc", "-static"]),
    ));
    for &kind in Kind::ALL {
        let backend = kind.name();
        let with = |tools: [Tool; 2]| [tools[0], tools[1], Tool::Backend(kind)];
        trials.push(trial(format!("{backend}::head"), &with(C), move || {
            head(backend)
        }));
        trials.push(trial(format!("{backend}::copy"), &with(CXX), move || {
            copy(backend)
        }));
        for name in behaviours() {
            trials.push(trial(format!("{backend}::{name}"), &with(C), move || {
                let source = here().join("tests/programs/behaviour.c");
                let program = compile("behaviour", &source)?;
                tools::run(Tree::get()?.command(&program).args([backend, name])).map(drop)
            }));
        }
    }
}

/// The names in the program's table.
fn behaviours() -> impl Iterator<Item = &'static str> {
    BEHAVIOUR
        .lines()
        .filter_map(|line| line.strip_prefix("\tBEHAVIOUR(")?.strip_suffix("),"))
}

/// Compiles a program once, with what pkg-config says and nothing else.
fn compile(name: &str, source: &Path) -> Result<PathBuf, Failed> {
    use std::{
        collections::BTreeMap,
        sync::{Mutex, PoisonError},
    };
    static COMPILED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = compiled.get(name) {
        return Ok(program.clone());
    }
    let tree = Tree::get()?;
    let program = tree.compile(source, name, &tree.flags(&[])?)?;
    compiled.insert(name.to_owned(), program.clone());
    Ok(program)
}

fn example(name: &str) -> PathBuf {
    here().join("../examples/c").join(name)
}

fn files() -> Outcome {
    let tree = Tree::get()?;
    for name in [
        "include/flexsc.h",
        "lib/libflexsc.so",
        "lib/libflexsc.so.1",
        "lib/libflexsc.a",
        "lib/pkgconfig/flexsc.pc",
        "share/man/man3/flexsc.3",
        "share/man/man3/flexsc_wait.3",
        "share/man/man3/flexsc_prep_pread.3",
        "share/man/man7/flexsc.7",
    ] {
        if !tree.file(name).is_file() {
            return Err(format!("{name} was not installed").into());
        }
    }
    Ok(())
}

/// The program in flexsc(3).
fn overview() -> Outcome {
    let page = fs::read_to_string(here().join("man/flexsc.3"))?;
    let text = between(&page, ".Bd -literal -offset indent\n#include", ".Ed")?.replace("\\e", "\\");
    is(&shown("smallest", &text)?, "smallest\n")
}

/// The program in README.md.
fn readme() -> Outcome {
    let page = fs::read_to_string(here().join("../../README.md"))?;
    let text = between(&page, "```c\n#include", "```")?;
    is(
        &shown("readme", text)?,
        &fs::read_to_string("/etc/hostname")?,
    )
}

fn between<'a>(page: &'a str, begin: &str, end: &str) -> Result<&'a str, Failed> {
    page.split_once(begin)
        .and_then(|(_, rest)| rest.split_once(end))
        .map(|(text, _)| text)
        .ok_or_else(|| format!("no text between {begin:?} and {end:?}").into())
}

/// What a program prints that documentation shows, from its first #include on.
fn shown(name: &str, text: &str) -> Result<String, Failed> {
    let source = scratch("programs")?.join(format!("{name}.c"));
    // What pages leave to the compiler's default.
    fs::write(&source, format!("#define _GNU_SOURCE\n#include{text}"))?;
    let program = compile(name, &source)?;
    tools::run(&mut Tree::get()?.command(&program))
}

fn is(have: &str, want: &str) -> Outcome {
    if have == want {
        Ok(())
    } else {
        Err(format!("it prints {have:?}, not {want:?}").into())
    }
}

/// Runs `head` on a few files, one of which is missing.
fn run_head(command: &mut Command) -> Outcome {
    // Others write theirs at the same time.
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let files = scratch(&format!("head-{}", RUNS.fetch_add(1, Ordering::Relaxed)))?;
    let (first, missing) = (files.join("first"), files.join("missing"));
    fs::write(&first, "one\ntwo\n")?;
    let output = tools::output(command.args([&first, &missing, &first]))?;
    let want = format!(
        "{0}: one\n{1}: ENOENT: No such file or directory\n{0}: one\n",
        first.display(),
        missing.display()
    );
    is(&String::from_utf8_lossy(&output.stdout), &want)?;
    match output.status.code() {
        Some(1) => Ok(()),
        _ => Err(format!("it ended with {}", output.status).into()),
    }
}

fn head(backend: &'static str) -> Outcome {
    let program = compile("head", &example("head.c"))?;
    run_head(
        Tree::get()?
            .command(&program)
            .env("FLEXSC_BACKEND", backend),
    )
}

/// `head` with the archive, and what pkg-config says for it; instead of `-lflexsc` these flags.
fn archive_head(name: &str, library: &[&str]) -> Outcome {
    let tree = Tree::get()?;
    let mut flags = Vec::new();
    for flag in tree.flags(&["--static"])? {
        match flag.as_str() {
            "-lflexsc" => flags.extend(library.iter().map(|flag| flag.to_string())),
            _ => flags.push(flag),
        }
    }
    let program = tree.compile(&example("head.c"), name, &flags)?;
    for backend in ["direct", "threads"] {
        run_head(Command::new(&program).env("FLEXSC_BACKEND", backend))?;
    }
    Ok(())
}

fn copy(backend: &'static str) -> Outcome {
    let program = compile("copy", &example("copy.cpp"))?;
    let files = scratch(&format!("copy-{backend}"))?;
    let (from, to) = (files.join("from"), files.join("to"));
    // More than all blocks that are in flight, and no multiple of one.
    let bytes: Vec<u8> = (0..1_500_001_u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    fs::write(&from, &bytes)?;
    let run = |from: &Path, to: &Path| {
        let mut command = Tree::get()?.command(&program);
        tools::output(command.args([from, to]).env("FLEXSC_BACKEND", backend))
    };
    let copied = run(&from, &to)?;
    is(
        &String::from_utf8_lossy(&copied.stdout),
        &format!("1500001 bytes by {backend}\n"),
    )?;
    if fs::read(&to)? != bytes {
        return Err("the copy differs".into());
    }
    let full = run(&from, Path::new("/dev/full"))?;
    is(
        &String::from_utf8_lossy(&full.stderr),
        "copy: write: ENOSPC: No space left on device\n",
    )
}
