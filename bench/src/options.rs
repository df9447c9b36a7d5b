// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::path::PathBuf;

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    builder::{PossibleValuesParser, TypedValueParser as _},
    value_parser,
};

use crate::{
    backend::Kind,
    case,
    error::Error,
    group::{delta, files, fio, flat, indirect, ioping, net, rsync, scale},
};

/// What is asked for.
pub(crate) struct Options {
    pub(crate) groups: Vec<Group>,
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
    /// Group rsync: on a tmpfs and not on the disk; small files, and MiB of the large one, if not the usual ones.
    pub(crate) on_tmpfs: bool,
    pub(crate) files: Option<usize>,
    pub(crate) large: Option<usize>,
    pub(crate) preload: PathBuf,
    pub(crate) fio: PathBuf,
    pub(crate) fio_engine: PathBuf,
    /// `NAME=VALUE` for the head of the results.
    pub(crate) facts: Vec<String>,
}

/// What is to be done.
pub(crate) enum Asked {
    Measure(Box<Options>),
    /// Files of results are to be drawn into a directory.
    #[cfg(feature = "plot")]
    Plot {
        files: Vec<PathBuf>,
        directory: PathBuf,
    },
}

impl Asked {
    /// By the arguments of this process; ends it where they are wrong.
    pub(crate) fn parse() -> Self {
        Self::of(&command().get_matches())
    }

    fn of(matches: &ArgMatches) -> Self {
        #[cfg(feature = "plot")]
        if let Some(matches) = matches.subcommand_matches(PLOT) {
            let files = matches.get_many("file").into_iter().flatten().cloned();
            let directory = matches.get_one::<PathBuf>("directory").cloned();
            return Self::Plot {
                files: files.collect(),
                directory: directory.unwrap_or_default(),
            };
        }
        Self::Measure(Box::new(Options::of(matches)))
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Micro,
    Cost,
    Flat,
    Scale,
    Indirect,
    Files,
    Net,
    Ioping,
    Fio,
    Rsync,
    Delta,
}

impl Group {
    const ALL: [Self; 11] = [
        Self::Micro,
        Self::Cost,
        Self::Flat,
        Self::Scale,
        Self::Indirect,
        Self::Files,
        Self::Net,
        Self::Ioping,
        Self::Fio,
        Self::Rsync,
        Self::Delta,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Micro => "micro",
            Self::Cost => "cost",
            Self::Flat => "flat",
            Self::Scale => "scale",
            Self::Indirect => "indirect",
            Self::Files => "files",
            Self::Net => "net",
            Self::Ioping => "ioping",
            Self::Fio => "fio",
            Self::Rsync => "rsync",
            Self::Delta => "delta",
        }
    }

    /// What it measures.
    fn about(self) -> &'static str {
        match self {
            Self::Micro => "calls by backend and batch",
            Self::Cost => "what happens to an entry, step by step",
            Self::Flat => {
                "whether a call costs the same when there are many entries, contexts, descriptors"
            }
            Self::Scale => "calls with longer and longer records, and on more and more processors",
            Self::Indirect => "calls with work in user mode between them",
            Self::Files => "creating, reading and removing very many small files",
            Self::Net => "an echo server by connections",
            Self::Ioping => "the program ioping, plain and through the preload library",
            Self::Fio => "the program fio, by an engine on libflexsc and its own ones",
            Self::Rsync => "flexsync by backend, stock rsync, and cp",
            Self::Delta => "flexsync's and stock rsync's delta of one large file",
        }
    }

    /// The names of its cases.
    pub(crate) fn cases(self) -> Vec<&'static str> {
        match self {
            Self::Micro => case::names().collect(),
            Self::Cost => Vec::new(),
            Self::Flat => flat::series().map(|(name, _)| name).collect(),
            Self::Scale => scale::names().collect(),
            Self::Indirect => indirect::names().collect(),
            Self::Files => files::names().collect(),
            Self::Net => net::names().collect(),
            Self::Ioping => ioping::names().collect(),
            Self::Fio => fio::names().collect(),
            Self::Rsync => rsync::names().collect(),
            Self::Delta => delta::names().collect(),
        }
    }
}

impl Options {
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
            groups: {
                let asked: Vec<String> = all("group");
                let is_asked = |group: &Group| {
                    let mut names = asked.iter();
                    names.any(|name| name == group.name() || name == ALL)
                };
                Group::ALL.into_iter().filter(is_asked).collect()
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
            on_tmpfs: matches
                .get_one::<String>("on")
                .is_some_and(|place| place == PLACES[0]),
            files: matches.get_one("files").copied(),
            large: matches.get_one("large").copied(),
            preload: path("preload").unwrap_or_else(|| "libflexsc_preload.so".into()),
            fio: path("fio").unwrap_or_else(|| "fio".into()),
            fio_engine: path("fio-engine").unwrap_or_else(|| "fio-flexsc.so".into()),
            facts: all("fact"),
        }
    }

    /// The cases of a group that are asked for: all, if none of any group is.
    pub(crate) fn cases_of(&self, group: Group) -> Vec<&'static str> {
        let mut cases = group.cases();
        cases.retain(|name| self.cases.is_empty() || self.cases.iter().any(|asked| asked == name));
        cases
    }

    /// That each case that is asked for is one of the groups.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] for the first that is not.
    pub(crate) fn check_cases(&self) -> Result<(), Error> {
        let is_known = |name: &String| {
            let mut groups = self.groups.iter();
            groups.any(|group| group.cases().contains(&name.as_str()))
        };
        match self.cases.iter().find(|name| !is_known(name)) {
            Some(name) => Err(Error::Unknown("case", name.clone())),
            None => Ok(()),
        }
    }
}

/// What draws instead of measuring.
#[cfg(feature = "plot")]
const PLOT: &str = "plot";

/// Stands for every group.
const ALL: &str = "all";

/// Where trees may be.
const PLACES: [&str; 2] = ["tmpfs", "disk"];

/// Enough for a median.
const RUNS: usize = 5;

fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: String| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let several = |arg: Arg| arg.action(ArgAction::Append);
    let backends: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let groups = || Group::ALL.into_iter();
    let abouts: Vec<_> = groups()
        .map(|group| format!("{}: {}", group.name(), group.about()))
        .collect();
    let cases = groups().filter(|group| !group.cases().is_empty());
    let cases: Vec<_> = cases
        .map(|group| format!("of {} {}", group.name(), group.cases().join(", ")))
        .collect();
    let command = Command::new("flexsc-bench")
        .about("Measures what calls cost, in guest instructions or in nanoseconds")
        .arg(
            Arg::new("group")
                .required(true)
                .num_args(1..)
                .value_parser(PossibleValuesParser::new(
                    groups().map(Group::name).chain([ALL]),
                ))
                .help(format!("{}; {ALL}: every group", abouts.join("; "))),
        )
        .arg(several(option(
            "backend",
            "NAME",
            format!("Who executes: {}", backends.join(", ")),
        )))
        .arg(several(option(
            "case",
            "NAME",
            format!("A case: {}", cases.join("; ")),
        )))
        .arg(
            several(option(
                "batch",
                "N",
                "Units in flight at once in groups micro and fio, up to 1024".into(),
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
        .arg(
            option(
                "on",
                "PLACE",
                "Where groups rsync and delta have their files, by the two above [disk]".into(),
            )
            .value_parser(PossibleValuesParser::new(PLACES)),
        )
        .arg(
            option(
                "files",
                "N",
                "Small files of group rsync [5000, or 500]".into(),
            )
            .value_parser(value_parser!(u32).range(1..).map(|files| files as usize)),
        )
        .arg(
            option(
                "large",
                "MIB",
                "Length of the large file of groups rsync, 0 for none, and delta [16, or 1, and 256, or 16]".into(),
            )
            .value_parser(value_parser!(u16).map(usize::from)),
        )
        .arg(
            option(
                "preload",
                "FILE",
                "The preload library, for group ioping [libflexsc_preload.so]".into(),
            )
            .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            option("fio", "FILE", "The program fio, for its group [fio]".into())
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            option(
                "fio-engine",
                "FILE",
                "The engine of that fio on libflexsc [fio-flexsc.so]".into(),
            )
            .value_parser(value_parser!(PathBuf)),
        )
        .arg(several(option(
            "fact",
            "NAME=VALUE",
            "Something for the head of the results".into(),
        )));
    #[cfg(feature = "plot")]
    let command = command
        .subcommand(plot())
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true);
    command
}

#[cfg(feature = "plot")]
fn plot() -> Command {
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .value_name(value)
            .help(help)
            .required(true)
            .value_parser(value_parser!(PathBuf))
    };
    Command::new(PLOT)
        .about("Draws results as SVG and PNG: what a unit costs by batch, or along a series")
        .arg(path("file", "FILE", "JSON lines that were kept").num_args(1..))
        .arg(path("directory", "DIR", "Where the plots go"))
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
        assert!(options.groups == [Group::Micro] && options.quick);
        assert_eq!(options.batches, [1, 64]);
        assert_eq!(options.cases, ["nop"]);
        assert_eq!(options.runs, 1);
    }

    fn asked(line: &str) -> Options {
        Options::of(&command().get_matches_from(line.split(' ')))
    }

    #[test]
    fn all_is_every_group() {
        assert_eq!(asked("flexsc-bench all").groups, Group::ALL);
    }

    #[test]
    fn groups_are_those_that_are_named() {
        let groups = asked("flexsc-bench rsync flat --quick").groups;
        assert_eq!(groups, [Group::Flat, Group::Rsync]);
    }

    #[test]
    fn a_case_chooses_among_those_of_its_group_alone() {
        let options = asked("flexsc-bench all --case waiting --case nop");
        assert_eq!(options.cases_of(Group::Flat), ["waiting"]);
        assert_eq!(options.cases_of(Group::Micro), ["nop"]);
        assert!(options.check_cases().is_ok());
    }

    #[test]
    fn a_case_of_another_group_is_refused() {
        assert!(
            asked("flexsc-bench micro --case waiting")
                .check_cases()
                .is_err()
        );
    }

    #[cfg(feature = "plot")]
    #[test]
    fn the_last_of_what_is_plotted_is_the_directory() {
        let line = "flexsc-bench plot a.jsonl b.jsonl plots";
        let asked = Asked::of(&command().get_matches_from(line.split(' ')));
        let Asked::Plot { files, directory } = asked else {
            panic!("plots are asked for");
        };
        assert_eq!(files, [PathBuf::from("a.jsonl"), "b.jsonl".into()]);
        assert_eq!(directory, PathBuf::from("plots"));
    }
}
