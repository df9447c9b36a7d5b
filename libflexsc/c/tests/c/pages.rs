// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manual pages.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use libflexsc::backend::Kind;
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
    trials.push(trial("pages::overview_has_each_backend", &[], backends));
    trials.push(trial(
        "pages::device_has_each_ioctl_and_its_header",
        &[],
        ioctls,
    ));
    trials.push(trial(
        "pages::device_has_each_parameter_of_the_module",
        &[],
        parameters,
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

/// A section or subsection of a page, without its heading.
fn section(page: &str, heading: &str) -> Result<String, Failed> {
    let text = fs::read_to_string(here().join("man").join(page))?;
    text.split("\n.S")
        .find_map(|section| section.get(2..)?.strip_prefix(heading))
        .map(str::to_owned)
        .ok_or_else(|| format!("{page} has no section {heading}").into())
}

/// The items of its list are these, in whatever order. A macro such as `.It Dv` stands before each.
fn lists(page: &str, heading: &str, mac: &str, mut want: Vec<String>) -> Outcome {
    let section = section(page, heading)?;
    let mut have: Vec<_> = section
        .lines()
        .filter_map(|line| line.strip_prefix(mac)?.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    have.sort();
    want.sort();
    if have == want {
        Ok(())
    } else {
        Err(format!("{page}, {heading}: {have:?} instead of {want:?}").into())
    }
}

fn backends() -> Outcome {
    let names = Kind::ALL
        .iter()
        .map(|kind| kind.name().to_owned())
        .collect();
    lists("flexsc.7", "Who executes", ".It ", names)
}

fn ioctls() -> Outcome {
    let header = fs::read_to_string(here().join("../../kmod/uapi/flexsc.h"))?;
    let names = header
        .lines()
        .filter_map(|line| {
            line.strip_prefix("#define ")?
                .split_once("\t_IO")?
                .0
                .split_whitespace()
                .next()
        })
        .map(str::to_owned)
        .collect();
    lists("flexsc.4", "ioctl(2)", ".It Dv ", names)?;
    // Where scripts/install puts it: scripts/tests/unit-install.sh.
    let synopsis = section("flexsc.4", "SYNOPSIS")?;
    if synopsis.contains("\n.In linux/flexsc.h\n") {
        Ok(())
    } else {
        Err("flexsc.4 does not name linux/flexsc.h".into())
    }
}

/// Those of C, and those of the module! macro: lines "NAME: TYPE {" inside of "params: {".
fn parameters() -> Outcome {
    let kmod = here().join("../../kmod");
    let policy = fs::read_to_string(kmod.join("policy.c"))?;
    let mut names: Vec<_> = policy
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.strip_prefix("module_param")?.split_once('(')?;
            Some(rest.split_once(',')?.0.to_owned())
        })
        .collect();
    let main = fs::read_to_string(kmod.join("flexsc_main.rs"))?;
    let (_, rest) = main.split_once("params: {\n").ok_or("no params")?;
    let (params, _) = rest.split_once("\n    },").ok_or("params do not end")?;
    names.extend(
        params
            .lines()
            .filter_map(|line| line.strip_suffix(" {")?.split_once(':'))
            .map(|(name, _)| name.trim().to_owned()),
    );
    lists("flexsc.4", "MODULE PARAMETERS", ".It Cm ", names)
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
