// SPDX-License-Identifier: MIT OR Apache-2.0
//! libflexsc-api [--bless]: compares the public API of the libraries with the lists that are committed, or
//! writes these anew; and looks for an example of each public function of libflexsc.

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

/// The crate of which every public function is shown by an example.
const SHOWN: &str = "libflexsc";

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

/// Whether each public function of a crate is shown by an example; names those that are not.
fn examples(json: &Path) -> Result<bool, Error> {
    let found = without_example(json)?;
    for name in &found {
        println!(
            "{name} has no example, nor has its type, or the module that it stands in: write one"
        );
    }
    Ok(found.is_empty())
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
    let shown = crate_name != SHOWN || examples(&json)?;
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
