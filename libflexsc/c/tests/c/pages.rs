// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual pages.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use libtest_mimic::{Failed, Trial};

use crate::{
    Outcome, header,
    tools::{self, Tool},
    tree::here,
    trial,
};

pub(crate) fn add(trials: &mut Vec<Trial>) {
    trials.push(trial("pages::each_function_is_in_one", &[], functions));
    trials.push(trial(
        "pages::prototypes_are_those_of_the_header",
        &[],
        prototypes,
    ));
    trials.push(trial(
        "pages::mandoc_has_nothing_to_say",
        &[Tool::Mandoc],
        lint,
    ));
}

fn pages() -> Result<Vec<PathBuf>, Failed> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(here().join("man"))? {
        pages.push(entry?.path());
    }
    pages.sort();
    Ok(pages)
}

/// The functions of all synopses, each with its arguments.
fn synopses() -> Result<BTreeMap<String, Vec<String>>, Failed> {
    let mut functions = BTreeMap::new();
    for page in pages()? {
        let text = fs::read_to_string(&page)?;
        let mut current = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix(".Fo ") {
                current = Some((name.to_owned(), Vec::new()));
            } else if let (Some(argument), Some((_, arguments))) =
                (line.strip_prefix(".Fa \""), &mut current)
            {
                arguments.push(argument.trim_end_matches('"').to_owned());
            } else if line == ".Fc" {
                let (name, arguments) = current.take().ok_or(".Fc without .Fo")?;
                if functions.insert(name.clone(), arguments).is_some() {
                    return Err(format!("{name} is in two pages").into());
                }
            }
        }
    }
    Ok(functions)
}

fn functions() -> Outcome {
    let (described, declared) = (synopses()?, header::functions()?);
    let missing: Vec<_> = declared
        .iter()
        .filter(|name| !described.contains_key(*name))
        .collect();
    let more: Vec<_> = described
        .keys()
        .filter(|name| !declared.contains(*name))
        .collect();
    if missing.is_empty() && more.is_empty() && !declared.is_empty() {
        Ok(())
    } else {
        Err(format!("in no page: {missing:?}; in no header: {more:?}").into())
    }
}

fn prototypes() -> Outcome {
    let text = fs::read_to_string(here().join("include/flexsc.h"))?;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (name, arguments) in synopses()? {
        let prototype = format!("{name}({});", arguments.join(", "));
        if !text.contains(&prototype) {
            return Err(format!("flexsc.h has no {prototype}").into());
        }
    }
    Ok(())
}

fn lint() -> Outcome {
    for page in pages()? {
        // "style" and "base" are one system's taste.
        tools::run(
            Command::new(Tool::Mandoc.program())
                .args(["-T", "lint", "-W", "warning"])
                .arg(page),
        )?;
    }
    Ok(())
}
