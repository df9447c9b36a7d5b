// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::{backend::Kind, case};

/// What is asked for.
pub(crate) struct Options {
    pub(crate) group: Group,
    /// Names of backends; all if there are none.
    pub(crate) backends: Vec<String>,
    /// Names of cases; all if there are none.
    pub(crate) cases: Vec<String>,
    /// Units in flight at once; the usual ones if there are none.
    pub(crate) batches: Vec<u16>,
    pub(crate) runs: usize,
    pub(crate) quick: bool,
    pub(crate) json: Option<PathBuf>,
    /// The file of QEMU's plugin.
    pub(crate) counts: Option<PathBuf>,
    pub(crate) tmpfs: PathBuf,
    pub(crate) disk: PathBuf,
    /// `NAME=VALUE` for the head of the results.
    pub(crate) facts: Vec<String>,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Micro,
    Cost,
    All,
}

impl Options {
    /// Those of this process; ends it where they are wrong.
    pub(crate) fn parse() -> Self {
        Self::of(&command().get_matches())
    }

    fn of(matches: &ArgMatches) -> Self {
        let all = |name| {
            matches
                .get_many(name)
                .into_iter()
                .flatten()
                .cloned()
                .collect()
        };
        let path = |name| matches.get_one::<PathBuf>(name).cloned();
        Self {
            group: match matches.get_one::<String>("group").map(String::as_str) {
                Some("micro") => Group::Micro,
                Some("cost") => Group::Cost,
                _ => Group::All,
            },
            backends: all("backend"),
            cases: all("case"),
            batches: matches
                .get_many("batch")
                .into_iter()
                .flatten()
                .copied()
                .collect(),
            runs: matches.get_one("runs").copied().unwrap_or(RUNS),
            quick: matches.get_flag("quick"),
            json: path("json"),
            counts: path("counts"),
            tmpfs: path("tmpfs").unwrap_or_else(|| "/dev/shm".into()),
            disk: path("disk").unwrap_or_else(|| "/var/tmp".into()),
            facts: all("fact"),
        }
    }
}

/// Enough for a median.
const RUNS: usize = 5;

fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: String| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let several = |arg: Arg| arg.action(ArgAction::Append);
    let backends: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let cases: Vec<_> = case::names().collect();
    Command::new("flexsc-bench")
        .about("Measures what calls cost, in guest instructions or in nanoseconds")
        .arg(
            Arg::new("group")
                .required(true)
                .value_parser(["micro", "cost", "all"])
                .help("Calls by backend and batch; what happens to an entry, step by step; both"),
        )
        .arg(several(option(
            "backend",
            "NAME",
            format!("Who executes: {}", backends.join(", ")),
        )))
        .arg(several(option(
            "case",
            "NAME",
            format!("A case of group micro: {}", cases.join(", ")),
        )))
        .arg(
            several(option(
                "batch",
                "N",
                "Units in flight at once, up to 1024".into(),
            ))
            .value_parser(value_parser!(u16).range(1..=1024)),
        )
        .arg(
            option(
                "runs",
                "N",
                format!("How often each backend has its turn [{RUNS}]"),
            )
            .value_parser(|text: &str| text.parse::<usize>().map(|runs| runs.max(1))),
        )
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("Few batches, short turns"),
        )
        .arg(option("json", "FILE", "JSON lines".into()).value_parser(value_parser!(PathBuf)))
        .arg(
            option(
                "counts",
                "FILE",
                "Counts guest instructions: the file of QEMU's plugin".into(),
            )
            .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            option("tmpfs", "DIR", "Where there is a tmpfs [/dev/shm]".into())
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            option(
                "disk",
                "DIR",
                "Where there is a local disk [/var/tmp]".into(),
            )
            .value_parser(value_parser!(PathBuf)),
        )
        .arg(several(option(
            "fact",
            "NAME=VALUE",
            "Something for the head of the results".into(),
        )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn what_is_asked_for_is_taken() {
        let line = "flexsc-bench micro --batch 1 --batch 64 --case nop --runs 0 --quick";
        let options = Options::of(&command().get_matches_from(line.split(' ')));
        assert!(options.group == Group::Micro && options.quick);
        assert_eq!(options.batches, [1, 64]);
        assert_eq!(options.cases, ["nop"]);
        assert_eq!(options.runs, 1);
    }
}
