// SPDX-License-Identifier: MIT OR Apache-2.0
//! What programs were compiled with is still there: prototypes, macros, structures with their layouts, and
//! versions of symbols, against the list that is committed. CONTRIBUTING.md says how to change it.

use std::{env, fs};

use libtest_mimic::{Failed, Trial};

use crate::{Outcome, header, tree::here, trial};

/// The list.
const LIST: &str = "abi.txt";

pub(crate) fn add(trials: &mut Vec<Trial>) {
    trials.push(trial("abi::is_the_one_that_is_committed", &[], compare));
    trials.push(trial("abi::each_change_is_seen", &[], changes));
}

/// One declaration of the header a line, then its sizes and offsets in the library, then the symbols.
fn list() -> Result<Vec<String>, Failed> {
    let map = fs::read_to_string(here().join("libflexsc.map"))?;
    let mut lines = declarations(&header::code()?);
    lines.extend(
        header::facts()
            .into_iter()
            .map(|(fact, value)| format!("{fact} == {value}")),
    );
    lines.extend(symbols(&map)?);
    Ok(lines)
}

/// The header's macros and declarations, each with single spaces. What it says to the preprocessor else, and
/// the version, which is another test's, are no part of it.
fn declarations(code: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = Vec::new();
    for line in code.lines() {
        match line.strip_prefix('#') {
            Some(told) if told.starts_with("define ") && told.split_whitespace().count() > 2 => {
                lines.push(words(line));
            }
            Some(_) => (),
            None => rest.push(line),
        }
    }
    lines.retain(|line| !line.starts_with("#define FLEXSC_VERSION "));
    let mut depth = 0;
    let mut declaration = String::new();
    for character in rest.join("\n").replace("extern \"C\" {", "").chars() {
        match character {
            '{' => depth += 1,
            // That of extern "C" has none to it here.
            '}' if depth == 0 => continue,
            '}' => depth -= 1,
            _ => (),
        }
        declaration.push(character);
        if character == ';' && depth == 0 {
            lines.push(words(&declaration));
            declaration.clear();
        }
    }
    lines
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The functions of the map, each with its version.
fn symbols(map: &str) -> Result<Vec<String>, Failed> {
    let mut version = None;
    let mut symbols = Vec::new();
    for line in map.lines() {
        if let Some(name) = line.strip_suffix(" {") {
            version = Some(name);
        } else if let Some(function) = line.trim().strip_suffix(';') {
            if function.starts_with("flexsc_") {
                let version = version.ok_or("a function without a version")?;
                symbols.push(format!("{function}@@{version}"));
            }
        }
    }
    Ok(symbols)
}

fn compare() -> Outcome {
    let path = here().join(LIST);
    let found = list()?;
    if env::var_os("FLEXSC_BLESS").is_some() {
        return Ok(fs::write(&path, found.join("\n") + "\n")?);
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let committed: Vec<_> = text.lines().map(str::to_owned).collect();
    let differ = |one: &[String], other: &[String], mark: &str| -> String {
        one.iter()
            .filter(|line| !other.contains(line))
            .map(|line| format!("  {mark} {line}\n"))
            .collect()
    };
    let gone = differ(&committed, &found, "-");
    let new = differ(&found, &committed, "+");
    if gone.is_empty() && new.is_empty() {
        return Ok(());
    }
    let advice = match gone.as_str() {
        "" => "Only new lines: programs that were compiled before still run.",
        _ => {
            "What is gone or has changed breaks programs that were compiled before: once it was released, take a \
             new function, a new version in libflexsc.map, or a new SONAME."
        }
    };
    Err(format!(
        "{LIST} is not what the library has:\n{gone}{new}{advice}\nIf it is meant: \
         FLEXSC_BLESS=1 cargo test -p flexsc-c --test c -- abi"
    )
    .into())
}

/// Planted changes: of a type, a field, a number, the order of fields.
fn changes() -> Outcome {
    let code = "#define FLEXSC_ONE 1\nextern \"C\" {\nstruct flexsc_a {\n\tint x;\n\tlong y;\n};\nint f(\n\tint x);\n}\n";
    let before = declarations(code);
    if before
        != [
            "#define FLEXSC_ONE 1",
            "struct flexsc_a { int x; long y; };",
            "int f( int x);",
        ]
    {
        return Err(format!("{before:?}").into());
    }
    for (from, to) in [
        ("FLEXSC_ONE 1", "FLEXSC_ONE 2"),
        ("int x;\n\tlong y;", "long y;\n\tint x;"),
        ("long y", "int y"),
        ("int f(", "long f("),
        ("int x);", "int x, int y);"),
    ] {
        if declarations(&code.replacen(from, to, 1)) == before {
            return Err(format!("{to} instead of {from} is not seen").into());
        }
    }
    match symbols("FLEXSC_1 {\nglobal:\n\tflexsc_f;\n};\n")?.as_slice() {
        [one] if one == "flexsc_f@@FLEXSC_1" => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}
