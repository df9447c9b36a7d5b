// SPDX-License-Identifier: MIT OR Apache-2.0

//! The options that say which files take part.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};
use rsync_core::filter::{FilterError, Filters};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// An option that adds a rule, at its place among the others.
struct Rule {
    name: &'static str,
    short: Option<char>,
    value: &'static str,
    help: &'static str,
    add: fn(&mut Filters, &OsStr) -> Result<(), FilterError>,
}

const RULES: [Rule; 5] = [
    Rule {
        name: "exclude",
        short: None,
        value: "PATTERN",
        help: "Leave out files that match PATTERN, and delete none of them",
        add: |filters, pattern| filters.exclude(pattern).map(|_| ()),
    },
    Rule {
        name: "include",
        short: None,
        value: "PATTERN",
        help: "Do not leave out files that match PATTERN; the first pattern that matches counts",
        add: |filters, pattern| filters.include(pattern).map(|_| ()),
    },
    Rule {
        name: "exclude-from",
        short: None,
        value: "FILE",
        help: "Read patterns to exclude from FILE, one a line (behind -0: divided by NUL bytes); - is the standard input",
        add: |filters, file| {
            filters.exclude_from(file);
            Ok(())
        },
    },
    Rule {
        name: "include-from",
        short: None,
        value: "FILE",
        help: "Read patterns to include from FILE",
        add: |filters, file| {
            filters.include_from(file);
            Ok(())
        },
    },
    Rule {
        name: "filter",
        short: Some('f'),
        value: "RULE",
        help: "Add a filter rule of rsync's: - + H S P R, \". FILE\" to merge one, \": NAME\" for one in each directory",
        add: |filters, rule| filters.rule(rule).map(|_| ()),
    },
];

/// Where rules for each directory are by convention.
const PER_DIRECTORY: [&str; 2] = [": /.rsync-filter", "- .rsync-filter"];

/// What the parser has to know.
pub(crate) fn arguments() -> Vec<Arg> {
    let rule = |rule: &Rule| {
        let arg = Arg::new(rule.name)
            .long(rule.name)
            .value_name(rule.value)
            .value_parser(clap::value_parser!(OsString))
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .help(rule.help);
        match rule.short {
            Some(short) => arg.short(short),
            None => arg,
        }
    };
    let mut arguments: Vec<_> = RULES.iter().map(rule).collect();
    arguments.push(
        Arg::new("per-directory")
            .short('F')
            .action(ArgAction::Count)
            .help("Read rules from .rsync-filter in each directory; -FF leaves those files out"),
    );
    arguments.push(
        Arg::new("cvs-exclude")
            .short('C')
            .long("cvs-exclude")
            .action(ArgAction::SetTrue)
            .overrides_with("cvs-exclude")
            .help("Leave out what CVS leaves out, .cvsignore in each directory included"),
    );
    arguments
}

/// The rules of a command line.
pub(crate) fn from_matches(matches: &ArgMatches) -> Result<Filters, FilterError> {
    type Add<'a> = Box<dyn Fn(&mut Filters) -> Result<(), FilterError> + 'a>;
    let mut given: Vec<(usize, Add<'_>)> = Vec::new();
    for rule in &RULES {
        let places = matches.indices_of(rule.name).into_iter().flatten();
        let values = matches.get_many::<OsString>(rule.name);
        for (place, value) in places.zip(values.into_iter().flatten()) {
            given.push((place, Box::new(|filters| (rule.add)(filters, value))));
        }
    }
    // One that was not given has a place too, that of its default, and -FF has one only.
    let places: Vec<_> = matches
        .indices_of("per-directory")
        .into_iter()
        .flatten()
        .collect();
    let count = usize::from(matches.get_count("per-directory"));
    for (number, rule) in PER_DIRECTORY.into_iter().enumerate().take(count) {
        let place = places.get(number).or(places.last());
        given.push((
            place.copied().unwrap_or_default(),
            Box::new(move |filters| filters.rule(rule).map(|_| ())),
        ));
    }
    // As for rsync, -0 counts for the files behind it.
    if matches.value_source("from0") == Some(ValueSource::CommandLine) {
        let first = matches
            .indices_of("from0")
            .and_then(|mut places| places.next());
        let lines = |filters: &mut Filters| {
            filters.by_lines();
            Ok(())
        };
        given.extend(first.map(|place| (place, Box::new(lines) as Add<'_>)));
    }
    given.sort_by_key(|(place, _)| *place);
    let mut filters = Filters::new();
    for (_, add) in &given {
        add(&mut filters)?;
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let file = home.map(|home| Path::new(&home).join(".cvsignore"));
    let words = std::env::var_os("CVSIGNORE").unwrap_or_default();
    filters.cvs(file.as_ref().map(|file| file.as_os_str()), &words);
    if matches.get_flag("cvs-exclude") {
        filters.rule(":C")?.rule("-C")?;
    }
    Ok(filters)
}
