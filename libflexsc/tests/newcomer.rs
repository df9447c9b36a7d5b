// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who does what README.md says, in an empty directory, has a program that runs.
#![cfg(not(loom))]

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// The clone.
fn clone() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of the first block of a language, behind the heading "Use it".
fn shown(language: &str) -> String {
    let text = fs::read_to_string(clone().join("README.md")).unwrap();
    let (_, used) = text.split_once("\n## Use it\n").unwrap();
    let (_, block) = used.split_once(&format!("\n```{language}\n")).unwrap();
    block.split_once("\n```\n").unwrap().0.to_owned() + "\n"
}

/// A command succeeds.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

#[test]
fn program_of_the_readme_is_built_and_runs() {
    let cargo = || Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    // Always the same one, so that what was compiled is used again.
    let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join("newcomer");
    if empty.exists() {
        fs::remove_dir_all(&empty).unwrap();
    }
    fs::create_dir(&empty).unwrap();
    symlink(clone().canonicalize().unwrap(), empty.join("flexsc")).unwrap();
    let new = ["new", "--quiet", "--vcs", "none", "first"];
    run(cargo().args(new).current_dir(&empty));
    let first = empty.join("first");
    let mut manifest = fs::read_to_string(first.join("Cargo.toml")).unwrap();
    // cargo begins the section already.
    assert!(manifest.trim_end().ends_with("[dependencies]"));
    manifest.truncate(manifest.rfind("[dependencies]").unwrap());
    fs::write(first.join("Cargo.toml"), manifest + &shown("toml")).unwrap();
    fs::write(first.join("src/main.rs"), shown("rust")).unwrap();
    // The versions that are there: no download.
    fs::copy(clone().join("Cargo.lock"), first.join("Cargo.lock")).unwrap();
    let own = env::current_exe().unwrap();
    // Of TARGET/PROFILE/deps/PROGRAM.
    let target = own.ancestors().nth(3).unwrap();
    run(cargo()
        .args(["build", "--quiet", "--offline"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(&first));

    let program = || Command::new(target.join("debug/first"));
    let threads = program().env("FLEXSC_BACKEND", "threads").output().unwrap();
    let text = String::from_utf8_lossy(&threads.stderr);
    assert!(threads.status.success(), "{text}");
    assert_eq!(threads.stdout, fs::read("/etc/hostname").unwrap());

    let missing = program()
        .env("FLEXSC_BACKEND", "nonsense")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&missing.stderr);
    assert!(
        text.starts_with("first: there is no backend \"nonsense\""),
        "{text}"
    );
    assert_eq!(missing.status.code(), Some(1));
}
