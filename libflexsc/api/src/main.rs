// SPDX-License-Identifier: MIT OR Apache-2.0
//! libflexsc-api [--bless]: compares the public API of the libraries with the lists that are committed, and the
//! functions of libflexsc that no example shows with the list of those that are known; or writes these anew.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use libflexsc_api::{Difference, Error, list, run, without_example};

/// Each with the name of its list.
const CRATES: [(&str, &str); 2] = [
    ("libflexsc", "libflexsc.txt"),
    ("rsync-core", "rsync-core.txt"),
];

/// Of functions that had no example when that began to be asked for. It only gets shorter.
const WITHOUT_EXAMPLE: (&str, &str) = ("libflexsc", "without-example.txt");

const BLESS: &str = "FLEXSC_BLESS=1 scripts/test api";

/// What rustdoc says of a crate of the workspace, with all its features.
fn describe(workspace: &Path, target: &Path, crate_name: &str) -> Result<PathBuf, Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args([
            "rustdoc",
            "--quiet",
            "--lib",
            "--all-features",
            "--package",
            crate_name,
        ])
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args(["--", "-Zunstable-options", "--output-format=json"]);
    run(&mut command, crate_name)?;
    let name = crate_name.replace('-', "_") + ".json";
    Ok(target.join("doc").join(name))
}

/// Whether each function of a crate has an example, or is one of those that are known to have none. Blessing
/// takes those off the list that have one now; it adds none.
fn examples(json: &Path, file: &str, bless: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let found = without_example(json)?;
    let (kept, shown): (Vec<_>, Vec<_>) = text.lines().partition(|&name| found.contains(name));
    let new: Vec<_> = found
        .iter()
        .filter(|name| !kept.contains(&name.as_str()))
        .collect();
    for name in &new {
        println!(
            "{name} has no example, nor has its type, or the module that it stands in: write one"
        );
    }
    if !shown.is_empty() && bless {
        let kept: String = kept.iter().map(|name| format!("{name}\n")).collect();
        fs::write(&path, kept)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("{file}: {} fewer", shown.len());
    } else if !shown.is_empty() {
        println!(
            "libflexsc/api/{file} lists what is gone or has an example: {shown:#?}\n{BLESS} takes it off."
        );
    } else if new.is_empty() {
        println!("{file}: {} functions, as committed", kept.len());
    }
    Ok(new.is_empty() && (shown.is_empty() || bless))
}

/// Says how a list differs from the crate.
fn complain(crate_name: &str, file: &str, difference: &Difference) {
    println!("libflexsc/api/{file} is not the public API of {crate_name}:\n{difference}");
    if difference.gone.is_empty() {
        println!(
            "Only new items. Programs that use {crate_name} still compile, unless one is a variant or a field of a\n\
             type that is not #[non_exhaustive], or a method that a trait requires."
        );
    } else {
        println!(
            "Items that are gone or have changed ({}) break programs that use {crate_name}: once a version with them is\n\
             released, the next has to be an incompatible one (0.1 becomes 0.2), `version` in Cargo.toml.",
            difference.gone.len()
        );
    }
    println!("If it is meant: {BLESS}, and commit the list with a line in CHANGELOG.md.");
}

/// Whether the list of a crate is right, or is now.
fn check(crate_name: &str, file: &str, bless: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = here.join("../..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| here.join("target"), PathBuf::from);
    // Apart from what is built without RUSTC_BOOTSTRAP, or each would have the other built anew.
    let json = describe(&workspace, &target.join("api"), crate_name)?;
    let found = list(&json)?;
    let (of, without) = WITHOUT_EXAMPLE;
    let shown = crate_name != of || examples(&json, without, bless)?;
    let path = here.join(file);
    let committed = match fs::read_to_string(&path) {
        Err(error) if !bless => Err(format!(
            "cannot read {}: {error}; {BLESS} makes it",
            path.display()
        ))?,
        text => text.unwrap_or_default(),
    };
    let difference = Difference::between(&committed, &found);
    if bless && committed != found {
        fs::write(&path, found)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("{file}: written anew\n{difference}");
        return Ok(shown);
    }
    if !difference.is_empty() {
        complain(crate_name, file, &difference);
        return Ok(false);
    }
    println!("{file}: {} items, as committed", committed.lines().count());
    Ok(shown)
}

fn main() -> ExitCode {
    let bless = match env::args().nth(1).as_deref() {
        None => false,
        Some("--bless") => true,
        Some(other) => {
            eprintln!("libflexsc-api: unknown argument {other}; there is --bless alone");
            return ExitCode::from(2);
        }
    };
    let mut status = ExitCode::SUCCESS;
    for (crate_name, file) in CRATES {
        match check(crate_name, file, bless) {
            Ok(true) => (),
            Ok(false) => status = ExitCode::FAILURE,
            Err(error) => match error.downcast_ref() {
                Some(Error::Format { .. }) if !bless => println!("SKIP {crate_name} api: {error}"),
                _ => {
                    println!("libflexsc-api: {crate_name}: {error}");
                    status = ExitCode::FAILURE;
                }
            },
        }
    }
    status
}
