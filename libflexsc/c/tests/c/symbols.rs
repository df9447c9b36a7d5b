// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the libraries export: what the map says, which is what the header declares.

use std::{collections::BTreeSet, fs, process::Command};

use libtest_mimic::{Failed, Trial};

use crate::{
    Outcome, header,
    tools::{self, Tool},
    tree::{Tree, here},
    trial,
};

pub(crate) fn add(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "symbols::map_is_what_the_header_declares",
        &[],
        || same(&map()?, &header::functions()?),
    ));
    let tools = [Tool::Cc, Tool::Nm];
    trials.push(trial(
        "symbols::shared_library_exports_the_map",
        &tools,
        shared,
    ));
    trials.push(trial("symbols::archive_exports_the_map", &tools, archive));
    trials.push(trial(
        "symbols::shared_library_has_its_name_inside",
        &tools,
        soname,
    ));
}

/// The functions of the map.
fn map() -> Result<BTreeSet<String>, Failed> {
    let text = fs::read_to_string(here().join("libflexsc.map"))?;
    let functions = text
        .lines()
        .filter_map(|line| line.trim().strip_suffix(';'))
        .filter(|name| name.starts_with("flexsc_"))
        .map(str::to_owned)
        .collect();
    Ok(functions)
}

fn same(one: &BTreeSet<String>, other: &BTreeSet<String>) -> Outcome {
    let differ: Vec<_> = one.symmetric_difference(other).collect();
    if differ.is_empty() && !one.is_empty() {
        Ok(())
    } else {
        Err(format!("in one of both only: {differ:?}").into())
    }
}

/// The third columns of what nm prints.
fn symbols(options: &[&str], library: &str) -> Result<BTreeSet<String>, Failed> {
    let file = Tree::get()?.file("lib").join(library);
    let text = tools::run(Command::new(Tool::Nm.program()).args(options).arg(file))?;
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(str::to_owned)
        .collect();
    Ok(names)
}

fn shared() -> Outcome {
    let mut want: BTreeSet<_> = map()?
        .into_iter()
        .map(|function| format!("{function}@@FLEXSC_1"))
        .collect();
    // The version itself.
    want.insert("FLEXSC_1".to_owned());
    let have = symbols(&["-D", "--defined-only"], "libflexsc.so.1")?;
    // Of some linkers it has a version, too.
    same(
        &have
            .into_iter()
            .filter(|name| name != "FLEXSC_1@@FLEXSC_1")
            .collect(),
        &want,
    )
}

fn archive() -> Outcome {
    same(&symbols(&["-g", "--defined-only"], "libflexsc.a")?, &map()?)
}

fn soname() -> Outcome {
    let bytes = fs::read(Tree::get()?.file("lib/libflexsc.so"))?;
    let dynamic = tools::run(
        Command::new("readelf")
            .arg("-d")
            .arg(Tree::get()?.file("lib/libflexsc.so.1")),
    )?;
    if bytes.is_empty() || !dynamic.contains("soname: [libflexsc.so.1]") {
        return Err(format!("libflexsc.so.1 has another name inside:\n{dynamic}").into());
    }
    Ok(())
}
